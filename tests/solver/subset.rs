//! The L0 penalty beside every support there is: fits by elimination and Newton steps of this file's own.

use sparsefit::solver::{
    Loss, Penalty, Point, Problem, Shape, Stop, Trail, ambiguous_support, certify, lambda_grid, path, solve, target_nonzeros,
};

use crate::made::{Case, Dice, case, close, dense, go_on};
use crate::standing::goes_on_from_each;
use sparsefit::matrix::Columns;

fn problem<'a>(made: &'a Case, x: &'a Columns, tol: f64) -> Problem<'a> {
    let penalty = Penalty { shape: Shape::L0, ..made.penalty() };
    Problem::new(made.data(x), made.loss, penalty, made.options(tol), &go_on).unwrap()
}

/// The least mean loss over coefficients of some columns and an intercept.
fn least_loss(made: &Case, inside: &[usize]) -> f64 {
    let (n, p) = (made.rows.len(), made.rows[0].len());
    let m = inside.len() + 1;
    let row = |i: usize| -> Vec<f64> { inside.iter().map(|&j| made.rows[i][j]).chain([if made.intercept { 1.0 } else { 0.0 }]).collect() };
    let total: f64 = (0..n).map(|i| made.weights.as_ref().map_or(1.0, |s| s[i])).sum();
    let share = |i: usize| made.weights.as_ref().map_or(1.0, |s| s[i]) / total;
    let full = |v: &[f64]| {
        let mut w = vec![0.0; p];
        inside.iter().zip(v).for_each(|(&j, v)| w[j] = *v);
        made.objective(0.0, &w, v[m - 1])
    };
    let mut v = vec![0.0; m];
    for _ in 0..60 {
        let mut a = vec![vec![0.0; m + 1]; m];
        for i in 0..n {
            let x = row(i);
            let eta = made.offset.as_ref().map_or(0.0, |o| o[i]) + x.iter().zip(&v).map(|(x, v)| x * v).sum::<f64>();
            let (slope, bend) = match made.loss {
                Loss::Logistic => {
                    let q = 1.0 / (1.0 + (made.y[i] * eta).exp());
                    (-made.y[i] * q, q * (1.0 - q))
                }
                Loss::Poisson => (eta.exp() - made.y[i], eta.exp()),
                _ => (eta - made.y[i], 1.0),
            };
            for r in 0..m {
                (0..m).for_each(|c| a[r][c] += share(i) * bend * x[r] * x[c]);
                a[r][m] -= share(i) * slope * x[r];
            }
        }
        for r in 0..m {
            a[r][r] += 1e-13;
        }
        for c in 0..m {
            for r in 0..m {
                if r != c && a[c][c] != 0.0 {
                    let by = a[r][c] / a[c][c];
                    (c..=m).for_each(|k| a[r][k] -= by * a[c][k]);
                }
            }
        }
        let step: Vec<f64> = (0..m).map(|r| a[r][m] / a[r][r]).collect();
        let (mut length, here) = (1.0, full(&v));
        let next = |length: f64| -> Vec<f64> { v.iter().zip(&step).map(|(v, d)| v + length * d).collect() };
        while full(&next(length)) > here && length > 1e-3 {
            length /= 2.0;
        }
        let moved = next(length);
        if full(&moved) > here {
            break;
        }
        v = moved;
        if step.iter().all(|d| d.abs() < 1e-10) {
            break;
        }
    }
    full(&v)
}

/// F of the best fit with exactly these columns and those that cost nothing.
fn objective_of(made: &Case, lambda: f64, inside: &[usize]) -> f64 {
    let factor = |j: usize| made.factors.as_ref().map_or(1.0, |f| f[j]);
    least_loss(made, inside) + lambda * inside.iter().map(|&j| factor(j)).sum::<f64>()
}

fn support(point: &Point, x: &Columns) -> Vec<usize> {
    point.columns.iter().map(|&j| x.view().features[j as usize] as usize).collect()
}

/// Every support that is one step away: one column more, one fewer, or one for another.
fn neighbours(inside: &[usize], p: usize, free: impl Fn(usize) -> bool) -> Vec<Vec<usize>> {
    let without = |j: usize| inside.iter().copied().filter(move |&i| i != j);
    let outside: Vec<usize> = (0..p).filter(|j| !inside.contains(j)).collect();
    let goes: Vec<usize> = inside.iter().copied().filter(|&j| !free(j)).collect();
    let mut all: Vec<Vec<usize>> = goes.iter().map(|&j| without(j).collect()).collect();
    all.extend(outside.iter().map(|&k| inside.iter().copied().chain([k]).collect()));
    all.extend(goes.iter().flat_map(|&j| outside.iter().map(move |&k| without(j).chain([k]).collect())));
    all
}

