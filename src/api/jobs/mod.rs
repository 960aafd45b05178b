//! Jobs: shown, watched, listed, cancelled, deleted. How one begins is in `submissions.rs`. What a job does is not known here; its
//! row is the truth.

pub(super) mod comparisons;
pub(super) mod distillations;
pub(super) mod events;
pub(super) mod filter;
pub(super) mod submissions;
pub(super) mod watch;

use std::time::Duration;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::Value;
use tokio::time::Instant;

use crate::api::error::Problem;
use crate::api::state::Api;
use crate::api::wire::body;
use crate::api::wire::json::{Raw, millis, raw, rfc3339, tagged};
use crate::api::wire::page;
use crate::api::wire::request::{Caller, Query, Segments, wait_preferred};
use crate::fault::Code;
use crate::id::{Id, Kind};
use crate::job::{DatasetRef, Failure, Job, JobKind, Priority, Progress, Reason, Status, Warning};
use crate::store::{Cancellation, Deletion, Pulse};
use watch::Watch;

/// A job as clients see it.
#[derive(Serialize)]
struct JobOut<'a> {
    object: &'static str,
    id: &'a str,
    #[serde(rename = "type")]
    kind: JobKind,
    status: &'static str,
    reason: Option<Reason>,
    model: Option<&'a str>,
    dataset: &'a DatasetRef,
    created_at: String,
    started_at: Option<String>,
    finished_at: Option<String>,
    queue_ms: Option<i64>,
    duration_ms: Option<i64>,
    attempt: i64,
    max_attempts: i64,
    retry_of: Option<&'a str>,
    queue_position: Option<u64>,
    priority: Priority,
    progress: &'a Progress,
    spec: &'a Value,
    spec_resolved: &'a Value,
    warnings: &'a [Warning],
    estimate: &'a Value,
    result: Option<&'a Value>,
    error: Option<&'a Failure>,
    metadata: &'a Value,
    deduplicated: bool,
    request_id: &'a str,
    trace_id: Option<String>,
    links: Links,
}

#[derive(Serialize)]
struct Links {
    #[serde(rename = "self")]
    this: String,
    events: String,
    cancel: String,
}

pub(crate) fn href(job: &Job) -> String {
    format!("/api/v1/jobs/{}", job.id)
}

/// The status in JSON; `cancelling` is derived, never stored.
pub(crate) fn status_word(job: &Job) -> &'static str {
    if job.status == Status::Running && job.cancel_requested { "cancelling" } else { job.status.as_str() }
}

async fn show(api: &Api, job: &Job) -> Result<Raw, Problem> {
    write(job, api.store.queue_position(job).await?)
}

pub(crate) fn write(job: &Job, queue_position: Option<u64>) -> Result<Raw, Problem> {
    raw(&JobOut {
        object: "job",
        id: job.id.as_str(),
        kind: job.kind,
        status: status_word(job),
        reason: job.reason,
        model: job.model.as_deref(),
        dataset: &job.dataset,
        created_at: rfc3339(job.created_at),
        started_at: job.started_at.map(rfc3339),
        finished_at: job.finished_at.map(rfc3339),
        queue_ms: job.started_at.map(|started| millis(job.created_at, started)),
        duration_ms: job.started_at.zip(job.finished_at).map(|(started, finished)| millis(started, finished)),
        attempt: job.attempt,
        max_attempts: job.max_attempts,
        retry_of: job.retry_of.as_ref().map(Id::as_str),
        queue_position,
        priority: job.priority,
        progress: &job.progress,
        spec: &job.spec,
        spec_resolved: &job.spec_resolved,
        warnings: &job.warnings,
        estimate: &job.estimate,
        result: job.result.as_ref(),
        error: job.error.as_ref(),
        metadata: &job.metadata,
        deduplicated: false,
        request_id: &job.request_id,
        trace_id: job.traceparent.map(|traceparent| traceparent.trace_id()),
        links: Links { this: href(job), events: format!("{}/events", href(job)), cancel: format!("{}/cancel", href(job)) },
    })
}

pub(crate) fn preference_applied(response: &mut Response, wait: Option<Duration>) {
    let text = wait.map(|wait| format!("wait={}", wait.as_secs()));
    if let Some(value) = text.and_then(|text| HeaderValue::from_str(&text).ok()) {
        response.headers_mut().insert("preference-applied", value);
    }
}

