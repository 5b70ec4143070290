--- A deal's name and record, whoever wrote them.

local errors = require "perigee.errors"

local M = {}

local LONGEST_ID = 200
local KINDS = { persona = "string", stage = "string", as_of = "string", playbook = "string" }

--- Refuses, before any effect, a name under which nothing could be kept. (A schema counts characters, not bytes.)
---@param id string
function M.check(id)
  if #id > LONGEST_ID or id:find("[%z\1-\31\127]") then
    errors.raise(
      "input.deal",
      "deal must be 1 to 200 bytes without control characters, got "
        .. #id
        .. " bytes: choose a shorter, plain name",
      { errors = { { pointer = "/deal", message = "must be 1 to 200 bytes without control characters" } } }
    )
  end
end

--- A record's body without what has another shape than this agent writes: anybody may put a record.
---@param body any
---@return table body the same table where it is one
function M.tolerate(body)
  if type(body) ~= "table" then
    return {}
  end
  for field, kind in pairs(KINDS) do
    if type(body[field]) ~= kind then
      body[field] = nil
    end
  end
  local asked = {}
  if type(body.asked) == "table" then
    for id in pairs(body.asked) do
      if type(id) == "string" then
        asked[id] = true
      end
    end
  end
  body.asked = asked
  return body
end

return M
