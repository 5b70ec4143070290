-- The playbook form: what is wrong in it is told with file, line and reason.

local cues = require("perigee.rules.cues")
local conversation = require("perigee.conversation")
local playbook = require("perigee.playbook")
local rules = require("perigee.rules")

local function refused(form)
  local ok, reason = pcall(playbook.compile, "mine", form, "methodology/mine.lua:3")
  assert.is_false(ok)
  return reason
end

local function with(group, more)
  local form = { dimensions = { { name = "pain", confirms = { group } } } }
  for key, value in pairs(more or {}) do
    form[key] = value
  end
  return form
end

local function quotes(book, answer, question)
  local text = "Rep: " .. (question or "Hello.") .. "\nCustomer: " .. answer .. "\n"
  local found = {}
  for k, item in
    ipairs(rules.extract(rules.read(conversation.read({ form = "transcript", text = text })), book))
  do
    found[k] = (item.polarity > 0 and "+" or "-") .. item.quote
  end
  return found
end

describe("a playbook", function()
  it("is refused with the line and the reason", function()
    assert.matches("^methodology/mine.lua:3: dimensions is missing", refused({}))
    assert.matches("claim is missing", refused(with({ "we need" })))
    assert.matches("has no phrases", refused(with({ claim = "x" })))
    assert.matches(
      "unknown field 'strenght'",
      refused(with({ claim = "x", strenght = "weak", "we need" }))
    )
    assert.matches(
      "must be strong, plain, fair or weak",
      refused(with({ claim = "x", strength = "huge", "we need" }))
    )
    assert.matches("unknown set {nobody}", refused(with({ claim = "x", "we {nobody}" })))
    assert.matches("no '%)' closes", refused(with({ claim = "x", "(we|i need" })))
    assert.matches("cannot begin with a gap", refused(with({ claim = "x", "* need" })))
    assert.matches("unknown <coin>", refused(with({ claim = "x", "a <coin>" })))
    assert.matches("names no topic", refused(with({ claim = "x", after = "weather", "rain" })))
    assert.matches(
      "names no dimension",
      refused(
        with(
          { claim = "x", "need" },
          { questions = { { id = "q", text = "?", dimension = "no" } } }
        )
      )
    )
  end)

  it("listens for its cues, and for what takes them back", function()
    local book = playbook.compile(
      "mine",
      with({ claim = "Suffers", denied = "Does not suffer", "we (suffer|struggle) * losses" })
    )
    assert.same({ "+We suffer heavy losses." }, quotes(book, "We suffer heavy losses."))
    assert.same(
      { "-I don't think we suffer losses." },
      quotes(book, "I don't think we suffer losses.")
    )
    assert.same({}, quotes(book, "If we suffer losses, we'll call."))
    assert.same({}, quotes(book, "Do we suffer losses?"))
    assert.same({}, quotes(book, "My previous company said we suffer losses."))
    assert.same({}, quotes(book, "Hello.", "We suffer losses."))
  end)

  it("reads an answer in the light of the question", function()
    local form = {
      topics = { rain = { "rain" } },
      dimensions = {
        {
          name = "pain",
          confirms = { { claim = "Daily", after = "rain", "every day" } },
          answers = {
            { asks = { "do you struggle" }, yes = "Struggles", no = "Does not struggle" },
          },
        },
      },
    }
    local book = playbook.compile("mine", form)
    assert.same({ "+Every day." }, quotes(book, "Every day.", "How often does it rain?"))
    assert.same({}, quotes(book, "Every day.", "How often do you ship?"))
    assert.same(
      { "+Yes, that's correct." },
      quotes(book, "Yes, that's correct.", "Do you struggle with it?")
    )
    assert.same({ "-Not really." }, quotes(book, "Not really.", "Do you struggle with it?"))
    assert.same({}, quotes(book, "What do you mean?", "Do you struggle with it?"))
  end)
end)

describe("a cue", function()
  it("knows alternatives, options, gaps, slots and inflections", function()
    for _, phrase in ipairs({
      "we need+ [very] (much|more) * help",
      "budget of <money>",
      "^ no $",
      "don't know",
    }) do
      assert.is_table(cues.compile(phrase))
    end
    assert.is_nil((cues.compile("[only] [optional]")))
    assert.is_nil((cues.compile("a|b")))
  end)
end)
