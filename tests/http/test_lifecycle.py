#!/usr/bin/env python3
"""What clients see while a host goes down and comes up again."""
import contextlib, os, resource, sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import *


def again(host, how):
    """End the host so, then start it on the same store."""
    host.process.send_signal(how)
    code = host.process.wait(30)
    host.start_host()
    return code


host = Host()


@test
def a_host_that_goes_down_answers_what_waits_and_ends_streams():
    run = host.start("sleep", {"ms": 60000})
    host.wait_run(run, "waiting")
    events = Events(host, "/v1/runs/%s/events" % run)
    kept = http.client.HTTPConnection("127.0.0.1", host.port)
    kept.request("GET", "/health")
    kept.getresponse().read()
    answers = []
    waiting = threading.Thread(target=lambda: answers.append(host.post("/v1/agents/probe/sleep", {"ms": 60000}, headers={"Prefer": "wait=60"})))
    waiting.start()
    time.sleep(0.5)
    told = []
    reading = threading.Thread(target=lambda: told.extend(events))
    reading.start()
    started = time.monotonic()
    code = again(host, signal.SIGTERM)
    waiting.join(10)
    reading.join(10)
    equal(code, 0)
    true(time.monotonic() - started < 10, "it took %.1f s" % (time.monotonic() - started))
    equal([a.status for a in answers], [202])
    equal(answers[0].json["status"], "waiting")
    true(not reading.is_alive() and told and told[-1][1] != "end", told)
    for waiter in (run, answers[0].json["run"]):
        equal(host.get("/v1/runs/" + waiter).json["status"], "waiting")
        equal(host.post("/v1/runs/%s/cancel" % waiter).status, 200)


@test
def what_was_accepted_survives_a_kill():
    run = host.start("hear", {})
    host.wait_run(run, "waiting")
    host.put("/v1/records/note/kept", {"owner": "a"})
    again(host, signal.SIGKILL)
    equal(host.get("/v1/records/note/kept").json["body"], {"owner": "a"})
    equal(host.get("/v1/runs/" + run).json["status"], "waiting")
    equal(host.post("/v1/runs/%s/signals/word" % run, {"after": "the kill"}).status, 202)
    equal(host.wait_run(run, "succeeded")["output"], {"payload": {"after": "the kill"}})


@test
def an_idempotency_key_outlives_the_host():
    first = host.post("/v1/agents/probe/echo", {"text": "x"}, headers={"Idempotency-Key": "outlives"}).json["run"]
    again(host, signal.SIGKILL)
    second = host.post("/v1/agents/probe/echo", {"text": "x"}, headers={"Idempotency-Key": "outlives"})
    equal(second.json["run"], first)
    problem(host.post("/v1/agents/probe/echo", {"text": "y"}, headers={"Idempotency-Key": "outlives"}), 422, "idempotency.mismatch")


@test
def a_stream_is_taken_up_at_the_next_host():
    run = host.start("hear", {})
    host.wait_run(run, "waiting")
    again(host, signal.SIGTERM)
    events = Events(host, "/v1/runs/%s/events" % run)
    equal(host.post("/v1/runs/%s/signals/word" % run, 1).status, 202)
    told = list(events)
    equal(told[-1][1], "end")
    equal(told[-1][2]["output"], {"payload": 1})


@test
def a_tenant_made_while_it_serves_is_served_without_a_signal():
    host.perigee("tenant", "create", "late")
    key = host.make_key(None, "late")
    until = time.monotonic() + 10
    while host.get("/v1/agents", key=key).status != 200 and time.monotonic() < until:
        time.sleep(0.1)
    equal(host.get("/v1/agents", key=key).status, 200)


@contextlib.contextmanager
def store_that_cannot_write():
    """A full disk for the worker; a database that has become read-only, as on a replica."""
    if host.store.startswith("sqlite:"):
        worker = children_of(host.process.pid)[0]
        before = resource.prlimit(worker, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
        yield
        resource.prlimit(worker, resource.RLIMIT_FSIZE, before)
        return
    for setting in ("on", "off"):
        postgres().sql("ALTER DATABASE %s SET default_transaction_read_only = %s" % (servers.keywords(host.store)["dbname"], setting))
        postgres().terminate_backends(host.store)
        if setting == "on":
            yield


@test
def readiness_says_that_the_store_cannot_write_and_when_it_can_again():
    with store_that_cannot_write():
        true(host.put("/v1/records/note/lost", {"owner": "a"}).status >= 500, "it was written")
        answer = host.get("/health/ready", key=None)
    equal(answer.status, 503)
    matches(answer.json["checks"]["store"], "^failed")
    until = time.monotonic() + 10
    while host.get("/health/ready", key=None).status != 200:
        true(time.monotonic() < until, "still not ready")
        time.sleep(0.02)
    equal(host.put("/v1/records/note/kept_again", {"owner": "a"}).status, 201)


@test
def a_host_without_any_bundle_is_not_ready_and_says_why():
    with tempfile.TemporaryDirectory() as root:
        os.makedirs(os.path.join(root, "scripts/agents"))
        with open(os.path.join(root, "scripts/agents/broken.lua"), "w") as f:
            f.write("local x = = 1\n")
        broken = Host(root=root)
        try:
            for path in ("/health/startup", "/health/ready"):
                answer = broken.get(path, key=None)
                equal(answer.status, 503, path)
                matches(answer.json["checks"]["bundles"], "perigee check")
            equal(broken.get("/health", key=None).status, 200)
        finally:
            broken.stop()


main(host)
