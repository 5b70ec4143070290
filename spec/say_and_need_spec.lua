-- What one sentence of a customer shows about who decides and what they need, given what the seller said right
-- before (or ""): authority or need with + or -, or nothing of the two. Hints (under 5000) do not count.

local conversation = require("perigee.conversation")
local playbook = require("perigee.playbook")
local rules = require("perigee.rules")

local CASES = testing.json("spec/say_and_need.json")

local function heard(seller, customer)
  local messages = {}
  if seller ~= "" then
    messages[1] = { from = "Sel Seller", side = "seller", text = seller }
  end
  messages[#messages + 1] = { from = "Bea Buyer", side = "customer", text = customer }
  local reading = rules.read(conversation.read({ form = "messages", messages = messages }))
  local found = {}
  for _, item in ipairs(rules.extract(reading, playbook.get("bant"))) do
    if item.confidence_bp >= 5000 then
      found[item.dimension .. (item.polarity > 0 and "+" or "-")] = true
    end
  end
  return found
end

describe("who decides and what they need", function()
  for _, case in ipairs(CASES) do
    it(case[2], function()
      local found = heard(case[1], case[2])
      for _, sign in ipairs({ "authority+", "authority-", "need+", "need-" }) do
        if case[3]:find(sign, 1, true) then
          assert.is_true(found[sign] == true, sign .. " is not heard")
        elseif case[3] == "" or case[3]:find(sign:sub(1, -2), 1, true) then
          assert.is_true(not found[sign], sign .. " is heard")
        end
      end
    end)
  end
end)
