/*
 * Errors: a code with a class and an HTTP status, and a text that is wrapped on its way up ("open store: run 0001…: disk full").
 * Functions return 0 or a negative code. Only the class drives policy (retry, blame, alarm); only the text is for people.
 */
#pragma once

#include "base/bytes.h"

enum err_class { ERR_CLASS_NONE, ERR_CLASS_CALLER, ERR_CLASS_RETRY, ERR_CLASS_QUOTA, ERR_CLASS_BUG, ERR_CLASS_SECURITY };

/* code, wire name (stable, seen by clients and scripts), class, HTTP status, title */
#define ERR_TABLE(X) \
	X(ERR_INVALID, "request.invalid", CALLER, 400, "Bad request") \
	X(ERR_UNAUTHORIZED, "auth.required", CALLER, 401, "Unauthorized") \
	X(ERR_FORBIDDEN, "auth.forbidden", CALLER, 403, "Forbidden") \
	X(ERR_NOT_FOUND, "not.found", CALLER, 404, "Not found") \
	X(ERR_METHOD, "method.refused", CALLER, 405, "Method not allowed") \
	X(ERR_TIMEOUT, "request.timeout", RETRY, 408, "Request timeout") \
	X(ERR_CONFLICT, "state.conflict", CALLER, 409, "Conflict") \
	X(ERR_PRECONDITION, "version.mismatch", CALLER, 412, "Precondition failed") \
	X(ERR_TOO_LARGE, "body.too_large", CALLER, 413, "Content too large") \
	X(ERR_SCHEMA, "input.schema", CALLER, 422, "Input does not match its schema") \
	X(ERR_IDEMPOTENCY, "idempotency.mismatch", CALLER, 422, "Idempotency key used with another body") \
	X(ERR_LIMIT, "limit.reached", QUOTA, 429, "Too many requests") \
	X(ERR_HEADERS, "headers.too_large", CALLER, 431, "Request header fields too large") \
	X(ERR_IO, "io.failed", RETRY, 500, "Input or output failed") \
	X(ERR_STORE, "store.failed", RETRY, 503, "The store failed") \
	X(ERR_UNAVAILABLE, "host.unavailable", RETRY, 503, "Unavailable") \
	X(ERR_FULL, "buffer.full", QUOTA, 500, "A size limit was reached") \
	X(ERR_PROTOCOL, "cell.protocol", SECURITY, 500, "A cell broke the protocol") \
	X(ERR_BUG, "host.bug", BUG, 500, "Internal error") \
	X(ERR_LOST, "run.lost", RETRY, 503, "The run was taken over elsewhere") \
	X(ERR_CANCELLED, "request.cancelled", CALLER, 499, "Cancelled")

enum err {
	ERR_NONE = 0,
	ERR_BASE_ = -1000,
#define X(code, name, class, status, title) code,
	ERR_TABLE(X)
#undef X
};

struct errbuf {
	char text[512];
};

const char *err_name(int code);            /* "not.found"; "ok" for 0 */
const char *err_title(int code);
enum err_class err_class(int code);
int err_http_status(int code);
/* Write the text (truncated to fit) and return code. e may be NULL everywhere. */
int err_set(struct errbuf *e, int code, const char *format, ...) PRINTF_LIKE(3, 4);
/* Put "prefix: " before the text and return code. */
int err_wrap(struct errbuf *e, int code, const char *format, ...) PRINTF_LIKE(3, 4);
