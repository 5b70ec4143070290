/* From a request, an event or a parent to a row, and from the row into memory. */
#include "run/deliveries.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"

#define IDEMPOTENCY_US (24LL * 3600 * 1000000)

/* "a, b, c": the names that exist, for the text of a 404. */
static void names_of(const json_t *object, struct buf *out)
{
	const char *name;
	json_t *value;
	bool first = true;
	json_object_foreach((json_t *)(uintptr_t)object, name, value) {
		buf_addf(out, "%s%s", first ? "" : ", ", name);
		first = false;
	}
	if (first)
		buf_add_text(out, "none");
}

static int unknown(struct errbuf *e, const char *what, const char *name, const json_t *known)
{
	struct buf names;
	buf_init(&names, 300);
	names_of(known, &names);
	int code = err_set(e, ERR_NOT_FOUND, "no %s \"%.80s\"; there are: %s", what, name, buf_text(&names));
	buf_free(&names);
	return code;
}

int capability_check(const json_t *manifest, const char *agent, const char *capability, json_t **input, json_t *errors, struct errbuf *e)
{
	const json_t *agents = json_member(manifest, "agents");
	const json_t *found = json_member(agents, agent);
	if (!found)
		return unknown(e, "agent", agent, agents);
	const json_t *capabilities = json_member(found, "capabilities");
	const json_t *row = json_member(capabilities, capability);
	if (!row)
		return unknown(e, "capability", capability, capabilities);
	int code = json_schema_check(json_member(row, "input"), input, false, errors);
	return code ? err_set(e, code, "the input of %s.%s does not match its schema", agent, capability) : 0;
}

bool tenant_is_full(const struct engine *engine, const struct tenant *tenant)
{
	int64_t most = tenant_runs_most(engine, tenant);
	return most && (int64_t)tenant_unfinished(tenant) >= most;
}

size_t tenant_unfinished(const struct tenant *tenant)
{
	return tenant->runs + tenant->starting + tenant->elsewhere;
}

void run_birth_add(struct engine *engine, struct store_tx *tx, const struct run_birth *birth, enum store_expect expect)
{
	json_t *spec = birth->spec_start ? json_copy((json_t *)(uintptr_t)birth->spec_start) : NULL;
	if (spec)
		json_put_text(spec, "spec", birth->spec);
	char *subject = birth->subject.p ? mem_copy(birth->subject) : NULL;
	const char *owner = birth->unowned ? NULL : engine->owner;
	const char *digest = birth->bundle->digest;
	if (birth->parent)
		store_tx_add(tx, STATEMENT_run_insert, expect, "tttttjttjitiitt", birth->id, birth->agent, birth->capability, digest, "queued",
		             birth->input, subject, birth->event, spec, birth->now_us, birth->parent, birth->parent_effect, birth->depth, owner,
		             birth->started_by);
	else
		store_tx_add(tx, STATEMENT_run_insert, expect, "tttttjttjinnitt", birth->id, birth->agent, birth->capability, digest, "queued",
		             birth->input, subject, birth->event, spec, birth->now_us, birth->depth, owner, birth->started_by);
	limits_birth_add(tx, birth);
	free(subject);
	json_decref(spec);
}

struct run *run_admit(struct engine *engine, const struct run_birth *birth)
{
	if (birth->limits && birth->limits->deadline_us)
		due_note(engine, birth->tenant, birth->limits->deadline_us);
	if (birth->unowned) {
		run_offer(engine, birth->tenant);
		return NULL;
	}
	struct run *run = engine_find_run(engine, str_of(birth->tenant->name), str_of(birth->id));
	if (run)
		return run;
	run = run_new(engine, birth->tenant, birth->id);
	run->bundle = birth->bundle;
	run->bundle->references++;
	run->agent = mem_copy(str_of(birth->agent));
	run->capability = mem_copy(str_of(birth->capability));
	run->parent = birth->parent ? mem_copy(str_of(birth->parent)) : NULL;
	run->spec = birth->spec ? mem_copy(str_of(birth->spec)) : NULL;
	run->spec_start = birth->spec_start ? json_incref((json_t *)(uintptr_t)birth->spec_start) : NULL;
	run->input = json_incref((json_t *)(uintptr_t)birth->input);
	run->parent_effect = birth->parent_effect;
	run->depth = birth->depth;
	run->created_at_us = birth->now_us;
	run->fresh = true;
	limits_take(run, birth->limits);
	run->of_event = birth->event != NULL;
	run_move(run, LIST_QUEUE);
	return run;
}

/* ---- a request ---- */

