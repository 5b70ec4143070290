#include "store/records.h"

#include <ctype.h>
#include <string.h>

#include "base/ids.h"
#include "base/json_schema.h"
#include "store/records_fields.h"

enum { FIELD_MAX = 128 };

static bool is_source(struct str kind)
{
	return str_equal(kind, STR("source"));
}

static const json_t *kind_of(const json_t *manifest, struct str kind)
{
	return json_object_getn(json_member(manifest, "kinds"), kind.p != NULL ? kind.p : "", kind.n);
}

/* -- fields --------------------------------------------------------------------------------------------------------- */

bool record_field_path(struct str field, struct buf *path)
{
	bool step = false;

	if (field.n == 0 || field.n > FIELD_MAX)
		return false;
	buf_add_text(path, "$.\"");
	for (size_t i = 0; i < field.n; i++) {
		unsigned char c = (unsigned char)field.p[i];

		if (c == '.' && step) {
			buf_add_text(path, "\".\"");
			step = false;
		} else if (isalnum(c) != 0 || c == '_' || c == '-') {
			buf_add_char(path, (char)c);
			step = true;
		} else {
			return false;
		}
	}
	buf_add_char(path, '"');
	return step;
}

const json_t *record_field_value(const json_t *body, struct str field)
{
	const char *dot;
	size_t n;

	while (body != NULL && field.n > 0) {
		dot = memchr(field.p, '.', field.n);
		n = dot != NULL ? (size_t)(dot - field.p) : field.n;
		body = json_object_getn(body, field.p, n);
		n += dot != NULL;
		field = (struct str){ field.p + n, field.n - n };
	}
	return body;
}

bool record_field_is_indexed(const json_t *manifest, struct str kind, struct str field)
{
	const json_t *name;
	size_t i;

	if (is_source(kind) && str_equal(field, STR("deal")))
		return true;
	json_array_foreach(json_member(kind_of(manifest, kind), "index"), i, name)
		if (str_equal(json_str(name), field))
			return true;
	return false;
}

/* -- checks --------------------------------------------------------------------------------------------------------- */

int records_check_kind(const json_t *manifest, struct str kind, bool write, struct errbuf *e)
{
	json_t *kinds = json_object_get(manifest, "kinds"), *ignored;
	const char *name;
	struct buf names;

	if (is_source(kind) && write)
		return err_set(e, ERR_FORBIDDEN, "kind 'source' is written by evidence.source alone");
	if (is_source(kind) || kind_of(manifest, kind) != NULL)
		return 0;
	buf_init(&names, 300);
	json_object_foreach(kinds, name, ignored)
		buf_addf(&names, "%s, ", name);
	err_set(e, ERR_NOT_FOUND, "kind '%.*s' is unknown; this bundle has %ssource", STR_ARG(kind), buf_text(&names));
	buf_free(&names);
	return ERR_NOT_FOUND;
}

int records_check_id(struct str id, struct errbuf *e)
{
	if (record_id_is_valid(id))
		return 0;
	return err_set(e, ERR_INVALID, "id: 1 to 200 bytes of UTF-8 without control characters are needed");
}

int records_check_body(const json_t *manifest, struct str kind, json_t **body, bool coerce, json_t *errors, struct errbuf *e)
{
	const json_t *schema = json_member(kind_of(manifest, kind), "schema");
	struct buf text;
	bool full;

	if (!json_is_object(*body))
		return err_set(e, ERR_INVALID, "body: a record is an object");
	if (json_is_object(schema) && json_schema_check(schema, body, coerce, errors) != 0)
		return err_set(e, ERR_SCHEMA, "body: does not match the schema of kind '%.*s'", STR_ARG(kind));
	buf_init(&text, RECORD_BODY_MAX);
	json_write(&text, *body);
	full = text.full;
	buf_free(&text);
	return full ? err_set(e, ERR_TOO_LARGE, "body: a record has at most 1 MiB of JSON; keep long texts in records of their own") : 0;
}

/* -- reading -------------------------------------------------------------------------------------------------------- */

size_t records_tx_get(struct store_tx *tx, struct str kind, struct str id)
{
	return store_tx_add(tx, STATEMENT_record_get, STORE_ANY, "ss", kind, id);
}

