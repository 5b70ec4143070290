#!/usr/bin/env python3
"""/v1/runs: listing, one, journal, event streams, cancelling, signals."""
import os, sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import *

host = Host()


@test
def runs_are_listed_newest_first_in_pages():
    made = [host.run("echo", {"text": str(i)})["id"] for i in range(7)]
    seen, path = [], "/v1/runs?limit=3&agent=probe&capability=echo"
    pages = 0
    while path:
        answer = host.get(path)
        equal(answer.status, 200)
        page = answer.json
        true(len(page["items"]) <= 3, "a page of %d" % len(page["items"]))
        seen += [run["id"] for run in page["items"]]
        pages += 1
        if page["next_cursor"]:
            link = re.match(r'^<([^>]+)>; rel="next"$', answer.header("Link"))
            true(link and page["next_cursor"] in link.group(1), answer.header("Link"))
            path = link.group(1)
        else:
            true(answer.header("Link") is None, "a link on the last page")
            path = None
    equal(seen, made[::-1])
    equal(pages, 3)


@test
def runs_are_filtered():
    host.run("fail", {})
    host.run("steps", {"deal": "deal-7", "count": 1})
    equal({r["capability"] for r in host.get("/v1/runs?capability=fail").json["items"]}, {"fail"})
    equal({r["status"] for r in host.get("/v1/runs?status=failed").json["items"]}, {"failed"})
    equal([r["subject"] for r in host.get("/v1/runs?subject=deal-7").json["items"]], ["deal-7"])
    equal(host.get("/v1/runs?agent=nobody").json["items"], [])
    equal(host.get("/v1/runs?subject=deal-7&status=failed").json["items"], [])


@test
def unfit_queries_are_400():
    for query in ("limit=0", "limit=201", "limit=x", "limit=", "limit=1&limit=2", "status=nonsense", "stat=failed", "cursor=x", "cursor=6162",
                  "agent=%ff", "agent=%zz", "agent=%00", "=x", "&".join("a%d=1" % i for i in range(40))):
        problem(host.get("/v1/runs?" + query), 400, "request.invalid")
    problem(host.get("/v1/runs?colour=red"), 400, None, "agent capability status subject waiting_for limit cursor")
    problem(host.get("/v1/runs/%s?x=1" % UNKNOWN), 400, None, "takes none")
    equal(host.get("/v1/runs?&&").status, 200)


@test
def unknown_runs_are_404_on_every_path():
    for run in (UNKNOWN, "nonsense", "%20", UNKNOWN.upper(), UNKNOWN + "0"):
        for method, path in (("GET", ""), ("GET", "/journal"), ("GET", "/events"), ("POST", "/cancel"), ("POST", "/signals/word")):
            problem(host.call(method, "/v1/runs/" + run + path, b"{}" if method == "POST" else None), 404, "not.found")


@test
def the_journal_lists_outcomes_in_order():
    run = host.run("steps", {"deal": "deal-j", "count": 5})["id"]
    page = host.get("/v1/runs/%s/journal" % run).json
    equal([o["index"] for o in page["items"]], list(range(5)))
    equal({o["name"] for o in page["items"]}, {"records.put"})
    equal([o["effect"] for o in page["items"]], [1, 2, 3, 4, 5])
    equal(page["next_cursor"], None)
    for outcome in page["items"]:
        matches(outcome["at"], TIME)
        matches(outcome["digest"], r"^[0-9a-f]{32}$")
        equal(outcome["outcome"]["ok"], {"version": 1})
    first = host.get("/v1/runs/%s/journal?limit=2" % run).json
    second = host.get("/v1/runs/%s/journal?limit=2&cursor=%s" % (run, first["next_cursor"])).json
    third = host.get("/v1/runs/%s/journal?limit=2&cursor=%s" % (run, second["next_cursor"])).json
    equal(first["items"] + second["items"] + third["items"], page["items"])
    equal(third["next_cursor"], None)
    problem(host.get("/v1/runs/%s/journal?cursor=abc" % run), 400)


def history(run, **more):
    return list(Events(host, "/v1/runs/%s/events" % run, **more))


