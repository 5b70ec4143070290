-- What the run engine asks of a tenant's storage. Unfinished states: queued, running, waiting.

-- name: run_insert
-- scope: tenant
-- params: id:text agent:text capability:text bundle:text status:text input:json? subject:text? event:text? spec:json? created_at:int parent:text?
--   parent_effect:int? depth:int owner:text? started_by:text?
-- A run is born with fence 1; a child was started by whoever started its parent.
INSERT INTO runs (tenant_id, id, agent, capability, bundle, status, input, subject, event, spec, created_at, parent, parent_effect, depth, owner,
                  started_by, fence, journal_length, effects_issued, cost_nanos, tokens, cpu_us, strikes)
VALUES ($tenant, $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14,
        coalesce($15, (SELECT started_by FROM runs AS above WHERE above.tenant_id = $tenant AND above.id = $11)), 1, 0, 0, 0, 0, 0, 0)
ON CONFLICT DO NOTHING;

-- name: run_load
-- scope: tenant
-- params: id:text
SELECT id, agent, capability, bundle, status, input, subject, spec, created_at, started_at, parent, parent_effect, depth, fence, owner,
       journal_length, cpu_us, strikes, output, error, origin, chain, event
FROM runs WHERE tenant_id = $tenant AND id = $1;

-- name: run_append
-- scope: tenant
-- params: id:text fence:int journal_length:int now:int
-- The fence in the statement that makes an append count: a stale owner changes no row and its transaction is undone.
UPDATE runs SET status = 'running', journal_length = $3, started_at = coalesce(started_at, $4), wake_at = NULL
WHERE tenant_id = $tenant AND id = $1 AND fence = $2 AND status IN ('queued', 'running', 'waiting');

-- name: run_suspend
-- scope: tenant
-- params: id:text fence:int journal_length:int now:int wake_at:int?
UPDATE runs SET status = 'waiting', journal_length = $3, started_at = coalesce(started_at, $4), wake_at = $5
WHERE tenant_id = $tenant AND id = $1 AND fence = $2 AND status IN ('queued', 'running', 'waiting');

-- name: run_end
-- scope: tenant
-- params: id:text fence:int status:text output:json? error:json? now:int journal_length:int cpu_us:int strikes:int
UPDATE runs SET status = $3, output = $4, error = $5, ended_at = $6, started_at = coalesce(started_at, $6), journal_length = $7, cpu_us = $8,
                strikes = $9, wake_at = NULL
WHERE tenant_id = $tenant AND id = $1 AND fence = $2 AND status IN ('queued', 'running', 'waiting');

-- name: run_strike
-- scope: tenant
-- params: id:text fence:int strikes:int cpu_us:int
UPDATE runs SET strikes = $3, cpu_us = $4 WHERE tenant_id = $tenant AND id = $1 AND fence = $2;

-- name: run_cancel_tree
-- scope: tenant
-- params: id:text now:int error:json?
-- Cancels a run and everything below it, bumping every fence, in one statement.
UPDATE runs SET status = 'cancelled', ended_at = $2, error = $3, fence = fence + 1, wake_at = NULL
WHERE tenant_id = $tenant AND status IN ('queued', 'running', 'waiting') AND id IN (
  WITH RECURSIVE tree (id) AS (
    SELECT $1::text COLLATE "C"
    UNION SELECT child.id FROM runs child JOIN tree ON child.parent = tree.id WHERE child.tenant_id = $tenant)
  SELECT id FROM tree)
RETURNING id, owner, agent, capability;

-- name: tree_approvals_withdraw
-- scope: tenant
-- params: id:text at:int
-- After run_cancel_tree, in the same transaction: nobody needs to decide for runs that were cancelled.
UPDATE approvals SET status = 'withdrawn', decided_at = $2
WHERE tenant_id = $tenant AND status = 'pending' AND run IN (
  WITH RECURSIVE tree (id) AS (
    SELECT $1::text COLLATE "C"
    UNION SELECT child.id FROM runs child JOIN tree ON child.parent = tree.id WHERE child.tenant_id = $tenant)
  SELECT tree.id FROM tree JOIN runs ON runs.tenant_id = $tenant AND runs.id = tree.id WHERE runs.status = 'cancelled');

-- name: tree_waits_end
-- scope: tenant
-- params: id:text
DELETE FROM waits
WHERE tenant_id = $tenant AND run IN (
  WITH RECURSIVE tree (id) AS (
    SELECT $1::text COLLATE "C"
    UNION SELECT child.id FROM runs child JOIN tree ON child.parent = tree.id WHERE child.tenant_id = $tenant)
  SELECT tree.id FROM tree JOIN runs ON runs.tenant_id = $tenant AND runs.id = tree.id WHERE runs.status = 'cancelled');

-- name: journal_insert
-- scope: tenant
-- params: run:text idx:int effect:int name:text digest:text outcome:json at:int
INSERT INTO journal (tenant_id, run, idx, effect, name, digest, outcome, at) VALUES ($tenant, $1, $2, $3, $4, $5, $6, $7);

-- name: journal_load
-- scope: tenant
-- params: run:text
-- outcome is null where its body is gone.
SELECT journal.idx, journal.effect, journal.name, journal.digest,
       CASE WHEN journal.body IS NULL THEN journal.outcome ELSE journal.outcome || bodies.text END AS outcome, journal.at
