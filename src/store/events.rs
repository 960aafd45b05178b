//! Events: what happened to each job, in order, written in the transaction of what they tell.
//!
//! A job's events are numbered by a counter in its row. Whoever appends holds the row until the commit, so a reader
//! who has seen number n never finds a lower one later. Over all jobs the order is that of [`FeedPlace`]. What is said
//! about which transition is known to `telling.rs`, not here.

use std::time::Duration;

use serde_json::Value;

use super::db::{Session, args};
use super::records::{JobRecord, id, to_text};
use super::telling::{self, NewEvent};
use super::{Claim, Store, StoreError, queries};
use crate::ambient::Ambient;
use crate::id::{Id, Kind};
use crate::job::{Job, Progress, Status, Warning};

/// Events are kept this long after they happened, if their job is.
const KEPT: Duration = Duration::from_secs(30 * 86_400);
/// Old events are removed in steps of this many.
const FORGET_STEP: i64 = 1000;
/// A job that has told this much tells its progress no more. Its spacing keeps it far below; attempts handed back
/// again and again could reach it.
const PROGRESS_MAX: i64 = 1000;

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$about:meta])* $variant:ident => $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$about])* $variant,)* }

        impl $name {
            /// Every one.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The word in the database and in JSON.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            /// What a word means.
            pub fn parse(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|one| one.as_str() == word)
            }
        }
    };
}

words! {
    /// How much an event matters.
    Level {
        /// As it should be.
        Info => "info",
        /// Worth a look.
        Warn => "warn",
        /// The job failed.
        Error => "error",
    }
}

words! {
    /// What an event tells of.
    EventKind {
        /// The job's status changed, or its cancel was asked.
        Status => "status",
        /// How far it is.
        Progress => "progress",
        /// A measured number.
        Metric => "metric",
        /// A remark.
        Log => "log",
        /// A warning of the submission or of the fit.
        Warning => "warning",
        /// A point was stored from which the job can go on.
        Checkpoint => "checkpoint",
    }
}

/// Something that happened to a job.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct Event {
    pub id: Id,
    pub job: Id,
    /// Grows within the job, from 1.
    pub seq: i64,
    pub created_at: i64,
    pub level: Level,
    pub kind: EventKind,
    /// For a person.
    pub message: String,
    /// For a machine: an object.
    pub data: Value,
    pub place: FeedPlace,
}

/// A place in the order over all jobs: transaction first, then position.
///
/// On SQLite there is one writer, and positions are given in the order of commits. On PostgreSQL transactions commit in
/// any order, so events are shown only up to the oldest transaction still open: what is behind a place stays as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub struct FeedPlace {
    pub epoch: i64,
    pub position: i64,
}

/// As much of a job as those who watch it compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Pulse {
    pub status: Status,
    pub cancel_requested: bool,
    /// Number of the last event; 0 = none.
    pub last_event: i64,
}

#[derive(sqlx::FromRow)]
struct EventRecord {
    id: String,
    job_id: String,
    seq: i64,
    created_at: i64,
    level: String,
    #[sqlx(rename = "type")]
    kind: String,
    message: String,
    data: String,
    epoch: i64,
    position: i64,
}

impl TryFrom<EventRecord> for Event {
    type Error = StoreError;

    fn try_from(record: EventRecord) -> Result<Self, StoreError> {
        let unknown = |word: &str| StoreError::Row(format!("{word:?} is no word of an event"));
        Ok(Self {
            id: id(Kind::Event, &record.id)?,
            job: id(Kind::Job, &record.job_id)?,
            seq: record.seq,
            created_at: record.created_at,
            level: Level::parse(&record.level).ok_or_else(|| unknown(&record.level))?,
            kind: EventKind::parse(&record.kind).ok_or_else(|| unknown(&record.kind))?,
            message: record.message,
            data: serde_json::from_str(&record.data).map_err(|error| StoreError::Row(error.to_string()))?,
            place: FeedPlace { epoch: record.epoch, position: record.position },
        })
    }
}

fn events(records: Vec<EventRecord>) -> Result<Vec<Event>, StoreError> {
    records.into_iter().map(Event::try_from).collect()
}

/// The kinds as the queries take them: between commas; `None` = all.
fn wanted(kinds: &[EventKind]) -> Option<String> {
    let words: Vec<&str> = kinds.iter().map(|kind| kind.as_str()).collect();
    (!words.is_empty()).then(|| format!(",{},", words.join(",")))
}

fn rows(limit: u64) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

impl Store {
    /// At most `limit` events of a job after number `after`, oldest first; of these kinds, or of all when there are none.
    pub async fn events(&self, project: &str, job: &Id, after: i64, kinds: &[EventKind], limit: u64) -> Result<Vec<Event>, StoreError> {
        let asked = args![project, job, after, wanted(kinds).as_deref(), rows(limit)];
        events(self.read().await?.all(&queries::EVENTS, asked).await?)
    }

    /// At most `limit` events of a project after a place, oldest first.
    pub async fn feed(&self, project: &str, after: FeedPlace, kinds: &[EventKind], limit: u64) -> Result<Vec<Event>, StoreError> {
        let asked = args![project, after.epoch, after.position, wanted(kinds).as_deref(), rows(limit)];
        events(self.read().await?.all(&queries::FEED, asked).await?)
    }

