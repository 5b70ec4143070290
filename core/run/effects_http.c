/*
 * http.request: one request to another host.
 *
 * Class: GET, HEAD and OPTIONS are pure, everything else is unsafe unless the caller says that it is keyed (then Idempotency-Key: RUN/EFFECT goes with
 * it) or queryable (then `query` asks what became of it: 2xx is the outcome, 404 and 410 mean that it did not happen). A connection that is cut is
 * tried again where that does no harm (pure, keyed). An HTTP status is no error. Errors: http.refused, http.unreachable, http.tls,
 * http.timeout, http.cut, http.protocol, http.too_large; `unknown` in them: the request left, and the other side may have acted.
 */
#include "run/effects_http.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/json_text.h"
#include "base/crypto.h"
#include "net/http_client.h"
#include "run/engine.h"
#include "run/run_internal.h"

enum {
	TIMEOUT_MS = 30000,
	ANSWER_MAX = 1 << 20,            /* bytes of a body that are taken where the caller says nothing */
	REQUEST_MAX = 4 << 20,           /* bytes of a body that may be sent */
	SHOWN_MAX = 4096,                /* bytes of a body that an operator is shown */
	HEADERS_COUNT_MAX = 100,
	TRIES_MAX = 3,
	TRY_AGAIN_US = 100000,           /* before the second try; doubles */
};

#define URL_SCHEMA "{\"type\":\"string\",\"minLength\":1,\"maxLength\":8000}"
#define HEADERS_SCHEMA "{\"type\":\"object\",\"additionalProperties\":{\"type\":\"string\",\"maxLength\":16000}}"

const char effect_schema_http_request[] =
	"{\"type\":\"object\",\"required\":[\"method\",\"url\"],\"additionalProperties\":false,\"properties\":{"
	"\"method\":{\"enum\":[\"GET\",\"HEAD\",\"OPTIONS\",\"POST\",\"PUT\",\"PATCH\",\"DELETE\"]},\"url\":" URL_SCHEMA ","
	"\"headers\":" HEADERS_SCHEMA ",\"body\":{\"type\":\"string\"},\"body_encoding\":{\"enum\":[\"text\",\"base64\"]},"
	"\"timeout_ms\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":600000},\"max_bytes\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":4194304},"
	"\"class\":{\"enum\":[\"pure\",\"keyed\",\"queryable\",\"unsafe\"]},\"on_unknown\":{\"enum\":[\"ask\",\"fail\",\"retry\"]},"
	"\"query\":{\"type\":\"object\",\"required\":[\"url\"],\"additionalProperties\":false,\"properties\":{"
	"\"method\":{\"enum\":[\"GET\",\"HEAD\"]},\"url\":" URL_SCHEMA ",\"headers\":" HEADERS_SCHEMA "}}}}";

struct http_call {
	struct http_fetch *fetch;
	enum effect_class class;
	bool querying;
	unsigned tries;
	struct timer again;
};

/* -- base64 ----------------------------------------------------------------------------------------------------------- */

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static void base64_write(struct buf *out, struct str bytes)
{
	for (size_t i = 0; i < bytes.n; i += 3) {
		size_t left = bytes.n - i;
		const unsigned char *p = (const unsigned char *)bytes.p + i;
		uint32_t v = (uint32_t)p[0] << 16 | (left > 1 ? (uint32_t)p[1] << 8 : 0) | (left > 2 ? p[2] : 0);
		buf_add_char(out, digits[v >> 18]);
		buf_add_char(out, digits[v >> 12 & 63]);
		buf_add_char(out, left > 1 ? digits[v >> 6 & 63] : '=');
		buf_add_char(out, left > 2 ? digits[v & 63] : '=');
	}
}

static bool base64_read(struct buf *out, struct str text)
{
	uint32_t v = 0;
	unsigned bits = 0;
	size_t n = text.n;

	while (n > 0 && text.p[n - 1] == '=')
		n--;
	if (text.n % 4 != 0 || text.n - n > 2)
		return false;
	for (size_t i = 0; i < n; i++) {
		const char *at = text.p[i] ? strchr(digits, text.p[i]) : NULL;
		if (!at)
			return false;
		v = v << 6 | (uint32_t)(at - digits);
		bits += 6;
		if (bits >= 8) {
			bits -= 8;
			buf_add_char(out, (char)(v >> bits));
		}
	}
	return true;
}

