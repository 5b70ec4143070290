-- Runs of several workers: who owns them, what wakes them, what workers tell one another. docs/internals/production.md, sections 2 and 3.

-- name: runs_take_over
-- scope: tenant
-- params: owner:text previous:text limit:int
-- purpose: some of the runs of an owner that is gone, with a new fence; nobody else has them then
UPDATE runs SET owner = $1, fence = fence + 1
WHERE tenant_id = $tenant AND owner = $2 AND ended_at IS NULL AND id IN (
  SELECT id FROM runs WHERE tenant_id = $tenant AND owner = $2 AND ended_at IS NULL ORDER BY id LIMIT $3 FOR UPDATE SKIP LOCKED)
RETURNING id, status;

-- name: runs_left
-- scope: tenant
-- params: owner:text
-- purpose: a row when an owner has an unfinished run
SELECT 1::bigint FROM runs WHERE tenant_id = $tenant AND owner = $1 AND ended_at IS NULL LIMIT 1;

-- name: run_owners
-- scope: tenant
-- params:
-- purpose: every owner of unfinished runs, step by step through the index: the work does not grow with the runs
WITH RECURSIVE steps (owner) AS (
  SELECT min(owner) FROM runs WHERE tenant_id = $tenant AND ended_at IS NULL AND owner > ''
  UNION ALL
  SELECT (SELECT min(owner) FROM runs WHERE tenant_id = $tenant AND ended_at IS NULL AND owner > steps.owner) FROM steps WHERE steps.owner IS NOT NULL)
SELECT owner FROM steps WHERE owner IS NOT NULL LIMIT 1000;

-- name: runs_owned
-- scope: tenant
-- params: owner:text after:text limit:int
-- purpose: a page of an owner's unfinished runs, in order of id
SELECT id, status FROM runs WHERE tenant_id = $tenant AND owner = $1 AND ended_at IS NULL AND id > $2 ORDER BY id LIMIT $3;

-- name: run_owner
-- scope: tenant
-- params: id:text
-- purpose: whom to tell that something came for a run: nobody when it has ended
SELECT owner FROM runs WHERE tenant_id = $tenant AND id = $1 AND ended_at IS NULL;

-- name: run_waiters
-- scope: tenant
-- params: id:text parent:text?
-- purpose: unfinished runs that the end of this one concerns: its parent, and whoever joins it
SELECT id, owner FROM runs WHERE tenant_id = $tenant AND id = $2 AND ended_at IS NULL
UNION ALL
SELECT runs.id, runs.owner FROM waits JOIN runs ON runs.tenant_id = $tenant AND runs.id = waits.run
WHERE waits.tenant_id = $tenant AND waits.kind = 'child' AND waits.name = $1 AND runs.ended_at IS NULL;

-- name: tree_waiters
-- scope: tenant
-- params: id:text
-- purpose: after run_cancel_tree and tree_waits_end, in the same transaction: who joins a run of the tree
WITH RECURSIVE tree (id) AS (
  SELECT $1::text COLLATE "C" UNION SELECT runs.id FROM runs JOIN tree ON runs.tenant_id = $tenant AND runs.parent = tree.id)
SELECT runs.id, runs.owner FROM tree JOIN runs AS member ON member.tenant_id = $tenant AND member.id = tree.id
JOIN waits ON waits.tenant_id = $tenant AND waits.kind = 'child' AND waits.name = coalesce(member.chain, member.id)
JOIN runs ON runs.tenant_id = $tenant AND runs.id = waits.run
WHERE runs.ended_at IS NULL;

-- name: approval_asker
-- scope: tenant
-- params: id:text
-- purpose: the run that asked, and whom to tell
SELECT runs.id, runs.owner FROM approvals JOIN runs ON runs.tenant_id = $tenant AND runs.id = approvals.run
WHERE approvals.tenant_id = $tenant AND approvals.id = $1;

-- name: waits_due
-- scope: tenant
-- params: owner:text wake_at:int run:text effect:int limit:int
-- purpose: of the next `limit` deadlines behind a position those of one owner (index waits_of_time)
SELECT slice.wake_at, slice.run, slice.effect FROM (
  SELECT wake_at, run, effect FROM waits
  WHERE tenant_id = $tenant AND wake_at IS NOT NULL AND (wake_at, run, effect) > ($2, $3, $4) ORDER BY wake_at, run, effect LIMIT $5) AS slice
