//! What must not change a tree: weights for repetitions, absent rows, the order of columns and rows, threads, precision.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};

use sparsefit::matrix::{Columns, Values, ValuesView};
use sparsefit::tree::{Bins, Hands, Limits, Node, Progress, Split, Target, Tree, Unfit, grow};

use crate::made::{Case, Dice, Goal, KINDS, case, close, dense, go_on, rows_of_nodes};

#[test]
fn a_weight_of_two_is_a_row_twice_and_of_zero_a_row_less() {
    for kind in KINDS {
        for seed in 0..20 {
            let mut dice = Dice(seed + 5);
            let mut case = case(40, 5, 0.4, kind, seed);
            let times: Vec<usize> = (0..40).map(|_| dice.below(4)).collect();
            let repeated: Vec<usize> = (0..40).flat_map(|row| vec![row; times[row]]).collect();
            // what a row without weight says of its target may be anything
            if let Goal::Numbers(y) = &mut case.goal {
                (0..40).filter(|&row| times[row] == 0).for_each(|row| y[row] = 1e9);
            }
            let plain = case.picked(&repeated).grow(&Limits::default());
            let weighted = Case { weights: Some(times.iter().map(|&n| n as f64).collect()), ..case }.grow(&Limits::default());
            same(&plain, &weighted, 1e-12);
        }
    }
}

/// The same nodes and splits; weights and values but for rounding.
fn same(a: &Tree, b: &Tree, relative: f64) {
    let shape = |tree: &Tree| tree.nodes().iter().map(|node| node.split).collect::<Vec<_>>();
    assert_eq!(shape(a), shape(b));
    for (a, b) in a.nodes().iter().zip(b.nodes()) {
        assert!(close(a.weight, b.weight, relative) && close(a.impurity, b.impurity, 1e3 * relative), "{a:?} {b:?}");
    }
    assert!(a.values().iter().zip(b.values()).all(|(a, b)| close(*a, *b, relative)));
}

#[test]
fn weights_all_alike_are_no_weights_whatever_their_size() {
    for kind in KINDS {
        for size in [1e-200, 0.1, 7.0, 1e200] {
            let mut case = case(50, 5, 0.4, kind, 3);
            let plain = case.grow(&Limits::default());
            case.weights = Some(vec![size; 50]);
            let weighted = case.grow(&Limits::default());
            let shape = |tree: &Tree| tree.nodes().iter().map(|node| node.split).collect::<Vec<_>>();
            assert_eq!(shape(&plain), shape(&weighted), "{kind} {size}");
        }
    }
}

#[test]
fn permuted_columns_give_the_same_partitions_unless_there_is_a_tie() {
    for kind in KINDS {
        for seed in 0..20 {
            let case = case(600, 6, 0.6, kind, seed);
            let mut order: Vec<usize> = (0..6).collect();
            let mut dice = Dice(seed + 99);
            (1..6).rev().for_each(|i| order.swap(i, dice.below(i + 1)));
            let permuted = Case { rows: case.rows.iter().map(|row| order.iter().map(|&j| row[j]).collect()).collect(), ..case.clone() };
            // a large leaf weight and a shallow tree: ties between different partitions are rare there, and none in these seeds
            let limits = Limits { max_depth: Some(2), min_leaf_weight: 60.0, ..Limits::default() };
            let (a, b) = (case.grow(&limits), permuted.grow(&limits));
            let back = |split: Split| (order[dense(split.feature)], split.threshold);
            let theirs: Vec<_> = b.nodes().iter().map(|node| node.split.map(back)).collect();
            let ours: Vec<_> = a.nodes().iter().map(|node| node.split.map(|split| (dense(split.feature), split.threshold))).collect();
            assert_eq!(ours, theirs, "{kind} {seed}");
        }
    }
}

#[test]
fn the_order_of_rows_does_not_matter() {
    for kind in KINDS {
        for seed in 0..20 {
            let case = case(60, 5, 0.4, kind, seed);
            let mut order: Vec<usize> = (0..60).collect();
            let mut dice = Dice(seed + 9);
            (1..60).rev().for_each(|i| order.swap(i, dice.below(i + 1)));
            same(&case.grow(&Limits::default()), &case.picked(&order).grow(&Limits::default()), 1e-12);
        }
    }
}

#[test]
fn absent_entries_are_zeros_in_the_middle_of_their_column() {
    // moved by 16, no entry is absent any more; on a grid of eighths nothing is lost
    for kind in KINDS {
        for seed in 0..20 {
            let sparse = case(50, 5, 0.3, kind, seed);
            let full = Case { rows: sparse.rows.iter().map(|row| row.iter().map(|x| x + 16.0).collect()).collect(), ..sparse.clone() };
            assert_eq!(full.columns().view().nnz(), 250);
            let moved = |node: &Node| Node { split: node.split.map(|s| Split { threshold: s.threshold + 16.0, ..s }), ..*node };
            let ours: Vec<Node> = sparse.grow(&Limits::default()).nodes().iter().map(moved).collect();
            assert_eq!(ours, full.grow(&Limits::default()).nodes(), "{kind} {seed}");
        }
    }
}

