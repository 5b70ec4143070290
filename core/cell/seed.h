/*
 * The same chance for every VM. LuaJIT draws the seed of its string hashes from the system, and through it the collisions in a table's hash part and so the moment
 * at which the table grows: `#t` of a table with holes then differs from process to process, and a replay with it. It asks with syscall(SYS_getrandom), which
 * this program therefore defines. Together with an arena at fixed addresses (allocator.h) a VM is the same function of its input everywhere.
 */
#pragma once

#include <stdbool.h>

/* Between on and off, getrandom gives constants. Only while lua_newstate runs. */
void seed_fix(bool on);
