/*
 * The happy path: an event is committed → one transaction writes its deliveries and marks it dispatched → each is claimed in the transaction that
 * inserts its run → the transaction that ends the run settles the delivery → the next one of its key is begun.
 *
 * Each step is a transaction that only one can win, and what it leaves behind is a row that says what is next. Nobody has to remember anything:
 * a look at a tenant (some of them each second, with slices of bounded size) finds events without deliveries, deliveries that nobody began, attempts
 * that are due and runs that ended without their delivery being settled. A look is what follows a kill, a tenant that was full, a replay by
 * the command line. Order of a key is kept by delivery_claim itself, by looking at what comes first and by a unique index.
 */
#include "run/deliveries.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"

#define LOOK_US 1000000
#define LOOK_TENANTS 32       /* by turns */
#define EVENTS_PAGE 100
#define SLICE 500             /* rows of deliveries in one look: ids, no documents */
#define DUE_PAGE 100
#define UNDER_WAY_MAX 64      /* attempts whose event is in memory */
#define RETRIES_OTHERWISE 5

struct tenant_deliveries {
	bool looking;
	bool hungry;                       /* the last look did not see everything */
	int64_t due_us;                    /* next attempt; 0: none is known */
	int64_t after_seq;                 /* how far the slices have come */
	char after_id[UUID_TEXT_SIZE], after_run[UUID_TEXT_SIZE];
};

struct attempt {
	struct attempt *next;
	struct deliveries *deliveries;
	struct tenant *tenant;
	char id[UUID_TEXT_SIZE], run[UUID_TEXT_SIZE];
	char *agent, *capability, *event;
	json_t *input;
	struct live_bundle *bundle;        /* held */
	int64_t now_us;
};

struct deliveries {
	struct engine *engine;
	struct timer timer;
	size_t turn;                       /* of which tenant it is */
	size_t under_way;
	struct attempt *first, **end;      /* not yet under way */
	struct metric *total;
};

static struct tenant_deliveries *of(struct tenant *tenant)
{
	if (!tenant->deliveries)
		tenant->deliveries = mem_alloc(sizeof *tenant->deliveries);
	return tenant->deliveries;
}

void tenant_deliveries_free(struct tenant *tenant)
{
	free(tenant->deliveries);
	tenant->deliveries = NULL;
}

static int64_t now_of(const struct engine *engine)
{
	return clock_now_us(engine->options.clock);
}

static void copy_id(char to[UUID_TEXT_SIZE], struct str id)
{
	size_t n = id.n < UUID_TEXT_SIZE ? id.n : UUID_TEXT_SIZE - 1;

	if (n)
		memcpy(to, id.p, n);
	to[n] = 0;
}

static struct store_tx *tx_of(struct engine *engine, const struct tenant *tenant)
{
	return store_tx_new(engine->options.store, str_of(tenant->name));
}

static void note_due(struct tenant *tenant, int64_t at_us)
{
	struct tenant_deliveries *t = of(tenant);

	if (at_us && (!t->due_us || at_us < t->due_us))
		t->due_us = at_us;
}

/* ---- an attempt ---- */

static void attempts_go_on(struct deliveries *deliveries);

static void attempt_end(struct attempt *attempt)
{
	struct deliveries *deliveries = attempt->deliveries;

	if (attempt->bundle)
		bundle_release(deliveries->engine, attempt->bundle);
	json_decref(attempt->input);
	free(attempt->agent);
	free(attempt->capability);
	free(attempt->event);
	free(attempt);
	deliveries->under_way--;
	attempts_go_on(deliveries);
}

static struct run_birth attempt_birth(const struct attempt *attempt)
{
	return (struct run_birth){
		.tenant = attempt->tenant, .id = attempt->run, .agent = attempt->agent, .capability = attempt->capability,
		.event = attempt->event, .input = attempt->input, .now_us = attempt->now_us, .bundle = attempt->bundle,
	};
}

static void on_claimed(struct store_tx *tx, int code, void *arg)
{
	struct attempt *attempt = arg;
	struct engine *engine = attempt->deliveries->engine;

	/* A conflict is no error: it is somebody else's, or waits for one of its key. */
	if (code && code != ERR_CONFLICT)
		log_event(LOG_ERROR, "delivery.claim", "delivery", attempt->id, "error", store_tx_error(tx), "next", "tried again soon", NULL);
	store_tx_free(tx);
	if (code == 0) {
		struct run_birth birth = attempt_birth(attempt);
		run_admit(engine, &birth);
	}
	attempt_end(attempt);
	if (code == 0)
		engine_schedule(engine);
}

