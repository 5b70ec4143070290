/* The SQLite engine: the conformance suite, then what is its own: files, refusals at opening, many tenants. */
#include "store_suite.h"

#include "store/engine.h"
#include "store/sqlite/connection.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>


static char folder[256], url[300];

static const char *folder_make(void)
{
	const char *base = getenv("TMPDIR");

	snprintf(folder, sizeof(folder), "%s/perigee-store-XXXXXX", base != NULL ? base : "/tmp");
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

/* -- refusals at opening ---------------------------------------------------------------------------------------------- */

static const char *file_of(const char *name)
{
	static char path[400];

	snprintf(path, sizeof(path), "%s/store/%s", folder, name);
	return path;
}

static void sql(const char *name, const char *statement)
{
	sqlite3 *db;
	char *text = NULL;

	assert_int_equal(sqlite3_open(file_of(name), &db), SQLITE_OK);
	if (sqlite3_exec(db, statement, NULL, NULL, &text) != SQLITE_OK)
		fail_msg("%s: %s", statement, text);
	sqlite3_close(db);
}

static void overwrite(const char *name, const char *bytes, long at)
{
	FILE *f = fopen(file_of(name), "r+");

	assert_non_null(f);
	fseek(f, at, SEEK_SET);
	fputs(bytes, f);
	fclose(f);
}

/* Opening must fail with a text that has all of these parts. */
static void expect_refusal(const struct store_options *changes, const char *const *parts)
{
	struct store_options options = { .url = world.url, .clock = &clock_system, .create = true };
	struct errbuf e = { "" };
	struct store *store;

	if (changes != NULL)
		options = *changes;
	store_close(world.store);
	world.store = NULL;
	assert_int_equal(store_open(&options, &store, &e), ERR_STORE);
	assert_null(store);
	for (; *parts != NULL; parts++)
		if (strstr(e.text, *parts) == NULL)
			fail_msg("'%s' is not in: %s", *parts, e.text);
}
#define EXPECT_REFUSAL(changes, ...) expect_refusal(changes, (const char *const[]){ __VA_ARGS__, NULL })

static void a_missing_store_is_not_made_unasked(void **state)
{
	struct store_options options = { .url = "sqlite:/nonexistent/store", .clock = &clock_system };

	(void)state;
	EXPECT_REFUSAL(&options, "/nonexistent/store", "no store there");
	options.url = "mysql:x";
	EXPECT_REFUSAL(&options, "mysql:x", "sqlite:FOLDER");
	options.url = "sqlite:";
	EXPECT_REFUSAL(&options, "name a folder");
}

static void a_file_is_no_store(void **state)
{
	char path[512];
	struct store_options options = { .url = path, .clock = &clock_system, .create = true };

	(void)state;
	snprintf(path, sizeof(path), "sqlite:%s", file_of("platform.db"));
	EXPECT_REFUSAL(&options, "platform.db", "a store is a folder");
}

static void damage_is_named(void **state)
{
	(void)state;
	store_close(world.store);
	world.store = NULL;
	overwrite("platform.db", "this is not a database, this is not", 0);
	EXPECT_REFUSAL(NULL, "platform.db", "is no SQLite database", "backup");
}

static void damage_of_a_tenant_is_named(void **state)
{
	char junk[4000];

	(void)state;
	memset(junk, 'x', sizeof(junk) - 1);
	junk[sizeof(junk) - 1] = '\0';
	store_close(world.store);
	world.store = NULL;
	overwrite("tenants/acme.db", junk, 100);
	EXPECT_REFUSAL(NULL, "tenants/acme.db", "damaged", "backup");
}

static void a_missing_tenant_file_is_named(void **state)
{
	(void)state;
	store_close(world.store);
	world.store = NULL;
	unlink(file_of("tenants/acme.db"));
	EXPECT_REFUSAL(NULL, "tenants/acme.db", "missing", "backup");
}

static void a_newer_schema_is_refused(void **state)
{
	(void)state;
	sql("tenants/acme.db", "INSERT INTO migrations VALUES ('tenant', 999, 'future', 'x', 0); PRAGMA user_version = 999;");
	EXPECT_REFUSAL(NULL, "tenants/acme.db", "version 999", "newer perigee");
}

static void an_altered_migration_is_refused(void **state)
{
	(void)state;
	sql("platform.db", "UPDATE migrations SET checksum = 'other' WHERE number = 1");
	EXPECT_REFUSAL(NULL, "platform.db", "0001_create_platform", "checksum");
}

static void a_strangers_database_is_refused(void **state)
{
	(void)state;
	store_close(world.store);
	world.store = NULL;
	unlink(file_of("platform.db"));
	sql("platform.db", "CREATE TABLE theirs (x)");
	EXPECT_REFUSAL(NULL, "platform.db", "none of Perigee's");
}

static void a_lock_of_another_process_is_named(void **state)
{
	sqlite3 *db;

	(void)state;
	store_close(world.store);
	world.store = NULL;
	assert_int_equal(sqlite3_open(file_of("platform.db"), &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; COMMIT", NULL, NULL, NULL), SQLITE_OK);
	EXPECT_REFUSAL(NULL, "platform.db", "locked");
	sqlite3_close(db);
}

static void a_read_only_store_reads(void **state)
{
	struct store_options options = { .url = world.url, .clock = &clock_system, .read_only = true };
	struct errbuf e = { "" };
	struct store_tx *tx;

	(void)state;
	assert_int_equal(put("acme", "deal", "d1", "{}", 0), 0);
	store_close(world.store);
	assert_int_equal(store_open(&options, &world.store, &e), 0);
	tx = begin("acme");
	store_tx_add(tx, STATEMENT_record_get, STORE_ANY, "tt", "deal", "d1");
	assert_int_equal(read_now(tx)->rows, 1);
	store_tx_free(tx);
	assert_int_equal(put("acme", "deal", "d2", "{}", 0), ERR_STORE);
	assert_int_equal(store_tenant_create(world.store, STR("new"), "", &e), ERR_STORE);
	assert_int_equal(store_owner_register(world.store, "w", &e), ERR_STORE);
}

static int entry_give_away(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return chown(path, 65534, 65534);
}

/* In a child, which stops being root: for root every folder is writable. */
static void an_unwritable_folder_is_refused(void **state)
{
	struct store_options options = { .url = world.url, .clock = &clock_system, .create = true };
	struct errbuf e = { "" };
	int status;
	pid_t child;

	(void)state;
	store_close(world.store);
	world.store = NULL;
	if (geteuid() == 0)
		nftw(folder, entry_give_away, 16, FTW_PHYS);
	chmod(file_of(""), 0500);
	child = fork();
	if (child == 0) {
		if (geteuid() == 0 && setuid(65534) != 0)
			_exit(2);
		status = store_open(&options, &world.store, &e);
		_exit(status == ERR_STORE && strstr(e.text, "read-only") != NULL && strstr(e.text, "writable") != NULL ? 0 : 1);
	}
	waitpid(child, &status, 0);
	chmod(file_of(""), 0700);
	assert_int_equal(status, 0);
}

/* -- files ------------------------------------------------------------------------------------------------------------ */

static void only_this_user_reads_the_files(void **state)
{
	static const char *const names[] = { "", "platform.db", "tenants", "tenants/acme.db", "tenants/acme.db-wal" };
	struct stat st;

	(void)state;
	assert_int_equal(put("acme", "deal", "d1", "{}", 0), 0);
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		assert_int_equal(stat(file_of(names[i]), &st), 0);
		assert_int_equal(st.st_mode & 077, 0);
	}
}

static void more_tenants_than_connections_take_turns(void **state)
{
	enum { TENANTS = 60 };
	struct rlimit before, small;
	struct errbuf e = { "" };
	char name[32];

	(void)state;
	getrlimit(RLIMIT_NOFILE, &before);
	small = before;
	small.rlim_cur = 200;        /* 16 connections a lane */
	setrlimit(RLIMIT_NOFILE, &small);
	world_reopen();
	for (int round = 0; round < 2; round++)
		for (int i = 0; i < TENANTS; i++) {
			snprintf(name, sizeof(name), "tenant-%d", i);
			if (round == 0)
				assert_int_equal(store_tenant_create(world.store, str_of(name), "", &e), 0);
			assert_int_equal(put(name, "deal", "d1", "{}", round), 0);
		}
	setrlimit(RLIMIT_NOFILE, &before);
}

static void count_down(struct store_tx *tx, int code, void *arg)
{
	assert_int_equal(code, 0);
	store_tx_free(tx);
	--*(int *)arg;
}

/* All in one round: the lane has to serve some before it can open others. */
static void a_round_of_many_tenants_is_served(void **state)
{
	enum { TENANTS = 40 };
	struct rlimit before, small;
	struct errbuf e = { "" };
	struct store_tx *tx;
	char name[32];
	int left = 0;

	(void)state;
	getrlimit(RLIMIT_NOFILE, &before);
	small = before;
	small.rlim_cur = 200;
	setrlimit(RLIMIT_NOFILE, &small);
	world_reopen();
	for (int i = 0; i < TENANTS; i++) {
		snprintf(name, sizeof(name), "tenant-%d", i);
		assert_int_equal(store_tenant_create(world.store, str_of(name), "", &e), 0);
	}
	for (int i = 0; i < 5 * TENANTS; i++, left++) {
		snprintf(name, sizeof(name), "tenant-%d", i % TENANTS);
		tx = begin(name);
		store_tx_add(tx, STATEMENT_event_insert, STORE_MUST, "tttnnin", (const char *[]){ "a", "b", "c", "d", "e" }[i / TENANTS], "t", "/x", NOW);
		store_submit_write(tx, count_down, &left);
	}
	while (left > 0)
		loop_run_once(world.loop);
	setrlimit(RLIMIT_NOFILE, &before);
}

static void owners_on_lost(int code, const json_t *lost, int64_t alive, void *arg)
{
	assert_int_equal(code, 0);
	assert_int_equal(alive, 1);
	*(int *)arg = (int)json_array_size(lost);
	if (json_array_size(lost) > 0)
		assert_string_equal(json_string_value(json_array_get(lost, 0)), "gone");
}

static int owners_lost(void)
{
	int lost = -1;

	store_owners_lost(world.store, owners_on_lost, &lost);
	assert_int_equal(lost, -1);
	while (lost < 0)
		loop_run_once(world.loop);
	return lost;
}

static void an_owner_that_is_gone_is_listed_until_it_is_forgotten(void **state)
{
	FILE *f = fopen(file_of("workers/gone.lock"), "w");
	struct errbuf e = { "" };

	(void)state;
	assert_non_null(f);
	fclose(f);
	assert_int_equal(store_owner_register(world.store, "here", &e), 0);
	assert_false(store_owner_is_alive(world.store, STR("gone")));
	assert_int_equal(owners_lost(), 1);
	assert_int_equal(owners_lost(), 1);
	store_owner_forget(world.store, "gone");
	store_owner_forget(world.store, "here");
	assert_int_equal(access(file_of("workers/gone.lock"), F_OK), -1);
	assert_int_equal(owners_lost(), 0);
	assert_true(store_owner_is_alive(world.store, STR("here")));
	assert_int_equal(store_lease(world.store), STORE_LEASE_HELD);
	store_owner_release(world.store);
	assert_false(store_owner_is_alive(world.store, STR("here")));
	assert_int_equal(access(file_of("workers/here.lock"), F_OK), 0);
}

/* -- plans ------------------------------------------------------------------------------------------------------------ */

/* Steps and statements that may read or sort more than they answer, each with its reason. */
static bool may_scan(const char *name, const char *step)
{
	static const char *const names[] = {
		"runs_count", "events_waiting", "deliveries_retrying",    /* a partial index, all of it wanted */
		"run_agents", "bundle_manifests",  /* names for an error text, of a bounded look at the newest */
		"tenant_places",                     /* all of a partial index: the few tenants that live elsewhere */
		"bundles_sweep", "retention_events", /* a few rows, once an hour; the oldest events, so many */
		"runs_unowned", "runs_unfinished",                                              /* their own bounded selection, to count it */
		"record_list_scanned_ascending", "record_list_scanned_descending",              /* by a field that nobody declared */
		"record_list_where_sorted_ascending", "record_list_where_sorted_descending",    /* sorts what the filter leaves */
	};

	/* What a statement makes itself: a row of constants, the tree of a run's children, the steps through a key. */
	if (strcmp(step, "SCAN CONSTANT ROW") == 0 || strcmp(step, "SCAN tree") == 0 || strcmp(step, "SCAN steps") == 0 ||
	    strncmp(step, "SCAN json_each", 14) == 0)
		return true;
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (strcmp(names[i], name) == 0)
			return true;
	return false;
}

static void check_plan(sqlite3 *db, const struct store_statement *statement)
{
	sqlite3_stmt *s;
	struct buf text;

	buf_init(&text, 65536);
	buf_addf(&text, "EXPLAIN QUERY PLAN %s", statement->sql);
	assert_int_equal(sqlite3_prepare_v2(db, buf_text(&text), -1, &s, NULL), SQLITE_OK);
	while (sqlite3_step(s) == SQLITE_ROW) {
		const char *step = (const char *)sqlite3_column_text(s, 3);

		if ((strncmp(step, "SCAN", 4) == 0 || strstr(step, "TEMP B-TREE") != NULL) && !may_scan(statement->name, step))
			fail_msg("%s: %s", statement->name, step);
	}
	sqlite3_finalize(s);
	buf_free(&text);
}

static void every_statement_has_its_index(void **state)
{
	sqlite3 *tenant, *platform;

	(void)state;
	assert_int_equal(sqlite3_open(file_of("tenants/acme.db"), &tenant), SQLITE_OK);
	assert_int_equal(sqlite3_open(file_of("platform.db"), &platform), SQLITE_OK);
	assert_int_equal(functions_register(tenant), SQLITE_OK);
	for (size_t i = 0; i < STATEMENT_COUNT; i++)
		if (sqlite_statements[i].sql != NULL)
			check_plan(sqlite_statements[i].platform ? platform : tenant, &sqlite_statements[i]);
	sqlite3_close(tenant);
	sqlite3_close(platform);
}

int main(void)
{
	static const struct store_fixture fixture = { "sqlite", folder_make, folder_clear, 0 };
	static const struct CMUnitTest own[] = {
		SUITE_TEST(a_missing_store_is_not_made_unasked),
		SUITE_TEST(a_file_is_no_store),
		SUITE_TEST(damage_is_named),
		SUITE_TEST(damage_of_a_tenant_is_named),
		SUITE_TEST(a_missing_tenant_file_is_named),
		SUITE_TEST(a_newer_schema_is_refused),
		SUITE_TEST(an_altered_migration_is_refused),
		SUITE_TEST(a_strangers_database_is_refused),
		SUITE_TEST(a_lock_of_another_process_is_named),
		SUITE_TEST(a_read_only_store_reads),
		SUITE_TEST(an_unwritable_folder_is_refused),
		SUITE_TEST(only_this_user_reads_the_files),
		SUITE_TEST(more_tenants_than_connections_take_turns),
		SUITE_TEST(a_round_of_many_tenants_is_served),
		SUITE_TEST(an_owner_that_is_gone_is_listed_until_it_is_forgotten),
		SUITE_TEST(every_statement_has_its_index),
	};
	int failures = store_suite_run(&fixture);

	failures += _cmocka_run_group_tests("store_sqlite", own, sizeof(own) / sizeof(*own), NULL, NULL);
	return failures;
}
