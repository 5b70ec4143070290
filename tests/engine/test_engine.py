#!/usr/bin/env python3
"""The engine through the running host: waits, eviction, children, recovery, divergence, reload, and scripts that misbehave."""
import glob, os, shutil, signal, subprocess, sys, tempfile, threading, time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "http"))
import harness
from harness import Host, PROGRAM, equal, holds, main, matches, problem, test, true

HERE = os.path.dirname(os.path.abspath(__file__))


class Engine(Host):
    """A host over a copy of root/ that a test may edit, stopped and started again on the same store."""

    def __init__(self):
        self.root = tempfile.mkdtemp(prefix="perigee-engine-")
        shutil.copytree(os.path.join(HERE, "root"), self.root, dirs_exist_ok=True)
        super().__init__(root=self.root, words=["--config", os.path.join(self.root, "perigee.lua")])

    def stop(self, how=signal.SIGTERM):
        super().stop(how)
        shutil.rmtree(self.root, ignore_errors=True)

    def kill(self):
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def start_again(self):
        self.start_host()

    def database(self):
        return harness.open_database(self.store, "example")

    def signal(self, run, name, payload):
        answer = self.post("/v1/runs/%s/signals/%s" % (run, name), payload)
        true(answer.status in (200, 202), answer)

    def edit(self, old, new, path="scripts/agents/engine.lua"):
        path = os.path.join(self.root, path)
        with open(path) as f:
            text = f.read()
        true(old in text, "%r is not in %s" % (old, path))
        with open(path, "w") as f:
            f.write(text.replace(old, new))

    def wait_bundle(self, before, seconds=10):
        until = time.monotonic() + seconds
        while self.get("/v1/agents/engine").json["bundle"] == before:
            true(time.monotonic() < until, "no new bundle went live")
            time.sleep(0.02)


host = Engine()


def engine(capability, body, **more):
    return host.run(capability, body, agent="engine", **more)


def start(capability, body):
    return host.start(capability, body, agent="engine")


def waits_of(run, count=1, seconds=10):
    """Until the store holds this many waits of the run."""
    until = time.monotonic() + seconds
    while True:
        with host.database() as db:
            if db.execute("SELECT count(*) FROM waits WHERE run = ?", (run,)).fetchone()[0] == count:
                return
        true(time.monotonic() < until, "the run does not wait")
        time.sleep(0.02)


# -- scripts that misbehave --

MISBEHAVIOUR = {
    "loop": r"budget\.cpu", "stubborn_loop": r"budget\.cpu", "deaf": r"budget\.(cpu|wall)|script_error", "recursion": r"script_error|budget\.stack",
    "memory": r"budget\.memory|script_error|budget\.cpu", "stubborn_memory": r"budget\.(memory|cpu)", "big_string": r"budget\.memory|script_error",
    "returns_function": r"script_error", "returns_cycle": r"script_error", "returns_nan": r"script_error",
    "yields": r"script_error", "throws_table": r"script_error|budget\.cpu", "writes_global": r"script_error", "mixed_keys": r"script_error",
}


@test
def a_script_that_misbehaves_fails_with_a_named_reason_and_the_next_run_works():
    for name, code in MISBEHAVIOUR.items():
        ended = host.run(name, {}, agent="hostile")
        equal(ended["status"], "failed", name)
        matches(ended["error"]["code"], "^(%s)$" % code, name)
        true(ended["error"]["message"], "%s: no message" % name)
        equal(engine("echo", {"text": name})["output"]["text"], name)


@test
def a_script_error_names_file_and_line():
    ended = host.run("writes_global", {}, agent="hostile")
    matches(str(ended["error"].get("where", "")) + ended["error"]["message"], r"scripts/agents/hostile\.lua:\d+")
    matches(ended["error"]["message"], "leaked")


@test
def output_off_its_schema_fails_with_pointers():
    ended = engine("wrong_output", {})
    equal(ended["error"]["code"], "output.schema")
    equal(ended["error"]["errors"][0]["pointer"], "/n")


@test
def an_uncaught_effect_error_keeps_its_code():
    ended = engine("uncaught", {})
    equal(ended["error"]["code"], "records.unknown_kind")
    matches(ended["error"]["message"], "note")


# -- waiting --

