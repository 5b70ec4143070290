/*
 * Runs that nobody owns. A worker with a long queue puts further runs into the store without an owner and marks their tenant ready; workers with room
 * claim: the ready tenants of lowest pass, a few runs of each.
 *
 * Happy path: the run is inserted; when that is on disk, the tenant's row in tenant_ready is made or marked once more; some worker reads the ready tenants, shares its
 * room out by stride, and for each of them one transaction takes runs (owner and fence), moves the tenant's pass on, and lets the tenant leave when a statement
 * that sees everything committed by then finds nothing left; the runs are adopted like those of a lost owner.
 *
 * Why nothing is forgotten: who inserts marks afterwards, and marking waits for the row's lock (PostgreSQL, one database): a tenant that leaves meanwhile comes
 * back. Where the tenant's data and the platform's are not in one database (SQLite; a tenant that was placed elsewhere), the claim takes the number of marks from
 * the list, and the tenant leaves only if that number has not grown. A worker that dies between insert and mark: a sweep over the tenants, some a second, marks
 * what it finds.
 */
#include "run/run_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"

#define LOOK_US 1000000           /* for what other workers marked */
#define QUEUE_LONG (4 * ACTIVE_MAX) /* a run behind so many starts in seconds, not soon: any worker may have it */
#define QUEUE_LOW ACTIVE_MAX      /* below it there is room for more */
#define QUEUE_FULL (2 * ACTIVE_MAX) /* a claim fills the queue up to here */
#define PAGE 16                   /* ready tenants read at a time */
#define PAGES_MAX 64              /* of one round: tenants at their limit are passed over */
#define LEAST 8                   /* runs of a tenant that a claim takes, if they are there: a commit for one would be dear */
#define SWEPT 16                  /* tenants looked at each second for runs that nobody marked */
#define MARKS_MAX 256             /* in one transaction */

/* ---- giving away ---- */

bool run_is_left_to_all(const struct engine *engine, const struct tenant *tenant)
{
	const struct run_queue *queue = &engine->queue;
	if (engine->options.virtual_time)
		return false;
	if (tenant->overflowing)
		return true; /* others of it wait there: first in, first out */
	size_t tenants = queue->heap_count + 1;
	return queue->count >= QUEUE_LONG && tenant->queue.count >= QUEUE_LONG / tenants;
}

static int by_name(const void *a, const void *b)
{
	const struct tenant *const *x = a, *const *y = b;
	return strcmp((*x)->name, (*y)->name);
}

struct marking {
	struct engine *engine;
	struct tenant *tenants[MARKS_MAX];
	size_t count;
};

static void marks_submit(struct engine *engine);

static void marks_on_written(struct store_tx *tx, int code, void *arg)
{
	struct marking *marking = arg;
	struct engine *engine = marking->engine;
	engine->marking = false;
	if (code)
		log_event(LOG_ERROR, "runs.unmarked", "error", store_tx_error(tx), "next", "tried again in a second", NULL);
	for (size_t i = 0; code && i < marking->count; i++)
		if (!marking->tenants[i]->to_mark) {
			marking->tenants[i]->to_mark = true;
			TAILQ_INSERT_TAIL(&engine->to_mark, marking->tenants[i], mark_link);
		}
	store_tx_free(tx);
	free(marking);
	if (code)
		return;
	marks_submit(engine);
	claim_more(engine);
}

/* One transaction at a time, its rows in order of name: two workers that mark the same tenants do not wait for each other in a circle. */
static void marks_submit(struct engine *engine)
{
	struct tenant *tenant;
	if (engine->marking || TAILQ_EMPTY(&engine->to_mark))
		return;
	struct marking *marking = mem_alloc(sizeof *marking);
	marking->engine = engine;
	while (marking->count < MARKS_MAX && (tenant = TAILQ_FIRST(&engine->to_mark))) {
		TAILQ_REMOVE(&engine->to_mark, tenant, mark_link);
		tenant->to_mark = false;
		marking->tenants[marking->count++] = tenant;
	}
	qsort(marking->tenants, marking->count, sizeof *marking->tenants, by_name);
	struct store_tx *tx = store_tx_new(engine->options.store, STR(""));
	for (size_t i = 0; i < marking->count; i++)
		store_tx_add(tx, STATEMENT_tenant_mark_ready, STORE_ANY, "ti", marking->tenants[i]->name, clock_now_us(engine->options.clock));
	engine->marking = true;
	store_submit_write(tx, marks_on_written, marking);
}

