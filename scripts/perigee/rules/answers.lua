--- "Yes, that's correct": whether an utterance answers the question before it, and how.

local text = require "perigee.text"

local M = {}

local FILLERS = text.set([[
  well um uh hmm hm honestly actually so oh ah frankly er mm hi thanks and mhm basically hey
]])
local YES = {
  yes = "sure",
  yeah = "sure",
  yep = "sure",
  yup = "sure",
  correct = "sure",
  right = "sure",
  exactly = "sure",
  absolutely = "sure",
  definitely = "sure",
  certainly = "sure",
  indeed = "sure",
  precisely = "sure",
  totally = "sure",
  affirmative = "sure",
  sure = "plain",
  ok = "soft",
  okay = "soft",
  perfect = "soft",
  great = "soft",
  true_ = "sure",
  perfectly = "sure",
  completely = "sure",
  aye = "sure",
  agreed = "soft",
  confirmed = "sure",
  always = "plain",
}
local NO = text.set([[
  none nothing zero nope no nah negative unfortunately never hardly sadly regrettably
]])
-- Phrases of two or more words that open an answer.
local OPENINGS = {
  { "of", "course", yes = "sure" },
  { "that", "is", "right", yes = "sure" },
  { "that", "is", "correct", yes = "sure" },
  { "that", "is", "true", yes = "sure" },
  { "that", "is", "it", yes = "plain" },
  { "you", "got", "it", yes = "plain" },
  { "it", "does", "not", no = true },
  { "we", "do", "not", no = true },
  { "i", "do", "not", no = true },
  { "i", "am", "not", no = true },
  { "we", "are", "not", no = true },
  { "it", "is", "not", no = true },
  { "i", "am", "afraid", "not", no = true },
  { "i", "am", "afraid", "no", no = true },
  { "there", "is", "not", no = true },
  { "there", "are", "not", no = true },
  { "not", "really", no = true },
  { "not", "yet", no = true },
  { "not", "exactly", no = true },
  { "not", "quite", no = true },
  { "not", "at", no = true },
  { "not", "entirely", no = true },
  { "not", "necessarily", no = true },
  { "not", "right", no = true },
  { "not", "particularly", no = true },
  { "not", "so", no = true },
  { "not", "as", no = true },
  { "not", "currently", no = true },
  { "not", "completely", no = true },
  { "not", "fully", no = true },
  { "not", "that", no = true },
  { "not", "alone", no = true },
  { "not", "in", "the", "least", no = true },
  { "not", "for", "us", no = true },
  { "not", "for", "me", no = true },
  { "not", "a", "bit", no = true },
  { "not", "remotely", no = true },
  { "not", "by", no = true },
  { "we", "have", "not", no = true },
  { "i", "have", "not", no = true },
  { "i", "can", "not", no = true },
  { "it", "does", yes = "sure" },
  { "we", "do", yes = "sure" },
  { "i", "do", yes = "sure" },
  { "i", "am", yes = "sure" },
  { "we", "are", yes = "sure" },
  { "it", "is", yes = "sure" },
  { "we", "have", yes = "sure" },
  { "i", "have", yes = "sure" },
  { "i", "can", yes = "sure" },
  { "there", "is", yes = "plain" },
  { "it", "would", yes = "plain" },
  { "that", "would", yes = "soft" },
  { "that", "works", yes = "plain" },
  { "sounds", "good", yes = "soft" },
  { "sounds", "right", yes = "sure" },
  { "you", "are", "right", yes = "sure" },
  { "you", "assume", "correctly", yes = "sure" },
  { "you", "assume", "right", yes = "sure" },
  { "you", "bet", yes = "sure" },
  { "spot", "on", yes = "sure" },
  { "you", "may", yes = "sure" },
  { "you", "can", yes = "sure" },
  { "you", "do", yes = "sure" },
  { "very", "much", "so", yes = "sure" },
  { "by", "all", "means", yes = "plain" },
  { "for", "sure", yes = "sure" },
  { "without", "a", "doubt", yes = "sure" },
  { "i", "wish", no = true },
  { "if", "only", no = true },
  { "far", "from", no = true },
  { "no", "one", no = true },
  { "works", "for", yes = "plain" },
  { "i", "would", "say", "so", yes = "plain" },
  { "i", "believe", "so", yes = "plain" },
  { "i", "think", "so", yes = "plain" },
  { "i", "do", "not", "think", "so", no = true },
  { "i", "am", "not", no = true },
  { "it", "would", "not", no = true },
  { "it", "will", yes = "plain" },
  { "they", "are", yes = "plain" },
  { "they", "do", yes = "plain" },
  { "they", "do", "not", no = true },
  { "just", "me", yes = "plain" },
  { "we", "would", "not", no = true },
  { "that", "is", "not", no = true },
  { "i", "would", "not", no = true },
  { "i", "doubt", "it", no = true },
  { "i", "doubt", "that", no = true },
  { "very", "little", no = true },
  { "can", "not", "say", "that", no = true },
  { "can", "not", "say", "it", no = true },
  { "no", "reason", no = true },
  { "barely", "ever", no = true },
}
-- "It really does." "There isn't, I'm afraid.": a pronoun and an auxiliary that end there answer like yes and no.
local PRONOUNS = text.set("it that this they we i there he she you those")
local AUXILIARIES = text.set([[
  is are am does do did will would can could should has have was were must need
]])
local ADVERBS = text.set([[
  really actually simply just certainly definitely indeed still truly surely sadly unfortunately
  always probably
]])
local AFTER_NOT = text.set([[
  yet really no at unfortunately sadly any quite exactly currently actually anymore for
]])

