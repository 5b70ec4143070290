/*
 * POST /v1/events: a CloudEvent 1.0 in structured JSON form; the same id again is the same event. GET is event_stream.c.
 * /v1/events/dead: events that a capability never took, and another try.
 */
#include "api/handlers.h"
#include "api/internal.h"
#include "store/events.h"

#include <stdlib.h>

static const char event_schema[] =
	"{\"type\":\"object\",\"required\":[\"specversion\",\"id\",\"source\",\"type\"],\"properties\":{"
	"\"specversion\":{\"const\":\"1.0\"},"
	"\"id\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":200},"
	"\"source\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":1000},"
	"\"type\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":200},"
	"\"subject\":{\"type\":[\"string\",\"null\"],\"maxLength\":200},"
	"\"time\":{\"type\":\"string\",\"format\":\"date-time\"},"
	"\"partitionkey\":{\"type\":[\"string\",\"null\"],\"minLength\":1,\"maxLength\":200},"
	"\"datacontenttype\":{\"type\":\"string\"},\"dataschema\":{\"type\":\"string\"}}}";

static enum flow_result step_emit(struct flow *flow)
{
	struct call *call = flow->owner;

	engine_emit_event(call->api->options.engine, call_tenant(call), call->body, call_on_engine, call);
	return FLOW_WAIT;
}

static enum flow_result step_answer(struct flow *flow)
{
	struct call *call = flow->owner;
	json_t *body;

	if (call->code)
		return call_engine_failed(call);
	body = json_object();
	json_put_str(body, "id", json_member_str(call->result, "id"));
	json_put(body, "repeated", json_boolean(json_member_bool(call->result, "repeated", false)));
	call_reply(call, 202, body);
	return FLOW_DONE;
}

void handle_post_event(struct call *call)
{
	static const struct flow_step steps[] = { { "emit", step_emit, 0 }, { "answer", step_answer, 0 }, { NULL, NULL, 0 } };
	static const struct flow_story story = { "events.post", steps, NULL, call_fini };

	if (call_read_body(call, false) && check_body(call, event_schema))
		call_flow(call, &story);
}

/* -- dead letters -- */

static enum flow_result step_ask(struct flow *flow)
{
	return call_read(flow->owner);
}

static enum flow_result step_answer_dead(struct flow *flow)
{
	struct call *call = flow->owner;
	const int64_t *limit = call->state;

	if (call->code)
		return call_store_failed(call);
	call_reply_page(call, events_dead_list_json(store_tx_result(call->tx, 0), *limit));
	return FLOW_DONE;
}

void handle_list_dead(struct call *call)
{
	static const struct flow_step steps[] = { { "ask", step_ask, 0 }, { "answer", step_answer_dead, 0 }, { NULL, NULL, 0 } };
	static const struct flow_story story = { "events.dead", steps, NULL, call_fini };
	struct errbuf e = { "" };
	int64_t *limit = mem_alloc(sizeof *limit);
	size_t op;
	int code;

	call->state = limit;
	call->state_free = free;
	if (!call_limit(call, limit))
		return;
	code = events_tx_dead(call_tx(call), *limit, call_cursor(call), &op, &e);
	if (code)
		call_fail(call, code, "%s", e.text);
	else
		call_flow(call, &story);
}

static enum flow_result step_replay(struct flow *flow)
{
	struct call *call = flow->owner;

	engine_replay_delivery(call->api->options.engine, call_tenant(call), call_param(call, 0), call_on_engine, call);
	return FLOW_WAIT;
}

static enum flow_result step_answer_replay(struct flow *flow)
{
	struct call *call = flow->owner;

	if (call->code)
		return call_engine_failed(call);
	call_reply(call, 202, json_incref(call->result));
	return FLOW_DONE;
}

void handle_replay_dead(struct call *call)
{
	static const struct flow_step steps[] = { { "replay", step_replay, 0 }, { "answer", step_answer_replay, 0 }, { NULL, NULL, 0 } };
	static const struct flow_story story = { "events.replay", steps, NULL, call_fini };

	if (need_uuid(call, 0, "dead letter"))
		call_flow(call, &story);
}
