/*
 * The storage interface: transactions made of named statements. Which SQL a name stands for is the engine's business
 * (the .sql files in store/sqlite/statements; PostgreSQL later); what is asked and answered is the same for all.
 *
 * A `store_tx` belongs to one tenant (or to the platform: tenant ""), runs its operations in order in one atomic unit and completes in the loop's
 * thread, exactly once, never before store_submit returned. Writes of many transactions are committed together (group commit): everything
 * submitted while one commit is under way goes into the next; each transaction stands or falls alone (a savepoint). Completion of a write means: on disk.
 * Reads see everything whose completion was delivered before they were submitted.
 */
#pragma once

#include "base/error.h"
#include "base/json.h"
#include "base/metrics.h"
#include "net/loop.h"
#include "store/statements.h" /* generated from the .sql files: enum statement */

#define STORE_PARAMS_MAX 24
#define STORE_LEASE_MS 10000

enum store_type { STORE_NULL, STORE_INT, STORE_TEXT, STORE_BLOB };

struct store_value {
	enum store_type type;
	int64_t integer;
	struct str text;      /* TEXT and BLOB */
};

enum store_expect {
	STORE_ANY,            /* any number of rows */
	STORE_MUST,           /* at least one row changed or returned, else the transaction is undone with ERR_CONFLICT and failed_op = this */
};

struct store_result {
	size_t rows, columns;
	const struct store_value *values; /* rows * columns, row by row; lives as long as the tx */
	int64_t changed;                  /* rows changed by INSERT, UPDATE, DELETE */
};

struct store;
struct store_tx;
/* code: 0, ERR_CONFLICT (a STORE_MUST, or a unique key that is taken), ERR_STORE (with store_tx_error) or ERR_NOT_FOUND (no such tenant).
 * The callee owns tx from here: store_tx_free. */
typedef void (*store_done_fn)(struct store_tx *tx, int code, void *arg);

struct store_options {
	const char *url;            /* "sqlite:PATH" (a folder) */
	struct loop *loop;          /* completions are posted here */
	struct metrics *metrics;    /* perigee_commit_seconds, perigee_commit_batch_rows, perigee_store_up; may be NULL */
	const struct clock *clock;
	bool create;                /* make the folder and files that are missing */
	bool read_only;
	int lease_ms;               /* of an owner (PostgreSQL); 0: STORE_LEASE_MS */
};

/* Opens, migrates, starts the threads. Refuses with a clear text when the store is read-only, full, locked, of a newer version, or altered. */
MUST_CHECK int store_open(const struct store_options *options, struct store **out, struct errbuf *e);
/* Finishes what was submitted, delivers nothing more (frees those transactions), joins the threads. The caller's own transactions are freed before. */
void store_close(struct store *store);

/* A tenant's own storage. Provision is idempotent and whole or not at all; blocks (start-up and admin commands). */
MUST_CHECK int store_tenant_create(struct store *store, struct str tenant, const char *title, struct errbuf *e);
/* A tenant whose data lives in another database, which is migrated already (PostgreSQL) or made (SQLite). ERR_CONFLICT where the tenant is known. Blocks. */
MUST_CHECK int store_tenant_place(struct store *store, struct str tenant, const char *title, const char *url, struct errbuf *e);
bool store_tenant_exists(struct store *store, struct str tenant);
json_t *store_tenant_names(struct store *store);   /* new reference: array of strings, in order */

struct store_tx *store_tx_new(struct store *store, struct str tenant);
void store_tx_free(struct store_tx *tx);
/* Append an operation; values by type letters: i int64_t, s struct str (copied), t const char * (copied; NULL is null), b struct str as
 * blob (copied), j const json_t * (canonical text; NULL is null), n null (no argument). A slice whose p is NULL is null; an empty one
 * is ''. They bind to ?1, ?2 … of the statement. Returns the index of the operation. */
size_t store_tx_add(struct store_tx *tx, enum statement statement, enum store_expect expect, const char *types, ...);
size_t store_tx_count(const struct store_tx *tx);
void store_submit_write(struct store_tx *tx, store_done_fn done, void *arg);
void store_submit_read(struct store_tx *tx, store_done_fn done, void *arg);
/* The same, waiting: for start-up, command line and tests; never from a callback of the loop. Returns the code. */
MUST_CHECK int store_write_now(struct store_tx *tx, struct errbuf *e);
MUST_CHECK int store_read_now(struct store_tx *tx, struct errbuf *e);

const struct store_result *store_tx_result(const struct store_tx *tx, size_t op);
const char *store_tx_error(const struct store_tx *tx);
size_t store_tx_failed_op(const struct store_tx *tx);
/* Loop's thread. Did the last commit reach the disk (perigee_store_up)? */
bool store_is_up(struct store *store);
/* One cell; the caller knows row < rows and the column's type (else BUG_ON). Null reads as 0 or an empty slice. */
int64_t store_int(const struct store_result *r, size_t row, size_t column);
struct str store_text(const struct store_result *r, size_t row, size_t column);
bool store_is_null(const struct store_result *r, size_t row, size_t column);

/*
 * Owners: processes that own runs, by an id that is never used twice. SQLite: a locked file each, so that a killed process is known to be gone at once.
 * PostgreSQL: a row in `workers` with a lease by the database's clock, renewed by a thread of the store; each write of a registered owner
 * holds only while that row stands. See docs/internals/production.md section 2.
 */
enum store_lease {
	STORE_LEASE_HELD,
	STORE_LEASE_DOUBTFUL,         /* not renewed for two thirds of the lease: start no effect, send nothing, until it is held again */
	STORE_LEASE_LOST,             /* another has taken over: end the process; no write of this owner succeeds any more */
};

/* One owner a store: registering another ends the first one's. Blocks. */
MUST_CHECK int store_owner_register(struct store *store, const char *owner, struct errbuf *e);
bool store_owner_is_alive(struct store *store, struct str owner);
/* Any thread, no lock, a look at the clock. HELD without an owner, and always with SQLite. */
enum store_lease store_lease(struct store *store);
/* lost: array of ids of owners that are gone and fenced (no write of theirs appears any more), lent for the call, NULL unless code is 0; alive:
 * how many are not gone, oneself among them. In the loop's thread, exactly once; not after store_close. */
typedef void (*store_owners_fn)(int code, const json_t *lost, int64_t alive, void *arg);
/* A lost owner is listed until it is forgotten: whoever gets it takes its runs over, then forgets it. */
void store_owners_lost(struct store *store, store_owners_fn done, void *arg);
/* Nothing is left of a lost owner. Returns at once; idempotent; when it fails the owner is listed again. Not for one that is alive (nothing happens). */
void store_owner_forget(struct store *store, const char *owner);
/* Hand over now: the lease of this store's owner ends, others find it lost at their next look. Blocks for at most a second or two. */
void store_owner_release(struct store *store);
