/*
 * What is old goes: ended runs by their status, events, long bodies and bundles that nothing needs, keys of idempotency.
 *
 *     a tenant is due → claimed in the store, so that one worker does it → its own rules? → runs → events → keys → bodies → bundles → the next one
 *
 * Everything goes in slices of bounded size, each a transaction; between two there is nine times as long as a slice took. Evidence and records stay.
 * Failure modes: a store that fails ends the round of a tenant, the next one begins after `every`; a worker that dies leaves its claim to lapse.
 */
#include "run/run_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"

#define EVERY_MS 3600000
#define FIRST_LOOK_US 1000000
#define LOOK_US_MAX 10000000       /* whose turn is it? */
#define CLAIM_US 600000000         /* longer than a slice may take */
#define PAGE_RUNS 500
#define SLICE_OUTCOMES 5000
#define SLICE_ROWS 500
#define SLICE_BODIES 200
#define UNTOUCHED_US 86400000000   /* bodies and bundles that were used within a day stay */
#define KEYS_US 172800000000       /* keys of idempotency: twice as long as they are good for */
#define SHARE 9                    /* rest : work */

enum phase { PHASE_CLAIM, PHASE_RULES, PHASE_RUNS, PHASE_EVENTS, PHASE_KEYS, PHASE_BODIES, PHASE_BUNDLES, PHASE_DONE };

struct retention {
	struct engine *engine;
	struct tenant *tenant;             /* whose round this is; NULL between rounds */
	struct retention_rules rules;
	enum phase phase;
	int64_t now_us, began_us, after_at, oldest_kept_us;
	char *after;                       /* position in runs or bodies */
	char *long_run;                    /* whose journal goes in slices */
	json_t *runs;                      /* of the slice under way */
	int64_t runs_outcomes;
	struct timer timer;
	struct metric *deleted;
};

static const char *const names[RETAIN_COUNT] = { "succeeded", "failed", "cancelled", "stuck", "events" };

int retention_parse(struct str text, struct retention_rules *rules, struct errbuf *e)
{
	while (text.n) {
		const char *comma = memchr(text.p, ',', text.n);
		struct str item = { text.p, comma ? (size_t)(comma - text.p) : text.n };
		const char *equals = memchr(item.p, '=', item.n);
		struct str name = { item.p, equals ? (size_t)(equals - item.p) : item.n };
		size_t i = 0;
		while (i < RETAIN_COUNT && !str_is(name, names[i]))
			i++;
		if (i == RETAIN_COUNT)
			return err_set(e, ERR_INVALID, "retention: \"%.*s\" is none of succeeded, failed, cancelled, stuck, events", STR_ARG(name));
		struct str value = equals ? (struct str){ equals + 1, item.n - name.n - 1 } : STR("");
		if (str_is(value, "forever"))
			rules->keep_ms[i] = 0;
		else if (!str_to_duration_ms(value, &rules->keep_ms[i]) || rules->keep_ms[i] <= 0)
			return err_set(e, ERR_INVALID, "retention: %s: \"%.*s\" is neither a duration like 30d nor forever", names[i], STR_ARG(value));
		text.p += item.n + (comma != NULL);
		text.n -= item.n + (comma != NULL);
	}
	return 0;
}

static int64_t keep_us(const struct retention *r, enum retained what)
{
	return r->rules.keep_ms[what] * 1000;
}

static void count(const struct retention *r, const char *what, int64_t n)
{
	if (n > 0)
		metric_add(r->deleted, (double)n, (const char *[]){ what });
}

/* ---- one slice after another ---- */

static void step(struct retention *r);

static struct store_tx *tx_of(const struct retention *r)
{
	return store_tx_new(r->engine->options.store, str_of(r->tenant->name));
}

static void next_phase(struct retention *r)
{
	r->phase++;
	free(r->after);
	r->after = mem_copy(STR(""));
	r->after_at = -1;
}

/* Reads what a slice did; false: the same phase again. */
static bool slice_done(struct retention *r, const struct store_tx *tx);

