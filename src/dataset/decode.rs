//! The wrapping of an upload: gzip and zstd undone within bounds, the decoded bytes counted and hashed.
//!
//! Knows nothing of what the bytes mean. A body that unfolds without measure is stopped while it unfolds, never after.

use std::cell::{Cell, RefCell};
use std::io::{self, BufRead, BufReader, Read};
use std::rc::Rc;

use flate2::bufread::GzDecoder;
use sha2::{Digest, Sha256};

use super::{Encoding, IngestError};
use crate::fault::{Code, Fault};

/// A body may unfold to this many times its size, …
const RATIO_MAX: u64 = 100;
/// … plus this many bytes.
const RATIO_SLACK: u64 = 1 << 20;
/// zstd may ask for a window of 2^23 bytes = 8 MiB and no more.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;
/// gzip members allowed beyond one for every 4 KiB decoded: blocked gzip passes, a flood of empty members does not.
const MEMBERS_FREE: u64 = 256;
const MEMBER_BYTES: u64 = 4096;
const SOURCE_BUFFER: usize = 128 * 1024;

/// Decodes a body that is in memory already, within the same bounds as an upload.
pub fn decode_whole(body: &[u8], encoding: Encoding, limit: u64) -> Result<Vec<u8>, Fault> {
    let broken = |_| Fault::new(Code::MalformedEncoding, "the body is not what Content-Encoding says");
    let mut decoded = Decoded::new(body, encoding, limit).map_err(broken)?;
    let mut whole = Vec::new();
    match decoded.read_to_end(&mut whole) {
        Ok(_) => Ok(whole),
        Err(error) => Err(match decoded.explain(error) {
            IngestError::Fault(fault) => fault,
            IngestError::Io(error) => broken(error),
        }),
    }
}

/// SHA-256 of the decoded body, hex, as [`Meta::upload_sha256`](super::Meta) has it; what the bytes mean is not looked at.
pub fn hash_decoded(body: impl Read, encoding: Encoding, limit: u64) -> Result<String, IngestError> {
    let mut decoded = Decoded::new(body, encoding, limit)?;
    match io::copy(&mut decoded, &mut io::sink()) {
        Ok(_) => Ok(decoded.sha256()),
        Err(error) => Err(decoded.explain(error)),
    }
}

/// The decoded body.
pub(super) struct Decoded<'a, R: Read> {
    stream: Stream<'a, Source<R>>,
    encoding: Encoding,
    source: Rc<Watch>,
    limit: u64,
    bytes: u64,
    hash: Sha256,
    fault: Option<Fault>,
}

enum Stream<'a, R: Read> {
    Identity(R),
    Gzip(Members<R>),
    Zstd(Box<zstd::stream::read::Decoder<'a, BufReader<R>>>),
}

impl<R: Read> Decoded<'_, R> {
    /// Starts to decode `body`; at most `limit` decoded bytes.
    pub(super) fn new(body: R, encoding: Encoding, limit: u64) -> io::Result<Self> {
        let watch = Rc::new(Watch::default());
        let source = Source { inner: body, watch: Rc::clone(&watch) };
        let stream = match encoding {
            Encoding::Identity => Stream::Identity(source),
            Encoding::Gzip => Stream::Gzip(Members::new(source)),
            Encoding::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::new(source)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
                Stream::Zstd(Box::new(decoder))
            }
        };
        Ok(Self { stream, encoding, source: watch, limit, bytes: 0, hash: Sha256::new(), fault: None })
    }

    /// SHA-256 of everything read so far, hex.
    pub(super) fn sha256(self) -> String {
        super::hash::hex(&self.hash.finalize())
    }

    /// What a failed `read` means for the client.
    pub(super) fn explain(&mut self, error: io::Error) -> IngestError {
        if let Some(source) = self.source.failed.borrow_mut().take() {
            return IngestError::Io(source);
        }
        match self.fault.take() {
            Some(fault) => IngestError::Fault(fault),
            None => IngestError::Io(error),
        }
    }

    /// Whether not a single byte came.
    pub(super) fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    fn refuse(&mut self, code: Code, detail: impl Into<String>) -> io::Error {
        self.fault = Some(Fault::new(code, detail));
        io::Error::other("the body is refused")
    }

    fn broken(&mut self, error: io::Error) -> io::Error {
        if self.source.failed.borrow().is_some() || self.encoding == Encoding::Identity {
            return error;
        }
        // zstd's own sentence for ZSTD_error_frameParameter_windowTooLarge
        if error.to_string().contains("too much memory") {
            return self.refuse(Code::DecompressedTooLarge, "the zstd window is larger than 8 MiB; compress without --long");
        }
        let name = if self.encoding == Encoding::Gzip { "gzip" } else { "zstd" };
        self.refuse(Code::MalformedEncoding, format!("the body is not a complete {name} stream"))
    }

    fn check(&mut self) -> io::Result<()> {
        if self.bytes > self.limit {
            let code = if self.encoding == Encoding::Identity { Code::PayloadTooLarge } else { Code::DecompressedTooLarge };
            return Err(self.refuse(code, format!("the body has more than {} bytes after decoding", self.limit)));
        }
        if self.encoding == Encoding::Identity {
            return Ok(());
        }
        let bound = self.source.bytes.get().saturating_mul(RATIO_MAX).saturating_add(RATIO_SLACK);
        if self.bytes > bound {
            let detail = format!("the body unfolds to more than {RATIO_MAX} times its size");
            return Err(self.refuse(Code::DecompressedTooLarge, detail));
        }
        if let Stream::Gzip(members) = &self.stream
            && members.count > MEMBERS_FREE + self.bytes / MEMBER_BYTES
        {
            let detail = "the body is a flood of tiny gzip members; compress it as one";
            return Err(self.refuse(Code::DecompressedTooLarge, detail));
        }
        Ok(())
    }
}

