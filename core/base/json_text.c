#include "base/json_text.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* For each byte: 0 = as it is, 'u' = \u00XX, else the letter behind the backslash. */
static const char escapes[256] = {
	['\b'] = 'b',  ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r', ['"'] = '"',
	['\\'] = '\\', [0x00] = 'u', [0x01] = 'u', [0x02] = 'u', [0x03] = 'u', [0x04] = 'u',
	[0x05] = 'u',  [0x06] = 'u', [0x07] = 'u', [0x0b] = 'u', [0x0e] = 'u', [0x0f] = 'u',
	[0x10] = 'u',  [0x11] = 'u', [0x12] = 'u', [0x13] = 'u', [0x14] = 'u', [0x15] = 'u',
	[0x16] = 'u',  [0x17] = 'u', [0x18] = 'u', [0x19] = 'u', [0x1a] = 'u', [0x1b] = 'u',
	[0x1c] = 'u',  [0x1d] = 'u', [0x1e] = 'u', [0x1f] = 'u',
};

static void add_escape(struct buf *b, unsigned char c)
{
	static const char digits[] = "0123456789abcdef";
	char text[6] = { '\\', escapes[c], '0', '0', digits[c >> 4], digits[c & 15] };

	buf_add(b, text, escapes[c] == 'u' ? 6 : 2);
}

void json_add_string(struct buf *b, struct str s)
{
	size_t i, plain = 0;

	buf_add_char(b, '"');
	for (i = 0; i < s.n; i++) {
		if (!escapes[(unsigned char)s.p[i]])
			continue;
		buf_add(b, s.p + plain, i - plain);
		add_escape(b, (unsigned char)s.p[i]);
		plain = i + 1;
	}
	if (s.n > plain)
		buf_add(b, s.p + plain, s.n - plain);
	buf_add_char(b, '"');
}

void json_add_int(struct buf *b, int64_t value)
{
	char text[20]; /* "-9223372036854775808" */
	size_t at = sizeof text;
	uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;

	do {
		text[--at] = (char)('0' + rest % 10);
		rest /= 10;
	} while (rest);
	if (value < 0)
		text[--at] = '-';
	buf_add(b, text + at, sizeof text - at);
}

/* printf and strtod agree on the decimal point of whatever locale is set; JSON has only one. */
static void point_to_dot(char *text)
{
	char *from = text, *to = text;

	while (*from) {
		if ((*from >= '0' && *from <= '9') || strchr("+-e", *from)) {
			*to++ = *from++;
			continue;
		}
		*to++ = '.';
		while (*from && !(*from >= '0' && *from <= '9'))
			from++;
	}
	*to = '\0';
}

static bool same_bits(double a, double b)
{
	return memcmp(&a, &b, sizeof a) == 0;
}

/*
 * The common case without printf: at most 15 digits, some of them behind the point. n / 10^k is
 * rounded once, as a reader rounds the text: when that is the value, so is what is read. Same text
 * as %.15g.
 */
static bool add_short_decimal(struct buf *b, double value)
{
	static const double powers[] = { 1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6 };
	double size = fabs(value);
	int64_t digits, scale = 1;
	int k;

	if (size < 1e-4 || size >= 1e9)
		return false;
	for (k = 1; k <= 6; k++) {
		scale *= 10;
		digits = (int64_t)(size * powers[k] + 0.5);
		if ((double)digits / powers[k] == size)
			break;
	}
	if (k > 6)
		return false;
	if (value < 0)
		buf_add_char(b, '-');
	json_add_int(b, digits / scale);
	buf_add_char(b, '.');
	for (digits %= scale; scale > 1; digits %= scale) {
		scale /= 10;
		buf_add_char(b, (char)('0' + digits / scale));
	}
	return true;
}

bool json_add_double(struct buf *b, double value)
{
	char text[40];
	int digits;

	if (!isfinite(value))
		return false;
	if (fabs(value) < 9007199254740992.0 && same_bits((double)(int64_t)value, value)) {
		json_add_int(b, (int64_t)value);
		return true;
	}
	if (same_bits(value, -0.0)) {
		buf_add(b, "-0.0", 4);
		return true;
	}
	if (add_short_decimal(b, value))
		return true;
	/* 15 digits always survive a normal double; a subnormal one has fewer to begin with. */
	digits = fabs(value) < DBL_MIN ? 1 : 15;
	for (; digits <= 17; digits++) {
		snprintf(text, sizeof text, "%.*g", digits, value);
		if (digits == 17 || same_bits(strtod(text, NULL), value))
			break;
	}
	point_to_dot(text);
	buf_add_text(b, text);
	return true;
}

/* Length of the well-formed multi-byte sequence at p (at most n bytes), or 0; RFC 3629's table. */
static size_t utf8_sequence(const unsigned char *p, size_t n)
{
	unsigned char low = 0x80, high = 0xbf;
	size_t length, i;

	if (p[0] >= 0xc2 && p[0] <= 0xdf)
		length = 2;
	else if ((p[0] & 0xf0) == 0xe0)
		length = 3;
	else if (p[0] >= 0xf0 && p[0] <= 0xf4)
		length = 4;
	else
		return 0;
	if (n < length)
		return 0;
	if (p[0] == 0xe0)
		low = 0xa0; /* overlong */
	else if (p[0] == 0xed)
		high = 0x9f; /* surrogates */
	else if (p[0] == 0xf0)
		low = 0x90; /* overlong */
	else if (p[0] == 0xf4)
		high = 0x8f; /* above U+10FFFF */
	if (p[1] < low || p[1] > high)
		return 0;
	for (i = 2; i < length; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	}
	return length;
}

bool utf8_is_valid(struct str s)
{
	const unsigned char *p = (const unsigned char *)s.p;
	size_t i = 0, step;
	uint64_t eight;

	while (i < s.n) {
		if (s.n - i >= 8) {
			memcpy(&eight, p + i, 8);
			if (!(eight & UINT64_C(0x8080808080808080))) {
				i += 8;
				continue;
			}
		}
		if (p[i] < 0x80) {
			i++;
			continue;
		}
		step = utf8_sequence(p + i, s.n - i);
		if (step == 0)
			return false;
		i += step;
	}
	return true;
}

size_t json_depth(struct str text)
{
	size_t depth = 0, most = 0, i;
	bool in_string = false;

	for (i = 0; i < text.n; i++) {
		char c = text.p[i];

		if (in_string) {
			if (c == '\\')
				i++;
			else if (c == '"')
				in_string = false;
		} else if (c == '"') {
			in_string = true;
		} else if (c == '[' || c == '{') {
			if (++depth > most)
				most = depth;
		} else if ((c == ']' || c == '}') && depth > 0) {
			depth--;
		}
	}
	return most;
}
