//! N workers in a loop, and the loops beside them: rescue of lost jobs, removal of left-over files, and the talk with
//! other processes. A loop that panics goes on a second later; one that does so again and again is told to the outside.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::halt::Stopping;
use super::{Memory, Worked, Worker, step};
use crate::measure::Measures;
use crate::store::{Store, StoreError, WorkWatch};
use crate::trace::Traces;

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
    panics: Arc<AtomicUsize>,
    memory: Memory,
}

impl Pool {
    /// Starts `workers` workers, each fitting with `threads` threads and all within `memory`; `owner` names this life of
    /// the process. Rescue and sweep run even without workers.
    pub fn start(
        store: &Store,
        owner: &str,
        workers: usize,
        threads: usize,
        memory: &Memory,
        measures: Arc<Measures>,
        traces: &Traces,
    ) -> Self {
        Self::of(&Worker::new(store, owner, threads, memory, measures, traces), workers)
    }

    pub(super) fn of(worker: &Worker, workers: usize) -> Self {
        let (stop, flag) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let (alive, panics) = (Arc::new(AtomicUsize::new(workers)), Arc::default());
        for _ in 0..workers {
            let (worker, flag, living) = (worker.clone(), Stopping::when(flag.clone()), Living(alive.clone()));
            let turns = Turns::new("worker", &panics);
            tasks.spawn(async move {
                work(worker, turns, flag).await;
                drop(living);
            });
        }
        let store = &worker.store;
        tasks.spawn(rescue(worker.clone(), Turns::new("rescue", &panics), Stopping::when(flag.clone())));
        tasks.spawn(sweep(worker.clone(), Turns::new("sweep", &panics), Stopping::when(flag.clone())));
        tasks.spawn(herald(store.clone(), Turns::new("herald", &panics), Stopping::when(flag.clone())));
        tasks.spawn(listener(store.clone(), Turns::new("listener", &panics), Stopping::when(flag)));
        Self { stop, tasks, alive, panics, memory: worker.memory.clone() }
    }

    /// What its fits may take.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// How often that loop panicked which did so most; stays good after the pool is gone.
    pub fn panics(&self) -> Arc<AtomicUsize> {
        self.panics.clone()
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

async fn work(worker: Worker, mut turns: Turns, mut stopping: Stopping) {
    // subscribed before the queue is looked at: what is announced in between is not missed
    let mut work = worker.store.hub().watch_work();
    while !stopping.now() {
        let (one, mut until) = (worker.clone(), stopping.clone());
        match turns.one(async move { step(&one, &mut until).await }).await {
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

async fn rescue(worker: Worker, mut turns: Turns, mut stopping: Stopping) {
    while !stopping.now() {
        let one = worker.store.clone();
        let rescued = turns.one(async move { one.rescue(None).await }).await;
        if let Some(jobs @ 1..) = rescued {
            worker.measures.rescued(jobs);
            tracing::warn!(jobs, "jobs of dead workers were rescued");
        }
        pause(rescued.map_or(BACK_OFF, |_| RESCUE), &mut stopping).await;
    }
}

async fn sweep(worker: Worker, mut turns: Turns, mut stopping: Stopping) {
    while !stopping.now() {
        let one = worker.store.clone();
        let swept = turns.one(async move { one.sweep(LEFT_OVER).await }).await;
        if let Some(files) = swept {
            worker.measures.swept(files);
            if files > 0 {
                tracing::info!(files, "left-over files were removed");
            }
        }
        pause(swept.map_or(BACK_OFF, |_| SWEEP), &mut stopping).await;
    }
}

/// Tells other processes what this one did.
async fn herald(store: Store, mut turns: Turns, mut stopping: Stopping) {
    while !stopping.now() {
        let (one, mut until) = (store.clone(), stopping.clone());
        tokio::select! {
            _ = turns.one(async move { one.tell_others().await }) => pause(BACK_OFF, &mut stopping).await,
            () = until.wait() => {}
        }
    }
}

/// Hears what other processes did.
async fn listener(store: Store, mut turns: Turns, mut stopping: Stopping) {
    while !stopping.now() {
        let (one, mut until) = (store.clone(), stopping.clone());
        tokio::select! {
            _ = turns.one(async move { one.hear_others().await }) => pause(BACK_OFF, &mut stopping).await,
            () = until.wait() => {}
        }
    }
}

/// The turns of one loop, each in a task of its own: an error and a panic are logged here, once, and the loop goes on.
struct Turns {
    loop_name: &'static str,
    panicked: usize,
    /// The most of any loop.
    panics: Arc<AtomicUsize>,
}

impl Turns {
    fn new(loop_name: &'static str, panics: &Arc<AtomicUsize>) -> Self {
        Self { loop_name, panicked: 0, panics: panics.clone() }
    }

    async fn one<T: Send + 'static>(&mut self, turn: impl Future<Output = Result<T, StoreError>> + Send + 'static) -> Option<T> {
        let loop_name = self.loop_name;
        // a set, so that a turn that is no longer waited for ends
        let mut task = JoinSet::new();
        task.spawn(turn);
        match task.join_next().await? {
            Ok(Ok(done)) => return Some(done),
            Ok(Err(error)) => tracing::error!(loop_name, %error, "a background loop could not go on; trying again"),
            Err(panic) => {
                self.panicked += 1;
                self.panics.fetch_max(self.panicked, Ordering::Relaxed);
                tracing::error!(loop_name, %panic, panics = self.panicked, "a background loop panicked; going on");
            }
        }
        None
    }
}

async fn pause(time: Duration, stopping: &mut Stopping) {
    tokio::select! {
        () = tokio::time::sleep(time) => {}
        () = stopping.wait() => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_loop_that_panics_goes_on_and_its_panics_are_counted() {
        let panics = Arc::default();
        let (mut bad, mut good) = (Turns::new("bad", &panics), Turns::new("good", &panics));
        for turn in 1..=5 {
            assert_eq!(good.one(async move { Ok(turn) }).await, Some(turn));
            assert_eq!(bad.one::<()>(async { panic!("a fault") }).await, None);
            let refused = std::io::Error::from(std::io::ErrorKind::TimedOut);
            assert_eq!(good.one::<()>(async { Err(refused.into()) }).await, None, "an error is no panic");
            assert_eq!(panics.load(Ordering::Relaxed), turn);
        }
    }
}
