#include "check.h"

#include "base/json_schema.h"

#include <stdlib.h>

static json_t *must_read(const char *text)
{
	struct errbuf e = { "" };
	json_t *value = json_read(str_of(text), 8u << 20, NULL, &e);

	if (!value)
		fail_msg("%s in %s", e.text, text);
	return value;
}

static json_t *must_be_schema(const char *text)
{
	struct errbuf e = { "" };
	json_t *schema = must_read(text);

	if (json_schema_check_schema(schema, &e) != 0)
		fail_msg("%s", e.text);
	return schema;
}

/* Check; the errors as "pointer: message" lines, and the value afterwards as text when `after` is
 * given. */
static void check(const char *schema_text, const char *value_text, bool coerce,
		  const char *errors_wanted, const char *after)
{
	json_t *schema = must_be_schema(schema_text), *value = must_read(value_text);
	json_t *errors = json_array();
	struct buf lines;
	char *text;
	size_t i;
	int rc = json_schema_check(schema, &value, coerce, errors);

	buf_init(&lines, 100000);
	for (i = 0; i < json_array_size(errors); i++) {
		const json_t *error = json_array_get(errors, i);

		buf_addf(&lines, "%s%.*s: %.*s", i ? "\n" : "",
			 STR_ARG(json_member_str(error, "pointer")),
			 STR_ARG(json_member_str(error, "message")));
	}
	assert_string_equal(buf_text(&lines), errors_wanted);
	assert_int_equal(rc, *errors_wanted ? ERR_SCHEMA : 0);
	if (after) {
		text = json_to_text(value);
		assert_string_equal(text, after);
		free(text);
	}
	buf_free(&lines);
	json_decref(errors);
	json_decref(value);
	json_decref(schema);
}

static void fits(const char *schema, const char *value)
{
	check(schema, value, false, "", value);
}

static void fails(const char *schema, const char *value, const char *errors)
{
	check(schema, value, false, errors, NULL);
}

static void bad_schema(const char *text, const char *message)
{
	struct errbuf e = { "" };
	json_t *schema = must_read(text);

	assert_int_equal(json_schema_check_schema(schema, &e), ERR_INVALID);
	assert_string_equal(e.text, message);
	json_decref(schema);
}

static void types_name_what_was_expected_and_got(void **state)
{
	(void)state;
	fits("{}", "[1,{}]");
	fits("{\"type\":\"null\"}", "null");
	fits("{\"type\":\"boolean\"}", "false");
	fits("{\"type\":\"number\"}", "3");
	fits("{\"type\":\"integer\"}", "3");
	check("{\"type\":\"integer\"}", "3.0", false, "", "3");
	fits("{\"type\":[\"string\",\"null\"]}", "null");
	fails("{\"type\":\"integer\"}", "3.5", ": expected integer, got number 3.5");
	fails("{\"type\":\"string\"}", "17", ": expected string, got number 17");
	fails("{\"type\":\"number\"}", "\"17\"", ": expected number, got string \"17\"");
	fails("{\"type\":[\"string\",\"null\"]}", "true", ": expected string or null, got true");
	fails("{\"type\":[\"string\",\"number\",\"null\"]}", "[1,2]",
	      ": expected string, number or null, got an array of 2");
	fails("{\"type\":\"array\"}", "{\"a\":1}", ": expected array, got an object");
	fails("{\"type\":\"array\"}", "{}", ": expected array, got an empty object");
	fails("{\"type\":\"object\"}", "null", ": expected object, got null");
	fails("{\"type\":\"null\"}",
	      "\"\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc"
	      "\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc"
	      "\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc"
	      "\xc3\xbc\xc3\xbc\xc3\xbc\"",
	      ": expected null, got string "
	      "\"\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc"
	      "\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc"
	      "\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc"
	      "\xc3\xbc…");
}