local ENDS_YES = text.set("and for")

local function short_answer(reading, i, last)
  local words, breaks = reading.words, reading.breaks
  if not PRONOUNS[words[i]] then
    return nil
  end
  local k = i + 1
  while k < last and ADVERBS[words[k]] do
    k = k + 1
  end
  if k > last or not AUXILIARIES[words[k]] then
    return nil
  end
  k = k + 1
  local denied = k <= last and words[k] == "not"
  if denied then
    k = k + 1
  end
  while k <= last and ADVERBS[words[k]] and not breaks[k] do
    k = k + 1
  end
  if k > last or breaks[k] or denied and AFTER_NOT[words[k]] or ENDS_YES[words[k]] then
    return denied and "no" or "yes"
  end
  return nil
end

-- "Up to two thousand, yes" is a limit, no yes.
local LIMITS = text.set("up only within under below depends partly if when")

-- "For a company of our size, yes.", "for us, yes, a must": set off by commas, early or at the end.
local function set_off(reading, i, last)
  local words, breaks = reading.words, reading.breaks
  local limited = LIMITS[words[i]]
  for k = i + 1, last do
    local word = words[k]
    if
      (word == "yes" or word == "no")
      and breaks[k]
      and (k == last or k - i <= 4 and breaks[k + 1] == ",")
    then
      if word == "yes" and limited then
        return nil
      end
      return word, "plain"
    end
  end
  return nil
end

-- "Massively.", "Entirely mine, ...": an adverb that stands alone is a yes, but for these.
local NO_YES = text.set([[
  hardly barely scarcely rarely unlikely unfortunately sadly regrettably partly partially possibly
  probably hopefully usually actually honestly frankly only really normally early family supply
  apply reply potentially currently basically generally monthly weekly daily yearly quarterly
]])
-- "Nobody", "nothing" are a no when they stand alone.
local NONE = text.set("nobody nothing neither barely")
-- "Not on this one", "not at this amount" are a no; these are not.
local NOT_A_NO = text.set([[
  a an bad only just to sure certain long much too everything everyone all
]])

-- One word that answers alone.
local function one_word(reading, i, last)
  local word, brk = reading.words[i], reading.breaks[i + 1]
  local stops = i == last or brk == "," or brk == ";"
  if stops and #word > 4 and word:sub(-2) == "ly" and not NO_YES[word] then
    return "yes"
  end
  if stops and NONE[word] then
    return "no"
  end
  if word == "not" and i < last and not NOT_A_NO[reading.words[i + 1]] then
    return "no"
  end
  return nil
end

