//! Idempotency keys: the first answer to a request is kept in the transaction of its effect, so that the same request
//! sent again has one effect and hears the same answer, whoever died in between.
//!
//! Knows answers as texts; what they say and where keys come from is known to the API.

use std::convert::Infallible;
use std::time::Duration;

use super::db::{Session, args};
use super::{Store, StoreError, queries, to_the_end};

/// A key is promised for 24 hours; the second day is for clocks that jump by one.
const KEPT: Duration = Duration::from_secs(48 * 3600);
/// A key counts against its project's number for this long.
const COUNTED: Duration = Duration::from_secs(24 * 3600);

/// Where an answer is kept: a key is good for one route, one project and one holder of an API key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub struct Slot {
    pub project: String,
    /// Who sent it; empty where requests need no API key.
    pub holder: String,
    pub route: &'static str,
    pub key: String,
}

/// A request sent under a key.
#[derive(Clone, Debug)]
pub struct Keyed {
    /// Where its answer is kept.
    pub slot: Slot,
    /// Tells this request from another that uses the same key.
    pub fingerprint: String,
    /// Most keys of a project at a time.
    pub live_max: u64,
}

/// An answer as it is given again.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Answer {
    pub status: u16,
    /// Path of what was made.
    pub location: String,
    /// JSON.
    pub body: String,
}

/// The answer that a slot holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Of the request that was answered.
    pub fingerprint: String,
    /// What it was answered.
    pub answer: Answer,
}

/// What became of a request under a key.
#[derive(Clone, Debug)]
pub enum Once<T, R = Infallible> {
    /// It was the first: the effect, and the answer that is kept with it.
    Done(T, Answer),
    /// It had no effect, and nothing is kept.
    Refused(R),
    /// The key was used before, and nothing was done.
    Before(Kept),
    /// The project has too many keys.
    TooMany,
}

/// What became of the answer to an effect that is not committed yet.
pub(super) enum Keeping {
    Kept,
    Taken,
    TooMany,
}

impl Store {
    /// The answer kept in a slot.
    pub async fn kept_answer(&self, slot: &Slot) -> Result<Option<Kept>, StoreError> {
        self.kept_in(&mut self.read().await?, slot).await
    }

    async fn kept_in(&self, session: &mut Session, slot: &Slot) -> Result<Option<Kept>, StoreError> {
        let since = before(session.now(&self.inner.ambient).await?, KEPT);
        let wanted = args![&*slot.project, &*slot.holder, slot.route, &*slot.key, since];
        let found = session.optional::<(String, i64, String, String)>(&queries::KEPT_ANSWER, wanted).await?;
        let understood = |(fingerprint, status, location, body)| {
            let status = u16::try_from(status).map_err(|_| StoreError::Row(format!("{status} is no status")))?;
            Ok(Kept { fingerprint, answer: Answer { status, location, body } })
        };
        found.map(understood).transpose()
    }

    /// Replaces a kept answer by a later one to the same request: a client that waited heard of the end.
    pub async fn keep_later_answer(&self, keyed: Keyed, answer: Answer) -> Result<(), StoreError> {
        let store = self.clone();
        to_the_end(async move {
            let Keyed { slot, fingerprint, .. } = keyed;
            let mut session = store.write().await?;
            let answer = args![slot.project, slot.holder, slot.route, slot.key, fingerprint, i64::from(answer.status), answer.body];
            session.execute(&queries::KEEP_LATER_ANSWER, answer).await?;
            session.commit().await
        })
        .await
    }

    /// Keeps the answer in the transaction that has the effect. On PostgreSQL this waits for another transaction that
    /// holds the same slot, and sees how it ended.
    pub(super) async fn keep_answer(&self, session: &mut Session, keyed: &Keyed, answer: &Answer) -> Result<Keeping, StoreError> {
        let now = session.now(&self.inner.ambient).await?;
        let Keyed { slot, fingerprint, live_max } = keyed;
        let (live,) = session.one::<(i64,)>(&queries::LIVE_KEYS, args![&*slot.project, before(now, COUNTED)]).await?;
        if u64::try_from(live).unwrap_or(0) >= *live_max {
            return Ok(Keeping::TooMany);
        }
        let columns = args![
            &*slot.project,
            &*slot.holder,
            slot.route,
            &*slot.key,
            now,
            &**fingerprint,
            i64::from(answer.status),
            &*answer.location,
            &*answer.body,
            before(now, KEPT),
        ];
        let kept = session.execute(&queries::KEEP_ANSWER, columns).await?;
        Ok(if kept == 1 { Keeping::Kept } else { Keeping::Taken })
    }

    /// What to say of a request whose slot was taken. Whoever took it may not be durable yet: this waits until he is, and
    /// fails where he failed.
    pub(super) async fn answered_before<T, R>(&self, slot: &Slot) -> Result<Once<T, R>, StoreError> {
        let mut session = self.write().await?;
        let kept = self.kept_in(&mut session, slot).await?;
        session.commit().await?;
        kept.map(Once::Before).ok_or(StoreError::Database(sqlx::Error::RowNotFound))
    }

    /// Forgets keys that are no longer promised; returns how many.
    pub(super) async fn forget_keys(&self) -> Result<u64, StoreError> {
        let mut session = self.write().await?;
        let until = before(session.now(&self.inner.ambient).await?, KEPT);
        let forgotten = session.execute(&queries::FORGET_KEYS, args![until]).await?;
        session.commit().await?;
        Ok(forgotten)
    }
}

fn before(now: i64, age: Duration) -> i64 {
    now.saturating_sub(i64::try_from(age.as_micros()).unwrap_or(i64::MAX))
}
