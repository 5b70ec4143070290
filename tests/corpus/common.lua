-- What both tools share: a small JSON reader, folders, and how words are compared.
-- luacheck: globals io package (a tool for a plain luajit, not a script in a cell)
local M = {}

M.null = setmetatable({}, { __tostring = function() return "null" end })

local ESCAPES = { b = "\b", f = "\f", n = "\n", r = "\r", t = "\t", ['"'] = '"', ["\\"] = "\\",
  ["/"] = "/" }

local function utf8(code)
  local char, floor = string.char, math.floor
  if code < 0x80 then return char(code) end
  if code < 0x800 then return char(0xC0 + floor(code / 64), 0x80 + code % 64) end
  if code < 0x10000 then
    return char(0xE0 + floor(code / 4096), 0x80 + floor(code / 64) % 64, 0x80 + code % 64)
  end
  return char(0xF0 + floor(code / 262144), 0x80 + floor(code / 4096) % 64,
    0x80 + floor(code / 64) % 64,
    0x80 + code % 64)
end

-- Reads one JSON text; null becomes M.null. Raises a message with the byte it stopped at.
function M.decode(text)
  local at = 1
  local value

  local function fail(what)
    error(("JSON: %s at byte %d"):format(what, at), 0)
  end

  local function blank()
    at = text:find("[^ \t\r\n]", at) or #text + 1
  end

  local function expect(byte)
    if text:sub(at, at) ~= byte then fail(byte .. " expected") end
    at = at + 1
  end

  local function hex()
    local digits = text:match("^%x%x%x%x", at)
    if not digits then fail("four hex digits expected") end
    at = at + 4
    return tonumber(digits, 16)
  end

  local function str()
    expect('"')
    local parts = {}
    while true do
      local stop = text:find('["\\]', at)
      if not stop then fail("unfinished string") end
      parts[#parts + 1] = text:sub(at, stop - 1)
      at = stop + 1
      if text:sub(stop, stop) == '"' then return table.concat(parts) end
      local letter = text:sub(at, at)
      at = at + 1
      if letter == "u" then
        local code = hex()
        if code >= 0xD800 and code < 0xDC00 and text:sub(at, at + 1) == "\\u" then
          at = at + 2
          code = 0x10000 + (code - 0xD800) * 1024 + (hex() - 0xDC00)
        end
        parts[#parts + 1] = utf8(code)
      else
        parts[#parts + 1] = ESCAPES[letter] or fail("unknown escape")
      end
    end
  end

  local function list()
    local out = {}
    expect("[")
    blank()
    if text:sub(at, at) == "]" then at = at + 1 return out end
    while true do
      out[#out + 1] = value()
      blank()
      if text:sub(at, at) ~= "," then break end
      at = at + 1
    end
    expect("]")
    return out
  end

  local function object()
    local out = {}
    expect("{")
    blank()
    if text:sub(at, at) == "}" then at = at + 1 return out end
    while true do
      blank()
      local key = str()
      blank()
      expect(":")
      out[key] = value()
      blank()
      if text:sub(at, at) ~= "," then break end
      at = at + 1
    end
    expect("}")
    return out
  end

  function value()
    blank()
    local first = text:sub(at, at)
    if first == "{" then return object() end
    if first == "[" then return list() end
    if first == '"' then return str() end
    for word, meant in pairs({ ["true"] = true, ["false"] = false, null = M.null }) do
      if text:sub(at, at + #word - 1) == word then
        at = at + #word
        return meant
      end
    end
    local digits = text:match("^-?%d+%.?%d*[eE]?[+-]?%d*", at)
    if not digits or not tonumber(digits) then fail("value expected") end
    at = at + #digits
    return tonumber(digits)
  end

  local result = value()
  blank()
  if at <= #text then fail("trailing text") end
  return result
end

function M.read(path)
  local file, why = io.open(path, "rb")
  if not file then return nil, why end
  local text = file:read("*a")
  file:close()
  if not text then return nil, path .. ": cannot be read" end
  local ok, result = pcall(M.decode, text)
  if not ok then return nil, path .. ": " .. result end
  return result
end

-- The names (without .json) in a folder, in order.
function M.names(folder)
  local out = {}
  local pipe = io.popen("LC_ALL=C ls -- '" .. folder:gsub("'", "'\\''") .. "' 2>/dev/null")
  for line in pipe:lines() do
    local name = line:match("^(.+)%.json$")
    if name then out[#out + 1] = name end
  end
  pipe:close()
  return out
end

-- Words as they are compared: lower case, straight quotes, single blanks.
function M.plain(text)
  text = text:gsub("\226\128[\152\153]", "'"):gsub("\226\128[\156\157]", '"'):gsub("\194\160", " ")
  return (text:lower():gsub("%s+", " "))
end

function M.contains(text, words)
  return M.plain(text):find(M.plain(words), 1, true) ~= nil
end

-- The conversation's texts: one, or one a message.
function M.texts(conversation)
  if type(conversation.text) == "string" then return { conversation.text } end
  local out = {}
  for i, message in ipairs(conversation.messages or {}) do out[i] = message.text end
  return out
end

M.BANT = { "budget", "authority", "need", "timeline" }
M.MEDDIC = { "metrics", "economic_buyer", "decision_criteria", "decision_process",
  "paper_process", "pain",
  "champion", "competition" }

return M
