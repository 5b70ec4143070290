#!/usr/bin/env python3
"""What statements read on a big PostgreSQL database: little more than they answer. One tenant has most of the rows, so that its name alone selects nothing.

Each statement is run, as perigee_app under row-level security, with the plan that a prepared one settles for after some executions. Tables here are small enough to be
scanned for some pages' worth: scans are made dear, so that one appears only where no index serves.
"""
import json, os, re, sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "lib"), os.path.join(HERE, "..", "http")]
from harness import equal, main, test, true
from libpq import Connection, Failed
from seeding import seed_value, tables, value
from servers import shared_postgres
from statements import statements

ROWS, OTHERS, READ_MAX = 12000, 300, 3000
SETTLED = 7           # executions: after five the server may take a plan for any values
# Statements that may read much, each with its reason.
MANY = {
    "record_list": "filters of a field that nobody declared", "record_list_scanned_ascending": "the same", "record_list_scanned_descending": "the same",
    "record_index_fill": "once, when a field is declared",
    "schedules_all": "all of a tenant's, once when a bundle goes live", "bundles_sweep": "all bundles, once an hour",
    "run_owners": "all unfinished runs, once at a start", "runs_owned": "all of an owner's, when it lost sight of them", "runs_take_over": "all of an owner that is gone",
}
# A slice of runs, once in a while: joined by key where the table is bigger than this one.
MANY.update((s.name, "retention") for s in statements() if s.name.startswith("retention_"))
postgres = shared_postgres()
postgres.start()
database = postgres.database()
admin = Connection(re.sub(r"user=\S+", "user=postgres", database))
admin.ask("SET search_path = perigee, pg_temp; SET client_min_messages = error")


def column(table, name, kind, required):
    """An SQL expression of n for a column: rows as a busy tenant has them, ids far apart, most runs over."""
    if name == "tenant_id":
        return "$1"
    if name in ("ended_at", "output", "error", "consumed_by") and not required:
        return "CASE WHEN n %% 50 = 0 THEN NULL ELSE %s END" % ("n" if kind == "bigint" else "'x' || n")
    if name in ("status", "state") and kind == "text":
        return "CASE WHEN n %% 50 = 0 THEN '%s' ELSE '%s' END" % {"runs": ("waiting", "succeeded"), "approvals": ("pending", "approved"), "outcomes": ("unknown", "happened"),
                                                               "deliveries": ("dead", "done"), "handoffs": ("started", "done")}.get(table, ("pending", "succeeded"))
    if name == "dispatched":
        return "CASE WHEN n % 50 = 0 THEN 0 ELSE 1 END"
    if name == "kind" and table.startswith("record"):
        return "'x' || (n % 3)"
    if name in ("agent", "capability", "type", "worker", "field", "owner"):
        return "'x' || (n % 20)"
    if name == "parent" and not required:
        return "CASE WHEN n % 10 = 0 THEN 'x' || (n / 10) END"
    if kind in ("bigint", "integer"):
        return "0" if name in ("filled",) else "n"
    if kind == "boolean":
        return "false"
    value_now = seed_value(table, name, kind, required, 1)
    if isinstance(value_now, str) and value_now.startswith("{"):
        return "'{\"deal\":\"x' || n || '\"}'"
    return "'x' || n" if name != "path" else "'$.\"deal\"'"


def fill():
    for table, columns in tables(admin).items():
        names = ", ".join(c[0] for c in columns)
        expressions = ", ".join("(%s)::%s" % (column(table, *c), c[1]) for c in columns)
        for tenant, rows in (("big", ROWS), ("small", OTHERS)):
            admin.ask("INSERT INTO %s (%s) SELECT %s FROM generate_series(1, %d) AS n ON CONFLICT DO NOTHING" % (table, names, expressions.replace("$1", "'%s'" % tenant), rows))
    admin.ask("VACUUM ANALYZE")


