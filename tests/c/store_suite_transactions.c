/* Transactions, group commit, tenants, owners: what every engine must do. */
#include "store_suite.h"

#include "store/engine.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* -- one transaction -------------------------------------------------------------------------------------------------- */

static void every_statement_suits_the_schema(void **state)
{
	const struct store_statement *s;
	char types[STORE_PARAMS_MAX + 1];
	struct store_tx *tx;

	(void)state;
	for (int i = 0; i < STATEMENT_COUNT; i++) {
		s = store_statement(world.store, (enum statement)i);
		if (s->sql == NULL || s->many_of != 0)
			continue;
		memset(types, 'n', sizeof(types));
		types[s->params] = '\0';
		tx = begin(s->platform ? "" : "acme");
		store_tx_add(tx, (enum statement)i, STORE_ANY, types);
		/* Class 42 of PostgreSQL's states: syntax, names, types, rights. */
		if (store_write_now(tx, NULL) != 0 && (strstr(store_tx_error(tx), "prepare") != NULL || strstr(store_tx_error(tx), "SQLSTATE 42") != NULL))
			fail_msg("%s: %s", s->name, store_tx_error(tx));
		store_tx_free(tx);
	}
}

static void a_write_is_read_back(void **state)
{
	struct store_tx *tx = begin("acme");
	const struct store_result *r;

	(void)state;
	store_tx_add(tx, STATEMENT_event_insert, STORE_MUST, "tttsnin", "e1", "deal.won", "/x", STR("d1"), NOW);
	assert_int_equal(store_tx_count(tx), 1);
	write_now(tx);
	tx = begin("acme");
	store_tx_add(tx, STATEMENT_event_list, STORE_ANY, "ii", (int64_t)0, (int64_t)10);
	r = read_now(tx);
	assert_int_equal(r->rows, 1);
	assert_int_equal(r->columns, 9);
	assert_str(store_text(r, 0, 1), "e1");
	assert_str(store_text(r, 0, 4), "d1");
	assert_true(store_is_null(r, 0, 5));
	assert_null(store_text(r, 0, 5).p);
	assert_int_equal(store_int(r, 0, 7), 0);
	assert_int_equal(store_int(r, 0, 6), NOW);
	store_tx_free(tx);
}

static void idempotency_put(const char *key, struct str digest, const char *run, int64_t at)
{
	struct store_tx *tx = begin("acme");

	store_tx_add(tx, STATEMENT_idempotency_insert, STORE_MUST, "tbti", key, digest, run, at);
	write_now(tx);
}

static void values_come_back_as_they_went(void **state)
{
	static const char blob[] = { 0, 1, 2, (char)0xff, 0 };
	char *large = mem_alloc(300001);
	const struct store_result *r;
	struct store_tx *tx;

	(void)state;
	memset(large, 'x', 300000);
	idempotency_put("least", (struct str){ blob, sizeof(blob) }, "", INT64_MIN);
	idempotency_put("most", STR(""), large, INT64_MAX);
	tx = begin("acme");
	store_tx_add(tx, STATEMENT_idempotency_get, STORE_ANY, "t", "least");
	store_tx_add(tx, STATEMENT_idempotency_get, STORE_ANY, "t", "most");
	store_tx_add(tx, STATEMENT_idempotency_get, STORE_ANY, "t", "none");
	r = read_now(tx);
	assert_int_equal(store_text(r, 0, 0).n, sizeof(blob));
	assert_memory_equal(store_text(r, 0, 0).p, blob, sizeof(blob));
	assert_false(store_is_null(r, 0, 1));
	assert_str(store_text(r, 0, 1), "");
	assert_true(store_int(r, 0, 2) == INT64_MIN);
	r = store_tx_result(tx, 1);
	assert_false(store_is_null(r, 0, 0));
	assert_int_equal(store_text(r, 0, 0).n, 0);
	assert_str(store_text(r, 0, 1), large);
	assert_true(store_int(r, 0, 2) == INT64_MAX);
	assert_int_equal(store_tx_result(tx, 2)->rows, 0);
	store_tx_free(tx);
	free(large);
}

