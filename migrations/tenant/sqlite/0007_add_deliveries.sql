-- Events reach capabilities as deliveries: one row for each event, agent and capability, whose status says what is left to do.
-- key: events of one key reach a capability one after the other. Null: in no order.
ALTER TABLE events ADD COLUMN key TEXT;
UPDATE events SET key = subject WHERE dispatched = 0;
CREATE INDEX events_undispatched_of_key ON events (key, seq) WHERE dispatched = 0 AND key IS NOT NULL;

-- A failed run leads to another one of the same event: what makes each of them once is its delivery.
DROP INDEX runs_of_event;
CREATE INDEX runs_of_event ON runs (event, created_at) WHERE event IS NOT NULL;

-- status: pending, running, retrying (at next_at), done, dead. run: of the last attempt; runs: of all, in their order, with blanks between.
CREATE TABLE deliveries (
	id TEXT NOT NULL PRIMARY KEY,
	seq INTEGER NOT NULL,
	status TEXT NOT NULL,
	attempts INTEGER NOT NULL DEFAULT 0,
	retries INTEGER NOT NULL,
	next_at INTEGER,
	created_at INTEGER NOT NULL,
	ended_at INTEGER,
	event TEXT NOT NULL,
	agent TEXT NOT NULL,
	capability TEXT NOT NULL,
	key TEXT,
	run TEXT,
	runs TEXT NOT NULL DEFAULT '',
	error TEXT
);
CREATE UNIQUE INDEX deliveries_of_event ON deliveries (event, agent, capability);
CREATE INDEX deliveries_of_key ON deliveries (agent, capability, key, seq) WHERE key IS NOT NULL AND status IN ('pending', 'running', 'retrying');
-- Two workers that claim for one key at the same time: one of them finds it taken.
CREATE UNIQUE INDEX deliveries_running_of_key ON deliveries (agent, capability, key) WHERE key IS NOT NULL AND status = 'running';
CREATE UNIQUE INDEX deliveries_of_run ON deliveries (run) WHERE status = 'running';
CREATE INDEX deliveries_pending ON deliveries (seq, id) WHERE status = 'pending';
CREATE INDEX deliveries_retrying ON deliveries (next_at, id) WHERE status = 'retrying';
CREATE INDEX deliveries_dead ON deliveries (ended_at, id) WHERE status = 'dead';
