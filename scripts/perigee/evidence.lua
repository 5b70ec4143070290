-- The evidence ledger: claims about a deal, each with the customer's words and where they stand.
-- The host refuses an item unless the quote is exactly what stands at its offsets in a stored source.

local host = require("perigee.host")
local check = require("perigee.check")
local effects = require("perigee.effects")

local evidence = {}

---@class perigee.Evidence
---@field id? string given by the host, made from the content
---@field playbook string
---@field dimension string
---@field claim string
---@field polarity 1|-1
---@field quote string
---@field source string id of the source
---@field start integer byte offset into the text of the source, zero-based
---@field end integer byte offset behind the last byte
---@field speaker? string
---@field side "customer"|"seller"|"unknown" only "customer" is accepted
---@field said_at? string RFC 3339
---@field extractor string
---@field confidence_bp integer 0–10000
---@field detail? any
---@field run? string
---@field recorded_at? integer

local SOURCE_FIELDS = { "deal", "form", "text", "title", "at" }

---Store what was said, once: the id is made from deal and text.
---@param source { deal: string, form: string, text: string, title?: string, at?: string }
---@return { id: string, new: boolean }
function evidence.source(source)
  check.type("evidence.source", "source", source, "table")
  local fault = check.unknown_key("field", source, SOURCE_FIELDS)
  if fault then
    error("evidence.source: " .. fault, 2)
  end
  check.name("evidence.source", "deal", source.deal)
  check.name("evidence.source", "form", source.form)
  check.type("evidence.source", "text", source.text, "string")
  return effects.call("evidence.source", {
    deal = source.deal,
    form = source.form,
    text = source.text,
    title = source.title,
    at = source.at,
  })
end

local function with_nulls(item)
  local complete = {}
  for key, value in pairs(item) do
    complete[key] = value
  end
  if complete.said_at == nil then
    complete.said_at = host.null
  end
  if complete.speaker == nil then
    complete.speaker = host.null
  end
  return complete
end

---Add items to the ledger of a deal; adding the same item twice adds it once. Raises
---`evidence.refused` (with `errors`: pointer and message of each) and then stores nothing.
---@param deal string
---@param items perigee.Evidence[]
---@return { id: string, new: boolean }[] in the order of the items
function evidence.add(deal, items)
  check.name("evidence.add", "deal", deal)
  check.type("evidence.add", "items", items, "table")
  local list = host.array({})
  for i, item in ipairs(items) do
    if type(item) ~= "table" then
      local got = check.describe(item)
      error("evidence.add: items[" .. i .. "] must be a table, got " .. got, 2)
    end
    list[i] = with_nulls(item)
  end
  if #list == 0 then
    if next(items) ~= nil then
      error("evidence.add: items must be a list of items, got a table with other keys", 2)
    end
    return host.array({})
  end
  return effects.call("evidence.add", { deal = deal, items = list }).items
end

---The ledger of a deal, in the order in which things were said.
---@param deal string
---@param filter? { playbook?: string, dimension?: string }
---@return perigee.Evidence[]
function evidence.list(deal, filter)
  check.name("evidence.list", "deal", deal)
  filter = check.options("evidence.list", filter, { "playbook", "dimension" })
  local items = effects.call("evidence.list", {
    deal = deal,
    playbook = filter.playbook,
    dimension = filter.dimension,
  }).items
  for _, item in ipairs(items) do
    effects.without_nulls(item)
  end
  return items
end

return evidence
