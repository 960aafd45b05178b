//! One attempt at one job: the fit on a thread of its own, and beside it the loop that proves life, passes progress
//! on and hears of cancel, time limit, lost lease and shutdown.

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{oneshot, watch};

use crate::dataset::Dataset;
use crate::job::{Failure, Progress, Reason};
use crate::model::Model;
use crate::spec::ResolvedFit;
use crate::store::{Beat, Claim, Ending, Finished, Store, StoreError};
use crate::train::{self, Run, TrainError};

/// Life is proved at least this often; the lease is five times as long.
const HEARTBEAT: Duration = Duration::from_secs(2);
/// Progress is stored at most this often.
const PROGRESS: Duration = Duration::from_millis(250);
/// How long a finished fit is kept while the store is away.
const FINISH_PATIENCE: Duration = Duration::from_secs(60);

/// Whether the process is stopping.
#[derive(Clone, Debug)]
pub struct Stopping(Option<watch::Receiver<bool>>);

impl Stopping {
    /// For a step that nobody interrupts.
    pub fn never() -> Self {
        Self(None)
    }

    /// Follows a flag that turns true once.
    pub fn when(flag: watch::Receiver<bool>) -> Self {
        Self(Some(flag))
    }

    /// Whether it is already so.
    pub fn now(&self) -> bool {
        self.0.as_ref().is_some_and(|flag| *flag.borrow())
    }

    /// Resolves when it is so.
    pub async fn wait(&mut self) {
        if let Some(flag) = &mut self.0
            && flag.wait_for(|stop| *stop).await.is_ok()
        {
            return;
        }
        std::future::pending().await
    }
}

/// Why the fit was told to stop; the first word wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Halt {
    No = 0,
    Cancel = 1,
    Shutdown = 2,
    TimeLimit = 3,
    Lost = 4,
}

/// What the fit's thread and the watching loop share.
struct Shared {
    halt: AtomicU8,
    progress: Mutex<Progress>,
}

impl Shared {
    fn halt(&self, why: Halt) {
        // A second reason changes nothing: the fit stops for the first.
        let _ = self.halt.compare_exchange(Halt::No as u8, why as u8, Ordering::AcqRel, Ordering::Acquire);
    }

    fn halted(&self) -> Halt {
        match self.halt.load(Ordering::Acquire) {
            1 => Halt::Cancel,
            2 => Halt::Shutdown,
            3 => Halt::TimeLimit,
            4 => Halt::Lost,
            _ => Halt::No,
        }
    }

    /// Called from inside the solver: never waits for the loop.
    fn observe(&self, progress: &Progress) -> ControlFlow<()> {
        if self.halt.load(Ordering::Relaxed) != Halt::No as u8 {
            return ControlFlow::Break(());
        }
        if let Ok(mut latest) = self.progress.try_lock() {
            latest.clone_from(progress);
        }
        ControlFlow::Continue(())
    }