@test
def a_stream_tells_everything_from_the_beginning_and_ends():
    run = host.start("steps", {"deal": "deal-s", "count": 3, "pause_ms": 150})
    events = Events(host, "/v1/runs/%s/events" % run)
    equal(events.status, 200)
    equal(events.headers.get("Content-Type"), "text/event-stream")
    equal(events.headers.get("Cache-Control"), "no-store")
    equal(events.headers.get("X-Accel-Buffering"), "no")
    told = list(events)
    equal([i for kind, i, _ in told if kind == "outcome"], ["0", "1", "2", "3", "4", "5"])
    equal([d["name"] for kind, _, d in told if kind == "outcome"], ["records.put", "time.sleep"] * 3)
    equal([d["fields"]["n"] for kind, _, d in told if kind == "log"], [1, 2, 3])
    kind, end, data = told[-1]
    equal((kind, end), ("status", "end"))
    holds(data, run=run, status="succeeded", output={"written": 3}, error=None)
    true(any(kind == "effect" for kind, _, _ in told), "no effect was told")


@test
def an_ended_run_tells_the_same_history():
    run = host.start("steps", {"deal": "deal-h", "count": 2, "pause_ms": 100})
    live = [e for e in history(run) if e[0] in ("outcome", "log")]
    later = history(run)
    equal([e for e in later if e[0] in ("outcome", "log")], live)
    equal([e[1] for e in live], ["0.1", "0", "1", "2.2", "2", "3"])
    equal(later[-1][0:2], ("status", "end"))
    equal(later[-1][2]["status"], "succeeded")


@test
def a_stream_goes_on_behind_the_last_event_seen():
    run = host.run("steps", {"deal": "deal-l", "count": 4, "pause_ms": 1})["id"]
    whole = [e[1] for e in history(run)]
    equal(whole, ["0.1", "0", "1", "2.2", "2", "3", "4.3", "4", "5", "6.4", "6", "7", "end"])
    for i, last in enumerate(whole[:-1]):
        equal([e[1] for e in history(run, headers={"Last-Event-ID": last})], whole[i + 1:], last)
    answer = host.get("/v1/runs/%s/events" % run, headers={"Last-Event-ID": "end"})
    equal(answer.status, 204)
    for nonsense in ("x", "-1", "1.", "99999999999999999999"):
        equal(history(run, headers={"Last-Event-ID": nonsense})[-1][1], "end")


@test
def a_stream_that_is_cut_is_taken_up_without_loss_or_repetition():
    run = host.start("steps", {"deal": "deal-c", "count": 5, "pause_ms": 100})
    seen = []
    events = Events(host, "/v1/runs/%s/events" % run)
    for event in events:
        if event[1]:
            seen.append(event[1])
        if len(seen) == 4:
            break
    events.close()
    time.sleep(0.25)
    seen += [e[1] for e in history(run, headers={"Last-Event-ID": seen[-1]}) if e[1]]
    equal(seen, [e[1] for e in history(run)])


@test
def a_long_history_comes_whole():
    run = host.run("steps", {"deal": "deal-m", "count": 450}, wait=50)["id"]
    told = history(run)
    equal([e[1] for e in told if e[0] == "outcome"], [str(i) for i in range(450)])
    equal([e[1] for e in told if e[0] == "log"], ["%d.%d" % (i, i + 1) for i in range(450)])
    order = [tuple(float(x) for x in (e[1] + ".1e9").split(".")[:2]) for e in told[:-1]]
    equal(order, sorted(order))


@test
def a_history_of_many_megabytes_comes_whole_to_a_slow_reader():
    run = host.run("large", {"count": 40, "bytes": 300000}, wait=50)["id"]
    with socket.create_connection(("127.0.0.1", host.port), timeout=20) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 20000)
        s.sendall(b"GET /v1/runs/%s/events HTTP/1.0\r\nAuthorization: Bearer %s\r\n\r\n" % (run.encode(), host.key.encode()))
        got, n = [], 0
        while True:
            piece = s.recv(262144)
            if not piece:
                break
            got.append(piece)
            n += len(piece)
            if len(got) % 20 == 0:
                time.sleep(0.01)
    text = b"".join(got)
    equal(re.findall(rb"^id: (\S+)$", text, re.M), [str(i).encode() for i in range(80)] + [b"end"])
    true(n > 12000000, "%d bytes" % n)


