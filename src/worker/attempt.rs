//! One attempt at one job: its work on a thread of its own, and beside it those who prove life, pass progress on, and
//! listen for cancel, time limit, lost lease and shutdown.

use std::convert::Infallible;
use std::future::pending;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Map, Value};
use tokio::sync::oneshot;
use tokio::time::MissedTickBehavior;

use super::halt::{Halt, Shared, Stopping};
use super::keeper::Keeper;
use super::{Worker, at_once, compare, distill, networks};
use crate::dataset::Dataset;
use crate::job::{Failure, Job, JobKind, Progress, Reason, Status, Warning};
use crate::model::{KeptPath, Model};
use crate::spec::{ModelRef, OnLimit, ResolvedFit, Work};
use crate::store::{Beat, Claim, Ending, Finished, ModelRow, OpenedModel, Store, StoreError};
use crate::trace::{Side, Span};
use crate::train::{Begin, Checkpoint, Run, TrainError};

/// Life is proved at least this often; the lease is five times as long.
const HEARTBEAT: Duration = Duration::from_secs(2);
/// Where several processes share a database, the row is looked at this often for a cancel.
const LOOK: Duration = Duration::from_millis(750);
/// After a heartbeat that was not stored the next is tried this much later.
const BEAT_AGAIN: Duration = Duration::from_millis(500);
/// Progress is stored at most this often.
const PROGRESS: Duration = Duration::from_millis(250);
/// What a fit needs to end with the best it has, in times of its first look at the matrix.
const FINISH_LOOKS: u32 = 2;
/// How long a finished fit is kept while the store is away.
const FINISH_PATIENCE: Duration = Duration::from_secs(60);

/// How long a job is held up on its way back to the queue by what is still to be stored of it.
const HAND_BACK_PATIENCE: Duration = Duration::from_secs(2);
/// Fits give way to whatever else the machine is asked: to requests first of all.
const NICENESS: i32 = 10;

