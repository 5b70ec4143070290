#include "check.h"

#include <stdlib.h>

static void slices_compare_bytewise_and_shorter_first(void **state)
{
	(void)state;
	assert_true(str_compare(STR("a"), STR("b")) < 0);
	assert_true(str_compare(STR("a"), STR("aa")) < 0);
	assert_true(str_compare(STR("\xc3"), STR("z")) > 0);
	assert_int_equal(str_compare(STR("x"), STR("x")), 0);
	assert_int_equal(str_compare((struct str){ NULL, 0 }, STR("")), 0);
	assert_true(str_equal(STR("a\0b"), STR("a\0b")));
	assert_false(str_equal(STR("a\0b"), STR("a\0c")));
	assert_true(str_is(str_of(NULL), ""));
}

static void prefixes_and_suffixes_are_found(void **state)
{
	(void)state;
	assert_true(str_starts(STR("perigee.lua"), "perigee"));
	assert_false(str_starts(STR("peri"), "perigee"));
	assert_true(str_ends(STR("perigee.lua"), ".lua"));
	assert_false(str_ends(STR("lua"), ".lua"));
	assert_true(str_ends(STR(""), ""));
}

static void an_integer_is_the_whole_slice_and_within_its_range(void **state)
{
	int64_t v = 7;

	(void)state;
	assert_true(str_to_int(STR("0"), 0, 9, &v) && v == 0);
	assert_true(str_to_int(STR("-12"), -20, 0, &v) && v == -12);
	assert_true(str_to_int(STR("9223372036854775807"), 0, INT64_MAX, &v) && v == INT64_MAX);
	assert_true(str_to_int(STR("-9223372036854775808"), INT64_MIN, 0, &v) && v == INT64_MIN);
	v = 7;
	assert_false(str_to_int(STR(""), INT64_MIN, INT64_MAX, &v));
	assert_false(str_to_int(STR("-"), INT64_MIN, INT64_MAX, &v));
	assert_false(str_to_int(STR("+1"), INT64_MIN, INT64_MAX, &v));
	assert_false(str_to_int(STR(" 1"), INT64_MIN, INT64_MAX, &v));
	assert_false(str_to_int(STR("1x"), INT64_MIN, INT64_MAX, &v));
	assert_false(str_to_int(STR("9223372036854775808"), INT64_MIN, INT64_MAX, &v));
	assert_false(str_to_int(STR("-9223372036854775809"), INT64_MIN, INT64_MAX, &v));
	assert_false(str_to_int(STR("99999999999999999999999"), INT64_MIN, INT64_MAX, &v));
	assert_false(str_to_int(STR("10"), 0, 9, &v));
	assert_int_equal(v, 7);
}

static void durations_have_a_unit(void **state)
{
	int64_t ms;

	(void)state;
	assert_true(str_to_duration_ms(STR("250ms"), &ms) && ms == 250);
	assert_true(str_to_duration_ms(STR("20s"), &ms) && ms == 20000);
	assert_true(str_to_duration_ms(STR("5m"), &ms) && ms == 300000);
	assert_true(str_to_duration_ms(STR("24h"), &ms) && ms == 86400000);
	assert_true(str_to_duration_ms(STR("7d"), &ms) && ms == 604800000);
	assert_false(str_to_duration_ms(STR("20"), &ms));
	assert_false(str_to_duration_ms(STR("s"), &ms));
	assert_false(str_to_duration_ms(STR("-1s"), &ms));
	assert_false(str_to_duration_ms(STR("1.5s"), &ms));
	assert_false(str_to_duration_ms(STR("9223372036854775807s"), &ms));
}

static void sizes_are_in_powers_of_two(void **state)
{
	int64_t bytes;

	(void)state;
	assert_true(str_to_size_bytes(STR("512"), &bytes) && bytes == 512);
	assert_true(str_to_size_bytes(STR("8KiB"), &bytes) && bytes == 8192);
	assert_true(str_to_size_bytes(STR("64MiB"), &bytes) && bytes == 64 << 20);
	assert_true(str_to_size_bytes(STR("2GiB"), &bytes) && bytes == INT64_C(2) << 30);
	assert_false(str_to_size_bytes(STR("8KB"), &bytes));
	assert_false(str_to_size_bytes(STR("8 KiB"), &bytes));
	assert_false(str_to_size_bytes(STR(""), &bytes));
	assert_false(str_to_size_bytes(STR("8388608TiB"), &bytes));
}

