//! The specification as a client meets it: defaults, every refusal with code and place, and the round trip.

mod bounds;
mod classes;
mod compare;
mod distill;
mod ensemble;
mod evaluate;
mod network;
mod penalties;
mod prune;
mod rules;
mod stability;
mod tree;
mod warm_start;

use serde_json::{Value, json};

use super::*;
use crate::dataset::{Meta, RowNnz, Statistics, Target, TargetKind};
use crate::fault::{Code, Fault};

const LIMITS: SpecLimits = SpecLimits { path_values: 10_000, folds: 1000, max_epochs: 1_000_000_000, max_runtime_s: 2_592_000.0 };

fn meta(kind: TargetKind, classes: &[f64]) -> Meta {
    let classes: Vec<Class> = classes.iter().map(|class| Class::Number(*class)).collect();
    let counts = vec![40; classes.len()];
    let classed = !classes.is_empty();
    Meta {
        shape: [100, 200],
        nnz: 1000,
        stored_columns: 150,
        dtype: "f32".into(),
        stored_bytes: 12_000,
        target: Target { name: "y".into(), kind, classes: classed.then_some(classes), counts: classed.then_some(counts) },
        statistics: Statistics { empty_rows: 0, empty_columns: 50, constant_columns: 0, row_nnz: RowNnz::default() },
        named: false,
        weighted: false,
        offset: false,
        sha256: String::new(),
        upload_sha256: String::new(),
    }
}

fn regression() -> Meta {
    meta(TargetKind::Regression, &[])
}

fn binary() -> Meta {
    meta(TargetKind::Binary, &[-1.0, 1.0])
}

fn job(spec: &Value) -> Vec<u8> {
    json!({"type": "fit", "model": "m", "dataset": {"name": "d"}, "spec": spec}).to_string().into_bytes()
}

fn parse(text: &[u8]) -> Result<JobRequest, Fault> {
    parse_job(text, &LIMITS)
}

fn resolve(spec: &Value, meta: &Meta) -> Result<ResolvedFit, Fault> {
    parse(&job(spec))?.fit().unwrap().resolve(meta, None).map(|(fit, _)| fit)
}

/// The entries of a fault as `pointer code`.
fn places(fault: &Fault) -> Vec<String> {
    fault.places.iter().map(|place| format!("{} {}", place.pointer.as_deref().unwrap_or("-"), place.code)).collect()
}

#[test]
fn the_smallest_fit_gets_the_published_defaults() {
    let fit = resolve(&json!({}), &regression()).unwrap();
    let expected = json!({
        "kind": "linear", "loss": {"type": "squared"}, "penalty": {"type": "l1", "l1_ratio": 1.0},
        "lambda": {"mode": "path", "n": 100, "min_ratio": 0.01},
        "selection": {"method": "cv", "folds": 5, "stratify": false, "seed": 0, "metric": "deviance", "rule": "min"},
        "intercept": true, "standardize": "scale", "weights": false,
        "solver": {"type": "auto", "tol": 1e-6, "tol_kind": "relative_gap", "max_epochs": 10000},
        "limits": {"max_runtime_s": null, "max_memory_mb": null, "start_deadline_s": null, "on_limit": "fail"},
    });
    assert_eq!(serde_json::to_value(&fit).unwrap(), expected);
    let fit = resolve(&json!({}), &binary()).unwrap();
    assert_eq!(fit.loss, Loss::Logistic { positive_class: Class::Number(1.0) });
    assert!(matches!(fit.selection, Selection::Cv(CrossValidation { stratify: true, .. })));
    let counts = resolve(&json!({}), &meta(TargetKind::Count, &[])).unwrap();
    assert_eq!(counts.loss, Loss::Poisson);
    assert!(matches!(counts.selection, Selection::Cv(CrossValidation { stratify: false, .. })));
    let tall = Meta { shape: [200, 200], ..regression() };
    assert_eq!(resolve(&json!({}), &tall).unwrap().lambda, Lambda::Path { n: 100, min_ratio: 1e-4 });
    for lambda in [json!({"mode": "value", "value": 0.1}), json!({"mode": "target_nonzeros", "k": 5})] {
        assert_eq!(resolve(&json!({"lambda": lambda}), &regression()).unwrap().selection, Selection::None);
    }
}

