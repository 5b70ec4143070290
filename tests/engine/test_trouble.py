#!/usr/bin/env python3
"""What goes wrong around runs: tasks beside a wait, signals at the last moment, stems and zygotes that die, stores that fail for a while."""
import glob, os, shutil, signal, subprocess, sys, tempfile, threading, time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "http"))
import harness
from harness import Host, equal, holds, main, matches, problem, test, true

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(HERE, "root")
MANY = "return { lease = '3s', cell = { memory = '16MiB', cpu = '150ms', wall = '1s', resident = %d }, limits = { runs_per_tenant = %d } }"


class Trouble(Host):
    def run(self, capability, body, wait=20, agent="trouble"):
        answer = self.post("/v1/agents/%s/%s" % (agent, capability), body, headers={"Prefer": "wait=%d" % wait})
        true(answer.status == 200, "%s.%s: %r" % (agent, capability, answer))
        return answer.json

    def start(self, capability, body, agent="trouble"):
        answer = self.post("/v1/agents/%s/%s" % (agent, capability), body)
        true(answer.status == 202, "%s.%s: %r" % (agent, capability, answer))
        return answer.json["run"]

    def kill(self):
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def database(self):
        return harness.open_database(self.store, "example")

    def value(self, sql, *params):
        with self.database() as db:
            return db.execute(sql, params).fetchone()[0]

    def change(self, sql):
        with self.database() as db:
            db.administer(sql)

    def until(self, what, wanted, seconds=10):
        end = time.monotonic() + seconds
        while True:
            got = what()
            if got == wanted:
                return
            true(time.monotonic() < end, "still %r, wanted %r" % (got, wanted))
            time.sleep(0.02)

    def waits(self, run):
        return self.value("SELECT count(*) FROM waits WHERE run = ?", run)

    def status(self, run):
        return self.get("/v1/runs/" + run).json["status"]

    def say(self, run, name, payload):
        answer = self.post("/v1/runs/%s/signals/%s" % (run, harness.quote(name)), payload)
        true(answer.status in (200, 202), answer)

    def metric(self, name):
        for line in self.get("/metrics").body.decode().splitlines():
            if line.startswith(name + " "):
                return float(line.split()[1])
        return 0.0

    def processes(self, name):
        """Of this host: perigee-stem, perigee-cell (the zygote) …, by their command name."""
        below = harness.children_of(self.process.pid)
        for pid in below: # grows while it is walked: the whole tree
            below += harness.children_of(pid)
        return [pid for pid in below if harness.command_of(pid) == name]

    def cpu_seconds(self):
        """Processor time of the host's worker and of everything below it that still lives."""
        total = 0.0
        for pid in self.processes("perigee") + self.processes("perigee-zygote") + self.processes("perigee-stem"):
            try:
                fields = open("/proc/%d/stat" % pid).read().rsplit(")", 1)[1].split()
                total += sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
            except OSError:
                pass
        return total


host = Trouble(root=ROOT, config=MANY % (2, 400))


def call(capability, body, **more):
    return host.run(capability, body, agent="trouble", **more)


def start(capability, body):
    return host.start(capability, body, agent="trouble")


# -- tasks beside a wait --

@test
def work_beside_a_long_wait_is_done_at_once():
    run = start("beside", {"id": "long", "rounds": 3000000, "ms": 3600000})
    host.until(lambda: host.get("/v1/records/note/long").status, 200, 5)
    host.say(run, "go", "now")
    equal(host.wait_run(run, "succeeded", "failed")["output"], {"woke": "now"})


@test
def work_beside_a_wait_goes_on_after_a_kill():
    run = start("beside", {"id": "killed", "rounds": 4000000, "ms": 3600000})
    host.until(lambda: host.waits(run), 1)
    host.kill()
    equal(host.value("SELECT count(*) FROM records WHERE id = 'killed'"), 0, "too late for this test")
    host.start_host()
    host.until(lambda: host.get("/v1/records/note/killed").status, 200, 12)
    host.say(run, "go", "later")
    equal(host.wait_run(run, "succeeded", "failed")["output"], {"woke": "later"})


@test
def a_run_whose_other_tasks_are_over_rests():
    run = start("idle_beside", {"nap": 30})
    host.until(lambda: host.value("SELECT count(*) FROM journal WHERE run = ?", run) >= 1, True)
    host.until(lambda: host.status(run), "waiting", 5)
    more = [start("idle_beside", {"nap": 30}) for _ in range(8)]
    for other in more:
        host.until(lambda: host.status(other), "waiting", 5)
    host.until(lambda: host.metric("perigee_cells") <= 2, True, 5)
    for other in [run] + more:
        host.say(other, "go", 1)
        equal(host.wait_run(other, "succeeded", "failed")["status"], "succeeded")


