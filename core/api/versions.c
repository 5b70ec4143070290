/* /v1/runs/{run}/fork and /retry. */
#include "api/handlers.h"
#include "api/internal.h"
#include "api/runs.h"

#include <string.h>

struct asked {
	int64_t at;
	char *bundle;
};

static void asked_free(void *state)
{
	struct asked *asked = state;

	free(asked->bundle);
	free(asked);
}

static enum flow_result step_answer(struct flow *flow)
{
	struct call *call = flow->owner;
	struct str run = json_member_str(call->result, "run");
	json_t *body;
	char location[96];

	if (call->code)
		return call_engine_failed(call);
	snprintf(location, sizeof location, "/v1/runs/%.*s", STR_ARG(run));
	call_set_header(call, "Location", location);
	body = json_object();
	json_put_str(body, "run", run);
	json_put_text(body, "url", location);
	call_reply(call, 202, body);
	return FLOW_DONE;
}

static enum flow_result step_fork(struct flow *flow)
{
	struct call *call = flow->owner;
	const struct asked *asked = call->state;

	char *actor = call_actor(call);

	engine_fork_run(call->api->options.engine, call_tenant(call), call_param(call, 0), asked->at, str_of(asked->bundle), str_of(actor), call_on_engine,
	                call);
	free(actor);
	return FLOW_WAIT;
}

static enum flow_result step_retry(struct flow *flow)
{
	struct call *call = flow->owner;
	const struct asked *asked = call->state;

	char *actor = call_actor(call);

	engine_retry_run(call->api->options.engine, call_tenant(call), call_param(call, 0), str_of(asked->bundle), str_of(actor), call_on_engine, call);
	free(actor);
	return FLOW_WAIT;
}

static bool is_bundle(const char *text)
{
	size_t n = text ? strlen(text) : 0;

	return !text || strcmp(text, "origin") == 0 || strcmp(text, "live") == 0 || (n == 64 && strspn(text, "0123456789abcdef") == n);
}

static bool take(struct call *call, int64_t at, const char *bundle)
{
	struct asked *asked;

	if (!is_bundle(bundle)) {
		call_fail(call, ERR_SCHEMA, "/bundle: \"origin\", \"live\", or the 64 digits of a bundle's digest");
		return false;
	}
	asked = mem_alloc(sizeof *asked);
	asked->at = at;
	asked->bundle = mem_copy(str_of(bundle));
	call->state = asked;
	call->state_free = asked_free;
	return true;
}

void handle_fork_run(struct call *call)
{
	static const struct flow_step steps[] = { { "fork", step_fork, 0 }, { "answer", step_answer, 0 }, { NULL, NULL, 0 } };
	static const struct flow_story story = { "runs.fork", steps, NULL, call_fini };
	const json_t *at, *bundle;

	if (!need_uuid(call, 0, "run") || !call_read_body(call, false))
		return;
	at = json_member(call->body, "at");
	bundle = json_member(call->body, "bundle");
	if (!json_is_integer(at) || (bundle && !json_is_null(bundle) && !json_is_string(bundle)))
		call_fail(call, ERR_SCHEMA, "%s", json_is_integer(at) ? "/bundle: must be a string" : "/at: how many outcomes the fork takes over, a whole number");
	else if (take(call, json_integer_value(at), json_string_value(bundle)))
		call_flow(call, &story);
}

void handle_retry_run(struct call *call)
{
	static const struct flow_step steps[] = { { "retry", step_retry, 0 }, { "answer", step_answer, 0 }, { NULL, NULL, 0 } };
	static const struct flow_story story = { "runs.retry", steps, NULL, call_fini };

	if (need_uuid(call, 0, "run") && take(call, 0, call_query(call, "bundle")))
		call_flow(call, &story);
}
