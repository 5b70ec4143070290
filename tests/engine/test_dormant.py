#!/usr/bin/env python3
"""Runs that wait are rows: they leave memory, and what comes for them finds them, also when another worker has them or theirs was killed."""
import os, signal, sqlite3, sys, time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "http"))
from harness import Host, children_of, command_of, equal, main, test, true

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "root")
host = Host(root=ROOT, config="return { workers = 2, cell = { resident = 2 }, limits = { runs_per_tenant = 5000 } }", words=[])


def start(capability, body):
    end = time.monotonic() + 10
    while True:
        answer = host.post("/v1/agents/trouble/%s" % capability, body)
        if answer.status != 503: # a worker that is just starting has no scripts yet
            break
        true(time.monotonic() < end, answer)
        time.sleep(0.05)
    true(answer.status == 202, answer)
    return answer.json["run"]


def database():
    return sqlite3.connect(os.path.join(host.store[len("sqlite:"):], "tenants", "example.db"), timeout=10)


def value(sql, *params):
    with database() as db:
        return db.execute(sql, params).fetchone()[0]


def until(what, wanted, seconds=15):
    end = time.monotonic() + seconds
    while True:
        got = what()
        if got == wanted:
            return
        true(time.monotonic() < end, "still %r, wanted %r" % (got, wanted))
        time.sleep(0.02)


def waiting(runs):
    return value("SELECT count(*) FROM runs WHERE status = 'waiting' AND id IN (%s)" % ",".join("?" * len(runs)), *runs)


def tell(runs, name, payload):
    for run in runs:
        answer = host.post("/v1/runs/%s/signals/%s" % (run, name), payload)
        true(answer.status in (200, 202), answer)


def all_succeed(runs, seconds=30):
    for run in runs:
        equal(host.wait_run(run, "succeeded", "failed", "stuck", seconds=seconds)["status"], "succeeded")


@test
def signals_reach_dormant_runs_of_any_worker():
    runs = [start("two_waits", {}) for _ in range(60)]
    until(lambda: waiting(runs), 60)
    until(lambda: value("SELECT count(*) FROM waits"), 120)
    tell(runs, "a", 1)
    until(lambda: value("SELECT count(*) FROM waits"), 60)
    tell(runs, "b", 1)
    all_succeed(runs)


@test
def runs_of_a_killed_worker_hear_what_came_meanwhile():
    runs = [start("two_waits", {}) for _ in range(40)]
    until(lambda: value("SELECT count(*) FROM waits"), 80)
    workers = [pid for pid in children_of(host.process.pid) if command_of(pid) == "perigee"]
    os.kill(workers[0], signal.SIGKILL)
    time.sleep(0.2)
    tell(runs, "a", 1)
    tell(runs, "b", 1)
    all_succeed(runs)


@test
def everything_is_handed_over_at_the_end_of_a_host():
    runs = [start("two_waits", {}) for _ in range(20)]
    until(lambda: value("SELECT count(*) FROM waits"), 40)
    host.process.send_signal(signal.SIGTERM)
    equal(host.process.wait(30), 0)
    host.start_host()
    tell(runs, "a", 1)
    tell(runs, "b", 1)
    all_succeed(runs)


if __name__ == "__main__":
    main(host)
