/*
 * The evidence ledger: claims about a deal, each with the words that carry it. Items are added, never changed; the id of an item
 * and of a source is made from its content. Whoever adds an item has shown evidence_check the text of its source first.
 */
#pragma once

#include "base/crypto.h"
#include "base/ids.h"
#include "store/row.h"

enum {
	EVIDENCE_LIST_MAX = 10000,
	SOURCE_TEXT_MAX = 4 << 20,       /* bytes: a day of talk */
};

/* Sources: records of kind `source`, version 1, never changed. */
void source_id(struct str deal, struct str text, char out[SHA256_HEX_SIZE]);
/* One operation that adds it and its index; STORE_MUST. body: {deal, form, title, text, at}. */
void source_tx_insert(struct store_tx *tx, const char *id, const json_t *body, struct str run, int64_t at_us);

/* Does the item hold against its source (its record body, NULL: there is none)? Appends {pointer, message} for item `index` to errors otherwise. */
bool evidence_check(const json_t *item, size_t index, struct str deal, const json_t *source, json_t *errors);
void evidence_id(struct str deal, const json_t *item, char out[UUID_TEXT_SIZE]);
size_t evidence_tx_exists(struct store_tx *tx, const char *id);                 /* a row when it is there */
/* STORE_MUST: it was not there when looked; STORE_ANY: whether or not. */
void evidence_tx_insert(struct store_tx *tx, const char *id, struct str deal, const json_t *item, struct str run, int64_t at_us,
                        enum store_expect expect);

/* In the order in which things were said. playbook, dimension: empty for all. */
size_t evidence_tx_list(struct store_tx *tx, struct str deal, struct str playbook, struct str dimension);
/* The same in pages. */
struct evidence_query {
	struct str deal, playbook, dimension, cursor;    /* empty: all, all, the first page */
	int64_t limit;
};
MUST_CHECK int evidence_tx_page(struct store_tx *tx, const struct evidence_query *query, size_t *op, struct errbuf *e);
json_t *evidence_page_json(const struct store_result *r, int64_t limit);                       /* {items, next_cursor}, times as text */
json_t *evidence_json(const struct store_result *r, size_t row, enum row_times times);         /* ITEM with id, run, recorded_at */
json_t *evidence_list_json(const struct store_result *r, enum row_times times);                /* {items} */
