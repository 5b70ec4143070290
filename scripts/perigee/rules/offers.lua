--- What the seller offers (a price, a delivery date), and whether it stays within what the customer said.
-- An offer is never evidence. It decides only whether a limit that the customer named is kept or broken, and the
-- quote is the customer's limit. Nothing is compared that is not comparable: another currency, a price per unit,
-- an unclear date.

local text = require "perigee.text"

local cues = require "perigee.rules.cues"

local M = {}

local PER_UNIT = text.set("each per apiece monthly a_mont")
local TOTAL = text.set([[
  total altogether together all overall bundle package totaling totalling totals sum
]])

local function has_any(reading, sentence, set)
  local words = reading.words
  for i = sentence.first, sentence.last do
    if set[words[i]] then
      return true
    end
  end
  return false
end

-- Of several amounts in a sentence that speaks of a total the largest is it; a price per unit alone tells no
-- total.
local function comparable_amount(reading, sentence, entity)
  local money = sentence.slots.money
  local largest, smallest = entity, entity
  for _, other in pairs(money or {}) do
    if other.amount > largest.amount then
      largest = other
    end
    if other.amount < smallest.amount then
      smallest = other
    end
  end
  -- "$410 each, so five would be $2,050": the unit's price and the total stand together.
  local unit_and_total = largest.amount >= 2 * smallest.amount
  if
    has_any(reading, sentence, PER_UNIT)
    and not unit_and_total
    and not has_any(reading, sentence, TOTAL)
  then
    return nil
  end
  return largest
end

local function voided(reading, sentence, cue)
  for _, unless in ipairs(cue.unless or {}) do
    if cues.find(unless, reading, sentence, sentence.slots) then
      return true
    end
  end
  return false
end

--- The seller's offers in order.
---@return table[] offers {name, order, entity}
function M.read(reading, book)
  local list = {}
  if #book.offer_cues == 0 then
    return list
  end
  for _, sentence in ipairs(reading.sentences) do
    local utterance = reading.conversation.utterances[sentence.utterance]
    if utterance.side == "seller" then
      local seen = {}
      local found, n = cues.candidates(book.offer_index, reading, sentence, sentence.kinds)
      for k = 1, n do
        local cue = found[k]
        if not seen[cue.offer] and not voided(reading, sentence, cue) then
          local a, _, entity = cues.find(cue, reading, sentence, sentence.slots)
          if a then
            seen[cue.offer] = true
            if entity and entity.amount then
              entity = comparable_amount(reading, sentence, entity)
            end
            list[#list + 1] = { name = cue.offer, order = sentence.order, entity = entity or nil }
          end
        end
      end
    end
  end
  return list
end

--- Whether an offer of that name was made before a sentence.
function M.before(list, name, order)
  for _, offer in ipairs(list) do
    if offer.name == name and offer.order < order then
      return true
    end
  end
  return false
end

local function exceeds(limit, offer)
  if limit.amount and offer.amount then
    if limit.currency and offer.currency and limit.currency ~= offer.currency then
      return false
    end
    return offer.amount > limit.amount
  end
  if limit.hours and offer.hours then
    return offer.hours > limit.hours
  end
  if limit.month and offer.month and not limit.hours then
    local a, b = limit.year or 0, offer.year or 0
    if a ~= b and a > 0 and b > 0 then
      return b > a
    end
    if limit.month ~= offer.month then
      return offer.month > limit.month
    end
    return (offer.day or 1) > (limit.day or 31)
  end
  return false
end

-- The last offer counts; an extra named later ("the support plan is $300") is small beside the price and replaces
-- nothing.
local function last_offer(list, name)
  local largest, last = 0, nil
  for _, offer in ipairs(list) do
    if offer.name == name and offer.entity then
      largest = math.max(largest, offer.entity.amount or 0)
    end
  end
  for _, offer in ipairs(list) do
    local entity = offer.name == name and offer.entity
    if entity and (entity.amount or 0) * 2 >= largest then
      last = offer
    end
  end
  return last
end

-- A customer who says yes after the offer has taken it: then the limit was not the end of the matter.
local function taken(state, dimension, offer, limit)
  for _, candidate in ipairs(state.candidates) do
    if
      candidate.dimension == dimension
      and candidate.order > offer.order
      and candidate ~= limit
    then
      return true
    end
  end
  return false
end

--- Adds a contradiction for each limit that the last offer breaks and that the customer did not take up.
function M.compare(state)
  local added = {}
  for _, candidate in ipairs(state.candidates) do
    local rule = candidate.rule
    if rule.limit and rule.over and candidate.detail and candidate.polarity > 0 then
      local offer = last_offer(state.offers, rule.limit)
      if
        offer
        and exceeds(candidate.detail, offer.entity)
        and not taken(state, rule.dimension, offer, candidate)
      then
        added[#added + 1] = {
          dimension = rule.dimension,
          polarity = -1,
          confidence = 6500,
          claim = rule.over,
          number = candidate.number,
          first = candidate.first,
          last = candidate.last,
          clause_first = candidate.clause_first,
          clause_last = candidate.clause_last,
          sentence = candidate.sentence,
          order = candidate.order,
          rule = rule,
          detail = { limit = rule.limit, compared = true },
        }
      end
    end
  end
  for _, candidate in ipairs(added) do
    state.candidates[#state.candidates + 1] = candidate
  end
end

return M
