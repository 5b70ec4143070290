/*
 * The engine's own structures, shared by its files. What an outsider may know stands in engine.h and effect.h.
 *
 *   engine.c     tables, life of the engine          starting.c   from a request to a row
 *   bundles.c    bundles and their stems             activation.c a run in its cell, frames, replay
 *   journal.c    from outcome to commit to delivery  waiting.c    timers, signals, approvals, children
 *   settling.c   when a run rests                    queue.c      whose run is next
 *   forking.c    fork and retry                      continuing.c continue_as_new
 *   replaying.c  journals against other scripts      bodies.c     long outcomes, once
 *   shares.c     what each tenant may have            claiming.c   runs that nobody owns
 *   intents.c    what left the host, and what nobody knows the end of
 *   ending.c     done, failed, stuck, cancelled      recovery.c   take over what a dead process owned
 *   adopting.c   from a row into memory              dormant.c    out of memory, timers, and back
 *   sweeping.c   what no hint told                   hints.c      what workers tell one another
 *   lease.c      while this process may act
 */
#pragma once

#include "base/crypto.h"
#include "base/json_schema.h"
#include "base/ids.h"
#include "run/cells.h"
#include "run/effect.h"
#include "run/engine.h"
#include "run/limits.h"
#include "run/queue.h"

#include <sys/queue.h>
#include <uthash.h>

#define DIGEST_TEXT_SIZE 33   /* 128 bits of a SHA-256, in hex */
#define EFFECTS_OUTSTANDING_MAX 1024
#define CONFLICT_RETRIES_MAX 8
#define STRIKES_MAX 2
#define DEPTH_MAX 8           /* of hand-offs */

enum run_state { RUN_QUEUED, RUN_RUNNING, RUN_WAITING, RUN_SUCCEEDED, RUN_FAILED, RUN_CANCELLED, RUN_STUCK };
const char *run_state_name(enum run_state state);
bool run_state_is_final(struct str name);

struct deadline {                          /* of a dormant run */
	int64_t wake_at_us;
	uint32_t effect;
	char run[UUID_TEXT_SIZE];
};

struct dormant {                           /* of a tenant: its runs that are not in memory (dormant.c) */
	size_t runs;                       /* ours, waiting */
	uint64_t moves;                    /* changes of `runs` */
	struct deadline *heap, until;      /* the next ones, by time; behind `until` the store has more */
	size_t count, cap;
	uint64_t round;                    /* of reading from the beginning */
	bool all, reading;                 /* all: behind `until` there is nothing */
	bool counting;
	int64_t count_due_us;              /* monotonic */
};

struct wait_slice {                        /* where the slow sweep of a tenant's waits has come to (sweeping.c) */
	char *run;                         /* NULL: the beginning */
	int64_t effect;
	bool reading;
	unsigned rounds;                   /* > 0: at once, to the end, so many times */
};

enum adopt_from {
	ADOPT_TAKEN,                       /* from another owner, or from nobody's memory */
	ADOPT_DORMANT,                     /* counted in tenant->dormant.runs */
};

struct parked {                            /* forgotten when the store failed: the next sweep takes it up again */
	struct parked *next;
	struct tenant *tenant;
	enum adopt_from from;
	char id[UUID_TEXT_SIZE];
};

