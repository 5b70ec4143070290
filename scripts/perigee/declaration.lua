-- Reads the table after `agent "name"`: checks every part, compiles its schemas and makes the agent's entry in
-- the manifest. All faults are gathered, so that an author sees them at once.

local host = require("perigee.host")
local check = require("perigee.check")
local schema = require("perigee.schema")

local declaration = {}

local AGENT_KEYS = { "title", "backup", "kinds", "capabilities", "on", "schedule" }
local CAPABILITY_KEYS = { "title", "input", "output", "run" }
local KIND_KEYS = { "title", "index", "schema" }
local SCHEDULE_KEYS = { "every", "capability", "input" }
local DAYS = {
  day = true, weekday = true, monday = true, tuesday = true, wednesday = true,
  thursday = true, friday = true, saturday = true, sunday = true,
}
local NAME = "^[a-z][a-z0-9_]*$"
local EVENT = "^[a-z][a-z0-9_]*[a-z0-9_.]*$"

local Reader = {}
Reader.__index = Reader

function Reader:problem(path, message)
  local where = 'agent "' .. tostring(self.name) .. '": '
  if path ~= "" then
    where = where .. path .. ": "
  end
  self.problems[#self.problems + 1] = where .. message
end

-- A table with known keys; anything else is a problem and reads as empty.
function Reader:table(path, value, known)
  if type(value) ~= "table" then
    self:problem(path, "must be a table, got " .. check.describe(value))
    return {}
  end
  local fault = known and check.unknown_key("key", value, known)
  if fault then
    self:problem(path, fault)
  end
  return value
end

function Reader:text(path, value, otherwise)
  if value == nil then
    return otherwise
  end
  if type(value) ~= "string" or value == "" then
    self:problem(path, "must be a string that is not empty, got " .. check.describe(value))
    return otherwise
  end
  return value
end

function Reader:named(path, value)
  if type(value) ~= "string" or not string.find(value, NAME) or #value > 64 then
    local got = check.describe(value)
    self:problem(path, "a name is 1 to 64 lower-case letters, digits and _, got " .. got)
    return false
  end
  return true
end

function Reader:schema(path, short)
  local json, inner, message = schema.try(short)
  if json then
    return json
  end
  self:problem(inner ~= "" and path .. "." .. inner or path, message)
  return {}
end

function Reader:capability(path, declared)
  declared = self:table(path, declared, CAPABILITY_KEYS)
  if declared.run == nil then
    self:problem(path, "has no run: give it `run = function(input) … end`")
  elseif type(declared.run) ~= "function" then
    self:problem(path .. ".run", "must be a function, got " .. check.describe(declared.run))
  end
  local input = declared.input == nil and {} or declared.input
  local output = declared.output == nil and "any" or declared.output
  return {
    title = self:text(path .. ".title", declared.title, nil),
    input = self:schema(path .. ".input", input),
    output = self:schema(path .. ".output", output),
  }
end

function Reader:capabilities(declared)
  local made = {}
  if declared == nil or type(declared) == "table" and next(declared) == nil then
    self:problem("capabilities", "an agent needs at least one")
    return made
  end
  for name, capability in pairs(self:table("capabilities", declared)) do
    if self:named("capabilities", name) then
      made[name] = self:capability("capabilities." .. name, capability)
      made[name].title = made[name].title or name
    end
  end
  return made
end

function Reader:index(path, index)
  local made = host.array({})
  for i, field in pairs(self:table(path, index == nil and {} or index)) do
    if type(i) ~= "number" or type(field) ~= "string" or field == "" then
      local got = check.describe(type(i) == "number" and field or i)
      self:problem(path, "must be a list of field names, got " .. got)
      break
    end
    made[#made + 1] = field
  end
  return made
end

function Reader:kinds(declared)
  local made = {}
  for name, kind in pairs(self:table("kinds", declared == nil and {} or declared)) do
    if self:named("kinds", name) then
      local path = "kinds." .. name
      kind = self:table(path, kind, KIND_KEYS)
      made[name] = {
        title = self:text(path .. ".title", kind.title, nil),
        index = self:index(path .. ".index", kind.index),
        schema = kind.schema ~= nil and self:schema(path .. ".schema", kind.schema) or nil,
      }
      if name == "source" then
        self:problem(path, 'kind "source" is the host\'s own (perigee.evidence)')
      end
    end
  end
  return made
end

-- The name of a declared capability.
function Reader:target(path, name, capabilities)
  if type(name) ~= "string" or not capabilities[name] then
    self:problem(path, check.unknown("capability", name, check.keys(capabilities)))
  end
end

function Reader:on(declared, capabilities)
  local made = {}
  for event, capability in pairs(self:table("on", declared == nil and {} or declared)) do
    if type(event) ~= "string" or not string.find(event, EVENT) then
      local got = check.describe(event)
      self:problem("on", 'an event type looks like "email.received", got ' .. got)
    else
      self:target('on["' .. event .. '"]', capability, capabilities)
      made[event] = capability
    end
  end
  return made
end

---Is this a schedule the host understands?
---@param every any
---@return boolean
function declaration.is_schedule(every)
  if type(every) ~= "string" then
    return false
  end
  local count, unit = string.match(every, "^(%d+)([smhd])$")
  if count then
    return tonumber(count) > 0 and #count <= 6 and unit ~= nil
  end
  if every == "minute" or every == "hour" then
    return true
  end
  local day, hour, minute = string.match(every, "^(%l+) (%d%d):(%d%d)$")
  return day ~= nil and DAYS[day] == true and tonumber(hour) < 24 and tonumber(minute) < 60
end

local EVERY = '"30s", "15m", "2h", "1d", "minute", "hour", "day 07:00", "weekday 07:00" '
  .. 'or "monday 07:00" (UTC)'

function Reader:schedule(declared, capabilities)
  local made = host.array({})
  for i, entry in pairs(self:table("schedule", declared == nil and {} or declared)) do
    if type(i) ~= "number" then
      self:problem("schedule", 'must be a list of { every = "day 07:00", capability = "…" }')
      break
    end
    local path = "schedule[" .. i .. "]"
    entry = self:table(path, entry, SCHEDULE_KEYS)
    if not declaration.is_schedule(entry.every) then
      self:problem(path .. ".every", "must be " .. EVERY .. ", got " .. check.describe(entry.every))
    end
    self:target(path .. ".capability", entry.capability, capabilities)
    made[i] = { every = entry.every, capability = entry.capability, input = entry.input }
  end
  return made
end

---Read a declaration.
---@param name any
---@param declared any
---@return table manifest the agent's entry
---@return table kinds name → entry of the manifest
---@return string[] problems empty when all is well
function declaration.read(name, declared)
  local reader = setmetatable({ name = name, problems = {} }, Reader)
  reader:named("", name)
  if type(declared) ~= "table" then
    reader:problem("", 'write it as agent "name" { … }; got ' .. check.describe(declared))
    return {}, {}, reader.problems
  end
  reader:table("", declared, AGENT_KEYS)
  local capabilities = reader:capabilities(declared.capabilities)
  local manifest = {
    title = reader:text("title", declared.title, name),
    backup = reader:text("backup", declared.backup, nil),
    capabilities = capabilities,
    on = reader:on(declared.on, capabilities),
    schedule = reader:schedule(declared.schedule, capabilities),
  }
  return manifest, reader:kinds(declared.kinds), reader.problems
end

return declaration
