/*
 * Cancelling: one statement for a run and everything below it, with a new fence for each, so that nothing of them commits any more. Whose runs they are is
 * told what became of them: cells end at once, here and, by a hint, elsewhere.
 *
 * The same transaction looks at the tree a second time: a child that was being spawned while the first look waited for its parent's row is there
 * then, and its parent's fence has moved, so no other can come. Should the second look find any, a third one follows, until none is found.
 */
#include "run/run_internal.h"

#include <stdlib.h>
#include <string.h>

#include "run/deliveries.h"
#include "run/hints.h"

#define IDS_A_HINT 200

struct cancel {
	struct engine *engine;
	struct tenant *tenant;
	char *id;
	json_t *error;
	int64_t runs;                      /* cancelled so far */
	size_t settle;                     /* operation of delivery_settle: the run may be one of an event */
	engine_done_fn done;
	void *arg;
	struct loop_item later;
};

enum { OP_TREE, OP_TREE_AGAIN, OP_APPROVALS, OP_WAITS, OP_WAITERS };

static void cancel_finish(struct cancel *cancel, int code, const json_t *result, const char *text)
{
	struct engine *engine = cancel->engine;
	cancel->done(cancel->arg, code, result, text);
	json_decref(cancel->error);
	free(cancel->id);
	free(cancel);
	engine_schedule(engine);
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

void run_cancelled(struct engine *engine, struct tenant *tenant, struct str id, json_t *error)
{
	struct run *run = engine_find_run(engine, str_of(tenant->name), id);
	if (!run) {
		dormant_count(tenant, -1);
		return;
	}
	run_drop_cell(run);
	json_decref(run->output);
	json_decref(run->error);
	run->output = NULL;
	run->error = json_incref(error);
	run_set_state(run, RUN_CANCELLED);
	run_tell_status(run);
	run_free(run);
}

/* ---- whose they are ---- */

/* Rows of (id, owner, agent, capability), of one owner that is not this worker. */
static void tell_owner(struct cancel *cancel, const struct store_result *r, struct str owner)
{
	struct buf ids;
	size_t count = 0;
	buf_init(&ids, 1 << 20);
	for (size_t i = 0; i < r->rows; i++) {
		if (!str_equal(store_text(r, i, 1), owner))
			continue;
		struct str id = store_text(r, i, 0);
		buf_addf(&ids, "%s%.*s", count % IDS_A_HINT ? "," : "", STR_ARG(id));
		if (++count % IDS_A_HINT == 0) {
			hint(cancel->engine, owner, cancel->tenant->name, "cancel", buf_text(&ids));
			buf_reset(&ids);
		}
	}
	if (count % IDS_A_HINT)
		hint(cancel->engine, owner, cancel->tenant->name, "cancel", buf_text(&ids));
	buf_free(&ids);
}

static void tell_others(struct cancel *cancel, const struct store_result *r)
{
	json_t *told = json_object(); /* a handful of workers */
	for (size_t i = 0; i < r->rows; i++) {
		struct str owner = store_text(r, i, 1);
		if (!owner.n || str_is(owner, cancel->engine->owner) || json_object_getn(told, owner.p, owner.n))
			continue;
		json_object_setn_new(told, owner.p, owner.n, json_true());
		tell_owner(cancel, r, owner);
	}
	json_decref(told);
}

static void count_cancelled(const struct cancel *cancel, const struct store_result *r)
{
	for (size_t i = 0; i < r->rows; i++) {
		char *agent = mem_copy(store_text(r, i, 2)), *capability = mem_copy(store_text(r, i, 3));
		metric_add(cancel->engine->runs_total, 1, (const char *[]){ cancel->tenant->name, agent, capability, "cancelled" });
		free(agent);
		free(capability);
	}
}

static void cancelled(struct cancel *cancel, const struct store_result *r)
{
	cancel->runs += (int64_t)r->rows;
	count_cancelled(cancel, r);
	for (size_t i = 0; i < r->rows; i++)
		if (str_is(store_text(r, i, 1), cancel->engine->owner))
			run_cancelled(cancel->engine, cancel->tenant, store_text(r, i, 0), cancel->error);
	tell_others(cancel, r);
}

/* ---- the transaction ---- */

static void cancel_submit(struct cancel *cancel, bool first);

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
	if (code) {
		cancel_finish(cancel, code, NULL, store_tx_error(tx));
		store_tx_free(tx);
		return;
	}
	cancelled(cancel, store_tx_result(tx, OP_TREE));
	cancelled(cancel, store_tx_result(tx, OP_TREE_AGAIN));
	hint_wake_all(engine, cancel->tenant->name, store_tx_result(tx, OP_WAITERS));
	deliveries_on_settled(engine, cancel->tenant, store_tx_result(tx, cancel->settle));
	bool again = store_tx_result(tx, OP_TREE_AGAIN)->rows > 0;
	store_tx_free(tx);
	if (again) {
		cancel_submit(cancel, false);
		return;
	}
	json_t *result = json_object();
	json_put_text(result, "status", "cancelled");
	json_put_int(result, "runs", cancel->runs);
	cancel_finish(cancel, 0, result, NULL);
	json_decref(result);
}

static void cancel_submit(struct cancel *cancel, bool first)
{
	struct engine *engine = cancel->engine;
	struct store_tx *tx = store_tx_new(engine->options.store, str_of(cancel->tenant->name));
	int64_t now = clock_now_us(engine->options.clock);
	store_tx_add(tx, STATEMENT_run_cancel_tree, first ? STORE_MUST : STORE_ANY, "tij", cancel->id, now, cancel->error);
	store_tx_add(tx, STATEMENT_run_cancel_tree, STORE_ANY, "tij", cancel->id, now, cancel->error);
	store_tx_add(tx, STATEMENT_tree_approvals_withdraw, STORE_ANY, "ti", cancel->id, now);
	store_tx_add(tx, STATEMENT_tree_waits_end, STORE_ANY, "t", cancel->id);
	store_tx_add(tx, STATEMENT_tree_waiters, STORE_ANY, "t", cancel->id);
	cancel->settle = deliveries_add_settle(engine, tx, cancel->id);
	store_tx_add(tx, STATEMENT_tree_intents_end, STORE_ANY, "t", cancel->id);
	store_tx_add(tx, STATEMENT_tree_outcomes_withdraw, STORE_ANY, "ti", cancel->id, now);
	store_tx_add(tx, STATEMENT_tree_handoffs_end, STORE_ANY, "ti", cancel->id, now);
	store_submit_write(tx, cancel_on_written, cancel);
}

static void cancel_on_refused(void *arg)
{
	cancel_finish(arg, ERR_NOT_FOUND, NULL, "no such tenant");
}

void engine_cancel_run(struct engine *engine, struct str tenant_name, struct str id, engine_done_fn done, void *arg)
{
	struct cancel *cancel = mem_alloc(sizeof *cancel);
	cancel->engine = engine;
	cancel->tenant = engine_tenant(engine, tenant_name);
	cancel->id = mem_copy(id);
	cancel->error = error_new("run.cancelled", "cancelled on request");
	cancel->done = done;
	cancel->arg = arg;
	if (cancel->tenant)
		cancel_submit(cancel, true);
	else /* deleted since its key was looked up, or the store does not say */
		loop_defer(engine->options.loop, &cancel->later, cancel_on_refused, cancel);
}
