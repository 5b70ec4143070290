/*
 * Happy path of `perigee migrate up`: a direct connection, the advisory lock, roles and schema; then each chain in one transaction as perigee_owner: compare
 * what was applied, apply the rest, note it, bring rights and row-level security up to date, commit. Whoever waits for the lock finds nothing left.
 */
#include "store/postgres/migrate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/migrations.h"
#include "store/postgres/place.h"

static const char *const chains[] = { "shared", "tenant" };
#define CHAINS (sizeof(chains) / sizeof(*chains))
static const char lock_sql[] = "SELECT pg_advisory_lock(5785221436)";      /* "perigee" on a telephone's keys, cut to fit */

/* The server's text on one line. */
static int explain(PGconn *connection, const PGresult *result, const char *doing, struct errbuf *e)
{
	const char *message = result != NULL ? PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY) : NULL;
	const char *code = result != NULL ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : NULL;
	const char *hint = "";
	char text[300];
	size_t n;

	snprintf(text, sizeof(text), "%s", message != NULL ? message : PQerrorMessage(connection));
	for (n = strlen(text); n > 0 && (text[n - 1] == '\n' || text[n - 1] == ' '); n--)
		text[n - 1] = '\0';
	for (char *p = text; *p != '\0'; p++)
		if (*p == '\n')
			*p = ' ';
	if (code != NULL && strcmp(code, "42501") == 0)
		hint = " (run perigee migrate up as a superuser, or as the database's owner with CREATEROLE)";
	else if (code != NULL && strcmp(code, "25006") == 0)
		hint = " (this server is read-only: use the primary)";
	else if (code != NULL && strcmp(code, "55P03") == 0)
		hint = " (another perigee migrate, or a long transaction, holds it: try again)";
	return err_set(e, ERR_STORE, "%s: %s%s", doing, text, hint);
}

int postgres_ask(PGconn *connection, const char *doing, const char *sql, int count, const char *const *values, PGresult **out, struct errbuf *e)
{
	PGresult *result = count == 0 ? PQexec(connection, sql) : PQexecParams(connection, sql, count, NULL, values, NULL, NULL, 0);
	ExecStatusType status = PQresultStatus(result);
	int code = 0;

	if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
		code = explain(connection, result, doing, e);
	if (code == 0 && out != NULL)
		*out = result;
	else
		PQclear(result);
	return code;
}

/* -- what was applied -------------------------------------------------------------------------------------------------- */

struct applied {
	PGresult *rows;            /* number, name, checksum, applied_at, chain; NULL: there is no table of ours */
	int count;
};

static int applied_read(PGconn *connection, struct applied *out, struct errbuf *e)
{
	PGresult *there;
	int code;

	*out = (struct applied){ NULL, 0 };
	code = postgres_ask(connection, "look for the schema", "SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_tables WHERE schemaname = 'perigee' AND tablename = 'migrations')", 0, NULL, &there, e);
	if (code != 0)
		return code;
	if (strcmp(PQgetvalue(there, 0, 0), "t") == 0)
		code = postgres_ask(connection, "read perigee.migrations",
		    "SELECT number, name, checksum, applied_at, chain FROM perigee.migrations ORDER BY chain, number", 0, NULL, &out->rows, e);
	PQclear(there);
	out->count = out->rows != NULL ? PQntuples(out->rows) : 0;
	return code;
}

/* The row of a migration, or -1. */
static int applied_find(const struct applied *applied, const char *chain, int number)
{
	for (int i = 0; i < applied->count; i++)
		if (strcmp(PQgetvalue(applied->rows, i, 4), chain) == 0 && atoi(PQgetvalue(applied->rows, i, 0)) == number)
			return i;
	return -1;
}

static bool applied_is_same(const struct applied *applied, int row, const struct store_migration *m)
{
	char expected[SHA256_HEX_SIZE];

	migrations_checksum(m, expected);
	return strcmp(PQgetvalue(applied->rows, row, 2), expected) == 0;
}

