-- Hears events: test_events.py.
local agent = require "perigee.agent"
local records = require "perigee.records"
local time = require "perigee.time"

-- Notes the event in the order of its arrival: record "heard" of the key holds a list.
local function note(key, n)
  local known = records.get("heard", key)
  local list = known and known.body.list or {}
  list[#list + 1] = n
  records.put("heard", key, { list = list, count = #list })
end

return agent "listener" {
  title = "Hears events",
  kinds = { heard = { title = "What came" } },
  capabilities = {
    hear = {
      input = { key = "string", n = "integer", ms = "integer?" },
      run = function(input)
        if input.ms then
          time.sleep(input.ms)
        end
        note(input.key, input.n)
        return {}
      end,
    },
    fail_often = {
      input = { key = "string", times = "integer" },
      run = function(input)
        local known = records.get("heard", input.key)
        local count = known and known.body.count or 0
        records.put("heard", input.key, { list = {}, count = count + 1 })
        if count < input.times then
          error("attempt " .. (count + 1) .. " fails")
        end
        return {}
      end,
    },
    overlap = {
      input = { key = "string", n = "integer" },
      run = function()
        time.sleep(50)
        return {}
      end,
    },
  },
  on = {
    ["heard.ordered"] = "hear",
    ["heard.strict"] = { capability = "fail_often", retries = 1 },
    ["heard.loose"] = { capability = "overlap", retries = 0, ordered = false },
  },
}
