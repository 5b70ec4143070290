-- The conversations in examples/, each with the scorecard that it must give.

local NAMES = {
  "blocked-by-authority",
  "blocked-by-budget",
  "blocked-by-need",
  "blocked-by-timeline",
  "budget-frozen-later",
  "champion-who-turns",
  "enterprise-two-voices",
  "no-signal-thread",
  "qualified-call",
  "words-in-the-buyers-mouth",
}

local function check_card(got, wanted)
  assert.same(wanted.blocker, got.blocker)
  assert.same(wanted.qualified, got.qualified)
  for name, view in pairs(wanted.dimensions) do
    assert.equal(name .. " level " .. view.level, name .. " level " .. got.dimensions[name].level)
    assert.equal(
      name .. " red " .. tostring(view.red),
      name .. " red " .. tostring(got.dimensions[name].red)
    )
  end
end

local function has_quote(evidence, wanted)
  for _, item in ipairs(evidence) do
    if
      item.playbook == wanted.playbook
      and item.dimension == wanted.dimension
      and item.polarity == wanted.polarity
      and item.quote == wanted.quote
    then
      return true
    end
  end
  return false
end

describe("the example", function()
  for _, name in ipairs(NAMES) do
    it(name .. " gives its scorecard", function()
      local input = testing.json("examples/" .. name .. "/input.json")
      local wanted = testing.json("examples/" .. name .. "/expected.json")
      input.deal = testing.id(name)
      local output = testing.call("sales.qualify", input)
      for book, card in pairs(wanted.scorecards) do
        check_card(output.scorecards[book], card)
      end
      for _, quote in ipairs(wanted.quotes) do
        assert.is_true(has_quote(output.evidence, quote), quote.dimension .. ": " .. quote.quote)
      end
    end)
  end
end)
