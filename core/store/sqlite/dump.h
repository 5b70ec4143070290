/* Dumps of the SQLite engine: store/dump.h says what they are. The caller holds what guards `platform`, the connection to the platform's file. */
#pragma once

#include "store/dump.h"
#include "store/sqlite/connection.h"

MUST_CHECK int sqlite_dump_tenant(const struct folder *folder, struct connection *platform, struct str tenant, unsigned parts, struct dump_writer *w, struct errbuf *e);
/* Into the tenant's file, which exists and is empty; then its rows of the platform. */
MUST_CHECK int sqlite_load_tenant(const struct folder *folder, struct connection *platform, struct str tenant, struct dump_reader *r, bool with_keys,
                                  struct errbuf *e);
