/*
 * Fork and retry.
 *
 *     read the run → which bundle? → is it in the store, and does it have the capability? → write → into memory like a run that was taken over
 *
 * A fork has the first outcomes of another run's journal, and while its script replays them, that run's id, chance and beginning: what was derived from these
 * stands in the effects' digests. Behind them it is itself. What the prefix spawned or asked stays the other run's.
 */
#include "run/run_internal.h"

#include <stdlib.h>
#include <string.h>

#define PHASES_MAX 16   /* forks of forks: core/cell/vm.h */

struct version_request {
	char *by;                          /* who asks; NULL: nobody known */
	struct engine *engine;
	struct tenant *tenant;
	char *of, *bundle;                 /* bundle: "origin", "live", a digest; after the first look a digest */
	char id[UUID_TEXT_SIZE];           /* of the run that goes on */
	bool retry, same;                  /* same: the stuck run itself */
	int64_t at, now_us;
	json_t *input, *origin;
	struct store_tx *row;              /* run_load */
	engine_done_fn done;
	void *arg;
	int code;
	struct errbuf e;
	struct loop_item later;
};

/* ---- who a fork is ---- */

void run_seed(struct str id, char out[DIGEST_TEXT_SIZE])
{
	uint8_t digest[SHA256_SIZE];
	sha256(id.p, id.n, digest);
	hex_encode(digest, 16, out);
}

const char *run_chain(const struct run *run)
{
	return run->chain ? run->chain : run->id;
}

static void add_phase(struct buf *phases, int64_t from, struct str id)
{
	char seed[DIGEST_TEXT_SIZE];
	run_seed(id, seed);
	buf_addf(phases, "%lld %.*s %s\n", (long long)from, STR_ARG(id), seed);
}

void run_add_phases(const struct run *run, json_t *start, struct buf *phases)
{
	const json_t *list = json_member(run->origin, "phases");
	size_t n = json_array_size(list);
	int64_t from = 0;
	if (n == 0)
		return;
	struct str first = json_member_str(json_array_get(list, 0), "run");
	char seed[DIGEST_TEXT_SIZE];
	run_seed(first, seed);
	json_put_str(start, "run", first);
	json_put_text(start, "seed", seed);
	json_put_int(start, "now", json_member_int(run->origin, "now", run->created_at_us));
	buf_add_char(phases, '\n');
	for (size_t i = 0; i < n; i++) {
		const json_t *phase = json_array_get(list, i);
		if (i > 0)
			add_phase(phases, from, json_member_str(phase, "run"));
		from = json_member_int(phase, "until", 0);
	}
	add_phase(phases, from, str_of(run->id));
}

static void push_phase(json_t *phases, struct str id, int64_t until)
{
	json_t *phase = json_object();
	json_put_str(phase, "run", id);
	json_put_int(phase, "until", until);
	json_array_append_new(phases, phase);
}

/* {run, at, now, phases}: who the origin was in each part of the prefix; itself a fork, it was somebody else first. */
static json_t *origin_of(struct str id, int64_t created_at_us, const json_t *before, int64_t at)
{
	json_t *origin = json_object(), *phases = json_array();
	const json_t *list = json_member(before, "phases");
	int64_t until = 0;
	for (size_t i = 0; i < json_array_size(list) && until < at; i++) {
		const json_t *phase = json_array_get(list, i);
		until = json_member_int(phase, "until", 0) < at ? json_member_int(phase, "until", 0) : at;
		push_phase(phases, json_member_str(phase, "run"), until);
	}
	if (until < at)
		push_phase(phases, id, at);
	json_put_str(origin, "run", id);
	json_put_int(origin, "at", at);
	json_put_int(origin, "now", json_member_int(before, "now", created_at_us));
	json_put(origin, "phases", phases);
	return origin;
}

/* ---- the request ---- */

static void request_finish(struct version_request *request, int code, const char *text)
{
	json_t *result = NULL;
	if (code == 0) {
		result = json_object();
		json_put_text(result, "run", request->id);
	}
	request->done(request->arg, code, result, text);
	json_decref(result);
	json_decref(request->input);
	json_decref(request->origin);
	store_tx_free(request->row);
	free(request->of);
	free(request->bundle);
	free(request->by);
	free(request);
}

static void request_on_refused(void *arg)
{
	struct version_request *request = arg;
	request_finish(request, request->code, request->e.text);
}

