//! Bounds on coefficients: certificates by separate code, objectives by a separate method, and what must hold of any right
//! solver.

use sparsefit::matrix::Columns;
use sparsefit::solver::{
    Bounds, Folds, Loss, Penalty, Point, Problem, Shape, Stop, Trail, Unfit, ambiguous_support, certify, cross_validate, lambda_grid, path,
    solve, target_nonzeros,
};

use crate::made::{Case, Dice, LOSSES, case, close, dense, go_on, plain};
use crate::standing::goes_on_from_each;

const OPEN: [f64; 2] = [f64::NEG_INFINITY, f64::INFINITY];
const POSITIVE: [f64; 2] = [0.0, f64::INFINITY];
const NEGATIVE: [f64; 2] = [f64::NEG_INFINITY, 0.0];
const CLOSED: [f64; 2] = [0.0, 0.0];

/// A case with an interval for each column.
#[derive(Clone)]
struct Bounded {
    name: String,
    low: Vec<f64>,
    high: Vec<f64>,
    made: Case,
}

impl Bounded {
    fn new(name: String, intervals: &[[f64; 2]], made: Case) -> Self {
        Self { name, low: intervals.iter().map(|i| i[0]).collect(), high: intervals.iter().map(|i| i[1]).collect(), made }
    }

    fn penalty(&self) -> Penalty<'_> {
        Penalty { bounds: Some(Bounds { low: &self.low, high: &self.high }), ..self.made.penalty() }
    }

    fn problem<'a>(&'a self, x: &'a Columns, tol: f64) -> Problem<'a> {
        Problem::new(self.made.data(x), self.made.loss, self.penalty(), self.made.options(tol), &go_on).unwrap()
    }

    fn interval(&self, j: usize) -> [f64; 2] {
        [self.low[j], self.high[j]]
    }

    /// Coefficients at an end that is not 0; fails on one beyond.
    fn at_ends(&self, w: &[f64]) -> usize {
        for (j, w) in w.iter().enumerate() {
            assert!(self.low[j] <= *w && *w <= self.high[j], "{}: {w} of column {j} is out of {:?}", self.name, self.interval(j));
        }
        (0..w.len()).filter(|&j| w[j] != 0.0 && (w[j] == self.low[j] || w[j] == self.high[j])).count()
    }

    /// Ridge has no λ_max of its own.
    fn lambda(&self, problem: &Problem, share: f64) -> f64 {
        problem.lambda_max() * share * if self.made.l1_ratio == 0.0 { 1e-3 } else { 1.0 }
    }
}

/// Every loss × ratio × intercept × scaling × weights, offsets and factors × sparse or dense × kind of interval.
fn all_bounded() -> Vec<Bounded> {
    let mut all = Vec::new();
    let kinds = [
        ("positive", [POSITIVE; 9]),
        ("negative", [NEGATIVE; 9]),
        // column 0 wants about 1.5, column 1 −1 and column 2 0.5, of the linear losses
        ("mixed", [[-1.0, 0.25], [-0.125, 0.5], POSITIVE, OPEN, NEGATIVE, [-0.01, 0.01], [-0.05, f64::INFINITY], CLOSED, OPEN]),
    ];
    for loss in LOSSES {
        for (kind, intervals) in kinds {
            for l1_ratio in [1.0, 0.5, 0.0] {
                for bits in 0..16 {
                    let (fill, intercept) = (if bits & 1 > 0 { 1.0 } else { 0.3 }, bits & 2 > 0);
                    let (standardize, dressed) = (bits & 4 > 0, bits & 8 > 0);
                    let mut made = Case { l1_ratio, intercept, standardize, ..case(40, 9, fill, loss, 7) };
                    let mut intervals = intervals;
                    if dressed {
                        let mut dice = Dice(3);
                        made.weights = Some((0..40).map(|i| if i % 7 == 3 { 0.0 } else { 0.5 + dice.roll() }).collect());
                        made.offset = Some((0..40).map(|_| 0.5 * dice.roll()).collect());
                        made.factors = Some(vec![1.0, 2.0, 0.5, 0.0, 1.0, 1.0, 3.0, 1.0, 0.0]);
                        // an unpenalised column has no bounds, or no room
                        (intervals[3], intervals[8]) = (OPEN, CLOSED);
                    }
                    let name = format!(
                        "{loss:?} {kind} l1 {l1_ratio} fill {fill} intercept {intercept} standardize {standardize} dressed {dressed}"
                    );
                    all.push(Bounded::new(name, &intervals, made));
                }
            }
        }
    }
    all
}

