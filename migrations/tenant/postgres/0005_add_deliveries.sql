-- What this file is for stands in docs/internals/production.md, section 5.
SELECT 1;
