--- What a conversation shows beside evidence: which questions the seller asked, which of the customer's stand open,
-- and a stop.

local cues = require "perigee.rules.cues"

local M = {}

local STOPS = {
  "(stop|quit) (contacting|calling|emailing|messaging|writing|bothering) (me|us)",
  "(do not|never) (contact|call|email|write|message) (me|us) [again|anymore|any more]",
  "(remove|take) (me|us|my|our) * (list|lists|database|mailing)",
  "unsubscribe",
  "opt out",
}

local stops

local function stop_index()
  if not stops then
    local list = {}
    for k, phrase in ipairs(STOPS) do
      list[k] = cues.compile(phrase)
    end
    stops = cues.index(list)
  end
  return stops
end

local function quote(reading, sentence)
  local source =
    reading.conversation.sources[reading.conversation.utterances[sentence.utterance].source].text
  return (
    source:sub(sentence.start + 1, math.min(sentence.stop, sentence.start + 200)):gsub("%s+", " ")
  )
end

-- A question of the playbook counts as asked when the seller's question matches one of its `like` cues.
local function note_asked(reading, sentence, books, asked)
  for _, book in ipairs(books) do
    for _, question in ipairs(book.questions) do
      for _, cue in ipairs(question.like) do
        if cues.find(cue, reading, sentence, sentence.slots) then
          asked[book.name .. "." .. question.id] = true
        end
      end
    end
  end
end

--- Reads the conversation as a conversation.
---@param reading table as perigee.rules.read gives it
---@param books table[]
---@param asked? table<string, true> questions known to be asked; more are added
---@return table {asked: table<string, true>, open_question?: string, stop?: string}
function M.read(reading, books, asked)
  local talk = { asked = asked or {} }
  local index = stop_index()
  for _, sentence in ipairs(reading.sentences) do
    local utterance = reading.conversation.utterances[sentence.utterance]
    if utterance.side == "seller" then
      if not utterance.quoted then
        talk.open_question = nil
      end
      if sentence.question then
        note_asked(reading, sentence, books, talk.asked)
      end
    elseif utterance.side == "customer" then
      if sentence.question and sentence.last - sentence.first >= 2 and not utterance.quoted then
        talk.open_question = quote(reading, sentence)
      end
      local found, n = cues.candidates(index, reading, sentence, {})
      for k = 1, n do
        if cues.find(found[k], reading, sentence, sentence.slots) then
          talk.stop = quote(reading, sentence)
        end
      end
    end
  end
  return talk
end

return M
