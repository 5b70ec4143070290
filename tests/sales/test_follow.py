#!/usr/bin/env python3
"""`sales.follow` over HTTP: silence, a person's decision, an approved follow-up as an event, the customer's answer."""
import os, sys, time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "http"))
import harness
from harness import Host, equal, holds, main, matches, test, true

host = Host(root=harness.TOP)


def pending(run, seconds=10):
    until = time.monotonic() + seconds
    while True:
        found = [a for a in host.get("/v1/approvals?status=pending").json["items"] if a["run"] == run]
        if found:
            return found[0]
        true(time.monotonic() < until, "nobody was asked")
        time.sleep(0.02)


@test
def a_follow_up_leaves_only_with_a_decision():
    run = host.start("follow", {"deal": "quiet", "owner": "lead", "silent_ms": 50, "touches": 1, "messages": [
        {"from": "Sam", "side": "seller", "text": "Does $4,000 fit your budget?"},
        {"from": "Bea", "side": "customer", "text": "Yes, that is within our budget."}]}, agent="sales")
    asked = pending(run)
    holds(asked, subject="quiet", owner="lead")
    matches(asked["body"]["draft"], r"\?$")
    events = [e for e in host.get("/v1/runs/%s/journal" % run).json["items"] if e["name"] == "events.emit"]
    equal(len(events), 1, "only deal.qualified so far")
    equal(host.post("/v1/approvals/" + asked["id"], {"decision": "approved"}).status, 200)
    ended = host.wait_run(run, "succeeded", "failed")
    holds(ended["output"], outcome="no_answer", touches=1)
    events = [e for e in host.get("/v1/runs/%s/journal" % run).json["items"] if e["name"] == "events.emit"]
    equal(len(events), 2, "the approved message is an event")


@test
def a_refusal_ends_it_and_nothing_leaves():
    run = host.start("follow", {"deal": "refused", "silent_ms": 50}, agent="sales")
    equal(host.post("/v1/approvals/" + pending(run)["id"], {"decision": "rejected", "note": "not now"}).status, 200)
    holds(host.wait_run(run, "succeeded", "failed")["output"], outcome="not_approved")
    equal([e for e in host.get("/v1/runs/%s/journal" % run).json["items"] if e["name"] == "events.emit"], [])


@test
def a_message_is_read_and_changes_what_is_known():
    run = host.start("follow", {"deal": "turns", "silent_ms": 60000}, agent="sales")
    message = {"from": "Bea", "side": "customer", "text": "I'm sorry, our budget for this has been frozen until next year."}
    true(host.post("/v1/runs/%s/signals/message" % run, message).status in (200, 202), "refused")
    true(host.post("/v1/runs/%s/signals/message" % run, {"stop": True}).status in (200, 202), "refused")
    holds(host.wait_run(run, "succeeded", "failed")["output"], outcome="stopped", messages=1, blocker="budget")


main(host)
