//! How far a training is that goes in rounds, as epochs or trees, and whether it is to go on.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::{Leave, Run};
use crate::job::{Progress, Step};

/// 1 is said with the stored model, by the store.
const FRACTION_MAX: f64 = 0.99;

/// Tells how far the rounds are, and whether to go on.
pub(super) struct Tracker<'r> {
    pub(super) run: &'r Run<'r>,
    name: &'static str,
    total: u64,
    /// Rounds of earlier turns.
    before: AtomicU64,
    /// Bits of the largest fraction told, which never falls.
    reached: AtomicU64,
    best_is_wanted: AtomicBool,
}

impl<'r> Tracker<'r> {
    pub(super) fn new(run: &'r Run<'r>, name: &'static str, total: u64) -> Self {
        Self {
            run,
            name,
            total: total.max(1),
            before: AtomicU64::new(0),
            reached: AtomicU64::new(0),
            best_is_wanted: AtomicBool::new(false),
        }
    }

    /// So many rounds more are behind.
    pub(super) fn passed(&self, rounds: u64) {
        self.before.fetch_add(rounds, Ordering::Relaxed);
    }

    /// Whether it was told to stop, and its best is wanted.
    pub(super) fn best_is_wanted(&self) -> bool {
        self.best_is_wanted.load(Ordering::Relaxed)
    }

    /// So many rounds of this turn are done, and a part of the next.
    pub(super) fn tell(&self, rounds: u64, part: f64) -> ControlFlow<Leave> {
        let share = ((self.before.load(Ordering::Relaxed) as f64 + rounds as f64 + part.clamp(0.0, 1.0)) / self.total as f64).min(1.0);
        // bits of positive doubles are ordered as they are
        let share = share.max(f64::from_bits(self.reached.fetch_max(share.to_bits(), Ordering::Relaxed)));
        let done = ((share * self.total as f64 + 1e-9) as u64).min(self.total);
        let steps = vec![Step { name: self.name.into(), done, total: self.total }];
        let fraction = share.min(FRACTION_MAX);
        let flow = (self.run.observe)(&Progress { fraction, eta_s: None, steps, current: None });
        if flow == ControlFlow::Break(Leave::Best) {
            self.best_is_wanted.store(true, Ordering::Relaxed);
        }
        flow
    }

    /// Asks whether to go on while something else than rounds is done.
    pub(super) fn quietly(&self) -> impl Fn(&Progress) -> ControlFlow<Leave> + Sync {
        |_: &Progress| match self.tell(0, 0.0) {
            ControlFlow::Break(Leave::Best) => ControlFlow::Continue(()),
            flow => flow,
        }
    }
}
