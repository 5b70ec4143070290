#!/usr/bin/env python3
"""Forks, retries, chains of runs and long bodies, through the running host."""
import glob, json, os, re, shutil, signal, subprocess, sys, tempfile, threading, time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "http"))
from harness import Events, Host, PROGRAM, UNKNOWN, children_of, command_of, equal, holds, main, matches, open_database, postgres, test, true

HERE = os.path.dirname(os.path.abspath(__file__))


class Versions(Host):
    def __init__(self):
        self.root = tempfile.mkdtemp(prefix="perigee-versions-")
        shutil.copytree(os.path.join(HERE, "versions"), self.root, dirs_exist_ok=True)
        super().__init__(root=self.root, words=["--config", os.path.join(self.root, "perigee.lua")])

    def stop(self, how=signal.SIGTERM):
        super().stop(how)
        shutil.rmtree(self.root, ignore_errors=True)

    def kill(self):
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop_host(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)

    def ask_database(self, sql, *values):
        """The first value; None without a row."""
        db = open_database(self.store, "example")
        try:
            row = db.execute(sql, values).fetchone()
            db.commit()
            return row[0] if row else None
        finally:
            db.close()

    def edit(self, old, new):
        path = os.path.join(self.root, "scripts/agents/versions.lua")
        with open(path) as f:
            text = f.read()
        true(old in text, "%r is not in the scripts" % old)
        before = self.get("/v1/agents/versions").json["bundle"]
        with open(path, "w") as f:
            f.write(text.replace(old, new))
        until = time.monotonic() + 10
        while self.get("/v1/agents/versions").json["bundle"] == before:
            true(time.monotonic() < until, "no new bundle went live")
            time.sleep(0.02)


host = Versions()
ON_POSTGRES = not host.store.startswith("sqlite:")


def call(capability, body, **more):
    return host.run(capability, body, agent="versions", **more)


def start(capability, body):
    return host.start(capability, body, agent="versions")


def journal(run):
    return host.get("/v1/runs/%s/journal?limit=200" % run).json["items"]


def ended(run):
    return host.wait_run(run, "succeeded", "failed", "stuck", "cancelled")


def fork(run, at, **more):
    answer = host.post("/v1/runs/%s/fork" % run, dict(at=at, **more))
    equal(answer.status, 202, answer)
    return answer.json["run"]


# -- forks --

@test
def a_fork_is_its_origin_in_the_prefix_and_itself_behind_it():
    first = call("steps", {"id": "fork"})
    for at in (0, 1, 2, 3):
        run = fork(first["id"], at)
        then = ended(run)
        equal(then["status"], "succeeded", then["error"])
        holds(then["forked_from"], run=first["id"], at=at)
        a, b = first["output"], then["output"]
        for what in ("uuids", "numbers"):
            equal(b[what][:at], a[what][:at], what)
            true(not set(a[what][at + 1:]) & set(b[what]), "the chance of the origin goes on behind the prefix")
        equal(b["ids"], [first["id"]] * at + [run] * (3 - at))
        equal(journal(run)[:at], journal(first["id"])[:at])
        equal(len(journal(run)), 3)


@test
def a_fork_of_a_fork_is_three_runs_one_after_another():
    first = call("steps", {"id": "chain"})
    second = ended(fork(first["id"], 1))
    third = ended(fork(second["id"], 2))
    equal(third["status"], "succeeded", third["error"])
    equal(third["output"]["ids"], [first["id"], second["id"], third["id"]])
    equal(third["output"]["uuids"][:2], [first["output"]["uuids"][0], second["output"]["uuids"][1]])
    # with less than the first fork had, it is the origin's alone
    fourth = ended(fork(second["id"], 1))
    equal(fourth["output"]["ids"], [first["id"], fourth["id"], fourth["id"]])


@test
def a_fork_survives_a_kill_and_replays_as_itself():
    waiting = start("pause", {"id": "killed"})
    host.wait_run(waiting, "waiting")
    run = fork(waiting, 1)
    host.wait_run(run, "waiting")
    host.kill()
    host.start_host()
    for one in (waiting, run):
        host.post("/v1/runs/%s/signals/word" % one, {"word": one})
    for one in (waiting, run):
        then = ended(one)
        equal(then["output"], {"word": {"word": one}}, then["error"])