/// How the thread that worked ended.
pub(super) enum Outcome {
    Model(Box<Model>, Option<Box<KeptPath>>),
    Measured { model: Box<Model>, path: Option<Box<KeptPath>>, base: Option<Box<ModelRow>>, measured: Map<String, Value> },
    Report { result: Value, warnings: Vec<Warning> },
    Stopped,
    Unfit { code: &'static str, detail: String },
    Panicked,
}

/// Works a claimed job to its end and stores the ending.
pub(super) async fn work(worker: &Worker, claim: Claim, attempt: &mut Span, stopping: &mut Stopping) -> Result<(), StoreError> {
    let _busy = worker.measures.busy();
    if let (1, Some(started_at)) = (claim.job.attempt, claim.job.started_at) {
        worker.measures.job_waited(seconds(claim.job.created_at, started_at));
    }
    let ending = match Work::read(claim.job.kind, &claim.job.spec_resolved) {
        Err(error) => {
            tracing::error!(job = %claim.job.id, %error, "the stored specification is not understood");
            Some(failed(claim.job.kind, "internal_error", "The stored specification is not understood.", None))
        }
        Ok(work) => watch(worker, &claim, work, stopping).await.unwrap_or_else(|error| {
            tracing::warn!(job = %claim.job.id, %error, "the work could not be begun");
            Some(interrupted("The server could not begin the work; its log says more under this job's id."))
        }),
    };
    let Some(ending) = ending else {
        tracing::warn!(job = %claim.job.id, claim = claim.number, "the lease was lost; the result is thrown away");
        attempt.fail("lease_lost");
        return Ok(());
    };
    trace_ending(attempt, &ending);
    let _finishing = part(worker, &claim, "finish");
    match finish(worker, &claim, ending).await {
        Ok(true) => Ok(()),
        Ok(false) => {
            attempt.fail("lease_lost");
            Ok(())
        }
        Err(error) => {
            attempt.fail("not_stored");
            Err(error)
        }
    }
}

/// The span of a part of the attempt.
pub(super) fn part(worker: &Worker, claim: &Claim, name: &'static str) -> Span {
    worker.traces.begin(|| name.to_owned(), Side::Part, claim.job.traceparent.as_ref())
}

/// Says how the attempt ended. The detail of an error may quote names, and is not for a collector.
fn trace_ending(attempt: &mut Span, ending: &Ending) {
    let (word, error) = match ending {
        Ending::Succeeded { .. } | Ending::Measured { .. } | Ending::Reported { .. } => ("succeeded", None),
        Ending::Failed { error, .. } => ("failed", Some(error)),
        Ending::Cancelled => ("cancelled", None),
        Ending::Interrupted { error } => ("interrupted", Some(error)),
        Ending::HandedBack => ("handed_back", None),
    };
    attempt.put("ending", || word);
    if let Some(error) = error {
        attempt.put("error.type", || error.code.clone());
        attempt.fail(word);
    }
}

/// Does the work and watches over it. `None` = the claim was lost.
async fn watch(worker: &Worker, claim: &Claim, work: Work, stopping: &mut Stopping) -> Result<Option<Ending>, StoreError> {
    let limits = work.limits();
    let keep_best = limits.on_limit == OnLimit::KeepBest;
    let shared = Arc::new(Shared::new(claim.job.progress.clone(), keep_best));
    let limit = limits.max_runtime_s.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    // Each listens by itself: a slow database holds up the heartbeat, never the cancel.
    tokio::select! {
        outcome = load_and_work(worker, claim, work, &shared) => Ok(ending(claim.job.kind, outcome?, shared.halted())),
        never = hear_cancel(&worker.store, claim, &shared) => match never {},
        never = hear_asking(&worker.store, claim, &shared) => match never {},
        never = prove_life(worker, claim, &shared) => match never {},
        never = hear_stop(stopping, &shared) => match never {},
        never = hear_time(limit, keep_best, &shared) => match never {},
    }
}

/// A cancel is heard as soon as it is committed; should its hint from another process be lost, a look at the row hears it.
async fn hear_cancel(store: &Store, claim: &Claim, shared: &Shared) -> Infallible {
    let mut changes = store.hub().watch_job(&claim.job.id);
    loop {
        // one that was committed between the claim and the subscription is in the row
        match store.job(&claim.job.project, &claim.job.id).await {
            Ok(Some(job)) if job.cancel_requested => break,
            Ok(_) => {}
            Err(error) => tracing::warn!(job = %claim.job.id, %error, "the row could not be read; looking again"),
        }
        let look = if store.is_shared() { LOOK } else { Duration::MAX };
        if tokio::time::timeout(look, changes.cancelled()).await.is_ok() {
            break;
        }
    }
    shared.halt(Halt::Cancel);
    pending().await
}

/// While its cancel is being asked in this process the fit holds its breath: the processors it had are for those who
/// store the wish. If that fails, it goes on as if nothing had been.
async fn hear_asking(store: &Store, claim: &Claim, shared: &Shared) -> Infallible {
    let mut changes = store.hub().watch_job(&claim.job.id);
    loop {
        changes.asking(true).await;
        shared.hold(true);
        changes.asking(false).await;
        shared.hold(false);
    }
}

/// Heartbeats, sooner than they must be when there is progress to tell.
async fn prove_life(worker: &Worker, claim: &Claim, shared: &Shared) -> Infallible {
    let mut ticks = tokio::time::interval(PROGRESS);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut told, mut beaten, began) = (claim.job.progress.clone(), Instant::now(), Instant::now());
    loop {
        ticks.tick().await;
        let latest = shared.latest();
        if latest == told && beaten.elapsed() < HEARTBEAT {
            continue;
        }
        let mut timed = latest.clone();
        timed.estimate_rest(began.elapsed().as_secs_f64());
        match worker.store.heartbeat(claim, &timed).await {
            Ok(Beat::Continue) => (told, beaten) = (latest, Instant::now()),
            Ok(Beat::CancelAsked) => {
                shared.halt(Halt::Cancel);
                (told, beaten) = (latest, Instant::now());
            }
            Ok(Beat::Lost) => {
                worker.measures.write_fenced();
                shared.halt(Halt::Lost);
                return pending().await;
            }
            Err(error) => {
                // From four fifths of the lease on, the claim may be another's before we know. The fit may go on: it
                // touches nothing shared, and its ending is stored only if the number is still the claim's.
                let doubtful = beaten.elapsed() > worker.store.lease().mul_f64(0.8);
                tracing::warn!(job = %claim.job.id, %error, doubtful, "a heartbeat was not stored");
                tokio::time::sleep(BEAT_AGAIN).await;
            }
        }
    }
}

async fn hear_stop(stopping: &mut Stopping, shared: &Shared) -> Infallible {
    stopping.wait().await;
    shared.halt(Halt::Shutdown);
    pending().await
}

