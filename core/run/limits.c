/* See limits.h. Deadlines are rows: whoever looks first fails what is past its own, wherever that is and whether or not its worker lives. */
#include "run/run_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "run/deliveries.h"
#include "run/effects_run.h"

#define CHILDREN_MAX 1000       /* unfinished ones of a run, unless the operator says otherwise */
#define EXPIRED_TEXT "the run was not done by its deadline"

/* ---- birth and adoption ---- */

static bool is_limited(const struct run_limits *limits)
{
	return limits && (limits->deadline_us || limits->budget >= 0 || limits->handoff || limits->correlation);
}

void limits_birth_add(struct store_tx *tx, const struct run_birth *birth)
{
	const struct run_limits *limits = birth->limits;
	if (is_limited(limits))
		store_tx_add(tx, STATEMENT_run_limit, STORE_ANY, "tiittt", birth->id, limits->deadline_us, limits->budget, limits->handoff,
		             limits->handoff_type, limits->correlation);
}

static char *copy_or_null(const char *text)
{
	return text ? mem_copy(str_of(text)) : NULL;
}

static void join_deadlined(struct run *run)
{
	if (!run->limits.deadline_us || run->dry)
		return;
	TAILQ_INSERT_TAIL(&run->engine->deadlined, run, deadline_link);
	due_note(run->engine, run->tenant, run->limits.deadline_us);
}

void limits_take(struct run *run, const struct run_limits *limits)
{
	run->limits.budget = -1;
	run->children = run->fresh ? 0 : -1;
	if (!limits)
		return;
	run->limits = *limits;
	run->limits.given = 0;
	run->limits.handoff = copy_or_null(limits->handoff);
	run->limits.handoff_type = copy_or_null(limits->handoff_type);
	run->limits.correlation = copy_or_null(limits->correlation);
	join_deadlined(run);
}

static char *text_or_null(const struct store_result *r, size_t column)
{
	return store_is_null(r, 0, column) ? NULL : mem_copy(store_text(r, 0, column));
}

void limits_adopt(struct run *run, const struct store_result *r)
{
	run->limits.budget = run->children = -1;
	if (!r->rows)
		return;
	run->limits.deadline_us = store_is_null(r, 0, 0) ? 0 : store_int(r, 0, 0);
	run->limits.budget = store_is_null(r, 0, 1) ? -1 : store_int(r, 0, 1);
	run->limits.given = store_int(r, 0, 2);
	run->limits.handoff = text_or_null(r, 3);
	run->limits.handoff_type = text_or_null(r, 4);
	run->limits.correlation = text_or_null(r, 5);
	join_deadlined(run);
}

void limits_free(struct run *run)
{
	if (run->limits.deadline_us && !run->dry)
		TAILQ_REMOVE(&run->engine->deadlined, run, deadline_link);
	free(run->limits.handoff);
	free(run->limits.handoff_type);
	free(run->limits.correlation);
}

/* ---- budgets ---- */

static bool makes_child(const struct issued *issued)
{
	const struct effect_row *row = issued->effect.row;
	return row && (row->begin == effect_begin_run_spawn || row->begin == effect_begin_handoff_send) && issued->effect.state;
}

/* Promised to children whose rows are not on disk yet. */
static int64_t promised(const struct run *run, int64_t *committing)
{
	const struct issued *issued, *appending = run->appending;
	int64_t sum = 0, count = 0;
	TAILQ_FOREACH(issued, &run->issued, link) {
		if (!makes_child(issued) || issued->state == ISSUED_WAITING)
			continue;
		const struct child_state *state = issued->effect.state;
		sum += state->budget > 0 ? state->budget : 0;
		count += issued->state != ISSUED_HANDLING;
		if (issued == appending)
			appending = NULL;
	}
	if (appending && makes_child(appending)) { /* its cell has gone, its commit is on the way */
		const struct child_state *state = appending->effect.state;
		sum += state->budget > 0 ? state->budget : 0;
		count++;
	}
	if (committing)
		*committing = count;
	return sum;
}

/* The highest effect that the run has issued so far, in this cell or in one before. */
static int64_t issued_most(const struct run *run)
{
	int64_t most = run->effects_issued;
	if (run->recorded_count && run->recorded[run->recorded_count - 1].effect > most)
		most = run->recorded[run->recorded_count - 1].effect;
	return most;
}

