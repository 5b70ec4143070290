--- Words and sentences with the place where they stand.
-- Everything works on a *shadow*: the source in lower case, typographic marks replaced by plain ones, and every
-- byte in its old place. Offsets found in the shadow are therefore offsets of the source, and quotes need no
-- repair. The only patterns used are single character classes, so the time is linear in the text whoever wrote it.

local M = {}

local byte, find, gsub, lower, sub = string.byte, string.find, string.gsub, string.lower, string.sub
local tonumber = tonumber

--- A set of words, written as a text.
---@param words string
---@return table<string, true>
function M.set(words)
  local found = {}
  for word in words:gmatch("%S+") do
    found[word] = true
  end
  return found
end

local set = M.set

-- Three-byte marks and what stands in for them; "\1" is padding that belongs to the mark before it.
local MARKS = {
  ["\226\128\152"] = "'\1\1",
  ["\226\128\153"] = "'\1\1",
  ["\226\128\155"] = "'\1\1",
  ["\226\128\156"] = '"\1\1',
  ["\226\128\157"] = '"\1\1',
  ["\226\128\147"] = "-\1\1",
  ["\226\128\148"] = ";\1\1",
  ["\226\128\146"] = "-\1\1",
  ["\226\128\149"] = ";\1\1",
  ["\226\128\166"] = ".\1\1",
  ["\226\128\175"] = "   ",
  ["\226\128\137"] = "   ",
  ["\226\128\139"] = "   ",
  ["\226\130\172"] = "\6\1\1",
  ["\239\187\191"] = "   ",
  ["\226\128\162"] = "-\1\1",
}
local SHORT_MARKS =
  { ["\194\160"] = "  ", ["\194\163"] = "\5\1", ["\194\165"] = "\7\1", ["\194\180"] = "'\1" }

-- What may follow an apostrophe, and the word it stands for.
local ENDINGS = { m = "am", re = "are", ve = "have", ll = "will", d = "would" }

-- "'s" is "is" after these and a possessive after anything else.
local IS = set([[
  it that what there here he she who how where everything this when nobody everyone one which
]])

local WHOLE = {
  ["won't"] = { "will", "not" },
  ["can't"] = { "can", "not" },
  ["shan't"] = { "shall", "not" },
  ["ain't"] = { "is", "not" },
  ["let's"] = { "let", "us" },
  ["y'all"] = { "you", "all" },
  cannot = { "can", "not" },
  gonna = { "going", "to" },
  wanna = { "want", "to" },
  gotta = { "got", "to" },
  dont = { "do", "not" },
  doesnt = { "does", "not" },
  didnt = { "did", "not" },
  cant = { "can", "not" },
  isnt = { "is", "not" },
  arent = { "are", "not" },
  wasnt = { "was", "not" },
  wouldnt = { "would", "not" },
  couldnt = { "could", "not" },
  havent = { "have", "not" },
  hasnt = { "has", "not" },
  im = { "i", "am" },
  ive = { "i", "have" },
  thats = { "that", "is" },
  lets = { "let", "us" },
  weve = { "we", "have" },
  theres = { "there", "is" },
  wont = { "will", "not" },
  budgetary = { "budget" },
}

local ABBREVIATIONS = set([[
  mr mrs ms dr prof st vs etc inc ltd co corp approx jr sr no dept est fig e g i a p m u s
]])
-- Single letters are abbreviations only when a further letter follows ("e.g.", "a.m."): "with me and I." ends.

local CURRENCY = { [36] = "USD", [5] = "GBP", [6] = "EUR", [7] = "JPY" }

--- The source in lower case and plain marks, byte for byte in the same place.
---@param source string
---@return string shadow of the same length
function M.shadow(source)
  local plain = source
  if find(plain, "[\1-\8]") then
    plain = gsub(plain, "[\1-\8]", " ")
  end
  if find(plain, "[\194\226\239]") then
    plain = gsub(plain, "[\226\239][\128\130\187][\128-\191]", MARKS)
    plain = gsub(plain, "\194[\160\163\165\180]", SHORT_MARKS)
  end
  return lower(plain)
end

local expansions = {}

local function expand_apostrophe(word)
  local whole = WHOLE[word]
  if whole then
    return whole
  end
  local at = find(word, "'", 1, true)
  local stem, ending = sub(word, 1, at - 1), sub(word, at + 1)
  if ending == "t" and sub(stem, -1) == "n" and #stem > 1 then
    return { sub(stem, 1, -2), "not" }
  elseif ENDINGS[ending] and stem ~= "" then
    return { stem, ENDINGS[ending] }
  elseif ending == "s" and IS[stem] then
    return { stem, "is" }
  elseif ending == "s" or ending == "" then
    return stem == "" and {} or { stem, "'s" }
  end
  local plain = gsub(word, "'", "")
  return plain == "" and {} or { plain }
end

