/*
 * From a row into memory: runs that were taken over, dormant ones that are woken, and runs of ours that were forgotten when the store failed. Each is
 * read once however often it is asked for; what ends its waits is looked up when they are registered, so whatever was there before is found.
 */
#include "run/run_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"

#define ADOPTING_MAX 32   /* rows read at the same time: a host that starts may find 100,000 */

struct adoption {
	struct adoption *next;             /* of engine->adoptions, while it is not being read */
	struct engine *engine;
	struct tenant *tenant;
	char id[UUID_TEXT_SIZE];
	enum adopt_from from;
	struct store_tx *rows;             /* run_load, waits_of_run, run_limits */
	UT_hash_handle hh;                 /* engine->adopting_ids */
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
	HASH_DEL(engine->adopting_ids, adoption);
	if (adoption->from == ADOPT_DORMANT && engine->waking > 0)
		engine->waking--;
	free(adoption);
	engine->adopting--;
	dormant_go_on(engine);
	adopt_next(engine);
}

static void adopt(const struct adoption *adoption, struct live_bundle *bundle)
{
	struct engine *engine = adoption->engine;
	const struct store_result *row = store_tx_result(adoption->rows, 0);
	if (engine_find_run(engine, str_of(adoption->tenant->name), str_of(adoption->id)))
		return;
	struct run *run = adopt_row(engine, adoption->tenant, row);
	if (adoption->from == ADOPT_DORMANT) {
		dormant_count(adoption->tenant, -1);
		run->woken = true;
		engine->waking++;
	}
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
	} else {
		run_maybe_doze(run);
	}
}

static void adopt_failed(struct adoption *adoption, const char *why)
{
	log_event(LOG_ERROR, "run.adopt", "run", adoption->id, "error", why, NULL);
	run_keep_parked(adoption->engine, adoption->tenant, adoption->id, adoption->from);
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
		adoption->next = NULL;
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

size_t adoptions_count(const struct engine *engine)
{
	return HASH_COUNT(engine->adopting_ids);
}

void adoptions_free(struct engine *engine)
{
	struct adoption *adoption, *next;
	HASH_ITER(hh, engine->adopting_ids, adoption, next) {
		HASH_DEL(engine->adopting_ids, adoption);
		free(adoption); /* one that is being read loses its answer with the store */
	}
	struct parked *parked;
	while ((parked = engine->parked)) {
		engine->parked = parked->next;
		free(parked);
	}
}

void run_adopt_row(struct engine *engine, struct tenant *tenant, const char *id, enum adopt_from from)
{
	struct adoption *adoption;
	HASH_FIND_STR(engine->adopting_ids, id, adoption);
	if (adoption || engine->closing)
		return;
	adoption = mem_alloc(sizeof *adoption);
	adoption->engine = engine;
	adoption->tenant = tenant;
	adoption->from = from;
	strncpy(adoption->id, id, sizeof adoption->id - 1);
	HASH_ADD_STR(engine->adopting_ids, id, adoption);
	*engine->adoptions_end = adoption;
	engine->adoptions_end = &adoption->next;
	if (from == ADOPT_DORMANT)
		engine->waking++;
	adopt_next(engine);
}

/* ---- runs that were forgotten ---- */

void run_keep_parked(struct engine *engine, struct tenant *tenant, const char *id, enum adopt_from from)
{
	struct parked *parked = mem_alloc(sizeof *parked);
	parked->tenant = tenant;
	parked->from = from;
	memcpy(parked->id, id, UUID_TEXT_SIZE);
	parked->next = engine->parked;
	engine->parked = parked;
}

void parked_adopt(struct engine *engine)
{
	struct parked *parked = engine->parked, *next;
	engine->parked = NULL;
	for (; parked; parked = next) {
		next = parked->next;
		if (!engine_find_run(engine, str_of(parked->tenant->name), str_of(parked->id)))
			run_adopt_row(engine, parked->tenant, parked->id, parked->from);
		free(parked);
	}
}
