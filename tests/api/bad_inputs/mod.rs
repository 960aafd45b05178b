//! The table of bad inputs, numbered as in the design: what is sent, and what must be answered. After every row the lists
//! are what they were and the server is alive; after the last no file is left.

mod requests;
mod uploads;

use std::collections::BTreeSet;
use std::io::Write as _;
use std::time::Duration;

use serde_json::Value;
use sparsefit::config::Limits;

use crate::app::TestApp;
use crate::data::with_model;

/// One line of the table. `place` is what `errors[0]` must hold: a pointer, `parameter NAME`, `line L column C`, or
/// `-` when there is none to name.
struct Row {
    number: &'static str,
    method: &'static str,
    path: String,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    status: u16,
    code: &'static str,
    place: &'static str,
}

/// Small limits, so that passing them is cheap.
fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.upload.decoded_bytes = 1 << 20;
    limits.upload_encoded_bytes = 64 << 10;
    limits.upload.rows = 100;
    limits.upload.nnz = 1000;
    limits.upload.line_bytes = 8 << 10;
    limits.json_bytes = 256 << 10;
    limits.predict_bytes = 256 << 10;
    limits.predict.rows = 50;
    limits.predict.row_nnz = 100;
    limits
}

async fn hold(rows: Vec<Row>) {
    let app = TestApp::start_with(limits()).await;
    with_model(&app).await;
    let before = app.stored().await;
    let files = app.files();
    let mut wrong = Vec::new();
    for row in rows {
        let headers: Vec<(&str, &str)> = row.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let sent: String = String::from_utf8_lossy(&row.body).chars().take(120).collect();
        let about = format!("row {}: {} {} {sent:?}", row.number, row.method, row.path);
        let answer = app.send(row.method, &row.path, &headers, row.body).await;
        let got = (answer.status, answer.json["code"].as_str().unwrap_or("").to_owned(), place(&answer.json));
        if got != (row.status, row.code.to_owned(), row.place.to_owned()) {
            wrong.push(format!("{about}\n   wanted {:?}\n   got    {got:?} {}", (row.status, row.code, row.place), answer.json["errors"]));
        }
        app.get("/livez").await.expect(200);
        assert_eq!(app.stored().await, before, "{about} left a trace");
    }
    app.store().sweep(Duration::ZERO).await.expect("the store answers");
    assert_eq!(app.files(), files, "no file is left");
    assert!(wrong.is_empty(), "{} rows:\n{}", wrong.len(), wrong.join("\n"));
    app.stop().await;
}

fn place(problem: &Value) -> String {
    let entry = &problem["errors"][0];
    match (entry["pointer"].as_str(), entry["parameter"].as_str(), entry["line"].as_u64(), entry["column"].as_u64()) {
        (Some(pointer), ..) => pointer.to_owned(),
        (_, Some(parameter), ..) => format!("parameter {parameter}"),
        (_, _, Some(line), Some(column)) => format!("line {line} column {column}"),
        (_, _, Some(line), None) => format!("line {line}"),
        _ => "-".to_owned(),
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

/// Rows that are no single request and answer, and the tests that show them.
const ELSEWHERE: &[(u32, &str, &str)] = &[
    (7, PROTOCOL, "a_chunked_body_that_passes_the_limit_midway_is_refused_without_a_trace"),
    (8, PROTOCOL, "a_client_that_goes_away_midway_leaves_no_trace"),
    (9, CONNECTIONS, "a_body_that_comes_too_slowly_is_answered_with_408_and_leaves_no_trace"),
    (57, JOBS, "a_full_queue_pushes_back_and_accepts_cancels"),
    (58, JOBS, "an_ended_job_cannot_be_cancelled"),
    (59, JOBS, "a_deleted_dataset_frees_its_name_only_when_no_job_needs_it"),
    (62, REQUESTS, "what_is_damaged_on_disk_is_never_predicted_with_nor_shown"),
    (70, PROTOCOL, "requests_that_no_parser_should_trust_are_refused_and_the_connection_closed"),
    (71, PROTOCOL, "requests_that_no_parser_should_trust_are_refused_and_the_connection_closed"),
    (73, PROTOCOL, "requests_that_no_parser_should_trust_are_refused_and_the_connection_closed"),
];
/// Rows of idempotency keys, memory grants, API keys and attempts to guess them: shown where these are tested.
const OF_THEIR_OWN: &[u32] = &[53, 54, 55, 56, 64, 65, 66];

const UPLOADS: &str = include_str!("uploads.rs");
const REQUESTS: &str = include_str!("requests.rs");
const PROTOCOL: &str = include_str!("../protocol.rs");
const CONNECTIONS: &str = include_str!("../connections.rs");
const JOBS: &str = include_str!("../jobs.rs");

#[test]
fn every_row_of_the_design_is_in_a_table_or_has_a_test() {
    // rows are made by calls whose first argument is the number
    let in_tables = |row: &u32| {
        [UPLOADS, REQUESTS].iter().any(|text| text.contains(&format!("(\"{row}\",")) || text.contains(&format!("\n            \"{row}\",")))
    };
    let mut shown: BTreeSet<u32> = (1..=73).filter(in_tables).collect();
    for (row, text, test) in ELSEWHERE {
        assert!(text.contains(&format!("async fn {test}()")), "row {row}: there is no test {test}");
        shown.insert(*row);
    }
    shown.extend(OF_THEIR_OWN);
    assert_eq!((1..=73).filter(|row| !shown.contains(row)).collect::<Vec<u32>>(), Vec::<u32>::new());
}
