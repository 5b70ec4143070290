#!/usr/bin/env python3
"""Tenants apart on PostgreSQL: two walls, each proved without the other.

Tenant `a` has rows in every table of tenants, made here from the catalogue, so that a new table has some too. Every statement is asked for tenant `b` with values
that find rows of `a`: which values those are is found out by asking without walls (as superuser, without predicates), so that no proof is empty.
"""
import itertools, os, random, re, sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "lib"), os.path.join(HERE, "..", "http")]
from harness import equal, main, test, true
from libpq import Connection, Failed
from seeding import OTHER_STATES, VARIANTS, FAR, seed, seed_value, tables, value
from servers import shared_postgres
from statements import statements

# Statements that reach no row of another tenant whatever their values are, although they have a predicate: they take only what is the
# tenant's by its key.
# The last three insert, and look only at the run whose id they are given, for who started it: what they answer tells nothing of it.
HARMLESS = {"idempotency_claim", "ready_leave", "run_insert", "run_insert_many", "approval_ask"}
postgres = shared_postgres()
postgres.start()


def as_superuser(database):
    return Connection(re.sub(r"user=\S+", "user=postgres", database))


class Databases:
    """One with rows of a, one without any."""

    def __init__(self):
        self.full, self.empty = postgres.database(), postgres.database()
        self.full_db, self.empty_db = as_superuser(self.full), as_superuser(self.empty)
        for db in (self.full_db, self.empty_db):
            db.ask("SET search_path = perigee, pg_temp; SET client_min_messages = error")
        seed(self.full_db)
        self.tables = sorted(tables(self.full_db))

    def close(self):
        self.full_db.close()
        self.empty_db.close()
        postgres.drop(self.full)
        postgres.drop(self.empty)

    def rows_of_a(self):
        return self.full_db.rows(" UNION ALL ".join(
            "SELECT '%s', count(*)::text, md5(string_agg(t::text, '|' ORDER BY t::text)) FROM %s t WHERE tenant_id = 'a'" % (t, t) for t in self.tables))

    def all_rows(self, db):
        return db.rows(" UNION ALL ".join("SELECT '%s', count(*)::text, md5(string_agg(t::text, '|' ORDER BY t::text)) FROM %s t" % (t, t) for t in self.tables))


databases = Databases()


# -- asking -------------------------------------------------------------------------------------------------------------

def ask(db, statement, sql, values, tenant, setting, role="perigee_app", after=None):
    """What one statement answers in a transaction that is undone: rows and count, or the error's state. after(db) is asked, as superuser, before that."""
    db.ask("BEGIN")
    try:
        if setting is not None:
            db.ask("SELECT set_config('perigee.tenant', $1, true)", [setting])
        db.ask("SET LOCAL ROLE %s" % role)
        try:
            answer = db.ask(sql, values + [tenant], statement.oids())
            outcome = (answer.rows, answer.changed)
        except Failed as failed:
            return failed.state, None
        db.ask("RESET ROLE")
        return outcome, after(db) if after else None
    finally:
        db.ask("ROLLBACK")


def candidates(statement):
    chance = random.Random(statement.name)

    def values(pick):
        found = [pick(i, name, nullable) for i, (name, nullable) in enumerate(statement.names)]
        return ["{%s}" % ("NULL" if f is None else '"%s"' % str(f).replace("\\", "\\\\").replace('"', '\\"')) for f in found] if statement.many else found
    for turn, v in itertools.product(range(8), range(1, VARIANTS + 1)):
        yield values(lambda i, name, nullable: value(statement, name, nullable, statement.types[i], v, turn))
    pools = {"i": [-1, 0, 1, 2, 5, 100, FAR], "t": ["", "~", "x1", "x2", "x3", "x4", "dead", "pending", "succeeded"], "b": ["x1"]}
    for _ in range(400):
        v = chance.randint(1, VARIANTS)
        yield values(lambda i, name, nullable: chance.choice(pools[statement.types[i]] + ([None] if nullable else [])) if chance.random() < 0.4
                     else value(statement, name, nullable, statement.types[i], v, chance.randint(0, 7)))


def reaching(statement, bare):
    """Values with which the statement without predicates finds or changes rows of a, when nothing else holds it back; None when there are none."""
    for values in candidates(statement):
        touched = ask(databases.full_db, statement, bare, values, "b", None, "postgres", lambda db: databases.rows_of_a())
        if touched[1] is None:
            continue
        if touched[1] != whole or touched[0] != ask(databases.empty_db, statement, bare, values, "b", None, "postgres")[0]:
            return values
    return None


def mutants(statement):
    """(what, sql) with one predicate taken out, and with all."""
    places = list(statement.predicate().finditer(statement.sql))
    for place in places:
        yield "predicate at %d" % place.start(), statement.sql[:place.start()] + "TRUE" + statement.sql[place.end():]
    if len(places) > 1:
        yield "all predicates", statement.predicate().sub("TRUE", statement.sql)


