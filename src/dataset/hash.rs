//! SHA-256 beside the bytes: a writer that hashes what passes, and hexadecimal text.

use std::io::{self, Write};

use sha2::{Digest, Sha256};

const BUFFER: usize = 256 * 1024;

/// Buffers, hashes and counts everything written.
pub(super) struct HashWriter<W: Write> {
    inner: W,
    buffer: Vec<u8>,
    hash: Sha256,
    bytes: u64,
}

impl<W: Write> HashWriter<W> {
    pub(super) fn new(inner: W) -> Self {
        Self { inner, buffer: Vec::with_capacity(BUFFER), hash: Sha256::new(), bytes: 0 }
    }

    /// Appends `bytes`.
    pub(super) fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.buffer.len() + bytes.len() > BUFFER {
            self.drain()?;
        }
        self.bytes += bytes.len() as u64;
        if bytes.len() >= BUFFER {
            self.hash.update(bytes);
            return self.inner.write_all(bytes);
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    /// Appends zeros up to the next multiple of `alignment`.
    pub(super) fn pad(&mut self, alignment: u64) -> io::Result<()> {
        while !self.bytes.is_multiple_of(alignment) {
            self.put(&[0])?;
        }
        Ok(())
    }

    /// Bytes so far.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Writes what is left; the SHA-256 of everything, hex.
    pub(super) fn finish(mut self) -> io::Result<String> {
        self.drain()?;
        self.inner.flush()?;
        Ok(hex(&self.hash.finalize()))
    }

    fn drain(&mut self) -> io::Result<()> {
        self.hash.update(&self.buffer);
        self.inner.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }
}

/// SHA-256 of `bytes`, hex.
pub(super) fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|b| [DIGITS[usize::from(b >> 4)] as char, DIGITS[usize::from(b & 15)] as char]).collect()
}
