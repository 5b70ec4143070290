#include "store/runs.h"

/* Journals and logs are read in longer pages than lists: a caller pages through all of one run. */
enum { LINES_MAX = 1000 };

static struct str or_null(struct str s)
{
	return s.n > 0 ? s : (struct str){ NULL, 0 };
}

static int64_t lines_limit(int64_t asked)
{
	return asked <= 0 || asked > LINES_MAX ? LINES_MAX : asked;
}

/* A page of rows, newest first: the position is [time, id] of the last one. */
static json_t *newest_page(const struct store_result *r, int64_t asked, json_t *(*json)(const struct store_result *r, size_t row), size_t at_column)
{
	size_t limit = (size_t)page_limit(asked), n = r->rows > limit ? limit : r->rows;
	json_t *items = json_array(), *position = NULL;

	for (size_t i = 0; i < n; i++)
		json_array_append_new(items, json(r, i));
	if (r->rows > limit) {
		position = json_array();
		json_array_append_new(position, json_integer(store_int(r, n - 1, at_column)));
		json_array_append_new(position, json_new_str(store_text(r, n - 1, 0)));
	}
	return page_json(items, position);
}

/* -- runs ----------------------------------------------------------------------------------------------------------- */

enum {
	RUN_ID, RUN_AGENT, RUN_CAPABILITY, RUN_STATUS, RUN_INPUT, RUN_OUTPUT, RUN_ERROR, RUN_BUNDLE, RUN_CREATED_AT, RUN_STARTED_AT, RUN_ENDED_AT,
	RUN_PARENT, RUN_COST_NANOS, RUN_TOKENS, RUN_CPU_US, RUN_SUBJECT, RUN_ORIGIN, RUN_RETRY_OF, RUN_CONTINUED_FROM, RUN_CONTINUED_AS,
};

size_t runs_tx_get(struct store_tx *tx, struct str id)
{
	return store_tx_add(tx, STATEMENT_run_get, STORE_ANY, "s", id);
}

size_t runs_tx_get_last(struct store_tx *tx, struct str id)
{
	return store_tx_add(tx, STATEMENT_run_get_last, STORE_ANY, "s", id);
}

size_t runs_tx_waits(struct store_tx *tx, struct str id)
{
	return store_tx_add(tx, STATEMENT_waits_kinds_of_run, STORE_ANY, "s", id);
}

json_t *runs_waits_json(const struct store_result *r)
{
	json_t *kinds = json_array();

	for (size_t i = 0; i < r->rows; i++) {
		bool known = false;
		for (size_t k = 0; k < json_array_size(kinds) && !known; k++)
			known = str_equal(json_str(json_array_get(kinds, k)), store_text(r, i, 0));
		if (!known)
			json_array_append_new(kinds, json_new_str(store_text(r, i, 0)));
	}
	return kinds;
}

json_t *runs_json(const struct store_result *r, size_t row)
{
	json_t *o = json_object();

	row_put_text(o, "id", r, row, RUN_ID);
	row_put_text(o, "agent", r, row, RUN_AGENT);
	row_put_text(o, "capability", r, row, RUN_CAPABILITY);
	row_put_text(o, "status", r, row, RUN_STATUS);
	row_put_json(o, "input", r, row, RUN_INPUT);
	row_put_json(o, "output", r, row, RUN_OUTPUT);
	row_put_json(o, "error", r, row, RUN_ERROR);
	row_put_text(o, "bundle", r, row, RUN_BUNDLE);
	row_put_time(o, "created_at", r, row, RUN_CREATED_AT, ROW_TIMES_TEXT);
	row_put_time(o, "started_at", r, row, RUN_STARTED_AT, ROW_TIMES_TEXT);
	row_put_time(o, "ended_at", r, row, RUN_ENDED_AT, ROW_TIMES_TEXT);
	row_put_text(o, "parent", r, row, RUN_PARENT);
	row_put_int(o, "cost_nanos", r, row, RUN_COST_NANOS);
	row_put_int(o, "tokens", r, row, RUN_TOKENS);
	json_put_int(o, "cpu_ms", store_int(r, row, RUN_CPU_US) / 1000);
	row_put_text(o, "subject", r, row, RUN_SUBJECT);
	row_put_json(o, "forked_from", r, row, RUN_ORIGIN);
	row_put_text(o, "retry_of", r, row, RUN_RETRY_OF);
	row_put_text(o, "continued_from", r, row, RUN_CONTINUED_FROM);
	row_put_text(o, "continued_as", r, row, RUN_CONTINUED_AS);
	return o;
}

