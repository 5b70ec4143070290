/*
 * The slow sweep: what no hint told is found all the same, by looking through the store in slices. A turn costs the same however many tenants and waiting
 * runs there are: some tenants, and of their waits together so many.
 */
#include "run/run_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"

#define TENANTS_A_TURN 50
#define WAITS_A_TURN 2000
#define WAITS_LEAST 100            /* of one tenant */
#define OWN_PAGE 2000
#define COUNT_SHARE 200            /* counting takes one part in so many of the time */
#define COUNT_LEAST_US 3000000

/* ---- waits that have ended ---- */

struct slice {
	struct engine *engine;
	struct tenant *tenant;
};

static void slice_read(struct engine *engine, struct tenant *tenant, int64_t limit);

static void slice_on_read(struct store_tx *tx, int code, void *arg)
{
	struct slice *slice = arg;
	struct engine *engine = slice->engine;
	struct tenant *tenant = slice->tenant;
	struct wait_slice *position = &tenant->slice;
	free(slice);
	position->reading = false;
	if (code) {
		log_event(LOG_ERROR, "sweep.failed", "tenant", tenant->name, "error", store_tx_error(tx), NULL);
		store_tx_free(tx);
		return;
	}
	const struct store_result *ended = store_tx_result(tx, 0), *last = store_tx_result(tx, 1);
	for (size_t i = 0; i < ended->rows; i++) {
		char *id = mem_copy(store_text(ended, i, 0));
		engine_wake_run(engine, tenant, id);
		free(id);
	}
	free(position->run);
	position->run = last->rows ? mem_copy(store_text(last, 0, 0)) : NULL;
	position->effect = last->rows ? store_int(last, 0, 1) : 0;
	store_tx_free(tx);
	if (!position->run && position->rounds > 0)
		position->rounds--;
	if (position->rounds > 0 && !engine->draining)
		slice_read(engine, tenant, WAITS_A_TURN);
}

static void slice_read(struct engine *engine, struct tenant *tenant, int64_t limit)
{
	struct wait_slice *position = &tenant->slice;
	if (position->reading || engine->closing)
		return;
	position->reading = true;
	struct slice *slice = mem_alloc(sizeof *slice);
	slice->engine = engine;
	slice->tenant = tenant;
	const char *run = position->run ? position->run : "";
	struct store_tx *tx = store_tx_new(engine->options.store, str_of(tenant->name));
	store_tx_add(tx, STATEMENT_waits_ended, STORE_ANY, "ttiii", engine->owner, run, position->effect, limit,
	             clock_now_us(engine->options.clock));
	store_tx_add(tx, STATEMENT_waits_slice_last, STORE_ANY, "tii", run, position->effect, limit);
	store_submit_read(tx, slice_on_read, slice);
}

void waits_sweep_all(struct engine *engine, struct tenant *tenant)
{
	/* one that is under way began somewhere in the middle: to its end, then from the beginning */
	tenant->slice.rounds = tenant->slice.run || tenant->slice.reading ? 2 : 1;
	slice_read(engine, tenant, WAITS_A_TURN);
}

/* ---- how many are there? ---- */

struct counting {
	struct engine *engine;
	struct tenant *tenant;
	int64_t began_us;
	uint64_t moves;
	size_t resting;                    /* in memory, and their rows say waiting */
};

static size_t resting_here(const struct tenant *tenant)
{
	size_t n = 0;
	for (const struct run *run = tenant->engine->runs; run; run = run->hh.next)
		n += run->tenant == tenant && run->suspended;
	return n;
}

static void count_on_read(struct store_tx *tx, int code, void *arg)
{
	struct counting *counting = arg;
	struct dormant *dormant = &counting->tenant->dormant;
	int64_t now = clock_monotonic_us(), pause = (now - counting->began_us) * COUNT_SHARE;
	dormant->counting = false;
	dormant->count_due_us = now + (pause > COUNT_LEAST_US ? pause : COUNT_LEAST_US);
	if (code == 0) {
		const struct store_result *r = store_tx_result(tx, 0);
		int64_t waiting = store_int(r, 0, 0);
		if (dormant->moves == counting->moves && counting->resting == resting_here(counting->tenant)) /* else it was never so at one moment */
			dormant_count(counting->tenant, waiting - (int64_t)counting->resting - (int64_t)dormant->runs);
	} else {
		log_event(LOG_ERROR, "sweep.failed", "tenant", counting->tenant->name, "error", store_tx_error(tx), NULL);
	}
	store_tx_free(tx);
	free(counting);
}

static void count_runs(struct engine *engine, struct tenant *tenant)
{
	struct dormant *dormant = &tenant->dormant;
	if (dormant->counting || clock_monotonic_us() < dormant->count_due_us)
		return;
	dormant->counting = true;
	struct counting *counting = mem_alloc(sizeof *counting);
	counting->engine = engine;
	counting->tenant = tenant;
	counting->began_us = clock_monotonic_us();
	counting->moves = dormant->moves;
	counting->resting = resting_here(tenant);
	struct store_tx *tx = store_tx_new(engine->options.store, str_of(tenant->name));
	store_tx_add(tx, STATEMENT_runs_count, STORE_ANY, "t", engine->owner);
	store_submit_read(tx, count_on_read, counting);
}