/// Waits until `done` holds of the job, it ended, the wait is over, or the server stops; answers the job as it is then.
pub(crate) async fn wait_for(api: &Api, job: Job, wait: Duration, done: impl Fn(&Pulse) -> bool) -> Result<Job, Problem> {
    let until = Instant::now() + wait;
    let mut watch = Watch::new(api, &job.project, &job.id);
    while let Some(pulse) = watch.pulse().await? {
        let left = until.saturating_duration_since(Instant::now());
        if pulse.status.is_final() || done(&pulse) || left.is_zero() || !watch.changed(left).await {
            break;
        }
    }
    Ok(api.store.job(&job.project, &job.id).await?.unwrap_or(job))
}

/// `GET /api/v1/jobs/{job}`; with `Prefer: wait=n` at its next change of status.
pub(crate) async fn one(
    State(api): State<Api>,
    Segments(id): Segments<String>,
    query: Query,
    caller: Caller,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    query.finish()?;
    let id = job_id(&id)?;
    let mut job = api.store.job(caller.project(), &id).await?.ok_or_else(absent)?;
    let wait = wait_preferred(&headers);
    if let Some(wait) = wait.filter(|_| !job.status.is_final()) {
        let before = (job.status, job.cancel_requested);
        job = wait_for(&api, job, wait, |pulse| (pulse.status, pulse.cancel_requested) != before).await?;
    }
    let position = api.store.queue_position(&job).await?;
    // the place in the queue moves without a change of the row
    let tag = format!("{}-{}{}", job.id, job.revision, position.map_or(String::new(), |position| format!("-{position}")));
    let mut response = tagged(&tag, &write(&job, position)?);
    if !job.status.is_final() {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    preference_applied(&mut response, wait);
    Ok(response)
}

pub(crate) fn absent() -> Problem {
    Problem::not_found("job")
}

pub(crate) fn job_id(text: &str) -> Result<Id, Problem> {
    Id::parse(Kind::Job, text).ok_or_else(absent)
}

/// `GET /api/v1/jobs`.
pub(crate) async fn list(State(api): State<Api>, mut query: Query, caller: Caller, uri: Uri) -> Result<Response, Problem> {
    let project = caller.project();
    let list = api.list(&caller, "jobs");
    let filter = filter::take(&mut query)?;
    let window = page::window(&mut query, &list, api.limits.page_max)?;
    query.finish()?;
    let found = api.store.jobs(project, &filter, window.row(Kind::Job)?.as_ref(), window.limit).await?;
    let positions = api.store.queue_positions(project, &found.items).await?;
    let data = found.items.iter().map(|job| write(job, positions.get(&job.id).copied())).collect::<Result<_, _>>()?;
    Ok(page::list(&uri, data, found.next.map(|next| page::seal(&list, &page::row_position(&next)))))
}

/// `POST /api/v1/jobs/{job}/cancel`.
pub(crate) async fn cancel(
    State(api): State<Api>,
    caller: Caller,
    Segments(id): Segments<String>,
    query: Query,
    request: Request,
) -> Result<Response, Problem> {
    query.finish()?;
    let (head, body) = request.into_parts();
    let id = job_id(&id)?;
    body::check_empty(&body::whole(&head.headers, body, api.limits.json_bytes).await?)?;
    let (status, job) = match api.store.request_cancel(caller.project(), &id).await? {
        Cancellation::Cancelled(job) => (StatusCode::OK, job),
        Cancellation::Asked(job) => (StatusCode::ACCEPTED, job),
        Cancellation::AlreadyFinished(job) => {
            return Err(Problem::new(Code::AlreadyFinished, format!("the job has {} already", job.status.as_str())));
        }
        Cancellation::Absent => return Err(absent()),
    };
    tracing::info!(job = %job.id, "cancel asked");
    Ok((status, Json(show(&api, &job).await?)).into_response())
}

/// `DELETE /api/v1/jobs/{job}`: an ended job.
pub(crate) async fn remove(
    State(api): State<Api>,
    Segments(id): Segments<String>,
    query: Query,
    caller: Caller,
) -> Result<StatusCode, Problem> {
    query.finish()?;
    match api.store.delete_job(caller.project(), &job_id(&id)?).await? {
        Deletion::Done => Ok(StatusCode::NO_CONTENT),
        Deletion::Absent => Err(absent()),
        Deletion::InUse => Err(Problem::new(Code::Conflict, "the job has not ended; cancel it first")),
    }
}
