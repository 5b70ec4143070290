#include "net/redis_url.h"

#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#define FORM "write redis://[USER:PASSWORD@]HOST[:PORT][/DB] or unix:PATH"
#define DATABASES 1024

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* %XX undone; NULL for an empty slice. */
static char *decoded(struct str s)
{
	char *out = s.n ? mem_alloc(s.n + 1) : NULL;
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++) {
		int high = i + 2 < s.n && s.p[i] == '%' ? hex_digit(s.p[i + 1]) : -1, low = high >= 0 ? hex_digit(s.p[i + 2]) : -1;

		if (low >= 0)
			i += 2;
		out[n++] = low >= 0 ? (char)(high * 16 + low) : s.p[i];
	}
	return out;
}

static struct str from(struct str s, size_t at)
{
	return (struct str){ s.p + at, s.n - at };
}

static const char *find_last(struct str s, char c)
{
	return s.n ? memrchr(s.p, c, s.n) : NULL;
}

static int read_address(struct str s, struct redis_url *out, struct errbuf *e)
{
	const char *colon;

	if (s.n && s.p[0] == '[') { /* an IPv6 address */
		const char *end = memchr(s.p, ']', s.n);

		if (!end)
			return err_set(e, ERR_INVALID, "redis: the [ of an IPv6 address is not closed: " FORM);
		out->host = mem_copy((struct str){ s.p + 1, (size_t)(end - s.p) - 1 });
		s = from(s, (size_t)(end - s.p) + 1);
		colon = s.n && s.p[0] == ':' ? s.p : NULL;
	} else {
		colon = find_last(s, ':');
		out->host = mem_copy((struct str){ s.p, colon ? (size_t)(colon - s.p) : s.n });
		s = colon ? from(s, (size_t)(colon - s.p)) : (struct str){ s.p, 0 };
	}
	out->port = 6379;
	if (!*out->host)
		return err_set(e, ERR_INVALID, "redis: no host: " FORM);
	if ((s.n && !colon) || (colon && !str_to_int(from(s, 1), 1, 65535, &out->port)))
		return err_set(e, ERR_INVALID, "redis: the port is a number from 1 to 65535: " FORM);
	return 0;
}

static int read_path(struct str s, struct redis_url *out, struct errbuf *e)
{
	if (s.n == 0 || s.n >= sizeof ((struct sockaddr_un *)NULL)->sun_path)
		return err_set(e, ERR_INVALID, "redis: the path of a socket has 1 to %zu bytes: " FORM, sizeof ((struct sockaddr_un *)NULL)->sun_path - 1);
	out->path = mem_copy(s);
	return 0;
}

int redis_url_read(const char *text, struct redis_url *out, struct errbuf *e)
{
	struct str s = str_of(text);
	const char *at, *slash;

	*out = (struct redis_url){ 0 };
	if (str_starts(s, "unix:"))
		return read_path(from(s, 5), out, e);
	if (str_starts(s, "rediss:"))
		return err_set(e, ERR_INVALID, "redis: no TLS here: put a tunnel or a socket between, then " FORM);
	if (!str_starts(s, "redis://"))
		return err_set(e, ERR_INVALID, "redis: no URL of a Redis server: " FORM);
	s = from(s, 8);
	at = find_last(s, '@');
	if (at) {
		struct str who = { s.p, (size_t)(at - s.p) };
		const char *colon = who.n ? memchr(who.p, ':', who.n) : NULL;

		if (!colon)
			return err_set(e, ERR_INVALID, "redis: USER:PASSWORD before the @ (an empty user for a password alone): " FORM);
		out->user = decoded((struct str){ who.p, (size_t)(colon - who.p) });
		out->password = decoded(from(who, (size_t)(colon - who.p) + 1));
		s = from(s, (size_t)(at - s.p) + 1);
	}
	slash = s.n ? memchr(s.p, '/', s.n) : NULL;
	if (slash && slash + 1 < s.p + s.n && !str_to_int(from(s, (size_t)(slash - s.p) + 1), 0, DATABASES, &out->database))
		return err_set(e, ERR_INVALID, "redis: the database behind the / is a number: " FORM);
	return read_address((struct str){ s.p, slash ? (size_t)(slash - s.p) : s.n }, out, e);
}

void redis_url_free(struct redis_url *url)
{
	free(url->path);
	free(url->host);
	free(url->user);
	free(url->password);
	*url = (struct redis_url){ 0 };
}
