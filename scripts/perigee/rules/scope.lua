--- What stands round a cue: negation, condition, question, hedge, somebody else's story.
-- A phrase counts as said only where nothing in its clause takes it back. Clauses, not distances, bound the scope.

local text = require "perigee.text"

local M = {}

local NEGATORS = text.set([[
  not no never without neither nor hardly barely nobody nothing lack lacks lacking none scarcely
  rarely doubt unlikely
]])
-- "not only", "no problem": these negate nothing.
local HARMLESS = text.set([[
  only just problem worries wonder question merely issue later simply matter less thanks thank
]])
local JOINTS = text.set("but however although though because so yet whereas while")
local SUBJECTS = text.set([[
  i we it that this they you he she there our my the which who those these let just
]])
local CONDITIONS = text.set([[
  if unless whether assuming suppose supposing provided wish imagine hypothetically until once
  depending depends pretend
]])
local MODALS = text.set("would could might")
local ASKING = text.set([[
  what how when where who why which whose do does did is are am was were can could would will
  should have has may any shall
]])
local STATING = text.set("considering given since because as")
local MILD = text.set([[
  think guess believe probably likely seem seems seemed suppose assume generally apparently
  presumably expect
]])
local STRONG = text.set([[
  maybe perhaps might possibly unsure hopefully hope could potentially theoretically
]])
local ELSEWHERE = text.set("previous former old last other most some many ex another prior")
-- Whose affairs are told, at the begin of a sentence.
local OTHERS = text.set("neighbours neighbors neighbour neighbor")
local OWN = text.set("we our my i us me from that it the you your this they he she his her about")
local PEOPLE = text.set("boss manager director ceo cfo team colleagues")
local GONE = text.set("previous former ex old last")
local PLACES = text.set([[
  company companies job employer employers role firm firms clients customers organizations
  organisations businesses gig
]])

local function is_joint(words, breaks, i, first)
  local word, brk = words[i], breaks[i]
  if brk == ";" then
    return true
  end
  if JOINTS[word] and i > first then
    return not (word == "so" and (words[i + 1] == "much" or words[i + 1] == "far"))
  end
  if brk == "," and (SUBJECTS[word] or word == "and" and SUBJECTS[words[i + 1] or ""]) then
    return true
  end
  return word == "and"
    and (words[i + 1] == "i" or words[i + 1] == "we" or words[i + 1] == "it")
    and i > first
end

--- The clause round the words a to b.
---@return integer first, integer last
function M.clause(reading, sentence, a, b)
  local words, breaks = reading.words, reading.breaks
  local first, last = a, b
  while first > sentence.first and not is_joint(words, breaks, first, sentence.first) do
    first = first - 1
  end
  while last < sentence.last and not is_joint(words, breaks, last + 1, sentence.first) do
    last = last + 1
  end
  return first, last
end

-- How far before a phrase a negation may stand and still deny it; further off it only makes the phrase doubtful.
local DENIES_WITHIN = 6
-- These take back what follows without saying the contrary.
local TAKES_BACK = text.set("without nobody nothing unlikely doubt neither nor")

-- How many negations stand before the words, and whether the last denies them rather than leaving them open.
local function negators_before(reading, first, a)
  local words, breaks, count, denies = reading.words, reading.breaks, 0, true
  for i = first, a - 1 do
    local word = words[i]
    if NEGATORS[word] then
      local following = words[i + 1]
      local harmless = HARMLESS[following or ""]
        or breaks[i + 1] == "," and i + 1 <= a
        or word == "no"
          and i == first
          and (SUBJECTS[following or ""] or breaks[i + 2] and i + 2 <= a)
        or word == "doubt" and i > first and words[i - 1] == "no"
        or word == "without" and a - i > 3
      if not harmless then
        count = count + 1
        denies = a - i <= DENIES_WITHIN and not TAKES_BACK[word]
      end
    end
  end
  return count, denies
end

local function is_conditional(reading, sentence, first, a, last)
  local words = reading.words
  for i = first, a - 1 do
    local word = words[i]
    if CONDITIONS[word] and not (word == "once" and words[i - 1] == "at") then
      -- "I'd appreciate it if …" asks for it.
      return not (word == "if" and (words[i - 2] == "appreciate" or words[i - 1] == "grateful"))
    end
    if word == "when" and i == first and words[i + 1] ~= "it" then
      return true
    end
  end
  for i = sentence.first, sentence.last do
    if words[i] == "if" and (i < first or i > last or i > a) then
      if words[i - 1] == "even" then
        return false
      end
      for k = first, last do
        if MODALS[words[k]] then
          return true
        end
      end
    end
  end
  return false
