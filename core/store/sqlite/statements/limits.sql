-- What a run may use, and hand-offs.

-- name: run_limit
-- scope: tenant
-- params: id:text deadline_at:int budget_effects:int handoff:text? handoff_type:text? correlation:text?
-- purpose: beside run_insert, in its transaction, for a run that has any of these; a deadline of 0 and a budget of -1 are null
UPDATE runs SET deadline_at = nullif(?2, 0), budget_effects = nullif(?3, -1), handoff = ?4, handoff_type = ?5, correlation = ?6 WHERE id = ?1;

-- name: run_limits
-- scope: tenant
-- params: id:text
SELECT deadline_at, budget_effects, budget_given, handoff, handoff_type, correlation FROM runs WHERE id = ?1;

-- name: run_give
-- scope: tenant
-- params: id:text fence:int effects:int
-- purpose: a part of the budget goes to a child, in the transaction that starts it
UPDATE runs SET budget_given = budget_given + ?3 WHERE id = ?1 AND fence = ?2;

-- name: children_open
-- scope: tenant
-- params: parent:text limit:int
SELECT count(*) AS children FROM (SELECT 1 FROM runs WHERE parent = ?1 AND ended_at IS NULL LIMIT ?2) AS steps;

-- name: runs_past_deadline
-- scope: tenant
-- params: now:int
-- purpose: unfinished runs whose time is over, wherever they are, some at a time (index runs_of_deadline)
SELECT id FROM runs WHERE deadline_at <= ?1 AND ended_at IS NULL ORDER BY deadline_at, id LIMIT 200;

-- name: run_expire
-- scope: tenant
-- params: id:text now:int error:json
-- purpose: fails one of them; its owner finds its fence gone
UPDATE runs SET status = 'failed', ended_at = ?2, started_at = coalesce(started_at, ?2), error = ?3, fence = fence + 1, wake_at = NULL
WHERE id = ?1 AND ended_at IS NULL AND deadline_at <= ?2 AND status IN ('queued', 'running', 'waiting')
RETURNING id, owner, parent;

-- name: handoff_insert
-- scope: tenant
-- params: id:text status:text type:text version:int sender:text receiver:text? capability:text? key:text? digest:text correlation:text depth:int
--   sender_run:text run:text? subject:text? created_at:int ended_at:int? reasons:json? payload:json
INSERT INTO handoffs (id, status, type, version, sender, receiver, capability, key, digest, correlation, depth, sender_run, run, subject, created_at,
                      ended_at, reasons, payload)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18);

-- name: handoff_of_key
-- scope: tenant
-- params: sender:text key:text
SELECT id, status, run, receiver, digest, reasons FROM handoffs WHERE sender = ?1 AND key = ?2;

-- name: handoff_get
-- scope: tenant
-- params: id:text
SELECT id, status, type, version, sender, receiver, capability, key, correlation, depth, sender_run, run, subject, replays, created_at, ended_at, reasons,
       payload, replay_at
FROM handoffs WHERE id = ?1;

-- name: handoff_run
-- scope: tenant
-- params: id:text
-- purpose: what a wait for it waits for: the receiver's run, by the name of its chain
SELECT status, run, coalesce((SELECT chain FROM runs WHERE runs.id = handoffs.run), run) AS chain FROM handoffs WHERE id = ?1;

-- name: handoff_list
-- scope: tenant
-- params: before_at:int before_id:text limit:int status:text? correlation:text? type:text?
-- purpose: a page, newest first (index handoffs_newest)
SELECT id, status, type, version, sender, receiver, capability, key, correlation, depth, sender_run, run, subject, replays, created_at, ended_at, reasons,
       payload, replay_at
FROM handoffs
WHERE (created_at, id) < (?1, ?2) AND (?4 IS NULL OR status = ?4) AND (?5 IS NULL OR correlation = ?5) AND (?6 IS NULL OR type = ?6)
ORDER BY created_at DESC, id DESC LIMIT ?3;

-- name: handoff_list_of_status
-- scope: tenant
-- params: before_at:int before_id:text limit:int status:text correlation:text? type:text?
-- purpose: the same when a status is asked for (index handoffs_of_status)
SELECT id, status, type, version, sender, receiver, capability, key, correlation, depth, sender_run, run, subject, replays, created_at, ended_at, reasons,
       payload, replay_at
FROM handoffs
WHERE status = ?4 AND (created_at, id) < (?1, ?2) AND (?5 IS NULL OR correlation = ?5) AND (?6 IS NULL OR type = ?6)
ORDER BY created_at DESC, id DESC LIMIT ?3;

-- name: handoff_end
-- scope: tenant
-- params: run:text status:text at:int reasons:json?
-- purpose: with the end of the receiver's run, in its transaction
UPDATE handoffs SET status = ?2, ended_at = ?3, reasons = ?4 WHERE run = ?1 AND status = 'started';

-- name: handoff_continue
-- scope: tenant
-- params: run:text next:text
-- purpose: the receiver goes on as another run
UPDATE handoffs SET run = ?2 WHERE run = ?1 AND status = 'started';

-- name: tree_handoffs_end
-- scope: tenant
-- params: id:text at:int
-- purpose: after run_cancel_tree, in the same transaction
UPDATE handoffs SET status = 'dead', ended_at = ?2, reasons = '[{"code":"run.cancelled","message":"the receiver was cancelled"}]'
WHERE status = 'started' AND run IN (
  WITH RECURSIVE tree (id) AS (
    SELECT ?1 UNION SELECT runs.id FROM runs JOIN tree ON runs.parent = tree.id)
  SELECT tree.id FROM tree JOIN runs ON runs.id = tree.id WHERE runs.status = 'cancelled');

-- name: handoff_ask
-- scope: tenant
-- params: id:text at:int
-- purpose: a dead one is to be tried again
UPDATE handoffs SET replay_at = ?2 WHERE id = ?1 AND status = 'dead';

-- name: handoffs_asked
-- scope: tenant
-- params:
SELECT id FROM handoffs WHERE replay_at IS NOT NULL ORDER BY replay_at LIMIT 20;

-- name: handoff_restart
-- scope: tenant
-- params: id:text receiver:text capability:text run:text
UPDATE handoffs SET status = 'started', receiver = ?2, capability = ?3, run = ?4, replays = replays + 1, replay_at = NULL, ended_at = NULL, reasons = NULL
WHERE id = ?1 AND status = 'dead';

-- name: handoff_refuse
-- scope: tenant
-- params: id:text reasons:json at:int
-- purpose: it still cannot be
UPDATE handoffs SET reasons = ?2, ended_at = ?3, replays = replays + 1, replay_at = NULL WHERE id = ?1 AND status = 'dead';

