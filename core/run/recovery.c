/*
 * Taking over: runs whose owner is gone (killed, or shut down), and runs of ours that were forgotten when the store failed.
 * A take-over bumps the fence: should the old owner still live, its next append changes no row.
 */
#include "run/run_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"

#define ADOPTING_MAX 32   /* rows read at the same time: a host that starts may find 100,000 */

struct adoption {
	struct adoption *next;
	struct engine *engine;
	struct tenant *tenant;
	char id[UUID_TEXT_SIZE];
	struct store_tx *rows;             /* run_load, waits_of_run, run_limits */
};

static void adopt_waits(struct run *run, const struct store_result *r)
{
	for (size_t i = 0; i < r->rows; i++) {
		json_t *detail = json_read(store_text(r, i, 5), FRAME_PAYLOAD_MAX, NULL, NULL);
		char *kind = mem_copy(store_text(r, i, 1)), *name = mem_copy(store_text(r, i, 2));
		const char *effect = json_string_value(json_member(detail, "effect")), *digest = json_string_value(json_member(detail, "digest"));
		wait_register(wait_new(run, (uint32_t)store_int(r, i, 0), effect ? effect : "", digest ? digest : "", kind, name,
		                       store_is_null(r, i, 3) ? 0 : store_int(r, i, 3), detail));
		free(kind);
		free(name);
		json_decref(detail);
	}
}

/* Columns of run_load: id agent capability bundle status input subject spec created_at started_at parent parent_effect depth fence owner
 * journal_length cpu_us strikes output error origin chain event. */
static struct run *adopt_row(struct engine *engine, struct tenant *tenant, const struct store_result *r)
{
	char *id = mem_copy(store_text(r, 0, 0));
	struct run *run = run_new(engine, tenant, id);
	free(id);
	run->agent = mem_copy(store_text(r, 0, 1));
	run->capability = mem_copy(store_text(r, 0, 2));
	run->created_at_us = store_int(r, 0, 8);
	run->parent = store_is_null(r, 0, 10) ? NULL : mem_copy(store_text(r, 0, 10));
	run->parent_effect = store_int(r, 0, 11);
	run->depth = store_int(r, 0, 12);
	run->fence = store_int(r, 0, 13);
	run->journal_length = (size_t)store_int(r, 0, 15);
	run->cpu_us = store_int(r, 0, 16);
	run->strikes = (unsigned)store_int(r, 0, 17);
	run->struck_at = run->journal_length;
	run->origin = store_is_null(r, 0, 20) ? NULL : json_read(store_text(r, 0, 20), FRAME_PAYLOAD_MAX, NULL, NULL);
	run->chain = store_is_null(r, 0, 21) ? NULL : mem_copy(store_text(r, 0, 21));
	run->of_event = !store_is_null(r, 0, 22);
	if (!store_is_null(r, 0, 7)) {
		run->spec_start = json_read(store_text(r, 0, 7), FRAME_PAYLOAD_MAX, NULL, NULL);
		const char *spec = json_string_value(json_member(run->spec_start, "spec"));
		run->spec = mem_copy(str_of(spec));
	}
	return run;
}

static void adopt_next(struct engine *engine);

static void adoption_end(struct adoption *adoption)
{
	struct engine *engine = adoption->engine;
	store_tx_free(adoption->rows);
	free(adoption);
	engine->adopting--;
	engine->adoptions_pending--;
	adopt_next(engine);
}

static void adopt(const struct adoption *adoption, struct live_bundle *bundle)
{
	struct engine *engine = adoption->engine;
	const struct store_result *row = store_tx_result(adoption->rows, 0);
	if (engine_find_run(engine, str_of(adoption->tenant->name), str_of(adoption->id)))
		return;
	struct run *run = adopt_row(engine, adoption->tenant, row);
	run->bundle = bundle;
	bundle->references++;
	run->suspended = str_is(store_text(row, 0, 4), "waiting");
	if (run->suspended)
		run_set_state(run, RUN_WAITING);
	watchers_return(run);
	limits_adopt(run, store_tx_result(adoption->rows, 2));
	adopt_waits(run, store_tx_result(adoption->rows, 1));
	if (!run->suspended) {
		run_move(run, LIST_QUEUE);
		engine_schedule(engine);
	}
}