@test
def a_sleep_takes_its_time_in_the_script_too():
    ended = engine("nap", {"ms": 50})
    true(50000 <= ended["output"]["slept"] < 5000000, ended["output"])


@test
def a_signal_that_comes_first_is_kept():
    run = start("wait_twice", {"id": "early"})
    host.signal(run, "two", {"late": False})
    host.signal(run, "one", {"n": 1})
    ended = host.wait_run(run, "succeeded", "failed")
    holds(ended["output"], first={"n": 1}, second={"late": False})


@test
def a_deadline_ends_an_await():
    equal(engine("deadline", {"ms": 30})["output"], {"heard": False})


@test
def a_signal_to_an_ended_run_is_a_conflict_and_to_none_is_unknown():
    run = engine("echo", {"text": "x"})["id"]
    problem(host.post("/v1/runs/%s/signals/one" % run, {}), 409)
    problem(host.post("/v1/runs/%s/signals/one" % harness.UNKNOWN, {}), 404)


@test
def approvals_are_listed_decided_once_and_heard():
    run = start("ask", {"title": "Send the offer?"})
    waits_of(run)
    item = [a for a in host.get("/v1/approvals?status=pending").json["items"] if a["run"] == run][0]
    holds(item, title="Send the offer?", owner="sales-lead")
    answer = host.post("/v1/approvals/" + item["id"], {"decision": "approved", "note": "go"})
    equal(answer.status, 200, answer)
    equal(host.wait_run(run, "succeeded")["output"], {"decision": "approved", "note": "go"})
    problem(host.post("/v1/approvals/" + item["id"], {"decision": "rejected"}), 409)


@test
def an_approval_that_nobody_gives_expires():
    equal(engine("ask", {"title": "?", "ms": 30})["output"]["decision"], "expired")


@test
def more_runs_wait_than_cells_are_kept_and_each_goes_on():
    runs = [start("wait_twice", {"id": "many-%d" % n}) for n in range(12)]
    for run in runs:
        waits_of(run)
    until = time.monotonic() + 10
    while True:
        cells = int(float([line for line in host.get("/metrics").body.decode().splitlines() if line.startswith("perigee_cells ")][0].split()[1]))
        if cells <= 3:
            break
        true(time.monotonic() < until, "%d cells for 12 waiting runs, 2 should be kept" % cells)
        time.sleep(0.02)
    for n, run in enumerate(runs):
        host.signal(run, "one", n)
    for n, run in enumerate(runs):
        host.signal(run, "two", n * 10)
    for n, run in enumerate(runs):
        ended = host.wait_run(run, "succeeded", "failed")
        equal(ended["status"], "succeeded", str(ended["error"]))
        holds(ended["output"], first=n, second=n * 10)
        body = host.get("/v1/records/note/many-%d" % n).json["body"]
        holds(body, uuid=ended["output"]["uuid"], random=ended["output"]["random"])


# -- children --

@test
def children_return_typed_results():
    equal(engine("family", {"children": 8})["output"], {"total": 72})


@test
def a_failing_child_fails_its_parent_with_its_reason():
    ended = engine("family", {"children": 13})
    equal(ended["status"], "failed")
    matches(str(ended["error"]), "thirteen is refused")


@test
def cancelling_takes_the_whole_tree():
    run = start("tree", {"depth": 4})
    until = time.monotonic() + 10
    while True:
        with host.database() as db:
            tree = db.execute("WITH RECURSIVE t(id) AS (SELECT id FROM runs WHERE id = ? UNION SELECT runs.id FROM runs JOIN t ON runs.parent = t.id) SELECT id FROM t",
                              (run,)).fetchall()
        if len(tree) == 5:
            break
        true(time.monotonic() < until, "only %d runs" % len(tree))
        time.sleep(0.02)
    answer = host.post("/v1/runs/%s/cancel" % run)
    true(answer.status in (200, 202), answer)
    for (member,) in tree:
        equal(host.wait_run(member, "cancelled", seconds=2)["status"], "cancelled")
    problem(host.post("/v1/runs/%s/cancel" % run), 409)


