//! The multinomial loss, by the same witnesses as the others: an independent method, a certificate, invariances.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};

use sparsefit::matrix::Columns;
use sparsefit::solver::{
    Data, Loss, Point, Problem, Progress, Stop, Unfit, ambiguous_support, certify, cross_validate_classes, lambda_grid, path, settle,
    solve, target_nonzeros,
};

use crate::made::{Case, Dice, Dress, case, close, go_on, plain};
use crate::product::combinations;
use crate::standing::goes_on_from_each;

/// A made-up problem of classes: the target of a row is the position of its class.
#[derive(Clone)]
struct Many {
    case: Case,
    n_classes: usize,
}

fn many(n: usize, p: usize, fill: f64, n_classes: usize, seed: u64) -> Many {
    let mut case = case(n, p, fill, Loss::Squared, seed);
    let mut dice = Dice(seed + 1);
    case.y = case
        .rows
        .iter()
        .enumerate()
        .map(|(i, row)| {
            // the first rows make sure of every class
            let eta = |k: usize| row[k % p] * 1.2 - 0.4 * row[(k + 1) % p] + 2.0 * dice_of(i, k) + if i == k { 9.0 } else { 0.0 };
            (0..n_classes).max_by(|&a, &b| eta(a).total_cmp(&eta(b))).unwrap_or(0) as f64
        })
        .collect();
    dice.roll();
    Many { case, n_classes }
}

fn dice_of(i: usize, k: usize) -> f64 {
    Dice((i * 31 + k * 7 + 3) as u64).roll()
}

/// Numbers of classes × part of L1 × filling × what rows and columns carry, as [`combinations`] says how many of them.
fn all_cases() -> Vec<(String, Many)> {
    combinations(&[3, 3, 2, 2, 2, 2, 2, 2])
        .into_iter()
        .map(|chosen| {
            let (n_classes, l1_ratio, fill) = ([2, 3, 9][chosen[0]], [1.0, 0.5, 0.0][chosen[1]], [0.4, 1.0][chosen[2]]);
            let dress = Dress::of(&chosen[3..]);
            let name = format!("{n_classes} classes l1 {l1_ratio} fill {fill} {dress:?}");
            let mut made = many(40, 9, fill, n_classes, 7);
            made.case = Case { l1_ratio, ..dress.on(made.case) };
            // every class keeps a row, and every column its penalty: one of a free column has no least sum without classes apart
            if let Some(weights) = &mut made.case.weights {
                weights[..9].iter_mut().for_each(|weight| *weight = weight.max(0.5));
            }
            if let Some(factors) = &mut made.case.factors {
                factors.iter_mut().for_each(|factor| *factor = factor.max(0.2));
            }
            (name, made)
        })
        .collect()
}

impl Many {
    fn problem<'a>(&'a self, x: &'a Columns, tol: f64) -> Problem<'a> {
        let case = &self.case;
        Problem::of_classes(case.data(x), self.n_classes, case.penalty(), case.options(tol), &go_on).unwrap()
    }

    fn share(&self, i: usize) -> f64 {
        let weight = |i: usize| self.case.weights.as_ref().map_or(1.0, |s| s[i]);
        weight(i) / (0..self.case.y.len()).map(weight).sum::<f64>()
    }

    fn factor(&self, j: usize) -> f64 {
        self.case.factors.as_ref().map_or(1.0, |f| f[j])
    }

    /// The written objective; `w[k][j]`.
    fn objective(&self, lambda: f64, w: &[Vec<f64>], b: &[f64]) -> f64 {
        let case = &self.case;
        let mut total = 0.0;
        for (i, row) in case.rows.iter().enumerate() {
            let eta: Vec<f64> = w.iter().zip(b).map(|(w, b)| b + row.iter().zip(w).map(|(x, w)| x * w).sum::<f64>()).collect();
            total += self.share(i) * (eta.iter().map(|e| e.exp()).sum::<f64>().ln() - eta[case.y[i] as usize]);
        }
        for w in w {
            for (j, w) in w.iter().enumerate() {
                let u = w * case.sigma(j);
                total += lambda * self.factor(j) * (case.l1_ratio * u.abs() + (1.0 - case.l1_ratio) / 2.0 * u * u);
            }
        }
        total
    }

