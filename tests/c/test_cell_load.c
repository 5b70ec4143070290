/* LOAD: what a bundle may do while it loads, what is said about one that fails, and configuration files. */
#include "check.h"

#include "cell_driver.h"

#include <stdio.h>
#include <stdlib.h>

static struct driver driver;
static uint32_t stems;

static int open_all(void **state)
{
	(void)state;
	driver_open(&driver);
	return 0;
}

static int close_all(void **state)
{
	(void)state;
	return driver_close(&driver);
}

/* path, source, path, source, …, NULL: over the test bundle. */
static json_t *files_of(const char *const *more)
{
	json_t *files = bundle_of("return { run = function(input) return require('lib.help').twice(input) end }");

	for (; *more; more += 2)
		json_object_set_new(files, more[0], json_string(more[1]));
	return files;
}

static void load(const char *const *more, const char *mode, const char *limits, struct message *answer)
{
	json_t *files = strcmp(mode, "config") ? files_of(more) : json_pack("{s:s}", more[0], more[1]);
	struct message gone;
	struct stem stem;

	driver_stem(&driver, ++stems, &stem);
	stem_load(&stem, files, mode, limits, answer);
	driver_close_stem(&stem);
	assert_true(driver_next(&driver, &gone));
	message_free(&gone);
	json_decref(files);
}

static void expect_error(const char *const *more, const char *limits, const char *file, int line, const char *part)
{
	struct message answer;
	json_t *errors, *first;

	load(more, "bundle", limits, &answer);
	if (answer.type != FRAME_ERROR || !strstr(message_member(&answer, "message"), part) || strcmp(message_member(&answer, "file"), file))
		print_message("%s\n", answer.text);
	assert_int_equal(answer.type, FRAME_ERROR);
	assert_string_equal(message_member(&answer, "file"), file);
	assert_int_equal(json_integer_value(json_object_get(answer.json, "line")), line);
	assert_non_null(strstr(message_member(&answer, "message"), part));
	errors = json_object_get(answer.json, "errors");
	first = json_array_get(errors, 0);
	assert_string_equal(json_string_value(json_object_get(first, "file")), file);
	message_free(&answer);
}

static void modules_are_found_by_their_names(void **state)
{
	static const char *const more[] = { "scripts/lib/help.lua", "return { twice = function(x) return x * 2 end }",
					    "scripts/agents/a/init.lua", "assert(require('methodology.m').name == 'm') assert(... == 'agents.a') return {}",
					    "methodology/m.lua", "return { name = 'm' }", NULL };
	json_t *files = files_of(more);
	struct message answer;
	struct stem stem;
	struct cell cell;

	(void)state;
	driver_stem(&driver, ++stems, &stem);
	stem_load(&stem, files, "bundle", NULL, &answer);
	assert_int_equal(answer.type, FRAME_MANIFEST);
	message_free(&answer);
	stem_fork(&stem, &cell);
	cell_start(&cell, "run", "21", 0);
	assert_true(cell_next(&cell, &answer, 5000));
	assert_string_equal(answer.text, "{\"output\":42}");
	message_free(&answer);
	cell_close(&cell);
	driver_close_stem(&stem);
	assert_true(driver_next(&driver, &answer));
	message_free(&answer);
	json_decref(files);
}

static void all_syntax_errors_are_told_at_once(void **state)
{
	static const char *const more[] = { "scripts/agents/b.lua", "local x =\n\nend", "scripts/lib/c.lua", "return {\n  a = 1\n  b = 2\n}", NULL };
	struct message answer;
	json_t *errors;

	(void)state;
	load(more, "bundle", NULL, &answer);
	assert_int_equal(answer.type, FRAME_ERROR);
	errors = json_object_get(answer.json, "errors");
	assert_int_equal(json_array_size(errors), 2);
	assert_string_equal(message_member(&answer, "file"), "scripts/agents/b.lua");
	assert_int_equal(json_integer_value(json_object_get(answer.json, "line")), 3);
	assert_string_equal(json_string_value(json_object_get(json_array_get(errors, 1), "file")), "scripts/lib/c.lua");
	assert_int_equal(json_integer_value(json_object_get(json_array_get(errors, 1), "line")), 3);
	message_free(&answer);
}

