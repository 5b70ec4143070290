/* Where a Redis server is, read from its URL. */
#pragma once

#include "base/error.h"

struct redis_url {
	char *path;                         /* of a unix socket; else NULL, and host and port are set */
	char *host, *user, *password;       /* user and password may be NULL */
	int64_t port, database;
};

/* ERR_INVALID names the fault, never the password. */
MUST_CHECK int redis_url_read(const char *text, struct redis_url *out, struct errbuf *e);
void redis_url_free(struct redis_url *url);
