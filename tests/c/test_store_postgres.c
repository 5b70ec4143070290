/*
 * The PostgreSQL engine: the conformance suite, on a server and behind a pooler, then what is its own: lost connections, few connections, leases,
 * refusals at opening. The server is that of tests/run (PERIGEE_TEST_POSTGRES) or one of our own.
 */
#include "postgres_server.h"
#include "store_suite.h"

#include "store/engine.h"
#include "store/postgres/place.h"
#include "store/postgres/values.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LEASE_MS = 1000 };

/* -- where it is ------------------------------------------------------------------------------------------------------ */

static const char *option(const struct place *place, const char *key)
{
	for (size_t i = 0; i < place->count; i++)
		if (strcmp(place->keys[i], key) == 0)
			return place->values[i];
	return "";
}

static void a_url_is_taken_apart(void **state)
{
	struct errbuf e = { "" };
	struct place place;

	(void)state;
	assert_true(place_is("postgres://h/d") && place_is("postgresql://u@h/d") && place_is("host=/tmp dbname=d"));
	assert_false(place_is("sqlite:x=y") || place_is("mysql://h/d") || place_is("folder"));
	assert_int_equal(place_parse(&place, "postgres://u:secret@h:5433/d?perigee_readers=3&sslmode=disable", &e), 0);
	assert_int_equal(place.readers, 3);
	assert_string_equal(option(&place, "port"), "5433");
	assert_string_equal(option(&place, "sslmode"), "disable");
	assert_null(strstr(place.shown, "secret"));
	place_free(&place);
	assert_int_equal(place_parse(&place, "host='/a b' perigee_readers=1  dbname=d", &e), 0);
	assert_int_equal(place.readers, 1);
	assert_string_equal(option(&place, "host"), "/a b");
	assert_string_equal(option(&place, "dbname"), "d");
	place_free(&place);
	assert_int_equal(place_parse(&place, "host=h perigee_readers=17", &e), ERR_STORE);
	assert_int_equal(place_parse(&place, "host=h perigee_writers=2", &e), ERR_STORE);
	assert_non_null(strstr(e.text, "perigee_writers"));
	assert_int_equal(place_parse(&place, "host=h colour=red", &e), ERR_STORE);
	assert_non_null(strstr(e.text, "colour"));
}

static void expect_refusal(const char *url, const char *part)
{
	struct store_options options = { .url = url, .clock = &clock_system, .create = true };
	struct errbuf e = { "" };
	struct store *store;

	assert_int_equal(store_open(&options, &store, &e), ERR_STORE);
	if (strstr(e.text, part) == NULL)
		fail_msg("'%s' is not in: %s", part, e.text);
}

static void a_server_that_is_not_there_is_named(void **state)
{
	(void)state;
	expect_refusal("host=/nonexistent dbname=perigee", "/nonexistent");
	expect_refusal("host=/nonexistent dbname=perigee", "check that the server runs");
}

static void a_server_that_takes_no_writes_is_refused(void **state)
{
	(void)state;
	postgres_sql("DO $$ BEGIN EXECUTE format('ALTER DATABASE %%I SET default_transaction_read_only = on', current_database()); END $$");
	expect_refusal(world.url, "read-only");
}

/* -- many at once ------------------------------------------------------------------------------------------------------ */

static void forms_for_many_suit_the_schema(void **state)
{
	PGconn *conn = postgres_connect("perigee_app");
	Oid types[STORE_PARAMS_MAX + 1];
	PGresult *result;
	int forms = 0;

	(void)state;
	for (int i = 0; i < STATEMENT_COUNT; i++) {
		if (postgres_statements[i].many_of == 0)
			continue;
		result = PQprepare(conn, postgres_statements[i].name, postgres_statements[i].sql, pg_types(&postgres_statements[i], types), types);
		if (PQresultStatus(result) != PGRES_COMMAND_OK)
			fail_msg("%s: %s", postgres_statements[i].name, PQerrorMessage(conn));
		PQclear(result);
		forms++;
	}
	assert_true(forms > 0);
	PQfinish(conn);
}

