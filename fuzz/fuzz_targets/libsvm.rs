//! LIBSVM uploads, plain and compressed: the first byte chooses.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sparsefit::dataset::{Encoding, Format};

fuzz_target!(|input: &[u8]| {
    let Some((choice, body)) = input.split_first() else { return };
    let encoding = [Encoding::Identity, Encoding::Identity, Encoding::Gzip, Encoding::Zstd][usize::from(choice & 3)];
    let n_features = (choice & 4 != 0).then_some(50);
    sparsefit_fuzz::upload(body, Format::Libsvm { index_base: u32::from(choice & 8 == 0), n_features }, encoding);
});
