/*
 * The SQLite engine on a disk that fills up or fails: every write and every sync in turn. Under SQLite lies a file system whose n-th write (or sync)
 * and all later ones fail until told otherwise.
 */
#include "store_suite.h"

#include "base/crypto.h"

#include <ftw.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sqlite3.h>

/* -- the file system -------------------------------------------------------------------------------------------------- */

enum fault { FAULT_NONE, FAULT_FULL, FAULT_SYNC };

static _Atomic int fault_kind, fault_left;
static sqlite3_vfs *real_vfs, failing_vfs;

/* Files of different kinds have tables of methods of their own, which share these two functions. */
enum { KINDS_MAX = 8 };
static pthread_mutex_t kinds_lock = PTHREAD_MUTEX_INITIALIZER;
static const sqlite3_io_methods *kinds[KINDS_MAX];
static sqlite3_io_methods failing_kinds[KINDS_MAX];
static int (*real_write)(sqlite3_file *f, const void *p, int n, sqlite3_int64 at);
static int (*real_sync)(sqlite3_file *f, int flags);

static void fault_after(enum fault kind, int n)
{
	atomic_store(&fault_left, n);
	atomic_store(&fault_kind, (int)kind);
}

/* True when this operation is to fail. */
static bool strikes(enum fault kind)
{
	return atomic_load(&fault_kind) == (int)kind && atomic_fetch_sub(&fault_left, 1) <= 0;
}

/* Has the fault struck at all? Ends it. */
static bool fault_end(void)
{
	bool struck = atomic_load(&fault_left) < 0;

	atomic_store(&fault_kind, FAULT_NONE);
	return struck;
}

static int failing_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 at)
{
	return strikes(FAULT_FULL) ? SQLITE_FULL : real_write(f, p, n, at);
}

static int failing_sync(sqlite3_file *f, int flags)
{
	return strikes(FAULT_SYNC) ? SQLITE_IOERR_FSYNC : real_sync(f, flags);
}

static const sqlite3_io_methods *failing_kind(const sqlite3_io_methods *kind)
{
	int i = 0;

	pthread_mutex_lock(&kinds_lock);
	while (kinds[i] != NULL && kinds[i] != kind)
		i++;
	assert_true(i < KINDS_MAX - 1);
	if (kinds[i] == NULL) {
		assert_true(real_write == NULL || real_write == kind->xWrite);
		real_write = kind->xWrite;
		real_sync = kind->xSync;
		failing_kinds[i] = *kind;
		failing_kinds[i].xWrite = failing_write;
		failing_kinds[i].xSync = failing_sync;
		kinds[i] = kind;
	}
	pthread_mutex_unlock(&kinds_lock);
	return &failing_kinds[i];
}

static int failing_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *f, int flags, int *out)
{
	int rc = real_vfs->xOpen(real_vfs, name, f, flags, out);

	(void)vfs;
	if (rc == SQLITE_OK && f->pMethods != NULL)
		f->pMethods = failing_kind(f->pMethods);
	return rc;
}

static void file_system_setup(void)
{
	real_vfs = sqlite3_vfs_find(NULL);
	failing_vfs = *real_vfs;
	failing_vfs.zName = "failing";
	failing_vfs.xOpen = failing_open;
	assert_int_equal(sqlite3_vfs_register(&failing_vfs, 1), SQLITE_OK);
}

/* -- the place -------------------------------------------------------------------------------------------------------- */

static char folder[256], url[300];

static const char *folder_make(void)
{
	const char *base = getenv("TMPDIR");

	snprintf(folder, sizeof(folder), "%s/perigee-faults-XXXXXX", base != NULL ? base : "/tmp");
	assert_non_null(mkdtemp(folder));
	snprintf(url, sizeof(url), "sqlite:%s/store", folder);
	return url;
}

