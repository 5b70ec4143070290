/*
 * From an outcome to its place in the journal, the disk and the script.
 *
 * Outcomes become ready in any order; run_pump gives them their places one by one: a read's is delivered at once and journalled with
 * the next commit; a write's goes into one transaction (its operations, the rows that are still owed, its own row, the fence) and is delivered
 * when that is on disk. One append is under way per run; commits of different runs are grouped by the store.
 * Failure modes: a conflict in the handler's operations begins the effect again; a fence that moved means the run is somebody else's (run_lost);
 * a store that fails parks the run, nothing half-written.
 */
#include "run/run_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "run/bodies.h"
#include "run/effects.h"

#define OUTCOME_MAX (8u << 20)   /* bytes of one journalled outcome */
#define JOURNAL_MAX (48u << 20)  /* bytes of a journal: it is handed to a cell in one piece */
#define ROW_BYTES 64             /* what a row costs besides its outcome */
#define OWED_ROWS_MAX 256        /* outcomes delivered and not on disk: more are written without waiting for an effect that writes */
#define OWED_BYTES_MAX (1u << 20)

struct issued *issued_new(struct run *run, uint32_t number, const char *name, const char *digest)
{
	struct issued *issued = mem_alloc(sizeof *issued);
	issued->effect = (struct effect){
		.engine = run->engine, .run = run, .store = run->engine->options.store, .row = effect_find(str_of(name)), .number = number,
		.tenant = str_of(run->tenant->name), .manifest = run->bundle ? json_incref(run->bundle->manifest) : NULL,
		.now_us = clock_now_us(run->engine->options.clock),
	};
	memcpy(issued->run_id, run->id, UUID_TEXT_SIZE);
	issued->effect.run_id = str_of(issued->run_id);
	issued->name = mem_copy(str_of(name));
	strncpy(issued->digest, digest, DIGEST_TEXT_SIZE - 1);
	issued->began_us = clock_monotonic_us();
	issued->open = intent_find(run, number) != NULL;
	buf_init(&issued->outcome, OUTCOME_MAX);
	return issued;
}

void issued_finish(struct issued *issued)
{
	flight_leave(issued);
	if (issued->effect.tx)
		store_tx_free(issued->effect.tx);
	json_decref(issued->effect.args);
	json_decref((json_t *)(uintptr_t)issued->effect.manifest);
	free(issued->effect.state);
	intent_free(issued->intent);
	buf_free(&issued->outcome);
	free(issued->name);
	free(issued);
}

void issued_set_ok(struct issued *issued, const json_t *ok)
{
	buf_reset(&issued->outcome);
	buf_addf(&issued->outcome, "{\"at\":%lld,\"ok\":", (long long)clock_now_us(issued->effect.engine->options.clock));
	json_write(&issued->outcome, ok);
	buf_add_char(&issued->outcome, '}');
	if (issued->outcome.full)
		issued_set_error(issued, "outcome.too_large", "the outcome is over 8 MiB: ask for less at once", NULL);
}

void issued_set_error(struct issued *issued, const char *code, const char *message, json_t *more)
{
	json_t *error = more ? more : json_object();
	json_put_text(error, "code", code);
	json_put_text(error, "message", message);
	buf_reset(&issued->outcome);
	buf_addf(&issued->outcome, "{\"at\":%lld,\"error\":", (long long)clock_now_us(issued->effect.engine->options.clock));
	json_write(&issued->outcome, error);
	buf_add_char(&issued->outcome, '}');
	json_decref(error);
}

/* ---- what handlers call ---- */

static bool issued_is_gone(struct issued *issued)
{
	if (issued->effect.run)
		return false;
	issued_finish(issued);
	return true;
}

void effect_new_id(const struct effect *effect, char out[UUID_TEXT_SIZE])
{
	uuid_format(uuid_new(effect->engine->options.clock, effect->engine->options.rng), out);
}

/* An outcome is there. Of an effect that left the host it is journalled at once, as its intent ends. */
static void outcome_ready(struct issued *issued, enum ready_kind kind)
{
	if (issued->open)
		intent_add_delete(issued);
	issued->effect.abort = NULL;
	issued_ready(issued, issued->open ? READY_APPLY : kind);
}

void effect_reply(struct effect *effect, json_t *ok)
{
	struct issued *issued = (struct issued *)effect;
	if (!issued_is_gone(issued)) {
		issued_set_ok(issued, ok);
		outcome_ready(issued, READY_REPLY);
	}
	json_decref(ok);
}

