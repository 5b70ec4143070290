/*
 * Idempotency-Key on a POST: the same key and request answers the same for 24 hours; another request under it is 422. (Starting a run has a way of its
 * own: the key is written with the run, in one transaction.)
 *
 *     claim the key → claimed → the handler works → keep its answer → answer
 *                   → answered before: the same answer · another request: 422 · still under way: 409
 *
 * A refusal is not kept: the key is free again. Failure modes: a host that dies between the work and its answer leaves the key claimed; ABANDONED_US
 * later the same request takes it over and works again, which every handler can bear (claim.again). An answer that cannot be kept is sent all the same.
 */
#include "api/internal.h"
#include "base/crypto.h"

#include <stdlib.h>
#include <string.h>

#define KEPT_US INT64_C(86400000000)
#define ABANDONED_US INT64_C(30000000)
#define PURGE_AT_ONCE 20

struct asking {
	char *key;
	char digest[SHA256_HEX_SIZE];
	int64_t at_us;
};

static void asking_free(void *state)
{
	struct asking *asking = state;

	free(asking->key);
	free(asking);
}

/* Method, path and body; a JSON body however it was written. */
static void digest_of(struct call *call, char out[SHA256_HEX_SIZE])
{
	struct str method = http_request_method(call->request), path = call_path(call), body = http_request_body(call->request);
	int code;
	json_t *value = json_read(body, call->api->options.limits->body_bytes, &code, NULL);
	char *canonical = value ? json_to_text(value) : mem_copy(body);
	uint8_t digest[SHA256_SIZE];
	struct sha256_state s;

	sha256_begin(&s);
	sha256_add(&s, method.p, method.n);
	sha256_add(&s, " ", 1);
	sha256_add(&s, path.p, path.n);
	sha256_add(&s, "\n", 1);
	sha256_add(&s, canonical, value ? strlen(canonical) : body.n);
	sha256_end(&s, digest);
	hex_encode(digest, sizeof digest, out);
	free(canonical);
	json_decref(value);
}

static enum flow_result step_claim(struct flow *flow)
{
	struct call *call = flow->owner;
	struct asking *asking = call->state;
	struct store_tx *tx = call_tx(call);

	store_tx_add(tx, STATEMENT_idempotency_purge, STORE_ANY, "ii", asking->at_us - KEPT_US, (int64_t)PURGE_AT_ONCE);
	store_tx_add(tx, STATEMENT_idempotency_get, STORE_ANY, "t", asking->key);
	store_tx_add(tx, STATEMENT_idempotency_claim, STORE_ANY, "ttiii", asking->key, asking->digest, asking->at_us, asking->at_us - KEPT_US,
	             asking->at_us - ABANDONED_US);
	return call_write(call);
}

static enum flow_result step_claimed(struct flow *flow)
{
	struct call *call = flow->owner;
	struct asking *asking = call->state;
	const struct store_result *before;

	if (call->code)
		return call_store_failed(call);
	before = store_tx_result(call->tx, 1);
	if (store_tx_result(call->tx, 2)->changed) {
		call->claim = (struct claim){ .key = asking->key, .at_us = asking->at_us,
			                      .again = before->rows && str_is(store_text(before, 0, 0), asking->digest) };
		asking->key = NULL;
		return FLOW_DONE;
	}
	if (!before->rows || !str_is(store_text(before, 0, 0), asking->digest))
		return flow_fail(flow, ERR_IDEMPOTENCY, "this Idempotency-Key was used with another request");
	if (!store_int(before, 0, 3))
		return flow_fail(flow, ERR_CONFLICT, "a request with this Idempotency-Key is under way: ask again in a moment");
	call_set_header(call, "Idempotency-Replayed", "true");
	call_reply_text(call, (int)store_int(before, 0, 3), "application/json", store_text(before, 0, 4));
	return FLOW_DONE;
}

static void claim_fini(struct flow *flow)
{
	struct call *call = flow->owner;

	asking_free(call->state);
	call->state = NULL;
	call->state_free = NULL;
	if (call->claim.key)
		api_handle(call);
	else
		call_fini(flow);
}

bool idempotency_applies(const struct call *call)
{
	return strcmp(call->route->method, "POST") == 0 && !(call->route->flags & ROUTE_OWN_KEY) && call->tenant && call->tenant[0] &&
	       call_header(call, "Idempotency-Key").p;
}

void idempotency_begin(struct call *call)
{
	static const struct flow_step steps[] = { { "claim", step_claim, 0 }, { "claimed", step_claimed, 0 }, { NULL, NULL, 0 } };
	static const struct flow_story story = { "idempotency.claim", steps, NULL, claim_fini };
	struct asking *asking;
	struct str key;

	if (!call_idempotency_key(call, &key)) {
		call_free(call);
		return;
	}
	asking = mem_alloc(sizeof *asking);
	asking->key = mem_copy(key);
	asking->at_us = clock_now_us(call->api->options.clock);
	digest_of(call, asking->digest);
	call->state = asking;
	call->state_free = asking_free;
	call_flow(call, &story);
}

/* -- the answer -- */

struct keeping {
	struct http_request *request;
	int status;
	const char *type;                /* a literal */
	char *body;
	size_t size;
};

static void keeping_on_written(struct store_tx *tx, int code, void *arg)
{
	struct keeping *keeping = arg;

	(void)code;
	store_tx_free(tx);
	http_reply(keeping->request, keeping->status, keeping->type, (struct str){ keeping->body, keeping->size });
	free(keeping->body);
	free(keeping);
}

void idempotency_reply(struct call *call, struct http_request *request, int status, const char *type, struct str body)
{
	struct keeping *keeping = mem_alloc(sizeof *keeping);
	struct store_tx *tx = store_tx_new(call->api->options.store, call_tenant(call));

	if (status < 300)
		store_tx_add(tx, STATEMENT_idempotency_keep, STORE_ANY, "tiis", call->claim.key, call->claim.at_us, (int64_t)status, body);
	else
		store_tx_add(tx, STATEMENT_idempotency_release, STORE_ANY, "ti", call->claim.key, call->claim.at_us);
	*keeping = (struct keeping){ .request = request, .status = status, .type = type, .body = mem_copy(body), .size = body.n };
	free(call->claim.key);
	call->claim.key = NULL;
	store_submit_write(tx, keeping_on_written, keeping);
}

static void release_on_written(struct store_tx *tx, int code, void *arg)
{
	(void)code;
	(void)arg;
	store_tx_free(tx);
}

void idempotency_release(struct call *call)
{
	struct store_tx *tx;

	if (!call->claim.key)
		return;
	tx = store_tx_new(call->api->options.store, call_tenant(call));
	store_tx_add(tx, STATEMENT_idempotency_release, STORE_ANY, "ti", call->claim.key, call->claim.at_us);
	free(call->claim.key);
	call->claim.key = NULL;
	store_submit_write(tx, release_on_written, NULL);
}
