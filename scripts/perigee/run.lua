-- The run itself: its id, signals it waits for, children it starts, things it does side by side.
-- `run.id` is the id of this run, a string.

local host = require("perigee.host")
local check = require("perigee.check")
local effects = require("perigee.effects")
local errors = require("perigee.errors")

---@class perigee.run
---@field id string the id of this run
local run = {}

---@class perigee.Signal
---@field id string
---@field name string
---@field payload any
---@field at integer unix microseconds

---Wait for a signal sent to this run.
---@param signal string
---@param options? { timeout_ms?: integer }
---@return perigee.Signal? signal nil when the time ran out first
function run.await(signal, options)
  check.name("run.await", "signal", signal)
  options = check.options("run.await", options, { "timeout_ms" })
  if options.timeout_ms ~= nil then
    check.integer("run.await", "timeout_ms", options.timeout_ms, 0)
  end
  return effects.call("run.await", { signal = signal, timeout_ms = options.timeout_ms })
end

---Send a signal to another run of this tenant. With an id, the same signal twice is one.
---@param id string the run
---@param signal string
---@param payload? any
---@param options? { id?: string }
---@return string id of the signal
function run.signal(id, signal, payload, options)
  check.name("run.signal", "run", id)
  check.name("run.signal", "signal", signal)
  options = check.options("run.signal", options, { "id" })
  return effects.call("run.signal", {
    run = id,
    signal = signal,
    payload = payload == nil and host.null or payload,
    id = options.id,
  }).id
end

local function start(agent, capability, input, options)
  return effects.call("run.spawn", {
    agent = agent,
    capability = capability,
    input = input == nil and {} or input,
    subject = options.subject,
    deadline_ms = options.deadline_ms,
    budget = options.budget,
  }).run
end

local CHILD = { "subject", "deadline_ms", "budget" }

local function child_options(who, options)
  options = check.options(who, options, CHILD)
  for _, name in ipairs({ "deadline_ms", "budget" }) do
    if options[name] ~= nil then
      check.integer(who, name, options[name], 1)
    end
  end
  return options
end

---@class perigee.ChildOptions
---@field subject? string
---@field deadline_ms? integer it ends by then, and never later than this run
---@field budget? integer effects that it and all below it may issue, taken from what this run has left

---Start a child run and go on at once.
---@param agent string
---@param capability string
---@param input? table
---@param options? perigee.ChildOptions
---@return string run its id
function run.spawn(agent, capability, input, options)
  check.name("run.spawn", "agent", agent)
  check.name("run.spawn", "capability", capability)
  options = child_options("run.spawn", options)
  return start(agent, capability, input, options)
end

---@class perigee.Ended
---@field status "succeeded"|"failed"|"cancelled"
---@field output? any
---@field error? { code: string, message: string }

---Wait for a child to end.
---@param id string
---@return perigee.Ended
function run.join(id)
  check.name("run.join", "run", id)
  return effects.without_nulls(effects.call("run.join", { run = id }))
end

---Start a child, wait for it and return its output. A child that does not succeed is raised here, with its
---own code and the fields `run` and `status`.
---@param agent string
---@param capability string
---@param input? table
---@param options? perigee.ChildOptions
---@return any output
function run.call(agent, capability, input, options)
  check.name("run.call", "agent", agent)
  check.name("run.call", "capability", capability)
  options = child_options("run.call", options)
  local id = start(agent, capability, input, options)
  local ended = run.join(id)
  if ended.status == "succeeded" then
    return ended.output
  end
  local cause = ended.error or {}
  local reason = cause.message and ": " .. cause.message or ""
  local message = agent .. "." .. capability .. " " .. ended.status .. reason
  errors.raise(cause.code or "run." .. ended.status, message, { run = id, status = ended.status })
end

---End this run here and go on as a new one: the same agent and capability with this input, the scripts that are live now, and an
---empty journal. Whoever joins or waits for this run waits for the last of the chain. Does not return; an input that does not
---match the schema is raised.
---@param input? table
function run.continue_as_new(input)
  local next_run = effects.call("run.continue_as_new", { input = input == nil and {} or input }).run
  -- Only where effects are answered by a spec: on a host the run has ended.
  errors.raise("run.continued", "the run goes on as " .. tostring(next_run), { run = next_run })
end

---Do several things side by side; returns their results in the order of the functions.
---@param functions (fun(): any)[]
---@return any[]
function run.all(functions)
  check.type("run.all", "functions", functions, "table")
  for i, fn in ipairs(functions) do
    if type(fn) ~= "function" then
      error("run.all: item " .. i .. " must be a function, got " .. check.describe(fn), 2)
    end
  end
  if next(functions) ~= nil and not check.is_list(functions) then
    error("run.all: functions must be a list of functions", 2)
  end
  return host.all(functions)
end

---A UUID that is the same when this run is replayed.
---@return string
function run.uuid()
  return host.uuid()
end

return setmetatable(run, {
  __index = function(_, key)
    if key == "id" then
      return host.run_id()
    end
  end,
})
