-- Checks a value against JSON Schema, the subset of core/base/json_schema.h. The host does this on every call;
-- scripts and specs use it through schema.check. Like the host with coercion, it takes an empty table for
-- an empty list or an empty object, whichever is wanted.

local host = require("perigee.host")

local MOST = 20

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

local function type_name(value)
  if value == nil or value == host.null then
    return "null"
  end
  if type(value) == "table" then
    return is_array(value) and next(value) ~= nil and "array" or "object"
  end
  return type(value)
end

local function characters(text)
  local _, continued = string.gsub(text, "[\128-\191]", "")
  return #text - continued
end

local function escape(key)
  return (string.gsub(string.gsub(tostring(key), "~", "~0"), "/", "~1"))
end

local DATE_TIME = "^%d%d%d%d%-%d%d%-%d%d[Tt]%d%d:%d%d:%d%d(.*)$"
local UUID = "^" .. string.rep("%x", 8) .. string.rep("%-" .. string.rep("%x", 4), 3)
  .. "%-" .. string.rep("%x", 12) .. "$"

local is_format = {
  ["date-time"] = function(text)
    local rest = string.match(text, DATE_TIME)
    if not rest then
      return false
    end
    local zone = string.match(rest, "^%.%d+(.*)$") or rest
    return zone == "Z" or zone == "z" or string.find(zone, "^[+-]%d%d:%d%d$") ~= nil
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

local function same(a, b)
  if type(a) ~= "table" or type(b) ~= "table" then
    return a == b
  end
  return host.json_encode(a) == host.json_encode(b)
end

function Check:type(node, value, pointer)
  local wanted = type(node.type) == "table" and node.type or { node.type }
  for _, name in ipairs(wanted) do
    if is_type[name](value) then
      return true
    end
  end
  local names = table.concat(wanted, " or ")
  self:add(pointer, "must be " .. names .. ", got " .. type_name(value))
  return false
end

function Check:number(node, value, pointer)
  if node.minimum and value < node.minimum then
    self:add(pointer, "must be at least " .. node.minimum)
  end
  if node.maximum and value > node.maximum then
    self:add(pointer, "must be at most " .. node.maximum)
  end
end

function Check:string(node, value, pointer)
  local length = (node.minLength or node.maxLength) and characters(value)
  if node.minLength and length < node.minLength then
    self:add(pointer, "must have at least " .. node.minLength .. " characters")
  end
  if node.maxLength and length > node.maxLength then
    self:add(pointer, "must have at most " .. node.maxLength .. " characters")
  end
  if node.format and is_format[node.format] and not is_format[node.format](value) then
    self:add(pointer, "is not a " .. node.format)
  end
end

function Check:array(node, value, pointer)
  if node.minItems and #value < node.minItems then
    self:add(pointer, "must have at least " .. node.minItems .. " items")
  end
  if node.maxItems and #value > node.maxItems then
    self:add(pointer, "must have at most " .. node.maxItems .. " items")
  end
  for i = 1, node.items and #value or 0 do
    self:value(node.items, value[i], pointer .. "/" .. (i - 1))
  end
end

function Check:object(node, value, pointer)
  for _, name in ipairs(node.required or {}) do
    if value[name] == nil then
      self:add(pointer .. "/" .. escape(name), "is required")
    end
  end
  local properties = node.properties or {}
  for key, item in pairs(value) do
    local at = pointer .. "/" .. escape(key)
    if properties[key] then
      self:value(properties[key], item, at)
    elseif node.additionalProperties == false then
      self:add(at, "is not expected here")
    elseif type(node.additionalProperties) == "table" then
      self:value(node.additionalProperties, item, at)
    end
  end
end

function Check:choice(node, value, pointer)
  for _, candidate in ipairs(node.anyOf) do
    local attempt = setmetatable({ errors = {}, root = self.root }, Check)
    attempt:value(candidate, value, pointer)
    if #attempt.errors == 0 then
      return
    end
  end
  self:add(pointer, "fits none of the " .. #node.anyOf .. " forms allowed here")
end

function Check:listed(node, value, pointer)
  local shown = {}
  for i, candidate in ipairs(node.enum) do
    if same(candidate, value) then
      return
    end
    shown[i] = host.json_encode(candidate)
  end
  self:add(pointer, "must be one of " .. table.concat(shown, ", "))
end

function Check:value(node, value, pointer)
  local name = node["$ref"] and string.match(node["$ref"], "^#/%$defs/(.+)$")
  if name then
    self:value(self.root["$defs"][name], value, pointer)
  end
  if type(value) == "function" or type(value) == "thread" then
    self:add(pointer, "is a " .. type(value) .. ", which is not data")
    return
  end
  if node.type and not self:type(node, value, pointer) then
    return
  end
  if node.enum then
    self:listed(node, value, pointer)
  end
  if node.const ~= nil and not same(node.const, value) then
    self:add(pointer, "must be " .. host.json_encode(node.const))
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