static int64_t budget_left(const struct run *run)
{
	int64_t left = run->limits.budget - run->limits.given - promised(run, NULL) - issued_most(run);
	return left > 0 ? left : 0;
}

bool limits_allow(struct run *run, uint32_t effect)
{
	if (run->limits.budget < 0 || run->dry)
		return true;
	if ((int64_t)effect + run->limits.given + promised(run, NULL) <= run->limits.budget)
		return true;
	run_fail(run, "budget.effects", "the run and its children have issued as many effects as its budget allows", NULL);
	return false;
}

/* Only once nothing else is under way does a run go on as another: what it has left is fixed. */
struct run_limits limits_continue(const struct run *run)
{
	struct run_limits limits = run->limits;
	if (limits.budget >= 0)
		limits.budget = budget_left(run);
	limits.given = 0;
	return limits;
}

void limits_continue_add(struct effect *effect, const char *next)
{
	struct run_limits limits = limits_continue(effect->run);
	struct run_birth birth = { .id = next, .limits = &limits };
	limits_birth_add(effect->tx, &birth);
	if (limits.handoff)
		store_tx_add(effect->tx, STATEMENT_handoff_continue, STORE_ANY, "st", effect->run_id, next);
}

/* ---- children ---- */

static bool carve(struct effect *effect, struct child_state *state)
{
	const struct run *run = effect->run;
	int64_t left = budget_left(run), asked = json_member_int(effect->args, "budget", -1), ms = json_member_int(effect->args, "deadline_ms", 0);
	state->limits = (struct run_limits){ .deadline_us = run->limits.deadline_us, .budget = asked, .correlation = run->limits.correlation };
	if (ms > 0 && (!state->limits.deadline_us || effect->now_us + ms * 1000 < state->limits.deadline_us))
		state->limits.deadline_us = effect->now_us + ms * 1000;
	if (run->limits.budget >= 0) {
		state->limits.budget = asked >= 0 ? asked : left / 2;
		if (state->limits.budget > left || state->limits.budget == 0)
			return false;
		state->budget = state->limits.budget;
	}
	return true;
}

static void child_go(struct effect *effect)
{
	struct child_state *state = effect->state;
	struct run *run = effect->run;
	if (!carve(effect, state)) {
		state->budget = -1;
		effect_fail(effect, "budget.effects", "the run has not so many effects left that it could give a child", NULL);
		return;
	}
	run->children++;
	run->spawned++;
	state->go(effect);
}

static int64_t children_max(const struct engine *engine)
{
	return engine->options.children_max ? engine->options.children_max : CHILDREN_MAX;
}

/* What was on its way when the store was asked, and what has set out since, may or may not be in the count: count it. */
static void children_on_read(struct store_tx *tx, int code, void *arg)
{
	struct effect *effect = arg;
	struct run *run = effect->run;
	const struct child_state *state = effect->state;
	int64_t found = code == 0 ? store_int(store_tx_result(tx, 0), 0, 0) : 0;
	if (!run || code) {
		effect_fail(effect, run ? "store.failed" : "run.gone", code ? store_tx_error(tx) : "", NULL);
	} else {
		run->children = found + state->committing + run->spawned - state->spawned;
		if (run->children < children_max(effect->engine))
			child_go(effect);
		else
			effect_fail(effect, "run.too_wide", "the run has as many unfinished children as a run may have: join some first", NULL);
	}
	store_tx_free(tx);
}

void limits_child(struct effect *effect, void (*go)(struct effect *effect))
{
	struct run *run = effect->run;
	struct child_state *state = effect->state;
	state->go = go;
	state->budget = -1;
	if (run->children >= 0 && run->children < children_max(effect->engine)) {
		child_go(effect);
		return;
	}
	promised(run, &state->committing);
	state->spawned = run->spawned;
	struct store_tx *tx = store_tx_new(effect->store, effect->tenant);
	store_tx_add(tx, STATEMENT_children_open, STORE_ANY, "si", effect->run_id, children_max(effect->engine) + 1);
	store_submit_read(tx, children_on_read, effect);
}

void limits_give_add(struct effect *effect)
{
	const struct child_state *state = effect->state;
	if (state->budget > 0)
		store_tx_add(effect->tx, STATEMENT_run_give, STORE_MUST, "sii", effect->run_id, effect->run->fence, state->budget);
}

