#include "store/evidence.h"

#include <stdlib.h>
#include <string.h>

#include "store/records.h"

/* -- sources -------------------------------------------------------------------------------------------------------- */

/* Canonical JSON of an array: the same content has the same digest in every program and engine. */
static void digest_of(json_t *array /* taken */, uint8_t out[SHA256_SIZE])
{
	char *text = json_to_text(array);

	sha256(text, strlen(text), out);
	free(text);
	json_decref(array);
}

void source_id(struct str deal, struct str text, char out[SHA256_HEX_SIZE])
{
	uint8_t digest[SHA256_SIZE];
	json_t *identity = json_array();

	json_array_append_new(identity, json_new_str(deal));
	json_array_append_new(identity, json_new_str(text));
	digest_of(identity, digest);
	hex_encode(digest, sizeof(digest), out);
}

void source_tx_insert(struct store_tx *tx, const char *id, const json_t *body, struct str run, int64_t at_us)
{
	struct record_change change = { .kind = STR("source"), .id = str_of(id), .body = body, .run = run, .at_us = at_us };
	struct record_plan plan = { .current = 0, .next = 1 };

	records_tx_change(tx, &change, &plan);
}

/* -- items ---------------------------------------------------------------------------------------------------------- */

static const char *const identity_fields[] = { "playbook", "dimension", "claim", "polarity", "source", "start", "end", "extractor" };

void evidence_id(struct str deal, const json_t *item, char out[UUID_TEXT_SIZE])
{
	uint8_t digest[SHA256_SIZE];
	json_t *identity = json_array();

	json_array_append_new(identity, json_new_str(deal));
	for (size_t i = 0; i < sizeof(identity_fields) / sizeof(*identity_fields); i++) {
		json_t *value = json_object_get(item, identity_fields[i]);

		json_array_append_new(identity, value != NULL ? json_incref(value) : json_null());
	}
	digest_of(identity, digest);
	uuid_format(uuid_of_digest(digest), out);
}

static bool refuse(json_t *errors, size_t index, const char *field, const char *message)
{
	json_t *error = json_object();
	struct buf pointer;

	buf_init(&pointer, 128);
	buf_addf(&pointer, "/items/%zu/%s", index, field);
	json_put_str(error, "pointer", buf_str(&pointer));
	json_put_text(error, "message", message);
	json_array_append_new(errors, error);
	buf_free(&pointer);
	return false;
}

/* Do the words stand where the item says? Says where they do, when they do somewhere. */
static bool check_quote(const json_t *item, size_t index, struct str text, json_t *errors)
{
	struct str quote = json_member_str(item, "quote");
	int64_t start = json_member_int(item, "start", -1), end = json_member_int(item, "end", -1);
	const char *found;
	struct buf message;

	if (quote.n == 0)
		return refuse(errors, index, "quote", "is empty: cite the words that carry the claim");
	if (start < 0 || end < start || end > (int64_t)text.n)
		return refuse(errors, index, end < start || end > (int64_t)text.n ? "end" : "start",
		    "lies outside the text of the source (offsets are bytes from 0, end not included)");
	if (str_equal((struct str){ text.p + start, (size_t)(end - start) }, quote))
		return true;
	buf_init(&message, 256);
	buf_addf(&message, "is not what stands in the source from byte %lld to %lld", (long long)start, (long long)end);
	found = memmem(text.p, text.n, quote.p, quote.n);
	if (found != NULL)
		buf_addf(&message, "; these words start at byte %zu", (size_t)(found - text.p));
	refuse(errors, index, "quote", buf_text(&message));
	buf_free(&message);
	return false;
}

bool evidence_check(const json_t *item, size_t index, struct str deal, const json_t *source, json_t *errors)
{
	bool holds = true;

	if (!str_equal(json_member_str(item, "side"), STR("customer")))
		holds = refuse(errors, index, "side", "only what the customer said is evidence");
	if (source == NULL)
		return refuse(errors, index, "source", "there is no such source: store the conversation with evidence.source first");
	if (!str_equal(json_member_str(source, "deal"), deal))
		return refuse(errors, index, "source", "belongs to another deal");
	return check_quote(item, index, json_member_str(source, "text"), errors) && holds;
}

size_t evidence_tx_exists(struct store_tx *tx, const char *id)
{
	return store_tx_add(tx, STATEMENT_evidence_exists, STORE_ANY, "t", id);
}

void evidence_tx_insert(struct store_tx *tx, const char *id, struct str deal, const json_t *item, struct str run, int64_t at_us,
                        enum store_expect expect)
{
	const json_t *detail = json_member(item, "detail");

	store_tx_add(tx, STATEMENT_evidence_insert, expect, "tssssissiissssijsi", id, deal, json_member_str(item, "playbook"),
	    json_member_str(item, "dimension"), json_member_str(item, "claim"), json_member_int(item, "polarity", 0), json_member_str(item, "quote"),
	    json_member_str(item, "source"), json_member_int(item, "start", 0), json_member_int(item, "end", 0), json_member_str(item, "speaker"),
	    json_member_str(item, "side"), json_member_str(item, "said_at"), json_member_str(item, "extractor"),
	    json_member_int(item, "confidence_bp", 0), json_is_null(detail) ? NULL : detail, run, at_us);
}

