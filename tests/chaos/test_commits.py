#!/usr/bin/env python3
"""Killed before and after each commit of a run with every kind of effect, on both engines: what is left must be what an undisturbed run leaves.

    test_commits.py [--every N]     every N-th commit only (6; make chaos: each); prints TAP

The client asks with an Idempotency-Key until it is answered; an operator approves, and decides about unknown outcomes by looking at the upstream.
"""
import http.client, itertools, json, os, re, shutil, subprocess, sys, tempfile, threading, time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "http"))
sys.path.insert(0, os.path.join(HERE, "..", "fakes"))
import harness
from harness import Failure, Host, equal, main, test, true
from upstream import Upstream

EVERY = int(sys.argv[sys.argv.index("--every") + 1]) if "--every" in sys.argv else int(os.environ.get("COMMITS_EVERY", "6"))
LANES = 3                       # hosts at work for each side and engine: most of the time they wait for leases
DEADLINE = 60
LEAST = 15                      # commits that such a run has at least
upstream = Upstream()
folder = tempfile.mkdtemp(prefix="perigee-commits-")
shim = os.path.join(folder, "kill_at_commit.so")
subprocess.run(["cc", "-shared", "-fPIC", "-D_GNU_SOURCE", "-o", shim, os.path.join(HERE, "kill_at_commit.c"), "-ldl"], check=True)

ROWS = {
    "runs": "SELECT agent, capability, status, chain_n, depth, output, error FROM runs WHERE input LIKE ? ORDER BY capability, chain_n, input",
    "journal": "SELECT r.capability, r.chain_n, r.input, j.effect, j.name, j.outcome FROM journal j JOIN runs r ON r.id = j.run WHERE r.input LIKE ?"
               " ORDER BY r.capability, r.chain_n, r.input, j.effect",
    "places": "SELECT r.capability, r.chain_n, r.input, count(*), count(DISTINCT j.effect), min(j.idx), max(j.idx), max(r.journal_length) FROM journal j JOIN runs r ON r.id = j.run"
              " WHERE r.input LIKE ? GROUP BY r.capability, r.chain_n, r.input ORDER BY r.capability, r.chain_n, r.input",
    "records": "SELECT kind, id, version, body FROM records WHERE id LIKE ? ORDER BY kind, id",
    "history": "SELECT kind, id, version, body FROM record_history WHERE id LIKE ? ORDER BY kind, id, version",
    "evidence": "SELECT deal, claim, quote FROM evidence WHERE deal LIKE ?",
    "events": "SELECT type, data, dispatched FROM events WHERE data LIKE ?",
    "signals": "SELECT name, payload, consumed_by IS NOT NULL FROM signals WHERE id LIKE ?",
    "approvals": "SELECT status, decision FROM approvals WHERE title LIKE ?",
    "handoffs": "SELECT sender, receiver, type, status, depth FROM handoffs WHERE payload LIKE ?",
    "deliveries": "SELECT count(*) FROM deliveries d JOIN runs r ON r.id = d.run WHERE r.input LIKE ? AND d.status <> 'done'",
    "waits": "SELECT count(*) FROM waits w JOIN runs r ON r.id = w.run WHERE r.input LIKE ?",
    "intents": "SELECT count(*) FROM intents i JOIN runs r ON r.id = i.run WHERE r.input LIKE ?",
}


def plain(value, name):
    """Without what must differ: the run's name, ids, instants; of an HTTP answer the status alone counts."""
    if not isinstance(value, str):
        return value
    if '"status":200' in value and '"headers"' in value:
        return '"status":200'
    text = re.sub(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "ID", value)
    text = re.sub(r"[0-9a-f]{64}", "DIGEST", text)
    return re.sub(r'"(at|updated_at|recorded_at|asked_at|decided_at)":\d+', r'"\1":0', text).replace(name, "NAME")