-- Short forms that must stand alone ("I have." but not "I have a question").
local ALONE = text.set("may do am are is have does can")
-- "I'm not sure" answers neither way.
local OPEN = text.set("complain grumble wait sure certain following in know mind understand remember")
local NOT_AN_ANSWER = text.set("problem worries rush thanks thank doubt longer")

local function opening(words, i, last)
  for k = 1, #OPENINGS do
    local phrase = OPENINGS[k]
    local n = #phrase
    local hit = i + n - 1 <= last
    for j = 1, hit and n or 0 do
      if words[i + j - 1] ~= phrase[j] then
        hit = false
        break
      end
    end
    if hit then
      local whole = i + n - 1 == last
      if phrase.no or whole or not ALONE[phrase[n]] then
        return phrase, i + n - 1
      end
    end
  end
  return nil
end

-- "Nothing so far.", but not "Nothing talks to anything".
local NOTHING = text.set("none nothing zero")
local AFTER_NOTHING = text.set("at so yet whatsoever for really left to i we that")

-- Whether a "no" or "nothing" is the answer, and not "no problem" or "nothing talks to anything".
local function answers_no(reading, i, last)
  local words = reading.words
  local following = words[i + 1]
  if i == last then
    return true
  end
  if NOTHING[words[i]] and not reading.breaks[i + 1] and not AFTER_NOTHING[following] then
    return false
  end
  return not (
    NOT_AN_ANSWER[following] or following == "one" and i + 1 < last and words[i + 2] ~= "is"
  )
end

-- Where an answer begins, past "well" and "to be honest"; and what "I'm afraid so" says.
local function opening_word(words, sentence)
  local i, last = sentence.first, sentence.last
  while i < last and FILLERS[words[i]] do
    i = i + 1
  end
  if words[i] == "to" and words[i + 1] == "be" and i + 3 <= last then
    i = i + 3
  end
  if words[i] == "i" and words[i + 1] == "am" and words[i + 2] == "afraid" and i + 3 <= last then
    i = i + 3
    return i, words[i] == "so" and "yes" or words[i] == "not" and "no" or nil
  end
  return i
end

--- Reads the opening of an answer.
---@param reading table
---@param sentence table the first sentence of the answer
---@return string|nil "yes" or "no"
---@return string|nil how sure: "sure", "plain" or "soft"
function M.read(reading, sentence)
  local words, last = reading.words, sentence.last
  if sentence.question then
    return nil
  end
  local i, afraid = opening_word(words, sentence)
  if afraid then
    return afraid, "sure"
  end
  local word, following = words[i], words[i + 1]
  if word == "yes" and following == "and" and words[i + 2] == "no" then
    return nil
  end
  if NO[word] then
    if not answers_no(reading, i, last) then
      return nil
    end
    return "no", "sure"
  end
  local short = short_answer(reading, i, last)
  if short then
    return short, "sure"
  end
  local phrase = opening(words, i, last)
  if phrase then
    if phrase.no then
      if OPEN[words[i + #phrase] or ""] and i + #phrase <= last then
        return nil
      end
      return "no", "sure"
    end
    return "yes", phrase.yes
  end
  local sure = YES[word]
  if sure then
    if
      (word == "sure" or word == "right" or word == "okay" or word == "ok")
      and i < last
      and not reading.breaks[i + 1]
    then
      sure = "soft"
    end
    if i < last and (following == "but" or following == "though" or following == "although") then
      sure = "soft"
    end
    if
      word == "absolutely" and following == "not" or word == "definitely" and following == "not"
    then
      return "no", "sure"
    end
    return "yes", sure
  end
  local alone = one_word(reading, i, last)
  if alone then
    return alone, "plain"
  end
  return set_off(reading, i, last)
end

local ABLE = text.set("can could able may might possible manage would will")

--- "I can't do that" answers whether one can, and nothing else.
---@param reading table
---@param sentence table the first sentence of the answer
---@param asked table the sentence it answers
---@return boolean
function M.misses(reading, sentence, asked)
  local words, i = reading.words, opening_word(reading.words, sentence)
  if words[i] ~= "i" and words[i] ~= "we" or words[i + 1] ~= "can" or words[i + 2] ~= "not" then
    return false
  end
  for k = asked.first, asked.last do
    if ABLE[words[k]] then
      return false
    end
  end
  return true
end

return M
