#include "api/internal.h"
#include "api/text.h"
#include "base/crypto.h"
#include "base/log.h"
#include "store/row.h"

#include <stdlib.h>
#include <string.h>

#define CALL_MAGIC 0x43414c4cu
#define PARAM_MAX 1024
#define QUERY_TEXT_MAX 8192
#define LIST_LIMIT_MAX 200
#define LIST_LIMIT 50
#define IDEMPOTENCY_KEY_MAX 255
#define CURSOR_DIGEST_SIZE 17     /* hex digits of a SHA-256, and NUL */

/* -- life -- */

struct call *call_new(struct api *api, struct http_request *request)
{
	struct call *call = mem_alloc(sizeof *call);

	call->magic = CALL_MAGIC;
	call->api = api;
	call->request = request;
	return call;
}

void call_free(struct call *call)
{
	BUG_ON(call->magic != CALL_MAGIC || call->request);
	call->magic = 0;
	if (call->state_free)
		call->state_free(call->state);
	store_tx_free(call->tx);
	for (size_t i = 0; i < ROUTE_PARAMS_MAX; i++)
		free(call->params[i]);
	for (size_t i = 0; i < call->query_count; i++) {
		free(call->query[i].name);
		free(call->query[i].value);
	}
	json_decref(call->body);
	json_decref(call->result);
	free(call->tenant);
	free(call->key_id);
	free(call->text);
	free(call->claim.key);
	free(call);
}

/* -- what was asked -- */

struct str call_path(const struct call *call)
{
	return http_request_path(call->request);
}

struct str call_param(const struct call *call, size_t i)
{
	return str_of(call->params[i]);
}

struct str call_header(const struct call *call, const char *name)
{
	return http_request_header(call->request, name);
}

const char *call_query(const struct call *call, const char *name)
{
	for (size_t i = 0; i < call->query_count; i++)
		if (strcmp(call->query[i].name, name) == 0)
			return call->query[i].value;
	return NULL;
}

struct str call_tenant(const struct call *call)
{
	return str_of(call->tenant);
}

char *call_actor(const struct call *call)
{
	struct buf b;

	buf_init(&b, 256);
	buf_addf(&b, "key:%s", call->key_id ? call->key_id : "");
	return buf_take(&b);
}

bool call_take_params(struct call *call, const struct route_match *match)
{
	struct buf b;
	bool good = true;

	buf_init(&b, PARAM_MAX);
	for (size_t i = 0; i < ROUTE_PARAMS_MAX && match->params[i].p && good; i++) {
		buf_reset(&b);
		good = url_decode(match->params[i], false, &b);
		if (good)
			call->params[i] = mem_copy(buf_str(&b));
	}
	buf_free(&b);
	if (!good)
		call_fail(call, ERR_INVALID, "the path is no well-formed, percent-encoded UTF-8 without control characters");
	return good;
}

static bool word_among(const char *words, const char *word)
{
	size_t n = strlen(word);

	for (const char *p = words; p && *p; p += strcspn(p, " "), p += *p == ' ')
		if (strcspn(p, " ") == n && memcmp(p, word, n) == 0)
			return true;
	return false;
}

static bool query_is_allowed(const struct route *route, const char *name)
{
	if (route->flags & ROUTE_LIST && (strcmp(name, "limit") == 0 || strcmp(name, "cursor") == 0))
		return true;
	return route->flags & ROUTE_ANY_QUERY || word_among(route->query, name);
}

static void refuse_query(struct call *call, const char *name)
{
	const struct route *route = call->route;
	bool list = route->flags & ROUTE_LIST;

	if (!route->query && !list)
		call_fail(call, ERR_INVALID, "unknown query parameter \"%s\": this path takes none", name);
	else
		call_fail(call, ERR_INVALID, "unknown query parameter \"%s\": this path takes %s%s%s", name, route->query ? route->query : "",
		          route->query && list ? " " : "", list ? "limit cursor" : "");
}

