//! Files: written beside their place, synced, renamed to their id, and only then named by a row.
//!
//! The order is the promise: write → sync the file → rename → sync the directory → commit the row. A crash in between
//! leaves a file without a row, never a row without its file; `sweep.rs` removes such files. Whoever writes a file
//! holds a lock on it until its row is committed, so that no sweeper, of this process or another, takes it away.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::StoreError;
use super::reserve::{Metered, Reserve};
use crate::ambient::Ambient;
use crate::dataset::Damaged;
use crate::id::{Id, Kind};

/// The directories of the store.
#[derive(Clone, Debug)]
pub(super) struct Blobs {
    root: PathBuf,
}

impl Blobs {
    /// Makes what is missing, for nobody but us.
    pub(super) fn open(data_dir: &Path) -> Result<Self, StoreError> {
        let blobs = Self { root: data_dir.to_owned() };
        for directory in [blobs.root.clone(), blobs.directory(), blobs.scratch()] {
            DirBuilder::new().recursive(true).mode(0o700).create(&directory)?;
            keep_private(&directory)?;
        }
        File::open(&blobs.root)?.sync_all()?;
        Ok(blobs)
    }

    /// The last of the disk they lie on.
    pub(super) fn reserve(&self) -> Reserve {
        Reserve::of(&self.root)
    }

    /// Where the files are.
    pub(super) fn directory(&self) -> PathBuf {
        self.root.join("blobs")
    }

    /// Where the directories for scratch files are.
    pub(super) fn scratch(&self) -> PathBuf {
        self.root.join("scratch")
    }

    /// Where the file `id` is.
    pub(super) fn path(&self, id: &Id) -> PathBuf {
        self.directory().join(id.as_str())
    }

    /// Where the file `id` is while it is written.
    pub(super) fn temporary(&self, id: &Id) -> PathBuf {
        self.directory().join(format!("{id}.tmp"))
    }

    /// A new, empty, locked file.
    pub(super) fn draft(&self, ambient: &Ambient) -> Result<Draft, StoreError> {
        loop {
            let id = Id::new(Kind::Blob, ambient);
            let path = self.temporary(&id);
            let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
            // a sweeper may have been faster: it holds the lock or has removed the name already
            if file.try_lock().is_ok() && file.metadata()?.nlink() == 1 {
                return Ok(Draft { blobs: self.clone(), id, file, path, kept: false });
            }
        }
    }

    /// Writes `bytes` to a new file, durable but not yet named by a row.
    pub(super) fn write(&self, bytes: &[u8], ambient: &Ambient) -> Result<Draft, StoreError> {
        let mut draft = self.draft(ambient)?;
        draft.file.write_all(bytes)?;
        draft.publish()?;
        self.sync()?;
        Ok(draft)
    }

    /// Makes renames durable.
    pub(super) fn sync(&self) -> Result<(), StoreError> {
        Ok(File::open(self.directory())?.sync_all()?)
    }

    /// Whether a file can be opened now: one that is gone is damage, want of descriptors or a failing disk is not.
    pub(super) fn openable(&self, id: &Id) -> Result<(), StoreError> {
        File::open(self.path(id)).map(drop).map_err(missing)
    }

    /// The bytes of a file, which must have this checksum.
    pub(super) fn read(&self, id: &Id, sha256: &str) -> Result<Vec<u8>, StoreError> {
        let bytes = fs::read(self.path(id)).map_err(missing)?;
        if hex_sha256(&bytes) == sha256 { Ok(bytes) } else { Err(Damaged(format!("{id} does not have its checksum")).into()) }
    }
}

/// A directory that was there before may be open to others: closed, or at least spoken of.
fn keep_private(directory: &Path) -> Result<(), StoreError> {
    let mode = fs::metadata(directory)?.permissions().mode() & 0o777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    let directory_shown = directory.display();
    match fs::set_permissions(directory, fs::Permissions::from_mode(0o700)) {
        Ok(()) => {
            tracing::warn!(directory = %directory_shown, mode = format!("{mode:o}"), "others could reach the data directory; closed to them")
        }
        Err(error) => {
            tracing::warn!(directory = %directory_shown, %error, "others can reach the data directory, and it cannot be closed to them")
        }
    }
    Ok(())
}

