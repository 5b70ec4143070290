local time = require("perigee.time")

describe("time", function()
  local known = {
    { 0, "1970-01-01T00:00:00.000Z" },
    { 951868799999000, "2000-02-29T23:59:59.999Z" },
    { 951868800000000, "2000-03-01T00:00:00.000Z" },
    { 1795330800000000, "2026-11-22T07:00:00.000Z" },
    { -1000, "1969-12-31T23:59:59.999Z" },
    { -62135596800000000, "0001-01-01T00:00:00.000Z" },
    { 253402300799999000, "9999-12-31T23:59:59.999Z" },
    { 4107542400000000, "2100-03-01T00:00:00.000Z" },
  }
  for _, pair in ipairs(known) do
    it("writes and reads " .. pair[2], function()
      assert.equal(pair[2], time.format(pair[1]))
      assert.equal(pair[1], (time.parse(pair[2])))
    end)
  end

  it("goes there and back for every day of four centuries", function()
    for day = 0, 146097, 97 do
      local us = (day - 40000) * time.DAY + 12345678000
      assert.equal(us, (time.parse(time.format(us))))
    end
  end)

  it("reads offsets, fractions and dates", function()
    assert.equal(time.parse("2026-11-22T06:00:00Z"), (time.parse("2026-11-22T07:00:00+01:00")))
    assert.equal(time.parse("2026-11-22T12:30:00Z"), (time.parse("2026-11-22T07:00:00-05:30")))
    assert.equal(123456, (time.parse("1970-01-01T00:00:00.123456789Z")))
    assert.equal(500000, (time.parse("1970-01-01T00:00:00.5Z")))
    assert.equal("2026-11-22T00:00:00.000Z", time.format((time.parse("2026-11-22"))))
    assert.equal("2026-11-22", time.date((time.parse("2026-11-22T23:59:59Z"))))
  end)

  local wrong = {
    "", "now", "2026-13-01", "2026-02-29", "1900-02-29", "2026-00-10", "2026-01-00", "0000-01-01",
    "2026-11-22T07:00:00", "2026-11-22T24:00:00Z", "2026-11-22T07:60:00Z", "2026-11-22 x",
    "2026-11-22T07:00:00+1:00", "2026-11-22T07:00:00.Z",
  }
  for _, text in ipairs(wrong) do
    it('does not read "' .. text .. '"', function()
      local us, problem = time.parse(text)
      assert.is_nil(us)
      assert.matches("not a time in RFC 3339", problem, nil, true)
    end)
  end

  it("knows the calendar", function()
    local parts = time.parts((time.parse("2026-11-22T07:08:09.5Z")))
    assert.same({
      year = 2026, month = 11, day = 22, weekday = 7,
      hour = 7, minute = 8, second = 9, microsecond = 500000,
    }, parts)
    assert.equal(1, time.parts((time.parse("2026-11-23"))).weekday)
  end)

  it("passes when nobody waits for it", function()
    local before = time.now()
    testing.advance(3 * 24 * 60 * 60 * 1000)
    assert.is_true(time.now() - before >= 3 * time.DAY)
    time.sleep_until(before)
    assert.is_true(time.now() - before < 3 * time.DAY + time.MINUTE)
  end)

  it("refuses what is no time", function()
    assert.error_matches(function()
      time.sleep(-1)
    end, "time_spec.lua:%d+: time.sleep: ms must be an integer of at least 0")
    assert.error_matches(function()
      time.format(1.5)
    end, "time_spec.lua:%d+: time.format: us must be unix microseconds")
  end)
end)
