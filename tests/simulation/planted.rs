//! Bugs that a hand might make: each is an edit of the program's own queries, and the simulation must find it.

use crate::faults::Bug;

/// What is wrong, and how the queries say it: the query, the words in it, the words put in their place.
pub(crate) const BUGS: &[(&str, Bug)] = &[
    ("the oldest job is next whatever its priority", &[("NEXT_JOB", "priority DESC, ", "")]),
    ("the youngest of the most urgent is next", &[("NEXT_JOB", "created_at, id", "created_at DESC, id")]),
    (
        "a job that runs is claimed once more",
        &[("NEXT_JOB", "status = 'queued'", "status <> 'failed'"), ("CLAIM", " AND status = 'queued'", "")],
    ),
    ("a job is claimed before its pause is over", &[("NEXT_JOB", "not_before <= $2", "$2 = $2")]),
    ("a job is claimed after its deadline", &[("NEXT_JOB", "start_deadline > $2", "$2 = $2")]),
    ("a job is claimed that can never fit", &[("NEXT_JOB", "memory_bytes <= $3", "$3 = $3")]),
    ("projects do not take turns", &[("WAITING_PROJECTS", "COALESCE(turns.last, 0), ", "")]),
    ("a turn is not remembered", &[("TAKE_TURN", "turns.last < excluded.last", "turns.last > excluded.last")]),
    ("an attempt is not counted", &[("CLAIM", "attempt = attempt + 1", "attempt = attempt")]),
    ("a claim does not grow the revision", &[("CLAIM", "revision = revision + 1", "revision = revision")]),
    ("a deadline outlives the start", &[("CLAIM", "start_deadline = NULL, ", "")]),
    ("a claim number is given again", &[("NEXT_CLAIM", "last + 1", "(last + 1) % 4")]),
    ("a heartbeat of anybody prolongs the lease", &[("HEARTBEAT", "claim = $2 AND ", "")]),
    (
        "a heartbeat revives a claim that was taken away",
        &[
            ("HEARTBEAT", "SET lease_until", "SET status = 'running', owner = 'revived', lease_until"),
            ("HEARTBEAT", "AND status = 'running'", "AND status IN ('queued', 'running')"),
        ],
    ),
    ("the fraction falls", &[("HEARTBEAT", "CASE WHEN fraction < $5 THEN $5 ELSE fraction END", "$5")]),
    ("success is not fenced", &[("CLAIMED", " AND claim = $2", ""), ("SUCCEED", " AND claim = $2", "")]),
    ("failure is not fenced", &[("CLAIMED", " AND claim = $2", ""), ("FAIL", " AND claim = $2", "")]),
    ("a job handed back spends its attempt", &[("HAND_BACK", ", attempt = attempt - 1", "")]),
    ("an attempt that broke off is not spent", &[("RETRY", "not_before = $3", "not_before = $3, attempt = attempt - 1")]),
    ("a job that broke off does not rest", &[("RETRY", "not_before = $3", "not_before = $3 - 10000000")]),
    (
        "a model is not stored with its success",
        &[("ADD_MODEL", "VALUES ($1", "SELECT * FROM (VALUES ($1"), ("ADD_MODEL", "$19)", "$19)) WHERE $1 IS NULL")],
    ),
    ("a rescue ignores the lease", &[("RESCUE_QUEUED", "(lease_until <= $1 OR owner = $2)", "$1 = $1 AND $2 IS $2")]),
    ("a rescue does not know whose process died", &[("RESCUE_QUEUED", "owner = $2", "$2 = 'nobody'")]),
    (
        "a rescue forgets how often a job may start",
        &[("RESCUE_FAILED", "attempt >= max_attempts", "attempt < 0"), ("RESCUE_QUEUED", "attempt < max_attempts", "attempt > 0")],
    ),
    ("a rescue gives up one start too early", &[("RESCUE_FAILED", "attempt >= max_attempts", "attempt >= max_attempts - 1")]),
    (
        "a rescue forgets a cancel",
        &[
            ("RESCUE_CANCELLED", "cancel_requested = 1", "cancel_requested = 2"),
            ("RESCUE_QUEUED", "cancel_requested = 0", "cancel_requested >= 0"),
        ],
    ),
    ("a missed start is not noticed", &[("MISS_START", "start_deadline <= $1", "start_deadline < 0")]),
    ("a start is missed too early", &[("MISS_START", "start_deadline <= $1", "start_deadline <= $1 + 5000000")]),
    ("a cancel overwrites an ending", &[("CANCEL_QUEUED", "AND status = 'queued'", "AND status <> 'running'")]),
    ("a cancel is acknowledged and not stored", &[("ASK_CANCEL", "SET cancel_requested = 1", "SET cancel_requested = 0")]),
    ("a cancel reaches the jobs of others", &[("CANCEL_QUEUED", "project = $1", "$1 = $1")]),
    ("a job is deleted while it waits", &[("DELETE_JOB", "status IN ('succeeded',", "status IN ('queued', 'succeeded',")]),
    ("a data set in use is deleted", &[("DELETE_DATASET", "('queued', 'running')", "('running')")]),
    ("a job is queued on any version of its data set", &[("PIN_DATASET", "version = $3", "$3 = $3")]),
    ("the queue has no bound", &[("QUEUED_OF_PROJECT", "'queued'", "'none'")]),
    ("the queue is bounded for all projects together", &[("QUEUED_OF_PROJECT", "project = $1", "$1 = $1")]),
    (
        "a key used again has its effect again",
        &[
            ("KEPT_ANSWER", "created_at > $5", "created_at > $5 AND status = 0"),
            ("KEEP_ANSWER", "idempotency_keys.created_at <= $10", "$10 = $10"),
        ],
    ),
    ("a key of one project is found by another", &[("KEPT_ANSWER", "project = $1", "$1 = $1")]),
    (
        "a sweep forgets the names that a data set needs",
        &[
            ("BLOBS", "UNION SELECT names_blob FROM datasets WHERE names_blob IS NOT NULL ", ""),
            ("BLOB_IN_USE", "FROM datasets WHERE blob = $1 OR names_blob = $1", "FROM datasets WHERE blob = $1"),
        ],
    ),
];
