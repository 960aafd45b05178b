//! All SQL and all files of the program: SQLite and PostgreSQL behind one door, blobs beside them.
//!
//! Rows are the truth; the hub only hints. Every row has a project, and every read takes one. Time and randomness come
//! from the [`Ambient`] handed in (on PostgreSQL leases use the database's clock).

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::ambient::Ambient;
use crate::dataset::{Damaged, Dataset, Ingested, Meta, Names};
use crate::id::Id;
use crate::job::{DatasetRef, Failure, Job, Priority, Progress, Reason, Status, Warning};
use crate::model::{Card, Model};

/// Where and how to store.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// Directory for blobs, scratch files and the SQLite database.
    pub data_dir: PathBuf,
    /// `postgres://…`; `None` = SQLite in the data directory.
    pub database_url: Option<String>,
    /// How long a claim lives without a heartbeat.
    pub lease: Duration,
    /// Most jobs queued at once, per project.
    pub queue_max: u64,
}

/// Why the store did not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database failed or is away; may pass.
    #[error("the database: {0}")]
    Database(#[from] sqlx::Error),
    /// A migration does not fit the database found.
    #[error("the schema: {0}")]
    Schema(String),
    /// The disk is full.
    #[error("the disk is full")]
    DiskFull,
    /// The disk failed.
    #[error("the disk: {0}")]
    Io(#[from] std::io::Error),
    /// A stored file is not what its row says.
    #[error(transparent)]
    Damaged(#[from] Damaged),
    /// A row holds what this program never writes.
    #[error("a row is not understood: {0}")]
    Row(String),
}

/// The one door.
#[derive(Clone, Debug)]
pub struct Store {
    // the store room decides: cheap to clone
    _inner: Arc<()>,
}

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
}

/// A place for an upload: two empty files in the blob directory and a scratch directory, removed on drop unless
/// [`Store::add_dataset`] took them.
#[derive(Debug)]
pub struct Incoming {
    // the store room decides
}

impl Incoming {
    /// File for the data.
    pub fn data(&self) -> &std::fs::File {
        unimplemented!()
    }

    /// File for the names.
    pub fn names(&self) -> &std::fs::File {
        unimplemented!()
    }

    /// Directory for scratch files.
    pub fn scratch(&self) -> &Path {
        unimplemented!()
    }
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
    pub kind: String,
    pub model: String,
    pub dataset: DatasetRef,
    pub priority: Priority,
    pub spec: Value,
    pub spec_resolved: Value,
    pub estimate: Value,
    pub metadata: Value,
    pub warnings: Vec<Warning>,
    pub request_id: String,
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
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct JobFilter {
    pub status: Option<Status>,
    /// Only running jobs with cancel asked (`?status=cancelling`); with `status = Running`, only those without.
    pub cancelling: Option<bool>,
    pub dataset: Option<String>,
    pub model: Option<String>,
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
    },
    Failed {
        error: Failure,
        reason: Option<Reason>,
        warnings: Vec<Warning>,
    },
    Cancelled,
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

#[allow(clippy::unused_async, missing_docs)]
impl Store {
    /// Opens (and migrates) the store; reads the pragmas back and refuses what it cannot promise on.
    pub async fn open(_config: StoreConfig, _ambient: Ambient) -> Result<Self, StoreError> {
        unimplemented!()
    }
    /// Announcements of commits that matter.
    pub fn hub(&self) -> &Hub {
        unimplemented!()
    }
    /// Whether a write would succeed now.
    pub async fn ping(&self) -> Result<(), StoreError> {
        unimplemented!()
    }
    /// Closes the pools.
    pub async fn close(&self) {
        unimplemented!()
    }

    pub fn incoming(&self) -> Result<Incoming, StoreError> {
        unimplemented!()
    }
    /// Syncs and renames the files, then adds the next version of `name`.
    pub async fn add_dataset(
        &self,
        _project: &str,
        _name: &str,
        _incoming: Incoming,
        _ingested: Ingested,
    ) -> Result<DatasetRow, StoreError> {
        unimplemented!()
    }
    /// Latest version of each name.
    pub async fn datasets(&self, _project: &str, _after: Option<&Cursor>, _limit: u64) -> Result<Page<DatasetRow>, StoreError> {
        unimplemented!()
    }
    /// One version, the latest if `None`.
    pub async fn dataset(&self, _project: &str, _name: &str, _version: Option<i64>) -> Result<Option<DatasetRow>, StoreError> {
        unimplemented!()
    }
    /// Version numbers, newest first.
    pub async fn dataset_versions(&self, _project: &str, _name: &str) -> Result<Vec<i64>, StoreError> {
        unimplemented!()
    }
    pub async fn delete_dataset(&self, _project: &str, _name: &str, _version: i64) -> Result<Deletion, StoreError> {
        unimplemented!()
    }
    /// Opens the files of a version, mapped; the checksum is compared at the first opening in this process.
    pub async fn open_dataset(&self, _row: &DatasetRow) -> Result<Arc<Dataset>, StoreError> {
        unimplemented!()
    }

    pub async fn enqueue(&self, _job: NewJob) -> Result<Enqueued, StoreError> {
        unimplemented!()
    }
    pub async fn job(&self, _project: &str, _id: &Id) -> Result<Option<Job>, StoreError> {
        unimplemented!()
    }
    pub async fn jobs(&self, _project: &str, _filter: &JobFilter, _after: Option<&Cursor>, _limit: u64) -> Result<Page<Job>, StoreError> {
        unimplemented!()
    }
    /// Jobs that will be claimed before this one; `None` unless queued.
    pub async fn queue_position(&self, _job: &Job) -> Result<Option<u64>, StoreError> {
        unimplemented!()
    }
    pub async fn request_cancel(&self, _project: &str, _id: &Id) -> Result<Cancellation, StoreError> {
        unimplemented!()
    }
    pub async fn delete_job(&self, _project: &str, _id: &Id) -> Result<Deletion, StoreError> {
        unimplemented!()
    }

    /// Takes the next job; `owner` is this process's boot id.
    pub async fn claim(&self, _owner: &str) -> Result<Option<Claim>, StoreError> {
        unimplemented!()
    }
    /// Stores progress, proves life, hears of cancel.
    pub async fn heartbeat(&self, _claim: &Claim, _progress: &Progress) -> Result<Beat, StoreError> {
        unimplemented!()
    }
    /// Model and final status in one transaction, fenced by the claim's number.
    pub async fn finish(&self, _claim: &Claim, _ending: Ending) -> Result<Finished, StoreError> {
        unimplemented!()
    }
    /// Requeues (or fails, once attempts are used up) jobs whose lease ran out, and jobs of `dead_owner` at once.
    pub async fn rescue(&self, _dead_owner: Option<&str>) -> Result<u64, StoreError> {
        unimplemented!()
    }
    pub async fn queue_counts(&self) -> Result<QueueCounts, StoreError> {
        unimplemented!()
    }

    /// Latest version of each name.
    pub async fn models(&self, _project: &str, _after: Option<&Cursor>, _limit: u64) -> Result<Page<ModelRow>, StoreError> {
        unimplemented!()
    }
    pub async fn model(&self, _project: &str, _name: &str, _version: Option<i64>) -> Result<Option<ModelRow>, StoreError> {
        unimplemented!()
    }
    pub async fn model_versions(&self, _project: &str, _name: &str) -> Result<Vec<i64>, StoreError> {
        unimplemented!()
    }
    pub async fn delete_model(&self, _project: &str, _name: &str, _version: i64) -> Result<Deletion, StoreError> {
        unimplemented!()
    }
    /// Reads and checks the artefact.
    pub async fn open_model(&self, _row: &ModelRow) -> Result<OpenedModel, StoreError> {
        unimplemented!()
    }

    /// Removes files without a row older than `age`; returns how many.
    pub async fn sweep(&self, _age: Duration) -> Result<u64, StoreError> {
        unimplemented!()
    }
}

/// The change hub: a commit that matters is announced here, so that workers of the same process hear of new work and
/// of a cancel in milliseconds and waiting requests wake. Rows stay the truth; whoever waits reads again after waking.
#[derive(Debug, Default)]
pub struct Hub {
    // the store room decides (tokio watch / notify)
}

#[allow(missing_docs)]
impl Hub {
    /// Resolves at the next announcement of new work after this call was first polled or `timeout`.
    pub async fn work(&self, _timeout: Duration) {
        unimplemented!()
    }
    /// A receiver for changes of one job: subscribe, read the row, then await `changed`.
    pub fn watch_job(&self, _id: &Id) -> JobWatch {
        unimplemented!()
    }
    /// Grows with every model published or deleted in this process: what a cache of "latest" versions compares.
    pub fn models_epoch(&self) -> u64 {
        unimplemented!()
    }
}

/// See [`Hub::watch_job`].
#[derive(Debug)]
pub struct JobWatch {
    // the store room decides
}

#[allow(missing_docs)]
impl JobWatch {
    /// Resolves at the next change after the subscription or the last call.
    pub async fn changed(&mut self) {
        unimplemented!()
    }
}
