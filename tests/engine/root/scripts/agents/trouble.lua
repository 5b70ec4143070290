-- Capabilities for what goes wrong around a run: tasks beside a wait, dying stems, failing stores.
local agent = require "perigee.agent"
local effects = require "perigee.effects"
local log = require "perigee.log"
local records = require "perigee.records"
local run = require "perigee.run"
local time = require "perigee.time"

local function burn(rounds)
  local x = 0
  for i = 1, rounds do
    x = (x + i * 7) % 1000003
  end
  return x
end

return agent "trouble" {
  title = "Trouble around runs",
  capabilities = {
    beside = {
      title = "Wait in one task, compute and write in another",
      input = { id = "id", rounds = "integer", ms = "integer", nap = "integer?" },
      output = { woke = "any" },
      run = function(input)
        local results = run.all {
          function()
            return run.await("go", { timeout_ms = input.ms })
          end,
          function()
            if input.nap then
              time.sleep(input.nap)
            end
            burn(input.rounds)
            records.get("note", "nothing")
            records.put("note", input.id, { text = "done" })
            return true
          end,
        }
        return { woke = results[1] and results[1].payload or "nothing" }
      end,
    },
    idle_beside = {
      title = "Wait in one task; another sleeps and reads and is over",
      input = { nap = "integer" },
      output = { woke = "any" },
      run = function(input)
        local results = run.all {
          function()
            return run.await("go")
          end,
          function()
            time.sleep(input.nap)
            records.get("note", "nothing")
            return true
          end,
        }
        return { woke = results[1].payload }
      end,
    },
    two_waits = {
      title = "Two tasks, each waiting for a signal of its own",
      input = {},
      output = { n = "integer" },
      run = function()
        run.all {
          function()
            return run.await("a")
          end,
          function()
            return run.await("b")
          end,
        }
        return { n = 2 }
      end,
    },
    one_of_many = {
      title = "Many tasks wait for the same signal",
      input = { tasks = "integer" },
      output = { got = "integer" },
      run = function(input)
        local tasks = {}
        for n = 1, input.tasks do
          tasks[n] = function()
            return run.await("same").payload
          end
        end
        return { got = #run.all(tasks) }
      end,
    },
    many_until = {
      title = "Many tasks wait for the same signal, not for ever",
      input = { tasks = "integer", ms = "integer" },
      output = { got = "integer", late = "integer" },
      run = function(input)
        local tasks = {}
        for n = 1, input.tasks do
          tasks[n] = function()
            return run.await("same", { timeout_ms = input.ms }) ~= nil
          end
        end
        local got = 0
        for _, heard in ipairs(run.all(tasks)) do
          got = got + (heard and 1 or 0)
        end
        return { got = got, late = input.tasks - got }
      end,
    },
    poll = {
      title = "Is the signal here already?",
      input = { signal = "string", ms = "integer" },
      output = { heard = "boolean" },
      run = function(input)
        run.await("begin")
        return { heard = run.await(input.signal, { timeout_ms = input.ms }) ~= nil }
      end,
    },
    hear = {
      title = "Wait for a signal of any name",
      input = { signal = "string" },
      output = { heard = "any" },
      run = function(input)
        return { heard = run.await(input.signal).payload }
      end,
    },
    tell = {
      title = "Signal another run",
      input = { run = "string", signal = "string" },
      output = { ok = "boolean" },
      run = function(input)
        run.signal(input.run, input.signal, "yes")
        return { ok = true }
      end,
    },
    past = {
      title = "Sleep until the beginning of time",
      input = {},
      output = { ok = "boolean" },
      run = function()
        time.sleep_until(0)
        return { ok = true }
      end,
    },
    far = {
      title = "Sleep until the year 2100",
      input = {},
      output = { ok = "boolean" },
      run = function()
        time.sleep_until(4102444800000000)
        return { ok = true }
      end,
    },
    narcissus = {
      title = "Wait for oneself",
      input = {},
      output = { ok = "boolean" },
      run = function()
        run.join(run.id)
        return { ok = true }
      end,
    },
    oedipus = {
      title = "A child that waits for its parent",
      input = { parent = "string?" },
      output = { code = "string" },
      run = function(input)
        if input.parent then
          run.join(input.parent)
          return { code = "none" }
        end
        local ended = run.join(run.spawn("trouble", "oedipus", { parent = run.id }))
        return { code = ended.error and ended.error.code or "none" }
      end,
    },
    rabbits = {
      title = "Spawn without end",
      input = {},
      output = { n = "integer" },
      run = function()
        local n = 0
        while n < 500 do
          run.spawn("trouble", "hear", { signal = "never" })
          n = n + 1
        end
        return { n = n }
      end,
    },
    reads = {
      title = "Read again and again",
      input = { times = "integer", size = "integer?" },
      output = { n = "integer" },
      run = function(input)
        if input.size then
          records.put("note", "large", { text = string.rep("x", input.size) })
        end
        for _ = 1, input.times do
          records.get("note", input.size and "large" or "nothing")
        end
        run.await("enough")
        return { n = input.times }
      end,
    },
    names = {
      title = "Effects that nobody has heard of",
      input = { times = "integer" },
      output = { n = "integer" },
      run = function(input)
        for n = 1, input.times do
          pcall(effects.call, "made.up" .. n, {})
        end
        return { n = input.times }
      end,
    },
    flood = {
      title = "Log without end",
      input = { times = "integer" },
      output = { n = "integer" },
      run = function(input)
        for n = 1, input.times do
          log.info("line", { n = n })
        end
        return { n = input.times }
      end,
    },
    burn = {
      title = "Compute for a while",
      input = { rounds = "integer", id = "id" },
      output = { n = "integer" },
      run = function(input)
        local n = burn(input.rounds)
        records.put("note", input.id, { text = "burnt" })
        return { n = n }
      end,
    },
    stages = {
      title = "Writes a note, then waits to be told to go on, so many times",
      input = { id = "id", times = "integer" },
      output = { n = "integer" },
      run = function(input)
        for n = 1, input.times do
          records.put("note", input.id .. "-" .. n, { n = n })
          run.await("on", { timeout_ms = 25000 })
        end
        return { n = input.times }
      end,
    },
    steps = {
      title = "Many small steps, each written down",
      input = { id = "id", times = "integer" },
      output = { n = "integer" },
      run = function(input)
        run.all {
          function()
            for n = 1, input.times do
              records.get("note", "nothing")
              records.put("note", input.id .. "-" .. n, { n = n })
            end
          end,
          function()
            for _ = 1, input.times do
              time.sleep(5)
            end
          end,
        }
        return { n = input.times }
      end,
    },
  },
}
