-- What scripts see of Lua, and the module perigee.host. Runs once per stem, before any file of a bundle is compiled; nothing
-- here looks up a global afterwards, so no script can change what it does.
--
-- `raw` holds the built-in functions of LuaJIT, our replacements in C (library.c) and the primitives of the host (host.c).
--
-- pcall, xpcall and the coroutine functions are Lua closures on purpose: LuaJIT's own do not check the stack when they are chained (upstream #1048), and a C
-- function around them could not be yielded across.

local raw = ...

local chunks, paths, sources = raw.chunks, raw.paths, raw.sources -- module → function, module → path, path → text

local type, error, select, setmetatable = raw.type, raw.error, raw.select, raw.setmetatable
local tostring, ipairs, unpack = raw.tostring, raw.ipairs, raw.unpack
local concat, sort, sub = raw.concat, raw.sort, raw.sub
local raw_pcall, raw_xpcall = raw.pcall, raw.xpcall
local raw_create, raw_resume, raw_yield = raw.co_create, raw.co_resume, raw.co_yield
local raw_status, raw_running = raw.co_status, raw.co_running
local check_strike, on_error = raw.check_strike, raw.on_error

local NESTING_MAX = 100
local COROUTINES_MAX = 100000
local TASKS_MAX = 1000


-- Errors --------------------------------------------------------------------------------------------------------------

local function after_pcall(ok, ...)
  if not ok then
    check_strike() -- what a budget raised cannot be kept
  end
  return ok, ...
end

local function pcall(f, ...)
  return after_pcall(raw_pcall(f, ...))
end

local function after_xpcall(handler, ok, ...)
  if ok then
    return true, ...
  end
  check_strike()
  local err = ...
  return false, select(2, pcall(handler, err, raw.traceback(err)))
end

