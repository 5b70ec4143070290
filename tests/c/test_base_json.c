#include "check.h"

#include "base/clock.h"
#include "base/json.h"

#include <math.h>
#include <stdlib.h>

#define MAX_BYTES (1u << 20)

static json_t *must_read(const char *text)
{
	struct errbuf e = { "" };
	int code = -1;
	json_t *value = json_read(str_of(text), MAX_BYTES, &code, &e);

	assert_string_equal(e.text, "");
	assert_non_null(value);
	assert_int_equal(code, 0);
	return value;
}

static void check_canonical(const char *text, const char *canonical)
{
	json_t *value = must_read(text);
	char *written = json_to_text(value);

	assert_string_equal(written, canonical);
	free(written);
	json_decref(value);
}

static void check_refused(struct str text, int wanted, const char *message)
{
	struct errbuf e = { "" };
	int code = 0;

	assert_null(json_read(text, MAX_BYTES, &code, &e));
	assert_int_equal(code, wanted);
	if (!strstr(e.text, message))
		assert_string_equal(e.text, message);
}

static void any_value_may_be_a_document(void **state)
{
	(void)state;
	check_canonical(" null ", "null");
	check_canonical("true", "true");
	check_canonical("-1.50", "-1.5");
	check_canonical("\"\\u00fc\\u0000\"", "\"\xc3\xbc\\u0000\"");
	check_canonical("[]", "[]");
	check_canonical("{}", "{}");
	check_canonical("[ [ ] , { } ]", "[[],{}]");
	check_canonical("9223372036854775807", "9223372036854775807");
	check_canonical("\"\\ud83c\\udf19\"", "\"\xf0\x9f\x8c\x99\"");
}

static void keys_are_in_bytewise_order(void **state)
{
	char text[4000], wanted[4000], *at = text, *to = wanted;
	json_t *value;
	char *written;
	int i;

	(void)state;
	check_canonical("{\"b\":1,\"a\":{\"z\":1,\"y\":2},\"aa\":3,\"\":4,\"B\":5,\"\\u00fc\":6}",
			"{\"\":4,\"B\":5,\"a\":{\"y\":2,\"z\":1},\"aa\":3,\"b\":1,\"\xc3\xbc\":6}");
	for (i = 199; i >= 0; i--) /* more than fit the stack */
		at += sprintf(at, "%c\"k%03d\":%d", i == 199 ? '{' : ',', i, i);
	strcpy(at, "}");
	for (i = 0; i < 200; i++)
		to += sprintf(to, "%c\"k%03d\":%d", i ? ',' : '{', i, i);
	strcpy(to, "}");
	value = must_read(text);
	written = json_to_text(value);
	assert_string_equal(written, wanted);
	free(written);
	json_decref(value);
}

static void faults_are_named_with_their_place(void **state)
{
	(void)state;
	check_refused(STR(""), ERR_INVALID, "line 1");
	check_refused(STR("{\n \"a\": nul }"), ERR_INVALID, "line 2, column");
	check_refused(STR("[1] x"), ERR_INVALID, "end of file expected");
	check_refused(STR("{\"a\":1,\"a\":2}"), ERR_INVALID, "duplicate");
	check_refused(STR("[\"ok\",\n\"\xc3\xbc \xff\"]"), ERR_INVALID,
		      "line 2, column 4: not UTF-8");
	check_refused(STR("\xff"), ERR_INVALID, "line 1, column 1: not UTF-8");
	check_refused(STR("\"\\ud800\""), ERR_INVALID, "line 1");
	check_refused(STR("{\"a\\u0000\":1}"), ERR_INVALID, "line 1");
	check_refused(STR("NaN"), ERR_INVALID, "line 1");
	check_refused(STR("[01]"), ERR_INVALID, "line 1");
	check_refused(STR("1e999"), ERR_INVALID, "line 1");
}

static void depth_and_size_are_bounded(void **state)
{
	char deep[200];
	struct errbuf e;
	json_t *value;
	int code;

	(void)state;
	memset(deep, '[', 64);
	memset(deep + 64, ']', 64);
	value = json_read((struct str){ deep, 128 }, MAX_BYTES, NULL, NULL);
	assert_non_null(value);
	json_decref(value);
	memset(deep, '[', 65);
	memset(deep + 65, ']', 65);
	check_refused((struct str){ deep, 130 }, ERR_INVALID, "65 levels");
	assert_null(json_read(STR("[1,2,3]"), 6, &code, &e));
	assert_int_equal(code, ERR_TOO_LARGE);
	value = json_read(STR("[1,2,3]"), 7, &code, &e);
	assert_non_null(value);
	json_decref(value);
}

