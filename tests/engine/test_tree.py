#!/usr/bin/env python3
"""What flows down a tree of runs: deadlines, budgets, how many children there may be."""
import os, random, shutil, signal, sys, tempfile, time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "http"))
from harness import Host, equal, holds, main, matches, open_database, problem, test, true

AGENT = '''
local agent = require "perigee.agent"
local records = require "perigee.records"
local run = require "perigee.run"
local time = require "perigee.time"

return agent "tree" {
  kinds = { mark = {} },
  capabilities = {
    nap = { input = { ms = "integer" }, run = function(input)
      pcall(time.sleep, input.ms)
      records.put("mark", run.id, { late = true })
    end },
    spin = { run = function() while true do records.get("mark", "none") end end },
    parent = { input = { ms = "integer", deadline_ms = "integer?" }, output = "any", run = function(input)
      local id = run.spawn("tree", "nap", { ms = input.ms }, { deadline_ms = input.deadline_ms })
      return run.join(id)
    end },
    writes = { input = { count = "integer" }, run = function(input)
      for i = 1, input.count do records.put("mark", run.id .. i, {}) end
    end },
    wide = { input = { count = "integer" }, output = "any", run = function(input)
      local ids, code = {}, nil
      for i = 1, input.count do
        local ok, id = pcall(run.spawn, "tree", "nap", { ms = 60000 })
        if not ok then code = id.code break end
        ids[#ids + 1] = id
      end
      return { spawned = #ids, code = code }
    end },
    all = { input = { count = "integer" }, output = "any", run = function(input)
      local spawns = {}
      for i = 1, input.count do
        spawns[i] = function() return (pcall(run.spawn, "tree", "nap", { ms = 60000 })) end
      end
      local n = 0
      for _, ok in ipairs(run.all(spawns)) do n = n + (ok and 1 or 0) end
      return { spawned = n }
    end },
    give = { input = { budget = "integer" }, output = "any", run = function(input)
      local ok, err = pcall(run.spawn, "tree", "nap", { ms = 1 }, { budget = input.budget })
      return { ok = ok, code = not ok and err.code or nil }
    end },
    crowd = { input = { level = "integer", children = "integer" }, output = "any", run = function(input)
      records.put("mark", run.id, {})
      local ids = {}
      if input.level > 0 then
        for i = 1, input.children do
          local ok, id = pcall(run.spawn, "tree", "crowd", { level = input.level - 1, children = 4 },
            i % 3 == 0 and { budget = 3 + i } or nil)
          if ok then ids[#ids + 1] = id end
        end
      end
      for i = 1, 5 do records.put("mark", run.id .. "-" .. i, {}) end
      for _, id in ipairs(ids) do run.join(id) end
    end },
  },
}
'''


class Tree(Host):
    def __init__(self):
        self.top = tempfile.mkdtemp(prefix="perigee-tree-")
        os.makedirs(os.path.join(self.top, "scripts", "agents"))
        with open(os.path.join(self.top, "scripts", "agents", "tree.lua"), "w") as f:
            f.write(AGENT)
        super().__init__(root=self.top, config="return { limits = { children = 120, runs_per_tenant = 5000 } }")

    def stop(self, how=signal.SIGTERM):
        super().stop(how)
        shutil.rmtree(self.top, ignore_errors=True)

    def rows(self, sql, *values):
        with open_database(self.store, "example") as db:
            return db.execute(sql, values).fetchall()

    def begin(self, capability, body, **headers):
        answer = self.post("/v1/agents/tree/" + capability, body, headers={k.replace("_", "-"): v for k, v in headers.items()})
        equal(answer.status, 202, answer)
        return answer.json["run"]


host = Tree()


def ended(run):
    return host.wait_run(run, "succeeded", "failed", "cancelled")


@test
def a_run_that_waits_or_computes_fails_at_its_deadline():
    for capability, body in (("nap", {"ms": 60000}), ("spin", {})):
        before = time.monotonic()
        run = host.begin(capability, body, Perigee_Deadline="1")
        end = ended(run)
        equal((end["status"], end["error"]["code"]), ("failed", "run.deadline"))
        true(0.9 <= time.monotonic() - before < 4, "after %.1f s" % (time.monotonic() - before))
        equal(host.get("/v1/records/mark/" + run).status, 404, "it went on behind its deadline")
        equal(host.rows("SELECT count(*) FROM waits WHERE run = ?", run)[0][0], 0)


@test
def a_time_is_a_deadline_too_and_what_is_no_time_is_refused():
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 2))
    equal(ended(host.begin("nap", {"ms": 60000}, Perigee_Deadline=at))["error"]["code"], "run.deadline")
    equal(ended(host.begin("nap", {"ms": 1}, Perigee_Deadline="60"))["status"], "succeeded")
    for wrong in ("soon", "0", "-1", "2001-01-01T00:00:00Z"):
        problem(host.post("/v1/agents/tree/nap", {"ms": 1}, headers={"Perigee-Deadline": wrong}), 400, detail="Perigee-Deadline")
    for wrong in ("5", "effects=0", "effects=x", "tokens=5"):
        problem(host.post("/v1/agents/tree/nap", {"ms": 1}, headers={"Perigee-Budget": wrong}), 400, detail="Perigee-Budget")


