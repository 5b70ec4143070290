--- Amounts, percentages, durations, dates and quantities in a reading, each with the words that it spans.
-- An entity is {kind, first, last, ...}; `slots[kind][first]` finds it while a cue is matched.

local text = require "perigee.text"

local M = {}

local NUMBER_WORDS = {
  one = 1,
  two = 2,
  three = 3,
  four = 4,
  five = 5,
  six = 6,
  seven = 7,
  eight = 8,
  nine = 9,
  ten = 10,
  eleven = 11,
  twelve = 12,
  thirteen = 13,
  fourteen = 14,
  fifteen = 15,
  sixteen = 16,
  seventeen = 17,
  eighteen = 18,
  nineteen = 19,
  twenty = 20,
  thirty = 30,
  forty = 40,
  fifty = 50,
  sixty = 60,
  seventy = 70,
  eighty = 80,
  ninety = 90,
}
local SCALES = {
  hundred = 100,
  thousand = 1000,
  million = 1000000,
  billion = 1000000000,
  grand = 1000,
  k = 1000,
  lakh = 100000,
  lakhs = 100000,
  crore = 10000000,
  crores = 10000000,
}
local SUFFIXES = {
  k = 1000,
  m = 1000000,
  mm = 1000000,
  bn = 1000000000,
  b = 1000000000,
  mio = 1000000,
  mn = 1000000,
}
local CURRENCY_WORDS = {
  dollar = "USD",
  dollars = "USD",
  usd = "USD",
  bucks = "USD",
  euro = "EUR",
  euros = "EUR",
  eur = "EUR",
  pound = "GBP",
  pounds = "GBP",
  gbp = "GBP",
  quid = "GBP",
  yen = "JPY",
  jpy = "JPY",
  chf = "CHF",
  francs = "CHF",
  cad = "CAD",
  aud = "AUD",
  inr = "INR",
  rupees = "INR",
  rs = "INR",
  sek = "SEK",
  nok = "NOK",
  dkk = "DKK",
  grand = "",
}
local UNIT_HOURS = {
  minute = 0,
  minutes = 0,
  min = 0,
  mins = 0,
  hour = 1,
  hours = 1,
  hrs = 1,
  hr = 1,
  day = 24,
  days = 24,
  week = 168,
  weeks = 168,
  wk = 168,
  wks = 168,
  fortnight = 336,
  month = 720,
  months = 720,
  mo = 720,
  quarter = 2160,
  quarters = 2160,
  year = 8760,
  years = 8760,
  yr = 8760,
  yrs = 8760,
  weekend = 48,
  sprint = 336,
}
local VAGUE = { a = 1, an = 1, couple = 2, few = 3, several = 4, half = 0.5 }
local MONTHS = {
  january = 1,
  february = 2,
  march = 3,
  april = 4,
  may = 5,
  june = 6,
  july = 7,
  august = 8,
  september = 9,
  october = 10,
  november = 11,
  december = 12,
  jan = 1,
  feb = 2,
  mar = 3,
  apr = 4,
  jun = 6,
  jul = 7,
  aug = 8,
  sep = 9,
  sept = 9,
  oct = 10,
  nov = 11,
  dec = 12,
}
local WEEKDAYS = text.set("monday tuesday wednesday thursday friday saturday sunday")
local SEASONS = text.set([[
  spring summer autumn fall winter christmas easter thanksgiving ramadan diwali eid hanukkah
  passover halloween xmas
]])
-- Two words that name a day or a time of the year.
local LANDMARKS = {
  labor = "day",
  labour = "day",
  memorial = "day",
  independence = "day",
  boxing = "day",
  half = "term",
  year = "end",
  golden = "week",
}
local ORDINALS = {
  first = 1,
  second = 2,
  third = 3,
  fourth = 4,
  fifth = 5,
  sixth = 6,
  seventh = 7,
  eighth = 8,
  ninth = 9,
  tenth = 10,
  eleventh = 11,
  twelfth = 12,
  fifteenth = 15,
  twentieth = 20,
  thirtieth = 30,
}
local ORDINAL_ENDINGS = text.set("st nd rd th")
-- "the 14th" is a day where none of what follows could be counted by it: not "the 14th floor".
local BEFORE_DAY = text.set("the on by before until till from after for even say")
local AFTER_DAY = text.set([[
  is are was be would will should could can may might must does do did suit suits works work fits
  fit of and or but in at on for to then it please we i you if because so as with without gives give
  leaves stands holds rather instead latest morning afternoon evening onwards sounds seems looks not
  a that this already has have had by before than though since when whatever 's yes no okay ok
  itself sharp only just being until till cause pose present create clash clashes bother
]])
local NEAR = {
  today = 12,
  tonight = 12,
  tomorrow = 24,
  weekend = 120,
  eod = 12,
  eow = 120,
  eom = 360,
  eoq = 1080,
  eoy = 4380,
  yesterday = 0,
}
local PERIOD = {
  week = 168,
  month = 720,
  quarter = 2160,
  year = 8760,
  fiscal = 8760,
  financial = 8760,
  sprint = 336,
}
local WHICH = {
  next = 1,
  this = 0.5,
  coming = 1,
  following = 2,
  ["end"] = 0.5,
  beginning = 1,
  start = 1,
  current = 0.5,
  within = 1,
}
local QUARTERS = text.set("q1 q2 q3 q4 h1 h2 fy")
local BEFORE_MONTH = text.set([[
  in by this next of until till before after early mid late since from for to on last end
]])

