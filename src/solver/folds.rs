//! Cross-validation: folds are weight masks over the one shared matrix.

use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use ndarray::Array2;

use super::clock::Clock;
use super::lanes::LANES;
use super::path::{Point, path_of_fold};
use super::standing::{Start, Trail};
use super::together::{Member, Together};
use super::{Data, Loss, Observe, Options, Penalty, Problem, Shape, Stop, Unfit};
use crate::matrix::{ColumnsView, Number, ValuesView};

/// The fold of a row that no fold holds out.
pub const NEVER: u32 = u32::MAX;

/// Which folds, over which λ, by how many threads.
pub struct Folds<'a> {
    /// Which fold holds each row out, below `n`, or [`NEVER`].
    pub of_row: &'a [u32],
    /// Number of folds.
    pub n: usize,
    /// λ, falling.
    pub lambdas: &'a [f64],
    /// Folds run at a time; the result does not depend on it.
    pub threads: usize,
    /// Called first on every thread that is started.
    pub on_thread: &'a (dyn Fn() + Sync),
    /// The path over all rows at the same λ. With it folds are fitted together, which is cheaper by far; without it each is
    /// fitted by itself.
    pub points: &'a [Point],
    /// What was done before, one for each fold, or nothing at all.
    pub begun: &'a [FoldPath],
    /// Told of each λ a fold has done (the fold, its position); may be called from several threads.
    pub each: &'a (dyn Fn(usize, usize, FoldRow, &Point, Trail) + Sync),
}

/// One λ of one fold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FoldRow {
    /// Weighted mean deviance of the rows held out; NaN where the fold holds out no weight.
    pub deviance: f64,
    /// Non-zeros.
    pub nonzeros: usize,
}

/// Its rows, or why it cannot be fitted.
pub(super) type FoldResult = Result<Vec<FoldRow>, Unfit>;

/// What a fold has done.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FoldPath {
    /// One row for each λ done.
    pub rows: Vec<FoldRow>,
    /// The point of the last of them and what was known there; `None` before the first.
    pub last: Option<(Point, Trail)>,
}

/// Held-out deviance of every λ in every fold.
#[derive(Clone, Debug)]
pub struct CvDeviance {
    /// λ × fold: weighted mean deviance of the rows held out; NaN where the fold holds out no weight or was not reached.
    pub per_fold: Array2<f64>,
    /// λ × fold: non-zeros.
    pub nonzeros: Array2<usize>,
    /// λ done in each fold.
    pub reached: Vec<usize>,
    /// Whether every fold came to its end.
    pub whole: bool,
}

/// K-fold cross-validation. Both the number of threads and what was done before leave the result as it is.
pub fn cross_validate(
    data: Data,
    loss: Loss,
    penalty: Penalty,
    options: Options,
    folds: &Folds,
    observe: &Observe,
) -> Result<CvDeviance, Unfit> {
    let groups = groups(data, folds);
    in_threads(data.x.n_rows, folds, &groups, &|group| run_folds(data, loss, penalty, options, folds, group, observe))
}

/// Runs the groups of folds and puts their rows together.
pub(super) fn in_threads(
    n_rows: usize,
    folds: &Folds,
    groups: &[Range<usize>],
    run: &(dyn Fn(Range<usize>) -> Vec<FoldResult> + Sync),
) -> Result<CvDeviance, Unfit> {
    if folds.of_row.len() != n_rows || folds.of_row.iter().any(|&fold| fold != NEVER && fold as usize >= folds.n) {
        return Err(Unfit::Shape);
    }
    let next = AtomicUsize::new(0);
    let results: Mutex<Vec<Option<FoldResult>>> = Mutex::new(vec![None; folds.n]);
    let work = || {
        while let Some(group) = groups.get(next.fetch_add(1, Ordering::Relaxed)) {
            for (fold, result) in group.clone().zip(run(group.clone())) {
                results.lock().unwrap_or_else(|poisoned| poisoned.into_inner())[fold] = Some(result);
            }
        }
    };
    let help = || {
        (folds.on_thread)();
        work();
    };
    std::thread::scope(|scope| {
        let helpers: Vec<_> = (1..folds.threads.min(groups.len())).map(|_| scope.spawn(help)).collect();
        work();
        // A panic of a helper is the caller's panic: the scope passes it on.
        drop(helpers);
    });
    let results = results.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
    let shape = (folds.lambdas.len(), folds.n);
    let (per_fold, nonzeros) = (Array2::from_elem(shape, f64::NAN), Array2::zeros(shape));
    let mut deviance = CvDeviance { per_fold, nonzeros, reached: Vec::with_capacity(folds.n), whole: true };
    for (fold, result) in results.into_iter().flatten().enumerate() {
        let rows = result?;
        deviance.reached.push(rows.len());
        deviance.whole &= rows.len() == folds.lambdas.len();
        for (index, row) in rows.into_iter().enumerate() {
            deviance.per_fold[[index, fold]] = row.deviance;
            deviance.nonzeros[[index, fold]] = row.nonzeros;
        }
    }
    Ok(deviance)
}

