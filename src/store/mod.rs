//! All SQL and all files of the program: SQLite and PostgreSQL behind one door, blobs beside them.
//!
//! Rows are the truth; the hub only hints. Every row has a project, and every read takes one. Time and randomness come
//! from the [`Ambient`] handed in (on PostgreSQL leases use the database's clock).

mod again;
mod aliases;
mod away;
mod blobs;
mod bulk;
mod checkpoints;
mod datasets;
mod db;
mod deliveries;
mod error;
mod events;
mod group;
mod health;
mod hints;
mod hub;
mod idempotency;
mod jobs;
mod keys;
mod lent;
mod models;
mod open;
#[macro_use]
mod phrases;
pub mod queries;
mod queue;
mod quotas;
mod records;
mod reserve;
mod room;
mod rows;
pub mod simulation;
mod sweep;
mod telling;
pub mod upkeep;
mod webhooks;
mod wire;

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use aliases::{AliasChange, AliasMove, AliasPlace, AliasRow, Expected};
pub use blobs::Incoming;
pub use deliveries::{AtOnce, Attempt, DeliveryClaim, DeliveryRow, DeliveryState, Resent};
pub use error::StoreError;
pub use events::{Event, EventKind, FeedPlace, Level, Pulse};
pub use hub::{Hub, JobWatch, WorkWatch};
pub use idempotency::{Answer, Kept, Keyed, Once, Slot};
pub use keys::{KeyRow, Revocation};
pub use quotas::Usage;
pub use rows::{
    Beat, Bulk, Cancellation, Claim, Cursor, DatasetRow, Deletion, Ending, Enqueued, Finished, JobFilter, ModelRow, NewJob, OpenedModel,
    Page, QueueCounts, Room,
};
pub use telling::NewEvent;
pub use webhooks::{NewHook, WebhookAdded, WebhookChange, WebhookRow};

use crate::access::{Quotas, Secret};
use crate::ambient::Ambient;
use crate::id::{Id, Kind};
use blobs::Blobs;
use datasets::Opened;
use db::{Db, Session, args};
use rows::{NamesBlob, PathBlob};
use simulation::Meddling;

/// A store that has not answered a ping by now is not ready.
const PING: Duration = Duration::from_millis(1500);

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
    /// What one project may have.
    pub quotas: Quotas,
}

/// The one door; cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    config: StoreConfig,
    ambient: Ambient,
    db: Db,
    blobs: Blobs,
    hub: Hub,
    /// This store among all that share its database.
    origin: String,
    opened: Opened,
    secret: Secret,
    /// `None` for a visitor beside a running server.
    lock: Option<File>,
}

impl Store {
    /// Opens (and migrates) the store; reads the settings back and refuses what it cannot promise on.
    ///
    /// On SQLite nobody else can be working on a job, so jobs that a dead process left running are rescued at once.
    pub async fn open(config: StoreConfig, ambient: Ambient) -> Result<Self, StoreError> {
        Self::open_with(config, ambient, None).await
    }

    async fn open_with(config: StoreConfig, ambient: Ambient, meddling: Meddling) -> Result<Self, StoreError> {
        let data_dir = config.data_dir.clone();
        let alone = config.database_url.is_none();
        let (blobs, lock) = blocking(move || {
            let blobs = Blobs::open(&data_dir)?;
            Ok((blobs, open::lock(&data_dir, alone)?))
        })
        .await?;
        let db = match &config.database_url {
            Some(url) => open::postgres(url).await?,
            None => open::sqlite(&config.data_dir, meddling).await?,
        };
        let store = Self::over(config, ambient, db, blobs, Some(lock)).await?;
        store.settle_events().await?;
        if alone {
            store.rescue_everything().await?;
        }
        Ok(store)
    }

    /// Opens the store for a small write, also while a server has it: on SQLite, which lets processes take turns, without
    /// the lock of the data directory, and without touching the schema or the jobs of the server that holds it.
    pub async fn open_beside(config: StoreConfig, ambient: Ambient) -> Result<Self, StoreError> {
        match Self::open(config.clone(), ambient.clone()).await {
            Err(StoreError::InUse(_)) if config.database_url.is_none() => {
                let db = open::sqlite_beside(&config.data_dir).await?;
                let blobs = Blobs::open(&config.data_dir)?;
                Self::over(config, ambient, db, blobs, None).await
            }
            opened => opened,
        }
    }

