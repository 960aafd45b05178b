//! What the room promises as a whole: bad input by place and code, the same file whatever the way in.

mod bad_inputs;
mod round_trip;

use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::fault::Fault;

pub(super) const LIMITS: IngestLimits = IngestLimits {
    decoded_bytes: 1 << 30,
    rows: 10_000_000,
    nnz: 2_000_000_000,
    index_max: (1 << 31) - 1,
    line_bytes: 1 << 20,
    number_bytes: 64,
    sort_memory_bytes: 1 << 20,
    room_bytes: u64::MAX,
};

pub(super) const LIBSVM: Format = Format::Libsvm { index_base: 1, n_features: None };

pub(super) fn upload(format: Format) -> Upload {
    Upload { format, encoding: Encoding::Identity, target_kind: None, limits: LIMITS }
}

/// A stored data set and its directory, which goes with it.
pub(super) struct Stored {
    pub(super) dir: tempfile::TempDir,
    pub(super) ingested: Ingested,
}

impl Stored {
    pub(super) fn of(body: impl Read, upload: &Upload) -> Result<Self, IngestError> {
        let dir = tempfile::tempdir()?;
        let file = |name: &str| std::fs::File::create_new(dir.path().join(name));
        let ingested = ingest(body, upload, &file("data")?, &file("names")?, dir.path())?;
        Ok(Self { dir, ingested })
    }

    pub(super) fn data(&self) -> std::path::PathBuf {
        self.dir.path().join("data")
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        std::fs::read(self.data()).expect("the file is there")
    }

    pub(super) fn names(&self) -> Option<Arc<Names>> {
        let hash = self.ingested.names_sha256.as_ref()?;
        Some(Arc::new(Names::open(&self.dir.path().join("names"), hash).expect("the names open")))
    }

    pub(super) fn open(&self) -> Dataset {
        open(&self.data(), self.names(), Arc::new(self.ingested.meta.clone()), true).expect("the data open")
    }
}

pub(super) fn store(body: &[u8], upload: &Upload) -> Stored {
    Stored::of(body, upload).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&body[..body.len().min(200)])))
}

pub(super) fn refused(body: &[u8], upload: &Upload) -> Fault {
    match Stored::of(body, upload) {
        Err(IngestError::Fault(fault)) => fault,
        Err(IngestError::Io(error)) => panic!("io error {error}: {}", String::from_utf8_lossy(&body[..body.len().min(200)])),
        Ok(_) => panic!("accepted: {}", String::from_utf8_lossy(&body[..body.len().min(200)])),
    }
}

/// Hands out one byte at a time, so that every boundary inside the input is met.
struct Drip<'a>(&'a [u8]);

impl Read for Drip<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.0.len().min(1).min(buffer.len());
        buffer[..n].copy_from_slice(&self.0[..n]);
        self.0 = &self.0[n..];
        Ok(n)
    }
}

/// A file of `../shared/data`, decoded; `None`, loudly, where it is not there.
fn real(name: &str) -> Option<Vec<u8>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data").join(name);
    let Ok(bytes) = std::fs::read(&path) else {
        // eprintln! of a passing test is swallowed, this is not
        let _ = writeln!(io::stderr(), "SKIPPED: {name} is not in ../shared/data; this test has shown nothing");
        return None;
    };
    let mut decoder = zstd::stream::read::Decoder::new(&bytes[..]).expect("zstd");
    decoder.window_log_max(27).expect("a window");
    let mut text = Vec::new();
    decoder.read_to_end(&mut text).expect("zstd");
    Some(text)
}
