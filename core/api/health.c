/* GET /health (the process answers), /health/startup (bundles are live), /health/ready (send me work), /metrics. */
#include "api/handlers.h"
#include "api/internal.h"

void handle_health(struct call *call)
{
	json_t *body = json_object();

	json_put_text(body, "status", "ok");
	json_put_text(body, "version", call->api->options.version);
	call_reply(call, 200, body);
}

void handle_health_startup(struct call *call)
{
	json_t *body = json_object();

	json_put_text(body, "status", call->api->started ? "ok" : "starting");
	call_reply(call, call->api->started ? 200 : 503, body);
}

/* The store is asked for something each time; a second is long for it. */
static enum flow_result step_ask_store(struct flow *flow)
{
	struct call *call = flow->owner;

	call->tx = store_tx_new(call->api->options.store, STR(""));
	store_tx_add(call->tx, STATEMENT_tenant_list, STORE_ANY, "ti", "", (int64_t)1);
	return call_read(call);
}

static enum flow_result step_answer_ready(struct flow *flow)
{
	struct call *call = flow->owner;
	const struct api *api = call->api;
	bool store_up = call->code == 0, cells_up = api->started;
	bool ready = store_up && cells_up && !api->draining;
	json_t *body = json_object(), *checks = json_object();

	json_put_text(checks, "store", store_up ? "ok" : "failed");
	json_put_text(checks, "cells", cells_up ? "ok" : "starting");
	json_put_text(checks, "redis", "off");
	if (api->draining)
		json_put_text(checks, "host", "draining");
	json_put_text(body, "status", ready ? "ok" : "unavailable");
	json_put(body, "checks", checks);
	if (!ready)
		call_set_header(call, "Retry-After", "1");
	call_reply(call, ready ? 200 : 503, body);
	return FLOW_DONE;
}

void handle_health_ready(struct call *call)
{
	static const struct flow_step steps[] = {
		{ "ask store", step_ask_store, 0 },
		{ "answer", step_answer_ready, 0 },
		{ NULL, NULL, 0 },
	};
	static const struct flow_story story = { "health.ready", steps, NULL, call_fini };

	call_flow(call, &story);
}

void handle_metrics(struct call *call)
{
	struct buf text;

	buf_init(&text, 64u << 20);
	metrics_write(call->api->options.metrics, &text);
	call_reply_text(call, 200, "text/plain; version=0.0.4; charset=utf-8", buf_str(&text));
	buf_free(&text);
}
