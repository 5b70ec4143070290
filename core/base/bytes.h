/*
 * Borrowed slices and growing buffers.
 *
 * A `struct str` borrows bytes that someone else owns; it is not terminated. A `struct buf` owns its bytes, always keeps a
 * NUL behind them (not counted) and never grows past the maximum given at its init: a write past it sets `full`, which sticks
 * until buf_reset, and changes nothing else, so that a chain of appends is checked once at its end.
 * Out of memory aborts the process: a host is safe to restart at any moment.
 */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF_LIKE(at, first) __attribute__((format(printf, at, first)))

struct str {
	const char *p;
	size_t n;
};

#define STR(literal) ((struct str){ (literal), sizeof(literal) - 1 })
#define STR_ARG(s) (int)(s).n, (s).p /* for %.*s */

struct buf {
	char *p;      /* owned; NULL before the first append */
	size_t n;     /* bytes in use, without the NUL */
	size_t cap;
	size_t max;   /* bytes, without the NUL */
	bool full;    /* an append did not fit: the content is incomplete */
};

/* Stop the process with a message; for states that cannot be. Stays on in production. */
_Noreturn void bug(const char *file, int line, const char *what);
#define BUG_ON(condition) ((condition) ? bug(__FILE__, __LINE__, #condition) : (void)0)

/* Allocate n zeroed bytes / count items of size; abort when memory is out or the product overflows. Free with free(). */
void *mem_alloc(size_t n);
void *mem_array(size_t count, size_t size);
void *mem_grow(void *p, size_t count, size_t size); /* realloc to count items of size */
char *mem_copy(struct str s);                       /* NUL-terminated owned copy */

struct str str_of(const char *terminated);          /* NULL gives an empty slice */
bool str_equal(struct str a, struct str b);
bool str_is(struct str a, const char *terminated);
bool str_starts(struct str a, const char *prefix);
bool str_ends(struct str a, const char *suffix);
int str_compare(struct str a, struct str b);        /* bytewise, shorter first */
/* Whole slice as a decimal integer within [least, most]; false when it is anything else. */
MUST_CHECK bool str_to_int(struct str s, int64_t least, int64_t most, int64_t *out);
/* "250ms" "20s" "5m" "24h" "7d" to milliseconds; "64MiB" "8KiB" "512" to bytes; false when malformed or above INT64_MAX. */
MUST_CHECK bool str_to_duration_ms(struct str s, int64_t *out);
MUST_CHECK bool str_to_size_bytes(struct str s, int64_t *out);

void buf_init(struct buf *b, size_t max);
void buf_free(struct buf *b);                       /* releases; b may be used again with the same maximum */
void buf_reset(struct buf *b);                      /* empties, keeps the memory, clears full */
void buf_add(struct buf *b, const void *p, size_t n);
void buf_add_str(struct buf *b, struct str s);
void buf_add_text(struct buf *b, const char *terminated);
void buf_add_char(struct buf *b, char c);
void buf_addf(struct buf *b, const char *format, ...) PRINTF_LIKE(2, 3);
void buf_addv(struct buf *b, const char *format, va_list args);
/* Make room for n more bytes and return where they go (then add to b->n), or NULL with full set. */
char *buf_room(struct buf *b, size_t n);
void buf_drop_front(struct buf *b, size_t n);       /* n <= b->n */
struct str buf_str(const struct buf *b);
const char *buf_text(const struct buf *b);          /* NUL-terminated, "" when empty; valid until the next change */
char *buf_take(struct buf *b);                      /* gives the bytes away (free()), leaves b empty */
