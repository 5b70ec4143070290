-- The platform: tenants and API keys.

-- name: tenant_insert
-- scope: platform
-- params: id:text title:text created_at:int
-- purpose: make a tenant known; changes no row when it is
INSERT INTO tenants (id, title, created_at)
VALUES ($1, $2, $3)
ON CONFLICT DO NOTHING;

-- name: tenant_get
-- scope: platform
-- params: id:text
-- purpose: one tenant or no row
SELECT id, title, created_at FROM tenants
WHERE id = $1;

-- name: tenant_list
-- scope: platform
-- params: after_id:text limit:int
-- purpose: a page in order of id
SELECT id, title, created_at FROM tenants
WHERE id > $1
ORDER BY id
LIMIT $2;

-- name: key_insert
-- scope: platform
-- params: id:text prefix:text hash:blob tenant:text scopes:json title:text created_at:int expires_at:int?
-- purpose: store a new key's digest
INSERT INTO keys (id, prefix, hash, tenant, scopes, title, created_at, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8);

-- name: key_find
-- scope: platform
-- params: prefix:text
-- purpose: one key or no row; the hash is the last column
SELECT id, prefix, tenant, scopes, title, created_at, expires_at, revoked_at, last_used_at, hash FROM keys
WHERE prefix = $1;

-- name: key_list
-- scope: platform
-- params: tenant:text after_at:int after_id:text limit:int
-- purpose: keys of a tenant, oldest first (index keys_of_tenant)
SELECT id, prefix, tenant, scopes, title, created_at, expires_at, revoked_at, last_used_at FROM keys
WHERE tenant = $1 AND (created_at, id) > ($2, $3)
ORDER BY created_at, id
LIMIT $4;

-- name: key_revoke
-- scope: platform
-- params: id:text tenant:text at:int
-- purpose: end a key of this tenant for good; changes no row when there is none that is live
UPDATE keys SET revoked_at = $3
WHERE id = $1 AND tenant = $2 AND revoked_at IS NULL;

-- name: key_touch
-- scope: platform
-- params: id:text at:int
-- purpose: note that a key was used (callers do this at most once a minute)
UPDATE keys SET last_used_at = $2
WHERE id = $1;

-- name: probe_write
-- scope: platform
-- params: id:text
-- purpose: the first half of a trial write, after one that failed: the id is no tenant's name
INSERT INTO tenants (id, title, created_at) VALUES ($1, 'probe', 0);

-- name: probe_undo
-- scope: platform
-- params: id:text
-- purpose: the second half, in the same transaction
DELETE FROM tenants WHERE id = $1;

-- name: tenant_retention
-- scope: platform
-- params: id:text
-- purpose: how long a tenant's runs and events are kept, where it differs from the operator's setting
SELECT retention FROM tenants WHERE id = $1;

-- name: tenant_set_retention
-- scope: platform
-- params: id:text retention:text?
UPDATE tenants SET retention = $2 WHERE id = $1;
-- name: tenant_here
-- scope: platform
-- params: id:text
-- purpose: a row when the tenant is known and lives in this database
SELECT id FROM tenants
WHERE id = $1 AND database IS NULL;

-- name: tenants_here
-- scope: platform
-- params: after_id:text limit:int
-- purpose: a page of those that live in this database, in order of id
SELECT id FROM tenants
WHERE id > $1 AND database IS NULL
ORDER BY id
LIMIT $2;

-- name: tenant_places
-- scope: platform
-- params:
-- purpose: those that live in another database, and in which
SELECT id, database FROM tenants
WHERE database IS NOT NULL
ORDER BY id
LIMIT 100000;

-- name: tenant_place
-- scope: platform
-- params: id:text title:text created_at:int database:text
-- purpose: make a tenant known that lives in another database; changes no row when it is known
INSERT INTO tenants (id, title, created_at, database)
VALUES ($1, $2, $3, $4)
ON CONFLICT DO NOTHING;
