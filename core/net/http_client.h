/*
 * Requests to other hosts: libcurl's multi interface on the loop. Fails closed: what leaves is what the operator's list names (scheme, host and port,
 * exactly), and no private, loopback or link-local address is connected to unless the list names that very address and port. The address is
 * checked where the socket is made, after the name was resolved. Redirects are not followed, proxies and .netrc are not read.
 *
 * A request that must not arrive twice gets a connection of its own (`once`): a connection that is used again may be found dead, and libcurl would
 * send again by itself.
 */
#pragma once

#include "base/json.h"
#include "net/loop.h"

struct http_client;
struct http_fetch;

struct http_client_options {
	struct loop *loop;
	const json_t *egress;        /* borrowed until http_client_new returns: array of "https://api.example.com", "http://127.0.0.1:9000"; NULL: nothing */
	size_t connections;          /* at most, in all; more requests wait; 0: 256 */
};

/* ERR_INVALID names the entry of the list that is none. */
MUST_CHECK int http_client_new(const struct http_client_options *options, struct http_client **out, struct errbuf *e);
/* What is under way ends without a word. */
void http_client_free(struct http_client *client);
/* May this leave? ERR_INVALID (no URL of ours), ERR_FORBIDDEN (not in the list; the text names host and setting). */
MUST_CHECK int http_client_check(const struct http_client *client, struct str url, struct errbuf *e);

struct http_header {
	const char *name, *value;    /* valid: http_header_is_valid */
};
bool http_header_is_valid(struct str name, struct str value);

struct http_fetch_request {
	const char *method, *url;
	const struct http_header *headers;
	size_t headers_count;
	struct str body;             /* p NULL: none */
	int64_t timeout_ms;          /* for all of it */
	size_t max_bytes;            /* of the answer's body, decoded */
	bool once;                   /* never sent again by itself */
};

enum http_fetch_end {
	HTTP_FETCH_ANSWERED,
	HTTP_FETCH_REFUSED,          /* by the operator's list */
	HTTP_FETCH_UNREACHABLE,      /* no such name, no connection */
	HTTP_FETCH_TLS,
	HTTP_FETCH_TIMEOUT,
	HTTP_FETCH_CUT,              /* the connection ended before the answer did */
	HTTP_FETCH_PROTOCOL,         /* what came is not HTTP */
	HTTP_FETCH_TOO_LARGE,
};

struct http_answer {
	enum http_fetch_end end;
	const char *text;            /* why there is none */
	bool sent;                   /* some of the request left: the other side may have acted */
	int status;
	struct str headers;          /* lines "name: value\n", names in lower case, of the last header block */
	struct str body;
};

/* The request is copied. done fires once, later, in the loop's thread; then the fetch is gone. The answer is borrowed. */
typedef void (*http_fetch_fn)(void *arg, const struct http_answer *answer);
struct http_fetch *http_fetch_start(struct http_client *client, const struct http_fetch_request *request, http_fetch_fn done, void *arg);
/* Ends the transfer at its socket; done does not fire. */
void http_fetch_abort(struct http_fetch *fetch);
