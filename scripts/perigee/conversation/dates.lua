--- Dates as they stand in transcripts and mail headers, as RFC 3339 text in UTC where the zone is known.

local time = require "perigee.time"

local M = {}

local MONTHS = {
  jan = 1,
  feb = 2,
  mar = 3,
  apr = 4,
  may = 5,
  jun = 6,
  jul = 7,
  aug = 8,
  sep = 9,
  oct = 10,
  nov = 11,
  dec = 12,
}

--- Unix microseconds of ISO 8601 text as recorders write it: seconds, zone and the T may be missing.
---@param at string|nil
---@return integer|nil
function M.micros(at)
  if type(at) ~= "string" then
    return nil
  end
  local day, clock, rest = at:match("^(%d%d%d%d%-%d%d%-%d%d)[Tt ](%d%d:%d%d)(.*)$")
  if not day then
    day = at:match("^(%d%d%d%d%-%d%d%-%d%d)$")
    return day and time.parse(day) or nil
  end
  local seconds, zone = rest:match("^(:%d%d%.?%d*)(.*)$")
  zone = (zone or rest):gsub("%s", ""):gsub("^([+-]%d%d)(%d%d)$", "%1:%2")
  seconds = (seconds or ":00"):gsub("%.$", "")
  local micros = time.parse(day .. "T" .. clock .. seconds .. (zone == "" and "Z" or zone))
  return micros or nil
end

--- RFC 3339 text of unix microseconds, in UTC with milliseconds.
M.text = time.format

local function spelled(at)
  local lowered = at:lower()
  local day, month, year = lowered:match("(%d%d?)%.?%s+(%a%a%a)%a*%.?,?%s+(%d%d%d%d)")
  if not day then
    month, day, year = lowered:match("(%a%a%a)%a*%.?%s+(%d%d?)%a?%a?,?%s+(%d%d%d%d)")
  end
  if not (day and MONTHS[month]) then
    return nil
  end
  local h, mi, s, half = lowered:match("(%d%d?):(%d%d):?(%d?%d?)%s*([ap]?)%.?m?")
  h, mi, s = tonumber(h) or 0, tonumber(mi) or 0, tonumber(s) or 0
  if half == "p" and h < 12 then
    h = h + 12
  elseif half == "a" and h == 12 then
    h = 0
  end
  local zone = lowered:match("([+-]%d%d%d%d)")
  return string.format(
    "%s-%02d-%02dT%02d:%02d:%02d%s",
    year,
    MONTHS[month],
    tonumber(day),
    h,
    mi,
    s,
    zone or ""
  )
end

--- RFC 3339 text of a date as people and mail programs write it; nil where it is none. Without a zone UTC is taken.
---@param at any
---@return string|nil
function M.normalise(at)
  if type(at) ~= "string" or #at > 80 then
    return nil
  end
  local micros = M.micros(at)
  if not micros then
    local iso = spelled(at)
    micros = iso and M.micros(iso)
  end
  return micros and time.format(micros) or nil
end

return M
