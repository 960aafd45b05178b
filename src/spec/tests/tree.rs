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
        (r#"{"kind":"tree","max_depth":-1}"#, "#/spec/max_depth out_of_range"),
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
