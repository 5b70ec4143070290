/*
 * Two links to the server: one for commands; one for subscriptions, opened with the first of them (a connection that subscribes can do nothing else).
 *
 *     down ─(timer)→ [resolving] → connecting → greeting (AUTH, SELECT, PING) → up ─(lost, or silent)→ down
 *
 * A server that is stopped keeps its sockets open: what is silent too long is dropped. The command link asks PING when it is idle; the other one is fed by it:
 * an empty message, published to its first channel, has to come back.
 * Names are looked up in a thread, since the C library waits; addresses are not.
 */
#include "net/redis.h"

#include "base/log.h"
#include "net/redis_url.h"

#include <arpa/inet.h>
#include <event2/event.h>
#include <hiredis/async.h>
#include <hiredis/hiredis.h>
#include <hiredis/adapters/libevent.h>
#include <netdb.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define TICK_US 500000
#define SILENT_US 2000000               /* connecting, greeting, a command: as long as that */
#define IDLE_US 1000000                 /* then a PING */
#define BACKOFF_LEAST_US 100000
#define BACKOFF_MOST_US 5000000
#define OUTSTANDING_MAX 4096
#define OUTSTANDING_BYTES (8u << 20)
#define CHANNELS_MAX 8
#define WORDS_MAX 64

enum link_state { LINK_DOWN, LINK_RESOLVING, LINK_CONNECTING, LINK_GREETING, LINK_UP };

struct link {
	struct redis *redis;
	const char *what;                   /* for the log */
	enum link_state state;
	redisAsyncContext *connection;      /* NULL while down or resolving */
	struct timer timer;                 /* while down */
	int64_t backoff_us, since_us, heard_us; /* monotonic */
	bool told;                          /* that it is down, and why: once */
};

struct request {
	struct request *next;
	struct redis *redis;
	redis_fn fn;
	void *arg;
	size_t bytes;
	int64_t sent_us;
};

struct channel {
	char *name;
	void (*fn)(void *arg, struct str text);
	void *arg;
};

/* A name being looked up. The thread frees it when its asker has gone meanwhile. */
struct lookup {
	struct loop_item item;
	struct loop *loop;
	pthread_mutex_t lock;
	struct link *link;                  /* NULL: gone */
	bool done;
	char *host, address[INET6_ADDRSTRLEN];
};

struct redis {
	struct redis_options options;
	struct redis_url url;
	struct link commands, subscriptions;
	struct timer tick;
	struct request *first, **end;       /* sent, not answered */
	size_t outstanding, outstanding_bytes;
	struct channel channels[CHANNELS_MAX];
	size_t channels_count;
	struct lookup *lookup;
	char address[INET6_ADDRSTRLEN];     /* of the last lookup */
	bool closing;
};

/* -- links ------------------------------------------------------------------------------------------------------------ */

static void link_retry(struct link *link)
{
	uint32_t chance;
	int64_t after;

	rng_fill(link->redis->options.rng, &chance, sizeof chance);
	after = link->backoff_us / 2 + (int64_t)(chance % 1000) * link->backoff_us / 2000;
	link->backoff_us = link->backoff_us * 2 < BACKOFF_MOST_US ? link->backoff_us * 2 : BACKOFF_MOST_US;
	timer_start_us(&link->timer, after);
}

static void tell_changed(struct redis *redis, bool up)
{
	if (redis->options.up)
		metric_set(redis->options.up, up, NULL);
	if (redis->options.changed && !redis->closing)
		redis->options.changed(redis->options.arg, up);
}

static void link_down(struct link *link, const char *why)
{
	struct redis *redis = link->redis;
	redisAsyncContext *connection = link->connection;
	bool was_up = link->state == LINK_UP;

	if (link->state == LINK_DOWN)
		return;
	link->state = LINK_DOWN;
	link->connection = NULL;
	if (connection) {
		connection->data = NULL;
		redisAsyncFree(connection); /* every callback fires, with no reply */
	}
	if (redis->closing)
		return;
	if (was_up || !link->told)
		log_event(LOG_WARN, "redis.down", "link", link->what, "why", why, "next", "tried again; the store does its work meanwhile", NULL);
	link->told = true;
	link_retry(link);
	if (was_up && link == &redis->commands)
		tell_changed(redis, false);
}

static void on_channel(redisAsyncContext *connection, void *reply, void *arg)
{
	struct channel *channel = arg;
	struct link *link = connection->data;
	const redisReply *r = reply;

	if (!link || !r || r->type != REDIS_REPLY_ARRAY || r->elements != 3)
		return;
	link->heard_us = clock_monotonic_us();
	if (strcmp(r->element[0]->str ? r->element[0]->str : "", "message") == 0 && r->element[2]->type == REDIS_REPLY_STRING && r->element[2]->len > 0)
		channel->fn(channel->arg, (struct str){ r->element[2]->str, (size_t)r->element[2]->len });
}

