#include "store/arena.h"

#include <stdlib.h>
#include <string.h>

enum {
	FIRST_BLOCK_BYTES = 8 << 10,   /* holds a journal append with a small record */
	LATER_BLOCK_BYTES = 64 << 10,
	ALIGNMENT = 16,
};

struct arena_block {
	struct arena_block *next;
	size_t used, size;
	_Alignas(ALIGNMENT) char bytes[];
};

static struct arena_block *block_new(size_t size, struct arena_block *next)
{
	struct arena_block *block = malloc(sizeof(*block) + size);

	BUG_ON(block == NULL);
	block->next = next;
	block->used = 0;
	block->size = size;
	return block;
}

void arena_init(struct arena *a)
{
	a->blocks = NULL;
}

void arena_reset(struct arena *a)
{
	struct arena_block *block = a->blocks, *next;

	if (block == NULL)
		return;
	for (; (next = block->next) != NULL; block = next)
		free(block);
	block->used = 0;
	a->blocks = block;
}

void arena_fini(struct arena *a)
{
	arena_reset(a);
	free(a->blocks);
	a->blocks = NULL;
}

void *arena_alloc(struct arena *a, size_t n)
{
	struct arena_block *block = a->blocks;
	size_t size;
	void *p;

	BUG_ON(n > SIZE_MAX / 2);
	n = (n + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
	if (block == NULL || block->size - block->used < n) {
		if (block == NULL)
			block = a->blocks = block_new(FIRST_BLOCK_BYTES, NULL);
		if (block->size - block->used < n) {
			size = n > LATER_BLOCK_BYTES ? n : LATER_BLOCK_BYTES;
			block = a->blocks = block_new(size, block);
		}
	}
	p = block->bytes + block->used;
	block->used += n;
	return p;
}

struct str
arena_copy(struct arena *a, struct str s)
{
	char *p;

	if (s.p == NULL)
		return (struct str){ NULL, 0 };
	p = arena_alloc(a, s.n + 1);
	memcpy(p, s.p, s.n);
	p[s.n] = '\0';
	return (struct str){ p, s.n };
}
