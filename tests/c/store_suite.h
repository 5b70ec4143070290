/*
 * The conformance suite of the storage interface: what every engine must do. A test program gives an engine's fixture and calls
 * store_suite_run; tests of one engine alone (files, faults) live beside it in test_store_ENGINE.c.
 */
#pragma once

#include "check.h"

#include "base/ids.h"
#include "net/loop.h"
#include "store/store.h"

struct store_fixture {
	const char *name;
	/* A fresh, empty place; its URL. Called before each test. */
	const char *(*make)(void);
	void (*clear)(void);
	int lease_ms;                /* of owners in tests; 0: one that is killed is gone at once */
};

/* What tests use: one open store with the tenants acme and other. */
struct world {
	const struct store_fixture *fixture;
	const char *url;
	struct loop *loop;
	struct store *store;
};
extern struct world world;

int store_suite_run(const struct store_fixture *fixture);   /* number of failures */
int world_setup(void **state);
int world_teardown(void **state);
struct store *world_open(struct loop *loop);                /* one more store on the same place */
void world_reopen(void);

#define NOW INT64_C(1790000000000000)

struct store_tx *begin(const char *tenant);
void write_now(struct store_tx *tx);                        /* must succeed; frees */
int write_code(struct store_tx *tx);                        /* frees */
const struct store_result *read_now(struct store_tx *tx);   /* must succeed; the first operation's result; the caller frees tx */
json_t *json(const char *text);                             /* new reference; ' for " */
/* Write a record as the effect does; expected as records_plan. Returns the code. */
int put(const char *tenant, const char *kind, const char *id, const char *body, int64_t expected);
int delete(const char *tenant, const char *kind, const char *id, int64_t expected);

/* The parts of the suite. */
extern const struct CMUnitTest suite_transactions[], suite_records[], suite_readers[];
extern const size_t suite_transactions_count, suite_records_count, suite_readers_count;
#define SUITE_TEST(f) { #f, f, world_setup, world_teardown, NULL }