@test
def a_tree_of_more_than_eight_is_refused():
    run = start("tree", {"depth": 12})
    ended = host.wait_run(run, "succeeded", "failed", seconds=20)
    true(ended["status"] in ("failed", "succeeded"), ended)
    with host.database() as db:
        errors = [row[0] for row in db.execute("SELECT error FROM runs WHERE error LIKE '%too_deep%'")]
    true(errors, "no run was refused as too deep")


@test
def writers_of_one_record_lose_no_update():
    runs = [start("count", {"times": 10}) for _ in range(4)]
    for run in runs:
        ended = host.wait_run(run, "succeeded", "failed")
        equal(ended["status"], "succeeded", str(ended["error"]))
    equal(host.get("/v1/records/note/counter").json["body"]["n"], 40)


@test
def an_event_starts_who_subscribes_once():
    engine("emit", {"type": "test.heard", "n": 7})
    until = time.monotonic() + 10
    while host.get("/v1/records/note/heard-7").status != 200:
        true(time.monotonic() < until, "nobody heard")
        time.sleep(0.02)
    event = {"specversion": "1.0", "id": "again", "source": "test", "type": "test.heard", "data": {"n": 8}}
    for _ in range(2):
        true(host.post("/v1/events", event).status in (200, 202), "event refused")
    until = time.monotonic() + 10
    while host.get("/v1/records/note/heard-8").status != 200:
        true(time.monotonic() < until, "nobody heard")
        time.sleep(0.02)
    with host.database() as db:
        equal(db.execute("SELECT count(*) FROM runs WHERE event = 'again'").fetchone()[0], 1)


# -- kills, replay, versions --

@test
def a_killed_host_goes_on_where_it_was():
    run = start("wait_twice", {"id": "killed"})
    waits_of(run)
    host.signal(run, "one", "before")
    waits_of(run)
    until = time.monotonic() + 10
    while host.get("/v1/records/note/killed").status != 200:
        true(time.monotonic() < until, "no record")
        time.sleep(0.02)
    written = host.get("/v1/records/note/killed").json
    host.kill()
    host.start_again()
    host.signal(run, "two", "after")
    ended = host.wait_run(run, "succeeded", "failed", "stuck")
    equal(ended["status"], "succeeded", str(ended["error"]))
    holds(ended["output"], first="before", second="after", uuid=written["body"]["uuid"])
    equal(host.get("/v1/records/note/killed").json["version"], written["version"], "the write was applied twice")


@test
def a_killed_worker_is_replaced():
    workers = harness.children_of(host.process.pid)
    true(workers, "no worker below the master")
    run = start("wait_twice", {"id": "worker"})
    waits_of(run)
    os.kill(workers[0], signal.SIGKILL)
    until = time.monotonic() + 15
    while True:
        try:
            host.signal(run, "one", 1)
            break
        except (OSError, harness.http.client.HTTPException):
            true(time.monotonic() < until, "no new worker")
            time.sleep(0.05)
    host.signal(run, "two", 2)
    equal(host.wait_run(run, "succeeded", "failed", "stuck")["status"], "succeeded")


@test
def a_journal_that_the_script_does_not_follow_parks_the_run_with_both_sides():
    run = start("wait_twice", {"id": "diverge"})
    waits_of(run)
    host.signal(run, "one", 1)
    until = time.monotonic() + 10
    while host.get("/v1/records/note/diverge").status != 200:
        true(time.monotonic() < until, "no record")
        time.sleep(0.02)
    host.kill()
    with host.database() as db:
        db.execute("UPDATE journal SET digest = '00000000000000000000000000000000' WHERE run = ? AND name = 'records.put'", (run,))
    host.start_again()
    host.signal(run, "two", 2)
    stuck = host.wait_run(run, "stuck", "succeeded", "failed")
    equal(stuck["status"], "stuck")
    equal(stuck["error"]["code"], "replay_diverged")
    holds(stuck["error"]["expected"], name="records.put", digest="0" * 32)
    holds(stuck["error"]["actual"], name="records.put")


@test
def a_run_stays_with_its_bundle_when_a_new_one_goes_live():
    run = start("wait_twice", {"id": "pinned"})
    waits_of(run)
    before = host.get("/v1/agents/engine").json["bundle"]
    host.edit("local VERSION = 1", "local VERSION = 2")
    host.wait_bundle(before)
    equal(engine("echo", {"text": "x"})["output"]["version"], 2)
    host.kill()
    host.start_again()
    host.signal(run, "one", 1)
    host.signal(run, "two", 2)
    ended = host.wait_run(run, "succeeded", "failed", "stuck")
    equal(ended["status"], "succeeded", str(ended["error"]))
    equal(ended["output"]["version"], 1)


