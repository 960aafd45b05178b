//! Verbs run again: where PostgreSQL undid a transaction because of another one, and where the answer to a commit was
//! lost. A few times, after pauses of random length, and nobody outside sees it.

use std::time::Duration;

use super::{Store, StoreError};

/// How often a verb is run again.
const TIMES: u32 = 3;
/// Longest pause before the first time; it doubles.
const PAUSE: Duration = Duration::from_millis(20);

/// How often a verb was run already.
pub(super) struct Again<'a> {
    store: &'a Store,
    times: u32,
}

impl Store {
    /// For one verb: `match verb().await { Err(e) if again.after(&e).await => {} done => return done }` in a loop.
    pub(super) fn again(&self) -> Again<'_> {
        Again { store: self, times: 0 }
    }
}

impl Again<'_> {
    /// Whether to run the verb once more after this error; waits a little if so, and those who met do not meet again.
    pub(super) async fn after(&mut self, error: &StoreError) -> bool {
        error.of_another_transaction() && self.once_more().await
    }

    /// The same for a verb that may be run twice: also where nobody knows whether it was committed.
    pub(super) async fn after_any(&mut self, error: &StoreError) -> bool {
        (error.of_another_transaction() || matches!(error, StoreError::OutcomeUnknown(_))) && self.once_more().await
    }

    async fn once_more(&mut self) -> bool {
        if self.times == TIMES {
            return false;
        }
        let mut byte = [0];
        self.store.inner.ambient.random.fill(&mut byte);
        tokio::time::sleep(PAUSE * 2u32.pow(self.times) * u32::from(byte[0]) / 255).await;
        self.times += 1;
        true
    }
}
