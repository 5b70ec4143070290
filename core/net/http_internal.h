/* What http_gate.c (connections, requests coming in) and http_server.c (life cycle, answers going out) share, and nobody else. */
#pragma once

#include "net/http_head.h"
#include "net/http_server.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <sys/queue.h>

/* IDLE → HEAD → BODY → HANDLING → IDLE; any of the first three → REFUSED, which reads and drops until the client has closed. */
enum conn_state { CONN_IDLE, CONN_HEAD, CONN_BODY, CONN_HANDLING, CONN_REFUSED, CONN_STATES };

#define LISTENERS_MAX 8
#define DRAIN_FIRST_US 1000000       /* a drain waits so long for the first request of a connection that has just come */
#define CONN_MAGIC 0x434f4e4eu
#define REQUEST_MAGIC 0x48545251u

struct conn {
	uint32_t magic;
	struct http_server *server;
	struct bufferevent *bev;         /* a reference of ours; NULL once evhttp has ended the connection */
	TAILQ_ENTRY(conn) link;          /* in server->conns[state], oldest entry into the state first */
	enum conn_state state;
	int64_t since_us;                /* entry into the state; for HEAD and BODY: the request's first byte */
	bool served;                     /* has had an answer: its client knows that the connection may end between two requests */
	bool ready;                      /* registered with evhttp: its end is heard of */
	bool counted;                    /* in server->counted: settled, and not refused */
	bool pump_queued, pumping;
	struct loop_item pump;
	size_t buffered;                 /* bytes of ours in server->buffered_bytes */
	size_t seen;                     /* of the head, looked at */
	struct http_head head;           /* slices are void once evhttp has read */
	struct http_chunks chunks;
	struct evbuffer *held;           /* what a client sent ahead while its request was handled; NULL mostly */
	struct http_request *request;    /* HANDLING */
};
TAILQ_HEAD(conn_list, conn);

struct http_request {
	uint32_t magic;
	struct http_server *server;
	struct conn *conn;               /* NULL once the client is gone */
	struct evhttp_request *ev;
	int64_t started_us;
	bool streaming, has_body;
	void (*on_close)(struct http_request *request, void *arg);
	void *on_close_arg;
	void (*when_taken)(void *arg);
	void *when_taken_arg;
	struct loop_item gone;
	bool gone_queued, ended;
};

struct http_server {
	struct loop *loop;
	struct http_limits limits;
	struct http_server_options options;
	struct evhttp *http;
	struct evhttp_bound_socket *listeners[LISTENERS_MAX];
	size_t listener_count;
	struct conn_list conns[CONN_STATES];
	size_t connections, counted, requests, buffered_bytes;
	struct conn *releasing;          /* the one whose request evhttp is reading right now */
	struct timer sweep;
	bool draining, freed;
	void (*drained)(void *arg);
	void *drained_arg;
	struct loop_item drained_item;
	bool drained_queued;
};

/* gate */
struct bufferevent *gate_on_connection(struct event_base *base, void *server);
void gate_on_sweep(void *server);
void gate_on_answered(struct conn *conn);   /* evhttp has written the answer and reads on after we return */
void gate_set_state(struct conn *conn, enum conn_state state);
void gate_end(struct conn *conn);           /* as if the client had closed */

/* server */
void server_on_request(struct evhttp_request *ev, void *server);
void server_on_gone(struct conn *conn);     /* the connection under conn->request is gone */
void server_check_drained(struct http_server *server);
