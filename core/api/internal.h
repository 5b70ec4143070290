/* The interface's own state, shared by core/api. */
#pragma once

#include "api/call.h"
#include "api/stream.h"
#include "base/metrics.h"

#include <sys/queue.h>

struct auth_cache;
struct start;
TAILQ_HEAD(waits, start);
struct event_stream;
/* Clients of GET /v1/events; timer: while there are any. */
struct event_streams {
	TAILQ_HEAD(, event_stream) list;
	struct timer timer;
};

struct api {
	struct api_options options;
	struct http_limits limits;
	struct http_server *server;
	struct metric *requests_total, *request_seconds;
	struct auth_cache *auth;
	struct stream_list streams;      /* open streams of runs: ended at a drain */
	struct event_streams event_streams;
	struct waits waits;              /* calls that wait for a run: answered at a drain */
	bool started, draining;
};

void waits_end_all(struct api *api);
void event_streams_init(struct api *api);
void event_streams_fini(struct api *api);
void event_streams_wake(struct api *api, const char *tenant);   /* it has new events */
void event_streams_end_all(struct api *api);
void api_dispatch(struct call *call);   /* authenticated: on to the handler */
void api_handle(struct call *call);     /* its handler now; frees the call unless a flow has it */
/* Idempotency-Key on a POST. Does this call ask for it? */
bool idempotency_applies(const struct call *call);
void idempotency_begin(struct call *call);   /* on to api_handle, or the answer of before, 409, 422 */
/* The answer to a claimed call: keeps it, then sends it. */
void idempotency_reply(struct call *call, struct http_request *request, int status, const char *type, struct str body);
void idempotency_release(struct call *call); /* the answer is none to keep */
void auth_start(struct call *call);     /* ends in api_dispatch or in 401, 403 */
struct auth_cache *auth_cache_new(void);
void auth_cache_free(struct auth_cache *cache);