@test
def what_cannot_be_forked_is_refused_with_a_reason():
    run = call("steps", {"id": "refused"})["id"]
    for body, status, text in (({"at": 4}, 422, "has 3 outcomes: at is 0 to 3"), ({"at": -1}, 422, "at is 0 to 3"), ({}, 422, "/at"),
                               ({"at": 1.5}, 422, "/at"), ({"at": 1, "bundle": "0" * 64}, 422, "holds no bundle"),
                               ({"at": 1, "bundle": "old"}, 422, "/bundle"), ({"at": 1, "bundle": 3}, 422, "/bundle")):
        answer = host.post("/v1/runs/%s/fork" % run, body)
        equal(answer.status, status, body)
        matches(answer.json["detail"], text)
    equal(host.post("/v1/runs/%s/fork" % UNKNOWN, {"at": 0}).status, 404)
    equal(host.post("/v1/runs/nonsense/fork", {"at": 0}).status, 404)


@test
def a_fork_on_a_bundle_that_diverges_is_stuck_with_both_sides():
    run = call("steps", {"id": "diverge"})["id"]
    host.edit('{ run = ids[i], uuid', '{ owner = ids[i], uuid')
    try:
        then = ended(fork(run, 2, bundle="live"))
        equal(then["status"], "stuck")
        equal(then["error"]["code"], "replay_diverged")
        holds(then["error"]["expected"], name="records.put", effect=1)
        true("owner" in then["error"]["actual"]["args"]["body"], then["error"])
        equal(ended(fork(run, 2))["status"], "succeeded", "on the bundle of its origin")
    finally:
        host.edit('{ owner = ids[i], uuid', '{ run = ids[i], uuid')
    # and when the scripts are right again, the stuck run goes on where it was
    answer = host.post("/v1/runs/%s/retry?bundle=live" % then["id"], None)
    equal(answer.status, 202, answer)
    equal(answer.json["run"], then["id"])
    equal(ended(then["id"])["status"], "succeeded")


# -- retry --

@test
def what_failed_is_tried_again_as_a_new_run_on_the_live_scripts():
    host.edit("BROKEN = false", "BROKEN = true")
    failed = call("brittle", {"id": "brittle"})
    equal(failed["status"], "failed")
    host.edit("BROKEN = true", "BROKEN = false")
    answer = host.post("/v1/runs/%s/retry" % failed["id"], None)
    equal(answer.status, 202, answer)
    true(answer.json["run"] != failed["id"])
    then = ended(answer.json["run"])
    equal(then["status"], "succeeded", then["error"])
    holds(then, retry_of=failed["id"], input=failed["input"])
    answer = host.post("/v1/runs/%s/retry" % then["id"], None)
    equal(answer.status, 409)
    matches(answer.json["detail"], "is succeeded")


# -- chains --

@test
def a_chain_is_one_run_to_whoever_waits():
    answer = host.post("/v1/agents/versions/turns", {"left": 30}, headers={"Prefer": "wait=30"})
    equal(answer.status, 200, answer)
    equal(answer.json["output"], {"sum": 30})
    last = answer.json
    seen, at = 1, last
    while at["continued_from"]:
        before = host.get("/v1/runs/" + at["continued_from"]).json
        equal(before["continued_as"], at["id"])
        holds(before, status="succeeded", output=None)
        at, seen = before, seen + 1
    equal(seen, 30)
    equal(len(journal(at["id"])), 2, "a turn's journal holds its own outcomes")
    equal(call("parent", {"turns": 25})["output"], {"sum": 25})


@test
def a_chain_is_one_stream():
    run = start("turns", {"left": 5})
    for when in ("while it runs", "when all of it is history"):
        told = list(Events(host, "/v1/runs/%s/events" % run))
        equal([t for t, _, _ in told if t == "continued"], ["continued"] * 4, when)
        equal([d["name"] for t, _, d in told if t == "outcome"], ["records.put", "run.continue_as_new"] * 4 + ["records.put"], when)
        equal((told[-1][0], told[-1][2]["output"]), ("status", {"sum": 5}), when)
    ids = [i for t, i, _ in told if t == "outcome"]
    equal(len(set(ids)), 9, ids)
    # whoever comes back in the middle of the chain gets what is behind it
    rest = [i for t, i, _ in Events(host, "/v1/runs/%s/events" % run, headers={"Last-Event-ID": ids[4]}) if t == "outcome"]
    equal(rest, ids[5:])


@test
def an_input_that_does_not_match_keeps_the_run_where_it_is():
    equal(call("wrong_turn", {})["output"], {"code": "input.schema"})