static void note_code(struct store_tx *tx, int code, void *arg)
{
	int *codes = arg;

	codes[codes[0]++] = code;
	store_tx_free(tx);
}

static struct store_tx *append(int run, int64_t fence, int64_t length)
{
	struct store_tx *tx = begin("acme");
	char id[32];

	snprintf(id, sizeof(id), "run-%03d", run);
	store_tx_add(tx, STATEMENT_run_append, STORE_MUST, "tiii", id, fence, length, NOW);
	store_tx_add(tx, STATEMENT_journal_insert, STORE_MUST, "tiittti", id, length - 1, length, "records.get", "d", "{\"ok\":null}", NOW);
	store_tx_add(tx, STATEMENT_run_log_insert, STORE_ANY, "tiiittn", id, length, length, NOW, "info", "hello");
	return tx;
}

static void make_runs(int count)
{
	char id[32];

	for (int i = 0; i < count; i++) {
		struct store_tx *tx = begin("acme");

		snprintf(id, sizeof(id), "run-%03d", i);
		store_tx_add(tx, STATEMENT_run_insert, STORE_MUST, "tttttttnninnisn", id, "sales", "qualify", "b", "queued", "{}", NULL, NOW, (int64_t)0, STR("w"));
		write_now(tx);
	}
}

/* 100 appends in one batch, some of them with a fence that has moved on: these alone fail, and leave nothing. */
static void a_moved_fence_fails_alone_among_many(void **state)
{
	enum { RUNS = 100 };
	static int codes[RUNS + 1];
	int conflicts = 0;

	(void)state;
	make_runs(RUNS);
	postgres_sql("UPDATE perigee.runs SET fence = 2 WHERE id LIKE 'run-%%7'");
	codes[0] = 1;
	for (int i = 0; i < RUNS; i++)
		store_submit_write(append(i, 1, 1), note_code, codes);
	while (codes[0] <= RUNS)
		loop_run_once(world.loop);
	for (int i = 1; i <= RUNS; i++) {
		assert_true(codes[i] == 0 || codes[i] == ERR_CONFLICT);
		conflicts += codes[i] != 0;
	}
	assert_int_equal(conflicts, 10);
	assert_string_equal(postgres_sql("SELECT count(*) FROM perigee.journal"), "90");
	assert_string_equal(postgres_sql("SELECT count(*) FROM perigee.run_logs"), "90");
	assert_string_equal(postgres_sql("SELECT count(*) FROM perigee.journal WHERE run LIKE 'run-%%7'"), "0");
	assert_string_equal(postgres_sql("SELECT count(*) FROM perigee.runs WHERE journal_length = 1"), "90");
}

static void two_appends_of_one_run_in_one_batch_both_count(void **state)
{
	static int codes[8];

	(void)state;
	make_runs(2);
	codes[0] = 1;
	for (int64_t length = 1; length <= 3; length++)
		store_submit_write(append(1, 1, length), note_code, codes);
	while (codes[0] <= 3)
		loop_run_once(world.loop);
	for (int i = 1; i <= 3; i++)
		assert_int_equal(codes[i], 0);
	assert_string_equal(postgres_sql("SELECT count(*) || '/' || max(journal_length) FROM perigee.journal, perigee.runs WHERE runs.id = 'run-001'"), "3/3");
}

static struct store_tx *ending(int run, int parent)
{
	struct store_tx *tx = begin("acme");
	char id[32], of[32];

	snprintf(id, sizeof(id), "run-%03d", run);
	snprintf(of, sizeof(of), "run-%03d", parent);
	store_tx_add(tx, STATEMENT_run_end, STORE_MUST, "tittniiii", id, (int64_t)1, "succeeded", "{}", NOW, (int64_t)0, (int64_t)0, (int64_t)0);
	store_tx_add(tx, STATEMENT_run_waiters, STORE_ANY, "tt", id, of);
	return tx;
}

