#include "net/http_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

const struct http_limits http_limits_default = {
	.header_bytes = 16 * 1024,
	.body_bytes = 8 * 1024 * 1024,
	.buffered_bytes = 256 * 1024 * 1024,
	.connections = 10000,
	.stream_pending_bytes = 1024 * 1024,
	.request_ms = 30000,
	.idle_ms = 300000,
	.write_ms = 30000,
};

#define EVERY_METHOD                                                                                                                   \
	(EVHTTP_REQ_GET | EVHTTP_REQ_POST | EVHTTP_REQ_HEAD | EVHTTP_REQ_PUT | EVHTTP_REQ_DELETE | EVHTTP_REQ_OPTIONS | EVHTTP_REQ_PATCH)

/* -- life cycle -- */

struct http_server *http_server_new(const struct http_server_options *options)
{
	struct http_server *server = mem_alloc(sizeof *server);

	server->options = *options;
	server->loop = options->loop;
	server->limits = options->limits ? *options->limits : http_limits_default;
	for (size_t i = 0; i < CONN_STATES; i++)
		TAILQ_INIT(&server->conns[i]);
	timer_init(&server->sweep, server->loop, gate_on_sweep, server);
	server->http = evhttp_new(loop_base(server->loop));
	BUG_ON(!server->http);
	evhttp_set_bevcb(server->http, gate_on_connection, server);
	evhttp_set_gencb(server->http, server_on_request, server);
	evhttp_set_allowed_methods(server->http, EVERY_METHOD);
	evhttp_set_default_content_type(server->http, NULL);
	/* The gate's limits come first; these only have to be no smaller. */
	evhttp_set_max_headers_size(server->http, (ev_ssize_t)server->limits.header_bytes * 2);
	evhttp_set_max_body_size(server->http, (ev_ssize_t)server->limits.body_bytes + 1);
	return server;
}

int http_listen(const char *address, int *fd, struct errbuf *e)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV }, *found = NULL;
	const char *colon = strrchr(address, ':');
	size_t host_bytes = colon ? (size_t)(colon - address) : 0;
	char host[256];
	int s, on = 1, code = 0, no;
	int64_t port;

	if (!colon || host_bytes >= sizeof host || !str_to_int(str_of(colon + 1), 0, 65535, &port))
		return err_set(e, ERR_INVALID, "listen on \"%s\": write it as ADDRESS:PORT, like 127.0.0.1:8080", address);
	if (host_bytes >= 2 && address[0] == '[' && colon[-1] == ']')
		memcpy(host, address + 1, host_bytes -= 2);
	else
		memcpy(host, address, host_bytes);
	host[host_bytes] = '\0';
	no = getaddrinfo(host_bytes && strcmp(host, "*") ? host : NULL, colon + 1, &hints, &found);
	if (no)
		return err_set(e, ERR_INVALID, "listen on \"%s\": %s", address, gai_strerror(no));
	s = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (s < 0 || setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) || bind(s, found->ai_addr, found->ai_addrlen) || listen(s, 4096)) {
		code = err_set(e, errno == EADDRINUSE ? ERR_CONFLICT : ERR_IO, "listen on %s: %s%s", address, strerror(errno),
		               errno == EADDRINUSE ? "; another process listens there: choose another with --listen" : "");
		if (s >= 0)
			close(s);
	} else {
		*fd = s;
	}
	freeaddrinfo(found);
	return code;
}

/*
 * SO_REUSEPORT comes to fd only now, after it was bound alone: two hosts that are given one address by mistake do not share it unnoticed. Whoever
 * binds there must be of the same user.
 */
int http_listen_beside(int fd, int *beside, struct errbuf *e)
{
	struct sockaddr_storage address = { 0 };
	socklen_t n = sizeof address;
	int on = 1;

	if (getsockname(fd, (struct sockaddr *)&address, &n) || setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on))
		return err_set(e, ERR_IO, "share a listening address: %s", strerror(errno));
	int s = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (s < 0 || setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) || setsockopt(s, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) ||
	    bind(s, (struct sockaddr *)&address, n) || listen(s, 4096)) {
		int code = err_set(e, ERR_IO, "share a listening address: %s", strerror(errno));
		if (s >= 0)
			close(s);
		return code;
	}
	*beside = s;
	return 0;
}

