/* Effects about runs and waiting. */
#include "run/effects_run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "run/hints.h"

#define TIMEOUT_MS_MAX "4102444800000"          /* to the year 2100 */
#define SPAWN_INPUT_MAX (8u << 20)
#define NAME_SCHEMA "{\"type\":\"string\",\"minLength\":1,\"maxLength\":100}"
#define TEXT_SCHEMA "{\"type\":[\"string\",\"null\"],\"maxLength\":100000}"

const char effect_schema_time_sleep[] =
	"{\"type\":\"object\",\"properties\":{\"ms\":{\"type\":\"number\",\"minimum\":0,\"maximum\":" TIMEOUT_MS_MAX "},"
	"\"until\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":4102444800000000}},\"additionalProperties\":false}";
const char effect_schema_run_await[] =
	"{\"type\":\"object\",\"properties\":{\"signal\":" NAME_SCHEMA ",\"timeout_ms\":{\"type\":[\"number\",\"null\"],\"minimum\":0,\"maximum\":"
	TIMEOUT_MS_MAX "}},\"required\":[\"signal\"],\"additionalProperties\":false}";
const char effect_schema_run_signal[] =
	"{\"type\":\"object\",\"properties\":{\"run\":{\"type\":\"string\",\"format\":\"uuid\"},\"signal\":" NAME_SCHEMA ",\"payload\":{},"
	"\"id\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":200}},\"required\":[\"run\",\"signal\"],\"additionalProperties\":false}";
const char effect_schema_run_spawn[] =
	"{\"type\":\"object\",\"properties\":{\"agent\":" NAME_SCHEMA ",\"capability\":" NAME_SCHEMA ",\"input\":{},\"subject\":" TEXT_SCHEMA ","
	"\"deadline_ms\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":" TIMEOUT_MS_MAX "},\"budget\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":1000000000}},"
	"\"required\":[\"agent\",\"capability\",\"input\"],\"additionalProperties\":false}";
const char effect_schema_run_join[] =
	"{\"type\":\"object\",\"properties\":{\"run\":{\"type\":\"string\",\"format\":\"uuid\"}},\"required\":[\"run\"],\"additionalProperties\":false}";
const char effect_schema_approval_ask[] =
	"{\"type\":\"object\",\"properties\":{\"title\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":500},\"body\":{},\"subject\":"
	TEXT_SCHEMA ",\"owner\":" TEXT_SCHEMA ",\"self_approval\":{\"type\":[\"boolean\",\"null\"]},\"timeout_ms\":{\"type\":[\"number\",\"null\"],\"minimum\":0,\"maximum\":" TIMEOUT_MS_MAX "}},"
	"\"required\":[\"title\"],\"additionalProperties\":false}";

static int64_t after_ms(const struct effect *effect, const char *member)
{
	const json_t *ms = json_member(effect->args, member);
	return json_is_number(ms) ? effect->now_us + (int64_t)(json_number_value(ms) * 1000.0) : 0;
}

static void on_committed(struct effect *effect, void (*committed)(struct issued *issued))
{
	((struct issued *)effect)->committed = committed;
}

/* ---- time.sleep ---- */

void effect_begin_time_sleep(struct effect *effect)
{
	int64_t until = json_member_int(effect->args, "until", 0);
	bool given = json_member(effect->args, "until") || json_member(effect->args, "ms");
	if (!until)
		until = after_ms(effect, "ms");
	if (!given)
		effect_fail(effect, "effect.arguments", "time.sleep: give ms or until", NULL);
	else if (until <= effect->now_us)
		effect_reply(effect, json_object());
	else
		effect_wait(effect, "timer", "", until, NULL);
}

/* ---- run.await, run.signal ---- */

/* What waits for a signal is called: RUN/NAME. A name has 100 characters, up to 400 bytes. */
static void signal_name(struct buf *name, struct str run, struct str signal)
{
	buf_init(name, 1024);
	buf_addf(name, "%.*s/%.*s", STR_ARG(run), STR_ARG(signal));
}

void effect_begin_run_await(struct effect *effect)
{
	struct buf name;
	signal_name(&name, effect->run_id, json_member_str(effect->args, "signal"));
	int64_t until = after_ms(effect, "timeout_ms");
	effect_wait(effect, "signal", buf_text(&name), until, NULL);
	buf_free(&name);
}

