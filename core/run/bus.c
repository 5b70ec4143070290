/*
 * Channels: perigee:worker:OWNER (hints, one a line; OWNER may be *: all of them) and perigee:emitted (tenants with new events, one a line). What is said in one turn of the loop goes out as
 * one message at its end. Publishing is fire and forget: who is not reached looks at the store by himself.
 */
#include "run/bus.h"

#include "run/relay.h"

#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#define MESSAGE_BYTES (256u << 10)      /* of one turn and one channel; the rest is found by looking */
#define EMITTED "perigee:emitted"
#define ANY_WORKER "perigee:worker:*"   /* no pattern: the channel of hints for whoever looks first, worker "*" */

struct message {                        /* to go out at the end of the turn */
	char *channel;
	struct buf text;
	UT_hash_handle hh;
};

struct bus {
	struct bus_options options;
	struct redis *redis;
	struct relay *relay;
	struct metric *up;
	struct message *messages;
	struct loop_item flush;
	bool flushing;
	void (*on_events)(void *arg, const char *tenant);
	void *on_events_arg;
	void (*on_hint)(void *arg, struct str hint);
	void *on_hint_arg;
};

/* -- out -------------------------------------------------------------------------------------------------------------- */

static void on_flush(void *arg)
{
	struct bus *bus = arg;
	struct message *message, *next;

	bus->flushing = false;
	HASH_ITER(hh, bus->messages, message, next) {
		struct str words[] = { STR("PUBLISH"), str_of(message->channel), buf_str(&message->text) };
		HASH_DEL(bus->messages, message);
		(void)!redis_command(bus->redis, NULL, NULL, 3, words);
		buf_free(&message->text);
		free(message->channel);
		free(message);
	}
}

static bool has_line(const struct buf *text, const char *line)
{
	size_t n = strlen(line);

	for (const char *at = buf_text(text); (at = strstr(at, line)); at += n)
		if ((at == text->p || at[-1] == '\n') && (at[n] == '\n' || at[n] == 0))
			return true;
	return false;
}

static bool say(struct bus *bus, const char *channel, const char *line)
{
	struct message *message;

	if (!redis_is_up(bus->redis))
		return false;
	HASH_FIND_STR(bus->messages, channel, message);
	if (!message) {
		message = mem_alloc(sizeof *message);
		message->channel = mem_copy(str_of(channel));
		buf_init(&message->text, MESSAGE_BYTES);
		HASH_ADD_KEYPTR(hh, bus->messages, message->channel, strlen(message->channel), message);
	}
	/* few lines are compared: what is said twice in a turn is said soon after */
	if (message->text.n < 4096 && has_line(&message->text, line))
		return true;
	if (message->text.n + strlen(line) + 1 > MESSAGE_BYTES)
		return false;
	if (message->text.n)
		buf_add_char(&message->text, '\n');
	buf_add_text(&message->text, line);
	if (!bus->flushing) {
		bus->flushing = true;
		loop_defer(bus->options.loop, &bus->flush, on_flush, bus);
	}
	return true;
}

bool bus_send_hint(void *arg, const char *worker, const char *text)
{
	struct bus *bus = arg;
	struct buf channel;
	bool said;

	if (!redis_is_up(bus->redis) || strchr(text, '\n'))
		return false;
	buf_init(&channel, 200);
	buf_addf(&channel, "perigee:worker:%s", worker);
	said = say(bus, buf_text(&channel), text);
	buf_free(&channel);
	return said;
}

static void bus_on_emitted(void *arg, const char *tenant)
{
	struct bus *bus = arg;

	if (bus->on_events)
		bus->on_events(bus->on_events_arg, tenant);
	if (!bus->redis)
		return;
	(void)say(bus, EMITTED, tenant);
	relay_wake(bus->relay, tenant);
}

/* -- in --------------------------------------------------------------------------------------------------------------- */

