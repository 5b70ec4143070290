--- Readers for the three forms of a conversation: call transcripts, messages, plain-text mail threads.
-- Each gives the same: the sources to store, and utterances that say where in which source who said what.

local dates = require "perigee.conversation.dates"
local sides = require "perigee.conversation.sides"
local thread = require "perigee.conversation.thread"
local transcript = require "perigee.conversation.transcript"

local M = {}

M.LARGEST = 1024 * 1024
-- Bytes of a speaker's name; the ledger takes no more.
local LONGEST_SPEAKER = 200
-- Up to here each message is a source of its own, so that a conversation that grows by one message adds one
-- source.
local SEPARATE_MESSAGES = 40

local function refuse(code, message)
  error({ code = "input." .. code, message = message }, 0)
end

--- A time that the caller gave, in any form that recorders and mail programs write; without a zone it is UTC.
local function given_time(at, pointer)
  if at == nil or type(at) ~= "string" then
    return nil -- null, or left out
  end
  local normal = dates.normalise(at)
  if not normal then
    local example = "2026-11-22T10:00:00Z"
    refuse("time", pointer .. ": '" .. at:sub(1, 40) .. "' is no time that can be read: write it as " .. example)
  end
  return normal
end

local function is_blank(text)
  return type(text) ~= "string" or not text:find("[^%s\239\187\191]")
end

local function clip(name, most)
  return #name <= most and name or (name:sub(1, most):gsub("[\192-\255][\128-\191]*$", ""))
end

local function read_separate(messages)
  local sources, utterances = {}, {}
  for k, message in ipairs(messages) do
    local at = given_time(message.at, "/conversation/messages/" .. k - 1 .. "/at")
    sources[k] = {
      text = message.text,
      at = at,
      title = message.from and ("Message from " .. clip(message.from, 100)) or nil,
    }
    utterances[#utterances + 1] = {
      source = k,
      start = 0,
      stop = thread.end_of_words(message.text, 0, #message.text),
      speaker = message.from,
      side = message.side,
      said_at = at,
      to = message.to,
    }
  end
  return sources, utterances
end

local function read_joined(messages)
  local parts, utterances, length = {}, {}, 0
  for k, message in ipairs(messages) do
    local head = "From: "
      .. (message.from or "?")
      .. (type(message.at) == "string" and "\nDate: " .. message.at or "")
      .. "\n\n"
    parts[#parts + 1] = head .. message.text .. "\n\n"
    local start = length + #head
    utterances[#utterances + 1] = {
      source = 1,
      start = start,
      stop = start + thread.end_of_words(message.text, 0, #message.text),
      speaker = message.from,
      side = message.side,
      said_at = given_time(message.at, "/conversation/messages/" .. k - 1 .. "/at"),
      to = message.to,
    }
    length = length + #parts[#parts]
  end
  return { { text = table.concat(parts) } }, utterances
end

local function read_messages(conversation)
  local messages, size = {}, 0
  for _, message in ipairs(conversation.messages or {}) do
    if not is_blank(message.text) then
      messages[#messages + 1] = message
    end
    size = size + #(message.text or "")
  end
  if size > M.LARGEST then
    refuse("too_large", "the messages hold over 1 MiB of text: split them")
  end
  if #messages == 0 then
    refuse("empty", "conversation.messages holds no text: nothing to read")
  end
  local read = #messages <= SEPARATE_MESSAGES and read_separate or read_joined
  local sources, utterances = read(messages)
  -- Quoted history inside a message is told apart as in a thread.
  local out = {}
  for _, utterance in ipairs(utterances) do
    utterance.written = true
    thread.split_quoted(sources[utterance.source].text, utterance, out)
  end
  return sources, out
end

local function read_text(conversation, form)
  local source = conversation.text
  if is_blank(source) then
    refuse("empty", "conversation.text is empty: nothing to read")
  end
  if #source > M.LARGEST then
    refuse(
      "too_large",
      "conversation.text is "
        .. #source
        .. " bytes, the limit is 1 MiB: split it, for example by day"
    )
  end
  local utterances
  if form == "thread" then
    utterances = thread.read(source)
  else
    utterances = transcript.read(source)
  end
  if #utterances == 0 then
    refuse(
      "no_speakers",
      form == "thread"
          and "no message found: a thread needs headers (From:, Date:) before each message"
        or "no speaker found: a transcript needs lines of the form `[timestamp] Speaker: words`"
    )
  end
  local at
  for _, utterance in ipairs(utterances) do
    at = at or utterance.said_at
    utterance.source = 1
    utterance.written = form == "thread" or nil
  end
  return { { text = source, at = at } }, utterances
end

-- Words in the order in which they were said: a thread may stand newest first.
local function in_order_of_time(utterances)
  local dated = 0
  for k, utterance in ipairs(utterances) do
    utterance.place = k
    if utterance.said_at then
      dated = dated + 1
    end
  end
  if dated < #utterances then
    return
  end
  table.sort(utterances, function(a, b)
    if a.said_at ~= b.said_at then
      return a.said_at < b.said_at
    end
    return a.place < b.place
  end)
end

local function count_sides(utterances)
  local coverage = { utterances = #utterances, customer = 0, seller = 0, unknown = 0 }
  for _, utterance in ipairs(utterances) do
    coverage[utterance.side] = coverage[utterance.side] + 1
  end
  return coverage
end

--- Reads a conversation as `qualify` receives it.
---@param conversation table {form, text?, messages?, at?, seller?}; at is when it took place, for what has no date
---@param pause? function called now and then while a long conversation is read: an effect in it begins a new slice
---@return table read {form, sources, utterances, coverage, last_at?}: sources are {text, at?, title?};
--- utterances are {source, start, stop, speaker, side, said_at, quoted?, written?}, start zero-based, stop exclusive.
--- Raises {code = "input.*", message} for what cannot be read.
function M.read(conversation, pause)
  local form = conversation.form
  local sources, utterances
  -- A thread may come as text or, from a mail client, as messages.
  if
    form == "messages"
    or form == "thread" and is_blank(conversation.text) and conversation.messages
  then
    sources, utterances = read_messages(conversation)
  elseif form == "thread" or form == "transcript" then
    sources, utterances = read_text(conversation, form)
  else
    refuse("form", "conversation.form must be transcript, messages or thread")
  end
  if form ~= "transcript" then
    in_order_of_time(utterances)
  end
  local last_at
  local at = given_time(conversation.at, "/conversation/at")
  for _, utterance in ipairs(utterances) do
    utterance.said_at = utterance.said_at or at
    if utterance.speaker and #utterance.speaker > LONGEST_SPEAKER then
      utterance.speaker = clip(utterance.speaker, LONGEST_SPEAKER)
    end
    if utterance.said_at and (not last_at or utterance.said_at > last_at) then
      last_at = utterance.said_at
    end
  end
  sides.infer(sources, utterances, conversation.seller, form, pause)
  return {
    form = form,
    sources = sources,
    utterances = utterances,
    threaded = form ~= "transcript",
    last_at = last_at,
    coverage = count_sides(utterances),
  }
end

return M
