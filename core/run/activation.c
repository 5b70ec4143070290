/*
 * A run in its cell. Happy path: its bundle's stem is there; what is journalled is read; a cell is forked; START and all outcomes leave in one
 * write; effects come back, the first ones compared with the journal, the later ones begun; DONE; the process is gone; the run ends.
 * Failure modes: an effect that differs from the journal parks the run as stuck with both sides shown; a cell that dies, hangs or breaks
 * the protocol is a strike or the end of the run, and names the last effect.
 */
#include "run/run_internal.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "run/registry.h"

#define CELL_EXIT_CPU 72        /* core/cell/exits.h: C code used the slice's processor time up */
#define LOGS_OWED_MAX 1000      /* log rows kept for the next commit */

/* ---- leaving a cell ---- */

static void forget_issued(struct run *run)
{
	struct issued *issued;
	while ((issued = TAILQ_FIRST(&run->issued))) {
		TAILQ_REMOVE(&run->issued, issued, link);
		if (flight_keeps(issued)) {
			flight_add(run, issued);
			continue;
		}
		if (issued->state == ISSUED_APPENDING) {
			issued->orphan = true; /* its commit is on the way and counts; nobody listens */
			continue;
		}
		if (issued->wait && issued->wait->resolving) {
			issued->orphan = true; /* the wait is over: its outcome goes into the journal all the same */
			continue;
		}
		if (issued->wait) {
			issued->wait->issued = NULL;
			if (!issued->wait->registered)
				wait_free(issued->wait);
			issued->wait = NULL;
		}
		if (issued->state == ISSUED_READY)
			TAILQ_REMOVE(&run->ready, issued, ready_link);
		issued_abort(issued);
	}
}

void run_drop_cell(struct run *run)
{
	if (run->cell) {
		cell_abandon(run->cell);
		run->cell = NULL;
		run->engine->active--;
		metric_set(run->engine->runs_active, (double)run->engine->active, NULL);
		run_count(run);
	}
	forget_issued(run);
	for (size_t i = 0; i < run->recorded_count; i++)
		free(run->recorded[i].name);
	free(run->recorded);
	run->recorded = NULL;
	run->recorded_count = run->recorded_seen = 0;
}

/* Outcomes that were delivered but never reached the disk die with their cell. */
static void forget_unflushed(struct run *run)
{
	for (size_t i = 0; i < run->unflushed_count; i++) {
		free(run->unflushed[i].name);
		free(run->unflushed[i].outcome);
	}
	run->journal_length -= run->unflushed_count;
	run->unflushed_count = run->unflushed_bytes = 0;
}

/* ---- frames from the cell ---- */

static int compare_recorded(const void *a, const void *b)
{
	uint32_t x = ((const struct recorded *)a)->effect, y = ((const struct recorded *)b)->effect;
	return (x > y) - (x < y);
}

static void diverge(struct run *run, const struct recorded *recorded, uint32_t number, const char *name, const char *digest, const json_t *args)
{
	json_t *more = json_object(), *expected = json_object(), *actual = json_object();
	json_put_int(expected, "effect", recorded->effect);
	json_put_text(expected, "name", recorded->name);
	json_put_text(expected, "digest", recorded->digest);
	json_put_int(actual, "effect", number);
	json_put_text(actual, "name", name);
	json_put_text(actual, "digest", digest);
	if (args)
		json_put(actual, "args", json_deep_copy(args));
	json_put(more, "expected", expected);
	json_put(more, "actual", actual);
	run_fail(run, "replay_diverged", "the script did not issue the effect that its journal holds: see expected and actual", more);
}

/* Is this effect of the journal? Returns false when it is not (begin it), true when it was handled here: a dry run may be gone then. */
static bool replayed(struct run *run, uint32_t number, const char *name, const char *digest, const json_t *args)
{
	struct recorded key = { .effect = number };
	struct recorded *found = run->recorded_count
		? bsearch(&key, run->recorded, run->recorded_count, sizeof key, compare_recorded) : NULL;
	if (!found)
		return false;
	if (strcmp(found->name, name) != 0 || strcmp(found->digest, digest) != 0) {
		diverge(run, found, number, name, digest, args);
		return true;
	}
	found->seen = true;
	run->recorded_seen++;
	if (run->dry && !run->over && strcmp(name, "run.continue_as_new") == 0)
		replay_continued(run);
	return true;
}

