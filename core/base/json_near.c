#include "base/json_near.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define NAME_MAX_COMPARED 64u
#define NAMES_MAX 200u /* of properties looked at; more are not named in one message anyway */

static unsigned least_of(unsigned a, unsigned b, unsigned c)
{
	unsigned least = a < b ? a : b;

	return least < c ? least : c;
}

/* Edits (insert, delete, replace) between two names; a great number when one is long. */
static unsigned distance(const char *a, const char *b)
{
	unsigned row[NAME_MAX_COMPARED + 1], diagonal, above;
	size_t n = strlen(a), m = strlen(b), i, j;

	if (n > NAME_MAX_COMPARED || m > NAME_MAX_COMPARED)
		return 1000;
	for (j = 0; j <= m; j++)
		row[j] = (unsigned)j;
	for (i = 1; i <= n; i++) {
		diagonal = row[0];
		row[0] = (unsigned)i;
		for (j = 1; j <= m; j++) {
			above = row[j];
			row[j] = least_of(above + 1, row[j - 1] + 1,
					  diagonal + (a[i - 1] != b[j - 1]));
			diagonal = above;
		}
	}
	return row[m];
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static size_t names_of(const json_t *properties, const char **names)
{
	json_t *walked = (json_t *)(uintptr_t)properties;
	void *iter;
	size_t n = 0;

	for (iter = json_object_iter(walked); iter && n < NAMES_MAX;
	     iter = json_object_iter_next(walked, iter))
		names[n++] = json_object_iter_key(iter);
	if (n > 1)
		qsort(names, n, sizeof *names, compare_names);
	return n;
}

static const char *nearest_of(const char *const *names, size_t n, const char *name)
{
	unsigned most = strlen(name) < 4 ? 1 : strlen(name) < 8 ? 2 : 3, best = most + 1, d;
	const char *nearest = NULL;
	size_t i;

	for (i = 0; i < n; i++) {
		d = strcasecmp(names[i], name) == 0 ? 0 : distance(names[i], name);
		if (d < best) {
			best = d;
			nearest = names[i];
		}
	}
	return nearest;
}

void json_near_hint(struct buf *b, const json_t *properties, const char *name)
{
	const char *names[NAMES_MAX], *nearest;
	size_t n = names_of(properties, names), i;

	if (n == 0) {
		buf_add_text(b, "no properties are allowed here");
		return;
	}
	nearest = nearest_of(names, n, name);
	if (nearest) {
		buf_addf(b, "did you mean \"%.100s\"?", nearest);
		return;
	}
	buf_add_text(b, "allowed: ");
	for (i = 0; i < n; i++) {
		if (b->n + strlen(names[i]) + 8 > b->max) {
			buf_add_text(b, ", …");
			return;
		}
		if (i)
			buf_add_text(b, ", ");
		buf_add_text(b, names[i]);
	}
}
