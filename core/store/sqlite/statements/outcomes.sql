-- Intents of effects that leave the host, and outcomes that nobody knows until somebody decides.

-- name: intent_put
-- scope: tenant
-- params: run:text effect:int name:text class:text key:text digest:text request:json at:int
-- purpose: before the effect leaves, each time it does
INSERT INTO intents (run, effect, name, class, key, digest, request, at, attempts)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 1)
ON CONFLICT (run, effect) DO UPDATE SET at = excluded.at, attempts = intents.attempts + 1, resend = 0;

-- name: intents_of_run
-- scope: tenant
-- params: run:text
-- purpose: what a replay may meet without an outcome
SELECT effect, name, digest, attempts, resend FROM intents WHERE run = ?1 ORDER BY effect LIMIT 100000;

-- name: intent_delete
-- scope: tenant
-- params: run:text effect:int
-- purpose: in the transaction that journals the outcome
DELETE FROM intents WHERE run = ?1 AND effect = ?2;

-- name: intent_resend
-- scope: tenant
-- params: run:text effect:int
-- purpose: somebody decided that it did not happen: it may leave again
UPDATE intents SET resend = 1 WHERE run = ?1 AND effect = ?2;

-- name: intents_end
-- scope: tenant
-- params: run:text
-- purpose: the run is over
DELETE FROM intents WHERE run = ?1;

-- name: tree_intents_end
-- scope: tenant
-- params: run:text
-- purpose: after run_cancel_tree, in the same transaction
DELETE FROM intents
WHERE run IN (
  WITH RECURSIVE tree (id) AS (
    SELECT ?1 UNION SELECT runs.id FROM runs JOIN tree ON runs.parent = tree.id)
  SELECT tree.id FROM tree JOIN runs ON runs.id = tree.id WHERE runs.status = 'cancelled');

-- name: outcome_ask
-- scope: tenant
-- params: run:text effect:int at:int
-- purpose: nobody knows what became of this intent
INSERT INTO outcomes (id, run, effect, attempt, name, class, key, request, sent_at, unknown_at, status)
SELECT run || '/' || effect || '/' || attempts, run, effect, attempts, name, class, key, request, at, ?3, 'unknown'
FROM intents
WHERE run = ?1 AND effect = ?2;

-- name: outcome_state
-- scope: tenant
-- params: run:text effect:int
-- purpose: what is decided about the last attempt
SELECT status, result, error FROM outcomes WHERE run = ?1 AND effect = ?2 ORDER BY attempt DESC LIMIT 1;

-- name: outcome_decide
-- scope: tenant
-- params: run:text effect:int attempt:int? status:text result:json? error:json? note:text? at:int by:text
-- purpose: once: changes no row when it is decided or withdrawn, or when another attempt is meant
UPDATE outcomes SET status = ?4, result = ?5, error = ?6, note = ?7, decided_at = ?8, decided_by = ?9
WHERE run = ?1 AND effect = ?2 AND status = 'unknown' AND (?3 IS NULL OR attempt = ?3);

-- name: outcomes_withdraw
-- scope: tenant
-- params: run:text at:int
-- purpose: the run is over: nobody needs to decide
UPDATE outcomes SET status = 'withdrawn', decided_at = ?2 WHERE run = ?1 AND status = 'unknown';

-- name: tree_outcomes_withdraw
-- scope: tenant
-- params: run:text at:int
-- purpose: after run_cancel_tree, in the same transaction
UPDATE outcomes SET status = 'withdrawn', decided_at = ?2
WHERE status = 'unknown' AND run IN (
  WITH RECURSIVE tree (id) AS (
    SELECT ?1 UNION SELECT runs.id FROM runs JOIN tree ON runs.parent = tree.id)
  SELECT tree.id FROM tree JOIN runs ON runs.id = tree.id WHERE runs.status = 'cancelled');

-- name: outcome_get
-- scope: tenant
-- params: run:text effect:int
-- purpose: the last attempt of an effect, or no row
SELECT id, run, effect, attempt, name, class, key, request, sent_at, unknown_at, status, result, error, note, decided_at, decided_by
FROM outcomes
WHERE run = ?1 AND effect = ?2
ORDER BY attempt DESC
LIMIT 1;

-- name: outcome_list
-- scope: tenant
-- params: before_at:int before_id:text limit:int
-- purpose: a page of outcomes, newest first (index outcomes_newest)
SELECT id, run, effect, attempt, name, class, key, request, sent_at, unknown_at, status, result, error, note, decided_at, decided_by
FROM outcomes
WHERE (unknown_at, id) < (?1, ?2)
ORDER BY unknown_at DESC, id DESC
LIMIT ?3;

-- name: outcome_list_of_status
-- scope: tenant
-- params: before_at:int before_id:text limit:int status:text
-- purpose: the same of one status (index outcomes_of_status)
SELECT id, run, effect, attempt, name, class, key, request, sent_at, unknown_at, status, result, error, note, decided_at, decided_by
FROM outcomes
WHERE status = ?4 AND (unknown_at, id) < (?1, ?2)
ORDER BY unknown_at DESC, id DESC
LIMIT ?3;

-- name: waits_kinds_of_run
-- scope: tenant
-- params: run:text
-- purpose: what a run waits for: a kind for each wait
SELECT kind FROM waits WHERE run = ?1 ORDER BY effect LIMIT 1100;

-- name: run_list_waiting_for
-- scope: tenant
-- params: before_at:int before_id:text limit:int agent:text? capability:text? status:text? subject:text? kind:text
-- purpose: run_list, of runs with a wait of this kind
SELECT id, agent, capability, status, input, output, error, bundle, created_at, started_at, ended_at, parent, cost_nanos, tokens, cpu_us, subject,
       origin, retry_of, continued_from, continued_as
FROM runs
WHERE (created_at, id) < (?1, ?2) AND EXISTS (SELECT 1 FROM waits WHERE waits.run = runs.id AND waits.kind = ?8)
  AND (?4 IS NULL OR agent = ?4) AND (?5 IS NULL OR capability = ?5) AND (?6 IS NULL OR status = ?6) AND (?7 IS NULL OR subject = ?7)
ORDER BY created_at DESC, id DESC
LIMIT ?3;
