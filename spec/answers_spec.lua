-- What a customer's answer shows, given what the seller said right before: the seller's words, the answer, and the
-- BANT dimensions that it must confirm (+) or contradict (-). Dimensions that are not named must not turn red.

local conversation = require("perigee.conversation")
local playbook = require("perigee.playbook")
local rules = require("perigee.rules")
local scorecard = require("perigee.scorecard")

local CASES = testing.json("spec/answers.json")

local function read(question, answer)
  local text = "Seller: Hello, this is Sam from Acme.\nBuyer: Hi Sam.\nSeller: "
    .. question
    .. "\nBuyer: "
    .. answer
    .. "\n"
  local book = playbook.get("bant")
  local items =
    rules.extract(rules.read(conversation.read({ form = "transcript", text = text })), book)
  for k, item in ipairs(items) do
    item.id = string.format("%04d", k)
  end
  return scorecard.fold(book, items, 0)
end

local function shown(view)
  return view.red and "-" or view.level >= 2 and "+" or "?"
end

describe("an answer", function()
  for _, case in ipairs(CASES) do
    it(case[2], function()
      local card = read(case[1], case[2])
      local wanted = {}
      for name, sign in string.gmatch(case[3], "(%a+)([+-])") do
        wanted[name] = sign
      end
      for name, view in pairs(card.dimensions) do
        if wanted[name] then
          assert.equal(name .. wanted[name], name .. shown(view))
        else
          assert.is_false(view.red, name .. " is red")
        end
      end
    end)
  end
end)
