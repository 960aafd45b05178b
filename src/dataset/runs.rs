//! Sorted pieces of a matrix, in memory or as runs in one scratch file, read back in feature order.
//!
//! A run in the file: its directory (feature u32, count u32 a column), its rows (u32), its values (f64), little-endian.
//! Reading merges the directories; a column is its pieces in the order of the runs, which is the order of the rows.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::gather::Entry;

const DIRECTORY_ITEM: u64 = 8;
const CURSOR_BUFFER_MAX: u64 = 64 * 1024;
const CURSOR_BUFFER_MIN: u64 = 4 * 1024;
const CURSORS_MEMORY: u64 = 16 << 20;

/// Runs being written.
pub(super) struct Runs {
    file: BufWriter<File>,
    bytes: u64,
    spans: Vec<Span>,
}

/// Where a run lies in the file.
#[derive(Clone, Copy, Debug)]
struct Span {
    directory: u64,
    rows: u64,
    values: u64,
    end: u64,
}

/// A matrix sorted by feature.
pub(super) enum Segment {
    /// Everything in one run, in memory.
    Memory(Vec<Entry>),
    /// Several runs on disk.
    Runs(ClosedRuns),
}

/// Runs, written.
pub(super) struct ClosedRuns {
    file: File,
    spans: Vec<Span>,
}

impl Runs {
    /// Runs in a nameless file in `scratch`; it is gone with its handle, whatever happens.
    pub(super) fn new(scratch: &Path) -> io::Result<Self> {
        Ok(Self { file: BufWriter::with_capacity(1 << 18, tempfile::tempfile_in(scratch)?), bytes: 0, spans: Vec::new() })
    }

    /// Appends one sorted run.
    pub(super) fn write(&mut self, entries: &[Entry]) -> io::Result<()> {
        let directory = self.bytes;
        let mut columns = 0_u64;
        for column in entries.chunk_by(|a, b| a.feature == b.feature) {
            self.file.write_all(&column[0].feature.to_le_bytes())?;
            self.file.write_all(&(column.len() as u32).to_le_bytes())?;
            columns += 1;
        }
        for entry in entries {
            self.file.write_all(&entry.row.to_le_bytes())?;
        }
        for entry in entries {
            self.file.write_all(&entry.value.to_le_bytes())?;
        }
        let n = entries.len() as u64;
        let rows = directory + columns * DIRECTORY_ITEM;
        let values = rows + n * 4;
        self.bytes = values + n * 8;
        self.spans.push(Span { directory, rows, values, end: self.bytes });
        Ok(())
    }

    /// Ends writing.
    pub(super) fn close(self) -> io::Result<ClosedRuns> {
        let file = self.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        Ok(ClosedRuns { file, spans: self.spans })
    }
}

impl Segment {
    /// Every piece of a column as (feature, entries), features rising.
    pub(super) fn columns(&self, mut each: impl FnMut(u32, u32)) -> io::Result<()> {
        match self {
            Self::Memory(entries) => {
                for column in entries.chunk_by(|a, b| a.feature == b.feature) {
                    each(column[0].feature, column.len() as u32);
                }
                Ok(())
            }
            Self::Runs(runs) => runs.merge(|_, feature, count| {
                each(feature, count);
                Ok(())
            }),
        }
    }

    /// Every row in storage order, as little-endian bytes.
    pub(super) fn rows(&self, mut each: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        match self {
            Self::Memory(entries) => entries.iter().try_for_each(|entry| each(&entry.row.to_le_bytes())),
            Self::Runs(runs) => {
                let mut cursors = runs.cursors(|span| (span.rows, span.values));
                runs.merge(|run, _, count| cursors[run].take(u64::from(count) * 4, &mut each))
            }
        }
    }

    /// Every value in storage order, with its feature.
    pub(super) fn values(&self, mut each: impl FnMut(u32, f64) -> io::Result<()>) -> io::Result<()> {
        match self {
            Self::Memory(entries) => entries.iter().try_for_each(|entry| each(entry.feature, entry.value)),
            Self::Runs(runs) => {
                let mut cursors = runs.cursors(|span| (span.values, span.end));
                runs.merge(|run, feature, count| {
                    for _ in 0..count {
                        let value = f64::from_le_bytes(cursors[run].array()?);
                        each(feature, value)?;
                    }
                    Ok(())
                })
            }
        }
    }
}

impl ClosedRuns {
    fn cursors(&self, part: impl Fn(&Span) -> (u64, u64)) -> Vec<Cursor<'_>> {
        let buffer = (CURSORS_MEMORY / self.spans.len().max(1) as u64).clamp(CURSOR_BUFFER_MIN, CURSOR_BUFFER_MAX);
        self.spans
            .iter()
            .map(|span| {
                let (at, end) = part(span);
                Cursor { file: &self.file, at, end, capacity: buffer as usize, buffer: Vec::new(), used: 0 }
            })
            .collect()
    }

    /// (run, feature, count) of every piece: features rise, pieces of one feature in the order of the runs.
    fn merge(&self, mut each: impl FnMut(usize, u32, u32) -> io::Result<()>) -> io::Result<()> {
        let mut cursors = self.cursors(|span| (span.directory, span.rows));
        let mut heads = BinaryHeap::with_capacity(cursors.len());
        for (run, cursor) in cursors.iter_mut().enumerate() {
            heads.extend(cursor.item()?.map(|(feature, count)| Reverse((feature, run, count))));
        }
        while let Some(Reverse((feature, run, count))) = heads.pop() {
            each(run, feature, count)?;
            heads.extend(cursors[run].item()?.map(|(feature, count)| Reverse((feature, run, count))));
        }
        Ok(())
    }
}

/// Reads one part of one run from its begin to its end.
struct Cursor<'a> {
    file: &'a File,
    at: u64,
    end: u64,
    capacity: usize,
    buffer: Vec<u8>,
    used: usize,
}

impl Cursor<'_> {
    fn ready(&mut self) -> io::Result<&[u8]> {
        if self.used == self.buffer.len() {
            let n = (self.end - self.at).min(self.capacity as u64) as usize;
            self.buffer.resize(n, 0);
            self.file.read_exact_at(&mut self.buffer, self.at)?;
            self.at += n as u64;
            self.used = 0;
        }
        Ok(&self.buffer[self.used..])
    }

    fn take(&mut self, mut bytes: u64, each: &mut impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        while bytes > 0 {
            let ready = self.ready()?;
            if ready.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let n = bytes.min(ready.len() as u64) as usize;
            each(&ready[..n])?;
            self.used += n;
            bytes -= n as u64;
        }
        Ok(())
    }

    fn array(&mut self) -> io::Result<[u8; 8]> {
        let mut array = [0; 8];
        if let Some(bytes) = self.ready()?.first_chunk::<8>() {
            array = *bytes;
            self.used += 8;
            return Ok(array);
        }
        let mut filled = 0;
        self.take(8, &mut |bytes| {
            array[filled..filled + bytes.len()].copy_from_slice(bytes);
            filled += bytes.len();
            Ok(())
        })?;
        Ok(array)
    }

    fn item(&mut self) -> io::Result<Option<(u32, u32)>> {
        if self.used == self.buffer.len() && self.at == self.end {
            return Ok(None);
        }
        let [a, b, c, d, e, f, g, h] = self.array()?;
        Ok(Some((u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]))))
    }
}
