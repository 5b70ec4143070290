#include "cell/order.h"

#include "base/bytes.h"
#include "cell/fault.h"
#include "cell/sort.h"

#include <math.h>
#include <stdlib.h>

#include <lauxlib.h>

#define UPVALUE_KEYS 200 /* up to here the iterator itself holds the keys; a C function has at most 255 upvalues */
#define KEEP_KEYS 65536

struct key {
	struct str text;  /* p NULL: a number */
	double number;
};

/* Kept between calls, because a Lua error may leave at any push. */
static struct {
	struct key *items;
	size_t n, cap;
} keys;

static bool read_key(lua_State *L, int index, struct key *key)
{
	key->text = (struct str){ NULL, 0 };
	key->number = 0;
	if (lua_type(L, index) == LUA_TNUMBER) {
		key->number = lua_tonumber(L, index);
		return true;
	}
	if (lua_type(L, index) != LUA_TSTRING)
		return false;
	key->text.p = lua_tolstring(L, index, &key->text.n);
	return true;
}

static int compare(const struct key *a, const struct key *b)
{
	if (a->text.p && b->text.p)
		return str_compare(a->text, b->text);
	if (a->text.p || b->text.p)
		return a->text.p ? 1 : -1;
	return a->number < b->number ? -1 : a->number > b->number;
}

static int by_key(const void *a, const void *b)
{
	return compare(a, b);
}

static void push_key(lua_State *L, const struct key *key)
{
	if (key->text.p)
		lua_pushlstring(L, key->text.p, key->text.n);
	else
		lua_pushnumber(L, key->number);
}

static int refuse(lua_State *L, const char *who, int index)
{
	return fault_raise(L, "%s: a table with a %s as a key has no order: use strings or numbers as keys", who, luaL_typename(L, index));
}

static void add_key(struct key key)
{
	if (keys.n == keys.cap) {
		keys.cap = keys.cap ? keys.cap * 2 : 64;
		keys.items = mem_grow(keys.items, keys.cap, sizeof *keys.items);
	}
	keys.items[keys.n++] = key;
}

/* Are the keys exactly 1…n? Then n, else 0; `keys` holds them all when they are not. */
static size_t collect(lua_State *L)
{
	size_t n = 0;
	struct key key;

	keys.n = 0;
	lua_pushnil(L);
	while (lua_next(L, 1)) { /* an array: LuaJIT walks 1, 2, 3 … */
		lua_pop(L, 1);
		if (lua_type(L, -1) != LUA_TNUMBER || lua_tonumber(L, -1) != (double)(n + 1))
			break;
		n++;
	}
	if (lua_gettop(L) == 1)
		return n;
	lua_settop(L, 1);
	lua_pushnil(L);
	while (lua_next(L, 1)) {
		lua_pop(L, 1);
		if (!read_key(L, -1, &key))
			refuse(L, "pairs", -1);
		add_key(key);
	}
	if (keys.n > 1)
		sort_items(keys.items, keys.n, sizeof *keys.items, by_key);
	return 0;
}

/* Upvalues: n. */
static int step_array(lua_State *L)
{
	double n = lua_tonumber(L, lua_upvalueindex(1)), i = lua_tonumber(L, 2);

	while (++i <= n) {
		lua_rawgeti(L, 1, (int)i);
		if (!lua_isnil(L, -1)) {
			lua_pushnumber(L, i);
			lua_insert(L, -2);
			return 2;
		}
		lua_pop(L, 1);
	}
	return 0;
}

/* Upvalues: position, count, the keys. */
static int step_few(lua_State *L)
{
	int at = (int)lua_tonumber(L, lua_upvalueindex(1)), n = (int)lua_tonumber(L, lua_upvalueindex(2));

	while (at++ < n) {
		lua_pushvalue(L, lua_upvalueindex(2 + at));
		lua_pushvalue(L, -1);
		lua_rawget(L, 1);
		if (!lua_isnil(L, -1)) {
			lua_pushnumber(L, at);
			lua_replace(L, lua_upvalueindex(1));
			return 2;
		}
		lua_pop(L, 2);
	}
	lua_pushnumber(L, n);
	lua_replace(L, lua_upvalueindex(1));
	return 0;
}

/* Upvalues: position, count, a list of the keys. */
static int step_many(lua_State *L)
{
	int at = (int)lua_tonumber(L, lua_upvalueindex(1)), n = (int)lua_tonumber(L, lua_upvalueindex(2));

	while (at++ < n) {
		lua_rawgeti(L, lua_upvalueindex(3), at);
		lua_pushvalue(L, -1);
		lua_rawget(L, 1);
		if (!lua_isnil(L, -1)) {
			lua_pushnumber(L, at);
			lua_replace(L, lua_upvalueindex(1));
			return 2;
		}
		lua_pop(L, 2);
	}
	lua_pushnumber(L, n);
	lua_replace(L, lua_upvalueindex(1));
	return 0;
}

static void push_iterator(lua_State *L)
{
	size_t i;

	lua_pushnumber(L, 0);
	lua_pushnumber(L, (double)keys.n);
	if (keys.n <= UPVALUE_KEYS) {
		luaL_checkstack(L, UPVALUE_KEYS, "pairs");
		for (i = 0; i < keys.n; i++)
			push_key(L, &keys.items[i]);
		lua_pushcclosure(L, step_few, 2 + (int)keys.n);
		return;
	}
	lua_createtable(L, (int)keys.n, 0);
	for (i = 0; i < keys.n; i++) {
		push_key(L, &keys.items[i]);
		lua_rawseti(L, -2, (int)i + 1);
	}
	lua_pushcclosure(L, step_many, 3);
	if (keys.cap > KEEP_KEYS) {
		free(keys.items);
		keys.items = NULL;
		keys.cap = 0;
	}
}

int order_pairs(lua_State *L)
{
	size_t n;

	luaL_checktype(L, 1, LUA_TTABLE);
	lua_settop(L, 1);
	n = collect(L);
	if (n || keys.n == 0) {
		lua_pushnumber(L, (double)n);
		lua_pushcclosure(L, step_array, 1);
		lua_pushvalue(L, 1);
		lua_pushnumber(L, 0);
		return 3;
	}
	push_iterator(L);
	lua_pushvalue(L, 1);
	return 2;
}

int order_next(lua_State *L)
{
	struct key after, key, best = { { NULL, 0 }, 0 };
	bool first, found = false;

	luaL_checktype(L, 1, LUA_TTABLE);
	lua_settop(L, 2);
	first = lua_isnil(L, 2);
	if (!first && !read_key(L, 2, &after))
		return refuse(L, "next", 2);
	lua_pushnil(L);
	while (lua_next(L, 1)) {
		lua_pop(L, 1);
		if (!read_key(L, -1, &key))
			return refuse(L, "next", -1);
		if ((first || compare(&key, &after) > 0) && (!found || compare(&key, &best) < 0)) {
			best = key;
			found = true;
		}
	}
	if (!found) {
		lua_pushnil(L);
		return 1;
	}
	push_key(L, &best);
	lua_pushvalue(L, -1);
	lua_rawget(L, 1);
	return 2;
}
