-- The Sales agent as its callers see it.

local json = require("perigee.json")
local records = require("perigee.records")

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

describe("what cannot be read is refused before anything is written:", function()
  local function refused(capability, input)
    local before = #testing.calls()
    local ok, caught = pcall(testing.call, "sales." .. capability, input)
    assert.is_false(ok)
    assert.equal(before, #testing.calls())
    return caught
  end

  it("a deal's name of too many bytes or with control characters", function()
    for _, deal in ipairs { ("\195\169"):rep(150), "a\0b", "a\nb" } do
      local conversation = { form = "transcript", text = CALL }
      assert.equal("input.deal", refused("qualify", { deal = deal, conversation = conversation }).code)
      assert.equal("input.deal", refused("stage", { deal = deal }).code)
    end
  end)

  it("times that are none", function()
    local deal = testing.id("times")
    for _, capability in ipairs { "next_action", "stage", "questions" } do
      assert.matches("/as_of", tostring(refused(capability, { deal = deal, as_of = "garbage" }).message))
      testing.call("sales." .. capability, { deal = deal, as_of = json.null })
    end
    local messages = { { text = "We have no budget.", side = "customer", at = "yesterday" } }
    local conversation = { form = "messages", messages = messages }
    local caught = refused("qualify", { deal = deal, conversation = conversation })
    assert.matches("/conversation/messages/0", tostring(caught.message))
    messages[1].at = json.null
    testing.call("sales.qualify", { deal = deal, conversation = conversation })
  end)
end)

describe("the customer's words", function()
  local function budget_of(name, form, text)
    local output = testing.call("sales.qualify", {
      deal = testing.id(name),
      conversation = {
        form = form,
        text = form == "transcript" and text or nil,
        messages = form == "messages" and { message("Bob", "customer", text) } or nil,
      },
    })
    local quotes = {}
    for _, item in ipairs(output.evidence) do
      quotes[#quotes + 1] = item.dimension == "budget" and item.quote or nil
    end
    return output.scorecards.bant.dimensions.budget, quotes
  end

  it("may be wrapped in short lines", function()
    assert.is_true(budget_of("w1", "messages", "we do not have the\nbudget for this any more.").red)
    assert.is_true(budget_of("w2", "messages", "Sorry, we do not have\nany budget\nfor this now.").red)
    local text = "Rep: Any news on\nthis one?\nCustomer: we do not have the\nbudget for this any more.\n"
    assert.is_true(budget_of("w3", "transcript", text).red)
  end)

  it("are quoted without the tag before them", function()
    local card, quotes = budget_of("tag", "messages", "<b>We have no budget for this.</b><br>Bye")
    assert.is_true(card.red)
    assert.equal("We have no budget for this.", quotes[1])
  end)
end)

describe("a long and dense conversation", function()
  it("is read whole", function()
    local turn = "Rep: Does that fit your budget?\nCustomer: We have no budget any more. "
      .. "Yes, that's within our budget of $4,000. We need it by the end of May.\n"
    local output = testing.call("sales.qualify", {
      deal = testing.id("dense"),
      conversation = { form = "transcript", text = turn:rep(700) },
    })
    assert.equal("ok", output.status)
    assert.equal(1400, output.coverage.utterances)
    assert.is_true(#output.evidence > 2000)
  end)
end)

describe("a deal's record of another shape", function()
  it("is put up with", function()
    local deal = testing.id("shape")
    records.put("deal", deal, { account = 5, asked = "garbage", stage = 7, as_of = {}, persona = {}, playbook = 1 })
    assert.equal("prospecting", testing.call("sales.stage", { deal = deal }).current)
    testing.call("sales.questions", { deal = deal })
    assert.equal("authority", qualify(deal).scorecards.bant.blocker)
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

  it("has the date of its conversation where it has none itself", function()
    local deal = testing.id("dated-whole")
    said(deal, stamped("2025-03-03", GOOD))
    local conversation = { form = "transcript", text = BAD, at = "2025-03-01T10:00:00Z" }
    local output = testing.call("sales.qualify", { deal = deal, conversation = conversation })
    assert.is_false(output.scorecards.bant.dimensions.budget.red)
    assert.equal("2025-03-03T10:00:00.000Z", output.as_of)
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
