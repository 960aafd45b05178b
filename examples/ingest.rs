//! Ingests a LIBSVM file a few times and prints how fast: for profiling uploads without the server.
//!
//! `cargo run --release --example ingest -- FILE [SORT_MEMORY_MIB]`

use std::fs::File;
use std::time::Instant;

use sparsefit::config::Limits;
use sparsefit::dataset::{Encoding, Format, Upload, ingest};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let Some(file) = args.next() else {
        eprintln!("usage: ingest FILE [SORT_MEMORY_MIB]");
        return Ok(());
    };
    let mut limits = Limits::default().upload;
    if let Some(mib) = args.next() {
        limits.sort_memory_bytes = mib.parse::<u64>()? << 20;
    }
    let format = Format::Libsvm { index_base: 1, n_features: None };
    let upload = Upload { format, encoding: Encoding::Identity, target_kind: None, limits };
    for _ in 0..3 {
        let scratch = tempfile::tempdir()?;
        let (data, names) = (File::create_new(scratch.path().join("data"))?, File::create_new(scratch.path().join("names"))?);
        let start = Instant::now();
        let meta = ingest(File::open(&file)?, &upload, &data, &names, scratch.path())?.meta;
        let seconds = start.elapsed().as_secs_f64();
        let megabytes = std::fs::metadata(&file)?.len() as f64 / 1e6;
        println!(
            "{:.0} MB/s, {seconds:.3} s, {:?} nnz {} stored {} B {}",
            megabytes / seconds,
            meta.shape,
            meta.nnz,
            meta.stored_bytes,
            meta.dtype
        );
    }
    Ok(())
}