/* Calls fn for each line. Anybody may publish: what a line means is checked by who gets it. */
static void each_line(struct str text, void (*fn)(struct bus *bus, const char *line), struct bus *bus)
{
	while (text.n) {
		const char *end = memchr(text.p, '\n', text.n);
		size_t n = end ? (size_t)(end - text.p) : text.n;
		char *line = mem_copy((struct str){ text.p, n });

		if (*line)
			fn(bus, line);
		free(line);
		text.p += end ? n + 1 : n;
		text.n -= end ? n + 1 : n;
	}
}

static void take_tenant(struct bus *bus, const char *tenant)
{
	if (bus->on_events)
		bus->on_events(bus->on_events_arg, tenant);
}

static void on_tenants(void *arg, struct str text)
{
	each_line(text, take_tenant, arg);
}

static void take_hint(struct bus *bus, const char *hint)
{
	if (bus->on_hint)
		bus->on_hint(bus->on_hint_arg, str_of(hint));
}

static void on_hints(void *arg, struct str text)
{
	each_line(text, take_hint, arg);
}

static void on_changed(void *arg, bool up)
{
	struct bus *bus = arg;

	if (up && bus->relay)
		relay_on_up(bus->relay);
}

/* -- life ------------------------------------------------------------------------------------------------------------- */

int bus_new(const struct bus_options *options, struct bus **out, struct errbuf *e)
{
	struct bus *bus = mem_alloc(sizeof *bus);
	int code = 0;

	bus->options = *options;
	bus->up = metric_declare(options->metrics, METRIC_GAUGE, "perigee_redis_up", "Does Redis answer? (0 with Redis off.)", NULL, NULL);
	metric_combine(bus->up, COMBINE_LEAST);
	metric_set(bus->up, 0, NULL);
	if (options->redis_url && *options->redis_url) {
		struct redis_options redis = {
			.loop = options->loop, .url = options->redis_url, .up = bus->up, .rng = options->rng, .changed = on_changed, .arg = bus,
		};
		code = redis_new(&redis, &bus->redis, e);
	}
	if (code) {
		bus_free(bus);
		return code;
	}
	*out = bus;
	return 0;
}

void bus_attach(struct bus *bus, struct engine *engine)
{
	struct buf channel;

	engine_on_emitted(engine, bus_on_emitted, bus);
	if (!bus->redis)
		return;
	struct relay_options relay = {
		.loop = bus->options.loop, .store = bus->options.store, .redis = bus->redis, .metrics = bus->options.metrics,
		.owner = engine_owner(engine), .length_max = bus->options.stream_length,
	};
	bus->relay = relay_new(&relay);
	buf_init(&channel, 200);
	buf_addf(&channel, "perigee:worker:%s", engine_owner(engine));
	redis_subscribe(bus->redis, buf_text(&channel), on_hints, bus);
	redis_subscribe(bus->redis, ANY_WORKER, on_hints, bus);
	redis_subscribe(bus->redis, EMITTED, on_tenants, bus);
	buf_free(&channel);
}

void bus_free(struct bus *bus)
{
	struct message *message, *next;

	if (!bus)
		return;
	redis_free(bus->redis);
	relay_free(bus->relay);
	HASH_ITER(hh, bus->messages, message, next) {
		HASH_DEL(bus->messages, message);
		buf_free(&message->text);
		free(message->channel);
		free(message);
	}
	free(bus);
}

void bus_on_events(struct bus *bus, void (*fn)(void *arg, const char *tenant), void *arg)
{
	bus->on_events = fn;
	bus->on_events_arg = arg;
}

void bus_on_hints(struct bus *bus, void (*fn)(void *arg, struct str hint), void *arg)
{
	bus->on_hint = fn;
	bus->on_hint_arg = arg;
}

enum bus_redis bus_redis(const struct bus *bus)
{
	return !bus || !bus->redis ? BUS_REDIS_OFF : redis_is_up(bus->redis) ? BUS_REDIS_UP : BUS_REDIS_DOWN;
}