void tenant_mark_ready(struct engine *engine, struct tenant *tenant)
{
	tenant->overflowing = true;
	if (!tenant->to_mark) {
		tenant->to_mark = true;
		TAILQ_INSERT_TAIL(&engine->to_mark, tenant, mark_link);
	}
	marks_submit(engine);
}

void run_offer(struct engine *engine, struct tenant *tenant)
{
	tenant->backlog++;
	tenant->elsewhere++;
	tenant_mark_ready(engine, tenant);
}

/* ---- taking ---- */

struct share {
	struct tenant *tenant;
	int64_t pass, marks;
	size_t most, k;
};

struct claim_round {
	struct engine *engine;
	struct share shares[PAGE];
	size_t count, in_flight, claimed, pages;
	int64_t last_pass;                 /* where the page ended */
	char *last_tenant;
	bool more;                         /* there may be another page */
};

struct claim {
	struct claim_round *round;
	struct share share;
	bool elsewhere;                    /* tenant_ready is not where the tenant's data is */
};

static void round_read(struct claim_round *round);

static void round_end(struct claim_round *round)
{
	struct engine *engine = round->engine;
	bool again = round->claimed > 0 && round->more;
	engine->claiming = false;
	engine->claimable = round->claimed > 0;
	free(round->last_tenant);
	free(round);
	if (again)
		claim_more(engine);
}

static void claim_end(struct claim *claim)
{
	struct claim_round *round = claim->round;
	free(claim);
	if (--round->in_flight == 0)
		round_end(round);
}

