--- The form of a playbook, its validation, and the list of those loaded.
-- A methodology file returns `playbook "name" { ... }`. Everything in it is data; what is wrong is reported as
-- file:line: reason.

local check = require "perigee.check"
local registry = require "perigee.registry"
local cues = require "perigee.rules.cues"
local text = require "perigee.text"

local M = {}

local STRENGTH = { strong = 9000, plain = 7500, fair = 6500, weak = 4500 }

local PLAYBOOK_KEYS = {
  title = "string",
  dimensions = "table",
  words = "table",
  offers = "table",
  questions = "table",
  gates = "table",
  red_flags = "table",
  description = "string",
  version = "number",
  power = "table",
  topics = "table",
}
local DIMENSION_KEYS = {
  name = "string",
  title = "string",
  weight = "number",
  half_life_days = "number",
  requires = "number",
  missing = "string",
  confirms = "table",
  contradicts = "table",
  answers = "table",
  blocks = "boolean",
  description = "string",
}
local CUE_KEYS = {
  claim = "string",
  strength = "string",
  after = "any",
  asked = "boolean",
  heard = "string",
  unless = "table",
  even = "table",
  denied = "any",
  limit = "string",
  over = "string",
  stands = "boolean",
  at = "string",
  from = "table",
}
local ANSWER_KEYS = {
  asks = "table",
  yes = "string",
  no = "string",
  strength = "string",
  at = "string",
  yes_is = "number",
  unless = "table",
}
local QUESTION_KEYS = {
  id = "string",
  dimension = "string",
  text = "string",
  like = "table",
  personas = "table",
  stages = "table",
  below = "number",
  why = "string",
}
local GATE_KEYS = { into = "string", requires = "table", title = "string", human = "boolean" }
local FLAG_KEYS = { id = "string", title = "string", dimension = "string", action = "string" }

-- The author's line: the nearest on the stack that is not the runtime's own.
local function position()
  local path, line = check.where()
  return path and path .. ":" .. line or nil
end

--- Marks a group of cues with the line it stands on, so that an error in it names that line. Optional: a plain
-- table works.
---@param group table
---@return table group
function M.cue(group)
  if type(group) == "table" and not group.at then
    group.at = position()
  end
  return group
end

local REFUSED = {} -- raised where one part of a playbook cannot be read any further

