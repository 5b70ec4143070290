#include "base/json_value.h"

#include <string.h>

#define SHOWN_MAX 64u /* bytes of a value that a message shows */

static bool is_integer(const json_t *value)
{
	double real;

	if (!json_is_real(value))
		return json_is_integer(value);
	real = json_real_value(value);
	if (real >= 9007199254740992.0 || real <= -9007199254740992.0)
		return true; /* no double of this size has a fraction */
	return (double)(int64_t)real == real;
}

static bool is_of_type(const json_t *value, const char *type)
{
	switch (json_typeof(value)) {
	case JSON_OBJECT:
		return strcmp(type, "object") == 0;
	case JSON_ARRAY:
		return strcmp(type, "array") == 0;
	case JSON_STRING:
		return strcmp(type, "string") == 0;
	case JSON_INTEGER:
	case JSON_REAL:
		return strcmp(type, "number") == 0 ||
		       (strcmp(type, "integer") == 0 && is_integer(value));
	case JSON_TRUE:
	case JSON_FALSE:
		return strcmp(type, "boolean") == 0;
	case JSON_NULL:
		return strcmp(type, "null") == 0;
	}
	return false;
}

/* `type` is a name or a list of names. */
bool json_type_allows(const json_t *type, const json_t *value)
{
	size_t i;

	if (json_is_string(type))
		return is_of_type(value, json_string_value(type));
	for (i = 0; i < json_array_size(type); i++) {
		if (is_of_type(value, json_string_value(json_array_get(type, i))))
			return true;
	}
	return false;
}

void json_type_describe(struct buf *b, const json_t *type)
{
	size_t i, n = json_array_size(type);

	if (json_is_string(type))
		buf_add_text(b, json_string_value(type));
	for (i = 0; i < n; i++) {
		if (i)
			buf_add_text(b, i + 1 == n ? " or " : ", ");
		buf_add_text(b, json_string_value(json_array_get(type, i)));
	}
}

/* A scalar as its JSON, cut; a structure by its kind. */
void json_value_describe(struct buf *b, const json_t *value)
{
	struct buf text;
	size_t n;

	if (json_is_object(value)) {
		buf_add_text(b, json_object_size(value) ? "an object" : "an empty object");
		return;
	}
	if (json_is_array(value)) {
		buf_addf(b, "an array of %zu", json_array_size(value));
		return;
	}
	if (json_is_string(value))
		buf_add_text(b, "string ");
	else if (json_is_number(value))
		buf_add_text(b, "number ");
	buf_init(&text, SIZE_MAX - 1);
	json_write(&text, value);
	n = text.n;
	if (n > SHOWN_MAX) {
		for (n = SHOWN_MAX; n > 0 && ((unsigned char)text.p[n] & 0xc0) == 0x80; n--)
			;
	}
	buf_add(b, buf_text(&text), n);
	if (n < text.n)
		buf_add_text(b, "…");
	buf_free(&text);
}

int json_numbers_compare(const json_t *a, const json_t *b)
{
	double x, y;

	if (json_is_integer(a) && json_is_integer(b)) {
		json_int_t i = json_integer_value(a), j = json_integer_value(b);

		return i < j ? -1 : i > j;
	}
	x = json_number_value(a);
	y = json_number_value(b);
	return x < y ? -1 : x > y;
}

/* As JSON Schema has it: 1 and 1.0 are the same. */
bool json_values_equal(const json_t *a, const json_t *b)
{
	const char *key;
	json_t *value;
	size_t i;

	if (json_is_number(a) && json_is_number(b))
		return json_numbers_compare(a, b) == 0;
	if (json_typeof(a) != json_typeof(b))
		return false;
	if (json_is_array(a)) {
		if (json_array_size(a) != json_array_size(b))
			return false;
		json_array_foreach(a, i, value) {
			if (!json_values_equal(value, json_array_get(b, i)))
				return false;
		}
		return true;
	}
	if (json_is_object(a)) {
		if (json_object_size(a) != json_object_size(b))
			return false;
		json_object_foreach((json_t *)(uintptr_t)a, key, value) {
			const json_t *other = json_object_get(b, key);

			if (!other || !json_values_equal(value, other))
				return false;
		}
		return true;
	}
	return json_equal(a, b);
}