@test
def runs_that_wait_again_after_a_replay_do_not_fill_the_host():
    runs = [start("two_waits", {}) for _ in range(300)]
    host.until(lambda: host.value("SELECT count(*) FROM waits"), 600, 20)
    for run in runs:
        host.say(run, "a", 1)
    host.until(lambda: host.value("SELECT count(*) FROM waits"), 300, 20)
    equal(host.run("echo", {"text": "x"}, agent="engine", wait=5)["status"], "succeeded")
    for run in runs:
        host.say(run, "b", 1)
    for run in runs:
        equal(host.wait_run(run, "succeeded", "failed")["status"], "succeeded")


@test
def one_signal_wakes_one_of_many_waiting_tasks():
    run = start("one_of_many", {"tasks": 300})
    host.until(lambda: host.waits(run), 300, 20)
    for n in range(300):
        host.say(run, "same", n)
    equal(host.wait_run(run, "succeeded", "failed", seconds=30)["output"], {"got": 300})


@test
def each_of_many_waiting_tasks_hears_a_signal_that_came_in_time_or_its_deadline():
    run = start("many_until", {"tasks": 60, "ms": 3000})
    host.until(lambda: host.waits(run), 60, 20)
    for n in range(25):
        host.say(run, "same", n)
    equal(host.wait_run(run, "succeeded", "failed", seconds=30)["output"], {"got": 25, "late": 35})
    equal(host.value("SELECT count(*) FROM signals WHERE run = ? AND consumed_by IS NULL", run), 0)


# -- signals, timers, children --

@test
def a_signal_that_is_there_is_heard_with_no_time_to_wait():
    for n in range(10):
        run = start("poll", {"signal": "early", "ms": 0})
        host.say(run, "early", n)
        host.say(run, "begin", n)
        equal(host.wait_run(run, "succeeded", "failed")["output"], {"heard": True})


@test
def a_long_signal_name_in_any_script_is_heard():
    name = "ж" * 100
    run = start("hear", {"signal": name})
    host.until(lambda: host.waits(run), 1)
    call("tell", {"run": run, "signal": name})
    equal(host.wait_run(run, "succeeded", "failed", seconds=5)["output"], {"heard": "yes"})


@test
def sleeping_until_the_past_and_until_2100():
    equal(call("past", {})["output"], {"ok": True})
    run = start("far", {})
    host.until(lambda: host.status(run), "waiting")
    true(host.value("SELECT wake_at FROM runs WHERE id = ?", run) == 4102444800000000, "wake_at")
    equal(host.post("/v1/runs/%s/cancel" % run).status, 200)


@test
def a_run_cannot_wait_for_itself_or_who_waits_for_it():
    ended = call("narcissus", {}, wait=5)
    equal((ended["status"], (ended["error"] or {}).get("code")), ("failed", "run.cycle"))
    ended = call("oedipus", {}, wait=5)
    equal(ended["output"], {"code": "run.cycle"})


@test
def spawning_without_end_meets_the_limit():
    ended = call("rabbits", {})
    for (child,) in host.database().execute("SELECT id FROM runs WHERE parent = ?", (ended["id"],)).fetchall():
        host.post("/v1/runs/%s/cancel" % child)
    equal(ended["status"], "failed")
    matches(ended["error"]["message"], "unfinished runs")


# -- growth --

@test
def reads_without_end_reach_the_disk_on_the_way():
    run = start("reads", {"times": 3000})
    host.until(lambda: host.waits(run), 1, 20)
    equal(host.value("SELECT count(*) FROM journal WHERE run = ?", run), 3000)
    host.say(run, "enough", 1)
    equal(host.wait_run(run, "succeeded", "failed")["status"], "succeeded")


@test
def a_journal_that_no_replay_could_take_fails_by_name():
    ended = call("reads", {"times": 200, "size": 500000}, wait=30)
    equal((ended["status"], (ended["error"] or {}).get("code")), ("failed", "budget.journal"))


@test
def made_up_effects_make_no_metrics():
    equal(call("names", {"times": 20})["output"], {"n": 20})
    true("made.up1" not in host.get("/metrics").body.decode(), "a label per made-up name")


