#!/usr/bin/env python3
"""bench/bench_waiting.py [RUNS [AFTER_SECONDS]]: so many runs that wait for one moment. What they cost in memory, and how long all take to end.

Prints one line of JSON: proportional memory of the host and its cells in MiB while all wait, seconds from the moment until the last has ended.
"""
import glob, http.client, json, os, re, sys, threading, time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "tests", "http"))
import harness

RUNS = int(sys.argv[1]) if len(sys.argv) > 1 else 100000
AFTER = float(sys.argv[2]) if len(sys.argv) > 2 else RUNS / 500 + 30
CLIENTS = 16


def pss_mib(pid):
    """Of a process and all below it; the tree is read once, for there may be hundreds of cells."""
    below = {}
    for stat in glob.glob("/proc/[0-9]*/stat"):
        try:
            text = open(stat).read()
        except OSError:
            continue
        below.setdefault(int(text[text.rindex(")") + 2:].split()[1]), []).append(int(stat.split("/")[2]))
    total, pids = 0, [pid]
    for each in pids:
        pids += below.get(each, [])
        try:
            total += int(re.search(r"^Pss:\s+(\d+)", open("/proc/%d/smaps_rollup" % each).read(), re.M).group(1))
        except (OSError, AttributeError):
            pass
    return total / 1024


def metric(host, name):
    return sum(float(l.rsplit(" ", 1)[1]) for l in host.get("/metrics").body.decode().splitlines() if re.match(name + r"[ {]", l))


def post_many(host, count, at):
    connection = http.client.HTTPConnection("127.0.0.1", host.port)
    body = json.dumps({"at": int(at * 1e6)})
    for _ in range(count):
        connection.request("POST", "/v1/agents/waiter/wait", body, {"Content-Type": "application/json", "Authorization": "Bearer " + host.key})
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 202, answer.status


host = harness.Host(root=os.path.join(HERE, "waiting"), config="return { limits = { runs_per_tenant = 10000000 } }")
try:
    began = time.time()
    at = began + AFTER
    clients = [threading.Thread(target=post_many, args=(host, RUNS // CLIENTS, at)) for _ in range(CLIENTS)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    started = time.time() - began
    while metric(host, "perigee_runs_waiting") < RUNS // CLIENTS * CLIENTS and time.time() < at:
        time.sleep(1)
    waiting = metric(host, "perigee_runs_waiting")
    memory = pss_mib(host.process.pid)
    while metric(host, "perigee_runs_total") < RUNS // CLIENTS * CLIENTS:
        time.sleep(0.5)
    print(json.dumps({"runs": RUNS // CLIENTS * CLIENTS, "start_s": round(started, 1), "waiting": waiting, "pss_mib": round(memory, 1),
                      "all_ended_after_s": round(time.time() - at, 1)}))
finally:
    host.stop()
