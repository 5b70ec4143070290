-- Many workers on one store: who they are, what they tell one another, which tenants have runs that nobody owns, what each tenant may have.

-- A lease per worker process. Times are microseconds of this database's clock; condemned: somebody takes its runs over, it commits nothing more.
CREATE TABLE workers (
	id text COLLATE "C" NOT NULL PRIMARY KEY,
	host text COLLATE "C",
	pid bigint,
	started_at bigint NOT NULL,
	renewed_at bigint NOT NULL,
	expires_at bigint NOT NULL,
	condemned boolean NOT NULL DEFAULT false
);

-- A hint to a worker ('*': to whoever looks first): lossy by contract, so rows are taken and gone.
CREATE TABLE worker_mail (
	seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	worker text COLLATE "C" NOT NULL,
	tenant text COLLATE "C" NOT NULL,
	kind text COLLATE "C" NOT NULL,
	name text COLLATE "C" NOT NULL,
	at bigint NOT NULL
);
CREATE INDEX worker_mail_of_worker ON worker_mail (worker, seq);

-- Tenants with queued runs that nobody owns; pass: of stride scheduling; marks: grows with each enqueue, so that who found none left can tell whether
-- more has come since.
CREATE TABLE tenant_ready (
	tenant text COLLATE "C" NOT NULL PRIMARY KEY,
	pass bigint NOT NULL DEFAULT 0,
	ready_at bigint NOT NULL,
	marks bigint NOT NULL DEFAULT 1
);
CREATE INDEX tenant_ready_lowest ON tenant_ready (pass, tenant);

-- weight 1 to 10,000; concurrency: cells that compute, over all workers; runs: unfinished ones. Null: the operator's setting, or no limit.
ALTER TABLE tenants ADD COLUMN weight bigint NOT NULL DEFAULT 100;
ALTER TABLE tenants ADD COLUMN concurrency bigint;
ALTER TABLE tenants ADD COLUMN runs bigint;
-- Few tenants have limits of their own; every worker reads them every two seconds.
CREATE INDEX tenants_limited ON tenants (id) WHERE weight <> 100 OR concurrency IS NOT NULL OR runs IS NOT NULL;
