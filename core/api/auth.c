/*
 * Whose request is it? `Authorization: Bearer KEY` → the key's row → tenant and scopes. Unknown, revoked, expired and malformed keys get one answer.
 *
 * What a key may do is remembered for some seconds under the SHA-256 of its text, so that a busy client costs no read per request: a key that is
 * revoked stops within that time, on every worker.
 */
#include "api/internal.h"
#include "base/crypto.h"
#include "base/log.h"
#include "store/keys.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <uthash.h>

#define CACHE_MAX 4096
#define CACHE_US 2000000
#define TOUCH_US INT64_C(60000000)
#define KEY_TEXT_MAX 4096

struct known_key {
	uint8_t hash[SHA256_SIZE];
	char *id, *tenant;
	uint32_t scopes;
	int64_t until_us;                /* monotonic */
	UT_hash_handle hh;
};

struct auth_cache {
	struct known_key *keys;          /* oldest first */
};

struct auth_cache *auth_cache_new(void)
{
	return mem_alloc(sizeof(struct auth_cache));
}

static void forget(struct auth_cache *cache, struct known_key *key)
{
	HASH_DEL(cache->keys, key);
	free(key->id);
	free(key->tenant);
	free(key);
}

void auth_cache_free(struct auth_cache *cache)
{
	struct known_key *key, *next;

	HASH_ITER(hh, cache->keys, key, next)
		forget(cache, key);
	free(cache);
}

static struct known_key *recall(struct auth_cache *cache, const uint8_t hash[SHA256_SIZE])
{
	struct known_key *key;

	HASH_FIND(hh, cache->keys, hash, SHA256_SIZE, key);
	if (key && key->until_us <= clock_monotonic_us()) {
		forget(cache, key);
		return NULL;
	}
	return key;
}

static void remember(struct auth_cache *cache, const uint8_t hash[SHA256_SIZE], const struct call *call)
{
	struct known_key *key = recall(cache, hash);

	if (key)
		return;
	if (HASH_COUNT(cache->keys) >= CACHE_MAX)
		forget(cache, cache->keys);
	key = mem_alloc(sizeof *key);
	memcpy(key->hash, hash, SHA256_SIZE);
	key->id = mem_copy(str_of(call->key_id));
	key->tenant = mem_copy(str_of(call->tenant));
	key->scopes = call->scopes;
	key->until_us = clock_monotonic_us() + CACHE_US;
	HASH_ADD(hh, cache->keys, hash, SHA256_SIZE, key);
}

/* -- what a key may do -- */

/* "runs:read", "runs:*", "admin", "*". Unknown words allow nothing. */
static uint32_t scopes_of(const json_t *words)
{
	uint32_t bits = 0;

	for (size_t i = 0; i < json_array_size(words); i++) {
		struct str word = json_str(json_array_get(words, i));

		for (unsigned scope = SCOPE_AGENTS_READ; scope < SCOPES; scope++)
			if (scope_is_given(word, (enum scope)scope))
				bits |= 1u << scope;
	}
	return bits;
}

static enum scope needed(const struct route *route)
{
	return route->scope == SCOPE_LOOPBACK ? SCOPE_ADMIN : route->scope;
}

static void refuse_unknown(struct call *call, bool sent)
{
	call_set_header(call, "WWW-Authenticate", sent ? "Bearer realm=\"perigee\", error=\"invalid_token\"" : "Bearer realm=\"perigee\"");
	call_fail(call, ERR_UNAUTHORIZED, sent ? "this credential is not valid here"
	                                       : "send a key: Authorization: Bearer pg_… (perigee key create makes one)");
}

static void authorize(struct call *call)
{
	enum scope scope = needed(call->route);
	struct buf challenge;

	if (scope == SCOPE_PUBLIC) {
		api_dispatch(call);
		return;
	}
	if (!(call->scopes & 1u << scope)) {
		buf_init(&challenge, 200);
		buf_addf(&challenge, "Bearer realm=\"perigee\", error=\"insufficient_scope\", scope=\"%s\"", scope_name(scope));
		call_set_header(call, "WWW-Authenticate", buf_text(&challenge));
		buf_free(&challenge);
		call_fail(call, ERR_FORBIDDEN, "this key lacks the scope %s", scope_name(scope));
	} else if (!call->tenant[0] && call->route->scope != SCOPE_LOOPBACK) {
		call_fail(call, ERR_FORBIDDEN, "this is an operator's key: it belongs to no tenant, and this path shows a tenant's data");
	} else {
		api_dispatch(call);
		return;
	}
	call_free(call);
}