static void link_subscribe(struct link *link, struct channel *channel)
{
	if (redisAsyncCommand(link->connection, on_channel, channel, "SUBSCRIBE %s", channel->name) != REDIS_OK)
		log_event(LOG_ERROR, "redis.subscribe", "channel", channel->name, NULL);
}

static void link_up(struct link *link)
{
	struct redis *redis = link->redis;

	link->state = LINK_UP;
	link->backoff_us = BACKOFF_LEAST_US;
	link->heard_us = clock_monotonic_us();
	if (link->told)
		log_event(LOG_INFO, "redis.up", "link", link->what, NULL);
	link->told = false;
	if (link == &redis->subscriptions)
		for (size_t i = 0; i < redis->channels_count; i++)
			link_subscribe(link, &redis->channels[i]);
	else
		tell_changed(redis, true);
}

/* AUTH, SELECT and PING alike: an error ends the link, the answer to the last one makes it up. */
static void on_greeted(redisAsyncContext *connection, void *reply, void *arg)
{
	struct link *link = connection->data;
	const redisReply *r = reply;

	if (!link || !r)
		return;
	if (r->type == REDIS_REPLY_ERROR) {
		char *why = mem_copy((struct str){ r->str, (size_t)r->len });
		link_down(link, why);
		free(why);
	} else if (arg && link->state == LINK_GREETING) {
		link_up(link);
	}
}

static void link_greet(struct link *link)
{
	const struct redis_url *url = &link->redis->url;
	int code = REDIS_OK;

	link->state = LINK_GREETING;
	if (url->password && url->user)
		code |= redisAsyncCommand(link->connection, on_greeted, NULL, "AUTH %s %s", url->user, url->password);
	else if (url->password)
		code |= redisAsyncCommand(link->connection, on_greeted, NULL, "AUTH %s", url->password);
	if (url->database)
		code |= redisAsyncCommand(link->connection, on_greeted, NULL, "SELECT %lld", (long long)url->database);
	code |= redisAsyncCommand(link->connection, on_greeted, link, "PING");
	if (code != REDIS_OK)
		link_down(link, "it cannot be greeted");
}

/* When it failed, hiredis frees the connection by itself, after this. */
static void on_connected(const redisAsyncContext *connection, int status)
{
	struct link *link = connection->data;

	if (!link)
		return;
	if (status == REDIS_OK) {
		link_greet(link);
		return;
	}
	link->connection = NULL;
	link_down(link, connection->errstr);
}

static void on_disconnected(const redisAsyncContext *connection, int status)
{
	struct link *link = connection->data;

	(void)status;
	if (!link)
		return;
	link->connection = NULL;
	link_down(link, connection->errstr && *connection->errstr ? connection->errstr : "the server closed the connection");
}

static void link_connect(struct link *link, const char *address)
{
	struct redis *redis = link->redis;
	redisAsyncContext *connection = redis->url.path ? redisAsyncConnectUnix(redis->url.path) : redisAsyncConnect(address, (int)redis->url.port);

	BUG_ON(!connection);
	link->state = LINK_CONNECTING;
	link->since_us = clock_monotonic_us();
	if (connection->err) {
		char *why = mem_copy(str_of(connection->errstr));
		redisAsyncFree(connection);
		link_down(link, why);
		free(why);
		return;
	}
	connection->data = link;
	link->connection = connection;
	BUG_ON(redisLibeventAttach(connection, loop_base(redis->options.loop)) != REDIS_OK);
	redisAsyncSetConnectCallback(connection, on_connected);
	redisAsyncSetDisconnectCallback(connection, on_disconnected);
}

/* -- names ------------------------------------------------------------------------------------------------------------ */

static void lookup_free(struct lookup *lookup)
{
	pthread_mutex_destroy(&lookup->lock);
	free(lookup->host);
	free(lookup);
}

static void lookup_on_done(void *arg)
{
	struct lookup *lookup = arg;
	struct link *link = lookup->link;

	if (link) {
		link->redis->lookup = NULL;
		memcpy(link->redis->address, lookup->address, sizeof link->redis->address);
		if (*lookup->address)
			link_connect(link, link->redis->address);
		else
			link_down(link, "its host's name is not known");
	}
	lookup_free(lookup);
}

static void *lookup_run(void *arg)
{
	struct lookup *lookup = arg;
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *found = NULL;
	bool gone;

	if (getaddrinfo(lookup->host, NULL, &hints, &found) == 0)
		getnameinfo(found->ai_addr, found->ai_addrlen, lookup->address, sizeof lookup->address, NULL, 0, NI_NUMERICHOST);
	if (found)
		freeaddrinfo(found);
	pthread_mutex_lock(&lookup->lock);
	gone = lookup->link == NULL;
	lookup->done = true;
	if (!gone)
		loop_post(lookup->loop, &lookup->item, lookup_on_done, lookup);
	pthread_mutex_unlock(&lookup->lock);
	if (gone)
		lookup_free(lookup);
	return NULL;
}