    fn latest(&self) -> Progress {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// How a fit's thread ended.
enum Outcome {
    Model(Box<Model>),
    Stopped,
    Unfit { code: &'static str, detail: String },
    Panicked,
}

/// Works a claimed job to its end and stores the ending.
pub(super) async fn work(store: &Store, claim: Claim, threads: usize, stopping: &mut Stopping) -> Result<(), StoreError> {
    let shared = Arc::new(Shared { halt: AtomicU8::new(0), progress: Mutex::new(claim.job.progress.clone()) });
    let ending = match serde_json::from_value::<ResolvedFit>(claim.job.spec_resolved.clone()) {
        Err(error) => {
            tracing::error!(job = %claim.job.id, %error, "the stored specification is not understood");
            Some(failed("internal_error", "The stored specification is not understood.", false, None))
        }
        Ok(spec) => watch_fit(store, &claim, spec, threads, &shared, stopping).await?,
    };
    let Some(ending) = ending else {
        tracing::warn!(job = %claim.job.id, claim = claim.number, "the lease was lost; the result is thrown away");
        return Ok(());
    };
    finish(store, &claim, ending).await
}

/// Runs the fit and watches over it. `None` = the claim was lost.
async fn watch_fit(
    store: &Store,
    claim: &Claim,
    spec: ResolvedFit,
    threads: usize,
    shared: &Arc<Shared>,
    stopping: &mut Stopping,
) -> Result<Option<Ending>, StoreError> {
    let limit = spec.limits.max_runtime_s.map(Duration::from_secs_f64);
    let deadline = tokio::time::sleep(limit.unwrap_or(Duration::MAX).min(Duration::from_secs(1 << 30)));
    let fit = load_and_fit(store, claim, spec, threads, shared);
    tokio::pin!(deadline, fit);
    let mut changes = store.hub().watch_job(&claim.job.id);
    // A cancel between the claim and the subscription is seen by this first look.
    look_for_cancel(store, claim, shared).await;
    let mut ticks = tokio::time::interval(PROGRESS);
    let mut beaten = Instant::now();
    let mut told = claim.job.progress.clone();
    let (mut heed_stop, mut heed_deadline) = (true, true);
    loop {
        tokio::select! {
            outcome = &mut fit => return outcome.map(|outcome| ending(outcome, shared.halted())),
            () = changes.changed() => look_for_cancel(store, claim, shared).await,
            () = stopping.wait(), if heed_stop => { heed_stop = false; shared.halt(Halt::Shutdown) }
            () = &mut deadline, if heed_deadline => { heed_deadline = false; shared.halt(Halt::TimeLimit) }
            _ = ticks.tick() => {
                let latest = shared.latest();
                if latest != told || beaten.elapsed() >= HEARTBEAT {
                    beat(store, claim, &latest, shared).await;
                    (told, beaten) = (latest, Instant::now());
                }
            }
        }
    }
}

/// The rows are the truth: a hint only makes us read them.
async fn look_for_cancel(store: &Store, claim: &Claim, shared: &Shared) {
    match store.job(&claim.job.project, &claim.job.id).await {
        Ok(Some(job)) if job.cancel_requested => shared.halt(Halt::Cancel),
        Ok(_) => {}
        Err(error) => tracing::warn!(job = %claim.job.id, %error, "a hint could not be followed; the heartbeat will"),
    }
}

async fn beat(store: &Store, claim: &Claim, progress: &Progress, shared: &Shared) {
    match store.heartbeat(claim, progress).await {
        Ok(Beat::Continue) => {}
        Ok(Beat::CancelAsked) => shared.halt(Halt::Cancel),
        Ok(Beat::Lost) => shared.halt(Halt::Lost),
        // Fencing keeps this safe: if the lease runs out meanwhile, the ending is refused.
        Err(error) => tracing::warn!(job = %claim.job.id, %error, "a heartbeat was not stored"),
    }
}

async fn load_and_fit(
    store: &Store,
    claim: &Claim,
    spec: ResolvedFit,
    threads: usize,
    shared: &Arc<Shared>,
) -> Result<Outcome, StoreError> {
    let dataset = match store.open_dataset(&claim.dataset).await {
        Ok(dataset) => dataset,
        Err(StoreError::Damaged(damage)) => {
            tracing::error!(job = %claim.job.id, dataset = %claim.dataset.id, %damage, "a stored data set is damaged");
            return Ok(Outcome::Unfit { code: "artifact_corrupt", detail: "The stored data set does not have its checksum.".into() });
        }
        Err(error) => return Err(error),
    };
    let (send, receive) = oneshot::channel();
    let shared = Arc::clone(shared);
    let name = format!("fit-{}", claim.job.id);
    let spawned = std::thread::Builder::new().name(name).spawn(move || {
        // Nobody listens any more when the process is going down; the job is rescued then.
        let _ = send.send(fit(&dataset, &spec, threads, &shared));
    });
    spawned.map_err(StoreError::Io)?;
    // The sender is dropped unsent only if the thread died outside `catch_unwind`.
    Ok(receive.await.unwrap_or(Outcome::Panicked))
}

fn fit(dataset: &Dataset, spec: &ResolvedFit, threads: usize, shared: &Shared) -> Outcome {
    let observe = |progress: &Progress| shared.observe(progress);
    let run = Run { threads, observe: &observe };
    match catch_unwind(AssertUnwindSafe(|| train::fit(dataset, spec, &run))) {
        Ok(Ok(model)) => Outcome::Model(Box::new(model)),
        Ok(Err(TrainError::Cancelled)) => Outcome::Stopped,
        Ok(Err(TrainError::Unfit { code, detail })) => Outcome::Unfit { code, detail },
        Err(_) => Outcome::Panicked,
    }
}

fn ending(outcome: Outcome, halted: Halt) -> Option<Ending> {
    let ending = match (halted, outcome) {
        (Halt::Lost, _) => return None,
        (Halt::Cancel, _) => Ending::Cancelled,
        (Halt::Shutdown, Outcome::Stopped) => Ending::HandedBack,
        (Halt::TimeLimit, Outcome::Stopped) => {
            failed("time_limit_exceeded", "The fit did not end within limits.max_runtime_s.", false, Some(Reason::TimeLimit))
        }
        (_, Outcome::Model(model)) => Ending::Succeeded { model: Arc::new(*model) },
        (_, Outcome::Unfit { code, detail }) => failed(code, &detail, false, None),
        (_, Outcome::Panicked | Outcome::Stopped) => {
            failed("internal_error", "The fit ended by a fault of the server; its log says more under this job's id.", true, None)
        }
    };
    Some(ending)
}

fn failed(code: &str, detail: &str, retryable: bool, reason: Option<Reason>) -> Ending {
    let title = match code {
        "time_limit_exceeded" => "The time limit was reached",
        "artifact_corrupt" => "A stored file is damaged",
        "internal_error" => "Internal error",
        _ => "The data cannot be fitted as asked",
    };
    Ending::Failed {
        error: Failure { code: code.to_owned(), title: title.to_owned(), detail: detail.to_owned(), retryable },
        reason,
        warnings: Vec::new(),
    }
}

/// Stores the ending; a finished fit is kept while the store is away for a short time.
async fn finish(store: &Store, claim: &Claim, ending: Ending) -> Result<(), StoreError> {
    let since = Instant::now();
    let mut pause = Duration::from_millis(100);
    loop {
        match store.finish(claim, ending.clone()).await {
            Ok(Finished::Stored(job)) => {
                tracing::info!(job = %job.id, status = job.status.as_str(), attempt = job.attempt, "job ended");
                return Ok(());
            }
            Ok(Finished::Fenced) => {
                tracing::warn!(job = %claim.job.id, claim = claim.number, "the ending was refused: the claim is no longer ours");
                return Ok(());
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
