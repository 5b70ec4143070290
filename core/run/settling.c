/*
 * When is a run waiting? Not when the host has heard of a wait: another task of the script may still compute, and what it is about to
 * issue must not wait too. A run waits when all that it issued are waits and its cell is blocked in its read. Nobody says when that happens, so it is
 * looked up: at once when the last thing of the run ended, then again after 2, 4, 8 … ms while the cell computes.
 *
 * Only then does its row say `waiting`, which means: nothing is to be done before a wait ends. Whoever takes the run over relies on it.
 */
#include "run/run_internal.h"

#define LONG_WAIT_US 30000000   /* a cell is not kept for a timer that is further away */
#define LOOK_FIRST_US 2000
#define LOOK_LAST_US 256000

/* All that the run is about are waits; its cell may still compute. */
bool run_only_waits(const struct run *run, const struct issued *but)
{
	if (run->over || run->said_done || run->activating || run->flush || run->waits_count == 0 || !TAILQ_EMPTY(&run->ready) || !TAILQ_EMPTY(&run->flights) ||
	    (run->appending && run->appending != but))
		return false;
	const struct issued *issued;
	TAILQ_FOREACH(issued, &run->issued, link)
		if (issued->state != ISSUED_WAITING && issued != but)
			return false;
	return true;
}

bool run_is_quiet(const struct run *run)
{
	if (run->state != RUN_WAITING || run->list == LIST_QUEUE || run->list == LIST_STARVED || !run_only_waits(run, NULL))
		return false;
	const struct wait *wait;
	TAILQ_FOREACH(wait, &run->waits, link)
		if (!wait->registered || wait->resolving || wait->checking)
			return false;
	return true;
}

static void run_rest(struct run *run)
{
	struct engine *engine = run->engine;
	int64_t wake = run_wake_at(run), now = clock_now_us(engine->options.clock);
	run_set_state(run, RUN_WAITING);
	if (wake && wake - now > LONG_WAIT_US) {
		run_drop_cell(run);
		run_maybe_doze(run);
	} else if (run->list == LIST_NONE) {
		run_move(run, LIST_RESIDENT);
		while (engine->residents_count > engine->options.resident_max) {
			struct run *oldest = TAILQ_FIRST(&engine->residents);
			run_move(oldest, LIST_NONE);
			run_drop_cell(oldest);
			run_maybe_doze(oldest);
		}
	}
	engine_schedule(engine);
	engine_maybe_drained(engine);
	engine_maybe_jump(engine);
}

static void settling_arm(struct engine *engine)
{
	const struct run *run, *first = NULL;
	TAILQ_FOREACH(run, &engine->settling, settle_link)
		if (!first || run->settle_due_us < first->settle_due_us)
			first = run;
	if (first) {
		int64_t left = first->settle_due_us - clock_monotonic_us();
		timer_start_us(&engine->settle, left > 500 ? left : 500);
	}
}

void run_unsettle(struct run *run)
{
	if (run->settling)
		TAILQ_REMOVE(&run->engine->settling, run, settle_link);
	run->settling = false;
}

static void look_later(struct run *run, int64_t delay_us)
{
	struct engine *engine = run->engine;
	bool first = TAILQ_EMPTY(&engine->settling);
	run->settle_delay_us = delay_us;
	run->settle_due_us = clock_monotonic_us() + delay_us;
	run->settling = true;
	TAILQ_INSERT_TAIL(&engine->settling, run, settle_link);
	if (first)
		settling_arm(engine);
}

/* A replay is over when its script waits for what no journal holds. May free the run. */
static void settle_dry(struct run *run, int64_t delay_us)
{
	if (!run->cell || run->over || run->said_done)
		return;
	if (cell_is_blocked(run->cell))
		replay_ended(run);
	else
		look_later(run, delay_us);
}

static void settle(struct run *run, int64_t delay_us)
{
	if (run->dry) {
		settle_dry(run, delay_us);
		return;
	}
	if (!run->cell || run->list == LIST_RESIDENT || !run_only_waits(run, NULL))
		return;
	if (!cell_is_blocked(run->cell))
		look_later(run, delay_us);
	else if (!run->suspended)
		run_flush(run, true); /* comes back when that is on disk */
	else
		run_rest(run);
}

void run_settle(struct run *run)
{
	run_unsettle(run);
	if (run->cell)
		settle(run, LOOK_FIRST_US);
	else
		run_maybe_doze(run);
}

void settling_on_timer(void *arg)
{
	struct engine *engine = arg;
	int64_t now = clock_monotonic_us();
	struct run_list_head due = TAILQ_HEAD_INITIALIZER(due);
	struct run *run, *next;
	for (run = TAILQ_FIRST(&engine->settling); run; run = next) {
		next = TAILQ_NEXT(run, settle_link);
		if (run->settle_due_us > now)
			continue;
		TAILQ_REMOVE(&engine->settling, run, settle_link);
		TAILQ_INSERT_TAIL(&due, run, settle_link);
	}
	while ((run = TAILQ_FIRST(&due))) {
		/* off this list before anything else: nothing below frees another run */
		TAILQ_REMOVE(&due, run, settle_link);
		run->settling = false;
		settle(run, run->settle_delay_us * 2 < LOOK_LAST_US ? run->settle_delay_us * 2 : LOOK_LAST_US);
	}
	settling_arm(engine);
}
