/*
 * What workers tell each other over Redis, so that nobody has to wait for a look at the store: hints for an owner of runs, and which tenants have new events. Without
 * Redis, or while it does not answer, the same happens by these looks, later. One per worker; everything in the loop's thread. See bus.c.
 */
#pragma once

#include "net/redis.h"
#include "run/engine.h"

struct bus;

struct bus_options {
	struct loop *loop;
	struct store *store;
	struct metrics *metrics;
	const struct rng *rng;
	const char *redis_url;              /* NULL: no Redis */
	int64_t stream_length;              /* events kept in a stream of Redis that no group reads */
};

/* ERR_INVALID: the URL is none. A Redis that does not answer is no error. */
MUST_CHECK int bus_new(const struct bus_options *options, struct bus **out, struct errbuf *e);
/* The engine is there: hear what it emits, and what others tell it. Free the bus after the engine. */
void bus_attach(struct bus *bus, struct engine *engine);
void bus_free(struct bus *bus);

/* One listener: this tenant has new events, emitted here or on another worker. */
void bus_on_events(struct bus *bus, void (*fn)(void *arg, const char *tenant), void *arg);
/* One listener for hints that other workers send to this one. Anybody who can publish in Redis can send one: text from outside. */
void bus_on_hints(struct bus *bus, void (*fn)(void *arg, struct str hint), void *arg);
/* A hint for the engine of another worker ("*": of each); one message for all that are sent in a turn of the loop. False: not possible now, the hint goes another way. */
bool bus_send_hint(void *bus, const char *worker, const char *text);
enum bus_redis { BUS_REDIS_OFF, BUS_REDIS_UP, BUS_REDIS_DOWN };
enum bus_redis bus_redis(const struct bus *bus);
