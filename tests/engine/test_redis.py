#!/usr/bin/env python3
"""Events with Redis beside the store: relayed once and in order, and the same results while Redis is stopped, flushed or silent."""
import json, os, sys, threading, time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "http"))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
from harness import Events, Host, PROGRAM, equal, holds, main, matches, open_database, test, true
from servers import Redis

ROOT = os.path.join(HERE, "root")
STREAM = "perigee:example:events"
redis = Redis()
redis.start()
CONFIG = ["--config", os.path.join(ROOT, "perigee.lua")]
first = Host(root=ROOT, words=CONFIG, environment={"PERIGEE_REDIS": redis.url()})
serial = iter(range(1, 1 << 30))


class Second(Host):
    """Another host on the first one's store."""

    def start_host(self):
        self.store = first.store
        super().start_host()
        self.key = first.key


second = Second(root=ROOT, words=CONFIG, environment={"PERIGEE_REDIS": redis.url()})


def emit(host, kind, data, **more):
    event = {"specversion": "1.0", "id": "r%d" % next(serial), "source": "/test", "type": kind, "data": data, **more}
    answer = host.post("/v1/events", event)
    equal(answer.status, 202, answer)
    return event["id"]


def query(sql, *values):
    with open_database(first.store, "example") as db:
        return db.execute(sql, values).fetchall()


def until(what, found, seconds=30):
    end = time.monotonic() + seconds
    while True:
        value = found()
        if value:
            return value
        true(time.monotonic() < end, "not within %d s: %s" % (seconds, what))
        time.sleep(0.02)


def ready(host):
    answer = host.get("/health/ready", key=None)
    return answer.status, answer.json["status"], answer.json["checks"]["redis"]


def is_up(*hosts):
    return all(ready(h) == (200, "ok", "ok") for h in hosts or (first, second))


def is_degraded(*hosts):
    return all(ready(h)[:2] == (200, "degraded") for h in hosts or (first, second))


def relayed():
    """(number, fields) of each entry of the stream."""
    found = []
    for number, flat in redis.call("XRANGE", STREAM, "-", "+") or []:
        found.append((int(number.split("-")[0]), dict(zip(flat[::2], flat[1::2]))))
    return found


def outbox():
    return [row[0] for row in query("SELECT id FROM events ORDER BY seq")]


def all_relayed():
    return [f["id"] for _, f in relayed()] == outbox()


def heard(key):
    answer = first.get("/v1/records/heard/" + key)
    return answer.json["body"]["list"] if answer.status == 200 else []


def metric(host, name):
    for line in host.get("/metrics", key=None).body.decode().splitlines():
        if line.startswith(name + " "):
            return float(line.split()[1])


@test
def events_of_both_hosts_are_in_the_stream_once_and_in_order():
    until("Redis is up", is_up)
    equal([metric(h, "perigee_redis_up") for h in (first, second)], [1, 1])
    for n in range(60):
        emit((first, second)[n % 2], "relay.test", {"n": n}, subject="s%d" % n)
    until("all relayed", all_relayed)
    numbers = [n for n, _ in relayed()]
    equal(numbers, [row[0] for row in query("SELECT seq FROM events ORDER BY seq")])
    event = json.loads(relayed()[0][1]["event"])
    holds(event, specversion="1.0", type="relay.test", source="/test", subject="s0", data={"n": 0})


@test
def what_one_host_emits_is_streamed_and_heard_by_the_other_at_once():
    stream = Events(second, "/v1/events?type=across.*")
    time.sleep(0.3)  # "now" is when the host has read the newest number: nothing tells
    took = []
    for n in range(5):
        before = time.monotonic()
        wanted = emit(first, "across.x", {"n": n})
        _, _, event = next(iter(stream))
        took.append(time.monotonic() - before)
        equal(event["id"], wanted)
    stream.close()
    true(sorted(took)[2] < 0.5, "Redis hints, but it took %s s" % took)