static void an_unmet_must_undoes_the_whole_transaction(void **state)
{
	struct store_tx *tx = begin("acme");

	(void)state;
	store_tx_add(tx, STATEMENT_event_insert, STORE_MUST, "tttnnin", "e1", "t", "/x", NOW);
	store_tx_add(tx, STATEMENT_record_delete, STORE_ANY, "tti", "deal", "d1", (int64_t)1);
	store_tx_add(tx, STATEMENT_record_delete, STORE_MUST, "tti", "deal", "d1", (int64_t)1);
	assert_int_equal(store_write_now(tx, NULL), ERR_CONFLICT);
	assert_int_equal(store_tx_failed_op(tx), 2);
	store_tx_free(tx);
	tx = begin("acme");
	store_tx_add(tx, STATEMENT_event_last, STORE_ANY, "");
	assert_int_equal(store_int(read_now(tx), 0, 0), 0);
	store_tx_free(tx);
}

static void a_taken_key_is_a_conflict(void **state)
{
	struct store_tx *tx = begin("acme");

	(void)state;
	store_tx_add(tx, STATEMENT_journal_insert, STORE_ANY, "tiittti", "r", (int64_t)0, (int64_t)1, "n", "d", "{}", NOW);
	store_tx_add(tx, STATEMENT_journal_insert, STORE_ANY, "tiittti", "r", (int64_t)0, (int64_t)1, "n", "d", "{}", NOW);
	assert_int_equal(store_write_now(tx, NULL), ERR_CONFLICT);
	assert_int_equal(store_tx_failed_op(tx), 1);
	store_tx_free(tx);
}

static void a_wrong_value_is_an_error_with_text(void **state)
{
	struct store_tx *tx = begin("acme");

	(void)state;
	store_tx_add(tx, STATEMENT_event_insert, STORE_ANY, "nttnnin", "t", "/x", NOW);
	assert_int_equal(store_write_now(tx, NULL), ERR_STORE);
	assert_non_null(strstr(store_tx_error(tx), "event_insert"));
	store_tx_free(tx);
}

static void a_read_cannot_write(void **state)
{
	struct store_tx *tx = begin("acme");

	(void)state;
	store_tx_add(tx, STATEMENT_event_insert, STORE_ANY, "tttnnin", "e1", "t", "/x", NOW);
	assert_int_equal(store_read_now(tx, NULL), ERR_STORE);
	store_tx_free(tx);
}

static void an_empty_transaction_is_done(void **state)
{
	(void)state;
	write_now(begin("acme"));
	write_now(begin(""));
}

/* -- many ------------------------------------------------------------------------------------------------------------- */

enum { MANY = 400 };

struct crowd {
	int called[MANY], codes[MANY], left;
	bool submitting;
};
struct member {
	struct crowd *crowd;
	int i;
};

static void crowd_on_done(struct store_tx *tx, int code, void *arg)
{
	struct member *m = arg;

	assert_false(m->crowd->submitting);
	m->crowd->called[m->i]++;
	m->crowd->codes[m->i] = code;
	m->crowd->left--;
	store_tx_free(tx);
}

static bool is_spoiled(int i)
{
	return i % 7 == 3 || i == MANY - 1;
}

/* Each member adds an event; some then ask for what is not there. Tenants take turns. */
static void crowd_submit(struct crowd *crowd, struct member *members)
{
	struct store_tx *tx;
	char id[32];

	crowd->left = MANY;
	crowd->submitting = true;
	for (int i = 0; i < MANY; i++) {
		members[i] = (struct member){ crowd, i };
		tx = begin(i % 3 == 0 ? "other" : "acme");
		snprintf(id, sizeof(id), "event-%d", i);
		store_tx_add(tx, STATEMENT_event_insert, STORE_MUST, "tttnnin", id, "t", "/x", NOW);
		if (is_spoiled(i))
			store_tx_add(tx, STATEMENT_record_delete, STORE_MUST, "tti", "deal", "none", (int64_t)1);
		store_submit_write(tx, crowd_on_done, &members[i]);
	}
	crowd->submitting = false;
}

static void check_events(const char *tenant, bool (*is_here)(int i))
{
	struct store_tx *tx;
	size_t expected = 0;

	for (int i = 0; i < MANY; i++)
		expected += is_here(i) && !is_spoiled(i);
	tx = begin(tenant);
	store_tx_add(tx, STATEMENT_event_list, STORE_ANY, "ii", (int64_t)0, (int64_t)1000);
	assert_int_equal(read_now(tx)->rows, expected);
	store_tx_free(tx);
}

