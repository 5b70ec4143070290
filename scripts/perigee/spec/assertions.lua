-- `assert` as specs know it from luassert: assert(v), assert.equal(expected, actual), assert.are_not.same(…),
-- assert.has_error(fn, message), assert.spy(s).was_called(2). A failure is raised as a table of its own.

local check = require("perigee.check")
local errors = require("perigee.errors")
local format = require("perigee.spec.format")
local schema = require("perigee.schema")
local spies = require("perigee.spec.spies")

local assertions = {}

local Failure = {}
Failure.__index = Failure
Failure.__tostring = function(self)
  return self.message
end

---Was this raised by an assertion?
---@param caught any
---@return boolean
function assertions.is_failure(caught)
  return type(caught) == "table" and getmetatable(caught) == Failure
end

---Fail the running test at the line of whoever asserts.
---@param message string
function assertions.fail(message)
  local path, line = check.where()
  error(setmetatable({ message = message, path = path, line = line }, Failure), 0)
end

-- Each takes the arguments of the assertion and answers: does it hold; what to say when it should and does
-- not; what to say when it should not and does (text, or a function that makes it); and which argument is
-- the author's own message.
local tests = {}

local show = format.show

local function says(text, label, value, other_label, other)
  return function()
    local message = text .. "\n" .. label .. ":\n" .. show(value)
    if other_label then
      message = message .. "\n" .. other_label .. ":\n" .. show(other)
    end
    return message
  end
end

local function wants(text, actual, expected)
  return says(text, "Passed in", actual, "Expected", expected)
end

function tests.equal(expected, actual)
  return expected == actual, wants("Expected objects to be equal.", actual, expected),
    says("Expected objects to not be equal.", "Did not expect", expected), 3
end

function tests.same(expected, actual)
  local found = format.differences(expected, actual)
  local head = "Expected objects to be the same."
  if #found > 0 and type(expected) == "table" and type(actual) == "table" then
    head = head .. "\nDifferences (" .. #found .. "):\n" .. format.list(found)
  end
  return #found == 0, wants(head, actual, expected),
    says("Expected objects to not be the same.", "Did not expect", expected), 3
end

local function value_test(text, holds)
  return function(value)
    return holds(value), says("Expected " .. text .. ".", "Passed in", value),
      says("Expected anything but " .. text .. ".", "Passed in", value), 2
  end
end

tests.truthy = value_test("something truthy", function(value)
  return value and true or false
end)
tests.falsy = value_test("something falsy", function(value)
  return not value
end)
tests["true"] = value_test("true", function(value)
  return value == true
end)
tests["false"] = value_test("false", function(value)
  return value == false
end)
tests["nil"] = value_test("nil", function(value)
  return value == nil
end)
local TYPES = { "boolean", "number", "string", "table", "function", "thread", "userdata" }
for _, name in ipairs(TYPES) do
  tests[name] = value_test("a " .. name, function(value)
    return type(value) == name
  end)
end

-- An argument of the assertion itself is wrong: that is an error of the spec, not a failure.
local function must_be(name, which, value, expected)
  if type(value) ~= expected then
    local got = check.describe(value)
    check.fail("assert." .. name .. ": " .. which .. " must be a " .. expected .. ", got " .. got)
  end
end

function tests.near(expected, actual, tolerance)
  must_be("near", "expected", expected, "number")
  must_be("near", "tolerance", tolerance, "number")
  local holds = type(actual) == "number" and math.abs(expected - actual) <= tolerance
  local range = show(expected) .. " +/- " .. show(tolerance)
  return holds, says("Expected a value near " .. range .. ".", "Passed in", actual),
    says("Expected no value near " .. range .. ".", "Passed in", actual), 4
end

function tests.matches(pattern, actual, init, plain)
  must_be("matches", "pattern", pattern, "string")
  local is_text = type(actual) == "string" or type(actual) == "number"
  local holds = is_text and string.find(tostring(actual), pattern, init, plain) ~= nil
  return holds, wants("Expected strings to match.", actual, pattern),
    wants("Expected strings not to match.", actual, pattern), 5
end

