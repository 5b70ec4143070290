-- Asks another host, for tests that count there what arrived.
local agent = require "perigee.agent"
local http = require "perigee.http"
local records = require "perigee.records"
local run = require "perigee.run"

local function attempt(request)
  local ok, answer = pcall(http.request, request)
  if ok then
    return { ok = true, answer = answer }
  end
  return {
    ok = false,
    code = answer.code or "lua",
    message = tostring(answer.message or answer),
    unknown = answer.unknown,
  }
end

return agent "caller" {
  title = "Asks another host",
  kinds = { noted = {} },
  capabilities = {
    ask = {
      title = "One request",
      input = { request = "any" },
      output = "any",
      run = function(input)
        return attempt(input.request)
      end,
    },
    -- A record before, a record after: what a crash in between leaves.
    between = {
      title = "A request between two records",
      input = { name = "string", request = "any" },
      output = "any",
      run = function(input)
        records.put("noted", input.name .. "-before", { n = 1 })
        local result = attempt(input.request)
        records.put("noted", input.name .. "-after", { ok = result.ok, code = result.code })
        return result
      end,
    },
    several = {
      title = "Requests side by side",
      input = { requests = "any" },
      output = "any",
      run = function(input)
        local tasks = {}
        for i, request in ipairs(input.requests) do
          tasks[i] = function()
            return attempt(request)
          end
        end
        return run.all(tasks)
      end,
    },
  },
}
