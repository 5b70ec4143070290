/* What SQL functions of the PostgreSQL schema give is what the C code gives: sort keys and what stands at a path. */
#include "check.h"
#include "postgres_server.h"

#include "base/json.h"
#include "store/record_key.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static PGconn *connection;
static uint64_t chance = 88172645463325252u;

static uint64_t draw(void)
{
	chance ^= chance << 13;
	chance ^= chance >> 7;
	chance ^= chance << 17;
	return chance;
}

static int setup(void **state)
{
	(void)state;
	postgres_server_start();
	(void)postgres_make();
	connection = postgres_connect("perigee_app");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	PQfinish(connection);
	postgres_clear();
	postgres_server_stop();
	return 0;
}

/* The key that SQL gives; owned. */
static char *sql_text(const char *sql, const char *first, const char *second)
{
	const char *values[] = { first, second };
	PGresult *result = PQexecParams(connection, sql, second != NULL ? 2 : 1, NULL, values, NULL, NULL, 0);
	char *text;

	if (PQresultStatus(result) != PGRES_TUPLES_OK)
		fail_msg("%s of '%s': %s", sql, first, PQerrorMessage(connection));
	text = PQgetisnull(result, 0, 0) ? NULL : strdup(PQgetvalue(result, 0, 0));
	PQclear(result);
	return text;
}

static void check_key(const char *json)
{
	struct buf key;
	char *got = sql_text("SELECT perigee_sort_key($1)", json, NULL);

	buf_init(&key, 1024);
	record_key_add_text(&key, json != NULL ? str_of(json) : (struct str){ NULL, 0 });
	if (got == NULL || strcmp(got, buf_text(&key)) != 0)
		fail_msg("key of %s: SQL gives %s, C gives %s", json, got != NULL ? got : "null", buf_text(&key));
	free(got);
	buf_free(&key);
}

static void check_value(json_t *value)
{
	char *text = json_to_text(value);

	check_key(text);
	free(text);
	json_decref(value);
}

static void keys_of_chosen_values_are_those_of_c(void **state)
{
	static const char *const values[] = {
		"", "null", "true", "false", "{}", "[]", "[1]", "{\"a\":1}", "\"\"", "\"a\"", "0", "-0", "0.0", "-0.0", "-0e5", "1", "-1", "1.0", "1e0", "10E-1",
		"9007199254740993", "-9007199254740993", "9223372036854775807", "-9223372036854775808", "9223372036854775808", "123456789012345678901234567890",
		"4.9406564584124654e-324", "2.4703282292062328e-324", "2.4703282292062327e-324", "2.2250738585072011e-308", "2.2250738585072014e-308", "-5e-324", "1e-400", "-1e-400",
		"1.7976931348623157e308", "-1.7976931348623157e308", "1.7976931348623159e308", "1e309", "-1e999", "0.1", "1e23", "8.5e-5", "no json", "tru", "nulls", "01", "1.", ".5", "+1",
		"1e", "- 1", "\"\\u0000\"", "\"a\\u0000b\"", "\"a\\\\u0000b\"", "\"a\\\\\\u0000b\"", "\"\\n\\t\\\"\\\\\"", "\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\"",
	};

	(void)state;
	check_key(NULL);
	for (size_t i = 0; i < sizeof(values) / sizeof(*values); i++)
		check_key(values[i]);
}

static void keys_of_any_number_are_those_of_c(void **state)
{
	(void)state;
	for (int i = 0; i < 4000; i++) {
		uint64_t bits = draw();
		double value;

		memcpy(&value, &bits, sizeof(value));
		if (i % 4 == 1)                         /* denormals */
			value = ldexp((double)(bits >> 40), -1074);
		else if (i % 4 == 2)                    /* prices and such */
			value = (double)(int64_t)(bits % 2000000) / 100 - 10000;
		if (isfinite(value))
			check_value(json_real(value));
		check_value(json_integer((json_int_t)(bits >> (bits & 63))));
		check_value(json_integer(-(json_int_t)(bits >> 1)));
	}
}

static void keys_of_any_text_are_those_of_c(void **state)
{
	static const char *const letters[] = { "a", "Z", " ", "\"", "\\", "\n", "\x01", "\x7f", "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\xef\xbf\xbd" };

	(void)state;
	for (int i = 0; i < 3000; i++) {
		struct buf text;
		size_t length = i % 3 == 0 ? 240 + draw() % 30 : draw() % 40, kinds = 1 + draw() % 12;

		buf_init(&text, 65536);
		for (size_t k = 0; k < length; k++)
			buf_add_text(&text, letters[draw() % kinds]);
		check_value(json_new_str(buf_str(&text)));
		buf_free(&text);
	}
	for (size_t bytes = 250; bytes < 262; bytes++) {
		struct buf text;

		buf_init(&text, 65536);
		for (size_t k = 0; k < bytes; k++)
			buf_add_char(&text, 'a');
		buf_add_text(&text, "\xf0\x9f\x98\x80\xf0\x9f\x98\x80");
		check_value(json_new_str(buf_str(&text)));
		buf_free(&text);
	}
}

static void what_stands_at_a_path_comes_as_it_was_written(void **state)
{
	static const struct {
		const char *document, *path, *wanted;
	} rows[] = {
		{ "{\"a\":1}", "$.\"a\"", "1" }, { "{\"a\":1}", "$.\"b\"", NULL }, { "{\"a\":null}", "$.\"a\"", "null" }, { "{\"a\":1.50}", "$.\"a\"", "1.50" },
		{ "{\"a\":1e21}", "$.\"a\"", "1e21" }, { "{\"a\":{\"b\":\"x\"}}", "$.\"a\".\"b\"", "\"x\"" }, { "{\"a\":[{\"b\":1}]}", "$.\"a\".\"b\"", NULL },
		{ "{\"a\":[7]}", "$.\"a\".\"0\"", NULL }, { "{\"a\":{\"0\":7}}", "$.\"a\".\"0\"", "7" }, { "{\"a\":\"x\"}", "$.\"a\".\"b\"", NULL }, { "[1]", "$.\"0\"", NULL },
		{ "{\"a\":\"\\u0000\",\"b\":\"x\\\\y\"}", "$.\"a\"", "\"\\u0000\"" }, { "{\"a\":\"\\u0000\",\"b\":\"x\\\\y\"}", "$.\"b\"", "\"x\\\\y\"" },
		{ "{\"a\":\"\\\\u0000\"}", "$.\"a\"", "\"\\\\u0000\"" }, { "{\"a\\u0000\":1,\"a\":2}", "$.\"a\"", "2" }, { "{\"a\":{\"b\":[]}}", "$.\"a\".\"b\"", "[]" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		char *got = sql_text("SELECT perigee_json_at($1, $2)", rows[i].document, rows[i].path);

		if ((got == NULL) != (rows[i].wanted == NULL) || (got != NULL && strcmp(got, rows[i].wanted) != 0))
			fail_msg("%s at %s: %s, wanted %s", rows[i].document, rows[i].path, got != NULL ? got : "nothing", rows[i].wanted != NULL ? rows[i].wanted : "nothing");
		free(got);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys_of_chosen_values_are_those_of_c),
		cmocka_unit_test(keys_of_any_number_are_those_of_c),
		cmocka_unit_test(keys_of_any_text_are_those_of_c),
		cmocka_unit_test(what_stands_at_a_path_comes_as_it_was_written),
	};

	return cmocka_run_group_tests_name("store_postgres_keys", tests, setup, teardown);
}