def load(keys, count, disturb, seconds=40):
    """Emit on both hosts, ordered by key, while something happens to Redis; then everything is heard once and in order."""
    stream = Events(second, "/v1/events?type=heard.*", timeout=60)
    seen = []

    def listen():
        try:
            for _, _, event in stream:
                seen.append(event["id"])
        except (OSError, ValueError, AttributeError):
            pass  # closed under its hands, below

    threading.Thread(target=listen, daemon=True).start()
    time.sleep(0.3)
    emitted = []
    for n in range(count):
        for key in keys:
            emitted.append(emit((first, second)[n % 2], "heard.ordered", {"key": key, "n": n}, subject=key))
        if n == count // 3:
            disturb()
    for key in keys:
        until("all of %s heard" % key, lambda: len(heard(key)) >= count, seconds)
        equal(heard(key), list(range(count)), key)
    until("all streamed", lambda: len(seen) >= len(emitted), 10)
    equal(seen, emitted)
    stream.close()


@test
def redis_stopped_in_the_middle_loses_nothing_and_says_degraded():
    load(["stop1", "stop2", "stop3"], 12, redis.kill)
    until("degraded", is_degraded)
    equal(metric(first, "perigee_redis_up"), 0)
    redis.start()
    until("up again", is_up)
    until("filled again", all_relayed)


@test
def redis_flushed_in_the_middle_is_filled_again():
    load(["flush1", "flush2"], 15, redis.flush)
    until("filled again", all_relayed)


@test
def redis_that_is_silent_delays_nothing_and_is_left_alone():
    redis.pause()
    try:
        load(["silent1", "silent2"], 12, lambda: None)
        until("degraded", is_degraded)
    finally:
        redis.resume()
    until("up again", is_up)
    until("filled again", all_relayed)


@test
def a_stream_is_trimmed_behind_what_every_group_has_acknowledged():
    until("Redis is up", is_up)
    redis.call("XGROUP", "CREATE", STREAM, "slow", "0")
    redis.call("XGROUP", "CREATE", STREAM, "quick", "0")
    total = len(relayed())
    for group in ("slow", "quick"):
        entries = redis.call("XREADGROUP", "GROUP", group, "me", "COUNT", "10" if group == "slow" else "1000", "STREAMS", STREAM, ">")[0][1]
        ids = [e[0] for e in entries]
        if group == "slow":
            ids = ids[:7]   # three stay pending
            first_pending = entries[7][0]
        redis.call("XACK", STREAM, group, *ids)
    emit(first, "relay.test", {"n": -1})
    until("trimmed", lambda: len(relayed()) == total - 7 + 1 and redis.call("XRANGE", STREAM, "-", "+", "COUNT", "1")[0][0] == first_pending)
    time.sleep(6)   # another round of trimming would take more if it were wrong
    equal(redis.call("XRANGE", STREAM, "-", "+", "COUNT", "1")[0][0], first_pending)
    redis.call("XGROUP", "DESTROY", STREAM, "slow")
    redis.call("XGROUP", "DESTROY", STREAM, "quick")


@test
def a_wrong_url_is_an_error_at_start():
    import subprocess
    for url, text in (("redis://", "no host"), ("http://x", "no URL of a Redis server"), ("redis://h:0/1", "port"), ("redis://a@h", "USER:PASSWORD"),
                      ("redis://h/x", "database"), ("rediss://h", "TLS"), ("unix:", "path")):
        done = subprocess.run([PROGRAM, "serve", "--redis", url, "--listen", "127.0.0.1:0", "--store", first.store, "--root", ROOT],
                              capture_output=True, text=True, timeout=30)
        equal(done.returncode, 2, done.stderr)
        matches(done.stderr, text)
        equal(done.stderr.count("\n"), 1, done.stderr)


if __name__ == "__main__":
    try:
        main(first, second)
    finally:
        redis.stop()
