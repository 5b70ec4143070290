-- Scripts that misbehave. Each must end with a named reason and harm nobody.
local agent = require "perigee.agent"
local records = require "perigee.records"

local function capability(run)
  return { title = "Misbehaves", input = {}, output = { value = "any?" }, run = run }
end


local function recurse(n)
  return 1 + recurse(n + 1)
end


return agent "hostile" {
  title = "Hostile scripts",
  capabilities = {
    loop = capability(function()
      while true do end
    end),
    stubborn_loop = capability(function()
      while true do
        pcall(function()
          while true do end
        end)
      end
    end),
    deaf = capability(function()
      return { value = string.find(string.rep("a", 300), string.rep(".-", 6) .. "b") }
    end),
    recursion = capability(function()
      return { value = recurse(1) }
    end),
    memory = capability(function()
      local all = {}
      for n = 1, 1e9 do
        all[n] = { n }
      end
    end),
    stubborn_memory = capability(function()
      local all = {}
      while true do
        pcall(function()
          all[#all + 1] = string.rep("x", 100000)
        end)
      end
    end),
    big_string = capability(function()
      local s = "x"
      while true do
        s = s .. s
      end
    end),
    returns_function = capability(function()
      return { value = function() end }
    end),
    returns_cycle = capability(function()
      local t = {}
      t.self = t
      return { value = t }
    end),
    returns_nan = capability(function()
      return { value = 0 / 0 }
    end),
    returns_nothing = capability(function() end),
    yields = capability(function()
      coroutine.yield({ name = "records.put", args = {} })
      return {}
    end),
    throws_table = capability(function()
      error(setmetatable({}, {
        __tostring = function()
          while true do end
        end,
      }))
    end),
    writes_global = capability(function()
      leaked = 1 -- luacheck: ignore
      return {}
    end),
    mixed_keys = capability(function()
      records.get("note", "x")
      return { value = { 1, 2, key = 3 } }
    end),
  },
}
