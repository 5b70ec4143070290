#include "cell/codec.h"

#include "base/json_text.h"
#include "cell/sort.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lauxlib.h>

#define EXACT_MAX 9007199254740992.0 /* 2^53 */
#define NUMBER_MAX 1100              /* characters: the longest exact double has 1,077 */

static int mark_ref;
static const void *mark;

void codec_open(lua_State *L)
{
	lua_newtable(L);
	mark = lua_topointer(L, -1);
	mark_ref = luaL_ref(L, LUA_REGISTRYINDEX);
}

void codec_push_null(lua_State *L)
{
	lua_pushlightuserdata(L, NULL);
}

bool codec_is_null(lua_State *L, int index)
{
	return lua_type(L, index) == LUA_TLIGHTUSERDATA && lua_touserdata(L, index) == NULL;
}

bool codec_is_mark(lua_State *L, int index)
{
	return lua_topointer(L, index) == mark;
}

void codec_mark_array(lua_State *L, int index)
{
	lua_pushvalue(L, index);
	lua_rawgeti(L, LUA_REGISTRYINDEX, mark_ref);
	lua_setmetatable(L, -2);
	lua_pop(L, 1);
}

bool codec_is_marked(lua_State *L, int index)
{
	bool marked;

	if (!lua_getmetatable(L, index))
		return false;
	marked = codec_is_mark(L, -1);
	lua_pop(L, 1);
	return marked;
}

/* -- reading ---------------------------------------------------------------------------------------------------------- */

struct reader {
	lua_State *L;
	const char *start, *p, *end;
	struct errbuf *e;
};

/* For strings with escapes; kept between calls, because a Lua error may leave at any push. */
static struct buf scratch = { .max = (size_t)64 << 20 };

static bool push_value(struct reader *r, int depth);

static bool refuse(struct reader *r, const char *why)
{
	err_set(r->e, ERR_INVALID, "JSON, byte %td: %s", r->p - r->start, why);
	return false;
}

static void skip_space(struct reader *r)
{
	while (r->p < r->end && (*r->p == ' ' || *r->p == '\n' || *r->p == '\t' || *r->p == '\r'))
		r->p++;
}

static int hex4(const char *p)
{
	int value = 0, i;

	for (i = 0; i < 4; i++) {
		char c = p[i];
		int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;

		if (digit < 0)
			return -1;
		value = value * 16 + digit;
	}
	return value;
}

static void add_utf8(struct buf *out, unsigned code)
{
	if (code < 0x80) {
		buf_add_char(out, (char)code);
	} else if (code < 0x800) {
		buf_add_char(out, (char)(0xc0 | code >> 6));
		buf_add_char(out, (char)(0x80 | (code & 63)));
	} else if (code < 0x10000) {
		buf_add_char(out, (char)(0xe0 | code >> 12));
		buf_add_char(out, (char)(0x80 | (code >> 6 & 63)));
		buf_add_char(out, (char)(0x80 | (code & 63)));
	} else {
		buf_add_char(out, (char)(0xf0 | code >> 18));
		buf_add_char(out, (char)(0x80 | (code >> 12 & 63)));
		buf_add_char(out, (char)(0x80 | (code >> 6 & 63)));
		buf_add_char(out, (char)(0x80 | (code & 63)));
	}
}

/* p stands on the u of \u. */
static bool read_unicode(struct reader *r)
{
	int high, low;

	high = r->end - r->p >= 5 ? hex4(r->p + 1) : -1;
	if (high < 0)
		return refuse(r, "\\u needs four hexadecimal digits");
	r->p += 5;
	if (high < 0xd800 || high > 0xdfff) {
		add_utf8(&scratch, (unsigned)high);
		return true;
	}
	low = high < 0xdc00 && r->end - r->p >= 6 && r->p[0] == '\\' && r->p[1] == 'u' ? hex4(r->p + 2) : -1;
	if (low < 0xdc00 || low > 0xdfff)
		return refuse(r, "half of a surrogate pair");
	r->p += 6;
	add_utf8(&scratch, 0x10000u + ((unsigned)high - 0xd800u) * 0x400u + ((unsigned)low - 0xdc00u));
	return true;
}

static bool read_escape(struct reader *r)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	const char *at;

	r->p++;
	if (r->p == r->end)
		return refuse(r, "a string without an end");
	if (*r->p == 'u')
		return read_unicode(r);
	at = *r->p ? strchr(from, *r->p) : NULL;
	if (!at)
		return refuse(r, "an unknown escape");
	buf_add_char(&scratch, to[at - from]);
	r->p++;
	return true;
}

