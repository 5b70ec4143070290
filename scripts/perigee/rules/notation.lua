--- Reads the notation of cues (rules/cues.lua) into trees, which cues share.
-- A bundle holds thousands of phrases and a host must be ready in a blink, so what has been read once is not read
-- again: words, plain alternatives such as "(price|cost)", and named sets each give one tree, however many cues
-- use them. Trees are therefore never changed after they are made.
--
-- A tree is a sequence of nodes: { "word", words }, { "gap", size }, { "slot", kind }, { "first" }, { "last" },
-- { "any", sequences } and { "maybe", sequences }. A sequence knows `empty` (nothing in it must be there), `gap`
-- (it may begin with a gap), and, where some word must be there, `weight` (how ordinary the rarest such node is)
-- and `rarest` (that node). A long choice of plain words stays as it was written until somebody looks into it
-- (`M.open`).

local text = require "perigee.text"
local shared = require "perigee.rules.words"

local M = {}

local byte, find, gmatch, gsub, sub =
  string.byte, string.find, string.gmatch, string.gsub, string.sub

local GAP, MAX_GAP, MAX_GAPS, MAX_BRANCHES, MAX_DEPTH = 4, 9, 4, 400, 8
local SLOT_WEIGHT = 3
-- Choices longer than this are read when they are looked into; shorter ones may be all of ordinary words.
local LONG = 60
local WORD = "^[%w'\128-\255/#-]+"
local NOT_PLAIN = "[^%w'\128-\255/#| -]"

--- The kinds of `<slot>`.
M.KINDS =
  { money = true, amount = true, percent = true, number = true, duration = true, date = true, year = true }

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

-- 1. Nodes -------------------------------------------------------------------

local function word_node(words)
  local weight = 0
  for k = 1, #words do
    weight = weight + (COMMON[words[k]] or 1)
  end
  return { "word", words, weight = weight }
end

-- What is known of a sequence once all its nodes stand.
local function close(items)
  local rarest, empty = nil, true
  for k = 1, #items do
    local item = items[k]
    local kind, weight = item[1], item.weight
    if weight and (not rarest or weight < rarest.weight) then
      rarest = item
    end
    if empty then
      items.gap = kind == "gap" or item.gap
      empty = not items.gap and (item.empty or kind == "first" or kind == "last")
    end
  end
  items.empty, items.rarest, items.weight = empty, rarest, rarest and rarest.weight
  return items
end

local expand

--- A node, read if it is still as it was written.
---@param node table
---@return table node the same
function M.open(node)
  if node.inner then
    expand(node)
  end
  return node
end

