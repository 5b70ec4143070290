#include "cell/library.h"

#include "cell/codec.h"
#include "cell/fault.h"
#include "cell/order.h"
#include "cell/pattern.h"
#include "cell/vm.h"
#include "cell/watchdog.h"

#include <math.h>
#include <string.h>
#include <time.h>

#include <lauxlib.h>

#define TEXT_MAX ((size_t)64 << 20)  /* bytes that rep and format may make at once */
#define WIDEST_NUMBER 512            /* more than "%99.99f" of the greatest double */

void library_push_text(lua_State *L, int index)
{
	if (index < 0)
		index = lua_gettop(L) + 1 + index;
	watchdog_check_stack(L);
	if (lua_type(L, index) == LUA_TTABLE && luaL_callmeta(L, index, "__tostring")) {
		if (lua_type(L, -1) != LUA_TSTRING)
			luaL_error(L, "'__tostring' must return a string");
		return;
	}
	switch (lua_type(L, index)) {
	case LUA_TNUMBER:
	case LUA_TSTRING:
		lua_pushvalue(L, index);
		lua_tostring(L, -1);
		return;
	case LUA_TBOOLEAN:
		lua_pushstring(L, lua_toboolean(L, index) ? "true" : "false");
		return;
	default:
		lua_pushstring(L, codec_is_null(L, index) ? "null" : luaL_typename(L, index));
		return;
	}
}

static int safe_tostring(lua_State *L)
{
	luaL_checkany(L, 1);
	library_push_text(L, 1);
	return 1;
}

static int refuse_collector(lua_State *L, const char *field)
{
	return fault_raise(L, "setmetatable: %s is not available, because what a run does may not depend on the garbage collector", field);
}

static int safe_setmetatable(lua_State *L)
{
	static const char *const refused[] = { "__mode", "__gc" };
	size_t i;

	luaL_checktype(L, 1, LUA_TTABLE);
	if (!lua_isnil(L, 2))
		luaL_checktype(L, 2, LUA_TTABLE);
	lua_settop(L, 2);
	if (luaL_getmetafield(L, 1, "__metatable"))
		return luaL_error(L, "cannot change a protected metatable");
	for (i = 0; lua_istable(L, 2) && i < sizeof refused / sizeof *refused; i++) {
		lua_pushstring(L, refused[i]);
		lua_rawget(L, 2);
		if (!lua_isnil(L, -1))
			return refuse_collector(L, refused[i]);
		lua_pop(L, 1);
	}
	lua_setmetatable(L, 1);
	return 1;
}

static int safe_getmetatable(lua_State *L)
{
	luaL_checkany(L, 1);
	if (!lua_getmetatable(L, 1) || codec_is_mark(L, -1)) {
		lua_pushnil(L);
		return 1;
	}
	luaL_getmetafield(L, 1, "__metatable"); /* pushes nothing when there is none */
	return 1;
}

static int safe_rawlen(lua_State *L)
{
	if (lua_type(L, 1) != LUA_TTABLE && lua_type(L, 1) != LUA_TSTRING)
		return luaL_error(L, "bad argument #1 to 'rawlen' (table or string expected, got %s)", luaL_typename(L, 1));
	lua_pushnumber(L, (double)lua_objlen(L, 1));
	return 1;
}

static int safe_insert(lua_State *L)
{
	int n, at;
	double position;

	luaL_checktype(L, 1, LUA_TTABLE);
	n = (int)lua_objlen(L, 1) + 1;
	if (lua_gettop(L) == 2) {
		lua_rawseti(L, 1, n);
		return 0;
	}
	if (lua_gettop(L) != 3)
		return luaL_error(L, "wrong number of arguments to 'insert'");
	position = luaL_checknumber(L, 2);
	if (!(position >= 1 && position <= n && position == floor(position)))
		return luaL_error(L, "bad argument #2 to 'insert' (position %.14g is not in 1 … %d)", position, n);
	at = (int)position;
	for (; n > at; n--) {
		lua_rawgeti(L, 1, n - 1);
		lua_rawseti(L, 1, n);
	}
	lua_rawseti(L, 1, at);
	return 0;
}