/* -- what is asked ---------------------------------------------------------------------------------------------------- */

static enum effect_class class_of(const json_t *args)
{
	struct str given = json_member_str(args, "class"), method = json_member_str(args, "method");

	if (str_is(given, "pure"))
		return EFFECT_PURE;
	if (str_is(given, "keyed"))
		return EFFECT_KEYED;
	if (str_is(given, "queryable"))
		return EFFECT_QUERYABLE;
	if (given.n == 0 && (str_is(method, "GET") || str_is(method, "HEAD") || str_is(method, "OPTIONS")))
		return EFFECT_PURE;
	return EFFECT_UNSAFE;
}

/* Headers that are the host's: they say where a message ends, or whose it is. */
static const char *header_fault(const json_t *headers, bool keyed)
{
	static const char *const kept[] = { "host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer", "expect",
		"proxy-authorization", "proxy-connection", "keep-alive" };
	const char *name;
	json_t *value;

	if (json_object_size(headers) > HEADERS_COUNT_MAX)
		return "headers: at most 100";
	json_object_foreach((json_t *)(uintptr_t)headers, name, value) {
		if (!http_header_is_valid(str_of(name), json_str(value)))
			return "headers: a name is letters, digits and -, a value has no line ends and no control characters";
		for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
			if (strcasecmp(name, kept[i]) == 0)
				return "headers: Host, Content-Length, Connection and the like are set by the host";
		if (keyed && strcasecmp(name, "idempotency-key") == 0)
			return "headers: with class keyed the host sets Idempotency-Key";
	}
	return NULL;
}

static const char *args_fault(const json_t *args)
{
	struct str method = json_member_str(args, "method");
	const json_t *body = json_member(args, "body"), *query = json_member(args, "query");
	enum effect_class class = class_of(args);
	const char *fault = header_fault(json_member(args, "headers"), class == EFFECT_KEYED);

	if (fault || (fault = header_fault(json_member(query, "headers"), false)))
		return fault;
	if (body && (str_is(method, "GET") || str_is(method, "HEAD")))
		return "body: GET and HEAD have none";
	if ((class == EFFECT_QUERYABLE) != (query != NULL))
		return "query: class queryable says with it how to ask what became of the request; the other classes have none";
	return NULL;
}

static bool is_secret(const char *name)
{
	static const char *const parts[] = { "authorization", "cookie", "api-key", "apikey", "token", "secret", "password", "signature" };
	for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
		if (strcasestr(name, parts[i]))
			return true;
	return false;
}

/* What an operator is shown of it. New reference. */
static json_t *shown_request(const json_t *args)
{
	json_t *shown = json_object(), *headers = json_object(), *value;
	struct str body = json_member_str(args, "body");
	const char *name;

	json_put_str(shown, "method", json_member_str(args, "method"));
	json_put_str(shown, "url", json_member_str(args, "url"));
	json_object_foreach((json_t *)(uintptr_t)json_member(args, "headers"), name, value)
		json_put_str(headers, name, is_secret(name) ? STR("(hidden)") : json_str(value));
	json_put(shown, "headers", headers);
	if (body.p && body.n <= SHOWN_MAX) {
		json_put_str(shown, "body", body);
	} else if (body.p) {
		uint8_t digest[SHA256_SIZE];
		char hex[SHA256_HEX_SIZE];
		sha256(body.p, body.n, digest);
		hex_encode(digest, SHA256_SIZE, hex);
		json_put_int(shown, "body_bytes", (int64_t)body.n);
		json_put_text(shown, "body_sha256", hex);
	}
	return shown;
}

/* -- ends --------------------------------------------------------------------------------------------------------------- */

static void call_over(struct effect *effect)
{
	struct http_call *call = effect->state;
	effect->abort = NULL;
	call->fetch = NULL;
	timer_fini(&call->again);
}

static void on_abort(struct effect *effect)
{
	struct http_call *call = effect->state;
	if (call->fetch)
		http_fetch_abort(call->fetch);
	call_over(effect);
}

