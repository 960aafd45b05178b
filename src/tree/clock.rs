//! Counted work: the only clock of this room. Decides when `observe` is asked, and so when growing is cancelled.

use super::{Observe, Progress, Unfit};

/// Units of work (about one entry touched) between two calls of `observe`: well under a millisecond.
const STRIDE: u64 = 1 << 16;
/// Entries worked between two looks at the clock.
pub(crate) const BLOCK: usize = 1 << 13;

#[derive(Clone, Copy)]
pub(crate) struct Clock<'o> {
    observe: &'o Observe<'o>,
    pub(crate) progress: Progress,
    since: u64,
}

impl<'o> Clock<'o> {
    pub(crate) fn new(observe: &'o Observe<'o>, fold: Option<usize>) -> Self {
        // the first work asks: however small the data, nothing begins that was to stop
        Self { observe, progress: Progress { fold, ..Progress::default() }, since: STRIDE }
    }

    /// Counts work.
    pub(crate) fn work(&mut self, units: usize) -> Result<(), Unfit> {
        self.since += units as u64 + 1;
        if self.since < STRIDE {
            return Ok(());
        }
        self.since = 0;
        if (self.observe)(&self.progress).is_break() { Err(Unfit::Stopped) } else { Ok(()) }
    }

    /// Walks rows in blocks.
    pub(crate) fn each(&mut self, rows: &[u32], mut f: impl FnMut(u32)) -> Result<(), Unfit> {
        for block in rows.chunks(BLOCK) {
            self.work(block.len())?;
            block.iter().for_each(|&row| f(row));
        }
        Ok(())
    }
}
