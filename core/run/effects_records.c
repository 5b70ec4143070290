/*
 * records.*: happy path of a read: check the arguments, read, reply. Of a write: check, read the version that is there, compute the next one,
 * add the operations; when somebody wrote in between, the transaction meets ERR_CONFLICT and begin is called again.
 * Failure modes, all catchable: records.unknown_kind, records.reserved, records.id, records.invalid (field, cursor, body), records.schema,
 * records.too_large, records.conflict, store.failed.
 */
#include "run/effects.h"

#include <stdlib.h>

#include "store/records.h"

#define KIND "\"kind\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":63}"
#define ID "\"id\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":200}"
#define LIMIT "\"limit\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":200}"
#define VERSION "\"version\":{\"type\":\"integer\",\"minimum\":0}"

const char effect_schema_records_get[] =
	"{\"type\":\"object\",\"required\":[\"kind\",\"id\"],\"additionalProperties\":false,\"properties\":{" KIND "," ID "}}";
const char effect_schema_records_list[] =
	"{\"type\":\"object\",\"required\":[\"kind\"],\"additionalProperties\":false,\"properties\":{" KIND "," LIMIT ","
	"\"where\":{\"type\":\"object\",\"additionalProperties\":{\"type\":[\"string\",\"number\",\"boolean\",\"null\"]}},"
	"\"sort\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":128},\"cursor\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":4096}}}";
const char effect_schema_records_history[] =
	"{\"type\":\"object\",\"required\":[\"kind\",\"id\"],\"additionalProperties\":false,\"properties\":{" KIND "," ID "," LIMIT "}}";
const char effect_schema_records_put[] =
	"{\"type\":\"object\",\"required\":[\"kind\",\"id\",\"body\"],\"additionalProperties\":false,"
	"\"properties\":{" KIND "," ID "," VERSION ",\"body\":{\"type\":\"object\"}}}";
const char effect_schema_records_delete[] =
	"{\"type\":\"object\",\"required\":[\"kind\",\"id\"],\"additionalProperties\":false,\"properties\":{" KIND "," ID "," VERSION "}}";

/* -- shared --------------------------------------------------------------------------------------------------------- */

bool effect_read_succeeded(struct effect *effect, struct store_tx *tx, int code)
{
	if (effect->run == NULL)
		effect_fail(effect, "run.gone", "the run is no longer here", NULL);
	else if (code != 0)
		effect_fail(effect, err_name(code), store_tx_error(tx), NULL);
	else
		return true;
	store_tx_free(tx);
	return false;
}

static struct str argument(const struct effect *effect, const char *name)
{
	return json_member_str(effect->args, name);
}

static void fail_with(struct effect *effect, int code, const char *text, json_t *more)
{
	const char *name = "records.invalid";

	switch (code) {
	case ERR_NOT_FOUND: name = "records.unknown_kind"; break;
	case ERR_FORBIDDEN: name = "records.reserved"; break;
	case ERR_SCHEMA: name = "records.schema"; break;
	case ERR_TOO_LARGE: name = "records.too_large"; break;
	default: break;
	}
	effect_fail(effect, name, text, more);
}

/* Kind and, where there is one, id; ends the effect and returns false when one is wrong. */
static bool check_target(struct effect *effect, bool write)
{
	struct errbuf e;
	int code;

	code = records_check_kind(effect->manifest, argument(effect, "kind"), write, &e);
	if (code == 0 && json_member(effect->args, "id") != NULL && records_check_id(argument(effect, "id"), &e) != 0) {
		effect_fail(effect, "records.id", e.text, NULL);
		return false;
	}
	if (code != 0)
		fail_with(effect, code, e.text, NULL);
	return code == 0;
}

/* -- get, history, list --------------------------------------------------------------------------------------------- */

static void get_on_read(struct store_tx *tx, int code, void *arg)
{
	struct effect *effect = arg;
	const struct store_result *r;

	if (!effect_read_succeeded(effect, tx, code))
		return;
	r = store_tx_result(tx, 0);
	effect_reply(effect, r->rows > 0 ? records_json(r, 0, ROW_TIMES_US) : json_null());
	store_tx_free(tx);
}

void effect_begin_records_get(struct effect *effect)
{
	struct store_tx *tx;

	if (!check_target(effect, false))
		return;
	tx = store_tx_new(effect->store, effect->tenant);
	records_tx_get(tx, argument(effect, "kind"), argument(effect, "id"));
	store_submit_read(tx, get_on_read, effect);
}

static void history_on_read(struct store_tx *tx, int code, void *arg)
{
	struct effect *effect = arg;
	const struct store_result *r;
	json_t *ok, *items;

	if (!effect_read_succeeded(effect, tx, code))
		return;
	r = store_tx_result(tx, 0);
	items = json_array();
	for (size_t i = 0; i < r->rows; i++)
		json_array_append_new(items, records_history_json(r, i, ROW_TIMES_US));
	ok = json_object();
	json_put(ok, "items", items);
	effect_reply(effect, ok);
	store_tx_free(tx);
}

