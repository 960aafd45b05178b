//! Checkpoints: what a job has done so far, in parts that only the holder of its claim may add to.
//!
//! What is in a part is the worker's to know. Rows go with the ending of their job, or by the sweep where a job ended
//! without a worker; files follow their rows.

use super::blobs::{Draft, hex_sha256};
use super::db::{Session, args};
use super::events::append;
use super::records::{self, JobRecord};
use super::{Claim, Store, StoreError, blocking, queries, telling};
use crate::id::{Id, Kind};

impl Store {
    /// Adds part `number` of this claim, durable before this returns; one that is there already stays as it is.
    /// `false` = the claim was no longer ours.
    pub async fn add_checkpoint(&self, claim: &Claim, number: i64, bytes: Vec<u8>) -> Result<bool, StoreError> {
        // what only saves time does not take the last of the disk
        self.inner.blobs.reserve().admit_upload()?;
        let (sha256, size) = (hex_sha256(&bytes), i64::try_from(bytes.len()).unwrap_or(i64::MAX));
        let (blobs, ambient) = (self.inner.blobs.clone(), self.inner.ambient.clone());
        let written = blocking(move || blobs.write(&bytes, &ambient));
        let draft: Draft = self.inner.db.health.heed(written.await)?;
        let mut session = self.write().await?;
        if session.optional::<JobRecord>(&queries::CLAIMED, args![&claim.job.id, claim.number]).await?.is_none() {
            return Ok(false);
        }
        let now = session.now(&self.inner.ambient).await?;
        let columns = args![&claim.job.id, claim.number, number, now, &draft.id, sha256, size];
        if session.execute(&queries::ADD_CHECKPOINT, columns).await? == 0 {
            return Ok(true);
        }
        if let Some(event) = telling::checkpoint(number, size) {
            append(&mut session, &self.inner.ambient, &claim.job.id, now, &event).await?;
        }
        let kept = draft.keep();
        session.commit().await?;
        drop(kept);
        self.hub().announce_job(&claim.job.id);
        Ok(true)
    }

    /// The parts of a claimed job, oldest first, each with its checksum compared.
    pub async fn checkpoints(&self, claim: &Claim) -> Result<Vec<Vec<u8>>, StoreError> {
        let rows = self.read().await?.all::<(String, String)>(&queries::CHECKPOINTS, args![&claim.job.id]).await?;
        let blobs = self.inner.blobs.clone();
        blocking(move || rows.iter().map(|(id, sha256)| blobs.read(&records::id(Kind::Blob, id)?, sha256)).collect()).await
    }

    /// Removes the parts of a claimed job: they are of no use. `false` = the claim was no longer ours.
    pub async fn drop_checkpoints(&self, claim: &Claim) -> Result<bool, StoreError> {
        let mut session = self.write().await?;
        if session.optional::<JobRecord>(&queries::CLAIMED, args![&claim.job.id, claim.number]).await?.is_none() {
            return Ok(false);
        }
        let left = forget(&mut session, claim.job.id.as_str()).await?;
        session.commit().await?;
        self.remove_files(left).await;
        Ok(true)
    }

    /// Removes the rows of jobs that have ended without a worker: cancelled while queued, given up, deleted.
    pub(super) async fn sweep_checkpoints(&self) -> Result<(), StoreError> {
        let (orphans,) = self.read().await?.one::<(i64,)>(&queries::ORPHANED_CHECKPOINTS, args![]).await?;
        if orphans > 0 {
            let mut session = self.write().await?;
            session.execute(&queries::SWEEP_CHECKPOINTS, args![]).await?;
            session.commit().await?;
        }
        Ok(())
    }

    /// Removes files whose rows are gone; one that cannot be removed now is left to the sweep.
    pub(super) async fn remove_files(&self, files: Vec<Id>) {
        let blobs = self.inner.blobs.clone();
        let removed = blocking(move || {
            files.iter().for_each(|id| drop(std::fs::remove_file(blobs.path(id))));
            Ok(())
        });
        // nothing in there can fail
        let _ = removed.await;
    }
}

/// Forgets the parts of a job; their files are to be removed once that is committed.
pub(super) async fn forget(session: &mut Session, job: &str) -> Result<Vec<Id>, StoreError> {
    let rows = session.all::<(String,)>(&queries::FORGET_CHECKPOINTS, args![job]).await?;
    rows.iter().map(|(id,)| records::id(Kind::Blob, id)).collect()
}
