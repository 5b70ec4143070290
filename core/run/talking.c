/* What the outside says to runs: signals, decisions, events. */
#include "run/hints.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct telling {
	struct engine *engine;
	char *tenant, *target, *name, *id, *by;
	json_t *body;
	engine_done_fn done;
	void *arg;
	struct loop_item later;
};

static struct telling *telling_new(struct engine *engine, struct str tenant, struct str target, engine_done_fn done, void *arg)
{
	struct telling *telling = mem_alloc(sizeof *telling);
	telling->engine = engine;
	telling->tenant = mem_copy(tenant);
	telling->target = mem_copy(target);
	telling->done = done;
	telling->arg = arg;
	return telling;
}

static void telling_finish(struct telling *telling, int code, json_t *result /* taken */, const char *text)
{
	telling->done(telling->arg, code, result, text);
	json_decref(result);
	json_decref(telling->body);
	free(telling->tenant);
	free(telling->target);
	free(telling->name);
	free(telling->id);
	free(telling->by);
	free(telling);
}

/* Is this what the store holds as canonical JSON? */
static bool json_is_stored(const json_t *value, const struct store_result *r, size_t column)
{
	char *text = value ? json_to_text(value) : NULL;
	bool same = text ? str_is(store_text(r, 0, column), text) : store_is_null(r, 0, column);
	free(text);
	return same;
}

/* ---- signals ---- */

/* The id was there before: with the same words? */
static bool signal_is_known(const struct telling *telling, const struct store_result *r)
{
	return r->rows && str_is(store_text(r, 0, 0), telling->target) && str_is(store_text(r, 0, 1), telling->name) &&
	       json_is_stored(telling->body, r, 2);
}

/* Of a run in memory exactly the waits for this signal look; any other is woken, wherever it is. */
static void signal_told(struct engine *engine, const char *tenant, const char *run, const char *name, const struct store_result *owner)
{
	if (engine_find_run(engine, str_of(tenant), str_of(run)))
		waits_check(engine, "signal", name);
	else if (owner->rows)
		hint(engine, store_text(owner, 0, 0), tenant, "wake", run);
}

static void signal_on_written(struct store_tx *tx, int code, void *arg)
{
	struct telling *telling = arg;
	char name[300];
	if (code == 0 && store_tx_result(tx, 0)->changed == 0 && !signal_is_known(telling, store_tx_result(tx, 1))) {
		telling_finish(telling, ERR_IDEMPOTENCY, NULL, "a signal with this id was there before, and it was another one");
		store_tx_free(tx);
		return;
	}
	json_t *result = json_object();
	json_put_text(result, "id", telling->id);
	json_put_text(result, "run", telling->target);
	json_put_text(result, "signal", telling->name);
	if (code == 0)
		json_put(result, "repeated", json_boolean(store_tx_result(tx, 0)->changed == 0));
	snprintf(name, sizeof name, "%s/%s", telling->target, telling->name);
	if (code == 0)
		signal_told(telling->engine, telling->tenant, telling->target, name, store_tx_result(tx, 2));
	telling_finish(telling, code, result, code ? store_tx_error(tx) : NULL);
	store_tx_free(tx);
}

static void signal_on_looked(struct store_tx *tx, int code, void *arg)
{
	struct telling *telling = arg;
	const struct store_result *r = store_tx_result(tx, 0);
	if (code) {
		telling_finish(telling, code, NULL, store_tx_error(tx));
	} else if (r->rows == 0) {
		telling_finish(telling, ERR_NOT_FOUND, NULL, "no such run");
	} else if (run_state_is_final(store_text(r, 0, 4))) {
		telling_finish(telling, ERR_CONFLICT, NULL, "the run has ended: it hears no signal any more");
	} else {
		struct store_tx *write = store_tx_new(telling->engine->options.store, str_of(telling->tenant));
		store_tx_add(write, STATEMENT_signal_insert, STORE_ANY, "tttji", telling->id, telling->target, telling->name, telling->body,
		             clock_now_us(telling->engine->options.clock));
		store_tx_add(write, STATEMENT_signal_known, STORE_ANY, "t", telling->id);
		store_tx_add(write, STATEMENT_run_owner, STORE_ANY, "t", telling->target);
		store_submit_write(write, signal_on_written, telling);
	}
	store_tx_free(tx);
}