static void an_error_while_loading_names_file_and_line(void **state)
{
	static const char *const raised[] = { "scripts/agents/b.lua", "local t\n\nprint2 = t.x", NULL };
	static const char *const global[] = { "methodology/m.lua", "\nleak = 1", NULL };
	static const char *const missing[] = { "scripts/agents/b.lua", "\n\nrequire 'lib.none'", NULL };
	static const char *const cycle[] = { "scripts/agents/b.lua", "require 'agents.c'", "scripts/agents/c.lua", "require 'agents.b'", NULL };
	static const char *const table[] = { "scripts/agents/b.lua", "\nerror({ code = 'x.y', message = 'a table' })", NULL };
	static const char *const bytecode[] = { "scripts/agents/b.lua", "\033LJ\2", NULL };

	(void)state;
	expect_error(raised, NULL, "scripts/agents/b.lua", 3, "attempt to index local 't'");
	expect_error(global, NULL, "methodology/m.lua", 2, "assignment to the global variable 'leak'");
	expect_error(missing, NULL, "scripts/agents/b.lua", 3, "there is no scripts/lib/none.lua");
	expect_error(cycle, NULL, "scripts/agents/c.lua", 1, "requires itself: agents.b → agents.c → agents.b");
	expect_error(table, NULL, "scripts/agents/b.lua", 2, "a table");
	expect_error(bytecode, NULL, "scripts/agents/b.lua", 0, "");
}

static void loading_has_no_effects(void **state)
{
	static const char *const calls[] = {
		"require('perigee.effects').call('records.get', {})", "print('x')", "math.random()", "os.time()", "os.clock()", "os.date()",
		"require('perigee.effects').host.now()", "require('perigee.effects').host.uuid()", "require('perigee.effects').host.run_id()",
		"require('perigee.effects').host.all{ function() require('perigee.effects').call('x', {}) end }",
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof calls / sizeof *calls; i++) {
		const char *const more[] = { "scripts/agents/b.lua", calls[i], NULL };

		expect_error(more, NULL, "scripts/agents/b.lua", 1, "not possible while the bundle loads");
	}
}

static void loading_is_bounded(void **state)
{
	static const char *const loop[] = { "scripts/agents/b.lua", "\nwhile true do end", NULL };
	static const char *const memory[] = { "scripts/agents/b.lua", "local t = {}\nfor i = 1, 1e9 do t[i] = { i } end", NULL };

	(void)state;
	expect_error(loop, "{\"cpu_ms\":100,\"load_cpu_ms\":100,\"memory_bytes\":16777216}", "scripts/agents/b.lua", 2, "budget.cpu");
	expect_error(memory, "{\"cpu_ms\":5000,\"load_cpu_ms\":5000,\"memory_bytes\":16777216}", "scripts/agents/b.lua", 2, "budget.memory");
}

static void a_configuration_file_is_data(void **state)
{
	static const char *const good[] = { "perigee.lua", "return { listen = env('LISTEN', '127.0.0.1:8080'), key = env 'KEY', n = { 1, 2 }, s = ('x'):rep(3) }", NULL };
	static const char *const code[] = { "perigee.lua", "return {\n  f = print\n}", NULL };
	static const char *const nothing[] = { "perigee.lua", "local x = 1", NULL };
	static const char *const syntax[] = { "perigee.lua", "return {\n  a = \n}}", NULL };
	struct message answer;

	(void)state;
	load(good, "config", NULL, &answer);
	assert_int_equal(answer.type, FRAME_MANIFEST);
	assert_string_equal(answer.text, "{\"key\":{\"$env\":\"KEY\"},\"listen\":{\"$env\":\"LISTEN\",\"default\":\"127.0.0.1:8080\"},\"n\":[1,2],\"s\":\"xxx\"}");
	message_free(&answer);
	load(code, "config", NULL, &answer);
	assert_int_equal(answer.type, FRAME_ERROR);
	assert_non_null(strstr(message_member(&answer, "message"), "/f: a function is no data"));
	message_free(&answer);
	load(nothing, "config", NULL, &answer);
	assert_int_equal(answer.type, FRAME_ERROR);
	assert_non_null(strstr(message_member(&answer, "message"), "returns a table"));
	message_free(&answer);
	load(syntax, "config", NULL, &answer);
	assert_int_equal(answer.type, FRAME_ERROR);
	assert_string_equal(message_member(&answer, "file"), "perigee.lua");
	assert_int_equal(json_integer_value(json_object_get(answer.json, "line")), 3);
	message_free(&answer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(modules_are_found_by_their_names),
		cmocka_unit_test(all_syntax_errors_are_told_at_once),
		cmocka_unit_test(an_error_while_loading_names_file_and_line),
		cmocka_unit_test(loading_has_no_effects),
		cmocka_unit_test(loading_is_bounded),
		cmocka_unit_test(a_configuration_file_is_data),
	};

	return cmocka_run_group_tests(tests, open_all, close_all);
}
