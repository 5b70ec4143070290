#include "store/sqlite/pool.h"

#include <string.h>

void pool_init(struct pool *pool, const struct folder *folder, enum connection_mode mode, size_t max)
{
	*pool = (struct pool){ .folder = folder, .mode = mode, .max = max };
}

static size_t bucket_of(struct str tenant)
{
	uint32_t h = 2166136261u;

	for (size_t i = 0; i < tenant.n; i++)
		h = (h ^ (uint8_t)tenant.p[i]) * 16777619u;
	return h % POOL_BUCKETS;
}

static void used_unlink(struct pool *pool, struct connection *c)
{
	*(c->newer != NULL ? &c->newer->older : &pool->newest) = c->older;
	*(c->older != NULL ? &c->older->newer : &pool->oldest) = c->newer;
}

static void used_now(struct pool *pool, struct connection *c)
{
	c->newer = NULL;
	c->older = pool->newest;
	*(pool->newest != NULL ? &pool->newest->newer : &pool->oldest) = c;
	pool->newest = c;
}

void pool_drop(struct pool *pool, struct connection *c)
{
	struct connection **p = &pool->buckets[bucket_of(str_of(c->tenant))];

	while (*p != c) {
		BUG_ON(*p == NULL);
		p = &(*p)->bucket_next;
	}
	*p = c->bucket_next;
	used_unlink(pool, c);
	pool->count--;
	connection_close(c);
}

void pool_fini(struct pool *pool)
{
	while (pool->newest != NULL)
		pool_drop(pool, pool->newest);
}

/* Close the idle connection that was used longest ago; false when none is idle. */
static bool make_room(struct pool *pool)
{
	struct connection *c = pool->oldest;

	while (c != NULL && c->first != NULL)
		c = c->newer;
	if (c != NULL)
		pool_drop(pool, c);
	return c != NULL;
}

int pool_get(struct pool *pool, struct str tenant, struct connection **out, bool *crowded, struct errbuf *e)
{
	struct connection **bucket = &pool->buckets[bucket_of(tenant)], *c;
	int code;

	*crowded = false;
	*out = NULL;
	for (c = *bucket; c != NULL; c = c->bucket_next) {
		if (!str_is(tenant, c->tenant))
			continue;
		if (c != pool->newest) {
			used_unlink(pool, c);
			used_now(pool, c);
		}
		*out = c;
		return 0;
	}
	if (pool->count >= pool->max && !make_room(pool)) {
		*crowded = true;
		return 0;
	}
	code = connection_open(pool->folder, tenant, pool->mode, &c, e);
	if (code != 0)
		return code;
	c->end = &c->first;
	c->bucket_next = *bucket;
	*bucket = c;
	used_now(pool, c);
	pool->count++;
	*out = c;
	return 0;
}