static void attempt_claim(struct attempt *attempt)
{
	struct engine *engine = attempt->deliveries->engine;
	struct store_tx *tx = tx_of(engine, attempt->tenant);
	struct run_birth birth;

	uuid_format(uuid_new(engine->options.clock, engine->options.rng), attempt->run);
	attempt->now_us = now_of(engine) / 1000 * 1000;
	birth = attempt_birth(attempt);
	store_tx_add(tx, STATEMENT_delivery_claim, STORE_MUST, "tti", attempt->id, attempt->run, now_of(engine));
	run_birth_add(engine, tx, &birth, STORE_MUST);
	store_submit_write(tx, on_claimed, attempt);
}

static void on_refused(struct store_tx *tx, int code, void *arg)
{
	struct attempt *attempt = arg;

	if (code == 0)
		deliveries_on_settled(attempt->deliveries->engine, attempt->tenant, store_tx_result(tx, 0));
	store_tx_free(tx);
	attempt_end(attempt);
}

/* No attempt could ever succeed: a dead letter at once. */
static void attempt_refuse(struct attempt *attempt, int why, const char *text)
{
	struct engine *engine = attempt->deliveries->engine;
	struct store_tx *tx = tx_of(engine, attempt->tenant);
	json_t *error = error_new(why == ERR_SCHEMA ? "event.schema" : "event.no_capability", text);

	log_event(LOG_WARN, "event.refused", "event", attempt->event, "agent", attempt->agent, "capability", attempt->capability, "error", text, NULL);
	store_tx_add(tx, STATEMENT_delivery_refuse, STORE_ANY, "tji", attempt->id, error, now_of(engine));
	json_decref(error);
	store_submit_write(tx, on_refused, attempt);
}

static void attempt_take(struct attempt *attempt, const struct store_result *r)
{
	attempt->agent = mem_copy(store_text(r, 0, 0));
	attempt->capability = mem_copy(store_text(r, 0, 1));
	attempt->event = mem_copy(store_text(r, 0, 2));
	attempt->input = store_is_null(r, 0, 5) ? json_object() : json_read(store_text(r, 0, 5), FRAME_PAYLOAD_MAX, NULL, NULL);
	if (!attempt->input)
		attempt->input = json_null();
	attempt->bundle = attempt->tenant->bundle;
	attempt->bundle->references++;
}

static void on_loaded(struct store_tx *tx, int code, void *arg)
{
	struct attempt *attempt = arg;
	struct engine *engine = attempt->deliveries->engine;
	struct errbuf e = { "" };

	if (code)
		log_event(LOG_ERROR, "delivery.load", "delivery", attempt->id, "error", store_tx_error(tx), "next", "tried again soon", NULL);
	/* What is not begun now stays due: the next look finds it. */
	if (code || !store_tx_result(tx, 0)->rows || engine->draining || !attempt->tenant->bundle || tenant_is_full(engine, attempt->tenant)) {
		store_tx_free(tx);
		attempt_end(attempt);
		return;
	}
	attempt_take(attempt, store_tx_result(tx, 0));
	store_tx_free(tx);
	code = capability_check(attempt->bundle->manifest, attempt->agent, attempt->capability, &attempt->input, NULL, &e);
	if (code)
		attempt_refuse(attempt, code, e.text);
	else
		attempt_claim(attempt);
}

static void attempts_go_on(struct deliveries *deliveries)
{
	struct attempt *attempt;

	while (deliveries->under_way < UNDER_WAY_MAX && (attempt = deliveries->first)) {
		struct store_tx *tx = tx_of(deliveries->engine, attempt->tenant);

		deliveries->first = attempt->next;
		if (!deliveries->first)
			deliveries->end = &deliveries->first;
		deliveries->under_way++;
		store_tx_add(tx, STATEMENT_delivery_load, STORE_ANY, "ti", attempt->id, now_of(deliveries->engine));
		store_submit_read(tx, on_loaded, attempt);
	}
	if (!deliveries->first && deliveries->under_way == 0) {
		struct tenant *tenant;
		for (tenant = deliveries->engine->tenants; tenant; tenant = tenant->hh.next)
			if (tenant->deliveries && tenant->deliveries->hungry)
				timer_start_us(&deliveries->timer, 0);
	}
}

