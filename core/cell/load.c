#include "cell/load.h"

#include "base/json_text.h"
#include "cell/codec.h"
#include "cell/fault.h"
#include "cell/watchdog.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <lauxlib.h>

#define DEFAULT_MEMORY (INT64_C(64) << 20)
#define DEFAULT_CPU_MS 1000
#define ERRORS_MAX (frame_table[FRAME_ERROR].payload_max / 2)
#define LOAD_CPU_MS 2000 /* compiling a bundle is no slice of a run */

/* One LOAD in the life of a process. */
struct load {
	struct vm *vm;
	struct str payload;
	struct buf *out;
	struct buf errors;   /* JSON array: files that do not compile, modules that fail */
	bool faulty;         /* it holds some */
	char struck[256];    /* where a budget ended the loading of a module */
};

static int64_t limit_of(lua_State *L, int limits, const char *name, int64_t otherwise)
{
	int64_t value = otherwise;

	if (lua_istable(L, limits)) {
		lua_getfield(L, limits, name);
		if (lua_type(L, -1) == LUA_TNUMBER && lua_tonumber(L, -1) > 0)
			value = (int64_t)lua_tonumber(L, -1);
		lua_pop(L, 1);
	}
	return value;
}

static void set_limits(struct load *load, lua_State *L)
{
	struct vm_limits limits;
	struct rlimit space;

	lua_getfield(L, 1, "limits");
	limits.memory_bytes = limit_of(L, lua_gettop(L), "memory_bytes", DEFAULT_MEMORY);
	limits.cpu_ms = limit_of(L, lua_gettop(L), "cpu_ms", DEFAULT_CPU_MS);
	int64_t load_cpu_ms = limit_of(L, lua_gettop(L), "load_cpu_ms", LOAD_CPU_MS);
	lua_pop(L, 1);
	vm_limit(load->vm, limits);
	/* Lua's memory twice, frames both ways, the stack; what is beyond is not ours to use. */
	space.rlim_cur = space.rlim_max = (rlim_t)limits.memory_bytes * 2 + ((rlim_t)512 << 20);
	setrlimit(RLIMIT_AS, &space);
	watchdog_start(load_cpu_ms);
}

static void evaluate_config(struct load *load, lua_State *L)
{
	const char *path, *text;
	size_t n;

	lua_getfield(L, 1, "files");
	lua_pushnil(L);
	if (!lua_istable(L, -2) || !lua_next(L, -2) || lua_type(L, -1) != LUA_TSTRING || lua_type(L, -2) != LUA_TSTRING)
		luaL_error(L, "LOAD without a file");
	path = lua_tostring(L, -2);
	text = lua_tolstring(L, -1, &n);
	lua_pushfstring(L, "=%s", path);
	if (luaL_loadbufferx(L, text, n, lua_tostring(L, -1), "t"))
		lua_error(L);
	vm_push_function(load->vm, "config");
	lua_setfenv(L, -2);
	lua_call(L, 0, 1);
	if (!lua_istable(L, -1))
		luaL_error(L, "%s:1: a configuration file returns a table, this one a %s", path, luaL_typename(L, -1));
}

static void split_where(struct str where, struct str *file, int *line)
{
	size_t colon = where.n;

	while (colon > 0 && where.p[colon - 1] != ':')
		colon--;
	*file = where;
	*line = 0;
	if (colon) {
		file->n = colon - 1;
		*line = atoi(where.p + colon);
	}
}

/* Once each: a broken module fails for everyone who requires it. */
static void add_fault(struct load *load, struct str where, struct str message)
{
	struct buf one;
	struct str file;
	int line;

	if (str_ends(message, "does not compile"))
		return; /* the compiler said why */
	split_where(where, &file, &line);
	buf_init(&one, 65536);
	buf_add_text(&one, "{\"file\":");
	json_add_string(&one, file);
	buf_addf(&one, ",\"line\":%d,\"message\":", line);
	json_add_string(&one, message);
	buf_add_char(&one, '}');
	if (!one.full && load->errors.n + one.n + 2 < ERRORS_MAX && !memmem(load->errors.p, load->errors.n, one.p, one.n)) {
		buf_add_text(&load->errors, load->errors.n > 1 ? "," : "");
		buf_add_str(&load->errors, buf_str(&one));
	}
	buf_free(&one);
}

/* The error at the top of the stack: a fault a line, each of its own position where it has one. */
static void add_faults(struct load *load, lua_State *L)
{
	struct buf code, message, where;
	struct str rest;

	buf_init(&code, 256);
	buf_init(&message, 16384);
	buf_init(&where, 1024);
	fault_describe(L, lua_gettop(L), &code, &message, &where);
	for (rest = buf_str(&message); rest.n;) {
		const char *newline = memchr(rest.p, '\n', rest.n);
		struct str line = { rest.p, newline ? (size_t)(newline - rest.p) : rest.n };
		size_t at = fault_position(line);

		rest.p += line.n + (newline ? 1 : 0);
		rest.n -= line.n + (newline ? 1 : 0);
		if (at)
			add_fault(load, (struct str){ line.p, at }, (struct str){ line.p + at + 2, line.n - at - 2 });
		else if (line.n)
			add_fault(load, buf_str(&where), line);
	}
	buf_free(&code);
	buf_free(&message);
	buf_free(&where);
}