struct tenant {
	char *name;
	struct engine *engine;
	struct live_bundle *bundle;        /* for new runs; NULL before the first load */
	int64_t event_oldest_us;           /* at the last look, of what is not dispatched; 0: nothing */
	struct tenant_deliveries *deliveries; /* deliveries.c */
	int64_t tidied_us;                 /* monotonic: its old things were looked through; 0: not yet */
	size_t runs;                       /* in memory; tenant_unfinished() is all */
	struct dormant dormant;
	struct wait_slice slice;
	size_t starting;                   /* requests whose row is on its way to the disk */
	int64_t due_us;                    /* when the store has something next (due.c); 0: nothing is known */
	size_t due_busy;                   /* reads and writes under way about what is due */
	int64_t due_looked_us;             /* the last look at what is due */
	bool due_moved;                    /* some of it was done */
	struct tenant_queue queue;
	int64_t weight, concurrency, runs_most; /* as the platform says; 0: no limit of its own */
	size_t backlog;                    /* runs in the store without an owner, when it was looked at last */
	size_t elsewhere;                  /* unfinished runs that are not here: other workers' and dormant ones, at the last count */
	int64_t counted_us;                /* monotonic: of that count */
	bool overflowing;                  /* there may be such runs: new ones go behind them */
	bool to_mark;                      /* on engine->to_mark: its row in tenant_ready is to be made or marked */
	TAILQ_ENTRY(tenant) mark_link;
	size_t told_queued, told_computing, told_backlog; /* to the metrics */
	UT_hash_handle hh;
};

struct live_bundle {
	char digest[SHA256_HEX_SIZE];
	json_t *files, *manifest;
	struct stem *stem;                 /* NULL while nothing needs it */
	bool opening;
	unsigned deaths;                   /* of its stems, one soon after another */
	int64_t opened_us, busy_us;        /* monotonic: last opening; last time it was seen with a cell */
	unsigned references;               /* tenants and unfinished runs */
	TAILQ_HEAD(, run) starved;         /* runs waiting for the stem */
	TAILQ_HEAD(, bundle_load) loads;
	UT_hash_handle hh;
};

/* An effect on its way: handler at work, outcome ready, being committed, or waiting. */
enum issued_state { ISSUED_HANDLING, ISSUED_READY, ISSUED_APPENDING, ISSUED_WAITING };
/* READY_INTENT: its intent goes to the disk before it leaves; READY_RESUME: its wait is over without an outcome, it begins again. */
enum ready_kind { READY_REPLY, READY_APPLY, READY_WAIT, READY_INTENT, READY_RESUME };

struct issued {
	struct effect effect;              /* first: handlers know only this */
	TAILQ_ENTRY(issued) link, ready_link;
	enum issued_state state;
	enum ready_kind ready;
	char *name;                        /* owned: of the effect, also where the row is unknown */
	char digest[DIGEST_TEXT_SIZE], run_id[UUID_TEXT_SIZE];
	struct buf outcome;                /* the OUTCOME payload */
	struct wait *wait;
	bool suspends;                     /* its append lets the row say waiting */
	bool orphan;                       /* made by a wait that ended with no cell: nobody listens */
	int64_t began_us;
	struct loop_item later;
	void (*committed)(struct issued *issued); /* after an apply is on disk; before its delivery */
	struct intent *intent;             /* of an effect that leaves the host (intents.c) */
	bool open;                         /* its intent is on disk */
	bool resend;                       /* somebody decided that it did not happen */
	bool performing;                   /* perform is deferred to this item: `later` must not go */
	bool in_flights;
};

struct wait {
	struct run *run;
	uint32_t effect;
	char *kind, *name, *effect_name;
	char digest[DIGEST_TEXT_SIZE];
	int64_t wake_at_us;                /* 0: none */
	json_t *detail;
	struct issued *issued;             /* its cell's, or the orphan that ends it */
	bool registered, resolving, checking, check_again;
	bool due;                          /* its deadline passed while it was being looked up, or waited for its turn */
	size_t heap_at;                    /* position + 1 in engine->timers; 0: not there */
	TAILQ_ENTRY(wait) link;            /* of run->waits */
	TAILQ_ENTRY(wait) named;           /* of the bucket of its key */
	struct wait_key *key;
};

struct wait_key {                          /* "kind\nname": all waits for one thing */
	char *text;
	TAILQ_HEAD(, wait) waits;
	struct wait *turn;                 /* of a signal: who looks, or takes what it found; the others come after it */
	UT_hash_handle hh;
};

