//! Prediction as a client meets it: every form, every refusal with code and place, the same bits for the same row.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::sample::{model, names};
use super::*;
use crate::fault::{Code, Fault};

const LIMITS: PredictLimits = PredictLimits { rows: 4, row_nnz: 200, index_max: (1 << 31) - 1 };

/// Ten features; non-zero: 1 → 0.5, 4 → −2, 6 → 0.25; intercept 0.25.
fn small(loss: &str) -> Predictor {
    let mut model = model(&[1, 4, 6], &[0.5, -2.0, 0.25]);
    model.card.sparsity.n_features = 10;
    model.card.loss = loss.into();
    if matches!(loss, "squared" | "huber") {
        model.card.classes = None;
    }
    Predictor::new(Arc::new(Model::Linear(model)), None)
}

fn predict(predictor: &Predictor, body: &str) -> Result<Predictions, Fault> {
    predictor.predict(body.as_bytes(), PredictFormat::Json, &PredictOptions::default(), &LIMITS)
}

fn libsvm(predictor: &Predictor, body: &[u8], index_base: u32) -> Result<Predictions, Fault> {
    predictor.predict(body, PredictFormat::Libsvm { index_base }, &PredictOptions::default(), &LIMITS)
}

fn answers(predictions: &Predictions) -> Value {
    serde_json::from_slice(&predictions.predictions_json).unwrap()
}

/// Code, and pointer or `line:column`.
fn told(fault: &Fault) -> (Code, String) {
    let place = fault.places.first().cloned().unwrap_or_default();
    let at = place.line.map(|line| format!("{line}:{}", place.column.unwrap_or(0)));
    (fault.code, place.pointer.or(at).unwrap_or_default())
}

#[test]
fn the_forms_may_mix_and_each_row_is_scored_and_counted() {
    let body = r##"{"instances":[
        {"features":{"1":2,"4":true,"99":1,"x":"y"}},
        {"indices":[6,1],"values":[4,1]},
        {"data":{"features":{"keys":[4],"shape":[10],"values":[0.5]}}},
        [0,1,0,0,0,0,-1,0,0,3]],"output":["prediction","unknown"]}"##;
    let predictions = predict(&small("squared"), body).unwrap();
    let expected = json!([{"prediction": -0.75, "unknown": 2}, {"prediction": 1.75, "unknown": 0}, {"prediction": -0.75, "unknown": 0},
        {"prediction": 0.5, "unknown": 0}]);
    assert_eq!(answers(&predictions), expected);
    assert_eq!((predictions.rows, predictions.unknown_features, predictions.active_features_seen), (4, 2, 3));
    let csr = r#"{"csr":{"values":[4,1,0.5],"indptr":[0,2,2,3],"indices":[6,1,4],"shape":[3,10]}}"#;
    let expected = json!([{"prediction": 1.75}, {"prediction": 0.25}, {"prediction": -0.75}]);
    assert_eq!(answers(&predict(&small("squared"), csr).unwrap()), expected);
    let text = b"\xef\xbb\xbf# comment \xff\n\n1 7:4 2:1\r\n+1.5 qid:3\t# nothing\n? 5:.5 # end";
    assert_eq!(answers(&libsvm(&small("squared"), text, 1).unwrap()), expected);
    assert_eq!(answers(&libsvm(&small("squared"), b"0 6:4 1:1\n0\n0 4:+5e-1\n", 0).unwrap()), expected);
}

