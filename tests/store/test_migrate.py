#!/usr/bin/env python3
"""perigee migrate, and what a host refuses to start on."""
import json, os, shutil, signal, socket, subprocess, sys, tempfile, time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "lib"), os.path.join(HERE, "..", "http")]
from harness import PROGRAM, TOP, equal, main, matches, test, true
from servers import PgBouncer, keywords, migrate, shared_postgres

postgres = shared_postgres()
postgres.start()
postgres.template()           # the roles are there from now on, as on a server that has another database of ours


def perigee(*words, **more):
    done = subprocess.run([PROGRAM] + list(words), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=TOP, timeout=60, **more)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def owner_of(database):
    return database.replace("user=perigee_app", "user=postgres")


def refused(store, pattern, *also):
    """serve ends with 3 and one line."""
    code, out, said = perigee("serve", "--root", ".", "--listen", "127.0.0.1:0", "--store", store, *also)
    lines = [line for line in said.splitlines() if line.startswith("perigee:")]
    equal((code, out, len(lines)), (3, "", 1), said)
    matches(lines[0], pattern)
    return lines[0]


def serves(store):
    """A host starts on it, answers, and ends when asked to."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    host = subprocess.Popen([PROGRAM, "serve", "--root", ".", "--listen", "127.0.0.1:%d" % port, "--store", store], cwd=TOP, stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        until, said = time.monotonic() + 30, ""
        while "ready" not in said:
            line = host.stdout.readline().decode()
            true(line and time.monotonic() < until, "no host: %s" % said)
            said += line
    finally:
        host.send_signal(signal.SIGTERM)
        host.communicate(timeout=60)
    equal(host.returncode, 0)


def with_database(function, migrated=True):
    database = postgres.database(migrated)
    try:
        function(database)
    finally:
        postgres.drop(database)


@test
def a_new_database_is_migrated_once_and_served():
    def check(database):
        app = database.replace("user=postgres", "user=perigee_app")
        code, out, said = perigee("migrate", "status", "--store", database)
        equal(code, 1, said)
        matches(said, "missing: run perigee migrate up")
        refused(app, "no schema of ours: run perigee migrate up")
        code, out, said = perigee("migrate", "up", "--store", database)
        equal((code, said), (0, ""))
        true("applied shared/0001_create_platform" in out and "applied tenant/0001_create_tenant" in out, out)
        equal(perigee("migrate", "up", "--store", database), (0, "nothing to do: every migration was applied before\n", ""))
        code, out, said = perigee("migrate", "status", "--json", "--store", app)
        equal((code, said), (0, ""))
        rows = json.loads(out)["items"]
        true(len(rows) >= 2 and all(r["state"] == "applied" and len(r["checksum"]) == 64 and r["applied_at"] for r in rows), rows)
        serves(app)
    with_database(check, migrated=False)


@test
def two_at_a_time_apply_each_migration_once():
    def check(database):
        both = [subprocess.Popen([PROGRAM, "migrate", "up", "--store", database], stdout=subprocess.PIPE, stderr=subprocess.STDOUT) for _ in range(4)]
        said = [b.communicate()[0].decode() for b in both]
        equal([b.returncode for b in both], [0] * 4, said)
        equal(sum("applied shared/0001" in s for s in said), 1, said)
    with_database(check, migrated=False)


@test
def several_databases_of_one_server_are_migrated_at_once():
    databases = [postgres.database(migrated=False) for _ in range(3)]
    both = [subprocess.Popen([PROGRAM, "migrate", "up", "--store", d], stdout=subprocess.PIPE, stderr=subprocess.STDOUT) for d in databases]
    said = [b.communicate()[0].decode() for b in both]
    equal([b.returncode for b in both], [0] * 3, said)
    for database in databases:
        postgres.drop(database)


@test
def the_owner_of_a_database_migrates_without_being_superuser():
    def check(database):
        name = keywords(database)["dbname"]
        postgres.sql("DROP ROLE IF EXISTS plain_owner; CREATE ROLE plain_owner LOGIN CREATEROLE; ALTER DATABASE %s OWNER TO plain_owner" % name)
        # The template's roles were made by somebody else: whoever grants them is a superuser once.
        code, out, said = perigee("migrate", "up", "--store", database.replace("user=postgres", "user=plain_owner"))
        equal(code, 0, said)
        serves(database.replace("user=postgres", "user=perigee_app"))
        refused(database.replace("user=postgres", "user=plain_owner"), "CREATEROLE")
    with_database(check, migrated=False)


@test
def whoever_may_not_migrate_is_told_who_may():
    def check(database):
        code, _, said = perigee("migrate", "up", "--store", database.replace("user=postgres", "user=perigee_app"))
        equal(code, 3)
        matches(said, "run perigee migrate up as a superuser")
    with_database(check, migrated=False)


@test
def a_pooler_is_refused_for_migrating_and_taken_for_serving():
    def check(database):
        with PgBouncer(postgres) as pooler:
            code, _, said = perigee("migrate", "up", "--store", pooler.conninfo(owner_of(database)))
            equal(code, 3)
            matches(said, "pooler")
            serves(pooler.conninfo(database))
    with_database(check)


@test
def what_was_altered_or_is_newer_or_missing_is_refused():
    def check(database):
        def change(sql):
            postgres.sql(sql, database)
        change("UPDATE perigee.migrations SET checksum = 'x' WHERE chain = 'tenant' AND number = 1")
        refused(database, r"tenant/0001_create_tenant is not the one that was applied")
        code, out, said = perigee("migrate", "status", "--store", database)
        equal(code, 1)
        matches(out, "altered")
        code, _, said = perigee("migrate", "up", "--store", owner_of(database))
        equal(code, 3)
        matches(said, "checksum differs")
    with_database(check)

    def newer(database):
        postgres.sql("INSERT INTO perigee.migrations VALUES ('shared', 9000, 'come_later', 'x', 1)", database)
        refused(database, r"shared/9000_come_later and this program knows \d+ .*run the newer perigee")
        code, out, _ = perigee("migrate", "status", "--store", database)
        equal(code, 1)
        matches(out, "newer")
    with_database(newer)

    def missing(database):
        postgres.sql("DELETE FROM perigee.migrations WHERE chain = 'tenant' AND number = (SELECT max(number) FROM perigee.migrations WHERE chain = 'tenant')", database)
        refused(database, "1 migration is missing: run perigee migrate up")
    with_database(missing)

    def gap(database):
        postgres.sql("DELETE FROM perigee.migrations WHERE chain = 'tenant' AND number = 1", database)
        refused(database, "restore a backup")
    with_database(gap)


@test
def a_migration_that_fails_leaves_nothing():
    def check(database):
        postgres.sql("CREATE SCHEMA perigee; CREATE TABLE perigee.journal (x int)", database)
        code, _, said = perigee("migrate", "up", "--store", database)
        equal(code, 3)
        matches(said, r"migration (shared/0001_create_platform|tenant/0001_create_tenant)|roles and schema|denied")
        equal(postgres.sql("SELECT count(*) FROM pg_class WHERE relname IN ('runs', 'waits')", database), [["0"]])
    with_database(check, migrated=False)


ROLES = [
    ("a superuser", "CREATE ROLE bad LOGIN SUPERUSER", "bad is a superuser"),
    ("a role with BYPASSRLS", "CREATE ROLE bad LOGIN BYPASSRLS; GRANT perigee_app TO bad", "bad has BYPASSRLS"),
    ("a role that makes roles", "CREATE ROLE bad LOGIN CREATEROLE; GRANT perigee_app TO bad", "bad has CREATEROLE"),
    ("a member of the owner", "CREATE ROLE bad LOGIN; GRANT perigee_app, perigee_owner TO bad", "bad is a member of perigee_owner, which owns the table"),
    ("a member of a superuser", "CREATE ROLE bad LOGIN NOINHERIT; GRANT perigee_app, postgres TO bad", "bad is a member of postgres"),
    ("the owner of a table", "CREATE ROLE bad LOGIN; GRANT perigee_app TO bad; GRANT CREATE ON SCHEMA perigee TO bad; ALTER TABLE perigee.journal OWNER TO bad",
     "bad owns the table journal"),
    ("a role without rights", "CREATE ROLE bad LOGIN", "bad has no rights here: GRANT perigee_app"),
    ("a role with another search path", "CREATE ROLE bad LOGIN; GRANT perigee_app TO bad", "ALTER ROLE bad SET search_path = perigee, pg_temp"),
]


@test
def roles_that_could_get_round_row_security_are_refused():
    for what, sql, pattern in ROLES:
        def check(database):
            postgres.sql(sql, database)
            try:
                line = refused(database.replace("user=perigee_app", "user=bad"), pattern)
                true("perigee_app" in line or "search_path" in line, "%s: no advice: %s" % (what, line))
            finally:
                postgres.sql("REASSIGN OWNED BY bad TO perigee_owner; DROP OWNED BY bad; DROP ROLE bad", database)
        with_database(check)


@test
def a_role_of_ones_own_serves_when_it_is_like_ours():
    def check(database):
        postgres.sql("CREATE ROLE mine LOGIN IN ROLE perigee_app; ALTER ROLE mine SET search_path = perigee, pg_temp", database)
        try:
            serves(database.replace("user=perigee_app", "user=mine"))
        finally:
            postgres.sql("DROP OWNED BY mine; DROP ROLE mine", database)
    with_database(check)


TABLES = [
    ("ALTER TABLE perigee.journal DISABLE ROW LEVEL SECURITY", "not enabled on table journal", True),
    ("ALTER TABLE perigee.runs NO FORCE ROW LEVEL SECURITY", "not forced on table runs", True),
    ("DROP POLICY tenant_only ON perigee.records", "table records lacks our policy", True),
    ("ALTER POLICY tenant_only ON perigee.waits USING (true)", "table waits lacks our policy", True),
    ("ALTER POLICY tenant_only ON perigee.waits WITH CHECK (true)", "table waits lacks our policy", True),
    ("ALTER POLICY tenant_only ON perigee.waits TO perigee_reader", "table waits lacks our policy", True),
    ("CREATE POLICY open ON perigee.evidence USING (true)", "table evidence has a policy open that is not ours", False),
    ("CREATE TABLE perigee.added (tenant_id text, x int)", "not enabled on table added", True),
    ("REVOKE DELETE ON perigee.waits FROM perigee_app", "may not delete table waits", True),
]


@test
def tables_without_our_forced_policy_are_refused_and_mended_by_migrate_up():
    for sql, pattern, mended in TABLES:
        def check(database):
            postgres.sql(("SET ROLE perigee_owner; " if "CREATE TABLE" in sql else "") + sql, database)
            matches(refused(database, pattern), "perigee migrate up|DROP POLICY")
            migrate(owner_of(database))
            if mended:
                serves(database) if "waits" in sql else equal(perigee("tenant", "list", "--store", database)[0], 0)
            else:
                refused(database, pattern)
        with_database(check)


@test
def a_database_that_is_not_there_and_passwords_are_told_without_passwords():
    database = "host=%s port=5432 dbname=nowhere user=perigee_app password=verysecret" % postgres.folder
    line = refused(database, "nowhere")
    true("verysecret" not in line, line)
    line = refused("postgresql://perigee_app:verysecret@/nowhere?host=%s" % postgres.folder, "nowhere")
    true("verysecret" not in line, line)
    code, _, said = perigee("migrate", "up", "--store", database)
    equal(code, 3)
    true("verysecret" not in said and "nowhere" in said, said)
    code, out, said = perigee("doctor", "--store", database)
    true("verysecret" not in out + said, out)


@test
def sqlite_shows_its_chains_too():
    folder = tempfile.mkdtemp()
    store = "sqlite:%s/store" % folder
    try:
        equal(perigee("migrate", "status", "--store", store)[0], 1)
        true(not os.path.exists(os.path.join(folder, "store")), "looking made a store")
        code, out, said = perigee("migrate", "up", "--store", store)
        equal(code, 0, said)
        matches(out, r"applied platform\.db shared/0001_create_platform")
        equal(perigee("tenant", "create", "acme", "--store", store)[0], 0)
        code, out, _ = perigee("migrate", "status", "--json", "--store", store)
        rows = json.loads(out)["items"]
        equal({r["place"] for r in rows}, {"platform.db", "tenants/acme.db"})
        true(all(r["state"] == "applied" for r in rows), rows)
    finally:
        shutil.rmtree(folder)


@test
def words_are_checked():
    equal(perigee("migrate")[0], 2)
    equal(perigee("migrate", "down")[0], 2)
    equal(perigee("migrate", "up", "--store", "mysql://x")[0], 3)


try:
    main()
finally:
    postgres.stop()
