//! The list of what is in a backup, written last: without it, or with another, the backup is none.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{UpkeepError, hex, measure, refused};

const NAME: &str = "manifest.json";
const SEAL: &str = "manifest.sha256";
const FORMAT: u32 = 1;

/// What is in a backup.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    /// Of this layout.
    pub(super) format: u32,
    /// Of the program that made it.
    pub(super) version: String,
    /// Number of the schema of the rows.
    pub(super) schema: i64,
    /// Microseconds since 1970.
    pub(super) taken_at: i64,
    /// Last claim number given.
    pub(super) claims: i64,
    /// Rows by table.
    pub(super) rows: BTreeMap<String, u64>,
    /// Files by path in the backup, all but this one.
    pub(super) files: BTreeMap<String, Measure>,
}

/// Length and checksum of a file.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Measure {
    pub(super) bytes: u64,
    pub(super) sha256: String,
}

impl Manifest {
    pub(super) fn new(schema: i64, taken_at: i64, claims: i64) -> Self {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        Self { format: FORMAT, version, schema, taken_at, claims, rows: BTreeMap::new(), files: BTreeMap::new() }
    }

    /// Writes list and seal, durably.
    pub(super) fn write(&self, directory: &Path) -> Result<(), UpkeepError> {
        let mut text = serde_json::to_vec_pretty(self).map_err(|error| UpkeepError::Refused(error.to_string()))?;
        text.push(b'\n');
        let mut hash = Sha256::new();
        hash.update(&text);
        // the form that `sha256sum -c` reads
        let seal = format!("{}  {NAME}\n", hex(hash));
        for (name, bytes) in [(NAME, &text[..]), (SEAL, seal.as_bytes())] {
            let mut file = File::create_new(directory.join(name))?;
            file.write_all(bytes)?;
            file.sync_all()?;
        }
        Ok(File::open(directory)?.sync_all()?)
    }

    /// The list of a whole, unchanged backup: every file is read and compared.
    pub(super) fn verified(directory: &Path) -> Result<Self, UpkeepError> {
        let (Ok(text), Ok(seal)) = (fs::read(directory.join(NAME)), fs::read_to_string(directory.join(SEAL))) else {
            return refused(format!("{} is no whole backup: it has no {NAME} with its {SEAL}", directory.display()));
        };
        let mut hash = Sha256::new();
        hash.update(&text);
        if seal.split_whitespace().next() != Some(&hex(hash)) {
            return refused(format!("{NAME} was changed after the backup"));
        }
        let manifest: Self = serde_json::from_slice(&text).or_else(|error| refused(format!("{NAME} is not understood: {error}")))?;
        if manifest.format != FORMAT {
            return refused(format!("the backup has format {}, this program knows {FORMAT}", manifest.format));
        }
        manifest.compare(directory)?;
        Ok(manifest)
    }

    fn compare(&self, directory: &Path) -> Result<(), UpkeepError> {
        for (path, listed) in &self.files {
            if !is_ours(path) {
                return refused(format!("{path:?} is no file of a backup"));
            }
            match measure(&directory.join(path)) {
                Ok((bytes, sha256)) if bytes == listed.bytes && sha256 == listed.sha256 => {}
                Ok(_) => return refused(format!("{path} was changed after the backup")),
                Err(error) => return refused(format!("{path} cannot be read: {error}")),
            }
        }
        let tables: BTreeSet<String> = self.rows.keys().map(|table| rows_of(table)).collect();
        let listed: BTreeSet<String> = self.files.keys().filter(|path| path.starts_with("rows/")).cloned().collect();
        if tables == listed { Ok(()) } else { refused(format!("{NAME} names rows without a file, or files without rows")) }
    }
}

/// The file of a table's rows.
pub(super) fn rows_of(table: &str) -> String {
    format!("rows/{table}.jsonl")
}

/// The copy of a stored file.
pub(super) fn blob_of(id: &str) -> String {
    format!("blobs/{id}")
}

/// Whether it leads into one of our two directories and nowhere else.
fn is_ours(path: &str) -> bool {
    let name = path.strip_prefix("rows/").or_else(|| path.strip_prefix("blobs/"));
    name.is_some_and(|name| {
        !name.is_empty() && !name.starts_with('.') && name.chars().all(|c| c.is_ascii_alphanumeric() || "._".contains(c))
    })
}