def literal(values):
    """For EXECUTE, which takes no parameters."""
    return ", ".join("NULL" if v is None else "'%s'" % str(v).replace("'", "''") for v in values)


def nodes(plan):
    yield plan
    for below in plan.get("Plans", []):
        yield from nodes(below)


def explain(db, statement, values):
    kinds = {"i": "bigint", "t": "text", "b": "bytea"}
    types = ", ".join([kinds[t] + ("[]" if statement.many else "") for t in statement.types] + ["text"])
    db.ask("PREPARE asked (%s) AS %s" % (types, statement.sql))
    try:
        for _ in range(SETTLED):
            db.ask("BEGIN")
            db.ask("SELECT set_config('perigee.tenant', 'big', true)")
            text = db.value("EXPLAIN (ANALYZE, FORMAT JSON, TIMING OFF, COSTS OFF) EXECUTE asked (%s)" % literal(values + ["big"]))
            db.ask("ROLLBACK")
        return json.loads(text)[0]["Plan"]
    finally:
        db.ask("ROLLBACK")
        db.ask("DEALLOCATE asked")


fill()
big = set(tables(admin))
of_tenants = [s for s in statements() if not s.platform]


def values_of(statement, v):
    found = []
    for i, (name, nullable) in enumerate(statement.names):
        given = value(statement, name, nullable, statement.types[i], v if v <= 10 else 10, 0)
        if isinstance(given, str):
            given = re.sub(r"\bx10\b", "x%d" % v, given)
        elif given == 10 and statement.types[i] == "i":
            given = v
        if re.search(r"limit|most", name):
            given = 50
        found.append("{%s}" % given if statement.many and given is not None else given)
    return found


@test
def no_statement_scans_a_table_of_tenants():
    faults = []
    with Connection(database) as db:
        db.ask("SET enable_seqscan = off; SET jit = off; SET client_min_messages = error")
        for s in of_tenants:
            try:
                plan = explain(db, s, values_of(s, 700))
            except Failed as failed:
                if failed.state.startswith("22") or failed.state.startswith("23"):
                    continue                    # the values are none of its own; its plan is looked at below
                raise
            for node in nodes(plan):
                read = (node.get("Actual Rows", 0) + node.get("Rows Removed by Filter", 0)) * node.get("Actual Loops", 0)
                scans = node["Node Type"] == "Seq Scan" and node["Relation Name"] in big
                if (scans or "Scan" in node["Node Type"] and read > READ_MAX) and s.name not in MANY:
                    faults.append("%s: %s on %s reads %d" % (s.name, node["Node Type"], node.get("Relation Name", node.get("CTE Name")), read))
    equal(faults, [])


@test
def updates_of_a_run_stay_on_their_page():
    """What every append changes is in no index, and pages keep room: the update is HOT."""
    admin.ask("SELECT pg_stat_reset()")
    with Connection(database) as db:
        for i in range(200):
            db.ask("BEGIN")
            db.ask("SELECT set_config('perigee.tenant', 'big', true)")
            changed = db.ask("UPDATE runs SET status = 'running', journal_length = $1, started_at = coalesce(started_at, 1), wake_at = NULL WHERE tenant_id = $2 AND id = $3",
                             [i, "big", "x%d" % (1 + i % 5)]).changed
            equal(changed, 1)
            db.ask("COMMIT")
        db.ask("SELECT 1")
    hot, all_updates = 0, 0
    for _ in range(200):
        hot, all_updates = map(int, admin.rows("SELECT n_tup_hot_upd, n_tup_upd FROM pg_stat_all_tables WHERE relid = 'runs'::regclass")[0])
        if all_updates >= 200:
            break
        admin.ask("SELECT pg_sleep(0.05)")
    true(all_updates >= 200 and hot >= 0.95 * all_updates, "%d of %d updates were HOT" % (hot, all_updates))


try:
    main()
finally:
    admin.close()
    postgres.drop(database)
    postgres.stop()
