/* /v1/schedules: list, one with its last slots, pause, resume, fire. Firing leaves a wish in the row: a worker that has the scripts sees to it at once. */
#include "api/handlers.h"
#include "api/internal.h"
#include "store/schedules.h"

#include <stdlib.h>

#define SLOTS_SHOWN 20
#define TRIES 8

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
	call_reply_page(call, schedules_list_json(store_tx_result(call->tx, 0), *limit));
	return FLOW_DONE;
}

void handle_list_schedules(struct call *call)
{
	static const struct flow_step steps[] = { { "ask", step_ask, 0 }, { "answer", step_answer_list, 0 }, { NULL, NULL, 0 } };
	static const struct flow_story story = { "schedules.list", steps, NULL, call_fini };
	struct errbuf e = { "" };
	int64_t *limit = mem_alloc(sizeof *limit);
	json_t *position = NULL;

	call->state = limit;
	call->state_free = free;
	if (!call_limit(call, limit))
		return;
	if (call_cursor(call).n && !(position = cursor_decode(call_cursor(call), 1, &e))) {
		call_fail(call, ERR_INVALID, "%s", e.text);
		return;
	}
	store_tx_add(call_tx(call), STATEMENT_schedule_list, STORE_ANY, "si", position ? json_str(json_array_get(position, 0)) : STR(""),
	             page_limit(*limit) + 1);
	json_decref(position);
	call_flow(call, &story);
}

/* -- one -- */

static enum flow_result step_ask_one(struct flow *flow)
{
	struct call *call = flow->owner;
	struct store_tx *tx = call_tx(call);

	store_tx_add(tx, STATEMENT_schedule_get, STORE_ANY, "s", call_param(call, 0));
	store_tx_add(tx, STATEMENT_schedule_slot_list, STORE_ANY, "si", call_param(call, 0), (int64_t)SLOTS_SHOWN);
	return call_read(call);
}

static enum flow_result unknown(struct flow *flow)
{
	const struct call *call = flow->owner;

	return flow_fail(flow, ERR_NOT_FOUND, "no schedule \"%s\": GET /v1/schedules lists them", call->params[0]);
}

static enum flow_result step_answer_one(struct flow *flow)
{
	struct call *call = flow->owner;
	json_t *schedule, *slots;

	if (call->code)
		return call_store_failed(call);
	if (!store_tx_result(call->tx, 0)->rows)
		return unknown(flow);
	schedule = schedules_json(store_tx_result(call->tx, 0), 0);
	slots = json_array();
	for (size_t i = 0; i < store_tx_result(call->tx, 1)->rows; i++)
		json_array_append_new(slots, schedules_slot_json(store_tx_result(call->tx, 1), i));
	json_put(schedule, "slots", slots);
	call_reply(call, 200, schedule);
	return FLOW_DONE;
}

void handle_get_schedule(struct call *call)
{
	static const struct flow_step steps[] = { { "ask", step_ask_one, 0 }, { "answer", step_answer_one, 0 }, { NULL, NULL, 0 } };
	static const struct flow_story story = { "schedules.get", steps, NULL, call_fini };

	call_flow(call, &story);
}

/* -- pause, resume, fire -- */

enum change_kind { PAUSE, RESUME, FIRE };

struct change {
	enum change_kind what;
	unsigned tries;
};

static enum flow_result step_change(struct flow *flow)
{
	struct call *call = flow->owner;
	const struct change *change = call->state;
	const struct store_result *r;
	struct store_tx *read, *tx;
	int64_t now = clock_now_us(&clock_system);

	if (call->code)
		return call_store_failed(call);
	r = store_tx_result(call->tx, 0);
	if (!r->rows)
		return unknown(flow);
	if (str_is(store_text(r, 0, SCHEDULE_STATUS), "removed"))
		return flow_fail(flow, ERR_CONFLICT, "schedule \"%s\" is no longer declared by the scripts", call->params[0]);
	/* the row that was read stays until the change is built from it */
	read = call->tx;
	call->tx = NULL;
	tx = call_tx(call);
	if (change->what == FIRE)
		store_tx_add(tx, STATEMENT_schedule_ask, STORE_MUST, "si", call_param(call, 0), now);
	else
		schedules_tx_set_status(tx, r, change->what == RESUME, now);
	store_tx_free(read);
	return call_write(call);
}

static enum flow_result step_changed(struct flow *flow)
{
	struct call *call = flow->owner;
	struct change *change = call->state;

	if (call->code == ERR_CONFLICT && ++change->tries < TRIES) {
		call->code = 0;
		step_ask_one(flow); /* a worker fired it meanwhile */
		return flow_wait_for(flow, step_change);
	}
	if (call->code)
		return call_store_failed(call);
	engine_look(call->api->options.engine, call_tenant(call));
	return step_ask_one(flow);
}

static enum flow_result step_answer_changed(struct flow *flow)
{
	struct call *call = flow->owner;
	const struct change *change = call->state;

	if (call->code)
		return call_store_failed(call);
	if (!store_tx_result(call->tx, 0)->rows)
		return unknown(flow);
	call_reply(call, change->what == FIRE ? 202 : 200, schedules_json(store_tx_result(call->tx, 0), 0));
	return FLOW_DONE;
}

static void handle_change(struct call *call, enum change_kind what)
{
	static const struct flow_step steps[] = {
		{ "ask", step_ask_one, 0 },
		{ "change", step_change, 0 },
		{ "changed", step_changed, 0 },
		{ "answer", step_answer_changed, 0 },
		{ NULL, NULL, 0 },
	};
	static const struct flow_story story = { "schedules.change", steps, NULL, call_fini };
	struct change *change = mem_alloc(sizeof *change);

	change->what = what;
	call->state = change;
	call->state_free = free;
	call_flow(call, &story);
}

void handle_pause_schedule(struct call *call)
{
	handle_change(call, PAUSE);
}

void handle_resume_schedule(struct call *call)
{
	handle_change(call, RESUME);
}

void handle_fire_schedule(struct call *call)
{
	handle_change(call, FIRE);
}
