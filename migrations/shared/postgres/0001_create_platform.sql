-- The platform's own tables: which tenants there are and who may call. Runs as perigee_owner, schema perigee first in the search path
-- (core/store/postgres/migrate.c). Text is bytewise (COLLATE "C") everywhere: keys page and compare as in SQLite. Small; milliseconds.
CREATE TABLE tenants (
	id text COLLATE "C" NOT NULL PRIMARY KEY,
	title text COLLATE "C" NOT NULL,
	created_at bigint NOT NULL
);

-- hash: SHA-256 of the whole key text; the text itself is nowhere. tenant '' is the operator's.
CREATE TABLE keys (
	id text COLLATE "C" NOT NULL PRIMARY KEY,
	prefix text COLLATE "C" NOT NULL UNIQUE,
	hash bytea NOT NULL,
	tenant text COLLATE "C" NOT NULL,
	scopes text COLLATE "C" NOT NULL,
	title text COLLATE "C" NOT NULL,
	created_at bigint NOT NULL,
	expires_at bigint,
	revoked_at bigint,
	last_used_at bigint
);
CREATE INDEX keys_of_tenant ON keys (tenant, created_at, id);
