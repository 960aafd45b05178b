//! Rules as a client asks for them.

use serde_json::json;

use super::*;

fn resolved(spec: &Value, meta: &Meta) -> Result<ResolvedRules, Fault> {
    let body = json!({"type": "fit", "model": "m", "dataset": {"name": "d"}, "spec": spec});
    match parse(body.to_string().as_bytes())?.work {
        Asked::Rules(rules) => rules.resolve(meta).map(|(rules, _)| rules),
        other => panic!("{other:?}"),
    }
}

#[test]
fn defaults_are_filled_from_the_target_and_can_be_posted_again() {
    let rules = resolved(&json!({"kind": "rules"}), &regression()).unwrap();
    assert_eq!((&rules.loss, rules.trees.n_trees, rules.trees.mean_leaves, rules.trees.subsample), (&Loss::Squared, 200, 4.0, None));
    assert_eq!((rules.linear, rules.max_rules, &rules.lambda), (true, 2000, &Lambda::Path { n: 100, min_ratio: 1e-3 }));
    assert!(matches!(&rules.selection, Selection::Cv(cv) if cv.folds == 5 && !cv.stratify));
    let asked = json!({"kind": "rules", "n_trees": 30, "mean_leaves": 3.5, "learning_rate": 0.1, "subsample": 0.5, "min_leaf_weight": 2, "max_rules": 50,
        "seed": 9, "linear": false, "loss": {"type": "squared"}, "lambda": {"mode": "target_nonzeros", "k": 7}, "weights": null,
        "solver": {"tol": 1e-8}, "limits": {"max_runtime_s": 5}});
    let rules = resolved(&asked, &regression()).unwrap();
    assert_eq!((rules.trees.subsample, rules.trees.seed, rules.linear), (Some(0.5), 9, false));
    assert_eq!((&rules.lambda, &rules.selection, rules.solver.tol), (&Lambda::TargetNonzeros { k: 7 }, &Selection::None, 1e-8));
    let value = serde_json::to_value(&rules).unwrap();
    assert_eq!(Work::read(JobKind::Fit, &value).unwrap(), Work::Rules(Box::new(rules.clone())));
    assert_eq!(resolved(&value, &regression()).unwrap(), rules, "what is told can be asked");
}

#[test]
fn every_wrong_word_is_told_with_code_and_place() {
    for (spec, expected) in [
        (r#"{"kind":"rules","n_trees":0}"#, "#/spec/n_trees out_of_range"),
        (r#"{"kind":"rules","mean_leaves":1}"#, "#/spec/mean_leaves out_of_range"),
        (r#"{"kind":"rules","learning_rate":0}"#, "#/spec/learning_rate out_of_range"),
        (r#"{"kind":"rules","subsample":"half"}"#, "#/spec/subsample invalid_field"),
        (r#"{"kind":"rules","max_rules":100000}"#, "#/spec/max_rules out_of_range"),
        (r#"{"kind":"rules","linear":1}"#, "#/spec/linear invalid_field"),
        (r#"{"kind":"rules","penalty":{"type":"l1"}}"#, "#/spec/penalty unknown_field"),
        (r#"{"kind":"rules","loss":{"type":"poisson"}}"#, "#/spec/loss/type conflict"),
        (r#"{"kind":"rules","selection":{"method":"bic"}}"#, "#/spec/selection/method conflict"),
        (r#"{"kind":"rules","lambda":{"mode":"value","value":1},"selection":{"method":"cv"}}"#, "#/spec/selection conflict"),
        (r#"{"kind":"rules","lambda":{"mode":"path","n":0}}"#, "#/spec/lambda/n out_of_range"),
    ] {
        let body = format!(r#"{{"type":"fit","model":"m","dataset":{{"name":"d"}},"spec":{spec}}}"#);
        let fault = parse(body.as_bytes()).unwrap_err();
        let place = &fault.places[0];
        assert_eq!(format!("{} {}", place.pointer.clone().unwrap_or_default(), place.code), expected, "{spec}");
    }
}

#[test]
fn classes_are_told_apart_by_two_and_counts_are_numbers() {
    assert_eq!(resolved(&json!({"kind": "rules"}), &binary()).unwrap().loss.name(), "logistic");
    let three = meta(TargetKind::Multiclass, &[1.0, 2.0, 3.0]);
    let fault = resolved(&json!({"kind": "rules"}), &three).unwrap_err();
    assert_eq!((fault.code, fault.places[0].detail.contains("positive_class")), (Code::InvalidTarget, true));
    let asked = json!({"kind": "rules", "loss": {"type": "logistic", "positive_class": 2}});
    assert_eq!(resolved(&asked, &three).unwrap().loss, Loss::Logistic { positive_class: Class::Number(2.0) });
    assert_eq!(resolved(&json!({"kind": "rules"}), &meta(TargetKind::Count, &[])).unwrap().loss, Loss::Squared);
}

#[test]
fn an_estimate_grows_with_what_is_asked() {
    let of = |spec: Value| Work::Rules(Box::new(resolved(&spec, &regression()).unwrap())).estimate(&regression(), 2);
    let (small, large) = (of(json!({"kind": "rules", "n_trees": 10})), of(json!({"kind": "rules", "n_trees": 1000})));
    for end in 0..2 {
        assert!(small.memory_mb[end] > 0.0 && small.memory_mb[end] <= large.memory_mb[end], "{small:?} {large:?}");
        assert!(small.runtime_s[end] > 0.0 && small.runtime_s[end] <= large.runtime_s[end], "{small:?} {large:?}");
    }
}
