/* The outbox of events: who emits inserts a row; the engine (run/) dispatches. */
#pragma once

#include "store/row.h"

struct event {
	struct str id, type, source, subject;   /* subject may be empty */
	struct str key;                         /* of order; empty: the subject */
	const json_t *data;                     /* may be NULL */
	int64_t at_us;
	struct str run;                         /* that emits it; may be empty */
};
/* The same id again changes nothing (STORE_ANY): an event happens once. */
size_t events_tx_emit(struct store_tx *tx, const struct event *event);
/* After a sequence number, in order; type may be empty. */
size_t events_tx_list(struct store_tx *tx, int64_t after_seq, struct str type, int64_t limit);
/* The same of types that begin with a prefix, among the next `window` numbers alone. */
size_t events_tx_list_prefix(struct store_tx *tx, int64_t after_seq, struct str prefix, int64_t window, int64_t limit);
int64_t events_seq(const struct store_result *r, size_t row);
json_t *events_json(const struct store_result *r, size_t row);   /* CloudEvents 1.0: {specversion, id, type, source, subject?, time, data, partitionkey?} */
size_t events_tx_last(struct store_tx *tx);                      /* one row, its first column the newest number */

/* Dead letters of a tenant, newest first, in pages; text times. ERR_INVALID: a cursor of something else. */
MUST_CHECK int events_tx_dead(struct store_tx *tx, int64_t limit, struct str cursor, size_t *op, struct errbuf *e);
json_t *events_dead_list_json(const struct store_result *r, int64_t limit);
