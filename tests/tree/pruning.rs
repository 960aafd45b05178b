//! Pruning: the path against all subtrees there are, and what must hold between its trees.

use sparsefit::tree::{Limits, PruningPath, Target, Tree, Unfit, reduced_error};

use crate::made::{Goal, KINDS, case, close, go_on};

fn path(tree: &Tree) -> PruningPath {
    PruningPath::new(tree, &go_on).unwrap()
}

/// Share of weight times impurity of a node as a leaf.
fn own(tree: &Tree, at: usize) -> f64 {
    tree.nodes()[at].weight / tree.nodes()[0].weight * tree.nodes()[at].impurity
}

/// R(T) of all leaves.
fn impurity(tree: &Tree) -> f64 {
    (0..tree.nodes().len()).filter(|&at| tree.nodes()[at].split.is_none()).map(|at| own(tree, at)).sum()
}

/// The smallest of the subtrees with the least R + α·leaves, by looking at every node from below: (cost, leaves).
fn cheapest(tree: &Tree, at: usize, alpha: f64) -> (f64, usize) {
    let leaf = (own(tree, at) + alpha, 1);
    let Some(split) = tree.nodes()[at].split else { return leaf };
    let (left, right) = (cheapest(tree, split.left as usize, alpha), cheapest(tree, split.right as usize, alpha));
    let below = (left.0 + right.0, left.1 + right.1);
    if below.0 < leaf.0 - 1e-12 { below } else { leaf }
}

#[test]
fn each_step_is_the_smallest_tree_of_least_cost() {
    for kind in KINDS {
        for seed in 0..20 {
            let tree = case(70, 5, 0.5, kind, seed).grow(&Limits::default());
            let path = path(&tree);
            for (at, step) in path.steps().iter().enumerate() {
                let next = path.steps().get(at + 1).map_or(step.alpha * 2.0 + 1.0, |next| next.alpha);
                let pruned = path.tree(&tree, at);
                let alpha = (step.alpha + next) / 2.0;
                let (cost, leaves) = cheapest(&tree, 0, alpha);
                assert_eq!((pruned.n_leaves(), step.leaves), (leaves, leaves), "{kind} {seed} step {at}");
                assert!(close(step.impurity + alpha * leaves as f64, cost, 1e-9));
                assert!(close(impurity(&pruned), step.impurity, 1e-9));
            }
        }
    }
}

#[test]
fn the_trees_are_nested_and_alphas_rise() {
    for kind in KINDS {
        for seed in 30..50 {
            let tree = case(90, 6, 0.4, kind, seed).grow(&Limits::default());
            let path = path(&tree);
            let steps = path.steps();
            assert_eq!((steps[0].alpha, steps.last().unwrap().leaves), (0.0, 1));
            assert!(close(steps.last().unwrap().impurity, own(&tree, 0), 1e-12));
            for (at, pair) in steps.windows(2).enumerate() {
                assert!(pair[0].alpha < pair[1].alpha && pair[0].leaves > pair[1].leaves && pair[0].impurity <= pair[1].impurity);
                // the price of a step is what its leaves were worth
                let price = (pair[1].impurity - pair[0].impurity) / (pair[0].leaves - pair[1].leaves) as f64;
                assert!(close(price, pair[1].alpha, 1e-6), "{price} {}", pair[1].alpha);
                let (large, small) = (path.tree(&tree, at), path.tree(&tree, at + 1));
                assert!(holds(&large, 0, &small, 0), "{kind} {seed} step {at}");
            }
        }
    }
}

/// Whether `small` is `large` with some branches cut.
fn holds(large: &Tree, a: usize, small: &Tree, b: usize) -> bool {
    let (one, other) = (large.nodes()[a], small.nodes()[b]);
    let alike = one.weight == other.weight && one.impurity == other.impurity && large.value(a) == small.value(b);
    let below = match (one.split, other.split) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some(one), Some(other)) => {
            (one.feature, one.threshold) == (other.feature, other.threshold)
                && holds(large, one.left as usize, small, other.left as usize)
                && holds(large, one.right as usize, small, other.right as usize)
        }
    };
    alike && below
}

#[test]
fn pruned_means_gone() {
    let tree = case(120, 6, 0.5, "squared", 3).grow(&Limits::default());
    let path = path(&tree);
    for at in 0..path.steps().len() {
        let pruned = path.tree(&tree, at);
        assert_eq!(pruned.nodes().len(), 2 * path.steps()[at].leaves - 1);
        assert_eq!(pruned.values().len(), pruned.nodes().len());
        assert_eq!(Tree::new(1, pruned.nodes().to_vec(), pruned.values().to_vec()).unwrap(), pruned, "whole and in preorder");
    }
    assert_eq!(path.tree(&tree, path.steps().len() - 1).nodes().len(), 1);
}

