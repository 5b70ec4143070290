/* The engine's life and tables. See run_internal.h for which file does what. */
#include "run/deliveries.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "run/hints.h"

#define SWEEP_US 3000000   /* take over what dead processes left, try parked runs again */

static const char *const state_names[] = {
	"queued", "running", "waiting", "succeeded", "failed", "cancelled", "stuck",
};

const char *run_state_name(enum run_state state)
{
	return state_names[state];
}

bool run_state_is_final(struct str name)
{
	for (int i = RUN_SUCCEEDED; i <= RUN_STUCK; i++)
		if (str_is(name, state_names[i]))
			return true;
	return false;
}

json_t *error_new(const char *code, const char *message)
{
	json_t *error = json_object();
	json_put_text(error, "code", code);
	json_put_text(error, "message", message);
	return error;
}

/* ---- tenants ---- */

struct tenant *engine_tenant(struct engine *engine, struct str name)
{
	struct tenant *tenant;
	HASH_FIND(hh, engine->tenants, name.p, name.n, tenant);
	if (tenant || !store_tenant_exists(engine->options.store, name))
		return tenant;
	tenant = mem_alloc(sizeof *tenant);
	tenant->name = mem_copy(name);
	tenant->engine = engine;
	tenant->dormant.all = true; /* a new owner has no run yet */
	queue_init_tenant(&tenant->queue);
	tenant->weight = WEIGHT_OTHERWISE;
	HASH_ADD_KEYPTR(hh, engine->tenants, tenant->name, name.n, tenant);
	return tenant;
}

/* ---- runs ---- */

struct run *engine_find_run(struct engine *engine, struct str tenant, struct str id)
{
	struct run *run;
	HASH_FIND(hh, engine->runs, id.p, id.n, run);
	return run && str_is(tenant, run->tenant->name) ? run : NULL;
}

struct run *run_new(struct engine *engine, struct tenant *tenant, const char *id)
{
	struct run *run = mem_alloc(sizeof *run);
	memcpy(run->id, id, UUID_TEXT_SIZE);
	run->engine = engine;
	run->tenant = tenant;
	run->fence = 1;
	run->state = RUN_QUEUED;
	run->limits.budget = run->children = -1;
	TAILQ_INIT(&run->issued);
	TAILQ_INIT(&run->ready);
	TAILQ_INIT(&run->flights);
	TAILQ_INIT(&run->waits);
	TAILQ_INIT(&run->watchers);
	tenant->runs++;
	HASH_ADD_STR(engine->runs, id, run);
	return run;
}

static void run_free_journal(struct run *run)
{
	for (size_t i = 0; i < run->unflushed_count; i++) {
		free(run->unflushed[i].name);
		free(run->unflushed[i].outcome);
	}
	for (size_t i = 0; i < run->logs_count; i++) {
		free(run->logs[i].level);
		free(run->logs[i].message);
		free(run->logs[i].fields);
	}
	for (size_t i = 0; i < run->recorded_count; i++)
		free(run->recorded[i].name);
	free(run->unflushed);
	free(run->logs);
	free(run->recorded);
	intents_forget(run);
}

static void run_free_issued(struct run *run)
{
	struct issued *issued;
	flights_end(run);
	while ((issued = TAILQ_FIRST(&run->ready))) {
		TAILQ_REMOVE(&run->ready, issued, ready_link);
		if (issued->orphan)
			TAILQ_INSERT_TAIL(&run->issued, issued, link);
	}
	if (run->appending && run->appending->orphan)
		TAILQ_INSERT_TAIL(&run->issued, run->appending, link);
	while ((issued = TAILQ_FIRST(&run->issued))) {
		TAILQ_REMOVE(&run->issued, issued, link);
		/* a handler or a commit still holds it: it sees the run gone and frees it */
		issued->effect.run = NULL;
		if (issued->wait)
			issued->wait->issued = NULL;
		issued->wait = NULL;
		issued_abort(issued);
	}
}

