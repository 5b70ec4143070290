#!/usr/bin/env python3
"""What the machine around the host may do: a clock that is set by an hour, a server whose disk is full, a replica, three connections."""
import http.client, os, re, shutil, struct, subprocess, sys, tempfile, time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "http"))
import harness, servers
from harness import Host, equal, main, test, true

HOUR = 3600
folder = tempfile.mkdtemp(prefix="perigee-surroundings-")
os.chmod(folder, 0o755)


def shim(name):
    path = os.path.join(folder, name + ".so")
    subprocess.run(["cc", "-shared", "-fPIC", "-D_GNU_SOURCE", "-o", path, os.path.join(HERE, name + ".c"), "-ldl"], check=True)
    os.chmod(path, 0o755)
    return path


def until(what, text, seconds=20):
    end = time.monotonic() + seconds
    while not what():
        true(time.monotonic() < end, text() if callable(text) else text)
        time.sleep(0.05)


class On(Host):
    """A host on a store that is given."""

    def __init__(self, store, **more):
        new, harness.new_store = harness.new_store, lambda folder: store or new(folder)
        try:
            super().__init__(**more)
        finally:
            harness.new_store = new


# -- the clock --------------------------------------------------------------------------------------------------------

def set_clock(path, seconds):
    with open(path, "r+b") as f:
        f.write(struct.pack("q", int(seconds * 1000000)))


def has(host, kind, id):
    return host.get("/v1/records/%s/%s" % (kind, id)).status == 200


def ticks(host):
    return len(host.get("/v1/records/tick?limit=200").json["items"])


def nap(host, id, ms):
    answer = host.post("/v1/agents/clock/nap", {"id": id, "ms": ms}, headers={"Idempotency-Key": id})
    equal(answer.status, 202, answer)
    return answer.json["run"]


def clock_jumps(engine, config):
    os.environ["PERIGEE_TEST_ENGINE"] = engine
    path = os.path.join(folder, "clock-" + (engine or "sqlite"))
    with open(path, "wb") as f:
        f.write(struct.pack("q", 0))
    host = Host(root=os.path.join(HERE, "clock"), config=config, environment={"LD_PRELOAD": shim("clock_shim"), "CLOCK_SHIM": path})
    try:
        workers = harness.children_of(host.process.pid)
        until(lambda: ticks(host) > 0, "the schedule fires")
        for number, offset in enumerate((HOUR, 0, -HOUR, 0)):
            before, after = "jump%d-before" % number, "jump%d-after" % number
            runs = {before: nap(host, before, 1500)}
            host.wait_run(runs[before], "waiting")
            set_clock(path, offset)
            seen = ticks(host)
            runs[after] = nap(host, after, 1000)
            for id, run in runs.items():
                ended = host.wait_run(run, "succeeded", "failed", "stuck", seconds=15)
                equal((ended["status"], ended["output"]), ("succeeded", {"heard": False}), "%s: %r" % (id, ended["error"]))
                until(lambda: has(host, "mark", id + "-told") and has(host, "mark", id + "-child"), "%s: its event and its child" % id)
                equal(nap(host, id, 1500 if id == before else 1000), run, "the same key, the same run")
            until(lambda: ticks(host) > seen + 1, "the schedule goes on after the clock was set by %d s" % offset)
            equal(host.get("/health/ready", key=None).status, 200)
        equal(harness.children_of(host.process.pid), workers, "no worker lost its lease")
        true(not any("lease" in line for line in host.said), [line for line in host.said if "lease" in line])
    finally:
        host.stop()


@test
def a_clock_that_is_set_by_an_hour_loses_and_hangs_nothing_on_sqlite():
    clock_jumps("", "return {}")


@test
def a_clock_that_is_set_by_an_hour_loses_and_hangs_nothing_on_postgres():
    clock_jumps("postgres", 'return { lease = "2s" }')


# -- the server -------------------------------------------------------------------------------------------------------

def put(host, n):
    try:
        return host.put("/v1/records/note/n%d" % n, {"owner": "x" * 3000, "n": n}, timeout=30).status
    except (OSError, http.client.HTTPException):
        return 0


