/*
 * A round for one tenant:
 *
 *     take the turn, ask where the stream ends → read what the outbox has behind it → add it → … → trim, give the turn back
 *
 * The turn (a key in Redis that expires) keeps workers from doing the same work twice; right and wrong do not depend on it. A stream is created by the first
 * event of a round that found none; every other one is added only to a stream that is there. So a Redis that is flushed in the middle of a round is noticed, and
 * filled again from the beginning of what the outbox keeps.
 * Trimming is one script on the server: behind what every group has acknowledged; where there is no group, to a length.
 * Failure modes: Redis gone or silent: the round ends, and begins again when it is back, or at the next look (each tenant is looked at every two seconds, many of
 * them by turns). The store fails: the same.
 */
#include "run/relay.h"

#include "base/ids.h"
#include "base/log.h"
#include "store/events.h"

#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#define LOOK_US 1000000
#define LOOK_TENANTS 16
#define AGAIN_US 100000               /* another worker has the turn */
#define TURN_MS "3000"
#define PAGE_ROWS 50
#define TRIM_US 5000000

static const char take_turn[] =
	"local holder = redis.call('GET', KEYS[2]) "
	"if holder and holder ~= ARGV[1] then return false end "
	"redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2]) "
	"if redis.call('EXISTS', KEYS[1]) == 0 then return {} end "
	"local info = redis.call('XINFO', 'STREAM', KEYS[1]) "
	"for i = 1, #info, 2 do if info[i] == 'last-generated-id' then return {info[i + 1]} end end "
	"return redis.error_reply('XINFO STREAM names no last-generated-id')";

static const char give_back[] =
	"if redis.call('GET', KEYS[2]) == ARGV[1] then redis.call('DEL', KEYS[2]) end "
	"if ARGV[2] == '' or redis.call('EXISTS', KEYS[1]) == 0 then return 0 end "
	"local groups = redis.call('XINFO', 'GROUPS', KEYS[1]) "
	"if #groups == 0 then return redis.call('XTRIM', KEYS[1], 'MAXLEN', ARGV[2]) end "
	"local least_ms, least_n "
	"for _, group in ipairs(groups) do "
	"  local f = {} for i = 1, #group, 2 do f[group[i]] = group[i + 1] end "
	"  local id, behind = f['last-delivered-id'], 1 "
	"  if f.pending > 0 then id, behind = redis.call('XPENDING', KEYS[1], f.name)[2], 0 end "
	"  local ms, n = string.match(id, '^(%d+)-(%d+)$') "
	"  ms, n = tonumber(ms), tonumber(n) + behind "
	"  if not least_ms or ms < least_ms or (ms == least_ms and n < least_n) then least_ms, least_n = ms, n end "
	"end "
	"return redis.call('XTRIM', KEYS[1], 'MINID', string.format('%.0f-%.0f', least_ms, least_n))";

struct stream {
	struct relay *relay;
	char *tenant, *key, *turn_key;
	bool busy;                          /* a round is under way */
	bool again;                         /* there may be more than it saw */
	bool elsewhere;                     /* another worker has the turn: try again soon */
	bool exists, vanished, lost;        /* of the round: the stream is there; was flushed; Redis or the store failed */
	int64_t after;                      /* seq of the last one in the stream */
	int64_t trimmed_us;
	UT_hash_handle hh;
};

struct relay {
	struct relay_options options;
	char *owner, length[24];
	struct stream *streams;
	struct timer look, soon;
	size_t turn;
	bool soon_set;
	struct metric *relayed;
};

static void round_begin(struct stream *stream);

/* -- the end of a round ----------------------------------------------------------------------------------------------- */

static void try_soon(struct relay *relay)
{
	if (relay->soon_set)
		return;
	relay->soon_set = true;
	timer_start_us(&relay->soon, AGAIN_US);
}

static void round_end(struct stream *stream)
{
	stream->busy = false;
	if (stream->again || stream->elsewhere)
		try_soon(stream->relay);
}

static void on_given_back(void *arg, const struct redis_reply *reply)
{
	struct stream *stream = arg;

	if (redis_kind(reply) == REDIS_REFUSED) {
		char *why = mem_copy(redis_str(reply));
		log_event(LOG_WARN, "relay.trim", "tenant", stream->tenant, "error", why, NULL);
		free(why);
	}
	round_end(stream);
}

static void round_finish(struct stream *stream)
{
	struct relay *relay = stream->relay;
	int64_t now = clock_monotonic_us();
	bool trim = !stream->trimmed_us || now - stream->trimmed_us > TRIM_US;

	if (trim)
		stream->trimmed_us = now;
	if (!redis_text(relay->options.redis, on_given_back, stream, "EVAL", give_back, "2", stream->key, stream->turn_key, relay->owner,
	                trim ? relay->length : "", NULL))
		round_end(stream); /* the turn runs out by itself */
}