@test
def a_flood_of_logs_harms_only_its_run():
    ended = call("flood", {"times": 200000}, wait=30)
    true(ended["status"] in ("succeeded", "failed"), ended)
    equal(call("past", {}, wait=5)["output"], {"ok": True})


@test
def computing_runs_share_the_processor_without_blame():
    runs = [start("burn", {"id": "burn-%d" % n, "rounds": 2500000}) for n in range(120)]
    for run in runs:
        ended = host.wait_run(run, "succeeded", "failed", seconds=60)
        equal(ended["status"], "succeeded", str(ended["error"]))


# -- processes that die --

@test
def stems_and_zygotes_die_under_load_and_every_run_goes_on():
    stop = threading.Event()
    killed = [0]

    def killer():
        turn = 0
        while not stop.is_set():
            for pid in host.processes("perigee-stem" if turn % 5 else "perigee-zygote"):
                try:
                    os.kill(pid, signal.SIGKILL)
                    killed[0] += 1
                except OSError:
                    pass
            turn += 1
            time.sleep(0.05)

    thread = threading.Thread(target=killer)
    thread.start()
    try:
        runs = [start("steps", {"id": "steps-%d" % n, "times": 12}) for n in range(40)]
        time.sleep(4)
    finally:
        stop.set()
        thread.join()
    true(killed[0] >= 3, # after four quick deaths stems come at the pace of the sweep
         "only %d were killed" % killed[0])
    for n, run in enumerate(runs):
        ended = host.wait_run(run, "succeeded", "failed", "stuck", seconds=40)
        equal(ended["status"], "succeeded", str(ended["error"]))
    equal(host.value("SELECT count(*) FROM records WHERE id LIKE 'steps-%' AND version <> 1"), 0, "a write was applied twice")


@test
def a_cell_that_is_killed_now_and_then_fails_no_run_that_gets_on():
    run = start("stages", {"id": "struck", "times": 4})
    for n in range(1, 5):
        host.until(lambda: host.get("/v1/records/note/struck-%d" % n).status, 200, 10)
        host.until(lambda: host.status(run), "waiting", 10)
        for stem in host.processes("perigee-stem"):
            for cell in harness.children_of(stem):
                os.kill(cell, signal.SIGKILL)
        host.say(run, "on", n)
    ended = host.wait_run(run, "succeeded", "failed")
    equal((ended["status"], ended["output"]), ("succeeded", {"n": 4}), str(ended["error"]))


@test
def a_cell_that_is_killed_while_it_only_waits_is_no_fault_of_its_script():
    run = start("stages", {"id": "resting", "times": 1})
    killed = set()
    host.until(lambda: host.get("/v1/records/note/resting-1").status, 200, 10)
    until = time.monotonic() + 20
    while len(killed) < 4:                      # two strikes with no outcome in between would fail it
        host.until(lambda: host.status(run), "waiting", 10)
        time.sleep(0.4)                         # blocked for longer than the host takes to see it
        cells = {cell for stem in host.processes("perigee-stem") for cell in harness.children_of(stem)} - killed
        for cell in cells:
            os.kill(cell, signal.SIGKILL)
        killed |= cells
        true(time.monotonic() < until, "no further cell: it is %s" % host.status(run))
    host.say(run, "on", 1)
    ended = host.wait_run(run, "succeeded", "failed")
    equal((ended["status"], ended["output"]), ("succeeded", {"n": 1}), str(ended["error"]))


@test
def a_cell_program_that_is_gone_costs_nothing_and_is_waited_for():
    folder = tempfile.mkdtemp(prefix="perigee-program-")
    for name in ("perigee", "perigee-cell"):
        shutil.copy2(os.path.join(harness.BUILD, name), folder)
    before, harness.PROGRAM = harness.PROGRAM, os.path.join(folder, "perigee")
    other = Trouble(root=ROOT, config=MANY % (2, 400))
    harness.PROGRAM = before
    try:
        run = other.start("two_waits", {}, agent="trouble")
        other.until(lambda: other.waits(run), 2)
        cell = os.path.join(folder, "perigee-cell")
        os.rename(cell, cell + ".away")
        with open(cell, "w") as f:
            f.write("#!/bin/false\n")
        os.chmod(cell, 0o755)
        zygotes = other.processes("perigee-zygote")
        true(zygotes, "no zygote")
        for pid in zygotes:
            os.kill(pid, signal.SIGKILL)
        other.say(run, "a", 1)
        time.sleep(1)
        began, children = other.cpu_seconds(), resource_children(other)
        time.sleep(2)
        true(other.cpu_seconds() - began + resource_children(other) - children < 0.5, "a hot loop")
        equal(other.get("/health").status, 200)
        os.remove(cell)
        os.rename(cell + ".away", cell)
        other.say(run, "b", 1)
        equal(other.wait_run(run, "succeeded", "failed", seconds=15)["status"], "succeeded")
    except Exception:
        print('#   ' + '#   '.join(other.said[-30:]))
        raise
    finally:
        other.stop()
        shutil.rmtree(folder, ignore_errors=True)


