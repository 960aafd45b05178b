//! Comparisons: what they measure is what an evaluation, a fit or a sum over all rows measures, and a stop is heard.

use std::sync::atomic::AtomicUsize;

use serde_json::json;

use super::*;
use crate::job::{DatasetRef, Warning};
use crate::model::{Comparison, KeptPath, Model};
use crate::numeric::SplitMix64;
use crate::spec::{Criterion, Measure, Pruning, ResolvedCompare, ResolvedTree, ScoreName, TreeSize};

fn contender(fixture: &Fixture, reference: &str, model: Model, fitted: Option<&ResolvedFit>) -> Contender {
    let origin = fitted.map(|spec| Origin { dataset: Arc::new(fixture.data.clone()), spec: spec.clone() });
    Contender {
        reference: reference.into(),
        stored_bytes: model.encode().len() as u64,
        model: Arc::new(model),
        names: fixture.data.names.clone(),
        fitted_on: fixture.data.meta.sha256.clone(),
        fit_ms: Some(5),
        origin,
        unpruned: None,
    }
}

fn asked(score: ScoreName, measure: &[Measure]) -> ResolvedCompare {
    ResolvedCompare {
        models: Vec::new(),
        measure: measure.to_vec(),
        score,
        twin: false,
        fits: Vec::new(),
        bootstrap: 100,
        halves: 4,
        seed: 5,
        limits: RunLimits::default(),
    }
}

fn side_by_side(fixture: &Fixture, contenders: Vec<Contender>, asked: &ResolvedCompare) -> (Comparison, Vec<Warning>) {
    let identity = DatasetRef { name: "d".into(), version: 1, sha256: fixture.data.meta.sha256.clone() };
    let ticks = AtomicU64::new(0);
    let clock = || ticks.fetch_add(3000, Ordering::Relaxed);
    compare(&fixture.data, identity, contenders, asked, &Run::new(2, &|_| ControlFlow::Continue(())), &clock).expect("a comparison")
}

fn at(lambda: f64, loss: Loss) -> ResolvedFit {
    ResolvedFit { loss, lambda: Lambda::Value { value: lambda }, ..spec() }
}

fn tree_of(fixture: &Fixture, criterion: Criterion, leaves: Option<u64>) -> (Model, crate::model::TreePath) {
    let pruning = leaves.map_or(Pruning::None, |target_leaves| Pruning::TargetLeaves { target_leaves });
    let size = TreeSize { max_depth: Some(6), max_leaves: None, min_leaf_weight: 0.0, min_impurity_decrease: 0.0 };
    let spec = ResolvedTree { kind: "tree".into(), criterion, size, pruning, weights: true, limits: RunLimits::default() };
    let (model, path) = grow(&fixture.data, &spec, &Run::new(1, &|_| ControlFlow::Continue(()))).expect("a tree");
    (Model::Tree(model), path)
}

fn classes() -> Fixture {
    noisy(|signal| i32::from(signal > 0.0).to_string())
}

#[test]
fn scores_are_those_of_an_evaluation() {
    let (binary, numbers) = (classes(), noisy(|signal| signal.to_string()));
    let one = Class::Number(1.0);
    let cases: Vec<(&Fixture, Model, ScoreName)> = vec![
        (&binary, Model::Linear(trained(&binary, &at(0.05, logistic(one.clone())))), ScoreName::Auc),
        (&binary, Model::Linear(trained(&binary, &at(0.05, Loss::SquaredHinge { positive_class: one.clone() }))), ScoreName::Auc),
        (&binary, tree_of(&binary, Criterion::Gini, Some(4)).0, ScoreName::Auc),
        (&binary, Model::Linear(trained(&binary, &at(0.02, Loss::Multinomial))), ScoreName::Accuracy),
        (&numbers, Model::Linear(trained(&numbers, &at(0.05, Loss::Squared))), ScoreName::R2),
        (&numbers, tree_of(&numbers, Criterion::Squared, Some(5)).0, ScoreName::R2),
    ];
    for (fixture, model, score) in cases {
        let expected = evaluate(&fixture.data, &model, None, &|_| ControlFlow::Continue(())).expect("measures").metrics["score"].as_f64();
        let (found, warnings) = side_by_side(fixture, vec![contender(fixture, "m:1", model, None)], &asked(score, &[Measure::Quality]));
        let row = &found.data[0];
        let (found_score, expected) = (row.score.expect("a score"), expected.expect("a score"));
        assert!((found_score - expected).abs() < 1e-12, "{score:?}: {found_score} for {expected}");
        assert!(row.score_low.expect("an end") <= found_score && found_score <= row.score_high.expect("an end"), "{row:?}");
        assert!(row.on_training_rows && warnings.iter().any(|warning| warning.code == "on_training_rows"));
        assert_eq!((&row.difference, row.size, row.latency_us_p50), (&None, None, None), "what is not measured is not told");
    }
}