static void adopt_failed(struct adoption *adoption, const char *why)
{
	log_event(LOG_ERROR, "run.adopt", "run", adoption->id, "error", why, NULL);
	adoption->engine->adopt_own = true;
	adoption_end(adoption);
}

static void adopt_on_bundle(struct store_tx *tx, int code, void *arg)
{
	struct adoption *adoption = arg;
	struct engine *engine = adoption->engine;
	const struct store_result *r = store_tx_result(tx, 0);
	if (code == 0 && r->rows) {
		char *digest = mem_copy(store_text(store_tx_result(adoption->rows, 0), 0, 3));
		struct live_bundle *bundle = bundle_adopt(engine, digest, json_read(store_text(r, 0, 0), SIZE_MAX, NULL, NULL),
		                                          json_read(store_text(r, 0, 1), SIZE_MAX, NULL, NULL));
		free(digest);
		adopt(adoption, bundle);
		bundle_release(engine, bundle);
		adoption_end(adoption);
	} else {
		adopt_failed(adoption, code ? store_tx_error(tx) : "its bundle is not in the store");
	}
	store_tx_free(tx);
}

static void adopt_on_read(struct store_tx *tx, int code, void *arg)
{
	struct adoption *adoption = arg;
	struct engine *engine = adoption->engine;
	const struct store_result *row = store_tx_result(tx, 0);
	adoption->rows = tx;
	if (code != 0) {
		adopt_failed(adoption, store_tx_error(tx));
		return;
	}
	if (row->rows == 0 || run_state_is_final(store_text(row, 0, 4)) || !str_is(store_text(row, 0, 14), engine->owner)) {
		adoption_end(adoption);
		return;
	}
	char *digest = mem_copy(store_text(row, 0, 3));
	struct live_bundle *bundle = bundle_live(engine, digest);
	free(digest);
	if (bundle) { /* the rule: a bundle is large, and most runs share one */
		adopt(adoption, bundle);
		adoption_end(adoption);
		return;
	}
	struct store_tx *read = store_tx_new(engine->options.store, str_of(adoption->tenant->name));
	store_tx_add(read, STATEMENT_bundle_of_run, STORE_ANY, "t", adoption->id);
	store_submit_read(read, adopt_on_bundle, adoption);
}

static void adopt_next(struct engine *engine)
{
	struct adoption *adoption;
	while (engine->adopting < ADOPTING_MAX && (adoption = engine->adoptions)) {
		engine->adoptions = adoption->next;
		if (!engine->adoptions)
			engine->adoptions_end = &engine->adoptions;
		engine->adopting++;
		struct store_tx *tx = store_tx_new(engine->options.store, str_of(adoption->tenant->name));
		store_tx_add(tx, STATEMENT_run_load, STORE_ANY, "t", adoption->id);
		store_tx_add(tx, STATEMENT_waits_of_run, STORE_ANY, "t", adoption->id);
		store_tx_add(tx, STATEMENT_run_limits, STORE_ANY, "t", adoption->id);
		store_submit_read(tx, adopt_on_read, adoption);
	}
}

void adoptions_free(struct engine *engine)
{
	struct adoption *adoption;
	while ((adoption = engine->adoptions)) {
		engine->adoptions = adoption->next;
		free(adoption);
	}
}

void run_adopt_row(struct engine *engine, struct tenant *tenant, const char *id)
{
	struct adoption *adoption = mem_alloc(sizeof *adoption);
	adoption->engine = engine;
	adoption->tenant = tenant;
	strncpy(adoption->id, id, sizeof adoption->id - 1);
	engine->adoptions_pending++;
	*engine->adoptions_end = adoption;
	engine->adoptions_end = &adoption->next;
	adopt_next(engine);
}

/* ---- whose are gone? ---- */

struct sweep {
	struct engine *engine;
	bool own;                          /* runs of ours were forgotten: look for them */
	struct tenant *tenant;
};