/// Rows of which a line for each still lies in a near cache; with more, folds side by side cost more than one after the other.
const MOST_ROWS: usize = 100_000;

/// Which folds go together. Any division gives the same bits.
fn groups(data: Data, folds: &Folds) -> Vec<Range<usize>> {
    let most = if folds.points.is_empty() || data.x.is_empty() || data.x.n_rows > MOST_ROWS { 1 } else { LANES };
    let parts = folds.n.div_ceil(most).max(folds.threads.clamp(1, folds.n.max(1)));
    (0..parts).map(|part| part * folds.n / parts..(part + 1) * folds.n / parts).collect()
}

/// Some folds: of each a row for each λ reached.
fn run_folds(
    data: Data,
    loss: Loss,
    penalty: Penalty,
    options: Options,
    folds: &Folds,
    group: Range<usize>,
    observe: &Observe,
) -> Vec<FoldResult> {
    let weight = |i: usize| data.weights.map_or(1.0, |s| s[i]);
    let part = |fold: usize, held_out: bool| -> Vec<f64> {
        let here = |i: usize| folds.of_row[i] as usize == fold;
        (0..data.x.n_rows).map(|i| if here(i) == held_out { weight(i) } else { 0.0 }).collect()
    };
    let parts: Vec<[Vec<f64>; 2]> = group.clone().map(|fold| [false, true].map(|held_out| part(fold, held_out))).collect();
    let begun = |fold: usize| folds.begun.get(fold).cloned().unwrap_or_default();
    let problems: Vec<Option<Result<Problem, Unfit>>> = (group.clone().zip(&parts))
        .map(|(fold, [train, _])| {
            let left = begun(fold).rows.len() < folds.lambdas.len();
            left.then(|| Problem::new(Data { weights: Some(train), ..data }, loss, penalty, options, observe))
        })
        .collect();
    let mut results: Vec<FoldResult> = group.clone().map(|fold| Ok(begun(fold).rows)).collect();
    let (mut together, mut alone) = (Vec::new(), Vec::new());
    for ((fold, problem), ([_, test], result)) in group.clone().zip(&problems).zip(parts.iter().zip(&mut results)) {
        match problem {
            None | Some(Err(Unfit::Stopped)) => {}
            Some(Err(why)) => *result = Err(*why),
            Some(Ok(problem)) => {
                let FoldPath { rows, last } = begun(fold);
                let goes = goes_together(problem, &data, folds, last.as_ref());
                let member = Member::new(fold, problem, test, rows, last);
                if goes { together.push(member) } else { alone.push(member) }
            }
        }
    }
    if !together.is_empty() {
        let clock = Clock::new(observe);
        alone.extend(match data.x.values {
            ValuesView::Single(values) => Together::new(data, values, loss, folds.points, together, clock).run(folds.lambdas, folds.each),
            ValuesView::Double(values) => Together::new(data, values, loss, folds.points, together, clock).run(folds.lambdas, folds.each),
        });
    }
    for member in alone {
        let result = &mut results[member.fold - group.start];
        *result = Ok(if member.rows.len() < folds.lambdas.len() && !member.stopped {
            run_alone(data, loss, folds, member, observe)
        } else {
            member.rows
        });
    }
    results
}

/// Sweeps over products that a λ takes, and how many products cost as much as a gathered non-zero.
const SWEEPS: usize = 24;
const LANES_OF_SINGLE: usize = 12;

