-- What the engine itself asks: the start of a batch, leases of workers, tenants. Times are the database's clock's.

-- name: session_begin
-- scope: platform
-- only: postgres
-- params: lock_timeout:text idle_timeout:text application:text tenant:text
-- purpose: after BEGIN: all of it ends with the transaction. The transaction's id is for asking what became of it. Plans of statements that write go by
--   index and are made once: tables that were empty when a worker came have no statistics yet.
SELECT pg_catalog.pg_current_xact_id()::text,
       pg_catalog.set_config('lock_timeout', $1, true), pg_catalog.set_config('idle_in_transaction_session_timeout', $2, true),
       pg_catalog.set_config('application_name', $3, true), pg_catalog.set_config('perigee.tenant', $4, true),
       pg_catalog.set_config('plan_cache_mode', 'force_generic_plan', true), pg_catalog.set_config('enable_seqscan', 'off', true),
       pg_catalog.set_config('enable_hashjoin', 'off', true), pg_catalog.set_config('enable_mergejoin', 'off', true);

-- name: session_tenant
-- scope: platform
-- only: postgres
-- params: tenant:text
-- purpose: whose rows the statements that follow see, until the transaction ends
SELECT pg_catalog.set_config('perigee.tenant', $1, true);

-- name: session_look
-- scope: platform
-- only: postgres
-- params: tenant:text
-- purpose: the same before many that are looked up by their keys: their plans go by index and are made once
SELECT pg_catalog.set_config('perigee.tenant', $1, true), pg_catalog.set_config('plan_cache_mode', 'force_generic_plan', true),
       pg_catalog.set_config('enable_seqscan', 'off', true), pg_catalog.set_config('enable_hashjoin', 'off', true),
       pg_catalog.set_config('enable_mergejoin', 'off', true);

-- name: tables_measure
-- scope: platform
-- only: postgres
-- params:
-- purpose: statistics of tables that have grown much and are small still (secure.c); how many were measured
SELECT perigee_measure();

-- name: transaction_status
-- scope: platform
-- only: postgres
-- params: id:text
-- purpose: committed, aborted, in progress; null when it is too long ago
SELECT pg_catalog.pg_xact_status(pg_catalog.xid8($1));

-- name: server_state
-- scope: platform
-- only: postgres
-- params:
-- purpose: 1 when the server takes writes
SELECT (pg_catalog.current_setting('transaction_read_only') = 'off')::int::bigint;

-- name: worker_register
-- scope: platform
-- only: postgres
-- params: id:text host:text pid:int lease_us:int
-- purpose: a new owner; a name that was ever used and is not forgotten yet is refused
INSERT INTO workers (id, host, pid, started_at, renewed_at, expires_at)
SELECT $1, $2, $3, t.now, t.now, t.now + $4
FROM (SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now) AS t
ON CONFLICT DO NOTHING;

-- name: worker_renew
-- scope: platform
-- only: postgres
-- params: id:text lease_us:int
-- purpose: no row changed: somebody has taken over
UPDATE workers SET renewed_at = t.now, expires_at = t.now + $2
FROM (SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now) AS t
WHERE id = $1 AND NOT condemned;

-- name: worker_held
-- scope: platform
-- only: postgres
-- params: id:text
-- purpose: first in each batch of an owner. The lock is the weakest that keeps others from condemning it before the batch ends; renewing goes beside it.
SELECT 1 FROM workers WHERE id = $1 AND NOT condemned FOR KEY SHARE;

-- name: worker_is_alive
-- scope: platform
-- only: postgres
-- params: id:text
-- purpose: a row while its lease stands
SELECT 1 FROM workers WHERE id = $1 AND NOT condemned AND expires_at >= (extract(epoch FROM clock_timestamp()) * 1000000)::bigint;

-- name: workers_lapsed
-- scope: platform
-- only: postgres
-- params:
-- purpose: whose lease has lapsed and nobody has condemned yet
SELECT id FROM workers
WHERE NOT condemned AND expires_at < (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
ORDER BY id
LIMIT 100;

-- name: worker_cut
-- scope: platform
-- only: postgres
-- params: application:text
-- purpose: end the open transactions of an owner that is gone: one that was stopped in the middle of sending has no timeout of its own
SELECT count(pg_catalog.pg_terminate_backend(pid))::bigint FROM pg_catalog.pg_stat_activity
WHERE application_name = $1 AND usename = current_user AND pid <> pg_catalog.pg_backend_pid();

-- name: worker_condemn
-- scope: platform
-- only: postgres
-- params: id:text
-- purpose: from here on no write of it succeeds: waits for the batch that is under way, which holds the row
WITH gone AS (
  SELECT id FROM workers
  WHERE id = $1 AND NOT condemned AND expires_at < (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
  FOR UPDATE
)
UPDATE workers SET condemned = true
FROM gone
WHERE workers.id = gone.id;

-- name: worker_release
-- scope: platform
-- only: postgres
-- params: id:text
-- purpose: the same, of oneself and at once
WITH gone AS (
  SELECT id FROM workers WHERE id = $1 AND NOT condemned FOR UPDATE
)
UPDATE workers SET condemned = true
FROM gone
WHERE workers.id = gone.id;

-- name: workers_condemned
-- scope: platform
-- only: postgres
-- params:
-- purpose: the lost owners that nobody has forgotten yet
SELECT id FROM workers WHERE condemned ORDER BY id LIMIT 100;

-- name: workers_alive
-- scope: platform
-- only: postgres
-- params:
-- purpose: how many owners have a lease that stands
SELECT count(*)::bigint FROM workers WHERE NOT condemned AND expires_at >= (extract(epoch FROM clock_timestamp()) * 1000000)::bigint;

-- name: worker_forget
-- scope: platform
-- only: postgres
-- params: id:text
-- purpose: nothing is left of a lost owner
DELETE FROM workers WHERE id = $1 AND condemned;

-- name: tenant_provision
-- scope: tenant
-- only: postgres
-- params:
-- purpose: the rows that a tenant begins with, as the migrations of SQLite make them
INSERT INTO record_indexes (tenant_id, kind, field, path, filled)
VALUES ($tenant, 'source', 'deal', '$."deal"', 1)
ON CONFLICT DO NOTHING;
