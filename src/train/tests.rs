//! Fits of tiny data sets whose solution is known by hand, through the real file format and the real solver.

mod classes;
mod compare;
mod distill;
mod ensemble;
mod equivalents;
mod evaluate;
mod keep_best;
mod network;
mod penalties;
mod promote;
mod prune;
mod resume;
mod rules;
mod selection;
mod stability;
mod tree;
mod warm;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::Value;

use super::*;
use crate::dataset::{self, Class, Encoding, Format, IngestLimits, Names, Upload};
use crate::model::CertificateStatus;
use crate::spec::{CrossValidation, L1Ratio, Lambda, Loss, Penalty, Rule, RunLimits, Selection, Solver};

/// A stored data set of a JSON upload, and the directory it lives in.
pub(super) struct Fixture {
    pub(super) data: Dataset,
    _dir: tempfile::TempDir,
}

pub(super) fn dataset_of(json: &str) -> Fixture {
    let limits = IngestLimits {
        decoded_bytes: 1 << 24,
        rows: 1 << 20,
        nnz: 1 << 20,
        index_max: (1 << 31) - 1,
        line_bytes: 1 << 20,
        number_bytes: 64,
        sort_memory_bytes: 1 << 20,
        room_bytes: u64::MAX,
    };
    let dir = tempfile::tempdir().expect("a directory");
    let path = |name: &str| dir.path().join(name);
    let file = |name: &str| std::fs::File::create_new(path(name)).expect("a file");
    let upload = Upload { format: Format::Json, encoding: Encoding::Identity, target_kind: None, limits };
    let ingested = dataset::ingest(json.as_bytes(), &upload, &file("data"), &file("names"), dir.path()).expect("legal data");
    let names = ingested.names_sha256.map(|hash| Arc::new(Names::open(&path("names"), &hash).expect("names")));
    let data = dataset::open(&path("data"), names, Arc::new(ingested.meta), true).expect("a data set");
    Fixture { data, _dir: dir }
}

/// y = 2 + 3·a + ½·b on an orthonormal design: every lasso is a soft threshold.
pub(super) fn orthogonal(more: &str) -> Fixture {
    dataset_of(&format!(
        r#"{{"format":"dense","values":[[1,1],[1,-1],[-1,1],[-1,-1]],"y":[5.5,4.5,-0.5,-1.5],"feature_names":["a","b"]{more}}}"#
    ))
}

/// 60 rows, 6 features of which two matter, noise from a fixed generator; `y` is what `target` makes of the signal.
pub(super) fn noisy(target: impl Fn(f64) -> String) -> Fixture {
    let mut state = 7_u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f64 / f64::from(1 << 23) - 1.0
    };
    let rows: Vec<[f64; 6]> = (0..60).map(|_| std::array::from_fn(|_| random())).collect();
    let y: Vec<String> = rows.iter().map(|row| target(2.0 * row[0] - row[3] + 0.4 * random())).collect();
    dataset_of(&format!(r#"{{"format":"dense","values":{},"y":[{}]}}"#, serde_json::json!(rows), y.join(",")))
}

pub(super) fn spec() -> ResolvedFit {
    ResolvedFit {
        kind: "linear".into(),
        loss: Loss::Squared,
        penalty: Penalty {
            kind: "l1".into(),
            l1_ratio: L1Ratio::One(1.0),
            gamma: None,
            groups: BTreeMap::new(),
            factors: BTreeMap::new(),
            adaptive: None,
        },
        bounds: BTreeMap::new(),
        non_negative: false,
        lambda: Lambda::Value { value: 1.0 },
        selection: Selection::None,
        refit: None,
        compare_ridge: false,
        intercept: true,
        standardize: Standardize::None,
        weights: true,
        solver: Solver { kind: "auto".into(), tol: 1e-10, tol_kind: "relative_gap".into(), max_epochs: 10_000 },
        warm_start: None,
        limits: RunLimits::default(),
    }
}

fn folds_of(rule: Rule) -> CrossValidation {
    CrossValidation {
        folds: 5,
        stratify: true,
        seed: 3,
        metric: "deviance".into(),
        rule,
        within_pct: None,
        repeats: 1,
        groups: Vec::new(),
        fold_of_row: Vec::new(),
    }
}

pub(super) fn path_with_cv(rule: Rule) -> ResolvedFit {
    let selection = Selection::Cv(folds_of(rule));
    ResolvedFit { lambda: Lambda::Path { n: 30, min_ratio: 1e-3 }, selection, standardize: Standardize::Scale, ..spec() }
}

fn logistic(positive: Class) -> Loss {
    Loss::Logistic { positive_class: positive }
}

fn run(fixture: &Fixture, spec: &ResolvedFit) -> Result<LinearModel, TrainError> {
    fit(&fixture.data, spec, &Run::new(2, &|_| ControlFlow::Continue(())))
}

fn trained(fixture: &Fixture, spec: &ResolvedFit) -> LinearModel {
    let model = run(fixture, spec).expect("a model");
    assert_eq!(LinearModel::decode(&model.encode()).expect("a stored model reads back"), model);
    assert_eq!(model.card.certificate.status, CertificateStatus::Certified, "{:?}", model.card.certificate);
    model
}

#[track_caller]
fn close(found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len(), "{found:?} for {expected:?}");
    for (a, b) in found.iter().zip(expected) {
        assert!((a - b).abs() < 1e-5, "{found:?} for {expected:?}");
    }
}

