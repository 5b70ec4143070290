-- One run with every kind of effect, for tests that kill the host before and after each commit. Everything it leaves bears its name.
local agent = require "perigee.agent"
local approval = require "perigee.approval"
local events = require "perigee.events"
local evidence = require "perigee.evidence"
local handoff = require "perigee.handoff"
local http = require "perigee.http"
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

local function ask(input, class)
  local to = input.origin .. "/do/" .. input.name .. "-" .. class
  local request = { method = class == "pure" and "GET" or "POST", url = to, class = class }
  if class == "queryable" then
    request.query = { url = input.origin .. "/did/" .. input.name .. "-" .. class }
  end
  return http.request(request).status
end

-- Adds as if it could not be interrupted: what was applied twice shows.
local function count(id)
  local now = records.get("item", id)
  records.put("item", id, { n = (now and now.body.n or 0) + 1 }, now and now.version or 0)
end

return agent "commits" {
  title = "Every kind of effect",
  kinds = { item = { index = { "n" } } },
  capabilities = {
    all = {
      title = "Every kind of effect, then once more as a new run",
      input = { name = "id", origin = "string", turn = "integer" },
      output = "any",
      run = function(input)
        local name = input.name
        count(name .. "-turns")
        if input.turn == 2 then
          return { turns = records.get("item", name .. "-turns").body.n }
        end
        records.delete("item", name .. "-turns", 1)
        records.put("item", name .. "-turns", { n = 1 }, 0)
        local source = evidence.source { deal = name, form = "transcript", text = TEXT }
        cite(name, source.id)
        events.emit("commits.told", { name = name })
        time.sleep(5)
        assert(run.call("commits", "child", { id = name .. "-child" }).n == 2)
        local reply = handoff.send { type = "commits.handed", version = 1, payload = { id = name .. "-handed" } }:wait()
        assert(reply.n == 2)
        run.all {
          function() count(name .. "-a") end,
          function() count(name .. "-b") end,
        }
        for _, class in ipairs { "pure", "keyed", "queryable", "unsafe" } do
          records.put("item", name .. "-" .. class, { n = ask(input, class) }, 0)
        end
        run.signal(run.id, "self", { n = 1 }, { id = name .. "-signal" })
        assert(run.await("self", { timeout_ms = 60000 }).payload.n == 1)
        local answer = approval.ask { title = name, timeout_ms = 60000, self_approval = true }
        records.put("item", name .. "-approved", { n = answer.decision == "approved" and 1 or 0 }, 0)
        run.continue_as_new { name = name, origin = input.origin, turn = 2 }
      end,
    },
    child = {
      title = "Counts once",
      input = { id = "id" },
      output = { n = "integer" },
      run = function(input)
        count(input.id)
        return { n = records.get("item", input.id).body.n + 1 }
      end,
    },
    told = {
      title = "Hears the event",
      input = { name = "id" },
      output = {},
      run = function(input)
        count(input.name .. "-told")
        return {}
      end,
    },
  },
  on = { ["commits.told"] = "told" },
  accepts = { ["commits.handed"] = { version = 1, capability = "child", schema = { id = "id" }, reply = { n = "integer" } } },
}