static json_t *answer_headers(struct str lines)
{
	json_t *headers = json_object();
	while (lines.n) {
		const char *end = memchr(lines.p, '\n', lines.n), *colon = memchr(lines.p, ':', lines.n);
		size_t n = (size_t)(end - lines.p), name_n = (size_t)(colon - lines.p);
		struct str value = { colon + 1, n - name_n - 1 };
		while (value.n && (*value.p == ' ' || *value.p == '\t'))
			value.p++, value.n--;
		char *name = mem_copy((struct str){ lines.p, name_n });
		struct str before = json_member_str(headers, name);
		if (http_header_is_valid(str_of(name), value) && utf8_is_valid(value)) {
			struct buf all;
			buf_init(&all, 1 << 20);
			buf_addf(&all, "%.*s%s%.*s", STR_ARG(before), before.p ? ", " : "", STR_ARG(value));
			json_put_str(headers, name, buf_str(&all));
			buf_free(&all);
		}
		free(name);
		lines.p += n + 1;
		lines.n -= n + 1;
	}
	return headers;
}

static json_t *answer_json(const struct http_answer *answer)
{
	json_t *ok = json_object();
	json_put_int(ok, "status", answer->status);
	json_put(ok, "headers", answer_headers(answer->headers));
	if (utf8_is_valid(answer->body) && (answer->body.n == 0 || !memchr(answer->body.p, 0, answer->body.n))) {
		json_put_str(ok, "body", answer->body.n ? answer->body : STR(""));
	} else {
		struct buf text;
		buf_init(&text, (answer->body.n + 2) / 3 * 4);
		base64_write(&text, answer->body);
		json_put_str(ok, "body", buf_str(&text));
		json_put_text(ok, "encoding", "base64");
		buf_free(&text);
	}
	return ok;
}

static const char *code_of(enum http_fetch_end end)
{
	switch (end) {
	case HTTP_FETCH_REFUSED: return "http.refused";
	case HTTP_FETCH_UNREACHABLE: return "http.unreachable";
	case HTTP_FETCH_TLS: return "http.tls";
	case HTTP_FETCH_TIMEOUT: return "http.timeout";
	case HTTP_FETCH_PROTOCOL: return "http.protocol";
	case HTTP_FETCH_TOO_LARGE: return "http.too_large";
	case HTTP_FETCH_CUT:
	case HTTP_FETCH_ANSWERED: break;
	}
	return "http.cut";
}

static void fail_with(struct effect *effect, const struct http_answer *answer)
{
	const struct http_call *call = effect->state;
	json_t *more = json_object();
	struct buf text;

	buf_init(&text, 1024);
	buf_addf(&text, "http.request: %.*s: %s", (int)(json_member_str(effect->args, "url").n < 300 ? json_member_str(effect->args, "url").n : 300),
	         json_member_str(effect->args, "url").p, answer->text);
	json_put(more, "unknown", json_boolean(answer->sent && call->class != EFFECT_PURE));
	if (answer->status)
		json_put_int(more, "status", answer->status);
	effect_fail(effect, code_of(answer->end), buf_text(&text), more);
	buf_free(&text);
}

/* -- on its way ----------------------------------------------------------------------------------------------------------- */

static void send_now(struct effect *effect);

static void on_again(void *arg)
{
	send_now(arg);
}

static void on_queried(struct effect *effect, const struct http_answer *answer)
{
	int status = answer->end == HTTP_FETCH_ANSWERED ? answer->status : 0;
	if (status >= 200 && status < 300)
		effect_reply(effect, answer_json(answer));
	else if (status == 404 || status == 410)
		effect_again(effect);
	else
		effect_unknown(effect);
}

static void on_answer(void *arg, const struct http_answer *answer)
{
	struct effect *effect = arg;
	struct http_call *call = effect->state;
	bool harmless = call->querying || call->class == EFFECT_PURE || call->class == EFFECT_KEYED;
	bool cut = answer->end == HTTP_FETCH_CUT || (answer->end == HTTP_FETCH_UNREACHABLE && call->querying);

	call->fetch = NULL;
	if (cut && harmless && effect->run && ++call->tries < TRIES_MAX) {
		timer_start_us(&call->again, (int64_t)TRY_AGAIN_US << (call->tries - 1));
		return;
	}
	call_over(effect);
	if (call->querying)
		on_queried(effect, answer);
	else if (answer->end == HTTP_FETCH_ANSWERED)
		effect_reply(effect, answer_json(answer));
	else
		fail_with(effect, answer);
}

