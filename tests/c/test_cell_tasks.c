/* host.all and blocking effects: which effects go out when, in which order outcomes are taken, how errors travel. */
#include "check.h"

#include "cell_driver.h"

#include <stdio.h>
#include <stdlib.h>

#define BODY \
	"local effects = require 'perigee.effects'\n" \
	"local host, call = effects.host, effects.call\n" \
	"local function ask(name) return function() return call(name, {}) end end\n" \
	"return {\n" \
	"  all = function() return host.all{ ask 'a', ask 'b', ask 'c' } end,\n" \
	"  order = function() local seen = {}\n" \
	"    local function f(name) return function() for _ = 1, 2 do local v = call(name, {}) seen[#seen + 1] = name .. v end end end\n" \
	"    host.all{ f 'a', f 'b' } return seen end,\n" \
	"  fail = function() local ok, e = pcall(host.all, { ask 'a', function() call('b', {}) error('broken', 0) end, ask 'c' }) return { ok, e, call('after', {}) } end,\n" \
	"  code = function() return host.all{ ask 'a', ask 'b' } end,\n" \
	"  nested = function() return host.all{ function() return host.all{ ask 'a', ask 'b' } end, ask 'c' } end,\n" \
	"  blocking = function() return host.all{\n" \
	"    function() return (('x'):gsub('x', function() return call('a', {}) end)) end,\n" \
	"    function() return coroutine.wrap(function() return call('b', {}) end)() end, ask 'c' } end,\n" \
	"  caught = function() return host.all{ function() local ok, e = pcall(call, 'a', {}) return { ok, e.code, tostring(e), e.where } end } end,\n" \
	"  spin = function() return host.all{ ask 'a', function() while true do end end } end,\n" \
	"  none = function() return host.all{} end,\n" \
	"  plain = function() return host.all{ function() return 1 end, function() return 'x' end } end,\n" \
	"  where = function()\n" \
	"    call('a', {})\n" \
	"  end,\n" \
	"  time = function() local r = { host.now() } host.all{ function() call('a', {}) r[2] = host.now() end, function() call('b', {}) r[3] = host.now() end } return r end,\n" \
	"}"

static struct driver driver;
static struct stem stem;
static struct cell cell;

static int open_all(void **state)
{
	json_t *files = bundle_of(BODY);
	struct message answer;

	(void)state;
	driver_open(&driver);
	driver_stem(&driver, 1, &stem);
	stem_load(&stem, files, "bundle", NULL, &answer);
	if (answer.type != FRAME_MANIFEST)
		print_message("%s\n", answer.text);
	assert_int_equal(answer.type, FRAME_MANIFEST);
	message_free(&answer);
	json_decref(files);
	return 0;
}

static int close_all(void **state)
{
	(void)state;
	driver_close_stem(&stem);
	return driver_close(&driver);
}

static void start(const char *capability)
{
	stem_fork(&stem, &cell);
	cell_start(&cell, capability, "null", 0);
}

/* The next effects are these, in this order; numbers go on from `first`. */
static void effects(uint32_t first, const char *names)
{
	struct message message;

	for (; *names; names++, first++) {
		char name[2] = { *names, '\0' };

		assert_true(cell_next(&cell, &message, 5000));
		if (message.type != FRAME_EFFECT)
			print_message("%s\n", message.text);
		assert_int_equal(message.type, FRAME_EFFECT);
		assert_int_equal(message.sequence, first);
		assert_string_equal(message_member(&message, "name"), name);
		message_free(&message);
	}
}

static void ends(enum frame_type type, const char *text)
{
	struct message message;

	assert_true(cell_next(&cell, &message, 5000));
	assert_int_equal(message.type, type);
	if (type == FRAME_DONE)
		assert_string_equal(message.text, text);
	else if (!strstr(message.text, text))
		fail_msg("%s", message.text);
	message_free(&message);
	cell_close(&cell);
}

static void silent(void)
{
	struct message message;

	assert_false(cell_next(&cell, &message, 30));
}

static void results_are_in_order_whatever_came_first(void **state)
{
	(void)state;
	start("all");
	effects(1, "abc");
	cell_outcome(&cell, 3, "\"C\"");
	cell_outcome(&cell, 1, "\"A\"");
	silent();
	cell_outcome(&cell, 2, "\"B\"");
	ends(FRAME_DONE, "{\"output\":[\"A\",\"B\",\"C\"]}");
	start("none");
	ends(FRAME_DONE, "{\"output\":{}}");
	start("plain");
	ends(FRAME_DONE, "{\"output\":[1,\"x\"]}");
}

