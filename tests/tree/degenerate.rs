//! Data at the edge of what can be: constants, single rows, nothing at all, numbers of every size. Nothing panics, and
//! nothing that is not finite comes out.

use sparsefit::matrix::{Columns, Values};
use sparsefit::tree::{Bins, Folds, Hands, Impurity, Limits, PruningPath, Target, Tree, Unfit, cross_validate, grow, reduced_error};

use crate::made::{Case, Goal, KINDS, case, columns, go_on};

fn numbers(rows: &[&[f64]], y: &[f64]) -> Case {
    Case { rows: rows.iter().map(|row| row.to_vec()).collect(), goal: Goal::Numbers(y.to_vec()), weights: None }
}

fn is_finite(tree: &Tree) -> bool {
    Tree::new(tree.width(), tree.nodes().to_vec(), tree.values().to_vec()).is_ok()
}

#[test]
fn what_cannot_be_split_is_a_leaf() {
    let leaf = |case: &Case| case.grow(&Limits::default()).n_leaves() == 1;
    assert!(leaf(&numbers(&[&[1.0], &[2.0], &[0.0]], &[0.1, 0.1, 0.1])), "a constant target");
    assert!(leaf(&numbers(&[&[4.0, -1.0], &[4.0, -1.0]], &[1.0, 2.0])), "constant columns");
    assert!(leaf(&numbers(&[&[4.0]], &[1.0])), "one row");
    assert!(leaf(&numbers(&[&[0.0], &[0.0]], &[1.0, 2.0])), "no entry at all");
    assert!(
        leaf(&Case { weights: Some(vec![0.0, 3.0, 0.0]), ..numbers(&[&[1.0], &[2.0], &[3.0]], &[1.0, 2.0, 3.0]) }),
        "one row with weight"
    );
    let one = Case { goal: Goal::Classes(vec![0, 0], 1, Impurity::Gini), ..numbers(&[&[1.0], &[2.0]], &[0.0, 0.0]) };
    assert!(leaf(&one), "one class");
}

#[test]
fn rows_that_are_all_zero_go_where_zeros_go() {
    let tree = numbers(&[&[0.0], &[0.0], &[2.0], &[-2.0]], &[5.0, 5.0, 1.0, 1.0]).grow(&Limits::default());
    assert_eq!(tree.n_leaves(), 3);
    assert_eq!(tree.value(tree.leaf_of_sparse(&[], &[])), [5.0]);
    assert_eq!(tree.value(tree.leaf_of_sparse(&[1], &[1.0])), [5.0], "a value on the threshold goes left");
    assert_eq!(tree.value(tree.leaf_of_sparse(&[1], &[1.5])), [1.0]);
}

#[test]
fn a_split_that_takes_nothing_away_is_made_where_more_can_follow() {
    // exclusive or: the first split is worth nothing, the two below it everything
    let tree = numbers(&[&[0.0, 0.0], &[0.0, 1.0], &[1.0, 0.0], &[1.0, 1.0]], &[0.0, 1.0, 1.0, 0.0]).grow(&Limits::default());
    assert_eq!((tree.n_leaves(), tree.depth()), (4, 2));
    let path = PruningPath::new(&tree, &go_on).unwrap();
    let steps: Vec<(f64, usize)> = path.steps().iter().map(|step| (step.alpha, step.leaves)).collect();
    assert!(steps.len() == 2 && steps[0] == (0.0, 4) && (steps[1].0 - 0.25 / 3.0).abs() < 1e-15 && steps[1].1 == 1, "{steps:?}");
}

#[test]
fn numbers_of_every_size_are_split_alike() {
    let plain = case(60, 4, 0.5, "squared", 7);
    let shape = |tree: &Tree| tree.nodes().iter().map(|node| node.split.map(|s| (s.feature, s.threshold))).collect::<Vec<_>>();
    let wanted = shape(&plain.grow(&Limits::default()));
    let Goal::Numbers(y) = &plain.goal else { unreachable!() };
    for size in [2_f64.powi(-900), 2_f64.powi(-40), 2_f64.powi(300), 2_f64.powi(480)] {
        let tree = Case { goal: Goal::Numbers(y.iter().map(|y| y * size).collect()), ..plain.clone() }.grow(&Limits::default());
        assert_eq!(shape(&tree), wanted, "{size:e}");
        assert!(is_finite(&tree));
    }
    // far from zero: the last digits of the numbers are all there is
    let tree = Case { goal: Goal::Numbers(y.iter().map(|y| y + 2_f64.powi(40)).collect()), ..plain.clone() }.grow(&Limits::default());
    assert_eq!(shape(&tree), wanted);
}

#[test]
fn one_huge_target_does_not_blur_the_others() {
    // beside it the others' differences are far below a unit of the first part; they are split all the same
    let mut rows: Vec<Vec<f64>> = (1..=64).map(|i| vec![f64::from(i), 0.0]).collect();
    rows[63][1] = 1.0;
    let mut y: Vec<f64> = (1..=64).map(|i| f64::from(i % 7)).collect();
    y[63] = 1e18;
    let case = Case { rows, goal: Goal::Numbers(y.clone()), weights: None };
    let tree = case.grow(&Limits::default());
    let predicted = tree.predict(case.columns().view(), &go_on).unwrap();
    assert_eq!(predicted, y, "a full tree tells every target");
}

