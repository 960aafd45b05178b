//! Webhook endpoints, their secrets, and what is recorded for them.
//!
//! A message is a row written in the transaction of the change it tells of: either both are committed or neither. How
//! it is sent is not known here; what becomes of it is in `deliveries.rs`.

use std::time::Duration;

use serde_json::{Value, json};
use sqlx::FromRow;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::db::{Session, args};
use super::{AliasMove, Cursor, DatasetRow, Page, Store, StoreError, later, list_bounds, page, queries, records, to_the_end};
use crate::ambient::Ambient;
use crate::hook::{Event, Hook};
use crate::id::{Id, Kind};
use crate::job::Status;

/// Holder of the one secret of all hooks that jobs of a project name.
pub(super) const JOBS: &str = "jobs";
/// After a rotation the old secret signs too for so long.
const OLD_SECRET: Duration = Duration::from_secs(24 * 3600);
/// Most endpoints of a project.
const ENDPOINTS_MAX: i64 = 20;
/// Progress of one job is told at most this often.
const PROGRESS_EVERY: Duration = Duration::from_secs(10);

/// An endpoint.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct WebhookRow {
    pub id: Id,
    pub project: String,
    pub url: String,
    pub events: Vec<Event>,
    pub description: String,
    pub enabled: bool,
    pub created_at: i64,
}

/// A hook that a job names; `secret` becomes the project's for such hooks if it has none.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct NewHook {
    pub hook: Hook,
    pub secret: String,
}

/// What of an endpoint changes.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct WebhookChange {
    pub url: Option<String>,
    pub events: Option<Vec<Event>>,
    pub description: Option<String>,
    pub enabled: Option<bool>,
}

/// What became of a new endpoint.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub enum WebhookAdded {
    Webhook(Box<WebhookRow>),
    /// The project has this many, and no more are allowed.
    Full(i64),
}

#[derive(FromRow)]
struct WebhookRecord {
    id: String,
    project: String,
    url: String,
    events: String,
    description: String,
    enabled: i64,
    created_at: i64,
}

impl TryFrom<WebhookRecord> for WebhookRow {
    type Error = StoreError;

    fn try_from(record: WebhookRecord) -> Result<Self, StoreError> {
        Ok(Self {
            id: records::id(Kind::Webhook, &record.id)?,
            project: record.project,
            url: record.url,
            events: words(&record.events)?,
            description: record.description,
            enabled: record.enabled != 0,
            created_at: record.created_at,
        })
    }
}

/// One who hears of a job, and what there is to tell.
#[derive(FromRow)]
struct JobListener {
    holder: String,
    url: String,
    events: String,
    id: String,
    project: String,
    kind: String,
    status: String,
    reason: Option<String>,
    model: String,
    dataset_name: String,
    dataset_version: i64,
    attempt: i64,
    fraction: f64,
    result: Option<String>,
    error: Option<String>,
}

impl Store {
    /// Adds an endpoint with its secret.
    pub async fn add_webhook(&self, project: &str, hook: Hook, description: &str, secret: &str) -> Result<WebhookAdded, StoreError> {
        let (store, project, description, secret) = (self.clone(), project.to_owned(), description.to_owned(), secret.to_owned());
        to_the_end(async move {
            let mut session = store.write().await?;
            let (present,) = session.one::<(i64,)>(&queries::COUNT_WEBHOOKS, args![&*project]).await?;
            if present >= ENDPOINTS_MAX {
                return Ok(WebhookAdded::Full(ENDPOINTS_MAX));
            }
            let id = Id::new(Kind::Webhook, &store.inner.ambient);
            let created_at = session.now(&store.inner.ambient).await?;
            let Hook { url, events } = hook;
            let columns = args![&id, &*project, &*url, text(&events), &*description, 1, created_at];
            session.execute(&queries::ADD_WEBHOOK, columns).await?;
            session.execute(&queries::KEEP_SECRET, args![&*project, &id, secret]).await?;
            session.commit().await?;
            Ok(WebhookAdded::Webhook(Box::new(WebhookRow { id, project, url, events, description, enabled: true, created_at })))
        })
        .await
    }

    /// Endpoints, newest first.
    pub async fn webhooks(&self, project: &str, after: Option<&Cursor>, limit: u64) -> Result<Page<WebhookRow>, StoreError> {
        let (created_at, id, rows) = list_bounds(after, limit);
        let found = self.read().await?.all::<WebhookRecord>(&queries::WEBHOOKS, args![project, created_at, id, rows]).await?;
        let items = found.into_iter().map(WebhookRow::try_from).collect::<Result<Vec<_>, _>>()?;
        Ok(page(items, limit, |row| Cursor { created_at: row.created_at, id: row.id.clone() }))
    }

