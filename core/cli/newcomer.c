#include "cli/newcomer.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static char new_key[128];     /* of this start; empty where the store has keys already */

int
newcomer_provide(struct host *host, const struct worker_options *options, struct errbuf *e)
{
	if (!options->dev)
		return 0;
	return store_tenant_create(host->store, str_of(TENANT_OTHERWISE), "Example", e);
}

void
newcomer_print_ready(const struct worker_options *options)
{
	struct style s = style_of(STDOUT_FILENO);

	if (!options->dev) {
		printf("perigee ready, listening on http://%s\n", options->address);
		fflush(stdout);
		return;
	}
	printf("%sperigee ready on http://%s%s\n", s.bold, options->address, s.off);
	printf("listening on http://%s\n", options->address);
	if (*new_key)
		printf("key: %s\n%s     for the tenant %s, shown this once: only its digest is stored%s\n", new_key, s.dim, TENANT_OTHERWISE, s.off);
	else
		printf("%skeys: as printed at the first start; another: perigee key create%s\n", s.dim, s.off);
	fflush(stdout);
	memset(new_key, 0, sizeof new_key);
}

void
newcomer_print_invitation(const char *address)
{
	struct style s = style_of(STDOUT_FILENO);
	printf("\n%sServing http://%s until Ctrl-C.%s Save a file in scripts/ or methodology/ and it is live.\n"
	       "  curl -s http://%s/v1/agents -H 'Authorization: Bearer KEY'\n"
	       "  build/perigee run sales.qualify --input examples/…/input.json --trace\n",
	       s.bold, address, s.off, address);
	fflush(stdout);
}