#[test]
fn a_resolved_fit_survives_json_and_can_be_posted_again() {
    let weighted = Meta { weighted: true, ..binary() };
    for spec in [
        json!({}),
        json!({"penalty": {"type": "l2"}, "weights": null}),
        json!({"penalty": {"type": "elastic_net", "l1_ratio": 0.3, "factors": {"0": 0, "199": 2.5}}, "lambda": {"mode": "value", "value": 0.1}}),
        json!({"lambda": {"mode": "path", "values": [0.1, 3, 2e-3]}, "selection": {"method": "none"}, "standardize": "none"}),
        json!({"lambda": {"mode": "target_nonzeros", "k": 3}, "loss": {"type": "logistic", "positive_class": -1}, "intercept": false}),
        json!({"selection": {"method": "cv", "folds": 7, "seed": 9007199254740991u64, "rule": "1se", "stratify": false},
               "solver": {"tol": 1e-9, "max_epochs": 5}, "limits": {"max_runtime_s": 1.5}}),
        json!({"selection": {"method": "aic"}}),
        json!({"selection": {"method": "stability"}}),
        json!({"selection": {"method": "stability", "resamples": 20, "seed": 3, "threshold": 0.9, "expected_false": 2.5, "stratify": false}}),
        json!({"selection": {"method": "ebic"}, "penalty": {"type": "elastic_net", "l1_ratio": [1, 0.5, 0.5]}}),
        json!({"selection": {"method": "holdout", "rule": "sparsest_within_pct", "within_pct": 5}}),
        json!({"selection": {"method": "cv", "repeats": 3, "groups": (0..100).map(|row| format!("g{}", row / 10)).collect::<Vec<_>>()}}),
        json!({"selection": {"method": "cv", "fold_of_row": (0..100).map(|row| row % 4 - 1).collect::<Vec<_>>()}, "compare_ridge": true}),
        json!({"selection": {"method": "cv", "fold_of_row": (0..100).map(|row| -(row % 2)).collect::<Vec<_>>()}}),
        json!({"penalty": {"type": "l1", "adaptive": {}}, "refit": {"relaxed_gamma": [0, 0.5, 1, -0.0]}}),
        json!({"penalty": {"type": "l1", "adaptive": {"gamma": 2, "pilot": "l1"}}, "refit": {"relaxed_gamma": 0.25},
               "lambda": {"mode": "value", "value": 0.1}}),
    ] {
        for meta in [&weighted, &binary()] {
            let fit = resolve(&spec, meta).unwrap();
            let value = serde_json::to_value(&fit).unwrap();
            assert_eq!(serde_json::from_value::<ResolvedFit>(value.clone()).unwrap(), fit, "{spec}");
            assert_eq!(resolve(&value, meta).unwrap(), fit, "{spec}");
        }
    }
}

#[test]
fn given_lambdas_run_falling_whatever_their_order() {
    let fit = resolve(&json!({"lambda": {"mode": "path", "values": [0.1, 3, 0.5]}}), &regression()).unwrap();
    assert_eq!(fit.lambda, Lambda::Values { values: vec![3.0, 0.5, 0.1] });
}

#[test]
fn stored_weights_are_used_unless_told_otherwise() {
    let weighted = Meta { weighted: true, ..regression() };
    for (spec, meta, used) in [
        (json!({}), &weighted, true),
        (json!({"weights": null}), &weighted, false),
        (json!({"weights": false}), &weighted, false),
        (json!({"weights": true}), &weighted, true),
        (json!({}), &regression(), false),
    ] {
        assert_eq!(resolve(&spec, meta).unwrap().weights, used);
    }
}

#[test]
fn limits_may_stand_beside_the_spec_and_the_request_is_kept_as_sent() {
    let body = br#"{"type":"fit","model":"m.1","dataset":{"name":"d","version":3},"spec":{"intercept":false},"priority":"high",
        "limits":{"max_runtime_s":60},"metadata":{"team":"growth"}}"#;
    let request = parse(body).unwrap();
    assert_eq!((request.model.as_deref().unwrap(), request.dataset.as_str(), request.version), ("m.1", "d", Some(3)));
    assert_eq!((&request.spec, request.priority), (&json!({"intercept": false}), Priority::High));
    assert_eq!(request.metadata, json!({"team": "growth"}));
    assert_eq!(request.fit().unwrap().resolve(&regression(), None).unwrap().0.limits.max_runtime_s, Some(60.0));
}

