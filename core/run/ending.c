/* How runs end: done, failed, stuck. Cancelling is in cancelling.c. */
#include "run/deliveries.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "run/hints.h"

struct run_ending {
	struct engine *engine;
	struct tenant *tenant;
	size_t settle;                     /* operation of delivery_settle; 0: the run is none of a delivery */
	char id[UUID_TEXT_SIZE];
	size_t waiters;                    /* operation that tells whom the end concerns */
};

/* Those in memory have been told (waits_check). */
static void wake_others(struct engine *engine, const char *tenant, const struct store_result *r)
{
	for (size_t i = 0; i < r->rows; i++)
		if (!engine_find_run(engine, str_of(tenant), store_text(r, i, 0))) {
			char *id = mem_copy(store_text(r, i, 0));
			hint(engine, store_text(r, i, 1), tenant, "wake", id);
			free(id);
		}
}

static void end_on_written(struct store_tx *tx, int code, void *arg)
{
	struct run_ending *ending = arg;
	struct engine *engine = ending->engine;
	struct run *run;
	HASH_FIND_STR(engine->runs, ending->id, run);
	char why[256];
	strncpy(why, code ? store_tx_error(tx) : "", sizeof why - 1);
	why[sizeof why - 1] = 0;
	if (code == 0 && ending->settle)
		deliveries_on_settled(engine, ending->tenant, store_tx_result(tx, ending->settle));
	if (!run || code) {
		store_tx_free(tx);
		free(ending);
	}
	if (!run)
		return;
	if (code == ERR_CONFLICT) {
		run_lost(run);
		return;
	}
	if (code) {
		run_park(run, why);
		return;
	}
	const char *tenant = run->tenant->name;
	char id[UUID_TEXT_SIZE];
	strncpy(id, run_chain(run), sizeof id - 1);
	id[sizeof id - 1] = 0;
	run_set_state(run, run->final);
	run_tell_status(run);
	metric_add(engine->runs_total, 1,
	           (const char *[]){ run->tenant->name, run->agent, run->capability, run_state_name(run->final) });
	run_free(run);
	waits_check(engine, "child", id);
	wake_others(engine, tenant, store_tx_result(tx, ending->waiters));
	store_tx_free(tx);
	free(ending);
	engine_schedule(engine);
}

void run_end_commit(struct run *run)
{
	struct engine *engine = run->engine;
	if (run->dry) {
		replay_ended(run);
		return;
	}
	int64_t now = clock_now_us(engine->options.clock);
	struct store_tx *tx = store_tx_new(engine->options.store, str_of(run->tenant->name));
	store_tx_add(tx, STATEMENT_run_end, STORE_MUST, "titjjiiii", run->id, run->fence, run_state_name(run->final), run->output, run->error, now,
	             (int64_t)run->journal_length, run->cpu_us, (int64_t)run->strikes);
	run_add_unflushed(run, tx);
	store_tx_add(tx, STATEMENT_waits_end, STORE_ANY, "t", run->id);
	store_tx_add(tx, STATEMENT_approvals_withdraw, STORE_ANY, "ti", run->id, now);
	handoff_end_add(run, tx, now);
	store_tx_add(tx, STATEMENT_intents_end, STORE_ANY, "t", run->id);
	store_tx_add(tx, STATEMENT_outcomes_withdraw, STORE_ANY, "ti", run->id, now);
	struct run_ending *ending = mem_alloc(sizeof *ending);
	ending->engine = engine;
	ending->tenant = run->tenant;
	ending->settle = run->of_event ? deliveries_add_settle(engine, tx, run->id) : 0;
	ending->waiters = store_tx_add(tx, STATEMENT_run_waiters, STORE_ANY, "tt", run_chain(run), run->parent);
	memcpy(ending->id, run->id, sizeof ending->id);
	store_submit_write(tx, end_on_written, ending);
}

void run_end(struct run *run, enum run_state state, json_t *output, json_t *error)
{
	if (run->over) {
		json_decref(output);
		json_decref(error);
		return;
	}
	run_drop_cell(run);
	flights_end(run);
	run_move(run, LIST_NONE);
	run->over = true;
	run->final = state;
	run->output = output;
	run->error = error;
	if (!run->appending && !run->flush)
		run_end_commit(run);
}

void run_fail(struct run *run, const char *code, const char *message, json_t *more)
{
	json_t *error = more ? more : json_object();
	json_put_text(error, "code", code);
	json_put_text(error, "message", message);
	run_end(run, strcmp(code, "replay_diverged") == 0 ? RUN_STUCK : RUN_FAILED, NULL, error);
}

void run_stick(struct run *run, const char *code, const char *message)
{
	run_end(run, RUN_STUCK, NULL, error_new(code, message));
}
