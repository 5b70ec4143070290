#include "base/json_schema.h"

#include "base/clock.h"
#include "base/ids.h"
#include "base/json_near.h"

#include <stdlib.h>
#include <string.h>

/*
 * Checking a value. One walk over the value with the schema beside it; the pointer is kept as it goes down and back up. Branches of
 * anyOf are tried quietly first, then the one that fits is walked once more, aloud, so that it may coerce.
 */

#define ERRORS_MAX 20u
#define POINTER_MAX (16u << 10)
#define DEPTH_MAX 400u        /* schemas walked into one another: 64 levels of value, some $ref and anyOf at each */
#define TRIALS_MAX 1000000u   /* values visited in anyOf trials: a hostile schema doubles them level by level */
#define SHOWN_MAX 64u         /* bytes of a value that a message shows */
#define NAMES_SHOWN_MAX 400u

struct check {
	const json_t *root;   /* where $defs are */
	json_t *errors;       /* NULL: only the answer counts */
	struct buf pointer;
	size_t depth;
	size_t trials;
	bool exhausted;
	bool coerce;
	bool quiet;           /* a trial: report nothing, change nothing */
};

/* *value may be exchanged for a new reference that the caller then owns (coercion); otherwise it stays borrowed. */
static bool check_value(struct check *c, const json_t *schema, const json_t *value,
			json_t **exchanged);

static bool PRINTF_LIKE(2, 3) fail(struct check *c, const char *format, ...)
{
	struct buf message;
	va_list args;
	json_t *error;

	if (c->quiet || !c->errors || json_array_size(c->errors) >= ERRORS_MAX)
		return false;
	buf_init(&message, 4096);
	va_start(args, format);
	buf_addv(&message, format, args);
	va_end(args);
	error = json_object();
	BUG_ON(!error);
	json_put_str(error, "pointer", buf_str(&c->pointer));
	json_put_str(error, "message", message.full ? STR("does not fit") : buf_str(&message));
	BUG_ON(json_array_append_new(c->errors, error) != 0);
	buf_free(&message);
	return false;
}

static size_t pointer_push(struct check *c, struct str name)
{
	size_t before = c->pointer.n, i;

	buf_add_char(&c->pointer, '/');
	for (i = 0; i < name.n; i++) {
		if (name.p[i] == '~')
			buf_add_text(&c->pointer, "~0");
		else if (name.p[i] == '/')
			buf_add_text(&c->pointer, "~1");
		else
			buf_add_char(&c->pointer, name.p[i]);
	}
	return before;
}

static size_t pointer_push_index(struct check *c, size_t index)
{
	size_t before = c->pointer.n;

	buf_addf(&c->pointer, "/%zu", index);
	return before;
}

static void pointer_pop(struct check *c, size_t before)
{
	c->pointer.n = before;
	c->pointer.full = false;
	if (c->pointer.p)
		c->pointer.p[before] = '\0';
}

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
static bool type_allows(const json_t *type, const json_t *value)
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

static void describe_type(struct buf *b, const json_t *type)
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
static void describe_value(struct buf *b, const json_t *value)
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

static bool fail_expected(struct check *c, struct buf *expected, const json_t *value)
{
	struct buf got;

	if (!c->quiet && c->errors) {
		buf_init(&got, 1024);
		describe_value(&got, value);
		fail(c, "expected %s, got %s", buf_text(expected), buf_text(&got));
		buf_free(&got);
	}
	buf_free(expected);
	return false;
}

static bool fail_type(struct check *c, const json_t *type, const json_t *value)
{
	struct buf expected;

	buf_init(&expected, 1024);
	describe_type(&expected, type);
	return fail_expected(c, &expected, value);
}

