//! Stability selection: what it finds, and that it is what its definition says.

use std::collections::HashSet;

use super::*;
use crate::spec::{Refit, Stability};

/// Rows and features; the features 0, 7 and 11 matter.
const SHAPE: (usize, usize) = (81, 40);
const PLANTED: [u32; 3] = [0, 7, 11];

fn rows() -> Vec<Vec<f64>> {
    let mut state = 5_u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f64 / f64::from(1 << 23) - 1.0
    };
    // the last number of a row is its noise
    (0..SHAPE.0).map(|_| (0..=SHAPE.1).map(|_| random()).collect()).collect()
}

fn signal(row: &[f64]) -> f64 {
    2.0 * row[0] - 2.0 * row[7] + 1.5 * row[11] + 0.5 * row[SHAPE.1]
}

fn of(rows: &[Vec<f64>], target: &dyn Fn(f64) -> f64) -> Fixture {
    let values: Vec<&[f64]> = rows.iter().map(|row| &row[..SHAPE.1]).collect();
    let y: Vec<f64> = rows.iter().map(|row| target(signal(row))).collect();
    dataset_of(&serde_json::json!({ "format": "dense", "values": values, "y": y }).to_string())
}

fn stability() -> Stability {
    Stability { resamples: 20, seed: 9, stratify: false, threshold: 0.8, expected_false: 1.0 }
}

fn with(stability: Stability) -> ResolvedFit {
    let lambda = Lambda::Path { n: 25, min_ratio: 0.02 };
    ResolvedFit { lambda, selection: Selection::Stability(stability), standardize: Standardize::Scale, ..spec() }
}

fn losses() -> Vec<(Fixture, ResolvedFit)> {
    let side = |signal: f64| f64::from(u8::from(signal > 0.3));
    let classes = |loss: Loss| ResolvedFit { loss, ..with(Stability { stratify: true, ..stability() }) };
    let hinge = Loss::SquaredHinge { positive_class: Class::Number(1.0) };
    vec![
        (of(&rows(), &|signal| signal), with(stability())),
        (of(&rows(), &|signal| signal), ResolvedFit { loss: Loss::Huber { delta: 1.0 }, ..with(stability()) }),
        (of(&rows(), &|signal| (signal + 4.0).max(0.0).round()), ResolvedFit { loss: Loss::Poisson, ..with(stability()) }),
        (of(&rows(), &side), classes(logistic(Class::Number(1.0)))),
        (of(&rows(), &side), classes(hinge)),
        (of(&rows(), &side), classes(Loss::Multinomial)),
    ]
}

/// The fits whose interruption is tested.
pub(super) fn interesting() -> Vec<(Fixture, ResolvedFit)> {
    let few = |spec: &mut ResolvedFit| {
        spec.lambda = Lambda::Path { n: 6, min_ratio: 0.2 };
        spec.selection = Selection::Stability(Stability { resamples: 4, ..spec.selection.stability().expect("it is").clone() });
    };
    let mut all = losses();
    all.iter_mut().for_each(|(_, spec)| few(spec));
    all.retain(|(_, spec)| matches!(spec.loss, Loss::Squared | Loss::Logistic { .. } | Loss::Multinomial));
    all
}

fn told(model: &LinearModel) -> &crate::model::Stability {
    model.stability.as_ref().expect("frequencies")
}

#[test]
fn features_that_matter_are_stable_and_noise_is_not_whatever_the_loss() {
    for (fixture, spec) in losses() {
        let model = trained(&fixture, &spec);
        let found = told(&model);
        let stable: HashSet<u32> = found.indices[..found.features_stable as usize].iter().copied().collect();
        assert_eq!(stable, PLANTED.into(), "{:?} {found:?}", spec.loss);
        assert!(model.indices.iter().all(|feature| stable.contains(feature)), "the model has no others");
        assert!(model.indices.len() >= 3 && found.counts.is_sorted_by(|a, b| a >= b));
        assert!(found.false_bound <= 1.0 && found.features_selected >= 3.0, "{found:?}");
        let (p, q) = (SHAPE.1 as f64, found.features_selected);
        close(&[found.false_bound], &[q * q / (0.6 * p)]);
        let selection = model.card.selection.as_ref().expect("a selection");
        let index = selection["index"].as_u64().expect("an index") as usize;
        assert_eq!((selection["rule"].as_str(), model.card.lambda), (Some("threshold"), model.path[index].lambda));
        assert_eq!(model.card.lambda_max, model.path[0].lambda);
        assert!(model.card.objective.contains("not stable") && model.card.equivalents["glmnet"].is_null());
        assert_eq!(model.card.engine["seed"], 9);
    }
}