/* -- adding ----------------------------------------------------------------------------------------------------------- */

static void read_page(struct stream *stream);

static void on_all_added(struct stream *stream, bool more)
{
	if (stream->lost) {
		stream->again = true;
		round_end(stream);
	} else if (stream->vanished || more) {
		round_begin(stream); /* with the turn, which it renews */
	} else {
		round_finish(stream);
	}
}

struct addition {
	struct stream *stream;
	bool is_last, more;
};

static void on_added(void *arg, const struct redis_reply *reply)
{
	struct addition *addition = arg;
	struct stream *stream = addition->stream;
	bool is_last = addition->is_last, more = addition->more;

	switch (redis_kind(reply)) {
	case REDIS_TEXT:
		metric_add(stream->relay->relayed, 1, NULL);
		break;
	case REDIS_REFUSED: /* there already: another worker was quicker. Anything else stays wrong and is told */
		if (!memmem(redis_str(reply).p, redis_str(reply).n, "equal or smaller", 16)) {
			char *why = mem_copy(redis_str(reply));
			log_event(LOG_ERROR, "relay.refused", "tenant", stream->tenant, "error", why, NULL);
			free(why);
			stream->lost = true;
		}
		break;
	default:
		stream->lost |= reply == NULL;
		stream->vanished |= reply != NULL;
	}
	free(addition);
	if (is_last)
		on_all_added(stream, more);
}

static bool add(struct stream *stream, const struct store_result *r, size_t row, bool is_last, bool more)
{
	json_t *event = events_json(r, row);
	char *text = json_to_text(event);
	struct str id = json_member_str(event, "id"), type = json_member_str(event, "type"), words[13];
	char seq[24], at[28];
	size_t n = 0;
	struct addition *addition = mem_alloc(sizeof *addition);
	bool sent;

	snprintf(seq, sizeof seq, "%lld", (long long)events_seq(r, row));
	snprintf(at, sizeof at, "%s-0", seq);
	*addition = (struct addition){ stream, is_last, more };
	words[n++] = STR("XADD");
	words[n++] = str_of(stream->key);
	if (stream->exists)
		words[n++] = STR("NOMKSTREAM");
	words[n++] = str_of(at);
	words[n++] = STR("seq");
	words[n++] = str_of(seq);
	words[n++] = STR("id");
	words[n++] = id;
	words[n++] = STR("type");
	words[n++] = type;
	words[n++] = STR("event");
	words[n++] = str_of(text);
	sent = redis_command(stream->relay->options.redis, on_added, addition, n, words);
	if (sent)
		stream->exists = true;
	else
		free(addition);
	json_decref(event);
	free(text);
	return sent;
}

static void on_page(struct store_tx *tx, int code, void *arg)
{
	struct stream *stream = arg;
	const struct store_result *r = store_tx_result(tx, 1);
	size_t added = 0, rows = code ? 0 : r->rows;
	bool first = !stream->exists;

	if (code)
		log_event(LOG_ERROR, "relay.read", "tenant", stream->tenant, "error", store_tx_error(tx), "next", "tried again soon", NULL);
	/* A new stream begins with what it may hold, not with all that there ever was. */
	if (rows && first && store_int(store_tx_result(tx, 0), 0, 0) - stream->relay->options.length_max >= events_seq(r, 0)) {
		stream->after = store_int(store_tx_result(tx, 0), 0, 0) - stream->relay->options.length_max;
		store_tx_free(tx);
		read_page(stream);
		return;
	}
	while (added < rows && add(stream, r, added, added + 1 == rows, rows == PAGE_ROWS))
		added++;
	store_tx_free(tx);
	if (rows && added == rows)
		return;
	/* What was sent is answered; what was not is sent in the next round. */
	stream->again |= code || added < rows;
	if (added == 0 && code == 0 && rows == 0)
		round_finish(stream);
	else
		round_end(stream);
}

static void read_page(struct stream *stream)
{
	struct store_tx *tx = store_tx_new(stream->relay->options.store, str_of(stream->tenant));

	events_tx_last(tx);
	events_tx_list(tx, stream->after, STR(""), PAGE_ROWS);
	store_submit_read(tx, on_page, stream);
}

/* -- the turn --------------------------------------------------------------------------------------------------------- */

