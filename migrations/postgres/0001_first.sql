-- Times are microseconds since 1970, flags 0 or 1, JSON is text; the same tables and columns as on SQLite. Text sorts by its bytes, as there.

-- Numbers that never repeat: versions of a name (kind 'dataset', 'model').
CREATE TABLE counters (
    project TEXT COLLATE "C" NOT NULL,
    kind    TEXT COLLATE "C" NOT NULL,
    name    TEXT COLLATE "C" NOT NULL,
    last    BIGINT NOT NULL,
    PRIMARY KEY (project, kind, name)
);

INSERT INTO counters (project, kind, name, last) VALUES ('', 'ping', '', 0);

-- Numbers of claims; a sequence, so that claims do not wait for each other.
CREATE SEQUENCE claim_numbers;

CREATE TABLE datasets (
    id           TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    project      TEXT COLLATE "C" NOT NULL,
    name         TEXT COLLATE "C" NOT NULL,
    version      BIGINT NOT NULL,
    created_at   BIGINT NOT NULL,
    meta         TEXT COLLATE "C" NOT NULL,
    blob         TEXT COLLATE "C" NOT NULL,
    names_blob   TEXT COLLATE "C",
    names_sha256 TEXT COLLATE "C",
    UNIQUE (project, name, version)
);

CREATE INDEX datasets_newest ON datasets (project, created_at DESC, id DESC);

CREATE TABLE jobs (
    id               TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    project          TEXT COLLATE "C" NOT NULL,
    kind             TEXT COLLATE "C" NOT NULL,
    status           TEXT COLLATE "C" NOT NULL CHECK (status IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')),
    cancel_requested BIGINT NOT NULL DEFAULT 0 CHECK (cancel_requested IN (0, 1)),
    reason           TEXT COLLATE "C",
    model            TEXT COLLATE "C" NOT NULL,
    dataset_id       TEXT COLLATE "C" NOT NULL,
    dataset_name     TEXT COLLATE "C" NOT NULL,
    dataset_version  BIGINT NOT NULL,
    dataset_sha256   TEXT COLLATE "C" NOT NULL,
    priority         BIGINT NOT NULL,
    created_at       BIGINT NOT NULL,
    started_at       BIGINT,
    finished_at      BIGINT,
    attempt          BIGINT NOT NULL DEFAULT 0,
    max_attempts     BIGINT NOT NULL,
    spec             TEXT COLLATE "C" NOT NULL,
    spec_resolved    TEXT COLLATE "C" NOT NULL,
    estimate         TEXT COLLATE "C" NOT NULL,
    metadata         TEXT COLLATE "C" NOT NULL,
    fraction         DOUBLE PRECISION NOT NULL DEFAULT 0,
    progress         TEXT COLLATE "C" NOT NULL,
    warnings         TEXT COLLATE "C" NOT NULL,
    result           TEXT COLLATE "C",
    error            TEXT COLLATE "C",
    request_id       TEXT COLLATE "C" NOT NULL,
    revision         BIGINT NOT NULL DEFAULT 1,
    claim            BIGINT NOT NULL DEFAULT 0,
    owner            TEXT COLLATE "C",
    lease_until      BIGINT,
    CHECK ((status = 'running') = (owner IS NOT NULL AND lease_until IS NOT NULL))
);

CREATE INDEX jobs_newest ON jobs (project, created_at DESC, id DESC);
CREATE INDEX jobs_queue ON jobs (priority DESC, created_at, id) WHERE status = 'queued';
CREATE INDEX jobs_running ON jobs (lease_until) WHERE status = 'running';
CREATE INDEX jobs_alive ON jobs (dataset_id) WHERE status IN ('queued', 'running');
CREATE INDEX jobs_status ON jobs (project, status, created_at DESC, id DESC);

CREATE TABLE models (
    id              TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    project         TEXT COLLATE "C" NOT NULL,
    name            TEXT COLLATE "C" NOT NULL,
    version         BIGINT NOT NULL,
    created_at      BIGINT NOT NULL,
    job_id          TEXT COLLATE "C" NOT NULL UNIQUE,
    dataset_name    TEXT COLLATE "C" NOT NULL,
    dataset_version BIGINT NOT NULL,
    dataset_sha256  TEXT COLLATE "C" NOT NULL,
    card            TEXT COLLATE "C" NOT NULL,
    size_bytes      BIGINT NOT NULL,
    blob            TEXT COLLATE "C" NOT NULL,
    sha256          TEXT COLLATE "C" NOT NULL,
    names_blob      TEXT COLLATE "C",
    names_sha256    TEXT COLLATE "C",
    UNIQUE (project, name, version)
);

CREATE INDEX models_newest ON models (project, created_at DESC, id DESC);
