--- Follows a deal for as long as it takes: a durable run that waits for the customer's next message or a deadline.
-- A message is read at once. When the deadline passes in silence it drafts a follow-up and asks a person; what is
-- approved becomes an event, and nothing leaves in any other way. It ends when told to, when asked to stop, or
-- after so many unanswered touches.

local approval = require "perigee.approval"
local events = require "perigee.events"
local dates = require "perigee.conversation.dates"
local json = require "perigee.json"
local log = require "perigee.log"
local run = require "perigee.run"
local schema = require "perigee.schema"
local deals = require "sales.deals"
local qualify = require "sales.qualify"

local M = {}

local DAY_MS = 24 * 60 * 60 * 1000
local SILENT_MS, DECIDE_MS, TOUCHES, MOST_MESSAGES = 3 * DAY_MS, 2 * DAY_MS, 3, 500

local function draft(known)
  local question = known and known.questions[1]
  local text = question and question.text or "What has changed on your side since we last spoke?"
  return "Following up on our conversation. " .. text
end

local function ask_person(input, known, touch)
  return approval.ask {
    title = "Send a follow-up for deal " .. input.deal .. "?",
    body = {
      draft = draft(known),
      touch = touch,
      reasons = known and known.next_action.reasons or json.array({}),
    },
    subject = input.deal,
    owner = input.owner,
    self_approval = true, -- a seller's own follow-up: who asked for it may send it
    timeout_ms = DECIDE_MS,
  }
end

local function read_message(input, messages, payload)
  messages[#messages + 1] = payload
  return qualify.run {
    deal = input.deal,
    account = input.account,
    conversation = { form = "messages", messages = messages, seller = input.seller },
  }
end

local function is_message(signal)
  local ok, found = schema.check("message", signal.payload)
  if ok and not signal.payload.text:find("%S") then
    ok, found = nil, { { pointer = "/text", message = "is empty" } }
  end
  if ok and type(signal.payload.at) == "string" and not dates.normalise(signal.payload.at) then
    ok, found = nil, { { pointer = "/at", message = "is no time that can be read" } }
  end
  if not ok then
    log.warn(
      "a signal that is neither a message nor a stop was passed over",
      { signal = signal.id, errors = found }
    )
  end
  return ok
end

-- Silence: a person decides whether a follow-up leaves. Returns true when it did.
local function touch_customer(input, known, touch)
  local decision = ask_person(input, known, touch)
  if decision.decision ~= "approved" then
    return false
  end
  events.emit(
    "message.approved",
    { deal = input.deal, text = draft(known), approval = decision.id, touch = touch },
    { subject = input.deal }
  )
  return true
end

--- The capability `follow`.
---@param input table {deal, account?, seller?, owner?, silent_ms?, touches?, messages?}
---@return table {outcome, messages, touches, blocker, qualified}
function M.run(input)
  deals.check(input.deal)
  local messages, known, touches, outcome = {}, nil, 0, nil
  for _, message in ipairs(input.messages or {}) do
    messages[#messages + 1] = message
  end
  if #messages > 0 then
    known = qualify.run {
      deal = input.deal,
      account = input.account,
      conversation = { form = "messages", messages = messages, seller = input.seller },
    }
  end
  while not outcome do
    local signal = run.await("message", { timeout_ms = input.silent_ms or SILENT_MS })
    if signal and type(signal.payload) == "table" and signal.payload.stop == true then
      outcome = "stopped"
    elseif signal and is_message(signal) then
      touches = 0
      known = read_message(input, messages, signal.payload)
      if known.next_action.action == "stop_contact" then
        outcome = "asked_to_stop"
      end
      if #messages >= MOST_MESSAGES then
        outcome = "too_long"
      end
    elseif not signal then
      touches = touches + 1
      if not touch_customer(input, known, touches) then
        outcome = "not_approved"
      elseif touches >= (input.touches or TOUCHES) then
        outcome = "no_answer"
      end
    end
  end
  local card = known and known.scorecards.bant or {}
  return {
    outcome = outcome,
    messages = #messages,
    touches = touches,
    blocker = card.blocker or json.null,
    qualified = card.qualified == nil and json.null or card.qualified,
  }
end

return M