async fn hear_time(limit: Option<Duration>, keep_best: bool, shared: &Shared) -> Infallible {
    let Some(limit) = limit else { return pending().await };
    let began = Instant::now();
    if keep_best {
        // A point becomes a model by looks at the matrix like those that a fit begins with; they too are within the limit.
        tokio::time::sleep(limit / 2).await;
        let finish = shared.preparation().map_or(Duration::ZERO, |looks| (looks * FINISH_LOOKS).min(limit / 2));
        tokio::time::sleep(limit.saturating_sub(finish).saturating_sub(began.elapsed())).await;
    } else {
        tokio::time::sleep(limit).await;
    }
    shared.halt(Halt::TimeLimit);
    pending().await
}

async fn load_and_work(worker: &Worker, claim: &Claim, work: Work, shared: &Arc<Shared>) -> Result<Outcome, StoreError> {
    let loading = part(worker, claim, "load");
    // A large file is read whole when it is first opened: nobody who halts the job waits for that.
    let opened = tokio::select! {
        opened = worker.store.open_dataset(&claim.dataset) => opened,
        () = shared.until_halted() => return Ok(Outcome::Stopped),
    };
    let dataset = match opened {
        Ok(dataset) => dataset,
        Err(StoreError::Damaged(damage)) => {
            tracing::error!(job = %claim.job.id, dataset = %claim.dataset.id, %damage, "a stored data set is damaged");
            return Ok(Outcome::Unfit { code: "artifact_corrupt", detail: "The stored data set does not have its checksum.".into() });
        }
        Err(error) => return Err(error),
    };
    match work {
        Work::Fit(spec) => keep_and_fit(worker, claim, dataset, *spec, shared, loading).await,
        Work::Tree(spec) => at_once::grow(worker, claim, dataset, *spec, shared, loading).await,
        Work::Rules(spec) => at_once::make_rules(worker, claim, dataset, *spec, shared, loading).await,
        Work::Network(spec) => networks::train(worker, claim, dataset, *spec, shared, loading).await,
        Work::Ensemble(spec) => at_once::boost(worker, claim, dataset, *spec, shared, loading).await,
        Work::Evaluate(spec) => at_once::evaluate(worker, claim, dataset, &spec, shared, loading).await,
        Work::Compare(spec) => compare::compare(worker, claim, dataset, *spec, shared, loading).await,
        Work::Prune(spec) => at_once::prune(worker, claim, dataset, spec, shared, loading).await,
        Work::Distill(spec) => distill::distill(worker, claim, dataset, *spec, shared, loading).await,
    }
}

/// A model that may be stored, or why not.
pub(super) fn made(model: Model, path: Option<KeptPath>) -> Outcome {
    match model.check() {
        Ok(()) => Outcome::Model(Box::new(model), path.map(Box::new)),
        Err(what) => Outcome::Unfit { code: "numerical_error", detail: format!("The fit did not end in finite numbers: {what}.") },
    }
}

/// Opens the model version `name:n`, or says how the job ends without it.
pub(super) async fn open_model(
    worker: &Worker,
    claim: &Claim,
    reference: &str,
    shared: &Arc<Shared>,
) -> Result<Result<OpenedModel, Outcome>, StoreError> {
    let place = ModelRef::parse(reference);
    let opened = async {
        let Some((name, version)) = place.and_then(|place| Some((place.name.clone(), place.version()?))) else { return Ok(None) };
        match worker.store.model(&claim.job.project, &name, Some(version)).await? {
            Some(row) => worker.store.open_model(&row).await.map(Some),
            None => Ok(None),
        }
    };
    let opened = tokio::select! {
        opened = opened => opened,
        () = shared.until_halted() => return Ok(Err(Outcome::Stopped)),
    };
    match opened {
        Ok(Some(opened)) => Ok(Ok(opened)),
        Ok(None) => Ok(Err(Outcome::Unfit { code: "not_found", detail: format!("The model version {reference} has been deleted.") })),
        Err(StoreError::Damaged(damage)) => {
            tracing::error!(job = %claim.job.id, model = reference, %damage, "a stored model is damaged");
            Ok(Err(Outcome::Unfit { code: "artifact_corrupt", detail: "The stored model does not have its checksum.".into() }))
        }
        Err(error) => Err(error),
    }
}

