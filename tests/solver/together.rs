//! Folds fitted together: as good as each by itself, the same bits whatever is beside them and wherever they go on.

use std::sync::Mutex;

use sparsefit::matrix::Columns;
use sparsefit::solver::{
    CvDeviance, Data, FoldPath, Folds, Loss, Options, Point, Problem, Stop, Trail, certify, cross_validate, lambda_grid, path, settle,
};

use crate::made::{Case, Dress, all_cases, case, close, go_on, plain};

/// The losses whose folds go together.
const LOSSES: [Loss; 3] = [Loss::Squared, Loss::Logistic, Loss::Poisson];

const FOLDS: usize = 5;
const TOL: f64 = 1e-7;

struct Run {
    x: Columns,
    of_row: Vec<u32>,
    lambdas: Vec<f64>,
    points: Vec<Point>,
}

/// What a fold was at after each of its λ.
type Trace = Vec<Vec<FoldPath>>;

fn options(made: &Case) -> Options {
    made.options(TOL)
}

fn prepare(made: &Case, min_ratio: f64, n: usize) -> Run {
    let x = made.columns();
    let problem = made.problem(&x, TOL);
    let lambdas = lambda_grid(problem.lambda_max(), min_ratio, n);
    let mut points = Vec::new();
    assert_eq!(path(&problem, &lambdas, None, &go_on, &mut |_, point, _| points.push(point)), Stop::Converged);
    let of_row = (0..made.y.len()).map(|i| (i * 7 % FOLDS) as u32).collect();
    Run { x, of_row, lambdas, points }
}

impl Run {
    fn cross_validate(&self, made: &Case, points: &[Point], threads: usize, begun: &[FoldPath]) -> (CvDeviance, Trace) {
        let start = |fold: usize| begun.get(fold).cloned().unwrap_or_default();
        let trace: Vec<Mutex<Vec<FoldPath>>> = (0..FOLDS).map(|fold| Mutex::new(vec![start(fold)])).collect();
        let each = |fold: usize, _, row, point: &Point, trail| {
            let mut trace = trace[fold].lock().unwrap();
            let mut next = trace.last().unwrap().clone();
            next.rows.push(row);
            next.last = Some((point.clone(), trail));
            trace.push(next);
        };
        let folds = Folds { threads, points, begun, each: &each, ..plain(&self.of_row, FOLDS, &self.lambdas) };
        let cv = cross_validate(made.data(&self.x), made.loss, made.penalty(), options(made), &folds, &go_on).unwrap();
        (cv, trace.into_iter().map(|trace| trace.into_inner().unwrap()).collect())
    }
}

/// Neighbours correlate, rows are many against the columns that matter.
/// Whether it is of a fold that went with others: it knows no reference of its own.
fn is_shared(trail: &Trail) -> bool {
    trail.before.is_some() && trail.reference.is_none()
}

fn correlated(loss: Loss) -> Case {
    let mut made = case(240, 60, 0.6, loss, 11);
    for row in &mut made.rows {
        (1..row.len()).for_each(|j| row[j] += 0.5 * row[j - 1]);
    }
    made
}

fn cases() -> Vec<(String, Case)> {
    let more = LOSSES.into_iter().flat_map(|loss| {
        [("correlated", correlated(loss)), ("wide", case(120, 200, 0.3, loss, 5))].map(|(name, made)| (format!("{name} {loss:?}"), made))
    });
    all_cases().into_iter().filter(|(_, made)| LOSSES.contains(&made.loss)).chain(more).collect()
}

