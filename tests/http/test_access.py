#!/usr/bin/env python3
"""Keys, scopes, tenants: every route that openapi.json lists, with every kind of credential."""
import os, sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import *

host = Host(tenants=["other"])
document = host.get("/openapi.json").json
SCOPES = ["agents:read", "agents:call", "runs:read", "runs:write", "records:read", "records:write", "evidence:read", "approvals:read",
          "approvals:decide", "events:write"]


def operations():
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), re.sub(r"\{\w+\}", UNKNOWN, path), operation


@test
def every_operation_is_public_or_names_its_scope():
    public = []
    for method, path, operation in operations():
        if operation.get("security") == []:
            public.append(path)
        else:
            true(operation.get("x-scope"), "%s %s names no scope" % (method, path))
    equal(sorted(public), ["/health", "/health/ready", "/health/startup", "/openapi.json"])


@test
def without_a_key_every_other_route_is_401():
    for method, path, operation in operations():
        if operation.get("security") == [] or operation["x-scope"] == "loopback":
            continue
        for headers in ({}, {"Authorization": ""}, {"Authorization": "Basic dXNlcjpwYXNz"}, {"Authorization": "Bearer"}, {"Authorization": host.key},
                        {"Authorization": "Bearer nonsense"}, {"Authorization": "Bearer " + host.key[:-1] + ("a" if host.key[-1] != "a" else "b")},
                        {"Authorization": "Bearer " + host.key + "x"}, {"Authorization": "Bearer " + "a" * 5000}):
            answer = host.call(method, path, b"{}", key=None, headers=headers)
            problem(answer, 401, "auth.required")
            matches(answer.header("WWW-Authenticate"), r'^Bearer realm="perigee"')


@test
def unknown_malformed_and_mistyped_keys_get_one_answer():
    texts = {host.get("/v1/runs", key=key).body for key in ("nonsense", "pg_abcdefgh_" + "x" * 43, host.key[:-1] + "!", "pg__", "a" * 100)}
    equal(len(texts), 1)


@test
def the_scheme_is_read_without_case():
    equal(host.get("/v1/runs", key=None, headers={"Authorization": "bearer  " + host.key}).status, 200)


@test
def a_key_opens_what_its_scope_says_and_nothing_else():
    for scope in SCOPES:
        key = host.make_key(scope)
        for method, path, operation in operations():
            if operation.get("security") == [] or operation["x-scope"] == "loopback" or path.endswith("/events") and method == "GET":
                continue
            answer = host.call(method, path, b"{}", key=key)
            if operation["x-scope"] == scope:
                true(answer.status not in (401, 403), "%s %s refused %s: %r" % (method, path, scope, answer))
            else:
                problem(answer, 403, "auth.forbidden", operation["x-scope"])
                matches(answer.header("WWW-Authenticate"), r'error="insufficient_scope", scope="%s"' % operation["x-scope"])


@test
def a_family_of_scopes_opens_all_of_it():
    key = host.make_key("records:*")
    equal(host.get("/v1/records/note", key=key).status, 200)
    equal(host.put("/v1/records/loose/family", {"a": 1}, key=key).status, 201)
    problem(host.get("/v1/runs", key=key), 403)


@test
def a_refused_request_changes_nothing():
    key = host.make_key("records:read")
    problem(host.put("/v1/records/loose/refused", {"a": 1}, key=key), 403)
    problem(host.get("/v1/records/loose/refused"), 404)


@test
def tenants_see_their_own_only():
    other = host.make_key(None, "other")
    equal(host.put("/v1/records/note/same", {"owner": "example"}).status, 201)
    problem(host.get("/v1/records/note/same", key=other), 404)
    equal(host.put("/v1/records/note/same", {"owner": "other"}, key=other).status, 201)
    equal(host.get("/v1/records/note/same").json["body"], {"owner": "example"})
    equal(host.get("/v1/records/note", key=other).json["items"][0]["body"], {"owner": "other"})
    run = host.run("cite", {"deal": "same-deal"})["id"]
    for path in ("", "/journal", "/events"):
        problem(host.get("/v1/runs/" + run + path, key=other), 404)
    problem(host.post("/v1/runs/%s/cancel" % run, key=other), 404)
    problem(host.post("/v1/runs/%s/signals/word" % run, {}, key=other), 404)
    equal(host.get("/v1/runs", key=other).json["items"], [])
    equal(host.get("/v1/deals/same-deal/evidence", key=other).json["items"], [])
    equal(len(host.get("/v1/deals/same-deal/evidence").json["items"]), 1)
    asked = host.start("ask", {"title": "mine"})
    host.wait_run(asked, "waiting")
    approval = host.get("/v1/approvals?status=pending").json["items"][0]["id"]
    equal(host.get("/v1/approvals", key=other).json["items"], [])
    problem(host.get("/v1/approvals/" + approval, key=other), 404)
    problem(host.post("/v1/approvals/" + approval, {"decision": "approved"}, key=other), 404)
    equal(host.get("/v1/approvals/" + approval).json["status"], "pending")
    problem(host.get("/v1/runs/" + run, key=other), 404)


@test
def the_same_idempotency_key_of_two_tenants_is_two_runs():
    other = host.make_key(None, "other")
    runs = {host.post("/v1/agents/probe/echo", {"text": "x"}, key=key, headers={"Idempotency-Key": "shared"}).json["run"] for key in (True, other)}
    equal(len(runs), 2)


@test
def a_revoked_key_stops_within_seconds():
    key = host.make_key("runs:read")
    equal(host.get("/v1/runs", key=key).status, 200)
    listed = json.loads(host.perigee("key", "list", "--tenant", "example", "--json"))
    items = listed["items"] if isinstance(listed, dict) else listed
    mine = [k for k in items if key.startswith("pg_" + k["prefix"])]
    equal(len(mine), 1)
    host.perigee("key", "revoke", mine[0]["id"], "--tenant", "example")
    until = time.monotonic() + 6
    while host.get("/v1/runs", key=key).status != 401:
        true(time.monotonic() < until, "it still opens")
        time.sleep(0.2)
    problem(host.get("/v1/runs", key=key), 401, "auth.required")


@test
def an_operators_key_shows_no_tenants_data():
    text = host.perigee("key", "create", "--operator")
    key = re.search(r"pg_\w+", text).group(0)
    problem(host.get("/v1/runs", key=key), 403, "auth.forbidden", "operator")
    equal(host.get("/metrics", key=key, headers={"X-Forwarded-For": "192.0.2.1"}).status, 200)


@test
def metrics_are_for_this_machine_or_an_admin():
    equal(host.get("/metrics", key=None).status, 200)
    problem(host.get("/metrics", key=None, headers={"X-Forwarded-For": "192.0.2.1"}), 401)
    problem(host.get("/metrics", key=None, headers={"Forwarded": "for=192.0.2.1"}), 401)
    problem(host.get("/metrics", key=host.make_key("runs:read"), headers={"X-Forwarded-For": "192.0.2.1"}), 403)


@test
def no_answer_or_log_shows_a_key():
    secret = host.key.rsplit("_", 1)[1]
    for path in ("/v1/runs/" + host.key, "/v1/agents/" + host.key[:40], "/nowhere"):
        answer = host.get(path, headers={"X-Other": "1"})
        true(secret not in str(answer.headers), "the key is in a header")
    said = [line for line in host.said if not line.startswith("key:")]
    true(secret not in "".join(said), "the key is in the log")


main(host)
