#!/usr/bin/env python3
"""POST /v1/agents/{agent}/{capability}: starting, waiting, repeating, and every kind of bad input."""
import os, sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import *

host = Host()
ECHO = "/v1/agents/probe/echo"


@test
def a_run_is_accepted_with_its_place():
    answer = host.post(ECHO, {"text": "hi"})
    equal(answer.status, 202)
    matches(answer.json["run"], UUID)
    equal(answer.header("Location"), "/v1/runs/" + answer.json["run"])
    equal(answer.json["url"], answer.header("Location"))
    true(answer.header("Preference-Applied") is None, "a preference was applied")
    run = host.wait_run(answer.json["run"], "succeeded")
    equal(run["output"], {"text": "hi"})


@test
def wait_answers_with_the_ended_run():
    answer = host.post(ECHO, {"text": "hi", "n": 3}, headers={"Prefer": "respond-async, wait=10"})
    equal(answer.status, 200)
    equal(answer.header("Preference-Applied"), "wait=10")
    run = answer.json
    holds(run, agent="probe", capability="echo", status="succeeded", input={"text": "hi", "n": 3}, output={"text": "hi", "n": 3}, error=None,
          parent=None, cost_nanos=0, tokens=0)
    matches(run["id"], UUID)
    matches(run["bundle"], r"^[0-9a-f]{64}$")
    for key in ("created_at", "started_at", "ended_at"):
        matches(run[key], TIME, key)
    true(run["created_at"] <= run["started_at"] <= run["ended_at"], "times are out of order")
    true(isinstance(run["cpu_ms"], (int, float)), "cpu_ms")
    equal(host.get("/v1/runs/" + run["id"]).json, run)


@test
def wait_that_is_over_answers_202():
    started = time.monotonic()
    answer = host.post("/v1/agents/probe/sleep", {"ms": 3000}, headers={"Prefer": "wait=1"})
    true(0.9 <= time.monotonic() - started < 2.5, "it took %.2f s" % (time.monotonic() - started))
    equal(answer.status, 202)
    equal(answer.header("Preference-Applied"), "wait=1")
    equal(answer.json["status"], "waiting")
    equal(answer.header("Location"), "/v1/runs/" + answer.json["run"])
    equal(host.wait_run(answer.json["run"], "succeeded")["output"], {"slept": 3000})


@test
def wait_of_nothing_and_nonsense_are_no_wait():
    started = time.monotonic()
    equal(host.post("/v1/agents/probe/sleep", {"ms": 1000}, headers={"Prefer": "wait=0"}).status, 202)
    for prefer in ("wait", "wait=", "wait=-1", "wait=x", "wait=1.5", "return=minimal", ","):
        answer = host.post("/v1/agents/probe/sleep", {"ms": 1000}, headers={"Prefer": prefer})
        equal(answer.status, 202, prefer)
        true(answer.header("Preference-Applied") is None, prefer)
    true(time.monotonic() - started < 1, "somebody waited")


@test
def waiting_ends_as_soon_as_the_run_does():
    started = time.monotonic()
    run = host.run("sleep", {"ms": 300}, wait=60)
    true(0.3 <= time.monotonic() - started < 1.5, "it took %.2f s" % (time.monotonic() - started))
    equal(run["output"], {"slept": 300})


@test
def a_failed_run_is_an_answer_not_an_error():
    run = host.run("fail", {})
    holds(run, status="failed", output=None)
    equal(run["error"]["code"], "probe.tired")
    matches(run["error"]["message"], "not today")


@test
def a_script_that_never_ends_fails_by_name_and_the_next_run_works():
    run = host.run("spin", {}, wait=30)
    equal(run["status"], "failed")
    matches(run["error"]["code"], r"^budget\.")
    equal(host.run("echo", {"text": "after"})["output"], {"text": "after"})


