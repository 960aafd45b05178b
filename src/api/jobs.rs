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
use super::door::Origin;
use super::error::Problem;
use super::idempotency::{self, Turn};
use super::job_filter;
use super::json::{Raw, millis, raw, rfc3339, tagged, value};
use super::models;
use super::page;
use super::request::{Caller, Query, Segments, content_type, wait_preferred};
use super::state::Api;
use super::watch::Watch;
use super::webhooks;
use crate::dataset::Names;
use crate::fault::{Code, Fault};
use crate::id::{Id, Kind};
use crate::job::{DatasetRef, Failure, Job, JobKind, Priority, Progress, Reason, Status, Warning};
use crate::spec::{self, Asked, EvaluateSpec, FitSpec, JobRequest, KnownModel, Work};
use crate::store::{Answer, Cancellation, DatasetRow, Deletion, Enqueued, Keyed, NewJob, Once, Pulse, StoreError};

/// Where submissions keep their answers.
const SUBMIT: &str = "POST /api/v1/jobs";
const RETRY: &str = "POST /api/v1/jobs/{job}/retry";

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
    write(job, api.store.queue_position(job).await?)
}

fn write(job: &Job, queue_position: Option<u64>) -> Result<Raw, Problem> {
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

/// `POST /api/v1/jobs`.
pub(crate) async fn submit(
    State(api): State<Api>,
    caller: Caller,
    Extension(origin): Extension<Origin>,
    mut query: Query,
    request: Request,
) -> Result<Response, Problem> {
    let (head, body) = request.into_parts();
    let validate_only = query.take_as("validate_only", "true or false", |word| word.parse::<bool>().ok())?.unwrap_or(false);
    query.finish()?;
    require_json(&head.headers)?;
    let turn = if validate_only { None } else { Turn::begin(&api, &caller, SUBMIT, &head.headers)? };
    let body = body::whole(&head.headers, body, api.limits.json_bytes).await?;
    let fingerprint = idempotency::fingerprint(&[&body]);
    if let Some(turn) = &turn
        && let Some(kept) = turn.before(&api).await?
    {
        return idempotency::replay(&kept, &fingerprint);
    }
    let project = caller.project();
    let asked = spec::parse_job(&body, &api.limits.spec)?;
    let dataset = api.store.dataset(project, &asked.dataset, asked.version).await?.ok_or_else(no_dataset)?;
    let job = resolve(&api, project, asked, &dataset, origin).await?;
    if validate_only {
        let NewJob { spec_resolved, estimate, warnings, .. } = job;
        return Ok(Json(ValidationOut { object: "job_validation", spec_resolved, estimate, warnings }).into_response());
    }
    begin(&api, job, turn.as_ref(), &fingerprint, wait_preferred(&head.headers)).await
}

/// Queues a job and answers, once it ended or the wait is over.
async fn begin(api: &Api, job: NewJob, turn: Option<&Turn>, fingerprint: &str, wait: Option<Duration>) -> Result<Response, Problem> {
    let keyed = turn.map(|turn| turn.keyed(fingerprint));
    let (job, mut answer) = match enqueue(api, job, keyed.clone()).await? {
        Once::Done(job, answer) => (job, answer),
        Once::Refused(Enqueued::DatasetGone) => return Err(no_dataset()),
        Once::Refused(_) => return Err(Problem::new(Code::QueueFull, "the queue is full")),
        Once::Before(kept) => return idempotency::replay(&kept, fingerprint),
        Once::TooMany => return Err(idempotency::too_many()),
    };
    tracing::info!(job = %job.id, kind = job.kind.as_str(), model = job.model, request_id = job.request_id, "job queued");
    if let Some(wait) = wait {
        let job = wait_for(api, job, wait, |_| false).await?;
        answer = accepted(&job, api.store.queue_position(&job).await?)?;
        if let Some(keyed) = keyed {
            api.store.keep_later_answer(keyed, answer.clone()).await?;
        }
    }
    let mut response = idempotency::respond(&answer)?;
    preference_applied(&mut response, wait);
    Ok(response)
}

/// Queues the job; under a key, once.
async fn enqueue(api: &Api, job: NewJob, keyed: Option<Keyed>) -> Result<Once<Job, Enqueued>, Problem> {
    let Some(keyed) = keyed else {
        return match api.store.enqueue(job).await? {
            Enqueued::Job(job) => {
                let answer = accepted(&job, api.store.queue_position(&job).await?)?;
                Ok(Once::Done(*job, answer))
            }
            refused => Ok(Once::Refused(refused)),
        };
    };
    let render = |job: &Job, position| accepted(job, position).map_err(|problem| StoreError::Row(problem.fault.detail));
    Ok(api.store.enqueue_once(job, keyed, render).await?)
}

/// 200 when the job ended while waiting, else 202; both say where it is.
fn accepted(job: &Job, queue_position: Option<u64>) -> Result<Answer, Problem> {
    let status = if job.status.is_final() { StatusCode::OK } else { StatusCode::ACCEPTED };
    Ok(Answer { status: status.as_u16(), location: href(job), body: write(job, queue_position)?.get().to_owned() })
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

/// Fills every default from the data set, and from the model where the job reads one.
async fn resolve(api: &Api, project: &str, asked: JobRequest, dataset: &DatasetRow, origin: Origin) -> Result<NewJob, Problem> {
    let (work, warnings) = match &asked.work {
        Asked::Fit(fit) => resolve_fit(api, fit, &asked.spec, dataset).await?,
        Asked::Evaluate(evaluate) => (resolve_evaluation(api, project, evaluate, dataset).await?, Vec::new()),
    };
    let estimate = work.estimate(&dataset.meta, api.limits.fit_threads);
    Ok(NewJob {
        project: project.to_owned(),
        kind: asked.kind,
        model: asked.model,
        dataset: DatasetRef { name: dataset.name.clone(), version: dataset.version, sha256: dataset.meta.sha256.clone() },
        priority: asked.priority,
        spec: asked.spec,
        spec_resolved: work.write().map_err(|error| Problem::internal(error.to_string()))?,
        estimate: value(&estimate)?,
        metadata: asked.metadata,
        warnings,
        request_id: origin.request_id.to_string(),
        traceparent: origin.traceparent,
        memory_bytes: work.limits().grant(&estimate, api.limits.fit_memory_bytes)?,
        start_within: work.limits().start_within(),
        retry_of: None,
        webhook: webhooks::of_job(api, asked.webhook)?,
    })
}

/// The data set's files are opened only when the request speaks of features by name.
async fn resolve_fit(api: &Api, fit: &FitSpec, spec: &Value, dataset: &DatasetRow) -> Result<(Work, Vec<Warning>), Problem> {
    let names_some = |pointer: &str| spec.pointer(pointer).and_then(Value::as_object).is_some_and(|map| !map.is_empty());
    let by_name = ["/penalty/factors", "/penalty/groups", "/bounds"].into_iter().any(names_some);
    let opened = if by_name && dataset.meta.named { Some(api.store.open_dataset(dataset).await?) } else { None };
    let names: Option<&Names> = opened.as_ref().and_then(|opened| opened.names.as_deref());
    let (fit, warnings) = fit.resolve(&dataset.meta, names)?;
    Ok((Work::Fit(Box::new(fit)), warnings))
}

async fn resolve_evaluation(api: &Api, project: &str, asked: &EvaluateSpec, dataset: &DatasetRow) -> Result<Work, Problem> {
    let row = models::find(api, project, &asked.model).await?;
    let row = row.ok_or_else(|| Problem::from(Fault::at_pointer(Code::NotFound, "#/spec/model", "there is no such model version")))?;
    let (reference, named) = (row.reference(), row.is_named());
    let known = KnownModel { reference: &reference, loss: &row.card.loss, classes: row.card.classes.as_deref(), named };
    Ok(Work::Evaluate(asked.resolve(&known, &dataset.meta)?))
}

/// `POST /api/v1/jobs/{job}/retry`: a new job that says the same.
pub(crate) async fn retry(
    State(api): State<Api>,
    caller: Caller,
    Extension(origin): Extension<Origin>,
    Segments(id): Segments<String>,
    query: Query,
    request: Request,
) -> Result<Response, Problem> {
    query.finish()?;
    let (head, body) = request.into_parts();
    let id = job_id(&id)?;
    let turn = Turn::begin(&api, &caller, RETRY, &head.headers)?;
    check_empty(&body::whole(&head.headers, body, api.limits.json_bytes).await?)?;
    let fingerprint = idempotency::fingerprint(&[id.as_str().as_bytes()]);
    if let Some(turn) = &turn
        && let Some(kept) = turn.before(&api).await?
    {
        return idempotency::replay(&kept, &fingerprint);
    }
    let old = api.store.job(caller.project(), &id).await?.ok_or_else(absent)?;
    if !matches!(old.status, Status::Failed | Status::Cancelled) {
        return Err(Problem::new(
            Code::Conflict,
            format!("the job is {}; only a failed or cancelled one is tried again", status_word(&old)),
        ));
    }
    let job = again(&api, old, origin).await?;
    begin(&api, job, turn.as_ref(), &fingerprint, wait_preferred(&head.headers)).await
}

/// The same job once more, as it was resolved then; what it may cost is asked anew.
async fn again(api: &Api, old: Job, origin: Origin) -> Result<NewJob, Problem> {
    let dataset = api.store.dataset(&old.project, &old.dataset.name, Some(old.dataset.version)).await?.ok_or_else(no_dataset)?;
    let work = Work::read(old.kind, &old.spec_resolved).map_err(|error| Problem::internal(error.to_string()))?;
    let estimate = work.estimate(&dataset.meta, api.limits.fit_threads);
    Ok(NewJob {
        project: old.project,
        kind: old.kind,
        model: old.model,
        dataset: old.dataset,
        priority: old.priority,
        spec: old.spec,
        spec_resolved: old.spec_resolved,
        estimate: value(&estimate)?,
        metadata: old.metadata,
        warnings: old.warnings,
        request_id: origin.request_id.to_string(),
        traceparent: origin.traceparent,
        memory_bytes: work.limits().grant(&estimate, api.limits.fit_memory_bytes)?,
        start_within: work.limits().start_within(),
        retry_of: Some(old.id),
        webhook: None,
    })
}

/// Waits until `done` holds of the job, it ended, the wait is over, or the server stops; answers the job as it is then.
async fn wait_for(api: &Api, job: Job, wait: Duration, done: impl Fn(&Pulse) -> bool) -> Result<Job, Problem> {
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

fn absent() -> Problem {
    Problem::not_found("job")
}

fn job_id(text: &str) -> Result<Id, Problem> {
    Id::parse(Kind::Job, text).ok_or_else(absent)
}

/// `GET /api/v1/jobs`.
pub(crate) async fn list(State(api): State<Api>, mut query: Query, caller: Caller, uri: Uri) -> Result<Response, Problem> {
    let project = caller.project();
    let list = api.list(&caller, "jobs");
    let filter = job_filter::take(&mut query)?;
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
    check_empty(&body::whole(&head.headers, body, api.limits.json_bytes).await?)?;
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

/// An action needs no body; one that is sent must be an empty object.
pub(super) fn check_empty(body: &[u8]) -> Result<(), Problem> {
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
            Some(_) => Err(Fault::at_pointer(Code::UnknownField, "#", "this action knows no fields").into()),
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