impl<R: Read> Read for Decoded<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = match &mut self.stream {
            Stream::Identity(stream) => stream.read(buffer),
            Stream::Gzip(stream) => stream.read(buffer),
            Stream::Zstd(stream) => stream.read(buffer),
        };
        match read {
            Ok(n) => {
                self.bytes = self.bytes.saturating_add(n as u64);
                self.hash.update(&buffer[..n]);
                self.check()?;
                Ok(n)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                self.check()?;
                Err(error)
            }
            Err(error) => Err(self.broken(error)),
        }
    }
}

/// What the reader around the source has seen.
#[derive(Default)]
struct Watch {
    bytes: Cell<u64>,
    failed: RefCell<Option<io::Error>>,
}

/// Counts the encoded bytes and tells a failing source from a broken stream.
struct Source<R> {
    inner: R,
    watch: Rc<Watch>,
}

impl<R: Read> Read for Source<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.inner.read(buffer) {
            Ok(n) => {
                self.watch.bytes.set(self.watch.bytes.get().saturating_add(n as u64));
                Ok(n)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => {
                self.watch.failed.replace(Some(error));
                Err(io::Error::other("the source of the body failed"))
            }
        }
    }
}

/// All members of a gzip stream, one after the other (RFC 1952, section 2.2).
struct Members<R: Read> {
    member: Option<GzDecoder<BufReader<R>>>,
    count: u64,
}

impl<R: Read> Members<R> {
    fn new(source: R) -> Self {
        Self { member: Some(GzDecoder::new(BufReader::with_capacity(SOURCE_BUFFER, source))), count: 1 }
    }
}

impl<R: Read> Read for Members<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // At most one member ends in a call, so that the caller counts them however many are empty.
        loop {
            let Some(member) = &mut self.member else { return Ok(0) };
            let n = member.read(buffer)?;
            if n > 0 || buffer.is_empty() {
                return Ok(n);
            }
            let Some(mut rest) = self.member.take().map(GzDecoder::into_inner) else { return Ok(0) };
            if rest.fill_buf()?.is_empty() {
                return Ok(0);
            }
            self.count += 1;
            if self.count > MEMBERS_FREE && self.count.is_multiple_of(MEMBERS_FREE) {
                // Interrupted is retried by every reader, after `Decoded::check` had its say.
                self.member = Some(GzDecoder::new(rest));
                return Err(io::Error::from(io::ErrorKind::Interrupted));
            }
            self.member = Some(GzDecoder::new(rest));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).expect("memory");
        encoder.finish().expect("memory")
    }

    #[test]
    fn a_compressed_body_comes_out_as_it_went_in() {
        let text = b"{\"a\": 1}".repeat(1000);
        assert_eq!(decode_whole(&gzip(&text), Encoding::Gzip, 1 << 20).expect("good"), text);
        let packed = zstd::encode_all(text.as_slice(), 3).expect("memory");
        assert_eq!(decode_whole(&packed, Encoding::Zstd, 1 << 20).expect("good"), text);
    }

    #[test]
    fn bombs_and_broken_streams_are_refused() {
        let zeros = gzip(&vec![0; 8 << 20]);
        let code = |result: Result<Vec<u8>, Fault>| result.expect_err("refused").code;
        assert_eq!(code(decode_whole(&zeros, Encoding::Gzip, 1 << 30)), Code::DecompressedTooLarge);
        let whole = gzip(b"a text that is cut short");
        assert_eq!(code(decode_whole(&whole[..whole.len() - 9], Encoding::Gzip, 1 << 20)), Code::MalformedEncoding);
        let mut wrong_sum = gzip(b"text");
        let end = wrong_sum.len() - 6;
        wrong_sum[end] ^= 1;
        assert_eq!(code(decode_whole(&wrong_sum, Encoding::Gzip, 1 << 20)), Code::MalformedEncoding);
        let flood: Vec<u8> = gzip(b"").repeat(1000);
        assert_eq!(code(decode_whole(&flood, Encoding::Gzip, 1 << 20)), Code::DecompressedTooLarge);
        assert_eq!(code(decode_whole(b"no zstd", Encoding::Zstd, 1 << 20)), Code::MalformedEncoding);
    }
}
