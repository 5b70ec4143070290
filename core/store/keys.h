/*
 * API keys: `pg_PREFIX_SECRET`, 8 and 43 letters and digits. The platform stores the prefix, to find a key, and the
 * SHA-256 of the whole text (256 random bits need no slow hash); the text is shown once. All transactions here are the platform's (tenant "").
 */
#pragma once

#include "base/ids.h"
#include "store/row.h"

enum { KEY_PREFIX_LENGTH = 8, KEY_SECRET_LENGTH = 43, KEY_TEXT_SIZE = 3 + KEY_PREFIX_LENGTH + 1 + KEY_SECRET_LENGTH + 1 };

struct key_request {
	struct str tenant;               /* empty: the operator's */
	const json_t *scopes;            /* array of strings */
	const char *title;
	int64_t expires_at_us;           /* 0: never */
};
struct key_made {
	char id[UUID_TEXT_SIZE];
	char text[KEY_TEXT_SIZE];        /* for the eyes of one person, once */
};
/* Adds the insertion; *made is the key once the transaction is done. */
void keys_tx_create(struct store_tx *tx, const struct key_request *request, const struct clock *clock, const struct rng *rng, struct key_made *made);
/* Adds an insertion for a key whose text is given (PERIGEE_ADMIN_KEY, fixtures). ERR_INVALID when it has not the form of a key. */
MUST_CHECK int keys_tx_create_known(struct store_tx *tx, const struct key_request *request, struct str text, const struct clock *clock,
                                    const struct rng *rng, struct errbuf *e);

/* Who is it? Looks the prefix up, if the text has the form of a key; ERR_UNAUTHORIZED otherwise. */
MUST_CHECK int keys_tx_find(struct store_tx *tx, struct str text, size_t *op);
struct key {
	struct str id, tenant;           /* live as long as the transaction */
	json_t *scopes;                  /* new reference */
	int64_t last_used_at_us;         /* touch it at most once a minute */
};
/* Does the text belong to the row found, and is the key live? Takes the same time whether or not there is a row. ERR_UNAUTHORIZED. */
MUST_CHECK int keys_verify(const struct store_result *r, struct str text, int64_t now_us, struct key *out);
void keys_tx_touch(struct store_tx *tx, struct str id, int64_t at_us);

/* STORE_MUST: ERR_CONFLICT when the tenant has no such live key. */
void keys_tx_revoke(struct store_tx *tx, struct str tenant, struct str id, int64_t at_us);
/* Oldest first: {id, prefix, tenant, scopes, title, created_at, expires_at, revoked_at, last_used_at}. */
MUST_CHECK int keys_tx_list(struct store_tx *tx, struct str tenant, int64_t limit, struct str cursor, size_t *op, struct errbuf *e);
json_t *keys_json(const struct store_result *r, size_t row);
json_t *keys_list_json(const struct store_result *r, int64_t limit);

/* Tenants: {id, title, created_at}, by id; cursor: the last id of the page before. */
size_t tenants_tx_get(struct store_tx *tx, struct str id);
MUST_CHECK int tenants_tx_list(struct store_tx *tx, int64_t limit, struct str cursor, size_t *op, struct errbuf *e);
json_t *tenants_json(const struct store_result *r, size_t row);
json_t *tenants_list_json(const struct store_result *r, int64_t limit);
