#include "store/outcomes.h"

#include <string.h>

enum {
	ID, RUN, EFFECT, ATTEMPT, NAME, CLASS, KEY, REQUEST, SENT_AT, UNKNOWN_AT, STATUS, RESULT, ERROR, NOTE, DECIDED_AT, DECIDED_BY,
};

size_t outcomes_tx_get(struct store_tx *tx, struct str run, int64_t effect)
{
	return store_tx_add(tx, STATEMENT_outcome_get, STORE_ANY, "si", run, effect);
}

json_t *outcomes_json(const struct store_result *r, size_t row)
{
	json_t *o = json_object();

	row_put_text(o, "id", r, row, ID);
	row_put_text(o, "run", r, row, RUN);
	row_put_int(o, "effect", r, row, EFFECT);
	row_put_int(o, "attempt", r, row, ATTEMPT);
	row_put_text(o, "name", r, row, NAME);
	row_put_text(o, "class", r, row, CLASS);
	row_put_text(o, "key", r, row, KEY);
	row_put_json(o, "request", r, row, REQUEST);
	row_put_time(o, "sent_at", r, row, SENT_AT, ROW_TIMES_TEXT);
	row_put_time(o, "unknown_at", r, row, UNKNOWN_AT, ROW_TIMES_TEXT);
	row_put_text(o, "status", r, row, STATUS);
	row_put_json(o, "result", r, row, RESULT);
	row_put_json(o, "error", r, row, ERROR);
	row_put_text(o, "note", r, row, NOTE);
	row_put_time(o, "decided_at", r, row, DECIDED_AT, ROW_TIMES_TEXT);
	row_put_text(o, "decided_by", r, row, DECIDED_BY);
	return o;
}

bool outcome_status_is_known(const char *status)
{
	static const char *const known[] = { "unknown", "happened", "not_happened", "failed", "withdrawn" };

	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		if (strcmp(status, known[i]) == 0)
			return true;
	return false;
}

int outcomes_tx_list(struct store_tx *tx, struct str status, int64_t limit, struct str cursor, size_t *op, struct errbuf *e)
{
	json_t *position;
	int64_t at_us;
	struct str id;
	int code = cursor_newest(cursor, &position, &at_us, &id, e);

	if (code != 0)
		return code;
	limit = page_limit(limit) + 1;
	if (status.n > 0)
		*op = store_tx_add(tx, STATEMENT_outcome_list_of_status, STORE_ANY, "isis", at_us, id, limit, status);
	else
		*op = store_tx_add(tx, STATEMENT_outcome_list, STORE_ANY, "isi", at_us, id, limit);
	json_decref(position);
	return 0;
}

json_t *outcomes_list_json(const struct store_result *r, int64_t asked)
{
	size_t limit = (size_t)page_limit(asked), n = r->rows > limit ? limit : r->rows;
	json_t *items = json_array(), *position = NULL;

	for (size_t i = 0; i < n; i++)
		json_array_append_new(items, outcomes_json(r, i));
	if (r->rows > limit) {
		position = json_array();
		json_array_append_new(position, json_integer(store_int(r, n - 1, UNKNOWN_AT)));
		json_array_append_new(position, json_new_str(store_text(r, n - 1, ID)));
	}
	return page_json(items, position);
}

int outcome_decision_check(const struct outcome_decision *decision, struct errbuf *e)
{
	bool happened = strcmp(decision->status, "happened") == 0, failed = strcmp(decision->status, "failed") == 0;

	if (happened && !json_is_object(decision->result))
		return err_set(e, ERR_SCHEMA, "happened goes with a result: what the script shall see, like {\"status\": 200, \"headers\": {}, \"body\": \"\"}");
	if (!happened && decision->result && !json_is_null(decision->result))
		return err_set(e, ERR_SCHEMA, "a result goes with happened alone");
	if (failed && !json_is_object(decision->error))
		return err_set(e, ERR_SCHEMA, "failed goes with an error: what the script shall catch, like {\"code\": \"payment.refused\", \"message\": \"…\"}");
	if (!failed && decision->error && !json_is_null(decision->error))
		return err_set(e, ERR_SCHEMA, "an error goes with failed alone");
	return 0;
}

static const json_t *or_null(const json_t *value)
{
	return json_is_null(value) ? NULL : value;
}

size_t outcomes_tx_decide(struct store_tx *tx, const struct outcome_decision *d)
{
	struct str note = d->note.n ? d->note : (struct str){ NULL, 0 };

	if (d->attempt)
		return store_tx_add(tx, STATEMENT_outcome_decide, STORE_MUST, "siitjjsis", d->run, d->effect, d->attempt, d->status, or_null(d->result),
		                    or_null(d->error), note, d->at_us, d->by);
	return store_tx_add(tx, STATEMENT_outcome_decide, STORE_MUST, "sintjjsis", d->run, d->effect, d->status, or_null(d->result), or_null(d->error),
	                    note, d->at_us, d->by);
}

static bool json_same(const json_t *a, const json_t *b)
{
	bool no_a = !a || json_is_null(a), no_b = !b || json_is_null(b);

	return no_a || no_b ? no_a == no_b : json_equal(a, b);
}

bool outcome_is_decided_so(const json_t *outcome, const struct outcome_decision *d)
{
	return str_is(json_member_str(outcome, "status"), d->status) && str_equal(json_member_str(outcome, "decided_by"), d->by) &&
	       str_equal(json_member_str(outcome, "note"), d->note) && (!d->attempt || json_member_int(outcome, "attempt", 0) == d->attempt) &&
	       json_same(json_member(outcome, "result"), d->result) && json_same(json_member(outcome, "error"), d->error);
}
