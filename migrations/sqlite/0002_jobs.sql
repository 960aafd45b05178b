-- Jobs that wait, are tried again, take memory and take turns; and the answers kept under a client's Idempotency-Key.

-- Earliest start of the next attempt; latest first start, forgotten once there was one; bytes the fit may take; the job this one tries again.
ALTER TABLE jobs ADD COLUMN not_before INTEGER NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN start_deadline INTEGER;
ALTER TABLE jobs ADD COLUMN memory_bytes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN retry_of TEXT;

DROP INDEX jobs_queue;
CREATE INDEX jobs_queue ON jobs (project, priority DESC, created_at, id) WHERE status = 'queued';
CREATE INDEX jobs_deadline ON jobs (start_deadline) WHERE status = 'queued' AND start_deadline IS NOT NULL;

-- The number of the last claim of each project: who has waited longest is next.
CREATE TABLE turns (
    project TEXT NOT NULL PRIMARY KEY,
    last    INTEGER NOT NULL
) STRICT;

-- holder: who sent the key, where keys of the API exist; fingerprint: of what was asked.
CREATE TABLE idempotency_keys (
    project     TEXT NOT NULL,
    holder      TEXT NOT NULL,
    route       TEXT NOT NULL,
    key         TEXT NOT NULL,
    created_at  INTEGER NOT NULL,
    fingerprint TEXT NOT NULL,
    status      INTEGER NOT NULL,
    location    TEXT NOT NULL,
    body        TEXT NOT NULL,
    PRIMARY KEY (project, holder, route, key)
) STRICT;

CREATE INDEX idempotency_keys_live ON idempotency_keys (project, created_at);
CREATE INDEX idempotency_keys_age ON idempotency_keys (created_at);
