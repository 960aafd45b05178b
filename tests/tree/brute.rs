//! Every split of every node against all splits there are, by definition and without a clever thought.

use proptest::prelude::*;
use sparsefit::tree::{Impurity, Limits, Tree};

use crate::made::{Case, Goal, KINDS, case, close, dense, rows_of_nodes};

/// A split of some rows as brute force sees it.
#[derive(Clone, Copy, Debug)]
struct Seen {
    feature: usize,
    threshold: f64,
    /// Decrease of impurity.
    decrease: f64,
}

/// All splits of these rows where both sides weigh enough, by feature and then threshold.
fn splits(case: &Case, rows: &[usize], least: f64) -> Vec<Seen> {
    let weight = |rows: &[usize]| rows.iter().map(|&row| case.weight(row)).sum::<f64>();
    let (whole, all) = (case.impurity(rows), weight(rows));
    let mut seen = Vec::new();
    for feature in 0..case.rows[0].len() {
        let mut values: Vec<f64> = rows.iter().map(|&row| case.rows[row][feature]).collect();
        values.sort_by(f64::total_cmp);
        values.dedup();
        for pair in values.windows(2) {
            let threshold = (pair[0] + pair[1]) / 2.0;
            let (left, right): (Vec<usize>, Vec<usize>) = rows.iter().partition(|&&row| case.rows[row][feature] <= threshold);
            if weight(&left) >= least && weight(&right) >= least {
                let below = (weight(&left) * case.impurity(&left) + weight(&right) * case.impurity(&right)) / all;
                seen.push(Seen { feature, threshold, decrease: whole - below });
            }
        }
    }
    seen
}

/// Whether all these rows have one target.
fn pure(case: &Case, rows: &[usize]) -> bool {
    match &case.goal {
        Goal::Numbers(y) => rows.iter().all(|&row| y[row] == y[rows[0]]),
        Goal::Classes(of_row, ..) => rows.iter().all(|&row| of_row[row] == of_row[rows[0]]),
    }
}

/// Each node says what is true of its rows, and its split is the first of the best.
fn judge(case: &Case, tree: &Tree, limits: &Limits) {
    let taking_part = |rows: &Vec<usize>| rows.iter().copied().filter(|&row| case.weight(row) > 0.0).collect::<Vec<_>>();
    let depths = tree.depths();
    let total: f64 = (0..case.rows.len()).map(|row| case.weight(row)).sum();
    let by_node: Vec<Vec<usize>> = rows_of_nodes(tree, &case.rows).iter().map(taking_part).collect();
    for (at, node) in tree.nodes().iter().enumerate() {
        let rows = &by_node[at];
        let weight: f64 = rows.iter().map(|&row| case.weight(row)).sum();
        assert!(close(node.weight, weight, 1e-12), "weight of node {at}");
        assert!(close(node.impurity, case.impurity(rows), 1e-9), "impurity of node {at}: {} {}", node.impurity, case.impurity(rows));
        match &case.goal {
            Goal::Numbers(y) => {
                let mean = rows.iter().map(|&row| case.weight(row) * y[row]).sum::<f64>() / weight;
                assert!(close(tree.value(at)[0], mean, 1e-12), "value of node {at}");
            }
            Goal::Classes(of_row, n, _) => (0..*n).for_each(|class| {
                let share = rows.iter().filter(|&&row| of_row[row] as usize == class).map(|&row| case.weight(row)).sum::<f64>() / weight;
                assert!(close(tree.value(at)[class], share, 1e-12), "share of class {class} in node {at}");
            }),
        }
        let all = splits(case, rows, limits.min_leaf_weight.max(f64::MIN_POSITIVE));
        let most = all.iter().map(|seen| seen.decrease).fold(f64::NEG_INFINITY, f64::max);
        let ended = pure(case, rows) || limits.max_depth == Some(depths[at]) || all.is_empty();
        let enough = most * weight / total >= limits.min_impurity_decrease;
        let Some(split) = node.split else {
            let just = (most * weight / total - limits.min_impurity_decrease).abs() < 1e-12;
            assert!(ended || !enough || just || limits.max_leaves.is_some(), "node {at} could be split: {most}");
            continue;
        };
        assert!(!ended && (enough || (most * weight / total - limits.min_impurity_decrease).abs() < 1e-12), "node {at} is split");
        let good = |seen: &&Seen| seen.decrease >= most - 1e-10 * case.impurity(&by_node[0]).max(1e-3);
        let ours = (dense(split.feature), split.threshold);
        assert!(all.iter().filter(good).any(|seen| (seen.feature, seen.threshold) == ours), "node {at} of {case:?}: best {most}");
        // of equally good ones the first; where rounding decides between partitions, the first of those with the same
        let sides = |(feature, threshold): (usize, f64)| rows.iter().map(|&row| case.rows[row][feature] <= threshold).collect::<Vec<_>>();
        let equal = |a: &[bool], b: &[bool]| a == b || a.iter().zip(b).all(|(a, b)| a != b);
        let exact = matches!(&case.goal, Goal::Classes(_, _, Impurity::Gini)) && case.weights.is_none();
        let before = all.iter().take_while(|seen| (seen.feature, seen.threshold) != ours).filter(good);
        let mut rivals = before.filter(|seen| exact || equal(&sides((seen.feature, seen.threshold)), &sides(ours)));
        assert!(rivals.next().is_none(), "node {at} of {case:?}: a better or equal split comes before");
    }
}

