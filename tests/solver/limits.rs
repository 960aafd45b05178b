//! Stopping: cancel, limits, and data that cannot be fitted.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};

use sparsefit::solver::{
    Data, Loss, Options, Penalty, Problem, Progress, Stop, Unfit, ambiguous_support, certify, cross_validate, lambda_grid, path, settle,
    solve,
};

use crate::made::{LOSSES, case, close, go_on, plain};

#[test]
fn a_cancel_is_heard_wherever_it_comes() {
    for loss in LOSSES {
        let made = case(300, 200, 0.5, loss, 2);
        let x = made.columns();
        let problem = made.problem(&x, 1e-9);
        let lambdas = lambda_grid(problem.lambda_max(), 1e-3, 20);
        let calls = AtomicUsize::new(0);
        let count = |_: &Progress| {
            calls.fetch_add(1, Ordering::Relaxed);
            ControlFlow::Continue(())
        };
        assert_eq!(path(&problem, &lambdas, None, &count, &mut |_, _, _| ()), Stop::Converged);
        let total = calls.load(Ordering::Relaxed);
        assert!(total > 20, "observe was called {total} times");
        for k in [0, 1, 5, 17, total / 2, total - 1] {
            let calls = AtomicUsize::new(0);
            let stop = |_: &Progress| {
                if calls.fetch_add(1, Ordering::Relaxed) >= k { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            };
            let mut points = Vec::new();
            assert_eq!(path(&problem, &lambdas, None, &stop, &mut |_, point, _| points.push(point)), Stop::Cancelled);
            let broken = points.pop().unwrap();
            assert_eq!(broken.stop, Stop::Cancelled);
            assert!(points.iter().all(|point| point.stop == Stop::Converged));
            // what is left in the middle is as good as its certificate says, and no worse than no model at all
            let certificate = certify(&problem, &settle(&problem, broken), &go_on).unwrap();
            assert!(certificate.gap.is_finite() && certificate.primal <= problem.null_objective() * (1.0 + 1e-12));
            let heard = calls.load(Ordering::Relaxed) - k;
            assert!(heard <= 3, "{heard} more calls after the first Break");
        }
        let stop = |_: &Progress| ControlFlow::Break(());
        let folds: Vec<u32> = (0..300).map(|i| i % 3).collect();
        let cv = cross_validate(made.data(&x), loss, made.penalty(), made.options(1e-6), &plain(&folds, 3, &lambdas), &stop).unwrap();
        assert!(!cv.whole && cv.reached == [0; 3]);
        assert_eq!(Problem::new(made.data(&x), loss, made.penalty(), made.options(1e-6), &stop).err(), Some(Unfit::Stopped));
        let point = solve(&problem, lambdas[5], None, &go_on);
        assert!(certify(&problem, &point, &stop).is_none() && ambiguous_support(&problem, &point, &stop).is_none());
    }
}

#[test]
fn the_bound_on_epochs_ends_a_solve_as_a_result() {
    let made = case(80, 60, 0.5, Loss::Squared, 2);
    let x = made.columns();
    let options = Options { max_epochs: 1, ..made.options(1e-12) };
    let problem = Problem::new(made.data(&x), made.loss, made.penalty(), options, &go_on).unwrap();
    let point = solve(&problem, problem.lambda_max() * 1e-3, None, &go_on);
    assert_eq!(point.stop, Stop::LimitReached);
    assert!(point.relative_gap > 1e-12 && point.relative_gap.is_finite() && point.epochs <= 2);
}

#[test]
fn an_unreachable_tolerance_ends_too() {
    for loss in LOSSES {
        let made = case(50, 20, 0.5, loss, 4);
        let x = made.columns();
        let problem = made.problem(&x, 0.0);
        let point = solve(&problem, problem.lambda_max() * 0.05, None, &go_on);
        assert!(point.relative_gap < 1e-9, "{loss:?}: {}", point.relative_gap);
    }
}

#[test]
fn data_that_cannot_be_fitted_say_why() {
    let made = case(10, 3, 0.9, Loss::Logistic, 4);
    let x = made.columns();
    let try_with = |y: &[f64], weights: Option<&[f64]>, factors: Option<&[f64]>, l1_ratio: f64| {
        let data = Data { x: x.view(), y, weights, offset: None };
        Problem::new(data, Loss::Logistic, Penalty { l1_ratio, factors, ..Penalty::default() }, made.options(1e-6), &go_on).err()
    };
    let y = made.y.as_slice();
    assert_eq!(try_with(y, None, None, 1.0), None);
    assert_eq!(try_with(y, Some(&[0.0; 10]), None, 1.0), Some(Unfit::NoWeight));
    assert_eq!(try_with(&[1.0; 10], None, None, 1.0), Some(Unfit::OneClass));
    let only_positive: Vec<f64> = y.iter().map(|y| f64::from(*y > 0.0)).collect();
    assert_eq!(try_with(y, Some(&only_positive), None, 1.0), Some(Unfit::OneClass));
    assert_eq!(try_with(&[0.5; 10], None, None, 1.0), Some(Unfit::NotASign));
    assert_eq!(try_with(&[f64::NAN; 10], None, None, 1.0), Some(Unfit::NonFinite));
    assert_eq!(try_with(y, Some(&[-1.0; 10]), None, 1.0), Some(Unfit::Negative));
    assert_eq!(try_with(y, None, Some(&[1.0, -1.0, 1.0]), 1.0), Some(Unfit::Negative));
    assert_eq!(try_with(y, None, None, 1.5), Some(Unfit::Negative));
    assert_eq!(try_with(&y[1..], None, None, 1.0), Some(Unfit::Shape));
}

#[test]
fn a_target_without_variation_and_an_empty_matrix_are_fitted() {
    let mut made = case(20, 4, 0.5, Loss::Squared, 8);
    made.y = vec![3.0; 20];
    let x = made.columns();
    let problem = made.problem(&x, 1e-6);
    let point = solve(&problem, 0.1, None, &go_on);
    assert_eq!((point.stop, point.columns.len(), point.intercept), (Stop::Converged, 0, 3.0));
    made.rows = vec![vec![0.0; 4]; 20];
    made.y = (0..20).map(f64::from).collect();
    let x = made.columns();
    let problem = made.problem(&x, 1e-6);
    let point = solve(&problem, 0.1, None, &go_on);
    assert_eq!(point.stop, Stop::Converged);
    close(point.intercept, 9.5, 1e-14, "the mean");
    assert_eq!(problem.lambda_max(), 0.0);
}