/// More columns than rows that hang together, so that products and Newton steps are used.
fn all_wide() -> Vec<Bounded> {
    let mut all = Vec::new();
    for loss in LOSSES {
        for l1_ratio in [1.0, 0.5] {
            let mut made = Case { l1_ratio, ..case(60, 150, 0.3, loss, 9) };
            for row in &mut made.rows {
                for j in (3..150).step_by(3) {
                    row[j] += row[j - 3];
                }
            }
            let positive = Bounded::new(format!("wide {loss:?} {l1_ratio} positive"), &[POSITIVE; 150], made.clone());
            let boxes: Vec<[f64; 2]> = (0..150).map(|j| [[-0.02, 0.02], POSITIVE, OPEN, [-0.1, 0.05], CLOSED][j % 5]).collect();
            all.extend([positive, Bounded::new(format!("wide {loss:?} {l1_ratio} boxes"), &boxes, made)]);
        }
    }
    all
}

#[test]
fn every_solution_has_a_certificate_and_the_objective_of_an_independent_method() {
    let (mut at_ends, mut at_zero) = (0, 0);
    for bounded in all_bounded() {
        let (x, name) = (bounded.made.columns(), &bounded.name);
        let problem = bounded.problem(&x, 1e-9);
        for share in [0.5, 0.05] {
            let lambda = bounded.lambda(&problem, share);
            let point = solve(&problem, lambda, None, &go_on);
            assert_eq!(point.stop, Stop::Converged, "{name}: {point:?}");
            let certificate = certify(&problem, &point, &go_on).unwrap();
            assert!(certificate.relative_gap <= 1.1e-9, "{name}: {certificate:?}");
            assert!(certificate.max_kkt_violation < 1e-2, "{name}: {certificate:?}");
            let w = dense(&point, &x, 9);
            at_ends += bounded.at_ends(&w);
            at_zero += w.iter().filter(|w| **w == 0.0).count();
            close(bounded.made.objective(lambda, &w, point.intercept), certificate.primal, 1e-12, name);
            let reference = bounded.made.reference_within(lambda, &|j| bounded.interval(j));
            close(certificate.primal, reference, 1e-7, name);
            assert!(certificate.dual <= reference + 1e-12, "{name}: the dual bound lies above a primal value");
        }
    }
    assert!(at_ends > 100 && at_zero > 1000, "the intervals hardly matter: {at_ends} {at_zero}");
}

#[test]
fn a_certificate_tells_a_bad_solution_from_a_good_one_and_one_out_of_bounds_from_both() {
    for bounded in all_bounded() {
        let (x, name) = (bounded.made.columns(), &bounded.name);
        let problem = bounded.problem(&x, 1e-9);
        let point = solve(&problem, bounded.lambda(&problem, 0.1), None, &go_on);
        let best = certify(&problem, &point, &go_on).unwrap();
        let mut shrunk = point.clone();
        shrunk.values.iter_mut().for_each(|w| *w *= 0.95);
        if !point.values.is_empty() {
            let worse = certify(&problem, &shrunk, &go_on).unwrap();
            assert!(worse.gap > best.gap && worse.gap >= worse.primal - best.primal, "{name}");
            assert!(worse.max_kkt_violation > best.max_kkt_violation && worse.kkt_column.is_some(), "{name}");
        }
        for j in 0..9u32 {
            let end = bounded.high[j as usize];
            if end.is_finite() {
                let mut beyond = point.clone();
                match beyond.columns.binary_search(&j) {
                    Ok(k) => beyond.values[k] = end + 1e-9,
                    Err(k) => {
                        beyond.columns.insert(k, j);
                        beyond.values.insert(k, end + 1e-9);
                    }
                }
                let beyond = certify(&problem, &beyond, &go_on).unwrap();
                assert_eq!((beyond.primal, beyond.relative_gap), (f64::INFINITY, f64::INFINITY), "{name} {j}");
            }
        }
    }
}