void deliveries_begin(struct engine *engine, struct tenant *tenant, struct str id)
{
	struct deliveries *deliveries = engine->deliveries;
	struct attempt *attempt;

	if (engine->draining || engine->closing)
		return;
	attempt = mem_alloc(sizeof *attempt);
	attempt->deliveries = deliveries;
	attempt->tenant = tenant;
	copy_id(attempt->id, id);
	*deliveries->end = attempt;
	deliveries->end = &attempt->next;
	attempts_go_on(deliveries);
}

/* ---- from an event to its deliveries ---- */

struct dispatch {
	struct engine *engine;
	struct tenant *tenant;
	char *event;
	char (*ids)[UUID_TEXT_SIZE];
	size_t count;
};

static void on_dispatched(struct store_tx *tx, int code, void *arg)
{
	struct dispatch *dispatch = arg;

	if (code && code != ERR_CONFLICT)
		log_event(LOG_ERROR, "event.dispatch", "event", dispatch->event, "error", store_tx_error(tx), "next", "tried again soon", NULL);
	store_tx_free(tx);
	for (size_t i = 0; code == 0 && i < dispatch->count; i++)
		deliveries_begin(dispatch->engine, dispatch->tenant, str_of(dispatch->ids[i]));
	free(dispatch->ids);
	free(dispatch->event);
	free(dispatch);
}

/* on[type] of a manifest: "capability", or {capability, retries?, ordered?}. NULL: it does not listen. */
static const char *subscription(const json_t *agent, const char *type, int64_t *retries, bool *ordered)
{
	const json_t *on = json_member(json_member(agent, "on"), type);

	*retries = RETRIES_OTHERWISE;
	*ordered = true;
	if (!json_is_object(on))
		return json_string_value(on);
	*retries = json_member_int(on, "retries", RETRIES_OTHERWISE);
	*ordered = json_member_bool(on, "ordered", true);
	return json_string_value(json_member(on, "capability"));
}

static void dispatch_add(struct dispatch *dispatch, struct store_tx *tx, const char *agent, const char *capability, int64_t retries, bool ordered)
{
	const struct engine_options *options = &dispatch->engine->options;
	char *id;

	dispatch->ids = mem_grow(dispatch->ids, dispatch->count + 1, sizeof *dispatch->ids);
	id = dispatch->ids[dispatch->count++];
	uuid_format(uuid_new(options->clock, options->rng), id);
	store_tx_add(tx, STATEMENT_delivery_insert, STORE_ANY, "ttttiii", id, dispatch->event, agent, capability, (int64_t)ordered, retries,
	             clock_now_us(options->clock));
}

void deliveries_on_event(struct engine *engine, struct tenant *tenant, struct str id, struct str type)
{
	struct dispatch *dispatch;
	struct store_tx *tx;
	const char *name;
	char *type_text;
	json_t *agent;

	if (!tenant->bundle || engine->draining)
		return; /* it stays without deliveries: a look finds it */
	dispatch = mem_alloc(sizeof *dispatch);
	dispatch->engine = engine;
	dispatch->tenant = tenant;
	dispatch->event = mem_copy(id);
	type_text = mem_copy(type);
	tx = tx_of(engine, tenant);
	store_tx_add(tx, STATEMENT_event_dispatched, STORE_MUST, "t", dispatch->event);
	json_object_foreach((json_t *)(uintptr_t)json_member(tenant->bundle->manifest, "agents"), name, agent) {
		int64_t retries;
		bool ordered;
		const char *capability = subscription(agent, type_text, &retries, &ordered);
		if (capability)
			dispatch_add(dispatch, tx, name, capability, retries, ordered);
	}
	free(type_text);
	store_submit_write(tx, on_dispatched, dispatch);
}

/* ---- a run has ended ---- */

size_t deliveries_add_settle(struct engine *engine, struct store_tx *tx, const char *run)
{
	uint16_t chance;

	rng_fill(engine->options.rng, &chance, sizeof chance);
	return store_tx_add(tx, STATEMENT_delivery_settle, STORE_ANY, "tii", run, now_of(engine), (int64_t)(chance % 1001));
}

struct next {
	struct engine *engine;
	struct tenant *tenant;
};

