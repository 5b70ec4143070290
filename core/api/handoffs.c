/* /v1/handoffs: list, one, replay of a dead one: a wish in the row that a worker sees to at once. */
#include "api/handlers.h"
#include "api/internal.h"
#include "store/handoffs.h"

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
	call_reply_page(call, handoffs_list_json(store_tx_result(call->tx, 0), *limit));
	return FLOW_DONE;
}

void handle_list_handoffs(struct call *call)
{
	static const struct flow_step steps[] = { { "ask", step_ask, 0 }, { "answer", step_answer_list, 0 }, { NULL, NULL, 0 } };
	static const struct flow_story story = { "handoffs.list", steps, NULL, call_fini };
	struct errbuf e = { "" };
	int64_t *limit = mem_alloc(sizeof *limit);
	const char *status = call_query(call, "status");
	int code;

	call->state = limit;
	call->state_free = free;
	if (!call_limit(call, limit))
		return;
	if (status && strcmp(status, "started") && strcmp(status, "done") && strcmp(status, "dead")) {
		call_fail(call, ERR_INVALID, "status is one of started, done, dead");
		return;
	}
	code = handoffs_tx_list(call_tx(call), str_of(status), str_of(call_query(call, "correlation")), str_of(call_query(call, "type")), *limit,
	                        call_cursor(call), &e);
	if (code)
		call_fail(call, code, "%s", e.text);
	else
		call_flow(call, &story);
}

static enum flow_result step_ask_one(struct flow *flow)
{
	struct call *call = flow->owner;

	store_tx_add(call_tx(call), STATEMENT_handoff_get, STORE_ANY, "s", call_param(call, 0));
	return call_read(call);
}

static enum flow_result step_answer_one(struct flow *flow)
{
	struct call *call = flow->owner;
	const int *status = call->state;

	if (call->code)
		return call_store_failed(call);
	if (!store_tx_result(call->tx, 0)->rows)
		return flow_fail(flow, ERR_NOT_FOUND, "no hand-off %s", call->params[0]);
	call_reply(call, status ? *status : 200, handoffs_json(store_tx_result(call->tx, 0), 0));
	return FLOW_DONE;
}

void handle_get_handoff(struct call *call)
{
	static const struct flow_step steps[] = { { "ask", step_ask_one, 0 }, { "answer", step_answer_one, 0 }, { NULL, NULL, 0 } };
	static const struct flow_story story = { "handoffs.get", steps, NULL, call_fini };

	if (need_uuid(call, 0, "hand-off"))
		call_flow(call, &story);
}

/* -- replay -- */

static enum flow_result step_wish(struct flow *flow)
{
	struct call *call = flow->owner;

	store_tx_add(call_tx(call), STATEMENT_handoff_ask, STORE_ANY, "si", call_param(call, 0), clock_now_us(&clock_system));
	return call_write(call);
}

static enum flow_result step_wished(struct flow *flow)
{
	struct call *call = flow->owner;

	if (call->code)
		return call_store_failed(call);
	*(int *)call->state = store_tx_result(call->tx, 0)->changed > 0 ? 202 : 409;
	if (*(int *)call->state == 202)
		engine_look(call->api->options.engine, call_tenant(call));
	return step_ask_one(flow);
}

static enum flow_result step_answer_wish(struct flow *flow)
{
	const struct call *call = flow->owner;

	if (!call->code && store_tx_result(call->tx, 0)->rows && *(const int *)call->state == 409)
		return flow_fail(flow, ERR_CONFLICT, "this hand-off is not dead: only dead ones are started again");
	return step_answer_one(flow);
}

void handle_replay_handoff(struct call *call)
{
	static const struct flow_step steps[] = {
		{ "wish", step_wish, 0 },
		{ "wished", step_wished, 0 },
		{ "answer", step_answer_wish, 0 },
		{ NULL, NULL, 0 },
	};
	static const struct flow_story story = { "handoffs.replay", steps, NULL, call_fini };

	if (!need_uuid(call, 0, "hand-off"))
		return;
	call->state = mem_alloc(sizeof(int));
	call->state_free = free;
	call_flow(call, &story);
}
