--- Stage gates: which are met, what each still misses, and how far the deal may move by itself.
-- A gate opens a stage when every dimension that it names has its level and none of them is contradicted. Gates
-- are cumulative: a stage is reached only through all before it. The machine proposes up to negotiation; what
-- comes after is a person's act. A deal never falls back by itself either: a gate that is no longer met is shown,
-- with `at_risk`.

local json = require "perigee.json"

local M = {}

M.ORDER = {
  "prospecting",
  "discovery",
  "qualification",
  "evaluation",
  "negotiation",
  "closed_won",
  "closed_lost",
}
local FURTHEST = "negotiation"

local RANK = {}
for k, name in ipairs(M.ORDER) do
  RANK[name] = k
end

local function missing_of(gate, card, book)
  local missing = json.array({})
  for _, dimension in ipairs(book.dimensions) do
    local level = gate.requires[dimension.name]
    local view = card.dimensions[dimension.name]
    if level then
      if view.red then
        missing[#missing + 1] = dimension.title .. " is contradicted"
      elseif view.level < level then
        missing[#missing + 1] = dimension.title .. ": level " .. level .. ", now " .. view.level
      end
    end
  end
  if gate.human then
    missing[#missing + 1] = "a person's decision"
  end
  return missing
end

--- Checks the gates of the deal's method.
---@param context table {body, method, cards}
---@return table {current, proposed, at_risk, gates: {gate, met, missing}[], method}
function M.check(context)
  local current = context.body.stage or "prospecting"
  local book = context.method
  local gates, reached, open, at_risk = json.array({}), "prospecting", true, false
  for _, gate in ipairs(book and book.gates or {}) do
    local missing = missing_of(gate, context.cards[book.name], book)
    local met = #missing == 0
    gates[#gates + 1] = { gate = gate.into, met = met, missing = missing }
    open = open and met
    if open and (RANK[gate.into] or 99) <= RANK[FURTHEST] then
      reached = gate.into
    end
    if not met and (RANK[gate.into] or 99) <= (RANK[current] or 1) and not gate.human then
      at_risk = true
    end
  end
  local closed = current == "closed_won" or current == "closed_lost"
  local ahead = not closed and (RANK[reached] or 1) > (RANK[current] or 1)
  return {
    current = ahead and reached or current,
    before = current,
    at_risk = at_risk and not closed,
    gates = gates,
    method = book and book.name or json.null,
  }
end

return M