-- A number at i: value and the last word of it, spelled or in digits.
local function number_at(reading, i, last)
  local words = reading.words
  local value
  local word = words[i]
  local k = i
  if word == "#" then
    value = reading.numbers[i]
    local scale = SUFFIXES[reading.suffixes[i] or ""]
    if scale then
      value = value * scale
    end
  else
    value = NUMBER_WORDS[word] or (word == "hundred" or word == "thousand") and 1 or nil
    if not value then
      return nil
    end
    if word == "hundred" or word == "thousand" then
      k = i - 1
    end
    local unit = value >= 20 and k + 1 <= last and NUMBER_WORDS[words[k + 1]]
    if unit and unit < 10 then
      value, k = value + unit, k + 1
    end
  end
  if k + 3 <= last and words[k + 1] == "and" and words[k + 2] == "a" and words[k + 3] == "half" then
    value, k = value + 0.5, k + 3
  end
  while k < last and SCALES[words[k + 1]] and words[k + 1] ~= "k" do
    value = value * SCALES[words[k + 1]]
    k = k + 1
    if k + 2 <= last and words[k + 1] == "and" and NUMBER_WORDS[words[k + 2]] then
      value, k = value + NUMBER_WORDS[words[k + 2]], k + 2
    end
  end
  if k < i then
    k = i
  end
  return value, k
end

local function put(slots, kind, entity)
  local list = slots[kind]
  if not list then
    list = {}
    slots[kind] = list
  end
  entity.kind = kind
  if not list[entity.first] then
    list[entity.first] = entity
  end
end

local QUALIFIES_UNIT = text.set("business working calendar full more")

local function minor_units(value)
  return math.floor(value * 100 + 0.5)
end

-- A number that counts nothing known: a year, or an amount that nobody gave a currency.
local function put_plain(reading, slots, i, k, value)
  local words, suffix = reading.words, reading.suffixes[i]
  put(slots, "number", { first = i, last = k, value = value })
  local grand = SCALES[words[k]] ~= nil or SUFFIXES[suffix or ""]
  local is_year = words[i] == "#"
    and value >= 1990
    and value <= 2100
    and value == math.floor(value)
    and not suffix
  if is_year then
    put(slots, "year", { first = i, last = k, value = value })
  end
  if value >= 100 and words[i] == "#" and not is_year or grand and value >= 1000 then
    put(
      slots,
      "amount",
      { first = i, last = k, amount = minor_units(value), bare = not grand or nil }
    )
    if grand then
      put(slots, "money", { first = i, last = k, amount = minor_units(value) })
    end
  elseif is_year and value % 50 == 0 then
    put(slots, "amount", { first = i, last = k, amount = minor_units(value), bare = true })
  end
end

-- Whether an ordinal stands for a day of the month.
local function is_day(reading, i, last)
  local words = reading.words
  return BEFORE_DAY[words[i - 1] or ""]
    and (i >= last or reading.breaks[i + 1] or AFTER_DAY[words[i + 1]])
