-- What one sentence of a customer shows about money and dates, given what the seller said right before (or ""):
-- budget or timeline with + or -, or nothing of the two. With "?" the contrary may be heard as well: their own date
-- beside an offer that misses it.

local conversation = require("perigee.conversation")
local playbook = require("perigee.playbook")
local rules = require("perigee.rules")
local scorecard = require("perigee.scorecard")

local CASES = testing.json("spec/money_and_time.json")

local function heard(seller, customer)
  local messages = {}
  if seller ~= "" then
    messages[1] = { from = "Sel Seller", side = "seller", text = seller }
  end
  messages[#messages + 1] = { from = "Bea Buyer", side = "customer", text = customer }
  local reading = rules.read(conversation.read({ form = "messages", messages = messages }))
  local found = {}
  for _, item in ipairs(rules.extract(reading, playbook.get("bant"))) do
    found[item.dimension .. (item.polarity > 0 and "+" or "-")] = true
  end
  return found
end

describe("money and dates", function()
  for _, case in ipairs(CASES) do
    it(case[2], function()
      local found = heard(case[1], case[2])
      for _, sign in ipairs({ "budget+", "budget-", "timeline+", "timeline-" }) do
        if case[3]:find(sign, 1, true) then
          assert.is_true(found[sign] == true, sign .. " is not heard")
        elseif
          case[3] == "" or case[3]:find(sign:sub(1, -2), 1, true) and not case[3]:find("?", 1, true)
        then
          assert.is_true(not found[sign], sign .. " is heard")
        end
      end
    end)
  end
end)

-- A whole talk: offers, limits and second thoughts in any order.
local TALKS = {
  {
    "timeline-",
    "[2024-02-15T16:10:00] Sam: Hello, Sam from Acme. When does it have to be up?",
    "[2024-02-15T16:10:10] Bea: The opening is on the first of March.",
    "[2024-02-15T16:10:20] Sam: I'm afraid our lead time is nine weeks.",
    "[2024-02-15T16:10:30] Bea: I see. That's a pity.",
  },
  {
    "timeline+",
    "[2024-02-15T16:10:00] Sam: Hello, Sam from Acme. When does it have to be up?",
    "[2024-02-15T16:10:10] Bea: The opening is on the first of May.",
    "[2024-02-15T16:10:20] Sam: Our lead time is nine weeks.",
    "[2024-02-15T16:10:30] Bea: I see.",
  },
  {
    "timeline-",
    "Sam: Hello, Sam from Acme.",
    "Bea: Hi Sam. We need twelve laptops, and they must be here by the 10th.",
    "Sam: What would you use them for?",
    "Bea: Our new trainees need machines to work on.",
    "Sam: I'm afraid we can only deliver on the 24th.",
    "Bea: I see. That's a pity.",
    "Sam: Anything else?",
    "Bea: No, thanks.",
  },
  {
    "timeline+",
    "Sam: Hello, Sam from Acme.",
    "Bea: Hi Sam. We need twelve laptops by the 24th.",
    "Sam: We can deliver on the 17th.",
    "Bea: Great.",
  },
  {
    "timeline+",
    "Sam: Sam from Acme.",
    "Bea: We'd want delivery within two weeks.",
    "Sam: Our standard lead time is four weeks.",
    "Bea: Hmm. Alright, four weeks is still okay.",
  },
  {
    "timeline-",
    "Sam: Sam from Acme.",
    "Bea: We'd want delivery within two weeks.",
    "Sam: Our standard lead time is four weeks.",
    "Bea: Okay, thank you for being open about it.",
  },
  {
    "timeline+",
    "Sam: Sam from Acme.",
    "Bea: We'd want delivery within two weeks.",
    "Sam: Our standard lead time is four weeks.",
    "Bea: That is too long.",
    "Sam: I talked to logistics, we can make it ten days.",
    "Bea: Ten days works for us.",
  },
  {
    "budget-",
    "Sam: Sam from Acme.",
    "Bea: Our budget for this is $10,000.",
    "Sam: The total price for the package would be $12,500.",
    "Bea: I see. Could you send me the details?",
  },
  {
    "budget+",
    "Sam: Sam from Acme.",
    "Bea: Our budget for this is $10,000.",
    "Sam: The total price for the package would be $12,500.",
    "Bea: That's above our budget.",
    "Sam: I can take the training out, then it's $9,800.",
    "Bea: $9,800 fits our budget.",
  },
  {
    "budget+",
    "Sam: Sam from Acme.",
    "Bea: Our budget for this is $10,000.",
    "Sam: The total price for the package would be $9,200.",
    "Bea: Okay, and the warranty?",
  },
  {
    "budget+",
    "Sam: Sam from Acme. The price is $12,500.",
    "Bea: We had planned for $11,000.",
    "Sam: I understand.",
    "Bea: I spoke to finance just now, we can stretch to $12,500.",
  },
  {
    "budget-",
    "Sam: Sam from Acme. The price is $12,500.",
    "Bea: We had planned for $11,000.",
    "Sam: I understand. Is there any flexibility?",
    "Bea: Unfortunately not.",
  },
  {
    "budget+",
    "Sam: Sam from Acme. It costs $45 per user a month.",
    "Bea: We have $20,000 set aside for this.",
    "Sam: For thirty users that makes $16,200 a year.",
    "Bea: Good.",
  },
  {
    "timeline-",
    "Sam: Sam from Acme. Installation would take place on March 20.",
    "Bea: We open on March 15.",
    "Sam: I can't move it, sorry.",
    "Bea: I understand.",
  },
  {
    "timeline+",
    "Sam: Sam from Acme. Installation would take place on March 10.",
    "Bea: We open on March 15, so that works.",
  },
  {
    "budget-",
    "Sam: Sam from Acme.",
    "Bea: Before we go on: our spending has been frozen since last week.",
    "Sam: I'm sorry to hear that.",
    "Bea: Yes, so nothing new can be bought for now.",
  },
}

describe("a talk about money and dates", function()
  for _, talk in ipairs(TALKS) do
    it(talk[#talk] .. " " .. talk[1], function()
      local text = table.concat(talk, "\n", 2)
      local read = conversation.read({ form = "transcript", text = text, seller = { "Sam" } })
      local book = playbook.get("bant")
      local items = rules.extract(rules.read(read), book)
      for k, item in ipairs(items) do
        item.id = string.format("%04d", k)
      end
      local view = scorecard.fold(book, items, 0).dimensions[talk[1]:sub(1, -2)]
      assert.equal(talk[1]:sub(-1), view.red and "-" or view.level >= 2 and "+" or "?")
    end)
  end
end)
