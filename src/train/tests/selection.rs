//! How a model is chosen: criteria, hold-out, repeats, groups, rules, several ratios, refits, adaptive factors, the twin.

use std::collections::HashSet;

use serde_json::json;

use super::*;
use crate::spec::{Adaptive, Holdout, Pilot, Refit};

fn squared() -> Fixture {
    noisy(|signal| signal.to_string())
}

fn classes() -> Fixture {
    noisy(|signal| if signal > 0.3 { "1".into() } else { "0".into() })
}

fn with(selection: Selection) -> ResolvedFit {
    ResolvedFit { selection, ..path_with_cv(Rule::Min) }
}

fn folds_with(change: impl FnOnce(&mut CrossValidation)) -> ResolvedFit {
    let mut cv = folds_of(Rule::Min);
    change(&mut cv);
    with(Selection::Cv(cv))
}

fn holdout(rule: Rule, within_pct: Option<f64>) -> Holdout {
    Holdout { fraction: 0.25, stratify: false, seed: 4, metric: "deviance".into(), rule, within_pct, groups: Vec::new() }
}

fn several(mut spec: ResolvedFit, ratios: &[f64]) -> ResolvedFit {
    spec.penalty.kind = "elastic_net".into();
    spec.penalty.l1_ratio = if let [ratio] = ratios { L1Ratio::One(*ratio) } else { L1Ratio::Several(ratios.to_vec()) };
    spec
}

fn relaxed(spec: ResolvedFit, gammas: &[f64]) -> ResolvedFit {
    ResolvedFit { refit: Some(Refit { relaxed_gamma: gammas.to_vec() }), ..spec }
}

fn adaptive(mut spec: ResolvedFit, pilot: Pilot) -> ResolvedFit {
    spec.penalty.adaptive = Some(Adaptive { gamma: 1.0, pilot });
    spec
}

/// A model that is stored and read back; its certificate may not apply.
fn made(fixture: &Fixture, spec: &ResolvedFit) -> LinearModel {
    let model = run(fixture, spec).expect("a model");
    assert_eq!(LinearModel::decode(&model.encode()).expect("a stored model reads back"), model);
    model
}

/// The fits whose interruption is tested.
pub(super) fn interesting() -> Vec<(Fixture, ResolvedFit)> {
    let short = |spec: ResolvedFit| ResolvedFit { lambda: Lambda::Path { n: 8, min_ratio: 1e-2 }, ..spec };
    let logistic_of = |spec: ResolvedFit| ResolvedFit { loss: logistic(Class::Number(1.0)), ..spec };
    let twin = |spec: ResolvedFit| ResolvedFit { compare_ridge: true, ..spec };
    vec![
        (squared(), short(several(with(Selection::Bic), &[0.5, 1.0]))),
        (squared(), short(with(Selection::Holdout(holdout(Rule::Min, None))))),
        (squared(), short(folds_with(|cv| (cv.repeats, cv.folds) = (2, 3)))),
        (classes(), logistic_of(short(relaxed(several(folds_with(|cv| cv.folds = 3), &[0.5, 1.0]), &[1.0, 0.5, 0.0])))),
        (squared(), twin(short(relaxed(adaptive(folds_with(|cv| cv.folds = 3), Pilot::L1), &[0.5, 0.0])))),
        (squared(), short(adaptive(with(Selection::None), Pilot::Ridge))),
    ]
}

