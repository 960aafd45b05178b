//! Bugs that a hand might make: each is planted into the queries, and the simulation must find it.

use crate::faults::Bug;

/// The columns that a query on jobs answers with.
macro_rules! job {
    () => {
        " RETURNING id, project, kind, status, cancel_requested, reason, model, dataset_id, dataset_name, dataset_version, \
         dataset_sha256, priority, created_at, started_at, finished_at, attempt, max_attempts, spec, spec_resolved, estimate, \
         metadata, fraction, progress, warnings, result, error, request_id, revision"
    };
}

macro_rules! claim {
    ($changes:literal, $order:literal) => {
        concat!(
            "UPDATE jobs SET status = 'running', claim = $1, owner = $2, lease_until = $3, started_at = $4, ",
            $changes,
            " WHERE id = (SELECT id FROM jobs WHERE ",
            $order,
            " LIMIT 1)",
            job!()
        )
    };
}

macro_rules! beat {
    ($fraction:literal, $which:literal) => {
        concat!(
            "UPDATE jobs SET lease_until = $3, progress = $4, fraction = ",
            $fraction,
            ", revision = revision + 1 WHERE id = $1 AND ",
            $which,
            " RETURNING cancel_requested"
        )
    };
}

macro_rules! end {
    ($changes:literal, $which:literal) => {
        concat!(
            "UPDATE jobs SET owner = NULL, lease_until = NULL, revision = revision + 1, ",
            $changes,
            " WHERE id = $1 AND ",
            $which,
            job!()
        )
    };
}

macro_rules! rescue {
    ($changes:literal, $which:literal) => {
        concat!(
            "UPDATE jobs SET owner = NULL, lease_until = NULL, revision = revision + 1, ",
            $changes,
            " WHERE status = 'running' AND ",
            $which,
            " RETURNING id"
        )
    };
}

const ANY_CLAIM: (&str, &str) = (
    "CLAIMED",
    "SELECT id, project, kind, status, cancel_requested, reason, model, dataset_id, dataset_name, dataset_version, dataset_sha256, \
     priority, created_at, started_at, finished_at, attempt, max_attempts, spec, spec_resolved, estimate, metadata, fraction, progress, \
     warnings, result, error, request_id, revision FROM jobs WHERE id = $1 AND $2 = $2 AND status = 'running'",
);

