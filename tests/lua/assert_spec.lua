-- What `assert` does in specs, in all its spellings.

local json = require("perigee.json")

-- The message of an assertion that fails; nil when it holds.
local function message(fn)
  local ok, caught = pcall(fn)
  if ok then
    return nil
  end
  return tostring(caught)
end

local function holds(fn)
  assert.is_nil(message(fn))
end

local function fails(fn, text)
  local got = message(fn)
  assert.is_not_nil(got)
  if text then
    assert.matches(text, got, nil, true)
  end
end

describe("assert", function()
  it("is still Lua's assert", function()
    assert.equal(5, assert(5))
    assert.same({ 1, "m" }, { assert(1, "m") })
    fails(function() assert(false, "reason") end, "reason")
    fails(function() assert(nil) end, "assertion failed!")
    assert.error_code(function() assert(nil, { code = "a.b", message = "m" }) end, "a.b")
  end)

  it("compares", function()
    holds(function() assert.equal(1, 1) end)
    holds(function() assert.are.equal("a", "a") end)
    holds(function() assert.equals(1, 1) end)
    holds(function() assert.are_not.equal({}, {}) end)
    holds(function() assert.is_not.equal(1, 2) end)
    holds(function() assert.not_equal(1, 2) end)
    fails(function() assert.equal(1, 2) end, "Passed in:\n2\nExpected:\n1")
    fails(function() assert.are_not.equal(1, 1) end, "Did not expect:\n1")
  end)

  it("compares in depth and says where", function()
    holds(function() assert.same({ a = { 1, 2 } }, { a = { 1, 2 } }) end)
    holds(function() assert.are.same(json.array(), {}) end)
    holds(function() assert.are_not.same({ 1 }, { 2 }) end)
    local function differ()
      assert.same({ a = { b = 1 }, c = "x" }, { a = { b = 2 }, d = true })
    end
    fails(differ, "Differences (3):")
    fails(differ, ".a.b: expected 1, got 2")
    fails(differ, '.c: expected "x", got nil')
    fails(differ, ".d: expected nil, got true")
    fails(function() assert.same(1, "1") end, 'Passed in:\n"1"\nExpected:\n1')
    fails(function() assert.same({ json.null }, { {} }) end, "expected null, got {}")
  end)

  it("compares tables that hold themselves", function()
    local a, b = {}, {}
    a.me, b.me = a, b
    holds(function() assert.same(a, b) end)
    b.x = 1
    fails(function() assert.same(a, b) end, ".x: expected nil, got 1")
  end)

  it("knows types and truth", function()
    holds(function() assert.is_true(true) end)
    holds(function() assert.is.True(true) end)
    holds(function() assert.is_false(false) end)
    holds(function() assert.is_nil(nil) end)
    holds(function() assert.is_not_nil(1) end)
    holds(function() assert.truthy(1) end)
    holds(function() assert.is_truthy("") end)
    holds(function() assert.falsy(nil) end)
    holds(function() assert.is_table({}) end)
    holds(function() assert.is.string("") end)
    holds(function() assert.is_number(1) end)
    holds(function() assert.is_function(print or pcall) end)
    holds(function() assert.is_not.string(1) end)
    fails(function() assert.is_true(1) end, "Expected true.\nPassed in:\n1")
    fails(function() assert.is_not_nil(nil) end)
    fails(function() assert.is_table("x") end)
  end)

  it("compares numbers and text", function()
    holds(function() assert.near(1, 1.05, 0.1) end)
    holds(function() assert.is_not.near(1, 2, 0.1) end)
    fails(function() assert.near(1, 1.2, 0.1) end, "near 1 +/- 0.1")
    fails(function() assert.near(1, nil, 0.1) end)
    holds(function() assert.matches("^a%d$", "a1") end)
    holds(function() assert.matches("a.", "a.", nil, true) end)
    holds(function() assert.has_no.match("b", "a") end)
    fails(function() assert.matches("b", "a") end, "Expected strings to match")
    fails(function() assert.matches("b", nil) end)
    holds(function() assert.is_unique({ 1, 2 }) end)
    fails(function() assert.is_unique({ 1, 1 }) end)
    fails(function() assert.unique({ { 1 }, { 1 } }, true) end)
  end)

  it("catches errors", function()
    local function raise() error("mine") end
    local function raise_table() error({ code = "a.b", message = "m" }) end
    local function quiet() end
    holds(function() assert.has_error(raise) end)
    holds(function() assert.has_error(raise, "mine") end)
    holds(function() assert.has.errors(raise) end)
    holds(function() assert.has_error(raise_table, { code = "a.b", message = "m" }) end)
    holds(function() assert.has_error(raise_table, "m") end)
    holds(function() assert.has_no.errors(quiet) end)
    holds(function() assert.error_matches(raise, "^.-:%d+: mine$") end)
    holds(function() assert.error_code(raise_table, "a.b") end)
    fails(function() assert.has_error(quiet) end, "there was none")
    fails(function() assert.has_error(raise, "yours") end, "Expected a different error")
    fails(function() assert.has_no.errors(raise) end, "mine")
    fails(function() assert.error_code(raise, "a.b") end, "caught nil: ")
    fails(function() assert.has_error(5) end, "must be a function, got 5")
  end)

  it("checks values against schemas", function()
    holds(function() assert.fits({ a = "string" }, { a = "x" }) end)
    fails(function() assert.fits({ a = "string" }, { a = 1 }) end, "/a expected string, got number")
  end)

  it("shows the author's own words first", function()
    fails(function() assert.equal(1, 2, "of the deal") end, "of the deal\nExpected objects")
    fails(function() assert.is_true(false, "of the deal") end, "of the deal")
    fails(function() assert.message("of the deal").is_true(false) end, "of the deal")
  end)

  it("returns what it was given", function()
    assert.equal("x", assert.is_string("x"))
  end)

  it("names an assertion that it does not know", function()
    fails(function() assert.is_tru(1) end, 'unknown assertion "tru"; did you mean "true"')
    fails(function() assert.is(1) end, "ends without an assertion")
  end)

  it("fails at the line of the assertion", function()
    local ok, caught = pcall(function() assert.is_true(false) end)
    assert.is_false(ok)
    assert.equal("tests/lua/assert_spec.lua", caught.path)
    assert.is_number(caught.line)
  end)
end)

describe("spies", function()
  local target = {}
  function target.double(n) return n * 2 end
  local original = target.double

  it("watch", function()
    local watched = spy.on(target, "double")
    assert.equal(4, target.double(2))
    assert.spy(watched).was_called()
    assert.spy(watched).was.called(1)
    assert.spy(watched).was_called_with(2)
    assert.spy(watched).was_not_called_with(3)
    assert.spy(target.double).called_at_least(1)
    fails(function() assert.spy(watched).was_called(2) end, "2 time(s), but was called 1 time(s)")
    fails(function() assert.spy(5).was_called() end, "s must be a spy, got 5")
    watched:clear()
    assert.spy(watched).was_not_called()
  end)

  it("are taken back when the test ends", function()
    assert.equal(original, target.double)
    local replaced = stub(target, "double", 7)
    assert.equal(7, target.double(1))
    replaced.returns(8)
    assert.equal(8, target.double(1))
    assert.stub(replaced).was_called(2)
    replaced:revert()
    assert.equal(original, target.double)
    local free = spy.new(function() return 1 end)
    assert.equal(1, free())
    mock(target, true)
    assert.is_nil(target.double(1))
  end)
end)
