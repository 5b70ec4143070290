/*
 * What an engine sees of the store, and the store of an engine. Inside core/store/ only.
 *
 * The shell (store.c, tx.c) builds transactions, owns them while nobody runs them, and delivers completions in the loop's thread. An engine runs
 * submitted transactions in threads or sockets of its own and hands each back through store_complete, exactly once. Another engine is another
 * `struct store_engine` and another folder of statements with the same names and parameters.
 */
#pragma once

#include "store/arena.h"
#include "store/store.h"

struct dump_writer;
struct dump_reader;

#define STORE_TENANT_SIZE 64       /* a name (base/ids.h) and NUL; "" is the platform */

/* The tables are generated (tools/sqlgen.sh), by enum statement. */
struct store_statement {
	const char *name;
	bool platform;             /* runs in the platform's database, else in a tenant's */
	int params;
	const char *sql;           /* NULL: this engine has no such statement */
	const char *types;         /* PostgreSQL: a letter for each parameter: i, t (also JSON), b; of a form for many: of its arrays' elements */
	bool writes;
	int many;                  /* 1 + the statement that does many of these at once; 0: there is none */
	int many_of;               /* 1 + the statement of which this is the form for many */
	bool uncounted;            /* of a form for many: one of them may change any number of rows */
	bool answers;              /* of a form for many: its rows are led by the number of the one that each is for, from 1 */
};
extern const struct store_statement sqlite_statements[], postgres_statements[];

struct store_migration {           /* the generated table ends with a row of NULLs; ordered by chain, engine, number */
	const char *chain;         /* shared, tenant */
	const char *engine;
	int number;
	const char *name, *sql;
};
extern const struct store_migration store_migrations[];

struct store_op {
	enum statement statement;
	enum store_expect expect;
	unsigned params;
	struct store_value *values;
	struct store_result result;
};

struct store_tx {
	uint32_t magic;
	struct store_tx *next;     /* in a queue of the engine, the mailbox or the freelist */
	struct store *store;
	char tenant[STORE_TENANT_SIZE];
	size_t tenant_length;
	bool write;
	bool submitted;            /* between submit and completion the engine owns it */
	bool waited;               /* by store_write_now, store_read_now: no callback */
	bool finished;             /* of a waited one */
	int code;
	store_done_fn done;
	void *arg;
	struct store_op *ops;
	size_t count, cap;
	size_t failed_op;
	char error[256];
	struct arena arena;
	struct buf scratch;        /* JSON is written here, then copied */
};

/* A group commit, for the metrics: measured in a thread, counted in the loop's. */
struct store_commit {
	double seconds;
	int64_t rows;
};

struct store_engine {
	const char *scheme;                            /* "sqlite": of the URL; "postgres" */
	const struct store_statement *statements;      /* STATEMENT_COUNT of them */
	/* place: what follows sqlite:, or the whole URL of PostgreSQL */
	int (*open)(struct store *store, const struct store_options *options, const char *place, void **out, struct errbuf *e);
	void (*close)(void *engine);                   /* completes what was submitted, joins the threads */
	void (*submit)(void *engine, struct store_tx *tx);
	int (*tenant_create)(void *engine, struct str tenant, const char *title, struct errbuf *e);
	bool (*tenant_exists)(void *engine, struct str tenant);
	json_t *(*tenant_names)(void *engine);
	int (*dump)(void *engine, struct str tenant, unsigned parts, struct dump_writer *w, struct errbuf *e); /* store/dump.h; enum dump_part */
	int (*load)(void *engine, struct str tenant, struct dump_reader *r, bool with_keys, struct errbuf *e); /* the tenant does not exist */
	int (*tenant_delete)(void *engine, struct str tenant, struct errbuf *e);                          /* it exists */
	int (*owner_register)(void *engine, const char *owner, struct errbuf *e);
	bool (*owner_is_alive)(void *engine, struct str owner);
	enum store_lease (*lease)(void *engine);       /* any thread */
	/* Complete tx (one operation) with a row for each id and the number of live owners as `changed`. */
	void (*owners_lost)(void *engine, struct store_tx *tx);
	void (*owner_forget)(void *engine, struct str owner);
	void (*owner_release)(void *engine);
};
extern const struct store_engine store_engine_sqlite, store_engine_postgres;

/* Any thread: these transactions (linked by next) are done, their code and results set; commit may be NULL; up: -1 unknown, else 0 or 1. */
void store_complete(struct store *store, struct store_tx *list, const struct store_commit *commit, int up);
/* Set code, failed op and text of a transaction that an engine runs. */
void store_tx_fail(struct store_tx *tx, int code, size_t op, const char *format, ...) PRINTF_LIKE(4, 5);
const struct store_statement *store_statement(const struct store *store, enum statement statement);
/* Results for a transaction of an engine's own making: room for rows * columns values in its arena, all null. */
struct store_value *store_result_make(struct store_tx *tx, size_t op, size_t rows, size_t columns);
/* tx.c for store.c */
struct store_tx *store_tx_make(void);
void store_tx_destroy(struct store_tx *tx);
void store_tx_reset(struct store_tx *tx);
struct store_tx *store_freelist_take(struct store *store);
void store_freelist_give(struct store *store, struct store_tx *tx);