void run_free(struct run *run)
{
	struct engine *engine = run->engine;
	run_drop_cell(run);
	run_is_up(run);
	run->activating = false;
	run_move(run, LIST_NONE);
	run_unsettle(run);
	if (run->state == RUN_WAITING)
		metric_add(engine->runs_waiting, -1, NULL);
	run_free_issued(run);
	struct wait *wait;
	while ((wait = TAILQ_FIRST(&run->waits)))
		wait_free(wait);
	watchers_leave(run);
	run_free_journal(run);
	limits_free(run);
	continuation_free(run);
	if (run->bundle)
		bundle_release(engine, run->bundle);
	run->tenant->runs--;
	HASH_DEL(engine->runs, run);
	free(run->agent);
	free(run->capability);
	free(run->parent);
	free(run->spec);
	free(run->last_effect);
	free(run->chain);
	json_decref(run->origin);
	json_decref(run->input);
	json_decref(run->spec_start);
	json_decref(run->output);
	json_decref(run->error);
	free(run);
	engine_maybe_drained(engine);
	engine_maybe_jump(engine);
}

static struct run_list_head *list_of(struct engine *engine, struct run *run)
{
	switch (run->list) {
	case LIST_RESIDENT: return &engine->residents;
	case LIST_STARVED: return (struct run_list_head *)&run->bundle->starved;
	case LIST_QUEUE:
	case LIST_NONE: break;
	}
	return NULL;
}

void run_move(struct run *run, enum run_list list)
{
	struct run_list_head *head = list_of(run->engine, run);
	if (head)
		TAILQ_REMOVE(head, run, link);
	else if (run->list == LIST_QUEUE)
		queue_remove(&run->engine->queue, run);
	if (run->list == LIST_RESIDENT)
		run->engine->residents_count--;
	if (list == LIST_RESIDENT)
		run->engine->residents_count++;
	run->list = list;
	head = list_of(run->engine, run);
	if (head)
		TAILQ_INSERT_TAIL(head, run, link);
	else if (list == LIST_QUEUE)
		queue_add(&run->engine->queue, run);
	run_count(run);
}

void run_count(struct run *run)
{
	bool computing = (run->cell && run->list != LIST_RESIDENT) || run->activating;
	if (computing != run->computing)
		queue_compute(&run->engine->queue, run->tenant, computing ? 1 : -1);
	run->computing = computing;
}

void run_set_state(struct run *run, enum run_state state)
{
	struct engine *engine = run->engine;
	if (run->state == state)
		return;
	if (run->state == RUN_WAITING)
		metric_add(engine->runs_waiting, -1, NULL);
	if (state == RUN_WAITING)
		metric_add(engine->runs_waiting, 1, NULL);
	run->state = state;
	if (!run->dry && state <= RUN_WAITING)
		run_tell_status(run);
}

/* ---- draining and virtual time ---- */

void engine_maybe_drained(struct engine *engine)
{
	if (!engine->draining || engine->closing || !engine->drained)
		return;
	for (struct run *run = engine->runs; run; run = run->hh.next)
		if (!run_is_quiet(run) && run->list != LIST_QUEUE && run->list != LIST_STARVED)
			return;
	void (*drained)(void *) = engine->drained;
	engine->drained = NULL;
	drained(engine->drained_arg);
}

void engine_drain(struct engine *engine, void (*drained)(void *arg), void *arg)
{
	engine->draining = true;
	engine->drained = drained;
	engine->drained_arg = arg;
	engine_maybe_drained(engine);
}

/* Every run waits and nothing is under way: the next timer is now. */
static void on_jump(void *arg)
{
	struct engine *engine = arg;
	engine->jump_queued = false;
	if (engine->closing || engine->timers_count == 0)
		return;
	for (struct run *run = engine->runs; run; run = run->hh.next)
		if (!run_is_quiet(run))
			return;
	struct clock_manual *time = engine->options.virtual_time;
	if (engine->timers[0]->wake_at_us > time->now_us)
		time->now_us = engine->timers[0]->wake_at_us;
	waits_fire_due(engine);
}

