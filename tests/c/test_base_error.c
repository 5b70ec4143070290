#include "check.h"

#include "base/error.h"

static void every_code_has_its_own_name_and_a_status(void **state)
{
	static const int codes[] = {
#define X(code, name, class, status, title) code,
		ERR_TABLE(X)
#undef X
	};
	size_t i, j, n = sizeof codes / sizeof codes[0];

	(void)state;
	for (i = 0; i < n; i++) {
		assert_true(codes[i] < 0);
		assert_true(err_http_status(codes[i]) >= 400 && err_http_status(codes[i]) < 600);
		assert_int_not_equal(err_class(codes[i]), ERR_CLASS_NONE);
		for (j = 0; j < i; j++)
			assert_string_not_equal(err_name(codes[i]), err_name(codes[j]));
	}
	assert_string_equal(err_name(ERR_NOT_FOUND), "not.found");
	assert_int_equal(err_http_status(ERR_SCHEMA), 422);
	assert_int_equal(err_class(ERR_PROTOCOL), ERR_CLASS_SECURITY);
	assert_string_equal(err_title(ERR_CANCELLED), "Cancelled");
}

static void success_and_unknown_codes_have_rows_too(void **state)
{
	(void)state;
	assert_string_equal(err_name(0), "ok");
	assert_int_equal(err_class(0), ERR_CLASS_NONE);
	assert_string_equal(err_name(-1), "host.bug");
	assert_string_equal(err_name(ERR_BASE_), "host.bug");
	assert_int_equal(err_http_status(12345), 500);
}

static void text_is_wrapped_on_its_way_up(void **state)
{
	struct errbuf e;

	(void)state;
	assert_int_equal(err_set(&e, ERR_IO, "disk %d full", 3), ERR_IO);
	assert_int_equal(err_wrap(&e, ERR_STORE, "run %s", "0001"), ERR_STORE);
	assert_int_equal(err_wrap(&e, ERR_STORE, "open store"), ERR_STORE);
	assert_string_equal(e.text, "open store: run 0001: disk 3 full");
	assert_int_equal(err_set(NULL, ERR_IO, "x"), ERR_IO);
	assert_int_equal(err_wrap(NULL, ERR_IO, "x"), ERR_IO);
}

static void text_that_is_too_long_is_cut(void **state)
{
	struct errbuf e = { "" };
	char wide[600];
	int i;

	(void)state;
	memset(wide, 'w', sizeof wide);
	wide[sizeof wide - 1] = '\0';
	err_set(&e, ERR_IO, "%s", wide);
	assert_int_equal(strlen(e.text), sizeof e.text - 1);
	for (i = 0; i < 100; i++)
		err_wrap(&e, ERR_IO, "a longer prefix");
	assert_int_equal(strlen(e.text), sizeof e.text - 1);
	err_wrap(&e, ERR_IO, "%s", wide);
	assert_int_equal(strlen(e.text), sizeof e.text - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_code_has_its_own_name_and_a_status),
		cmocka_unit_test(success_and_unknown_codes_have_rows_too),
		cmocka_unit_test(text_is_wrapped_on_its_way_up),
		cmocka_unit_test(text_that_is_too_long_is_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
