-- The Sales agent as its callers see it.

local json = require("perigee.json")

local CALL = "[2025-03-03T10:00:00] Rep: Hello, this is Sam from Acme.\n"
  .. "[2025-03-03T10:00:05] Buyer: Hi Sam. Our press keeps breaking, we lose 20 hours a week.\n"
  .. "[2025-03-03T10:00:10] Rep: It is $4,000 in total. Does that fit your budget?\n"
  .. "[2025-03-03T10:00:15] Buyer: Yes, that's within our budget.\n"
  .. "[2025-03-03T10:00:20] Rep: And who decides?\n"
  .. "[2025-03-03T10:00:25] Buyer: Our director makes the final decision, not me.\n"
  .. "[2025-03-03T10:00:30] Buyer: How long is the warranty?\n"

local function qualify(deal)
  local input = { deal = deal, conversation = { form = "transcript", text = CALL } }
  return testing.call("sales.qualify", input)
end

local function message(from, side, text)
  return { from = from, side = side, text = text }
end

describe("sales.qualify", function()
  it("cites the customer's words at their place, and nobody else's", function()
    local output = qualify(testing.id("cite"))
    assert.is_true(#output.evidence > 0)
    for _, item in ipairs(output.evidence) do
      assert.equal(item.quote, string.sub(CALL, item.start + 1, item["end"]))
      assert.equal("customer", item.side)
      assert.equal("Buyer", item.speaker)
    end
    assert.equal("authority", output.scorecards.bant.blocker)
    assert.is_false(output.scorecards.bant.qualified)
  end)

  it("gives the same when the same conversation comes again", function()
    local deal = testing.id("again")
    local first, second = qualify(deal), qualify(deal)
    assert.equal(#first.evidence, #second.evidence)
    assert.equal(json.encode(first.scorecards), json.encode(second.scorecards))
  end)

  it("answers the customer's open question first, and asks nothing twice", function()
    local output = qualify(testing.id("ask"))
    assert.equal("answer_question", output.next_action.action)
    assert.equal("reach_decision_maker", output.next_action.others[1].action)
    for _, question in ipairs(output.questions) do
      assert.is_true(question.id ~= "bant.decider" and question.id ~= "bant.money")
    end
  end)

  it("says so when nobody on the customer's side spoke", function()
    local output = testing.call("sales.qualify", {
      deal = testing.id("none"),
      conversation = {
        form = "messages",
        messages = { message("Sam", "seller", "We have budget.") },
      },
    })
    assert.equal("no_customer", output.status)
    assert.same({}, output.evidence)
  end)

  it("records nothing of a side that it cannot tell", function()
    local output = testing.call("sales.qualify", {
      deal = testing.id("unknown"),
      conversation = { form = "transcript", text = "Ana: We lose money.\nBo: So do we.\n" },
    })
    for _, item in ipairs(output.evidence) do
      assert.equal("customer", item.side)
    end
  end)
end)

local GOOD, BAD =
  "Rep: Does $4,000 fit your budget?\nBob: Yes, that's within our budget.\n",
  "Rep: Any news?\nBob: We have no budget any more. The project is cancelled.\n"

local function stamped(day, text)
  return (text:gsub("(%a+): ", "[" .. day .. "T10:00:00] %1: "))
end

local function said(deal, text)
  testing.advance(1000)
  local output = testing.call(
    "sales.qualify",
    { deal = deal, conversation = { form = "transcript", text = text } }
  )
  return output.scorecards.bant
end

describe("bad news", function()
  it("counts when it has no date and what was known has one", function()
    local deal = testing.id("undated-bad")
    local before = said(deal, stamped("2025-03-03", GOOD))
    assert.equal(2, before.dimensions.budget.level)
    local after = said(deal, BAD)
    assert.is_true(after.dimensions.budget.red)
    assert.is_true(after.dimensions.budget.level <= 1)
    assert.is_true(after.score_bp < before.score_bp)
  end)

  it("counts when it has a date and what was known has none", function()
    local deal = testing.id("dated-bad")
    local before = said(deal, GOOD)
    local after = said(deal, stamped("2099-03-03", BAD))
    assert.is_true(after.dimensions.budget.red)
    assert.is_true(after.score_bp < before.score_bp)
  end)

  it("counts when neither has a date, and good news answers it", function()
    local deal = testing.id("no-dates")
    said(deal, GOOD)
    assert.is_true(said(deal, BAD).dimensions.budget.red)
    local again = "Rep: Any news?\nBob: Good news, the budget has been approved.\n"
    assert.is_false(said(deal, again).dimensions.budget.red)
  end)

  it("is the last word in undated messages, in their order", function()
    for round = 1, 8 do
      local messages = {
        message("Bob", "customer", "That's within our budget, number " .. round .. "."),
        message("Sam", "seller", "Great."),
        message("Bob", "customer", "We have no budget any more, number " .. round .. "."),
      }
      for _, last in ipairs { "bad", "good" } do
        if last == "good" then
          messages[1], messages[3] = messages[3], messages[1]
        end
        local card = testing.call("sales.qualify", {
          deal = testing.id("messages-" .. last .. round),
          conversation = { form = "messages", messages = messages },
        }).scorecards.bant
        assert.equal(last == "bad", card.dimensions.budget.red)
      end
    end
  end)
end)

describe("what is known of a deal", function()
  it("is told again by next_action, stage and questions", function()
    local deal = testing.id("told")
    qualify(deal)
    assert.equal("reach_decision_maker", testing.call("sales.next_action", { deal = deal }).action)
    local stage = testing.call("sales.stage", { deal = deal })
    assert.equal("qualification", stage.proposed)
    assert.equal("closed_won", stage.gates[#stage.gates].gate)
    assert.is_false(stage.gates[#stage.gates].met)
    assert.is_true(
      #testing.call("sales.questions", { deal = deal, persona = "c_level" }).questions > 0
    )
  end)

  it("fades with time", function()
    local deal = testing.id("fade")
    qualify(deal)
    local late = testing.call("sales.stage", { deal = deal, as_of = "2028-03-03T10:00:00Z" })
    assert.equal(false, late.gates[1].met)
  end)

  it("is unknown for a deal that nobody spoke about", function()
    local action = testing.call("sales.next_action", { deal = testing.id("new") })
    assert.equal("ask_question", action.action)
  end)
end)