#[test]
fn values_of_every_size_have_a_threshold_between_them() {
    let tiny = f64::MIN_POSITIVE;
    let pairs = [
        (1.0, 1.0 + f64::EPSILON),
        (-1.0 - f64::EPSILON, -1.0),
        (1e308, 1.7e308),
        (-1.7e308, 1.7e308),
        (tiny, 2.0 * tiny),
        (0.0, 5e-324),
        (-5e-324, 0.0),
    ];
    for (low, high) in pairs {
        let tree = numbers(&[&[low], &[high]], &[1.0, 2.0]).grow(&Limits::default());
        let split = tree.nodes()[0].split.unwrap_or_else(|| panic!("{low:e} and {high:e} are not told apart"));
        assert!(low <= split.threshold && split.threshold < high, "{low:e} {} {high:e}", split.threshold);
        assert_eq!((tree.value(1), tree.value(2)), (&[1.0][..], &[2.0][..]));
    }
}

#[test]
fn what_is_no_number_is_refused_at_the_door() {
    let two = |y: [f64; 2], weights: Option<[f64; 2]>, limits: Limits| {
        Case { weights: weights.map(|w| w.to_vec()), ..numbers(&[&[1.0], &[2.0]], &y) }.try_grow(&limits)
    };
    let free = Limits::default();
    let bad = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY];
    for number in bad {
        assert_eq!(two([number, 1.0], None, free), Err(Unfit::NonFinite));
        assert_eq!(two([0.0, 1.0], Some([1.0, number]), free), Err(Unfit::NonFinite));
        assert_eq!(two([0.0, 1.0], None, Limits { min_leaf_weight: number, ..free }), Err(Unfit::NonFinite));
        assert_eq!(two([0.0, 1.0], None, Limits { min_impurity_decrease: number, ..free }), Err(Unfit::NonFinite));
    }
    assert_eq!(two([-1e300, 1e300], None, free), Err(Unfit::NonFinite), "squares that overflow");
    assert_eq!(two([0.0, 1.0], Some([1e308, 1e308]), free), Err(Unfit::NonFinite), "a sum of weights that overflows");
    assert_eq!(two([0.0, 1.0], Some([-1.0, 1.0]), free), Err(Unfit::Negative));
    assert_eq!(two([0.0, 1.0], Some([0.0, 0.0]), free), Err(Unfit::NoWeight));
    assert_eq!(two([0.0, 1.0], None, Limits { min_leaf_weight: -1.0, ..free }), Err(Unfit::Negative));
    assert_eq!(two([0.0, 1.0], None, Limits { max_leaves: Some(0), ..free }), Err(Unfit::Negative));
    let x = columns(&[vec![1.0], vec![2.0]]);
    let classes = |of_row: &[u32], n| Bins::new(x.view(), Target::Classes { of_row, n, impurity: Impurity::Gini }, &go_on).err();
    assert_eq!(classes(&[0, 2], 2), Some(Unfit::NotAClass));
    assert_eq!(classes(&[0, 0], 0), Some(Unfit::NotAClass));
    assert_eq!(classes(&[0, 1], 70_000), Some(Unfit::NotAClass));
    assert_eq!(classes(&[0], 2), Some(Unfit::Shape));
}

#[test]
fn no_rows_and_no_columns_are_no_reason_to_panic() {
    let none = Columns::new(0, vec![].into(), vec![0].into(), vec![].into(), Values::Double(vec![].into())).unwrap();
    let bins = Bins::new(none.view(), Target::Numbers(&[]), &go_on).unwrap();
    assert_eq!(grow(&bins, None, &Limits::default(), &Hands::one(), &go_on).err(), Some(Unfit::NoWeight));
    let empty = Columns::new(3, vec![].into(), vec![0].into(), vec![].into(), Values::Double(vec![].into())).unwrap();
    let y = [1.0, 2.0, 6.0];
    let bins = Bins::new(empty.view(), Target::Numbers(&y), &go_on).unwrap();
    let tree = grow(&bins, None, &Limits::default(), &Hands::one(), &go_on).unwrap();
    assert_eq!((tree.n_leaves(), tree.value(0), tree.leaves_of(empty.view(), &go_on).unwrap()), (1, &[3.0][..], vec![0, 0, 0]));
}

#[test]
fn everything_that_is_done_with_a_stump_can_be_done_with_a_leaf() {
    for kind in KINDS {
        for (n, p) in [(1, 1), (2, 1), (3, 2)] {
            let case = case(n, p, 0.5, kind, 3);
            let x = case.columns();
            let bins = Bins::new(x.view(), case.goal.target(), &go_on).unwrap();
            let tree = case.grow(&Limits::default());
            let path = PruningPath::new(&tree, &go_on).unwrap();
            assert!(is_finite(&path.tree(&tree, 0)) && path.tree(&tree, path.steps().len() - 1).n_leaves() == 1);
            assert!(is_finite(&reduced_error(&tree, x.view(), &case.goal.target(), None, &go_on).unwrap()));
            let of_row: Vec<u32> = (0..n as u32).collect();
            let cv = cross_validate(&bins, None, &Limits::default(), &path, &Folds { of_row: &of_row, n }, &Hands::one(), &go_on);
            match cv {
                Ok(cv) => assert!(cv.mean.iter().chain(&cv.se).all(|x| x.is_finite())),
                Err(why) => assert!(n == 1 && why == Unfit::NoWeight),
            }
        }
    }
}
