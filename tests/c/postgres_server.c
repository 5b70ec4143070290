#include "postgres_server.h"

#include "check.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char server[400], pooler[400], database[64], url[512];
static pid_t helper;
static int helper_input = -1;

/* `servers.py pgbouncer` prints the pooler's and the server's keyword strings, and ends with its input. */
static void start_own(void)
{
	int in[2], out[2];
	FILE *lines;

	if (pipe(in) != 0 || pipe(out) != 0)
		abort();
	helper = fork();
	if (helper == 0) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		close(in[1]);
		close(out[0]);
		execlp("python3", "python3", "tests/lib/servers.py", "pgbouncer", (char *)NULL);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	helper_input = in[1];
	lines = fdopen(out[0], "r");
	if (fgets(pooler, sizeof(pooler), lines) == NULL || fgets(server, sizeof(server), lines) == NULL) {
		fprintf(stderr, "no PostgreSQL for this test: start it from the repository's folder, or by tests/run\n");
		exit(1);
	}
	server[strcspn(server, "\n")] = pooler[strcspn(pooler, "\n")] = '\0';
}

void postgres_server_start(void)
{
	const char *given = getenv("PERIGEE_TEST_POSTGRES"), *given_pooler = getenv("PERIGEE_TEST_PGBOUNCER");

	if (given == NULL || given_pooler == NULL) {
		start_own();
		return;
	}
	snprintf(server, sizeof(server), "%s", given);
	snprintf(pooler, sizeof(pooler), "%s", given_pooler);
}

void postgres_server_stop(void)
{
	if (helper_input < 0)
		return;
	close(helper_input);
	waitpid(helper, NULL, 0);
}

/* The same server with another database and user: later words win. */
static void place(char out[512], const char *base, const char *name, const char *user)
{
	snprintf(out, 512, "%s dbname=%s user=%s", base, name, user);
}

static const char *run(PGconn *conn, const char *sql)
{
	static char value[4096];
	PGresult *result = PQexec(conn, sql);
	ExecStatusType status = PQresultStatus(result);

	if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
		fail_msg("%s: %s", sql, PQerrorMessage(conn));
	snprintf(value, sizeof(value), "%s", PQntuples(result) > 0 ? PQgetvalue(result, 0, 0) : "");
	PQclear(result);
	return value;
}

static PGconn *connect_to(const char *name, const char *user)
{
	char text[512];
	PGconn *conn;

	place(text, server, name, user);
	conn = PQconnectdb(text);
	if (PQstatus(conn) != CONNECTION_OK)
		fail_msg("%s", PQerrorMessage(conn));
	return conn;
}

static const char *make(const char *base)
{
	static int serial;
	char sql[200];
	PGconn *conn = connect_to("postgres", "postgres");

	snprintf(database, sizeof(database), "c_%d_%d", (int)getpid(), ++serial);
	snprintf(sql, sizeof(sql), "CREATE DATABASE %s TEMPLATE perigee_template", database);
	run(conn, sql);
	PQfinish(conn);
	place(url, base, database, "perigee_app");
	return url;
}

const char *postgres_make(void)
{
	return make(server);
}

const char *postgres_make_pooled(void)
{
	return make(pooler);
}

void postgres_clear(void)
{
	PGconn *conn = connect_to("postgres", "postgres");
	char sql[200];

	snprintf(sql, sizeof(sql), "DROP DATABASE %s WITH (FORCE)", database);
	run(conn, sql);
	PQfinish(conn);
}

PGconn *postgres_connect(const char *user)
{
	return connect_to(database, user);
}

const char *postgres_sql(const char *format, ...)
{
	static PGconn *conn;
	char sql[4000];
	const char *value;
	va_list args;

	va_start(args, format);
	vsnprintf(sql, sizeof(sql), format, args);
	va_end(args);
	conn = connect_to(database, "postgres");
	value = run(conn, sql);
	PQfinish(conn);
	return value;
}