#[test]
fn counts_with_exposures_have_the_deviance_ratio_of_an_evaluation() {
    let rows: Vec<[f64; 2]> = (0..60).map(|i| [f64::from(i % 5), f64::from(i % 7)]).collect();
    let y: Vec<u32> = (0..60).map(|i| (i % 5) + (i * i) % 3).collect();
    let offset: Vec<f64> = (0..60).map(|i| f64::from(i % 4) / 4.0).collect();
    let weights: Vec<f64> = (0..60).map(|i| f64::from(i % 3)).collect();
    let upload = json!({ "format": "dense", "values": rows, "y": y, "offset": offset, "weights": weights });
    let fixture = dataset_of(&upload.to_string());
    let model = Model::Linear(trained(&fixture, &at(0.01, Loss::Poisson)));
    let expected = evaluate(&fixture.data, &model, None, &|_| ControlFlow::Continue(())).expect("measures").metrics["score"].clone();
    let (found, _) =
        side_by_side(&fixture, vec![contender(&fixture, "m:1", model, None)], &asked(ScoreName::DevianceRatio, &[Measure::Quality]));
    let (found, expected) = (found.data[0].score.expect("a score"), expected.as_f64().expect("a score"));
    assert!((found - expected).abs() < 1e-12, "{found} for {expected}");
}

/// The middle 95 % of numbers, by a sort of its own.
fn middle(mut values: Vec<f64>) -> [f64; 2] {
    values.sort_by(f64::total_cmp);
    [0.025, 0.975].map(|share: f64| {
        let place = share * (values.len() - 1) as f64;
        let (low, high) = (values[place.floor() as usize], values[place.ceil() as usize]);
        low + (high - low) * place.fract()
    })
}

#[test]
fn intervals_are_those_of_a_direct_computation_on_the_same_rows() {
    let fixture = noisy(|signal| signal.to_string());
    let models = [0.01, 0.4].map(|lambda| Model::Linear(trained(&fixture, &at(lambda, Loss::Squared))));
    let contenders = models.iter().zip(["m:1", "m:2"]).map(|(model, name)| contender(&fixture, name, model.clone(), None)).collect();
    let (found, _) = side_by_side(&fixture, contenders, &asked(ScoreName::R2, &[Measure::Quality]));
    let said: Vec<Vec<f64>> = models
        .iter()
        .map(|model| {
            let model = model.linear().expect("coefficients");
            let row = |row: dataset::Row| {
                let value = |feature: &u32| row.indices.iter().position(|one| one == feature).map_or(0.0, |at| row.values[at]);
                model.card.intercept + model.indices.iter().zip(&model.values).map(|(feature, w)| w * value(feature)).sum::<f64>()
            };
            dataset::rows(&fixture.data, 0, 60).into_iter().map(row).collect()
        })
        .collect();
    let r2 = |model: usize, rows: &[usize]| {
        let mean = rows.iter().map(|row| fixture.data.y[*row]).sum::<f64>() / rows.len() as f64;
        let missed: f64 = rows.iter().map(|row| (fixture.data.y[*row] - said[model][*row]).powi(2)).sum();
        1.0 - missed / rows.iter().map(|row| (fixture.data.y[*row] - mean).powi(2)).sum::<f64>()
    };
    let resamples: Vec<Vec<usize>> = (0..100_u64)
        .map(|which| {
            let mut random = SplitMix64(SplitMix64(5 ^ which.wrapping_mul(0x9e37_79b9_7f4a_7c15)).bits());
            (0..60).map(|_| random.below(60) as usize).collect()
        })
        .collect();
    let near = |found: Option<f64>, expected: f64| {
        let found = found.expect("a number");
        assert!((found - expected).abs() < 1e-10, "{found} for {expected}");
    };
    for model in 0..2 {
        let [low, high] = middle(resamples.iter().map(|rows| r2(model, rows)).collect());
        near(found.data[model].score_low, low);
        near(found.data[model].score_high, high);
    }
    let [low, high] = middle(resamples.iter().map(|rows| r2(1, rows) - r2(0, rows)).collect());
    near(found.data[1].difference_low, low);
    near(found.data[1].difference_high, high);
    // the strong penalty is shown to be worse, so that the larger model is the one to take
    let recommendation = found.recommendation.expect("one");
    assert_eq!((recommendation.index, recommendation.best, recommendation.difference), (0, 0, 0.0));
    assert!(high < 0.0 && recommendation.sentence.contains("m:1"), "{}", recommendation.sentence);
}