@test
def a_chain_survives_kills():
    parent = start("parent", {"turns": 120})
    for _ in range(3):
        time.sleep(0.15)
        host.kill()
        host.start_host()
    then = ended(parent)
    equal(then["output"], {"sum": 120}, then["error"])


@test
def a_journal_of_a_chain_replays_as_the_same():
    last = call("turns", {"left": 3})
    first = host.get("/v1/runs/" + last["continued_from"]).json
    path = os.path.join(host.root, "chain.json")
    with open(path, "w") as f:
        json.dump({"run": first, "outcomes": journal(first["id"])}, f)
    done = subprocess.run([PROGRAM, "replay", path, "--bundle", host.root, "--config", os.path.join(host.root, "perigee.lua")],
                          capture_output=True, text=True)
    equal(done.returncode, 0, done.stdout + done.stderr)


# -- bodies --

@test
def a_long_body_lies_once_and_comes_back_to_the_byte():
    text = "".join(chr(0x41 + (i * 7919) % 57) for i in range(100000)) + "ü\"\\\n€"
    equal(host.put("/v1/records/page/long", {"text": text}).status, 201)
    before = host.ask_database("SELECT count(*) FROM bodies")
    run = call("reader", {"id": "long", "times": 50})
    equal(run["status"], "succeeded", run["error"])
    equal(host.ask_database("SELECT count(*) FROM bodies") - before, 1)
    equal(host.ask_database("SELECT count(*) FROM journal WHERE run = ? AND body IS NOT NULL", run["id"]), 50)
    true(host.ask_database("SELECT sum(length(outcome)) FROM journal WHERE run = ?", run["id"]) < 20000)
    for item in journal(run["id"])[::2]:
        equal(item["outcome"]["ok"]["body"]["text"], text)
    # a replay gets the same bytes
    then = ended(fork(run["id"], 99))
    equal(then["output"], run["output"], then["error"])
    equal(host.ask_database("SELECT count(*) FROM bodies") - before, 1)


@test
def a_run_whose_body_is_gone_is_stuck_and_goes_on_when_it_is_back():
    equal(host.put("/v1/records/page/gone", {"text": "x" * 5000}).status, 201)
    first = call("reader", {"id": "gone", "times": 3})
    body = host.ask_database("SELECT body FROM journal WHERE run = ? AND body IS NOT NULL LIMIT 1", first["id"])
    host.ask_database("UPDATE bodies SET hash = 'gone' WHERE hash = ?", body)
    run = fork(first["id"], 4)
    then = ended(run)
    equal((then["status"], then["error"]["code"]), ("stuck", "journal.broken"))
    host.ask_database("UPDATE bodies SET hash = ? WHERE hash = 'gone'", body)
    equal(host.post("/v1/runs/%s/retry" % run, None).status, 202)
    equal(ended(run)["output"], first["output"])


# -- other scripts --

def perigee(*words):
    done = subprocess.run([PROGRAM, *words, "--config", os.path.join(host.root, "perigee.lua"), "--store", host.store], capture_output=True, text=True,
                          timeout=60)
    return done.returncode, done.stdout, done.stderr


def other_root(*changes):
    root = tempfile.mkdtemp(prefix="perigee-other-", dir=host.folder)
    shutil.copytree(host.root, root, dirs_exist_ok=True)
    path = os.path.join(root, "scripts/agents/versions.lua")
    with open(path) as f:
        text = f.read()
    for old, new in changes:
        true(old in text, old)
        text = text.replace(old, new)
    with open(path, "w") as f:
        f.write(text)
    return root


