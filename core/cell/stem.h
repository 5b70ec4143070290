/* A stem: one bundle, loaded once; cells are its forks. */
#pragma once

/* In the forked process, whose parent is given: enter the jail, serve the socket until it is closed. */
_Noreturn void stem_main(int socket, int zygote);
