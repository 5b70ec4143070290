/* Evidence, runs, events, keys: what API, command line and handlers read. */
#include "store_suite.h"

#include "store/events.h"
#include "store/evidence.h"
#include "store/keys.h"
#include "store/runs.h"

#include <stdio.h>
#include <stdlib.h>

/* -- evidence --------------------------------------------------------------------------------------------------------- */

static json_t *item(const char *said_at, int64_t start, const char *claim)
{
	json_t *i = json("{'playbook':'bant','dimension':'budget','claim':'c','polarity':1,'quote':'wir zahlen','source':'s1','start':0,'end':10,"
			 "'speaker':'Ann','side':'customer','said_at':null,'extractor':'rules','confidence_bp':9000,'detail':{'k':[1]}}");

	json_put_text(i, "said_at", said_at);
	json_put_int(i, "start", start);
	json_put_text(i, "claim", claim);
	return i;
}

static int add_item(const char *deal, json_t *i /* taken */, enum store_expect expect)
{
	struct store_tx *tx = begin("acme");
	char id[UUID_TEXT_SIZE];

	evidence_id(str_of(deal), i, id);
	evidence_tx_insert(tx, id, str_of(deal), i, STR("run1"), NOW, expect);
	json_decref(i);
	return write_code(tx);
}

static void evidence_is_added_once_and_listed_in_order(void **state)
{
	static const char *const order[] = { "none", "early", "start3", "start9" };
	const struct store_result *r;
	struct store_tx *tx;
	json_t *list, *first;

	(void)state;
	assert_int_equal(add_item("d1", item("2026-01-02T10:00:00Z", 9, "start9"), STORE_MUST), 0);
	assert_int_equal(add_item("d1", item("2026-01-02T10:00:00Z", 3, "start3"), STORE_MUST), 0);
	assert_int_equal(add_item("d1", item(NULL, 0, "none"), STORE_MUST), 0);
	assert_int_equal(add_item("d1", item("2026-01-01T10:00:00Z", 0, "early"), STORE_MUST), 0);
	assert_int_equal(add_item("d1", item("2026-01-01T10:00:00Z", 0, "early"), STORE_ANY), 0);
	assert_int_equal(add_item("d1", item("2026-01-01T10:00:00Z", 0, "early"), STORE_MUST), ERR_CONFLICT);
	assert_int_equal(add_item("d2", item("2026-01-01T10:00:00Z", 0, "early"), STORE_MUST), 0);
	tx = begin("acme");
	evidence_tx_list(tx, STR("d1"), STR(""), STR(""));
	evidence_tx_list(tx, STR("d1"), STR("bant"), STR("need"));
	r = read_now(tx);
	list = evidence_list_json(r, ROW_TIMES_US);
	assert_int_equal(json_array_size(json_object_get(list, "items")), 4);
	for (size_t i = 0; i < 4; i++)
		assert_str(json_member_str(json_array_get(json_object_get(list, "items"), i), "claim"), order[i]);
	first = json_array_get(json_object_get(list, "items"), 0);
	assert_true(json_is_null(json_object_get(first, "said_at")));
	assert_str(json_member_str(first, "run"), "run1");
	assert_int_equal(json_member_int(first, "recorded_at", 0), NOW);
	assert_int_equal(json_array_size(json_object_get(json_object_get(first, "detail"), "k")), 1);
	json_decref(list);
	assert_int_equal(store_tx_result(tx, 1)->rows, 0);
	store_tx_free(tx);
}

static void an_item_has_the_id_of_its_content(void **state)
{
	json_t *a = item(NULL, 0, "c"), *b = item("2026-01-01T00:00:00Z", 0, "c");
	char ida[UUID_TEXT_SIZE], idb[UUID_TEXT_SIZE];

	(void)state;
	json_put_text(b, "speaker", "Someone else");
	evidence_id(STR("d1"), a, ida);
	evidence_id(STR("d1"), b, idb);
	assert_string_equal(ida, idb);
	assert_true(uuid_is_text(str_of(ida)));
	evidence_id(STR("d2"), a, idb);
	assert_string_not_equal(ida, idb);
	json_put_int(b, "end", 11);
	evidence_id(STR("d1"), b, idb);
	assert_string_not_equal(ida, idb);
	json_decref(a);
	json_decref(b);
}

