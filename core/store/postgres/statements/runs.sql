-- Reading runs, their journals, logs and approvals. What changes them is engine.sql.

-- name: run_get
-- scope: tenant
-- params: id:text
-- purpose: one run or no row
SELECT id, agent, capability, status, input, output, error, bundle, created_at, started_at, ended_at, parent, cost_nanos, tokens, cpu_us, subject,
       origin, retry_of, continued_from, continued_as
FROM runs
WHERE tenant_id = $tenant AND id = $1;

-- name: run_list
-- scope: tenant
-- params: before_at:int before_id:text limit:int agent:text? capability:text? status:text? subject:text?
-- purpose: a page of runs, newest first; a null filter lets all pass (index runs_newest)
SELECT id, agent, capability, status, input, output, error, bundle, created_at, started_at, ended_at, parent, cost_nanos, tokens, cpu_us, subject,
       origin, retry_of, continued_from, continued_as
FROM runs
WHERE tenant_id = $tenant AND (created_at, id) < ($1, $2)
  AND ($4::text IS NULL OR agent = $4) AND ($5::text IS NULL OR capability = $5) AND ($6::text IS NULL OR status = $6) AND ($7::text IS NULL OR subject = $7)
ORDER BY created_at DESC, id DESC
LIMIT $3;

-- name: run_list_of_agent
-- scope: tenant
-- params: before_at:int before_id:text limit:int agent:text? capability:text? status:text? subject:text?
-- purpose: the same when an agent is asked for (index runs_of_agent)
SELECT id, agent, capability, status, input, output, error, bundle, created_at, started_at, ended_at, parent, cost_nanos, tokens, cpu_us, subject,
       origin, retry_of, continued_from, continued_as
FROM runs
WHERE tenant_id = $tenant AND agent = $4 AND (created_at, id) < ($1, $2)
  AND ($4::text IS NULL OR agent = $4) AND ($5::text IS NULL OR capability = $5) AND ($6::text IS NULL OR status = $6) AND ($7::text IS NULL OR subject = $7)
ORDER BY created_at DESC, id DESC
LIMIT $3;

-- name: run_list_of_subject
-- scope: tenant
-- params: before_at:int before_id:text limit:int agent:text? capability:text? status:text? subject:text?
-- purpose: the same when a subject is asked for (index runs_of_subject)
SELECT id, agent, capability, status, input, output, error, bundle, created_at, started_at, ended_at, parent, cost_nanos, tokens, cpu_us, subject,
       origin, retry_of, continued_from, continued_as
FROM runs
WHERE tenant_id = $tenant AND subject = $7 AND (created_at, id) < ($1, $2)
  AND ($4::text IS NULL OR agent = $4) AND ($5::text IS NULL OR capability = $5) AND ($6::text IS NULL OR status = $6) AND ($7::text IS NULL OR subject = $7)
ORDER BY created_at DESC, id DESC
LIMIT $3;

-- name: journal_list
-- scope: tenant
-- params: run:text after_idx:int limit:int
-- purpose: outcomes of a run in order; after_idx -1 starts at the first
SELECT journal.idx, journal.effect, journal.name, journal.digest, journal.at,
       CASE WHEN journal.body IS NULL THEN journal.outcome ELSE journal.outcome || bodies.text END AS outcome
FROM journal LEFT JOIN bodies ON bodies.tenant_id = $tenant AND bodies.hash = journal.body
WHERE journal.tenant_id = $tenant AND journal.run = $1 AND journal.idx > $2
ORDER BY journal.idx
LIMIT $3;

-- name: run_log_list
-- scope: tenant
-- params: run:text after_n:int limit:int
-- purpose: log lines of a run in order
SELECT n, idx, at, level, message, fields
FROM run_logs
WHERE tenant_id = $tenant AND run = $1 AND n > $2
ORDER BY n
LIMIT $3;