struct answers {
	int done, rows, wrong;
};
static struct answers answers;

static void note_waiter(struct store_tx *tx, int code, void *arg)
{
	const struct store_result *r = store_tx_result(tx, 1);
	char parent[32];

	snprintf(parent, sizeof(parent), "run-%03d", (int)(intptr_t)arg);
	answers.done++;
	if (code != 0) {
		answers.wrong++;
	} else {
		answers.rows += (int)r->rows;
		answers.wrong += r->rows > 1 || (r->rows == 1 && (!str_equal(store_text(r, 0, 0), str_of(parent)) || !str_equal(store_text(r, 0, 1), STR("w"))));
	}
	store_tx_free(tx);
}

/* What a batch of writes answers comes to the transaction that asked. */
static void each_write_of_a_batch_gets_its_own_rows(void **state)
{
	enum { RUNS = 60 };

	(void)state;
	answers = (struct answers){ 0 };
	make_runs(RUNS + 20);
	for (int i = 0; i < RUNS; i++) {
		int parent = i % 3 == 0 ? 900 : RUNS + i % 20;     /* 900: there is none */

		store_submit_write(ending(i, parent), note_waiter, (void *)(intptr_t)parent);
	}
	while (answers.done < RUNS)
		loop_run_once(world.loop);
	assert_int_equal(answers.wrong, 0);
	assert_int_equal(answers.rows, RUNS - RUNS / 3);
	assert_string_equal(postgres_sql("SELECT count(*) FROM perigee.runs WHERE status = 'succeeded'"), "60");
}

/* -- reads that share a section -------------------------------------------------------------------------------------------- */

static void put_note(const char *tenant, int number)
{
	struct store_tx *tx = begin(tenant);
	char id[32], body[80];

	snprintf(id, sizeof(id), "n-%d", number);
	snprintf(body, sizeof(body), "{\"n\":%d,\"of\":\"%s\"}", number, tenant);
	store_tx_add(tx, STATEMENT_record_insert, STORE_MUST, "ttiinnt", "note", id, (int64_t)number + 1, NOW, body);
	write_now(tx);
}

static void note_record(struct store_tx *tx, int code, void *arg)
{
	const struct store_result *r = store_tx_result(tx, 0);
	int number = (int)(intptr_t)arg / 2;
	char body[80];

	snprintf(body, sizeof(body), "{\"n\":%d,\"of\":\"%s\"}", number, (intptr_t)arg % 2 == 0 ? "acme" : "other");
	answers.done++;
	if (code != 0 || r->rows != (number < 20 ? 1 : 0))
		answers.wrong++;
	else if (r->rows == 1)
		answers.wrong += store_int(r, 0, 2) != number + 1 || !str_equal(store_text(r, 0, 6), str_of(body));
	store_tx_free(tx);
}

static void note_state(struct store_tx *tx, int code, void *arg)
{
	const struct store_result *r = store_tx_result(tx, 0);
	int number = (int)(intptr_t)arg / 2;

	answers.done++;
	answers.wrong += code != 0 || r->rows != 1 || store_int(r, 0, 0) != (number < 20 ? number + 1 : 0);
	store_tx_free(tx);
}

static void note_refusal(struct store_tx *tx, int code, void *arg)
{
	(void)arg;
	answers.done++;
	answers.wrong += code != ERR_STORE;
	store_tx_free(tx);
}

static void look_for(const char *tenant, int which)
{
	struct store_tx *get = begin(tenant), *state = begin(tenant);
	char id[32];

	snprintf(id, sizeof(id), "n-%d", which / 2);
	store_tx_add(get, STATEMENT_record_get, STORE_ANY, "tt", "note", id);
	store_submit_read(get, note_record, (void *)(intptr_t)which);
	store_tx_add(state, STATEMENT_record_state, STORE_ANY, "tt", "note", id);
	store_submit_read(state, note_state, (void *)(intptr_t)which);
}

