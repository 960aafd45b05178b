//! Data at the edge: perfect fits, separable classes, rows of zeros, scales near the ends of double precision, λ = 0.

use sparsefit::solver::{Loss, Point, Stop, certify, lambda_grid, path, solve};

use crate::made::{Case, LOSSES, case, close, dense, go_on};

/// Solves and certifies; the point.
fn certified(made: &Case, lambda: impl Fn(f64) -> f64, what: &str) -> Point {
    let x = made.columns();
    let problem = made.problem(&x, 1e-8);
    let point = solve(&problem, lambda(problem.lambda_max()), None, &go_on);
    let certificate = certify(&problem, &point, &go_on).unwrap();
    assert_eq!(point.stop, Stop::Converged, "{what}: {certificate:?}");
    assert!(certificate.relative_gap <= 1.1e-8, "{what}: {certificate:?}");
    assert!(point.values.iter().all(|w| w.is_finite()) && point.intercept.is_finite(), "{what}");
    point
}

#[test]
fn rows_of_zeros_and_rows_without_weight_are_no_trouble() {
    for loss in LOSSES {
        let mut made = case(40, 6, 0.5, loss, 31);
        made.rows.iter_mut().step_by(3).for_each(|row| row.fill(0.0));
        made.weights = Some((0..40).map(|i| if i % 5 == 1 { 0.0 } else { 1.0 }).collect());
        for l1_ratio in [1.0, 0.5] {
            made.l1_ratio = l1_ratio;
            certified(&made, |top| 0.05 * top, &format!("{loss:?}"));
        }
        // without a single column that varies there is nothing but the intercept
        made.rows.iter_mut().for_each(|row| row.fill(0.0));
        assert!(certified(&made, |_| 0.1, &format!("{loss:?}")).columns.is_empty());
    }
}

#[test]
fn a_target_that_is_fitted_exactly_is_certified_down_to_no_penalty() {
    for loss in [Loss::Squared, Loss::Huber { delta: 0.3 }, Loss::Huber { delta: 1e-3 }] {
        for intercept in [true, false] {
            let mut made = case(40, 6, 0.7, loss, 5);
            made.intercept = intercept;
            made.y = made.rows.iter().map(|row| 2.0 * row[0] - 3.0 * row[4]).collect();
            let point = certified(&made, |top| 1e-4 * top, &format!("{loss:?} {intercept}"));
            let w = dense(&point, &made.columns(), 6);
            close(w[0], 2.0, 1e-3, "the first coefficient");
            close(w[4], -3.0, 1e-3, "the second");
            made.y = vec![3.0; 40];
            made.intercept = true;
            let still = certified(&made, |_| 0.1, "a constant target");
            assert!(still.columns.is_empty() && (still.intercept - 3.0).abs() < 1e-12, "{still:?}");
        }
    }
}

#[test]
fn separable_classes_are_certified_along_the_path_of_the_squared_hinge() {
    for (intercept, standardize, free) in [(true, true, false), (true, false, true), (false, false, false), (false, true, true)] {
        let mut made = case(40, 6, 1.0, Loss::SquaredHinge, 8);
        (made.intercept, made.standardize) = (intercept, standardize);
        made.y = made.rows.iter().map(|row| if row[0] + 0.5 * row[1] > 0.0 { 1.0 } else { -1.0 }).collect();
        made.factors = free.then(|| vec![1.0, 1.0, 1.0, 0.0, 1.0, 1.0]);
        let x = made.columns();
        let problem = made.problem(&x, 1e-8);
        let lambdas = lambda_grid(problem.lambda_max(), 1e-5, 30);
        let stop = path(&problem, &lambdas, None, &go_on, &mut |_, point, _| {
            let certificate = certify(&problem, &point, &go_on).unwrap();
            assert!(certificate.relative_gap <= 1.1e-8, "{intercept} {standardize} {free}: {certificate:?}");
        });
        assert_eq!(stop, Stop::Converged);
    }
}

#[test]
fn no_penalty_at_all_ends_without_a_number_that_is_none() {
    for loss in LOSSES.into_iter().filter(|loss| *loss != Loss::Logistic) {
        let made = case(60, 4, 0.8, loss, 12);
        let x = made.columns();
        let problem = made.problem(&x, 1e-8);
        let point = solve(&problem, 0.0, None, &go_on);
        assert!(point.values.iter().all(|w| w.is_finite()) && point.relative_gap.is_finite(), "{loss:?} {point:?}");
        close(made.objective(0.0, &dense(&point, &x, 4), point.intercept), made.reference(0.0), 1e-6, &format!("{loss:?}"));
    }
}

#[test]
fn a_huber_fit_follows_the_scale_of_target_and_columns() {
    let made = case(40, 6, 0.6, Loss::Huber { delta: 1.0 }, 3);
    let plain = certified(&made, |top| 0.1 * top, "as it is");
    for scale in [1e-100, 1e-6, 1e9, 1e100] {
        let mut scaled = made.clone();
        scaled.loss = Loss::Huber { delta: scale };
        scaled.y.iter_mut().for_each(|y| *y *= scale);
        let point = certified(&scaled, |top| 0.1 * top, &format!("{scale}"));
        assert_eq!(point.columns, plain.columns, "{scale}");
        point.values.iter().zip(&plain.values).for_each(|(a, b)| close(a / scale, *b, 1e-4, "a coefficient"));
        let mut wide = made.clone();
        wide.rows.iter_mut().for_each(|row| row[0] *= scale);
        certified(&wide, |top| 0.1 * top, &format!("column {scale}"));
    }
    // targets far beyond delta, and a delta that no residual reaches
    for delta in [1e-2, 1e9] {
        let mut other = made.clone();
        other.loss = Loss::Huber { delta };
        certified(&other, |top| 0.2 * top, &format!("delta {delta}"));
    }
    let mut far = made.clone();
    far.y[7] = 1e9;
    certified(&far, |top| 0.1 * top, "one target far beyond all others");
}

#[test]
fn a_huber_delta_beyond_every_residual_is_the_squared_loss() {
    let made = case(50, 8, 0.5, Loss::Squared, 17);
    let mut huber = made.clone();
    huber.loss = Loss::Huber { delta: 1e4 };
    let (a, b) = (certified(&made, |top| 0.05 * top, "squared"), certified(&huber, |top| 0.05 * top, "huber"));
    assert_eq!(a.columns, b.columns);
    a.values.iter().zip(&b.values).for_each(|(a, b)| close(*a, *b, 1e-4, "a coefficient"));
    close(a.deviance, b.deviance, 1e-6, "the deviance");
}