@test
def many_runs_at_once_all_end():
    answers = []
    threads = [threading.Thread(target=lambda i=i: answers.append((i, host.run("echo", {"text": str(i), "n": i}, wait=60)))) for i in range(60)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    equal(len(answers), 60)
    for i, run in answers:
        equal(run["output"], {"text": str(i), "n": i})


@test
def unknown_agents_and_capabilities_are_404_with_the_names_that_exist():
    problem(host.post("/v1/agents/prob/echo", {"text": "x"}), 404, "not.found", "probe")
    body = problem(host.post("/v1/agents/probe/ech", {"text": "x"}), 404, "not.found", "ask, cite, cite_many, echo, fail, hear")
    true("errors" not in body, "errors in a 404")
    equal(body["instance"], "/v1/agents/probe/ech")
    problem(host.post("/v1/agents/probe/../probe", {}), 404)
    problem(host.post("/v1/agents/%22%3E%3Cb/echo", {}), 404)


@test
def input_off_its_schema_is_422_with_pointers():
    for body, wanted in (({}, [""]), ({"text": 5}, ["/text"]), ({"text": None}, ["/text"]), ({"text": "x", "n": "5"}, ["/n"]),
                         ({"text": "x", "n": 1.5}, ["/n"]), ({"text": "x", "more": 1}, ["/more", ""]), ([], [""]), ("text", [""]), (None, [""]), (5, [""]),
                         ({"text": [], "n": {}}, ["/n", "/text"])):
        answer = problem(host.post(ECHO, json.dumps(body).encode()), 422, "input.schema")
        pointers = sorted(e["pointer"] for e in answer["errors"])
        true(pointers, "no pointers")
        true(set(pointers) <= set(wanted), "%r: pointers %r" % (body, pointers))
        true(all(e["message"] for e in answer["errors"]), "no message")


@test
def a_declared_absence_of_a_body_is_an_empty_object_where_that_is_an_input():
    equal(host.post("/v1/agents/probe/fail", None, headers={"Prefer": "wait=10"}).json["error"]["code"], "probe.tired")
    problem(host.post(ECHO, None), 400, "request.invalid", "empty")
    problem(host.post("/v1/agents/probe/nothing", None), 404)
    head = b"POST /v1/agents/probe/%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer " + host.key.encode() + b"\r\n"
    for capability in (b"fail", b"echo"):
        for rest in (b"\r\n", b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"):
            problem(parse_answers(host.raw(head % capability + rest))[0], 400, "request.invalid", "missing")


@test
def what_is_not_json_is_400():
    for body in (b"nonsense", b"{", b'{"text":"x"', b'{"text":"x"}}', b"{'text':'x'}", b'{"text":"x",}', b'{"text":01}', b'{"text":"x"} x', b"\x00", b" ",
                 b'{"text":"\x01"}', b'{"text":"x","text":"y"}', b"NaN", b'{"text":+1}', b"\xef\xbb\xbf{}"):
        problem(host.post(ECHO, body), 400, "request.invalid")


@test
def what_is_not_utf_8_is_400():
    for text in (b"\xff", b"\xc3", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf8\x88\x80\x80\x80", b"\xf4\x90\x80\x80", b"\xe9"):
        problem(host.post(ECHO, b'{"text":"' + text + b'"}'), 400, "request.invalid")
    problem(host.post(ECHO, json.dumps({"text": "x"}).encode("utf-16")), 400, "request.invalid")


@test
def a_nul_in_a_string_harms_nothing():
    answer = host.post(ECHO, b'{"text":"a\\u0000b"}', headers={"Prefer": "wait=10"})
    if answer.status == 200:
        equal(answer.json["output"]["text"], "a\0b")
    else:
        problem(answer, 400, "request.invalid")


@test
def json_deeper_than_64_levels_is_400():
    for opening, closing in ((b"[", b"]"), (b'{"a":', b"}")):
        inner = b"1"
        problem(host.post(ECHO, opening * 64 + inner + closing * 64), 422)
        problem(host.post(ECHO, opening * 65 + inner + closing * 65), 400, "request.invalid")
        problem(host.post(ECHO, opening * 100000 + inner + closing * 100000), 400, "request.invalid")
    problem(host.post(ECHO, b"[" * 1000000), 400, "request.invalid")


@test
def text_of_every_kind_comes_back_as_it_went():
    for text in ("", "é ü 漢字 🙂", "\u2028\u2029", '"\\/', "\x7f", "a" * 100000, "\U0010ffff", "e\u0301", "\r\n\t"):
        equal(host.run("echo", {"text": text})["output"]["text"], text)
    equal(host.run("echo", {"text": "x", "n": 2 ** 53 - 1})["output"]["n"], 2 ** 53 - 1)
    equal(host.run("echo", {"text": "x", "n": -(2 ** 53 - 1)})["output"]["n"], -(2 ** 53 - 1))


@test
def other_media_types_are_415():
    for kind in ("text/plain", "application/x-www-form-urlencoded", "application/xml", "application/jsonp", "application/json; charset=latin1",
                 "multipart/form-data; boundary=x"):
        answer = host.post(ECHO, b'{"text":"x"}', headers={"Content-Type": kind})
        problem(answer, 415, "media_type.unsupported")
        equal(answer.header("Accept"), "application/json")
    problem(host.post(ECHO, b'{"text":"x"}', headers={"Content-Encoding": "gzip"}), 415)
    for kind in ("application/json", "application/json; charset=utf-8", "APPLICATION/JSON;charset=UTF-8", "application/vnd.perigee+json", None):
        equal(host.post(ECHO, b'{"text":"x"}', headers={"Content-Type": kind}).status, 202, kind)


@test
def the_same_key_and_body_are_one_run():
    first = host.post(ECHO, b'{"text":"x","n":1}', headers={"Idempotency-Key": "k-1"})
    again = host.post(ECHO, b'{ "n": 1, "text": "x" }', headers={"Idempotency-Key": "k-1"})
    equal((first.status, again.status), (202, 202))
    equal(first.json["run"], again.json["run"])
    true(first.header("Idempotency-Replayed") is None, "the first is no repetition")
    equal(again.header("Idempotency-Replayed"), "true")
    waited = host.post(ECHO, b'{"text":"x","n":1}', headers={"Idempotency-Key": '"k-1"', "Prefer": "wait=10"})
    equal(waited.status, 200)
    equal(waited.json["id"], first.json["run"])
    other = host.post(ECHO, b'{"text":"x","n":1}', headers={"Idempotency-Key": "k-2"})
    true(other.json["run"] != first.json["run"], "another key is another run")


@test
def the_same_key_with_another_body_is_422():
    equal(host.post(ECHO, {"text": "x"}, headers={"Idempotency-Key": "k-3"}).status, 202)
    problem(host.post(ECHO, {"text": "y"}, headers={"Idempotency-Key": "k-3"}), 422, "idempotency.mismatch")
    problem(host.post("/v1/agents/probe/fail", {}, headers={"Idempotency-Key": "k-3"}), 422, "idempotency.mismatch")


@test
def the_same_key_sent_many_times_at_once_is_one_run():
    runs = []
    threads = [threading.Thread(target=lambda: runs.append(host.post("/v1/agents/probe/sleep", {"ms": 200}, headers={"Idempotency-Key": "race"})))
               for _ in range(25)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    equal({a.status for a in runs} - {202, 409}, set())
    equal(len({a.json["run"] for a in runs if a.status == 202}), 1)


@test
def an_unfit_idempotency_key_is_400():
    problem(host.post(ECHO, {"text": "x"}, headers={"Idempotency-Key": "k" * 256}), 400)
    problem(host.post(ECHO, {"text": "x"}, headers={"Idempotency-Key": ""}), 400)
    problem(host.post(ECHO, {"text": "x"}, headers={"Idempotency-Key": '""'}), 400)
    equal(host.post(ECHO, {"text": "x"}, headers={"Idempotency-Key": "k" * 255}).status, 202)


@test
def a_refused_start_leaves_no_run_and_keeps_the_key_free():
    before = len(host.get("/v1/runs?limit=200").json["items"])
    problem(host.post(ECHO, {"text": 5}, headers={"Idempotency-Key": "k-4"}), 422, "input.schema")
    equal(len(host.get("/v1/runs?limit=200").json["items"]), before)
    equal(host.post(ECHO, {"text": "5"}, headers={"Idempotency-Key": "k-4"}).status, 202)


@test
def the_registry_lists_agents_with_schemas():
    listed = host.get("/v1/agents").json
    equal(listed["next_cursor"], None)
    agent = host.get("/v1/agents/probe").json
    equal(listed["items"], [agent])
    holds(agent, name="probe", title="Probe", backup="spare", on={"probe.said": "heard"}, schedule=[])
    echo = agent["capabilities"]["echo"]
    equal(echo["title"], "Give back what came")
    equal(echo["url"], "/v1/agents/probe/echo")
    equal(echo["input"]["properties"]["text"]["type"], "string")
    equal(echo["input"]["required"], ["text"])
    problem(host.get("/v1/agents/nobody"), 404, "not.found", "probe")
    problem(host.get("/v1/agents?limit=5"), 400, None, "limit")


@test
def well_formedness_of_paths_is_checked():
    for path in ("/v1/agents/%zz", "/v1/agents/%", "/v1/agents/%00", "/v1/agents/%0a", "/v1/agents/%ff", "/v1/agents/%c3%28"):
        problem(host.get(path), 400, "request.invalid")
    for path in ("/v1/agents/", "/v1//agents", "//v1/agents", "/v1/agents/probe/", "/V1/agents", "/v1/agents/probe/echo/x", "/", "/v2/agents"):
        problem(host.get(path), 404, "not.found")


@test
def paths_that_do_not_exist_name_those_near():
    problem(host.get("/v1/agent"), 404, "not.found", r"/v1/agents")
    problem(host.get("/v1/record/note"), 404, "not.found", r"/v1/records/\{kind\}")
    problem(host.get("/nowhere"), 404, "not.found", r"/openapi\.json")


main(host)
