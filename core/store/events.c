#include "store/events.h"

enum { EVENT_SEQ, EVENT_ID, EVENT_TYPE, EVENT_SOURCE, EVENT_SUBJECT, EVENT_DATA, EVENT_AT, EVENT_RUN };

static struct str or_null(struct str s)
{
	return s.n > 0 ? s : (struct str){ NULL, 0 };
}

size_t events_tx_emit(struct store_tx *tx, const struct event *event)
{
	return store_tx_add(tx, STATEMENT_event_insert, STORE_ANY, "ssssjis", event->id, event->type, event->source, or_null(event->subject),
	    event->data, event->at_us, or_null(event->run));
}

size_t events_tx_list(struct store_tx *tx, int64_t after_seq, struct str type, int64_t limit)
{
	limit = page_limit(limit);
	if (type.n > 0)
		return store_tx_add(tx, STATEMENT_event_list_of_type, STORE_ANY, "iis", after_seq, limit, type);
	return store_tx_add(tx, STATEMENT_event_list, STORE_ANY, "ii", after_seq, limit);
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
	return o;
}
