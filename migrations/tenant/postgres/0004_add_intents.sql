-- Effects that leave the host: what is on its way, and what nobody knows the end of.

-- Committed before such an effect leaves, deleted in the transaction that journals its outcome. attempts: how often it has left.
CREATE TABLE intents (
	tenant_id text COLLATE "C" NOT NULL,
	run text COLLATE "C" NOT NULL,
	effect bigint NOT NULL,
	name text COLLATE "C" NOT NULL,
	class text COLLATE "C" NOT NULL,
	key text COLLATE "C" NOT NULL,
	digest text COLLATE "C" NOT NULL,
	request text COLLATE "C" NOT NULL,
	at bigint NOT NULL,
	attempts bigint NOT NULL,
	resend bigint NOT NULL DEFAULT 0,
	PRIMARY KEY (tenant_id, run, effect)
);

-- id is RUN/EFFECT/ATTEMPT. status: unknown, happened, not_happened, failed (as decided) or withdrawn (the run ended before).
CREATE TABLE outcomes (
	tenant_id text COLLATE "C" NOT NULL,
	id text COLLATE "C" NOT NULL,
	run text COLLATE "C" NOT NULL,
	effect bigint NOT NULL,
	attempt bigint NOT NULL,
	name text COLLATE "C" NOT NULL,
	class text COLLATE "C" NOT NULL,
	key text COLLATE "C" NOT NULL,
	request text COLLATE "C" NOT NULL,
	sent_at bigint NOT NULL,
	unknown_at bigint NOT NULL,
	status text COLLATE "C" NOT NULL,
	result text COLLATE "C",
	error text COLLATE "C",
	note text COLLATE "C",
	decided_at bigint,
	decided_by text COLLATE "C",
	PRIMARY KEY (tenant_id, id)
);
CREATE UNIQUE INDEX outcomes_of_run ON outcomes (tenant_id, run, effect, attempt);
CREATE INDEX outcomes_newest ON outcomes (tenant_id, unknown_at, id);
CREATE INDEX outcomes_of_status ON outcomes (tenant_id, status, unknown_at, id);
