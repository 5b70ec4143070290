#include "net/http_internal.h"

#include "base/json_text.h"
#include "base/log.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/*
 * evhttp reads from a bufferevent of ours whose low watermark is out of reach, so it never reads by itself. Bytes that arrive wake the
 * connection's pump (at the end of the loop's turn), which looks at them where they lie, and, when a whole and sound request is there,
 * calls evhttp's read callback once. evhttp then parses from memory: it never waits in the middle of a request.
 *
 * Failure modes: a request that is refused gets its answer straight on the socket (nothing else is pending on it then) and the rest of what the
 * client sends is read and dropped for some seconds, so that the client can read the answer before the connection is reset. A connection is ended by
 * telling evhttp that the client has closed.
 */

#define REFUSED_LINGER_MS 5000
#define SWEEP_US 250000

static size_t group_of(enum conn_state state)
{
	return state == CONN_BODY ? CONN_HEAD : state; /* one queue, ordered by the request's first byte */
}

void gate_set_state(struct conn *conn, enum conn_state state)
{
	struct http_server *server = conn->server;

	if (group_of(conn->state) != group_of(state)) {
		TAILQ_REMOVE(&server->conns[group_of(conn->state)], conn, link);
		TAILQ_INSERT_TAIL(&server->conns[group_of(state)], conn, link);
		conn->since_us = clock_monotonic_us();
	}
	conn->state = state;
}

static void count(struct conn *conn, bool counted)
{
	if (conn->counted != counted)
		conn->server->counted += counted ? 1 : (size_t)-1;
	conn->counted = counted;
}

static void account(struct conn *conn, size_t bytes)
{
	conn->server->buffered_bytes += bytes - conn->buffered; /* wraps round to a subtraction */
	conn->buffered = bytes;
}

static void conn_free(struct conn *conn)
{
	conn->magic = 0;
	if (conn->held)
		evbuffer_free(conn->held);
	free(conn);
}

static void pump(void *arg);

static void queue_pump(struct conn *conn)
{
	if (conn->pump_queued)
		return;
	conn->pump_queued = true;
	loop_defer(conn->server->loop, &conn->pump, pump, conn);
}

static void gate_on_input(struct evbuffer *input, const struct evbuffer_cb_info *info, void *arg)
{
	struct conn *conn = arg;

	(void)input;
	if (info->n_added && conn->state != CONN_HANDLING)
		queue_pump(conn);
}

/* evhttp ends the connection, for whatever reason. conn itself stays. */
static void forget(struct conn *conn)
{
	struct http_server *server = conn->server;

	evbuffer_remove_cb(bufferevent_get_input(conn->bev), gate_on_input, conn);
	bufferevent_decref(conn->bev);
	conn->bev = NULL;
	TAILQ_REMOVE(&server->conns[group_of(conn->state)], conn, link);
	account(conn, 0);
	count(conn, false);
	server->connections--;
	if (!server->connections)
		timer_stop(&server->sweep);
	if (conn->request)
		server_on_gone(conn);
	server_check_drained(server);
}

static void gate_on_closed(struct evhttp_connection *evcon, void *arg)
{
	struct conn *conn = arg;

	(void)evcon;
	BUG_ON(conn->magic != CONN_MAGIC);
	forget(conn);
	if (!conn->pump_queued && !conn->pumping)
		conn_free(conn); /* else the pump does it */
}

void gate_end(struct conn *conn)
{
	bufferevent_data_cb read_cb, write_cb;
	bufferevent_event_cb event_cb;
	void *evcon;

	bufferevent_getcb(conn->bev, &read_cb, &write_cb, &event_cb, &evcon);
	BUG_ON(!event_cb);
	event_cb(conn->bev, BEV_EVENT_EOF | BEV_EVENT_READING, evcon);
}

/* -- refusals -- */

static const char *problem_name(int status)
{
	switch (status) {
	case 400: return "request.invalid";
	case 405: return "method.refused";
	case 408: return "request.timeout";
	case 413: return "body.too_large";
	case 414: return "target.too_long";
	case 417: return "expectation.unmet";
	case 431: return "headers.too_large";
	case 501: return "coding.unknown";
	case 505: return "version.unknown";
	default: return "host.unavailable";
	}
}

