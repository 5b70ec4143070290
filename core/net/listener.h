/* The listening socket: opened by the master before any worker, inherited by all of them. Knows nothing of HTTP. */
#pragma once

#include "base/error.h"

#define ADDRESS_TEXT_SIZE 80

/* "127.0.0.1:8080", "[::1]:8080", "localhost:0", ":8080" (every address). *fd is non-blocking, close-on-exec; bound says where it really listens (port 0 asks for a
 * free one). ERR_INVALID: not an address; ERR_UNAVAILABLE: in use or not allowed. */
MUST_CHECK int listener_open(const char *address, int *fd, char bound[ADDRESS_TEXT_SIZE], struct errbuf *e);
