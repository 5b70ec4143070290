/* The open connections of one thread, by tenant, bounded: the one used longest ago is closed for a new one. Not thread-safe. */
#pragma once

#include "store/sqlite/connection.h"

enum { POOL_BUCKETS = 512 };

struct pool {
	const struct folder *folder;
	enum connection_mode mode;
	size_t max, count;
	struct connection *buckets[POOL_BUCKETS];
	struct connection *newest, *oldest;
};

void pool_init(struct pool *pool, const struct folder *folder, enum connection_mode mode, size_t max);
void pool_fini(struct pool *pool);
/* Borrowed until the next pool_get or pool_drop. Never closes a connection with transactions queued; *crowded: all are such, serve them first. */
MUST_CHECK int pool_get(struct pool *pool, struct str tenant, struct connection **out, bool *crowded, struct errbuf *e);
void pool_drop(struct pool *pool, struct connection *c);
