#!/usr/bin/env python3
"""Events on their way to capabilities: deliveries, retries, order per key, dead letters; and the stream of events."""
import os, signal, subprocess, sys, time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "http"))
import harness
from harness import Events, Host, PROGRAM, equal, holds, main, matches, problem, test, true

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(HERE, "root")

host = Host(root=ROOT, words=["--config", os.path.join(ROOT, "perigee.lua")])
serial = iter(range(1, 1 << 30))


def emit(kind, data, on=None, **more):
    event = {"specversion": "1.0", "id": more.pop("id", None) or "e%d-%d" % (os.getpid(), next(serial)), "source": "/test", "type": kind, "data": data}
    event.update(more)
    answer = (on or host).post("/v1/events", event)
    equal(answer.status, 202, answer)
    return event["id"]


def query(sql, *values, on=None):
    with harness.open_database((on or host).store, "example") as db:
        return db.execute(sql, values).fetchall()


def until(what, found, seconds=20):
    end = time.monotonic() + seconds
    while True:
        value = found()
        if value:
            return value
        true(time.monotonic() < end, "not within %d s: %s" % (seconds, what))
        time.sleep(0.02)


def heard(key, on=None):
    answer = (on or host).get("/v1/records/heard/" + key)
    return answer.json["body"]["list"] if answer.status == 200 else []


def dead(key, on=None):
    return [d for d in (on or host).get("/v1/events/dead?limit=200").json["items"] if d["key"] == key]


@test
def events_of_one_key_reach_a_capability_one_after_the_other_in_their_order():
    # the first ones take long: whoever ran at the same time would be heard before them
    for n in range(12):
        emit("heard.ordered", {"key": "k1", "n": n, "ms": 40 if n % 3 == 0 else 1}, subject="k1")
    until("all heard", lambda: len(heard("k1")) == 12)
    equal(heard("k1"), list(range(12)))
    equal(query("SELECT count(*), min(attempts), max(attempts) FROM deliveries WHERE key = 'k1' AND status = 'done'"), [(12, 1, 1)])


@test
def the_partition_key_is_the_key_of_order_before_the_subject_and_keys_go_side_by_side():
    emit("heard.ordered", {"key": "slow", "n": 1, "ms": 1500}, subject="same", partitionkey="slow")
    before = time.monotonic()
    emit("heard.ordered", {"key": "quick", "n": 1}, subject="same", partitionkey="quick")
    until("the other key", lambda: heard("quick") == [1])
    true(time.monotonic() - before < 1.4, "it waited for another key")
    until("the slow one", lambda: heard("slow") == [1])


@test
def what_is_not_ordered_runs_side_by_side():
    for n in range(6):
        emit("heard.loose", {"key": "loose", "n": n}, subject="loose")
    until("all done", lambda: query("SELECT count(*) FROM deliveries WHERE status = 'done' AND event IN (SELECT id FROM events WHERE subject = 'loose')") == [(6,)])
    spans = query("SELECT started_at, ended_at FROM runs WHERE capability = 'overlap'")
    true(any(a[0] < b[1] and b[0] < a[1] for i, a in enumerate(spans) for b in spans[:i]), "none overlapped")


@test
def a_failed_run_is_tried_again_by_another_run():
    event = emit("heard.strict", {"key": "twice", "times": 1}, subject="twice")
    until("delivered", lambda: query("SELECT 1 FROM deliveries WHERE event = ? AND status = 'done'", event))
    (attempts, runs), = query("SELECT attempts, runs FROM deliveries WHERE event = ?", event)
    equal(attempts, 2)
    equal([host.get("/v1/runs/" + run).json["status"] for run in runs.split()], ["failed", "succeeded"])
    equal(dead("twice"), [])


