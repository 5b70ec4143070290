#include "cell/vm.h"

#include "base/json_text.h"
#include "cell/codec.h"
#include "cell/fault.h"
#include "cell/library.h"
#include "cell/seed.h"
#include "cell/sort.h"
#include "cell/watchdog.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lauxlib.h>
#include <luajit.h>
#include <lualib.h>

#define MIB ((size_t)1 << 20)
#define FIRST_MARK (20 * MIB) /* a full collection touches the whole inherited heap: 15 ms with the default playbooks */
#define SLACK_MAX (16 * MIB)

extern const char cell_prelude[];
extern const size_t cell_prelude_size;

/* The prelude's tables, in the registry. */
static int functions_ref, chunks_ref, paths_ref, sources_ref;

struct vm *vm_of(lua_State *L)
{
	void *state;

	lua_getallocf(L, &state);
	return state; /* the arena is its first member */
}

/* -- memory -------------------------------------------------------------------------------------------------------------- */

static size_t soft_limit(const struct vm *vm)
{
	return vm->limits.memory_bytes > 0 ? (size_t)vm->limits.memory_bytes : 64 * MIB;
}

static size_t next_mark(size_t used, size_t soft)
{
	size_t mark = used * 2 > FIRST_MARK ? used * 2 : FIRST_MARK;

	if (mark > soft - soft / 4)
		mark = used + ((soft - used) / 2 > soft / 32 ? (soft - used) / 2 : soft / 32);
	return mark < soft ? mark : soft;
}

/* Past the soft limit comes a full collection; what is still too much then is a strike. A little more is granted until it runs. */
static void limit_memory(struct vm *vm)
{
	size_t soft = soft_limit(vm), slack = soft / 4 < SLACK_MAX ? soft / 4 : SLACK_MAX;

	arena_limit(&vm->arena, soft + slack, next_mark(0, soft));
}

static void on_mark(struct arena *arena)
{
	(void)arena;
	watchdog_collect_soon();
}

static void on_denied(struct arena *arena)
{
	(void)arena;
	watchdog_strike(BUDGET_MEMORY);
}

static void on_collected(lua_State *L)
{
	struct vm *vm = vm_of(L);
	size_t used = arena_used(&vm->arena), soft = soft_limit(vm);

	lua_gc(L, LUA_GCSTOP, 0); /* a collection starts the collector again */
	if (used > soft - soft / 32)
		watchdog_strike(BUDGET_MEMORY);
	else
		vm->arena.mark = next_mark(used, soft);
}

void vm_prepare(lua_State *L, size_t bytes)
{
	struct vm *vm = vm_of(L);

	if (arena_used(&vm->arena) + bytes <= soft_limit(vm) || arena_used(&vm->arena) < MIB)
		return;
	lua_gc(L, LUA_GCCOLLECT, 0);
	on_collected(L);
}

/* -- opening ------------------------------------------------------------------------------------------------------------- */

static void open_library(lua_State *L, const char *name, lua_CFunction open)
{
	lua_pushcfunction(L, open);
	lua_pushstring(L, name);
	lua_call(L, 1, 0);
}

/* Copy the functions named in the list from the table at the top of the stack into the one below it. */
static void copy_functions(lua_State *L, const char *const *names)
{
	for (; *names; names++) {
		lua_getfield(L, -1, *names);
		if (lua_isnil(L, -1))
			luaL_error(L, "LuaJIT has no %s", *names);
		lua_setfield(L, -3, *names);
	}
}

/* raw.libraries[name] = the listed built-in functions of the library. */
static void add_library(lua_State *L, const char *name, const char *const *names)
{
	lua_newtable(L);
	lua_getglobal(L, name);
	copy_functions(L, names);
	lua_pop(L, 1);
	lua_setfield(L, -2, name);
}

/* raw.libraries[library][name] = raw[name], which is our replacement. */
static void replace(lua_State *L, int raw, const char *library, const char *const *names)
{
	lua_getfield(L, -1, library);
	for (; *names; names++) {
		lua_getfield(L, raw, *names);
		lua_setfield(L, -2, *names);
	}
	lua_pop(L, 1);
}