/* Many reads at once of two tenants, of what is there and what is not, and one that the server refuses: each gets what it asked for. */
static void each_read_gets_its_own_rows(void **state)
{
	enum { NUMBERS = 40 };
	struct store_tx *bad;

	(void)state;
	answers = (struct answers){ 0 };
	for (int i = 0; i < 20; i++) {
		put_note("acme", i);
		put_note("other", i);
	}
	for (int i = 0; i < 2 * NUMBERS; i++)
		look_for(i % 2 == 0 ? "acme" : "other", i);
	bad = begin("acme");
	store_tx_add(bad, STATEMENT_record_get, STORE_ANY, "tt", "note", "\xff");
	store_submit_read(bad, note_refusal, NULL);
	for (int i = 0; i < 2 * NUMBERS; i++)
		look_for(i % 2 == 0 ? "acme" : "other", i);
	while (answers.done < 8 * NUMBERS + 1)
		loop_run_once(world.loop);
	assert_int_equal(answers.wrong, 0);
}

/* A table that fills is measured: the server does not go on planning as if it were empty. */
static void tables_that_fill_are_measured(void **state)
{
	(void)state;
	assert_string_equal(postgres_sql("SELECT count(*) FROM pg_stats WHERE schemaname = 'perigee' AND tablename = 'runs'"), "0");
	make_runs(300);
	for (int i = 0; i < 400 && strcmp(postgres_sql("SELECT count(*) FROM pg_stats WHERE schemaname = 'perigee' AND tablename = 'runs' AND attname = 'id'"), "1") != 0; i++)
		usleep(25000);
	assert_string_equal(postgres_sql("SELECT count(*) FROM pg_stats WHERE schemaname = 'perigee' AND tablename = 'runs' AND attname = 'id'"), "1");
}

/* -- lost connections -------------------------------------------------------------------------------------------------- */

struct load {
	int wanted, begun, done, in_flight, lost, wrong;
	bool *unknown;                /* this one's last end was ERR_STORE: it may be there */
};
static struct load load;

struct item { int number; };
static void item_submit(int number);

static void item_on_done(struct store_tx *tx, int code, void *arg)
{
	int number = (int)(intptr_t)arg;

	store_tx_free(tx);
	load.in_flight--;
	if (code == ERR_STORE) {
		load.lost++;
		load.unknown[number] = true;
		item_submit(number);
		return;
	}
	/* There already: right only when nobody could know before. */
	if (code != 0 && !(code == ERR_CONFLICT && load.unknown[number]))
		load.wrong++;
	load.done++;
	if (load.begun < load.wanted)
		item_submit(load.begun++);
}

static void item_submit(int number)
{
	struct store_tx *tx = begin(number % 3 == 0 ? "other" : "acme");
	char id[32];

	snprintf(id, sizeof(id), "event-%d", number);
	store_tx_add(tx, STATEMENT_event_insert, STORE_MUST, "tttnnin", id, "t", "/x", NOW);
	load.in_flight++;
	store_submit_write(tx, item_on_done, (void *)(intptr_t)number);
}

/* A process that cuts this database's connections, one at a time, until it is killed. */
static pid_t start_cutting(void)
{
	pid_t child = fork();
	PGconn *conn;

	assert_true(child >= 0);
	if (child > 0)
		return child;
	conn = postgres_connect("postgres");
	for (;;) {
		PQclear(PQexec(conn, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
		    " AND usename = 'perigee_app' ORDER BY random() LIMIT 1"));
		(void)usleep(60000);
	}
}

static void cut_connections_lose_and_repeat_nothing(void **state)
{
	enum { EVENTS = 3000, FLIGHT = 64 };
	static bool unknown[EVENTS];
	pid_t cutter = start_cutting();
	int status;

	(void)state;
	memset(unknown, 0, sizeof(unknown));
	load = (struct load){ .wanted = EVENTS, .unknown = unknown };
	while (load.begun < FLIGHT)
		item_submit(load.begun++);
	while (load.done < EVENTS)
		loop_run_once(world.loop);
	kill(cutter, SIGKILL);
	waitpid(cutter, &status, 0);
	assert_int_equal(load.wrong, 0);
	assert_int_equal(load.in_flight, 0);
	assert_string_equal(postgres_sql("SELECT count(*) FROM perigee.events"), "3000");
	assert_string_equal(postgres_sql("SELECT sum(last)::bigint FROM perigee.counters WHERE name = 'events'"), "3000");
}

