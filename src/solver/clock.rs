//! Counted work: the only clock of this room. Decides when `observe` is asked, and so when a solve is cancelled.

use super::{Observe, Progress};

/// Non-zeros between two calls of `observe`: well under a millisecond of work.
const STRIDE: u64 = 1 << 16;
/// Rows worked between two looks at the clock.
const ROWS: usize = 1 << 12;

#[derive(Clone, Copy)]
pub(crate) struct Clock<'o> {
    observe: &'o Observe<'o>,
    pub(crate) progress: Progress,
    pub(crate) cancelled: bool,
    /// Non-zeros of X touched on this λ.
    pub(crate) touched: u64,
    /// Non-zeros and comparable operations since the last call.
    since: u64,
}

impl<'o> Clock<'o> {
    pub(crate) fn new(observe: &'o Observe<'o>) -> Self {
        let progress = Progress { lambda: 0.0, lambda_index: 0, fold: None, nonzeros: 0, relative_gap: None, epoch: 0 };
        // the first work asks: however small the data, nothing begins that was to stop
        Self { observe, progress, cancelled: false, touched: 0, since: STRIDE }
    }

    /// Begins a λ.
    pub(crate) fn begin(&mut self, lambda: f64, index: usize) {
        self.progress = Progress { lambda, lambda_index: index, relative_gap: None, epoch: 0, ..self.progress };
        self.touched = 0;
        self.ask();
    }

    /// Counts non-zeros of X; says whether to go on.
    pub(crate) fn touch(&mut self, nonzeros: usize) -> bool {
        self.touched += nonzeros as u64;
        self.work(nonzeros)
    }

    /// Counts other work in comparable units; says whether to go on.
    pub(crate) fn work(&mut self, units: usize) -> bool {
        self.since += units as u64 + 1;
        if self.since >= STRIDE && !self.cancelled {
            self.ask();
        }
        !self.cancelled
    }

    /// Walks `n` rows in blocks, each row counted as `cost`; leaves early when it is time to stop, and says so.
    pub(crate) fn rows(&mut self, n: usize, cost: usize, mut block: impl FnMut(std::ops::Range<usize>)) -> bool {
        for start in (0..n).step_by(ROWS) {
            let end = (start + ROWS).min(n);
            if !self.work(cost * (end - start)) {
                return false;
            }
            block(start..end);
        }
        !self.cancelled
    }

    fn ask(&mut self) {
        self.since = 0;
        self.cancelled |= (self.observe)(&self.progress).is_break();
    }
}
