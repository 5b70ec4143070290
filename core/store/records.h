/*
 * Records: JSON documents of a declared kind, with version, history and indexed fields. The same functions serve the effects
 * (run/effects_records.c), the HTTP API and the command line. A read or list is one operation; a change is two transactions:
 * records_tx_state read, then records_plan here, then records_tx_change written; a race between the two makes the second end with
 * ERR_CONFLICT, and the caller begins again.
 *
 * Kinds are those of the bundle's manifest and `source`, which only evidence.source writes.
 */
#pragma once

#include "store/row.h"

enum {
	RECORD_BODY_MAX = 1 << 20,       /* bytes of canonical JSON */
	RECORD_FILTERS_MAX = 4,
	RECORD_ANY_VERSION = -1,
};

/* -- checks -- */
/* ERR_NOT_FOUND: an unknown kind, the text lists those that there are. ERR_FORBIDDEN: reserved, and `write`. */
MUST_CHECK int records_check_kind(const json_t *manifest, struct str kind, bool write, struct errbuf *e);
MUST_CHECK int records_check_id(struct str id, struct errbuf *e);                    /* ERR_INVALID */
/* ERR_INVALID: no object; ERR_TOO_LARGE; ERR_SCHEMA with {pointer, message} in errors. coerce: json_schema_check. */
MUST_CHECK int records_check_body(const json_t *manifest, struct str kind, json_t **body, bool coerce, json_t *errors, struct errbuf *e);

/* -- reading: each adds one operation and returns its index -- */
size_t records_tx_get(struct store_tx *tx, struct str kind, struct str id);
size_t records_tx_history(struct store_tx *tx, struct str kind, struct str id, int64_t before_version /* 0: from the newest */, int64_t limit);
json_t *records_json(const struct store_result *r, size_t row, enum row_times times);          /* {kind, id, version, updated_at, run, body} */
json_t *records_history_json(const struct store_result *r, size_t row, enum row_times times);  /* {version, at, run, actor, body} */

struct records_query {
	struct str kind;
	const json_t *where;             /* {field: scalar}, at most RECORD_FILTERS_MAX; NULL: all. A field may be a path: "address.city" */
	struct str sort;                 /* "field", "-field"; empty: by id */
	int64_t limit;                   /* 0: the default */
	struct str cursor;
	const json_t *manifest;          /* says which fields are indexed */
};
/* ERR_INVALID: a field's name, too many filters, a value that is no scalar, a cursor of another list. */
MUST_CHECK int records_tx_list(struct store_tx *tx, const struct records_query *query, size_t *op, struct errbuf *e);
json_t *records_list_json(const struct store_result *r, const struct records_query *query, enum row_times times); /* {items, next_cursor} */

/* -- changing -- */
struct record_plan {
	int64_t current;                 /* version that is there; 0: none */
	int64_t next;                    /* version that the change makes */
};
struct record_change {
	struct str kind, id;
	const json_t *body;              /* NULL: delete */
	struct str run, actor;           /* who; may be empty */
	int64_t at_us;
};
size_t records_tx_state(struct store_tx *tx, struct str kind, struct str id);
/* ERR_CONFLICT when the version is not the expected one (0: must not exist); the plan says which one is there. */
MUST_CHECK int records_plan(const struct store_result *state, int64_t expected, struct record_plan *plan);
/* All operations of the change, each STORE_MUST where a race shows. Deleting needs plan.current > 0. */
void records_tx_change(struct store_tx *tx, const struct record_change *change, const struct record_plan *plan);
/* Make the manifest's index fields real. Belongs into the transaction that stores the bundle, before it goes live. */
void records_tx_declare(struct store_tx *tx, const json_t *manifest);
