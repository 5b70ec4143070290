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

local FIELDS = { "title", "body", "subject", "owner", "timeout_ms", "self_approval" }

---Ask a person and wait for the answer or for the timeout ("expired"). Whoever started the run may not decide,
---unless self_approval is true; an owner "key:ID" lets only that key decide, or an administrator.
---@param question { title: string, body?: any, subject?: string, owner?: string, timeout_ms?: integer, self_approval?: boolean }
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
  if question.self_approval ~= nil then
    check.type("approval.ask", "self_approval", question.self_approval, "boolean")
  end
  local answer = effects.call("approval.ask", {
    title = question.title,
    body = question.body,
    subject = question.subject,
    owner = question.owner,
    timeout_ms = question.timeout_ms,
    self_approval = question.self_approval,
  })
  return effects.without_nulls(answer)
end

return approval
