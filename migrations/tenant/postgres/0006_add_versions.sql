-- Versions: forks, retries and chains of runs; long bodies by their content; what is old may go.

-- A fork: {at, now, phases: [{run, until}, …], run}. Its first outcomes were copied from `run`; whose chance and id its script draws until which outcome.
ALTER TABLE runs ADD COLUMN origin text COLLATE "C";
-- The run that failed or was cancelled, of which this one is another try.
ALTER TABLE runs ADD COLUMN retry_of text COLLATE "C";
-- run.continue_as_new: the first run of the chain (null in the first itself), the place in it, and the neighbours.
ALTER TABLE runs ADD COLUMN chain text COLLATE "C";
ALTER TABLE runs ADD COLUMN chain_n bigint NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN continued_from text COLLATE "C";
ALTER TABLE runs ADD COLUMN continued_as text COLLATE "C";
CREATE UNIQUE INDEX runs_of_chain ON runs (tenant_id, chain, chain_n) WHERE chain IS NOT NULL;
CREATE INDEX runs_ended ON runs (tenant_id, ended_at, id) WHERE ended_at IS NOT NULL;
CREATE INDEX runs_of_bundle ON runs (tenant_id, bundle);
CREATE INDEX signals_of_run ON signals (tenant_id, run);

-- Outcomes over 2 KiB: `outcome` holds their beginning, which differs each time, and `body` the hash of the rest, which lies here once.
-- touched_at: when a new row referred to it last, to the hour. Only what was untouched for a day is swept.
CREATE TABLE bodies (
	tenant_id text COLLATE "C" NOT NULL,
	hash text COLLATE "C" NOT NULL,
	touched_at bigint NOT NULL,
	text text COLLATE "C" NOT NULL,
	PRIMARY KEY (tenant_id, hash)
);
ALTER TABLE journal ADD COLUMN body text COLLATE "C";
CREATE INDEX journal_of_body ON journal (tenant_id, body) WHERE body IS NOT NULL;

-- When a bundle went live last: old ones that no run is pinned to go after a day.
ALTER TABLE bundles ADD COLUMN live_at bigint NOT NULL DEFAULT 0;

-- Who clears up, until when: one worker per tenant and task.
CREATE TABLE sweeps (
	tenant_id text COLLATE "C" NOT NULL,
	what text COLLATE "C" NOT NULL,
	owner text COLLATE "C" NOT NULL,
	until bigint NOT NULL,
	PRIMARY KEY (tenant_id, what)
);
