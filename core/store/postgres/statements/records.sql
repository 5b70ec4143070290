-- Records: documents of a declared kind with versions and history. Rows of every list and get: kind, id, version, updated_at, run, actor, body.
-- A list takes up to four filters (JSON path and JSON text of a scalar, null = no filter): what perigee_json_at gives is JSON text too, so equal text is
-- equality with its type; a record without the field equals null. perigee_sort_key is core/store/record_key.h. Lists page by key, never by offset.

-- name: record_get
-- scope: tenant
-- params: kind:text id:text
-- purpose: one record or no row
SELECT r.kind, r.id, r.version, r.updated_at, r.run, r.actor, r.body
FROM records r
WHERE r.tenant_id = $tenant AND r.kind = $1 AND r.id = $2;

-- name: record_state
-- scope: tenant
-- params: kind:text id:text
-- purpose: always one row: version now (null = no such record), last version ever (null = never was)
SELECT (SELECT version FROM records WHERE tenant_id = $tenant AND kind = $1 AND id = $2),
       (SELECT max(version) FROM record_history WHERE tenant_id = $tenant AND kind = $1 AND id = $2);

-- name: record_insert
-- scope: tenant
-- params: kind:text id:text version:int updated_at:int run:text? actor:text? body:json
-- purpose: create; changes no row when it is there already (a lost race)
INSERT INTO records (tenant_id, kind, id, version, updated_at, run, actor, body)
VALUES ($tenant, $1, $2, $3, $4, $5, $6, $7)
ON CONFLICT DO NOTHING;

-- name: record_update
-- scope: tenant
-- params: kind:text id:text version:int updated_at:int run:text? actor:text? body:json expected:int
-- purpose: replace the version that is expected; changes no row when another is there (a lost race)
UPDATE records SET version = $3, updated_at = $4, run = $5, actor = $6, body = $7
WHERE tenant_id = $tenant AND kind = $1 AND id = $2 AND version = $8;

-- name: record_delete
-- scope: tenant
-- params: kind:text id:text expected:int
-- purpose: remove the version that is expected
DELETE FROM records
WHERE tenant_id = $tenant AND kind = $1 AND id = $2 AND version = $3;

-- name: record_history_insert
-- scope: tenant
-- params: kind:text id:text version:int at:int run:text? actor:text? body:json?
-- purpose: remember a version (body null: its deletion); changes no row when the version is taken (a lost race)
INSERT INTO record_history (tenant_id, kind, id, version, at, run, actor, body)
VALUES ($tenant, $1, $2, $3, $4, $5, $6, $7)
ON CONFLICT DO NOTHING;

-- name: record_history_list
-- scope: tenant
-- params: kind:text id:text before_version:int limit:int
-- purpose: versions below before_version, newest first: version, at, run, actor, body
SELECT version, at, run, actor, body
FROM record_history
WHERE tenant_id = $tenant AND kind = $1 AND id = $2 AND version < $3
ORDER BY version DESC
LIMIT $4;

-- name: record_fields_put
-- scope: tenant
-- params: kind:text id:text body:json
-- purpose: bring the record's rows of all indexed fields of its kind up to date; a source's deal is indexed for everybody
INSERT INTO record_fields (tenant_id, kind, field, value, id)
SELECT $tenant, $1, field, perigee_sort_key(perigee_json_at($3, path)), $2
FROM (SELECT field, path FROM record_indexes WHERE tenant_id = $tenant AND kind = $1
      UNION SELECT 'deal', '$."deal"' WHERE $1 = 'source') AS indexed
ON CONFLICT (tenant_id, kind, id, field) DO UPDATE SET value = excluded.value
WHERE record_fields.tenant_id = $tenant AND record_fields.value <> excluded.value;

-- name: record_fields_delete
-- scope: tenant
-- params: kind:text id:text
-- purpose: forget the index rows of a deleted record
DELETE FROM record_fields
WHERE tenant_id = $tenant AND kind = $1 AND id = $2;

-- name: record_index_declare
-- scope: tenant
-- params: kind:text field:text path:text
-- purpose: a field is indexed from now on
INSERT INTO record_indexes (tenant_id, kind, field, path, filled)
VALUES ($tenant, $1, $2, $3, 0)
ON CONFLICT DO NOTHING;

-- name: record_index_fill
-- scope: tenant
-- params: kind:text field:text path:text
-- purpose: index the records that were there before the field was declared; nothing when that is done
INSERT INTO record_fields (tenant_id, kind, field, value, id)
SELECT $tenant, kind, $2, perigee_sort_key(perigee_json_at(body, $3)), id
FROM records
WHERE tenant_id = $tenant AND kind = $1 AND EXISTS (SELECT 1 FROM record_indexes WHERE tenant_id = $tenant AND kind = $1 AND field = $2 AND filled = 0)
ON CONFLICT DO NOTHING;

-- name: record_index_filled
-- scope: tenant
-- params: kind:text field:text
-- purpose: the index is whole
UPDATE record_indexes SET filled = 1
WHERE tenant_id = $tenant AND kind = $1 AND field = $2 AND filled = 0;

