/*
 * Budgets inside a cell. A budget that is passed is a *strike*: from then on every VM instruction raises the same error, which no
 * pcall of the prelude keeps, and the run fails with its code whatever the script returns.
 *
 * CPU is counted in ticks of a CPU timer since the last outcome; no hook is armed before the strike (a count hook costs 25-55 %). C code hears no hook: the
 * pattern matcher asks watchdog_struck itself, and when nothing reacts for four budgets and a second the process ends with EXIT_CPU. The host's wall
 * clock is the last resort.
 */
#pragma once

#include <stdint.h>

#include <lua.h>

enum budget { BUDGET_NONE, BUDGET_CPU, BUDGET_MEMORY, BUDGET_LOG };

/* Once per process tree, with the state whose hooks it may arm; installs the signal handler. `collected` is called behind each full collection
 * and may strike. */
void watchdog_open(lua_State *L, void (*collected)(lua_State *L));
/* Start the CPU timer of this process (a fork inherits none); 0 stops it. */
void watchdog_start(int64_t cpu_ms);
void watchdog_slice(void);                       /* the CPU budget begins anew */
void watchdog_strike(enum budget budget);        /* from anywhere, also the allocator and a signal handler */
enum budget watchdog_struck(void);
const char *watchdog_code(enum budget budget);   /* "budget.cpu" */
const char *watchdog_text(enum budget budget);   /* for people */
int watchdog_raise(lua_State *L);                /* raise the strike (there is one); allocates nothing */
/* C code that calls Lua code that may call it again: raise "stack overflow" long before the C stack ends. Called from the outermost C frame once, to know where
 * the stack begins. */
void watchdog_stack_begin(void);
void watchdog_check_stack(lua_State *L);
/* Have a full collection run at the next VM instruction; from the allocator. */
void watchdog_collect_soon(void);
