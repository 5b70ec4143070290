/*
 * The run engine of one worker: owns resident runs, their cells and their journals. Everything in the loop's thread.
 * Who calls it: api/ (HTTP), cli/ (perigee run, test, replay), events and children inside the engine itself.
 */
#pragma once

#include "base/json.h"
#include "base/metrics.h"
#include "run/bundle.h"
#include "store/store.h"

struct engine;
struct http_client;
typedef void (*engine_done_fn)(void *arg, int code, const json_t *result, const char *text);

/* How long what has ended is kept, in ms; 0: for ever. */
enum retained { RETAIN_SUCCEEDED, RETAIN_FAILED, RETAIN_CANCELLED, RETAIN_STUCK, RETAIN_EVENTS, RETAIN_COUNT };
struct retention_rules {
	int64_t keep_ms[RETAIN_COUNT];
	int64_t every_ms;                  /* how often each tenant is looked through; 0: an hour */
};
/* "succeeded=7d,failed=90d" over what is in *rules. ERR_INVALID names what is wrong. */
MUST_CHECK int retention_parse(struct str text, struct retention_rules *rules, struct errbuf *e);

struct engine_options {
	struct loop *loop;
	struct store *store;
	struct metrics *metrics;
	const struct clock *clock;
	struct clock_manual *virtual_time;   /* not NULL: when every run waits, time jumps to the next timer (`perigee test`) */
	const struct rng *rng;
	struct http_client *http;            /* borrowed; NULL: requests to other hosts are refused */
	const char *cell_program;            /* path of perigee-cell */
	int64_t cell_memory_bytes, cell_cpu_ms, cell_wall_ms;
	size_t resident_max;                 /* waiting cells kept, the rest evicted least recently used first */
	int64_t stem_idle_ms;                /* a stem of a bundle that is live nowhere goes after so long without a cell; 0: a minute */
	bool keeps_schedules;                /* serves: schedules fire here, dead hand-offs are started again, old things deleted here */
	int64_t children_max;                /* unfinished children of a run; 0: 1000 */
	int64_t runs_per_tenant_max;         /* unfinished runs; more are refused with ERR_LIMIT; a tenant may have a limit of its own */
	size_t workers;                      /* of this host; 0: this process is alone */
	struct retention_rules retention;    /* where a tenant has no rules of its own */
	/* Tell another worker ("*": any one) something that saves it a look: false when there is no way now, then it goes through the store. May get lost. */
	bool (*send_hint)(void *arg, const char *worker, const char *text);
	void *send_hint_arg;
};

MUST_CHECK int engine_new(const struct engine_options *options, struct engine **out, struct errbuf *e);
/* Ends cells (runs stay in the store as they are), frees. Drain first for a polite end. */
void engine_free(struct engine *engine);
/* Accept no new runs; `drained` fires when nothing is running (waiting runs are handed back: they are rows). */
void engine_drain(struct engine *engine, void (*drained)(void *arg), void *arg);

/* Bundles. Load makes a bundle live for new runs of the tenant (store first, then stem, then switch); asynchronous; on failure the old one keeps
 * serving and `report` holds {file, line, message, errors}. manifest is borrowed. */
typedef void (*engine_loaded_fn)(void *arg, int code, const json_t *manifest, const json_t *report, const char *digest);
void engine_load_bundle(engine_loaded_fn done, void *arg, struct engine *engine, struct str tenant, struct bundle *bundle /* taken */);
const json_t *engine_manifest(struct engine *engine, struct str tenant);   /* borrowed; NULL before the first load */
const char *engine_bundle_digest(struct engine *engine, struct str tenant);

/* Evaluate a configuration file in a throw-away cell: engine-less, blocking, for start-up. New reference or NULL with e. */
json_t *engine_evaluate_config(const char *cell_program, struct str source, const char *file, struct errbuf *e);

struct run_request {
	struct str tenant;
	const char *agent, *capability;
	json_t *input;               /* borrowed; checked against the capability's schema */
	struct str subject;          /* optional: what the run is about, for listing (the deal) */
	struct str idempotency_key;  /* optional; with it the digest of the request body */
	const uint8_t *body_digest;
	struct str by;               /* optional: who starts it, "key:ID" or "cli"; they may not decide what it asks */
	struct str event;            /* optional: id of the event that starts it (one run per event and capability) */
	int64_t deadline_us;         /* optional: it and all below it end then, done or not */
	int64_t budget_effects;      /* optional: effects that it and all below it may issue; 0: any number */
	struct str spec;             /* optional: a spec file instead of a capability */
	const json_t *spec_start;    /* with spec: members added to START (files, filter) */
};
/* done fires when the run is durable: code 0 and its id; or ERR_NOT_FOUND (agent, capability; text lists the names), ERR_SCHEMA with errors, ERR_LIMIT,
 * ERR_IDEMPOTENCY, ERR_STORE. existed: an idempotent repetition. */
