--- Compiles cues, phrases as a salesperson writes them, and finds them in a reading.
--
--   i have the final say          words as they are spoken; "don't" and "do not" are the same
--   (i|we) have                   one of several, each of one or more words
--   [very|really] tight           may be missing
--   need+                         need, needs, needed, needing
--   we * approval                 a gap of up to four words; *7 up to seven; a gap never swallows a negation or
-- "but"
--   #                             a number in digits, as the word that it is
--   <money> <amount> <percent> <number> <duration> <date>     what the reader recognised there
--   {boss}                        a named set of words
--   ^ no budget $                 only at the begin and the end of a sentence
--
-- A cue compiles to closures, each matching one element and handing on to the next. Cues are found through an
-- index from a trigger, the rarest word that a cue cannot do without, so a sentence tries only cues of which it
-- has that word.

local text = require "perigee.text"
local notation = require "perigee.rules.notation"
local registry = require "perigee.registry"

local M = {}

--- The kinds of `<slot>`.
M.KINDS = notation.KINDS

local UNGAPPABLE = text.set([[
  not no never but without neither nor none however unless if until nobody hardly
]])

-- 1. Closures ----------------------------------------------------------------
-- A matcher is function(reading, i, last, slots) -> stop, slot entity. `last` is the sentence's last word.

local build

local function build_word(item, following)
  local list = item[2]
  if #list == 1 then
    local only = list[1]
    return function(r, i, last, slots)
      if i <= last and r.words[i] == only then
        return following(r, i + 1, last, slots)
      end
    end
  end
  local set = item.set
  if not set then
    set = {}
    for _, word in ipairs(list) do
      set[word] = true
    end
    item.set = set
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
      if i >= limit or i > last or UNGAPPABLE[words[i]] or r.breaks[i + 1] == ";" then
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
  local kind = notation.open(item)[1]
  if kind == "word" then
    return build_word(item, rest)
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

-- 2. Cues -------------------------------------------------------------------

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

-- What only a match needs is made when it is asked for: by the preparation of a bundle, so that no run pays for it.
local LATER = {
  match = function(cue)
    return build(cue.tree, 1, finish)
  end,
  first = function(cue)
    local set = {}
    notation.first(cue.tree, set)
    return set
  end,
  kinds = function(cue)
    return first_kinds(cue.first) or false
  end,
}
local CUE = {
  __index = function(cue, key)
    local make = LATER[key]
    if not make then
      return nil
    end
    local made = make(cue)
    rawset(cue, key, made)
    return made
  end,
}

local compiled = {}

--- Makes what the cues compiled so far would make when first asked: before runs, so that all inherit it.
function M.prepare()
  for _, cue in ipairs(compiled) do
    for key in pairs(LATER) do
      local _ = cue[key]
    end
  end
  compiled = {}
end

registry.before_runs(M.prepare)

--- Compiles one phrase.
---@param phrase string
---@param sets? table<string,string> the playbook's own named sets
---@return table|nil cue {phrase, match, first, kinds, trigger, anchored}
---@return string|nil reason why it cannot be compiled
function M.compile(phrase, sets)
  local tree, reason = notation.parse(phrase, sets)
  if not tree then
    return nil, reason
  end
  local anchored = tree[1] and tree[1][1] == "first" or nil
  if tree.gap and not anchored then
    return nil, "a cue cannot begin with a gap"
  end
  if tree.empty or not tree.rarest then
    return nil, "a cue needs at least one word that must be there"
  end
  local cue = setmetatable({
    phrase = phrase,
    tree = tree,
    trigger = notation.trigger(tree),
    anchored = anchored or false,
  }, CUE)
  compiled[#compiled + 1] = cue
  return cue
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
  local slotted = cue.kinds
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
