//! The problem of some features alone: all others are kept out by their factors.

use super::TrainError;
use super::adaptive::EXCLUDED;
use crate::solver::{self, Point, Problem, Stop};
use crate::spec::ResolvedFit;

/// Factors that let in none but the columns `stable`, rising; those have what was given.
pub(super) fn factors(given: Option<&[f64]>, stable: &[u32], n_columns: usize) -> Vec<f64> {
    let factor = |column: usize| given.and_then(|given| given.get(column)).copied().unwrap_or(1.0);
    let is_stable = |column: usize| u32::try_from(column).is_ok_and(|column| stable.binary_search(&column).is_ok());
    (0..n_columns).map(|column| if is_stable(column) { factor(column) } else { EXCLUDED }).collect()
}

/// Its solution at the λ of `points[index]`. What a penalty that is not convex comes to depends on where it comes from: along the path.
pub(super) fn solve(
    problem: &Problem<'_>,
    points: &[Point],
    index: usize,
    spec: &ResolvedFit,
    observe: &solver::Observe<'_>,
) -> Result<Point, TrainError> {
    let first = if spec.penalty.is_folded() { 0 } else { index };
    let lambdas: Vec<f64> = points.iter().take(index + 1).skip(first).map(|point| point.lambda).collect();
    let mut last = None;
    solver::path(problem, &lambdas, None, observe, &mut |_, point, _| last = Some(point));
    last.filter(|point| point.stop != Stop::Cancelled).ok_or(TrainError::Cancelled)
}
