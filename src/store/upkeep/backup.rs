//! A copy of everything acknowledged before it began: rows of one moment as JSON lines, files copied, and a list
//! with checksums, written last. The server goes on; its sweepers pause.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::manifest::{Manifest, Measure, blob_of, rows_of};
use super::snapshot::{Row, Snapshot};
use super::{Place, UpkeepError, hex, hold_files, make_directory, measure, refused};
use crate::ambient::Ambient;

/// What was copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Copied {
    pub rows: u64,
    pub files: u64,
    pub bytes: u64,
}

/// Copies the store into a new or empty directory.
pub async fn backup(place: &Place, to: &Path, ambient: &Ambient) -> Result<Copied, UpkeepError> {
    if fs::read_dir(to).is_ok_and(|mut entries| entries.next().is_some()) {
        return refused(format!("{} is not empty", to.display()));
    }
    if !place.data_dir.join("blobs").is_dir() {
        return refused(format!("there is no store in {}", place.data_dir.display()));
    }
    // first the files are held, then the moment is chosen: what it names is still there
    let held = hold_files(&place.data_dir)?;
    let mut snapshot = Snapshot::take(place).await?;
    for directory in [to.to_owned(), to.join("rows"), to.join("blobs")] {
        make_directory(&directory)?;
    }
    let mut manifest = Manifest::new(snapshot.schema, ambient.now_micros(), snapshot.line.claims().await?);
    let mut named = BTreeSet::new();
    for table in snapshot.tables.clone() {
        let mut out = RowsFile::create(&to.join(rows_of(&table.name)))?;
        snapshot
            .line
            .each(&table, |row| {
                named.extend(files_named(&row));
                out.put(&row)
            })
            .await?;
        let (rows, measure) = out.finish()?;
        manifest.rows.insert(table.name.clone(), rows);
        manifest.files.insert(rows_of(&table.name), measure);
    }
    snapshot.line.close().await;
    for id in &named {
        let measure = copy_file(&place.data_dir.join("blobs").join(id), &to.join(blob_of(id)))?;
        manifest.files.insert(blob_of(id), measure);
    }
    drop(held);
    for directory in ["rows", "blobs"] {
        File::open(to.join(directory))?.sync_all()?;
    }
    manifest.write(to)?;
    let bytes = manifest.files.values().map(|file| file.bytes).sum();
    Ok(Copied { rows: manifest.rows.values().sum(), files: named.len() as u64, bytes })
}

/// Ids of files in a row: the columns that name one say so.
pub(super) fn files_named(row: &Row) -> impl Iterator<Item = String> + '_ {
    let blobs = row.iter().filter(|(column, _)| *column == "blob" || column.ends_with("_blob"));
    blobs.filter_map(|(_, value)| value.as_str().map(str::to_owned))
}

/// A copy of its own, not a second name: what befalls one file leaves the other.
fn copy_file(from: &Path, to: &Path) -> Result<Measure, UpkeepError> {
    let mut copy = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to)?;
    io::copy(&mut File::open(from)?, &mut copy)?;
    copy.sync_all()?;
    let (bytes, sha256) = measure(to)?;
    Ok(Measure { bytes, sha256 })
}

/// Rows, one a line, counted and hashed as they are written.
struct RowsFile {
    file: BufWriter<File>,
    hash: Sha256,
    bytes: u64,
    rows: u64,
}

impl RowsFile {
    fn create(path: &Path) -> Result<Self, UpkeepError> {
        Ok(Self {
            file: BufWriter::new(OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?),
            hash: Sha256::new(),
            bytes: 0,
            rows: 0,
        })
    }

    fn put(&mut self, row: &Row) -> Result<(), UpkeepError> {
        let line = format!("{}\n", Value::Object(row.clone()));
        self.file.write_all(line.as_bytes())?;
        self.hash.update(line.as_bytes());
        (self.bytes, self.rows) = (self.bytes + line.len() as u64, self.rows + 1);
        Ok(())
    }

    fn finish(self) -> Result<(u64, Measure), UpkeepError> {
        self.file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        Ok((self.rows, Measure { bytes: self.bytes, sha256: hex(self.hash) }))
    }
}