JOIN runs ON runs.tenant_id = $tenant AND runs.id = slice.run
WHERE runs.owner = $1 AND runs.ended_at IS NULL;

-- name: waits_due_last
-- scope: tenant
-- params: wake_at:int run:text effect:int limit:int
-- purpose: where such a slice ends, when it is full: no row when it reaches the last deadline
SELECT wake_at, run, effect FROM waits
WHERE tenant_id = $tenant AND wake_at IS NOT NULL AND (wake_at, run, effect) > ($1, $2, $3) ORDER BY wake_at, run, effect LIMIT 1 OFFSET $4 - 1;

-- name: waits_ended
-- scope: tenant
-- params: owner:text run:text effect:int limit:int now:int
-- purpose: of the next `limit` waits behind a position those of one owner that have ended although nobody told it
SELECT slice.run FROM (
  SELECT run, effect, kind, name, wake_at FROM waits WHERE tenant_id = $tenant AND (run, effect) > ($2, $3) ORDER BY run, effect LIMIT $4) AS slice
JOIN runs ON runs.tenant_id = $tenant AND runs.id = slice.run
WHERE runs.owner = $1 AND runs.ended_at IS NULL AND (
  slice.wake_at <= $5
  OR (slice.kind = 'signal' AND EXISTS (
    SELECT 1 FROM signals WHERE signals.tenant_id = $tenant AND signals.run = slice.run AND signals.name = substr(slice.name, length(slice.run) + 2)
    AND signals.consumed_by IS NULL))
  OR (slice.kind = 'approval' AND EXISTS (
    SELECT 1 FROM approvals WHERE approvals.tenant_id = $tenant AND approvals.id = slice.name AND approvals.status <> 'pending'))
  OR (slice.kind = 'outcome' AND NOT EXISTS (
    SELECT 1 FROM outcomes WHERE outcomes.tenant_id = $tenant AND outcomes.run = slice.run AND outcomes.effect = slice.effect AND outcomes.status = 'unknown'))
  OR (slice.kind = 'child' AND EXISTS (
    SELECT 1 FROM runs AS child WHERE child.tenant_id = $tenant AND child.ended_at IS NOT NULL AND child.id = coalesce(
      (SELECT link.id FROM runs AS link WHERE link.tenant_id = $tenant AND link.chain = slice.name ORDER BY link.chain_n DESC LIMIT 1), slice.name))));

-- name: waits_slice_last
-- scope: tenant
-- params: run:text effect:int limit:int
-- purpose: where such a slice ends, when it is full: no row when it reaches the last wait
SELECT run, effect FROM waits WHERE tenant_id = $tenant AND (run, effect) > ($1, $2) ORDER BY run, effect LIMIT 1 OFFSET $3 - 1;

-- name: runs_count
-- scope: tenant
-- params: owner:text
-- purpose: how many of an owner's runs wait
SELECT count(*) FROM runs WHERE tenant_id = $tenant AND owner = $1 AND ended_at IS NULL AND status = 'waiting';

-- name: mail_put
-- scope: platform
-- params: worker:text tenant:text kind:text name:text at:int
-- purpose: tell another worker ('*': whoever looks first)
INSERT INTO worker_mail (worker, tenant, kind, name, at) VALUES ($1, $2, $3, $4, $5);

-- name: mail_waiting
-- scope: platform
-- params: worker:text
-- purpose: a row when there is mail: looked at twice a second, so it writes nothing
SELECT 1::bigint FROM worker_mail WHERE worker IN ($1, '*') LIMIT 1;

-- name: mail_take
-- scope: platform
-- params: worker:text limit:int
-- purpose: some of the mail, which is gone then
DELETE FROM worker_mail
WHERE seq IN (SELECT seq FROM worker_mail WHERE worker IN ($1, '*') ORDER BY seq LIMIT $2 FOR UPDATE SKIP LOCKED)
RETURNING tenant, kind, name;

-- name: mail_forget
-- scope: platform
-- params: worker:text
-- purpose: nobody of this name reads any more
DELETE FROM worker_mail WHERE worker = $1;
