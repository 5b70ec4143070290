#include "base/clock.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/random.h>
#include <time.h>

static int64_t read_clock_us(clockid_t which)
{
	struct timespec t;

	BUG_ON(clock_gettime(which, &t) != 0);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/*
 * The wall clock may be set back. What was read once is never undercut in this process, and time does not stand still until the clock has caught up (who sleeps
 * two seconds would sleep an hour): meanwhile it goes on at half speed, so that what we are ahead of the clock is gone after twice that time.
 */
static int64_t system_now_us(void *context)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static int64_t base_us, base_monotonic_us; /* the last reading that the wall clock itself gave, and when */
	int64_t now_us, monotonic_us, least_us;

	(void)context;
	pthread_mutex_lock(&lock);
	now_us = read_clock_us(CLOCK_REALTIME);
	monotonic_us = read_clock_us(CLOCK_MONOTONIC);
	least_us = base_us + (monotonic_us - base_monotonic_us) / 2;
	if (base_us == 0 || now_us >= least_us) {
		base_us = now_us;
		base_monotonic_us = monotonic_us;
	} else {
		now_us = least_us;
	}
	pthread_mutex_unlock(&lock);
	return now_us;
}

static void system_fill(void *context, void *p, size_t n)
{
	char *at = p;
	ssize_t got;

	(void)context;
	while (n > 0) {
		got = getrandom(at, n, 0);
		if (got < 0 && errno == EINTR)
			continue;
		BUG_ON(got <= 0);
		at += got;
		n -= (size_t)got;
	}
}

const struct clock clock_system = { system_now_us, NULL };
const struct rng rng_system = { system_fill, NULL };

int64_t clock_now_us(const struct clock *c)
{
	return c->now_us(c->context);
}

int64_t clock_monotonic_us(void)
{
	return read_clock_us(CLOCK_MONOTONIC);
}

void rng_fill(const struct rng *r, void *p, size_t n)
{
	r->fill(r->context, p, n);
}

static int64_t manual_now_us(void *context)
{
	return ((struct clock_manual *)context)->now_us;
}

struct clock clock_manual_source(struct clock_manual *m)
{
	return (struct clock){ manual_now_us, m };
}

/* Days since 1970-01-01 of a Gregorian date, and back (H. Hinnant's algorithms, years from 1970).
 */
static int64_t days_of_date(int64_t year, int64_t month, int64_t day)
{
	int64_t y = month <= 2 ? year - 1 : year;
	int64_t era = y / 400, of_era = y % 400;
	int64_t of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;

	return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static void date_of_days(int64_t days, int *year, int *month, int *day)
{
	int64_t z = days + 719468, era = z / 146097, of_era = z % 146097;
	int64_t y = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
	int64_t of_year = of_era - (365 * y + y / 4 - y / 100), mp = (5 * of_year + 2) / 153;

	*day = (int)(of_year - (153 * mp + 2) / 5 + 1);
	*month = (int)(mp < 10 ? mp + 3 : mp - 9);
	*year = (int)(y + era * 400 + (*month <= 2 ? 1 : 0));
}

#define DAY_US INT64_C(86400000000)
#define LAST_US INT64_C(253402300799999999) /* 9999-12-31T23:59:59.999999Z */

void time_format(int64_t at_us, char out[TIME_TEXT_SIZE])
{
	int64_t us = at_us < 0 ? 0 : at_us > LAST_US ? LAST_US : at_us;
	unsigned ms = (unsigned)(us % DAY_US / 1000);
	char text[64];
	int year, month, day;

	date_of_days(us / DAY_US, &year, &month, &day);
	snprintf(text, sizeof text, "%04d-%02d-%02dT%02u:%02u:%02u.%03uZ", year, month, day,
		 ms / 3600000, ms / 60000 % 60, ms / 1000 % 60, ms % 1000);
	snprintf(out, TIME_TEXT_SIZE, "%.24s", text);
}

/* Exactly `digits` digits at *at with a value in [least, most], or -1. Moves *at behind them. */
static int64_t take_number(struct str s, size_t *at, size_t digits, int64_t least, int64_t most)
{
	int64_t value;

	if (s.n - *at < digits || s.p[*at] == '-' ||
	    !str_to_int((struct str){ s.p + *at, digits }, least, most, &value))
		return -1;
	*at += digits;
	return value;
}

static bool take_char(struct str s, size_t *at, const char *any)
{
	if (*at >= s.n)
		return false;
	for (; *any; any++) {
		if (s.p[*at] == *any) {
			*at += 1;
			return true;
		}
	}
	return false;
}

static int64_t take_fraction_us(struct str s, size_t *at)
{
	int64_t us = 0, unit = 100000;
	size_t start = *at;

	for (; *at < s.n && s.p[*at] >= '0' && s.p[*at] <= '9'; *at += 1) {
		us += (s.p[*at] - '0') * unit;
		unit /= 10;
	}
	return *at > start ? us : -1;
}

/* "Z" or "+hh:mm" as the offset from UTC; false when it is neither. */
static bool take_zone_us(struct str s, size_t *at, int64_t *offset_us)
{
	int64_t hours, minutes, sign;

	*offset_us = 0;
	if (take_char(s, at, "Zz"))
		return true;
	if (!take_char(s, at, "+-"))
		return false;
	sign = s.p[*at - 1] == '-' ? -1 : 1;
	if ((hours = take_number(s, at, 2, 0, 23)) < 0 || !take_char(s, at, ":") ||
	    (minutes = take_number(s, at, 2, 0, 59)) < 0)
		return false;
	*offset_us = sign * (hours * 60 + minutes) * 60 * 1000000;
	return true;
}

static int64_t month_days(int64_t year, int64_t month)
{
	static const int8_t days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

	return days[month - 1] + (month == 2 && leap ? 1 : 0);
}

bool time_parse(struct str text, int64_t *at_us)
{
	int64_t year, month, day, hour, minute, second, fraction_us = 0, offset_us, us;
	size_t at = 0;

	if ((year = take_number(text, &at, 4, 1970, 9999)) < 0 || !take_char(text, &at, "-") ||
	    (month = take_number(text, &at, 2, 1, 12)) < 0 || !take_char(text, &at, "-") ||
	    (day = take_number(text, &at, 2, 1, month_days(year, month))) < 0 ||
	    !take_char(text, &at, "Tt ") || (hour = take_number(text, &at, 2, 0, 23)) < 0 ||
	    !take_char(text, &at, ":") || (minute = take_number(text, &at, 2, 0, 59)) < 0 ||
	    !take_char(text, &at, ":") || (second = take_number(text, &at, 2, 0, 60)) < 0)
		return false;
	if (take_char(text, &at, ".") && (fraction_us = take_fraction_us(text, &at)) < 0)
		return false;
	if (!take_zone_us(text, &at, &offset_us) || at != text.n)
		return false;
	us = (days_of_date(year, month, day) * 86400 + (hour * 60 + minute) * 60 + second) *
		     1000000 +
	     fraction_us - offset_us;
	if (us < 0 || us > LAST_US)
		return false;
	*at_us = us;
	return true;
}