/* Check one item with changes against a source; the pointer of the first error, or "". */
static void check(const char *field, json_t *value, const char *pointer, const char *part)
{
	json_t *i = item(NULL, 4, "c"), *source = json("{'deal':'d1','text':'Ja, wir zahlen 10 €. Gut, wir zahlen.'}"), *errors = json_array();
	json_t *error;

	json_put_int(i, "end", 14);
	if (field != NULL)
		json_put(i, field, value);
	assert_int_equal(evidence_check(i, 3, STR("d1"), source, errors), pointer[0] == '\0');
	error = json_array_get(errors, 0);
	assert_str(error != NULL ? json_member_str(error, "pointer") : STR(""), pointer);
	if (part != NULL)
		assert_non_null(strstr(json_string_value(json_object_get(error, "message")), part));
	json_decref(errors);
	json_decref(source);
	json_decref(i);
}

static void a_claim_must_cite_what_stands_in_its_source(void **state)
{
	json_t *i = item(NULL, 4, "c"), *errors = json_array(), *foreign = json("{'deal':'d2','text':'Ja, wir zahlen'}");

	(void)state;
	check(NULL, NULL, "", NULL);
	check("quote", json_string("Wir zahlen"), "/items/3/quote", NULL);
	check("quote", json_string("10 €"), "/items/3/quote", "these words start at byte 15");
	check("quote", json_string(""), "/items/3/quote", NULL);
	check("start", json_integer(5), "/items/3/quote", "start at byte 4");
	check("end", json_integer(3), "/items/3/end", NULL);
	check("end", json_integer(1000), "/items/3/end", NULL);
	check("start", json_integer(-1), "/items/3/start", NULL);
	check("side", json_string("seller"), "/items/3/side", "customer");
	check("side", json_string("unknown"), "/items/3/side", NULL);
	assert_false(evidence_check(i, 0, STR("d1"), NULL, errors));
	assert_false(evidence_check(i, 0, STR("d1"), foreign, errors));
	assert_str(json_member_str(json_array_get(errors, 1), "message"), "belongs to another deal");
	json_decref(foreign);
	json_decref(errors);
	json_decref(i);
}

static void a_source_is_a_record_under_its_digest(void **state)
{
	json_t *body = json("{'deal':'d1','form':'thread','title':null,'text':'Hello','at':null}");
	char id[SHA256_HEX_SIZE], other[SHA256_HEX_SIZE];
	struct store_tx *tx;

	(void)state;
	source_id(STR("d1"), STR("Hello"), id);
	source_id(STR("d"), STR("1Hello"), other);
	assert_string_not_equal(id, other);
	tx = begin("acme");
	source_tx_insert(tx, id, body, STR("run1"), NOW);
	write_now(tx);
	tx = begin("acme");
	store_tx_add(tx, STATEMENT_record_get, STORE_ANY, "tt", "source", id);
	assert_int_equal(store_int(read_now(tx), 0, 2), 1);
	store_tx_free(tx);
	json_decref(body);
}

/* -- runs ------------------------------------------------------------------------------------------------------------- */

static void add_run(int n, const char *agent, const char *status, const char *subject)
{
	struct store_tx *tx = begin("acme");
	char id[32];

	snprintf(id, sizeof(id), "run-%03d", n);
	/* Pairs share a creation time: the id decides. */
	store_tx_add(tx, STATEMENT_run_insert, STORE_MUST, "tttttttnninnisn", id, agent, "qualify", "b", status, "{\"a\":1}", subject, NOW + n / 2,
	    (int64_t)0, STR("w"));
	write_now(tx);
}

static void expect_runs(const struct runs_query *filters, const char *ids)
{
	struct runs_query query = *filters;
	json_t *page = NULL, *run, *cursor = NULL;
	struct store_tx *tx;
	struct buf out;
	size_t op, i;

	buf_init(&out, 10000);
	query.limit = 2;
	do {
		query.cursor = json_str(cursor);
		tx = begin("acme");
		assert_int_equal(runs_tx_list(tx, &query, &op, NULL), 0);
		json_decref(page);
		page = runs_list_json(read_now(tx), query.limit);
		store_tx_free(tx);
		json_array_foreach(json_object_get(page, "items"), i, run)
			buf_addf(&out, "%s ", json_string_value(json_object_get(run, "id")) + 4);
		cursor = json_object_get(page, "next_cursor");
	} while (json_is_string(cursor));
	json_decref(page);
	assert_buf(&out, ids);
	buf_free(&out);
}