    /// FISTA with restarts on the dense rows: shares nothing with the solver. Objective reached.
    fn reference(&self, lambda: f64) -> f64 {
        let case = &self.case;
        let (n, p, k) = (case.rows.len(), case.rows[0].len(), self.n_classes);
        let sigma: Vec<f64> = (0..p).map(|j| case.sigma(j)).collect();
        let intercept = f64::from(u8::from(case.intercept));
        let x: Vec<Vec<f64>> =
            case.rows.iter().map(|row| row.iter().zip(&sigma).map(|(x, s)| x / s).chain([intercept]).collect()).collect();
        let shares: Vec<f64> = (0..n).map(|i| self.share(i)).collect();
        let lipschitz: f64 = 0.5 * (0..n).map(|i| shares[i] * x[i].iter().map(|v| v * v).sum::<f64>()).sum::<f64>();
        let (mut u, mut z, mut momentum) = (vec![vec![0.0; p + 1]; k], vec![vec![0.0; p + 1]; k], 1.0f64);
        for _ in 0..40_000 {
            let mut gradient = vec![vec![0.0; p + 1]; k];
            for i in 0..n {
                let eta: Vec<f64> = z.iter().map(|z| x[i].iter().zip(z).map(|(x, z)| x * z).sum()).collect();
                let sum: f64 = eta.iter().map(|e: &f64| e.exp()).sum();
                for (class, gradient) in gradient.iter_mut().enumerate() {
                    let slope = eta[class].exp() / sum - if case.y[i] as usize == class { 1.0 } else { 0.0 };
                    gradient.iter_mut().zip(&x[i]).for_each(|(g, x)| *g += shares[i] * slope * x);
                }
            }
            let step = 1.0 / lipschitz;
            let next: Vec<Vec<f64>> = (0..k)
                .map(|class| {
                    let entry = |j: usize| {
                        let f = if j == p { 0.0 } else { self.factor(j) * lambda };
                        let v = z[class][j] - step * gradient[class][j];
                        (v.abs() - step * f * case.l1_ratio).max(0.0) * v.signum() / (1.0 + step * f * (1.0 - case.l1_ratio))
                    };
                    (0..=p).map(entry).collect()
                })
                .collect();
            let (old, new, at) = (u.concat(), next.concat(), z.concat());
            let uphill: f64 = (0..new.len()).map(|j| (at[j] - new[j]) * (new[j] - old[j])).sum();
            let moved: f64 = new.iter().zip(&old).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            let following = if uphill > 0.0 { 1.0 } else { 0.5 * (1.0 + (1.0 + 4.0 * momentum * momentum).sqrt()) };
            let pull = if uphill > 0.0 { 0.0 } else { (momentum - 1.0) / following };
            z = next.iter().zip(&u).map(|(a, b)| a.iter().zip(b).map(|(a, b)| a + pull * (a - b)).collect()).collect();
            (u, momentum) = (next, following);
            if moved < 1e-12 {
                break;
            }
        }
        let w: Vec<Vec<f64>> = u.iter().map(|u| (0..p).map(|j| u[j] / sigma[j]).collect()).collect();
        let b: Vec<f64> = u.iter().map(|u| u[p] * intercept).collect();
        self.objective(lambda, &w, &b)
    }
}

/// Dense coefficients of a point, class by class.
fn dense(point: &Point, x: &Columns, p: usize) -> Vec<Vec<f64>> {
    let mut w = vec![vec![0.0; p]; point.intercepts.len()];
    for ((&j, &k), &value) in point.columns.iter().zip(&point.classes).zip(&point.values) {
        w[k as usize][x.view().features[j as usize] as usize] = value;
    }
    w
}