/* ---- owners of a tenant's runs ---- */

static void tenant_on_read(struct store_tx *tx, int code, void *arg)
{
	struct slice *slice = arg;
	struct engine *engine = slice->engine;
	struct tenant *tenant = slice->tenant;
	free(slice);
	if (code) {
		log_event(LOG_ERROR, "sweep.failed", "tenant", tenant->name, "error", store_tx_error(tx), NULL);
	} else if (!engine->draining) {
		const struct store_result *owners = store_tx_result(tx, 0);
		for (size_t i = 0; i < owners->rows; i++)
			owner_seen(engine, tenant, store_text(owners, i, 0));
	}
	store_tx_free(tx);
}

static void tenant_read(struct engine *engine, struct tenant *tenant)
{
	struct slice *slice = mem_alloc(sizeof *slice);
	slice->engine = engine;
	slice->tenant = tenant;
	struct store_tx *tx = store_tx_new(engine->options.store, str_of(tenant->name));
	store_tx_add(tx, STATEMENT_run_owners, STORE_ANY, "");
	store_submit_read(tx, tenant_on_read, slice);
}

/* ---- rows of ours that this process lost sight of when the store failed ---- */

struct own_page {
	struct engine *engine;
	struct tenant *tenant;
};

static void own_read(struct engine *engine, struct tenant *tenant, const char *after);

static void own_on_read(struct store_tx *tx, int code, void *arg)
{
	struct own_page *page = arg;
	struct engine *engine = page->engine;
	struct tenant *tenant = page->tenant;
	free(page);
	if (code) {
		engine->adopt_own = true;
		log_event(LOG_ERROR, "sweep.failed", "tenant", tenant->name, "error", store_tx_error(tx), NULL);
		store_tx_free(tx);
		return;
	}
	const struct store_result *r = store_tx_result(tx, 0);
	char *last = NULL;
	for (size_t i = 0; i < r->rows; i++) {
		free(last);
		last = mem_copy(store_text(r, i, 0));
		if (!str_is(store_text(r, i, 1), "waiting") && !engine_find_run(engine, str_of(tenant->name), str_of(last)))
			run_adopt_row(engine, tenant, last, ADOPT_TAKEN);
	}
	if (r->rows == OWN_PAGE && !engine->draining)
		own_read(engine, tenant, last);
	free(last);
	store_tx_free(tx);
}

static void own_read(struct engine *engine, struct tenant *tenant, const char *after)
{
	struct own_page *page = mem_alloc(sizeof *page);
	page->engine = engine;
	page->tenant = tenant;
	struct store_tx *tx = store_tx_new(engine->options.store, str_of(tenant->name));
	store_tx_add(tx, STATEMENT_runs_owned, STORE_ANY, "tti", engine->owner, after, (int64_t)OWN_PAGE);
	store_submit_read(tx, own_on_read, page);
}

/* ---- a turn ---- */

static size_t tenants_of_store(struct engine *engine)
{
	json_t *names = store_tenant_names(engine->options.store), *name;
	size_t i, count = 0;
	json_array_foreach(names, i, name)
		count += engine_tenant(engine, json_str(name)) != NULL;
	json_decref(names);
	return count;
}

static void sweep_tenant(struct engine *engine, struct tenant *tenant, int64_t waits)
{
	tenant_read(engine, tenant);
	if (tenant->runs + tenant->dormant.runs > 0 && tenant->slice.rounds == 0)
		slice_read(engine, tenant, waits);
	count_runs(engine, tenant);
	if (tenant->dormant.count == 0)
		dormant_refill(engine, tenant); /* a read that failed is tried again */
}

void engine_sweep(struct engine *engine)
{
	if (engine->draining || engine->closing)
		return;
	engine_recover(engine);
	parked_adopt(engine);
	size_t count = tenants_of_store(engine), turn = count < TENANTS_A_TURN ? count : TENANTS_A_TURN;
	struct tenant *tenant = engine->sweep_next ? engine->sweep_next : engine->tenants;
	if (engine->adopt_own) {
		engine->adopt_own = false;
		for (struct tenant *each = engine->tenants; each; each = each->hh.next)
			own_read(engine, each, "");
	}
	for (size_t i = 0; i < turn && tenant; i++) {
		int64_t waits = WAITS_A_TURN / (int64_t)turn;
		sweep_tenant(engine, tenant, waits > WAITS_LEAST ? waits : WAITS_LEAST);
		tenant = tenant->hh.next ? tenant->hh.next : engine->tenants;
	}
	engine->sweep_next = tenant;
}
