/*
 * GET /v1/events: the tenant's events as server-sent events, in the order of their numbers, which is that of their commits on any host.
 *
 *     where to begin (Last-Event-ID, ?since=, else now) → read a page behind it, send → … → rest until something new is known → read a page …
 *
 * What wakes those that rest: an event that this worker emitted, word from another one over Redis, and a look at the newest number once a second for each
 * tenant that somebody listens to. The store is the only source: the same from every host.
 * Failure modes: a client that does not take what it gets is read for no more than a page beyond, and cut when it takes nothing (http_server.h). A store that
 * fails ends the stream. In each case the client comes back with its Last-Event-ID and has lost nothing.
 */
#include "api/handlers.h"
#include "api/internal.h"
#include "api/stream.h"
#include "store/events.h"

#include <stdlib.h>
#include <string.h>

#define PAGE_ROWS 100
#define PREFIX_WINDOW 5000           /* numbers looked through for a prefix in one read */
#define LOOK_US 1000000
#define KEEP_ALIVE_US 15000000
#define BEHIND_BYTES (256u << 10)

struct event_stream {
	TAILQ_ENTRY(event_stream) link;
	struct api *api;
	struct http_request *request;
	char *tenant;
	char *type;                      /* NULL: all; of a prefix without its star */
	bool prefix;
	int64_t after;                   /* seq of the last one that the client has, or that was passed over; -1: now */
	int64_t newest;                  /* as far as is known */
	bool resting, asking, again;     /* again: word came while the store was asked */
	int64_t written_us;              /* monotonic: last bytes */
	struct flow flow;
	struct store_tx *tx;
	int code;
};

/* -- end -- */

static void stream_fini(struct flow *flow)
{
	struct event_stream *stream = flow->owner;

	TAILQ_REMOVE(&stream->api->event_streams.list, stream, link);
	stream_close(stream->api, stream->request);
	store_tx_free(stream->tx);
	free(stream->tenant);
	free(stream->type);
	free(stream);
}

/* A store request cannot be called back: its answer comes and ends the flow. */
static bool stream_abort(struct flow *flow)
{
	struct event_stream *stream = flow->owner;

	return stream->asking;
}

static void stream_on_close(struct http_request *request, void *arg)
{
	struct event_stream *stream = arg;

	(void)request;
	flow_cancel(&stream->flow, "the client has gone");
}

void event_streams_end_all(struct api *api)
{
	struct event_stream *stream, *next;

	for (stream = TAILQ_FIRST(&api->event_streams.list); stream; stream = next) {
		next = TAILQ_NEXT(stream, link);
		flow_cancel(&stream->flow, "the host is going down");
	}
}

/* -- steps -- */

static void stream_on_store(struct store_tx *tx, int code, void *arg)
{
	struct event_stream *stream = arg;

	(void)tx;
	stream->asking = false;
	stream->code = code;
	flow_wake(&stream->flow);
}

static enum flow_result step_ask(struct flow *flow)
{
	struct event_stream *stream = flow->owner;
	struct str type = str_of(stream->type);

	store_tx_free(stream->tx);
	stream->tx = store_tx_new(stream->api->options.store, str_of(stream->tenant));
	stream->again = false;
	events_tx_last(stream->tx);
	if (stream->after >= 0 && stream->prefix)
		events_tx_list_prefix(stream->tx, stream->after, type, PREFIX_WINDOW, PAGE_ROWS);
	else if (stream->after >= 0)
		events_tx_list(stream->tx, stream->after, type, PAGE_ROWS);
	stream->asking = true;
	store_submit_read(stream->tx, stream_on_store, stream);
	return FLOW_WAIT;
}

static bool send_event(struct event_stream *stream, const struct store_result *r, size_t row)
{
	json_t *event = events_json(r, row);
	struct buf text;
	bool sent;

	buf_init(&text, 64u << 20);
	buf_addf(&text, "id: %lld\nevent: ", (long long)events_seq(r, row));
	/* a type is any text: a line end in it would begin a field of its own */
	for (struct str type = json_member_str(event, "type"); type.n; type.p++, type.n--)
		buf_add_char(&text, *type.p == '\n' || *type.p == '\r' ? ' ' : *type.p);
	buf_add_text(&text, "\ndata: ");
	json_write(&text, event); /* canonical: one line */
	buf_add_text(&text, "\n\n");
	sent = http_stream_write(stream->request, buf_str(&text));
	stream->written_us = clock_monotonic_us();
	buf_free(&text);
	json_decref(event);
	return sent;
}

