/*
 * The HTTP interface: routes, authentication, answers. One per worker, over a store, an engine and the metrics that outlive it. Who calls it: cli/
 * (serve, dev). Everything in the loop's thread.
 */
#pragma once

#include "net/http_server.h"
#include "run/bus.h"
#include "run/engine.h"

struct api;

struct api_options {
	struct loop *loop;
	struct store *store;
	struct engine *engine;
	const struct bus *bus;              /* NULL: no Redis is ever there */
	struct metrics *metrics;
	const struct clock *clock;
	const struct rng *rng;
	const struct http_limits *limits;   /* NULL: http_limits_default */
	const char *version;                /* of the program, for openapi.json */
	int64_t runs_per_tenant_max;        /* the engine's, for RateLimit-Policy; 0: not told */
};

/* ERR_BUG when the table of routes contradicts itself (a route without a scope, two for one path). */
MUST_CHECK int api_new(const struct api_options *options, struct api **out, struct errbuf *e);
/* Accept on a listening socket (http_listen). Health answers from here on; the rest as soon as keys and bundles are there. */
MUST_CHECK int api_accept(struct api *api, int fd, struct errbuf *e);
/* A tenant has new events: wake who listens. Without this word they are found within a second. */
void api_events_changed(struct api *api, const char *tenant);
/* Start-up is over: every tenant's bundle is live. Until then /health/startup and /health/ready say 503. */
void api_set_started(struct api *api);
/* Accept no more, answer what is under way, end event streams; then `drained`. */
void api_drain(struct api *api, void (*drained)(void *arg), void *arg);
void api_free(struct api *api);
