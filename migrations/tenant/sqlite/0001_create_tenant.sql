-- Everything that one tenant has. Times are unix microseconds; documents are canonical JSON text.
-- Tables that grow by appending keep their rowid: a group commit of many runs then fills few pages.

-- Columns that every append changes come before the documents: reading or comparing them never walks a long input.
CREATE TABLE runs (
	id TEXT NOT NULL PRIMARY KEY,
	status TEXT NOT NULL,
	fence INTEGER NOT NULL DEFAULT 0,
	owner TEXT,
	journal_length INTEGER NOT NULL DEFAULT 0,
	effects_issued INTEGER NOT NULL DEFAULT 0,
	wake_at INTEGER,
	strikes INTEGER NOT NULL DEFAULT 0,
	cost_nanos INTEGER NOT NULL DEFAULT 0,
	tokens INTEGER NOT NULL DEFAULT 0,
	cpu_us INTEGER NOT NULL DEFAULT 0,
	created_at INTEGER NOT NULL,
	started_at INTEGER,
	ended_at INTEGER,
	agent TEXT NOT NULL,
	capability TEXT NOT NULL,
	bundle TEXT NOT NULL,
	subject TEXT,
	event TEXT,
	spec TEXT,
	parent TEXT,
	parent_effect INTEGER,
	depth INTEGER NOT NULL DEFAULT 0,
	error TEXT,
	input TEXT,
	output TEXT
);
CREATE INDEX runs_newest ON runs (created_at, id);
CREATE INDEX runs_of_agent ON runs (agent, created_at, id);
CREATE INDEX runs_of_subject ON runs (subject, created_at, id) WHERE subject IS NOT NULL;
CREATE INDEX runs_of_parent ON runs (parent, parent_effect) WHERE parent IS NOT NULL;
-- Not on status: every append sets it, and an index would be rewritten each time. Ask for `ended_at IS NULL` beside the states.
CREATE INDEX runs_unfinished ON runs (owner, id) WHERE ended_at IS NULL;
CREATE UNIQUE INDEX runs_of_event ON runs (event, agent, capability) WHERE event IS NOT NULL;

CREATE TABLE journal (
	run TEXT NOT NULL,
	idx INTEGER NOT NULL,
	effect INTEGER NOT NULL,
	name TEXT NOT NULL,
	digest TEXT NOT NULL,
	at INTEGER NOT NULL,
	outcome TEXT NOT NULL,
	PRIMARY KEY (run, idx)
);

CREATE TABLE waits (
	run TEXT NOT NULL,
	effect INTEGER NOT NULL,
	kind TEXT NOT NULL,
	name TEXT,
	wake_at INTEGER,
	created_at INTEGER NOT NULL,
	detail TEXT,
	PRIMARY KEY (run, effect)
) WITHOUT ROWID;

CREATE TABLE signals (
	seq INTEGER PRIMARY KEY AUTOINCREMENT,
	id TEXT NOT NULL UNIQUE,
	run TEXT NOT NULL,
	name TEXT NOT NULL,
	payload TEXT,
	at INTEGER NOT NULL,
	consumed_by INTEGER
);
CREATE INDEX signals_unread ON signals (run, name, seq) WHERE consumed_by IS NULL;

CREATE TABLE approvals (
	id TEXT NOT NULL PRIMARY KEY,
	run TEXT NOT NULL,
	effect INTEGER NOT NULL,
	title TEXT NOT NULL,
	body TEXT,
	subject TEXT,
	owner TEXT,
	status TEXT NOT NULL,
	decision TEXT,
	note TEXT,
	asked_at INTEGER NOT NULL,
	expires_at INTEGER,
	decided_at INTEGER,
	decided_by TEXT
);
CREATE INDEX approvals_of_status ON approvals (status, asked_at, id);
CREATE INDEX approvals_newest ON approvals (asked_at, id);
CREATE UNIQUE INDEX approvals_of_run ON approvals (run, effect);

CREATE TABLE run_logs (
	run TEXT NOT NULL,
	n INTEGER NOT NULL,
	idx INTEGER NOT NULL,
	at INTEGER NOT NULL,
	level TEXT NOT NULL,
	message TEXT NOT NULL,
	fields TEXT,
	PRIMARY KEY (run, n)
);

CREATE TABLE events (
	seq INTEGER PRIMARY KEY AUTOINCREMENT,
	id TEXT NOT NULL UNIQUE,
	type TEXT NOT NULL,
	source TEXT NOT NULL,
	subject TEXT,
	data TEXT,
	at INTEGER NOT NULL,
	run TEXT,
	dispatched INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX events_of_type ON events (type, seq);
CREATE INDEX events_undispatched ON events (seq) WHERE dispatched = 0;

CREATE TABLE records (
	kind TEXT NOT NULL,
	id TEXT NOT NULL,
	version INTEGER NOT NULL,
	updated_at INTEGER NOT NULL,
	run TEXT,
	actor TEXT,
	body TEXT NOT NULL,
	PRIMARY KEY (kind, id)
);

-- body is null where the version is a deletion.
CREATE TABLE record_history (
	kind TEXT NOT NULL,
	id TEXT NOT NULL,
	version INTEGER NOT NULL,
	at INTEGER NOT NULL,
	run TEXT,
	actor TEXT,
	body TEXT,
	PRIMARY KEY (kind, id, version)
);

-- Fields declared as indexed, of every bundle that was ever live here: a field stays indexed.
-- path is its JSON path; filled is 1 once the records that were there before have their rows in record_fields.
CREATE TABLE record_indexes (
	kind TEXT NOT NULL,
	field TEXT NOT NULL,
	path TEXT NOT NULL,
	filled INTEGER NOT NULL DEFAULT 0,
	PRIMARY KEY (kind, field)
) WITHOUT ROWID;
INSERT INTO record_indexes (kind, field, path, filled) VALUES ('source', 'deal', '$."deal"', 1);

-- One row per record and indexed field, also where the record lacks the field. value is the sort key of core/store/record_key.h.
CREATE TABLE record_fields (
	kind TEXT NOT NULL,
	field TEXT NOT NULL,
	value TEXT NOT NULL,
	id TEXT NOT NULL,
	PRIMARY KEY (kind, id, field)
) WITHOUT ROWID;
CREATE INDEX record_fields_value ON record_fields (kind, field, value, id);

CREATE TABLE evidence (
	id TEXT NOT NULL PRIMARY KEY,
	deal TEXT NOT NULL,
	playbook TEXT NOT NULL,
	dimension TEXT NOT NULL,
	claim TEXT NOT NULL,
	polarity INTEGER NOT NULL,
	quote TEXT NOT NULL,
	source TEXT NOT NULL,
	start_at INTEGER NOT NULL,
	end_at INTEGER NOT NULL,
	speaker TEXT,
	side TEXT NOT NULL,
	said_at TEXT,
	extractor TEXT NOT NULL,
	confidence_bp INTEGER NOT NULL,
	detail TEXT,
	run TEXT,
	recorded_at INTEGER NOT NULL
);
CREATE INDEX evidence_of_deal ON evidence (deal, said_at, source, start_at, id);

CREATE TABLE bundles (
	digest TEXT NOT NULL PRIMARY KEY,
	files TEXT NOT NULL,
	manifest TEXT NOT NULL,
	created_at INTEGER NOT NULL
);

CREATE TABLE idempotency (
	key TEXT NOT NULL PRIMARY KEY,
	digest BLOB NOT NULL,
	run TEXT NOT NULL,
	created_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX idempotency_oldest ON idempotency (created_at);