@test
def a_broken_bundle_does_not_go_live_and_names_file_and_line():
    before = host.get("/v1/agents/engine").json["bundle"]
    host.edit("local VERSION = 2", "local VERSION = = 2")
    until = time.monotonic() + 10
    while not any("engine.lua" in line and ":" in line for line in host.said):
        true(time.monotonic() < until, "nothing was said: %r" % host.said)
        time.sleep(0.02)
    matches("".join(host.said), r"scripts/agents/engine\.lua:\d+")
    equal(host.get("/v1/agents/engine").json["bundle"], before)
    equal(engine("echo", {"text": "still"})["output"]["version"], 2)
    host.edit("local VERSION = = 2", "local VERSION = 3")
    host.wait_bundle(before)
    equal(engine("echo", {"text": "x"})["output"]["version"], 3)


@test
def replay_from_the_command_line_is_the_same_and_shows_a_divergence():
    run = engine("count", {"times": 3})["id"]
    done = subprocess.run([PROGRAM, "replay", run, "--root", host.root, "--store", host.store], capture_output=True, text=True,
                          env=host.environment, cwd=host.folder)
    equal(done.returncode, 0, done.stdout + done.stderr)
    before = host.get("/v1/agents/engine").json["bundle"]
    host.edit('"counter"', '"another"')
    host.wait_bundle(before)
    done = subprocess.run([PROGRAM, "replay", run, "--root", host.root, "--store", host.store], capture_output=True, text=True,
                          env=host.environment, cwd=host.folder)
    equal(done.returncode, 1, done.stdout + done.stderr)
    matches(done.stdout + done.stderr, "records.get")


@test
def unfinished_runs_of_a_tenant_are_limited():
    runs, answer = [], None
    for n in range(80):
        answer = host.post("/v1/agents/engine/wait_twice", {"id": "limit-%d" % n})
        if answer.status != 202:
            break
        runs.append(answer.json["run"])
    problem(answer, 429)
    true(answer.header("Retry-After"), "429 without Retry-After")
    for run in runs:
        host.post("/v1/runs/%s/cancel" % run)


@test
def sigterm_drains_and_the_runs_go_on_later():
    run = start("wait_twice", {"id": "drained"})
    waits_of(run)
    host.process.send_signal(signal.SIGTERM)
    equal(host.process.wait(25), 0, "exit status")
    host.start_again()
    host.signal(run, "one", 1)
    host.signal(run, "two", 2)
    equal(host.wait_run(run, "succeeded", "failed", "stuck")["status"], "succeeded")


@test
def a_signal_is_heard_whichever_worker_took_it():
    many = Host(root=host.root, words=["--config", os.path.join(host.root, "perigee.lua")], environment={"PERIGEE_WORKERS": "3"})
    try:
        until = time.monotonic() + 10
        ready = 0
        while ready < 60:  # in a row: every worker has its scripts
            ready = ready + 1 if many.get("/v1/agents/engine").status == 200 else 0
            true(time.monotonic() < until, "a worker has no scripts")
        runs = [many.start("wait_twice", {"id": "spread-%d" % n}, agent="engine") for n in range(6)]
        asked = [many.start("ask", {"title": "%d?" % n}, agent="engine") for n in range(4)]
        for run in runs:
            for name in ("one", "two"):
                true(many.post("/v1/runs/%s/signals/%s" % (run, name), {}).status in (200, 202), "refused")
        until = time.monotonic() + 10
        while len(many.get("/v1/approvals?status=pending").json["items"]) < len(asked):
            true(time.monotonic() < until, "not all were asked")
            time.sleep(0.02)
        for item in many.get("/v1/approvals?status=pending").json["items"]:
            equal(many.post("/v1/approvals/" + item["id"], {"decision": "approved"}).status, 200)
        for run in runs + asked:
            equal(many.wait_run(run, "succeeded", "failed", seconds=15)["status"], "succeeded")
    finally:
        many.stop()


main(host)
