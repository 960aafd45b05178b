//! What the store hands out and takes in: pages, rows, filters, claims, endings.
//!
//! Words only; how they are stored is known to the files beside this one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use super::NewHook;
use crate::dataset::{Meta, Names};
use crate::id::Id;
use crate::job::{DatasetRef, Failure, Job, JobKind, Priority, Reason, Status, Warning};
use crate::model::{Card, KeptPath, Model};
use crate::traceparent::Traceparent;

/// A page of a list, newest first.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// The rows.
    pub items: Vec<T>,
    /// Where the next page begins; `None` = this was the last.
    pub next: Option<Cursor>,
}

/// A place in a list sorted by `(created_at, id)` falling.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Cursor {
    pub created_at: i64,
    pub id: Id,
}

/// A data set version.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct DatasetRow {
    pub id: Id,
    pub project: String,
    pub name: String,
    pub version: i64,
    pub created_at: i64,
    pub meta: Arc<Meta>,
    /// File of the data.
    pub(super) blob: Id,
    pub(super) names: Option<NamesBlob>,
}

/// A model version.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct ModelRow {
    pub id: Id,
    pub project: String,
    pub name: String,
    pub version: i64,
    pub created_at: i64,
    pub job: Id,
    pub dataset: DatasetRef,
    pub card: Arc<Card>,
    pub size_bytes: u64,
    /// Names that pointed at it when the row was read, sorted.
    pub aliases: Vec<String>,
    /// File of the artefact.
    pub(super) blob: Id,
    pub(super) sha256: String,
    pub(super) names: Option<NamesBlob>,
    pub(super) path: Option<PathBlob>,
}

impl ModelRow {
    /// Whether its features have names.
    pub fn is_named(&self) -> bool {
        self.names.is_some()
    }

    /// Whether the points of its path are kept.
    pub fn has_points(&self) -> bool {
        self.path.is_some()
    }

    /// The one way to say which version this is: `name:n`.
    pub fn reference(&self) -> String {
        format!("{}:{}", self.name, self.version)
    }
}

/// The file of a path's points: the row of a model and those of the models promoted from it refer to it.
#[derive(Clone, Debug)]
pub(super) struct PathBlob {
    pub(super) id: Id,
    pub(super) sha256: String,
    pub(super) bytes: i64,
}

/// A names file: the rows of a data set and of every model fitted on it refer to it, and it stays while one of them does.
#[derive(Clone, Debug)]
pub(super) struct NamesBlob {
    pub(super) id: Id,
    pub(super) sha256: String,
}

/// What became of a deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Deletion {
    Done,
    Absent,
    /// Something alive needs it.
    InUse,
}

/// A job to be queued.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct NewJob {
    pub project: String,
    pub kind: JobKind,
    /// Name to register a model under; `None` for a job that makes none.
    pub model: Option<String>,
    pub dataset: DatasetRef,
    pub priority: Priority,
    pub spec: Value,
    pub spec_resolved: Value,
    pub estimate: Value,
    pub metadata: Value,
    pub warnings: Vec<Warning>,
    pub request_id: String,
    /// The trace of that request.
    pub traceparent: Option<Traceparent>,
    /// What its work may take at most.
    pub memory_bytes: u64,
    /// It fails unless it is started within this time.
    pub start_within: Option<Duration>,
    /// The job that this one tries again.
    pub retry_of: Option<Id>,
    /// Who else is told what becomes of it.
    pub webhook: Option<NewHook>,
}

/// What became of a submission.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub enum Enqueued {
    Job(Box<Job>),
    /// The project has `queue_max` jobs queued.
    Full,
    /// The data set version is gone.
    DatasetGone,
}

/// Which jobs a list shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct JobFilter {
    pub status: Option<Status>,
    /// Only running jobs with cancel asked (`?status=cancelling`); with `status = Running`, only those without.
    pub cancelling: Option<bool>,
    pub kind: Option<JobKind>,
    pub dataset: Option<String>,
    pub model: Option<String>,
    /// Microseconds since 1970; both ends excluded.
    pub created_after: Option<i64>,
    pub created_before: Option<i64>,
    /// Only jobs whose metadata have all of these.
    pub metadata: BTreeMap<String, String>,
}

/// What became of an action on every job of a filter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bulk {
    /// Jobs that the filter means.
    pub matched: u64,
    /// Those of them that were changed.
    pub affected: u64,
}

/// The memory of the process that wants to claim, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// What all its fits together may take: a job that needs more is left to others.
    pub total: u64,
    /// What is not granted: when the next job needs more, it is waited for, and no later one overtakes it.
    pub free: u64,
}

impl Room {
    /// Room for whatever comes.
    pub const ANY: Self = Self { total: u64::MAX, free: u64::MAX };
}

/// The right to work on a job: every later write names its number, which never repeats.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The job as claimed.
    pub job: Job,
    /// Fencing number.
    pub number: i64,
    /// The data set version it reads.
    pub dataset: DatasetRow,
}

/// Answer to a heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Beat {
    Continue,
    CancelAsked,
    /// The claim is no longer ours: stop, and throw the result away.
    Lost,
}

/// How a claimed job ends.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub enum Ending {
    Succeeded {
        model: Arc<Model>,
        /// The path it was chosen from, where that is kept.
        points: Option<Arc<KeptPath>>,
    },
    /// Succeeded, and its result tells what was measured beside its model.
    Measured {
        model: Arc<Model>,
        points: Option<Arc<KeptPath>>,
        /// The version it was made of, with whose features: the model is stored only while that is there.
        base: Option<Box<ModelRow>>,
        /// Fields that the result has besides those of every model of its kind.
        measured: Map<String, Value>,
    },
    /// Succeeded, and what came of it is no model: `result` as clients see it.
    Reported {
        result: Value,
        warnings: Vec<Warning>,
    },
    Failed {
        error: Failure,
        reason: Option<Reason>,
        warnings: Vec<Warning>,
    },
    Cancelled,
    /// The attempt broke off for a reason that may pass: back to the queue after a pause, as long as attempts are left.
    Interrupted {
        error: Failure,
    },
    /// Back to the queue without spending the attempt.
    HandedBack,
}

/// What became of an ending.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub enum Finished {
    Stored(Box<Job>),
    /// The claim was no longer ours; nothing was written.
    Fenced,
}

/// What became of a request to cancel.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub enum Cancellation {
    /// It was queued (or cancelled before) and is cancelled now.
    Cancelled(Box<Job>),
    /// It is running and will stop.
    Asked(Box<Job>),
    AlreadyFinished(Box<Job>),
    Absent,
}

/// Counts for `/metrics` and `/readyz`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct QueueCounts {
    pub queued: u64,
    pub running: u64,
}

/// A model version opened for serving.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct OpenedModel {
    pub row: ModelRow,
    pub model: Arc<Model>,
    pub names: Option<Arc<Names>>,
}
