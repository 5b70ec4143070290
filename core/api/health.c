/* GET /health (the process answers), /health/startup (bundles are live), /health/ready (send me work), /metrics. */
#include "api/handlers.h"
#include "api/internal.h"

#include <string.h>

void handle_health(struct call *call)
{
	json_t *body = json_object();

	json_put_text(body, "status", "ok");
	json_put_text(body, "version", call->api->options.version);
	call_reply(call, 200, body);
}

/* The store is asked for something each time; a second is long for it. After a commit that failed it must show that it can write again. */
static enum flow_result step_ask_store(struct flow *flow)
{
	struct call *call = flow->owner;
	bool up = store_is_up(call->api->options.store);

	call->tx = store_tx_new(call->api->options.store, STR(""));
	store_tx_add(call->tx, STATEMENT_tenant_list, STORE_ANY, "ti", "", (int64_t)1);
	if (up)
		return call_read(call);
	store_tx_add(call->tx, STATEMENT_probe_write, STORE_ANY, "t", "?");
	store_tx_add(call->tx, STATEMENT_probe_undo, STORE_ANY, "t", "?");
	return call_write(call);
}

/* "ok", or why no run can start: a bundle that does not load leaves its tenant without one. The log has each fault, with file and line. */
static const char *bundles_text(const struct call *call)
{
	bool any_tenant = !call->code && store_tx_result(call->tx, 0)->rows > 0;

	if (!call->api->started)
		return "starting";
	if (any_tenant && engine_counts(call->api->options.engine).live == 0)
		return "failed: no tenant's bundle is live; perigee check names the errors";
	return "ok";
}

static enum flow_result step_answer_startup(struct flow *flow)
{
	struct call *call = flow->owner;
	const char *text = bundles_text(call);
	bool ok = strcmp(text, "ok") == 0;
	json_t *body = json_object();

	json_put_text(body, "status", ok ? "ok" : call->api->started ? "unavailable" : "starting");
	if (!ok && call->api->started)
		json_put(body, "checks", json_pack("{ss}", "bundles", text));
	call_reply(call, ok ? 200 : 503, body);
	return FLOW_DONE;
}

/* A host without its Redis takes work: it is slower to hear of what others do. */
static const char *redis_text_of(enum bus_redis redis)
{
	switch (redis) {
	case BUS_REDIS_UP: return "ok";
	case BUS_REDIS_DOWN: return "degraded: it does not answer; workers look at the store instead";
	case BUS_REDIS_OFF: break;
	}
	return "off";
}

static enum flow_result step_answer_ready(struct flow *flow)
{
	struct call *call = flow->owner;
	const struct api *api = call->api;
	const char *bundles = bundles_text(call);
	bool store_up = call->code == 0, cells_up = api->started;
	enum bus_redis redis = bus_redis(api->options.bus);
	bool ready = store_up && cells_up && !api->draining && strcmp(bundles, "ok") == 0;
	json_t *body = json_object(), *checks = json_object();

	json_put_text(checks, "store", store_up ? "ok" : "failed: the last write did not reach the disk");
	json_put_text(checks, "cells", cells_up ? "ok" : "starting");
	json_put_text(checks, "bundles", bundles);
	json_put_text(checks, "redis", redis_text_of(redis));
	if (api->draining)
		json_put_text(checks, "host", "draining");
	json_put_text(body, "status", !ready ? "unavailable" : redis == BUS_REDIS_DOWN ? "degraded" : "ok");
	json_put(body, "checks", checks);
	if (!ready)
		call_set_header(call, "Retry-After", "1");
	call_reply(call, ready ? 200 : 503, body);
	return FLOW_DONE;
}

void handle_health_startup(struct call *call)
{
	static const struct flow_step steps[] = {
		{ "ask store", step_ask_store, 0 },
		{ "answer", step_answer_startup, 0 },
		{ NULL, NULL, 0 },
	};
	static const struct flow_story story = { "health.startup", steps, NULL, call_fini };

	call_flow(call, &story);
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
	engine_measure(call->api->options.engine);
	metrics_write(call->api->options.metrics, &text);
	call_reply_text(call, 200, "text/plain; version=0.0.4; charset=utf-8", buf_str(&text));
	buf_free(&text);
}
