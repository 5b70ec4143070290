/* Dumps from the command line: a file is made under another name and appears whole, or not at all. Each tells what goes wrong and returns the exit code. */
#pragma once

#include "cli/host.h"

/* One tenant (NULL: all, and the platform's own) into path. */
int dumps_write(struct host *host, const char *tenant, const char *path);
/* What path holds into the store. only: of these tenants the one; as: under another name (of a dump of one tenant, or with only), then without its keys. */
int dumps_read(struct host *host, const char *path, const char *only, const char *as);