static int compare_numbers(const json_t *a, const json_t *b)
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
static bool values_equal(const json_t *a, const json_t *b)
{
	const char *key;
	json_t *value;
	size_t i;

	if (json_is_number(a) && json_is_number(b))
		return compare_numbers(a, b) == 0;
	if (json_typeof(a) != json_typeof(b))
		return false;
	if (json_is_array(a)) {
		if (json_array_size(a) != json_array_size(b))
			return false;
		json_array_foreach(a, i, value) {
			if (!values_equal(value, json_array_get(b, i)))
				return false;
		}
		return true;
	}
	if (json_is_object(a)) {
		if (json_object_size(a) != json_object_size(b))
			return false;
		json_object_foreach((json_t *)(uintptr_t)a, key, value) {
			const json_t *other = json_object_get(b, key);

			if (!other || !values_equal(value, other))
				return false;
		}
		return true;
	}
	return json_equal(a, b);
}

static bool check_enum(struct check *c, const json_t *values, const json_t *value)
{
	struct buf expected;
	size_t i;

	for (i = 0; i < json_array_size(values); i++) {
		if (values_equal(json_array_get(values, i), value))
			return true;
	}
	buf_init(&expected, NAMES_SHOWN_MAX);
	buf_add_text(&expected, "one of ");
	for (i = 0; i < json_array_size(values) && !expected.full; i++) {
		if (i)
			buf_add_text(&expected, ", ");
		json_write(&expected, json_array_get(values, i));
	}
	if (expected.full) {
		buf_reset(&expected);
		buf_addf(&expected, "one of %zu values", json_array_size(values));
	}
	return fail_expected(c, &expected, value);
}

static bool check_const(struct check *c, const json_t *wanted, const json_t *value)
{
	struct buf expected;

	if (values_equal(wanted, value))
		return true;
	buf_init(&expected, 1024);
	describe_value(&expected, wanted);
	return fail_expected(c, &expected, value);
}

static bool check_bound(struct check *c, const json_t *schema, const char *keyword, int wrong,
			const char *words, const json_t *value)
{
	const json_t *bound = json_member(schema, keyword);
	struct buf expected;

	if (!bound || compare_numbers(value, bound) != wrong)
		return true;
	buf_init(&expected, 256);
	buf_add_text(&expected, words);
	json_write(&expected, bound);
	return fail_expected(c, &expected, value);
}

static bool check_number(struct check *c, const json_t *schema, const json_t *value)
{
	bool least = check_bound(c, schema, "minimum", -1, "at least ", value);

	return check_bound(c, schema, "maximum", 1, "at most ", value) && least;
}

/* minX and maxX of a string (characters), or an array (items). */
static bool check_size(struct check *c, const json_t *schema, const char *least, const char *most,
		       size_t size, const char *unit)
{
	int64_t low = json_member_int(schema, least, 0);
	int64_t high = json_member_int(schema, most, INT64_MAX);

	if ((int64_t)size < low)
		return fail(c, "expected at least %lld %s, got %zu", (long long)low, unit, size);
	if ((int64_t)size > high)
		return fail(c, "expected at most %lld %s, got %zu", (long long)high, unit, size);
	return true;
}

static size_t characters_of(struct str s)
{
	size_t i, n = 0;

	for (i = 0; i < s.n; i++)
		n += ((unsigned char)s.p[i] & 0xc0) != 0x80;
	return n;
}

static bool check_string(struct check *c, const json_t *schema, const json_t *value)
{
	struct str text = json_str(value), format = json_member_str(schema, "format");
	struct buf expected;
	struct uuid id;
	int64_t at_us;

	if ((json_member(schema, "minLength") || json_member(schema, "maxLength")) &&
	    !check_size(c, schema, "minLength", "maxLength", characters_of(text), "characters"))
		return false;
	if ((str_is(format, "date-time") && !time_parse(text, &at_us)) ||
	    (str_is(format, "uuid") && !uuid_parse(text, &id))) {
		buf_init(&expected, 256);
		buf_add_text(&expected, str_is(format, "uuid") ?
						"a UUID" :
						"a date-time of RFC 3339 with its zone, such as "
						"2026-11-22T10:00:00Z");
		return fail_expected(c, &expected, value);
	}
	return true;
}