static void runs_are_listed_newest_first(void **state)
{
	(void)state;
	add_run(1, "sales", "queued", NULL);
	add_run(2, "sales", "failed", "d1");
	add_run(3, "pm", "queued", "d1");
	add_run(4, "sales", "queued", "d1");
	add_run(5, "sales", "queued", "d2");
	expect_runs(&(struct runs_query){ .limit = 0 }, "005 004 003 002 001 ");
	expect_runs(&(struct runs_query){ .agent = STR("sales") }, "005 004 002 001 ");
	expect_runs(&(struct runs_query){ .subject = STR("d1") }, "004 003 002 ");
	expect_runs(&(struct runs_query){ .subject = STR("d1"), .agent = STR("sales"), .status = STR("queued") }, "004 ");
	expect_runs(&(struct runs_query){ .capability = STR("other") }, "");
	expect_runs(&(struct runs_query){ .status = STR("failed") }, "002 ");
}

static void a_run_is_shown_whole(void **state)
{
	struct store_tx *tx;
	json_t *run, *line;
	char *text;

	(void)state;
	add_run(2, "sales", "queued", "d1");
	tx = begin("acme");
	store_tx_add(tx, STATEMENT_journal_insert, STORE_MUST, "tiittti", "run-002", (int64_t)0, (int64_t)1, "records.get", "d", "{\"ok\":null}", NOW);
	store_tx_add(tx, STATEMENT_run_log_insert, STORE_MUST, "tiiittn", "run-002", (int64_t)1, (int64_t)0, NOW, "info", "hello");
	write_now(tx);
	tx = begin("acme");
	runs_tx_get(tx, STR("run-002"));
	runs_tx_journal(tx, STR("run-002"), -1, 0);
	runs_tx_logs(tx, STR("run-002"), 0, 0);
	runs_tx_journal(tx, STR("run-002"), 0, 0);
	run = runs_json(read_now(tx), 0);
	text = json_to_text(run);
	assert_string_equal(text, "{\"agent\":\"sales\",\"bundle\":\"b\",\"capability\":\"qualify\",\"continued_as\":null,\"continued_from\":null,\"cost_nanos\":0,\"cpu_ms\":0,"
	    "\"created_at\":\"2026-09-21T14:13:20.000Z\",\"ended_at\":null,\"error\":null,\"forked_from\":null,\"id\":\"run-002\",\"input\":{\"a\":1},\"output\":null,"
	    "\"parent\":null,\"retry_of\":null,\"started_at\":null,\"status\":\"queued\",\"subject\":\"d1\",\"tokens\":0}");
	free(text);
	json_decref(run);
	line = runs_journal_json(store_tx_result(tx, 1), 0, ROW_TIMES_US);
	text = json_to_text(line);
	assert_string_equal(text, "{\"at\":1790000000000000,\"digest\":\"d\",\"effect\":1,\"index\":0,\"name\":\"records.get\",\"outcome\":{\"ok\":null}}");
	free(text);
	json_decref(line);
	line = runs_log_json(store_tx_result(tx, 2), 0, ROW_TIMES_TEXT);
	assert_str(json_member_str(line, "message"), "hello");
	json_decref(line);
	assert_int_equal(store_tx_result(tx, 3)->rows, 0);
	store_tx_free(tx);
}

static void add_approval(int n)
{
	struct store_tx *tx = begin("acme");
	char id[32];

	snprintf(id, sizeof(id), "approval-%d", n);
	store_tx_add(tx, STATEMENT_approval_ask, STORE_MUST, "ttittntiii", id, "run", (int64_t)n, "May I?", "{}", "ann", NOW + n, NOW + 100, (int64_t)0);
	write_now(tx);
}

static void approvals_are_listed_by_status(void **state)
{
	struct store_tx *tx;
	json_t *page, *next;
	size_t op;

	(void)state;
	for (int n = 1; n <= 3; n++)
		add_approval(n);
	tx = begin("acme");
	store_tx_add(tx, STATEMENT_approval_decide, STORE_MUST, "ttntii", "approval-2", "approved", "bob", NOW + 50, (int64_t)0);
	write_now(tx);
	tx = begin("acme");
	assert_int_equal(approvals_tx_list(tx, STR("pending"), 1, STR(""), &op, NULL), 0);
	page = approvals_list_json(read_now(tx), 1);
	store_tx_free(tx);
	assert_str(json_member_str(json_array_get(json_object_get(page, "items"), 0), "id"), "approval-3");
	tx = begin("acme");
	assert_int_equal(approvals_tx_list(tx, STR("pending"), 1, json_member_str(page, "next_cursor"), &op, NULL), 0);
	next = approvals_list_json(read_now(tx), 1);
	store_tx_free(tx);
	assert_str(json_member_str(json_array_get(json_object_get(next, "items"), 0), "id"), "approval-1");
	assert_true(json_is_null(json_object_get(next, "next_cursor")));
	json_decref(next);
	json_decref(page);
	tx = begin("acme");
	assert_int_equal(approvals_tx_list(tx, STR(""), 0, STR(""), &op, NULL), 0);
	approvals_tx_get(tx, STR("approval-2"));
	assert_int_equal(read_now(tx)->rows, 3);
	page = approvals_json(store_tx_result(tx, 1), 0);
	assert_str(json_member_str(page, "status"), "approved");
	assert_str(json_member_str(page, "decided_by"), "bob");
	json_decref(page);
	store_tx_free(tx);
}

