/*
 * The HTTP/1.1 server: evhttp behind a gate. Who calls it: api/ and cli/; everything in the loop's thread.
 *
 * The gate (http_gate.c) holds a connection's bytes back until a whole request is there and checked (http_head.h), so evhttp never meets a
 * request that is malformed, too large, too slow or ambiguous: those are answered by the gate with problem+json (400, 405, 408, 413, 414, 417, 431,
 * 501, 503, 505) and the connection is closed. Handlers see whole requests only.
 *
 * A request belongs to the handler until it has called http_reply or http_stream_end exactly once; that holds also when the client has gone
 * meanwhile (everything written then goes nowhere). Slices borrowed from a request live as long as it does.
 */
#pragma once

#include "base/error.h"
#include "net/loop.h"

struct http_server;
struct http_request;

struct http_limits {
	size_t header_bytes;          /* request line and fields with their line ends */
	size_t body_bytes;
	size_t buffered_bytes;        /* requests being received, all connections together */
	size_t connections;           /* above it the connection that idled longest is closed for the new one */
	size_t stream_pending_bytes;  /* a streaming client that lags further behind is cut */
	int64_t request_ms;           /* from a request's first byte to its last */
	int64_t idle_ms;              /* a connection without a request */
	int64_t write_ms;             /* a client that takes nothing for so long is cut */
};
extern const struct http_limits http_limits_default;

struct http_server_options {
	struct loop *loop;
	const struct http_limits *limits;                           /* copied; NULL: http_limits_default */
	void (*handle)(struct http_request *request, void *arg);
	void (*refused)(int status, void *arg);                     /* the gate has answered by itself; may be NULL */
	void *arg;
};

struct http_server *http_server_new(const struct http_server_options *options);
/* Open a listening socket on "127.0.0.1:8080", "[::1]:0", "localhost:80". No server needed: the master opens, workers inherit. */
MUST_CHECK int http_listen(const char *address, int *fd, struct errbuf *e);
/* Another listening socket on the address of fd: the kernel spreads connections over them. */
MUST_CHECK int http_listen_beside(int fd, int *beside, struct errbuf *e);
/* Accept from a listening socket (its own copy of the descriptor; fd stays the caller's). */
MUST_CHECK int http_server_accept(struct http_server *server, int fd, struct errbuf *e);
uint16_t http_listen_port(int fd);
/* Accept no more; end idle connections, the others after their answer. `drained` fires once, later, when no request is being handled. */
void http_server_drain(struct http_server *server, void (*drained)(void *arg), void *arg);
/* Ends every connection. Requests still owned by handlers stay valid until they are answered. */
void http_server_free(struct http_server *server);
struct http_server_counts { size_t connections, requests; };
struct http_server_counts http_server_counts(const struct http_server *server);

/* -- a request -- */
struct str http_request_method(const struct http_request *request);  /* "GET" */
struct str http_request_path(const struct http_request *request);    /* as sent: "/v1/records/deal/a%2Fb"; "*" for OPTIONS * */
struct str http_request_query(const struct http_request *request);   /* behind the "?", as sent; empty when there is none */
struct str http_request_header(const struct http_request *request, const char *name);  /* {NULL,0} when absent */
struct str http_request_body(struct http_request *request);
bool http_request_has_body(const struct http_request *request);      /* a Content-Length above 0, or chunks */
bool http_request_is_loopback(const struct http_request *request);   /* the peer is this machine */
int64_t http_request_started_us(const struct http_request *request); /* clock_monotonic_us when it was complete */
bool http_request_is_gone(const struct http_request *request);       /* the client is */

/* -- the answer -- */
void http_reply_header(struct http_request *request, const char *name, const char *value);  /* before the reply; replaces */
/* Ends the request. content_type NULL: no body. A HEAD request gets the headers only. body is copied. */
void http_reply(struct http_request *request, int status, const char *content_type, struct str body);

void http_stream_begin(struct http_request *request, int status, const char *content_type);
/* False when the client has gone or was cut for lagging: end the stream then. */
bool http_stream_write(struct http_request *request, struct str bytes);
void http_stream_end(struct http_request *request);
/* Ends the request without one more byte: the connection goes, and the client sees that something is missing. */
void http_stream_cut(struct http_request *request);
/* How much the client has not taken yet; fn fires once, when it has taken all (not when it goes first: on_close then). Who has much to say waits in between. */
size_t http_stream_pending(const struct http_request *request);
void http_stream_when_taken(struct http_request *request, void (*fn)(void *arg), void *arg);
/* fn fires at most once, later, when the client has gone before the answer's end (noticed while streaming). Not after the request's end. */
void http_on_close(struct http_request *request, void (*fn)(struct http_request *request, void *arg), void *arg);

const char *http_status_text(int status);  /* "Not Found" */