/// Whether a fold is one for [`Together`], from where it is.
fn goes_together(problem: &Problem, data: &Data, folds: &Folds, last: Option<&(Point, Trail)>) -> bool {
    let weight = |i: usize| data.weights.map_or(1.0, |s| s[i]);
    // second derivatives of all rows bound those of the fold up to this factor; a step is sure to go down below 2
    let all: f64 = (0..data.x.n_rows).map(weight).sum();
    let kept: f64 = problem.data.weights.map_or(all, |train| train.iter().sum());
    let near = folds.lambdas.windows(2).all(|pair| pair[1] >= 0.5 * pair[0] && pair[1] < pair[0]);
    let far = folds.lambdas.last().is_some_and(|&last| last < 1e-12 * problem.lambda_max());
    let first = folds.lambdas.first().is_some_and(|&first| first >= 0.5 * problem.lambda_max());
    // what is shared is walks over X; sweeps over products, as many as a λ takes, are each fold's own
    let most = folds.points.iter().map(|point| point.columns.len()).max().unwrap_or(0);
    let walks = SWEEPS * most * most / LANES_OF_SINGLE <= data.x.nnz();
    folds.points.len() == folds.lambdas.len()
        && walks
        && data.x.n_rows <= MOST_ROWS
        && last.is_none_or(|(_, trail)| trail.is_shared())
        && matches!(problem.loss, Loss::Squared | Loss::Logistic | Loss::Poisson)
        && problem.penalty.shape == Shape::Net
        && !problem.is_bounded()
        && problem.free.is_empty()
        && problem.penalty.l1_ratio > 0.0
        && all < 1.9 * kept
        && near
        && !far
        && first
}

/// One fold by itself from where it is: a row for each λ reached.
fn run_alone(data: Data, loss: Loss, folds: &Folds, member: Member, observe: &Observe) -> Vec<FoldRow> {
    let Member { fold, problem, test, mut rows, last, .. } = member;
    let last = last.map(|(point, trail)| {
        // a fold that went together with others knows less
        if trail.is_shared() {
            let seen = Some(point.intercept);
            return (point, Trail { seen, ..Trail::default() }, None);
        }
        let lambda = rows.len().checked_sub(2).map(|index| folds.lambdas[index].max(1e-14 * problem.lambda_max()));
        let before = lambda.zip(trail.before.as_ref()).map(|(lambda, before)| before.at(lambda, &point));
        (point, trail, before)
    });
    let start = last.as_ref().map(|(point, trail, before)| Start { done: rows.len(), point, trail, before: before.as_ref() });
    path_of_fold(problem, folds.lambdas, Some(fold), start, observe, &mut |_, point, trail| {
        if point.stop == Stop::Cancelled {
            return;
        }
        let eta = linear_predictor(data, &point);
        let row = FoldRow { deviance: mean_deviance(loss, data.y, &eta, test), nonzeros: point.columns.len() };
        rows.push(row);
        (folds.each)(fold, rows.len() - 1, row, &point, trail);
    });
    rows
}

/// offset + b + Xw for every row.
fn linear_predictor(data: Data, point: &Point) -> Vec<f64> {
    let mut eta = match data.offset {
        Some(offset) => offset.iter().map(|o| o + point.intercept).collect(),
        None => vec![point.intercept; data.x.n_rows],
    };
    match data.x.values {
        ValuesView::Single(values) => add_columns(data.x, values, point, &mut eta),
        ValuesView::Double(values) => add_columns(data.x, values, point, &mut eta),
    }
    eta
}

fn add_columns<V: Number>(x: ColumnsView, values: &[V], point: &Point, eta: &mut [f64]) {
    for (&j, &w) in point.columns.iter().zip(&point.values) {
        x.column(j as usize, values).add_to(w, eta);
    }
}

/// Weighted mean deviance; NaN without weight.
pub(super) fn mean_deviance(loss: Loss, y: &[f64], eta: &[f64], weights: &[f64]) -> f64 {
    let pick = |from: &[f64]| -> Vec<f64> { from.iter().zip(weights).filter(|(_, s)| **s > 0.0).map(|(x, _)| *x).collect() };
    let (y, eta) = (pick(y), pick(eta));
    let mut values = vec![0.0; y.len()];
    loss.values(&y, &eta, &mut values);
    let (mut sum, mut total) = (0.0, 0.0);
    for ((&y, value), s) in y.iter().zip(values).zip(weights.iter().filter(|s| **s > 0.0)) {
        sum += s * (2.0 * (value - loss.least(y)));
        total += s;
    }
    sum / total
}
