/*
 * The memory of a Lua state: counted, capped, and laid out so that a fork stays cheap.
 *
 * Small blocks come from size classes cut off chunks of 2 MiB, large ones from mmap. arena_freeze makes huge pages of the chunks, where the kernel can,
 * so that a fork copies one entry for 2 MiB instead of 512; and it forgets the free blocks: a cell then writes to fresh pages only, instead of copying a page of the
 * stem for every small block it takes.
 * All addresses are the same in every process: tables with tables or functions as keys hash by address, and a replay shall collide alike.
 * The cap counts bytes asked for since arena_limit. It is soft first: `on_mark` fires once when the mark is passed.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define ARENA_CLASSES 88
#define ARENA_CHUNKS 256 /* so many are known for huge pages: 512 MiB */

struct arena_free {
	struct arena_free *next;
};

struct arena {
	size_t used;                          /* bytes alive, as asked for */
	size_t base;                          /* `used` when the limit was set */
	size_t limit;                         /* bytes above base; SIZE_MAX: none */
	size_t mark;                          /* bytes above base; SIZE_MAX: none */
	void (*on_mark)(struct arena *arena); /* may set a new mark; must not allocate */
	void (*on_denied)(struct arena *arena);
	char *bump, *bump_end;                /* unused rest of the current chunk */
	struct arena_free *free[ARENA_CLASSES];
	bool frozen;
	char *next;                           /* address of the next mapping; none is used twice */
	size_t chunks;
	char *chunk[ARENA_CHUNKS];
};

void arena_init(struct arena *arena);
/* Count from now on. */
void arena_limit(struct arena *arena, size_t limit_bytes, size_t mark_bytes);
/* Forget free blocks and start on a fresh page: before forking. */
void arena_freeze(struct arena *arena);
size_t arena_used(const struct arena *arena); /* bytes above base; 0 when below */
/* A lua_Alloc: the state is the arena. */
void *arena_realloc(void *state, void *block, size_t old_size, size_t new_size);