static void tell_effect(struct run *run, uint32_t number, const char *name, json_t *args)
{
	if (TAILQ_EMPTY(&run->watchers))
		return;
	json_t *data = json_object();
	json_put_int(data, "effect", number);
	json_put_text(data, "name", name);
	json_put(data, "args", json_incref(args));
	run_tell(run, "effect", "", data);
}

static void begin_effect(struct run *run, uint32_t number, const char *name, const char *digest, json_t *args)
{
	struct wait *wait = wait_find(run, number);
	if (wait && strcmp(wait->digest, digest) != 0) {
		struct recorded recorded = { .effect = number, .name = wait->effect_name };
		memcpy(recorded.digest, wait->digest, sizeof recorded.digest);
		diverge(run, &recorded, number, name, digest, args);
		return;
	}
	struct issued *flight = wait ? NULL : flight_find(run, number);
	const struct open_intent *intent = intent_find(run, number);
	const char *known_name = flight ? flight->name : intent ? intent->name : NULL, *known = flight ? flight->digest : intent ? intent->digest : NULL;
	if (!wait && known && (strcmp(known, digest) != 0 || strcmp(known_name, name) != 0)) {
		struct recorded recorded = { .effect = number, .name = (char *)(uintptr_t)known_name };
		memcpy(recorded.digest, known, sizeof recorded.digest);
		diverge(run, &recorded, number, name, digest, args);
		return;
	}
	tell_effect(run, number, name, args);
	if (flight) { /* it left before this cell began: go on waiting for it */
		flight_leave(flight);
		flight->orphan = false;
		TAILQ_INSERT_TAIL(&run->issued, flight, link);
		return;
	}
	if (wait && wait->issued) {
		return; /* it ended meanwhile: its outcome is on the way to the journal, and then here */
	}
	if (!wait && !limits_allow(run, number))
		return;
	struct issued *issued = issued_new(run, number, name, digest);
	issued->effect.args = json_incref(args);
	TAILQ_INSERT_TAIL(&run->issued, issued, link);
	if (wait) {
		wait_attach(wait, issued);
		issued->state = ISSUED_WAITING;
		run_settle(run);
		return;
	}
	struct errbuf e;
	json_t *errors = json_array();
	if (!issued->effect.row) {
		issued_set_error(issued, "effect.unknown", "no such effect", NULL);
		issued_ready(issued, READY_REPLY);
	} else if (registry_check_arguments(issued->effect.row, &issued->effect.args, errors, &e) != 0) {
		json_t *more = json_object();
		json_put(more, "errors", json_incref(errors));
		issued_set_error(issued, "effect.arguments", e.text, more);
		issued_ready(issued, READY_REPLY);
	} else {
		issued_begin(issued);
	}
	json_decref(errors);
}

static void digest_of(struct str payload, char out[DIGEST_TEXT_SIZE])
{
	uint8_t digest[SHA256_SIZE];
	sha256(payload.p, payload.n, digest);
	hex_encode(digest, 16, out);
}

static void on_effect(struct run *run, const struct frame *frame)
{
	json_t *payload = json_read(frame->payload, FRAME_PAYLOAD_MAX, NULL, NULL);
	const json_t *args = json_member(payload, "args");
	const char *name = json_string_value(json_member(payload, "name"));
	unsigned outstanding = run->effects_issued - (run->outcomes_sent < run->effects_issued ? run->outcomes_sent : run->effects_issued);
	if (!name || !json_is_object(args) || frame->sequence != run->effects_issued + 1 || outstanding >= EFFECTS_OUTSTANDING_MAX) {
		json_decref(payload);
		run_fail(run, outstanding >= EFFECTS_OUTSTANDING_MAX ? "budget.effects" : "cell.protocol",
		         "the cell issued an effect that cannot be", NULL);
		return;
	}
	char digest[DIGEST_TEXT_SIZE];
	digest_of(frame->payload, digest);
	run->effects_issued++;
	free(run->last_effect);
	run->last_effect = mem_copy(str_of(name));
	cell_set_pending(run->cell, run->effects_issued > run->outcomes_sent ? run->effects_issued - run->outcomes_sent : 0);
	if (run->list == LIST_RESIDENT)
		run_move(run, LIST_NONE);
	run_set_state(run, RUN_RUNNING);
	if (!replayed(run, frame->sequence, name, digest, args)) {
		struct recorded other = { 0 };
		if (!run->dry)
			begin_effect(run, frame->sequence, name, digest, (json_t *)(uintptr_t)args);
		else if (!replay_pending(run, frame->sequence, name, digest, &other))
			diverge(run, &other, frame->sequence, name, digest, args);
	}
	json_decref(payload);
}