@test
def in_flight_runs_are_checked_against_other_scripts():
    runs = [start("pause", {"id": "flight-%d" % i}) for i in range(5)]
    for run in runs:
        host.wait_run(run, "waiting")
    fifth = fork(runs[4], 1)
    host.wait_run(fifth, "waiting")
    stored = host.ask_database("SELECT count(*) FROM journal")
    code, out, err = perigee("check", "--in-flight", other_root(), "--json")
    equal((code, json.loads(out)), (0, {"checked": 6, "same": 6, "differing": []}), err)
    # the record
    code, out, err = perigee("check", "--in-flight", other_root(('{ step = "first" }', '{ step = "1st" }')), "--json")
    answer = json.loads(out)
    equal((code, answer["checked"], answer["same"], len(answer["differing"])), (1, 6, 0, 6), err)
    equal(sorted(d["run"] for d in answer["differing"]), sorted(runs + [fifth]))
    one = answer["differing"][0]
    holds(one, index=0, agent="versions", capability="pause", status="diverged")
    holds(one["expected"], effect=1, name="records.put")
    equal(one["expected"]["outcome"]["ok"]["version"], 1)
    equal(one["actual"]["args"]["body"], {"step": "1st"})
    code, out, err = perigee("check", "--in-flight", other_root(('{ step = "first" }', '{ step = "1st" }')))
    matches(out, r"differs at outcome 0, effect 1, records\.put")
    matches(out, r"6 unfinished runs: 0 go on as they are, 6 do not")
    # what a run waits for
    code, out, err = perigee("check", "--in-flight", other_root(('run.await("word")', 'run.await("other")')), "--json")
    one = json.loads(out)["differing"][0]
    equal(code, 1)
    holds(one["expected"], effect=2, name="run.await")
    equal(one["actual"]["args"]["signal"], "other")
    # an end instead of a wait, and an error
    code, out, err = perigee("check", "--in-flight", other_root(('run.await("word").payload', '"no wait"')), "--json")
    equal((code, json.loads(out)["differing"][0]["actual"]["name"]), (1, "records.put"))
    code, out, err = perigee("check", "--in-flight", other_root(('local word = run.await("word").payload', 'do return { word = 1 } end local word')), "--json")
    holds(json.loads(out)["differing"][0]["actual"], name="(the script returned)")
    code, out, err = perigee("check", "--in-flight", other_root(("pause = {", "paused = {")), "--json")
    equal((code, len(json.loads(out)["differing"])), (1, 6))
    equal(host.ask_database("SELECT count(*) FROM journal"), stored, "the store was only read")
    for run in runs + [fifth]:
        equal(host.post("/v1/runs/%s/signals/word" % run, {"word": 1}).status, 202)
        equal(ended(run)["status"], "succeeded")


@test
def fork_and_retry_from_the_command_line():
    run = call("steps", {"id": "cli"})["id"]
    host.stop_host()
    try:
        code, out, err = perigee("fork", run, "--at", "2")
        equal((code, json.loads(out)["status"]), (0, "succeeded"), err)
        equal(json.loads(out)["output"]["ids"][:2], [run, run])
        code, out, err = perigee("fork", run, "--at", "2", "--bundle", other_root(('{ run = ids[i], uuid', '{ owner = ids[i], uuid')))
        answer = json.loads(out)
        equal((code, answer["status"], answer["error"]["code"]), (1, "stuck", "replay_diverged"), err)
        code, out, err = perigee("runs", "retry", answer["run"], "--bundle", host.root)
        equal((code, json.loads(out)["run"], json.loads(out)["status"]), (0, answer["run"], "succeeded"), err)
        code, out, err = perigee("runs", "retry", run, "--root", host.root)
        equal(code, 1)
        matches(err, "is succeeded: only what is stuck, failed or cancelled")
        code, out, err = perigee("fork", run, "--at", "7")
        equal(code, 2)
        matches(err, "has 3 outcomes")
        equal(perigee("fork", run)[0], 2)
        equal(perigee("fork", UNKNOWN, "--at", "0")[0], 2)
    finally:
        host.start_host()


# -- growth --

def written():
    """Bytes of log that the store has written."""
    if ON_POSTGRES:
        return int(postgres().sql("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn")[0][0])
    total = 0
    for pid in workers():
        with open("/proc/%d/io" % pid) as f:
            total += int(re.search(r"wchar: (\d+)", f.read()).group(1))
    return total


def workers():
    found, todo = [], [host.process.pid]
    while todo:
        pid = todo.pop()
        todo += [p for p in children_of(pid) if command_of(p) == "perigee"]
        found.append(pid)
    return found


@test
def what_an_effect_writes_does_not_grow_with_its_run():
    run = start("growing", {"blocks": 10, "turns": 50})
    wrote = []
    for block in range(10):
        host.wait_run(run, "waiting")
        if ON_POSTGRES:
            postgres().sql("CHECKPOINT")  # each block pays for its first touch of a page
        before = written()
        host.post("/v1/runs/%s/signals/go" % run, {})
        until = time.monotonic() + 30
        while host.get("/v1/records/note/growing-%d" % block).status != 200:
            true(time.monotonic() < until, "a block of turns does not end")
            time.sleep(0.01)
        wrote.append(written() - before)
    equal(ended(run)["output"], {"bytes": 500 * 400})
    # the quietest of some: a server writes for others too
    true(min(wrote[6:]) < min(wrote[:4]) * 1.1, "bytes of log for 50 turns each: %r" % wrote)


main(host)
