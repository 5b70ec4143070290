--- Reads a conversation into the deal's ledger and says what is known now.
-- Effects, in this order: one evidence.source per source, evidence.add, evidence.list, then the deal's record and
-- one event. Where much is read, in between records.get, which begins a new slice of CPU time.

local conversation = require "perigee.conversation"
local dates = require "perigee.conversation.dates"
local events = require "perigee.events"
local evidence = require "perigee.evidence"
local json = require "perigee.json"
local playbook = require "perigee.playbook"
local records = require "perigee.records"
local rules = require "perigee.rules"
local scorecard = require "perigee.scorecard"
local time = require "perigee.time"
local deals = require "sales.deals"
local talk = require "sales.talk"
local view = require "sales.view"

local M = {}

-- How many items a call of evidence.add is given.
local MOST_ITEMS = 500

local function store_sources(deal, read)
  local ids = {}
  for k, source in ipairs(read.sources) do
    ids[k] = evidence.source {
      deal = deal,
      form = read.form,
      text = source.text,
      title = source.title,
      at = source.at,
    }.id
  end
  return ids
end

local function extract(reading, books, ids, pause)
  local items = {}
  for _, book in ipairs(books) do
    for _, item in ipairs(rules.extract(reading, book, pause)) do
      if not item.said_at and #ids > 1 then
        item.detail = item.detail or {}
        item.detail.turn = item.source
      end
      item.source = ids[item.source]
      items[#items + 1] = item
    end
  end
  return items
end

local function add_items(deal, items)
  for first = 1, #items, MOST_ITEMS do
    local batch = {}
    for k = first, math.min(#items, first + MOST_ITEMS - 1) do
      batch[#batch + 1] = items[k]
    end
    evidence.add(deal, batch)
  end
end

-- A long conversation is read in windows; each effect in between begins a new slice of CPU time.
local function read_windows(deal, read, books, ids, pause)
  local said, found, sentences = { asked = {} }, 0, 0
  for _, window in ipairs(rules.windows(read)) do
    local reading = rules.read(window, pause)
    local items = extract(reading, books, ids, pause)
    if #items > 0 then
      add_items(deal, items)
    else
      pause()
    end
    said = talk.read(reading, books, said.asked)
    found, sentences = found + #items, sentences + #reading.sentences
  end
  read.coverage.sentences = sentences
  return said, found
end

-- The time as of which the deal is judged: when its latest words were said, so that a call read a year later is
-- judged as it stood. What has no time was said when it was recorded; where the ledger is empty, now.
local function latest(read, ledger)
  local last = dates.micros(read.last_at)
  for _, item in ipairs(ledger) do
    local at = scorecard.time_of(item)
    if at and (not last or at > last) then
      last = at
    end
  end
  return last or time.now()
end

local function status_of(read, found)
  if read.coverage.customer == 0 then
    return "no_customer"
  end
  return found > 0 and "ok" or "no_signal"
end

local function update_deal(body, input, context)
  body.account = input.account or body.account
  body.persona = input.persona or body.persona
  body.stage = context.stage.current
  body.as_of = dates.text(context.as_of)
  body.qualification = {}
  for name, card in pairs(context.cards) do
    local levels = {}
    for dimension, shown in pairs(card.dimensions) do
      levels[dimension] = shown.red and -1 or shown.level
    end
    body.qualification[name] = {
      blocker = card.blocker,
      qualified = card.qualified,
      score_bp = card.score_bp,
      levels = levels,
    }
  end
  local asked = body.asked or {}
  for id in pairs(context.talk.asked or {}) do
    asked[id] = true
  end
  body.asked = asked
  body.next_action = context.actions[1].action
end

local function coverage_of(read, found)
  local coverage = read.coverage
  coverage.evidence, coverage.extractor = found, rules.EXTRACTOR
  return coverage
end

local function action_of(context)
  local best = context.actions[1]
  local others = json.array({})
  for k = 2, math.min(3, #context.actions) do
    others[#others + 1] = {
      action = context.actions[k].action,
      rule = context.actions[k].rule,
      reasons = context.actions[k].reasons,
    }
  end
  return {
    action = best.action,
    reasons = best.reasons,
    evidence = best.evidence,
    rule = best.rule,
    others = others,
  }
end

M.action_of = action_of

--- The capability `qualify`; input and output as the contract has them.
---@param input table {deal, account?, persona?, conversation}
---@return table output
function M.run(input)
  deals.check(input.deal)
  local function pause()
    records.get("deal", input.deal)
  end
  local read = conversation.read(input.conversation, pause)
  local books = playbook.all()
  local ids = store_sources(input.deal, read)
  local said, found = read_windows(input.deal, read, books, ids, pause)
  local ledger = evidence.list(input.deal)
  local as_of = latest(read, ledger)
  local context
  records.update("deal", input.deal, function(body)
    deals.tolerate(body)
    for id in pairs(body.asked) do
      said.asked[id] = true
    end
    context = view.of(body, ledger, as_of, said)
    update_deal(body, input, context)
  end)
  local best = context.method and context.cards[context.method.name] or {}
  events.emit("deal.qualified", {
    deal = input.deal,
    blocker = best.blocker,
    qualified = best.qualified,
    score_bp = best.score_bp,
    stage = context.stage.current,
    next_action = context.actions[1].action,
  }, { subject = input.deal })
  return {
    status = status_of(read, found),
    coverage = coverage_of(read, found),
    as_of = dates.text(as_of),
    scorecards = view.cards(context),
    stage = {
      current = context.stage.current,
      gates = context.stage.gates,
      at_risk = context.stage.at_risk,
      method = context.stage.method,
    },
    next_action = action_of(context),
    questions = context.questions,
    evidence = view.evidence(ledger),
  }
end

return M