static void refuse(struct conn *conn, int status, const char *why)
{
	struct http_server *server = conn->server;
	int fd = bufferevent_getfd(conn->bev);
	struct buf body, all;

	buf_init(&body, 2048);
	buf_init(&all, 4096);
	buf_addf(&body, "{\"detail\":");
	json_add_string(&body, str_of(why));
	buf_addf(&body, ",\"status\":%d,\"title\":\"%s\",\"type\":\"urn:perigee:problem:%s\"}", status, http_status_text(status),
	         problem_name(status));
	buf_addf(&all, "HTTP/1.1 %d %s\r\nContent-Type: application/problem+json\r\nContent-Length: %zu\r\nConnection: close\r\n", status,
	         http_status_text(status), body.n);
	if (status == 405)
		buf_add_text(&all, "Allow: GET, HEAD, POST, PUT, DELETE, OPTIONS\r\n");
	if (status == 503)
		buf_add_text(&all, "Retry-After: 1\r\n");
	buf_add_text(&all, "\r\n");
	buf_add_str(&all, buf_str(&body));
	/* Nothing is pending on this socket: a few hundred bytes fit, or the client is past help. */
	(void)!send(fd, all.p, all.n, MSG_NOSIGNAL | MSG_DONTWAIT);
	shutdown(fd, SHUT_WR);
	buf_free(&body);
	buf_free(&all);
	gate_set_state(conn, CONN_REFUSED);
	count(conn, false);
	evbuffer_drain(bufferevent_get_input(conn->bev), SIZE_MAX);
	account(conn, 0);
	if (server->options.refused)
		server->options.refused(status, server->options.arg);
}

/* -- a request coming in -- */

static void set_high(struct conn *conn, size_t bytes)
{
	bufferevent_setwatermark(conn->bev, EV_READ, SIZE_MAX, bytes);
}

/* Room for a head that is one byte too long: that byte is the proof. */
static size_t head_room(const struct conn *conn)
{
	return conn->server->limits.header_bytes + 1;
}