static bool in_other(int i)
{
	return i % 3 == 0;
}

static bool in_acme(int i)
{
	return i % 3 != 0;
}

static void each_of_many_stands_or_falls_alone(void **state)
{
	static struct member members[MANY];
	static struct crowd crowd;

	(void)state;
	memset(&crowd, 0, sizeof(crowd));
	crowd_submit(&crowd, members);
	while (crowd.left > 0)
		loop_run_once(world.loop);
	for (int i = 0; i < MANY; i++) {
		assert_int_equal(crowd.called[i], 1);
		assert_int_equal(crowd.codes[i], is_spoiled(i) ? ERR_CONFLICT : 0);
	}
	check_events("acme", in_acme);
	check_events("other", in_other);
}

static void closing_finishes_what_was_submitted(void **state)
{
	static struct member members[MANY];
	static struct crowd crowd;

	(void)state;
	memset(&crowd, 0, sizeof(crowd));
	crowd_submit(&crowd, members);
	world_reopen();
	for (int i = 0; i < MANY; i++)
		assert_int_equal(crowd.called[i], 0);
	check_events("acme", in_acme);
	check_events("other", in_other);
}

struct thread_work {
	struct store *store;
	int n;
	int conflicts;
};

static void *count_up(void *arg)
{
	struct thread_work *work = arg;
	struct store_tx *tx;
	char id[32];
	int code;

	for (int i = 0; i < 100; i++) {
		tx = store_tx_new(work->store, STR("acme"));
		snprintf(id, sizeof(id), "%d-%d", work->n, i);
		store_tx_add(tx, STATEMENT_event_insert, STORE_MUST, "tttnnin", id, "t", "/x", NOW);
		code = store_write_now(tx, NULL);
		work->conflicts += code != 0;
		store_tx_free(tx);
	}
	return NULL;
}

static void two_hosts_write_at_once(void **state)
{
	struct store *second = world_open(NULL);
	struct thread_work work[4];
	pthread_t threads[4];
	struct store_tx *tx;

	(void)state;
	for (int i = 0; i < 4; i++) {
		work[i] = (struct thread_work){ i % 2 == 0 ? world.store : second, i, 0 };
		assert_int_equal(pthread_create(&threads[i], NULL, count_up, &work[i]), 0);
	}
	for (int i = 0; i < 4; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(work[i].conflicts, 0);
	}
	store_close(second);
	tx = begin("acme");
	store_tx_add(tx, STATEMENT_event_list, STORE_ANY, "ii", (int64_t)0, (int64_t)1000);
	assert_int_equal(read_now(tx)->rows, 400);
	store_tx_free(tx);
}

struct chain {
	int done, seen;
};

static void chain_on_read(struct store_tx *tx, int code, void *arg)
{
	struct chain *chain = arg;

	assert_int_equal(code, 0);
	chain->seen = (int)store_tx_result(tx, 0)->rows;
	store_tx_free(tx);
	chain->done++;
}

static void chain_on_write(struct store_tx *tx, int code, void *arg)
{
	assert_int_equal(code, 0);
	store_tx_free(tx);
	tx = begin("acme");
	store_tx_add(tx, STATEMENT_event_list, STORE_ANY, "ii", (int64_t)0, (int64_t)1000);
	store_submit_read(tx, chain_on_read, arg);
}

static void a_read_sees_what_was_delivered_before(void **state)
{
	struct chain chain = { 0, 0 };
	struct store_tx *tx;
	char id[32];

	(void)state;
	for (int i = 1; i <= 50; i++) {
		tx = begin("acme");
		snprintf(id, sizeof(id), "%d", i);
		store_tx_add(tx, STATEMENT_event_insert, STORE_MUST, "tttnnin", id, "t", "/x", NOW);
		store_submit_write(tx, chain_on_write, &chain);
		while (chain.done < i)
			loop_run_once(world.loop);
		assert_int_equal(chain.seen, i);
	}
}

/* -- tenants ---------------------------------------------------------------------------------------------------------- */

static void tenants_are_apart(void **state)
{
	struct store_tx *tx;

	(void)state;
	assert_int_equal(put("acme", "deal", "d1", "{'x':1}", -1), 0);
	tx = begin("other");
	store_tx_add(tx, STATEMENT_record_get, STORE_ANY, "tt", "deal", "d1");
	assert_int_equal(read_now(tx)->rows, 0);
	store_tx_free(tx);
}

