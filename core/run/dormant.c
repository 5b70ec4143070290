/*
 * Dormant runs: a run that waits, with no cell and nobody watching, is a row and nothing else. It keeps its owner; whoever ends one of its waits tells the
 * owner (hints.c), which takes it up again (adopting.c). What has a deadline is woken from here.
 *
 * Of each tenant the next deadlines are in memory, as many as there is room for, in a heap of small entries; `until` is the position in the store behind
 * which more may be (`all`: nothing is). When they are used up the next are read. What goes dormant with a deadline before `until` is added here, what
 * lies behind it is in the store already. Deadlines are compared with the wall clock, which may be set: so it is looked at once a minute at the latest, and a
 * jump neither loses nor hangs anything: a deadline comes when the clock shows it.
 */
#include "run/run_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"

#define HEAD_ENTRIES 5000          /* deadlines kept in memory, over all tenants; twice as many before some are dropped again */
#define HEAD_LEAST 8               /* of one tenant, however many there are */
#define HEAD_MOST 1000
#define WAKING_MAX 512             /* woken and not in a cell yet: the rest stay rows until there is room */
#define WAKE_AT_ONCE 32            /* of one tenant, before the others have their turn */
#define SOON_US 2000000            /* a run that is about to be woken stays */
#define LOOK_AGAIN_US 60000000     /* the wall clock may be set */

/* ---- counts ---- */

void dormant_count(struct tenant *tenant, int64_t by)
{
	struct dormant *dormant = &tenant->dormant;
	if (by < 0 && (size_t)-by > dormant->runs)
		by = -(int64_t)dormant->runs;
	dormant->runs = (size_t)((int64_t)dormant->runs + by);
	dormant->moves++;
	if (by < 0 && (size_t)-by > tenant->elsewhere)
		tenant->elsewhere = 0;
	else
		tenant->elsewhere = (size_t)((int64_t)tenant->elsewhere + by); /* unfinished, and not in memory */
	metric_add(tenant->engine->runs_waiting, (double)by, NULL);
}

/* ---- the heap of a tenant ---- */

static int compare_deadlines(const void *a, const void *b)
{
	const struct deadline *x = a, *y = b;
	if (x->wake_at_us != y->wake_at_us)
		return x->wake_at_us < y->wake_at_us ? -1 : 1;
	int order = strcmp(x->run, y->run);
	return order ? order : (x->effect > y->effect) - (x->effect < y->effect);
}

static void sift_down(struct dormant *dormant, size_t at)
{
	struct deadline moved = dormant->heap[at];
	for (;;) {
		size_t child = 2 * at + 1;
		if (child >= dormant->count)
			break;
		if (child + 1 < dormant->count && compare_deadlines(&dormant->heap[child + 1], &dormant->heap[child]) < 0)
			child++;
		if (compare_deadlines(&dormant->heap[child], &moved) >= 0)
			break;
		dormant->heap[at] = dormant->heap[child];
		at = child;
	}
	dormant->heap[at] = moved;
}

static void push(struct dormant *dormant, const struct deadline *deadline)
{
	if (dormant->count == dormant->cap) {
		dormant->cap = dormant->cap ? dormant->cap * 2 : 16;
		dormant->heap = mem_grow(dormant->heap, dormant->cap, sizeof *dormant->heap);
	}
	size_t at = dormant->count++;
	while (at > 0 && compare_deadlines(&dormant->heap[(at - 1) / 2], deadline) > 0) {
		dormant->heap[at] = dormant->heap[(at - 1) / 2];
		at = (at - 1) / 2;
	}
	dormant->heap[at] = *deadline;
}

static void pop(struct dormant *dormant)
{
	dormant->heap[0] = dormant->heap[--dormant->count];
	if (dormant->count)
		sift_down(dormant, 0);
	else if (dormant->cap > 64) {
		free(dormant->heap);
		dormant->heap = NULL;
		dormant->cap = 0;
	}
}

static size_t chunk_of(const struct engine *engine)
{
	size_t share = HEAD_ENTRIES / (HASH_COUNT(engine->tenants) + 1);
	return share < HEAD_LEAST ? HEAD_LEAST : share > HEAD_MOST ? HEAD_MOST : share;
}

