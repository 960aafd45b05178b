//! The stored data file: one header and aligned arrays, written once, mapped afterwards.
//!
//! ```text
//! 0    magic "SPFDATA1"
//! 8    u32 version = 1      12  u32 flags: 1 = values are f64, 2 = weights, 4 = offsets
//! 16   u64 rows   24  u64 features   32  u64 stored columns   40  u64 non-zeros   48  16 bytes of 0
//! 64   y        f64[rows]                weights f64[rows] if flagged        offset f64[rows] if flagged
//!      features u32[columns]             offsets u64[columns + 1]
//!      rows     u32[non-zeros]           values  f32|f64[non-zeros]
//! ```
//! Little-endian; every array begins at a multiple of 64, gaps are 0; the file ends with its last array. Only non-empty
//! columns are stored. The same matrix gives the same bytes. The SHA-256 of the whole is kept outside the file.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use memmap2::Mmap;

use super::gather::Gathered;
use super::hash::{HashWriter, sha256};
use super::mapping::map;
use super::{Damaged, Dataset, Meta, Names};
use crate::matrix::{Buffer, Columns, Values};

const MAGIC: &[u8; 8] = b"SPFDATA1";
const VERSION: u32 = 1;
const DOUBLE: u32 = 1;
const WEIGHTS: u32 = 2;
const OFFSET: u32 = 4;
const ALIGNMENT: u64 = 64;
const HEADER: usize = 64;

/// What was written.
pub(super) struct Written {
    pub(super) sha256: String,
    pub(super) bytes: u64,
    pub(super) columns: u64,
    pub(super) constant_columns: u64,
    pub(super) double: bool,
}

/// The arrays beside the matrix, one entry a row each.
pub(super) struct RowData<'a> {
    pub(super) y: &'a [f64],
    pub(super) weights: Option<&'a [f64]>,
    pub(super) offset: Option<&'a [f64]>,
}

/// Counts of a file; everything else follows from them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Header {
    flags: u32,
    rows: u64,
    features: u64,
    columns: u64,
    nnz: u64,
}

impl Header {
    fn bytes(self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.flags.to_le_bytes());
        for (slot, number) in bytes[16..48].chunks_exact_mut(8).zip([self.rows, self.features, self.columns, self.nnz]) {
            slot.copy_from_slice(&number.to_le_bytes());
        }
        bytes
    }

    fn read(bytes: &[u8]) -> Result<Self, Damaged> {
        let word = |at: usize| bytes.get(at..at + 8).and_then(|b| b.first_chunk::<8>()).map(|b| u64::from_le_bytes(*b));
        let (Some(second), Some(rows), Some(features), Some(columns), Some(nnz)) = (word(8), word(16), word(24), word(32), word(40)) else {
            return Err(damaged("the header is cut off"));
        };
        let flags = (second >> 32) as u32;
        let header = Self { flags, rows, features, columns, nnz };
        if bytes.get(..HEADER) != Some(&header.bytes()[..]) || flags & !(DOUBLE | WEIGHTS | OFFSET) != 0 {
            return Err(damaged("the header is not one of this version"));
        }
        Ok(header)
    }
}

/// Where the arrays lie.
struct Layout {
    y: Range<usize>,
    weights: Option<Range<usize>>,
    offset: Option<Range<usize>>,
    features: Range<usize>,
    offsets: Range<usize>,
    rows: Range<usize>,
    values: Range<usize>,
}

impl Layout {
    /// `None` when the sizes overflow.
    fn of(header: &Header) -> Option<Self> {
        let mut at = HEADER as u64;
        let mut array = |items: u64, size: u64| {
            let start = at.checked_next_multiple_of(ALIGNMENT)?;
            at = start.checked_add(items.checked_mul(size)?)?;
            Some(usize::try_from(start).ok()?..usize::try_from(at).ok()?)
        };
        Some(Self {
            y: array(header.rows, 8)?,
            weights: if header.flags & WEIGHTS != 0 { Some(array(header.rows, 8)?) } else { None },
            offset: if header.flags & OFFSET != 0 { Some(array(header.rows, 8)?) } else { None },
            features: array(header.columns, 4)?,
            offsets: array(header.columns.checked_add(1)?, 8)?,
            rows: array(header.nnz, 4)?,
            values: array(header.nnz, if header.flags & DOUBLE != 0 { 8 } else { 4 })?,
        })
    }
}

/// Writes the file in one pass from front to back.
pub(super) fn write(matrix: &Gathered, features: u64, beside: &RowData<'_>, file: &File) -> io::Result<Written> {
    let (ids, offsets) = directory(matrix)?;
    let double = !matrix.single;
    let flags = if double { DOUBLE } else { 0 }
        | if beside.weights.is_some() { WEIGHTS } else { 0 }
        | if beside.offset.is_some() { OFFSET } else { 0 };
    let header = Header { flags, rows: beside.y.len() as u64, features, columns: ids.len() as u64, nnz: matrix.nnz };
    let mut out = HashWriter::new(file);
    out.put(&header.bytes())?;
    for numbers in [Some(beside.y), beside.weights, beside.offset].into_iter().flatten() {
        out.pad(ALIGNMENT)?;
        numbers.iter().try_for_each(|number| out.put(&number.to_le_bytes()))?;
    }
    out.pad(ALIGNMENT)?;
    ids.iter().try_for_each(|id| out.put(&id.to_le_bytes()))?;
    out.pad(ALIGNMENT)?;
    offsets.iter().try_for_each(|offset| out.put(&offset.to_le_bytes()))?;
    let full = full_columns(&ids, &offsets, header.rows);
    drop((ids, offsets));
    out.pad(ALIGNMENT)?;
    matrix.segment.rows(|bytes| out.put(bytes))?;
    out.pad(ALIGNMENT)?;
    let constant_columns = write_values(matrix, double, full, &mut out)?;
    let bytes = out.bytes();
    Ok(Written { sha256: out.finish()?, bytes, columns: header.columns, constant_columns, double })
}

