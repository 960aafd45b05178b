-- What happened to each job, in order.

-- The number of a job's last event, and when (and at which revision) its progress was last told.
ALTER TABLE jobs ADD COLUMN last_event    INTEGER NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN told_at       INTEGER NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN told_revision INTEGER NOT NULL DEFAULT 0;

-- The order over all jobs is (epoch, position). Here there is one writer, positions are given in the order of the
-- commits, and the epoch is always 0; on PostgreSQL it is the number of the transaction.
CREATE TABLE events (
    position   INTEGER PRIMARY KEY AUTOINCREMENT,
    epoch      INTEGER NOT NULL DEFAULT 0,
    id         TEXT NOT NULL,
    project    TEXT NOT NULL,
    job_id     TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    seq        INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    level      TEXT NOT NULL CHECK (level IN ('info', 'warn', 'error')),
    type       TEXT NOT NULL CHECK (type IN ('status', 'progress', 'metric', 'log', 'warning', 'checkpoint')),
    message    TEXT NOT NULL,
    data       TEXT NOT NULL,
    UNIQUE (job_id, seq)
) STRICT;

CREATE INDEX events_feed ON events (project, epoch, position);
