/* `perigee check --in-flight`: what would become of the unfinished runs of a store with the scripts of a root? */
#pragma once

#include "cli/host.h"

struct in_flight {
	const char *tenant, *root;
	bool json;
};
/* The store of `from` is only read; the scripts run in `scratch`, which has their bundle. Prints, and returns the exit code: 1 when any run differs. */
int in_flight_check(struct host *from, struct host *scratch, const struct in_flight *options);
