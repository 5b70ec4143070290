-- Hands values of a given size to effects that have limits.
local agent = require "perigee.agent"
local errors = require "perigee.errors"
local events = require "perigee.events"
local records = require "perigee.records"
local run = require "perigee.run"

local hand = {
  put = function(text)
    records.put("big", "one", { text = text })
  end,
  emit = function(text)
    events.emit("big.come", { text = text })
  end,
  spawn = function(text)
    run.join(run.spawn("sizes", "take", { text = text }))
  end,
}

return agent "sizes" {
  title = "Values of a size",
  kinds = { big = {} },
  capabilities = {
    take = {
      title = "Takes a text",
      input = { text = "string" },
      output = { n = "integer" },
      run = function(input)
        return { n = #input.text }
      end,
    },
    try = {
      title = "Hands over a text of a size",
      input = { what = "string", size = "integer" },
      output = { ok = "boolean", code = "string?" },
      run = function(input)
        local ok, caught = pcall(hand[input.what], string.rep("x", input.size))
        return { ok = ok, code = not ok and errors.code(caught) or nil }
      end,
    },
  },
}
