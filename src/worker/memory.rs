//! The memory of this process that fits may take: granted before a fit runs, given back when it has ended.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Mutex;

use crate::store::{Claim, Room, Store, StoreError};

/// Without a word of the operator, fits take this share of what the process may have; the rest is for serving.
const SHARE: (u64, u64) = (3, 4);
/// What is assumed where the system does not say, bytes.
const UNKNOWN: u64 = 1 << 30;

/// A budget, and what is granted of it; clones share both.
#[derive(Clone, Debug)]
pub struct Memory {
    total: u64,
    granted: Arc<AtomicU64>,
    /// One claim at a time: what is free must not be promised twice.
    claiming: Arc<Mutex<()>>,
}

/// Bytes granted to a fit; given back on drop.
pub(super) struct Grant {
    bytes: u64,
    granted: Arc<AtomicU64>,
}

impl Drop for Grant {
    fn drop(&mut self) {
        self.granted.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Memory {
    /// A budget of so many bytes.
    pub fn of(total: u64) -> Self {
        Self { total, granted: Arc::default(), claiming: Arc::default() }
    }

    /// A share of what this process may have: of its control group's limit or of the machine, whichever is less.
    pub fn of_machine() -> Self {
        let limits = [group_limit("memory.max"), group_limit("memory/memory.limit_in_bytes"), machine()];
        let whole = limits.into_iter().flatten().min().unwrap_or(UNKNOWN);
        Self::of(whole / SHARE.1 * SHARE.0)
    }

    /// Bytes that all fits of this process may take together.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Bytes granted now; stays good after the budget is gone.
    pub fn granted(&self) -> Arc<AtomicU64> {
        self.granted.clone()
    }

    /// Claims the next job together with the memory it may take.
    pub(super) async fn claim(&self, store: &Store, owner: &str) -> Result<Option<(Claim, Grant)>, StoreError> {
        let _alone = self.claiming.lock().await;
        let free = self.total.saturating_sub(self.granted.load(Ordering::Relaxed));
        let claim = store.claim_within(owner, Room { total: self.total, free }).await?;
        Ok(claim.map(|claim| {
            let bytes = claim.job.memory_bytes;
            self.granted.fetch_add(bytes, Ordering::Relaxed);
            (claim, Grant { bytes, granted: self.granted.clone() })
        }))
    }
}

/// The least limit along the control groups of this process, as its file system shows them; none where it is `max`.
fn group_limit(file: &str) -> Option<u64> {
    let (root, file) = match file.split_once('/') {
        Some((controller, file)) => (format!("/sys/fs/cgroup/{controller}"), file),
        None => ("/sys/fs/cgroup".to_owned(), file),
    };
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let paths = groups.lines().filter_map(|line| line.splitn(3, ':').nth(2));
    let own = paths.flat_map(|path| std::path::Path::new(path).ancestors());
    let places = own.map(|path| format!("{root}{}/{file}", path.display().to_string().trim_end_matches('/')));
    places.filter_map(|place| fs::read_to_string(place).ok()?.trim().parse().ok()).min()
}

fn machine() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_says_how_much_it_has() {
        let (machine, budget) = (machine().expect("there is /proc"), Memory::of_machine().total());
        assert!(budget > 1 << 20 && budget <= machine / 4 * 3, "{budget} of {machine}");
    }

    #[test]
    fn a_grant_is_given_back() {
        let memory = Memory::of(10);
        memory.granted.fetch_add(7, Ordering::Relaxed);
        drop(Grant { bytes: 7, granted: memory.granted() });
        assert_eq!(memory.granted().load(Ordering::Relaxed), 0);
    }
}
