#include "base/json_schema.h"

#include <string.h>

/*
 * Checking a schema itself: every keyword is one of the table below and holds what the table says;
 * every $ref leads somewhere, and none leads back to itself without going down into the value on
 * the way.
 */

#define DEFS_MAX 1000u

struct walk {
	const json_t *root;
	struct buf pointer;
	struct errbuf *e;
	int depth;
};

static bool PRINTF_LIKE(2, 3) fault(struct walk *w, const char *format, ...)
{
	struct buf text;
	va_list args;

	buf_init(&text, sizeof w->e->text);
	va_start(args, format);
	buf_addv(&text, format, args);
	va_end(args);
	err_set(w->e, ERR_INVALID, "schema at \"%s\": %s", buf_text(&w->pointer), buf_text(&text));
	buf_free(&text);
	return false;
}

static bool check_schema(struct walk *w, const json_t *schema);

static void add_name(struct buf *pointer, const char *name)
{
	buf_add_char(pointer, '/');
	for (; *name; name++) {
		if (*name == '~' || *name == '/')
			buf_add_text(pointer, *name == '~' ? "~0" : "~1");
		else
			buf_add_char(pointer, *name);
	}
}

/* A schema one or two steps down; `name` is a member, or NULL for the index-th item. */
static bool check_below(struct walk *w, const char *name, size_t index, const json_t *schema)
{
	size_t before = w->pointer.n;
	bool good;

	if (name)
		add_name(&w->pointer, name);
	else
		buf_addf(&w->pointer, "/%zu", index);
	good = check_schema(w, schema);
	if (good) { /* else the pointer is in the message already */
		w->pointer.n = before;
		w->pointer.full = false;
	}
	return good;
}

static bool is_type_name(const json_t *name)
{
	static const char *const names[] = { "object",  "array",   "string", "number",
					     "integer", "boolean", "null" };
	size_t i;

	for (i = 0; i < sizeof names / sizeof names[0]; i++) {
		if (str_is(json_str(name), names[i]))
			return true;
	}
	return false;
}

static bool is_type(struct walk *w, const json_t *value)
{
	size_t i;

	if (is_type_name(value))
		return true;
	if (!json_is_array(value) || json_array_size(value) == 0)
		return fault(w, "type must be a type's name or a list of names");
	for (i = 0; i < json_array_size(value); i++) {
		if (!is_type_name(json_array_get(value, i)))
			return fault(w, "type names something that is no type of JSON Schema");
	}
	return true;
}

static bool is_schemas(struct walk *w, const json_t *value)
{
	json_t *walked = (json_t *)(uintptr_t)value;
	void *iter;

	if (!json_is_object(value))
		return fault(w, "must be an object of schemas");
	for (iter = json_object_iter(walked); iter; iter = json_object_iter_next(walked, iter)) {
		if (!check_below(w, json_object_iter_key(iter), 0, json_object_iter_value(iter)))
			return false;
	}
	return true;
}

static bool is_defs(struct walk *w, const json_t *value)
{
	if (json_object_size(value) > DEFS_MAX)
		return fault(w, "at most %u definitions are taken", DEFS_MAX);
	return is_schemas(w, value);
}

static bool is_names(struct walk *w, const json_t *value)
{
	size_t i;

	for (i = 0; i < json_array_size(value); i++) {
		if (!json_is_string(json_array_get(value, i)))
			break;
	}
	if (!json_is_array(value) || i < json_array_size(value))
		return fault(w, "must be a list of property names");
	return true;
}

static bool is_schema_or_bool(struct walk *w, const json_t *value)
{
	return json_is_boolean(value) || check_schema(w, value);
}

static bool is_values(struct walk *w, const json_t *value)
{
	if (!json_is_array(value) || json_array_size(value) == 0)
		return fault(w, "must be a list of at least one value");
	return true;
}

static bool is_anything(struct walk *w, const json_t *value)
{
	(void)w;
	(void)value;
	return true;
}

static bool is_number(struct walk *w, const json_t *value)
{
	return json_is_number(value) || fault(w, "must be a number");
}

static bool is_count(struct walk *w, const json_t *value)
{
	json_t *holder = json_object();
	int64_t count;

	BUG_ON(!holder);
	BUG_ON(json_object_set(holder, "n", (json_t *)(uintptr_t)value) != 0);
	count = json_member_int(holder, "n", -1);
	json_decref(holder);
	return count >= 0 || fault(w, "must be a whole number, 0 or more");
}

static bool is_format(struct walk *w, const json_t *value)
{
	if (str_is(json_str(value), "date-time") || str_is(json_str(value), "uuid"))
		return true;
	return fault(w, "only the formats \"date-time\" and \"uuid\" are known");
}

static bool is_branches(struct walk *w, const json_t *value)
{
	size_t i;

	if (!json_is_array(value) || json_array_size(value) == 0)
		return fault(w, "must be a list of at least one schema");
	for (i = 0; i < json_array_size(value); i++) {
		if (!check_below(w, NULL, i, json_array_get(value, i)))
			return false;
	}
	return true;
}

