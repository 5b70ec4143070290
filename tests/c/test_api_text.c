#include "check.h"

#include "api/text.h"

#include <stdlib.h>

static void urls_are_decoded_or_refused(void **state)
{
	static const char *const bad[] = { "%", "%2", "%zz", "a%00", "%0a", "%7f", "%c3", "%ff", "%ed%a0%80", "\x01" };
	struct buf b;

	(void)state;
	buf_init(&b, 100);
	assert_true(url_decode(STR("a%2Fb+c%C3%A9"), false, &b));
	assert_buf(&b, "a/b+c\xc3\xa9");
	buf_reset(&b);
	assert_true(url_decode(STR("a+b%2b"), true, &b));
	assert_buf(&b, "a b+");
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		buf_reset(&b);
		assert_false(url_decode(str_of(bad[i]), true, &b));
	}
	buf_reset(&b);
	url_encode(&b, STR("a/b c\xc3\xa9~"));
	assert_buf(&b, "a%2Fb%20c%C3%A9~");
	buf_free(&b);
}

static void preferences_are_found_in_lists(void **state)
{
	(void)state;
	assert_int_equal(preference(STR("wait=10"), "wait"), 10);
	assert_int_equal(preference(STR("respond-async, Wait = \"7\""), "wait"), 7);
	assert_int_equal(preference(STR("wait"), "wait"), -1);
	assert_int_equal(preference(STR("wait=-1"), "wait"), -1);
	assert_int_equal(preference(STR("wait=1x"), "wait"), -1);
	assert_int_equal(preference(STR("wait=99999999999"), "wait"), -1);
	assert_int_equal(preference(STR(",,;=, wait=0"), "wait"), 0);
	assert_int_equal(preference((struct str){ 0 }, "wait"), -1);
}

static void media_types_are_json_or_not(void **state)
{
	static const char *const good[] = { "application/json", "Application/JSON; charset=UTF-8", "application/cloudevents+json",
		                            "application/json;charset=\"utf-8\"", "application/json ; profile=x" };
	static const char *const bad[] = { "text/json", "application/jsonp", "application/x-www-form-urlencoded", "application/json; charset=latin1", "",
		                           "application/+json", "json" };

	(void)state;
	for (size_t i = 0; i < sizeof good / sizeof *good; i++)
		assert_true(content_type_is_json(str_of(good[i])));
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_false(content_type_is_json(str_of(bad[i])));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(urls_are_decoded_or_refused),
		cmocka_unit_test(preferences_are_found_in_lists),
		cmocka_unit_test(media_types_are_json_or_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
