-- What specs have beyond assertions: fakes for effects, calls of capabilities, virtual time, fixtures.
--
--   testing.fake("llm.complete", function(args) return { text = "yes" } end)
--   local output = testing.call("sales.qualify", { deal = "d1" })

local host = require("perigee.host")
local check = require("perigee.check")
local effects = require("perigee.effects")
local errors = require("perigee.errors")
local registry = require("perigee.registry")
local run = require("perigee.run")
local schema = require("perigee.schema")
local time = require("perigee.time")

local testing = {}

-- One scope for the file, one for each block and one for the running test; fakes end with their scope.
local scopes = { { fakes = {}, calls = {} } }

local function fake_of(name)
  for i = #scopes, 1, -1 do
    local fake = scopes[i].fakes[name]
    if fake then
      return fake
    end
  end
end

local function door(name, args)
  local call = { name = name, args = args }
  for _, scope in ipairs(scopes) do
    scope.calls[#scope.calls + 1] = call
  end
  local fake = fake_of(name)
  if fake then
    return fake.answer(args)
  end
  return host.effect(name, args)
end

---For the spec runner: from here on, fakes and calls belong to a new scope.
function testing.enter()
  effects.intercept(door)
  scopes[#scopes + 1] = { fakes = {}, calls = {} }
end

---For the spec runner: end the innermost scope.
---@return integer effects performed in it
function testing.leave()
  local scope = table.remove(scopes)
  return #scope.calls
end

---Answer an effect until the end of the test (or of the block, when called in its `setup`).
---@param name string "records.get"
---@param answer any a function of the arguments, or the value itself
function testing.fake(name, answer)
  check.name("testing.fake", "name", name)
  local fn = answer
  if type(answer) ~= "function" then
    fn = function()
      return answer
    end
  end
  scopes[#scopes].fakes[name] = { answer = fn }
end

---Let an effect through again.
---@param name string
function testing.restore(name)
  check.name("testing.restore", "name", name)
  scopes[#scopes].fakes[name] = {
    answer = function(args)
      return host.effect(name, args)
    end,
  }
end

---The arguments of every call of an effect in this test so far, faked or not. Without a name: all effects,
---as `{ name, args }`.
---@param name? string
---@return table[]
function testing.calls(name)
  local found = {}
  for _, call in ipairs(scopes[#scopes].calls) do
    if name == nil then
      found[#found + 1] = call
    elseif call.name == name then
      found[#found + 1] = call.args
    end
  end
  return found
end

local function split(who, target)
  local agent, capability = string.match(tostring(target), "^([%w_]+)%.([%w_]+)$")
  if not agent then
    error(who .. ': say which as "agent.capability", got ' .. check.describe(target), 3)
  end
  return agent, capability
end

local function conform(json, value, code, what)
  local ok, found = schema.check_json(json, value)
  if ok then
    return
  end
  local lines = {}
  for i, one in ipairs(found) do
    lines[i] = (one.pointer == "" and "the value" or one.pointer) .. " " .. one.message
  end
  local message = what .. " is off its schema: " .. table.concat(lines, "; ")
  errors.raise(code, message, { errors = found })
end

local function through_json(value)
  if value == nil then
    return nil
  end
  return host.json_decode(host.json_encode(value))
end

---Run a capability here, in this cell, with input and output checked as the host does. Effects are real,
---against the store of this test run, unless they are faked.
---@param target string "sales.qualify"
---@param input? any
---@return any output as a client would read it
function testing.call(target, input)
  local agent, capability = split("testing.call", target)
  local declared = registry.capability(agent, capability)
  if input == nil then
    input = {}
  end
  conform(declared.input, input, "input.invalid", "the input of " .. target)
  local output = declared.run(through_json(input))
  conform(declared.output, output, "output.invalid", "the output of " .. target)
  return through_json(output)
end

---Run a capability as a run of its own, in a cell of its own, and wait for its end. Fakes do not reach it.
---@param target string "sales.qualify"
---@param input? any
---@return perigee.Ended
function testing.run(target, input)
  local agent, capability = split("testing.run", target)
  local ended = run.join(run.spawn(agent, capability, input))
  return ended
end

---Start a capability as a run of its own and go on: for signals, time and `run.join` afterwards.
---@param target string
---@param input? any
---@return string run its id
function testing.spawn(target, input)
  local agent, capability = split("testing.spawn", target)
  local id = run.spawn(agent, capability, input)
  return id
end

---Let time pass. Time is virtual in specs: this takes none.
---@param ms integer
function testing.advance(ms)
  check.integer("testing.advance", "ms", ms, 0)
  time.sleep(ms)
end

---The text of a file that came with the specs: everything in spec/ and examples/.
---@param path string from the root: "examples/keen/input.json"
---@return string
function testing.file(path)
  check.name("testing.file", "path", path)
  local text = host.file(path)
  if text == nil then
    error("testing.file: there is no " .. path .. " among the files that came with the specs", 2)
  end
  return text
end

---The value of a JSON file that came with the specs.
---@param path string
---@return any
function testing.json(path)
  check.name("testing.json", "path", path)
  local text = host.file(path)
  if text == nil then
    error("testing.json: there is no " .. path .. " among the files that came with the specs", 2)
  end
  local ok, value = pcall(host.json_decode, text)
  if not ok then
    error("testing.json: " .. path .. ": " .. errors.message(value), 2)
  end
  return value
end

---An id that no other test uses.
---@param prefix? string
---@return string
function testing.id(prefix)
  return (prefix or "id") .. "-" .. host.uuid()
end

return testing
