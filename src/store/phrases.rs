//! Parts that several SQL texts share, and texts that differ in one word. Macros, because a text is put together when the
//! program is compiled; they are used by `queries.rs` alone.

macro_rules! dataset_columns {
    () => {
        "id, project, name, version, created_at, meta, blob, names_blob, names_sha256"
    };
}

macro_rules! model_columns {
    () => {
        "id, project, name, version, created_at, job_id, dataset_name, dataset_version, dataset_sha256, card, \
         size_bytes, blob, sha256, names_blob, names_sha256, path_blob, path_sha256, path_bytes"
    };
}

/// The same of a model as it is shown: with the names that point at it.
macro_rules! model_shown {
    () => {
        concat!(
            model_columns!(),
            ", (SELECT string_agg(a.name, ' ' ORDER BY a.name) FROM aliases AS a \
             WHERE a.project = t.project AND a.model = t.name AND a.version = t.version) AS aliases"
        )
    };
}

macro_rules! alias_columns {
    () => {
        "project, model, name, version, moves, created_at, moved_at, moved_by"
    };
}

/// The alias of this name, if it points anywhere.
macro_rules! alias {
    ($lock:literal) => {
        concat!("SELECT ", alias_columns!(), " FROM aliases WHERE project = $1 AND model = $2 AND name = $3 AND version IS NOT NULL", $lock)
    };
}

macro_rules! job_columns {
    () => {
        "id, project, kind, status, cancel_requested, reason, model, dataset_id, dataset_name, dataset_version, \
         dataset_sha256, priority, created_at, started_at, finished_at, attempt, max_attempts, spec, spec_resolved, \
         estimate, metadata, fraction, progress, warnings, result, error, request_id, traceparent, retry_of, \
         memory_bytes, revision, last_event"
    };
}

macro_rules! key_columns {
    () => {
        "id, project, name, scopes, sha256, created_at, expires_at, last_used_at, revoked_at"
    };
}

macro_rules! event_columns {
    () => {
        "id, job_id, seq, created_at, level, type, message, data, epoch, position"
    };
}

/// Events of project `$1` after a place; `settled` leaves out what may still come in between.
macro_rules! feed {
    ($settled:literal) => {
        concat!(
            "SELECT ",
            event_columns!(),
            " FROM events WHERE project = $1 AND (epoch, position) > ($2, $3) \
             AND (CAST($4 AS TEXT) IS NULL OR $4 LIKE '%,' || type || ',%')",
            $settled,
            " ORDER BY epoch, position LIMIT $5"
        )
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

/// The next delivery due at `$1` to an address with fewer than `$2` under way, of a project with fewer than `$3`.
macro_rules! delivery_due {
    () => {
        "SELECT id FROM webhook_deliveries WHERE status = 'pending' AND next_at <= $1 AND (lease_until IS NULL OR lease_until <= $1) \
         AND url NOT IN (SELECT url FROM webhook_deliveries WHERE lease_until > $1 GROUP BY url HAVING COUNT(*) >= $2) \
         AND project NOT IN (SELECT project FROM webhook_deliveries WHERE lease_until > $1 GROUP BY project HAVING COUNT(*) >= $3) \
         ORDER BY next_at, id LIMIT 1"
    };
}

/// Takes it until `$4`.
macro_rules! claim_delivery {
    ($lock:literal) => {
        concat!(
            "UPDATE webhook_deliveries SET lease_until = $4, attempts = attempts + 1, step = step + 1 WHERE status = 'pending' AND id = (",
            delivery_due!(),
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
            " AS t WHERE project = $1 AND name = $2 \
             AND (CAST($3 AS BIGINT) IS NULL OR version = $3) ORDER BY version DESC LIMIT 1"
        )
    };
}

macro_rules! next_job {
    ($lock:literal) => {
        concat!(
            "SELECT id, memory_bytes FROM jobs WHERE project = $1 AND status = 'queued' AND not_before <= $2 \
             AND (start_deadline IS NULL OR start_deadline > $2) AND memory_bytes <= $3 \
             ORDER BY priority DESC, created_at, id LIMIT 1",
            $lock
        )
    };
}

/// Jobs of project `$1` after place `($2, $3)`, at most `$4`, as a filter means them.
macro_rules! filtered {
    (sqlite $columns:expr) => {
        filtered!(
            $columns,
            "NOT EXISTS (SELECT 1 FROM json_each($12) AS wanted WHERE NOT EXISTS (SELECT 1 FROM json_each(jobs.metadata) AS had \
             WHERE had.key = wanted.key AND had.value = wanted.value))"
        )
    };
    (postgres $columns:expr) => {
        filtered!($columns, "CAST(metadata AS JSONB) @> CAST(CAST($12 AS TEXT) AS JSONB)")
    };
    ($columns:expr, $metadata:literal) => {
        concat!(
            "SELECT ",
            $columns,
            " FROM jobs WHERE project = $1 AND (created_at, id) < ($2, $3) AND (CAST($5 AS TEXT) IS NULL OR status = $5) \
             AND (CAST($6 AS BIGINT) IS NULL OR cancel_requested = $6) AND (CAST($7 AS TEXT) IS NULL OR dataset_name = $7) \
             AND (CAST($8 AS TEXT) IS NULL OR model = $8) AND (CAST($9 AS TEXT) IS NULL OR kind = $9) \
             AND (CAST($10 AS BIGINT) IS NULL OR created_at > $10) AND (CAST($11 AS BIGINT) IS NULL OR created_at < $11) \
             AND (CAST($12 AS TEXT) IS NULL OR ",
            $metadata,
            ") ORDER BY created_at DESC, id DESC LIMIT $4"
        )
    };
}

macro_rules! claimed {
    ($lock:literal) => {
        concat!("SELECT ", job_columns!(), " FROM jobs WHERE id = $1 AND claim = $2 AND status = 'running'", $lock)
    };
}

/// Fails the jobs that were not started by `$1`.
macro_rules! miss_start {
    ($lock:literal) => {
        concat!(
            "UPDATE jobs SET status = 'failed', reason = 'start_deadline', finished_at = $1, error = $2, revision = revision + 1 \
             WHERE status = 'queued' AND id IN (SELECT id FROM jobs WHERE status = 'queued' AND start_deadline <= $1",
            $lock,
            ") RETURNING id"
        )
    };
}

/// Ends a claim: `$1` job, `$2` claim number.
macro_rules! end {
    ($changes:literal) => {
        concat!(
            "UPDATE jobs SET ",
            $changes,
            ", owner = NULL, lease_until = NULL, revision = revision + 1, last_event = last_event + 1 \
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
