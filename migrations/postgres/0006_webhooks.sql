-- Webhooks: endpoints, secrets, the hooks named in jobs, and the outbox of deliveries.

CREATE TABLE webhooks (
    id          TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    project     TEXT COLLATE "C" NOT NULL,
    url         TEXT COLLATE "C" NOT NULL,
    events      TEXT COLLATE "C" NOT NULL,
    description TEXT COLLATE "C" NOT NULL,
    enabled     BIGINT NOT NULL CHECK (enabled IN (0, 1)),
    created_at  BIGINT NOT NULL
);

CREATE INDEX webhooks_newest ON webhooks (project, created_at DESC, id DESC);

-- The holder is an endpoint's id, or the word 'jobs' for all hooks that jobs of the project name. The old secret signs too until its time.
CREATE TABLE webhook_secrets (
    project    TEXT COLLATE "C" NOT NULL,
    holder     TEXT COLLATE "C" NOT NULL,
    secret     TEXT COLLATE "C" NOT NULL,
    old_secret TEXT COLLATE "C",
    old_until  BIGINT,
    PRIMARY KEY (project, holder)
);

CREATE TABLE job_webhooks (
    job_id TEXT COLLATE "C" NOT NULL PRIMARY KEY REFERENCES jobs (id) ON DELETE CASCADE,
    url    TEXT COLLATE "C" NOT NULL,
    events TEXT COLLATE "C" NOT NULL
);

-- attempts never falls: it is the fence of a claim. step counts the attempts of the series that began at since.
CREATE TABLE webhook_deliveries (
    id          TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    project     TEXT COLLATE "C" NOT NULL,
    holder      TEXT COLLATE "C" NOT NULL,
    url         TEXT COLLATE "C" NOT NULL,
    event       TEXT COLLATE "C" NOT NULL,
    job_id      TEXT COLLATE "C",
    body        TEXT COLLATE "C" NOT NULL,
    status      TEXT COLLATE "C" NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'delivered', 'failed')),
    created_at  BIGINT NOT NULL,
    since       BIGINT NOT NULL,
    next_at     BIGINT NOT NULL,
    lease_until BIGINT,
    attempts    BIGINT NOT NULL DEFAULT 0,
    step        BIGINT NOT NULL DEFAULT 0,
    finished_at BIGINT,
    last_status BIGINT,
    last_error  TEXT COLLATE "C"
);

CREATE INDEX webhook_deliveries_due ON webhook_deliveries (next_at, id, url, lease_until) WHERE status = 'pending';
CREATE INDEX webhook_deliveries_sending ON webhook_deliveries (lease_until, url) WHERE lease_until IS NOT NULL;
CREATE INDEX webhook_deliveries_newest ON webhook_deliveries (holder, project, created_at DESC, id DESC);
CREATE INDEX webhook_deliveries_ended ON webhook_deliveries (finished_at) WHERE finished_at IS NOT NULL;
CREATE INDEX webhook_deliveries_of_job ON webhook_deliveries (job_id, created_at) WHERE job_id IS NOT NULL;
