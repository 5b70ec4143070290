#!/usr/bin/env python3
"""Requests to other hosts that a kill cuts off between intent and outcome: what each class does then, counted at the upstream; and the decisions."""
import glob, http.client, json, os, shutil, signal, subprocess, sys, tempfile, threading, time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "http"))
sys.path.insert(0, os.path.join(HERE, "..", "fakes"))
from harness import Host, equal, holds, main, matches, open_database, problem, test, true
from upstream import Upstream

upstream = Upstream()


def alive(group):
    """Is any process of the group there, and not a zombie?"""
    for stat in glob.glob("/proc/[0-9]*/stat"):
        try:
            with open(stat) as f:
                state, _, pgrp = f.read().rpartition(")")[2].split()[:3]
        except (OSError, ValueError):
            continue
        if int(pgrp) == group and state not in "ZX":
            return True
    return False


class Killable(Host):
    def __init__(self):
        super().__init__(root=os.path.join(HERE, "outcomes_root"), config='return { lease = "2s", egress = { "%s" } }' % upstream.origin)

    def kill(self):
        group = self.process.pid
        try:
            os.killpg(group, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        until = time.monotonic() + 20
        while alive(group): # the kernel closes the sockets of each in its own time
            true(time.monotonic() < until, "killed processes live on")
            time.sleep(0.005)

    def again(self):
        """Killed at this moment, and started again on the same store."""
        self.kill()
        self.start_host()

    def rows(self, sql, *values):
        with open_database(self.store, "example") as db:
            return db.execute(sql, values).fetchall()


host = Killable()
count = 0


def fresh(what):
    global count
    count += 1
    return "%s-%d" % (what, count)


def between(mode, name, **request):
    request.setdefault("method", "POST")
    request["url"] = upstream.url("/%s/%s" % (mode, name))
    return host.start("between", {"name": name, "request": request}, agent="caller")


def cut_off(mode, name, **request):
    """A run whose host is killed when the upstream has its request and has not answered; the host is there again."""
    upstream.hold()
    run = between(mode, name, **request)
    true(upstream.wait_arrived(name), "the request arrived")
    if mode != "hold-before":
        true(upstream.wait_done(name), "it took effect")
    host.kill()
    upstream.release()
    host.start_host()
    return run


def unknown(run, seconds=20):
    until = time.monotonic() + seconds
    while True:
        found = [o for o in host.get("/v1/outcomes?status=unknown").json["items"] if o["run"] == run]
        if found:
            host.wait_run(run, "waiting")
            return found[0]
        true(time.monotonic() < until, "no unknown outcome; the run is %s" % host.get("/v1/runs/" + run).json["status"])
        time.sleep(0.02)


def left_nothing(run):
    equal(host.rows("SELECT count(*) FROM intents WHERE run = ?", run), [(0,)], "intents")
    equal(host.rows("SELECT count(*) FROM waits WHERE run = ?", run), [(0,)], "waits")


def noted(name, run, ok=True):
    """State as an undisturbed run leaves it: each record written once, five outcomes at their places."""
    for part in ("before", "after"):
        equal(host.get("/v1/records/noted/%s-%s" % (name, part)).json["version"], 1, part)
    equal(host.get("/v1/records/noted/%s-after" % name).json["body"]["ok"], ok)
    equal([i["name"] for i in host.get("/v1/runs/%s/journal" % run).json["items"]], ["records.put", "http.request", "records.put"])
    left_nothing(run)


# -- what each class does --


@test
def an_undisturbed_run_asks_once():
    name = fresh("calm")
    run = between("do", name)
    output = host.wait_run(run, "succeeded")["output"]
    equal(output["answer"]["status"], 200)
    equal((upstream.arrived[name], upstream.done[name]), (1, 1))
    noted(name, run)


@test
def pure_is_asked_again():
    name = fresh("pure")
    run = cut_off("hold-first", name, method="GET")
    equal(host.wait_run(run, "succeeded")["output"]["answer"]["status"], 200)
    equal((upstream.arrived[name], upstream.done[name]), (2, 2))
    noted(name, run)


@test
def keyed_arrives_again_with_its_key_and_takes_effect_once():
    name = fresh("keyed")
    run = cut_off("hold-first", name, **{"class": "keyed"})
    equal(host.wait_run(run, "succeeded")["output"]["answer"]["body"], '{"name": "%s", "times": 1}' % name)
    equal((upstream.arrived[name], upstream.done[name]), (2, 1))
    equal(upstream.arrived_keys["%s/2" % run], 2)
    noted(name, run)


@test
def keyed_that_was_cut_before_it_took_effect_takes_effect_once():
    name = fresh("keyed-before")
    run = cut_off("hold-before", name, **{"class": "keyed"})
    host.wait_run(run, "succeeded")
    equal((upstream.arrived[name], upstream.done[name]), (2, 1))


@test
def queryable_that_happened_is_not_sent_again():
    name = fresh("asked")
    run = cut_off("hold-first", name, **{"class": "queryable", "query": {"url": upstream.url("/did/" + name)}})
    equal(host.wait_run(run, "succeeded")["output"]["answer"]["body"], '{"name": "%s", "times": 1}' % name)
    equal((upstream.arrived[name], upstream.done[name], upstream.asked[name]), (1, 1, 1))
    noted(name, run)


@test
def queryable_that_did_not_happen_is_sent_again():
    name = fresh("asked-before")
    run = cut_off("hold-before", name, **{"class": "queryable", "query": {"url": upstream.url("/did/" + name)}})
    host.wait_run(run, "succeeded")
    equal((upstream.arrived[name], upstream.done[name], upstream.asked[name]), (2, 1, 1))
    noted(name, run)


@test
def queryable_whose_provider_does_not_know_waits_for_a_person():
    name = fresh("asked-broken")
    run = cut_off("hold-first", name, **{"class": "queryable", "query": {"url": upstream.url("/did-broken/" + name)}})
    equal(unknown(run)["class"], "queryable")
    host.post("/v1/outcomes/%s/2" % run, {"decision": "happened", "result": {"status": 200, "headers": {}, "body": ""}})
    host.wait_run(run, "succeeded")
    equal((upstream.arrived[name], upstream.done[name]), (1, 1))


@test
def unsafe_is_never_sent_twice_and_waits_for_a_person():
    name = fresh("unsafe")
    run = cut_off("hold-first", name, headers={"Authorization": "Bearer hush"}, body="amount=5")
    outcome = unknown(run)
    holds(outcome, run=run, effect=2, attempt=1, name="http.request", status="unknown", key="%s/2" % run, decided_by=None, **{"class": "unsafe"})
    equal(outcome["request"], {"method": "POST", "url": upstream.url("/hold-first/" + name), "headers": {"Authorization": "(hidden)"},
                               "body": "amount=5"})
    holds(host.get("/v1/runs/" + run).json, status="waiting", waiting_for=["outcome"])
    true(run in [r["id"] for r in host.get("/v1/runs?waiting_for=outcome").json["items"]], "the list knows what it waits for")
    true(run in host.perigee("runs", "--waiting-for", "outcome", "--json"), "so does the command line")
    host.again() # what waits goes on waiting
    time.sleep(0.5)
    equal((upstream.arrived[name], upstream.done[name]), (1, 1))
    answer = host.post("/v1/outcomes/%s/2" % run, {"decision": "happened", "result": {"status": 201, "headers": {}, "body": "so it was"}, "note": "seen"})
    equal(answer.status, 200, answer)
    matches(answer.json["decided_by"], r"^key:")
    matches(answer.json["decided_at"], r"^\d{4}-")
    holds(answer.json, status="happened", note="seen")
    equal(host.wait_run(run, "succeeded")["output"], {"ok": True, "answer": {"status": 201, "headers": {}, "body": "so it was"}})
    equal((upstream.arrived[name], upstream.done[name]), (1, 1))
    noted(name, run)


# -- policies --


@test
def unsafe_with_fail_raises_in_the_script():
    name = fresh("fail")
    run = cut_off("hold-first", name, on_unknown="fail")
    holds(host.wait_run(run, "succeeded")["output"], ok=False, code="outcome.unknown")
    equal((upstream.arrived[name], upstream.done[name]), (1, 1))
    noted(name, run, ok=False)


@test
def unsafe_with_retry_is_sent_again():
    name = fresh("retry")
    run = cut_off("hold-first", name, on_unknown="retry")
    host.wait_run(run, "succeeded")
    equal((upstream.arrived[name], upstream.done[name]), (2, 2))


# -- decisions --


@test
def not_happened_sends_it_again_and_a_second_crash_asks_again():
    name = fresh("resent")
    run = cut_off("hold-before", name)
    unknown(run)
    equal((upstream.arrived[name], upstream.done[name]), (1, 0))
    answer = host.post("/v1/outcomes/%s/2" % run, {"decision": "not_happened"})
    equal(answer.status, 200, answer)
    host.wait_run(run, "succeeded")
    equal((upstream.arrived[name], upstream.done[name]), (2, 1))
    noted(name, run)
    name = fresh("resent")
    run = cut_off("hold", name)
    unknown(run)
    upstream.hold()
    host.perigee("outcomes", "resolve", run, "2", "--not-happened")
    true(upstream.wait_arrived(name, 2), "sent again")
    host.kill()
    upstream.release()
    host.start_host()
    equal(unknown(run)["attempt"], 2)
    problem(host.post("/v1/outcomes/%s/2" % run, {"decision": "happened", "result": {}, "attempt": 1}), 409)
    equal(host.post("/v1/outcomes/%s/2" % run, {"decision": "failed", "error": {"code": "bank.no", "message": "twice is enough"}, "attempt": 2}).status, 200)
    holds(host.wait_run(run, "succeeded")["output"], ok=False, code="bank.no", message="twice is enough")
    equal(upstream.arrived[name], 2)


@test
def a_decision_counts_once():
    name = fresh("once")
    run = cut_off("hold-first", name)
    unknown(run)
    path = "/v1/outcomes/%s/2" % run
    results = []
    threads = [threading.Thread(target=lambda i=i: results.append(host.post(path, {"decision": "happened", "result": {"status": 200 + i}}).status))
               for i in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    equal(sorted(results), [200] + [409] * 7)
    decided = host.get(path).json
    equal(host.post(path, {"decision": "happened", "result": decided["result"]}).status, 200, "the same decision sent again")
    problem(host.post(path, {"decision": "not_happened"}), 409)
    equal(host.wait_run(run, "succeeded")["output"]["answer"], decided["result"])


@test
def what_is_no_decision_is_refused():
    name = fresh("unfit")
    run = cut_off("hold-first", name)
    unknown(run)
    path = "/v1/outcomes/%s/2" % run
    for body in ({"decision": "maybe"}, {}, {"decision": "happened"}, {"decision": "happened", "result": 5}, {"decision": "failed"},
                 {"decision": "not_happened", "result": {}}, {"decision": "happened", "result": {}, "x": 1}):
        problem(host.post(path, body), 422)
    problem(host.post("/v1/outcomes/%s/9" % run, {"decision": "not_happened"}), 404)
    problem(host.post("/v1/outcomes/%s/0" % run, {"decision": "not_happened"}), 404)
    problem(host.get("/v1/outcomes?status=odd"), 400)
    problem(host.get("/v1/runs?waiting_for=odd"), 400)
    equal(host.get(path).json["status"], "unknown")
    equal(host.post("/v1/runs/%s/cancel" % run, {}).status, 200)
    equal(host.get(path).json["status"], "withdrawn")
    problem(host.post(path, {"decision": "not_happened"}), 409)
    left_nothing(run)


@test
def the_whole_list_is_resolved_by_command_line():
    names = [fresh("listed") for _ in range(5)]
    upstream.hold()
    runs = [between("hold-first", name) for name in names]
    for name in names:
        true(upstream.wait_done(name), name)
    host.kill()
    upstream.release()
    host.start_host()
    for run in runs:
        unknown(run)
    seen = host.pages("/v1/outcomes?status=unknown&limit=2", 3)
    equal(sorted(o["run"] for o in seen), sorted(runs))
    listed = json.loads(host.perigee("outcomes", "--json"))["items"]
    equal(sorted(o["run"] for o in listed), sorted(runs))
    for o in listed:
        one = json.loads(host.perigee("outcomes", "resolve", o["run"], str(o["effect"]), "--happened", "--result", '{"status":200}', "--json"))
        holds(one, status="happened")
        matches(one["decided_by"], "^operator:")
    for name, run in zip(names, runs):
        host.wait_run(run, "succeeded")
        noted(name, run)
        equal((upstream.arrived[name], upstream.done[name]), (1, 1))
    equal(json.loads(host.perigee("outcomes", "--json"))["items"], [])


# -- the host lives, a cell does not; a run ends --


@test
def a_cancelled_run_ends_its_transfer_at_the_socket():
    name = fresh("cancelled")
    upstream.hold()
    run = between("hold-before", name)
    true(upstream.wait_arrived(name), "it arrived")
    equal(host.post("/v1/runs/%s/cancel" % run, {}).status, 200)
    time.sleep(0.2)
    upstream.release()
    time.sleep(0.3)
    equal((upstream.arrived[name], upstream.done[name]), (1, 0), "the upstream saw its connection end")
    left_nothing(run)


# -- a kill after each commit --


def killed_after(nth, name, **request):
    """Start a run on a host that dies after its n-th sync. "before": it never took the request; "killed"; "survived": the run ended first."""
    host.kill()
    keep, host.stop = host.stop, lambda *_: None
    host.environment.update(LD_PRELOAD=shim, KILL_AFTER_SYNC=str(nth))
    run = None
    try:
        host.start_host()
        run = between("do", name, **request)
        until = time.monotonic() + 20
        while host.get("/v1/runs/" + run).json["status"] not in ("succeeded", "failed"):
            true(time.monotonic() < until, "neither killed nor done")
            time.sleep(0.005)
        ended = True
    except (OSError, http.client.HTTPException, SystemExit):
        ended = False
    finally:
        host.stop = keep
        del host.environment["LD_PRELOAD"], host.environment["KILL_AFTER_SYNC"]
    if not ended:
        host.process.wait(20)
    host.kill()
    host.start_host()
    return ended


def at_every_commit(what, **request):
    killed = survived = 0 # a host syncs a few times as it starts, not always as often
    for nth in [*range(1, 12), *range(3, 40)]: # the first starts on a new store sync more often
        name = fresh(what)
        ended = killed_after(nth, name, **request)
        runs = [r for r in host.get("/v1/runs?limit=20").json["items"] if (r["input"] or {}).get("name") == name]
        if not runs:
            continue # not even taken
        run = runs[0]["id"]
        until = time.monotonic() + 20
        while host.get("/v1/runs/" + run).json["status"] != "succeeded":
            true(time.monotonic() < until, "it does not end: killed after sync %d" % nth)
            for o in host.get("/v1/outcomes?status=unknown").json["items"]:
                if o["run"] == run: # an operator who looks
                    happened = {"decision": "happened", "result": {"status": 200, "headers": {}, "body": ""}}
                    host.post("/v1/outcomes/%s/2" % run, happened if upstream.done[name] else {"decision": "not_happened"})
            time.sleep(0.01)
        equal(upstream.done[name], 1, "took effect; killed after sync %d" % nth)
        noted(name, run)
        survived = survived + 1 if ended else 0
        killed += not ended
        if survived >= 3 and killed >= 4:
            break
    true(survived >= 3 and killed >= 4, "killed %d times at work" % killed)


def when_it_syncs(function):
    """A commit on PostgreSQL is no sync of the host's."""
    return test(function) if host.store.startswith("sqlite:") else function


@when_it_syncs
def killed_after_each_commit_a_keyed_request_takes_effect_once():
    at_every_commit("commit-keyed", **{"class": "keyed"})


@when_it_syncs
def killed_after_each_commit_an_unsafe_request_with_an_operator_who_looks_takes_effect_once():
    at_every_commit("commit-unsafe")


folder = tempfile.mkdtemp(prefix="perigee-outcomes-")
shim = os.path.join(folder, "kill_after_sync.so")
subprocess.run(["cc", "-shared", "-fPIC", "-D_GNU_SOURCE", "-o", shim, os.path.join(HERE, "kill_after_sync.c"), "-ldl"], check=True)

if __name__ == "__main__":
    try:
        main(host)
    finally:
        upstream.stop()
        shutil.rmtree(folder, ignore_errors=True)
