#!/usr/bin/env python3
"""Random programs over many runs, an oracle of exact counters, and meanwhile everything is killed, stopped or cut.

    test_storm.py [--seed N] [--seconds N] [--runs N] [--stores sqlite,postgres]      prints TAP; the seed and each blow are told on standard error with --loud

Short form (make test): some seconds for each store. Long form: make chaos. A seed makes the same programs and the same order of blows; when they fall among
the programs' effects is up to the machine.

What must hold afterwards: every run that was accepted has succeeded; every counter has exactly its sum; every mark is there, made once; every event was heard
once; each request took effect once at the upstream, which honours keys; nothing waits, nothing is stuck, nothing failed that should not.
"""
import json, os, random, shutil, signal, subprocess, sys, tempfile, threading, time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "http"))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
sys.path.insert(0, os.path.join(HERE, "..", "fakes"))
import harness
from harness import Failure, equal, main, test, true
from servers import Postgres, Redis
from upstream import Upstream

ROOT = os.path.join(HERE, "storm")
COUNTERS = ["c%d" % i for i in range(6)]
LEASE_SECONDS = 2
SETTLE_SECONDS = 120
CONFIG = """return {
  %sdrain_timeout = "5s", egress = { "%s" }, limits = { runs_per_tenant = 100000 },
  cell = { memory = "32MiB", cpu = "2s", wall = "20s", resident = 60 },
}"""


def words():
    given = {"seed": os.environ.get("STORM_SEED", "1"), "seconds": os.environ.get("STORM_SECONDS", "8"), "runs": os.environ.get("STORM_RUNS", "120"),
             "stores": os.environ.get("STORM_STORES", "sqlite,postgres")}
    left = sys.argv[1:]
    given["loud"] = "--loud" in left
    left = [word for word in left if word != "--loud"]
    while left:
        name = left.pop(0)
        if not name.startswith("--") or name[2:] not in given or not left:
            sys.exit("test_storm.py: what is %s? see the head of this file" % name)
        given[name[2:]] = left.pop(0)
    return given


GIVEN = words()


def say(*what):
    if GIVEN["loud"]:
        print("#", *what, file=sys.stderr, flush=True)


# -- programs and what they must come to ------------------------------------------------------------------------------

class Oracle:
    def __init__(self, origin):
        self.counters, self.marks, self.requests, self.origin = {key: 0 for key in COUNTERS}, set(), set(), origin


def steps_of(chance, oracle, prefix, depth=0, branch=False):
    """A random list of steps; the oracle learns what each must leave behind. branch: of a run that has others, so it cannot continue as a new one."""
    made = []
    for i in range(chance.randint(1, 6 if depth == 0 else 3)):
        at = "%s.%d" % (prefix, i)
        kinds = ["add", "mark", "mark", "sleep", "signal", "event", "fails", "http", "http"] + (["child", "all", "handoff"] if depth < 3 else [])
        kind = chance.choice(kinds)
        step = {"op": kind}
        if kind == "add":
            step.update(key=chance.choice(COUNTERS), by=chance.randint(1, 9))
            oracle.counters[step["key"]] += step["by"]
        elif kind in ("mark", "event", "fails"):
            step["id"] = kind + at
            oracle.marks.add(step["id"])
        elif kind == "sleep":
            step["ms"] = chance.choice([0, 1, 20, 150, 600])
        elif kind == "signal":
            step["name"] = "s" + at
        elif kind == "http":
            oracle.requests.add("h" + at)
            step["url"] = oracle.origin + chance.choice(["/do/h%s", "/do/h%s", "/slow/h%s?ms=300", "/cut-once/h%s"]) % at
        elif kind in ("child", "handoff"):
            step["steps"] = steps_of(chance, oracle, at, depth + 1)
        else:
            step["branches"] = [steps_of(chance, oracle, "%s.b%d" % (at, n), depth + 1, True) for n in range(chance.randint(1, 3))]
        made.append(step)
    if depth < 3 and not branch and chance.random() < 0.2:
        made.append({"op": "next", "steps": steps_of(chance, oracle, prefix + ".n", depth + 1)})
    return made


# -- hosts -----------------------------------------------------------------------------------------------------------

