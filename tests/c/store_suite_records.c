/* Records: versions, history, lists, indexes. */
#include "store_suite.h"

#include "store/record_key.h"
#include "store/records.h"

#include <stdio.h>
#include <stdlib.h>

static void declare(const char *manifest)
{
	struct store_tx *tx = begin("acme");
	json_t *m = json(manifest);

	records_tx_declare(tx, m);
	json_decref(m);
	write_now(tx);
}

static json_t *get(const char *kind, const char *id)
{
	struct store_tx *tx = begin("acme");
	const struct store_result *r;
	json_t *record;

	records_tx_get(tx, str_of(kind), str_of(id));
	r = read_now(tx);
	record = r->rows > 0 ? records_json(r, 0, ROW_TIMES_US) : NULL;
	store_tx_free(tx);
	return record;
}

#define assert_json(value, text)                                  \
	do {                                                      \
		char *written_ = json_to_text(value);             \
		json_t *wanted_ = json(text);                     \
		char *wanted_text_ = json_to_text(wanted_);       \
		assert_string_equal(written_, wanted_text_);      \
		free(written_);                                   \
		free(wanted_text_);                               \
		json_decref(wanted_);                             \
	} while (0)

/* -- versions --------------------------------------------------------------------------------------------------------- */

static void a_record_is_written_and_read(void **state)
{
	json_t *record;

	(void)state;
	assert_null(get("deal", "d1"));
	assert_int_equal(put("acme", "deal", "d1", "{'b':[],'a':{},'n':null,'x':0.1}", 0), 0);
	record = get("deal", "d1");
	assert_json(record, "{'kind':'deal','id':'d1','version':1,'updated_at':1790000000000000,'run':null,"
			    "'body':{'a':{},'b':[],'n':null,'x':0.1}}");
	json_decref(record);
}

static void versions_count_and_are_expected(void **state)
{
	(void)state;
	assert_int_equal(put("acme", "deal", "d1", "{}", 1), ERR_CONFLICT);
	assert_int_equal(put("acme", "deal", "d1", "{}", 0), 0);
	assert_int_equal(put("acme", "deal", "d1", "{}", 0), ERR_CONFLICT);
	assert_int_equal(put("acme", "deal", "d1", "{}", 1), 0);
	assert_int_equal(put("acme", "deal", "d1", "{}", RECORD_ANY_VERSION), 0);
	assert_int_equal(put("acme", "deal", "d1", "{}", 2), ERR_CONFLICT);
	assert_int_equal(put("acme", "deal", "d1", "{}", 3), 0);
}

static void a_deleted_record_keeps_its_history(void **state)
{
	const struct store_result *r;
	struct store_tx *tx;
	json_t *item;

	(void)state;
	assert_int_equal(put("acme", "deal", "d1", "{'n':1}", 0), 0);
	assert_int_equal(delete("acme", "deal", "d1", 7), ERR_CONFLICT);
	assert_int_equal(delete("acme", "deal", "d1", 1), 0);
	assert_null(get("deal", "d1"));
	assert_int_equal(put("acme", "deal", "d1", "{'n':3}", 0), 0);
	tx = begin("acme");
	records_tx_history(tx, STR("deal"), STR("d1"), 0, 0);
	r = read_now(tx);
	assert_int_equal(r->rows, 3);
	item = records_history_json(r, 0, ROW_TIMES_TEXT);
	assert_json(item, "{'version':3,'at':'2026-09-21T14:13:20.000Z','run':null,'actor':'test','body':{'n':3}}");
	json_decref(item);
	assert_int_equal(store_int(r, 1, 0), 2);
	assert_true(store_is_null(r, 1, 4));
	store_tx_free(tx);
	tx = begin("acme");
	records_tx_history(tx, STR("deal"), STR("d1"), 3, 1);
	r = read_now(tx);
	assert_int_equal(r->rows, 1);
	assert_int_equal(store_int(r, 0, 0), 2);
	store_tx_free(tx);
}

