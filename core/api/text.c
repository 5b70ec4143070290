#include "api/text.h"

#include "base/crypto.h"
#include "base/json_text.h"

#include <string.h>
#include <strings.h>

static bool is_unreserved(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || (c && strchr("-._~", c));
}

bool url_decode(struct str in, bool plus_is_space, struct buf *out)
{
	for (size_t i = 0; i < in.n; i++) {
		uint8_t byte = (uint8_t)in.p[i];

		if (in.p[i] == '%') {
			if (i + 2 >= in.n || !hex_decode((struct str){ in.p + i + 1, 2 }, &byte, 1))
				return false;
			i += 2;
		} else if (in.p[i] == '+' && plus_is_space) {
			byte = ' ';
		}
		if (byte < ' ' || byte == 0x7f)
			return false;
		buf_add_char(out, (char)byte);
	}
	return !out->full && utf8_is_valid(buf_str(out));
}

void url_encode(struct buf *out, struct str in)
{
	for (size_t i = 0; i < in.n; i++) {
		if (is_unreserved(in.p[i]))
			buf_add_char(out, in.p[i]);
		else
			buf_addf(out, "%%%02X", (unsigned char)in.p[i]);
	}
}

static struct str trimmed(struct str s)
{
	while (s.n && (*s.p == ' ' || *s.p == '\t'))
		s.p++, s.n--;
	while (s.n && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
		s.n--;
	return s;
}

/* Takes the part before the first `separator` off s. */
static struct str next_part(struct str *s, char separator)
{
	const char *end = s->n ? memchr(s->p, separator, s->n) : NULL;
	struct str part = { s->p, end ? (size_t)(end - s->p) : s->n };

	s->p = end ? end + 1 : s->p + s->n;
	s->n = end ? s->n - part.n - 1 : 0;
	return trimmed(part);
}

int64_t preference(struct str header, const char *name)
{
	while (header.n) {
		struct str item = next_part(&header, ',');
		struct str value = item, key = next_part(&value, '=');
		int64_t n;

		value = trimmed(value);
		if (value.n >= 2 && value.p[0] == '"' && value.p[value.n - 1] == '"')
			value = (struct str){ value.p + 1, value.n - 2 };
		if (key.n == strlen(name) && strncasecmp(key.p, name, key.n) == 0)
			return str_to_int(value, 0, INT32_MAX, &n) ? n : -1;
	}
	return -1;
}

static bool is_caseless(struct str s, const char *text)
{
	return s.n == strlen(text) && strncasecmp(s.p, text, s.n) == 0;
}

bool content_type_is_json(struct str header)
{
	struct str type = next_part(&header, ';');

	while (header.n) {
		struct str value = next_part(&header, ';'), key = next_part(&value, '=');

		if (is_caseless(key, "charset") && !is_caseless(value, "utf-8") && !is_caseless(value, "\"utf-8\""))
			return false;
	}
	if (is_caseless(type, "application/json"))
		return true;
	return type.n > 17 && strncasecmp(type.p, "application/", 12) == 0 && strncasecmp(type.p + type.n - 5, "+json", 5) == 0;
}
