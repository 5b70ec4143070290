-- Spies and stubs as in luassert. Those that stand in somebody's table are taken back when the test ends.

local check = require("perigee.check")
local format = require("perigee.spec.format")

local spies = {}

local Spy = {}
Spy.__index = Spy

local standing = {}

local function pack(...)
  return { n = select("#", ...), ... }
end

function Spy:__call(...)
  self.calls[#self.calls + 1] = { vals = pack(...) }
  local call = self.calls[#self.calls]
  local results = pack(self.callback(...))
  call.returned = results
  return unpack(results, 1, results.n)
end

---Give the function back to the table it came from.
function Spy:revert()
  if self.target then
    self.target[self.key] = self.original
    self.target = nil
  end
end

---Forget the calls so far.
function Spy:clear()
  self.calls = {}
end

local function same_arguments(wanted, got)
  for i = 1, math.max(wanted.n, got.n) do
    if #format.differences(wanted[i], got[i]) > 0 then
      return false
    end
  end
  return true
end

---@return boolean called with these arguments at least once
function Spy:was_called_with(...)
  local wanted = pack(...)
  for _, call in ipairs(self.calls) do
    if same_arguments(wanted, call.vals) then
      return true
    end
  end
  return false
end

---@param value any
---@return boolean
function spies.is_spy(value)
  return type(value) == "table" and getmetatable(value) == Spy
end

local spy = {}

---@param callback? function
function spy.new(callback)
  return setmetatable({ calls = {}, callback = callback or function() end }, Spy)
end

local function stand_in(target, key, made)
  check.type("spy.on", "target", target, "table")
  made.target, made.key, made.original = target, key, target[key]
  target[key] = made
  standing[#standing + 1] = made
  return made
end

---Watch a function of a table; it still does what it did.
---@param target table
---@param key string
function spy.on(target, key)
  return stand_in(target, key, spy.new(target[key]))
end

spies.spy = setmetatable(spy, {
  __call = function(_, ...)
    return spy.new(...)
  end,
})

local stub = {}

---Replace a function of a table. What it does is a function, or the values to return.
---@param target table
---@param key string
function stub.new(target, key, ...)
  local answers = pack(...)
  local callback = function()
    return unpack(answers, 1, answers.n)
  end
  if answers.n == 1 and type(answers[1]) == "function" then
    callback = answers[1]
  end
  local made = spy.new(callback)
  made.returns = function(...)
    local values = pack(...)
    made.callback = function()
      return unpack(values, 1, values.n)
    end
    return made
  end
  return stand_in(target, key, made)
end

spies.stub = setmetatable(stub, {
  __call = function(_, ...)
    return stub.new(...)
  end,
})

---Spy on every function of a table, or stub them all.
---@param target table
---@param stubbed? boolean
---@return table target
function spies.mock(target, stubbed)
  for _, key in ipairs(check.keys(target)) do
    if type(target[key]) == "function" then
      local _ = stubbed and stub.new(target, key) or spy.on(target, key)
    end
  end
  return target
end

---Take back everything that stands in for something.
function spies.revert()
  for i = #standing, 1, -1 do
    standing[i]:revert()
    standing[i] = nil
  end
end

return spies
