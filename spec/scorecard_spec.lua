-- The fold: the same in any order and however often, bad news lowers, age fades, people corroborate.

local json = require("perigee.json")
local playbook = require("perigee.playbook")
local scorecard = require("perigee.scorecard")
local time = require("perigee.time")

local DAY = time.DAY
local START = time.parse("2025-03-01T09:00:00Z")
local count = 0

local function item(dimension, polarity, fields)
  count = count + 1
  local made = {
    id = string.format("%06d", count),
    playbook = "bant",
    dimension = dimension,
    polarity = polarity,
    claim = "claimed",
    quote = "words",
    source = "s",
    start = count,
    ["end"] = count + 5,
    speaker = "Ana",
    side = "customer",
    said_at = time.format(START),
    extractor = "rules/1",
    confidence_bp = 8000,
  }
  for key, value in pairs(fields or {}) do
    made[key] = value
  end
  return made
end

local function fold(items, as_of)
  return scorecard.fold(playbook.get("bant"), items, as_of or START)
end

local function reversed(list)
  local out = {}
  for k = #list, 1, -1 do
    out[#out + 1] = list[k]
  end
  return out
end

describe("scorecard.fold", function()
  it("says unknown, never false, about an empty ledger", function()
    local card = fold({})
    assert.equal(json.null, card.blocker)
    assert.equal(json.null, card.qualified)
    assert.equal(0, card.score_bp)
    assert.equal(0, card.dimensions.need.level)
  end)

  it("is the same in any order and with anything twice", function()
    local items = {
      item("budget", 1),
      item("budget", -1),
      item("need", 1, { speaker = "Bo" }),
      item("need", 1),
      item("need", -1),
    }
    local twice = {}
    for _, one in ipairs(reversed(items)) do
      twice[#twice + 1] = one
      twice[#twice + 1] = one
    end
    assert.equal(json.encode(fold(items)), json.encode(fold(twice)))
  end)

  it("needs a second person or fourteen days for level 3", function()
    assert.equal(2, fold({ item("need", 1), item("need", 1) }).dimensions.need.level)
    assert.equal(
      3,
      fold({ item("need", 1), item("need", 1, { speaker = "Bo" }) }).dimensions.need.level
    )
    local later = item("need", 1, { said_at = time.format(START + 15 * DAY) })
    assert.equal(3, fold({ item("need", 1), later }, START + 15 * DAY).dimensions.need.level)
  end)

  it("reaches level 4 when one of two said it in writing", function()
    local written = item("need", 1, { speaker = "Bo", detail = { written = true } })
    assert.equal(4, fold({ item("need", 1), written }).dimensions.need.level)
  end)

  it("counts a hint as a hint", function()
    assert.equal(
      1,
      fold({ item("authority", 1, { confidence_bp = 4500 }) }).dimensions.authority.level
    )
  end)

  it("hears bad news, however much good news came before", function()
    local card = fold({
      item("budget", 1, { confidence_bp = 9000 }),
      item("budget", 1, { speaker = "Bo" }),
      item("budget", -1, { confidence_bp = 7500 }),
    })
    assert.is_true(card.dimensions.budget.red)
    assert.equal(1, card.dimensions.budget.level)
    assert.equal("budget", card.blocker)
    assert.is_false(card.qualified)
  end)

  it("lets a later confirmation answer a worry, and not a firm no", function()
    local worry = item("budget", -1, { confidence_bp = 4500 })
    assert.is_false(
      fold({ worry, item("budget", 1, { confidence_bp = 7500 }) }).dimensions.budget.red
    )
    local no = item("authority", -1, { confidence_bp = 9000 })
    assert.is_true(
      fold({ no, item("authority", 1, { confidence_bp = 4500 }) }).dimensions.authority.red
    )
  end)

  it("takes what has no time as said when it was recorded, in any order", function()
    local good, bad =
      item("budget", 1), item("budget", -1, { said_at = json.null, recorded_at = START + DAY })
    bad.start = 0
    assert.is_true(fold({ good, bad }).dimensions.budget.red)
    assert.same(fold({ good, bad }), fold({ bad, good, bad }))
    bad.recorded_at = START - DAY
    assert.is_false(fold({ good, bad }).dimensions.budget.red)
  end)

  it("does not take a limit for an answer to an offer beyond it", function()
    local too_late = item("timeline", -1, { confidence_bp = 8000, detail = { stands = true } })
    local wish = item("timeline", 1, { confidence_bp = 9000, detail = { limit = "delivery" } })
    assert.is_true(fold({ too_late, wish }).dimensions.timeline.red)
  end)

  it("lets what was said fade by half-lives", function()
    assert.equal(4000, scorecard.faded(8000, 90 * DAY, 90))
    assert.equal(2000, scorecard.faded(8000, 180 * DAY, 90))
    assert.equal(8000, scorecard.faded(8000, 180 * DAY, nil))
    local said = item("budget", 1)
    assert.equal(2, fold({ said }, START + 60 * DAY).dimensions.budget.level)
    assert.equal(1, fold({ said }, START + 200 * DAY).dimensions.budget.level)
    assert.equal(0, fold({ said }, START + 900 * DAY).dimensions.budget.level)
  end)

  it("chooses the surest denial as the blocker, then the latest", function()
    local card = fold({
      item("need", -1, { confidence_bp = 9000 }),
      item("budget", -1, { confidence_bp = 7500 }),
    })
    assert.equal("need", card.blocker)
    card = fold({ item("need", -1), item("budget", -1) })
    assert.equal("budget", card.blocker)
  end)
end)