/// Columns of which each is much like the one before.
fn correlated(n: usize, p: usize, loss: Loss, seed: u64) -> Case {
    let mut made = case(n, p, 1.0, loss, seed);
    for row in &mut made.rows {
        (1..p).for_each(|j| row[j] = 0.75 * row[j - 1] + 0.5 * row[j]);
    }
    let mut dice = Dice(seed + 99);
    for (y, row) in made.y.iter_mut().zip(&made.rows) {
        let eta = row[1] - row[3] + 0.5 * row[p - 1] + 3.0 * (dice.roll() - 0.5);
        *y = match loss {
            Loss::Logistic => {
                if eta > 0.0 {
                    1.0
                } else {
                    -1.0
                }
            }
            Loss::Poisson => (0.3 * eta).exp().floor(),
            _ => eta,
        };
    }
    made
}

#[test]
fn of_the_squared_loss_no_column_more_less_or_changed_for_another_is_better() {
    let (mut met, mut best) = (0, 0);
    for seed in 1..=6 {
        for (intercept, factors) in [(true, false), (false, true)] {
            let factors = factors.then(|| vec![1.0, 2.0, 0.5, 0.0, 1.0, 1.0, 3.0, 1.0]);
            let made = Case { intercept, factors, ..correlated(40, 8, Loss::Squared, seed) };
            let free = |j: usize| made.factors.as_ref().is_some_and(|f| f[j] == 0.0);
            let x = made.columns();
            let problem = problem(&made, &x, 1e-9);
            for fraction in [0.5, 0.1, 0.02, 0.004] {
                let lambda = problem.lambda_max() * fraction;
                let point = solve(&problem, lambda, None, &go_on);
                assert_eq!(point.stop, Stop::Converged, "{seed} {fraction}: {point:?}");
                let certificate = certify(&problem, &point, &go_on).unwrap();
                assert!(certificate.max_kkt_violation <= 1.1e-9, "{seed} {fraction}: {certificate:?}");
                let inside = support(&point, &x);
                let ours = made.objective(0.0, &dense(&point, &x, 8), point.intercept) + objective_of(&made, lambda, &inside)
                    - least_loss(&made, &inside);
                close(ours, certificate.primal, 1e-12, "F");
                close(ours, objective_of(&made, lambda, &inside), 1e-12, "the support is fitted");
                for other in neighbours(&inside, 8, free) {
                    let theirs = objective_of(&made, lambda, &other);
                    assert!(ours <= theirs + 2e-6 * lambda, "{seed} {fraction}: {inside:?} {ours}, {other:?} {theirs}");
                }
                let all = (0..1_u32 << 8).map(|set| (0..8).filter(|&j| set & (1 << j) != 0 || free(j)).collect::<Vec<_>>());
                let least = all.map(|set| objective_of(&made, lambda, &set)).fold(f64::INFINITY, f64::min);
                assert!(ours >= least - 1e-12, "the least of all supports is {least}, and ours {ours}");
                met += 1;
                best += usize::from(ours <= least + 2e-6 * lambda);
            }
        }
    }
    eprintln!("the best of all supports: {best} of {met}");
}

#[test]
fn of_a_curved_loss_no_column_left_out_and_none_let_in_is_better() {
    for loss in [Loss::Logistic, Loss::Poisson] {
        let (mut met, mut best) = (0, 0);
        for seed in 1..=5 {
            let made = correlated(120, 7, loss, seed);
            let x = made.columns();
            let problem = problem(&made, &x, 1e-8);
            for fraction in [0.5, 0.1, 0.02] {
                let lambda = problem.lambda_max() * fraction;
                let point = solve(&problem, lambda, None, &go_on);
                assert_eq!(point.stop, Stop::Converged, "{loss:?} {seed} {fraction}: {point:?}");
                let certificate = certify(&problem, &point, &go_on).unwrap();
                assert!(certificate.max_kkt_violation <= 1.1e-8, "{loss:?} {seed} {fraction}: {certificate:?}");
                let inside = support(&point, &x);
                let ours = certificate.primal;
                close(ours, objective_of(&made, lambda, &inside), 1e-10, "the support is fitted");
                for other in neighbours(&inside, 7, |_| false).into_iter().filter(|other| other.len() != inside.len()) {
                    let theirs = objective_of(&made, lambda, &other);
                    assert!(ours <= theirs + 1e-5 * lambda, "{loss:?} {seed} {fraction}: {inside:?} {ours}, {other:?} {theirs}");
                }
                let all = (0..1_u32 << 7).map(|set| (0..7).filter(|&j| set & (1 << j) != 0).collect::<Vec<_>>());
                let least = all.map(|set| objective_of(&made, lambda, &set)).fold(f64::INFINITY, f64::min);
                met += 1;
                best += usize::from(ours <= least + 1e-5 * lambda);
            }
        }
        eprintln!("{loss:?}: the best of all supports: {best} of {met}");
    }
}

