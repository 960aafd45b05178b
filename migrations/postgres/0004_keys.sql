-- Who may do what. Of a key only the SHA-256 is kept; a revoked key stays, so that it is known that keys were once needed.
CREATE TABLE keys (
    id           TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    project      TEXT COLLATE "C" NOT NULL,
    name         TEXT COLLATE "C" NOT NULL,
    scopes       TEXT COLLATE "C" NOT NULL,
    sha256       TEXT COLLATE "C" NOT NULL,
    created_at   BIGINT NOT NULL,
    expires_at   BIGINT,
    last_used_at BIGINT,
    revoked_at   BIGINT
);

CREATE INDEX keys_newest ON keys (project, created_at DESC, id DESC);

-- What all servers of one store share and nobody else knows.
CREATE TABLE secrets (
    name  TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    value TEXT COLLATE "C" NOT NULL
);

-- Bytes of a data set's files, for the sum a project may have; the sums are read from the indexes alone.
ALTER TABLE datasets ADD COLUMN stored_bytes BIGINT NOT NULL DEFAULT 0;
UPDATE datasets SET stored_bytes = CAST(CAST(meta AS JSON) ->> 'stored_bytes' AS BIGINT);
CREATE INDEX datasets_bytes ON datasets (project, stored_bytes);
CREATE INDEX models_bytes ON models (project, size_bytes);