#[test]
fn every_wrong_specification_is_told_with_code_and_place() {
    for (spec, expected) in [
        (r#"{"lambda":{"mode":"value","value":-1}}"#, "#/spec/lambda/value out_of_range"),
        (r#"{"lambda":{"mode":"value","value":0}}"#, "#/spec/lambda/value out_of_range"),
        (r#"{"lambda":{"mode":"value","value":1e400}}"#, "#/spec/lambda/value out_of_range"),
        (r#"{"lambda":{"mode":"value","value":"1"}}"#, "#/spec/lambda/value invalid_field"),
        (r#"{"lambda":{"mode":"value","value":null}}"#, "#/spec/lambda/value invalid_field"),
        (r#"{"lambda":{"mode":"value"}}"#, "#/spec/lambda/value missing"),
        (r#"{"lambda":{"mode":"value","value":1,"k":3}}"#, "#/spec/lambda/k conflict"),
        (r#"{"lambda":{"mode":"path","n":1000000}}"#, "#/spec/lambda/n out_of_range"),
        (r#"{"lambda":{"mode":"path","n":0}}"#, "#/spec/lambda/n out_of_range"),
        (r#"{"lambda":{"mode":"path","n":1.5}}"#, "#/spec/lambda/n invalid_field"),
        (r#"{"lambda":{"mode":"path","min_ratio":1}}"#, "#/spec/lambda/min_ratio out_of_range"),
        (r#"{"lambda":{"mode":"path","values":[]}}"#, "#/spec/lambda/values out_of_range"),
        (r#"{"lambda":{"mode":"path","values":[1,0]}}"#, "#/spec/lambda/values/1 out_of_range"),
        (r#"{"lambda":{"mode":"path","values":[1,1.0]}}"#, "#/spec/lambda/values conflict"),
        (r#"{"lambda":{"mode":"path","values":[1],"n":3}}"#, "#/spec/lambda/n conflict"),
        (r#"{"lambda":{"mode":"target_nonzeros","k":0}}"#, "#/spec/lambda/k out_of_range"),
        (r#"{"lambda":{"mode":"target_nonzeros"}}"#, "#/spec/lambda/k missing"),
        (r#"{"lambda":{"mode":"target_nonzeros","k":1},"penalty":{"type":"l2"}}"#, "#/spec/lambda conflict"),
        (r#"{"lambda":{"mode":"auto"}}"#, "#/spec/lambda/mode unknown_value"),
        (r#"{"lambda":{}}"#, "#/spec/lambda/mode missing"),
        (r#"{"lambda":0.1}"#, "#/spec/lambda invalid_field"),
        (r#"{"penalty":{"type":"elastic_net","l1_ratio":1.5}}"#, "#/spec/penalty/l1_ratio out_of_range"),
        (r#"{"penalty":{"type":"elastic_net"}}"#, "#/spec/penalty/l1_ratio missing"),
        (r#"{"penalty":{"type":"l1","l1_ratio":0.5}}"#, "#/spec/penalty/l1_ratio conflict"),
        (r#"{"penalty":{"type":"slope"}}"#, "#/spec/penalty/type unknown_value"),
        (r#"{"penalty":{"l1_ratio":0.5}}"#, "#/spec/penalty/type missing"),
        (r#"{"penalty":{"type":"l1","factors":{"3":-1}}}"#, "#/spec/penalty/factors/3 out_of_range"),
        (r#"{"penalty":{"type":"l1","factors":{"3":"1"}}}"#, "#/spec/penalty/factors/3 invalid_field"),
        (r#"{"penalty":{"type":"l1","factors":[1]}}"#, "#/spec/penalty/factors invalid_field"),
        (r#"{"penalty":{"type":"l1","slope":null}}"#, "#/spec/penalty/slope unknown_field"),
        (r#"{"loss":{"type":"gamma"}}"#, "#/spec/loss/type unknown_value"),
        (r#"{"loss":{"type":"huber","delta":0}}"#, "#/spec/loss/delta out_of_range"),
        (r#"{"loss":{"type":"huber","delta":-1}}"#, "#/spec/loss/delta out_of_range"),
        (r#"{"loss":{"type":"huber","delta":"1"}}"#, "#/spec/loss/delta invalid_field"),
        (r#"{"loss":{"type":"huber","positive_class":1}}"#, "#/spec/loss/positive_class conflict"),
        (r#"{"loss":{"type":"squared_hinge","delta":1}}"#, "#/spec/loss/delta conflict"),
        (r#"{"selection":{"method":"cv","stratify":true},"loss":{"type":"huber"}}"#, "#/spec/selection/stratify conflict"),
        (r#"{"loss":{"type":"squared","positive_class":1}}"#, "#/spec/loss/positive_class conflict"),
        (r#"{"loss":{"type":"poisson","positive_class":1}}"#, "#/spec/loss/positive_class conflict"),
        (r#"{"loss":{"type":"logistic","positive_class":[1]}}"#, "#/spec/loss/positive_class invalid_field"),
        (r#"{"loss":"logistic"}"#, "#/spec/loss invalid_field"),
        (r#"{"selection":{"method":"cp"}}"#, "#/spec/selection/method unknown_value"),
        (r#"{"selection":{"method":"cv","folds":1}}"#, "#/spec/selection/folds out_of_range"),
        (r#"{"selection":{"method":"cv","folds":1001}}"#, "#/spec/selection/folds out_of_range"),
        (r#"{"selection":{"method":"cv","seed":-1}}"#, "#/spec/selection/seed out_of_range"),
        (r#"{"selection":{"method":"cv","seed":9007199254740992}}"#, "#/spec/selection/seed out_of_range"),
        (r#"{"selection":{"method":"cv","seed":1e30}}"#, "#/spec/selection/seed out_of_range"),
        (r#"{"selection":{"method":"cv","rule":"2se"}}"#, "#/spec/selection/rule unknown_value"),
        (r#"{"selection":{"method":"cv","metric":"auc"}}"#, "#/spec/selection/metric unknown_value"),
        (r#"{"selection":{"method":"none","folds":3}}"#, "#/spec/selection/folds conflict"),
        (r#"{"selection":{"method":"cv"},"lambda":{"mode":"value","value":1}}"#, "#/spec/selection conflict"),
        (r#"{"selection":{"method":"cv","stratify":true},"loss":{"type":"squared"}}"#, "#/spec/selection/stratify conflict"),
        (r#"{"selection":{"method":"cv","stratify":true},"loss":{"type":"poisson"}}"#, "#/spec/selection/stratify conflict"),
        (r#"{"loss":{"type":"multinomial","positive_class":1}}"#, "#/spec/loss/positive_class conflict"),
        (r#"{"solver":{"tol":0}}"#, "#/spec/solver/tol out_of_range"),
        (r#"{"solver":{"tol":-1}}"#, "#/spec/solver/tol out_of_range"),
        (r#"{"solver":{"tol":1}}"#, "#/spec/solver/tol out_of_range"),
        (r#"{"solver":{"max_epochs":0}}"#, "#/spec/solver/max_epochs out_of_range"),
        (r#"{"solver":{"max_epochs":1000000000000}}"#, "#/spec/solver/max_epochs out_of_range"),
        (r#"{"solver":{"type":"magic"}}"#, "#/spec/solver/type unknown_value"),
        (r#"{"solver":{"max_iter":3}}"#, "#/spec/solver/max_iter unknown_field"),
        (r#"{"limits":{"max_runtime_s":0}}"#, "#/spec/limits/max_runtime_s out_of_range"),
        (r#"{"limits":{"on_limit":"keep_worst"}}"#, "#/spec/limits/on_limit unknown_value"),
        (r#"{"max_itre":3}"#, "#/spec/max_itre unknown_field"),
        (r#"{"alpha":3}"#, "#/spec/alpha unknown_field"),
        (r#"{"cold_start":"m"}"#, "#/spec/cold_start unknown_field"),
        (r#"{"refit":{}}"#, "#/spec/refit/relaxed_gamma missing"),
        (r#"{"refit":{"relaxed_gamma":[]}}"#, "#/spec/refit/relaxed_gamma out_of_range"),
        (r#"{"refit":{"relaxed_gamma":1.5}}"#, "#/spec/refit/relaxed_gamma out_of_range"),
        (r#"{"refit":{"relaxed_gamma":[0,"1"]}}"#, "#/spec/refit/relaxed_gamma/1 invalid_field"),
        (r#"{"refit":{"relaxed_gamma":[0,1],"lambda":1}}"#, "#/spec/refit/lambda unknown_field"),
        (r#"{"refit":{"relaxed_gamma":[0,1]},"selection":{"method":"none"}}"#, "#/spec/refit/relaxed_gamma conflict"),
        (r#"{"refit":{"relaxed_gamma":[0,1]},"selection":{"method":"bic"}}"#, "#/spec/refit/relaxed_gamma conflict"),
        (r#"{"refit":{"relaxed_gamma":0},"selection":{"method":"bic"}}"#, "#/spec/refit/relaxed_gamma conflict"),
        (r#"{"refit":{"relaxed_gamma":[0,1]},"lambda":{"mode":"value","value":1}}"#, "#/spec/refit/relaxed_gamma conflict"),
        (r#"{"refit":{"relaxed_gamma":0},"penalty":{"type":"l2"}}"#, "#/spec/refit conflict"),
        (r#"{"compare_ridge":1}"#, "#/spec/compare_ridge invalid_field"),
        (r#"{"compare_ridge":true,"penalty":{"type":"l2"}}"#, "#/spec/compare_ridge conflict"),
        (r#"{"compare_ridge":true,"selection":{"method":"aic"}}"#, "#/spec/compare_ridge conflict"),
        (r#"{"compare_ridge":true,"selection":{"method":"none"}}"#, "#/spec/compare_ridge conflict"),
        (r#"{"compare_ridge":true,"lambda":{"mode":"value","value":1}}"#, "#/spec/compare_ridge conflict"),
        (r#"{"penalty":{"type":"elastic_net","l1_ratio":[]}}"#, "#/spec/penalty/l1_ratio out_of_range"),
        (r#"{"penalty":{"type":"elastic_net","l1_ratio":[0.5,2]}}"#, "#/spec/penalty/l1_ratio/1 out_of_range"),
        (r#"{"penalty":{"type":"elastic_net","l1_ratio":[0.5,null]}}"#, "#/spec/penalty/l1_ratio/1 invalid_field"),
        (r#"{"penalty":{"type":"l1","l1_ratio":[0.5,1]}}"#, "#/spec/penalty/l1_ratio conflict"),
        (r#"{"penalty":{"type":"elastic_net","l1_ratio":[0.5,1]},"selection":{"method":"none"}}"#, "#/spec/penalty/l1_ratio conflict"),
        (
            r#"{"penalty":{"type":"elastic_net","l1_ratio":[0.5,1]},"lambda":{"mode":"target_nonzeros","k":2}}"#,
            "#/spec/penalty/l1_ratio conflict",
        ),
        (r#"{"penalty":{"type":"l2"},"selection":{"method":"bic"}}"#, "#/spec/selection/method conflict"),
        (r#"{"penalty":{"type":"elastic_net","l1_ratio":[0,1]},"selection":{"method":"aic"}}"#, "#/spec/selection/method conflict"),
        (r#"{"penalty":{"type":"l1","adaptive":{"gamma":0}}}"#, "#/spec/penalty/adaptive/gamma out_of_range"),
        (r#"{"penalty":{"type":"l1","adaptive":{"gamma":11}}}"#, "#/spec/penalty/adaptive/gamma out_of_range"),
        (r#"{"penalty":{"type":"l1","adaptive":{"pilot":"ols"}}}"#, "#/spec/penalty/adaptive/pilot unknown_value"),
        (r#"{"penalty":{"type":"l1","adaptive":true}}"#, "#/spec/penalty/adaptive invalid_field"),
        (r#"{"penalty":{"type":"l2","adaptive":{}}}"#, "#/spec/penalty/adaptive conflict"),
        (r#"{"selection":{"method":"aic","rule":"min"}}"#, "#/spec/selection/rule conflict"),
        (r#"{"selection":{"method":"bic","folds":3}}"#, "#/spec/selection/folds conflict"),
        (r#"{"selection":{"method":"bic","ebic_gamma":1}}"#, "#/spec/selection/ebic_gamma conflict"),
        (r#"{"selection":{"method":"ebic","ebic_gamma":-1}}"#, "#/spec/selection/ebic_gamma out_of_range"),
        (r#"{"selection":{"method":"aic"},"lambda":{"mode":"value","value":1}}"#, "#/spec/selection conflict"),
        (r#"{"selection":{"method":"holdout","fraction":1}}"#, "#/spec/selection/fraction out_of_range"),
        (r#"{"selection":{"method":"holdout","fraction":0}}"#, "#/spec/selection/fraction out_of_range"),
        (r#"{"selection":{"method":"holdout","folds":2}}"#, "#/spec/selection/folds conflict"),
        (r#"{"selection":{"method":"holdout","repeats":2}}"#, "#/spec/selection/repeats conflict"),
        (r#"{"selection":{"method":"holdout","rule":"1se"}}"#, "#/spec/selection/rule conflict"),
        (r#"{"selection":{"method":"cv","fraction":0.5}}"#, "#/spec/selection/fraction conflict"),
        (r#"{"selection":{"method":"cv","repeats":0}}"#, "#/spec/selection/repeats out_of_range"),
        (r#"{"selection":{"method":"cv","repeats":201}}"#, "#/spec/selection/repeats out_of_range"),
        (r#"{"selection":{"method":"cv","rule":"sparsest_within_pct"}}"#, "#/spec/selection/within_pct missing"),
        (r#"{"selection":{"method":"cv","within_pct":5}}"#, "#/spec/selection/within_pct conflict"),
        (r#"{"selection":{"method":"cv","rule":"sparsest_within_pct","within_pct":0}}"#, "#/spec/selection/within_pct out_of_range"),
        (r#"{"selection":{"method":"cv","groups":{}}}"#, "#/spec/selection/groups invalid_field"),
        (r#"{"selection":{"method":"cv","groups":[1,null]}}"#, "#/spec/selection/groups/1 invalid_field"),
        (r#"{"selection":{"method":"cv","groups":[1,0.5]}}"#, "#/spec/selection/groups/1 invalid_field"),
        (r#"{"selection":{"method":"cv","groups":[1,2],"stratify":true}}"#, "#/spec/selection/stratify conflict"),
        (r#"{"selection":{"method":"cv","fold_of_row":[0,1],"groups":[0,1]}}"#, "#/spec/selection/groups conflict"),
        (r#"{"selection":{"method":"cv","fold_of_row":[0,1],"repeats":2}}"#, "#/spec/selection/repeats conflict"),
        (r#"{"selection":{"method":"cv","fold_of_row":[0,1],"seed":2}}"#, "#/spec/selection/seed conflict"),
        (r#"{"selection":{"method":"cv","fold_of_row":[0,1],"stratify":true}}"#, "#/spec/selection/stratify conflict"),
        (r#"{"selection":{"method":"cv","fold_of_row":[0,-2]}}"#, "#/spec/selection/fold_of_row/1 out_of_range"),
        (r#"{"selection":{"method":"cv","fold_of_row":[0,1000]}}"#, "#/spec/selection/fold_of_row/1 out_of_range"),
        (r#"{"selection":{"method":"cv","fold_of_row":[0,1e300]}}"#, "#/spec/selection/fold_of_row/1 invalid_field"),
        (r#"{"selection":{"method":"cv","fold_of_row":[0,"a"]}}"#, "#/spec/selection/fold_of_row/1 invalid_field"),
        (r#"{"constraints":{}}"#, "#/spec/constraints unknown_field"),
        (r#"{"offset":null}"#, "#/spec/offset unknown_field"),
        (r#"{"kind":"forest"}"#, "#/spec/kind unknown_value"),
        (r#"{"intercept":1}"#, "#/spec/intercept invalid_field"),
        (r#"{"standardize":"center_scale"}"#, "#/spec/standardize unknown_value"),
        (r#"{"weights":"w"}"#, "#/spec/weights invalid_field"),
        (r#"{"a/b~c é":1}"#, "#/spec/a~1b~0c%20%C3%A9 unknown_field"),
        ("[]", "#/spec invalid_field"),
    ] {
        let body = format!(r#"{{"type":"fit","model":"m","dataset":{{"name":"d"}},"spec":{spec}}}"#);
        let fault = parse(body.as_bytes()).expect_err(spec);
        assert_eq!(places(&fault), [expected], "{spec}");
        let code = if expected.ends_with("unknown_field") { Code::UnknownField } else { Code::InvalidParameter };
        assert_eq!(fault.code, code, "{spec}");
        assert!(fault.detail.len() < 200);
    }
}

#[test]
fn every_wrong_request_is_told_with_code_and_place() {
    let long = "x".repeat(64);
    let with = |key: &str, value: Value| {
        let mut job = json!({"type": "fit", "model": "m", "dataset": {"name": "d"}, "spec": {}});
        job[key] = value;
        job.to_string()
    };
    for (body, code, expected) in [
        (with("type", json!("transmute")), Code::InvalidParameter, "#/type unknown_value"),
        (with("model", json!("../x")), Code::InvalidField, "#/model invalid_field"),
        (with("model", json!("")), Code::InvalidField, "#/model invalid_field"),
        (with("model", json!(long)), Code::InvalidField, "#/model invalid_field"),
        (with("model", json!(3)), Code::InvalidField, "#/model invalid_field"),
        (with("dataset", json!({"name": "A"})), Code::InvalidField, "#/dataset/name invalid_field"),
        (with("dataset", json!({})), Code::InvalidParameter, "#/dataset/name missing"),
        (with("dataset", json!({"name": "d", "version": 0})), Code::InvalidParameter, "#/dataset/version out_of_range"),
        (with("dataset", json!({"name": "d", "id": "x"})), Code::UnknownField, "#/dataset/id unknown_field"),
        (with("priority", json!("urgent")), Code::InvalidParameter, "#/priority unknown_value"),
        (with("metadata", json!({"a": 1})), Code::InvalidField, "#/metadata/a invalid_field"),
        (with("metadata", json!({"a": "b\nc"})), Code::InvalidField, "#/metadata/a invalid_field"),
        (with("metadata", json!({"a\n": "b"})), Code::InvalidField, "#/metadata/a%0A invalid_field"),
        (with("metadata", json!({"a": "é".repeat(129)})), Code::InvalidField, "#/metadata/a invalid_field"),
        (with("metadata", json!([])), Code::InvalidField, "#/metadata invalid_field"),
        (with("webhook", json!(1)), Code::InvalidField, "#/webhook invalid_field"),
        (with("dedupe", json!(true)), Code::UnknownField, "#/dedupe unknown_field"),
        (with("limits", json!({"max_runtime_s": -1})), Code::InvalidParameter, "#/limits/max_runtime_s out_of_range"),
        (r#"{"type":"fit","model":"m","spec":{}}"#.into(), Code::InvalidParameter, "#/dataset missing"),
        (r#"{"type":"fit","model":"m","dataset":{"name":"d"}}"#.into(), Code::InvalidParameter, "#/spec missing"),
        (
            r#"{"type":"fit","model":"m","dataset":{"name":"d"},"spec":{"solver":{"tol":1,"tol":2}}}"#.into(),
            Code::DuplicateField,
            "#/spec/solver/tol duplicate_field",
        ),
        ("[1]".into(), Code::InvalidField, "# invalid_field"),
        ("{".into(), Code::MalformedJson, "- malformed_json"),
        (
            r#"{"type":"fit","model":"m","dataset":{"name":"d"},"spec":{"solver":{"tol":NaN}}}"#.into(),
            Code::MalformedJson,
            "- malformed_json",
        ),
        (format!(r#"{{"x":[{}0]}}"#, "0,".repeat(1 << 20)), Code::LimitExceeded, "#/x/1048574 limit_exceeded"),
    ] {
        let fault = parse(body.as_bytes()).expect_err(&body);
        assert_eq!((fault.code, places(&fault)), (code, vec![expected.to_owned()]));
    }
    let both = r#"{"type":"fit","model":"m","dataset":{"name":"d"},"spec":{"limits":{}},"limits":{}}"#;
    assert_eq!(places(&parse(both.as_bytes()).unwrap_err()), ["#/limits conflict"]);
}

#[test]
fn all_problems_are_told_at_once_and_counted() {
    let fault = parse(&job(&json!({"penalty": {"type": "elastic_net", "l1_ratio": 1.5}, "solver": {"tol": 0}}))).unwrap_err();
    assert_eq!((fault.detail.as_str(), fault.places.len()), ("2 problems in spec.", 2));
    let fault = parse(br#"{"tenant_id":1,"state":"succeeded","attempt":99,"type":"fit","model":"m","dataset":{"name":"d"},"spec":{}}"#)
        .unwrap_err();
    assert_eq!((fault.code, fault.detail.as_str()), (Code::UnknownField, "3 problems in the job."));
    let many: serde_json::Map<String, Value> = (0..50).map(|i| (format!("x{i}"), json!(1))).collect();
    let fault = parse(&job(&Value::Object(many))).unwrap_err();
    assert_eq!((fault.detail.as_str(), fault.places.len()), ("50 problems in spec.", Fault::PLACES_MAX));
}

#[test]
fn what_the_data_cannot_serve_is_refused_with_its_place() {
    let (count, many) = (meta(TargetKind::Count, &[]), meta(TargetKind::Multiclass, &[1.0, 2.0, 3.0]));
    let few = Meta { shape: [3, 200], ..regression() };
    let single = Meta { shape: [1, 200], ..regression() };
    let of_rows = |key: &str, rows: &[i64]| json!({"selection": {"method": "cv", key: rows}});
    let alternating = |a: i64, b: i64| -> Vec<i64> { (0..100).map(|row| if row % 2 == 0 { a } else { b }).collect() };
    let mut rare = binary();
    rare.target.counts = Some(vec![99, 1]);
    let mut lonely = many.clone();
    lonely.target.counts = Some(vec![60, 39, 1]);
    for (spec, meta, code, expected) in [
        (json!({"loss": {"type": "logistic"}}), &count, Code::InvalidTarget, "#/spec/loss invalid_target"),
        (json!({"loss": {"type": "logistic"}}), &many, Code::InvalidTarget, "#/spec/loss invalid_target"),
        (json!({"loss": {"type": "logistic"}}), &regression(), Code::InvalidTarget, "#/spec/loss invalid_target"),
        (json!({"loss": {"type": "squared"}}), &binary(), Code::InvalidTarget, "#/spec/loss invalid_target"),
        (json!({"loss": {"type": "multinomial"}}), &regression(), Code::InvalidTarget, "#/spec/loss invalid_target"),
        (json!({"loss": {"type": "multinomial"}}), &count, Code::InvalidTarget, "#/spec/loss invalid_target"),
        (json!({}), &lonely, Code::InvalidParameter, "#/spec/selection conflict"),
        (json!({"loss": {"type": "poisson"}}), &binary(), Code::InvalidTarget, "#/spec/loss invalid_target"),
        (json!({"loss": {"type": "huber"}}), &binary(), Code::InvalidTarget, "#/spec/loss invalid_target"),
        (json!({"loss": {"type": "squared_hinge"}}), &regression(), Code::InvalidTarget, "#/spec/loss invalid_target"),
        (
            json!({"loss": {"type": "logistic", "positive_class": 4}}),
            &many,
            Code::InvalidTarget,
            "#/spec/loss/positive_class invalid_target",
        ),
        (
            json!({"loss": {"type": "logistic", "positive_class": "1"}}),
            &binary(),
            Code::InvalidTarget,
            "#/spec/loss/positive_class invalid_target",
        ),
        (
            json!({"loss": {"type": "logistic", "positive_class": "a"}}),
            &regression(),
            Code::InvalidTarget,
            "#/spec/loss/positive_class invalid_target",
        ),
        (json!({"selection": {"method": "cv", "folds": 4}}), &few, Code::InvalidParameter, "#/spec/selection/folds out_of_range"),
        (of_rows("fold_of_row", &[0, 1]), &regression(), Code::InvalidParameter, "#/spec/selection/fold_of_row conflict"),
        (of_rows("fold_of_row", &[-1; 100]), &regression(), Code::InvalidParameter, "#/spec/selection/fold_of_row conflict"),
        (of_rows("fold_of_row", &[0; 100]), &regression(), Code::InvalidParameter, "#/spec/selection/fold_of_row conflict"),
        (of_rows("fold_of_row", &alternating(0, 2)), &regression(), Code::InvalidParameter, "#/spec/selection/fold_of_row conflict"),
        (of_rows("groups", &[0, 1]), &regression(), Code::InvalidParameter, "#/spec/selection/groups conflict"),
        (of_rows("groups", &[7; 100]), &regression(), Code::InvalidParameter, "#/spec/selection/groups conflict"),
        (
            json!({"selection": {"method": "cv", "folds": 3, "groups": alternating(4, 9)}}),
            &regression(),
            Code::InvalidParameter,
            "#/spec/selection/folds out_of_range",
        ),
        (
            json!({"selection": {"method": "cv", "folds": 3, "fold_of_row": alternating(0, 1)}}),
            &regression(),
            Code::InvalidParameter,
            "#/spec/selection/folds conflict",
        ),
        (
            json!({"selection": {"method": "cv", "rule": "1se", "fold_of_row": alternating(-1, 0)}}),
            &regression(),
            Code::InvalidParameter,
            "#/spec/selection/rule conflict",
        ),
        (
            json!({"penalty": {"type": "l1", "adaptive": {}}, "selection": {"method": "none"}}),
            &few,
            Code::InvalidParameter,
            "#/spec/penalty/adaptive conflict",
        ),
        (json!({}), &single, Code::InvalidParameter, "#/spec/selection conflict"),
        (json!({}), &rare, Code::InvalidParameter, "#/spec/selection conflict"),
        (json!({"weights": true}), &regression(), Code::InvalidParameter, "#/spec/weights conflict"),
        (
            json!({"selection": {"method": "cv", "stratify": true}}),
            &regression(),
            Code::InvalidParameter,
            "#/spec/selection/stratify conflict",
        ),
        (
            json!({"penalty": {"type": "l1", "factors": {"200": 1}}}),
            &regression(),
            Code::InvalidParameter,
            "#/spec/penalty/factors/200 unknown_value",
        ),
        (
            json!({"penalty": {"type": "l1", "factors": {"007": 1}}}),
            &regression(),
            Code::InvalidParameter,
            "#/spec/penalty/factors/007 unknown_value",
        ),
        (
            json!({"penalty": {"type": "l1", "factors": {"a b": 1}}}),
            &regression(),
            Code::InvalidParameter,
            "#/spec/penalty/factors/a%20b unknown_value",
        ),
    ] {
        let fault = resolve(&spec, meta).expect_err(&spec.to_string());
        assert_eq!((fault.code, places(&fault)), (code, vec![expected.to_owned()]), "{spec}");
    }
    let (_, warnings) = parse(&job(&json!({}))).unwrap().fit().unwrap().resolve(&few, None).unwrap();
    assert_eq!(warnings[0].code, "fewer_folds");
}

#[test]
fn penalty_factors_go_by_name_or_index_but_once_a_feature() {
    let names = crate::model::sample::names(&["age", "0", "b c", "3"]);
    let named = Meta { shape: [100, 4], named: true, ..regression() };
    let asked = |factors: Value| {
        let spec = json!({"penalty": {"type": "l1", "factors": factors}});
        parse(&job(&spec)).unwrap().fit().unwrap().resolve(&named, Some(&names)).map_err(|fault| places(&fault))
    };
    assert!(asked(json!({"age": 0, "b c": 1, "1": 2, "3": 0.5})).is_ok());
    // A name comes before an index: "0" is feature 1.
    assert_eq!([feature_index("0", 4, Some(&names)), feature_index("1", 4, Some(&names))], [Some(1), Some(1)]);
    assert_eq!(asked(json!({"0": 1, "1": 1})).unwrap_err(), ["#/spec/penalty/factors/1 conflict"]);
    assert_eq!(asked(json!({"wage": 1})).unwrap_err(), ["#/spec/penalty/factors/wage unknown_value"]);
    assert_eq!(asked(json!({"age": 0, "0": 0, "2": 0, "3": 0})).unwrap_err(), ["#/spec/penalty/factors conflict"]);
}

#[test]
fn an_estimate_is_a_range_that_grows_with_the_work() {
    let small = estimate(&regression(), &resolve(&json!({}), &regression()).unwrap(), 2);
    let large_meta = Meta { nnz: 100_000_000, stored_bytes: 800_000_000, shape: [1_000_000, 200], ..regression() };
    let large = estimate(&large_meta, &resolve(&json!({}), &large_meta).unwrap(), 2);
    for estimate in [small, large] {
        assert!(0.0 < estimate.memory_mb[0] && estimate.memory_mb[0] <= estimate.memory_mb[1]);
        assert!(0.0 < estimate.runtime_s[0] && estimate.runtime_s[0] <= estimate.runtime_s[1]);
    }
    assert!(large.memory_mb[0] > small.memory_mb[0] && large.runtime_s[1] > small.runtime_s[1]);
    let value = resolve(&json!({"lambda": {"mode": "value", "value": 0.1}}), &large_meta).unwrap();
    assert!(estimate(&large_meta, &value, 2).memory_mb[1] < large.memory_mb[1]);
}
