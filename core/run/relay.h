/*
 * The relay: events from the outbox of each tenant into a Redis stream of its own, perigee:TENANT:events, for consumers outside. An event's number is its id
 * there (NUMBER-0), so Redis itself refuses a second copy and anything out of order; where a stream ends says where to go on. See relay.c.
 */
#pragma once

#include "base/metrics.h"
#include "net/redis.h"
#include "store/store.h"

struct relay;

struct relay_options {
	struct loop *loop;
	struct store *store;
	struct redis *redis;
	struct metrics *metrics;
	const char *owner;                  /* id of this worker: copied */
	int64_t length_max;                 /* events kept in a stream that no group reads */
};

struct relay *relay_new(const struct relay_options *options);
void relay_free(struct relay *relay);   /* after its redis: what is outstanding ends first */
/* The tenant has events that are on disk. */
void relay_wake(struct relay *relay, const char *tenant);
/* Redis answers again: everything that is missing there goes in. */
void relay_on_up(struct relay *relay);
