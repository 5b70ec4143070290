--- What is known about a deal, worked out from its ledger: cards, stage, questions, next action. No effects in
-- here.

local json = require "perigee.json"
local playbook = require "perigee.playbook"
local scorecard = require "perigee.scorecard"
local stages = require "sales.stages"
local questions = require "sales.questions"
local actions = require "sales.actions"

local M = {}

local function method_of(body, books)
  for _, book in ipairs(books) do
    if book.name == body.playbook then
      return book
    end
  end
  return books[1]
end

local function customers_of(items)
  local seen, names = {}, {}
  for _, item in ipairs(items) do
    if item.speaker and not seen[item.speaker] then
      seen[item.speaker] = true
      names[#names + 1] = item.speaker
    end
  end
  return names
end

--- Works out everything that follows from a ledger at a time.
---@param body table the deal's record
---@param items table[] the deal's ledger
---@param as_of integer unix microseconds
---@param talk? table what the conversation at hand shows: {asked, open_question, stop, unanswered}
---@return table {cards, stage, questions, actions}
function M.of(body, items, as_of, talk)
  local books = playbook.all()
  local context = {
    body = body,
    items = items,
    as_of = as_of,
    talk = talk or {},
    books = books,
    cards = {},
    customers = customers_of(items),
    persona = body.persona,
  }
  for _, book in ipairs(books) do
    context.cards[book.name] = scorecard.fold(book, items, as_of)
  end
  context.method = method_of(body, books)
  context.stage = stages.check(context)
  context.questions = questions.choose(context)
  context.actions = actions.choose(context)
  return context
end

--- A card in the shape of the contract.
---@return table
function M.card(card)
  local dimensions = {}
  for name, view in pairs(card.dimensions) do
    dimensions[name] =
      { level = view.level, red = view.red, evidence = view.evidence, missing = view.missing }
  end
  return {
    dimensions = dimensions,
    blocker = card.blocker,
    qualified = card.qualified,
    score_bp = card.score_bp,
    flags = card.flags,
  }
end

--- Every card of a view, by playbook.
function M.cards(context)
  local cards = {}
  for name, card in pairs(context.cards) do
    cards[name] = M.card(card)
  end
  return cards
end

local EVIDENCE_FIELDS = {
  "id",
  "playbook",
  "dimension",
  "claim",
  "polarity",
  "quote",
  "source",
  "start",
  "end",
  "extractor",
  "confidence_bp",
  "side",
}

--- The ledger in the shape of the contract.
function M.evidence(items)
  local list = json.array({})
  for k, item in ipairs(scorecard.in_order(items)) do
    local shown = {}
    for _, field in ipairs(EVIDENCE_FIELDS) do
      shown[field] = item[field]
    end
    shown.speaker, shown.said_at = item.speaker or json.null, item.said_at or json.null
    list[k] = shown
  end
  return list
end

return M
