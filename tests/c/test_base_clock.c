#include "check.h"

#include "base/clock.h"

#include <time.h>

static void times_are_formatted_in_utc_with_milliseconds(void **state)
{
	char text[TIME_TEXT_SIZE];

	(void)state;
	time_format(0, text);
	assert_string_equal(text, "1970-01-01T00:00:00.000Z");
	time_format(INT64_C(1795341600123456), text);
	assert_string_equal(text, "2026-11-22T10:00:00.123Z");
	time_format(INT64_C(951782400000000), text);
	assert_string_equal(text, "2000-02-29T00:00:00.000Z");
	time_format(INT64_MAX, text);
	assert_string_equal(text, "9999-12-31T23:59:59.999Z");
	time_format(-1, text);
	assert_string_equal(text, "1970-01-01T00:00:00.000Z");
}

static void every_day_until_9999_agrees_with_the_c_library(void **state)
{
	char ours[TIME_TEXT_SIZE], theirs[40];
	int64_t day, back;
	struct tm parts;
	time_t at;

	(void)state;
	for (day = 0; day < 2932896; day += 13) {
		at = day * 86400 + 45296;
		assert_non_null(gmtime_r(&at, &parts));
		assert_int_not_equal(
			strftime(theirs, sizeof theirs, "%Y-%m-%dT%H:%M:%S.007Z", &parts), 0);
		time_format(at * INT64_C(1000000) + 7000, ours);
		assert_string_equal(ours, theirs);
		assert_true(time_parse(str_of(ours), &back));
		assert_int_equal(back, at * INT64_C(1000000) + 7000);
	}
}

static int64_t parsed(const char *text)
{
	int64_t at_us;

	return time_parse(str_of(text), &at_us) ? at_us : -1;
}

static void zones_and_fractions_are_understood(void **state)
{
	(void)state;
	assert_int_equal(parsed("2026-11-22T10:00:00Z"), INT64_C(1795341600000000));
	assert_int_equal(parsed("2026-11-22t10:00:00z"), INT64_C(1795341600000000));
	assert_int_equal(parsed("2026-11-22 10:00:00Z"), INT64_C(1795341600000000));
	assert_int_equal(parsed("2026-11-22T12:00:00+02:00"), INT64_C(1795341600000000));
	assert_int_equal(parsed("2026-11-21T22:30:00-11:30"), INT64_C(1795341600000000));
	assert_int_equal(parsed("2026-11-22T10:00:00.5Z"), INT64_C(1795341600500000));
	assert_int_equal(parsed("2026-11-22T10:00:00.1234567890Z"), INT64_C(1795341600123456));
	assert_int_equal(parsed("2016-12-31T23:59:60Z"), INT64_C(1483228800000000));
	assert_int_equal(parsed("1970-01-01T00:00:00Z"), 0);
}

static void what_is_no_rfc_3339_is_refused(void **state)
{
	static const char *const wrong[] = {
		"", "2026", "2026-11-22", "2026-11-22T10:00:00", "2026-11-22T10:00Z",
		"2026-11-22T10:00:00.Z", "2026-11-22T10:00:00+0200", "2026-11-22T10:00:00+24:00",
		"2026-02-29T10:00:00Z", "2026-13-01T10:00:00Z", "2026-00-01T10:00:00Z",
		"2026-11-31T10:00:00Z", "2026-11-22T24:00:00Z", "2026-11-22T10:60:00Z",
		"2026-11-22T10:00:61Z", "1969-12-31T23:59:59Z", "1970-01-01T00:00:00+01:00",
		"2026-11-22T10:00:00Z ", " 2026-11-22T10:00:00Z", "-026-11-22T10:00:00Z",
		"2026-11-22T10:00:00Zjunk", "2026-1-22T10:00:00Z", "2100-02-29T00:00:00Z",
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
		assert_int_equal(parsed(wrong[i]), -1);
}

static void clocks_do_not_go_back(void **state)
{
	int64_t before = clock_now_us(&clock_system), since = clock_monotonic_us(), now;
	int i;

	(void)state;
	for (i = 0; i < 1000; i++) {
		now = clock_now_us(&clock_system);
		assert_true(now >= before);
		before = now;
	}
	assert_true(clock_monotonic_us() >= since);
	assert_true(before > INT64_C(1700000000000000));
}

static void a_manual_clock_stands_until_it_is_moved(void **state)
{
	struct clock_manual hand = { 5 };
	struct clock clock = clock_manual_source(&hand);

	(void)state;
	assert_int_equal(clock_now_us(&clock), 5);
	assert_int_equal(clock_now_us(&clock), 5);
	hand.now_us = 9;
	assert_int_equal(clock_now_us(&clock), 9);
}

static void random_bytes_differ(void **state)
{
	unsigned char a[64] = { 0 }, b[64] = { 0 };

	(void)state;
	rng_fill(&rng_system, a, sizeof a);
	rng_fill(&rng_system, b, sizeof b);
	assert_memory_not_equal(a, b, sizeof a);
	rng_fill(&rng_system, a, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(times_are_formatted_in_utc_with_milliseconds),
		cmocka_unit_test(every_day_until_9999_agrees_with_the_c_library),
		cmocka_unit_test(zones_and_fractions_are_understood),
		cmocka_unit_test(what_is_no_rfc_3339_is_refused),
		cmocka_unit_test(clocks_do_not_go_back),
		cmocka_unit_test(a_manual_clock_stands_until_it_is_moved),
		cmocka_unit_test(random_bytes_differ),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
