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
---@field name? string of the schedule, for operators; else its number among those of its capability
---@field every? string "5 minutes", "30s", "hour", "day 07:00", "weekday 07:00", "monday 07:00", "month 1 07:00"
---@field cron? string five fields, instead of `every`: "0 7 * * mon-fri"
---@field zone? string of the IANA database: "Europe/Berlin"; UTC without one
---@field capability string
---@field input? table
---@field catch_up? "none"|"last"|"all" what was missed while no host ran; "last" without one
---@field overlap? "skip"|"queue" when the run before is still at work; "skip" without one
---@field alarm? integer after so many slots in a row that did nothing, `perigee.schedule.idle`; 3 without one, 0 never

---@class perigee.Accepts
---@field version integer
---@field schema perigee.Short of the payload
---@field capability string that gets it as its input
---@field reply? perigee.Short of what the capability returns

---@class perigee.Subscription
---@field capability string
---@field retries? integer further attempts while its run fails: 0 to 100, otherwise 5
---@field ordered? boolean false: events of one key need not come one after the other

---@class perigee.Agent
---@field title? string
---@field backup? string agent that takes over
---@field kinds? table<string, perigee.Kind>
---@field capabilities table<string, perigee.Capability>
---@field on? table<string, string|perigee.Subscription> event type → capability
---@field schedule? perigee.Schedule[]
---@field accepts? table<string, perigee.Accepts> type of hand-off → how it is taken

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