#[test]
fn a_lasso_on_an_orthonormal_design_is_a_soft_threshold() {
    let model = trained(&orthogonal(""), &spec());
    assert_eq!(model.indices, [0]);
    close(&model.values, &[2.0]);
    let card = &model.card;
    close(&[card.intercept, card.lambda, card.lambda_max], &[2.0, 1.0, 3.0]);
    assert_eq!((card.sparsity.nonzeros, card.sparsity.n_features, card.sparsity.sparsity_ratio), (1, 2, 0.5));
    assert_eq!(card.sparsity.max_abs.as_ref().map(|max| max.feature.as_str()), Some("a"));
    // ½·mean((y−η)²) = ½(1² + ½²), the penalty is 2
    close(&[card.certificate.primal], &[2.625]);
    close(&[card.metrics["train"]["mse"].as_f64().expect("a number")], &[1.25]);
    close(&[card.metrics["train"]["r2"].as_f64().expect("a number")], &[1.0 - 1.25 / 9.25]);
    assert_eq!((model.path.len(), model.path[0].nonzeros, card.selection.is_none()), (1, 1, true));
    assert!(card.warnings.is_empty(), "{:?}", card.warnings);
}

#[test]
fn ridge_and_elastic_net_shrink_as_the_equation_says() {
    let mut spec = spec();
    spec.penalty.l1_ratio = L1Ratio::One(0.5);
    close(&trained(&orthogonal(""), &spec).values, &[(3.0 - 0.5) / 1.5]);
    spec.penalty.l1_ratio = L1Ratio::One(0.0);
    close(&trained(&orthogonal(""), &spec).values, &[1.5, 0.25]);
}

#[test]
fn factors_are_found_by_name_and_by_decimal_index() {
    for (key, expected) in [("a", [3.0].as_slice()), ("0", &[3.0]), ("b", &[2.0, 0.5])] {
        let mut spec = spec();
        spec.penalty.factors.insert(key.into(), 0.0);
        close(&trained(&orthogonal(""), &spec).values, expected);
    }
    let mut spec = spec();
    spec.penalty.factors.insert("c".into(), 0.0);
    assert!(matches!(run(&orthogonal(""), &spec), Err(TrainError::Unfit { code: "invalid_parameter", .. })));
}

