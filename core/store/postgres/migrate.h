/* Migrations of a PostgreSQL database: a row in perigee.migrations for each that was applied. See store/migrations.h for what the command line asks. */
#pragma once

#include "base/error.h"

#include <libpq-fe.h>

/* Is everything applied that this program knows, unaltered, and nothing newer? Else ERR_STORE with what to do. Reads only; any role that may connect. */
MUST_CHECK int postgres_migrations_check(PGconn *connection, struct errbuf *e);

/* secure.c: SQL that makes roles and schema (idempotent; as superuser or owner of the database), and SQL that brings rights and row-level security of all
 * tables up to date (as perigee_owner). */
extern const char postgres_bootstrap_sql[], postgres_secure_sql[];
/* The one policy that a table of tenants has, as pg_get_expr shows its expression. */
#define POSTGRES_POLICY "tenant_only"
#define POSTGRES_POLICY_TEXT "(tenant_id = NULLIF(current_setting('perigee.tenant'::text, true), ''::text))"
#define POSTGRES_SEARCH_PATH "perigee, pg_temp"

/* One statement or several, without parameters or with text parameters (then one statement); the answer in *out (PQclear) unless NULL. ERR_STORE: "DOING: what the server said". */
MUST_CHECK int postgres_ask(PGconn *connection, const char *doing, const char *sql, int count, const char *const *values, PGresult **out, struct errbuf *e);
