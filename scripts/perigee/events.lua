-- Events: what an agent tells the rest of the system. Agents subscribe with `on = { [type] = capability }`.

local host = require("perigee.host")
local check = require("perigee.check")
local effects = require("perigee.effects")

local events = {}

---Emit an event; it is stored with the run's next commit and dispatched to every subscriber.
---Events of one key (without it: of one subject) reach a capability one after the other.
---@param kind string the type: "deal.qualified"
---@param data? table
---@param options? { subject?: string, id?: string, key?: string } an id given twice is one event
---@return string id
function events.emit(kind, data, options)
  check.name("events.emit", "type", kind)
  if data ~= nil then
    check.type("events.emit", "data", data, "table")
  end
  options = check.options("events.emit", options, { "subject", "id", "key" })
  return effects.call("events.emit", {
    type = kind,
    data = data == nil and host.null or data,
    subject = options.subject,
    id = options.id,
    key = options.key,
  }).id
end

return events
