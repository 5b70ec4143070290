-- Schedules, hand-offs, and what a run may use: until when, how many effects.

-- deadline_at: it and everything below it ends then. budget_effects: effects that it and all below it may issue; budget_given: what
-- it gave to its children of these. handoff: the hand-off that it answers; correlation: of the chain of hand-offs that it is part of.
ALTER TABLE runs ADD COLUMN deadline_at bigint;
ALTER TABLE runs ADD COLUMN budget_effects bigint;
ALTER TABLE runs ADD COLUMN budget_given bigint NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN budget_cost_nanos bigint;
ALTER TABLE runs ADD COLUMN handoff text COLLATE "C";
ALTER TABLE runs ADD COLUMN handoff_type text COLLATE "C";
ALTER TABLE runs ADD COLUMN correlation text COLLATE "C";
CREATE INDEX runs_of_deadline ON runs (tenant_id, deadline_at, id) WHERE deadline_at IS NOT NULL AND ended_at IS NULL;
CREATE INDEX runs_children ON runs (tenant_id, parent) WHERE parent IS NOT NULL AND ended_at IS NULL;

-- One row per declared schedule; id is AGENT.CAPABILITY.NAME. declared: the declaration as JSON, with its place in the scripts as `at`.
-- status: active, paused (by an operator), removed (no longer declared). version changes with every change: who writes says which one it
-- saw, so one worker wins. next_at: the next slot; look_at: when to judge whether the last slots did any work; asked_at: an operator wants
-- it to fire now. due_at is the first of the three. idle: slots in a row that did nothing, of those judged.
CREATE TABLE schedules (
	tenant_id text COLLATE "C" NOT NULL,
	id text COLLATE "C" NOT NULL,
	agent text COLLATE "C" NOT NULL,
	capability text COLLATE "C" NOT NULL,
	name text COLLATE "C" NOT NULL,
	declared text COLLATE "C" NOT NULL,
	status text COLLATE "C" NOT NULL,
	version bigint NOT NULL,
	next_at bigint,
	look_at bigint,
	asked_at bigint,
	due_at bigint,
	last_slot bigint,
	last_run text COLLATE "C",
	idle bigint NOT NULL DEFAULT 0,
	created_at bigint NOT NULL,
	updated_at bigint NOT NULL,
	PRIMARY KEY (tenant_id, id)
);
CREATE INDEX schedules_of_due ON schedules (tenant_id, due_at, id) WHERE due_at IS NOT NULL;

-- What became of a slot: started, skipped (the run before was still at work), missed (no host ran), refused (the run could not be started;
-- reason says why). worked: 1 its run wrote something, 0 it did not, null: not judged yet.
CREATE TABLE schedule_slots (
	tenant_id text COLLATE "C" NOT NULL,
	schedule text COLLATE "C" NOT NULL,
	slot bigint NOT NULL,
	status text COLLATE "C" NOT NULL,
	run text COLLATE "C",
	at bigint NOT NULL,
	worked bigint,
	reason text COLLATE "C",
	PRIMARY KEY (tenant_id, schedule, slot)
);

-- What one agent handed to another. status: started, done, dead; reasons: why it is dead. run: the receiver's. replay_at: an operator wants it again.
CREATE TABLE handoffs (
	tenant_id text COLLATE "C" NOT NULL,
	id text COLLATE "C" NOT NULL,
	status text COLLATE "C" NOT NULL,
	type text COLLATE "C" NOT NULL,
	version bigint NOT NULL,
	sender text COLLATE "C" NOT NULL,
	receiver text COLLATE "C",
	capability text COLLATE "C",
	key text COLLATE "C",
	digest text COLLATE "C" NOT NULL,
	correlation text COLLATE "C" NOT NULL,
	depth bigint NOT NULL,
	sender_run text COLLATE "C" NOT NULL,
	run text COLLATE "C",
	subject text COLLATE "C",
	replays bigint NOT NULL DEFAULT 0,
	replay_at bigint,
	created_at bigint NOT NULL,
	ended_at bigint,
	reasons text COLLATE "C",
	payload text COLLATE "C",
	PRIMARY KEY (tenant_id, id)
);
CREATE UNIQUE INDEX handoffs_of_key ON handoffs (tenant_id, sender, key) WHERE key IS NOT NULL;
CREATE INDEX handoffs_newest ON handoffs (tenant_id, created_at, id);
CREATE INDEX handoffs_of_status ON handoffs (tenant_id, status, created_at, id);
CREATE INDEX handoffs_of_correlation ON handoffs (tenant_id, correlation, created_at, id);
CREATE INDEX handoffs_of_run ON handoffs (tenant_id, run) WHERE run IS NOT NULL;
CREATE INDEX handoffs_of_replay ON handoffs (tenant_id, replay_at) WHERE replay_at IS NOT NULL;