    async fn over(config: StoreConfig, ambient: Ambient, db: Db, blobs: Blobs, lock: Option<File>) -> Result<Self, StoreError> {
        let secret = keys::installation_secret(&db, &ambient).await?;
        let hub = if config.database_url.is_none() { Hub::default() } else { Hub::shared() };
        let origin = Id::new(Kind::Request, &ambient).to_string();
        Ok(Self { inner: Arc::new(Inner { config, ambient, db, blobs, hub, origin, opened: Opened::default(), secret, lock }) })
    }

    /// Announcements of commits that matter.
    pub fn hub(&self) -> &Hub {
        &self.inner.hub
    }

    /// The clock and randomness the store was opened with.
    pub fn ambient(&self) -> &Ambient {
        &self.inner.ambient
    }

    /// How long a claim lives without a heartbeat.
    pub fn lease(&self) -> Duration {
        self.inner.config.lease
    }

    /// Transactions made durable so far by this store. One may hold the writes of many callers.
    pub fn commits(&self) -> u64 {
        self.inner.db.health.commits()
    }

    /// Says what happened once the disk has failed at a write: from then on nothing is written, and the process should
    /// end with an error, to be started again.
    pub fn broken(&self) -> tokio::sync::watch::Receiver<Option<String>> {
        self.inner.db.health.watch()
    }

    /// The settings of the database that durability stands on, as it states them itself.
    pub async fn settings(&self) -> Result<Vec<(&'static str, String)>, StoreError> {
        open::settings(&self.inner.db).await
    }

    /// Whether a write would succeed now: commits one, and looks whether the data directory is still the one opened.
    /// Answers within the time a probe waits.
    pub async fn ping(&self) -> Result<(), StoreError> {
        let late = |_| StoreError::Database(sqlx::Error::PoolTimedOut);
        tokio::time::timeout(PING, self.ping_in_time()).await.map_err(late)?
    }

    async fn ping_in_time(&self) -> Result<(), StoreError> {
        let store = self.clone();
        blocking(move || store.same_directory()).await?;
        let mut session = self.inner.db.write().await?;
        session.execute(&queries::PING, args![]).await?;
        session.commit().await
    }

    fn same_directory(&self) -> Result<(), StoreError> {
        let found = fs::metadata(self.inner.config.data_dir.join("store.lock"))?;
        let Some(ours) = &self.inner.lock else { return Ok(()) };
        let ours = ours.metadata()?;
        let same = (found.dev(), found.ino()) == (ours.dev(), ours.ino());
        if same { Ok(()) } else { Err(io::Error::new(io::ErrorKind::NotFound, "the data directory was replaced").into()) }
    }

    /// Closes the pools and lets another process open the store.
    pub async fn close(&self) {
        self.inner.db.close().await;
        // an error here means that the lock goes with the process
        let _ = self.inner.lock.as_ref().map(File::unlock);
    }

    async fn read(&self) -> Result<Session, StoreError> {
        self.inner.db.read().await
    }

    async fn write(&self) -> Result<Session, StoreError> {
        self.inner.db.write().await
    }
}

/// Runs what waits for the disk off the threads that serve.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, StoreError> + Send + 'static) -> Result<T, StoreError> {
    joined(tokio::task::spawn_blocking(work).await)
}

/// Runs a write to its end even when the caller loses interest: what is committed is also announced.
async fn to_the_end<T: Send + 'static>(work: impl Future<Output = Result<T, StoreError>> + Send + 'static) -> Result<T, StoreError> {
    joined(tokio::spawn(work).await)
}

fn joined<T>(outcome: Result<Result<T, StoreError>, tokio::task::JoinError>) -> Result<T, StoreError> {
    match outcome {
        Ok(outcome) => outcome,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => Err(io::Error::new(io::ErrorKind::Interrupted, "the program is stopping").into()),
    }
}

/// A page out of one row more than asked for.
fn page<T>(mut items: Vec<T>, limit: u64, place: impl Fn(&T) -> Cursor) -> Page<T> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = items.len() > limit;
    items.truncate(limit);
    let next = if more { items.last().map(place) } else { None };
    Page { items, next }
}

/// A moment `wait` after `now`, both in microseconds since 1970.
fn later(now: i64, wait: Duration) -> i64 {
    now.saturating_add(i64::try_from(wait.as_micros()).unwrap_or(i64::MAX))
}

/// Arguments of a list: where it goes on, and how many rows to read.
fn list_bounds(after: Option<&Cursor>, limit: u64) -> (i64, String, i64) {
    let (created_at, id) = after.map_or((i64::MAX, String::new()), |cursor| (cursor.created_at, cursor.id.to_string()));
    (created_at, id, i64::try_from(limit.saturating_add(1)).unwrap_or(i64::MAX))
}
