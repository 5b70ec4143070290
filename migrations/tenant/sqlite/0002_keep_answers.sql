-- What a POST with an Idempotency-Key answered; status 0: it started a run, or is under way.
ALTER TABLE idempotency ADD COLUMN status INTEGER NOT NULL DEFAULT 0;
ALTER TABLE idempotency ADD COLUMN answer TEXT;
