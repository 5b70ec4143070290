--- The best next questions: about what is contradicted or missing, fit for the persona and the stage, not asked and
-- not answered. Points, all integers: 60 for the blocker, 40 for a red dimension, 25 where the next gate needs it,
-- 20 times the levels missing, the dimension's weight, 10 for the deal's own method; ties by id.

local json = require "perigee.json"

local M = {}

local MOST = 5

local function has(list, value)
  if not list then
    return true
  end
  for _, item in ipairs(list) do
    if item == value then
      return true
    end
  end
  return false
end

local function next_gate_needs(context)
  local needs = {}
  for k, gate in ipairs(context.stage.gates) do
    if not gate.met then
      for name, level in pairs(context.method.gates[k].requires) do
        needs[name] = level
      end
      break
    end
  end
  return needs
end

local function points_of(context, book, question, needs)
  local card = context.cards[book.name]
  local view = card.dimensions[question.dimension]
  local points = math.max(0, question.below - view.level) * 20
    + book.by_name[question.dimension].weight
  if card.blocker == question.dimension then
    points = points + 60
  end
  if view.red then
    points = points + 40
  end
  if book == context.method then
    points = points
      + 10
      + (needs[question.dimension] and needs[question.dimension] > view.level and 25 or 0)
  end
  return points
end

local function is_open(context, book, question)
  local view = context.cards[book.name].dimensions[question.dimension]
  if view.level >= question.below and not view.red then
    return false
  end
  if context.persona and not has(question.personas, context.persona) then
    return false
  end
  if not has(question.stages, context.stage.current) then
    return false
  end
  local asked = context.talk.asked or {}
  return not asked[book.name .. "." .. question.id]
end

--- The questions worth asking next, best first; at most one per dimension and five in all.
---@param context table
---@return table[] {id, text, dimension, for}
function M.choose(context)
  local candidates, needs = {}, next_gate_needs(context)
  for _, book in ipairs(context.books) do
    for _, question in ipairs(book.questions) do
      if is_open(context, book, question) then
        candidates[#candidates + 1] = {
          id = book.name .. "." .. question.id,
          text = question.text,
          dimension = question.dimension,
          points = points_of(context, book, question, needs),
          ask = question.personas and question.personas[1],
        }
      end
    end
  end
  table.sort(candidates, function(a, b)
    if a.points ~= b.points then
      return a.points > b.points
    end
    return a.id < b.id
  end)
  local chosen, seen = json.array({}), {}
  for _, candidate in ipairs(candidates) do
    if not seen[candidate.dimension] and #chosen < MOST then
      seen[candidate.dimension] = true
      chosen[#chosen + 1] = {
        id = candidate.id,
        text = candidate.text,
        dimension = candidate.dimension,
        ["for"] = context.persona or context.customers[1] or candidate.ask or "customer",
      }
    end
  end
  return chosen
end

return M
