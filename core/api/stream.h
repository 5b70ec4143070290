/*
 * Server-sent events of one run: its history from the journal, then what happens, until it has ended. See stream.c.
 */
#pragma once

#include "base/json.h"

#include <sys/queue.h>

struct api;
struct call;
struct http_request;
struct stream;
TAILQ_HEAD(stream_list, stream);

#define STREAM_END_ID "end"      /* of the last event: a client that has it has everything */

/* Takes the call's request. run: the object of GET /v1/runs/{run}. */
void stream_start(struct call *call, const json_t *run);
/* Ends a stream's request. A worker that may have been replaced says nothing any more, not even that this is the end. */
void stream_close(struct api *api, struct http_request *request);
/* At the end of the loop's turn. */
void stream_end_all(struct api *api);
