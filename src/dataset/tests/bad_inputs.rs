//! Every bad input of the contract: its code and its place.

use std::io::Write;

use super::*;
use crate::fault::Code;

fn line(body: &[u8], code: Code, line: u64, column: u64) {
    line_with(body, &upload(LIBSVM), code, line, column);
}

fn line_with(body: &[u8], upload: &Upload, code: Code, line: u64, column: u64) {
    let fault = refused(body, upload);
    let text = String::from_utf8_lossy(&body[..body.len().min(80)]).into_owned();
    let place = fault.places.first().unwrap_or_else(|| panic!("{fault}: no place for {text:?}"));
    assert_eq!((fault.code, place.line, place.column), (code, Some(line), Some(column)), "{text:?}: {fault}");
    assert_eq!(place.code, code.as_str());
}

#[test]
fn every_bad_line_of_libsvm_names_its_code_line_and_byte() {
    line(b"1 0:1", Code::IndexBase, 1, 3);
    line(b"1 -1:1", Code::IndexOutOfRange, 1, 3);
    line(b"1 9223372036854775808:1", Code::IndexOutOfRange, 1, 3);
    line(b"1 18446744073709551616:1", Code::IndexOutOfRange, 1, 3);
    line(b"1 2147483648:1", Code::IndexOutOfRange, 1, 3);
    line(b"1 1e3:1", Code::MalformedLine, 1, 3);
    line(b"1 3:1 3:2", Code::DuplicateIndex, 1, 7);
    line(b"1 3:1 2:1 4:1 2:0", Code::DuplicateIndex, 1, 15);
    line(b"0 1:1\n1 3:nan\n", Code::NonFiniteValue, 2, 5);
    line(b"inf 1:1", Code::NonFiniteValue, 1, 1);
    line(b"-NaN 1:1", Code::NonFiniteValue, 1, 1);
    line(b"1 3:1e999", Code::NonFiniteValue, 1, 5);
    for text in ["1 3:0x1p3", "1 3:1_000", "1 3:1,5", "1 3:\u{663}", "1 3:", "1 3:1:2", "1 3:+", "1 3:1-2", "1 3: 4"] {
        line(text.as_bytes(), Code::MalformedLine, 1, 5);
    }
    for text in ["1 3", "1 :3", "1 a:3", "1 \u{663}:1", "1 +3:1", "1 1.5:2"] {
        line(text.as_bytes(), Code::MalformedLine, 1, 3);
    }
    line(b"1 3:1 \r 4:1", Code::MalformedLine, 1, 7);
    for text in ["abc 1:1", "1:1 2:1", "1,2 1:1", ": 1:1", "0x1 1:1", "1a 1:1"] {
        line(text.as_bytes(), Code::MalformedLine, 1, 1);
    }
    line(b"# head\n\n1 1:1\n1 2:x\n", Code::MalformedLine, 4, 5);
    line(b"\xef\xbb\xbf1 2:x\n", Code::MalformedLine, 1, 8);
    line(b"1 1:1\r\n1 2:x\r\n", Code::MalformedLine, 2, 5);
}

#[test]
fn nul_bytes_are_refused_wherever_they_stand() {
    line(b"1 1:\x001", Code::MalformedLine, 1, 5);
    line(b"1 1:1 # a\0b\n", Code::MalformedLine, 1, 10);
    line(b"1 1:1\n\0\n", Code::MalformedLine, 2, 1);
}

#[test]
fn a_qid_stands_on_all_rows_or_on_none() {
    line(b"1 qid:1 1:1\n1 1:1\n", Code::MalformedLine, 2, 3);
    line(b"1 1:1\n1 qid:1 1:1\n", Code::MalformedLine, 2, 3);
    line(b"1 qid:x 1:1\n", Code::MalformedLine, 1, 7);
    line(b"1 1:1 qid:1\n", Code::MalformedLine, 1, 7);
    assert_eq!(store(b"1 qid:1 1:1\n0 qid:22\n", &upload(LIBSVM)).ingested.meta.nnz, 1);
}