#[test]
fn every_lambda_of_every_fold_is_certified_on_the_folds_own_problem() {
    let (mut together, mut all) = (0, 0);
    for (name, made) in cases() {
        let run = prepare(&made, 1e-2, 25);
        let (cv, trace) = run.cross_validate(&made, &run.points, 1, &[]);
        let (alone, _) = run.cross_validate(&made, &[], 1, &[]);
        assert!(cv.whole && alone.whole, "{name}");
        for (fold, trace) in trace.iter().enumerate() {
            let weight = |i: usize| made.weights.as_ref().map_or(1.0, |s| s[i]);
            let train: Vec<f64> = (0..made.y.len()).map(|i| if run.of_row[i] as usize == fold { 0.0 } else { weight(i) }).collect();
            let data = Data { weights: Some(&train), ..made.data(&run.x) };
            let problem = Problem::new(data, made.loss, made.penalty(), options(&made), &go_on).unwrap();
            for (index, path) in trace.iter().enumerate().skip(1) {
                let (point, trail) = path.last.as_ref().unwrap();
                together += usize::from(is_shared(trail));
                all += 1;
                let certificate = certify(&problem, &settle(&problem, point.clone()), &go_on).unwrap();
                assert!(certificate.relative_gap <= 1.01 * TOL, "{name} fold {fold} λ {index}: {certificate:?}");
                assert_eq!(point.lambda, run.lambdas[index - 1], "{name}");
            }
        }
        for (a, b) in cv.per_fold.iter().zip(&alone.per_fold) {
            // of two points so near the least objective one may be a little further from the held-out rows
            assert!((a - b).abs() <= 0.02 * (1.0 + b.abs()) || !b.is_finite(), "{name}: {a} {b}");
        }
    }
    assert!(8 * together > all, "only {together} of {all} λ were done by folds that went together");
}

#[test]
fn neither_the_threads_nor_an_interruption_show() {
    // folds that are still at the null model after two λ, and are never with others
    let late = Dress { intercept: false, standardize: true, weights: true, offset: false, factors: true };
    let late = ("late".to_owned(), late.on(case(40, 9, 0.3, Loss::Logistic, 7)));
    let more = LOSSES.map(|loss| (format!("correlated {loss:?}"), correlated(loss))).into_iter().chain([late]);
    for (name, made) in cases().into_iter().step_by(5).chain(more) {
        let run = prepare(&made, 1e-2, 25);
        let (whole, trace) = run.cross_validate(&made, &run.points, 1, &[]);
        for threads in [2, 3, 7] {
            let (other, others) = run.cross_validate(&made, &run.points, threads, &[]);
            assert_eq!(other.per_fold, whole.per_fold, "{name}: {threads} threads show");
            let last = |trace: &Trace| {
                trace.iter().map(|trace| trace.last().unwrap().last.clone().map(|(p, t)| (p.values, t))).collect::<Vec<_>>()
            };
            assert_eq!(last(&others), last(&trace), "{name}: {threads} threads show");
        }
        // folds need not have been equally far
        for done in [[0, 0, 0, 0, 0], [1, 1, 1, 1, 1], [2, 2, 2, 2, 2], [9, 10, 10, 9, 10], [24, 3, 25, 0, 12]] {
            let begun: Vec<FoldPath> = trace.iter().zip(done).map(|(trace, done)| trace[done].clone()).collect();
            let (rest, _) = run.cross_validate(&made, &run.points, 2, &begun);
            assert_eq!(rest.per_fold, whole.per_fold, "{name}: goes on from {done:?}");
            assert_eq!(rest.nonzeros, whole.nonzeros, "{name}: goes on from {done:?}");
        }
    }
}

#[test]
fn folds_of_different_weight_go_together_or_alone_and_end_alike() {
    // the first fold holds out nearly everything there is
    let mut made = correlated(Loss::Squared);
    made.weights = Some((0..240).map(|i| if i * 7 % FOLDS == 0 { 40.0 } else { 1.0 }).collect());
    let run = prepare(&made, 0.05, 20);
    let (cv, trace) = run.cross_validate(&made, &run.points, 1, &[]);
    let (alone, _) = run.cross_validate(&made, &[], 1, &[]);
    assert!(trace[0][1..].iter().all(|path| !is_shared(&path.last.as_ref().unwrap().1)), "its rows say nothing of the others");
    assert!(trace[1][1..].iter().any(|path| is_shared(&path.last.as_ref().unwrap().1)));
    for (a, b) in cv.per_fold.iter().zip(&alone.per_fold) {
        close(*a, *b, 1e-2, "held-out deviance");
    }
}
