//! What is not deterministic, injected: the clock and the source of randomness.
//!
//! Every room that needs the time or a random number takes an [`Ambient`]; nothing else in the program asks the
//! operating system for either, so that a simulation can replay a whole life of the server from a seed.

use std::fmt;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// A source of wall-clock time.
pub trait Clock: Send + Sync {
    /// Microseconds since 1970-01-01T00:00:00Z.
    fn now_micros(&self) -> i64;

    /// The same scale, but never set back or ahead while the process lives: what leases are measured by.
    fn steady_micros(&self) -> i64 {
        self.now_micros()
    }
}

/// A source of random bytes.
pub trait Random: Send + Sync {
    /// Fills `bytes` with random bytes.
    fn fill(&self, bytes: &mut [u8]);
}

/// Clock and randomness, handed down from the composition root.
#[derive(Clone)]
pub struct Ambient {
    /// Wall-clock time.
    pub clock: Arc<dyn Clock>,
    /// Random bytes, for ids.
    pub random: Arc<dyn Random>,
}

impl Ambient {
    /// The operating system's own clock and randomness.
    pub fn system() -> Self {
        Self { clock: Arc::new(SystemClock::new()), random: Arc::new(SystemRandom) }
    }

    /// Microseconds since 1970-01-01T00:00:00Z.
    pub fn now_micros(&self) -> i64 {
        self.clock.now_micros()
    }

    /// See [`Clock::steady_micros`].
    pub fn steady_micros(&self) -> i64 {
        self.clock.steady_micros()
    }
}

impl fmt::Debug for Ambient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ambient")
    }
}

/// The wall clock, and how it stood when the process began.
struct SystemClock {
    began_at: i64,
    began: Instant,
}

impl SystemClock {
    fn new() -> Self {
        Self { began_at: wall_micros(), began: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn now_micros(&self) -> i64 {
        wall_micros()
    }

    fn steady_micros(&self) -> i64 {
        self.began_at.saturating_add(i64::try_from(self.began.elapsed().as_micros()).unwrap_or(i64::MAX))
    }
}

#[allow(clippy::disallowed_methods)] // the one place
fn wall_micros() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

struct SystemRandom;

impl Random for SystemRandom {
    fn fill(&self, bytes: &mut [u8]) {
        getrandom::fill(bytes).expect("the operating system provides randomness");
    }
}
