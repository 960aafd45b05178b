//! The worker: claim → load → train → finish, one job at a time on a thread of its own; the loop around it.
//!
//! Never sees HTTP or SQL.

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
pub async fn run_one(_store: &Store, _owner: &str, _threads: usize) -> Result<Worked, StoreError> {
    unimplemented!()
}
