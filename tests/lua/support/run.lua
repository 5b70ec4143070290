-- luajit -joff tests/lua/support/run.lua [--filter TEXT] SPEC...   (in the repository's root)
-- Runs specs over the stand-in host; prints what failed, exits 1 when something did.

package.path = "scripts/?.lua;?.lua;?/init.lua;tests/lua/support/?.lua;" .. package.path

local host = require("fake_host")
package.loaded["perigee.host"] = host

-- As in the cell: in order, and refusing what has none.
local function rank(key)
  return type(key) == "number" and 1 or 2
end

function pairs(t)
  local keys = {}
  for key in next, t do
    keys[#keys + 1] = key
  end
  table.sort(keys, function(a, b)
    if rank(a) ~= rank(b) then
      return rank(a) < rank(b)
    end
    return a < b
  end)
  local i = 0
  return function()
    i = i + 1
    if keys[i] ~= nil then
      return keys[i], t[keys[i]]
    end
  end
end

-- As in the cell: Lua closures round the built-ins, in a chunk that is no file of the bundle.
pcall, xpcall = assert(loadstring([[
  local pcall, xpcall = pcall, xpcall
  local function pass(...)
    return ...
  end
  return function(fn, ...)
    return pass(pcall(fn, ...))
  end, function(fn, handler, ...)
    return pass(xpcall(fn, handler, ...))
  end
]], "=cell"))()

local find = io.popen("find scripts methodology -name '*.lua' 2>/dev/null | LC_ALL=C sort")
local declaring = {}
for path in find:lines() do
  if not path:find("_spec%.lua$") then
    local name = path:gsub("^scripts/", ""):gsub("%.lua$", ""):gsub("/init$", ""):gsub("/", ".")
    host.state.sources[name] = path
    if name:find("^agents%.") or name:find("^methodology%.") then
      declaring[#declaring + 1] = name
    end
  end
end
find:close()

local spec = require("perigee.spec")
local globals = setmetatable(spec.globals(), { __index = _G })

function host.load_spec(path)
  local chunk = assert(loadfile(path))
  return setfenv(chunk, globals)
end

for _, name in ipairs(declaring) do
  local ok, message = pcall(require, name)
  if not ok then
    io.stderr:write("load ", name, ": ", require("perigee.errors").message(message), "\n")
  end
end
host.state.loading = false

local filter, failed, passed = nil, 0, 0
local i = 1
while arg[i] do
  if arg[i] == "--filter" then
    filter, i = arg[i + 1], i + 2
  else
    local result = spec.run_file(arg[i], filter)
    for _, test in ipairs(result.tests) do
      if test.status == "failed" or test.status == "error" then
        local where = (test.path or "?") .. ":" .. (test.line or 0)
        print(test.status .. ": " .. test.name .. "\n  " .. where)
        print("  " .. tostring(test.message):gsub("\n", "\n  "))
        if test.traceback then
          print("  " .. test.traceback:gsub("\n", "\n  "))
        end
      elseif test.status == "pending" then
        print("pending: " .. test.name)
      end
    end
    print(arg[i] .. ": " .. result.passed .. " passed, " .. result.failed .. " failed, "
      .. result.errors .. " errors, " .. result.pending .. " pending")
    passed = passed + result.passed
    failed = failed + result.failed + result.errors
    i = i + 1
  end
end
print(passed .. " passed, " .. failed .. " failed")
os.exit(failed == 0 and 0 or 1)
