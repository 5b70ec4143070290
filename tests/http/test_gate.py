#!/usr/bin/env python3
"""The wire: what the gate in front of the HTTP server takes and refuses, and how answers are framed."""
import os, sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import *

host = Host()
H = b"Host: localhost\r\n"
CLOSE = b"Connection: close\r\n"
AUTH = b"Authorization: Bearer " + host.key.encode() + b"\r\n"

# Requests that never become complete, begun now and looked at last: 30 s is the limit.
slow = []
for part in (b"GET /health HTT", b"POST /v1/events HTTP/1.1\r\n" + H + b"Content-Length: 100\r\n\r\n{", b"GET /health HTTP/1.1\r\nHost:"):
    s = socket.create_connection(("127.0.0.1", host.port), timeout=45)
    s.sendall(part)
    slow.append((time.monotonic(), s))


def one(data):
    answers = parse_answers(data)
    equal(len(answers), 1, data[:300])
    return answers[0]


def refused(data, status, name=None, detail=None):
    """The gate's refusal: a problem, and the connection is closed."""
    true(not data.endswith((b"<open>", b"<reset>")), "not closed cleanly: %r" % data[-200:])
    answer = one(data)
    body = problem(answer, status, name, detail)
    equal(answer.header("Connection"), "close")
    return body


@test
def answers_carry_length_date_and_type():
    answer = one(host.raw(b"GET /health HTTP/1.1\r\n" + H + CLOSE + b"\r\n"))
    equal(answer.status, 200)
    equal(answer.header("Content-Type"), "application/json")
    equal(int(answer.header("Content-Length")), len(answer.body))
    matches(answer.header("Date"), r"^\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT$")
    equal(answer.header("X-Content-Type-Options"), "nosniff")
    true(answer.header("Server") is None, "the server names itself")


@test
def a_connection_is_kept_for_the_next_request():
    connection = http.client.HTTPConnection("127.0.0.1", host.port)
    sockets = set()
    for path in ("/health", "/nowhere", "/health/ready", "/health"):
        connection.request("GET", path)
        sockets.add(connection.sock.getsockname())
        connection.getresponse().read()
    connection.close()
    equal(len(sockets), 1)


@test
def pipelined_requests_are_answered_in_order():
    data = host.raw(b"GET /health HTTP/1.1\r\n" + H + b"\r\nGET /nowhere HTTP/1.1\r\n" + H + b"\r\nGET /v1/runs HTTP/1.1\r\n" + H + AUTH +
                    b"\r\nGET /health HTTP/1.1\r\n" + H + CLOSE + b"\r\n")
    equal([a.status for a in parse_answers(data)], [200, 404, 200, 200])


@test
def a_request_may_come_byte_by_byte():
    text = b"POST /v1/agents/probe/echo HTTP/1.1\r\n" + H + CLOSE + AUTH + b"Prefer: wait=10\r\nContent-Length: 13\r\n\r\n{\"text\":\"hi\"}"
    answer = one(host.raw(*[text[i:i + 1] for i in range(len(text))], pause=0.002))
    equal(answer.status, 200)
    equal(answer.json["output"], {"text": "hi"})


@test
def http_1_0_is_answered_and_closed():
    answer = one(host.raw(b"GET /health HTTP/1.0\r\n\r\n"))
    equal(answer.status, 200)
    equal(int(answer.header("Content-Length")), len(answer.body))


@test
def a_client_that_shuts_its_sending_side_gets_the_answer():
    data = host.raw(b"GET /v1/agents HTTP/1.1\r\n" + H + AUTH + b"\r\n", half_close=True)
    answer = one(data)
    equal(answer.status, 200)
    equal(answer.json["items"][0]["name"], "probe")


@test
def empty_lines_before_a_request_are_skipped():
    equal(one(host.raw(b"\r\n\r\nGET /health HTTP/1.1\r\n" + H + CLOSE + b"\r\n")).status, 200)


@test
def a_whole_url_as_target_is_understood():
    equal(one(host.raw(b"GET http://localhost/health HTTP/1.1\r\n" + H + CLOSE + b"\r\n")).status, 200)


@test
def head_has_the_headers_of_get_and_no_body():
    got = one(host.raw(b"GET /v1/agents HTTP/1.1\r\n" + H + AUTH + CLOSE + b"\r\n"))
    data = host.raw(b"HEAD /v1/agents HTTP/1.1\r\n" + H + AUTH + CLOSE + b"\r\n")
    head, _, rest = data.partition(b"\r\n\r\n")
    equal(rest, b"")
    matches(head.decode(), r"^HTTP/1\.1 200 ")
    matches(head.decode(), r"Content-Length: %d\b" % len(got.body))


@test
def options_tells_the_methods_without_a_key():
    answer = host.call("OPTIONS", "/v1/runs", key=None)
    equal(answer.status, 204)
    equal(answer.header("Allow"), "GET, HEAD, OPTIONS")
    equal(answer.body, b"")
    equal(host.call("OPTIONS", "/v1/records/note/1", key=None).header("Allow"), "GET, HEAD, PUT, DELETE, OPTIONS")
    equal(one(host.raw(b"OPTIONS * HTTP/1.1\r\n" + H + CLOSE + b"\r\n")).status, 204)
    problem(host.call("OPTIONS", "/nowhere"), 404)