/* -- the lookup -- */

struct lookup {
	char *text;
	uint8_t hash[SHA256_SIZE];
};

static void lookup_free(void *state)
{
	struct lookup *lookup = state;

	free(lookup->text);
	free(lookup);
}

/* The token of "Bearer TOKEN"; {NULL,0} for anything else. */
static struct str bearer_of(struct str header)
{
	if (header.n < 8 || strncasecmp(header.p, "bearer ", 7))
		return (struct str){ 0 };
	header.p += 7;
	header.n -= 7;
	while (header.n && *header.p == ' ')
		header.p++, header.n--;
	return header;
}

static void touch_on_done(struct store_tx *tx, int code, void *arg)
{
	(void)code;
	(void)arg;
	store_tx_free(tx);
}

/* A use is noted once a minute; nobody waits for it. */
static void touch(struct call *call, const struct key *key)
{
	int64_t now_us = clock_now_us(call->api->options.clock);
	struct store_tx *tx;

	if (now_us - key->last_used_at_us < TOUCH_US)
		return;
	tx = store_tx_new(call->api->options.store, STR(""));
	keys_tx_touch(tx, key->id, now_us);
	store_submit_write(tx, touch_on_done, NULL);
}

static enum flow_result step_look_up(struct flow *flow)
{
	struct call *call = flow->owner;
	struct lookup *lookup = call->state;
	size_t op;

	call->tx = store_tx_new(call->api->options.store, STR(""));
	if (keys_tx_find(call->tx, str_of(lookup->text), &op))
		return flow_fail(flow, ERR_UNAUTHORIZED, "no key");
	return call_read(call);
}

static enum flow_result step_verify(struct flow *flow)
{
	struct call *call = flow->owner;
	struct lookup *lookup = call->state;
	struct key key;

	if (call->code)
		return flow_fail(flow, ERR_STORE, "keys cannot be looked up now; try again");
	if (keys_verify(store_tx_result(call->tx, 0), str_of(lookup->text), clock_now_us(call->api->options.clock), &key))
		return flow_fail(flow, ERR_UNAUTHORIZED, "no key");
	call->key_id = mem_copy(key.id);
	call->tenant = mem_copy(key.tenant);
	call->scopes = scopes_of(key.scopes);
	json_decref(key.scopes);
	remember(call->api->auth, lookup->hash, call);
	touch(call, &key);
	return FLOW_DONE;
}

static void auth_fini(struct flow *flow)
{
	struct call *call = flow->owner;
	int code = flow->code;

	lookup_free(call->state);
	call->state = NULL;
	call->state_free = NULL;
	store_tx_free(call->tx);
	call->tx = NULL;
	if (!code) {
		authorize(call);
		return;
	}
	if (code == ERR_UNAUTHORIZED)
		refuse_unknown(call, true);
	else
		call_fail(call, code, "%s", flow->error.text);
	call_free(call);
}

void auth_start(struct call *call)
{
	static const struct flow_step steps[] = { { "look up", step_look_up, 0 }, { "verify", step_verify, 0 }, { NULL, NULL, 0 } };
	static const struct flow_story story = { "auth", steps, NULL, auth_fini };
	struct str header = call_header(call, "Authorization"), token = bearer_of(header);
	struct known_key *known;
	struct lookup *lookup;

	if (!token.n || token.n > KEY_TEXT_MAX) {
		refuse_unknown(call, header.p);
		call_free(call);
		return;
	}
	lookup = mem_alloc(sizeof *lookup);
	sha256(token.p, token.n, lookup->hash);
	known = recall(call->api->auth, lookup->hash);
	if (known) {
		call->key_id = mem_copy(str_of(known->id));
		call->tenant = mem_copy(str_of(known->tenant));
		call->scopes = known->scopes;
		free(lookup);
		authorize(call);
		return;
	}
	lookup->text = mem_copy(token);
	call->state = lookup;
	call->state_free = lookup_free;
	call_flow(call, &story);
}
