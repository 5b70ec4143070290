-- Runs a spec file, in a cell. The language is busted's; busted itself cannot run here, because it needs
-- what the sandbox withholds (io, debug, setfenv). Spec files see describe, it, assert and the others
-- because the cell compiles them with an environment that holds `spec.globals()`.

local host = require("perigee.host")
local assertions = require("perigee.spec.assertions")
local check = require("perigee.check")
local errors = require("perigee.errors")
local registry = require("perigee.registry")
local spies = require("perigee.spec.spies")
local testing = require("perigee.testing")

local spec = {}

local Pending = {}

-- Left out of tracebacks.
local OWN = {
  ["scripts/perigee/check.lua"] = true,
  ["scripts/perigee/spec.lua"] = true,
  ["scripts/perigee/spec/assertions.lua"] = true,
}

local current -- the block that is being described
local running -- the test that is being run

local function new_block(name, parent)
  return {
    name = name,
    parent = parent,
    children = {},
    setup = {},
    teardown = {},
    before_each = {},
    after_each = {},
  }
end

local function describing(what)
  if running or not current then
    check.fail(what .. ": not inside a test; it belongs in a describe or at the top of the file")
  end
end

local function named(what, name)
  if type(name) ~= "string" then
    check.fail(what .. ": the name must be a string, got " .. check.describe(name))
  end
end

