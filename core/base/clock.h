/* Time and randomness as sources that tests and `perigee test` replace. Times are unix microseconds in UTC. */
#pragma once

#include "base/bytes.h"

struct clock {
	int64_t (*now_us)(void *context);     /* wall clock; never goes back for one source: one that is set back goes on at half speed until it is right again */
	void *context;
};
struct rng {
	void (*fill)(void *context, void *p, size_t n);
	void *context;
};

extern const struct clock clock_system;
extern const struct rng rng_system;          /* getrandom(2) */
int64_t clock_now_us(const struct clock *c);
int64_t clock_monotonic_us(void);            /* for durations and deadlines inside one process */
void rng_fill(const struct rng *r, void *p, size_t n);

/* A clock that stands until it is moved: `perigee test`, unit tests. */
struct clock_manual { int64_t now_us; };
struct clock clock_manual_source(struct clock_manual *m);

#define TIME_TEXT_SIZE 25                    /* "2026-11-22T10:00:00.000Z" and NUL */
void time_format(int64_t at_us, char out[TIME_TEXT_SIZE]);
/* RFC 3339 with zone (fraction optional) to unix µs; years 1970 to 9999. */
MUST_CHECK bool time_parse(struct str text, int64_t *at_us);