class Host:
    """`perigee serve` with workers on a store that others may share."""

    def __init__(self, folder, store, redis, workers):
        self.words = [harness.PROGRAM, "serve", "--config", os.path.join(folder, "perigee.lua"), "--root", ROOT, "--store", store, "--listen", "127.0.0.1:0",
                      "--workers", str(workers)] + (["--redis", redis] if redis else [])
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith("PERIGEE_")}
        self.folder, self.process, self.port, self.said = folder, None, None, []

    def start(self):
        ready = threading.Event()
        self.port = None
        self.process = subprocess.Popen(self.words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=self.environment, cwd=self.folder,
                                        start_new_session=True, preexec_fn=harness.die_with_us)
        threading.Thread(target=self._read, args=(self.process.stdout, ready), daemon=True).start()
        true(ready.wait(60) and self.port, "a host did not come up:\n" + "".join(self.said[-20:]))
        return self

    def _read(self, output, ready):
        for line in output:
            self.said.append(line)
            at = line.find("listening on http://")
            if at >= 0:
                self.port = int(line[at:].split()[2].rsplit(":", 1)[1])
                ready.set()
        ready.set()

    def below(self, name):
        """Processes of this host by their command name."""
        found = harness.children_of(self.process.pid)
        for pid in found:
            found += harness.children_of(pid)
        return [pid for pid in found if harness.command_of(pid) == name]

    def cells(self):
        """Cells are forks of a stem and have its name."""
        stems = self.below("perigee-stem")
        return [pid for stem in stems for pid in harness.children_of(stem)]

    def workers(self):
        return [pid for pid in harness.children_of(self.process.pid) if harness.command_of(pid) == "perigee"]

    def kill(self):
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                pass
        if self.process:
            self.kill()


class Site:
    """The hosts of one store, its servers, a key."""

    def __init__(self, kind):
        self.kind, self.folder = kind, tempfile.mkdtemp(prefix="perigee-storm-")
        self.postgres = self.redis = None
        self.upstream = Upstream()
        self.hosts = []
        with open(os.path.join(self.folder, "perigee.lua"), "w") as f:
            f.write(CONFIG % ('lease = "%ds", ' % LEASE_SECONDS if kind == "postgres" else "", self.upstream.origin))
        if kind == "postgres":
            self.postgres, self.redis = Postgres().start(), Redis().start()
            self.store = self.postgres.database()
        else:
            self.store = "sqlite:" + os.path.join(self.folder, "store")
        self.perigee("tenant", "create", "example")
        self.key = next(word for word in self.perigee("key", "create", "--tenant", "example").split() if word.startswith("pg_"))
        for _ in range(2 if self.postgres else 1):
            self.hosts.append(Host(self.folder, self.store, self.redis and self.redis.url(), 2).start())

    def perigee(self, *words):
        done = subprocess.run([harness.PROGRAM, *words, "--store", self.store], capture_output=True, text=True, cwd=self.folder, timeout=60)
        true(done.returncode == 0, "perigee %s: %s%s" % (" ".join(words), done.stdout, done.stderr))
        return done.stdout

    def ask(self, host, method, path, body=None, headers=None, timeout=10):
        import http.client
        connection = http.client.HTTPConnection("127.0.0.1", host.port, timeout=timeout)
        try:
            connection.request(method, path, None if body is None else json.dumps(body).encode(),
                               {"Authorization": "Bearer " + self.key, "Content-Type": "application/json", **(headers or {})})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def persist(self, chance, method, path, body=None, headers=None, seconds=SETTLE_SECONDS, accept=(200, 202)):
        """Ask any host until one answers: what a client does that must get through."""
        until, last = time.monotonic() + seconds, None
        while time.monotonic() < until:
            try:
                status, text = self.ask(chance.choice(self.hosts), method, path, body, headers)
                if status in accept:
                    return json.loads(text)
                last = "%d %s" % (status, text[:300])
                true(status in (409, 429, 500, 503), "%s %s: %s" % (method, path, last))
            except (OSError, ValueError, __import__("http.client").client.HTTPException) as error:
                last = repr(error)
            time.sleep(0.05)
        raise Failure("%s %s got no answer in %d s; last: %s" % (method, path, seconds, last))

    def close(self):
        for host in self.hosts:
            host.stop()
        for server in (self.postgres, self.redis):
            if server:
                server.stop()
        self.upstream.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


