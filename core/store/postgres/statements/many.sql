-- The forms for many of the statements that busy hosts run most: a batch of several transactions of one tenant runs each of them once, with arrays
-- (core/store/postgres/batch.h). Each element does what the statement does alone; where it must count, the number of changed rows tells whether all did.
-- Those that answer number their elements (n, from 1). A key that is taken undoes the batch, whether as an error or as a row too few; as an error it
-- costs the others less: ON CONFLICT looks twice and writes twice.

-- name: run_append_many
-- scope: tenant
-- only: postgres
-- many: run_append
-- params: id:text fence:int journal_length:int now:int
UPDATE runs SET status = 'running', journal_length = m.journal_length, started_at = coalesce(runs.started_at, m.now), wake_at = NULL
FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[]) AS m (id, fence, journal_length, now)
WHERE runs.tenant_id = $tenant AND runs.id = m.id AND runs.fence = m.fence AND runs.status IN ('queued', 'running', 'waiting');

-- name: run_suspend_many
-- scope: tenant
-- only: postgres
-- many: run_suspend
-- params: id:text fence:int journal_length:int now:int wake_at:int?
UPDATE runs SET status = 'waiting', journal_length = m.journal_length, started_at = coalesce(runs.started_at, m.now), wake_at = m.wake_at
FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[]) AS m (id, fence, journal_length, now, wake_at)
WHERE runs.tenant_id = $tenant AND runs.id = m.id AND runs.fence = m.fence AND runs.status IN ('queued', 'running', 'waiting');

-- name: run_end_many
-- scope: tenant
-- only: postgres
-- many: run_end
-- params: id:text fence:int status:text output:json? error:json? now:int journal_length:int cpu_us:int strikes:int
UPDATE runs SET status = m.status, output = m.output, error = m.error, ended_at = m.now, started_at = coalesce(runs.started_at, m.now),
                journal_length = m.journal_length, cpu_us = m.cpu_us, strikes = m.strikes, wake_at = NULL
FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[])
     AS m (id, fence, status, output, error, now, journal_length, cpu_us, strikes)
WHERE runs.tenant_id = $tenant AND runs.id = m.id AND runs.fence = m.fence AND runs.status IN ('queued', 'running', 'waiting');

-- name: run_insert_many
-- scope: tenant
-- only: postgres
-- many: run_insert
-- params: id:text agent:text capability:text bundle:text status:text input:json? subject:text? event:text? spec:json? created_at:int parent:text?
--   parent_effect:int? depth:int owner:text? started_by:text?
INSERT INTO runs (tenant_id, id, agent, capability, bundle, status, input, subject, event, spec, created_at, parent, parent_effect, depth, owner,
                  started_by, fence, journal_length, effects_issued, cost_nanos, tokens, cpu_us, strikes)
SELECT $tenant, m.id, m.agent, m.capability, m.bundle, m.status, m.input, m.subject, m.event, m.spec, m.created_at, m.parent, m.parent_effect, m.depth,
       m.owner, coalesce(m.started_by, (SELECT started_by FROM runs AS above WHERE above.tenant_id = $tenant AND above.id = m.parent)), 1, 0, 0, 0, 0, 0, 0
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::bigint[], $11::text[],
            $12::bigint[], $13::bigint[], $14::text[], $15::text[])
     AS m (id, agent, capability, bundle, status, input, subject, event, spec, created_at, parent, parent_effect, depth, owner, started_by)
ON CONFLICT DO NOTHING;

-- name: journal_insert_many
-- scope: tenant
-- only: postgres
-- many: journal_insert
-- params: run:text idx:int effect:int name:text digest:text outcome:json at:int
INSERT INTO journal (tenant_id, run, idx, effect, name, digest, outcome, at)
SELECT $tenant, m.run, m.idx, m.effect, m.name, m.digest, m.outcome, m.at
FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::bigint[]) AS m (run, idx, effect, name, digest, outcome, at);