void engine_signal_run(struct engine *engine, struct str tenant, struct str run, struct str name, const json_t *payload, struct str id,
                       engine_done_fn done, void *arg)
{
	struct telling *telling = telling_new(engine, tenant, run, done, arg);
	char made[UUID_TEXT_SIZE];
	uuid_format(uuid_new(engine->options.clock, engine->options.rng), made);
	telling->name = mem_copy(name);
	telling->id = id.n ? mem_copy(id) : mem_copy(str_of(made));
	telling->body = payload ? json_deep_copy(payload) : json_null();
	struct store_tx *tx = store_tx_new(engine->options.store, tenant);
	store_tx_add(tx, STATEMENT_run_load, STORE_ANY, "s", run);
	store_submit_read(tx, signal_on_looked, telling);
}

/* ---- decisions ---- */

/* It is open, and yet nothing was changed: whoever asked may not decide, or it is another key's. Columns 7, 8: asked_by, self_approval. */
static const char *decision_refusal(const struct telling *telling, const struct store_result *r)
{
	if (telling->by && str_is(store_text(r, 0, 7), telling->by) && store_int(r, 0, 8) == 0)
		return "whoever started a run does not decide what it asks: let another key decide, or let the script ask with self_approval = true";
	return "another key owns this question: let that one decide, or one with the scope admin";
}

static void decision_on_looked(struct store_tx *tx, int code, void *arg)
{
	struct telling *telling = arg;
	const struct store_result *r = store_tx_result(tx, 0);
	json_t *result = NULL;
	if (code == 0 && r->rows) {
		result = json_object();
		json_put_str(result, "status", store_text(r, 0, 2));
	}
	if (code == 0 && r->rows && str_is(store_text(r, 0, 2), "pending"))
		telling_finish(telling, ERR_FORBIDDEN, result, decision_refusal(telling, r));
	else
		telling_finish(telling, code ? code : r->rows ? ERR_CONFLICT : ERR_NOT_FOUND, result,
		               code ? store_tx_error(tx) : r->rows ? "the question is closed already" : "no such approval");
	store_tx_free(tx);
}

static void decision_on_written(struct store_tx *tx, int code, void *arg)
{
	struct telling *telling = arg;
	if (code == ERR_CONFLICT) {
		struct store_tx *look = store_tx_new(telling->engine->options.store, str_of(telling->tenant));
		store_tx_add(look, STATEMENT_approval_state, STORE_ANY, "t", telling->target);
		store_submit_read(look, decision_on_looked, telling);
	} else {
		json_t *result = json_object();
		json_put_text(result, "id", telling->target);
		json_put_text(result, "status", telling->name);
		if (code == 0)
			hint_wake_all(telling->engine, telling->tenant, store_tx_result(tx, 1));
		telling_finish(telling, code, result, code ? store_tx_error(tx) : NULL);
	}
	store_tx_free(tx);
}

void engine_decide_approval(struct engine *engine, struct str tenant, struct str approval, const char *decision, struct str note, struct str by, bool admin,
                            engine_done_fn done, void *arg)
{
	struct telling *telling = telling_new(engine, tenant, approval, done, arg);
	telling->name = mem_copy(str_of(decision));
	char *note_text = note.p ? mem_copy(note) : NULL, *by_text = by.p ? mem_copy(by) : NULL;
	struct store_tx *tx = store_tx_new(engine->options.store, tenant);
	store_tx_add(tx, STATEMENT_approval_decide, STORE_MUST, "ttttii", telling->target, decision, note_text, by_text,
	             clock_now_us(engine->options.clock), (int64_t)admin);
	store_tx_add(tx, STATEMENT_approval_asker, STORE_ANY, "t", telling->target);
	free(note_text);
	telling->by = by_text;
	store_submit_write(tx, decision_on_written, telling);
}

struct told {
	struct engine *engine;
	char *tenant, *run;
};