int runs_tx_list(struct store_tx *tx, const struct runs_query *query, size_t *op, struct errbuf *e)
{
	enum statement statement = STATEMENT_run_list;
	json_t *position;
	int64_t at_us;
	struct str id;
	int code;

	code = cursor_newest(query->cursor, &position, &at_us, &id, e);
	if (code != 0)
		return code;
	if (query->waiting_for.n > 0) {
		*op = store_tx_add(tx, STATEMENT_run_list_waiting_for, STORE_ANY, "isisssss", at_us, id, page_limit(query->limit) + 1,
		    or_null(query->agent), or_null(query->capability), or_null(query->status), or_null(query->subject), query->waiting_for);
		json_decref(position);
		return 0;
	}
	if (query->subject.n > 0)
		statement = STATEMENT_run_list_of_subject;
	else if (query->agent.n > 0)
		statement = STATEMENT_run_list_of_agent;
	*op = store_tx_add(tx, statement, STORE_ANY, "isissss", at_us, id, page_limit(query->limit) + 1, or_null(query->agent),
	    or_null(query->capability), or_null(query->status), or_null(query->subject));
	json_decref(position);
	return 0;
}

json_t *runs_list_json(const struct store_result *r, int64_t limit)
{
	return newest_page(r, limit, runs_json, RUN_CREATED_AT);
}

/* -- journals and logs ---------------------------------------------------------------------------------------------- */

size_t runs_tx_journal(struct store_tx *tx, struct str run, int64_t after, int64_t limit)
{
	return store_tx_add(tx, STATEMENT_journal_list, STORE_ANY, "sii", run, after, lines_limit(limit));
}

json_t *runs_journal_json(const struct store_result *r, size_t row, enum row_times times)
{
	json_t *o = json_object();

	row_put_int(o, "index", r, row, 0);
	row_put_int(o, "effect", r, row, 1);
	row_put_text(o, "name", r, row, 2);
	row_put_text(o, "digest", r, row, 3);
	row_put_time(o, "at", r, row, 4, times);
	row_put_json(o, "outcome", r, row, 5);
	return o;
}

size_t runs_tx_logs(struct store_tx *tx, struct str run, int64_t after, int64_t limit)
{
	return store_tx_add(tx, STATEMENT_run_log_list, STORE_ANY, "sii", run, after, lines_limit(limit));
}

json_t *runs_log_json(const struct store_result *r, size_t row, enum row_times times)
{
	json_t *o = json_object();

	row_put_int(o, "n", r, row, 0);
	row_put_int(o, "index", r, row, 1);
	row_put_time(o, "at", r, row, 2, times);
	row_put_text(o, "level", r, row, 3);
	row_put_text(o, "message", r, row, 4);
	row_put_json(o, "fields", r, row, 5);
	return o;
}

/* -- approvals ------------------------------------------------------------------------------------------------------ */

enum {
	APPROVAL_ID, APPROVAL_RUN, APPROVAL_EFFECT, APPROVAL_TITLE, APPROVAL_BODY, APPROVAL_SUBJECT, APPROVAL_OWNER, APPROVAL_STATUS,
	APPROVAL_DECISION, APPROVAL_NOTE, APPROVAL_ASKED_AT, APPROVAL_EXPIRES_AT, APPROVAL_DECIDED_AT, APPROVAL_DECIDED_BY,
};

size_t approvals_tx_get(struct store_tx *tx, struct str id)
{
	return store_tx_add(tx, STATEMENT_approval_get, STORE_ANY, "s", id);
}

json_t *approvals_json(const struct store_result *r, size_t row)
{
	json_t *o = json_object();

	row_put_text(o, "id", r, row, APPROVAL_ID);
	row_put_text(o, "run", r, row, APPROVAL_RUN);
	row_put_int(o, "effect", r, row, APPROVAL_EFFECT);
	row_put_text(o, "title", r, row, APPROVAL_TITLE);
	row_put_json(o, "body", r, row, APPROVAL_BODY);
	row_put_text(o, "subject", r, row, APPROVAL_SUBJECT);
	row_put_text(o, "owner", r, row, APPROVAL_OWNER);
	row_put_text(o, "status", r, row, APPROVAL_STATUS);
	row_put_text(o, "decision", r, row, APPROVAL_DECISION);
	row_put_text(o, "note", r, row, APPROVAL_NOTE);
	row_put_time(o, "asked_at", r, row, APPROVAL_ASKED_AT, ROW_TIMES_TEXT);
	row_put_time(o, "expires_at", r, row, APPROVAL_EXPIRES_AT, ROW_TIMES_TEXT);
	row_put_time(o, "decided_at", r, row, APPROVAL_DECIDED_AT, ROW_TIMES_TEXT);
	row_put_text(o, "decided_by", r, row, APPROVAL_DECIDED_BY);
	return o;
}

int approvals_tx_list(struct store_tx *tx, struct str status, int64_t limit, struct str cursor, size_t *op, struct errbuf *e)
{
	json_t *position;
	int64_t at_us;
	struct str id;
	int code;

	code = cursor_newest(cursor, &position, &at_us, &id, e);
	if (code != 0)
		return code;
	limit = page_limit(limit) + 1;
	if (status.n > 0)
		*op = store_tx_add(tx, STATEMENT_approval_list_of_status, STORE_ANY, "isis", at_us, id, limit, status);
	else
		*op = store_tx_add(tx, STATEMENT_approval_list, STORE_ANY, "isi", at_us, id, limit);
	json_decref(position);
	return 0;
}

json_t *approvals_list_json(const struct store_result *r, int64_t limit)
{
	return newest_page(r, limit, approvals_json, APPROVAL_ASKED_AT);
}
