/*
 * Where a database is: a URL (postgres://…, postgresql://…) or a libpq keyword string, taken apart. What is ours in it goes no further:
 *     perigee_readers=N     connections that read (1–16, usual 2)
 */
#pragma once

#include "base/bytes.h"
#include "base/error.h"

enum { PLACE_OPTIONS_MAX = 64, PLACE_READERS_MAX = 16 };

struct place {
	char *keys[PLACE_OPTIONS_MAX + 1];      /* owned; ends with NULL, as libpq wants it */
	char *values[PLACE_OPTIONS_MAX + 1];
	size_t count;
	int readers;
	char shown[192];                        /* "host/database", for messages: no password */
};

bool place_is(const char *url);                 /* is this URL for PostgreSQL? */
MUST_CHECK int place_parse(struct place *place, const char *url, struct errbuf *e);
/* The value of an option replaces what is there, or is added. */
void place_set(struct place *place, const char *key, const char *value);
void place_free(struct place *place);
