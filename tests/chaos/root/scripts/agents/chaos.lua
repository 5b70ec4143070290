-- A run of twenty effects of every kind, for tests that kill the host after each commit.
local agent = require "perigee.agent"
local approval = require "perigee.approval"
local events = require "perigee.events"
local evidence = require "perigee.evidence"
local records = require "perigee.records"
local run = require "perigee.run"
local time = require "perigee.time"

local TEXT = "[10:00] Buyer: We have a budget of $5,000 for this."
local QUOTE = "We have a budget of $5,000 for this."


local function cite(deal, source)
  local first = string.find(TEXT, QUOTE, 1, true) - 1
  return evidence.add(deal, {
    {
      playbook = "bant", dimension = "budget", claim = "funded", polarity = 1, quote = QUOTE, source = source,
      start = first, ["end"] = first + #QUOTE, speaker = "Buyer", side = "customer", extractor = "chaos", confidence_bp = 9000,
    },
  })
end


return agent "chaos" {
  title = "Does a little of everything",
  kinds = { item = { index = { "n" } }, heard = {} },
  capabilities = {
    twenty = {
      title = "Twenty effects",
      input = { deal = "id" },
      output = { total = "integer", child = "integer", quotes = "integer" },
      run = function(input)
        local deal = input.deal
        for n = 1, 5 do
          records.put("item", deal .. "-" .. n, { n = n, double = n * 2 }) -- 1 to 5
        end
        local first = records.get("item", deal .. "-1") -- 6
        records.put("item", deal .. "-1", { n = first.body.n + 10, double = 0 }, first.version) -- 7
        local source = evidence.source { deal = deal, form = "transcript", text = TEXT } -- 8
        cite(deal, source.id) -- 9
        events.emit("chaos.half", { deal = deal }) -- 10
        time.sleep(5) -- 11
        local child = run.spawn("chaos", "child", { n = 21 }) -- 12
        local ended = run.join(child) -- 13
        local pair = run.all { -- 14, 15
          function() return records.put("item", deal .. "-a", { n = 100 }) end,
          function() return records.put("item", deal .. "-b", { n = 200 }) end,
        }
        local quotes = evidence.list(deal) -- 16
        records.delete("item", deal .. "-2") -- 17
        local items = records.list("item", { limit = 100 }) -- 18
        local total = 0
        for _, item in ipairs(items) do
          total = total + item.body.n
        end
        run.signal(run.id, "self", { total = total }) -- 19
        local heard = run.await("self", { timeout_ms = 60000 }) -- 20
        return { total = heard.payload.total + pair[1] + pair[2], child = ended.output.n, quotes = #quotes }
      end,
    },
    child = {
      title = "Doubles a number",
      input = { n = "integer" },
      output = { n = "integer" },
      run = function(input)
        records.put("item", "child", { n = input.n })
        return { n = input.n * 2 }
      end,
    },
    ask = {
      title = "Asks a person",
      input = { title = "string" },
      output = { decision = "string" },
      run = function(input)
        return { decision = approval.ask { title = input.title, timeout_ms = 60000, self_approval = true }.decision }
      end,
    },
    half = {
      title = "Notes that an event came",
      input = { deal = "id" },
      output = { ok = "boolean" },
      run = function(input)
        records.put("heard", input.deal, { half = true }) -- its own kind: it comes when it comes
        return { ok = true }
      end,
    },
  },
  on = { ["chaos.half"] = "half" },
}
