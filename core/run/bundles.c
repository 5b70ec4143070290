/* Bundles in memory, the stems that run them, and the switch to a new one. */
#include "run/run_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "store/records.h"

#define STEM_IDLE_US 60000000    /* a stem of an old bundle without a cell is kept so long */
#define STEM_SOUND_US 5000000    /* a stem that lived so long did not die of its bundle */
#define STEM_DEATHS_QUICK 3      /* stems opened again at once; then the sweep paces them */
#define STEM_PAUSE_US 2000000
#define LOAD_TRIES 2             /* openings that nobody answered before a load fails */

struct bundle_load {
	TAILQ_ENTRY(bundle_load) link;
	struct engine *engine;
	struct tenant *tenant;
	struct live_bundle *bundle;
	unsigned tries;
	engine_loaded_fn done;
	void *arg;
	struct loop_item later;
};

struct live_bundle *bundle_live(struct engine *engine, const char *digest)
{
	struct live_bundle *bundle;
	HASH_FIND_STR(engine->bundles, digest, bundle);
	return bundle;
}

struct live_bundle *bundle_adopt(struct engine *engine, const char *digest, json_t *files, json_t *manifest)
{
	struct live_bundle *bundle = bundle_live(engine, digest);
	if (bundle) {
		json_decref(files);
		json_decref(manifest);
	} else {
		bundle = mem_alloc(sizeof *bundle);
		strncpy(bundle->digest, digest, SHA256_HEX_SIZE - 1);
		bundle->files = files;
		bundle->manifest = manifest;
		TAILQ_INIT(&bundle->starved);
		TAILQ_INIT(&bundle->loads);
		HASH_ADD_STR(engine->bundles, digest, bundle);
	}
	bundle->references++;
	return bundle;
}

void bundle_release(struct engine *engine, struct live_bundle *bundle)
{
	if (--bundle->references > 0)
		return;
	if (!engine->closing) /* else its stem has gone with all the others */
		stem_close(bundle->stem);
	HASH_DEL(engine->bundles, bundle);
	json_decref(bundle->files);
	json_decref(bundle->manifest);
	free(bundle);
}

const json_t *manifest_capability(const json_t *manifest, const char *agent, const char *capability)
{
	return json_member(json_member(json_member(json_member(manifest, "agents"), agent), "capabilities"), capability);
}

/* ---- loading ---- */

static void load_finish(struct bundle_load *load, int code, const json_t *report)
{
	struct engine *engine = load->engine;
	struct live_bundle *bundle = load->bundle;
	if (code == 0) {
		if (load->tenant->bundle)
			bundle_release(engine, load->tenant->bundle);
		load->tenant->bundle = bundle; /* the load's reference becomes the tenant's */
		log_event(LOG_INFO, "bundle.live", "tenant", load->tenant->name, "digest", bundle->digest, NULL);
		schedules_reconcile(engine, load->tenant);
	}
	load->done(load->arg, code, code == 0 ? bundle->manifest : NULL, report, bundle->digest);
	if (code != 0)
		bundle_release(engine, bundle);
	free(load);
}

static void load_on_stored(struct store_tx *tx, int code, void *arg)
{
	struct bundle_load *load = arg;
	json_t *report = code ? error_new("store.failed", store_tx_error(tx)) : NULL;
	store_tx_free(tx);
	load_finish(load, code, report);
	json_decref(report);
}

static void load_store(struct bundle_load *load)
{
	struct engine *engine = load->engine;
	struct store_tx *tx = store_tx_new(engine->options.store, str_of(load->tenant->name));
	store_tx_add(tx, STATEMENT_bundle_put, STORE_ANY, "tjji", load->bundle->digest, load->bundle->files, load->bundle->manifest,
	             clock_now_us(engine->options.clock));
	store_tx_add(tx, STATEMENT_bundle_live, STORE_ANY, "ti", load->bundle->digest, clock_now_us(engine->options.clock));
	records_tx_declare(tx, load->bundle->manifest);
	store_submit_write(tx, load_on_stored, load);
}

/* Faults of the declarations that only the host can see: schemas that we could not check in full. */
static int manifest_check(const json_t *manifest, struct errbuf *e)
{
	const char *agent_name, *name;
	json_t *agent, *capability;
	json_object_foreach((json_t *)(uintptr_t)json_member(manifest, "agents"), agent_name, agent) {
		json_object_foreach((json_t *)(uintptr_t)json_member(agent, "capabilities"), name, capability) {
			int code = json_schema_check_schema(json_member(capability, "input"), e);
			if (code)
				return err_wrap(e, code, "agent %s, capability %s, input", agent_name, name);
			code = json_schema_check_schema(json_member(capability, "output"), e);
			if (code)
				return err_wrap(e, code, "agent %s, capability %s, output", agent_name, name);
		}
	}
	json_t *kind;
	json_object_foreach((json_t *)(uintptr_t)json_member(manifest, "kinds"), name, kind) {
		const json_t *schema = json_member(kind, "schema");
		int code = schema ? json_schema_check_schema(schema, e) : 0;
		if (code)
			return err_wrap(e, code, "kind %s, schema", name);
	}
	int code = handoffs_check(manifest, e);
	return code ? code : schedules_check(manifest, e);
}

