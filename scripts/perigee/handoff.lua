-- Hand-offs: a typed payload from one agent to another, which declares under `accepts` what it takes. The host checks
-- both ends; what cannot be is kept as a dead letter, for an operator to see and to start again.

local host = require("perigee.host")
local check = require("perigee.check")
local effects = require("perigee.effects")
local errors = require("perigee.errors")

local handoff = {}

---@class perigee.Handoff
---@field id string
---@field run string the receiver's run
---@field agent string the receiver
local Handoff = {}
Handoff.__index = Handoff

local FIELDS = {
  "type", "version", "to", "payload", "key", "subject", "fallback", "deadline_ms", "budget",
}

---Wait for the receiver's reply. A receiver that does not succeed is raised here, with its own code and the
---fields `run` and `status`.
---@param timeout_ms? integer
---@return any reply nil when the time ran out first
function Handoff:wait(timeout_ms)
  if timeout_ms ~= nil then
    check.integer("handoff.wait", "timeout_ms", timeout_ms, 0)
  end
  local ended = effects.call("handoff.wait", { handoff = self.id, timeout_ms = timeout_ms })
  if ended == nil then
    return nil
  end
  if ended.status == "succeeded" then
    return ended.output ~= host.null and ended.output or nil
  end
  local cause = ended.error ~= host.null and ended.error or {}
  local message = "hand-off to " .. self.agent .. " " .. ended.status
  if cause.message then
    message = message .. ": " .. cause.message
  end
  local fields = { run = self.run, status = ended.status }
  errors.raise(cause.code or "run." .. ended.status, message, fields)
end

---Hand something to another agent and go on at once. Raises an error with a code of its own when nobody takes it:
---`handoff.type`, `handoff.version`, `handoff.receiver`, `handoff.ambiguous`, `handoff.payload`, `handoff.too_deep`.
---@param what { type: string, version: integer, to?: string, payload?: any, key?: string, subject?: string,
---  fallback?: boolean, deadline_ms?: integer, budget?: integer } the same key of the same agent is the same
---  hand-off; fallback: the backup of a receiver that is not there may take it
---@return perigee.Handoff
function handoff.send(what)
  check.type("handoff.send", "hand-off", what, "table")
  local fault = check.unknown_key("field", what, FIELDS)
  if fault then
    error("handoff.send: " .. fault, 2)
  end
  check.name("handoff.send", "type", what.type)
  check.integer("handoff.send", "version", what.version, 1)
  for _, name in ipairs({ "deadline_ms", "budget" }) do
    if what[name] ~= nil then
      check.integer("handoff.send", name, what[name], 1)
    end
  end
  local sent = effects.call("handoff.send", {
    type = what.type,
    version = what.version,
    to = what.to,
    payload = what.payload == nil and {} or what.payload,
    key = what.key,
    subject = what.subject,
    fallback = what.fallback,
    deadline_ms = what.deadline_ms,
    budget = what.budget,
  })
  return setmetatable({ id = sent.handoff, run = sent.run, agent = sent.agent }, Handoff)
end

return handoff
