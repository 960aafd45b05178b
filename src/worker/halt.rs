//! Stopping: of the process, and of one fit.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Condvar, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::job::Progress;
use crate::train::Leave;

/// A fit holds its breath at most this long at a time.
const BREATH: Duration = Duration::from_secs(1);

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
    halted: watch::Sender<bool>,
    /// The fit waits for a moment: nothing is lost by it, and no result depends on it.
    held: AtomicBool,
    breath: (Mutex<()>, Condvar),
    progress: Mutex<Progress>,
    began: Instant,
    /// When the first look at the matrix was done.
    prepared: OnceLock<Duration>,
    /// The best there is is wanted when the time is up.
    keep_best: bool,
}

impl Shared {
    pub(super) fn new(progress: Progress, keep_best: bool) -> Self {
        Self {
            halt: AtomicU8::new(Halt::No as u8),
            halted: watch::Sender::new(false),
            held: AtomicBool::new(false),
            breath: (Mutex::new(()), Condvar::new()),
            progress: Mutex::new(progress),
            began: Instant::now(),
            prepared: OnceLock::new(),
            keep_best,
        }
    }

    pub(super) fn halt(&self, why: Halt) {
        // a second reason changes nothing: the fit stops for the first
        let _ = self.halt.compare_exchange(Halt::No as u8, why as u8, Ordering::AcqRel, Ordering::Acquire);
        self.halted.send_replace(true);
        self.hold(false);
    }

    /// Makes the fit's threads wait where they are, or go on.
    pub(super) fn hold(&self, held: bool) {
        let (waiting, woken) = &self.breath;
        let waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
        self.held.store(held && self.halted() == Halt::No, Ordering::Release);
        drop(waiting);
        woken.notify_all();
    }

    fn wait_while_held(&self) {
        let (waiting, woken) = &self.breath;
        let waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = woken.wait_timeout_while(waiting, BREATH, |()| self.held.load(Ordering::Acquire));
        // who was held for too long is held no more
        self.held.store(false, Ordering::Release);
    }

    /// Resolves once there is a reason to halt.
    pub(super) async fn until_halted(&self) {
        // the sender lives as long as this
        let _ = self.halted.subscribe().wait_for(|halted| *halted).await;
    }

    /// How long the fit took for its first look at the matrix; `None` while it still looks.
    pub(super) fn preparation(&self) -> Option<Duration> {
        self.prepared.get().copied()
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

    /// Called from inside the solver: two atomic loads, and never a wait for those who read the progress.
    pub(super) fn observe(&self, progress: &Progress) -> ControlFlow<Leave> {
        if self.held.load(Ordering::Relaxed) {
            self.wait_while_held();
        }
        let halted = self.halt.load(Ordering::Relaxed);
        if halted != Halt::No as u8 {
            let best = self.keep_best && halted == Halt::TimeLimit as u8;
            return ControlFlow::Break(if best { Leave::Best } else { Leave::Nothing });
        }
        if self.prepared.get().is_none() && progress.steps.first().is_some_and(|step| step.done > 0) {
            self.prepared.get_or_init(|| self.began.elapsed());
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
        let shared = Shared::new(Progress::default(), false);
        assert_eq!(shared.observe(&Progress { fraction: 0.5, ..Progress::default() }), ControlFlow::Continue(()));
        assert_eq!(shared.latest().fraction, 0.5);
        for why in [Halt::Cancel, Halt::Shutdown, Halt::TimeLimit, Halt::Lost] {
            shared.halt(why);
            assert_eq!(shared.halted(), Halt::Cancel);
        }
        assert_eq!(shared.observe(&Progress::default()), ControlFlow::Break(Leave::Nothing));
    }

    #[test]
    fn a_fit_that_is_held_goes_on_or_stops_as_it_is_told() {
        for halt in [false, true] {
            let shared = Shared::new(Progress::default(), false);
            shared.hold(true);
            std::thread::scope(|scope| {
                let fit = scope.spawn(|| shared.observe(&Progress::default()));
                if halt {
                    shared.halt(Halt::Cancel)
                } else {
                    shared.hold(false)
                }
                let told = if halt { ControlFlow::Break(Leave::Nothing) } else { ControlFlow::Continue(()) };
                assert_eq!(fit.join().expect("it ends"), told);
            });
            shared.hold(true);
            assert_eq!(shared.held.load(Ordering::Relaxed), !halt, "what has stopped is not held");
        }
    }

    #[test]
    fn the_best_is_wanted_only_of_a_fit_whose_time_is_up() {
        for (why, leave) in [(Halt::TimeLimit, Leave::Best), (Halt::Cancel, Leave::Nothing), (Halt::Shutdown, Leave::Nothing)] {
            let shared = Shared::new(Progress::default(), true);
            shared.halt(why);
            assert_eq!(shared.observe(&Progress::default()), ControlFlow::Break(leave));
        }
    }
}
