//! The specification of a pruning: what it may say, and which trees and data sets it goes with.

use super::*;

fn pruning(spec: &str) -> Result<PruneSpec, Fault> {
    let body = format!(r#"{{"type":"prune","model":"small","dataset":{{"name":"d"}},"spec":{spec}}}"#);
    match parse(body.as_bytes())?.work {
        Asked::Prune(prune) => Ok(prune),
        other => panic!("{other:?}"),
    }
}

const TREE: KnownModel<'_> = KnownModel { reference: "m:7", kind: "tree", loss: "squared", classes: None, named: false };
const WHOLE: BaseSize = BaseSize::Tree { leaves: 12 };

#[test]
fn every_way_to_prune_is_resolved_stored_and_can_be_posted_again() {
    for how in [
        r#""method":"reduced_error""#,
        r#""method":"ccp","ccp_alpha":0.25"#,
        r#""method":"ccp","target_leaves":3"#,
        r#""method":"ccp","amount":0.9"#,
        r#""method":"ccp","amount":11"#,
        r#""method":"ccp","amount":11.0,"max_quality_loss":0.01"#,
        r#""method":"ccp","max_quality_loss":0"#,
        r#""method":"ccp","selection":{"method":"holdout","rule":"1se"},"max_quality_loss":0.5"#,
    ] {
        let asked = pruning(&format!(r#"{{"base":"m@production",{how},"limits":{{"max_runtime_s":5}}}}"#)).unwrap();
        assert_eq!(asked.base, ModelRef { name: "m".into(), pick: Pick::Alias("production".into()) });
        let resolved = asked.resolve(&TREE, WHOLE, &regression()).unwrap();
        assert_eq!((&*resolved.base, resolved.base_leaves, resolved.limits.max_runtime_s), ("m:7", Some(12), Some(5.0)), "{how}");
        let stored = Work::Prune(resolved.clone()).write().unwrap();
        assert_eq!(Work::read(JobKind::Prune, &stored).unwrap(), Work::Prune(resolved.clone()), "{stored}");
        assert_eq!(pruning(&stored.to_string()).unwrap().resolve(&TREE, WHOLE, &regression()).unwrap(), resolved);
        assert!(Work::read(JobKind::Evaluate, &stored).is_err() && Work::read(JobKind::Fit, &stored).is_err());
    }
    let min = pruning(r#"{"base":"m","method":"ccp","selection":{"method":"holdout"}}"#).unwrap();
    let PruneMethod::Ccp(ccp) = min.resolve(&TREE, WHOLE, &regression()).unwrap().method else { panic!("ccp") };
    assert_eq!(ccp.selection, Some(HeldOutScore { method: "holdout".into(), rule: Rule::Min }));
}

#[test]
fn an_amount_is_a_share_or_a_count_and_one_leaf_is_always_kept() {
    for (amount, leaves, kept) in [(0.9, 10, 1), (0.5, 9, 4), (0.001, 10, 9), (0.999_999, 10, 1), (0.2, 5, 4)] {
        assert_eq!(Amount::Share(amount).keeps(leaves), kept, "{amount} of {leaves}");
    }
    assert_eq!((Amount::Count(3).keeps(10), Amount::Count(9).keeps(10), Amount::Count(50).keeps(10)), (7, 1, 1));
}

#[test]
fn every_wrong_word_is_told_with_code_and_place() {
    for (spec, expected) in [
        ("[]", vec!["#/spec invalid_field"]),
        ("{}", vec!["#/spec/base missing", "#/spec/method missing"]),
        (r#"{"base":3,"method":"ccp","ccp_alpha":0}"#, vec!["#/spec/base invalid_field"]),
        (r#"{"base":"m:0","method":"reduced_error"}"#, vec!["#/spec/base invalid_field"]),
        (r#"{"base":"m","method":"l0_unstructured","amount":0.9}"#, vec!["#/spec/method unknown_value"]),
        (r#"{"base":"m","method":"ccp"}"#, vec!["#/spec missing"]),
        (r#"{"base":"m","method":"ccp","ccp_alpha":-1}"#, vec!["#/spec/ccp_alpha out_of_range"]),
        (r#"{"base":"m","method":"ccp","target_leaves":0}"#, vec!["#/spec/target_leaves out_of_range"]),
        (r#"{"base":"m","method":"ccp","amount":0}"#, vec!["#/spec/amount out_of_range"]),
        (r#"{"base":"m","method":"ccp","amount":1.5}"#, vec!["#/spec/amount out_of_range"]),
        (r#"{"base":"m","method":"ccp","amount":"half"}"#, vec!["#/spec/amount invalid_field"]),
        (r#"{"base":"m","method":"ccp","max_quality_loss":-0.1}"#, vec!["#/spec/max_quality_loss out_of_range"]),
        (
            r#"{"base":"m","method":"ccp","ccp_alpha":0,"target_leaves":2,"amount":1}"#,
            vec!["#/spec/target_leaves conflict", "#/spec/amount conflict"],
        ),
        (r#"{"base":"m","method":"ccp","selection":{}}"#, vec!["#/spec/selection/method missing"]),
        (r#"{"base":"m","method":"ccp","selection":{"method":"cv"}}"#, vec!["#/spec/selection/method unknown_value"]),
        (r#"{"base":"m","method":"ccp","selection":{"method":"holdout","fraction":0.2}}"#, vec!["#/spec/selection/fraction unknown_field"]),
        (r#"{"base":"m","method":"reduced_error","amount":0.5}"#, vec!["#/spec/amount conflict"]),
        (r#"{"base":"m","method":"reduced_error","max_quality_loss":0}"#, vec!["#/spec/max_quality_loss conflict"]),
        (r#"{"base":"m","method":"reduced_error","schedule":{"steps":5}}"#, vec!["#/spec/schedule conflict"]),
        (r#"{"base":"m","method":"reduced_error","limits":{"max_runtime_s":0}}"#, vec!["#/spec/limits/max_runtime_s out_of_range"]),
    ] {
        assert_eq!(places(&pruning(spec).unwrap_err()), expected, "{spec}");
    }
    let unnamed = parse(br#"{"type":"prune","dataset":{"name":"d"},"spec":{"base":"m","method":"reduced_error"}}"#).unwrap_err();
    assert_eq!(places(&unnamed), ["#/model missing"]);
    let no_rows = parse(br#"{"type":"prune","model":"s","spec":{"base":"m","method":"reduced_error"}}"#).unwrap_err();
    assert_eq!(places(&no_rows), ["#/dataset missing"]);
}

#[test]
fn a_pruning_meets_its_tree_and_its_data_set() {
    let asked = |how: &str| pruning(&format!(r#"{{"base":"m",{how}}}"#)).unwrap();
    let refused = |how: &str, base: &KnownModel<'_>, meta: &Meta| {
        let fault = asked(how).resolve(base, WHOLE, meta).unwrap_err();
        (fault.code, places(&fault).join(", "))
    };
    let all = r#""method":"reduced_error""#;
    let linear = KnownModel { kind: "linear", ..TREE };
    let fault = asked(all).resolve(&linear, BaseSize::Other, &regression()).unwrap_err();
    assert_eq!((fault.code, &*places(&fault)), (Code::InvalidParameter, &["#/spec/base conflict".to_owned()][..]));
    let named = Meta { named: true, ..regression() };
    assert_eq!(refused(all, &TREE, &named), (Code::InvalidParameter, "#/spec/base conflict".into()));
    assert_eq!(refused(all, &TREE, &binary()).0, Code::InvalidTarget);
    let sides = [Some(Class::Number(-1.0)), Some(Class::Number(1.0))];
    let of_sides = KnownModel { loss: "gini", classes: Some(&sides), ..TREE };
    assert!(asked(all).resolve(&of_sides, WHOLE, &binary()).is_ok());
    assert_eq!(refused(all, &of_sides, &meta(TargetKind::Multiclass, &[-1.0, 0.0, 1.0])).0, Code::InvalidTarget);
    assert!(asked(r#""method":"ccp","amount":11"#).resolve(&TREE, WHOLE, &regression()).is_ok());
    let too_many = refused(r#""method":"ccp","amount":12"#, &TREE, &regression());
    assert_eq!(too_many, (Code::InvalidParameter, "#/spec/amount out_of_range".into()));
    let other = refused(r#""method":"reduced_error","base_leaves":13"#, &TREE, &regression());
    assert_eq!(other, (Code::InvalidParameter, "#/spec/base_leaves conflict".into()));
    let best = refused(r#""method":"reduced_error","limits":{"on_limit":"keep_best"}"#, &TREE, &regression());
    assert_eq!(best, (Code::InvalidParameter, "#/limits/on_limit conflict".into()));
}

#[test]
fn what_a_pruning_may_cost_grows_with_rows_and_leaves() {
    let of = |leaves: u64, rows: u64| {
        let meta = Meta { shape: [rows, 200], ..regression() };
        let resolved =
            pruning(r#"{"base":"m","method":"reduced_error"}"#).unwrap().resolve(&TREE, BaseSize::Tree { leaves }, &meta).unwrap();
        Work::Prune(resolved).estimate(&meta, 1)
    };
    let (small, deep, long) = (of(10, 100), of(1_000_000, 100), of(10, 10_000_000));
    for estimate in [&small, &deep, &long] {
        assert!(estimate.memory_mb[0] <= estimate.memory_mb[1] && estimate.runtime_s[0] <= estimate.runtime_s[1], "{estimate:?}");
    }
    assert!(small.memory_mb[1] < 10.0 && deep.memory_mb[1] > 1000.0 && long.memory_mb[1] > 600.0, "{small:?} {deep:?} {long:?}");
}
