//! JSON uploads: csr, coo, dense, records.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sparsefit::dataset::{Encoding, Format};

fuzz_target!(|body: &[u8]| {
    sparsefit_fuzz::upload(body, Format::Json, Encoding::Identity);
});
