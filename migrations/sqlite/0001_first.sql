-- Times are microseconds since 1970, flags 0 or 1, JSON is text; the same tables and columns as on PostgreSQL.

-- Numbers that never repeat: versions of a name (kind 'dataset', 'model') and claims (kind 'claim').
CREATE TABLE counters (
    project TEXT NOT NULL,
    kind    TEXT NOT NULL,
    name    TEXT NOT NULL,
    last    INTEGER NOT NULL,
    PRIMARY KEY (project, kind, name)
) STRICT;

INSERT INTO counters (project, kind, name, last) VALUES ('', 'claim', '', 0);
INSERT INTO counters (project, kind, name, last) VALUES ('', 'ping', '', 0);

CREATE TABLE datasets (
    id           TEXT NOT NULL PRIMARY KEY,
    project      TEXT NOT NULL,
    name         TEXT NOT NULL,
    version      INTEGER NOT NULL,
    created_at   INTEGER NOT NULL,
    meta         TEXT NOT NULL,
    blob         TEXT NOT NULL,
    names_blob   TEXT,
    names_sha256 TEXT,
    UNIQUE (project, name, version)
) STRICT;

CREATE INDEX datasets_newest ON datasets (project, created_at DESC, id DESC);

CREATE TABLE jobs (
    id               TEXT NOT NULL PRIMARY KEY,
    project          TEXT NOT NULL,
    kind             TEXT NOT NULL,
    status           TEXT NOT NULL CHECK (status IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')),
    cancel_requested INTEGER NOT NULL DEFAULT 0 CHECK (cancel_requested IN (0, 1)),
    reason           TEXT,
    model            TEXT NOT NULL,
    dataset_id       TEXT NOT NULL,
    dataset_name     TEXT NOT NULL,
    dataset_version  INTEGER NOT NULL,
    dataset_sha256   TEXT NOT NULL,
    priority         INTEGER NOT NULL,
    created_at       INTEGER NOT NULL,
    started_at       INTEGER,
    finished_at      INTEGER,
    attempt          INTEGER NOT NULL DEFAULT 0,
    max_attempts     INTEGER NOT NULL,
    spec             TEXT NOT NULL,
    spec_resolved    TEXT NOT NULL,
    estimate         TEXT NOT NULL,
    metadata         TEXT NOT NULL,
    fraction         REAL NOT NULL DEFAULT 0,
    progress         TEXT NOT NULL,
    warnings         TEXT NOT NULL,
    result           TEXT,
    error            TEXT,
    request_id       TEXT NOT NULL,
    revision         INTEGER NOT NULL DEFAULT 1,
    claim            INTEGER NOT NULL DEFAULT 0,
    owner            TEXT,
    lease_until      INTEGER,
    CHECK ((status = 'running') = (owner IS NOT NULL AND lease_until IS NOT NULL))
) STRICT;

CREATE INDEX jobs_newest ON jobs (project, created_at DESC, id DESC);
CREATE INDEX jobs_queue ON jobs (priority DESC, created_at, id) WHERE status = 'queued';
CREATE INDEX jobs_running ON jobs (lease_until) WHERE status = 'running';
CREATE INDEX jobs_alive ON jobs (dataset_id) WHERE status IN ('queued', 'running');
CREATE INDEX jobs_status ON jobs (project, status, created_at DESC, id DESC);

CREATE TABLE models (
    id              TEXT NOT NULL PRIMARY KEY,
    project         TEXT NOT NULL,
    name            TEXT NOT NULL,
    version         INTEGER NOT NULL,
    created_at      INTEGER NOT NULL,
    job_id          TEXT NOT NULL UNIQUE,
    dataset_name    TEXT NOT NULL,
    dataset_version INTEGER NOT NULL,
    dataset_sha256  TEXT NOT NULL,
    card            TEXT NOT NULL,
    size_bytes      INTEGER NOT NULL,
    blob            TEXT NOT NULL,
    sha256          TEXT NOT NULL,
    names_blob      TEXT,
    names_sha256    TEXT,
    UNIQUE (project, name, version)
) STRICT;

CREATE INDEX models_newest ON models (project, created_at DESC, id DESC);