end

-- "22/05", "5/22/2031": the month where it is clear which of the two it is.
local function read_slashed(reading, slots, i)
  local a, b, year = reading.suffixes[i]:match "^(%d%d?)/(%d%d?)/?(%d*)$"
  a, b = tonumber(a), tonumber(b)
  if not a or a < 1 or b < 1 or a > 31 or b > 31 or a > 12 and b > 12 or a == 1 and b <= 4 then
    return
  end
  local date = { first = i, last = i }
  if a > 12 then
    date.day, date.month = a, b
  elseif b > 12 then
    date.day, date.month = b, a
  end
  date.year = #year == 4 and tonumber(year) or nil
  put(slots, "date", date)
end

-- "week 38"
local function read_week(reading, slots, i)
  if reading.numbers[i + 1] <= 53 then
    put(slots, "date", { first = i, last = i + 1 })
  end
end

-- Numbers and what they count: money, percent, duration, or a plain quantity with its unit.
local function read_amount(reading, slots, i, last)
  local words = reading.words
  local value, k = number_at(reading, i, last)
  if not value then
    return
  end
  local currency = reading.currencies[i]
  local before = words[i - 1] or ""
  if not currency and i > 1 and CURRENCY_WORDS[before] and #before <= 3 then
    currency = CURRENCY_WORDS[before]
  end
  local suffix = reading.suffixes[i]
  if suffix == "%" or words[k + 1] == "percent" and k < last then
    put(slots, "percent", { first = i, last = suffix == "%" and k or k + 1, value = value })
    return
  end
  local nxt = k < last and words[k + 1] or nil
  if ORDINAL_ENDINGS[suffix or ""] then
    put(slots, "number", { first = i, last = k, value = value })
    if value <= 31 and is_day(reading, i, last) then
      put(slots, "date", { first = i, last = i, day = value })
    end
    return
  end
  if currency or nxt and CURRENCY_WORDS[nxt] and nxt ~= "grand" then
    local stop = k
    if not currency then
      currency, stop = CURRENCY_WORDS[nxt], k + 1
    end
    put(
      slots,
      "money",
      { first = i, last = stop, amount = minor_units(value), currency = currency }
    )
    put(
      slots,
      "amount",
      { first = i, last = stop, amount = minor_units(value), currency = currency }
    )
    return
  end
  if QUALIFIES_UNIT[nxt or ""] then
    nxt, k = words[k + 2], k + 1
  end
  local hours = UNIT_HOURS[nxt or ""]
  if hours and k < last then
    local span = math.floor(value * hours)
    put(slots, "duration", { first = i, last = k + 1, hours = span, unit = hours })
    return
  end
  put_plain(reading, slots, i, k, value)
end

local function read_month(reading, slots, i, last)
  local words = reading.words
  local word, before, after = words[i], words[i - 1], words[i + 1]
  local spelled = before == "of" and ORDINALS[words[i - 2] or ""] or ORDINALS[before or ""]
  local day = i < last
      and after == "#"
      and (reading.numbers[i + 1] or 99) <= 31
      and reading.numbers[i + 1]
    or nil
  local first, stop = i, day and i + 1 or i
  if not day and i > 1 and before == "#" and reading.numbers[i - 1] <= 31 then
    day, first = reading.numbers[i - 1], i - 1
  elseif not day and before == "of" and words[i - 2] == "#" and reading.numbers[i - 2] <= 31 then
    day, first = reading.numbers[i - 2], i - 2
  elseif not day and spelled then
    day, first = spelled, before == "of" and i - 2 or i - 1
  end
  if
    (word == "may" or word == "march" or word == "mar")
    and not day
    and not BEFORE_MONTH[before or ""]
  then
    return
  end
  local year
  if
    stop < last
    and words[stop + 1] == "#"
    and reading.numbers[stop + 1] >= 1990
    and reading.numbers[stop + 1] <= 2100
  then
    year, stop = reading.numbers[stop + 1], stop + 1
  end
  put(slots, "date", { first = first, last = stop, month = MONTHS[word], day = day, year = year })
end