static void stream_on_taken(void *arg)
{
	struct event_stream *stream = arg;

	flow_wake(&stream->flow);
}

/* How far a page brought us although it may have shown nothing: everything up to there has been looked at. */
static void pass_over(struct event_stream *stream, size_t rows)
{
	int64_t seen = stream->newest;

	if (rows == PAGE_ROWS)
		return;
	if (stream->prefix && stream->after + PREFIX_WINDOW < seen && rows == 0)
		seen = stream->after + PREFIX_WINDOW;
	else if (stream->prefix && rows > 0)
		return;
	if (seen > stream->after)
		stream->after = seen;
}

static enum flow_result step_send(struct flow *flow)
{
	struct event_stream *stream = flow->owner;
	const struct store_result *r;
	size_t i = 0;

	if (stream->code)
		return flow_fail(flow, stream->code, "read the events");
	if (store_lease(stream->api->options.store) != STORE_LEASE_HELD)
		return flow_fail(flow, ERR_UNAVAILABLE, "this worker may have been replaced");
	/* Read before the page: what is newer than this may be missing in it. */
	stream->newest = store_int(store_tx_result(stream->tx, 0), 0, 0);
	if (stream->after < 0) {
		stream->after = stream->newest;
		return FLOW_NEXT;
	}
	r = store_tx_result(stream->tx, 1);
	for (; i < r->rows && http_stream_pending(stream->request) <= BEHIND_BYTES; i++) {
		if (!send_event(stream, r, i))
			return flow_fail(flow, ERR_CANCELLED, "the client has gone");
		stream->after = events_seq(r, i);
	}
	if (i == r->rows)
		pass_over(stream, r->rows);
	if (http_stream_pending(stream->request) > BEHIND_BYTES) {
		http_stream_when_taken(stream->request, stream_on_taken, stream);
		return flow_wait_for(flow, step_ask);
	}
	if (stream->after < stream->newest || r->rows == PAGE_ROWS || stream->again)
		return flow_goto(flow, step_ask);
	return FLOW_NEXT;
}

static enum flow_result step_rest(struct flow *flow)
{
	struct event_stream *stream = flow->owner;

	if (stream->again)
		return flow_goto(flow, step_ask);
	stream->resting = true;
	return flow_wait_for(flow, step_ask);
}

static const struct flow_step steps[] = {
	{ "ask", step_ask, 0 },
	{ "send", step_send, 0 },
	{ "rest", step_rest, 0 },
	{ NULL, NULL, 0 },
};
static const struct flow_story story = { "events.stream", steps, stream_abort, stream_fini };

/* -- waking -- */

static void wake(struct event_stream *stream)
{
	stream->again = true;
	if (!stream->resting)
		return;
	stream->resting = false;
	flow_wake(&stream->flow);
}

void event_streams_wake(struct api *api, const char *tenant)
{
	struct event_stream *stream, *next;

	for (stream = TAILQ_FIRST(&api->event_streams.list); stream; stream = next) {
		next = TAILQ_NEXT(stream, link);
		if (strcmp(stream->tenant, tenant) == 0)
			wake(stream);
	}
}

struct newest {
	struct api *api;
	char *tenant;
};

static void on_newest(struct store_tx *tx, int code, void *arg)
{
	struct newest *newest = arg;
	struct event_stream *stream, *next;
	int64_t seq = code ? -1 : store_int(store_tx_result(tx, 0), 0, 0);

	for (stream = TAILQ_FIRST(&newest->api->event_streams.list); stream; stream = next) {
		next = TAILQ_NEXT(stream, link);
		/* a store that fails: each finds out for itself, and ends */
		if (strcmp(stream->tenant, newest->tenant) == 0 && (code || seq > stream->after))
			wake(stream);
	}
	store_tx_free(tx);
	free(newest->tenant);
	free(newest);
}