struct start {
	struct engine *engine;
	struct tenant *tenant;
	struct live_bundle *bundle;        /* held: of the time of the request */
	bool counted;                      /* in tenant->starting */
	bool unowned;
	char id[UUID_TEXT_SIZE];
	char *by, *agent, *capability, *subject, *event, *spec, *key;
	json_t *input, *spec_start, *errors;
	char digest[SHA256_HEX_SIZE];
	int64_t now_us;
	struct run_limits limits;
	int code;
	struct errbuf e;
	engine_started_fn done;
	void *arg;
	struct loop_item later;
};

static void start_finish(struct start *start, int code, const char *run, bool existed)
{
	if (start->counted)
		start->tenant->starting--;
	start->done(start->arg, code, run, existed, start->errors, start->e.text);
	if (start->bundle)
		bundle_release(start->engine, start->bundle);
	free(start->agent);
	free(start->capability);
	free(start->subject);
	free(start->event);
	free(start->by);
	free(start->spec);
	free(start->key);
	json_decref(start->input);
	json_decref(start->spec_start);
	json_decref(start->errors);
	free(start);
}

static void start_on_refused(void *arg)
{
	struct start *start = arg;
	start_finish(start, start->code, NULL, false);
}

static struct run_birth birth_of(const struct start *start)
{
	return (struct run_birth){
		.tenant = start->tenant, .id = start->id, .agent = start->agent, .capability = start->capability, .event = start->event,
		.spec = start->spec, .subject = str_of(start->subject), .input = start->input, .spec_start = start->spec_start,
		.started_by = start->by, .now_us = start->now_us, .bundle = start->bundle, .unowned = start->unowned, .limits = &start->limits,
	};
}

static void start_insert(struct start *start);
static void start_count(struct start *start);

static void start_on_known(struct store_tx *tx, int code, void *arg)
{
	struct start *start = arg;
	const struct store_result *r = store_tx_result(tx, 0);
	if (code) {
		code = err_set(&start->e, ERR_STORE, "%s", store_tx_error(tx));
		start_finish(start, code, NULL, false);
	} else if (r->rows == 0) {
		start_count(start);
	} else if (store_int(r, 0, 2) < start->now_us - IDEMPOTENCY_US) {
		code = err_set(&start->e, ERR_IDEMPOTENCY, "this Idempotency-Key was used more than 24 h ago: take a new one");
		start_finish(start, code, NULL, false);
	} else if (!str_is(store_text(r, 0, 0), start->digest)) {
		code = err_set(&start->e, ERR_IDEMPOTENCY, "this Idempotency-Key was used with another request");
		start_finish(start, code, NULL, false);
	} else {
		char *run = mem_copy(store_text(r, 0, 1));
		start_finish(start, 0, run, true);
		free(run);
	}
	store_tx_free(tx);
}

static void start_on_counted(struct store_tx *tx, int code, void *arg)
{
	struct start *start = arg;
	struct tenant *tenant = start->tenant;
	if (code == 0)
		tenant_counted(tenant, store_tx_result(tx, 0));
	store_tx_free(tx);
	start->counted = false; /* it is no run yet, and does not count against itself */
	tenant->starting--;
	if (tenant_is_full(start->engine, tenant)) {
		code = err_set(&start->e, ERR_LIMIT, "tenant %s has %zu unfinished runs, its limit", tenant->name, tenant_unfinished(tenant));
		start_finish(start, code, NULL, false);
		return;
	}
	start->counted = true;
	tenant->starting++;
	start_insert(start);
}

/* Near the limit, what other workers have started is counted first. */
static void start_count(struct start *start)
{
	if (!tenant_wants_count(start->engine, start->tenant)) {
		start_insert(start);
		return;
	}
	struct store_tx *tx = store_tx_new(start->engine->options.store, str_of(start->tenant->name));
	tenant_count_add(start->engine, start->tenant, tx);
	store_submit_read(tx, start_on_counted, start);
}

static void start_look_up(struct start *start)
{
	struct store_tx *tx = store_tx_new(start->engine->options.store, str_of(start->tenant->name));
	store_tx_add(tx, STATEMENT_idempotency_get, STORE_ANY, "t", start->key);
	store_submit_read(tx, start_on_known, start);
}

static void start_on_written(struct store_tx *tx, int code, void *arg)
{
	struct start *start = arg;
	struct engine *engine = start->engine;
	if (code == ERR_CONFLICT && start->key) {
		store_tx_free(tx);
		start_look_up(start); /* the same key came twice at once */
		return;
	}
	if (code) {
		engine->adopt_own = true; /* the row may be there all the same */
		code = err_set(&start->e, ERR_STORE, "%s", store_tx_error(tx));
		store_tx_free(tx);
		start_finish(start, code, NULL, false);
		return;
	}
	store_tx_free(tx);
	struct run_birth birth = birth_of(start);
	run_admit(engine, &birth);
	char id[UUID_TEXT_SIZE];
	memcpy(id, start->id, sizeof id);
	start_finish(start, 0, id, false);
	engine_schedule(engine);
}