struct journal_row {                       /* decided, delivered, not yet on disk */
	uint32_t effect;
	char *name;
	char digest[DIGEST_TEXT_SIZE];
	char *outcome;
	size_t bytes;
	int64_t at_us;
};

struct log_row {
	int64_t n, at_us;
	size_t index;
	char *level, *message, *fields;
};

struct recorded {                          /* what a replay must issue again */
	uint32_t effect;
	char *name;
	char digest[DIGEST_TEXT_SIZE];
	bool seen;
};

struct open_intent {                       /* an intent without an outcome, as activation found it on disk */
	uint32_t effect;
	bool resend;
	char *name;
	char digest[DIGEST_TEXT_SIZE];
};

struct run {
	char id[UUID_TEXT_SIZE];
	struct engine *engine;
	struct tenant *tenant;
	struct live_bundle *bundle;
	char *agent, *capability, *parent, *spec;
	json_t *input, *spec_start;        /* input: NULL while evicted */
	json_t *origin;                    /* of a fork: {at, now, phases, run}; NULL */
	char *chain;                       /* first run of its chain; NULL where it is none or the first */
	struct continuation *continuation; /* the next one, while it is being committed */
	int64_t created_at_us, parent_effect, fence, depth, cpu_us;
	unsigned strikes;                  /* without an outcome in between */
	size_t struck_at;                  /* outcomes on disk at the last strike */
	enum run_state state;
	bool fresh;                        /* never been in a cell: nothing to replay, input at hand */
	bool of_event;                     /* its end settles a delivery */
	bool activating, dry;              /* dry: a replay without a store behind it */
	bool computing;                    /* counted: its cell is at work or being opened, it does not only wait */
	bool queued_new;                   /* in which list of its tenant's queue it stands */
	int64_t logs_told;                 /* number of the last log record that went out */
	bool said_done, over;              /* DONE or FAIL has come; final row is being written */
	struct cell *cell;
	TAILQ_ENTRY(run) link;             /* tenant->queue, bundle->starved or engine->residents */
	enum run_list { LIST_NONE, LIST_QUEUE, LIST_STARVED, LIST_RESIDENT } list;

	uint32_t effects_issued;           /* by this cell */
	uint32_t outcomes_sent;            /* to this cell */
	struct recorded *recorded;
	size_t recorded_count, recorded_seen, journal_length;
	char *last_effect;                 /* name, for the error of a killed run */

	TAILQ_HEAD(issued_list, issued) issued, ready;
	struct issued_list flights;        /* left the host, and their cell has gone: what comes back counts */
	struct open_intent *intents;
	size_t intents_count;
	struct issued *appending;
	struct store_tx *appending_tx;
	size_t handler_ops;
	struct journal_row *unflushed;
	size_t unflushed_count, unflushed_submitted, unflushed_bytes, journal_bytes;
	struct flush *flush;               /* a commit of what is owed, without an effect of its own */
	bool suspended;                    /* the row says waiting */
	bool woken;                        /* was dormant, and has no cell yet: counted in engine->waking */
	struct log_row *logs;
	size_t logs_count, logs_submitted;
	TAILQ_HEAD(, wait) waits;
	size_t waits_count;

	json_t *output, *error;            /* of the end */
	enum run_state final;
	TAILQ_HEAD(, run_watcher) watchers;
	struct replay_request *replay;
	TAILQ_ENTRY(run) settle_link;      /* engine->settling */
	bool settling;
	struct run_limits limits;
	int64_t children;                  /* unfinished ones, at most; -1: the store knows */
	int64_t spawned;                   /* children that set out from here, ever */
	TAILQ_ENTRY(run) deadline_link;    /* engine->deadlined, with a deadline */
	int64_t settle_delay_us, settle_due_us;
	UT_hash_handle hh;
};

struct run_watcher {
	TAILQ_ENTRY(run_watcher) link;     /* of run->watchers or engine->lonely */
	struct engine *engine;
	struct run *run;                   /* NULL once the run has ended, and while it is forgotten */
	bool lonely;
	char id[UUID_TEXT_SIZE];
	run_event_fn event;
	void *arg;
};

