//! Rows in, columns out: non-zeros arrive by row and leave sorted by feature, within a memory budget.
//!
//! Knows no format. Entries are buffered; a full buffer is sorted by feature (stable, so rows stay in order) and becomes
//! a run on disk. Runs follow each other in row order, so a column is its pieces, run after run. Memory follows the
//! buffer, the rows and the distinct features, never the largest index.

use std::io;
use std::path::Path;

use super::IngestLimits;
use super::runs::{Runs, Segment};
use crate::fault::Code;

/// A stored non-zero takes at least this much: a row and a single.
const STORED_NNZ_BYTES: u64 = 8;

/// One non-zero.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Entry {
    pub(super) feature: u32,
    pub(super) row: u32,
    pub(super) value: f64,
}

/// Why a row was not taken.
#[derive(Debug)]
pub(super) enum Refused {
    /// A limit is passed; the sentence says which.
    Limit(Code, String),
    /// The scratch file failed.
    Io(io::Error),
}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Collects the matrix of an upload.
pub(super) struct Gather<'a> {
    entries: Vec<Entry>,
    capacity: usize,
    runs: Option<Runs>,
    scratch: &'a Path,
    rows_max: u64,
    nnz_max: u64,
    room_bytes: u64,
    row_nnz: Vec<u32>,
    nnz_before_row: u64,
    spilled: u64,
    single: bool,
}

/// The matrix, gathered: sorted pieces and what was counted on the way.
pub(super) struct Gathered {
    pub(super) segment: Segment,
    pub(super) row_nnz: Vec<u32>,
    pub(super) nnz: u64,
    /// Whether every value survives `f32`.
    pub(super) single: bool,
}

impl<'a> Gather<'a> {
    pub(super) fn new(limits: &IngestLimits, scratch: &'a Path) -> Self {
        // Sorting needs the buffer twice.
        let bytes_each = 2 * size_of::<Entry>() as u64;
        let capacity = usize::try_from(limits.sort_memory_bytes / bytes_each).unwrap_or(usize::MAX).max(1);
        Self {
            entries: Vec::new(),
            capacity,
            runs: None,
            scratch,
            rows_max: limits.rows.min(u64::from(u32::MAX)),
            nnz_max: limits.nnz,
            room_bytes: limits.room_bytes,
            row_nnz: Vec::new(),
            nnz_before_row: 0,
            spilled: 0,
            single: true,
        }
    }

    /// A value of the row under way; zeros are dropped. The caller vouches that no feature comes twice in a row.
    #[inline]
    pub(super) fn push(&mut self, feature: u32, value: f64) -> io::Result<()> {
        if value == 0.0 {
            return Ok(());
        }
        self.single &= f64::from(value as f32).to_bits() == value.to_bits();
        if self.entries.len() == self.capacity {
            self.spill()?;
        }
        let row = self.row_nnz.len() as u32;
        self.entries.push(Entry { feature, row, value });
        Ok(())
    }

    /// Ends the row under way.
    pub(super) fn end_row(&mut self) -> Result<(), Refused> {
        if self.rows() >= self.rows_max {
            return Err(Refused::Limit(Code::LimitExceeded, format!("more than {} rows", self.rows_max)));
        }
        let nnz = self.nnz();
        if nnz > self.nnz_max {
            return Err(Refused::Limit(Code::LimitExceeded, format!("more than {} non-zeros", self.nnz_max)));
        }
        if nnz.saturating_mul(STORED_NNZ_BYTES) > self.room_bytes {
            return Err(Refused::Limit(Code::QuotaExceeded, format!("more than the {} bytes the project has left", self.room_bytes)));
        }
        self.row_nnz.push(u32::try_from(nnz - self.nnz_before_row).unwrap_or(u32::MAX));
        self.nnz_before_row = nnz;
        Ok(())
    }

    /// Rows ended so far.
    pub(super) fn rows(&self) -> u64 {
        self.row_nnz.len() as u64
    }

    fn nnz(&self) -> u64 {
        self.spilled + self.entries.len() as u64
    }

    fn spill(&mut self) -> io::Result<()> {
        sort_by_feature(&mut self.entries);
        let runs = match &mut self.runs {
            Some(runs) => runs,
            none => none.insert(Runs::new(self.scratch)?),
        };
        runs.write(&self.entries)?;
        self.spilled += self.entries.len() as u64;
        self.entries.clear();
        Ok(())
    }

    /// Sorts what is left.
    pub(super) fn finish(mut self) -> io::Result<Gathered> {
        let nnz = self.nnz();
        let segment = if self.runs.is_some() {
            if !self.entries.is_empty() {
                self.spill()?;
            }
            self.entries = Vec::new();
            match self.runs.take() {
                Some(runs) => Segment::Runs(runs.close()?),
                None => Segment::Memory(Vec::new()),
            }
        } else {
            sort_by_feature(&mut self.entries);
            Segment::Memory(self.entries)
        };
        Ok(Gathered { segment, row_nnz: self.row_nnz, nnz, single: self.single })
    }
}

const DIGIT_BITS: u32 = 11;
const DIGIT_VALUES: usize = 1 << DIGIT_BITS;
const SMALL: usize = 256;

/// Stable sort by feature: least significant digit radix sort, 11 bits a pass, no pass for digits that are all 0.
fn sort_by_feature(entries: &mut Vec<Entry>) {
    if entries.len() <= SMALL {
        entries.sort_by_key(|entry| entry.feature);
        return;
    }
    let largest = entries.iter().map(|entry| entry.feature).max().unwrap_or(0);
    let mut from = std::mem::take(entries);
    let mut to = vec![Entry::default(); from.len()];
    let mut shift = 0;
    while shift < u32::BITS && largest >> shift != 0 {
        let digit = |entry: &Entry| (entry.feature >> shift) as usize % DIGIT_VALUES;
        let mut starts = vec![0_usize; DIGIT_VALUES];
        for entry in &from {
            starts[digit(entry)] += 1;
        }
        let mut start = 0;
        for count in &mut starts {
            start += std::mem::replace(count, start);
        }
        for entry in &from {
            let place = &mut starts[digit(entry)];
            to[*place] = *entry;
            *place += 1;
        }
        std::mem::swap(&mut from, &mut to);
        shift += DIGIT_BITS;
    }
    *entries = from;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sort_is_stable_and_complete_for_wide_and_narrow_features() {
        for range in [1_u64, 300, 5_000, 5_000_000, u64::from(u32::MAX)] {
            let mut state = 1_u64;
            let mut entries: Vec<Entry> = (0..5_000)
                .map(|row| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    Entry { feature: ((state >> 32) % (range + 1)) as u32, row, value: 1.0 }
                })
                .collect();
            let mut expected: Vec<(u32, u32)> = entries.iter().map(|e| (e.feature, e.row)).collect();
            expected.sort_unstable();
            sort_by_feature(&mut entries);
            assert_eq!(entries.iter().map(|e| (e.feature, e.row)).collect::<Vec<_>>(), expected);
        }
    }
}
