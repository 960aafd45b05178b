//! N workers in a loop, and the two sweeps beside them: rescue of lost jobs, removal of left-over files.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::halt::Stopping;
use super::{Worked, Worker, step};
use crate::measure::Measures;
use crate::store::{Store, StoreError, WorkWatch};

/// Without a hint a worker looks for new work about this often.
const POLL: Duration = Duration::from_secs(1);
/// Jobs whose lease ran out are looked for this often.
const RESCUE: Duration = Duration::from_secs(2);
/// Files without a row are looked for this often.
const SWEEP: Duration = Duration::from_secs(30);
/// A file without a row may be that of an upload that just began; of one under way the sweep itself knows.
const LEFT_OVER: Duration = Duration::from_secs(10);
/// After an error of the store a loop waits this long.
const BACK_OFF: Duration = Duration::from_secs(1);

/// The workers of this process.
#[derive(Debug)]
pub struct Pool {
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
    alive: Arc<AtomicUsize>,
}

impl Pool {
    /// Starts `workers` workers, each fitting with `threads` threads; `owner` names this life of the process.
    /// Rescue and sweep run even without workers.
    pub fn start(store: &Store, owner: &str, workers: usize, threads: usize, measures: Arc<Measures>) -> Self {
        Self::of(&Worker::new(store, owner, threads, measures), workers)
    }

    pub(super) fn of(worker: &Worker, workers: usize) -> Self {
        let (stop, flag) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let alive = Arc::new(AtomicUsize::new(workers));
        for _ in 0..workers {
            let (worker, flag, living) = (worker.clone(), Stopping::when(flag.clone()), Living(alive.clone()));
            tasks.spawn(async move {
                work(worker, flag).await;
                drop(living);
            });
        }
        tasks.spawn(rescue(worker.clone(), Stopping::when(flag.clone())));
        tasks.spawn(sweep(worker.clone(), Stopping::when(flag)));
        Self { stop, tasks, alive }
    }

    /// Workers that have not ended; stays good after the pool is gone.
    pub fn alive(&self) -> Arc<AtomicUsize> {
        self.alive.clone()
    }

    /// Tells the workers to hand their jobs back and waits until they have.
    pub async fn shutdown(mut self) {
        self.stop.send_replace(true);
        while self.tasks.join_next().await.is_some() {}
    }
}

/// Counts a worker out however it ends.
struct Living(Arc<AtomicUsize>);

impl Drop for Living {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn work(worker: Worker, mut stopping: Stopping) {
    // subscribed before the queue is looked at: what is announced in between is not missed
    let mut work = worker.store.hub().watch_work();
    while !stopping.now() {
        let (one, mut until) = (worker.clone(), stopping.clone());
        match alive("worker", async move { step(&one, &mut until).await }).await {
            Some(Worked::Job) => {}
            Some(Worked::Idle) => idle(&worker, &mut work, &mut stopping).await,
            None => pause(BACK_OFF, &mut stopping).await,
        }
    }
}

/// Waits for new work. Without a hint the workers of several processes look at different moments.
async fn idle(worker: &Worker, work: &mut WorkWatch, stopping: &mut Stopping) {
    let mut byte = [0];
    worker.store.ambient().random.fill(&mut byte);
    let poll = POLL.mul_f64(0.75 + f64::from(byte[0]) / 512.0);
    tokio::select! {
        () = work.changed(poll) => {}
        () = stopping.wait() => {}
    }
}

async fn rescue(worker: Worker, mut stopping: Stopping) {
    while !stopping.now() {
        let one = worker.store.clone();
        if let Some(jobs @ 1..) = alive("rescue", async move { one.rescue(None).await }).await {
            worker.measures.rescued(jobs);
            tracing::warn!(jobs, "jobs of dead workers were rescued");
        }
        pause(RESCUE, &mut stopping).await;
    }
}

async fn sweep(worker: Worker, mut stopping: Stopping) {
    while !stopping.now() {
        let one = worker.store.clone();
        if let Some(files) = alive("sweep", async move { one.sweep(LEFT_OVER).await }).await {
            worker.measures.swept(files);
            if files > 0 {
                tracing::info!(files, "left-over files were removed");
            }
        }
        pause(SWEEP, &mut stopping).await;
    }
}

/// One turn of a loop, in a task of its own: an error and a panic are logged here, once, and the loop goes on.
async fn alive<T: Send + 'static>(loop_name: &str, turn: impl Future<Output = Result<T, StoreError>> + Send + 'static) -> Option<T> {
    match tokio::spawn(turn).await {
        Ok(Ok(done)) => return Some(done),
        Ok(Err(error)) => tracing::error!(loop_name, %error, "a background loop could not go on; trying again"),
        Err(panic) => tracing::error!(loop_name, %panic, "a background loop panicked; going on"),
    }
    None
}

async fn pause(time: Duration, stopping: &mut Stopping) {
    tokio::select! {
        () = tokio::time::sleep(time) => {}
        () = stopping.wait() => {}
    }
}