static void on_next(struct store_tx *tx, int code, void *arg)
{
	struct next *next = arg;
	const struct store_result *r = store_tx_result(tx, 0);

	if (code)
		of(next->tenant)->hungry = true;
	else if (r->rows && str_is(store_text(r, 0, 1), "retrying"))
		note_due(next->tenant, store_int(r, 0, 2));
	else if (r->rows && str_is(store_text(r, 0, 1), "pending"))
		deliveries_begin(next->engine, next->tenant, store_text(r, 0, 0));
	store_tx_free(tx);
	free(next);
}

/* Columns of delivery_settle and delivery_refuse: id status agent capability key next_at attempts. */
void deliveries_on_settled(struct engine *engine, struct tenant *tenant, const struct store_result *settled)
{
	for (size_t i = 0; i < settled->rows; i++) {
		char *status = mem_copy(store_text(settled, i, 1)), *id = mem_copy(store_text(settled, i, 0));

		metric_add(engine->deliveries->total, 1, (const char *[]){ status });
		if (strcmp(status, "dead") == 0)
			log_event(LOG_WARN, "delivery.dead", "tenant", tenant->name, "delivery", id, "next", "perigee events dead, perigee events replay ID", NULL);
		if (strcmp(status, "retrying") == 0)
			note_due(tenant, store_int(settled, i, 5));
		free(status);
		free(id);
		if (store_is_null(settled, i, 4) || engine->draining)
			continue;
		struct next *next = mem_alloc(sizeof *next);
		struct store_tx *tx = tx_of(engine, tenant);
		next->engine = engine;
		next->tenant = tenant;
		store_tx_add(tx, STATEMENT_delivery_next, STORE_ANY, "sss", store_text(settled, i, 2), store_text(settled, i, 3),
		             store_text(settled, i, 4));
		store_submit_read(tx, on_next, next);
	}
}

static void on_settled_late(struct store_tx *tx, int code, void *arg)
{
	struct next *next = arg;

	if (code == 0)
		deliveries_on_settled(next->engine, next->tenant, store_tx_result(tx, 0));
	store_tx_free(tx);
	free(next);
}

static void settle_late(struct engine *engine, struct tenant *tenant, struct str run)
{
	struct next *next = mem_alloc(sizeof *next);
	struct store_tx *tx = tx_of(engine, tenant);
	char *text = mem_copy(run);

	next->engine = engine;
	next->tenant = tenant;
	deliveries_add_settle(engine, tx, text);
	free(text);
	store_submit_write(tx, on_settled_late, next);
}

/* ---- looking ---- */

struct look {
	struct deliveries *deliveries;
	struct tenant *tenant;
};

static void measure_lag(struct engine *engine)
{
	int64_t now = now_of(engine), oldest = now;

	for (const struct tenant *tenant = engine->tenants; tenant; tenant = tenant->hh.next)
		if (tenant->event_oldest_us && tenant->event_oldest_us < oldest)
			oldest = tenant->event_oldest_us;
	metric_set(engine->event_lag, (double)(now - oldest) / 1e6, NULL);
}

static void look_at_events(struct look *look, const struct store_result *r)
{
	look->tenant->event_oldest_us = r->rows ? store_int(r, 0, 2) : 0;
	measure_lag(look->deliveries->engine);
	for (size_t i = 0; i < r->rows; i++)
		deliveries_on_event(look->deliveries->engine, look->tenant, store_text(r, i, 0), store_text(r, i, 1));
	of(look->tenant)->hungry |= r->rows == EVENTS_PAGE;
}

static void look_at_pending(struct look *look, const struct store_result *r)
{
	struct tenant_deliveries *t = of(look->tenant);

	for (size_t i = 0; i < r->rows; i++)
		if (store_int(r, i, 2))
			deliveries_begin(look->deliveries->engine, look->tenant, store_text(r, i, 0));
	t->after_seq = r->rows == SLICE ? store_int(r, r->rows - 1, 1) : 0;
	copy_id(t->after_id, r->rows == SLICE ? store_text(r, r->rows - 1, 0) : STR(""));
}