/* The property: what a program wrote, it reads and writes again as the same bytes. */

static uint64_t random_state = 0x9e3779b97f4a7c15u;

static uint64_t draw(uint64_t below)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state % below;
}

static double random_double(void)
{
	uint64_t bits;
	double value;

	do {
		bits = draw(UINT64_MAX) << 1 ^ draw(UINT64_MAX);
		memcpy(&value, &bits, sizeof value);
	} while (!isfinite(value));
	return value;
}

static void random_string(struct buf *b)
{
	static const char *const pieces[] = {
		"a",    "Z",   "\"",       "\\",           "\n",
		"\x01", "/",   "\xc3\xbc", "\xe2\x80\xa8", "\xf0\x9f\x8c\x99",
		"\x7f", "key", " ",        "\xef\xbf\xbf"};
	uint64_t n = draw(9);

	buf_reset(b);
	while (n--)
		buf_add_text(b, pieces[draw(sizeof pieces / sizeof pieces[0])]);
}

static json_t *random_value(int depth)
{
	json_t *value;
	struct buf b;
	uint64_t n;

	switch (draw(depth > 0 ? 9 : 6)) {
	case 0:
		return json_null();
	case 1:
		return json_boolean((int)draw(2));
	case 2:
		return json_integer((json_int_t)(draw(UINT64_MAX) >> draw(64)) *
				    (draw(2) ? 1 : -1));
	case 3:
	case 4:
		return json_real(draw(4) ? random_double() : (double)draw(1000) / 8 * -1);
	case 5:
		buf_init(&b, 1000);
		random_string(&b);
		if (draw(4) == 0)
			buf_add(&b, "\0", 1);
		value = json_new_str(buf_str(&b));
		buf_free(&b);
		return value;
	case 6:
		value = json_array();
		for (n = draw(8); n > 0; n--)
			json_array_append_new(value, random_value(depth - 1));
		return value;
	default:
		value = json_object();
		buf_init(&b, 1000);
		for (n = draw(draw(5) ? 6 : 60); n > 0; n--) {
			random_string(&b);
			if (draw(2))
				buf_addf(&b, "%d", (int)draw(1000));
			json_put(value, buf_text(&b), random_value(depth - 1));
		}
		buf_free(&b);
		return value;
	}
}

static void what_was_written_is_written_again_byte_for_byte(void **state)
{
	struct errbuf e = { "" };
	json_t *made, *back;
	char *first, *second;
	int round, code;

	(void)state;
	for (round = 0; round < 20000; round++) {
		made = random_value(6);
		first = json_to_text(made);
		back = json_read(str_of(first), 64u << 20, &code, &e);
		if (!back)
			fail_msg("%s in %s", e.text, first);
		second = json_to_text(back);
		assert_string_equal(first, second);
		json_decref(made);
		json_decref(back);
		free(first);
		free(second);
	}
}

static void doubles_come_back_bit_for_bit(void **state)
{
	double value, back;
	json_t *made, *read;
	char *text;
	int round;

	(void)state;
	for (round = 0; round < 100000; round++) {
		value = random_double();
		made = json_real(value);
		text = json_to_text(made);
		read = must_read(text);
		back = json_number_value(read);
		assert_memory_equal(&value, &back, sizeof value);
		json_decref(made);
		json_decref(read);
		free(text);
	}
}

static void pretty_text_is_the_same_document(void **state)
{
	json_t *value = must_read("{\"b\":[1,{\"c\":[]},{}],\"a\":\"x\"}"), *back;
	struct buf b;

	(void)state;
	buf_init(&b, MAX_BYTES);
	json_write_pretty(&b, value);
	assert_buf(&b, "{\n  \"a\": \"x\",\n  \"b\": [\n    1,\n    {\n      \"c\": []\n    },\n   "
		       " {}\n  ]\n}");
	back = must_read(buf_text(&b));
	assert_true(json_equal(value, back));
	json_decref(back);
	json_decref(value);
	buf_reset(&b);
	json_write(&b, NULL);
	assert_buf(&b, "null");
	buf_free(&b);
}

