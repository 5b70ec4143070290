#!/usr/bin/env python3
"""http.request: what may leave, what comes back, what is raised, how often it arrives."""
import os, sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "fakes"))
from harness import Host, equal, holds, main, matches, test, true
from upstream import Upstream

ROOT = os.path.join(HERE, "..", "chaos", "outcomes_root")
upstream = Upstream()
tls = "https" + upstream.origin[4:]
named = upstream.origin.replace("127.0.0.1", "localhost")
host = Host(root=ROOT, config='return { egress = { "%s", "%s", "http://localhost:%d", "http://localhost:9" } }' % (upstream.origin, tls, upstream.port))
count = 0
MIB = 1 << 20


def fresh():
    global count
    count += 1
    return "n%d" % count


def ask(mode, name=None, query="", **request):
    request["url"] = upstream.url("/%s/%s%s" % (mode, name or fresh(), query))
    return host.run("ask", {"request": request}, agent="caller")["output"]


def ask_url(url, **request):
    return host.run("ask", {"request": dict(request, url=url)}, agent="caller")["output"]


def refused(output, code, text=None, unknown=None):
    equal((output["ok"], output.get("code")), (False, code), output)
    if text:
        matches(output["message"], text)
    if unknown is not None:
        equal(output.get("unknown"), unknown)


# -- what comes back --


@test
def an_answer_has_status_headers_and_body():
    name = fresh()
    holds(ask("do", name)["answer"], status=200, body='{"name": "%s", "times": 1}' % name)
    equal(ask("do")["answer"]["headers"]["x-twice"], "a, b")


@test
def json_is_sent_and_headers_go_along():
    import json
    sent = json.loads(ask("echo", json={"a": [1, 2]}, headers={"X-Mine": "yes", "X-Empty": ""})["answer"]["body"])
    holds(sent, method="POST", body='{"a":[1,2]}')
    holds(sent["headers"], **{"x-mine": "yes", "content-type": "application/json", "x-empty": "", "user-agent": "perigee"})
    true("idempotency-key" not in sent["headers"] and "expect" not in sent["headers"], sent)


@test
def keyed_sends_its_run_and_effect_as_key():
    import json
    run = host.run("ask", {"request": {"url": upstream.url("/echo/k"), "json": {}, "class": "keyed"}}, agent="caller")
    equal(json.loads(run["output"]["answer"]["body"])["headers"]["idempotency-key"], run["id"] + "/1")


@test
def a_status_is_an_answer_and_a_redirect_is_not_followed():
    equal(ask("status/503")["answer"]["status"], 503)
    name = fresh()
    output = ask("redirect", query="?to=" + upstream.url("/do/" + name))
    holds(output["answer"], status=302)
    equal(upstream.arrived[name], 0)


@test
def bytes_that_are_no_text_come_as_base64_and_go_so_too():
    import base64
    holds(ask("binary")["answer"], encoding="base64", body=base64.b64encode(bytes(range(256))).decode())
    equal(ask("echo", method="PUT", body=base64.b64encode(b"hi").decode(), body_encoding="base64")["answer"]["status"], 200)
    refused(ask("echo", method="PUT", body="!", body_encoding="base64"), "effect.arguments", "base64")


@test
def head_and_delete_have_no_body():
    equal(ask("do", method="HEAD")["answer"]["body"], "")
    equal(ask("do", method="DELETE")["answer"]["status"], 200)


# -- what may leave --


@test
def what_the_operator_does_not_list_is_refused_by_name():
    for url in ("http://127.0.0.1:1/", "http://example.com/", "http://127.0.0.1:%d.example.com/" % upstream.port, "http://2130706433:1/"):
        output = ask_url(url)
        true(not output["ok"] and output["code"] in ("http.refused", "effect.arguments"), output)
    refused(ask_url("https://example.com/x"), "http.refused", "https://example.com:443 is not in the setting `egress`")


@test
def other_schemes_and_users_are_no_urls_here():
    for url in ("file:///etc/passwd", "ftp://127.0.0.1/", "gopher://x/", "http://user:pw@127.0.0.1:%d/" % upstream.port, "nonsense"):
        refused(ask_url(url), "effect.arguments", "no URL")


@test
def a_name_for_a_private_address_needs_that_address_in_the_list():
    equal(ask_url(named + "/do/" + fresh())["answer"]["status"], 200, "address and port are listed themselves")
    refused(ask_url("http://localhost:9/"), "http.refused", "private address")


@test
def headers_that_are_the_hosts_are_refused():
    for headers in ({"Host": "other"}, {"Content-Length": "5"}, {"connection": "x"}, {"X": "a\r\nY: b"}, {"a b": "c"}, {"": "c"}):
        refused(ask("do", headers=headers), "effect.arguments", "headers")
    refused(ask("do", json={}, headers={"Idempotency-Key": "mine"}, **{"class": "keyed"}), "effect.arguments", "Idempotency-Key")
    refused(ask("do", json={}, **{"class": "queryable"}), "effect.arguments", "query")


