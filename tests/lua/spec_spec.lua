-- The spec runner, run by itself.

local agent = require("perigee.agent")
local errors = require("perigee.errors")
local runner = require("perigee.spec")

local function inner(body, filter)
  return runner.run("inner", body, filter)
end

local function statuses(result)
  local list = {}
  for i, one in ipairs(result.tests) do
    list[i] = one.name .. ": " .. one.status
  end
  return list
end

describe("the runner", function()
  it("counts and names", function()
    local result = inner(function()
      describe("a", function()
        it("passes", function() end)
        it("fails", function()
          assert.equal(1, 2)
        end)
        context("b", function()
          test("breaks", function()
            local nothing = nil
            return nothing.field
          end)
        end)
        it("is to be written")
        pending("is to be written, too")
        it("gives up", function()
          pending("later")
        end)
      end)
    end)
    assert.same({
      "a passes: passed", "a fails: failed", "a b breaks: error", "a is to be written: pending",
      "a is to be written, too: pending", "a gives up: pending",
    }, statuses(result))
    assert.same({ 1, 1, 1, 3 }, { result.passed, result.failed, result.errors, result.pending })
    local failed, broken = result.tests[2], result.tests[3]
    assert.equal("tests/lua/spec_spec.lua", failed.path)
    assert.is_number(failed.line)
    assert.matches("Expected objects to be equal", failed.message)
    assert.matches("^tests/lua/spec_spec.lua:%d+: .*nothing", broken.message)
    assert.matches("tests/lua/spec_spec.lua:%d+", broken.traceback)
    assert.equal("later", result.tests[6].message)
  end)

  it("runs hooks from outside in and back", function()
    local order = {}
    local function note(name)
      return function()
        order[#order + 1] = name
      end
    end
    inner(function()
      before_each(note("file before"))
      describe("a", function()
        setup(note("a setup"))
        teardown(note("a teardown"))
        before_each(note("a before"))
        after_each(note("a after"))
        it("one", note("one"))
        describe("b", function()
          lazy_setup(note("b setup"))
          before_each(note("b before"))
          after_each(note("b after"))
          it("two", function()
            finally(note("finally"))
            note("two")()
          end)
        end)
      end)
      describe("empty", function()
        setup(note("never"))
      end)
    end)
    assert.same({
      "a setup", "file before", "a before", "one", "a after",
      "b setup", "file before", "a before", "b before", "two", "finally", "b after", "a after",
      "a teardown",
    }, order)
  end)

  it("cleans up after a failure", function()
    local cleaned = 0
    local result = inner(function()
      after_each(function()
        cleaned = cleaned + 1
      end)
      it("fails", function()
        assert.is_true(false)
      end)
      it("breaks", function()
        error("no")
      end)
    end)
    assert.equal(2, cleaned)
    assert.same({ 1, 1 }, { result.failed, result.errors })
  end)

  it("reports every test of a block whose setup fails", function()
    local result = inner(function()
      describe("a", function()
        setup(function()
          error("no database")
        end)
        it("one", function() end)
        it("two", function() end)
      end)
      it("three", function() end)
    end)
    assert.same({ "a one: error", "a two: error", "three: passed" }, statuses(result))
    assert.matches("in setup: .*no database", result.tests[1].message)
  end)

  it("reports a failing teardown and a failing file", function()
    local result = inner(function()
      describe("a", function()
        teardown(function()
          error("stuck")
        end)
        it("one", function() end)
      end)
    end)
    assert.same({ "a one: passed", "a teardown: error" }, statuses(result))
    result = inner(function()
      error("broken file")
    end)
    assert.equal(1, result.errors)
    assert.matches("broken file", result.tests[1].message)
  end)

  it("filters by name", function()
    local function body()
      describe("a", function()
        it("one", function() end)
        it("two (2)", function() end)
      end)
    end
    assert.same({ "a one: passed" }, statuses(inner(body, "^a one$")))
    assert.same({ "a two (2): passed" }, statuses(inner(body, "two (2)")))
    assert.same({}, statuses(inner(body, "three")))
  end)

  it("says when its words stand in the wrong place", function()
    assert.error_matches(function()
      it("inside", function() end)
    end, "spec_spec.lua:%d+: it: not inside a test")
    assert.error_matches(function()
      describe("inside", function() end)
    end, "describe: not inside a test")
    local result = inner(function()
      describe("no body")
    end)
    assert.matches('describe "no body": needs a function, got nil', result.tests[1].message)
  end)

  it("shows the code of an error that has one", function()
    local result = inner(function()
      it("raises", function()
        errors.raise("deal.closed", "deal d is closed")
      end)
    end)
    assert.equal("deal.closed: deal d is closed", result.tests[1].message)
  end)
end)

describe("testing", function()
  local name = "spec_" .. string.gsub(testing.id(), "%W", "_")

  setup(function()
    agent(name)({
      capabilities = {
        greet = {
          input = { who = "string" },
          output = { text = "string", list = { "string" } },
          run = function(input)
            return { text = input.who ~= "nobody" and "hello " .. input.who or nil, list = {} }
          end,
        },
      },
    })
  end)

  it("calls a capability with both schemas checked", function()
    local target = name .. ".greet"
    assert.equal("hello Ann", testing.call(target, { who = "Ann" }).text)
    local ok, caught = pcall(testing.call, target, { who = 5 })
    assert.is_false(ok)
    assert.equal("input.invalid", caught.code)
    assert.same({ { pointer = "/who", message = "expected string, got number 5" } }, caught.errors)
    assert.error_code(function()
      testing.call(target, { who = "nobody" })
    end, "output.invalid")
    assert.error_matches(function()
      testing.call("greet", {})
    end, 'spec_spec.lua:%d+: testing.call: say which as "agent.capability"')
  end)

  it("fakes effects until the test ends", function()
    local result = inner(function()
      local time = require("perigee.time")
      setup(function()
        testing.fake("time.sleep", {})
      end)
      it("one", function()
        testing.fake("time.sleep", function(args)
          if args.ms == 2 then
            errors.raise("time.broken", "no time")
          end
          return {}
        end)
        time.sleep(1)
        assert.same({ { ms = 1 } }, testing.calls("time.sleep"))
        assert.error_code(function()
          time.sleep(2)
        end, "time.broken")
      end)
      it("two", function()
        time.sleep(2)
        assert.equal(1, #testing.calls("time.sleep"))
      end)
    end)
    assert.same({ "one: passed", "two: passed" }, statuses(result))
    assert.equal(2, result.tests[1].effects)
  end)

  it("says which file is missing", function()
    assert.error_matches(function()
      testing.file("examples/none.json")
    end, "spec_spec.lua:%d+: testing.file: there is no examples/none.json")
  end)

  it("gives ids that differ", function()
    assert.not_equal(testing.id("a"), testing.id("a"))
    assert.matches("^a%-", testing.id("a"))
  end)
end)