@test
def another_method_is_405_with_allow():
    for method, path, allow in (("POST", "/v1/runs", "GET, HEAD, OPTIONS"), ("DELETE", "/health", "GET, HEAD, OPTIONS"),
                                ("PATCH", "/v1/records/note/1", "GET, HEAD, PUT, DELETE, OPTIONS"),
                                ("GET", "/v1/agents/probe/echo", "POST, OPTIONS"), ("PUT", "/v1/events", "POST, GET, HEAD, OPTIONS"),
                                ("GET", "/v1/events/dead/x/replay", "POST, OPTIONS")):
        answer = host.call(method, path, key=None)
        problem(answer, 405, "method.refused")
        equal(answer.header("Allow"), allow)


@test
def unknown_methods_are_405_with_allow():
    for method in (b"BREW", b"TRACE", b"CONNECT", b"get", b"PROPFIND"):
        data = host.raw(method + b" /health HTTP/1.1\r\n" + H + b"\r\n")
        refused(data, 405, "method.refused")
        matches(data.decode(), r"\r\nAllow: GET, HEAD, POST, PUT, DELETE, OPTIONS\r\n")


@test
def malformed_heads_are_400():
    for head in (b"GET / HTTP/1.1\nHost: a\n\n", b"GET / HTTP/1.1\r\nHost: a\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"GET /\r\n\r\n", b"nonsense\r\n\r\n",
                 b"GET  / HTTP/1.1\r\n" + H + b"\r\n", b"GET /a b HTTP/1.1\r\n" + H + b"\r\n", b"GET /a#b HTTP/1.1\r\n" + H + b"\r\n",
                 b"GET health HTTP/1.1\r\n" + H + b"\r\n", b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", b"GET / HTTP/1.1\r\n" + H + b"A: b\r\n c\r\n\r\n",
                 b"GET / HTTP/1.1\r\n" + H + b"A: b\x01\r\n\r\n", b"GET / HTTP/1.1\r\n" + H + H + b"\r\n", b"GET /\x00 HTTP/1.1\r\n" + H + b"\r\n",
                 b"GET /\x7f HTTP/1.1\r\n" + H + b"\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
                 b"GET / HTTP/1.1\r\n" + H + AUTH + AUTH + b"\r\n"):
        refused(host.raw(head), 400, "request.invalid")