FROM journal LEFT JOIN bodies ON bodies.tenant_id = $tenant AND bodies.hash = journal.body
WHERE journal.tenant_id = $tenant AND journal.run = $1
ORDER BY journal.idx
LIMIT 1000000;

-- name: wait_insert
-- scope: tenant
-- params: run:text effect:int kind:text name:text? wake_at:int? created_at:int detail:json?
INSERT INTO waits (tenant_id, run, effect, kind, name, wake_at, created_at, detail) VALUES ($tenant, $1, $2, $3, $4, $5, $6, $7);

-- name: wait_delete
-- scope: tenant
-- params: run:text effect:int
DELETE FROM waits WHERE tenant_id = $tenant AND run = $1 AND effect = $2;

-- name: waits_of_run
-- scope: tenant
-- params: run:text
SELECT effect, kind, name, wake_at, created_at, detail FROM waits WHERE tenant_id = $tenant AND run = $1 ORDER BY effect LIMIT 100000;

-- name: waits_end
-- scope: tenant
-- params: run:text
DELETE FROM waits WHERE tenant_id = $tenant AND run = $1;

-- name: signal_insert
-- scope: tenant
-- params: id:text run:text name:text payload:json? at:int
-- The number comes from the tenant's counter, and is taken only for a signal that is new.
WITH number AS (
  INSERT INTO counters (tenant_id, name, last)
  SELECT $tenant, 'signals', 1 WHERE NOT EXISTS (SELECT 1 FROM signals WHERE tenant_id = $tenant AND id = $1)
  ON CONFLICT (tenant_id, name) DO UPDATE SET last = counters.last + 1
  RETURNING last)
INSERT INTO signals (tenant_id, seq, id, run, name, payload, at)
SELECT $tenant, number.last, $1, $2, $3, $4, $5 FROM number
ON CONFLICT (tenant_id, id) DO NOTHING;

-- name: signal_known
-- scope: tenant
-- params: id:text
SELECT run, name, payload FROM signals WHERE tenant_id = $tenant AND id = $1;

-- name: signal_first
-- scope: tenant
-- params: run:text name:text
SELECT seq, id, name, payload, at FROM signals WHERE tenant_id = $tenant AND run = $1 AND name = $2 AND consumed_by IS NULL ORDER BY seq LIMIT 1;

-- name: signal_consume
-- scope: tenant
-- params: seq:int consumed_by:text
UPDATE signals SET consumed_by = $2 WHERE tenant_id = $tenant AND seq = $1 AND consumed_by IS NULL;

-- name: approval_ask
-- scope: tenant
-- params: id:text run:text effect:int title:text body:json? subject:text? owner:text? asked_at:int expires_at:int? self_approval:int
-- It was asked by whoever started the run.
INSERT INTO approvals (tenant_id, id, run, effect, title, body, subject, owner, status, asked_at, expires_at, self_approval, asked_by)
VALUES ($tenant, $1, $2, $3, $4, $5, $6, $7, 'pending', $8, $9, $10, (SELECT started_by FROM runs WHERE tenant_id = $tenant AND id = $2));

-- name: approval_state
-- scope: tenant
-- params: id:text
SELECT id, run, status, decision, note, decided_by, decided_at, asked_by, self_approval, owner FROM approvals WHERE tenant_id = $tenant AND id = $1;

-- name: approval_decide
-- scope: tenant
-- params: id:text decision:text note:text? by:text? at:int admin:int
-- Not by whoever asked, unless the question lets them; where its owner is a key, by that key or an administrator.
UPDATE approvals SET status = $2, decision = $2, note = $3, decided_by = $4, decided_at = $5
WHERE tenant_id = $tenant AND id = $1 AND status = 'pending' AND (asked_by IS NULL OR self_approval <> 0 OR asked_by <> $4)
  AND (owner IS NULL OR owner NOT LIKE 'key:%' OR owner = $4 OR $6 <> 0);

-- name: approval_expire
-- scope: tenant
-- params: id:text at:int
UPDATE approvals SET status = 'expired', decision = 'expired', decided_at = $2 WHERE tenant_id = $tenant AND id = $1 AND status = 'pending';

-- name: approvals_withdraw
-- scope: tenant
-- params: run:text at:int
UPDATE approvals SET status = 'withdrawn', decided_at = $2 WHERE tenant_id = $tenant AND run = $1 AND status = 'pending';

-- name: run_log_insert
-- scope: tenant
-- params: run:text n:int idx:int at:int level:text message:text fields:json?
INSERT INTO run_logs (tenant_id, run, n, idx, at, level, message, fields) VALUES ($tenant, $1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING;

-- name: bundle_put
-- scope: tenant
-- params: digest:text files:json manifest:json created_at:int
INSERT INTO bundles (tenant_id, digest, files, manifest, created_at) VALUES ($tenant, $1, $2, $3, $4) ON CONFLICT (tenant_id, digest) DO NOTHING;

-- name: bundle_load
-- scope: tenant
-- params: digest:text
SELECT files, manifest FROM bundles WHERE tenant_id = $tenant AND digest = $1;


-- name: bundle_of_run
-- scope: tenant
-- params: run:text
SELECT files, manifest FROM bundles
WHERE tenant_id = $tenant AND digest = (SELECT bundle FROM runs WHERE tenant_id = $tenant AND id = $1);
