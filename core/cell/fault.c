#include "cell/fault.h"

#include "base/json_text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lauxlib.h>

#define FRAMES_MAX 24
#define MESSAGE_MAX 4096u

/* One VM in a process, and only its last error matters. */
static struct fault last;
static const struct fault nothing;
static int last_ref, strike_ref;  /* registry: the error that `last` describes; the error of a strike */
static bool strike_known;

static bool is_prelude(const lua_Debug *frame)
{
	return strcmp(frame->source, "=" PRELUDE_NAME) == 0;
}

static bool is_runtime(const lua_Debug *frame)
{
	return strncmp(frame->source, "=" RUNTIME_FOLDER, sizeof RUNTIME_FOLDER) == 0;
}

static void append(char *out, size_t size, const char *format, ...) PRINTF_LIKE(3, 4);
static void append(char *out, size_t size, const char *format, ...)
{
	size_t n = strlen(out);
	va_list args;

	if (n + 1 >= size)
		return;
	va_start(args, format);
	vsnprintf(out + n, size - n, format, args);
	va_end(args);
}

static void add_frame(struct fault *fault, const lua_Debug *frame)
{
	append(fault->traceback, sizeof fault->traceback, "%s%s:%d", fault->traceback[0] ? "\n" : "", frame->source + 1, frame->currentline);
	if (frame->name)
		append(fault->traceback, sizeof fault->traceback, ": in %.60s", frame->name);
	else if (*frame->what == 'm')
		append(fault->traceback, sizeof fault->traceback, ": in the main chunk");
}

static void walk(struct fault *fault, lua_State *L)
{
	char first[sizeof fault->where] = "";
	lua_Debug frame;
	int level, shown = 0;

	*fault = (struct fault){ .where = "" };
	for (level = 0; shown < FRAMES_MAX && lua_getstack(L, level, &frame); level++) {
		if (!lua_getinfo(L, "Snl", &frame) || *frame.source != '=' || *frame.what == 'C' || is_prelude(&frame))
			continue;
		add_frame(fault, &frame);
		shown++;
		if (!first[0])
			snprintf(first, sizeof first, "%s:%d", frame.source + 1, frame.currentline);
		if (!fault->where[0] && !is_runtime(&frame))
			snprintf(fault->where, sizeof fault->where, "%s:%d", frame.source + 1, frame.currentline);
	}
	if (!fault->where[0])
		memcpy(fault->where, first, sizeof first);
}

/* Is the value at index the one that `last` describes? */
static bool is_last(lua_State *L, int index)
{
	bool same;

	lua_pushvalue(L, index);
	lua_rawgeti(L, LUA_REGISTRYINDEX, last_ref);
	same = lua_rawequal(L, -1, -2) && !lua_isnil(L, -1);
	lua_pop(L, 2);
	return same;
}

static void keep(lua_State *L, int index)
{
	lua_pushvalue(L, index);
	lua_rawseti(L, LUA_REGISTRYINDEX, last_ref);
}

void fault_open(lua_State *L)
{
	lua_pushboolean(L, 0);
	last_ref = luaL_ref(L, LUA_REGISTRYINDEX);
	lua_newtable(L);
	strike_ref = luaL_ref(L, LUA_REGISTRYINDEX);
	strike_known = false;
}

int fault_on_error(lua_State *L)
{
	lua_settop(L, 1);
	if (is_last(L, 1))
		return 1; /* raised again on its way up: the first place counts */
	walk(&last, L);
	keep(L, 1);
	return 1;
}

void fault_capture(lua_State *L, lua_State *from)
{
	if (lua_gettop(from) == 0)
		return;
	lua_pushvalue(from, -1);
	if (from != L)
		lua_xmove(from, L, 1);
	if (!is_last(L, -1)) {
		walk(&last, from);
		keep(L, -1);
	}
	lua_pop(L, 1);
}

const struct fault *fault_of(lua_State *L, int index)
{
	return is_last(L, index) ? &last : &nothing;
}

void fault_push_strike(lua_State *L)
{
	lua_rawgeti(L, LUA_REGISTRYINDEX, strike_ref);
	if (strike_known)
		return;
	strike_known = true;
	walk(&last, L);
	keep(L, -1);
}