void effect_apply(struct effect *effect, json_t *ok)
{
	struct issued *issued = (struct issued *)effect;
	if (!issued_is_gone(issued)) {
		issued_set_ok(issued, ok);
		outcome_ready(issued, READY_APPLY);
	}
	json_decref(ok);
}

void effect_fail(struct effect *effect, const char *code, const char *message, json_t *more)
{
	struct issued *issued = (struct issued *)effect;
	if (!effect->run) {
		json_decref(more);
		issued_finish(issued);
		return;
	}
	if (strcmp(code, err_name(ERR_STORE)) == 0 && !effect->run->dry) {
		/* The host's trouble, none of the script's: no outcome. The run starts again from its journal when the store is there. */
		json_decref(more);
		run_park(effect->run, message);
		issued_finish(issued);
		return;
	}
	issued_set_error(issued, code, message, more);
	outcome_ready(issued, READY_REPLY);
}

void effect_wait(struct effect *effect, const char *kind, const char *name, int64_t wake_at_us, const json_t *detail)
{
	struct issued *issued = (struct issued *)effect;
	if (issued_is_gone(issued))
		return;
	struct wait *wait = wait_new(effect->run, effect->number, issued->name, issued->digest, kind, name, wake_at_us, detail);
	wait_attach(wait, issued);
	issued_ready(issued, READY_WAIT);
}

void issued_begin(struct issued *issued)
{
	struct effect *effect = &issued->effect;
	issued->state = ISSUED_HANDLING;
	if (!engine_is_held(effect->engine)) {
		engine_hold_back(issued);
		return;
	}
	if (effect->tx)
		store_tx_free(effect->tx);
	effect->tx = store_tx_new(effect->store, effect->tenant);
	effect->now_us = clock_now_us(effect->engine->options.clock);
	free(effect->state);
	effect->state = NULL;
	issued->committed = effect->row->begin == effect_begin_events_emit ? event_committed : NULL;
	effect->row->begin(effect);
}

void issued_ready(struct issued *issued, enum ready_kind kind)
{
	struct run *run = issued->effect.run;
	issued->state = ISSUED_READY;
	issued->ready = kind;
	TAILQ_INSERT_TAIL(&run->ready, issued, ready_link);
	run_pump(run);
}

/* ---- the pump ---- */

static void row_keep(struct run *run, struct issued *issued)
{
	run->unflushed = mem_grow(run->unflushed, run->unflushed_count + 1, sizeof *run->unflushed);
	struct journal_row *row = &run->unflushed[run->unflushed_count++];
	memset(row, 0, sizeof *row);
	row->effect = issued->effect.number;
	row->name = issued->name;
	issued->name = mem_copy(STR(""));
	memcpy(row->digest, issued->digest, DIGEST_TEXT_SIZE);
	row->outcome = mem_copy(buf_str(&issued->outcome));
	row->bytes = issued->outcome.n + ROW_BYTES;
	run->unflushed_bytes += row->bytes;
	run->journal_bytes += row->bytes;
	row->at_us = clock_now_us(run->engine->options.clock);
}

json_t *outcome_event(const struct journal_row *row, size_t index)
{
	json_t *data = json_object();
	json_put_int(data, "index", (int64_t)index);
	json_put_int(data, "effect", row->effect);
	json_put_text(data, "name", row->name);
	json_put(data, "outcome", json_read(str_of(row->outcome), OUTCOME_MAX, NULL, NULL));
	return data;
}

static void tell_outcome(struct run *run, const struct journal_row *row)
{
	if (TAILQ_EMPTY(&run->watchers))
		return;
	char id[24];
	snprintf(id, sizeof id, "%zu", run->journal_length);
	run_tell(run, "outcome", id, outcome_event(row, run->journal_length));
}