/// What is wrong, and how the queries say it.
pub(crate) const BUGS: &[(&str, Bug)] = &[
    (
        "a claim takes the oldest job whatever its priority",
        &[("CLAIM", claim!("attempt = attempt + 1, revision = revision + 1", "status = 'queued' ORDER BY created_at, id"))],
    ),
    (
        "a claim takes the youngest of the most urgent",
        &[(
            "CLAIM",
            claim!("attempt = attempt + 1, revision = revision + 1", "status = 'queued' ORDER BY priority DESC, created_at DESC, id"),
        )],
    ),
    (
        "a claim takes a job that is running",
        &[(
            "CLAIM",
            claim!(
                "attempt = attempt + 1, revision = revision + 1",
                "status IN ('queued', 'running') ORDER BY priority DESC, created_at, id"
            ),
        )],
    ),
    (
        "an attempt is not counted",
        &[("CLAIM", claim!("revision = revision + 1", "status = 'queued' ORDER BY priority DESC, created_at, id"))],
    ),
    (
        "a claim does not grow the revision",
        &[("CLAIM", claim!("attempt = attempt + 1", "status = 'queued' ORDER BY priority DESC, created_at, id"))],
    ),
    (
        "a claim number is given again",
        &[("NEXT_CLAIM", "UPDATE counters SET last = (last + 1) % 4 WHERE project = '' AND kind = 'claim' AND name = '' RETURNING last")],
    ),
    ("a heartbeat of anybody prolongs the lease", &[("HEARTBEAT", beat!("MAX(fraction, $5)", "$2 = $2 AND status = 'running'"))]),
    (
        "a heartbeat revives a claim that was taken away",
        &[(
            "HEARTBEAT",
            "UPDATE jobs SET status = 'running', owner = 'revived', lease_until = $3, progress = $4, fraction = MAX(fraction, $5), \
         revision = revision + 1 WHERE id = $1 AND claim = $2 AND status IN ('queued', 'running') RETURNING cancel_requested",
        )],
    ),
    (
        "a heartbeat that is refused leaves a trace",
        &[(
            "HEARTBEAT",
            "UPDATE jobs SET revision = revision + 1, progress = $4, lease_until = CASE WHEN status = 'running' AND claim = $2 THEN $3 \
             ELSE lease_until END, fraction = CASE WHEN status = 'running' AND claim = $2 THEN MAX(fraction, $5) ELSE fraction END \
             WHERE id = $1 RETURNING cancel_requested",
        )],
    ),
    ("the fraction falls", &[("HEARTBEAT", beat!("$5", "claim = $2 AND status = 'running'"))]),
    (
        "success is not fenced",
        &[
            ANY_CLAIM,
            (
                "SUCCEED",
                end!("status = 'succeeded', fraction = 1, finished_at = $3, result = $4, warnings = $5", "$2 = $2 AND status = 'running'"),
            ),
        ],
    ),
    (
        "failure is not fenced",
        &[
            ANY_CLAIM,
            ("FAIL", end!("status = 'failed', finished_at = $3, reason = $4, error = $5, warnings = $6", "$2 = $2 AND status = 'running'")),
        ],
    ),
    (
        "a job handed back spends its attempt",
        &[("HAND_BACK", end!("status = 'queued', started_at = NULL", "claim = $2 AND status = 'running'"))],
    ),
    (
        "a model is not stored with its success",
        &[(
            "ADD_MODEL",
            "UPDATE counters SET last = last WHERE $1 || $2 || $3 || $4 || $5 || $6 || $7 || $8 || $9 || $10 || $11 || $12 || $13 || $14 || $15 IS NULL",
        )],
    ),
    (
        "a rescue ignores the lease",
        &[(
            "RESCUE_QUEUED",
            rescue!("status = 'queued', started_at = NULL", "$1 = $1 AND $2 IS $2 AND cancel_requested = 0 AND attempt < max_attempts"),
        )],
    ),
    (
        "a rescue does not know whose process died",
        &[(
            "RESCUE_QUEUED",
            rescue!(
                "status = 'queued', started_at = NULL",
                "lease_until <= $1 AND $2 IS $2 AND cancel_requested = 0 AND attempt < max_attempts"
            ),
        )],
    ),
    (
        "a rescue forgets how often a job may start",
        &[
            ("RESCUE_FAILED", rescue!("reason = NULL", "$1 + $3 < 0 AND $2 || $4 IS NULL AND attempt < 0")),
            (
                "RESCUE_QUEUED",
                rescue!("status = 'queued', started_at = NULL", "(lease_until <= $1 OR owner = $2) AND cancel_requested = 0"),
            ),
        ],
    ),
    (
        "a rescue gives up one start too early",
        &[(
            "RESCUE_FAILED",
            rescue!(
                "status = 'failed', finished_at = $3, reason = 'attempts_exhausted', error = $4",
                "(lease_until <= $1 OR owner = $2) AND cancel_requested = 0 AND attempt >= max_attempts - 1"
            ),
        )],
    ),
    (
        "a rescue forgets a cancel",
        &[
            ("RESCUE_CANCELLED", rescue!("reason = NULL", "$1 + $3 < 0 AND $2 IS NULL AND attempt < 0")),
            (
                "RESCUE_QUEUED",
                rescue!("status = 'queued', started_at = NULL", "(lease_until <= $1 OR owner = $2) AND attempt < max_attempts"),
            ),
        ],
    ),
    (
        "a cancel overwrites an ending",
        &[(
            "CANCEL_QUEUED",
            concat!(
                "UPDATE jobs SET status = 'cancelled', reason = 'user', cancel_requested = 1, finished_at = $3, revision = revision + 1 \
             WHERE project = $1 AND id = $2 AND status <> 'running'",
                job!()
            ),
        )],
    ),
    (
        "a cancel is acknowledged and not stored",
        &[(
            "ASK_CANCEL",
            concat!(
                "UPDATE jobs SET revision = revision + 1 WHERE project = $1 AND id = $2 AND status = 'running' AND cancel_requested = 0",
                job!()
            ),
        )],
    ),
    (
        "a cancel reaches the jobs of others",
        &[(
            "CANCEL_QUEUED",
            concat!(
                "UPDATE jobs SET status = 'cancelled', reason = 'user', cancel_requested = 1, finished_at = $3, revision = revision + 1 \
             WHERE $1 = $1 AND id = $2 AND status = 'queued'",
                job!()
            ),
        )],
    ),
    ("a job is deleted while it lives", &[("DELETE_JOB", "DELETE FROM jobs WHERE project = $1 AND id = $2 AND status <> 'running'")]),
    (
        "a data set in use is deleted",
        &[(
            "DELETE_DATASET",
            "DELETE FROM datasets WHERE id = $1 AND NOT EXISTS (SELECT 1 FROM jobs WHERE dataset_id = $1 AND status = 'running')",
        )],
    ),
    (
        "a key used again has its effect again",
        &[
            (
                "KEPT_ANSWER",
                "SELECT fingerprint, status, location, body FROM idempotency_keys \
                 WHERE project = $1 AND holder = $2 AND route = $3 AND key = $4 AND created_at > $5 AND status = 0",
            ),
            (
                "KEEP_ANSWER",
                "INSERT INTO idempotency_keys (project, holder, route, key, created_at, fingerprint, status, location, body) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (project, holder, route, key) DO UPDATE SET \
                 location = excluded.location WHERE $10 = $10",
            ),
        ],
    ),
    (
        "a key of one project is found by another",
        &[(
            "KEPT_ANSWER",
            "SELECT fingerprint, status, location, body FROM idempotency_keys \
             WHERE $1 = $1 AND holder = $2 AND route = $3 AND key = $4 AND created_at > $5 LIMIT 1",
        )],
    ),
    ("the queue has no bound", &[("QUEUED_OF_PROJECT", "SELECT COUNT(*) FROM jobs WHERE project = $1 AND status = 'none'")]),
    (
        "the queue is bounded for all projects together",
        &[("QUEUED_OF_PROJECT", "SELECT COUNT(*) FROM jobs WHERE $1 = $1 AND status = 'queued'")],
    ),
    (
        "a sweep forgets the names that a model needs",
        &[
            (
                "BLOBS",
                "SELECT blob FROM datasets UNION SELECT blob FROM models UNION SELECT names_blob FROM models WHERE names_blob IS NOT NULL",
            ),
            (
                "BLOB_IN_USE",
                "SELECT COUNT(*) FROM (SELECT 1 FROM datasets WHERE blob = $1 UNION ALL SELECT 1 FROM models WHERE blob = $1 OR names_blob = $1) AS uses",
            ),
        ],
    ),
];
