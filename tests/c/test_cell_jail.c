/* What a cell is, seen from outside: who it is, what it holds, what it costs, what becomes of it. */
#include "check.h"

#include "cell_driver.h"

#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BODY "local effects = require 'perigee.effects'\nreturn {\n" \
	     "  wait = function() return effects.call('time.sleep', { ms = 1 }) end,\n" \
	     "  crash = function() return require('agents.crash') end,\n" \
	     "}"

static struct driver driver;
static struct stem stem;
static struct cell cell;

static int open_all(void **state)
{
	json_t *files = bundle_of(BODY);
	struct message message;

	(void)state;
	driver_open(&driver);
	driver_stem(&driver, 1, &stem);
	stem_load(&stem, files, "bundle", NULL, &message);
	assert_int_equal(message.type, FRAME_MANIFEST);
	message_free(&message);
	json_decref(files);
	stem_fork(&stem, &cell);
	cell_start(&cell, "wait", "null", 0);
	assert_true(cell_next(&cell, &message, 5000));
	assert_int_equal(message.type, FRAME_EFFECT);
	message_free(&message);
	return 0;
}

static int close_all(void **state)
{
	(void)state;
	cell_close(&cell);
	driver_close_stem(&stem);
	return driver_close(&driver);
}

/* The number behind "name:" in a file of /proc of the cell. */
static long number_in(const char *file, const char *name)
{
	char path[64], line[512];
	long value = -1;
	FILE *f;

	snprintf(path, sizeof path, "/proc/%d/%s", cell.pid, file);
	f = fopen(path, "r");
	assert_non_null(f);
	while (fgets(line, sizeof line, f))
		if (strncmp(line, name, strlen(name)) == 0)
			value = strtol(line + strlen(name) + strcspn(line + strlen(name), "0123456789"), NULL, 10);
	fclose(f);
	return value;
}

static void it_has_filters_and_no_way_to_more(void **state)
{
	(void)state;
	assert_int_equal(number_in("status", "Seccomp:"), 2);
	assert_int_equal(number_in("status", "Seccomp_filters:"), 2);
	assert_int_equal(number_in("status", "NoNewPrivs:"), 1);
	assert_int_equal(number_in("status", "Threads:"), 1);
	assert_int_equal(number_in("status", "CapEff:"), 0);
	if (geteuid() == 0)
		assert_int_equal(number_in("status", "Uid:"), 65534);
}

static void it_holds_one_socket_and_nothing_else(void **state)
{
	char path[64], target[256];
	struct dirent *entry;
	ssize_t n;
	DIR *dir;

	(void)state;
	snprintf(path, sizeof path, "/proc/%d/fd", cell.pid);
	dir = opendir(path);
	if (!dir && geteuid() != 0)
		skip(); /* not dumpable: its owner may not look either */
	assert_non_null(dir);
	while ((entry = readdir(dir))) {
		int fd = atoi(entry->d_name);

		if (entry->d_name[0] == '.')
			continue;
		assert_in_range(fd, 0, 3);
		snprintf(path, sizeof path, "/proc/%d/fd/%d", cell.pid, fd);
		n = readlink(path, target, sizeof target - 1);
		assert_true(n > 0);
		target[n] = '\0';
		if (fd < 3)
			assert_string_equal(target, "/dev/null");
		else
			assert_true(strncmp(target, "socket:", 7) == 0);
	}
	closedir(dir);
}

static void its_limits_are_small(void **state)
{
	(void)state;
	assert_int_equal(number_in("limits", "Max core file size"), 0);
	assert_int_equal(number_in("limits", "Max file size"), 0);
	assert_int_equal(number_in("limits", "Max processes"), 0);
	assert_int_equal(number_in("limits", "Max open files"), 4);
	assert_true(number_in("limits", "Max address space") > 0);
	assert_true(number_in("limits", "Max stack size") <= 128l << 20);
}

static void its_environment_is_empty(void **state)
{
	char path[64];
	FILE *f;

	(void)state;
	snprintf(path, sizeof path, "/proc/%d/environ", cell.pid);
	f = fopen(path, "r");
	if (!f)
		return; /* not dumpable, and we are not root: nobody reads it */
	assert_int_equal(fgetc(f), EOF);
	fclose(f);
}

static void a_waiting_cell_costs_little_memory(void **state)
{
	long kb;

	(void)state;
	if (geteuid() != 0)
		skip(); /* not dumpable: its owner may not look either */
	kb = number_in("smaps_rollup", "Private_Dirty:") + number_in("smaps_rollup", "Private_Clean:");
	print_message("private memory of a waiting cell: %ld KB\n", kb);
	assert_in_range(kb, 1, 200);
}

static void a_crash_of_the_parser_takes_one_cell_and_no_more(void **state)
{
	/* upstream #1033: LuaJIT's parser reads a wild pointer here; compiled in a stem, whose end is reported */
	json_t *files = bundle_of("local a\nfor x in (nil):m() do end\nreturn {}");
	struct message message;
	struct stem other;
	bool answered;

	(void)state;
	driver_stem(&driver, 2, &other);
	{
		char *text = json_dumps(files, JSON_COMPACT), *load = malloc(strlen(text) + 100);
		struct buf out;

		sprintf(load, "{\"files\":%s,\"mode\":\"bundle\"}", text);
		buf_init(&out, 1 << 20);
		frame_add(&out, FRAME_LOAD, 0, str_of(load));
		assert_true(write(other.socket, out.p, out.n) == (ssize_t)out.n);
		buf_free(&out);
		free(load);
		free(text);
	}
	answered = stem_next(&other, &message);
	if (answered)
		message_free(&message); /* a LuaJIT without the fault says that nil has no methods */
	driver_close_stem(&other);
	assert_true(driver_next(&driver, &message));
	assert_int_equal(message.type, FRAME_GONE);
	message_free(&message);
	json_decref(files);
	assert_int_equal(number_in("status", "Threads:"), 1); /* our cell is still there */
}

static void cells_die_with_their_zygote(void **state)
{
	struct message message;
	struct driver second;
	struct stem s;
	struct cell c;
	json_t *files = bundle_of(BODY);

	(void)state;
	driver_open(&second);
	driver_stem(&second, 1, &s);
	stem_load(&s, files, "bundle", NULL, &message);
	message_free(&message);
	json_decref(files);
	stem_fork(&s, &c);
	cell_start(&c, "wait", "null", 0);
	assert_true(cell_next(&c, &message, 5000));
	message_free(&message);
	kill(second.zygote, SIGKILL);
	driver_close(&second);
	assert_int_equal(poll(&(struct pollfd){ .fd = c.pidfd, .events = POLLIN }, 1, 5000), 1); /* readable: it has ended */
	assert_false(cell_next(&c, &message, 2000));
	cell_close(&c);
	driver_close_stem(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_has_filters_and_no_way_to_more),
		cmocka_unit_test(it_holds_one_socket_and_nothing_else),
		cmocka_unit_test(its_limits_are_small),
		cmocka_unit_test(its_environment_is_empty),
		cmocka_unit_test(a_waiting_cell_costs_little_memory),
		cmocka_unit_test(a_crash_of_the_parser_takes_one_cell_and_no_more),
		cmocka_unit_test(cells_die_with_their_zygote),
	};

	return cmocka_run_group_tests(tests, open_all, close_all);
}
