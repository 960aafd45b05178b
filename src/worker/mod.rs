//! The worker: claim → load → train → finish, one job at a time on a thread of its own; the loop around it.
//!
//! Never sees HTTP or SQL. [`run_one`] is public so that a test can step it until it is idle; [`Pool`] is the same
//! step in a loop, with rescue and sweep beside it.

mod attempt;
mod pool;

pub use attempt::Stopping;
pub use pool::Pool;

use crate::store::{Store, StoreError};

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
    step(store, owner, threads, &mut Stopping::never()).await
}

/// [`run_one`] that hands its job back, attempt unspent, once `stopping` says so.
pub(crate) async fn step(store: &Store, owner: &str, threads: usize, stopping: &mut Stopping) -> Result<Worked, StoreError> {
    match store.claim(owner).await? {
        None => Ok(Worked::Idle),
        Some(claim) => attempt::work(store, claim, threads, stopping).await.map(|()| Worked::Job),
    }
}