static void outcome_on_owner(struct store_tx *tx, int code, void *arg)
{
	struct told *told = arg;
	if (code == 0 && store_tx_result(tx, 0)->rows) /* else the sweep finds it */
		hint(told->engine, store_text(store_tx_result(tx, 0), 0, 0), told->tenant, "wake", told->run);
	store_tx_free(tx);
	free(told->tenant);
	free(told->run);
	free(told);
}

void engine_outcome_decided(struct engine *engine, struct str tenant, struct str run, int64_t effect)
{
	char name[EFFECT_KEY_SIZE];
	snprintf(name, sizeof name, "%.*s/%lld", STR_ARG(run), (long long)effect);
	if (engine_find_run(engine, tenant, run)) {
		waits_check(engine, "outcome", name);
		return;
	}
	/* whose it is was not read: its owner is asked for, then told */
	struct store_tx *tx = store_tx_new(engine->options.store, tenant);
	struct told *told = mem_alloc(sizeof *told);
	told->engine = engine;
	told->tenant = mem_copy(tenant);
	told->run = mem_copy(run);
	store_tx_add(tx, STATEMENT_run_owner, STORE_ANY, "t", told->run);
	store_submit_read(tx, outcome_on_owner, told);
}

/* ---- events ---- */

static bool event_is_known(const struct telling *telling, const struct store_result *r)
{
	const json_t *event = telling->body;
	return r->rows && str_equal(store_text(r, 0, 0), json_member_str(event, "type")) &&
	       str_equal(store_text(r, 0, 1), json_member_str(event, "source")) &&
	       str_equal(store_text(r, 0, 2), json_member_str(event, "subject")) && json_is_stored(json_member(event, "data"), r, 3);
}

static void event_on_written(struct store_tx *tx, int code, void *arg)
{
	struct telling *telling = arg;
	bool repeated = code == 0 && store_tx_result(tx, 0)->changed == 0;
	if (repeated && !event_is_known(telling, store_tx_result(tx, 1))) {
		telling_finish(telling, ERR_IDEMPOTENCY, NULL, "an event with this id was there before, and it was another one: take a new id");
		store_tx_free(tx);
		return;
	}
	if (code == 0 && !repeated)
		event_emitted(telling->engine, engine_tenant(telling->engine, str_of(telling->tenant)), str_of(telling->id),
		              json_member_str(telling->body, "type"));
	json_t *result = json_object();
	json_put_text(result, "id", telling->id);
	json_put(result, "repeated", json_boolean(repeated));
	telling_finish(telling, code, result, code ? store_tx_error(tx) : NULL);
	store_tx_free(tx);
}

static void event_on_refused(void *arg)
{
	telling_finish(arg, ERR_INVALID, NULL, "an event needs a type and a source, both text");
}

void engine_emit_event(struct engine *engine, struct str tenant, const json_t *event, engine_done_fn done, void *arg)
{
	struct telling *telling = telling_new(engine, tenant, STR(""), done, arg);
	char made[UUID_TEXT_SIZE];
	uuid_format(uuid_new(engine->options.clock, engine->options.rng), made);
	struct str id = json_member_str(event, "id"), type = json_member_str(event, "type"), source = json_member_str(event, "source");
	telling->id = id.n ? mem_copy(id) : mem_copy(str_of(made));
	telling->body = json_deep_copy(event);
	if (!type.n || !source.n) {
		loop_defer(engine->options.loop, &telling->later, event_on_refused, telling);
		return;
	}
	const char *subject = json_string_value(json_member(event, "subject"));
	struct store_tx *tx = store_tx_new(engine->options.store, tenant);
	const char *key = json_string_value(json_member(event, "partitionkey"));
	store_tx_add(tx, STATEMENT_event_insert_keyed, STORE_ANY, "tsstjint", telling->id, type, source, subject, json_member(event, "data"),
	             clock_now_us(engine->options.clock), key ? key : subject);
	store_tx_add(tx, STATEMENT_event_known, STORE_ANY, "t", telling->id);
	store_submit_write(tx, event_on_written, telling);
}
