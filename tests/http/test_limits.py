#!/usr/bin/env python3
"""Limits that the configuration sets: unfinished runs, body, connections."""
import os, sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import *

host = Host(tenants=["other"], config='return { limits = { runs_per_tenant = 3, body = "64KiB", connections = 20 } }')


@test
def more_unfinished_runs_than_allowed_are_429_until_one_ends():
    other = host.make_key(None, "other")
    runs = [host.start("sleep", {"ms": 60000}) for _ in range(3)]
    for _ in range(3):
        answer = host.post("/v1/agents/probe/echo", {"text": "x"})
        problem(answer, 429, "limit.reached", "3")
        matches(answer.header("Retry-After"), r"^\d+$")
        matches(answer.header("RateLimit"), r'^"runs";r=0;t=\d+$')
        policy = answer.header("RateLimit-Policy")
        true(policy in (None, '"runs";q=3'), policy)
    equal(host.post("/v1/agents/probe/echo", {"text": "x"}, key=other).status, 202)
    equal(host.get("/v1/runs").status, 200)
    host.post("/v1/runs/%s/cancel" % runs[0])
    equal(host.post("/v1/agents/probe/echo", {"text": "x"}).status, 202)
    for run in runs[1:]:
        host.post("/v1/runs/%s/cancel" % run)


@test
def a_body_over_the_configured_size_is_413():
    fits = json.dumps({"text": "a" * (65536 - 12)}).encode()
    equal(len(fits), 65536)
    equal(host.post("/v1/agents/probe/echo", fits).status, 202)
    try:
        problem(host.post("/v1/agents/probe/echo", fits + b" "), 413, "body.too_large")
    except ConnectionError:
        raise Failure("the connection was reset before the answer could be read")


@test
def above_the_most_connections_the_one_that_idled_longest_goes():
    idle = [socket.create_connection(("127.0.0.1", host.port), timeout=5) for _ in range(20)]
    time.sleep(0.2)
    more = [socket.create_connection(("127.0.0.1", host.port), timeout=5) for _ in range(5)]
    time.sleep(0.2)
    gone = 0
    for s in idle:
        s.setblocking(False)
        try:
            gone += s.recv(1) == b""
        except BlockingIOError:
            pass
    equal(gone, 5)
    for s in more:
        s.sendall(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
        matches(s.recv(1000).decode(), "^HTTP/1.1 200")
    for s in idle + more:
        s.close()


@test
def where_all_connections_are_busy_a_new_one_is_503():
    busy = [socket.create_connection(("127.0.0.1", host.port), timeout=5) for _ in range(20)]
    for s in busy:
        s.sendall(b"GET /health HTTP/1.1\r\nHost:")
    time.sleep(0.2)
    with socket.create_connection(("127.0.0.1", host.port), timeout=5) as s:
        data = b""
        while True:
            piece = s.recv(1000)
            if not piece:
                break
            data += piece
    problem(parse_answers(data)[0], 503, "host.unavailable")
    for s in busy:
        s.sendall(b" a\r\n\r\n")
        matches(s.recv(1000).decode(), "^HTTP/1.1 200")
        s.close()


main(host)