#[test]
fn long_numbers_and_long_lines_are_refused_by_name() {
    let digits = "7".repeat(1 << 19);
    line(format!("1 1:1\n1 3:{digits}\n").as_bytes(), Code::NumberTooLong, 2, 5);
    line(format!("1 3:0.{digits}\n").as_bytes(), Code::NumberTooLong, 1, 5);
    line(format!("1 {digits}:1\n").as_bytes(), Code::NumberTooLong, 1, 3);
    line(format!("{digits} 1:1\n").as_bytes(), Code::NumberTooLong, 1, 1);
    let mut small = upload(LIBSVM);
    small.limits.line_bytes = 1000;
    let long = format!("1 1:1\n1 {}", "1:1 ".repeat(300_000));
    line_with(long.as_bytes(), &small, Code::LineTooLong, 2, 1001);
    line_with(format!("{long}\n").as_bytes(), &small, Code::LineTooLong, 2, 1001);
}

#[test]
fn limits_are_kept_to_the_row_and_the_value() {
    let mut few = upload(LIBSVM);
    few.limits.rows = 3;
    store(b"1\n2\n3\n", &few);
    line_with(b"1\n2\n3\n4\n", &few, Code::LimitExceeded, 4, 1);
    few.limits.nnz = 2;
    store(b"1 1:1 2:2 3:0\n", &few);
    line_with(b"1 1:1\n1 1:1 2:2\n", &few, Code::LimitExceeded, 2, 1);
    few.limits.index_max = 5;
    store(b"1 5:1\n", &few);
    line_with(b"1 6:1\n", &few, Code::IndexOutOfRange, 1, 3);
    let declared = upload(Format::Libsvm { index_base: 1, n_features: Some(4) });
    assert_eq!(store(b"1 4:1\n", &declared).ingested.meta.shape, [1, 4]);
    line_with(b"1 5:1\n", &declared, Code::IndexOutOfRange, 1, 3);
    let zero = upload(Format::Libsvm { index_base: 0, n_features: Some(4) });
    line_with(b"1 0:1 4:1\n", &zero, Code::IndexOutOfRange, 1, 7);
    let lying = upload(Format::Libsvm { index_base: 1, n_features: Some(u64::MAX) });
    assert_eq!(refused(b"1 1:1\n", &lying).code, Code::LimitExceeded);
}

