#!/usr/bin/env python3
"""Idempotency-Key on every POST: the same key and request answers the same, another request under it is 422."""
import os, sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import *

host = Host()
MISMATCH = "idempotency.mismatch"


def keyed(path, body, key, **more):
    return host.post(path, body, headers={"Idempotency-Key": key}, **more)


def event(**more):
    return {"specversion": "1.0", "id": "i-%d" % time.monotonic_ns(), "source": "/tests", "type": "nobody.listens", "data": {"n": 1}, **more}


def waiting():
    run = host.start("hear", {})
    host.wait_run(run, "waiting")
    return run


def ask():
    run = host.start("ask", {"title": "So?"})
    host.wait_run(run, "waiting")
    return next(a["id"] for a in host.get("/v1/approvals?status=pending").json["items"] if a["run"] == run)


def the_same(first, again):
    true(first.status < 300, first)
    equal((again.status, again.body), (first.status, first.body))
    equal((first.header("Idempotency-Replayed"), again.header("Idempotency-Replayed")), (None, "true"))


@test
def an_event_is_answered_the_same_again():
    sent = event()
    first = keyed("/v1/events", sent, "event")
    equal(first.json, {"id": sent["id"], "repeated": False})
    the_same(first, keyed("/v1/events", sent, "event"))
    the_same(first, keyed("/v1/events", json.dumps(sent, indent=3).encode(), "event"))
    the_same(first, keyed("/v1/events", sent, '"event"'))
    problem(keyed("/v1/events", event(), "event"), 422, MISMATCH)


@test
def a_signal_is_answered_the_same_again():
    run = waiting()
    path = "/v1/runs/%s/signals/word" % run
    first = keyed(path, {"n": 1}, "signal")
    the_same(first, keyed(path, {"n": 1}, "signal"))
    problem(keyed(path, {"n": 2}, "signal"), 422, MISMATCH)
    problem(keyed("/v1/runs/%s/signals/other" % run, {"n": 1}, "signal"), 422, MISMATCH)
    equal(host.wait_run(run, "succeeded")["output"], {"payload": {"n": 1}})
    the_same(first, keyed(path, {"n": 1}, "signal"))


@test
def a_cancel_is_answered_the_same_again():
    run = waiting()
    first = keyed("/v1/runs/%s/cancel" % run, None, "cancel")
    the_same(first, keyed("/v1/runs/%s/cancel" % run, None, "cancel"))
    problem(keyed("/v1/runs/%s/cancel" % waiting(), None, "cancel"), 422, MISMATCH)
    problem(keyed("/v1/runs/%s/cancel" % run, None, "cancel-2"), 409, "state.conflict")


@test
def a_decision_is_answered_the_same_again():
    approval = ask()
    path = "/v1/approvals/" + approval
    first = keyed(path, {"decision": "approved", "note": "go"}, "decide")
    the_same(first, keyed(path, {"decision": "approved", "note": "go"}, "decide"))
    problem(keyed(path, {"decision": "rejected"}, "decide"), 422, MISMATCH)
    problem(keyed("/v1/approvals/" + ask(), {"decision": "approved", "note": "go"}, "decide"), 422, MISMATCH)


@test
def a_key_is_one_key_on_all_paths():
    echo = "/v1/agents/probe/echo"
    equal(keyed(echo, {"text": "x"}, "shared").status, 202)
    problem(keyed("/v1/events", event(), "shared"), 422, MISMATCH)
    equal(keyed("/v1/events", event(), "shared-2").status, 202)
    problem(keyed(echo, {"text": "x"}, "shared-2"), 422, MISMATCH)


@test
def a_refusal_leaves_the_key_free():
    problem(keyed("/v1/events", event(type=""), "free"), 422, "input.schema")
    problem(keyed("/v1/events", b"{", "free"), 400)
    problem(keyed("/v1/runs/%s/cancel" % UNKNOWN, None, "free"), 404)
    equal(keyed("/v1/events", event(), "free").status, 202)
    for bad in ("", '""', "k" * 256):
        problem(keyed("/v1/events", event(), bad), 400)


@test
def of_the_same_at_once_one_works():
    sent, answers = event(), []
    threads = [threading.Thread(target=lambda: answers.append(keyed("/v1/events", sent, "race"))) for _ in range(12)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    equal({a.status for a in answers} - {202, 409}, set())
    true(any(a.status == 202 for a in answers), answers)
    equal({a.body for a in answers if a.status == 202}, {b'{"id":"%s","repeated":false}\n' % sent["id"].encode()})


def change_key(key, change):
    with open_database(host.store, "example") as database:
        equal(database.execute("UPDATE idempotency SET %s WHERE key = ?" % change, (key,)).rowcount, 1)


@test
def a_request_under_way_is_409_and_one_that_a_crash_cut_short_is_done_again():
    run = waiting()
    path = "/v1/runs/%s/cancel" % run
    first = keyed(path, None, "crash")
    change_key("crash", "status = 0, answer = NULL")
    problem(keyed(path, None, "crash"), 409, "state.conflict", "under way")
    change_key("crash", "created_at = created_at - 31000000")
    again = keyed(path, None, "crash")
    equal((again.status, again.body), (first.status, first.body))


@test
def a_key_is_new_again_after_a_day():
    sent = event()
    keyed("/v1/events", sent, "old")
    change_key("old", "created_at = created_at - 86401000000")
    equal(keyed("/v1/events", sent, "old").json["repeated"], True)
    change_key("old", "created_at = created_at - 86401000000")
    equal(keyed("/v1/events", event(), "old").status, 202)


@test
def another_event_under_a_known_id_is_422():
    sent = event(subject="s")
    equal(host.post("/v1/events", sent).json["repeated"], False)
    equal(host.post("/v1/events", sent).json["repeated"], True)
    for change in ({"data": {"n": 2}}, {"type": "other.type"}, {"source": "/else"}, {"subject": None}):
        problem(host.post("/v1/events", {**sent, **change}), 422, MISMATCH)


@test
def another_signal_under_a_known_id_is_422():
    run = host.start("sleep", {"ms": 20000})
    path = "/v1/runs/%s/signals/word" % run
    keyed(path, {"n": 1}, "aged")
    change_key("aged", "created_at = created_at - 86401000000")
    equal(keyed(path, {"n": 1}, "aged").status, 202)
    change_key("aged", "created_at = created_at - 86401000000")
    problem(keyed(path, {"n": 2}, "aged"), 422, MISMATCH)
    host.post("/v1/runs/%s/cancel" % run)


main(host)
