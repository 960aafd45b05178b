-- What a running or queued job has done so far, in parts; the files hold the numbers. Parts are ordered by claim, then number.
CREATE TABLE checkpoints (
    job_id     TEXT NOT NULL,
    claim      INTEGER NOT NULL,
    number     INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    blob       TEXT NOT NULL,
    sha256     TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    PRIMARY KEY (job_id, claim, number)
) STRICT;