static void round_end(struct retention *r)
{
	r->tenant->tidied_us = clock_monotonic_us();
	r->tenant = NULL;
	timer_start_us(&r->timer, 1000);
}

static void on_slice(struct store_tx *tx, int code, void *arg)
{
	struct retention *r = arg;
	if (code && !(code == ERR_CONFLICT && r->phase == PHASE_CLAIM))
		log_event(LOG_WARN, "retention.failed", "tenant", r->tenant->name, "error", store_tx_error(tx), "next", "again in the next round", NULL);
	if (code) {
		store_tx_free(tx);
		round_end(r);
		return;
	}
	if (slice_done(r, tx))
		next_phase(r);
	store_tx_free(tx);
	if (r->phase == PHASE_DONE) {
		round_end(r);
		return;
	}
	int64_t took = clock_monotonic_us() - r->began_us;
	timer_start_us(&r->timer, took * SHARE > 1000 ? took * SHARE : 1000);
}

static void submit(struct retention *r, struct store_tx *tx, bool writes)
{
	r->began_us = clock_monotonic_us();
	if (writes)
		store_submit_write(tx, on_slice, r);
	else
		store_submit_read(tx, on_slice, r);
}

/* ---- runs ---- */

static void add_run_deletes(struct store_tx *tx, const json_t *runs)
{
	static const enum statement statements[] = {
		STATEMENT_retention_journals, STATEMENT_retention_logs, STATEMENT_retention_signals, STATEMENT_retention_approvals,
		STATEMENT_retention_waits, STATEMENT_retention_intents, STATEMENT_retention_handoffs, STATEMENT_retention_runs,
	};
	for (size_t i = 0; i < sizeof statements / sizeof *statements; i++)
		store_tx_add(tx, statements[i], STORE_ANY, "j", runs);
}

static void ask_runs(struct retention *r)
{
	struct store_tx *tx = tx_of(r);
	if (r->long_run) {
		store_tx_add(tx, STATEMENT_retention_journal, STORE_ANY, "ti", r->long_run, (int64_t)SLICE_OUTCOMES);
		submit(r, tx, true);
	} else if (json_array_size(r->runs)) {
		add_run_deletes(tx, r->runs);
		submit(r, tx, true);
	} else {
		store_tx_add(tx, STATEMENT_retention_page, STORE_ANY, "iti", r->after_at, r->after, (int64_t)PAGE_RUNS);
		submit(r, tx, false);
	}
}

static bool is_old(const struct retention *r, const struct store_result *page, size_t row)
{
	for (enum retained what = RETAIN_SUCCEEDED; what <= RETAIN_STUCK; what++)
		if (str_is(store_text(page, row, 2), names[what]))
			return keep_us(r, what) && store_int(page, row, 0) < r->now_us - keep_us(r, what) && store_int(page, row, 4) == 0;
	return false;
}

/* Takes runs from a page as far as a slice goes. Returns whether there is nothing more behind it that may be old. */
static bool take_page(struct retention *r, const struct store_result *page)
{
	size_t i = 0;
	r->runs_outcomes = 0;
	for (; i < page->rows && r->runs_outcomes <= SLICE_OUTCOMES; i++) {
		if (store_int(page, i, 0) > r->oldest_kept_us)
			return true;
		int64_t length = store_int(page, i, 3);
		if (is_old(r, page, i)) {
			if (length > SLICE_OUTCOMES && json_array_size(r->runs))
				return false; /* alone, in the next slice */
			json_array_append_new(r->runs, json_new_str(store_text(page, i, 1)));
			r->runs_outcomes += length;
			if (length > SLICE_OUTCOMES)
				r->long_run = mem_copy(store_text(page, i, 1));
		}
		r->after_at = store_int(page, i, 0);
		free(r->after);
		r->after = mem_copy(store_text(page, i, 1));
	}
	return i == page->rows && page->rows < PAGE_RUNS;
}