static void lookup_start(struct link *link)
{
	struct lookup *lookup = mem_alloc(sizeof *lookup);
	pthread_attr_t detached;
	pthread_t thread;

	lookup->loop = link->redis->options.loop;
	lookup->link = link;
	lookup->host = mem_copy(str_of(link->redis->url.host));
	BUG_ON(pthread_mutex_init(&lookup->lock, NULL) != 0 || pthread_attr_init(&detached) != 0);
	pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
	link->state = LINK_RESOLVING;
	link->redis->lookup = lookup;
	if (pthread_create(&thread, &detached, lookup_run, lookup) != 0) {
		link->redis->lookup = NULL;
		lookup_free(lookup);
		link_down(link, "no thread to look its host's name up");
	}
	pthread_attr_destroy(&detached);
}

static bool is_address(const char *host)
{
	unsigned char bytes[16];

	return inet_pton(AF_INET, host, bytes) == 1 || inet_pton(AF_INET6, host, bytes) == 1;
}

static void link_on_timer(void *arg)
{
	struct link *link = arg;
	struct redis *redis = link->redis;

	if (link->state != LINK_DOWN)
		return;
	if (redis->url.path || is_address(redis->url.host))
		link_connect(link, redis->url.host);
	else if (link == &redis->subscriptions && redis->commands.state == LINK_UP)
		link_connect(link, redis->address); /* where the other one is */
	else if (link == &redis->subscriptions || redis->lookup)
		link_retry(link);
	else
		lookup_start(link);
}

/* -- commands --------------------------------------------------------------------------------------------------------- */

static void on_reply(redisAsyncContext *connection, void *reply, void *arg)
{
	struct request *request = arg;
	struct redis *redis = request->redis;

	BUG_ON(redis->first != request);    /* answers come in the order of the questions */
	redis->first = request->next;
	if (!redis->first)
		redis->end = &redis->first;
	redis->outstanding--;
	redis->outstanding_bytes -= request->bytes;
	if (reply)
		redis->commands.heard_us = clock_monotonic_us();
	if (request->fn)
		request->fn(request->arg, (const struct redis_reply *)reply);
	free(request);
	(void)connection;
}

bool redis_command(struct redis *redis, redis_fn fn, void *arg, size_t count, const struct str *words)
{
	const char *texts[WORDS_MAX];
	size_t lengths[WORDS_MAX], bytes = 0;
	struct request *request;

	BUG_ON(count == 0 || count > WORDS_MAX);
	for (size_t i = 0; i < count; i++) {
		texts[i] = words[i].n ? words[i].p : "";
		lengths[i] = words[i].n;
		bytes += words[i].n;
	}
	if (redis->commands.state != LINK_UP || redis->outstanding >= OUTSTANDING_MAX || (redis->first && redis->outstanding_bytes + bytes > OUTSTANDING_BYTES))
		return false;
	request = mem_alloc(sizeof *request);
	*request = (struct request){ .redis = redis, .fn = fn, .arg = arg, .bytes = bytes, .sent_us = clock_monotonic_us() };
	if (redisAsyncCommandArgv(redis->commands.connection, on_reply, request, (int)count, texts, lengths) != REDIS_OK) {
		free(request);
		return false;
	}
	*redis->end = request;
	redis->end = &request->next;
	redis->outstanding++;
	redis->outstanding_bytes += bytes;
	return true;
}

bool redis_text(struct redis *redis, redis_fn fn, void *arg, ...)
{
	struct str words[WORDS_MAX] = { { NULL, 0 } };
	size_t count = 0;
	const char *word;
	va_list list;

	va_start(list, arg);
	while ((word = va_arg(list, const char *)) && count < WORDS_MAX)
		words[count++] = str_of(word);
	va_end(list);
	return redis_command(redis, fn, arg, count, words);
}

void redis_subscribe(struct redis *redis, const char *name, void (*fn)(void *arg, struct str text), void *arg)
{
	struct channel *channel = &redis->channels[redis->channels_count];

	BUG_ON(redis->channels_count == CHANNELS_MAX);
	*channel = (struct channel){ mem_copy(str_of(name)), fn, arg };
	redis->channels_count++;
	if (redis->subscriptions.state == LINK_UP)
		link_subscribe(&redis->subscriptions, channel);
	else if (redis->channels_count == 1)
		timer_start_us(&redis->subscriptions.timer, 0);
}

bool redis_is_up(const struct redis *redis)
{
	return redis && redis->commands.state == LINK_UP;
}

/* -- silence ---------------------------------------------------------------------------------------------------------- */

