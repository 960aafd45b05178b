//! The table of bad inputs: what is sent, and what must be answered. After every row the lists are what they were and
//! the server is alive.

mod requests;
mod uploads;

use std::io::Write as _;

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
