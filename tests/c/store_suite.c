#include "store_suite.h"

#include "base/crypto.h"
#include "store/records.h"

#include <stdio.h>
#include <stdlib.h>

struct world world;

struct store *world_open(struct loop *loop)
{
	struct store_options options = { .url = world.url, .loop = loop, .clock = &clock_system, .create = true, .lease_ms = world.fixture->lease_ms };
	struct store *store;
	struct errbuf e = { "" };

	if (store_open(&options, &store, &e) != 0)
		fail_msg("%s", e.text);
	return store;
}

void world_reopen(void)
{
	store_close(world.store);
	world.store = world_open(world.loop);
}

int world_setup(void **state)
{
	struct errbuf e = { "" };

	(void)state;
	world.url = world.fixture->make();
	world.loop = loop_new();
	world.store = world_open(world.loop);
	if (store_tenant_create(world.store, STR("acme"), "Acme", &e) != 0 || store_tenant_create(world.store, STR("other"), "Other", &e) != 0)
		fail_msg("%s", e.text);
	return 0;
}

int world_teardown(void **state)
{
	(void)state;
	store_close(world.store);
	world.store = NULL;
	loop_free(world.loop);
	world.fixture->clear();
	return 0;
}

struct store_tx *begin(const char *tenant)
{
	return store_tx_new(world.store, str_of(tenant));
}

void write_now(struct store_tx *tx)
{
	struct errbuf e = { "" };

	if (store_write_now(tx, &e) != 0)
		fail_msg("%s", e.text);
	store_tx_free(tx);
}

int write_code(struct store_tx *tx)
{
	int code = store_write_now(tx, NULL);

	store_tx_free(tx);
	return code;
}

const struct store_result *read_now(struct store_tx *tx)
{
	struct errbuf e = { "" };

	if (store_read_now(tx, &e) != 0)
		fail_msg("%s", e.text);
	return store_tx_result(tx, 0);
}

json_t *json(const char *text)
{
	char *copy = mem_copy(str_of(text));
	struct errbuf e = { "" };
	json_t *value;
	int code;

	for (char *p = copy; *p != '\0'; p++)
		if (*p == '\'')
			*p = '"';
	value = json_read(str_of(copy), 1 << 20, &code, &e);
	if (value == NULL)
		fail_msg("%s: %s", copy, e.text);
	free(copy);
	return value;
}

static int change(const char *tenant, const char *kind, const char *id, const json_t *body, int64_t expected)
{
	struct record_change c = { .kind = str_of(kind), .id = str_of(id), .body = body, .actor = STR("test"), .at_us = NOW };
	struct store_tx *tx = begin(tenant);
	struct record_plan plan;
	int code;

	records_tx_state(tx, c.kind, c.id);
	code = records_plan(read_now(tx), expected, &plan);
	store_tx_free(tx);
	if (code != 0)
		return code;
	tx = begin(tenant);
	records_tx_change(tx, &c, &plan);
	return write_code(tx);
}

int put(const char *tenant, const char *kind, const char *id, const char *body, int64_t expected)
{
	json_t *value = json(body);
	int code = change(tenant, kind, id, value, expected);

	json_decref(value);
	return code;
}

int delete(const char *tenant, const char *kind, const char *id, int64_t expected)
{
	return change(tenant, kind, id, NULL, expected);
}

int store_suite_run(const struct store_fixture *fixture)
{
	int failures = 0;

	world.fixture = fixture;
	assert_int_equal(crypto_setup(), 0);
	failures += _cmocka_run_group_tests("store_transactions", suite_transactions, suite_transactions_count, NULL, NULL);
	failures += _cmocka_run_group_tests("store_records", suite_records, suite_records_count, NULL, NULL);
	failures += _cmocka_run_group_tests("store_readers", suite_readers, suite_readers_count, NULL, NULL);
	return failures;
}
