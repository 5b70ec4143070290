-- The one door through which everything leaves a script. perigee.testing stands in it during specs.

local host = require("perigee.host")

local effects = {}

local door

---Perform an effect by name. The modules of the runtime are the pleasant form of this.
---@param name string "records.get"
---@param args table
---@return any outcome; json null comes back as nil
function effects.call(name, args)
  local outcome
  if door then
    outcome = door(name, args)
  else
    outcome = host.effect(name, args)
  end
  if outcome == host.null then
    return nil
  end
  return outcome
end

---Put a function in the way of every effect (specs only); nil takes it away.
---@param fn? fun(name: string, args: table): any
function effects.intercept(fn)
  door = fn
end

---A table without the fields that are JSON null, in place.
---@generic T: table
---@param t T
---@return T
function effects.without_nulls(t)
  for _, key in ipairs(effects.null_fields(t)) do
    t[key] = nil
  end
  return t
end

-- Collected first: a table is not changed while it is walked.
function effects.null_fields(t)
  local found = {}
  for key, value in pairs(t) do
    if value == host.null then
      found[#found + 1] = key
    end
  end
  return found
end

return effects
