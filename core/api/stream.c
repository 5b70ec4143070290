/*
 * GET /v1/runs/{run}/events.
 *
 *     watch the run, keeping what it tells → read its journal and log from the store, page by page, and send what lies behind Last-Event-ID
 *     → send what was kept meanwhile → pass on what it tells → its final status → end
 *
 * Ids are positions in the run's history: "INDEX" an outcome, "INDEX.N" a log line said before that outcome; `effect` and `status` have none, so a client
 * that comes back gets each outcome and line once. A run that is not resident here is looked for in the store once a second.
 * Failure modes: history waits for a client that lags, what happens now does not: a MiB behind, and it is cut (http_server.h). A store that fails ends the
 * stream. In each case the client comes back with its Last-Event-ID and has lost nothing.
 */
#include "api/stream.h"

#include "api/internal.h"
#include "api/runs.h"
#include "base/ids.h"

#include <stdlib.h>
#include <string.h>

#define PAGE_ROWS 200
#define KEEP_ALIVE_US 15000000
#define LOOK_AGAIN_US 1000000
#define KEPT_MAX 10000
#define BEHIND_BYTES (256u << 10)   /* history waits for a client that has not taken so much */

struct position {
	int64_t index, n;                /* n: INT64_MAX for the outcome itself, behind all its lines */
};

struct kept {
	TAILQ_ENTRY(kept) link;
	char *type, *id;
	json_t *data;
};

struct stream {
	TAILQ_ENTRY(stream) link;
	struct api *api;
	struct http_request *request;
	char *tenant, *run;              /* run: of a chain (continue_as_new), the one that is told now */
	bool followed;                   /* it is not the one that was asked for: its positions have its id before them */
	struct position last;            /* what the client has */
	int64_t journal_after, logs_after;
	struct run_watcher *watcher;
	bool history_done, over;         /* over: final is there */
	bool resting, asking;            /* what the flow waits for: the run or the timer; the store */
	size_t kept_count;
	TAILQ_HEAD(, kept) kept;
	struct timer timer;              /* while resting: keep-alive, or the next look */
	struct flow flow;
	struct store_tx *tx;
	int code;
	json_t *final;                   /* the last status event */
};

/* -- sending -- */

static int compare(struct position a, struct position b)
{
	if (a.index != b.index)
		return a.index < b.index ? -1 : 1;
	return a.n == b.n ? 0 : a.n < b.n ? -1 : 1;
}

/* "12" or "12.3". False for anything else. */
static bool read_position(struct str id, struct position *out)
{
	const char *dot = id.n ? memchr(id.p, '.', id.n) : NULL;
	struct str index = { id.p, dot ? (size_t)(dot - id.p) : id.n };
	struct str n = dot ? (struct str){ dot + 1, id.n - index.n - 1 } : STR("");

	out->n = INT64_MAX;
	if (!str_to_int(index, 0, INT64_MAX, &out->index))
		return false;
	return !dot || str_to_int(n, 0, INT64_MAX - 1, &out->n);
}

/* What comes from here on is another run's, from its beginning. */
static void follow(struct stream *stream, struct str run)
{
	char *next = mem_copy(run);

	free(stream->run);
	stream->run = next;
	stream->followed = true;
	stream->last = (struct position){ -1, INT64_MAX };
	stream->journal_after = -1;
	stream->logs_after = 0;
}