def resource_children(of):
    """Processor time of children that the worker has reaped."""
    total = 0.0
    for pid in of.processes("perigee"):
        fields = open("/proc/%d/stat" % pid).read().rsplit(")", 1)[1].split()
        total += sum(map(int, fields[13:15])) / os.sysconf("SC_CLK_TCK")
    return total


@test
def few_descriptors_delay_runs_and_fail_none():
    worker = [pid for pid in host.processes("perigee") if pid != host.process.pid][0]
    open_now = len(os.listdir("/proc/%d/fd" % worker))
    before = subprocess.run(["prlimit", "--nofile", "-p", str(worker), "--raw", "--noheadings", "-o", "SOFT"], capture_output=True, text=True).stdout
    runs = []
    subprocess.run(["prlimit", "--nofile=%d:" % (open_now + 8), "-p", str(worker)], check=True)
    try:
        for n in range(20):
            runs.append(start("steps", {"id": "few-%d" % n, "times": 3}))
        time.sleep(1)
    finally:
        subprocess.run(["prlimit", "--nofile=%s:" % before.strip(), "-p", str(worker)], check=True)
    for run in runs:
        ended = host.wait_run(run, "succeeded", "failed", seconds=20)
        equal(ended["status"], "succeeded", str(ended["error"]))


# -- a store that fails for a while --

@test
def a_store_that_fails_parks_runs_and_their_watchers_see_the_end():
    runs = [start("steps", {"id": "parked-%d" % n, "times": 30}) for n in range(6)]
    events, seen = harness.Events(host, "/v1/runs/%s/events" % runs[0]), []

    def follow():
        for kind, _, data in events:
            seen.append((kind, data.get("status")))

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    time.sleep(0.05)
    host.change("ALTER TABLE journal RENAME TO journal_away")
    time.sleep(0.3)
    host.change("ALTER TABLE journal_away RENAME TO journal")
    for run in runs:
        ended = host.wait_run(run, "succeeded", "failed", "stuck", seconds=30)
        equal(ended["status"], "succeeded", str(ended["error"]))
    thread.join(5)
    true(("status", "succeeded") in seen, "the watcher heard %r" % seen[-3:])
    events.close()


@test
def a_look_that_fails_is_taken_again():
    run = start("hear", {"signal": "x"})
    host.until(lambda: host.status(run), "waiting")
    host.database().insert("signals", ["seq", "id", "run", "name", "payload", "at"], [(-1, "by hand", run, "x", "5", 1)])
    host.change("ALTER TABLE signals RENAME COLUMN consumed_by TO consumed_away")
    host.post("/v1/runs/%s/signals/x" % run, 6)
    time.sleep(0.3)
    host.change("ALTER TABLE signals RENAME COLUMN consumed_away TO consumed_by")
    equal(host.wait_run(run, "succeeded", "failed", seconds=10)["output"], {"heard": 5})


# -- the end of the host --

@test
def a_drain_is_quick_though_a_wait_ends_meanwhile():
    runs = [start("idle_beside", {"nap": 600}) for _ in range(10)]
    for run in runs:
        host.until(lambda: host.waits(run), 2)
    began = time.monotonic()
    host.process.send_signal(signal.SIGTERM)
    equal(host.process.wait(30), 0)
    took = time.monotonic() - began
    host.start_host()
    true(took < 5, "%.1f s" % took)
    for run in runs:
        host.say(run, "go", 1)
        equal(host.wait_run(run, "succeeded", "failed")["status"], "succeeded")


@test
def nothing_is_left_when_all_have_ended():
    for (run,) in host.database().execute("SELECT id FROM runs WHERE ended_at IS NULL").fetchall():
        host.post("/v1/runs/%s/cancel" % run)
    host.until(lambda: host.value("SELECT count(*) FROM runs WHERE ended_at IS NULL"), 0)
    host.until(lambda: (host.metric("perigee_cells"), host.metric("perigee_runs_active"), host.metric("perigee_runs_waiting")), (0, 0, 0), 5)


if __name__ == "__main__":
    main(host)
