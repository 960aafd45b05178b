//! Stopping: of the process, and of one fit.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;

use crate::job::Progress;
use crate::train::Leave;

/// Whether the process is stopping.
#[derive(Clone, Debug)]
pub(super) struct Stopping(Option<watch::Receiver<bool>>);

impl Stopping {
    /// For a step that nobody interrupts.
    pub(super) fn never() -> Self {
        Self(None)
    }

    /// Follows a flag that turns true once.
    pub(super) fn when(flag: watch::Receiver<bool>) -> Self {
        Self(Some(flag))
    }

    /// Whether it is already so.
    pub(super) fn now(&self) -> bool {
        self.0.as_ref().is_some_and(|flag| *flag.borrow())
    }

    /// Resolves when it is so.
    pub(super) async fn wait(&mut self) {
        if let Some(flag) = &mut self.0
            && flag.wait_for(|stop| *stop).await.is_ok()
        {
            return;
        }
        std::future::pending().await
    }
}

/// Why the fit was told to stop; the first word wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Halt {
    No = 0,
    Cancel = 1,
    Shutdown = 2,
    TimeLimit = 3,
    Lost = 4,
}

/// What a fit's thread and those who watch over it share.
pub(super) struct Shared {
    halt: AtomicU8,
    progress: Mutex<Progress>,
}

impl Shared {
    pub(super) fn new(progress: Progress) -> Self {
        Self { halt: AtomicU8::new(Halt::No as u8), progress: Mutex::new(progress) }
    }

    pub(super) fn halt(&self, why: Halt) {
        // a second reason changes nothing: the fit stops for the first
        let _ = self.halt.compare_exchange(Halt::No as u8, why as u8, Ordering::AcqRel, Ordering::Acquire);
    }

    pub(super) fn halted(&self) -> Halt {
        match self.halt.load(Ordering::Acquire) {
            1 => Halt::Cancel,
            2 => Halt::Shutdown,
            3 => Halt::TimeLimit,
            4 => Halt::Lost,
            _ => Halt::No,
        }
    }

    /// Called from inside the solver: one atomic load, and never a wait for those who read the progress.
    pub(super) fn observe(&self, progress: &Progress) -> ControlFlow<Leave> {
        if self.halt.load(Ordering::Relaxed) != Halt::No as u8 {
            return ControlFlow::Break(Leave::Nothing);
        }
        if let Ok(mut latest) = self.progress.try_lock() {
            latest.clone_from(progress);
        }
        ControlFlow::Continue(())
    }

    pub(super) fn latest(&self) -> Progress {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_reason_to_halt_is_the_one_that_counts() {
        let shared = Shared::new(Progress::default());
        assert_eq!(shared.observe(&Progress { fraction: 0.5, ..Progress::default() }), ControlFlow::Continue(()));
        assert_eq!(shared.latest().fraction, 0.5);
        for why in [Halt::Cancel, Halt::Shutdown, Halt::TimeLimit, Halt::Lost] {
            shared.halt(why);
            assert_eq!(shared.halted(), Halt::Cancel);
        }
        assert_eq!(shared.observe(&Progress::default()), ControlFlow::Break(Leave::Nothing));
    }
}