static const char *ref_name(const json_t *ref)
{
	static const char prefix[] = "#/$defs/";
	const char *path = json_string_value(ref);

	if (!path || strncmp(path, prefix, sizeof prefix - 1) != 0)
		return NULL;
	return path + sizeof prefix - 1;
}

static bool is_ref(struct walk *w, const json_t *value)
{
	const char *name = ref_name(value);

	if (!name)
		return fault(w, "must be of the form \"#/$defs/NAME\"");
	if (!json_member(json_member(w->root, "$defs"), name))
		return fault(w, "refers to \"%.100s\", which $defs does not have", name);
	return true;
}

static bool is_text(struct walk *w, const json_t *value)
{
	return json_is_string(value) || fault(w, "must be a string");
}

static const struct keyword {
	const char *name;
	bool (*check)(struct walk *w, const json_t *value);
} keywords[] = {
	{ "type", is_type },
	{ "properties", is_schemas },
	{ "required", is_names },
	{ "additionalProperties", is_schema_or_bool },
	{ "items", check_schema },
	{ "enum", is_values },
	{ "const", is_anything },
	{ "minimum", is_number },
	{ "maximum", is_number },
	{ "minLength", is_count },
	{ "maxLength", is_count },
	{ "minItems", is_count },
	{ "maxItems", is_count },
	{ "format", is_format },
	{ "anyOf", is_branches },
	{ "$ref", is_ref },
	{ "title", is_text },
	{ "description", is_text },
	{ "default", is_anything },
};

static const struct keyword *keyword_of(const struct walk *w, const json_t *schema,
					const char *name)
{
	static const struct keyword defs = { "$defs", is_defs };
	size_t i;

	if (schema == w->root && strcmp(name, "$defs") == 0)
		return &defs;
	for (i = 0; i < sizeof keywords / sizeof keywords[0]; i++) {
		if (strcmp(keywords[i].name, name) == 0)
			return &keywords[i];
	}
	return NULL;
}

static bool check_keyword(struct walk *w, const json_t *schema, const char *name,
			  const json_t *value)
{
	const struct keyword *keyword = keyword_of(w, schema, name);
	size_t before = w->pointer.n;
	bool good;

	add_name(&w->pointer, name);
	if (keyword)
		good = keyword->check(w, value);
	else
		good = fault(w, "the keyword \"%.100s\" cannot be checked here", name);
	if (good) {
		w->pointer.n = before;
		w->pointer.full = false;
	}
	return good;
}

static bool check_schema(struct walk *w, const json_t *schema)
{
	json_t *walked = (json_t *)(uintptr_t)schema;
	bool good = true;
	void *iter;

	if (!json_is_object(schema))
		return fault(w, "a schema must be an object");
	if (w->depth >= JSON_DEPTH_MAX)
		return fault(w, "the schema nests more than %d levels deep", JSON_DEPTH_MAX);
	w->depth++;
	for (iter = json_object_iter(walked); iter && good;
	     iter = json_object_iter_next(walked, iter))
		good = check_keyword(w, schema, json_object_iter_key(iter),
				     json_object_iter_value(iter));
	w->depth--;
	return good;
}

/* Names of definitions that were entered (false) and left again (true). */
static bool leads_back(const struct walk *w, json_t *seen, const json_t *schema)
{
	const char *name = ref_name(json_member(schema, "$ref"));
	const json_t *branches = json_member(schema, "anyOf"), *mark;
	size_t i;

	for (i = 0; i < json_array_size(branches); i++) {
		if (leads_back(w, seen, json_array_get(branches, i)))
			return true;
	}
	if (!name)
		return false;
	mark = json_member(seen, name);
	if (mark)
		return json_is_false(mark);
	json_put(seen, name, json_false());
	if (leads_back(w, seen, json_member(json_member(w->root, "$defs"), name)))
		return true;
	json_put(seen, name, json_true());
	return false;
}

static bool check_circles(struct walk *w)
{
	json_t *defs = (json_t *)(uintptr_t)json_member(w->root, "$defs"), *seen = json_object();
	const char *circle = NULL;
	void *iter;

	BUG_ON(!seen);
	if (leads_back(w, seen, w->root))
		circle = "$ref";
	for (iter = json_object_iter(defs); iter && !circle;
	     iter = json_object_iter_next(defs, iter)) {
		if (leads_back(w, seen, json_object_iter_value(iter)))
			circle = json_object_iter_key(iter);
	}
	json_decref(seen);
	return !circle || fault(w, "\"%.100s\" refers to itself in a circle", circle);
}

int json_schema_check_schema(const json_t *schema, struct errbuf *e)
{
	struct walk w = { .root = schema, .e = e };
	bool good;

	buf_init(&w.pointer, 400);
	good = check_schema(&w, schema) && check_circles(&w);
	buf_free(&w.pointer);
	return good ? 0 : ERR_INVALID;
}