void engine_maybe_jump(struct engine *engine)
{
	if (!engine->options.virtual_time || engine->jump_queued || engine->closing)
		return;
	engine->jump_queued = true;
	loop_defer(engine->options.loop, &engine->jump, on_jump, engine);
}

/* ---- life ---- */

static void on_timer(void *arg)
{
	waits_fire_due(arg);
}

static void on_sweep(void *arg)
{
	struct engine *engine = arg;
	engine_sweep(engine);
	bundles_sweep(engine);
	due_sweep(engine);
	engine->breathless = false;
	engine_schedule(engine);
	timer_start_us(&engine->sweep, SWEEP_US);
}

static void on_lost_again(void *arg)
{
	engine_recover(arg);
}

static void declare_metrics(struct engine *engine)
{
	struct metrics *m = engine->options.metrics;
	engine->runs_total = metric_declare(m, METRIC_COUNTER, "perigee_runs_total", "Runs that ended",
	                                    (const char *[]){ "tenant", "agent", "capability", "status", NULL }, NULL);
	engine->runs_active = metric_declare(m, METRIC_GAUGE, "perigee_runs_active", "Runs with a cell", NULL, NULL);
	engine->runs_waiting = metric_declare(m, METRIC_GAUGE, "perigee_runs_waiting", "Runs that wait for a timer, signal, decision or child",
	                                      NULL, NULL);
	engine->effects_total = metric_declare(m, METRIC_COUNTER, "perigee_effects_total", "Effects by name and outcome",
	                                       (const char *[]){ "effect", "outcome", NULL }, NULL);
	engine->effect_seconds = metric_declare(m, METRIC_HISTOGRAM, "perigee_effect_seconds", "From an effect's frame to its delivery",
	                                        (const char *[]){ "effect", NULL }, metric_seconds_buckets);
	engine->event_lag = metric_declare(m, METRIC_GAUGE, "perigee_event_lag_seconds", "Age of the oldest event that is not dispatched", NULL, NULL);
	metric_combine(engine->event_lag, COMBINE_MOST);
	metric_set(engine->event_lag, 0, NULL);
	engine->schedule_slots = metric_declare(m, METRIC_COUNTER, "perigee_schedule_slots_total", "Slots of schedules by what became of them",
	                                        (const char *[]){ "status", NULL }, NULL);
	engine->schedule_idle = metric_declare(m, METRIC_COUNTER, "perigee_schedule_idle_total", "Alarms: the last slots of a schedule did nothing",
	                                       (const char *[]){ "agent", "capability", NULL }, NULL);
	shares_declare(engine);
	engine->replays_total = metric_declare(m, METRIC_COUNTER, "perigee_replays_total", "Activations that replayed a journal", NULL, NULL);
}

int engine_new(const struct engine_options *options, struct engine **out, struct errbuf *e)
{
	struct engine *engine = mem_alloc(sizeof *engine);
	engine->options = *options;
	engine->cell_program = mem_copy(str_of(options->cell_program));
	TAILQ_INIT(&engine->residents);
	TAILQ_INIT(&engine->settling);
	TAILQ_INIT(&engine->deadlined);
	TAILQ_INIT(&engine->lonely);
	TAILQ_INIT(&engine->to_mark);
	engine->workers_alive = options->workers ? options->workers : 1;
	TAILQ_INIT(&engine->held_back);
	engine->held = true;
	engine->adoptions_end = &engine->adoptions;
	uuid_format(uuid_new(&clock_system, options->rng), engine->owner);
	declare_metrics(engine);
	engine->deliveries = deliveries_new(engine);
	timer_init(&engine->timer, options->loop, on_timer, engine);
	timer_init(&engine->sweep, options->loop, on_sweep, engine);
	timer_init(&engine->claim_timer, options->loop, claiming_on_timer, engine);
	timer_init(&engine->settle, options->loop, settling_on_timer, engine);
	timer_init(&engine->due, options->loop, due_on_timer, engine);
	timer_init(&engine->dormant_timer, options->loop, dormant_on_timer, engine);
	timer_init(&engine->pulse, options->loop, engine_on_pulse, engine);
	timer_init(&engine->lost_again, options->loop, on_lost_again, engine);
	struct cells_options cells = {
		.loop = options->loop, .metrics = options->metrics, .program = engine->cell_program,
		.memory_bytes = options->cell_memory_bytes, .cpu_ms = options->cell_cpu_ms, .wall_ms = options->cell_wall_ms,
	};
	int code = store_owner_register(options->store, engine->owner, e);
	engine->registered = code == 0;
	if (code == 0)
		code = cells_new(&cells, &engine->cells, e);
	if (code) {
		engine_free(engine);
		return code;
	}
	timer_start_us(&engine->sweep, SWEEP_US);
	timer_start_us(&engine->claim_timer, 0);
	retention_new(engine);
	engine_on_pulse(engine);
	dormant_arm(engine);
	*out = engine;
	return 0;
}

