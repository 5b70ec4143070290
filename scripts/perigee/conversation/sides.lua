--- Who sells and who buys, where the caller does not say.
-- Sellers show themselves: they introduce their company, speak of "our product", quote prices. Buyers speak of
-- their budget and of "your product". Being first to speak is a hint and no more. Where the signs do not tell, the
-- side stays unknown, and nothing that person says is recorded.

local text = require "perigee.text"
local phrases = require "perigee.phrases"
local cues = require "perigee.rules.cues"

local M = {}

local ROLE_NAMES = {
  seller = "seller",
  rep = "seller",
  ae = "seller",
  sales = "seller",
  vendor = "seller",
  sdr = "seller",
  bdr = "seller",
  salesperson = "seller",
  representative = "seller",
  customer = "customer",
  client = "customer",
  buyer = "customer",
  prospect = "customer",
  lead = "customer",
  purchaser = "customer",
  agent = "seller",
}
local LONGEST_READ = 4000
-- Who has not shown a side in this many turns will not show it later.
local MOST_TURNS = 60

local compiled

local function signs()
  if compiled then
    return compiled
  end
  local list = {}
  for weight, signs_of in pairs(phrases.signs_of_sides) do
    for _, phrase in ipairs(signs_of) do
      local cue = cues.compile(phrase)
      if cue then
        cue.weight = weight
        list[#list + 1] = cue
      end
    end
  end
  compiled = cues.index(list)
  return compiled
end

local INTRODUCES = text.set("from of with at here calling speaking")

-- "Anna Berg from Northlight here": whoever opens with their own name and a firm calls to sell.
local function introduces_self(words, name)
  local own = text.words(name)
  for i = 1, math.min(#words, 40) do
    if #own > 0 and words[i] == own[1] and #own[1] > 1 then
      local k = i + 1
      while own[k - i + 1] and words[k] == own[k - i + 1] do
        k = k + 1
      end
      if
        INTRODUCES[words[k]]
        and not (words[i - 1] == "hi" or words[i - 1] == "hello" or words[i - 1] == "thanks")
      then
        return words[k] ~= "here" and words[k] ~= "speaking" and 6 or 2
      end
    end
  end
  return 0
end

local function score(source, utterance, index)
  local reading = text.new_reading()
  local stop = math.min(utterance.stop, utterance.start + LONGEST_READ)
  local shadow = text.shadow(source.text:sub(utterance.start + 1, stop))
  text.read(reading, shadow, 1, #shadow, 1)
  local total = utterance.order <= 4 and introduces_self(reading.words, utterance.speaker) or 0
  for _, sentence in ipairs(reading.sentences) do
    local slots = shadow:find("[$\5\6\7]") and { money = {} } or {}
    if slots.money then
      for i = sentence.first, sentence.last do
        if reading.currencies[i] then
          slots.money[i] = { first = i, last = i }
        end
      end
    end
    local found, n = cues.candidates(index, reading, sentence, slots.money and { "money" } or {})
    for k = 1, n do
      if cues.find(found[k], reading, sentence, slots) then
        total = total + found[k].weight
      end
    end
  end
  return total
end

local function domain_of(address)
  return address and address:lower():match("@([%w.-]+)")
end

local function normal_name(name)
  return (name:lower():gsub("%b<>", ""):gsub("[\"']", ""):gsub("^%s+", ""):gsub("%s+$", ""))
end

local function address_of(name)
  return name:lower():match("([%w._%%+-]+@[%w.-]+)")
end

-- Whether a speaker is one of those named as sellers: by address, by name, or by the domain of a named address.
local function is_named(speaker, sellers)
  local address, name, domain = address_of(speaker), normal_name(speaker), domain_of(speaker)
  for _, seller in ipairs(sellers) do
    local given, at = normal_name(seller), address_of(seller)
    if at then
      if address == at or domain and domain == domain_of(seller) and #domain > 3 then
        return true
      end
    elseif given ~= "" then
      if given == domain or given == "@" .. (domain or "") then
        return true
      end
      if name == given or name:find(given, 1, true) == 1 and not name:find("^%w", #given + 1) then
        return true
      end
      -- "Anna" speaks where "Anna Berg" was named.
      if
        given:find(name, 1, true) == 1
        and given:sub(#name + 1, #name + 1) == " "
        and #name > 1
      then
        return true
      end
    end
  end
  return false
end

local function by_label(speaker)
  local inner = speaker:match("[%(%[]([^%)%]]*)[%)%]]")
  for _, part in ipairs { inner or "", speaker } do
    for word in part:lower():gmatch("%a+") do
      if ROLE_NAMES[word] and (part == inner or #part <= 24) then
        return ROLE_NAMES[word]
      end
    end
  end
  return nil
end

local function collect(sources, utterances)
  local people, order, index = {}, {}, nil
  for k, utterance in ipairs(utterances) do
    utterance.order = k
    local key = utterance.speaker or "?"
    local person = people[key]
    if not person then
      person = { name = key, score = 0, first = k }
      people[key] = person
      order[#order + 1] = person
    end
    if utterance.side then
      person.side = utterance.side
    end
    person.domain = person.domain or domain_of(key)
  end
  for _, person in ipairs(order) do
    if not person.side then
      index = index or signs()
    end
  end
  if index then
    for _, utterance in ipairs(utterances) do
      local person = people[utterance.speaker or "?"]
      person.turns = (person.turns or 0) + 1
      if not person.side and utterance.speaker and person.turns <= MOST_TURNS then
        person.score = person.score + score(sources[utterance.source], utterance, index)
      end
    end
  end
  return people, order
end

local function from_signs(order)
  local best, second
  for _, person in ipairs(order) do
    if not person.side then
      person.rank = person.score + (person.first == 1 and 1 or 0)
      if not best or person.rank > best.rank then
        best, second = person, best
      elseif not second or person.rank > second.rank then
        second = person
      end
    end
  end
  for _, person in ipairs(order) do
    if not person.side then
      local margin = second and person.rank - second.rank or person.rank
      if
        person == best
        and (person.rank >= 2 and margin >= 2 or #order == 2 and second and margin >= 4)
      then
        person.side = "seller"
      elseif person.rank >= 6 then
        person.side = "seller"
      elseif person.rank <= -2 then
        person.side = "customer"
      end
    end
  end
  -- Two who talk to each other: when one is the seller, the other is not.
  local sellers, open = 0, {}
  for _, person in ipairs(order) do
    if person.side == "seller" then
      sellers = sellers + 1
    end
    if not person.side then
      open[#open + 1] = person
    end
  end
  if #open == 1 and sellers > 0 then
    open[1].side = "customer"
  end
  local customers = 0
  for _, person in ipairs(order) do
    if person.side == "customer" then
      customers = customers + 1
    end
  end
  if #open == 1 and not open[1].side and customers == #order - 1 and #order == 2 then
    open[1].side = "seller"
  end
end

local function spread_by_domain(order)
  local domains = {}
  for _, person in ipairs(order) do
    if person.side and person.side ~= "unknown" and person.domain then
      domains[person.domain] = person.side
    end
  end
  for _, person in ipairs(order) do
    if not person.side and person.domain then
      person.side = domains[person.domain]
    end
  end
end

--- Sets `side` of every utterance: customer, seller or unknown.
---@param sources table[]
---@param utterances table[]
---@param sellers? string[] names, addresses or domains of the selling side
function M.infer(sources, utterances, sellers)
  if sellers and #sellers > 0 then
    for _, utterance in ipairs(utterances) do
      if not utterance.side then
        utterance.side = utterance.speaker
            and (is_named(utterance.speaker, sellers) and "seller" or "customer")
          or "unknown"
      end
    end
    return
  end
  for _, utterance in ipairs(utterances) do
    if not utterance.side and utterance.speaker then
      utterance.side = by_label(utterance.speaker)
    end
  end
  local people, order = collect(sources, utterances)
  spread_by_domain(order)
  from_signs(order)
  spread_by_domain(order)
  for _, utterance in ipairs(utterances) do
    utterance.side = utterance.side or people[utterance.speaker or "?"].side or "unknown"
    if not utterance.speaker then
      utterance.side = "unknown"
    end
  end
end

return M
