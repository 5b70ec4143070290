-- Who sells and who buys, told from what is said: whole conversations, and the side of each speaker.

local conversation = require("perigee.conversation")

local CASES = testing.json("spec/sides.json")

describe("the side of", function()
  for _, case in ipairs(CASES) do
    it(case.title, function()
      local got =
        conversation.read({ form = case.form, text = case.text, messages = case.messages })
      local told = {}
      for _, u in ipairs(got.utterances) do
        told[u.speaker] = u.side
      end
      assert.same(case.want, told)
    end)
  end
end)
