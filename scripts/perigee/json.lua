-- JSON in scripts: the codec of the channel, so what is encoded here reads back exactly.

local host = require("perigee.host")
local check = require("perigee.check")

local json = {}

---JSON's null. It is a value of its own and counts as true in Lua: compare with `== json.null`.
json.null = host.null

---Canonical JSON text: keys in bytewise order, no spaces. An empty table is `{}` unless marked by json.array.
---@param value any
---@return string
function json.encode(value)
  return host.json_encode(value)
end

---Read JSON text; raises on anything that is not exactly one JSON value.
---@param text string
---@return any
function json.decode(text)
  check.type("json.decode", "text", text, "string")
  return host.json_decode(text)
end

---Mark a list as an array, so that it stays `[]` when it is empty. Returns the same table.
---@generic T: table
---@param list? T
---@return T
function json.array(list)
  if list ~= nil then
    check.type("json.array", "list", list, "table")
  end
  return host.array(list or {})
end

---Is this table encoded as an array?
---@param value any
---@return boolean
function json.is_array(value)
  return type(value) == "table" and (host.is_array(value) or check.is_list(value))
end

---An object: a table with string keys only (checked). Returns the same table.
---@generic T: table
---@param t? T
---@return T
function json.object(t)
  t = t or {}
  check.type("json.object", "t", t, "table")
  for key in pairs(t) do
    if type(key) ~= "string" then
      error("json.object: keys must be strings, got " .. check.describe(key), 2)
    end
  end
  return t
end

return json