--- The words that a written word stands for ("don't" is "do", "not").
---@param word string lower case
---@return string[]|nil words, nil where the word stands for itself
function M.expand(word)
  if WHOLE[word] then
    return WHOLE[word]
  end
  if not find(word, "'", 1, true) then
    return nil
  end
  local known = expansions[word]
  if not known then
    known = expand_apostrophe(word)
  end
  return known
end

--- An empty reading: parallel arrays of words, and the sentences that they form.
---@return table reading
function M.new_reading()
  return {
    count = 0,
    words = {},
    starts = {},
    stops = {},
    breaks = {},
    numbers = {},
    suffixes = {},
    currencies = {},
    sentences = {},
  }
end

local function add_word(reading, word, start, stop, brk)
  local n = reading.count + 1
  reading.count = n
  reading.words[n], reading.starts[n], reading.stops[n] = word, start, stop
  reading.breaks[n] = brk or false
  return n
end

local function close_sentence(reading, state, stop, mark)
  if reading.count >= state.first then
    local list = reading.sentences
    list[#list + 1] = {
      first = state.first,
      last = reading.count,
      start = reading.starts[state.first],
      stop = stop > reading.stops[reading.count] and stop or reading.stops[reading.count],
      question = mark == "?",
      utterance = state.utterance,
    }
  end
  state.first = reading.count + 1
  state.brk = nil
end

local function read_word(reading, shadow, i, limit, state)
  local _, e = find(shadow, "^[%w\1\128-\255']+", i)
  if e > limit then
    e = limit
  end
  local word = sub(shadow, i, e)
  if find(word, "\1", 1, true) then
    word = gsub(word, "\1", "")
  end
  if find(word, "'", 1, true) then
    local _, quotes = find(word, "^'+")
    if quotes then
      word = sub(word, quotes + 1)
    end
    while sub(word, -1) == "'" do
      word = sub(word, 1, -2)
    end
  end
  local parts = M.expand(word)
  if parts then
    for k = 1, #parts do
      add_word(reading, parts[k], i - 1, e, state.brk)
      state.brk = nil
    end
  elseif word ~= "" then
    add_word(reading, word, i - 1, e, state.brk)
    state.brk = nil
  end
  return e + 1
end

-- "1,307", "3.5", "10.000" (a point and exactly three digits is a thousands mark), with what is glued to it: "5k",
-- "20th".
local function read_number(reading, shadow, i, limit, state)
  local _, iso = find(shadow, "^%d%d%d%d%-%d%d%-%d%d", i)
  local _, e = find(shadow, "^[%d,.:/]+", i)
  if e > limit then
    e = limit
  end
  while find(sub(shadow, e, e), "[,.:/]") do
    e = e - 1
  end
  local digits = sub(shadow, i, e)
  local n
  if iso and iso <= limit then
    e = iso
    n = add_word(reading, "#date", i - 1, e, state.brk)
    reading.suffixes[n] = sub(shadow, i, e)
  elseif find(digits, "[:/]") then
    n = add_word(reading, find(digits, "24/7", 1, true) and "24/7" or "#time", i - 1, e, state.brk)
    reading.suffixes[n] = digits
  else
    local plain = gsub(digits, ",", "")
    local whole, thousands = string.match(plain, "^(%d%d?%d?)%.(%d%d%d)$")
    n = add_word(reading, "#", i - 1, e, state.brk)
    reading.numbers[n] = whole and tonumber(whole .. thousands) or tonumber(plain) or 0
    local _, tail = find(shadow, "^[a-z%%]+", e + 1)
    if tail and tail <= limit then
      reading.suffixes[n] = sub(shadow, e + 1, tail)
      e = tail
      reading.stops[n] = e
    end
  end
  if state.currency then
    reading.currencies[n] = state.currency
    reading.starts[n] = state.currency_at - 1
    state.currency = nil
  end
  state.brk = nil
  return e + 1
end

local function ends_sentence(reading, shadow, i, e, limit)
  local after = sub(shadow, e + 1, e + 1)
  if e >= limit or after == "" then
    return true
  end
  if not find(after, "[%s\"')%]<\1]") then
    -- A point inside a name ("example.com") ends nothing; "!" and "?" end wherever they stand.
    return sub(shadow, e, e) ~= "."
  end
  local word = reading.words[reading.count]
  if
    i == e
    and sub(shadow, i, i) == "."
    and word
    and ABBREVIATIONS[word]
    and reading.stops[reading.count] == i - 1
  then
    local before = sub(shadow, i - 2, i - 2)
    if #word == 1 then
      return not (
        before == "." or find(shadow, "^%.%s+%l", i) ~= nil and word ~= "i" and word ~= "a"
      )
    end
    return word == "etc" or word == "no" or word == "co" or word == "inc" or word == "ltd"
  end
  return true
end

-- No sentence ends in one of these.
local GOES_ON = set([[
  a an the this these those our your my his her its their to of for with in on at by from and or but not that if
  because is are was were be been has have had do does did will would can could should may might must we i they
  it's we're i'm don't can't won't any no some very more than as so
]])
local GREETINGS = set("hi hello hey dear good thanks")