/* p stands behind the opening quote. */
static bool push_string(struct reader *r)
{
	const char *plain = r->p;
	bool escaped = false;

	for (;;) {
		while (r->p < r->end && *r->p != '"' && *r->p != '\\' && (unsigned char)*r->p >= 0x20)
			r->p++;
		if (r->p == r->end)
			return refuse(r, "a string without an end");
		if ((unsigned char)*r->p < 0x20)
			return refuse(r, "a control character inside a string");
		if (*r->p == '"')
			break;
		if (!escaped)
			buf_reset(&scratch);
		escaped = true;
		buf_add(&scratch, plain, (size_t)(r->p - plain));
		if (!read_escape(r))
			return false;
		plain = r->p;
	}
	if (escaped) {
		buf_add(&scratch, plain, (size_t)(r->p - plain));
		lua_pushlstring(r->L, scratch.p ? scratch.p : "", scratch.n);
	} else {
		lua_pushlstring(r->L, plain, (size_t)(r->p - plain));
	}
	r->p++;
	return true;
}

static size_t skip_digits(struct reader *r)
{
	const char *from = r->p;

	while (r->p < r->end && *r->p >= '0' && *r->p <= '9')
		r->p++;
	return (size_t)(r->p - from);
}

static bool push_long_number(struct reader *r, const char *from)
{
	char text[NUMBER_MAX + 1];
	size_t n = (size_t)(r->p - from);
	double value;

	if (n > NUMBER_MAX)
		return refuse(r, "a number of more than 1,100 characters");
	memcpy(text, from, n);
	text[n] = '\0';
	value = strtod(text, NULL);
	if (!isfinite(value))
		return refuse(r, "a number beyond the range of a double");
	lua_pushnumber(r->L, value);
	return true;
}

static bool push_number(struct reader *r)
{
	const char *from = r->p, *first;
	bool integer = true;
	size_t digits;

	if (*r->p == '-')
		r->p++;
	first = r->p;
	digits = skip_digits(r);
	if (digits == 0 || (digits > 1 && *first == '0'))
		return refuse(r, "a malformed number");
	if (r->p < r->end && *r->p == '.') {
		integer = false;
		r->p++;
		if (skip_digits(r) == 0)
			return refuse(r, "a malformed number");
	}
	if (r->p < r->end && (*r->p == 'e' || *r->p == 'E')) {
		integer = false;
		r->p++;
		if (r->p < r->end && (*r->p == '+' || *r->p == '-'))
			r->p++;
		if (skip_digits(r) == 0)
			return refuse(r, "a malformed number");
	}
	if (integer && digits <= 15) {
		int64_t value = 0;

		for (; first < r->p; first++)
			value = value * 10 + (*first - '0');
		lua_pushnumber(r->L, *from == '-' ? -(double)value : (double)value);
		return true;
	}
	return push_long_number(r, from);
}

static bool push_word(struct reader *r)
{
	size_t left = (size_t)(r->end - r->p);

	if (left >= 4 && memcmp(r->p, "true", 4) == 0) {
		lua_pushboolean(r->L, 1);
		r->p += 4;
	} else if (left >= 5 && memcmp(r->p, "false", 5) == 0) {
		lua_pushboolean(r->L, 0);
		r->p += 5;
	} else if (left >= 4 && memcmp(r->p, "null", 4) == 0) {
		codec_push_null(r->L);
		r->p += 4;
	} else {
		return refuse(r, "a value was expected");
	}
	return true;
}

static bool push_array(struct reader *r, int depth)
{
	int n = 0;

	lua_createtable(r->L, 4, 0);
	lua_rawgeti(r->L, LUA_REGISTRYINDEX, mark_ref);
	lua_setmetatable(r->L, -2);
	r->p++;
	skip_space(r);
	if (r->p < r->end && *r->p == ']') {
		r->p++;
		return true;
	}
	for (;;) {
		if (!push_value(r, depth + 1))
			return false;
		lua_rawseti(r->L, -2, ++n);
		skip_space(r);
		if (r->p == r->end || (*r->p != ',' && *r->p != ']'))
			return refuse(r, "\",\" or \"]\" was expected");
		if (*r->p++ == ']')
			return true;
	}
}

static bool push_member(struct reader *r, int depth)
{
	skip_space(r);
	if (r->p == r->end || *r->p != '"')
		return refuse(r, "a key was expected");
	r->p++;
	if (!push_string(r))
		return false;
	lua_pushvalue(r->L, -1);
	lua_rawget(r->L, -3);
	if (!lua_isnil(r->L, -1))
		return refuse(r, "a key twice in one object");
	lua_pop(r->L, 1);
	skip_space(r);
	if (r->p == r->end || *r->p != ':')
		return refuse(r, "\":\" was expected");
	r->p++;
	if (!push_value(r, depth + 1))
		return false;
	lua_rawset(r->L, -3);
	return true;
}