/* -- reading -------------------------------------------------------------------------------------------------------- */

static struct str or_null(struct str s)
{
	return s.n > 0 ? s : (struct str){ NULL, 0 };
}

size_t evidence_tx_list(struct store_tx *tx, struct str deal, struct str playbook, struct str dimension)
{
	return store_tx_add(tx, STATEMENT_evidence_list, STORE_ANY, "sssi", deal, or_null(playbook), or_null(dimension), (int64_t)EVIDENCE_LIST_MAX);
}

/* Columns of evidence_list, in order; the deal is the asker's own. */
enum {
	COLUMN_ID, COLUMN_DEAL, COLUMN_PLAYBOOK, COLUMN_DIMENSION, COLUMN_CLAIM, COLUMN_POLARITY, COLUMN_QUOTE, COLUMN_SOURCE, COLUMN_START,
	COLUMN_END, COLUMN_SPEAKER, COLUMN_SIDE, COLUMN_SAID_AT, COLUMN_EXTRACTOR, COLUMN_CONFIDENCE, COLUMN_DETAIL, COLUMN_RUN, COLUMN_RECORDED_AT,
};

json_t *evidence_json(const struct store_result *r, size_t row, enum row_times times)
{
	json_t *o = json_object();

	row_put_text(o, "id", r, row, COLUMN_ID);
	row_put_text(o, "playbook", r, row, COLUMN_PLAYBOOK);
	row_put_text(o, "dimension", r, row, COLUMN_DIMENSION);
	row_put_text(o, "claim", r, row, COLUMN_CLAIM);
	row_put_int(o, "polarity", r, row, COLUMN_POLARITY);
	row_put_text(o, "quote", r, row, COLUMN_QUOTE);
	row_put_text(o, "source", r, row, COLUMN_SOURCE);
	row_put_int(o, "start", r, row, COLUMN_START);
	row_put_int(o, "end", r, row, COLUMN_END);
	row_put_text(o, "speaker", r, row, COLUMN_SPEAKER);
	row_put_text(o, "side", r, row, COLUMN_SIDE);
	row_put_text(o, "said_at", r, row, COLUMN_SAID_AT);
	row_put_text(o, "extractor", r, row, COLUMN_EXTRACTOR);
	row_put_int(o, "confidence_bp", r, row, COLUMN_CONFIDENCE);
	if (!store_is_null(r, row, COLUMN_DETAIL))
		row_put_json(o, "detail", r, row, COLUMN_DETAIL);
	row_put_text(o, "run", r, row, COLUMN_RUN);
	row_put_time(o, "recorded_at", r, row, COLUMN_RECORDED_AT, times);
	return o;
}

json_t *evidence_list_json(const struct store_result *r, enum row_times times)
{
	json_t *list = json_object(), *items = json_array();

	for (size_t i = 0; i < r->rows; i++)
		json_array_append_new(items, evidence_json(r, i, times));
	json_put(list, "items", items);
	return list;
}

/* -- pages ---------------------------------------------------------------------------------------------------------- */

/* A position is [said_at or "", source, start, id] of the last item. */
int evidence_tx_page(struct store_tx *tx, const struct evidence_query *query, size_t *op, struct errbuf *e)
{
	struct str none = { NULL, 0 }, said_at = none, source = none, id = none;
	json_t *position = NULL;
	int64_t start = 0;
	int code = 0;

	if (query->cursor.n > 0) {
		position = cursor_decode(query->cursor, 4, e);
		if (position == NULL)
			return ERR_INVALID;
		said_at = json_str(json_array_get(position, 0));
		source = json_str(json_array_get(position, 1));
		start = json_integer_value(json_array_get(position, 2));
		id = json_str(json_array_get(position, 3));
		if (said_at.p == NULL || source.p == NULL || id.p == NULL || !json_is_integer(json_array_get(position, 2)))
			code = err_set(e, ERR_INVALID, "cursor: not one that this list has given");
	}
	if (code == 0)
		*op = store_tx_add(tx, STATEMENT_evidence_page, STORE_ANY, "sssissis", query->deal, or_null(query->playbook),
		    or_null(query->dimension), page_limit(query->limit) + 1, said_at, source, start, id);
	json_decref(position);
	return code;
}

json_t *evidence_page_json(const struct store_result *r, int64_t asked)
{
	size_t limit = (size_t)page_limit(asked), n = r->rows > limit ? limit : r->rows;
	json_t *items = json_array(), *position = NULL;

	for (size_t i = 0; i < n; i++)
		json_array_append_new(items, evidence_json(r, i, ROW_TIMES_TEXT));
	if (r->rows > limit) {
		struct str said_at = store_text(r, n - 1, COLUMN_SAID_AT);

		position = json_array();
		json_array_append_new(position, json_new_str(said_at.p != NULL ? said_at : STR("")));
		json_array_append_new(position, json_new_str(store_text(r, n - 1, COLUMN_SOURCE)));
		json_array_append_new(position, json_integer(store_int(r, n - 1, COLUMN_START)));
		json_array_append_new(position, json_new_str(store_text(r, n - 1, COLUMN_ID)));
	}
	return page_json(items, position);
}