fn fit(made: &Many, lambda: f64) -> (Vec<Vec<f64>>, Vec<f64>) {
    let x = made.case.columns();
    let point = solve(&made.problem(&x, 1e-12), lambda, None, &go_on);
    assert_eq!(point.stop, Stop::Converged, "{}", point.relative_gap);
    (dense(&point, &x, made.case.rows[0].len()), point.intercepts)
}

fn same(a: &(Vec<Vec<f64>>, Vec<f64>), b: &(Vec<Vec<f64>>, Vec<f64>), what: &str) {
    a.0.concat().iter().zip(&b.0.concat()).for_each(|(a, b)| close(*a, *b, 1e-4, what));
    a.1.iter().zip(&b.1).for_each(|(a, b)| close(*a, *b, 1e-4, what));
}

/// A λ of moderate strength; ridge has no λ_max of its own.
fn moderate(problem: &Problem, made: &Many, fraction: f64) -> f64 {
    problem.lambda_max() * fraction * if made.case.l1_ratio == 0.0 { 1e-3 } else { 1.0 }
}

#[test]
fn every_solution_has_a_certificate_and_the_objective_of_an_independent_method() {
    for (name, made) in all_cases() {
        let x = made.case.columns();
        let problem = made.problem(&x, 1e-9);
        for fraction in [0.5, 0.05] {
            let lambda = moderate(&problem, &made, fraction);
            let point = solve(&problem, lambda, None, &go_on);
            assert_eq!(point.stop, Stop::Converged, "{name}: {}", point.relative_gap);
            let certificate = certify(&problem, &point, &go_on).unwrap();
            assert!(certificate.relative_gap <= 1.1e-9, "{name}: {certificate:?}");
            assert!(certificate.max_kkt_violation < 1e-2, "{name}: {certificate:?}");
            assert!(point.intercepts.iter().sum::<f64>().abs() < 1e-12, "{name}: {:?}", point.intercepts);
            let w = dense(&point, &x, 9);
            close(made.objective(lambda, &w, &point.intercepts), certificate.primal, 1e-12, &name);
            let reference = made.reference(lambda);
            close(certificate.primal, reference, 1e-7, &name);
            assert!(certificate.dual <= reference + 1e-12, "{name}: the dual bound lies above a primal value");
            close(point.deviance, 2.0 * made.objective(0.0, &w, &point.intercepts), 1e-12, &name);
        }
    }
}

#[test]
fn a_certificate_tells_a_bad_solution_from_a_good_one() {
    for (name, made) in all_cases() {
        let x = made.case.columns();
        let problem = made.problem(&x, 1e-9);
        let mut point = solve(&problem, moderate(&problem, &made, 0.1), None, &go_on);
        let best = certify(&problem, &point, &go_on).unwrap();
        point.values.iter_mut().for_each(|w| *w *= 1.05);
        let worse = certify(&problem, &point, &go_on).unwrap();
        assert!(worse.gap > best.gap && worse.gap >= worse.primal - best.primal, "{name}");
        assert!(worse.max_kkt_violation > best.max_kkt_violation && worse.kkt_column.is_some(), "{name}");
    }
}

#[test]
fn unpenalised_columns_have_no_gradient_left_and_sum_to_zero_over_the_classes() {
    for l1_ratio in [1.0, 0.5] {
        let mut made = many(60, 9, 0.6, 3, 11);
        made.case.l1_ratio = l1_ratio;
        made.case.factors = Some(vec![0.0, 1.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0, 1.0]);
        let x = made.case.columns();
        let problem = made.problem(&x, 1e-9);
        let null = solve(&problem, problem.lambda_max() * 1.01, None, &go_on);
        assert!(null.columns.iter().all(|j| [0, 4].contains(j)), "{:?}", null.columns);
        let lambda = problem.lambda_max() * 0.2;
        let point = solve(&problem, lambda, None, &go_on);
        let certificate = certify(&problem, &point, &go_on).unwrap();
        assert!(certificate.relative_gap <= 1.1e-9, "{certificate:?}");
        close(certificate.primal, made.reference(lambda), 1e-7, "free");
        let w = dense(&point, &x, 9);
        for j in [0, 4] {
            assert!((0..3).map(|k| w[k][j]).sum::<f64>().abs() < 1e-9);
        }
    }
}