static void look_at(struct api *api, const char *tenant)
{
	struct newest *newest = mem_alloc(sizeof *newest);
	struct store_tx *tx = store_tx_new(api->options.store, str_of(tenant));

	newest->api = api;
	newest->tenant = mem_copy(str_of(tenant));
	events_tx_last(tx);
	store_submit_read(tx, on_newest, newest);
}

static bool is_first_of_tenant(const struct api *api, const struct event_stream *stream)
{
	const struct event_stream *other;

	TAILQ_FOREACH(other, &api->event_streams.list, link)
		if (other == stream || strcmp(other->tenant, stream->tenant) == 0)
			return other == stream;
	return false;
}

static void on_time(void *arg)
{
	struct api *api = arg;
	struct event_stream *stream, *next;

	for (stream = TAILQ_FIRST(&api->event_streams.list); stream; stream = next) {
		next = TAILQ_NEXT(stream, link);
		if (is_first_of_tenant(api, stream))
			look_at(api, stream->tenant);
		if (stream->written_us > clock_monotonic_us() - KEEP_ALIVE_US)
			continue;
		stream->written_us = clock_monotonic_us();
		if (store_lease(api->options.store) != STORE_LEASE_HELD || !http_stream_write(stream->request, STR(": still here\n\n")))
			flow_cancel(&stream->flow, "the client has gone");
	}
	if (!TAILQ_EMPTY(&api->event_streams.list))
		timer_start_us(&api->event_streams.timer, LOOK_US);
}

void event_streams_init(struct api *api)
{
	TAILQ_INIT(&api->event_streams.list);
	timer_init(&api->event_streams.timer, api->options.loop, on_time, api);
}

void event_streams_fini(struct api *api)
{
	timer_fini(&api->event_streams.timer);
}

/* -- begin -- */

/* False: answered with 400. */
static bool where_to_begin(struct call *call, int64_t *after)
{
	struct str last = call_header(call, "Last-Event-ID");
	const char *since = call_query(call, "since");

	*after = -1;
	/* what a client keeps from another stream is no number: it begins now */
	if (last.n && str_to_int(last, 0, INT64_MAX, after))
		return true;
	if (!since || str_to_int(str_of(since), 0, INT64_MAX, after))
		return true;
	call_fail(call, ERR_INVALID, "since is the id of an event in this stream, a number; 0 begins with the first that is kept");
	return false;
}

static bool check_type(struct call *call, const char *type)
{
	const char *star = type ? strchr(type, '*') : NULL;

	if (!type || (*type && (!star || !star[1])))
		return true;
	call_fail(call, ERR_INVALID, "type is an event type, or the beginning of one with a * behind it: email.*");
	return false;
}

void handle_stream_events(struct call *call)
{
	const char *type = call_query(call, "type");
	struct event_stream *stream;
	struct api *api = call->api;
	int64_t after;

	if (!where_to_begin(call, &after) || !check_type(call, type))
		return;
	if (str_is(http_request_method(call->request), "HEAD")) {
		call_reply_text(call, 200, "text/event-stream", STR(""));
		return;
	}
	stream = mem_alloc(sizeof *stream);
	stream->api = api;
	stream->tenant = mem_copy(call_tenant(call));
	stream->after = after;
	stream->prefix = type && type[strlen(type) - 1] == '*';
	stream->type = type && strcmp(type, "*") != 0 ? mem_copy((struct str){ type, strlen(type) - stream->prefix }) : NULL;
	stream->prefix = stream->prefix && stream->type;
	call_set_header(call, "Cache-Control", "no-store");
	call_set_header(call, "X-Accel-Buffering", "no");
	stream->request = call_detach(call, 200);
	if (TAILQ_EMPTY(&api->event_streams.list))
		timer_start_us(&api->event_streams.timer, LOOK_US);
	TAILQ_INSERT_TAIL(&api->event_streams.list, stream, link);
	http_on_close(stream->request, stream_on_close, stream);
	http_stream_begin(stream->request, 200, "text/event-stream");
	(void)http_stream_write(stream->request, STR("retry: 1000\n\n"));
	stream->written_us = clock_monotonic_us();
	flow_start(&stream->flow, api->options.loop, &story, stream);
}