static void request_on_written(struct store_tx *tx, int code, void *arg)
{
	struct version_request *request = arg;
	if (code == 0)
		run_adopt_row(request->engine, request->tenant, request->id, ADOPT_TAKEN);
	const char *text = code == ERR_CONFLICT ? "the run changed meanwhile: look at it, then ask again" : code ? store_tx_error(tx) : NULL;
	request_finish(request, code, text);
	store_tx_free(tx);
}

static void request_write(struct version_request *request)
{
	struct engine *engine = request->engine;
	struct store_tx *tx = store_tx_new(engine->options.store, str_of(request->tenant->name));
	if (request->same) {
		store_tx_add(tx, STATEMENT_run_retry, STORE_MUST, "ttt", request->of, request->bundle, engine->owner);
		store_tx_add(tx, STATEMENT_run_retry_questions, STORE_ANY, "t", request->of);
	} else if (request->retry) {
		store_tx_add(tx, STATEMENT_run_retry_new, STORE_MUST, "tttjit", request->id, request->of, request->bundle, request->input,
		             request->now_us, engine->owner);
	} else {
		store_tx_add(tx, STATEMENT_run_fork, STORE_MUST, "ttitjit", request->id, request->of, request->at, request->bundle, request->origin,
		             request->now_us, engine->owner);
		if (request->at)
			store_tx_add(tx, STATEMENT_journal_fork, STORE_MUST, "tti", request->id, request->of, request->at);
	}
	if (request->by && !request->same)
		store_tx_add(tx, STATEMENT_run_started_by, STORE_MUST, "tt", request->id, request->by);
	store_submit_write(tx, request_on_written, request);
}

/* The bundle that the run shall have: is it here, and can it run this? */
static int check_manifest(struct version_request *request, const struct store_result *r)
{
	const struct store_result *row = store_tx_result(request->row, 0);
	if (r->rows == 0)
		return err_set(&request->e, ERR_SCHEMA, "/bundle: the store holds no bundle %.80s: load it first (perigee fork --bundle PATH does)",
		               request->bundle);
	json_t *manifest = json_read(store_text(r, 0, 0), SIZE_MAX, NULL, NULL);
	char *agent = mem_copy(store_text(row, 0, 1)), *capability = mem_copy(store_text(row, 0, 2));
	json_t *errors = json_array();
	int code = 0;
	if (request->retry && !request->same)
		code = capability_check(manifest, agent, capability, &request->input, errors, &request->e);
	else if (!manifest_capability(manifest, agent, capability))
		code = err_set(&request->e, ERR_SCHEMA, "/bundle: bundle %.12s has no %s.%s", request->bundle, agent, capability);
	json_decref(errors);
	json_decref(manifest);
	free(agent);
	free(capability);
	return code == ERR_NOT_FOUND ? ERR_SCHEMA : code;
}

static void request_on_manifest(struct store_tx *tx, int code, void *arg)
{
	struct version_request *request = arg;
	if (code)
		err_set(&request->e, code, "%s", store_tx_error(tx));
	else
		code = check_manifest(request, store_tx_result(tx, 0));
	store_tx_free(tx);
	if (code)
		request_finish(request, code, request->e.text);
	else
		request_write(request);
}

static int check_fork(struct version_request *request, const struct store_result *r)
{
	int64_t length = store_int(r, 0, 15);
	json_t *before = store_is_null(r, 0, 20) ? NULL : json_read(store_text(r, 0, 20), FRAME_PAYLOAD_MAX, NULL, NULL);
	int code = 0;
	if (request->at < 0 || request->at > length)
		code = err_set(&request->e, ERR_SCHEMA, "/at: the journal of run %s has %lld outcomes: at is 0 to %lld", request->of, (long long)length,
		               (long long)length);
	else if (json_array_size(json_member(before, "phases")) >= PHASES_MAX - 1)
		code = err_set(&request->e, ERR_CONFLICT, "run %s is a fork of a fork, %d deep: fork its origin", request->of, PHASES_MAX);
	else
		request->origin = origin_of(str_of(request->of), store_int(r, 0, 8), before, request->at);
	if (code == 0 && request->at == 0)
		json_put_int(request->origin, "now", request->now_us);
	json_decref(before);
	return code;
}

