//! The body of a job: parsed, and resolved against a small data set.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use sparsefit::config::Limits;
use sparsefit::dataset::{Dataset, Encoding, Format};
use sparsefit::spec;

fuzz_target!(|body: &[u8]| {
    static DATA: OnceLock<Dataset> = OnceLock::new();
    let data = DATA.get_or_init(|| {
        let body = br#"{"format":"dense","feature_names":["age","price"],"values":[[1,0],[0,2],[3,4]],"y":[0,1,1]}"#;
        sparsefit_fuzz::upload(body, Format::Json, Encoding::Identity).expect("a data set")
    });
    if let Ok(asked) = spec::parse_job(body, &Limits::default().spec)
        && let Some(Ok((fit, _))) = asked.fit().map(|fit| fit.resolve(&data.meta, data.names.as_deref()))
    {
        spec::estimate(&data.meta, &fit, 1);
    }
});
