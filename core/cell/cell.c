#include "cell/cell.h"

#include "base/json_text.h"
#include "cell/codec.h"
#include "cell/exits.h"
#include "cell/fault.h"
#include "cell/watchdog.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <lauxlib.h>

struct activation {
	struct vm *vm;
	struct channel channel;
	struct frame start;
};

static int64_t integer_of(lua_State *L, int index, const char *name)
{
	int64_t value = 0;

	lua_getfield(L, index, name);
	if (lua_type(L, -1) == LUA_TNUMBER)
		value = (int64_t)lua_tonumber(L, -1);
	lua_pop(L, 1);
	return value;
}

static struct str string_of(lua_State *L, int index, const char *name)
{
	struct str value = { NULL, 0 };

	lua_getfield(L, index, name);
	if (lua_type(L, -1) == LUA_TSTRING)
		value.p = lua_tolstring(L, -1, &value.n);
	lua_pop(L, 1); /* the table keeps it */
	return value;
}

static bool read_seed(struct str hex, uint64_t seed[2])
{
	size_t i;

	if (hex.n != 32)
		return false;
	seed[0] = seed[1] = 0;
	for (i = 0; i < 32; i++) {
		char c = hex.p[i];
		int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;

		if (digit < 0)
			return false;
		seed[i / 16] = seed[i / 16] << 4 | (unsigned)digit;
	}
	return true;
}

/* A START that ends with a line end is JSON in its first line, and phases behind it. They are no part of the JSON so that a fork's memory is laid out as its
 * origin's was. */
static void split_phases(struct str *start, struct str *phases)
{
	const char *end = start->n && start->p[start->n - 1] == '\n' ? memchr(start->p, '\n', start->n) : NULL;

	if (!end)
		return;
	*phases = (struct str){ end + 1, start->n - (size_t)(end + 1 - start->p) };
	start->n = (size_t)(end - start->p);
}

/* Lines of "FROM RUN SEED". */
static bool read_phases(struct str lines, struct vm_run *run)
{
	memset(run->phases, 0, sizeof run->phases);
	run->phases_count = 0;
	while (lines.n) {
		const char *end = memchr(lines.p, '\n', lines.n);
		struct vm_phase *phase;
		char line[128] = "", seed[40] = "";
		size_t n = end ? (size_t)(end - lines.p) : lines.n;
		long long from;

		if (!end || n >= sizeof line || run->phases_count == VM_PHASES_MAX)
			return false;
		memcpy(line, lines.p, n);
		phase = &run->phases[run->phases_count];
		if (sscanf(line, "%lld %39s %39s", &from, phase->run_id, seed) != 3 || !read_seed(str_of(seed), phase->seed))
			return false;
		phase->from = from;
		run->phases_count++;
		lines.p += n + 1;
		lines.n -= n + 1;
	}
	return true;
}

static const char *what_runs(lua_State *L)
{
	struct str spec = string_of(L, 1, "spec"), agent = string_of(L, 1, "agent"), capability = string_of(L, 1, "capability");

	if (spec.p)
		return spec.p;
	return lua_pushfstring(L, "%s.%s", agent.p ? agent.p : "?", capability.p ? capability.p : "?");
}

/* START in, the payload of DONE out (vm->payload). */
static int run_protected(lua_State *L)
{
	struct activation *activation = lua_touserdata(L, 1);
	struct vm *vm = activation->vm;
	struct vm_run run;
	struct str start = activation->start.payload, phases = { "", 0 };
	struct errbuf e = { "not an object" };

	lua_settop(L, 0);
	split_phases(&start, &phases);
	if (!codec_push(L, start, &e) || !lua_istable(L, 1))
		return luaL_error(L, "START: %s", e.text);
	run.run = string_of(L, 1, "run");
	run.now_us = integer_of(L, 1, "now");
	run.replay = integer_of(L, 1, "replay");
	if (!read_seed(string_of(L, 1, "seed"), run.seed))
		return luaL_error(L, "START: the seed must be 32 hexadecimal digits");
	if (!read_phases(phases, &run))
		return luaL_error(L, "START: behind it stand lines FROM RUN SEED, at most %d", VM_PHASES_MAX);
	vm_start_run(vm, &activation->channel, &run);
	lua_getfield(L, 1, "files"); /* of specs */
	if (lua_istable(L, 2))
		vm_add_sources(vm, 2);
	lua_settop(L, 1);
	vm_push_function(vm, "run");
	lua_pushvalue(L, 1);
	lua_call(L, 1, 1);
	buf_reset(&vm->payload);
	buf_add_text(&vm->payload, "{\"output\":");
	if (!codec_add(&vm->payload, L, -1, &e))
		return luaL_error(L, "the output of %s: %s", what_runs(L), e.text);
	buf_add_char(&vm->payload, '}');
	return 0;
}

static void add_member(struct buf *out, const char *name, struct str untrusted)
{
	struct buf clean;

	buf_init(&clean, (size_t)64 << 10);
	fault_add_text(&clean, untrusted, 8192);
	buf_addf(out, "%s\"%s\":", out->n > 1 ? "," : "", name);
	json_add_string(out, buf_str(&clean));
	buf_free(&clean);
}

/* The error is at the top of the stack. */
static void describe_failure(struct activation *activation, lua_State *L)
{
	struct buf code, message, where, *out = &activation->vm->payload;
	enum budget struck = watchdog_struck();
	const struct fault *fault = fault_of(L, lua_gettop(L));

	buf_init(&code, 1024);
	buf_init(&message, 16384);
	buf_init(&where, 1024);
	if (struck) {
		buf_add_text(&code, watchdog_code(struck));
		buf_add_text(&message, watchdog_text(struck));
		buf_add_text(&where, fault->where);
	} else {
		fault_describe(L, lua_gettop(L), &code, &message, &where);
	}
	buf_reset(out);
	buf_add_char(out, '{');
	add_member(out, "code", buf_str(&code));
	add_member(out, "message", buf_str(&message));
	if (fault->traceback[0])
		add_member(out, "traceback", str_of(fault->traceback));
	if (where.n)
		add_member(out, "where", buf_str(&where));
	buf_add_char(out, '}');
}

_Noreturn void cell_main(struct vm *vm, int fd)
{
	struct activation activation = { .vm = vm };
	struct channel *channel = &activation.channel;
	lua_State *L = vm->L;
	enum frame_type end = FRAME_DONE;

	vm_limit(vm, vm->limits); /* memory counts from here */
	channel_init(channel, fd);
	channel_next(channel, &activation.start);
	if (activation.start.type != FRAME_START)
		_exit(EXIT_PROTOCOL);
	lua_pushcfunction(L, fault_on_error);
	lua_pushcfunction(L, run_protected);
	lua_pushlightuserdata(L, &activation);
	if (lua_pcall(L, 1, 0, 1) || watchdog_struck()) { /* a strike counts whatever the script returned */
		end = FRAME_FAIL;
		describe_failure(&activation, L);
	}
	channel->hold = false;
	if (!channel_send(channel, end, 0, buf_str(&vm->payload)) &&
	    !channel_send(channel, FRAME_FAIL, 0, STR("{\"code\":\"script_error\",\"message\":\"the output is larger than 16 MiB\"}")))
		_exit(EXIT_IO);
	channel_flush(channel);
	_exit(EXIT_DONE);
}