static void signal_committed(struct issued *issued)
{
	struct str run = json_member_str(issued->effect.args, "run"), signal = json_member_str(issued->effect.args, "signal");
	struct buf name;
	const struct effect *effect = &issued->effect;
	signal_name(&name, run, signal);
	if (engine_find_run(effect->engine, effect->tenant, run)) {
		waits_check(effect->engine, "signal", buf_text(&name));
	} else {
		char *id = mem_copy(run), *tenant = mem_copy(effect->tenant);
		hint(effect->engine, str_of(effect->state), tenant, "wake", id);
		free(id);
		free(tenant);
	}
	buf_free(&name);
}

static void signal_on_read(struct store_tx *tx, int code, void *arg)
{
	struct effect *effect = arg;
	const struct store_result *r = store_tx_result(tx, 0);
	struct str run = json_member_str(effect->args, "run"), given = json_member_str(effect->args, "id");
	char id[UUID_TEXT_SIZE];
	effect_new_id(effect, id);
	if (code || r->rows == 0) {
		effect_fail(effect, code ? "store.failed" : "run.unknown", code ? store_tx_error(tx) : "run.signal: no such run", NULL);
	} else if (run_state_is_final(store_text(r, 0, 4))) {
		effect_fail(effect, "run.ended", "run.signal: the run has ended", NULL);
	} else if (!effect->run) {
		effect_fail(effect, "run.gone", "", NULL);
	} else {
		char *run_text = mem_copy(run), *name = mem_copy(json_member_str(effect->args, "signal"));
		char *id_text = given.n ? mem_copy(given) : mem_copy(str_of(id));
		store_tx_add(effect->tx, STATEMENT_signal_insert, STORE_ANY, "tttji", id_text, run_text, name, json_member(effect->args, "payload"),
		             effect->now_us);
		json_t *ok = json_object();
		json_put_text(ok, "id", id_text);
		free(run_text);
		free(name);
		free(id_text);
		effect->state = mem_copy(store_text(r, 0, 14)); /* its owner, for signal_committed */
		on_committed(effect, signal_committed);
		effect_apply(effect, ok);
	}
	store_tx_free(tx);
}

static void read_run(struct effect *effect, store_done_fn done)
{
	struct store_tx *tx = store_tx_new(effect->store, effect->tenant);
	store_tx_add(tx, STATEMENT_run_load, STORE_ANY, "s", json_member_str(effect->args, "run"));
	store_submit_read(tx, done, effect);
}

void effect_begin_run_signal(struct effect *effect)
{
	read_run(effect, signal_on_read);
}

/* ---- run.spawn, run.join ---- */

static struct run_birth child_birth(const struct effect *effect, const char *id)
{
	return (struct run_birth){
		.tenant = effect->run->tenant, .id = id, .agent = json_string_value(json_member(effect->args, "agent")),
		.capability = json_string_value(json_member(effect->args, "capability")), .parent = effect->run->id,
		.subject = json_member_str(effect->args, "subject"), .input = json_member(effect->args, "input"),
		.parent_effect = effect->number, .depth = effect->run->depth + 1, .now_us = effect->now_us / 1000 * 1000,
		.bundle = effect->run->bundle,
	};
}

static void spawn_committed(struct issued *issued)
{
	const struct child_state *child = issued->effect.state;
	struct run_birth birth = child_birth(&issued->effect, child->id);
	birth.limits = &child->limits;
	run_admit(issued->effect.engine, &birth);
	limits_given(issued);
	engine_schedule(issued->effect.engine);
}

/* The run may have this child. */
static void spawn_go(struct effect *effect)
{
	const struct child_state *child = effect->state;
	struct run_birth birth = child_birth(effect, child->id);
	birth.limits = &child->limits;
	run_birth_add(effect->engine, effect->tx, &birth, STORE_MUST);
	limits_give_add(effect);
	json_t *ok = json_object();
	json_put_text(ok, "run", child->id);
	on_committed(effect, spawn_committed);
	effect_apply(effect, ok);
}

