/*
 * A call: one HTTP request on its way through the interface. api.c makes it, auth.c says whose it is, a handler answers it with exactly one of the
 * replies below. The call lives until the handler has returned, or until the handler's flow (call_flow) has ended.
 */
#pragma once

#include "api/api.h"
#include "api/router.h"
#include "net/flow.h"

#define CALL_QUERY_MAX 32

struct query_pair {
	char *name, *value;              /* decoded, owned */
};

/* The caller's Idempotency-Key, while this request is the one that works under it (idempotency.c). */
struct claim {
	char *key;                       /* owned; NULL: none */
	int64_t at_us;
	bool again;                      /* a request before was cut short: what it did may be done */
};

struct call {
	uint32_t magic;
	struct api *api;
	struct http_request *request;    /* NULL once answered */
	const struct route *route;       /* NULL while the path is unknown */
	char *params[ROUTE_PARAMS_MAX];  /* decoded, owned; in the order of the pattern */
	struct query_pair query[CALL_QUERY_MAX];
	size_t query_count;
	char *tenant, *key_id;           /* owned; NULL on public routes */
	uint32_t scopes;                 /* a bit for each enum scope */
	struct claim claim;
	json_t *body;                    /* owned; what call_read_body found */

	struct flow flow;                /* of whoever deals with the call now: auth.c, then the handler */
	bool flowing;
	struct store_tx *tx;             /* what call_read and call_write wait for; owned */
	int code;                        /* of tx, or of an engine call (call_on_engine) */
	char *text;                      /* why; owned */
	json_t *result;                  /* of an engine call; owned */
	void *state;                     /* the handler's own */
	void (*state_free)(void *state);
};

/* What was asked. */
struct str call_path(const struct call *call);
struct str call_param(const struct call *call, size_t i);
struct str call_header(const struct call *call, const char *name);
const char *call_query(const struct call *call, const char *name);  /* NULL when absent */
struct str call_tenant(const struct call *call);
char *call_actor(const struct call *call);                          /* "key:ID", owned: who did it, for histories and decisions */

/* The JSON document that was sent, in call->body; with or_empty no body reads as {}. False: answered (400, 413, 415). */
MUST_CHECK bool call_read_body(struct call *call, bool or_empty);
/* limit of a list (1–200, else 50). False: answered with 400. */
MUST_CHECK bool call_limit(struct call *call, int64_t *limit);
struct str call_cursor(const struct call *call);                      /* the store's own; empty: first page */
json_t *call_bind_cursor(const struct call *call, struct str cursor); /* the store's for this list: new reference, a string */
/* For lists that page by one number; `first` where there is no cursor. False: answered with 400. */
MUST_CHECK bool call_number_cursor(struct call *call, int64_t first, int64_t *out);
/* Of the header, without quotes; {NULL,0} when absent. False: answered with 400. */
MUST_CHECK bool call_idempotency_key(struct call *call, struct str *key);

/* Handlers in steps. story->fini is call_fini, story->abort NULL. A step replies and returns FLOW_DONE, or returns flow_fail (code and text become the
 * problem). */
void call_flow(struct call *call, const struct flow_story *story);
void call_fini(struct flow *flow);
struct store_tx *call_tx(struct call *call);            /* a fresh one of the caller's tenant, in call->tx */
enum flow_result call_read(struct call *call);          /* submit call->tx; the next step finds call->code */
enum flow_result call_write(struct call *call);
enum flow_result call_store_failed(struct call *call);  /* the step's end when call->code is not 0 */
enum flow_result call_engine_failed(struct call *call); /* the same for an engine call */
/* Give to engine functions as (call_on_engine, call): keeps code, result and text, wakes the flow. */
void call_on_engine(void *arg, int code, const json_t *result, const char *text);

/* Replies. */
void call_set_header(struct call *call, const char *name, const char *value);
void call_reply(struct call *call, int status, json_t *body);              /* takes body */
void call_reply_empty(struct call *call, int status);
void call_reply_text(struct call *call, int status, const char *type, struct str body);
void call_reply_page(struct call *call, json_t *page);                     /* {items, next_cursor}, with a Link header; takes page */
void call_fail(struct call *call, int code, const char *format, ...) PRINTF_LIKE(3, 4);
/* errors: [{pointer, message}], borrowed, may be NULL. */
void call_problem(struct call *call, int code, int status, const char *detail, const json_t *errors);
/* Hand the request to a stream that answers it by itself; counted as status. */
struct http_request *call_detach(struct call *call, int status);

/* For api.c and auth.c. */
struct call *call_new(struct api *api, struct http_request *request);
void call_free(struct call *call);
/* False: answered with 400 or 404. */
MUST_CHECK bool call_take_params(struct call *call, const struct route_match *match);
MUST_CHECK bool call_take_query(struct call *call);
void call_count(struct call *call, int status);