/// Columns of a Hadamard matrix, each by itself: what a column brings does not depend on the others.
fn orthogonal() -> Case {
    let rows: Vec<Vec<f64>> =
        (0..16_u32).map(|i| (1..12_u32).map(|j| if (i & j).count_ones() % 2 == 0 { 1.0 } else { -1.0 }).collect()).collect();
    let y = rows.iter().map(|row| row.iter().enumerate().map(|(j, x)| x * (j as f64 * 2.3).sin()).sum::<f64>() + 0.5).collect();
    Case { rows, y, ..case(16, 11, 1.0, Loss::Squared, 1) }
}

#[test]
fn on_an_orthogonal_design_the_best_support_is_found_for_every_lambda_and_every_size() {
    let made = orthogonal();
    let x = made.columns();
    let problem = problem(&made, &x, 1e-9);
    let total: f64 = made.y.iter().sum::<f64>() / 16.0;
    let mut gains: Vec<(f64, usize)> = (0..11)
        .map(|j| (0..16).map(|i| made.rows[i][j] * (made.y[i] - total)).sum::<f64>() / 16.0)
        .enumerate()
        .map(|(j, c)| (c * c / 2.0, j))
        .collect();
    gains.sort_by(|a, b| b.0.total_cmp(&a.0));
    close(problem.lambda_max(), gains[0].0, 1e-12, "λ_max");
    for (k, pair) in (1..).zip(gains.windows(2)) {
        let mut wanted: Vec<usize> = gains[..k].iter().map(|gain| gain.1).collect();
        wanted.sort_unstable();
        let point = solve(&problem, (pair[0].0 * pair[1].0).sqrt(), None, &go_on);
        assert_eq!(support(&point, &x), wanted);
        let found = target_nonzeros(&problem, k, &go_on);
        assert_eq!((support(&found.point, &x), found.point.stop, found.whole), (wanted, Stop::Converged, true));
        close(found.point.lambda, pair[0].0, 1e-6, "the largest λ with so many");
        assert!(found.bracket[0] == found.point.lambda && found.bracket[1] >= pair[0].0 * (1.0 - 1e-12), "{:?}", found.bracket);
    }
}

#[test]
fn every_size_is_found_and_no_change_of_one_column_for_another_is_better() {
    for seed in 1..=4 {
        let made = correlated(60, 9, Loss::Squared, seed);
        let x = made.columns();
        let problem = problem(&made, &x, 1e-8);
        let mut last = f64::INFINITY;
        for k in 1..=9 {
            let found = target_nonzeros(&problem, k, &go_on);
            let inside = support(&found.point, &x);
            assert_eq!((inside.len(), found.whole), (k, true), "{seed} {k}");
            let ours = least_loss(&made, &inside);
            close(2.0 * ours, found.point.deviance, 1e-10, "the support is fitted");
            for other in neighbours(&inside, 9, |_| false).into_iter().filter(|other| other.len() == k) {
                assert!(ours <= least_loss(&made, &other) * (1.0 + 1e-8), "{seed}: {inside:?}, {other:?}");
            }
            assert!(ours <= last && found.bracket[0] <= found.bracket[1], "{seed} {k}: {:?}", found.bracket);
            last = ours;
            if found.point.stop == Stop::Converged {
                let certificate = certify(&problem, &found.point, &go_on).unwrap();
                assert!(certificate.max_kkt_violation <= 1.1e-8, "{seed} {k}: {certificate:?}");
            }
        }
    }
}

#[test]
fn curved_losses_give_every_size_too() {
    for loss in [Loss::Logistic, Loss::Poisson] {
        let made = Case { factors: Some(vec![0.0, 1.0, 1.0, 2.0, 1.0, 1.0, 1.0, 1.0, 1.0]), ..correlated(200, 9, loss, 2) };
        let x = made.columns();
        let problem = problem(&made, &x, 1e-7);
        for k in 1..=9 {
            let found = target_nonzeros(&problem, k, &go_on);
            // the unpenalised one counts
            assert_eq!((found.point.columns.len(), found.whole), (k, true), "{loss:?}");
            assert!(found.point.columns.contains(&0), "{loss:?}");
        }
    }
}