uint16_t http_listen_port(int fd)
{
	struct sockaddr_storage address = { 0 };
	socklen_t n = sizeof address;

	if (getsockname(fd, (struct sockaddr *)&address, &n))
		return 0;
	if (address.ss_family == AF_INET6)
		return ntohs(((struct sockaddr_in6 *)&address)->sin6_port);
	return address.ss_family == AF_INET ? ntohs(((struct sockaddr_in *)&address)->sin_port) : 0;
}

int http_server_accept(struct http_server *server, int fd, struct errbuf *e)
{
	struct evhttp_bound_socket *listener;
	int own;

	if (server->listener_count == LISTENERS_MAX)
		return err_set(e, ERR_FULL, "accept connections: %d listening sockets are the most", LISTENERS_MAX);
	own = dup(fd);
	if (own < 0)
		return err_set(e, ERR_IO, "accept connections: %s", strerror(errno));
	listener = evhttp_accept_socket_with_handle(server->http, own);
	if (!listener) {
		close(own);
		return err_set(e, ERR_IO, "accept connections: libevent refused the socket");
	}
	server->listeners[server->listener_count++] = listener;
	return 0;
}

static void end_group(struct http_server *server, enum conn_state state)
{
	struct conn *conn;

	while ((conn = TAILQ_FIRST(&server->conns[state])) && conn->ready)
		gate_end(conn);
}

/* What has just connected is about to ask: its request is answered still. */
static void end_served(struct http_server *server)
{
	struct conn *conn, *next;

	for (conn = TAILQ_FIRST(&server->conns[CONN_IDLE]); conn; conn = next) {
		next = TAILQ_NEXT(conn, link);
		if (conn->ready && conn->served)
			gate_end(conn);
	}
}

static void server_on_drained(void *arg)
{
	struct http_server *server = arg;

	server->drained_queued = false;
	if (server->drained)
		server->drained(server->drained_arg);
}

void server_check_drained(struct http_server *server)
{
	const struct conn *conn;

	if (!server->draining || server->drained_queued || server->requests || !server->drained)
		return;
	int64_t now_us = clock_monotonic_us();
	TAILQ_FOREACH(conn, &server->conns[CONN_IDLE], link)
		if (!conn->served && now_us - conn->since_us < DRAIN_FIRST_US)
			return; /* the sweep looks again */
	if (!TAILQ_EMPTY(&server->conns[CONN_HEAD]) || !TAILQ_EMPTY(&server->conns[CONN_HANDLING]))
		return;
	server->drained_queued = true;
	loop_defer(server->loop, &server->drained_item, server_on_drained, server);
}

void http_server_drain(struct http_server *server, void (*drained)(void *arg), void *arg)
{
	server->draining = true;
	server->drained = drained;
	server->drained_arg = arg;
	while (server->listener_count)
		evhttp_del_accept_socket(server->http, server->listeners[--server->listener_count]);
	end_served(server);
	server_check_drained(server);
}

static void server_unref(struct http_server *server)
{
	if (server->freed && !server->requests)
		free(server);
}

void http_server_free(struct http_server *server)
{
	if (!server)
		return;
	server->drained = NULL;
	for (size_t i = 0; i < CONN_STATES; i++)
		end_group(server, (enum conn_state)i);
	evhttp_free(server->http);
	timer_fini(&server->sweep);
	server->freed = true;
	server_unref(server);
}

struct http_server_counts http_server_counts(const struct http_server *server)
{
	return (struct http_server_counts){ .connections = server->connections, .requests = server->requests };
}

/* -- a request -- */

static bool address_is_loopback(const struct sockaddr_storage *address)
{
	if (address->ss_family == AF_INET)
		return (ntohl(((const struct sockaddr_in *)address)->sin_addr.s_addr) >> 24) == 127;
	if (address->ss_family == AF_INET6) {
		const struct in6_addr *in6 = &((const struct sockaddr_in6 *)address)->sin6_addr;

		return IN6_IS_ADDR_LOOPBACK(in6) || (IN6_IS_ADDR_V4MAPPED(in6) && in6->s6_addr[12] == 127);
	}
	return address->ss_family == AF_UNIX;
}

static void server_on_complete(struct evhttp_request *ev, void *conn)
{
	(void)ev;
	gate_on_answered(conn);
}

