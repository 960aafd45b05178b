//! Every SQL text of the program, one for both engines except where they differ.
//!
//! Each arrow between two statuses of a job is one text with `SET status = '…'` and `WHERE … status = '…'`; a test
//! compares them with the transition table of `job.rs`. Another test prepares every text on both engines.

/// A query, by name, in the words of each engine; empty for an engine that never runs it.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct Query {
    pub name: &'static str,
    pub sqlite: &'static str,
    pub postgres: &'static str,
}

macro_rules! queries {
    ($($(#[$doc:meta])* $name:ident => $sqlite:expr $(, $postgres:expr)?;)*) => {
        $($(#[$doc])* pub(super) const $name: Query =
            Query { name: stringify!($name), sqlite: $sqlite, postgres: queries!(@or $sqlite $(, $postgres)?) };)*
        /// Every query there is.
        pub const QUERIES: &[Query] = &[$($name),*];
    };
    (@or $both:expr) => { $both };
    (@or $sqlite:expr, $postgres:expr) => { $postgres };
}

macro_rules! dataset_columns {
    () => {
        "id, project, name, version, created_at, meta, blob, names_blob, names_sha256"
    };
}

macro_rules! model_columns {
    () => {
        "id, project, name, version, created_at, job_id, dataset_name, dataset_version, dataset_sha256, card, \
         size_bytes, blob, sha256, names_blob, names_sha256"
    };
}

macro_rules! job_columns {
    () => {
        "id, project, kind, status, cancel_requested, reason, model, dataset_id, dataset_name, dataset_version, \
         dataset_sha256, priority, created_at, started_at, finished_at, attempt, max_attempts, spec, spec_resolved, \
         estimate, metadata, fraction, progress, warnings, result, error, request_id, revision"
    };
}

macro_rules! webhook_columns {
    () => {
        "id, project, url, events, description, enabled, created_at"
    };
}

macro_rules! delivery_columns {
    () => {
        "id, project, holder, url, event, job_id, body, status, created_at, since, next_at, lease_until, attempts, step, \
         finished_at, last_status, last_error"
    };
}

/// Who hears of job `$1`, with what there is to tell of it.
macro_rules! listeners_of_job {
    ($holder:literal, $hooks:literal) => {
        concat!(
            "SELECT ",
            $holder,
            " AS holder, h.url, h.events, j.id, j.project, j.kind, j.status, j.reason, j.model, j.dataset_name, j.dataset_version, \
             j.attempt, j.fraction, j.result, j.error FROM jobs AS j JOIN ",
            $hooks,
            " WHERE j.id = $1"
        )
    };
}

/// Takes the next delivery due at `$1` until `$2`, at most `$3` at once for one address.
macro_rules! claim_delivery {
    ($lock:literal) => {
        concat!(
            "UPDATE webhook_deliveries SET lease_until = $2, attempts = attempts + 1, step = step + 1 WHERE status = 'pending' AND id = \
             (SELECT id FROM webhook_deliveries AS d WHERE status = 'pending' AND next_at <= $1 AND (lease_until IS NULL OR lease_until <= $1) \
             AND (SELECT COUNT(*) FROM webhook_deliveries AS o WHERE o.url = d.url AND o.lease_until > $1) < $3 ORDER BY next_at, id LIMIT 1",
            $lock,
            ") RETURNING ",
            delivery_columns!()
        )
    };
}

macro_rules! latest {
    ($columns:expr, $table:literal) => {
        concat!(
            "SELECT ",
            $columns,
            " FROM ",
            $table,
            " AS t WHERE project = $1 AND (created_at, id) < ($2, $3) \
             AND NOT EXISTS (SELECT 1 FROM ",
            $table,
            " AS n WHERE n.project = t.project AND n.name = t.name AND n.version > t.version) \
             ORDER BY created_at DESC, id DESC LIMIT $4"
        )
    };
}

macro_rules! version {
    ($columns:expr, $table:literal) => {
        concat!(
            "SELECT ",
            $columns,
            " FROM ",
            $table,
            " WHERE project = $1 AND name = $2 \
             AND (CAST($3 AS BIGINT) IS NULL OR version = $3) ORDER BY version DESC LIMIT 1"
        )
    };
}

macro_rules! claim {
    ($lock:literal) => {
        concat!(
            "UPDATE jobs SET status = 'running', claim = $1, owner = $2, lease_until = $3, started_at = $4, \
             attempt = attempt + 1, revision = revision + 1 WHERE status = 'queued' AND id = (SELECT id FROM jobs \
             WHERE status = 'queued' ORDER BY priority DESC, created_at, id LIMIT 1",
            $lock,
            ") RETURNING ",
            job_columns!()
        )
    };
}

macro_rules! claimed {
    ($lock:literal) => {
        concat!("SELECT ", job_columns!(), " FROM jobs WHERE id = $1 AND claim = $2 AND status = 'running'", $lock)
    };
}

/// Ends a claim: `$1` job, `$2` claim number.
macro_rules! end {
    ($changes:literal) => {
        concat!(
            "UPDATE jobs SET ",
            $changes,
            ", owner = NULL, lease_until = NULL, revision = revision + 1 \
             WHERE id = $1 AND claim = $2 AND status = 'running' RETURNING ",
            job_columns!()
        )
    };
}

/// Ends the claims whose lease ran out by `$1`, and those of owner `$2`.
macro_rules! rescue {
    ($changes:literal, $which:literal, $lock:literal) => {
        concat!(
            "UPDATE jobs SET ",
            $changes,
            ", owner = NULL, lease_until = NULL, revision = revision + 1 \
             WHERE status = 'running' AND id IN (SELECT id FROM jobs WHERE status = 'running' \
             AND (lease_until <= $1 OR owner = $2) AND ",
            $which,
            $lock,
            ") RETURNING id"
        )
    };
}

queries! {
    /// The clock leases live on.
    CLOCK => "", "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)";
    /// Whether commits survive a power cut.
    SETTINGS => "", "SELECT current_setting('fsync'), current_setting('synchronous_commit')";
    /// A write that changes nothing that matters.
    PING => "UPDATE counters SET last = last + 1 WHERE project = '' AND kind = 'ping' AND name = ''";
    /// The next number of a counter.
    NEXT => "INSERT INTO counters (project, kind, name, last) VALUES ($1, $2, $3, 1) \
             ON CONFLICT (project, kind, name) DO UPDATE SET last = counters.last + 1 RETURNING last";
    /// The next number of a claim.
    NEXT_CLAIM => "UPDATE counters SET last = last + 1 WHERE project = '' AND kind = 'claim' AND name = '' RETURNING last",
                  "SELECT nextval('claim_numbers')";

    ADD_DATASET => concat!("INSERT INTO datasets (", dataset_columns!(), ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)");
    DATASETS => latest!(dataset_columns!(), "datasets");
    DATASET => version!(dataset_columns!(), "datasets");
    DATASET_BY_ID => concat!("SELECT ", dataset_columns!(), " FROM datasets WHERE id = $1");
    DATASET_VERSIONS => "SELECT version FROM datasets WHERE project = $1 AND name = $2 ORDER BY version DESC";
    /// The row as it is until the end of the transaction: no deletion in between.
    PIN_DATASET => "SELECT id FROM datasets WHERE project = $1 AND name = $2 AND version = $3",
                   "SELECT id FROM datasets WHERE project = $1 AND name = $2 AND version = $3 FOR SHARE";
    /// The row as it is until the end of the transaction: no new job in between.
    LOCK_DATASET => "SELECT id FROM datasets WHERE project = $1 AND name = $2 AND version = $3",
                    "SELECT id FROM datasets WHERE project = $1 AND name = $2 AND version = $3 FOR UPDATE";
    DELETE_DATASET => "DELETE FROM datasets WHERE id = $1 AND NOT EXISTS \
                       (SELECT 1 FROM jobs WHERE dataset_id = $1 AND status IN ('queued', 'running'))";

    ENQUEUE => concat!(
        "INSERT INTO jobs (id, project, kind, status, model, dataset_id, dataset_name, dataset_version, dataset_sha256, priority, \
         created_at, max_attempts, spec, spec_resolved, estimate, metadata, progress, warnings, request_id) \
         VALUES ($1, $2, $3, 'queued', $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18) RETURNING ", job_columns!()
    );
    QUEUED_OF_PROJECT => "SELECT COUNT(*) FROM jobs WHERE project = $1 AND status = 'queued'";
    JOB => concat!("SELECT ", job_columns!(), " FROM jobs WHERE project = $1 AND id = $2");
    JOBS => concat!(
        "SELECT ", job_columns!(), " FROM jobs WHERE project = $1 AND (CAST($2 AS TEXT) IS NULL OR status = $2) \
         AND (CAST($3 AS BIGINT) IS NULL OR cancel_requested = $3) AND (CAST($4 AS TEXT) IS NULL OR dataset_name = $4) \
         AND (CAST($5 AS TEXT) IS NULL OR model = $5) AND (created_at, id) < ($6, $7) ORDER BY created_at DESC, id DESC LIMIT $8"
    );
    QUEUE_POSITION => "SELECT COUNT(*) FROM jobs AS ahead, jobs AS job WHERE job.id = $1 AND job.status = 'queued' AND ahead.status = 'queued' \
                       AND (ahead.priority > job.priority OR (ahead.priority = job.priority \
                       AND (ahead.created_at, ahead.id) < (job.created_at, job.id)))";
    QUEUE_COUNTS => "SELECT COALESCE(CAST(SUM(CASE WHEN status = 'queued' THEN 1 ELSE 0 END) AS BIGINT), 0), \
                     COALESCE(CAST(SUM(CASE WHEN status = 'running' THEN 1 ELSE 0 END) AS BIGINT), 0) \
                     FROM jobs WHERE status = 'queued' OR status = 'running'";
    CANCEL_QUEUED => concat!(
        "UPDATE jobs SET status = 'cancelled', reason = 'user', cancel_requested = 1, finished_at = $3, revision = revision + 1 \
         WHERE project = $1 AND id = $2 AND status = 'queued' RETURNING ", job_columns!()
    );
    ASK_CANCEL => concat!(
        "UPDATE jobs SET cancel_requested = 1, revision = revision + 1 \
         WHERE project = $1 AND id = $2 AND status = 'running' AND cancel_requested = 0 RETURNING ", job_columns!()
    );
    DELETE_JOB => "DELETE FROM jobs WHERE project = $1 AND id = $2 AND status IN ('succeeded', 'failed', 'cancelled')";

    CLAIM => claim!(""), claim!(" FOR UPDATE SKIP LOCKED");
    /// Proof of life. The fraction never falls, and nothing but success makes it 1.
    HEARTBEAT => "UPDATE jobs SET lease_until = $3, progress = $4, fraction = CASE WHEN fraction < $5 THEN $5 ELSE fraction END, \
                  revision = revision + CASE WHEN progress <> $4 OR fraction < $5 THEN 1 ELSE 0 END \
                  WHERE id = $1 AND claim = $2 AND status = 'running' RETURNING cancel_requested";
    /// The job of a claim, as it is until the end of the transaction.
    CLAIMED => claimed!(""), claimed!(" FOR UPDATE");
    SUCCEED => end!("status = 'succeeded', fraction = 1, finished_at = $3, result = $4, warnings = $5");
    FAIL => end!("status = 'failed', finished_at = $3, reason = $4, error = $5, warnings = $6");
    STOP => end!("status = 'cancelled', finished_at = $3, reason = 'user'");
    HAND_BACK => end!("status = 'queued', started_at = NULL, attempt = attempt - 1");
    RESCUE_CANCELLED => rescue!("status = 'cancelled', finished_at = $3, reason = 'user'", "cancel_requested = 1", ""),
                        rescue!("status = 'cancelled', finished_at = $3, reason = 'user'", "cancel_requested = 1", " FOR UPDATE SKIP LOCKED");
    RESCUE_FAILED => rescue!("status = 'failed', finished_at = $3, reason = 'attempts_exhausted', error = $4", "cancel_requested = 0 AND attempt >= max_attempts", ""),
                     rescue!("status = 'failed', finished_at = $3, reason = 'attempts_exhausted', error = $4", "cancel_requested = 0 AND attempt >= max_attempts", " FOR UPDATE SKIP LOCKED");
    RESCUE_QUEUED => rescue!("status = 'queued', started_at = NULL", "cancel_requested = 0 AND attempt < max_attempts", ""),
                     rescue!("status = 'queued', started_at = NULL", "cancel_requested = 0 AND attempt < max_attempts", " FOR UPDATE SKIP LOCKED");

    ADD_MODEL => concat!("INSERT INTO models (", model_columns!(), ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)");
    MODELS => latest!(model_columns!(), "models");
    MODEL => version!(model_columns!(), "models");
    MODEL_VERSIONS => "SELECT version FROM models WHERE project = $1 AND name = $2 ORDER BY version DESC";
    DELETE_MODEL => "DELETE FROM models WHERE project = $1 AND name = $2 AND version = $3";

    /// Every file a row refers to.
    BLOBS => "SELECT blob FROM datasets UNION SELECT names_blob FROM datasets WHERE names_blob IS NOT NULL \
              UNION SELECT blob FROM models UNION SELECT names_blob FROM models WHERE names_blob IS NOT NULL \
              UNION SELECT blob FROM checkpoints";
    /// Whether a row refers to a file.
    BLOB_IN_USE => "SELECT COUNT(*) FROM (SELECT 1 FROM datasets WHERE blob = $1 OR names_blob = $1 \
                    UNION ALL SELECT 1 FROM models WHERE blob = $1 OR names_blob = $1 \
                    UNION ALL SELECT 1 FROM checkpoints WHERE blob = $1) AS uses";

    /// A part whose commit was not heard of may be there already.
    ADD_CHECKPOINT => "INSERT INTO checkpoints (job_id, claim, number, created_at, blob, sha256, size_bytes) VALUES ($1, $2, $3, $4, $5, $6, $7) \
                       ON CONFLICT (job_id, claim, number) DO NOTHING";
    CHECKPOINTS => "SELECT blob, sha256 FROM checkpoints WHERE job_id = $1 ORDER BY claim, number";
    FORGET_CHECKPOINTS => "DELETE FROM checkpoints WHERE job_id = $1 RETURNING blob";
    /// Parts of jobs that have ended.
    ORPHANED_CHECKPOINTS => "SELECT COUNT(*) FROM checkpoints WHERE NOT EXISTS \
                             (SELECT 1 FROM jobs WHERE jobs.id = job_id AND status IN ('queued', 'running'))";
    SWEEP_CHECKPOINTS => "DELETE FROM checkpoints WHERE NOT EXISTS \
                          (SELECT 1 FROM jobs WHERE jobs.id = job_id AND status IN ('queued', 'running'))";

    ADD_WEBHOOK => concat!("INSERT INTO webhooks (", webhook_columns!(), ") VALUES ($1, $2, $3, $4, $5, $6, $7)");
    COUNT_WEBHOOKS => "SELECT COUNT(*) FROM webhooks WHERE project = $1";
    WEBHOOKS => concat!("SELECT ", webhook_columns!(), " FROM webhooks WHERE project = $1 AND (created_at, id) < ($2, $3) ORDER BY created_at DESC, id DESC LIMIT $4");
    WEBHOOK => concat!("SELECT ", webhook_columns!(), " FROM webhooks WHERE project = $1 AND id = $2");
    CHANGE_WEBHOOK => concat!(
        "UPDATE webhooks SET url = COALESCE($3, url), events = COALESCE($4, events), description = COALESCE($5, description), \
         enabled = COALESCE($6, enabled) WHERE project = $1 AND id = $2 RETURNING ", webhook_columns!()
    );
    DISABLE_WEBHOOK => "UPDATE webhooks SET enabled = 0 WHERE id = $1";
    DELETE_WEBHOOK => "DELETE FROM webhooks WHERE project = $1 AND id = $2";
    /// The first secret of a holder.
    KEEP_SECRET => "INSERT INTO webhook_secrets (project, holder, secret) VALUES ($1, $2, $3) ON CONFLICT (project, holder) DO NOTHING";
    /// A new secret; the one before it is good until `$4`.
    ROTATE_SECRET => "INSERT INTO webhook_secrets (project, holder, secret) VALUES ($1, $2, $3) ON CONFLICT (project, holder) \
                      DO UPDATE SET old_secret = webhook_secrets.secret, old_until = $4, secret = excluded.secret";
    SECRETS => "SELECT secret, CASE WHEN old_until > $3 THEN old_secret END FROM webhook_secrets WHERE project = $1 AND holder = $2";
    DELETE_SECRET => "DELETE FROM webhook_secrets WHERE project = $1 AND holder = $2";
    HOOK_JOB => "INSERT INTO job_webhooks (job_id, url, events) VALUES ($1, $2, $3)";
    LISTENERS_OF_JOB => concat!(
        listeners_of_job!("h.id", "webhooks AS h ON h.project = j.project AND h.enabled = 1"), " UNION ALL ",
        listeners_of_job!("'jobs'", "job_webhooks AS h ON h.job_id = j.id")
    );
    LISTENERS_OF_PROJECT => "SELECT id, url, events FROM webhooks WHERE project = $1 AND enabled = 1";
    LAST_PROGRESS => "SELECT COALESCE(MAX(created_at), 0) FROM webhook_deliveries WHERE job_id = $1 AND event = 'job.progress'";

    ADD_DELIVERY => "INSERT INTO webhook_deliveries (id, project, holder, url, event, job_id, body, created_at, since, next_at) \
                     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8, $8)";
    DELIVERY_DUE => "SELECT id FROM webhook_deliveries WHERE status = 'pending' AND next_at <= $1 AND (lease_until IS NULL OR lease_until <= $1) LIMIT 1";
    CLAIM_DELIVERY => claim_delivery!(""), claim_delivery!(" FOR UPDATE SKIP LOCKED");
    /// What became of an attempt; nothing when the attempt is not the present one any more.
    SETTLE_DELIVERY => "UPDATE webhook_deliveries SET status = $3, finished_at = $4, next_at = $5, last_status = $6, last_error = $7, lease_until = NULL \
                        WHERE id = $1 AND attempts = $2 AND status = 'pending' AND lease_until IS NOT NULL";
    DELIVERIES => concat!(
        "SELECT ", delivery_columns!(), " FROM webhook_deliveries WHERE project = $1 AND holder = $2 AND (CAST($3 AS TEXT) IS NULL OR status = $3) \
         AND (CAST($4 AS TEXT) IS NULL OR job_id = $4) AND (created_at, id) < ($5, $6) ORDER BY created_at DESC, id DESC LIMIT $7"
    );
    DELIVERY => concat!("SELECT ", delivery_columns!(), " FROM webhook_deliveries WHERE project = $1 AND holder = $2 AND id = $3");
    /// Begins a new series of attempts, unless one is under way at this moment.
    RESEND_DELIVERY => concat!(
        "UPDATE webhook_deliveries SET status = 'pending', since = $4, next_at = $4, step = 0, finished_at = NULL, lease_until = NULL, \
         url = COALESCE((SELECT w.url FROM webhooks AS w WHERE w.id = webhook_deliveries.holder), url) \
         WHERE project = $1 AND holder = $2 AND id = $3 AND (lease_until IS NULL OR lease_until <= $4) RETURNING ", delivery_columns!()
    );
    /// What waits for an endpoint goes to its new address.
    MOVE_DELIVERIES => "UPDATE webhook_deliveries SET url = $3 WHERE project = $1 AND holder = $2 AND status = 'pending'";
    /// Nothing more is sent to an endpoint.
    STOP_DELIVERIES => "UPDATE webhook_deliveries SET status = 'failed', finished_at = $2, last_error = 'the endpoint was disabled', lease_until = NULL \
                        WHERE holder = $1 AND status = 'pending'";
    DELETE_DELIVERIES => "DELETE FROM webhook_deliveries WHERE project = $1 AND holder = $2";
    PRUNE_DELIVERIES => "DELETE FROM webhook_deliveries WHERE id IN (SELECT id FROM webhook_deliveries WHERE finished_at <= $1 LIMIT 1000)";
}
