-- Log lines of a run. They are kept with the run and shown by `perigee runs show` and on its event stream.

local host = require("perigee.host")
local check = require("perigee.check")

local log = {}

local function write(level, message, fields)
  if type(message) ~= "string" then
    local got = check.describe(message)
    error("log." .. level .. ": message must be a string, got " .. got, 3)
  end
  if fields ~= nil and type(fields) ~= "table" then
    error("log." .. level .. ": fields must be a table, got " .. check.describe(fields), 3)
  end
  host.log(level, message, fields or {})
end

---@param message string
---@param fields? table<string, any>
function log.debug(message, fields)
  write("debug", message, fields)
end

---@param message string
---@param fields? table<string, any>
function log.info(message, fields)
  write("info", message, fields)
end

---@param message string
---@param fields? table<string, any>
function log.warn(message, fields)
  write("warn", message, fields)
end

---@param message string
---@param fields? table<string, any>
function log.error(message, fields)
  write("error", message, fields)
end

return log
