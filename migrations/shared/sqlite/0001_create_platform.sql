-- The platform's own tables: which tenants there are and who may call. Small; locks the whole file for milliseconds.
CREATE TABLE tenants (
	id TEXT NOT NULL PRIMARY KEY,
	title TEXT NOT NULL,
	created_at INTEGER NOT NULL
) WITHOUT ROWID;

-- hash: SHA-256 of the whole key text; the text itself is nowhere. tenant '' is the operator's.
CREATE TABLE keys (
	id TEXT NOT NULL PRIMARY KEY,
	prefix TEXT NOT NULL UNIQUE,
	hash BLOB NOT NULL,
	tenant TEXT NOT NULL,
	scopes TEXT NOT NULL,
	title TEXT NOT NULL,
	created_at INTEGER NOT NULL,
	expires_at INTEGER,
	revoked_at INTEGER,
	last_used_at INTEGER
) WITHOUT ROWID;
CREATE INDEX keys_of_tenant ON keys (tenant, created_at, id);
