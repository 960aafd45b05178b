//! The worker: claim → load → train → finish, one job at a time on a thread of its own; the loop around it.
//!
//! Never sees HTTP or SQL. [`run_one`] is public so that a test can step it until it is idle; [`Pool`] is the same
//! step in a loop, with rescue and sweep beside it.

mod attempt;
mod halt;
mod memory;
mod pool;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use tracing::Instrument;

pub use memory::Memory;
pub use pool::Pool;

use crate::dataset::Dataset;
use crate::measure::Measures;
use crate::model::Model;
use crate::spec::ResolvedFit;
use crate::store::{Store, StoreError};
use crate::train::{self, Run, TrainError};
use halt::Stopping;

/// What one step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worked {
    /// A job was claimed and brought to its end.
    Job,
    /// There was nothing to do.
    Idle,
}

/// Claims one job and works it to its end; tests step this until it is idle.
pub async fn run_one(store: &Store, owner: &str, threads: usize) -> Result<Worked, StoreError> {
    step(&Worker::new(store, owner, threads, &Memory::of(u64::MAX), Arc::default()), &mut Stopping::never()).await
}

/// What fits.
type Fit = dyn Fn(&Dataset, &ResolvedFit, &Run<'_>) -> Result<Model, TrainError> + Send + Sync;

/// One who works: on which jobs, under which name, with how many threads and how much memory, and how.
#[derive(Clone)]
struct Worker {
    store: Store,
    owner: Arc<str>,
    threads: usize,
    memory: Memory,
    fit: Arc<Fit>,
    measures: Arc<Measures>,
}

impl Worker {
    fn new(store: &Store, owner: &str, threads: usize, memory: &Memory, measures: Arc<Measures>) -> Self {
        Self { store: store.clone(), owner: owner.into(), threads, memory: memory.clone(), fit: Arc::new(train::fit), measures }
    }
}

/// [`run_one`] that hands its job back, attempt unspent, once `stopping` says so.
async fn step(worker: &Worker, stopping: &mut Stopping) -> Result<Worked, StoreError> {
    let Some((claim, grant)) = worker.memory.claim(&worker.store, &worker.owner).await? else { return Ok(Worked::Idle) };
    let job = &claim.job;
    let span = tracing::info_span!("job", job = %job.id, attempt = job.attempt, request_id = job.request_id);
    let worked = attempt::work(worker, claim, stopping).instrument(span).await;
    drop(grant);
    worked.map(|()| Worked::Job)
}
