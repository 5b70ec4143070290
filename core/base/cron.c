#include "base/cron.h"

#include <string.h>

#define SECOND_US 1000000LL
#define DAY_S 86400LL
#define SEARCH_DAYS 3000       /* 29 February skips eight years at most (1896, 2096) */
#define YEAR_9999_US 253370764800000000LL

/* ---- fields ---- */

static const char *const month_names[] = { "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec", NULL };
static const char *const weekday_names[] = { "sun", "mon", "tue", "wed", "thu", "fri", "sat", NULL };

struct field {
	const char *what;
	int64_t least, most;
	const char *const *names;      /* of least, least + 1 …; NULL: none */
};
static const struct field fields[] = {
	{ "minute", 0, 59, NULL }, { "hour", 0, 23, NULL }, { "day of month", 1, 31, NULL }, { "month", 1, 12, month_names },
	{ "day of week", 0, 7, weekday_names },
};

/* Up to a character: what stands before it; *rest is behind it, or has no p when the character is not there. */
static struct str split(struct str text, char at, struct str *rest)
{
	const char *p = text.n ? memchr(text.p, at, text.n) : NULL;

	*rest = p ? (struct str){ p + 1, text.n - (size_t)(p - text.p) - 1 } : (struct str){ NULL, 0 };
	return p ? (struct str){ text.p, (size_t)(p - text.p) } : text;
}

static bool same_letters(struct str a, const char *b)
{
	if (a.n != strlen(b))
		return false;
	for (size_t i = 0; i < a.n; i++)
		if ((a.p[i] | 0x20) != b[i])
			return false;
	return true;
}

static bool read_value(const struct field *field, struct str text, int64_t *out)
{
	for (int64_t i = 0; field->names && field->names[i]; i++)
		if (same_letters(text, field->names[i])) {
			*out = field->least + i;
			return true;
		}
	return text.n <= 2 && str_to_int(text, field->least, field->most, out);
}

/* "*", "5", "1-5", "mon", each with "/2". */
static bool read_part(const struct field *field, struct str text, uint64_t *bits)
{
	struct str step_text, to_text, from_text;
	int64_t step = 1, from = field->least, to = field->most;

	text = split(text, '/', &step_text);
	if (step_text.p && !str_to_int(step_text, 1, field->most, &step))
		return false;
	if (!str_is(text, "*")) {
		from_text = split(text, '-', &to_text);
		if (!read_value(field, from_text, &from))
			return false;
		to = from;
		if (to_text.p && !read_value(field, to_text, &to))
			return false;
		/* a step needs a range to walk */
		if (to < from || (step_text.p && !to_text.p))
			return false;
	}
	for (int64_t v = from; v <= to; v += step)
		*bits |= 1ULL << v;
	return true;
}

static int read_field(const struct field *field, struct str text, uint64_t *bits, struct errbuf *e)
{
	struct str rest = text;

	*bits = 0;
	do {
		struct str part = split(rest, ',', &rest);

		if (!part.n || !read_part(field, part, bits))
			return err_set(e, ERR_INVALID, "cron: %s \"%.*s\" is not *, N, N-M, a list of these, or *%s with a step; N is %lld to %lld%s",
			               field->what, STR_ARG(text), "/S or N-M/S", (long long)field->least, (long long)field->most,
			               field->names ? " or a name of three letters" : "");
	} while (rest.p);
	return 0;
}

static int never(struct errbuf *e)
{
	return err_set(e, ERR_INVALID, "this never happens: no month that it names has such a day");
}

static bool happens(const struct cron_rule *rule)
{
	static const int lengths[] = { 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };

	if (!rule->any_weekday)
		return true;
	for (int month = 1; month <= 12; month++)
		for (int day = 1; rule->months >> month & 1 && day <= lengths[month - 1]; day++)
			if (rule->days >> day & 1)
				return true;
	return false;
}