# -- what goes wrong --


@test
def each_fault_has_its_code():
    refused(ask("garbage"), "http.protocol", unknown=False)
    refused(ask("slow", query="?ms=1500", timeout_ms=200), "http.timeout", unknown=False)
    refused(ask("slow", query="?ms=1500", timeout_ms=200, method="POST"), "http.timeout", unknown=True)
    refused(ask("cut-body", method="POST"), "http.cut", unknown=True)
    refused(ask_url(tls + "/do/x"), "http.tls", unknown=False)


@test
def a_cut_is_tried_again_only_where_that_does_no_harm():
    for request, arrived, done in (({"method": "GET"}, 2, 2), ({"method": "POST", "class": "keyed"}, 2, 1)):
        name = fresh()
        equal(ask("cut-once", name, **request)["answer"]["status"], 200)
        equal((upstream.arrived[name], upstream.done[name]), (arrived, done), request)
    name = fresh()
    refused(ask("cut-after", name, method="POST"), "http.cut", unknown=True)
    equal((upstream.arrived[name], upstream.done[name]), (1, 1))
    name = fresh()
    refused(ask("cut-after", name), "http.cut")
    true(3 <= upstream.arrived[name] <= 6, upstream.arrived[name]) # libcurl itself tries a used connection's successor


@test
def an_unsafe_request_takes_no_connection_that_was_used():
    for _ in range(5):
        equal(ask("do")["answer"]["status"], 200)   # a connection that is kept
        name = fresh()
        refused(ask("cut-after", name, method="POST"), "http.cut")
        equal(upstream.arrived[name], 1)


@test
def answers_and_requests_have_limits_to_the_byte():
    for size, good in ((MIB - 1, True), (MIB, True), (MIB + 1, False)):
        output = ask("huge", query="?bytes=%d" % size)
        if good:
            equal(len(output["answer"]["body"]), size)
        else:
            refused(output, "http.too_large", "1048576 bytes")
    for size, good in ((4 * MIB - 1, True), (4 * MIB, True), (4 * MIB + 1, False)):
        output = ask("do", method="PUT", body="x" * size)
        equal(output["ok"], good, size)
        if not good:
            refused(output, "http.too_large", "4 MiB")
    equal(len(ask("huge", query="?bytes=10", max_bytes=10)["answer"]["body"]), 10)
    refused(ask("huge", query="?bytes=11", max_bytes=10), "http.too_large")


@test
def a_value_over_its_limit_is_an_error_that_the_script_catches():
    """JSON around the text of `size` bytes: {"text":"…"} has eleven more."""
    for what, limit, code in (("put", MIB, "records.too_large"), ("emit", MIB, "events.too_large"), ("spawn", 8 * MIB, "run.too_large")):
        for size, good in ((limit - 12, True), (limit - 11, True), (limit - 10, False)):
            run = host.run("try", {"what": what, "size": size}, agent="sizes")
            equal((run["output"]["ok"], run["output"].get("code")), (good, None if good else code), (what, size))
            if not good:
                journal = host.get("/v1/runs/%s/journal" % run["id"]).json["items"]
                equal([i["outcome"]["error"]["code"] for i in journal], [code], "it is in the journal")
    for what in ("put", "emit", "spawn"):
        for size in (16 * MIB - 300, 16 * MIB, 17 * MIB): # around what the channel takes
            equal(host.run("try", {"what": what, "size": size}, agent="sizes")["output"]["ok"], False)


@test
def many_at_once_each_get_their_own():
    names = [fresh() for _ in range(60)]
    run = host.run("several", {"requests": [{"url": upstream.url("/slow/%s?ms=100" % n)} for n in names]}, agent="caller", wait=30)
    for name, output in zip(names, run["output"]):
        equal(output["answer"]["body"], '{"name": "%s", "times": 1}' % name)


@test
def a_wrong_list_is_refused_at_start():
    import subprocess
    from harness import PROGRAM
    for entry in ("api.example.com", "https://a.example/path", "ftp://a.example", "https://u@a.example"):
        path = os.path.join(host.folder, "wrong.lua")
        with open(os.path.join(host.folder, "input.json"), "w") as f:
            f.write('{"request": {}}')
        with open(path, "w") as f:
            f.write('return { egress = { "%s" } }' % entry)
        done = subprocess.run([PROGRAM, "run", "caller.ask", "--config", path, "--root", ROOT, "--input", os.path.join(host.folder, "input.json"), "--store", "sqlite:" + os.path.join(host.folder, "w")],
                              capture_output=True, text=True, timeout=30)
        true(done.returncode != 0 and "egress" in done.stderr, (entry, done.returncode, done.stderr))


if __name__ == "__main__":
    try:
        main(host)
    finally:
        upstream.stop()