/* Two plans from the same state: the second change must lose, whatever the two do. */
static void race(const char *first, const char *second, bool exists)
{
	struct record_plan plan = { exists ? 1 : 0, exists ? 2 : 1 };
	static int n;
	char id[16];

	snprintf(id, sizeof(id), "race%d", n++);
	if (exists)
		assert_int_equal(put("acme", "deal", id, "{}", 0), 0);
	for (int i = 0; i < 2; i++) {
		const char *text = i == 0 ? first : second;
		json_t *body = text != NULL ? json(text) : NULL;
		struct record_change c = { .kind = STR("deal"), .id = str_of(id), .body = body, .at_us = NOW };
		struct store_tx *tx = begin("acme");

		records_tx_change(tx, &c, &plan);
		assert_int_equal(write_code(tx), i == 0 ? 0 : ERR_CONFLICT);
		json_decref(body);
	}
}

static void the_second_of_two_racing_changes_loses(void **state)
{
	(void)state;
	race("{'n':1}", "{'n':2}", false);
	race("{'n':1}", "{'n':2}", true);
	race("{'n':1}", NULL, true);
	race(NULL, "{'n':2}", true);
	race(NULL, NULL, true);
}

static void a_plan_made_before_a_deletion_and_a_creation_loses(void **state)
{
	struct record_plan plan = { 0, 1 };     /* "there has never been one" */
	struct record_change c = { .kind = STR("deal"), .id = STR("d1"), .at_us = NOW };
	struct store_tx *tx;
	json_t *body = json("{}");

	(void)state;
	assert_int_equal(put("acme", "deal", "d1", "{}", 0), 0);
	assert_int_equal(delete("acme", "deal", "d1", 1), 0);
	c.body = body;
	tx = begin("acme");
	records_tx_change(tx, &c, &plan);
	assert_int_equal(write_code(tx), ERR_CONFLICT);
	json_decref(body);
}

/* -- checks ----------------------------------------------------------------------------------------------------------- */

static void kinds_and_bodies_are_checked(void **state)
{
	json_t *m = json("{'kinds':{'deal':{'schema':{'type':'object','required':['title'],'properties':{'title':{'type':'string'}}}},'note':{}}}");
	json_t *errors = json_array(), *body = json("{'title':5}");
	struct errbuf e;
	char *large;

	(void)state;
	assert_int_equal(records_check_kind(m, STR("deal"), true, &e), 0);
	assert_int_equal(records_check_kind(m, STR("source"), false, &e), 0);
	assert_int_equal(records_check_kind(m, STR("source"), true, &e), ERR_FORBIDDEN);
	assert_int_equal(records_check_kind(m, STR("deel"), false, &e), ERR_NOT_FOUND);
	assert_string_equal(e.text, "kind 'deel' is unknown; this bundle has deal, note, source");
	assert_int_equal(records_check_kind(NULL, STR("deal"), false, &e), ERR_NOT_FOUND);
	assert_int_equal(records_check_body(m, STR("deal"), &body, false, errors, &e), ERR_SCHEMA);
	assert_str(json_member_str(json_array_get(errors, 0), "pointer"), "/title");
	json_put_text(body, "title", "fine");
	assert_int_equal(records_check_body(m, STR("deal"), &body, false, errors, &e), 0);
	large = mem_alloc(RECORD_BODY_MAX + 1);
	memset(large, 'x', RECORD_BODY_MAX);
	json_put_text(body, "title", large);
	assert_int_equal(records_check_body(m, STR("deal"), &body, false, errors, &e), ERR_TOO_LARGE);
	free(large);
	json_decref(body);
	body = json("[]");
	assert_int_equal(records_check_body(m, STR("note"), &body, false, errors, &e), ERR_INVALID);
	json_decref(body);
	json_decref(errors);
	json_decref(m);
	assert_int_equal(records_check_id(STR("d1"), &e), 0);
	assert_int_equal(records_check_id(STR("d\n1"), &e), ERR_INVALID);
}

static void add_key(struct buf *keys, const char *text)
{
	json_t *value = json(text);

	buf_reset(keys);
	record_key_add(keys, value);
	json_decref(value);
}

