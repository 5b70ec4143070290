local approval = require("perigee.approval")
local errors = require("perigee.errors")
local events = require("perigee.events")
local evidence = require("perigee.evidence")
local json = require("perigee.json")
local log = require("perigee.log")
local records = require("perigee.records")
local run = require("perigee.run")

local KIND = "source_of_spec"

local function thing()
  return { kind = KIND, id = testing.id("thing") }
end

-- A store of one kind, so that these specs need no declared kind.
local function fake_records()
  local bodies, versions = {}, {}
  testing.fake("records.get", function(args)
    local version = versions[args.id]
    if not version then
      return json.null
    end
    return { id = args.id, version = version, run = json.null, body = bodies[args.id] }
  end)
  testing.fake("records.put", function(args)
    local version = versions[args.id] or 0
    if args.version and args.version ~= version then
      errors.raise("records.conflict", "version is " .. version)
    end
    bodies[args.id], versions[args.id] = args.body, version + 1
    return { version = version + 1 }
  end)
  return bodies, versions
end

describe("records", function()
  it("reads nothing as nil and null as nothing", function()
    fake_records()
    local one = thing()
    assert.is_nil(records.get(one.kind, one.id))
    assert.equal(1, records.put(one.kind, one.id, { a = 1 }))
    local record = records.get(one.kind, one.id)
    assert.same({ a = 1 }, record.body)
    assert.is_nil(record.run)
  end)

  it("updates with the version it read", function()
    fake_records()
    local one = thing()
    local body, version = records.update(one.kind, one.id, function(new)
      new.count = 1
    end)
    assert.same({ count = 1 }, body)
    assert.equal(1, version)
    records.update(one.kind, one.id, function(known)
      return { count = known.count + 1 }
    end)
    local puts = testing.calls("records.put")
    assert.same({ 0, 1 }, { puts[1].version, puts[2].version })
    assert.same({ count = 2 }, puts[2].body)
  end)

  it("tries again on a conflict, twenty times at most", function()
    local _, versions = fake_records()
    local one = thing()
    local attempts = 0
    records.update(one.kind, one.id, function(body)
      attempts = attempts + 1
      if attempts < 3 then
        versions[one.id] = attempts
      end
      return body
    end)
    assert.equal(3, attempts)
    attempts = 0
    assert.error_code(function()
      records.update(one.kind, one.id, function(body)
        attempts = attempts + 1
        versions[one.id] = versions[one.id] + 1
        return body
      end)
    end, "records.conflict")
    assert.equal(20, attempts)
  end)

  it("does not hide an error of the function", function()
    fake_records()
    assert.error_matches(function()
      records.update(KIND, "x", function()
        error("mine")
      end)
    end, "mine")
    assert.error_matches(function()
      records.update(KIND, "x", function()
        return 5
      end)
    end, "must return a table or nothing, got 5")
  end)

  it("walks through pages", function()
    testing.fake("records.list", function(args)
      local first = tonumber(args.cursor or "1")
      local items = { { id = "r" .. first, body = {} } }
      return { items = items, next_cursor = first < 3 and tostring(first + 1) or json.null }
    end)
    local _, cursor = records.list(KIND, { limit = 1 })
    assert.equal("2", cursor)
    local ids = {}
    for record in records.each(KIND) do
      ids[#ids + 1] = record.id
    end
    assert.same({ "r1", "r2", "r3" }, ids)
  end)

  it("names the argument that is wrong, at the line of the call", function()
    local wrong = {
      ["records.get: id must be a string that is not empty, got nil"] = function()
        records.get("deal")
      end,
      ["records.put: body must be a table, got 1"] = function()
        records.put("deal", "d", 1)
      end,
      ["records.put: version must be an integer of at least 0, got -1"] = function()
        records.put("deal", "d", {}, -1)
      end,
      ['records.list: unknown option "wher"; did you mean "where"?'] = function()
        records.list("deal", { wher = {} })
      end,
      ["records.update: change must be a function, got nil"] = function()
        records.update("deal", "d")
      end,
    }
    for message, fn in pairs(wrong) do
      local ok, caught = pcall(fn)
      assert.is_false(ok)
      assert.matches("^tests/lua/effects_spec.lua:%d+: ", caught)
      assert.matches(message, caught, nil, true)
    end
  end)
end)

describe("evidence", function()
  it("stores a source once and takes only what stands in it", function()
    local deal = testing.id("deal")
    local text = "Ann: We have 50,000 euros for this."
    local source = evidence.source({ deal = deal, form = "transcript", text = text })
    assert.is_true(source.new)
    assert.is_false(evidence.source({ deal = deal, form = "transcript", text = text }).new)
    local item = {
      playbook = "bant", dimension = "budget", claim = "has_budget", polarity = 1,
      quote = "We have 50,000 euros", source = source.id, start = 5, ["end"] = 25, speaker = "Ann",
      side = "customer", extractor = "spec", confidence_bp = 9000,
    }
    assert.is_true(evidence.add(deal, { item })[1].new)
    assert.is_false(evidence.add(deal, { item })[1].new)
    local found = evidence.list(deal)
    assert.equal(1, #found)
    assert.equal("We have 50,000 euros", found[1].quote)
    assert.is_nil(found[1].said_at)
    assert.same({}, evidence.list(deal, { dimension = "need" }))
    item.start = 6
    local ok, caught = pcall(evidence.add, deal, { item })
    assert.is_false(ok)
    assert.equal("evidence.refused", caught.code)
    assert.matches("^/items/0", caught.errors[1].pointer)
  end)

  it("adds nothing without asking anybody", function()
    assert.same({}, evidence.add("d", {}))
    assert.equal(0, #testing.calls())
  end)

  it("refuses a bad argument", function()
    assert.error_matches(function()
      evidence.source({ deal = "d", form = "transcript", text = "x", speaker = "Ann" })
    end, 'evidence.source: unknown field "speaker"')
    assert.error_matches(function()
      evidence.add("d", { playbook = "bant" })
    end, "items must be a list")
    assert.error_matches(function()
      evidence.add("d", { "text" })
    end, 'items%[1%] must be a table, got "text"')
  end)
end)

describe("events and approval", function()
  it("passes on what it is given", function()
    testing.fake("events.emit", { id = "e1" })
    assert.equal("e1", events.emit("deal.qualified", { deal = "d" }, { subject = "d" }))
    assert.same({ { type = "deal.qualified", data = { deal = "d" }, subject = "d" } },
      testing.calls("events.emit"))
    assert.error_matches(function()
      events.emit("deal.qualified", "d")
    end, "events.emit: data must be a table")
  end)

  it("asks a person", function()
    testing.fake("approval.ask", { id = "a", decision = "approved", note = json.null, by = "me" })
    local answer = approval.ask({ title = "Send it?", timeout_ms = 1000 })
    assert.equal("approved", answer.decision)
    assert.is_nil(answer.note)
    assert.error_matches(function()
      approval.ask({ title = "Send it?", timeout = 5 })
    end, 'approval.ask: unknown field "timeout"; did you mean "timeout_ms"')
  end)
end)

describe("run", function()
  it("knows its id", function()
    assert.is_string(run.id)
    assert.equal(run.id, run.id)
    assert.is_nil(run.nothing)
    assert.not_equal(run.uuid(), run.uuid())
  end)

  it("gives nil when no signal came in time", function()
    testing.fake("run.await", json.null)
    assert.is_nil(run.await("reply", { timeout_ms = 5 }))
    assert.same({ { signal = "reply", timeout_ms = 5 } }, testing.calls("run.await"))
  end)

  it("returns the output of a child, and raises its failure", function()
    testing.fake("run.spawn", { run = "r1" })
    testing.fake("run.join", { status = "succeeded", output = { n = 1 }, error = json.null })
    assert.same({ n = 1 }, run.call("sales", "qualify", {}))
    local cause = { code = "records.conflict", message = "too late" }
    testing.fake("run.join", { status = "failed", output = json.null, error = cause })
    local ok, caught = pcall(run.call, "sales", "qualify", {})
    assert.is_false(ok)
    assert.equal("records.conflict", caught.code)
    assert.equal("r1", caught.run)
    assert.matches("sales.qualify failed: too late", tostring(caught), nil, true)
    assert.is_nil(run.join("r1").output)
  end)

  it("does things side by side, in order", function()
    local results = run.all({
      function()
        testing.advance(20)
        return "slow"
      end,
      function()
        return "quick"
      end,
    })
    assert.same({ "slow", "quick" }, results)
    assert.same({}, run.all({}))
    assert.error_matches(function()
      run.all({ 5 })
    end, "item 1 must be a function, got 5")
  end)
end)

describe("json and log", function()
  it("keeps arrays apart from objects", function()
    assert.equal("[]", json.encode(json.array()))
    assert.equal("{}", json.encode({}))
    assert.is_true(json.is_array(json.decode("[]")))
    assert.is_false(json.is_array(json.decode("{}")))
    assert.is_true(json.is_array({ 1 }))
    assert.equal('{"a":null,"b":[1,2.5]}', json.encode({ b = { 1, 2.5 }, a = json.null }))
    assert.has_error(function()
      json.decode("{")
    end)
    assert.error_matches(function()
      json.object({ 1 })
    end, "keys must be strings")
  end)

  it("writes log lines", function()
    log.info("checked", { count = 1 })
    log.debug("plain")
    assert.error_matches(function()
      log.warn(5)
    end, "^tests/lua/effects_spec.lua:%d+: log.warn: message must be a string, got 5")
    assert.error_matches(function()
      log.error("x", "y")
    end, "fields must be a table")
  end)
end)

describe("errors", function()
  it("carry a code and fields", function()
    local ok, caught = pcall(errors.raise, "deal.closed", "deal d is closed", { deal = "d" })
    assert.is_false(ok)
    assert.equal("deal.closed", errors.code(caught))
    assert.equal("deal d is closed", tostring(caught))
    assert.equal("d", caught.deal)
    assert.is_nil(errors.code("text"))
    assert.equal("text", errors.message("text"))
  end)
end)
