/*
 * Lua values as canonical JSON and back, so that everything comes back as it went: doubles exactly, [] as [] (decoded arrays carry a mark), null as a
 * value of its own. Raw access only: no metamethod runs here.
 *
 * An array is a table with the keys 1…n, or one with the mark; an object has string keys only; an empty table without the mark is {}.
 * Anything else (mixed keys, holes, functions, NaN, over 64 levels, invalid UTF-8) is refused with the JSON Pointer of the place.
 */
#pragma once

#include <stdbool.h>

#include <lua.h>

#include "base/error.h"

void codec_open(lua_State *L);
/* Push the value of one JSON document: strict, no duplicate keys. On failure nothing is pushed. May raise (memory). */
MUST_CHECK bool codec_push(lua_State *L, struct str text, struct errbuf *e);
/* Append the value at index. False with e ("/items/2: …") when it is no data or out is full; out then holds a part. May raise (memory). */
MUST_CHECK bool codec_add(struct buf *out, lua_State *L, int index, struct errbuf *e);
void codec_push_null(lua_State *L);
bool codec_is_null(lua_State *L, int index);
void codec_mark_array(lua_State *L, int index);
bool codec_is_marked(lua_State *L, int index);
/* Is the metatable at the top of the stack the mark? It is hidden from scripts. */
bool codec_is_mark(lua_State *L, int index);
