//! Trees as the training room makes them: measures that agree with evaluation, weights that count, a stop that leaves nothing.

use serde_json::json;

use super::*;
use crate::model::{Model, TreeModel, TreePath};
use crate::spec::{Criterion, Pruning, ResolvedTree, Rule, TreeFolds, TreeSize};

fn tree(criterion: Criterion, pruning: Pruning) -> ResolvedTree {
    ResolvedTree { kind: "tree".into(), criterion, size: TreeSize::default(), pruning, weights: true, limits: RunLimits::default() }
}

fn grown(fixture: &Fixture, spec: &ResolvedTree, threads: usize) -> Result<(TreeModel, TreePath), TrainError> {
    grow(&fixture.data, spec, &Run::new(threads, &|_| ControlFlow::Continue(())))
}

fn folds(rule: Rule) -> Pruning {
    Pruning::Cv(TreeFolds { folds: 4, stratify: true, seed: 1, rule })
}

#[test]
fn the_model_is_the_same_for_any_number_of_threads_and_survives_its_stored_form() {
    let sides = noisy(|signal| i32::from(signal > 0.0).to_string());
    for (fixture, criterion) in
        [(&noisy(|signal| signal.to_string()), Criterion::Squared), (&sides, Criterion::Gini), (&sides, Criterion::Entropy)]
    {
        let spec = tree(criterion, folds(Rule::Min));
        let (model, path) = grown(fixture, &spec, 1).unwrap();
        assert_eq!(grown(fixture, &spec, 3).unwrap(), (model.clone(), path.clone()), "{criterion:?}");
        assert_eq!(Model::decode(&model.encode()).unwrap(), Model::Tree(model.clone()));
        assert_eq!(TreePath::decode(&path.encode()).unwrap(), path);
        assert_eq!((model.check(), path.selected(&model.card).is_some()), (Ok(()), true));
    }
}

#[test]
fn the_score_of_a_row_of_the_path_is_what_an_evaluation_of_its_tree_measures() {
    let three = |signal: f64| {
        let class = if signal > 0.5 { 3 } else { i32::from(signal > -0.5) };
        format!("\"{class}\"")
    };
    for (fixture, criterion) in [
        (noisy(|signal| signal.to_string()), Criterion::Squared),
        (noisy(|signal| i32::from(signal > 0.0).to_string()), Criterion::Gini),
        (noisy(three), Criterion::Entropy),
    ] {
        let (model, path) = grown(&fixture, &tree(criterion, Pruning::None), 1).unwrap();
        assert!(path.rows.len() > 3, "{criterion:?}");
        for (index, row) in path.rows.iter().enumerate() {
            let pruned = path.promoted(&model, index, "m:1").unwrap();
            let found = evaluate(&fixture.data, &Model::Tree(pruned), None, &|_| ControlFlow::Continue(())).unwrap().metrics;
            let (found, told) = (found["score"].as_f64(), row.train_score);
            assert!(found.zip(told).is_some_and(|(found, told)| (found - told).abs() < 1e-12), "{criterion:?} {index}: {found:?} {told:?}");
        }
    }
}

#[test]
fn rules_choose_by_the_means_of_the_folds() {
    let fixture = noisy(|signal| signal.to_string());
    let (least, path) = grown(&fixture, &tree(Criterion::Squared, folds(Rule::Min)), 2).unwrap();
    let (near, _) = grown(&fixture, &tree(Criterion::Squared, folds(Rule::OneSe)), 2).unwrap();
    let cv = path.cv.as_ref().unwrap();
    let mean = |index: u64| cv.rows[index as usize].mean;
    let (at, se) = (mean(cv.index_min), cv.rows[cv.index_min as usize].se);
    assert!(cv.rows.iter().all(|row| row.mean >= at));
    assert!(cv.rows.iter().filter(|row| row.index > cv.index_1se).all(|row| row.mean > at + se) && mean(cv.index_1se) <= at + se);
    assert_eq!((path.selected(&least.card), path.selected(&near.card)), (Some(cv.index_min), Some(cv.index_1se)));
    assert!(near.card.sparsity.leaves <= least.card.sparsity.leaves);
    for row in &cv.rows {
        let whole = row.per_fold.iter().sum::<f64>() / row.per_fold.len() as f64;
        assert!((whole - row.mean).abs() <= 1e-12 * whole.abs() && row.per_fold.len() == 4);
    }
    let asked = tree(Criterion::Squared, Pruning::TargetLeaves { target_leaves: 3 });
    assert!(grown(&fixture, &asked, 1).unwrap().0.card.sparsity.leaves <= 3);
    let asked = tree(Criterion::Squared, Pruning::CcpAlpha { ccp_alpha: f64::MAX });
    assert_eq!(grown(&fixture, &asked, 1).unwrap().0.nodes.len(), 1);
}

#[test]
fn a_weight_of_two_is_a_row_twice_and_ignored_weights_do_nothing() {
    let rows = [([1.0, 0.0], 3.0), ([0.0, 2.0], 1.0), ([1.0, 2.0], 5.0), ([4.0, 0.0], 2.0), ([0.0, 0.0], 0.5)];
    let weights = [1, 2, 1, 3, 1];
    let body = |times: &dyn Fn(usize) -> usize, weighted: bool| {
        let all: Vec<usize> = (0..5).flat_map(|row| std::iter::repeat_n(row, times(row))).collect();
        let mut body = json!({"format": "dense", "values": all.iter().map(|row| rows[*row].0).collect::<Vec<_>>(), "y": all.iter().map(|row| rows[*row].1).collect::<Vec<_>>()});
        if weighted {
            body["weights"] = json!(weights);
        }
        dataset_of(&body.to_string())
    };
    let spec = tree(Criterion::Squared, Pruning::None);
    let (weighted, twice) =
        (grown(&body(&|_| 1, true), &spec, 1).unwrap().0, grown(&body(&|row| weights[row], false), &spec, 1).unwrap().0);
    assert_eq!(weighted.nodes, twice.nodes);
    assert_eq!(weighted.card.metrics, twice.card.metrics);
    let ignored = grown(&body(&|_| 1, true), &ResolvedTree { weights: false, ..spec.clone() }, 1).unwrap().0;
    let plain = grown(&body(&|_| 1, false), &spec, 1).unwrap().0;
    assert_eq!((&ignored.nodes, &ignored.card.metrics), (&plain.nodes, &plain.card.metrics));
}

#[test]
fn a_constant_target_makes_a_root_and_says_so_and_a_stop_makes_nothing() {
    let constant = dataset_of(r#"{"format":"dense","values":[[1,2],[3,4],[5,6]],"y":[2.5,2.5,2.5]}"#);
    let (model, path) = grown(&constant, &tree(Criterion::Squared, Pruning::None), 1).unwrap();
    assert_eq!((model.nodes.len(), path.rows.len(), path.rows[0].train_score), (1, 1, None));
    assert_eq!(model.card.warnings[0].code, "no_split");
    let fixture = noisy(|signal| signal.to_string());
    for pruning in [Pruning::None, folds(Rule::Min)] {
        let stopped = grow(&fixture.data, &tree(Criterion::Squared, pruning), &Run::new(2, &|_| ControlFlow::Break(Leave::Nothing)));
        assert_eq!(stopped.err(), Some(TrainError::Cancelled));
    }
}