static int entry_remove(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void folder_clear(void)
{
	nftw(folder, entry_remove, 16, FTW_DEPTH | FTW_PHYS);
}

/* -- writes ----------------------------------------------------------------------------------------------------------- */

enum { GROUP = 5, EVENTS = 20 };

struct answer {
	int code, *left;
	char text[256];
};

static void answer_on_done(struct store_tx *tx, int code, void *arg)
{
	struct answer *a = arg;

	a->code = code;
	snprintf(a->text, sizeof(a->text), "%s", store_tx_error(tx));
	store_tx_free(tx);
	--*a->left;
}

/* A group of transactions of many rows; each large enough to need pages of its own. */
static void write_group(int round, struct answer answers[GROUP])
{
	char id[64], *large = mem_alloc(3001);
	struct store_tx *tx;
	int left = GROUP;

	memset(large, 'x', 3000);
	for (int i = 0; i < GROUP; i++) {
		tx = begin("acme");
		for (int n = 0; n < EVENTS; n++) {
			snprintf(id, sizeof(id), "r%d t%d e%d", round, i, n);
			store_tx_add(tx, STATEMENT_event_insert, STORE_MUST, "ttttnin", id, "t", "/x", large, NOW);
		}
		answers[i].left = &left;
		store_submit_write(tx, answer_on_done, &answers[i]);
	}
	while (left > 0)
		loop_run_once(world.loop);
	free(large);
}

/* How many events of transaction i of a round are there? */
static int count_events(int round, int i)
{
	struct store_tx *tx = begin("acme");
	const struct store_result *r;
	char prefix[64];
	int count = 0;

	snprintf(prefix, sizeof(prefix), "r%d t%d e", round, i);
	store_tx_add(tx, STATEMENT_event_list, STORE_ANY, "ii", (int64_t)0, (int64_t)100000);
	r = read_now(tx);
	for (size_t row = 0; row < r->rows; row++)
		count += str_starts(store_text(r, row, 1), prefix);
	store_tx_free(tx);
	return count;
}

/* Returns whether the fault struck. */
static bool try_writes(enum fault kind, int n, int round)
{
	struct answer answers[GROUP];
	bool struck;

	fault_after(kind, n);
	write_group(round, answers);
	struck = fault_end();
	for (int i = 0; i < GROUP; i++) {
		int here = count_events(round, i);

		assert_true(here == 0 || here == EVENTS);
		assert_true(answers[i].code == 0 || answers[i].code == ERR_STORE);
		if (answers[i].code == 0)
			assert_int_equal(here, EVENTS);
		else if (kind == FAULT_FULL)
			assert_int_equal(here, 0);
		if (answers[i].code != 0)
			assert_non_null(strstr(answers[i].text, kind == FAULT_FULL ? "the disk is full" : "the disk answers with errors"));
	}
	return struck;
}

static void check_file(const char *name)
{
	char path[400];
	sqlite3_stmt *s;
	sqlite3 *db;

	snprintf(path, sizeof(path), "%s/store/%s", folder, name);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1, &s, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(s), SQLITE_ROW);
	assert_string_equal((const char *)sqlite3_column_text(s, 0), "ok");
	sqlite3_finalize(s);
	sqlite3_close(db);
}

static void each_fault_in_turn(enum fault kind)
{
	struct answer answers[GROUP];
	int n = 0, round = 0;

	while (try_writes(kind, n, round++))
		n += 1 + n / 8;
	assert_true(n > 0);
	write_group(round, answers);
	for (int i = 0; i < GROUP; i++)
		assert_int_equal(answers[i].code, 0);
	world_reopen();
	assert_int_equal(count_events(round, 0), EVENTS);
	check_file("tenants/acme.db");
}

static void a_full_disk_writes_nothing_by_halves(void **state)
{
	(void)state;
	each_fault_in_turn(FAULT_FULL);
}

static void a_failing_disk_acknowledges_nothing(void **state)
{
	(void)state;
	each_fault_in_turn(FAULT_SYNC);
}