end

local function is_question(reading, sentence, first, a, last)
  local words = reading.words
  if not sentence.question then
    -- Transcribers forget the mark: a clause that opens like a question is one.
    local opener = words[first]
    if
      (opener == "how" or opener == "what")
      and first < a
      and (ASKING[words[first + 1] or ""] or words[first + 1] == "about")
    then
      return not (words[first + 1] == "is" or words[first + 1] == "are")
        or words[first + 2] == "your"
    end
    return (
      opener == "do"
      or opener == "does"
      or opener == "did"
      or opener == "is"
      or opener == "are"
      or opener == "can"
    )
      and SUBJECTS[words[first + 1] or ""] ~= nil
      and words[first + 1] ~= "not"
      and first < a
  end
  local opener = words[first]
  if (JOINTS[opener] or opener == "and") and first < a then
    opener = words[first + 1]
  end
  if ASKING[opener] then
    return true
  end
  for i = first, a - 1 do
    if STATING[words[i]] then
      return false
    end
  end
  if STATING[words[a]] then
    return false
  end
  return last == sentence.last
end

local THOUGHT = text.set("thought felt figured assumed believed doubted wondered feared")
local EARLIER = text.set("initially originally")

-- "At first I thought we had no use for it": what they think no longer.
local function is_outgrown(words, first, last)
  local early, thought = false, false
  for i = first, last do
    local word = words[i]
    thought = thought or THOUGHT[word]
    early = early
      or EARLIER[word]
      or word == "first" and words[i - 1] == "at" and words[i + 1] ~= "glance"
  end
  return early and thought
end

local function is_elsewhere(reading, first, last)
  local words = reading.words
  if is_outgrown(words, first, last) then
    return true
  end
  local second = words[first + 1] or ""
  if first < last and (OTHERS[second] or second == "friend" and words[first + 2] == "'s") then
    return true
  end
  local told = words[first] == "i" and words[first + 1] == "heard"
  if told and first + 2 <= last and not OWN[words[first + 2]] then
    return true
  end
  for i = first, last do
    if PEOPLE[words[i]] and GONE[words[i - 1] or ""] then
      return true
    end
    if PLACES[words[i]] then
      local before = words[i - 1] or ""
      if ELSEWHERE[before] then
        return true
      end
    end
    if
      words[i] == "then" and words[i - 1] == "back"
      or words[i] == "past" and words[i - 1] == "the" and words[i - 2] == "in"
      or words[i] == "previously"
    then
      return true
    end
    if
      words[i] == "used"
      and words[i + 1] == "to"
      and words[i - 1] ~= "get"
      and words[i - 1] ~= "are"
    then
      return true
    end
  end
  return false
end

local function hedge(reading, first, last, a, b)
  local words, mild, strong = reading.words, false, false
  for i = first, last do
    if i < a or i > b then
      local word = words[i]
      if STRONG[word] then
        strong = true
      elseif MILD[word] and not (i > b and word ~= "probably") then
        mild = true
      elseif
        word == "not"
        and (words[i + 1] == "sure" or words[i + 1] == "certain" or words[i + 1] == "convinced")
      then
        strong = true
      elseif word == "do" and words[i + 1] == "not" and words[i + 2] == "know" then
        strong = true
      end
    end
  end
  return strong and "strong" or mild and "mild" or nil
end

--- How the words a to b of a sentence are meant.
---@param reading table
---@param sentence table
---@param a integer first word of the match
---@param b integer last word of the match
---@return table {negations, conditional, question, elsewhere, hedge, first, last}
function M.read(reading, sentence, a, b)
  local first, last = M.clause(reading, sentence, a, b)
  local negations, denies = negators_before(reading, first, a)
  return {
    first = first,
    last = last,
    negations = negations,
    denies = denies,
    conditional = is_conditional(reading, sentence, first, a, last),
    question = is_question(reading, sentence, first, a, last),
    elsewhere = is_elsewhere(reading, sentence.first, sentence.last),
    hedge = hedge(reading, first, last, a, b),
  }
end

return M