@test
def a_delivery_that_fails_each_time_is_a_dead_letter_and_can_be_replayed():
    event = emit("heard.strict", {"key": "poison", "times": 2}, subject="poison")
    behind = emit("heard.strict", {"key": "poison", "times": 0}, subject="poison")
    letter, = until("a dead letter", lambda: dead("poison"))
    holds(letter, agent="listener", capability="fail_often", attempts=2)
    equal(letter["event"]["id"], event)
    equal(letter["event"]["data"], {"key": "poison", "times": 2})
    equal(len(letter["runs"]), 2)
    matches(letter["error"]["message"], "attempt 2 fails")
    until("what came behind", lambda: query("SELECT 1 FROM deliveries WHERE event = ? AND status = 'done'", behind))
    listed = host.perigee("events", "dead", "--json")
    true(letter["id"] in listed, listed)
    answer = host.post("/v1/events/dead/%s/replay" % letter["id"])
    equal(answer.status, 202, answer)
    equal(answer.json, {"id": letter["id"], "status": "pending"})
    until("replayed", lambda: query("SELECT 1 FROM deliveries WHERE event = ? AND status = 'done'", event))
    equal(dead("poison"), [])
    problem(host.post("/v1/events/dead/%s/replay" % letter["id"]), 404)
    problem(host.post("/v1/events/dead/%s/replay" % harness.UNKNOWN), 404)


@test
def the_command_line_replays_too():
    emit("heard.strict", {"key": "shell", "times": 2}, subject="shell")
    letter, = until("a dead letter", lambda: dead("shell"))
    matches(host.perigee("events", "replay", letter["id"]), letter["id"])
    until("replayed", lambda: query("SELECT 1 FROM deliveries WHERE id = ? AND status = 'done'", letter["id"]))
    failed = subprocess.run([PROGRAM, "events", "replay", letter["id"], "--store", host.store], capture_output=True, text=True)
    equal(failed.returncode, 1)
    matches(failed.stderr, "no dead letter")


@test
def data_off_the_schema_is_a_dead_letter_at_once():
    event = emit("heard.ordered", {"key": 7}, subject="schema")
    letter, = until("a dead letter", lambda: dead("schema"))
    holds(letter, attempts=0, runs=[])
    equal(letter["error"]["code"], "event.schema")
    equal(letter["event"]["id"], event)


@test
def a_cancelled_run_is_not_tried_again():
    event = emit("heard.ordered", {"key": "cancel", "n": 1, "ms": 60000}, subject="cancel")
    (run,), = until("a run", lambda: query("SELECT run FROM deliveries WHERE event = ? AND status = 'running'", event))
    equal(host.post("/v1/runs/%s/cancel" % run).status, 200)
    until("settled", lambda: query("SELECT 1 FROM deliveries WHERE event = ? AND status = 'done'", event))
    emit("heard.ordered", {"key": "cancel", "n": 2}, subject="cancel")
    until("the next", lambda: heard("cancel") == [2])


@test
def more_events_than_runs_are_allowed_are_all_delivered():
    for n in range(150):
        emit("heard.ordered", {"key": "many%d" % n, "n": n, "ms": 100}, subject="many%d" % n)
    until("all", lambda: query("SELECT count(*) FROM deliveries WHERE key LIKE 'many%' AND status = 'done'") == [(150,)], 60)
    equal(query("SELECT count(*) FROM runs WHERE event IN (SELECT event FROM deliveries WHERE key LIKE 'many%')"), [(150,)])


@test
def the_same_event_again_is_delivered_once():
    event = emit("heard.ordered", {"key": "same", "n": 1}, subject="samekey", id="same-event")
    until("heard", lambda: heard("same") == [1])
    answer = host.post("/v1/events", {"specversion": "1.0", "id": event, "source": "/test", "type": "heard.ordered", "data": {"key": "same", "n": 1}, "subject": "samekey"})
    equal((answer.status, answer.json["repeated"]), (202, True))
    emit("heard.ordered", {"key": "same", "n": 2}, subject="samekey")
    until("the next", lambda: heard("same") == [1, 2])


