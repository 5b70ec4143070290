-- When an agent works by the clock: the grammar of `every` and `cron`, checked while the bundle loads. The host checks
-- them again, and the zone, with what it fires by (core/base/cron.h).

local check = require("perigee.check")

local schedule = {}

local DAY = 86400
local UNITS = { s = 1, m = 60, h = 3600, d = DAY, second = 1, minute = 60, hour = 3600, day = DAY }
local DAYS = {
  day = true, weekday = true, monday = true, tuesday = true, wednesday = true,
  thursday = true, friday = true, saturday = true, sunday = true,
}
local EVERY = '"5 minutes", "30s", "15m", "2h", "1d", "minute", "hour", "day 07:00", '
  .. '"weekday 07:00", "monday 07:00" or "month 1 07:00"'
local MONTHS = {
  "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
}
local WEEKDAYS = { "sun", "mon", "tue", "wed", "thu", "fri", "sat" }
local FIELDS = {
  { name = "minute", least = 0, most = 59 },
  { name = "hour", least = 0, most = 23 },
  { name = "day of month", least = 1, most = 31 },
  { name = "month", least = 1, most = 12, names = MONTHS },
  { name = "day of week", least = 0, most = 7, names = WEEKDAYS },
}

local function is_interval(every)
  local count, unit = string.match(every, "^(%d+)([smhd])$")
  if not count then
    count, unit = string.match(every, "^(%d+) (%l+)$")
    unit = unit and string.gsub(unit, "s$", "")
    unit = unit and #unit > 1 and unit or nil
  end
  local seconds = unit and UNITS[unit]
  if not seconds or #count > 8 then
    return false
  end
  local n = tonumber(count)
  return n >= 1 and n * seconds <= 366 * DAY
end

local function is_time(hour, minute)
  return tonumber(hour) < 24 and tonumber(minute) < 60
end

---Is this what `every` may be?
---@param every any
---@return boolean
function schedule.is_every(every)
  if type(every) ~= "string" then
    return false
  end
  if every == "minute" or every == "hour" or is_interval(every) then
    return true
  end
  local day, hour, minute = string.match(every, "^(%l+) (%d%d):(%d%d)$")
  if day then
    return DAYS[day] == true and is_time(hour, minute)
  end
  day, hour, minute = string.match(every, "^month (%d%d?) (%d%d):(%d%d)$")
  return day ~= nil and tonumber(day) >= 1 and tonumber(day) <= 31 and is_time(hour, minute)
end

---Why this cannot be `every`; nil when it can.
---@param every any
---@return string?
function schedule.every_problem(every)
  if not schedule.is_every(every) then
    return "must be " .. EVERY .. ", got " .. check.describe(every)
  end
end

local function value_of(field, text)
  for i, name in ipairs(field.names or {}) do
    if string.lower(text) == name then
      return field.least + i - 1
    end
  end
  local n = string.find(text, "^%d%d?$") and tonumber(text)
  return n and n >= field.least and n <= field.most and n or nil
end

-- "*", "5", "1-5", "mon", with "/2" behind * or a range.
local function is_part(field, part)
  local range, step = string.match(part, "^([^/]+)/(%d+)$")
  if step and (tonumber(step) < 1 or tonumber(step) > field.most) then
    return false
  end
  range = range or part
  if range == "*" then
    return true
  end
  local from, to = string.match(range, "^(%w+)%-(%w+)$")
  if not from then
    return not step and value_of(field, range) ~= nil
  end
  from, to = value_of(field, from), value_of(field, to)
  return from ~= nil and to ~= nil and from <= to
end

local function is_field(field, text)
  for part in string.gmatch(text .. ",", "([^,]*),") do
    if not is_part(field, part) then
      return false
    end
  end
  return true
end

---Why this cannot be `cron`; nil when it can.
---@param cron any
---@return string?
function schedule.cron_problem(cron)
  if type(cron) ~= "string" then
    return 'must be five fields like "0 7 * * mon-fri", got ' .. check.describe(cron)
  end
  local i = 0
  for text in string.gmatch(cron, "[^ \t]+") do
    i = i + 1
    local field = FIELDS[i]
    if field and not is_field(field, text) then
      local range = field.least .. " to " .. field.most
      local names = field.names and " or a name of three letters" or ""
      local got = field.name .. " " .. check.describe(text)
      return got .. " must be *, N, N-M, a list of these, */S or N-M/S; N is " .. range .. names
    end
  end
  if i ~= #FIELDS then
    local got = check.describe(cron)
    return "must be five fields (minute hour day-of-month month day-of-week), got " .. got
  end
end

return schedule