int cron_parse(struct str text, struct cron_rule *out, struct errbuf *e)
{
	uint64_t bits[5];
	struct str rest = text;
	struct str parts[5];

	memset(out, 0, sizeof *out);
	for (size_t i = 0; i < 5; i++) {
		while (rest.n && (*rest.p == ' ' || *rest.p == '\t'))
			rest.p++, rest.n--;
		parts[i] = (struct str){ rest.p, 0 };
		while (rest.n && *rest.p != ' ' && *rest.p != '\t')
			rest.p++, rest.n--, parts[i].n++;
		if (!parts[i].n)
			return err_set(e, ERR_INVALID, "cron: five fields are needed (minute hour day-of-month month day-of-week), got \"%.*s\"", STR_ARG(text));
	}
	while (rest.n && (*rest.p == ' ' || *rest.p == '\t'))
		rest.p++, rest.n--;
	if (rest.n)
		return err_set(e, ERR_INVALID, "cron: five fields are needed, \"%.*s\" is too much", STR_ARG(rest));
	for (size_t i = 0; i < 5; i++) {
		int code = read_field(&fields[i], parts[i], &bits[i], e);

		if (code)
			return code;
	}
	out->minutes = bits[0];
	out->hours = (uint32_t)bits[1];
	out->days = (uint32_t)bits[2];
	out->months = (uint16_t)bits[3];
	out->weekdays = (uint8_t)((bits[4] | bits[4] >> 7) & 0x7f);
	out->any_day = *parts[2].p == '*';
	out->any_weekday = *parts[4].p == '*';
	return happens(out) ? 0 : never(e);
}

/* ---- every ---- */

static const char every_help[] = "every is \"5 minutes\", \"30s\", \"15m\", \"2h\", \"1d\", \"minute\", \"hour\", \"day 07:00\", "
				 "\"weekday 07:00\", \"monday 07:00\" or \"month 1 07:00\"";

static int64_t unit_us(struct str unit)
{
	static const struct {
		const char *one, *many, *letter;
		int64_t us;
	} units[] = {
		{ "second", "seconds", "s", SECOND_US }, { "minute", "minutes", "m", 60 * SECOND_US }, { "hour", "hours", "h", 3600 * SECOND_US },
		{ "day", "days", "d", DAY_S * SECOND_US },
	};

	for (size_t i = 0; i < sizeof units / sizeof *units; i++)
		if (str_is(unit, units[i].one) || str_is(unit, units[i].many) || str_is(unit, units[i].letter))
			return units[i].us;
	return 0;
}

static bool read_interval(struct str text, struct cron_rule *out)
{
	size_t digits = 0;
	int64_t count, unit;

	while (digits < text.n && text.p[digits] >= '0' && text.p[digits] <= '9')
		digits++;
	if (!digits || digits > 8 || !str_to_int((struct str){ text.p, digits }, 1, 366 * DAY_S, &count))
		return false;
	text.p += digits, text.n -= digits;
	if (text.n > 2 && *text.p == ' ')
		text.p++, text.n--;
	else if (text.n != 1)
		return false;
	unit = unit_us(text);
	if (!unit || count > 366 * DAY_S * SECOND_US / unit)
		return false;
	out->interval_us = count * unit;
	return true;
}

/* "07:00" */
static bool read_time(struct str text, struct cron_rule *out)
{
	int64_t hour, minute;

	if (text.n != 5 || text.p[2] != ':' || !str_to_int((struct str){ text.p, 2 }, 0, 23, &hour) ||
	    !str_to_int((struct str){ text.p + 3, 2 }, 0, 59, &minute))
		return false;
	out->hours = 1u << hour;
	out->minutes = 1ULL << minute;
	return true;
}

static bool read_days(struct str text, struct cron_rule *out)
{
	static const char *const days[] = { "sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday" };
	struct str rest, number;
	struct str word = split(text, ' ', &rest);
	int64_t day;

	out->days = 0xfffffffe;
	out->months = 0x1ffe;
	out->weekdays = 0x7f;
	out->any_day = out->any_weekday = true;
	if (str_is(word, "month")) {
		number = split(rest, ' ', &rest);
		if (number.n > 2 || !str_to_int(number, 1, 31, &day))
			return false;
		out->days = 1u << day;
		out->any_day = false;
	} else if (str_is(word, "weekday")) {
		out->weekdays = 0x3e;
		out->any_weekday = false;
	} else if (!str_is(word, "day")) {
		out->weekdays = 0;
		for (int i = 0; i < 7; i++)
			if (str_is(word, days[i]))
				out->weekdays = (uint8_t)(1 << i);
		out->any_weekday = false;
		if (!out->weekdays)
			return false;
	}
	return rest.p && read_time(rest, out);
}

