-- A person's decision. The run waits, for days if need be, and costs nothing while it does.

local check = require("perigee.check")
local effects = require("perigee.effects")

local approval = {}

---@class perigee.Decision
---@field id string
---@field decision "approved"|"rejected"|"expired"
---@field note? string
---@field by? string who decided
---@field at integer unix microseconds

local FIELDS = { "title", "body", "subject", "owner", "timeout_ms" }

---Ask a person and wait for the answer or for the timeout ("expired").
---@param question { title: string, body?: any, subject?: string, owner?: string, timeout_ms?: integer }
---@return perigee.Decision
function approval.ask(question)
  check.type("approval.ask", "question", question, "table")
  local fault = check.unknown_key("field", question, FIELDS)
  if fault then
    error("approval.ask: " .. fault, 2)
  end
  check.name("approval.ask", "title", question.title)
  if question.timeout_ms ~= nil then
    check.integer("approval.ask", "timeout_ms", question.timeout_ms, 0)
  end
  local answer = effects.call("approval.ask", {
    title = question.title,
    body = question.body,
    subject = question.subject,
    owner = question.owner,
    timeout_ms = question.timeout_ms,
  })
  return effects.without_nulls(answer)
end

return approval
