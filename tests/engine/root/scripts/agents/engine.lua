-- Capabilities that behave, for tests of the engine: they wait, spawn, fail in their own ways.
local agent = require "perigee.agent"
local approval = require "perigee.approval"
local events = require "perigee.events"
local records = require "perigee.records"
local run = require "perigee.run"
local time = require "perigee.time"

local VERSION = 1


return agent "engine" {
  title = "Engine under test",
  kinds = { note = { index = { "tag" } } },
  capabilities = {
    echo = {
      title = "Say it again",
      input = { text = "string" },
      output = { text = "string", version = "integer" },
      run = function(input)
        return { text = input.text, version = VERSION }
      end,
    },
    wait_twice = {
      title = "Wait for two signals, write in between",
      input = { id = "id" },
      output = { first = "any", second = "any", version = "integer", uuid = "string", random = "integer" },
      run = function(input)
        local uuid, random = run.uuid(), math.random(1, 1000000)
        local first = run.await("one")
        records.put("note", input.id, { text = first.payload, uuid = uuid, random = random })
        local second = run.await("two", { timeout_ms = 60000 })
        return { first = first.payload, second = second.payload, version = VERSION, uuid = uuid, random = random }
      end,
    },
    nap = {
      title = "Sleep",
      input = { ms = "integer" },
      output = { slept = "integer" },
      run = function(input)
        local before = time.now()
        time.sleep(input.ms)
        return { slept = time.now() - before }
      end,
    },
    deadline = {
      title = "Wait for a signal that never comes",
      input = { ms = "integer" },
      output = { heard = "boolean" },
      run = function(input)
        return { heard = run.await("never", { timeout_ms = input.ms }) ~= nil }
      end,
    },
    ask = {
      title = "Ask a person",
      input = { title = "string", ms = "integer?" },
      output = { decision = "string", note = "string?" },
      run = function(input)
        local answer = approval.ask { title = input.title, owner = "sales-lead", timeout_ms = input.ms, self_approval = true }
        return { decision = answer.decision, note = answer.note }
      end,
    },
    family = {
      title = "Spawn children and add up what they return",
      input = { children = "integer" },
      output = { total = "integer" },
      run = function(input)
        local tasks = {}
        for n = 1, input.children do
          tasks[n] = function()
            return run.call("engine", "double", { n = n }).n
          end
        end
        local total = 0
        for _, n in ipairs(run.all(tasks)) do
          total = total + n
        end
        return { total = total }
      end,
    },
    double = {
      title = "Twice a number",
      input = { n = "integer" },
      output = { n = "integer" },
      run = function(input)
        if input.n == 13 then
          error { code = "unlucky.number", message = "thirteen is refused" }
        end
        return { n = input.n * 2 }
      end,
    },
    tree = {
      title = "A tree of waiting runs",
      input = { depth = "integer" },
      output = { status = "string" },
      run = function(input)
        if input.depth == 0 then
          run.await("never")
        end
        local child = run.spawn("engine", "tree", { depth = input.depth - 1 })
        return { status = run.join(child).status }
      end,
    },
    count = {
      title = "Add one to a shared counter, again and again",
      input = { times = "integer" },
      output = { last = "integer" },
      run = function(input)
        local last = 0
        for _ = 1, input.times do
          records.update("note", "counter", function(body)
            body.n = (body.n or 0) + 1
            last = body.n
            return body
          end)
        end
        return { last = last }
      end,
    },
    emit = {
      title = "Emit an event",
      input = { type = "string", n = "integer" },
      output = { id = "string" },
      run = function(input)
        return { id = events.emit(input.type, { n = input.n }) }
      end,
    },
    heard = {
      title = "Write down that an event came",
      input = { n = "integer" },
      output = { ok = "boolean" },
      run = function(input)
        records.put("note", "heard-" .. input.n, { n = input.n })
        return { ok = true }
      end,
    },
    wrong_output = {
      title = "Return what was not declared",
      input = {},
      output = { n = "integer" },
      run = function()
        return { n = "seven" }
      end,
    },
    uncaught = {
      title = "Fail in an effect",
      input = {},
      output = {},
      run = function()
        records.put("nowhere", "x", { a = 1 })
        return {}
      end,
    },
  },
  on = { ["test.heard"] = "heard" },
}