static void properties_are_required_known_and_checked(void **state)
{
	static const char schema[] =
		"{\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"deal\"],"
		"\"properties\":{\"deal\":{\"type\":\"string\"},\"quantity\":{\"type\":\"integer\"}"
		"}}";

	(void)state;
	fits(schema, "{\"deal\":\"d\",\"quantity\":1}");
	fails(schema, "{}", ": required property \"deal\" is missing");
	fails(schema, "{\"deal\":1}", "/deal: expected string, got number 1");
	fails(schema, "{\"deal\":\"d\",\"quanttiy\":1}",
	      "/quanttiy: unknown property \"quanttiy\"; did you mean \"quantity\"?");
	fails(schema, "{\"deal\":\"d\",\"Quantity\":1}",
	      "/Quantity: unknown property \"Quantity\"; did you mean \"quantity\"?");
	fails(schema, "{\"deal\":\"d\",\"zebra\":1}",
	      "/zebra: unknown property \"zebra\"; allowed: deal, quantity");
	fails("{\"type\":\"object\",\"additionalProperties\":false}", "{\"a\":1}",
	      "/a: unknown property \"a\"; no properties are allowed here");
	fails("{\"additionalProperties\":{\"type\":\"integer\"}}", "{\"a\":1,\"b\":\"x\"}",
	      "/b: expected integer, got string \"x\"");
	fits("{\"additionalProperties\":true}", "{\"a\":1}");
}

static void pointers_are_escaped_and_go_deep(void **state)
{
	(void)state;
	fails("{\"properties\":{\"a/"
	      "b\":{\"properties\":{\"m~n\":{\"items\":{\"type\":\"string\"}}}}}}",
	      "{\"a/b\":{\"m~n\":[\"x\",2,\"y\",null]}}",
	      "/a~1b/m~0n/1: expected string, got number 2\n"
	      "/a~1b/m~0n/3: expected string, got null");
}

static void values_are_bounded(void **state)
{
	(void)state;
	fits("{\"minimum\":1,\"maximum\":3}", "1");
	fails("{\"minimum\":1,\"maximum\":3}", "0.5", ": expected at least 1, got number 0.5");
	fails("{\"minimum\":1,\"maximum\":3}", "4", ": expected at most 3, got number 4");
	fits("{\"maximum\":9223372036854775806}", "9223372036854775806");
	fails("{\"maximum\":9223372036854775806}", "9223372036854775807",
	      ": expected at most 9223372036854775806, got number 9223372036854775807");
	fits("{\"minLength\":2,\"maxLength\":3}", "\"\xc3\xbc\xf0\x9f\x8c\x99\"");
	fails("{\"minLength\":2}", "\"\xc3\xbc\"", ": expected at least 2 characters, got 1");
	fails("{\"maxLength\":3}", "\"abcd\"", ": expected at most 3 characters, got 4");
	fails("{\"minItems\":1}", "[]", ": expected at least 1 items, got 0");
	fails("{\"maxItems\":1}", "[1,2]", ": expected at most 1 items, got 2");
	fits("{\"minLength\":2}", "7");
}

static void enums_constants_and_formats_are_checked(void **state)
{
	(void)state;
	fits("{\"enum\":[\"a\",1,null]}", "null");
	check("{\"enum\":[1,{\"a\":[2]}]}", "{\"a\":[2.0]}", false, "", NULL);
	fails("{\"enum\":[\"low\",\"high\"]}", "\"mid\"",
	      ": expected one of \"low\", \"high\", got string \"mid\"");
	fits("{\"const\":\"v1\"}", "\"v1\"");
	fails("{\"const\":\"v1\"}", "\"v2\"", ": expected string \"v1\", got string \"v2\"");
	fits("{\"format\":\"uuid\"}", "\"0190a0b0-0000-7000-8000-000000000000\"");
	fails("{\"format\":\"uuid\"}", "\"nope\"", ": expected a UUID, got string \"nope\"");
	fits("{\"format\":\"date-time\"}", "\"2026-11-22T10:00:00+01:00\"");
	fails("{\"format\":\"date-time\"}", "\"2026-11-22\"",
	      ": expected a date-time of RFC 3339 with its zone, such as 2026-11-22T10:00:00Z, got "
	      "string "
	      "\"2026-11-22\"");
	fits("{\"format\":\"uuid\"}", "7");
}

