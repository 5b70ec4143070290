/*
 * The effects on records, evidence and events against a real store, without an engine: the handlers are compiled into this file with the
 * engine's side (reply, apply, fail) replaced, and conflicts begin them again as the engine does.
 */
#define effect_reply fake_reply
#define effect_apply fake_apply
#define effect_new_id fake_new_id
#define effect_fail fake_fail
#define effect_read_succeeded fake_read_succeeded
#define effect_schema_records_get own_schema_records_get
#define effect_schema_records_list own_schema_records_list
#define effect_schema_records_history own_schema_records_history
#define effect_schema_records_put own_schema_records_put
#define effect_schema_records_delete own_schema_records_delete
#define effect_schema_evidence_source own_schema_evidence_source
#define effect_schema_evidence_add own_schema_evidence_add
#define effect_schema_evidence_list own_schema_evidence_list
#define effect_schema_events_emit own_schema_events_emit
#define effect_begin_records_get own_records_get
#define effect_begin_records_list own_records_list
#define effect_begin_records_history own_records_history
#define effect_begin_records_put own_records_put
#define effect_begin_records_delete own_records_delete
#define effect_begin_evidence_source own_evidence_source
#define effect_begin_evidence_add own_evidence_add
#define effect_begin_evidence_list own_evidence_list
#define effect_begin_events_emit own_events_emit
/* Two handler files have functions of the same name. */
#define argument records_argument
#define list_on_read records_list_on_read
#include "../../core/run/effects_records.c"
#undef argument
#undef list_on_read
#define argument evidence_argument
#define list_on_read evidence_list_on_read
#include "../../core/run/effects_evidence.c"
#undef argument
#undef list_on_read
#include "../../core/run/effects_events.c"

#include "store_suite.h"

#include "base/json_schema.h"

#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct effect_row effects[] = {
	{ "records.get", EFFECT_READ, EFFECT_NONE, own_schema_records_get, own_records_get },
	{ "records.list", EFFECT_READ, EFFECT_NONE, own_schema_records_list, own_records_list },
	{ "records.history", EFFECT_READ, EFFECT_NONE, own_schema_records_history, own_records_history },
	{ "records.put", EFFECT_WRITE, EFFECT_NONE, own_schema_records_put, own_records_put },
	{ "records.delete", EFFECT_WRITE, EFFECT_NONE, own_schema_records_delete, own_records_delete },
	{ "evidence.source", EFFECT_WRITE, EFFECT_NONE, own_schema_evidence_source, own_evidence_source },
	{ "evidence.add", EFFECT_WRITE, EFFECT_NONE, own_schema_evidence_add, own_evidence_add },
	{ "evidence.list", EFFECT_READ, EFFECT_NONE, own_schema_evidence_list, own_evidence_list },
	{ "events.emit", EFFECT_WRITE, EFFECT_NONE, own_schema_events_emit, own_events_emit },
};
enum { EFFECTS = sizeof(effects) / sizeof(*effects) };

/* -- the engine's side ------------------------------------------------------------------------------------------------ */

static struct outcome {
	int ended;
	bool applies;
	json_t *ok, *error;
} outcome;

static uint32_t effect_number;
/* Called between a handler's reading and the commit of what it made of it: a race. Once. */
static void (*meanwhile)(void);

void fake_new_id(const struct effect *effect, char out[37])
{
	(void)effect;
	uuid_format(uuid_new(&clock_system, &rng_system), out);
}

void fake_reply(struct effect *effect, json_t *ok)
{
	(void)effect;
	outcome.ended++;
	outcome.ok = ok;
}

void fake_apply(struct effect *effect, json_t *ok)
{
	fake_reply(effect, ok);
	outcome.applies = true;
}

void fake_fail(struct effect *effect, const char *code, const char *message, json_t *more)
{
	(void)effect;
	outcome.ended++;
	outcome.error = more != NULL ? more : json_object();
	json_put_text(outcome.error, "code", code);
	json_put_text(outcome.error, "message", message);
}

static const char manifest_text[] =
	"{'kinds':{'deal':{'index':['stage']},'contact':{'schema':{'type':'object','required':['name'],'properties':{'name':{'type':'string'},"
	"'tags':{'type':'array','items':{'type':'string'}}}}}}}";

/* One attempt; true when it is to be begun again. */
static bool attempt(struct effect *effect)
{
	outcome = (struct outcome){ .ended = 0 };
	effect->tx = store_tx_new(world.store, effect->tenant);
	effect->row->begin(effect);
	while (outcome.ended == 0)
		loop_run_once(world.loop);
	assert_int_equal(outcome.ended, 1);
	if (meanwhile != NULL) {
		void (*f)(void) = meanwhile;

		meanwhile = NULL;
		f();
	}
	if (outcome.applies && store_write_now(effect->tx, NULL) != 0) {
		json_decref(outcome.ok);
		store_tx_free(effect->tx);
		effect->attempt++;
		return true;
	}
	store_tx_free(effect->tx);
	return false;
}

