#include "base/bytes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BUF_FIRST_CAP 128u

void bug(const char *file, int line, const char *what)
{
	char text[512];
	int n = snprintf(text, sizeof text, "perigee: bug at %s:%d: %s\n", file, line, what);

	if (n > 0) {
		size_t len = (size_t)n < sizeof text ? (size_t)n : sizeof text - 1;
		if (write(STDERR_FILENO, text, len) < 0) {
			/* nobody left to tell */
		}
	}
	abort();
}

static _Noreturn void mem_out(void)
{
	bug(__FILE__, __LINE__, "out of memory");
}

void *mem_alloc(size_t n)
{
	void *p = calloc(1, n ? n : 1);

	if (!p)
		mem_out();
	return p;
}

void *mem_array(size_t count, size_t size)
{
	void *p = calloc(count ? count : 1, size ? size : 1);

	if (!p)
		mem_out();
	return p;
}

void *mem_grow(void *p, size_t count, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(count, size, &bytes))
		mem_out();
	p = realloc(p, bytes ? bytes : 1);
	if (!p)
		mem_out();
	return p;
}

char *mem_copy(struct str s)
{
	char *p;

	if (s.n == SIZE_MAX)
		mem_out();
	p = malloc(s.n + 1);
	if (!p)
		mem_out();
	if (s.n)
		memcpy(p, s.p, s.n);
	p[s.n] = '\0';
	return p;
}

struct str str_of(const char *terminated)
{
	return (struct str){ terminated, terminated ? strlen(terminated) : 0 };
}

bool str_equal(struct str a, struct str b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

bool str_is(struct str a, const char *terminated)
{
	return str_equal(a, str_of(terminated));
}

bool str_starts(struct str a, const char *prefix)
{
	size_t n = strlen(prefix);

	return a.n >= n && (n == 0 || memcmp(a.p, prefix, n) == 0);
}

bool str_ends(struct str a, const char *suffix)
{
	size_t n = strlen(suffix);

	return a.n >= n && (n == 0 || memcmp(a.p + a.n - n, suffix, n) == 0);
}

int str_compare(struct str a, struct str b)
{
	size_t shared = a.n < b.n ? a.n : b.n;
	int order = shared ? memcmp(a.p, b.p, shared) : 0;

	if (order)
		return order;
	return a.n < b.n ? -1 : a.n > b.n;
}

/* Read digits off the front of s as a value up to INT64_MAX: how many, or 0 (none, too large). */
static size_t take_digits(struct str s, int64_t *out)
{
	int64_t value = 0;
	size_t i;

	for (i = 0; i < s.n && s.p[i] >= '0' && s.p[i] <= '9'; i++) {
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, s.p[i] - '0', &value))
			return 0;
	}
	*out = value;
	return i;
}

bool str_to_int(struct str s, int64_t least, int64_t most, int64_t *out)
{
	bool negative = s.n > 0 && s.p[0] == '-';
	int64_t value = 0;
	size_t i = negative ? 1 : 0;

	if (i == s.n)
		return false;
	for (; i < s.n; i++) { /* downwards, because INT64_MIN has no positive twin */
		if (s.p[i] < '0' || s.p[i] > '9' || __builtin_mul_overflow(value, 10, &value) ||
		    __builtin_sub_overflow(value, s.p[i] - '0', &value))
			return false;
	}
	if (!negative) {
		if (value == INT64_MIN)
			return false;
		value = -value;
	}
	if (value < least || value > most)
		return false;
	*out = value;
	return true;
}

struct unit {
	const char *name;
	int64_t factor;
};

static bool parse_quantity(struct str s, const struct unit *units, int64_t *out)
{
	int64_t value;
	size_t digits = take_digits(s, &value);
	struct str rest;

	if (digits == 0)
		return false;
	rest = (struct str){ s.p + digits, s.n - digits };
	for (; units->name; units++) {
		if (str_is(rest, units->name))
			return !__builtin_mul_overflow(value, units->factor, out);
	}
	return false;
}