-- A choice of sequences. Those of one plain word each are one set: one look-up instead of one try each.
local function choice_node(kind, branches)
  if kind == "any" and #branches == 1 and #branches[1] == 1 then
    return branches[1][1]
  end
  local words, rest = {}, {}
  local function sort(list)
    for b = 1, #list do
      local branch = list[b]
      local only = #branch == 1 and M.open(branch[1])
      if only and only[1] == "word" then
        local own = only[2]
        for k = 1, #own do
          words[#words + 1] = own[k]
        end
      elseif only and only[1] == "any" then
        sort(only[2])
      else
        rest[#rest + 1] = branch
      end
    end
  end
  sort(branches)
  if #words > 0 then
    table.insert(rest, 1, close { word_node(words) })
  end
  if kind == "any" and #rest == 1 and #rest[1] == 1 then
    return rest[1][1]
  end
  local node = { kind, rest, empty = kind == "maybe" }
  local weight = 0
  for b = 1, #rest do
    local branch = rest[b]
    weight = weight and branch.weight and weight + branch.weight
    node.empty, node.gap = node.empty or branch.empty, node.gap or branch.gap
  end
  node.weight = kind == "any" and weight or nil
  return node
end

-- 2. The notation ------------------------------------------------------------

local word_nodes = {} -- as written -> nodes

local function nodes_of(raw)
  local known = word_nodes[raw]
  if not known then
    known = {}
    if raw == "24/7" or raw == "#" then -- "#" is what a number in digits is read as
      known[1] = word_node { raw }
    elseif raw == "is" or raw == "'s" then
      known[1] = word_node { "is", "'s" } -- "the money's there"
    else
      for k, word in ipairs(text.words(raw)) do
        known[k] = word_node { word }
      end
    end
    word_nodes[raw] = known
  end
  return known
end

local function parse_word(state, items)
  local s, i = state.source, state.at
  local _, e = find(s, WORD, i)
  if not e then
    fail("unexpected '" .. sub(s, i, i) .. "'")
  end
  state.at = e + 1
  local raw = sub(s, i, e)
  if byte(s, e + 1) == 43 then
    state.at = e + 2
    local words = text.words(raw)
    if #words ~= 1 then
      fail("'" .. raw .. "+': only a single word can be inflected")
    end
    items[#items + 1] = word_node(inflected(words[1]))
    return
  end
  local nodes = nodes_of(raw)
  for k = 1, #nodes do
    items[#items + 1] = nodes[k]
  end
end

local function count_gaps(state, more)
  state.gaps = state.gaps + more
  if state.gaps > MAX_GAPS then
    fail("more than " .. MAX_GAPS .. " gaps")
  end
end

local function parse_gap(state, items)
  local _, e, digits = find(state.source, "^%*(%d*)", state.at)
  local size = digits ~= "" and tonumber(digits) or GAP
  if size > MAX_GAP or size < 1 then
    fail("a gap is 1 to " .. MAX_GAP .. " words")
  end
  count_gaps(state, 1)
  state.at = e + 1
  items[#items + 1] = { "gap", size }
end

local function parse_slot(state, items)
  local _, stop, kind = find(state.source, "^<(%l+)>", state.at)
  if not stop then
    fail("'<' without a kind and '>'")
  end
  if not M.KINDS[kind] then
    fail("unknown <" .. kind .. ">")
  end
  state.at = stop + 1
  items[#items + 1] = { "slot", kind, weight = SLOT_WEIGHT }
end

local parse_sequence

local known_sets = {} -- of a playbook -> name -> { node, gaps }

local function parse_set(state, items)
  local _, stop, name = find(state.source, "^{([%w_]+)}", state.at)
  if not stop then
    fail("'{' without a name and '}'")
  end
  state.at = stop + 1
  local sets = state.sets or shared
  local known = known_sets[sets]
  if not known then
    known = {}
    known_sets[sets] = known
  end
  local entry = known[name]
  if not entry then
    local set = sets[name] or shared[name]
    if not set then
      fail("unknown set {" .. name .. "}")
    end
    if state.depth >= MAX_DEPTH then
      fail("sets nested too deep at {" .. name .. "}")
    end
    local inner = { source = set, at = 1, sets = state.sets, gaps = 0, depth = state.depth + 1 }
    local sequence = parse_sequence(inner, "")
    entry = { node = choice_node("any", { sequence }), gaps = inner.gaps }
    known[name] = entry
  end
  count_gaps(state, entry.gaps)
  items[#items + 1] = entry.node
end

-- "(price|cost of it)" and the like, nothing but words: read once, wherever it stands.
local plain_branches, plain_choices = {}, { any = {}, maybe = {} }

local function plain_branch(raw)
  local known = plain_branches[raw]
  if not known then
    known = {}
    for word in gmatch(raw, "[^ ]+") do
      local nodes = nodes_of(word)
      for k = 1, #nodes do
        known[#known + 1] = nodes[k]
      end
    end
    close(known)
    plain_branches[raw] = known
  end
  return known
end

local function check_count(count)
  if count > MAX_BRANCHES then
    fail("more than " .. MAX_BRANCHES .. " alternatives")
  end
end

function expand(node)
  local branches = {}
  for raw in gmatch(node.inner, "[^|]+") do
    branches[#branches + 1] = plain_branch(raw)
  end
  node.inner = nil
  local made = choice_node(node[1], branches)
  node[1], node[2] = made[1], made[2]
  node.empty, node.gap = made.empty, made.gap
  return made
end

local function plain_choice(state, closer, kind)
  local source, from = state.source, state.at + 1
  local stop = find(source, closer, from, true)
  local inner = stop and sub(source, from, stop - 1)
  if not inner then
    return nil
  end
  local known = plain_choices[kind][inner]
  if known == nil then
    known = false
    if not find(inner, NOT_PLAIN) and not find("|" .. inner .. "|", "|[ ]*|") then
      local _, bars = gsub(inner, "|", "|")
      check_count(bars + 1)
      known = { kind, inner = inner, empty = kind == "maybe" }
      known.weight = kind == "any" and bars + 1 or nil
      if #inner < LONG then
        known.weight = expand(known).weight
      end
    end
    plain_choices[kind][inner] = known
  end
  if known then
    state.at = stop + 1
  end
  return known
end

local function parse_choice(state, closer, kind)
  local plain = plain_choice(state, closer, kind)
  if plain then
    return plain
  end
  local branches = {}
  local before, most = state.gaps, state.gaps
  state.at = state.at + 1
  local c
  repeat
    state.gaps = before
    branches[#branches + 1] = parse_sequence(state, "|" .. closer)
    most = math.max(most, state.gaps)
    check_count(#branches)
    c = sub(state.source, state.at, state.at)
    if c == "" then
      fail("no '" .. closer .. "' closes")
    end
    state.at = state.at + 1
  until c == closer
  state.gaps = most
  return choice_node(kind, branches)
end

local FIRST, LAST = { "first" }, { "last" }

-- What the marks of the notation open, by their byte.
local OPENS = {
  [40] = function(state, items) -- (
    items[#items + 1] = parse_choice(state, ")", "any")
  end,
  [91] = function(state, items) -- [
    items[#items + 1] = parse_choice(state, "]", "maybe")
  end,
  [42] = parse_gap,
  [60] = parse_slot,
  [123] = parse_set,
  [94] = function(state, items) -- ^
    state.at = state.at + 1
    items[#items + 1] = FIRST
  end,
  [36] = function(state, items) -- $
    state.at = state.at + 1
    items[#items + 1] = LAST
  end,
}

local function is_blank(b)
  return b == 32 or b and b >= 9 and b <= 13
end

function parse_sequence(state, closers)
  local items, source = {}, state.source
  while true do
    local b = byte(source, state.at)
    while is_blank(b) do
      state.at = state.at + 1
      b = byte(source, state.at)
    end
    if not b or (b == 124 or b == 41 or b == 93) and find(closers, sub(source, state.at, state.at), 1, true) then
      return close(items)
    end
    (OPENS[b] or parse_word)(state, items)
  end
end

--- Reads one phrase.
---@param phrase string
---@param sets? table<string,string> the playbook's own named sets
---@return table|nil sequence
---@return string|nil reason why it cannot be read
function M.parse(phrase, sets)
  local state = { source = phrase, at = 1, gaps = 0, depth = 0, sets = sets }
  local ok, items = pcall(parse_sequence, state, "|)]")
  if ok and state.at <= #phrase then
    return nil, "'" .. sub(phrase, state.at, state.at) .. "' closes nothing"
  elseif ok then
    return items
  elseif type(items) == "table" and items.cue then
    return nil, items.cue
  end
  error(items, 0)
end

-- 3. What a match must hold and can begin with -------------------------------

--- The words one of which every match must hold, chosen so that they are rare.
---@param sequence table one with a `rarest`
---@return string[] words, slots as "<kind>"
function M.trigger(sequence)
  local node = M.open(sequence.rarest)
  local trigger = node.trigger
  if not trigger then
    if node[1] == "word" then
      trigger = node[2]
    elseif node[1] == "slot" then
      trigger = { "<" .. node[2] .. ">" }
    else
      trigger = {}
      for _, branch in ipairs(node[2]) do
        for _, word in ipairs(M.trigger(branch)) do
          trigger[#trigger + 1] = word
        end
      end
    end
    node.trigger = trigger
  end
  return trigger
end

--- The words that a match can begin with.
---@param sequence table
---@param into table<string, true> slots as "<kind>"
function M.first(sequence, into)
  for k = 1, #sequence do
    local item = M.open(sequence[k])
    if item[1] == "word" then
      for _, word in ipairs(item[2]) do
        into[word] = true
      end
      return
    elseif item[1] == "slot" then
      into["<" .. item[2] .. ">"] = true
      return
    elseif item[1] == "any" or item[1] == "maybe" then
      for _, branch in ipairs(item[2]) do
        M.first(branch, into)
      end
      if not item.empty then
        return
      end
    end
  end
end

return M
