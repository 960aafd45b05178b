-- What a running or queued job has done so far, in parts; the files hold the numbers. Parts are ordered by claim, then number.
CREATE TABLE checkpoints (
    job_id     TEXT COLLATE "C" NOT NULL,
    claim      BIGINT NOT NULL,
    number     BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    blob       TEXT COLLATE "C" NOT NULL,
    sha256     TEXT COLLATE "C" NOT NULL,
    size_bytes BIGINT NOT NULL,
    PRIMARY KEY (job_id, claim, number)
);