#[test]
fn the_smallest_that_is_not_shown_to_be_worse_is_recommended() {
    let fixture = noisy(|signal| signal.to_string());
    // two features matter: without the four others nothing is lost that could be shown
    let all = trained(&fixture, &at(0.0005, Loss::Squared));
    let two = trained(&fixture, &at(0.02, Loss::Squared));
    let none = trained(&fixture, &at(10.0, Loss::Squared));
    assert!(all.values.len() > two.values.len() && none.values.is_empty(), "{} {}", all.values.len(), two.values.len());
    let contenders = [all, none, two].into_iter().zip(["all:1", "none:1", "two:1"]);
    let contenders = contenders.map(|(model, name)| contender(&fixture, name, Model::Linear(model), None)).collect();
    let (found, _) = side_by_side(&fixture, contenders, &asked(ScoreName::R2, &[Measure::Quality, Measure::Size]));
    let told = found.recommendation.expect("one");
    let shown_worse = found.data[2].difference_high.is_some_and(|high| high < 0.0);
    assert_eq!(told.reference, if shown_worse { "all:1" } else { "two:1" }, "{}", told.sentence);
    assert_eq!(found.data[1].score.map(|score| score.abs() < 1e-12), Some(true), "a mean alone explains nothing");
    assert!(found.data[0].bytes_parameters > found.data[2].bytes_parameters && found.data[2].bytes_memory > found.data[1].bytes_memory);
    assert_eq!((found.data[0].fit_ms, found.data[0].nonzeros), (Some(5), found.data[0].size));
}

#[test]
fn a_twin_is_the_ridge_of_the_same_data_and_of_a_tree_the_whole_tree() {
    let fixture = classes();
    let fitted = ResolvedFit { loss: logistic(Class::Number(1.0)), ..path_with_cv(Rule::Min) };
    let lasso = trained(&fixture, &fitted);
    let (tree, path) = tree_of(&fixture, Criterion::Gini, Some(3));
    let (whole, kept) = (path.rows[0].leaves, tree.card().size());
    assert!(kept < whole);
    let mut of_tree = contender(&fixture, "tree:1", tree, None);
    of_tree.unpruned = Some(KeptPath::Tree(path));
    let ridge = run(&fixture, &fitted.dense_twin(fixture.data.meta.shape)).expect("a ridge");
    let dense = contender(&fixture, "ridge:1", Model::Linear(ridge.clone()), Some(&fitted));
    let contenders = vec![contender(&fixture, "lasso:1", Model::Linear(lasso), Some(&fitted)), of_tree, dense];
    let spec = ResolvedCompare { twin: true, ..asked(ScoreName::Auc, &[Measure::Quality, Measure::Size, Measure::Support]) };
    let (found, _) = side_by_side(&fixture, contenders, &spec);
    let rows: Vec<(&str, bool)> = found.data.iter().map(|row| (&*row.reference, row.twin)).collect();
    assert_eq!(rows, [("lasso:1", false), ("lasso:1", true), ("tree:1", false), ("tree:1", true), ("ridge:1", false)]);
    let twin = &found.data[1];
    assert_eq!((twin.l1_ratio, twin.nonzeros, twin.lambda), (Some(0.0), Some(6), Some(ridge.card.lambda)));
    assert_eq!((twin.score, twin.score_low), (found.data[4].score, found.data[4].score_low), "the same ridge, the same resamples");
    assert_eq!(twin.bytes_stored, Some(ridge.encode().len() as u64));
    assert_eq!((found.data[2].size, found.data[3].size, found.data[3].fit_ms), (Some(kept), Some(whole), None));
    assert!(found.data[3].bytes_stored > found.data[2].bytes_stored);
    let jaccard = found.support_jaccard.expect("shares");
    assert!(jaccard[1][4] == 1.0 && jaccard[0][0] == 1.0 && jaccard[0][1] == jaccard[1][0]);
}