static void on_turn(void *arg, const struct redis_reply *reply)
{
	struct stream *stream = arg;
	struct str last;

	switch (redis_kind(reply)) {
	case REDIS_LIST:
		break;
	case REDIS_REFUSED: {
		char *why = mem_copy(redis_str(reply));
		log_event(LOG_ERROR, "relay.turn", "tenant", stream->tenant, "error", why, NULL);
		free(why);
		round_end(stream);
		return;
	}
	default:
		stream->elsewhere = reply != NULL;
		stream->again |= reply == NULL;
		round_end(stream);
		return;
	}
	last = redis_str(redis_item(reply, 0));
	stream->exists = redis_count(reply) > 0;
	stream->after = 0;
	if (last.n) {
		const char *dash = memchr(last.p, '-', last.n);
		if (!dash || !str_to_int((struct str){ last.p, (size_t)(dash - last.p) }, 0, INT64_MAX, &stream->after)) {
			log_event(LOG_ERROR, "relay.foreign", "stream", stream->key, "next", "somebody else wrote into it: rename or delete it", NULL);
			round_end(stream);
			return;
		}
	}
	read_page(stream);
}

static void round_begin(struct stream *stream)
{
	struct relay *relay = stream->relay;

	stream->busy = true;
	stream->again = stream->elsewhere = stream->vanished = stream->lost = false;
	if (redis_text(relay->options.redis, on_turn, stream, "EVAL", take_turn, "2", stream->key, stream->turn_key, relay->owner, TURN_MS, NULL))
		return;
	stream->busy = false;
	stream->again = true; /* relay_on_up */
}

/* -- when ------------------------------------------------------------------------------------------------------------- */

static struct stream *stream_of(struct relay *relay, const char *tenant)
{
	struct stream *stream;
	struct buf name;

	HASH_FIND_STR(relay->streams, tenant, stream);
	if (stream)
		return stream;
	stream = mem_alloc(sizeof *stream);
	stream->relay = relay;
	stream->tenant = mem_copy(str_of(tenant));
	buf_init(&name, 200);
	buf_addf(&name, "perigee:%s:events", tenant);
	stream->key = buf_take(&name);
	buf_addf(&name, "perigee:%s:relay", tenant);
	stream->turn_key = buf_take(&name);
	buf_free(&name);
	HASH_ADD_KEYPTR(hh, relay->streams, stream->tenant, strlen(stream->tenant), stream);
	return stream;
}

void relay_wake(struct relay *relay, const char *tenant)
{
	struct stream *stream = stream_of(relay, tenant);

	if (stream->busy || !redis_is_up(relay->options.redis))
		stream->again = true;
	else if (!stream->elsewhere) /* else `soon` is set already */
		round_begin(stream);
}

static void on_soon(void *arg)
{
	struct relay *relay = arg;

	relay->soon_set = false;
	if (!redis_is_up(relay->options.redis))
		return;
	for (struct stream *stream = relay->streams; stream; stream = stream->hh.next)
		if (!stream->busy && (stream->again || stream->elsewhere))
			round_begin(stream);
}

void relay_on_up(struct relay *relay)
{
	try_soon(relay);
	timer_start_us(&relay->look, 0);
}

/* Half of the tenants, sixteen at most: what other processes emitted and were killed before they relayed it, and streams that were flushed. */
static void on_look(void *arg)
{
	struct relay *relay = arg;
	json_t *names;
	size_t count, some;

	timer_start_us(&relay->look, LOOK_US);
	if (!redis_is_up(relay->options.redis))
		return;
	names = store_tenant_names(relay->options.store);
	count = json_array_size(names);
	some = (count + 1) / 2 < LOOK_TENANTS ? (count + 1) / 2 : LOOK_TENANTS;
	for (size_t i = 0; i < some; i++) {
		struct stream *stream = stream_of(relay, json_string_value(json_array_get(names, (relay->turn + i) % count)));
		if (!stream->busy)
			round_begin(stream);
	}
	relay->turn += some;
	json_decref(names);
}

struct relay *relay_new(const struct relay_options *options)
{
	struct relay *relay = mem_alloc(sizeof *relay);

	relay->options = *options;
	relay->owner = mem_copy(str_of(options->owner));
	relay->options.owner = relay->owner;
	snprintf(relay->length, sizeof relay->length, "%lld", (long long)options->length_max);
	relay->relayed = metric_declare(options->metrics, METRIC_COUNTER, "perigee_events_relayed_total", "Events put into Redis streams", NULL, NULL);
	timer_init(&relay->look, options->loop, on_look, relay);
	timer_init(&relay->soon, options->loop, on_soon, relay);
	return relay;
}

void relay_free(struct relay *relay)
{
	struct stream *stream, *next;

	if (!relay)
		return;
	timer_fini(&relay->look);
	timer_fini(&relay->soon);
	HASH_ITER(hh, relay->streams, stream, next) {
		HASH_DEL(relay->streams, stream);
		free(stream->tenant);
		free(stream->key);
		free(stream->turn_key);
		free(stream);
	}
	free(relay->owner);
	free(relay);
}