static void on_log(struct run *run, const struct frame *frame)
{
	json_t *payload = json_read(frame->payload, FRAME_PAYLOAD_MAX, NULL, NULL);
	bool old = run->recorded_seen < run->recorded_count || (int64_t)frame->sequence <= run->logs_told;
	if (!payload || old || run->dry) {
		json_decref(payload);
		return;
	}
	run->logs_told = frame->sequence;
	struct str level = json_member_str(payload, "level"), message = json_member_str(payload, "message");
	if (run->logs_count < LOGS_OWED_MAX) {
		run->logs = mem_grow(run->logs, run->logs_count + 1, sizeof *run->logs);
		run->logs[run->logs_count++] = (struct log_row){
			.n = frame->sequence, .at_us = clock_now_us(run->engine->options.clock), .index = run->journal_length,
			.level = mem_copy(level), .message = mem_copy(message), .fields = json_to_text(json_member(payload, "fields")),
		};
	}
	char id[48];
	snprintf(id, sizeof id, "%zu.%u", run->journal_length, frame->sequence);
	run_tell(run, "log", id, payload);
}

static void on_end_frame(struct run *run, const struct frame *frame)
{
	run->said_done = true;
	json_t *payload = json_read(frame->payload, FRAME_PAYLOAD_MAX, NULL, NULL);
	if (frame->type == FRAME_DONE && json_member(payload, "output"))
		run->output = json_incref((json_t *)(uintptr_t)json_member(payload, "output"));
	else if (frame->type == FRAME_FAIL && json_is_object(payload))
		run->error = json_incref(payload);
	else
		run->error = error_new("cell.protocol", "the cell ended with a frame that says nothing");
	json_decref(payload);
	cell_expect_end(run->cell);
}

static void on_frame(void *arg, const struct frame *frame)
{
	struct run *run = arg;
	if (run->said_done || run->over)
		return;
	switch (frame->type) {
	case FRAME_EFFECT: on_effect(run, frame); break;
	case FRAME_LOG: on_log(run, frame); break;
	case FRAME_DONE:
	case FRAME_FAIL: on_end_frame(run, frame); break;
	default: run_fail(run, "cell.protocol", "the cell sent a frame that no cell sends", NULL);
	}
}

/* ---- the cell is gone ---- */

/* What the script returned, against its declared output. Takes output. */
static void finish_done(struct run *run, json_t *output)
{
	const json_t *capability = run->spec ? NULL : manifest_capability(run->bundle->manifest, run->agent, run->capability);
	json_t *errors = json_array();
	if (capability && json_schema_check(json_member(capability, "output"), &output, true, errors) != 0) {
		json_t *more = json_object();
		json_put(more, "errors", errors);
		json_decref(output);
		run_fail(run, "output.schema", "the script returned something that is off the capability's declared output", more);
		return;
	}
	if (!handoff_reply_fits(run, &output, errors)) {
		json_t *more = json_object();
		json_put(more, "errors", errors);
		json_decref(output);
		run_fail(run, "handoff.reply", "the script returned something that is off the hand-off's declared reply", more);
		return;
	}
	json_decref(errors);
	run_end(run, RUN_SUCCEEDED, output, NULL);
}