local function has_twins(list, deep)
  for i, a in ipairs(list) do
    for j = i + 1, #list do
      if a == list[j] or (deep and #format.differences(a, list[j]) == 0) then
        return true
      end
    end
  end
  return false
end

function tests.unique(list, deep)
  must_be("unique", "list", list, "table")
  return not has_twins(list, deep), says("Expected all items to differ.", "Passed in", list),
    says("Expected two items to be the same.", "Passed in", list), 3
end

local function without_position(text)
  return (string.gsub(text, "^[^\n]-:%d+: ", ""))
end

local function is_error(caught, expected)
  if type(expected) == "string" and type(caught) ~= "string" then
    return errors.message(caught) == expected
  end
  if type(expected) == "string" then
    return caught == expected or without_position(caught) == expected
  end
  return #format.differences(expected, caught) == 0
end

local function protected(name, fn)
  if not spies.is_spy(fn) then
    must_be(name, "the first argument", fn, "function")
  end
  return pcall(fn)
end

function tests.error(fn, expected)
  local ok, caught = protected("error", fn)
  if ok then
    local wanted = expected ~= nil and "\nExpected:\n" .. show(expected) or ""
    return false, "Expected an error, but there was none." .. wanted, "", 3
  end
  local unwanted = "Expected no error, but caught:\n" .. errors.message(caught)
  local holds = expected == nil or is_error(caught, expected)
  local text = "Expected a different error."
  return holds, says(text, "Caught", caught, "Expected", expected), unwanted, 3
end

function tests.error_matches(fn, pattern, init, plain)
  must_be("error_matches", "pattern", pattern, "string")
  local ok, caught = protected("error_matches", fn)
  if ok then
    return false, "Expected an error matching:\n" .. pattern .. "\nbut there was none.", "", 5
  end
  local message = errors.message(caught)
  local holds = string.find(message, pattern, init, plain) ~= nil
  local text = "\nCaught:\n" .. message .. "\nPattern:\n" .. pattern
  return holds, "Expected an error that matches." .. text,
    "Expected an error that does not match." .. text, 5
end

-- Perigee's own: the code of an error, and the form of a value.
function tests.error_code(fn, code)
  must_be("error_code", "code", code, "string")
  local ok, caught = protected("error_code", fn)
  if ok then
    return false, "Expected the error " .. code .. ", but there was none.", "", 3
  end
  local got = errors.code(caught)
  local text = tostring(got) .. ": " .. errors.message(caught)
  return got == code, "Expected the error " .. code .. ", but caught " .. text,
    "Did not expect the error " .. text, 3
end

function tests.fits(short, value)
  local ok, found = schema.check(short, value)
  local lines = { "Expected the value to fit its schema." }
  for _, one in ipairs(found or {}) do
    lines[#lines + 1] = "  " .. (one.pointer == "" and "it" or one.pointer) .. " " .. one.message
  end
  return ok == true, says(table.concat(lines, "\n"), "Passed in", value),
    says("Expected the value not to fit the schema.", "Passed in", value), 3
end

-- These take the spy from `assert.spy(s)`.
local spy_tests = {}

local function count_test(text, holds)
  return function(spied, times)
    local count = #spied.calls
    local wanted = times and times .. " time(s)" or "at all"
    local rest = text .. wanted .. ", but was called " .. count .. " time(s)"
    return holds(count, times), "Expected to be called " .. rest,
      "Expected not to be called " .. rest, 2
  end
end

spy_tests.called = count_test("", function(count, times)
  if times == nil then
    return count > 0
  end
  return count == times
end)
spy_tests.called_at_least = count_test("at least ", function(count, times)
  return count >= times
end)
spy_tests.called_at_most = count_test("at most ", function(count, times)
  return count <= times
end)

function spy_tests.called_with(spied, ...)
  local last = spied.calls[#spied.calls]
  local wanted = { ... }
  return spied:was_called_with(...),
    says("Never called with these arguments.", "Last call", last and last.vals, "Expected", wanted),
    says("Called with these arguments.", "Did not expect", wanted), nil
end

local synonyms = {
  eq = "equal", equals = "equal", errors = "error", error_match = "error_matches", fit = "fits",
  match = "matches", match_error = "error_matches", matches_error = "error_matches",
}
local modifiers = {
  is = true, are = true, was = true, has = true, does = true, be = true, to = true, message = true,
  spy = true, stub = true,
}
local negations = { ["not"] = true, no = true }

local function perform(state, name, ...)
  local holds, positive, negative, at
  if spy_tests[name] then
    if not spies.is_spy(state.subject) then
      local got = check.describe(state.subject)
      check.fail("assert.spy(s)." .. name .. ": s must be a spy, got " .. got)
    end
    holds, positive, negative, at = spy_tests[name](state.subject, ...)
  else
    holds, positive, negative, at = tests[name](...)
  end
  if state.negated then
    holds, positive = not holds, negative
  end
  if not holds then
    local custom = state.message
    if custom == nil and at ~= nil then
      custom = (select(at, ...))
    end
    local text = type(positive) == "function" and positive() or positive
    assertions.fail(custom ~= nil and tostring(custom) .. "\n" .. text or text)
  end
  return ...
end

-- Words are read from the left: modifiers and "not" change the state, the rest is an assertion's name.
local function read(state, key)
  local rest = string.lower(key)
  while rest ~= "" do
    local name = synonyms[rest] or rest
    if tests[name] or spy_tests[name] then
      state.name = name
      return state
    end
    local word, after = string.match(rest, "^([^_]+)_?(.*)$")
    if negations[word] then
      state.negated = not state.negated
    elseif modifiers[word] then
      state.modifier = word
    else
      check.fail("assert." .. key .. ": " .. check.unknown("assertion", rest, check.keys(tests)))
    end
    rest = after
  end
  return state
end

local function copy(state)
  return {
    message = state.message,
    modifier = state.modifier,
    negated = state.negated,
    subject = state.subject,
  }
end

-- A link of the chain: index it to go on, call it to assert.
local function link(state)
  return setmetatable({}, {
    __index = function(_, key)
      return link(read(copy(state), key))
    end,
    __call = function(_, ...)
      if state.name then
        return perform(state, state.name, ...)
      end
      local after = copy(state)
      if state.modifier == "message" then
        after.message = (...)
      elseif state.modifier == "spy" or state.modifier == "stub" then
        after.subject = (...)
      else
        check.fail("assert: this chain ends without an assertion; write assert.is_true(…), say")
      end
      return link(after)
    end,
  })
end

---The callable table that specs know as `assert`.
---@return table
function assertions.make()
  return setmetatable({}, {
    __index = function(_, key)
      return link(read({}, key))
    end,
    __call = function(_, value, message, ...)
      if not value then
        local text = message
        if text == nil then
          text = "assertion failed!"
        elseif type(text) == "table" then
          error(text, 0)
        end
        assertions.fail(tostring(text))
      end
      return value, message, ...
    end,
  })
end

return assertions
