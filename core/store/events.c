#include "store/events.h"

#include <string.h>

enum { EVENT_SEQ, EVENT_ID, EVENT_TYPE, EVENT_SOURCE, EVENT_SUBJECT, EVENT_DATA, EVENT_AT, EVENT_RUN, EVENT_KEY };

static struct str or_null(struct str s)
{
	return s.n > 0 ? s : (struct str){ NULL, 0 };
}

size_t events_tx_emit(struct store_tx *tx, const struct event *event)
{
	return store_tx_add(tx, STATEMENT_event_insert_keyed, STORE_ANY, "ssssjiss", event->id, event->type, event->source, or_null(event->subject),
	    event->data, event->at_us, or_null(event->run), or_null(event->key.n ? event->key : event->subject));
}

size_t events_tx_list(struct store_tx *tx, int64_t after_seq, struct str type, int64_t limit)
{
	limit = page_limit(limit);
	if (type.n > 0)
		return store_tx_add(tx, STATEMENT_event_list_of_type, STORE_ANY, "iis", after_seq, limit, type);
	return store_tx_add(tx, STATEMENT_event_list, STORE_ANY, "ii", after_seq, limit);
}

size_t events_tx_list_prefix(struct store_tx *tx, int64_t after_seq, struct str prefix, int64_t window, int64_t limit)
{
	return store_tx_add(tx, STATEMENT_events_of_prefix, STORE_ANY, "iisi", after_seq, page_limit(limit), prefix, window);
}

size_t events_tx_last(struct store_tx *tx)
{
	return store_tx_add(tx, STATEMENT_event_last, STORE_ANY, "");
}

int64_t events_seq(const struct store_result *r, size_t row)
{
	return store_int(r, row, EVENT_SEQ);
}

json_t *events_json(const struct store_result *r, size_t row)
{
	json_t *o = json_object();

	json_put_text(o, "specversion", "1.0");
	row_put_text(o, "id", r, row, EVENT_ID);
	row_put_text(o, "type", r, row, EVENT_TYPE);
	row_put_text(o, "source", r, row, EVENT_SOURCE);
	if (!store_is_null(r, row, EVENT_SUBJECT))
		row_put_text(o, "subject", r, row, EVENT_SUBJECT);
	row_put_time(o, "time", r, row, EVENT_AT, ROW_TIMES_TEXT);
	row_put_json(o, "data", r, row, EVENT_DATA);
	if (!store_is_null(r, row, EVENT_RUN))
		row_put_text(o, "perigeerun", r, row, EVENT_RUN);
	if (!store_is_null(r, row, EVENT_KEY) && !str_equal(store_text(r, row, EVENT_KEY), store_text(r, row, EVENT_SUBJECT)))
		row_put_text(o, "partitionkey", r, row, EVENT_KEY);
	return o;
}

/* -- dead letters -- */

enum {
	DEAD_ID, DEAD_EVENT, DEAD_TYPE, DEAD_SOURCE, DEAD_SUBJECT, DEAD_AGENT, DEAD_CAPABILITY, DEAD_KEY, DEAD_ATTEMPTS, DEAD_RUNS, DEAD_ERROR, DEAD_AT,
	DEAD_DATA, DEAD_EVENT_AT
};

int events_tx_dead(struct store_tx *tx, int64_t limit, struct str cursor, size_t *op, struct errbuf *e)
{
	json_t *position;
	int64_t at_us;
	struct str id;
	int code = cursor_newest(cursor, &position, &at_us, &id, e);

	if (code)
		return code;
	*op = store_tx_add(tx, STATEMENT_deliveries_dead, STORE_ANY, "isi", at_us, id, page_limit(limit) + 1);
	json_decref(position);
	return 0;
}

/* "A B C" → ["A", "B", "C"]. */
static json_t *words(struct str text)
{
	json_t *list = json_array();
	const char *at = text.p, *end = text.p ? text.p + text.n : NULL, *blank;

	for (; at && at < end; at = blank + 1) {
		blank = memchr(at, ' ', (size_t)(end - at));
		if (!blank)
			blank = end;
		json_array_append_new(list, json_new_str((struct str){ at, (size_t)(blank - at) }));
	}
	return list;
}

static json_t *dead_json(const struct store_result *r, size_t row)
{
	json_t *o = json_object(), *event = json_object();

	row_put_text(o, "id", r, row, DEAD_ID);
	row_put_text(o, "agent", r, row, DEAD_AGENT);
	row_put_text(o, "capability", r, row, DEAD_CAPABILITY);
	row_put_text(o, "key", r, row, DEAD_KEY);
	row_put_int(o, "attempts", r, row, DEAD_ATTEMPTS);
	json_put(o, "runs", words(store_text(r, row, DEAD_RUNS)));
	row_put_json(o, "error", r, row, DEAD_ERROR);
	row_put_time(o, "at", r, row, DEAD_AT, ROW_TIMES_TEXT);
	row_put_text(event, "id", r, row, DEAD_EVENT);
	row_put_text(event, "type", r, row, DEAD_TYPE);
	row_put_text(event, "source", r, row, DEAD_SOURCE);
	row_put_text(event, "subject", r, row, DEAD_SUBJECT);
	row_put_time(event, "time", r, row, DEAD_EVENT_AT, ROW_TIMES_TEXT);
	row_put_json(event, "data", r, row, DEAD_DATA);
	json_put(o, "event", event);
	return o;
}

json_t *events_dead_list_json(const struct store_result *r, int64_t limit)
{
	json_t *items = json_array(), *position = NULL;
	size_t shown = (size_t)page_limit(limit);

	for (size_t i = 0; i < r->rows && i < shown; i++)
		json_array_append_new(items, dead_json(r, i));
	if (r->rows > shown) {
		position = json_array();
		json_array_append_new(position, json_integer(store_int(r, shown - 1, DEAD_AT)));
		json_array_append_new(position, json_new_str(store_text(r, shown - 1, DEAD_ID)));
	}
	return page_json(items, position);
}
