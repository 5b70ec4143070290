-- A stand-in for the cell, so that the runtime can be developed under a plain `luajit -joff`:
--
--   luajit -joff tests/lua/support/run.lua tests/lua/schema_spec.lua
--
-- It performs effects at once, in memory, with virtual time.
-- The real thing is `perigee test tests/lua`.

local dkjson = require("dkjson")

local null = dkjson.null
local host = { null = null }
local Array = { __jsontype = "array" }

local state = {
  now = 1763829600000000,
  ids = 0,
  loading = true,
  records = {},
  history = {},
  evidence = {},
  events = {},
  runs = {},
  signals = {},
  logs = {},
  sources = {},
}
host.state = state

function host.array(t)
  return setmetatable(t, Array)
end

function host.is_array(t)
  return type(t) == "table" and getmetatable(t) == Array
end

function host.json_encode(value)
  local sorted, seen = {}, {}
  local function order(t)
    if type(t) == "table" then
      for key, item in next, t do
        if type(key) == "string" and not seen[key] then
          sorted[#sorted + 1] = key
          seen[key] = true
        end
        order(item)
      end
    end
  end
  order(value)
  table.sort(sorted)
  local function plain(t)
    if type(t) ~= "table" or t == null then
      return t
    end
    local made = {}
    for key, item in next, t do
      made[key] = plain(item)
    end
    local array = getmetatable(t) == Array or #t > 0
    return setmetatable(made, { __jsontype = array and "array" or "object" })
  end
  return dkjson.encode(plain(value), { keyorder = sorted })
end

function host.json_decode(text)
  local value, position, message = dkjson.decode(text, 1, null, nil, Array)
  if message then
    error(message .. " at " .. tostring(position), 2)
  end
  return value
end

local function copy(value)
  return host.json_decode(host.json_encode(value))
end

local function new_id()
  state.ids = state.ids + 1
  return string.format("00000000-0000-7000-8000-%012d", state.ids)
end

host.uuid = new_id

function host.now()
  return state.now
end

function host.random(...)
  return math.random(...)
end

function host.run_id()
  return "00000000-0000-7000-8000-0000000000ff"
end

function host.loading()
  return state.loading
end

function host.log(level, message, fields)
  state.logs[#state.logs + 1] = { level = level, message = message, fields = copy(fields) }
end

function host.all(functions)
  local results = {}
  for i, fn in ipairs(functions) do
    results[i] = fn()
  end
  return results
end

function host.modules()
  local names = {}
  for name in pairs(state.sources) do
    names[#names + 1] = name
  end
  table.sort(names)
  return names
end

function host.source(name)
  return state.sources[name]
end

function host.file(path)
  local file = io.open(path, "rb")
  if file then
    local text = file:read("*a")
    file:close()
    return text
  end
end

local function fail(code, message, fields)
  fields = fields or {}
  fields.code = code
  fields.message = message
  error(setmetatable(fields, {
    __tostring = function()
      return message
    end,
  }), 0)
end

local perform = {}

local function key_of(args)
  return args.kind .. "\0" .. args.id
end

perform["records.get"] = function(args)
  return state.records[key_of(args)] or null
end

perform["records.put"] = function(args)
  local key = key_of(args)
  local known = state.records[key]
  local version = known and known.version or 0
  if args.version and args.version ~= version then
    fail("records.conflict", args.kind .. " " .. args.id .. ": version is " .. version)
  end
  state.versions = state.versions or {}
  version = (state.versions[key] or version) + 1
  state.versions[key] = version
  state.records[key] = {
    kind = args.kind,
    id = args.id,
    version = version,
    updated_at = state.now,
    run = host.run_id(),
    body = args.body,
  }
  state.history[key] = state.history[key] or {}
  local entry = { version = version, at = state.now, run = host.run_id(), body = args.body }
  table.insert(state.history[key], 1, entry)
  return { version = version }
end

perform["records.delete"] = function(args)
  local known = state.records[key_of(args)]
  state.records[key_of(args)] = nil
  return { deleted = known ~= nil }
end

perform["records.list"] = function(args)
  local items = {}
  for _, record in pairs(state.records) do
    local fits = record.kind == args.kind
    for field, value in pairs(args.where or {}) do
      fits = fits and record.body[field] == value
    end
    items[#items + 1] = fits and record or nil
  end
  table.sort(items, function(a, b)
    return a.id < b.id
  end)
  local page, first = host.array({}), tonumber(args.cursor or "1")
  local last = math.min(#items, first + (args.limit or 50) - 1)
  for i = first, last do
    page[#page + 1] = items[i]
  end
  return { items = page, next_cursor = last < #items and tostring(last + 1) or null }
end

perform["records.history"] = function(args)
  return { items = host.array(state.history[key_of(args)] or {}) }
end

perform["evidence.source"] = function(args)
  local id = "source-" .. args.deal .. "-" .. #args.text
  local new = state.records["source\0" .. id] == nil
  perform["records.put"]({ kind = "source", id = id, body = args })
  return { id = id, new = new }
end

perform["evidence.add"] = function(args)
  local made = {}
  for i, item in ipairs(args.items) do
    local source = state.records["source\0" .. tostring(item.source)]
    local words = source and string.sub(source.body.text, item.start + 1, item["end"])
    if words ~= item.quote or item.side ~= "customer" then
      local pointer = "/items/" .. (i - 1) .. "/quote"
      local errors = { { pointer = pointer, message = "stands not there" } }
      fail("evidence.refused", "evidence.add: an item was refused", { errors = errors })
    end
    local stored = copy(item)
    stored.id = "evidence-" .. item.source .. "-" .. item.start
    stored.run = host.run_id()
    stored.recorded_at = state.now
    stored.deal = args.deal
    local new = state.evidence[stored.id] == nil
    state.evidence[stored.id] = stored
    made[i] = { id = stored.id, new = new }
  end
  return { items = host.array(made) }
end

perform["evidence.list"] = function(args)
  local items = host.array({})
  for _, item in pairs(state.evidence) do
    local fits = item.deal == args.deal
      and (args.playbook == nil or item.playbook == args.playbook)
      and (args.dimension == nil or item.dimension == args.dimension)
    items[#items + 1] = fits and item or nil
  end
  return { items = items }
end

perform["events.emit"] = function(args)
  state.events[#state.events + 1] = args
  return { id = args.id or new_id() }
end

perform["time.sleep"] = function(args)
  state.now = args.ms and state.now + args.ms * 1000 or math.max(state.now, args["until"])
  return {}
end

perform["run.await"] = function(args)
  local waiting = state.signals[args.signal]
  if waiting and #waiting > 0 then
    return table.remove(waiting, 1)
  end
  state.now = state.now + (args.timeout_ms or 0) * 1000
  return null
end

perform["run.signal"] = function(args)
  local id = args.id or new_id()
  state.signals[args.signal] = state.signals[args.signal] or {}
  local signal = { id = id, name = args.signal, payload = args.payload, at = state.now }
  table.insert(state.signals[args.signal], signal)
  return { id = id }
end

perform["approval.ask"] = function()
  return { id = new_id(), decision = "expired", note = null, by = null, at = state.now }
end

perform["run.spawn"] = function(args)
  local id = new_id()
  local call = require("perigee.registry").call
  local ok, result = pcall(call, args.agent, args.capability, args.input)
  if ok then
    state.runs[id] = { status = "succeeded", output = result, error = null }
  else
    local code = type(result) == "table" and result.code or "script_error"
    local cause = { code = code, message = tostring(result) }
    state.runs[id] = { status = "failed", output = null, error = cause }
  end
  return { run = id }
end

perform["run.join"] = function(args)
  return state.runs[args.run]
end

function host.effect(name, args)
  if state.loading then
    error(name .. ": a bundle has no effects while it loads", 3)
  end
  if not perform[name] then
    fail("effect.unknown", "unknown effect " .. name)
  end
  state.now = state.now + 1
  return copy(perform[name](copy(args)))
end

return host