static bool check_array(struct check *c, const json_t *schema, json_t *array)
{
	const json_t *items = json_member(schema, "items");
	size_t i, n = json_array_size(array), before;
	bool fits = check_size(c, schema, "minItems", "maxItems", n, "items");
	json_t *exchanged;

	for (i = 0; items && i < n && (fits || !c->quiet); i++) {
		exchanged = NULL;
		before = pointer_push_index(c, i);
		fits &= check_value(c, items, json_array_get(array, i), &exchanged);
		pointer_pop(c, before);
		if (exchanged && !c->quiet)
			BUG_ON(json_array_set_new(array, i, exchanged) != 0);
		else
			json_decref(exchanged);
	}
	return fits;
}

static bool fail_unknown(struct check *c, const json_t *schema, const char *name)
{
	const json_t *properties = json_member(schema, "properties");
	struct buf hint;

	if (c->quiet || !c->errors)
		return false;
	buf_init(&hint, NAMES_SHOWN_MAX);
	json_near_hint(&hint, properties, name);
	fail(c, "unknown property \"%.100s\"; %s", name, buf_text(&hint));
	buf_free(&hint);
	return false;
}

static bool check_property(struct check *c, const json_t *schema, json_t *object, const char *name,
			   const json_t *value)
{
	const json_t *inner = json_member(json_member(schema, "properties"), name);
	size_t before;
	json_t *exchanged = NULL;
	bool fits;

	if (!inner)
		inner = json_member(schema, "additionalProperties");
	if (!inner || json_is_true(inner))
		return true;
	before = pointer_push(c, str_of(name));
	if (json_is_false(inner))
		fits = fail_unknown(c, schema, name);
	else
		fits = check_value(c, inner, value, &exchanged);
	pointer_pop(c, before);
	if (exchanged && !c->quiet)
		BUG_ON(json_object_set_new(object, name, exchanged) != 0);
	else
		json_decref(exchanged);
	return fits;
}

static bool check_object(struct check *c, const json_t *schema, json_t *object)
{
	const json_t *required = json_member(schema, "required");
	const char *name;
	json_t *value;
	bool fits = true;
	size_t i;

	for (i = 0; i < json_array_size(required) && (fits || !c->quiet); i++) {
		name = json_string_value(json_array_get(required, i));
		if (!json_object_get(object, name))
			fits = fail(c, "required property \"%s\" is missing", name);
	}
	json_object_foreach(object, name, value) { /* a member may be exchanged, none comes or goes */
		if (!fits && c->quiet)
			break;
		fits &= check_property(c, schema, object, name, value);
	}
	return fits;
}

static bool try_branch(struct check *c, const json_t *branch, const json_t *value, bool coerce)
{
	bool quiet = c->quiet, coerced = c->coerce, fits;
	json_t *exchanged = NULL;

	c->quiet = true;
	c->coerce = coerce;
	fits = check_value(c, branch, value, &exchanged);
	json_decref(exchanged);
	c->quiet = quiet;
	c->coerce = coerced;
	return fits;
}

/* When every branch fails, the one that says most is that of the value's own type: report its faults rather than "none fits". */
static bool fail_branches(struct check *c, const json_t *branches, const json_t *value)
{
	const json_t *only = NULL;
	json_t *exchanged = NULL;
	size_t i, n = 0;

	if (c->quiet)
		return false;
	for (i = 0; i < json_array_size(branches); i++) {
		const json_t *branch = json_array_get(branches, i);
		const json_t *type = json_member(branch, "type");

		if (type ? type_allows(type, value) : json_object_size(branch) > 0) {
			only = branch;
			n++;
		}
	}
	if (c->exhausted)
		return fail(c, "the schema is too involved to check this value");
	if (n != 1)
		return fail(c, "fits none of the %zu forms allowed here", json_array_size(branches));
	check_value(c, only, value, &exchanged);
	json_decref(exchanged);
	return false;
}