#[test]
fn a_classifier_gives_probability_and_label_and_more_on_request() {
    let rows = r#""instances":[{"indices":[],"values":[]},{"indices":[4,9],"values":[1,1]}]"#;
    let predictions = predict(&small("logistic"), &format!("{{{rows}}}")).unwrap();
    let (low, high) = (1.0 / (1.0 + 1.75f64.exp()), 1.0 / (1.0 + (-0.25f64).exp()));
    let answered = answers(&predictions);
    assert_eq!((&answered[0]["label"], &answered[1]["label"]), (&json!(1), &json!(-1)));
    assert!((answered[0]["probability"].as_f64().unwrap() - high).abs() < 1e-15);
    assert!((answered[1]["probability"].as_f64().unwrap() - low).abs() < 1e-15);
    // Options may stand behind the rows.
    let body = format!(r#"{{{rows},"threshold":0.1,"top_contributions":1,"output":["label","contributions","linear_predictor"]}}"#);
    let expected = json!([{"label": 1, "linear_predictor": 0.25, "contributions": []},
        {"label": 1, "linear_predictor": -1.75, "contributions": [{"feature": "4", "value": -2.0}]}]);
    assert_eq!(answers(&predict(&small("logistic"), &body).unwrap()), expected);
}

#[test]
fn a_margin_gives_linear_predictor_and_label_and_no_probability() {
    let ask = |more: &str| {
        predict(
            &small("squared_hinge"),
            &format!(r#"{{"instances":[{{"indices":[1],"values":[1]}},{{"indices":[1],"values":[-1]}}]{more}}}"#),
        )
    };
    let labels =
        answers(&predict(&small("logistic"), r#"{"instances":[{"indices":[1],"values":[1]},{"indices":[1],"values":[-1]}]}"#).unwrap());
    let label = |row: usize| labels[row]["label"].clone();
    let expected = json!([{"linear_predictor": 0.75, "label": label(0)}, {"linear_predictor": -0.25, "label": label(1)}]);
    assert_eq!(answers(&ask("").unwrap()), expected);
    assert_ne!(label(0), label(1));
    // the threshold is one of the linear predictor: any finite number
    let (high, low) = (answers(&ask(r#","threshold":0.8"#).unwrap()), answers(&ask(r#","threshold":-3"#).unwrap()));
    assert_eq!((&high[0]["label"], &low[1]["label"]), (&label(1), &label(0)));
    let only = answers(&ask(r#","output":["label"]"#).unwrap());
    assert_eq!(only[0], json!({"label": label(0)}));
    for wrong in ["probability", "prediction"] {
        let fault = ask(&format!(r#","output":["label","{wrong}"]"#)).unwrap_err();
        assert_eq!(told(&fault), (Code::InvalidParameter, "#/output/1".to_owned()));
    }
    let huber = answers(&predict(&small("huber"), r#"{"instances":[{"indices":[1],"values":[1]}]}"#).unwrap());
    assert_eq!(huber, json!([{"prediction": 0.75}]));
}

#[test]
fn contributions_are_the_strongest_products() {
    let body = r#"{"instances":[{"indices":[1,4,6],"values":[4,1,-1]}],"output":["contributions"]}"#;
    let expected =
        json!([{"contributions": [{"feature": "1", "value": 2.0}, {"feature": "4", "value": -2.0}, {"feature": "6", "value": -0.25}]}]);
    assert_eq!(answers(&predict(&small("squared"), body).unwrap()), expected);
}

#[test]
fn options_of_the_body_win_over_those_of_the_query() {
    let query = PredictOptions { output: Some(vec!["unknown".into()]), threshold: Some(0.9), ..PredictOptions::default() };
    let run = |body: &str| {
        let predictor = small("logistic");
        let predictions = predictor.predict(body.as_bytes(), PredictFormat::Json, &query, &LIMITS);
        predictions.map(|predictions| answers(&predictions))
    };
    assert_eq!(run(r#"{"instances":[{"indices":[11],"values":[1]}]}"#).unwrap(), json!([{"unknown": 1}]));
    assert_eq!(run(r#"{"output":["label"],"instances":[{"indices":[11],"values":[1]}]}"#).unwrap(), json!([{"label": -1}]));
    assert_eq!(run(r#"{"output":["label"],"threshold":0,"instances":[{"indices":[11],"values":[1]}]}"#).unwrap(), json!([{"label": 1}]));
    let wrong = PredictOptions { output: Some(vec!["prediction".into()]), ..PredictOptions::default() };
    let fault = small("logistic").predict(b"0 1:1", PredictFormat::Libsvm { index_base: 1 }, &wrong, &LIMITS).unwrap_err();
    assert_eq!((fault.code, fault.places[0].parameter.as_deref()), (Code::InvalidParameter, Some("output")));
}

#[test]
fn the_rest_of_one_class_against_the_rest_has_no_label() {
    let mut model = model(&[1], &[-50.0]);
    model.card.classes = Some(vec![None, Some(Class::Text("a\"b".into()))]);
    let predictor = Predictor::new(Arc::new(Model::Linear(model)), None);
    let body = r#"{"instances":[{"indices":[1],"values":[1]},{"indices":[1],"values":[-1]}],"output":["label"]}"#;
    assert_eq!(answers(&predict(&predictor, body).unwrap()), json!([{"label": null}, {"label": "a\"b"}]));
}

#[test]
fn every_wrong_json_batch_is_told_with_code_and_place() {
    let two = |row: &str| format!(r#"{{"instances":[{{"indices":[],"values":[]}},{row}]}}"#);
    let huge = format!(r#"{{"indices":[{}0],"values":[]}}"#, "0,".repeat(200));
    let wide = format!(r#"{{"features":{{{}"z":1}}}}"#, (0..200).map(|i| format!("\"x{i}\":1,")).collect::<String>());
    let deep = "[".repeat(100_000);
    for (body, code, at) in [
        (two(r#"{"indices":[3,2147483648],"values":[1,1]}"#), Code::IndexOutOfRange, "#/instances/1/indices/1"),
        (two(r#"{"indices":[-1],"values":[1]}"#), Code::IndexOutOfRange, "#/instances/1/indices/0"),
        (two(r#"{"indices":[18446744073709551616],"values":[1]}"#), Code::IndexOutOfRange, "#/instances/1/indices/0"),
        (two(r#"{"indices":[1.5],"values":[1]}"#), Code::InvalidField, "#/instances/1/indices/0"),
        (two(r#"{"indices":[true],"values":[1]}"#), Code::InvalidField, "#/instances/1/indices/0"),
        (two(r#"{"indices":["3"],"values":[1]}"#), Code::InvalidField, "#/instances/1/indices/0"),
        (two(r#"{"indices":[5,3,5],"values":[1,1,1]}"#), Code::DuplicateIndex, "#/instances/1/indices/2"),
        (two(r#"{"indices":[50,50],"values":[1,1]}"#), Code::DuplicateIndex, "#/instances/1/indices/1"),
        (two(r#"{"indices":[1],"values":[1e999]}"#), Code::NonFiniteValue, "#/instances/1/values/0"),
        (two(r#"{"indices":[1],"values":[null]}"#), Code::InvalidField, "#/instances/1/values/0"),
        (two(r#"{"indices":[1],"values":[1,2]}"#), Code::ShapeMismatch, "#/instances/1/values"),
        (two(r#"{"indices":[1]}"#), Code::InvalidField, "#/instances/1/values"),
        (two(r#"{"indices":[1],"indices":[2],"values":[1]}"#), Code::DuplicateField, "#/instances/1/indices"),
        (two(r#"{"indices":[1],"values":[1],"features":{}}"#), Code::InvalidField, "#/instances/1/features"),
        (two(r#"{"indices":[1],"values":[1],"weights":[]}"#), Code::UnknownField, "#/instances/1/weights"),
        (two("{}"), Code::InvalidField, "#/instances/1"),
        (two("3"), Code::InvalidField, "#/instances/1"),
        (two("null"), Code::InvalidField, "#/instances/1"),
        (two(&huge), Code::LimitExceeded, "#/instances/1/indices/200"),
        (two(&wide), Code::LimitExceeded, "#/instances/1/features/z"),
        (two("[1,2]"), Code::ShapeMismatch, "#/instances/1"),
        (two("[0,0,0,0,0,0,0,0,0,0,0]"), Code::ShapeMismatch, "#/instances/1"),
        (two("[0,1e400]"), Code::NonFiniteValue, "#/instances/1/1"),
        (two(r#"[0,"1"]"#), Code::InvalidField, "#/instances/1/1"),
        (two(r#"{"indices":[1,4],"values":[1.7e308,-1.7e308]}"#), Code::NumericalError, "#/instances/1"),
        (two(r#"{"features":{"1":1e400}}"#), Code::NonFiniteValue, "#/instances/1/features/1"),
        (two(r#"{"features":{"1":null}}"#), Code::MissingValue, "#/instances/1/features/1"),
        (two(r#"{"features":{"1":[1]}}"#), Code::InvalidField, "#/instances/1/features/1"),
        (two(r#"{"features":{"1":1,"2":1,"1":2}}"#), Code::DuplicateField, "#/instances/1/features/1"),
        (two(r#"{"features":{"b/":1,"b\u002f":1}}"#), Code::DuplicateField, "#/instances/1/features/b~1"),
        (two(r#"{"features":[1]}"#), Code::InvalidField, "#/instances/1/features"),
        (two(r#"{"data":{"features":{"keys":[1,1],"values":[1,1]}}}"#), Code::DuplicateIndex, "#/instances/1/data/features/keys/1"),
        (two(r#"{"data":{"features":{"keys":[1],"values":[]}}}"#), Code::ShapeMismatch, "#/instances/1/data/features/values"),
        (
            two(r#"{"data":{"features":{"keys":[7],"values":[1],"shape":[7]}}}"#),
            Code::IndexOutOfRange,
            "#/instances/1/data/features/keys/0",
        ),
        (two(r#"{"data":{"features":{"keys":[7],"values":[1],"shape":[1,9]}}}"#), Code::ShapeMismatch, "#/instances/1/data/features/shape"),
        (two(r#"{"data":{"features":{"values":[1]}}}"#), Code::InvalidField, "#/instances/1/data/features/keys"),
        (two(r#"{"data":{"keys":[]}}"#), Code::UnknownField, "#/instances/1/data/keys"),
        (two(r#"{"data":{}}"#), Code::InvalidField, "#/instances/1/data"),
        (r#"{"instances":[]}"#.into(), Code::EmptyBatch, ""),
        (r#"{"csr":{"indptr":[0],"indices":[],"values":[]}}"#.into(), Code::EmptyBatch, ""),
        (r#"{"instances":{}}"#.into(), Code::InvalidField, "#/instances"),
        ("{}".into(), Code::InvalidField, "#"),
        ("[]".into(), Code::InvalidField, "#"),
        (r#"{"instances":[],"csr":{}}"#.into(), Code::InvalidField, "#/csr"),
        (r#"{"instances":[],"instances":[]}"#.into(), Code::DuplicateField, "#/instances"),
        (r#"{"instances":[],"paramters":[]}"#.into(), Code::UnknownField, "#/paramters"),
        (r#"{"instances":[[]],"output":["probabilities"]}"#.into(), Code::InvalidParameter, "#/output/0"),
        (r#"{"instances":[[]],"output":[]}"#.into(), Code::InvalidParameter, "#/output"),
        (r#"{"instances":[[]],"output":"label"}"#.into(), Code::InvalidField, "#/output"),
        (r#"{"instances":[[]],"threshold":1.5}"#.into(), Code::InvalidParameter, "#/threshold"),
        (r#"{"instances":[[]],"unknown_features":"drop"}"#.into(), Code::InvalidParameter, "#/unknown_features"),
        (r#"{"instances":[[]],"top_contributions":-1}"#.into(), Code::InvalidField, "#/top_contributions"),
        (two(r#"{"indices":[NaN],"values":[1]}"#), Code::MalformedJson, "1:54"),
        ("{\n \"instances\":\n[{\"features\":{\"\\ud800\":1}}]}".into(), Code::MalformedJson, "3:22"),
        ("{\"instances\":[[1,]]}".into(), Code::MalformedJson, "1:18"),
        (r#"{"instances":[[1]]} x"#.into(), Code::MalformedJson, "1:21"),
        ("".into(), Code::MalformedJson, "1:0"),
        (deep, Code::InvalidField, "#"),
        (format!(r#"{{"instances":{}{}}}"#, "[".repeat(9999), "]".repeat(9999)), Code::InvalidField, "#/instances/0/0"),
        (r#"{"csr":{"indptr":[0,1],"indices":[1],"values":[]}}"#.into(), Code::ShapeMismatch, "#/csr/values"),
        (r#"{"csr":{"indptr":[0,2],"indices":[1],"values":[1]}}"#.into(), Code::ShapeMismatch, "#/csr/indptr"),
        (r#"{"csr":{"indptr":[],"indices":[],"values":[]}}"#.into(), Code::ShapeMismatch, "#/csr/indptr"),
        (r#"{"csr":{"indptr":[1,1],"indices":[1],"values":[1]}}"#.into(), Code::ShapeMismatch, "#/csr/indptr"),
        (r#"{"csr":{"indptr":[0,2,1,3],"indices":[1,2,3],"values":[1,2,3]}}"#.into(), Code::ShapeMismatch, "#/csr/indptr"),
        (r#"{"csr":{"indptr":[0,-1],"indices":[1],"values":[1]}}"#.into(), Code::ShapeMismatch, "#/csr/indptr/1"),
        (r#"{"csr":{"indptr":[0,1],"indices":[1],"values":[1],"shape":[2,10]}}"#.into(), Code::ShapeMismatch, "#/csr/shape"),
        (r#"{"csr":{"indptr":[0,1],"indices":[3],"values":[1],"shape":[1,3]}}"#.into(), Code::IndexOutOfRange, "#/csr/indices/0"),
        (r#"{"csr":{"indptr":[0,1,3],"indices":[3,2,2],"values":[1,1,1]}}"#.into(), Code::DuplicateIndex, "#/csr/indices/2"),
        (r#"{"csr":{"indptr":[0,0,0,0,0,0],"indices":[],"values":[]}}"#.into(), Code::LimitExceeded, "#/csr/indptr/5"),
        (r#"{"csr":{"indptr":[0],"indices":[]}}"#.into(), Code::InvalidField, "#/csr/values"),
        (r#"{"csr":{"indptr":"http://127.0.0.1:1/","indices":[],"values":[]}}"#.into(), Code::InvalidField, "#/csr/indptr"),
        (r#"{"csr":{"data":[]}}"#.into(), Code::UnknownField, "#/csr/data"),
        (two(&[r#"{"indices":[],"values":[]}"#; 4].join(",")), Code::LimitExceeded, "#/instances/4"),
    ] {
        let fault = predict(&small("logistic"), &body).expect_err(&body[..body.len().min(200)]);
        assert_eq!(told(&fault), (code, at.to_owned()), "{}", &body[..body.len().min(200)]);
        assert!(fault.detail.len() < 300, "{}", fault.detail);
    }
    let regression = predict(&small("squared"), r#"{"instances":[[]],"threshold":0.5}"#).unwrap_err();
    assert_eq!(told(&regression), (Code::InvalidParameter, "#/threshold".to_owned()));
}

#[test]
fn bad_syntax_inside_the_rows_is_told_with_its_place_in_the_whole_body() {
    for body in [
        "{\"instances\":[{\"features\":{\"\\ud800\":1}}]}",
        "{\"output\":null,\n\"x\":1}",
        "{\n\"instances\": [\n{\"features\":{\"a\":\"\\ud800\"}}]}",
    ] {
        let fault = predict(&small("logistic"), body).unwrap_err();
        if let Err(error) = serde_json::from_str::<Value>(body) {
            assert_eq!(told(&fault), (Code::MalformedJson, format!("{}:{}", error.line(), error.column())), "{body}");
        } else {
            assert_eq!(told(&fault), (Code::UnknownField, "#/x".to_owned()));
        }
    }
}

#[test]
fn every_wrong_line_is_told_with_code_and_place() {
    let long = format!("1 1:{}", "1".repeat(65));
    let wide = format!("1{}", (1..=201).map(|i| format!(" {i}:1")).collect::<String>());
    for (text, code, at) in [
        ("1 0:1", Code::IndexBase, "1:3"),
        ("1 1:1\n1 -1:1", Code::IndexOutOfRange, "2:3"),
        ("1 2147483648:1", Code::IndexOutOfRange, "1:3"),
        ("1 18446744073709551616:1", Code::IndexOutOfRange, "1:3"),
        ("1 1e3:1", Code::MalformedLine, "1:3"),
        ("1 3:1 4:1 3:2", Code::DuplicateIndex, "1:11"),
        ("1 3:nan", Code::NonFiniteValue, "1:5"),
        ("1 3:-Inf", Code::NonFiniteValue, "1:5"),
        ("1 3:1e999", Code::NonFiniteValue, "1:5"),
        ("1 3:0x1p3", Code::MalformedLine, "1:5"),
        ("1 3:1_000", Code::MalformedLine, "1:5"),
        ("1 3:1,5", Code::MalformedLine, "1:5"),
        ("1 3:١", Code::MalformedLine, "1:5"),
        ("1 3", Code::MalformedLine, "1:3"),
        ("1 3:", Code::MalformedLine, "1:5"),
        ("1 :3", Code::MalformedLine, "1:3"),
        ("1 3:1:2", Code::MalformedLine, "1:5"),
        ("3:1 4:1", Code::MalformedLine, "1:1"),
        ("1 3:1 qid:4", Code::MalformedLine, "1:7"),
        ("1 3:1\0", Code::MalformedLine, "1:6"),
        (&long, Code::NumberTooLong, "1:5"),
        (&wide, Code::LimitExceeded, "1:1095"),
        ("1\n1\n\n1\n1\n1", Code::LimitExceeded, "6:1"),
        ("1\n1 2:1.7e308 5:-1.7e308", Code::NumericalError, "2:1"),
        ("# only a comment\n", Code::EmptyBatch, ""),
        ("", Code::EmptyBatch, ""),
    ] {
        let fault = libsvm(&small("logistic"), text.as_bytes(), 1).expect_err(text);
        assert_eq!(told(&fault), (code, at.to_owned()), "{text:?}");
    }
}

#[test]
fn unknown_features_are_an_error_when_asked_and_the_first_is_named() {
    for (rows, at) in [
        (r#""instances":[{"features":{"1":1,"12":1}}]"#, "#/instances/0/features/12"),
        (r#""instances":[{"features":{"01":1}}]"#, "#/instances/0/features/01"),
        (r#""instances":[{"features":{"a":"b"}}]"#, "#/instances/0/features/a"),
        (r#""instances":[{"indices":[1,10],"values":[1,1]}]"#, "#/instances/0/indices/1"),
        (r#""csr":{"indptr":[0,1],"indices":[10],"values":[1]}"#, "#/csr/indices/0"),
    ] {
        let fault = predict(&small("squared"), &format!(r#"{{{rows},"unknown_features":"error"}}"#)).expect_err(rows);
        assert_eq!(told(&fault), (Code::UnknownFeature, at.to_owned()));
        let ignored = predict(&small("squared"), &format!("{{{rows}}}")).unwrap();
        assert_eq!(ignored.unknown_features, 1, "{rows}");
    }
    let query = PredictOptions { unknown_features: Some("error".into()), ..PredictOptions::default() };
    let fault = small("squared").predict(b"1\n1 2:1 11:1", PredictFormat::Libsvm { index_base: 1 }, &query, &LIMITS).unwrap_err();
    assert_eq!(told(&fault), (Code::UnknownFeature, "2:7".to_owned()));
}

#[test]
fn features_are_found_by_name_and_zero_coefficients_are_not_unknown() {
    let mut model = model(&[1, 3], &[2.0, -1.0]);
    model.card.sparsity.n_features = 4;
    model.card.loss = "squared".into();
    let predictor = Predictor::new(Arc::new(Model::Linear(model)), Some(names(&["age", "country=NO", "7", "größe"])));
    let body = r#"{"instances":[
        {"features":{"country":"NO","age":31,"größe":0.5}},
        {"features":{"country=NO":true,"7":1,"3":1,"country":"SE","gr\u00f6\u00dfe":2}},
        {"indices":[3,4],"values":[1,1]},
        [0,1,0,0]],"output":["prediction","unknown","contributions"]}"#;
    let predictions = predict(&predictor, body).unwrap();
    let expected = json!([
        {"prediction": 1.75, "contributions": [{"feature": "country=NO", "value": 2.0}, {"feature": "größe", "value": -0.5}], "unknown": 0},
        {"prediction": 0.25, "contributions": [{"feature": "country=NO", "value": 2.0}, {"feature": "größe", "value": -2.0}], "unknown": 2},
        {"prediction": -0.75, "contributions": [{"feature": "größe", "value": -1.0}], "unknown": 1},
        {"prediction": 2.25, "contributions": [{"feature": "country=NO", "value": 2.0}], "unknown": 0}]);
    assert_eq!(answers(&predictions), expected);
    for (row, code, at) in [
        (r#"{"country":"NO","age":1,"country=NO":1}"#, Code::DuplicateIndex, "#/instances/0/features/country=NO"),
        (r#"{"age":1,"country=NO":1,"age":1}"#, Code::DuplicateField, "#/instances/0/features/age"),
        (r#"{"größe":1,"gr\u00f6\u00dfe":1}"#, Code::DuplicateField, "#/instances/0/features/gr%C3%B6%C3%9Fe"),
    ] {
        let fault = predict(&predictor, &format!(r#"{{"instances":[{{"features":{row}}}]}}"#)).expect_err(row);
        assert_eq!(told(&fault), (code, at.to_owned()), "{row}");
    }
    assert_eq!(predictor.display_name(3), "größe");
    let shown = predictor.model().linear().unwrap().coefficients(Some(&names(&["a", "b", "c", "d"])), &CoefficientView::default());
    assert_eq!(shown.names, Some(vec!["b".to_owned(), "d".to_owned()]));
}

/// A row of distinct features in some order.
fn row() -> impl Strategy<Value = Vec<(u32, f64)>> {
    let value = prop_oneof![any::<f64>().prop_map(|v| if v.is_finite() { v % 1e6 } else { 0.1 }), -10.0..10.0];
    proptest::collection::btree_map(0u32..100, value, 0..30).prop_map(|row| row.into_iter().collect::<Vec<_>>()).prop_shuffle()
}

proptest! {
    #[test]
    fn the_same_row_in_any_form_and_order_gives_the_same_bits(row in row(), weights in proptest::collection::vec(-5.0f64..5.0, 40)) {
        let indices: Vec<u32> = (0..40).map(|i| 2 * i + 1).collect();
        let weights: Vec<f64> = weights.into_iter().map(|w| if w == 0.0 { 1.0 } else { w }).collect();
        let predictor = Predictor::new(Arc::new(Model::Linear(model(&indices, &weights))), None);
        let (keys, values): (Vec<u32>, Vec<f64>) = row.iter().copied().unzip();
        let mut dense = vec![0.0; 100];
        row.iter().for_each(|(index, value)| dense[*index as usize] = *value);
        let features: serde_json::Map<String, Value> = row.iter().map(|(index, value)| (index.to_string(), json!(value))).collect();
        let forms = [
            json!({"instances": [{"indices": keys, "values": values}]}),
            json!({"instances": [{"features": features}]}),
            json!({"instances": [{"data": {"features": {"keys": keys, "values": values, "shape": [100]}}}]}),
            json!({"instances": [dense]}),
            json!({"csr": {"indptr": [0, keys.len()], "indices": keys, "values": values}}),
        ];
        let text: String = row.iter().map(|(index, value)| format!(" {index}:{value:e}")).collect();
        let expected = libsvm(&predictor, format!("0{text}").as_bytes(), 0).unwrap();
        for form in forms {
            let given = predict(&predictor, &form.to_string()).unwrap();
            prop_assert_eq!(&given.predictions_json, &expected.predictions_json, "{}", form);
            prop_assert_eq!(given.active_features_seen, expected.active_features_seen);
        }
    }

    #[test]
    fn arbitrary_text_never_panics(text in "[\\[\\]{}\":,0-9a-z.+ \n#-]{0,60}", body in proptest::collection::vec(any::<u8>(), 0..60)) {
        let predictor = small("logistic");
        let _ = predict(&predictor, &text);
        let _ = libsvm(&predictor, text.as_bytes(), 1);
        let _ = libsvm(&predictor, &body, 0);
        let _ = predict(&predictor, &format!(r#"{{"instances":[{text}]}}"#));
    }
}