@test
def two_ways_to_read_a_length_are_400():
    for fields in (b"Content-Length: 3\r\nContent-Length: 3\r\n", b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", b"Content-Length: 3, 3\r\n",
                   b"Content-Length: +3\r\n", b"Content-Length: -3\r\n", b"Content-Length: 0x3\r\n", b"Content-Length: \r\n",
                   b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", b"Transfer-Encoding:\tchunked\r\n"):
        refused(host.raw(b"POST /v1/events HTTP/1.1\r\n" + H + fields + b"\r\nabc"), 400, "request.invalid")
    refused(host.raw(b"HEAD /health HTTP/1.1\r\n" + H + b"Content-Length: 3\r\n\r\nabc"), 400)
    refused(host.raw(b"POST /v1/events HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 400)


@test
def other_versions_codings_and_expectations_are_named():
    refused(host.raw(b"GET / HTTP/2.0\r\n" + H + b"\r\n"), 505)
    refused(host.raw(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 505)
    refused(host.raw(b"POST /v1/events HTTP/1.1\r\n" + H + b"Transfer-Encoding: gzip, chunked\r\n\r\n"), 501)
    refused(host.raw(b"POST /v1/events HTTP/1.1\r\n" + H + b"Expect: the-best\r\nContent-Length: 1\r\n\r\n"), 417)


@test
def a_head_over_16_kib_is_431():
    fits = b"GET /health HTTP/1.1\r\n" + H + CLOSE + b"X-Fill: "
    room = 16 * 1024 - len(fits) - 4
    equal(one(host.raw(fits + b"f" * room + b"\r\n\r\n")).status, 200)
    refused(host.raw(fits + b"f" * (room + 1) + b"\r\n\r\n"), 431, "headers.too_large")
    refused(host.raw(b"GET /health HTTP/1.1\r\n" + H + b"X-Fill: " + b"f" * 200000), 431)
    refused(host.raw(b"GET /health HTTP/1.1\r\n" + H + b"".join(b"X-%d: y\r\n" % i for i in range(3000)) + b"\r\n"), 431)


@test
def a_target_over_8_kib_is_414():
    refused(host.raw(b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n" + H + b"\r\n"), 414)


@test
def a_body_over_8_mib_is_413_before_it_is_sent():
    started = time.monotonic()
    refused(host.raw(b"POST /v1/events HTTP/1.1\r\n" + H + AUTH + b"Content-Length: 8388609\r\n\r\n"), 413, "body.too_large")
    refused(host.raw(b"POST /v1/events HTTP/1.1\r\n" + H + AUTH + b"Expect: 100-continue\r\nContent-Length: 9000000\r\n\r\n"), 413)
    refused(host.raw(b"POST /v1/events HTTP/1.1\r\n" + H + AUTH + b"Content-Length: 99999999999\r\n\r\n" + b"x" * 300000), 413)
    true(time.monotonic() - started < 5, "it took long")


@test
def a_body_of_8_mib_is_taken():
    body = b'{"text":"' + b"a" * (8 * 1024 * 1024 - 11) + b'"}'
    equal(len(body), 8 * 1024 * 1024)
    answer = host.post("/v1/agents/nobody/echo", body)
    problem(answer, 404)


@test
def chunks_over_8_mib_are_413():
    chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    data = host.raw(b"POST /v1/events HTTP/1.1\r\n" + H + AUTH + b"Transfer-Encoding: chunked\r\n\r\n", chunk * 140 + b"0\r\n\r\n")
    refused(data.replace(b"<reset>", b""), 413, "body.too_large")
    refused(host.raw(b"POST /v1/events HTTP/1.1\r\n" + H + AUTH + b"Transfer-Encoding: chunked\r\n\r\nfffffff\r\nabc"), 413)


@test
def a_chunked_body_is_put_together():
    head = b"POST /v1/agents/probe/echo HTTP/1.1\r\n" + H + AUTH + CLOSE + b"Prefer: wait=10\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer = one(host.raw(head, b"4\r\n{\"te\r", b"\n9\r\nxt\":\"hi\"}\r\n", b"0\r", b"\n\r\n"))
    equal(answer.json["output"], {"text": "hi"})


@test
def malformed_chunks_are_400():
    head = b"POST /v1/events HTTP/1.1\r\n" + H + AUTH + b"Transfer-Encoding: chunked\r\n\r\n"
    for chunks in (b"3x\r\nabc\r\n", b"-3\r\nabc\r\n", b"3;a=b\r\nabc\r\n", b"3\nabc\n", b"3\r\nabcd\r\n", b"\r\n", b"0\r\nTrailer: x\r\n\r\n", b"0x3\r\nabc\r\n"):
        refused(host.raw(head + chunks), 400, "request.invalid", "chunks")


@test
def expect_100_continue_is_answered_before_the_body():
    head = b"POST /v1/agents/probe/echo HTTP/1.1\r\n" + H + AUTH + CLOSE + b"Prefer: wait=10\r\nExpect: 100-continue\r\nContent-Length: 13\r\n\r\n"
    with socket.create_connection(("127.0.0.1", host.port), timeout=5) as s:
        s.sendall(head)
        equal(s.recv(100), b"HTTP/1.1 100 Continue\r\n\r\n")
        s.sendall(b'{"text":"hi"}')
        data = b""
        while True:
            piece = s.recv(65536)
            if not piece:
                break
            data += piece
    equal(one(data).json["output"], {"text": "hi"})


@test
def a_body_where_none_belongs_is_not_the_next_request():
    smuggled = b"GET /v1/agents HTTP/1.1\r\n" + H + b"\r\n"
    data = host.raw(b"GET /health HTTP/1.1\r\n" + H + b"Content-Length: %d\r\n\r\n" % len(smuggled) + smuggled +
                    b"GET /health HTTP/1.1\r\n" + H + CLOSE + b"\r\n")
    equal([a.status for a in parse_answers(data)], [200, 200])


@test
def a_client_that_leaves_while_its_run_goes_on_harms_nothing():
    for _ in range(20):
        s = socket.create_connection(("127.0.0.1", host.port))
        s.sendall(b"POST /v1/agents/probe/sleep HTTP/1.1\r\n" + H + AUTH + b"Prefer: wait=5\r\nContent-Length: 10\r\n\r\n{\"ms\": 50}")
        s.close()
    time.sleep(0.5)
    equal(host.get("/health").status, 200)


@test
def many_connections_at_once_are_served():
    sockets = [socket.create_connection(("127.0.0.1", host.port), timeout=10) for _ in range(500)]
    for s in sockets:
        s.sendall(b"GET /health HTTP/1.1\r\n" + H + b"\r\n")
    for s in sockets:
        matches(s.recv(1000).decode(), r"^HTTP/1\.1 200 OK")
        s.close()


@test
def what_the_gate_refuses_is_counted():
    text = host.get("/metrics").body.decode()
    matches(text, r'perigee_http_requests_total\{method="none",route="none",status="431"\} [1-9]')


@test
def a_request_that_is_not_complete_within_30_seconds_is_408():
    for started, s in slow:
        data = b""
        while True:
            piece = s.recv(65536)
            if not piece:
                break
            data += piece
        true(28 <= time.monotonic() - started <= 40, "after %.1f s" % (time.monotonic() - started))
        refused(data, 408, "request.timeout")
        s.close()


main(host)
