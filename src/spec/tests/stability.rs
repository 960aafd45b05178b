//! Stability selection as it is asked for: what has no meaning with it, and rows that leave no halves.

use super::*;

#[test]
fn what_has_no_meaning_with_halves_of_the_rows_is_told_with_its_place() {
    for (spec, expected) in [
        (r#"{"selection":{"method":"cv","resamples":10}}"#, "#/spec/selection/resamples conflict"),
        (r#"{"selection":{"method":"stability","folds":5}}"#, "#/spec/selection/folds conflict"),
        (r#"{"selection":{"method":"stability","rule":"1se"}}"#, "#/spec/selection/rule conflict"),
        (r#"{"selection":{"method":"stability","resamples":7}}"#, "#/spec/selection/resamples out_of_range"),
        (r#"{"selection":{"method":"stability","resamples":0}}"#, "#/spec/selection/resamples out_of_range"),
        (r#"{"selection":{"method":"stability","resamples":1002}}"#, "#/spec/selection/resamples out_of_range"),
        (r#"{"selection":{"method":"stability","threshold":0.5}}"#, "#/spec/selection/threshold out_of_range"),
        (r#"{"selection":{"method":"stability","threshold":1.1}}"#, "#/spec/selection/threshold out_of_range"),
        (r#"{"selection":{"method":"stability","expected_false":0}}"#, "#/spec/selection/expected_false out_of_range"),
        (r#"{"selection":{"method":"stability","stratify":true},"loss":{"type":"huber"}}"#, "#/spec/selection/stratify conflict"),
        (r#"{"selection":{"method":"stability"},"lambda":{"mode":"value","value":1}}"#, "#/spec/selection conflict"),
        (r#"{"selection":{"method":"stability"},"penalty":{"type":"l2"}}"#, "#/spec/selection/method conflict"),
        (r#"{"selection":{"method":"stability"},"penalty":{"type":"group","groups":{"g":["0","1"]}}}"#, "#/spec/selection/method conflict"),
        (r#"{"selection":{"method":"stability"},"penalty":{"type":"l1","adaptive":{}}}"#, "#/spec/selection/method conflict"),
        (r#"{"selection":{"method":"stability"},"penalty":{"type":"elastic_net","l1_ratio":[0.5,1]}}"#, "#/spec/selection/method conflict"),
        (r#"{"selection":{"method":"stability"},"refit":{"relaxed_gamma":[0,1]}}"#, "#/spec/refit/relaxed_gamma conflict"),
        (r#"{"selection":{"method":"stability"},"compare_ridge":true}"#, "#/spec/compare_ridge conflict"),
    ] {
        let spec: Value = serde_json::from_str(spec).unwrap();
        assert_eq!(places(&parse(&job(&spec)).expect_err("refused")), [expected], "{spec}");
    }
}

#[test]
fn halves_need_rows_of_every_class_and_keep_their_shares_unless_told() {
    let asked = json!({"selection": {"method": "stability"}});
    let resolved = |spec: &Value, meta: &Meta| resolve(spec, meta).map(|fit| fit.selection.stability().cloned().unwrap());
    let usual = Stability { resamples: 100, seed: 0, stratify: false, threshold: 0.6, expected_false: 1.0 };
    assert_eq!(resolved(&asked, &regression()).unwrap(), usual);
    assert!(resolved(&asked, &binary()).unwrap().stratify);
    assert!(!resolved(&json!({"selection": {"method": "stability", "stratify": false}}), &binary()).unwrap().stratify);
    let mut rare = binary();
    rare.target.counts = Some(vec![97, 3]);
    let few = Meta { shape: [3, 200], ..regression() };
    for meta in [&rare, &few] {
        assert_eq!(places(&resolved(&asked, meta).unwrap_err()), ["#/spec/selection conflict"]);
    }
    let stratified = json!({"selection": {"method": "stability", "stratify": true}});
    assert_eq!(places(&resolved(&stratified, &regression()).unwrap_err()), ["#/spec/selection/stratify conflict"]);
}

#[test]
fn an_estimate_counts_every_half() {
    let cost = |resamples: u64| {
        let fit = resolve(&json!({"selection": {"method": "stability", "resamples": resamples}}), &regression()).unwrap();
        estimate(&regression(), &fit, 2)
    };
    let (few, many) = (cost(10), cost(1000));
    assert!(many.runtime_s[1] > 20.0 * few.runtime_s[1] && many.memory_mb == few.memory_mb, "{few:?} {many:?}");
    let alone = estimate(&regression(), &resolve(&json!({"selection": {"method": "none"}}), &regression()).unwrap(), 2);
    assert!(few.memory_mb[1] > alone.memory_mb[1]);
}
