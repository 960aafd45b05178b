//! Keeps what a fit has done: collects it from the fit's threads, stores it now and then, and finds it again.
//!
//! Whether and when something is stored never changes the result of a fit, only how much of it is done again after an
//! interruption: no more than was done in the last seconds, or in a small share of the time the fit has run.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::dataset::Dataset;
use crate::spec::ResolvedFit;
use crate::store::{Claim, Store, StoreError};
use crate::train::{Checkpoint, Done, Part, fingerprint};

/// A part is stored at most this often.
pub(super) const EVERY: Duration = Duration::from_secs(2);
/// … and no oftener than once in this part of the time so far, so that a fit of days has hundreds of parts, not thousands.
const SHARE: u32 = 50;
/// Most bytes of one part; more than that waits only while the store is away.
const PART_MAX: usize = 64 << 20;
/// Most bytes of all parts of a job.
const JOB_MAX: u64 = 512 << 20;

/// What is done and not stored yet.
#[derive(Default)]
struct Waiting {
    part: Part,
    /// Nothing is taken any more: a bound was passed, or a part before could not be found again.
    closed: bool,
}

/// What was stored.
struct Stored {
    number: i64,
    bytes: u64,
    /// A part that was taken but of which it is not known whether it is stored.
    unsure: Option<Vec<u8>>,
}

/// Of one attempt.
pub(super) struct Keeper {
    store: Store,
    claim: Claim,
    fingerprint: [u8; 32],
    waiting: Mutex<Waiting>,
    /// Held while a part is stored: parts have an order.
    stored: tokio::sync::Mutex<Stored>,
}

impl Keeper {
    /// Finds what earlier attempts stored. What cannot be used is removed, and the fit begins at its beginning.
    pub(super) async fn find(store: &Store, claim: &Claim, dataset: &Arc<Dataset>, spec: &ResolvedFit) -> (Self, Option<Checkpoint>) {
        let mut keeper = Self {
            store: store.clone(),
            claim: claim.clone(),
            fingerprint: fingerprint(dataset, spec),
            waiting: Mutex::default(),
            stored: tokio::sync::Mutex::new(Stored { number: 0, bytes: 0, unsure: None }),
        };
        let job = &claim.job.id;
        let why = match store.checkpoints(claim).await {
            Ok(parts) if parts.is_empty() => return (keeper, None),
            Ok(parts) => {
                keeper.stored.get_mut().bytes = parts.iter().map(|part| part.len() as u64).sum();
                let (dataset, spec) = (Arc::clone(dataset), spec.clone());
                let read = tokio::task::spawn_blocking(move || Checkpoint::read(&parts, &dataset, &spec)).await;
                match read.unwrap_or(Err("it could not be read")) {
                    Ok(found) => {
                        let (lambda_index, in_folds, resamples) = (found.done(), found.done_in_folds(), found.resamples_done());
                        tracing::info!(%job, attempt = claim.job.attempt, lambda_index, in_folds, resamples, "resumed at λ index {lambda_index}");
                        return (keeper, Some(found));
                    }
                    Err(why) => why.to_owned(),
                }
            }
            Err(StoreError::Damaged(damage)) => damage.to_string(),
            Err(error) => {
                tracing::warn!(%job, %error, "the checkpoint could not be read; the fit begins anew and keeps none");
                keeper.close();
                return (keeper, None);
            }
        };
        tracing::warn!(%job, why, "the checkpoint is of no use; the fit begins anew");
        keeper.stored.get_mut().bytes = 0;
        if !matches!(store.drop_checkpoints(claim).await, Ok(true)) {
            keeper.close();
        }
        (keeper, None)
    }

    /// Takes one λ more; called from the fit's threads, and never waits for the disk.
    pub(super) fn take(&self, done: Done) {
        let mut waiting = self.waiting();
        if !waiting.closed {
            waiting.part.add(done);
            if waiting.part.size() > PART_MAX {
                *waiting = Waiting { part: Part::default(), closed: true };
                tracing::warn!(job = %self.claim.job.id, "too much is done and not stored; no more of this fit is kept");
            }
        }
    }

    /// Stores now and then, for ever.
    pub(super) async fn keep(self: &Arc<Self>, every: Duration) -> std::convert::Infallible {
        let began = Instant::now();
        loop {
            tokio::time::sleep(every.max(began.elapsed() / SHARE)).await;
            let keeper = Arc::clone(self);
            // in a task of its own: a fit that ends meanwhile does not leave half of it
            let _ = tokio::spawn(async move { keeper.store_what_waits().await }).await;
        }
    }

    /// Stores what is done and not stored yet; an error is logged, and tried again with the next part.
    pub(super) async fn store_what_waits(&self) {
        let mut stored = self.stored.lock().await;
        if let Some(bytes) = stored.unsure.take()
            && !self.store_part(&mut stored, bytes).await
        {
            return;
        }
        let part = std::mem::take(&mut self.waiting().part);
        if part.is_empty() {
            return;
        }
        if stored.bytes + part.size() as u64 > JOB_MAX {
            self.close();
            tracing::warn!(job = %self.claim.job.id, bytes = stored.bytes, "the checkpoint has its full size; what comes is not kept");
            return;
        }
        stored.number += 1;
        let bytes = part.encode(&self.fingerprint);
        self.store_part(&mut stored, bytes).await;
    }

    /// Whether the part is stored, or nothing more can be.
    async fn store_part(&self, stored: &mut Stored, bytes: Vec<u8>) -> bool {
        let size = bytes.len() as u64;
        match self.store.add_checkpoint(&self.claim, stored.number, bytes.clone()).await {
            Ok(true) => {
                stored.bytes += size;
                tracing::debug!(job = %self.claim.job.id, number = stored.number, size, "a part of the fit is kept");
                true
            }
            Ok(false) => {
                self.close();
                true
            }
            Err(error) => {
                tracing::warn!(job = %self.claim.job.id, %error, "a part of the fit was not stored; trying again");
                stored.unsure = Some(bytes);
                false
            }
        }
    }

    fn close(&self) {
        *self.waiting() = Waiting { part: Part::default(), closed: true };
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
