-- Webhooks: endpoints, secrets, the hooks named in jobs, and the outbox of deliveries.

CREATE TABLE webhooks (
    id          TEXT NOT NULL PRIMARY KEY,
    project     TEXT NOT NULL,
    url         TEXT NOT NULL,
    events      TEXT NOT NULL,
    description TEXT NOT NULL,
    enabled     INTEGER NOT NULL CHECK (enabled IN (0, 1)),
    created_at  INTEGER NOT NULL
) STRICT;

CREATE INDEX webhooks_newest ON webhooks (project, created_at DESC, id DESC);

-- The holder is an endpoint's id, or the word 'jobs' for all hooks that jobs of the project name. The old secret signs too until its time.
CREATE TABLE webhook_secrets (
    project    TEXT NOT NULL,
    holder     TEXT NOT NULL,
    secret     TEXT NOT NULL,
    old_secret TEXT,
    old_until  INTEGER,
    PRIMARY KEY (project, holder)
) STRICT;

CREATE TABLE job_webhooks (
    job_id TEXT NOT NULL PRIMARY KEY REFERENCES jobs (id) ON DELETE CASCADE,
    url    TEXT NOT NULL,
    events TEXT NOT NULL
) STRICT;

-- attempts never falls: it is the fence of a claim. step counts the attempts of the series that began at since.
CREATE TABLE webhook_deliveries (
    id          TEXT NOT NULL PRIMARY KEY,
    project     TEXT NOT NULL,
    holder      TEXT NOT NULL,
    url         TEXT NOT NULL,
    event       TEXT NOT NULL,
    job_id      TEXT,
    body        TEXT NOT NULL,
    status      TEXT NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'delivered', 'failed')),
    created_at  INTEGER NOT NULL,
    since       INTEGER NOT NULL,
    next_at     INTEGER NOT NULL,
    lease_until INTEGER,
    attempts    INTEGER NOT NULL DEFAULT 0,
    step        INTEGER NOT NULL DEFAULT 0,
    finished_at INTEGER,
    last_status INTEGER,
    last_error  TEXT
) STRICT;

CREATE INDEX webhook_deliveries_due ON webhook_deliveries (next_at, id, url, lease_until) WHERE status = 'pending';
CREATE INDEX webhook_deliveries_sending ON webhook_deliveries (lease_until, url) WHERE lease_until IS NOT NULL;
CREATE INDEX webhook_deliveries_newest ON webhook_deliveries (holder, project, created_at DESC, id DESC);
CREATE INDEX webhook_deliveries_ended ON webhook_deliveries (finished_at) WHERE finished_at IS NOT NULL;
CREATE INDEX webhook_deliveries_of_job ON webhook_deliveries (job_id, created_at) WHERE job_id IS NOT NULL;
