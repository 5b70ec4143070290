--- Plain-text mail threads: headers, quoted history, forwarded blocks, signatures.

local text = require "perigee.text"

local dates = require "perigee.conversation.dates"

local M = {}

local HEADERS = text.set([[
  from to date sent subject cc bcc reply-to message-id in-reply-to references von an datum
]])
local CLOSINGS = {
  "best regards",
  "kind regards",
  "best wishes",
  "warm regards",
  "regards",
  "sincerely",
  "yours sincerely",
  "cheers",
  "best",
  "many thanks",
  "thanks",
  "thank you",
  "all the best",
  "with best regards",
  "yours truly",
  "respectfully",
  "talk soon",
  "cordially",
}
local CLOSING = text.set("")
for _, words in ipairs(CLOSINGS) do
  CLOSING[words] = true
end
local FURTHEST_CLOSING, LONGEST_SIGNATURE_LINE = 8, 60

local function lines_of(source, from, to)
  local list, i = {}, from
  while i <= to do
    local stop = source:find("\n", i, true)
    if not stop or stop > to then
      stop = to + 1
    end
    local last = stop - 1
    if last >= i and source:byte(last) == 13 then
      last = last - 1
    end
    local depth, at = 0, i
    while at <= last do
      local b = source:byte(at)
      if b == 62 then
        depth = depth + 1
      elseif b ~= 32 and b ~= 9 then
        break
      end
      at = at + 1
    end
    if depth == 0 then
      at = i
    end
    list[#list + 1] = {
      from = i,
      to = last,
      depth = depth,
      words_from = at,
      text = source:sub(at, math.min(last, at + 400)),
    }
    i = stop + 1
  end
  return list
end

local function header_of(line)
  local _, e, name = line.text:find("^%s*%**([%a-]+)%**:%**%s*")
  name = name and name:lower()
  if name and HEADERS[name] then
    return name, line.text:sub(e + 1)
  end
  return nil
end

-- A message begins where at least two header lines stand together, one of them From.
local function header_block(lines, k)
  local headers, n, count = {}, k, 0
  while lines[n] do
    local name, value = header_of(lines[n])
    if name then
      headers[name] = headers[name] or value
      count = count + 1
    elseif count == 0 or not lines[n].text:find("^%s+%S") then
      break
    end
    n = n + 1
  end
  if (headers.from or headers.von) and count >= 2 then
    return headers, n
  end
  return nil
end

-- "On Mon, 3 Mar 2025 at 10:12, Anna Berg <anna@acme.example> wrote:" within one or two lines.
local function attribution(lines, k)
  local line = lines[k]
  if not line.text:find("^%s*On%s") and not line.text:find("^%s*Am%s") then
    return nil
  end
  local whole, last = line.text, k
  if not whole:find("wrote:%s*$") and not whole:find("schrieb:%s*$") then
    local nxt = lines[k + 1]
    if not nxt then
      return nil
    end
    whole, last = whole .. " " .. nxt.text, k + 1
    if not whole:find("wrote:%s*$") then
      return nil
    end
  end
  local body = whole:gsub("%s*wrote:%s*$", ""):gsub("%s*schrieb.*$", "")
  local at = dates.normalise(body)
  local person = body:match("([^,:%d]+<[^>]+>)%s*$")
    or body:match("<([^>]+)>%s*$")
    or body:match("%d%s*[AP]?M?,%s*([^,:%d<>]+)$")
    or body:match(",%s*([^,:%d<>]+)$")
    or body:match("%d%d%d%d%s+([^,:%d<>]+)$")
  return person and person:gsub("^%s+", ""):gsub("%s+$", "") or nil, at, last
end

local function is_divider(line)
  return line.text:find("^%s*%-%-%-+%s*%a[%a ]*%-%-%-+%s*$") ~= nil
    or line.text:find("^%s*Begin forwarded message:") ~= nil
    or line.text:find("^%s*_____+%s*$") ~= nil
end

local function plain(words)
  return (words:lower():gsub("[%s,.!]+$", ""):gsub("^%s+", ""))
end

--- Where the words of a message end and its signature begins.
---@param source string
---@param start integer zero-based
---@param stop integer exclusive
---@return integer stop
function M.end_of_words(source, start, stop)
  local lines = lines_of(source, start + 1, stop)
  for k, line in ipairs(lines) do
    if line.depth == 0 then
      if
        line.text:find("^%-%-%s?$")
        or line.text:find("^Sent from my ")
        or line.text:find("^Get Outlook for")
      then
        local quoted_later = false
        for n = k + 1, #lines do
          if lines[n].depth > 0 or attribution(lines, n) then
            quoted_later = true
          end
        end
        if not quoted_later then
          return line.from - 1
        end
      elseif CLOSING[plain(line.text)] and #lines - k <= FURTHEST_CLOSING and k > 1 then
        local short = true
        for n = k + 1, #lines do
          if
            #lines[n].text > LONGEST_SIGNATURE_LINE
            or lines[n].depth > 0
            or attribution(lines, n)
          then
            short = false
          end
        end
        if short then
          return line.from - 1
        end
      end
    end
  end
  return stop