def used(sql, statement):
    """A parameter that no place names any more has no type: name it once."""
    last = "$%d" % (statement.count + 1)
    if re.search(re.escape(last) + r"(?!\d)", sql):
        return sql
    body = sql.rstrip().rstrip(";")
    if re.match(r"\s*WITH\s+RECURSIVE\b", body, re.I):
        return re.sub(r"(?i)WITH\s+RECURSIVE\b", "WITH RECURSIVE unused_ AS (SELECT %s)," % last, body, count=1)
    if re.match(r"\s*WITH\b", body, re.I):
        return re.sub(r"(?i)WITH\b", "WITH unused_ AS (SELECT %s)," % last, body, count=1)
    return "WITH unused_ AS (SELECT %s) %s" % (last, body)


whole = databases.rows_of_a()
of_tenants = [s for s in statements() if not s.platform]
found_values = {}


def check(statement, sql, values, setting, tenant, what):
    full, rows = ask(databases.full_db, statement, sql, values, tenant, setting, after=lambda db: databases.rows_of_a())
    empty = ask(databases.empty_db, statement, sql, values, tenant, setting)[0]
    equal(full, empty, "%s, %s: what %s is answered (without rows of a second)" % (statement.name, what, tenant))
    true(rows is None or rows == whole, "%s, %s: rows of a were changed" % (statement.name, what))


# -- the proofs ---------------------------------------------------------------------------------------------------------

@test
def every_table_of_tenants_has_rows_of_a():
    true(len(databases.tables) > 12, databases.tables)
    for table, count, _ in whole:
        true(int(count) > 0, "no row of tenant a could be made in table %s: teach seed_value its columns" % table)


@test
def every_statement_names_the_tenant_at_every_access():
    names = "|".join(databases.tables)
    for s in of_tenants:
        accesses = len(re.findall(r"\b(?:FROM|JOIN|UPDATE|INTO)\s+(?:perigee\.)?(?:%s)\b" % names, s.sql))
        bound = len(s.predicate().findall(s.sql)) + len(re.findall(r"\(tenant_id,", s.sql)) - len(re.findall(r"ON CONFLICT \(tenant_id", s.sql))
        true(bound >= accesses, "%s: %d tables, %d of them bound to the tenant" % (s.name, accesses, bound))


@test
def without_walls_every_statement_reaches_rows_of_another_tenant():
    """The other proofs ask with these values."""
    missed = []
    for s in of_tenants:
        bare = used(s.predicate().sub("TRUE", s.sql), s)
        if s.predicate().search(s.sql) is None:
            continue
        found_values[s.name] = reaching(s, bare)
        if found_values[s.name] is None and s.name not in HARMLESS:
            missed.append(s.name)
    equal(missed, [], "no values were found with which these reach a row: teach value() their parameters")
    for name in HARMLESS:
        true(found_values.get(name) is None, "%s reaches rows of others: take it from HARMLESS" % name)