struct engine {
	struct engine_options options;
	char *cell_program;
	char owner[UUID_TEXT_SIZE];
	struct cells *cells;
	struct tenant *tenants;
	struct live_bundle *bundles;
	struct run *runs;                  /* every unfinished run owned here, by id */
	struct wait_key *waits;
	struct wait **timers;              /* min-heap by wake_at_us */
	size_t timers_count, timers_cap;
	struct timer timer, sweep, settle, due;
	size_t due_asked;                  /* how far the slices of due_sweep got */
	struct metric *schedule_slots, *schedule_idle;
	TAILQ_HEAD(, run_watcher) lonely;  /* of runs that were forgotten when the store failed */
	struct adoption *adoptions;        /* to be read, oldest first */
	struct adoption **adoptions_end;
	struct adoption *adopting_ids;     /* all of them, also those that are being read */
	size_t adopting;                   /* reads under way */
	struct deliveries *deliveries;
	void (*emitted)(void *arg, const char *tenant);
	void *emitted_arg;
	struct parked *parked;
	struct takeover *takeovers;
	struct known_owner *owners;        /* found alive lately, when they were not told by store_owners_lost */
	struct timer dormant_timer, pulse, lost_again;
	int64_t dormant_due_us;            /* wall clock, for which dormant_timer is set */
	size_t waking;                     /* woken and not in a cell yet */
	bool wake_blocked;                 /* there are more, when there is room */
	struct tenant *wake_first, *sweep_next;
	struct loop_item drowsy;
	bool drowsy_queued;
	bool registered;                   /* as an owner */
	bool held;                         /* the lease, at the last look */
	bool mail_asked;
	unsigned pulses;
	TAILQ_HEAD(, issued) held_back;    /* effects to be begun when the lease is held again */
	struct run_queue queue;
	struct timer claim_timer;
	TAILQ_HEAD(, tenant) to_mark;
	bool marking, claiming, claimable; /* a transaction of marks, a round of claims is under way; the last round found runs */
	size_t swept;                      /* tenants looked at for runs that nobody marked */
	bool shares_reading;
	int64_t shares_read_us;            /* monotonic */
	size_t workers_alive;              /* on this store, this one included */
	struct run_list_head residents, settling, deadlined;
	size_t active;                     /* runs with a cell */
	size_t residents_count;
	bool draining, closing, jump_queued;
	bool breathless;                   /* the system gave no descriptor or process: wait before the next cell */
	bool adopt_own;                    /* the store failed: it may hold rows of ours that are not in memory */
	void (*drained)(void *arg);
	void *drained_arg;
	struct loop_item jump;
	struct retention *retention;
	struct metric *runs_total, *runs_active, *runs_waiting, *effects_total, *effect_seconds, *replays_total, *event_lag;
	struct metric *queue_length, *tenant_active, *tenant_backlog, *tenant_weight, *tenant_concurrency;
};