static bool send_event(struct stream *stream, const char *type, const char *id, const json_t *data)
{
	struct position at;
	struct buf text;
	bool sent;

	if (strcmp(type, "continued") == 0) {
		follow(stream, json_member_str(data, "continued_as"));
		id = "";
	}
	if (!engine_is_held(stream->api->options.engine))
		return false; /* another worker may have the run: the client comes back, to whoever has it */
	if (read_position(str_of(id), &at)) {
		if (compare(at, stream->last) <= 0)
			return true;
		stream->last = at;
	}
	buf_init(&text, 64u << 20);
	if (id && *id)
		buf_addf(&text, "id: %s%s%s\n", stream->followed && strcmp(id, STREAM_END_ID) ? stream->run : "",
		         stream->followed && strcmp(id, STREAM_END_ID) ? "/" : "", id);
	buf_addf(&text, "event: %s\ndata: ", type);
	json_write(&text, data); /* canonical: one line */
	buf_add_text(&text, "\n\n");
	sent = http_stream_write(stream->request, buf_str(&text));
	buf_free(&text);
	return sent;
}

/* {run, status, output, error}: the same as the engine tells; continued_as where another run goes on. */
static json_t *status_event(const json_t *run)
{
	json_t *event = json_object();

	json_put_str(event, "run", json_member_str(run, "id"));
	json_put_str(event, "status", json_member_str(run, "status"));
	if (run_is_over(json_member_str(run, "status"))) {
		json_put(event, "output", json_incref((json_t *)(uintptr_t)json_member(run, "output")));
		json_put(event, "error", json_incref((json_t *)(uintptr_t)json_member(run, "error")));
	}
	if (json_is_string(json_member(run, "continued_as")))
		json_put_str(event, "continued_as", json_member_str(run, "continued_as"));
	return event;
}

/* Its id tells a client that comes back that there is nothing more. */
static bool send_final(struct stream *stream)
{
	return send_event(stream, "status", STREAM_END_ID, stream->final);
}

static void send_kept(struct stream *stream)
{
	struct kept *kept;

	while ((kept = TAILQ_FIRST(&stream->kept))) {
		TAILQ_REMOVE(&stream->kept, kept, link);
		(void)send_event(stream, kept->type, kept->id, kept->data);
		json_decref(kept->data);
		free(kept->type);
		free(kept->id);
		free(kept);
	}
}

/* -- end -- */

static void stream_free(struct stream *stream)
{
	struct kept *kept;

	TAILQ_REMOVE(&stream->api->streams, stream, link);
	while ((kept = TAILQ_FIRST(&stream->kept))) {
		TAILQ_REMOVE(&stream->kept, kept, link);
		json_decref(kept->data);
		free(kept->type);
		free(kept->id);
		free(kept);
	}
	engine_unwatch(stream->watcher);
	timer_fini(&stream->timer);
	stream_close(stream->api, stream->request);
	store_tx_free(stream->tx);
	json_decref(stream->final);
	free(stream->tenant);
	free(stream->run);
	free(stream);
}

void stream_close(struct api *api, struct http_request *request)
{
	if (store_lease(api->options.store) == STORE_LEASE_HELD)
		http_stream_end(request);
	else
		http_stream_cut(request);
}

static void stream_fini(struct flow *flow)
{
	stream_free(flow->owner);
}

/* A store request cannot be called back: its answer comes and ends the flow. */
static bool stream_abort(struct flow *flow)
{
	struct stream *stream = flow->owner;

	return stream->asking;
}

void stream_end_all(struct api *api)
{
	struct stream *stream, *next;

	for (stream = TAILQ_FIRST(&api->streams); stream; stream = next) {
		next = TAILQ_NEXT(stream, link);
		flow_cancel(&stream->flow, "the host is going down");
	}
}

static void stream_on_close(struct http_request *request, void *arg)
{
	struct stream *stream = arg;

	(void)request;
	flow_cancel(&stream->flow, "the client has gone");
}

/* -- what the run tells -- */

static void wake_rested(struct stream *stream)
{
	if (!stream->resting)
		return;
	stream->resting = false;
	timer_stop(&stream->timer);
	flow_wake(&stream->flow);
}

static void stream_on_time(void *arg)
{
	wake_rested(arg);
}

