--- The scorecard: a pure fold of the evidence ledger at a given time.
-- The same items give the same card in whatever order and however often they come: they are made distinct by id
-- and sorted before anything is counted. What has no time of its own counts as said when it was recorded. The rules:
--
--   level 0  nothing said                     3  said by two people, or again 14 days apart
--         1  hinted at (below 5000 bp), or    4  level 3, and one of them in writing or from whoever decides
--            said long ago
--         2  said by one customer
--   age      an item's confidence halves with each half-life of its dimension; below 3000 bp it is a hint, below
-- 1000 bp forgotten
--   RED      a denial of 5000 bp or more stands, until somebody later confirms with a confidence at most 1500 bp
-- lower. The
--            level is then at most 1: bad news lowers what was known. (A denial that `stands` is not answered by a
-- limit.)
--   blocker  among the red dimensions the one whose standing denial is surest; then latest; then first in the
-- playbook
--   qualified  false with a blocker; true when every dimension has the level that the playbook requires; else
-- null: unknown

local dates = require "perigee.conversation.dates"
local json = require "perigee.json"

local M = {}

local DAY = 86400 * 1000000
local STATED, FADED, FORGOTTEN = 5000, 3000, 1000
local ANSWERS_WITHIN = 1500
local CORROBORATED_AFTER = 14 * DAY
local LEVEL_POINTS = { [0] = 0, 0, 40, 70, 100 }

--- When something counts as said: the time that its source gives, else the time at which it was recorded.
---@param item table evidence
---@return integer|nil unix microseconds
function M.time_of(item)
  return dates.micros(item.said_at) or tonumber(item.recorded_at)
end

-- Undated messages that were recorded together stand in the order in which they came.
local function turn_of(item)
  return type(item.detail) == "table" and tonumber(item.detail.turn) or 0
end

-- Total order of what was said: time, turn, source, place, id. What has no time comes first.
local function said_before(a, b, at_a, at_b)
  if at_a ~= at_b then
    return at_a < at_b
  end
  local turn_a, turn_b = turn_of(a), turn_of(b)
  if turn_a ~= turn_b then
    return turn_a < turn_b
  end
  if a.source ~= b.source then
    return tostring(a.source) < tostring(b.source)
  end
  if a.start ~= b.start then
    return a.start < b.start
  end
  return tostring(a.id) < tostring(b.id)
end

