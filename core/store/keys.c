#include "store/keys.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/crypto.h"

enum {
	KEY_ID, KEY_PREFIX, KEY_TENANT, KEY_SCOPES, KEY_TITLE, KEY_CREATED_AT, KEY_EXPIRES_AT, KEY_REVOKED_AT, KEY_LAST_USED_AT, KEY_HASH,
};

/* Letters and digits only: a double click selects the whole key. 62^43 > 2^256. */
static void random_text(const struct rng *rng, char *out, size_t n)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
	const unsigned fair = 256 - 256 % (sizeof(alphabet) - 1);
	uint8_t byte;

	for (size_t i = 0; i < n;) {
		rng_fill(rng, &byte, 1);
		if (byte < fair)      /* the rest would favour the first letters */
			out[i++] = alphabet[byte % (sizeof(alphabet) - 1)];
	}
}

static bool key_parse(struct str text, struct str *prefix)
{
	if (text.n != KEY_TEXT_SIZE - 1 || !str_starts(text, "pg_") || text.p[3 + KEY_PREFIX_LENGTH] != '_')
		return false;
	for (size_t i = 3; i < text.n; i++)
		if (i != 3 + KEY_PREFIX_LENGTH && isalnum((unsigned char)text.p[i]) == 0)
			return false;
	*prefix = (struct str){ text.p + 3, KEY_PREFIX_LENGTH };
	return true;
}

static void add_insert(struct store_tx *tx, const struct key_request *request, const char *id, struct str prefix, struct str text, int64_t now_us)
{
	uint8_t hash[SHA256_SIZE];
	json_t *none = json_array();
	struct str digest = { (const char *)hash, sizeof(hash) };
	struct str tenant = request->tenant.p != NULL ? request->tenant : STR("");
	const json_t *scopes = request->scopes != NULL ? request->scopes : none;
	const char *title = request->title != NULL ? request->title : "";

	sha256(text.p, text.n, hash);
	if (request->expires_at_us > 0)
		store_tx_add(tx, STATEMENT_key_insert, STORE_MUST, "tsbsjtii", id, prefix, digest, tenant, scopes, title, now_us,
		    request->expires_at_us);
	else
		store_tx_add(tx, STATEMENT_key_insert, STORE_MUST, "tsbsjtin", id, prefix, digest, tenant, scopes, title, now_us);
	json_decref(none);
}

void keys_tx_create(struct store_tx *tx, const struct key_request *request, const struct clock *clock, const struct rng *rng, struct key_made *made)
{
	struct str prefix;

	uuid_format(uuid_new(clock, rng), made->id);
	memcpy(made->text, "pg_", 3);
	random_text(rng, made->text + 3, KEY_PREFIX_LENGTH);
	made->text[3 + KEY_PREFIX_LENGTH] = '_';
	random_text(rng, made->text + 3 + KEY_PREFIX_LENGTH + 1, KEY_SECRET_LENGTH);
	made->text[KEY_TEXT_SIZE - 1] = '\0';
	BUG_ON(!key_parse(str_of(made->text), &prefix));
	add_insert(tx, request, made->id, prefix, str_of(made->text), clock_now_us(clock));
}

int keys_tx_create_known(struct store_tx *tx, const struct key_request *request, struct str text, const struct clock *clock, const struct rng *rng,
                         struct errbuf *e)
{
	char id[UUID_TEXT_SIZE];
	struct str prefix;

	if (!key_parse(text, &prefix))
		return err_set(e, ERR_INVALID, "key: its form is pg_, %d letters or digits, _, %d letters or digits", KEY_PREFIX_LENGTH, KEY_SECRET_LENGTH);
	uuid_format(uuid_new(clock, rng), id);
	add_insert(tx, request, id, prefix, text, clock_now_us(clock));
	return 0;
}

int keys_tx_find(struct store_tx *tx, struct str text, size_t *op)
{
	struct str prefix;

	if (!key_parse(text, &prefix))
		return ERR_UNAUTHORIZED;
	*op = store_tx_add(tx, STATEMENT_key_find, STORE_ANY, "s", prefix);
	return 0;
}

int keys_verify(const struct store_result *r, struct str text, int64_t now_us, struct key *out)
{
	static const char nobody[SHA256_SIZE];
	struct str stored = { nobody, sizeof(nobody) };
	uint8_t hash[SHA256_SIZE];
	bool same;

	*out = (struct key){ .scopes = NULL };
	sha256(text.p, text.n, hash);
	if (r->rows > 0 && store_text(r, 0, KEY_HASH).n == sizeof(hash))
		stored = store_text(r, 0, KEY_HASH);
	same = bytes_equal_constant_time(stored.p, hash, sizeof(hash));
	if (!same || r->rows == 0 || !store_is_null(r, 0, KEY_REVOKED_AT))
		return ERR_UNAUTHORIZED;
	if (!store_is_null(r, 0, KEY_EXPIRES_AT) && store_int(r, 0, KEY_EXPIRES_AT) <= now_us)
		return ERR_UNAUTHORIZED;
	out->id = store_text(r, 0, KEY_ID);
	out->tenant = store_text(r, 0, KEY_TENANT);
	out->scopes = row_json(r, 0, KEY_SCOPES);
	out->last_used_at_us = store_int(r, 0, KEY_LAST_USED_AT);
	return 0;
}

