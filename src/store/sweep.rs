//! Removes files that no row names: what a crash, a refused upload or a deletion left behind. And keys past their time.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::blobs::seize;
use super::db::args;
use super::upkeep::may_sweep;
use super::{Store, StoreError, blocking, queries};
use crate::id::{Id, Kind};

impl Store {
    /// Removes files without a row older than `age`; returns how many. A file that is being written is left alone, and
    /// all are while somebody copies them. Idempotency keys that are no longer promised go as well.
    pub async fn sweep(&self, age: Duration) -> Result<u64, StoreError> {
        self.forget_events().await?;
        self.sweep_checkpoints().await?;
        self.forget_keys().await?;
        let (blobs, data_dir) = (self.inner.blobs.clone(), self.inner.config.data_dir.clone());
        let (files, _alone) = blocking(move || {
            let Some(alone) = may_sweep(&data_dir)? else { return Ok((Vec::new(), None)) };
            blobs.sweep_scratch()?;
            Ok((blobs.list()?, Some(alone)))
        })
        .await?;
        let named: HashSet<String> =
            self.read().await?.all::<(String,)>(&queries::BLOBS, args![]).await?.into_iter().map(|(id,)| id).collect();
        let youngest = self.inner.ambient.now_micros() / 1000 - i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
        let mut removed = 0;
        for (id, path) in files {
            if !named.contains(id.as_str()) && id.created_millis() <= youngest && self.remove_leftover(&id, path).await? {
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// Bytes of the files that are stored, left-overs among them.
    pub async fn bytes(&self) -> Result<u64, StoreError> {
        let blobs = self.inner.blobs.clone();
        blocking(move || {
            // a file that went away meanwhile takes none
            let lengths = blobs.list()?.into_iter().map(|(_, path)| fs::metadata(path).map_or(0, |file| file.len()));
            Ok(lengths.sum())
        })
        .await
    }

    /// The row may have been committed since the rows were read: looked up again once the writer's lock is ours.
    async fn remove_leftover(&self, id: &Id, path: PathBuf) -> Result<bool, StoreError> {
        debug_assert!(Id::parse(Kind::Blob, id.as_str()).is_some());
        let place = path.clone();
        let Some(lock) = blocking(move || seize(&place)).await? else { return Ok(false) };
        let (uses,) = self.read().await?.one::<(i64,)>(&queries::BLOB_IN_USE, args![id]).await?;
        if uses > 0 {
            return Ok(false);
        }
        blocking(move || {
            let removed = remove(&path);
            drop(lock);
            removed
        })
        .await
    }
}

fn remove(path: &Path) -> Result<bool, StoreError> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error.into()),
    }
}