void server_on_request(struct evhttp_request *ev, void *arg)
{
	struct http_server *server = arg;
	struct conn *conn = server->releasing;
	struct http_request *request = mem_alloc(sizeof *request);

	BUG_ON(!conn);
	server->releasing = NULL;
	request->magic = REQUEST_MAGIC;
	request->server = server;
	request->conn = conn;
	request->ev = ev;
	request->started_us = clock_monotonic_us();
	request->has_body = conn->head.chunked ? conn->chunks.body_bytes > 0 : conn->head.content_length > 0;
	conn->request = request;
	server->requests++;
	evhttp_request_set_on_complete_cb(ev, server_on_complete, conn);
	server->options.handle(request, server->options.arg);
}

struct str http_request_method(const struct http_request *request)
{
	switch (evhttp_request_get_command(request->ev)) {
	case EVHTTP_REQ_GET: return STR("GET");
	case EVHTTP_REQ_HEAD: return STR("HEAD");
	case EVHTTP_REQ_POST: return STR("POST");
	case EVHTTP_REQ_PUT: return STR("PUT");
	case EVHTTP_REQ_DELETE: return STR("DELETE");
	case EVHTTP_REQ_OPTIONS: return STR("OPTIONS");
	case EVHTTP_REQ_PATCH: return STR("PATCH");
	default: return STR("");
	}
}

/* The target without scheme and authority. */
static struct str target_of(const struct http_request *request)
{
	const char *uri = evhttp_request_get_uri(request->ev);
	const char *slashes, *path;

	if (!uri)
		return STR("/");
	if (uri[0] == '/' || uri[0] == '*')
		return str_of(uri);
	slashes = strstr(uri, "://");
	path = slashes ? strpbrk(slashes + 3, "/?") : NULL;
	return path && *path == '/' ? str_of(path) : STR("/");
}

struct str http_request_path(const struct http_request *request)
{
	struct str target = target_of(request);
	const char *mark = memchr(target.p, '?', target.n);

	return mark ? (struct str){ target.p, (size_t)(mark - target.p) } : target;
}

struct str http_request_query(const struct http_request *request)
{
	struct str target = target_of(request);
	const char *mark = memchr(target.p, '?', target.n);

	return mark ? (struct str){ mark + 1, target.n - (size_t)(mark + 1 - target.p) } : STR("");
}

struct str http_request_header(const struct http_request *request, const char *name)
{
	return str_of(evhttp_find_header(evhttp_request_get_input_headers(request->ev), name));
}

struct str http_request_body(struct http_request *request)
{
	struct evbuffer *input = evhttp_request_get_input_buffer(request->ev);
	size_t n = evbuffer_get_length(input);

	return n ? (struct str){ (const char *)evbuffer_pullup(input, -1), n } : STR("");
}

bool http_request_has_body(const struct http_request *request)
{
	return request->has_body;
}

bool http_request_is_loopback(const struct http_request *request)
{
	struct sockaddr_storage address = { 0 };
	socklen_t n = sizeof address;

	return request->conn && getpeername(bufferevent_getfd(request->conn->bev), (struct sockaddr *)&address, &n) == 0 &&
	       address_is_loopback(&address);
}

int64_t http_request_started_us(const struct http_request *request)
{
	return request->started_us;
}

bool http_request_is_gone(const struct http_request *request)
{
	return !request->conn;
}

/* -- the answer -- */

static void request_free(struct http_request *request)
{
	struct http_server *server = request->server;

	request->magic = 0;
	free(request);
	server->requests--;
	server_check_drained(server);
	server_unref(server);
}

static void request_on_gone(void *arg)
{
	struct http_request *request = arg;

	request->gone_queued = false;
	if (request->ended)
		request_free(request);
	else if (request->on_close)
		request->on_close(request, request->on_close_arg);
}

void server_on_gone(struct conn *conn)
{
	struct http_request *request = conn->request;

	conn->request = NULL;
	request->conn = NULL;
	if (!request->on_close)
		return;
	request->gone_queued = true;
	loop_defer(request->server->loop, &request->gone, request_on_gone, request);
}

static void request_end(struct http_request *request)
{
	if (request->conn)
		request->conn->request = NULL;
	request->conn = NULL;
	request->ended = true;
	if (!request->gone_queued)
		request_free(request);
}

void http_on_close(struct http_request *request, void (*fn)(struct http_request *request, void *arg), void *arg)
{
	request->on_close = fn;
	request->on_close_arg = arg;
}

void http_reply_header(struct http_request *request, const char *name, const char *value)
{
	struct evkeyvalq *headers = evhttp_request_get_output_headers(request->ev);

	evhttp_remove_header(headers, name);
	evhttp_add_header(headers, name, value);
}

