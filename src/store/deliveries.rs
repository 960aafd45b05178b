//! The outbox as its couriers see it: messages claimed under a lease, settled, listed, sent again, pruned.
//!
//! The number of an attempt is its fence: it never falls, and an attempt that is not the present one settles nothing.
//! A courier that dies leaves a lease that runs out, so a message may be sent twice and is never forgotten.

use std::time::Duration;

use sqlx::FromRow;

use super::db::args;
use super::webhooks::JOBS;
use super::{Cursor, Page, Store, StoreError, later, list_bounds, page, queries, records, to_the_end};
use crate::hook::Event;
use crate::id::{Id, Kind};

/// Where a message is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum DeliveryState {
    /// To be sent, for the first time or again.
    Pending,
    Delivered,
    /// Given up.
    Failed,
}

impl DeliveryState {
    /// The word in the database and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
        }
    }

    /// The state of a word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Pending, Self::Delivered, Self::Failed].into_iter().find(|state| state.as_str() == word)
    }
}

/// A message to one endpoint.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct DeliveryRow {
    pub id: Id,
    /// `None`: told because its job named a hook.
    pub endpoint: Option<Id>,
    pub url: String,
    pub event: Event,
    pub job: Option<Id>,
    pub body: String,
    pub state: DeliveryState,
    pub created_at: i64,
    pub next_at: i64,
    pub attempts: i64,
    pub finished_at: Option<i64>,
    /// Status of the last answer.
    pub last_status: Option<i64>,
    pub last_error: Option<String>,
}

/// The right to send a message, for a while.
#[derive(Clone, Debug)]
pub struct DeliveryClaim {
    /// The message; its `attempts` counts this one.
    pub delivery: DeliveryRow,
    /// Secrets to sign with, the present one first.
    pub secrets: Vec<String>,
    /// Attempts in this series, this one included.
    pub step: i64,
    /// Time since the series began.
    pub age: Duration,
    /// The store's time of the claim, microseconds since 1970.
    pub now: i64,
}

/// How many messages may be under way at once, from all processes.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct AtOnce {
    pub to_one_address: u64,
    pub of_one_project: u64,
}

/// What became of an attempt to send.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Attempt {
    Delivered {
        status: i64,
    },
    Again {
        after: Duration,
        status: Option<i64>,
        error: String,
    },
    GivenUp {
        status: Option<i64>,
        error: String,
    },
    /// The receiver wants nothing more: the endpoint is disabled.
    Gone {
        status: i64,
    },
}

/// What became of a request to send again.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub enum Resent {
    /// It waits to be sent, or is being sent at this moment.
    Pending(Box<DeliveryRow>),
    Disabled,
    Absent,
}

#[derive(FromRow)]
struct DeliveryRecord {
    id: String,
    project: String,
    holder: String,
    url: String,
    event: String,
    job_id: Option<String>,
    body: String,
    status: String,
    created_at: i64,
    since: i64,
    next_at: i64,
    attempts: i64,
    step: i64,
    finished_at: Option<i64>,
    last_status: Option<i64>,
    last_error: Option<String>,
}

impl TryFrom<DeliveryRecord> for DeliveryRow {
    type Error = StoreError;

    fn try_from(record: DeliveryRecord) -> Result<Self, StoreError> {
        let strange = |text: &str| StoreError::Row(format!("{text:?} is no word of a delivery"));
        Ok(Self {
            id: records::id(Kind::Message, &record.id)?,
            endpoint: if record.holder == JOBS { None } else { Some(records::id(Kind::Webhook, &record.holder)?) },
            url: record.url,
            event: Event::parse(&record.event).ok_or_else(|| strange(&record.event))?,
            job: record.job_id.map(|id| records::id(Kind::Job, &id)).transpose()?,
            body: record.body,
            state: DeliveryState::parse(&record.status).ok_or_else(|| strange(&record.status))?,
            created_at: record.created_at,
            next_at: record.next_at,
            attempts: record.attempts,
            finished_at: record.finished_at,
            last_status: record.last_status,
            last_error: record.last_error,
        })
    }
}

impl Store {
    /// Takes the next message that is due, for `lease`; no more are under way than `at_once` says.
    pub async fn claim_delivery(&self, lease: Duration, at_once: AtOnce) -> Result<Option<DeliveryClaim>, StoreError> {
        let [to_one, of_one] = [at_once.to_one_address, at_once.of_one_project].map(|most| i64::try_from(most).unwrap_or(i64::MAX));
        // most often there is nothing: found out without the writer's lock
        let mut session = self.read().await?;
        let now = session.now(&self.inner.ambient).await?;
        if session.optional::<(String,)>(&queries::DELIVERY_DUE, args![now, to_one, of_one]).await?.is_none() {
            return Ok(None);
        }
        drop(session);
        let mut session = self.write().await?;
        let now = session.now(&self.inner.ambient).await?;
        let claim = args![now, to_one, of_one, later(now, lease)];
        let Some(record) = session.optional::<DeliveryRecord>(&queries::CLAIM_DELIVERY, claim).await? else {
            session.rollback().await?;
            return Ok(None);
        };
        let holder = args![&*record.project, &*record.holder, now];
        let secrets = session.optional::<(String, Option<String>)>(&queries::SECRETS, holder).await?;
        session.commit().await?;
        let (step, age) = (record.step, Duration::from_micros(u64::try_from(now - record.since).unwrap_or(0)));
        let secrets = secrets.map_or_else(Vec::new, |(secret, old)| std::iter::once(secret).chain(old).collect());
        Ok(Some(DeliveryClaim { delivery: record.try_into()?, secrets, step, age, now }))
    }