#[test]
fn intervals_without_an_end_in_reach_change_nothing() {
    for (far, wide) in [(OPEN, false), (OPEN, true), ([-1e6, 1e6], false), ([-1e6, 1e6], true)] {
        for loss in LOSSES {
            let made = if wide { case(60, 150, 0.3, loss, 9) } else { case(40, 9, 0.5, loss, 7) };
            let bounded = Bounded::new(format!("{loss:?} {far:?}"), &vec![far; made.rows[0].len()], made);
            let x = bounded.made.columns();
            let (with, without) = (bounded.problem(&x, 1e-11), bounded.made.problem(&x, 1e-11));
            assert_eq!(with.lambda_max(), without.lambda_max());
            let lambda = 0.1 * with.lambda_max();
            let (with, without) = (solve(&with, lambda, None, &go_on), solve(&without, lambda, None, &go_on));
            assert_eq!(with.columns, without.columns, "{}", bounded.name);
            with.values.iter().zip(&without.values).for_each(|(a, b)| close(*a, *b, 1e-5, &bounded.name));
        }
    }
}

#[test]
fn a_column_without_room_is_as_good_as_absent() {
    for bounded in all_bounded().into_iter().filter(|bounded| bounded.low.contains(&0.0) && bounded.high.contains(&0.0)) {
        let closed: Vec<usize> = (0..9).filter(|&j| bounded.interval(j) == CLOSED).collect();
        let mut without = bounded.clone();
        for row in &mut without.made.rows {
            closed.iter().for_each(|&j| row[j] = 0.0);
        }
        let (x, z) = (bounded.made.columns(), without.made.columns());
        let kept = |from: &[f64]| (0..9).filter(|j| !closed.contains(j)).map(|j| from[j]).collect::<Vec<f64>>();
        let factors = bounded.made.factors.as_deref().map(kept);
        let (low, high) = (kept(&bounded.low), kept(&bounded.high));
        let penalty = Penalty { factors: factors.as_deref(), bounds: Some(Bounds { low: &low, high: &high }), ..without.made.penalty() };
        let without = Problem::new(without.made.data(&z), without.made.loss, penalty, without.made.options(1e-10), &go_on).unwrap();
        let with = bounded.problem(&x, 1e-10);
        assert_eq!((with.lambda_max(), with.null_objective()), (without.lambda_max(), without.null_objective()), "{}", bounded.name);
        let lambda = bounded.lambda(&with, 0.1);
        let (with, without) = (solve(&with, lambda, None, &go_on), solve(&without, lambda, None, &go_on));
        let (with, without) = (dense(&with, &x, 9), dense(&without, &z, 9));
        assert_eq!(with, without, "{}", bounded.name);
    }
}

#[test]
fn columns_may_change_their_sign_and_with_standardising_their_scale_if_their_intervals_do() {
    for bounded in all_bounded().into_iter().filter(|bounded| bounded.made.l1_ratio > 0.0 && bounded.made.weights.is_none()) {
        let mut moved = bounded.clone();
        let by = |j: usize| if bounded.made.standardize { [-8.0, 0.25, 1024.0][j % 3] } else { [-1.0, 1.0, -1.0][j % 3] };
        for j in 0..9 {
            moved.made.rows.iter_mut().for_each(|row| row[j] *= by(j));
            let mut ends = bounded.interval(j).map(|end| end / by(j));
            ends.sort_by(f64::total_cmp);
            (moved.low[j], moved.high[j]) = (ends[0], ends[1]);
        }
        let fit = |bounded: &Bounded| {
            let x = bounded.made.columns();
            let problem = bounded.problem(&x, 1e-11);
            let point = solve(&problem, 0.05, None, &go_on);
            assert_eq!(point.stop, Stop::Converged, "{}", bounded.name);
            dense(&point, &x, 9)
        };
        let (w, v) = (fit(&bounded), fit(&moved));
        (0..9).for_each(|j| close(w[j], v[j] * by(j), 2e-4, &bounded.name));
    }
}

