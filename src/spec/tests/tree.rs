//! Trees as a client asks for them.

use serde_json::json;

use super::*;

fn resolved(spec: &Value, meta: &Meta) -> Result<ResolvedTree, Fault> {
    let body = json!({"type": "fit", "model": "m", "dataset": {"name": "d"}, "spec": spec});
    match parse(body.to_string().as_bytes())?.work {
        Asked::Tree(tree) => tree.resolve(meta).map(|(tree, _)| tree),
        other => panic!("{other:?}"),
    }
}

#[test]
fn defaults_are_filled_from_the_target_and_can_be_posted_again() {
    let tree = resolved(&json!({"kind": "tree"}), &regression()).unwrap();
    assert_eq!((tree.criterion, &tree.size, tree.weights), (Criterion::Squared, &TreeSize::default(), false));
    assert_eq!(tree.pruning, Pruning::Cv(TreeFolds { folds: 5, stratify: false, seed: 0, rule: Rule::Min }));
    let asked = json!({"kind": "tree", "criterion": "squared", "max_depth": 3, "max_leaves": 7, "min_leaf_weight": 2.5, "min_impurity_decrease": 0.1,
        "pruning": {"mode": "ccp_alpha", "ccp_alpha": 0.01}, "weights": null, "limits": {"max_runtime_s": 5}});
    let tree = resolved(&asked, &regression()).unwrap();
    assert_eq!((tree.size.max_depth, tree.size.max_leaves, &tree.pruning), (Some(3), Some(7), &Pruning::CcpAlpha { ccp_alpha: 0.01 }));
    let value = serde_json::to_value(&tree).unwrap();
    assert_eq!(Work::read(JobKind::Fit, &value).unwrap(), Work::Tree(Box::new(tree.clone())));
    assert_eq!(serde_json::from_value::<ResolvedTree>(value.clone()).unwrap(), tree);
}