@test
def kill_9_of_two_hosts_while_events_flow_loses_and_doubles_nothing():
    class Other(Host):
        def start_host(self):
            self.store = host.store
            super().start_host()
            self.key = host.key
    keys, count = ["chaos%d" % n for n in range(6)], 10
    emitted = []
    for turn in range(3):
        other = Other(root=ROOT, words=["--config", os.path.join(ROOT, "perigee.lua")])
        for n in range(turn * count, turn * count + count):
            for key in keys:
                emitted.append(emit("heard.ordered", {"key": key, "n": n, "ms": 5}, other, subject=key))
        # kill -9 of everything of it, in the middle of its work
        os.killpg(other.process.pid, signal.SIGKILL)
        other.process.wait()
        other.stop()
    for key in keys:
        until("all of " + key, lambda: len(heard(key)) >= 3 * count, 60)
        equal(heard(key), list(range(3 * count)), key)
    equal(query("SELECT count(*) FROM deliveries WHERE key LIKE 'chaos%' AND status = 'done' AND attempts = 1"), [(len(emitted),)])
    equal(query("SELECT count(*) FROM runs WHERE event IN (SELECT event FROM deliveries WHERE key LIKE 'chaos%')"), [(len(emitted),)])


# -- the stream --

def take(stream, count):
    seen = []
    for kind, number, event in stream:
        seen.append((int(number), event))
        if len(seen) == count:
            return seen
    return seen


@test
def the_stream_begins_now_and_goes_on_behind_what_a_client_has():
    emit("stream.before", {})
    stream = Events(host, "/v1/events?type=stream.*")
    equal(stream.headers["Content-Type"], "text/event-stream")
    time.sleep(0.2)  # "now" is when the host has read the newest number: nothing tells
    ids = [emit("stream.a", {"n": n}) for n in range(3)]
    seen = take(stream, 3)
    stream.close()
    equal([e["id"] for _, e in seen], ids)
    equal([n for n, _ in seen], sorted(n for n, _ in seen))
    holds(seen[0][1], specversion="1.0", type="stream.a", source="/test", data={"n": 0})
    more = [emit("stream.b", {"n": n}) for n in range(2)]
    stream = Events(host, "/v1/events?type=stream.*", headers={"Last-Event-ID": str(seen[1][0])})
    equal([e["id"] for _, e in take(stream, 3)], ids[2:] + more)
    stream.close()
    stream = Events(host, "/v1/events?since=0&type=stream.b")
    equal([e["id"] for _, e in take(stream, 2)], more)
    stream.close()


@test
def the_stream_gives_everything_in_order_to_who_begins_at_zero():
    count = query("SELECT count(*) FROM events")[0][0]
    stream = Events(host, "/v1/events?since=0")
    seen = take(stream, count)
    stream.close()
    equal([e["id"] for _, e in seen], [row[0] for row in query("SELECT id FROM events ORDER BY seq LIMIT ?", count)])


@test
def a_prefix_that_is_rare_is_found_behind_many_others():
    # numbers behind the last one, as others would have taken them
    (last,), = query("SELECT max(seq) FROM events")
    with harness.open_database(host.store, "example") as db:
        db.insert("events", ["seq", "id", "type", "source", "at", "dispatched"], [(last + i, "noise%d" % i, "noise.x", "/n", 1, 1) for i in range(1, 12001)])
        if not host.store.startswith("sqlite:"):
            db.execute("UPDATE counters SET last = last + 12000 WHERE tenant_id = 'example' AND name = 'events'")
    rare = emit("rare.one", {})
    stream = Events(host, "/v1/events?since=0&type=rare.*")
    equal([e["id"] for _, e in take(stream, 1)], [rare])
    stream.close()


@test
def a_stream_needs_its_scope_and_well_formed_questions():
    problem(host.get("/v1/events?since=x"), 400)
    problem(host.get("/v1/events?type=a*b"), 400)
    problem(host.get("/v1/events", key=None), 401)
    key = host.make_key("runs:read")
    problem(host.get("/v1/events", key=key), 403)
    problem(host.get("/v1/events/dead", key=key), 403)
    problem(host.post("/v1/events/dead/%s/replay" % harness.UNKNOWN, key=host.make_key("events:read")), 403)


if __name__ == "__main__":
    main(host)
