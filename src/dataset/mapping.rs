//! Files of ours mapped read-only: the one place of this room that needs `unsafe`.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use memmap2::Mmap;

/// Maps the whole of a **published** file.
pub(super) fn map(path: &Path) -> io::Result<Arc<Mmap>> {
    let file = File::open(path)?;
    // SAFETY: a map is sound while nobody changes or cuts the file under it. Every file opened here lies in the store's
    // own directory, was completely written before it got its name, is never opened for writing afterwards, and is
    // removed only by unlinking, which leaves existing maps intact.
    let map = unsafe { Mmap::map(&file)? };
    Ok(Arc::new(map))
}
