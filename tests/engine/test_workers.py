#!/usr/bin/env python3
"""Several workers of one host: killed and replaced under load, one /metrics for all; tenants side by side, their limits, runs that nobody owns yet."""
import http.client, json, os, re, signal, subprocess, sys, threading, time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "http"))
import harness
from harness import Host, PROGRAM, equal, main, problem, test, true

HERE = os.path.dirname(os.path.abspath(__file__))
WORKERS = 3
OTHERS = ["t%02d" % n for n in range(20)]
CONFIG = 'return { workers = %d, drain_timeout = "%ds", limits = { runs_per_tenant = 100000 } }'
host = Host(root=os.path.join(HERE, "root"), tenants=OTHERS, config=CONFIG % (WORKERS, 3))


def workers():
    return harness.children_of(host.process.pid)


def metrics():
    lines = host.get("/metrics").body.decode().splitlines()
    return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines if line and line[0] != "#"}


def until(what, seconds=30):
    deadline = time.monotonic() + seconds
    while not what():
        true(time.monotonic() < deadline, "not in time")
        time.sleep(0.02)


class Load:
    """Requests from several threads; how each that was not answered with 200 went wrong."""

    def __init__(self, threads=4):
        self.wrong, self.answered, self.stopped = [], 0, False
        self.threads = [threading.Thread(target=self.ask) for _ in range(threads)]

    def ask(self):
        while not self.stopped:
            try:
                status = host.get("/health").status
                if status != 200:
                    self.wrong.append(status)
                self.answered += 1
            except (OSError, http.client.HTTPException) as error:
                self.wrong.append(error)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopped = True
        for thread in self.threads:
            thread.join()


def echo(n):
    return host.post("/v1/agents/engine/echo", {"text": str(n)}, headers={"Prefer": "wait=20"})


def runs_done(found=None):
    return sum(v for k, v in (found or metrics()).items() if k.startswith("perigee_runs_total") and 'capability="echo"' in k and 'tenant="example"' in k)


@test
def whichever_worker_answers_gives_the_sum():
    until(lambda: all(echo(n).status == 200 for n in range(20)))      # each worker has found the new tenant
    time.sleep(1.1)
    before = runs_done()
    for n in range(30):
        equal(echo(n).status, 200)
    until(lambda: runs_done() == before + 30)
    until(lambda: all(metrics()["perigee_workers"] == WORKERS for _ in range(10)))
    equal(metrics()['perigee_tenant_weight{tenant="example"}'], 100)


@test
def a_killed_worker_takes_no_other_down_and_nobody_is_refused():
    before = workers()
    equal(len(before), WORKERS)
    with Load() as load:
        for victim in before:
            true(victim in workers(), "a worker went with another")
            os.kill(victim, signal.SIGKILL)
            until(lambda: len(workers()) == WORKERS and victim not in workers())
            time.sleep(0.3)
        answered = load.answered
        until(lambda: load.answered > answered + 100)
    true(all(isinstance(w, (ConnectionResetError, http.client.RemoteDisconnected, BrokenPipeError)) for w in load.wrong), load.wrong)
    true(not any(isinstance(w, ConnectionRefusedError) for w in load.wrong), load.wrong)
    true(runs_done() >= 30, "what dead workers counted is gone")
    equal(echo("again").status, 200)


@test
def a_changed_configuration_replaces_workers_one_after_the_other_and_no_request_fails():
    before = workers()
    with open(os.path.join(host.folder, "perigee.lua"), "w") as f:
        f.write(CONFIG % (WORKERS, 4))
    with Load() as load:
        host.process.send_signal(signal.SIGHUP)
        fewest = WORKERS
        deadline = time.monotonic() + 60
        while set(before) & set(workers()):
            fewest = min(fewest, len(workers()))
            true(time.monotonic() < deadline, "not replaced")
            time.sleep(0.005)
    equal(load.wrong, [])
    true(fewest >= WORKERS, "only %d workers in between" % fewest)
    until(lambda: len(workers()) == WORKERS)
    until(lambda: metrics()["perigee_workers"] == WORKERS)


# -- tenants --

