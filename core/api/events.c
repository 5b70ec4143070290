/* POST /v1/events: a CloudEvent 1.0 in structured JSON form. The same id again is the same event. */
#include "api/handlers.h"
#include "api/internal.h"

static const char event_schema[] =
	"{\"type\":\"object\",\"required\":[\"specversion\",\"id\",\"source\",\"type\"],\"properties\":{"
	"\"specversion\":{\"const\":\"1.0\"},"
	"\"id\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":200},"
	"\"source\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":1000},"
	"\"type\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":200},"
	"\"subject\":{\"type\":[\"string\",\"null\"],\"maxLength\":200},"
	"\"time\":{\"type\":\"string\",\"format\":\"date-time\"},"
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