@test
def a_server_whose_disk_is_full_loses_nothing_and_goes_on_when_there_is_room():
    flag = os.path.join(folder, "full")
    os.environ.update(LD_PRELOAD=shim("full_disk"), FULL_DISK=flag)
    try:
        postgres = servers.Postgres(max_wal_size="64MB").start()
    finally:
        del os.environ["LD_PRELOAD"], os.environ["FULL_DISK"]
    host = None
    try:
        host = On(postgres.database())
        answered = {n: put(host, n) for n in range(20)}
        equal(set(answered.values()), {201})
        open(flag, "w").close()
        run = None
        n = len(answered)
        while sum(status == 0 or status >= 500 for status in answered.values()) < 5:
            answered[n] = put(host, n)
            n += 1
            true(n < 50000, "the disk does not get full")
        worst = {status for status in answered.values() if status not in (201, 500, 503)}
        equal(worst, set(), "answers")
        equal(host.get("/health", key=None).status, 200, "the host is alive")
        os.remove(flag)
        until(lambda: put(host, 0) in (200, 201), "it writes again", 60)
        until(lambda: host.get("/health/ready", key=None).status == 200, "it is ready again", 30)
        for i, status in answered.items():
            got = host.get("/v1/records/note/n%d" % i)
            if status == 201:
                equal((got.status, got.json["body"]["n"]), (200, i), "what was acknowledged is there")
            elif got.status == 200:
                equal((got.json["version"], got.json["body"]["n"]), (1, i), "what nobody answered for is whole or absent")
        equal(host.run("echo", {"text": "again"})["status"], "succeeded")
    finally:
        if os.path.exists(flag):
            os.remove(flag)
        if host:
            host.stop()
        postgres.stop()


class Standby(servers.Postgres):
    """A hot standby of another server."""

    def __init__(self, primary):
        servers.Server.__init__(self)
        self.settings, self.lock = {}, primary.lock
        subprocess.run([servers._program("pg_basebackup"), "-h", primary.folder, "-p", "5432", "-U", "postgres", "-D", self.path("data"), "-R", "-X", "stream", "-c", "fast"],
                       check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=self.folder, **servers._nobody_special())


@test
def a_replica_is_refused_in_one_line_that_says_so():
    with servers.Postgres() as primary:
        database = primary.database()
        with Standby(primary) as standby:
            until(lambda: standby.sql("SELECT count(*) FROM pg_database WHERE datname = '%s'" % servers.keywords(database)["dbname"]) == [["1"]], "the replica follows")
            store = servers.joined({**servers.keywords(database), "host": standby.folder})
            for words in (("serve", "--listen", "127.0.0.1:0"), ("tenant", "create", "x"), ("migrate", "up")):
                done = subprocess.run([harness.PROGRAM, *words, "--store", store, *(["--root", harness.ROOT] if words[0] == "serve" else [])],
                                      capture_output=True, text=True, cwd=folder, timeout=60)
                said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
                true(done.returncode not in (0, -6, -11), "%s: exit %d" % (words, done.returncode))
                true(len(said) == 1 and re.search("read-only|replica", said[0]), "%s said:\n%s" % (words, "\n".join(said)))


@test
def three_connections_are_enough():
    with servers.Postgres() as postgres:
        store = postgres.database()
        postgres.sql("ALTER ROLE perigee_app CONNECTION LIMIT 3")
        key = None
        for again in range(2):
            host = On(store)
            try:
                host.key = key = host.key or key        # told at the first start; the command line would want a fourth connection
                until(lambda: host.get("/v1/agents/probe").status == 200, "it answers")
                runs = [host.start("echo", {"text": "%d" % n}) for n in range(40)]
                for run in runs:
                    host.wait_run(run, "succeeded")
                equal(put(host, again), 201)
                used = int(postgres.sql("SELECT count(*) FROM pg_stat_activity WHERE usename = 'perigee_app'")[0][0])
                true(1 <= used <= 3, "%d connections" % used)
                equal(host.get("/health/ready", key=None).status, 200)
            finally:
                host.stop()


try:
    main()
finally:
    shutil.rmtree(folder, ignore_errors=True)