local function read_period(reading, slots, i, last)
  local words = reading.words
  local k = i + 1
  if words[k] == "of" then
    k = k + 1
  end
  if words[k] == "the" or words[k] == "this" or words[k] == "next" or words[k] == "our" then
    k = k + 1
  end
  if k > last then
    return
  end
  local word = words[k]
  local stop = k
  if
    (word == "fiscal" or word == "financial" or word == "calendar")
    and (words[k + 1] == "year" or words[k + 1] == "quarter")
  then
    word, stop = words[k + 1], k + 1
  end
  local hours = PERIOD[word]
  if hours and stop <= last then
    put(slots, "date", { first = i, last = stop, hours = math.floor(hours * WHICH[words[i]]) })
  elseif (WEEKDAYS[word] or SEASONS[word] or MONTHS[word]) and stop <= last then
    put(
      slots,
      "date",
      { first = i, last = stop, month = MONTHS[word], hours = WEEKDAYS[word] and 168 or nil }
    )
  end
end

local RATED = text.set("# once twice times thousand hundred dollars euros pounds grand each")

local function read_vague(reading, slots, i, last)
  local words = reading.words
  local k = i + 1
  -- "$45 a month", "twice a week": how often, not how long
  local article = words[i] == "a" or words[i] == "an"
  if article and RATED[words[i - 1] or ""] and UNIT_HOURS[words[k]] then
    return
  end
  if article or words[i] == "next" or words[i] == "half" then
    if VAGUE[words[k]] then
      k = k + 1
    end
  end
  if words[k] == "of" then
    k = k + 1
  end
  if words[k] == "business" or words[k] == "working" or words[k] == "more" then
    k = k + 1
  end
  local hours = k <= last and UNIT_HOURS[words[k]]
  if hours then
    local factor = VAGUE[words[k - 1]] or VAGUE[words[i + 1]] or VAGUE[words[i]] or 1
    put(slots, "duration", { first = i, last = k, hours = math.floor(hours * factor) })
  end
end

-- "by the 28th": a date begins with its article as well as without.
local function with_articles(reading, dates)
  local added = {}
  for at, date in pairs(dates) do
    if reading.words[at - 1] == "the" and not dates[at - 1] then
      added[at - 1] = date
    end
  end
  for at, date in pairs(added) do
    dates[at] = date
  end
end

--- Finds what the words of a sentence count and when.
---@param reading table
---@param first integer
---@param last integer
---@param slots table kind -> first word -> entity; filled
function M.read(reading, first, last, slots)
  local words = reading.words
  local i = first
  while i <= last do
    local word = words[i]
    if word == "#" or NUMBER_WORDS[word] or word == "hundred" or word == "thousand" then
      if not (i > first and SCALES[word] and NUMBER_WORDS[words[i - 1]]) then
        read_amount(reading, slots, i, last)
      end
    elseif MONTHS[word] then
      read_month(reading, slots, i, last)
    elseif LANDMARKS[word] and i < last and words[i + 1] == LANDMARKS[word] then
      put(slots, "date", { first = i, last = i + 1 })
    elseif word == "week" and words[i + 1] == "#" and i < last then
      read_week(reading, slots, i)
    elseif word == "#time" then
      read_slashed(reading, slots, i)
    elseif ORDINALS[word] and ORDINALS[word] > 3 and is_day(reading, i, last) then
      put(slots, "date", { first = i, last = i, day = ORDINALS[word] })
    elseif WEEKDAYS[word] or SEASONS[word] then
      put(slots, "date", { first = i, last = i, hours = WEEKDAYS[word] and 168 or nil })
    elseif NEAR[word] then
      put(slots, "date", { first = i, last = i, hours = NEAR[word] })
    elseif QUARTERS[word] then
      put(slots, "date", { first = i, last = i })
    elseif word == "#date" then
      local written = reading.suffixes[i]
      put(slots, "date", {
        first = i,
        last = i,
        year = tonumber(written:sub(1, 4)),
        month = tonumber(written:sub(6, 7)),
        day = tonumber(written:sub(9, 10)),
      })
    elseif WHICH[word] then
      read_period(reading, slots, i, last)
    end
    if VAGUE[word] then
      read_vague(reading, slots, i, last)
    end
    i = i + 1
  end
  if slots.date then
    with_articles(reading, slots.date)
  end
end

return M
