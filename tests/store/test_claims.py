#!/usr/bin/env python3
"""Claiming runs that nobody owns, on PostgreSQL: the statements of the program on two real connections, their interleaving forced. What may go wrong: a tenant that ran
dry stays and burns claims; an insert that commits while a claimer lets the tenant leave is forgotten; a claimer waits for another."""
import os, re, sys, threading, time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "lib"), os.path.join(HERE, "..", "http")]
from harness import equal, main, test, true
from libpq import Connection, Failed
from servers import shared_postgres
from statements import statements

STATEMENTS = {s.name: s for s in statements()}
STEP = 1000
postgres = shared_postgres()
postgres.start()


class Session:
    """A worker's connection: statements of a tenant in one transaction, or of the platform."""

    def __init__(self, database, tenant="acme"):
        self.db, self.tenant = Connection(database), tenant

    def do(self, name, *values):
        s = STATEMENTS[name]
        return self.db.ask(s.sql, list(values) + ([] if s.platform else [self.tenant]), s.oids())

    def begin(self):
        self.db.ask("BEGIN")
        self.db.rows("SELECT set_config('perigee.tenant', $1, true), set_config('lock_timeout', '3s', true)", [self.tenant])

    def commit(self):
        self.db.ask("COMMIT")

    def insert(self, *ids):
        self.begin()
        for run in ids:
            self.db.ask("INSERT INTO runs (tenant_id, id, status, fence, agent, capability, bundle, created_at) VALUES ($1, $2, 'queued', 1, 'a', 'c', 'b', 1)",
                        [self.tenant, run])
        self.commit()

    def mark(self):
        self.do("tenant_mark_ready", self.tenant, 1)

    def ready(self):
        return [(row[0], int(row[1]), int(row[2])) for row in self.do("tenants_ready", -10 ** 15, "", 100).rows]

    def claim(self, owner, most=10):
        return sorted(row[0] for row in self.do("runs_claim", owner, most, STEP).rows)


def sessions(count=2, tenant="acme"):
    database = postgres.database()
    return [Session(database, tenant) for _ in range(count)] + [database]


def is_blocked(database, session):
    pid = session.pid
    with Connection(re.sub(r"user=\S+", "user=postgres", database)) as watcher:
        until = time.monotonic() + 5
        while time.monotonic() < until:
            if watcher.value("SELECT coalesce((SELECT wait_event_type FROM pg_stat_activity WHERE pid = $1), '')", [pid]) == "Lock":
                return True
            time.sleep(0.01)
    return False


@test
def a_claim_takes_the_oldest_bumps_the_fence_and_moves_the_pass():
    a, b, _ = sessions()
    b.insert("3", "1", "2")
    b.mark()
    a.begin()
    equal(len(a.do("ready_lock").rows), 1)
    rows = sorted(a.do("runs_claim", "worker", 2, STEP).rows)
    equal(rows, [["1", "2"], ["2", "2"]])
    equal(len(a.do("ready_leave").rows), 0, "one run is left")
    a.commit()
    equal(b.ready(), [("acme", 2 * STEP, 1)])


@test
def a_tenant_that_ran_dry_leaves():
    a, b, _ = sessions()
    b.insert("1")
    b.mark()
    a.begin()
    a.do("ready_lock")
    equal(a.claim("worker"), ["1"])
    equal(len(a.do("ready_leave").rows), 1)
    a.commit()
    equal(b.ready(), [])


@test
def an_insert_that_commits_between_claim_and_leaving_is_seen():
    a, b, _ = sessions()
    b.mark()
    a.begin()
    a.do("ready_lock")
    equal(a.claim("worker"), [])
    b.insert("1")
    equal(len(a.do("ready_leave").rows), 0, "the tenant has a run again")
    a.commit()
    equal([row[0] for row in b.ready()], ["acme"])


@test
def who_inserts_after_the_look_waits_for_the_lock_and_brings_the_tenant_back():
    a, b, database = sessions()
    b.pid = int(b.db.value("SELECT pg_backend_pid()"))
    b.mark()
    a.begin()
    a.do("ready_lock")
    equal(a.claim("worker"), [])
    equal(len(a.do("ready_leave").rows), 1)
    b.insert("1")
    marker = threading.Thread(target=b.mark)
    marker.start()
    true(is_blocked(database, b), "the mark does not wait for the tenant that is leaving")
    a.commit()
    marker.join(5)
    equal([row[0] for row in a.ready()], ["acme"], "the run would be forgotten")
    a.begin()
    a.do("ready_lock")
    equal(a.claim("worker"), ["1"])
    a.commit()