static void a_full_buffer_says_so(void **state)
{
	static const char text[] =
		"{\"n\":[1,2],\"text\":\"0123456789012345678901234567890123456789\"}";
	json_t *value = must_read(text);
	struct buf b;
	size_t max;

	(void)state;
	for (max = 0; max < sizeof text - 1; max++) {
		buf_init(&b, max);
		json_write(&b, value);
		assert_true(b.full);
		assert_true(b.n <= max);
		buf_free(&b);
	}
	json_decref(value);
}

static void members_are_found_or_not(void **state)
{
	json_t *o = must_read(
		"{\"s\":\"x\\u0000y\",\"i\":7,\"r\":8.0,\"f\":1.5,\"b\":true,\"n\":null}");

	(void)state;
	assert_int_equal(json_member_str(o, "s").n, 3);
	assert_null(json_member_str(o, "i").p);
	assert_null(json_member_str(o, "none").p);
	assert_int_equal(json_member_int(o, "i", -1), 7);
	assert_int_equal(json_member_int(o, "r", -1), 8);
	assert_int_equal(json_member_int(o, "f", -1), -1);
	assert_int_equal(json_member_int(o, "s", -1), -1);
	assert_true(json_member_bool(o, "b", false));
	assert_true(json_member_bool(o, "n", true));
	assert_null(json_member(NULL, "x"));
	assert_null(json_member(json_member(o, "i"), "x"));
	assert_int_equal(json_member_int(NULL, "x", 3), 3);
	assert_null(json_str(NULL).p);
	json_decref(o);
}

static void members_are_put(void **state)
{
	json_t *o = json_object();
	char *text;

	(void)state;
	json_put_str(o, "s", STR("x"));
	json_put_str(o, "empty", (struct str){ NULL, 0 });
	json_put_text(o, "t", "y");
	json_put_text(o, "none", NULL);
	json_put_int(o, "i", INT64_MIN);
	json_put(o, "null", NULL);
	json_put(o, "at", json_new_time(INT64_C(1795341600123456)));
	json_put(o, "never", json_new_time(0));
	json_put(o, "s", json_array()); /* in the place of the first */
	text = json_to_text(o);
	assert_string_equal(
		text,
		"{\"at\":\"2026-11-22T10:00:00.123Z\",\"empty\":\"\",\"i\":-9223372036854775808,"
		"\"never\":null,\"none\":null,\"null\":null,\"s\":[],\"t\":\"y\"}");
	free(text);
	json_decref(o);
}

static void bytes_that_are_no_text_become_replacements(void **state)
{
	json_t *value = json_new_str(STR("a\xff\xc3\xbc\xf0\x9f"));

	(void)state;
	assert_str(json_str(value), "a\xef\xbf\xbd\xc3\xbc\xef\xbf\xbd\xef\xbf\xbd");
	json_decref(value);
}

/* 20,000 small documents a second must be noise: here each is read and written in some
 * microseconds, sanitizers included. */
static void small_documents_are_cheap(void **state)
{
	static const char text[] =
		"{\"args\":{\"body\":{\"amount\":1250.5,\"name\":\"ACME\",\"stage\":3},"
		"\"id\":\"d-17\",\"kind\":\"deal\",\"version\":4},\"name\":\"records.put\"}";
	int64_t since = clock_monotonic_us(), each_ns;
	struct buf b;
	int i;

	(void)state;
	buf_init(&b, MAX_BYTES);
	for (i = 0; i < 20000; i++) {
		json_t *value = json_read(STR(text), MAX_BYTES, NULL, NULL);

		buf_reset(&b);
		json_write(&b, value);
		json_decref(value);
	}
	each_ns = (clock_monotonic_us() - since) * 1000 / 20000;
	print_message("read and write: %lld ns a document\n", (long long)each_ns);
	assert_buf(&b, text);
	assert_true(each_ns < 500000);
	buf_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_value_may_be_a_document),
		cmocka_unit_test(keys_are_in_bytewise_order),
		cmocka_unit_test(faults_are_named_with_their_place),
		cmocka_unit_test(depth_and_size_are_bounded),
		cmocka_unit_test(what_was_written_is_written_again_byte_for_byte),
		cmocka_unit_test(doubles_come_back_bit_for_bit),
		cmocka_unit_test(pretty_text_is_the_same_document),
		cmocka_unit_test(a_full_buffer_says_so),
		cmocka_unit_test(members_are_found_or_not),
		cmocka_unit_test(members_are_put),
		cmocka_unit_test(bytes_that_are_no_text_become_replacements),
		cmocka_unit_test(small_documents_are_cheap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