static void check_size(lua_State *L, const char *who, double bytes)
{
	if (bytes > (double)TEXT_MAX)
		luaL_error(L, "%s: the result would have %.0f bytes; the most is %d", who, bytes, (int)TEXT_MAX);
	if (bytes > 65536)
		vm_prepare(L, (size_t)bytes * 2);
}

/* Upvalue: the built-in. */
static int safe_rep(lua_State *L)
{
	size_t n, between = 0;
	double times;

	luaL_checklstring(L, 1, &n);
	times = luaL_checknumber(L, 2);
	if (lua_gettop(L) > 2 && !lua_isnil(L, 3))
		luaL_checklstring(L, 3, &between);
	if (!(times >= 1)) {
		lua_pushliteral(L, "");
		return 1;
	}
	if (times > 2147483647.0)
		return luaL_error(L, "rep: %.14g times is too often", times);
	if (n + between == 0) {
		lua_pushliteral(L, "");
		return 1;
	}
	check_size(L, "rep", times * (double)(n + between));
	lua_pushvalue(L, lua_upvalueindex(1));
	lua_insert(L, 1);
	lua_call(L, lua_gettop(L) - 1, 1);
	return 1;
}

/* Upvalue: the built-in. */
static int safe_format(lua_State *L)
{
	const char *p = luaL_checkstring(L, 1);
	int argument = 1, top = lua_gettop(L);
	double bytes = (double)lua_objlen(L, 1);
	size_t n;

	for (; *p; p++) {
		if (*p != '%' || *++p == '%')
			continue;
		p += strspn(p, "-+ #0123456789.");
		if (*p == 'p')
			return luaL_error(L, "format: %%p is not available");
		if (!*p)
			break;
		argument++;
		if (argument <= top && (*p == 's' || *p == 'q')) {
			if (*p == 's' && lua_type(L, argument) != LUA_TSTRING) {
				library_push_text(L, argument);
				lua_replace(L, argument);
			}
			n = lua_type(L, argument) == LUA_TSTRING ? lua_objlen(L, argument) : 0;
			bytes += (double)n * (*p == 'q' ? 4 : 1);
		}
		bytes += WIDEST_NUMBER;
	}
	check_size(L, "format", bytes);
	lua_pushvalue(L, lua_upvalueindex(1));
	lua_insert(L, 1);
	lua_call(L, lua_gettop(L) - 1, 1);
	return 1;
}

static struct vm *running_vm(lua_State *L, const char *what)
{
	struct vm *vm = vm_of(L);

	if (!vm->running)
		fault_raise(L, "%s is not possible while the bundle loads: move it into the run function of a capability", what);
	return vm;
}

static int safe_random(lua_State *L)
{
	struct vm *vm = running_vm(L, "math.random");
	double least = 1, most;

	if (lua_gettop(L) == 0) {
		lua_pushnumber(L, random_unit(&vm->random));
		return 1;
	}
	most = floor(luaL_checknumber(L, lua_gettop(L) > 1 ? 2 : 1));
	if (lua_gettop(L) > 1)
		least = floor(luaL_checknumber(L, 1));
	if (!(least <= most) || most - least >= 9007199254740992.0)
		return luaL_error(L, "bad argument to 'random' (interval %.14g … %.14g is empty or too wide)", least, most);
	lua_pushnumber(L, least + (double)random_below(&vm->random, (uint64_t)(most - least) + 1));
	return 1;
}

/* -- os: over the time of the run, in UTC ------------------------------------------------------------------------------- */

static int time_field(lua_State *L, const char *name, int otherwise)
{
	double value;

	lua_getfield(L, 1, name);
	if (lua_isnil(L, -1) && otherwise >= 0) {
		lua_pop(L, 1);
		return otherwise;
	}
	if (!lua_isnumber(L, -1))
		return luaL_error(L, "os.time: field '%s' must be a number", name);
	value = lua_tonumber(L, -1);
	lua_pop(L, 1);
	if (!(value >= -1e6 && value <= 1e6))
		return luaL_error(L, "os.time: field '%s' is out of range", name);
	return (int)value;
}