static void sort_keys_are_in_order(void **state)
{
	static const char *const values[] = { "null", "false", "true", "-1e308", "-2", "-1.5", "0", "1e-300", "1", "2", "10", "9007199254740993",
		"''", "'A'", "'a'", "'a b'", "'ab'", "'é'", "{}" };
	struct buf before, key;

	(void)state;
	buf_init(&before, 1000);
	buf_init(&key, 1000);
	for (size_t i = 0; i < sizeof(values) / sizeof(*values); i++) {
		add_key(&key, values[i]);
		if (i > 0)
			assert_true(str_compare(buf_str(&before), buf_str(&key)) < 0);
		assert_true(str_compare(buf_str(&key), STR(RECORD_KEY_LAST)) < 0);
		add_key(&before, values[i]);
	}
	add_key(&before, "-0.0");
	add_key(&key, "0");
	assert_true(str_equal(buf_str(&before), buf_str(&key)));
	buf_free(&before);
	buf_free(&key);
}

/* -- lists ------------------------------------------------------------------------------------------------------------ */

static const char manifest_indexed[] = "{'kinds':{'deal':{'index':['stage','amount','where.city','bad field!']}}}";
static const char manifest_plain[] = "{'kinds':{'deal':{}}}";

/* Ids of all pages, space separated, in out. */
static void list_all(const char *manifest, const char *where, const char *sort, int64_t limit, struct buf *out)
{
	json_t *m = json(manifest), *w = where != NULL ? json(where) : NULL, *page = NULL, *item, *cursor = NULL;
	struct records_query query = { .kind = STR("deal"), .where = w, .sort = str_of(sort), .limit = limit, .manifest = m };
	struct errbuf e = { "" };
	struct store_tx *tx;
	size_t op, i, pages = 0;

	buf_reset(out);
	do {
		query.cursor = json_str(cursor);
		tx = begin("acme");
		if (records_tx_list(tx, &query, &op, &e) != 0)
			fail_msg("%s", e.text);
		json_decref(page);
		page = records_list_json(read_now(tx), &query, ROW_TIMES_US);
		store_tx_free(tx);
		json_array_foreach(json_object_get(page, "items"), i, item)
			buf_addf(out, "%s ", json_string_value(json_object_get(item, "id")));
		cursor = json_object_get(page, "next_cursor");
		assert_true(pages++ < 1000);
	} while (json_is_string(cursor));
	json_decref(page);
	json_decref(w);
	json_decref(m);
}

static void expect_list(const char *where, const char *sort, const char *ids)
{
	static const char *const manifests[] = { manifest_indexed, manifest_plain };
	struct buf out;

	buf_init(&out, 1 << 20);
	for (size_t i = 0; i < 2; i++)
		for (int64_t limit = 1; limit <= 4; limit += 3) {
			list_all(manifests[i], where, sort, limit, &out);
			assert_string_equal(buf_text(&out), ids);
		}
	buf_free(&out);
}

static void put_some(void)
{
	assert_int_equal(put("acme", "deal", "a", "{'stage':'won','amount':10,'where':{'city':'Bern'}}", -1), 0);
	assert_int_equal(put("acme", "deal", "b", "{'stage':'lost','amount':9.5,'where':{'city':'Rome'}}", -1), 0);
	assert_int_equal(put("acme", "deal", "c", "{'stage':'won','amount':'10','where':7}", -1), 0);
	assert_int_equal(put("acme", "deal", "d", "{'stage':'won','amount':null,'where':{'city':'Bern'}}", -1), 0);
	assert_int_equal(put("acme", "deal", "e", "{'stage':true}", -1), 0);
	assert_int_equal(put("acme", "note", "f", "{'stage':'won'}", -1), 0);
	assert_int_equal(put("other", "deal", "g", "{'stage':'won'}", -1), 0);
}

static void lists_filter_and_sort(void **state)
{
	(void)state;
	declare(manifest_indexed);
	put_some();
	expect_list(NULL, "", "a b c d e ");
	expect_list("{'stage':'won'}", "", "a c d ");
	expect_list("{'stage':true}", "", "e ");
	expect_list("{'amount':10}", "", "a ");
	expect_list("{'amount':'10'}", "", "c ");
	expect_list("{'amount':null}", "", "d e ");
	expect_list("{'where.city':'Bern'}", "", "a d ");
	expect_list("{'where.city':'Bern','stage':'won','amount':10}", "", "a ");
	expect_list("{'stage':'nothing'}", "", "");
	expect_list(NULL, "amount", "d e b a c ");
	expect_list(NULL, "-amount", "c a b e d ");
	expect_list(NULL, "stage", "e b a c d ");
	expect_list("{'stage':'won'}", "-amount", "c a d ");
	expect_list("{'stage':'won'}", "amount", "d a c ");
	expect_list("{'where.city':'Bern'}", "-where.city", "d a ");
}