static bool push_object(struct reader *r, int depth)
{
	lua_createtable(r->L, 0, 4);
	r->p++;
	skip_space(r);
	if (r->p < r->end && *r->p == '}') {
		r->p++;
		return true;
	}
	for (;;) {
		if (!push_member(r, depth))
			return false;
		skip_space(r);
		if (r->p == r->end || (*r->p != ',' && *r->p != '}'))
			return refuse(r, "\",\" or \"}\" was expected");
		if (*r->p++ == '}')
			return true;
	}
}

static bool push_value(struct reader *r, int depth)
{
	skip_space(r);
	if (r->p == r->end)
		return refuse(r, "a value was expected");
	if ((*r->p == '{' || *r->p == '[') && depth >= JSON_DEPTH_MAX)
		return refuse(r, "more than 64 levels");
	switch (*r->p) {
	case '{':
		return push_object(r, depth);
	case '[':
		return push_array(r, depth);
	case '"':
		r->p++;
		return push_string(r);
	case '-': case '0': case '1': case '2': case '3': case '4': case '5': case '6': case '7': case '8': case '9':
		return push_number(r);
	default:
		return push_word(r);
	}
}

bool codec_push(lua_State *L, struct str text, struct errbuf *e)
{
	struct reader r = { L, text.p, text.p, text.p + text.n, e };
	int top = lua_gettop(L);
	bool ok;

	luaL_checkstack(L, 3 * JSON_DEPTH_MAX + 8, "JSON");
	if (!utf8_is_valid(text))
		ok = refuse(&r, "not valid UTF-8");
	else
		ok = push_value(&r, 0);
	if (ok) {
		skip_space(&r);
		if (r.p != r.end)
			ok = refuse(&r, "something behind the value");
	}
	if (!ok)
		lua_settop(L, top);
	return ok;
}

/* -- writing ---------------------------------------------------------------------------------------------------------- */

struct step {
	struct str key;   /* p NULL: an index */
	int index;
};

struct writer {
	lua_State *L;
	struct buf *out;
	struct errbuf *e;
	int depth;
	struct step path[JSON_DEPTH_MAX + 1];
};

/* The keys of all open objects, the innermost last. Kept between calls, because a Lua error may leave at any push. */
static struct {
	struct str *items;
	size_t n, cap;
} keys;

static bool add_value(struct writer *w, int index);

static bool reject(struct writer *w, const char *format, ...) PRINTF_LIKE(2, 3);
static bool reject(struct writer *w, const char *format, ...)
{
	char path[300] = "", text[160];
	size_t n = 0, i;
	va_list args;
	int level;

	for (level = 0; level < w->depth && n + 8 < sizeof path; level++) {
		const struct step *step = &w->path[level];

		path[n++] = '/';
		if (!step->key.p)
			n += (size_t)snprintf(path + n, sizeof path - n, "%d", step->index - 1);
		for (i = 0; step->key.p && i < step->key.n && n + 3 < sizeof path; i++) {
			char c = step->key.p[i];

			if (c == '~' || c == '/')
				path[n++] = '~', c = c == '~' ? '0' : '1';
			path[n++] = (unsigned char)c < 0x20 ? '?' : c;
		}
		if (n >= sizeof path)
			n = sizeof path - 1;
		path[n] = '\0';
	}
	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	err_set(w->e, ERR_INVALID, "%s%s%s", path, path[0] ? ": " : "", text);
	return false;
}

static void keys_push(struct str key)
{
	if (keys.n == keys.cap) {
		keys.cap = keys.cap ? keys.cap * 2 : 64;
		keys.items = mem_grow(keys.items, keys.cap, sizeof *keys.items);
	}
	keys.items[keys.n++] = key;
}

static int by_bytes(const void *a, const void *b)
{
	return str_compare(*(const struct str *)a, *(const struct str *)b);
}

static bool add_number(struct writer *w, double value)
{
	if (value == floor(value) && value < EXACT_MAX && value > -EXACT_MAX && !(value == 0 && signbit(value))) {
		json_add_int(w->out, (int64_t)value);
		return true;
	}
	if (!json_add_double(w->out, value))
		return reject(w, isnan(value) ? "NaN (not a number) has no form in JSON" : "an infinite number has no form in JSON");
	return true;
}

static bool add_string(struct writer *w, int index)
{
	struct str s;

	s.p = lua_tolstring(w->L, index, &s.n);
	if (!utf8_is_valid(s))
		return reject(w, "a string that is not valid UTF-8");
	json_add_string(w->out, s);
	return true;
}

