#!/usr/bin/env python3
"""Schedules: rows made by the bundle, one firing per slot on several workers, what was missed, what overlaps, the alarm, operators."""
import json, os, shutil, signal, subprocess, sys, tempfile, time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "http"))
from harness import Host, PROGRAM, die_with_us, equal, holds, main, matches, open_database, problem, test, true

AGENT = '''
local agent = require "perigee.agent"
local records = require "perigee.records"
local run = require "perigee.run"
local time = require "perigee.time"

return agent "clock" {
  kinds = { tick = {}, heard = {} },
  capabilities = {
    tick = { input = { n = "integer?" }, run = function(input)
      records.put("tick", run.id, { n = input.n or 0 })
    end },
    lazy = { run = function() records.get("tick", "none") end },
    long = { run = function() time.sleep(1000 * 60) end },
    brief = { run = function() time.sleep(2500) records.put("tick", run.id, { n = 9 }) end },
    hear = { input = "any", run = function(input) records.put("heard", input.schedule, input) end },
  },
  on = { ["perigee.schedule.idle"] = "hear" },
  schedule = {
    --SCHEDULE
  },
}
'''


class Clock(Host):
    def __init__(self, schedule, words=()):
        self.top = tempfile.mkdtemp(prefix="perigee-schedules-")
        os.makedirs(os.path.join(self.top, "scripts", "agents"))
        self.declare(schedule)
        super().__init__(root=self.top, words=words)

    def declare(self, schedule):
        path = os.path.join(self.top, "scripts", "agents", "clock.lua")
        with open(path + ".new", "w") as f:
            f.write(AGENT.replace("--SCHEDULE", schedule))
        os.rename(path + ".new", path)

    def stop(self, how=signal.SIGTERM):
        super().stop(how)
        shutil.rmtree(self.top, ignore_errors=True)

    def kill(self):
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def database(self):
        return open_database(self.store, "example")

    def rows(self, sql, *values):
        with self.database() as db:
            return db.execute(sql, values).fetchall()

    def schedule(self, name):
        answer = until("rows of the bundle, just after it went live", lambda: self.get("/v1/schedules").json["items"] and self.get("/v1/schedules/clock." + name))
        equal(answer.status, 200, answer)
        return answer.json


def until(what, check, seconds=20):
    end = time.monotonic() + seconds
    while True:
        value = check()
        if value:
            return value
        true(time.monotonic() < end, "not in %d s: %s" % (seconds, what))
        time.sleep(0.05)


def with_clock(schedule, words=()):
    def wrap(function):
        def body():
            host = Clock(schedule, words)
            try:
                function(host)
            finally:
                host.stop()
        body.__name__ = function.__name__
        return test(body)
    return wrap


@with_clock('{ name = "often", every = "1 second", capability = "tick", input = { n = 7 } },\n{ cron = "0 7 * * mon-fri", zone = "Europe/Berlin", capability = "lazy" }')
def a_slot_fires_once_on_two_hosts_and_in_its_second(host):
    other = subprocess.Popen([PROGRAM, "dev", "--root", host.root, "--store", host.store, "--listen", "127.0.0.1:0"], stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL, env=host.environment, cwd=host.folder, start_new_session=True, preexec_fn=die_with_us)
    try:
        fires_once(host)
    finally:
        os.killpg(other.pid, signal.SIGKILL)
        other.wait()


