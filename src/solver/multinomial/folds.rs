//! Cross-validation: folds are weight masks over the one shared matrix.

use crate::matrix::{Number, ValuesView};
use crate::solver::folds::{self, FoldResult};
use crate::solver::path::path_of_fold;
use crate::solver::{CvDeviance, Data, FoldRow, Folds, Observe, Options, Penalty, Point, Problem, Start, Stop, Unfit};

/// As [`crate::solver::cross_validate`], where the target of a row is the position of its class, below `n_classes`.
pub fn cross_validate_classes(
    data: Data,
    n_classes: usize,
    penalty: Penalty,
    options: Options,
    folds: &Folds,
    observe: &Observe,
) -> Result<CvDeviance, Unfit> {
    let alone: Vec<_> = (0..folds.n).map(|fold| fold..fold + 1).collect();
    let run = |group: std::ops::Range<usize>| vec![run_fold(data, n_classes, penalty, options, folds, group.start, observe)];
    folds::in_threads(data.x.n_rows, folds, &alone, &run)
}

fn run_fold(data: Data, n_classes: usize, penalty: Penalty, options: Options, folds: &Folds, fold: usize, observe: &Observe) -> FoldResult {
    let begun = folds.begun.get(fold);
    let mut rows = begun.map_or_else(Vec::new, |begun| begun.rows.clone());
    if rows.len() >= folds.lambdas.len() {
        return Ok(rows);
    }
    let last = begun.and_then(|begun| begun.last.as_ref());
    let start = last.map(|(point, trail)| Start { done: rows.len(), point, trail, before: None });
    let weight = |i: usize| data.weights.map_or(1.0, |s| s[i]);
    let here = |i: usize| folds.of_row[i] as usize == fold;
    let part = |held_out: bool| -> Vec<f64> { (0..data.x.n_rows).map(|i| if here(i) == held_out { weight(i) } else { 0.0 }).collect() };
    let (train, test) = (part(false), part(true));
    let problem = match Problem::of_classes(Data { weights: Some(&train), ..data }, n_classes, penalty, options, observe) {
        Err(Unfit::Stopped) => return Ok(rows),
        problem => problem?,
    };
    path_of_fold(&problem, folds.lambdas, Some(fold), start, observe, &mut |_, point, trail| {
        if point.stop == Stop::Cancelled {
            return;
        }
        let row = FoldRow { deviance: held_out_deviance(data, &point, &test), nonzeros: point.columns.len() };
        rows.push(row);
        (folds.each)(fold, rows.len() - 1, row, &point, trail);
    });
    Ok(rows)
}

/// Weighted mean of −2·log-likelihood; NaN without weight.
fn held_out_deviance(data: Data, point: &Point, weights: &[f64]) -> f64 {
    let eta = match data.x.values {
        ValuesView::Single(values) => predictors(data, values, point),
        ValuesView::Double(values) => predictors(data, values, point),
    };
    let n_classes = point.intercepts.len();
    let (mut sum, mut total) = (0.0, 0.0);
    for ((eta, &y), &s) in eta.chunks_exact(n_classes).zip(data.y).zip(weights).filter(|(_, s)| **s > 0.0) {
        let top = eta.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let level = top + eta.iter().map(|eta| (eta - top).exp()).sum::<f64>().ln();
        sum += s * 2.0 * (level - eta[y as usize]);
        total += s;
    }
    sum / total
}

/// b + Xᵀw of each row and class, row by row.
fn predictors<V: Number>(data: Data, values: &[V], point: &Point) -> Vec<f64> {
    let n_classes = point.intercepts.len();
    let mut eta: Vec<f64> = point.intercepts.repeat(data.x.n_rows);
    for ((&j, &k), &w) in point.columns.iter().zip(&point.classes).zip(&point.values) {
        data.x.column(j as usize, values).iter().for_each(|(i, x)| eta[i * n_classes + k as usize] += x * w);
    }
    eta
}
