-- Who may do what. Of a key only the SHA-256 is kept; a revoked key stays, so that it is known that keys were once needed.
CREATE TABLE keys (
    id           TEXT NOT NULL PRIMARY KEY,
    project      TEXT NOT NULL,
    name         TEXT NOT NULL,
    scopes       TEXT NOT NULL,
    sha256       TEXT NOT NULL,
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER,
    last_used_at INTEGER,
    revoked_at   INTEGER
) STRICT;

CREATE INDEX keys_newest ON keys (project, created_at DESC, id DESC);

-- What all servers of one store share and nobody else knows.
CREATE TABLE secrets (
    name  TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;

-- Bytes of a data set's files, for the sum a project may have; the sums are read from the indexes alone.
ALTER TABLE datasets ADD COLUMN stored_bytes INTEGER NOT NULL DEFAULT 0;
UPDATE datasets SET stored_bytes = CAST(json_extract(meta, '$.stored_bytes') AS INTEGER);
CREATE INDEX datasets_bytes ON datasets (project, stored_bytes);
CREATE INDEX models_bytes ON models (project, size_bytes);