static void add_libraries(lua_State *L, int raw)
{
	static const char *const strings[] = { "byte", "char", "len", "lower", "reverse", "sub", "upper", NULL };
	static const char *const safe_strings[] = { "find", "format", "gmatch", "gsub", "match", "rep", NULL };
	static const char *const tables[] = { "concat", "maxn", "remove", "sort", "move", NULL };
	static const char *const safe_tables[] = { "insert", NULL };
	static const char *const maths[] = { "abs", "acos", "asin", "atan", "atan2", "ceil", "cos", "cosh", "deg", "exp", "floor", "fmod", "frexp", "huge",
					     "ldexp", "log", "log10", "max", "min", "modf", "pi", "pow", "rad", "sin", "sinh", "sqrt", "tan", "tanh", NULL };
	static const char *const safe_maths[] = { "random", NULL };
	static const char *const bits[] = { "arshift", "band", "bnot", "bor", "bswap", "bxor", "lshift", "rol", "ror", "rshift", "tobit", "tohex", NULL };
	static const char *const times[] = { "clock", "date", "time", NULL };

	lua_newtable(L);
	add_library(L, "string", strings);
	replace(L, raw, "string", safe_strings);
	add_library(L, "table", tables);
	replace(L, raw, "table", safe_tables);
	add_library(L, "math", maths);
	replace(L, raw, "math", safe_maths);
	add_library(L, "bit", bits);
	lua_newtable(L);
	lua_setfield(L, -2, "os");
	replace(L, raw, "os", times);
	/* Methods of strings: the same functions, through a metatable that nobody can reach. */
	lua_pushliteral(L, "");
	lua_getmetatable(L, -1);
	lua_getfield(L, -3, "string");
	lua_setfield(L, -2, "__index");
	lua_pushboolean(L, 0);
	lua_setfield(L, -2, "__metatable");
	lua_pop(L, 2);
	lua_setfield(L, raw, "libraries");
}

static void add_coroutines(lua_State *L, int raw)
{
	static const char *const names[][2] = {
		{ "create", "co_create" }, { "resume", "co_resume" }, { "yield", "co_yield" }, { "status", "co_status" }, { "running", "co_running" },
	};
	size_t i;

	lua_getglobal(L, "coroutine");
	for (i = 0; i < sizeof names / sizeof *names; i++) {
		lua_getfield(L, -1, names[i][0]);
		lua_setfield(L, raw, names[i][1]);
	}
	lua_pop(L, 1);
}

static void share_table(lua_State *L, int raw, const char *name, int *ref)
{
	lua_newtable(L);
	lua_pushvalue(L, -1);
	lua_setfield(L, raw, name);
	*ref = luaL_ref(L, LUA_REGISTRYINDEX);
}

/* compile(text, path, environment) → function, or nil and a message */
static int raw_compile(lua_State *L)
{
	struct str text;

	text.p = luaL_checklstring(L, 1, &text.n);
	lua_settop(L, 3);
	lua_pushfstring(L, "=%s", luaL_checkstring(L, 2));
	if (luaL_loadbufferx(L, text.p, text.n, lua_tostring(L, -1), "t")) {
		lua_pushnil(L);
		lua_insert(L, -2);
		return 2;
	}
	lua_pushvalue(L, 3);
	lua_setfenv(L, -2);
	return 1;
}

static void push_raw(lua_State *L)
{
	static const char *const base[] = { "assert", "error", "ipairs", "pcall", "xpcall", "rawequal", "rawget", "rawset", "select", "tonumber", "type",
					    "unpack", NULL };
	static const char *const table[] = { "concat", "sort", NULL };
	static const char *const string[] = { "sub", NULL };
	int raw;

	lua_newtable(L);
	raw = lua_gettop(L);
	lua_pushvalue(L, LUA_GLOBALSINDEX);
	copy_functions(L, base);
	lua_getfield(L, -1, "next");
	lua_setfield(L, raw, "next_raw");
	lua_pop(L, 1);
	lua_getglobal(L, "table");
	copy_functions(L, table);
	lua_pop(L, 1);
	lua_getglobal(L, "string");
	copy_functions(L, string);
	lua_pop(L, 1);
	library_add_safe(L);
	library_add_host(L);
	lua_pushcfunction(L, raw_compile);
	lua_setfield(L, raw, "compile");
	add_libraries(L, raw);
	add_coroutines(L, raw);
	share_table(L, raw, "chunks", &chunks_ref);
	share_table(L, raw, "paths", &paths_ref);
	share_table(L, raw, "sources", &sources_ref);
}

/* No name of the real globals is left, nor of the registry's list of libraries. */
static void clear_globals(lua_State *L)
{
	lua_pushnil(L);
	while (lua_next(L, LUA_GLOBALSINDEX)) {
		lua_pop(L, 1);
		lua_pushvalue(L, -1);
		lua_pushnil(L);
		lua_rawset(L, LUA_GLOBALSINDEX);
	}
	lua_pushnil(L);
	lua_setfield(L, LUA_REGISTRYINDEX, "_LOADED");
}

static int open_protected(lua_State *L)
{
	open_library(L, "", luaopen_base);
	open_library(L, LUA_STRLIBNAME, luaopen_string);
	open_library(L, LUA_TABLIBNAME, luaopen_table);
	open_library(L, LUA_MATHLIBNAME, luaopen_math);
	open_library(L, LUA_BITLIBNAME, luaopen_bit);
	codec_open(L);
	fault_open(L);
	if (luaL_loadbufferx(L, cell_prelude, cell_prelude_size, "=" PRELUDE_NAME, "t"))
		return lua_error(L);
	push_raw(L);
	clear_globals(L);
	lua_call(L, 1, 1);
	functions_ref = luaL_ref(L, LUA_REGISTRYINDEX);
	return 0;
}

