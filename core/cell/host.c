/* The primitives of perigee.host: how a script reaches out of its cell. prelude.lua makes the blocking calls and host.all of them. */
#include "cell/library.h"

#include "base/json_text.h"
#include "cell/codec.h"
#include "cell/exits.h"
#include "cell/fault.h"
#include "cell/vm.h"
#include "cell/watchdog.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <lauxlib.h>

#define LOGS_MAX 10000u
#define LOG_BYTES_MAX ((size_t)4 << 20)

static int error_ref;  /* registry: the metatable of errors that effects raise */

static struct vm *running(lua_State *L, const char *what)
{
	struct vm *vm = vm_of(L);

	if (!vm->running)
		fault_raise(L, "%s is not possible while the bundle loads: move it into the run function of a capability", what);
	return vm;
}

/* -- effects ------------------------------------------------------------------------------------------------------------- */

/* send(name, args) → number */
static int host_send(lua_State *L)
{
	struct str name;
	struct errbuf e = { "" };
	struct vm *vm;

	name.p = luaL_checklstring(L, 1, &name.n);
	vm = running(L, name.p);
	lua_settop(L, 2);
	if (!lua_isnil(L, 2) && !lua_istable(L, 2))
		return fault_raise(L, "%s: the arguments must be a table, got a %s", name.p, luaL_typename(L, 2));
	buf_reset(&vm->payload);
	buf_add_text(&vm->payload, "{\"args\":");
	if (lua_isnil(L, 2))
		buf_add_text(&vm->payload, "{}");
	else if (!codec_add(&vm->payload, L, 2, &e))
		return fault_raise(L, "%s: %s", name.p, e.text);
	if (!utf8_is_valid(name))
		return fault_raise(L, "the name of an effect is not valid UTF-8");
	buf_add_text(&vm->payload, ",\"name\":");
	json_add_string(&vm->payload, name);
	buf_add_char(&vm->payload, '}');
	vm->channel->hold = vm->replay_left > 0;
	if (vm->payload.full || !channel_send(vm->channel, FRAME_EFFECT, vm->effects + 1, buf_str(&vm->payload)))
		return fault_raise(L, "%s: the arguments are larger than 16 MiB", name.p);
	lua_pushnumber(L, ++vm->effects);
	return 1;
}

static void refuse_outcome(struct vm *vm, uint32_t number, const char *why)
{
	char text[256];
	struct buf out;

	snprintf(text, sizeof text, "the outcome of effect %u %s (issued so far: %u)", number, why, vm->effects);
	buf_init(&out, 1024);
	buf_add_text(&out, "{\"code\":\"replay_diverged\",\"message\":");
	json_add_string(&out, str_of(text));
	buf_add_char(&out, '}');
	if (channel_send(vm->channel, FRAME_FAIL, 0, buf_str(&out)))
		channel_flush(vm->channel);
	_exit(EXIT_DONE);
}

static void take_time(lua_State *L, struct vm *vm)
{
	lua_getfield(L, -1, "at");
	if (lua_type(L, -1) == LUA_TNUMBER)
		vm->now_us = (int64_t)lua_tonumber(L, -1);
	lua_pop(L, 1);
}

/* receive() → number, ok, value: the next outcome in order of arrival; blocks */
static int host_receive(lua_State *L)
{
	struct vm *vm = running(L, "waiting for an outcome");
	struct frame frame;
	struct errbuf e = { "" };

	vm->channel->hold = false;
	channel_next(vm->channel, &frame);
	if (frame.type != FRAME_OUTCOME)
		_exit(EXIT_PROTOCOL);
	if (frame.sequence > vm->effects)
		refuse_outcome(vm, frame.sequence, "arrived before the script issued it");
	if (vm->replay_left > 0)
		vm->replay_left--;
	vm->received++;
	vm_enter_phase(vm);
	watchdog_slice();
	lua_settop(L, 0);
	lua_pushnumber(L, frame.sequence);
	vm_prepare(L, frame.payload.n * 4);
	if (!codec_push(L, frame.payload, &e) || !lua_istable(L, 2))
		refuse_outcome(vm, frame.sequence, "is not well formed");
	take_time(L, vm);
	lua_getfield(L, 2, "error");
	if (!lua_isnil(L, -1)) {
		lua_pushboolean(L, 0);
		lua_insert(L, 3);
	} else {
		lua_pop(L, 1);
		lua_pushboolean(L, 1);
		lua_getfield(L, 2, "ok");
	}
	lua_remove(L, 2);
	return 3;
}

