--- Who sells and who buys, where the caller does not say.
-- In this order:
-- 1. What the caller says (`side` of a message, `seller`), and labels that are a role: "Rep", "Customer 2",
--    "Ana (buyer)".
-- 2. Signs (conversation/signs.lua): each sentence gives points for selling or for buying, at most 6 either way.
--    A speaker's own firm in the greeting, the title under a message, and a firm that others call "your ACME"
--    give more.
-- 3. Two speakers are compared: whoever is 2 points and a tenth of all points ahead sells, the other buys. Where
--    they are less than 3 apart, the first to speak in a transcript has 1 more, or 2 if there is talk of prices,
--    orders, contracts: sellers open most calls. It never outweighs signs to the contrary, and small talk alone
--    tells nothing.
-- 4. Of three or more each stands alone, a firm (mail domain, or "Ana (ACME)") as one: 3 points sell, -3 buy. Then
--    colleagues ("my colleague Ben") follow whom is known, of two firms the other one takes the other side, and
--    who answers a seller's questions buys. One who is still open then is opposite to all others, if they agree.
-- Where that does not tell, the side stays unknown, and nothing that person says is recorded.

local text = require "perigee.text"
local signs = require "perigee.conversation.sign_cues"
local cues = require "perigee.rules.cues"
local entities = require "perigee.rules.entities"

local M = {}

-- As a word of a short label, and as the whole of a label.
local ROLE_WORDS = {
  seller = "seller",
  rep = "seller",
  ae = "seller",
  vendor = "seller",
  sdr = "seller",
  bdr = "seller",
  salesperson = "seller",
  salesman = "seller",
  saleswoman = "seller",
  representative = "seller",
  customer = "customer",
  client = "customer",
  buyer = "customer",
  prospect = "customer",
  visitor = "customer",
  purchaser = "customer",
}
local ROLE_NAMES = {
  sales = "seller",
  agent = "seller",
  supplier = "seller",
  lead = "customer",
  procurement = "customer",
}
-- "Customer Success", "Client Partner": these work for the seller.
local SERVING = text.set([[
  success service services partner support care relations engagement executive director manager
  officer experience insights
]])
-- Titles whose bearers sell, wherever they stand in a label.
local SELLING_TITLES = {
  "account executive",
  "account manager",
  "sales executive",
  "sales rep",
  "sales representative",
  "sales engineer",
  "solutions engineer",
  "solution engineer",
  "business development",
}
local COURTESY = text.set("dr mr mrs ms mx prof sir madam")
local FREE_MAIL = text.set([[
  gmail.com googlemail.com outlook.com hotmail.com live.com yahoo.com icloud.com me.com aol.com
  gmx.de gmx.net gmx.com web.de proton.me protonmail.com mail.com msn.com
]])
local LONGEST_READ = 4000
-- Who has not shown a side in this many turns will not show it later.
local MOST_TURNS = 60
local MOST_POINTS = 6
-- After so many bytes the caller may begin a new slice of CPU time.
local PAUSE_AFTER = 20000

local INTRODUCES = text.set("from of with at calling")
local GREETED = text.set("hi hello thanks hey morning afternoon is")
local OPENERS = text.set([[
  who what when where how why which do does did is are can could would will shall should may have has am any
]])
local ASKED = text.set([[
  i you we it they that this the there your our my anyone anybody someone everything
]])

local BEFORE = text.set("and so but")

