-- Everything that tenants have, in shared tables. tenant_id leads every key and index, so that one tenant's rows lie together and a distributed
-- PostgreSQL can shard by it; row-level security is put on every table with that column after the migrations (core/store/postgres/secure.c).
-- Times are unix microseconds; documents are canonical JSON as text, never jsonb: what goes in comes out. Empty tables: milliseconds.

-- Columns that every append changes are in no index (see runs_unfinished) and each page keeps room: these updates stay on their page (HOT) and
-- write no index. Long documents go to the TOAST table early, where an update of the row leaves them.
CREATE TABLE runs (
	tenant_id text COLLATE "C" NOT NULL,
	id text COLLATE "C" NOT NULL,
	status text COLLATE "C" NOT NULL,
	fence bigint NOT NULL DEFAULT 0,
	owner text COLLATE "C",
	journal_length bigint NOT NULL DEFAULT 0,
	effects_issued bigint NOT NULL DEFAULT 0,
	wake_at bigint,
	strikes bigint NOT NULL DEFAULT 0,
	cost_nanos bigint NOT NULL DEFAULT 0,
	tokens bigint NOT NULL DEFAULT 0,
	cpu_us bigint NOT NULL DEFAULT 0,
	created_at bigint NOT NULL,
	started_at bigint,
	ended_at bigint,
	agent text COLLATE "C" NOT NULL,
	capability text COLLATE "C" NOT NULL,
	bundle text COLLATE "C" NOT NULL,
	subject text COLLATE "C",
	event text COLLATE "C",
	spec text COLLATE "C",
	parent text COLLATE "C",
	parent_effect bigint,
	depth bigint NOT NULL DEFAULT 0,
	error text COLLATE "C",
	input text COLLATE "C",
	output text COLLATE "C",
	PRIMARY KEY (tenant_id, id)
) WITH (fillfactor = 70, toast_tuple_target = 512, autovacuum_vacuum_scale_factor = 0.05);
CREATE INDEX runs_newest ON runs (tenant_id, created_at, id);
CREATE INDEX runs_of_agent ON runs (tenant_id, agent, created_at, id);
CREATE INDEX runs_of_subject ON runs (tenant_id, subject, created_at, id) WHERE subject IS NOT NULL;
CREATE INDEX runs_of_parent ON runs (tenant_id, parent, parent_effect) WHERE parent IS NOT NULL;
-- Not on status: every append sets it, and an index would be rewritten each time. Ask for `ended_at IS NULL` beside the states.
CREATE INDEX runs_unfinished ON runs (tenant_id, owner, id) WHERE ended_at IS NULL;
CREATE UNIQUE INDEX runs_of_event ON runs (tenant_id, event, agent, capability) WHERE event IS NOT NULL;

CREATE TABLE journal (
	tenant_id text COLLATE "C" NOT NULL,
	run text COLLATE "C" NOT NULL,
	idx bigint NOT NULL,
	effect bigint NOT NULL,
	name text COLLATE "C" NOT NULL,
	digest text COLLATE "C" NOT NULL,
	at bigint NOT NULL,
	outcome text COLLATE "C" NOT NULL,
	PRIMARY KEY (tenant_id, run, idx)
);

CREATE TABLE waits (
	tenant_id text COLLATE "C" NOT NULL,
	run text COLLATE "C" NOT NULL,
	effect bigint NOT NULL,
	kind text COLLATE "C" NOT NULL,
	name text COLLATE "C",
	wake_at bigint,
	created_at bigint NOT NULL,
	detail text COLLATE "C",
	PRIMARY KEY (tenant_id, run, effect)
) WITH (autovacuum_vacuum_scale_factor = 0.05);

-- The last number of what is ordered by insertion; the transaction that takes the next one holds the row until it commits: numbers appear in
-- the order of commits, and who remembers the last one misses nothing.
CREATE TABLE counters (
	tenant_id text COLLATE "C" NOT NULL,
	name text COLLATE "C" NOT NULL,
	last bigint NOT NULL,
	PRIMARY KEY (tenant_id, name)
) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 1000);

CREATE TABLE signals (
	tenant_id text COLLATE "C" NOT NULL,
	seq bigint NOT NULL,
	id text COLLATE "C" NOT NULL,
	run text COLLATE "C" NOT NULL,
	name text COLLATE "C" NOT NULL,
	payload text COLLATE "C",
	at bigint NOT NULL,
	consumed_by text COLLATE "C",
	PRIMARY KEY (tenant_id, seq),
	UNIQUE (tenant_id, id)
);
CREATE INDEX signals_unread ON signals (tenant_id, run, name, seq) WHERE consumed_by IS NULL;