void limits_given(struct issued *issued)
{
	struct child_state *state = issued->effect.state;
	if (state->budget > 0)
		issued->effect.run->limits.given += state->budget;
	state->budget = -1; /* no longer promised: given */
}

/* ---- deadlines ---- */

struct expiry {
	struct engine *engine;
	struct tenant *tenant;
	int64_t until_us;                  /* of the look */
	bool all;                          /* no more rows than were read */
	size_t count;
	struct expired { char id[UUID_TEXT_SIZE]; size_t op, settle; } *runs;
};

/* The row says so already. */
static void run_expired(struct run *run)
{
	struct engine *engine = run->engine;
	char *chain = mem_copy(str_of(run_chain(run)));
	run_drop_cell(run);
	json_decref(run->output);
	json_decref(run->error);
	run->output = NULL;
	run->error = error_new("run.deadline", EXPIRED_TEXT);
	run_set_state(run, RUN_FAILED);
	run_tell_status(run);
	metric_add(engine->runs_total, 1, (const char *[]){ run->tenant->name, run->agent, run->capability, "failed" });
	run_free(run);
	waits_check(engine, "child", chain);
	free(chain);
}

/* Runs in memory here that another worker has failed for their deadline. */
static void drop_past(struct engine *engine, const struct tenant *tenant, int64_t until_us)
{
	struct run *run, *next;
	for (run = TAILQ_FIRST(&engine->deadlined); run; run = next) {
		next = TAILQ_NEXT(run, deadline_link);
		if (run->tenant == tenant && run->limits.deadline_us <= until_us && !run->over)
			run_expired(run);
	}
}

static void expire_on_written(struct store_tx *tx, int code, void *arg)
{
	struct expiry *expiry = arg;
	struct engine *engine = expiry->engine;
	if (code)
		log_event(LOG_ERROR, "deadline.failed", "tenant", expiry->tenant->name, "error", store_tx_error(tx), NULL);
	for (size_t i = 0; code == 0 && i < expiry->count; i++) {
		const struct expired *expired = &expiry->runs[i];
		struct run *run = engine_find_run(engine, str_of(expiry->tenant->name), str_of(expired->id));
		if (store_tx_result(tx, expired->op)->rows == 0)
			continue;
		log_event(LOG_INFO, "run.deadline", "run", expired->id, NULL);
		deliveries_on_settled(engine, expiry->tenant, store_tx_result(tx, expired->settle));
		if (run)
			run_expired(run);
		else
			waits_check(engine, "child", expired->id);
	}
	if (code == 0 && expiry->all)
		drop_past(engine, expiry->tenant, expiry->until_us);
	store_tx_free(tx);
	due_done(engine, expiry->tenant, code == 0);
	free(expiry->runs);
	free(expiry);
	engine_schedule(engine);
}

void deadlines_expire(struct engine *engine, struct tenant *tenant, const struct store_result *rows)
{
	if (rows->rows == 0) {
		drop_past(engine, tenant, tenant->due_looked_us);
		return;
	}
	struct expiry *expiry = mem_alloc(sizeof *expiry);
	*expiry = (struct expiry){ engine, tenant, tenant->due_looked_us, rows->rows < 200, rows->rows, mem_array(rows->rows, sizeof *expiry->runs) };
	struct store_tx *tx = store_tx_new(engine->options.store, str_of(tenant->name));
	json_t *error = error_new("run.deadline", EXPIRED_TEXT), *reasons = json_pack("[O]", error);
	int64_t now = clock_now_us(engine->options.clock);
	for (size_t i = 0; i < rows->rows; i++) {
		struct expired *expired = &expiry->runs[i];
		struct str id = store_text(rows, i, 0);
		memcpy(expired->id, id.p, id.n < sizeof expired->id ? id.n : sizeof expired->id - 1);
		expired->op = store_tx_add(tx, STATEMENT_run_expire, STORE_ANY, "sij", id, now, error);
		store_tx_add(tx, STATEMENT_waits_end, STORE_ANY, "s", id);
		store_tx_add(tx, STATEMENT_approvals_withdraw, STORE_ANY, "si", id, now);
		store_tx_add(tx, STATEMENT_handoff_end, STORE_ANY, "stij", id, "dead", now, reasons);
		expired->settle = deliveries_add_settle(engine, tx, expired->id);
	}
	json_decref(error);
	json_decref(reasons);
	tenant->due_busy++;
	store_submit_write(tx, expire_on_written, expiry);
}