#[test]
fn two_classes_are_the_logistic_loss() {
    // v = w_2 − w_1 costs |v| by L1, however it is shared; by L2 halves are the cheapest: v²/2·½
    for (l1_ratio, share) in [(1.0, 1.0), (0.0, 0.5)] {
        let mut made = many(50, 8, 0.5, 2, 5);
        made.case.l1_ratio = l1_ratio;
        let x = made.case.columns();
        let problem = made.problem(&x, 1e-12);
        let lambda = moderate(&problem, &made, 0.1);
        let point = solve(&problem, lambda, None, &go_on);
        let mut signs = made.case.clone();
        signs.y.iter_mut().for_each(|y| *y = 2.0 * *y - 1.0);
        let one = Problem::new(signs.data(&x), Loss::Logistic, signs.penalty(), signs.options(1e-12), &go_on).unwrap();
        close(problem.null_objective(), one.null_objective(), 1e-12, "null");
        close(problem.lambda_max(), one.lambda_max(), 1e-12, "λ_max");
        let binary = solve(&one, lambda * share, None, &go_on);
        close(
            certify(&problem, &point, &go_on).unwrap().primal,
            certify(&one, &binary, &go_on).unwrap().primal,
            1e-10,
            "the objectives are the same",
        );
        let w = dense(&point, &x, 8);
        let v = crate::made::dense(&binary, &x, 8);
        (0..8).for_each(|j| close(w[1][j] - w[0][j], v[j], 1e-4, "coefficients"));
        close(point.intercepts[1] - point.intercepts[0], binary.intercept, 1e-4, "intercepts");
        // of solutions as good, one without a needless coefficient
        assert!(l1_ratio == 0.0 || (0..8).all(|j| w[0][j] == 0.0 || w[1][j] == 0.0), "{w:?}");
    }
}

#[test]
fn a_weight_of_two_is_the_row_twice_and_one_of_zero_is_no_row() {
    for l1_ratio in [1.0, 0.4] {
        let mut made = many(40, 8, 0.5, 3, 13);
        made.case.l1_ratio = l1_ratio;
        let mut weighted = made.clone();
        weighted.case.weights = Some((0..40).map(|i| if i % 5 == 4 { 2.0 } else { f64::from(u8::from(i % 6 != 5)) }).collect());
        let pick: Vec<usize> = (0..40).flat_map(|i| vec![i; weighted.case.weights.as_ref().unwrap()[i] as usize]).collect();
        let mut rows = made.clone();
        rows.case.rows = pick.iter().map(|&i| made.case.rows[i].clone()).collect();
        rows.case.y = pick.iter().map(|&i| made.case.y[i]).collect();
        same(&fit(&weighted, 0.03), &fit(&rows, 0.03), "weights");
    }
}

#[test]
fn the_order_of_columns_and_of_classes_and_the_unit_of_a_column_do_not_matter() {
    let made = many(60, 8, 0.5, 3, 17);
    let (w, b) = fit(&made, 0.02);
    let mut turned = made.clone();
    turned.case.rows.iter_mut().for_each(|row| row.rotate_left(3));
    turned.case.y.iter_mut().for_each(|y| *y = (*y + 1.0) % 3.0);
    let (mut other, mut c) = fit(&turned, 0.02);
    other.iter_mut().for_each(|w| w.rotate_right(3));
    other.rotate_left(1);
    c.rotate_left(1);
    same(&(w.clone(), b.clone()), &(other, c), "turned");
    let mut scaled = made.clone();
    scaled.case.rows.iter_mut().for_each(|row| row[1] *= 16.0);
    let (mut other, c) = fit(&scaled, 0.02);
    other.iter_mut().for_each(|w| w[1] *= 16.0);
    same(&(w, b), &(other, c), "scaled");
}