static bool check_any_of(struct check *c, const json_t *branches, const json_t *value,
			 json_t **exchanged)
{
	size_t i, n = json_array_size(branches);
	int pass;

	for (pass = 0; pass < (c->coerce ? 2 : 1); pass++) { /* first as it is, then with coercion */
		for (i = 0; i < n; i++) {
			const json_t *branch = json_array_get(branches, i);

			if (!try_branch(c, branch, value, pass == 1))
				continue;
			return pass == 0 || c->quiet || check_value(c, branch, value, exchanged);
		}
	}
	return fail_branches(c, branches, value);
}

static const json_t *resolve(const struct check *c, const json_t *ref)
{
	static const char prefix[] = "#/$defs/";
	const char *path = json_string_value(ref);

	if (!path || strncmp(path, prefix, sizeof prefix - 1) != 0)
		return NULL;
	return json_member(json_member(c->root, "$defs"), path + sizeof prefix - 1);
}

static bool wants_array(const json_t *type, const json_t *value)
{
	json_t *empty;
	bool wanted;

	if (!json_is_object(value) || json_object_size(value) || type_allows(type, value))
		return false;
	empty = json_array();
	BUG_ON(!empty);
	wanted = type_allows(type, empty);
	json_decref(empty);
	return wanted;
}

/* The keywords that look at one kind of value. */
static bool check_content(struct check *c, const json_t *schema, const json_t *value)
{
	json_t *changeable = (json_t *)(uintptr_t)value; /* coercion puts arrays in the place of members */

	if (json_is_object(value))
		return check_object(c, schema, changeable);
	if (json_is_array(value))
		return check_array(c, schema, changeable);
	if (json_is_string(value))
		return check_string(c, schema, value);
	if (json_is_number(value))
		return check_number(c, schema, value);
	return true;
}

/* Put the array that coercion made in the place of value. */
static const json_t *exchange(json_t **exchanged, json_t *made)
{
	json_decref(*exchanged);
	*exchanged = made;
	return made;
}

static bool check_all(struct check *c, const json_t *schema, const json_t *value,
		      json_t **exchanged)
{
	const json_t *ref = json_member(schema, "$ref"), *type = json_member(schema, "type");
	const json_t *any_of = json_member(schema, "anyOf"), *values = json_member(schema, "enum");
	const json_t *wanted = json_member(schema, "const"), *target;
	json_t *made = NULL;
	bool fits = true;

	if (ref) {
		target = resolve(c, ref);
		if (!target)
			return fail(c, "the schema refers to %s, which is not there",
				    json_string_value(ref));
		fits = check_value(c, target, value, &made);
		if (made)
			value = exchange(exchanged, made);
	}
	if (type && c->coerce && wants_array(type, value)) {
		made = json_array();
		BUG_ON(!made);
		value = exchange(exchanged, made);
	}
	if (type && !type_allows(type, value))
		return fail_type(c, type, value);
	if (values)
		fits &= check_enum(c, values, value);
	if (wanted)
		fits &= check_const(c, wanted, value);
	fits &= check_content(c, schema, value);
	if (any_of) {
		made = NULL;
		fits &= check_any_of(c, any_of, value, &made);
		if (made)
			exchange(exchanged, made);
	}
	return fits;
}

static bool check_value(struct check *c, const json_t *schema, const json_t *value,
			json_t **exchanged)
{
	bool fits;

	if (c->depth >= DEPTH_MAX || (c->quiet && ++c->trials > TRIALS_MAX)) {
		c->exhausted = true;
		return fail(c, "the schema is too involved to check this value");
	}
	c->depth++;
	fits = check_all(c, schema, value, exchanged);
	c->depth--;
	return fits;
}

int json_schema_check(const json_t *schema, json_t **value, bool coerce, json_t *errors)
{
	struct check c = { .root = schema, .errors = errors, .coerce = coerce };
	json_t *exchanged = NULL;
	bool fits;

	buf_init(&c.pointer, POINTER_MAX);
	fits = check_value(&c, schema, *value, &exchanged);
	buf_free(&c.pointer);
	if (exchanged) {
		json_decref(*value);
		*value = exchanged;
	}
	return fits ? 0 : ERR_SCHEMA;
}
