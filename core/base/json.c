#include "base/json.h"

#include "base/clock.h"

#include <stdlib.h>
#include <string.h>

/* Line and column (characters from 1) of a byte, for people. */
static void place_of(struct str text, size_t offset, size_t *line, size_t *column)
{
	size_t i;

	*line = *column = 1;
	for (i = 0; i < offset && i < text.n; i++) {
		if (text.p[i] == '\n') {
			*line += 1;
			*column = 1;
		} else if (((unsigned char)text.p[i] & 0xc0) != 0x80) {
			*column += 1;
		}
	}
}

/* Offset of the first byte that is no UTF-8, by halving the valid front. */
static size_t utf8_fault(struct str text)
{
	size_t good = 0, bad = text.n, cut;

	while (bad - good > 4) {
		size_t middle = good + (bad - good) / 2;

		for (cut = middle; cut > good && ((unsigned char)text.p[cut] & 0xc0) == 0x80; cut--)
			;
		if (cut > good && utf8_is_valid((struct str){ text.p + good, cut - good }))
			good = cut;
		else if (cut > good)
			bad = cut;
		else
			break;
	}
	while (good < text.n && (unsigned char)text.p[good] < 0x80)
		good++;
	return good;
}

static int check_text(struct str text, size_t max, struct errbuf *e)
{
	size_t line, column, depth;

	if (text.n > max)
		return err_set(e, ERR_TOO_LARGE,
			       "the document has %zu bytes, at most %zu are taken", text.n, max);
	depth = json_depth(text);
	if (depth > JSON_DEPTH_MAX)
		return err_set(e, ERR_INVALID,
			       "the document nests %zu levels deep, at most %d are taken", depth,
			       JSON_DEPTH_MAX);
	if (!utf8_is_valid(text)) {
		place_of(text, utf8_fault(text), &line, &column);
		return err_set(e, ERR_INVALID, "line %zu, column %zu: not UTF-8", line, column);
	}
	return 0;
}

json_t *json_read(struct str text, size_t max, int *code, struct errbuf *e)
{
	json_error_t fault;
	json_t *value;
	int rc = check_text(text, max, e);

	if (rc == 0) {
		value = json_loadb(text.n ? text.p : "", text.n,
				   JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL,
				   &fault);
		if (value) {
			if (code)
				*code = 0;
			return value;
		}
		BUG_ON(json_error_code(&fault) == json_error_out_of_memory);
		rc = err_set(e, ERR_INVALID, "line %d, column %d: %s", fault.line, fault.column,
			     fault.text);
	}
	if (code)
		*code = rc;
	return NULL;
}

/* One member of an object, borrowed while it is written. */
struct member {
	struct str key;
	const json_t *value;
};

#define MEMBERS_ON_STACK 24u

static int member_compare(const void *a, const void *b)
{
	return str_compare(((const struct member *)a)->key, ((const struct member *)b)->key);
}

static void members_sort(struct member *members, size_t n)
{
	size_t i, j;

	if (n > MEMBERS_ON_STACK) {
		qsort(members, n, sizeof *members, member_compare);
		return;
	}
	for (i = 1; i < n; i++) {
		struct member moving = members[i];

		for (j = i; j > 0 && str_compare(members[j - 1].key, moving.key) > 0; j--)
			members[j] = members[j - 1];
		members[j] = moving;
	}
}

/* Fill `members` (room for json_object_size) in order of their keys; how many. */
static size_t members_of(const json_t *object, struct member *members)
{
	json_t *walked = (json_t *)(uintptr_t)object; /* jansson's iterators are not const */
	void *iter;
	size_t n = 0;

	for (iter = json_object_iter(walked); iter; iter = json_object_iter_next(walked, iter)) {
		members[n].key = (struct str){ json_object_iter_key(iter),
					       json_object_iter_key_len(iter) };
		members[n].value = json_object_iter_value(iter);
		n++;
	}
	members_sort(members, n);
	return n;
}

/* indent < 0: canonical. */
static void write_value(struct buf *b, const json_t *value, int indent);

static void new_line(struct buf *b, int indent)
{
	int i;

	if (indent < 0)
		return;
	buf_add_char(b, '\n');
	for (i = 0; i < indent; i++)
		buf_add_text(b, "  ");
}

static void write_object(struct buf *b, const json_t *object, int indent)
{
	struct member few[MEMBERS_ON_STACK], *members = few;
	size_t n = json_object_size(object), i;
	int inner = indent < 0 ? indent : indent + 1;

	if (n > MEMBERS_ON_STACK)
		members = mem_array(n, sizeof *members);
	n = members_of(object, members);
	buf_add_char(b, '{');
	for (i = 0; i < n; i++) {
		if (i)
			buf_add_char(b, ',');
		new_line(b, inner);
		json_add_string(b, members[i].key);
		buf_add(b, ": ", indent < 0 ? 1 : 2);
		write_value(b, members[i].value, inner);
	}
	if (n)
		new_line(b, indent);
	buf_add_char(b, '}');
	if (members != few)
		free(members);
}