static void an_unknown_tenant_is_not_found(void **state)
{
	struct store_tx *tx = begin("nobody");

	(void)state;
	store_tx_add(tx, STATEMENT_event_last, STORE_ANY, "");
	assert_int_equal(store_read_now(tx, NULL), ERR_NOT_FOUND);
	assert_non_null(strstr(store_tx_error(tx), "nobody"));
	assert_int_equal(store_write_now(tx, NULL), ERR_NOT_FOUND);
	store_tx_free(tx);
	assert_false(store_tenant_exists(world.store, STR("nobody")));
	assert_false(store_tenant_exists(world.store, STR("../platform")));
	assert_false(store_tenant_exists(world.store, STR("")));
}

static void creating_a_tenant_again_keeps_it(void **state)
{
	struct errbuf e = { "" };
	json_t *names;
	char *text;

	(void)state;
	assert_int_equal(put("acme", "deal", "d1", "{}", -1), 0);
	assert_int_equal(store_tenant_create(world.store, STR("acme"), "Again", &e), 0);
	assert_int_equal(put("acme", "deal", "d1", "{}", 1), 0);
	assert_int_equal(store_tenant_create(world.store, STR("Not a name"), "", &e), ERR_INVALID);
	names = store_tenant_names(world.store);
	text = json_to_text(names);
	assert_string_equal(text, "[\"acme\",\"other\"]");
	free(text);
	json_decref(names);
}

static void a_tenant_made_by_another_process_is_seen(void **state)
{
	struct store *second = world_open(NULL);
	struct errbuf e = { "" };

	(void)state;
	assert_false(store_tenant_exists(world.store, STR("late")));
	assert_int_equal(store_tenant_create(second, STR("late"), "Late", &e), 0);
	assert_true(store_tenant_exists(world.store, STR("late")));
	assert_int_equal(put("late", "deal", "d1", "{}", -1), 0);
	store_close(second);
}

/* -- owners ----------------------------------------------------------------------------------------------------------- */

/* With the store closed: no engine's connections go with the child. */
static pid_t world_fork(void)
{
	pid_t child;

	store_close(world.store);
	world.store = NULL;
	child = fork();
	assert_true(child >= 0);
	if (child != 0)
		world.store = world_open(world.loop);
	return child;
}

