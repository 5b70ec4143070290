-- Versions of runs (fork, retry, continue_as_new), long bodies, and what is deleted when it is old.

-- name: run_fork
-- scope: tenant
-- params: id:text origin_run:text at:int bundle:text origin:json created_at:int owner:text
-- purpose: a run like another one, with the first outcomes of its journal (journal_fork, in the same transaction); no row when they are not all there
INSERT INTO runs (tenant_id, id, agent, capability, bundle, status, input, subject, spec, created_at, depth, owner, fence, journal_length,
                  effects_issued, cost_nanos, tokens, cpu_us, strikes, origin)
SELECT $tenant, $1, agent, capability, $4, 'queued', input, subject, spec, $6, 0, $7, 1, $3, 0, 0, 0, 0, 0, $5
FROM runs
WHERE tenant_id = $tenant AND id = $2 AND EXISTS (SELECT 1 FROM bundles WHERE tenant_id = $tenant AND digest = $4)
  AND (SELECT count(*) FROM journal WHERE tenant_id = $tenant AND run = $2 AND idx < $3) = $3
FOR SHARE;

-- name: journal_fork
-- scope: tenant
-- params: id:text origin_run:text at:int
-- purpose: the first outcomes of one run for another: nothing goes through the host
INSERT INTO journal (tenant_id, run, idx, effect, name, digest, at, outcome, body)
SELECT $tenant, $1, idx, effect, name, digest, at, outcome, body FROM journal WHERE tenant_id = $tenant AND run = $2 AND idx < $3;

-- name: bundle_known
-- scope: tenant
-- params: digest:text
-- purpose: the manifest of a bundle, or no row
SELECT manifest FROM bundles WHERE tenant_id = $tenant AND digest = $1;

-- name: run_retry
-- scope: tenant
-- params: id:text bundle:text? owner:text
-- purpose: a stuck run again, from its journal; a null bundle: the one of the row
UPDATE runs SET status = 'queued', ended_at = NULL, error = NULL, output = NULL, fence = fence + 1, strikes = 0, owner = $3,
                bundle = coalesce($2, bundle)
WHERE tenant_id = $tenant AND id = $1 AND status = 'stuck';

-- name: run_retry_questions
-- scope: tenant
-- params: id:text
-- purpose: with run_retry: questions that were withdrawn when the run stuck are asked again, with the same number
DELETE FROM approvals
WHERE tenant_id = $tenant AND run = $1 AND status = 'withdrawn'
  AND effect NOT IN (SELECT effect FROM journal WHERE tenant_id = $tenant AND run = $1);

-- name: run_retry_new
-- scope: tenant
-- params: id:text of:text bundle:text input:json created_at:int owner:text
-- purpose: another run with the input of one that failed or was cancelled
INSERT INTO runs (tenant_id, id, agent, capability, bundle, status, input, subject, spec, created_at, depth, owner, fence, journal_length,
                  effects_issued, cost_nanos, tokens, cpu_us, strikes, retry_of)
SELECT $tenant, $1, agent, capability, $3, 'queued', $4, subject, spec, $5, 0, $6, 1, 0, 0, 0, 0, 0, 0, id
FROM runs
WHERE tenant_id = $tenant AND id = $2 AND status IN ('failed', 'cancelled');

-- name: run_continue
-- scope: tenant
-- params: id:text from:text bundle:text input:json created_at:int owner:text
-- purpose: the next run of a chain; run_continued, in the same transaction, ends the one before
INSERT INTO runs (tenant_id, id, agent, capability, bundle, status, input, subject, created_at, parent, parent_effect, depth, owner, started_by,
                  fence, journal_length, effects_issued, cost_nanos, tokens, cpu_us, strikes, deadline_at, budget_effects, handoff, handoff_type,
                  correlation, chain, chain_n, continued_from, event)
SELECT $tenant, $1, agent, capability, $3, 'queued', $4, subject, $5, parent, parent_effect, depth, $6, started_by,
       1, 0, 0, 0, 0, 0, 0, deadline_at, budget_effects, handoff, handoff_type,
       correlation, coalesce(chain, id), chain_n + 1, id, event
FROM runs
WHERE tenant_id = $tenant AND id = $2;

-- name: run_continued
-- scope: tenant
-- params: id:text as:text
UPDATE runs SET continued_as = $2 WHERE tenant_id = $tenant AND id = $1;