bool str_to_duration_ms(struct str s, int64_t *out)
{
	static const struct unit units[] = {
		{ "ms", 1 },         { "s", 1000 },        { "m", 60000 },
		{ "h", INT64_C(3600000) }, { "d", INT64_C(86400000) }, { NULL, 0 },
	};

	return parse_quantity(s, units, out);
}

bool str_to_size_bytes(struct str s, int64_t *out)
{
	static const struct unit units[] = {
		{ "", 1 },
		{ "B", 1 },
		{ "KiB", INT64_C(1) << 10 },
		{ "MiB", INT64_C(1) << 20 },
		{ "GiB", INT64_C(1) << 30 },
		{ "TiB", INT64_C(1) << 40 },
		{ NULL, 0 },
	};

	return parse_quantity(s, units, out);
}

void buf_init(struct buf *b, size_t max)
{
	BUG_ON(max == SIZE_MAX);
	*b = (struct buf){ .max = max };
}

void buf_free(struct buf *b)
{
	if (!b)
		return;
	free(b->p);
	*b = (struct buf){ .max = b->max };
}

void buf_reset(struct buf *b)
{
	b->n = 0;
	b->full = false;
	if (b->p)
		b->p[0] = '\0';
}

char *buf_room(struct buf *b, size_t n)
{
	size_t need, cap;

	if (b->full || n > b->max - b->n) {
		b->full = true;
		return NULL;
	}
	need = b->n + n + 1;
	if (need > b->cap) {
		cap = b->cap ? b->cap : BUF_FIRST_CAP;
		while (cap < need)
			cap = cap > SIZE_MAX / 2 ? need : cap * 2;
		if (cap > b->max + 1)
			cap = b->max + 1;
		b->p = mem_grow(b->p, cap, 1);
		b->cap = cap;
	}
	return b->p + b->n;
}

void buf_add(struct buf *b, const void *p, size_t n)
{
	char *room = buf_room(b, n);

	if (!room)
		return;
	if (n)
		memcpy(room, p, n);
	b->n += n;
	b->p[b->n] = '\0';
}

void buf_add_str(struct buf *b, struct str s)
{
	buf_add(b, s.p, s.n);
}

void buf_add_text(struct buf *b, const char *terminated)
{
	buf_add(b, terminated, terminated ? strlen(terminated) : 0);
}

void buf_add_char(struct buf *b, char c)
{
	if (!b->full && b->n + 1 < b->cap && b->n < b->max) {
		b->p[b->n++] = c;
		b->p[b->n] = '\0';
		return;
	}
	buf_add(b, &c, 1);
}

void buf_addv(struct buf *b, const char *format, va_list args)
{
	char small[256];
	va_list again;
	char *room;
	int n;

	va_copy(again, args);
	n = vsnprintf(small, sizeof small, format, args);
	BUG_ON(n < 0);
	if ((size_t)n < sizeof small) {
		buf_add(b, small, (size_t)n);
	} else {
		room = buf_room(b, (size_t)n);
		if (room) {
			vsnprintf(room, (size_t)n + 1, format, again);
			b->n += (size_t)n;
		}
	}
	va_end(again);
}

void buf_addf(struct buf *b, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	buf_addv(b, format, args);
	va_end(args);
}

void buf_drop_front(struct buf *b, size_t n)
{
	BUG_ON(n > b->n);
	if (n == 0)
		return;
	b->n -= n;
	memmove(b->p, b->p + n, b->n);
	b->p[b->n] = '\0';
}

struct str buf_str(const struct buf *b)
{
	return (struct str){ b->p, b->n };
}

const char *buf_text(const struct buf *b)
{
	if (!b->p)
		return "";
	b->p[b->n] = '\0'; /* buf_room's caller may have added to n without it */
	return b->p;
}

char *buf_take(struct buf *b)
{
	char *p = b->p;

	if (p)
		p[b->n] = '\0';
	else
		p = mem_alloc(1);
	*b = (struct buf){ .max = b->max };
	return p;
}