/* -- tenants and opening ---------------------------------------------------------------------------------------------- */

static void a_tenant_is_created_whole_or_not_at_all(void **state)
{
	struct errbuf e = { "" };
	char name[32], file[400];
	bool struck = true;

	(void)state;
	for (int n = 0; struck; n++) {
		int code;

		snprintf(name, sizeof(name), "tenant-%d", n);
		fault_after(FAULT_FULL, n);
		code = store_tenant_create(world.store, str_of(name), "T", &e);
		struck = fault_end();
		assert_true(code == 0 || code == ERR_STORE);
		assert_int_equal(store_tenant_exists(world.store, str_of(name)), code == 0);
		if (code != 0)
			assert_non_null(strstr(e.text, name));
		if (store_tenant_create(world.store, str_of(name), "T", &e) != 0)
			fail_msg("after fault %d: %s", n, e.text);
		assert_int_equal(put(name, "deal", "d1", "{}", 0), 0);
	}
	world_reopen();
	assert_int_equal(put("tenant-0", "deal", "d1", "{}", 1), 0);
	snprintf(file, sizeof(file), "%s/store/tenants", folder);
	assert_int_equal(access(file, F_OK), 0);
}

static void a_store_is_made_whole_or_made_again(void **state)
{
	struct store_options options = { .clock = &clock_system, .create = true };
	struct errbuf e = { "" };
	struct store *store;
	bool struck = true;
	char place[400];

	(void)state;
	for (int n = 0; struck; n++) {
		int code;

		snprintf(place, sizeof(place), "sqlite:%s/new-%d", folder, n);
		options.url = place;
		fault_after(FAULT_FULL, n);
		code = store_open(&options, &store, &e);
		struck = fault_end();
		if (code != 0) {
			assert_int_equal(code, ERR_STORE);
			assert_non_null(strstr(e.text, "platform.db"));
			assert_non_null(strstr(e.text, "full"));
			assert_int_equal(store_open(&options, &store, &e), 0);
		}
		assert_int_equal(store_tenant_create(store, STR("acme"), "", &e), 0);
		store_close(store);
	}
}

static void the_store_is_down_until_a_commit_succeeds(void **state)
{
	struct metrics *metrics = metrics_new(100);
	struct store_options options = { .url = world.url, .loop = world.loop, .metrics = metrics, .clock = &clock_system };
	struct answer answers[GROUP];
	struct buf text;

	(void)state;
	store_close(world.store);
	assert_int_equal(store_open(&options, &world.store, NULL), 0);
	buf_init(&text, 1 << 20);
	for (int round = 0; round < 2; round++) {
		fault_after(round == 0 ? FAULT_FULL : FAULT_NONE, 0);
		write_group(round, answers);
		(void)fault_end();
		buf_reset(&text);
		metrics_write(metrics, &text);
		assert_non_null(strstr(buf_text(&text), round == 0 ? "perigee_store_up 0\n" : "perigee_store_up 1\n"));
	}
	buf_free(&text);
	store_close(world.store);
	metrics_free(metrics);
	world.store = world_open(world.loop);
}

int main(void)
{
	static const struct store_fixture fixture = { "sqlite", folder_make, folder_clear, 0 };
	static const struct CMUnitTest tests[] = {
		SUITE_TEST(a_full_disk_writes_nothing_by_halves),
		SUITE_TEST(a_failing_disk_acknowledges_nothing),
		SUITE_TEST(a_tenant_is_created_whole_or_not_at_all),
		SUITE_TEST(a_store_is_made_whole_or_made_again),
		SUITE_TEST(the_store_is_down_until_a_commit_succeeds),
	};

	world.fixture = &fixture;
	assert_int_equal(crypto_setup(), 0);
	file_system_setup();
	return _cmocka_run_group_tests("store_faults", tests, sizeof(tests) / sizeof(*tests), NULL, NULL);
}
