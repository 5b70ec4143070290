#!/usr/bin/env python3
"""Kill the host by SIGKILL after each commit of a twenty-effect run: the journal and the records must end as those of an undisturbed run.

Usage: test_kill.py [BUILD]   prints TAP, ends with 1 when a test fails.
"""
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else os.environ.get("PERIGEE_BUILD") or os.path.join(HERE, "../../build"))
PERIGEE = os.path.join(BUILD, "perigee")
ROOT = os.path.join(HERE, "root")
DEADLINE = 30


def die_with_us():
    """In the child: a host must not outlive a test that is killed (PR_SET_PDEATHSIG)."""
    import ctypes
    ctypes.CDLL(None).prctl(1, signal.SIGTERM, 0, 0, 0)


class Host:
    """`perigee dev` in a process group of its own, on a store that outlives it."""

    def __init__(self, store, kill_after=None, shim=None):
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PERIGEE_")}
        if kill_after:
            environment["LD_PRELOAD"] = shim
            environment["KILL_AFTER_SYNC"] = str(kill_after)
        self.process = subprocess.Popen(
            [PERIGEE, "dev", "--root", ROOT, "--store", "sqlite:" + store, "--listen", "127.0.0.1:0"],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment, start_new_session=True, text=True,
            preexec_fn=die_with_us)
        self.url = None
        self.key = None
        self.said = []

    def wait_ready(self):
        """True when it listens, False when it died before."""
        for line in self.process.stdout:
            self.said.append(line)
            key = re.search(r"key: (\S+)", line)
            if key:
                self.key = key.group(1)
            at = re.search(r"listening on (http://\S+)", line)
            if at:
                self.url = at.group(1)
                return True
        return False

    def kill(self):
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        self.process.stdout.close()

    def ask(self, method, path, body=None, headers=None):
        request = urllib.request.Request(self.url + path, method=method, data=None if body is None else json.dumps(body).encode())
        request.add_header("Authorization", "Bearer " + self.key)
        request.add_header("Content-Type", "application/json")
        for name, value in (headers or {}).items():
            request.add_header(name, value)
        with urllib.request.urlopen(request, timeout=DEADLINE) as answer:
            return json.load(answer)


def without_times(value, run):
    """Outcomes without what must differ between two runs: instants and ids made from the run's id."""
    text = json.dumps(value, sort_keys=True)
    text = re.sub(r'"(at|updated_at|recorded_at)": \d+', r'"\1": 0', text)
    text = re.sub(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "ID", text)
    return text.replace(run, "RUN")


def final_state(store, run):
    """What the store holds in the end, read without the host."""
    database = sqlite3.connect("file:%s?mode=ro" % os.path.join(store, "tenants", "example.db"), uri=True)
    journal = [(i, effect, name, without_times(json.loads(outcome), run)) for i, effect, name, outcome in database.execute(
        "SELECT idx, effect, name, outcome FROM journal WHERE run = ? ORDER BY idx", (run,))]
    records = database.execute("SELECT kind, id, version, body FROM records ORDER BY kind, id").fetchall()
    history = database.execute("SELECT kind, id, version, body FROM record_history ORDER BY kind, id, version").fetchall()
    evidence = database.execute("SELECT id, quote FROM evidence ORDER BY id").fetchall()
    events = database.execute("SELECT type, data, dispatched FROM events ORDER BY seq").fetchall()
    runs = database.execute("SELECT agent, capability, status, output FROM runs ORDER BY capability, created_at").fetchall()
    waits = database.execute("SELECT count(*) FROM waits").fetchall()
    records = [(kind, i, version, without_times(json.loads(body), run)) for kind, i, version, body in records]
    history = [(kind, i, version, body and without_times(json.loads(body), run)) for kind, i, version, body in history]
    database.close()
    return {"journal": journal, "records": records, "history": history, "evidence": evidence, "events": events, "runs": runs, "waits": waits}




def all_ended(store):
    database = sqlite3.connect("file:%s?mode=ro" % os.path.join(store, "tenants", "example.db"), uri=True)
    left = database.execute("SELECT count(*) FROM runs WHERE ended_at IS NULL").fetchone()[0]
    ended = database.execute("SELECT count(*) FROM runs").fetchone()[0]
    waiting = database.execute("SELECT (SELECT count(*) FROM events WHERE dispatched = 0) + (SELECT count(*) FROM deliveries WHERE status <> 'done')").fetchone()[0]
    database.close()
    return left == 0 and waiting == 0 and ended > 0


