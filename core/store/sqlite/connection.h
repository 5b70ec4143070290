/*
 * One open database of the folder: a tenant's or the platform's, with its prepared statements. Used by one thread at a time.
 *
 *     FOLDER/platform.db   FOLDER/tenants/NAME.db   FOLDER/workers/ID.lock
 */
#pragma once

#include "store/engine.h"

#include <sqlite3.h>

enum { CONNECTION_PATH_MAX = 4096 };

enum connection_mode { CONNECTION_WRITE, CONNECTION_READ };

struct folder {
	char *path;                   /* owned */
	bool read_only;
	const struct clock *clock;
};

enum control {
	CONTROL_BEGIN_WRITE, CONTROL_BEGIN_READ, CONTROL_COMMIT, CONTROL_ROLLBACK,
	CONTROL_SAVEPOINT, CONTROL_RELEASE, CONTROL_ROLLBACK_TO,
	CONTROL_COUNT
};

struct connection {
	sqlite3 *db;
	char file[CONNECTION_PATH_MAX];
	char tenant[STORE_TENANT_SIZE];
	enum connection_mode mode;
	sqlite3_stmt *statements[STATEMENT_COUNT];
	sqlite3_stmt *controls[CONTROL_COUNT];
	/* pool.c */
	struct connection *bucket_next, *older, *newer;
	/* lane.c: the transactions of this round */
	struct store_tx *first, **end;
	struct connection *group_next;
};

/* The file of a tenant ("" = platform) in out. */
void folder_file(const struct folder *folder, struct str tenant, char out[CONNECTION_PATH_MAX]);
/* Open what exists, brought to this program's schema version by whoever opens it first. ERR_NOT_FOUND without the file, else ERR_STORE. */
MUST_CHECK int connection_open(const struct folder *folder, struct str tenant, enum connection_mode mode, struct connection **out, struct errbuf *e);
/* Make the file if it is not there, then open it for writing, without looking at its schema: for migrate.c. */
MUST_CHECK int connection_open_file(const struct folder *folder, const char *file, bool create, struct connection **out, struct errbuf *e);
void connection_close(struct connection *c);   /* accepts NULL */
/* A statement ready to be bound and stepped; NULL with e when the schema does not have what it needs. Reset it after use. */
sqlite3_stmt *connection_statement(struct connection *c, enum statement statement, struct errbuf *e);
int connection_control(struct connection *c, enum control control);   /* an SQLite result code */
/* What went wrong, with the file and what to do about it. Returns ERR_STORE. */
int connection_explain(const struct connection *c, int sqlite_code, const char *doing, struct errbuf *e);
/* Did the storage itself fail, so that nothing of the transaction can be trusted? */
bool connection_is_broken_by(int sqlite_code);

/* migrate.c: chain is "shared" or "tenant". Applies what is missing (refuses with read_only) and verifies what was applied before. */
MUST_CHECK int migrate_connection(struct connection *c, const char *chain, bool read_only, const struct clock *clock, struct errbuf *e);
/* Is the schema the one that this program knows? A cheap look (one number of the file's header). */
MUST_CHECK int migrate_check(struct connection *c, const char *chain, bool *behind, struct errbuf *e);

/* functions.c */
MUST_CHECK int functions_register(sqlite3 *db);
