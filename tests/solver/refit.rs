//! Refits of a support without penalty: the score equations hold, and what has no answer of its own gets a finite one.

use std::ops::ControlFlow;

use sparsefit::solver::{Folds, Loss, NEVER, Point, cross_validate, lambda_grid, refit, solve};

use crate::made::{Case, LOSSES, all_cases, case, close, go_on, plain};

fn slope(loss: Loss, y: f64, eta: f64) -> f64 {
    match loss {
        Loss::Squared => eta - y,
        Loss::Huber { delta } => (eta - y).clamp(-delta, delta),
        Loss::SquaredHinge => -2.0 * y * (1.0 - y * eta).max(0.0),
        Loss::Logistic => -y / (1.0 + (y * eta).exp()),
        Loss::Poisson => eta.exp() - y,
    }
}

/// Σ share·loss'·x for each column of the point, and for a column of ones.
fn scores(made: &Case, point: &Point, values: &[f64], intercept: f64) -> (Vec<f64>, f64) {
    let weight = |i: usize| made.weights.as_ref().map_or(1.0, |s| s[i]);
    let total: f64 = (0..made.y.len()).map(weight).sum();
    let residual: Vec<f64> = (0..made.y.len())
        .map(|i| {
            let x = |j: &u32| made.rows[i][*j as usize];
            let eta = intercept
                + made.offset.as_ref().map_or(0.0, |o| o[i])
                + point.columns.iter().zip(values).map(|(j, w)| x(j) * w).sum::<f64>();
            weight(i) / total * slope(made.loss, made.y[i], eta)
        })
        .collect();
    let score = |j: &u32| residual.iter().zip(&made.rows).map(|(r, row)| r * row[*j as usize]).sum();
    (point.columns.iter().map(score).collect(), residual.iter().sum())
}

#[test]
fn the_score_equations_hold_at_a_refit() {
    let (mut seen, mut fitted) = (0, 0);
    for (name, mut made) in all_cases() {
        if made.l1_ratio < 1.0 {
            continue;
        }
        // unpenalised, this column separates rows: its coefficient is as large as the ridge of the refit lets it
        if let Some(factors) = &mut made.factors {
            factors[8] = 1.0;
        }
        let x = made.columns();
        let problem = made.problem(&x, 1e-9);
        let point = solve(&problem, 0.5 * problem.lambda_max(), None, &go_on);
        let free = refit(made.data(&x), made.loss, made.intercept, &point, &go_on).unwrap();
        assert!(free.converged, "{name}");
        assert_eq!(free, refit(made.data(&x), made.loss, made.intercept, &point, &go_on).unwrap(), "{name}: not a function");
        let single = made.columns_as(true);
        assert_eq!(free, refit(made.data(&single), made.loss, made.intercept, &point, &go_on).unwrap(), "{name}: precision shows");
        // the ridge is a millionth, on columns of about unit spread and coefficients of a few
        let (columns, ones) = scores(&made, &point, &free.values, free.intercept);
        assert!(columns.iter().all(|score| score.abs() < 1e-4), "{name}: {columns:?} {free:?}");
        assert!(if made.intercept { ones.abs() < 1e-6 } else { free.intercept == 0.0 }, "{name}: {ones}");
        seen += usize::from(!point.columns.is_empty());
        fitted += 1;
    }
    assert!(fitted > 15 && seen == fitted, "{seen} supports of {fitted}");
}

#[test]
fn the_unit_of_a_column_and_of_the_target_do_not_matter() {
    let made = case(60, 5, 1.0, Loss::Squared, 3);
    let scaled = |unit: f64, of_y: f64| {
        let mut other = made.clone();
        other.rows.iter_mut().for_each(|row| row[0] *= unit);
        other.y.iter_mut().for_each(|y| *y *= of_y);
        let x = other.columns();
        let point = Point { columns: vec![0, 1, 2], values: vec![0.0, 0.0, 0.0], ..solve(&other.problem(&x, 1e-6), 1e300, None, &go_on) };
        let free = refit(other.data(&x), Loss::Squared, true, &point, &go_on).unwrap();
        assert!(free.converged);
        vec![free.values[0] * unit / of_y, free.values[1] / of_y, free.values[2] / of_y, free.intercept / of_y]
    };
    let plain = scaled(1.0, 1.0);
    for (unit, of_y) in [(1e8, 1.0), (1e-8, 1.0), (1.0, 1e9), (1e-6, 1e-9)] {
        for (found, expected) in scaled(unit, of_y).iter().zip(&plain) {
            assert!((found - expected).abs() < 1e-5, "{unit} {of_y}: {found} {expected}");
        }
    }
}

