/* A cell: one activation of one run. */
#pragma once

#include "cell/vm.h"

/* In the forked process, jailed: read START from the socket, run, send DONE or FAIL, exit. */
_Noreturn void cell_main(struct vm *vm, int fd);
