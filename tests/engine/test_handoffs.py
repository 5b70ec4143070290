#!/usr/bin/env python3
"""Hand-offs between agents: typed, correlated, idempotent, checked at both ends; dead letters and their replay."""
import json, os, shutil, signal, sys, tempfile, time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "http"))
from harness import Host, UNKNOWN, equal, holds, main, matches, problem, test, true

SALES = '''
local agent = require "perigee.agent"
local handoff = require "perigee.handoff"
local run = require "perigee.run"

local function try(what, timeout)
  local ok, sent = pcall(handoff.send, what)
  if not ok then return { code = sent.code, handoff = sent.handoff } end
  local fine, reply = pcall(function() return sent:wait(timeout) end)
  return { handoff = sent.id, run = sent.run, agent = sent.agent, reply = fine and reply or nil, code = not fine and reply.code or nil }
end

return agent "sales" {
  capabilities = {
    send = { input = { what = "any", timeout = "integer?" }, output = "any", run = function(input) return try(input.what, input.timeout) end },
    price = { input = { n = "integer" }, output = "any", run = function(input) return { price = input.n * 10 } end },
    dig = { input = { n = "integer" }, output = "any", run = function(input)
      local got = try({ type = "dig", version = 1, to = "sales", payload = { n = input.n + 1 } })
      return { code = got.code or got.reply and got.reply.code, n = got.reply and got.reply.n or input.n }
    end },
  },
  accepts = {
    ["price.asked"] = { version = 1, capability = "price", schema = { n = "integer" } },
    ["dig"] = { version = 1, capability = "dig", schema = { n = "integer" } },
  },
}
'''
BUILD = '''
local agent = require "perigee.agent"
local handoff = require "perigee.handoff"
local run = require "perigee.run"

return agent "build" {
  --BACKUP
  capabilities = {
    plan = { input = { deal = "string", n = "integer" }, output = "any", run = function(input)
      if input.n == 13 then error("thirteen is refused") end
      if input.n == 14 then return { wrong = true } end
      if input.n == 15 then run.await("never") end
      local price = handoff.send { type = "price.asked", version = 1, to = "sales", payload = { n = input.n } }:wait()
      return { days = input.n, price = price.price }
    end },
  },
  accepts = {
    ["deal.won"] = { version = 2, capability = "plan", schema = { deal = "string", n = "integer" }, reply = { days = "integer", price = "integer" } },
  },
}
'''
SPARE = '''
local agent = require "perigee.agent"
return agent "spare" {
  capabilities = { plan = { input = { deal = "string", n = "integer" }, output = "any", run = function() return { days = 99, price = 1 } end } },
  accepts = { ["deal.lost"] = { version = 1, capability = "plan", schema = { deal = "string", n = "integer" } } },
}
'''


class Agents(Host):
    def __init__(self):
        self.top = tempfile.mkdtemp(prefix="perigee-handoffs-")
        os.makedirs(os.path.join(self.top, "scripts", "agents"))
        for name, text in (("sales", SALES), ("build", BUILD.replace("--BACKUP", 'backup = "spare",')), ("spare", SPARE)):
            self.write(name, text)
        super().__init__(root=self.top)

    def write(self, name, text):
        path = os.path.join(self.top, "scripts", "agents", name + ".lua")
        with open(path + ".new", "w") as f:
            f.write(text)
        os.rename(path + ".new", path)

    def stop(self, how=signal.SIGTERM):
        super().stop(how)
        shutil.rmtree(self.top, ignore_errors=True)

    def send(self, _timeout=None, **what):
        body = {"what": what}
        if _timeout is not None:
            body["timeout"] = _timeout
        run = self.run("send", body, agent="sales")
        equal(run["status"], "succeeded", run["error"])
        return run["output"]

    def handoff(self, id, status=None):
        until = time.monotonic() + 10
        while True:
            answer = self.get("/v1/handoffs/" + id)
            equal(answer.status, 200, answer)
            if status is None or answer.json["status"] == status:
                return answer.json
            true(time.monotonic() < until, "%s is %s, not %s" % (id, answer.json["status"], status))
            time.sleep(0.05)


host = Agents()


@test
def a_reply_comes_back_through_an_agent_that_asked_the_sender():
    got = host.send(type="deal.won", version=2, payload={"deal": "d1", "n": 3}, subject="d1")
    equal(got["reply"], {"days": 3, "price": 30})
    first = host.handoff(got["handoff"], "done")
    holds(first, sender="sales", receiver="build", capability="plan", type="deal.won", version=2, subject="d1", depth=1, reasons=None, payload={"deal": "d1", "n": 3})
    chain = host.get("/v1/handoffs?correlation=" + first["correlation"]).json["items"]
    equal(sorted((h["sender"], h["receiver"], h["depth"]) for h in chain), [("build", "sales", 2), ("sales", "build", 1)])


