-- What the run engine asks of a tenant's storage. Unfinished states: queued, running, waiting.

-- name: run_insert
-- scope: tenant
-- params: id agent capability bundle status input subject event spec created_at parent parent_effect depth owner started_by
-- A run is born with fence 1; a child was started by whoever started its parent.
INSERT INTO runs (id, agent, capability, bundle, status, input, subject, event, spec, created_at, parent, parent_effect, depth, owner,
                  started_by, fence, journal_length, effects_issued, cost_nanos, tokens, cpu_us, strikes)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14,
        coalesce(?15, (SELECT started_by FROM runs WHERE id = ?11)), 1, 0, 0, 0, 0, 0, 0)
ON CONFLICT DO NOTHING;

-- name: run_load
-- scope: tenant
-- params: id
SELECT id, agent, capability, bundle, status, input, subject, spec, created_at, started_at, parent, parent_effect, depth, fence, owner,
       journal_length, cpu_us, strikes, output, error, origin, chain, event
FROM runs WHERE id = ?1;

-- name: run_append
-- scope: tenant
-- params: id fence journal_length now
-- The fence in the statement that makes an append count: a stale owner changes no row and its transaction is undone.
UPDATE runs SET status = 'running', journal_length = ?3, started_at = coalesce(started_at, ?4), wake_at = NULL
WHERE id = ?1 AND fence = ?2 AND status IN ('queued', 'running', 'waiting');

-- name: run_suspend
-- scope: tenant
-- params: id fence journal_length now wake_at
UPDATE runs SET status = 'waiting', journal_length = ?3, started_at = coalesce(started_at, ?4), wake_at = ?5
WHERE id = ?1 AND fence = ?2 AND status IN ('queued', 'running', 'waiting');

-- name: run_end
-- scope: tenant
-- params: id fence status output error now journal_length cpu_us strikes
UPDATE runs SET status = ?3, output = ?4, error = ?5, ended_at = ?6, started_at = coalesce(started_at, ?6), journal_length = ?7, cpu_us = ?8,
                strikes = ?9, wake_at = NULL
WHERE id = ?1 AND fence = ?2 AND status IN ('queued', 'running', 'waiting');

-- name: run_strike
-- scope: tenant
-- params: id fence strikes cpu_us
UPDATE runs SET strikes = ?3, cpu_us = ?4 WHERE id = ?1 AND fence = ?2;

-- name: run_cancel_tree
-- scope: tenant
-- params: id now error
-- Cancels a run and everything below it, bumping every fence, in one statement.
UPDATE runs SET status = 'cancelled', ended_at = ?2, error = ?3, fence = fence + 1, wake_at = NULL
WHERE status IN ('queued', 'running', 'waiting') AND id IN (
  WITH RECURSIVE tree (id) AS (
    SELECT ?1 UNION SELECT runs.id FROM runs JOIN tree ON runs.parent = tree.id)
  SELECT id FROM tree)
RETURNING id, owner, agent, capability;

-- name: tree_approvals_withdraw
-- scope: tenant
-- params: id at
-- After run_cancel_tree, in the same transaction: nobody needs to decide for runs that were cancelled.
UPDATE approvals SET status = 'withdrawn', decided_at = ?2
WHERE status = 'pending' AND run IN (
  WITH RECURSIVE tree (id) AS (
    SELECT ?1 UNION SELECT runs.id FROM runs JOIN tree ON runs.parent = tree.id)
  SELECT tree.id FROM tree JOIN runs ON runs.id = tree.id WHERE runs.status = 'cancelled');

-- name: tree_waits_end
-- scope: tenant
-- params: id
DELETE FROM waits
WHERE run IN (
  WITH RECURSIVE tree (id) AS (
    SELECT ?1 UNION SELECT runs.id FROM runs JOIN tree ON runs.parent = tree.id)
  SELECT tree.id FROM tree JOIN runs ON runs.id = tree.id WHERE runs.status = 'cancelled');

-- name: journal_insert
-- scope: tenant
-- params: run idx effect name digest outcome at
INSERT INTO journal (run, idx, effect, name, digest, outcome, at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7);