-- A fault: all are told at once.
local function note(context, reason)
  local problems = context.problems
  problems[#problems + 1] = (context.at or context.where) .. ": " .. reason
end

local function refuse(context, reason)
  note(context, reason)
  error(REFUSED, 0)
end

-- Reads one part; what is wrong in it hides no fault of the others.
local function read(part, ...)
  local ok, caught = pcall(part, ...)
  if not ok and caught ~= REFUSED then
    error(caught, 0)
  end
end

-- The context of a group of cues: the line that `cue` marked it with.
local function group_context(book, group)
  local at = type(group) == "table" and group.at or nil
  return { where = book.where, at = at, problems = book.problems }
end

local function check_names(context, path, list, known, what)
  for _, name in ipairs(list or {}) do
    if not known[name] then
      note(context, path .. ": " .. check.unknown(what, name, check.keys(known)))
    end
  end
end

-- Names that belong to selling, not to one playbook; docs/authors.md lists them.
local CIRCUMSTANCES = text.set "question conditional hedged negated elsewhere"
local PERSONAS = text.set "ic manager director vp c_level"
local STAGES = text.set [[
  prospecting discovery qualification evaluation negotiation closed_won closed_lost
]]

local function check_keys(context, path, value, keys)
  if type(value) ~= "table" then
    refuse(context, path .. " must be a table")
  end
  for key, item in pairs(value) do
    local want = keys[key]
    if type(key) == "string" then
      if not want then
        local names = {}
        for name in pairs(keys) do
          if name ~= "at" then
            names[#names + 1] = name
          end
        end
        table.sort(names)
        note(
          context,
          path .. ": unknown field '" .. key .. "' (known: " .. table.concat(names, ", ") .. ")"
        )
      end
      if want and want ~= "any" and type(item) ~= want then
        refuse(context, path .. "." .. key .. " must be a " .. want .. ", not a " .. type(item))
      end
    end
  end
end

local function compile_phrases(context, path, list, words)
  local compiled = {}
  for k, phrase in ipairs(list or {}) do
    local cue, reason
    if type(phrase) ~= "string" then
      note(context, path .. "[" .. k .. "] must be a phrase in quotes")
    else
      cue, reason = cues.compile(phrase, words)
    end
    if cue then
      compiled[#compiled + 1] = cue
    elseif reason then
      note(context, path .. ': cue "' .. phrase .. '": ' .. reason)
    end
  end
  return compiled
end

local function strength_of(context, path, group)
  local value = STRENGTH[group.strength or "plain"]
  if not value then
    note(context, path .. ".strength must be strong, plain, fair or weak")
  end
  return value
end

local function set_of(list)
  local set = {}
  for _, name in ipairs(list or {}) do
    set[name] = true
  end
  return set
end

-- A group that builds on shared phrases: its own, then theirs.
local function merged(group)
  if not group.from then
    return group
  end
  local whole = {}
  for key, value in pairs(group) do
    whole[key] = value
  end
  for _, phrase in ipairs(group.from) do
    whole[#whole + 1] = phrase
  end
  if group.from.asked ~= nil and group.asked == nil then
    whole.asked = group.from.asked
  end
  if group.from.unless then
    whole.unless = {}
    for _, phrase in ipairs(group.unless or {}) do
      whole.unless[#whole.unless + 1] = phrase
    end
    for _, phrase in ipairs(group.from.unless) do
      whole.unless[#whole.unless + 1] = phrase
    end
  end
  return whole
end

-- `after` is a topic by name, or phrases of its own: what the seller said right before.
local function compile_after(book, context, path, after)
  if after == nil then
    return nil
  end
  if type(after) == "table" then
    return { cues = compile_phrases(context, path .. ".after", after, book.words) }
  end
  local topic = book.topics[after]
  if not topic then
    refuse(context, path .. ".after names no topic: '" .. tostring(after) .. "'")
  end
  return topic
end

-- One group of cues: what the customer says, in any of these phrases, is evidence of one claim.
local function compile_group(book, dimension, group, polarity, path)
  local context = group_context(book, group)
  check_keys(context, path, group, CUE_KEYS)
  if not group.claim then
    refuse(context, path .. ".claim is missing: say what these words show")
  end
  check_names(context, path .. ".even", group.even, CIRCUMSTANCES, "circumstance")
  group = merged(group)
  if #group == 0 then
    refuse(context, path .. " has no phrases")
  end
  if group.heard and not book.offers[group.heard] then
    note(context, path .. ".heard names no entry of offers: '" .. group.heard .. "'")
  end
  if group.limit and not book.offers[group.limit] then
    note(context, path .. ".limit names no entry of offers: '" .. group.limit .. "'")
  end
  local rule = {
    dimension = dimension.name,
    polarity = polarity,
    claim = group.claim,
    confidence = strength_of(context, path, group),
    after = compile_after(book, context, path, group.after),
    asked = group.asked,
    unless = compile_phrases(context, path .. ".unless", group.unless, book.words),
    heard = group.heard,
    limit = group.limit,
    stands = group.stands,
    over = group.over,
    even = set_of(group.even),
    denied = group.denied,
  }
  for _, cue in ipairs(compile_phrases(context, path, group, book.words)) do
    cue.rule = rule
    book.cues[#book.cues + 1] = cue
  end
end

local function compile_answer(book, dimension, group, path)
  local context = group_context(book, group)
  check_keys(context, path, group, ANSWER_KEYS)
  if not (group.yes or group.no) then
    refuse(context, path .. " needs yes, no, or both")
  end
  if not group.asks or #group.asks == 0 then
    refuse(context, path .. ".asks has no phrases")
  end
  local rule = {
    dimension = dimension.name,
    yes = group.yes,
    no = group.no,
    yes_is = group.yes_is or 1,
    confidence = strength_of(context, path, group),
    unless = compile_phrases(context, path .. ".unless", group.unless, book.words),
  }
  for _, cue in ipairs(compile_phrases(context, path .. ".asks", group.asks, book.words)) do
    cue.rule = rule
    book.asks[#book.asks + 1] = cue
  end
end

local function compile_dimension(book, dimension, k)
  local path = "dimensions[" .. k .. "]"
  check_keys(book, path, dimension, DIMENSION_KEYS)
  if not dimension.name then
    refuse(book, path .. ".name is missing")
  end
  if book.by_name[dimension.name] then
    refuse(book, path .. ": '" .. dimension.name .. "' stands twice")
  end
  path = "dimensions." .. dimension.name
  local requires = dimension.requires or 2
  if requires < 0 or requires > 4 then
    note(book, path .. ".requires must be 0 to 4")
  end
  local made = {
    name = dimension.name,
    title = dimension.title or dimension.name,
    weight = dimension.weight or 1,
    half_life_days = dimension.half_life_days,
    requires = requires,
    missing = dimension.missing,
    blocks = dimension.blocks ~= false,
    order = k,
  }
  if made.weight < 0 then
    note(book, path .. ".weight must not be negative")
  end
  if made.half_life_days and made.half_life_days <= 0 then
    note(book, path .. ".half_life_days must be positive")
  end
  book.dimensions[k], book.by_name[dimension.name] = made, made
  for n, group in ipairs(dimension.confirms or {}) do
    read(compile_group, book, dimension, group, 1, path .. ".confirms[" .. n .. "]")
  end
  for n, group in ipairs(dimension.contradicts or {}) do
    read(compile_group, book, dimension, group, -1, path .. ".contradicts[" .. n .. "]")
  end
  for n, group in ipairs(dimension.answers or {}) do
    read(compile_answer, book, dimension, group, path .. ".answers[" .. n .. "]")
  end
end

local function compile_question(book, question, k, seen)
  local path = "questions[" .. k .. "]"
  check_keys(book, path, question, QUESTION_KEYS)
  if not (question.id and question.text) then
    refuse(book, path .. " needs id and text")
  end
  if seen[question.id] then
    refuse(book, path .. ": id '" .. question.id .. "' stands twice")
  end
  if not book.by_name[question.dimension or ""] then
    refuse(
      book,
      path .. ".dimension names no dimension: '" .. tostring(question.dimension) .. "'"
    )
  end
  check_names(book, path .. ".personas", question.personas, PERSONAS, "persona")
  check_names(book, path .. ".stages", question.stages, STAGES, "stage")
  seen[question.id] = true
  book.questions[k] = {
    id = question.id,
    text = question.text,
    dimension = question.dimension,
    personas = question.personas,
    stages = question.stages,
    below = question.below or 2,
    why = question.why,
    order = k,
    like = compile_phrases(book, path .. ".like", question.like, book.words),
  }
end

local function compile_questions(book, list)
  local seen = {}
  for k, question in ipairs(list or {}) do
    read(compile_question, book, question, k, seen)
  end
end

local function compile_gate(book, gate, k)
  local path = "gates[" .. k .. "]"
  check_keys(book, path, gate, GATE_KEYS)
  if not gate.into then
    refuse(book, path .. ".into is missing: the stage that it opens")
  end
  check_names(book, path .. ".into", { gate.into }, STAGES, "stage")
  for name, level in pairs(gate.requires or {}) do
    if not book.by_name[name] then
      refuse(book, path .. ".requires names no dimension: '" .. tostring(name) .. "'")
    end
    if type(level) ~= "number" or level < 0 or level > 4 then
      refuse(book, path .. ".requires." .. name .. " must be a level, 0 to 4")
    end
  end
  book.gates[k] = {
    into = gate.into,
    title = gate.title,
    requires = gate.requires or {},
    human = gate.human or false,
  }
end

local function compile_gates(book, list)
  for k, gate in ipairs(list or {}) do
    read(compile_gate, book, gate, k)
  end
end

local function compile_flag(book, flag, k)
  local path = "red_flags[" .. k .. "]"
  check_keys(book, path, flag, FLAG_KEYS)
  if not flag.id or not flag.title then
    refuse(book, path .. " needs id and title")
  end
  if not book.by_name[flag.dimension or ""] then
    refuse(book, path .. ".dimension names no dimension: '" .. tostring(flag.dimension) .. "'")
  end
  book.red_flags[k] =
    { id = flag.id, title = flag.title, dimension = flag.dimension, action = flag.action }
end

local function compile_flags(book, list)
  for k, flag in ipairs(list or {}) do
    read(compile_flag, book, flag, k)
  end
end

local function compile_offers(book, offers)
  for name, phrases in pairs(offers or {}) do
    if type(phrases) ~= "table" then
      refuse(book, "offers." .. tostring(name) .. " must be a list of phrases")
    end
    book.offers[name] = true
    local unless = compile_phrases(book, "offers." .. name .. ".unless", phrases.unless, book.words)
    for _, cue in ipairs(compile_phrases(book, "offers." .. name, phrases, book.words)) do
      cue.offer, cue.unless = name, unless
      book.offer_cues[#book.offer_cues + 1] = cue
    end
    for _, cue in
      ipairs(compile_phrases(book, "offers." .. name .. ".restated", phrases.restated, book.words))
    do
      cue.offer, cue.restated = name, true
      book.offer_cues[#book.offer_cues + 1] = cue
    end
  end
end

local function compile_topics(book, topics)
  for name, phrases in pairs(topics or {}) do
    if type(phrases) ~= "table" then
      refuse(book, "topics." .. tostring(name) .. " must be a list of phrases")
    end
    book.topics[name] = {
      name = name,
      cues = compile_phrases(book, "topics." .. name, phrases, book.words),
      unless = compile_phrases(book, "topics." .. name .. ".unless", phrases.unless, book.words),
    }
  end
end

local function compile_form(book, name, form)
  if type(name) ~= "string" or not name:find("^%l[%l%d_]*$") then
    note(book, "a playbook's name is lower-case letters, digits and _")
  end
  check_keys(book, "playbook", form, PLAYBOOK_KEYS)
  book.title, book.version, book.description =
    form.title or name, form.version or 1, form.description
  book.words = form.words
  read(compile_topics, book, form.topics)
  read(compile_offers, book, form.offers)
  if type(form.dimensions) ~= "table" or #form.dimensions == 0 then
    refuse(book, "dimensions is missing or empty")
  end
  for k, dimension in ipairs(form.dimensions) do
    read(compile_dimension, book, dimension, k)
  end
  compile_questions(book, form.questions)
  compile_gates(book, form.gates)
  compile_flags(book, form.red_flags)
  check_names(book, "power", form.power, book.by_name, "dimension")
  book.power = set_of(form.power)
end

--- Checks and compiles a playbook without registering it. Every fault is a line of the error: file:line: reason.
---@param name string
---@param form table as the author wrote it
---@param where? string file:line of the author's call
---@return table book compiled
function M.compile(name, form, where)
  local book = {
    name = name,
    where = where or "playbook " .. tostring(name),
    dimensions = {},
    by_name = {},
    questions = {},
    gates = {},
    red_flags = {},
    topics = {},
    cues = {},
    asks = {},
    offers = {},
    offer_cues = {},
    problems = {},
  }
  read(compile_form, book, name, form)
  if #book.problems > 0 then
    error(table.concat(book.problems, "\n"), 0)
  end
  book.problems = nil
  book.cue_index, book.ask_index = cues.index(book.cues), cues.index(book.asks)
  book.offer_index = cues.index(book.offer_cues)
  return book
end

--- The playbooks that are loaded, in the order of their names.
---@return table[] books
function M.all()
  local objects, names = registry.playbooks()
  local list = {}
  for k, name in ipairs(names) do
    list[k] = objects[name]
  end
  return list
end

--- One loaded playbook.
---@param name string
---@return table|nil book
function M.get(name)
  local objects = registry.playbooks()
  return objects[name]
end

--- `return playbook "name" { ... }`: checks the form, compiles its cues and makes it known to agents.
---@param name string lower-case letters, digits and _
---@return fun(form: table): table
function M.define(name)
  local path, line = check.where()
  return function(form)
    local book = M.compile(name, form, path and path .. ":" .. line)
    local dimensions = {}
    for k, dimension in ipairs(book.dimensions) do
      dimensions[k] = dimension.name
    end
    local described = { title = book.title, dimensions = dimensions }
    registry.add_playbook(name, described, book, path, line)
    return book
  end
end

return setmetatable(M, {
  __call = function(_, name)
    return M.define(name)
  end,
})
