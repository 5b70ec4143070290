/*
 * Roles, rights and row-level security, as SQL that may run again and again. Not a migration: every `perigee migrate up` brings all tables under it, whichever
 * migration made them, so that none can be forgotten; guard.c refuses a database where one is not.
 *
 *   perigee_owner    owns schema and tables; nobody logs in as this
 *   perigee_app      what hosts log in as; bound by row-level security, owns nothing
 *   perigee_reader   reads, of the tenant that it names in perigee.tenant; for reports
 */
#include "store/postgres/migrate.h"

/* Roles belong to the server, not to the database: another database may have made them, or may be making them now. */
const char postgres_bootstrap_sql[] =
	"DO $do$\n"
	"DECLARE\n"
	"	role record;\n"
	"BEGIN\n"
	"	FOR role IN SELECT * FROM (VALUES ('perigee_owner', 'NOLOGIN'), ('perigee_app', 'LOGIN'), ('perigee_reader', 'LOGIN')) AS roles (name, login) LOOP\n"
	"		CONTINUE WHEN EXISTS (SELECT 1 FROM pg_roles WHERE rolname = role.name);\n"
	"		BEGIN\n"
	"			EXECUTE format('CREATE ROLE %I %s NOSUPERUSER NOBYPASSRLS NOCREATEROLE NOCREATEDB NOREPLICATION', role.name, role.login);\n"
	"		EXCEPTION WHEN duplicate_object OR unique_violation THEN\n"
	"			NULL;\n"
	"		END;\n"
	"	END LOOP;\n"
	/* The owner of a database that is no superuser makes the tables in the owner's name. */
	"	IF NOT pg_has_role(current_user, 'perigee_owner', 'MEMBER') THEN\n"
	"		EXECUTE format('GRANT perigee_owner TO %I', current_user);\n"
	"	END IF;\n"
	/* A name in a statement means ours, whatever session a pooler hands out: nothing in pg_temp or public comes before. */
	"	FOR role IN SELECT r.oid, r.rolname FROM pg_roles r WHERE r.rolname IN ('perigee_app', 'perigee_reader')\n"
	"		AND NOT EXISTS (SELECT 1 FROM pg_db_role_setting s WHERE s.setrole = r.oid AND s.setdatabase = 0\n"
	"			AND 'search_path=" POSTGRES_SEARCH_PATH "' = ANY (s.setconfig)) LOOP\n"
	"		EXECUTE format('ALTER ROLE %I SET search_path = " POSTGRES_SEARCH_PATH "', role.rolname);\n"
	"	END LOOP;\n"
	"	IF to_regnamespace('perigee') IS NULL THEN\n"
	"		CREATE SCHEMA perigee AUTHORIZATION perigee_owner;\n"
	"	END IF;\n"
	"	EXECUTE format('GRANT CONNECT ON DATABASE %I TO perigee_app, perigee_reader', current_database());\n"
	"END\n"
	"$do$;\n"
	"SET LOCAL ROLE perigee_owner;\n"
	"CREATE TABLE IF NOT EXISTS perigee.migrations (\n"
	"	chain text COLLATE \"C\" NOT NULL,\n"
	"	number bigint NOT NULL,\n"
	"	name text COLLATE \"C\" NOT NULL,\n"
	"	checksum text COLLATE \"C\" NOT NULL,\n"
	"	applied_at bigint NOT NULL,\n"
	"	PRIMARY KEY (chain, number)\n"
	");\n"
	"GRANT USAGE ON SCHEMA perigee TO perigee_app, perigee_reader;\n"
	"GRANT SELECT ON perigee.migrations TO perigee_app, perigee_reader;\n"
	"RESET ROLE;\n";

/* A table is a tenant's when it has tenant_id; every other is the platform's, which readers do not see. */
const char postgres_secure_sql[] =
	"DO $do$\n"
	"DECLARE\n"
	"	each record;\n"
	"BEGIN\n"
	"	FOR each IN SELECT c.oid, c.relname, c.relrowsecurity, c.relforcerowsecurity,\n"
	"			EXISTS (SELECT 1 FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped) AS of_tenants,\n"
	"			EXISTS (SELECT 1 FROM pg_policy p WHERE p.polrelid = c.oid AND p.polname = '" POSTGRES_POLICY "' AND p.polpermissive AND p.polcmd = '*'\n"
	"				AND p.polroles = '{0}' AND pg_get_expr(p.polqual, p.polrelid) = $text$" POSTGRES_POLICY_TEXT "$text$\n"
	"				AND pg_get_expr(p.polwithcheck, p.polrelid) = $text$" POSTGRES_POLICY_TEXT "$text$) AS has_policy\n"
	"		FROM pg_class c\n"
	"		WHERE c.relnamespace = 'perigee'::regnamespace AND c.relkind IN ('r', 'p') AND c.relname <> 'migrations' LOOP\n"
	"		EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON perigee.%I TO perigee_app', each.relname);\n"
	"		CONTINUE WHEN NOT each.of_tenants;\n"
	"		EXECUTE format('GRANT SELECT ON perigee.%I TO perigee_reader', each.relname);\n"
	"		IF NOT each.relrowsecurity THEN\n"
	"			EXECUTE format('ALTER TABLE perigee.%I ENABLE ROW LEVEL SECURITY', each.relname);\n"
	"		END IF;\n"
	"		IF NOT each.relforcerowsecurity THEN\n"
	"			EXECUTE format('ALTER TABLE perigee.%I FORCE ROW LEVEL SECURITY', each.relname);\n"
	"		END IF;\n"
	"		IF NOT each.has_policy THEN\n"
	"			EXECUTE format('DROP POLICY IF EXISTS " POSTGRES_POLICY " ON perigee.%I', each.relname);\n"
	/* No setting, or the empty one that a transaction leaves behind, is no tenant: no row. */
	"			EXECUTE format($text$CREATE POLICY " POSTGRES_POLICY " ON perigee.%I FOR ALL\n"
	"				USING (tenant_id = nullif(current_setting('perigee.tenant', true), ''))\n"
	"				WITH CHECK (tenant_id = nullif(current_setting('perigee.tenant', true), ''))$text$, each.relname);\n"
	"		END IF;\n"
	"	END LOOP;\n"
	"END\n"
	"$do$;\n"
	/* The server measures a table a minute after it was first filled; until then it would plan as if a tenant had one row, and read all rows for each. */
	"CREATE OR REPLACE FUNCTION perigee.perigee_measure() RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $do$\n"
	"DECLARE\n"
	"	each record;\n"
	"	measured bigint := 0;\n"
	"BEGIN\n"
	"	FOR each IN SELECT relname FROM (SELECT c.relname, c.relpages, pg_relation_size(c.oid) / current_setting('block_size')::bigint AS pages FROM pg_class c\n"
	"			WHERE c.relnamespace = 'perigee'::regnamespace AND c.relkind = 'r') AS t WHERE pages > 2 * relpages + 8 AND pages <= 2048 LIMIT 8 LOOP\n"
	"		EXECUTE format('ANALYZE (SKIP_LOCKED) perigee.%I', each.relname);\n"
	"		measured := measured + 1;\n"
	"	END LOOP;\n"
	"	RETURN measured;\n"
	"END\n"
	"$do$;\n"
	"REVOKE ALL ON FUNCTION perigee.perigee_measure() FROM PUBLIC;\n"
	"GRANT EXECUTE ON FUNCTION perigee.perigee_measure() TO perigee_app";