static void load_modules(struct load *load, lua_State *L)
{
	size_t i, n;
	int names;

	vm_push_function(load->vm, "declaring");
	lua_call(L, 0, 1);
	names = lua_gettop(L);
	n = lua_objlen(L, names);
	for (i = 1; i <= n; i++) {
		lua_pushcfunction(L, fault_on_error);
		vm_push_function(load->vm, "declare");
		lua_rawgeti(L, names, (int)i);
		if (lua_pcall(L, 1, 0, -3)) {
			if (watchdog_struck()) { /* nothing more is loaded; describe_failure tells it */
				snprintf(load->struck, sizeof load->struck, "%s", fault_of(L, lua_gettop(L))->where);
				lua_error(L);
			}
			add_faults(load, L);
		}
		lua_settop(L, names);
	}
	lua_pop(L, 1);
}

static int load_protected(lua_State *L)
{
	struct load *load = lua_touserdata(L, 1);
	struct errbuf e = { "not an object" };
	bool config;

	lua_settop(L, 0);
	if (!codec_push(L, load->payload, &e) || !lua_istable(L, 1))
		return luaL_error(L, "LOAD: %s", e.text);
	set_limits(load, L);
	lua_getfield(L, 1, "mode");
	config = lua_isstring(L, -1) && strcmp(lua_tostring(L, -1), "config") == 0;
	lua_pop(L, 1);
	if (config) {
		evaluate_config(load, L);
	} else {
		lua_getfield(L, 1, "files");
		luaL_checktype(L, 2, LUA_TTABLE);
		load->faulty = !vm_compile(load->vm, 2, &load->errors);
		load->errors.n--; /* its ']': there may be more */
		load_modules(load, L);
		buf_add_char(&load->errors, ']');
		load->faulty |= load->errors.n > 2;
		if (load->faulty)
			return 0;
		vm_push_function(load->vm, "load");
		lua_call(L, 0, 1);
	}
	if (!lua_istable(L, -1))
		return luaL_error(L, "the manifest is a %s, not a table", luaL_typename(L, -1));
	if (!codec_add(load->out, L, -1, &e))
		return luaL_error(L, "%s: %s", config ? "the configuration" : "the manifest", e.text);
	return 0;
}

static void add_error(struct buf *out, struct str file, int line, struct str message, struct str errors)
{
	buf_reset(out);
	buf_add_text(out, "{\"errors\":");
	buf_add_str(out, errors);
	buf_add_text(out, ",\"file\":");
	json_add_string(out, file);
	buf_addf(out, ",\"line\":%d,\"message\":", line);
	json_add_string(out, message);
	buf_add_char(out, '}');
}

/* The error that loading raised is at the top of the stack. */
static void describe_failure(struct load *load, lua_State *L)
{
	struct buf code, message, where, one;
	enum budget struck = watchdog_struck();
	struct str file;
	int line;

	buf_init(&code, 256);
	buf_init(&message, 16384);
	buf_init(&where, 1024);
	buf_init(&one, 65536);
	fault_describe(L, lua_gettop(L), &code, &message, &where);
	if (struck) {
		buf_reset(&message);
		buf_addf(&message, "%s (%s)", watchdog_text(struck), watchdog_code(struck));
		if (!where.n)
			buf_add_text(&where, load->struck);
	}
	split_where(buf_str(&where), &file, &line);
	buf_add_text(&one, "[{\"file\":");
	json_add_string(&one, file);
	buf_addf(&one, ",\"line\":%d,\"message\":", line);
	json_add_string(&one, buf_str(&message));
	buf_add_text(&one, "}]");
	add_error(load->out, file, line, buf_str(&message), buf_str(&one));
}

/* errors is [{"file":…,"line":…,"message":…},…]: the first one is also the answer's own. */
static int describe_faults(lua_State *L)
{
	struct load *load = lua_touserdata(L, 1);
	struct str file, message;
	struct errbuf e = { "" };
	int line;

	lua_settop(L, 0);
	if (!codec_push(L, buf_str(&load->errors), &e))
		return luaL_error(L, "%s", e.text);
	lua_rawgeti(L, 1, 1);
	lua_getfield(L, 2, "file");
	lua_getfield(L, 2, "line");
	lua_getfield(L, 2, "message");
	file.p = luaL_checklstring(L, 3, &file.n);
	line = (int)lua_tonumber(L, 4);
	message.p = luaL_checklstring(L, 5, &message.n);
	add_error(load->out, file, line, message, buf_str(&load->errors));
	return 0;
}

enum frame_type load_bundle(struct vm *vm, struct str payload, struct buf *out)
{
	struct load load = { .vm = vm, .payload = payload, .out = out };
	lua_State *L = vm->L;
	bool ok;

	buf_init(&load.errors, ERRORS_MAX);
	lua_pushcfunction(L, fault_on_error);
	lua_pushcfunction(L, load_protected);
	lua_pushlightuserdata(L, &load);
	ok = lua_pcall(L, 1, 0, 1) == 0;
	watchdog_start(0);
	if (ok && load.faulty) {
		lua_pushcfunction(L, describe_faults);
		lua_pushlightuserdata(L, &load);
		ok = lua_pcall(L, 1, 0, 1) == 0;
	}
	if (!ok || watchdog_struck())
		describe_failure(&load, L);
	buf_free(&load.errors);
	return ok && !load.faulty && !watchdog_struck() ? FRAME_MANIFEST : FRAME_ERROR;
}

bool load_prepare(struct vm *vm)
{
	bool ok;

	watchdog_start(LOAD_CPU_MS);
	vm_push_function(vm, "prepare");
	ok = lua_pcall(vm->L, 0, 0, 0) == 0;
	watchdog_start(0);
	vm_freeze(vm);
	return ok && !watchdog_struck();
}
