-- Reads the table after `agent "name"`: checks every part, compiles its schemas and makes the agent's entry in
-- the manifest. All faults are gathered, so that an author sees them at once.

local host = require("perigee.host")
local check = require("perigee.check")
local schedule = require("perigee.schedule")
local schema = require("perigee.schema")

local declaration = {}

local SUBSCRIPTION_KEYS = { "capability", "retries", "ordered" }
local RETRIES_MAX = 100 -- an error message says it too
local AGENT_KEYS = { "title", "backup", "kinds", "capabilities", "on", "schedule", "accepts" }
local CAPABILITY_KEYS = { "title", "input", "output", "run" }
local KIND_KEYS = { "title", "index", "schema" }
local SCHEDULE_KEYS = {
  "name", "every", "cron", "zone", "capability", "input", "catch_up", "overlap", "alarm",
}
local ACCEPTS_KEYS = { "version", "schema", "capability", "reply" }
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

-- A capability's name, or a table that says more about how its events reach it.
function Reader:subscription(path, declared, capabilities)
  if type(declared) ~= "table" then
    self:target(path, declared, capabilities)
    return declared
  end
  declared = self:table(path, declared, SUBSCRIPTION_KEYS)
  self:target(path .. ".capability", declared.capability, capabilities)
  local retries, ordered = declared.retries, declared.ordered
  local whole = type(retries) == "number" and retries % 1 == 0
  if retries ~= nil and not (whole and retries >= 0 and retries <= RETRIES_MAX) then
    local got = check.describe(retries)
    self:problem(path .. ".retries", "must be a whole number from 0 to 100, got " .. got)
    retries = nil
  end
  if ordered ~= nil and type(ordered) ~= "boolean" then
    self:problem(path .. ".ordered", "must be true or false, got " .. check.describe(ordered))
    ordered = nil
  end
  return { capability = declared.capability, retries = retries, ordered = ordered }
end

function Reader:on(declared, capabilities)
  local made = {}
  for event, capability in pairs(self:table("on", declared == nil and {} or declared)) do
    if type(event) ~= "string" or not string.find(event, EVENT) then
      local got = check.describe(event)
      self:problem("on", 'an event type looks like "email.received", got ' .. got)
    else
      made[event] = self:subscription('on["' .. event .. '"]', capability, capabilities)
    end
  end
  return made
end

---Is this a schedule the host understands?
---@param every any
---@return boolean
function declaration.is_schedule(every)
  return schedule.is_every(every)
end

-- One of a few words, or nothing.
function Reader:word(path, value, words)
  if value == nil then
    return nil
  end
  for _, word in ipairs(words) do
    if value == word then
      return word
    end
  end
  local known = '"' .. table.concat(words, '" or "') .. '"'
  self:problem(path, "must be " .. known .. ", got " .. check.describe(value))
end

function Reader:count(path, value, least, most)
  if value == nil then
    return nil
  end
  if type(value) ~= "number" or value % 1 ~= 0 or value < least or value > most then
    local range = least .. " to " .. most
    self:problem(path, "must be an integer from " .. range .. ", got " .. check.describe(value))
  end
  return value
end

function Reader:rule(path, entry)
  if (entry.every == nil) == (entry.cron == nil) then
    self:problem(path, "give either every or cron")
    return
  end
  if entry.every ~= nil then
    local problem = schedule.every_problem(entry.every)
    if problem then
      self:problem(path .. ".every", problem)
    end
  else
    local problem = schedule.cron_problem(entry.cron)
    if problem then
      self:problem(path .. ".cron", problem)
    end
  end
end

-- A schedule is known by its capability and its name; without one, by its place among those of its capability.
function Reader:schedule_name(path, entry, taken)
  local capability = tostring(entry.capability)
  taken[capability] = taken[capability] or { count = 0 }
  local names = taken[capability]
  names.count = names.count + 1
  local name = entry.name
  if name == nil then
    name = tostring(names.count)
  else
    self:named(path .. ".name", name)
  end
  if names[name] then
    local called = capability .. " are called " .. check.describe(name)
    self:problem(path .. ".name", "two schedules of " .. called)
  end
  names[name] = true
  return name
end

function Reader:schedule(declared, capabilities)
  local made, taken = host.array({}), {}
  for i, entry in pairs(self:table("schedule", declared == nil and {} or declared)) do
    if type(i) ~= "number" then
      self:problem("schedule", 'must be a list of { every = "day 07:00", capability = "…" }')
      break
    end
    local path = "schedule[" .. i .. "]"
    entry = self:table(path, entry, SCHEDULE_KEYS)
    self:rule(path, entry)
    self:target(path .. ".capability", entry.capability, capabilities)
    if entry.input ~= nil then
      self:table(path .. ".input", entry.input)
    end
    made[i] = {
      name = self:schedule_name(path, entry, taken),
      every = entry.every,
      cron = entry.cron,
      zone = self:text(path .. ".zone", entry.zone, nil),
      capability = entry.capability,
      input = entry.input,
      catch_up = self:word(path .. ".catch_up", entry.catch_up, { "none", "last", "all" }),
      overlap = self:word(path .. ".overlap", entry.overlap, { "skip", "queue" }),
      alarm = self:count(path .. ".alarm", entry.alarm, 0, 100),
      at = self.at,
    }
  end
  return made
end

function Reader:version(path, version)
  if type(version) ~= "number" or version % 1 ~= 0 or version < 1 or version > 1000000 then
    local got = check.describe(version)
    self:problem(path .. ".version", "must be an integer from 1 on, got " .. got)
  end
  return version
end

-- Hand-offs that this agent takes: type → { version, schema, capability, reply }.
function Reader:accepts(declared, capabilities)
  local made = {}
  for kind, entry in pairs(self:table("accepts", declared == nil and {} or declared)) do
    if type(kind) ~= "string" or not string.find(kind, EVENT) or #kind > 100 then
      local got = check.describe(kind)
      self:problem("accepts", 'a type of hand-off looks like "deal.qualified", got ' .. got)
    else
      local path = 'accepts["' .. kind .. '"]'
      entry = self:table(path, entry, ACCEPTS_KEYS)
      self:target(path .. ".capability", entry.capability, capabilities)
      if entry.schema == nil then
        self:problem(path .. ".schema", "is missing: say what the payload is")
      end
      made[kind] = {
        version = self:version(path, entry.version),
        capability = entry.capability,
        schema = entry.schema ~= nil and self:schema(path .. ".schema", entry.schema) or {},
        reply = entry.reply ~= nil and self:schema(path .. ".reply", entry.reply) or nil,
      }
    end
  end
  return made
end

---Read a declaration.
---@param name any
---@param declared any
---@param at? string "path:line" of the declaration
---@return table manifest the agent's entry
---@return table kinds name → entry of the manifest
---@return string[] problems empty when all is well
function declaration.read(name, declared, at)
  local reader = setmetatable({ name = name, at = at, problems = {} }, Reader)
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
    accepts = reader:accepts(declared.accepts, capabilities),
  }
  return manifest, reader:kinds(declared.kinds), reader.problems
end

return declaration