def wait_ended(store):
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        if all_ended(store):
            return True
        time.sleep(0.02)
    return False


def main_run(store):
    database = sqlite3.connect("file:%s?mode=ro" % os.path.join(store, "tenants", "example.db"), uri=True)
    row = database.execute("SELECT id FROM runs WHERE capability = 'twenty'").fetchone()
    database.close()
    return row and row[0]


def prepare(folder):
    """A store with its tenant and key, made once and copied."""
    store = os.path.join(folder, "prepared")
    host = Host(store)
    assert host.wait_ready(), "".join(host.said)
    while not host.key: # a new store shows its key right after
        host.key = re.sub(r"^key: (\S+)\n$", r"\1", host.process.stdout.readline())
    key = host.key
    os.killpg(host.process.pid, signal.SIGTERM)
    host.process.wait()
    host.process.stdout.close()
    return store, key


def undisturbed(prepared, key, folder):
    store = os.path.join(folder, "undisturbed")
    shutil.copytree(prepared, store)
    host = Host(store)
    assert host.wait_ready(), "".join(host.said)
    host.key = key
    answer = host.ask("POST", "/v1/agents/chaos/twenty", {"deal": "d"}, {"Prefer": "wait=20"})
    assert answer.get("status") == "succeeded", answer
    assert wait_ended(store)
    host.kill()
    return final_state(store, main_run(store))


def disturbed(prepared, key, folder, shim, nth):
    """Returns (what happened, the final state). what: 'killed' while at work, or 'survived' when it ended before the n-th sync."""
    store = os.path.join(folder, "killed-%d" % nth)
    shutil.copytree(prepared, store)
    host = Host(store, kill_after=nth, shim=shim)
    ready = host.wait_ready()
    host.key = key
    whole = False
    if ready:
        try:
            host.ask("POST", "/v1/agents/chaos/twenty", {"deal": "d"}, {"Prefer": "wait=20"})
            wait_ended(store)
            whole = True
        except OSError:
            pass
    try:
        host.process.wait(0 if whole else DEADLINE)
        survived = False
    except subprocess.TimeoutExpired:
        survived = True
    host.kill()
    if survived:
        return "survived", None
    if not main_run(store):
        return "before", None
    host = Host(store)
    assert host.wait_ready(), "".join(host.said)
    ended = wait_ended(store)
    host.kill()
    state = final_state(store, main_run(store))
    shutil.rmtree(store)
    return ("killed" if ended else "never ended"), state


def main():
    if not os.path.exists(PERIGEE):
        print("Bail out! %s is not built" % PERIGEE)
        return 1
    folder = tempfile.mkdtemp(prefix="perigee-chaos-")
    shim = os.path.join(folder, "kill_after_sync.so")
    subprocess.run(["cc", "-shared", "-fPIC", "-D_GNU_SOURCE", "-o", shim, os.path.join(HERE, "kill_after_sync.c"), "-ldl"], check=True)
    passed = failed = killed = 0
    try:
        prepared, key = prepare(folder)
        want = undisturbed(prepared, key, folder)
        effects = [row[1] for row in want["journal"]]
        results = [("an undisturbed run has twenty effects", sorted(effects) == list(range(1, 21)), effects)]
        nth = 0
        while True:
            nth += 1
            what, state = disturbed(prepared, key, folder, shim, nth)
            if what == "survived":
                break
            if what == "before":
                continue
            killed += 1
            wrong = [part for part in want if state[part] != want[part]]
            detail = ["%s\n  want %r\n  have %r" % (part, want[part], state[part]) for part in wrong]
            results.append(("killed after sync %d: same journal, records and evidence" % nth, what == "killed" and not wrong, [what] + detail))
        results.append(("the host was killed at least fifteen times at work", killed >= 15, killed))
        for number, (name, good, detail) in enumerate(results, 1):
            print("%s %d - %s" % ("ok" if good else "not ok", number, name))
            if not good:
                print("\n".join("# " + line for line in str(detail).replace("\\n", "\n").splitlines()[:40]))
            passed, failed = passed + bool(good), failed + (not good)
        print("1..%d" % len(results))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