static void a_buffer_grows_and_stays_terminated(void **state)
{
	struct buf b;
	size_t i;

	(void)state;
	buf_init(&b, 1000);
	assert_string_equal(buf_text(&b), "");
	for (i = 0; i < 1000; i++)
		buf_add_char(&b, (char)('a' + i % 26));
	assert_false(b.full);
	assert_int_equal(b.n, 1000);
	assert_int_equal(strlen(buf_text(&b)), 1000);
	buf_add_char(&b, 'x');
	assert_true(b.full);
	assert_int_equal(b.n, 1000);
	buf_free(&b);
}

static void a_write_past_the_maximum_sticks_and_changes_nothing(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 8);
	buf_add_text(&b, "12345");
	buf_add_text(&b, "6789");
	buf_add_text(&b, "6"); /* would fit, but the content is incomplete already */
	assert_true(b.full);
	assert_buf(&b, "12345");
	buf_reset(&b);
	assert_false(b.full);
	buf_add_text(&b, "12345678");
	assert_false(b.full);
	assert_buf(&b, "12345678");
	assert_null(buf_room(&b, SIZE_MAX));
	assert_true(b.full);
	buf_free(&b);
}

static void formatted_text_of_any_length_is_appended(void **state)
{
	char wide[700];
	struct buf b;

	(void)state;
	memset(wide, 'w', sizeof wide - 1);
	wide[sizeof wide - 1] = '\0';
	buf_init(&b, 1000);
	buf_addf(&b, "%d-%s", 7, "x");
	buf_addf(&b, "[%s]", wide);
	assert_int_equal(b.n, 3 + 701);
	assert_memory_equal(b.p, "7-x[www", 7);
	assert_int_equal(b.p[b.n - 1], ']');
	buf_addf(&b, "[%s]", wide);
	assert_true(b.full);
	assert_int_equal(b.n, 3 + 701);
	buf_free(&b);
}

static void bytes_are_dropped_from_the_front(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 100);
	buf_drop_front(&b, 0);
	buf_add_text(&b, "headtail");
	buf_drop_front(&b, 4);
	assert_buf(&b, "tail");
	buf_drop_front(&b, 4);
	assert_buf(&b, "");
	buf_free(&b);
}

static void taken_bytes_leave_the_buffer_empty_and_usable(void **state)
{
	struct buf b;
	char *taken;

	(void)state;
	buf_init(&b, 100);
	taken = buf_take(&b);
	assert_string_equal(taken, "");
	free(taken);
	buf_add_text(&b, "mine");
	taken = buf_take(&b);
	assert_string_equal(taken, "mine");
	free(taken);
	assert_int_equal(b.n, 0);
	buf_add_text(&b, "again");
	assert_buf(&b, "again");
	buf_free(&b);
}

static void room_is_for_whoever_reads_into_it(void **state)
{
	struct buf b;
	char *room;

	(void)state;
	buf_init(&b, 4096);
	room = buf_room(&b, 4096);
	assert_non_null(room);
	memset(room, 'r', 10);
	b.n += 10;
	assert_string_equal(buf_text(&b), "rrrrrrrrrr");
	buf_free(&b);
}

static void memory_is_zeroed_and_grows(void **state)
{
	unsigned char *p = mem_array(16, 4);
	size_t i;

	(void)state;
	for (i = 0; i < 64; i++)
		assert_int_equal(p[i], 0);
	p = mem_grow(p, 1000, 1);
	memset(p, 1, 1000);
	free(p);
	free(mem_alloc(0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(slices_compare_bytewise_and_shorter_first),
		cmocka_unit_test(prefixes_and_suffixes_are_found),
		cmocka_unit_test(an_integer_is_the_whole_slice_and_within_its_range),
		cmocka_unit_test(durations_have_a_unit),
		cmocka_unit_test(sizes_are_in_powers_of_two),
		cmocka_unit_test(a_buffer_grows_and_stays_terminated),
		cmocka_unit_test(a_write_past_the_maximum_sticks_and_changes_nothing),
		cmocka_unit_test(formatted_text_of_any_length_is_appended),
		cmocka_unit_test(bytes_are_dropped_from_the_front),
		cmocka_unit_test(taken_bytes_leave_the_buffer_empty_and_usable),
		cmocka_unit_test(room_is_for_whoever_reads_into_it),
		cmocka_unit_test(memory_is_zeroed_and_grows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
