/* zygote → stem → LOAD → FORK → START → EFFECT → OUTCOME → DONE, as the host sees it. */
#include "check.h"

#include "cell_driver.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BODY \
	"local effects = require 'perigee.effects'\n" \
	"return {\n" \
	"  echo = function(input) return input end,\n" \
	"  ask = function(input) return { got = effects.call('records.get', { kind = 'deal', id = input.id }), now = effects.host.now() } end,\n" \
	"  many = function(input) local sum = 0; for i = 1, input.n do sum = sum + effects.call('test.number', { i = i }) end; return sum end,\n" \
	"  wait = function() return effects.call('time.sleep', { ms = 1 }) end,\n" \
	"}"

static struct driver driver;
static struct stem stem;

static int open_all(void **state)
{
	json_t *files = bundle_of(BODY);
	struct message answer;

	(void)state;
	driver_open(&driver);
	driver_stem(&driver, 7, &stem);
	stem_load(&stem, files, "bundle", NULL, &answer);
	if (answer.type != FRAME_MANIFEST)
		fprintf(stderr, "%s\n", answer.text);
	assert_int_equal(answer.type, FRAME_MANIFEST);
	message_free(&answer);
	json_decref(files);
	return 0;
}

static int close_all(void **state)
{
	(void)state;
	driver_close_stem(&stem);
	assert_int_equal(driver_close(&driver), 0);
	return 0;
}

static void a_capability_gives_its_output(void **state)
{
	struct exit_report report;
	struct message message;
	struct cell cell;

	(void)state;
	stem_fork(&stem, &cell);
	cell_start(&cell, "echo", "{\"a\":[],\"b\":{},\"c\":null,\"d\":0.1,\"e\":\"\\u0000\xc3\xa9\"}", 0);
	assert_true(cell_next(&cell, &message, 5000));
	assert_int_equal(message.type, FRAME_DONE);
	assert_string_equal(message.text, "{\"output\":{\"a\":[],\"b\":{},\"c\":null,\"d\":0.1,\"e\":\"\\u0000\xc3\xa9\"}}");
	message_free(&message);
	stem_wait_exit(&stem, cell.id, &report);
	assert_int_equal(report.status, 0);
	assert_int_equal(report.signal, 0);
	assert_true(report.rss_kb > 0);
	cell_close(&cell);
}

static void an_effect_gets_its_outcome(void **state)
{
	struct message message;
	struct cell cell;

	(void)state;
	stem_fork(&stem, &cell);
	cell_start(&cell, "ask", "{\"id\":\"d1\"}", 0);
	assert_true(cell_next(&cell, &message, 5000));
	assert_int_equal(message.type, FRAME_EFFECT);
	assert_int_equal(message.sequence, 1);
	assert_string_equal(message.text, "{\"args\":{\"id\":\"d1\",\"kind\":\"deal\"},\"name\":\"records.get\"}");
	message_free(&message);
	cell_outcome(&cell, 1, "{\"version\":3}");
	assert_true(cell_next(&cell, &message, 5000));
	assert_string_equal(message.text, "{\"output\":{\"got\":{\"version\":3},\"now\":1700000000001000}}");
	message_free(&message);
	cell_close(&cell);
}

static void a_replay_of_a_thousand_outcomes_comes_in_few_writes(void **state)
{
	struct message message;
	struct cell cell;
	int i;

	(void)state;
	stem_fork(&stem, &cell);
	for (i = 1; i <= 1000; i++) {
		if (i == 1)
			cell_start(&cell, "many", "{\"n\":1001}", 1000);
		cell_outcome(&cell, (uint32_t)i, "1");
	}
	for (i = 1; i <= 1001; i++) {
		assert_true(cell_next(&cell, &message, 5000));
		assert_int_equal(message.type, FRAME_EFFECT);
		assert_int_equal(message.sequence, i);
		message_free(&message);
	}
	cell_outcome(&cell, 1001, "5");
	assert_true(cell_next(&cell, &message, 5000));
	assert_string_equal(message.text, "{\"output\":1005}");
	message_free(&message);
	cell_close(&cell);
}