size_t records_tx_history(struct store_tx *tx, struct str kind, struct str id, int64_t before_version, int64_t limit)
{
	return store_tx_add(tx, STATEMENT_record_history_list, STORE_ANY, "ssii", kind, id, before_version > 0 ? before_version : INT64_MAX,
	    page_limit(limit));
}

json_t *records_json(const struct store_result *r, size_t row, enum row_times times)
{
	json_t *o = json_object();

	row_put_text(o, "kind", r, row, 0);
	row_put_text(o, "id", r, row, 1);
	row_put_int(o, "version", r, row, 2);
	row_put_time(o, "updated_at", r, row, 3, times);
	row_put_text(o, "run", r, row, 4);
	row_put_json(o, "body", r, row, 6);
	return o;
}

json_t *records_history_json(const struct store_result *r, size_t row, enum row_times times)
{
	json_t *o = json_object();

	row_put_int(o, "version", r, row, 0);
	row_put_time(o, "at", r, row, 1, times);
	row_put_text(o, "run", r, row, 2);
	row_put_text(o, "actor", r, row, 3);
	row_put_json(o, "body", r, row, 4);
	return o;
}

/* -- changing ------------------------------------------------------------------------------------------------------- */

size_t records_tx_state(struct store_tx *tx, struct str kind, struct str id)
{
	return store_tx_add(tx, STATEMENT_record_state, STORE_ANY, "ss", kind, id);
}

int records_plan(const struct store_result *state, int64_t expected, struct record_plan *plan)
{
	plan->current = store_int(state, 0, 0);
	/* A record that was deleted goes on counting where it ended: a version names one body for ever. */
	plan->next = store_int(state, 0, 1) + 1;
	return expected == RECORD_ANY_VERSION || expected == plan->current ? 0 : ERR_CONFLICT;
}

/* An empty slice means "nobody" and is stored as null. */
static struct str or_null(struct str s)
{
	return s.n > 0 ? s : (struct str){ NULL, 0 };
}

void records_tx_change(struct store_tx *tx, const struct record_change *change, const struct record_plan *plan)
{
	struct str kind = change->kind, id = change->id, run = or_null(change->run), actor = or_null(change->actor);

	if (change->body == NULL) {
		BUG_ON(plan->current == 0);
		store_tx_add(tx, STATEMENT_record_delete, STORE_MUST, "ssi", kind, id, plan->current);
		store_tx_add(tx, STATEMENT_record_fields_delete, STORE_ANY, "ss", kind, id);
	} else if (plan->current == 0) {
		store_tx_add(tx, STATEMENT_record_insert, STORE_MUST, "ssiissj", kind, id, plan->next, change->at_us, run, actor, change->body);
	} else {
		store_tx_add(tx, STATEMENT_record_update, STORE_MUST, "ssiissji", kind, id, plan->next, change->at_us, run, actor, change->body,
		    plan->current);
	}
	if (change->body != NULL)
		store_tx_add(tx, STATEMENT_record_fields_put, STORE_ANY, "ssj", kind, id, change->body);
	store_tx_add(tx, STATEMENT_record_history_insert, STORE_MUST, "ssiissj", kind, id, plan->next, change->at_us, run, actor, change->body);
}

static void declare_field(struct store_tx *tx, const char *kind, struct str field)
{
	struct buf path;

	buf_init(&path, 4 * FIELD_MAX);
	if (record_field_path(field, &path)) {
		store_tx_add(tx, STATEMENT_record_index_declare, STORE_ANY, "tss", kind, field, buf_str(&path));
		store_tx_add(tx, STATEMENT_record_index_fill, STORE_ANY, "tss", kind, field, buf_str(&path));
		store_tx_add(tx, STATEMENT_record_index_filled, STORE_ANY, "ts", kind, field);
	}
	buf_free(&path);
}

void records_tx_declare(struct store_tx *tx, const json_t *manifest)
{
	json_t *kinds = json_object_get(manifest, "kinds"), *kind, *field;
	const char *name;
	size_t i;

	json_object_foreach(kinds, name, kind)
		json_array_foreach(json_object_get(kind, "index"), i, field)
			declare_field(tx, name, json_str(field));
}