static void few_connections_are_shared(void **state)
{
	struct store_tx *tx;

	(void)state;
	store_close(world.store);
	world.store = NULL;
	for (int limit = 3; limit >= 1; limit--) {
		/* Connections that were closed a moment ago still count while their servers end. */
		postgres_sql("DO $$ BEGIN WHILE EXISTS (SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND usename = 'perigee_app') LOOP "
		             "PERFORM pg_stat_clear_snapshot(), pg_sleep(0.01); END LOOP; END $$");
		postgres_sql("DO $$ BEGIN EXECUTE format('ALTER DATABASE %%I CONNECTION LIMIT %d', current_database()); END $$", limit);
		world.store = world_open(world.loop);
		assert_int_equal(put("acme", "deal", "d1", "{}", -1), 0);
		tx = begin("acme");
		store_tx_add(tx, STATEMENT_record_get, STORE_ANY, "tt", "deal", "d1");
		assert_int_equal(read_now(tx)->rows, 1);
		store_tx_free(tx);
		assert_true(store_tenant_exists(world.store, STR("other")));
		if (limit > 1)
			store_close(world.store);
	}
}

/* -- leases ------------------------------------------------------------------------------------------------------------ */

static int lost_count;
static char lost_first[64];

static void note_lost(int code, const json_t *lost, int64_t alive, void *arg)
{
	assert_int_equal(code, 0);
	*(int64_t *)arg = alive;
	lost_count = (int)json_array_size(lost);
	snprintf(lost_first, sizeof(lost_first), "%s", lost_count > 0 ? json_string_value(json_array_get(lost, 0)) : "");
}

static int64_t look_for_lost(void)
{
	int64_t alive = -1;

	store_owners_lost(world.store, note_lost, &alive);
	while (alive < 0)
		loop_run_once(world.loop);
	return alive;
}

static int put_on(struct store *store, const char *id)
{
	struct store *before = world.store;
	int code;

	world.store = store;
	code = put("acme", "deal", id, "{}", -1);
	world.store = before;
	return code;
}

/* An owner that was stopped past its lease: from its condemnation on not one row of it appears, and it knows. */
static void a_condemned_owner_writes_nothing(void **state)
{
	struct store *second = world_open(NULL);
	struct errbuf e = { "" };

	(void)state;
	assert_int_equal(store_owner_register(world.store, "here", &e), 0);
	assert_int_equal(store_owner_register(second, "stopped", &e), 0);
	assert_int_equal(put_on(second, "d1"), 0);
	assert_int_equal(store_lease(second), STORE_LEASE_HELD);
	assert_int_equal(look_for_lost(), 2);
	assert_int_equal(lost_count, 0);
	postgres_sql("UPDATE perigee.workers SET expires_at = 0 WHERE id = 'stopped'");
	assert_int_equal(look_for_lost(), 1);
	assert_int_equal(lost_count, 1);
	assert_string_equal(lost_first, "stopped");
	assert_int_equal(put_on(second, "d2"), ERR_STORE);
	assert_int_equal(store_lease(second), STORE_LEASE_LOST);
	assert_string_equal(postgres_sql("SELECT count(*) FROM perigee.records"), "1");
	assert_int_equal(look_for_lost(), 1);
	assert_int_equal(lost_count, 1);
	store_owner_forget(world.store, "here");
	store_owner_forget(world.store, "stopped");
	assert_int_equal(look_for_lost(), 1);
	assert_int_equal(lost_count, 0);
	assert_int_equal(put("acme", "deal", "d3", "{}", -1), 0);
	store_close(second);
}