/* The outcome has its place: to the script if it listens, and the effect is over. */
static void deliver(struct run *run, struct issued *issued)
{
	struct engine *engine = run->engine;
	struct journal_row *row = &run->unflushed[run->unflushed_count - 1];
	struct str outcome = str_of(row->outcome);
	bool failed = strncmp(row->outcome + strcspn(row->outcome, ","), ",\"error\":", 9) == 0;
	/* a script may make names up: no series for each */
	const char *name = issued->effect.row ? issued->effect.row->name : "unknown";
	metric_add(engine->effects_total, 1, (const char *[]){ name, failed ? "error" : "ok" });
	metric_observe(engine->effect_seconds, (double)(clock_monotonic_us() - issued->began_us) / 1e6, (const char *[]){ name });
	tell_outcome(run, row);
	run->journal_length++;
	if (run->list == LIST_RESIDENT)
		run_move(run, LIST_NONE);
	run_set_state(run, RUN_RUNNING);
	if (run->cell) {
		/* a wait that ended while its script is still being replayed: as if the journal had held it from the start */
		if (row->effect > run->effects_issued)
			recorded_add(run, row->effect, row->name, row->digest);
		run->outcomes_sent++;
		cell_set_pending(run->cell, run->effects_issued > run->outcomes_sent ? run->effects_issued - run->outcomes_sent : 0);
		cell_send(run->cell, FRAME_OUTCOME, row->effect, outcome);
	}
	if (!issued->orphan)
		TAILQ_REMOVE(&run->issued, issued, link);
	flight_leave(issued);
	if (issued->wait) {
		issued->wait->issued = NULL;
		wait_ended(issued->wait);
	}
	issued_finish(issued);
}

void run_add_unflushed(struct run *run, struct store_tx *tx)
{
	size_t first = run->journal_length - run->unflushed_count;
	for (size_t i = 0; i < run->unflushed_count; i++) {
		const struct journal_row *row = &run->unflushed[i];
		outcome_add(tx, &(struct outcome_row){ .run = run->id, .index = (int64_t)(first + i), .effect = row->effect, .name = row->name,
		                                       .digest = row->digest, .outcome = str_of(row->outcome), .at_us = row->at_us });
	}
	for (size_t i = 0; i < run->logs_count; i++) {
		const struct log_row *log = &run->logs[i];
		store_tx_add(tx, STATEMENT_run_log_insert, STORE_ANY, "tiiittt", run->id, log->n, (int64_t)log->index, log->at_us, log->level,
		             log->message, log->fields);
	}
	run->unflushed_submitted = run->unflushed_count;
	run->logs_submitted = run->logs_count;
}

void run_flushed(struct run *run)
{
	size_t n = run->unflushed_submitted, logs = run->logs_submitted;
	for (size_t i = 0; i < n; i++) {
		run->unflushed_bytes -= run->unflushed[i].bytes;
		free(run->unflushed[i].name);
		free(run->unflushed[i].outcome);
	}
	for (size_t i = 0; i < logs; i++) {
		free(run->logs[i].level);
		free(run->logs[i].message);
		free(run->logs[i].fields);
	}
	if (n)
		memmove(run->unflushed, run->unflushed + n, (run->unflushed_count - n) * sizeof *run->unflushed);
	if (logs)
		memmove(run->logs, run->logs + logs, (run->logs_count - logs) * sizeof *run->logs);
	run->unflushed_count -= n;
	run->logs_count -= logs;
	run->unflushed_submitted = run->logs_submitted = 0;
}

static void on_begin_again(void *arg)
{
	struct issued *issued = arg;
	if (!issued_is_gone(issued))
		issued_begin(issued);
}

static void append_conflict(struct run *run, struct issued *issued)
{
	struct wait *wait = issued->wait;
	if (wait) {
		/* what should end the wait was taken by something else: look again */
		wait->resolving = false;
		if (issued->orphan) {
			wait->issued = NULL;
			issued_finish(issued);
		} else {
			issued->state = ISSUED_WAITING;
		}
		wait_look_again(wait);
	} else if (issued->orphan) {
		issued_finish(issued); /* its cell died meanwhile: the replay issues it again */
	} else if (++issued->effect.attempt > CONFLICT_RETRIES_MAX) {
		issued_set_error(issued, "records.conflict", "others keep writing the same record: tried 8 times", NULL);
		issued_ready(issued, READY_REPLY);
	} else {
		issued->state = ISSUED_HANDLING;
		loop_defer(run->engine->options.loop, &issued->later, on_begin_again, issued);
	}
}

/* The wait is over, its effect begins again: in this cell, or when the next one issues it. */
static void append_resumed(struct run *run, struct issued *issued)
{
	struct wait *wait = issued->wait;
	issued->wait = NULL;
	wait->issued = NULL;
	wait_free(wait);
	if (run->list == LIST_RESIDENT)
		run_move(run, LIST_NONE);
	if (!run->over)
		run_set_state(run, RUN_RUNNING);
	issued->resend = true;
	issued->state = ISSUED_HANDLING;
	if (issued->orphan)
		issued_finish(issued);
	else
		loop_defer(run->engine->options.loop, &issued->later, on_begin_again, issued);
}