def database(tenant):
    return harness.open_database(host.store, tenant)


def fill(tenant, count):
    """Runs that nobody owns, as a worker with a long queue leaves them."""
    now = int(time.time() * 1000) * 1000
    db = database(tenant)
    bundle = db.execute("SELECT digest FROM bundles").fetchone()[0]
    db.insert("runs", ["id", "agent", "capability", "bundle", "status", "input", "created_at", "fence"],
              [("%08x-0000-7000-8000-%s" % (n, tenant.encode().hex().zfill(16)[-12:]), "engine", "echo", bundle, "queued", '{"text":"x"}', now + n, 1) for n in range(count)])
    db.close()


def mark(tenants):
    with harness.open_database(host.store, None) as platform:
        for tenant in sorted(tenants):
            platform.execute("INSERT INTO tenant_ready (tenant, pass, ready_at, marks) VALUES (?, 0, 0, 1) ON CONFLICT (tenant) DO UPDATE SET marks = tenant_ready.marks + 1",
                             (tenant,))


def ended_at(tenant):
    with database(tenant) as db:
        return [row[0] for row in db.execute("SELECT ended_at FROM runs WHERE created_at > 0 AND id LIKE '%-0000-7000-8000-%' AND status = 'succeeded' ORDER BY ended_at")]


def left():
    with harness.open_database(host.store, None) as platform:
        return platform.execute("SELECT count(*) FROM tenant_ready").fetchone()[0]


@test
def one_tenant_with_thousands_of_queued_runs_delays_no_other():
    fill("example", 3000)
    for tenant in OTHERS:
        fill(tenant, 20)
    mark(["example"] + OTHERS)
    until(lambda: all(len(ended_at(t)) == 20 for t in OTHERS), 60)
    until(lambda: len(ended_at("example")) == 3000, 120)
    last = max(ended_at(t)[-1] for t in OTHERS)
    before = sum(1 for at in ended_at("example") if at < last)
    true(before < 2000, "%d of the large tenant's runs ended before the others' last" % before)
    until(lambda: left() == 0)


@test
def a_run_that_nobody_marked_is_found():
    with database("t00") as db:
        db.execute("DELETE FROM runs")
    fill("t00", 1)
    until(lambda: len(ended_at("t00")) == 1, 30)


@test
def the_limit_of_runs_is_per_tenant_and_taken_up_while_serving():
    host.perigee("tenant", "set", "example", "--runs", "2", "--weight", "300", "--concurrency", "5")
    until(lambda: metrics()['perigee_tenant_weight{tenant="example"}'] == 300 and metrics()['perigee_tenant_concurrency{tenant="example"}'] == 5)
    listed = [json.loads(line) for line in host.perigee("tenant", "list", "--json").splitlines()]
    equal([(t["weight"], t["concurrency"], t["runs"]) for t in listed if t["tenant"] == "example"], [(300, 5, 2)])
    waiting, full = [], None
    for n in range(2 * WORKERS + 1):
        answer = host.post("/v1/agents/engine/wait_twice", {"id": "limit-%d" % n})
        if answer.status == 429:
            full = answer
            break
        waiting.append(answer.json["run"])
    true(full is not None, "%d runs, and none refused" % len(waiting))
    problem(full, 429)
    true(full.header("Retry-After"), "no Retry-After")
    for run in waiting:
        true(host.post("/v1/runs/%s/cancel" % run).status in (200, 202), run)
    host.perigee("tenant", "set", "example", "--runs", "none", "--weight", "100", "--concurrency", "none")
    until(lambda: host.post("/v1/agents/engine/echo", {"text": "x"}).status == 202)


@test
def wrong_limits_are_refused():
    for words in (["set", "example"], ["set", "example", "--weight", "0"], ["set", "example", "--weight", "10001"], ["set", "nobody", "--weight", "5"], ["set", "example", "--runs", "-1"]):
        done = subprocess.run([PROGRAM, "tenant", *words, "--store", host.store], capture_output=True, text=True, env=host.environment)
        equal(done.returncode, 2, words)
        true(done.stderr.count("\n") == 1, done.stderr)


main(host)
