--- Call transcripts: `[timestamp] Speaker: words`, and the ways in which recorders vary it.
--   Speaker: words | [00:12] Speaker: words | 00:12 Speaker: words | Speaker (00:12): words | **Speaker:** words
--   <v Speaker>words (WebVTT) | Speaker  00:12, the words on the lines after it
-- The speaker may come with a title, initials, a role: `Dr. Sam K. Smith, Account Executive:`. After a timestamp
-- anything short is a speaker. A line that opens no utterance goes on with the one before.

local text = require "perigee.text"

local dates = require "perigee.conversation.dates"

local M = {}

local LONGEST_LABEL, MOST_WORDS = 80, 6
local PARTICLES = text.set("de van von der den la le al bin da di el of and at for - / | & from dos du y")
local NO_NAMES = text.set([[
  note notes agenda subject date time re fw ps title participants attendees summary duration
  call meeting transcript action to cc topic warning example http https location recording
  question answer pricing price budget timeline total company next step option phase
  yes no yeah yep thanks thank hi hello hey dear ok okay well sure right look listen also but
  honestly great good sorry here there the this that these those my our your what how why so
]])
-- What may end in a point within a name; single letters may as well.
local POINTED = text.set([[
  dr mr mrs ms mx prof sr jr st ing mag dipl hon rev capt col gen lt sgt inc ltd co corp llc esq
]])
local ROLES = text.set([[
  seller customer rep agent client buyer prospect sales ae lead user caller speaker vendor me
  them a b s c
]])

-- "[2023-10-17T10:00:00]", "[00:12:05]", "(00:12)", "00:12:05 -": the stamp at i and the place behind it.
local function stamp_at(line, i)
  local _, e, inner = line:find("^[%[(]([%d][%d:T.Z+ /apmAPM-]*)[%])]", i)
  if e then
    return inner, e + 1
  end
  _, e, inner = line:find("^(%d%d?:%d%d:?%d?%d?%.?%d?%d?%d?)%s", i)
  if e then
    return inner, e
  end
  _, e, inner = line:find("^(%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:?%d?%d?%.?%d?%d?%d?Z?)%s", i)
  if e then
    return inner, e
  end
  return nil, i
end

local function skip(line, i, class)
  local _, e = line:find("^" .. class .. "+", i)
  return e and e + 1 or i
end

-- One part of a label between commas. Returns how many words, how many begin with a capital; nil where it is no name.
local function count_words(part)
  local count, capitals = 0, 0
  for word in part:gmatch("%S+") do
    count = count + 1
    local bare = word:gsub("%.$", "")
    local lowered, b = bare:lower(), word:byte()
    if bare ~= word and #bare > 1 and not POINTED[lowered] and not bare:find("%.") then
      return nil
    end
    if b >= 65 and b <= 90 or b >= 128 or word:find("^%l'%u") then
      capitals = capitals + 1
    elseif
      not (PARTICLES[word] or ROLES[lowered] or POINTED[lowered] or count > 1 and word:find("^%d+$"))
    then
      return nil
    end
  end
  return count, capitals
end

-- Whether a label looks like somebody's name: words that begin with a capital, or a role; then perhaps their title
-- and firm behind commas.
local function names_somebody(label)
  local bare = label:gsub("%s*[%(%[].*$", "")
  local first = (bare:match("^[%w']+") or ""):lower()
  if NO_NAMES[first] then
    return false
  end
  local named, parts = false, 0
  for part in bare:gmatch("[^,]+") do
    local count, capitals = count_words(part)
    parts = parts + 1
    if not count or count < 1 or count > MOST_WORDS or parts > 3 then
      return false
    end
    if parts == 1 then
      local role = count <= 2 and ROLES[(part:match("%a+") or ""):lower()]
      named = capitals >= 1 or role and true or false
    elseif capitals == 0 and not ROLES[part:match("%a*", 2):lower()] then
      return false
    end
  end
  return named
end

local function count_of_words(label)
  local _, count = label:gsub("%S+", "")
  return count
end

local function clean_label(label)
  label = label:gsub("[*_#>]", "")
  local at = label:match("[%(%[](%d[%d:.]*)[%)%]]")
  if at then
    label = label:gsub("%s*[%(%[]%d[%d:.]*[%)%]]", "")
  end
  label = label:gsub("^[%s-]+", ""):gsub("%s+$", "")
  return label, at
