/* /v1/outcomes: effects that left the host and whose outcome nobody knows: list, one, decide. A decision ends a wait of the run. */
#include "store/outcomes.h"

#include "api/handlers.h"
#include "api/internal.h"

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
	call_reply_page(call, outcomes_list_json(store_tx_result(call->tx, 0), *limit));
	return FLOW_DONE;
}

void handle_list_outcomes(struct call *call)
{
	static const struct flow_step steps[] = { { "ask", step_ask, 0 }, { "answer", step_answer_list, 0 }, { NULL, NULL, 0 } };
	static const struct flow_story story = { "outcomes.list", steps, NULL, call_fini };
	const char *status = call_query(call, "status");
	struct errbuf e = { "" };
	int64_t *limit = mem_alloc(sizeof *limit);
	size_t op;
	int code;

	call->state = limit;
	call->state_free = free;
	if (!call_limit(call, limit))
		return;
	if (status && !outcome_status_is_known(status)) {
		call_fail(call, ERR_INVALID, "status is one of unknown, happened, not_happened, failed, withdrawn");
		return;
	}
	code = outcomes_tx_list(call_tx(call), str_of(status), *limit, call_cursor(call), &op, &e);
	if (code)
		call_fail(call, code, "%s", e.text);
	else
		call_flow(call, &story);
}

/* -- one -- */

/* False: answered with 404. */
static bool need_effect(struct call *call, int64_t *effect)
{
	if (!need_uuid(call, 0, "run"))
		return false;
	if (str_to_int(call_param(call, 1), 1, UINT32_MAX, effect))
		return true;
	call_fail(call, ERR_NOT_FOUND, "no such effect");
	return false;
}

static enum flow_result fail_none(struct call *call)
{
	return flow_fail(&call->flow, ERR_NOT_FOUND, "nobody has to decide about effect %s of run %s", call->params[1], call->params[0]);
}

static enum flow_result step_answer_one(struct flow *flow)
{
	struct call *call = flow->owner;

	if (call->code)
		return call_store_failed(call);
	if (!store_tx_result(call->tx, 0)->rows)
		return fail_none(call);
	call_reply(call, 200, outcomes_json(store_tx_result(call->tx, 0), 0));
	return FLOW_DONE;
}

void handle_get_outcome(struct call *call)
{
	static const struct flow_step steps[] = { { "ask", step_ask, 0 }, { "answer", step_answer_one, 0 }, { NULL, NULL, 0 } };
	static const struct flow_story story = { "outcomes.get", steps, NULL, call_fini };
	int64_t effect;

	if (!need_effect(call, &effect))
		return;
	outcomes_tx_get(call_tx(call), call_param(call, 0), effect);
	call_flow(call, &story);
}

/* -- decide -- */

static const char decision_schema[] =
	"{\"type\":\"object\",\"properties\":{\"decision\":{\"enum\":[\"happened\",\"not_happened\",\"failed\"]},"
	"\"result\":{},\"error\":{\"type\":[\"object\",\"null\"]},\"note\":{\"type\":[\"string\",\"null\"],\"maxLength\":4000},"
	"\"attempt\":{\"type\":\"integer\",\"minimum\":1}},\"required\":[\"decision\"],\"additionalProperties\":false}";

struct deciding {
	struct outcome_decision decision;
	char *by;
	int code;
};

static void deciding_free(void *state)
{
	struct deciding *deciding = state;

	free(deciding->by);
	free(deciding);
}

static enum flow_result step_decide(struct flow *flow)
{
	struct call *call = flow->owner;
	const struct deciding *deciding = call->state;

	outcomes_tx_decide(call_tx(call), &deciding->decision);
	return call_write(call);
}

static enum flow_result step_decided(struct flow *flow)
{
	struct call *call = flow->owner;
	struct deciding *deciding = call->state;

	if (call->code && call->code != ERR_CONFLICT)
		return call_store_failed(call);
	deciding->code = call->code;
	if (deciding->code == 0)
		engine_outcome_decided(call->api->options.engine, call_tenant(call), deciding->decision.run, deciding->decision.effect);
	outcomes_tx_get(call_tx(call), deciding->decision.run, deciding->decision.effect);
	return call_read(call);
}

static enum flow_result step_answer_decided(struct flow *flow)
{
	struct call *call = flow->owner;
	const struct deciding *deciding = call->state;
	json_t *outcome;

	if (call->code)
		return call_store_failed(call);
	if (!store_tx_result(call->tx, 0)->rows)
		return fail_none(call);
	outcome = outcomes_json(store_tx_result(call->tx, 0), 0);
	/* Decided already: the same decision by the same hand is this one, sent again. */
	if (deciding->code && !outcome_is_decided_so(outcome, &deciding->decision)) {
		char status[32];

		snprintf(status, sizeof status, "%.*s", STR_ARG(json_member_str(outcome, "status")));
		json_decref(outcome);
		return flow_fail(flow, ERR_CONFLICT, "this is decided, or another attempt is meant: %s", status);
	}
	call_reply(call, 200, outcome);
	return FLOW_DONE;
}

void handle_decide_outcome(struct call *call)
{
	static const struct flow_step steps[] = {
		{ "decide", step_decide, 0 },
		{ "decided", step_decided, 0 },
		{ "answer", step_answer_decided, 0 },
		{ NULL, NULL, 0 },
	};
	static const struct flow_story story = { "outcomes.decide", steps, NULL, call_fini };
	struct errbuf e = { "" };
	struct deciding *deciding;
	struct str key;
	int64_t effect;

	if (!need_effect(call, &effect) || !call_idempotency_key(call, &key) || !call_read_body(call, false) || !check_body(call, decision_schema))
		return;
	call->state = deciding = mem_alloc(sizeof *deciding);
	call->state_free = deciding_free;
	deciding->by = call_actor(call);
	deciding->decision = (struct outcome_decision){
		.run = call_param(call, 0), .effect = effect, .attempt = json_member_int(call->body, "attempt", 0),
		.status = json_string_value(json_member(call->body, "decision")), .result = json_member(call->body, "result"),
		.error = json_member(call->body, "error"), .note = json_member_str(call->body, "note"), .by = str_of(deciding->by),
		.at_us = clock_now_us(call->api->options.clock),
	};
	if (outcome_decision_check(&deciding->decision, &e))
		call_fail(call, ERR_SCHEMA, "%s", e.text);
	else
		call_flow(call, &story);
}
