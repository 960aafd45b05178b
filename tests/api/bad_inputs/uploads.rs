//! Bad uploads: how they come, what they are called, and every format.

use serde_json::json;

use super::{Row, gzip, hold, limits};
use crate::app::TestApp;
use crate::data::TINY;

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

/// A checksum that [`TINY`] does not have.
fn digest(number: &'static str, header: &'static str, value: &str) -> Row {
    let place = match header {
        "content-md5" => "parameter Content-MD5",
        "content-digest" => "parameter Content-Digest",
        "repr-digest" => "parameter Repr-Digest",
        _ => "parameter Digest",
    };
    upload(number, &[("content-type", "text/libsvm"), (header, value)], TINY, 422, "digest_mismatch", place)
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
        digest("11", "content-md5", "AAAAAAAAAAAAAAAAAAAAAA=="),
        digest("11", "digest", "sha-256=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="),
        digest("11", "digest", "md5=AAAAAAAAAAAAAAAAAAAAAA=="),
        digest("11", "content-digest", "sha-256=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:"),
        digest("11", "content-digest", "crc=:AA==:, sha-512=:AA==:"),
        digest("11", "repr-digest", "sha-256=:AAAA:"),
        Row { status: 400, code: "malformed_header", ..digest("11", "content-digest", "sha-256") },
        upload("12", &[("content-type", "multipart/form-data; boundary=x")], TINY, 415, "unsupported_media_type", "-"),
        upload(
            "12",
            &[("content-type", &*format!("multipart/form-data; boundary={}", "-".repeat(30_000)))],
            "--",
            415,
            "unsupported_media_type",
            "-",
        ),
        upload("13", &[text, ("range", "bytes=0-1")], TINY, 400, "malformed_header", "parameter Range"),
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
        libsvm("20", "1 1:1\n: 1:1\n", "malformed_line", "line 2 column 1"),
        libsvm("21", long_line, "line_too_long", "line 1 column 8193"),
        libsvm("22", b"1 1:1\n0 2:\x001\n".to_vec(), "malformed_line", "line 2 column 5"),
        libsvm("23", format!("1 1:{}\n", "9".repeat(5000)), "number_too_long", "line 1 column 5"),
        libsvm("24", "1 1:1\n2:1\n", "malformed_line", "line 2 column 1"),
        libsvm("24", "1 qid:1 1:1\n0 2:1\n", "malformed_line", "line 2 column 3"),
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
        document("42", csr("{", "{\0"), 400, "malformed_json", "line 1 column 2"),
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

/// MatrixMarket, NPZ and CSV are not served yet: whatever is in them, nothing of it is looked at.
#[tokio::test]
async fn formats_that_are_not_served_yet() {
    let of =
        |number, media: &'static str, body: &[u8]| upload(number, &[("content-type", media)], body, 415, "unsupported_media_type", "-");
    let market = |number, body: &str| of(number, "text/matrix-market", body.as_bytes());
    let archive = |number, body: &[u8]| of(number, "application/x-npz", body);
    let table = |number, body: &str| of(number, "text/csv", body.as_bytes());
    let array = |header: &str| [b"\x93NUMPY\x02\x00\xff\xff\xff\xee", header.as_bytes()].concat();
    hold(vec![
        market("26", "%%MatrixMarket matrix coordinate real general\n9223372036854775807 9223372036854775807 1\n"),
        market("27", "%%MatrixMarket matrix coordinate real general\n3 3 1000000000\n1 1 1\n2 2 2\n3 3 3\n"),
        market("27", "%%MatrixMarket matrix coordinate complex hermitian\n1 1 1\n0 0 1 1\n"),
        archive("28", b"no archive"),
        archive("29", b"PK\x05\x06\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"),
        archive("30", &array("")),
        archive("31", &array("{'descr': '<f8', 'fortran_order': False, 'shape': (1099511627776,)}")),
        archive("32", &array("__import__('os')")),
        archive("33", b"PK\x03\x04../../../../etc/passwd.npy"),
        archive("34", b"PK\x03\x04C:\\windows\x00.npy"),
        archive("35", b"PK\x03\x04\x2d\x00symlink"),
        archive("36", b"PK\x03\x04\x14\x00\x01\x00\x0e\x00"),
        archive("37", &array("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}")),
        archive("38", b"\x80\x04cos\nsystem\n(S'true'\ntR."),
        of("38", "application/zip", b"\x80\x04."),
        table("44", "a,b\n1\n1,2,3\n"),
        table("44", "a,a,y\n1,2,3\n"),
        table("45", "a,b\n1,2\n"),
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
