//! Jobs: submit, watch, list, cancel, delete. What a job does is not known here; its row is the truth.

use std::time::Duration;

use axum::Json;
use axum::extract::{Extension, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::Value;
use tokio::time::Instant;

use super::body;
use super::door::RequestId;
use super::error::Problem;
use super::json::{Raw, millis, raw, rfc3339, value};
use super::page;
use super::request::{Caller, Query, Segments, content_type, wait_preferred};
use super::state::Api;
use super::webhooks;
use crate::dataset::Names;
use crate::fault::{Code, Fault};
use crate::id::{Id, Kind};
use crate::job::{DatasetRef, Failure, Job, Priority, Progress, Reason, Status, Warning};
use crate::spec::{self, JobRequest, is_name};
use crate::store::{Cancellation, DatasetRow, Deletion, Enqueued, JobFilter, NewJob};

/// While waiting, the row is read at least this often: another process may have changed it.
const REREAD: Duration = Duration::from_millis(500);

/// A job as clients see it.
#[derive(Serialize)]
struct JobOut<'a> {
    object: &'static str,
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    status: &'static str,
    reason: Option<Reason>,
    model: &'a str,
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
    trace_id: Option<&'a str>,
    links: Links,
}

#[derive(Serialize)]
struct Links {
    #[serde(rename = "self")]
    this: String,
    cancel: String,
}

/// Answer to `?validate_only=true`.
#[derive(Serialize)]
struct ValidationOut {
    object: &'static str,
    spec_resolved: Value,
    estimate: Value,
    warnings: Vec<Warning>,
}

fn href(job: &Job) -> String {
    format!("/api/v1/jobs/{}", job.id)
}

/// The status in JSON; `cancelling` is derived, never stored.
fn status_word(job: &Job) -> &'static str {
    if job.status == Status::Running && job.cancel_requested { "cancelling" } else { job.status.as_str() }
}

async fn show(api: &Api, job: &Job) -> Result<Raw, Problem> {
    let queue_position = if job.status == Status::Queued { api.store.queue_position(job).await? } else { None };
    raw(&JobOut {
        object: "job",
        id: job.id.as_str(),
        kind: &job.kind,
        status: status_word(job),
        reason: job.reason,
        model: &job.model,
        dataset: &job.dataset,
        created_at: rfc3339(job.created_at),
        started_at: job.started_at.map(rfc3339),
        finished_at: job.finished_at.map(rfc3339),
        queue_ms: job.started_at.map(|started| millis(job.created_at, started)),
        duration_ms: job.started_at.zip(job.finished_at).map(|(started, finished)| millis(started, finished)),
        attempt: job.attempt,
        max_attempts: job.max_attempts,
        retry_of: None,
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
        trace_id: None,
        links: Links { this: href(job), cancel: format!("{}/cancel", href(job)) },
    })
}

/// `POST /api/v1/jobs`.
pub(crate) async fn submit(
    State(api): State<Api>,
    caller: Caller,
    Extension(RequestId(request_id)): Extension<RequestId>,
    mut query: Query,
    request: Request,
) -> Result<Response, Problem> {
    let (head, body) = request.into_parts();
    let validate_only = query.take_as("validate_only", "true or false", |word| word.parse::<bool>().ok())?.unwrap_or(false);
    query.finish()?;
    require_json(&head.headers)?;
    let body = body::whole(&head.headers, body, api.limits.json_bytes).await?;
    let project = caller.project();
    let asked = spec::parse_job(&body, &api.limits.spec)?;
    let dataset = api.store.dataset(project, &asked.dataset, asked.version).await?.ok_or_else(no_dataset)?;
    let job = resolve(&api, project, asked, &dataset, &request_id).await?;
    if validate_only {
        let NewJob { spec_resolved, estimate, warnings, .. } = job;
        return Ok(Json(ValidationOut { object: "job_validation", spec_resolved, estimate, warnings }).into_response());
    }
    let job = match api.store.enqueue(job).await? {
        Enqueued::Job(job) => *job,
        Enqueued::Full => return Err(Problem::new(Code::QueueFull, "the queue is full")),
        Enqueued::DatasetGone => return Err(no_dataset()),
    };
    tracing::info!(job = %job.id, model = job.model, request_id = %request_id, "job queued");
    let wait = wait_preferred(&head.headers);
    let job = match wait {
        Some(wait) => watch(&api, job, wait, |_| false).await?,
        None => job,
    };
    accepted(&api, &job, wait).await
}

