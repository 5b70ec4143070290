/* Changes are told once a burst, also in folders that come later; editors' swap files and missing folders are nothing. */
#include "net/file_watch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct place {
	char folder[64], missing[96];
	struct loop *loop;
	struct file_watch *watch;
	struct timer end;
	bool ended;
	int changes;
};

static void
place_on_changed(void *arg)
{
	struct place *p = arg;
	p->changes++;
}

static void
place_on_end(void *arg)
{
	struct place *p = arg;
	p->ended = true;
}

static int
make_place(void **state)
{
	struct place *p = mem_alloc(sizeof *p);
	struct errbuf e;
	snprintf(p->folder, sizeof p->folder, "/tmp/perigee-watch-XXXXXX");
	assert_non_null(mkdtemp(p->folder));
	snprintf(p->missing, sizeof p->missing, "%s/missing", p->folder);
	p->loop = loop_new();
	timer_init(&p->end, p->loop, place_on_end, p);
	assert_int_equal(file_watch_new(p->loop, (const char *[]){ p->folder, p->missing, NULL }, place_on_changed, p, &p->watch, &e), 0);
	*state = p;
	return 0;
}

static int
drop_place(void **state)
{
	struct place *p = *state;
	char command[128];
	file_watch_free(p->watch);
	timer_fini(&p->end);
	loop_free(p->loop);
	snprintf(command, sizeof command, "rm -rf %s", p->folder);
	assert_int_equal(system(command), 0);
	free(p);
	return 0;
}

static void
settle(struct place *p)
{
	p->ended = false;
	timer_start_us(&p->end, 200000);
	while (!p->ended)
		loop_run_once(p->loop);
}

static void
save(const struct place *p, const char *name)
{
	char path[256];
	snprintf(path, sizeof path, "%s/%s", p->folder, name);
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	fputs("return {}\n", f);
	fclose(f);
}

static void
many_saves_at_once_are_told_once(void **state)
{
	struct place *p = *state;
	save(p, "a.lua");
	save(p, "b.lua");
	save(p, "a.lua");
	settle(p);
	assert_int_equal(p->changes, 1);
	settle(p);
	assert_int_equal(p->changes, 1);
	save(p, "a.lua");
	settle(p);
	assert_int_equal(p->changes, 2);
}

static void
a_folder_made_later_is_watched_too(void **state)
{
	struct place *p = *state;
	char path[256];
	snprintf(path, sizeof path, "%s/agents", p->folder);
	assert_int_equal(mkdir(path, 0700), 0);
	settle(p);
	int before = p->changes;
	save(p, "agents/sales.lua");
	settle(p);
	assert_int_equal(p->changes, before + 1);
}

static void
a_watched_folder_that_was_missing_is_watched_once_it_is_made(void **state)
{
	struct place *p = *state;
	const char *top = p->missing;
	file_watch_free(p->watch);
	assert_int_equal(file_watch_new(p->loop, (const char *[]){ top, NULL }, place_on_changed, p, &p->watch, NULL), 0);
	save(p, "beside.lua");
	settle(p);
	assert_int_equal(p->changes, 0);
	assert_int_equal(mkdir(top, 0700), 0);
	settle(p);
	int before = p->changes;
	assert_int_equal(before, 1);
	save(p, "missing/sales.lua");
	settle(p);
	assert_int_equal(p->changes, before + 1);
}

static void
swap_and_backup_files_are_nothing(void **state)
{
	struct place *p = *state;
	save(p, ".a.lua.swp");
	save(p, "a.lua~");
	settle(p);
	assert_int_equal(p->changes, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(many_saves_at_once_are_told_once, make_place, drop_place),
		cmocka_unit_test_setup_teardown(a_folder_made_later_is_watched_too, make_place, drop_place),
		cmocka_unit_test_setup_teardown(a_watched_folder_that_was_missing_is_watched_once_it_is_made, make_place, drop_place),
		cmocka_unit_test_setup_teardown(swap_and_backup_files_are_nothing, make_place, drop_place),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