#[test]
fn twins_constants_perfect_fits_and_more_columns_than_rows_come_to_an_end() {
    for loss in [Loss::Squared, Loss::Logistic, Loss::Poisson] {
        for (n, p) in [(12, 30), (30, 12)] {
            let mut made = case(n, p, 0.6, loss, 5);
            for row in &mut made.rows {
                (row[3], row[4], row[5]) = (row[0], -2.0 * row[1], 0.1);
            }
            if loss == Loss::Squared {
                // fitted exactly by two columns, of which one is there twice
                made.y = made.rows.iter().map(|row| 2.0 * row[0] - row[7] + 1.0).collect();
            }
            let x = made.columns();
            let problem = problem(&made, &x, 1e-6);
            let lambdas = lambda_grid(problem.lambda_max(), 1e-10, 24);
            path(&problem, &lambdas, None, &go_on, &mut |_, point, _| {
                let finite = point.values.iter().chain([&point.intercept, &point.deviance]).all(|value| value.is_finite());
                assert!(finite && !point.relative_gap.is_nan(), "{loss:?} {n}x{p}: {point:?}");
                let has = |j| point.columns.contains(&j);
                assert!(!(has(0) && has(3)) && !(has(1) && has(4)) && !has(5), "{loss:?} {n}x{p}: {point:?}");
                assert!(point.lambda < 1e-6 * lambdas[0] || point.stop == Stop::Converged, "{loss:?} {n}x{p}: {point:?}");
            });
            if loss == Loss::Squared {
                let found = target_nonzeros(&problem, 2, &go_on);
                assert!(found.point.deviance < 1e-20 && found.point.columns.len() == 2, "{n}x{p}: {found:?}");
                let ambiguous = ambiguous_support(&problem, &found.point, &go_on).unwrap();
                assert!(ambiguous.contains(&0) && ambiguous.contains(&3), "{ambiguous:?}");
            }
            let most = target_nonzeros(&problem, 1000, &go_on);
            assert!(most.whole && most.point.columns.len() <= n.min(p), "{loss:?} {n}x{p}: {most:?}");
        }
    }
}

#[test]
fn a_target_that_never_changes_has_no_column() {
    let made = Case { y: vec![3.0; 30], ..case(30, 6, 0.7, Loss::Squared, 2) };
    let x = made.columns();
    let problem = problem(&made, &x, 1e-6);
    assert_eq!(problem.lambda_max(), 0.0);
    for lambda in [1.0, 1e-6, 1e-30] {
        let point = solve(&problem, lambda, None, &go_on);
        assert_eq!((point.columns.len(), point.stop), (0, Stop::Converged));
    }
    let found = target_nonzeros(&problem, 3, &go_on);
    assert!(found.whole && found.point.columns.is_empty());
}

#[test]
fn of_very_many_columns_the_search_finds_those_that_matter_and_goes_on_with_the_same_bits() {
    // more than a board holds
    let (n, p) = (150, 40_000);
    let mut dice = Dice(11);
    let mut rows = vec![vec![0.0; p]; n];
    (0..p).for_each(|j| (0..3).for_each(|_| rows[((dice.roll() * n as f64) as usize).min(n - 1)][j] = 1.0 + (j % 3) as f64));
    (0..4).for_each(|j| rows.iter_mut().for_each(|row| row[j] = ((dice.roll() * 16.0).floor() - 7.5) / 4.0));
    for loss in [Loss::Squared, Loss::Logistic] {
        let eta: Vec<f64> = rows.iter().map(|row| 2.0 * row[0] - 1.5 * row[1] + row[2] + row[3] + dice.roll() - 0.5).collect();
        let y = eta
            .iter()
            .map(|&eta| {
                if loss == Loss::Squared {
                    eta
                } else if eta > 0.0 {
                    1.0
                } else {
                    -1.0
                }
            })
            .collect();
        let made = Case { rows: rows.clone(), y, ..case(n, 4, 1.0, loss, 3) };
        let x = made.columns();
        let problem_anew = || problem(&made, &x, 1e-6);
        let problem = problem_anew();
        if loss == Loss::Squared {
            let found = target_nonzeros(&problem, 4, &go_on);
            assert_eq!(support(&found.point, &x), [0, 1, 2, 3]);
        }
        let lambdas = lambda_grid(problem.lambda_max(), 0.02, 5);
        let mut whole: Vec<(Point, Trail)> = Vec::new();
        path(&problem, &lambdas, None, &go_on, &mut |_, point, trail| whole.push((point, trail)));
        for (point, _) in &whole {
            assert!(certify(&problem, point, &go_on).unwrap().max_kkt_violation <= 1.1e-6, "{loss:?} {point:?}");
        }
        goes_on_from_each("many", problem_anew, &lambdas, &whole);
    }
}