-- name: run_load_last
-- scope: tenant
-- params: id:text
-- purpose: run_load of the last run of a chain, asked for by its first (index runs_of_chain); any other run is its own last
-- The coalesce stands in a subquery: under row-level security a comparison with a bare one does not use the key.
SELECT id, agent, capability, bundle, status, input, subject, spec, created_at, started_at, parent, parent_effect, depth, fence, owner,
       journal_length, cpu_us, strikes, output, error, origin, chain
FROM runs
WHERE tenant_id = $tenant
  AND id = (SELECT coalesce((SELECT id FROM runs WHERE tenant_id = $tenant AND chain = $1 ORDER BY chain_n DESC LIMIT 1), $1));

-- name: run_get_last
-- scope: tenant
-- params: id:text
-- purpose: run_get of the last run of a chain, asked for by its first
SELECT id, agent, capability, status, input, output, error, bundle, created_at, started_at, ended_at, parent, cost_nanos, tokens, cpu_us, subject,
       origin, retry_of, continued_from, continued_as
FROM runs
WHERE tenant_id = $tenant
  AND id = (SELECT coalesce((SELECT id FROM runs WHERE tenant_id = $tenant AND chain = $1 ORDER BY chain_n DESC LIMIT 1), $1));

-- name: journal_insert_long
-- scope: tenant
-- params: run:text idx:int effect:int name:text digest:text beginning:text at:int body:text
-- purpose: journal_insert for an outcome of which only the beginning stands in its row, and the hash of the rest (body_put)
INSERT INTO journal (tenant_id, run, idx, effect, name, digest, outcome, at, body) VALUES ($tenant, $1, $2, $3, $4, $5, $6, $7, $8);

-- name: body_put
-- scope: tenant
-- params: hash:text text:text at:int
-- purpose: keep a body, before the row that refers to it, in one transaction. One that is there is touched once an hour: the sweep re-checks that
INSERT INTO bodies (tenant_id, hash, text, touched_at) VALUES ($tenant, $1, $2, $3)
ON CONFLICT (tenant_id, hash) DO UPDATE SET touched_at = excluded.touched_at WHERE bodies.touched_at < excluded.touched_at - 3600000000;

-- name: bodies_sweep
-- scope: tenant
-- params: after:text untouched_since:int limit:int
-- purpose: the next bodies, in order, and of these deletes what nothing refers to (bodies_page tells where the next slice begins)
DELETE FROM bodies
WHERE tenant_id = $tenant AND touched_at < $2
  AND hash = ANY (ARRAY(SELECT hash FROM bodies WHERE tenant_id = $tenant AND hash > $1 ORDER BY hash LIMIT $3))
  AND NOT EXISTS (SELECT 1 FROM journal WHERE journal.tenant_id = $tenant AND journal.body = bodies.hash);

-- name: bodies_page
-- scope: tenant
-- params: after:text limit:int
SELECT max(hash) FROM (SELECT hash FROM bodies WHERE tenant_id = $tenant AND hash > $1 ORDER BY hash LIMIT $2) AS steps;

-- name: bundle_live
-- scope: tenant
-- params: digest:text at:int
UPDATE bundles SET live_at = $2 WHERE tenant_id = $tenant AND digest = $1;

-- name: bundles_sweep
-- scope: tenant
-- params: live_before:int
-- purpose: bundles that were not live lately, are not the last one, and that no run in the store is pinned to
DELETE FROM bundles
WHERE tenant_id = $tenant AND live_at < $1 AND created_at < $1
  AND digest <> (SELECT digest FROM bundles WHERE tenant_id = $tenant ORDER BY live_at DESC, created_at DESC LIMIT 1)
  AND NOT EXISTS (SELECT 1 FROM runs WHERE runs.tenant_id = $tenant AND runs.bundle = bundles.digest);

-- name: sweep_claim
-- scope: tenant
-- params: what:text owner:text now:int until:int
-- purpose: one row changed: the asker clears up; none: another worker does
INSERT INTO sweeps (tenant_id, what, owner, until) VALUES ($tenant, $1, $2, $4)
ON CONFLICT (tenant_id, what) DO UPDATE SET owner = excluded.owner, until = excluded.until WHERE sweeps.until < $3 OR sweeps.owner = $2;

-- name: retention_page
-- scope: tenant
-- params: after_at:int after_id:text limit:int
-- purpose: ended runs, oldest first (index runs_ended); held: somebody above still goes on and may ask for it
SELECT ended_at, id, status, journal_length,
       CASE WHEN EXISTS (SELECT 1 FROM runs AS above WHERE above.tenant_id = $tenant AND above.id = runs.parent AND above.ended_at IS NULL)
            THEN 1 ELSE 0 END::bigint AS held