# -- blows -----------------------------------------------------------------------------------------------------------

def one_of(chance, pids, how):
    if pids:
        try:
            os.kill(chance.choice(pids), how)
        except ProcessLookupError:
            pass


def blow_worker(site, chance):
    one_of(chance, chance.choice(site.hosts).workers(), signal.SIGKILL)


def blow_cell(site, chance):
    one_of(chance, chance.choice(site.hosts).cells(), signal.SIGKILL)


def blow_zygote(site, chance):
    one_of(chance, chance.choice(site.hosts).below("perigee-zygote"), signal.SIGKILL)


def blow_stem(site, chance):
    one_of(chance, chance.choice(site.hosts).below("perigee-stem"), signal.SIGKILL)


def blow_host(site, chance):
    host = chance.choice(site.hosts)
    host.kill()
    host.start()


def blow_polite_end(site, chance):
    host = chance.choice(site.hosts)
    host.stop()
    host.start()


def blow_frozen_worker(site, chance):
    pids = chance.choice(site.hosts).workers()
    if pids:
        pid = chance.choice(pids)
        one_of(chance, [pid], signal.SIGSTOP)
        time.sleep(LEASE_SECONDS * 1.6)
        one_of(chance, [pid], signal.SIGCONT)


def blow_connections(site, chance):
    site.postgres.terminate_backends(site.store)


def blow_postgres(site, chance):
    if chance.random() < 0.5:
        site.postgres.kill()
    else:
        site.postgres.halt()
    time.sleep(chance.uniform(0, 2))
    site.postgres.start()


def blow_postgres_frozen(site, chance):
    """The server and each of its processes stand still: connections stay open and say nothing."""
    pids = [site.postgres.process.pid] + harness.children_of(site.postgres.process.pid)
    for how, pause in ((signal.SIGSTOP, chance.uniform(0, 2)), (signal.SIGCONT, 0)):
        for pid in pids:
            one_of(chance, [pid], how)
        time.sleep(pause)


def blow_redis_flush(site, chance):
    site.redis.flush()


def blow_redis(site, chance):
    site.redis.kill()
    time.sleep(chance.uniform(0, 1))
    site.redis.start()


BLOWS = [blow_worker, blow_worker, blow_cell, blow_cell, blow_zygote, blow_stem, blow_host, blow_polite_end]
BLOWS_POSTGRES = BLOWS + [blow_frozen_worker, blow_connections, blow_connections, blow_postgres, blow_postgres_frozen, blow_redis_flush, blow_redis]


# -- the storm --------------------------------------------------------------------------------------------------------

def start_runs(site, chance, oracle, count, until, started, faults):
    """Runs at random moments of the storm, each accepted once however often it is asked for (one key, any host)."""
    try:
        for i in range(count):
            steps = steps_of(chance, oracle, "r%d" % i)
            headers = {"Idempotency-Key": "storm-%d" % i}
            for _ in range(chance.choice([1, 1, 1, 2])):      # now and then a client asks again although it was answered
                answer = site.persist(chance, "POST", "/v1/agents/storm/program", {"steps": steps}, headers)
                started.setdefault(i, answer["run"])
                equal(answer["run"], started[i], "the same key gave two runs")
            time.sleep(max(0, (until - time.monotonic()) / (count - i) * chance.uniform(0, 1.5)))
    except Exception as fault:      # told by the thread that waits for us
        faults.append(fault)


def all_ended(site, chance):
    left = 0
    for status in ("queued", "running", "waiting"):
        left += len(site.persist(chance, "GET", "/v1/runs?limit=200&status=" + status)["items"])
    return left == 0


def records(site, chance, kind):
    found, cursor = {}, ""
    while cursor is not None:
        page = site.persist(chance, "GET", "/v1/records/%s?limit=200%s" % (kind, cursor and "&cursor=" + cursor))
        found.update((item["id"], item) for item in page["items"])
        cursor = page["next_cursor"]
    return found


def heard(site, chance, oracle):
    return len(records(site, chance, "mark")) == len(oracle.marks)