void effect_begin_records_history(struct effect *effect)
{
	struct store_tx *tx;

	if (!check_target(effect, false))
		return;
	tx = store_tx_new(effect->store, effect->tenant);
	records_tx_history(tx, argument(effect, "kind"), argument(effect, "id"), 0, json_member_int(effect->args, "limit", 0));
	store_submit_read(tx, history_on_read, effect);
}

static struct records_query query_of(const struct effect *effect)
{
	return (struct records_query){
		.kind = argument(effect, "kind"),
		.where = json_member(effect->args, "where"),
		.sort = argument(effect, "sort"),
		.limit = json_member_int(effect->args, "limit", 0),
		.cursor = argument(effect, "cursor"),
		.manifest = effect->manifest,
	};
}

static void list_on_read(struct store_tx *tx, int code, void *arg)
{
	struct effect *effect = arg;
	struct records_query query;

	if (!effect_read_succeeded(effect, tx, code))
		return;
	query = query_of(effect);
	effect_reply(effect, records_list_json(store_tx_result(tx, 0), &query, ROW_TIMES_US));
	store_tx_free(tx);
}

void effect_begin_records_list(struct effect *effect)
{
	struct records_query query;
	struct store_tx *tx;
	struct errbuf e;
	size_t op;
	int code;

	if (!check_target(effect, false))
		return;
	query = query_of(effect);
	tx = store_tx_new(effect->store, effect->tenant);
	code = records_tx_list(tx, &query, &op, &e);
	if (code != 0) {
		store_tx_free(tx);
		fail_with(effect, code, e.text, NULL);
		return;
	}
	store_submit_read(tx, list_on_read, effect);
}

/* -- put, delete ---------------------------------------------------------------------------------------------------- */

static void fail_conflict(struct effect *effect, int64_t expected, int64_t current)
{
	json_t *more = json_object();
	struct buf text;

	buf_init(&text, 512);
	buf_addf(&text, "%.*s '%.*s' ", STR_ARG(argument(effect, "kind")), STR_ARG(argument(effect, "id")));
	if (current == 0)
		buf_addf(&text, "is not there, and version %lld was expected", (long long)expected);
	else if (expected == 0)
		buf_addf(&text, "is there already, with version %lld", (long long)current);
	else
		buf_addf(&text, "has version %lld, and %lld was expected", (long long)current, (long long)expected);
	buf_add_text(&text, ": read it again, then decide");
	json_put_int(more, "current", current);
	effect_fail(effect, "records.conflict", buf_text(&text), more);
	buf_free(&text);
}

/* The plan for this change, or false with the effect ended. Frees tx. */
static bool plan(struct effect *effect, struct store_tx *tx, int code, struct record_plan *out)
{
	int64_t expected = json_member_int(effect->args, "version", RECORD_ANY_VERSION);

	if (!effect_read_succeeded(effect, tx, code))
		return false;
	code = records_plan(store_tx_result(tx, 0), expected, out);
	store_tx_free(tx);
	if (code != 0)
		fail_conflict(effect, expected, out->current);
	return code == 0;
}

static void change(struct effect *effect, const json_t *body, const struct record_plan *p)
{
	struct record_change c = {
		.kind = argument(effect, "kind"), .id = argument(effect, "id"), .body = body, .run = effect->run_id, .at_us = effect->now_us,
	};

	records_tx_change(effect->tx, &c, p);
}

static void read_state(struct effect *effect, store_done_fn done)
{
	struct store_tx *tx = store_tx_new(effect->store, effect->tenant);

	records_tx_state(tx, argument(effect, "kind"), argument(effect, "id"));
	store_submit_read(tx, done, effect);
}

static void put_on_state(struct store_tx *tx, int code, void *arg)
{
	struct effect *effect = arg;
	struct record_plan p;
	json_t *ok;

	if (!plan(effect, tx, code, &p))
		return;
	change(effect, json_member(effect->args, "body"), &p);
	ok = json_object();
	json_put_int(ok, "version", p.next);
	effect_apply(effect, ok);
}

void effect_begin_records_put(struct effect *effect)
{
	json_t *body, *errors, *more;
	struct errbuf e;
	int code;

	if (!check_target(effect, true))
		return;
	body = json_incref(json_object_get(effect->args, "body"));
	errors = json_array();
	code = records_check_body(effect->manifest, argument(effect, "kind"), &body, true, errors, &e);
	json_object_set_new(effect->args, "body", body);
	if (code != 0) {
		more = json_object();
		json_put(more, "errors", errors);
		fail_with(effect, code, e.text, more);
		return;
	}
	json_decref(errors);
	read_state(effect, put_on_state);
}

static void delete_on_state(struct store_tx *tx, int code, void *arg)
{
	struct effect *effect = arg;
	struct record_plan p;
	json_t *ok;

	if (!plan(effect, tx, code, &p))
		return;
	if (p.current > 0)
		change(effect, NULL, &p);
	ok = json_object();
	json_put(ok, "deleted", json_boolean(p.current > 0));
	effect_apply(effect, ok);
}

void effect_begin_records_delete(struct effect *effect)
{
	if (check_target(effect, true))
		read_state(effect, delete_on_state);
}
