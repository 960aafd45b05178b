//! The same matrix gives the same file, whatever the format, the pieces and the memory; damage is found.

use std::fmt::Write;

use proptest::prelude::*;

use super::*;

/// Rows of (feature, value) with distinct features, in any order.
type Matrix = Vec<Vec<(u32, f64)>>;

fn matrices() -> impl Strategy<Value = Matrix> {
    let value = prop_oneof![Just(1.0), Just(-0.5), Just(0.0), -1e3..1e3_f64, Just(0.1), Just(f64::MIN_POSITIVE)];
    let row = proptest::collection::btree_map(0_u32..9, value, 0..6).prop_map(|row| row.into_iter().collect::<Vec<_>>()).prop_shuffle();
    proptest::collection::vec(row, 1..12)
}

fn labels(matrix: &Matrix) -> Vec<f64> {
    (0..matrix.len()).map(|row| row as f64 * 1.5 - 2.0).collect()
}

fn libsvm(matrix: &Matrix) -> String {
    let mut text = String::new();
    for (row, y) in matrix.iter().zip(labels(matrix)) {
        let _ = write!(text, "{y}");
        for (feature, value) in row {
            let _ = write!(text, " {}:{value:e}", feature + 1);
        }
        text.push('\n');
    }
    text
}

fn list<T: Serialize>(items: impl IntoIterator<Item = T>) -> String {
    serde_json::to_string(&items.into_iter().collect::<Vec<_>>()).expect("numbers")
}

fn csr(matrix: &Matrix) -> String {
    let mut indptr = vec![0];
    matrix.iter().for_each(|row| indptr.push(indptr[indptr.len() - 1] + row.len()));
    let cells = || matrix.iter().flatten();
    format!(
        r#"{{"y":{},"values":{},"format":"csr","shape":[{},9],"indptr":{},"indices":{}}}"#,
        list(labels(matrix)),
        list(cells().map(|cell| cell.1)),
        matrix.len(),
        list(indptr),
        list(cells().map(|cell| cell.0)),
    )
}

fn coo(matrix: &Matrix) -> String {
    let mut cells: Vec<(usize, u32, f64)> =
        matrix.iter().enumerate().flat_map(|(row, cells)| cells.iter().map(move |cell| (row, cell.0, cell.1))).collect();
    cells.reverse();
    format!(
        r#"{{"format":"coo","index_base":1,"shape":[{},9],"rows":{},"cols":{},"values":{},"y":{}}}"#,
        matrix.len(),
        list(cells.iter().map(|cell| cell.0 + 1)),
        list(cells.iter().map(|cell| cell.1 + 1)),
        list(cells.iter().map(|cell| cell.2)),
        list(labels(matrix)),
    )
}

