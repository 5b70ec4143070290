/*
 * Memory of one transaction: values asked with and answered live in it and go all at once. The first block is kept when the arena is
 * reset, so that a transaction from the freelist allocates nothing in the common case. One owner at a time; not thread-safe.
 */
#pragma once

#include "base/bytes.h"

struct arena_block;
struct arena {
	struct arena_block *blocks;   /* newest first; the last one is the one that is kept */
};

void arena_init(struct arena *a);
void arena_fini(struct arena *a);
void arena_reset(struct arena *a);
/* n bytes aligned for any value, not zeroed; never NULL. */
void *arena_alloc(struct arena *a, size_t n);
struct str arena_copy(struct arena *a, struct str s);   /* {NULL, 0} stays what it is; else terminated by a NUL that is not counted */
