-- How long a tenant's ended runs and its events are kept, like succeeded=7d,failed=90d; null: the operator's setting.
ALTER TABLE tenants ADD COLUMN retention text COLLATE "C";
