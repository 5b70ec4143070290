-- Time: unix microseconds (integers) inside, RFC 3339 text outside. `time.now()` is the time of the last
-- outcome that this run was given, so a replay sees the same.

local host = require("perigee.host")
local check = require("perigee.check")
local effects = require("perigee.effects")

local time = {}

time.MILLISECOND = 1000
time.SECOND = 1000 * 1000
time.MINUTE = 60 * time.SECOND
time.HOUR = 60 * time.MINUTE
time.DAY = 24 * time.HOUR

local DAYS_OF_MONTH = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 }
local FIRST = -62135596800 * 1000000 -- 0001-01-01
local LAST = 253402300800 * 1000000 -- 10000-01-01

---@return integer us unix microseconds
function time.now()
  return host.now()
end

---Wait. The run costs nothing meanwhile and survives a restart of the host.
---@param ms integer milliseconds
function time.sleep(ms)
  check.integer("time.sleep", "ms", ms, 0)
  effects.call("time.sleep", { ms = ms })
end

---Wait until a moment; returns at once when it has passed.
---@param us integer unix microseconds
function time.sleep_until(us)
  check.integer("time.sleep_until", "us", us, 0)
  effects.call("time.sleep", { ["until"] = us })
end

-- Days since 1970-01-01 and back, for the proleptic Gregorian calendar (years counted from March).
local function days_from_civil(year, month, day)
  local y = month <= 2 and year - 1 or year
  local era = math.floor(y / 400)
  local year_of_era = y - era * 400
  local day_of_year = math.floor((153 * ((month + 9) % 12) + 2) / 5) + day - 1
  local leap_days = math.floor(year_of_era / 4) - math.floor(year_of_era / 100)
  return era * 146097 + year_of_era * 365 + leap_days + day_of_year - 719468
end

local function civil_from_days(days)
  local z = days + 719468
  local era = math.floor(z / 146097)
  local day_of_era = z - era * 146097
  local leap = math.floor(day_of_era / 1460) - math.floor(day_of_era / 36524)
    + math.floor(day_of_era / 146096)
  local year_of_era = math.floor((day_of_era - leap) / 365)
  local passed = 365 * year_of_era + math.floor(year_of_era / 4) - math.floor(year_of_era / 100)
  local day_of_year = day_of_era - passed
  local shifted = math.floor((5 * day_of_year + 2) / 153)
  local month = (shifted + 2) % 12 + 1
  local year = era * 400 + year_of_era + (month <= 2 and 1 or 0)
  return year, month, day_of_year - math.floor((153 * shifted + 2) / 5) + 1
end

---@class perigee.Parts
---@field year integer
---@field month integer 1–12
---@field day integer
---@field hour integer
---@field minute integer
---@field second integer
---@field microsecond integer
---@field weekday integer 1 is Monday, 7 is Sunday

---The calendar fields of a moment, in UTC.
---@param us integer
---@return perigee.Parts
function time.parts(us)
  if type(us) ~= "number" or us % 1 ~= 0 or us < FIRST or us >= LAST then
    local got = check.describe(us)
    error("time.parts: us must be unix microseconds (an integer, years 1 to 9999), got " .. got, 2)
  end
  local days = math.floor(us / time.DAY)
  local rest = us - days * time.DAY
  local year, month, day = civil_from_days(days)
  return {
    year = year,
    month = month,
    day = day,
    hour = math.floor(rest / time.HOUR),
    minute = math.floor(rest / time.MINUTE) % 60,
    second = math.floor(rest / time.SECOND) % 60,
    microsecond = rest % time.SECOND,
    weekday = (days + 3) % 7 + 1,
  }
end

---RFC 3339, UTC, with milliseconds: "2026-11-22T07:00:00.000Z".
---@param us integer
---@return string
function time.format(us)
  if type(us) ~= "number" or us % 1 ~= 0 or us < FIRST or us >= LAST then
    local got = check.describe(us)
    error("time.format: us must be unix microseconds (an integer, years 1 to 9999), got " .. got, 2)
  end
  local t = time.parts(us)
  local ms = math.floor(t.microsecond / 1000)
  local pattern = "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ"
  return string.format(pattern, t.year, t.month, t.day, t.hour, t.minute, t.second, ms)
end

---The date of a moment in UTC: "2026-11-22".
---@param us integer
---@return string
function time.date(us)
  return string.sub(time.format(us), 1, 10)
end

local function days_in(year, month)
  local leap = year % 4 == 0 and (year % 100 ~= 0 or year % 400 == 0)
  return month == 2 and leap and 29 or DAYS_OF_MONTH[month]
end

local function parse_offset(text)
  if text == "Z" or text == "z" then
    return 0
  end
  local sign, hours, minutes = string.match(text, "^([+-])(%d%d):(%d%d)$")
  if not sign or tonumber(hours) > 23 or tonumber(minutes) > 59 then
    return nil
  end
  local offset = tonumber(hours) * time.HOUR + tonumber(minutes) * time.MINUTE
  return sign == "-" and -offset or offset
end

local function parse_clock(text)
  local hour, minute, second, rest = string.match(text, "^[Tt ](%d%d):(%d%d):(%d%d)(.*)$")
  if not hour then
    return nil
  end
  local fraction, zone = string.match(rest, "^%.(%d+)(.*)$")
  local offset = parse_offset(zone or rest)
  hour, minute, second = tonumber(hour), tonumber(minute), tonumber(second)
  if not offset or hour > 23 or minute > 59 or second > 60 then
    return nil
  end
  local us = tonumber(string.sub((fraction or "") .. "000000", 1, 6))
  return hour * time.HOUR + minute * time.MINUTE + second * time.SECOND + us - offset
end

---Read RFC 3339 ("2026-11-22T07:00:00Z", any offset, any fraction) or a date alone (its midnight, UTC).
---@param text string
---@return integer? us unix microseconds
---@return string? problem
function time.parse(text)
  check.type("time.parse", "text", text, "string")
  local year, month, day, rest = string.match(text, "^(%d%d%d%d)-(%d%d)-(%d%d)(.*)$")
  year, month, day = tonumber(year), tonumber(month), tonumber(day)
  local problem = "not a time in RFC 3339: " .. check.describe(text)
  if not year or year < 1 or month < 1 or month > 12 or day < 1 or day > days_in(year, month) then
    return nil, problem
  end
  local clock = rest == "" and 0 or parse_clock(rest)
  if not clock then
    return nil, problem
  end
  return days_from_civil(year, month, day) * time.DAY + clock
end

return time
