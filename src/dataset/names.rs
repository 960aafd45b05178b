//! Names of features: collected at ingest, stored sorted, read from a mapped file without loading anything.
//!
//! ```text
//! 0   magic "SPFNAME1"   8  u64 names   16  u64 bytes of text
//! 24  offsets u64[names + 1] into the text      order u32[names]: indices by name, bytewise      text UTF-8
//! ```

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use memmap2::Mmap;

use super::Damaged;
use super::hash::{HashWriter, sha256};
use super::mapping::map;

const MAGIC: &[u8; 8] = b"SPFNAME1";
const HEADER: usize = 24;
/// Longest feature name in bytes.
const NAME_BYTES_MAX: usize = 256;

/// Why a text may not name a feature, if it may not.
pub(super) fn illegal(name: &str) -> Option<&'static str> {
    if name.len() > NAME_BYTES_MAX {
        return Some("a feature name has at most 256 bytes");
    }
    name.chars().any(char::is_control).then_some("a feature name has no control characters")
}

/// Texts one after the other in one allocation.
#[derive(Default)]
pub(super) struct NameList {
    text: String,
    ends: Vec<u64>,
}

impl NameList {
    pub(super) fn push(&mut self, name: &str) {
        self.text.push_str(name);
        self.ends.push(self.text.len() as u64);
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn get(&self, index: usize) -> &str {
        let start = if index == 0 { 0 } else { self.ends[index - 1] as usize };
        &self.text[start..self.ends[index] as usize]
    }

    /// Positions by name, bytewise; equal names in order of position.
    pub(super) fn order(&self) -> Vec<u32> {
        let mut order: Vec<u32> = (0..self.len() as u32).collect();
        order.sort_by(|&a, &b| self.get(a as usize).as_bytes().cmp(self.get(b as usize).as_bytes()));
        order
    }

    /// The first position, if any, whose name occurs before.
    pub(super) fn first_duplicate(&self) -> Option<usize> {
        let order = self.order();
        order.windows(2).filter(|pair| self.get(pair[0] as usize) == self.get(pair[1] as usize)).map(|pair| pair[1] as usize).min()
    }

    /// Writes the names file; its SHA-256.
    pub(super) fn write(&self, file: &File) -> io::Result<String> {
        let mut out = HashWriter::new(file);
        out.put(MAGIC)?;
        out.put(&(self.len() as u64).to_le_bytes())?;
        out.put(&(self.text.len() as u64).to_le_bytes())?;
        out.put(&0_u64.to_le_bytes())?;
        self.ends.iter().try_for_each(|end| out.put(&end.to_le_bytes()))?;
        self.order().iter().try_for_each(|index| out.put(&index.to_le_bytes()))?;
        out.put(self.text.as_bytes())?;
        out.finish()
    }
}

/// Names of all features by index, and the index of a name, in a mapped file: nothing is loaded.
#[derive(Debug)]
pub struct Names {
    map: Arc<Mmap>,
    count: usize,
    order: usize,
    text: usize,
}

impl Names {
    /// Opens the names file at `path`, checking it against the SHA-256 in hex.
    pub fn open(path: &Path, sha256_hex: &str) -> Result<Self, Damaged> {
        let map = map(path).map_err(|error| Damaged(format!("the names cannot be mapped: {}", error.kind())))?;
        if sha256(&map) != sha256_hex {
            return Err(Damaged("the checksum of the names differs".to_owned()));
        }
        Self::layout(map).ok_or_else(|| Damaged("the names file has another layout".to_owned()))
    }

    fn layout(map: Arc<Mmap>) -> Option<Self> {
        let word = |at: usize| map.get(at..at + 8).and_then(|b| b.first_chunk::<8>()).map(|b| u64::from_le_bytes(*b));
        if map.get(..8)? != MAGIC {
            return None;
        }
        let count = usize::try_from(word(8)?).ok()?;
        let bytes = usize::try_from(word(16)?).ok()?;
        let order = HEADER.checked_add(count.checked_add(1)?.checked_mul(8)?)?;
        let text = order.checked_add(count.checked_mul(4)?)?;
        (text.checked_add(bytes)? == map.len()).then_some(Self { map, count, order, text })
    }

    /// Number of names.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is no name.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Name of feature `index`.
    pub fn get(&self, index: u32) -> Option<&str> {
        std::str::from_utf8(self.bytes(index)?).ok()
    }

    /// Feature called `name`; a binary search over the file.
    pub fn find(&self, name: &str) -> Option<u32> {
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = low + (high - low) / 2;
            let index = self.ordered(middle)?;
            match self.bytes(index)?.cmp(name.as_bytes()) {
                std::cmp::Ordering::Equal => return Some(index),
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        None
    }

    fn bytes(&self, index: u32) -> Option<&[u8]> {
        if index as usize >= self.count {
            return None;
        }
        let at = HEADER + index as usize * 8;
        let end = |at: usize| usize::try_from(u64::from_le_bytes(*self.map.get(at..)?.first_chunk::<8>()?)).ok();
        self.map.get(self.text..)?.get(end(at)?..end(at + 8)?)
    }

    fn ordered(&self, position: usize) -> Option<u32> {
        Some(u32::from_le_bytes(*self.map.get(self.order + position * 4..)?.first_chunk::<4>()?))
    }
}