-- name: journal_load
-- scope: tenant
-- params: run
-- outcome is null where its body is gone.
SELECT journal.idx, journal.effect, journal.name, journal.digest,
       CASE WHEN journal.body IS NULL THEN journal.outcome ELSE journal.outcome || bodies.text END AS outcome, journal.at
FROM journal LEFT JOIN bodies ON bodies.hash = journal.body
WHERE journal.run = ?1
ORDER BY journal.idx
LIMIT 1000000;

-- name: wait_insert
-- scope: tenant
-- params: run effect kind name wake_at created_at detail
INSERT INTO waits (run, effect, kind, name, wake_at, created_at, detail) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7);

-- name: wait_delete
-- scope: tenant
-- params: run effect
DELETE FROM waits WHERE run = ?1 AND effect = ?2;

-- name: waits_of_run
-- scope: tenant
-- params: run
SELECT effect, kind, name, wake_at, created_at, detail FROM waits WHERE run = ?1 ORDER BY effect LIMIT 100000;

-- name: waits_end
-- scope: tenant
-- params: run
DELETE FROM waits WHERE run = ?1;

-- name: signal_insert
-- scope: tenant
-- params: id run name payload at
INSERT INTO signals (id, run, name, payload, at) VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (id) DO NOTHING;

-- name: signal_known
-- scope: tenant
-- params: id
SELECT run, name, payload FROM signals WHERE id = ?1;

-- name: signal_first
-- scope: tenant
-- params: run name
SELECT seq, id, name, payload, at FROM signals WHERE run = ?1 AND name = ?2 AND consumed_by IS NULL ORDER BY seq LIMIT 1;

-- name: signal_consume
-- scope: tenant
-- params: seq consumed_by
UPDATE signals SET consumed_by = ?2 WHERE seq = ?1 AND consumed_by IS NULL;

-- name: approval_ask
-- scope: tenant
-- params: id run effect title body subject owner asked_at expires_at self_approval
-- It was asked by whoever started the run.
INSERT INTO approvals (id, run, effect, title, body, subject, owner, status, asked_at, expires_at, self_approval, asked_by)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 'pending', ?8, ?9, ?10, (SELECT started_by FROM runs WHERE id = ?2));

-- name: approval_state
-- scope: tenant
-- params: id
SELECT id, run, status, decision, note, decided_by, decided_at, asked_by, self_approval, owner FROM approvals WHERE id = ?1;

-- name: approval_decide
-- scope: tenant
-- params: id decision note by at admin
-- Not by whoever asked, unless the question lets them; where its owner is a key, by that key or an administrator.
UPDATE approvals SET status = ?2, decision = ?2, note = ?3, decided_by = ?4, decided_at = ?5
WHERE id = ?1 AND status = 'pending' AND (asked_by IS NULL OR self_approval <> 0 OR asked_by <> ?4)
  AND (owner IS NULL OR owner NOT LIKE 'key:%' OR owner = ?4 OR ?6 <> 0);

-- name: approval_expire
-- scope: tenant
-- params: id at
UPDATE approvals SET status = 'expired', decision = 'expired', decided_at = ?2 WHERE id = ?1 AND status = 'pending';

-- name: approvals_withdraw
-- scope: tenant
-- params: run at
UPDATE approvals SET status = 'withdrawn', decided_at = ?2 WHERE run = ?1 AND status = 'pending';

-- name: run_log_insert
-- scope: tenant
-- params: run n idx at level message fields
INSERT INTO run_logs (run, n, idx, at, level, message, fields) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING;

-- name: bundle_put
-- scope: tenant
-- params: digest files manifest created_at
INSERT INTO bundles (digest, files, manifest, created_at) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (digest) DO NOTHING;

-- name: bundle_load
-- scope: tenant
-- params: digest
SELECT files, manifest FROM bundles WHERE digest = ?1;


-- name: bundle_of_run
-- scope: tenant
-- params: run
SELECT files, manifest FROM bundles WHERE digest = (SELECT bundle FROM runs WHERE id = ?1);