-- name: journal_insert_long_many
-- scope: tenant
-- only: postgres
-- many: journal_insert_long
-- params: run:text idx:int effect:int name:text digest:text outcome:text at:int body:text
INSERT INTO journal (tenant_id, run, idx, effect, name, digest, outcome, at, body)
SELECT $tenant, m.run, m.idx, m.effect, m.name, m.digest, m.outcome, m.at, m.body
FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::bigint[], $8::text[])
     AS m (run, idx, effect, name, digest, outcome, at, body);

-- name: body_put_many
-- scope: tenant
-- only: postgres
-- many: body_put uncounted
-- params: hash:text text:text at:int
-- The same body twice is one row; in order of the hashes, so that two workers never wait for each other crosswise.
INSERT INTO bodies (tenant_id, hash, text, touched_at)
SELECT DISTINCT ON (m.hash) $tenant, m.hash, m.body, m.at
FROM unnest($1::text[], $2::text[], $3::bigint[]) AS m (hash, body, at)
ORDER BY m.hash
ON CONFLICT (tenant_id, hash) DO UPDATE SET touched_at = excluded.touched_at WHERE bodies.touched_at < excluded.touched_at - 3600000000;

-- name: run_log_insert_many
-- scope: tenant
-- only: postgres
-- many: run_log_insert uncounted
-- params: run:text n:int idx:int at:int level:text message:text fields:json?
INSERT INTO run_logs (tenant_id, run, n, idx, at, level, message, fields)
SELECT $tenant, m.run, m.n, m.idx, m.at, m.level, m.message, m.fields
FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::text[], $6::text[], $7::text[]) AS m (run, n, idx, at, level, message, fields)
ON CONFLICT DO NOTHING;

-- name: wait_insert_many
-- scope: tenant
-- only: postgres
-- many: wait_insert
-- params: run:text effect:int kind:text name:text? wake_at:int? created_at:int detail:json?
INSERT INTO waits (tenant_id, run, effect, kind, name, wake_at, created_at, detail)
SELECT $tenant, m.run, m.effect, m.kind, m.name, m.wake_at, m.created_at, m.detail
FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::text[])
     AS m (run, effect, kind, name, wake_at, created_at, detail);

-- name: wait_delete_many
-- scope: tenant
-- only: postgres
-- many: wait_delete
-- params: run:text effect:int
DELETE FROM waits
USING unnest($1::text[], $2::bigint[]) AS m (run, effect)
WHERE waits.tenant_id = $tenant AND waits.run = m.run AND waits.effect = m.effect;

-- name: waits_end_many
-- scope: tenant
-- only: postgres
-- many: waits_end uncounted
-- params: run:text
DELETE FROM waits
USING unnest($1::text[]) AS m (run)
WHERE waits.tenant_id = $tenant AND waits.run = m.run;

-- name: approvals_withdraw_many
-- scope: tenant
-- only: postgres
-- many: approvals_withdraw uncounted
-- params: run:text at:int
UPDATE approvals SET status = 'withdrawn', decided_at = m.at
FROM unnest($1::text[], $2::bigint[]) AS m (run, at)
WHERE approvals.tenant_id = $tenant AND approvals.run = m.run AND approvals.status = 'pending';

-- name: record_insert_many
-- scope: tenant
-- only: postgres
-- many: record_insert
-- params: kind:text id:text version:int updated_at:int run:text? actor:text? body:json
INSERT INTO records (tenant_id, kind, id, version, updated_at, run, actor, body)
SELECT $tenant, m.kind, m.id, m.version, m.updated_at, m.run, m.actor, m.body
FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::text[], $6::text[], $7::text[]) AS m (kind, id, version, updated_at, run, actor, body);

-- name: record_update_many
-- scope: tenant
-- only: postgres
-- many: record_update
-- params: kind:text id:text version:int updated_at:int run:text? actor:text? body:json expected:int
UPDATE records SET version = m.version, updated_at = m.updated_at, run = m.run, actor = m.actor, body = m.body
FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::bigint[])
     AS m (kind, id, version, updated_at, run, actor, body, expected)