/// Fits, and keeps what is done so that another attempt can go on with it.
async fn keep_and_fit(
    worker: &Worker,
    claim: &Claim,
    dataset: Arc<Dataset>,
    spec: ResolvedFit,
    shared: &Arc<Shared>,
    loading: Span,
) -> Result<Outcome, StoreError> {
    let (keeper, before) = tokio::select! {
        found = Keeper::find(&worker.store, claim, &dataset, &spec) => found,
        () = shared.until_halted() => return Ok(Outcome::Stopped),
    };
    let begin = match spec.begins_at() {
        Some(reference) => match open_model(worker, claim, reference, shared).await? {
            Ok(opened) => Some(opened),
            Err(outcome) => return Ok(outcome),
        },
        None => None,
    };
    let keeper = Arc::new(keeper);
    drop(loading);
    let fitting = part(worker, claim, "fit");
    let outcome = tokio::select! {
        outcome = fit_on_a_thread(worker, claim, dataset, spec, shared, &keeper, Before { checkpoint: before, begin }) => outcome?,
        never = keeper.keep(worker.keep_every) => match never {},
    };
    drop(fitting);
    if matches!(outcome, Outcome::Stopped) && shared.halted() == Halt::Shutdown {
        // the process has little time left: what is not stored by then is done again
        let _ = tokio::time::timeout(HAND_BACK_PATIENCE, keeper.store_what_waits()).await;
    }
    Ok(outcome)
}

async fn fit_on_a_thread(
    worker: &Worker,
    claim: &Claim,
    dataset: Arc<Dataset>,
    spec: ResolvedFit,
    shared: &Arc<Shared>,
    keeper: &Arc<Keeper>,
    before: Before,
) -> Result<Outcome, StoreError> {
    let (worker, shared, keeper) = (worker.clone(), Arc::clone(shared), Arc::clone(keeper));
    on_a_thread(claim, move || fit(&worker, &dataset, &spec, &shared, &keeper, before)).await
}

/// Works on a thread of its own, below everything else the machine is asked. What the work holds is let go of before the
/// job is seen to have ended.
pub(super) async fn on_a_thread(claim: &Claim, work: impl FnOnce() -> Outcome + Send + 'static) -> Result<Outcome, StoreError> {
    let (send, receive) = oneshot::channel();
    let (job, kind) = (claim.job.id.clone(), claim.job.kind.as_str());
    let span = tracing::Span::current();
    let spawned = std::thread::Builder::new().name(kind.into()).spawn(move || {
        let _in_span = span.entered();
        yield_to_others();
        let outcome = catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
            let panic = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
            tracing::error!(%job, panic, "the work panicked");
            Outcome::Panicked
        });
        // nobody listens any more when the process is going down: the job is rescued then
        let _ = send.send(outcome);
    });
    spawned.map_err(StoreError::Io)?;
    // the sender is dropped unsent only if the thread died outside `catch_unwind`
    Ok(receive.await.unwrap_or(Outcome::Panicked))
}

/// Lowers the priority of the calling thread (on Linux niceness is a thread's own).
pub(super) fn yield_to_others() {
    if let Err(error) = rustix::process::setpriority_process(None, NICENESS) {
        tracing::debug!(%error, "the priority of a fit's thread could not be lowered");
    }
}

/// What a fit goes on from, and what it begins at.
struct Before {
    checkpoint: Option<Checkpoint>,
    begin: Option<OpenedModel>,
}

fn fit(worker: &Worker, dataset: &Dataset, spec: &ResolvedFit, shared: &Shared, keeper: &Keeper, before: Before) -> Outcome {
    let keep = |done| keeper.take(done);
    let observe = |progress: &Progress| shared.observe(progress);
    let path = Mutex::new(None);
    let points = |points| *path.lock().unwrap_or_else(PoisonError::into_inner) = Some(points);
    let begin = before.begin.as_ref().and_then(|opened| Some(Begin { model: opened.model.linear()?, names: opened.names.as_deref() }));
    let resume = before.checkpoint;
    let run = Run { resume, begin, keep: &keep, points: &points, on_thread: &yield_to_others, ..Run::new(worker.threads, &observe) };
    match (worker.fit)(dataset, spec, &run) {
        Ok(model) => {
            let path = path.into_inner().unwrap_or_else(PoisonError::into_inner);
            made(Model::Linear(model), path.map(KeptPath::Linear))
        }
        Err(TrainError::Cancelled) => Outcome::Stopped,
        Err(TrainError::Unfit { code, detail }) => Outcome::Unfit { code, detail },
    }
}

