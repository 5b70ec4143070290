/*
 * What the clock brings besides the waits of runs: slots of schedules, deadlines of runs, hand-offs that an operator wants again.
 *
 * Each tenant has in memory when its store has something next (tenant->due_us); one timer stands at the earliest. When it is due, one read asks what, and
 * whoever deals with it says due_done; then the next time is asked for. Other workers and the command line change the rows too: a slice of the
 * tenants is asked at every sweep. Every worker may try; a version or a fence in the write lets one win. Nothing happens here under virtual time.
 */
#include "run/run_internal.h"

#include "base/log.h"

#define SLICE 50               /* tenants asked at a sweep of three seconds */
#define AGAIN_US 1000000       /* something is due that cannot be done yet: its run before is at work, the tenant is full, another worker has its scripts */
#define LOOK_US (60LL * 1000000) /* the wall clock may be set: look again */

struct due_look {
	struct engine *engine;
	struct tenant *tenant;
};

static bool is_asleep(struct engine *engine)
{
	return engine->draining || engine->closing || engine->options.virtual_time;
}

static void rearm(struct engine *engine)
{
	int64_t first = INT64_MAX, left, now = clock_now_us(engine->options.clock);
	const struct tenant *tenant;

	if (is_asleep(engine)) {
		timer_stop(&engine->due);
		return;
	}
	for (tenant = engine->tenants; tenant; tenant = tenant->hh.next)
		if (tenant->due_us && !tenant->due_busy && tenant->due_us < first)
			first = tenant->due_us;
	left = first == INT64_MAX ? LOOK_US : first - now;
	timer_start_us(&engine->due, left < 0 ? 0 : left > LOOK_US ? LOOK_US : left);
}

void due_note(struct engine *engine, struct tenant *tenant, int64_t at_us)
{
	if (!tenant->due_us || at_us < tenant->due_us) {
		tenant->due_us = at_us;
		rearm(engine);
	}
}

static void next_on_read(struct store_tx *tx, int code, void *arg)
{
	struct due_look *look = arg;
	struct engine *engine = look->engine;
	struct tenant *tenant = look->tenant;
	const struct store_result *r = store_tx_result(tx, 0);
	int64_t first = 0, now = clock_now_us(engine->options.clock);

	free(look);
	tenant->due_busy--;
	for (size_t i = 0; code == 0 && r->rows && i < r->columns; i++)
		if (!store_is_null(r, 0, i) && (!first || store_int(r, 0, i) < first) && (i == 1 || engine->options.keeps_schedules))
			first = store_int(r, 0, i);
	/* still due, and nothing came of it: not again at once */
	if (code || (first && first <= now && !tenant->due_moved))
		first = now + AGAIN_US;
	tenant->due_us = first;
	store_tx_free(tx);
	rearm(engine);
}

static void ask_next(struct engine *engine, struct tenant *tenant)
{
	struct due_look *look = mem_alloc(sizeof *look);
	struct store_tx *tx = store_tx_new(engine->options.store, str_of(tenant->name));

	*look = (struct due_look){ engine, tenant };
	tenant->due_busy++;
	store_tx_add(tx, STATEMENT_work_due, STORE_ANY, "");
	store_submit_read(tx, next_on_read, look);
}

void due_done(struct engine *engine, struct tenant *tenant, bool moved)
{
	tenant->due_moved |= moved;
	if (--tenant->due_busy == 0)
		ask_next(engine, tenant);
}

static void look_on_read(struct store_tx *tx, int code, void *arg)
{
	struct due_look *look = arg;
	struct engine *engine = look->engine;
	struct tenant *tenant = look->tenant;

	free(look);
	if (code)
		log_event(LOG_ERROR, "due.failed", "tenant", tenant->name, "error", store_tx_error(tx), NULL);
	else
		deadlines_expire(engine, tenant, store_tx_result(tx, 0));
	if (code == 0 && engine->options.keeps_schedules && tenant->bundle) {
		schedules_fire(engine, tenant, store_tx_result(tx, 1));
		handoffs_replay(engine, tenant, store_tx_result(tx, 2));
	}
	store_tx_free(tx);
	due_done(engine, tenant, false);
}

static void look_at(struct engine *engine, struct tenant *tenant)
{
	struct due_look *look = mem_alloc(sizeof *look);
	struct store_tx *tx = store_tx_new(engine->options.store, str_of(tenant->name));
	int64_t now = clock_now_us(engine->options.clock);

	*look = (struct due_look){ engine, tenant };
	tenant->due_busy++;
	tenant->due_moved = false;
	tenant->due_looked_us = now;
	store_tx_add(tx, STATEMENT_runs_past_deadline, STORE_ANY, "i", now);
	store_tx_add(tx, STATEMENT_schedules_due, STORE_ANY, "i", now);
	store_tx_add(tx, STATEMENT_handoffs_asked, STORE_ANY, "");
	store_submit_read(tx, look_on_read, look);
}

void due_on_timer(void *arg)
{
	struct engine *engine = arg;
	int64_t now = clock_now_us(engine->options.clock);
	struct tenant *tenant;

	if (is_asleep(engine))
		return;
	if (store_lease(engine->options.store) != STORE_LEASE_HELD) {
		timer_start_us(&engine->due, AGAIN_US);
		return;
	}
	for (tenant = engine->tenants; tenant; tenant = tenant->hh.next)
		if (tenant->due_us && tenant->due_us <= now && !tenant->due_busy)
			look_at(engine, tenant);
	rearm(engine);
}

void due_sweep(struct engine *engine)
{
	struct tenant *tenant;
	size_t at = 0, asked = 0;

	if (is_asleep(engine) || store_lease(engine->options.store) != STORE_LEASE_HELD)
		return;
	for (tenant = engine->tenants; tenant; tenant = tenant->hh.next, at++) {
		if (at < engine->due_asked)
			continue;
		if (asked++ == SLICE)
			break;
		engine->due_asked = at + 1;
		if (!tenant->due_busy)
			ask_next(engine, tenant);
	}
	if (!tenant)
		engine->due_asked = 0;
}

void due_soon(struct engine *engine, struct tenant *tenant)
{
	if (!is_asleep(engine) && !tenant->due_busy)
		ask_next(engine, tenant);
	else if (!is_asleep(engine))
		tenant->due_moved = true; /* what is under way asks when it ends */
}

void engine_look(struct engine *engine, struct str name)
{
	struct tenant *tenant = engine_tenant(engine, name);

	if (tenant)
		due_soon(engine, tenant);
}