#[test]
fn standardising_makes_the_unit_of_a_column_irrelevant() {
    let scaled = dataset_of(r#"{"format":"dense","values":[[10,1],[10,-1],[-10,1],[-10,-1]],"y":[5.5,4.5,-0.5,-1.5]}"#);
    let model = trained(&scaled, &ResolvedFit { standardize: Standardize::Scale, ..spec() });
    close(&model.values, &[0.2]);
    close(&[model.card.intercept], &[2.0]);
    assert_eq!(model.card.sparsity.max_abs.expect("one").feature, "0");
}

#[test]
fn a_weight_of_two_is_the_row_twice_and_null_weights_are_ignored() {
    let rows = "[1,2],[2,-1],[-1,1],[0,1],[3,0]";
    let weighted = dataset_of(&format!(r#"{{"format":"dense","values":[{rows}],"y":[1,4,-2,0,5],"weights":[2,1,1,1,0]}}"#));
    let twice = dataset_of(r#"{"format":"dense","values":[[1,2],[1,2],[2,-1],[-1,1],[0,1]],"y":[1,1,4,-2,0]}"#);
    let plain = dataset_of(&format!(r#"{{"format":"dense","values":[{rows}],"y":[1,4,-2,0,5]}}"#));
    let small = ResolvedFit { lambda: Lambda::Value { value: 0.1 }, ..spec() };
    let (a, b) = (trained(&weighted, &small), trained(&twice, &small));
    close(&a.values, &b.values);
    close(&[a.card.certificate.primal], &[b.card.certificate.primal]);
    let unweighted = ResolvedFit { weights: false, ..small.clone() };
    close(&trained(&weighted, &unweighted).values, &trained(&plain, &small).values);
}

#[test]
fn an_offset_is_taken_off_the_target() {
    let with = dataset_of(r#"{"format":"dense","values":[[1,1],[1,-1],[-1,1],[-1,-1]],"y":[6.5,2.5,-0.5,-0.5],"offset":[1,-2,0,1]}"#);
    close(&trained(&with, &spec()).values, &trained(&orthogonal(""), &spec()).values);
}

#[test]
fn the_positive_class_decides_the_sign_and_one_class_may_stand_against_the_rest() {
    let spec_of = |positive: Class| ResolvedFit { loss: logistic(positive), lambda: Lambda::Value { value: 0.02 }, ..spec() };
    let text = |class: &str| Class::Text(class.into());
    let data = noisy(|signal| format!("\"{}\"", if signal > 0.0 { "up" } else { "down" }));
    let (up, down) = (trained(&data, &spec_of(text("up"))), trained(&data, &spec_of(text("down"))));
    close(&up.values, &down.values.iter().map(|value| -value).collect::<Vec<_>>());
    assert_eq!(up.card.classes, Some(vec![Some(text("down")), Some(text("up"))]));
    assert_eq!(down.card.classes, Some(vec![Some(text("up")), Some(text("down"))]));
    let train = &up.card.metrics["train"];
    assert!(train["auc"].as_f64() > Some(0.9) && train["accuracy"].as_f64() > Some(0.8), "{train}");

    let three = noisy(|signal| {
        format!(
            "\"{}\"",
            if signal > 0.7 {
                "high"
            } else if signal < -0.7 {
                "low"
            } else {
                "mid"
            }
        )
    });
    let high = trained(&three, &spec_of(text("high")));
    assert_eq!(high.card.classes, Some(vec![None, Some(text("high"))]));
    for spec in [spec_of(text("none")), spec_of(Class::Number(1.0)), spec()] {
        assert!(matches!(run(&three, &spec), Err(TrainError::Unfit { code: "invalid_target", .. })));
    }
}

#[test]
fn squared_loss_on_numeric_classes_uses_their_numbers() {
    let binary = dataset_of(r#"{"format":"dense","values":[[1],[1],[-1],[-1]],"y":[10,10,4,4]}"#);
    let model = trained(&binary, &spec());
    close(&model.values, &[2.0]);
    close(&[model.card.intercept], &[7.0]);
    assert_eq!(model.card.classes, None);
}

#[test]
fn a_huber_fit_is_not_led_by_one_row_and_says_what_it_minimised() {
    let huber = |delta| ResolvedFit { loss: Loss::Huber { delta }, lambda: Lambda::Value { value: 0.01 }, ..spec() };
    // y = 1 + 2x, and one row that is far off
    let line = |far: f64| dataset_of(&format!(r#"{{"format":"dense","values":[[0],[1],[2],[3],[4],[5],[6]],"y":[1,3,5,7,9,11,{far}]}}"#));
    let (near, far) = (trained(&line(100.0), &huber(0.5)), trained(&line(1e6), &huber(0.5)));
    close(&far.values, &near.values);
    assert!((near.values[0] - 2.0).abs() < 0.3, "{:?}", near.values);
    let card = &near.card;
    assert_eq!((card.loss.as_str(), &card.classes, &card.equivalents["sklearn"]), ("huber", &None, &Value::Null));
    assert!(card.objective.contains("loss = ½r² for |r| ≤ δ, else δ|r|−½δ², r = y−η, δ = 0.5"), "{}", card.objective);
    let train = |key: &str| card.metrics["train"][key].as_f64().expect("a number");
    let residuals: Vec<f64> = [1.0, 3.0, 5.0, 7.0, 9.0, 11.0, 100.0]
        .iter()
        .enumerate()
        .map(|(x, y)| (y - card.intercept - near.values[0] * x as f64).abs())
        .collect();
    let mean = |of: &dyn Fn(f64) -> f64| residuals.iter().map(|r| of(*r)).sum::<f64>() / 7.0;
    let loss = mean(&|r| if r <= 0.5 { 0.5 * r * r } else { 0.5 * r - 0.125 });
    close(&[train("mae"), train("mse") / 1e3, train("deviance")], &[mean(&|r| r), mean(&|r| r * r) / 1e3, 2.0 * loss]);
    assert_ne!(fingerprint(&line(1.0).data, &huber(0.5)), fingerprint(&line(1.0).data, &huber(0.25)));
    // chosen by cross-validation, on its own deviance
    let data = noisy(|signal| if signal > 2.2 { "80".into() } else { signal.to_string() });
    let cv = trained(&data, &ResolvedFit { loss: Loss::Huber { delta: 1.0 }, ..path_with_cv(Rule::Min) }).cv.expect("folds");
    assert!(cv.rows[cv.index_min as usize].mean < cv.rows[0].mean, "{:?}", cv.rows);
}

#[test]
fn a_squared_hinge_keeps_its_margin_and_has_a_twin_elsewhere() {
    let data = dataset_of(r#"{"format":"dense","values":[[1],[2],[-1],[-2]],"y":["b","b","a","a"]}"#);
    let hinge = |intercept| ResolvedFit {
        loss: Loss::SquaredHinge { positive_class: Class::Text("b".into()) },
        lambda: Lambda::Value { value: 0.1 },
        intercept,
        ..spec()
    };
    let model = trained(&data, &hinge(false));
    // for ½ ≤ w ≤ 1 only the rows at ±1 count: ½(1 − w)² + λw is least at w = 1 − λ
    close(&model.values, &[0.9]);
    close(&[model.card.certificate.primal], &[0.5 * 0.01 + 0.09]);
    let card = &model.card;
    assert_eq!((card.loss.as_str(), card.classes.as_ref().map(Vec::len)), ("squared_hinge", Some(2)));
    assert!(card.objective.contains("loss = max(0, 1−yη)², y ∈ {−1,+1}"), "{}", card.objective);
    let train = &card.metrics["train"];
    assert_eq!((train["accuracy"].as_f64(), train["auc"].as_f64(), train.get("log_loss")), (Some(1.0), Some(1.0), None));
    let twin = &card.equivalents["sklearn"];
    assert_eq!((twin["estimator"].as_str(), twin["C"].as_f64(), twin["penalty"].as_str()), (Some("LinearSVC"), Some(2.5), Some("l1")));
    assert_eq!(trained(&data, &hinge(true)).card.equivalents["sklearn"], Value::Null);
    // folds keep class shares
    let many = noisy(|signal| f64::from(u8::from(signal > 0.3)).to_string());
    let spec = ResolvedFit { loss: Loss::SquaredHinge { positive_class: Class::Number(1.0) }, ..path_with_cv(Rule::Min) };
    let cv = trained(&many, &spec).cv.expect("folds");
    assert!(cv.rows[cv.index_min as usize].mean < cv.rows[0].mean, "{:?}", cv.rows);
}

#[test]
fn counts_are_fitted_by_the_logarithm_of_their_mean() {
    let data = noisy(|signal| (1.0 + 0.8 * signal).exp().floor().to_string());
    let poisson = ResolvedFit { loss: Loss::Poisson, ..path_with_cv(Rule::Min) };
    let poisson = ResolvedFit { selection: Selection::None, ..poisson };
    let model = trained(&data, &poisson);
    assert_eq!(model.card.loss, "poisson");
    assert!(model.card.objective.contains("loss = e^η−yη"), "{}", model.card.objective);
    // the score equation of the intercept: the means add up to the counts
    let x: Vec<Vec<f64>> = dataset::rows(&data.data, 0, 60)
        .iter()
        .map(|row| {
            let mut dense = vec![0.0; 6];
            row.indices.iter().zip(&row.values).for_each(|(j, v)| dense[*j as usize] = *v);
            dense
        })
        .collect();
    let mean = |row: &Vec<f64>| {
        let terms = model.indices.iter().zip(&model.values).map(|(j, w)| w * row[*j as usize]);
        (model.card.intercept + terms.sum::<f64>()).exp()
    };
    let means: Vec<f64> = x.iter().map(mean).collect();
    close(&[means.iter().sum::<f64>()], &[data.data.y.iter().sum::<f64>()]);
    let deviance = |(y, m): (&f64, &f64)| 2.0 * (if *y > 0.0 { y * (y / m).ln() } else { 0.0 } - y + m);
    let told = model.card.metrics["train"]["deviance"].as_f64().expect("a number");
    close(&[told], &[data.data.y.iter().zip(&means).map(deviance).sum::<f64>() / 60.0]);
    let cv = trained(&data, &ResolvedFit { loss: Loss::Poisson, ..path_with_cv(Rule::Min) }).cv.expect("folds");
    assert!(cv.rows[cv.index_min as usize].mean < 0.5 * cv.rows[0].mean, "{:?}", cv.rows);
}

#[test]
fn what_is_no_count_is_refused_and_ridge_has_a_twin_elsewhere() {
    let refused = |data: &Fixture| match run(data, &ResolvedFit { loss: Loss::Poisson, ..spec() }) {
        Err(TrainError::Unfit { code, detail }) => (code, detail),
        other => panic!("{other:?}"),
    };
    let (code, detail) = refused(&noisy(|signal| signal.to_string()));
    assert_eq!((code, detail.contains("negative")), ("invalid_target", true));
    let (code, detail) = refused(&dataset_of(r#"{"format":"dense","values":[[1],[2]],"y":[0,0]}"#));
    assert_eq!((code, detail.contains("count above zero")), ("invalid_target", true), "{detail}");
    let mut ridge = ResolvedFit { loss: Loss::Poisson, ..spec() };
    ridge.penalty.l1_ratio = L1Ratio::One(0.0);
    let counts = noisy(|signal| (1.0 + signal).exp().floor().to_string());
    assert_eq!(trained(&counts, &ridge).card.equivalents["sklearn"]["estimator"], "PoissonRegressor");
}

#[test]
fn cross_validation_chooses_by_its_rule_whatever_the_threads() {
    let data = noisy(|signal| signal.to_string());
    let min = trained(&data, &path_with_cv(Rule::Min));
    let sparse = trained(&data, &path_with_cv(Rule::OneSe));
    let cv = min.cv.as_ref().expect("a cross-validation");
    assert_eq!((min.path.len(), cv.rows.len(), cv.rows[0].per_fold.len()), (30, 30, 5));
    let (least, one_se) = (&cv.rows[cv.index_min as usize], &cv.rows[cv.index_1se as usize]);
    assert!(cv.rows.iter().all(|row| row.mean >= least.mean));
    assert!(one_se.mean <= least.mean + least.se.unwrap());
    assert!(cv.rows[..cv.index_1se as usize].iter().all(|row| row.mean > least.mean + least.se.unwrap()));
    assert_eq!((min.card.lambda, sparse.card.lambda), (least.lambda, one_se.lambda));
    assert!(sparse.values.len() <= min.values.len() && sparse.indices.contains(&0) && sparse.indices.contains(&3));
    assert_eq!(min.path[3].cv_mean, Some(cv.rows[3].mean));
    let selection = sparse.card.selection.as_ref().expect("a selection");
    assert_eq!((&selection["rule"], &selection["index"]), (&serde_json::json!("1se"), &serde_json::json!(cv.index_1se)));
    let alone = fit(&data.data, &path_with_cv(Rule::Min), &Run::new(1, &|_| ControlFlow::Continue(())));
    assert_eq!(alone.expect("a model"), min);
}

#[test]
fn logistic_cross_validation_keeps_class_shares() {
    let data = noisy(|signal| if signal > 0.3 { "1".into() } else { "0".into() });
    let spec = ResolvedFit { loss: logistic(Class::Number(1.0)), ..path_with_cv(Rule::Min) };
    let model = trained(&data, &spec);
    let cv = model.cv.as_ref().expect("a cross-validation");
    assert!(cv.stratify && cv.rows[cv.index_min as usize].mean < cv.rows[0].mean);
}

#[test]
fn a_wanted_number_of_nonzeros_is_met_within_its_bracket() {
    let data = noisy(|signal| signal.to_string());
    for k in 1..=3 {
        let mut spec = ResolvedFit { lambda: Lambda::TargetNonzeros { k }, ..spec() };
        spec.solver.tol = 1e-6;
        let model = trained(&data, &spec);
        let [low, high] = model.card.bracket.expect("a bracket");
        assert_eq!(model.card.sparsity.nonzeros, k);
        assert!(low <= model.card.lambda && model.card.lambda <= high, "{low} {} {high}", model.card.lambda);
    }
}

#[test]
fn given_values_are_solved_in_order_and_the_last_is_the_model() {
    let values = vec![3.5, 1.0, 0.25];
    let model = trained(&orthogonal(""), &ResolvedFit { lambda: Lambda::Values { values: values.clone() }, ..spec() });
    assert_eq!(model.path.iter().map(|row| row.lambda).collect::<Vec<_>>(), values);
    assert_eq!(model.path.iter().map(|row| row.nonzeros).collect::<Vec<_>>(), [0, 1, 2]);
    close(&model.values, &[2.75, 0.25]);
    close(&[model.path[0].deviance_ratio], &[0.0]);
}

#[test]
fn a_constant_target_gives_the_empty_model() {
    let data = dataset_of(r#"{"format":"dense","values":[[1,2],[2,-1],[-1,1],[0,1],[3,0]],"y":[4,4,4,4,4]}"#);
    let model = trained(&data, &ResolvedFit { lambda: Lambda::Path { n: 5, min_ratio: 0.1 }, ..spec() });
    assert_eq!((model.indices.len(), model.path.len(), model.card.intercept), (0, 5, 4.0));
    assert_eq!(model.card.metrics["train"]["r2"], Value::Null);
}

#[test]
fn progress_rises_below_one_and_names_its_steps() {
    let data = noisy(|signal| signal.to_string());
    let told: Mutex<Vec<Progress>> = Mutex::new(Vec::new());
    let observe = |progress: &Progress| {
        told.lock().expect("no panic").push(progress.clone());
        ControlFlow::Continue(())
    };
    fit(&data.data, &path_with_cv(Rule::Min), &Run::new(2, &observe)).expect("a model");
    let told = told.into_inner().expect("no panic");
    assert!(told.windows(2).all(|pair| pair[0].fraction <= pair[1].fraction));
    let last = told.last().expect("told");
    assert!(last.fraction < 1.0 && told[0].fraction == 0.0);
    let steps: Vec<_> = last.steps.iter().map(|step| (step.name.as_str(), step.total)).collect();
    assert_eq!(steps, [("prepare", 1), ("path", 30), ("cv", 150)]);
    assert!(told.iter().any(|progress| progress.current.as_ref().is_some_and(|current| current.fold.is_some())));
    let mut progress = Progress { fraction: 0.25, ..Progress::default() };
    progress.estimate_rest(10.0);
    assert_eq!(progress.eta_s, Some(30.0));
}

#[test]
fn a_fit_ends_at_the_next_look_once_it_is_told_to() {
    let data = noisy(|signal| signal.to_string());
    for after in [0, 1, 2, 10, 40] {
        let calls = AtomicU64::new(0);
        let observe = |_: &Progress| match calls.fetch_add(1, Ordering::Relaxed) >= after {
            true => ControlFlow::Break(Leave::Nothing),
            false => ControlFlow::Continue(()),
        };
        let result = fit(&data.data, &path_with_cv(Rule::Min), &Run::new(1, &observe));
        assert_eq!(result.expect_err("cancelled"), TrainError::Cancelled, "after {after}");
        // a fold that has not begun yet asks once more
        assert!(calls.into_inner() <= after + 1 + 5, "no fold goes on after it was told to stop");
    }
}

#[test]
fn twin_columns_are_named_in_a_warning() {
    let twins = dataset_of(
        r#"{"format":"dense","values":[[1,2,1],[1,2,-1],[-1,-2,1],[-1,-2,-1]],"y":[5.5,4.5,-0.5,-1.5],
            "feature_names":["left","right","other"]}"#,
    );
    let model = trained(&twins, &ResolvedFit { standardize: Standardize::Scale, ..spec() });
    let warning = model.card.warnings.iter().find(|warning| warning.code == "support_not_unique").expect("a warning");
    assert_eq!(warning.features, ["left", "right"]);
}

#[test]
fn a_fit_stopped_by_its_epochs_says_so() {
    let mut spec = ResolvedFit { lambda: Lambda::Value { value: 1e-4 }, ..spec() };
    spec.solver.max_epochs = 1;
    spec.solver.tol = 1e-15;
    let model = run(&noisy(|signal| signal.to_string()), &spec).expect("a model");
    assert_eq!(model.card.certificate.status, CertificateStatus::NotConverged);
    assert!(model.card.warnings.iter().any(|warning| warning.code == "not_converged"));
}

#[test]
fn other_libraries_are_named_only_where_they_are_equal() {
    let of = |spec: &ResolvedFit| trained(&orthogonal(""), spec).card.equivalents;
    let lasso = of(&spec());
    assert_eq!((&lasso["sklearn"]["alpha"], &lasso["glmnet"]["lambda"], &lasso["spark"]), (&1.0.into(), &1.0.into(), &Value::Null));
    let scaled = of(&ResolvedFit { standardize: Standardize::Scale, ..spec() });
    assert_eq!((&scaled["sklearn"], &scaled["glmnet"]["standardize"]), (&Value::Null, &true.into()));
    let mut net = spec();
    net.penalty.l1_ratio = L1Ratio::One(0.5);
    assert_eq!((&of(&net)["glmnet"], &of(&net)["sklearn"]["l1_ratio"]), (&Value::Null, &0.5.into()));
    let mut factored = spec();
    factored.penalty.factors.insert("a".into(), 0.5);
    assert_eq!(of(&factored), serde_json::json!({ "glmnet": null, "sklearn": null, "spark": null, "celer": null, "skglm": null }));
    let data = noisy(|signal| if signal > 0.0 { "1".into() } else { "0".into() });
    let spec = ResolvedFit { loss: logistic(Class::Number(1.0)), lambda: Lambda::Value { value: 0.05 }, ..spec() };
    close(&[trained(&data, &spec).card.equivalents["sklearn"]["C"].as_f64().expect("a number")], &[1.0 / (60.0 * 0.05)]);
}

#[test]
fn the_objective_is_written_in_the_words_of_the_contract() {
    let objective = trained(&orthogonal(""), &spec()).card.objective;
    let contract = "(1/Σs) Σ s_i·loss(y_i, η_i) + λ Σ f_j [ l1_ratio·|w_j| + (1−l1_ratio)/2·w_j² ], η = Xw + b + o";
    assert!(objective.starts_with(contract), "{objective}");
}
