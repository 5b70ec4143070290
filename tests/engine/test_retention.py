#!/usr/bin/env python3
"""What is old goes, in slices, by each tenant's rules; what is needed stays."""
import json, os, re, sys, time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "http"))
from harness import Host, equal, main, matches, open_database, test, true

HERE = os.path.dirname(os.path.abspath(__file__))
CONFIG = """return {
  limits = { runs_per_tenant = 1000 },
  retention = { succeeded = "1h", failed = "90d", events = "1h", every = "200ms" },
}
"""
host = Host(root=os.path.join(HERE, "versions"), config=CONFIG)
HOUR = 3600 * 1000000
JOURNAL = ["run", "idx", "effect", "name", "digest", "at", "outcome"]


def database():
    return open_database(host.store, "example")


def change(sql, *values):
    db = database()
    try:
        rowcount = db.execute(sql, values).rowcount
        db.commit()
        return rowcount
    finally:
        db.close()


def ask(sql, *values):
    db = database()
    try:
        return db.execute(sql, values).fetchone()[0]
    finally:
        db.close()


def until(sql, wanted, *values, seconds=20):
    end = time.monotonic() + seconds
    while ask(sql, *values) != wanted:
        true(time.monotonic() < end, "%s is still %r, wanted %r" % (sql, ask(sql, *values), wanted))
        time.sleep(0.05)


def deleted(what):
    text = host.get("/metrics", key=None).body.decode()
    return sum(float(v) for v in re.findall(r'perigee_retention_deleted_total\{what="%s"\} (\S+)' % what, text))


def call(capability, body):
    return host.run(capability, body, agent="versions")


def age(run, hours):
    equal(change("UPDATE runs SET ended_at = ended_at - ? WHERE id = ?", int(hours * HOUR), run), 1)


@test
def an_old_run_goes_with_all_that_is_its_own_and_leaves_records():
    old, young, failed = call("steps", {"id": "old"}), call("steps", {"id": "young"}), call("brittle", {"id": "kept"})
    change("UPDATE runs SET status = 'failed' WHERE id = ?", failed["id"])
    db = database()
    db.insert("handoffs", ["id", "status", "type", "version", "sender", "digest", "correlation", "depth", "sender_run", "run", "created_at"],
              [(id, status, "t", 1, "versions", "", "c", 1, "s", run, 1)
               for id, status, run in (("of-old", "done", old["id"]), ("of-young", "done", young["id"]), ("never-started", "dead", None))])
    db.close()
    age(old["id"], 2)
    age(failed["id"], 2)
    until("SELECT count(*) FROM runs WHERE id = ?", 0, old["id"])
    equal(ask("SELECT count(*) FROM journal WHERE run = ?", old["id"]), 0)
    equal([ask("SELECT count(*) FROM handoffs WHERE id = ?", id) for id in ("of-old", "of-young", "never-started")], [0, 1, 1])
    equal(host.get("/v1/runs/" + old["id"]).status, 404)
    equal(host.get("/v1/records/note/old-1").status, 200)
    for run in (young, failed):
        equal(host.get("/v1/runs/" + run["id"]).status, 200)
    equal(ask("SELECT count(*) FROM journal WHERE run = ?", young["id"]), 3)
    true(deleted("runs") >= 1 and deleted("outcomes") >= 3)


@test
def a_child_stays_while_its_parent_goes_on():
    run = host.start("pause", {"id": "parent"}, agent="versions")
    host.wait_run(run, "waiting")
    child = call("steps", {"id": "child"})["id"]
    change("UPDATE runs SET parent = ? WHERE id = ?", run, child)
    age(child, 2)
    other = call("steps", {"id": "other"})["id"]
    age(other, 1.5)
    until("SELECT count(*) FROM runs WHERE id = ?", 0, other)
    equal(ask("SELECT count(*) FROM runs WHERE id = ?", child), 1)
    host.post("/v1/runs/%s/signals/word" % run, {"word": 1})
    host.wait_run(run, "succeeded")
    until("SELECT count(*) FROM runs WHERE id = ?", 0, child)
    equal(ask("SELECT count(*) FROM signals WHERE run = ?", run), 1, "the parent's own, which is young")


@test
def many_runs_and_a_journal_of_many_rows_go_in_slices():
    long = call("steps", {"id": "long"})["id"]
    db = database()
    db.insert("journal", JOURNAL, ((long, i, i + 1, "x", "d", 1, "{}") for i in range(3, 23000)))
    columns, many = db.columns("runs"), ["many-%04d" % i for i in range(1200)]
    row = dict(zip(columns, db.execute("SELECT %s FROM runs WHERE id = ?" % ", ".join(columns), (long,)).fetchone()))
    row.update(journal_length=1, ended_at=row["ended_at"] - 2 * HOUR)
    db.insert("journal", JOURNAL, ((run, 0, 1, "x", "d", 1, "{}") for run in many))
    db.insert("runs", columns, ([run if c == "id" else row[c] for c in columns] for run in many))
    db.close()
    change("UPDATE runs SET journal_length = 23000, ended_at = ended_at - ? WHERE id = ?", 2 * HOUR, long)
    until("SELECT count(*) FROM runs WHERE id = ? OR id LIKE 'many-%'", 0, long)
    equal(ask("SELECT count(*) FROM journal WHERE run = ? OR run LIKE 'many-%'", long), 0)