fn dense(matrix: &Matrix) -> String {
    let rows = matrix.iter().map(|row| (0..9).map(|j| row.iter().find(|cell| cell.0 == j).map_or(0.0, |cell| cell.1)).collect::<Vec<_>>());
    format!(r#"{{"format":"dense","values":{},"y":{}}}"#, list(rows), list(labels(matrix)))
}

/// Features are numbered as they first come, so a first row of zeros lists them all.
fn records(matrix: &Matrix) -> (String, Matrix) {
    let first: Vec<(u32, f64)> = (0..9).map(|j| (j, 0.0)).collect();
    let matrix: Matrix = std::iter::once(first).chain(matrix.iter().cloned()).collect();
    let rows: Vec<String> = matrix
        .iter()
        .zip(labels(&matrix))
        .map(|(row, y)| {
            let cells: Vec<String> = row.iter().map(|(feature, value)| format!(r#""f{feature}":{value:e}"#)).collect();
            format!("{{{}}}", std::iter::once(format!(r#""y":{y}"#)).chain(cells).collect::<Vec<_>>().join(","))
        })
        .collect();
    (format!(r#"{{"records":[{}],"format":"records","target":"y"}}"#, rows.join(",")), matrix)
}

fn as_rows(dataset: &Dataset) -> Matrix {
    rows(dataset, 0, u64::MAX).into_iter().map(|row| row.indices.into_iter().zip(row.values).collect()).collect()
}

fn sorted(matrix: &Matrix) -> Matrix {
    let row = |row: &Vec<(u32, f64)>| {
        let mut row: Vec<_> = row.iter().copied().filter(|cell| cell.1 != 0.0).collect();
        row.sort_by_key(|cell| cell.0);
        row
    };
    matrix.iter().map(row).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_format_gives_the_same_file(matrix in matrices()) {
        let nine = upload(Format::Libsvm { index_base: 1, n_features: Some(9) });
        let text = libsvm(&matrix);
        let stored = store(text.as_bytes(), &nine);
        prop_assert_eq!(as_rows(&stored.open()), sorted(&matrix));
        let bytes = stored.bytes();
        for json in [csr(&matrix), coo(&matrix), dense(&matrix)] {
            prop_assert!(store(json.as_bytes(), &upload(Format::Json)).bytes() == bytes, "{}", json);
        }
        let (json, matrix) = records(&matrix);
        let named = store(json.as_bytes(), &upload(Format::Json));
        prop_assert!(named.bytes() == store(libsvm(&matrix).as_bytes(), &nine).bytes(), "{}", json);
        let names = named.names().expect("names");
        prop_assert_eq!(names.get(8), Some("f8"));
    }

    #[test]
    fn the_memory_given_and_the_pieces_read_do_not_change_the_file(matrix in matrices(), entries in 1_u64..6) {
        let text = libsvm(&matrix);
        let whole = store(text.as_bytes(), &upload(LIBSVM));
        let mut tiny = upload(LIBSVM);
        tiny.limits.sort_memory_bytes = entries * 32;
        let pieces = Stored::of(Drip(text.as_bytes()), &tiny).expect("legal");
        prop_assert!(pieces.bytes() == whole.bytes());
        prop_assert_eq!(pieces.ingested.meta, whole.ingested.meta);
    }

    #[test]
    fn no_text_makes_the_parsers_panic(text in "[-+0-9:. #\nqideE\r\t\0a,]{0,60}", json in r#"[\[\]{}":,0-9a-z .eE-]{0,60}"#) {
        let _ = Stored::of(text.as_bytes(), &upload(LIBSVM));
        let _ = Stored::of(json.as_bytes(), &upload(Format::Json));
    }
}

#[test]
fn a_flipped_bit_anywhere_is_found_by_the_checksum_and_never_panics() {
    let stored = store(b"1 1:1 2:0.1\n0 3:2\n1 1:1\n", &upload(LIBSVM));
    let (good, meta) = (stored.bytes(), Arc::new(stored.ingested.meta.clone()));
    for at in 0..good.len() {
        for bit in [0, 7] {
            let mut bad = good.clone();
            bad[at] ^= 1 << bit;
            std::fs::write(stored.data(), &bad).expect("written");
            assert!(open(&stored.data(), None, meta.clone(), true).is_err(), "byte {at}");
            if let Ok(dataset) = open(&stored.data(), None, meta.clone(), false) {
                rows(&dataset, 0, 10);
            }
        }
    }
    for cut in 0..good.len() {
        std::fs::write(stored.data(), &good[..cut]).expect("written");
        for verify in [true, false] {
            assert!(open(&stored.data(), None, meta.clone(), verify).is_err(), "cut at {cut}");
        }
    }
    let other = store(b"1 1:1\n0 3:2\n", &upload(LIBSVM));
    assert!(open(&other.data(), None, meta, false).is_err(), "the row of another data set");
}

#[test]
fn names_are_found_by_text_and_by_index_and_damage_is_noticed() {
    let body = br#"{"format":"dense","values":[[1,2,3],[4,5,6]],"y":[1,2],"feature_names":["z","","\u00e4"]}"#;
    let stored = store(body, &upload(Format::Json));
    let names = stored.names().expect("names");
    for (index, name) in ["z", "", "ä"].into_iter().enumerate() {
        assert_eq!((names.get(index as u32), names.find(name)), (Some(name), Some(index as u32)));
    }
    assert_eq!((names.len(), names.get(3), names.find("y"), names.find("zz")), (3, None, None, None));
    let path = stored.dir.path().join("names");
    let hash = stored.ingested.names_sha256.clone().expect("a hash");
    let good = std::fs::read(&path).expect("there");
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1;
        std::fs::write(&path, &bad).expect("written");
        assert!(Names::open(&path, &hash).is_err());
        if let Ok(names) = Names::open(&path, &hash::sha256(&bad)) {
            let _ = (names.get(0), names.get(2), names.find("z"), names.find("ä"));
        }
    }
}

#[test]
fn statistics_and_precision_are_told_as_they_are() {
    let meta = store(b"1 1:1 2:2 5:3\n2 1:1\n3 1:1 2:4\n4 1:1 2:0\n", &upload(LIBSVM)).ingested.meta;
    assert_eq!((meta.shape, meta.nnz, meta.stored_columns, &meta.dtype[..]), ([4, 5], 7, 3, "f32"));
    let expected = Statistics { empty_rows: 0, empty_columns: 2, constant_columns: 1, row_nnz: RowNnz { min: 1, p50: 1, p99: 3, max: 3 } };
    assert_eq!(meta.statistics, expected);
    assert_eq!(store(b"1 1:0.1\n2\n", &upload(LIBSVM)).ingested.meta.dtype, "f64");
    assert_eq!(store(b"1 1:0.1\n2\n", &upload(LIBSVM)).ingested.meta.statistics.empty_rows, 1);
}

#[test]
fn records_become_features_in_the_order_of_first_appearance() {
    let body = r#"{"format":"records","missing":"zero","records":[
        {"age":31,"country":"NO","member":true,"churn":"yes","w":2},
        {"member":false,"country":"SE","age":null,"visits":3,"churn":"no","w":1}],"target":"churn","weights":"w"}"#;
    let stored = store(body.as_bytes(), &upload(Format::Json));
    let dataset = stored.open();
    let names: Vec<_> = (0..5).map(|j| stored.names().expect("names").get(j).map(str::to_owned)).collect();
    assert_eq!(names, ["age", "country=NO", "member", "country=SE", "visits"].map(|name| Some(name.to_owned())));
    assert_eq!(as_rows(&dataset), [vec![(0, 31.0), (1, 1.0), (2, 1.0)], vec![(3, 1.0), (4, 3.0)]]);
    assert_eq!(dataset.meta.target.name, "churn");
    assert_eq!(dataset.meta.target.classes, Some(vec![Class::Text("no".into()), Class::Text("yes".into())]));
    assert_eq!((&dataset.y[..], dataset.weights.as_deref()), (&[1.0, 0.0][..], Some(&[2.0, 1.0][..])));
}

#[test]
fn coordinates_given_twice_add_up_or_overwrite_when_asked() {
    for (policy, expected) in [("sum", 5.0), ("last", 3.0)] {
        let body =
            format!(r#"{{"format":"coo","shape":[1,2],"rows":[0,0,0],"cols":[1,1,0],"values":[2,3,0],"y":[1],"duplicates":"{policy}"}}"#);
        assert_eq!(as_rows(&store(body.as_bytes(), &upload(Format::Json)).open()), [vec![(1, expected)]]);
    }
}

#[test]
fn real_files_have_the_counts_their_table_says() {
    for (name, shape, nnz) in
        [("a9a.svm.zst", [32_561, 123], 451_592), ("news20.t.svm.zst", [3_993, 62_060], 321_123), ("diabetes64.svm.zst", [442, 64], 28_288)]
    {
        let Some(text) = real(name) else { continue };
        let mut small = upload(LIBSVM);
        let whole = store(&text, &small);
        assert_eq!((whole.ingested.meta.shape, whole.ingested.meta.nnz), (shape, nnz), "{name}");
        small.limits.sort_memory_bytes = 100_000;
        assert!(store(&text, &small).bytes() == whole.bytes(), "{name} in runs");
        let dataset = whole.open();
        Columns::new(
            dataset.y.len(),
            dataset.x.view().features.to_vec().into(),
            dataset.x.view().offsets.to_vec().into(),
            dataset.x.view().rows.to_vec().into(),
            match dataset.x.view().values {
                crate::matrix::ValuesView::Single(v) => crate::matrix::Values::Single(v.to_vec().into()),
                crate::matrix::ValuesView::Double(v) => crate::matrix::Values::Double(v.to_vec().into()),
            },
        )
        .expect("the invariants hold");
    }
}