static void stream_on_event(void *arg, const char *type, const char *id, const json_t *data)
{
	struct stream *stream = arg;
	bool final = strcmp(type, "status") == 0 && run_is_over(json_member_str(data, "status"));
	struct kept *kept;

	if (final) {
		if (stream->over)
			return;
		stream->over = true;
		stream->final = json_incref((json_t *)(uintptr_t)data);
		wake_rested(stream);
		return;
	}
	if (stream->history_done) {
		if (!send_event(stream, type, id, data))
			flow_cancel(&stream->flow, "the client lags behind");
		return;
	}
	if (stream->kept_count == KEPT_MAX)
		return; /* history is read again from the store when the client comes back */
	stream->kept_count++;
	kept = mem_alloc(sizeof *kept);
	kept->type = mem_copy(str_of(type));
	kept->id = mem_copy(str_of(id));
	kept->data = json_incref((json_t *)(uintptr_t)data);
	TAILQ_INSERT_TAIL(&stream->kept, kept, link);
}

/* -- steps -- */

static void stream_on_store(struct store_tx *tx, int code, void *arg)
{
	struct stream *stream = arg;

	(void)tx;
	stream->asking = false;
	stream->code = code;
	flow_wake(&stream->flow);
}

static struct store_tx *fresh_tx(struct stream *stream)
{
	store_tx_free(stream->tx);
	stream->tx = store_tx_new(stream->api->options.store, str_of(stream->tenant));
	return stream->tx;
}

static enum flow_result ask(struct stream *stream)
{
	stream->asking = true;
	store_submit_read(stream->tx, stream_on_store, stream);
	return FLOW_WAIT;
}

static bool is_behind(const struct stream *stream)
{
	return http_stream_pending(stream->request) > BEHIND_BYTES;
}

static void stream_on_taken(void *arg)
{
	struct stream *stream = arg;

	flow_wake(&stream->flow);
}

static enum flow_result step_looked(struct flow *flow);

static enum flow_result step_ask_history(struct flow *flow)
{
	struct stream *stream = flow->owner;
	struct store_tx *tx = fresh_tx(stream);

	runs_tx_journal(tx, str_of(stream->run), stream->journal_after, PAGE_ROWS);
	runs_tx_logs(tx, str_of(stream->run), stream->logs_after, PAGE_ROWS);
	return ask(stream);
}

static bool send_outcome(struct stream *stream, const struct store_result *r, size_t row)
{
	json_t *outcome = runs_journal_json(r, row, ROW_TIMES_US), *data = json_object();
	struct buf id;
	bool sent;

	stream->journal_after = json_member_int(outcome, "index", 0);
	buf_init(&id, 64);
	buf_addf(&id, "%lld", (long long)stream->journal_after);
	json_put_int(data, "index", stream->journal_after);
	json_put_int(data, "effect", json_member_int(outcome, "effect", 0));
	json_put_str(data, "name", json_member_str(outcome, "name"));
	json_put(data, "outcome", json_incref((json_t *)(uintptr_t)json_member(outcome, "outcome")));
	sent = send_event(stream, "outcome", buf_text(&id), data);
	buf_free(&id);
	json_decref(data);
	json_decref(outcome);
	return sent;
}

static bool send_line(struct stream *stream, const struct store_result *r, size_t row)
{
	json_t *line = runs_log_json(r, row, ROW_TIMES_US), *data = json_object();
	struct buf id;
	bool sent;

	stream->logs_after = json_member_int(line, "n", 0);
	buf_init(&id, 64);
	buf_addf(&id, "%lld.%lld", (long long)json_member_int(line, "index", 0), (long long)stream->logs_after);
	json_put_str(data, "level", json_member_str(line, "level"));
	json_put_str(data, "message", json_member_str(line, "message"));
	json_put(data, "fields", json_incref((json_t *)(uintptr_t)json_member(line, "fields")));
	sent = send_event(stream, "log", buf_text(&id), data);
	buf_free(&id);
	json_decref(data);
	json_decref(line);
	return sent;
}

