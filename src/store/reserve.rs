//! The last of the disk: refused to uploads and submissions, so that jobs can end, and what was stored can be deleted.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::statvfs;

use super::StoreError;

/// Kept at most, and at least: room for the database's log to grow while jobs end.
const MOST: u64 = 256 << 20;
const LEAST: u64 = 16 << 20;
/// Bytes read between two looks at the disk.
const LOOK_EVERY: u64 = 1 << 20;

/// The reserve of the file system that holds the data directory.
#[derive(Clone, Debug)]
pub(super) struct Reserve(Arc<Path>);

impl Reserve {
    pub(super) fn of(data_dir: &Path) -> Self {
        Self(PathBuf::from(data_dir).into())
    }

    /// Whether an upload may take more of the disk.
    pub(super) fn admit_upload(&self) -> Result<(), StoreError> {
        self.admit(|reserve| reserve)
    }

    /// Whether a row may be added that nobody waits for yet: far smaller than an upload, so it may go deeper.
    pub(super) fn admit_row(&self) -> Result<(), StoreError> {
        self.admit(|reserve| reserve / 2)
    }

    fn admit(&self, kept: impl Fn(u64) -> u64) -> Result<(), StoreError> {
        let disk = statvfs(&*self.0).map_err(io::Error::from)?;
        let left = disk.f_bavail.saturating_mul(disk.f_frsize);
        if left < kept(reserve(disk.f_blocks.saturating_mul(disk.f_frsize))) { Err(StoreError::DiskFull) } else { Ok(()) }
    }
}

/// A twentieth of the disk, within bounds.
fn reserve(total: u64) -> u64 {
    (total / 20).clamp(LEAST, MOST)
}

/// A body that ends with an error when the disk comes down to its reserve.
pub(super) struct Metered<R> {
    body: R,
    reserve: Reserve,
    unseen: u64,
}

impl<R> Metered<R> {
    pub(super) fn new(body: R, reserve: Reserve) -> Self {
        Self { body, reserve, unseen: 0 }
    }
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.body.read(buffer)?;
        self.unseen += read as u64;
        if self.unseen >= LOOK_EVERY {
            self.unseen = 0;
            match self.reserve.admit_upload() {
                Err(StoreError::DiskFull) => return Err(io::ErrorKind::StorageFull.into()),
                Err(StoreError::Io(error)) => return Err(error),
                _ => {}
            }
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reserve_is_a_twentieth_within_bounds() {
        assert_eq!(reserve(64 << 20), 16 << 20);
        assert_eq!(reserve(1 << 30), (1 << 30) / 20);
        assert_eq!(reserve(1 << 40), 256 << 20);
    }

    #[test]
    fn a_body_passes_unchanged_where_there_is_room() {
        let directory = tempfile::tempdir().unwrap();
        let body: Vec<u8> = (0..3 << 20).map(|k: u32| k as u8).collect();
        let mut read = Vec::new();
        Metered::new(&body[..], Reserve::of(directory.path())).read_to_end(&mut read).unwrap();
        assert_eq!(read, body);
    }
}
