/* /v1/runs: list, one, journal, events, cancel, signals. */
#include "api/runs.h"

#include "api/handlers.h"
#include "api/internal.h"
#include "base/crypto.h"
#include "base/ids.h"

#include <stdlib.h>
#include <string.h>

bool run_is_over(struct str status)
{
	return str_is(status, "succeeded") || str_is(status, "failed") || str_is(status, "cancelled") || str_is(status, "stuck");
}

json_t *run_object(const struct call *call, size_t op)
{
	const struct store_result *r = store_tx_result(call->tx, op);

	return r->rows ? runs_json(r, 0) : NULL;
}

bool need_uuid(struct call *call, size_t param, const char *what)
{
	if (uuid_is_text(call_param(call, param)))
		return true;
	call_fail(call, ERR_NOT_FOUND, "no such %s", what);
	return false;
}

static enum flow_result fail_unknown_run(struct call *call)
{
	return flow_fail(&call->flow, ERR_NOT_FOUND, "no run %s", call->params[0]);
}

/* -- list -- */

static enum flow_result step_answer_list(struct flow *flow)
{
	struct call *call = flow->owner;
	const int64_t *limit = call->state;

	if (call->code)
		return call_store_failed(call);
	call_reply_page(call, runs_list_json(store_tx_result(call->tx, 0), *limit));
	return FLOW_DONE;
}

static enum flow_result step_ask(struct flow *flow)
{
	return call_read(flow->owner);
}

/* A filter that can match nothing is a mistake worth telling. */
static bool check_status(struct call *call, const char *status)
{
	static const char *const known[] = { "queued", "running", "waiting", "succeeded", "failed", "cancelled", "stuck" };

	for (size_t i = 0; status && i < sizeof known / sizeof *known; i++)
		if (strcmp(status, known[i]) == 0)
			return true;
	if (!status)
		return true;
	call_fail(call, ERR_INVALID, "status is one of queued, running, waiting, succeeded, failed, cancelled, stuck");
	return false;
}

static bool check_waiting_for(struct call *call, const char *kind)
{
	static const char *const known[] = { "timer", "signal", "approval", "child", "outcome" };

	for (size_t i = 0; kind && i < sizeof known / sizeof *known; i++)
		if (strcmp(kind, known[i]) == 0)
			return true;
	if (!kind)
		return true;
	call_fail(call, ERR_INVALID, "waiting_for is one of timer, signal, approval, child, outcome");
	return false;
}

void handle_list_runs(struct call *call)
{
	static const struct flow_step steps[] = { { "ask", step_ask, 0 }, { "answer", step_answer_list, 0 }, { NULL, NULL, 0 } };
	static const struct flow_story story = { "runs.list", steps, NULL, call_fini };
	struct runs_query query = { .cursor = call_cursor(call) };
	struct errbuf e = { "" };
	int64_t *limit = mem_alloc(sizeof *limit);
	size_t op;
	int code;

	call->state = limit;
	call->state_free = free;
	if (!call_limit(call, limit) || !check_status(call, call_query(call, "status")) || !check_waiting_for(call, call_query(call, "waiting_for")))
		return;
	query.limit = *limit;
	query.agent = str_of(call_query(call, "agent"));
	query.capability = str_of(call_query(call, "capability"));
	query.status = str_of(call_query(call, "status"));
	query.subject = str_of(call_query(call, "subject"));
	query.waiting_for = str_of(call_query(call, "waiting_for"));
	code = runs_tx_list(call_tx(call), &query, &op, &e);
	if (code)
		call_fail(call, code, "%s", e.text);
	else
		call_flow(call, &story);
}

/* -- one -- */

static enum flow_result step_ask_run(struct flow *flow)
{
	struct call *call = flow->owner;

	runs_tx_get(call_tx(call), call_param(call, 0));
	runs_tx_waits(call->tx, call_param(call, 0));
	return call_read(call);
}

static enum flow_result step_answer_run(struct flow *flow)
{
	struct call *call = flow->owner;
	json_t *run;

	if (call->code)
		return call_store_failed(call);
	run = run_object(call, 0);
	if (!run)
		return fail_unknown_run(call);
	if (str_is(json_member_str(run, "status"), "waiting"))
		json_put(run, "waiting_for", runs_waits_json(store_tx_result(call->tx, 1)));
	call_reply(call, 200, run);
	return FLOW_DONE;
}

void handle_get_run(struct call *call)
{
	static const struct flow_step steps[] = { { "ask", step_ask_run, 0 }, { "answer", step_answer_run, 0 }, { NULL, NULL, 0 } };
	static const struct flow_story story = { "runs.get", steps, NULL, call_fini };

	if (need_uuid(call, 0, "run"))
		call_flow(call, &story);
}

/* -- journal -- */

struct journal {
	int64_t limit, after;
};

static enum flow_result step_ask_journal(struct flow *flow)
{
	struct call *call = flow->owner;
	const struct journal *journal = call->state;
	struct store_tx *tx = call_tx(call);

	runs_tx_get(tx, call_param(call, 0));
	runs_tx_journal(tx, call_param(call, 0), journal->after, journal->limit + 1);
	return call_read(call);
}

static enum flow_result step_answer_journal(struct flow *flow)
{
	struct call *call = flow->owner;
	const struct journal *journal = call->state;
	const struct store_result *r;
	json_t *items, *position = NULL;
	size_t rows;