#[test]
fn penalised_coefficients_are_zero_from_lambda_max_on_and_not_below() {
    for bounded in all_bounded().into_iter().chain(all_wide()).filter(|bounded| bounded.made.l1_ratio > 0.0) {
        let (x, name) = (bounded.made.columns(), &bounded.name);
        let problem = bounded.problem(&x, 1e-12);
        let free = |j: u32| bounded.made.factors.as_ref().is_some_and(|f| f[j as usize] == 0.0);
        let penalised = |point: &Point| point.columns.iter().filter(|&&j| !free(j)).count();
        let top = problem.lambda_max();
        for factor in [1.0, 1.5] {
            assert_eq!(penalised(&solve(&problem, top * factor, None, &go_on)), 0, "{name}");
        }
        assert!(top == 0.0 || penalised(&solve(&problem, top * 0.99, None, &go_on)) > 0, "{name}");
        // only what pushes to where there is room counts
        assert!(bounded.made.factors.is_some() || top <= bounded.made.problem(&x, 1e-12).lambda_max() * (1.0 + 1e-12), "{name}");
    }
}

#[test]
fn a_path_is_certified_ends_where_a_cold_fit_ends_and_goes_on_from_any_of_its_points_with_the_same_bits() {
    for bounded in all_wide().into_iter().chain(all_bounded().into_iter().filter(|bounded| bounded.made.l1_ratio > 0.0)) {
        let (x, name) = (bounded.made.columns(), &bounded.name);
        let problem = bounded.problem(&x, 1e-8);
        if problem.lambda_max() == 0.0 {
            continue;
        }
        let lambdas = lambda_grid(problem.lambda_max(), 1e-3, 12);
        let mut whole: Vec<(Point, Trail)> = Vec::new();
        let stop = path(&problem, &lambdas, None, &go_on, &mut |_, point, trail| whole.push((point, trail)));
        assert_eq!(stop, Stop::Converged, "{name}");
        let objective = |point: &Point| certify(&problem, point, &go_on).unwrap().primal;
        close(objective(&solve(&problem, lambdas[11], None, &go_on)), objective(&whole[11].0), 1e-7, name);
        for (done, (point, _)) in (1..).zip(&whole) {
            let certificate = certify(&problem, point, &go_on).unwrap();
            assert!(certificate.relative_gap <= 1.1e-8, "{name} {done}: {certificate:?}");
            bounded.at_ends(&dense(point, &x, bounded.low.len()));
        }
        goes_on_from_each(name, || bounded.problem(&x, 1e-8), &lambdas, &whole);
    }
}

#[test]
fn folds_do_not_depend_on_the_number_of_threads_nor_on_the_path_beside_them() {
    for bounded in all_wide() {
        let x = bounded.made.columns();
        let of_row: Vec<u32> = (0..60).map(|i| (i * 7) % 4).collect();
        let problem = bounded.problem(&x, 1e-7);
        let lambdas = lambda_grid(problem.lambda_max(), 0.05, 6);
        let mut points = Vec::new();
        path(&problem, &lambdas, None, &go_on, &mut |_, point, _| points.push(point));
        let run = |threads, points: &[Point]| {
            let folds = Folds { threads, points, ..plain(&of_row, 4, &lambdas) };
            cross_validate(bounded.made.data(&x), bounded.made.loss, bounded.penalty(), bounded.made.options(1e-7), &folds, &go_on).unwrap()
        };
        let (one, three) = (run(1, &[]), run(3, &points));
        assert!(one.whole && one.per_fold.iter().all(|deviance| deviance.is_finite()), "{}", bounded.name);
        assert_eq!((one.per_fold, one.nonzeros), (three.per_fold, three.nonzeros), "{}", bounded.name);
    }
}

#[test]
fn a_wanted_number_of_nonzeros_is_found() {
    for loss in LOSSES {
        for intervals in [[POSITIVE; 12], [[-0.3, 0.3]; 12]] {
            let bounded = Bounded::new(format!("{loss:?}"), &intervals, case(60, 12, 0.5, loss, 21));
            let x = bounded.made.columns();
            let problem = bounded.problem(&x, 1e-7);
            for k in [1, 3] {
                let found = target_nonzeros(&problem, k, &go_on);
                assert_eq!(found.point.columns.len(), k, "{loss:?}");
                bounded.at_ends(&dense(&found.point, &x, 12));
                assert!(certify(&problem, &found.point, &go_on).unwrap().relative_gap <= 1e-7);
            }
        }
    }
}