typedef void (*engine_started_fn)(void *arg, int code, const char *run, bool existed, const json_t *errors, const char *text);
void engine_start_run(struct engine *engine, const struct run_request *request, engine_started_fn done, void *arg);

/* A new run with the first `at` outcomes of another one's journal, which goes on from there. bundle: "origin" (also when empty), "live", or the digest of one in the
 * store. result {run}; ERR_NOT_FOUND, ERR_SCHEMA (at, bundle), ERR_CONFLICT, ERR_LIMIT, ERR_UNAVAILABLE. */
void engine_fork_run(struct engine *engine, struct str tenant, struct str run, int64_t at, struct str bundle, struct str by, engine_done_fn done, void *arg);
/* Stuck: the same run again from its journal. Failed or cancelled: a new run with its input, on the live bundle. bundle as above. Otherwise ERR_CONFLICT. */
void engine_retry_run(struct engine *engine, struct str tenant, struct str run, struct str bundle, struct str by, engine_done_fn done, void *arg);

/* Watch a run: fires `event`, first inside this call, for each outcome and log that is not on disk yet, then for each of effect, outcome, log, status (JSON object borrowed; id "INDEX" or "INDEX.N", empty for effect) and lastly
 * status with a final state. Returns NULL when the run is not resident here (read the store instead). */
struct run_watcher;
typedef void (*run_event_fn)(void *arg, const char *type, const char *id, const json_t *data);
struct run_watcher *engine_watch_run(struct engine *engine, struct str tenant, struct str run, run_event_fn event, void *arg);
void engine_unwatch(struct run_watcher *watcher);

void engine_signal_run(struct engine *engine, struct str tenant, struct str run, struct str name, const json_t *payload, struct str id /* optional */,
                       engine_done_fn done, void *arg);                    /* ERR_NOT_FOUND, ERR_CONFLICT (ended) */
void engine_cancel_run(struct engine *engine, struct str tenant, struct str run, engine_done_fn done, void *arg);
void engine_decide_approval(struct engine *engine, struct str tenant, struct str approval, const char *decision, struct str note, struct str by, bool admin,
                            engine_done_fn done, void *arg);              /* ERR_NOT_FOUND, ERR_CONFLICT (decided or expired), ERR_FORBIDDEN (not theirs to decide) */
/* Somebody decided what became of an effect (store/outcomes.h, on disk): its run looks. */
void engine_outcome_decided(struct engine *engine, struct str tenant, struct str run, int64_t effect);
void engine_emit_event(struct engine *engine, struct str tenant, const json_t *cloud_event, engine_done_fn done, void *arg);
/* The id of this worker, as it owns runs. */
const char *engine_owner(const struct engine *engine);
/* One listener: fires when an event of the tenant that this engine emitted is on disk. */
void engine_on_emitted(struct engine *engine, void (*emitted)(void *arg, const char *tenant), void *arg);
/* A dead letter begins anew: its capability gets the event again, with all attempts. ERR_NOT_FOUND when there is no such dead letter. */
void engine_replay_delivery(struct engine *engine, struct str tenant, struct str delivery, engine_done_fn done, void *arg);

/* Replay a journal against a bundle, without effects: for `perigee replay`. journal: {run:{agent,capability,input,id,created_at,…}, outcomes:[{index, effect,
 * name, digest, outcome}]}. result: {status: "same"|"diverged"|"incomplete", at, expected:{…}, actual:{…}, output}. */
void engine_replay(struct engine *engine, struct str tenant, const json_t *journal, engine_done_fn done, void *arg);

/* Somebody changed what is due (a schedule, a hand-off): look now instead of in a few seconds. */
void engine_look(struct engine *engine, struct str tenant);

/* Take over unfinished runs whose owner is gone (start-up, and every few seconds). */
void engine_recover(struct engine *engine);
/* Bring the metrics of tenants up to date: before a scrape, and now and then. */
void engine_measure(struct engine *engine);
/* What another worker's send_hint was given for this one. */
void engine_hint_received(struct engine *engine, struct str text);
/* Is the lease held (store_lease)? When it is not, send nothing outside. Ends the process with ENGINE_EXIT_FENCED when it is lost. */
bool engine_is_held(struct engine *engine);
#define ENGINE_EXIT_FENCED 4         /* somebody else has this worker's runs */
struct engine_counts { size_t running, waiting, cells, tenants, live /* tenants with a bundle */; };
struct engine_counts engine_counts(const struct engine *engine);
