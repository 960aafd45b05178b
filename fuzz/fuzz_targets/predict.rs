//! Prediction bodies, JSON and LIBSVM, against a model fitted once.
#![no_main]

use std::ops::ControlFlow;
use std::sync::{Arc, OnceLock};

use libfuzzer_sys::fuzz_target;
use sparsefit::config::Limits;
use sparsefit::dataset::{Encoding, Format};
use sparsefit::model::{PredictFormat, PredictLimits, PredictOptions, Predictor};
use sparsefit::{spec, train};

const LIMITS: PredictLimits = PredictLimits { rows: 1000, row_nnz: 10_000, index_max: (1 << 31) - 1 };

fuzz_target!(|input: &[u8]| {
    static PREDICTOR: OnceLock<Predictor> = OnceLock::new();
    let predictor = PREDICTOR.get_or_init(fitted);
    let Some((choice, body)) = input.split_first() else { return };
    let format = if choice & 1 == 0 { PredictFormat::Json } else { PredictFormat::Libsvm { index_base: u32::from(choice & 2 == 0) } };
    // an answer is always finite numbers in JSON, which has no others
    let _ = predictor.predict(body, format, &PredictOptions::default(), &LIMITS);
});

fn fitted() -> Predictor {
    let body = br#"{"format":"dense","feature_names":["age","price"],"values":[[1,0],[0,2],[3,4],[1,1]],"y":[0.5,1.5,2.5,1.1]}"#;
    let data = sparsefit_fuzz::upload(body, Format::Json, Encoding::Identity).expect("a data set");
    let job = br#"{"type":"fit","model":"m","dataset":{"name":"d"},"spec":{"lambda":{"mode":"value","value":0.01}}}"#;
    let asked = spec::parse_job(job, &Limits::default().spec).expect("a job");
    let (fit, _) = asked.fit().expect("a fit").resolve(&data.meta, data.names.as_deref()).expect("a specification");
    let run = train::Run { threads: 1, observe: &|_| ControlFlow::Continue(()), resume: None, keep: &|_| {}, points: &|_| {}, on_thread: &|| {} };
    let model = train::fit(&data, &fit, &run).expect("a model");
    Predictor::new(Arc::new(model), data.names.clone())
}