static bool take_pair(struct call *call, struct str pair)
{
	const char *equals = memchr(pair.p, '=', pair.n);
	struct str name = { pair.p, equals ? (size_t)(equals - pair.p) : pair.n };
	struct str value = equals ? (struct str){ equals + 1, pair.n - name.n - 1 } : STR("");
	struct buf n, v;
	bool good;

	buf_init(&n, QUERY_TEXT_MAX);
	buf_init(&v, QUERY_TEXT_MAX);
	good = url_decode(name, true, &n) && url_decode(value, true, &v) && n.n;
	if (!good)
		call_fail(call, ERR_INVALID, "the query is no well-formed, percent-encoded UTF-8 without control characters");
	else if (!query_is_allowed(call->route, buf_text(&n)))
		refuse_query(call, buf_text(&n));
	else if (call_query(call, buf_text(&n)))
		call_fail(call, ERR_INVALID, "the query parameter \"%s\" stands twice", buf_text(&n));
	else if (call->query_count == CALL_QUERY_MAX)
		call_fail(call, ERR_INVALID, "more than %d query parameters", CALL_QUERY_MAX);
	else
		call->query[call->query_count++] = (struct query_pair){ mem_copy(buf_str(&n)), mem_copy(buf_str(&v)) };
	buf_free(&n);
	buf_free(&v);
	return call->request;
}

/* A cursor begins with what it was made for: the path and every parameter but cursor and limit. */
static void list_digest(const struct call *call, char out[CURSOR_DIGEST_SIZE])
{
	json_t *list = json_object(), *query = json_object(), *params = json_array();
	uint8_t digest[SHA256_SIZE];
	char *text, hex[SHA256_HEX_SIZE];

	for (size_t i = 0; i < call->query_count; i++)
		if (strcmp(call->query[i].name, "cursor") && strcmp(call->query[i].name, "limit"))
			json_put_text(query, call->query[i].name, call->query[i].value);
	for (size_t i = 0; i < ROUTE_PARAMS_MAX && call->params[i]; i++)
		json_array_append_new(params, json_new_str(str_of(call->params[i])));
	json_put_text(list, "pattern", call->route->pattern);
	json_put(list, "params", params);
	json_put(list, "query", query);
	text = json_to_text(list);
	sha256(text, strlen(text), digest);
	hex_encode(digest, sizeof digest, hex);
	memcpy(out, hex, CURSOR_DIGEST_SIZE - 1);
	out[CURSOR_DIGEST_SIZE - 1] = '\0';
	free(text);
	json_decref(list);
}

json_t *call_bind_cursor(const struct call *call, struct str cursor)
{
	char digest[CURSOR_DIGEST_SIZE];
	struct buf b;
	json_t *bound;

	list_digest(call, digest);
	buf_init(&b, QUERY_TEXT_MAX);
	buf_add_text(&b, digest);
	buf_add_str(&b, cursor);
	bound = json_new_str(buf_str(&b));
	buf_free(&b);
	return bound;
}

static bool check_cursor(struct call *call)
{
	const char *cursor = call_query(call, "cursor");
	char digest[CURSOR_DIGEST_SIZE];

	if (!cursor || !(call->route->flags & ROUTE_LIST))
		return true;
	list_digest(call, digest);
	if (strncmp(cursor, digest, CURSOR_DIGEST_SIZE - 1) == 0)
		return true;
	call_fail(call, ERR_INVALID, "cursor: not one that this list has given with these parameters: take next_cursor of the page before and leave"
	                             " filters and sort as they were, or none for the first page");
	return false;
}

bool call_take_query(struct call *call)
{
	struct str rest = http_request_query(call->request);

	while (rest.n) {
		const char *end = memchr(rest.p, '&', rest.n);
		struct str pair = { rest.p, end ? (size_t)(end - rest.p) : rest.n };

		rest.n -= pair.n + (end ? 1 : 0);
		rest.p += pair.n + (end ? 1 : 0);
		if (pair.n && !take_pair(call, pair))
			return false;
	}
	return check_cursor(call);
}

bool call_read_body(struct call *call, bool or_empty)
{
	struct str text = http_request_body(call->request), type = call_header(call, "Content-Type");
	struct errbuf e = { "" };
	int code = 0;

	if (!text.n && or_empty) {
		call->body = json_object();
		return true;
	}
	if (call_header(call, "Content-Encoding").n || (type.p && text.n && !content_type_is_json(type))) {
		call_set_header(call, "Accept", "application/json");
		call_problem(call, ERR_INVALID, 415, "the body has to be JSON in UTF-8, not compressed: send Content-Type: application/json", NULL);
		return false;
	}
	if (!text.n) {
		call_fail(call, ERR_INVALID, "a JSON body is missing");
		return false;
	}
	call->body = json_read(text, call->api->options.limits->body_bytes, &code, &e);
	if (!call->body)
		call_fail(call, code, "the body is no JSON that is taken here: %s", e.text);
	return call->body;
}