static int host_can_yield(lua_State *L)
{
	lua_pushboolean(L, lua_isyieldable(L));
	return 1;
}

static int error_text(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TTABLE);
	lua_pushliteral(L, "message");
	lua_rawget(L, 1);
	if (lua_type(L, -1) != LUA_TSTRING)
		lua_pushliteral(L, "an effect failed");
	return 1;
}

/* failure(error) → the same table as an error: with the author's position, and with its message as its text */
static int host_failure(lua_State *L)
{
	char where[256];

	lua_settop(L, 1);
	if (!lua_istable(L, 1))
		return luaL_error(L, "a malformed error from the host");
	lua_rawgeti(L, LUA_REGISTRYINDEX, error_ref);
	lua_setmetatable(L, 1);
	fault_where(L, where, sizeof where);
	lua_getfield(L, 1, "where");
	if (lua_isnil(L, -1) && where[0]) {
		lua_pushstring(L, where);
		lua_setfield(L, 1, "where");
	}
	lua_settop(L, 1);
	return 1;
}

/* -- what costs no effect ------------------------------------------------------------------------------------------------ */

static void add_text_value(struct buf *out, struct str text)
{
	struct buf clean;

	buf_init(&clean, (size_t)1 << 20);
	fault_add_text(&clean, text, 64u << 10);
	json_add_string(out, buf_str(&clean));
	buf_free(&clean);
}

static bool add_log(struct vm *vm, lua_State *L, struct str level, struct str message, struct errbuf *e)
{
	bool ok = true;

	buf_reset(&vm->payload);
	buf_add_text(&vm->payload, "{\"fields\":");
	if (lua_isnoneornil(L, 3))
		buf_add_text(&vm->payload, "{}");
	else
		ok = codec_add(&vm->payload, L, 3, e);
	buf_add_text(&vm->payload, ",\"level\":");
	json_add_string(&vm->payload, level);
	buf_add_text(&vm->payload, ",\"message\":");
	add_text_value(&vm->payload, message);
	buf_add_char(&vm->payload, '}');
	return ok;
}

/* log(level, message, fields) */
static int host_log(lua_State *L)
{
	static const char *const levels[] = { "debug", "info", "warn", "error", NULL };
	struct vm *vm = running(L, "logging");
	struct str level = str_of(levels[luaL_checkoption(L, 1, "info", levels)]), message;
	struct errbuf e = { "" };

	message.p = luaL_checklstring(L, 2, &message.n);
	if (!lua_isnoneornil(L, 3))
		luaL_checktype(L, 3, LUA_TTABLE);
	if (!add_log(vm, L, level, message, &e))
		return fault_raise(L, "log: fields%s", e.text);
	vm->log_bytes += vm->payload.n;
	if (vm->logs >= LOGS_MAX || vm->log_bytes > LOG_BYTES_MAX) {
		watchdog_strike(BUDGET_LOG);
		return watchdog_raise(L);
	}
	vm->channel->hold = vm->replay_left > 0;
	if (vm->payload.full || !channel_send(vm->channel, FRAME_LOG, vm->logs + 1, buf_str(&vm->payload)))
		return fault_raise(L, "log: the line is larger than 256 KiB");
	vm->logs++;
	return 0;
}