#[test]
fn threads_do_not_change_a_bit() {
    // enough cells that a search is shared out
    let (n, p) = (9_000, 90);
    let mut dice = Dice(4);
    let rows: Vec<Vec<f64>> = (0..n).map(|_| (0..p).map(|_| if dice.roll() < 0.9 { dice.roll() - 0.4 } else { 0.0 }).collect()).collect();
    let y: Vec<f64> = rows.iter().map(|row| row[3] * row[50] + row[89].abs() + 0.2 * dice.roll()).collect();
    let x = crate::made::columns(&rows);
    let class: Vec<u32> = y.iter().map(|y| (y * 7.0).clamp(0.0, 6.0) as u32).collect();
    let limits = Limits { max_depth: Some(3), ..Limits::default() };
    for goal in [Goal::Numbers(y), Goal::Classes(class, 7, sparsefit::tree::Impurity::Gini)] {
        let bins = Bins::new(x.view(), goal.target(), &go_on).unwrap();
        let started = AtomicUsize::new(0);
        let count = || {
            started.fetch_add(1, Ordering::Relaxed);
        };
        let by = |threads| grow(&bins, None, &limits, &Hands { threads, on_thread: &count }, &go_on).unwrap();
        let one = by(1);
        assert_eq!(started.load(Ordering::Relaxed), 0);
        assert_eq!(one, by(2));
        assert!(started.load(Ordering::Relaxed) > 0, "the search was not shared");
        assert_eq!(one, by(7));
        assert!(one.n_leaves() == 8);
    }
}

#[test]
fn single_and_double_precision_give_one_tree_where_values_agree() {
    for kind in KINDS {
        let case = case(80, 6, 0.5, kind, 11);
        let single = case.columns();
        let view = single.view();
        let ValuesView::Single(values) = view.values else { panic!("eighths fit single precision") };
        let values: Vec<f64> = values.iter().map(|&v| v.into()).collect();
        let (features, offsets, rows) = (view.features.to_vec(), view.offsets.to_vec(), view.rows.to_vec());
        let double = Columns::new(80, features.into(), offsets.into(), rows.into(), Values::Double(values.into())).unwrap();
        let tree = |x: &Columns| {
            let bins = Bins::new(x.view(), case.goal.target(), &go_on).unwrap();
            grow(&bins, None, &Limits::default(), &Hands::one(), &go_on).unwrap()
        };
        assert_eq!(tree(&single), tree(&double));
    }
}

#[test]
fn predictions_by_rows_and_by_columns_agree_with_walking_down() {
    for kind in KINDS {
        let case = case(120, 6, 0.4, kind, 21);
        let tree = case.grow(&Limits::default());
        // other rows than those it was grown on
        let other = crate::made::case(70, 6, 0.5, kind, 22);
        let by_node = rows_of_nodes(&tree, &other.rows);
        let x = other.columns();
        let leaves = tree.leaves_of(x.view(), &go_on).unwrap();
        let values = tree.predict(x.view(), &go_on).unwrap();
        for (row, &leaf) in leaves.iter().enumerate() {
            assert!(tree.nodes()[leaf as usize].split.is_none() && by_node[leaf as usize].contains(&row));
            let (features, held): (Vec<u32>, Vec<f64>) =
                other.rows[row].iter().enumerate().filter(|(_, x)| **x != 0.0).map(|(j, x)| (3 * j as u32 + 1, *x)).unzip();
            assert_eq!(tree.leaf_of_sparse(&features, &held), leaf as usize);
            assert_eq!(&values[row * tree.width()..(row + 1) * tree.width()], tree.value(leaf as usize));
        }
    }
}

#[test]
fn growing_stops_when_told_at_every_moment() {
    let case = case(2_000, 30, 0.5, "squared", 31);
    let x = case.columns();
    let asked = AtomicUsize::new(0);
    let at_most = |most: usize| {
        asked.store(0, Ordering::Relaxed);
        let observe = |_: &Progress| {
            if asked.fetch_add(1, Ordering::Relaxed) >= most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let bins = Bins::new(x.view(), case.goal.target(), &observe)?;
        grow(&bins, None, &Limits::default(), &Hands::one(), &observe)
    };
    let whole = at_most(usize::MAX).unwrap();
    let questions = asked.load(Ordering::Relaxed);
    assert!(questions > 20, "asked {questions} times");
    for most in (0..questions).step_by(1 + questions / 25) {
        assert_eq!(at_most(most), Err(Unfit::Stopped));
        assert_eq!(asked.load(Ordering::Relaxed), most + 1, "nothing is asked after a stop");
    }
    assert_eq!(at_most(questions).unwrap(), whole);
}

#[test]
fn trees_are_rebuilt_from_their_arrays_and_from_nothing_else() {
    let tree = case(60, 5, 0.4, "gini of 5", 41).grow(&Limits::default());
    let again = |nodes: Vec<Node>, values: Vec<f64>| Tree::new(5, nodes, values);
    assert_eq!(again(tree.nodes().to_vec(), tree.values().to_vec()), Ok(tree.clone()));
    assert!(again(tree.nodes().to_vec(), tree.values()[1..].to_vec()).is_err());
    let mut nodes = tree.nodes().to_vec();
    nodes[0].split = nodes[0].split.map(|split| Split { right: 0, ..split });
    assert!(again(nodes, tree.values().to_vec()).is_err(), "a child above its parent");
    let mut nodes = tree.nodes().to_vec();
    nodes[0].split = nodes[0].split.map(|split| Split { threshold: f64::NAN, ..split });
    assert!(again(nodes, tree.values().to_vec()).is_err());
    assert!(Tree::new(5, tree.nodes()[..3].to_vec(), tree.values()[..15].to_vec()).is_err(), "a child that is missing");
    assert!(Tree::new(1, Vec::new(), Vec::new()).is_err());
}

#[test]
fn a_target_of_another_length_is_refused() {
    let case = case(10, 3, 0.5, "squared", 1);
    let x = case.columns();
    assert_eq!(Bins::new(x.view(), Target::Numbers(&[1.0]), &go_on).err(), Some(Unfit::Shape));
}
