#!/usr/bin/env python3
"""A worker that is stopped past its lease and then goes on: not one row, not one byte on its streams and answers, not one request from it afterwards.

Two hosts of one worker each on PostgreSQL. The first one's worker is stopped in the middle of everything: runs in cells, a request on its way, open streams and answers;
the other finishes its runs; then it is let go.
"""
import json, os, random, re, shutil, signal, socket, sys, tempfile, time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "http"))
sys.path.insert(0, os.path.join(HERE, "..", "fakes"))
os.environ["PERIGEE_TEST_ENGINE"] = "postgres"
import harness
from harness import Host, equal, main, test, true
from upstream import Upstream

ROUNDS = int(os.environ.get("FROZEN_ROUNDS", "3"))
RUNS = 12
upstream = Upstream()
CONFIG = 'return { lease = "1s", egress = { "%s" }, limits = { runs_per_tenant = 100000 } }' % upstream.origin


class Beside(Host):
    """Another host on a store that is there."""

    def __init__(self, first):
        self.taken = first
        new, harness.new_store = harness.new_store, lambda folder: first.store
        try:
            super().__init__(root=os.path.join(HERE, "storm"), config=CONFIG)
        finally:
            harness.new_store = new
        self.key = first.key


def worker_of(host):
    pids = [pid for pid in harness.children_of(host.process.pid) if harness.command_of(pid) == "perigee"]
    equal(len(pids), 1, "workers")
    return pids[0]


def until(what, text, seconds=30):
    end = time.monotonic() + seconds
    while not what():
        true(time.monotonic() < end, text() if callable(text) else text)
        time.sleep(0.02)


class Wire:
    """One connection, as bytes."""

    def __init__(self, host, text):
        self.socket = socket.create_connection(("127.0.0.1", host.port), timeout=10)
        self.socket.sendall(text.replace("KEY", host.key).encode())
        self.got = b""
        self.ended = False

    def read(self, seconds=0.0):
        """What is there now, and what comes within this time."""
        end = time.monotonic() + seconds
        while not self.ended:
            self.socket.settimeout(max(0.001, end - time.monotonic()))
            try:
                piece = self.socket.recv(65536)
            except socket.timeout:
                break
            except OSError:
                piece = b""
            self.ended = not piece
            self.got += piece
        return self.got

    def close(self):
        self.socket.close()


def get(path):
    return "GET %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer KEY\r\nAccept: text/event-stream\r\n\r\n" % path


def post(path, body, **headers):
    text = json.dumps(body)
    return "POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer KEY\r\nContent-Type: application/json\r\n%sContent-Length: %d\r\n\r\n%s" % (
        path, "".join("%s: %s\r\n" % (k.replace("_", "-"), v) for k, v in headers.items()), len(text), text)


def program(name, n):
    """Steps without a pause to speak of, so that the stop falls into the middle of one; and what the run leaves."""
    steps, marks, requests = [], [], []
    for i in range(40):
        id = "%s-%d-%d" % (name, n, i)
        kind = (i + n) % 4
        if kind == 0:
            steps.append({"op": "http", "url": upstream.url("/do/" + id)})
            requests.append(id)
        elif kind == 1:
            steps.append({"op": "sleep", "ms": 20})
        elif kind == 2:
            steps.append({"op": "event", "id": id})
            marks.append(id)
        else:
            steps.append({"op": "mark", "id": id})
            marks.append(id)
    return steps, marks, requests


def tables(database):
    names = [row[0] for row in database.execute("SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid WHERE a.attname = 'tenant_id'"
                                                " AND c.relkind = 'r' AND c.relnamespace = 'perigee'::regnamespace ORDER BY 1")]
    true(len(names) > 15, names)
    names.remove("bundles")         # whoever is started anew notes in it that this bundle is in use
    return {name: database.execute("SELECT count(*), md5(string_agg(t::text, ' ' ORDER BY t::text)) FROM %s t" % name).fetchone() for name in names}


