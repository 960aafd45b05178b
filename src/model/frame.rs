//! What the files of all models have in common: how they begin, and the checksum they end with.
//!
//! ```text
//! "SPFMODEL"  8 bytes
//! version     u32
//! reserved    u32, 0
//! head        u64, bytes of the JSON that follows the lengths
//! count       u64, of what the arrays hold
//! JSON        zeros behind it up to a multiple of 8
//! arrays      as the version says
//! checksum    SHA-256 of all bytes before it
//! ```

use std::ops::Range;

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::dataset::Damaged;

const MAGIC: &[u8; 8] = b"SPFMODEL";
const HEADER: usize = 32;
pub(super) const CHECKSUM: usize = 32;

/// Where the parts of a file lie whose checksum holds.
pub(super) struct Start {
    pub(super) version: u64,
    pub(super) head: Range<usize>,
    pub(super) count: usize,
    pub(super) arrays: Range<usize>,
}

/// The bytes of a file up to its arrays.
pub(super) fn start(version: u32, head: &impl Serialize, count: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(4096 + 16 * count);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&version.to_le_bytes());
    bytes.extend_from_slice(&[0; 20]);
    serde_json::to_writer(&mut bytes, head).expect("plain structs with text keys always serialise into memory");
    let head_length = (bytes.len() - HEADER) as u64;
    bytes[16..24].copy_from_slice(&head_length.to_le_bytes());
    bytes[24..32].copy_from_slice(&(count as u64).to_le_bytes());
    pad(&mut bytes);
    bytes
}

/// Ends a file.
pub(super) fn seal(mut bytes: Vec<u8>) -> Vec<u8> {
    let checksum = Sha256::digest(&bytes);
    bytes.extend_from_slice(&checksum);
    bytes
}

impl Start {
    /// Nothing of the bytes is believed before their checksum.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Damaged> {
        let end = bytes.len().checked_sub(CHECKSUM).filter(|end| *end >= HEADER).ok_or_else(|| damaged("it is too short"))?;
        if &bytes[..8] != MAGIC {
            return Err(damaged("it is no model"));
        }
        if Sha256::digest(&bytes[..end]).as_slice() != &bytes[end..] {
            return Err(damaged("its checksum does not match"));
        }
        let place = || {
            let (head, count) = (usize::try_from(word(bytes, 16)).ok()?, usize::try_from(word(bytes, 24)).ok()?);
            let head = HEADER..HEADER.checked_add(head)?;
            let begin = head.end.checked_next_multiple_of(8).filter(|begin| *begin <= end)?;
            Some(Self { version: word(bytes, 8), head, count, arrays: begin..end })
        };
        place().ok_or_else(|| damaged("its lengths do not agree"))
    }
}

pub(super) fn damaged(what: impl Into<String>) -> Damaged {
    Damaged(what.into())
}

/// Zeros up to a multiple of 8 bytes.
pub(super) fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(8), 0);
}

/// The 64-bit word at `at`, which lies in the header.
pub(super) fn word(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

/// Appends words, then zeros up to a multiple of 8 bytes.
pub(super) fn put_words(bytes: &mut Vec<u8>, words: &[u32]) {
    words.iter().for_each(|word| bytes.extend_from_slice(&word.to_le_bytes()));
    pad(bytes);
}

/// Appends doubles.
pub(super) fn put_reals(bytes: &mut Vec<u8>, reals: &[f64]) {
    reals.iter().for_each(|real| bytes.extend_from_slice(&real.to_le_bytes()));
}

/// The bytes that are not read yet; what was read before them is a multiple of 8 bytes long.
pub(super) struct Reader<'b>(pub(super) &'b [u8]);

impl Reader<'_> {
    /// So many words, and what fills them up.
    pub(super) fn words(&mut self, count: usize) -> Option<Vec<u32>> {
        let bytes = count.checked_mul(4)?;
        let (words, rest) = self.0.split_at_checked(bytes.checked_next_multiple_of(8)?)?;
        self.0 = rest;
        Some(words[..bytes].as_chunks::<4>().0.iter().map(|word| u32::from_le_bytes(*word)).collect())
    }

    /// So many doubles.
    pub(super) fn reals(&mut self, count: usize) -> Option<Vec<f64>> {
        let (reals, rest) = self.0.split_at_checked(count.checked_mul(8)?)?;
        self.0 = rest;
        Some(reals.as_chunks::<8>().0.iter().map(|real| f64::from_le_bytes(*real)).collect())
    }
}