static void append_done(struct run *run, struct issued *issued)
{
	run_flushed(run);
	if (issued->ready == READY_INTENT) {
		intent_committed(run, issued);
		return;
	}
	if (issued->ready == READY_RESUME) {
		append_resumed(run, issued);
		return;
	}
	if (issued->ready == READY_WAIT) {
		struct wait *wait = issued->wait;
		issued->state = ISSUED_WAITING;
		if (issued->orphan) { /* its cell died meanwhile: the next one attaches its own */
			wait->issued = NULL;
			issued_finish(issued);
		}
		wait_register(wait);
		return;
	}
	if (issued->committed)
		issued->committed(issued);
	row_keep(run, issued);
	/* its row is on disk already: it only passes through for delivery */
	deliver(run, issued);
	run->unflushed_submitted = run->unflushed_count;
	run->logs_submitted = 0;
	run_flushed(run);
}

/* The transaction was undone for a reason that is not the handler's: nothing of it counts. */
static void append_failed(struct run *run, struct issued *issued, int code, const char *why)
{
	if (issued->orphan) {
		if (issued->wait)
			issued->wait->issued = NULL;
		issued_finish(issued);
	} else {
		issued->state = ISSUED_READY;
		TAILQ_INSERT_HEAD(&run->ready, issued, ready_link); /* where whoever forgets the run looks for it */
	}
	if (code == ERR_CONFLICT)
		run_lost(run);
	else
		run_park(run, why);
}

static void append_on_done(struct store_tx *tx, int code, void *arg)
{
	struct issued *issued = arg;
	struct run *run = issued->effect.run;
	bool handler_conflict = code == ERR_CONFLICT && run && store_tx_failed_op(tx) < run->handler_ops;
	bool suspended = issued->ready == READY_WAIT && issued->suspends;
	char why[256];
	snprintf(why, sizeof why, "%s", code ? store_tx_error(tx) : "");
	store_tx_free(tx);
	if (!run) {
		issued_finish(issued);
		return;
	}
	run->appending = NULL;
	if (code != 0 && !handler_conflict) {
		append_failed(run, issued, code, why);
		return;
	}
	if (code == 0 && run_continues(issued)) {
		run_drop_cell(run); /* its script ends here */
		append_done(run, issued);
		run_continue_done(run);
		return;
	}
	if (code == 0) {
		run->suspended = suspended;
		append_done(run, issued);
	} else {
		run->unflushed_submitted = run->logs_submitted = 0;
		append_conflict(run, issued);
	}
	if (run->over)
		run_end_commit(run);
	else
		run_pump(run);
}

static void add_suspend(const struct run *run, struct store_tx *tx, int64_t now_us)
{
	int64_t wake = run_wake_at(run);
	store_tx_add(tx, STATEMENT_run_suspend, STORE_MUST, wake ? "tiiii" : "tiiin", run->id, run->fence, (int64_t)run->journal_length, now_us,
	             wake);
}

static void append(struct run *run, struct issued *issued)
{
	struct store_tx *tx = issued->effect.tx;
	int64_t now = clock_now_us(run->engine->options.clock);
	issued->effect.tx = NULL;
	if (!tx)
		tx = store_tx_new(run->engine->options.store, str_of(run->tenant->name));
	if ((issued->ready == READY_APPLY || issued->ready == READY_RESUME) && issued->wait)
		store_tx_add(tx, STATEMENT_wait_delete, STORE_MUST, "ti", run->id, (int64_t)issued->effect.number);
	run->handler_ops = store_tx_count(tx);
	if (issued->ready == READY_WAIT) {
		const struct wait *wait = issued->wait;
		issued->suspends = run->cell && run_only_waits(run, issued) && cell_is_blocked(run->cell);
		if (issued->suspends)
			add_suspend(run, tx, now);
		else /* another task may go on: a take-over must wake it */
			store_tx_add(tx, STATEMENT_run_append, STORE_MUST, "tiii", run->id, run->fence, (int64_t)run->journal_length, now);
		if (wait->wake_at_us)
			store_tx_add(tx, STATEMENT_wait_insert, STORE_MUST, "tittiij", run->id, (int64_t)wait->effect, wait->kind, wait->name,
			             wait->wake_at_us, now, wait->detail);
		else
			store_tx_add(tx, STATEMENT_wait_insert, STORE_MUST, "tittnij", run->id, (int64_t)wait->effect, wait->kind, wait->name, now,
			             wait->detail);
	} else if (issued->ready == READY_INTENT || issued->ready == READY_RESUME) {
		store_tx_add(tx, STATEMENT_run_append, STORE_MUST, "tiii", run->id, run->fence, (int64_t)run->journal_length, now);
		if (issued->ready == READY_INTENT)
			intent_add_put(issued, tx);
	} else {
		store_tx_add(tx, STATEMENT_run_append, STORE_MUST, "tiii", run->id, run->fence, (int64_t)run->journal_length + 1, now);
		outcome_add(tx, &(struct outcome_row){ .run = run->id, .index = (int64_t)run->journal_length, .effect = issued->effect.number,
		                                       .name = issued->name, .digest = issued->digest, .outcome = buf_str(&issued->outcome),
		                                       .at_us = now });
	}
	run_add_unflushed(run, tx);
	if (run_continues(issued))
		run_continue_add(run, tx);
	issued->state = ISSUED_APPENDING;
	run->appending = issued;
	store_submit_write(tx, append_on_done, issued);
}