static int64_t number_of(json_t *row /* taken */, const char *key)
{
	int64_t n = json_member_int(row, key, 0);

	json_decref(row);
	return n;
}

/* Two pages in one order, as far as the client keeps up. What a full page has behind it is not known yet: the other one is sent only as far as that. */
static bool send_page(struct stream *stream, const struct store_result *journal, const struct store_result *logs)
{
	size_t i = 0, j = 0;

	while ((i < journal->rows || j < logs->rows) && !is_behind(stream)) {
		int64_t index = i < journal->rows ? number_of(runs_journal_json(journal, i, ROW_TIMES_US), "index") : INT64_MAX;
		int64_t before = j < logs->rows ? number_of(runs_log_json(logs, j, ROW_TIMES_US), "index") : INT64_MAX;

		if ((i == journal->rows && i == PAGE_ROWS) || (j == logs->rows && j == PAGE_ROWS))
			return true;
		if (!(before <= index ? send_line(stream, logs, j++) : send_outcome(stream, journal, i++)))
			return false;
	}
	return true;
}

static enum flow_result step_send_history(struct flow *flow)
{
	struct stream *stream = flow->owner;
	const struct store_result *journal = store_tx_result(stream->tx, 0), *logs = store_tx_result(stream->tx, 1);

	if (stream->code)
		return flow_fail(flow, stream->code, "read the history");
	if (!send_page(stream, journal, logs))
		return flow_fail(flow, ERR_CANCELLED, "the client has gone");
	if (is_behind(stream)) {
		http_stream_when_taken(stream->request, stream_on_taken, stream);
		return flow_wait_for(flow, step_ask_history);
	}
	if (journal->rows == PAGE_ROWS || logs->rows == PAGE_ROWS)
		return flow_goto(flow, step_ask_history);
	return FLOW_NEXT;
}

/* The run has ended in the store, and another goes on: its history, then itself. */
static enum flow_result next_of_chain(struct stream *stream)
{
	json_t *data = json_object();
	bool sent;

	json_put_text(data, "run", stream->run);
	json_put_str(data, "continued_as", json_member_str(stream->final, "continued_as"));
	json_decref(stream->final);
	stream->final = NULL;
	stream->over = stream->history_done = false;
	engine_unwatch(stream->watcher);
	stream->watcher = NULL;
	sent = send_event(stream, "continued", NULL, data);
	json_decref(data);
	if (!sent)
		return flow_fail(&stream->flow, ERR_CANCELLED, "the client has gone");
	stream->watcher = engine_watch_run(stream->api->options.engine, str_of(stream->tenant), str_of(stream->run), stream_on_event, stream);
	runs_tx_get(fresh_tx(stream), str_of(stream->run));
	stream->asking = true;
	store_submit_read(stream->tx, stream_on_store, stream);
	return flow_wait_for(&stream->flow, step_looked);
}

static enum flow_result step_rest(struct flow *flow)
{
	struct stream *stream = flow->owner;

	if (!engine_is_held(stream->api->options.engine))
		return flow_fail(flow, ERR_UNAVAILABLE, "this worker's lease is in doubt");
	send_kept(stream);
	stream->history_done = true;
	if (stream->over && json_member(stream->final, "continued_as"))
		return next_of_chain(stream);
	if (stream->over) {
		(void)send_final(stream);
		return FLOW_DONE;
	}
	stream->resting = true;
	timer_start_us(&stream->timer, stream->watcher ? KEEP_ALIVE_US : LOOK_AGAIN_US);
	return FLOW_WAIT;
}

/* The run is over, or it is time to see whether it still goes on here. */
static enum flow_result step_look(struct flow *flow)
{
	struct stream *stream = flow->owner;