#[test]
fn no_rows_are_no_data_set() {
    for body in ["", "\n\n", "# only words\n"] {
        assert_eq!(refused(body.as_bytes(), &upload(LIBSVM)).code, Code::EmptyDataset, "{body:?}");
    }
    assert_eq!(refused(b"", &upload(Format::Json)).code, Code::EmptyDataset);
    let none = br#"{"format":"csr","shape":[0,3],"indptr":[0],"indices":[],"values":[],"y":[]}"#;
    assert_eq!(refused(none, &upload(Format::Json)).code, Code::EmptyDataset);
    assert_eq!(refused(br#"{"format":"records","target":"t","records":[]}"#, &upload(Format::Json)).code, Code::EmptyDataset);
}

#[test]
fn odd_but_legal_texts_are_taken() {
    let dataset = store(b"\xef\xbb\xbf+1 2:1\t 1:-.5e1 # \xff\xfe\r\n\r\n-1\r\n+1 0003:7#x", &upload(LIBSVM)).open();
    let rows = rows(&dataset, 0, 10);
    assert_eq!(dataset.meta.shape, [3, 3]);
    assert_eq!((&rows[0].indices[..], &rows[0].values[..]), (&[0, 1][..], &[-5.0, 1.0][..]));
    assert_eq!((&rows[1].y, rows[1].indices.len()), (&Class::Number(-1.0), 0));
    assert_eq!((&rows[2].y, &rows[2].indices[..], &rows[2].values[..]), (&Class::Number(1.0), &[2][..], &[7.0][..]));
}

#[test]
fn one_huge_index_costs_one_column() {
    let stored = store(b"1 2147483647:1", &upload(LIBSVM));
    let meta = &stored.ingested.meta;
    assert_eq!((meta.shape, meta.stored_columns, meta.statistics.empty_columns), ([1, 2_147_483_647], 1, 2_147_483_646));
    assert!(meta.stored_bytes < 1024, "{}", meta.stored_bytes);
    assert_eq!(rows(&stored.open(), 0, 1)[0].indices, [2_147_483_646]);
}

fn json(body: &str, code: Code, pointer: &str) {
    let fault = refused(body.as_bytes(), &upload(Format::Json));
    let found = fault.places.first().and_then(|place| place.pointer.as_deref());
    assert_eq!((fault.code, found), (code, Some(pointer)), "{}: {fault}", &body[..body.len().min(120)]);
}

fn csr(change: &str, to: &str) -> String {
    let good = r#"{"format":"csr","shape":[3,5],"indptr":[0,2,3,5],"indices":[0,3,1,0,4],"values":[1,2.5,-1,4,0.5],"y":[1,0,1]}"#;
    let changed = good.replace(change, to);
    assert!(change.is_empty() || changed != good, "{change} is not in the good document");
    if change.is_empty() {
        return good.replacen('{', &format!("{{{to}"), 1);
    }
    changed
}

#[test]
fn every_bad_csr_names_its_code_and_pointer() {
    store(csr("", "").as_bytes(), &upload(Format::Json));
    json(&csr("[1,2.5,-1,4,0.5]", r#""http://127.0.0.1:1/""#), Code::InvalidField, "#/values");
    json(&csr("[1,2.5,-1,4,0.5]", "null"), Code::InvalidField, "#/values");
    json(&csr("[0,2,3,5]", "[0,3,2,5]"), Code::ShapeMismatch, "#/indptr/2");
    json(&csr("[0,2,3,5]", "[1,2,3,5]"), Code::ShapeMismatch, "#/indptr/0");
    json(&csr("[0,2,3,5]", "[0,2,3,4]"), Code::ShapeMismatch, "#/indptr/3");
    json(&csr("[0,2,3,5]", "[0,2,3,18446744073709551615]"), Code::ShapeMismatch, "#/indptr/3");
    json(&csr("[0,2,3,5]", "[0,2,5]"), Code::ShapeMismatch, "#/indptr");
    json(&csr("[0,2,3,5]", "[]"), Code::ShapeMismatch, "#/indptr");
    json(&csr("[0,3,1,0,4]", "[0,3,1,0]"), Code::ShapeMismatch, "#/indices");
    json(&csr("0,4]", "0,5]"), Code::IndexOutOfRange, "#/indices/4");
    json(&csr("0,4]", "0,-1]"), Code::IndexOutOfRange, "#/indices/4");
    json(&csr("0,4]", "0,9223372036854775808]"), Code::IndexOutOfRange, "#/indices/4");
    json(&csr("0,4]", "0,36893488147419103232]"), Code::IndexOutOfRange, "#/indices/4");
    for bad in ["1.5", "true", "\"3\"", "1e3", "null", "{}", "[1]", "2.0"] {
        json(&csr("0,4]", &format!("0,{bad}]")), Code::InvalidField, "#/indices/4");
    }
    json(&csr("[0,3,1,0,4]", "[3,3,1,0,4]"), Code::DuplicateIndex, "#/indices/1");
    json(&csr("0.5]", "1e999]"), Code::NonFiniteValue, "#/values/4");
    json(&csr("0.5]", "null]"), Code::MissingValue, "#/values/4");
    json(&csr("0.5]", "\"1\"]"), Code::InvalidField, "#/values/4");
    json(&csr("[1,0,1]", "[1,0]"), Code::ShapeMismatch, "#/y");
    json(&csr("[1,0,1]", "[1,null,1]"), Code::MissingValue, "#/y/1");
    json(&csr("[1,0,1]", "[1,[],1]"), Code::InvalidField, "#/y/1");
    json(&csr(r#","y":[1,0,1]"#, ""), Code::InvalidField, "#/y");
    json(&csr(r#""shape":[3,5],"#, ""), Code::InvalidField, "#/shape");
    json(&csr(r#""format":"csr","#, ""), Code::InvalidField, "#/format");
    json(&csr("\"csr\"", "\"csc\""), Code::InvalidField, "#/format");
    json(&csr("", r#""records":[],"#), Code::UnknownField, "#/records");
    json(&csr("", r#""index_base":1,"#), Code::IndexBase, "#/indices/0");
    json(&csr("", r#""index_base":2,"#), Code::InvalidField, "#/index_base");
    json(&csr("", r#""index_base":1,"#).replace("[0,3,1,0,4]", "[1,4,2,1,6]"), Code::IndexOutOfRange, "#/indices/4");
}

#[test]
fn what_stands_beside_the_matrix_is_checked() {
    json(&csr("", r#""weights":[1,-1,1],"#), Code::InvalidWeight, "#/weights/1");
    json(&csr("", r#""weights":[0,0,0],"#), Code::InvalidWeight, "#/weights");
    json(&csr("", r#""weights":[1e308,1e308,1],"#), Code::InvalidWeight, "#/weights");
    json(&csr("", r#""weights":[1,1],"#), Code::ShapeMismatch, "#/weights");
    json(&csr("", r#""weights":"w","#), Code::InvalidField, "#/weights");
    json(&csr("", r#""weights":true,"#), Code::InvalidField, "#/weights");
    json(&csr("", r#""offset":[1,2],"#), Code::ShapeMismatch, "#/offset");
    json(&csr("", r#""offset":[1,2,1e400],"#), Code::NonFiniteValue, "#/offset/2");
    json(&csr("", r#""feature_names":["a","b"],"#), Code::ShapeMismatch, "#/feature_names");
    json(&csr("", r#""feature_names":["a","b","c","b","d"],"#), Code::DuplicateField, "#/feature_names/3");
    json(&csr("", r#""feature_names":["a","b\n","c","d","e"],"#), Code::InvalidField, "#/feature_names/1");
    json(&csr("", &format!(r#""feature_names":["{}","b","c","d","e"],"#, "x".repeat(257))), Code::InvalidField, "#/feature_names/0");
    store(csr("", r#""weights":null,"offset":null,"feature_names":null,"index_base":0,"#).as_bytes(), &upload(Format::Json));
}

#[test]
fn lying_shapes_allocate_nothing() {
    for side in ["1e18", "1000000000000000000", "99999999999999999999", "4294967296"] {
        json(&csr("[3,5]", &format!("[{side},5]")), Code::LimitExceeded, "#/shape/0");
        json(&csr("[3,5]", &format!("[3,{side}]")), Code::LimitExceeded, "#/shape/1");
    }
    json(&csr("[3,5]", "[10000000,5]"), Code::ShapeMismatch, "#/indptr");
    json(&csr("[3,5]", "[3]"), Code::ShapeMismatch, "#/shape");
    json(&csr("[3,5]", "[3,5,1]"), Code::ShapeMismatch, "#/shape/2");
    json(&csr("[3,5]", "[-3,5]"), Code::InvalidField, "#/shape/0");
    json(&csr("[3,5]", "[3.5,5]"), Code::InvalidField, "#/shape/0");
}

#[test]
fn what_is_not_json_is_malformed_and_what_is_twice_is_said_to_be() {
    for body in [
        "{",
        "[1,2",
        "nonsense",
        &csr("0.5]", "NaN]"),
        &csr("0.5]", "Infinity]"),
        &csr("0.5]", "0.5,]"),
        &csr("0.5]", "0.5] /* c */"),
        &csr("[1,0,1]", r#"["\ud800",0,1]"#),
        &format!("{} x", csr("", "")),
        &"[".repeat(100_000),
        &format!("{}{}", r#"{"format":"dense","values":"#, "[".repeat(100_000)),
    ] {
        let fault = refused(body.as_bytes(), &upload(Format::Json));
        assert_eq!(fault.code, Code::MalformedJson, "{}", &body[..body.len().min(100)]);
        assert!(fault.places[0].line.is_some());
    }
    let utf16: Vec<u8> = csr("", "").encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_eq!(refused(&utf16, &upload(Format::Json)).code, Code::MalformedJson);
    json(&csr("", r#""shape":[3,5],"#), Code::DuplicateField, "#/shape");
    json(&csr("", &format!(r#""nonsense":[{}1],"#, "1,".repeat(1_000_000))), Code::UnknownField, "#/nonsense");
    json(&csr("", r#""a/b~c d":1,"#), Code::UnknownField, "#/a~1b~0c%20d");
    json("[]", Code::InvalidField, "#");
    json("3", Code::InvalidField, "#");
    store(csr("0.5]", "-0]").as_bytes(), &upload(Format::Json));
}

#[test]
fn every_bad_coo_dense_and_record_names_its_code_and_pointer() {
    let coo = |more: &str| format!(r#"{{"format":"coo","shape":[2,2],"y":[1,2]{more}}}"#);
    json(&coo(r#","rows":[0,2],"cols":[0,0],"values":[1,1]"#), Code::IndexOutOfRange, "#/rows/1");
    json(&coo(r#","rows":[0,1],"cols":[0,2],"values":[1,1]"#), Code::IndexOutOfRange, "#/cols/1");
    json(&coo(r#","rows":[0,0],"cols":[1,1],"values":[1,1]"#), Code::DuplicateIndex, "#/cols/1");
    json(&coo(r#","rows":[0],"cols":[1,1],"values":[1,1]"#), Code::ShapeMismatch, "#/rows");
    json(&coo(r#","rows":[0],"cols":[1],"values":[1],"duplicates":"first""#), Code::InvalidField, "#/duplicates");
    json(&coo(r#","rows":[0,0],"cols":[1,1],"values":[1e308,1e308],"duplicates":"sum""#), Code::NonFiniteValue, "#/values/1");
    let dense = |values: &str| format!(r#"{{"format":"dense","values":{values},"y":[1,2]}}"#);
    json(&dense("[[1,2],[3]]"), Code::ShapeMismatch, "#/values/1");
    json(&dense("[[1,2],3]"), Code::InvalidField, "#/values/1");
    json(&dense("[1,[2]]"), Code::InvalidField, "#/values/1");
    json(&dense("[1,2]"), Code::InvalidField, "#/values/0");
    json(&dense("[[1,[2]],[3,4]]"), Code::InvalidField, "#/values/0/1");
    json(&dense("[[1,1e999],[3,4]]"), Code::NonFiniteValue, "#/values/0/1");
    json(&dense("[[1,null],[3,4]]"), Code::MissingValue, "#/values/0/1");
    json(&dense("[[1],[2],[3]]"), Code::ShapeMismatch, "#/y");
    let records = |records: &str| format!(r#"{{"format":"records","target":"t","records":{records}}}"#);
    json(&records(r#"[{"t":1},{"t":2,"age":null}]"#), Code::MissingValue, "#/records/1/age");
    json(&records(r#"[{"t":1,"age":1,"age":2}]"#), Code::DuplicateField, "#/records/0/age");
    json(&records(r#"[{"t":1,"a=b":1,"a":"b"}]"#), Code::DuplicateField, "#/records/0/a");
    json(&records(r#"[{"t":1},{"a":1}]"#), Code::MissingValue, "#/records/1/t");
    json(&records(r#"[{"t":1},{"t":null}]"#), Code::MissingValue, "#/records/1/t");
    json(&records(r#"[{"a":1}]"#), Code::InvalidTarget, "#/target");
    json(&records(r#"[{"t":1,"a":[1]}]"#), Code::InvalidField, "#/records/0/a");
    json(&records(r#"[{"t":1,"a":{"b":1}}]"#), Code::InvalidField, "#/records/0/a");
    json(&records(r#"[{"t":1,"a":1e999}]"#), Code::NonFiniteValue, "#/records/0/a");
    json(&records(r#"[{"t":1,"a\nb":1}]"#), Code::InvalidField, "#/records/0/a%0Ab");
    json(&records(&format!(r#"[{{"t":1,"a":"{}"}}]"#, "x".repeat(300))), Code::InvalidField, "#/records/0/a");
    json(&records(r#"[1]"#), Code::InvalidField, "#/records/0");
    json(&records(r#"{"t":1}"#), Code::InvalidField, "#/records");
    json(&records(r#""x""#), Code::InvalidField, "#/records");
    let weighted = |records: &str| format!(r#"{{"format":"records","target":"t","weights":"w","records":{records}}}"#);
    json(&weighted(r#"[{"t":1,"w":-1}]"#), Code::InvalidWeight, "#/records/0/w");
    json(&weighted(r#"[{"t":1,"w":0}]"#), Code::InvalidWeight, "#/weights");
    json(&weighted(r#"[{"t":1}]"#), Code::InvalidWeight, "#/weights");
    json(&weighted(r#"[{"t":1,"w":1},{"t":1}]"#), Code::MissingValue, "#/records/1/w");
    json(r#"{"format":"records","target":"t","missing":"mean","records":[{"t":1}]}"#, Code::InvalidField, "#/missing");
    json(r#"{"format":"records","records":[{"t":1}]}"#, Code::InvalidField, "#/target");
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).expect("memory takes it");
    encoder.finish().expect("memory takes it")
}

fn wrapped(encoding: Encoding) -> Upload {
    Upload { encoding, ..upload(LIBSVM) }
}

#[test]
fn a_wrapping_that_is_broken_or_unfolds_without_measure_is_refused() {
    let text = b"1 1:1 2:2\n0 3:1\n".repeat(5000);
    let (gz, zst) = (gzip(&text), zstd::encode_all(&text[..], 3).expect("zstd"));
    let plain = store(&text, &upload(LIBSVM)).ingested.meta;
    for (body, encoding) in [(&gz, Encoding::Gzip), (&zst, Encoding::Zstd)] {
        // this text shrinks so well that it is within the slack but not within the ratio alone
        let meta = store(body, &wrapped(encoding)).ingested.meta;
        assert_eq!((&meta.sha256, &meta.upload_sha256), (&plain.sha256, &plain.upload_sha256));
        for cut in [1, 5, body.len() / 2, body.len() - 1] {
            assert_eq!(refused(&body[..cut], &wrapped(encoding)).code, Code::MalformedEncoding, "{encoding:?} cut at {cut}");
        }
        let mut flipped = body.clone();
        let at = flipped.len() - 6;
        flipped[at] ^= 0x40;
        assert_eq!(refused(&flipped, &wrapped(encoding)).code, Code::MalformedEncoding, "{encoding:?}");
        assert_eq!(refused(&text, &wrapped(encoding)).code, Code::MalformedEncoding, "{encoding:?}");
    }
    let bomb = vec![b'\n'; 64 << 20];
    assert_eq!(refused(&gzip(&bomb), &wrapped(Encoding::Gzip)).code, Code::DecompressedTooLarge);
    assert_eq!(refused(&zstd::encode_all(&bomb[..], 3).expect("zstd"), &wrapped(Encoding::Zstd)).code, Code::DecompressedTooLarge);
    assert_eq!(refused(&gzip(b"1 1:1\n").repeat(1000), &wrapped(Encoding::Gzip)).code, Code::DecompressedTooLarge);
    let mut small = wrapped(Encoding::Gzip);
    small.limits.decoded_bytes = 1000;
    assert_eq!(refused(&gz, &small).code, Code::DecompressedTooLarge);
    small.encoding = Encoding::Identity;
    assert_eq!(refused(&text, &small).code, Code::PayloadTooLarge);
}

#[test]
fn gzip_members_are_read_one_after_the_other() {
    let (a, b) = (b"1 1:1\n0 2", b":3\n");
    let both = [gzip(a), gzip(b""), gzip(b)].concat();
    assert_eq!(store(&both, &wrapped(Encoding::Gzip)).ingested.meta.nnz, 2);
    assert_eq!(refused(&[gzip(a), b"junk".to_vec()].concat(), &wrapped(Encoding::Gzip)).code, Code::MalformedEncoding);
}

#[test]
fn a_zstd_window_above_eight_mebibytes_is_refused() {
    for (log, legal) in [(23, true), (24, false), (27, false)] {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).expect("zstd");
        encoder.window_log(log).expect("a window");
        encoder.write_all(b"1 1:1\n0 2:1\n").expect("memory takes it");
        let body = encoder.finish().expect("memory takes it");
        match legal {
            true => assert_eq!(store(&body, &wrapped(Encoding::Zstd)).ingested.meta.nnz, 2),
            false => assert_eq!(refused(&body, &wrapped(Encoding::Zstd)).code, Code::DecompressedTooLarge),
        }
    }
}

#[test]
fn a_failing_source_is_no_fault_of_the_client() {
    struct Failing;
    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("the wire is cut"))
        }
    }
    for (format, encoding) in
        [(LIBSVM, Encoding::Identity), (LIBSVM, Encoding::Gzip), (LIBSVM, Encoding::Zstd), (Format::Json, Encoding::Identity)]
    {
        let body = Read::chain(&b""[..], Failing);
        match Stored::of(body, &Upload { encoding, ..upload(format) }) {
            Err(IngestError::Io(error)) => assert_eq!(error.to_string(), "the wire is cut"),
            Err(IngestError::Fault(fault)) => panic!("{encoding:?}: {fault}"),
            Ok(_) => panic!("accepted"),
        }
    }
}