	if (call->code)
		return call_store_failed(call);
	if (!store_tx_result(call->tx, 0)->rows)
		return fail_unknown_run(call);
	r = store_tx_result(call->tx, 1);
	rows = r->rows > (size_t)journal->limit ? (size_t)journal->limit : r->rows;
	items = json_array();
	for (size_t i = 0; i < rows; i++)
		json_array_append_new(items, runs_journal_json(r, i, ROW_TIMES_TEXT));
	if (r->rows > rows) {
		position = json_array();
		json_array_append_new(position, json_integer(json_member_int(json_array_get(items, rows - 1), "index", 0)));
	}
	call_reply_page(call, page_json(items, position));
	return FLOW_DONE;
}

void handle_run_journal(struct call *call)
{
	static const struct flow_step steps[] = { { "ask", step_ask_journal, 0 }, { "answer", step_answer_journal, 0 }, { NULL, NULL, 0 } };
	static const struct flow_story story = { "runs.journal", steps, NULL, call_fini };
	struct journal *journal = mem_alloc(sizeof *journal);

	call->state = journal;
	call->state_free = free;
	if (need_uuid(call, 0, "run") && call_limit(call, &journal->limit) && call_number_cursor(call, -1, &journal->after))
		call_flow(call, &story);
}

/* -- events -- */

static enum flow_result step_stream(struct flow *flow)
{
	struct call *call = flow->owner;
	json_t *run;

	if (call->code)
		return call_store_failed(call);
	run = run_object(call, 0);
	if (!run)
		return fail_unknown_run(call);
	if (str_is(http_request_method(call->request), "HEAD"))
		call_reply_text(call, 200, "text/event-stream", STR(""));
	else if (str_is(call_header(call, "Last-Event-ID"), STREAM_END_ID))
		call_reply_empty(call, 204); /* an EventSource stops asking */
	else
		stream_start(call, run);
	json_decref(run);
	return FLOW_DONE;
}

void handle_run_events(struct call *call)
{
	static const struct flow_step steps[] = { { "ask", step_ask_run, 0 }, { "stream", step_stream, 0 }, { NULL, NULL, 0 } };
	static const struct flow_story story = { "runs.events", steps, NULL, call_fini };

	if (need_uuid(call, 0, "run"))
		call_flow(call, &story);
}

/* -- cancel and signals -- */

static enum flow_result step_cancel(struct flow *flow)
{
	struct call *call = flow->owner;

	engine_cancel_run(call->api->options.engine, call_tenant(call), call_param(call, 0), call_on_engine, call);
	return FLOW_WAIT;
}

static enum flow_result step_answer_cancel(struct flow *flow)
{
	struct call *call = flow->owner;

	/* Cancelled by a request of this key that was cut short before it answered? */
	bool done = call->code == ERR_CONFLICT && call->claim.again && str_is(json_member_str(call->result, "status"), "cancelled");
	if (call->code && !done)
		return call_engine_failed(call);
	json_t *body = json_object();
	json_put_text(body, "run", call->params[0]);
	json_put_text(body, "status", "cancelled");
	call_reply(call, 200, body);
	return FLOW_DONE;
}

void handle_cancel_run(struct call *call)
{
	static const struct flow_step steps[] = { { "cancel", step_cancel, 0 }, { "answer", step_answer_cancel, 0 }, { NULL, NULL, 0 } };
	static const struct flow_story story = { "runs.cancel", steps, NULL, call_fini };

	if (need_uuid(call, 0, "run"))
		call_flow(call, &story);
}

/* The id that makes sending twice one signal: from the run, the name and the client's key. */
static void signal_id(const struct call *call, struct str key, char out[UUID_TEXT_SIZE])
{
	struct sha256_state s;
	uint8_t digest[SHA256_SIZE];

	sha256_begin(&s);
	sha256_add(&s, call->params[0], strlen(call->params[0]) + 1);
	sha256_add(&s, call->params[1], strlen(call->params[1]) + 1);
	sha256_add(&s, key.p, key.n);
	sha256_end(&s, digest);
	uuid_format(uuid_of_digest(digest), out);
}

static enum flow_result step_signal(struct flow *flow)
{
	struct call *call = flow->owner;
	char id[UUID_TEXT_SIZE] = "";
	struct str key;

	if (!call_idempotency_key(call, &key))
		return FLOW_DONE;
	if (key.n)
		signal_id(call, key, id);
	engine_signal_run(call->api->options.engine, call_tenant(call), call_param(call, 0), call_param(call, 1), call->body, str_of(id),
	                  call_on_engine, call);
	return FLOW_WAIT;
}

static enum flow_result step_answer_signal(struct flow *flow)
{
	struct call *call = flow->owner;

	if (call->code)
		return call_engine_failed(call);
	json_t *body = json_object();
	json_put_str(body, "id", json_member_str(call->result, "id"));
	json_put_text(body, "run", call->params[0]);
	json_put_text(body, "name", call->params[1]);
	call_reply(call, 202, body);
	return FLOW_DONE;
}

void handle_signal_run(struct call *call)
{
	static const struct flow_step steps[] = { { "signal", step_signal, 0 }, { "answer", step_answer_signal, 0 }, { NULL, NULL, 0 } };
	static const struct flow_story story = { "runs.signal", steps, NULL, call_fini };

	if (!need_uuid(call, 0, "run"))
		return;
	if (!name_is_valid(call_param(call, 1))) {
		call_fail(call, ERR_INVALID, "a signal's name is lower-case letters, digits, _ and -, beginning with a letter, at most 63");
		return;
	}
	if (call_read_body(call, true))
		call_flow(call, &story);
}