@test
def what_nobody_takes_is_an_error_and_a_dead_letter():
    fine = {"deal": "d", "n": 1}
    for what, code in [(dict(type="deal.gone", version=1), "handoff.type"), (dict(type="deal.won", version=1, payload=fine), "handoff.version"),
                       (dict(type="deal.won", version=1, to="build", payload=fine), "handoff.version"),
                       (dict(type="deal.won", version=2, to="nobody", payload=fine), "handoff.receiver"),
                       (dict(type="deal.won", version=2, to="spare", payload=fine), "handoff.type"),
                       (dict(type="deal.won", version=2, payload={"deal": 5, "n": 1}), "handoff.payload")]:
        got = host.send(**what)
        equal(got["code"], code, what)
        dead = host.handoff(got["handoff"], "dead")
        equal(dead["reasons"][0]["code"], code)
        true(dead["reasons"][0]["message"] and dead["run"] is None)
    dead = host.get("/v1/handoffs?status=dead").json["items"]
    equal(len(dead), 6)
    equal(dead[0]["reasons"][0]["errors"][0]["pointer"], "/deal")
    said = json.loads(host.perigee("handoffs", "list", "--status", "dead", "--json"))
    equal([h["id"] for h in said["items"]], [h["id"] for h in dead])
    equal(json.loads(host.perigee("handoffs", "show", dead[0]["id"], "--json"))["id"], dead[0]["id"])


@test
def a_receiver_that_fails_or_replies_off_its_schema_is_a_dead_letter():
    got = host.send(type="deal.won", version=2, payload={"deal": "d", "n": 13})
    equal(got["code"], "script_error")
    matches(str(host.handoff(got["handoff"], "dead")["reasons"]), "thirteen is refused")
    got = host.send(type="deal.won", version=2, payload={"deal": "d", "n": 14})
    equal(got["code"], "handoff.reply")
    matches(str(host.handoff(got["handoff"], "dead")["reasons"][0]["errors"]), "days")


@test
def a_wait_ends_at_its_time_and_a_cancelled_receiver_is_dead():
    got = host.send(300, type="deal.won", version=2, payload={"deal": "d", "n": 15})
    true("reply" not in got and "code" not in got, got)
    equal(host.handoff(got["handoff"])["status"], "started")
    host.post("/v1/runs/%s/cancel" % got["run"], {})
    equal(host.handoff(got["handoff"], "dead")["reasons"][0]["code"], "run.cancelled")


@test
def the_same_key_of_the_same_sender_is_the_same_hand_off():
    what = dict(type="deal.won", version=2, key="won-d7", payload={"deal": "d7", "n": 7})
    first, second = host.send(**what), host.send(**what)
    equal((second["handoff"], second["run"], second["reply"]), (first["handoff"], first["run"], first["reply"]))
    equal(host.send(**dict(what, payload={"deal": "d7", "n": 8}))["code"], "handoff.key_used")
    dead = dict(type="deal.gone", version=1, key="gone-1")
    equal(host.send(**dead)["handoff"], host.send(**dead)["handoff"])


@test
def the_ninth_below_one_another_is_refused_and_dead():
    run = host.run("dig", {"n": 0}, agent="sales")
    equal(run["output"], {"code": "handoff.too_deep", "n": 8})
    dead = [h for h in host.get("/v1/handoffs?status=dead").json["items"] if h["type"] == "dig"]
    equal([h["depth"] for h in dead], [9])


@test
def a_backup_takes_over_where_the_sender_allows_it():
    what = dict(type="deal.lost", version=1, to="build", payload={"deal": "d", "n": 1})
    equal(host.send(**what)["code"], "handoff.type")
    got = host.send(fallback=True, **what)
    equal((got["agent"], got["reply"]["days"]), ("spare", 99))
    os.unlink(os.path.join(host.top, "scripts", "agents", "build.lua"))
    until = time.monotonic() + 10
    while host.get("/v1/agents/build").status == 200:
        true(time.monotonic() < until, "it is still there")
        time.sleep(0.05)
    equal(host.send(**what)["code"], "handoff.receiver")
    equal(host.send(fallback=True, **what)["agent"], "spare")


@test
def a_dead_one_is_checked_again_and_started_when_it_is_replayed():
    got = host.send(type="deal.won", version=2, to="build", payload={"deal": "d", "n": 4})
    equal(got["code"], "handoff.receiver")
    answer = host.post("/v1/handoffs/%s/replay" % got["handoff"], {})
    equal(answer.status, 202, answer)
    until = time.monotonic() + 10
    while host.handoff(got["handoff"])["replays"] == 0:
        true(time.monotonic() < until, "nobody looked")
        time.sleep(0.05)
    equal(host.handoff(got["handoff"])["status"], "dead")
    host.write("build", BUILD)
    until = time.monotonic() + 10
    while host.get("/v1/agents/build").status != 200:
        true(time.monotonic() < until, "it does not come back")
        time.sleep(0.05)
    matches(host.perigee("handoffs", "replay", got["handoff"]), "starts again")
    again = host.handoff(got["handoff"], "done")
    holds(again, replays=2, reasons=None)
    equal(host.get("/v1/runs/" + again["run"]).json["output"], {"days": 4, "price": 40})
    problem(host.post("/v1/handoffs/%s/replay" % got["handoff"], {}), 409)
    problem(host.post("/v1/handoffs/%s/replay" % UNKNOWN, {}), 404)


main(host)
