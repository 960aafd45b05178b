//! Counted work: the only clock of this room. Decides when `observe` is asked, and so when training is cancelled.

use std::ops::ControlFlow;

use super::{Halt, Observe, Progress};

/// Units of work (about one multiplication and one addition) between two calls of `observe`: about a millisecond.
const STRIDE: usize = 1 << 20;
/// Most units worked between two looks at the clock, where work can be cut.
pub(crate) const BLOCK: usize = 1 << 18;

#[derive(Clone, Copy)]
pub(crate) struct Clock<'o> {
    observe: &'o Observe<'o>,
    pub(crate) progress: Progress,
    /// Nobody is asked any more.
    pub(crate) silent: bool,
    since: usize,
}

impl<'o> Clock<'o> {
    pub(crate) fn new(observe: &'o Observe<'o>) -> Self {
        // the first work asks: however small the data, nothing begins that was to stop
        Self { observe, progress: Progress::default(), silent: false, since: STRIDE }
    }

    /// Counts work.
    pub(crate) fn work(&mut self, units: usize) -> Result<(), Halt> {
        self.since = self.since.saturating_add(units + 1);
        if self.since < STRIDE { Ok(()) } else { self.ask() }
    }

    /// Asks now.
    pub(crate) fn ask(&mut self) -> Result<(), Halt> {
        self.since = 0;
        if self.silent {
            return Ok(());
        }
        match (self.observe)(&self.progress) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(halt) => Err(halt),
        }
    }
}