/* engine.c */
struct tenant *engine_tenant(struct engine *engine, struct str name);      /* NULL: no such tenant in the store */
struct run *engine_find_run(struct engine *engine, struct str tenant, struct str id);
struct run *run_new(struct engine *engine, struct tenant *tenant, const char *id);
void run_free(struct run *run);                        /* leaves all lists; watchers are told before */
void run_move(struct run *run, enum run_list list);
void run_count(struct run *run);                       /* after anything that decides whether it computes */
void run_set_state(struct run *run, enum run_state state);
void engine_maybe_drained(struct engine *engine);
void engine_maybe_jump(struct engine *engine);
/* bundles.c */
struct live_bundle *bundle_live(struct engine *engine, const char *digest);
struct live_bundle *bundle_adopt(struct engine *engine, const char *digest, json_t *files, json_t *manifest); /* takes both */
void bundle_release(struct engine *engine, struct live_bundle *bundle);
bool bundle_stem_ready(struct engine *engine, struct live_bundle *bundle); /* false: opened, or soon; starved runs go on when it is there */
void bundles_sweep(struct engine *engine);             /* idle stems go, lost ones come back */
const json_t *manifest_capability(const json_t *manifest, const char *agent, const char *capability);
/* starting.c */
struct run_birth {
	struct tenant *tenant;
	const char *id, *agent, *capability, *event, *parent, *spec;
	const char *started_by;            /* NULL: whoever started the parent, or nobody */
	struct str subject;
	const json_t *input, *spec_start;
	int64_t parent_effect, depth, now_us;
	bool unowned;                      /* any worker may claim it: run_offer when it is on disk, not run_admit */
	const struct run_limits *limits;   /* NULL: none */
	struct live_bundle *bundle;        /* held by the caller until the run is admitted: another may go live meanwhile */
};
bool tenant_is_full(const struct engine *engine, const struct tenant *tenant); /* no more unfinished runs */
size_t tenant_unfinished(const struct tenant *tenant); /* its unfinished runs, of all workers, as far as it is known here */
void run_birth_add(struct engine *engine, struct store_tx *tx, const struct run_birth *birth, enum store_expect expect);
/* After its row is on disk: into memory and the queue. NULL: it has no owner, it is offered to all workers. */
struct run *run_admit(struct engine *engine, const struct run_birth *birth);
int capability_check(const json_t *manifest, const char *agent, const char *capability, json_t **input, json_t *errors, struct errbuf *e);
void event_committed(struct issued *issued);           /* of events.emit */
void event_emitted(struct engine *engine, struct tenant *tenant, struct str id, struct str type); /* it is on disk */
/* shares.c */
void shares_declare(struct engine *engine);            /* metrics */
bool tenant_wants_count(const struct engine *engine, const struct tenant *tenant); /* may the limit be near, with what other workers started? */
void tenant_count_add(const struct engine *engine, const struct tenant *tenant, struct store_tx *tx); /* STATEMENT_runs_unfinished */
void tenant_counted(struct tenant *tenant, const struct store_result *r);
void shares_read(struct engine *engine);               /* what each tenant may have, every two seconds at most */
int64_t tenant_runs_most(const struct engine *engine, const struct tenant *tenant); /* 0: no limit */
/* claiming.c */
bool run_is_left_to_all(const struct engine *engine, const struct tenant *tenant); /* is a new run born without an owner? */
void run_offer(struct engine *engine, struct tenant *tenant); /* a run without owner is on disk */
void tenant_mark_ready(struct engine *engine, struct tenant *tenant);
void claim_more(struct engine *engine);                /* there is room in the queue: take runs from the store, if any are known there */
void claiming_on_timer(void *arg);
/* activation.c */
#define ACTIVE_MAX 256                                 /* cells that compute at the same time */
void engine_schedule(struct engine *engine);           /* start what may start */
void run_activate(struct run *run);
void recorded_add(struct run *run, uint32_t effect, const char *name, const char *digest); /* the cell will issue it: its outcome is sent */
void run_drop_cell(struct run *run);                   /* the cell is ended, the run goes on without */
void run_fail(struct run *run, const char *code, const char *message, json_t *more /* taken */);
/* journal.c */
void issued_finish(struct issued *issued);             /* frees */
struct issued *issued_new(struct run *run, uint32_t number, const char *name, const char *digest);
void issued_set_ok(struct issued *issued, const json_t *ok);
void issued_set_error(struct issued *issued, const char *code, const char *message, json_t *more /* taken */);
void issued_ready(struct issued *issued, enum ready_kind kind);
void run_pump(struct run *run);
void run_add_unflushed(struct run *run, struct store_tx *tx); /* journal rows and logs that are decided but not on disk */
void run_flushed(struct run *run);
void run_lost(struct run *run);                        /* taken over or cancelled elsewhere */
void run_flush(struct run *run, bool suspend);         /* what is owed, and with suspend the row's status */
void run_park(struct run *run, const char *why);       /* the store failed: try again soon */
void issued_begin(struct issued *issued);
/* intents.c */
void intents_load(struct run *run, const struct store_result *rows); /* effect name digest attempts resend */
void intents_forget(struct run *run);
const struct open_intent *intent_find(const struct run *run, uint32_t effect);
void intent_add_put(const struct issued *issued, struct store_tx *tx);
void intent_add_delete(struct issued *issued);         /* its outcome goes into the same transaction */
void intent_committed(struct run *run, struct issued *issued);
void intent_free(struct intent *intent);
bool flight_keeps(const struct issued *issued);        /* it has left: its outcome counts although its cell has gone */
void flight_add(struct run *run, struct issued *issued);
void flight_leave(struct issued *issued);
struct issued *flight_find(struct run *run, uint32_t effect);
void flights_end(struct run *run);                     /* the run is over here: stop them */
void issued_abort(struct issued *issued);              /* run and lists have let go of it */
void found_outcome(struct wait *wait, struct store_tx *read);
/* waiting.c */
void wait_resolve(struct wait *wait, json_t *ok /* taken */, struct store_tx *tx /* taken */);
void wait_resolve_error(struct wait *wait, const char *code, const char *message, json_t *more /* taken */, struct store_tx *tx /* taken */);
void wait_resume(struct wait *wait, struct store_tx *tx /* taken */); /* it ends without an outcome: the effect begins again */
struct wait *wait_new(struct run *run, uint32_t effect, const char *effect_name, const char *digest, const char *kind, const char *name,
                      int64_t wake_at_us, const json_t *detail);
