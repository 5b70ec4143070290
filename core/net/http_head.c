#include "net/http_head.h"

#include <string.h>
#include <strings.h>

#define TARGET_MAX 8192

static bool is_token_char(char c)
{
	if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))
		return true;
	return c && strchr("!#$%&'*+-.^_`|~", c);
}

static bool is_token(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!is_token_char(s.p[i]))
			return false;
	return s.n > 0;
}

static bool str_is_caseless(struct str s, const char *lower)
{
	return s.n == strlen(lower) && strncasecmp(s.p, lower, s.n) == 0;
}

size_t http_head_blank(struct str bytes)
{
	size_t n = 0;

	while (n + 1 < bytes.n && bytes.p[n] == '\r' && bytes.p[n + 1] == '\n')
		n += 2;
	return n;
}

int http_head_find(struct str bytes, size_t *seen, size_t *head_bytes, const char **why)
{
	*head_bytes = 0;
	while (*seen < bytes.n) {
		size_t i = *seen;
		const char *lf = memchr(bytes.p + i, '\n', bytes.n - i);
		size_t end = lf ? (size_t)(lf - bytes.p) : bytes.n;

		if (memchr(bytes.p + i, '\0', end - i)) {
			*why = "the head of the request contains a NUL byte";
			return 400;
		}
		if (!lf) {
			*seen = bytes.n;
			return 0;
		}
		if (end == 0 || bytes.p[end - 1] != '\r') {
			*why = "a line of the request's head ends with LF alone; lines end with CR LF";
			return 400;
		}
		*seen = end + 1;
		if (end >= 3 && memcmp(bytes.p + end - 3, "\r\n\r", 3) == 0) {
			*head_bytes = end + 1;
			return 0;
		}
	}
	return 0;
}

static int check_method(struct str method, const char **why)
{
	static const char *const known[] = { "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS" };

	if (!is_token(method)) {
		*why = "the request line does not begin with a method";
		return 400;
	}
	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		if (str_is(method, known[i]))
			return 0;
	*why = "the method is none of GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";
	return 405;
}

static int check_target(const struct http_head *head, const char **why)
{
	struct str t = head->target;

	if (t.n > TARGET_MAX) {
		*why = "the request target is longer than 8192 bytes";
		return 414;
	}
	if (str_is(t, "*") && str_is(head->method, "OPTIONS"))
		return 0;
	if (!str_starts(t, "/") && !str_starts(t, "http://") && !str_starts(t, "https://")) {
		*why = "the request target is neither a path nor an http URL";
		return 400;
	}
	for (size_t i = 0; i < t.n; i++)
		if ((unsigned char)t.p[i] <= ' ' || t.p[i] == 0x7f || t.p[i] == '#') {
			*why = "the request target contains a blank, a control byte or a fragment";
			return 400;
		}
	return 0;
}

static int check_request_line(struct str line, struct http_head *out, const char **why)
{
	const char *first = memchr(line.p, ' ', line.n);
	const char *last = memrchr(line.p, ' ', line.n);
	struct str version;
	int status;

	*why = "the request line is not `METHOD TARGET HTTP/1.1`";
	if (!first || first == last)
		return 400;
	out->method = (struct str){ line.p, (size_t)(first - line.p) };
	out->target = (struct str){ first + 1, (size_t)(last - first - 1) };
	version = (struct str){ last + 1, line.n - (size_t)(last + 1 - line.p) };
	if (!str_starts(version, "HTTP/"))
		return 400;
	if (!str_is(version, "HTTP/1.1") && !str_is(version, "HTTP/1.0")) {
		*why = "only HTTP/1.1 and HTTP/1.0 are spoken here";
		return 505;
	}
	out->minor = version.p[7] - '0';
	status = check_method(out->method, why);
	return status ? status : check_target(out, why);
}

/* Fields that may stand once only: two of them mean two readings. */
static const char *const SINGLE[] = { "host", "content-length", "transfer-encoding", "content-type", "authorization", "idempotency-key",
	                              "if-match", "if-none-match", "last-event-id", "expect" };

struct fields {
	unsigned seen; /* a bit for each of SINGLE */
};

static int check_single(struct fields *f, struct str name, const char **why)
{
	for (unsigned i = 0; i < sizeof SINGLE / sizeof *SINGLE; i++) {
		if (!str_is_caseless(name, SINGLE[i]))
			continue;
		if (f->seen & 1u << i) {
			*why = "a header field that may stand only once stands twice";
			return 400;
		}
		f->seen |= 1u << i;
	}
	return 0;
}

static int check_field_meaning(struct str name, struct str value, struct http_head *out, const char **why)
{
	if (str_is_caseless(name, "content-length")) {
		for (size_t i = 0; i < value.n; i++)
			if (value.p[i] < '0' || value.p[i] > '9')
				value.n = 0;
		if (value.n > 18 || !str_to_int(value, 0, INT64_MAX, &out->content_length)) {
			*why = "Content-Length is not a number of bytes";
			return 400;
		}
	} else if (str_is_caseless(name, "transfer-encoding")) {
		if (!str_is_caseless(value, "chunked")) {
			*why = "the only transfer coding spoken here is chunked";
			return 501;
		}
		out->chunked = true;
	} else if (str_is_caseless(name, "expect")) {
		if (!str_is_caseless(value, "100-continue")) {
			*why = "the only expectation met here is 100-continue";
			return 417;
		}
		out->wants_continue = out->minor == 1;
	}
	return 0;
}