static bool is_slow(const struct link *link, int64_t now)
{
	return (link->state == LINK_CONNECTING || link->state == LINK_GREETING) && now - link->since_us > SILENT_US;
}

static void on_tick(void *arg)
{
	struct redis *redis = arg;
	struct link *commands = &redis->commands, *subscriptions = &redis->subscriptions;
	int64_t now = clock_monotonic_us();
	bool is_idle = commands->state == LINK_UP && !redis->first && now - commands->heard_us > IDLE_US;

	timer_start_us(&redis->tick, TICK_US);
	if (is_slow(commands, now) || (commands->state == LINK_UP && redis->first && now - redis->first->sent_us > SILENT_US))
		link_down(commands, "no answer for two seconds");
	else if (is_idle && !redis_text(redis, NULL, NULL, "PING", NULL))
		link_down(commands, "it takes no commands");
	if (is_slow(subscriptions, now) || (subscriptions->state == LINK_UP && commands->state == LINK_UP && now - subscriptions->heard_us > SILENT_US + IDLE_US))
		link_down(subscriptions, "messages do not arrive");
	else if (subscriptions->state == LINK_UP && now - subscriptions->heard_us > IDLE_US)
		(void)!redis_text(redis, NULL, NULL, "PUBLISH", redis->channels[0].name, "", NULL);
}

/* -- life ------------------------------------------------------------------------------------------------------------- */

static void link_init(struct link *link, struct redis *redis, const char *what)
{
	link->redis = redis;
	link->what = what;
	link->backoff_us = BACKOFF_LEAST_US;
	timer_init(&link->timer, redis->options.loop, link_on_timer, link);
}

int redis_new(const struct redis_options *options, struct redis **out, struct errbuf *e)
{
	struct redis_url url;
	int code = redis_url_read(options->url, &url, e);
	struct redis *redis;

	if (code) {
		redis_url_free(&url);
		return code;
	}
	redis = mem_alloc(sizeof *redis);
	redis->options = *options;
	redis->options.url = NULL; /* the caller's */
	redis->url = url;
	redis->end = &redis->first;
	link_init(&redis->commands, redis, "commands");
	link_init(&redis->subscriptions, redis, "messages");
	timer_init(&redis->tick, options->loop, on_tick, redis);
	timer_start_us(&redis->tick, TICK_US);
	timer_start_us(&redis->commands.timer, 0);
	if (options->up)
		metric_set(options->up, 0, NULL);
	*out = redis;
	return 0;
}

static void lookup_abandon(struct redis *redis)
{
	struct lookup *lookup = redis->lookup;

	if (!lookup)
		return;
	pthread_mutex_lock(&lookup->lock);
	lookup->link = NULL; /* whoever comes last frees it: the thread, or what it posted */
	pthread_mutex_unlock(&lookup->lock);
}

void redis_free(struct redis *redis)
{
	if (!redis)
		return;
	redis->closing = true;
	lookup_abandon(redis);
	link_down(&redis->commands, "");
	link_down(&redis->subscriptions, "");
	timer_fini(&redis->commands.timer);
	timer_fini(&redis->subscriptions.timer);
	timer_fini(&redis->tick);
	for (size_t i = 0; i < redis->channels_count; i++)
		free(redis->channels[i].name);
	redis_url_free(&redis->url);
	free(redis);
}

/* -- replies ---------------------------------------------------------------------------------------------------------- */

static const redisReply *own(const struct redis_reply *reply)
{
	return (const redisReply *)(const void *)reply;
}

enum redis_kind redis_kind(const struct redis_reply *reply)
{
	switch (reply ? own(reply)->type : REDIS_REPLY_NIL) {
	case REDIS_REPLY_STRING:
	case REDIS_REPLY_STATUS: return REDIS_TEXT;
	case REDIS_REPLY_INTEGER: return REDIS_NUMBER;
	case REDIS_REPLY_ARRAY: return REDIS_LIST;
	case REDIS_REPLY_ERROR: return REDIS_REFUSED;
	default: return REDIS_NOTHING;
	}
}

struct str redis_str(const struct redis_reply *reply)
{
	enum redis_kind kind = redis_kind(reply);

	return kind == REDIS_TEXT || kind == REDIS_REFUSED ? (struct str){ own(reply)->str, (size_t)own(reply)->len } : STR("");
}

int64_t redis_number(const struct redis_reply *reply)
{
	return redis_kind(reply) == REDIS_NUMBER ? own(reply)->integer : 0;
}

size_t redis_count(const struct redis_reply *reply)
{
	return redis_kind(reply) == REDIS_LIST ? own(reply)->elements : 0;
}

const struct redis_reply *redis_item(const struct redis_reply *reply, size_t i)
{
	return i < redis_count(reply) ? (const struct redis_reply *)(const void *)own(reply)->element[i] : NULL;
}
