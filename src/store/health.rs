//! Whether the store may still promise anything: once a write, sync or rename failed in the disk, nothing is written any
//! more until the process is started again.
//!
//! After a failed sync nobody knows what the disk holds, and a second sync that succeeds proves nothing. So the first
//! such failure is the last word: no acknowledgement, no retry, and whoever watches ends the process.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;

use super::StoreError;

/// The health of one store, and what it has done.
#[derive(Debug, Default)]
pub(super) struct Health {
    broken: watch::Sender<Option<String>>,
    commits: AtomicU64,
}

impl Health {
    /// The disk failed at a write. The first word stays.
    pub(super) fn break_down(&self, what: &str) {
        let first = self.broken.send_if_modified(|broken| {
            let first = broken.is_none();
            broken.get_or_insert_with(|| what.to_owned());
            first
        });
        if first {
            tracing::error!(what, "the disk failed at a write; nothing more is written by this process");
        }
    }

    /// An error once the disk has failed.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        self.broken.borrow().clone().map_or(Ok(()), |what| Err(StoreError::Broken(what)))
    }

    /// Passes the outcome of writing a file on; a failure of the disk ends all writing.
    pub(super) fn heed<T>(&self, outcome: Result<T, StoreError>) -> Result<T, StoreError> {
        match outcome {
            Err(StoreError::Io(error)) => {
                self.break_down(&error.to_string());
                Err(StoreError::Broken(error.to_string()))
            }
            other => other,
        }
    }

    /// Resolves, with what happened, once the disk has failed.
    pub(super) fn watch(&self) -> watch::Receiver<Option<String>> {
        self.broken.subscribe()
    }

    pub(super) fn committed(&self) {
        self.commits.fetch_add(1, Ordering::Relaxed);
    }

    /// Transactions made durable so far.
    pub(super) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Error;

    use super::*;

    #[tokio::test]
    async fn the_first_failure_of_the_disk_is_the_last_word() {
        let health = Health::default();
        assert!(matches!(health.heed::<()>(Err(StoreError::DiskFull)), Err(StoreError::DiskFull)));
        health.check().expect("a full disk may get room again");
        assert!(matches!(health.heed::<()>(Err(StoreError::Io(Error::from_raw_os_error(5)))), Err(StoreError::Broken(_))));
        health.break_down("another");
        let told = health.watch().wait_for(Option::is_some).await.expect("the sender lives").clone();
        assert_eq!(told, Some(Error::from_raw_os_error(5).to_string()));
        assert!(matches!(health.check(), Err(StoreError::Broken(_))));
    }
}
