//! The table of bad inputs: what is sent, and what must be answered. After every row the lists are what they were and
//! the server is alive.

use std::io::Write as _;

use serde_json::{Value, json};
use sparsefit::config::Limits;

use crate::app::{TestApp, fit};
use crate::data::{TINY, with_model};

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

fn upload(
    number: &'static str,
    headers: &[(&'static str, &str)],
    body: impl Into<Vec<u8>>,
    status: u16,
    code: &'static str,
    place: &'static str,
) -> Row {
    let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    Row { number, method: "POST", path: "/api/v1/datasets?name=new".into(), headers, body: body.into(), status, code, place }
}

fn libsvm(number: &'static str, body: impl Into<Vec<u8>>, code: &'static str, place: &'static str) -> Row {
    upload(number, &[("content-type", "text/libsvm")], body, 422, code, place)
}

fn document(number: &'static str, body: impl Into<Vec<u8>>, status: u16, code: &'static str, place: &'static str) -> Row {
    upload(number, &[("content-type", "application/json")], body, status, code, place)
}

fn job(number: &'static str, body: String, status: u16, code: &'static str, place: &'static str) -> Row {
    let headers = vec![("content-type", "application/json".to_owned())];
    Row { number, method: "POST", path: "/api/v1/jobs".into(), headers, body: body.into_bytes(), status, code, place }
}

/// A fit on `tiny` whose spec is this text.
fn spec(number: &'static str, spec: &str, place: &'static str) -> Row {
    let body = fit("tiny", json!("SPEC")).to_string().replace("\"SPEC\"", spec);
    job(number, body, 422, "invalid_parameter", place)
}

fn predict(number: &'static str, body: &str, status: u16, code: &'static str, place: &'static str) -> Row {
    let headers = vec![("content-type", "application/json".to_owned())];
    Row { number, method: "POST", path: "/api/v1/models/m/predict".into(), headers, body: body.into(), status, code, place }
}

fn get(number: &'static str, path: &str, status: u16, code: &'static str, place: &'static str) -> Row {
    Row { number, method: "GET", path: path.into(), headers: Vec::new(), body: Vec::new(), status, code, place }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

/// A zstd frame whose header announces a window of 2 GiB.
fn wide_window() -> Vec<u8> {
    // Magic; descriptor without single segment, checksum or content size; window 2^(10+21); one empty last raw block.
    vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 21 << 3, 0x01, 0x00, 0x00]
}

#[tokio::test]
async fn transport_of_uploads() {
    let text = ("content-type", "text/libsvm");
    let packed = gzip(TINY.as_bytes());
    let mut wrong_sum = packed.clone();
    let end = wrong_sum.len() - 5;
    wrong_sum[end] ^= 1;
    let members: Vec<u8> = (0..1000).flat_map(|_| gzip(&[b'\n'; 4096])).collect();
    hold(vec![
        upload("1", &[], TINY, 415, "unsupported_media_type", "-"),
        upload("2", &[("content-type", "application/x-python-pickle")], TINY, 415, "unsupported_media_type", "-"),
        upload("2", &[("content-type", "application/octet-stream")], TINY, 415, "unsupported_media_type", "-"),
        upload("3", &[text, ("content-encoding", "br")], TINY, 415, "unsupported_encoding", "-"),
        upload("3", &[text, ("content-encoding", "gzip, gzip, gzip")], TINY, 415, "unsupported_encoding", "-"),
        upload("3", &[text, ("content-encoding", "gzip"), ("content-encoding", "gzip")], TINY, 415, "unsupported_encoding", "-"),
        upload("4", &[text, ("content-encoding", "gzip")], &packed[..packed.len() - 9], 400, "malformed_encoding", "-"),
        upload("4", &[text, ("content-encoding", "gzip")], wrong_sum, 400, "malformed_encoding", "-"),
        upload("4", &[text, ("content-encoding", "gzip")], TINY, 400, "malformed_encoding", "-"),
        upload("4", &[text, ("content-encoding", "zstd")], TINY, 400, "malformed_encoding", "-"),
        upload("5", &[text, ("content-encoding", "gzip")], gzip(&vec![b'\n'; 16 << 20]), 413, "decompressed_too_large", "-"),
        upload("5", &[text, ("content-encoding", "zstd")], wide_window(), 413, "decompressed_too_large", "-"),
        upload("5", &[text, ("content-encoding", "gzip")], members, 413, "decompressed_too_large", "-"),
        upload("6", &[text], vec![b' '; (1 << 20) + 1], 413, "payload_too_large", "-"),
        upload("10", &[text], "", 422, "empty_dataset", "-"),
        upload("10", &[("content-type", "application/json")], r#"{"format":"dense","values":[],"y":[]}"#, 422, "empty_dataset", "-"),
        upload("12", &[("content-type", "multipart/form-data; boundary=x")], TINY, 415, "unsupported_media_type", "-"),
        upload("13", &[text, ("content-range", "bytes 0-1/2")], TINY, 400, "malformed_header", "parameter Content-Range"),
    ])
    .await;
}

#[tokio::test]
async fn names_and_parameters_of_uploads() {
    let named = |number, query: &str, code, place| Row {
        number,
        method: "POST",
        path: format!("/api/v1/datasets{query}"),
        headers: vec![("content-type", "text/libsvm".into())],
        body: TINY.into(),
        status: 422,
        code,
        place,
    };
    let typed = |number, media: &'static str, place| upload(number, &[("content-type", media)], TINY, 422, "invalid_parameter", place);
    hold(vec![
        named("47", "", "invalid_field", "parameter name"),
        named("47", "?name=", "invalid_field", "parameter name"),
        named("47", &format!("?name={}", "a".repeat(10_000)), "invalid_field", "parameter name"),
        named("47", "?name=..%2Fx", "invalid_field", "parameter name"),
        named("47", "?name=a%0D%0ALevel:%20ERROR", "invalid_field", "parameter name"),
        named("47", "?name=%E2%80%AE", "invalid_field", "parameter name"),
        named("47", "?name=%3Cscript%3E", "invalid_field", "parameter name"),
        named("47", "?name='%3B%20DROP%20TABLE", "invalid_field", "parameter name"),
        named("47", "?name=%FF", "invalid_parameter", "parameter name"),
        named("47", "?name=a&name=b", "invalid_parameter", "parameter name"),
        named("-", "?name=new&target_kind=ternary", "invalid_parameter", "parameter target_kind"),
        named("-", "?name=new&format=npz", "invalid_parameter", "parameter format"),
        named("-", "?name=new&nmae=x", "invalid_parameter", "parameter nmae"),
        named("-", "?name=new&format=json", "invalid_field", "#"),
        typed("-", "text/libsvm; index-base=2", "parameter index-base"),
        typed("-", "text/libsvm; index-base=-1", "parameter index-base"),
        typed("-", "text/libsvm; n-features=0", "parameter n-features"),
        typed("-", "text/libsvm; n-features=99999999999", "parameter n-features"),
        typed("-", "text/libsvm; n-features=x", "parameter n-features"),
    ])
    .await;
}

#[tokio::test]
async fn libsvm_lines() {
    let long_line = format!("1 {}", "1:1 ".repeat(4000));
    let rows_over: String = "1 1:1\n".repeat(101);
    let nnz_over: String = (0..50).map(|_| format!("1 {}\n", (1..=30).map(|j| format!("{j}:1")).collect::<Vec<_>>().join(" "))).collect();
    hold(vec![
        libsvm("14", "1 0:1\n", "index_base", "line 1 column 3"),
        libsvm("14", "1 1:1\n0 2:1\n1 0:1\n", "index_base", "line 3 column 3"),
        libsvm("15", "1 -1:1\n", "index_out_of_range", "line 1 column 3"),
        libsvm("15", "1 9223372036854775808:1\n", "index_out_of_range", "line 1 column 3"),
        libsvm("15", "1 18446744073709551616:1\n", "index_out_of_range", "line 1 column 3"),
        libsvm("15", "1 1e3:1\n", "malformed_line", "line 1 column 3"),
        libsvm("16", "1 2147483649:1\n", "index_out_of_range", "line 1 column 3"),
        libsvm("17", "1 3:1 3:2\n", "duplicate_index", "line 1 column 7"),
        libsvm("18", "1 3:nan\n", "non_finite_value", "line 1 column 5"),
        libsvm("18", "inf 1:1\n", "non_finite_value", "line 1 column 1"),
        libsvm("18", "1 3:1e999\n", "non_finite_value", "line 1 column 5"),
        libsvm("19", "1 3:0x1p3\n", "malformed_line", "line 1 column 5"),
        libsvm("19", "1 3:1_000\n", "malformed_line", "line 1 column 5"),
        libsvm("19", "1 3:1,5\n", "malformed_line", "line 1 column 5"),
        libsvm("19", "1 3:\u{0661}\n", "malformed_line", "line 1 column 5"),
        libsvm("20", "1 3\n", "malformed_line", "line 1 column 3"),
        libsvm("20", "1 3:\n", "malformed_line", "line 1 column 5"),
        libsvm("20", "1 :3\n", "malformed_line", "line 1 column 3"),
        libsvm("21", long_line, "line_too_long", "line 1 column 8193"),
        libsvm("22", b"1 1:1\n0 2:\x001\n".to_vec(), "malformed_line", "line 2 column 5"),
        libsvm("23", format!("1 1:{}\n", "9".repeat(5000)), "number_too_long", "line 1 column 5"),
        libsvm("24", "1 1:1\n2:1\n", "malformed_line", "line 2 column 1"),
        libsvm("25", rows_over, "limit_exceeded", "line 101 column 1"),
        libsvm("25", nnz_over, "limit_exceeded", "line 34 column 1"),
    ])
    .await;
}

#[tokio::test]
async fn libsvm_that_only_looks_odd_is_taken() {
    let app = TestApp::start_with(limits()).await;
    let odd: [(&str, &[u8]); 5] = [
        ("largest index", b"1 2147483647:1\n0 1:1\n"),
        ("invalid UTF-8 in a comment", b"1 1:1 # \xff\xfe\n0 2:1\n"),
        ("byte order mark", b"\xef\xbb\xbf1 1:1\n0 2:1\n"),
        ("CRLF", b"1 1:1\r\n0 2:1\r\n"),
        ("no final newline", b"1 1:1\n0 2:1"),
    ];
    for (about, body) in odd {
        let answer = app.send("POST", "/api/v1/datasets?name=odd", &[("content-type", "text/libsvm")], body.to_vec()).await;
        assert_eq!(answer.status, 201, "{about}: {}", answer.json);
        assert_eq!(answer.json["nnz"], 2, "{about}");
    }
    let wide = app.get("/api/v1/datasets/odd/versions/1").await.expect(200).json;
    assert_eq!((&wide["shape"], &wide["stored_columns"]), (&json!([2, 2_147_483_647u32]), &json!(2)));
    assert!(wide["stored_bytes"].as_u64().is_some_and(|bytes| bytes < 4096), "memory follows the non-zeros: {wide}");
    app.stop().await;
}

#[tokio::test]
async fn json_documents() {
    let csr = |change: &str, to: &str| {
        r#"{"format":"csr","shape":[2,3],"indptr":[0,2,3],"indices":[0,2,1],"values":[1,2,3],"y":[1,0]}"#.replace(change, to)
    };
    let values = |text: &str| csr("\"values\":[1,2,3]", &format!("\"values\":{text}"));
    let indptr = |text: &str| csr("\"indptr\":[0,2,3]", &format!("\"indptr\":{text}"));
    let indices = |text: &str| csr("\"indices\":[0,2,1]", &format!("\"indices\":{text}"));
    hold(vec![
        document("39", values("\"http://127.0.0.1:1/\""), 422, "invalid_field", "#/values"),
        document("39", values("\"file:///etc/passwd\""), 422, "invalid_field", "#/values"),
        document("40", indptr("[0,3,2]"), 422, "shape_mismatch", "#/indptr/2"),
        document("40", indptr("[1,2,3]"), 422, "shape_mismatch", "#/indptr/0"),
        document("40", indptr("[0,2,4]"), 422, "shape_mismatch", "#/indptr/2"),
        document("40", indptr("[0,3]"), 422, "shape_mismatch", "#/indptr"),
        document("40", values("[1,2]"), 422, "shape_mismatch", "#/indices"),
        document("41", indices("[0,3,1]"), 422, "index_out_of_range", "#/indices/1"),
        document("41", indices("[0,-1,1]"), 422, "index_out_of_range", "#/indices/1"),
        document("41", indices("[0,9223372036854775808,1]"), 422, "index_out_of_range", "#/indices/1"),
        document("41", indices("[0,1.5,1]"), 422, "invalid_field", "#/indices/1"),
        document("41", indices("[0,true,1]"), 422, "invalid_field", "#/indices/1"),
        document("41", indices("[0,\"3\",1]"), 422, "invalid_field", "#/indices/1"),
        document("41", indices("[0,0,1]"), 422, "duplicate_index", "#/indices/1"),
        document("42", values("[1,NaN,3]"), 400, "malformed_json", "line 1 column 78"),
        document("42", values("[1,Infinity,3]"), 400, "malformed_json", "line 1 column 78"),
        document("42", values("[1,1e999,3]"), 422, "non_finite_value", "#/values/1"),
        document("42", csr("\"y\":[1,0]", "\"y\":[1,0],\"y\":[1,0]"), 422, "duplicate_field", "#/y"),
        document("42", csr("{", "/* no */{"), 400, "malformed_json", "line 1 column 1"),
        document("42", csr("[1,0]", "[1,0,]"), 400, "malformed_json", "line 1 column 92"),
        document("42", csr("csr", "\\ud800"), 400, "malformed_json", "line 1 column 18"),
        document("42", b"\xff\xfe{\x00}\x00".to_vec(), 400, "malformed_json", "line 1 column 1"),
        document("43", "[".repeat(100_000), 400, "malformed_json", "line 1 column 128"),
        document("43", csr("\"y\"", &format!("\"more\":[{}0],\"y\"", "0,".repeat(50_000))), 422, "unknown_field", "#/more"),
        document("45", csr("\"y\":[1,0]", "\"y\":[1,0],\"weights\":[1,-1]"), 422, "invalid_weight", "#/weights/1"),
        document("45", csr("\"y\":[1,0]", "\"y\":[1,0],\"weights\":[0,0]"), 422, "invalid_weight", "#/weights"),
        document("46", csr("\"y\":[1,0]", "\"y\":[1,0,1]"), 422, "shape_mismatch", "#/y"),
        document("-", r#"{"format":"npz"}"#, 422, "invalid_field", "#/format"),
        document(
            "-",
            r#"{"format":"records","target":"t","records":[{"a":1,"t":1},{"a":null,"t":2}]}"#,
            422,
            "missing_value",
            "#/records/1/a",
        ),
        document("-", r#"{"format":"records","target":"t","records":[{"a":1,"t":1},{"a":2}]}"#, 422, "missing_value", "#/records/1/t"),
        document("-", r#"{"format":"dense","values":[[1,2],[3]],"y":[1,2]}"#, 422, "shape_mismatch", "#/values/1"),
        document(
            "-",
            r#"{"format":"dense","values":[[1]],"y":[1],"feature_names":["a\u0000"]}"#,
            422,
            "invalid_field",
            "#/feature_names/0",
        ),
        document(
            "-",
            r#"{"format":"dense","values":[[1,2]],"y":[1],"feature_names":["a","a"]}"#,
            422,
            "duplicate_field",
            "#/feature_names/1",
        ),
        document("truncated", r#"{"format":"dense","values":[[1,2]"#, 400, "malformed_json", "line 1 column 33"),
    ])
    .await;
}

#[tokio::test]
async fn targets_that_cannot_serve() {
    let kinds = |number, kind: &str, body: &str| Row {
        path: format!("/api/v1/datasets?name=new&target_kind={kind}"),
        ..libsvm(number, body, "invalid_target", "-")
    };
    hold(vec![
        kinds("45", "binary", "0 1:1\n1 1:2\n2 1:3\n"),
        kinds("45", "count", "-1 1:1\n3 1:2\n"),
        kinds("45", "binary", "1 1:1\n1 1:2\n"),
    ])
    .await;
}

#[tokio::test]
async fn specifications() {
    hold(vec![
        spec("48", r#"{"lambda":{"mode":"value","value":-1}}"#, "#/spec/lambda/value"),
        spec("48", r#"{"lambda":{"mode":"value","value":0}}"#, "#/spec/lambda/value"),
        spec("48", r#"{"lambda":{"mode":"value","value":1e400}}"#, "#/spec/lambda/value"),
        spec("48", r#"{"lambda":{"mode":"path","n":1000000}}"#, "#/spec/lambda/n"),
        spec("48", r#"{"penalty":{"type":"elastic_net","l1_ratio":1.5}}"#, "#/spec/penalty/l1_ratio"),
        spec("48", r#"{"penalty":{"type":"elastic_net"}}"#, "#/spec/penalty/l1_ratio"),
        spec("48", r#"{"penalty":{"type":"mcp"}}"#, "#/spec/penalty/type"),
        spec("48", r#"{"penalty":{"type":"l1","factors":{"nobody":2}}}"#, "#/spec/penalty/factors/nobody"),
        spec("48", r#"{"solver":{"tol":0}}"#, "#/spec/solver/tol"),
        spec("48", r#"{"solver":{"tol":-1}}"#, "#/spec/solver/tol"),
        spec("48", r#"{"solver":{"max_epochs":0}}"#, "#/spec/solver/max_epochs"),
        spec("48", r#"{"solver":{"max_epochs":1000000000000}}"#, "#/spec/solver/max_epochs"),
        spec("48", r#"{"solver":{"type":"sag"}}"#, "#/spec/solver/type"),
        spec("48", r#"{"selection":{"method":"cv","folds":1}}"#, "#/spec/selection/folds"),
        spec("48", r#"{"selection":{"method":"cv","folds":7}}"#, "#/spec/selection/folds"),
        spec("48", r#"{"selection":{"method":"cv","seed":-1}}"#, "#/spec/selection/seed"),
        spec("48", r#"{"selection":{"method":"cv","seed":99999999999999999999}}"#, "#/spec/selection/seed"),
        spec("48", r#"{"limits":{"max_runtime_s":0}}"#, "#/spec/limits/max_runtime_s"),
        spec("48", r#"{"penalty":{"type":"l2"},"lambda":{"mode":"target_nonzeros","k":1}}"#, "#/spec/lambda"),
        Row { code: "unknown_field", ..spec("49", r#"{"solver":{"max_itre":5}}"#, "#/spec/solver/max_itre") },
        job(
            "48",
            r#"{"type":"fit","model":"m","dataset":{"name":"tiny"},"spec":{"lambda":NaN}}"#.into(),
            400,
            "malformed_json",
            "line 1 column 70",
        ),
        job(
            "50",
            r#"{"type":"fit","model":"m","dataset":{"name":"tiny"},"spec":{},"tenant_id":"x"}"#.into(),
            422,
            "unknown_field",
            "#/tenant_id",
        ),
        job(
            "50",
            r#"{"type":"fit","model":"m","dataset":{"name":"tiny"},"spec":{},"status":"succeeded"}"#.into(),
            422,
            "unknown_field",
            "#/status",
        ),
        job(
            "50",
            r#"{"type":"fit","model":"m","dataset":{"name":"tiny"},"spec":{},"attempt":99}"#.into(),
            422,
            "unknown_field",
            "#/attempt",
        ),
        job("52", fit("absent", json!({})).to_string(), 404, "not_found", "#/dataset"),
        job("52", r#"{"type":"fit","model":"m","dataset":{"name":"tiny","version":9},"spec":{}}"#.into(), 404, "not_found", "#/dataset"),
        job("-", r#"{"type":"fit","model":"M!","dataset":{"name":"tiny"},"spec":{}}"#.into(), 422, "invalid_field", "#/model"),
        job("-", r#"{"type":"paint","model":"m","dataset":{"name":"tiny"},"spec":{}}"#.into(), 422, "invalid_parameter", "#/type"),
        job("-", "{}".into(), 422, "invalid_parameter", "#/type"),
        job("-", "[]".into(), 422, "invalid_field", "#"),
        job("-", String::new(), 400, "malformed_json", "line 1 column 1"),
        job("6", " ".repeat((256 << 10) + 1), 413, "payload_too_large", "-"),
        Row { headers: vec![("content-type", "text/plain".into())], ..job("1", "{}".into(), 415, "unsupported_media_type", "-") },
        Row { headers: Vec::new(), ..job("1", "{}".into(), 415, "unsupported_media_type", "-") },
        Row {
            headers: vec![("content-type", "application/json".into()), ("content-encoding", "gzip".into())],
            body: gzip(&vec![b' '; 8 << 20]),
            ..job("5", String::new(), 413, "decompressed_too_large", "-")
        },
        Row {
            path: "/api/v1/jobs?validate_only=maybe".into(),
            ..job("-", fit("tiny", json!({})).to_string(), 422, "invalid_parameter", "parameter validate_only")
        },
    ])
    .await;
}

#[tokio::test]
async fn ids_names_and_versions_in_paths_are_found_or_not_found() {
    let long = format!("/api/v1/jobs/{}", "J".repeat(10 << 10));
    let mut rows: Vec<Row> = ["..%2Fx", "%2e%2e%2f", "%252e%252e", "%00", "%23", "%FF", "job_01j00000000000000000000000", "%7B%7D", "1"]
        .iter()
        .map(|id| get("51", &format!("/api/v1/jobs/{id}"), 404, "not_found", "-"))
        .collect();
    rows.push(get("51", &long, 404, "not_found", "-"));
    for path in [
        "datasets/nobody",
        "datasets/tiny/versions/2",
        "datasets/tiny/versions/01",
        "datasets/tiny/versions/-1",
        "datasets/tiny/versions/x",
    ] {
        rows.push(get("52", &format!("/api/v1/{path}"), 404, "not_found", "-"));
    }
    for path in
        ["models/nobody", "models/m/versions/2", "models/m/versions/0", "models/m/versions/1.0", "models/m/versions/99999999999999999999"]
    {
        rows.push(get("52", &format!("/api/v1/{path}"), 404, "not_found", "-"));
    }
    rows.push(get("-", "/api/v1/models/m/versions/1/cv", 404, "no_cv", "-"));
    rows.push(get("-", "/api/v1/models/m/versions/1/cv/folds", 404, "no_cv", "-"));
    hold(rows).await;
}

#[tokio::test]
async fn pages_and_filters() {
    hold(vec![
        get("63", "/api/v1/jobs?cursor=00", 400, "invalid_cursor", "parameter cursor"),
        get("63", "/api/v1/jobs?cursor=", 400, "invalid_cursor", "parameter cursor"),
        get("63", "/api/v1/datasets?limit=0", 422, "invalid_parameter", "parameter limit"),
        get("63", "/api/v1/datasets?limit=-1", 422, "invalid_parameter", "parameter limit"),
        get("63", "/api/v1/datasets?limit=abc", 422, "invalid_parameter", "parameter limit"),
        get("-", "/api/v1/jobs?status=done", 422, "invalid_parameter", "parameter status"),
        get("-", "/api/v1/jobs?model=A%20B", 422, "invalid_parameter", "parameter model"),
        get("-", "/api/v1/jobs?colour=red", 422, "invalid_parameter", "parameter colour"),
        get("-", "/api/v1/datasets/tiny/versions/1/rows?offset=-1", 422, "invalid_parameter", "parameter offset"),
        get("-", "/api/v1/models/m/versions/1/coefficients?sort=name", 422, "invalid_parameter", "parameter sort"),
        get("-", "/api/v1/models/m/versions/1/coefficients?top=0", 422, "invalid_parameter", "parameter top"),
        get("-", "/api/v1/models/m/versions/1/coefficients?min_abs=nan", 422, "invalid_parameter", "parameter min_abs"),
        get("-", "/api/v1/models/m/versions/1/histogram?bins=0", 422, "invalid_parameter", "parameter bins"),
        get("-", "/api/v1/models/m/versions/1/histogram?bins=1001", 422, "invalid_parameter", "parameter bins"),
        get("-", "/livez?verbose=1", 422, "invalid_parameter", "parameter verbose"),
        get("68", "/api/v1/nothing", 404, "not_found", "-"),
        get("68", "/api/v1/jobs/", 404, "not_found", "-"),
        get("68", "//api/v1/jobs", 404, "not_found", "-"),
        get("68", "/API/v1/jobs", 404, "not_found", "-"),
        get("-", "/problems/nothing", 404, "not_found", "-"),
        Row { method: "DELETE", ..get("67", "/livez", 405, "method_not_allowed", "-") },
        Row { method: "TRACE", ..get("67", "/livez", 405, "method_not_allowed", "-") },
        Row { method: "FOO", ..get("67", "/api/v1/jobs", 405, "method_not_allowed", "-") },
        Row { headers: vec![("accept", "text/html".into())], ..get("69", "/api/v1/jobs", 406, "not_acceptable", "-") },
        Row { headers: vec![("host", "evil.example".into())], ..get("72", "/api/v1/jobs", 421, "misdirected", "parameter Host") },
    ])
    .await;
}

#[tokio::test]
async fn predictions() {
    let many = format!("{{\"instances\":[{}]}}", vec!["[1,2,3]"; 51].join(","));
    let wide = format!(
        "{{\"instances\":[{{\"indices\":[{}],\"values\":[{}]}}]}}",
        (0..101).map(|j| j.to_string()).collect::<Vec<_>>().join(","),
        vec!["1"; 101].join(",")
    );
    hold(vec![
        predict(
            "60",
            r#"{"instances":[[1,2,3],{"indices":[2147483648],"values":[1]}]}"#,
            422,
            "index_out_of_range",
            "#/instances/1/indices/0",
        ),
        predict("60", r#"{"instances":[{"indices":[-1],"values":[1]}]}"#, 422, "index_out_of_range", "#/instances/0/indices/0"),
        predict("60", r#"{"instances":[{"indices":[1,1],"values":[1,2]}]}"#, 422, "duplicate_index", "#/instances/0/indices/1"),
        predict("60", r#"{"instances":[{"indices":[1],"values":[1e999]}]}"#, 422, "non_finite_value", "#/instances/0/values/0"),
        predict("60", r#"{"instances":[[1,2]]}"#, 422, "shape_mismatch", "#/instances/0"),
        predict("60", r#"{"instances":[{"indices":[1],"values":[1,2]}]}"#, 422, "shape_mismatch", "#/instances/0/values"),
        predict("61", r#"{"instances":[]}"#, 422, "empty_batch", "-"),
        predict("61", &many, 422, "limit_exceeded", "#/instances/50"),
        predict("61", &wide, 422, "limit_exceeded", "#/instances/0/indices/100"),
        predict("61", r#"{"instances":[[1e308,0,-1e308]],"output":["linear_predictor"]}"#, 422, "numerical_error", "#/instances/0"),
        predict("-", r#"{"instances":[[1,2,3]],"unknown_features":"maybe"}"#, 422, "invalid_parameter", "#/unknown_features"),
        predict(
            "-",
            r#"{"instances":[{"indices":[7],"values":[1]}],"unknown_features":"error"}"#,
            422,
            "unknown_feature",
            "#/instances/0/indices/0",
        ),
        predict("-", r#"{"instances":[[1,2,3]],"output":["colour"]}"#, 422, "invalid_parameter", "#/output/0"),
        predict("-", r#"{"rows":[[1,2,3]]}"#, 422, "unknown_field", "#/rows"),
        predict("-", "nonsense", 400, "malformed_json", "line 1 column 2"),
        Row { headers: vec![("content-type", "text/csv".into())], ..predict("-", "1,2,3", 415, "unsupported_media_type", "-") },
        Row {
            headers: vec![("content-type", "text/libsvm".into())],
            ..predict("-", "0 1:1\n0 0:1\n", 422, "index_base", "line 2 column 3")
        },
        Row { path: "/api/v1/models/m:2/predict".into(), ..predict("-", "{}", 404, "not_found", "-") },
        Row { path: "/api/v1/models/m@production/predict".into(), ..predict("-", "{}", 404, "not_found", "-") },
        Row { path: "/api/v1/models/m/predict?threshold=x".into(), ..predict("-", "{}", 422, "invalid_parameter", "parameter threshold") },
    ])
    .await;
}