class Lane:
    """One host after the other on one store."""
    serial = itertools.count(1)

    def __init__(self, engine, which, number):
        os.environ["PERIGEE_TEST_ENGINE"] = engine if engine == "postgres" else ""
        self.engine, self.which, self.at = engine, which, os.path.join(folder, "%s-%s-%d" % (engine, which, number))
        self.first = 1 + number * EVERY
        lease = 'lease = "1s", ' if engine == "postgres" else ""
        self.host = Host(root=os.path.join(HERE, "commits"), config='return { %segress = { "%s" } }' % (lease, upstream.origin),
                         environment={"LD_PRELOAD": shim, "KILL_AT": self.at})
        self.killed, self.last, self.faults = 0, 0, []

    def ask(self, method, path, body=None, headers=None):
        """Until it is answered; a host that has died is started again."""
        until = time.monotonic() + DEADLINE
        while True:
            if self.host.process.poll() is not None:
                self.killed += 1
                self.host.start_host()
            try:
                answer = self.host.call(method, path, body, headers, timeout=10)
                if answer.status < 500:
                    return answer.json
                fault = answer
            except (OSError, http.client.HTTPException, Failure) as error:
                fault = repr(error)
            true(time.monotonic() < until, "%s %s: %s" % (method, path, fault))
            time.sleep(0.01)

    def operate(self, name):
        """Decide what waits for a person."""
        for approval in self.ask("GET", "/v1/approvals?status=pending")["items"]:
            self.ask("POST", "/v1/approvals/" + approval["id"], {"decision": "approved"})
        for outcome in self.ask("GET", "/v1/outcomes?status=unknown")["items"]:
            happened = {"decision": "happened", "result": {"status": 200, "headers": {}, "body": ""}}
            self.ask("POST", "/v1/outcomes/%s/%d" % (outcome["run"], outcome["effect"]),
                     happened if upstream.done[name + "-" + outcome["class"]] else {"decision": "not_happened"})

    def over(self, name):
        database = harness.open_database(self.host.store, "example")
        try:
            left = database.execute("SELECT count(*), count(CASE WHEN ended_at IS NULL THEN 1 END) FROM runs WHERE input LIKE ?", ("%%\"%s%%" % name,)).fetchone()
            waiting = database.execute("SELECT count(*) FROM events WHERE dispatched = 0").fetchone()[0]
            going = database.execute("SELECT count(*) FROM handoffs WHERE status = 'started'").fetchone()[0]
            open_ = database.execute("SELECT count(*) FROM deliveries WHERE status NOT IN ('done', 'dead')").fetchone()[0]
        finally:
            database.close()
        return left[0] >= 5 and left[1] == waiting == going == open_ == 0

    def state(self, name):
        database = harness.open_database(self.host.store, "example")
        try:
            found = {}
            for what, sql in ROWS.items():
                pattern = name + "%" if what in ("records", "history", "evidence", "signals", "approvals") else "%%\"%s%%" % name
                found[what] = [tuple(plain(v, name) for v in row) for row in database.execute(sql, (pattern,)).fetchall()]
            return found
        finally:
            database.close()

    def once(self, n):
        """A run that is killed at its n-th commit (0: not at all): what it leaves, and whether it was."""
        name, before = "n%05d" % next(self.serial), self.killed
        if n:
            with open(self.at, "w") as f:
                f.write("%s %d" % (self.which, n))
        answer = self.ask("POST", "/v1/agents/commits/all", {"name": name, "origin": upstream.origin, "turn": 1}, {"Idempotency-Key": name})
        true("run" in answer, answer)
        until = time.monotonic() + DEADLINE
        while not self.over(name):
            true(time.monotonic() < until, "it does not end: %s\n%s" % (self.ask("GET", "/v1/runs/" + answer["run"]), "".join(self.host.said[-20:])))
            self.operate(name)
            time.sleep(0.02)
        if os.path.exists(self.at):
            os.remove(self.at)
        done = {kind: upstream.done[name + "-" + kind] for kind in ("keyed", "queryable", "unsafe")}
        equal(done, {"keyed": 1, "queryable": 1, "unsafe": 1}, "took effect at the upstream")
        return self.state(name), self.killed > before

    def all(self, want):
        survived, n = 0, self.first
        try:
            while survived < 2:             # one run may have a commit less than the one before
                have, killed = self.once(n)
                survived, self.last = (0, n) if killed else (survived + 1, self.last)
                wrong = ["%s\n  want %r\n  have %r" % (part, want[part], have[part]) for part in want if want[part] != have[part]]
                true(not wrong, "\n".join(wrong))
                n += EVERY * LANES
        except Exception as fault:
            self.faults.append("%s commit %d: %s" % (self.which, n, fault))


def at_every_commit(engine):
    lanes = []
    try:
        lanes = [Lane(engine, which, number) for which in ("before", "after") for number in range(LANES)]
        want, _ = lanes[0].once(0)
        equal([len(want[part]) for part in ("runs", "evidence", "events", "signals", "approvals", "handoffs")], [5, 1, 1, 1, 1, 1])
        equal(sorted({row[4] for row in want["journal"]}), KINDS, "kinds of effects")
        threads = [threading.Thread(target=lane.all, args=(want,)) for lane in lanes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for lane in lanes:
            true(not lane.faults, lane.faults)
        for which in ("before", "after"):
            killed, last = sum(l.killed for l in lanes if l.which == which), max(l.last for l in lanes if l.which == which)
            print("# %s, %s: killed %d times at work, last at commit %d" % (engine, which, killed, last), flush=True)
            true(killed >= LEAST // EVERY and last >= LEAST, "%s: killed only %d times at work" % (which, killed))
    finally:
        for lane in lanes:
            lane.host.stop()


KINDS = ["approval.ask", "events.emit", "evidence.add", "evidence.source", "handoff.send", "handoff.wait", "http.request", "records.delete", "records.get",
         "records.put", "run.await", "run.continue_as_new", "run.join", "run.signal", "run.spawn", "time.sleep"]


@test
def killed_before_and_after_each_commit_on_sqlite():
    at_every_commit("sqlite")


@test
def killed_before_and_after_each_commit_on_postgres():
    at_every_commit("postgres")


try:
    sys.argv = sys.argv[:1] + [word for word in sys.argv[1:] if word != "--every" and not word.isdigit()]
    main()
finally:
    upstream.stop()
    shutil.rmtree(folder, ignore_errors=True)
