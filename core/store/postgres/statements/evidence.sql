-- The evidence ledger: rows are added, never changed; the id is made from the content.

-- name: evidence_insert
-- scope: tenant
-- params: id:text deal:text playbook:text dimension:text claim:text polarity:int quote:text source:text start_at:int end_at:int speaker:text? side:text
--   said_at:text? extractor:text confidence_bp:int detail:json? run:text? recorded_at:int
-- purpose: add one item; changes no row when it is there already
INSERT INTO evidence (tenant_id, id, deal, playbook, dimension, claim, polarity, quote, source, start_at, end_at, speaker, side, said_at, extractor,
                      confidence_bp, detail, run, recorded_at)
VALUES ($tenant, $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)
ON CONFLICT DO NOTHING;

-- name: evidence_exists
-- scope: tenant
-- params: id:text
-- purpose: a row when the item is there
SELECT 1::bigint FROM evidence
WHERE tenant_id = $tenant AND id = $1;

-- name: evidence_list
-- scope: tenant
-- params: deal:text playbook:text? dimension:text? limit:int
-- purpose: the items of a deal in the order in which they were said (index evidence_of_deal)
SELECT id, deal, playbook, dimension, claim, polarity, quote, source, start_at, end_at, speaker, side, said_at, extractor, confidence_bp, detail, run, recorded_at
FROM evidence
WHERE tenant_id = $tenant AND deal = $1 AND ($2::text IS NULL OR playbook = $2) AND ($3::text IS NULL OR dimension = $3)
ORDER BY coalesce(said_at, ''), source, start_at, id
LIMIT $4;

-- name: evidence_page
-- scope: tenant
-- params: deal:text playbook:text? dimension:text? limit:int after_said_at:text? after_source:text? after_start:int after_id:text?
-- purpose: the same in pages: what comes behind the position, from the beginning without one (after_id null); what has no time comes first
SELECT id, deal, playbook, dimension, claim, polarity, quote, source, start_at, end_at, speaker, side, said_at, extractor, confidence_bp, detail, run, recorded_at
FROM evidence
WHERE tenant_id = $tenant AND deal = $1 AND ($2::text IS NULL OR playbook = $2) AND ($3::text IS NULL OR dimension = $3)
  AND ($8::text IS NULL OR (coalesce(said_at, ''), source, start_at, id) > ($5::text, $6::text, $7::bigint, $8::text))
ORDER BY coalesce(said_at, ''), source, start_at, id
LIMIT $4;