static void outcomes_wake_tasks_in_order_of_arrival(void **state)
{
	(void)state;
	start("order");
	effects(1, "ab");
	cell_outcome(&cell, 2, "\"1\"");
	effects(3, "b");
	cell_outcome(&cell, 3, "\"2\"");
	cell_outcome(&cell, 1, "\"1\"");
	effects(4, "a");
	cell_outcome(&cell, 4, "\"2\"");
	ends(FRAME_DONE, "{\"output\":[\"b1\",\"b2\",\"a1\",\"a2\"]}");
}

static void the_first_error_abandons_the_others(void **state)
{
	(void)state;
	start("fail");
	effects(1, "abc");
	cell_outcome(&cell, 2, "1");
	{
		struct message message;

		assert_true(cell_next(&cell, &message, 5000));
		assert_string_equal(message_member(&message, "name"), "after");
		assert_int_equal(message.sequence, 4);
		message_free(&message);
	}
	cell_outcome(&cell, 1, "\"late\""); /* of an abandoned task: dropped */
	cell_outcome(&cell, 4, "\"ok\"");
	ends(FRAME_DONE, "{\"output\":[false,\"broken\",\"ok\"]}");
}

static void a_failed_effect_keeps_its_code(void **state)
{
	(void)state;
	start("code");
	effects(1, "ab");
	driver_send(&cell, FRAME_OUTCOME, 2, "{\"at\":1700000000000001,\"error\":{\"code\":\"records.conflict\",\"message\":\"changed meanwhile\",\"version\":4}}");
	ends(FRAME_FAIL, "\"code\":\"records.conflict\",\"message\":\"changed meanwhile\"");
	start("caught");
	effects(1, "a");
	driver_send(&cell, FRAME_OUTCOME, 1, "{\"at\":1700000000000001,\"error\":{\"code\":\"records.conflict\",\"message\":\"changed meanwhile\"}}");
	ends(FRAME_DONE, "{\"output\":[[false,\"records.conflict\",\"changed meanwhile\",\"scripts/agents/t.lua:15\"]]}");
	start("where");
	effects(1, "a");
	driver_send(&cell, FRAME_OUTCOME, 1, "{\"at\":1700000000000001,\"error\":{\"code\":\"a.b\",\"message\":\"m\"}}");
	ends(FRAME_FAIL, "\"where\":\"scripts/agents/t.lua:20\"");
}

static void tasks_may_have_tasks(void **state)
{
	(void)state;
	start("nested");
	effects(1, "cab"); /* the children of the first task start behind the second task */
	cell_outcome(&cell, 1, "\"C\"");
	cell_outcome(&cell, 3, "\"B\"");
	cell_outcome(&cell, 2, "\"A\"");
	ends(FRAME_DONE, "{\"output\":[[\"A\",\"B\"],\"C\"]}");
}

static void effects_under_c_functions_and_coroutines_block(void **state)
{
	(void)state;
	start("blocking");
	effects(1, "a");
	silent();
	cell_outcome(&cell, 1, "\"A\"");
	effects(2, "b");
	cell_outcome(&cell, 2, "\"B\"");
	effects(3, "c");
	cell_outcome(&cell, 3, "\"C\"");
	ends(FRAME_DONE, "{\"output\":[\"A\",\"B\",\"C\"]}");
}

static void a_task_that_spins_meets_its_budget(void **state)
{
	(void)state;
	start("spin");
	effects(1, "a");
	ends(FRAME_FAIL, "\"code\":\"budget.cpu\"");
}

static void time_is_that_of_the_last_outcome(void **state)
{
	(void)state;
	start("time");
	effects(1, "ab");
	cell_outcome(&cell, 2, "null");
	cell_outcome(&cell, 1, "null");
	ends(FRAME_DONE, "{\"output\":[1700000000000000,1700000000001000,1700000000002000]}");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(results_are_in_order_whatever_came_first),
		cmocka_unit_test(outcomes_wake_tasks_in_order_of_arrival),
		cmocka_unit_test(the_first_error_abandons_the_others),
		cmocka_unit_test(a_failed_effect_keeps_its_code),
		cmocka_unit_test(tasks_may_have_tasks),
		cmocka_unit_test(effects_under_c_functions_and_coroutines_block),
		cmocka_unit_test(a_task_that_spins_meets_its_budget),
		cmocka_unit_test(time_is_that_of_the_last_outcome),
	};

	return cmocka_run_group_tests(tests, open_all, close_all);
}