static unsigned perform_args(const char *name, json_t *args /* taken */)
{
	json_t *manifest = json(manifest_text), *schema, *errors = json_array();
	struct effect effect = { .run = (struct run *)&world, .store = world.store, .args = args, .tenant = STR("acme"), .run_id = STR("run-1"),
		.manifest = manifest, .now_us = NOW, .number = ++effect_number };

	json_decref(outcome.ok);
	json_decref(outcome.error);
	for (size_t i = 0; i < EFFECTS; i++)
		if (strcmp(effects[i].name, name) == 0)
			effect.row = &effects[i];
	assert_non_null(effect.row);
	schema = json(effect.row->schema);
	if (json_schema_check(schema, &effect.args, true, errors) != 0)
		fail_msg("%s: %s", name, json_to_text(errors));
	while (attempt(&effect))
		assert_true(effect.attempt < 8);
	json_decref(errors);
	json_decref(schema);
	json_decref(manifest);
	json_decref(effect.args);
	free(effect.state);
	return effect.attempt;
}

static unsigned perform(const char *name, const char *args)
{
	return perform_args(name, json(args));
}

static void expect_ok(const char *text)
{
	json_t *wanted = json(text);
	char *a = json_to_text(outcome.ok), *b = json_to_text(wanted);

	if (outcome.error != NULL)
		fail_msg("%s", json_to_text(outcome.error));
	assert_string_equal(a, b);
	free(a);
	free(b);
	json_decref(wanted);
}

static void expect_error(const char *code, const char *part)
{
	assert_non_null(outcome.error);
	assert_str(json_member_str(outcome.error, "code"), code);
	if (strstr(json_string_value(json_object_get(outcome.error, "message")), part) == NULL)
		fail_msg("'%s' is not in '%s'", part, json_string_value(json_object_get(outcome.error, "message")));
}

/* -- records ---------------------------------------------------------------------------------------------------------- */

static void schemas_are_schemas(void **state)
{
	struct errbuf e;

	(void)state;
	for (size_t i = 0; i < EFFECTS; i++) {
		json_t *schema = json(effects[i].schema);

		if (json_schema_check_schema(schema, &e) != 0)
			fail_msg("%s: %s", effects[i].name, e.text);
		json_decref(schema);
	}
}

static void a_record_goes_through_its_life(void **state)
{
	struct store_tx *tx = begin("acme");
	json_t *manifest = json(manifest_text);

	(void)state;
	records_tx_declare(tx, manifest);
	write_now(tx);
	json_decref(manifest);
	perform("records.get", "{'kind':'deal','id':'d1'}");
	expect_ok("null");
	perform("records.put", "{'kind':'deal','id':'d1','body':{'stage':'new'}}");
	expect_ok("{'version':1}");
	perform("records.put", "{'kind':'deal','id':'d1','body':{'stage':'won'},'version':1}");
	expect_ok("{'version':2}");
	perform("records.get", "{'kind':'deal','id':'d1'}");
	expect_ok("{'kind':'deal','id':'d1','version':2,'updated_at':1790000000000000,'run':'run-1','body':{'stage':'won'}}");
	perform("records.list", "{'kind':'deal','where':{'stage':'new'}}");
	expect_ok("{'items':[],'next_cursor':null}");
	perform("records.list", "{'kind':'deal','where':{'stage':'won'},'sort':'-stage','limit':1}");
	assert_int_equal(json_array_size(json_object_get(outcome.ok, "items")), 1);
	perform("records.delete", "{'kind':'deal','id':'d1'}");
	expect_ok("{'deleted':true}");
	perform("records.delete", "{'kind':'deal','id':'d1'}");
	expect_ok("{'deleted':false}");
	perform("records.history", "{'kind':'deal','id':'d1','limit':2}");
	expect_ok("{'items':[{'version':3,'at':1790000000000000,'run':'run-1','actor':null,'body':null},"
		  "{'version':2,'at':1790000000000000,'run':'run-1','actor':null,'body':{'stage':'won'}}]}");
}