    /// Stores what became of an attempt; `false` when it was no longer the present one, and nothing was written.
    pub async fn settle_delivery(&self, claim: &DeliveryClaim, attempt: Attempt) -> Result<bool, StoreError> {
        let (store, delivery) = (self.clone(), claim.delivery.clone());
        to_the_end(async move {
            let mut session = store.write().await?;
            let now = session.now(&store.inner.ambient).await?;
            let (state, next_at, status, error) = match &attempt {
                Attempt::Delivered { status } => (DeliveryState::Delivered, now, Some(*status), None),
                Attempt::Again { after, status, error } => (DeliveryState::Pending, later(now, *after), *status, Some(&**error)),
                Attempt::GivenUp { status, error } => (DeliveryState::Failed, now, *status, Some(&**error)),
                Attempt::Gone { status } => (DeliveryState::Failed, now, Some(*status), Some("the receiver wants no more messages")),
            };
            let finished_at = (state != DeliveryState::Pending).then_some(now);
            let values = args![&delivery.id, delivery.attempts, state.as_str(), finished_at, next_at, status, error];
            let settled = session.execute(&queries::SETTLE_DELIVERY, values).await? == 1;
            if let (true, Attempt::Gone { .. }, Some(endpoint)) = (settled, &attempt, &delivery.endpoint) {
                session.execute(&queries::DISABLE_WEBHOOK, args![endpoint]).await?;
                session.execute(&queries::STOP_DELIVERIES, args![endpoint, now]).await?;
            }
            session.commit().await?;
            Ok(settled)
        })
        .await
    }

    /// Messages to an endpoint, or with `None` to the hooks that jobs named; newest first.
    pub async fn deliveries(
        &self,
        project: &str,
        endpoint: Option<&Id>,
        state: Option<DeliveryState>,
        job: Option<&Id>,
        after: Option<&Cursor>,
        limit: u64,
    ) -> Result<Page<DeliveryRow>, StoreError> {
        let (created_at, id, rows) = list_bounds(after, limit);
        let (holder, job) = (endpoint.map_or(JOBS, Id::as_str), job.map(Id::as_str));
        let wanted = args![project, holder, state.map(DeliveryState::as_str), job, created_at, id, rows];
        let found = self.read().await?.all::<DeliveryRecord>(&queries::DELIVERIES, wanted).await?;
        let items = found.into_iter().map(DeliveryRow::try_from).collect::<Result<Vec<_>, _>>()?;
        Ok(page(items, limit, |row| Cursor { created_at: row.created_at, id: row.id.clone() }))
    }

    /// Sends a message again, from the beginning of the schedule, whatever became of it before.
    pub async fn resend_delivery(&self, project: &str, endpoint: Option<&Id>, id: &Id) -> Result<Resent, StoreError> {
        let (store, project, endpoint, id) = (self.clone(), project.to_owned(), endpoint.cloned(), id.clone());
        to_the_end(async move {
            if let Some(endpoint) = &endpoint {
                match store.webhook(&project, endpoint).await? {
                    None => return Ok(Resent::Absent),
                    Some(webhook) if !webhook.enabled => return Ok(Resent::Disabled),
                    Some(_) => {}
                }
            }
            let holder = endpoint.as_ref().map_or(JOBS, Id::as_str);
            let mut session = store.write().await?;
            let now = session.now(&store.inner.ambient).await?;
            let again = args![&*project, holder, &id, now];
            let mut found = session.optional::<DeliveryRecord>(&queries::RESEND_DELIVERY, again).await?;
            if found.is_none() {
                found = session.optional::<DeliveryRecord>(&queries::DELIVERY, args![&*project, holder, &id]).await?;
            }
            session.commit().await?;
            Ok(match found {
                Some(record) => Resent::Pending(Box::new(record.try_into()?)),
                None => Resent::Absent,
            })
        })
        .await
    }

    /// Removes messages that ended longer ago than `age`, a bounded number at once; returns how many.
    pub async fn prune_deliveries(&self, age: Duration) -> Result<u64, StoreError> {
        let mut session = self.write().await?;
        let oldest = session.now(&self.inner.ambient).await? - i64::try_from(age.as_micros()).unwrap_or(i64::MAX);
        let removed = session.execute(&queries::PRUNE_DELIVERIES, args![oldest]).await?;
        session.commit().await?;
        Ok(removed)
    }
}