/* The first error of a process makes the unwinder read its tables: once here, instead of in every cell. */
static int raise_once(lua_State *L)
{
	return luaL_error(L, "nothing");
}

struct vm *vm_open(struct vm_limits limits)
{
	struct vm *vm = mem_alloc(sizeof *vm);

	vm->limits = limits;
	arena_init(&vm->arena);
	vm->arena.on_mark = on_mark;
	vm->arena.on_denied = on_denied;
	buf_init(&vm->payload, FRAME_PAYLOAD_MAX);
	seed_fix(true);
	vm->L = lua_newstate(arena_realloc, &vm->arena);
	seed_fix(false);
	if (!vm->L)
		return NULL;
	luaJIT_setmode(vm->L, 0, LUAJIT_MODE_ENGINE | LUAJIT_MODE_OFF);
	lua_gc(vm->L, LUA_GCSTOP, 0);
	watchdog_open(vm->L, on_collected);
	lua_cpcall(vm->L, raise_once, NULL);
	lua_settop(vm->L, 0);
	lua_pushcfunction(vm->L, open_protected);
	if (lua_pcall(vm->L, 0, 0, 0))
		bug(__FILE__, __LINE__, lua_tostring(vm->L, -1));
	limit_memory(vm);
	return vm;
}

void vm_push_function(struct vm *vm, const char *name)
{
	lua_rawgeti(vm->L, LUA_REGISTRYINDEX, functions_ref);
	lua_getfield(vm->L, -1, name);
	lua_remove(vm->L, -2);
}

/* -- modules ------------------------------------------------------------------------------------------------------------- */

bool vm_module_name(struct str path, struct buf *out)
{
	size_t i;

	if (!str_ends(path, ".lua"))
		return false;
	path.n -= 4;
	if (str_starts(path, "scripts/"))
		path = (struct str){ path.p + 8, path.n - 8 };
	if (str_ends(path, "/init"))
		path.n -= 5;
	buf_reset(out);
	for (i = 0; i < path.n; i++)
		buf_add_char(out, path.p[i] == '/' ? '.' : path.p[i]);
	return out->n > 0 && !out->full;
}

/* `message` is "path:line: text"; LuaJIT shortens the path, so it is given apart. */
static void add_syntax_error(struct buf *errors, struct str path, struct str message)
{
	size_t at = 0;
	int64_t line = 0;

	while (at + 1 < message.n && !(message.p[at] == ':' && message.p[at + 1] >= '0' && message.p[at + 1] <= '9'))
		at++;
	if (at + 1 < message.n) {
		for (at++; at < message.n && message.p[at] >= '0' && message.p[at] <= '9' && line < 10000000; at++)
			line = line * 10 + (message.p[at] - '0');
		at += at + 2 <= message.n ? 2 : 0;
		message = (struct str){ message.p + at, message.n - at };
	}
	buf_addf(errors, "%s{\"file\":", errors->n > 1 ? "," : "");
	json_add_string(errors, path);
	buf_addf(errors, ",\"line\":%d,\"message\":", (int)line);
	json_add_string(errors, message);
	buf_add_char(errors, '}');
}

static int by_bytes(const void *a, const void *b)
{
	return str_compare(*(const struct str *)a, *(const struct str *)b);
}

static void push_environment(struct vm *vm, struct str path)
{
	vm_push_function(vm, str_starts(path, RUNTIME_FOLDER) ? "runtime" : "user");
}

static void set_in(lua_State *L, int ref, struct str key, int value)
{
	lua_rawgeti(L, LUA_REGISTRYINDEX, ref);
	lua_pushlstring(L, key.p, key.n);
	lua_pushvalue(L, value);
	lua_rawset(L, -3);
	lua_pop(L, 1);
}

/* a.lua and a/init.lua are one module, and the first wins. */
static bool is_taken(lua_State *L, struct str module, struct str path)
{
	struct str known = { NULL, 0 };
	bool taken;

	lua_rawgeti(L, LUA_REGISTRYINDEX, paths_ref);
	lua_pushlstring(L, module.p, module.n);
	lua_rawget(L, -2);
	if (lua_type(L, -1) == LUA_TSTRING)
		known.p = lua_tolstring(L, -1, &known.n);
	taken = known.p && !str_equal(known, path);
	lua_pop(L, 2);
	return taken;
}