static void finish_said(struct run *run)
{
	json_t *output = run->output, *error = run->error;
	run->output = run->error = NULL;
	if (run->recorded_seen < run->recorded_count) {
		size_t i = 0;
		while (run->recorded[i].seen)
			i++;
		diverge(run, &run->recorded[i], run->effects_issued + 1, output ? "(the script returned)" : "(the script failed)", "", error);
		json_decref(output);
		json_decref(error);
	} else if (output) {
		finish_done(run, output);
	} else {
		bool diverged = str_is(json_member_str(error, "code"), "replay_diverged");
		run_end(run, diverged ? RUN_STUCK : RUN_FAILED, NULL, error);
	}
}

static void strike_on_written(struct store_tx *tx, int code, void *arg)
{
	(void)arg;
	if (code) /* only the count is lost: the run itself goes on */
		log_event(LOG_WARN, "run.strike", "error", store_tx_error(tx), NULL);
	store_tx_free(tx);
}

/* Two strikes without progress fail the run; after one it starts again from its journal. What got on since the last one is not to blame: a machine short of
 * memory kills whom it finds. */
static void run_strike(struct run *run, const char *code, const char *message)
{
	struct engine *engine = run->engine;
	struct buf text;
	buf_init(&text, 1024);
	buf_addf(&text, "%s; its last effect was %s", message, run->last_effect ? run->last_effect : "none");
	log_event(LOG_WARN, "run.strike", "run", run->id, "code", code, "message", buf_text(&text), NULL);
	size_t on_disk = run->journal_length - run->unflushed_count;
	if (on_disk > run->struck_at)
		run->strikes = 0;
	run->struck_at = on_disk;
	if (++run->strikes >= STRIKES_MAX || run->dry) {
		run_fail(run, code, buf_text(&text), NULL);
	} else {
		struct store_tx *tx = store_tx_new(engine->options.store, str_of(run->tenant->name));
		store_tx_add(tx, STATEMENT_run_strike, STORE_ANY, "tiii", run->id, run->fence, (int64_t)run->strikes, run->cpu_us);
		store_submit_write(tx, strike_on_written, NULL);
		run_set_state(run, RUN_RUNNING);
		run_pump(run);
	}
	buf_free(&text);
}

static void on_ended(void *arg, const struct cell_end *end)
{
	struct run *run = arg;
	struct engine *engine = run->engine;
	char message[160];
	run->cell = NULL;
	run->cpu_us += end->cpu_us;
	engine->active--;
	metric_set(engine->runs_active, (double)engine->active, NULL);
	/* Blocked in its read when somebody killed it: no script is to blame for that. */
	bool rested = run->list == LIST_RESIDENT && end->signal == SIGKILL;
	if (run->list == LIST_RESIDENT)
		run_move(run, LIST_NONE);
	run_count(run);
	engine->breathless = end->reason == CELL_UNFORKED;
	if (run->said_done) {
		finish_said(run);
	} else {
		run_drop_cell(run); /* forgets what it had issued */
		if (end->reason == CELL_LOST || end->reason == CELL_UNFORKED || (rested && end->reason != CELL_WALL)) {
			run_set_state(run, RUN_RUNNING);
			run_pump(run);
		} else if (end->reason == CELL_PROTOCOL) {
			run_fail(run, "cell.protocol", "the cell broke the protocol", NULL);
		} else if (end->reason == CELL_WALL) {
			snprintf(message, sizeof message, "the script computed for more than %lld ms without an effect",
			         (long long)engine->options.cell_wall_ms);
			run_strike(run, "budget.wall", message);
		} else if (end->signal == SIGSYS) {
			log_event(LOG_ERROR, "cell.security", "run", run->id, "tenant", run->tenant->name, NULL);
			run_fail(run, "cell.security", "the cell made a system call that no cell makes", NULL);
		} else if (end->signal == SIGXCPU || end->status == CELL_EXIT_CPU) {
			run_strike(run, "budget.cpu", "the script used up its processor time");
		} else {
			snprintf(message, sizeof message, "the cell ended without an answer (%s %d)", end->signal ? "signal" : "status",
			         end->signal ? end->signal : end->status);
			run_strike(run, "cell.crashed", message);
		}
	}
	engine_schedule(engine);
}

static const struct cell_callbacks callbacks = { .frame = on_frame, .ended = on_ended };

/* ---- into a cell ---- */