#[test]
fn steps_are_found_by_alpha_and_by_leaves() {
    let tree = case(120, 6, 0.5, "gini", 5).grow(&Limits::default());
    let path = path(&tree);
    let steps = path.steps();
    assert_eq!((path.at_alpha(-1.0), path.at_alpha(f64::INFINITY)), (0, steps.len() - 1));
    for (at, step) in steps.iter().enumerate() {
        assert_eq!(path.at_alpha(step.alpha), at, "an alpha is where its tree begins");
        assert_eq!(path.at_leaves(step.leaves), at);
        let larger = at.checked_sub(1).map_or(usize::MAX, |before| steps[before].leaves - 1);
        assert_eq!(path.at_leaves(larger), at, "the largest tree that is not too large");
    }
    assert_eq!(path.at_leaves(0), steps.len() - 1);
    let middles = path.midpoints();
    assert_eq!(middles.len(), steps.len());
    assert!((0..steps.len()).all(|at| path.at_alpha(middles[at] * (1.0 + 1e-12)) == at), "a midpoint stands for its own step");
}

/// Loss of a tree on rows: squared error, or weight of wrong classes.
fn loss(tree: &Tree, case: &crate::made::Case, weights: &[f64]) -> f64 {
    let predicted = tree.predict(case.columns().view(), &go_on).unwrap();
    let width = tree.width();
    let of = |row: usize| {
        let value = &predicted[row * width..(row + 1) * width];
        match &case.goal {
            Goal::Numbers(y) => (y[row] - value[0]).powi(2),
            Goal::Classes(of_row, ..) => {
                let top = value.iter().copied().fold(0.0, f64::max);
                f64::from(u8::from(value.iter().position(|v| *v == top) != Some(of_row[row] as usize)))
            }
        }
    };
    (0..case.rows.len()).map(|row| weights[row] * of(row)).sum()
}

/// Losses of all prunings of the branch below a node, with their leaves, where `cost` are the losses as a leaf.
fn prunings(tree: &Tree, at: usize, cost: &[f64]) -> Vec<(f64, usize)> {
    let mut all = vec![(cost[at], 1)];
    if let Some(split) = tree.nodes()[at].split {
        for left in prunings(tree, split.left as usize, cost) {
            for right in prunings(tree, split.right as usize, cost) {
                all.push((left.0 + right.0, left.1 + right.1));
            }
        }
    }
    all
}

#[test]
fn reduced_error_finds_the_best_of_all_prunings() {
    for kind in KINDS {
        for seed in 60..75 {
            let tree = case(60, 4, 0.5, kind, seed).grow(&Limits { max_leaves: Some(8), ..Limits::default() });
            let held_out = case(50, 4, 0.5, kind, seed + 1000);
            let mut dice = crate::made::Dice(seed);
            let weights: Vec<f64> = (0..50).map(|_| dice.below(3) as f64).collect();
            let x = held_out.columns();
            let pruned = reduced_error(&tree, x.view(), &held_out.goal.target(), Some(&weights), &go_on).unwrap();
            // the loss of every node as a leaf
            let by_node = crate::made::rows_of_nodes(&tree, &held_out.rows);
            let single = |at: usize| Tree::new(tree.width(), vec![leaf(&tree, at)], tree.value(at).to_vec()).unwrap();
            let cost: Vec<f64> = (0..tree.nodes().len())
                .map(|at| {
                    let here: Vec<f64> = (0..50).map(|row| if by_node[at].contains(&row) { weights[row] } else { 0.0 }).collect();
                    loss(&single(at), &held_out, &here)
                })
                .collect();
            let all = prunings(&tree, 0, &cost);
            let least = all.iter().map(|(loss, _)| *loss).fold(f64::INFINITY, f64::min);
            assert!(close(loss(&pruned, &held_out, &weights), least, 1e-9), "{kind} {seed}");
            let smallest = all.iter().filter(|(loss, _)| *loss <= least + 1e-9).map(|(_, leaves)| *leaves).min();
            assert_eq!(Some(pruned.n_leaves()), smallest, "{kind} {seed}");
            assert!(holds(&tree, 0, &pruned, 0));
        }
    }
}

fn leaf(tree: &Tree, at: usize) -> sparsefit::tree::Node {
    sparsefit::tree::Node { split: None, ..tree.nodes()[at] }
}

#[test]
fn hold_out_data_that_do_not_fit_are_refused() {
    let case = case(20, 3, 0.5, "squared", 1);
    let (tree, x) = (case.grow(&Limits::default()), case.columns());
    let y = [0.0; 20];
    let by = |target: Target, weights: Option<&[f64]>| reduced_error(&tree, x.view(), &target, weights, &go_on).err();
    assert_eq!(by(Target::Numbers(&y[..19]), None), Some(Unfit::Shape));
    assert_eq!(by(Target::Numbers(&y), Some(&y[..3])), Some(Unfit::Shape));
    assert_eq!(by(Target::Numbers(&y), Some(&[-1.0; 20])), Some(Unfit::Negative));
    assert_eq!(by(Target::Numbers(&[f64::NAN; 20]), None), Some(Unfit::NonFinite));
    let of_row = [0; 20];
    assert_eq!(by(Target::Classes { of_row: &of_row, n: 3, impurity: sparsefit::tree::Impurity::Gini }, None), Some(Unfit::Shape));
}