#[test]
fn single_and_double_precision_and_an_offset_change_nothing() {
    let mut made = many(60, 12, 0.4, 3, 11);
    let (single, double) = (made.case.columns_as(true), made.case.columns_as(false));
    let (a, b) = (made.problem(&single, 1e-8), made.problem(&double, 1e-8));
    let lambda = a.lambda_max() * 0.05;
    let (a, b) = (solve(&a, lambda, None, &go_on), solve(&b, lambda, None, &go_on));
    assert_eq!(a, b);
    made.case.offset = Some((0..60).map(f64::from).collect());
    assert_eq!(solve(&made.problem(&single, 1e-8), lambda, None, &go_on), a);
}

#[test]
fn nothing_is_in_the_model_from_lambda_max_on_and_something_is_below() {
    for (name, made) in all_cases().into_iter().filter(|(_, made)| made.case.l1_ratio > 0.0) {
        let x = made.case.columns();
        let problem = made.problem(&x, 1e-9);
        for factor in [1.0, 1.5] {
            let point = solve(&problem, problem.lambda_max() * factor, None, &go_on);
            assert!(point.columns.is_empty(), "{name}");
            let shares = (0..made.n_classes).map(|k| (0..40).filter(|&i| made.case.y[i] as usize == k).map(|i| made.share(i)).sum::<f64>());
            let entropy: f64 = if made.case.intercept { -shares.map(|s| s * s.ln()).sum::<f64>() } else { (made.n_classes as f64).ln() };
            close(problem.null_objective(), entropy, 1e-13, &name);
            close(point.deviance, 2.0 * entropy, 1e-12, &name);
        }
        assert!(!solve(&problem, problem.lambda_max() * 0.9, None, &go_on).columns.is_empty(), "{name}");
    }
}

#[test]
fn the_ends_of_a_path_are_those_of_cold_fits_and_a_path_goes_on_with_the_same_bits() {
    for (name, made) in all_cases() {
        let x = made.case.columns();
        let problem = made.problem(&x, 1e-9);
        let lambdas = lambda_grid(moderate(&problem, &made, 1.0), 1e-2, 8);
        let mut whole = Vec::new();
        path(&problem, &lambdas, None, &go_on, &mut |_, point, trail| whole.push((point, trail)));
        let primal = |point: &Point| certify(&problem, point, &go_on).unwrap().primal;
        let cold = solve(&problem, lambdas[7], None, &go_on);
        close(primal(&cold), primal(&whole[7].0), 1e-8, &name);
        goes_on_from_each(&name, || made.problem(&x, 1e-9), &lambdas, &whole);
    }
}

