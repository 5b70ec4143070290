/*
 * Where errors come from: position and traceback, taken where an error is raised, before the stack unwinds, and kept for the FAIL or ERROR
 * that may follow. Nothing here needs memory of the VM, so that it works when that is out.
 */
#pragma once

#include <stdbool.h>

#include <lua.h>

#include "base/bytes.h"

/* Paths of the runtime: their lines are not shown as the author's. The prelude is named like one of them. */
#define RUNTIME_FOLDER "scripts/perigee/"
#define PRELUDE_NAME "scripts/perigee/(sandbox)"

struct fault {
	char where[256];       /* "scripts/agents/sales.lua:12"; "" when unknown */
	char traceback[4096];  /* a line per frame, innermost first */
};

void fault_open(lua_State *L);
/* The message handler of every protected call of ours: remembers where, returns the error as it is. */
int fault_on_error(lua_State *L);
/* Remember the error at the top of `from`'s stack, a dead coroutine. */
void fault_capture(lua_State *L, lua_State *from);
/* What is known about the error at index; never NULL (empty when it is another error). */
const struct fault *fault_of(lua_State *L, int index);
/* Push the error that a strike raises, remembering the first place that met it. */
void fault_push_strike(lua_State *L);
/* The author's position, "path:line" of the nearest frame that is not the runtime's; "" when there is none. */
void fault_where(lua_State *L, char *out, size_t size);
/* luaL_error with the author's position. */
int fault_raise(lua_State *L, const char *format, ...) PRINTF_LIKE(2, 3);
/* What to tell about the error at index: code and message (sanitised, at most 4 KiB), both into bufs; position split off into where. */
void fault_describe(lua_State *L, int index, struct buf *code, struct buf *message, struct buf *where);
/* Length of "path:line" when text begins with "path:line: "; else 0. */
size_t fault_position(struct str text);
/* Text that may be anything: valid UTF-8, without control characters but newline and tab, at most max bytes. */
void fault_add_text(struct buf *out, struct str untrusted, size_t max);