#[test]
fn criteria_are_what_their_equations_say() {
    let data = squared();
    let spec = with(Selection::Bic);
    let model = trained(&data, &spec);
    let n = 60.0_f64;
    let null = |model: &LinearModel| {
        let train = &model.card.metrics["train"];
        train["deviance"].as_f64().unwrap() / (1.0 - train["deviance_ratio"].as_f64().unwrap())
    };
    let expect = |model: &LinearModel, price: f64, more: &dyn Fn(u64) -> f64| -> Vec<f64> {
        let null = null(model);
        let fit = |ratio: f64| n * ((1.0 - ratio) * null).ln();
        model.path.iter().map(|row| fit(row.deviance_ratio) + price * (row.nonzeros as f64 + 1.0) + more(row.nonzeros)).collect()
    };
    let told = |model: &LinearModel| -> Vec<f64> { model.path.iter().map(|row| row.criterion.expect("not saturated")).collect() };
    close(&told(&model), &expect(&model, n.ln(), &|_| 0.0));
    let aic = trained(&data, &with(Selection::Aic));
    close(&told(&aic), &expect(&aic, 2.0, &|_| 0.0));
    let ebic = trained(&data, &with(Selection::Ebic { ebic_gamma: 0.5 }));
    // C(6, k)
    let choose = [1.0_f64, 6.0, 15.0, 20.0, 15.0, 6.0, 1.0];
    close(&told(&ebic), &expect(&ebic, n.ln(), &|k| choose[k as usize].ln()));
    let zero = trained(&data, &with(Selection::Ebic { ebic_gamma: 0.0 }));
    assert_eq!((told(&zero), zero.values), (told(&model), model.values.clone()));
    for model in [&model, &aic, &ebic] {
        let selection = model.card.selection.as_ref().expect("a selection");
        let index = selection["index"].as_u64().unwrap() as usize;
        let least = told(model).into_iter().fold(f64::INFINITY, f64::min);
        assert_eq!((model.path[index].criterion, model.card.lambda), (Some(least), model.path[index].lambda));
        assert_eq!((selection["criterion"].as_f64(), &selection["rule"]), (Some(least), &json!("min")));
        assert!(model.cv.is_none() && selection["nonzeros_at_min"] == model.card.sparsity.nonzeros);
    }
    assert!(model.card.sparsity.nonzeros <= aic.card.sparsity.nonzeros);
    assert!([0, 3].iter().all(|feature| model.indices.contains(feature)), "the two features that matter: {:?}", model.indices);
}

