//! Every SQL text of the program, one for both engines except where they differ.
//!
//! Each arrow between two statuses of a job is one text with `SET status = '…'` and `WHERE … status = '…'`, which also counts
//! the event that tells of it (not in a rescue). Tests compare them with the table of `job.rs` and prepare all on both engines.

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

queries! {
    /// The clock leases live on.
    CLOCK => "", "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)";
    /// Whether commits survive a power cut.
    SETTINGS => "", "SELECT current_setting('fsync'), current_setting('synchronous_commit')";
    /// Tells the other processes.
    NOTIFY => "", "SELECT pg_notify($1, $2)";
    /// A write that changes nothing that matters.
    PING => "UPDATE counters SET last = last + 1 WHERE project = '' AND kind = 'ping' AND name = ''";
    /// The next number of a counter.
    NEXT => "INSERT INTO counters (project, kind, name, last) VALUES ($1, $2, $3, 1) \
             ON CONFLICT (project, kind, name) DO UPDATE SET last = counters.last + 1 RETURNING last";
    /// The next number of a claim.
    NEXT_CLAIM => "UPDATE counters SET last = last + 1 WHERE project = '' AND kind = 'claim' AND name = '' RETURNING last",
                  "SELECT nextval('claim_numbers')";

    ADD_DATASET => concat!("INSERT INTO datasets (", dataset_columns!(), ", stored_bytes) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)");
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
         created_at, max_attempts, spec, spec_resolved, estimate, metadata, progress, warnings, request_id, traceparent, memory_bytes, \
         start_deadline, retry_of, last_event) VALUES ($1, $2, $3, 'queued', $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, \
         $16, $17, $18, $19, $20, $21, $22, 1) RETURNING ", job_columns!()
    );
    /// Passes into a queue side by side with others, until the end of the transaction.
    SHARE_QUEUE => "", "SELECT pg_advisory_xact_lock_shared(hashtextextended('queue of ' || $1, 0))";
    /// Passes into a queue alone, until the end of the transaction.
    LOCK_QUEUE => "", "SELECT pg_advisory_xact_lock(hashtextextended('queue of ' || $1, 0))";
    QUEUED_OF_PROJECT => "SELECT COUNT(*) FROM jobs WHERE project = $1 AND status = 'queued'";
    JOB => concat!("SELECT ", job_columns!(), " FROM jobs WHERE project = $1 AND id = $2");
    JOBS => filtered!(sqlite job_columns!()), filtered!(postgres job_columns!());
    JOB_PLACES => filtered!(sqlite "created_at, id"), filtered!(postgres "created_at, id");
    QUEUE_POSITION => "SELECT COUNT(*) FROM jobs AS ahead, jobs AS job WHERE job.id = $1 AND job.status = 'queued' \
                       AND ahead.project = job.project AND ahead.status = 'queued' AND (ahead.priority > job.priority OR (ahead.priority = job.priority \
                       AND (ahead.created_at, ahead.id) < (job.created_at, job.id)))";
    /// Places in the queue of a project, of the jobs created from `$2` to `$3`.
    QUEUE_POSITIONS => "SELECT id, position FROM (SELECT id, created_at, ROW_NUMBER() OVER (ORDER BY priority DESC, created_at, id) - 1 \
                        AS position FROM jobs WHERE project = $1 AND status = 'queued') AS line WHERE created_at >= $2 AND created_at <= $3";
    QUEUE_COUNTS => "SELECT COALESCE(CAST(SUM(CASE WHEN status = 'queued' THEN 1 ELSE 0 END) AS BIGINT), 0), \
                     COALESCE(CAST(SUM(CASE WHEN status = 'running' THEN 1 ELSE 0 END) AS BIGINT), 0) \
                     FROM jobs WHERE status = 'queued' OR status = 'running'";
    CANCEL_QUEUED => concat!(
        "UPDATE jobs SET status = 'cancelled', reason = 'user', cancel_requested = 1, finished_at = $3, revision = revision + 1, \
         last_event = last_event + 1 WHERE project = $1 AND id = $2 AND status = 'queued' RETURNING ", job_columns!()
    );
    ASK_CANCEL => concat!(
        "UPDATE jobs SET cancel_requested = 1, revision = revision + 1, last_event = last_event + 1 \
         WHERE project = $1 AND id = $2 AND status = 'running' AND cancel_requested = 0 RETURNING ", job_columns!()
    );
    DELETE_JOB => "DELETE FROM jobs WHERE project = $1 AND id = $2 AND status IN ('succeeded', 'failed', 'cancelled')";

    /// Projects with a queued job, by the claim they last had. Steps from project to project along the index, so that a
    /// project costs the same however many jobs it has queued.
    WAITING_PROJECTS => "WITH RECURSIVE waiting (project) AS (SELECT MIN(project) FROM jobs WHERE status = 'queued' UNION ALL \
                         SELECT (SELECT MIN(project) FROM jobs WHERE status = 'queued' AND project > waiting.project) FROM waiting \
                         WHERE waiting.project IS NOT NULL) SELECT waiting.project FROM waiting \
                         LEFT JOIN turns ON turns.project = waiting.project WHERE waiting.project IS NOT NULL \
                         ORDER BY COALESCE(turns.last, 0), waiting.project";
    /// The first job of a project that may start by now and fits a budget of `$3` bytes.
    NEXT_JOB => next_job!(""), next_job!(" FOR UPDATE SKIP LOCKED");
    CLAIM => concat!(
        "UPDATE jobs SET status = 'running', claim = $1, owner = $2, lease_until = $3, started_at = $4, start_deadline = NULL, \
         attempt = attempt + 1, revision = revision + 1, last_event = last_event + 1 WHERE id = $5 AND status = 'queued' RETURNING ", job_columns!()
    );
    TAKE_TURN => "INSERT INTO turns (project, last) VALUES ($1, $2) ON CONFLICT (project) DO UPDATE SET last = excluded.last \
                  WHERE turns.last < excluded.last";
    /// Proof of life. The fraction never falls, and nothing but success makes it 1.
    HEARTBEAT => "UPDATE jobs SET lease_until = $3, progress = $4, fraction = CASE WHEN fraction < $5 THEN $5 ELSE fraction END, \
                  revision = revision + CASE WHEN progress <> $4 OR fraction < $5 THEN 1 ELSE 0 END \
                  WHERE id = $1 AND claim = $2 AND status = 'running' RETURNING cancel_requested";
    /// The job of a claim, as it is until the end of the transaction.
    CLAIMED => claimed!(""), claimed!(" FOR UPDATE");
    /// The job that ended under a claim: for one whose answer was lost.
    ENDED => concat!("SELECT ", job_columns!(), " FROM jobs WHERE id = $1 AND claim = $2 AND status IN ('succeeded', 'failed', 'cancelled')");
    SUCCEED => end!("status = 'succeeded', fraction = 1, finished_at = $3, result = $4, warnings = $5");
    FAIL => end!("status = 'failed', finished_at = $3, reason = $4, error = $5, warnings = $6");
    STOP => end!("status = 'cancelled', finished_at = $3, reason = 'user'");
    HAND_BACK => end!("status = 'queued', started_at = NULL, attempt = attempt - 1");
    RETRY => end!("status = 'queued', started_at = NULL, not_before = $3");
    MISS_START => miss_start!(""), miss_start!(" FOR UPDATE SKIP LOCKED");
    RESCUE_CANCELLED => rescue!("status = 'cancelled', finished_at = $3, reason = 'user'", "cancel_requested = 1", ""),
                        rescue!("status = 'cancelled', finished_at = $3, reason = 'user'", "cancel_requested = 1", " FOR UPDATE SKIP LOCKED");
    RESCUE_FAILED => rescue!("status = 'failed', finished_at = $3, reason = 'attempts_exhausted', error = $4", "cancel_requested = 0 AND attempt >= max_attempts", ""),
                     rescue!("status = 'failed', finished_at = $3, reason = 'attempts_exhausted', error = $4", "cancel_requested = 0 AND attempt >= max_attempts", " FOR UPDATE SKIP LOCKED");
    RESCUE_QUEUED => rescue!("status = 'queued', started_at = NULL", "cancel_requested = 0 AND attempt < max_attempts", ""),
                     rescue!("status = 'queued', started_at = NULL", "cancel_requested = 0 AND attempt < max_attempts", " FOR UPDATE SKIP LOCKED");

    /// The number of a job's next event; its row is ours from here to the end of the transaction.
    NEXT_EVENT => "UPDATE jobs SET last_event = last_event + 1 WHERE id = $1 RETURNING last_event";
    /// The same for progress, if there is something new to tell and it is time: see `tell_progress`. A clock that was
    /// set back is no reason to be silent.
    TELL_PROGRESS => "UPDATE jobs SET last_event = last_event + 1, told_at = $3, told_revision = revision \
                      WHERE id = $1 AND claim = $2 AND revision > told_revision AND last_event < $4 \
                      AND ABS($3 - told_at) >= 250000 AND ABS($3 - told_at) * 32 >= $3 - started_at RETURNING last_event, fraction";
    ADD_EVENT => "INSERT INTO events (id, project, job_id, seq, created_at, level, type, message, data) \
                  SELECT $1, project, id, $3, $4, $5, $6, $7, $8 FROM jobs WHERE id = $2";
    EVENTS => concat!("SELECT ", event_columns!(), " FROM events WHERE project = $1 AND job_id = $2 AND seq > $3 \
                      AND (CAST($4 AS TEXT) IS NULL OR $4 LIKE '%,' || type || ',%') ORDER BY seq LIMIT $5");
    FEED => feed!(""), feed!(" AND epoch < CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS TEXT) AS BIGINT)");
    /// Events of another database, restored here, come before all of this one's: their transactions are not ours.
    SETTLE_EVENTS => "UPDATE events SET epoch = 0 WHERE epoch <> 0",
                     "UPDATE events SET epoch = 0 WHERE epoch >= CAST(CAST(pg_snapshot_xmax(pg_current_snapshot()) AS TEXT) AS BIGINT)";
    /// Positions go on after the last one there is.
    GO_ON_WITH_EVENTS => "", "SELECT setval('events_position_seq', newest) FROM (SELECT MAX(position) AS newest FROM events) AS restored \
                              WHERE newest > (SELECT last_value FROM events_position_seq)";
    PULSE => "SELECT status, cancel_requested, last_event FROM jobs WHERE project = $1 AND id = $2";
    JOB_BY_ID => concat!("SELECT ", job_columns!(), " FROM jobs WHERE id = $1");
    /// Positions are about in the order of time: those of the oldest events are looked at.
    FORGET_EVENTS => "DELETE FROM events WHERE created_at < $1 AND position IN (SELECT position FROM events ORDER BY position LIMIT $2)";

    ADD_MODEL => concat!("INSERT INTO models (", model_columns!(), ", promoted) VALUES \
        ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)");
    /// The row as it is until the end of the transaction: no deletion in between.
    PIN_MODEL => "SELECT id FROM models WHERE id = $1", "SELECT id FROM models WHERE id = $1 FOR SHARE";
    MODELS => latest!(model_shown!(), "models");
    MODEL => version!(model_shown!(), "models");
    /// The version that an alias points at.
    MODEL_OF_ALIAS => concat!("SELECT ", model_shown!(), " FROM models AS t WHERE project = $1 AND name = $2 AND version = \
        (SELECT version FROM aliases WHERE project = $1 AND model = $2 AND name = $3)");
    MODEL_VERSIONS => "SELECT version FROM models WHERE project = $1 AND name = $2 ORDER BY version DESC";
    /// The version as it is until the end of the transaction: no deletion in between.
    PIN_MODEL_VERSION => "SELECT id FROM models WHERE project = $1 AND name = $2 AND version = $3",
                         "SELECT id FROM models WHERE project = $1 AND name = $2 AND version = $3 FOR SHARE";
    /// The version as it is until the end of the transaction: no alias comes to it in between.
    LOCK_MODEL_VERSION => "SELECT id FROM models WHERE project = $1 AND name = $2 AND version = $3",
                          "SELECT id FROM models WHERE project = $1 AND name = $2 AND version = $3 FOR UPDATE";
    DELETE_MODEL => "DELETE FROM models WHERE project = $1 AND name = $2 AND version = $3 AND NOT EXISTS \
                     (SELECT 1 FROM aliases WHERE project = $1 AND model = $2 AND version = $3)";

    ALIAS => alias!("");
    /// The alias as it is until the end of the transaction: no other move in between.
    HOLD_ALIAS => alias!(""), alias!(" FOR UPDATE");
    ALIASES => concat!("SELECT ", alias_columns!(), " FROM aliases WHERE project = $1 AND model = $2 AND version IS NOT NULL \
                       AND (created_at, name) < ($3, $4) ORDER BY created_at DESC, name DESC LIMIT $5");
    COUNT_ALIASES => "SELECT COUNT(*) FROM aliases WHERE project = $1 AND model = $2 AND version IS NOT NULL";
    /// Nothing when it is there already.
    ADD_ALIAS => concat!(
        "INSERT INTO aliases (", alias_columns!(), ") VALUES ($1, $2, $3, $4, 1, $5, $5, $6) ON CONFLICT (project, model, name) DO UPDATE \
         SET version = excluded.version, moves = aliases.moves + 1, created_at = excluded.created_at, moved_at = excluded.moved_at, \
         moved_by = excluded.moved_by WHERE aliases.version IS NULL RETURNING ", alias_columns!()
    );
    /// To no version: it is deleted.
    MOVE_ALIAS => concat!(
        "UPDATE aliases SET version = $4, moves = moves + 1, moved_at = $5, moved_by = $6 \
         WHERE project = $1 AND model = $2 AND name = $3 AND version IS NOT NULL RETURNING ", alias_columns!()
    );
    NOTE_MOVE => "INSERT INTO alias_moves (project, model, alias, number, version, previous, moved_at, moved_by) \
                  VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    MOVES => "SELECT number, version, previous, moved_at, moved_by FROM alias_moves \
              WHERE project = $1 AND model = $2 AND alias = $3 AND number < $4 ORDER BY number DESC LIMIT $5";
    FORGET_MOVES => "DELETE FROM alias_moves WHERE project = $1 AND model = $2 AND alias = $3 AND number <= $4";

    /// What a project has: bytes, data sets, models, jobs that may become models.
    USAGE => "SELECT CAST((SELECT COALESCE(SUM(stored_bytes), 0) FROM datasets WHERE project = $1) \
              + (SELECT COALESCE(SUM(size_bytes + path_bytes), 0) FROM models WHERE project = $1) AS BIGINT), \
              (SELECT COUNT(*) FROM datasets WHERE project = $1), (SELECT COUNT(*) FROM models WHERE project = $1), \
              (SELECT COUNT(*) FROM jobs WHERE project = $1 AND status IN ('queued', 'running') AND model <> '')";
    /// Nobody else adds a data set to the project until the end of the transaction; on SQLite nobody else writes anyway.
    HOLD_PROJECT => "", "SELECT pg_advisory_xact_lock(hashtextextended($1, 4))";
    ADD_KEY => "INSERT INTO keys (id, project, name, scopes, sha256, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7)";
    KEYS => concat!("SELECT ", key_columns!(), " FROM keys WHERE project = $1 AND (created_at, id) < ($2, $3) ORDER BY created_at DESC, id DESC LIMIT $4");
    KEY => concat!("SELECT ", key_columns!(), " FROM keys WHERE project = $1 AND id = $2");
    LIVING_KEYS => concat!("SELECT ", key_columns!(), " FROM keys WHERE revoked_at IS NULL ORDER BY created_at DESC, id DESC");
    /// Revoking twice changes nothing.
    REVOKE_KEY => concat!(
        "UPDATE keys SET revoked_at = COALESCE(revoked_at, $3) \
         WHERE (CAST($1 AS TEXT) IS NULL OR project = $1) AND id = $2 RETURNING ", key_columns!()
    );
    NOTE_KEY_USED => "UPDATE keys SET last_used_at = $2 WHERE id = $1 AND COALESCE(last_used_at, 0) < $2";
    KEYS_REVISION => "SELECT last FROM counters WHERE project = '' AND kind = 'keys' AND name = ''";
    ADD_SECRET => "INSERT INTO secrets (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";
    SECRET => "SELECT value FROM secrets WHERE name = $1";
    /// How many migrations the database has had.
    MIGRATIONS => "SELECT COUNT(*) FROM _sqlx_migrations WHERE success";
    /// One slot holds one answer; that of a key long expired makes room.
    KEEP_ANSWER => "INSERT INTO idempotency_keys (project, holder, route, key, created_at, fingerprint, status, location, body) \
                    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (project, holder, route, key) DO UPDATE SET \
                    created_at = excluded.created_at, fingerprint = excluded.fingerprint, status = excluded.status, \
                    location = excluded.location, body = excluded.body WHERE idempotency_keys.created_at <= $10";
    KEPT_ANSWER => "SELECT fingerprint, status, location, body FROM idempotency_keys \
                    WHERE project = $1 AND holder = $2 AND route = $3 AND key = $4 AND created_at > $5";
    KEEP_LATER_ANSWER => "UPDATE idempotency_keys SET status = $6, body = $7 \
                          WHERE project = $1 AND holder = $2 AND route = $3 AND key = $4 AND fingerprint = $5";
    LIVE_KEYS => "SELECT COUNT(*) FROM idempotency_keys WHERE project = $1 AND created_at > $2";
    FORGET_KEYS => "DELETE FROM idempotency_keys WHERE created_at <= $1";

    /// Every file a row refers to.
    BLOBS => "SELECT blob FROM datasets UNION SELECT names_blob FROM datasets WHERE names_blob IS NOT NULL \
              UNION SELECT blob FROM models UNION SELECT names_blob FROM models WHERE names_blob IS NOT NULL \
              UNION SELECT path_blob FROM models WHERE path_blob IS NOT NULL UNION SELECT blob FROM checkpoints";
    /// Whether a row refers to a file.
    BLOB_IN_USE => "SELECT COUNT(*) FROM (SELECT 1 FROM datasets WHERE blob = $1 OR names_blob = $1 \
                    UNION ALL SELECT 1 FROM models WHERE blob = $1 OR names_blob = $1 OR path_blob = $1 \
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
    INHERIT_HOOK => "INSERT INTO job_webhooks (job_id, url, events) SELECT $1, url, events FROM job_webhooks WHERE job_id = $2";
    LISTENERS_OF_JOB => concat!(
        listeners_of_job!("h.id", "webhooks AS h ON h.project = j.project AND h.enabled = 1"), " UNION ALL ",
        listeners_of_job!("'jobs'", "job_webhooks AS h ON h.job_id = j.id")
    );
    LISTENERS_OF_PROJECT => "SELECT id, url, events FROM webhooks WHERE project = $1 AND enabled = 1";
    LAST_PROGRESS => "SELECT COALESCE(MAX(created_at), 0) FROM webhook_deliveries WHERE job_id = $1 AND event = 'job.progress'";

    ADD_DELIVERY => "INSERT INTO webhook_deliveries (id, project, holder, url, event, job_id, body, created_at, since, next_at) \
                     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8, $8)";
    DELIVERY_DUE => delivery_due!();
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

    /// From here on the transaction sees one moment. These and the following serve `upkeep/`.
    SNAPSHOT => "BEGIN", "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
    /// Whether there is a schema at all.
    HAS_SCHEMA => "SELECT COUNT(*) FROM sqlite_schema WHERE name = '_sqlx_migrations'",
                  "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = current_schema() AND table_name = '_sqlx_migrations'";
    /// Its number.
    SCHEMA => "SELECT MAX(version) FROM _sqlx_migrations";
    /// Tables, their columns, what those hold, and whether the table refers to others.
    COLUMNS => "SELECT t.name, c.name, c.type, EXISTS (SELECT 1 FROM pragma_foreign_key_list(t.name)) \
                FROM sqlite_schema AS t, pragma_table_info(t.name) AS c WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite\\_%' ESCAPE '\\' \
                AND t.name NOT LIKE '\\_%' ESCAPE '\\' ORDER BY t.name, c.cid",
               "SELECT CAST(c.table_name AS TEXT), CAST(c.column_name AS TEXT), CAST(c.data_type AS TEXT), CAST(CASE WHEN EXISTS \
                (SELECT 1 FROM information_schema.table_constraints AS k WHERE k.table_schema = c.table_schema \
                AND k.table_name = c.table_name AND k.constraint_type = 'FOREIGN KEY') THEN 1 ELSE 0 END AS BIGINT) \
                FROM information_schema.columns AS c WHERE c.table_schema = current_schema() AND c.table_name NOT LIKE '\\_%' \
                ORDER BY c.table_name, c.ordinal_position";
    /// The last claim number given.
    CLAIMS_GIVEN => "SELECT last FROM counters WHERE project = '' AND kind = 'claim' AND name = ''",
                    "SELECT last_value FROM claim_numbers WHERE is_called";
    GO_ON_WITH_CLAIMS => "INSERT INTO counters (project, kind, name, last) VALUES ('', 'claim', '', $1) \
                          ON CONFLICT (project, kind, name) DO UPDATE SET last = excluded.last",
                         "SELECT setval('claim_numbers', $1)";
    /// Columns that number their rows themselves; on SQLite they go on behind the largest number there is.
    IDENTITIES => "", "SELECT CAST(table_name AS TEXT), CAST(column_name AS TEXT) FROM information_schema.columns \
                       WHERE table_schema = current_schema() AND is_identity = 'YES'";
    GIVE_STARTS_BACK => "UPDATE jobs SET attempt = attempt - 1 WHERE status = 'running' AND attempt > 0";
    INTEGRITY => "PRAGMA integrity_check", "";
    FOREIGN_KEYS => "PRAGMA foreign_key_check", "";
}