static void a_released_lease_is_lost_at_once(void **state)
{
	struct store *second = world_open(NULL);
	struct errbuf e = { "" };

	(void)state;
	assert_int_equal(store_owner_register(second, "leaving", &e), 0);
	store_owner_release(second);
	assert_int_equal(put_on(second, "d1"), ERR_STORE);
	assert_int_equal(look_for_lost(), 0);
	assert_string_equal(lost_first, "leaving");
	store_close(second);
}

/* Taking over waits for the batch that is under way, and what comes after it is refused. */
static void a_batch_under_way_holds_the_lease(void **state)
{
	PGconn *open = postgres_connect("perigee_app");
	PGresult *result;

	(void)state;
	postgres_sql("INSERT INTO perigee.workers (id, started_at, renewed_at, expires_at) VALUES ('busy', 0, 0, 0)");
	PQclear(PQexec(open, "BEGIN"));
	result = PQexec(open, "SELECT 1 FROM workers WHERE id = 'busy' AND NOT condemned FOR KEY SHARE");
	assert_int_equal(PQntuples(result), 1);
	PQclear(result);
	/* Renewing goes beside it. */
	assert_string_equal(postgres_sql("UPDATE perigee.workers SET renewed_at = 1 WHERE id = 'busy' RETURNING 1"), "1");
	/* Condemning does not. */
	result = PQexec(open, "SELECT set_config('application_name', 'perigee busy', true)");
	PQclear(result);
	assert_int_equal(look_for_lost(), 0);
	assert_string_equal(lost_first, "busy");
	result = PQexec(open, "COMMIT");
	assert_int_equal(PQresultStatus(result), PGRES_FATAL_ERROR);
	PQclear(result);
	PQfinish(open);
}

int main(void)
{
	static const struct store_fixture direct = { "postgres", postgres_make, postgres_clear, LEASE_MS };
	static const struct store_fixture pooled = { "pgbouncer", postgres_make_pooled, postgres_clear, LEASE_MS };
	static const struct CMUnitTest own[] = {
		SUITE_TEST(a_url_is_taken_apart),
		SUITE_TEST(a_server_that_is_not_there_is_named),
		SUITE_TEST(a_server_that_takes_no_writes_is_refused),
		SUITE_TEST(forms_for_many_suit_the_schema),
		SUITE_TEST(a_moved_fence_fails_alone_among_many),
		SUITE_TEST(two_appends_of_one_run_in_one_batch_both_count),
		SUITE_TEST(each_write_of_a_batch_gets_its_own_rows),
		SUITE_TEST(each_read_gets_its_own_rows),
		SUITE_TEST(tables_that_fill_are_measured),
		SUITE_TEST(cut_connections_lose_and_repeat_nothing),
		SUITE_TEST(few_connections_are_shared),
		SUITE_TEST(a_condemned_owner_writes_nothing),
		SUITE_TEST(a_released_lease_is_lost_at_once),
		SUITE_TEST(a_batch_under_way_holds_the_lease),
	};
	static const struct CMUnitTest behind_a_pooler[] = {
		SUITE_TEST(a_moved_fence_fails_alone_among_many),
		SUITE_TEST(each_write_of_a_batch_gets_its_own_rows),
		SUITE_TEST(each_read_gets_its_own_rows),
		SUITE_TEST(cut_connections_lose_and_repeat_nothing),
		SUITE_TEST(a_condemned_owner_writes_nothing),
	};
	int failures;

	postgres_server_start();
	failures = store_suite_run(&direct);
	failures += _cmocka_run_group_tests("store_postgres", own, sizeof(own) / sizeof(*own), NULL, NULL);
	failures += store_suite_run(&pooled);
	failures += _cmocka_run_group_tests("store_pooled", behind_a_pooler, sizeof(behind_a_pooler) / sizeof(*behind_a_pooler), NULL, NULL);
	postgres_server_stop();
	return failures;
}