@test
def a_child_ends_no_later_than_its_parent_and_earlier_when_it_is_told():
    run = host.begin("parent", {"ms": 60000, "deadline_ms": 50000}, Perigee_Deadline="1")
    equal(ended(run)["error"]["code"], "run.deadline")
    child, = host.rows("SELECT status, error, deadline_at FROM runs WHERE parent = ?", run)
    equal(child[0], "failed")
    matches(child[1], "run.deadline")
    equal(child[2], host.rows("SELECT deadline_at FROM runs WHERE id = ?", run)[0][0])
    run = ended(host.begin("parent", {"ms": 60000, "deadline_ms": 500}))
    equal(run["status"], "succeeded")
    holds(run["output"], status="failed")
    equal(run["output"]["error"]["code"], "run.deadline")


@test
def a_deadline_that_passes_while_no_host_runs_counts():
    run = host.begin("parent", {"ms": 60000}, Perigee_Deadline="2")
    until = time.monotonic() + 10
    while not host.rows("SELECT 1 FROM waits WHERE run = ?", run):
        true(time.monotonic() < until, "it does not wait")
        time.sleep(0.02)
    os.killpg(host.process.pid, signal.SIGKILL)
    host.process.wait()
    time.sleep(2.2)
    host.start_host()
    equal(ended(run)["error"]["code"], "run.deadline")
    equal(host.rows("SELECT count(*) FROM runs WHERE parent = ? AND status <> 'failed'", run)[0][0], 0)


@test
def a_run_out_of_budget_fails():
    equal(ended(host.begin("writes", {"count": 10}, Perigee_Budget="effects=10"))["status"], "succeeded")
    run = host.begin("writes", {"count": 11}, Perigee_Budget="effects=10")
    equal(ended(run)["error"]["code"], "budget.effects")
    equal(host.rows("SELECT count(*) FROM journal WHERE run = ?", run)[0][0], 10)


@test
def a_child_gets_no_more_than_its_parent_has_left():
    equal(ended(host.begin("give", {"budget": 8}, Perigee_Budget="effects=10"))["output"], {"ok": True})
    equal(ended(host.begin("give", {"budget": 10}, Perigee_Budget="effects=10"))["output"], {"ok": False, "code": "budget.effects"})
    equal(ended(host.begin("give", {"budget": 10}))["output"], {"ok": True})


@test
def a_run_has_no_more_children_than_it_may():
    for capability in ("wide", "all"):
        run = host.begin(capability, {"count": 130})
        output = ended(run)["output"]
        equal(output["spawned"], 120, capability)
        equal(host.rows("SELECT count(*) FROM runs WHERE parent = ?", run)[0][0], 120)
        if capability == "wide":
            equal(output["code"], "run.too_wide")
        host.post("/v1/runs/%s/cancel" % run, {})


@test
def a_tree_issues_no_more_effects_than_its_root_was_given_whatever_is_killed():
    seed = int(os.environ.get("SEED", "7"))
    r = random.Random(seed)
    budgets = [r.randint(20, 1500) for _ in range(4)]
    roots = [host.begin("crowd", {"level": 2, "children": 100}, Perigee_Budget="effects=%d" % b) for b in budgets]
    for _ in range(2):
        time.sleep(r.random() * 0.6)
        os.killpg(host.process.pid, signal.SIGKILL)
        host.process.wait()
        host.start_host()
    for root in roots:
        ended(root)
    until = time.monotonic() + 60
    tree = "WITH RECURSIVE tree (id) AS (SELECT id FROM runs WHERE id = ? UNION SELECT runs.id FROM runs JOIN tree ON runs.parent = tree.id) "
    for root, budget in zip(roots, budgets):
        while host.rows(tree + "SELECT 1 FROM runs WHERE id IN (SELECT id FROM tree) AND ended_at IS NULL LIMIT 1", root):
            true(time.monotonic() < until, "the tree does not end")
            time.sleep(0.1)
        used = host.rows(tree + "SELECT count(*) FROM journal WHERE run IN (SELECT id FROM tree)", root)[0][0]
        runs = host.rows(tree + "SELECT id, budget_effects, budget_given, (SELECT coalesce(max(effect), 0) FROM journal WHERE run = runs.id) FROM runs "
                                "WHERE id IN (SELECT id FROM tree)", root)
        true(len(runs) > 1 and used > 1, "SEED=%d: nothing was tried" % seed)
        true(used <= budget, "SEED=%d: %d effects of %d" % (seed, used, budget))
        for run, limit, given, issued in runs:
            true(given + issued <= limit, "SEED=%d: run %s has used %d and given %d of %d" % (seed, run, issued, given, limit))
            children = host.rows("SELECT coalesce(sum(budget_effects), 0) FROM runs WHERE parent = ?", run)[0][0]
            equal(children, given, "SEED=%d: %s" % (seed, run))


main(host)
