-- Waits whose runs are not in memory, and who asked for what.

-- The head of the timers is read in this order. Rows without a deadline are not in it.
CREATE INDEX waits_of_time ON waits (tenant_id, wake_at, run, effect) WHERE wake_at IS NOT NULL;

-- The principal that started the run (a key's id, or operator); its children have the same. Who asked cannot approve.
ALTER TABLE runs ADD COLUMN started_by text COLLATE "C";
ALTER TABLE approvals ADD COLUMN asked_by text COLLATE "C";
ALTER TABLE approvals ADD COLUMN self_approval bigint NOT NULL DEFAULT 0;

-- Who waits for the end of a run.
CREATE INDEX waits_of_child ON waits (tenant_id, name) WHERE kind = 'child';