static void what_is_wrong_is_said(void **state)
{
	(void)state;
	perform("records.get", "{'kind':'deel','id':'d1'}");
	expect_error("records.unknown_kind", "deal, contact, source");
	perform("records.put", "{'kind':'source','id':'d1','body':{}}");
	expect_error("records.reserved", "evidence.source");
	perform("records.delete", "{'kind':'source','id':'d1'}");
	expect_error("records.reserved", "evidence.source");
	perform("records.get", "{'kind':'source','id':'d1'}");
	expect_ok("null");
	perform("records.get", "{'kind':'deal','id':'a\\nb'}");
	expect_error("records.id", "control");
	perform("records.put", "{'kind':'contact','id':'c1','body':{'name':7}}");
	expect_error("records.schema", "contact");
	assert_str(json_member_str(json_array_get(json_object_get(outcome.error, "errors"), 0), "pointer"), "/name");
	perform("records.list", "{'kind':'deal','cursor':'nonsense'}");
	expect_error("records.invalid", "cursor");
}

/* Lua writes {} for both: the schema says which it is. */
static void an_empty_table_becomes_the_array_that_the_schema_wants(void **state)
{
	(void)state;
	perform("records.put", "{'kind':'contact','id':'c1','body':{'name':'Ann','tags':{}}}");
	expect_ok("{'version':1}");
	perform("records.get", "{'kind':'contact','id':'c1'}");
	assert_true(json_is_array(json_object_get(json_object_get(outcome.ok, "body"), "tags")));
}

static void an_unexpected_version_is_a_conflict(void **state)
{
	(void)state;
	perform("records.put", "{'kind':'deal','id':'d1','body':{},'version':2}");
	expect_error("records.conflict", "is not there");
	perform("records.put", "{'kind':'deal','id':'d1','body':{},'version':0}");
	expect_ok("{'version':1}");
	perform("records.put", "{'kind':'deal','id':'d1','body':{},'version':0}");
	expect_error("records.conflict", "is there already");
	assert_int_equal(json_member_int(outcome.error, "current", -1), 1);
	perform("records.delete", "{'kind':'deal','id':'d1','version':5}");
	expect_error("records.conflict", "has version 1, and 5 was expected");
}

static void somebody_puts(void)
{
	assert_int_equal(put("acme", "deal", "d1", "{'by':'somebody'}", -1), 0);
}

static void a_race_is_run_again(void **state)
{
	(void)state;
	meanwhile = somebody_puts;
	assert_int_equal(perform("records.put", "{'kind':'deal','id':'d1','body':{'by':'me'}}"), 1);
	expect_ok("{'version':2}");
	/* With a version asked for, the second attempt sees that it is gone. */
	meanwhile = somebody_puts;
	assert_int_equal(perform("records.put", "{'kind':'deal','id':'d1','body':{},'version':2}"), 1);
	expect_error("records.conflict", "has version 3");
	meanwhile = somebody_puts;
	assert_int_equal(perform("records.delete", "{'kind':'deal','id':'d1'}"), 1);
	expect_ok("{'deleted':true}");
}

/* -- evidence --------------------------------------------------------------------------------------------------------- */

static void add_source(char id[SHA256_HEX_SIZE])
{
	perform("evidence.source", "{'deal':'d1','form':'thread','text':'Ja, wir zahlen 10 €. Gut.','title':'Mail'}");
	assert_null(outcome.error);
	snprintf(id, SHA256_HEX_SIZE, "%s", json_string_value(json_object_get(outcome.ok, "id")));
}

static json_t *item(const char *source, const char *quote, int start)
{
	json_t *i = json("{'playbook':'bant','dimension':'budget','claim':'pays','polarity':1,'speaker':null,'side':'customer','said_at':null,"
			 "'extractor':'rules','confidence_bp':9000}");

	json_put_text(i, "source", source);
	json_put_text(i, "quote", quote);
	json_put_int(i, "start", start);
	json_put_int(i, "end", start + (int)strlen(quote));
	return i;
}

static unsigned add_items(const char *deal, json_t *first, json_t *second)
{
	json_t *args = json_object(), *items = json_array();

	json_array_append_new(items, first);
	if (second != NULL)
		json_array_append_new(items, second);
	json_put_text(args, "deal", deal);
	json_put(args, "items", items);
	return perform_args("evidence.add", args);
}

static bool added(size_t i)
{
	return json_is_true(json_object_get(json_array_get(json_object_get(outcome.ok, "items"), i), "new"));
}

static size_t ledger_size(void)
{
	perform("evidence.list", "{'deal':'d1','playbook':'bant'}");
	return json_array_size(json_object_get(outcome.ok, "items"));
}

static void a_source_is_stored_once(void **state)
{
	char id[SHA256_HEX_SIZE], again[SHA256_HEX_SIZE];

	(void)state;
	add_source(id);
	assert_true(json_is_true(json_object_get(outcome.ok, "new")));
	add_source(again);
	assert_false(json_is_true(json_object_get(outcome.ok, "new")));
	assert_string_equal(id, again);
	perform("records.list", "{'kind':'source','where':{'deal':'d1'}}");
	assert_int_equal(json_array_size(json_object_get(outcome.ok, "items")), 1);
}