-- name: record_list
-- scope: tenant
-- params: kind:text path1:text? value1:json? path2:text? value2:json? path3:text? value3:json? path4:text? value4:json?
--   limit:int after_id:text
-- purpose: a page in order of id
SELECT r.kind, r.id, r.version, r.updated_at, r.run, r.actor, r.body
FROM records r
WHERE r.tenant_id = $tenant AND r.kind = $1 AND r.id > $11
  AND ($2::text IS NULL OR coalesce(perigee_json_at(r.body, $2), 'null') = $3)
  AND ($4::text IS NULL OR coalesce(perigee_json_at(r.body, $4), 'null') = $5)
  AND ($6::text IS NULL OR coalesce(perigee_json_at(r.body, $6), 'null') = $7)
  AND ($8::text IS NULL OR coalesce(perigee_json_at(r.body, $8), 'null') = $9)
ORDER BY r.id
LIMIT $10;

-- name: record_list_where
-- scope: tenant
-- params: kind:text path1:text? value1:json? path2:text? value2:json? path3:text? value3:json? path4:text? value4:json?
--   limit:int after_id:text field:text key:text
-- purpose: a page in order of id of the records whose indexed field has this sort key (index record_fields_value)
SELECT r.kind, r.id, r.version, r.updated_at, r.run, r.actor, r.body
FROM record_fields f JOIN records r ON r.tenant_id = $tenant AND r.kind = f.kind AND r.id = f.id
WHERE f.tenant_id = $tenant AND f.kind = $1 AND f.field = $12 AND f.value = $13 AND f.id > $11
  AND ($2::text IS NULL OR coalesce(perigee_json_at(r.body, $2), 'null') = $3)
  AND ($4::text IS NULL OR coalesce(perigee_json_at(r.body, $4), 'null') = $5)
  AND ($6::text IS NULL OR coalesce(perigee_json_at(r.body, $6), 'null') = $7)
  AND ($8::text IS NULL OR coalesce(perigee_json_at(r.body, $8), 'null') = $9)
ORDER BY f.id
LIMIT $10;

-- name: record_list_sorted_ascending
-- scope: tenant
-- params: kind:text path1:text? value1:json? path2:text? value2:json? path3:text? value3:json? path4:text? value4:json?
--   limit:int after_id:text field:text after_key:text
-- purpose: a page in order of an indexed field, then id (index record_fields_value)
SELECT r.kind, r.id, r.version, r.updated_at, r.run, r.actor, r.body
FROM record_fields f JOIN records r ON r.tenant_id = $tenant AND r.kind = f.kind AND r.id = f.id
WHERE f.tenant_id = $tenant AND f.kind = $1 AND f.field = $12 AND (f.value, f.id) > ($13, $11)
  AND ($2::text IS NULL OR coalesce(perigee_json_at(r.body, $2), 'null') = $3)
  AND ($4::text IS NULL OR coalesce(perigee_json_at(r.body, $4), 'null') = $5)
  AND ($6::text IS NULL OR coalesce(perigee_json_at(r.body, $6), 'null') = $7)
  AND ($8::text IS NULL OR coalesce(perigee_json_at(r.body, $8), 'null') = $9)
ORDER BY f.value, f.id
LIMIT $10;

-- name: record_list_scanned_ascending
-- scope: tenant
-- params: kind:text path1:text? value1:json? path2:text? value2:json? path3:text? value3:json? path4:text? value4:json?
--   limit:int after_id:text sort_path:text after_key:text
-- purpose: a page in order of any field, then id: reads and sorts the whole kind
SELECT r.kind, r.id, r.version, r.updated_at, r.run, r.actor, r.body
FROM records r
WHERE r.tenant_id = $tenant AND r.kind = $1 AND (perigee_sort_key(perigee_json_at(r.body, $12)), r.id) > ($13, $11)
  AND ($2::text IS NULL OR coalesce(perigee_json_at(r.body, $2), 'null') = $3)
  AND ($4::text IS NULL OR coalesce(perigee_json_at(r.body, $4), 'null') = $5)
  AND ($6::text IS NULL OR coalesce(perigee_json_at(r.body, $6), 'null') = $7)
  AND ($8::text IS NULL OR coalesce(perigee_json_at(r.body, $8), 'null') = $9)
ORDER BY perigee_sort_key(perigee_json_at(r.body, $12)), r.id
LIMIT $10;

