/* What the prelude gets from C: safe replacements of library functions, and the primitives of the module perigee.host. */
#pragma once

#include <lua.h>

/* Put the replacements into the table at the top of the stack: tostring, setmetatable, pairs, string and table functions, time. */
void library_add_safe(lua_State *L);
/* Put the primitives of perigee.host into the table at the top of the stack. */
void library_add_host(lua_State *L);
/* Push the text of any value as scripts see it: no addresses; __tostring is asked. */
void library_push_text(lua_State *L, int index);