static void write_array(struct buf *b, const json_t *array, int indent)
{
	size_t n = json_array_size(array), i;
	int inner = indent < 0 ? indent : indent + 1;

	buf_add_char(b, '[');
	for (i = 0; i < n; i++) {
		if (i)
			buf_add_char(b, ',');
		new_line(b, inner);
		write_value(b, json_array_get(array, i), inner);
	}
	if (n)
		new_line(b, indent);
	buf_add_char(b, ']');
}

static void write_value(struct buf *b, const json_t *value, int indent)
{
	if (!value) {
		buf_add(b, "null", 4);
		return;
	}
	switch (json_typeof(value)) {
	case JSON_OBJECT:
		write_object(b, value, indent);
		break;
	case JSON_ARRAY:
		write_array(b, value, indent);
		break;
	case JSON_STRING:
		json_add_string(b, json_str(value));
		break;
	case JSON_INTEGER:
		json_add_int(b, json_integer_value(value));
		break;
	case JSON_REAL:
		BUG_ON(!json_add_double(b, json_real_value(value))); /* jansson holds no NaN */
		break;
	case JSON_TRUE:
		buf_add(b, "true", 4);
		break;
	case JSON_FALSE:
		buf_add(b, "false", 5);
		break;
	case JSON_NULL:
		buf_add(b, "null", 4);
		break;
	}
}

void json_write(struct buf *b, const json_t *value)
{
	write_value(b, value, -1);
}

void json_write_pretty(struct buf *b, const json_t *value)
{
	write_value(b, value, 0);
}

char *json_to_text(const json_t *value)
{
	struct buf b;

	buf_init(&b, SIZE_MAX - 1);
	json_write(&b, value);
	return buf_take(&b);
}

const json_t *json_member(const json_t *object, const char *key)
{
	return json_object_get(object, key); /* NULL for anything but an object */
}

struct str json_str(const json_t *string)
{
	if (!json_is_string(string))
		return (struct str){ NULL, 0 };
	return (struct str){ json_string_value(string), json_string_length(string) };
}

struct str json_member_str(const json_t *object, const char *key)
{
	return json_str(json_member(object, key));
}

int64_t json_member_int(const json_t *object, const char *key, int64_t otherwise)
{
	const json_t *value = json_member(object, key);
	double real;

	if (json_is_integer(value))
		return json_integer_value(value);
	if (json_is_real(value)) { /* 3.0 and 1e3 are integers too */
		real = json_real_value(value);
		if (real >= -9223372036854775808.0 && real < 9223372036854775808.0 &&
		    (double)(int64_t)real == real)
			return (int64_t)real;
	}
	return otherwise;
}

bool json_member_bool(const json_t *object, const char *key, bool otherwise)
{
	const json_t *value = json_member(object, key);

	return json_is_boolean(value) ? json_is_true(value) : otherwise;
}

/* A string of what is left of bytes that are not UTF-8: each wrong byte becomes U+FFFD. */
static json_t *new_repaired(struct str s)
{
	json_t *value;
	struct buf b;
	size_t i, n;

	buf_init(&b, SIZE_MAX - 1);
	for (i = 0; i < s.n; i += n) {
		for (n = 4; n > 0; n--) {
			if (n <= s.n - i && utf8_is_valid((struct str){ s.p + i, n }))
				break;
		}
		if (n) {
			buf_add(&b, s.p + i, n);
		} else {
			buf_add_text(&b, "\xef\xbf\xbd");
			n = 1;
		}
	}
	value = json_stringn_nocheck(buf_text(&b), b.n);
	buf_free(&b);
	return value;
}

json_t *json_new_str(struct str s)
{
	json_t *value;

	if (s.n == 0)
		value = json_stringn_nocheck("", 0);
	else if (utf8_is_valid(s))
		value = json_stringn_nocheck(s.p, s.n);
	else
		value = new_repaired(s);
	BUG_ON(!value);
	return value;
}

void json_put(json_t *object, const char *key, json_t *value)
{
	if (!value)
		value = json_null();
	BUG_ON(json_object_set_new(object, key, value) != 0);
}

void json_put_str(json_t *object, const char *key, struct str s)
{
	json_put(object, key, json_new_str(s));
}

void json_put_text(json_t *object, const char *key, const char *s)
{
	json_put(object, key, s ? json_new_str(str_of(s)) : json_null());
}

void json_put_int(json_t *object, const char *key, int64_t v)
{
	json_t *value = json_integer(v);

	BUG_ON(!value);
	json_put(object, key, value);
}

json_t *json_new_time(int64_t at_us)
{
	char text[TIME_TEXT_SIZE];

	if (at_us == 0)
		return json_null();
	time_format(at_us, text);
	return json_new_str(str_of(text));
}
