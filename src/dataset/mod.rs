//! Bytes ⇄ data set: one file per format, the stored form, its statistics.
//!
//! Knows nothing of HTTP, SQL or solvers. Bad input is answered with a [`crate::fault::Fault`] that names the line or the pointer.

mod decode;
mod gather;
mod hash;
mod ingest;
mod json;
mod libsvm;
mod mapping;
mod names;
mod number;
mod preview;
mod runs;
mod sample;
mod stored;
mod target;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::fault::Fault;
use crate::matrix::{Buffer, Columns};

pub use decode::{decode_whole, hash_decoded};
pub use ingest::ingest;
pub use names::Names;
pub use preview::{Row, rows};
pub use sample::{Sample, sample};
pub use stored::open;

/// What a target is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TargetKind {
    /// Exactly two classes.
    Binary,
    /// Two or more classes.
    Multiclass,
    /// Any finite number.
    Regression,
    /// Whole numbers from 0.
    Count,
}

/// The name of a class: a number or a text.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Class {
    /// A numeric label.
    Number(f64),
    /// Any other label.
    Text(String),
}

impl Serialize for Class {
    /// A whole number is written as it was uploaded: without a fraction.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        const EXACT: f64 = 9_007_199_254_740_992.0;
        match self {
            Self::Number(number) if number.fract() == 0.0 && number.abs() < EXACT => serializer.serialize_i64(*number as i64),
            Self::Number(number) => serializer.serialize_f64(*number),
            Self::Text(text) => serializer.serialize_str(text),
        }
    }
}

/// The target of a data set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// Its name; `y` where the format has none.
    pub name: String,
    /// What it is.
    pub kind: TargetKind,
    /// Classes, sorted numerically, else bytewise; the positive class is the last. Absent for regression and counts.
    pub classes: Option<Vec<Class>>,
    /// Rows of each class, in the order of `classes`.
    pub counts: Option<Vec<u64>>,
}

/// Quantiles of the non-zeros of a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct RowNnz {
    pub min: u64,
    pub p50: u64,
    pub p99: u64,
    pub max: u64,
}

/// Counts over the whole data set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Statistics {
    /// Rows without a non-zero.
    pub empty_rows: u64,
    /// Features without a non-zero.
    pub empty_columns: u64,
    /// Features with the same non-zero value in every row (empty ones are counted in `empty_columns`).
    pub constant_columns: u64,
    /// Non-zeros a row.
    pub row_nnz: RowNnz,
}

/// What is known of a data set without opening it; kept in its row of the store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Meta {
    /// Rows and features (largest index + 1, or as declared).
    pub shape: [u64; 2],
    /// Non-zeros.
    pub nnz: u64,
    /// Non-empty features = stored columns.
    pub stored_columns: u64,
    /// `f32` or `f64`.
    pub dtype: String,
    /// Bytes of the data file.
    pub stored_bytes: u64,
    /// The target.
    pub target: Target,
    /// Statistics.
    pub statistics: Statistics,
    /// Whether features have names.
    pub named: bool,
    /// Whether rows have weights.
    pub weighted: bool,
    /// Whether rows have offsets.
    pub offset: bool,
    /// SHA-256 of the stored data file, hex.
    pub sha256: String,
    /// SHA-256 of the decoded upload, hex.
    pub upload_sha256: String,
}

/// A stored data set opened for reading; its arrays are mapped.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// What its row says.
    pub meta: Arc<Meta>,
    /// The matrix, non-empty columns only.
    pub x: Columns,
    /// One entry a row: the position in `meta.target.classes` where there are classes, else the value itself.
    pub y: Buffer<f64>,
    /// Sample weights ≥ 0.
    pub weights: Option<Buffer<f64>>,
    /// Offsets.
    pub offset: Option<Buffer<f64>>,
    /// Names of the features, if they have any.
    pub names: Option<Arc<Names>>,
    /// Of rows that were made of others, which of them are of one origin: numbered as they first occur. Rows of one group are never
    /// parted by who holds rows out. No stored data set has groups.
    pub groups: Option<Arc<[u32]>>,
}

/// A stored file that does not have its checksum or its shape.
#[derive(Debug, thiserror::Error)]
#[error("the stored file is damaged: {0}")]
pub struct Damaged(pub String);

/// The format of an upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// LIBSVM / SVMLight text.
    Libsvm {
        /// Smallest legal index in the text, 0 or 1.
        index_base: u32,
        /// Number of features; `None` = largest seen.
        n_features: Option<u64>,
    },
    /// A JSON document with `"format": "csr" | "coo" | "dense" | "records"`.
    Json,
}

/// How an upload's bytes are wrapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Encoding {
    Identity,
    Gzip,
    Zstd,
}

/// Bounds on an upload.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[allow(missing_docs)]
pub struct IngestLimits {
    pub decoded_bytes: u64,
    pub rows: u64,
    pub nnz: u64,
    pub index_max: u64,
    pub line_bytes: u64,
    pub number_bytes: u64,
    /// Memory for sorting; larger uploads are sorted in runs on disk.
    pub sort_memory_bytes: u64,
    /// What may be stored of this one upload: not a bound of the server, but what its project has left.
    #[serde(skip)]
    pub room_bytes: u64,
}

/// What an upload is and how it is to be understood.
#[derive(Clone, Debug)]
pub struct Upload {
    /// Format of the decoded body.
    pub format: Format,
    /// Wrapping of the body.
    pub encoding: Encoding,
    /// Kind asked for; `None` = by its values.
    pub target_kind: Option<TargetKind>,
    /// Bounds.
    pub limits: IngestLimits,
}

/// Why an upload was not stored.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// The input is wrong.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// The disk or the body's source failed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// What ingest wrote.
#[derive(Clone, Debug)]
pub struct Ingested {
    /// Everything the row of the store keeps.
    pub meta: Meta,
    /// SHA-256 of the names file in hex, where names were written.
    pub names_sha256: Option<String>,
}
