-- The points of a model's path, in a file of their own; and models promoted from them, of which a job may have many.
ALTER TABLE models ADD COLUMN path_blob TEXT COLLATE "C";
ALTER TABLE models ADD COLUMN path_sha256 TEXT COLLATE "C";
ALTER TABLE models ADD COLUMN path_bytes BIGINT NOT NULL DEFAULT 0;
ALTER TABLE models ADD COLUMN promoted BIGINT NOT NULL DEFAULT 0 CHECK (promoted IN (0, 1));

ALTER TABLE models DROP CONSTRAINT models_job_id_key;
CREATE UNIQUE INDEX models_of_jobs ON models (job_id) WHERE promoted = 0;
DROP INDEX models_bytes;
CREATE INDEX models_bytes ON models (project, size_bytes, path_bytes);