@test
def row_security_alone_holds_when_a_predicate_is_missing():
    asked = 0
    for s in of_tenants:
        values = found_values.get(s.name) or next(candidates(s))
        for what, sql in mutants(s):
            check(s, used(sql, s), values, "b", "b", what)
            asked += 1
    true(asked > len(of_tenants) // 2, asked)


@test
def a_statement_that_names_another_tenant_finds_nothing():
    """The parameter says a, the transaction says b: nothing is seen, and nothing written under a's name."""
    for s in of_tenants:
        check(s, s.sql, found_values.get(s.name) or next(candidates(s)), "b", "a", "asked for another tenant")


@test
def without_a_tenant_nothing_is_seen_or_written():
    before = databases.all_rows(databases.full_db)
    for s in of_tenants:
        for setting in (None, ""):
            for tenant in ("a", ""):
                values = found_values.get(s.name) or next(candidates(s))
                full, rows = ask(databases.full_db, s, s.sql, values, tenant, setting, after=databases.all_rows)
                empty = ask(databases.empty_db, s, s.sql, values, tenant, setting)[0]
                equal(full, empty, "%s without a tenant" % s.name)
                true(rows is None or rows == before, "%s wrote without a tenant" % s.name)


@test
def predicates_alone_hold_without_row_security():
    names = postgres.database()
    with as_superuser(names) as db:
        db.ask("SET search_path = perigee, pg_temp; SET client_min_messages = error")
        seed(db)
        for table in databases.tables:
            db.ask("ALTER TABLE %s NO FORCE ROW LEVEL SECURITY; ALTER TABLE %s DISABLE ROW LEVEL SECURITY" % (table, table))
        rows = "%s" % databases.all_rows(db)
        for s in of_tenants:
            values = found_values.get(s.name) or next(candidates(s))
            open_walls, after = ask(db, s, s.sql, values, "b", "b", after=lambda db: [r for r in databases_rows_of(db, "a")])
            equal(open_walls, ask(databases.empty_db, s, s.sql, values, "b", "b")[0], "%s without row-level security" % s.name)
            true(after is None or after == whole, "%s changed rows of a" % s.name)
        equal("%s" % databases.all_rows(db), rows)
    postgres.drop(names)


def databases_rows_of(db, tenant):
    return db.rows(" UNION ALL ".join(
        "SELECT '%s', count(*)::text, md5(string_agg(t::text, '|' ORDER BY t::text)) FROM %s t WHERE tenant_id = '%s'" % (t, t, tenant) for t in databases.tables))


@test
def the_setting_follows_the_sections_of_a_batch_and_ends_with_it():
    """As the engine writes: one transaction, a section for each tenant."""
    with Connection(databases.full) as db:
        def seen():
            return {row[0] for row in db.rows("SELECT DISTINCT tenant_id FROM runs UNION SELECT DISTINCT tenant_id FROM journal")}
        equal(seen(), set(), "before a tenant is set")
        db.ask("BEGIN")
        for tenant, sees in (("b", set()), ("a", {"a"}), ("c", set()), ("", set())):
            db.ask("SELECT set_config('perigee.tenant', $1, true)", [tenant])
            equal(seen(), sees, "in the section of %r" % tenant)
        db.ask("SAVEPOINT one")
        db.ask("SELECT set_config('perigee.tenant', 'a', true)")
        equal(seen(), {"a"})
        db.ask("ROLLBACK TO one")
        equal(seen(), set(), "after what set it was undone")
        db.ask("SELECT set_config('perigee.tenant', 'a', true)")
        db.ask("COMMIT")
        true(db.value("SELECT current_setting('perigee.tenant', true)") in (None, ""), "the setting outlived its transaction")
        equal(seen(), set(), "after the commit")
        for end in ("ROLLBACK", "COMMIT"):
            db.ask("BEGIN")
            db.ask("SELECT set_config('perigee.tenant', 'a', true)")
            try:
                db.ask("SELECT 1 / 0")
            except Failed:
                pass
            db.ask(end)
            equal(seen(), set(), "after a failed transaction")


@test
def writing_a_row_under_another_tenant_is_refused():
    with Connection(databases.full) as db:
        for table in databases.tables:
            columns = tables(databases.full_db)[table]
            values = [seed_value(table, *column, 1) for column in columns]
            sql = "INSERT INTO %s (%s) VALUES (%s)" % (table, ", ".join(c[0] for c in columns), ", ".join("$%d" % (i + 1) for i in range(len(columns))))
            for setting in ("b", ""):
                db.ask("BEGIN")
                db.ask("SELECT set_config('perigee.tenant', $1, true)", [setting])
                try:
                    db.ask(sql, values)
                    true(False, "a row of a was written into %s by %r" % (table, setting))
                except Failed as failed:
                    equal(failed.state, "42501", table)
                db.ask("ROLLBACK")


@test
def roles_have_their_rights_and_no_more():
    def refused(conninfo, sql, states=("42501",)):
        with Connection(conninfo) as db:
            try:
                db.ask(sql)
            except Failed as failed:
                true(failed.state in states, "%s: %s" % (sql, failed))
                return
        true(False, "not refused: %s" % sql)
    reader = databases.full.replace("user=perigee_app", "user=perigee_reader")
    for sql in ("TRUNCATE runs", "ALTER TABLE runs DISABLE ROW LEVEL SECURITY", "DROP POLICY tenant_only ON runs", "CREATE TABLE perigee.mine (x int)",
                "DELETE FROM migrations", "INSERT INTO migrations VALUES ('tenant', 99, 'x', 'x', 1)", "SET ROLE perigee_owner", "SET ROLE postgres", "CREATE ROLE other",
                "ALTER ROLE perigee_app BYPASSRLS", "CREATE VIEW perigee.all_runs AS SELECT * FROM runs"):
        refused(databases.full, sql)
    for sql in ("INSERT INTO counters VALUES ('a', 'x', 1)", "UPDATE runs SET status = 'x'", "DELETE FROM runs", "SELECT * FROM keys", "SELECT * FROM workers"):
        refused(reader, sql)
    with Connection(reader) as db:
        equal(db.value("SELECT count(*) FROM runs"), "0")
        db.ask("BEGIN")
        db.ask("SELECT set_config('perigee.tenant', 'a', true)")
        true(int(db.value("SELECT count(*) FROM runs")) > 0)
        db.ask("ROLLBACK")
    with Connection(databases.full) as db:
        db.ask("CREATE TEMP TABLE runs (tenant_id text, id text)")
        equal(db.value("SELECT 'runs'::regclass::oid = 'perigee.runs'::regclass::oid"), "t", "a temporary table took the place of ours")


try:
    main()
finally:
    databases.close()
    postgres.stop()
