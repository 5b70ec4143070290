#include "store/sqlite/connection.h"


#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	OPEN_TIMEOUT_MS = 2000,        /* another worker may be migrating */
	BUSY_TIMEOUT_MS = 5000,        /* another worker's group commit takes milliseconds */
};

static const char *const control_sql[CONTROL_COUNT] = {
	[CONTROL_BEGIN_WRITE] = "BEGIN IMMEDIATE",
	[CONTROL_BEGIN_READ] = "BEGIN",
	[CONTROL_COMMIT] = "COMMIT",
	[CONTROL_ROLLBACK] = "ROLLBACK",
	[CONTROL_SAVEPOINT] = "SAVEPOINT one",
	[CONTROL_RELEASE] = "RELEASE one",
	[CONTROL_ROLLBACK_TO] = "ROLLBACK TO one",
};

/* FULL: a commit is on disk when it returns. The checkpoint runs inside a commit every 16 MiB of log. secure_delete FAST: deleted
 * bytes are overwritten wherever that costs no write of its own. */
static const char pragmas_common[] =
	"PRAGMA synchronous = FULL; PRAGMA foreign_keys = OFF; PRAGMA temp_store = MEMORY; PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;";
static const char pragmas_write[] =
	"PRAGMA wal_autocheckpoint = 4000; PRAGMA journal_size_limit = 67108864; PRAGMA secure_delete = FAST; PRAGMA cache_size = -8000;";
static const char pragmas_read[] = "PRAGMA query_only = ON; PRAGMA cache_size = -4000;";

void folder_file(const struct folder *folder, struct str tenant, char out[CONNECTION_PATH_MAX])
{
	int n;

	if (tenant.n == 0)
		n = snprintf(out, CONNECTION_PATH_MAX, "%s/platform.db", folder->path);
	else
		n = snprintf(out, CONNECTION_PATH_MAX, "%s/tenants/%.*s.db", folder->path, STR_ARG(tenant));
	BUG_ON(n < 0 || n >= CONNECTION_PATH_MAX);
}

bool connection_is_broken_by(int sqlite_code)
{
	switch (sqlite_code & 0xff) {
	case SQLITE_FULL:
	case SQLITE_IOERR:
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
	case SQLITE_READONLY:
	case SQLITE_CANTOPEN:
	case SQLITE_PERM:
	case SQLITE_PROTOCOL:
	case SQLITE_NOMEM:
		return true;
	default:
		return false;
	}
}

static const char *advice(int sqlite_code)
{
	switch (sqlite_code & 0xff) {
	case SQLITE_FULL: return "the disk is full: free space, then try again";
	case SQLITE_READONLY: return "it is read-only: give this user the right to write the folder and its files, or mount it writable";
	case SQLITE_PERM:
	case SQLITE_CANTOPEN: return "it cannot be opened: check that the folder exists and that this user may read and write it";
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
	case SQLITE_PROTOCOL: return "another process holds it locked: end that process (fuser shows which), then try again";
	case SQLITE_CORRUPT: return "it is damaged: stop the host and restore it from a backup (perigee restore)";
	case SQLITE_NOTADB: return "it is no SQLite database: restore it from a backup, or move it out of the folder";
	case SQLITE_IOERR: return "the disk answers with errors: check the system log and the disk's health";
	case SQLITE_NOMEM: return "memory is out";
	default: return "see the text before";
	}
}

int connection_explain(const struct connection *c, int sqlite_code, const char *doing, struct errbuf *e)
{
	const char *said = c->db != NULL ? sqlite3_errmsg(c->db) : sqlite3_errstr(sqlite_code);
	int primary = sqlite_code & 0xff;

	if (primary == SQLITE_ERROR || primary == SQLITE_CONSTRAINT || primary == SQLITE_MISMATCH || primary == SQLITE_TOOBIG)
		return err_set(e, ERR_STORE, "%s: %s: %s", c->file, doing, said);
	return err_set(e, ERR_STORE, "%s: %s: %s (%s)", c->file, doing, advice(sqlite_code), said);
}

