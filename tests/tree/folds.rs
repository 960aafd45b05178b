//! Cross-validation of the path, beside doing it by hand with copies of the rows.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};

use sparsefit::tree::{Bins, CvLoss, Folds, Hands, Limits, Progress, PruningPath, Unfit, cross_validate};

use crate::made::{Case, Dice, Goal, KINDS, case, close, go_on};

const LIMITS: Limits = Limits { max_depth: Some(6), max_leaves: None, min_leaf_weight: 1.0, min_impurity_decrease: 0.0 };

fn folds_of(case: &Case, of_row: &[u32], n: usize, threads: usize) -> (PruningPath, CvLoss) {
    let x = case.columns();
    let bins = Bins::new(x.view(), case.goal.target(), &go_on).unwrap();
    let path = PruningPath::new(&case.grow(&LIMITS), &go_on).unwrap();
    let hands = Hands { threads, on_thread: &|| () };
    let cv = cross_validate(&bins, case.weights.as_deref(), &LIMITS, &path, &Folds { of_row, n }, &hands, &go_on).unwrap();
    (path, cv)
}

#[test]
fn folds_are_trees_on_the_other_rows_pruned_at_the_midpoints() {
    for kind in KINDS {
        for seed in 0..8 {
            let mut dice = Dice(seed + 40);
            let mut case = case(80, 5, 0.5, kind, seed);
            case.weights = Some((0..80).map(|_| dice.below(4) as f64).collect());
            let of_row: Vec<u32> = (0..80).map(|row| row % 4).collect();
            let (path, cv) = folds_of(&case, &of_row, 4, 2);
            assert_eq!(cv.alphas, path.midpoints());
            for fold in 0..4_u32 {
                let (out, rest): (Vec<usize>, Vec<usize>) = (0..80).partition(|&row| of_row[row] == fold);
                let (out, rest) = (case.picked(&out), case.picked(&rest));
                let tree = rest.grow(&LIMITS);
                let of_fold = PruningPath::new(&tree, &go_on).unwrap();
                for (at, &alpha) in cv.alphas.iter().enumerate() {
                    let pruned = of_fold.tree(&tree, of_fold.at_alpha(alpha));
                    assert_eq!(cv.leaves[[at, fold as usize]], pruned.n_leaves());
                    let predicted = pruned.predict(out.columns().view(), &go_on).unwrap();
                    let width = pruned.width();
                    let loss = |row: usize| match &out.goal {
                        Goal::Numbers(y) => (y[row] - predicted[row]).powi(2),
                        Goal::Classes(of_row, ..) => {
                            let shares = &predicted[row * width..(row + 1) * width];
                            let top = shares.iter().copied().fold(0.0, f64::max);
                            f64::from(u8::from(shares.iter().position(|share| *share == top) != Some(of_row[row] as usize)))
                        }
                    };
                    let weight: f64 = (0..out.rows.len()).map(|row| out.weight(row)).sum();
                    let mean = (0..out.rows.len()).map(|row| out.weight(row) * loss(row)).sum::<f64>() / weight;
                    assert!(close(cv.per_fold[[at, fold as usize]], mean, 1e-9), "{kind} {seed} fold {fold} alpha {alpha}");
                }
            }
            for (at, row) in cv.per_fold.rows().into_iter().enumerate() {
                let mean = row.sum() / 4.0;
                let deviation = (row.iter().map(|loss| (loss - mean).powi(2)).sum::<f64>() / 3.0).sqrt();
                assert!(close(cv.mean[at], mean, 1e-12) && close(cv.se[at], deviation / 2.0, 1e-9));
            }
        }
    }
}

#[test]
fn threads_do_not_change_a_bit_of_the_folds() {
    let case = case(200, 8, 0.4, "squared", 3);
    let of_row: Vec<u32> = (0..200).map(|row| row % 5).collect();
    assert_eq!(folds_of(&case, &of_row, 5, 1), folds_of(&case, &of_row, 5, 3));
}

#[test]
fn a_fold_that_holds_out_no_weight_measures_nothing() {
    let case = case(40, 4, 0.5, "squared", 3);
    let of_row: Vec<u32> = (0..40).map(|row| row % 2).collect();
    let (_, two) = folds_of(&case, &of_row, 2, 1);
    let (_, three) = folds_of(&case, &of_row, 3, 1);
    assert!(three.per_fold.column(2).iter().all(|loss| loss.is_nan()));
    assert_eq!((two.mean, two.se), (three.mean, three.se));
}

#[test]
fn folds_that_do_not_fit_are_refused_and_stops_are_heard() {
    let case = case(40, 4, 0.5, "squared", 3);
    let x = case.columns();
    let bins = Bins::new(x.view(), case.goal.target(), &go_on).unwrap();
    let path = PruningPath::new(&case.grow(&LIMITS), &go_on).unwrap();
    let by = |of_row: &[u32], n: usize, weights: Option<&[f64]>| {
        cross_validate(&bins, weights, &LIMITS, &path, &Folds { of_row, n }, &Hands::one(), &go_on).err()
    };
    assert_eq!(by(&[0; 39], 2, None), Some(Unfit::Shape));
    assert_eq!(by(&[2; 40], 2, None), Some(Unfit::Shape));
    assert_eq!(by(&[0; 40], 2, None), Some(Unfit::NoWeight), "a fold of all rows leaves none to grow on");
    assert_eq!(by(&[0; 40], 2, Some(&[1.0; 3])), Some(Unfit::Shape));
    let seen = AtomicUsize::new(0);
    let stop_in_the_second = |at: &Progress| {
        seen.fetch_max(at.fold.map_or(0, |fold| fold + 1), Ordering::Relaxed);
        if at.fold == Some(1) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let of_row: Vec<u32> = (0..40).map(|row| row % 3).collect();
    let folds = Folds { of_row: &of_row, n: 3 };
    assert_eq!(cross_validate(&bins, None, &LIMITS, &path, &folds, &Hands::one(), &stop_in_the_second).err(), Some(Unfit::Stopped));
    assert!(seen.load(Ordering::Relaxed) >= 2);
}
