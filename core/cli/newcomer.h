/* What a first start gives a newcomer, and what every start prints. */
#pragma once

#include "cli/host.h"
#include "cli/worker.h"

/* With dev: the tenant `example`, and a key for it where it has none; its text is kept for newcomer_print_ready and nowhere else. */
MUST_CHECK int newcomer_provide(struct host *host, const struct worker_options *options, struct errbuf *e);
/* On standard output, one fact a line, for people and harnesses: `listening on http://ADDRESS`, `key: KEY`. */
void newcomer_print_ready(const struct worker_options *options);
/* After the examples: where to go from here, with the key of this start where one was made; example: the path of an input. */
void newcomer_print_invitation(const char *address, const char *example);
