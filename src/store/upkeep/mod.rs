//! Care for a store from outside: looked over, copied away, brought back, beside a running server or without one.
//!
//! Everything here reads one snapshot through a connection of its own and knows tables and columns only as the database
//! lists them, so that a new table needs no line here. What is copied can be read by either engine.

mod backup;
mod check;
mod manifest;
mod restore;
mod rows;
mod snapshot;

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

pub use backup::{Copied, backup};
pub use check::{Depth, Found, check};
pub use restore::{Restored, restore};

use super::StoreError;

/// Which store.
#[derive(Clone, Debug)]
pub struct Place {
    /// Directory of its files, and of its SQLite database.
    pub data_dir: PathBuf,
    /// `postgres://…`; `None` = SQLite in the directory.
    pub database_url: Option<String>,
}

/// Why it was not done.
#[derive(Debug, thiserror::Error)]
pub enum UpkeepError {
    /// The store did not allow it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It is not what, or where, it should be.
    #[error("{0}")]
    Refused(String),
}

impl From<io::Error> for UpkeepError {
    fn from(error: io::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<sqlx::Error> for UpkeepError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

fn refused<T>(why: impl Into<String>) -> Result<T, UpkeepError> {
    Err(UpkeepError::Refused(why.into()))
}

/// Keeps every sweeper away from the files as long as it lives: what a snapshot names stays there.
pub(super) fn hold_files(data_dir: &Path) -> Result<File, StoreError> {
    let file = sweep_lock(data_dir)?;
    file.lock_shared()?;
    Ok(file)
}

/// The right to remove files; `None` while somebody copies or counts them.
pub(super) fn may_sweep(data_dir: &Path) -> Result<Option<File>, StoreError> {
    let file = sweep_lock(data_dir)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(fs::TryLockError::WouldBlock) => Ok(None),
        Err(fs::TryLockError::Error(error)) => Err(error.into()),
    }
}

fn sweep_lock(data_dir: &Path) -> Result<File, StoreError> {
    Ok(OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(data_dir.join("sweep.lock"))?)
}

/// A directory for nobody but us, durable in its parent.
fn make_directory(path: &Path) -> Result<(), UpkeepError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        File::open(parent)?.sync_all()?;
    }
    Ok(())
}

/// Length and SHA-256 in hex of a file.
fn measure(path: &Path) -> Result<(u64, String), io::Error> {
    let (mut file, mut hash, mut buffer) = (File::open(path)?, Sha256::new(), vec![0; 1 << 16]);
    let mut length = 0;
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok((length, hex(hash)));
        }
        hash.update(&buffer[..read]);
        length += read as u64;
    }
}

fn hex(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