	if (stream->over && json_member(stream->final, "continued_as"))
		return next_of_chain(stream);
	if (stream->over) {
		(void)send_final(stream);
		return FLOW_DONE;
	}
	if (!engine_is_held(stream->api->options.engine) || !http_stream_write(stream->request, STR(": still here\n\n")))
		return flow_fail(flow, ERR_CANCELLED, "the client has gone");
	runs_tx_get(fresh_tx(stream), str_of(stream->run));
	return ask(stream);
}

static enum flow_result step_looked(struct flow *flow)
{
	struct stream *stream = flow->owner;
	json_t *run;

	if (stream->code || !store_tx_result(stream->tx, 0)->rows)
		return flow_fail(flow, ERR_STORE, "read the run");
	run = runs_json(store_tx_result(stream->tx, 0), 0);
	if (!stream->over && run_is_over(json_member_str(run, "status"))) {
		stream->over = true;
		stream->final = status_event(run);
	}
	json_decref(run);
	if (!stream->watcher && !stream->over)
		stream->watcher = engine_watch_run(stream->api->options.engine, str_of(stream->tenant), str_of(stream->run), stream_on_event, stream);
	/* What the watcher did not tell stands in the store. */
	return flow_goto(flow, step_ask_history);
}

static const struct flow_step steps[] = {
	{ "ask history", step_ask_history, 0 },
	{ "send history", step_send_history, 0 },
	{ "rest", step_rest, 0 },
	{ "look", step_look, 0 },
	{ "looked", step_looked, 0 },
	{ NULL, NULL, 0 },
};
static const struct flow_story story = { "run.events", steps, stream_abort, stream_fini };

/* -- begin -- */

static void set_last(struct stream *stream, struct str last_event_id)
{
	stream->last = (struct position){ -1, INT64_MAX };
	stream->journal_after = -1;
	/* "RUN/POSITION": of a run further down the chain */
	if (last_event_id.n > UUID_TEXT_SIZE && last_event_id.p[UUID_TEXT_SIZE - 1] == '/' &&
	    uuid_is_text((struct str){ last_event_id.p, UUID_TEXT_SIZE - 1 })) {
		follow(stream, (struct str){ last_event_id.p, UUID_TEXT_SIZE - 1 });
		last_event_id.p += UUID_TEXT_SIZE;
		last_event_id.n -= UUID_TEXT_SIZE;
	}
	if (!last_event_id.n || !read_position(last_event_id, &stream->last))
		return;
	stream->journal_after = stream->last.n == INT64_MAX ? stream->last.index : stream->last.index - 1;
	stream->logs_after = stream->last.n == INT64_MAX ? 0 : stream->last.n;
}

void stream_start(struct call *call, const json_t *run)
{
	struct stream *stream = mem_alloc(sizeof *stream);
	json_t *now = status_event(run);

	stream->api = call->api;
	stream->tenant = mem_copy(call_tenant(call));
	stream->run = mem_copy(json_member_str(run, "id"));
	TAILQ_INIT(&stream->kept);
	TAILQ_INSERT_TAIL(&call->api->streams, stream, link);
	timer_init(&stream->timer, call->api->options.loop, stream_on_time, stream);
	set_last(stream, call_header(call, "Last-Event-ID"));
	call_set_header(call, "Cache-Control", "no-store");
	call_set_header(call, "X-Accel-Buffering", "no");
	stream->request = call_detach(call, 200);
	http_on_close(stream->request, stream_on_close, stream);
	http_stream_begin(stream->request, 200, "text/event-stream");
	(void)http_stream_write(stream->request, STR("retry: 1000\n\n"));
	stream->over = !stream->followed && run_is_over(json_member_str(run, "status"));
	if (stream->over) {
		stream->final = now;
	} else {
		if (!stream->followed)
			(void)send_event(stream, "status", NULL, now);
		json_decref(now);
		stream->watcher = engine_watch_run(stream->api->options.engine, str_of(stream->tenant), str_of(stream->run), stream_on_event, stream);
	}
	flow_start(&stream->flow, stream->api->options.loop, &story, stream);
}