/// A file that a row names and that is not there is damage, not an input error.
fn missing(error: io::Error) -> StoreError {
    match error.kind() {
        io::ErrorKind::NotFound => Damaged("a file is gone".into()).into(),
        _ => error.into(),
    }
}

/// SHA-256 in hex.
pub(super) fn hex_sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A file that no row names yet; removed on drop unless kept.
#[derive(Debug)]
pub(super) struct Draft {
    blobs: Blobs,
    pub(super) id: Id,
    pub(super) file: File,
    path: PathBuf,
    kept: bool,
}

impl Draft {
    /// Syncs the content and gives the file its final name; [`Blobs::sync`] makes the name durable.
    pub(super) fn publish(&mut self) -> Result<(), StoreError> {
        self.file.sync_all()?;
        let path = self.blobs.path(&self.id);
        fs::rename(&self.path, &path)?;
        self.path = path;
        Ok(())
    }

    /// From here on the sweep decides: to be called before the commit, because a commit whose answer got lost may have
    /// happened. The lock is held until the returned file is dropped.
    pub(super) fn keep(mut self) -> Kept {
        self.kept = true;
        Kept { _draft: self }
    }
}

/// A file whose row is being committed; keeps the sweepers away until it is dropped.
#[derive(Debug)]
pub(super) struct Kept {
    _draft: Draft,
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.kept {
            // a file that cannot be removed now is removed by the sweep
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// A place for an upload: two empty files in the blob directory and a scratch directory, removed on drop unless
/// [`Store::add_dataset`](super::Store::add_dataset) took them.
#[derive(Debug)]
pub struct Incoming {
    pub(super) data: Draft,
    pub(super) names: Draft,
    scratch: Scratch,
    reserve: Reserve,
}

/// A directory that is removed on drop with all that is in it.
#[derive(Debug)]
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Incoming {
    pub(super) fn new(blobs: &Blobs, ambient: &Ambient) -> Result<Self, StoreError> {
        blobs.reserve().admit_upload()?;
        // the lock on the data file keeps the sweepers from the scratch directory too
        let (data, names) = (blobs.draft(ambient)?, blobs.draft(ambient)?);
        let scratch = Scratch(blobs.scratch().join(data.id.as_str()));
        DirBuilder::new().mode(0o700).create(&scratch.0)?;
        Ok(Self { data, names, scratch, reserve: blobs.reserve() })
    }

    /// The body of the upload, which ends with an error before it takes the last of the disk.
    pub fn metered(&self, body: impl Read) -> impl Read {
        Metered::new(body, self.reserve.clone())
    }

    /// File for the data.
    pub fn data(&self) -> &File {
        &self.data.file
    }

    /// File for the names.
    pub fn names(&self) -> &File {
        &self.names.file
    }

    /// Directory for scratch files.
    pub fn scratch(&self) -> &Path {
        &self.scratch.0
    }

    /// Makes the files durable under their final names; the names file only where there are names.
    pub(super) fn publish(self, named: bool) -> Result<(Draft, Option<Draft>), StoreError> {
        let Self { mut data, mut names, scratch, reserve: _ } = self;
        drop(scratch);
        data.publish()?;
        if named {
            names.publish()?;
        }
        data.blobs.sync()?;
        Ok((data, named.then_some(names)))
    }
}

impl Blobs {
    /// Files by id and path, whether finished or not.
    pub(super) fn list(&self) -> Result<Vec<(Id, PathBuf)>, StoreError> {
        let mut files = Vec::new();
        for entry in fs::read_dir(self.directory())? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if let Some(id) = Id::parse(Kind::Blob, name.strip_suffix(".tmp").unwrap_or(name)) {
                files.push((id, path));
            }
        }
        Ok(files)
    }

    /// Removes scratch directories whose upload is over.
    pub(super) fn sweep_scratch(&self) -> Result<(), StoreError> {
        for entry in fs::read_dir(self.scratch())? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let Some(id) = Id::parse(Kind::Blob, name) else { continue };
            let alive = match File::open(self.temporary(&id)) {
                Ok(file) => matches!(file.try_lock(), Err(TryLockError::WouldBlock)),
                Err(_) => false,
            };
            if !alive {
                let _ = fs::remove_dir_all(&path);
            }
        }
        Ok(())
    }
}

/// Locks a file that seems to be left over; `None` when its writer lives or it is gone.
pub(super) fn seize(path: &Path) -> Result<Option<File>, StoreError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}