static void look_at_retrying(struct look *look, const struct store_result *r)
{
	int64_t now = now_of(look->deliveries->engine);

	of(look->tenant)->due_us = 0;
	for (size_t i = 0; i < r->rows; i++) {
		if (store_int(r, i, 1) > now) {
			note_due(look->tenant, store_int(r, i, 1));
			return;
		}
		deliveries_begin(look->deliveries->engine, look->tenant, store_text(r, i, 0));
	}
	of(look->tenant)->hungry |= r->rows == DUE_PAGE;
}

static void look_at_running(struct look *look, const struct store_result *r)
{
	for (size_t i = 0; i < r->rows; i++)
		if (store_int(r, i, 1))
			settle_late(look->deliveries->engine, look->tenant, store_text(r, i, 0));
	copy_id(of(look->tenant)->after_run, r->rows == SLICE ? store_text(r, r->rows - 1, 0) : STR(""));
}

static void on_looked(struct store_tx *tx, int code, void *arg)
{
	struct look *look = arg;
	struct tenant_deliveries *t = of(look->tenant);

	t->looking = false;
	if (code) {
		log_event(LOG_ERROR, "deliveries.look", "tenant", look->tenant->name, "error", store_tx_error(tx), "next", "looked again soon", NULL);
	} else {
		t->hungry = false;
		look_at_events(look, store_tx_result(tx, 0));
		look_at_pending(look, store_tx_result(tx, 1));
		look_at_retrying(look, store_tx_result(tx, 2));
		look_at_running(look, store_tx_result(tx, 3));
	}
	store_tx_free(tx);
	free(look);
}

static void look_at(struct deliveries *deliveries, struct tenant *tenant)
{
	struct tenant_deliveries *t = of(tenant);
	struct look *look;
	struct store_tx *tx;

	if (t->looking || !tenant->bundle)
		return;
	t->looking = true;
	look = mem_alloc(sizeof *look);
	look->deliveries = deliveries;
	look->tenant = tenant;
	tx = tx_of(deliveries->engine, tenant);
	store_tx_add(tx, STATEMENT_events_waiting, STORE_ANY, "i", (int64_t)EVENTS_PAGE);
	store_tx_add(tx, STATEMENT_deliveries_pending, STORE_ANY, "iti", t->after_seq, t->after_id, (int64_t)SLICE);
	store_tx_add(tx, STATEMENT_deliveries_retrying, STORE_ANY, "i", (int64_t)DUE_PAGE);
	store_tx_add(tx, STATEMENT_deliveries_running, STORE_ANY, "ti", t->after_run, (int64_t)SLICE);
	store_submit_read(tx, on_looked, look);
}

/* Some tenants by turns, and those of which something is known to be due. While attempts queue up there is enough to do. */
static void on_time(void *arg)
{
	struct deliveries *deliveries = arg;
	struct engine *engine = deliveries->engine;
	size_t i = 0, count = HASH_COUNT(engine->tenants), from = count ? deliveries->turn % count : 0;
	int64_t now = now_of(engine);
	bool busy = deliveries->first != NULL;

	timer_start_us(&deliveries->timer, LOOK_US);
	if (engine->draining || engine->closing || busy)
		return;
	for (struct tenant *tenant = engine->tenants; tenant; tenant = tenant->hh.next, i++) {
		bool turn = (i + count - from) % count < LOOK_TENANTS;
		const struct tenant_deliveries *t = tenant->deliveries;
		if (turn || (t && (t->hungry || (t->due_us && t->due_us <= now))))
			look_at(deliveries, tenant);
	}
	deliveries->turn = from + LOOK_TENANTS;
}

struct deliveries *deliveries_new(struct engine *engine)
{
	struct deliveries *deliveries = mem_alloc(sizeof *deliveries);

	deliveries->engine = engine;
	deliveries->end = &deliveries->first;
	deliveries->total = metric_declare(engine->options.metrics, METRIC_COUNTER, "perigee_deliveries_total",
	                                   "Events on their way to a capability: done, retrying (its run failed), dead", (const char *[]){ "outcome", NULL }, NULL);
	timer_init(&deliveries->timer, engine->options.loop, on_time, deliveries);
	timer_start_us(&deliveries->timer, LOOK_US);
	return deliveries;
}

void deliveries_free(struct deliveries *deliveries)
{
	struct attempt *attempt;

	if (!deliveries)
		return;
	while ((attempt = deliveries->first)) {
		deliveries->first = attempt->next;
		free(attempt);
	}
	timer_fini(&deliveries->timer);
	free(deliveries);
}
