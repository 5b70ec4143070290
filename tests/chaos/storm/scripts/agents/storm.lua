-- An interpreter of random programs (tests/chaos/test_storm.py makes them): whatever is killed meanwhile, each operation counts once.
local agent = require "perigee.agent"
local events = require "perigee.events"
local handoff = require "perigee.handoff"
local http = require "perigee.http"
local records = require "perigee.records"
local run = require "perigee.run"
local time = require "perigee.time"

local perform

-- Add to a counter that many runs share: read, write what was read plus this, again when somebody else was quicker.
local function add(key, by)
  while true do
    local now = records.get("counter", key)
    local ok, fault = pcall(records.put, "counter", key, { n = (now and now.body.n or 0) + by }, now and now.version or 0)
    if ok then
      return
    end
    if type(fault) ~= "table" or fault.code ~= "records.conflict" then
      error(fault, 0)
    end
    time.sleep(1 + #key % 7)
  end
end

local operations = {
  add = function(step)
    add(step.key, step.by)
  end,
  -- Must not exist: a second application of the same step would be a conflict, and the run would fail.
  mark = function(step)
    records.put("mark", step.id, { by = run.id }, 0)
  end,
  sleep = function(step)
    time.sleep(step.ms)
  end,
  child = function(step)
    run.call("storm", "program", { steps = step.steps })
  end,
  fails = function(step)
    local ok, fault = pcall(run.call, "storm", "fails", { id = step.id })
    assert(not ok and fault.code == "storm.meant", "a child that fails was not seen to fail")
  end,
  all = function(step)
    local branches = {}
    for i, steps in ipairs(step.branches) do
      branches[i] = function()
        perform(steps)
        return i
      end
    end
    run.all(branches)
  end,
  signal = function(step)
    run.signal(run.id, step.name, { of = step.name }, { id = run.id .. step.name })
    local heard = run.await(step.name, { timeout_ms = 300000 })
    assert(heard and heard.payload.of == step.name, "a signal was lost")
  end,
  http = function(step)
    local answer = http.request { method = "POST", url = step.url, class = "keyed", body = "x" }
    assert(answer.status == 200, "the upstream answered " .. answer.status)
  end,
  handoff = function(step)
    local reply = handoff.send { type = "storm.do", version = 1, payload = { steps = step.steps } }:wait()
    assert(reply, "a hand-off was lost")
  end,
  -- The last of its list: the run ends, its next one does the rest.
  next = function(step)
    run.continue_as_new { steps = step.steps }
  end,
  event = function(step)
    events.emit("storm.tick", { id = step.id }, { id = step.id })
  end,
}

function perform(steps)
  for _, step in ipairs(steps) do
    operations[step.op](step)
  end
end

return agent "storm" {
  title = "Random programs",
  kinds = { counter = {}, mark = {} },
  capabilities = {
    program = {
      title = "Performs a program",
      input = { steps = "any" },
      output = { steps = "integer" },
      run = function(input)
        perform(input.steps)
        return { steps = #input.steps }
      end,
    },
    fails = {
      title = "Leaves a mark and fails",
      input = { id = "string" },
      output = {},
      run = function(input)
        records.put("mark", input.id, { by = run.id }, 0)
        error { code = "storm.meant", message = "as it should" }
      end,
    },
    tick = {
      title = "Hears an event",
      input = { id = "string" },
      output = {},
      run = function(input)
        records.put("mark", input.id, { by = run.id }, 0)
        return {}
      end,
    },
  },
  on = { ["storm.tick"] = "tick" },
  accepts = { ["storm.do"] = { version = 1, capability = "program", schema = { steps = "any" } } },
}
