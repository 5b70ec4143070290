/* Sorting without the C library's qsort, which asks the kernel for the size of memory (and a cell may not ask). Stable. */
#pragma once

#include <stddef.h>

#define SORT_SIZE_MAX 64 /* bytes of one item */

void sort_items(void *items, size_t n, size_t size, int (*compare)(const void *a, const void *b));
