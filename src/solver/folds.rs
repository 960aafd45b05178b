//! Cross-validation: folds are weight masks over the one shared matrix.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use ndarray::Array2;

use super::path::{Point, path_of_fold};
use super::{Data, Loss, Observe, Options, Penalty, Problem, Stop, Unfit};
use crate::matrix::{ColumnsView, Number, ValuesView};

/// Held-out deviance of every λ in every fold.
#[derive(Clone, Debug)]
pub struct CvDeviance {
    /// λ × fold: weighted mean deviance of the rows held out; NaN where the fold holds out no weight or was not reached.
    pub per_fold: Array2<f64>,
    /// λ × fold: non-zeros.
    pub nonzeros: Array2<usize>,
    /// The worst of the folds: `Cancelled`, else `LimitReached`, else `Converged`.
    pub stop: Stop,
}

/// K-fold cross-validation over given falling `lambdas`. `folds_of_row` says which fold holds a row out (below
/// `n_folds`). At most `threads` folds run at a time; the result does not depend on `threads`.
#[expect(clippy::too_many_arguments, reason = "each is a different word of the equation")]
pub fn cross_validate(
    data: Data,
    loss: Loss,
    penalty: Penalty,
    options: Options,
    folds_of_row: &[u32],
    n_folds: usize,
    lambdas: &[f64],
    threads: usize,
    observe: &Observe,
) -> Result<CvDeviance, Unfit> {
    if folds_of_row.len() != data.x.n_rows || folds_of_row.iter().any(|&fold| fold as usize >= n_folds) {
        return Err(Unfit::Shape);
    }
    let next = AtomicUsize::new(0);
    let results: Mutex<Vec<Option<Result<FoldPath, Unfit>>>> = Mutex::new(vec![None; n_folds]);
    let work = || {
        loop {
            let fold = next.fetch_add(1, Ordering::Relaxed);
            if fold >= n_folds {
                return;
            }
            let result = run_fold(data, loss, penalty, options, folds_of_row, fold, lambdas, observe);
            results.lock().unwrap_or_else(|poisoned| poisoned.into_inner())[fold] = Some(result);
        }
    };
    std::thread::scope(|scope| {
        let helpers: Vec<_> = (1..threads.min(n_folds)).map(|_| scope.spawn(work)).collect();
        work();
        // A panic of a helper is the caller's panic: the scope passes it on.
        drop(helpers);
    });
    let results = results.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
    let mut deviance = CvDeviance {
        per_fold: Array2::from_elem((lambdas.len(), n_folds), f64::NAN),
        nonzeros: Array2::zeros((lambdas.len(), n_folds)),
        stop: Stop::Converged,
    };
    for (fold, result) in results.into_iter().flatten().enumerate() {
        let result = result?;
        for (index, (held_out, nonzeros)) in result.rows.into_iter().enumerate() {
            deviance.per_fold[[index, fold]] = held_out;
            deviance.nonzeros[[index, fold]] = nonzeros;
        }
        deviance.stop = match (deviance.stop, result.stop) {
            (Stop::Cancelled, _) | (_, Stop::Cancelled) => Stop::Cancelled,
            (Stop::LimitReached, _) | (_, Stop::LimitReached) => Stop::LimitReached,
            _ => Stop::Converged,
        };
    }
    Ok(deviance)
}

/// One fold: held-out deviance and non-zeros for each λ reached.
#[derive(Clone)]
struct FoldPath {
    rows: Vec<(f64, usize)>,
    stop: Stop,
}

#[expect(clippy::too_many_arguments, reason = "each is a different word of the equation")]
fn run_fold(
    data: Data,
    loss: Loss,
    penalty: Penalty,
    options: Options,
    folds_of_row: &[u32],
    fold: usize,
    lambdas: &[f64],
    observe: &Observe,
) -> Result<FoldPath, Unfit> {
    let weight = |i: usize| data.weights.map_or(1.0, |s| s[i]);
    let here = |i: usize| folds_of_row[i] as usize == fold;
    let part = |held_out: bool| -> Vec<f64> { (0..data.x.n_rows).map(|i| if here(i) == held_out { weight(i) } else { 0.0 }).collect() };
    let (train, test) = (part(false), part(true));
    let problem = Problem::new(Data { weights: Some(&train), ..data }, loss, penalty, options)?;
    let mut rows = Vec::with_capacity(lambdas.len());
    let stop = path_of_fold(&problem, lambdas, Some(fold), observe, &mut |_, point| {
        let eta = linear_predictor(data, &point);
        rows.push((mean_deviance(loss, data.y, &eta, &test), point.columns.len()));
    });
    Ok(FoldPath { rows, stop })
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