/// Frequencies by their definition: each half as a data set of its own, every λ to the end of the path.
#[test]
fn frequencies_are_those_of_fits_on_copied_halves() {
    let all = rows();
    let spec = with(stability());
    let model = trained(&of(&all, &|signal| signal), &spec);
    let lambdas: Vec<f64> = model.path.iter().map(|row| row.lambda).collect();
    let mut supports = Vec::new();
    for pair in 0..10 {
        let halves = stability().halves(None, SHAPE.0, None, pair);
        assert_eq!([0, 1].map(|side| halves.iter().filter(|half| **half == side).count()), [40, 40]);
        for side in [0, 1] {
            let half: Vec<Vec<f64>> = all.iter().zip(&halves).filter(|(_, half)| **half == side).map(|(row, _)| row.clone()).collect();
            let copied = of(&half, &|signal| signal);
            let along = |lambda: &f64| {
                trained(&copied, &ResolvedFit { lambda: Lambda::Value { value: *lambda }, selection: Selection::None, ..spec.clone() })
                    .indices
            };
            supports.push(lambdas.iter().map(along).collect::<Vec<_>>());
        }
    }
    let (most, mut ever, mut last, mut average) = ((0.6 * 40.0_f64).sqrt(), vec![HashSet::new(); 20], 0, 0.0);
    for at in 0..lambdas.len() {
        ever.iter_mut().zip(&supports).for_each(|(ever, half)| ever.extend(half[at].iter().copied()));
        let q = ever.iter().map(HashSet::len).sum::<usize>() as f64 / 20.0;
        if q > most {
            break;
        }
        (last, average) = (at, q);
    }
    let count = |feature: u32, at: usize| supports.iter().filter(|half| half[at].contains(&feature)).count() as u32;
    let mut expected: Vec<(u32, u32)> = (0..40)
        .map(|feature| (feature, (0..=last).map(|at| count(feature, at)).max().unwrap_or(0)))
        .filter(|(_, most)| *most > 0)
        .collect();
    expected.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
    let found = told(&model);
    assert!(last > 2 && last + 1 < lambdas.len(), "the bound ends within the path: {last}");
    assert_eq!(found.indices.iter().copied().zip(found.counts.iter().copied()).collect::<Vec<_>>(), expected);
    assert_eq!((found.features_selected, found.features_ever), (average, expected.len() as u64));
    assert_eq!(model.card.lambda, lambdas[last]);
}

#[test]
fn threads_do_not_change_it_a_seed_does_and_a_refit_takes_the_shrinking_off() {
    let data = of(&rows(), &|signal| signal);
    let spec = with(stability());
    let model = trained(&data, &spec);
    for threads in [1, 3] {
        let again = fit(&data.data, &spec, &Run::new(threads, &|_| ControlFlow::Continue(()))).expect("a model");
        assert!(again.encode() == model.encode(), "{threads} threads");
    }
    let other = trained(&data, &with(Stability { seed: 10, ..stability() }));
    assert_ne!(told(&other).counts, told(&model).counts);
    let refit = ResolvedFit { refit: Some(Refit { relaxed_gamma: vec![0.0] }), ..spec };
    let refit = run(&data, &refit).expect("a model");
    assert_eq!((&refit.indices, &refit.stability), (&model.indices, &model.stability));
    assert_eq!(refit.indices, PLANTED);
    let size = |model: &LinearModel| model.values.iter().map(|value| value.abs()).sum::<f64>();
    assert!(size(&refit) > size(&model));
}

#[test]
fn where_nothing_is_stable_the_model_is_empty_and_free_features_stay() {
    let data = of(&rows(), &|_| 0.0);
    let model = trained(&data, &with(stability()));
    assert_eq!((model.indices.len(), told(&model).features_stable, told(&model).features_ever), (0, 0, 0));
    let mut free = with(Stability { expected_false: 0.01, threshold: 1.0, ..stability() });
    free.penalty.factors.insert("3".into(), 0.0);
    let model = trained(&of(&rows(), &|signal| signal), &free);
    assert!(model.indices.contains(&3), "never penalised: {:?}", model.indices);
    let found = told(&model);
    let at = found.indices.iter().position(|index| *index == 3).expect("every half has it");
    assert_eq!(found.counts[at], 20);
    // the bound is about those that are penalised
    close(&[found.false_bound], &[found.features_selected.powi(2) / 39.0]);
}

#[test]
fn progress_counts_halves_and_what_a_stop_leaves_chooses() {
    let data = of(&rows(), &|signal| signal);
    let spec = with(stability());
    let last = Mutex::new(Progress::default());
    let observe = |progress: &Progress| {
        let mut last = last.lock().expect("no panic");
        assert!(progress.fraction >= last.fraction);
        *last = progress.clone();
        let halves = progress.steps.iter().find(|step| step.name == "resamples").map_or(0, |step| step.done);
        if halves >= 6 { ControlFlow::Break(Leave::Best) } else { ControlFlow::Continue(()) }
    };
    let model = fit(&data.data, &spec, &Run::new(1, &observe)).expect("a model");
    assert_eq!(told(&model).resamples, 6);
    assert!(model.card.warnings.iter().any(|warning| warning.detail.contains("6 of 20 halves")), "{:?}", model.card.warnings);
    assert_eq!(last.into_inner().expect("no panic").steps.iter().find(|step| step.name == "resamples").map(|step| step.total), Some(20));
    let stop = |_: &Progress| ControlFlow::Break(Leave::Nothing);
    assert_eq!(fit(&data.data, &spec, &Run::new(2, &stop)).expect_err("cancelled"), TrainError::Cancelled);
}

#[test]
fn half_of_the_rows_without_a_class_is_told() {
    let weights: Vec<f64> = (0..SHAPE.0).map(|row| f64::from(u8::from(row < 2))).collect();
    let values: Vec<Vec<f64>> = rows().iter().map(|row| row[..SHAPE.1].to_vec()).collect();
    let y: Vec<f64> = (0..SHAPE.0).map(|row| (row % 2) as f64).collect();
    let data = dataset_of(&serde_json::json!({ "format": "dense", "values": values, "y": y, "weights": weights }).to_string());
    let spec = ResolvedFit { loss: logistic(Class::Number(1.0)), ..with(stability()) };
    assert!(matches!(run(&data, &spec), Err(TrainError::Unfit { code: "invalid_target" | "invalid_weight", .. })));
}
