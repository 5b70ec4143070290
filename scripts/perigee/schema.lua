-- Schemas in a short form, compiled to the subset of JSON Schema 2020-12 that the host checks on every call:
--
--   { deal = "id", note = "text?", tags = { "string" }, stage = schema.enum { "open", "won" } }
--
-- A string names a type ("?" makes it optional), { "T" } is a list of T, a table with string keys is a closed
-- object, and schema.* makes everything else.

local host = require("perigee.host")
local check = require("perigee.check")
local validate = require("perigee.schema_check")

local schema = {}

---@class perigee.Schema a compiled schema; wherever a short form stands, this may stand too
---@field json table JSON Schema
---@field optional boolean

---@alias perigee.Short string|table|perigee.Schema

local Schema = {}

local function make(json, optional)
  return setmetatable({ json = json, optional = optional or false }, Schema)
end

local function is_made(value)
  return type(value) == "table" and getmetatable(value) == Schema
end

local function required(names)
  return #names > 0 and host.array(names) or nil
end

local MONEY = {
  type = "object",
  properties = {
    amount = { type = "integer", description = "minor units" },
    currency = { type = "string", minLength = 3, maxLength = 3, description = "ISO 4217" },
  },
  required = host.array({ "amount", "currency" }),
  additionalProperties = false,
}

local types = {
  any = {},
  boolean = { type = "boolean" },
  date = { type = "string", minLength = 10, maxLength = 10, description = "a date: YYYY-MM-DD" },
  id = { type = "string", minLength = 1, maxLength = 200 },
  integer = { type = "integer" },
  money = MONEY,
  null = { type = "null" },
  number = { type = "number" },
  object = { type = "object" },
  string = { type = "string" },
  text = { type = "string" },
  time = { type = "string", format = "date-time" },
  uuid = { type = "string", format = "uuid" },
}
local built_in = {}
for name in pairs(types) do
  built_in[name] = true
end

-- Names that are being defined (they may refer to themselves) and what refers to them so far.
local defining = {}

-- Within the arguments of schema.optional and its like a name may be one whose schema.define is about to be called:
-- it stays a reference, which is looked up where the whole is put together.
local loose = false
-- Where such a name was written, for the message when it stays unknown.
local written_at = {}

local function copy(value)
  if type(value) ~= "table" then
    return value
  end
  local made = {}
  for key, item in pairs(value) do
    made[key] = copy(item)
  end
  if host.is_array(value) then
    return host.array(made)
  end
  return made
end

local function fault(path, message)
  error({ schema_fault = true, path = path, message = message }, 0)
end

local function named(name, path)
  local bare, optional = string.match(name, "^(.-)(%??)$")
  if defining[bare] then
    defining[bare].used = true
    return make({ ["$ref"] = "#/$defs/" .. bare }, optional == "?")
  end
  if not types[bare] and loose and string.find(bare, "^[a-z][a-z0-9_]*$") then
    local json, file, line = { ["$ref"] = "#/$defs/" .. bare }, check.where()
    written_at[json] = file and file .. ":" .. line
    return make(json, optional == "?")
  end
  if not types[bare] then
    fault(path, check.unknown("type", bare, check.keys(types)))
  end
  return make(types[bare], optional == "?")
end

local function referred(json)
  local ref = json["$ref"]
  return type(ref) == "string" and string.match(ref, "^#/%$defs/(.+)$") or nil
end

-- The names that a made schema refers to must be known by now, or be the one that is being defined.
local function look_up(json, path)
  local name = referred(json)
  if name and defining[name] then
    defining[name].used = true
  elseif name and not types[name] then
    local at = written_at[json] and " (written at " .. written_at[json] .. ")" or ""
    fault(path, check.unknown("type", name, check.keys(types)) .. at)
  end
  for _, value in pairs(json) do
    if type(value) == "table" and value ~= host.null then
      look_up(value, path)
    end
  end
end

local compile