@test
def several_watch_one_run_and_leave_when_they_like():
    run = host.start("hear", {})
    host.wait_run(run, "waiting")
    watchers = [Events(host, "/v1/runs/%s/events" % run) for _ in range(10)]
    for gone in watchers[:5]:
        gone.close()
    equal(host.post("/v1/runs/%s/signals/word" % run, {"x": 1}).status, 202)
    for stays in watchers[5:]:
        equal(list(stays)[-1][2]["output"], {"payload": {"x": 1}})
    equal(host.get("/health").status, 200)


@test
def head_of_a_stream_is_no_stream():
    run = host.start("sleep", {"ms": 2000})
    answer = host.call("HEAD", "/v1/runs/%s/events" % run)
    equal(answer.status, 200)
    equal(answer.header("Content-Type"), "text/event-stream")


@test
def a_waiting_run_is_cancelled():
    run = host.start("sleep", {"ms": 60000})
    host.wait_run(run, "waiting")
    answer = host.post("/v1/runs/%s/cancel" % run)
    equal(answer.status, 200)
    holds(answer.json, run=run, status="cancelled")
    ended = host.get("/v1/runs/" + run).json
    equal(ended["status"], "cancelled")
    matches(ended["ended_at"], TIME)
    equal(history(run)[-1][2]["status"], "cancelled")


@test
def a_stream_and_a_waiting_call_end_with_the_cancelled_run():
    run = host.start("sleep", {"ms": 60000})
    host.wait_run(run, "waiting")
    events = Events(host, "/v1/runs/%s/events" % run)
    host.post("/v1/runs/%s/cancel" % run)
    equal(list(events)[-1][2]["status"], "cancelled")


@test
def a_run_that_has_ended_is_not_cancelled_or_signalled():
    run = host.run("echo", {"text": "x"})["id"]
    problem(host.post("/v1/runs/%s/cancel" % run), 409, "state.conflict")
    problem(host.post("/v1/runs/%s/signals/word" % run, {}), 409, "state.conflict")
    equal(host.get("/v1/runs/" + run).json["status"], "succeeded")


@test
def a_signal_reaches_the_run_that_waits_for_it():
    for payload in ({"a": [1, 2, {"b": None}]}, [], "text", 5, None, True, {}):
        run = host.start("hear", {})
        host.wait_run(run, "waiting")
        answer = host.post("/v1/runs/%s/signals/word" % run, json.dumps(payload).encode())
        equal(answer.status, 202, answer)
        holds(answer.json, run=run, name="word")
        matches(answer.json["id"], r"^[0-9a-f-]{36}$")
        output = host.wait_run(run, "succeeded", "failed")
        equal(output["status"], "succeeded", output["error"])
        if payload is not None:
            equal(output["output"]["payload"], payload)


@test
def a_signal_sent_before_the_run_listens_is_kept():
    run = host.start("hear", {})
    equal(host.post("/v1/runs/%s/signals/word" % run, {"early": True}).status, 202)
    equal(host.wait_run(run, "succeeded")["output"], {"payload": {"early": True}})


@test
def a_signal_sent_twice_with_one_key_is_one():
    run = host.start("sleep", {"ms": 5000})
    ids = {host.post("/v1/runs/%s/signals/word" % run, {"n": 1}, headers={"Idempotency-Key": "once"}).json["id"] for _ in range(3)}
    equal(len(ids), 1)
    other = host.post("/v1/runs/%s/signals/word" % run, {"n": 1}, headers={"Idempotency-Key": "twice"}).json["id"]
    true(other not in ids, "another key, the same signal")
    host.post("/v1/runs/%s/cancel" % run)


@test
def unfit_signals_are_refused():
    run = host.start("hear", {})
    for name in ("Word", "1x", "a%20b", "x" * 64, "%C3%A9"):
        problem(host.post("/v1/runs/%s/signals/%s" % (run, name), {}), 400)
    problem(host.post("/v1/runs/%s/signals/word" % run, b"{"), 400)
    problem(host.post("/v1/runs/%s/signals/word" % run, b"{}", headers={"Content-Type": "text/plain"}), 415)
    host.post("/v1/runs/%s/cancel" % run)


main(host)