static void one_branch_of_any_of_must_fit(void **state)
{
	static const char schema[] =
		"{\"anyOf\":[{\"type\":\"string\"},"
		"{\"type\":\"object\",\"properties\":{\"n\":{\"type\":\"integer\"}}}]}";

	(void)state;
	fits(schema, "\"x\"");
	fits(schema, "{\"n\":1}");
	fails(schema, "{\"n\":\"one\"}", "/n: expected integer, got string \"one\"");
	fails(schema, "7", ": fits none of the 2 forms allowed here");
	fails("{\"anyOf\":[{\"type\":\"string\",\"maxLength\":1},{\"type\":\"string\","
	      "\"minLength\":4}]}",
	      "\"abc\"", ": fits none of the 2 forms allowed here");
}

static void references_lead_to_definitions(void **state)
{
	static const char tree[] =
		"{\"$ref\":\"#/$defs/"
		"tree\",\"$defs\":{\"tree\":{\"type\":\"object\",\"required\":[\"value\"],"
		"\"properties\":{\"value\":{\"type\":\"integer\"},\"children\":{\"type\":\"array\","
		"\"items\":"
		"{\"$ref\":\"#/$defs/tree\"}}}}}}";

	(void)state;
	fits(tree, "{\"children\":[{\"children\":[],\"value\":2}],\"value\":1}");
	fails(tree, "{\"children\":[{\"value\":2},{\"children\":[{\"value\":\"x\"}]}],\"value\":1}",
	      "/children/1: required property \"value\" is missing\n"
	      "/children/1/children/0/value: expected integer, got string \"x\"");
}

static void an_empty_object_becomes_the_array_that_was_meant(void **state)
{
	(void)state;
	check("{\"type\":\"array\"}", "{}", true, "", "[]");
	check("{\"type\":[\"array\",\"null\"]}", "{}", true, "", "[]");
	check("{\"type\":[\"array\",\"object\"]}", "{}", true, "", "{}");
	check("{\"type\":\"object\"}", "{}", true, "", "{}");
	check("{}", "{}", true, "", "{}");
	check("{\"type\":\"array\",\"minItems\":1}", "{}", true,
	      ": expected at least 1 items, got 0", NULL);
	check("{\"properties\":{\"a\":{\"type\":\"array\"},\"b\":{\"items\":{\"type\":\"array\"}}}"
	      "}",
	      "{\"a\":{},\"b\":[{},[1],{}],\"c\":{}}", true, "",
	      "{\"a\":[],\"b\":[[],[1],[]],\"c\":{}}");
	check("{\"$ref\":\"#/$defs/list\",\"$defs\":{\"list\":{\"type\":\"array\"}}}", "{}", true,
	      "", "[]");
	check("{\"additionalProperties\":{\"$ref\":\"#/$defs/"
	      "list\"},\"$defs\":{\"list\":{\"type\":\"array\"}}}",
	      "{\"x\":{}}", true, "", "{\"x\":[]}");
	check("{\"type\":\"array\"}", "{\"a\":1}", true, ": expected array, got an object", NULL);
}