local function list(short, path)
  if #short ~= 1 then
    local hint = "a list is written { T } with one T; for a choice use schema.any_of or schema.enum"
    fault(path, hint .. " (got " .. #short .. " items)")
  end
  local item = compile(short[1], path .. "[]")
  if item.optional then
    fault(path, "the items of a list cannot be optional")
  end
  return make({ type = "array", items = item.json })
end

local function object(short, path, open)
  local properties, names = {}, {}
  for key, value in pairs(short) do
    if type(key) ~= "string" then
      fault(path, "a table is either a list { T } or has names for keys; got both")
    end
    local member = compile(value, path == "" and key or path .. "." .. key)
    properties[key] = member.json
    if not member.optional then
      names[#names + 1] = key
    end
  end
  local json = { type = "object", required = required(names) }
  if next(properties) ~= nil then
    json.properties = properties
  end
  if not open then
    json.additionalProperties = false
  end
  return make(json)
end

function compile(short, path)
  if is_made(short) then
    if not loose then
      look_up(short.json, path)
    end
    return short
  end
  if type(short) == "string" then
    return named(short, path)
  end
  if type(short) ~= "table" then
    fault(path, "a schema is a type's name, a table or schema.*; got " .. check.describe(short))
  end
  if short[1] ~= nil and check.is_list(short) then
    return list(short, path)
  end
  return object(short, path, false)
end

-- Compile for a public function; a fault becomes an error at the author's line.
local function compiled(who, short)
  local ok, result = pcall(compile, short, "")
  if ok then
    return result
  end
  if type(result) == "table" and result.schema_fault then
    local at = result.path ~= "" and result.path .. ": " or ""
    check.fail(who .. ": " .. at .. result.message)
  end
  error(result, 0)
end

-- As above, for what may become part of a definition that is not there yet.
local function part(who, short)
  loose = true
  local ok, result = pcall(compiled, who, short)
  loose = false
  if not ok then
    error(result, 0)
  end
  return result
end

-- Definitions are gathered at the root, where "#/$defs/NAME" looks for them.
local recursive = {}

local function gather(json, found)
  if type(json) ~= "table" then
    return
  end
  local name = referred(json)
  if name and not found[name] then
    found[name] = recursive[name] or types[name]
    gather(found[name], found)
  end
  for _, value in pairs(json) do
    gather(value, found)
  end
end

local function with_definitions(json)
  local found = {}
  gather(json, found)
  local whole = copy(json)
  if next(found) ~= nil then
    whole["$defs"] = copy(found)
  end
  return whole
end

---Compile a short form to JSON Schema.
---@param short perigee.Short
---@return table json
function schema.compile(short)
  return with_definitions(compiled("schema.compile", short).json)
end

---For declarations that gather their faults: the JSON Schema, or nil, where it is wrong and why.
---@param short perigee.Short
---@return table? json
---@return string? path
---@return string? message
function schema.try(short)
  local ok, result = pcall(compile, short, "")
  if ok then
    return with_definitions(result.json)
  end
  if type(result) == "table" and result.schema_fault then
    return nil, result.path, result.message
  end
  error(result, 0)
end

---Name a type: from now on the name may be used in short forms. A type may refer to itself.
---@param name string
---@param short perigee.Short
---@return perigee.Schema
function schema.define(name, short)
  if type(name) ~= "string" or not string.find(name, "^[a-z][a-z0-9_]*$") then
    local got = check.describe(name)
    error("schema.define: a name is lower-case letters, digits and _, got " .. got, 2)
  end
  if built_in[name] then
    error('schema.define: "' .. name .. '" is a built-in type', 2)
  end
  local mark = { used = false }
  defining[name] = mark
  local ok, result = pcall(compiled, 'schema.define "' .. name .. '"', short)
  defining[name] = nil
  if not ok then
    error(result, 0)
  end
  local json = result.json
  if mark.used then
    recursive[name] = json
    json = { ["$ref"] = "#/$defs/" .. name }
  end
  if types[name] and host.json_encode(types[name]) ~= host.json_encode(json) then
    error('schema.define: "' .. name .. '" is already defined, and differently', 2)
  end
  types[name] = json
  return make(json)
end

---The names of all types, in order.
---@return string[]
function schema.types()
  return check.keys(types)
end

---Check a value: true, or nil and a list of `{ pointer, message }`.
---@param short perigee.Short
---@param value any
---@return true?
---@return { pointer: string, message: string }[]? errors
function schema.check(short, value)
  local errors = validate(with_definitions(compiled("schema.check", short).json), value)
  if #errors > 0 then
    return nil, errors
  end
  return true
end

---As schema.check, for a schema that is JSON Schema already.
---@param json table
---@param value any
---@return true?
---@return { pointer: string, message: string }[]? errors
function schema.check_json(json, value)
  local errors = validate(json, value)
  if #errors > 0 then
    return nil, errors
  end
  return true
end

---One of these values: `schema.enum { "open", "won", "lost" }`.
---@param values (string|number|boolean)[]
---@return perigee.Schema
function schema.enum(values)
  if type(values) ~= "table" or not check.is_list(values) then
    error("schema.enum: needs a list of values", 2)
  end
  for i, value in ipairs(values) do
    if type(value) == "table" and value ~= host.null or type(value) == "function" then
      error("schema.enum: value " .. i .. " is " .. check.describe(value), 2)
    end
  end
  local json = { enum = host.array(copy(values)) }
  local kind = type(values[1])
  for _, value in ipairs(values) do
    kind = type(value) == kind and kind or nil
  end
  if kind == "string" or kind == "boolean" then
    json.type = kind
  end
  return make(json)
end

---May be left out: what "?" says after a name. JSON null is not "left out": for that, schema.nullable.
---@param short perigee.Short
---@return perigee.Schema
function schema.optional(short)
  return make(part("schema.optional", short).json, true)
end

---The value or JSON null (json.null in Lua).
---@param short perigee.Short
---@return perigee.Schema
function schema.nullable(short)
  local inner = part("schema.nullable", short)
  return make({ anyOf = host.array({ inner.json, { type = "null" } }) }, inner.optional)
end

---An object with any keys, whose values are all of one type.
---@param short perigee.Short
---@return perigee.Schema
function schema.map(short)
  return make({ type = "object", additionalProperties = part("schema.map", short).json })
end

---An object that may have more members than are named.
---@param short table
---@return perigee.Schema
function schema.open(short)
  if type(short) ~= "table" or is_made(short) or check.is_list(short) then
    error("schema.open: needs a table of named members", 2)
  end
  loose = true
  local ok, result = pcall(object, short, "", true)
  loose = false
  if ok then
    return result
  end
  if type(result) == "table" and result.schema_fault then
    error("schema.open: " .. result.path .. ": " .. result.message, 2)
  end
  error(result, 0)
end

---Any of these: `schema.any_of { "string", { "string" } }`.
---@param shorts perigee.Short[]
---@return perigee.Schema
function schema.any_of(shorts)
  if type(shorts) ~= "table" or is_made(shorts) or not check.is_list(shorts) then
    error("schema.any_of: needs a list of schemas", 2)
  end
  local choices = host.array({})
  for i, short in ipairs(shorts) do
    choices[i] = part("schema.any_of", short).json
  end
  return make({ anyOf = choices })
end

local function bounds(who, options, least, most)
  options = options or {}
  local wrong = type(options) ~= "table" and "needs a table, got " .. check.describe(options)
    or check.unknown_key("option", options, { "min", "max" })
  if wrong then
    error(who .. ": " .. wrong, 3)
  end
  for _, key in ipairs({ "min", "max" }) do
    if options[key] ~= nil and type(options[key]) ~= "number" then
      error(who .. ": " .. key .. " must be a number, got " .. check.describe(options[key]), 3)
    end
  end
  return { [least] = options.min, [most] = options.max }
end

---@param options? { min?: integer, max?: integer }
---@return perigee.Schema
function schema.integer(options)
  local json = bounds("schema.integer", options, "minimum", "maximum")
  json.type = "integer"
  return make(json)
end

---@param options? { min?: number, max?: number }
---@return perigee.Schema
function schema.number(options)
  local json = bounds("schema.number", options, "minimum", "maximum")
  json.type = "number"
  return make(json)
end

---Text of a bounded length, in characters.
---@param options? { min?: integer, max?: integer }
---@return perigee.Schema
function schema.string(options)
  local json = bounds("schema.string", options, "minLength", "maxLength")
  json.type = "string"
  return make(json)
end

---A list of a bounded length: `schema.list("message", { min = 1 })`.
---@param short perigee.Short
---@param options? { min?: integer, max?: integer }
---@return perigee.Schema
function schema.list(short, options)
  local json = bounds("schema.list", options, "minItems", "maxItems")
  json.type = "array"
  json.items = part("schema.list", short).json
  return make(json)
end

---Say what a value means, for API documentation and tool descriptions.
---@param short perigee.Short
---@param description string
---@return perigee.Schema
function schema.describe(short, description)
  check.type("schema.describe", "description", description, "string")
  local inner = part("schema.describe", short)
  local json = {}
  for key, value in pairs(inner.json) do
    json[key] = value
  end
  json.description = description
  return make(json, inner.optional)
end

return schema