void keys_tx_touch(struct store_tx *tx, struct str id, int64_t at_us)
{
	store_tx_add(tx, STATEMENT_key_touch, STORE_ANY, "si", id, at_us);
}

void keys_tx_revoke(struct store_tx *tx, struct str tenant, struct str id, int64_t at_us)
{
	store_tx_add(tx, STATEMENT_key_revoke, STORE_MUST, "ssi", id, tenant.p != NULL ? tenant : STR(""), at_us);
}

int keys_tx_list(struct store_tx *tx, struct str tenant, int64_t limit, struct str cursor, size_t *op, struct errbuf *e)
{
	json_t *position;
	int64_t at_us;
	struct str id;
	int code;

	code = cursor_newest(cursor, &position, &at_us, &id, e);
	if (code != 0)
		return code;
	if (position == NULL)
		at_us = -1;       /* oldest first: from the beginning of time */
	*op = store_tx_add(tx, STATEMENT_key_list, STORE_ANY, "sisi", tenant.p != NULL ? tenant : STR(""), at_us, id, page_limit(limit) + 1);
	json_decref(position);
	return 0;
}

json_t *keys_json(const struct store_result *r, size_t row)
{
	json_t *o = json_object();

	row_put_text(o, "id", r, row, KEY_ID);
	row_put_text(o, "prefix", r, row, KEY_PREFIX);
	row_put_text(o, "tenant", r, row, KEY_TENANT);
	row_put_json(o, "scopes", r, row, KEY_SCOPES);
	row_put_text(o, "title", r, row, KEY_TITLE);
	row_put_time(o, "created_at", r, row, KEY_CREATED_AT, ROW_TIMES_TEXT);
	row_put_time(o, "expires_at", r, row, KEY_EXPIRES_AT, ROW_TIMES_TEXT);
	row_put_time(o, "revoked_at", r, row, KEY_REVOKED_AT, ROW_TIMES_TEXT);
	row_put_time(o, "last_used_at", r, row, KEY_LAST_USED_AT, ROW_TIMES_TEXT);
	return o;
}

static json_t *list_json(const struct store_result *r, int64_t asked, json_t *(*json)(const struct store_result *r, size_t row),
                         json_t *(*position)(const struct store_result *r, size_t row))
{
	size_t limit = (size_t)page_limit(asked), n = r->rows > limit ? limit : r->rows;
	json_t *items = json_array();

	for (size_t i = 0; i < n; i++)
		json_array_append_new(items, json(r, i));
	return page_json(items, r->rows > limit ? position(r, n - 1) : NULL);
}

static json_t *key_position(const struct store_result *r, size_t row)
{
	json_t *position = json_array();

	json_array_append_new(position, json_integer(store_int(r, row, KEY_CREATED_AT)));
	json_array_append_new(position, json_new_str(store_text(r, row, KEY_ID)));
	return position;
}

json_t *keys_list_json(const struct store_result *r, int64_t limit)
{
	return list_json(r, limit, keys_json, key_position);
}

/* -- tenants -------------------------------------------------------------------------------------------------------- */

size_t tenants_tx_get(struct store_tx *tx, struct str id)
{
	return store_tx_add(tx, STATEMENT_tenant_get, STORE_ANY, "s", id);
}

int tenants_tx_list(struct store_tx *tx, int64_t limit, struct str cursor, size_t *op, struct errbuf *e)
{
	struct str after = STR("");
	json_t *position = NULL;
	int code = 0;

	if (cursor.n > 0) {
		position = cursor_decode(cursor, 1, e);
		after = json_str(json_array_get(position, 0));
		if (after.p == NULL)
			code = position == NULL ? ERR_INVALID : err_set(e, ERR_INVALID, "cursor: not one that this list has given");
	}
	if (code == 0)
		*op = store_tx_add(tx, STATEMENT_tenant_list, STORE_ANY, "si", after, page_limit(limit) + 1);
	json_decref(position);
	return code;
}

json_t *tenants_json(const struct store_result *r, size_t row)
{
	json_t *o = json_object();

	row_put_text(o, "id", r, row, 0);
	row_put_text(o, "title", r, row, 1);
	row_put_time(o, "created_at", r, row, 2, ROW_TIMES_TEXT);
	return o;
}

static json_t *tenant_position(const struct store_result *r, size_t row)
{
	json_t *position = json_array();

	json_array_append_new(position, json_new_str(store_text(r, row, 0)));
	return position;
}

json_t *tenants_list_json(const struct store_result *r, int64_t limit)
{
	return list_json(r, limit, tenants_json, tenant_position);
}