static void evidence_that_holds_is_recorded(void **state)
{
	char id[SHA256_HEX_SIZE];

	(void)state;
	add_source(id);
	add_items("d1", item(id, "wir zahlen", 4), item(id, "10 €", 15));
	assert_null(outcome.error);
	assert_true(added(0) && added(1));
	add_items("d1", item(id, "wir zahlen", 4), item(id, "Gut", 23));
	assert_true(!added(0) && added(1));
	add_items("d1", item(id, "Ja", 0), item(id, "Ja", 0));
	assert_true(added(0) && !added(1));
	assert_int_equal(ledger_size(), 4);
	perform("evidence.add", "{'deal':'d1','items':{}}");
	expect_ok("{'items':[]}");
}

static void one_bad_item_refuses_the_call(void **state)
{
	char id[SHA256_HEX_SIZE];

	(void)state;
	add_source(id);
	add_items("d1", item(id, "wir zahlen", 4), item(id, "wir zahlen nicht", 4));
	expect_error("evidence.refused", "/items/1/quote");
	add_items("d1", item(id, "wir zahlen", 4), item("0000", "Ja", 0));
	expect_error("evidence.refused", "no such source");
	add_items("d2", item(id, "wir zahlen", 4), NULL);
	expect_error("evidence.refused", "another deal");
	assert_int_equal(ledger_size(), 0);
}

static char raced_source[SHA256_HEX_SIZE];

static void somebody_adds(void)
{
	struct store_tx *tx = begin("acme");
	json_t *i = item(raced_source, "wir zahlen", 4);
	char id[UUID_TEXT_SIZE];

	evidence_id(STR("d1"), i, id);
	evidence_tx_insert(tx, id, STR("d1"), i, STR("run-2"), NOW, STORE_MUST);
	write_now(tx);
	json_decref(i);
}

static void an_item_added_meanwhile_is_not_new(void **state)
{
	(void)state;
	add_source(raced_source);
	meanwhile = somebody_adds;
	assert_int_equal(add_items("d1", item(raced_source, "wir zahlen", 4), NULL), 1);
	assert_false(added(0));
	assert_int_equal(ledger_size(), 1);
}

/* -- events ----------------------------------------------------------------------------------------------------------- */

static void events_are_put_into_the_outbox(void **state)
{
	struct store_tx *tx;

	(void)state;
	perform("events.emit", "{'type':'deal.won','subject':'d1','data':{'x':1}}");
	assert_true(uuid_is_text(json_member_str(outcome.ok, "id")));
	perform("events.emit", "{'type':'deal.won','data':null,'id':'mine'}");
	expect_ok("{'id':'mine'}");
	perform("events.emit", "{'type':'deal.won','data':null,'id':'mine'}"); /* its own id a second time: the same event */
	expect_ok("{'id':'mine'}");
	tx = begin("acme");
	events_tx_list(tx, 0, STR(""), 0);
	assert_int_equal(read_now(tx)->rows, 2);
	store_tx_free(tx);
}

/* -- the place -------------------------------------------------------------------------------------------------------- */

static char folder[256], url[300];

static const char *folder_make(void)
{
	const char *base = getenv("TMPDIR");

	snprintf(folder, sizeof(folder), "%s/perigee-effects-XXXXXX", base != NULL ? base : "/tmp");
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
	json_decref(outcome.ok);
	json_decref(outcome.error);
	outcome = (struct outcome){ .ended = 0 };
}

int main(void)
{
	static const struct store_fixture fixture = { "sqlite", folder_make, folder_clear, 0 };
	static const struct CMUnitTest tests[] = {
		SUITE_TEST(schemas_are_schemas),
		SUITE_TEST(a_record_goes_through_its_life),
		SUITE_TEST(what_is_wrong_is_said),
		SUITE_TEST(an_empty_table_becomes_the_array_that_the_schema_wants),
		SUITE_TEST(an_unexpected_version_is_a_conflict),
		SUITE_TEST(a_race_is_run_again),
		SUITE_TEST(a_source_is_stored_once),
		SUITE_TEST(evidence_that_holds_is_recorded),
		SUITE_TEST(one_bad_item_refuses_the_call),
		SUITE_TEST(an_item_added_meanwhile_is_not_new),
		SUITE_TEST(events_are_put_into_the_outbox),
	};

	world.fixture = &fixture;
	assert_int_equal(crypto_setup(), 0);
	return _cmocka_run_group_tests("effects_store", tests, sizeof(tests) / sizeof(*tests), NULL, NULL);
}