static void claim_on_settled(struct store_tx *tx, int code, void *arg)
{
	struct claim *claim = arg;
	if (code) /* the pass is a little low, or a tenant without runs stays for another look */
		log_event(LOG_WARN, "runs.claim", "tenant", claim->share.tenant->name, "error", store_tx_error(tx), NULL);
	store_tx_free(tx);
	claim_end(claim);
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* In order of their ids, which is that of their birth. */
static size_t adopt_claimed(const struct claim *claim, const struct store_result *r)
{
	char **ids = r->rows ? mem_array(r->rows, sizeof *ids) : NULL;
	for (size_t i = 0; i < r->rows; i++)
		ids[i] = mem_copy(store_text(r, i, 0));
	if (r->rows)
		qsort(ids, r->rows, sizeof *ids, by_text);
	for (size_t i = 0; i < r->rows; i++) {
		run_adopt_row(claim->round->engine, claim->share.tenant, ids[i], ADOPT_TAKEN);
		free(ids[i]);
	}
	free(ids);
	struct tenant *tenant = claim->share.tenant;
	tenant->elsewhere -= tenant->elsewhere < r->rows ? tenant->elsewhere : r->rows;
	return r->rows;
}

static int64_t step_of(const struct tenant *tenant)
{
	return QUEUE_STEP / (tenant->weight > 0 ? tenant->weight : 1);
}

/* Results: is the ready row held here; claimed (id, fence); did the tenant leave; one run that is left. */
static void claim_on_written(struct store_tx *tx, int code, void *arg)
{
	struct claim *claim = arg;
	struct engine *engine = claim->round->engine;
	struct tenant *tenant = claim->share.tenant;
	if (code) {
		log_event(LOG_WARN, "runs.claim", "tenant", tenant->name, "error", store_tx_error(tx), NULL);
		store_tx_free(tx);
		claim_end(claim);
		return;
	}
	bool here = store_tx_result(tx, 0)->rows > 0, empty = store_int(store_tx_result(tx, 3), 0, 0) == 0;
	size_t claimed = adopt_claimed(claim, store_tx_result(tx, 1));
	claim->round->claimed += claimed;
	tenant->backlog = empty ? 0 : tenant->backlog > claimed ? tenant->backlog - claimed : 1;
	if (empty && !tenant->to_mark)
		tenant->overflowing = false;
	store_tx_free(tx);
	if (here || (claimed == 0 && !empty)) {
		claim_end(claim);
		return;
	}
	struct store_tx *settle = store_tx_new(engine->options.store, STR(""));
	store_tx_add(settle, STATEMENT_tenant_ready_advance, STORE_ANY, "ti", tenant->name, (int64_t)claimed * step_of(tenant));
	if (empty)
		store_tx_add(settle, STATEMENT_tenant_ready_leave, STORE_ANY, "ti", tenant->name, claim->share.marks);
	store_submit_write(settle, claim_on_settled, claim);
}

static void claim_submit(struct claim_round *round, const struct share *share)
{
	struct engine *engine = round->engine;
	struct claim *claim = mem_alloc(sizeof *claim);
	claim->round = round;
	claim->share = *share;
	round->in_flight++;
	struct store_tx *tx = store_tx_new(engine->options.store, str_of(share->tenant->name));
	store_tx_add(tx, STATEMENT_ready_lock, STORE_ANY, "");
	store_tx_add(tx, STATEMENT_runs_claim, STORE_ANY, "tii", engine->owner, (int64_t)share->k, step_of(share->tenant));
	store_tx_add(tx, STATEMENT_ready_leave, STORE_ANY, "");
	store_tx_add(tx, STATEMENT_runs_unowned, STORE_ANY, "i", INT64_C(1));
	store_submit_write(tx, claim_on_written, claim);
}

/* How many more this worker takes: as many as its queue has room for, with what is being adopted. */
static size_t room_of(const struct engine *engine)
{
	size_t taken = engine->queue.count + adoptions_count(engine);
	return taken < QUEUE_FULL ? QUEUE_FULL - taken : 0;
}

/* By stride over the page, LEAST for each first; never past the last tenant of a full page, behind which others wait. */
static void share_out(struct claim_round *round, size_t room)
{
	for (size_t i = 0; i < round->count && room; i++) {
		struct share *share = &round->shares[i];
		share->k = share->most < LEAST ? share->most : LEAST;
		share->k = share->k < room ? share->k : room;
		share->pass += (int64_t)share->k * step_of(share->tenant);
		room -= share->k;
	}
	while (room) {
		struct share *lowest = NULL;
		for (size_t i = 0; i < round->count; i++) {
			struct share *share = &round->shares[i];
			if (share->k < share->most && (!lowest || share->pass < lowest->pass))
				lowest = share;
		}
		if (!lowest || (round->more && lowest->pass > round->last_pass))
			return;
		lowest->k++;
		lowest->pass += step_of(lowest->tenant);
		room--;
	}
}

/* A tenant with a limit gets what it can have computing, and as many again. */
static size_t most_of(const struct tenant *tenant)
{
	size_t share = tenant->queue.share, has = tenant->queue.count + tenant->queue.computing;
	if (!share)
		return QUEUE_FULL;
	return has < 2 * share ? 2 * share - has : 0;
}

static void page_take(struct claim_round *round, const struct store_result *r)
{
	struct engine *engine = round->engine;
	round->count = 0;
	round->more = r->rows == PAGE;
	for (size_t i = 0; i < r->rows; i++) {
		struct tenant *tenant = engine_tenant(engine, store_text(r, i, 0));
		struct share share = { .tenant = tenant, .pass = store_int(r, i, 1), .marks = store_int(r, i, 2) };
		if (!tenant || !(share.most = most_of(tenant)))
			continue;
		tenant->overflowing = true;
		round->shares[round->count++] = share;
	}
	if (r->rows) {
		free(round->last_tenant);
		round->last_tenant = mem_copy(store_text(r, r->rows - 1, 0));
		round->last_pass = store_int(r, r->rows - 1, 1);
	}
}

static void round_on_read(struct store_tx *tx, int code, void *arg)
{
	struct claim_round *round = arg;
	struct engine *engine = round->engine;
	if (code) {
		log_event(LOG_WARN, "runs.claim", "error", store_tx_error(tx), NULL);
		round->more = false;
		store_tx_free(tx);
		round_end(round);
		return;
	}
	page_take(round, store_tx_result(tx, 0));
	store_tx_free(tx);
	size_t room = room_of(engine);
	if (engine->draining || room == 0) {
		round->more = false;
		round_end(round);
	} else if (round->count == 0 && round->more && ++round->pages < PAGES_MAX) {
		round_read(round); /* all of them at their limit */
	} else if (round->count == 0) {
		round_end(round);
	} else {
		share_out(round, room);
		round->in_flight = 1;
		for (size_t i = 0; i < round->count; i++)
			if (round->shares[i].k)
				claim_submit(round, &round->shares[i]);
		if (--round->in_flight == 0)
			round_end(round);
	}
}

static void round_read(struct claim_round *round)
{
	struct store_tx *tx = store_tx_new(round->engine->options.store, STR(""));
	store_tx_add(tx, STATEMENT_tenants_ready, STORE_ANY, "iti", round->last_tenant ? round->last_pass : INT64_MIN,
	             round->last_tenant ? round->last_tenant : "", (int64_t)PAGE);
	store_submit_read(tx, round_on_read, round);
}

static void claim_look(struct engine *engine)
{
	if (engine->claiming || engine->draining || engine->closing || engine->options.virtual_time || engine->queue.count >= QUEUE_LOW ||
	    store_lease(engine->options.store) != STORE_LEASE_HELD || room_of(engine) < QUEUE_FULL - QUEUE_LOW)
		return;
	struct claim_round *round = mem_alloc(sizeof *round);
	round->engine = engine;
	engine->claiming = true;
	round_read(round);
}

void claim_more(struct engine *engine)
{
	if (engine->claimable || !TAILQ_EMPTY(&engine->to_mark) || engine->marking)
		claim_look(engine);
}

/* ---- what slipped through ---- */

struct slip {
	struct engine *engine;
	struct tenant *tenant;
};

static void slip_on_read(struct store_tx *tx, int code, void *arg)
{
	struct slip *slip = arg;
	if (code == 0) {
		slip->tenant->backlog = (size_t)store_int(store_tx_result(tx, 0), 0, 0);
		if (slip->tenant->backlog)
			tenant_mark_ready(slip->engine, slip->tenant);
		else if (!slip->tenant->to_mark)
			slip->tenant->overflowing = false;
		tenant_counted(slip->tenant, store_tx_result(tx, 1));
	}
	store_tx_free(tx);
	free(slip);
}

static void sweep_some(struct engine *engine)
{
	json_t *names = store_tenant_names(engine->options.store);
	size_t all = json_array_size(names);
	for (size_t i = 0; i < SWEPT && i < all; i++) {
		struct tenant *tenant = engine_tenant(engine, json_str(json_array_get(names, engine->swept++ % all)));
		if (!tenant)
			continue;
		struct slip *slip = mem_alloc(sizeof *slip);
		slip->engine = engine;
		slip->tenant = tenant;
		struct store_tx *tx = store_tx_new(engine->options.store, str_of(tenant->name));
		store_tx_add(tx, STATEMENT_runs_unowned, STORE_ANY, "i", INT64_C(10000));
		tenant_count_add(engine, tenant, tx);
		store_submit_read(tx, slip_on_read, slip);
	}
	json_decref(names);
}

void claiming_on_timer(void *arg)
{
	struct engine *engine = arg;
	if (!engine->draining && !engine->closing) {
		shares_read(engine);
		sweep_some(engine);
		marks_submit(engine);
		claim_look(engine);
	}
	timer_start_us(&engine->claim_timer, LOOK_US);
}