local function describe(name, body)
  describing("describe")
  named("describe", name)
  if type(body) ~= "function" then
    check.fail('describe "' .. name .. '": needs a function, got ' .. check.describe(body))
  end
  local block = new_block(name, current)
  block.path, block.line = check.where()
  local children = current.children
  children[#children + 1] = block
  current = block
  local ok, caught = pcall(body)
  current = block.parent
  if not ok then
    error(caught, 0)
  end
end

local function add_test(what, name, body)
  describing(what)
  named(what, name)
  local path, line = check.where()
  local test = { test = true, name = name, body = body, path = path, line = line, parent = current }
  local children = current.children
  children[#children + 1] = test
end

local function it(name, body)
  if body ~= nil and type(body) ~= "function" then
    check.fail("it: the body must be a function, got " .. check.describe(body))
  end
  add_test("it", name, body)
end

-- Outside of a test it declares one that is to be written; inside, it ends the test as pending.
local function pending(message)
  if running then
    error(setmetatable({ message = message }, Pending), 0)
  end
  add_test("pending", message, nil)
end

local function hook(kind)
  return function(body)
    describing(kind)
    if type(body) ~= "function" then
      check.fail(kind .. ": needs a function, got " .. check.describe(body))
    end
    local bodies = current[kind]
    bodies[#bodies + 1] = body
  end
end

local function finally(body)
  if not running then
    check.fail("finally: only inside a test")
  end
  check.type("finally", "body", body, "function")
  running.finally[#running.finally + 1] = body
end

---What spec files see beside the normal globals.
---@return table
function spec.globals()
  local setup, teardown = hook("setup"), hook("teardown")
  return {
    after_each = hook("after_each"),
    assert = assertions.make(),
    before_each = hook("before_each"),
    context = describe,
    describe = describe,
    expose = describe,
    finally = finally,
    insulate = describe,
    it = it,
    lazy_setup = setup,
    lazy_teardown = teardown,
    mock = spies.mock,
    pending = pending,
    setup = setup,
    spec = it,
    spy = spies.spy,
    strict_setup = setup,
    strict_teardown = teardown,
    stub = spies.stub,
    teardown = teardown,
    test = it,
    testing = testing,
  }
end

local function full_name(node)
  local names = {}
  while node and node.name do
    table.insert(names, 1, node.name)
    node = node.parent
  end
  return table.concat(names, " ")
end

local function is_shown(line)
  local path = string.match(line, "^(.-):%d+")
  return path and not OWN[path] and string.find(path, "%.lua$") ~= nil
end

-- The cell gives a handler the traceback; where there is none, the stack is asked.
local function traceback(given)
  local lines = {}
  for line in string.gmatch(given or "", "[^\n]+") do
    lines[#lines + 1] = is_shown(line) and line or nil
  end
  for _, frame in ipairs(given and {} or check.stack()) do
    local line = frame.path .. ":" .. frame.line
    if is_shown(line) and lines[#lines] ~= line then
      lines[#lines + 1] = line
    end
  end
  return #lines > 0 and table.concat(lines, "\n") or nil
end

local function on_error(caught, trace)
  if assertions.is_failure(caught) then
    return {
      status = "failed",
      message = caught.message,
      path = caught.path,
      line = caught.line,
      traceback = traceback(trace),
    }
  end
  if type(caught) == "table" and getmetatable(caught) == Pending then
    return { status = "pending", message = caught.message }
  end
  local message = errors.message(caught)
  if errors.code(caught) then
    local where = type(caught.where) == "string" and caught.where .. ": " or ""
    message = where .. caught.code .. ": " .. message
  end
  return { status = "error", message = message, traceback = traceback(trace) }
end

local function protect(fn)
  local ok, outcome = xpcall(fn, on_error)
  if ok then
    return nil
  end
  if type(outcome) ~= "table" then
    outcome = { status = "error", message = tostring(outcome) }
  end
  return outcome
end

local function run_hooks(bodies)
  for _, body in ipairs(bodies) do
    local fault = protect(body)
    if fault then
      return fault
    end
  end
end

-- Outermost first.
local function lineage(test)
  local blocks = {}
  local block = test.parent
  while block do
    table.insert(blocks, 1, block)
    block = block.parent
  end
  return blocks
end

local function run_body(test)
  local blocks = lineage(test)
  local fault
  local begun = 0
  for i, block in ipairs(blocks) do
    begun = i
    fault = run_hooks(block.before_each)
    if fault then
      break
    end
  end
  fault = fault or protect(test.body)
  fault = run_hooks(running.finally) or fault
  for i = begun, 1, -1 do
    local late = run_hooks(blocks[i].after_each)
    fault = fault or late
  end
  return fault
end

local function report(result, test, outcome)
  local path, line = test.path, test.line
  if outcome.path then
    path, line = outcome.path, outcome.line
  end
  local count = { passed = "passed", failed = "failed", error = "errors", pending = "pending" }
  local counter = count[outcome.status]
  result[counter] = result[counter] + 1
  result.tests[#result.tests + 1] = {
    name = full_name(test),
    path = path,
    line = line,
    status = outcome.status,
    message = outcome.message,
    traceback = outcome.traceback,
    effects = outcome.effects,
  }
end

local function run_test(result, test)
  if not test.body then
    report(result, test, { status = "pending" })
    return
  end
  testing.enter()
  running = { finally = {} }
  local fault = run_body(test)
  running = nil
  spies.revert()
  local outcome = fault or { status = "passed" }
  outcome.effects = testing.leave()
  report(result, test, outcome)
end

local function matches(name, filter)
  if filter == nil or filter == "" or filter == host.null then
    return true
  end
  local ok, found = pcall(string.find, name, filter)
  return (ok and found ~= nil) or string.find(name, filter, 1, true) ~= nil
end

-- The tests of a block and of the blocks in it, in order, that the filter lets through.
local function selected(node, filter, found)
  for _, child in ipairs(node.children) do
    if not child.test then
      selected(child, filter, found)
    elseif matches(full_name(child), filter) then
      found[#found + 1] = child
    end
  end
  return found
end

local function run_block(result, block, filter)
  local tests = selected(block, filter, {})
  if #tests == 0 then
    return
  end
  testing.enter()
  local fault = run_hooks(block.setup)
  for _, child in ipairs(block.children) do
    if fault then
      break
    end
    if not child.test then
      run_block(result, child, filter)
    elseif matches(full_name(child), filter) then
      run_test(result, child)
    end
  end
  if fault then
    fault.message = "in setup: " .. tostring(fault.message)
    for _, test in ipairs(tests) do
      report(result, test, fault)
    end
  end
  local late = run_hooks(block.teardown)
  testing.leave()
  if late then
    late.message = "in teardown: " .. tostring(late.message)
    local name = block.name and block.name .. " teardown" or "teardown"
    local place = { name = name, parent = block.parent, path = block.path, line = block.line }
    report(result, place, late)
  end
end

---@class perigee.SpecTest
---@field name string
---@field path? string
---@field line? integer
---@field status "passed"|"failed"|"error"|"pending"
---@field message? string
---@field traceback? string
---@field effects? integer how many were performed

---@class perigee.SpecResult
---@field tests perigee.SpecTest[]
---@field passed integer
---@field failed integer
---@field errors integer
---@field pending integer

---Run a function as if it were a spec file.
---@param path string what the tests say about where they stand
---@param body function
---@param filter? string
---@return perigee.SpecResult
function spec.run(path, body, filter)
  local result = { tests = host.array({}), passed = 0, failed = 0, errors = 0, pending = 0 }
  local root = new_block(nil, nil)
  root.path, root.line = path, 1
  local outer_block, outer_test = current, running
  current, running = root, nil
  local fault = protect(body)
  current = nil
  if fault then
    fault.status = "error"
    report(result, { name = path, path = path, line = 1 }, fault)
  else
    run_block(result, root, filter)
  end
  current, running = outer_block, outer_test
  return result
end

local function load_spec(path)
  if host.load_spec then
    return host.load_spec(path)
  end
  local chunk, message = host.compile(path, spec.globals())
  if not chunk then
    error(message, 0)
  end
  return chunk
end

---Run one spec file; what the cell does for START.spec. The result is the output of that run.
---@param path string
---@param filter? string a Lua pattern, or a part, of the full name of a test
---@return perigee.SpecResult
function spec.run_file(path, filter)
  registry.open()
  return spec.run(path, function()
    load_spec(path)()
  end, filter)
end

return spec