#[test]
fn criteria_of_a_likelihood_weigh_the_deviance_and_a_saturated_model_has_none() {
    let data = classes();
    let model = trained(&data, &ResolvedFit { loss: logistic(Class::Number(1.0)), ..with(Selection::Aic) });
    let train = &model.card.metrics["train"];
    let criterion = model.card.selection.as_ref().unwrap()["criterion"].as_f64().unwrap();
    close(&[criterion], &[60.0 * train["deviance"].as_f64().unwrap() + 2.0 * (model.card.sparsity.nonzeros as f64 + 1.0)]);
    // three rows, two features and an intercept: D is 0 at the end of the path, and ln 0 would win over everything
    let few = dataset_of(r#"{"format":"dense","values":[[1,0],[0,1],[-1,-1]],"y":[1,-3,6]}"#);
    let model = made(&few, &with(Selection::Aic));
    assert!(model.path.iter().any(|row| row.nonzeros == 2));
    assert!(model.path.iter().all(|row| row.criterion.is_some() == (row.nonzeros < 2)));
    assert!(model.card.sparsity.nonzeros < 2);
    // weight 0 is no row; weights are the scale of a likelihood
    let weighted = dataset_of(r#"{"format":"dense","values":[[1],[2],[3],[9]],"y":[1,0,3,9],"weights":[2,2,2,0]}"#);
    let poisson = ResolvedFit { loss: Loss::Poisson, ..with(Selection::Bic) };
    let model = made(&weighted, &poisson);
    let deviance = model.card.metrics["train"]["deviance"].as_f64().unwrap();
    let criterion = model.card.selection.as_ref().unwrap()["criterion"].as_f64().unwrap();
    close(&[criterion], &[6.0 * deviance + 3.0_f64.ln() * (model.card.sparsity.nonzeros as f64 + 1.0)]);
}

#[test]
fn a_hold_out_chooses_on_the_rows_it_held_out() {
    let data = squared();
    let spec = with(Selection::Holdout(holdout(Rule::Min, None)));
    let model = trained(&data, &spec);
    let cv = model.cv.as_ref().expect("a table");
    assert_eq!((cv.method.as_str(), cv.folds, cv.repeats, cv.fraction), ("holdout", 1, 1, Some(0.25)));
    assert!(cv.rows.iter().all(|row| row.se.is_none() && row.per_fold == [row.mean]));
    assert_eq!(model.card.metrics["cv"]["deviance_se"], Value::Null);
    // the same rows as a fold of the client's
    let of_row = spec.selection.splits().unwrap().fold_of_row(60, None, 0);
    assert_eq!(of_row.iter().filter(|fold| **fold == 0).count(), 15);
    let given = trained(&data, &folds_with(|cv| (cv.folds, cv.stratify, cv.fold_of_row) = (1, false, of_row)));
    let rows = &given.cv.as_ref().unwrap().rows;
    assert_eq!((rows, &given.values, given.card.lambda), (&cv.rows, &model.values, model.card.lambda));
    // the model is of all rows, and the λ that of the least deviance
    let all = trained(&data, &with(Selection::None));
    let least = cv.rows.iter().map(|row| row.mean).fold(f64::INFINITY, f64::min);
    assert_eq!(model.path.len(), all.path.len());
    assert!(model.path.iter().zip(&all.path).all(|(a, b)| (a.nonzeros, a.deviance_ratio) == (b.nonzeros, b.deviance_ratio)));
    assert_eq!(cv.rows[cv.index_min as usize].mean, least);
    assert_eq!(model.card.lambda, cv.rows[cv.index_min as usize].lambda);
    let near = trained(&data, &with(Selection::Holdout(holdout(Rule::SparsestWithinPct, Some(50.0)))));
    let chosen = near.card.selection.as_ref().unwrap()["index"].as_u64().unwrap() as usize;
    assert!(cv.rows[chosen].mean <= 1.5 * least);
    assert!(near.path.iter().zip(&cv.rows).all(|(row, cv)| row.nonzeros >= near.card.sparsity.nonzeros || cv.mean > 1.5 * least));
}

#[test]
fn folds_that_are_given_are_those_of_the_seed_bit_for_bit() {
    for (data, loss) in [(squared(), Loss::Squared), (classes(), logistic(Class::Number(1.0)))] {
        let seeded = ResolvedFit { loss: loss.clone(), ..path_with_cv(Rule::OneSe) };
        let signs: Vec<f64> = data.data.y.iter().map(|y| 2.0 * y - 1.0).collect();
        let strata = matches!(loss, Loss::Logistic { .. }).then_some(&signs[..]);
        let of_row = seeded.selection.splits().unwrap().fold_of_row(60, strata, 0);
        let given = folds_with(|cv| (cv.rule, cv.stratify, cv.seed, cv.fold_of_row) = (Rule::OneSe, false, 0, of_row));
        let (seeded, given) = (trained(&data, &seeded), trained(&data, &ResolvedFit { loss, ..given }));
        assert_eq!(seeded.cv.unwrap().rows, given.cv.unwrap().rows);
        assert_eq!((seeded.values, seeded.path), (given.values, given.path));
    }
}

#[test]
fn repeats_are_assignments_put_together() {
    let data = squared();
    let twice = folds_with(|cv| cv.repeats = 2);
    let both = trained(&data, &twice).cv.expect("a table");
    assert_eq!((both.folds, both.repeats, both.rows[0].per_fold.len()), (5, 2, 10));
    let splits = twice.selection.splits().unwrap();
    let alone: Vec<_> = (0..2)
        .map(|repeat| trained(&data, &folds_with(|cv| cv.fold_of_row = splits.fold_of_row(60, None, repeat))).cv.expect("a table"))
        .collect();
    for (i, row) in both.rows.iter().enumerate() {
        assert_eq!(row.per_fold, [&alone[0].rows[i].per_fold[..], &alone[1].rows[i].per_fold].concat());
        let mean = row.per_fold.iter().sum::<f64>() / 10.0;
        let variance = row.per_fold.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / 9.0;
        close(&[row.mean, row.se.unwrap()], &[mean, (variance / 5.0).sqrt()]);
    }
    let once = trained(&data, &path_with_cv(Rule::Min)).cv.expect("a table");
    assert_eq!(once.rows, alone[0].rows, "the first repeat is the plain cross-validation");
    assert_ne!(once.rows, alone[1].rows);
}

#[test]
fn rows_of_a_group_are_held_out_together() {
    let data = squared();
    let groups: Vec<u32> = (0..60).map(|row| row / 4).collect();
    let spec = folds_with(|cv| (cv.stratify, cv.groups) = (false, groups.clone()));
    let of_row = spec.selection.splits().unwrap().fold_of_row(60, None, 0);
    for group in of_row.chunks(4) {
        assert_eq!(group.iter().collect::<HashSet<_>>().len(), 1);
    }
    let (grouped, given) = (trained(&data, &spec), trained(&data, &folds_with(|cv| cv.fold_of_row = of_row)));
    assert_eq!(grouped.cv.as_ref().unwrap().rows, given.cv.unwrap().rows);
    assert!(grouped.cv.unwrap().assigned);
}

#[test]
fn one_ratio_in_a_list_is_that_ratio_and_of_several_the_best_is_taken() {
    let data = squared();
    let alone: Vec<LinearModel> =
        [0.2, 0.6, 1.0].iter().map(|ratio| trained(&data, &several(path_with_cv(Rule::Min), &[*ratio]))).collect();
    let least = |model: &LinearModel| model.card.metrics["cv"]["deviance"].as_f64().unwrap();
    let spec = several(path_with_cv(Rule::Min), &[0.2, 0.6, 1.0]);
    let best = trained(&data, &spec);
    let winner = alone.iter().min_by(|a, b| least(a).total_cmp(&least(b))).unwrap();
    assert_eq!((best.card.l1_ratio, best.card.lambda, &best.values), (winner.card.l1_ratio, winner.card.lambda, &winner.values));
    assert_eq!((&best.path, &best.cv), (&winner.path, &winner.cv));
    let table = best.card.selection.as_ref().unwrap()["candidates"].as_array().expect("a table").clone();
    for (row, model) in table.iter().zip(&alone) {
        assert_eq!((row["l1_ratio"].as_f64(), row["mean_min"].as_f64()), (Some(model.card.l1_ratio), Some(least(model))));
        assert_eq!(row["lambda_min"].as_f64(), Some(model.card.lambda));
    }
    // 1se: of each ratio the largest λ under one bound, and of these the sparsest
    let bound = least(winner) + winner.card.metrics["cv"]["deviance_se"].as_f64().unwrap();
    let sparse = trained(&data, &several(path_with_cv(Rule::OneSe), &[0.2, 0.6, 1.0]));
    let fewest = alone
        .iter()
        .filter_map(|model| Some(model.path[model.cv.as_ref().unwrap().rows.iter().position(|row| row.mean <= bound)?].nonzeros))
        .min();
    assert_eq!(Some(sparse.card.sparsity.nonzeros), fewest);
    assert!(sparse.card.metrics["cv"]["deviance"].as_f64().unwrap() <= bound);
    // criteria choose among ratios too, without a fold
    let bic = trained(&data, &several(with(Selection::Bic), &[0.5, 1.0]));
    let bics: Vec<f64> = [0.5, 1.0]
        .iter()
        .map(|ratio| trained(&data, &several(with(Selection::Bic), &[*ratio])).card.selection.unwrap()["criterion"].as_f64().unwrap())
        .collect();
    assert_eq!(bic.card.selection.unwrap()["criterion"].as_f64().unwrap(), bics[0].min(bics[1]));
}

#[test]
fn a_refit_takes_the_shrinking_off_and_says_that_no_certificate_applies() {
    // orthonormal: the lasso is 2 (of 3), its refit is 3
    let data = orthogonal("");
    for (gamma, expected) in [(1.0, 2.0), (0.5, 2.5), (0.0, 3.0)] {
        let model = made(&data, &relaxed(spec(), &[gamma]));
        assert_eq!(model.indices, [0]);
        close(&model.values, &[expected]);
        close(&[model.card.intercept], &[2.0]);
        let residual = 0.25 + (3.0_f64 - expected).powi(2);
        close(&[model.card.metrics["train"]["deviance"].as_f64().unwrap()], &[residual]);
        let status = if gamma == 1.0 { CertificateStatus::Certified } else { CertificateStatus::NotApplicable };
        assert_eq!((model.card.certificate.status, model.card.converged()), (status, true));
        assert_eq!(model.card.refit, Some(json!({ "relaxed_gamma": gamma, "converged": true })));
        assert_eq!(model.card.equivalents["sklearn"].is_null(), gamma < 1.0);
    }
    // the penalised fit among the choices is the fit without a refit
    let data = squared();
    let plain = trained(&data, &path_with_cv(Rule::Min));
    let only = trained(&data, &relaxed(path_with_cv(Rule::Min), &[1.0]));
    assert_eq!((&only.values, &only.cv), (&plain.values, &plain.cv));
    let model = made(&data, &relaxed(path_with_cv(Rule::Min), &[1.0, 0.5, 0.0]));
    let table = model.card.selection.as_ref().unwrap()["candidates"].as_array().unwrap().clone();
    let means: Vec<f64> = table.iter().map(|row| row["mean_min"].as_f64().unwrap()).collect();
    close(&means[..1], &[plain.card.metrics["cv"]["deviance"].as_f64().unwrap()]);
    let best = model.card.metrics["cv"]["deviance"].as_f64().unwrap();
    assert_eq!(best, means.iter().copied().fold(f64::INFINITY, f64::min));
    assert!(best < means[0], "two features in noise: less shrinking predicts better: {means:?}");
}

#[test]
fn a_refit_is_finite_where_columns_depend_on_one_another_or_separate_the_classes() {
    let twice = dataset_of(r#"{"format":"dense","values":[[1,1,2],[2,2,-1],[3,3,1],[4,4,0],[0,0,1]],"y":[1,2,3,4,0.5]}"#);
    let mut ridge = relaxed(ResolvedFit { lambda: Lambda::Value { value: 1e-6 }, ..spec() }, &[0.0]);
    // an L2 part keeps both of two equal columns in
    ridge.penalty.l1_ratio = L1Ratio::One(0.5);
    let model = made(&twice, &ridge);
    assert_eq!(model.indices, [0, 1, 2]);
    assert!((model.values[0] - model.values[1]).abs() < 1e-3 * model.values[0].abs(), "{:?}", model.values);
    // more features than rows
    let wide = dataset_of(r#"{"format":"dense","values":[[1,0,2,5],[0,1,1,-1],[-1,3,0,2]],"y":[1,-3,5]}"#);
    let model = made(&wide, &relaxed(ResolvedFit { lambda: Lambda::Value { value: 1e-4 }, ..ridge.clone() }, &[0.0]));
    assert!(model.card.metrics["train"]["r2"].as_f64().unwrap() > 0.999, "{:?}", model.card.metrics);
    let apart = dataset_of(r#"{"format":"dense","values":[[1,0],[2,1],[-1,0],[-2,1]],"y":[1,1,0,0]}"#);
    let model =
        made(&apart, &relaxed(ResolvedFit { loss: logistic(Class::Number(1.0)), lambda: Lambda::Value { value: 0.1 }, ..spec() }, &[0.0]));
    assert!(model.values[0] > 3.0 && model.values[0] < 1e3, "{:?}", model.values);
}

#[test]
fn adaptive_factors_are_the_reciprocals_of_the_pilot() {
    // orthonormal, chosen without rows held out in the fit itself, but in the pilot: give it enough rows
    let data = squared();
    let spec = adaptive(path_with_cv(Rule::Min), Pilot::L1);
    let model = trained(&data, &spec);
    let told = model.card.adaptive.clone().expect("told");
    assert_eq!((&told["gamma"], &told["pilot"]["type"], &told["pilot"]["l1_ratio"]), (&json!(1.0), &json!("l1"), &json!(1.0)));
    // the same by hand: the lasso of the same folds, then its coefficients as factors
    let pilot = trained(&data, &path_with_cv(Rule::Min));
    assert_eq!(told["pilot"]["lambda"].as_f64(), Some(pilot.card.lambda));
    assert_eq!(told["features_excluded"], json!(6 - pilot.indices.len()));
    let mut by_hand = path_with_cv(Rule::Min);
    let sd = |feature: u32| {
        let rows = dataset::rows(&data.data, 0, 60);
        let values: Vec<f64> = rows.iter().map(|row| row.values[row.indices.iter().position(|j| *j == feature).unwrap()]).collect();
        let mean = values.iter().sum::<f64>() / 60.0;
        (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 60.0).sqrt()
    };
    for feature in 0..6_u32 {
        let found = pilot.indices.iter().position(|index| *index == feature);
        let factor = found.map_or(1e50, |at| 1.0 / (pilot.values[at].abs() * sd(feature)));
        by_hand.penalty.factors.insert(feature.to_string(), factor);
    }
    let by_hand = trained(&data, &by_hand);
    assert_eq!(model.indices, by_hand.indices);
    close(&model.values, &by_hand.values);
    assert!(model.indices.iter().all(|index| pilot.indices.contains(index)), "what the pilot left out stays out");
    assert!(model.card.equivalents["glmnet"].is_null());
    // the user's own factors multiply, and a free feature stays free
    let mut free = adaptive(path_with_cv(Rule::Min), Pilot::Ridge);
    free.penalty.factors.insert("5".into(), 0.0);
    assert!(trained(&data, &free).indices.contains(&5));
    // a pilot that finds nothing leaves nothing in
    let constant = dataset_of(r#"{"format":"dense","values":[[1,2],[2,-1],[-1,1],[0,1],[3,0],[1,1]],"y":[4,4,4,4,4,4]}"#);
    let empty = made(&constant, &adaptive(path_with_cv(Rule::Min), Pilot::L1));
    assert_eq!((empty.indices.len(), empty.card.adaptive.unwrap()["features_excluded"].clone()), (0, json!(2)));
}

#[test]
fn a_pilot_that_leaves_every_feature_out_leaves_none_in() {
    // noise: of some seeds the least deviance of the pilot is at the largest λ
    let noise_of = |seed: u64| {
        let mut state = seed;
        let mut random = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f64 / f64::from(1 << 23) - 1.0
        };
        let rows: Vec<[f64; 4]> = (0..40).map(|_| std::array::from_fn(|_| random())).collect();
        let y: Vec<f64> = (0..40).map(|_| random()).collect();
        dataset_of(&json!({ "format": "dense", "values": rows, "y": y }).to_string())
    };
    let useless = |noise: &Fixture| made(noise, &path_with_cv(Rule::Min)).indices.is_empty();
    let noise = (0..20).map(noise_of).find(useless).expect("some noise is useless");
    let model = made(&noise, &adaptive(path_with_cv(Rule::Min), Pilot::L1));
    assert!(model.path.iter().all(|row| row.nonzeros == 0));
}

#[test]
fn the_dense_twin_is_the_ridge_of_the_same_rows() {
    let data = squared();
    let model = trained(&data, &ResolvedFit { compare_ridge: true, ..path_with_cv(Rule::OneSe) });
    let twin = model.card.metrics["dense_twin"].clone();
    let mut ridge = path_with_cv(Rule::Min);
    ridge.penalty.l1_ratio = L1Ratio::One(0.0);
    ridge.lambda = Lambda::Path { n: 30, min_ratio: 1e-6 };
    let ridge = trained(&data, &ridge);
    let train = &ridge.card.metrics["train"];
    for (told, expected) in [
        (&twin["lambda"], ridge.card.lambda),
        (&twin["nonzeros"], 6.0),
        (&twin["deviance"], ridge.card.metrics["cv"]["deviance"].as_f64().unwrap()),
        (&twin["deviance_se"], ridge.card.metrics["cv"]["deviance_se"].as_f64().unwrap()),
        (&twin["deviance_ratio"], train["deviance_ratio"].as_f64().unwrap()),
    ] {
        close(&[told.as_f64().unwrap()], &[expected]);
    }
    let plain = trained(&data, &path_with_cv(Rule::OneSe));
    assert_eq!((plain.values, plain.cv), (model.values.clone(), model.cv.clone()), "the model itself does not know of its twin");
    // the ridge of a pilot is not solved twice, and is the same
    let spec = ResolvedFit { compare_ridge: true, ..adaptive(path_with_cv(Rule::OneSe), Pilot::Ridge) };
    assert_eq!(trained(&data, &spec).card.metrics["dense_twin"], twin);
}

#[test]
fn progress_counts_every_path_and_ends_near_its_end() {
    for (data, spec) in interesting() {
        let told = Mutex::new(Vec::new());
        let observe = |progress: &Progress| {
            told.lock().expect("no panic").push(progress.clone());
            ControlFlow::Continue(())
        };
        fit(&data.data, &spec, &Run::new(2, &observe)).expect("a model");
        let told = told.into_inner().expect("no panic");
        assert!(told.windows(2).all(|pair| pair[0].fraction <= pair[1].fraction));
        let last = told.last().expect("told");
        assert!(last.steps.iter().all(|step| step.done == step.total), "{:?}", last.steps);
    }
}

#[test]
fn the_best_of_several_ratios_is_that_of_those_that_were_done() {
    let data = squared();
    let spec = several(ResolvedFit { lambda: Lambda::Path { n: 10, min_ratio: 1e-2 }, ..path_with_cv(Rule::Min) }, &[0.3, 0.6, 1.0]);
    let stopped = |after: u64| {
        let calls = AtomicU64::new(0);
        let observe = |_: &Progress| match calls.fetch_add(1, Ordering::Relaxed) >= after {
            true => ControlFlow::Break(Leave::Best),
            false => ControlFlow::Continue(()),
        };
        fit(&data.data, &spec, &Run::new(1, &observe))
    };
    let whole = run(&data, &spec).expect("a model");
    let mut done = HashSet::new();
    for after in 0.. {
        let Ok(model) = stopped(after) else { continue };
        let said = model.card.warnings.iter().find(|warning| warning.code == crate::model::TIME_LIMIT);
        let Some(said) = said else {
            assert_eq!(model, whole);
            break;
        };
        model.check().expect("a model that can be stored");
        if said.detail.contains("of 3 values of l1_ratio were done") {
            let count = model.card.selection.as_ref().unwrap()["candidates"].as_array().map_or(1, Vec::len);
            assert!(said.detail.contains(&format!("{count} of 3")), "{}", said.detail);
            assert_eq!(model.card.certificate.status, CertificateStatus::Certified);
            done.insert(count);
        } else {
            assert_eq!(model.card.l1_ratio, 0.3, "{}", said.detail);
            done.insert(0);
        }
    }
    assert_eq!(done, HashSet::from([0, 1, 2]));
}

#[test]
fn whenever_the_time_is_up_the_best_is_a_model_that_can_be_stored() {
    for (which, (data, spec)) in interesting().into_iter().enumerate() {
        let whole = run(&data, &spec).expect("a model");
        let (mut none, mut cut) = (0, 0);
        for after in (0..).step_by(3) {
            let calls = AtomicU64::new(0);
            let observe = |_: &Progress| match calls.fetch_add(1, Ordering::Relaxed) >= after {
                true => ControlFlow::Break(Leave::Best),
                false => ControlFlow::Continue(()),
            };
            match fit(&data.data, &spec, &Run::new(1, &observe)) {
                Ok(model) if model.card.warnings.iter().any(|warning| warning.code == crate::model::TIME_LIMIT) => {
                    assert_eq!(LinearModel::decode(&model.encode()).expect("it reads back"), model);
                    assert!(!model.card.converged());
                    cut += 1;
                }
                Ok(model) => {
                    assert_eq!(model, whole, "case {which}");
                    break;
                }
                Err(error) => {
                    assert_eq!((error, cut), (TrainError::Cancelled, 0), "case {which}: only before there was anything");
                    none += 1;
                }
            }
        }
        assert!(none > 0 && cut > 0, "case {which}: {none} {cut}");
    }
}