@test
def a_body_goes_when_nothing_refers_to_it_and_was_not_touched_for_a_day():
    for name in ("one", "two"):
        equal(host.put("/v1/records/page/" + name, {"text": name * 2000}).status, 201)
    one, two = (call("reader", {"id": name, "times": 2})["id"] for name in ("one", "two"))
    bodies = {run: ask("SELECT body FROM journal WHERE run = ? AND body IS NOT NULL", run) for run in (one, two)}
    change("UPDATE bodies SET touched_at = touched_at - ?", 25 * HOUR)
    age(one, 2)
    until("SELECT count(*) FROM bodies WHERE hash = ?", 0, bodies[one])
    equal(ask("SELECT count(*) FROM bodies WHERE hash = ?", bodies[two]), 1)
    # touched again by a new reference: it stays although the only row goes
    again = call("reader", {"id": "two", "times": 1})["id"]
    true(ask("SELECT touched_at FROM bodies WHERE hash = ?", bodies[two]) > time.time() * 1e6 - HOUR)
    before = deleted("runs")
    for run in (two, again):
        age(run, 2)
    until("SELECT count(*) FROM runs WHERE id IN (?, ?)", 0, two, again)
    true(deleted("runs") >= before + 2)
    time.sleep(1)  # several rounds
    equal(ask("SELECT count(*) FROM bodies WHERE hash = ?", bodies[two]), 1)


@test
def old_keys_events_and_bundles_go_and_the_live_bundle_stays():
    now, db = int(time.time() * 1e6), database()
    db.insert("idempotency", ["key", "digest", "run", "created_at"], [("old", b"\0", "r", 1), ("new", b"\0", "r", now)])
    db.insert("events", ["seq", "id", "type", "source", "at", "dispatched"],
              [(1001, "done", "t", "s", 1, 1), (1002, "open", "t", "s", 1, 0), (1003, "young", "t", "s", now, 1), (1004, "dead", "t", "s", 1, 1)])
    db.insert("deliveries", ["id", "seq", "status", "retries", "created_at", "event", "agent", "capability"],
              [("a", 1, "done", 0, 1, "done", "a", "c"), ("b", 1, "dead", 0, 1, "dead", "a", "c")])
    db.insert("bundles", ["digest", "files", "manifest", "created_at", "live_at"], [("gone", "{}", "{}", 1, 1), ("pinned", "{}", "{}", 1, 1)])
    db.close()
    run = call("steps", {"id": "pinned"})["id"]
    change("UPDATE runs SET bundle = 'pinned' WHERE id = ?", run)
    change("UPDATE bundles SET created_at = 1, live_at = 1")
    until("SELECT count(*) FROM bundles WHERE digest = 'gone'", 0)
    until("SELECT count(*) FROM idempotency WHERE key = 'old'", 0)
    until("SELECT count(*) FROM events WHERE id = 'done'", 0)
    equal(ask("SELECT count(*) FROM deliveries WHERE id = 'a'"), 0)
    for table, column, name in (("bundles", "digest", "pinned"), ("idempotency", "key", "new"), ("events", "id", "young"), ("events", "id", "dead"),
                                ("deliveries", "id", "b")):
        equal(ask("SELECT count(*) FROM %s WHERE %s = ?" % (table, column), name), 1, name)
    equal(call("steps", {"id": "live"})["status"], "succeeded")
    equal(ask("SELECT count(*) FROM bundles"), 2)


@test
def a_tenants_own_rules_win_and_rules_that_cannot_be_read_delete_nothing():
    platform = open_database(host.store, None)
    host.perigee("tenant", "set", "example", "--retention", "succeeded=forever,failed=30m")
    for bad in ("succeeded=soon", "weeks=3d", "failed", "failed=0s"):
        true("usage" not in host.perigee("tenant", "set", "example", "--retention", bad, check=False))
        equal(platform.execute("SELECT retention FROM tenants WHERE id = 'example'").fetchone()[0], "succeeded=forever,failed=30m", bad)
    time.sleep(0.5)
    kept, gone = call("steps", {"id": "rules"})["id"], call("steps", {"id": "gone"})["id"]
    change("UPDATE runs SET status = 'failed' WHERE id = ?", gone)
    age(kept, 100)
    age(gone, 0.75)
    until("SELECT count(*) FROM runs WHERE id = ?", 0, gone)
    equal(ask("SELECT count(*) FROM runs WHERE id = ?", kept), 1)
    platform.administer("UPDATE tenants SET retention = 'succeeded=soon' WHERE id = 'example'")
    time.sleep(1)
    equal(ask("SELECT count(*) FROM runs WHERE id = ?", kept), 1)
    platform.close()
    host.perigee("tenant", "set", "example", "--retention", "")
    until("SELECT count(*) FROM runs WHERE id = ?", 0, kept)


main(host)
