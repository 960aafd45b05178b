//! Ridge where there are far more columns than rows: every column moves, and steps are taken in the rows.

use sparsefit::solver::{Stop, certify, cross_validate, lambda_grid, path, solve};

use crate::made::{Case, Dice, Dress, LOSSES, case, close, dense, go_on, plain};
use crate::product::combinations;
use crate::standing::goes_on_from_each;

/// Mostly full, with more columns than rows: every loss × filling × what rows and columns may carry; no factor is 0.
fn all_wide() -> Vec<(String, Case)> {
    let made = |chosen: Vec<usize>| {
        let (loss, fill) = (LOSSES[chosen[0]], [0.75, 1.0][chosen[1]]);
        let dress = Dress::of(&chosen[2..]);
        let plain = Case { l1_ratio: 0.0, ..case(12, 90, fill, loss, 5) };
        let mut dice = Dice(8);
        let factors = dress.factors.then(|| (0..90).map(|_| 0.25 + 2.0 * dice.roll()).collect());
        (format!("{loss:?} fill {fill} {dress:?}"), Case { factors, ..Dress { factors: false, ..dress }.on(plain) })
    };
    combinations(&[LOSSES.len(), 2, 2, 2, 2, 2, 2]).into_iter().map(made).collect()
}

#[test]
fn every_solution_has_a_certificate_and_the_objective_of_an_independent_method_after_a_few_steps() {
    for (name, made) in all_wide() {
        let x = made.columns();
        let problem = made.problem(&x, 1e-9);
        for fraction in [1e-3, 1e-5] {
            let lambda = problem.lambda_max() * fraction;
            let point = solve(&problem, lambda, None, &go_on);
            assert_eq!(point.stop, Stop::Converged, "{name}");
            // descent on the columns takes thousands
            assert!(point.epochs <= 150, "{name}: {} steps", point.epochs);
            let certificate = certify(&problem, &point, &go_on).unwrap();
            assert!(certificate.relative_gap <= 1.1e-9, "{name}: {certificate:?}");
            let w = dense(&point, &x, made.rows[0].len());
            close(made.objective(lambda, &w, point.intercept), certificate.primal, 1e-12, &name);
            if fraction == 1e-3 {
                close(certificate.primal, made.reference(lambda), 1e-7, &name);
            }
        }
    }
}

#[test]
fn a_path_goes_on_from_any_of_its_points_with_the_same_bits() {
    for (name, made) in all_wide() {
        let x = made.columns();
        let problem = made.problem(&x, 1e-8);
        let lambdas = lambda_grid(problem.lambda_max(), 1e-5, 6);
        let mut whole = Vec::new();
        path(&problem, &lambdas, None, &go_on, &mut |_, point, trail| whole.push((point, trail)));
        goes_on_from_each(&name, || made.problem(&x, 1e-8), &lambdas, &whole);
    }
}

/// Columns on scales of 1e±100, far from their means of 0, or all the same: what is squared is scaled before.
#[test]
fn columns_of_any_scale_are_served() {
    for loss in LOSSES {
        let mut made = Case { l1_ratio: 0.0, ..case(12, 90, 1.0, loss, 5) };
        let lambda = |made: &Case, x| made.problem(x, 1e-9).lambda_max() * 1e-3;
        let x = made.columns();
        let plain = solve(&made.problem(&x, 1e-9), lambda(&made, &x), None, &go_on);
        for row in &mut made.rows {
            (row[4], row[5], row[6]) = (1e100 * row[4], 1e-100 * row[5], 1e4 + row[6]);
        }
        let x = made.columns();
        let scaled = solve(&made.problem(&x, 1e-9), lambda(&made, &x), None, &go_on);
        assert_eq!(scaled.stop, Stop::Converged, "{loss:?}");
        close(scaled.deviance, plain.deviance, 1e-6, &format!("{loss:?}"));
        close(scaled.values[4] * 1e100, plain.values[4], 1e-4, &format!("{loss:?}"));
    }
}

#[test]
fn a_fold_is_the_fit_of_its_rows() {
    for loss in LOSSES {
        let made = Case { l1_ratio: 0.0, ..case(12, 90, 1.0, loss, 5) };
        let x = made.columns();
        let of_row: Vec<u32> = (0..12).map(|i| i % 2).collect();
        let lambdas = lambda_grid(made.problem(&x, 1e-10).lambda_max(), 1e-4, 4);
        let penalty = made.penalty();
        let cv = cross_validate(made.data(&x), loss, penalty, made.options(1e-10), &plain(&of_row, 2, &lambdas), &go_on).unwrap();
        for fold in 0..2u32 {
            let weights: Vec<f64> = of_row.iter().map(|&of| if of == fold { 0.0 } else { 1.0 }).collect();
            let kept = Case { weights: Some(weights.clone()), ..made.clone() };
            let others = Case { weights: Some(weights.iter().map(|kept| 1.0 - kept).collect()), ..made.clone() };
            for (index, &lambda) in lambdas.iter().enumerate() {
                let point = solve(&kept.problem(&x, 1e-10), lambda, None, &go_on);
                let expected = others.deviance(&dense(&point, &x, 90), point.intercept);
                close(cv.per_fold[[index, fold as usize]], expected, 1e-4 * expected.max(1.0), &format!("{loss:?} fold {fold}"));
            }
        }
    }
}