def quiet(host, name):
    """Everything of this round has ended, and nothing is left to deliver."""
    database = harness.open_database(host.store, "example")
    left = database.execute("SELECT (SELECT count(*) FROM runs WHERE ended_at IS NULL), (SELECT count(*) FROM events WHERE dispatched = 0),"
                            " (SELECT count(*) FROM deliveries WHERE status NOT IN ('done', 'dead'))").fetchone()
    return left == (0, 0, 0)


first = Host(root=os.path.join(HERE, "storm"), config=CONFIG)
second = Beside(first)


def one_round(number, chance):
    name = "frozen%d" % number
    pid = worker_of(first)
    marks, requests, runs = [], [], []
    upstream.hold()
    held = name + "-held"
    held_run = first.start("program", {"steps": [{"op": "http", "url": upstream.url("/hold-first/" + held)}, {"op": "mark", "id": held}]}, agent="storm")
    marks.append(held)
    requests.append(held)
    true(upstream.wait_arrived(held), "the request that is held arrived")
    wires = [Wire(first, get("/v1/events")), Wire(first, get("/v1/runs/%s/events" % held_run))]
    for n in range(RUNS):
        steps, m, r = program(name, n)
        marks += m
        requests += r
        if n % 4 == 0:
            wires.append(Wire(first, post("/v1/agents/storm/program", {"steps": steps}, Prefer="wait=60", Idempotency_Key="%s-%d" % (name, n))))
        else:
            run = first.start("program", {"steps": steps}, agent="storm")
            runs.append(run)
            if n % 2:
                wires.append(Wire(first, get("/v1/runs/%s/events" % run)))
    time.sleep(chance.uniform(0.05, 0.5))         # anywhere
    os.kill(pid, signal.SIGSTOP)
    try:
        stopped = time.monotonic()
        upstream.release()
        until(lambda: quiet(second, name), lambda: "the other host does not finish them:\n" + "".join(second.said[-20:]))
        true(time.monotonic() - stopped > 0.7, "the lease was waited for")
        before, upstream_before = [len(wire.read(0.1)) for wire in wires], (dict(upstream.arrived), dict(upstream.done))
        true(all(not wire.ended for wire in wires), "its connections are open while it stands")
        true(sum(before) > 0, "no stream had begun")
        database = harness.open_database(first.store, "example")
        rows = tables(database)
    finally:
        os.kill(pid, signal.SIGCONT)
    until(lambda: pid not in harness.children_of(first.process.pid), lambda: "it does not end:\n" + "".join(first.said[-10:]))
    until(lambda: any("worker.fenced" in line for line in first.said), "it does not say why it ended")
    after = [len(wire.read(2)) for wire in wires]
    equal(after, before, "bytes on its connections")
    true(all(wire.ended for wire in wires), "its connections have ended")
    time.sleep(1)
    equal((dict(upstream.arrived), dict(upstream.done)), upstream_before, "requests at the upstream")
    now = tables(database)
    equal({table: now[table] for table in now if now[table] != rows[table]}, {}, "tables that changed: before %r" % {t: rows[t] for t in rows if rows[t] != now[t]})
    for wire in wires:
        wire.close()
    for run in runs + [held_run]:
        equal(second.get("/v1/runs/" + run).json["status"], "succeeded")
    for mark in marks:
        equal(second.get("/v1/records/mark/" + mark).json["version"], 1, mark)
    equal({id: upstream.done[id] for id in requests if upstream.done[id] != 1}, {}, "took effect")
    true(any("runs.taken_over" in line for line in second.said), "the other did not take them over")
    first.said.clear()
    until(lambda: first.run("program", {"steps": [{"op": "mark", "id": name + "-again"}]}, agent="storm")["status"] == "succeeded", "the first host is there again")


@test
def a_worker_that_is_stopped_past_its_lease_does_nothing_afterwards():
    seed = int(os.environ.get("FROZEN_SEED", "1"))
    chance = random.Random(seed)
    for number in range(ROUNDS):
        one_round(number, chance)


try:
    main(first, second)
finally:
    upstream.stop()
