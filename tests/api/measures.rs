//! The page of measures: it follows OpenMetrics, it has every name that was promised, and no label tells of anybody.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use sparsefit::ambient::Ambient;

use crate::app::TestApp;
use crate::data::TINY;

/// Samples by their name and labels, after the page was found to follow the grammar.
fn parse(page: &str) -> BTreeMap<String, f64> {
    let body = page.strip_suffix("# EOF\n").expect("ends with its end");
    let (mut families, mut samples) = (BTreeSet::new(), BTreeMap::new());
    let (mut family, mut kind) = (String::new(), String::new());
    for line in body.lines() {
        if let Some(rest) = line.strip_prefix("# ") {
            let words: Vec<&str> = rest.splitn(3, ' ').collect();
            match words[..] {
                ["HELP", name, help] if !help.is_empty() => {
                    assert!(families.insert(name.to_owned()), "{name} comes twice");
                    family = name.to_owned();
                }
                ["TYPE", name, of] => {
                    assert_eq!(name, family, "{line}");
                    kind = of.to_owned();
                }
                _ => panic!("{line}"),
            }
            continue;
        }
        let (sample, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line}"));
        let name = sample.split('{').next().expect("a name");
        assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'), "{line}");
        let suffix = name.strip_prefix(&family).unwrap_or_else(|| panic!("{line} stands under {family}"));
        let allowed: &[&str] = match kind.as_str() {
            "counter" => &["_total"],
            "histogram" => &["_bucket", "_sum", "_count"],
            "gauge" => &[""],
            other => panic!("a type of its own: {other}"),
        };
        assert!(allowed.contains(&suffix), "{line} is no {kind}");
        let value: f64 = value.parse().unwrap_or_else(|_| panic!("{line}"));
        assert!(value >= 0.0, "{line}");
        assert!(samples.insert(sample.to_owned(), value).is_none(), "{line} comes twice");
    }
    samples
}

/// The sum of all samples of this name whose labels hold these.
fn sum(samples: &BTreeMap<String, f64>, name: &str, labels: &[&str]) -> f64 {
    let of_name = |sample: &str| sample.split('{').next() == Some(name) && labels.iter().all(|label| sample.contains(label));
    let found: Vec<f64> = samples.iter().filter(|(sample, _)| of_name(sample)).map(|(_, value)| *value).collect();
    assert!(!found.is_empty(), "{name} {labels:?} is not there");
    found.iter().sum()
}

#[tokio::test]
async fn after_a_fit_and_a_prediction_every_measure_is_there() {
    let app = TestApp::start_configured(|config| config.workers = 1, Ambient::system()).await;
    app.upload("tiny", TINY).await.expect(201);
    let spec = json!({ "lambda": { "mode": "value", "value": 0.1 } });
    let job = app.submit("tiny", spec).await.expect(202).json["links"]["self"].as_str().expect("a link").to_owned();
    while app.get(&job).await.expect(200).json["status"] != "succeeded" {}
    app.post("/api/v1/models/m/predict", &json!({ "instances": [[1, 2, 3], { "features": { "nobody": 1 } }] })).await.expect(200);
    // the worker measures just after the end is visible
    let samples = loop {
        let page = app.get("/metrics").await.expect(200);
        assert!(page.header("content-type").starts_with("application/openmetrics-text"));
        let text = page.text();
        for private in ["tiny", "nobody", "\"default", "\"job_", "\"req_"] {
            assert!(!text.contains(private), "{private}: {text}");
        }
        let samples = parse(&text);
        if samples.keys().any(|sample| sample.starts_with("job_duration_seconds_count")) {
            break samples;
        }
    };
    let is = |name: &str, labels: &[&str], wanted: f64| assert_eq!(sum(&samples, name, labels), wanted, "{name} {labels:?}");
    is("job_duration_seconds_count", &["type=\"fit\"", "status=\"succeeded\""], 1.0);
    for one in ["job_queue_seconds_count", "fit_relative_gap_count", "fit_nonzeros_count", "predict_duration_seconds_count"] {
        is(one, &[], 1.0);
    }
    is("predict_rows_total", &[], 2.0);
    is("predict_unknown_features_total", &[], 1.0);
    is("http_request_duration_seconds_count", &["route=\"/api/v1/models/{model}/predict\"", "method=\"POST\"", "status=\"200\""], 1.0);
    for zero in ["jobs_queued", "jobs_running", "writes_fenced_total", "jobs_rescued_total", "files_swept_total"] {
        is(zero, &[], 0.0);
    }
    for some in ["store_bytes", "memory_budget_bytes", "http_connections", "sweeps_total"] {
        assert!(sum(&samples, some, &[]) > 0.0, "{some}");
    }
    for there in ["worker_busy", "memory_granted_bytes", "webhook_deliveries_total"] {
        sum(&samples, there, &[]);
    }
    app.stop().await;
}
