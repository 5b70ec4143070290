local agent = require("perigee.agent")
local registry = require("perigee.registry")

local function nothing()
  return {}
end

local function names(prefix)
  return prefix .. "_" .. string.gsub(testing.id(), "%W", "_")
end

-- The message of a declaration that is wrong.
local function refused(declared, name)
  local ok, caught = pcall(function()
    agent(name or names("wrong"))(declared)
  end)
  assert.is_false(ok)
  assert.matches("^tests/lua/agent_spec.lua:%d+: agent ", caught)
  return caught
end

describe("agent", function()
  it("registers what the manifest says", function()
    local name = names("full")
    agent(name)({
      title = "Full",
      backup = "other",
      kinds = { [name] = { title = "Things", index = { "account" }, schema = { account = "id" } } },
      capabilities = {
        read = {
          title = "Read", input = { deal = "id" }, output = { ok = "boolean" }, run = nothing,
        },
        plain = { run = nothing },
      },
      on = { ["email.received"] = "read" },
      schedule = { { every = "day 07:00", capability = "plain" } },
    })
    local manifest = registry.manifest()
    local made = manifest.agents[name]
    assert.equal("Full", made.title)
    assert.equal("other", made.backup)
    assert.equal("plain", made.capabilities.plain.title)
    assert.equal("object", made.capabilities.plain.input.type)
    assert.same({}, made.capabilities.plain.output)
    assert.same({ "deal" }, made.capabilities.read.input.required)
    assert.same({ ["email.received"] = "read" }, made.on)
    assert.matches("agent_spec.lua:%d+$", made.schedule[1].at)
    made.schedule[1].at = nil
    assert.same({ { every = "day 07:00", capability = "plain", name = "1" } }, made.schedule)
    assert.same({ "account" }, manifest.kinds[name].index)
    assert.equal("Things", manifest.kinds[name].title)
  end)

  it("is called through the registry", function()
    local name = names("called")
    agent(name)({ capabilities = { double = { input = { n = "integer" }, run = function(input)
      return { n = input.n * 2 }
    end } } })
    assert.same({ n = 6 }, registry.call(name, "double", { n = 3 }))
    assert.error_code(function()
      registry.call("nobody_" .. name, "double", {})
    end, "agent.unknown")
    local ok, caught = pcall(registry.call, name, "doubel", {})
    assert.is_false(ok)
    assert.equal("capability.unknown", caught.code)
    assert.matches('did you mean "double"', caught.message, nil, true)
  end)

  it("is declared once", function()
    local name = names("twice")
    agent(name)({ capabilities = { a = { run = nothing } } })
    local message = refused({ capabilities = { a = { run = nothing } } }, name)
    local text = 'agent "' .. name .. '" is declared twice (tests/lua/agent_spec.lua:'
    assert.matches(text, message, nil, true)
  end)

  it("needs a proper name", function()
    assert.matches('lower%-case letters, digits and _, got "Sales"', refused({}, "Sales"))
    assert.matches("got 3", refused({}, 3))
  end)

  local read = { read = { run = nothing } }
  local wrong = {
    ["must be a table"] = { nil, 'write it as agent "name" { … }; got nil' },
    ["no capability"] = { {}, "capabilities: an agent needs at least one" },
    ["unknown key"] = {
      { titel = "x", capabilities = { a = { run = nothing } } },
      'unknown key "titel"; did you mean "title"?',
    },
    ["capability without run"] = {
      { capabilities = { read = { title = "Read" } } }, "capabilities.read: has no run",
    },
    ["run is no function"] = {
      { capabilities = { read = { run = "x" } } },
      'capabilities.read.run: must be a function, got "x"',
    },
    ["unknown key of a capability"] = {
      { capabilities = { read = { run = nothing, inputs = {} } } },
      'capabilities.read: unknown key "inputs"; did you mean "input"?',
    },
    ["unknown type"] = {
      { capabilities = { read = { run = nothing, input = { deal = "idd" } } } },
      'capabilities.read.input.deal: unknown type "idd"; did you mean "id"?',
    },
    ["on with an unknown capability"] = {
      { capabilities = read, on = { ["email.received"] = "raed" } },
      'on["email.received"]: unknown capability "raed"',
    },
    ["on with an unknown capability in a table"] = {
      { capabilities = read, on = { ["email.received"] = { capability = "raed" } } },
      'on["email.received"].capability: unknown capability "raed"',
    },
    ["on with an unknown key"] = {
      { capabilities = read, on = { ["email.received"] = { capability = "read", retry = 1 } } },
      'on["email.received"]: unknown key "retry"',
    },
    ["on with half a retry"] = {
      { capabilities = read, on = { ["email.received"] = { capability = "read", retries = 0.5 } } },
      'on["email.received"].retries: must be a whole number from 0 to 100, got 0.5',
    },
    ["on with a bad event"] = {
      { capabilities = read, on = { Email = "read" } },
      'an event type looks like "email.received", got "Email"',
    },
    ["bad every"] = {
      { capabilities = read, schedule = { { every = "noon", capability = "read" } } },
      'schedule[1].every: must be "5 minutes", "30s"',
    },
    ["bad cron"] = {
      { capabilities = read, schedule = { { cron = "0 25 * * *", capability = "read" } } },
      'schedule[1].cron: hour "25" must be',
    },
    ["cron of four fields"] = {
      { capabilities = read, schedule = { { cron = "0 7 * *", capability = "read" } } },
      "schedule[1].cron: must be five fields",
    },
    ["both every and cron"] = {
      { capabilities = read, schedule = { { cron = "0 7 * * *", every = "1h", capability = "read" } } },
      "schedule[1]: give either every or cron",
    },
    ["bad catch_up"] = {
      { capabilities = read, schedule = { { every = "1h", capability = "read", catch_up = "some" } } },
      'schedule[1].catch_up: must be "none" or "last" or "all", got "some"',
    },
    ["two schedules of one name"] = {
      {
        capabilities = read,
        schedule = {
          { name = "a", every = "1h", capability = "read" },
          { name = "a", every = "2h", capability = "read" },
        },
      },
      'schedule[2].name: two schedules of read are called "a"',
    },
    ["accepts without a version"] = {
      { capabilities = read, accepts = { ["deal.won"] = { schema = {}, capability = "read" } } },
      'accepts["deal.won"].version: must be an integer from 1 on, got nil',
    },
    ["accepts with an unknown capability"] = {
      { capabilities = read, accepts = { ["deal.won"] = { version = 1, schema = {}, capability = "raed" } } },
      'accepts["deal.won"].capability: unknown capability "raed"; did you mean "read"?',
    },
    ["schedule of an unknown capability"] = {
      { capabilities = read, schedule = { { every = "1h", capability = "x" } } },
      'schedule[1].capability: unknown capability "x"',
    },
    ["schedule that is no list"] = {
      { capabilities = read, schedule = { every = "1h", capability = "read" } },
      "schedule: must be a list",
    },
    ["index that is no list"] = {
      { capabilities = read, kinds = { deal = { index = { account = true } } } },
      "kinds.deal.index: must be a list of field names",
    },
    ["the host's kind"] = {
      { capabilities = read, kinds = { source = {} } },
      'kinds.source: kind "source" is the host\'s own',
    },
  }
  for what, case in pairs(wrong) do
    it("refuses: " .. what, function()
      assert.matches(case[2], refused(case[1]), nil, true)
    end)
  end

  it("tells all faults at once", function()
    local message = refused({ titel = "x", capabilities = { a = {}, b = { run = 1 } } })
    assert.matches("titel", message)
    assert.matches("capabilities.a: has no run", message)
    assert.matches("capabilities.b.run", message)
  end)

  it("shares a kind with another agent that declares it alike", function()
    local kind = names("kind")
    local function declare(index)
      return { capabilities = { a = { run = nothing } }, kinds = { [kind] = { index = index } } }
    end
    agent(names("one"))(declare({ "account" }))
    agent(names("two"))(declare({ "account" }))
    assert.matches("declares this kind differently", refused(declare({ "owner" })))
  end)

  it("understands these schedules and no others", function()
    local declaration = require("perigee.declaration")
    local good = { "30s", "15m", "2h", "1d", "minute", "hour", "day 00:00", "monday 23:59",
      "5 minutes", "1 day", "month 31 06:00" }
    for _, every in ipairs(good) do
      assert.message(every).is_true(declaration.is_schedule(every))
    end
    local bad = { "", "0s", "1w", "day", "day 24:00", "day 7:00", "someday 07:00", 5,
      "month 32 06:00", "month 06:00", "5 ms", "367d", "5 s" }
    for _, every in ipairs(bad) do
      assert.message(tostring(every)).is_false(declaration.is_schedule(every))
    end
  end)
end)

describe("playbooks", function()
  it("are found again by name", function()
    local name = names("book")
    local book = {}
    registry.add_playbook(name, { title = "Book", dimensions = { "need" } }, book)
    local by_name, list = registry.playbooks()
    assert.equal(book, by_name[name])
    local found = false
    for _, one in ipairs(list) do
      found = found or one == name
    end
    assert.is_true(found)
    local manifest = registry.manifest().playbooks[name]
    assert.same({ "need" }, manifest.dimensions)
    assert.error_matches(function()
      registry.add_playbook(name, { dimensions = {} }, book)
    end, "agent_spec.lua:%d+: playbook .* is declared twice")
  end)
end)
