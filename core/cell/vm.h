/*
 * The Lua state of a stem and of its cells: libraries from an allow-list, JIT off, one bundle of modules.
 *
 * A stem makes it with vm_open, compiles files, loads the bundle, then vm_freeze; each cell is a fork of that and calls vm_start_run. There is one in
 * a process. It is never closed: the process just ends.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <lua.h>

#include "base/error.h"
#include "cell/allocator.h"
#include "cell/channel.h"
#include "cell/random.h"

struct vm_limits {
	int64_t memory_bytes, cpu_ms;
};

#define VM_PHASES_MAX 16       /* forks of forks; the host forks no deeper */

/* From the outcome with this number on (from 0), the run has this id and this chance: a fork is its origin before. */
struct vm_phase {
	int64_t from;
	char run_id[40];
	uint64_t seed[2];
};

struct vm {
	struct arena arena;          /* first: vm_of */
	lua_State *L;
	struct vm_limits limits;
	bool running;                /* in a run: effects, time, chance and logs are possible */
	/* the run */
	struct channel *channel;
	char run_id[128];
	int64_t started_us, now_us;  /* START.now; `at` of the last outcome */
	struct random random;        /* math.random */
	struct random ids;           /* host.uuid */
	int64_t replay_left;         /* outcomes that follow at once */
	struct vm_phase phases[VM_PHASES_MAX]; /* of a fork: who the run is from which outcome on */
	size_t phases_count;
	int64_t received;            /* outcomes so far */
	uint32_t effects, logs;      /* issued so far */
	size_t log_bytes;
	struct buf payload;          /* scratch of the frame under way */
};

struct vm_run {
	struct str run;
	int64_t now_us, replay;
	uint64_t seed[2];
	struct vm_phase phases[VM_PHASES_MAX];
	size_t phases_count;
};

/* NULL when memory is short. */
struct vm *vm_open(struct vm_limits limits);
struct vm *vm_of(lua_State *L);
/* Compile files, the table path → source at index, as modules. Syntax errors: false, and a JSON array of {file, line, message} in errors. */
MUST_CHECK bool vm_compile(struct vm *vm, int index, struct buf *errors);
/* Make the files of the table path → text at index known: they are compiled when they are required (those that end in .lua) or asked for. */
void vm_add_sources(struct vm *vm, int index);
/* Push what the prelude gives to C: the functions "load" and "run", the environments "user", "runtime" and "config". */
void vm_push_function(struct vm *vm, const char *name);
/* Set the limits for what is loaded from here on. */
void vm_limit(struct vm *vm, struct vm_limits limits);
/* Forget garbage and free blocks: before forking. */
void vm_freeze(struct vm *vm);
/* In the cell: budgets count from here. */
void vm_start_run(struct vm *vm, struct channel *channel, const struct vm_run *run);
/* An outcome was taken (or none yet): a fork may be somebody else from here. */
void vm_enter_phase(struct vm *vm);
/* Make room for a block of n bytes that C code is about to allocate, by collecting when it would not fit otherwise. */
void vm_prepare(lua_State *L, size_t bytes);
/* The module that a file is ("scripts/agents/sales.lua": "agents.sales"); false when it is none. */
bool vm_module_name(struct str path, struct buf *out);