static void sweep_adopt(struct store_tx *tx, int code, void *arg)
{
	struct sweep *sweep = arg;
	if (code) {
		sweep->engine->adopt_own |= sweep->own;
		log_event(LOG_ERROR, "recovery.failed", "tenant", sweep->tenant->name, "error", store_tx_error(tx), NULL);
	}
	size_t taken = 0;
	for (size_t op = 0; code == 0 && op < store_tx_count(tx); op++) {
		const struct store_result *r = store_tx_result(tx, op);
		for (size_t i = 0; i < r->rows; i++, taken++) {
			char *id = mem_copy(store_text(r, i, 0));
			if (!engine_find_run(sweep->engine, str_of(sweep->tenant->name), str_of(id)))
				run_adopt_row(sweep->engine, sweep->tenant, id);
			free(id);
		}
	}
	if (taken) {
		struct buf count;
		buf_init(&count, 32);
		buf_addf(&count, "%zu", taken);
		log_event(LOG_INFO, "runs.taken_over", "tenant", sweep->tenant->name, "runs", buf_text(&count), NULL);
		buf_free(&count);
	}
	store_tx_free(tx);
	free(sweep);
}

/* Another worker, another host or a command line may have put them there. */
static void sweep_signals(struct sweep *sweep, const struct store_result *r)
{
	if (sweep->tenant->signals_seen < 0) {
		/* what came between a run's first look and this first sweep */
		sweep->tenant->signals_seen = store_int(r, 0, 0);
		waits_check_signals(sweep->engine);
		return;
	}
	for (size_t i = 0; i < r->rows; i++) {
		struct buf name;
		buf_init(&name, 1024);
		struct str run = store_text(r, i, 1), signal = store_text(r, i, 2);
		buf_addf(&name, "%.*s/%.*s", STR_ARG(run), STR_ARG(signal));
		waits_check(sweep->engine, "signal", buf_text(&name));
		buf_free(&name);
		sweep->tenant->signals_seen = store_int(r, i, 0);
	}
}

static void sweep_on_owners(struct store_tx *tx, int code, void *arg)
{
	struct sweep *sweep = arg;
	struct engine *engine = sweep->engine;
	struct store *store = engine->options.store;
	struct store_tx *write = store_tx_new(store, str_of(sweep->tenant->name));
	const struct store_result *owners = store_tx_result(tx, 0);
	for (size_t i = 0; code == 0 && i < owners->rows; i++) {
		char *owner = mem_copy(store_text(owners, i, 0));
		if (strcmp(owner, engine->owner) != 0 && !store_owner_is_alive(store, str_of(owner)))
			store_tx_add(write, STATEMENT_runs_take_over, STORE_ANY, "tt", engine->owner, owner);
		free(owner);
	}
	if (sweep->own && code == 0)
		store_tx_add(write, STATEMENT_runs_owned, STORE_ANY, "t", engine->owner);
	if (code == 0) {
		sweep_signals(sweep, store_tx_result(tx, 1));
	}
	engine->adopt_own |= code != 0 && sweep->own;
	if (code != 0)
		log_event(LOG_ERROR, "recovery.failed", "tenant", sweep->tenant->name, "error", store_tx_error(tx), NULL);
	store_tx_free(tx);
	if (store_tx_count(write)) {
		store_submit_write(write, sweep_adopt, sweep);
	} else {
		store_tx_free(write);
		free(sweep);
	}
}

void engine_recover(struct engine *engine)
{
	json_t *names = store_tenant_names(engine->options.store);
	bool own = engine->adopt_own;
	if (engine->draining) {
		json_decref(names);
		return;
	}
	engine->adopt_own = false;
	waits_check_some(engine);
	size_t i;
	json_t *name;
	json_array_foreach(names, i, name) {
		struct tenant *tenant = engine_tenant(engine, json_str(name));
		if (!tenant)
			continue;
		struct sweep *sweep = mem_alloc(sizeof *sweep);
		sweep->engine = engine;
		sweep->tenant = tenant;
		sweep->own = own;
		struct store_tx *tx = store_tx_new(engine->options.store, str_of(tenant->name));
		store_tx_add(tx, STATEMENT_run_owners, STORE_ANY, "");
		if (tenant->signals_seen < 0)
			store_tx_add(tx, STATEMENT_signals_last, STORE_ANY, "");
		else
			store_tx_add(tx, STATEMENT_signals_after, STORE_ANY, "i", tenant->signals_seen);
		store_submit_read(tx, sweep_on_owners, sweep);
	}
	json_decref(names);
}