/// Work that is done counts as done, even when it was told to stop at the same moment; only a cancel and a lost
/// claim win over it.
fn ending(kind: JobKind, outcome: Outcome, halted: Halt) -> Option<Ending> {
    let ending = match (halted, outcome) {
        (Halt::Lost, _) => return None,
        (Halt::Cancel, _) => Ending::Cancelled,
        (Halt::Shutdown, Outcome::Stopped) => Ending::HandedBack,
        (Halt::TimeLimit, Outcome::Stopped) => {
            failed(kind, "time_limit_exceeded", "The job did not end within limits.max_runtime_s.", Some(Reason::TimeLimit))
        }
        (_, Outcome::Model(model, points)) => Ending::Succeeded { model: Arc::new(*model), points: points.map(Arc::from) },
        (_, Outcome::Measured { model, path, base, measured }) => {
            Ending::Measured { model: Arc::new(*model), points: path.map(Arc::from), base, measured }
        }
        (_, Outcome::Report { result, warnings }) => Ending::Reported { result, warnings },
        (_, Outcome::Unfit { code, detail }) => failed(kind, code, &detail, None),
        (_, Outcome::Panicked | Outcome::Stopped) => {
            interrupted("The work ended by a fault of the server; its log says more under this job's id.")
        }
    };
    Some(ending)
}

/// Nothing is wrong with the job as far as can be seen: it is tried again while attempts are left.
fn interrupted(detail: &str) -> Ending {
    let (code, title) = ("internal_error".to_owned(), "Internal error".to_owned());
    Ending::Interrupted { error: Failure { code, title, detail: detail.to_owned(), retryable: true } }
}

fn failed(kind: JobKind, code: &str, detail: &str, reason: Option<Reason>) -> Ending {
    let title = match code {
        "time_limit_exceeded" => "The time limit was reached",
        "artifact_corrupt" => "A stored file is damaged",
        "internal_error" => "Internal error",
        _ => match kind {
            JobKind::Fit => "The data cannot be fitted as asked",
            JobKind::Evaluate => "The model cannot be evaluated as asked",
            JobKind::Compare => "The models cannot be compared as asked",
            JobKind::Prune => "The model cannot be pruned as asked",
            JobKind::Distill => "The model cannot be distilled as asked",
        },
    };
    Ending::Failed {
        error: Failure { code: code.to_owned(), title: title.to_owned(), detail: detail.to_owned(), retryable: false },
        reason,
        warnings: Vec::new(),
    }
}

/// Between two times of the store.
fn seconds(from: i64, to: i64) -> f64 {
    to.saturating_sub(from).max(0) as f64 / 1e6
}

fn measure_end(worker: &Worker, job: &Job, ending: &Ending) {
    if let (Some(started_at), Some(finished_at)) = (job.started_at, job.finished_at) {
        worker.measures.job_ended(job.kind.as_str(), job.status.as_str(), seconds(started_at, finished_at));
    }
    if let (Ending::Succeeded { model, .. }, Status::Succeeded) = (ending, job.status)
        && let Some(model) = model.linear()
    {
        worker.measures.fit(model.card.certificate.relative_gap, model.card.sparsity.nonzeros);
    }
}

/// Stores the ending, unless the claim is no longer ours; a finished fit is kept while the store is away for a short time.
async fn finish(worker: &Worker, claim: &Claim, ending: Ending) -> Result<bool, StoreError> {
    let since = Instant::now();
    let mut pause = Duration::from_millis(100);
    loop {
        match worker.store.finish(claim, ending.clone()).await {
            Ok(Finished::Stored(job)) => {
                measure_end(worker, &job, &ending);
                tracing::info!(job = %job.id, status = job.status.as_str(), attempt = job.attempt, "job ended");
                return Ok(true);
            }
            Ok(Finished::Fenced) => {
                worker.measures.write_fenced();
                tracing::warn!(job = %claim.job.id, claim = claim.number, "the ending was refused: the claim is no longer ours");
                return Ok(false);
            }
            Err(error) if since.elapsed() < FINISH_PATIENCE => {
                tracing::warn!(job = %claim.job.id, %error, "the ending was not stored; trying again");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(5));
            }
            Err(error) => return Err(error),
        }
    }
}
