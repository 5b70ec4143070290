#include "store/postgres/guard.h"

#include <stdlib.h>
#include <string.h>

#include "store/postgres/migrate.h"

/* Each check is one row with a text when something is wrong; the first in order is told. Everything is said without the search path's help. */
static const char role_sql[] =
	"WITH me AS (SELECT r.* FROM pg_catalog.pg_roles r WHERE r.rolname IN (session_user, current_user)),\n"
	"faults (place, text) AS (\n"
	"	SELECT 1, pg_catalog.format('role %s is a superuser: row-level security does not bind it', rolname) FROM me WHERE rolsuper\n"
	"	UNION ALL SELECT 2, pg_catalog.format('role %s has BYPASSRLS: row-level security does not bind it', rolname) FROM me WHERE rolbypassrls\n"
	"	UNION ALL SELECT 3, pg_catalog.format('role %s has CREATEROLE: it could make itself the owner of the tables', rolname) FROM me WHERE rolcreaterole\n"
	"	UNION ALL SELECT 4, pg_catalog.format('role %s is a member of %s, which row-level security does not bind', me.rolname, r.rolname)\n"
	"		FROM me JOIN pg_catalog.pg_roles r ON pg_catalog.pg_has_role(me.oid, r.oid, 'MEMBER') WHERE (r.rolsuper OR r.rolbypassrls OR r.rolcreaterole) AND r.oid <> me.oid\n"
	"	UNION ALL SELECT 5, CASE WHEN c.relowner = me.oid THEN pg_catalog.format('role %s owns the table %s: it could take row-level security away', me.rolname, c.relname)\n"
	"			ELSE pg_catalog.format('role %s is a member of %s, which owns the table %s', me.rolname, pg_catalog.pg_get_userbyid(c.relowner), c.relname) END\n"
	"		FROM me JOIN pg_catalog.pg_class c ON pg_catalog.pg_has_role(me.oid, c.relowner, 'MEMBER')\n"
	"		WHERE c.relnamespace = pg_catalog.to_regnamespace('perigee') AND c.relkind IN ('r', 'p', 'v', 'm', 'f'))\n"
	"SELECT text || ': connect as perigee_app, or a role like it' FROM faults ORDER BY place, text LIMIT 1";

static const char server_sql[] =
	"SELECT CASE\n"
	"	WHEN current_setting('server_version_num')::int < 150000 THEN 'the server is older than PostgreSQL 15: use 15 or newer'\n"
	"	WHEN current_setting('server_encoding') <> 'UTF8' THEN pg_catalog.format('the database''s encoding is %s: make one with ENCODING ''UTF8''', current_setting('server_encoding'))\n"
	"	WHEN NOT EXISTS (SELECT 1 FROM pg_catalog.pg_tables WHERE schemaname = 'perigee' AND tablename = 'migrations') THEN 'there is no schema of ours: run perigee migrate up as a superuser or the owner of the database'\n"
	"	WHEN NOT pg_catalog.has_schema_privilege('perigee', 'USAGE') THEN pg_catalog.format('role %s has no rights here: GRANT perigee_app TO it, or connect as perigee_app', current_user)\n"
	"	WHEN current_setting('search_path') <> '" POSTGRES_SEARCH_PATH "' THEN pg_catalog.format('the search_path of role %s is not ours: ALTER ROLE %I SET search_path = " POSTGRES_SEARCH_PATH "', session_user, session_user)\n"
	"	END";

/* A table is of tenants when it has tenant_id. */
static const char table_sql[] =
	"WITH tables AS (\n"
	"	SELECT c.oid, c.relname, c.relrowsecurity, c.relforcerowsecurity FROM pg_catalog.pg_class c\n"
	"	WHERE c.relnamespace = 'perigee'::regnamespace AND c.relkind IN ('r', 'p') AND EXISTS (\n"
	"		SELECT 1 FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped)),\n"
	"faults (place, text) AS (\n"
	"	SELECT 1, 'row-level security is not enabled on table ' || relname FROM tables WHERE NOT relrowsecurity\n"
	"	UNION ALL SELECT 2, 'row-level security is not forced on table ' || relname FROM tables WHERE NOT relforcerowsecurity\n"
	"	UNION ALL SELECT 3, 'table ' || relname || ' lacks our policy " POSTGRES_POLICY "' FROM tables t WHERE NOT EXISTS (\n"
	"		SELECT 1 FROM pg_catalog.pg_policy p WHERE p.polrelid = t.oid AND p.polname = '" POSTGRES_POLICY "' AND p.polpermissive AND p.polcmd = '*' AND p.polroles = '{0}'\n"
	"		AND pg_catalog.pg_get_expr(p.polqual, p.polrelid) = $text$" POSTGRES_POLICY_TEXT "$text$\n"
	"		AND pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid) = $text$" POSTGRES_POLICY_TEXT "$text$)\n"
	"	UNION ALL SELECT 4, pg_catalog.format('table %s has a policy %s that is not ours and lets more pass (DROP POLICY it)', t.relname, p.polname) FROM tables t\n"
	"		JOIN pg_catalog.pg_policy p ON p.polrelid = t.oid WHERE p.polname <> '" POSTGRES_POLICY "' AND p.polpermissive\n"
	"	UNION ALL SELECT 5, pg_catalog.format('role %s may not %s table %s', current_user, lower(r.name), relname) FROM tables\n"
	"		CROSS JOIN (VALUES ('SELECT'), ('INSERT'), ('UPDATE'), ('DELETE')) AS r (name) WHERE NOT pg_catalog.has_table_privilege(oid, r.name))\n"
	"SELECT text || ': run perigee migrate up as a superuser or the owner of the database' FROM faults ORDER BY place, text LIMIT 1";

static int check(PGconn *connection, const char *doing, const char *sql, struct errbuf *e)
{
	PGresult *answer;
	int code = postgres_ask(connection, doing, sql, 0, NULL, &answer, e);

	if (code != 0)
		return code;
	if (PQntuples(answer) > 0 && !PQgetisnull(answer, 0, 0))
		code = err_set(e, ERR_STORE, "%s", PQgetvalue(answer, 0, 0));
	PQclear(answer);
	return code;
}

int postgres_guard(PGconn *connection, struct errbuf *e)
{
	int code = check(connection, "look at the role", role_sql, e);

	if (code == 0)
		code = check(connection, "look at the server", server_sql, e);
	if (code == 0)
		code = postgres_migrations_check(connection, e);
	if (code == 0)
		code = check(connection, "look at row-level security", table_sql, e);
	return code;
}
