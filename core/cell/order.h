/*
 * pairs and next with an order that depends on nothing but the keys: numbers ascending, then strings bytewise; tables with other keys are refused.
 * pairs takes the keys at its start: keys removed meanwhile are skipped, keys added meanwhile are not seen.
 */
#pragma once

#include <lua.h>

int order_pairs(lua_State *L);
int order_next(lua_State *L);