/* Its process died before it answered, or was too slow: no fault of the scripts. Starved runs wait as long as it takes, a load for one more try. */
static void bundle_unanswered(struct live_bundle *bundle, const json_t *payload)
{
	struct bundle_load *load, *next;
	const struct run *starved = TAILQ_FIRST(&bundle->starved);
	struct engine *engine = starved ? starved->engine : TAILQ_FIRST(&bundle->loads)->engine;
	log_event(LOG_WARN, "bundle.unanswered", "digest", bundle->digest, "why", json_string_value(json_member(payload, "message")), NULL);
	bundle->references++; /* ours, while loads leave */
	for (load = TAILQ_FIRST(&bundle->loads); load; load = next) {
		next = TAILQ_NEXT(load, link);
		if (++load->tries < LOAD_TRIES)
			continue;
		TAILQ_REMOVE(&bundle->loads, load, link);
		load_finish(load, ERR_INVALID, payload);
	}
	if (!TAILQ_EMPTY(&bundle->starved) || !TAILQ_EMPTY(&bundle->loads))
		bundle_stem_ready(engine, bundle);
	bundle_release(engine, bundle);
}

static void bundle_on_loaded(void *arg, int code, const json_t *payload)
{
	struct live_bundle *bundle = arg;
	bundle->opening = false;
	bundle->busy_us = clock_monotonic_us();
	if (code == ERR_UNAVAILABLE && (!TAILQ_EMPTY(&bundle->starved) || !TAILQ_EMPTY(&bundle->loads))) {
		bundle_unanswered(bundle, payload);
		return;
	}
	json_t *report = NULL;
	struct errbuf e;
	if (code == 0 && !bundle->manifest && (code = manifest_check(payload, &e)) != 0)
		report = error_new("bundle.manifest", e.text);
	if (code == 0 && !bundle->manifest)
		bundle->manifest = json_incref((json_t *)(uintptr_t)payload);
	struct engine *engine = NULL;
	struct bundle_load *load;
	bundle->references++; /* ours, while owners leave */
	while ((load = TAILQ_FIRST(&bundle->loads))) {
		TAILQ_REMOVE(&bundle->loads, load, link);
		engine = load->engine;
		if (code == 0)
			load_store(load);
		else
			load_finish(load, code, report ? report : payload);
	}
	struct run *run;
	while ((run = TAILQ_FIRST(&bundle->starved))) {
		engine = run->engine;
		run_move(run, code == 0 ? LIST_QUEUE : LIST_NONE);
		if (code != 0)
			run_fail(run, "bundle.broken", "the bundle that this run is pinned to no longer loads",
			         json_copy((json_t *)(uintptr_t)payload));
	}
	if (code != 0 && bundle->stem) {
		stem_close(bundle->stem);
		bundle->stem = NULL;
	}
	json_decref(report);
	if (engine) {
		bundle_release(engine, bundle);
		engine_schedule(engine);
	} else {
		bundle->references--;
	}
}

bool bundle_stem_ready(struct engine *engine, struct live_bundle *bundle)
{
	if (stem_is_usable(bundle->stem))
		return true;
	if (bundle->opening)
		return false;
	int64_t now = clock_monotonic_us();
	if (bundle->opened_us && now - bundle->opened_us < STEM_SOUND_US)
		bundle->deaths++;
	else
		bundle->deaths = 0;
	stem_close(bundle->stem);
	bundle->stem = NULL;
	if (bundle->deaths > STEM_DEATHS_QUICK && now - bundle->opened_us < STEM_PAUSE_US)
		return false; /* they die as they come: the next sweep */
	bundle->opened_us = now;
	bundle->opening = true;
	bundle->stem = stem_open(engine->cells, "bundle", bundle->files, bundle_on_loaded, bundle);
	return false;
}

static bool bundle_is_live(const struct engine *engine, const struct live_bundle *bundle)
{
	for (const struct tenant *tenant = engine->tenants; tenant; tenant = tenant->hh.next)
		if (tenant->bundle == bundle)
			return true;
	return false;
}

void bundles_sweep(struct engine *engine)
{
	int64_t now = clock_monotonic_us();
	int64_t idle_us = engine->options.stem_idle_ms ? engine->options.stem_idle_ms * 1000 : STEM_IDLE_US;
	for (struct live_bundle *bundle = engine->bundles; bundle; bundle = bundle->hh.next) {
		if (!stem_is_usable(bundle->stem)) {
			if (!TAILQ_EMPTY(&bundle->starved) || !TAILQ_EMPTY(&bundle->loads))
				bundle_stem_ready(engine, bundle);
		} else if (!stem_is_idle(bundle->stem) || bundle_is_live(engine, bundle)) {
			bundle->busy_us = now;
		} else if (now - bundle->busy_us > idle_us) {
			stem_close(bundle->stem);
			bundle->stem = NULL;
		}
	}
}

static void load_on_again(void *arg)
{
	load_store(arg);
}

void engine_load_bundle(engine_loaded_fn done, void *arg, struct engine *engine, struct str tenant_name, struct bundle *bundle)
{
	struct tenant *tenant = engine_tenant(engine, tenant_name);
	BUG_ON(!tenant);
	struct bundle_load *load = mem_alloc(sizeof *load);
	load->engine = engine;
	load->tenant = tenant;
	load->done = done;
	load->arg = arg;
	load->bundle = bundle_adopt(engine, bundle->digest, json_incref(bundle->files), NULL);
	bundle_free(bundle);
	if (load->bundle->manifest && bundle_stem_ready(engine, load->bundle))
		loop_defer(engine->options.loop, &load->later, load_on_again, load);
	else {
		TAILQ_INSERT_TAIL(&load->bundle->loads, load, link);
		bundle_stem_ready(engine, load->bundle);
	}
}

const json_t *engine_manifest(struct engine *engine, struct str name)
{
	struct tenant *tenant = engine_tenant(engine, name);
	return tenant && tenant->bundle ? tenant->bundle->manifest : NULL;
}

const char *engine_bundle_digest(struct engine *engine, struct str name)
{
	struct tenant *tenant = engine_tenant(engine, name);
	return tenant && tenant->bundle ? tenant->bundle->digest : NULL;
}