    /// One endpoint.
    pub async fn webhook(&self, project: &str, id: &Id) -> Result<Option<WebhookRow>, StoreError> {
        let found = self.read().await?.optional::<WebhookRecord>(&queries::WEBHOOK, args![project, id]).await?;
        found.map(WebhookRow::try_from).transpose()
    }

    /// Changes an endpoint. What waits for it goes to its new address, or nowhere once it is disabled.
    pub async fn change_webhook(&self, project: &str, id: &Id, change: WebhookChange) -> Result<Option<WebhookRow>, StoreError> {
        let (store, project, id) = (self.clone(), project.to_owned(), id.clone());
        to_the_end(async move {
            let mut session = store.write().await?;
            let WebhookChange { url, events, description, enabled } = change;
            let events = events.map(|events| text(&events));
            let values = args![&*project, &id, url.as_deref(), events.as_deref(), description.as_deref(), enabled.map(i64::from)];
            let Some(record) = session.optional::<WebhookRecord>(&queries::CHANGE_WEBHOOK, values).await? else { return Ok(None) };
            if let Some(url) = url {
                session.execute(&queries::MOVE_DELIVERIES, args![&*project, &id, url]).await?;
            }
            if enabled == Some(false) {
                let now = session.now(&store.inner.ambient).await?;
                session.execute(&queries::STOP_DELIVERIES, args![&id, now]).await?;
            }
            session.commit().await?;
            record.try_into().map(Some)
        })
        .await
    }

    /// Deletes an endpoint with its secret and its messages; whether there was one.
    pub async fn delete_webhook(&self, project: &str, id: &Id) -> Result<bool, StoreError> {
        let (store, project, id) = (self.clone(), project.to_owned(), id.clone());
        to_the_end(async move {
            let mut session = store.write().await?;
            let deleted = session.execute(&queries::DELETE_WEBHOOK, args![&*project, &id]).await?;
            session.execute(&queries::DELETE_SECRET, args![&*project, &id]).await?;
            session.execute(&queries::DELETE_DELIVERIES, args![&*project, &id]).await?;
            session.commit().await?;
            Ok(deleted == 1)
        })
        .await
    }

    /// Gives an endpoint, or with `None` the hooks that jobs name, a new secret; whether there is such a holder. The old
    /// secret signs too for a day.
    pub async fn rotate_secret(&self, project: &str, endpoint: Option<&Id>, secret: &str) -> Result<bool, StoreError> {
        let (store, project, endpoint, secret) = (self.clone(), project.to_owned(), endpoint.cloned(), secret.to_owned());
        to_the_end(async move {
            let mut session = store.write().await?;
            if let Some(id) = &endpoint
                && session.optional::<WebhookRecord>(&queries::WEBHOOK, args![&*project, id]).await?.is_none()
            {
                return Ok(false);
            }
            let until = later(session.now(&store.inner.ambient).await?, OLD_SECRET);
            let holder = endpoint.as_ref().map_or(JOBS, Id::as_str);
            session.execute(&queries::ROTATE_SECRET, args![&*project, holder, secret, until]).await?;
            session.commit().await?;
            Ok(true)
        })
        .await
    }
}

/// Notes the hook that a job names; in the transaction of its submission.
pub(super) async fn subscribe(session: &mut Session, project: &str, job: &Id, new: &NewHook) -> Result<(), StoreError> {
    session.execute(&queries::HOOK_JOB, args![job, &*new.hook.url, text(&new.hook.events)]).await?;
    session.execute(&queries::KEEP_SECRET, args![project, JOBS, &*new.secret]).await?;
    Ok(())
}

/// A job that tries another one again is told of to whom that one named.
pub(super) async fn inherit(session: &mut Session, job: &Id, old: &Id) -> Result<(), StoreError> {
    session.execute(&queries::INHERIT_HOOK, args![job, old]).await.map(drop)
}

/// Records for all who listen what a job has just become; in the transaction that made it so.
pub(super) async fn record(session: &mut Session, ambient: &Ambient, job: &str) -> Result<(), StoreError> {
    for listener in session.all::<JobListener>(&queries::LISTENERS_OF_JOB, args![job]).await? {
        if let Some(event) = Status::parse(&listener.status).and_then(Event::of) {
            tell(session, ambient, &listener, event).await?;
        }
    }
    Ok(())
}

/// Records how far a job is, for those who want to hear of it and have not just heard.
pub(super) async fn record_progress(session: &mut Session, ambient: &Ambient, job: &Id) -> Result<(), StoreError> {
    let listeners = session.all::<JobListener>(&queries::LISTENERS_OF_JOB, args![job]).await?;
    let wanting: Vec<_> = listeners.into_iter().filter(|listener| listens(&listener.events, Event::JobProgress)).collect();
    if wanting.is_empty() {
        return Ok(());
    }
    let (last,) = session.one::<(i64,)>(&queries::LAST_PROGRESS, args![job]).await?;
    if session.now(ambient).await? < later(last, PROGRESS_EVERY) {
        return Ok(());
    }
    for listener in wanting {
        tell(session, ambient, &listener, Event::JobProgress).await?;
    }
    Ok(())
}