static int safe_time(lua_State *L)
{
	struct tm tm = { 0 };

	if (lua_isnoneornil(L, 1)) {
		lua_pushnumber(L, floor((double)running_vm(L, "os.time")->now_us / 1e6));
		return 1;
	}
	luaL_checktype(L, 1, LUA_TTABLE);
	tm.tm_sec = time_field(L, "sec", 0);
	tm.tm_min = time_field(L, "min", 0);
	tm.tm_hour = time_field(L, "hour", 12);
	tm.tm_mday = time_field(L, "day", -1);
	tm.tm_mon = time_field(L, "month", -1) - 1;
	tm.tm_year = time_field(L, "year", -1) - 1900;
	lua_pushnumber(L, (double)timegm(&tm));
	return 1;
}

static int safe_clock(lua_State *L)
{
	struct vm *vm = running_vm(L, "os.clock");

	lua_pushnumber(L, (double)(vm->now_us - vm->started_us) / 1e6);
	return 1;
}

static int push_date_table(lua_State *L, const struct tm *tm)
{
	const struct {
		const char *name;
		int value;
	} fields[] = {
		{ "year", tm->tm_year + 1900 }, { "month", tm->tm_mon + 1 }, { "day", tm->tm_mday }, { "hour", tm->tm_hour },
		{ "min", tm->tm_min }, { "sec", tm->tm_sec }, { "wday", tm->tm_wday + 1 }, { "yday", tm->tm_yday + 1 },
	};
	size_t i;

	lua_createtable(L, 0, 9);
	for (i = 0; i < sizeof fields / sizeof *fields; i++) {
		lua_pushinteger(L, fields[i].value);
		lua_setfield(L, -2, fields[i].name);
	}
	lua_pushboolean(L, 0);
	lua_setfield(L, -2, "isdst");
	return 1;
}

static int safe_date(lua_State *L)
{
	static const char known[] = "aAbBcdDeFGgHIjmMnpRSTtuUVwWxXyYZz%";
	const char *format = luaL_optstring(L, 1, "%c"), *p;
	double at = lua_isnoneornil(L, 2) ? floor((double)running_vm(L, "os.date")->now_us / 1e6) : floor(luaL_checknumber(L, 2));
	char out[1024];
	struct tm tm;
	time_t seconds;

	if (*format == '!')
		format++;
	if (!(at >= -62135596800.0 && at <= 253402300799.0))
		return luaL_error(L, "os.date: the time is not within the years 1 to 9999");
	seconds = (time_t)at;
	gmtime_r(&seconds, &tm);
	if (strcmp(format, "*t") == 0)
		return push_date_table(L, &tm);
	if (strlen(format) > 200)
		return luaL_error(L, "os.date: the format has more than 200 characters");
	for (p = format; *p; p++)
		if (*p == '%' && (!*++p || !strchr(known, *p)))
			return luaL_error(L, "os.date: unknown conversion in the format");
	lua_pushlstring(L, out, strftime(out, sizeof out, format, &tm));
	return 1;
}

void library_add_safe(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{ "tostring", safe_tostring }, { "setmetatable", safe_setmetatable }, { "getmetatable", safe_getmetatable },
		{ "rawlen", safe_rawlen }, { "pairs", order_pairs }, { "next", order_next }, { "insert", safe_insert },
		{ "find", pattern_find }, { "match", pattern_match }, { "gmatch", pattern_gmatch }, { "gsub", pattern_gsub },
		{ "random", safe_random }, { "time", safe_time }, { "clock", safe_clock }, { "date", safe_date }, { NULL, NULL },
	};

	luaL_setfuncs(L, functions, 0);
	lua_getglobal(L, "string");
	lua_getfield(L, -1, "rep");
	lua_pushcclosure(L, safe_rep, 1);
	lua_setfield(L, -3, "rep");
	lua_getfield(L, -1, "format");
	lua_pushcclosure(L, safe_format, 1);
	lua_setfield(L, -3, "format");
	lua_pop(L, 1);
}
