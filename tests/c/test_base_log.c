#include "check.h"

#include "base/json.h"
#include "base/log.h"

#include <stdlib.h>
#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

static int sink[2]; /* a pipe: each read gets what was written until then */

static void take(char *out, size_t size)
{
	ssize_t n = read(sink[0], out, size - 1);

	out[n > 0 ? n : 0] = '\0';
}

static int setup(void **state)
{
	(void)state;
	return pipe2(sink, O_NONBLOCK | O_CLOEXEC);
}

static int teardown(void **state)
{
	(void)state;
	log_setup(STDERR_FILENO, LOG_TEXT, LOG_INFO);
	return close(sink[0]) | close(sink[1]);
}

static void a_record_is_one_line(void **state)
{
	char line[1000];

	(void)state;
	log_setup(sink[1], LOG_TEXT, LOG_INFO);
	log_event(LOG_INFO, "run.ended", "run", "0001", "status", "succeeded", NULL);
	take(line, sizeof line);
	assert_int_equal(line[10], 'T');
	assert_string_equal(line + 24, " info  run.ended run=0001 status=succeeded\n");
	log_event(LOG_ERROR, "host.bug", NULL);
	take(line, sizeof line);
	assert_string_equal(line + 24, " error host.bug\n");
}

static void levels_below_the_least_are_not_written(void **state)
{
	char line[1000];
	enum log_level level;

	(void)state;
	log_setup(sink[1], LOG_TEXT, LOG_WARN);
	log_event(LOG_INFO, "x.y", NULL);
	take(line, sizeof line);
	assert_string_equal(line, "");
	assert_false(log_wants(LOG_INFO));
	assert_true(log_wants(LOG_WARN));
	assert_true(log_level_parse(STR("debug"), &level));
	assert_int_equal(level, LOG_DEBUG);
	assert_false(log_level_parse(STR("loud"), &level));
}

static void text_cannot_command_the_terminal_or_forge_a_record(void **state)
{
	char line[1000];

	(void)state;
	log_setup(sink[1], LOG_TEXT, LOG_INFO);
	log_event(LOG_INFO, "x.y", "a", "1\n2026 info forged", "b", "\033[2Jclear", "c",
		  "\xc2\x9b"
		  "31m",
		  "d", "say \"hi\" a=b", "e", "", "f", "gr\xc3\xbc\xc3\x9f", "g", "\xff\xfe", "h",
		  "back\\slash", "i", NULL, NULL);
	take(line, sizeof line);
	assert_string_equal(line + 24,
			    " info  x.y a=\"1\\n2026 info forged\" b=\"\\x1b[2Jclear\" c=\\x9b31m "
			    "d=\"say \\\"hi\\\" a=b\" e=\"\" f=gr\xc3\xbc\xc3\x9f g=\\xff\\xfe "
			    "h=\"back\\\\slash\" i=-\n");
}

static void json_records_are_documents(void **state)
{
	static const char nasty[] = "q\" b\\ \n\t\x01\x7f \xc2\x9b \xc3\xbc";
	char line[2000];
	struct errbuf e = { "" };
	json_t *record;

	(void)state;
	log_setup(sink[1], LOG_JSON, LOG_DEBUG);
	log_event(LOG_DEBUG, "x.y", "text", nasty, "broken", "a\xff", "none", NULL, NULL);
	take(line, sizeof line);
	assert_int_equal(line[strlen(line) - 1], '\n');
	assert_null(strchr(line, 0x7f));
	assert_null(strstr(line, "\xc2\x9b"));
	record = json_read(str_of(line), 10000, NULL, &e);
	assert_string_equal(e.text, "");
	assert_str(json_member_str(record, "level"), "debug");
	assert_str(json_member_str(record, "event"), "x.y");
	assert_str(json_member_str(record, "text"), nasty);
	assert_str(json_member_str(record, "broken"), "a\xef\xbf\xbd");
	assert_true(json_is_null(json_member(record, "none")));
	json_decref(record);
}

static void colours_end_where_they_began(void **state)
{
	char line[1000];

	(void)state;
	log_setup(sink[1], LOG_COLOUR, LOG_INFO);
	log_event(LOG_WARN, "x.y", "k", "v", NULL);
	take(line, sizeof line);
	assert_non_null(
		strstr(line, "\033[33mwarn \033[0m \033[1mx.y\033[0m \033[36mk\033[0m=v\n"));
}

static void long_values_are_cut_between_characters(void **state)
{
	static char line[60000], value[60000];
	struct errbuf e = { "" };
	json_t *record;
	size_t i;

	(void)state;
	value[0] = 'x';
	for (i = 1; i + 2 < sizeof value; i += 2)
		memcpy(value + i, "\xc3\xbc", 2);
	log_setup(sink[1], LOG_JSON, LOG_INFO);
	log_event(LOG_INFO, "x.y", "v", value, NULL);
	take(line, sizeof line);
	record = json_read(str_of(line), sizeof line, NULL, &e);
	assert_string_equal(e.text, "");
	assert_int_equal(json_member_str(record, "v").n, 8191);
	json_decref(record);
	log_event(LOG_INFO, "x.y", "1", value, "2", value, "3", value, "4", value, "5", value,
		  NULL);
	take(line, sizeof line);
	assert_non_null(strstr(line, "\"event\":\"log.too_long\"}\n"));
}

static void a_sink_that_is_full_or_gone_stops_nobody(void **state)
{
	static char text[70000];
	int i;

	(void)state;
	log_setup(sink[1], LOG_TEXT, LOG_INFO);
	for (i = 0; i < 3000; i++)
		log_event(LOG_INFO, "x.y", "k", "0123456789012345678901234567890123456789", NULL);
	while (read(sink[0], text, sizeof text) > 0)
		;
	log_setup(-1, LOG_TEXT, LOG_INFO);
	log_event(LOG_INFO, "x.y", NULL);
}

static void *write_many(void *arg)
{
	int i;

	for (i = 0; i < 200; i++)
		log_event(LOG_INFO, "x.y", "thread", arg, NULL);
	return NULL;
}

static void threads_write_whole_lines(void **state)
{
	static char text[200000];
	const char *names[] = { "one", "two", "three" };
	pthread_t threads[3];
	size_t i, lines = 0, n = 0;
	ssize_t got;
	char *line;

	(void)state;
	log_setup(sink[1], LOG_TEXT, LOG_INFO);
	for (i = 0; i < 3; i++)
		pthread_create(&threads[i], NULL, write_many, (void *)(uintptr_t)names[i]);
	for (i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	while ((got = read(sink[0], text + n, sizeof text - 1 - n)) > 0)
		n += (size_t)got;
	text[n] = '\0';
	for (line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
		assert_memory_equal(line + 24, " info  x.y thread=", 18);
		lines++;
	}
	assert_int_equal(lines, 600);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_record_is_one_line),
		cmocka_unit_test(levels_below_the_least_are_not_written),
		cmocka_unit_test(text_cannot_command_the_terminal_or_forge_a_record),
		cmocka_unit_test(json_records_are_documents),
		cmocka_unit_test(colours_end_where_they_began),
		cmocka_unit_test(long_values_are_cut_between_characters),
		cmocka_unit_test(a_sink_that_is_full_or_gone_stops_nobody),
		cmocka_unit_test(threads_write_whole_lines),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
