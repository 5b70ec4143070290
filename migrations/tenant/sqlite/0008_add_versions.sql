-- Versions: forks, retries and chains of runs; long bodies by their content; what is old may go.

-- A fork: {at, now, phases: [{run, until}, …], run}. Its first outcomes were copied from `run`; whose chance and id its script draws until which outcome.
ALTER TABLE runs ADD COLUMN origin TEXT;
-- The run that failed or was cancelled, of which this one is another try.
ALTER TABLE runs ADD COLUMN retry_of TEXT;
-- run.continue_as_new: the first run of the chain (null in the first itself), the place in it, and the neighbours.
ALTER TABLE runs ADD COLUMN chain TEXT;
ALTER TABLE runs ADD COLUMN chain_n INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN continued_from TEXT;
ALTER TABLE runs ADD COLUMN continued_as TEXT;
CREATE UNIQUE INDEX runs_of_chain ON runs (chain, chain_n) WHERE chain IS NOT NULL;
CREATE INDEX runs_ended ON runs (ended_at, id) WHERE ended_at IS NOT NULL;
CREATE INDEX runs_of_bundle ON runs (bundle);
CREATE INDEX signals_of_run ON signals (run);

-- Outcomes over 2 KiB: `outcome` holds their beginning, which differs each time, and `body` the hash of the rest, which lies here once.
-- touched_at: when a new row referred to it last, to the hour. Only what was untouched for a day is swept.
CREATE TABLE bodies (
	hash TEXT NOT NULL PRIMARY KEY,
	touched_at INTEGER NOT NULL,
	text TEXT NOT NULL
);
ALTER TABLE journal ADD COLUMN body TEXT;
CREATE INDEX journal_of_body ON journal (body) WHERE body IS NOT NULL;

-- When a bundle went live last: old ones that no run is pinned to go after a day.
ALTER TABLE bundles ADD COLUMN live_at INTEGER NOT NULL DEFAULT 0;

-- Who clears up, until when: one worker per tenant and task.
CREATE TABLE sweeps (
	what TEXT NOT NULL PRIMARY KEY,
	owner TEXT NOT NULL,
	until INTEGER NOT NULL
);