static void common_headers(struct http_request *request, const char *content_type)
{
	if (content_type)
		http_reply_header(request, "Content-Type", content_type);
	if (request->server->draining)
		http_reply_header(request, "Connection", "close");
}

void http_reply(struct http_request *request, int status, const char *content_type, struct str body)
{
	struct conn *conn = request->conn;

	BUG_ON(request->magic != REQUEST_MAGIC || request->ended || request->streaming);
	common_headers(request, content_type);
	if (status != 204 && status != 304) {
		char length[24];

		snprintf(length, sizeof length, "%zu", body.n);
		http_reply_header(request, "Content-Length", length);
		if (body.n && evhttp_request_get_command(request->ev) != EVHTTP_REQ_HEAD)
			evbuffer_add(evhttp_request_get_output_buffer(request->ev), body.p, body.n);
	}
	evhttp_send_reply(request->ev, status, http_status_text(status), NULL);
	/* A client that has only shut its sending side down still gets the answer: nothing is read until it is out. */
	if (conn)
		bufferevent_disable(conn->bev, EV_READ);
	request_end(request);
}

void http_stream_begin(struct http_request *request, int status, const char *content_type)
{
	BUG_ON(request->magic != REQUEST_MAGIC || request->ended || request->streaming);
	request->streaming = true;
	common_headers(request, content_type);
	if (request->conn && request->conn->head.minor == 0)
		http_reply_header(request, "Connection", "close");
	evhttp_send_reply_start(request->ev, status, http_status_text(status));
}

/* evhttp: everything that was written is out. */
static void request_on_taken(struct evhttp_connection *evcon, void *arg)
{
	struct http_request *request = arg;
	void (*fn)(void *arg) = request->when_taken;

	(void)evcon;
	BUG_ON(request->magic != REQUEST_MAGIC);
	request->when_taken = NULL;
	if (fn)
		fn(request->when_taken_arg);
}

size_t http_stream_pending(const struct http_request *request)
{
	return request->conn ? evbuffer_get_length(bufferevent_get_output(request->conn->bev)) : 0;
}

void http_stream_when_taken(struct http_request *request, void (*fn)(void *arg), void *arg)
{
	request->when_taken = fn;
	request->when_taken_arg = arg;
}

bool http_stream_write(struct http_request *request, struct str bytes)
{
	struct evbuffer *piece;

	BUG_ON(request->magic != REQUEST_MAGIC || request->ended || !request->streaming);
	if (!request->conn)
		return false;
	if (http_stream_pending(request) > request->server->limits.stream_pending_bytes) {
		gate_end(request->conn);
		return false;
	}
	piece = evbuffer_new();
	BUG_ON(!piece);
	evbuffer_add(piece, bytes.p, bytes.n);
	evhttp_send_reply_chunk_with_cb(request->ev, piece, request_on_taken, request);
	evbuffer_free(piece);
	return true;
}

void http_stream_end(struct http_request *request)
{
	BUG_ON(request->magic != REQUEST_MAGIC || request->ended || !request->streaming);
	evhttp_send_reply_end(request->ev);
	request_end(request);
}

void http_stream_cut(struct http_request *request)
{
	BUG_ON(request->magic != REQUEST_MAGIC || request->ended || !request->streaming);
	if (request->conn)
		gate_end(request->conn);
	http_stream_end(request);
}

const char *http_status_text(int status)
{
	static const struct { int status; const char *text; } texts[] = {
		{ 200, "OK" }, { 201, "Created" }, { 202, "Accepted" }, { 204, "No Content" }, { 304, "Not Modified" },
		{ 400, "Bad Request" }, { 401, "Unauthorized" }, { 403, "Forbidden" }, { 404, "Not Found" },
		{ 405, "Method Not Allowed" }, { 406, "Not Acceptable" }, { 408, "Request Timeout" }, { 409, "Conflict" },
		{ 410, "Gone" }, { 412, "Precondition Failed" }, { 413, "Content Too Large" }, { 414, "URI Too Long" },
		{ 415, "Unsupported Media Type" }, { 417, "Expectation Failed" }, { 422, "Unprocessable Content" },
		{ 428, "Precondition Required" }, { 429, "Too Many Requests" }, { 431, "Request Header Fields Too Large" },
		{ 500, "Internal Server Error" }, { 501, "Not Implemented" }, { 503, "Service Unavailable" },
		{ 505, "HTTP Version Not Supported" },
	};

	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		if (texts[i].status == status)
			return texts[i].text;
	return "Status";
}
