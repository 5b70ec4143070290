#include "store/handoffs.h"

enum { HANDOFF_CREATED_AT = 14 };

json_t *handoffs_json(const struct store_result *r, size_t row)
{
	static const struct {
		const char *name;
		char type;             /* t text, i integer, m time, j document */
	} columns[] = {
		{ "id", 't' }, { "status", 't' }, { "type", 't' }, { "version", 'i' }, { "sender", 't' }, { "receiver", 't' }, { "capability", 't' },
		{ "key", 't' }, { "correlation", 't' }, { "depth", 'i' }, { "sender_run", 't' }, { "run", 't' }, { "subject", 't' }, { "replays", 'i' },
		{ "created_at", 'm' }, { "ended_at", 'm' }, { "reasons", 'j' }, { "payload", 'j' }, { "replay_at", 'm' },
	};
	json_t *o = json_object();

	for (size_t i = 0; i < sizeof columns / sizeof *columns; i++) {
		if (columns[i].type == 't')
			row_put_text(o, columns[i].name, r, row, i);
		else if (columns[i].type == 'i')
			row_put_int(o, columns[i].name, r, row, i);
		else if (columns[i].type == 'm')
			row_put_time(o, columns[i].name, r, row, i, ROW_TIMES_TEXT);
		else
			row_put_json(o, columns[i].name, r, row, i);
	}
	return o;
}

static struct str or_null(struct str s)
{
	return s.n > 0 ? s : (struct str){ NULL, 0 };
}

int handoffs_tx_list(struct store_tx *tx, struct str status, struct str correlation, struct str type, int64_t limit, struct str cursor, struct errbuf *e)
{
	json_t *position;
	int64_t at_us;
	struct str id;
	int code = cursor_newest(cursor, &position, &at_us, &id, e);

	if (code)
		return code;
	store_tx_add(tx, status.n ? STATEMENT_handoff_list_of_status : STATEMENT_handoff_list, STORE_ANY, "isisss", at_us, id, page_limit(limit) + 1,
	             or_null(status), or_null(correlation), or_null(type));
	json_decref(position);
	return 0;
}

json_t *handoffs_list_json(const struct store_result *r, int64_t asked)
{
	size_t limit = (size_t)page_limit(asked), n = r->rows > limit ? limit : r->rows;
	json_t *items = json_array(), *position = NULL;

	for (size_t i = 0; i < n; i++)
		json_array_append_new(items, handoffs_json(r, i));
	if (r->rows > limit) {
		position = json_array();
		json_array_append_new(position, json_integer(store_int(r, n - 1, HANDOFF_CREATED_AT)));
		json_array_append_new(position, json_new_str(store_text(r, n - 1, 0)));
	}
	return page_json(items, position);
}
