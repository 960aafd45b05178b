//! How a job begins: what is asked for, resolved against what is stored, queued once under its key; and tried again.

use std::time::Duration;

use axum::Json;
use axum::extract::{Extension, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::Value;

use super::comparisons;
use super::distillations;
use super::{absent, href, job_id, preference_applied, status_word, wait_for, write};
use crate::api::door::Origin;
use crate::api::error::Problem;
use crate::api::state::Api;
use crate::api::webhooks;
use crate::api::wire::body;
use crate::api::wire::idempotency::{self, Turn};
use crate::api::wire::json::value;
use crate::api::wire::request::{Caller, Query, Segments, wait_preferred};
use crate::dataset::{Class, Names};
use crate::fault::{Code, Fault};
use crate::job::{DatasetRef, Job, JobKind, Status, Warning};
use crate::model::Card;
use crate::spec::{self, Asked, BaseSize, EvaluateSpec, FitSpec, JobRequest, KnownModel, ModelRef, PruneSpec, Work};
use crate::store::{Answer, DatasetRow, Enqueued, Keyed, ModelRow, NewJob, Once, StoreError};

/// Where submissions keep their answers.
const SUBMIT: &str = "POST /api/v1/jobs";
const RETRY: &str = "POST /api/v1/jobs/{job}/retry";

/// Answer to `?validate_only=true`.
#[derive(Serialize)]
struct ValidationOut {
    object: &'static str,
    spec_resolved: Value,
    estimate: Value,
    warnings: Vec<Warning>,
}

/// `POST /api/v1/jobs`.
pub(crate) async fn submit(
    State(api): State<Api>,
    caller: Caller,
    Extension(origin): Extension<Origin>,
    query: Query,
    request: Request,
) -> Result<Response, Problem> {
    submit_as(&api, &caller, origin, query, request, (None, SUBMIT)).await
}

/// Takes a submission of any kind of job, or of one alone, whose answers are kept under a name of their own.
pub(crate) async fn submit_as(
    api: &Api,
    caller: &Caller,
    origin: Origin,
    mut query: Query,
    request: Request,
    (only, slot): (Option<JobKind>, &'static str),
) -> Result<Response, Problem> {
    let (head, body) = request.into_parts();
    let validate_only = query.take_as("validate_only", "true or false", |word| word.parse::<bool>().ok())?.unwrap_or(false);
    query.finish()?;
    body::require_json(&head.headers)?;
    let turn = if validate_only { None } else { Turn::begin(api, caller, slot, &head.headers)? };
    let body = body::whole(&head.headers, body, api.limits.json_bytes).await?;
    let fingerprint = idempotency::fingerprint(&[&body]);
    if let Some(turn) = &turn
        && let Some(kept) = turn.before(api).await?
    {
        return idempotency::replay(&kept, &fingerprint);
    }
    let project = caller.project();
    let asked = spec::parse_job_of(only, &body, &api.limits.spec)?;
    let dataset = api.store.dataset(project, &asked.dataset, asked.version).await?.ok_or_else(no_dataset)?;
    let job = resolve(api, project, asked, &dataset, origin).await?;
    if validate_only {
        let NewJob { spec_resolved, estimate, warnings, .. } = job;
        return Ok(Json(ValidationOut { object: "job_validation", spec_resolved, estimate, warnings }).into_response());
    }
    begin(api, job, turn.as_ref(), &fingerprint, wait_preferred(&head.headers)).await
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

fn no_dataset() -> Problem {
    Fault::at_pointer(Code::NotFound, "#/dataset", "there is no such data set version").into()
}

/// Fills every default from the data set, and from the model where the job reads one.
async fn resolve(api: &Api, project: &str, asked: JobRequest, dataset: &DatasetRow, origin: Origin) -> Result<NewJob, Problem> {
    let (work, warnings) = match &asked.work {
        Asked::Fit(fit) => resolve_fit(api, project, fit, &asked.spec, dataset).await?,
        fit @ (Asked::Tree(_) | Asked::Rules(_) | Asked::Network(_) | Asked::Ensemble(_)) => {
            let strange = || Problem::internal("a fit was not resolved as one".to_owned());
            fit.resolve_fit(&dataset.meta, None)?.ok_or_else(strange)?
        }
        Asked::Evaluate(evaluate) => (resolve_evaluation(api, project, evaluate, dataset).await?, Vec::new()),
        Asked::Compare(compare) => (comparisons::resolve(api, project, compare, dataset).await?, Vec::new()),
        Asked::Prune(prune) => (resolve_pruning(api, project, prune, dataset).await?, Vec::new()),
        Asked::Distill(distill) => distillations::resolve(api, project, distill, &asked.spec, dataset).await?,
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
async fn resolve_fit(api: &Api, project: &str, fit: &FitSpec, spec: &Value, dataset: &DatasetRow) -> Result<(Work, Vec<Warning>), Problem> {
    let opened = if names_features(spec) && dataset.meta.named { Some(api.store.open_dataset(dataset).await?) } else { None };
    let names: Option<&Names> = opened.as_ref().and_then(|opened| opened.names.as_deref());
    let (mut resolved, mut warnings) = fit.resolve(&dataset.meta, names)?;
    if let Some(start) = fit.warm_start() {
        let row = named(api, project, start, "#/spec/warm_start").await?;
        let (reference, classes) = (row.reference(), row.card.classes());
        warnings.extend(fit.begin_at(&mut resolved, &known(&row, &reference, classes.as_deref()), &dataset.meta)?);
    }
    Ok((Work::Fit(Box::new(resolved)), warnings))
}

/// Whether the specification of a fit speaks of some feature by name.
pub(crate) fn names_features(spec: &Value) -> bool {
    let names_some = |pointer: &str| spec.pointer(pointer).and_then(Value::as_object).is_some_and(|map| !map.is_empty());
    ["/penalty/factors", "/penalty/groups", "/bounds"].into_iter().any(names_some)
}

async fn resolve_evaluation(api: &Api, project: &str, asked: &EvaluateSpec, dataset: &DatasetRow) -> Result<Work, Problem> {
    let row = named(api, project, &asked.model, "#/spec/model").await?;
    let (reference, classes) = (row.reference(), row.card.classes());
    Ok(Work::Evaluate(asked.resolve(&known(&row, &reference, classes.as_deref()), &dataset.meta)?))
}

async fn resolve_pruning(api: &Api, project: &str, asked: &PruneSpec, dataset: &DatasetRow) -> Result<Work, Problem> {
    let row = named(api, project, &asked.base, "#/spec/base").await?;
    let (reference, classes) = (row.reference(), row.card.classes());
    Ok(Work::Prune(asked.resolve(&known(&row, &reference, classes.as_deref()), size_of(&row.card), &dataset.meta)?))
}

/// The model version that a specification names at `pointer`.
pub(crate) async fn named(api: &Api, project: &str, model: &ModelRef, pointer: &str) -> Result<ModelRow, Problem> {
    let row = api.store.picked_model(project, &model.name, &model.pick).await?;
    row.ok_or_else(|| Fault::at_pointer(Code::NotFound, pointer, "there is no such model version").into())
}

/// What a specification may know of it.
pub(crate) fn known<'r>(row: &'r ModelRow, reference: &'r str, classes: Option<&'r [Option<Class>]>) -> KnownModel<'r> {
    KnownModel { reference, kind: row.card.kind(), loss: row.card.loss(), classes, named: row.is_named() }
}

/// What a pruning may know of a model's size.
fn size_of(card: &Card) -> BaseSize {
    match card {
        Card::Tree(card) => BaseSize::Tree { leaves: card.sparsity.leaves },
        Card::Network(card) => {
            let layers = &card.sparsity.layers;
            let hidden = layers.split_last().map_or(&[][..], |(_, hidden)| hidden);
            BaseSize::Network {
                weights: layers.iter().map(|layer| layer.shape[0].saturating_mul(layer.shape[1])).sum(),
                neurons: hidden.iter().map(|layer| layer.shape[1]).sum(),
                inputs: card.sparsity.features_active,
            }
        }
        Card::Linear(_) | Card::Rules(_) | Card::Ensemble(_) => BaseSize::Other,
    }
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
    body::check_empty(&body::whole(&head.headers, body, api.limits.json_bytes).await?)?;
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
