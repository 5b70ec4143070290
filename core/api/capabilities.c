/*
 * POST /v1/agents/{agent}/{capability}: start a run; with `Prefer: wait=N` stay until it has ended.
 *
 *     start → durable? → (no wait) 202
 *                      → watch, or look again and again → ended, or time over → read the run → 200, or 202
 *
 * Failure modes: the engine's refusals (404, 422, 429, 503) become problems; a client that goes away while we wait changes nothing: the run is durable.
 */
#include "api/handlers.h"
#include "api/internal.h"
#include "api/runs.h"
#include "api/text.h"
#include "base/crypto.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WAIT_MAX_S 60
#define LOOK_AGAIN_US 200000

struct start {
	TAILQ_ENTRY(start) link;         /* of api->waits, while it waits */
	struct call *call;
	char run[64];
	uint8_t digest[SHA256_SIZE];
	bool existed, empty;             /* empty: sent without a body */
	json_t *errors;
	int64_t wait_s, until_us;
	int64_t deadline_us, budget;     /* Perigee-Deadline, Perigee-Budget; 0: none */
	struct run_watcher *watcher;
	struct timer timer;
	bool timer_set, watched, waiting;
};

static void stop_waiting(struct start *start)
{
	if (!start->waiting)
		return;
	start->waiting = false;
	TAILQ_REMOVE(&start->call->api->waits, start, link);
	timer_stop(&start->timer);
	engine_unwatch(start->watcher);
	start->watcher = NULL;
}

static void start_free(void *state)
{
	struct start *start = state;

	stop_waiting(start);
	if (start->timer_set)
		timer_fini(&start->timer);
	json_decref(start->errors);
	free(start);
}

/* The same key means the same call: agent, capability and input, however it was written. */
static void digest_of(const struct call *call, uint8_t out[SHA256_SIZE])
{
	struct sha256_state s;
	char *input = json_to_text(call->body);

	sha256_begin(&s);
	sha256_add(&s, call->params[0], strlen(call->params[0]) + 1);
	sha256_add(&s, call->params[1], strlen(call->params[1]) + 1);
	sha256_add(&s, input, strlen(input));
	sha256_end(&s, out);
	free(input);
}

static void start_on_started(void *arg, int code, const char *run, bool existed, const json_t *errors, const char *text)
{
	struct start *start = arg;

	if (run)
		snprintf(start->run, sizeof start->run, "%s", run);
	start->existed = existed;
	start->errors = json_array_size(errors) ? json_deep_copy(errors) : NULL;
	call_on_engine(start->call, code, NULL, text);
}

static enum flow_result step_start(struct flow *flow)
{
	struct call *call = flow->owner;
	struct start *start = call->state;
	const char *subject = json_string_value(json_member(call->body, "deal"));
	struct run_request request = { .tenant = call_tenant(call), .agent = call->params[0], .capability = call->params[1], .input = call->body,
		                       .subject = str_of(subject), .deadline_us = start->deadline_us, .budget_effects = start->budget };

	if (!call_idempotency_key(call, &request.idempotency_key))
		return FLOW_DONE;
	if (request.idempotency_key.n) {
		digest_of(call, start->digest);
		request.body_digest = start->digest;
	}
	char *actor = call_actor(call);
	request.by = str_of(actor);
	engine_start_run(call->api->options.engine, &request, start_on_started, start);
	free(actor);
	return FLOW_WAIT;
}

static void wake_waiting(struct start *start)
{
	if (!start->waiting)
		return;
	stop_waiting(start);
	flow_wake(&start->call->flow);
}

static void start_on_event(void *arg, const char *type, const char *id, const json_t *data)
{
	(void)id;
	if (strcmp(type, "status") == 0 && run_is_over(json_member_str(data, "status")))
		wake_waiting(arg);
}

static void start_on_time(void *arg)
{
	wake_waiting(arg);
}

/* From here on only the watcher, the timer or a drain wakes the flow, and whoever does ends the others. */
static void wait_us(struct start *start, int64_t us)
{
	start->waiting = true;
	TAILQ_INSERT_TAIL(&start->call->api->waits, start, link);
	timer_start_us(&start->timer, us);
}

void waits_end_all(struct api *api)
{
	struct start *start;

	while ((start = TAILQ_FIRST(&api->waits))) {
		start->until_us = 0;
		wake_waiting(start);
	}
}

static void reply_started(struct call *call, const char *status)
{
	struct start *start = call->state;
	json_t *body = json_object();
	char location[96];

	snprintf(location, sizeof location, "/v1/runs/%s", start->run);
	call_set_header(call, "Location", location);
	json_put_text(body, "run", start->run);
	if (status)
		json_put_text(body, "status", status);
	json_put_text(body, "url", location);
	call_reply(call, 202, body);
}