#[test]
fn every_split_is_the_first_of_the_best() {
    for kind in KINDS {
        for seed in 0..40 {
            let (n, p) = (4 + seed as usize, 1 + seed as usize % 7);
            let case = case(n, p, [0.15, 0.5, 1.0][seed as usize % 3], kind, seed);
            judge(&case, &case.grow(&Limits::default()), &Limits::default());
        }
    }
}

#[test]
fn limits_are_kept_and_nothing_else_ends_a_branch() {
    for kind in KINDS {
        for seed in 100..120 {
            let case = case(60, 6, 0.4, kind, seed);
            for limits in [
                Limits { max_depth: Some(0), ..Limits::default() },
                Limits { max_depth: Some(3), ..Limits::default() },
                Limits { min_leaf_weight: 5.0, ..Limits::default() },
                Limits { min_impurity_decrease: 0.01, ..Limits::default() },
                Limits { max_depth: Some(4), min_leaf_weight: 2.0, min_impurity_decrease: 0.002, ..Limits::default() },
            ] {
                let tree = case.grow(&limits);
                judge(&case, &tree, &limits);
                assert!(limits.max_depth.is_none_or(|most| tree.depth() <= most));
            }
        }
    }
}

#[test]
fn with_a_number_of_leaves_the_best_split_of_all_open_nodes_comes_next() {
    let mut compared = 0;
    for kind in KINDS {
        for seed in 200..215 {
            let case = case(80, 6, 0.4, kind, seed);
            let full = case.grow(&Limits::default());
            let mut before: Option<Tree> = None;
            for most in [1, 2, 3, 5, 9, 1000] {
                let limits = Limits { max_leaves: Some(most), ..Limits::default() };
                let tree = case.grow(&limits);
                judge(&case, &tree, &limits);
                assert_eq!(tree.n_leaves(), most.min(full.n_leaves()));
                if let Some(wanted) = best_first(&full, most) {
                    let impurity: f64 =
                        tree.nodes().iter().filter(|node| node.split.is_none()).map(|node| node.weight * node.impurity).sum();
                    assert!(close(impurity, wanted, 1e-9), "{kind} {seed} {most}: {impurity} {wanted}");
                    compared += 1;
                }
                before = Some(tree);
            }
            assert_eq!(before.unwrap(), full, "with enough leaves the order does not matter");
        }
    }
    assert!(compared > 200, "{compared} without a tie");
}

/// Weight times impurity of the leaves when a full tree's splits are made best first; `None` where two are as good.
fn best_first(full: &Tree, leaves: usize) -> Option<f64> {
    let nodes = full.nodes();
    let mass = |at: u32| nodes[at as usize].weight * nodes[at as usize].impurity;
    let gain = |at: u32| nodes[at as usize].split.map_or(f64::NEG_INFINITY, |split| mass(at) - mass(split.left) - mass(split.right));
    let mut open = vec![0_u32];
    while open.len() < leaves.min(full.n_leaves()) {
        open.sort_by(|&a, &b| gain(a).total_cmp(&gain(b)));
        let best = open.pop()?;
        if open.last().is_some_and(|&second| gain(second) > gain(best) - 1e-9) {
            return None;
        }
        open.extend(nodes[best as usize].split.map(|split| [split.left, split.right]).into_iter().flatten());
    }
    Some(open.into_iter().map(mass).sum())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn weights_of_any_size_are_honoured(seed in 0_u64..10_000, kind in 0_usize..5, least in 0.0_f64..3.0) {
        let mut case = case(30, 4, 0.5, KINDS[kind], seed);
        let mut dice = crate::made::Dice(seed + 77);
        // quarters, so that sums are exact and ties are ties; some are 0
        case.weights = Some((0..30).map(|_| (dice.below(12) as f64) / 4.0).collect());
        prop_assume!((0..30).any(|row| case.weight(row) > 0.0));
        let limits = Limits { min_leaf_weight: least, ..Limits::default() };
        judge(&case, &case.grow(&limits), &limits);
    }
}