#[test]
fn folds_as_masks_are_folds_as_copies_whatever_the_threads() {
    let made = many(60, 9, 0.4, 3, 23);
    let x = made.case.columns();
    let folds: Vec<u32> = (0..60).map(|i| (i * 7 % 4) as u32).collect();
    let lambdas = lambda_grid(made.problem(&x, 1e-11).lambda_max(), 1e-2, 6);
    let run = |threads| {
        let folds = sparsefit::solver::Folds { threads, ..plain(&folds, 4, &lambdas) };
        let case = &made.case;
        cross_validate_classes(case.data(&x), 3, case.penalty(), case.options(1e-11), &folds, &go_on).unwrap()
    };
    let (one, three) = (run(1), run(3));
    assert_eq!((one.whole, &one.per_fold), (true, &three.per_fold));
    for fold in 0..4 {
        let part = |keep: &dyn Fn(u32) -> bool| {
            let rows: Vec<usize> = (0..60).filter(|&i| keep(folds[i])).collect();
            let mut part = made.clone();
            part.case.rows = rows.iter().map(|&i| made.case.rows[i].clone()).collect();
            part.case.y = rows.iter().map(|&i| made.case.y[i]).collect();
            part
        };
        let (train, test) = (part(&|f| f != fold), part(&|f| f == fold));
        let x = train.case.columns();
        let mut index = 0;
        path(&train.problem(&x, 1e-11), &lambdas, None, &go_on, &mut |_, point, _| {
            let copy = 2.0 * test.objective(0.0, &dense(&point, &x, 9), &point.intercepts);
            close(one.per_fold[[index, fold as usize]], copy, 1e-4, "held-out deviance");
            index += 1;
        });
    }
}

#[test]
fn data_that_cannot_be_fitted_say_why() {
    let made = many(12, 3, 0.9, 3, 4);
    let x = made.case.columns();
    let try_with = |y: &[f64], weights: Option<&[f64]>, n_classes| {
        let data = Data { x: x.view(), y, weights, offset: None };
        Problem::of_classes(data, n_classes, made.case.penalty(), made.case.options(1e-6), &go_on).err()
    };
    let y = made.case.y.as_slice();
    assert_eq!(try_with(y, None, 3), None);
    assert_eq!(try_with(y, Some(&[0.0; 12]), 3), Some(Unfit::NoWeight));
    assert_eq!(try_with(&[1.0; 12], None, 3), Some(Unfit::OneClass));
    assert_eq!(try_with(y, None, 4), Some(Unfit::EmptyClass));
    let without_last: Vec<f64> = y.iter().map(|y| f64::from(u8::from(*y < 2.0))).collect();
    assert_eq!(try_with(y, Some(&without_last), 3), Some(Unfit::EmptyClass));
    for wrong in [0.5, 3.0, -1.0] {
        assert_eq!(try_with(&[wrong; 12], None, 3), Some(Unfit::NotAClass));
    }
    assert_eq!(try_with(&[f64::NAN; 12], None, 3), Some(Unfit::NonFinite));
    assert_eq!(try_with(&y[1..], None, 3), Some(Unfit::Shape));
    // a fold that holds out all rows of a class
    let folds: Vec<u32> = (0..12).map(|i| if y[i] == 2.0 { 2 } else { i as u32 % 2 }).collect();
    let folds = plain(&folds, 3, &[0.1]);
    let cv = cross_validate_classes(made.case.data(&x), 3, made.case.penalty(), made.case.options(1e-6), &folds, &go_on);
    assert_eq!(cv.unwrap_err(), Unfit::EmptyClass);
}

#[test]
fn degenerate_data_are_fitted_with_finite_numbers() {
    let finite = |point: &Point| point.values.iter().chain(&point.intercepts).all(|v| v.is_finite()) && point.relative_gap.is_finite();
    let check = |made: &Many, fraction: f64| {
        let x = made.case.columns();
        let problem = made.problem(&x, 1e-6);
        let lambda = if problem.lambda_max() > 0.0 { problem.lambda_max() * fraction } else { 0.1 };
        let point = solve(&problem, lambda, None, &go_on);
        let certificate = certify(&problem, &point, &go_on).unwrap();
        assert!(finite(&point) && certificate.primal.is_finite(), "{point:?}");
        assert!(certificate.relative_gap <= 1.01e-6, "{certificate:?}");
    };
    // a class of one row
    let mut rare = many(30, 6, 0.5, 3, 31);
    rare.case.y = (0..30).map(|i| if i == 2 { 2.0 } else { f64::from(i % 2) }).collect();
    check(&rare, 0.02);
    // classes that a column tells apart without error
    let mut apart = many(30, 4, 0.5, 3, 33);
    apart.case.y = (0..30).map(|i| f64::from(i % 3)).collect();
    apart.case.rows.iter_mut().enumerate().for_each(|(i, row)| row[0] = (i % 3) as f64 * 4.0 + 1.0);
    [0.5, 1e-2, 1e-4].into_iter().for_each(|fraction| check(&apart, fraction));
    // rows and columns without anything, a constant column, one with a far mean
    let mut odd = many(40, 6, 0.5, 4, 35);
    odd.case.rows.iter_mut().take(10).for_each(|row| row.fill(0.0));
    odd.case.rows.iter_mut().for_each(|row| (row[3], row[4], row[5]) = (0.0, 7.0, row[5] + 1e4));
    check(&odd, 0.05);
    odd.case.rows.iter_mut().for_each(|row| row.fill(0.0));
    check(&odd, 0.05);
}