-- name: record_list_where_sorted_ascending
-- scope: tenant
-- params: kind:text path1:text? value1:json? path2:text? value2:json? path3:text? value3:json? path4:text? value4:json?
--   limit:int after_id:text field:text key:text sort_path:text after_key:text
-- purpose: a page in order of any field, then id, of the records whose indexed field has this sort key
SELECT r.kind, r.id, r.version, r.updated_at, r.run, r.actor, r.body
FROM record_fields f JOIN records r ON r.tenant_id = $tenant AND r.kind = f.kind AND r.id = f.id
WHERE f.tenant_id = $tenant AND f.kind = $1 AND f.field = $12 AND f.value = $13 AND (perigee_sort_key(perigee_json_at(r.body, $14)), r.id) > ($15, $11)
  AND ($2::text IS NULL OR coalesce(perigee_json_at(r.body, $2), 'null') = $3)
  AND ($4::text IS NULL OR coalesce(perigee_json_at(r.body, $4), 'null') = $5)
  AND ($6::text IS NULL OR coalesce(perigee_json_at(r.body, $6), 'null') = $7)
  AND ($8::text IS NULL OR coalesce(perigee_json_at(r.body, $8), 'null') = $9)
ORDER BY perigee_sort_key(perigee_json_at(r.body, $14)), r.id
LIMIT $10;

-- name: record_list_sorted_descending
-- scope: tenant
-- params: kind:text path1:text? value1:json? path2:text? value2:json? path3:text? value3:json? path4:text? value4:json?
--   limit:int after_id:text field:text after_key:text
-- purpose: a page in order of an indexed field, then id (index record_fields_value)
SELECT r.kind, r.id, r.version, r.updated_at, r.run, r.actor, r.body
FROM record_fields f JOIN records r ON r.tenant_id = $tenant AND r.kind = f.kind AND r.id = f.id
WHERE f.tenant_id = $tenant AND f.kind = $1 AND f.field = $12 AND (f.value, f.id) < ($13, $11)
  AND ($2::text IS NULL OR coalesce(perigee_json_at(r.body, $2), 'null') = $3)
  AND ($4::text IS NULL OR coalesce(perigee_json_at(r.body, $4), 'null') = $5)
  AND ($6::text IS NULL OR coalesce(perigee_json_at(r.body, $6), 'null') = $7)
  AND ($8::text IS NULL OR coalesce(perigee_json_at(r.body, $8), 'null') = $9)
ORDER BY f.value DESC, f.id DESC
LIMIT $10;

-- name: record_list_scanned_descending
-- scope: tenant
-- params: kind:text path1:text? value1:json? path2:text? value2:json? path3:text? value3:json? path4:text? value4:json?
--   limit:int after_id:text sort_path:text after_key:text
-- purpose: a page in order of any field, then id: reads and sorts the whole kind
SELECT r.kind, r.id, r.version, r.updated_at, r.run, r.actor, r.body
FROM records r
WHERE r.tenant_id = $tenant AND r.kind = $1 AND (perigee_sort_key(perigee_json_at(r.body, $12)), r.id) < ($13, $11)
  AND ($2::text IS NULL OR coalesce(perigee_json_at(r.body, $2), 'null') = $3)
  AND ($4::text IS NULL OR coalesce(perigee_json_at(r.body, $4), 'null') = $5)
  AND ($6::text IS NULL OR coalesce(perigee_json_at(r.body, $6), 'null') = $7)
  AND ($8::text IS NULL OR coalesce(perigee_json_at(r.body, $8), 'null') = $9)
ORDER BY perigee_sort_key(perigee_json_at(r.body, $12)) DESC, r.id DESC
LIMIT $10;

-- name: record_list_where_sorted_descending
-- scope: tenant
-- params: kind:text path1:text? value1:json? path2:text? value2:json? path3:text? value3:json? path4:text? value4:json?
--   limit:int after_id:text field:text key:text sort_path:text after_key:text
-- purpose: a page in order of any field, then id, of the records whose indexed field has this sort key
SELECT r.kind, r.id, r.version, r.updated_at, r.run, r.actor, r.body
FROM record_fields f JOIN records r ON r.tenant_id = $tenant AND r.kind = f.kind AND r.id = f.id
WHERE f.tenant_id = $tenant AND f.kind = $1 AND f.field = $12 AND f.value = $13 AND (perigee_sort_key(perigee_json_at(r.body, $14)), r.id) < ($15, $11)
  AND ($2::text IS NULL OR coalesce(perigee_json_at(r.body, $2), 'null') = $3)
  AND ($4::text IS NULL OR coalesce(perigee_json_at(r.body, $4), 'null') = $5)
  AND ($6::text IS NULL OR coalesce(perigee_json_at(r.body, $6), 'null') = $7)
  AND ($8::text IS NULL OR coalesce(perigee_json_at(r.body, $8), 'null') = $9)
ORDER BY perigee_sort_key(perigee_json_at(r.body, $14)) DESC, r.id DESC
LIMIT $10;

-- name: record_kinds
-- scope: tenant
-- params:
-- purpose: every kind of which there is a record, in order; one step in the key for each
WITH RECURSIVE steps (kind) AS (
  SELECT min(kind) FROM records WHERE tenant_id = $tenant
  UNION ALL
  SELECT (SELECT min(kind) FROM records WHERE tenant_id = $tenant AND kind > steps.kind) FROM steps WHERE steps.kind IS NOT NULL
)
SELECT kind FROM steps WHERE kind IS NOT NULL;
