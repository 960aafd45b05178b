//! Ingest of a large real text, by hand: `cargo test --release --lib dataset::tests::bench -- --ignored --nocapture`.

use std::time::Instant;

use super::*;

#[test]
#[ignore = "prints figures, asserts none of them"]
fn ingest_of_debian_size() {
    let Some(text) = real("debian-size.svm.zst") else { return };
    for sort in [64_u64 << 20, 1 << 30] {
        let mut upload = upload(LIBSVM);
        upload.limits.sort_memory_bytes = sort;
        upload.limits.line_bytes = 64 << 20;
        for _ in 0..3 {
            let start = Instant::now();
            let stored = store(&text, &upload);
            let seconds = start.elapsed().as_secs_f64();
            let meta = &stored.ingested.meta;
            eprintln!(
                "sort {} MiB: {:.0} MB/s, {:.3} s, {:?} nnz {} stored {} B {}",
                sort >> 20,
                text.len() as f64 / seconds / 1e6,
                seconds,
                meta.shape,
                meta.nnz,
                meta.stored_bytes,
                meta.dtype
            );
        }
    }
}