int cron_parse_every(struct str text, struct cron_rule *out, struct errbuf *e)
{
	memset(out, 0, sizeof *out);
	if (str_is(text, "minute") || str_is(text, "hour"))
		out->interval_us = unit_us(text);
	else if (!read_interval(text, out) && !read_days(text, out))
		return err_set(e, ERR_INVALID, "%s; got \"%.*s\"", every_help, (int)(text.n < 80 ? text.n : 80), text.p);
	return 0;
}

/* ---- when ---- */

struct day { int64_t year, month, day, weekday; };

/* Days since 1970-01-01 to the calendar (Howard Hinnant's algorithm: years that begin in March). */
static struct day day_of(int64_t days)
{
	int64_t z = days + 719468, era = (z >= 0 ? z : z - 146096) / 146097, doe = z - era * 146097;
	int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365, doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
	struct day d = { .day = doy - (153 * mp + 2) / 5 + 1, .month = mp < 10 ? mp + 3 : mp - 9, .weekday = ((days + 4) % 7 + 7) % 7 };

	d.year = yoe + era * 400 + (d.month <= 2);
	return d;
}

static bool day_matches(const struct cron_rule *rule, int64_t days)
{
	struct day d = day_of(days);
	bool day = rule->days >> d.day & 1, weekday = rule->weekdays >> d.weekday & 1;

	if (!(rule->months >> d.month & 1))
		return false;
	return rule->any_day || rule->any_weekday ? day && weekday : day || weekday;
}

/* First wall minute of the rule at or behind `wall_s`, which is a whole minute; INT64_MAX: none for years. */
static int64_t next_wall_s(const struct cron_rule *rule, int64_t wall_s)
{
	int64_t days = wall_s / DAY_S, minute = wall_s % DAY_S / 60;

	for (int64_t last = days + SEARCH_DAYS; days <= last; days++, minute = 0) {
		if (!day_matches(rule, days))
			continue;
		for (; minute < 1440; minute++) {
			if (!(rule->hours >> minute / 60 & 1))
				minute += 59 - minute % 60;
			else if (rule->minutes >> minute % 60 & 1)
				return days * DAY_S + minute * 60;
		}
	}
	return INT64_MAX;
}

int64_t cron_next_us(const struct cron_rule *rule, struct zone *zone, int64_t after_us)
{
	int64_t wall_s, at_us;

	if (after_us < 0)
		after_us = 0;
	if (after_us >= YEAR_9999_US)
		return INT64_MAX;
	if (rule->interval_us)
		return (after_us / rule->interval_us + 1) * rule->interval_us;
	/* Later on the wall is never earlier in time, as instants are chosen here: what the wall shows now is behind us. */
	wall_s = zone_wall_s(zone, after_us);
	wall_s = wall_s > 0 ? wall_s / 60 * 60 : 0;
	for (;; wall_s += 60) {
		wall_s = next_wall_s(rule, wall_s);
		if (wall_s == INT64_MAX)
			return INT64_MAX;
		at_us = zone_instant_us(zone, wall_s);
		if (at_us > after_us)
			return at_us;
	}
}

int64_t cron_last_us(const struct cron_rule *rule, struct zone *zone, int64_t after_us, int64_t at_us)
{
	int64_t last = INT64_MIN, next, from;

	if (rule->interval_us) {
		last = at_us / rule->interval_us * rule->interval_us;
		return last > after_us ? last : INT64_MIN;
	}
	/* Look back further and further until there is one, then forward from it. */
	for (int64_t back = 3600 * SECOND_US; last == INT64_MIN; back *= 4) {
		from = at_us - back > after_us ? at_us - back : after_us;
		for (next = cron_next_us(rule, zone, from); next <= at_us; next = cron_next_us(rule, zone, next))
			last = next;
		if (from == after_us)
			break;
	}
	return last;
}