FROM runs
WHERE tenant_id = $tenant AND ended_at IS NOT NULL AND (ended_at, id) > ($1, $2)
ORDER BY ended_at, id
LIMIT $3;

-- name: retention_journal
-- scope: tenant
-- params: run:text limit:int
-- purpose: the last outcomes of a long journal: a slice, before the rest goes with its run
DELETE FROM journal
WHERE tenant_id = $tenant AND run = $1
  AND idx = ANY (ARRAY(SELECT idx FROM journal WHERE tenant_id = $tenant AND run = $1 ORDER BY idx DESC LIMIT $2));

-- name: retention_journals
-- scope: tenant
-- params: runs:json
DELETE FROM journal WHERE tenant_id = $tenant AND run = ANY (ARRAY(SELECT json_array_elements_text($1::json)));

-- name: retention_logs
-- scope: tenant
-- params: runs:json
DELETE FROM run_logs WHERE tenant_id = $tenant AND run = ANY (ARRAY(SELECT json_array_elements_text($1::json)));

-- name: retention_signals
-- scope: tenant
-- params: runs:json
DELETE FROM signals WHERE tenant_id = $tenant AND run = ANY (ARRAY(SELECT json_array_elements_text($1::json)));

-- name: retention_approvals
-- scope: tenant
-- params: runs:json
DELETE FROM approvals WHERE tenant_id = $tenant AND run = ANY (ARRAY(SELECT json_array_elements_text($1::json)));

-- name: retention_intents
-- scope: tenant
-- params: runs:json
-- purpose: what was on its way out when a run ended; what was decided about it stays
DELETE FROM intents WHERE tenant_id = $tenant AND run = ANY (ARRAY(SELECT json_array_elements_text($1::json)));

-- name: retention_waits
-- scope: tenant
-- params: runs:json
DELETE FROM waits WHERE tenant_id = $tenant AND run = ANY (ARRAY(SELECT json_array_elements_text($1::json)));

-- name: retention_handoffs
-- scope: tenant
-- params: runs:json
-- purpose: a hand-off goes with the run of its receiver; one that never had any stays a dead letter
DELETE FROM handoffs WHERE tenant_id = $tenant AND run = ANY (ARRAY(SELECT json_array_elements_text($1::json)));

-- name: retention_runs
-- scope: tenant
-- params: runs:json
DELETE FROM runs WHERE tenant_id = $tenant AND id = ANY (ARRAY(SELECT json_array_elements_text($1::json))) AND ended_at IS NOT NULL;

-- name: retention_deliveries
-- scope: tenant
-- params: before:int after:int limit:int
-- purpose: what became of old events, where all is done
DELETE FROM deliveries
WHERE tenant_id = $tenant AND status = 'done' AND event IN (
  SELECT id FROM (SELECT id, at FROM events WHERE tenant_id = $tenant AND seq > $2 ORDER BY seq LIMIT $3) AS steps WHERE at < $1);

-- name: retention_events
-- scope: tenant
-- params: before:int after:int limit:int
-- purpose: old events that nothing is to be done about, in slices (retention_events_page tells where the next begins); dead letters keep theirs
DELETE FROM events
WHERE tenant_id = $tenant AND seq = ANY (ARRAY(SELECT seq FROM events WHERE tenant_id = $tenant AND seq > $2 ORDER BY seq LIMIT $3)) AND dispatched = 1 AND at < $1
  AND NOT EXISTS (SELECT 1 FROM deliveries WHERE deliveries.tenant_id = $tenant AND deliveries.event = events.id);

-- name: retention_events_page
-- scope: tenant
-- params: after:int limit:int
SELECT max(seq), min(at) FROM (SELECT seq, at FROM events WHERE tenant_id = $tenant AND seq > $1 ORDER BY seq LIMIT $2) AS steps;

-- name: unfinished_page
-- scope: tenant
-- params: after:text limit:int
-- purpose: unfinished runs in order of id: what another bundle would meet
SELECT id, agent, capability, bundle, status, input, spec, created_at, journal_length, origin
FROM runs
WHERE tenant_id = $tenant AND id > $1 AND ended_at IS NULL AND status IN ('queued', 'running', 'waiting')
ORDER BY id
LIMIT $2;

-- name: run_started_by
-- scope: tenant
-- params: id:text started_by:text
-- purpose: with run_fork and run_retry_new, in their transaction: who asked for the new run
UPDATE runs SET started_by = $2 WHERE tenant_id = $tenant AND id = $1;