WHERE records.tenant_id = $tenant AND records.kind = m.kind AND records.id = m.id AND records.version = m.expected;

-- name: record_history_insert_many
-- scope: tenant
-- only: postgres
-- many: record_history_insert
-- params: kind:text id:text version:int at:int run:text? actor:text? body:json?
INSERT INTO record_history (tenant_id, kind, id, version, at, run, actor, body)
SELECT $tenant, m.kind, m.id, m.version, m.at, m.run, m.actor, m.body
FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::text[], $6::text[], $7::text[]) AS m (kind, id, version, at, run, actor, body);

-- name: record_fields_put_many
-- scope: tenant
-- only: postgres
-- many: record_fields_put uncounted
-- params: kind:text id:text body:json
INSERT INTO record_fields (tenant_id, kind, field, value, id)
SELECT $tenant, m.kind, indexed.field, perigee_sort_key(perigee_json_at(m.body, indexed.path)), m.id
FROM unnest($1::text[], $2::text[], $3::text[]) AS m (kind, id, body)
CROSS JOIN LATERAL (SELECT field, path FROM record_indexes WHERE record_indexes.tenant_id = $tenant AND record_indexes.kind = m.kind
                    UNION ALL SELECT 'deal', '$."deal"'
                    WHERE m.kind = 'source' AND NOT EXISTS (SELECT 1 FROM record_indexes WHERE tenant_id = $tenant AND kind = 'source' AND field = 'deal')) AS indexed
ON CONFLICT (tenant_id, kind, id, field) DO UPDATE SET value = excluded.value
WHERE record_fields.tenant_id = $tenant AND record_fields.value <> excluded.value;

-- name: intents_end_many
-- scope: tenant
-- only: postgres
-- many: intents_end uncounted
-- params: run:text
DELETE FROM intents
USING unnest($1::text[]) AS m (run)
WHERE intents.tenant_id = $tenant AND intents.run = m.run;

-- name: outcomes_withdraw_many
-- scope: tenant
-- only: postgres
-- many: outcomes_withdraw uncounted
-- params: run:text at:int
UPDATE outcomes SET status = 'withdrawn', decided_at = m.at
FROM unnest($1::text[], $2::bigint[]) AS m (run, at)
WHERE outcomes.tenant_id = $tenant AND outcomes.run = m.run AND outcomes.status = 'unknown';

-- name: run_waiters_many
-- scope: tenant
-- only: postgres
-- many: run_waiters answers
-- params: id:text parent:text?
SELECT m.n, runs.id, runs.owner
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS m (id, parent, n)
     JOIN runs ON runs.tenant_id = $tenant AND runs.id = m.parent
WHERE runs.ended_at IS NULL
UNION ALL
SELECT m.n, runs.id, runs.owner
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS m (id, parent, n)
     JOIN waits ON waits.tenant_id = $tenant AND waits.kind = 'child' AND waits.name = m.id
     JOIN runs ON runs.tenant_id = $tenant AND runs.id = waits.run
WHERE runs.ended_at IS NULL;

-- name: record_state_many
-- scope: tenant
-- only: postgres
-- many: record_state answers
-- params: kind:text id:text
SELECT m.n, (SELECT version FROM records WHERE tenant_id = $tenant AND kind = m.kind AND id = m.id),
       (SELECT max(version) FROM record_history WHERE tenant_id = $tenant AND kind = m.kind AND id = m.id)
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS m (kind, id, n);

-- name: record_get_many
-- scope: tenant
-- only: postgres
-- many: record_get answers
-- params: kind:text id:text
SELECT m.n, r.kind, r.id, r.version, r.updated_at, r.run, r.actor, r.body
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS m (kind, id, n)
     JOIN records r ON r.tenant_id = $tenant AND r.kind = m.kind AND r.id = m.id;
