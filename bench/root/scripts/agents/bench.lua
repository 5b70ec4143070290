-- What `make bench` runs: as little script as possible, so that the host is what is measured.
local agent = require "perigee.agent"
local records = require "perigee.records"
local run = require "perigee.run"

return agent "bench" {
  title = "Measures the host",
  kinds = { bench_note = {} },
  capabilities = {
    trivial = {
      title = "Nothing at all: an activation, a cell, an end",
      input = {},
      output = {},
      run = function()
        return {}
      end,
    },
    effects = {
      title = "So many durable effects, one after the other",
      input = { id = "string", count = "integer" },
      output = { last = "integer" },
      run = function(input)
        local last = 0
        for n = 1, input.count do
          last = records.put("bench_note", input.id .. "-" .. n, { n = n })
        end
        return { last = last }
      end,
    },
    reads = {
      title = "So many outcomes in the journal, one after the other",
      input = { id = "string", count = "integer" },
      output = { found = "integer" },
      run = function(input)
        local found = 0
        for n = 1, input.count do
          if records.get("bench_note", input.id .. "-" .. n) then
            found = found + 1
          end
        end
        return { found = found }
      end,
    },
    waiting = {
      title = "Waits for a signal that does not come",
      input = {},
      output = { heard = "boolean" },
      run = function()
        return { heard = run.await("never", { timeout_ms = 25000 }) ~= nil } -- longer, and its cell is not kept
      end,
    },
  },
}
