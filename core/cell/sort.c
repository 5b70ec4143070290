#include "cell/sort.h"

#include "base/bytes.h"

#include <stdlib.h>
#include <string.h>

#define FEW 12

struct sorter {
	size_t size;
	int (*compare)(const void *a, const void *b);
	char *spare;  /* room for half of the items */
};

static void insert_each(const struct sorter *s, char *items, size_t n)
{
	char one[SORT_SIZE_MAX];
	size_t i, at;

	for (i = 1; i < n; i++) {
		for (at = i; at > 0 && s->compare(items + (at - 1) * s->size, items + i * s->size) > 0; at--)
			;
		if (at == i)
			continue;
		memcpy(one, items + i * s->size, s->size);
		memmove(items + (at + 1) * s->size, items + at * s->size, (i - at) * s->size);
		memcpy(items + at * s->size, one, s->size);
	}
}

static void merge(const struct sorter *s, char *items, size_t half, size_t n)
{
	char *left = s->spare, *left_end = left + half * s->size, *right = items + half * s->size, *end = items + n * s->size;

	if (s->compare(right - s->size, right) <= 0)
		return; /* in order already */
	memcpy(left, items, half * s->size);
	while (left < left_end && right < end) {
		char **from = s->compare(left, right) <= 0 ? &left : &right;

		memcpy(items, *from, s->size);
		*from += s->size;
		items += s->size;
	}
	memcpy(items, left, (size_t)(left_end - left)); /* what is left of the right half lies where it belongs */
}

static void sort_part(const struct sorter *s, char *items, size_t n)
{
	size_t half = n / 2;

	if (n <= FEW) {
		insert_each(s, items, n);
		return;
	}
	sort_part(s, items, half);
	sort_part(s, items + half * s->size, n - half);
	merge(s, items, half, n);
}

void sort_items(void *items, size_t n, size_t size, int (*compare)(const void *a, const void *b))
{
	struct sorter s = { .size = size, .compare = compare };

	BUG_ON(size > SORT_SIZE_MAX);
	if (n < 2)
		return;
	if (n > FEW)
		s.spare = mem_array(n / 2 + 1, size);
	sort_part(&s, items, n);
	free(s.spare);
}