static void any_of_coerces_only_when_nothing_fits_as_it_is(void **state)
{
	(void)state;
	check("{\"anyOf\":[{\"type\":\"array\"},{\"type\":\"object\"}]}", "{}", true, "", "{}");
	check("{\"anyOf\":[{\"type\":\"null\"},{\"type\":\"array\"}]}", "{}", true, "", "[]");
	check("{\"properties\":{\"l\":{\"anyOf\":[{\"type\":\"null\"},{\"type\":\"object\","
	      "\"required\":[\"x\"],"
	      "\"properties\":{\"x\":{\"type\":\"array\"}}}]}}}",
	      "{\"l\":{\"x\":{}}}", true, "", "{\"l\":{\"x\":[]}}");
	/* A branch that fails has changed nothing. */
	check("{\"anyOf\":[{\"properties\":{\"a\":{\"type\":\"array\"},\"b\":{\"type\":\"string\"}}"
	      "},"
	      "{\"properties\":{\"a\":{\"type\":\"object\"}}}]}",
	      "{\"a\":{},\"b\":1}", true, "", "{\"a\":{},\"b\":1}");
	check("{\"anyOf\":[{\"type\":\"null\"},{\"type\":\"array\"}]}", "{}", false,
	      ": fits none of the 2 forms allowed here", NULL);
}

static void at_most_twenty_errors_are_reported(void **state)
{
	json_t *schema = must_be_schema("{\"items\":{\"type\":\"string\"}}");
	json_t *value = must_read("[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23]");
	json_t *errors = json_array();

	(void)state;
	assert_int_equal(json_schema_check(schema, &value, false, errors), ERR_SCHEMA);
	assert_int_equal(json_array_size(errors), 20);
	assert_int_equal(json_schema_check(schema, &value, false, NULL), ERR_SCHEMA);
	json_decref(errors);
	json_decref(value);
	json_decref(schema);
}

static void what_cannot_be_checked_is_no_schema(void **state)
{
	(void)state;
	bad_schema("true", "schema at \"\": a schema must be an object");
	bad_schema("{\"properties\":{\"a\":{\"pattern\":\"^x\"}}}",
		   "schema at \"/properties/a/pattern\": the keyword \"pattern\" cannot be checked "
		   "here");
	bad_schema("{\"type\":\"text\"}",
		   "schema at \"/type\": type must be a type's name or a list of names");
	bad_schema("{\"type\":[\"string\",\"text\"]}",
		   "schema at \"/type\": type names something that is no type of JSON Schema");
	bad_schema("{\"items\":[{}]}", "schema at \"/items\": a schema must be an object");
	bad_schema("{\"items\":{\"anyOf\":[{},{\"minLength\":-1}]}}",
		   "schema at \"/items/anyOf/1/minLength\": must be a whole number, 0 or more");
	bad_schema("{\"anyOf\":[]}", "schema at \"/anyOf\": must be a list of at least one schema");
	bad_schema("{\"required\":\"a\"}",
		   "schema at \"/required\": must be a list of property names");
	bad_schema("{\"required\":[1]}",
		   "schema at \"/required\": must be a list of property names");
	bad_schema("{\"properties\":[]}",
		   "schema at \"/properties\": must be an object of schemas");
	bad_schema("{\"enum\":[]}", "schema at \"/enum\": must be a list of at least one value");
	bad_schema("{\"minimum\":\"1\"}", "schema at \"/minimum\": must be a number");
	bad_schema("{\"title\":1}", "schema at \"/title\": must be a string");
	bad_schema("{\"format\":\"email\"}",
		   "schema at \"/format\": only the formats \"date-time\" and \"uuid\" are known");
	bad_schema("{\"$ref\":\"#/properties/a\"}",
		   "schema at \"/$ref\": must be of the form \"#/$defs/NAME\"");
	bad_schema("{\"$ref\":\"#/$defs/a\"}",
		   "schema at \"/$ref\": refers to \"a\", which $defs does not have");
	bad_schema("{\"properties\":{\"x~y/z\":{\"$defs\":{}}}}",
		   "schema at \"/properties/x~0y~1z/$defs\": the keyword \"$defs\" cannot be "
		   "checked here");
}