static void cancel_and_end_of_file_end_a_waiting_cell(void **state)
{
	struct exit_report report;
	struct message message;
	struct cell cell;
	int how;

	(void)state;
	for (how = 0; how < 3; how++) {
		stem_fork(&stem, &cell);
		cell_start(&cell, "wait", "null", 0);
		assert_true(cell_next(&cell, &message, 5000));
		assert_int_equal(message.type, FRAME_EFFECT);
		message_free(&message);
		if (how == 0)
			driver_send(&cell, FRAME_CANCEL, 0, "");
		else if (how == 1)
			shutdown(cell.socket, SHUT_WR);
		else
			syscall(SYS_pidfd_send_signal, cell.pidfd, SIGKILL, NULL, 0);
		stem_wait_exit(&stem, cell.id, &report);
		assert_int_equal(report.status, 0);
		assert_int_equal(report.signal, how == 2 ? SIGKILL : 0);
		cell_close(&cell);
	}
}

static void many_cells_wait_side_by_side(void **state)
{
	struct exit_report report;
	struct message message;
	struct cell cells[40];
	int i;

	(void)state;
	for (i = 0; i < 40; i++) {
		stem_fork(&stem, &cells[i]);
		cell_start(&cells[i], "ask", "{\"id\":\"x\"}", 0);
	}
	for (i = 39; i >= 0; i--) {
		char value[16];

		assert_true(cell_next(&cells[i], &message, 5000));
		message_free(&message);
		snprintf(value, sizeof value, "%d", i);
		cell_outcome(&cells[i], 1, value);
		assert_true(cell_next(&cells[i], &message, 5000));
		assert_int_equal(json_integer_value(json_object_get(json_object_get(message.json, "output"), "got")), i);
		message_free(&message);
	}
	for (i = 39; i >= 0; i--) {
		stem_wait_exit(&stem, cells[i].id, &report);
		assert_int_equal(report.status, 0);
		cell_close(&cells[i]);
	}
}

static void an_outcome_nobody_asked_for_is_a_divergence(void **state)
{
	struct message message;
	struct cell cell;

	(void)state;
	stem_fork(&stem, &cell);
	cell_start(&cell, "ask", "{\"id\":\"x\"}", 1);
	cell_outcome(&cell, 2, "1");
	assert_true(cell_next(&cell, &message, 5000));
	assert_int_equal(message.type, FRAME_EFFECT);
	message_free(&message);
	assert_true(cell_next(&cell, &message, 5000));
	assert_int_equal(message.type, FRAME_FAIL);
	assert_string_equal(message_member(&message, "code"), "replay_diverged");
	message_free(&message);
	cell_close(&cell);
}

static void a_stem_that_ends_is_reported(void **state)
{
	struct message message;
	struct stem other;

	(void)state;
	driver_stem(&driver, 8, &other);
	syscall(SYS_pidfd_send_signal, other.pidfd, SIGKILL, NULL, 0);
	assert_true(driver_next(&driver, &message));
	assert_int_equal(message.type, FRAME_GONE);
	assert_int_equal(message.sequence, 8);
	assert_string_equal(message.text, "{\"signal\":9,\"status\":0}");
	message_free(&message);
	driver_close_stem(&other);
	driver_stem(&driver, 9, &other);
	driver_close_stem(&other); /* end of file */
	assert_true(driver_next(&driver, &message));
	assert_int_equal(message.sequence, 9);
	assert_string_equal(message.text, "{\"signal\":0,\"status\":0}");
	message_free(&message);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_capability_gives_its_output),
		cmocka_unit_test(an_effect_gets_its_outcome),
		cmocka_unit_test(a_replay_of_a_thousand_outcomes_comes_in_few_writes),
		cmocka_unit_test(cancel_and_end_of_file_end_a_waiting_cell),
		cmocka_unit_test(many_cells_wait_side_by_side),
		cmocka_unit_test(an_outcome_nobody_asked_for_is_a_divergence),
		cmocka_unit_test(a_stem_that_ends_is_reported),
	};

	return cmocka_run_group_tests(tests, open_all, close_all);
}
