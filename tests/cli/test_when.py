#!/usr/bin/env python3
"""`perigee schedules when` against another implementation: Python's zoneinfo and a matcher that tries every minute of the wall."""
import datetime, os, random, re, subprocess, sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "http"))
from harness import PROGRAM, equal, main, matches, test, true
from zoneinfo import ZoneInfo

UTC = datetime.timezone.utc
MINUTE = datetime.timedelta(minutes=1)
SEED = int(os.environ.get("SEED", "20260329"))
MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split()
DAYS = "sun mon tue wed thu fri sat".split()
# The day around which clocks change, and the zone.
CHANGES = [
    ("Europe/Berlin", "2026-03-29"), ("Europe/Berlin", "2026-10-25"), ("America/New_York", "2026-03-08"), ("America/New_York", "2026-11-01"),
    ("Australia/Lord_Howe", "2026-04-05"), ("Australia/Lord_Howe", "2026-10-04"), ("America/Sao_Paulo", "2018-11-04"), ("Pacific/Apia", "2011-12-30"),
    ("Africa/Casablanca", "2025-02-23"), ("Asia/Kathmandu", "2026-05-01"), ("UTC", "2028-02-29"), ("America/St_Johns", "2026-11-01"),
    ("Asia/Tehran", "2022-03-22"), ("Antarctica/Troll", "2026-03-29"), ("Antarctica/Troll", "2026-10-25"),
]


def when(rule, zone, after, count):
    done = subprocess.run([PROGRAM, "schedules", "when", rule, "--zone", zone, "--after", after.strftime("%Y-%m-%dT%H:%M:%SZ"), "--count", str(count)],
                          capture_output=True, text=True, timeout=60)
    equal(done.returncode, 0, "%s %s: %s" % (rule, zone, done.stderr))
    return [datetime.datetime.strptime(line, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC) for line in done.stdout.split()]


def instant(wall, zone):
    """The first time at which clocks show this; where they skip it, when they do."""
    for fold in (0, 1):
        at = wall.replace(tzinfo=zone, fold=fold).astimezone(UTC)
        if at.astimezone(zone).replace(tzinfo=None) == wall:
            return at
    low = wall.replace(tzinfo=UTC) - datetime.timedelta(days=2)
    high = wall.replace(tzinfo=UTC) + datetime.timedelta(days=2)
    while high - low > datetime.timedelta(seconds=1):   # the first instant at which clocks show more
        middle = low + (high - low) / 2
        if middle.astimezone(zone).replace(tzinfo=None) < wall:
            low = middle
        else:
            high = middle
    return high.replace(microsecond=0)


def values(text, least, most, names=()):
    found = set()
    for part in text.split(","):
        body, _, step = part.partition("/")
        number = lambda s: names.index(s.lower()) + (1 if names is MONTHS else 0) if s.lower() in names else int(s)
        if body == "*":
            low, high = least, most
        elif "-" in body:
            low, high = map(number, body.split("-"))
        else:
            low = high = number(body)
        found.update(range(low, high + 1, int(step or 1)))
    return found


def walls(cron, first, days):
    """Every minute of the wall that a cron line names."""
    minute, hour, day, month, weekday = cron.split()
    minutes, hours = values(minute, 0, 59), values(hour, 0, 23)
    month_days, months, weekdays = values(day, 1, 31), values(month, 1, 12, MONTHS), {d % 7 for d in values(weekday, 0, 7, DAYS)}
    for offset in range(days):
        at = first + datetime.timedelta(days=offset)
        a, b = at.day in month_days, (at.weekday() + 1) % 7 in weekdays
        fits = a and b if day.startswith("*") or weekday.startswith("*") else a or b
        if at.month in months and fits:
            for h in sorted(hours):
                for m in sorted(minutes):
                    yield at.replace(hour=h, minute=m)


def expected(cron, zone, after, days):
    first = (after - datetime.timedelta(days=2)).replace(hour=0, minute=0, second=0, tzinfo=None)
    return sorted({at for at in (instant(w, zone) for w in walls(cron, first, days)) if at > after})