/* SQLite does not wait for the lock that this change needs, whatever its time-out says: several workers open a new store at once. */
static int write_ahead(sqlite3 *db)
{
	int rc = sqlite3_exec(db, "PRAGMA journal_mode = WAL", NULL, NULL, NULL);

	for (int waited_ms = 0; (rc & 0xff) == SQLITE_BUSY && waited_ms < OPEN_TIMEOUT_MS; waited_ms += 10) {
		sqlite3_sleep(10);
		rc = sqlite3_exec(db, "PRAGMA journal_mode = WAL", NULL, NULL, NULL);
	}
	return rc;
}

static int connection_setup(struct connection *c, const struct folder *folder, bool created, struct errbuf *e)
{
	int rc = SQLITE_OK;

	sqlite3_extended_result_codes(c->db, 1);
	sqlite3_busy_timeout(c->db, OPEN_TIMEOUT_MS);
	sqlite3_db_config(c->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_db_config(c->db, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
	sqlite3_db_config(c->db, SQLITE_DBCONFIG_DQS_DDL, 0, NULL);
	if (created)
		rc = sqlite3_exec(c->db, "PRAGMA page_size = 4096", NULL, NULL, NULL);
	/* The first look at the file: a lock, damage or a wrong kind of file shows here. */
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(c->db, "SELECT count(*) FROM sqlite_master", NULL, NULL, NULL);
	if (rc == SQLITE_OK && !folder->read_only && c->mode == CONNECTION_WRITE)
		rc = write_ahead(c->db);
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(c->db, pragmas_common, NULL, NULL, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(c->db, c->mode == CONNECTION_WRITE ? pragmas_write : pragmas_read, NULL, NULL, NULL);
	if (rc == SQLITE_OK)
		rc = functions_register(c->db);
	if (rc != SQLITE_OK)
		return connection_explain(c, rc, "open", e);
	if (!folder->read_only && sqlite3_db_readonly(c->db, "main") != 0)
		return connection_explain(c, SQLITE_READONLY, "open", e);
	sqlite3_busy_timeout(c->db, BUSY_TIMEOUT_MS);
	return 0;
}

/* Only this user reads it; SQLite gives the log files the same rights. */
static int file_make(const char *file, struct errbuf *e)
{
	int fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0)
		return err_set(e, ERR_STORE, "%s: cannot be made: %s: %s", file, strerror(errno),
		    errno == EROFS || errno == EACCES ? "the folder must be writable for this user" : "check the folder and the free space");
	close(fd);
	return 0;
}

static int open_file(struct connection *c, const struct folder *folder, bool created, struct errbuf *e)
{
	int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE | SQLITE_OPEN_URI;
	char uri[CONNECTION_PATH_MAX + 32];
	int rc;

	flags |= folder->read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE;
	rc = sqlite3_open_v2(c->file, &c->db, flags, NULL);
	/* Without a writable folder there is no place for the shared index of the log: then nobody can be writing. */
	if (rc == SQLITE_OK && folder->read_only && access(folder->path, W_OK) != 0) {
		sqlite3_close(c->db);
		snprintf(uri, sizeof(uri), "file:%s?immutable=1", c->file);
		rc = sqlite3_open_v2(uri, &c->db, flags, NULL);
	}
	if (rc != SQLITE_OK)
		return connection_explain(c, rc, "open", e);
	return connection_setup(c, folder, created, e);
}

int connection_open_file(const struct folder *folder, const char *file, bool create, struct connection **out, struct errbuf *e)
{
	struct connection *c;
	bool missing;
	int code;

	*out = NULL;
	missing = access(file, F_OK) != 0;
	if (missing && !create)
		return err_set(e, ERR_NOT_FOUND, "%s: no such file", file);
	if (missing && (code = file_make(file, e)) != 0)
		return code;
	c = mem_alloc(sizeof(*c));
	c->mode = CONNECTION_WRITE;
	snprintf(c->file, sizeof(c->file), "%s", file);
	code = open_file(c, folder, missing, e);
	if (code != 0) {
		connection_close(c);
		return code;
	}
	*out = c;
	return 0;
}

/* A tenant's file may be behind: another program of the host, older than this one, made it while we ran. */
static int bring_up_to_date(const struct folder *folder, struct connection *c, const char *chain, struct errbuf *e)
{
	struct connection *writer;
	int code;

	if (c->mode == CONNECTION_WRITE)
		return migrate_connection(c, chain, folder->read_only, folder->clock, e);
	code = connection_open_file(folder, c->file, false, &writer, e);
	if (code != 0)
		return code;
	code = migrate_connection(writer, chain, folder->read_only, folder->clock, e);
	connection_close(writer);
	return code;
}

int connection_open(const struct folder *folder, struct str tenant, enum connection_mode mode, struct connection **out, struct errbuf *e)
{
	const char *chain = tenant.n == 0 ? "shared" : "tenant";
	struct connection *c;
	bool behind = false;
	int code;

	*out = NULL;
	c = mem_alloc(sizeof(*c));
	c->mode = mode;
	BUG_ON(tenant.n >= sizeof(c->tenant));
	memcpy(c->tenant, tenant.p != NULL ? tenant.p : "", tenant.n);
	folder_file(folder, tenant, c->file);
	if (access(c->file, F_OK) != 0) {
		code = err_set(e, tenant.n == 0 ? ERR_STORE : ERR_NOT_FOUND, "%s: no such tenant: create it with perigee tenant create",
		    tenant.n == 0 ? c->file : c->tenant);
		goto fail;
	}
	if ((code = open_file(c, folder, false, e)) != 0 || (code = migrate_check(c, chain, &behind, e)) != 0)
		goto fail;
	if (behind && (code = bring_up_to_date(folder, c, chain, e)) != 0)
		goto fail;
	*out = c;
	return 0;
fail:
	connection_close(c);
	return code;
}

void connection_close(struct connection *c)
{
	if (c == NULL)
		return;
	for (size_t i = 0; i < STATEMENT_COUNT; i++)
		sqlite3_finalize(c->statements[i]);
	for (size_t i = 0; i < CONTROL_COUNT; i++)
		sqlite3_finalize(c->controls[i]);
	BUG_ON(sqlite3_close(c->db) != SQLITE_OK);
	free(c);
}

sqlite3_stmt *connection_statement(struct connection *c, enum statement statement, struct errbuf *e)
{
	sqlite3_stmt **s = &c->statements[statement];
	char doing[96];
	int rc;

	if (*s != NULL)
		return *s;
	rc = sqlite3_prepare_v3(c->db, sqlite_statements[statement].sql, -1, SQLITE_PREPARE_PERSISTENT, s, NULL);
	if (rc != SQLITE_OK) {
		snprintf(doing, sizeof(doing), "prepare %s", sqlite_statements[statement].name);
		connection_explain(c, rc, doing, e);
		return NULL;
	}
	BUG_ON(sqlite3_bind_parameter_count(*s) != sqlite_statements[statement].params);
	return *s;
}

int connection_control(struct connection *c, enum control control)
{
	sqlite3_stmt **s = &c->controls[control];
	int rc = SQLITE_OK;

	if (*s == NULL)
		rc = sqlite3_prepare_v3(c->db, control_sql[control], -1, SQLITE_PREPARE_PERSISTENT, s, NULL);
	if (rc != SQLITE_OK)
		return rc;
	rc = sqlite3_step(*s);
	sqlite3_reset(*s);
	return rc == SQLITE_DONE ? SQLITE_OK : rc;
}