end

-- Speaker and the place of the words for a line that opens an utterance.
local function opening(line)
  local i = skip(line, 1, "[%s*_>\239\187\191-]")
  local stamp, after = stamp_at(line, i)
  i = skip(line, after, "[%s*_>-]")
  local _, voice, name = line:find("^<v%.?%a*%s+([^>]*)>", i)
  if voice then
    return name, stamp, skip(line, voice + 1, "%s"), true
  end
  local colon = line:find(":", i, true)
  -- A colon inside a bracketed time belongs to the label: "Anna (00:12): ...".
  local open = line:find("[%(%[]%d", i)
  if colon and open and open < colon and open - i < LONGEST_LABEL then
    local close = line:find("[%)%]]", open)
    colon = close and line:find(":", close, true) or colon
  end
  if not colon or colon - i > LONGEST_LABEL or colon == i then
    return nil, stamp
  end
  if line:sub(colon + 1, colon + 2) == "//" then
    return nil, stamp
  end
  local label, inner = clean_label(line:sub(i, colon - 1))
  if not label:find("[%a\128-\255]") or label:find("[?!;]") then
    return nil, stamp
  end
  return label, stamp or inner, skip(line, colon + 1, "[%s*_]"), stamp ~= nil
end

-- "Anna Berg  00:12" alone on a line: the words come on the next ones.
local function headline(line)
  local i = skip(line, 1, "[%s*\239\187\191]")
  local label, at = line:match("^(%u[^:%d%[%(]-)%s+[%[%(]?(%d%d?:%d%d:?%d?%d?)[%]%)]?%s*$", i)
  if label and #label <= LONGEST_LABEL and names_somebody(label) then
    return label, at
  end
  return nil
end

local function lines_of(source)
  local list, i = {}, 1
  while i <= #source do
    local stop = source:find("\n", i, true) or #source + 1
    local last = stop - 1
    if last >= i and source:byte(last) == 13 then
      last = last - 1
    end
    list[#list + 1] = { from = i, to = last }
    i = stop + 1
  end
  return list
end

-- A label without a capital or a time ("anna: hi") is somebody only if it speaks again.
local function count_labels(source, lines)
  local counts = {}
  for _, line in ipairs(lines) do
    local label = opening(source:sub(line.from, math.min(line.to, line.from + 160)))
    if label then
      counts[label] = (counts[label] or 0) + 1
    end
  end
  return counts
end

local function opens(counts, label, stamped)
  if not label then
    return false
  end
  if stamped and #label <= 60 and count_of_words(label) <= MOST_WORDS or names_somebody(label) then
    return true
  end
  return counts[label] >= 2
    and not label:find("%s.*%s")
    and not label:find("[.,]")
    and not NO_NAMES[label:lower()]
end

local function close(utterances, current)
  if current and current.stop > current.start then
    utterances[#utterances + 1] = current
  end
end

--- Reads a transcript.
---@param source string
---@return table[] utterances {speaker, start, stop, said_at}, zero-based and half open
function M.read(source)
  local lines = lines_of(source)
  local counts = count_labels(source, lines)
  local utterances, current, pending = {}, nil, nil
  for _, line in ipairs(lines) do
    local words = source:sub(line.from, line.to)
    local head, head_at = headline(words)
    local label, stamp, at, stamped = opening(words)
    if words:find("-->", 1, true) then
      pending = nil
    elseif head then
      close(utterances, current)
      current, pending = nil, { speaker = head, said_at = dates.normalise(head_at) }
    elseif opens(counts, label, stamped) then
      close(utterances, current)
      pending = nil
      current = {
        speaker = label,
        said_at = dates.normalise(stamp),
        start = line.from + at - 2,
        stop = line.to,
      }
    elseif current and words:find("%S") and not words:find("^%s*%d+%s*$") then
      current.stop = line.to
    elseif pending and words:find("%S") then
      current = {
        speaker = pending.speaker,
        said_at = pending.said_at,
        start = line.from - 1,
        stop = line.to,
      }
      pending = nil
    end
  end
  close(utterances, current)
  return utterances
end

return M
