#!/usr/bin/env python3
"""Two hosts on one PostgreSQL database: many tenants beside a large one, hints from host to host, hand-over at SIGTERM, take-over after kill -9."""
import os, signal, sys, time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "http"))
os.environ["PERIGEE_TEST_ENGINE"] = "postgres"
from harness import Host, equal, main, postgres, test, true
from servers import Redis

LEASE = 4
OTHERS = ["small%02d" % n for n in range(99)]
CONFIG = "return { lease = '%ds', limits = { runs_per_tenant = 100000 } }" % LEASE
redis = Redis().start()


class Member(Host):
    """A host on the database of the first one."""
    first = None

    def __init__(self):
        super().__init__(root=os.path.join(HERE, "root"), config=CONFIG)

    def start_host(self):
        if Member.first is None:
            Member.first = self
            postgres().sql("INSERT INTO perigee.tenants (id, title, created_at) VALUES %s" % ", ".join("('%s', '', 1)" % name for name in OTHERS), self.store)
        self.store = Member.first.store
        super().start_host()
        if self is Member.first:
            self.key = self.key or self.make_key()
        self.key = Member.first.key

    def echo(self, text="x"):
        return self.run("echo", {"text": text}, agent="engine")


first = Member()
second = Member()


def until(what, found, seconds=30):
    end = time.monotonic() + seconds
    while True:
        value = found()
        if value:
            return value
        true(time.monotonic() < end, "not within %d s: %s" % (seconds, what))
        time.sleep(0.02)


def sql(text):
    return postgres().sql("SET search_path = perigee; " + text, first.store)


def value(text):
    return sql(text)[0][0]


@test
def a_tenant_with_thousands_of_runs_delays_ninety_nine_others_on_no_host():
    until("bundles of all tenants", lambda: value("SELECT count(DISTINCT tenant_id) FROM bundles") == "100")
    for host in (first, second):
        equal(host.echo()["status"], "succeeded")
    # As workers with long queues leave them; all of it seen at once.
    sql("BEGIN; INSERT INTO runs (tenant_id, id, agent, capability, bundle, status, input, created_at, fence)"
        " SELECT t.id, 'fair-' || t.id || to_char(n, 'FM00000'), 'engine', 'echo', b.digest, 'queued', '{\"text\":\"x\"}', n, 1"
        " FROM tenants t JOIN bundles b ON b.tenant_id = t.id CROSS JOIN generate_series(1, 3000) n WHERE n <= 20 OR t.id = 'example';"
        " INSERT INTO tenant_ready (tenant, pass, ready_at, marks) SELECT id, 0, 0, 1 FROM tenants ORDER BY id"
        " ON CONFLICT (tenant) DO UPDATE SET marks = tenant_ready.marks + 1; COMMIT")
    until("all have ended", lambda: value("SELECT count(*) FROM runs WHERE id LIKE 'fair-%' AND ended_at IS NULL") == "0", 120)
    equal(value("SELECT count(*) FROM runs WHERE id LIKE 'fair-%' AND status <> 'succeeded'"), "0")
    before = int(value("SELECT count(*) FROM runs WHERE id LIKE 'fair-%' AND tenant_id = 'example'"
                       " AND ended_at < (SELECT max(ended_at) FROM runs WHERE id LIKE 'fair-%' AND tenant_id <> 'example')"))
    true(before < 1000, "%d of the large tenant's 3,000 runs ended before the others' last" % before)
    until("nobody is ready", lambda: value("SELECT count(*) FROM tenant_ready") == "0")


def hint_seconds(times=8):
    """How long a signal that one host takes needs to wake a run of the other; the middle of some."""
    took = []
    for n in range(times):
        run = first.start("wait_twice", {"id": "hint-%d-%d" % (n, time.monotonic_ns())}, agent="engine")
        first.wait_run(run, "waiting")
        began = time.monotonic()
        true(second.post("/v1/runs/%s/signals/one" % run, 1).status in (200, 202), run)
        until("it goes on", lambda: value("SELECT count(*) FROM journal WHERE run = '%s'" % run) >= "2", 10)
        took.append(time.monotonic() - began)
        second.post("/v1/runs/%s/cancel" % run)
    return sorted(took)[times // 2]


@test
def a_signal_at_one_host_wakes_a_run_of_the_other_by_mail():
    took = hint_seconds()
    true(took < 1.5, "%.2f s" % took)


@test
def with_redis_it_does_so_at_once_and_without_it_again_by_mail():
    for host in (first, second):
        host.environment["PERIGEE_REDIS"] = redis.url()
        host.process.send_signal(signal.SIGTERM)
        equal(host.process.wait(30), 0)
        host.start_host()
    until("Redis is there", lambda: all(h.get("/health/ready", key=None).json["checks"]["redis"] == "ok" for h in (first, second)))
    took = hint_seconds()
    true(took < 0.4, "%.2f s" % took)
    redis.halt()
    took = hint_seconds()
    true(took < 1.5, "%.2f s while Redis is gone" % took)


def start_many(host, tag, count):
    """Runs that wait, half of them evicted or dormant, and runs under way."""
    waiting = [host.start("wait_twice", {"id": "%s-%d" % (tag, n)}, agent="engine") for n in range(count)]
    napping = [host.start("nap", {"ms": 1500}, agent="engine") for _ in range(count)]
    for run in waiting:
        host.wait_run(run, "waiting")
    return waiting, napping


def finish(waiting, napping, seconds):
    """All go on at the second host, in that time."""
    began = time.monotonic()
    for run in waiting:
        for name in ("one", "two"):
            true(second.post("/v1/runs/%s/signals/%s" % (run, name), name).status in (200, 202), run)
    for run in waiting + napping:
        ended = second.wait_run(run, "succeeded", "failed", "stuck", seconds=30)
        equal(ended["status"], "succeeded", ended["error"])
    took = time.monotonic() - began
    true(took < seconds, "%.1f s" % took)


@test
def at_sigterm_the_other_host_has_the_runs_long_before_the_lease_ends():
    waiting, napping = start_many(first, "term", 25)
    first.process.send_signal(signal.SIGTERM)
    equal(first.process.wait(30), 0)
    finish(waiting, napping, LEASE - 0.5)
    first.start_host()


@test
def after_kill_9_the_other_host_has_the_runs_once_the_lease_has_ended():
    waiting, napping = start_many(first, "kill", 25)
    os.killpg(first.process.pid, signal.SIGKILL)
    first.process.wait()
    finish(waiting, napping, LEASE + 6)
    equal(value("SELECT count(*) FROM records WHERE kind = 'note' AND (id LIKE 'kill-%' OR id LIKE 'term-%') AND version <> 1"), "0")
    equal(value("SELECT count(*) FROM records WHERE kind = 'note' AND (id LIKE 'kill-%' OR id LIKE 'term-%')"), "50")
    first.start_host()


try:
    main(first, second)
finally:
    redis.stop()