static void send_start(struct run *run)
{
	json_t *start = run->spec_start ? json_copy(run->spec_start) : json_object();
	char seed[DIGEST_TEXT_SIZE];
	run_seed(str_of(run->id), seed);
	json_put_text(start, "run", run->id);
	json_put_int(start, "now", run->created_at_us);
	json_put_text(start, "seed", seed);
	json_put_int(start, "replay", (int64_t)run->recorded_count);
	if (run->spec) {
		json_put_text(start, "spec", run->spec);
	} else {
		json_put_text(start, "agent", run->agent);
		json_put_text(start, "capability", run->capability);
		json_put(start, "input", json_incref(run->input));
	}
	struct buf text, phases;
	buf_init(&text, FRAME_PAYLOAD_MAX);
	buf_init(&phases, 4096);
	run_add_phases(run, start, &phases);
	json_write(&text, start);
	buf_add_str(&text, buf_str(&phases));
	buf_free(&phases);
	cell_send(run->cell, FRAME_START, 0, buf_str(&text));
	buf_free(&text);
	json_decref(start);
}

static bool enter_cell(struct run *run)
{
	struct engine *engine = run->engine;
	run_is_up(run);
	run->cell = cell_open(run->bundle->stem, &callbacks, run);
	if (!run->cell) {
		log_event(LOG_WARN, "engine.breathless", "next", "no more cells until one ends, or in a few seconds", NULL);
		engine->breathless = true;
		return false;
	}
	engine->active++;
	metric_set(engine->runs_active, (double)engine->active, NULL);
	run_count(run);
	run->effects_issued = 0;
	run->outcomes_sent = 0;
	run->said_done = false;
	send_start(run);
	return true;
}

static void recorded_set(struct recorded *recorded, int64_t effect, struct str name, struct str digest)
{
	recorded->effect = (uint32_t)effect;
	recorded->name = mem_copy(name);
	memcpy(recorded->digest, digest.p, digest.n < DIGEST_TEXT_SIZE ? digest.n : DIGEST_TEXT_SIZE - 1);
}

static void recorded_begin(struct run *run, size_t count)
{
	run->recorded_count = run->journal_length = count;
	run->recorded_seen = run->journal_bytes = 0;
	run->recorded = count ? mem_array(count, sizeof *run->recorded) : NULL;
}

static void recorded_sort(struct run *run)
{
	if (run->recorded_count)
		qsort(run->recorded, run->recorded_count, sizeof *run->recorded, compare_recorded);
}

void recorded_add(struct run *run, uint32_t effect, const char *name, const char *digest)
{
	run->recorded = mem_grow(run->recorded, run->recorded_count + 1, sizeof *run->recorded);
	struct recorded *recorded = &run->recorded[run->recorded_count++];
	memset(recorded, 0, sizeof *recorded);
	recorded_set(recorded, effect, str_of(name), str_of(digest));
	recorded_sort(run);
}

/* rows: (idx, effect, name, digest, outcome). */
static void replay_rows(struct run *run, const struct store_result *rows)
{
	recorded_begin(run, rows->rows);
	for (size_t i = 0; i < rows->rows; i++) {
		run->journal_bytes += store_text(rows, i, 4).n + 64;
		recorded_set(&run->recorded[i], store_int(rows, i, 1), store_text(rows, i, 2), store_text(rows, i, 3));
	}
	recorded_sort(run);
}

/* A replay of a journal that somebody brought. */
static void activate_dry(struct run *run)
{
	json_t *outcomes, *row;
	size_t i;
	replay_outcomes(run, &outcomes);
	recorded_begin(run, json_array_size(outcomes));
	json_array_foreach(outcomes, i, row)
		recorded_set(&run->recorded[i], json_member_int(row, "effect", 0), json_member_str(row, "name"), json_member_str(row, "digest"));
	recorded_sort(run);
	if (!enter_cell(run)) {
		run_fail(run, "cell.crashed", "no cell could be started", NULL);
		return;
	}
	json_array_foreach(outcomes, i, row) {
		char *text = json_to_text(json_member(row, "outcome"));
		cell_send(run->cell, FRAME_OUTCOME, (uint32_t)json_member_int(row, "effect", 0), str_of(text));
		free(text);
	}
	run->outcomes_sent = (uint32_t)run->recorded_count;
	run_settle(run); /* it may never issue what is missing */
}

