-- Where a tenant's data lives when that is another database (a store URL); null: here.
ALTER TABLE tenants ADD COLUMN database text COLLATE "C";
CREATE INDEX tenants_placed ON tenants (id) WHERE database IS NOT NULL;
-- How long a tenant's ended runs and its events are kept, like succeeded=7d,failed=90d; null: the operator's setting.
ALTER TABLE tenants ADD COLUMN retention text COLLATE "C";
