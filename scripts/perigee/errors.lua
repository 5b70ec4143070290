-- Errors with a code, so that whoever catches one can tell what happened without reading the text.
-- The host raises its own in the same form: { code = "records.conflict", message = "…" }.

local check = require("perigee.check")

local errors = {}

local Error = {}
Error.__index = Error
Error.__tostring = function(self)
  return self.message
end

---@class perigee.Error
---@field code string noun.reason: "records.conflict"
---@field message string

---Make an error; raise it with `error(…, 0)` or use `errors.raise`.
---@param code string noun.reason
---@param message string what, where, what to do
---@param fields? table more fields for whoever catches it
---@return perigee.Error
function errors.new(code, message, fields)
  check.name("errors.new", "code", code)
  check.type("errors.new", "message", message, "string")
  local made = {}
  for key, value in pairs(fields or {}) do
    made[key] = value
  end
  made.code = code
  made.message = message
  return setmetatable(made, Error)
end

---Raise an error with a code. The run fails with this code unless it is caught.
---@param code string
---@param message string
---@param fields? table
function errors.raise(code, message, fields)
  check.name("errors.raise", "code", code)
  check.type("errors.raise", "message", message, "string")
  error(errors.new(code, message, fields), 0)
end

---The code of something caught by pcall; nil when it has none (a plain script error).
---@param caught any
---@return string?
function errors.code(caught)
  if type(caught) == "table" and type(caught.code) == "string" then
    return caught.code
  end
end

---The text of something caught by pcall.
---@param caught any
---@return string
function errors.message(caught)
  if type(caught) == "table" and type(caught.message) == "string" then
    return caught.message
  end
  return tostring(caught)
end

return errors
