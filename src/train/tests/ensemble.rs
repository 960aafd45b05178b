//! Ensembles: they see what one tree does not, are the same whoever grows them, end when rows held out no longer gain.

use std::ops::ControlFlow;

use super::*;
use crate::model::{EnsembleModel, Model, Predictor, TIME_LIMIT};
use crate::spec::{Criterion, EarlyStopping, NaturalLoss, Pruning, ResolvedEnsemble, ResolvedTree, Rule, TreeFolds, TreeSize};

fn fit_of(loss: NaturalLoss) -> ResolvedEnsemble {
    ResolvedEnsemble {
        kind: "ensemble".into(),
        loss,
        n_trees: 150,
        learning_rate: 0.1,
        max_leaves: 8,
        subsample: 1.0,
        min_leaf_weight: None,
        seed: 3,
        early_stopping: Some(EarlyStopping { fraction: 0.2, patience: 15 }),
        weights: true,
        limits: RunLimits::default(),
    }
}

fn grow_on(data: &Dataset, spec: &ResolvedEnsemble, threads: usize) -> Result<GrownEnsemble, TrainError> {
    ensemble(data, spec, &Run::new(threads, &|_| ControlFlow::Continue(())))
}

/// Sparse rows of 7 features whose target is smooth in four of them together; `more` are further members of the upload.
fn curved((n_rows, seed): (usize, u64), target: impl Fn(f64) -> String, more: &str) -> Fixture {
    let mut random = crate::numeric::SplitMix64(seed);
    let (mut rows, mut y) = (Vec::new(), Vec::new());
    for _ in 0..n_rows {
        let row: [f64; 7] = std::array::from_fn(|_| if random.share() < 0.3 { 0.0 } else { random.symmetric() });
        let signal = 3.0 * row[0] * row[1] + 2.0 * (3.0 * row[2]).sin() + row[3] + 0.3 * random.symmetric();
        rows.push(row.map(|x| x.to_string()).join(","));
        y.push(target(signal));
    }
    dataset_of(&format!(r#"{{"format":"dense","values":[[{}]],"y":[{}]{more}}}"#, rows.join("],["), y.join(",")))
}

/// Numbers, two classes, three classes; what their score is.
fn cases(rows: (usize, u64)) -> [(Fixture, NaturalLoss, &'static str); 3] {
    let third = |y: f64| match y {
        low if low < -0.7 => "\"low\"".to_owned(),
        mid if mid < 0.7 => "\"mid\"".to_owned(),
        _ => "\"high\"".to_owned(),
    };
    [
        (curved(rows, |y| (1000.0 + y).to_string(), ""), NaturalLoss::Squared, "r2"),
        (curved(rows, |y| u8::from(y > 0.0).to_string(), ""), NaturalLoss::Logistic, "auc"),
        (curved(rows, third, ""), NaturalLoss::Multinomial, "accuracy"),
    ]
}

fn measured(data: &Dataset, model: EnsembleModel) -> Value {
    evaluate(data, &Model::Ensemble(model), None, &|_| ControlFlow::Continue(())).unwrap().metrics
}

#[test]
fn it_predicts_rows_that_it_has_not_seen_better_than_a_tree_and_than_its_base() {
    for ((rows, loss, score), (fresh, ..)) in cases((900, 1)).into_iter().zip(cases((900, 2))) {
        let grown = grow_on(&rows.data, &fit_of(loss), 1).unwrap();
        assert_eq!(grown.model.check(), Ok(()));
        let criterion = if loss == NaturalLoss::Squared { Criterion::Squared } else { Criterion::Gini };
        let folds = TreeFolds { folds: 5, stratify: loss != NaturalLoss::Squared, seed: 0, rule: Rule::Min };
        let (pruning, limits) = (Pruning::Cv(folds), RunLimits::default());
        let tree = ResolvedTree { kind: "tree".into(), criterion, size: TreeSize::default(), pruning, weights: true, limits };
        let tree = grow(&rows.data, &tree, &Run::new(1, &|_| ControlFlow::Continue(()))).unwrap().0;
        let of_tree = evaluate(&fresh.data, &Model::Tree(tree), None, &|_| ControlFlow::Continue(())).unwrap().metrics;
        let mut base = grown.model.clone();
        base.trees = Default::default();
        let (of_base, found) = (measured(&fresh.data, base), measured(&fresh.data, grown.model.clone()));
        let [found, of_tree, of_base] = [&found, &of_tree, &of_base].map(|metrics| metrics["score"].as_f64().unwrap());
        assert!(found > of_tree + 0.01 && of_tree > of_base + 0.05, "{score}: {found} {of_tree} {of_base}");
        // the features that matter
        let mut order: Vec<(u32, f64)> = grown.model.trees.features_used().into_iter().zip(grown.model.importances.clone()).collect();
        order.sort_by(|a, b| b.1.total_cmp(&a.1));
        let mut first: Vec<u32> = order[..4].iter().map(|one| one.0).collect();
        first.sort_unstable();
        assert_eq!(first, [0, 1, 2, 3], "{order:?}");
        assert!((order.iter().map(|one| one.1).sum::<f64>() - 1.0).abs() < 1e-9);
    }
}

#[test]
fn it_is_the_same_for_any_number_of_threads_and_its_card_says_what_its_measures_say() {
    for (rows, loss, score) in cases((300, 3)) {
        let spec = ResolvedEnsemble { subsample: 0.7, ..fit_of(loss) };
        let GrownEnsemble { model, rounds, best_round, score: told } = grow_on(&rows.data, &spec, 1).unwrap();
        for threads in [2, 4] {
            assert_eq!(grow_on(&rows.data, &spec, threads).unwrap().model.encode(), model.encode(), "{threads} threads, {loss:?}");
        }
        let other = ResolvedEnsemble { seed: 4, ..spec };
        assert_ne!(grow_on(&rows.data, &other, 1).unwrap().model.trees, model.trees);
        let (card, selection) = (&model.card, model.card.selection.as_ref().unwrap());
        assert_eq!(told, card.metrics["holdout"][score].as_f64());
        assert_eq!((selection.best_round, rounds as usize), (best_round, selection.held_out_loss.len() - 1));
        let outputs = if loss == NaturalLoss::Multinomial { 3 } else { 1 };
        assert_eq!((card.sparsity.n_trees, card.base.len()), (best_round * outputs, outputs as usize));
        assert_eq!(selection.leaves[best_round as usize], card.sparsity.leaves);
        // the loss that said when to end is that which is measured of the rows held out
        let holdout = &card.metrics["holdout"];
        let measured = holdout["log_loss"].as_f64().unwrap_or_else(|| holdout["mse"].as_f64().unwrap() / 2.0);
        let least = selection.held_out_loss[best_round as usize];
        assert!((least - measured).abs() < 1e-9 * measured, "{least} {measured}");
        assert!(selection.held_out_loss.iter().all(|loss| *loss >= least));
    }
}

#[test]
fn what_an_evaluation_says_is_what_a_prediction_says() {
    for (rows, loss, _) in cases((300, 5)) {
        let model = grow_on(&rows.data, &fit_of(loss), 1).unwrap().model;
        let whole = Model::Ensemble(model.clone());
        let pace = super::super::evaluate::Pace::new(&|_| ControlFlow::Continue(()), &["score"]);
        let (_, eta) = super::super::evaluate::scores_of(&rows.data, &whole, None, &pace).unwrap();
        let width = model.card.base.len();
        let predictor = Predictor::new(Arc::new(whole), None);
        for row in 0..rows.data.y.len() {
            let of_row: Vec<(u32, f64)> = entries(&rows.data, row);
            let mut told = Vec::new();
            model.score(
                |node| {
                    let feature = model.trees.features[node];
                    of_row.iter().find(|one| one.0 == feature).map_or(0.0, |one| one.1)
                },
                &mut told,
            );
            assert_eq!(told, eta[row * width..(row + 1) * width], "row {row}");
            let answer: Value = serde_json::from_slice(&predictor.answer(&of_row).unwrap().predictions_json).unwrap();
            if loss == NaturalLoss::Squared {
                assert_eq!(answer[0]["prediction"].as_f64(), Some(told[0]));
            }
        }
    }
}

/// What a row holds, by rising feature.
fn entries(data: &Dataset, row: usize) -> Vec<(u32, f64)> {
    let x = data.x.view();
    let value = |entry: usize| match x.values {
        crate::matrix::ValuesView::Single(values) => f64::from(values[entry]),
        crate::matrix::ValuesView::Double(values) => values[entry],
    };
    let entry = |column: usize| x.range(column).find(|entry| x.rows[*entry] as usize == row);
    (0..x.len()).filter_map(|column| Some((x.features[column], value(entry(column)?)))).collect()
}

#[test]
fn rows_without_weight_are_as_good_as_absent_and_weights_count_rows() {
    let weights: Vec<String> = (0..300).map(|row| (row % 3).to_string()).collect();
    let more = format!(r#","weights":[{}]"#, weights.join(","));
    let spec = ResolvedEnsemble { early_stopping: None, min_leaf_weight: Some(4.0), ..fit_of(NaturalLoss::Squared) };
    let weighted = curved((300, 1), |y| y.to_string(), &more);
    let grown = grow_on(&weighted.data, &spec, 1).unwrap().model;
    // what rows without weight say is not heard
    let mut y = weighted.data.y.to_vec();
    (0..300).step_by(3).for_each(|row| y[row] = 1e9);
    let other = Dataset { y: y.into(), ..weighted.data.clone() };
    let again = grow_on(&other, &spec, 1).unwrap().model;
    assert_eq!((&again.trees, &again.card.base), (&grown.trees, &grown.card.base));
    assert_eq!(again.card.metrics["train"], grown.card.metrics["train"]);
    // and without the weights it is
    let unweighted = grow_on(&other, &ResolvedEnsemble { weights: false, ..spec.clone() }, 1).unwrap().model;
    assert_ne!(unweighted.card.base, grown.card.base);
    let none = Dataset { weights: Some(vec![0.0; 300].into()), ..weighted.data.clone() };
    assert!(matches!(grow_on(&none, &spec, 1), Err(TrainError::Unfit { code: "invalid_weight", .. })));
}

#[test]
fn early_stopping_ends_where_more_trees_are_no_gain_and_without_it_all_are_grown() {
    let rows = curved((300, 1), |y| (y + (1e4 * y).sin() * 3.0).to_string(), "");
    let spec = ResolvedEnsemble { n_trees: 400, min_leaf_weight: Some(1.0), learning_rate: 0.3, ..fit_of(NaturalLoss::Squared) };
    let ended = grow_on(&rows.data, &spec, 1).unwrap();
    assert!(ended.best_round > 0 && ended.rounds == ended.best_round + 15 && ended.rounds < 400, "{} {}", ended.rounds, ended.best_round);
    let all = grow_on(&rows.data, &ResolvedEnsemble { early_stopping: None, ..spec }, 1).unwrap();
    assert_eq!((all.rounds, all.best_round, all.score, all.model.card.selection), (400, 400, None, None));
    assert!(all.model.card.metrics.get("holdout").is_none());
}

#[test]
fn a_target_that_nothing_explains_has_no_trees() {
    let values: Vec<String> = (0..40).map(|row| format!("[{}]", row % 7)).collect();
    let same = dataset_of(&format!(r#"{{"format":"dense","values":[{}],"y":{:?}}}"#, values.join(","), vec![2.5; 40]));
    for early_stopping in [None, Some(EarlyStopping { fraction: 0.2, patience: 5 })] {
        let model = grow_on(&same.data, &ResolvedEnsemble { early_stopping, ..fit_of(NaturalLoss::Squared) }, 1).unwrap().model;
        assert_eq!((model.check(), model.trees.len(), &*model.card.base), (Ok(()), 0, &[2.5][..]));
        assert_eq!((model.card.warnings[0].code.as_str(), model.card.converged()), ("no_split", true));
        assert_eq!(Model::decode(&model.encode()).unwrap(), Model::Ensemble(model));
    }
}

#[test]
fn what_cannot_be_grown_is_told_and_who_is_not_wanted_stops_at_once() {
    let (numbers, sides) = (curved((300, 1), |y| y.to_string(), ""), curved((300, 1), |y| u8::from(y > 0.0).to_string(), ""));
    let wrong = |data: &Dataset, loss: NaturalLoss| match grow_on(data, &fit_of(loss), 1) {
        Err(TrainError::Unfit { code, .. }) => code,
        other => panic!("{other:?}"),
    };
    assert_eq!(wrong(&numbers.data, NaturalLoss::Logistic), "invalid_target");
    assert_eq!(wrong(&sides.data, NaturalLoss::Squared), "invalid_target");
    let huge = Dataset { y: numbers.data.y.iter().map(|y| y * 1e300).collect::<Vec<f64>>().into(), ..numbers.data.clone() };
    assert_eq!(wrong(&huge, NaturalLoss::Squared), "numerical_error");
    for (data, loss) in [(&numbers.data, NaturalLoss::Squared), (&sides.data, NaturalLoss::Logistic)] {
        for after in [0, 1, 5, 40] {
            let looks = AtomicU64::new(0);
            let observe = |_: &Progress| match looks.fetch_add(1, Ordering::Relaxed) < after {
                true => ControlFlow::Continue(()),
                false => ControlFlow::Break(Leave::Nothing),
            };
            let spec = ResolvedEnsemble { n_trees: 10_000, early_stopping: None, ..fit_of(loss) };
            assert_eq!(ensemble(data, &spec, &Run::new(1, &observe)), Err(TrainError::Cancelled), "after {after}");
            assert_eq!(looks.into_inner(), after + 1, "nothing goes on after it was told to stop");
        }
    }
}

#[test]
fn at_the_time_limit_the_trees_so_far_are_the_model_and_say_so() {
    for (rows, loss, _) in cases((300, 1)) {
        let all = ResolvedEnsemble { n_trees: 10_000, early_stopping: None, ..fit_of(loss) };
        let observe = |at: &Progress| match at.steps[0].done >= 12 {
            true => ControlFlow::Break(Leave::Best),
            false => ControlFlow::Continue(()),
        };
        let grown = ensemble(&rows.data, &all, &Run::new(1, &observe)).unwrap();
        assert!((12..10_000).contains(&grown.rounds) && !grown.model.card.converged(), "{}", grown.rounds);
        assert_eq!(grown.model.card.warnings[0].code, TIME_LIMIT);
        let fewer = ResolvedEnsemble { n_trees: grown.rounds, ..all };
        assert_eq!(grow_on(&rows.data, &fewer, 1).unwrap().model.trees, grown.model.trees);
        assert!(grown.model.card.metrics["train"]["score"].is_number());
    }
}