async fn tell(session: &mut Session, ambient: &Ambient, listener: &JobListener, event: Event) -> Result<(), StoreError> {
    if !listens(&listener.events, event) {
        return Ok(());
    }
    let (now, data) = (session.now(ambient).await?, thin_job(listener));
    let (id, body) = (Id::new(Kind::Message, ambient), message(event, now, &data));
    let (project, holder, url) = (&*listener.project, &*listener.holder, &*listener.url);
    session.execute(&queries::ADD_DELIVERY, args![&id, project, holder, url, event.as_str(), &*listener.id, body, now]).await?;
    Ok(())
}

/// Records that a data set version is ready; in the transaction that adds it.
pub(super) async fn record_dataset(session: &mut Session, ambient: &Ambient, row: &DatasetRow) -> Result<(), StoreError> {
    record_of(session, ambient, &row.project, Event::DatasetReady, row.created_at, &thin_dataset(row)).await
}

/// Records where an alias points now; in the transaction that moves it.
pub(super) async fn record_alias(
    session: &mut Session,
    ambient: &Ambient,
    (project, model, alias): (&str, &str, &str),
    last: &AliasMove,
) -> Result<(), StoreError> {
    record_of(session, ambient, project, Event::AliasMoved, last.at, &thin_alias(model, alias, last)).await
}

/// Records for all of a project who listen what is about no job.
async fn record_of(
    session: &mut Session,
    ambient: &Ambient,
    project: &str,
    event: Event,
    now: i64,
    data: &Value,
) -> Result<(), StoreError> {
    for (holder, url, events) in session.all::<(String, String, String)>(&queries::LISTENERS_OF_PROJECT, args![project]).await? {
        if listens(&events, event) {
            let (id, body) = (Id::new(Kind::Message, ambient), message(event, now, data));
            let columns = args![&id, project, holder, url, event.as_str(), None::<&str>, body, now];
            session.execute(&queries::ADD_DELIVERY, columns).await?;
        }
    }
    Ok(())
}

fn message(event: Event, now: i64, data: &Value) -> String {
    let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(now) * 1000).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    json!({ "type": event.as_str(), "timestamp": time.format(&Rfc3339).unwrap_or_default(), "data": data }).to_string()
}

/// What a message tells of a job: enough to know what to ask for, and nothing that a client could make long.
fn thin_job(job: &JobListener) -> Value {
    let json_of = |text: &Option<String>| text.as_deref().and_then(|text| serde_json::from_str::<Value>(text).ok()).unwrap_or_default();
    let (result, error) = (json_of(&job.result), json_of(&job.error));
    let error = error.is_object().then(|| json!({ "code": error["code"], "title": error["title"], "retryable": error["retryable"] }));
    json!({
        "id": job.id,
        "type": job.kind,
        "status": job.status,
        "reason": job.reason,
        "model": Some(&job.model).filter(|name| !name.is_empty()),
        "dataset": { "name": job.dataset_name, "version": job.dataset_version },
        "attempt": job.attempt,
        "fraction": job.fraction,
        "model_version": result["model_version"],
        "error": error,
        "href": format!("/api/v1/jobs/{}", job.id),
    })
}

fn thin_dataset(row: &DatasetRow) -> Value {
    json!({
        "id": row.id,
        "dataset": row.name,
        "version": row.version,
        "shape": row.meta.shape,
        "nnz": row.meta.nnz,
        "sha256": row.meta.sha256,
        "href": format!("/api/v1/datasets/{}/versions/{}", row.name, row.version),
    })
}

fn thin_alias(model: &str, alias: &str, last: &AliasMove) -> Value {
    json!({
        "id": format!("{model}@{alias}"),
        "model": model,
        "alias": alias,
        "version": last.version,
        "previous_version": last.previous,
        "number": last.number,
        "by": last.by,
        "href": format!("/api/v1/models/{model}/aliases/{alias}"),
    })
}

fn text(events: &[Event]) -> String {
    events.iter().map(|event| event.as_str()).collect::<Vec<_>>().join(" ")
}

fn words(text: &str) -> Result<Vec<Event>, StoreError> {
    let word = |word: &str| Event::parse(word).ok_or_else(|| StoreError::Row(format!("{word:?} is no event")));
    text.split(' ').filter(|word| !word.is_empty()).map(word).collect()
}

fn listens(events: &str, event: Event) -> bool {
    events.split(' ').any(|word| word == event.as_str())
}
