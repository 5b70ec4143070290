/*
 * string.find, match, gmatch and gsub with the semantics of Lua 5.1's patterns, but stoppable: every step of the matcher looks whether the run was struck
 * (watchdog.h), and a plain search is linear. The built-in ones run for minutes on hostile patterns, deaf to every hook.
 */
#pragma once

#include <lua.h>

int pattern_find(lua_State *L);
int pattern_match(lua_State *L);
int pattern_gmatch(lua_State *L);
int pattern_gsub(lua_State *L);