bool call_limit(struct call *call, int64_t *limit)
{
	const char *text = call_query(call, "limit");

	*limit = LIST_LIMIT;
	if (!text || str_to_int(str_of(text), 1, LIST_LIMIT_MAX, limit))
		return true;
	call_fail(call, ERR_INVALID, "limit is a number from 1 to %d", LIST_LIMIT_MAX);
	return false;
}

struct str call_cursor(const struct call *call)
{
	struct str cursor = str_of(call_query(call, "cursor"));

	return cursor.n ? (struct str){ cursor.p + CURSOR_DIGEST_SIZE - 1, cursor.n - CURSOR_DIGEST_SIZE + 1 } : cursor;
}

bool call_number_cursor(struct call *call, int64_t first, int64_t *out)
{
	struct errbuf e = { "" };
	json_t *position;
	bool good;

	*out = first;
	if (!call_cursor(call).p)
		return true;
	position = cursor_decode(call_cursor(call), 1, &e);
	good = json_is_integer(json_array_get(position, 0));
	if (good)
		*out = json_integer_value(json_array_get(position, 0));
	else
		call_fail(call, ERR_INVALID, "cursor: not one that this list has given");
	json_decref(position);
	return good;
}

bool call_idempotency_key(struct call *call, struct str *key)
{
	struct str value = call_header(call, "Idempotency-Key");
	bool given = value.p;

	if (value.n >= 2 && value.p[0] == '"' && value.p[value.n - 1] == '"')
		value = (struct str){ value.p + 1, value.n - 2 };
	*key = given ? value : (struct str){ 0 };
	if (!given || (value.n && value.n <= IDEMPOTENCY_KEY_MAX && utf8_is_valid(value)))
		return true;
	call_fail(call, ERR_INVALID, "Idempotency-Key is 1 to %d bytes of text", IDEMPOTENCY_KEY_MAX);
	return false;
}

/* -- steps -- */

void call_flow(struct call *call, const struct flow_story *story)
{
	call->flowing = true;
	flow_start(&call->flow, call->api->options.loop, story, call);
}

void call_fini(struct flow *flow)
{
	struct call *call = flow->owner;

	if (call->request) {
		BUG_ON(!flow->code);
		call_problem(call, flow->code, 0, flow->error.text, NULL);
	}
	call_free(call);
}

struct store_tx *call_tx(struct call *call)
{
	store_tx_free(call->tx);
	call->tx = store_tx_new(call->api->options.store, call_tenant(call));
	return call->tx;
}

static void call_on_store(struct store_tx *tx, int code, void *arg)
{
	struct call *call = arg;

	(void)tx;
	call->code = code;
	flow_wake(&call->flow);
}

enum flow_result call_read(struct call *call)
{
	store_submit_read(call->tx, call_on_store, call);
	return FLOW_WAIT;
}

enum flow_result call_write(struct call *call)
{
	store_submit_write(call->tx, call_on_store, call);
	return FLOW_WAIT;
}

enum flow_result call_store_failed(struct call *call)
{
	const char *why = store_tx_error(call->tx);

	if (call->code == ERR_NOT_FOUND)
		return flow_fail(&call->flow, ERR_UNAVAILABLE, "this key's tenant has no storage on this host");
	log_event(LOG_ERROR, "http.store_failed", "operation", call->route->operation_id, "error", why ? why : err_name(call->code), NULL);
	return flow_fail(&call->flow, call->code, "the store did not do it; try again");
}

enum flow_result call_engine_failed(struct call *call)
{
	switch (call->code) {
	case ERR_STORE:
	case ERR_IO:
	case ERR_FULL:
	case ERR_PROTOCOL:
	case ERR_BUG:
		/* What went wrong inside is for the log, not for the client. */
		log_event(LOG_ERROR, "http.engine_failed", "operation", call->route->operation_id, "error", err_name(call->code), "text",
		          call->text ? call->text : "", NULL);
		return flow_fail(&call->flow, call->code, "%s", err_title(call->code));
	default:
		return flow_fail(&call->flow, call->code, "%s", call->text ? call->text : err_title(call->code));
	}
}

void call_on_engine(void *arg, int code, const json_t *result, const char *text)
{
	struct call *call = arg;

	call->code = code;
	json_decref(call->result);
	call->result = result ? json_incref((json_t *)(uintptr_t)result) : NULL;
	free(call->text);
	call->text = text ? mem_copy(str_of(text)) : NULL;
	flow_wake(&call->flow);
}