static void a_killed_owner_is_gone(void **state)
{
	struct errbuf e = { "" };
	int ready[2], status;
	int64_t killed_us;
	char byte;
	pid_t child;

	(void)state;
	assert_int_equal(pipe(ready), 0);
	child = world_fork();
	if (child == 0) {
		struct store *store = world_open(NULL);

		byte = store_owner_register(store, "worker-1", &e) == 0 ? 'y' : 'n';
		(void)!write(ready[1], &byte, 1);
		for (;;)
			pause();
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	assert_int_equal(byte, 'y');
	assert_true(store_owner_is_alive(world.store, STR("worker-1")));
	assert_int_equal(store_owner_register(world.store, "worker-1", &e), ERR_STORE);
	kill(child, SIGKILL);
	waitpid(child, &status, 0);
	/* At once, or when its lease has ended: not before a half of it has, not long after it has. */
	killed_us = clock_monotonic_us();
	while (world.fixture->lease_ms > 0 && store_owner_is_alive(world.store, STR("worker-1")) && clock_monotonic_us() < killed_us + 10000000)
		(void)usleep(20000);
	assert_false(store_owner_is_alive(world.store, STR("worker-1")));
	assert_true(clock_monotonic_us() - killed_us >= (int64_t)world.fixture->lease_ms * 500);
	close(ready[0]);
	close(ready[1]);
}

static void this_process_is_alive_until_it_closes(void **state)
{
	struct store *second = world_open(NULL);
	struct errbuf e = { "" };

	(void)state;
	assert_int_equal(store_owner_register(second, "0198-aa", &e), 0);
	assert_true(store_owner_is_alive(second, STR("0198-aa")));
	assert_true(store_owner_is_alive(world.store, STR("0198-aa")));
	store_close(second);
	assert_false(store_owner_is_alive(world.store, STR("0198-aa")));
	assert_false(store_owner_is_alive(world.store, STR("../../etc/passwd")));
	assert_false(store_owner_is_alive(world.store, STR("")));
}

/* -- crash and metrics ------------------------------------------------------------------------------------------------ */

/* A child commits and says so through a pipe until it is killed: what it said must be there. */
static void what_was_acknowledged_survives_a_kill(void **state)
{
	int acknowledged[2], status, last = 0, n;
	struct store_tx *tx;
	pid_t child;

	(void)state;
	assert_int_equal(pipe(acknowledged), 0);
	child = world_fork();
	if (child == 0) {
		struct store *store = world_open(NULL);

		for (int i = 1;; i++) {
			char id[32];

			tx = store_tx_new(store, STR("acme"));
			snprintf(id, sizeof(id), "%d", i);
			store_tx_add(tx, STATEMENT_event_insert, STORE_MUST, "tttnnin", id, "t", "/x", NOW);
			if (store_write_now(tx, NULL) != 0 || write(acknowledged[1], &i, sizeof(i)) != sizeof(i))
				_exit(1);
			store_tx_free(tx);
		}
	}
	close(acknowledged[1]);
	for (int i = 0; i < 100; i++)
		assert_int_equal(read(acknowledged[0], &last, sizeof(last)), sizeof(last));
	kill(child, SIGKILL);
	waitpid(child, &status, 0);
	while (read(acknowledged[0], &n, sizeof(n)) == sizeof(n))
		last = n;
	close(acknowledged[0]);
	tx = begin("acme");
	store_tx_add(tx, STATEMENT_event_last, STORE_ANY, "");
	assert_true(store_int(read_now(tx), 0, 0) >= last);
	store_tx_free(tx);
}

static void commits_are_measured(void **state)
{
	struct metrics *metrics = metrics_new(100);
	struct store_options options = { .url = world.url, .loop = world.loop, .metrics = metrics, .clock = &clock_system };
	struct chain chain = { 0, 0 };
	struct store_tx *tx;
	struct store *own = world.store;
	struct buf text;

	(void)state;
	assert_int_equal(store_open(&options, &world.store, NULL), 0);
	tx = begin("acme");
	store_tx_add(tx, STATEMENT_event_insert, STORE_MUST, "tttnnin", "e", "t", "/x", NOW);
	store_submit_write(tx, chain_on_write, &chain);
	while (chain.done < 1)
		loop_run_once(world.loop);
	buf_init(&text, 1 << 20);
	metrics_write(metrics, &text);
	assert_non_null(strstr(buf_text(&text), "perigee_commit_seconds_count 1\n"));
	assert_non_null(strstr(buf_text(&text), "perigee_commit_batch_rows_sum 1\n"));
	assert_non_null(strstr(buf_text(&text), "perigee_store_up 1\n"));
	buf_free(&text);
	store_close(world.store);
	metrics_free(metrics);
	world.store = own;
}

const struct CMUnitTest suite_transactions[] = {
	SUITE_TEST(every_statement_suits_the_schema),
	SUITE_TEST(a_write_is_read_back),
	SUITE_TEST(values_come_back_as_they_went),
	SUITE_TEST(an_unmet_must_undoes_the_whole_transaction),
	SUITE_TEST(a_taken_key_is_a_conflict),
	SUITE_TEST(a_wrong_value_is_an_error_with_text),
	SUITE_TEST(a_read_cannot_write),
	SUITE_TEST(an_empty_transaction_is_done),
	SUITE_TEST(each_of_many_stands_or_falls_alone),
	SUITE_TEST(closing_finishes_what_was_submitted),
	SUITE_TEST(two_hosts_write_at_once),
	SUITE_TEST(a_read_sees_what_was_delivered_before),
	SUITE_TEST(tenants_are_apart),
	SUITE_TEST(an_unknown_tenant_is_not_found),
	SUITE_TEST(creating_a_tenant_again_keeps_it),
	SUITE_TEST(a_tenant_made_by_another_process_is_seen),
	SUITE_TEST(a_killed_owner_is_gone),
	SUITE_TEST(this_process_is_alive_until_it_closes),
	SUITE_TEST(what_was_acknowledged_survives_a_kill),
	SUITE_TEST(commits_are_measured),
};
const size_t suite_transactions_count = sizeof(suite_transactions) / sizeof(*suite_transactions);