/* -- events ----------------------------------------------------------------------------------------------------------- */

static void an_event_happens_once(void **state)
{
	json_t *data = json("{'a':1}"), *seen;
	struct event event = { .id = STR("e1"), .type = STR("deal.won"), .source = STR("/x"), .data = data, .at_us = NOW };
	struct store_tx *tx;
	char *text;

	(void)state;
	for (int i = 0; i < 2; i++) {
		tx = begin("acme");
		events_tx_emit(tx, &event);
		write_now(tx);
	}
	event.id = STR("e2");
	event.type = STR("deal.lost");
	tx = begin("acme");
	events_tx_emit(tx, &event);
	write_now(tx);
	tx = begin("acme");
	events_tx_list(tx, 0, STR(""), 0);
	events_tx_list(tx, 0, STR("deal.lost"), 0);
	events_tx_last(tx);
	assert_int_equal(read_now(tx)->rows, 2);
	assert_int_equal(store_tx_result(tx, 1)->rows, 1);
	assert_int_equal(store_int(store_tx_result(tx, 2), 0, 0), events_seq(store_tx_result(tx, 0), 1));
	seen = events_json(store_tx_result(tx, 0), 0);
	text = json_to_text(seen);
	assert_string_equal(text, "{\"data\":{\"a\":1},\"id\":\"e1\",\"source\":\"/x\",\"specversion\":\"1.0\",\"time\":\"2026-09-21T14:13:20.000Z\","
	    "\"type\":\"deal.won\"}");
	free(text);
	json_decref(seen);
	store_tx_free(tx);
	json_decref(data);
}

/* -- keys ------------------------------------------------------------------------------------------------------------- */

static int verify(const char *text, int64_t now_us, char tenant[64])
{
	struct store_tx *tx = begin("");
	struct key key;
	size_t op;
	int code;

	code = keys_tx_find(tx, str_of(text), &op);
	if (code == 0)
		code = keys_verify(read_now(tx), str_of(text), now_us, &key);
	if (code == 0) {
		snprintf(tenant, 64, "%.*s", STR_ARG(key.tenant));
		assert_true(json_is_array(key.scopes));
		json_decref(key.scopes);
	}
	store_tx_free(tx);
	return code;
}

static void a_key_opens_until_it_ends(void **state)
{
	json_t *scopes = json("['runs:write']");
	struct key_request request = { .tenant = STR("acme"), .scopes = scopes, .title = "CI", .expires_at_us = NOW + 1000 };
	struct key_made made, forever;
	char tenant[64] = "", wrong[KEY_TEXT_SIZE];
	struct store_tx *tx = begin("");

	(void)state;
	keys_tx_create(tx, &request, &clock_system, &rng_system, &made);
	request.expires_at_us = 0;
	request.scopes = NULL;
	keys_tx_create(tx, &request, &clock_system, &rng_system, &forever);
	write_now(tx);
	assert_int_equal(verify(made.text, NOW, tenant), 0);
	assert_string_equal(tenant, "acme");
	assert_int_equal(verify(made.text, NOW + 1000, tenant), ERR_UNAUTHORIZED);
	assert_int_equal(verify(forever.text, INT64_MAX, tenant), 0);
	memcpy(wrong, made.text, sizeof(wrong));
	wrong[KEY_TEXT_SIZE - 2] = wrong[KEY_TEXT_SIZE - 2] == 'a' ? 'b' : 'a';
	assert_int_equal(verify(wrong, NOW, tenant), ERR_UNAUTHORIZED);
	wrong[4] = wrong[4] == 'a' ? 'b' : 'a';
	assert_int_equal(verify(wrong, NOW, tenant), ERR_UNAUTHORIZED);
	assert_int_equal(verify("", NOW, tenant), ERR_UNAUTHORIZED);
	assert_int_equal(verify("pg_' OR 1=1 --", NOW, tenant), ERR_UNAUTHORIZED);
	tx = begin("");
	keys_tx_revoke(tx, STR("other"), str_of(forever.id), NOW);
	assert_int_equal(write_code(tx), ERR_CONFLICT);
	tx = begin("");
	keys_tx_revoke(tx, STR("acme"), str_of(forever.id), NOW);
	assert_int_equal(write_code(tx), 0);
	assert_int_equal(verify(forever.text, NOW, tenant), ERR_UNAUTHORIZED);
	json_decref(scopes);
}

