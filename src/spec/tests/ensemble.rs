//! The specification of an ensemble: what it may say, and which data sets it goes with.

use super::*;

fn ensemble(spec: &str) -> Result<EnsembleSpec, Fault> {
    let body = format!(r#"{{"type":"fit","model":"e","dataset":{{"name":"d"}},"spec":{spec}}}"#);
    match parse(body.as_bytes())?.work {
        Asked::Ensemble(ensemble) => Ok(*ensemble),
        other => panic!("{other:?}"),
    }
}

#[test]
fn defaults_are_filled_in_stored_and_can_be_posted_again() {
    let (resolved, warnings) = ensemble(r#"{"kind":"ensemble"}"#).unwrap().resolve(&regression()).unwrap();
    assert!(warnings.is_empty());
    assert_eq!((resolved.loss, resolved.n_trees, resolved.learning_rate, resolved.max_leaves), (NaturalLoss::Squared, 200, 0.1, 31));
    assert_eq!((resolved.subsample, resolved.min_leaf_weight, resolved.seed, resolved.weights), (1.0, None, 0, false));
    assert_eq!(resolved.early_stopping, Some(EarlyStopping { fraction: 0.1, patience: 10 }));
    let full = r#"{"kind":"ensemble","loss":"logistic","n_trees":7,"learning_rate":1,"max_leaves":2,"subsample":0.5,"min_leaf_weight":0,
        "seed":11,"early_stopping":null,"weights":false,"limits":{"max_runtime_s":5}}"#;
    let (full, _) = ensemble(full).unwrap().resolve(&binary()).unwrap();
    assert_eq!((full.n_trees, full.max_leaves, full.min_leaf_weight, full.early_stopping), (7, 2, Some(0.0), None));
    for (resolved, meta) in [(resolved, regression()), (full, binary())] {
        let stored = Work::Ensemble(Box::new(resolved.clone())).write().unwrap();
        let Work::Ensemble(read) = Work::read(JobKind::Fit, &stored).unwrap() else { panic!("{stored}") };
        assert_eq!(*read, resolved);
        assert_eq!(ensemble(&stored.to_string()).unwrap().resolve(&meta).unwrap().0, resolved);
    }
}

#[test]
fn the_loss_follows_from_the_target() {
    let loss = |meta: &Meta| ensemble(r#"{"kind":"ensemble","loss":"auto"}"#).unwrap().resolve(meta).unwrap().0.loss;
    assert_eq!((loss(&regression()), loss(&meta(TargetKind::Count, &[]))), (NaturalLoss::Squared, NaturalLoss::Squared));
    assert_eq!((loss(&binary()), loss(&meta(TargetKind::Multiclass, &[1.0, 2.0, 5.0]))), (NaturalLoss::Logistic, NaturalLoss::Multinomial));
}

#[test]
fn every_wrong_field_of_an_ensemble_is_told_with_its_place() {
    for (spec, expected) in [
        (r#""loss":"poisson""#, vec!["#/spec/loss unknown_value"]),
        (r#""loss":{"type":"squared"}"#, vec!["#/spec/loss invalid_field"]),
        (r#""n_trees":0,"max_leaves":1"#, vec!["#/spec/n_trees out_of_range", "#/spec/max_leaves out_of_range"]),
        (r#""n_trees":10001,"max_leaves":65537"#, vec!["#/spec/n_trees out_of_range", "#/spec/max_leaves out_of_range"]),
        (r#""n_trees":2.5,"max_leaves":null"#, vec!["#/spec/n_trees invalid_field", "#/spec/max_leaves invalid_field"]),
        (r#""learning_rate":0,"subsample":0"#, vec!["#/spec/learning_rate out_of_range", "#/spec/subsample out_of_range"]),
        (r#""learning_rate":1.5,"subsample":1.5"#, vec!["#/spec/learning_rate out_of_range", "#/spec/subsample out_of_range"]),
        (r#""learning_rate":"slow","subsample":null"#, vec!["#/spec/learning_rate invalid_field", "#/spec/subsample invalid_field"]),
        (r#""min_leaf_weight":-1"#, vec!["#/spec/min_leaf_weight out_of_range"]),
        (r#""min_leaf_weight":1e400"#, vec!["#/spec/min_leaf_weight out_of_range"]),
        (r#""min_leaf_weight":"few""#, vec!["#/spec/min_leaf_weight invalid_field"]),
        (r#""seed":-1"#, vec!["#/spec/seed out_of_range"]),
        (r#""early_stopping":true"#, vec!["#/spec/early_stopping invalid_field"]),
        (r#""early_stopping":{"fraction":0.6}"#, vec!["#/spec/early_stopping/fraction out_of_range"]),
        (r#""early_stopping":{"patience":0}"#, vec!["#/spec/early_stopping/patience out_of_range"]),
        (r#""early_stopping":{"rounds":3}"#, vec!["#/spec/early_stopping/rounds unknown_field"]),
        (r#""weights":1"#, vec!["#/spec/weights invalid_field"]),
        (r#""limits":{"max_runtime_s":0}"#, vec!["#/spec/limits/max_runtime_s out_of_range"]),
        (r#""mean_leaves":4"#, vec!["#/spec/mean_leaves unknown_field"]),
    ] {
        assert_eq!(places(&ensemble(&format!(r#"{{"kind":"ensemble",{spec}}}"#)).unwrap_err()), expected, "{spec}");
    }
}

#[test]
fn an_ensemble_meets_its_data_set() {
    let asked = |spec: &str| ensemble(&format!(r#"{{"kind":"ensemble"{spec}}}"#)).unwrap();
    let refused = |spec: &str, meta: &Meta| {
        let fault = asked(spec).resolve(meta).unwrap_err();
        (fault.code, places(&fault).join(", "))
    };
    assert_eq!(refused(r#","loss":"squared""#, &binary()), (Code::InvalidTarget, "#/spec/loss invalid_target".into()));
    assert_eq!(refused(r#","loss":"logistic""#, &meta(TargetKind::Count, &[])).0, Code::InvalidTarget);
    assert_eq!(refused("", &meta(TargetKind::Multiclass, &[3.0])).0, Code::InvalidTarget);
    assert_eq!(refused(r#","weights":true"#, &regression()), (Code::InvalidParameter, "#/spec/weights conflict".into()));
    let one = Meta { shape: [1, 200], ..regression() };
    assert_eq!(refused("", &one), (Code::InvalidParameter, "#/spec/early_stopping conflict".into()));
    assert!(asked(r#","early_stopping":null"#).resolve(&one).is_ok());
    let long = Meta { shape: [1 << 20, 200], ..regression() };
    let large = r#","n_trees":10000,"max_leaves":65536"#;
    assert_eq!(refused(large, &long), (Code::InvalidParameter, "#/spec/n_trees out_of_range".into()));
    // a tree has no more leaves than rows
    assert!(asked(large).resolve(&regression()).is_ok());
    let offset = Meta { offset: true, ..regression() };
    assert_eq!(asked("").resolve(&offset).unwrap().1[0].code, "offset_ignored");
}

#[test]
fn what_an_ensemble_takes_grows_with_rows_classes_trees_and_threads() {
    let most = |spec: &str, meta: &Meta, threads: u64| {
        let (resolved, _) = ensemble(&format!(r#"{{"kind":"ensemble"{spec}}}"#)).unwrap().resolve(meta).unwrap();
        let Estimate { memory_mb, runtime_s } = Work::Ensemble(Box::new(resolved)).estimate(meta, threads);
        assert!(memory_mb[0] <= memory_mb[1] && runtime_s[0] <= runtime_s[1] && runtime_s[0] > 0.0, "{memory_mb:?} {runtime_s:?}");
        memory_mb[1]
    };
    let three = meta(TargetKind::Multiclass, &[1.0, 2.0, 5.0]);
    let rows = |rows: u64, meta: &Meta| Meta { shape: [rows, 200], nnz: 10 * rows, ..meta.clone() };
    assert!(most("", &rows(1 << 20, &regression()), 1) > 8.0 * most("", &rows(1 << 16, &regression()), 1));
    assert!(most("", &rows(1 << 20, &three), 1) > most("", &rows(1 << 20, &binary()), 1));
    assert!(most("", &rows(1 << 20, &three), 3) > most("", &rows(1 << 20, &three), 1));
    assert_eq!(most("", &rows(1 << 20, &binary()), 3), most("", &rows(1 << 20, &binary()), 1));
    assert!(most(r#","n_trees":10000"#, &rows(1 << 16, &binary()), 1) > 2.0 * most("", &rows(1 << 16, &binary()), 1));
}
