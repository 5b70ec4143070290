-- Capabilities for tests of forks, retries, chains of runs and long bodies.
local agent = require "perigee.agent"
local effects = require "perigee.effects"
local records = require "perigee.records"
local run = require "perigee.run"

local BROKEN = false

return agent "versions" {
  title = "Versions under test",
  kinds = { note = {}, page = {} },
  capabilities = {
    steps = {
      title = "Write three records whose bodies hold what was derived from the run",
      input = { id = "id" },
      output = { ids = { "string" }, uuids = { "string" }, numbers = { "integer" } },
      run = function(input)
        local ids, uuids, numbers = {}, {}, {}
        for i = 1, 3 do
          ids[i], uuids[i], numbers[i] = run.id, run.uuid(), math.random(1, 1000000000)
          records.put("note", input.id .. "-" .. i, { run = ids[i], uuid = uuids[i], number = numbers[i] })
        end
        return { ids = ids, uuids = uuids, numbers = numbers }
      end,
    },
    pause = {
      title = "Write, wait for a word, write",
      input = { id = "id" },
      output = { word = "any" },
      run = function(input)
        records.put("note", input.id, { step = "first" })
        local word = run.await("word").payload
        records.put("note", input.id .. "-word", { word = word })
        return { word = word }
      end,
    },
    brittle = {
      title = "Fail while BROKEN",
      input = { id = "id" },
      output = { uuid = "string" },
      run = function(input)
        records.put("note", input.id, { at = "begin" })
        if BROKEN then
          error("broken on purpose")
        end
        return { uuid = run.uuid() }
      end,
    },
    turns = {
      title = "One turn of many, each a run of its own",
      input = { left = "integer", sum = "integer?" },
      output = { sum = "integer" },
      run = function(input)
        local sum = (input.sum or 0) + 1
        records.put("note", "turn", { left = input.left })
        if input.left > 1 then
          run.continue_as_new { left = input.left - 1, sum = sum }
        end
        return { sum = sum }
      end,
    },
    wrong_turn = {
      title = "Go on with an input that does not match",
      input = {},
      output = { code = "string" },
      run = function()
        local ok, err = pcall(run.continue_as_new, "no object")
        return { code = ok and "none" or err.code }
      end,
    },
    parent = {
      title = "Call a chain",
      input = { turns = "integer" },
      output = { sum = "integer" },
      run = function(input)
        return { sum = run.call("versions", "turns", { left = input.turns }).sum }
      end,
    },
    growing = {
      title = "Turns whose question is longer each time",
      input = { blocks = "integer", turns = "integer" },
      output = { bytes = "integer" },
      run = function(input)
        local messages, bytes = {}, 0
        for block = 1, input.blocks do
          run.await("go")
          for turn = 1, input.turns do
            messages[#messages + 1] = ("word "):rep(80)
            bytes = bytes + 400
            pcall(effects.call, "nobody.answers", { messages = messages })
            records.put("note", "turn", { turn = turn, text = ("x"):rep(300) })
          end
          records.put("note", "growing-" .. (block - 1), {})
        end
        return { bytes = bytes }
      end,
    },
    reader = {
      title = "Read the same long page many times",
      input = { id = "id", times = "integer" },
      output = { bytes = "integer" },
      run = function(input)
        local bytes = 0
        for i = 1, input.times do
          bytes = bytes + #records.get("page", input.id).body.text
          records.put("note", input.id, { turn = i })
        end
        return { bytes = bytes }
      end,
    },
  },
}