def random_field(r, least, most, names=()):
    def one():
        v = r.randint(least, most)
        return names[(v - least) % len(names)] if names and r.random() < 0.5 else str(v)

    def span():
        low, high = sorted((r.randint(least, most), r.randint(least, most)))
        return "%d-%d" % (low, high) + ("/%d" % r.randint(1, 7) if r.random() < 0.4 else "")
    kind = r.random()
    if kind < 0.35:
        return "*" if r.random() < 0.7 else "*/%d" % r.randint(1, 15 if most > 15 else most)
    return ",".join((one if r.random() < 0.6 else span)() for _ in range(r.randint(1, 3)))


@test
def random_cron_lines_fire_when_another_implementation_says():
    r = random.Random(SEED)
    for zone_name, change in CHANGES:
        zone = ZoneInfo(zone_name)
        for _ in range(8):
            cron = " ".join([random_field(r, 0, 59), random_field(r, 0, 23), r.choice(["*", "*", random_field(r, 1, 31)]),
                             r.choice(["*", "*", random_field(r, 1, 12, MONTHS)]), r.choice(["*", "*", random_field(r, 0, 6, DAYS)])])
            after = datetime.datetime.fromisoformat(change).replace(tzinfo=UTC) - datetime.timedelta(hours=r.randint(1, 40), seconds=r.randint(0, 59))
            wanted = expected(cron, zone, after, 7)[:40]
            if not wanted:
                continue
            # the last one may have neighbours outside of what was enumerated
            got = when(cron, zone_name, after, len(wanted))
            equal([t.isoformat() for t in got], [t.isoformat() for t in wanted], "SEED=%d: %r in %s after %s" % (SEED, cron, zone_name, after))


@test
def every_hour_of_a_night_with_a_change_is_right():
    for zone_name, change in CHANGES:
        zone = ZoneInfo(zone_name)
        after = datetime.datetime.fromisoformat(change).replace(tzinfo=UTC) - datetime.timedelta(hours=20)
        wanted = expected("*/10 * * * *", zone, after, 5)[:250]
        equal(when("*/10 * * * *", zone_name, after, 250), wanted, zone_name)


@test
def the_words_of_every_mean_what_they_say():
    after = datetime.datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
    zone = ZoneInfo("America/New_York")
    for every, cron in [("day 07:05", "5 7 * * *"), ("weekday 08:00", "0 8 * * 1-5"), ("monday 09:30", "30 9 * * mon"), ("sunday 00:00", "0 0 * * 7"),
                        ("month 31 06:00", "0 6 31 * *")]:
        wanted = expected(cron, zone, after, 200)[:3]
        equal(when(every, "America/New_York", after, 3), wanted, every)
    for every, seconds in [("5 minutes", 300), ("30s", 30), ("2h", 7200), ("hour", 3600), ("minute", 60), ("1 day", 86400), ("90 seconds", 90)]:
        first = (int(after.timestamp()) // seconds + 1) * seconds
        wanted = [datetime.datetime.fromtimestamp(first + i * seconds, UTC) for i in range(3)]
        equal(when(every, "Europe/Berlin", after, 3), wanted, every)


@test
def what_is_no_rule_is_refused_with_what_would_be():
    for rule, text in [("noon", "every is"), ("5 s", "every is"), ("0s", "every is"), ("* * * *", "five fields"), ("* * * * * *", "too much"),
                       ("60 * * * *", "minute"), ("0 0 30 feb *", "never"), ("0 0 31 2,4,6 *", "never"), ("5/2 * * * *", "minute"),
                       ("* 9-8 * * *", "hour"), ("* * * foo *", "month"), ("* * * * 8", "day of week"), ("*/0 * * * *", "minute")]:
        done = subprocess.run([PROGRAM, "schedules", "when", rule], capture_output=True, text=True)
        equal(done.returncode, 2, rule)
        matches(done.stdout + done.stderr, text, rule)
    for zone in ("Mars/Olympus", "GMT+25", "", "Europe/Berlin2", "ZZ"):
        done = subprocess.run([PROGRAM, "schedules", "when", "hour", "--zone", zone], capture_output=True, text=True)
        equal(done.returncode, 2, zone)
        matches(done.stderr, "zone", zone)


@test
def rare_days_are_found():
    after = datetime.datetime(2096, 3, 1, tzinfo=UTC)
    equal(when("0 0 29 2 *", "UTC", after, 1), [datetime.datetime(2104, 2, 29, tzinfo=UTC)])
    true(re.match("2028-02-29", str(when("0 12 29 feb *", "Asia/Kathmandu", datetime.datetime(2026, 1, 1, tzinfo=UTC), 1)[0])))


main()
