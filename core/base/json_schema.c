#include "base/json_schema.h"

#include "base/clock.h"
#include "base/ids.h"
#include "base/json_near.h"
#include "base/json_value.h"

#include <stdlib.h>
#include <string.h>

/*
 * Checking a value. One walk over the value with the schema beside it; the pointer is kept as it
 * goes down and back up. Branches of anyOf are tried quietly first, then the one that fits is
 * walked once more, aloud, so that it may coerce.
 */

#define ERRORS_MAX 20u
#define POINTER_MAX (16u << 10)
#define DEPTH_MAX   400u /* schemas within schemas: 64 levels of value, some $ref, anyOf at each */
#define TRIALS_MAX                                                                                 \
	1000000u /* values seen in trials of anyOf: a hostile schema doubles them a level */
#define WORK_MAX 20000000u  /* in all: a body of 8 MiB has 4 million values; about a second */
#define NAMES_SHOWN_MAX 400u

struct check {
	const json_t *root;   /* where $defs are */
	json_t *errors;       /* NULL: only the answer counts */
	struct buf pointer;
	size_t depth;
	size_t work;          /* values seen, and compared with those of an enum */
	size_t trials;        /* of these, in trials */
	bool exhausted;
	bool coerce;
	bool quiet;           /* a trial: report nothing, change nothing */
};

/* Coercion may set *exchanged to a new reference that belongs in the place of value. */
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

static bool fail_expected(struct check *c, struct buf *expected, const json_t *value)
{
	struct buf got;

	if (!c->quiet && c->errors) {
		buf_init(&got, 1024);
		json_value_describe(&got, value);
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
	json_type_describe(&expected, type);
	return fail_expected(c, &expected, value);
}

static bool check_enum(struct check *c, const json_t *values, const json_t *value)
{
	struct buf expected;
	size_t i;

	c->work += json_array_size(values);
	for (i = 0; i < json_array_size(values); i++) {
		if (json_values_equal(json_array_get(values, i), value))
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

	if (json_values_equal(wanted, value))
		return true;
	buf_init(&expected, 1024);
	json_value_describe(&expected, wanted);
	return fail_expected(c, &expected, value);
}

static bool check_bound(struct check *c, const json_t *schema, const char *keyword, int wrong,
			const char *words, const json_t *value)
{
	const json_t *bound = json_member(schema, keyword);
	struct buf expected;

	if (!bound || json_numbers_compare(value, bound) != wrong)
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
	/* A member may be exchanged, none comes or goes. */
	json_object_foreach(object, name, value) {
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

/* When every branch fails, the one that says most is that of the value's own type: report its
 * faults rather than "none fits". */
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

		if (type ? json_type_allows(type, value) : json_object_size(branch) > 0) {
			only = branch;
			n++;
		}
	}
	if (c->exhausted)
		return fail(c, "the schema is too involved to check this value");
	if (n != 1)
		return fail(c, "fits none of the %zu forms allowed here",
			    json_array_size(branches));
	check_value(c, only, value, &exchanged);
	json_decref(exchanged);
	return false;
}

static bool check_any_of(struct check *c, const json_t *branches, const json_t *value,
			 json_t **exchanged)
{
	size_t i, n = json_array_size(branches);
	int pass;

	for (pass = 0; pass < (c->coerce ? 2 : 1); pass++) { /* as it is, then with coercion */
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

	if (!json_is_object(value) || json_object_size(value) || json_type_allows(type, value))
		return false;
	empty = json_array();
	BUG_ON(!empty);
	wanted = json_type_allows(type, empty);
	json_decref(empty);
	return wanted;
}

/* The keywords that look at one kind of value. */
static bool check_content(struct check *c, const json_t *schema, const json_t *value)
{
	json_t *changeable = (json_t *)(uintptr_t)value; /* coercion exchanges members */

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
	if (type && !json_type_allows(type, value))
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

	if (c->depth >= DEPTH_MAX || ++c->work > WORK_MAX ||
	    (c->quiet && ++c->trials > TRIALS_MAX)) {
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
