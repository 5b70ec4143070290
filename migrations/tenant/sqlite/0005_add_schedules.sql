-- Schedules, hand-offs, and what a run may use: until when, how many effects.

-- deadline_at: it and everything below it ends then. budget_effects: effects that it and all below it may issue; budget_given: what
-- it gave to its children of these. handoff: the hand-off that it answers; correlation: of the chain of hand-offs that it is part of.
ALTER TABLE runs ADD COLUMN deadline_at INTEGER;
ALTER TABLE runs ADD COLUMN budget_effects INTEGER;
ALTER TABLE runs ADD COLUMN budget_given INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN budget_cost_nanos INTEGER;
ALTER TABLE runs ADD COLUMN handoff TEXT;
ALTER TABLE runs ADD COLUMN handoff_type TEXT;
ALTER TABLE runs ADD COLUMN correlation TEXT;
CREATE INDEX runs_of_deadline ON runs (deadline_at, id) WHERE deadline_at IS NOT NULL AND ended_at IS NULL;
CREATE INDEX runs_children ON runs (parent) WHERE parent IS NOT NULL AND ended_at IS NULL;

-- One row per declared schedule; id is AGENT.CAPABILITY.NAME. declared: the declaration as JSON, with its place in the scripts as `at`.
-- status: active, paused (by an operator), removed (no longer declared). version changes with every change: who writes says which one it
-- saw, so one worker wins. next_at: the next slot; look_at: when to judge whether the last slots did any work; asked_at: an operator wants
-- it to fire now. due_at is the first of the three. idle: slots in a row that did nothing, of those judged.
CREATE TABLE schedules (
	id TEXT NOT NULL PRIMARY KEY,
	agent TEXT NOT NULL,
	capability TEXT NOT NULL,
	name TEXT NOT NULL,
	declared TEXT NOT NULL,
	status TEXT NOT NULL,
	version INTEGER NOT NULL,
	next_at INTEGER,
	look_at INTEGER,
	asked_at INTEGER,
	due_at INTEGER,
	last_slot INTEGER,
	last_run TEXT,
	idle INTEGER NOT NULL DEFAULT 0,
	created_at INTEGER NOT NULL,
	updated_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX schedules_of_due ON schedules (due_at, id) WHERE due_at IS NOT NULL;

-- What became of a slot: started, skipped (the run before was still at work), missed (no host ran), refused (the run could not be started;
-- reason says why). worked: 1 its run wrote something, 0 it did not, null: not judged yet.
CREATE TABLE schedule_slots (
	schedule TEXT NOT NULL,
	slot INTEGER NOT NULL,
	status TEXT NOT NULL,
	run TEXT,
	at INTEGER NOT NULL,
	worked INTEGER,
	reason TEXT,
	PRIMARY KEY (schedule, slot)
) WITHOUT ROWID;

-- What one agent handed to another. status: started, done, dead; reasons: why it is dead. run: the receiver's. replay_at: an operator wants it again.
CREATE TABLE handoffs (
	id TEXT NOT NULL PRIMARY KEY,
	status TEXT NOT NULL,
	type TEXT NOT NULL,
	version INTEGER NOT NULL,
	sender TEXT NOT NULL,
	receiver TEXT,
	capability TEXT,
	key TEXT,
	digest TEXT NOT NULL,
	correlation TEXT NOT NULL,
	depth INTEGER NOT NULL,
	sender_run TEXT NOT NULL,
	run TEXT,
	subject TEXT,
	replays INTEGER NOT NULL DEFAULT 0,
	replay_at INTEGER,
	created_at INTEGER NOT NULL,
	ended_at INTEGER,
	reasons TEXT,
	payload TEXT
);
CREATE UNIQUE INDEX handoffs_of_key ON handoffs (sender, key) WHERE key IS NOT NULL;
CREATE INDEX handoffs_newest ON handoffs (created_at, id);
CREATE INDEX handoffs_of_status ON handoffs (status, created_at, id);
CREATE INDEX handoffs_of_correlation ON handoffs (correlation, created_at, id);
CREATE INDEX handoffs_of_run ON handoffs (run) WHERE run IS NOT NULL;
CREATE INDEX handoffs_of_replay ON handoffs (replay_at) WHERE replay_at IS NOT NULL;