-- The handler runs behind the unwinding (nothing of the author's runs on an overflowing stack) and gets the traceback as its second argument.
local function xpcall(f, handler, ...)
  if type(handler) ~= "function" then
    error("bad argument #2 to 'xpcall' (function expected, got " .. type(handler) .. ")", 2)
  end
  return after_xpcall(handler, raw_xpcall(f, on_error, ...))
end


-- Coroutines ----------------------------------------------------------------------------------------------------------

local depth = 0 -- of coroutines of the author, within the main thread or a task
local created = 0

local function create(f)
  if type(f) ~= "function" then
    error("bad argument #1 to 'create' (function expected, got " .. type(f) .. ")", 2)
  end
  created = created + 1
  if created > COROUTINES_MAX then
    error("more than " .. COROUTINES_MAX .. " coroutines in one run", 2)
  end
  return raw_create(f)
end

local function after_resume(ok, ...)
  depth = depth - 1
  if not ok then
    check_strike()
  end
  return ok, ...
end

local function resume(co, ...)
  if depth >= NESTING_MAX then
    return false, "coroutines nested more than " .. NESTING_MAX .. " deep"
  end
  if type(co) ~= "thread" then
    error("bad argument #1 to 'resume' (coroutine expected)", 2)
  end
  depth = depth + 1
  return after_resume(raw_resume(co, ...))
end

local function after_wrap(co, ok, ...)
  if ok then
    return ...
  end
  raw.capture(co)
  error((...), 0)
end

local function wrap(f)
  local co = create(f)
  return function(...)
    return after_wrap(co, resume(co, ...))
  end
end

local function yield(...)
  if depth == 0 then
    error("coroutine.yield outside of a coroutine", 2)
  end
  return raw_yield(...)
end

local function running()
  if depth > 0 then
    return (raw_running())
  end
end

local function isyieldable()
  return depth > 0
end


-- Effects and tasks ---------------------------------------------------------------------------------------------------
--
-- A task is one function of host.all, a coroutine. Tasks run one after another, each until it waits for an effect; when all wait, the next outcome is taken,
-- strictly in the order of arrival, and wakes its task. That is all there is to the order of things, so a replay has the same.
--
-- In the main thread, within a coroutine of the author and under a C function (a callback of gsub or sort) an effect blocks the whole cell instead;
-- what arrives meanwhile for tasks is queued.

local current -- the task that runs, or nil in the main thread
local waiting = {} -- number of an effect → its task
local GROUP = {} -- yielded by a task that waits for tasks of its own

local function push(queue, task)
  queue.last = queue.last + 1
  queue[queue.last] = task
end

local function pop(queue)
  local first = queue.first
  local task = queue[first]
  if task then
    queue[first] = nil
    queue.first = first + 1
  end
  return task
end

-- Take one outcome. Returns it when it belongs to the effect `mine`, else hands it to its task; that of an abandoned task is dropped.
local function receive(mine)
  local number, ok, value = raw.receive()
  if number == mine then
    return true, ok, value
  end
  local task = waiting[number]
  if task then
    waiting[number] = nil
    task.ok, task.value = ok, value
    push(task.queue, task)
  end
  return false
end

local function block(number)
  local mine, ok, value
  repeat
    mine, ok, value = receive(number)
  until mine
  return ok, value
end

local function effect(name, args)
  local number = raw.send(name, args)
  local ok, value
  if current and depth == 0 and raw.can_yield() then
    ok, value = raw_yield(number)
  else
    ok, value = block(number)
  end
  if ok then
    return value
  end
  error(raw.failure(value), 0)
end

local function is_abandoned(task)
  local group = task.group
  while group do
    if group.failed then
      return true
    end
    group = group.parent and group.parent.group
  end
  return false
end

local function settle(task, ok, value)
  local group = task.group
  if ok then
    group.results[task.index] = value
    group.left = group.left - 1
  else
    raw.capture(task.co)
    check_strike()
    group.failed, group.err = true, value
  end
  if group.parent and (group.failed or group.left == 0) then
    push(group.parent.queue, group.parent)
  end
end

local function step(task)
  local outer, outer_depth = current, depth
  current, depth = task, 0
  local ok, value = raw_resume(task.co, task.ok, task.value)
  current, depth = outer, outer_depth
  task.value = nil
  if raw_status(task.co) == "dead" then
    settle(task, ok, value)
  elseif value ~= GROUP then
    waiting[value] = task
  end
end

-- Run the tasks of one queue until the group is done: from the main thread, or wherever a task cannot yield.
local function drive(queue, group)
  while group.left > 0 and not group.failed do
    local task = pop(queue)
    if not task then
      receive()
    elseif not is_abandoned(task) then
      step(task)
    end
  end
end

local function check_functions(functions)
  if type(functions) ~= "table" then
    error("all: a list of functions is needed, got a " .. type(functions), 3)
  end
  if #functions > TASKS_MAX then
    error("all: " .. #functions .. " functions; the most is " .. TASKS_MAX, 3)
  end
  for i, f in ipairs(functions) do
    if type(f) ~= "function" then
      error("all: item " .. i .. " is a " .. type(f) .. ", not a function", 3)
    end
  end
end

---Run functions side by side; their results in order. The first error abandons all others at once, as they are (what their effects under way do is done), and is raised here.
local function all(functions)
  check_functions(functions)
  local group = { left = #functions, results = {}, failed = false }
  if group.left == 0 then
    return group.results
  end
  local parent = current and depth == 0 and raw.can_yield() and current or nil
  local queue = parent and parent.queue or { first = 1, last = 0 }
  group.parent = parent
  for i = 1, #functions do
    push(queue, { co = raw_create(functions[i]), index = i, group = group, queue = queue })
  end
  if parent then
    raw_yield(GROUP)
  else
    drive(queue, group)
  end
  if group.failed then
    error(group.err, 0)
  end
  return group.results
end


-- Modules -------------------------------------------------------------------------------------------------------------

local loaded, busy = {}, {}
local loading = {} -- stack of the names of modules under way
local loads = false -- the bundle is being loaded

local function module_names()
  local names = {}
  for name in raw.next_raw, paths do
    names[#names + 1] = name
  end
  sort(names)
  return names
end

local function run_chunk(name)
  local mark = #loading
  loading[mark + 1] = name
  busy[name] = true
  local ok, value = raw_xpcall(chunks[name], on_error, name)
  for i = #loading, mark + 1, -1 do
    loading[i] = nil
  end
  busy[name] = nil
  if not ok then
    check_strike()
    error(value, 0)
  end
  if value == nil then
    value = true
  end
  loaded[name] = value
  chunks[name] = nil
  return value
end

local function missing(name)
  if paths[name] then
    return "module '" .. name .. "' does not compile"
  end
  local path = raw.gsub(name, "%.", "/")
  if sub(name, 1, 12) ~= "methodology." then
    path = "scripts/" .. path
  end
  return "module '" .. name .. "' is not in the bundle: there is no " .. path .. ".lua"
end

local host
local environments = {} -- user, runtime: for files that come with START

-- A file of the specs, compiled when it is required first.
local function compile_source(name)
  local path = paths[name]
  local text = path and sources[path]
  if text then
    local kind = sub(path, 1, 16) == "scripts/perigee/" and "runtime" or "user"
    local chunk, message = raw.compile(text, path, environments[kind])
    if not chunk then
      error(message, 0)
    end
    return chunk
  end
end

local function find_module(name, privileged)
  if type(name) ~= "string" then
    error("require: a module is named by a string, got a " .. type(name), 3)
  end
  local value = loaded[name]
  if value ~= nil then
    return value
  end
  if name == "perigee.host" then
    if privileged then
      return host
    end
    error("module 'perigee.host' is for the runtime alone: use perigee.records, perigee.run and so on", 3)
  end
  if busy[name] then
    error("module '" .. name .. "' requires itself: " .. concat(loading, " → ") .. " → " .. name, 3)
  end
  if not chunks[name] then
    chunks[name] = compile_source(name)
  end
  if not chunks[name] then
    error(missing(name), 3)
  end
  return run_chunk(name)
end

local function require_user(name)
  return (find_module(name, false))
end

local function require_runtime(name)
  return (find_module(name, true))
end


-- The environment -----------------------------------------------------------------------------------------------------

local function print(...)
  local texts = {}
  for i = 1, select("#", ...) do
    texts[i] = tostring((select(i, ...)))
  end
  raw.log("info", concat(texts, "\t"))
end

local function frozen(name, functions)
  return setmetatable({}, {
    __index = functions,
    __newindex = function(_, key)
      error("the library '" .. name .. "' cannot be changed (assignment to " .. name .. "." .. tostring(key) .. ")", 2)
    end,
    __metatable = false,
  })
end

local function deny(_, name)
  error("assignment to the global variable '" .. tostring(name) .. "': declare it with local", 2)
end

local function environment(globals, more)
  return setmetatable({}, {
    __index = more and function(_, name)
      local value = more[name]
      if value == nil then
        value = globals[name]
      end
      return value
    end or globals,
    __newindex = deny,
    __metatable = false,
  })
end

local function pack(...)
  return { n = select("#", ...), ... }
end

local function globals(require)
  return {
    assert = raw.assert,
    error = error,
    ipairs = ipairs,
    next = raw.next,
    pairs = raw.pairs,
    pcall = pcall,
    xpcall = xpcall,
    print = print,
    rawequal = raw.rawequal,
    rawget = raw.rawget,
    rawset = raw.rawset,
    rawlen = raw.rawlen,
    select = select,
    setmetatable = setmetatable,
    getmetatable = raw.getmetatable,
    tonumber = raw.tonumber,
    tostring = tostring,
    type = type,
    unpack = unpack,
    require = require,
    string = raw.libraries.string,
    table = raw.libraries.table,
    math = raw.libraries.math,
    bit = raw.libraries.bit,
    coroutine = raw.libraries.coroutine,
    os = raw.libraries.os,
  }
end

raw.libraries.table.pack = pack
raw.libraries.table.unpack = unpack
for name, functions in raw.next_raw, raw.libraries do
  raw.libraries[name] = frozen(name, functions)
end
raw.libraries.coroutine = frozen("coroutine", {
  create = create,
  resume = resume,
  wrap = wrap,
  yield = yield,
  status = raw_status,
  running = running,
  isyieldable = isyieldable,
})

local user_globals, runtime_globals = globals(require_user), globals(require_runtime)
environments.user, environments.runtime = environment(user_globals), environment(runtime_globals)


-- perigee.host --------------------------------------------------------------------------------------------------------

---The module that is being loaded with the bundle, or nil.
local function loading_module()
  if loads then
    return loading[#loading] or true
  end
end

---A file that came with START as a fresh function; `more` are further globals for it.
local function compile(path, more)
  local text = sources[path]
  if not text then
    return nil, "there is no file " .. tostring(path)
  end
  return raw.compile(text, path, environment(user_globals, more))
end

host = frozen("perigee.host", {
  effect = effect,
  all = all,
  log = raw.log,
  now = raw.now,
  random = raw.random,
  uuid = raw.uuid,
  run_id = raw.run_id,
  json_encode = raw.json_encode,
  json_decode = raw.json_decode,
  null = raw.null,
  array = raw.array,
  is_array = raw.is_array,
  traceback = raw.traceback,
  modules = module_names,
  source = function(name)
    return paths[name]
  end,
  loading = loading_module,
  file = function(path) -- the text of a file that came with START, or nil
    return sources[path]
  end,
  compile = compile,
})


-- What C calls --------------------------------------------------------------------------------------------------------

local function is_declaring(name)
  return sub(name, 1, 7) == "agents." or sub(name, 1, 12) == "methodology."
end

---The modules that declare, in order: C loads each, so that what is wrong with one hides no other.
local function declaring()
  loads = true
  local names = {}
  for _, name in ipairs(module_names()) do
    if is_declaring(name) and (chunks[name] or loaded[name]) then
      names[#names + 1] = name
    end
  end
  return names
end

local function declare(name)
  find_module(name, false)
  if sub(name, 1, 12) == "methodology." then
    local registry = find_module("perigee.registry", true)
    if registry.check_methodology then
      registry.check_methodology(name)
    end
  end
end

local function load()
  local manifest = find_module("perigee.registry", true).manifest()
  loads = false
  return manifest
end

---What the runtime makes once for all runs, when the manifest is on its way already.
local function prepare()
  if not paths["perigee.registry"] then
    return -- a configuration file has no runtime
  end
  local registry = find_module("perigee.registry", true)
  if registry.prepare then
    registry.prepare()
  end
end

local function run(start)
  if start.spec then
    return find_module("perigee.spec", true).run_file(start.spec, start.filter)
  end
  return find_module("perigee.registry", true).call(start.agent, start.capability, start.input)
end

local function env(name, ...)
  if type(name) ~= "string" then
    error("env: the name of the variable must be a string", 2)
  end
  return { ["$env"] = name, default = (...) }
end

return {
  user = environments.user,
  runtime = environments.runtime,
  config = environment(globals(function(name)
    error("require is not available in a configuration file (module '" .. tostring(name) .. "')", 2)
  end), { env = env }),
  declaring = declaring,
  declare = declare,
  load = load,
  prepare = prepare,
  run = run,
}