static bool runs_done(struct retention *r, const struct store_tx *tx)
{
	const struct store_result *first = store_tx_result(tx, 0);
	if (r->long_run) {
		count(r, "outcomes", first->changed);
		if (first->changed < SLICE_OUTCOMES) {
			free(r->long_run);
			r->long_run = NULL;
		}
		return false;
	}
	if (json_array_size(r->runs)) {
		count(r, "outcomes", first->changed);
		count(r, "runs", store_tx_result(tx, store_tx_count(tx) - 1)->changed);
		json_array_clear(r->runs);
		return false;
	}
	return take_page(r, first) && json_array_size(r->runs) == 0;
}

/* ---- the rest ---- */

static void ask_events(struct retention *r)
{
	int64_t before = r->now_us - keep_us(r, RETAIN_EVENTS);
	struct store_tx *tx = tx_of(r);
	store_tx_add(tx, STATEMENT_retention_events_page, STORE_ANY, "ii", r->after_at, (int64_t)SLICE_ROWS);
	store_tx_add(tx, STATEMENT_retention_deliveries, STORE_ANY, "iii", before, r->after_at, (int64_t)SLICE_ROWS);
	store_tx_add(tx, STATEMENT_retention_events, STORE_ANY, "iii", before, r->after_at, (int64_t)SLICE_ROWS);
	submit(r, tx, true);
}

static bool events_done(struct retention *r, const struct store_tx *tx)
{
	const struct store_result *page = store_tx_result(tx, 0);
	count(r, "events", store_tx_result(tx, 2)->changed);
	if (page->rows == 0 || store_is_null(page, 0, 0) || store_int(page, 0, 1) > r->now_us - keep_us(r, RETAIN_EVENTS))
		return true;
	r->after_at = store_int(page, 0, 0);
	return false;
}

static void ask_bodies(struct retention *r)
{
	struct store_tx *tx = tx_of(r);
	store_tx_add(tx, STATEMENT_bodies_page, STORE_ANY, "ti", r->after, (int64_t)SLICE_BODIES);
	store_tx_add(tx, STATEMENT_bodies_sweep, STORE_ANY, "tii", r->after, r->now_us - UNTOUCHED_US, (int64_t)SLICE_BODIES);
	submit(r, tx, true);
}

static bool bodies_done(struct retention *r, const struct store_tx *tx)
{
	const struct store_result *page = store_tx_result(tx, 0);
	count(r, "bodies", store_tx_result(tx, 1)->changed);
	if (page->rows == 0 || store_is_null(page, 0, 0))
		return true;
	free(r->after);
	r->after = mem_copy(store_text(page, 0, 0));
	return false;
}

static void ask_bundles(struct retention *r)
{
	struct store_tx *tx = tx_of(r);
	if (r->tenant->bundle)
		store_tx_add(tx, STATEMENT_bundle_live, STORE_ANY, "ti", r->tenant->bundle->digest, r->now_us);
	store_tx_add(tx, STATEMENT_bundles_sweep, STORE_ANY, "i", r->now_us - UNTOUCHED_US);
	submit(r, tx, true);
}

static void take_rules(struct retention *r, const struct store_tx *tx)
{
	const struct store_result *row = store_tx_result(tx, 0);
	struct errbuf e = { "" };
	r->rules = r->engine->options.retention;
	if (row->rows && !store_is_null(row, 0, 0) && retention_parse(store_text(row, 0, 0), &r->rules, &e)) {
		memset(r->rules.keep_ms, 0, sizeof r->rules.keep_ms); /* who cannot read a rule deletes nothing */
		log_event(LOG_ERROR, "retention.rules", "tenant", r->tenant->name, "error", e.text, "next", "perigee tenant set NAME --retention RULES", NULL);
	}
	r->oldest_kept_us = 0;
	for (enum retained what = RETAIN_SUCCEEDED; what <= RETAIN_STUCK; what++)
		if (keep_us(r, what) && r->now_us - keep_us(r, what) > r->oldest_kept_us)
			r->oldest_kept_us = r->now_us - keep_us(r, what);
}