static void circles_that_never_go_down_are_no_schema(void **state)
{
	json_t *good;

	(void)state;
	bad_schema("{\"$defs\":{\"a\":{\"$ref\":\"#/$defs/a\"}}}",
		   "schema at \"\": \"a\" refers to itself in a circle");
	bad_schema("{\"$defs\":{\"a\":{\"anyOf\":[{\"type\":\"null\"},{\"$ref\":\"#/$defs/b\"}]},"
		   "\"b\":{\"$ref\":\"#/$defs/a\"}},\"$ref\":\"#/$defs/a\"}",
		   "schema at \"\": \"$ref\" refers to itself in a circle");
	good = must_be_schema("{\"$defs\":{\"a\":{\"anyOf\":[{\"items\":{\"$ref\":\"#/$defs/a\"}},"
			      "{\"$ref\":\"#/$defs/b\"},{\"$ref\":\"#/$defs/b\"}]},\"b\":{}}}");
	json_decref(good);
}

/* Each level tries both branches on everything below: 2^60 visits, were they not counted. */
static void a_hostile_schema_ends(void **state)
{
	static const char both[] =
		"{\"$defs\":{\"a\":{\"anyOf\":[{\"type\":\"array\",\"items\":{\"$ref\":\"#/$defs/"
		"a\"},"
		"\"maxItems\":9},{\"type\":\"array\",\"items\":{\"$ref\":\"#/$defs/a\"}}]}},"
		"\"$ref\":\"#/$defs/a\"}";
	char deep[140];
	json_t *schema = must_be_schema(both), *value, *errors = json_array();

	(void)state;
	memset(deep, '[', 60);
	deep[60] = '7';
	memset(deep + 61, ']', 60);
	deep[121] = '\0';
	value = must_read(deep);
	assert_int_equal(json_schema_check(schema, &value, true, errors), ERR_SCHEMA);
	assert_str(json_member_str(json_array_get(errors, 0), "message"),
		   "the schema is too involved to check this value");
	json_decref(errors);
	json_decref(value);
	json_decref(schema);
}

/* References in a row, at each of many levels of the value: the walk must not use up the stack. */
static void long_rows_of_references_end(void **state)
{
	struct buf b;
	json_t *schema, *value;
	int i;

	(void)state;
	buf_init(&b, 1u << 20);
	buf_add_text(&b, "{\"$ref\":\"#/$defs/d0\",\"$defs\":{");
	for (i = 0; i < 900; i++)
		buf_addf(&b, "\"d%d\":{\"$ref\":\"#/$defs/d%d\"},", i, i + 1);
	buf_add_text(&b, "\"d900\":{\"items\":{\"$ref\":\"#/$defs/d0\"}}}}");
	schema = must_be_schema(buf_text(&b));
	value = must_read("[[[[[[[[]]]]]]]]");
	assert_int_equal(json_schema_check(schema, &value, false, NULL), ERR_SCHEMA);
	json_decref(value);
	json_decref(schema);
	buf_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(types_name_what_was_expected_and_got),
		cmocka_unit_test(properties_are_required_known_and_checked),
		cmocka_unit_test(pointers_are_escaped_and_go_deep),
		cmocka_unit_test(values_are_bounded),
		cmocka_unit_test(enums_constants_and_formats_are_checked),
		cmocka_unit_test(one_branch_of_any_of_must_fit),
		cmocka_unit_test(references_lead_to_definitions),
		cmocka_unit_test(an_empty_object_becomes_the_array_that_was_meant),
		cmocka_unit_test(any_of_coerces_only_when_nothing_fits_as_it_is),
		cmocka_unit_test(at_most_twenty_errors_are_reported),
		cmocka_unit_test(what_cannot_be_checked_is_no_schema),
		cmocka_unit_test(circles_that_never_go_down_are_no_schema),
		cmocka_unit_test(a_hostile_schema_ends),
		cmocka_unit_test(long_rows_of_references_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