CREATE TABLE approvals (
	tenant_id text COLLATE "C" NOT NULL,
	id text COLLATE "C" NOT NULL,
	run text COLLATE "C" NOT NULL,
	effect bigint NOT NULL,
	title text COLLATE "C" NOT NULL,
	body text COLLATE "C",
	subject text COLLATE "C",
	owner text COLLATE "C",
	status text COLLATE "C" NOT NULL,
	decision text COLLATE "C",
	note text COLLATE "C",
	asked_at bigint NOT NULL,
	expires_at bigint,
	decided_at bigint,
	decided_by text COLLATE "C",
	PRIMARY KEY (tenant_id, id)
);
CREATE INDEX approvals_of_status ON approvals (tenant_id, status, asked_at, id);
CREATE INDEX approvals_newest ON approvals (tenant_id, asked_at, id);
CREATE UNIQUE INDEX approvals_of_run ON approvals (tenant_id, run, effect);

CREATE TABLE run_logs (
	tenant_id text COLLATE "C" NOT NULL,
	run text COLLATE "C" NOT NULL,
	n bigint NOT NULL,
	idx bigint NOT NULL,
	at bigint NOT NULL,
	level text COLLATE "C" NOT NULL,
	message text COLLATE "C" NOT NULL,
	fields text COLLATE "C",
	PRIMARY KEY (tenant_id, run, n)
);

CREATE TABLE events (
	tenant_id text COLLATE "C" NOT NULL,
	seq bigint NOT NULL,
	id text COLLATE "C" NOT NULL,
	type text COLLATE "C" NOT NULL,
	source text COLLATE "C" NOT NULL,
	subject text COLLATE "C",
	data text COLLATE "C",
	at bigint NOT NULL,
	run text COLLATE "C",
	dispatched bigint NOT NULL DEFAULT 0,
	PRIMARY KEY (tenant_id, seq),
	UNIQUE (tenant_id, id)
);
CREATE INDEX events_of_type ON events (tenant_id, type, seq);
CREATE INDEX events_undispatched ON events (tenant_id, seq) WHERE dispatched = 0;

CREATE TABLE records (
	tenant_id text COLLATE "C" NOT NULL,
	kind text COLLATE "C" NOT NULL,
	id text COLLATE "C" NOT NULL,
	version bigint NOT NULL,
	updated_at bigint NOT NULL,
	run text COLLATE "C",
	actor text COLLATE "C",
	body text COLLATE "C" NOT NULL,
	PRIMARY KEY (tenant_id, kind, id)
) WITH (fillfactor = 85);

-- body is null where the version is a deletion.
CREATE TABLE record_history (
	tenant_id text COLLATE "C" NOT NULL,
	kind text COLLATE "C" NOT NULL,
	id text COLLATE "C" NOT NULL,
	version bigint NOT NULL,
	at bigint NOT NULL,
	run text COLLATE "C",
	actor text COLLATE "C",
	body text COLLATE "C",
	PRIMARY KEY (tenant_id, kind, id, version)
);

-- Fields declared as indexed, of every bundle that was ever live: a field stays indexed. path is its JSON path; filled is 1 once the records that
-- were there before have their rows in record_fields. (source, deal) is indexed for every tenant, without a row here: record_fields_put.
CREATE TABLE record_indexes (
	tenant_id text COLLATE "C" NOT NULL,
	kind text COLLATE "C" NOT NULL,
	field text COLLATE "C" NOT NULL,
	path text COLLATE "C" NOT NULL,
	filled bigint NOT NULL DEFAULT 0,
	PRIMARY KEY (tenant_id, kind, field)
);

-- One row per record and indexed field, also where the record lacks the field. value is the sort key of core/store/record_key.h.
CREATE TABLE record_fields (
	tenant_id text COLLATE "C" NOT NULL,
	kind text COLLATE "C" NOT NULL,
	field text COLLATE "C" NOT NULL,
	value text COLLATE "C" NOT NULL,
	id text COLLATE "C" NOT NULL,
	PRIMARY KEY (tenant_id, kind, id, field)
);
CREATE INDEX record_fields_value ON record_fields (tenant_id, kind, field, value, id);

CREATE TABLE evidence (
	tenant_id text COLLATE "C" NOT NULL,
	id text COLLATE "C" NOT NULL,
	deal text COLLATE "C" NOT NULL,
	playbook text COLLATE "C" NOT NULL,
	dimension text COLLATE "C" NOT NULL,
	claim text COLLATE "C" NOT NULL,
	polarity bigint NOT NULL,
	quote text COLLATE "C" NOT NULL,
	source text COLLATE "C" NOT NULL,
	start_at bigint NOT NULL,
	end_at bigint NOT NULL,
	speaker text COLLATE "C",
	side text COLLATE "C" NOT NULL,
	said_at text COLLATE "C",
	extractor text COLLATE "C" NOT NULL,
	confidence_bp bigint NOT NULL,
	detail text COLLATE "C",
	run text COLLATE "C",
	recorded_at bigint NOT NULL,
	PRIMARY KEY (tenant_id, id)
);
-- The order of the ledger, with a place for what has no time.
CREATE INDEX evidence_of_deal ON evidence (tenant_id, deal, (coalesce(said_at, '')), source, start_at, id);

CREATE TABLE bundles (
	tenant_id text COLLATE "C" NOT NULL,
	digest text COLLATE "C" NOT NULL,
	files text COLLATE "C" NOT NULL,
	manifest text COLLATE "C" NOT NULL,
	created_at bigint NOT NULL,
	PRIMARY KEY (tenant_id, digest)
);
CREATE INDEX bundles_newest ON bundles (tenant_id, created_at);