-- name: approval_get
-- scope: tenant
-- params: id:text
-- purpose: one approval or no row
SELECT id, run, effect, title, body, subject, owner, status, decision, note, asked_at, expires_at, decided_at, decided_by
FROM approvals
WHERE tenant_id = $tenant AND id = $1;

-- name: approval_list
-- scope: tenant
-- params: before_at:int before_id:text limit:int
-- purpose: a page of approvals, newest first (index approvals_newest)
SELECT id, run, effect, title, body, subject, owner, status, decision, note, asked_at, expires_at, decided_at, decided_by
FROM approvals
WHERE tenant_id = $tenant AND (asked_at, id) < ($1, $2)
ORDER BY asked_at DESC, id DESC
LIMIT $3;

-- name: approval_list_of_status
-- scope: tenant
-- params: before_at:int before_id:text limit:int status:text
-- purpose: the same of one status (index approvals_of_status)
SELECT id, run, effect, title, body, subject, owner, status, decision, note, asked_at, expires_at, decided_at, decided_by
FROM approvals
WHERE tenant_id = $tenant AND status = $4 AND (asked_at, id) < ($1, $2)
ORDER BY asked_at DESC, id DESC
LIMIT $3;

-- name: idempotency_get
-- scope: tenant
-- params: key:text
-- purpose: what this key answered before, or no row
SELECT digest, run, created_at, status, answer
FROM idempotency
WHERE tenant_id = $tenant AND key = $1;

-- name: idempotency_insert
-- scope: tenant
-- params: key:text digest:blob run:text created_at:int
-- purpose: remember the key; changes no row when it is taken (a lost race)
INSERT INTO idempotency (tenant_id, key, digest, run, created_at)
VALUES ($tenant, $1, $2, $3, $4)
ON CONFLICT DO NOTHING;

-- name: idempotency_purge
-- scope: tenant
-- params: created_before:int limit:int
-- purpose: forget keys of old, some at a time (index idempotency_oldest)
DELETE FROM idempotency
WHERE tenant_id = $tenant AND key = ANY (ARRAY(SELECT key FROM idempotency WHERE tenant_id = $tenant AND created_at < $1 ORDER BY created_at LIMIT $2));

-- name: run_agents
-- scope: tenant
-- params:
-- purpose: the agents of the last thousand runs
SELECT DISTINCT agent FROM (SELECT agent FROM runs WHERE tenant_id = $tenant ORDER BY created_at DESC LIMIT 1000) AS latest ORDER BY agent;

-- name: bundle_manifests
-- scope: tenant
-- params:
-- purpose: what the last bundles declare, newest first
SELECT manifest FROM bundles WHERE tenant_id = $tenant ORDER BY created_at DESC LIMIT 10;

-- name: idempotency_claim
-- scope: tenant
-- params: key:text digest:blob at:int expired_before:int abandoned_before:int
-- purpose: one row changed: the key is the asker's, new, expired, or left by a request that a crash cut short; no row: another's
INSERT INTO idempotency (tenant_id, key, digest, run, created_at)
VALUES ($tenant, $1, $2, '', $3)
ON CONFLICT (tenant_id, key) DO UPDATE SET digest = $2, run = '', status = 0, answer = NULL, created_at = $3
WHERE idempotency.tenant_id = $tenant AND (idempotency.created_at < $4
  OR (idempotency.run = '' AND idempotency.status = 0 AND idempotency.digest = $2 AND idempotency.created_at < $5));

-- name: idempotency_keep
-- scope: tenant
-- params: key:text at:int status:int answer:text
-- purpose: what the request that claimed the key then answered
UPDATE idempotency SET status = $3, answer = $4
WHERE tenant_id = $tenant AND key = $1 AND created_at = $2 AND run = '' AND status = 0;

-- name: idempotency_release
-- scope: tenant
-- params: key:text at:int
-- purpose: the request that claimed the key was refused: the key is free again
DELETE FROM idempotency
WHERE tenant_id = $tenant AND key = $1 AND created_at = $2 AND run = '' AND status = 0;