struct activation {
	struct engine *engine;
	char id[UUID_TEXT_SIZE];
};

static void activate_on_read(struct store_tx *tx, int code, void *arg)
{
	struct activation *activation = arg;
	struct run *run;
	HASH_FIND_STR(activation->engine->runs, activation->id, run);
	free(activation);
	if (!run) {
		store_tx_free(tx);
		return;
	}
	run->activating = false;
	run_count(run);
	const struct store_result *rows = store_tx_result(tx, 0), *row = store_tx_result(tx, 1);
	if (code || row->rows == 0) {
		char why[256];
		snprintf(why, sizeof why, "%s", code ? store_tx_error(tx) : "its row is gone");
		store_tx_free(tx);
		run_park(run, why);
		return;
	}
	if (!run->input)
		run->input = json_read(store_text(row, 0, 5), FRAME_PAYLOAD_MAX, NULL, NULL);
	size_t broken = rows->rows;
	for (size_t i = 0; i < rows->rows && broken == rows->rows; i++)
		if (store_is_null(rows, i, 4))
			broken = i;
	if (broken < rows->rows) {
		store_tx_free(tx);
		run_stick(run, "journal.broken", "the body of an outcome is not in the store: restore it from a backup, then retry the run");
		return;
	}
	replay_rows(run, rows);
	intents_load(run, store_tx_result(tx, 2));
	if (!stem_is_usable(run->bundle->stem) || !enter_cell(run)) {
		store_tx_free(tx);
		run_drop_cell(run);
		run_move(run, LIST_QUEUE);
		engine_schedule(run->engine);
		return;
	}
	if (rows->rows)
		metric_add(run->engine->replays_total, 1, NULL);
	for (size_t i = 0; i < rows->rows; i++)
		cell_send(run->cell, FRAME_OUTCOME, (uint32_t)store_int(rows, i, 1), store_text(rows, i, 4));
	run->outcomes_sent = (uint32_t)rows->rows;
	store_tx_free(tx);
	run_set_state(run, RUN_RUNNING);
	run_pump(run);
}

void run_activate(struct run *run)
{
	struct engine *engine = run->engine;
	run_move(run, LIST_NONE);
	if (run->appending || run->flush) { /* a journal is not read while it grows: the pump queues the run again */
		run_set_state(run, RUN_RUNNING);
		return;
	}
	if (!bundle_stem_ready(engine, run->bundle)) {
		run_move(run, LIST_STARVED);
		return;
	}
	forget_unflushed(run);
	if (run->dry) {
		activate_dry(run);
		return;
	}
	if (run->fresh) {
		if (!enter_cell(run)) {
			run_move(run, LIST_QUEUE);
			return;
		}
		run->fresh = false;
		run_set_state(run, RUN_RUNNING);
		return;
	}
	run->activating = true;
	run_count(run);
	struct activation *activation = mem_alloc(sizeof *activation);
	activation->engine = engine;
	memcpy(activation->id, run->id, sizeof activation->id);
	struct store_tx *tx = store_tx_new(engine->options.store, str_of(run->tenant->name));
	store_tx_add(tx, STATEMENT_journal_load, STORE_ANY, "t", run->id);
	store_tx_add(tx, STATEMENT_run_load, STORE_ANY, "t", run->id);
	store_tx_add(tx, STATEMENT_intents_of_run, STORE_ANY, "t", run->id);
	store_submit_read(tx, activate_on_read, activation);
}

void engine_schedule(struct engine *engine)
{
	struct run *run;
	if (!engine->held)
		return;
	while (!engine->draining && !engine->closing && !engine->breathless && engine->queue.computing < ACTIVE_MAX &&
	       (run = queue_first(&engine->queue))) {
		if (bundle_stem_ready(engine, run->bundle)) {
			queue_charge(&engine->queue, run->tenant);
			run_activate(run); /* may end it, and with a dry run's answer the engine's owner may ask for more */
		} else {
			run_move(run, LIST_STARVED);
		}
	}
	claim_more(engine);
}
