/* /v1/approvals: list, one, decide. A decision ends a wait of the run that asked. */
#include "api/handlers.h"
#include "api/internal.h"
#include "base/json_schema.h"
#include "store/runs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum flow_result step_ask(struct flow *flow)
{
	return call_read(flow->owner);
}

static enum flow_result step_answer_list(struct flow *flow)
{
	struct call *call = flow->owner;
	const int64_t *limit = call->state;

	if (call->code)
		return call_store_failed(call);
	call_reply_page(call, approvals_list_json(store_tx_result(call->tx, 0), *limit));
	return FLOW_DONE;
}

static bool check_status(struct call *call, const char *status)
{
	static const char *const known[] = { "pending", "approved", "rejected", "expired", "withdrawn" };

	for (size_t i = 0; status && i < sizeof known / sizeof *known; i++)
		if (strcmp(status, known[i]) == 0)
			return true;
	if (!status)
		return true;
	call_fail(call, ERR_INVALID, "status is one of pending, approved, rejected, expired, withdrawn");
	return false;
}

void handle_list_approvals(struct call *call)
{
	static const struct flow_step steps[] = { { "ask", step_ask, 0 }, { "answer", step_answer_list, 0 }, { NULL, NULL, 0 } };
	static const struct flow_story story = { "approvals.list", steps, NULL, call_fini };
	struct errbuf e = { "" };
	int64_t *limit = mem_alloc(sizeof *limit);
	size_t op;
	int code;

	call->state = limit;
	call->state_free = free;
	if (!call_limit(call, limit) || !check_status(call, call_query(call, "status")))
		return;
	code = approvals_tx_list(call_tx(call), str_of(call_query(call, "status")), *limit, call_cursor(call), &op, &e);
	if (code)
		call_fail(call, code, "%s", e.text);
	else
		call_flow(call, &story);
}

/* -- one -- */

static enum flow_result step_ask_one(struct flow *flow)
{
	struct call *call = flow->owner;

	approvals_tx_get(call_tx(call), call_param(call, 0));
	return call_read(call);
}

static enum flow_result step_answer_one(struct flow *flow)
{
	struct call *call = flow->owner;

	if (call->code)
		return call_store_failed(call);
	if (!store_tx_result(call->tx, 0)->rows)
		return flow_fail(flow, ERR_NOT_FOUND, "no approval %s", call->params[0]);
	call_reply(call, 200, approvals_json(store_tx_result(call->tx, 0), 0));
	return FLOW_DONE;
}

void handle_get_approval(struct call *call)
{
	static const struct flow_step steps[] = { { "ask", step_ask_one, 0 }, { "answer", step_answer_one, 0 }, { NULL, NULL, 0 } };
	static const struct flow_story story = { "approvals.get", steps, NULL, call_fini };

	if (need_uuid(call, 0, "approval"))
		call_flow(call, &story);
}

/* -- decide -- */

static const char decision_schema[] =
	"{\"type\":\"object\",\"properties\":{\"decision\":{\"enum\":[\"approved\",\"rejected\"]},"
	"\"note\":{\"type\":[\"string\",\"null\"],\"maxLength\":4000}},\"required\":[\"decision\"],\"additionalProperties\":false}";

bool check_body(struct call *call, const char *schema_text)
{
	json_t *schema = json_read(str_of(schema_text), SIZE_MAX, &(int){ 0 }, NULL), *errors = json_array();
	int code = json_schema_check(schema, &call->body, false, errors);

	if (code)
		call_problem(call, code, 0, "the body is off its schema", errors);
	json_decref(schema);
	json_decref(errors);
	return !code;
}

static enum flow_result step_decide(struct flow *flow)
{
	struct call *call = flow->owner;
	char *actor = call_actor(call);

	engine_decide_approval(call->api->options.engine, call_tenant(call), call_param(call, 0),
	                       json_string_value(json_member(call->body, "decision")), json_member_str(call->body, "note"), str_of(actor),
	                       (call->scopes & 1u << SCOPE_ADMIN) != 0, call_on_engine, call);
	free(actor);
	return FLOW_WAIT;
}

static enum flow_result step_decided(struct flow *flow)
{
	struct call *call = flow->owner;

	/* Decided already: the same decision by the same hand is this one, sent again. */
	if (call->code && call->code != ERR_CONFLICT)
		return call_engine_failed(call);
	*(int *)call->state = call->code;
	return step_ask_one(flow);
}

static bool texts_equal(const json_t *a, const json_t *b)
{
	return (json_is_string(a) || json_is_string(b)) ? str_equal(json_str(a), json_str(b)) : true;
}

static enum flow_result step_answer_decided(struct flow *flow)
{
	struct call *call = flow->owner;
	json_t *approval;
	char *actor;
	bool again;

	if (call->code)
		return call_store_failed(call);
	if (!store_tx_result(call->tx, 0)->rows)
		return flow_fail(flow, ERR_NOT_FOUND, "no approval %s", call->params[0]);
	approval = approvals_json(store_tx_result(call->tx, 0), 0);
	actor = call_actor(call);
	again = call_header(call, "Idempotency-Key").p && str_is(json_member_str(approval, "decided_by"), actor) &&
	        texts_equal(json_member(approval, "decision"), json_member(call->body, "decision")) &&
	        texts_equal(json_member(approval, "note"), json_member(call->body, "note"));
	free(actor);
	if (*(int *)call->state && !again) {
		char status[32];

		snprintf(status, sizeof status, "%.*s", STR_ARG(json_member_str(approval, "status")));
		json_decref(approval);
		return flow_fail(flow, ERR_CONFLICT, "this approval is closed: %s", status);
	}
	call_reply(call, 200, approval);
	return FLOW_DONE;
}

void handle_decide_approval(struct call *call)
{
	static const struct flow_step steps[] = {
		{ "decide", step_decide, 0 },
		{ "decided", step_decided, 0 },
		{ "answer", step_answer_decided, 0 },
		{ NULL, NULL, 0 },
	};
	static const struct flow_story story = { "approvals.decide", steps, NULL, call_fini };
	struct str key;

	if (!need_uuid(call, 0, "approval") || !call_idempotency_key(call, &key) || !call_read_body(call, false) ||
	    !check_body(call, decision_schema))
		return;
	call->state = mem_alloc(sizeof(int));
	call->state_free = free;
	call_flow(call, &story);
}