static int check_retry(struct version_request *request, const struct store_result *r)
{
	struct str status = store_text(r, 0, 4);
	request->same = str_is(status, "stuck");
	if (request->same)
		memcpy(request->id, request->of, UUID_TEXT_SIZE);
	else if (!str_is(status, "failed") && !str_is(status, "cancelled"))
		return err_set(&request->e, ERR_CONFLICT, "run %s is %.*s: only what is stuck, failed or cancelled is tried again", request->of,
		               STR_ARG(status));
	request->input = json_read(store_text(r, 0, 5), FRAME_PAYLOAD_MAX, NULL, NULL);
	return 0;
}

static int check_row(struct version_request *request, const struct store_result *r)
{
	if (r->rows == 0)
		return err_set(&request->e, ERR_NOT_FOUND, "no run %.80s", request->of);
	if (!store_is_null(r, 0, 7))
		return err_set(&request->e, ERR_CONFLICT, "run %s is of a spec file: run the spec again", request->of);
	int code = request->retry ? check_retry(request, r) : check_fork(request, r);
	if (code)
		return code;
	bool live = strcmp(request->bundle, "live") == 0 || (!*request->bundle && request->retry && !request->same);
	bool own = !live && (!*request->bundle || strcmp(request->bundle, "origin") == 0);
	if (live && !request->tenant->bundle)
		return err_set(&request->e, ERR_UNAVAILABLE, "no scripts are loaded yet");
	if (live || own) {
		free(request->bundle);
		request->bundle = live ? mem_copy(str_of(request->tenant->bundle->digest)) : mem_copy(store_text(r, 0, 3));
	}
	return 0;
}

static void request_on_row(struct store_tx *tx, int code, void *arg)
{
	struct version_request *request = arg;
	request->row = tx;
	if (code)
		err_set(&request->e, code, "%s", store_tx_error(tx));
	else
		code = check_row(request, store_tx_result(tx, 0));
	if (code) {
		request_finish(request, code, request->e.text);
		return;
	}
	struct store_tx *read = store_tx_new(request->engine->options.store, str_of(request->tenant->name));
	store_tx_add(read, STATEMENT_bundle_known, STORE_ANY, "t", request->bundle);
	store_submit_read(read, request_on_manifest, request);
}

static void request_begin(struct engine *engine, struct version_request *asked, struct str tenant, struct str run, struct str bundle,
                          engine_done_fn done, void *arg)
{
	struct version_request *request = mem_alloc(sizeof *request);
	*request = *asked;
	request->engine = engine;
	request->tenant = engine_tenant(engine, tenant);
	request->of = mem_copy(run);
	request->bundle = mem_copy(bundle);
	request->now_us = clock_now_us(engine->options.clock) / 1000 * 1000;
	request->done = done;
	request->arg = arg;
	uuid_format(uuid_new(engine->options.clock, engine->options.rng), request->id);
	if (!request->tenant)
		request->code = err_set(&request->e, ERR_NOT_FOUND, "no tenant \"%.*s\"", STR_ARG(tenant));
	else if (engine->draining)
		request->code = err_set(&request->e, ERR_UNAVAILABLE, "the host is shutting down");
	else if (!uuid_is_text(run))
		request->code = err_set(&request->e, ERR_NOT_FOUND, "no run %.*s", (int)(run.n < 80 ? run.n : 80), run.p);
	else if (tenant_is_full(engine, request->tenant))
		request->code = err_set(&request->e, ERR_LIMIT, "tenant %s has %zu unfinished runs, its limit", request->tenant->name,
		                        request->tenant->runs);
	if (request->code) {
		loop_defer(engine->options.loop, &request->later, request_on_refused, request);
		return;
	}
	struct store_tx *tx = store_tx_new(engine->options.store, tenant);
	store_tx_add(tx, STATEMENT_run_load, STORE_ANY, "t", request->of);
	store_submit_read(tx, request_on_row, request);
}

void engine_fork_run(struct engine *engine, struct str tenant, struct str run, int64_t at, struct str bundle, struct str by, engine_done_fn done, void *arg)
{
	request_begin(engine, &(struct version_request){ .at = at, .by = by.n ? mem_copy(by) : NULL }, tenant, run, bundle, done, arg);
}

void engine_retry_run(struct engine *engine, struct str tenant, struct str run, struct str bundle, struct str by, engine_done_fn done, void *arg)
{
	request_begin(engine, &(struct version_request){ .retry = true, .by = by.n ? mem_copy(by) : NULL }, tenant, run, bundle, done, arg);
}
