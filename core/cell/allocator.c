#include "cell/allocator.h"

#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE 4096u
#define STEP 16u            /* classes 0..63: 16, 32, … 1024 bytes */
#define STEPPED_MAX 1024u
#define SMALL_MAX 65536u    /* classes 64..87: four to each doubling up to 64 KiB */
#define BASE ((uintptr_t)1 << 44) /* far from where Linux puts anything by itself; LuaJIT wants addresses below 2^47 */
#define CHUNK (2u << 20)    /* the size of a huge page, and aligned to it */
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25    /* Linux 6.1 */
#endif

static size_t round_up(size_t n, size_t to)
{
	return (n + to - 1) & ~(to - 1);
}

/* The class that holds n bytes (1 <= n <= SMALL_MAX), and its size. */
static unsigned class_of(size_t n, size_t *size)
{
	unsigned top, quarter;

	if (n <= STEPPED_MAX) {
		*size = round_up(n, STEP);
		return (unsigned)(*size / STEP) - 1;
	}
	top = 63u - (unsigned)__builtin_clzll((unsigned long long)(n - 1)); /* 2^top <= n - 1 < 2^(top + 1) */
	quarter = (unsigned)(((n - 1) >> (top - 2)) & 3u);
	*size = ((size_t)5 + quarter) << (top - 2);
	return 64 + (top - 10) * 4 + quarter;
}

static void *map(struct arena *arena, size_t bytes)
{
	void *p = mmap(arena->next, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	arena->next += round_up(bytes, PAGE) + PAGE; /* a guard page behind each */
	return p;
}

static char *map_chunk(struct arena *arena)
{
	char *p;

	arena->next = (char *)round_up((uintptr_t)arena->next, CHUNK);
	p = map(arena, CHUNK);
	if (p && arena->frozen) /* in a cell: small pages, which cost nothing until they are touched */
		madvise(p, CHUNK, MADV_NOHUGEPAGE);
	else if (p && arena->chunks < ARENA_CHUNKS)
		arena->chunk[arena->chunks++] = p;
	return p;
}

static void *cut(struct arena *arena, size_t size)
{
	void *p;

	if ((size_t)(arena->bump_end - arena->bump) < size) {
		p = map_chunk(arena); /* the rest of the old chunk, at most 64 KiB, is given up */
		if (!p)
			return NULL;
		arena->bump = p;
		arena->bump_end = arena->bump + CHUNK;
	}
	p = arena->bump;
	arena->bump += size;
	return p;
}

static void *take(struct arena *arena, size_t n)
{
	struct arena_free *block;
	unsigned class;
	size_t size;

	if (n > SMALL_MAX)
		return map(arena, round_up(n, PAGE));
	class = class_of(n, &size);
	block = arena->free[class];
	if (block) {
		arena->free[class] = block->next;
		return block;
	}
	return cut(arena, size);
}

static void give(struct arena *arena, void *p, size_t n)
{
	struct arena_free *block = p;
	unsigned class;
	size_t size;

	if (n > SMALL_MAX) {
		munmap(p, round_up(n, PAGE));
		return;
	}
	class = class_of(n, &size);
	block->next = arena->free[class];
	arena->free[class] = block;
}

static bool same_place(size_t old_size, size_t new_size)
{
	size_t a, b;

	if (old_size > SMALL_MAX || new_size > SMALL_MAX)
		return old_size > SMALL_MAX && new_size > SMALL_MAX && round_up(old_size, PAGE) == round_up(new_size, PAGE);
	return class_of(old_size, &a) == class_of(new_size, &b);
}

static void *resize(struct arena *arena, void *block, size_t old_size, size_t new_size)
{
	void *p;

	if (same_place(old_size, new_size))
		return block;
	if (old_size > SMALL_MAX && new_size > SMALL_MAX) {
		p = mremap(block, round_up(old_size, PAGE), round_up(new_size, PAGE), MREMAP_MAYMOVE | MREMAP_FIXED, arena->next);
		if (p == MAP_FAILED)
			return NULL;
		arena->next += round_up(new_size, PAGE) + PAGE;
		return p;
	}
	p = take(arena, new_size);
	if (!p)
		return NULL;
	memcpy(p, block, old_size < new_size ? old_size : new_size);
	give(arena, block, old_size);
	return p;
}

void arena_init(struct arena *arena)
{
	*arena = (struct arena){ .limit = SIZE_MAX, .mark = SIZE_MAX, .next = (char *)BASE };
}

void arena_limit(struct arena *arena, size_t limit_bytes, size_t mark_bytes)
{
	arena->base = arena->used;
	arena->limit = limit_bytes;
	arena->mark = mark_bytes;
}

void arena_freeze(struct arena *arena)
{
	size_t i;

	for (i = 0; i < arena->chunks; i++)
		madvise(arena->chunk[i], CHUNK, MADV_COLLAPSE); /* or not: it is as right without */
	arena->frozen = true;
	memset(arena->free, 0, sizeof arena->free);
	arena->bump = map_chunk(arena); /* one for the cells, which need not ask for it then */
	arena->bump_end = arena->bump ? arena->bump + CHUNK : NULL;
}

size_t arena_used(const struct arena *arena)
{
	return arena->used > arena->base ? arena->used - arena->base : 0;
}

void *arena_realloc(void *state, void *block, size_t old_size, size_t new_size)
{
	struct arena *arena = state;
	size_t above;
	void *p;

	if (new_size == 0) {
		if (block && old_size) {
			give(arena, block, old_size);
			arena->used -= old_size;
		}
		return NULL;
	}
	if (!block)
		old_size = 0;
	if (new_size > old_size) {
		above = arena_used(arena) + (new_size - old_size);
		if (above > arena->limit) {
			if (arena->on_denied)
				arena->on_denied(arena);
			return NULL;
		}
		if (above > arena->mark) {
			arena->mark = SIZE_MAX;
			if (arena->on_mark)
				arena->on_mark(arena);
		}
	}
	p = old_size ? resize(arena, block, old_size, new_size) : take(arena, new_size);
	if (!p && new_size <= old_size)
		p = block; /* shrinking never fails */
	if (!p) {
		if (arena->on_denied)
			arena->on_denied(arena);
		return NULL;
	}
	arena->used += new_size - old_size;
	return p;
}
