-- What a volume or snapshot grew from, and the few rows that somebody looks through again and again.
ALTER TABLE rows ADD COLUMN source  BLOB;
ALTER TABLE rows ADD COLUMN watched INTEGER NOT NULL DEFAULT 0;
UPDATE rows SET source = unhex(doc ->> 'parent', '-')
    WHERE kind IN ('volume', 'snapshot') AND doc ->> 'parent' IS NOT NULL;
UPDATE rows SET watched = 1 WHERE kind = 'snapshot' AND doc ->> 'bound';
CREATE INDEX rows_by_source ON rows (kind, source, seq) WHERE source IS NOT NULL;
CREATE INDEX rows_watched   ON rows (kind, seq) WHERE watched;
