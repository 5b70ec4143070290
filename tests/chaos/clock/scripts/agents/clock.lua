-- What depends on time, for tests that set the clock.
local agent = require "perigee.agent"
local events = require "perigee.events"
local records = require "perigee.records"
local run = require "perigee.run"
local time = require "perigee.time"

return agent "clock" {
  title = "Depends on time",
  kinds = { mark = {}, tick = {} },
  capabilities = {
    nap = {
      title = "Sleeps, waits in vain, tells others",
      input = { id = "id", ms = "integer" },
      output = { heard = "boolean" },
      run = function(input)
        time.sleep(input.ms)
        local heard = run.await("nothing", { timeout_ms = input.ms })
        events.emit("clock.told", { id = input.id .. "-told" }, { id = input.id })
        run.call("clock", "mark", { id = input.id .. "-child" })
        records.put("mark", input.id, { by = run.id }, 0)
        return { heard = heard ~= nil }
      end,
    },
    mark = {
      title = "Leaves a mark",
      input = { id = "id" },
      output = {},
      run = function(input)
        records.put("mark", input.id, { by = run.id }, 0)
        return {}
      end,
    },
    tick = {
      title = "Happens every two seconds",
      input = {},
      output = {},
      run = function()
        records.put("tick", run.id, {}, 0)
        return {}
      end,
    },
  },
  on = { ["clock.told"] = "mark" },
  schedule = { { every = "2s", capability = "tick" } },
}
