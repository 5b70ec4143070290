-- An agent with one capability for each thing that the HTTP tests want to see from outside.
local agent = require "perigee.agent"
local approval = require "perigee.approval"
local evidence = require "perigee.evidence"
local log = require "perigee.log"
local records = require "perigee.records"
local run = require "perigee.run"
local time = require "perigee.time"

local QUOTE = "We have a budget of $5,000 for this."
local TEXT = "[10:00] Buyer: " .. QUOTE


return agent "probe" {
  title = "Probe",
  backup = "spare",
  kinds = {
    note = { title = "Note", index = { "owner", "n" }, schema = { owner = "string", n = "integer?", text = "string?", done = "boolean?" } },
    loose = { title = "Anything" },
  },
  capabilities = {
    echo = {
      title = "Give back what came",
      input = { text = "string", n = "integer?" },
      output = { text = "string", n = "integer?" },
      run = function(input)
        return { text = input.text, n = input.n }
      end,
    },
    steps = {
      title = "Write some notes, saying so",
      input = { deal = "id", count = "integer", pause_ms = "integer?" },
      output = { written = "integer" },
      run = function(input)
        for n = 1, input.count do
          log.info("writing", { n = n })
          records.put("note", input.deal .. "-" .. n, { owner = input.deal, n = n })
          if input.pause_ms then
            time.sleep(input.pause_ms)
          end
        end
        return { written = input.count }
      end,
    },
    large = {
      title = "Write large notes and read them again",
      input = { count = "integer", bytes = "integer" },
      output = { read = "integer" },
      run = function(input)
        local read = 0
        for n = 1, input.count do
          records.put("loose", "large-" .. n, { text = string.rep("x", input.bytes) })
          read = read + #records.get("loose", "large-" .. n).body.text
        end
        return { read = read }
      end,
    },
    sleep = {
      title = "Sleep",
      input = { ms = "integer" },
      output = { slept = "integer" },
      run = function(input)
        time.sleep(input.ms)
        return { slept = input.ms }
      end,
    },
    hear = {
      title = "Wait for a signal",
      input = { timeout_ms = "integer?" },
      output = { payload = "any" },
      run = function(input)
        local heard = run.await("word", { timeout_ms = input.timeout_ms })
        return { payload = heard and heard.payload or "nothing" }
      end,
    },
    ask = {
      title = "Ask a person",
      input = { title = "string", body = "any?", strict = "boolean?", owner = "string?", child = "boolean?" },
      output = { decision = "string", note = "string?" },
      run = function(input)
        if input.child then
          return run.call("probe", "ask", { title = input.title, strict = input.strict, owner = input.owner })
        end
        local answer = approval.ask {
          title = input.title,
          body = input.body,
          subject = "deal-1",
          owner = input.owner,
          self_approval = not input.strict,
          timeout_ms = 60000,
        }
        return { decision = answer.decision, note = answer.note }
      end,
    },
    cite = {
      title = "Record a quote",
      input = { deal = "id" },
      output = { added = "integer" },
      run = function(input)
        local source = evidence.source { deal = input.deal, form = "transcript", text = TEXT }
        local first = string.find(TEXT, QUOTE, 1, true) - 1
        local added = evidence.add(input.deal, {
          {
            playbook = "bant", dimension = "budget", claim = "funded", polarity = 1, quote = QUOTE, source = source.id,
            start = first, ["end"] = first + #QUOTE, speaker = "Buyer", side = "customer", extractor = "probe", confidence_bp = 9000,
          },
        })
        return { added = #added }
      end,
    },
    cite_many = {
      title = "Record a word many times",
      input = { deal = "id", count = "integer", at = "string?" },
      output = { added = "integer" },
      run = function(input)
        local text = string.rep("budget ", input.count)
        local source = evidence.source { deal = input.deal, form = "transcript", text = text }
        local items = {}
        for n = 1, input.count do
          local first = (n - 1) * 7
          items[n] = {
            playbook = n % 2 == 0 and "bant" or "meddic", dimension = "budget", claim = "funded", polarity = 1, quote = "budget", source = source.id,
            start = first, ["end"] = first + 6, speaker = "Buyer", side = "customer", said_at = n % 3 == 0 and input.at or nil,
            extractor = "probe", confidence_bp = 9000,
          }
        end
        return { added = #evidence.add(input.deal, items) }
      end,
    },
    fail = {
      title = "Fail with a code",
      input = {},
      output = {},
      run = function()
        error({ code = "probe.tired", message = "not today" })
      end,
    },
    spin = {
      title = "Loop for ever",
      input = {},
      output = {},
      run = function()
        while true do end
      end,
    },
    heard = {
      title = "An event came",
      input = { who = "string" },
      output = { ok = "boolean" },
      run = function(input)
        records.put("loose", "event-" .. input.who, { who = input.who })
        return { ok = true }
      end,
    },
  },
  on = { ["probe.said"] = "heard" },
}
