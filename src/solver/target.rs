//! The λ that gives a wanted number of non-zeros.

use super::clock::Clock;
use super::descent::Engine;
use super::{Observe, Point, Problem, Stop};
use crate::matrix::{Number, ValuesView};

/// Ratio of the λ values tried on the way down.
const STRIDE: f64 = 0.85;
/// Smallest λ tried, as a share of λ_max.
const FLOOR: f64 = 1e-6;
/// The bracket is narrowed to this relative width.
const WIDTH: f64 = 1e-7;

/// A solution with a wanted number of non-zeros.
#[derive(Clone, Debug)]
pub struct TargetPoint {
    /// The solution: exactly k non-zeros, else the largest λ found with more than k.
    pub point: Point,
    /// `[λ_low, λ_high]`: the solution holds at `λ_low`, fewer than k non-zeros at `λ_high`.
    pub bracket: [f64; 2],
}

/// The largest λ whose solution has exactly `k` non-zeros, else the largest with more than `k`.
///
/// Walks down from λ_max until a solution has `k` or more, then bisects. When the count jumps over `k` at the bracket,
/// the walk goes on a little for a λ further down that has exactly `k` after all. When even the smallest λ tried has
/// fewer than `k`, that solution is returned.
pub fn target_nonzeros(problem: &Problem, k: usize, observe: &Observe) -> TargetPoint {
    match problem.data.x.values {
        ValuesView::Single(values) => search(problem, values, k, observe),
        ValuesView::Double(values) => search(problem, values, k, observe),
    }
}

fn search<'a, V: Number>(problem: &Problem<'a>, values: &'a [V], k: usize, observe: &Observe) -> TargetPoint {
    let mut engine = Engine::new(problem, values, Clock::new(observe));
    // The count of non-zeros settles later than the objective.
    engine.tol = engine.tol.min(1e-10);
    let top = problem.lambda_max();
    let mut high = top;
    let mut point = engine.solve(top, 0);
    let mut index = 0;
    let mut solve = |lambda: f64| {
        index += 1;
        engine.solve(lambda, index)
    };
    while point.columns.len() < k && point.stop != Stop::Cancelled && point.lambda > top * FLOOR {
        high = point.lambda;
        point = solve(high * STRIDE);
    }
    let reached = point.columns.len() >= k;
    while reached && point.stop != Stop::Cancelled && high > point.lambda * (1.0 + WIDTH) {
        let middle = (high * point.lambda).sqrt();
        let trial = solve(middle);
        if trial.columns.len() >= k || trial.stop == Stop::Cancelled {
            point = trial;
        } else {
            high = middle;
        }
    }
    let mut lambda = point.lambda;
    if point.columns.len() > k && k > 0 {
        for _ in 0..30 {
            lambda *= 1.0 - 0.3 * (1.0 - STRIDE);
            let trial = solve(lambda);
            if trial.columns.len() == k || trial.stop == Stop::Cancelled {
                point = trial;
                break;
            }
        }
    }
    let bracket = [point.lambda, high];
    TargetPoint { point, bracket }
}
