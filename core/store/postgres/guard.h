/*
 * What an engine checks before it trusts a database: that row-level security binds its role, that every table of tenants is under it with our
 * policy, and that the schema is the one this program knows. Fails closed: what cannot be read is refused.
 */
#pragma once

#include "base/error.h"

#include <libpq-fe.h>

/*
 * connection: open, not in pipeline mode, no transaction under way; also through a pooler. Blocks for some round trips. 0, or ERR_STORE with one line that says what is
 * wrong and what to do:
 *   the role is a superuser, has BYPASSRLS or CREATEROLE, owns a table of tenants, or is a member of a role that is or does one of these;
 *   it lacks rights, or its search_path is not ours; the server is older than 15 or its encoding is not UTF8;
 *   a table with tenant_id lacks row-level security, enabled and forced, or has another policy than ours;
 *   a migration is missing, altered or unknown.
 */
MUST_CHECK int postgres_guard(PGconn *connection, struct errbuf *e);