void fault_where(lua_State *L, char *out, size_t size)
{
	lua_Debug frame;
	int level;

	if (size)
		out[0] = '\0';
	for (level = 0; lua_getstack(L, level, &frame); level++) {
		if (!lua_getinfo(L, "Sl", &frame) || *frame.source != '=' || *frame.what == 'C' || is_runtime(&frame))
			continue;
		snprintf(out, size, "%s:%d", frame.source + 1, frame.currentline);
		return;
	}
}

int fault_raise(lua_State *L, const char *format, ...)
{
	char where[256], text[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	fault_where(L, where, sizeof where);
	lua_pushfstring(L, "%s%s%s", where, where[0] ? ": " : "", text);
	return lua_error(L);
}

void fault_add_text(struct buf *out, struct str untrusted, size_t max)
{
	size_t i, n;
	bool cut = untrusted.n > max;

	n = cut ? max : untrusted.n;
	for (i = 0; i < n;) {
		unsigned char c = (unsigned char)untrusted.p[i];
		size_t length = c < 0x80 ? 1 : c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;

		if (c < 0x20 && c != '\n' && c != '\t') {
			buf_addf(out, "\\x%02x", c); /* no terminal or log obeys it */
			i++;
		} else if (length <= n - i && utf8_is_valid((struct str){ untrusted.p + i, length })) {
			buf_add(out, untrusted.p + i, length);
			i += length;
		} else {
			if (!cut || n - i >= 4)
				buf_add_text(out, "\xef\xbf\xbd");
			i++;
		}
	}
	if (cut)
		buf_add_text(out, " …");
}

/* Length of "path:line" when text begins with "path:line: ". */
size_t fault_position(struct str text)
{
	size_t i, digits;

	for (i = 1; i + 2 < text.n && i < 200; i++) {
		if (text.p[i] == '\n')
			return 0;
		if (text.p[i] != ':')
			continue;
		for (digits = 0; i + 1 + digits < text.n && text.p[i + 1 + digits] >= '0' && text.p[i + 1 + digits] <= '9'; digits++)
			;
		if (digits && i + 2 + digits < text.n && text.p[i + 1 + digits] == ':' && text.p[i + 2 + digits] == ' ')
			return i + 1 + digits;
		if (text.p[i + 1] == ' ')
			return 0;
	}
	return 0;
}

static struct str field(lua_State *L, int index, const char *name)
{
	struct str s = { NULL, 0 };

	lua_pushstring(L, name);
	lua_rawget(L, index);
	if (lua_type(L, -1) == LUA_TSTRING)
		s.p = lua_tolstring(L, -1, &s.n);
	lua_pop(L, 1); /* the table keeps it alive */
	return s;
}

static void describe_table(lua_State *L, int index, struct buf *code, struct buf *message, struct buf *where)
{
	struct str s = field(L, index, "code");

	if (s.n)
		fault_add_text(code, s, 128);
	s = field(L, index, "message");
	if (s.n)
		fault_add_text(message, s, MESSAGE_MAX);
	else
		buf_add_text(message, "an error without a message was raised (a table: give it code and message)");
	s = field(L, index, "where");
	if (s.n)
		fault_add_text(where, s, 256);
}

void fault_describe(lua_State *L, int index, struct buf *code, struct buf *message, struct buf *where)
{
	struct str text;
	size_t at;

	if (lua_type(L, index) == LUA_TTABLE) {
		describe_table(L, index, code, message, where);
	} else if (lua_type(L, index) == LUA_TSTRING) {
		text.p = lua_tolstring(L, index, &text.n);
		at = fault_position(text);
		if (at) {
			fault_add_text(where, (struct str){ text.p, at }, 256);
			text = (struct str){ text.p + at + 2, text.n - at - 2 };
		}
		if (str_starts(text, "stack overflow"))
			buf_add_text(code, "budget.stack");
		fault_add_text(message, text, MESSAGE_MAX);
	} else {
		buf_addf(message, "an error was raised with a %s instead of a message", luaL_typename(L, index));
	}
	if (!code->n)
		buf_add_text(code, "script_error");
	if (!where->n)
		buf_add_text(where, fault_of(L, index)->where);
}