    /// What those who watch a job compare; cheap enough to ask for often. `None` = there is no such job.
    pub async fn pulse(&self, project: &str, job: &Id) -> Result<Option<Pulse>, StoreError> {
        let found = self.read().await?.optional::<(String, i64, i64)>(&queries::PULSE, args![project, job]).await?;
        let pulse = |(status, cancel_requested, last_event): (String, i64, i64)| {
            let status = Status::parse(&status).ok_or_else(|| StoreError::Row(format!("{status:?} is no status")))?;
            Ok(Pulse { status, cancel_requested: cancel_requested != 0, last_event })
        };
        found.map(pulse).transpose()
    }

    /// Adds an event to a claimed job; `false` = the claim is no longer ours, and nothing was written.
    pub async fn add_event(&self, claim: &Claim, event: &NewEvent) -> Result<bool, StoreError> {
        let mut session = self.write().await?;
        let held = session.optional::<JobRecord>(&queries::CLAIMED, args![&claim.job.id, claim.number]).await?;
        if held.is_none() {
            return Ok(false);
        }
        let now = session.now(&self.inner.ambient).await?;
        append(&mut session, &self.inner.ambient, &claim.job.id, now, event).await?;
        session.commit().await?;
        self.hub().announce_job(&claim.job.id);
        Ok(true)
    }

    /// Makes restored events part of this database's order. Without any this changes nothing.
    pub(super) async fn settle_events(&self) -> Result<(), StoreError> {
        let mut session = self.write().await?;
        session.execute(&queries::SETTLE_EVENTS, args![]).await?;
        if !session.is_sqlite() {
            session.optional::<(i64,)>(&queries::GO_ON_WITH_EVENTS, args![]).await?;
        }
        session.commit().await
    }

    /// Removes events that are old enough; returns how many.
    pub(super) async fn forget_events(&self) -> Result<u64, StoreError> {
        let kept = i64::try_from(KEPT.as_micros()).unwrap_or(i64::MAX);
        let mut forgotten = 0;
        loop {
            let mut session = self.write().await?;
            let before = session.now(&self.inner.ambient).await?.saturating_sub(kept);
            let step = session.execute(&queries::FORGET_EVENTS, args![before, FORGET_STEP]).await?;
            session.commit().await?;
            forgotten += step;
            if step < FORGET_STEP.unsigned_abs() {
                return Ok(forgotten);
            }
        }
    }
}

/// Appends an event to a job, in the caller's transaction; takes the job's row until its end.
pub(super) async fn append(session: &mut Session, ambient: &Ambient, job: &Id, now: i64, event: &NewEvent) -> Result<(), StoreError> {
    let Some((seq,)) = session.optional::<(i64,)>(&queries::NEXT_EVENT, args![job]).await? else {
        return Err(StoreError::Row(format!("an event of {job}, which is gone")));
    };
    write(session, ambient, job, seq, now, event).await
}

async fn write(session: &mut Session, ambient: &Ambient, job: &Id, seq: i64, now: i64, event: &NewEvent) -> Result<(), StoreError> {
    let (level, kind) = (event.level.as_str(), event.kind.as_str());
    let columns = args![&Id::new(Kind::Event, ambient), job, seq, now, level, kind, &*event.message, to_text(&event.data)?];
    session.execute(&queries::ADD_EVENT, columns).await?;
    Ok(())
}

/// Tells the status that a job has just got, under the number that the change itself took.
pub(super) async fn tell_status(session: &mut Session, ambient: &Ambient, record: &JobRecord, now: i64) -> Result<(), StoreError> {
    let job = Job::try_from(record.clone())?;
    write(session, ambient, &job.id, record.last_event, now, &telling::status(&job)).await
}

/// Tells those warnings of a job that are not among the `known`.
pub(super) async fn tell_warnings(
    session: &mut Session,
    ambient: &Ambient,
    job: &Id,
    warnings: &[Warning],
    known: &[Warning],
    now: i64,
) -> Result<(), StoreError> {
    for warning in warnings.iter().filter(|warning| !known.contains(warning)) {
        append(session, ambient, job, now, &telling::warning(warning)).await?;
    }
    Ok(())
}

/// Tells the status of jobs that were taken from their dead workers.
pub(super) async fn tell_rescued(session: &mut Session, ambient: &Ambient, jobs: &[(String,)], now: i64) -> Result<(), StoreError> {
    for (job,) in jobs {
        let record = session.one::<JobRecord>(&queries::JOB_BY_ID, args![&**job]).await?;
        let rescued = Job::try_from(record)?;
        append(session, ambient, &rescued.id, now, &telling::rescued(&rescued)).await?;
    }
    Ok(())
}

/// Tells how far a claimed job is: not more often than every 250 ms, and ever more seldom, a thirty-second of the time
/// since its start apart. So an hour tells about 230 times, a month not 450 times.
pub(super) async fn tell_progress(
    session: &mut Session,
    ambient: &Ambient,
    claim: &Claim,
    progress: &Progress,
    now: i64,
) -> Result<(), StoreError> {
    let due = args![&claim.job.id, claim.number, now, PROGRESS_MAX];
    let Some((seq, fraction)) = session.optional::<(i64, f64)>(&queries::TELL_PROGRESS, due).await? else { return Ok(()) };
    write(session, ambient, &claim.job.id, seq, now, &telling::progress(progress, fraction)).await
}
