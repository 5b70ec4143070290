-- Effects that leave the host: what is on its way, and what nobody knows the end of.

-- Committed before such an effect leaves, deleted in the transaction that journals its outcome. attempts: how often it has left.
CREATE TABLE intents (
	run TEXT NOT NULL,
	effect INTEGER NOT NULL,
	name TEXT NOT NULL,
	class TEXT NOT NULL,
	key TEXT NOT NULL,
	digest TEXT NOT NULL,
	request TEXT NOT NULL,
	at INTEGER NOT NULL,
	attempts INTEGER NOT NULL,
	resend INTEGER NOT NULL DEFAULT 0,
	PRIMARY KEY (run, effect)
) WITHOUT ROWID;

-- id is RUN/EFFECT/ATTEMPT. status: unknown, happened, not_happened, failed (as decided) or withdrawn (the run ended before).
CREATE TABLE outcomes (
	id TEXT NOT NULL PRIMARY KEY,
	run TEXT NOT NULL,
	effect INTEGER NOT NULL,
	attempt INTEGER NOT NULL,
	name TEXT NOT NULL,
	class TEXT NOT NULL,
	key TEXT NOT NULL,
	request TEXT NOT NULL,
	sent_at INTEGER NOT NULL,
	unknown_at INTEGER NOT NULL,
	status TEXT NOT NULL,
	result TEXT,
	error TEXT,
	note TEXT,
	decided_at INTEGER,
	decided_by TEXT
);
CREATE UNIQUE INDEX outcomes_of_run ON outcomes (run, effect, attempt);
CREATE INDEX outcomes_newest ON outcomes (unknown_at, id);
CREATE INDEX outcomes_of_status ON outcomes (status, unknown_at, id);
