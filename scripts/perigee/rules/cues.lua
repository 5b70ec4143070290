--- Compiles cues, phrases as a salesperson writes them, and finds them in a reading.
--
--   i have the final say          words as they are spoken; "don't" and "do not" are the same
--   (i|we) have                   one of several, each of one or more words
--   [very|really] tight           may be missing
--   need+                         need, needs, needed, needing
--   we * approval                 a gap of up to four words; *7 up to seven; a gap never swallows a negation or
-- "but"
--   <money> <amount> <percent> <number> <duration> <date>     what the reader recognised there
--   {boss}                        a named set of words
--   ^ no budget $                 only at the begin and the end of a sentence
--
-- A cue compiles to closures, each matching one element and handing on to the next. Cues are found through an
-- index from a trigger, the rarest word that a cue cannot do without, so a sentence tries only cues of which it
-- has that word.

local text = require "perigee.text"
local shared = require "perigee.rules.words"

local M = {}

local GAP, MAX_GAP, MAX_GAPS, MAX_BRANCHES = 4, 9, 4, 400
local MAX_DEPTH = 8

local UNGAPPABLE = text.set([[
  not no never but without neither nor none however unless if until nobody hardly
]])

-- How ordinary a word is: a trigger should be rare.
local COMMON = {}
for word in pairs(text.set([[
  i we you it the a an to of and is are am be was in on for that this have has had do does did not
  no with our my your will would can could so as at or if but
]])) do
  COMMON[word] = 60
end
for word in pairs(text.set([[
  need budget time us get go just really think like good great yes sure want make price cost any
  some more all there what when how who should up out by from me they them one right now very well
  let see know
]])) do
  COMMON[word] = 12
end

local function fail(reason)
  error({ cue = reason }, 0)
end

-- 1. Reading the notation ----------------------------------------------------