/* The text of the file is at the top of the stack. */
static void compile_file(struct vm *vm, struct str path, struct buf *errors)
{
	lua_State *L = vm->L;
	int top = lua_gettop(L);
	struct str text, message;
	struct buf module;

	buf_init(&module, 256);
	text.p = lua_tolstring(L, top, &text.n);
	if (!vm_module_name(path, &module)) {
		add_syntax_error(errors, path, STR(":0: not the path of a Lua file"));
		return;
	}
	if (is_taken(L, buf_str(&module), path)) {
		buf_free(&module);
		return;
	}
	lua_pushfstring(L, "=%s", path.p);
	if (luaL_loadbufferx(L, text.p, text.n, lua_tostring(L, -1), "t")) {
		message.p = lua_tolstring(L, -1, &message.n);
		if (!utf8_is_valid(message))
			message = STR(":0: a character outside of strings and comments that is not Lua");
		add_syntax_error(errors, path, message);
	} else {
		push_environment(vm, path);
		lua_setfenv(L, -2);
		set_in(L, chunks_ref, buf_str(&module), lua_gettop(L));
	}
	lua_pushlstring(L, path.p, path.n);
	set_in(L, paths_ref, buf_str(&module), lua_gettop(L));
	buf_free(&module);
	lua_settop(L, top);
}

bool vm_compile(struct vm *vm, int index, struct buf *errors)
{
	lua_State *L = vm->L;
	struct str *paths = NULL;
	size_t n = 0, cap = 0, i;
	bool clean;

	lua_pushnil(L);
	while (lua_next(L, index)) {
		if (lua_type(L, -2) == LUA_TSTRING && lua_type(L, -1) == LUA_TSTRING) {
			if (n == cap)
				paths = mem_grow(paths, cap = cap ? cap * 2 : 64, sizeof *paths);
			paths[n].p = lua_tolstring(L, -2, &paths[n].n);
			n++;
		}
		lua_pop(L, 1);
	}
	if (n > 1)
		sort_items(paths, n, sizeof *paths, by_bytes);
	buf_add_char(errors, '[');
	for (i = 0; i < n; i++) {
		lua_pushlstring(L, paths[i].p, paths[i].n);
		lua_rawget(L, index);
		compile_file(vm, paths[i], errors);
		lua_pop(L, 1);
	}
	clean = errors->n == 1;
	buf_add_char(errors, ']');
	free(paths);
	return clean;
}

void vm_add_sources(struct vm *vm, int index)
{
	lua_State *L = vm->L;
	struct buf module;
	struct str path;

	buf_init(&module, 256);
	lua_pushnil(L);
	while (lua_next(L, index)) {
		if (lua_type(L, -2) == LUA_TSTRING && lua_type(L, -1) == LUA_TSTRING) {
			path.p = lua_tolstring(L, -2, &path.n);
			set_in(L, sources_ref, path, lua_gettop(L));
			if (vm_module_name(path, &module) && !is_taken(L, buf_str(&module), path))
				set_in(L, paths_ref, buf_str(&module), lua_gettop(L) - 1);
		}
		lua_pop(L, 1);
	}
	buf_free(&module);
}

/* -- life ---------------------------------------------------------------------------------------------------------------- */

void vm_limit(struct vm *vm, struct vm_limits limits)
{
	vm->limits = limits;
	limit_memory(vm);
}

void vm_freeze(struct vm *vm)
{
	lua_settop(vm->L, 0);
	lua_gc(vm->L, LUA_GCCOLLECT, 0);
	lua_gc(vm->L, LUA_GCSTOP, 0);
	arena_freeze(&vm->arena);
}

static void seed_chance(struct vm *vm, const uint64_t seed[2])
{
	random_seed(&vm->random, seed, 0);
	random_seed(&vm->ids, seed, UINT64_C(0x7569642073747265));
}

void vm_start_run(struct vm *vm, struct channel *channel, const struct vm_run *run)
{
	size_t n = run->run.n < sizeof vm->run_id - 1 ? run->run.n : sizeof vm->run_id - 1;

	vm->channel = channel;
	if (n)
		memcpy(vm->run_id, run->run.p, n);
	vm->run_id[n] = '\0';
	vm->started_us = vm->now_us = run->now_us;
	vm->replay_left = run->replay;
	seed_chance(vm, run->seed);
	memcpy(vm->phases, run->phases, sizeof vm->phases);
	vm->phases_count = run->phases_count;
	vm->received = 0;
	vm_enter_phase(vm);
	vm->running = true;
	watchdog_slice();
}

void vm_enter_phase(struct vm *vm)
{
	for (size_t i = 0; i < vm->phases_count; i++)
		if (vm->phases[i].from == vm->received) {
			memcpy(vm->run_id, vm->phases[i].run_id, sizeof vm->phases[i].run_id);
			seed_chance(vm, vm->phases[i].seed);
		}
}
