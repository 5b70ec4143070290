-- sales.follow: a run that lives as long as the deal, in virtual time.

local evidence = require("perigee.evidence")
local run = require("perigee.run")

local function message(text, side)
  return { from = side == "seller" and "Sam Seller" or "Bea Buyer", side = side or "customer", text = text }
end

local function follow(input)
  input.deal = testing.id("follow")
  return testing.spawn("sales.follow", input), input.deal
end

describe("sales.follow", function()
  it("reads a message when it comes and ends when it is told to", function()
    local id, deal = follow({ silent_ms = 1000 })
    run.signal(id, "message", message("Our budget for this was frozen yesterday, I'm afraid."))
    run.signal(id, "message", { stop = true })
    local ended = run.join(id)
    assert.equal("succeeded", ended.status)
    assert.equal("stopped", ended.output.outcome)
    assert.equal(1, ended.output.messages)
    assert.equal("budget", ended.output.blocker)
    assert.is_true(#evidence.list(deal, { playbook = "bant" }) > 0)
  end)

  it("asks a person after silence, and lets nothing leave without one", function()
    local before = #testing.calls("events.emit")
    local id = follow({ silent_ms = 1000, messages = { message("We need this because our press keeps breaking.") } })
    local ended = run.join(id)
    assert.equal("succeeded", ended.status)
    assert.equal("not_approved", ended.output.outcome)
    assert.equal(1, ended.output.touches)
    assert.equal(before, #testing.calls("events.emit"))
  end)

  it("goes on from a message that came while nobody was there", function()
    local id = follow({ silent_ms = 7 * 24 * 3600 * 1000 })
    testing.advance(3 * 24 * 3600 * 1000)
    run.signal(id, "message", message("I have the final say on this purchase."))
    testing.advance(24 * 3600 * 1000)
    run.signal(id, "message", { stop = true })
    local ended = run.join(id)
    assert.equal("stopped", ended.output.outcome)
    assert.equal(1, ended.output.messages)
  end)

  it("passes over a signal of another shape", function()
    local id = follow({ silent_ms = 1000 })
    run.signal(id, "message", { txt = "We have no budget." })
    run.signal(id, "message", { text = "We have no budget.", at = "yesterday" })
    run.signal(id, "message", { stop = true })
    local ended = run.join(id)
    assert.equal("stopped", ended.output.outcome)
    assert.equal(0, ended.output.messages)
  end)
end)
