#!/usr/bin/env python3
"""Evidence, approvals, events, health, metrics, openapi.json."""
import os, sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import *

host = Host()


# -- evidence --

@test
def evidence_has_the_words_and_where_they_stand():
    run = host.run("cite", {"deal": "deal-e"})["id"]
    listed = host.get("/v1/deals/deal-e/evidence").json
    equal((len(listed["items"]), listed["next_cursor"]), (1, None))
    item = listed["items"][0]
    holds(item, playbook="bant", dimension="budget", claim="funded", polarity=1, quote="We have a budget of $5,000 for this.", speaker="Buyer",
          side="customer", extractor="probe", confidence_bp=9000, run=run)
    matches(item["recorded_at"], TIME)
    source = host.get("/v1/records/source/" + item["source"]).json["body"]["text"]
    equal(source.encode()[item["start"]:item["end"]].decode(), item["quote"])


@test
def evidence_is_filtered_and_an_unknown_deal_has_none():
    host.run("cite", {"deal": "deal-f"})
    equal(len(host.get("/v1/deals/deal-f/evidence?playbook=bant&dimension=budget").json["items"]), 1)
    equal(host.get("/v1/deals/deal-f/evidence?playbook=meddic").json["items"], [])
    equal(host.get("/v1/deals/nobody/evidence").json["items"], [])
    problem(host.get("/v1/deals/" + "x" * 201 + "/evidence"), 400)


@test
def evidence_is_listed_in_pages():
    host.run("cite_many", {"deal": "deal-p", "count": 130, "at": "2026-11-22T10:00:00Z"})
    path = "/v1/deals/deal-p/evidence"
    equal(len(host.get(path).json["items"]), 50)
    whole = host.pages(path + "?limit=200", 1)
    equal(len({item["id"] for item in whole}), 130)
    equal(host.pages(path, 3), whole)
    equal(host.pages(path + "?limit=7", 19), whole)
    order = [(item["said_at"] or "", item["source"], item["start"], item["id"]) for item in whole]
    equal(order, sorted(order))
    true(order[0][0] == "" and order[-1][0], "all with or all without a time")
    bant = host.pages(path + "?limit=20&playbook=bant&dimension=budget", 4)
    equal(bant, [item for item in whole if item["playbook"] == "bant"])
    for wrong in ("limit=0", "limit=201", "cursor=x", "colour=red"):
        problem(host.get(path + "?" + wrong), 400)


@test
def the_same_evidence_twice_is_there_once():
    host.run("cite", {"deal": "deal-g"})
    host.run("cite", {"deal": "deal-g"})
    equal(len(host.get("/v1/deals/deal-g/evidence").json["items"]), 1)


# -- approvals --

def ask(title, **more):
    run = host.start("ask", {"title": title, **more})
    host.wait_run(run, "waiting")
    for approval in host.get("/v1/approvals?status=pending").json["items"]:
        if approval["run"] == run:
            return run, approval
    raise Failure("no approval of the run")


def open_question(run):
    end = time.monotonic() + 10
    while time.monotonic() < end:
        for approval in host.get("/v1/approvals?status=pending").json["items"]:
            if run in (approval["run"], host.get("/v1/runs/" + approval["run"]).json["parent"]):
                return approval
        time.sleep(0.02)
    raise Failure("no approval of the run or its child")


