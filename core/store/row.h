/* Rows of results as JSON: the small pieces that records.c, runs.c … share. Scripts see times as unix microseconds, clients as RFC 3339 text. */
#pragma once

#include "store/store.h"

enum row_times { ROW_TIMES_US, ROW_TIMES_TEXT };

enum { ROWS_DEFAULT = 50, ROWS_MAX = 200 };       /* of a page */

/* Each puts null where the column is null. */
void row_put_text(json_t *object, const char *key, const struct store_result *r, size_t row, size_t column);
void row_put_int(json_t *object, const char *key, const struct store_result *r, size_t row, size_t column);
void row_put_time(json_t *object, const char *key, const struct store_result *r, size_t row, size_t column, enum row_times times);
void row_put_json(json_t *object, const char *key, const struct store_result *r, size_t row, size_t column);
json_t *row_json(const struct store_result *r, size_t row, size_t column);   /* new reference; null where it is null */

/* A page was asked for with one row more than wanted: {items, next_cursor}, items taken; next_cursor null unless there is more. position, taken, is
 * where the page ends: what cursor_decode gives back. */
json_t *page_json(json_t *items, json_t *position);
int64_t page_limit(int64_t asked);                                           /* 0 = the default; clamped to 1 … ROWS_MAX */

/* Cursors are opaque to clients: hex of canonical JSON. */
json_t *cursor_encode(json_t *position /* taken */);                         /* new reference, a string */
/* New reference to an array of `n` members, or NULL with ERR_INVALID's text. */
json_t *cursor_decode(struct str cursor, size_t n, struct errbuf *e);
/* For lists by (time, newest first): where to go on; the beginning when the cursor is empty. at and id live as long as *position. */
MUST_CHECK int cursor_newest(struct str cursor, json_t **position, int64_t *at_us, struct str *id, struct errbuf *e);