static bool slice_done(struct retention *r, const struct store_tx *tx)
{
	switch (r->phase) {
	case PHASE_RULES:
		take_rules(r, tx);
		return true;
	case PHASE_RUNS: return runs_done(r, tx);
	case PHASE_EVENTS: return events_done(r, tx);
	case PHASE_KEYS:
		count(r, "keys", store_tx_result(tx, 0)->changed);
		return store_tx_result(tx, 0)->changed < SLICE_ROWS;
	case PHASE_BODIES: return bodies_done(r, tx);
	case PHASE_BUNDLES:
		count(r, "bundles", store_tx_result(tx, store_tx_count(tx) - 1)->changed);
		return true;
	case PHASE_CLAIM:
	case PHASE_DONE: break;
	}
	return true;
}

static void ask_claim(struct retention *r)
{
	struct store_tx *tx = tx_of(r);
	store_tx_add(tx, STATEMENT_sweep_claim, STORE_MUST, "ttii", "retention", r->engine->owner, r->now_us, r->now_us + CLAIM_US);
	submit(r, tx, true);
}

static void ask_small(struct retention *r)
{
	struct store_tx *tx = r->phase == PHASE_RULES ? store_tx_new(r->engine->options.store, STR("")) : tx_of(r);
	if (r->phase == PHASE_RULES)
		store_tx_add(tx, STATEMENT_tenant_retention, STORE_ANY, "t", r->tenant->name);
	else
		store_tx_add(tx, STATEMENT_idempotency_purge, STORE_ANY, "ii", r->now_us - KEYS_US, (int64_t)SLICE_ROWS);
	submit(r, tx, r->phase == PHASE_KEYS);
}

/* ---- whose turn is it? ---- */

static int64_t every_us(const struct retention *r)
{
	int64_t ms = r->engine->options.retention.every_ms;
	return (ms ? ms : EVERY_MS) * 1000;
}

static bool pick_tenant(struct retention *r)
{
	int64_t now = clock_monotonic_us();
	for (struct tenant *tenant = r->engine->tenants; tenant; tenant = tenant->hh.next)
		if (!tenant->tidied_us || now - tenant->tidied_us >= every_us(r)) {
			r->tenant = tenant;
			r->phase = PHASE_CLAIM;
			r->now_us = clock_now_us(r->engine->options.clock);
			return true;
		}
	return false;
}

static void step(struct retention *r)
{
	if (r->phase == PHASE_RUNS && !r->oldest_kept_us)
		next_phase(r);
	if (r->phase == PHASE_EVENTS && !keep_us(r, RETAIN_EVENTS))
		next_phase(r);
	switch (r->phase) {
	case PHASE_CLAIM: ask_claim(r); break;
	case PHASE_RULES:
	case PHASE_KEYS: ask_small(r); break;
	case PHASE_RUNS: ask_runs(r); break;
	case PHASE_EVENTS: ask_events(r); break;
	case PHASE_BODIES: ask_bodies(r); break;
	case PHASE_BUNDLES: ask_bundles(r); break;
	case PHASE_DONE: break;
	}
}

static void on_timer(void *arg)
{
	struct retention *r = arg;
	if (r->engine->draining || r->engine->closing)
		return;
	if (r->tenant || pick_tenant(r))
		step(r);
	else
		timer_start_us(&r->timer, every_us(r) < LOOK_US_MAX ? every_us(r) : LOOK_US_MAX);
}

void retention_new(struct engine *engine)
{
	struct retention *r = engine->retention = mem_alloc(sizeof *r);
	r->engine = engine;
	r->runs = json_array();
	r->after = mem_copy(STR(""));
	r->deleted = metric_declare(engine->options.metrics, METRIC_COUNTER, "perigee_retention_deleted_total", "Rows that were deleted because they were old",
	                            (const char *[]){ "what", NULL }, NULL);
	timer_init(&r->timer, engine->options.loop, on_timer, r);
	if (engine->options.keeps_schedules) /* a host that serves; a command has other things to do */
		timer_start_us(&r->timer, FIRST_LOOK_US);
}

void retention_free(struct engine *engine)
{
	struct retention *r = engine->retention;
	engine->retention = NULL;
	if (!r)
		return;
	/* what is under way is not delivered any more */
	timer_fini(&r->timer);
	json_decref(r->runs);
	free(r->after);
	free(r->long_run);
	free(r);
}