void wait_register(struct wait *wait);                 /* its row is on disk */
void wait_free(struct wait *wait);
struct wait *wait_find(struct run *run, uint32_t effect);
void waits_check(struct engine *engine, const char *kind, const char *name);
void waits_fire_due(struct engine *engine);
void wait_attach(struct wait *wait, struct issued *issued);
void wait_look_again(struct wait *wait);
/* Its end is in the journal: frees it; who waits for the same signal looks next. */
void wait_ended(struct wait *wait);
int64_t run_wake_at(const struct run *run);
/* settling.c */
bool run_is_quiet(const struct run *run);              /* it waits, and nothing of it is under way */
bool run_only_waits(const struct run *run, const struct issued *but);
void run_settle(struct run *run);                      /* something ended: does it wait now? */
void run_unsettle(struct run *run);
void settling_on_timer(void *arg);
/* ending.c */
void run_end_commit(struct run *run);                  /* once nothing of the run is under way */
void run_cancelled(struct engine *engine, struct tenant *tenant, struct str id, json_t *error); /* its row says so: out of memory with it */
void run_stick(struct run *run, const char *code, const char *message); /* stuck: an operator looks */
void run_end(struct run *run, enum run_state state, json_t *output /* taken */, json_t *error /* taken */);
json_t *outcome_event(const struct journal_row *row, size_t index); /* new reference: what watchers are told */
/* watching.c */
void run_tell(struct run *run, const char *type, const char *id, json_t *data /* taken */);
void run_tell_status(struct run *run);
void watchers_leave(struct run *run);                  /* the run goes */
void watchers_return(struct run *run);                 /* it was taken up again */
/* adopting.c */
void adoptions_free(struct engine *engine);
/* retention.c */
void retention_new(struct engine *engine);
void retention_free(struct engine *engine);
size_t adoptions_count(const struct engine *engine);   /* asked for and not there yet */
void run_adopt_row(struct engine *engine, struct tenant *tenant, const char *id, enum adopt_from from);
void run_keep_parked(struct engine *engine, struct tenant *tenant, const char *id, enum adopt_from from); /* for the next sweep */
void parked_adopt(struct engine *engine);
/* recovery.c */
void owner_seen(struct engine *engine, struct tenant *tenant, struct str id); /* it has runs of the tenant: is it alive? */
void recovery_free(struct engine *engine);
/* dormant.c */
void dormant_count(struct tenant *tenant, int64_t by);
void run_maybe_doze(struct run *run);                  /* it may be freed: nothing of it is kept but its row */
void run_may_be_drowsy(struct run *run);               /* the same, in a later turn */
void run_is_up(struct run *run);                       /* woken, it has got where it wanted: others may be woken */
void engine_wake_run(struct engine *engine, struct tenant *tenant, const char *id); /* something came for it: its waits are looked at */
void dormant_read_again(struct engine *engine, struct tenant *tenant); /* deadlines came from elsewhere */
void dormant_refill(struct engine *engine, struct tenant *tenant);
void dormant_on_timer(void *arg);
void dormant_arm(struct engine *engine);
void dormant_go_on(struct engine *engine);             /* there may be room for more of what is due */
/* sweeping.c */
void engine_sweep(struct engine *engine);
void waits_sweep_all(struct engine *engine, struct tenant *tenant); /* every wait of the tenant once, now */
/* lease.c */
void engine_hold_back(struct issued *issued);          /* its begin waits for the lease */
void engine_on_pulse(void *arg);
/* forking.c */
void run_seed(struct str id, char out[DIGEST_TEXT_SIZE]); /* of a run's chance */
const char *run_chain(const struct run *run);          /* whose end a join waits for: the first run of its chain */
void run_add_phases(const struct run *run, json_t *start, struct buf *phases); /* START of a fork, and what stands behind it */
/* continuing.c */
void continuation_free(struct run *run);
bool run_continues(const struct issued *issued);       /* is its commit the end of the run? */
void run_continue_add(struct run *run, struct store_tx *tx); /* the ops that end it and begin the next, behind the journal row */
void run_continue_done(struct run *run);               /* they are on disk: frees the run */
/* due.c: schedules, deadlines, hand-offs to be started again */
void due_on_timer(void *arg);
void due_sweep(struct engine *engine);                 /* a slice of the tenants: others change rows too */
void due_note(struct engine *engine, struct tenant *tenant, int64_t at_us);  /* something is due then */
void due_soon(struct engine *engine, struct tenant *tenant);                 /* ask the store when something is due next */
void due_done(struct engine *engine, struct tenant *tenant, bool moved);     /* one that counted itself in due_busy has ended */
/* schedules.c */
MUST_CHECK int schedules_check(const json_t *manifest, struct errbuf *e);
void schedules_reconcile(struct engine *engine, struct tenant *tenant);      /* its bundle went live */
void schedules_fire(struct engine *engine, struct tenant *tenant, const struct store_result *rows /* schedules_due */);
/* limits.c: deadlines, budgets, how many children */
void deadlines_expire(struct engine *engine, struct tenant *tenant, const struct store_result *rows /* runs_past_deadline */);
/* handoffs.c */
MUST_CHECK int handoffs_check(const json_t *manifest, struct errbuf *e);
void handoff_end_add(const struct run *run, struct store_tx *tx, int64_t now_us); /* with the end of a receiver */
/* What a receiver returned, against the declared reply. Appends to errors. */
MUST_CHECK bool handoff_reply_fits(const struct run *run, json_t **output, json_t *errors);
void handoffs_replay(struct engine *engine, struct tenant *tenant, const struct store_result *rows /* handoffs_asked */);
/* replaying.c */
void replay_ended(struct run *run);
/* A dry run issued what its journal holds no outcome of. False: it is a wait, and was another: *other (its name borrowed). May free the run. */
bool replay_pending(struct run *run, uint32_t number, const char *name, const char *digest, struct recorded *other);
void replay_continued(struct run *run);                /* it issued run.continue_as_new, as recorded: was that its end? */
void replay_outcomes(const struct run *run, json_t **outcomes); /* borrowed */
json_t *error_new(const char *code, const char *message);