static enum flow_result step_watch(struct flow *flow)
{
	struct call *call = flow->owner;
	struct start *start = call->state;

	if (call->code && !start->errors)
		return call_engine_failed(call);
	if (call->code && start->empty)
		return flow_fail(flow, ERR_INVALID, "the body is empty, and %s.%s needs its input as JSON", call->params[0], call->params[1]);
	if (call->code) {
		call_problem(call, call->code, 0, call->text, start->errors);
		return FLOW_DONE;
	}
	if (start->existed)
		call_set_header(call, "Idempotency-Replayed", "true");
	if (start->wait_s < 0) {
		reply_started(call, NULL);
		return FLOW_DONE;
	}
	start->until_us = clock_monotonic_us() + start->wait_s * 1000000;
	start->watcher = engine_watch_run(call->api->options.engine, call_tenant(call), str_of(start->run), start_on_event, start);
	timer_init(&start->timer, call->api->options.loop, start_on_time, start);
	start->timer_set = true;
	if (!start->watcher)
		return FLOW_NEXT; /* over already, or another worker's */
	start->watched = true;
	wait_us(start, start->wait_s * 1000000);
	return FLOW_WAIT;
}

static enum flow_result step_read(struct flow *flow)
{
	struct call *call = flow->owner;
	const struct start *start = call->state;

	runs_tx_get_last(call_tx(call), str_of(start->run));
	return call_read(call);
}

static enum flow_result step_answer(struct flow *flow)
{
	struct call *call = flow->owner;
	struct start *start = call->state;
	int64_t left_us = start->until_us - clock_monotonic_us();
	json_t *run;
	char applied[32];

	if (call->code)
		return call_store_failed(call);
	run = run_object(call, 0);
	if (!run)
		return flow_fail(flow, ERR_LOST, "the run %s is not in the store", start->run);
	if (!run_is_over(json_member_str(run, "status")) && !start->watched && left_us > 0) {
		json_decref(run);
		wait_us(start, left_us < LOOK_AGAIN_US ? left_us : LOOK_AGAIN_US);
		return flow_wait_for(flow, step_read);
	}
	snprintf(applied, sizeof applied, "wait=%lld", (long long)start->wait_s);
	call_set_header(call, "Preference-Applied", applied);
	if (run_is_over(json_member_str(run, "status"))) {
		call_reply(call, 200, run);
		return FLOW_DONE;
	}
	reply_started(call, json_string_value(json_member(run, "status")));
	json_decref(run);
	return FLOW_DONE;
}

/* Perigee-Deadline: seconds from now, or a time. False: answered with 400. */
static bool take_deadline(struct call *call, struct start *start)
{
	struct str text = call_header(call, "Perigee-Deadline");
	int64_t seconds, now = clock_now_us(&clock_system);

	if (!text.p)
		return true;
	if (str_to_int(text, 1, 366LL * 86400, &seconds))
		start->deadline_us = now + seconds * 1000000;
	else if (!time_parse(text, &start->deadline_us) || start->deadline_us <= now) {
		call_fail(call, ERR_INVALID, "Perigee-Deadline is a number of seconds from 1 on, or a time to come like 2030-01-01T00:00:00Z");
		return false;
	}
	return true;
}

/* Perigee-Budget: effects=N. */
static bool take_budget(struct call *call, struct start *start)
{
	struct str text = call_header(call, "Perigee-Budget");
	struct str number = text.n > 8 ? (struct str){ text.p + 8, text.n - 8 } : (struct str){ NULL, 0 };

	if (!text.p)
		return true;
	if (str_starts(text, "effects=") && str_to_int(number, 1, 1000000000, &start->budget))
		return true;
	call_fail(call, ERR_INVALID, "Perigee-Budget is effects=N: how many effects the run and all below it may issue");
	return false;
}

void handle_call_capability(struct call *call)
{
	static const struct flow_step steps[] = {
		{ "start", step_start, 0 },
		{ "watch", step_watch, 0 },
		{ "read", step_read, 0 },
		{ "answer", step_answer, 0 },
		{ NULL, NULL, 0 },
	};
	static const struct flow_story story = { "capability.call", steps, NULL, call_fini };
	struct start *start;

	/* No body stands for {} only where it is said that there is none. */
	if (!call_read_body(call, str_is(call_header(call, "Content-Length"), "0")))
		return;
	start = mem_alloc(sizeof *start);
	start->call = call;
	start->empty = !http_request_body(call->request).n;
	start->wait_s = preference(call_header(call, "Prefer"), "wait");
	if (start->wait_s > WAIT_MAX_S)
		start->wait_s = WAIT_MAX_S;
	call->state = start;
	call->state_free = start_free;
	if (!take_deadline(call, start) || !take_budget(call, start))
		return;
	call_flow(call, &story);
}