-- "Anna Berg from Northlight": whoever opens with their own name and a firm calls to sell; a hint, as buyers call
-- as well.
local function introduces_self(words, name)
  local own = text.words(name)
  for i = 1, math.min(#words, 40) do
    if #own > 0 and words[i] == own[1] and #own[1] > 1 then
      local k = i + 1
      while own[k - i + 1] and words[k] == own[k - i + 1] do
        k = k + 1
      end
      local before = words[i - 1] or ""
      if
        INTRODUCES[words[k]] and (not GREETED[before] or before == "is" and words[i - 2] ~= "who")
      then
        return 3
      end
    end
  end
  return 0
end

local function is_question(reading, sentence)
  local words, first = reading.words, sentence.first
  while first < sentence.last and BEFORE[words[first]] do
    first = first + 1
  end
  return sentence.question or OPENERS[words[first]] and ASKED[words[first + 1] or ""] or false
end

local function stopped(cue, reading, sentence, slots)
  for k = 1, #cue.unless do
    if cues.find(cue.unless[k], reading, sentence, slots) then
      return true
    end
  end
  return false
end

-- Points of one sentence, both ways, and whether it is of business.
local function points_of(index, reading, sentence)
  local slots, kinds = {}, {}
  entities.read(reading, sentence.first, sentence.last, slots)
  for kind in pairs(slots) do
    kinds[#kinds + 1] = kind
  end
  table.sort(kinds)
  local asks = is_question(reading, sentence) and "asks" or "says"
  local plus, minus, business = 0, 0, false
  local found, n = cues.candidates(index, reading, sentence, kinds)
  for k = 1, n do
    local cue = found[k]
    if cue.points == 0 then
      business = business or cues.find(cue, reading, sentence, slots) ~= nil
    elseif
      (not cue.when or cue.when == asks)
      and cues.find(cue, reading, sentence, slots)
      and not stopped(cue, reading, sentence, slots)
    then
      plus, minus = math.max(plus, plus + cue.points), math.min(minus, minus + cue.points)
    end
  end
  return math.min(plus, MOST_POINTS), math.max(minus, -MOST_POINTS), business
end

local function read(words)
  local reading, shadow = text.new_reading(), text.shadow(words)
  text.read(reading, shadow, 1, #shadow, 1)
  return reading
end

-- Adds an utterance's points to its speaker.
local function score(source, utterance, person)
  local stop = math.min(utterance.stop, utterance.start + LONGEST_READ)
  local reading = read(source.text:sub(utterance.start + 1, stop))
  utterance.reading = reading
  if utterance.order <= 4 then
    local points = introduces_self(reading.words, utterance.speaker)
    person.plus, person.clear = person.plus + points, person.clear or points > 0
  end
  for _, sentence in ipairs(reading.sentences) do
    local plus, minus, business = points_of(signs.said(), reading, sentence)
    person.business = person.business or business
    person.plus, person.minus = person.plus + plus, person.minus + minus
    person.clear = person.clear or plus > 1 or minus < -1
    utterance.asked = plus > 0 and sentence.question or utterance.asked
  end
end

-- The lines under a message: "Sam Roy / Account Executive".
local function score_signature(source, utterance, person)
  local below = source.text:sub(utterance.stop + 1, utterance.stop + 240)
  below = below:gsub("\n[Ff]rom:.*", ""):gsub("\nOn [^\n]* wrote:.*", "")
  below = below:gsub("\n>.*", "")
  local reading = read(below)
  for _, sentence in ipairs(reading.sentences) do
    local plus, minus = points_of(signs.titles(), reading, sentence)
    person.plus, person.minus = person.plus + plus, person.minus + minus
    person.clear = person.clear or plus > 0 or minus < 0
  end
end

local function domain_of(address)
  return address and address:lower():match("@([%w.-]+)")
end

-- "Dr. Sam Smith" and "Smith, Sam" are "sam smith".
local function normal_name(name)
  local plain = name:lower():gsub("%b<>", ""):gsub("[\"']", "")
  plain = plain:gsub("^%s+", ""):gsub("%s+$", "")
  local title, rest = plain:match("^(%a+)%.?%s+(.+)$")
  while title and COURTESY[title] do
    plain = rest
    title, rest = plain:match("^(%a+)%.?%s+(.+)$")
  end
  local last, first = plain:match("^([^%s,]+),%s*([^%s,]+)$")
  return first and first .. " " .. last or plain
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

local function role_in(part, whole)
  local words = {}
  for word in part:lower():gmatch("%a+") do
    words[#words + 1] = word
  end
  local joined = " " .. table.concat(words, " ") .. " "
  for _, title in ipairs(SELLING_TITLES) do
    if joined:find(" " .. title .. " ", 1, true) then
      return "seller"
    end
  end
  for k, word in ipairs(words) do
    local role = #words == 1 and ROLE_NAMES[word]
      or (not whole or #part <= 24) and not SERVING[words[k + 1] or ""] and ROLE_WORDS[word]
    if role then
      return role
    end
  end
  return nil
end

-- "Ana (buyer)", "Sam Smith, Sales", "Customer 2": what stands apart from the name first.
local function by_label(speaker)
  local inner = speaker:match("[%(%[]([^%)%]]*)[%)%]]")
  local role = inner and role_in(inner)
  for part in (speaker:gsub("%b<>", ""):match(",(.*)") or ""):gmatch("[^,]+") do
    role = role or role_in(part)
  end
  return role or role_in(speaker, true)
end

-- What ties a speaker to colleagues: the mail domain, or the firm in the label.
local function firm_of(name)
  local domain = domain_of(name)
  if domain then
    return not FREE_MAIL[domain] and domain or nil
  end
  local inner = name:match("[%(%[]([^%)%]]*)[%)%]]") or name:match("%s[-|/@]%s*(.+)$")
  return inner and inner:find("%a") and inner:lower():match("([^,|/-]+)%s*$") or nil
end

local function collect(utterances)
  local people, order = {}, {}
  for k, utterance in ipairs(utterances) do
    utterance.order = k
    local key = utterance.speaker or "?"
    local person = people[key] or people[normal_name(key)]
    people[key] = person
    if not person then
      person = { name = key, plus = 0, minus = 0, turns = 0, first = k, firm = firm_of(key) }
      people[key] = person
      if utterance.speaker then
        -- Quoted history names people without their address.
        people[normal_name(key)] = people[normal_name(key)] or person
        order[#order + 1] = person
      end
    end
    if utterance.side then
      person.side = utterance.side
    end
  end
  return people, order
end

local function weigh(sources, utterances, people, pause)
  local last, size = nil, 0
  for _, utterance in ipairs(utterances) do
    local person = people[utterance.speaker or "?"]
    if utterance.speaker and person.turns < MOST_TURNS and not utterance.quoted then
      person.turns = person.turns + 1
      local source = sources[utterance.source]
      size = size + math.min(LONGEST_READ, utterance.stop - utterance.start)
      if pause and size > PAUSE_AFTER then
        size = 0
        pause()
      end
      score(source, utterance, person)
      if utterance.written then
        score_signature(source, utterance, person)
      end
      -- Whoever speaks right after a seller's question.
      local asker = last and last.asked and people[last.speaker]
      utterance.after = asker and asker ~= person and asker or nil
    end
    last = utterance.speaker and utterance or nil
  end
end

-- "your Acme licence", said by others, and "we at Acme", said by its own: the stem of a mail domain, or a firm's name.
local function weigh_firms(utterances, people, order)
  local stems = {}
  for _, person in ipairs(order) do
    local stem = person.firm and (person.firm:match("^([%w-]+)%.[%w.-]+$") or person.firm:match("^(%w+)"))
    if stem and #stem > 2 then
      stems[stem] = stems[stem] or {}
      stems[stem][#stems[stem] + 1] = person
    end
  end
  if not next(stems) then
    return
  end
  for _, utterance in ipairs(utterances) do
    local words = utterance.reading and utterance.reading.words or {}
    for i = 2, #words do
      local of = stems[words[i]]
      if of and words[i - 1] == "your" then
        for _, person in ipairs(of) do
          if people[utterance.speaker] ~= person then
            person.plus, person.clear = person.plus + 3, true
          end
        end
      end
    end
  end
end

local function decide_two(order, form)
  local a, b = order[1], order[2]
  local diff = a.plus + a.minus - b.plus - b.minus
  local all = a.plus - a.minus + b.plus - b.minus
  if math.abs(diff) < 3 and form == "transcript" then
    diff = diff + ((a.business or b.business) and 2 or 1)
  end
  local clear = a.clear or b.clear or a.business or b.business
  if clear and math.abs(diff) >= 2 and math.abs(diff) * 10 >= all then
    a.side = a.side or (diff > 0 and "seller" or "customer")
    b.side = b.side or (diff > 0 and "customer" or "seller")
  end
end

local OTHER = { seller = "customer", customer = "seller" }

-- Two who talk to each other: when one is the seller, the other is not.
local function oppose(order)
  for k = 1, 2 do
    local other = order[3 - k]
    order[k].side = order[k].side or other and OTHER[other.side] or nil
  end
end

local function decide_alone(order)
  for _, person in ipairs(order) do
    local total = person.plus + person.minus
    if not person.side and math.abs(total) >= 3 and math.abs(total) * 4 >= person.plus - person.minus then
      person.side = total > 0 and "seller" or "customer"
    end
  end
end

-- "my colleague Ben": Ben is on the speaker's side.
local COLLEAGUE = text.set([[
  colleague coworker teammate associate boss manager engineer technician
]])
local BRINGS = text.set("brought bring bringing")
local MINE = text.set("my our")

-- Whether the words before the name at `i` make it that of a colleague: "my colleague Ben", "I brought Ben along".
local function is_colleague(words, i)
  local before = words[i - 1]
  if BRINGS[before] then
    return words[i + 1] == "along" or words[i + 1] == "with"
  end
  if before == "is" and words[i - 2] == "me" then
    return true
  end
  for back = i - 1, math.max(2, i - 4), -1 do
    if COLLEAGUE[words[back]] and (MINE[words[back - 1]] or MINE[words[back - 2] or ""]) then
      return true
    end
  end
  return false
end

local function spread_by_colleagues(utterances, people, order)
  local by_name = {}
  for _, person in ipairs(order) do
    local first = text.words(person.name)[1]
    if first then
      by_name[first] = by_name[first] == nil and person or false
    end
  end
  for _, utterance in ipairs(utterances) do
    local words = utterance.reading and utterance.reading.words or {}
    local speaker = people[utterance.speaker or "?"]
    for i = 2, #words do
      local named = by_name[words[i]]
      if named and named ~= speaker and is_colleague(words, i) then
        named.side, speaker.side = named.side or speaker.side, speaker.side or named.side
      end
    end
  end
end

local function spread_by_firm(order)
  local sides, names, seen, loose = {}, {}, {}, false
  for _, person in ipairs(order) do
    local firm = person.firm
    loose = loose or not firm
    if firm then
      sides[firm] = person.side or sides[firm]
      if not seen[firm] then
        seen[firm], names[#names + 1] = true, firm
      end
    end
  end
  -- Two firms and nobody besides: when one sells, the other buys.
  if #names == 2 and not loose then
    sides[names[1]] = sides[names[1]] or OTHER[sides[names[2]]]
    sides[names[2]] = sides[names[2]] or OTHER[sides[names[1]]]
  end
  for _, person in ipairs(order) do
    person.side = person.side or person.firm and sides[person.firm] or nil
  end
end

-- Who answers what a seller asks buys.
local function spread_by_answers(utterances, people)
  local answered = {}
  for _, utterance in ipairs(utterances) do
    local person = people[utterance.speaker or "?"]
    if utterance.after and utterance.after.side == "seller" and not person.side then
      answered[person] = (answered[person] or 0) + 1
      if answered[person] >= 1 and person.plus + person.minus <= 0 then
        person.side = "customer"
      end
    end
  end
end

-- The only one who is open, where all others sell, buys; where all others buy, sells if anything speaks for it.
local function last_one(order)
  local open, others = nil, nil
  for _, person in ipairs(order) do
    if not person.side then
      if open then
        return
      end
      open = person
    elseif others and others ~= person.side then
      others = "both"
    else
      others = person.side
    end
  end
  if open and (others == "seller" or others == "customer" and open.plus + open.minus > 0) then
    open.side = OTHER[others]
  end
end

-- Firms speak as one: what one of them shows counts for all.
local function pool_firms(order)
  local sums = {}
  for _, person in ipairs(order) do
    if person.firm then
      local sum = sums[person.firm] or { plus = 0, minus = 0 }
      sums[person.firm] = sum
      sum.plus, sum.minus = sum.plus + person.plus, sum.minus + person.minus
    end
  end
  for _, person in ipairs(order) do
    local sum = sums[person.firm or ""]
    if sum then
      person.plus, person.minus = sum.plus, sum.minus
    end
  end
end

local function infer(sources, utterances, form, pause)
  local people, order = collect(utterances)
  local open = 0
  for _, person in ipairs(order) do
    open = open + (person.side and 0 or 1)
  end
  if #order == 2 then
    oppose(order)
  end
  if open > 0 and not (#order == 2 and order[1].side) then
    weigh(sources, utterances, people, pause)
    weigh_firms(utterances, people, order)
    if #order == 2 then
      decide_two(order, form)
    else
      spread_by_firm(order)
      pool_firms(order)
      decide_alone(order)
      spread_by_colleagues(utterances, people, order)
      spread_by_firm(order)
      spread_by_answers(utterances, people)
      last_one(order)
    end
  end
  return people
end

--- Sets `side` of every utterance: customer, seller or unknown.
---@param sources table[]
---@param utterances table[]
---@param sellers? string[] names, addresses or domains of the selling side
---@param form? string transcript, messages or thread
---@param pause? function called now and then in a long conversation
function M.infer(sources, utterances, sellers, form, pause)
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
  local labels = {}
  for _, utterance in ipairs(utterances) do
    local speaker = utterance.speaker
    if not utterance.side and speaker then
      labels[speaker] = labels[speaker] or by_label(speaker) or "none"
      utterance.side = labels[speaker] ~= "none" and labels[speaker] or nil
    end
  end
  local people = infer(sources, utterances, form, pause)
  for _, utterance in ipairs(utterances) do
    utterance.side = utterance.side or people[utterance.speaker or "?"].side or "unknown"
    if not utterance.speaker then
      utterance.side = "unknown"
    end
    utterance.order, utterance.reading, utterance.asked, utterance.after = nil, nil, nil, nil
  end
end

return M
