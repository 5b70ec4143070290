/* How runs end: done, failed, stuck; and cancelled, with everything below them. */
#include "run/deliveries.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"

struct run_ending {
	struct engine *engine;
	struct tenant *tenant;
	size_t settle;                     /* operation of delivery_settle; 0: the run is none of a delivery */
	char id[UUID_TEXT_SIZE];
};

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
	store_tx_free(tx);
	free(ending);
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
	char id[UUID_TEXT_SIZE];
	strncpy(id, run_chain(run), sizeof id - 1);
	id[sizeof id - 1] = 0;
	run_set_state(run, run->final);
	run_tell_status(run);
	metric_add(engine->runs_total, 1,
	           (const char *[]){ run->tenant->name, run->agent, run->capability, run_state_name(run->final) });
	run_free(run);
	waits_check(engine, "child", id);
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

/* ---- cancelling ---- */

struct cancel {
	struct engine *engine;
	struct tenant *tenant;
	size_t settle;                     /* operation of delivery_settle: the run may be one of an event */
	char *id;
	engine_done_fn done;
	void *arg;
};

static void cancel_finish(struct cancel *cancel, int code, const json_t *result, const char *text)
{
	cancel->done(cancel->arg, code, result, text);
	free(cancel->id);
	free(cancel);
}

static void cancel_on_looked(struct store_tx *tx, int code, void *arg)
{
	struct cancel *cancel = arg;
	bool known = code == 0 && store_tx_result(tx, 0)->rows > 0;
	json_t *result = known ? json_object() : NULL;
	if (known)
		json_put_str(result, "status", store_text(store_tx_result(tx, 0), 0, 4));
	store_tx_free(tx);
	cancel_finish(cancel, code ? code : known ? ERR_CONFLICT : ERR_NOT_FOUND, result,
	              code ? "the store failed" : known ? "the run has ended already" : "no such run");
	json_decref(result);
}

static void run_cancelled(struct engine *engine, struct str tenant, struct str id, json_t *error)
{
	struct run *run = engine_find_run(engine, tenant, id);
	if (!run)
		return;
	run_drop_cell(run);
	json_decref(run->output);
	json_decref(run->error);
	run->output = NULL;
	run->error = json_incref(error);
	run_set_state(run, RUN_CANCELLED);
	run_tell_status(run);
	metric_add(engine->runs_total, 1, (const char *[]){ run->tenant->name, run->agent, run->capability, "cancelled" });
	run_free(run);
}

/* What a join of this run waits for. Owned. */
static char *chain_of(struct engine *engine, struct str tenant, struct str id)
{
	const struct run *run = engine_find_run(engine, tenant, id);
	return run ? mem_copy(str_of(run_chain(run))) : mem_copy(id);
}

static void cancel_on_written(struct store_tx *tx, int code, void *arg)
{
	struct cancel *cancel = arg;
	struct engine *engine = cancel->engine;
	if (code == ERR_CONFLICT) {
		store_tx_free(tx);
		tx = store_tx_new(engine->options.store, str_of(cancel->tenant->name));
		store_tx_add(tx, STATEMENT_run_load, STORE_ANY, "t", cancel->id);
		store_submit_read(tx, cancel_on_looked, cancel);
		return;
	}
	json_t *result = NULL, *error = error_new("run.cancelled", "cancelled on request");
	if (code == 0) {
		const struct store_result *r = store_tx_result(tx, 0);
		result = json_object();
		json_put_text(result, "status", "cancelled");
		json_put_int(result, "runs", (int64_t)r->rows);
		char **chains = mem_array(r->rows + 1, sizeof *chains);
		for (size_t i = 0; i < r->rows; i++)
			chains[i] = chain_of(engine, str_of(cancel->tenant->name), store_text(r, i, 0));
		for (size_t i = 0; i < r->rows; i++)
			run_cancelled(engine, str_of(cancel->tenant->name), store_text(r, i, 0), error);
		for (size_t i = 0; i < r->rows; i++) {
			waits_check(engine, "child", chains[i]);
			free(chains[i]);
		}
		free(chains);
		deliveries_on_settled(engine, cancel->tenant, store_tx_result(tx, cancel->settle));
	}
	cancel_finish(cancel, code, result, code ? store_tx_error(tx) : NULL);
	json_decref(result);
	json_decref(error);
	store_tx_free(tx);
	engine_schedule(engine);
}

void engine_cancel_run(struct engine *engine, struct str tenant_name, struct str id, engine_done_fn done, void *arg)
{
	struct cancel *cancel = mem_alloc(sizeof *cancel);
	cancel->engine = engine;
	cancel->tenant = engine_tenant(engine, tenant_name);
	cancel->id = mem_copy(id);
	cancel->done = done;
	cancel->arg = arg;
	BUG_ON(!cancel->tenant);
	json_t *error = error_new("run.cancelled", "cancelled on request");
	struct store_tx *tx = store_tx_new(engine->options.store, tenant_name);
	int64_t now = clock_now_us(engine->options.clock);
	store_tx_add(tx, STATEMENT_run_cancel_tree, STORE_MUST, "tij", cancel->id, now, error);
	store_tx_add(tx, STATEMENT_tree_approvals_withdraw, STORE_ANY, "ti", cancel->id, now);
	store_tx_add(tx, STATEMENT_tree_waits_end, STORE_ANY, "t", cancel->id);
	cancel->settle = deliveries_add_settle(engine, tx, cancel->id);
	store_tx_add(tx, STATEMENT_tree_intents_end, STORE_ANY, "t", cancel->id);
	store_tx_add(tx, STATEMENT_tree_outcomes_withdraw, STORE_ANY, "ti", cancel->id, now);
	store_tx_add(tx, STATEMENT_tree_handoffs_end, STORE_ANY, "ti", cancel->id, now);
	json_decref(error);
	store_submit_write(tx, cancel_on_written, cancel);
}