static void start_insert(struct start *start)
{
	start->unowned = run_is_left_to_all(start->engine, start->tenant);
	struct run_birth birth = birth_of(start);
	struct store_tx *tx = store_tx_new(start->engine->options.store, str_of(start->tenant->name));
	if (start->key)
		store_tx_add(tx, STATEMENT_idempotency_insert, STORE_MUST, "ttti", start->key, start->digest, start->id, start->now_us);
	run_birth_add(start->engine, tx, &birth, STORE_MUST);
	store_submit_write(tx, start_on_written, start);
}

static int start_check(struct start *start, const struct run_request *request)
{
	struct engine *engine = start->engine;
	if (!start->tenant)
		return err_set(&start->e, ERR_NOT_FOUND, "no tenant \"%.*s\"", STR_ARG(request->tenant));
	if (engine->draining)
		return err_set(&start->e, ERR_UNAVAILABLE, "the host is shutting down");
	if (!start->tenant->bundle)
		return err_set(&start->e, ERR_UNAVAILABLE, "no scripts are loaded yet");
	if (!start->spec) {
		int code = capability_check(start->tenant->bundle->manifest, start->agent, start->capability, &start->input, start->errors, &start->e);
		if (code)
			return code;
	}
	if (tenant_is_full(engine, start->tenant) && !tenant_wants_count(engine, start->tenant))
		return err_set(&start->e, ERR_LIMIT, "tenant %s has %zu unfinished runs, its limit", start->tenant->name,
		               tenant_unfinished(start->tenant));
	return 0;
}

static char *copy_or_null(struct str s)
{
	return s.n ? mem_copy(s) : NULL;
}

void engine_start_run(struct engine *engine, const struct run_request *request, engine_started_fn done, void *arg)
{
	struct start *start = mem_alloc(sizeof *start);
	start->engine = engine;
	start->tenant = engine_tenant(engine, request->tenant);
	start->agent = mem_copy(str_of(request->agent));
	start->capability = mem_copy(str_of(request->capability));
	start->subject = copy_or_null(request->subject);
	start->event = copy_or_null(request->event);
	start->by = copy_or_null(request->by);
	start->spec = copy_or_null(request->spec);
	start->key = copy_or_null(request->idempotency_key);
	start->input = request->input ? json_incref(request->input) : json_object();
	start->spec_start = request->spec_start ? json_incref((json_t *)(uintptr_t)request->spec_start) : NULL;
	if (start->spec && !start->spec_start)
		start->spec_start = json_object();
	start->errors = json_array();
	start->limits = (struct run_limits){ .deadline_us = request->deadline_us, .budget = request->budget_effects > 0 ? request->budget_effects : -1 };
	/* whole milliseconds: a run's first "now" is what its created_at says in every interface */
	start->now_us = clock_now_us(engine->options.clock) / 1000 * 1000;
	start->done = done;
	start->arg = arg;
	if (request->body_digest)
		hex_encode(request->body_digest, SHA256_SIZE, start->digest);
	uuid_format(uuid_new(engine->options.clock, engine->options.rng), start->id);
	start->code = start_check(start, request);
	if (start->code == 0) {
		start->counted = true;
		start->tenant->starting++;
		start->bundle = start->tenant->bundle;
		start->bundle->references++;
	}
	if (start->code)
		loop_defer(engine->options.loop, &start->later, start_on_refused, start);
	else if (start->key)
		start_look_up(start);
	else
		start_count(start);
}

/* ---- an event ---- */

void event_emitted(struct engine *engine, struct tenant *tenant, struct str id, struct str type)
{
	deliveries_on_event(engine, tenant, id, type);
	if (engine->emitted)
		engine->emitted(engine->emitted_arg, tenant->name);
}

void event_committed(struct issued *issued)
{
	const struct effect *effect = &issued->effect;
	json_t *outcome = json_read(buf_str(&issued->outcome), SIZE_MAX, NULL, NULL);
	struct str id = json_member_str(json_member(outcome, "ok"), "id");
	if (id.n)
		event_emitted(effect->engine, effect->run->tenant, id, json_member_str(effect->args, "type"));
	json_decref(outcome);
}

void engine_on_emitted(struct engine *engine, void (*emitted)(void *arg, const char *tenant), void *arg)
{
	engine->emitted = emitted;
	engine->emitted_arg = arg;
}