#[test]
fn a_twin_that_cannot_be_made_is_a_warning() {
    let fixture = classes();
    let lasso = trained(&fixture, &at(0.05, logistic(Class::Number(1.0))));
    let (tree, _) = tree_of(&fixture, Criterion::Gini, Some(3));
    let contenders = vec![contender(&fixture, "m:1", Model::Linear(lasso), None), contender(&fixture, "tree:1", tree, None)];
    let spec = ResolvedCompare { twin: true, ..asked(ScoreName::Auc, &[Measure::Size]) };
    let (found, warnings) = side_by_side(&fixture, contenders, &spec);
    assert_eq!(found.data.len(), 2);
    assert_eq!(warnings.iter().filter(|warning| warning.code == "no_twin").count(), 2, "{warnings:?}");
    assert!(found.recommendation.is_none(), "sizes alone recommend nothing");
}

#[test]
fn the_rows_that_two_models_differ_on_most_are_told_with_what_both_say() {
    let fixture =
        dataset_of(r#"{"format":"dense","values":[[1,0],[0,1],[1,1],[3,0],[0,0]],"y":[1.5,2.5,3.5,4.5,5.5],"weights":[1,1,1,0,1]}"#);
    let with = |coefficients: &[(u32, f64)]| {
        let (indices, values): (Vec<u32>, Vec<f64>) = coefficients.iter().copied().unzip();
        let mut model = crate::model::sample::model(&indices, &values);
        (model.card.loss, model.card.intercept, model.card.sparsity.n_features) = ("squared".into(), 1.0, 2);
        (model.card.classes, model.card.l1_ratio) = (None, 1.0);
        Model::Linear(model)
    };
    let contenders =
        vec![contender(&fixture, "a:1", with(&[(0, 2.0)]), None), contender(&fixture, "b:1", with(&[(0, 1.0), (1, -1.0)]), None)];
    let (found, _) =
        side_by_side(&fixture, contenders, &asked(ScoreName::R2, &[Measure::Disagreement, Measure::Support, Measure::Latency]));
    let told = &found.disagreements.expect("pairs")[0];
    // a says 3 1 3 · 1 and b says 2 0 1 · 1; the row without weight does not count
    let rows: Vec<(u64, f64)> = told.rows.iter().map(|row| (row.row, row.difference)).collect();
    assert_eq!((rows, told.mean_difference, told.labels_differ), (vec![(2, 2.0), (0, 1.0), (1, 1.0)], Some(1.0), None));
    let first = &told.rows[0];
    assert_eq!((first.predictions[0].prediction, first.predictions[1].prediction), (Some(3.0), Some(1.0)));
    assert_eq!((&first.y, told.pair), (&Class::Number(3.5), [0, 1]));
    assert_eq!(found.support_jaccard.expect("shares")[0], [1.0, 0.5]);
    assert_eq!((found.shared.expect("counts")[1][0], found.data[1].features_used), (1, Some(2)));
    // every look at the clock is 3 µs after the one before
    assert_eq!((found.data[0].latency_us_p50, found.data[1].latency_us_p99), (Some(3.0), Some(3.0)));
}

#[test]
fn classes_differ_by_the_distance_of_their_distributions() {
    let fixture = classes();
    let spec = at(0.05, logistic(Class::Number(1.0)));
    let turned = at(0.05, logistic(Class::Number(0.0)));
    let models = [&spec, &turned].map(|spec| Model::Linear(trained(&fixture, spec)));
    let contenders = models.into_iter().zip(["m:1", "m:2"]).map(|(model, name)| contender(&fixture, name, model, None)).collect();
    let (found, _) = side_by_side(&fixture, contenders, &asked(ScoreName::Auc, &[Measure::Quality, Measure::Disagreement]));
    // the same problem with its sides turned round: the same scores, and all but the same probabilities
    let (one, other) = (found.data[0].score.expect("a score"), found.data[1].score.expect("a score"));
    assert!((one - other).abs() < 1e-9, "{one} {other}");
    let told = &found.disagreements.expect("pairs")[0];
    assert_eq!(told.labels_differ, Some(0.0));
    assert!(told.mean_difference.expect("a mean") < 1e-4, "{told:?}");
}

#[test]
fn halves_of_the_rows_agree_on_features_that_matter() {
    let fixture = noisy(|signal| signal.to_string());
    let spec = at(0.2, Loss::Squared);
    let strong = trained(&fixture, &spec);
    let contenders = vec![
        contender(&fixture, "m:1", Model::Linear(strong.clone()), Some(&spec)),
        contender(&fixture, "m:2", Model::Linear(strong), None),
        contender(&fixture, "tree:1", tree_of(&fixture, Criterion::Squared, None).0, None),
    ];
    let (found, _) = side_by_side(&fixture, contenders, &asked(ScoreName::R2, &[Measure::Stability]));
    let told: Vec<_> = found.data.iter().map(|row| row.stability.as_ref().expect("told")).collect();
    assert_eq!((told[0].halves, &told[0].reason), (4, &None));
    assert!(
        told[0].jaccard.is_some_and(|share| share > 0.4 && share <= 1.0) && told[0].features.is_some_and(|mean| mean >= 1.0),
        "{told:?}"
    );
    assert!(told[1].reason.is_some() && told[2].reason.is_some() && told[2].jaccard.is_none());
}

#[test]
fn a_comparison_that_is_told_to_stop_stops_wherever_it_is() {
    let fixture = classes();
    let fitted = ResolvedFit { loss: logistic(Class::Number(1.0)), ..path_with_cv(Rule::Min) };
    let model = Model::Linear(trained(&fixture, &fitted));
    let all = [Measure::Quality, Measure::Size, Measure::Latency, Measure::Support, Measure::Disagreement, Measure::Stability];
    let spec = ResolvedCompare { twin: true, ..asked(ScoreName::Auc, &all) };
    let identity = || DatasetRef { name: "d".into(), version: 1, sha256: fixture.data.meta.sha256.clone() };
    let told = |stop: usize| {
        let (calls, highest) = (AtomicUsize::new(0), Mutex::new(0.0_f64));
        let observe = |at: &Progress| {
            let mut highest = highest.lock().expect("nobody panics");
            assert!(at.fraction >= *highest && at.fraction < 1.0, "{} after {highest}", at.fraction);
            *highest = at.fraction;
            if calls.fetch_add(1, Ordering::Relaxed) >= stop { ControlFlow::Break(Leave::Nothing) } else { ControlFlow::Continue(()) }
        };
        let contenders = vec![contender(&fixture, "m:1", model.clone(), Some(&fitted))];
        // one thread: several may tell in any order
        let ended = compare(&fixture.data, identity(), contenders, &spec, &Run::new(1, &observe), &|| 0);
        (ended.map(|_| ()), calls.into_inner())
    };
    let (whole, calls) = told(usize::MAX);
    assert!(whole.is_ok() && calls > 50, "{calls}");
    for stop in [0, 1, 5, calls / 4, calls / 2, 3 * calls / 4, calls - 1] {
        assert_eq!(told(stop).0, Err(TrainError::Cancelled), "{stop} of {calls}");
    }
}
