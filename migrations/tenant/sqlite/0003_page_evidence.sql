-- The order of the ledger, with a place for what has no time: pages go on behind a position in it.
DROP INDEX evidence_of_deal;
CREATE INDEX evidence_of_deal ON evidence (deal, coalesce(said_at, ''), source, start_at, id);