#[test]
fn what_has_no_answer_of_its_own_gets_a_finite_one() {
    for loss in LOSSES {
        // twice as many columns as rows, each of them twice there
        let mut made = case(12, 24, 1.0, loss, 5);
        made.rows.iter_mut().for_each(|row| row.extend(row.clone()));
        let x = made.columns();
        let start = solve(&made.problem(&x, 1e-6), 1e300, None, &go_on);
        let point = Point { columns: (0..48).collect(), values: vec![0.0; 48], ..start };
        let free = refit(made.data(&x), loss, true, &point, &go_on).unwrap();
        assert!(free.values.iter().all(|w| w.is_finite()) && free.intercept.is_finite());
        for j in 0..24 {
            assert!((free.values[j] - free.values[j + 24]).abs() < 1e-6 * (1.0 + free.values[j].abs()), "{loss:?}: equal columns share");
        }
        let (columns, _) = scores(&made, &point, &free.values, free.intercept);
        assert!(columns.iter().all(|score| score.abs() < 1e-2), "{loss:?} {columns:?}");
        // a column that is constant adds nothing to an intercept
        made.rows.iter_mut().for_each(|row| row[0] = 3.0);
        let x = made.columns();
        assert_eq!(refit(made.data(&x), loss, true, &point, &go_on).unwrap().values[0], 0.0);
    }
}

#[test]
fn a_refit_hears_that_it_is_to_stop() {
    let made = case(300, 40, 0.5, Loss::Logistic, 2);
    let x = made.columns();
    let problem = made.problem(&x, 1e-6);
    let point = solve(&problem, 0.01 * problem.lambda_max(), None, &go_on);
    assert_eq!(refit(made.data(&x), made.loss, true, &point, &|_| ControlFlow::Break(())), None);
}

#[test]
fn rows_that_are_never_held_out_are_always_fitted() {
    let made = case(40, 6, 0.6, Loss::Squared, 9);
    let x = made.columns();
    let lambdas = lambda_grid(made.problem(&x, 1e-9).lambda_max(), 1e-2, 6);
    let all: Vec<u32> = (0..40).map(|i| i % 4).collect();
    let one: Vec<u32> = all.iter().map(|&fold| if fold == 2 { 0 } else { NEVER }).collect();
    let run = |folds: &Folds| cross_validate(made.data(&x), made.loss, made.penalty(), made.options(1e-9), folds, &go_on).unwrap().per_fold;
    let (all, one) = (run(&plain(&all, 4, &lambdas)), run(&plain(&one, 1, &lambdas)));
    assert_eq!(all.column(2), one.column(0));
}

#[test]
fn a_solve_that_does_not_get_on_ends() {
    // equal columns, a tiny λ, a goal that rounding does not let it reach: working sets double until there is no more
    let mut made = case(5, 3, 1.0, Loss::Squared, 1);
    made.rows = vec![vec![1.0, 1.0, 2.0], vec![2.0, 2.0, -1.0], vec![3.0, 3.0, 1.0], vec![4.0, 4.0, 0.0], vec![0.0, 0.0, 1.0]];
    made.y = vec![1.0, 2.0, 3.0, 4.0, 0.5];
    (made.l1_ratio, made.standardize) = (0.5, false);
    let x = made.columns();
    let point = solve(&made.problem(&x, 1e-10), 1e-6, None, &go_on);
    assert!(point.values.iter().all(|w| w.is_finite()));
    close(point.values[0], point.values[1], 1e-3, "equal columns share");
}
