-- What a bundle declares, gathered while it loads: agents, kinds of records, playbooks. The stem answers
-- LOAD with `registry.manifest()`; a cell runs a capability with `registry.call`.

local host = require("perigee.host")
local check = require("perigee.check")
local declaration = require("perigee.declaration")
local errors = require("perigee.errors")

local registry = {}

local agents = {} -- name → { declared, manifest, path, line }
local kinds = {} -- name → { manifest, text, agent }
local playbooks = {} -- name → { object, manifest, path, line }
local always = false

---Specs declare agents outside of loading, too.
function registry.open()
  always = true
end

---The module that a file of the bundle is: "scripts/agents/sales.lua" → "agents.sales".
---@param path? string
---@return string?
function registry.module_of(path)
  if not path then
    return nil
  end
  for _, module in ipairs(host.modules()) do
    if host.source(module) == path then
      return module
    end
  end
end

local function refuse_outside_loading(what)
  if not always and not host.loading() then
    check.fail(what .. ": declare it at the top of a file, where the bundle loads; a run cannot")
  end
end

local function at(entry)
  return entry.path and " (" .. entry.path .. ":" .. entry.line .. ")" or ""
end

local function fail_at(path, line, problems)
  local text = table.concat(problems, "\n")
  if path then
    text = path .. ":" .. line .. ": " .. text
  end
  error(text, 0)
end

local function kind_problem(name, manifest, agent)
  local known = kinds[name]
  if known and known.text ~= host.json_encode(manifest) then
    local where = 'agent "' .. agent .. '": kinds.' .. name
    return where .. ': agent "' .. known.agent .. '" declares this kind differently'
  end
end

---Called by perigee.agent. Faults are raised as `path:line: reason`.
---@param name string
---@param declared table
---@param module? string
---@param path? string
---@param line? integer
function registry.add_agent(name, declared, module, path, line)
  refuse_outside_loading("agent")
  local manifest, found, problems = declaration.read(name, declared, path and path .. ":" .. line)
  local known = type(name) == "string" and agents[name]
  if known then
    problems[#problems + 1] = 'agent "' .. name .. '" is declared twice' .. at(known)
  end
  for _, kind in ipairs(check.keys(found)) do
    problems[#problems + 1] = kind_problem(kind, found[kind], name)
  end
  if #problems > 0 then
    fail_at(path, line, problems)
  end
  manifest.module = module
  agents[name] = { declared = declared, manifest = manifest, path = path, line = line }
  for kind, kind_manifest in pairs(found) do
    local text = host.json_encode(kind_manifest)
    kinds[kind] = kinds[kind] or { manifest = kind_manifest, text = text, agent = name }
  end
end

---Called by perigee.playbook.
---@param name string
---@param described { title?: string, dimensions: string[] } for the manifest
---@param object any what `registry.playbooks()` gives back
---@param path? string where the author wrote it: a tail call has left the stack by now
---@param line? integer
function registry.add_playbook(name, described, object, path, line)
  refuse_outside_loading("playbook")
  if not path then
    path, line = check.where()
  end
  local problem
  if type(name) ~= "string" or not string.find(name, "^[a-z][a-z0-9_]*$") then
    problem = "playbook: a name is lower-case letters, digits and _, got " .. check.describe(name)
  elseif type(described) ~= "table" or type(described.dimensions) ~= "table" then
    problem = 'playbook "' .. name .. '": dimensions must be a list of names'
  elseif playbooks[name] then
    problem = 'playbook "' .. name .. '" is declared twice' .. at(playbooks[name])
  end
  if problem then
    fail_at(path, line, { problem })
  end
  local manifest = {
    title = described.title or name,
    dimensions = host.array(described.dimensions),
    module = registry.module_of(path),
  }
  playbooks[name] = { object = object, manifest = manifest, path = path, line = line }
end

---A module of methodology/ that has loaded must have declared a playbook.
---@param module string
function registry.check_methodology(module)
  for _, entry in pairs(playbooks) do
    if entry.manifest.module == module then
      return
    end
  end
  local hint = 'declares no playbook: write `return playbook "name" { … }`, or move it to scripts/'
  error(host.source(module) .. ":1: " .. hint, 0)
end

---@return table<string, any> by_name what was given to add_playbook, by name
---@return string[] names in order
function registry.playbooks()
  local objects = {}
  for name, entry in pairs(playbooks) do
    objects[name] = entry.object
  end
  return objects, check.keys(playbooks)
end

local function manifests(entries)
  local found = {}
  for name, entry in pairs(entries) do
    found[name] = entry.manifest
  end
  return found
end

local preparations = {}

---What to do once per bundle, after it was declared and before its first run: every run inherits what it made.
---@param make fun()
function registry.before_runs(make)
  preparations[#preparations + 1] = make
end

---Called by the cell when the manifest is on its way.
function registry.prepare()
  for _, make in ipairs(preparations) do
    make()
  end
  preparations = {}
end

---The manifest of the bundle (docs/internals/contracts.md §1).
---@return { agents: table, kinds: table, playbooks: table }
function registry.manifest()
  return {
    agents = manifests(agents),
    kinds = manifests(kinds),
    playbooks = manifests(playbooks),
  }
end

---The declaration of one capability.
---@param agent string
---@param capability string
---@return { run: function, input: table, output: table } schemas as JSON Schema
function registry.capability(agent, capability)
  local entry = agents[agent]
  if not entry then
    errors.raise("agent.unknown", check.unknown("agent", agent, check.keys(agents)))
  end
  local declared = entry.declared.capabilities[capability]
  if not declared then
    local known = check.keys(entry.declared.capabilities)
    local what = "capability of agent " .. agent .. ":"
    errors.raise("capability.unknown", check.unknown(what, capability, known))
  end
  local manifest = entry.manifest.capabilities[capability]
  return { run = declared.run, input = manifest.input, output = manifest.output }
end

---Run a capability here and now. The host checks input and output against their schemas.
---@param agent string
---@param capability string
---@param input any
---@return any output
function registry.call(agent, capability, input)
  local output = registry.capability(agent, capability).run(input)
  return output
end

return registry