static void an_index_follows_changes(void **state)
{
	(void)state;
	declare(manifest_indexed);
	put_some();
	assert_int_equal(put("acme", "deal", "b", "{'stage':'won'}", -1), 0);
	assert_int_equal(delete("acme", "deal", "a", 1), 0);
	expect_list("{'stage':'won'}", "", "b c d ");
	expect_list("{'stage':'lost'}", "", "");
	expect_list(NULL, "amount", "b d e c ");
}

static void an_index_declared_later_is_whole(void **state)
{
	(void)state;
	put_some();
	declare(manifest_indexed);
	declare(manifest_indexed);
	expect_list("{'stage':'won'}", "", "a c d ");
	expect_list(NULL, "amount", "d e b a c ");
}

/* Strings longer than a sort key: equal keys, different records. */
static void long_strings_are_told_apart(void **state)
{
	struct buf body, where;

	(void)state;
	declare(manifest_indexed);
	buf_init(&body, 10000);
	buf_init(&where, 10000);
	for (int i = 0; i < 3; i++) {
		const char *ids[] = { "x", "y", "z" };

		buf_reset(&body);
		buf_addf(&body, "{'stage':'%0*d'}", 600, i);
		assert_int_equal(put("acme", "deal", ids[i], buf_text(&body), -1), 0);
	}
	buf_addf(&where, "{'stage':'%0*d'}", 600, 1);
	expect_list(buf_text(&where), "", "y ");
	expect_list(NULL, "stage", "x y z ");
	buf_free(&body);
	buf_free(&where);
}

static void expect_refusal(const char *where, const char *sort, const char *cursor)
{
	json_t *w = where != NULL ? json(where) : NULL;
	struct records_query query = { .kind = STR("deal"), .where = w, .sort = str_of(sort), .cursor = str_of(cursor) };
	struct store_tx *tx = begin("acme");
	struct errbuf e = { "" };
	size_t op;

	assert_int_equal(records_tx_list(tx, &query, &op, &e), ERR_INVALID);
	assert_int_not_equal(e.text[0], '\0');
	assert_int_equal(store_tx_count(tx), 0);
	store_tx_free(tx);
	json_decref(w);
}

static void wrong_lists_are_refused(void **state)
{
	(void)state;
	expect_refusal("{'a':1,'b':1,'c':1,'d':1,'e':1}", "", NULL);
	expect_refusal("{'a':[1]}", "", NULL);
	expect_refusal("{'a\\\"b':1}", "", NULL);
	expect_refusal("{'':1}", "", NULL);
	expect_refusal("{'a..b':1}", "", NULL);
	expect_refusal(NULL, "-", NULL);
	expect_refusal(NULL, "a b", NULL);
	expect_refusal(NULL, "", "zz");
	expect_refusal(NULL, "", "5b5d");             /* [] */
	expect_refusal(NULL, "", "5b315d");           /* [1] */
	expect_refusal(NULL, "stage", "5b2261225d");  /* ["a"]: of a list by id */
}

const struct CMUnitTest suite_records[] = {
	SUITE_TEST(a_record_is_written_and_read),
	SUITE_TEST(versions_count_and_are_expected),
	SUITE_TEST(a_deleted_record_keeps_its_history),
	SUITE_TEST(the_second_of_two_racing_changes_loses),
	SUITE_TEST(a_plan_made_before_a_deletion_and_a_creation_loses),
	SUITE_TEST(kinds_and_bodies_are_checked),
	SUITE_TEST(sort_keys_are_in_order),
	SUITE_TEST(lists_filter_and_sort),
	SUITE_TEST(an_index_follows_changes),
	SUITE_TEST(an_index_declared_later_is_whole),
	SUITE_TEST(long_strings_are_told_apart),
	SUITE_TEST(wrong_lists_are_refused),
};
const size_t suite_records_count = sizeof(suite_records) / sizeof(*suite_records);