def fires_once(host):
    until("five slots", lambda: len(host.rows("SELECT 1 FROM schedule_slots WHERE status = 'started'")) >= 5)
    slots = host.rows("SELECT s.slot, s.at, r.id, r.created_at, r.input FROM schedule_slots s JOIN runs r ON r.id = s.run ORDER BY s.slot")
    for slot, at, run, created, given in slots:
        equal(slot % 1000000, 0)
        true(0 <= created - slot // 1000 * 1000 < 1000000 and at >= slot, "slot %d fired at %d" % (slot, at))
        equal(json.loads(given), {"n": 7})
    events = host.rows("SELECT event, count(*) FROM runs WHERE event LIKE 'schedule:%' GROUP BY event")
    true(events and all(count == 1 for _, count in events), events)
    for before, after in zip(slots, slots[1:]):
        equal(after[0] - before[0], 1000000, "a slot between was left out")
    listed = {s["id"]: s for s in host.get("/v1/schedules").json["items"]}
    equal(sorted(listed), ["clock.lazy.1", "clock.tick.often"])
    holds(listed["clock.lazy.1"], cron="0 7 * * mon-fri", zone="Europe/Berlin", status="active", catch_up="last", overlap="skip", alarm=3)
    matches(listed["clock.lazy.1"]["next_at"], r"T0[56]:00:00\.000Z$")
    said = json.loads(host.perigee("schedules", "list", "--json"))
    equal(sorted(s["id"] for s in said["items"]), sorted(listed))


@with_clock('{ name = "a", every = "1 second", capability = "tick" }')
def pause_resume_and_fire_do_what_they_say(host):
    until("a slot", lambda: host.schedule("tick.a")["last_run"])
    equal(host.post("/v1/schedules/clock.tick.a/pause", {}).json["status"], "paused")
    time.sleep(0.3)
    last = host.schedule("tick.a")["last_slot"]
    time.sleep(1.6)
    holds(host.schedule("tick.a"), last_slot=last, next_at=None, status="paused")
    answer = host.post("/v1/schedules/clock.tick.a/fire", {})
    equal(answer.status, 202, answer)
    until("it fires though it is paused", lambda: host.schedule("tick.a")["last_slot"] != last, 3)
    holds(host.schedule("tick.a"), status="paused", next_at=None, asked_at=None)
    matches(host.perigee("schedules", "resume", "clock.tick.a"), "active")
    fired = host.schedule("tick.a")["last_slot"]
    until("it fires again", lambda: host.schedule("tick.a")["last_slot"] > fired, 8)
    matches(host.perigee("schedules", "pause", "clock.tick.a"), "paused")
    before = len(host.rows("SELECT 1 FROM schedule_slots"))
    host.perigee("schedules", "fire", "clock.tick.a")
    until("what the command line asked for", lambda: len(host.rows("SELECT 1 FROM schedule_slots")) > before, 8)
    problem(host.post("/v1/schedules/clock.tick.b/fire", {}), 404)
    problem(host.get("/v1/schedules/clock.tick.b"), 404)


@with_clock('{ name = "a", every = "1h", capability = "tick" },\n{ name = "b", every = "2h", capability = "tick" }')
def rows_follow_what_the_scripts_declare(host):
    before = host.schedule("tick.a")
    host.post("/v1/schedules/clock.tick.b/pause", {})
    host.declare('{ name = "a", every = "1h", capability = "tick", input = { n = 2 } },\n{ name = "c", every = "day 03:00", capability = "tick" }')
    until("b is gone", lambda: host.schedule("tick.b")["status"] == "removed")
    holds(host.schedule("tick.a"), next_at=before["next_at"], input={"n": 2}, status="active")
    equal(host.schedule("tick.c")["status"], "active")
    problem(host.post("/v1/schedules/clock.tick.b/fire", {}), 409)
    host.declare('{ name = "b", every = "2h", capability = "tick" }')
    until("b is back", lambda: host.schedule("tick.b")["status"] == "active")
    equal(host.schedule("tick.a")["status"], "removed")


@with_clock('{ every = "1 second", capability = "lazy", alarm = 3 },\n{ every = "1 second", capability = "tick", alarm = 3 }')
def slots_that_do_nothing_raise_an_alarm(host):
    heard = until("the alarm", lambda: host.get("/v1/records/heard/clock.lazy.1").status == 200 and host.get("/v1/records/heard/clock.lazy.1").json["body"])
    holds(heard, schedule="clock.lazy.1", agent="clock", capability="lazy", slots=3)
    equal(host.get("/v1/records/heard/clock.tick.1").status, 404)
    matches(host.get("/metrics").body.decode(), r'perigee_schedule_idle_total\{agent="clock",capability="lazy"\} [1-9]')
    true(host.schedule("lazy.1")["idle"] >= 3)
    equal(host.schedule("tick.1")["idle"], 0)
    slots = host.schedule("lazy.1")["slots"]
    true(any(s["worked"] is False for s in slots), slots)
    true(any(s["worked"] is True for s in host.schedule("tick.1")["slots"]))
    events = host.rows("SELECT count(*) FROM events WHERE type = 'perigee.schedule.idle' AND subject = 'clock.lazy.1'")
    true(events[0][0] <= len(slots) // 3 + 1, "an alarm for each slot")


MISSED = '''{ name = "none", every = "1h", capability = "tick", catch_up = "none", input = { n = 1 } },
{ name = "last", every = "1h", capability = "tick", input = { n = 2 } },
{ name = "all", every = "1h", capability = "tick", catch_up = "all", overlap = "queue", input = { n = 3 } }'''


@with_clock(MISSED)
def slots_missed_while_no_host_ran_are_made_up_for_as_declared(host):
    host.schedule("tick.all")
    host.kill()
    hour = 3600 * 1000000
    now = time.time_ns() // 1000
    if now % hour < 40 * 1000000:   # the last slot would be none that was missed
        time.sleep(41 - now % hour / 1000000)
        now = time.time_ns() // 1000
    first = now // hour * hour - 4 * hour
    with host.database() as db:
        db.execute("UPDATE schedules SET next_at = ?, due_at = ?", (first, first))
    host.start_host()
    counts = lambda n: host.rows("SELECT count(*) FROM records WHERE kind = 'tick' AND body = ?", '{"n":%d}' % n)[0][0]
    until("all five slots", lambda: counts(3) == 5)
    until("the last one", lambda: counts(2) == 1)
    equal(host.rows("SELECT slot, status FROM schedule_slots WHERE schedule = 'clock.tick.none'"), [(first + 4 * hour, "missed")])
    equal(host.rows("SELECT slot FROM schedule_slots WHERE schedule = 'clock.tick.last'"), [(first + 4 * hour,)])
    equal([s for s, in host.rows("SELECT slot FROM schedule_slots WHERE schedule = 'clock.tick.all' ORDER BY slot")], [first + i * hour for i in range(5)])
    equal(counts(1), 0)
    for name in ("none", "last", "all"):
        equal(host.rows("SELECT next_at FROM schedules WHERE name = ?", name)[0][0], first + 5 * hour)


@with_clock('{ name = "skip", every = "1 second", capability = "long" },\n{ name = "queue", every = "1 second", capability = "brief", overlap = "queue" }')
def a_slot_that_comes_while_the_run_before_is_at_work_is_skipped_or_waits(host):
    until("three are skipped", lambda: len(host.rows("SELECT 1 FROM schedule_slots WHERE schedule = 'clock.long.skip' AND status = 'skipped'")) >= 3)
    equal(len(host.rows("SELECT 1 FROM runs WHERE capability = 'long'")), 1)
    until("three in a row", lambda: len(host.rows("SELECT 1 FROM runs WHERE capability = 'brief' AND status = 'succeeded'")) >= 3, 30)
    runs = host.rows("SELECT started_at, ended_at FROM runs WHERE capability = 'brief' ORDER BY created_at")
    for before, after in zip(runs, runs[1:]):
        true(after[0] is None or before[1] <= after[0], "two at once")
    equal(host.rows("SELECT count(*) FROM schedule_slots WHERE schedule = 'clock.brief.queue' AND status = 'skipped'")[0][0], 0)


@test
def a_schedule_that_cannot_be_is_refused_with_its_place():
    folder = tempfile.mkdtemp(prefix="perigee-schedules-")
    os.makedirs(os.path.join(folder, "scripts", "agents"))
    for schedule, text in [('{ every = "noon", capability = "tick" }', r"schedule\[1\]\.every: must be"),
                           ('{ cron = "0 25 * * *", capability = "tick" }', r'schedule\[1\]\.cron: hour "25"'),
                           ('{ every = "day 07:00", zone = "Mars/Olympus", capability = "tick" }', r'schedule\[1\]: no time zone "Mars/Olympus"'),
                           ('{ cron = "0 0 30 2 *", capability = "tick" }', r"schedule\[1\]: this never happens")]:
        with open(os.path.join(folder, "scripts", "agents", "clock.lua"), "w") as f:
            f.write(AGENT.replace("--SCHEDULE", schedule))
        done = subprocess.run([PROGRAM, "check", "--root", folder], capture_output=True, text=True)
        equal(done.returncode, 1, done.stdout + done.stderr)
        matches(done.stdout + done.stderr, r"scripts/agents/clock\.lua:\d+: .*" + text)
    shutil.rmtree(folder)


main()
