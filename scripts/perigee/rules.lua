--- The rules provider: extraction without a model.
-- `read` turns a conversation into words once; `extract` runs one playbook's cues over them. Pure: no clock, no
-- chance, no effect; the same conversation gives the same items, byte for byte. What it cannot tell it leaves out.

local text = require "perigee.text"
local entities = require "perigee.rules.entities"
local cues = require "perigee.rules.cues"
local scope = require "perigee.rules.scope"
local answers = require "perigee.rules.answers"
local offers = require "perigee.rules.offers"

local M = {}

M.EXTRACTOR = "rules/1"

-- A stretch of words without a full stop is cut here, so that no sentence costs more than the next.
local LONGEST_SENTENCE = 120
local LONGEST_QUOTE = 400
local KINDS = { "money", "amount", "percent", "number", "duration", "date", "year" }
local SURE = { sure = 0, plain = 500, soft = 2000 }

local function split_long(reading, from)
  local list = reading.sentences
  local out = {}
  for k = from, #list do
    local s = list[k]
    while s.last - s.first >= LONGEST_SENTENCE do
      local cut = s.first + LONGEST_SENTENCE - 1
      out[#out + 1] = {
        first = s.first,
        last = cut,
        start = reading.starts[s.first],
        stop = reading.stops[cut],
        question = false,
        utterance = s.utterance,
      }
      s = {
        first = cut + 1,
        last = s.last,
        start = reading.starts[cut + 1],
        stop = s.stop,
        question = s.question,
        utterance = s.utterance,
      }
    end
    out[#out + 1] = s
  end
  for k = 1, #out do
    list[from + k - 1] = out[k]
  end
end

local function repeated_key(reading, sentence)
  local key, words = {}, reading.words
  for i = sentence.first, sentence.last do
    key[#key + 1] = words[i]
  end
  return table.concat(key, " ")
end

-- In a thread the same sentence of the same person comes again as quoted history: it was said once.
local function mark_repeats(reading, conversation)
  if not conversation.threaded then
    return
  end
  local seen = {}
  for pass = 1, 2 do
    for _, sentence in ipairs(reading.sentences) do
      local utterance = conversation.utterances[sentence.utterance]
      if (pass == 1) == not utterance.quoted and sentence.last - sentence.first >= 2 then
        local key = (utterance.speaker or "") .. "\n" .. repeated_key(reading, sentence)
        local other = "\n" .. repeated_key(reading, sentence)
        if seen[key] or utterance.quoted and seen[other] then
          sentence.repeated = true
        end
        seen[key], seen[other] = true, true
      end
    end
  end
end

local TURNS = text.set("but however yet though")
local WINDOW_BYTES = 60000
local WINDOW_CONTEXT = 2
-- After so many sentences the caller may begin a new slice of CPU time.
local PAUSE_AFTER = 120

local function no_pause() end

local function pacer(pause)
  local count = 0
  return function()
    count = count + 1
    if count % PAUSE_AFTER == 0 then
      (pause or no_pause)()
    end
  end
end

-- An utterance in stretches of at most a window, cut between sentences where there are any.
local function pieces(conversation, utterance, out)
  local source, start = conversation.sources[utterance.source].text, utterance.start
  while utterance.stop - start > WINDOW_BYTES do
    local most = start + WINDOW_BYTES
    local tail = source:sub(most - 2000, most)
    local cut = tail:match("^.*[.?!\n]%s()") or tail:match("^.*%s()")
    local stop = cut and most - 2000 + cut - 2 or most
    while not cut and stop > start + 1 and source:find("^[\128-\191]", stop + 1) do
      stop = stop - 1
    end
    local piece = {}
    for key, value in pairs(utterance) do
      piece[key] = value
    end
    piece.start, piece.stop = start, stop
    out[#out + 1] = piece
    start = stop
  end
  local last = utterance
  if start > utterance.start then
    last = {}
    for key, value in pairs(utterance) do
      last[key] = value
    end
    last.start = start
  end
  out[#out + 1] = last
end

--- A conversation in stretches that each fit into a slice of CPU time. Each but the first begins with the
-- two utterances before it, as context: they give answers their meaning and are not read for evidence again.
---@param conversation table as perigee.conversation gives it
---@return table[] conversations one, unless it is long
function M.windows(conversation)
  local all, list, current, size = {}, {}, {}, 0
  for _, utterance in ipairs(conversation.utterances) do
    pieces(conversation, utterance, all)
  end
  for k, utterance in ipairs(all) do
    if size > WINDOW_BYTES then
      list[#list + 1] = current
      current, size = {}, 0
      for back = math.max(1, k - WINDOW_CONTEXT), k - 1 do
        local copy = { context = true }
        for key, value in pairs(all[back]) do
          copy[key] = value
        end
        current[#current + 1] = copy
      end
    end
    current[#current + 1] = utterance
    size = size + utterance.stop - utterance.start
  end
  list[#list + 1] = current
  for k, utterances in ipairs(list) do
    list[k] = {
      sources = conversation.sources,
      utterances = utterances,
      threaded = conversation.threaded,
    }
  end
  return list
end


--- Reads a conversation into words, sentences and entities.
---@param conversation table as perigee.conversation gives it
---@param pause? function called now and then in a long conversation: an effect in it begins a new slice of CPU time
---@return table reading
function M.read(conversation, pause)
  local step = pacer(pause)
  local reading = text.new_reading()
  local shadows = {}
  reading.conversation, reading.of_utterance = conversation, {}
  for u, utterance in ipairs(conversation.utterances) do
    local source = conversation.sources[utterance.source]
    source.shadow = source.shadow or text.shadow(source.text)
    shadows[utterance.source] = source.shadow
    local before = #reading.sentences
    text.read(reading, shadows[utterance.source], utterance.start + 1, utterance.stop, u, source.text)
    split_long(reading, before + 1)
    local own = {}
    for k = before + 1, #reading.sentences do
      local sentence = reading.sentences[k]
      step()
      sentence.order = k
      sentence.slots = {}
      entities.read(reading, sentence.first, sentence.last, sentence.slots)
      sentence.kinds = {}
      for _, kind in ipairs(KINDS) do
        if sentence.slots[kind] then
          sentence.kinds[#sentence.kinds + 1] = kind
        end
      end
      own[#own + 1] = sentence
    end
    reading.of_utterance[u] = own
  end
  mark_repeats(reading, conversation)
  return reading
end

-- The seller's words that a customer's utterance answers: those right before it, past a short word of another
-- customer.
local function seller_turn(reading, u)
  local utterances = reading.conversation.utterances
  for k = u - 1, math.max(1, u - 2), -1 do
    if utterances[k].side == "seller" then
      local turn = {}
      local first = k
      while first > 1 and utterances[first - 1].side == "seller" and k - first < 2 do
        first = first - 1
      end
      for n = first, k do
        for _, sentence in ipairs(reading.of_utterance[n]) do
          turn[#turn + 1] = sentence
        end
      end
      return turn
    end
  end
  return nil
end

local function any_match(list, reading, sentences)
  for _, sentence in ipairs(sentences or {}) do
    for k = 1, #list do
      if cues.find(list[k], reading, sentence, sentence.slots) then
        return true
      end
    end
  end
  return false
end

-- "Fine." "Could we?" "Good question." The answer comes after it.
local function is_interjection(sentence)
  return sentence.last - sentence.first <= 2
end

-- The sentence of the seller's turn that wants an answer: its last question, or its last sentence.
local function asked_sentence(turn)
  for k = #turn, 1, -1 do
    if turn[k].question then
      return turn[k]
    end
  end
  return turn[#turn]
end

-- Whether the seller's words right before were about a topic. Worked out once per turn and topic.
local function is_about(topic, reading, turn, known)
  if not turn then
    return false
  end
  if known[topic] == nil then
    known[topic] = false
    for _, sentence in ipairs(turn) do
      if
        any_match(topic.cues, reading, { sentence })
        and not any_match(topic.unless or {}, reading, { sentence })
      then
        known[topic] = true
      end
    end
  end
  return known[topic]
end

-- Decides what a match is worth. Returns polarity, confidence, claim; nil where the words do not say it.
local function judge(rule, around)
  local polarity, confidence, claim = rule.polarity, rule.confidence, rule.claim
  local even = rule.even
  if around.elsewhere and not even.elsewhere then
    return nil
  end
  if around.question and not even.question then
    return nil
  end
  if around.conditional and not even.conditional then
    return nil
  end
  if around.negations > 0 and not even.negated then
    if
      around.negations > 1
      or not around.denies
      or rule.denied == false
      or polarity < 0 and not rule.denied
    then
      return nil
    end
    polarity, claim =
      -polarity, type(rule.denied) == "string" and rule.denied or "Not so: " .. claim
    if around.hedge == "strong" then
      return nil
    end
    confidence = confidence - 500
  end
  if around.hedge and not even.hedged then
    confidence = around.hedge == "strong" and math.floor(confidence / 2)
      or math.floor(confidence * 85 / 100)
  end
  return polarity, confidence, claim
end

local function better(a, b)
  if a.confidence ~= b.confidence then
    return a.confidence > b.confidence
  end
  return a.number < b.number
end

local function entity_detail(entity, rule)
  if not (entity or rule.limit or rule.stands) then
    return nil
  end
  entity = entity or {}
  local detail = { kind = entity.kind, stands = rule.stands }
  for _, key in ipairs { "amount", "currency", "hours", "year", "month", "day", "value" } do
    detail[key] = entity[key]
  end
  if rule.limit then
    detail.limit = rule.limit
  end
  return detail
end

-- The surer of two readings; the limit that the other names is not lost.
local function merge(known, candidate)
  local kept, other = known, candidate
  if not known or better(candidate, known) then
    kept, other = candidate, known
  end
  local bound = other and offers.bound_of(other)
  if bound and not kept.rule.limit then
    kept.bound = bound
  end
  return kept
end

-- Keeps the surest reading of each clause, per dimension and polarity.
local function consider(found, candidate)
  local clauses = found[candidate.dimension]
  if not clauses then
    clauses = {}
    found[candidate.dimension] = clauses
  end
  local clause = clauses[candidate.clause_first]
  if not clause then
    clause = {}
    clauses[candidate.clause_first] = clause
  end
  clause[candidate.polarity] = merge(clause[candidate.polarity], candidate)
end

local function try_cue(state, sentence, cue, context)
  local reading, rule = state.reading, cue.rule
  local from = sentence.first
  for _ = 1, 3 do
    local a, b, entity = cues.find(cue, reading, sentence, sentence.slots, from)
    if not a then
      return
    end
    if rule.after and rule.asked then
      local asked = context.asked
      if not is_about(rule.after, reading, asked, context.asked_topics) then
        return
      end
    elseif rule.after and not is_about(rule.after, reading, context.turn, context.topics) then
      return
    end
    if rule.heard and not (state.offers_before(rule.heard, sentence.order)) then
      return
    end
    if #rule.unless > 0 and any_match(rule.unless, reading, { sentence }) then
      return
    end
    local around = scope.read(reading, sentence, a, b)
    local polarity, confidence, claim = judge(rule, around)
    if polarity then
      consider(context.found, {
        dimension = rule.dimension,
        polarity = polarity,
        confidence = confidence,
        claim = claim,
        number = cue.number,
        first = a,
        last = b,
        clause_first = around.first,
        clause_last = around.last,
        entity = entity,
        detail = entity_detail(entity, rule),
        rule = rule,
        sentence = sentence,
      })
      return
    end
    from = a + 1
  end
end

-- "Yes" and "no" take their content from the question. Only a question that asked for it: the last one of the
-- seller's turn.
local function try_answer(state, sentence, context)
  if not context.turn or #context.turn == 0 then
    return
  end
  local reading, book = state.reading, state.book
  local asked = asked_sentence(context.turn)
  local reply, sure = answers.read(reading, sentence)
  if not reply or answers.misses(reading, sentence, asked) then
    return
  end
  local list, n = cues.candidates(book.ask_index, reading, asked, asked.kinds)
  for k = 1, n do
    local cue = list[k]
    local rule = cue.rule
    local a = (reply == "yes" and rule.yes or reply == "no" and rule.no)
      and cues.find(cue, reading, asked, asked.slots)
    -- A statement of the seller's needs a plain "yes, that's right": a polite "okay" confirms nothing.
    if
      a
      and (asked.question or sure == "sure")
      and not any_match(rule.unless, reading, { asked })
    then
      local polarity = reply == "yes" and rule.yes_is or -rule.yes_is
      local confidence = rule.confidence - SURE[sure] - (asked.question and 0 or 1000)
      consider(context.found, {
        dimension = rule.dimension,
        polarity = polarity,
        confidence = confidence,
        claim = rule[reply],
        number = 100000 + cue.number,
        first = sentence.first,
        last = sentence.last,
        clause_first = sentence.first,
        clause_last = sentence.last,
        rule = rule,
        sentence = sentence,
        detail = { answers = true },
      })
    end
  end
end

local function span_of(reading, source, sentence, candidate, narrow)
  local start, stop = sentence.start, sentence.stop
  if narrow or stop - start > LONGEST_QUOTE then
    start, stop = reading.starts[candidate.clause_first], reading.stops[candidate.clause_last]
    if stop - start > LONGEST_QUOTE then
      start, stop = reading.starts[candidate.first], reading.stops[candidate.last]
    end
  end
  return text.trim(source, start, stop)
end

local function make_item(state, candidate, narrow)
  local reading, sentence = state.reading, candidate.sentence
  local utterance = reading.conversation.utterances[sentence.utterance]
  local source = reading.conversation.sources[utterance.source]
  local start, stop = span_of(reading, source.text, sentence, candidate, narrow)
  local detail = candidate.detail
  if utterance.written then
    detail = detail or {}
    detail.written = true
  end
  return {
    playbook = state.book.name,
    dimension = candidate.dimension,
    claim = candidate.claim,
    polarity = candidate.polarity,
    quote = source.text:sub(start + 1, stop),
    source = utterance.source,
    start = start,
    ["end"] = stop,
    speaker = utterance.speaker,
    side = utterance.side,
    said_at = utterance.said_at,
    extractor = M.EXTRACTOR,
    confidence_bp = candidate.confidence,
    detail = detail,
  }
end

-- "A bit more than I'd hoped, but we can absorb it": what follows "but" is the outcome.
local function after_but(kept, words)
  local last = kept[#kept]
  if not TURNS[words[last.clause_first]] then
    return kept
  end
  local outcome = {}
  for _, candidate in ipairs(kept) do
    if candidate.polarity == last.polarity then
      outcome[#outcome + 1] = candidate
    end
  end
  return outcome
end

-- What a sentence says about a dimension: one item, or one per clause where the clauses contradict each other.
local function settle(clauses, words)
  local order, kept, yes, no = {}, {}, nil, nil
  for first in pairs(clauses) do
    order[#order + 1] = first
  end
  table.sort(order)
  for _, first in ipairs(order) do
    local plus, minus = clauses[first][1], clauses[first][-1]
    -- One clause read two ways: the surer reading stands, and on a tie the bad news.
    if plus and minus then
      if plus.confidence > minus.confidence then
        minus = nil
      else
        plus = nil
      end
    end
    local candidate = plus or minus
    kept[#kept + 1] = candidate
    if plus then
      -- "We planned for ten, so it's fine": what follows a limit takes the price.
      local accepted = yes and offers.bound_of(yes) and not offers.bound_of(plus)
      yes = merge(yes, plus)
      yes.accepted = accepted
    end
    if minus and (not no or better(minus, no)) then
      no = minus
    end
  end
  if yes and no then
    return after_but(kept, words), true
  end
  return { yes or no }, false
end

local function read_sentence(state, sentence, context)
  context.found = {}
  local list, n = cues.candidates(state.book.cue_index, state.reading, sentence, sentence.kinds)
  for k = 1, n do
    try_cue(state, sentence, list[k], context)
  end
  if context.opening then
    try_answer(state, sentence, context)
  end
  for _, dimension in ipairs(state.book.dimensions) do
    local clauses = context.found[dimension.name]
    if clauses then
      local kept, mixed = settle(clauses, state.reading.words)
      for _, candidate in ipairs(kept) do
        candidate.order, candidate.narrow = sentence.order, mixed
        state.candidates[#state.candidates + 1] = candidate
      end
    end
  end
end

--- Runs a playbook over a reading.
---@param reading table
---@param book table compiled playbook
---@param pause? function as for read
---@return table[] items for evidence.add; `source` is the number of the source within the conversation
function M.extract(reading, book, pause)
  local step = pacer(pause)
  local state = { reading = reading, book = book, candidates = {} }
  state.offers = offers.read(reading, book)
  state.offers_before = function(name, order)
    return offers.before(state.offers, name, order)
  end
  for u, utterance in ipairs(reading.conversation.utterances) do
    if utterance.side == "customer" and not utterance.context then
      local turn, topics, asked_topics = seller_turn(reading, u), {}, {}
      local before = #state.candidates
      local asked = turn and #turn > 0 and { asked_sentence(turn) } or nil
      for k, sentence in ipairs(reading.of_utterance[u]) do
        step()
        if not sentence.repeated then
          read_sentence(state, sentence, {
            turn = turn,
            topics = topics,
            asked = asked,
            asked_topics = asked_topics,
            opening = k == 1
              or k == 2
                and #state.candidates == before
                and is_interjection(reading.of_utterance[u][1]),
          })
        end
      end
    end
  end
  offers.compare(state)
  local items = {}
  for _, candidate in ipairs(state.candidates) do
    step()
    items[#items + 1] = make_item(state, candidate, candidate.narrow)
  end
  return items
end

return M