def wait_for(what, seconds, text):
    until = time.monotonic() + seconds
    while not what():
        true(time.monotonic() < until, text() if callable(text) else text)
        time.sleep(0.1)


def unfinished(site, chance):
    items = [run for status in ("queued", "running", "waiting") for run in
             site.persist(chance, "GET", "/v1/runs?limit=20&status=" + status)["items"]]
    said = "".join(line for host in site.hosts for line in host.said[-15:])
    rows = "" if not site.postgres else "runs %r\nwaits %r\nworkers %r\nhand-offs %r\n" % tuple(site.postgres.sql(sql, site.store) for sql in (
        "SELECT id, status, owner, fence, wake_at, journal_length, chain, parent FROM perigee.runs WHERE ended_at IS NULL LIMIT 10",
        "SELECT w.*, (SELECT string_agg(c.status, ',') FROM perigee.runs c WHERE c.id = w.name OR c.chain = w.name) FROM perigee.waits w LIMIT 10",
        "SELECT * FROM perigee.workers", "SELECT * FROM perigee.handoffs WHERE status = 'started' LIMIT 10"))
    return "%d or more runs have not ended: %r\n%s%s" % (len(items), [(r["id"], r["status"], r["capability"]) for r in items[:5]], rows, said)


def check_end(site, chance, oracle, started):
    wait_for(lambda: all_ended(site, chance), SETTLE_SECONDS, lambda: unfinished(site, chance))
    for i, run in started.items():
        got = site.persist(chance, "GET", "/v1/runs/" + run)
        equal(got["status"], "succeeded", "run %d: %r" % (i, got.get("error")))
    wait_for(lambda: heard(site, chance, oracle), 30, lambda: "marks that are missing: %r" % sorted(oracle.marks - set(records(site, chance, "mark")))[:10])
    equal(set(records(site, chance, "mark")), oracle.marks, "marks")
    for name, mark in records(site, chance, "mark").items():
        equal(mark["version"], 1, "mark %s was written again" % name)
    failed = {run["capability"] for run in site.persist(chance, "GET", "/v1/runs?limit=200&status=failed")["items"]}
    true(failed <= {"fails"}, "runs failed: %r" % failed)
    equal([id for id in oracle.requests if site.upstream.done[id] != 1], [], "requests that took effect more or less than once")
    equal(set(site.upstream.done), oracle.requests, "requests")
    got = {key: record["body"]["n"] for key, record in records(site, chance, "counter").items()}
    equal({key: got.get(key, 0) for key in COUNTERS}, oracle.counters, "counters")


def storm(kind):
    seed = int(GIVEN["seed"])
    chance, blows, started, faults = random.Random(seed), random.Random(seed + 1), {}, []
    site = Site(kind)
    oracle = Oracle(site.upstream.origin)
    try:
        until = time.monotonic() + float(GIVEN["seconds"])
        client = threading.Thread(target=start_runs, args=(site, chance, oracle, int(GIVEN["runs"]), until, started, faults), daemon=True)
        client.start()
        count = 0
        while time.monotonic() < until:
            time.sleep(blows.uniform(0.1, 1.0))
            blow = blows.choice(BLOWS_POSTGRES if site.postgres else BLOWS)
            say(kind, "%.1f s left:" % (until - time.monotonic()), blow.__name__)
            blow(site, blows)
            count += 1
        client.join(SETTLE_SECONDS)
        if faults:
            raise faults[0]
        true(not client.is_alive(), "not every run was accepted in time")
        began = time.monotonic()
        check_end(site, random.Random(seed + 2), oracle, started)
        say(kind, "%d runs, %d blows, %d marks; settled in %.1f s" % (len(started), count, len(oracle.marks), time.monotonic() - began))
    except Exception:
        say("".join(line for host in site.hosts for line in host.said[-60:]))
        raise
    finally:
        site.close()


if "sqlite" in GIVEN["stores"]:
    @test
    def everything_counts_once_on_sqlite():
        storm("sqlite")


if "postgres" in GIVEN["stores"]:
    @test
    def everything_counts_once_on_postgres():
        storm("postgres")


if __name__ == "__main__":
    sys.argv = sys.argv[:1]
    main()