static int check_field(struct str line, struct fields *fields, struct http_head *out, const char **why)
{
	const char *colon = memchr(line.p, ':', line.n);
	struct str name, value;
	int status;

	*why = "a header line is not `Name: value`";
	if (!colon)
		return 400;
	name = (struct str){ line.p, (size_t)(colon - line.p) };
	value = (struct str){ colon + 1, line.n - name.n - 1 };
	if (!is_token(name))
		return 400;
	while (value.n && value.p[0] == ' ')
		value.p++, value.n--;
	while (value.n && value.p[value.n - 1] == ' ')
		value.n--;
	for (size_t i = 0; i < value.n; i++)
		if ((unsigned char)value.p[i] < ' ' || value.p[i] == 0x7f) {
			*why = "a header value contains a control byte";
			return 400;
		}
	status = check_single(fields, name, why);
	return status ? status : check_field_meaning(name, value, out, why);
}

static int check_framing(const struct fields *fields, const struct http_head *out, const char **why)
{
	bool bodiless = str_is(out->method, "HEAD");

	if (out->minor == 1 && !(fields->seen & 1u)) {
		*why = "an HTTP/1.1 request needs a Host header";
		return 400;
	}
	if (out->chunked && out->content_length >= 0) {
		*why = "Content-Length and Transfer-Encoding exclude each other";
		return 400;
	}
	if (out->chunked && out->minor == 0) {
		*why = "HTTP/1.0 has no transfer codings";
		return 400;
	}
	if (bodiless && (out->chunked || out->content_length > 0)) {
		*why = "a HEAD request has no body";
		return 400;
	}
	return 0;
}

int http_head_check(struct str bytes, struct http_head *out, const char **why)
{
	struct fields fields = { 0 };
	size_t at = 0;

	*out = (struct http_head){ .bytes = bytes.n, .content_length = -1 };
	for (bool first = true;; first = false) {
		const char *cr = memmem(bytes.p + at, bytes.n - at, "\r\n", 2);
		struct str line;
		int status;

		*why = "the head of the request has no end";
		if (!cr)
			return 400;
		line = (struct str){ bytes.p + at, (size_t)(cr - bytes.p) - at };
		at += line.n + 2;
		if (line.n == 0 && !first)
			break;
		if (memchr(line.p, '\r', line.n)) {
			*why = "a line of the request's head contains a CR";
			return 400;
		}
		status = first ? check_request_line(line, out, why) : check_field(line, &fields, out, why);
		if (status)
			return status;
	}
	*why = "bytes behind the head";
	return at == bytes.n ? check_framing(&fields, out, why) : 400;
}

/* -- chunked bodies -- */

enum { SIZE, SIZE_LF, DATA, DATA_CR, DATA_LF, END_CR, END_LF, END };
#define SIZE_DIGITS_MAX 8

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static bool feed_size(struct http_chunks *c, char byte)
{
	int digit = hex_digit(byte);

	if (digit >= 0) {
		c->chunk_left = c->chunk_left * 16 + (unsigned)digit;
		return ++c->digits <= SIZE_DIGITS_MAX;
	}
	c->state = SIZE_LF;
	return byte == '\r' && c->digits > 0;
}

/* Trailer fields are refused: nobody here reads them, and what is not read can be read in two ways. */
static bool feed_byte(struct http_chunks *c, char byte)
{
	switch (c->state) {
	case SIZE:
		return feed_size(c, byte);
	case SIZE_LF:
		c->body_bytes += c->chunk_left;
		c->state = c->chunk_left ? DATA : END_CR;
		c->digits = 0;
		return byte == '\n';
	case DATA_CR:
		c->state = DATA_LF;
		return byte == '\r';
	case DATA_LF:
		c->state = SIZE;
		return byte == '\n';
	case END_CR:
		c->state = END_LF;
		return byte == '\r';
	case END_LF:
		c->state = END;
		return byte == '\n';
	default:
		return false;
	}
}

enum http_chunks_result http_chunks_feed(struct http_chunks *c, struct str bytes)
{
	size_t i = 0;

	while (i < bytes.n && c->state != END) {
		if (c->state == DATA) {
			uint64_t n = bytes.n - i < c->chunk_left ? bytes.n - i : c->chunk_left;

			i += n;
			c->raw_bytes += n;
			c->chunk_left -= n;
			if (!c->chunk_left)
				c->state = DATA_CR;
			continue;
		}
		if (!feed_byte(c, bytes.p[i]))
			return HTTP_CHUNKS_BAD;
		i++;
		c->raw_bytes++;
	}
	return c->state == END ? HTTP_CHUNKS_END : HTTP_CHUNKS_MORE;
}
