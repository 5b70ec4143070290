/* Dumps of the PostgreSQL engine: store/dump.h says what they are. On a connection of their own; block. */
#pragma once

#include "store/dump.h"
#include "store/postgres/place.h"

MUST_CHECK int postgres_dump_tenant(const struct place *place, struct str tenant, unsigned parts, struct dump_writer *w, struct errbuf *e);
/* The tenant's row comes with the dump; all in one transaction. */
MUST_CHECK int postgres_load_tenant(const struct place *place, struct str tenant, struct dump_reader *r, bool with_keys, struct errbuf *e);
MUST_CHECK int postgres_tenant_delete(const struct place *place, struct str tenant, struct errbuf *e);