/* Too many at hand: the later half is in the store all the same. */
static void cut(struct engine *engine, struct dormant *dormant)
{
	size_t keep = chunk_of(engine);
	if (dormant->count <= 2 * keep || dormant->reading)
		return;
	qsort(dormant->heap, dormant->count, sizeof *dormant->heap, compare_deadlines); /* sorted is a heap */
	dormant->count = keep;
	dormant->until = dormant->heap[keep - 1];
	dormant->all = false;
}

/* ---- more from the store ---- */

static void copy_id(char out[UUID_TEXT_SIZE], struct str id)
{
	size_t n = id.n < UUID_TEXT_SIZE ? id.n : UUID_TEXT_SIZE - 1;
	memcpy(out, id.p, n);
	out[n] = 0;
}

struct refill {
	struct engine *engine;
	struct tenant *tenant;
	uint64_t round;                    /* of tenant->dormant when it was asked */
};

static void refill_on_read(struct store_tx *tx, int code, void *arg)
{
	struct refill *refilling = arg;
	struct engine *engine = refilling->engine;
	struct tenant *tenant = refilling->tenant;
	struct dormant *dormant = &tenant->dormant;
	bool ours = refilling->round == dormant->round;
	free(refilling);
	dormant->reading = false;
	if (code) {
		log_event(LOG_ERROR, "timers.failed", "tenant", tenant->name, "error", store_tx_error(tx), NULL);
		store_tx_free(tx); /* the next look, in a minute or at the next sweep, tries again */
		dormant_arm(engine);
		return;
	}
	const struct store_result *rows = store_tx_result(tx, 0), *last = store_tx_result(tx, 1);
	for (size_t i = 0; ours && i < rows->rows; i++) {
		struct deadline deadline = { .wake_at_us = store_int(rows, i, 0), .effect = (uint32_t)store_int(rows, i, 2) };
		copy_id(deadline.run, store_text(rows, i, 1));
		push(dormant, &deadline);
	}
	if (ours && last->rows) {
		dormant->until = (struct deadline){ .wake_at_us = store_int(last, 0, 0), .effect = (uint32_t)store_int(last, 0, 2) };
		copy_id(dormant->until.run, store_text(last, 0, 1));
	} else if (ours) {
		dormant->all = true;
	}
	store_tx_free(tx);
	dormant_on_timer(engine); /* reads on when a whole slice was others' */
}

void dormant_refill(struct engine *engine, struct tenant *tenant)
{
	struct dormant *dormant = &tenant->dormant;
	if (dormant->reading || dormant->all || engine->closing)
		return;
	dormant->reading = true;
	struct refill *refilling = mem_alloc(sizeof *refilling);
	refilling->engine = engine;
	refilling->tenant = tenant;
	refilling->round = dormant->round;
	const struct deadline *until = &dormant->until;
	int64_t limit = (int64_t)chunk_of(engine);
	struct store_tx *tx = store_tx_new(engine->options.store, str_of(tenant->name));
	store_tx_add(tx, STATEMENT_waits_due, STORE_ANY, "titii", engine->owner, until->wake_at_us, until->run, (int64_t)until->effect, limit);
	store_tx_add(tx, STATEMENT_waits_due_last, STORE_ANY, "itii", until->wake_at_us, until->run, (int64_t)until->effect, limit);
	store_submit_read(tx, refill_on_read, refilling);
}

void dormant_read_again(struct engine *engine, struct tenant *tenant)
{
	struct dormant *dormant = &tenant->dormant;
	dormant->round++;
	dormant->reading = dormant->all = false;
	dormant->count = 0;
	dormant->until = (struct deadline){ .wake_at_us = INT64_MIN };
	dormant_refill(engine, tenant);
}

/* ---- out of memory ---- */

void run_maybe_doze(struct run *run)
{
	struct engine *engine = run->engine;
	struct tenant *tenant = run->tenant;
	if (engine->options.virtual_time || engine->closing || run->dry || run->cell || run->over || !run->suspended || run->list != LIST_NONE ||
	    run->flush || !run_is_quiet(run))
		return;
	if (!TAILQ_EMPTY(&run->watchers)) {
		run_is_up(run);
		return;
	}
	int64_t wake = run_wake_at(run);
	if (wake && wake - clock_now_us(engine->options.clock) < SOON_US)
		return; /* its own timer is about to fire */
	if (run->unflushed_count || run->logs_count) {
		run_flush(run, true); /* comes back when that is on disk */
		return;
	}
	const struct wait *wait;
	TAILQ_FOREACH(wait, &run->waits, link) {
		if (!wait->wake_at_us)
			continue;
		struct deadline deadline = { .wake_at_us = wait->wake_at_us, .effect = wait->effect };
		memcpy(deadline.run, run->id, sizeof deadline.run);
		/* a slice that is being read may be older than this row */
		if (tenant->dormant.all || tenant->dormant.reading || compare_deadlines(&deadline, &tenant->dormant.until) <= 0)
			push(&tenant->dormant, &deadline);
	}
	run_free(run);
	dormant_count(tenant, 1);
	cut(engine, &tenant->dormant);
	if (tenant->dormant.count && tenant->dormant.heap[0].wake_at_us < engine->dormant_due_us)
		dormant_arm(engine);
}

