-- Events reach capabilities as deliveries: one row for each event, agent and capability, whose status says what is left to do.
-- key: events of one key reach a capability one after the other. Null: in no order.
ALTER TABLE events ADD COLUMN key text COLLATE "C";
UPDATE events SET key = subject WHERE dispatched = 0;
CREATE INDEX events_undispatched_of_key ON events (tenant_id, key, seq) WHERE dispatched = 0 AND key IS NOT NULL;

-- A failed run leads to another one of the same event: what makes each of them once is its delivery.
DROP INDEX runs_of_event;
CREATE INDEX runs_of_event ON runs (tenant_id, event, created_at) WHERE event IS NOT NULL;

-- status: pending, running, retrying (at next_at), done, dead. run: of the last attempt; runs: of all, in their order, with blanks between.
CREATE TABLE deliveries (
	tenant_id text COLLATE "C" NOT NULL,
	id text COLLATE "C" NOT NULL,
	seq bigint NOT NULL,
	status text COLLATE "C" NOT NULL,
	attempts bigint NOT NULL DEFAULT 0,
	retries bigint NOT NULL,
	next_at bigint,
	created_at bigint NOT NULL,
	ended_at bigint,
	event text COLLATE "C" NOT NULL,
	agent text COLLATE "C" NOT NULL,
	capability text COLLATE "C" NOT NULL,
	key text COLLATE "C",
	run text COLLATE "C",
	runs text COLLATE "C" NOT NULL DEFAULT '',
	error text COLLATE "C",
	PRIMARY KEY (tenant_id, id)
) WITH (fillfactor = 80);
CREATE UNIQUE INDEX deliveries_of_event ON deliveries (tenant_id, event, agent, capability);
CREATE INDEX deliveries_of_key ON deliveries (tenant_id, agent, capability, key, seq)
	WHERE key IS NOT NULL AND status IN ('pending', 'running', 'retrying');
-- Two workers that claim for one key at the same time: one of them finds it taken.
CREATE UNIQUE INDEX deliveries_running_of_key ON deliveries (tenant_id, agent, capability, key) WHERE key IS NOT NULL AND status = 'running';
CREATE UNIQUE INDEX deliveries_of_run ON deliveries (tenant_id, run) WHERE status = 'running';
CREATE INDEX deliveries_pending ON deliveries (tenant_id, seq, id) WHERE status = 'pending';
CREATE INDEX deliveries_retrying ON deliveries (tenant_id, next_at, id) WHERE status = 'retrying';
CREATE INDEX deliveries_dead ON deliveries (tenant_id, ended_at, id) WHERE status = 'dead';