/* Names and values are borrowed from the arguments. */
static size_t collect_headers(const json_t *headers, struct http_header *out)
{
	size_t n = 0;
	const char *name;
	json_t *value;
	json_object_foreach((json_t *)(uintptr_t)headers, name, value)
		out[n++] = (struct http_header){ name, json_string_value(value) };
	return n;
}

static void send_now(struct effect *effect)
{
	struct http_call *call = effect->state;
	const json_t *asked = call->querying ? json_member(effect->args, "query") : effect->args, *body = json_member(asked, "body");
	struct http_header headers[HEADERS_COUNT_MAX + 1];
	char key[EFFECT_KEY_SIZE];
	struct buf decoded;
	struct http_fetch_request request = {
		.method = json_member(asked, "method") ? json_string_value(json_member(asked, "method")) : "GET",
		.url = json_string_value(json_member(asked, "url")), .headers = headers,
		.headers_count = collect_headers(json_member(asked, "headers"), headers),
		.timeout_ms = json_member_int(effect->args, "timeout_ms", TIMEOUT_MS),
		.max_bytes = (size_t)json_member_int(effect->args, "max_bytes", ANSWER_MAX),
		.once = !call->querying && (call->class == EFFECT_UNSAFE || call->class == EFFECT_QUERYABLE),
	};

	buf_init(&decoded, REQUEST_MAX);
	effect_key(effect, key);
	if (call->class == EFFECT_KEYED)
		headers[request.headers_count++] = (struct http_header){ "Idempotency-Key", key };
	if (body && str_is(json_member_str(asked, "body_encoding"), "base64") && base64_read(&decoded, json_str(body)))
		request.body = decoded.n ? buf_str(&decoded) : STR("");
	else if (body)
		request.body = json_str(body);
	call->fetch = http_fetch_start(effect->engine->options.http, &request, on_answer, effect);
	buf_free(&decoded);
}

static void begin_call(struct effect *effect, bool querying)
{
	struct http_call *call = mem_alloc(sizeof *call);
	free(effect->state);
	effect->state = call;
	call->class = class_of(effect->args);
	call->querying = querying;
	timer_init(&call->again, effect->engine->options.loop, on_again, effect);
	effect->abort = on_abort;
	send_now(effect);
}

static void perform(struct effect *effect)
{
	begin_call(effect, false);
}

static void query(struct effect *effect)
{
	begin_call(effect, true);
}

/* Is it something that may leave? Otherwise the effect has failed. */
static bool may_leave(struct effect *effect)
{
	struct http_client *client = effect->engine->options.http;
	struct str body = json_member_str(effect->args, "body");
	bool encoded = str_is(json_member_str(effect->args, "body_encoding"), "base64");
	const char *fault = args_fault(effect->args);
	struct errbuf e = { "" };
	struct buf decoded;

	buf_init(&decoded, REQUEST_MAX);
	if (!fault && encoded && !base64_read(&decoded, body))
		fault = "body: is not base64";
	bool too_large = encoded ? decoded.full : body.n > REQUEST_MAX;
	buf_free(&decoded);
	if (fault || too_large) {
		effect_fail(effect, fault ? "effect.arguments" : "http.too_large", fault ? fault : "http.request: body: at most 4 MiB may be sent", NULL);
		return false;
	}
	if (client && effect_was_sent(effect))
		return true; /* whatever the operator's list says now */
	int code = client ? http_client_check(client, json_member_str(effect->args, "url"), &e)
	                  : err_set(&e, ERR_FORBIDDEN, "this command sends no requests: fake http.request, or use perigee serve");
	const json_t *asks = json_member(effect->args, "query");
	if (code == 0 && asks)
		code = http_client_check(client, json_member_str(asks, "url"), &e);
	if (code)
		effect_fail(effect, code == ERR_FORBIDDEN ? "http.refused" : "effect.arguments", e.text, NULL);
	return code == 0;
}

void effect_begin_http_request(struct effect *effect)
{
	struct str policy = json_member_str(effect->args, "on_unknown");

	if (!may_leave(effect))
		return;
	effect_intend(effect, &(struct effect_intent){
		.class = class_of(effect->args),
		.on_unknown = str_is(policy, "fail") ? UNKNOWN_FAIL : str_is(policy, "retry") ? UNKNOWN_RETRY : UNKNOWN_ASK,
		.request = shown_request(effect->args), .perform = perform, .query = query,
	});
}