-- What a POST with an Idempotency-Key answered; status 0: it started a run, or is under way.
CREATE TABLE idempotency (
	tenant_id text COLLATE "C" NOT NULL,
	key text COLLATE "C" NOT NULL,
	digest bytea NOT NULL,
	run text COLLATE "C" NOT NULL,
	created_at bigint NOT NULL,
	status bigint NOT NULL DEFAULT 0,
	answer text COLLATE "C",
	PRIMARY KEY (tenant_id, key)
);
CREATE INDEX idempotency_oldest ON idempotency (tenant_id, created_at);

-- The text of what stands at a path ($."a"."b") of a JSON document, as it is written there; null where there is nothing. SQLite's `->`.
-- json, not jsonb: numbers keep their digits, and a document with \u0000, which PostgreSQL unescapes into no text, is read with a stand-in for it (U+10FFFF).
CREATE FUNCTION perigee_json_at(document text, path text) RETURNS text LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $function$
DECLARE
	at json;
	step text;
	nul constant boolean := position('\u0000' IN document) > 0;
BEGIN
	IF document IS NULL OR path IS NULL THEN
		RETURN NULL;
	END IF;
	IF nul THEN
		at := replace(replace(document, '\\', '\u005c'), '\u0000', U&'\+10FFFF')::json;
	ELSE
		at := document::json;
	END IF;
	FOREACH step IN ARRAY string_to_array(substr(path, 4, length(path) - 4), '"."') LOOP
		IF json_typeof(at) IS DISTINCT FROM 'object' THEN
			RETURN NULL;
		END IF;
		at := at -> step;
	END LOOP;
	IF nul THEN
		RETURN replace(replace(at::text, U&'\+10FFFF', '\u0000'), '\u005c', '\\');
	END IF;
	RETURN at::text;
END
$function$;

-- The key of a string: 4 and its first 255 bytes, cut between characters.
CREATE FUNCTION perigee_text_key(value text) RETURNS text LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $function$
DECLARE
	bytes bytea;
	n int := 255;
BEGIN
	IF octet_length(value) <= n THEN
		RETURN '4' || value;
	END IF;
	bytes := convert_to(value, 'UTF8');
	WHILE n > 0 AND (get_byte(bytes, n) & 192) = 128 LOOP
		n := n - 1;
	END LOOP;
	RETURN '4' || convert_from(substring(bytes FROM 1 FOR n), 'UTF8');
END
$function$;

-- The double nearest to a JSON number; null where it is too large for one. PostgreSQL refuses what is nearer to 0 than any double; here that is 0.
CREATE FUNCTION perigee_json_double(value text) RETURNS double precision LANGUAGE plpgsql IMMUTABLE STRICT AS $function$
DECLARE
	exponent text := substring(value FROM '[eE]([+-]?[0-9]+)$');
BEGIN
	IF value !~ '[.eE]' THEN
		-- An integer has 64 bits or is none.
		RETURN value::bigint::double precision;
	END IF;
	RETURN value::double precision;
EXCEPTION WHEN numeric_value_out_of_range THEN
	IF exponent LIKE '-%' THEN
		RETURN 0;
	END IF;
	RETURN NULL;
END
$function$;

-- The sort key of a JSON value, as core/store/record_key.c makes it. Text that is no JSON counts as a string.
CREATE FUNCTION perigee_sort_key(value text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $function$
DECLARE
	number double precision;
	bits bigint;
	plain text;
BEGIN
	IF value IS NULL OR value IN ('', 'null') THEN
		RETURN '0';
	ELSIF value = 'false' THEN
		RETURN '1';
	ELSIF value = 'true' THEN
		RETURN '2';
	ELSIF left(value, 1) IN ('{', '[') THEN
		RETURN '5';
	ELSIF value ~ '^-?(0|[1-9][0-9]{0,14})$' THEN
		number := value::double precision;
	ELSIF value ~ '^-?(0|[1-9][0-9]*)([.][0-9]+)?([eE][+-]?[0-9]+)?$' THEN
		number := perigee_json_double(value);
		IF number IS NULL THEN
			RETURN perigee_text_key(value);
		END IF;
	ELSIF left(value, 1) = '"' THEN
		-- What stands behind a NUL does not count.
		plain := CASE WHEN position('\u0000' IN value) > 0
			THEN split_part(replace(replace(value, '\\', '\u005c'), '\u0000', U&'\+10FFFF')::json #>> '{}', U&'\+10FFFF', 1)
			ELSE value::json #>> '{}' END;
		RETURN perigee_text_key(plain);
	ELSE
		RETURN perigee_text_key(value);
	END IF;
	IF number = 0 THEN
		number := 0;
	END IF;
	-- Doubles of one sign order as integers; negative ones the other way round.
	bits := ('x' || encode(float8send(number), 'hex'))::bit(64)::bigint;
	RETURN '3' || lpad(to_hex(CASE WHEN bits < 0 THEN ~bits ELSE bits # (-9223372036854775808)::bigint END), 16, '0');
END
$function$;