/* Look at every key: strings are put on `keys`, integers counted. */
static bool scan(struct writer *w, int index, size_t *integers)
{
	lua_State *L = w->L;
	size_t first = keys.n;
	double greatest = 0, number;
	struct str key;

	*integers = 0;
	lua_pushnil(L);
	while (lua_next(L, index)) {
		lua_pop(L, 1);
		if (lua_type(L, -1) == LUA_TSTRING) {
			key.p = lua_tolstring(L, -1, &key.n);
			keys_push(key);
			continue;
		}
		if (lua_type(L, -1) != LUA_TNUMBER)
			return reject(w, "a %s as a key: keys are strings, or 1, 2, 3 …", luaL_typename(L, -1));
		number = lua_tonumber(L, -1);
		if (number < 1 || number != floor(number) || number > 1e9)
			return reject(w, "the number %.14g as a key: keys are strings, or 1, 2, 3 …", number);
		if (number > greatest)
			greatest = number;
		++*integers;
	}
	if (*integers && keys.n > first)
		return reject(w, "string keys and numbers in one table: it can be neither array nor object");
	if (greatest != (double)*integers)
		return reject(w, "an array with holes: %zu items, but the last is number %.14g", *integers, greatest);
	return true;
}

static bool add_array(struct writer *w, int index, size_t n)
{
	size_t i;
	bool ok;

	buf_add_char(w->out, '[');
	for (i = 1; i <= n; i++) {
		if (i > 1)
			buf_add_char(w->out, ',');
		lua_rawgeti(w->L, index, (int)i);
		w->path[w->depth++] = (struct step){ { NULL, 0 }, (int)i };
		ok = add_value(w, lua_gettop(w->L));
		if (!ok)
			return false;
		w->depth--;
		lua_pop(w->L, 1);
	}
	buf_add_char(w->out, ']');
	return true;
}

static bool add_object(struct writer *w, int index, size_t first)
{
	size_t i, end = keys.n;

	if (end - first > 1)
		sort_items(keys.items + first, end - first, sizeof *keys.items, by_bytes);
	buf_add_char(w->out, '{');
	for (i = first; i < end; i++) {
		struct str key = keys.items[i];

		w->path[w->depth++] = (struct step){ key, 0 };
		if (!utf8_is_valid(key))
			return reject(w, "a key that is not valid UTF-8");
		if (i > first)
			buf_add_char(w->out, ',');
		json_add_string(w->out, key);
		buf_add_char(w->out, ':');
		lua_pushlstring(w->L, key.p, key.n);
		lua_rawget(w->L, index);
		if (!add_value(w, lua_gettop(w->L)))
			return false;
		w->depth--;
		lua_pop(w->L, 1);
	}
	buf_add_char(w->out, '}');
	keys.n = first;
	return true;
}

static bool add_table(struct writer *w, int index)
{
	size_t first = keys.n, integers;
	bool marked = codec_is_marked(w->L, index);

	if (w->depth >= JSON_DEPTH_MAX)
		return reject(w, "more than 64 levels (a table that contains itself?)");
	if (!scan(w, index, &integers))
		return false;
	if (marked && keys.n > first)
		return reject(w, "an array with the key \"%.40s\"", keys.items[first].p);
	if (integers || marked)
		return add_array(w, index, integers);
	return add_object(w, index, first);
}

static bool add_value(struct writer *w, int index)
{
	if (w->out->full)
		return reject(w, "too large: more than %zu bytes of JSON", w->out->max);
	switch (lua_type(w->L, index)) {
	case LUA_TNIL:
		buf_add(w->out, "null", 4);
		return true;
	case LUA_TBOOLEAN:
		buf_add_text(w->out, lua_toboolean(w->L, index) ? "true" : "false");
		return true;
	case LUA_TNUMBER:
		return add_number(w, lua_tonumber(w->L, index));
	case LUA_TSTRING:
		return add_string(w, index);
	case LUA_TTABLE:
		return add_table(w, index);
	case LUA_TLIGHTUSERDATA:
		if (codec_is_null(w->L, index)) {
			buf_add(w->out, "null", 4);
			return true;
		}
	}
	return reject(w, "a %s is no data", luaL_typename(w->L, index));
}

bool codec_add(struct buf *out, lua_State *L, int index, struct errbuf *e)
{
	struct writer w = { .L = L, .out = out, .e = e };
	int top = lua_gettop(L);
	bool ok;

	if (index < 0)
		index = top + 1 + index;
	luaL_checkstack(L, 3 * JSON_DEPTH_MAX + 8, "JSON");
	keys.n = 0;
	ok = add_value(&w, index);
	lua_settop(L, top);
	if (ok && out->full)
		ok = reject(&w, "too large: more than %zu bytes of JSON", out->max);
	return ok;
}
