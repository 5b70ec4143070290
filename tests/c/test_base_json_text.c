#include "check.h"

#include "base/json_text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static void check_double(double value, const char *text)
{
	struct buf b;

	buf_init(&b, 100);
	assert_true(json_add_double(&b, value));
	assert_buf(&b, text);
	buf_free(&b);
}

static void doubles_take_their_shortest_form(void **state)
{
	(void)state;
	check_double(0.0, "0");
	check_double(-0.0, "-0.0");
	check_double(1.0, "1");
	check_double(-17.0, "-17");
	check_double(0.1, "0.1");
	check_double(0.1 + 0.2, "0.30000000000000004");
	check_double(1.0 / 3.0, "0.3333333333333333");
	check_double(1e15, "1000000000000000");
	check_double(9007199254740991.0, "9007199254740991");
	check_double(1e300, "1e+300");
	check_double(1e-7, "1e-07");
	check_double(5e-324, "5e-324");
	check_double(2.2250738585072014e-308, "2.2250738585072014e-308");
	check_double(1.7976931348623157e308, "1.7976931348623157e+308");
}

static void what_is_not_finite_has_no_form(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 100);
	assert_false(json_add_double(&b, (double)NAN));
	assert_false(json_add_double(&b, (double)INFINITY));
	assert_false(json_add_double(&b, -(double)INFINITY));
	assert_int_equal(b.n, 0);
	buf_free(&b);
}

static uint64_t next_random(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

static void any_double_comes_back_bit_for_bit(void **state)
{
	uint64_t seed = 88172645463325252u, bits;
	double value, back;
	struct buf b;
	int i;

	(void)state;
	buf_init(&b, 100);
	for (i = 0; i < 500000; i++) {
		bits = next_random(&seed);
		if (i % 4 == 1) /* subnormal */
			bits &= ~(UINT64_C(0x7ff) << 52);
		memcpy(&value, &bits, sizeof value);
		if (i % 4 == 2) /* integers of every size */
			value = (double)((int64_t)bits >> (i / 4 % 64));
		if (!isfinite(value))
			continue;
		buf_reset(&b);
		assert_true(json_add_double(&b, value));
		back = strtod(buf_text(&b), NULL);
		assert_memory_equal(&value, &back, sizeof value);
	}
	buf_free(&b);
}

static void short_decimals_are_as_printf_has_them(void **state)
{
	static const double scales[] = { 10, 100, 1000, 1e4, 1e5, 1e6, 1e7, 3, 7 };
	uint64_t seed = 362436069;
	char text[40];
	double value;
	struct buf b;
	int i;

	(void)state;
	buf_init(&b, 100);
	for (i = 0; i < 500000; i++) {
		value = (double)(int64_t)(next_random(&seed) >> (14 + i % 50)) / scales[i % 9];
		if (i % 5 == 0)
			value = nextafter(value, i % 10 ? 1e300 : -1e300);
		if (fabs(value) < 1e-300 || fabs(value) >= 1e15 || value == floor(value))
			continue;
		buf_reset(&b);
		assert_true(json_add_double(&b, value));
		snprintf(text, sizeof text, "%.15g", value);
		if (strtod(text, NULL) == value)
			assert_buf(&b, text);
		else
			assert_true(b.n > 15);
	}
	buf_free(&b);
}

static void integers_of_every_size_are_written(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 200);
	json_add_int(&b, 0);
	buf_add_char(&b, ' ');
	json_add_int(&b, INT64_MIN);
	buf_add_char(&b, ' ');
	json_add_int(&b, INT64_MAX);
	buf_add_char(&b, ' ');
	json_add_int(&b, -10);
	assert_buf(&b, "0 -9223372036854775808 9223372036854775807 -10");
	buf_free(&b);
}

static void only_what_must_be_escaped_is(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 1000);
	json_add_string(&b, STR("a/\"\\\b\f\n\r\t\x01\x1f\x7f\0z"));
	assert_buf(&b, "\"a/\\\"\\\\\\b\\f\\n\\r\\t\\u0001\\u001f\x7f\\u0000z\"");
	buf_reset(&b);
	json_add_string(&b, STR("gr\xc3\xbc\xc3\x9f \xf0\x9f\x8c\x99 \xe2\x80\xa8"));
	assert_buf(&b, "\"gr\xc3\xbc\xc3\x9f \xf0\x9f\x8c\x99 \xe2\x80\xa8\"");
	buf_reset(&b);
	json_add_string(&b, (struct str){ NULL, 0 });
	assert_buf(&b, "\"\"");
	buf_free(&b);
}

static void utf8_is_checked_as_rfc_3629_has_it(void **state)
{
	static const struct str good[] = {
		{"", 0},
		{"\x7f", 1},
		{"\xc2\x80", 2},
		{"\xdf\xbf", 2},
		{"\xe0\xa0\x80", 3},
		{"\xed\x9f\xbf", 3},
		{"\xee\x80\x80", 3},
		{"\xef\xbf\xbf", 3},
		{"\xf0\x90\x80\x80", 4},
		{"\xf4\x8f\xbf\xbf", 4},
		{"\0", 1},
		{"12345678\xc3\xbc"
		 "1234567\xf0\x9f\x8c\x99",
		 21},
	};
	static const struct str bad[] = {
		{"\x80", 1},
		{"\xbf", 1},
		{"\xc0\x80", 2},
		{"\xc1\xbf", 2},
		{"\xc2", 1},
		{"\xc2\x20", 2},
		{"\xe0\x9f\xbf", 3},
		{"\xed\xa0\x80", 3},
		{"\xed\xbf\xbf", 3},
		{"\xf0\x8f\xbf\xbf", 4},
		{"\xf4\x90\x80\x80", 4},
		{"\xf5\x80\x80\x80", 4},
		{"\xff", 1},
		{"\xe2\x82", 2},
		{"\xf0\x9f\x8c", 3},
		{"12345678\x80", 9},
		{"1234567\xc3"
		 "12345678",
		 16},
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof good / sizeof good[0]; i++)
		assert_true(utf8_is_valid(good[i]));
	for (i = 0; i < sizeof bad / sizeof bad[0]; i++)
		assert_false(utf8_is_valid(bad[i]));
}

static void depth_counts_brackets_outside_strings(void **state)
{
	(void)state;
	assert_int_equal(json_depth(STR("1")), 0);
	assert_int_equal(json_depth(STR("[]")), 1);
	assert_int_equal(json_depth(STR("[{\"[[[\":[1]},[]]")), 3);
	assert_int_equal(json_depth(STR("[\"\\\"[[\"]")), 1);
	assert_int_equal(json_depth(STR("[\"\\\\\",[]]")), 2);
	assert_int_equal(json_depth(STR("]]][")), 1);
	assert_int_equal(json_depth(STR("\"\\")), 0);
	assert_int_equal(json_depth((struct str){ NULL, 0 }), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(doubles_take_their_shortest_form),
		cmocka_unit_test(what_is_not_finite_has_no_form),
		cmocka_unit_test(any_double_comes_back_bit_for_bit),
		cmocka_unit_test(short_decimals_are_as_printf_has_them),
		cmocka_unit_test(integers_of_every_size_are_written),
		cmocka_unit_test(only_what_must_be_escaped_is),
		cmocka_unit_test(utf8_is_checked_as_rfc_3629_has_it),
		cmocka_unit_test(depth_counts_brackets_outside_strings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
