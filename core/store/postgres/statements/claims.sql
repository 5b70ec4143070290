-- Runs that nobody owns, and the tenants that have some (docs/internals/production.md, section 4).

-- name: tenant_limits
-- scope: platform
-- params:
-- purpose: the tenants that have limits of their own; 0 for none
SELECT id, weight, coalesce(concurrency, 0), coalesce(runs, 0) FROM tenants
WHERE (weight <> 100 OR concurrency IS NOT NULL OR runs IS NOT NULL) AND id > ''
ORDER BY id LIMIT 100000;

-- name: tenant_limits_list
-- scope: platform
-- params: after_id:text limit:int
-- purpose: a page of tenants with their limits; 0 for none
SELECT id, title, created_at, weight, coalesce(concurrency, 0), coalesce(runs, 0) FROM tenants
WHERE id > $1
ORDER BY id
LIMIT $2;

-- name: tenant_set_limits
-- scope: platform
-- params: id:text weight:int? concurrency:int? runs:int?
-- purpose: null leaves a limit as it is, 0 takes it away (concurrency, runs)
UPDATE tenants SET weight = coalesce($2::bigint, weight), concurrency = nullif(coalesce($3::bigint, concurrency), 0),
                   runs = nullif(coalesce($4::bigint, runs), 0)
WHERE id = $1;

-- name: tenant_mark_ready
-- scope: platform
-- params: tenant:text at:int
-- purpose: after the insert of a run without owner; a tenant that comes back starts at the lowest pass there is. DO UPDATE, for it waits for whoever lets the
-- tenant leave: DO NOTHING would find a row that is about to go.
INSERT INTO tenant_ready (tenant, pass, ready_at, marks)
VALUES ($1, (SELECT coalesce(min(pass), 0) FROM tenant_ready), $2, 1)
ON CONFLICT (tenant) DO UPDATE SET marks = tenant_ready.marks + 1;

-- name: tenants_ready
-- scope: platform
-- params: after_pass:int after_tenant:text limit:int
-- purpose: those of lowest pass first
SELECT tenant, pass, marks FROM tenant_ready
WHERE (pass, tenant) > ($1, $2)
ORDER BY pass, tenant
LIMIT $3;

-- name: tenant_ready_advance
-- scope: platform
-- params: tenant:text by:int
-- purpose: after a claim that could not do so itself
UPDATE tenant_ready SET pass = pass + $2 WHERE tenant = $1;

-- name: tenant_ready_leave
-- scope: platform
-- params: tenant:text marks:int
-- purpose: no run was left after the claim, and nobody has marked the tenant since the claimer read its marks
DELETE FROM tenant_ready WHERE tenant = $1 AND marks = $2;

-- name: ready_lock
-- scope: tenant
-- params:
-- purpose: a row when this tenant's row in tenant_ready is in this database and this transaction has locked it. A claimer never waits for another: it takes
-- what it gets, and settles in a second transaction. What was locked is noted for the statements below, for no longer than this transaction.
WITH held AS MATERIALIZED (SELECT tenant FROM tenant_ready WHERE tenant = $tenant FOR UPDATE SKIP LOCKED)
SELECT set_config('perigee.ready', held.tenant, true) FROM held;

-- name: runs_claim
-- scope: tenant
-- params: owner:text limit:int step:int
-- purpose: the oldest runs that nobody owns become the claimer's; with the ready row's lock the tenant's pass moves on by a step for each
WITH oldest AS MATERIALIZED (
  SELECT id FROM runs
  WHERE tenant_id = $tenant AND owner IS NULL AND ended_at IS NULL AND status IN ('queued', 'running', 'waiting')
  ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED),
claimed AS (
  UPDATE runs SET owner = $1, fence = fence + 1 FROM oldest
  WHERE runs.tenant_id = $tenant AND runs.id = oldest.id
  RETURNING runs.id, runs.fence),
advanced AS (
  UPDATE tenant_ready SET pass = pass + $3 * (SELECT count(*) FROM claimed)
  WHERE tenant = $tenant AND current_setting('perigee.ready', true) = $tenant)
SELECT id, fence FROM claimed;

-- name: ready_leave
-- scope: tenant
-- params:
-- purpose: under the lock of ready_lock, in a statement of its own: it sees every insert that was committed by now, and who commits later waits for the lock
-- before it marks the tenant
DELETE FROM tenant_ready
WHERE tenant = $tenant AND current_setting('perigee.ready', true) = $tenant
  AND NOT EXISTS (
    SELECT 1 FROM runs
    WHERE tenant_id = $tenant AND owner IS NULL AND ended_at IS NULL AND status IN ('queued', 'running', 'waiting'))
RETURNING 1;

-- name: runs_unowned
-- scope: tenant
-- params: most:int
-- purpose: how many runs nobody owns, counted to a limit
SELECT count(*) FROM (
  SELECT 1 FROM runs
  WHERE tenant_id = $tenant AND owner IS NULL AND ended_at IS NULL AND status IN ('queued', 'running', 'waiting') LIMIT $1) AS counted;

-- name: runs_unfinished
-- scope: tenant
-- params: most:int
-- purpose: how many runs have not ended, counted to a limit
SELECT count(*) FROM (
  SELECT 1 FROM runs WHERE tenant_id = $tenant AND ended_at IS NULL AND status IN ('queued', 'running', 'waiting') LIMIT $1) AS counted;