/* Altered or newer is refused; *missing: how many of the chain are not there. */
static int compare(const struct applied *applied, const char *chain, int *missing, struct errbuf *e)
{
	int known = migrations_known(chain, "postgres");

	*missing = 0;
	for (int i = 0; i < applied->count; i++) {
		int number = atoi(PQgetvalue(applied->rows, i, 0));

		if (strcmp(PQgetvalue(applied->rows, i, 4), chain) == 0 && number > known)
			return err_set(e, ERR_STORE, "the database has migration %s/%04d_%s and this program knows %d of that chain: run the newer perigee that applied it",
			    chain, number, PQgetvalue(applied->rows, i, 1), known);
	}
	for (int number = 1; number <= known; number++) {
		const struct store_migration *m = migrations_find(chain, "postgres", number);
		int row = applied_find(applied, chain, number);

		if (row < 0)
			++*missing;
		else if (*missing > 0)
			return err_set(e, ERR_STORE, "migration %s/%04d_%s was applied and one before it was not: restore a backup", chain, number, m->name);
		else if (!applied_is_same(applied, row, m))
			return err_set(e, ERR_STORE, "migration %s/%04d_%s is not the one that was applied (its checksum differs): run the perigee that "
			    "made this database, or restore a backup", chain, number, m->name);
	}
	return 0;
}

int postgres_migrations_check(PGconn *connection, struct errbuf *e)
{
	struct applied applied;
	int missing = 0, lacking = 0, code = applied_read(connection, &applied, e);

	for (size_t i = 0; i < CHAINS && code == 0; i++) {
		code = compare(&applied, chains[i], &missing, e);
		lacking += missing;
	}
	if (code == 0 && lacking > 0)
		code = err_set(e, ERR_STORE, "%d migration%s missing: run perigee migrate up as a superuser or the owner of the database", lacking,
		    lacking == 1 ? " is" : "s are");
	PQclear(applied.rows);
	return code;
}

/* -- status ------------------------------------------------------------------------------------------------------------ */

static void status_of_chain(const struct applied *applied, const char *chain, json_t *report)
{
	int known = migrations_known(chain, "postgres");

	for (int number = 1; number <= known; number++) {
		const struct store_migration *m = migrations_find(chain, "postgres", number);
		int row = applied_find(applied, chain, number);
		char sum[SHA256_HEX_SIZE];

		migrations_checksum(m, sum);
		migrations_report(report, NULL, chain, number, m->name, sum, row >= 0 ? atoll(PQgetvalue(applied->rows, row, 3)) : 0,
		    row < 0 ? "missing" : applied_is_same(applied, row, m) ? "applied" : "altered");
	}
	for (int i = 0; i < applied->count; i++)
		if (strcmp(PQgetvalue(applied->rows, i, 4), chain) == 0 && atoi(PQgetvalue(applied->rows, i, 0)) > known)
			migrations_report(report, NULL, chain, atoi(PQgetvalue(applied->rows, i, 0)), PQgetvalue(applied->rows, i, 1),
			    PQgetvalue(applied->rows, i, 2), atoll(PQgetvalue(applied->rows, i, 3)), "newer");
}

static int status(PGconn *connection, json_t *report, struct errbuf *e)
{
	struct applied applied;
	int code = applied_read(connection, &applied, e);

	for (size_t i = 0; i < CHAINS && code == 0; i++)
		status_of_chain(&applied, chains[i], report);
	PQclear(applied.rows);
	return code;
}

/* -- up ---------------------------------------------------------------------------------------------------------------- */

static int apply(PGconn *connection, const struct store_migration *m, json_t *report, struct errbuf *e)
{
	char doing[160], number[16], sum[SHA256_HEX_SIZE];
	const char *values[] = { m->chain, number, m->name, sum };
	PGresult *row;
	int code;

	snprintf(doing, sizeof(doing), "migration %s/%04d_%s", m->chain, m->number, m->name);
	snprintf(number, sizeof(number), "%d", m->number);
	migrations_checksum(m, sum);
	code = postgres_ask(connection, doing, m->sql, 0, NULL, NULL, e);
	if (code == 0)
		code = postgres_ask(connection, doing,
		    "INSERT INTO perigee.migrations (chain, number, name, checksum, applied_at) "
		    "VALUES ($1, $2, $3, $4, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) RETURNING applied_at", 4, values, &row, e);
	if (code == 0) {
		migrations_report(report, NULL, m->chain, m->number, m->name, sum, atoll(PQgetvalue(row, 0, 0)), "applied");
		PQclear(row);
	}
	return code;
}

