-- Values as people read them, and where two of them differ. For the messages of failed assertions.

local host = require("perigee.host")

local format = {}

local MAX_DEPTH = 8
local MAX_CHARACTERS = 4000
local MAX_DIFFERENCES = 20

local function number(value)
  local short = string.format("%.14g", value)
  return tonumber(short) == value and short or string.format("%.17g", value)
end

local function scalar(value)
  if value == host.null then
    return "null"
  end
  if type(value) == "string" then
    return (string.gsub(string.format("%q", value), "\\\n", "\\n"))
  end
  if type(value) == "number" then
    return number(value)
  end
  return tostring(value)
end

-- Keys in order; a table whose keys have no order shows none.
local function keys_of(t)
  local keys = {}
  local ordered = pcall(function()
    for key in pairs(t) do
      keys[#keys + 1] = key
    end
    table.sort(keys, function(a, b)
      if type(a) ~= type(b) then
        return type(a) < type(b)
      end
      return a < b
    end)
  end)
  return ordered and keys or {}
end

local function key_text(key)
  if type(key) == "string" and string.find(key, "^[%a_][%w_]*$") then
    return key
  end
  return "[" .. scalar(key) .. "]"
end

local Writer = {}
Writer.__index = Writer

function Writer:add(text)
  self.size = self.size + #text
  self.parts[#self.parts + 1] = text
end

function Writer:table(t, indent)
  if self.open[t] then
    self:add("{ itself }")
    return
  end
  local keys = keys_of(t)
  if #keys == 0 then
    self:add("{}")
    return
  end
  if #indent / 2 >= MAX_DEPTH then
    self:add("{ … }")
    return
  end
  self.open[t] = true
  local inner = indent .. "  "
  self:add("{\n")
  for _, key in ipairs(keys) do
    if self.size > MAX_CHARACTERS then
      self:add(inner .. "…\n")
      break
    end
    self:add(inner .. key_text(key) .. " = ")
    self:value(t[key], inner)
    self:add(",\n")
  end
  self:add(indent .. "}")
  self.open[t] = nil
end

function Writer:value(value, indent)
  if type(value) == "table" and value ~= host.null then
    self:table(value, indent)
  else
    self:add(scalar(value))
  end
end

---@param value any
---@return string
function format.show(value)
  local writer = setmetatable({ parts = {}, size = 0, open = {} }, Writer)
  writer:value(value, "")
  return table.concat(writer.parts)
end

-- One line, for lists of differences.
local function brief(value)
  local text = string.gsub(format.show(value), "%s*\n%s*", " ")
  return #text > 100 and string.sub(text, 1, 97) .. "…" or text
end
format.brief = brief

local function compare(expected, actual, path, found, open)
  if rawequal(expected, actual) or expected == actual then
    return
  end
  local tables = type(expected) == "table" and type(actual) == "table"
  if not tables or expected == host.null or actual == host.null then
    local both_nan = expected ~= expected and actual ~= actual
    if not both_nan then
      found[#found + 1] = { path = path, expected = expected, actual = actual }
    end
    return
  end
  if open[expected] == actual then
    return
  end
  open[expected] = actual
  local seen = {}
  for key, value in pairs(expected) do
    seen[key] = true
    compare(value, actual[key], path .. "." .. tostring(key), found, open)
  end
  for key, value in pairs(actual) do
    if not seen[key] then
      compare(nil, value, path .. "." .. tostring(key), found, open)
    end
  end
  open[expected] = nil
end

---Where two values differ: nothing when they are the same in depth.
---@param expected any
---@param actual any
---@return { path: string, expected: any, actual: any }[]
function format.differences(expected, actual)
  local found = {}
  compare(expected, actual, "", found, {})
  return found
end

---@param found { path: string, expected: any, actual: any }[]
---@return string
function format.list(found)
  local lines = {}
  for i = 1, math.min(#found, MAX_DIFFERENCES) do
    local one = found[i]
    local path = one.path == "" and "the value" or one.path
    lines[i] = "  " .. path .. ": expected " .. brief(one.expected) .. ", got " .. brief(one.actual)
  end
  if #found > MAX_DIFFERENCES then
    lines[#lines + 1] = "  and " .. (#found - MAX_DIFFERENCES) .. " more"
  end
  return table.concat(lines, "\n")
end

return format