#[test]
fn every_wrong_word_is_told_with_code_and_place() {
    for (spec, expected) in [
        (r#"{"kind":"tree","criterion":"auc"}"#, "#/spec/criterion unknown_value"),
        (r#"{"kind":"tree","criterion":3}"#, "#/spec/criterion invalid_field"),
        (r#"{"kind":"tree","max_depth":-1}"#, "#/spec/max_depth out_of_range"),
        (r#"{"kind":"tree","max_depth":0}"#, "#/spec/max_depth out_of_range"),
        (r#"{"kind":"tree","max_depth":4294967296}"#, "#/spec/max_depth out_of_range"),
        (r#"{"kind":"tree","max_depth":"deep"}"#, "#/spec/max_depth invalid_field"),
        (r#"{"kind":"tree","max_leaves":0}"#, "#/spec/max_leaves out_of_range"),
        (r#"{"kind":"tree","min_leaf_weight":null}"#, "#/spec/min_leaf_weight invalid_field"),
        (r#"{"kind":"tree","min_leaf_weight":1e400}"#, "#/spec/min_leaf_weight out_of_range"),
        (r#"{"kind":"tree","min_impurity_decrease":-1e-9}"#, "#/spec/min_impurity_decrease out_of_range"),
        (r#"{"kind":"tree","weights":1}"#, "#/spec/weights invalid_field"),
        (r#"{"kind":"tree","limits":{"max_runtime_s":0}}"#, "#/spec/limits/max_runtime_s out_of_range"),
        (r#"{"kind":"tree","selection":{"method":"cv"}}"#, "#/spec/selection unknown_field"),
        (r#"{"kind":"tree","pruning":null}"#, "#/spec/pruning invalid_field"),
        (r#"{"kind":"tree","pruning":{"mode":"reduced_error"}}"#, "#/spec/pruning/mode unknown_value"),
        (r#"{"kind":"tree","pruning":{"mode":"ccp_alpha","ccp_alpha":-1}}"#, "#/spec/pruning/ccp_alpha out_of_range"),
        (r#"{"kind":"tree","pruning":{"mode":"ccp_alpha","ccp_alpha":1,"target_leaves":2}}"#, "#/spec/pruning/target_leaves conflict"),
        (r#"{"kind":"tree","pruning":{"mode":"target_leaves"}}"#, "#/spec/pruning/target_leaves missing"),
        (r#"{"kind":"tree","pruning":{"mode":"target_leaves","target_leaves":2.5}}"#, "#/spec/pruning/target_leaves invalid_field"),
        (r#"{"kind":"tree","pruning":{"mode":"cv","folds":1}}"#, "#/spec/pruning/folds out_of_range"),
        (r#"{"kind":"tree","pruning":{"mode":"cv","seed":-1}}"#, "#/spec/pruning/seed out_of_range"),
        (r#"{"kind":"tree","pruning":{"mode":"cv","alpha":1}}"#, "#/spec/pruning/alpha unknown_field"),
        (r#"{"kind":"tree","max_leaves":1.5}"#, "#/spec/max_leaves invalid_field"),
        (r#"{"kind":"tree","min_leaf_weight":-1}"#, "#/spec/min_leaf_weight out_of_range"),
        (r#"{"kind":"tree","loss":{"type":"squared"}}"#, "#/spec/loss unknown_field"),
        (r#"{"kind":"tree","pruning":{}}"#, "#/spec/pruning/mode missing"),
        (r#"{"kind":"tree","pruning":{"mode":"ccp_alpha"}}"#, "#/spec/pruning/ccp_alpha missing"),
        (r#"{"kind":"tree","pruning":{"mode":"target_leaves","target_leaves":0}}"#, "#/spec/pruning/target_leaves out_of_range"),
        (r#"{"kind":"tree","pruning":{"mode":"none","folds":3}}"#, "#/spec/pruning/folds conflict"),
        (r#"{"kind":"tree","pruning":{"mode":"cv","rule":"sparsest_within_pct"}}"#, "#/spec/pruning/rule unknown_value"),
    ] {
        let body = format!(r#"{{"type":"fit","model":"m","dataset":{{"name":"d"}},"spec":{spec}}}"#);
        let fault = parse(body.as_bytes()).unwrap_err();
        let place = &fault.places[0];
        assert_eq!(format!("{} {}", place.pointer.clone().unwrap_or_default(), place.code), expected, "{spec}");
    }
}

#[test]
fn what_the_data_do_not_allow_is_told_with_code_and_place() {
    let told = |spec: Value, meta: &Meta| {
        let fault = resolved(&spec, meta).unwrap_err();
        (fault.code, places(&fault).join(", "))
    };
    let one_row = Meta { shape: [1, 200], ..regression() };
    let one_class = meta(TargetKind::Multiclass, &[3.0]);
    let conflict = |pointer: &str| (Code::InvalidParameter, format!("{pointer} conflict"));
    assert_eq!(told(json!({"kind": "tree"}), &one_row), conflict("#/spec/pruning"));
    assert!(resolved(&json!({"kind": "tree", "pruning": {"mode": "none"}}), &one_row).is_ok());
    let many = json!({"kind": "tree", "pruning": {"mode": "cv", "folds": 101}});
    assert_eq!(told(many, &regression()), (Code::InvalidParameter, "#/spec/pruning/folds out_of_range".into()));
    let strata = json!({"kind": "tree", "pruning": {"mode": "cv", "stratify": true}, "weights": true});
    let both = (Code::InvalidParameter, "#/spec/pruning/stratify conflict, #/spec/weights conflict".into());
    assert_eq!(told(strata, &regression()), both, "all of it at once");
    for (spec, meta) in [
        (json!({"kind": "tree", "criterion": "gini"}), &regression()),
        (json!({"kind": "tree", "criterion": "entropy"}), &meta(TargetKind::Count, &[])),
        (json!({"kind": "tree", "criterion": "squared"}), &binary()),
        (json!({"kind": "tree"}), &one_class),
    ] {
        let fault = resolved(&spec, meta).unwrap_err();
        assert_eq!((fault.code, fault.places[0].pointer.as_deref()), (Code::InvalidTarget, Some("#/spec/criterion")), "{spec}");
    }
}