/* As long as a request may be: with what START says besides, it still fits into a frame of the child's cell. */
static bool input_is_too_large(const json_t *input)
{
	struct buf text;
	buf_init(&text, SPAWN_INPUT_MAX);
	json_write(&text, input);
	bool full = text.full;
	buf_free(&text);
	return full;
}

void effect_begin_run_spawn(struct effect *effect)
{
	if (input_is_too_large(json_member(effect->args, "input"))) {
		effect_fail(effect, "run.too_large", "run.spawn: input: at most 8 MiB of JSON; put the rest into records and name them", NULL);
		return;
	}
	struct errbuf e;
	json_t *errors = json_array();
	struct child_state *child = effect->state = mem_alloc(sizeof *child);
	effect_new_id(effect, child->id);
	child->budget = -1;
	struct run_birth birth = child_birth(effect, child->id);
	json_t *input = json_incref((json_t *)(uintptr_t)birth.input);
	int code = capability_check(effect->manifest, birth.agent, birth.capability, &input, errors, &e);
	if (tenant_is_full(effect->engine, birth.tenant)) {
		effect_fail(effect, err_name(ERR_LIMIT), "run.spawn: the tenant has as many unfinished runs as it may have", NULL);
	} else if (birth.depth > DEPTH_MAX) {
		effect_fail(effect, "run.too_deep", "run.spawn: more than 8 runs would stand below one another", NULL);
	} else if (code) {
		json_t *more = json_object();
		json_put(more, "errors", json_incref(errors));
		effect_fail(effect, err_name(code), e.text, more);
	} else {
		json_object_set(effect->args, "input", input); /* as it was checked */
		limits_child(effect, spawn_go);
	}
	json_decref(input);
	json_decref(errors);
}

bool effect_is_above(const struct effect *effect, struct str id)
{
	const struct run *run = effect->run;
	while (run && !str_is(id, run->id))
		run = run->parent ? engine_find_run(effect->engine, effect->tenant, str_of(run->parent)) : NULL;
	return run != NULL;
}

/* A run may go on as another: the chain has the name of its first. */
static void join_wait(struct effect *effect, const struct store_result *r)
{
	char *chain = mem_copy(store_text(r, 0, store_is_null(r, 0, 21) ? 0 : 21));
	effect_wait(effect, "child", chain, 0, NULL);
	free(chain);
}

static void join_on_read(struct store_tx *tx, int code, void *arg)
{
	struct effect *effect = arg;
	bool known = code == 0 && store_tx_result(tx, 0)->rows > 0;
	if (!known)
		effect_fail(effect, code ? "store.failed" : "run.unknown", code ? store_tx_error(tx) : "run.join: no such run", NULL);
	else if (effect_is_above(effect, json_member_str(effect->args, "run")))
		effect_fail(effect, "run.cycle", "run.join: a run cannot wait for itself or for a run above it", NULL);
	else /* whether it has ended already is looked up when the wait is registered */
		join_wait(effect, store_tx_result(tx, 0));
	store_tx_free(tx);
}

void effect_begin_run_join(struct effect *effect)
{
	read_run(effect, join_on_read);
}

/* ---- approval.ask ---- */

void effect_begin_approval_ask(struct effect *effect)
{
	char id[UUID_TEXT_SIZE];
	effect_new_id(effect, id);
	const char *run = effect->run_id.p;
	const char *title = json_string_value(json_member(effect->args, "title"));
	const json_t *body = json_member(effect->args, "body");
	const char *subject = json_string_value(json_member(effect->args, "subject"));
	const char *owner = json_string_value(json_member(effect->args, "owner"));
	int64_t until = after_ms(effect, "timeout_ms");
	int64_t own = json_member_bool(effect->args, "self_approval", false);
	if (until)
		store_tx_add(effect->tx, STATEMENT_approval_ask, STORE_MUST, "ttitjttiii", id, run, (int64_t)effect->number, title, body, subject, owner,
		             effect->now_us, until, own);
	else
		store_tx_add(effect->tx, STATEMENT_approval_ask, STORE_MUST, "ttitjttini", id, run, (int64_t)effect->number, title, body, subject, owner,
		             effect->now_us, own);
	effect_wait(effect, "approval", id, until, NULL);
}