#[test]
fn twins_and_one_hot_groups_converge_and_twins_of_the_wrong_sign_are_not_called_ambiguous() {
    for loss in LOSSES {
        for l1_ratio in [1.0, 0.5, 0.0] {
            for interval in [POSITIVE, [-0.05, 0.1]] {
                let mut made = Case { l1_ratio, ..case(60, 12, 0.5, loss, 9) };
                for (i, row) in made.rows.iter_mut().enumerate() {
                    // 3 = 0, 4 = 2·1, 5 = −2
                    (row[3], row[4], row[5]) = (row[0], 2.0 * row[1], -row[2]);
                    (6..9).for_each(|j| row[j] = f64::from(u8::from(i % 3 == j - 6)));
                    (9..12).for_each(|j| row[j] = f64::from(u8::from(i / 20 == j - 9)));
                }
                let bounded = Bounded::new(format!("twins {loss:?} {l1_ratio} {interval:?}"), &[interval; 12], made);
                let (x, name) = (bounded.made.columns(), &bounded.name);
                let problem = bounded.problem(&x, 1e-8);
                let lambdas = lambda_grid(problem.lambda_max(), 1e-5, 30);
                let stop = path(&problem, &lambdas, None, &go_on, &mut |_, point, _| {
                    let certificate = certify(&problem, &point, &go_on).unwrap();
                    assert!(certificate.relative_gap <= 1.1e-8, "{name} {}: {certificate:?}", point.lambda);
                    bounded.at_ends(&dense(&point, &x, 12));
                });
                assert_eq!(stop, Stop::Converged, "{name}");
                let point = solve(&bounded.problem(&x, 1e-10), 0.2 * problem.lambda_max(), None, &go_on);
                let found = ambiguous_support(&problem, &point, &go_on).unwrap();
                let both = |pair: [u32; 2]| pair.iter().all(|j| found.contains(j));
                let in_support = |pair: [u32; 2]| pair.iter().any(|j| point.columns.contains(j));
                assert_eq!(both([0, 3]), in_support([0, 3]), "{name} {found:?}");
                assert_eq!(both([2, 5]), in_support([2, 5]) && interval != POSITIVE, "{name} {found:?}");
            }
        }
    }
}

#[test]
fn bounds_without_meaning_are_refused() {
    let made = case(10, 3, 0.9, Loss::Squared, 4);
    let x = made.columns();
    let why = |low: &[f64], high: &[f64], factors: Option<&[f64]>, shape| {
        let penalty = Penalty { l1_ratio: 1.0, factors, shape, bounds: Some(Bounds { low, high }) };
        Problem::new(made.data(&x), made.loss, penalty, made.options(1e-6), &go_on).err()
    };
    let (low, high) = ([-1.0, 0.0, f64::NEG_INFINITY], [0.0, 0.0, 3.0]);
    assert_eq!(why(&low, &high, None, Shape::Net), None);
    assert_eq!(why(&low, &high, Some(&[1.0, 0.0, 1.0]), Shape::Net), None);
    assert_eq!(why(&low, &high, Some(&[0.0, 1.0, 1.0]), Shape::Net), Some(Unfit::Penalty));
    assert_eq!(why(&low, &high[..2], None, Shape::Net), Some(Unfit::Shape));
    assert_eq!(why(&low, &high, None, Shape::Mcp { gamma: 3.0 }), Some(Unfit::Penalty));
    assert_eq!(why(&[0.5, 0.0, 0.0], &[1.0; 3], None, Shape::Net), Some(Unfit::Penalty));
    assert_eq!(why(&[-1.0; 3], &[1.0, -0.5, 1.0], None, Shape::Net), Some(Unfit::Penalty));
    assert_eq!(why(&[-1.0, f64::NAN, 0.0], &[1.0; 3], None, Shape::Net), Some(Unfit::Penalty));
    let penalty = Penalty { bounds: Some(Bounds { low: &low, high: &high }), ..Penalty::default() };
    let classes: Vec<f64> = (0..10).map(|i| f64::from(i % 3)).collect();
    let data = sparsefit::solver::Data { y: &classes, ..made.data(&x) };
    assert_eq!(Problem::of_classes(data, 3, penalty, made.options(1e-6), &go_on).err(), Some(Unfit::Penalty));
}