static int up_chain(PGconn *connection, const char *chain, json_t *report, struct errbuf *e)
{
	int known = migrations_known(chain, "postgres"), missing = 0, code;
	struct applied applied = { NULL, 0 };

	code = postgres_ask(connection, "begin", "BEGIN", 0, NULL, NULL, e);
	if (code == 0)
		code = applied_read(connection, &applied, e);
	if (code == 0)
		code = compare(&applied, chain, &missing, e);
	if (code == 0)
		code = postgres_ask(connection, "act as perigee_owner", "SET LOCAL ROLE perigee_owner; SET LOCAL search_path = " POSTGRES_SEARCH_PATH, 0, NULL, NULL, e);
	for (int number = known - missing + 1; number <= known && code == 0; number++)
		code = apply(connection, migrations_find(chain, "postgres", number), report, e);
	if (code == 0)
		code = postgres_ask(connection, "rights and row-level security", postgres_secure_sql, 0, NULL, NULL, e);
	PQclear(applied.rows);
	if (code == 0)
		return postgres_ask(connection, "commit", "COMMIT", 0, NULL, NULL, e);
	PQclear(PQexec(connection, "ROLLBACK"));
	return code;
}

/* A transaction-mode pooler would hand the lock to one session and the work to another. */
static int refuse_pooler(PGconn *connection, struct errbuf *e)
{
	PGresult *answer;
	int code = postgres_ask(connection, "look at the server",
	    "SELECT pg_backend_pid(), current_setting('server_encoding'), current_setting('server_version_num')::int, pg_is_in_recovery()", 0, NULL, &answer, e);

	if (code != 0)
		return code;
	if (atoi(PQgetvalue(answer, 0, 0)) != PQbackendPID(connection))
		code = err_set(e, ERR_STORE, "this goes through a pooler, which cannot keep the migration's lock: give the server's own address");
	else if (strcmp(PQgetvalue(answer, 0, 1), "UTF8") != 0)
		code = err_set(e, ERR_STORE, "the database's encoding is %s: make one with ENCODING 'UTF8'", PQgetvalue(answer, 0, 1));
	else if (atoi(PQgetvalue(answer, 0, 2)) < 150000)
		code = err_set(e, ERR_STORE, "the server is older than PostgreSQL 15: use 15 or newer");
	else if (strcmp(PQgetvalue(answer, 0, 3), "t") == 0)
		code = err_set(e, ERR_STORE, "this server is a read-only replica: use the primary");
	PQclear(answer);
	return code;
}

static int up(PGconn *connection, json_t *report, struct errbuf *e)
{
	int code = refuse_pooler(connection, e);

	if (code == 0)
		code = postgres_ask(connection, "wait for the migration lock", "SET lock_timeout = '60s'; SET statement_timeout = 0; SET client_min_messages = warning", 0,
		    NULL, NULL, e);
	if (code == 0)
		code = postgres_ask(connection, "wait for the migration lock", lock_sql, 0, NULL, NULL, e);
	if (code == 0)
		code = postgres_ask(connection, "begin", "BEGIN", 0, NULL, NULL, e);
	if (code == 0)
		code = postgres_ask(connection, "roles and schema", postgres_bootstrap_sql, 0, NULL, NULL, e);
	if (code == 0)
		code = postgres_ask(connection, "roles and schema", "COMMIT", 0, NULL, NULL, e);
	for (size_t i = 0; i < CHAINS && code == 0; i++)
		code = up_chain(connection, chains[i], report, e);
	return code;                            /* closing the connection gives up the lock, and a transaction that failed */
}

int postgres_migrations(const char *url, bool apply_missing, json_t *report, struct errbuf *e)
{
	struct place place;
	PGconn *connection;
	int code = place_parse(&place, url, e);

	if (code != 0)
		return code;
	connection = PQconnectdbParams((const char *const *)place.keys, (const char *const *)place.values, 0);
	if (PQstatus(connection) != CONNECTION_OK)
		code = explain(connection, NULL, "connect", e);
	else
		code = apply_missing ? up(connection, report, e) : status(connection, report, e);
	if (code != 0)
		code = err_wrap(e, code, "%s", place.shown);
	PQfinish(connection);
	place_free(&place);
	return code;
}