static void on_drowsy(void *arg)
{
	struct engine *engine = arg;
	engine->drowsy_queued = false;
	struct run *run, *next;
	HASH_ITER(hh, engine->runs, run, next)
		run_maybe_doze(run);
}

void run_may_be_drowsy(struct run *run)
{
	struct engine *engine = run->engine;
	if (engine->drowsy_queued || run->state != RUN_WAITING || run->cell || engine->closing)
		return;
	engine->drowsy_queued = true;
	loop_defer(engine->options.loop, &engine->drowsy, on_drowsy, engine);
}

/* ---- and back ---- */

void engine_wake_run(struct engine *engine, struct tenant *tenant, const char *id)
{
	struct run *run = engine_find_run(engine, str_of(tenant->name), str_of(id));
	struct wait *wait, *next;
	if (!run) {
		run_adopt_row(engine, tenant, id, ADOPT_DORMANT);
		return;
	}
	for (wait = TAILQ_FIRST(&run->waits); wait; wait = next) {
		next = TAILQ_NEXT(wait, link);
		wait_look_again(wait);
	}
}

void run_is_up(struct run *run)
{
	if (!run->woken)
		return;
	run->woken = false;
	run->engine->waking--;
	dormant_go_on(run->engine);
}

void dormant_go_on(struct engine *engine)
{
	if (engine->wake_blocked && engine->waking < WAKING_MAX && !engine->closing)
		timer_start_us(&engine->dormant_timer, 0);
}

/* Some of what is due, and more from the store when all at hand is used up. True: something was woken. */
static bool wake_some(struct engine *engine, struct tenant *tenant, int64_t now)
{
	struct dormant *dormant = &tenant->dormant;
	size_t woken = 0;
	while (dormant->count && dormant->heap[0].wake_at_us <= now && woken < WAKE_AT_ONCE) {
		if (engine->waking >= WAKING_MAX) {
			engine->wake_blocked = true;
			return false;
		}
		struct deadline due = dormant->heap[0];
		pop(dormant);
		woken++;
		if (!engine_find_run(engine, str_of(tenant->name), str_of(due.run))) /* else its own timer wakes it */
			run_adopt_row(engine, tenant, due.run, ADOPT_DORMANT);
	}
	if (dormant->count == 0)
		dormant_refill(engine, tenant);
	return woken > 0;
}

void dormant_on_timer(void *arg)
{
	struct engine *engine = arg;
	int64_t now = clock_now_us(engine->options.clock);
	bool more = !engine->draining && !engine->closing;
	engine->wake_blocked = false;
	while (more && engine->tenants && !engine->wake_blocked) {
		struct tenant *first = engine->wake_first ? engine->wake_first : engine->tenants, *tenant = first;
		more = false;
		do {
			more |= wake_some(engine, tenant, now);
			if (engine->wake_blocked)
				engine->wake_first = tenant; /* it is next, when there is room */
			tenant = tenant->hh.next ? tenant->hh.next : engine->tenants;
		} while (tenant != first && !engine->wake_blocked);
	}
	dormant_arm(engine);
}

void dormant_arm(struct engine *engine)
{
	int64_t now = clock_now_us(engine->options.clock), left = LOOK_AGAIN_US;
	if (engine->closing || engine->draining || engine->wake_blocked || engine->options.virtual_time)
		return;
	for (const struct tenant *tenant = engine->tenants; tenant; tenant = tenant->hh.next)
		if (tenant->dormant.count && tenant->dormant.heap[0].wake_at_us - now < left)
			left = tenant->dormant.heap[0].wake_at_us - now;
	engine->dormant_due_us = now + (left < 0 ? 0 : left);
	timer_start_us(&engine->dormant_timer, left < 0 ? 0 : left);
}