@test
def emptiness_in_the_statement_that_takes_the_lock_would_lose_a_run():
    """The trap itself, so that the tests above are known to be able to fail: one statement, whose snapshot is older than the lock it waited for."""
    a, b, database = sessions()
    a.pid = int(a.db.value("SELECT pg_backend_pid()"))
    b.mark()
    b.begin()
    b.db.ask("UPDATE tenant_ready SET marks = marks WHERE tenant = 'acme'")
    lost = []

    def leave():
        a.begin()
        lost.append(a.db.ask("DELETE FROM tenant_ready WHERE tenant = 'acme' AND NOT EXISTS (SELECT 1 FROM runs WHERE tenant_id = 'acme' AND owner IS NULL)"
                             " AND (SELECT true FROM tenant_ready WHERE tenant = 'acme' FOR UPDATE)").changed)
        a.commit()

    leaver = threading.Thread(target=leave)
    leaver.start()
    true(is_blocked(database, a), "nothing to wait for")
    b.db.ask("INSERT INTO runs (tenant_id, id, status, fence, agent, capability, bundle, created_at) VALUES ('acme', '1', 'queued', 1, 'a', 'c', 'b', 1)")
    b.commit()
    leaver.join(5)
    equal(lost, [1])


@test
def two_claimers_share_the_runs_and_neither_waits():
    a, b, _ = sessions()
    a.insert(*"123456")
    a.mark()
    a.begin()
    equal(len(a.do("ready_lock").rows), 1)
    first = a.claim("one", 2)
    b.begin()
    b.db.ask("SET LOCAL lock_timeout = '500ms'")
    equal(len(b.do("ready_lock").rows), 0, "held by the other")
    second = b.claim("two", 3)
    equal(len(b.do("ready_leave").rows), 0, "who does not hold the lock lets nobody leave")
    b.commit()
    a.commit()
    equal(first, ["1", "2"])
    equal(second, ["3", "4", "5"])
    equal(a.ready(), [("acme", 2 * STEP, 1)], "who does not hold the lock settles afterwards")
    b.do("tenant_ready_advance", "acme", 3 * STEP)
    equal(a.ready(), [("acme", 5 * STEP, 1)])


@test
def who_settles_afterwards_removes_no_tenant_that_was_marked_since():
    a, b, _ = sessions()
    a.mark()
    (_, _, marks), = a.ready()
    b.insert("1")
    b.mark()
    a.do("tenant_ready_leave", "acme", marks)
    equal(len(a.ready()), 1)
    a.do("tenant_ready_leave", "acme", marks + 1)
    equal(a.ready(), [])


@test
def a_lock_of_one_section_does_not_count_for_another_tenant_of_the_batch():
    a, b, _ = sessions()
    a.mark()
    other = Session.__new__(Session)
    other.db, other.tenant = a.db, "zeta"
    b.do("tenant_mark_ready", "zeta", 1)
    b.begin()
    b.db.ask("SELECT 1 FROM tenant_ready WHERE tenant = 'zeta' FOR UPDATE")
    a.begin()
    equal(len(a.do("ready_lock").rows), 1)
    a.db.rows("SELECT set_config('perigee.tenant', 'zeta', true)")
    equal(len(other.do("ready_lock").rows), 0)
    equal(len(other.do("ready_leave").rows), 0)
    a.commit()
    b.commit()
    equal(sorted(row[0] for row in a.ready()), ["acme", "zeta"])


@test
def a_tenant_that_comes_back_starts_at_the_lowest_pass():
    a, b, _ = sessions()
    a.mark()
    a.do("tenant_ready_advance", "acme", 7 * STEP)
    b.do("tenant_mark_ready", "zeta", 1)
    equal(a.ready(), [("acme", 7 * STEP, 1), ("zeta", 7 * STEP, 1)])


@test
def a_claim_of_a_few_among_many_reads_a_few():
    """50,000 queued runs of one tenant: the plan must not sort them for each claim."""
    a, b, database = sessions()
    with Connection(re.sub(r"user=\S+", "user=postgres", database)) as owner:
        owner.ask("SET search_path = perigee; INSERT INTO runs (tenant_id, id, status, fence, agent, capability, bundle, created_at) SELECT 'acme', lpad(n::text, 8, '0'),"
                  " 'queued', 1, 'a', 'c', 'b', n FROM generate_series(1, 50000) n; ANALYZE runs")
    s = STATEMENTS["runs_claim"]
    a.begin()
    plan = "\n".join(row[0] for row in a.db.rows("EXPLAIN (ANALYZE, BUFFERS OFF, TIMING OFF, SUMMARY OFF) " + s.sql, ["worker", 8, STEP, "acme"], s.oids()))
    a.commit()
    true("Sort" not in plan, plan)
    true(re.search(r"Index.*Scan", plan), plan)


if __name__ == "__main__":
    try:
        sys.exit(main())
    finally:
        postgres.stop()
