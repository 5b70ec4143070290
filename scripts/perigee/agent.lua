-- Declares an agent, while the bundle loads:
--
--   return agent "sales" { title = "Sales Agent", capabilities = { qualify = { …, run = function(input) … end } } }

local check = require("perigee.check")
local registry = require("perigee.registry")

---@class perigee.Capability
---@field title? string
---@field input? perigee.Short what `run` is given; without it, nothing
---@field output? perigee.Short what `run` returns; without it, anything
---@field run fun(input: any): any

---@class perigee.Kind of record
---@field title? string
---@field index? string[] fields of the body that records.list may filter and sort by
---@field schema? perigee.Short of the body

---@class perigee.Schedule
---@field every string "30s", "15m", "2h", "hour", "day 07:00", "weekday 07:00", "monday 07:00" (UTC)
---@field capability string
---@field input? table

---@class perigee.Agent
---@field title? string
---@field backup? string agent that takes over
---@field kinds? table<string, perigee.Kind>
---@field capabilities table<string, perigee.Capability>
---@field on? table<string, string> event type → capability
---@field schedule? perigee.Schedule[]

---@param name string lower-case letters, digits and _
---@return fun(declaration: perigee.Agent): perigee.Agent
local function agent(name)
  local path, line = check.where()
  return function(declaration)
    registry.add_agent(name, declaration, registry.module_of(path), path, line)
    return declaration
  end
end

return agent
