//! Cross-validation: folds are weight masks over the one shared matrix.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use ndarray::Array2;

use super::path::{Point, path_of_fold};
use super::standing::{Start, Trail};
use super::{Data, Loss, Observe, Options, Penalty, Problem, Stop, Unfit};
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
type FoldResult = Result<Vec<FoldRow>, Unfit>;

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
    if folds.of_row.len() != data.x.n_rows || folds.of_row.iter().any(|&fold| fold != NEVER && fold as usize >= folds.n) {
        return Err(Unfit::Shape);
    }
    let next = AtomicUsize::new(0);
    let results: Mutex<Vec<Option<FoldResult>>> = Mutex::new(vec![None; folds.n]);
    let work = || {
        loop {
            let fold = next.fetch_add(1, Ordering::Relaxed);
            if fold >= folds.n {
                return;
            }
            let result = run_fold(data, loss, penalty, options, folds, fold, observe);
            results.lock().unwrap_or_else(|poisoned| poisoned.into_inner())[fold] = Some(result);
        }
    };
    let help = || {
        (folds.on_thread)();
        work();
    };
    std::thread::scope(|scope| {
        let helpers: Vec<_> = (1..folds.threads.min(folds.n)).map(|_| scope.spawn(help)).collect();
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

/// One fold: a row for each λ reached.
fn run_fold(
    data: Data,
    loss: Loss,
    penalty: Penalty,
    options: Options,
    folds: &Folds,
    fold: usize,
    observe: &Observe,
) -> Result<Vec<FoldRow>, Unfit> {
    let begun = folds.begun.get(fold);
    let mut rows = begun.map_or_else(Vec::new, |begun| begun.rows.clone());
    if rows.len() >= folds.lambdas.len() {
        return Ok(rows);
    }
    let last = begun.and_then(|begun| begun.last.as_ref());
    let start = last.map(|(point, trail)| Start { done: rows.len(), point, trail });
    let weight = |i: usize| data.weights.map_or(1.0, |s| s[i]);
    let here = |i: usize| folds.of_row[i] as usize == fold;
    let part = |held_out: bool| -> Vec<f64> { (0..data.x.n_rows).map(|i| if here(i) == held_out { weight(i) } else { 0.0 }).collect() };
    let (train, test) = (part(false), part(true));
    let problem = match Problem::new(Data { weights: Some(&train), ..data }, loss, penalty, options, observe) {
        Err(Unfit::Stopped) => return Ok(rows),
        problem => problem?,
    };
    path_of_fold(&problem, folds.lambdas, Some(fold), start, observe, &mut |_, point, trail| {
        if point.stop == Stop::Cancelled {
            return;
        }
        let eta = linear_predictor(data, &point);
        let row = FoldRow { deviance: mean_deviance(loss, data.y, &eta, &test), nonzeros: point.columns.len() };
        rows.push(row);
        (folds.each)(fold, rows.len() - 1, row, &point, trail);
    });
    Ok(rows)
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
fn mean_deviance(loss: Loss, y: &[f64], eta: &[f64], weights: &[f64]) -> f64 {
    let (mut sum, mut total) = (0.0, 0.0);
    for ((&y, &eta), &s) in y.iter().zip(eta).zip(weights).filter(|(_, s)| **s > 0.0) {
        sum += s * loss.deviance(y, eta);
        total += s;
    }
    sum / total
}