@test
def who_started_a_run_does_not_decide_what_it_asks():
    other = host.make_key("approvals:*,agents:call,runs:*")
    for body, ways in (({"strict": True}, "start"), ({"strict": True}, "retry"), ({"strict": True, "child": True}, "start")):
        run = host.start("ask", {"title": "Pay?", **body})
        host.wait_run(run, "waiting")
        if ways == "retry":
            equal(host.post("/v1/runs/%s/cancel" % run).status, 200)
            run = host.post("/v1/runs/%s/retry" % run).json["run"]
            host.wait_run(run, "waiting")
        path = "/v1/approvals/" + open_question(run)["id"]
        problem(host.post(path, {"decision": "approved"}), 403, "auth.forbidden", "whoever started a run")
        equal(host.get(path).json["status"], "pending")
        equal(host.post(path, {"decision": "approved"}, key=other).status, 200)
        equal(host.wait_run(run, "succeeded")["output"]["decision"], "approved")
    # and the other way round: a fork belongs to who asked for it
    run = host.start("ask", {"title": "Pay?", "strict": True})
    host.wait_run(run, "waiting")
    fork = host.post("/v1/runs/%s/fork" % run, {"at": 0}, key=other)
    equal(fork.status, 202, fork)
    path = "/v1/approvals/" + open_question(fork.json["run"])["id"]
    problem(host.post(path, {"decision": "approved"}, key=other), 403)
    equal(host.post(path, {"decision": "rejected"}).status, 200)
    equal(host.post("/v1/approvals/" + open_question(run)["id"], {"decision": "rejected"}, key=other).status, 200)


@test
def a_question_that_a_key_owns_is_decided_by_that_key_or_an_administrator():
    text = host.perigee("key", "create", "--tenant", "example", "--scopes", "approvals:*")
    owner, identity = re.search(r"pg_\w+", text).group(0), re.search(r"id: (\S+)", text).group(1)
    another = host.make_key("approvals:*")
    for deciding, status in ((another, 403), (owner, 200)):
        if status == 403:
            run = host.start("ask", {"title": "Mine?", "owner": "key:" + identity})
            host.wait_run(run, "waiting")
            path = "/v1/approvals/" + open_question(run)["id"]
        answer = host.post(path, {"decision": "approved"}, key=deciding)
        equal(answer.status, status, answer)
    run = host.start("ask", {"title": "Mine?", "owner": "key:" + identity})
    host.wait_run(run, "waiting")
    equal(host.post("/v1/approvals/" + open_question(run)["id"], {"decision": "approved"}).status, 200, "an administrator's key")


@test
def an_approval_waits_and_a_decision_lets_the_run_go_on():
    run, approval = ask("Send the offer?")
    matches(approval["id"], r"^[0-9a-f-]{36}$")
    holds(approval, title="Send the offer?", subject="deal-1", status="pending", decision=None, note=None, decided_at=None, decided_by=None)
    matches(approval["asked_at"], TIME)
    matches(approval["expires_at"], TIME)
    equal(host.get("/v1/approvals/" + approval["id"]).json, approval)
    decided = host.post("/v1/approvals/" + approval["id"], {"decision": "approved", "note": "go"})
    equal(decided.status, 200, decided)
    holds(decided.json, status="approved", decision="approved", note="go", run=run)
    matches(decided.json["decided_by"], "^key:")
    equal(host.wait_run(run, "succeeded")["output"], {"decision": "approved", "note": "go"})


@test
def an_approval_shows_its_body_wherever_it_is_shown():
    for body in ("Dear Ann,\n\"hello\"", {"to": ["ann"], "n": 1.5, "deep": {"x": None, "y": True}}, ["a", 1], 5, False):
        _, approval = ask("Body?", body=body)
        equal(approval["body"], body, "listed")
        path = "/v1/approvals/" + approval["id"]
        equal(host.get(path).json["body"], body, "one")
        equal(host.post(path, {"decision": "approved"}).json["body"], body, "decided")
    _, approval = ask("No body?")
    equal(approval["body"], None)


@test
def a_rejection_is_a_decision_too():
    run, approval = ask("Discount?")
    equal(host.post("/v1/approvals/" + approval["id"], {"decision": "rejected"}).status, 200)
    equal(host.wait_run(run, "succeeded")["output"]["decision"], "rejected")


