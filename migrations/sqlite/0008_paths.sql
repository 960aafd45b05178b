-- The points of a model's path, in a file of their own; and models promoted from them, of which a job may have many.
CREATE TABLE models_next (
    id              TEXT NOT NULL PRIMARY KEY,
    project         TEXT NOT NULL,
    name            TEXT NOT NULL,
    version         INTEGER NOT NULL,
    created_at      INTEGER NOT NULL,
    job_id          TEXT NOT NULL,
    dataset_name    TEXT NOT NULL,
    dataset_version INTEGER NOT NULL,
    dataset_sha256  TEXT NOT NULL,
    card            TEXT NOT NULL,
    size_bytes      INTEGER NOT NULL,
    blob            TEXT NOT NULL,
    sha256          TEXT NOT NULL,
    names_blob      TEXT,
    names_sha256    TEXT,
    path_blob       TEXT,
    path_sha256     TEXT,
    path_bytes      INTEGER NOT NULL DEFAULT 0,
    promoted        INTEGER NOT NULL DEFAULT 0 CHECK (promoted IN (0, 1)),
    UNIQUE (project, name, version)
) STRICT;

INSERT INTO models_next (id, project, name, version, created_at, job_id, dataset_name, dataset_version, dataset_sha256, card, size_bytes,
    blob, sha256, names_blob, names_sha256)
SELECT id, project, name, version, created_at, job_id, dataset_name, dataset_version, dataset_sha256, card, size_bytes,
    blob, sha256, names_blob, names_sha256 FROM models;

DROP TABLE models;
ALTER TABLE models_next RENAME TO models;

CREATE UNIQUE INDEX models_of_jobs ON models (job_id) WHERE promoted = 0;
CREATE INDEX models_newest ON models (project, created_at DESC, id DESC);
CREATE INDEX models_bytes ON models (project, size_bytes, path_bytes);
