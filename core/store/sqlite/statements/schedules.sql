-- Schedules and what is due by the clock: slots, deadlines of runs, hand-offs to be started again.

-- name: work_due
-- scope: tenant
-- params:
-- purpose: when something is due next, three times, each may be null (indexes schedules_of_due, runs_of_deadline, handoffs_of_replay)
SELECT (SELECT min(due_at) FROM schedules WHERE due_at IS NOT NULL) AS schedule,
       (SELECT min(deadline_at) FROM runs WHERE deadline_at IS NOT NULL AND ended_at IS NULL) AS deadline,
       (SELECT min(replay_at) FROM handoffs WHERE replay_at IS NOT NULL) AS replay;

-- name: schedules_due
-- scope: tenant
-- params: now:int
-- purpose: what to fire or judge, the oldest first; last_open is 1 while the run of the last slot has not ended
SELECT id, version, declared, status, next_at, look_at, asked_at, last_slot, last_run, idle, agent, capability, name,
       (SELECT count(*) FROM runs WHERE runs.id = schedules.last_run AND runs.ended_at IS NULL) AS last_open
FROM schedules WHERE due_at <= ?1 ORDER BY due_at, id LIMIT 20;

-- name: schedule_list
-- scope: tenant
-- params: after:text limit:int
-- purpose: a page in the order of ids
SELECT id, agent, capability, name, declared, status, next_at, last_slot, last_run, idle, created_at, updated_at, version, asked_at
FROM schedules WHERE id > ?1 ORDER BY id LIMIT ?2;

-- name: schedule_get
-- scope: tenant
-- params: id:text
SELECT id, agent, capability, name, declared, status, next_at, last_slot, last_run, idle, created_at, updated_at, version, asked_at
FROM schedules WHERE id = ?1;

-- name: schedules_all
-- scope: tenant
-- params: after:text
-- purpose: for the comparison with what a bundle declares
SELECT id, declared, status, version, next_at, look_at, asked_at FROM schedules WHERE id > ?1 ORDER BY id LIMIT 100000;

-- name: schedule_insert
-- scope: tenant
-- params: id:text agent:text capability:text name:text declared:json status:text next_at:int at:int
-- purpose: times of 0 are null, here and below
INSERT INTO schedules (id, agent, capability, name, declared, status, version, next_at, due_at, created_at, updated_at)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, 1, nullif(?7, 0), nullif(?7, 0), ?8, ?8)
ON CONFLICT DO NOTHING;

-- name: schedule_declare
-- scope: tenant
-- params: id:text version:int declared:json status:text next_at:int due_at:int at:int
-- purpose: the declaration changed, or went, or came back
UPDATE schedules SET declared = ?3, status = ?4, next_at = nullif(?5, 0), due_at = nullif(?6, 0), updated_at = ?7, version = version + 1
WHERE id = ?1 AND version = ?2;

-- name: schedule_set_status
-- scope: tenant
-- params: id:text version:int status:text next_at:int due_at:int at:int
UPDATE schedules SET status = ?3, next_at = nullif(?4, 0), due_at = nullif(?5, 0), updated_at = ?6, version = version + 1
WHERE id = ?1 AND version = ?2;

-- name: schedule_ask
-- scope: tenant
-- params: id:text at:int
-- purpose: fire at once, whatever the clock says
UPDATE schedules SET asked_at = ?2, due_at = ?2, version = version + 1
WHERE id = ?1 AND status <> 'removed';

-- name: schedule_advance
-- scope: tenant
-- params: id:text version:int next_at:int look_at:int asked_at:int due_at:int last_slot:int last_run:text? idle:int at:int
-- purpose: who writes the version that it saw goes on; anybody else changes no row
UPDATE schedules SET next_at = nullif(?3, 0), look_at = nullif(?4, 0), asked_at = nullif(?5, 0), due_at = nullif(?6, 0),
                     last_slot = coalesce(nullif(?7, 0), last_slot), last_run = coalesce(?8, last_run), idle = ?9, updated_at = ?10, version = version + 1
WHERE id = ?1 AND version = ?2;

-- name: schedule_slot_insert
-- scope: tenant
-- params: schedule:text slot:int status:text run:text? at:int worked:int? reason:text?
INSERT INTO schedule_slots (schedule, slot, status, run, at, worked, reason) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
ON CONFLICT DO NOTHING;

-- name: schedule_slots_open
-- scope: tenant
-- params: schedule:text
-- purpose: the last slots, newest first, with what their runs did: ended (1 or 0) and wrote (outcomes of effects that write)
SELECT slot, status, run, worked,
       (SELECT count(*) FROM runs WHERE runs.id = schedule_slots.run AND runs.ended_at IS NULL) AS open,
       (SELECT count(*) FROM (SELECT 1 FROM journal
                              WHERE journal.run = schedule_slots.run
                                AND journal.name NOT IN ('records.get', 'records.list', 'records.history', 'evidence.list', 'time.sleep', 'run.await', 'run.join')
                                AND journal.outcome NOT LIKE '{"at":%,"error":%'
                              LIMIT 1) AS steps) AS wrote
FROM schedule_slots WHERE schedule = ?1 ORDER BY slot DESC LIMIT 100;

-- name: schedule_slot_judge
-- scope: tenant
-- params: schedule:text slot:int worked:int
UPDATE schedule_slots SET worked = ?3 WHERE schedule = ?1 AND slot = ?2;

-- name: schedule_slots_trim
-- scope: tenant
-- params: schedule:text
-- purpose: the last thousand slots stay
DELETE FROM schedule_slots
WHERE schedule = ?1 AND slot < (SELECT slot FROM schedule_slots WHERE schedule = ?1 ORDER BY slot DESC LIMIT 1 OFFSET 999);

-- name: schedule_slot_list
-- scope: tenant
-- params: schedule:text limit:int
SELECT slot, status, run, at, worked, reason FROM schedule_slots WHERE schedule = ?1 ORDER BY slot DESC LIMIT ?2;