void run_pump(struct run *run)
{
	struct engine *engine = run->engine;
	struct issued *issued;
	while (!run->appending && !run->flush && !run->activating && !run->over && (issued = TAILQ_FIRST(&run->ready))) {
		TAILQ_REMOVE(&run->ready, issued, ready_link);
		if (issued->ready == READY_REPLY) {
			row_keep(run, issued);
			deliver(run, issued);
			if (run->unflushed_count >= OWED_ROWS_MAX || run->unflushed_bytes > OWED_BYTES_MAX)
				run_flush(run, false);
		} else {
			append(run, issued);
		}
	}
	if (run->journal_bytes > JOURNAL_MAX && !run->over)
		run_fail(run, "budget.journal", "the journal of this run is over 48 MiB: read less, or hand parts to runs of their own", NULL);
	if (!run->cell && !run->over && !run->appending && !run->flush && !run->activating && run->state == RUN_RUNNING &&
	    run->list == LIST_NONE) {
		run_move(run, LIST_QUEUE); /* a wait ended while there was no cell, or the cell was lost */
		engine_schedule(engine); /* may free a dry run */
	} else {
		run_settle(run);
	}
	engine_maybe_jump(engine);
	engine_maybe_drained(engine);
}

/* ---- a commit without an effect ---- */

struct flush {
	struct engine *engine;
	char id[UUID_TEXT_SIZE];
	bool suspends;
};

static void flush_on_done(struct store_tx *tx, int code, void *arg)
{
	struct flush *flush = arg;
	struct run *run;
	char why[256];
	HASH_FIND_STR(flush->engine->runs, flush->id, run);
	snprintf(why, sizeof why, "%s", code ? store_tx_error(tx) : "");
	store_tx_free(tx);
	bool suspends = flush->suspends, ours = run && run->flush == flush;
	free(flush);
	if (!ours)
		return;
	run->flush = NULL;
	if (code == ERR_CONFLICT) {
		run_lost(run);
	} else if (code) {
		run_park(run, why);
	} else {
		run->suspended = suspends;
		run_flushed(run);
		if (run->over)
			run_end_commit(run);
		else
			run_pump(run);
	}
}

void run_flush(struct run *run, bool suspend)
{
	struct engine *engine = run->engine;
	BUG_ON(run->flush || run->appending);
	struct flush *flush = run->flush = mem_alloc(sizeof *flush);
	flush->engine = engine;
	flush->suspends = suspend;
	memcpy(flush->id, run->id, sizeof flush->id);
	int64_t now = clock_now_us(engine->options.clock);
	struct store_tx *tx = store_tx_new(engine->options.store, str_of(run->tenant->name));
	if (suspend)
		add_suspend(run, tx, now);
	else
		store_tx_add(tx, STATEMENT_run_append, STORE_MUST, "tiii", run->id, run->fence, (int64_t)run->journal_length, now);
	run_add_unflushed(run, tx);
	store_submit_write(tx, flush_on_done, flush);
}

void run_lost(struct run *run)
{
	log_event(LOG_INFO, "run.lost", "run", run->id, NULL);
	run_keep_parked(run->engine, run->tenant, run->id, ADOPT_TAKEN); /* should it be ours all the same, the next sweep finds it */
	run_free(run);
}

void run_park(struct run *run, const char *why)
{
	log_event(LOG_ERROR, "run.parked", "run", run->id, "error", why, NULL);
	/* Forget what was not committed; the next sweep takes the run up again from its rows. What was thought not to be committed may be: a child. */
	run_keep_parked(run->engine, run->tenant, run->id, ADOPT_TAKEN);
	run->engine->adopt_own = true;
	run_free(run);
}