local function inflected(word)
  local forms = { word, word .. "s", word .. "ed", word .. "ing", word .. "es" }
  local stem, last = word:sub(1, -2), word:sub(-1)
  if last == "e" then
    forms[#forms + 1] = word .. "d"
    forms[#forms + 1] = stem .. "ing"
  elseif last == "y" then
    forms[#forms + 1] = stem .. "ies"
    forms[#forms + 1] = stem .. "ied"
  else
    forms[#forms + 1] = word .. last .. "ed"
    forms[#forms + 1] = word .. last .. "ing"
  end
  return forms
end

local parse_choice

local function parse_word(state, items)
  local s, i = state.source, state.at
  local _, e = s:find("^[%w'\128-\255/#-]+", i)
  if not e then
    fail("unexpected '" .. s:sub(i, i) .. "'")
  end
  state.at = e + 1
  local raw = s:sub(i, e)
  if raw == "24/7" then
    items[#items + 1] = { "word", { raw } }
    return
  end
  local words = text.words(raw)
  if s:sub(state.at, state.at) == "+" then
    state.at = state.at + 1
    if #words ~= 1 then
      fail("'" .. raw .. "+': only a single word can be inflected")
    end
    items[#items + 1] = { "word", inflected(words[1]) }
    return
  end
  for k = 1, #words do
    items[#items + 1] = { "word", { words[k] } }
  end
end

local function parse_gap(state, items)
  local _, e, digits = state.source:find("^%*(%d?)", state.at)
  local size = digits ~= "" and tonumber(digits) or GAP
  if size > MAX_GAP or size < 1 then
    fail("a gap is 1 to " .. MAX_GAP .. " words")
  end
  state.gaps = state.gaps + 1
  if state.gaps > MAX_GAPS then
    fail("more than " .. MAX_GAPS .. " gaps")
  end
  state.at = e + 1
  items[#items + 1] = { "gap", size }
end

local function parse_sequence(state, closers)
  local items = {}
  while true do
    local _, e = state.source:find("^%s+", state.at)
    if e then
      state.at = e + 1
    end
    local c = state.source:sub(state.at, state.at)
    if c == "" or closers:find(c, 1, true) then
      return items
    elseif c == "(" then
      items[#items + 1] = parse_choice(state, ")", "any")
    elseif c == "[" then
      items[#items + 1] = parse_choice(state, "]", "maybe")
    elseif c == "*" then
      parse_gap(state, items)
    elseif c == "<" then
      local _, stop, kind = state.source:find("^<(%l+)>", state.at)
      if not stop then
        fail("'<' without a kind and '>'")
      end
      if not M.KINDS[kind] then
        fail("unknown <" .. kind .. ">")
      end
      state.at = stop + 1
      items[#items + 1] = { "slot", kind }
    elseif c == "{" then
      local _, stop, name = state.source:find("^{([%w_]+)}", state.at)
      if not stop then
        fail("'{' without a name and '}'")
      end
      state.at = stop + 1
      local set = state.sets and state.sets[name] or shared[name]
      if not set then
        fail("unknown set {" .. name .. "}")
      end
      state.depth = state.depth + 1
      if state.depth > MAX_DEPTH then
        fail("sets nested too deep at {" .. name .. "}")
      end
      local inner =
        { source = set, at = 1, sets = state.sets, gaps = state.gaps, depth = state.depth }
      items[#items + 1] = { "any", { parse_sequence(inner, "") } }
      state.depth = state.depth - 1
    elseif c == "^" then
      state.at = state.at + 1
      items[#items + 1] = { "first" }
    elseif c == "$" then
      state.at = state.at + 1
      items[#items + 1] = { "last" }
    else
      parse_word(state, items)
    end
  end
end

function parse_choice(state, closer, kind)
  local branches = {}
  local before, most = state.gaps, state.gaps
  state.at = state.at + 1
  repeat
    state.gaps = before
    branches[#branches + 1] = parse_sequence(state, "|" .. closer)
    most = math.max(most, state.gaps)
    if #branches > MAX_BRANCHES then
      fail("more than " .. MAX_BRANCHES .. " alternatives")
    end
    local c = state.source:sub(state.at, state.at)
    if c == "" then
      fail("no '" .. closer .. "' closes")
    end
    state.at = state.at + 1
  until c == closer
  state.gaps = most
  return { kind, branches }
end

-- Branches of one plain word each are one set: one look-up instead of one try each.
local function simplify(items)
  for k = 1, #items do
    local item = items[k]
    if item[1] == "any" or item[1] == "maybe" then
      local branches, words, rest = item[2], {}, {}
      for b = 1, #branches do
        local branch = simplify(branches[b])
        if #branch == 1 and branch[1][1] == "any" and #branch[1][2] == 1 then
          branch = branch[1][2][1]
        end
        if #branch == 1 and branch[1][1] == "word" then
          for _, w in ipairs(branch[1][2]) do
            words[#words + 1] = w
          end
        elseif #branch == 1 and branch[1][1] == "any" then
          for _, inner in ipairs(branch[1][2]) do
            if #inner == 1 and inner[1][1] == "word" then
              for _, w in ipairs(inner[1][2]) do
                words[#words + 1] = w
              end
            else
              rest[#rest + 1] = inner
            end
          end
        else
          rest[#rest + 1] = branch
        end
      end
      if #words > 0 then
        table.insert(rest, 1, { { "word", words } })
      end
      if #rest == 1 and #rest[1] == 1 and item[1] == "any" then
        items[k] = rest[1][1]
      else
        items[k] = { item[1], rest }
      end
    end
  end
  return items
end

-- 2. Closures ----------------------------------------------------------------
-- A matcher is function(reading, i, last, slots) -> stop, slot entity. `last` is the sentence's last word.

local build

local function build_word(list, following)
  if #list == 1 then
    local only = list[1]
    return function(r, i, last, slots)
      if i <= last and r.words[i] == only then
        return following(r, i + 1, last, slots)
      end
    end
  end
  local set = {}
  for _, word in ipairs(list) do
    set[word] = true
  end
  return function(r, i, last, slots)
    if i <= last and set[r.words[i]] then
      return following(r, i + 1, last, slots)
    end
  end
end

local function build_branches(branches, following, optional)
  local tries = {}
  for k = 1, #branches do
    tries[k] = build(branches[k], 1, following)
  end
  if optional then
    tries[#tries + 1] = following
  end
  local count = #tries
  if count == 2 then
    local one, two = tries[1], tries[2]
    return function(r, i, last, slots)
      local stop, entity = one(r, i, last, slots)
      if stop then
        return stop, entity
      end
      return two(r, i, last, slots)
    end
  end
  return function(r, i, last, slots)
    for k = 1, count do
      local stop, entity = tries[k](r, i, last, slots)
      if stop then
        return stop, entity
      end
    end
  end
end

local function build_gap(size, following)
  return function(r, i, last, slots)
    local words = r.words
    local limit = i + size
    while true do
      local stop, entity = following(r, i, last, slots)
      if stop then
        return stop, entity
      end
      if i >= limit or i > last or UNGAPPABLE[words[i]] then
        return nil
      end
      i = i + 1
    end
  end
end

local function build_slot(kind, following)
  return function(r, i, last, slots)
    local list = slots[kind]
    local entity = list and i <= last and list[i]
    if not entity then
      return nil
    end
    local stop, later = following(r, entity.last + 1, last, slots)
    return stop, later or entity
  end
end

function build(items, k, following)
  local item = items[k]
  if not item then
    return following
  end
  local rest = build(items, k + 1, following)
  local kind = item[1]
  if kind == "word" then
    return build_word(item[2], rest)
  end
  if kind == "any" then
    return build_branches(item[2], rest, false)
  end
  if kind == "maybe" then
    return build_branches(item[2], rest, true)
  end
  if kind == "gap" then
    return build_gap(item[2], rest)
  end
  if kind == "slot" then
    return build_slot(item[2], rest)
  end
  if kind == "first" then
    return function(r, i, last, slots)
      if i == r.sentence_first then
        return rest(r, i, last, slots)
      end
    end
  end
  return function(r, i, last, slots)
    if i > last then
      return rest(r, i, last, slots)
    end
  end
end

local function finish(_, i)
  return i - 1
end

-- 3. Triggers and first words ------------------------------------------------

local function merge(into, from)
  for k, v in pairs(from) do
    into[k] = v
  end
end

-- What a match can begin with: a set of words (slots as "<kind>"), and whether it can be empty.
local function first_of(items, from)
  local set = {}
  for k = from, #items do
    local item, empty = items[k], false
    if item[1] == "word" then
      for _, word in ipairs(item[2]) do
        set[word] = true
      end
    elseif item[1] == "slot" then
      set["<" .. item[2] .. ">"] = true
    elseif item[1] == "gap" then
      return set, false, true
    elseif item[1] == "first" or item[1] == "last" then
      empty = true
    else
      empty = item[1] == "maybe"
      for _, branch in ipairs(item[2]) do
        local inner, inner_empty, any = first_of(branch, 1)
        if any then
          return set, false, true
        end
        merge(set, inner)
        empty = empty or inner_empty
      end
    end
    if not empty then
      return set, false, false
    end
  end
  return set, true, false
end

-- The words one of which every match must hold, chosen so that they are rare; nil where there are none.
local function trigger_of(items)
  local best, best_weight
  local function offer(set, weight)
    if not best_weight or weight < best_weight then
      best, best_weight = set, weight
    end
  end
  for _, item in ipairs(items) do
    if item[1] == "word" then
      local weight = 0
      for _, word in ipairs(item[2]) do
        weight = weight + (COMMON[word] or 1)
      end
      offer(item[2], weight)
    elseif item[1] == "slot" then
      offer({ "<" .. item[2] .. ">" }, 3)
    elseif item[1] == "any" then
      local set, weight = {}, 0
      for _, branch in ipairs(item[2]) do
        local inner, inner_weight = trigger_of(branch)
        if not inner then
          set = nil
          break
        end
        for _, word in ipairs(inner) do
          set[#set + 1] = word
        end
        weight = weight + inner_weight
      end
      if set then
        offer(set, weight)
      end
    end
  end
  return best, best_weight
end

local function first_kinds(first)
  local kinds
  for word in pairs(first) do
    if word:sub(1, 1) == "<" then
      kinds = kinds or {}
      kinds[#kinds + 1] = word:sub(2, -2)
    end
  end
  return kinds
end

--- The kinds of `<slot>`.
M.KINDS = {
  money = true,
  amount = true,
  percent = true,
  number = true,
  duration = true,
  date = true,
  year = true,
}

--- Compiles one phrase.
---@param phrase string
---@param sets? table<string,string> the playbook's own named sets
---@return table|nil cue {phrase, match, first, trigger}
---@return string|nil reason why it cannot be compiled
function M.compile(phrase, sets)
  local state = { source = phrase, at = 1, gaps = 0, depth = 0, sets = sets }
  local ok, items = pcall(function()
    local list = parse_sequence(state, "|)]")
    if state.at <= #phrase then
      fail("'" .. phrase:sub(state.at, state.at) .. "' closes nothing")
    end
    return simplify(list)
  end)
  if not ok then
    if type(items) == "table" and items.cue then
      return nil, items.cue
    end
    error(items, 0)
  end
  local anchored = items[1] and items[1][1] == "first"
  local first, empty, any = first_of(items, 1)
  if any and not anchored then
    return nil, "a cue cannot begin with a gap"
  end
  local trigger = trigger_of(items)
  if empty or not trigger then
    return nil, "a cue needs at least one word that must be there"
  end
  return {
    phrase = phrase,
    match = build(items, 1, finish),
    first = first,
    kinds = first_kinds(first),
    trigger = trigger,
    anchored = anchored or nil,
  }
end

--- An index of cues by trigger.
---@param cues table[] compiled cues; each may carry what the caller likes
---@return table index
function M.index(cues)
  local index = {}
  for number, cue in ipairs(cues) do
    cue.number = number
    for _, word in ipairs(cue.trigger) do
      local list = index[word]
      if not list then
        list = {}
        index[word] = list
      end
      if list[#list] ~= cue then
        list[#list + 1] = cue
      end
    end
  end
  return index
end

local function starts_here(cue, words, i, slots)
  if cue.first[words[i]] then
    return true
  end
  local kinds = cue.kinds
  for k = 1, #kinds do
    local list = slots[kinds[k]]
    if list and list[i] then
      return true
    end
  end
  return false
end

--- The first place where a cue matches within a sentence.
---@return integer|nil first, integer|nil last, table|nil entity the last slot's entity
function M.find(cue, reading, sentence, slots, from)
  local words, match, first, last = reading.words, cue.match, cue.first, sentence.last
  reading.sentence_first = sentence.first
  if cue.anchored then
    if from and from > sentence.first then
      return nil
    end
    local stop, entity = match(reading, sentence.first, last, slots)
    if stop then
      return sentence.first, stop, entity
    end
    return nil
  end
  local slotted = cue.kinds ~= nil
  for i = from or sentence.first, last do
    if first[words[i]] or slotted and starts_here(cue, words, i, slots) then
      local stop, entity = match(reading, i, last, slots)
      if stop then
        return i, stop, entity
      end
    end
  end
  return nil
end

--- Calls `visit` for every cue of an index whose trigger stands in the sentence, each once, in the order of the
-- index.
function M.candidates(index, reading, sentence, kinds)
  local words, seen, found, n = reading.words, {}, {}, 0
  local function take(list)
    for k = 1, #list do
      local cue = list[k]
      if not seen[cue.number] then
        seen[cue.number] = true
        n = n + 1
        found[n] = cue
      end
    end
  end
  for i = sentence.first, sentence.last do
    local list = index[words[i]]
    if list then
      take(list)
    end
  end
  for k = 1, #kinds do
    local list = index["<" .. kinds[k] .. ">"]
    if list then
      take(list)
    end
  end
  return found, n
end

return M