#[test]
fn a_cancel_is_heard_wherever_it_comes() {
    let made = many(300, 120, 0.5, 4, 2);
    let x = made.case.columns();
    let problem = made.problem(&x, 1e-8);
    let lambdas = lambda_grid(problem.lambda_max(), 1e-2, 10);
    let calls = AtomicUsize::new(0);
    let count = |_: &Progress| {
        calls.fetch_add(1, Ordering::Relaxed);
        ControlFlow::Continue(())
    };
    assert_eq!(path(&problem, &lambdas, None, &count, &mut |_, _, _| ()), Stop::Converged);
    let total = calls.load(Ordering::Relaxed);
    for k in [0, 1, 5, 17, total / 2, total - 1] {
        let calls = AtomicUsize::new(0);
        let stop = |_: &Progress| {
            if calls.fetch_add(1, Ordering::Relaxed) >= k { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let mut points = Vec::new();
        assert_eq!(path(&problem, &lambdas, None, &stop, &mut |_, point, _| points.push(point)), Stop::Cancelled);
        let broken = points.pop().unwrap();
        assert!(broken.stop == Stop::Cancelled && points.iter().all(|point| point.stop == Stop::Converged));
        let certificate = certify(&problem, &settle(&problem, broken), &go_on).unwrap();
        assert!(certificate.gap.is_finite() && certificate.primal <= problem.null_objective() * (1.0 + 1e-12), "{k}: {certificate:?}");
        assert!(calls.load(Ordering::Relaxed) - k <= 3);
    }
    let stop = |_: &Progress| ControlFlow::Break(());
    let case = &made.case;
    assert_eq!(Problem::of_classes(case.data(&x), 4, case.penalty(), case.options(1e-6), &stop).err(), Some(Unfit::Stopped));
    let point = solve(&problem, lambdas[3], None, &go_on);
    assert!(certify(&problem, &point, &stop).is_none() && ambiguous_support(&problem, &point, &stop).is_none());
}

#[test]
fn a_wanted_number_of_nonzeros_counts_every_class_and_twins_are_told() {
    let mut made = many(80, 8, 0.5, 3, 41);
    let x = made.case.columns();
    let problem = made.problem(&x, 1e-7);
    for k in [1, 4] {
        let found = target_nonzeros(&problem, k, &go_on);
        assert_eq!(found.point.columns.len(), k);
        assert!(found.bracket[0] == found.point.lambda && found.bracket[1] >= found.point.lambda);
    }
    let point = solve(&problem, problem.lambda_max() * 0.2, None, &go_on);
    assert!(ambiguous_support(&problem, &point, &go_on).unwrap().is_empty());
    made.case.rows.iter_mut().for_each(|row| row[7] = 2.0 * row[0]);
    let x = made.case.columns();
    let problem = made.problem(&x, 1e-7);
    let point = solve(&problem, problem.lambda_max() * 0.2, None, &go_on);
    assert_eq!(ambiguous_support(&problem, &point, &go_on).unwrap(), [0, 7]);
}
