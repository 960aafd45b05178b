//! Counts work, reports progress and hears of a cancel: every loop over non-zeros goes through [`Watch::work`], whose
//! `Result` cannot be ignored.

use std::ops::ControlFlow;

use super::{Observe, Progress};

/// Non-zeros between two looks at `observe`: well below a millisecond of work.
const STRIDE: usize = 1 << 16;

/// `observe` said to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cancelled;

/// The observer of one solve.
pub(super) struct Watch<'a> {
    observe: &'a Observe<'a>,
    nnz: usize,
    since: usize,
    touched: u64,
    /// What is reported next.
    pub(super) progress: Progress,
}

impl<'a> Watch<'a> {
    pub(super) fn new(observe: &'a Observe<'a>, nnz: usize) -> Self {
        let progress = Progress { lambda: f64::INFINITY, lambda_index: 0, fold: None, nonzeros: 0, relative_gap: None, epoch: 0 };
        Self { observe, nnz, since: 0, touched: 0, progress }
    }

    /// Records that `nonzeros` entries of X (or as much other work) were touched.
    #[inline]
    pub(super) fn work(&mut self, nonzeros: usize) -> Result<(), Cancelled> {
        self.since += nonzeros;
        if self.since < STRIDE { Ok(()) } else { self.look() }
    }

    /// Asks `observe` now.
    pub(super) fn look(&mut self) -> Result<(), Cancelled> {
        self.touched += self.since as u64;
        self.since = 0;
        match (self.observe)(&self.progress) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Cancelled),
        }
    }

    /// Work so far in products with all of X.
    pub(super) fn passes(&self) -> f64 {
        (self.touched + self.since as u64) as f64 / self.nnz.max(1) as f64
    }
}