/* Of runs that are this worker's, or may be. */
static bool is_unfinished(const struct engine *engine)
{
	bool unfinished = engine->runs || engine->parked || engine->adopting_ids || engine->takeovers || engine->adopt_own;
	for (const struct tenant *tenant = engine->tenants; tenant; tenant = tenant->hh.next)
		unfinished |= tenant->dormant.runs + tenant->starting > 0;
	return unfinished;
}

/* Somebody goes on with what is unfinished here; with nothing left nobody need look. */
static void let_go(struct engine *engine, bool unfinished)
{
	struct store *store = engine->options.store;
	if (unfinished && engine->workers_alive > 1)
		hint_hand_over(engine);
	store_owner_release(store);
	if (!unfinished)
		store_owner_forget(store, engine->owner);
}

static void held_back_free(struct engine *engine)
{
	struct issued *issued;
	while ((issued = TAILQ_FIRST(&engine->held_back))) {
		TAILQ_REMOVE(&engine->held_back, issued, ready_link);
		issued_finish(issued);
	}
}

void engine_free(struct engine *engine)
{
	if (!engine)
		return;
	bool unfinished = is_unfinished(engine);
	engine->closing = true;
	retention_free(engine);
	struct run *run, *next_run;
	HASH_ITER(hh, engine->runs, run, next_run)
		run_free(run);
	held_back_free(engine);
	cells_free(engine->cells);
	if (engine->registered)
		let_go(engine, unfinished);
	struct tenant *tenant, *next_tenant;
	HASH_ITER(hh, engine->tenants, tenant, next_tenant) {
		if (tenant->bundle)
			bundle_release(engine, tenant->bundle);
		HASH_DEL(engine->tenants, tenant);
		tenant_deliveries_free(tenant);
		free(tenant->dormant.heap);
		free(tenant->slice.run);
		free(tenant->name);
		free(tenant);
	}
	struct wait_key *key, *next_key;
	HASH_ITER(hh, engine->waits, key, next_key) {
		HASH_DEL(engine->waits, key);
		free(key->text);
		free(key);
	}
	adoptions_free(engine);
	deliveries_free(engine->deliveries);
	timer_fini(&engine->timer);
	timer_fini(&engine->sweep);
	timer_fini(&engine->claim_timer);
	timer_fini(&engine->settle);
	timer_fini(&engine->due);
	recovery_free(engine);
	timer_fini(&engine->dormant_timer);
	timer_fini(&engine->pulse);
	timer_fini(&engine->lost_again);
	free(engine->timers);
	queue_free(&engine->queue);
	free(engine->cell_program);
	free(engine);
}

const char *engine_owner(const struct engine *engine)
{
	return engine->owner;
}

struct engine_counts engine_counts(const struct engine *engine)
{
	struct engine_counts counts = { .cells = cells_count(engine->cells) };
	for (const struct run *run = engine->runs; run; run = run->hh.next) {
		if (run->state == RUN_WAITING)
			counts.waiting++;
		else
			counts.running++;
	}
	for (const struct tenant *tenant = engine->tenants; tenant; tenant = tenant->hh.next) {
		counts.tenants++;
		counts.live += tenant->bundle != NULL;
		counts.waiting += tenant->dormant.runs;
	}
	return counts;
}
