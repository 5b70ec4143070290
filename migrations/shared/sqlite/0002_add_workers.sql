-- Many workers on one store: what they tell one another, which tenants have runs that nobody owns, what each tenant may have.
-- Who is alive is told by locked files here, not by a table: a killed process is known at once.

-- A hint to a worker ('*': to whoever looks first): lossy by contract, so rows are taken and gone.
CREATE TABLE worker_mail (
	seq INTEGER PRIMARY KEY AUTOINCREMENT,
	worker TEXT NOT NULL,
	tenant TEXT NOT NULL,
	kind TEXT NOT NULL,
	name TEXT NOT NULL,
	at INTEGER NOT NULL
);
CREATE INDEX worker_mail_of_worker ON worker_mail (worker, seq);

-- Tenants with queued runs that nobody owns; pass: of stride scheduling; marks: grows with each enqueue, so that who found none left can tell whether
-- more has come since.
CREATE TABLE tenant_ready (
	tenant TEXT NOT NULL PRIMARY KEY,
	pass INTEGER NOT NULL DEFAULT 0,
	ready_at INTEGER NOT NULL,
	marks INTEGER NOT NULL DEFAULT 1
) WITHOUT ROWID;
CREATE INDEX tenant_ready_lowest ON tenant_ready (pass, tenant);

-- weight 1 to 10,000; concurrency: cells that compute, over all workers; runs: unfinished ones. Null: the operator's setting, or no limit.
ALTER TABLE tenants ADD COLUMN weight INTEGER NOT NULL DEFAULT 100;
ALTER TABLE tenants ADD COLUMN concurrency INTEGER;
ALTER TABLE tenants ADD COLUMN runs INTEGER;
-- Few tenants have limits of their own; every worker reads them every two seconds.
CREATE INDEX tenants_limited ON tenants (id) WHERE weight <> 100 OR concurrency IS NOT NULL OR runs IS NOT NULL;
