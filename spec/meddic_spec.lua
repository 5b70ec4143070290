-- What single exchanges show of MEDDIC, and what they must not: the seller's words, the customer's, and dimensions with
-- a sign ("pain+"), a denied one with "!" before it; "none" is nothing at all.

local conversation = require("perigee.conversation")
local playbook = require("perigee.playbook")
local rules = require("perigee.rules")

local function heard(case)
  local messages = {}
  if case[1] ~= "" then
    messages[1] = { from = "Sam", side = "seller", text = case[1] }
  end
  messages[#messages + 1] = { from = "Ana", side = "customer", text = case[2] }
  local reading = rules.read(conversation.read({ form = "messages", messages = messages }))
  local found, any = {}, nil
  for _, item in ipairs(rules.extract(reading, playbook.get("meddic"))) do
    any = item.dimension .. (item.polarity > 0 and "+" or "-")
    found[any] = true
  end
  return found, any
end

describe("MEDDIC", function()
  for _, case in ipairs(testing.json("spec/meddic.json")) do
    it("hears " .. case[2], function()
      local found, any = heard(case)
      for mark, name in string.gmatch(case[3], "(!?)([%l_]+[+-]?)") do
        if name == "none" then
          assert.is_nil(any, "heard " .. tostring(any))
        elseif mark == "!" then
          assert.is_nil(found[name], "heard " .. name)
        else
          assert.is_true(found[name], "did not hear " .. name)
        end
      end
    end)
  end
end)
