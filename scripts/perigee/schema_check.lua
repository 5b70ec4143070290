-- Checks a value against JSON Schema, the subset of core/base/json_schema.h, in the words of that file. The
-- host does this on every call; scripts and specs use it through schema.check. Like the host with coercion,
-- it takes an empty table for an empty list or an empty object, whichever is wanted.

local host = require("perigee.host")
local check = require("perigee.check")
local time = require("perigee.time")

local MOST = 20
local DATA = { boolean = true, number = true, string = true }

local function is_integer(value)
  return type(value) == "number" and value % 1 == 0
end

local function is_object(value)
  if type(value) ~= "table" or value == host.null or host.is_array(value) then
    return false
  end
  return next(value) == nil or type(next(value)) == "string"
end

local function is_array(value)
  if type(value) ~= "table" or value == host.null then
    return false
  end
  return next(value) == nil or host.is_array(value) or #value > 0
end

local is_type = {
  array = is_array,
  boolean = function(value)
    return type(value) == "boolean"
  end,
  integer = is_integer,
  null = function(value)
    return value == nil or value == host.null
  end,
  number = function(value)
    return type(value) == "number"
  end,
  object = is_object,
  string = function(value)
    return type(value) == "string"
  end,
}

local function describe(value)
  if value == nil or value == host.null then
    return "null"
  end
  if type(value) == "table" then
    if next(value) == nil then
      return host.is_array(value) and "an array of 0" or "an empty object"
    end
    return is_array(value) and "an array of " .. #value or "an object"
  end
  if type(value) == "boolean" then
    return tostring(value)
  end
  if type(value) ~= "number" and type(value) ~= "string" then
    return "a " .. type(value) .. ", which is not data"
  end
  local text = host.json_encode(value)
  return type(value) .. " " .. (#text > 64 and string.sub(text, 1, 64) .. "…" or text)
end

local function characters(text)
  local _, continued = string.gsub(text, "[\128-\191]", "")
  return #text - continued
end

local function escape(key)
  return (string.gsub(string.gsub(tostring(key), "~", "~0"), "/", "~1"))
end

local DATE_TIME = "^%d%d%d%d%-%d%d%-%d%d[Tt]%d%d:%d%d:%d%d"
local UUID = "^" .. string.rep("%x", 8) .. string.rep("%-" .. string.rep("%x", 4), 3)
  .. "%-" .. string.rep("%x", 12) .. "$"

local is_format = {
  ["date-time"] = function(text)
    return string.find(text, DATE_TIME) ~= nil and time.parse(text) ~= nil
  end,
  uuid = function(text)
    return string.find(text, UUID) ~= nil
  end,
}

local Check = {}
Check.__index = Check

function Check:add(pointer, message)
  if #self.errors < MOST then
    self.errors[#self.errors + 1] = { pointer = pointer, message = message }
  end
end

function Check:expected(pointer, what, value)
  self:add(pointer, "expected " .. what .. ", got " .. describe(value))
end

local function same(a, b)
  if type(a) ~= "table" or type(b) ~= "table" then
    return a == b
  end
  return host.json_encode(a) == host.json_encode(b)
end

local function names_of(types)
  return type(types) == "table" and types or { types }
end

local function allows(types, value)
  for _, name in ipairs(names_of(types)) do
    if is_type[name](value) then
      return true
    end
  end
  return false
end

function Check:number(node, value, pointer)
  if node.minimum and value < node.minimum then
    self:expected(pointer, "at least " .. node.minimum, value)
  end
  if node.maximum and value > node.maximum then
    self:expected(pointer, "at most " .. node.maximum, value)
  end
end

function Check:size(least, most, size, unit, pointer)
  if least and size < least then
    self:add(pointer, "expected at least " .. least .. " " .. unit .. ", got " .. size)
  end
  if most and size > most then
    self:add(pointer, "expected at most " .. most .. " " .. unit .. ", got " .. size)
  end
end

local FORMATS = {
  ["date-time"] = "a date-time of RFC 3339 with its zone, such as 2026-11-22T10:00:00Z",
  uuid = "a UUID",
}

function Check:string(node, value, pointer)
  if node.minLength or node.maxLength then
    self:size(node.minLength, node.maxLength, characters(value), "characters", pointer)
  end
  if node.format and is_format[node.format] and not is_format[node.format](value) then
    self:expected(pointer, FORMATS[node.format], value)
  end
end

function Check:array(node, value, pointer)
  self:size(node.minItems, node.maxItems, #value, "items", pointer)
  for i = 1, node.items and #value or 0 do
    self:value(node.items, value[i], pointer .. "/" .. (i - 1))
  end
end

local function unknown_property(properties, name)
  local known = check.keys(properties)
  local near = check.near(tostring(name), known)
  local hint = "allowed: " .. table.concat(known, ", ")
  if #near > 0 then
    hint = 'did you mean "' .. near[1] .. '"?'
  elseif #known == 0 then
    hint = "no properties are allowed here"
  end
  return 'unknown property "' .. tostring(name) .. '"; ' .. hint
end

function Check:object(node, value, pointer)
  for _, name in ipairs(node.required or {}) do
    if value[name] == nil then
      self:add(pointer, 'required property "' .. name .. '" is missing')
    end
  end
  local properties = node.properties or {}
  for key, item in pairs(value) do
    local at = pointer .. "/" .. escape(key)
    if properties[key] then
      self:value(properties[key], item, at)
    elseif node.additionalProperties == false then
      self:add(at, unknown_property(properties, key))
    elseif type(node.additionalProperties) == "table" then
      self:value(node.additionalProperties, item, at)
    end
  end
end

-- When every form fails, the faults of the only one of the value's own type say most.
function Check:choice(node, value, pointer)
  local only, fitting = nil, 0
  for _, candidate in ipairs(node.anyOf) do
    local attempt = setmetatable({ errors = {}, root = self.root }, Check)
    attempt:value(candidate, value, pointer)
    if #attempt.errors == 0 then
      return
    end
    if candidate.type == nil or allows(candidate.type, value) then
      only, fitting = attempt, fitting + 1
    end
  end
  if fitting ~= 1 then
    self:add(pointer, "fits none of the " .. #node.anyOf .. " forms allowed here")
    return
  end
  for _, one in ipairs(only.errors) do
    self:add(one.pointer, one.message)
  end
end

function Check:listed(node, value, pointer)
  local shown = {}
  for i, candidate in ipairs(node.enum) do
    if same(candidate, value) then
      return
    end
    shown[i] = host.json_encode(candidate)
  end
  self:expected(pointer, "one of " .. table.concat(shown, ", "), value)
end

function Check:value(node, value, pointer)
  local name = node["$ref"] and string.match(node["$ref"], "^#/%$defs/(.+)$")
  if name then
    self:value(self.root["$defs"][name], value, pointer)
  end
  local is_data = is_type.null(value) or type(value) == "table" or DATA[type(value)]
  if not is_data then
    self:add(pointer, "expected data, got " .. describe(value))
    return
  end
  if node.type and not allows(node.type, value) then
    self:expected(pointer, table.concat(names_of(node.type), " or "), value)
    return
  end
  if node.enum then
    self:listed(node, value, pointer)
  end
  if node.const ~= nil and not same(node.const, value) then
    self:expected(pointer, host.json_encode(node.const), value)
  end
  if node.anyOf then
    self:choice(node, value, pointer)
  end
  if type(value) == "number" or type(value) == "string" then
    self[type(value)](self, node, value, pointer)
  elseif type(value) == "table" and value ~= host.null then
    if (node.items or node.minItems or node.maxItems) and is_array(value) then
      self:array(node, value, pointer)
    end
    local named = node.properties or node.required or node.additionalProperties ~= nil
    if named and is_object(value) then
      self:object(node, value, pointer)
    end
  end
end

---@param json table JSON Schema
---@param value any
---@return { pointer: string, message: string }[] errors at most 20
return function(json, value)
  local checking = setmetatable({ errors = {}, root = json }, Check)
  checking:value(json, value, "")
  return checking.errors
end