local function distinct(items)
  local times, list = {}, {}
  for _, item in ipairs(items) do
    if not times[item.id] then
      times[item.id] = M.time_of(item) or -math.huge
      list[#list + 1] = item
    end
  end
  table.sort(list, function(a, b)
    return said_before(a, b, times[a.id], times[b.id])
  end)
  return list
end

--- The items of a ledger, each once, in the order in which they were said.
M.in_order = distinct

--- What is left of a confidence after some time: halved per half-life, linear in between, in whole basis points.
---@param confidence integer basis points
---@param age integer microseconds
---@param half_life_days? integer nil: it does not fade
---@return integer
function M.faded(confidence, age, half_life_days)
  if not half_life_days or age <= 0 then
    return confidence
  end
  local half = half_life_days * DAY
  local halvings = math.floor(age / half)
  if halvings > 20 then
    return 0
  end
  local value = confidence
  for _ = 1, halvings do
    value = value / 2
  end
  local part = (age - halvings * half) / half
  return math.floor(value - value / 2 * part)
end

local function weigh(items, dimension, as_of)
  local list = {}
  for k, item in ipairs(items) do
    local at = M.time_of(item)
    local age = at and as_of and as_of - at or 0
    list[k] = {
      item = item,
      at = at,
      order = k,
      confidence = item.confidence_bp,
      weight = M.faded(item.confidence_bp, age, dimension.half_life_days),
    }
  end
  return list
end

-- Whether what was said later takes a denial back. Naming one's limit does not settle that an offer breaks it.
local function takes_back(denial, other)
  local same_words = other.item.source == denial.item.source
    and other.item.start == denial.item.start
  if other.item.polarity < 0 or same_words or other.weight < denial.weight - ANSWERS_WITHIN then
    return false
  end
  local against, with = denial.item.detail, other.item.detail
  return not (type(against) == "table" and against.stands and type(with) == "table" and with.limit)
end

-- Denials that nobody took back. A later confirmation answers all earlier denials that are not clearly surer.
local function standing_denials(list)
  local standing, surest = {}, {}
  for k = #list, 1, -1 do
    local weight = list[k].item.polarity > 0 and list[k].weight or -math.huge
    surest[k] = math.max(weight, surest[k + 1] or weight)
  end
  for k, entry in ipairs(list) do
    if entry.item.polarity < 0 and entry.weight >= FORGOTTEN then
      local later = k + 1
      -- Nothing later is sure enough: no need to look at each, and a long ledger stays cheap.
      local possible = list[later] and surest[later] >= entry.weight - ANSWERS_WITHIN
      while possible and list[later] and not takes_back(entry, list[later]) do
        later = later + 1
      end
      if not possible or not list[later] then
        standing[#standing + 1] = entry
      end
    end
  end
  return standing
end

local function is_stated(entry)
  return entry.confidence >= STATED and entry.weight >= FADED
end

local function is_corroborated(stated)
  local first = stated[1]
  for k = 2, #stated do
    local other = stated[k]
    if other.item.speaker ~= first.item.speaker then
      return true
    end
    if first.at and other.at and other.at - first.at >= CORROBORATED_AFTER then
      return true
    end
  end
  return false
end

local function level_of(list, deciders)
  local stated, hinted = {}, false
  for _, entry in ipairs(list) do
    if entry.item.polarity > 0 then
      if is_stated(entry) then
        stated[#stated + 1] = entry
      elseif entry.weight >= FORGOTTEN then
        hinted = true
      end
    end
  end
  if #stated == 0 then
    return hinted and 1 or 0
  end
  if not is_corroborated(stated) then
    return 2
  end
  for _, entry in ipairs(stated) do
    local detail = entry.item.detail
    if type(detail) == "table" and detail.written or deciders[entry.item.speaker or ""] then
      return 4
    end
  end
  return 3
end

local function newest(denials)
  local best
  for _, entry in ipairs(denials) do
    if
      not best
      or entry.weight > best.weight
      or entry.weight == best.weight and entry.order > best.order
    then
      best = entry
    end
  end
  return best
end

local function fold_dimension(dimension, items, as_of, deciders)
  local list = weigh(items, dimension, as_of)
  local level = level_of(list, deciders)
  local denials = standing_denials(list)
  local worst = newest(denials)
  local red = worst ~= nil and worst.weight >= STATED
  if red then
    level = math.min(level, 1)
  elseif worst and level > 1 then
    level = level - 1
  end
  local ids = {}
  for k, item in ipairs(items) do
    ids[k] = item.id
  end
  local denied = {}
  for k, entry in ipairs(denials) do
    denied[k] = entry.item.id
  end
  local missing = json.null
  if red then
    missing = (dimension.missing or dimension.title)
      .. " (contradicted: "
      .. worst.item.claim
      .. ")"
  elseif level < math.max(dimension.requires, 2) then
    missing = dimension.missing or dimension.title
  end
  return {
    level = level,
    red = red,
    evidence = json.array(ids),
    missing = missing,
    doubts = json.array(denied),
    claim = worst and red and worst.item.claim or nil,
  },
    worst
end

local function find_deciders(book, items)
  local deciders = {}
  for _, item in ipairs(items) do
    if
      book.power[item.dimension]
      and item.polarity > 0
      and item.confidence_bp >= STATED
      and item.speaker
    then
      deciders[item.speaker] = true
    end
  end
  return deciders
end

local function find_blocker(book, card, worst)
  local blocker, best
  for _, dimension in ipairs(book.dimensions) do
    local entry = worst[dimension.name]
    if card.dimensions[dimension.name].red and dimension.blocks then
      if
        not best
        or entry.weight > best.weight
        or entry.weight == best.weight
            and said_before(best.item, entry.item, best.at or -math.huge, entry.at or -math.huge)
      then
        blocker, best = dimension.name, entry
      end
    end
  end
  return blocker
end

local function judge(book, card)
  if card.blocker ~= json.null then
    return false
  end
  for _, dimension in ipairs(book.dimensions) do
    local view = card.dimensions[dimension.name]
    if view.red or view.level < dimension.requires then
      return json.null
    end
  end
  return true
end

--- Folds a ledger into a playbook's scorecard.
---@param book table compiled playbook
---@param items table[] evidence of the deal; other playbooks' items are passed over
---@param as_of integer unix microseconds
---@return table card {dimensions, blocker, qualified, score_bp, flags}
function M.fold(book, items, as_of)
  local by_dimension, own = {}, {}
  for _, item in ipairs(distinct(items)) do
    if item.playbook == book.name and book.by_name[item.dimension] then
      own[#own + 1] = item
      by_dimension[item.dimension] = by_dimension[item.dimension] or {}
      table.insert(by_dimension[item.dimension], item)
    end
  end
  local deciders = find_deciders(book, own)
  local card = { dimensions = {}, flags = {} }
  local worst, points, weights = {}, 0, 0
  for _, dimension in ipairs(book.dimensions) do
    local view, entry =
      fold_dimension(dimension, by_dimension[dimension.name] or {}, as_of, deciders)
    card.dimensions[dimension.name] = view
    worst[dimension.name] = entry
    weights = weights + dimension.weight
    if not view.red then
      points = points + dimension.weight * LEVEL_POINTS[view.level]
    end
  end
  card.score_bp = weights > 0 and math.floor(points * 100 / weights) or 0
  card.blocker = find_blocker(book, card, worst) or json.null
  card.qualified = judge(book, card)
  for _, flag in ipairs(book.red_flags) do
    if card.dimensions[flag.dimension].red then
      card.flags[#card.flags + 1] =
        { id = flag.id, title = flag.title, dimension = flag.dimension, action = flag.action }
    end
  end
  json.array(card.flags)
  return card
end

return M
