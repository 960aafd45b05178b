//! N workers in a loop, and the two sweeps beside them: rescue of lost jobs, removal of left-over files.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::attempt::Stopping;
use super::{Worked, step};
use crate::store::Store;

/// Without a hint a worker looks for new work this often.
const POLL: Duration = Duration::from_secs(1);
/// Jobs whose lease ran out are looked for this often.
const RESCUE: Duration = Duration::from_secs(2);
/// Files without a row are looked for this often.
const SWEEP: Duration = Duration::from_secs(30);
/// A file without a row may be an upload under way in another process; after this long without a write it is not.
const LEFT_OVER: Duration = Duration::from_secs(3600);
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
    pub fn start(store: &Store, owner: &str, workers: usize, threads: usize) -> Self {
        let (stop, flag) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let alive = Arc::new(AtomicUsize::new(workers));
        for _ in 0..workers {
            let living = Living(alive.clone());
            let work = work(store.clone(), owner.to_owned(), threads, Stopping::when(flag.clone()));
            tasks.spawn(async move {
                work.await;
                drop(living);
            });
        }
        tasks.spawn(rescue(store.clone(), Stopping::when(flag.clone())));
        tasks.spawn(sweep(store.clone(), Stopping::when(flag)));
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

/// Counts a worker out however it ends, by panic as well.
struct Living(Arc<AtomicUsize>);

impl Drop for Living {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn work(store: Store, owner: String, threads: usize, mut stopping: Stopping) {
    while !stopping.now() {
        match step(&store, &owner, threads, &mut stopping).await {
            Ok(Worked::Job) => {}
            Ok(Worked::Idle) => {
                tokio::select! {
                    () = store.hub().work(POLL) => {}
                    () = stopping.wait() => {}
                }
            }
            Err(error) => {
                tracing::error!(%error, "a worker could not go on");
                pause(BACK_OFF, &mut stopping).await;
            }
        }
    }
}

async fn rescue(store: Store, mut stopping: Stopping) {
    while !stopping.now() {
        match store.rescue(None).await {
            Ok(0) => {}
            Ok(jobs) => tracing::warn!(jobs, "jobs of dead workers were rescued"),
            Err(error) => tracing::error!(%error, "rescue failed"),
        }
        pause(RESCUE, &mut stopping).await;
    }
}

async fn sweep(store: Store, mut stopping: Stopping) {
    while !stopping.now() {
        match store.sweep(LEFT_OVER).await {
            Ok(0) => {}
            Ok(files) => tracing::info!(files, "left-over files were removed"),
            Err(error) => tracing::error!(%error, "sweep failed"),
        }
        pause(SWEEP, &mut stopping).await;
    }
}

async fn pause(time: Duration, stopping: &mut Stopping) {
    tokio::select! {
        () = tokio::time::sleep(time) => {}
        () = stopping.wait() => {}
    }
}