end

local function add(out, block)
  if not block.from or block.to < block.from then
    return
  end
  local source = block.source
  local stop = M.end_of_words(source, block.from - 1, block.to)
  local _, blank = source:find("^%s+", block.from)
  if blank then
    block.from = blank + 1
  end
  local words = source:sub(block.from, stop)
  if words:find("[^%s>]") then
    out[#out + 1] = {
      speaker = block.speaker,
      said_at = block.said_at,
      start = block.from - 1,
      stop = stop,
      quoted = block.quoted,
      to = block.addressee,
      subject = block.subject,
      side = block.side,
      source = block.source_number,
      written = true,
    }
  end
end

-- Walks the lines; a header block, an attribution, a change of quoting depth each open another person's words.
local function walk(source, lines, block, out)
  local k, remembered = 1, {}
  local function open(fields, from)
    add(out, block)
    fields.source, fields.source_number = source, block.source_number
    fields.from, fields.to = from, from - 1
    block = fields
  end
  while lines[k] do
    local line = lines[k]
    local headers, after = header_block(lines, k)
    local person, at, last = attribution(lines, k)
    if headers then
      local quoted = line.depth > 0 or block.forwarding
      open({
        speaker = headers.from or headers.von,
        said_at = dates.normalise(headers.date or headers.sent or headers.datum),
        addressee = headers.to,
        subject = headers.subject,
        quoted = quoted or nil,
        depth = line.depth,
      }, lines[after] and lines[after].from or #source + 1)
      k = after - 1
    elseif last then
      remembered[line.depth + 1] = { speaker = person, said_at = at }
      open({
        speaker = block.speaker,
        said_at = block.said_at,
        quoted = block.quoted,
        depth = block.depth,
        side = block.side,
      }, line.to + 1)
      k = last
      block.from, block.to = nil, 0
      block.announced = remembered[line.depth + 1]
    elseif is_divider(line) then
      open({ forwarding = true, quoted = true, depth = line.depth }, line.to + 1)
      block.from = nil
    elseif line.text:find("%S") then
      if line.depth ~= (block.depth or 0) then
        local known = line.depth == 0 and remembered[0] or remembered[line.depth] or {}
        open({
          speaker = known.speaker,
          said_at = known.said_at,
          quoted = line.depth > 0 or nil,
          depth = line.depth,
          side = known.side,
        }, line.words_from)
      elseif block.announced then
        -- History that lost its quote marks: what follows "wrote:" is still the other person's.
        open({
          speaker = block.announced.speaker,
          said_at = block.announced.said_at,
          quoted = true,
          depth = line.depth,
        }, line.words_from)
      elseif not block.from then
        block.from = line.words_from
      end
      block.to = line.to
    end
    if block.depth == 0 and block.speaker and not block.quoted then
      remembered[0] = { speaker = block.speaker, said_at = block.said_at, side = block.side }
    end
    k = k + 1
  end
  add(out, block)
end

--- Reads a thread.
---@param source string
---@return table[] utterances
function M.read(source)
  local out = {}
  local body = source:sub(1, 3) == "\239\187\191" and 4 or 1
  local lines = lines_of(source, body, #source)
  walk(source, lines, { source = source, depth = 0, to = 0 }, out)
  local spoken = {}
  for _, utterance in ipairs(out) do
    if utterance.speaker then
      spoken[#spoken + 1] = utterance
    end
  end
  return spoken
end

--- Tells the quoted history in one message from the message's own words.
---@param source string
---@param utterance table with source number, start, stop, speaker, side, said_at
---@param out table[] the message's parts are appended
function M.split_quoted(source, utterance, out)
  local words = source:sub(utterance.start + 1, utterance.stop)
  if
    not words:find("\n>", 1, true)
    and not words:find("wrote:", 1, true)
    and words:sub(1, 1) ~= ">"
    and not words:find("----", 1, true)
  then
    out[#out + 1] = utterance
    return
  end
  local parts = {}
  local lines = lines_of(source, utterance.start + 1, utterance.stop)
  walk(source, lines, {
    source = source,
    source_number = utterance.source,
    depth = 0,
    to = 0,
    speaker = utterance.speaker,
    said_at = utterance.said_at,
    side = utterance.side,
  }, parts)
  for _, part in ipairs(parts) do
    part.source, part.to = utterance.source, part.to or utterance.to
    out[#out + 1] = part
  end
end

return M
