--- What the seller offers (a price, a delivery date), and whether it stays within what the customer said.
-- An offer is never evidence. It decides only whether a limit that the customer named is kept or broken, and the
-- quote is the customer's limit. Nothing is compared that is not comparable: another currency, a price per unit,
-- an unclear date.

local text = require "perigee.text"

local dates = require "perigee.conversation.dates"
local time = require "perigee.time"

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
    local side = reading.conversation.utterances[sentence.utterance].side
    if side == "seller" or side == "customer" then
      local seen = {}
      local found, n = cues.candidates(book.offer_index, reading, sentence, sentence.kinds)
      for k = 1, n do
        local cue = found[k]
        if
          (cue.restated or false) == (side == "customer")
          and not seen[cue.offer]
          and not voided(reading, sentence, cue)
        then
          local a, _, entity = cues.find(cue, reading, sentence, sentence.slots)
          if a then
            seen[cue.offer] = true
            if entity and entity.amount and not cue.restated then
              entity = comparable_amount(reading, sentence, entity)
            end
            list[#list + 1] = {
              name = cue.offer,
              order = sentence.order - (cue.restated and 0.5 or 0),
              at = reading.conversation.utterances[sentence.utterance].said_at,
              entity = entity or nil,
            }
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

-- Days apart of two bare days of the month that can be of the same month: "the 3rd" said of "the 28th" is the next.
local SAME_MONTH = 20

local HOUR = 3600 * 1000000

-- A span offered on a known day against the day on which it must be there: "our lead time is nine weeks" of
-- "the opening is on the first of March". A month that is past is next year's; a month without a day lasts to its end.
local function comes_after(limit, span, at)
  local said = dates.micros(at)
  if not said then
    return false
  end
  local now = time.parts(said)
  local year = limit.year or limit.month < now.month and now.year + 1 or now.year
  local day = string.format("%04d-%02d-%02dT23:59:59Z", year, limit.month, limit.day or 28)
  local latest = dates.micros(day)
  return latest ~= nil and said + span * HOUR > latest + (limit.day and 0 or 72 * HOUR)
end

local function exceeds(limit, offer, at)
  if limit.month and not limit.hours and offer.hours and not offer.month and at then
    return comes_after(limit, offer.hours, at)
  end
  if limit.amount and offer.amount then
    if limit.currency and offer.currency and limit.currency ~= offer.currency then
      return false
    end
    return offer.amount > limit.amount
  end
  if limit.hours and offer.hours then
    return offer.hours > limit.hours
  end
  local same_month = not limit.month or not offer.month or limit.month == offer.month
  if limit.day and offer.day and same_month then
    return offer.day > limit.day and (limit.month or offer.day - limit.day <= SAME_MONTH)
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

-- "We planned for ten" of a price of 11,200 means ten thousand, "I've only got 30" of 45 days means days.
local function in_the_offers_terms(limit, offer)
  if limit.kind ~= "number" and not (limit.kind == "amount" and limit.bare) then
    return limit
  end
  local value = limit.value or limit.amount and limit.amount / 100
  if offer.hours then
    return limit.kind == "number" and offer.unit and { hours = value * offer.unit } or nil
  end
  if not offer.amount then
    return nil
  end
  for _, scale in ipairs { 100, 100000, 100000000 } do
    local amount = value * scale
    if amount * 4 >= offer.amount and amount <= offer.amount * 4 then
      return { amount = amount }
    end
  end
  return limit.kind == "amount" and limit or nil
end

local function exceeded(candidate, offer)
  local limit = in_the_offers_terms(candidate.entity, offer.entity)
  return limit and exceeds(limit, offer.entity, offer.at)
end

-- The limit that a confirmation names, itself or in another reading of its words.
function M.bound_of(candidate)
  if candidate.polarity < 0 or candidate.accepted then
    return nil
  end
  local rule = candidate.rule
  return candidate.bound or rule.limit and rule.over and candidate.entity and candidate or nil
end

-- A customer who says yes after the offer has taken it: then the limit was not the end of the matter. Nor was it if
-- they name another that holds.
local function taken(state, dimension, offer, limit)
  for _, candidate in ipairs(state.candidates) do
    if
      candidate.dimension == dimension
      and candidate ~= limit
      and candidate.polarity > 0
      and candidate.order > offer.order
      and not (M.bound_of(candidate) and exceeded(M.bound_of(candidate), offer))
    then
      return true
    end
  end
  return false
end

local function contradiction(candidate, bound)
  local against = {}
  for key, value in pairs(candidate) do
    against[key] = value
  end
  against.polarity, against.confidence, against.claim = -1, 6500, bound.rule.over
  against.detail = { limit = bound.rule.limit, compared = true }
  return against
end

--- Holds each limit against the last offer. One that the offer breaks, and that the customer did not take back, is a
-- contradiction: instead of the confirmation where it answers the offer, beside it where the offer came later. A number
-- that counts nothing by itself is kept only where the offer gives it a meaning.
function M.compare(state)
  local kept = {}
  for _, candidate in ipairs(state.candidates) do
    local bound, against, void = M.bound_of(candidate), nil, false
    if bound then
      local offer = last_offer(state.offers, bound.rule.limit)
      void = candidate.entity
        and candidate.entity.kind == "number"
        and not (offer and in_the_offers_terms(candidate.entity, offer.entity))
      if
        offer
        and exceeded(bound, offer)
        and not taken(state, bound.dimension, offer, candidate)
      then
        against = contradiction(candidate, bound)
        void = offer.order < candidate.order
      end
    end
    if not void then
      kept[#kept + 1] = candidate
    end
    kept[#kept + 1] = against
  end
  state.candidates = kept
end

return M
