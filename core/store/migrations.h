/*
 * Migrations: numbered SQL files of two chains (shared: the platform's tables; tenant: a tenant's own), embedded in the program. What each engine
 * applies and compares is told here by number, name and checksum.
 */
#pragma once

#include "base/clock.h"
#include "base/crypto.h"
#include "base/json.h"
#include "store/engine.h"

int migrations_known(const char *chain, const char *engine);               /* how many there are */
const struct store_migration *migrations_find(const char *chain, const char *engine, int number);   /* NULL: none */
void migrations_checksum(const struct store_migration *m, char out[SHA256_HEX_SIZE]);   /* SHA-256 of its text */

/*
 * What a store has and lacks, without touching it: *report (new reference) is an array of {place, chain, number, name, checksum, applied_at (time or null),
 * state: applied, missing, altered, newer} in the order in which they are applied. place is a file of SQLite's, or null. Blocks.
 */
MUST_CHECK int store_migrations_status(const char *url, json_t **report, struct errbuf *e);
/*
 * Apply all that is missing, each chain in one transaction; *report as above, of what was applied now. Needs the right to: a superuser or the owner of the
 * database (PostgreSQL), the folder (SQLite). Refuses a store that is altered or newer. Two at a time do it once. Blocks.
 */
MUST_CHECK int store_migrations_up(const char *url, const struct clock *clock, json_t **report, struct errbuf *e);

/* Add a row to a report. applied_at_us 0: never. */
void migrations_report(json_t *report, const char *place, const char *chain, int number, const char *name, const char *checksum, int64_t applied_at_us,
    const char *state);
/* The engines' halves of the two above; up: apply. */
MUST_CHECK int postgres_migrations(const char *url, bool up, json_t *report, struct errbuf *e);
MUST_CHECK int sqlite_migrations(const char *path, bool up, const struct clock *clock, json_t *report, struct errbuf *e);