fn directory(matrix: &Gathered) -> io::Result<(Vec<u32>, Vec<u64>)> {
    let (mut ids, mut offsets) = (Vec::new(), vec![0_u64]);
    let mut end = 0_u64;
    matrix.segment.columns(|feature, count| {
        end += u64::from(count);
        if ids.last() == Some(&feature) {
            offsets.pop();
        } else {
            ids.push(feature);
        }
        offsets.push(end);
    })?;
    Ok((ids, offsets))
}

/// Features with a non-zero in every row: the ones that may be constant.
fn full_columns(ids: &[u32], offsets: &[u64], rows: u64) -> Vec<u32> {
    ids.iter().zip(offsets.windows(2)).filter(|(_, pair)| pair[1] - pair[0] == rows).map(|(id, _)| *id).collect()
}

/// Writes the values; the number of constant columns among the `full` ones.
fn write_values(matrix: &Gathered, double: bool, full: Vec<u32>, out: &mut HashWriter<&File>) -> io::Result<u64> {
    let mut candidates = full.into_iter().peekable();
    let mut constant = 0_u64;
    let (mut current, mut first, mut same) = (None, 0.0, false);
    matrix.segment.values(|feature, value| {
        if current != Some(feature) {
            constant += u64::from(same);
            same = candidates.next_if_eq(&feature).is_some();
            (current, first) = (Some(feature), value);
        }
        same &= value == first;
        if double { out.put(&value.to_le_bytes()) } else { out.put(&(value as f32).to_le_bytes()) }
    })?;
    Ok(constant + u64::from(same))
}

fn damaged(what: &str) -> Damaged {
    Damaged(what.to_owned())
}

/// Opens a stored data set, mapped. `verify` compares the whole file with the checksum in `meta`, which vouches for
/// every invariant of the matrix; without it the directory is checked but the non-zeros are not read, so a fit, whose
/// kernels rely on the invariants, verifies.
pub fn open(data: &Path, names: Option<Arc<Names>>, meta: Arc<Meta>, verify: bool) -> Result<Dataset, Damaged> {
    let map = map(data).map_err(|error| Damaged(format!("it cannot be mapped: {}", error.kind())))?;
    if verify && sha256(&map) != meta.sha256 {
        return Err(damaged("its checksum differs"));
    }
    let header = Header::read(&map)?;
    compare(&header, &meta)?;
    let layout = Layout::of(&header).ok_or_else(|| damaged("its arrays overflow"))?;
    if map.len() != layout.values.end || meta.stored_bytes != map.len() as u64 {
        return Err(damaged("its length differs"));
    }
    let x = matrix(&map, &header, &layout)?;
    let y: Buffer<f64> = window(&map, layout.y)?;
    if let Some(classes) = &meta.target.classes
        && y.iter().any(|&class| !(class >= 0.0 && class < classes.len() as f64 && class.fract() == 0.0))
    {
        return Err(damaged("a target is no class"));
    }
    let weights = layout.weights.map(|range| window(&map, range)).transpose()?;
    let offset = layout.offset.map(|range| window(&map, range)).transpose()?;
    Ok(Dataset { meta, x, y, weights, offset, names, groups: None })
}

fn compare(header: &Header, meta: &Meta) -> Result<(), Damaged> {
    let flag = |bit: u32| header.flags & bit != 0;
    let same = [header.rows, header.features] == meta.shape
        && header.columns == meta.stored_columns
        && header.nnz == meta.nnz
        && flag(DOUBLE) == (meta.dtype == "f64")
        && flag(WEIGHTS) == meta.weighted
        && flag(OFFSET) == meta.offset;
    if same { Ok(()) } else { Err(damaged("its header is another data set's")) }
}

fn matrix(map: &Arc<Mmap>, header: &Header, layout: &Layout) -> Result<Columns, Damaged> {
    let features: Buffer<u32> = window(map, layout.features.clone())?;
    let offsets: Buffer<u64> = window(map, layout.offsets.clone())?;
    if offsets.windows(2).any(|pair| pair[0] >= pair[1]) || offsets.last() != Some(&header.nnz) {
        return Err(damaged("its offsets do not rise"));
    }
    let inside = features.last().is_none_or(|&last| u64::from(last) < header.features);
    if features.windows(2).any(|pair| pair[0] >= pair[1]) || !inside {
        return Err(damaged("its features do not rise"));
    }
    let rows: Buffer<u32> = window(map, layout.rows.clone())?;
    let values = if header.flags & DOUBLE != 0 {
        Values::Double(window(map, layout.values.clone())?)
    } else {
        Values::Single(window(map, layout.values.clone())?)
    };
    let n_rows = usize::try_from(header.rows).map_err(|_| damaged("it has too many rows"))?;
    Columns::trusted(n_rows, features, offsets, rows, values).map_err(damaged)
}

fn window<T: bytemuck::Pod>(map: &Arc<Mmap>, bytes: Range<usize>) -> Result<Buffer<T>, Damaged> {
    Buffer::mapped(Arc::clone(map), bytes).ok_or_else(|| damaged("an array leaves the file"))
}
