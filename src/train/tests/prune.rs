//! Stored trees made smaller: scores that are those of an evaluation, choices that no other pruning beats, what is left in its path.

use serde_json::json;

use super::*;
use crate::model::{Model, Predictor, TreeModel, TreePath};
use crate::spec::{Amount, Ccp, Criterion, HeldOutScore, PruneMethod, Pruning, ResolvedPrune, ResolvedTree, TreeSize};

fn grown(fixture: &Fixture, criterion: Criterion) -> (Model, TreePath) {
    let (size, limits) = (TreeSize::default(), RunLimits::default());
    let spec = ResolvedTree { kind: "tree".into(), criterion, size, pruning: Pruning::None, weights: true, limits };
    let (model, path) = grow(&fixture.data, &spec, &Run::new(1, &|_| ControlFlow::Continue(()))).unwrap();
    (Model::Tree(model), path)
}

/// Other rows of the kind that [`noisy`] makes, with weights of 0 to 2 if asked.
fn others(target: impl Fn(f64) -> String, weighted: bool) -> Fixture {
    let mut state = 11_u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f64 / f64::from(1 << 23) - 1.0
    };
    let rows: Vec<[f64; 6]> = (0..90).map(|_| std::array::from_fn(|_| random())).collect();
    let y: Vec<String> = rows.iter().map(|row| target(2.0 * row[0] - row[3] + 0.4 * random())).collect();
    let weights: Vec<u32> = (0..90).map(|row| row % 3).collect();
    let weights = if weighted { format!(r#","weights":{}"#, json!(weights)) } else { String::new() };
    dataset_of(&format!(r#"{{"format":"dense","values":{},"y":[{}]{weights}}}"#, json!(rows), y.join(",")))
}

/// A tree grown on 60 rows, and 90 rows to judge it by.
type Case = (&'static str, Fixture, Fixture, Criterion);

fn cases() -> Vec<Case> {
    let numbers = |signal: f64| signal.to_string();
    let sides = |signal: f64| i32::from(signal > 0.0).to_string();
    let three = |signal: f64| format!("\"{}\"", if signal > 0.5 { 3 } else { i32::from(signal > -0.5) });
    vec![
        ("numbers", noisy(numbers), others(numbers, true), Criterion::Squared),
        ("sides", noisy(sides), others(sides, true), Criterion::Gini),
        ("three", noisy(three), others(three, false), Criterion::Entropy),
    ]
}

fn asked(method: PruneMethod, base: &Model) -> ResolvedPrune {
    let base_leaves = base.tree().unwrap().nodes.n_leaves() as u64;
    ResolvedPrune { base: "m:1".into(), base_leaves: Some(base_leaves), base_weights: None, method, limits: RunLimits::default() }
}

fn cut(rows: &Fixture, base: &Model, method: PruneMethod) -> Result<(TreeModel, TreePath), TrainError> {
    let whole = Base { model: base, names: None, size_bytes: 1234 };
    let pruned = prune(&rows.data, whole, &asked(method, base), &|_| ControlFlow::Continue(()))?;
    assert_eq!(pruned.metrics_before, measured(rows, base.tree().unwrap().clone()));
    Ok((pruned.model, pruned.path))
}

fn ccp(choice: Ccp) -> PruneMethod {
    PruneMethod::Ccp(choice)
}

fn measured(rows: &Fixture, model: TreeModel) -> Value {
    evaluate(&rows.data, &Model::Tree(model), None, &|_| ControlFlow::Continue(())).unwrap().metrics
}

/// The score of every pruning of the path, each made a model and evaluated.
fn scores(rows: &Fixture, base: &Model, path: &TreePath) -> Vec<f64> {
    let pruned = |at| path.promoted(base.tree().unwrap(), at, "m:1").unwrap();
    (0..path.rows.len()).map(|at| measured(rows, pruned(at))["score"].as_f64().unwrap()).collect()
}

#[test]
fn the_path_of_what_is_left_has_the_scores_of_an_evaluation_and_its_rows_are_promoted() {
    for (name, train, rows, criterion) in cases() {
        let (base, path) = grown(&train, criterion);
        let middle = &path.rows[path.rows.len() / 3];
        let (model, left) = cut(&rows, &base, ccp(Ccp { ccp_alpha: Some(middle.ccp_alpha), ..Ccp::default() })).unwrap();
        assert_eq!((model.card.ccp_alpha, model.card.sparsity.leaves), (middle.ccp_alpha, middle.leaves), "{name}");
        assert_eq!((model.check(), left.selected(&model.card)), (Ok(()), Some(0)));
        assert_eq!(TreePath::decode(&left.encode()).unwrap(), left);
        // the rest of the path it is part of
        let rest = &path.rows[path.rows.len() / 3..];
        assert_eq!(left.rows.len(), rest.len(), "{name}");
        for (index, (row, whole)) in left.rows.iter().zip(rest).enumerate() {
            assert_eq!((row.leaves, row.train_score), (whole.leaves, whole.train_score), "{name}");
            assert!((row.ccp_alpha - whole.ccp_alpha).abs() <= 1e-12 * whole.ccp_alpha, "{name}: {row:?} {whole:?}");
            let promoted = left.promoted(&model, index, "small:1").unwrap();
            assert_eq!((promoted.card.sparsity.leaves, &promoted.card.pruned, promoted.check()), (whole.leaves, &None, Ok(())));
            assert_eq!(promoted.card.metrics["holdout"]["score"].as_f64(), row.holdout_score);
            let (found, told) = (measured(&rows, promoted)["score"].as_f64(), row.holdout_score);
            assert!(found.zip(told).is_some_and(|(found, told)| (found - told).abs() < 1e-12), "{name} {index}: {found:?} {told:?}");
        }
    }
}

#[test]
fn the_card_tells_what_was_before_and_what_is_now() {
    for (name, train, rows, criterion) in cases() {
        let (base, _) = grown(&train, criterion);
        let whole = base.tree().unwrap();
        let (model, _) = cut(&rows, &base, ccp(Ccp { target_leaves: Some(4), ..Ccp::default() })).unwrap();
        let pruned = model.card.pruned.clone().unwrap();
        assert_eq!((&*pruned.base, &*pruned.method, pruned.size_bytes_before), ("m:1", "ccp", 1234));
        assert_eq!((pruned.leaves_before, pruned.leaves), (whole.card.sparsity.leaves, model.nodes.n_leaves() as u64), "{name}");
        assert_eq!((pruned.node_bytes_before, pruned.node_bytes), (whole.card.node_bytes(), model.card.node_bytes()));
        assert!(pruned.leaves <= 4 && pruned.node_bytes < pruned.node_bytes_before, "{name}: {pruned:?}");
        let (before, after) = (measured(&rows, whole.clone()), measured(&rows, model.clone()));
        assert_eq!(model.card.metrics["holdout"], after, "{name}");
        assert_eq!((pruned.score_before, pruned.score), (before["score"].as_f64(), after["score"].as_f64()));
        assert_eq!(model.card.selection, Some(json!({"mode": "target_leaves", "target_leaves": 4, "index": 0})));
        assert_eq!(model.card.sparsity.unpruned, whole.card.sparsity.unpruned);
        // once more, from what is left, and for nothing
        let small = Model::Tree(model.clone());
        let (same, _) = cut(&rows, &small, ccp(Ccp { ccp_alpha: Some(0.0), ..Ccp::default() })).unwrap();
        assert_eq!(
            (&same.nodes, same.card.ccp_alpha, &*same.card.warnings[0].code),
            (&model.nodes, model.card.ccp_alpha, "nothing_pruned")
        );
        let (root, left) = cut(&rows, &small, ccp(Ccp { amount: Some(Amount::Share(0.99)), ..Ccp::default() })).unwrap();
        assert_eq!((root.nodes.len(), left.rows.len()), (1, 1));
    }
}

#[test]
fn an_amount_is_at_least_cut_and_no_more_than_the_path_must() {
    let (_, train, rows, criterion) = cases().swap_remove(0);
    let (base, path) = grown(&train, criterion);
    let leaves = base.tree().unwrap().nodes.n_leaves() as u64;
    for amount in [Amount::Share(0.3), Amount::Share(0.9), Amount::Count(1), Amount::Count(leaves - 1)] {
        let (model, _) = cut(&rows, &base, ccp(Ccp { amount: Some(amount), ..Ccp::default() })).unwrap();
        let expected = path.rows.iter().map(|row| row.leaves).find(|left| *left <= amount.keeps(leaves));
        assert_eq!(Some(model.card.sparsity.leaves), expected, "{amount:?}");
    }
}

#[test]
fn no_pruning_of_the_path_scores_better_on_the_rows_that_choose() {
    for (name, train, rows, criterion) in cases() {
        let (base, path) = grown(&train, criterion);
        let scores = scores(&rows, &base, &path);
        let best = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let last = |least: f64| path.rows[scores.iter().rposition(|score| *score >= least - 1e-12).unwrap()].leaves;
        let held_out = |rule| Ccp { selection: Some(HeldOutScore { method: "holdout".into(), rule }), ..Ccp::default() };
        let (least, _) = cut(&rows, &base, ccp(held_out(Rule::Min))).unwrap();
        assert_eq!(least.card.sparsity.leaves, last(best), "{name}: {scores:?}");
        let (near, _) = cut(&rows, &base, ccp(held_out(Rule::OneSe))).unwrap();
        let said = near.card.selection.clone().unwrap();
        let se = said["score_se"].as_f64().unwrap();
        assert!(se > 0.0 && se < 0.5, "{name}: {said}");
        assert_eq!((near.card.sparsity.leaves, &said["rule"]), (last(best - se), &json!("1se")), "{name}: {scores:?} {se}");
        assert_eq!((&said["leaves_at_min"], &said["leaves_at_1se"]), (&json!(last(best)), &json!(last(best - se))));

        for most in [0.0, 0.02, 0.2, 2.0] {
            let (model, _) = cut(&rows, &base, ccp(Ccp { max_quality_loss: Some(most), ..Ccp::default() })).unwrap();
            assert_eq!(model.card.sparsity.leaves, last(scores[0] - most), "{name} {most}: {scores:?}");
            // beside another choice it only holds that back
            let asked = Ccp { target_leaves: Some(1), max_quality_loss: Some(most), ..Ccp::default() };
            assert_eq!(cut(&rows, &base, ccp(asked)).unwrap().0.nodes, model.nodes);
            let asked = Ccp { ccp_alpha: Some(0.0), max_quality_loss: Some(most), ..Ccp::default() };
            assert_eq!(cut(&rows, &base, ccp(asked)).unwrap().0.nodes.len(), base.tree().unwrap().nodes.len());
        }
    }
}

#[test]
fn the_standard_error_is_that_of_the_rows_as_a_sample() {
    // two leaves: x ≤ 0 says class 1 in 1 of 4 cases, x > 0 in 3 of 4
    let (n, y) = ([0, 0, 0, 0, 1, 1, 1, 1], [0, 0, 0, 1, 0, 1, 1, 1]);
    let values: Vec<[i32; 1]> = n.iter().map(|x| [*x]).collect();
    let sides = dataset_of(&json!({"format": "dense", "values": values, "y": y}).to_string());
    let (base, _) = grown(&sides, Criterion::Gini);
    let held_out = || Ccp { selection: Some(HeldOutScore { method: "holdout".into(), rule: Rule::Min }), ..Ccp::default() };
    let said = cut(&sides, &base, ccp(held_out())).unwrap().0.card.selection.unwrap();
    // placements of positives: 0.875 three times and 0.375; of negatives the same
    let auc = 0.75;
    let part = (3.0 * 0.125_f64.powi(2) + 0.375_f64.powi(2)) / 3.0 / 4.0;
    assert_eq!(said["score_at_min"], json!(auc));
    assert!((said["score_se"].as_f64().unwrap() - (2.0 * part).sqrt()).abs() < 1e-12, "{said}");

    let line = dataset_of(r#"{"format":"dense","values":[[0],[0],[1],[1]],"y":[1,3,5,9]}"#);
    let (base, path) = grown(&line, Criterion::Squared);
    assert_eq!(path.rows[0].leaves, 2);
    let said = cut(&line, &base, ccp(held_out())).unwrap().0.card.selection.unwrap();
    // squared errors 1, 1, 4, 4 about the means 2 and 7; the target varies by 8.75
    let (mean, spread) = (2.5, 8.75);
    let se = (4.0 * 1.5_f64.powi(2) / 3.0 / 4.0).sqrt() / spread;
    assert!((said["score_at_min"].as_f64().unwrap() - (1.0 - mean / spread)).abs() < 1e-12, "{said}");
    assert!((said["score_se"].as_f64().unwrap() - se).abs() < 1e-12, "{said}");
}

#[test]
fn reduced_error_never_loses_on_its_rows_and_leaves_no_branch_that_does_not_gain() {
    for (name, train, rows, criterion) in cases() {
        let (base, path) = grown(&train, criterion);
        let (model, left) = cut(&rows, &base, PruneMethod::ReducedError).unwrap();
        let error = |model: &TreeModel| {
            let metrics = measured(&rows, model.clone());
            metrics["mse"].as_f64().unwrap_or_else(|| 1.0 - metrics["accuracy"].as_f64().unwrap())
        };
        let now = error(&model);
        for row in 0..path.rows.len() {
            let other = path.promoted(base.tree().unwrap(), row, "m:1").unwrap();
            assert!(now <= error(&other) + 1e-12, "{name}: pruning {row} of the path has less error");
        }
        for at in (0..model.nodes.len()).filter(|at| model.nodes.split(*at).is_some()) {
            let mut fewer = model.clone();
            fewer.nodes = model.nodes.cut(|one| one == at);
            fewer.card.sparsity.leaves = fewer.nodes.n_leaves() as u64;
            assert!(error(&fewer) > now, "{name}: the branch at {at} gains nothing");
        }
        assert!(model.nodes.len() > 1 && model.nodes.len() < base.tree().unwrap().nodes.len(), "{name}");
        assert_eq!((&model.card.selection, left.selected(&model.card)), (&Some(json!({"mode": "reduced_error", "index": 0})), Some(0)));
        assert_eq!(left.rows.first().map(|row| row.leaves), Some(model.card.sparsity.leaves));
    }
}

#[test]
fn rows_that_cannot_judge_are_told_and_a_stop_makes_nothing() {
    let (_, train, rows, criterion) = cases().swap_remove(1);
    let (base, _) = grown(&train, criterion);
    let code = |rows: &Fixture, method: PruneMethod| match cut(rows, &base, method) {
        Err(TrainError::Unfit { code, .. }) => code,
        other => panic!("{other:?}"),
    };
    // one class only: an error can be counted, an area under the curve is not defined
    let zeros = dataset_of(r#"{"format":"dense","values":[[0,0,0,0,0,0],[1,0,0,-1,0,0]],"y":[0,0]}"#);
    let selection = Some(HeldOutScore { method: "holdout".into(), rule: Rule::Min });
    assert_eq!(code(&zeros, ccp(Ccp { selection, ..Ccp::default() })), "invalid_target");
    assert_eq!(code(&zeros, ccp(Ccp { max_quality_loss: Some(0.1), ..Ccp::default() })), "invalid_target");
    let (root, path) = cut(&zeros, &base, PruneMethod::ReducedError).unwrap();
    assert_eq!((root.card.pruned.unwrap().score, path.rows[0].holdout_score), (None, None));
    let strangers = dataset_of(r#"{"format":"dense","values":[[0,0,0,0,0,0],[1,0,0,-1,0,0]],"y":[0,7]}"#);
    assert_eq!(code(&strangers, PruneMethod::ReducedError), "invalid_target");

    let whole = Base { model: &base, names: None, size_bytes: 0 };
    for stop_at in 0..6 {
        let looks = AtomicU64::new(0);
        let observe = |_: &Progress| match looks.fetch_add(1, Ordering::Relaxed) {
            look if look >= stop_at => ControlFlow::Break(Leave::Nothing),
            _ => ControlFlow::Continue(()),
        };
        let stopped = prune(&rows.data, whole, &asked(PruneMethod::ReducedError, &base), &observe);
        assert_eq!(stopped.err(), Some(TrainError::Cancelled), "at look {stop_at}");
        assert_eq!(looks.into_inner(), stop_at + 1, "nobody is asked again");
    }
}

#[test]
fn the_latency_is_the_median_over_rows_and_the_clock_is_the_callers() {
    use std::cell::Cell;
    let (_, train, rows, criterion) = cases().swap_remove(0);
    let (base, path) = grown(&train, criterion);
    let small = path.promoted(base.tree().unwrap(), path.rows.len() - 2, "m:1").unwrap();
    let both = [base.clone(), Model::Tree(small)].map(|model| Predictor::new(Arc::new(model), None));
    let models = both.each_ref();
    // every second look at the clock comes so much later than the one before: 1 µs for the first tree of a row, 2 µs for the second
    let (looks, now) = (Cell::new(0_u64), Cell::new(0));
    let clock = || {
        let look = looks.replace(looks.get() + 1);
        now.set(now.get() + [0, 1000, 0, 2000][(look % 4) as usize]);
        now.get()
    };
    let told = latency_us(&rows.data, models, &clock, &|_| ControlFlow::Continue(())).unwrap();
    // 90 rows, so often that there are 2000 answers, and once to warm up
    assert_eq!((told, looks.get()), ([Some(1.0), Some(2.0)], 4 * 90 * (1 + 23)));
    let stopped = latency_us(&rows.data, models, &clock, &|_| ControlFlow::Break(Leave::Nothing));
    assert_eq!(stopped, Err(TrainError::Cancelled));
}