/// 200 when the job ended while waiting, else 202; both say where it is.
async fn accepted(api: &Api, job: &Job, wait: Option<Duration>) -> Result<Response, Problem> {
    let status = if job.status.is_final() { StatusCode::OK } else { StatusCode::ACCEPTED };
    let mut response = (status, Json(show(api, job).await?)).into_response();
    if let Ok(location) = HeaderValue::from_str(&href(job)) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    if status == StatusCode::ACCEPTED {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    preference_applied(&mut response, wait);
    Ok(response)
}

fn preference_applied(response: &mut Response, wait: Option<Duration>) {
    let text = wait.map(|wait| format!("wait={}", wait.as_secs()));
    if let Some(value) = text.and_then(|text| HeaderValue::from_str(&text).ok()) {
        response.headers_mut().insert("preference-applied", value);
    }
}

pub(crate) fn require_json(headers: &HeaderMap) -> Result<(), Problem> {
    match content_type(headers) {
        Some(media) if media.essence == "application/json" => Ok(()),
        _ => Err(Problem::new(Code::UnsupportedMediaType, "this route takes application/json")),
    }
}

fn no_dataset() -> Problem {
    Fault::at_pointer(Code::NotFound, "#/dataset", "there is no such data set version").into()
}

/// Fills every default from the data set. Its files are opened only when the request speaks of features by name.
async fn resolve(api: &Api, project: &str, asked: JobRequest, dataset: &DatasetRow, request_id: &Id) -> Result<NewJob, Problem> {
    let by_name = asked.spec.pointer("/penalty/factors").is_some_and(|factors| factors.as_object().is_some_and(|map| !map.is_empty()));
    let opened = if by_name && dataset.meta.named { Some(api.store.open_dataset(dataset).await?) } else { None };
    let names: Option<&Names> = opened.as_ref().and_then(|opened| opened.names.as_deref());
    let (fit, warnings) = asked.fit.resolve(&dataset.meta, names)?;
    let estimate = spec::estimate(&dataset.meta, &fit);
    Ok(NewJob {
        project: project.to_owned(),
        kind: "fit".to_owned(),
        model: asked.model,
        dataset: DatasetRef { name: dataset.name.clone(), version: dataset.version, sha256: dataset.meta.sha256.clone() },
        priority: asked.priority,
        spec: asked.spec,
        spec_resolved: value(&fit)?,
        estimate: value(&estimate)?,
        metadata: asked.metadata,
        warnings,
        request_id: request_id.to_string(),
        webhook: webhooks::of_job(api, asked.webhook)?,
    })
}

/// Waits until `done` holds of the job, it ended, the wait is over, or the server stops; answers the job as it is then.
async fn watch(api: &Api, mut job: Job, wait: Duration, done: impl Fn(&Job) -> bool) -> Result<Job, Problem> {
    let until = Instant::now() + wait;
    let mut changes = api.store.hub().watch_job(&job.id);
    loop {
        // Subscribed first, read second: no change can fall between.
        if let Some(now) = api.store.job(&job.project, &job.id).await? {
            job = now;
        }
        let left = until.saturating_duration_since(Instant::now());
        if job.status.is_final() || done(&job) || left.is_zero() {
            return Ok(job);
        }
        tokio::select! {
            () = changes.changed() => {}
            () = tokio::time::sleep(left.min(REREAD)) => {}
            () = api.life.drained() => return Ok(job),
        }
    }
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
        let before = status_word(&job);
        job = watch(&api, job, wait, |job| status_word(job) != before).await?;
    }
    let mut response = Json(show(&api, &job).await?).into_response();
    if !job.status.is_final() {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    preference_applied(&mut response, wait);
    Ok(response)
}

fn absent() -> Problem {
    Problem::not_found("job")
}

fn job_id(text: &str) -> Result<Id, Problem> {
    Id::parse(Kind::Job, text).ok_or_else(absent)
}

/// `GET /api/v1/jobs`.
pub(crate) async fn list(State(api): State<Api>, mut query: Query, caller: Caller, uri: Uri) -> Result<Response, Problem> {
    let project = caller.project();
    let list = format!("{project}/jobs");
    let name = |text: &str| is_name(text).then(|| text.to_owned());
    let words = "queued, running, cancelling, succeeded, failed or cancelled";
    let (status, cancelling) = query.take_as("status", words, status_filter)?.unwrap_or((None, None));
    let filter = JobFilter {
        status,
        cancelling,
        dataset: query.take_as("dataset", "the name of a data set", name)?,
        model: query.take_as("model", "the name of a model", name)?,
    };
    query.take_as("type", "fit", |word| (word == "fit").then_some(()))?;
    let window = page::window(&mut query, &list, api.limits.page_max)?;
    query.finish()?;
    let found = api.store.jobs(project, &filter, window.row(Kind::Job)?.as_ref(), window.limit).await?;
    let mut data = Vec::with_capacity(found.items.len());
    for job in &found.items {
        data.push(show(&api, job).await?);
    }
    Ok(page::list(&uri, data, found.next.map(|next| page::seal(&list, &page::row_position(&next)))))
}

/// A word of JSON as a filter on rows: `running` shows those without a request to cancel, `cancelling` those with one.
fn status_filter(word: &str) -> Option<(Option<Status>, Option<bool>)> {
    match word {
        "cancelling" => Some((Some(Status::Running), Some(true))),
        "running" => Some((Some(Status::Running), Some(false))),
        other => Status::parse(other).map(|status| (Some(status), None)),
    }
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
    check_cancel_body(&body::whole(&head.headers, body, api.limits.json_bytes).await?)?;
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

/// A cancel needs no body; one that is sent must be an empty object.
fn check_cancel_body(body: &[u8]) -> Result<(), Problem> {
    if body.trim_ascii().is_empty() {
        return Ok(());
    }
    let value: Value = serde_json::from_slice(body).map_err(|error| {
        Problem::from(Fault::at_line(Code::MalformedJson, error.line() as u64, error.column() as u64, "the body is not JSON"))
    })?;
    match value.as_object() {
        None => Err(Fault::at_pointer(Code::InvalidField, "#", "must be an object").into()),
        Some(fields) => match fields.keys().next() {
            None => Ok(()),
            Some(_) => Err(Fault::at_pointer(Code::UnknownField, "#", "a cancel knows no fields").into()),
        },
    }
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
