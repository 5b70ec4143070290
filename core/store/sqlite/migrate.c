/*
 * Migrations of one file: a row in its table `migrations` for each that was applied, with the checksum of its text, and their number in the
 * header (user_version), which later openings compare. All that is missing is applied in one transaction: whole or not at all.
 */
#include <stdio.h>
#include <string.h>

#include "store/migrations.h"
#include "store/sqlite/connection.h"

/* "PERI": told by file(1), and how we know a stranger's database. */
static const int application_id = 0x50455249;

static const char table_sql[] =
	"CREATE TABLE migrations (chain TEXT NOT NULL, number INTEGER NOT NULL, name TEXT NOT NULL, checksum TEXT NOT NULL,"
	" applied_at INTEGER NOT NULL, PRIMARY KEY (chain, number)) WITHOUT ROWID";

static int number_of(struct connection *c, const char *sql, int *out, struct errbuf *e)
{
	sqlite3_stmt *s = NULL;
	int rc = sqlite3_prepare_v2(c->db, sql, -1, &s, NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_step(s);
	if (rc == SQLITE_ROW)
		*out = sqlite3_column_int(s, 0);
	sqlite3_finalize(s);
	return rc == SQLITE_ROW ? 0 : connection_explain(c, rc, "read schema version", e);
}

static int refuse_newer(const struct connection *c, int version, int known, struct errbuf *e)
{
	return err_set(e, ERR_STORE, "%s: its schema has version %d and this program knows %d: run the newer perigee that wrote it, or restore a backup",
	    c->file, version, known);
}

int migrate_check(struct connection *c, const char *chain, bool *behind, struct errbuf *e)
{
	int version = 0, known = migrations_known(chain, "sqlite"), code;

	code = number_of(c, "PRAGMA user_version", &version, e);
	if (code != 0)
		return code;
	if (version > known)
		return refuse_newer(c, version, known, e);
	*behind = version < known;
	return 0;
}

/* Is the file empty, ours, or somebody else's? */
static int recognise(struct connection *c, bool *empty, struct errbuf *e)
{
	int tables = 0, id = 0, code;

	if ((code = number_of(c, "SELECT count(*) FROM sqlite_master", &tables, e)) != 0 ||
	    (code = number_of(c, "PRAGMA application_id", &id, e)) != 0)
		return code;
	*empty = tables == 0;
	if (tables > 0 && id != application_id)
		return err_set(e, ERR_STORE, "%s: a database, but none of Perigee's: choose another folder for the store", c->file);
	return 0;
}

/* Compare what was applied with what we have; *applied = how many. */
static int verify(struct connection *c, const char *chain, int *applied, struct errbuf *e)
{
	const struct store_migration *m;
	char expected[SHA256_HEX_SIZE];
	sqlite3_stmt *s = NULL;
	int rc, number, code = 0;

	*applied = 0;
	rc = sqlite3_prepare_v2(c->db, "SELECT number, name, checksum FROM migrations WHERE chain = ?1 ORDER BY number", -1, &s, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_bind_text(s, 1, chain, -1, SQLITE_STATIC);
	while (rc == SQLITE_OK && code == 0 && (rc = sqlite3_step(s)) == SQLITE_ROW) {
		rc = SQLITE_OK;
		number = sqlite3_column_int(s, 0);
		m = migrations_find(chain, "sqlite", number);
		if (m == NULL) {
			code = refuse_newer(c, number, migrations_known(chain, "sqlite"), e);
			break;
		}
		migrations_checksum(m, expected);
		if (number != ++*applied || strcmp(expected, (const char *)sqlite3_column_text(s, 2)) != 0)
			code = err_set(e, ERR_STORE, "%s: migration %s/%04d_%s is not the one that was applied (its checksum differs): "
			    "run the perigee that made this store, or restore a backup", c->file, chain, number, (const char *)sqlite3_column_text(s, 1));
	}
	sqlite3_finalize(s);
	if (code == 0 && rc != SQLITE_DONE)
		code = connection_explain(c, rc, "read migrations", e);
	return code;
}

static int apply(struct connection *c, const struct store_migration *m, int64_t now_us)
{
	char sum[SHA256_HEX_SIZE], version[64];
	sqlite3_stmt *s = NULL;
	int rc = sqlite3_exec(c->db, m->sql, NULL, NULL, NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_prepare_v2(c->db, "INSERT INTO migrations (chain, number, name, checksum, applied_at) VALUES (?1, ?2, ?3, ?4, ?5)", -1, &s, NULL);
	if (rc != SQLITE_OK)
		return rc;
	migrations_checksum(m, sum);
	sqlite3_bind_text(s, 1, m->chain, -1, SQLITE_STATIC);
	sqlite3_bind_int(s, 2, m->number);
	sqlite3_bind_text(s, 3, m->name, -1, SQLITE_STATIC);
	sqlite3_bind_text(s, 4, sum, -1, SQLITE_STATIC);
	sqlite3_bind_int64(s, 5, now_us);
	rc = sqlite3_step(s);
	sqlite3_finalize(s);
	if (rc != SQLITE_DONE)
		return rc;
	snprintf(version, sizeof(version), "PRAGMA user_version = %d", m->number);
	return sqlite3_exec(c->db, version, NULL, NULL, NULL);
}

static int apply_missing(struct connection *c, const char *chain, bool empty, int applied, int64_t now_us, struct errbuf *e)
{
	const struct store_migration *m;
	char sql[64], doing[160] = "make a new store";
	int rc = SQLITE_OK;

	if (empty) {
		rc = sqlite3_exec(c->db, table_sql, NULL, NULL, NULL);
		snprintf(sql, sizeof(sql), "PRAGMA application_id = %d", application_id);
		if (rc == SQLITE_OK)
			rc = sqlite3_exec(c->db, sql, NULL, NULL, NULL);
	}
	while (rc == SQLITE_OK && (m = migrations_find(chain, "sqlite", applied + 1)) != NULL) {
		snprintf(doing, sizeof(doing), "migration %s/%04d_%s", chain, m->number, m->name);
		rc = apply(c, m, now_us);
		applied++;
	}
	return rc == SQLITE_OK ? 0 : connection_explain(c, rc, doing, e);
}

int migrate_connection(struct connection *c, const char *chain, bool read_only, const struct clock *clock, struct errbuf *e)
{
	bool empty = false;
	int applied = 0, code, rc;

	/* A look without a lock first: usually there is nothing to do. */
	if ((code = recognise(c, &empty, e)) != 0 || (!empty && (code = verify(c, chain, &applied, e)) != 0))
		return code;
	if (!empty && applied == migrations_known(chain, "sqlite"))
		return 0;
	if (read_only)
		return err_set(e, ERR_STORE, "%s: its schema has version %d, %d is needed, and the store is opened read-only: run perigee migrate up",
		    c->file, applied, migrations_known(chain, "sqlite"));
	rc = connection_control(c, CONTROL_BEGIN_WRITE);
	if (rc != SQLITE_OK)
		return connection_explain(c, rc, "migrate", e);
	applied = 0;
	code = recognise(c, &empty, e);
	if (code == 0 && !empty)
		code = verify(c, chain, &applied, e);
	if (code == 0)
		code = apply_missing(c, chain, empty, applied, clock_now_us(clock), e);
	if (code == 0 && (rc = connection_control(c, CONTROL_COMMIT)) != SQLITE_OK)
		code = connection_explain(c, rc, "migrate", e);
	if (code != 0 && sqlite3_get_autocommit(c->db) == 0)
		(void)connection_control(c, CONTROL_ROLLBACK);
	return code;
}
