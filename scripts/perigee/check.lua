-- Argument checks and good error messages, shared by the modules of the runtime.
-- A public function checks its arguments first; a mistake is raised at the line of whoever called it.

local host = require("perigee.host")

local check = {}

local RUNTIME = "^scripts/perigee/"
local SPEC = "_spec%.lua$"
local DEEPEST = 60
local CUT = 59 -- bytes of a path that Lua puts into a message

-- A path that was cut, whole again.
local function whole(path)
  if #path < CUT then
    return path
  end
  for _, module in ipairs(host.modules()) do
    local source = host.source(module)
    if string.sub(source, 1, #path) == path then
      return source
    end
  end
  return path
end

-- The sandbox has no debug library. What an error at a level would name as its position is the position.
local function position(level)
  local _, message = pcall(function()
    error("", level)
  end)
  local path, line = string.match(tostring(message), "^(.-):(%d+): $")
  return path and whole(path), tonumber(line)
end

-- The runtime's own files, and the sandbox's, which are no files at all.
local function is_runtime(path)
  local is_file = string.find(path, "%.lua$") ~= nil
  return not is_file or (string.find(path, RUNTIME) ~= nil and string.find(path, SPEC) == nil)
end

---The nearest line of the call stack that is not the runtime's own: the author's.
---@return string? path
---@return integer? line
function check.where()
  for level = 2, DEEPEST do
    local path, line = position(level)
    if path and not is_runtime(path) then
      return path, line
    end
  end
end

---Every known position of the call stack, innermost first, in place of debug.traceback.
---@return { path: string, line: integer, runtime: boolean }[]
function check.stack()
  local frames = {}
  for level = 2, DEEPEST do
    local path, line = position(level)
    if path then
      frames[#frames + 1] = { path = path, line = line, runtime = is_runtime(path) }
    end
  end
  return frames
end

---Raise a message at the author's line.
---@param message string
function check.fail(message)
  local path, line = check.where()
  if path then
    message = path .. ":" .. line .. ": " .. message
  end
  error(message, 0)
end

---How a value is named in a message.
---@param value any
---@return string
function check.describe(value)
  local kind = type(value)
  if kind == "string" then
    local shown = #value > 40 and string.sub(value, 1, 37) .. "..." or value
    return '"' .. shown .. '"'
  end
  if value == host.null then
    return "null"
  end
  if kind == "number" or kind == "boolean" or kind == "nil" then
    return tostring(value)
  end
  return "a " .. kind
end

---@param who string the function, as the author writes it: "records.get"
---@param name string the argument
---@param value any
---@param expected string a Lua type
function check.type(who, name, value, expected)
  if type(value) ~= expected then
    error(who .. ": " .. name .. " must be a " .. expected .. ", got " .. check.describe(value), 3)
  end
end

---A string that is not empty.
function check.name(who, name, value)
  if type(value) ~= "string" or value == "" then
    local got = check.describe(value)
    error(who .. ": " .. name .. " must be a string that is not empty, got " .. got, 3)
  end
end

---An integer of at least `minimum`.
function check.integer(who, name, value, minimum)
  local fits = type(value) == "number" and value % 1 == 0 and value >= minimum
  if not fits then
    local wanted = " must be an integer of at least " .. minimum
    error(who .. ": " .. name .. wanted .. ", got " .. check.describe(value), 3)
  end
end

-- Edit distance in which two neighbours that changed places count once.
local function distance(a, b)
  local before, row = nil, {}
  for j = 0, #b do
    row[j] = j
  end
  for i = 1, #a do
    local next_row = { [0] = i }
    for j = 1, #b do
      local x, y = string.byte(a, i), string.byte(b, j)
      local d = math.min(row[j - 1] + (x == y and 0 or 1), row[j] + 1, next_row[j - 1] + 1)
      local crossed = i > 1 and j > 1 and x == string.byte(b, j - 1) and y == string.byte(a, i - 1)
      next_row[j] = crossed and math.min(d, before[j - 2] + 1) or d
    end
    before, row = row, next_row
  end
  return row[#b]
end

local function begins(long, short)
  return #short >= 3 and string.sub(long, 1, #short) == short
end

local function remoteness(a, b)
  if begins(a, b) or begins(b, a) then
    return 1
  end
  return distance(a, b)
end

---The known names nearest to a mistaken one, best first, at most three.
---@param name string
---@param known string[]
---@return string[]
function check.near(name, known)
  local found = {}
  local limit = math.max(1, math.floor(#name / 3))
  if #name <= 64 then
    for _, candidate in ipairs(known) do
      local d = remoteness(string.lower(name), string.lower(candidate))
      if d <= limit then
        found[#found + 1] = { d = d, name = candidate }
      end
    end
  end
  table.sort(found, function(a, b)
    return a.d < b.d or (a.d == b.d and a.name < b.name)
  end)
  local names = {}
  for i = 1, math.min(3, #found) do
    names[i] = found[i].name
  end
  return names
end

---`unknown option "wher"; did you mean "where"?` or the list of what exists.
---@param what string
---@param name any
---@param known string[]
---@return string
function check.unknown(what, name, known)
  local text = "unknown " .. what .. " " .. check.describe(name)
  local near = type(name) == "string" and check.near(name, known) or {}
  if #near > 0 then
    return text .. '; did you mean "' .. table.concat(near, '" or "') .. '"?'
  end
  if #known == 0 then
    return text .. "; there is none"
  end
  return text .. "; known: " .. table.concat(known, ", ")
end

---The first key of a table that is not among the known ones, as a message; nil when all are.
---@param what string
---@param t table
---@param known string[]
---@return string?
function check.unknown_key(what, t, known)
  local allowed = {}
  for _, name in ipairs(known) do
    allowed[name] = true
  end
  for key in pairs(t) do
    if not allowed[key] then
      return check.unknown(what, key, known)
    end
  end
end

---Options of a public function: nil or a table with known keys.
---@param who string
---@param options any
---@param known string[]
---@return table options never nil
function check.options(who, options, known)
  if options == nil then
    return {}
  end
  if type(options) ~= "table" then
    error(who .. ": options must be a table, got " .. check.describe(options), 3)
  end
  local fault = check.unknown_key("option", options, known)
  if fault then
    error(who .. ": " .. fault, 3)
  end
  return options
end

---@param t table
---@return string[] keys in order
function check.keys(t)
  local keys = {}
  for key in pairs(t) do
    keys[#keys + 1] = key
  end
  table.sort(keys, function(a, b)
    return tostring(a) < tostring(b)
  end)
  return keys
end

---Lua's two kinds of table, by their keys: a list has 1..n and nothing else.
---@param t table
---@return boolean
function check.is_list(t)
  local count = 0
  for key in pairs(t) do
    if type(key) ~= "number" then
      return false
    end
    count = count + 1
  end
  return count > 0 and count == #t
end

return check
