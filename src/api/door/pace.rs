//! How slowly a body may come: a grace, then a lowest rate; no long pause; an end to it all.

use std::pin::Pin;
use std::task::Context;
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

use crate::config::TimeLimits;

/// The clock of one body. It runs only while the client is waited for, never while the server is busy.
pub(crate) struct Pace {
    grace: Duration,
    bytes_per_s: u64,
    pause: Duration,
    total: Duration,
    received: u64,
    waited: Duration,
    waiting: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl Pace {
    /// For a body that may take `total` at most.
    pub(crate) fn of(limits: &TimeLimits, total: Duration) -> Self {
        Self {
            grace: Duration::from_millis(limits.body_grace_ms),
            bytes_per_s: limits.body_bytes_per_s.max(1),
            pause: Duration::from_millis(limits.pause_ms),
            total,
            received: 0,
            waited: Duration::ZERO,
            waiting: None,
        }
    }

    /// Nothing is there yet; whether the client has been waited for long enough. If not, the task is woken then.
    pub(crate) fn is_over(&mut self, context: &mut Context<'_>) -> bool {
        let allowed = self.allowed();
        let (_, sleep) = self.waiting.get_or_insert_with(|| (Instant::now(), Box::pin(sleep(allowed))));
        sleep.as_mut().poll(context).is_ready()
    }

    /// Bytes came.
    pub(crate) fn came(&mut self, bytes: u64) {
        self.received += bytes;
        if let Some((since, _)) = self.waiting.take() {
            self.waited += since.elapsed();
        }
    }

    /// How long the next bytes are waited for.
    fn allowed(&self) -> Duration {
        let earned = self.grace + Duration::from_secs(self.received / self.bytes_per_s);
        earned.min(self.total).saturating_sub(self.waited).min(self.pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_earned_by_bytes_up_to_the_pause_and_the_total() {
        let limits = TimeLimits { body_grace_ms: 10_000, body_bytes_per_s: 1000, pause_ms: 30_000, ..TimeLimits::default() };
        let mut pace = Pace::of(&limits, Duration::from_secs(100));
        assert_eq!(pace.allowed(), Duration::from_secs(10));
        pace.came(5000);
        assert_eq!(pace.allowed(), Duration::from_secs(15));
        pace.waited = Duration::from_secs(12);
        assert_eq!(pace.allowed(), Duration::from_secs(3));
        pace.came(1_000_000);
        assert_eq!(pace.allowed(), Duration::from_secs(30), "never a longer pause");
        pace.waited = Duration::from_secs(90);
        assert_eq!(pace.allowed(), Duration::from_secs(10), "never longer in all");
        pace.waited = Duration::from_secs(200);
        assert_eq!(pace.allowed(), Duration::ZERO);
    }
}