static void keys_and_tenants_are_listed_without_secrets(void **state)
{
	struct key_request request = { .tenant = STR("acme"), .title = "one" };
	struct store_tx *tx = begin("");
	struct key_made made;
	json_t *page;
	char *text;
	size_t op;

	(void)state;
	assert_int_equal(keys_tx_create_known(tx, &request, STR("pg_short"), &clock_system, &rng_system, NULL), ERR_INVALID);
	keys_tx_create(tx, &request, &clock_system, &rng_system, &made);
	keys_tx_create(tx, &request, &clock_system, &rng_system, &made);
	keys_tx_touch(tx, str_of(made.id), NOW);
	write_now(tx);
	tx = begin("");
	assert_int_equal(keys_tx_list(tx, STR("acme"), 1, STR(""), &op, NULL), 0);
	page = keys_list_json(read_now(tx), 1);
	store_tx_free(tx);
	tx = begin("");
	assert_int_equal(keys_tx_list(tx, STR("acme"), 1, json_member_str(page, "next_cursor"), &op, NULL), 0);
	json_decref(page);
	page = keys_list_json(read_now(tx), 1);
	store_tx_free(tx);
	text = json_to_text(page);
	assert_non_null(strstr(text, made.id));
	assert_null(strstr(text, made.text + 12));
	free(text);
	json_decref(page);
	tx = begin("");
	assert_int_equal(tenants_tx_list(tx, 1, STR(""), &op, NULL), 0);
	page = tenants_list_json(read_now(tx), 1);
	store_tx_free(tx);
	tx = begin("");
	assert_int_equal(tenants_tx_list(tx, 1, json_member_str(page, "next_cursor"), &op, NULL), 0);
	json_decref(page);
	page = tenants_list_json(read_now(tx), 1);
	store_tx_free(tx);
	assert_str(json_member_str(json_array_get(json_object_get(page, "items"), 0), "title"), "Other");
	assert_true(json_is_null(json_object_get(page, "next_cursor")));
	json_decref(page);
}

static void idempotency_keys_are_forgotten_by_age(void **state)
{
	struct store_tx *tx;

	(void)state;
	for (int i = 0; i < 3; i++) {
		tx = begin("acme");
		store_tx_add(tx, STATEMENT_idempotency_insert, STORE_MUST, "tbti", (const char *[]){ "a", "b", "c" }[i], STR("digest"), "run", NOW + i);
		write_now(tx);
	}
	tx = begin("acme");
	store_tx_add(tx, STATEMENT_idempotency_insert, STORE_MUST, "tbti", "a", STR("other"), "run", NOW);
	assert_int_equal(write_code(tx), ERR_CONFLICT);
	tx = begin("acme");
	store_tx_add(tx, STATEMENT_idempotency_purge, STORE_ANY, "ii", NOW + 2, (int64_t)1);
	assert_int_equal(store_write_now(tx, NULL), 0);
	assert_int_equal(store_tx_result(tx, 0)->changed, 1);
	store_tx_free(tx);
	tx = begin("acme");
	store_tx_add(tx, STATEMENT_idempotency_get, STORE_ANY, "t", "a");
	store_tx_add(tx, STATEMENT_idempotency_get, STORE_ANY, "t", "b");
	assert_int_equal(read_now(tx)->rows, 0);
	assert_int_equal(store_tx_result(tx, 1)->rows, 1);
	store_tx_free(tx);
}

const struct CMUnitTest suite_readers[] = {
	SUITE_TEST(evidence_is_added_once_and_listed_in_order),
	SUITE_TEST(an_item_has_the_id_of_its_content),
	SUITE_TEST(a_claim_must_cite_what_stands_in_its_source),
	SUITE_TEST(a_source_is_a_record_under_its_digest),
	SUITE_TEST(runs_are_listed_newest_first),
	SUITE_TEST(a_run_is_shown_whole),
	SUITE_TEST(approvals_are_listed_by_status),
	SUITE_TEST(an_event_happens_once),
	SUITE_TEST(a_key_opens_until_it_ends),
	SUITE_TEST(keys_and_tenants_are_listed_without_secrets),
	SUITE_TEST(idempotency_keys_are_forgotten_by_age),
};
const size_t suite_readers_count = sizeof(suite_readers) / sizeof(*suite_readers);
