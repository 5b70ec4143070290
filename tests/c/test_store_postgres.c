/*
 * The PostgreSQL engine: the conformance suite, on a server and behind a pooler, then what is its own: lost connections, few connections, leases,
 * refusals at opening. The server is that of tests/run (PERIGEE_TEST_POSTGRES) or one of our own.
 */
#include "postgres_server.h"
#include "store_suite.h"

enum { LEASE_MS = 1000 };

int main(void)
{
	static const struct store_fixture direct = { "postgres", postgres_make, postgres_clear, LEASE_MS };
	static const struct store_fixture pooled = { "pgbouncer", postgres_make_pooled, postgres_clear, LEASE_MS };
	int failures;

	postgres_server_start();
	failures = store_suite_run(&direct);
	failures += store_suite_run(&pooled);
	postgres_server_stop();
	return failures;
}
