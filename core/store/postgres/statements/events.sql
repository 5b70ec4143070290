-- Events: an outbox in order of seq; the engine dispatches what has dispatched = 0.

-- name: event_insert
-- scope: tenant
-- params: id:text type:text source:text subject:text? data:json? at:int run:text?
-- purpose: emit; its key of order is its subject. Changes no row when the id is known (the same event again). The number comes from the tenant's counter
WITH number AS (
  INSERT INTO counters (tenant_id, name, last)
  SELECT $tenant, 'events', 1 WHERE NOT EXISTS (SELECT 1 FROM events WHERE tenant_id = $tenant AND id = $1)
  ON CONFLICT (tenant_id, name) DO UPDATE SET last = counters.last + 1
  RETURNING last)
INSERT INTO events (tenant_id, seq, id, type, source, subject, data, at, run, key)
SELECT $tenant, number.last, $1, $2, $3, $4, $5, $6, $7, $4 FROM number
ON CONFLICT (tenant_id, id) DO NOTHING;

-- name: event_known
-- scope: tenant
-- params: id:text
-- purpose: what came under this id, or no row
SELECT type, source, subject, data
FROM events
WHERE tenant_id = $tenant AND id = $1;

-- name: event_list
-- scope: tenant
-- params: after_seq:int limit:int
-- purpose: what came after seq, in order
SELECT seq, id, type, source, subject, data, at, run, key
FROM events
WHERE tenant_id = $tenant AND seq > $1
ORDER BY seq
LIMIT $2;

-- name: event_list_of_type
-- scope: tenant
-- params: after_seq:int limit:int type:text
-- purpose: the same of one type (index events_of_type)
SELECT seq, id, type, source, subject, data, at, run, key
FROM events
WHERE tenant_id = $tenant AND type = $3 AND seq > $1
ORDER BY seq
LIMIT $2;

-- name: event_last
-- scope: tenant
-- params:
-- purpose: always one row: the newest seq, 0 before the first event
SELECT coalesce(max(seq), 0) FROM events WHERE tenant_id = $tenant;