@test
def a_closed_approval_is_409_but_the_same_decision_sent_again_is_not():
    _, approval = ask("Twice?")
    path = "/v1/approvals/" + approval["id"]
    first = host.post(path, {"decision": "approved"}, headers={"Idempotency-Key": "d-1"})
    again = host.post(path, {"decision": "approved"}, headers={"Idempotency-Key": "d-1"})
    equal((first.status, again.status), (200, 200))
    equal(first.json, again.json)
    problem(host.post(path, {"decision": "rejected"}), 409, "state.conflict", "approved")
    problem(host.post(path, {"decision": "approved"}), 409, "state.conflict")
    equal(host.get(path).json["status"], "approved")


@test
def of_many_deciders_one_decides():
    run, approval = ask("Race?")
    statuses = []
    threads = [threading.Thread(target=lambda i=i: statuses.append(host.post(
        "/v1/approvals/" + approval["id"], {"decision": "approved" if i % 2 else "rejected", "note": str(i)}).status)) for i in range(12)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    equal(sorted(statuses), [200] + [409] * 11)
    host.wait_run(run, "succeeded")


@test
def an_approval_of_a_cancelled_run_is_withdrawn():
    run, approval = ask("Too late?")
    host.post("/v1/runs/%s/cancel" % run)
    problem(host.post("/v1/approvals/" + approval["id"], {"decision": "approved"}), 409, "state.conflict", "withdrawn")
    true(approval["id"] in [a["id"] for a in host.get("/v1/approvals?status=withdrawn").json["items"]], "not listed as withdrawn")


@test
def unfit_decisions_are_refused():
    run, approval = ask("Unfit?")
    path = "/v1/approvals/" + approval["id"]
    for body, pointer in (({}, ""), ({"decision": "maybe"}, "/decision"), ({"decision": None}, "/decision"), ({"decision": "approved", "x": 1}, "/x"),
                          ({"decision": "approved", "note": 5}, "/note"), ({"decision": "approved", "note": "x" * 4001}, "/note"), ([], "")):
        errors = problem(host.post(path, json.dumps(body).encode()), 422, "input.schema")["errors"]
        true(pointer in [e["pointer"] for e in errors] or "" in [e["pointer"] for e in errors], errors)
    problem(host.post(path, None), 400)
    problem(host.post(path, b"{"), 400)
    problem(host.post("/v1/approvals/" + UNKNOWN, {"decision": "approved"}), 404, "not.found")
    problem(host.post("/v1/approvals/nonsense", {"decision": "approved"}), 404)
    problem(host.get("/v1/approvals/" + UNKNOWN), 404)
    problem(host.get("/v1/approvals?status=nonsense"), 400)
    equal(host.get(path).json["status"], "pending")
    host.post("/v1/runs/%s/cancel" % run)


@test
def approvals_are_listed_in_pages():
    made = [ask("Page %d?" % i)[1]["id"] for i in range(4)]
    seen, path = [], "/v1/approvals?status=pending&limit=3"
    while path:
        answer = host.get(path)
        seen += [a["id"] for a in answer.json["items"]]
        path = answer.json["next_cursor"] and re.match("<(.*)>", answer.header("Link")).group(1)
    equal([a for a in seen if a in made], made[::-1])
    equal(len(seen), len(set(seen)))


# -- events --

def cloud_event(**more):
    return {"specversion": "1.0", "id": "e-%d" % time.monotonic_ns(), "source": "/tests", "type": "probe.said", "data": {"who": "x"}, **more}


@test
def an_event_starts_who_listens_for_it():
    answer = host.post("/v1/events", cloud_event(id="e-1", data={"who": "ann"}), headers={"Content-Type": "application/cloudevents+json"})
    equal(answer.status, 202, answer)
    equal(answer.json, {"id": "e-1", "repeated": False})
    until = time.monotonic() + 10
    while host.get("/v1/records/loose/event-ann").status != 200:
        true(time.monotonic() < until, "nobody listened")
        time.sleep(0.02)


@test
def the_same_event_again_starts_nothing():
    event = cloud_event(data={"who": "once"})
    equal(host.post("/v1/events", event).json["repeated"], False)
    equal([host.post("/v1/events", event).json["repeated"] for _ in range(3)], [True] * 3)
    time.sleep(0.3)
    equal(host.get("/v1/records/loose/event-once").json["version"], 1)


@test
def an_event_that_nobody_listens_for_is_accepted():
    equal(host.post("/v1/events", cloud_event(type="nobody.listens", subject="s", time="2026-11-22T10:00:00Z", extension="x")).status, 202)


@test
def unfit_events_are_refused():
    for change, pointer in (({"specversion": "0.3"}, "/specversion"), ({"id": ""}, "/id"), ({"id": 5}, "/id"), ({"type": ""}, "/type"),
                            ({"source": None}, "/source"), ({"time": "yesterday"}, "/time"), ({"subject": 5}, "/subject"), ({"id": "x" * 201}, "/id")):
        errors = problem(host.post("/v1/events", cloud_event(**change)), 422, "input.schema")["errors"]
        equal([e["pointer"] for e in errors], [pointer])
    for missing in ("specversion", "id", "source", "type"):
        event = cloud_event()
        del event[missing]
        problem(host.post("/v1/events", event), 422, "input.schema")
    problem(host.post("/v1/events", [cloud_event()]), 422)
    problem(host.post("/v1/events", None), 400)
    problem(host.post("/v1/events", cloud_event(), headers={"Content-Type": "text/xml"}), 415)


# -- health --

@test
def health_tells_whether_the_process_answers_and_takes_work():
    equal(host.get("/health", key=None).json["status"], "ok")
    matches(host.get("/health", key=None).json["version"], r"^\d+\.\d+\.\d+")
    equal(host.get("/health/startup", key=None).json, {"status": "ok"})
    equal(host.get("/health/ready", key=None).json, {"status": "ok", "checks": {"store": "ok", "cells": "ok", "bundles": "ok", "redis": "off"}})
    problem(host.get("/health/other", key=None), 404)


# -- metrics --

def metrics():
    answer = host.get("/metrics", key=None)
    equal(answer.status, 200)
    equal(answer.header("Content-Type"), "text/plain; version=0.0.4; charset=utf-8")
    return answer.body.decode()


def value(text, series):
    for line in text.splitlines():
        if line.startswith(series + " "):
            return float(line.rsplit(" ", 1)[1])
    return 0.0


@test
def every_metric_has_its_help_and_type():
    text, helped, typed = metrics(), set(), {}
    true(text.endswith("\n"), "no newline at the end")
    for line in text.splitlines():
        if line.startswith("# HELP "):
            helped.add(line.split()[2])
        elif line.startswith("# TYPE "):
            typed[line.split()[2]] = line.split()[3]
        else:
            matches(line, r'^[a-z_]+(\{[a-z_]+="(\\.|[^"\\])*"(,[a-z_]+="(\\.|[^"\\])*")*\})? (NaN|[-+]?(Inf|[0-9.e+-]+))$')
            name = re.match(r"[a-z_]+", line).group(0)
            base = re.sub(r"_(bucket|sum|count)$", "", name) if name not in typed else name
            true(base in typed and base in helped, "%s has no HELP or TYPE" % name)
            true(not name.endswith("_total") or typed[base] == "counter", name)
    for name in ("perigee_http_requests_total", "perigee_http_request_seconds", "perigee_runs_total", "perigee_store_up", "process_resident_memory_bytes"):
        true(name in typed, name + " is missing")
    equal(value(text, "perigee_store_up"), 1)
    equal(value(text, "perigee_redis_up"), 0)
    true(0 <= value(text, "perigee_event_lag_seconds") < 60, "event lag")
    equal(typed["perigee_cell_memory_bytes"], "histogram")
    host.run("echo", {"text": "x"})
    until = time.monotonic() + 10
    while not (value(metrics(), "perigee_cell_memory_bytes_count") or 0) > 0:
        true(time.monotonic() < until, "no cell's memory was counted")
        time.sleep(0.05)
    text = metrics()
    mean = value(text, "perigee_cell_memory_bytes_sum") / value(text, "perigee_cell_memory_bytes_count")
    true(1 << 18 < mean < 1 << 28, "a cell of %d bytes" % mean)


@test
def requests_are_counted_by_route_and_status():
    series = 'perigee_http_requests_total{method="GET",route="/v1/runs/{run}",status="404"}'
    before = value(metrics(), series)
    for _ in range(3):
        host.get("/v1/runs/" + UNKNOWN)
    equal(value(metrics(), series), before + 3)
    host.get("/some/path/of/mine", key=None)
    host.get("/v1/runs", key=None)
    text = metrics()
    true(value(text, 'perigee_http_requests_total{method="GET",route="none",status="404"}') >= 1, "unknown paths are not counted")
    true(value(text, 'perigee_http_requests_total{method="GET",route="/v1/runs",status="401"}') >= 1, "refused requests are not counted")
    true("/some/path" not in text, "a path became a label")
    true(value(text, "perigee_http_request_seconds_count") > 10, "no durations")


# -- openapi.json --

def references(node):
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for child in node.values():
            yield from references(child)
    elif isinstance(node, list):
        for child in node:
            yield from references(child)


@test
def openapi_is_whole():
    document = host.get("/openapi.json", key=None).json
    equal(document["openapi"], "3.1.0")
    true(document["info"]["title"] and document["info"]["version"], "no title or version")
    for reference in references(document):
        matches(reference, "^#/")
        node = document
        for step in reference[2:].split("/"):
            step = step.replace("~1", "/").replace("~0", "~")
            true(step in node, "%s leads nowhere" % reference)
            node = node[step]
    ids = []
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            true(method in ("get", "put", "post", "delete"), method)
            ids.append(operation["operationId"])
            true(operation["summary"] and operation["responses"] and operation["tags"], "%s %s is thin" % (method, path))
            named = [p["name"] for p in operation.get("parameters", []) if p.get("in") == "path"]
            equal(named, re.findall(r"\{(\w+)\}", path))
            true(any(code[0] == "2" for code in operation["responses"]), "%s %s never succeeds" % (method, path))
    equal(len(ids), len(set(ids)))


@test
def openapi_has_a_path_and_schemas_for_each_capability():
    document = host.get("/openapi.json").json
    agent = host.get("/v1/agents/probe").json
    for name, capability in agent["capabilities"].items():
        operation = document["paths"]["/v1/agents/probe/" + name]["post"]
        equal(operation["summary"], capability["title"])
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        equal(schema, {"$ref": "#/components/schemas/probe.%s.input" % name})
        equal(document["components"]["schemas"]["probe.%s.input" % name], capability["input"])
        true({"200", "202"} <= set(operation["responses"]), operation["responses"].keys())
    true("/v1/agents/{agent}/{capability}" not in document["paths"], "the general path is ambiguous here")


@test
def every_route_of_openapi_is_there_and_no_other_method_is():
    document = host.get("/openapi.json").json
    for path, methods in document["paths"].items():
        allow = host.call("OPTIONS", re.sub(r"\{\w+\}", "x", path), key=None).header("Allow")
        true(allow, "%s has no methods" % path)
        listed = set(allow.split(", ")) - {"HEAD", "OPTIONS"}
        equal(listed, {m.upper() for m in methods}, path)


@test
def openapi_does_not_take_a_wrong_key_for_none():
    problem(host.get("/openapi.json", key="nonsense"), 401)


@test
def answers_to_errors_never_show_the_inside():
    for answer in (host.get("/v1/records/note/%27%20OR%201=1"), host.get("/v1/records/loose?sort=%27"), host.post("/v1/events", b"{"),
                   host.get("/v1/runs?cursor=5b312c22785d"), host.get("/v1/agents/%3Cscript%3E")):
        true(400 <= answer.status < 500, answer)
        for word in (b"SELECT", b"sqlite", b".c:", b"core/", b"Traceback", b"0x"):
            true(word not in answer.body, "%r shows %r" % (answer.body, word))


main(host)
