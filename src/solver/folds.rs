//! Cross-validation: folds are weight masks over the one shared matrix, never copies.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};

use ndarray::Array2;

use super::path::path_of_fold;
use super::problem::Problem;
use super::state::predict;
use super::{Data, Loss, Observe, Options, Penalty, Point, Stop, Unfit};

/// Held-out deviance of every λ in every fold.
#[derive(Clone, Debug)]
pub struct CvDeviance {
    /// λ × fold: weighted mean deviance of the rows held out; NaN where a cancel came first.
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
    data: Data<'_>,
    loss: Loss,
    penalty: Penalty<'_>,
    options: Options,
    folds_of_row: &[u32],
    n_folds: usize,
    lambdas: &[f64],
    threads: usize,
    observe: &Observe<'_>,
) -> Result<CvDeviance, Unfit> {
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, Result<Fold, Unfit>)>> = Mutex::new(Vec::with_capacity(n_folds));
    let work = || {
        loop {
            let fold = next.fetch_add(1, Ordering::Relaxed);
            if fold >= n_folds {
                return;
            }
            let result = one_fold(data, loss, penalty, options, folds_of_row, fold, lambdas, observe);
            done.lock().unwrap_or_else(PoisonError::into_inner).push((fold, result));
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads.clamp(1, n_folds.max(1)) {
            scope.spawn(work);
        }
        work();
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(fold, _)| *fold);
    gather(done, n_folds, lambdas.len())
}

/// What one fold found, by λ.
struct Fold {
    deviance: Vec<f64>,
    nonzeros: Vec<usize>,
    stop: Stop,
}

#[expect(clippy::too_many_arguments, reason = "each is a different word of the equation")]
fn one_fold(
    data: Data<'_>,
    loss: Loss,
    penalty: Penalty<'_>,
    options: Options,
    folds_of_row: &[u32],
    fold: usize,
    lambdas: &[f64],
    observe: &Observe<'_>,
) -> Result<Fold, Unfit> {
    let weight = |i: usize| data.weights.map_or(1.0, |weights| weights[i]);
    let held = |i: usize| folds_of_row[i] as usize == fold;
    let kept: Vec<f64> = (0..data.y.len()).map(|i| if held(i) { 0.0 } else { weight(i) }).collect();
    let out: Vec<usize> = (0..data.y.len()).filter(|&i| held(i) && weight(i) > 0.0).collect();
    if out.is_empty() {
        return Err(Unfit::NoWeight);
    }
    let problem = Problem::new(Data { weights: Some(&kept), ..data }, loss, penalty, options)?;
    let mut result = Fold { deviance: Vec::new(), nonzeros: Vec::new(), stop: Stop::Converged };
    let mut eta = vec![0.0; data.y.len()];
    result.stop = path_of_fold(&problem, lambdas, Some(fold), observe, &mut |_, point: Point| {
        eta.iter_mut().enumerate().for_each(|(i, eta)| *eta = problem.offset(i) + point.intercept);
        predict(&data.x, &point.columns, &point.values, &mut eta);
        let total: f64 = out.iter().map(|&i| weight(i)).sum();
        let missed: f64 = out.iter().map(|&i| weight(i) * loss.value(data.y[i], eta[i])).sum();
        result.deviance.push(2.0 * missed / total);
        result.nonzeros.push(point.columns.len());
    });
    Ok(result)
}

fn gather(done: Vec<(usize, Result<Fold, Unfit>)>, n_folds: usize, n_lambdas: usize) -> Result<CvDeviance, Unfit> {
    let mut all = CvDeviance {
        per_fold: Array2::from_elem((n_lambdas, n_folds), f64::NAN),
        nonzeros: Array2::zeros((n_lambdas, n_folds)),
        stop: Stop::Converged,
    };
    for (k, fold) in done {
        let fold = fold?;
        for (i, (&deviance, &nonzeros)) in fold.deviance.iter().zip(&fold.nonzeros).enumerate() {
            all.per_fold[[i, k]] = deviance;
            all.nonzeros[[i, k]] = nonzeros;
        }
        all.stop = match (all.stop, fold.stop) {
            (Stop::Cancelled, _) | (_, Stop::Cancelled) => Stop::Cancelled,
            (Stop::LimitReached, _) | (_, Stop::LimitReached) => Stop::LimitReached,
            _ => Stop::Converged,
        };
    }
    Ok(all)
}