static int host_now(lua_State *L)
{
	lua_pushnumber(L, (double)running(L, "asking for the time")->now_us);
	return 1;
}

static int host_run_id(lua_State *L)
{
	lua_pushstring(L, running(L, "asking for the run")->run_id);
	return 1;
}

static int host_uuid(lua_State *L)
{
	struct vm *vm = running(L, "making a UUID");
	uint64_t a = random_next(&vm->ids), b = random_next(&vm->ids), ms = (uint64_t)(vm->now_us / 1000);
	char text[40];

	snprintf(text, sizeof text, "%08x-%04x-7%03x-%04x-%012llx", (unsigned)(ms >> 16), (unsigned)(ms & 0xffff), (unsigned)(a & 0xfff),
		 (unsigned)(0x8000 | (b >> 48 & 0x3fff)), (unsigned long long)(b & 0xffffffffffffULL));
	lua_pushstring(L, text);
	return 1;
}

static int host_json_encode(lua_State *L)
{
	struct vm *vm = vm_of(L);
	struct errbuf e = { "" };

	luaL_checkany(L, 1);
	buf_reset(&vm->payload);
	if (!codec_add(&vm->payload, L, 1, &e))
		return fault_raise(L, "json_encode: %s", e.text);
	vm_prepare(L, vm->payload.n);
	lua_pushlstring(L, vm->payload.p, vm->payload.n);
	return 1;
}

static int host_json_decode(lua_State *L)
{
	struct str text;
	struct errbuf e = { "" };

	text.p = luaL_checklstring(L, 1, &text.n);
	vm_prepare(L, text.n * 4);
	if (!codec_push(L, text, &e))
		return fault_raise(L, "json_decode: %s", e.text);
	return 1;
}

static int host_array(lua_State *L)
{
	if (lua_isnoneornil(L, 1)) {
		lua_settop(L, 0);
		lua_newtable(L);
	}
	luaL_checktype(L, 1, LUA_TTABLE);
	lua_settop(L, 1);
	if (lua_getmetatable(L, 1) && !codec_is_mark(L, -1))
		return luaL_error(L, "array: the table has a metatable of its own");
	lua_settop(L, 1);
	codec_mark_array(L, 1);
	return 1;
}

static int host_is_array(lua_State *L)
{
	lua_pushboolean(L, lua_type(L, 1) == LUA_TTABLE && codec_is_marked(L, 1));
	return 1;
}

static int host_struck(lua_State *L)
{
	if (watchdog_struck())
		return watchdog_raise(L);
	return 0;
}

static int host_capture(lua_State *L)
{
	lua_State *from = lua_tothread(L, 1);

	if (from)
		fault_capture(L, from);
	return 0;
}

static int host_traceback(lua_State *L)
{
	luaL_checkany(L, 1);
	lua_pushstring(L, fault_of(L, 1)->traceback);
	return 1;
}

static int host_running(lua_State *L)
{
	lua_pushboolean(L, vm_of(L)->running);
	return 1;
}

void library_add_host(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{ "send", host_send }, { "receive", host_receive }, { "can_yield", host_can_yield }, { "failure", host_failure },
		{ "log", host_log }, { "now", host_now }, { "run_id", host_run_id }, { "uuid", host_uuid },
		{ "json_encode", host_json_encode }, { "json_decode", host_json_decode }, { "array", host_array },
		{ "is_array", host_is_array }, { "check_strike", host_struck }, { "on_error", fault_on_error },
		{ "capture", host_capture }, { "traceback", host_traceback }, { "running", host_running }, { NULL, NULL },
	};

	luaL_setfuncs(L, functions, 0);
	codec_push_null(L);
	lua_setfield(L, -2, "null");
	lua_newtable(L);
	lua_pushcfunction(L, error_text);
	lua_setfield(L, -2, "__tostring");
	error_ref = luaL_ref(L, LUA_REGISTRYINDEX);
}
