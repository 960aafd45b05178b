//! The worker: claim → load → train → finish, one job at a time on a thread of its own; the loop around it.
//!
//! Never sees HTTP or SQL. [`run_one`] is public so that a test can step it until it is idle; [`Pool`] is the same
//! step in a loop, with rescue and sweep beside it.

mod at_once;
mod attempt;
mod compare;
mod distill;
mod halt;
mod keeper;
mod memory;
mod networks;
mod pool;
#[cfg(test)]
mod tests;

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use tracing::Instrument;

pub use memory::Memory;
pub use pool::Pool;

use crate::dataset::Dataset;
use crate::job::Progress;
use crate::measure::Measures;
use crate::model::{LinearModel, PathPoints};
use crate::spec::ResolvedFit;
use crate::store::{Store, StoreError};
use crate::trace::{Side, Traces};
use crate::train::{self, Leave, Run, TrainError};
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
    step(&Worker::new(store, owner, threads, &Memory::of(u64::MAX), Arc::default(), &Traces::default()), &mut Stopping::never()).await
}

/// The model of another point of a path that was fitted on `dataset`, and kept; `go_on` is asked often.
///
/// # Errors
/// `go_on` said no, or the points are not of this data set.
pub fn promote(
    dataset: &Dataset,
    kept: &PathPoints,
    base: &LinearModel,
    index: usize,
    go_on: &(dyn Fn() -> bool + Sync),
) -> Option<LinearModel> {
    let observe = |_: &Progress| if go_on() { ControlFlow::Continue(()) } else { ControlFlow::Break(Leave::Nothing) };
    let made = train::promote(dataset, kept, base, index, &observe).inspect_err(|error| tracing::warn!(%error, "nothing was promoted"));
    made.ok().filter(|model| model.check().is_ok())
}

/// What fits.
type Fit = dyn Fn(&Dataset, &ResolvedFit, &Run<'_>) -> Result<LinearModel, TrainError> + Send + Sync;

/// One who works: on which jobs, under which name, with how many threads and how much memory, and how.
#[derive(Clone)]
struct Worker {
    store: Store,
    owner: Arc<str>,
    threads: usize,
    memory: Memory,
    /// What a fit has done is stored this often.
    keep_every: Duration,
    fit: Arc<Fit>,
    measures: Arc<Measures>,
    traces: Traces,
}

impl Worker {
    fn new(store: &Store, owner: &str, threads: usize, memory: &Memory, measures: Arc<Measures>, traces: &Traces) -> Self {
        let (store, memory, traces) = (store.clone(), memory.clone(), traces.clone());
        Self { store, owner: owner.into(), threads, memory, keep_every: keeper::EVERY, fit: Arc::new(train::fit), measures, traces }
    }
}

/// [`run_one`] that hands its job back, attempt unspent, once `stopping` says so.
async fn step(worker: &Worker, stopping: &mut Stopping) -> Result<Worked, StoreError> {
    let Some((mut claim, grant)) = worker.memory.claim(&worker.store, &worker.owner).await? else { return Ok(Worked::Idle) };
    let job = &mut claim.job;
    let mut attempt = worker.traces.begin(|| format!("attempt {}", job.kind.as_str()), Side::Consumer, job.traceparent.as_ref());
    attempt.put("job", || job.id.to_string());
    attempt.put("attempt", || job.attempt);
    attempt.put("kind", || job.kind.as_str());
    attempt.put("request_id", || job.request_id.clone());
    // from here on what is done belongs to the attempt
    job.traceparent = attempt.traceparent().or(job.traceparent);
    let trace_id = job.traceparent.map(|traceparent| traceparent.trace_id());
    let span = tracing::info_span!("job", job = %job.id, attempt = job.attempt, request_id = job.request_id, trace_id);
    let worked = attempt::work(worker, claim, &mut attempt, stopping).instrument(span).await;
    drop(grant);
    worked.map(|()| Worked::Job)
}