static void start_body(struct conn *conn)
{
	static const char proceed[] = "HTTP/1.1 100 Continue\r\n\r\n";
	const struct http_limits *limits = &conn->server->limits;
	struct evbuffer *input = bufferevent_get_input(conn->bev);
	size_t body = conn->head.content_length > 0 ? (size_t)conn->head.content_length : 0;

	if (body > limits->body_bytes) {
		refuse(conn, 413, "the body of the request is larger than this host takes");
		return;
	}
	gate_set_state(conn, CONN_BODY);
	conn->chunks = (struct http_chunks){ 0 };
	if (conn->head.chunked)
		body = limits->body_bytes;
	if (conn->head.bytes + body > head_room(conn))
		set_high(conn, conn->head.bytes + body + 1024);
	if (conn->head.wants_continue && evbuffer_get_length(input) == conn->head.bytes)
		(void)!send(bufferevent_getfd(conn->bev), proceed, sizeof proceed - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void take_head(struct conn *conn)
{
	struct evbuffer *input = bufferevent_get_input(conn->bev);
	size_t n = evbuffer_get_length(input), head_bytes = 0;
	const char *why = NULL;
	struct str bytes;
	int status;

	if (n > head_room(conn))
		n = head_room(conn);
	bytes = (struct str){ (const char *)evbuffer_pullup(input, (ev_ssize_t)n), n };
	status = http_head_find(bytes, &conn->seen, &head_bytes, &why);
	if (status) {
		refuse(conn, status, why);
		return;
	}
	if (head_bytes > conn->server->limits.header_bytes || (!head_bytes && n > conn->server->limits.header_bytes)) {
		refuse(conn, 431, "the request line and headers are longer than this host takes");
		return;
	}
	if (!head_bytes)
		return;
	status = http_head_check((struct str){ bytes.p, head_bytes }, &conn->head, &why);
	if (status)
		refuse(conn, status, why);
	else
		start_body(conn);
}

/* Is the chunked body complete? Looks at what came since the last time. */
static bool take_chunks(struct conn *conn)
{
	struct evbuffer *input = bufferevent_get_input(conn->bev);
	enum http_chunks_result result = HTTP_CHUNKS_MORE;
	struct evbuffer_iovec *pieces;
	struct evbuffer_ptr at;
	int count;

	if (evbuffer_ptr_set(input, &at, conn->head.bytes + conn->chunks.raw_bytes, EVBUFFER_PTR_SET))
		return false;
	count = evbuffer_peek(input, -1, &at, NULL, 0);
	if (count <= 0)
		return false;
	pieces = mem_array((size_t)count, sizeof *pieces);
	count = evbuffer_peek(input, -1, &at, pieces, count);
	for (int i = 0; i < count && result == HTTP_CHUNKS_MORE; i++)
		result = http_chunks_feed(&conn->chunks, (struct str){ pieces[i].iov_base, pieces[i].iov_len });
	free(pieces);
	if (result == HTTP_CHUNKS_BAD)
		refuse(conn, 400, "the chunks of the request's body are malformed");
	else if (conn->chunks.raw_bytes > conn->server->limits.body_bytes || conn->chunks.body_bytes > conn->server->limits.body_bytes)
		refuse(conn, 413, "the body of the request is larger than this host takes");
	else
		return result == HTTP_CHUNKS_END;
	return false;
}

static bool take_body(struct conn *conn)
{
	size_t n = evbuffer_get_length(bufferevent_get_input(conn->bev));

	if (conn->head.chunked)
		return take_chunks(conn);
	return conn->head.content_length <= 0 || n - conn->head.bytes >= (size_t)conn->head.content_length;
}

/* A whole request is there: evhttp reads it, and calls server_on_request before it returns. */
static void release(struct conn *conn)
{
	struct http_server *server = conn->server;
	bufferevent_data_cb read_cb, write_cb;
	bufferevent_event_cb event_cb;
	bool large = evbuffer_get_length(bufferevent_get_input(conn->bev)) > head_room(conn);
	void *evcon;

	bufferevent_getcb(conn->bev, &read_cb, &write_cb, &event_cb, &evcon);
	BUG_ON(!read_cb);
	account(conn, 0);
	gate_set_state(conn, CONN_HANDLING);
	if (large)
		set_high(conn, head_room(conn));
	server->releasing = conn;
	read_cb(conn->bev, evcon);
	if (server->releasing && conn->bev) {
		/* evhttp found fault where the gate found none: a gap in http_head.c. */
		log_event(LOG_WARN, "http.disagreed", "what", "evhttp refused a request that the gate let through", NULL);
		gate_end(conn);
	}
	server->releasing = NULL;
}

static void receive(struct conn *conn)
{
	struct evbuffer *input = bufferevent_get_input(conn->bev);
	size_t n = evbuffer_get_length(input);

	if (conn->state == CONN_IDLE && n) {
		size_t look = n < 64 ? n : 64;

		evbuffer_drain(input, http_head_blank((struct str){ (const char *)evbuffer_pullup(input, (ev_ssize_t)look), look }));
		n = evbuffer_get_length(input);
		if (!n)
			return;
		conn->seen = 0;
		gate_set_state(conn, CONN_HEAD);
	}
	account(conn, n);
	if (conn->server->buffered_bytes > conn->server->limits.buffered_bytes && conn->state != CONN_IDLE) {
		refuse(conn, 503, "this host is receiving more than it has memory for; send the request again");
		return;
	}
	if (conn->state == CONN_HEAD)
		take_head(conn);
	if (conn->state == CONN_BODY && take_body(conn))
		release(conn);
}

/* First thing after evhttp has taken the connection over: hear of its end; keep the number of connections. False: it is gone already. */
static bool settle(struct conn *conn)
{
	struct http_server *server = conn->server;
	bufferevent_data_cb read_cb, write_cb;
	bufferevent_event_cb event_cb;
	struct conn *oldest;
	void *evcon;
	int on = 1;

	bufferevent_getcb(conn->bev, &read_cb, &write_cb, &event_cb, &evcon);
	if (!event_cb) {
		forget(conn);
		return false;
	}
	evhttp_connection_set_closecb(evcon, gate_on_closed, conn);
	conn->ready = true;
	(void)setsockopt(bufferevent_getfd(conn->bev), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	count(conn, true);
	if (server->counted <= server->limits.connections)
		return true;
	oldest = TAILQ_FIRST(&server->conns[CONN_IDLE]);
	if (oldest && oldest != conn && oldest->ready)
		gate_end(oldest);
	else
		refuse(conn, 503, "this host holds as many connections as it may");
	return true;
}

static void pump_bytes(struct conn *conn)
{
	struct evbuffer *input = bufferevent_get_input(conn->bev);

	if (conn->state == CONN_REFUSED) {
		evbuffer_drain(input, SIZE_MAX);
		return;
	}
	if (conn->state == CONN_HANDLING)
		return;
	if (conn->held) {
		evbuffer_prepend_buffer(input, conn->held);
		evbuffer_free(conn->held);
		conn->held = NULL;
	}
	receive(conn);
	if (conn->bev && conn->state == CONN_IDLE && conn->server->draining && conn->served)
		gate_end(conn);
}

static void pump(void *arg)
{
	struct conn *conn = arg;

	BUG_ON(conn->magic != CONN_MAGIC);
	conn->pump_queued = false;
	conn->pumping = true; /* it stays whatever becomes of it in there */
	if (conn->bev && (conn->ready || settle(conn)))
		pump_bytes(conn);
	conn->pumping = false;
	if (!conn->bev && !conn->pump_queued)
		conn_free(conn);
}

void gate_on_answered(struct conn *conn)
{
	struct evbuffer *input = bufferevent_get_input(conn->bev);

	gate_set_state(conn, CONN_IDLE);
	conn->served = true;
	if (evbuffer_get_length(input)) {
		/* evhttp would read this by itself as soon as we return: keep it until the pump has looked at it. */
		if (!conn->held)
			conn->held = evbuffer_new();
		evbuffer_add_buffer(conn->held, input);
	}
	if (conn->held || conn->server->draining)
		queue_pump(conn);
}

/* -- connections -- */

struct bufferevent *gate_on_connection(struct event_base *base, void *arg)
{
	struct http_server *server = arg;
	struct bufferevent *bev = bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);
	struct timeval write_timeout = { .tv_sec = (time_t)(server->limits.write_ms / 1000),
		                         .tv_usec = (suseconds_t)(server->limits.write_ms % 1000 * 1000) };
	struct conn *conn = mem_alloc(sizeof *conn);

	BUG_ON(!bev);
	bufferevent_incref(bev);
	conn->magic = CONN_MAGIC;
	conn->server = server;
	conn->bev = bev;
	conn->since_us = clock_monotonic_us();
	evbuffer_add_cb(bufferevent_get_input(bev), gate_on_input, conn);
	bufferevent_set_timeouts(bev, NULL, &write_timeout);
	set_high(conn, head_room(conn));
	TAILQ_INSERT_TAIL(&server->conns[CONN_IDLE], conn, link);
	if (server->connections++ == 0)
		timer_start_us(&server->sweep, SWEEP_US);
	queue_pump(conn);
	return bev;
}

static struct conn *first_older(struct http_server *server, enum conn_state state, int64_t now_us, int64_t limit_ms)
{
	struct conn *conn = TAILQ_FIRST(&server->conns[state]);

	return conn && conn->ready && now_us - conn->since_us >= limit_ms * 1000 ? conn : NULL;
}

void gate_on_sweep(void *arg)
{
	struct http_server *server = arg;
	int64_t now_us = clock_monotonic_us();
	struct conn *conn;

	while ((conn = first_older(server, CONN_IDLE, now_us, server->limits.idle_ms)))
		gate_end(conn);
	while (server->draining && (conn = first_older(server, CONN_IDLE, now_us, DRAIN_FIRST_US / 1000)))
		gate_end(conn);
	server_check_drained(server);
	while ((conn = first_older(server, CONN_HEAD, now_us, server->limits.request_ms)))
		refuse(conn, 408, "the request was not complete in time");
	while ((conn = first_older(server, CONN_REFUSED, now_us, REFUSED_LINGER_MS)))
		gate_end(conn);
	if (server->connections)
		timer_start_us(&server->sweep, SWEEP_US);
}