-- Whether a short line is not the end of its sentence but was wrapped: the next one begins in lower case, and either
-- this one cannot end here, or its writer begins sentences with a capital.
local function is_wrapped(shadow, i, after, state)
  local source = state.source
  if not source or not find(source, "^%l", after) then
    return false
  end
  local line = sub(shadow, state.line, i - 1)
  if find(line, "[.?!:;]%s*$") or GREETINGS[string.match(line, "^[%s>]*(%a+)") or ""] then
    return false
  end
  return GOES_ON[string.match(line, "([%a']+)%s*$") or ""] or find(source, "^%s*%u", state.from) ~= nil
end

-- A line end closes a sentence before a blank line, a list item, or after a short line: a greeting, a heading.
local function line_ends_sentence(shadow, i, limit, state)
  local _, e = find(shadow, "^[%s>]+", i)
  if not e or e >= limit then
    return true
  end
  local blank = sub(shadow, i, e)
  local _, lines = gsub(blank, "\n", "")
  if lines > 1 then
    return true
  end
  local nxt = sub(shadow, e + 1, e + 2)
  if find(nxt, "^[-*#]") or find(nxt, "^%d[.)]") then
    return true
  end
  return i - state.line < 40 and not is_wrapped(shadow, i, e + 1, state)
end

local function read_mark(reading, shadow, i, limit, state)
  local b = byte(shadow, i)
  if b == 46 or b == 33 or b == 63 then
    local _, e = find(shadow, "^[.?!\1]+", i)
    if e > limit then
      e = limit
    end
    if ends_sentence(reading, shadow, i, e, limit) then
      close_sentence(reading, state, e, find(sub(shadow, i, e), "?", 1, true) and "?" or ".")
    end
    return e + 1
  elseif b == 10 then
    if line_ends_sentence(shadow, i, limit, state) then
      close_sentence(reading, state, 0, "\n")
    end
    state.line = i
    return i + 1
  elseif CURRENCY[b] then
    state.currency, state.currency_at = CURRENCY[b], i
    local _, e = find(shadow, "^[%s\1]*", i + 1)
    if not find(sub(shadow, e + 1, e + 1), "%d") then
      state.currency = nil
    end
    return e + 1
  elseif b == 44 then
    state.brk = state.brk or ","
  elseif b == 59 or b == 58 or b == 40 or b == 41 then
    state.brk = ";"
  elseif b == 45 then
    if not find(sub(shadow, i - 1, i - 1), "%w") or find(sub(shadow, i + 1, i + 1), "[%s-\1]") then
      state.brk = ";"
    end
  end
  return i + 1
end

local BLOCKS = set("br p div li ul ol tr td h")

-- "<b>" is no word; "<br>" ends a line.
local function skip_tag(reading, shadow, i, limit, state)
  local _, _, name = find(shadow, "^</?(%a+)%d?[%s/>]", i)
  local stop = name and find(sub(shadow, i, i + 200), ">", 1, true)
  if not stop or i + stop - 1 > limit then
    return i + 1
  end
  if BLOCKS[name] then
    close_sentence(reading, state, 0, "\n")
  end
  return i + stop
end

--- Reads one stretch of a shadow into words and sentences.
---@param reading table as `new_reading` gives it
---@param shadow string
---@param from integer first byte, one-based
---@param to integer last byte
---@param utterance integer which utterance the sentences belong to
---@param source? string what the shadow was made from: its capitals tell where wrapped lines go on
function M.read(reading, shadow, from, to, utterance, source)
  local state = {
    first = reading.count + 1,
    utterance = utterance,
    line = from,
    from = from,
    source = source,
  }
  local i = from
  while i <= to do
    local b = byte(shadow, i)
    if b == 32 or b == 1 then
      i = i + 1
    elseif b >= 97 and b <= 122 or b >= 128 or b == 39 then
      i = read_word(reading, shadow, i, to, state)
    elseif b >= 48 and b <= 57 then
      i = read_number(reading, shadow, i, to, state)
    elseif b == 60 then
      i = skip_tag(reading, shadow, i, to, state)
    else
      i = read_mark(reading, shadow, i, to, state)
    end
  end
  close_sentence(reading, state, 0, "end")
end

--- The words of a short text, for cues and names: no sentences, no places.
---@param source string
---@return string[]
function M.words(source)
  if not find(source, "[^a-z]") and source ~= "" and not WHOLE[source] then
    return { source } -- as nearly every word of a cue: thousands are read when a bundle is loaded
  end
  local reading = M.new_reading()
  M.read(reading, M.shadow(source), 1, #source, 0)
  return reading.words
end

--- Cuts white space off both ends of a stretch.
---@param source string
---@param start integer zero-based
---@param stop integer exclusive
---@return integer start, integer stop
function M.trim(source, start, stop)
  while start < stop and find(sub(source, start + 1, start + 1), "[%s>]") do
    start = start + 1
  end
  while stop > start and find(sub(source, stop, stop), "%s") do
    stop = stop - 1
  end
  return start, stop
end

return M
