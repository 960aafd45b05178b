//! The λ that gives a wanted number of non-zeros.

use super::clock::Clock;
use super::descent::Engine;
use super::{Observe, Point, Problem, Shape, Stop, multinomial};
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
    /// Whether the search came to its end; when not, the point is the best it had.
    pub whole: bool,
}

/// The largest λ whose solution has exactly `k` non-zeros, else the largest with more than `k`.
///
/// Walks down from λ_max until a solution has `k` or more, then bisects. When the count jumps over `k` at the bracket,
/// the walk goes on a little for a λ further down that has exactly `k` after all. When even the smallest λ tried has
/// fewer than `k`, that solution is returned.
pub fn target_nonzeros(problem: &Problem, k: usize, observe: &Observe) -> TargetPoint {
    if let Some(classes) = &problem.classes {
        return multinomial::target_nonzeros(problem, classes, k, observe);
    }
    match problem.data.x.values {
        ValuesView::Single(values) => typed(problem, values, k, observe),
        ValuesView::Double(values) => typed(problem, values, k, observe),
    }
}

fn typed<'a, V: Number>(problem: &Problem<'a>, values: &'a [V], k: usize, observe: &Observe) -> TargetPoint {
    let mut engine = Engine::new(problem, values, Clock::new(observe));
    // The count of non-zeros settles later than the objective.
    engine.tol = engine.tol.min(1e-10);
    if problem.penalty.shape == Shape::L0 {
        return engine.solve_for_nonzeros(k);
    }
    search(problem.lambda_max(), k, &mut |lambda, index, above| {
        // What a folded penalty comes to depends on where it comes from: from above.
        if let Some(above) = above.filter(|_| problem.is_folded()) {
            engine.go_back_to(above);
        }
        engine.solve(lambda, index, None)
    })
}

/// The search below `top`, by a `solve` that is told λ, its position and, where one is known, the next solution above; it goes
/// on from the solution before.
pub(super) fn search(top: f64, k: usize, solve: &mut dyn FnMut(f64, usize, Option<&Point>) -> Point) -> TargetPoint {
    let mut index = 0;
    let mut solve = |lambda: f64, above: Option<&Point>| {
        let point = solve(lambda, index, above);
        index += 1;
        point
    };
    let mut high = top;
    let mut point = solve(top, None);
    let mut above = point.clone();
    let mut whole = point.stop != Stop::Cancelled;
    while whole && point.columns.len() < k && point.lambda > top * FLOOR {
        let trial = solve(point.lambda * STRIDE, None);
        whole = trial.stop != Stop::Cancelled;
        if whole {
            high = point.lambda;
            above = std::mem::replace(&mut point, trial);
        }
    }
    let reached = point.columns.len() >= k;
    while whole && reached && high > point.lambda * (1.0 + WIDTH) {
        let middle = (high * point.lambda).sqrt();
        let trial = solve(middle, Some(&above));
        whole = trial.stop != Stop::Cancelled;
        match (whole, trial.columns.len() >= k) {
            (true, true) => point = trial,
            (true, false) => (high, above) = (middle, trial),
            (false, _) => {}
        }
    }
    let mut lambda = point.lambda;
    if point.columns.len() > k && k > 0 {
        for _ in 0..30 {
            lambda *= 1.0 - 0.3 * (1.0 - STRIDE);
            let trial = if whole { solve(lambda, None) } else { break };
            whole = trial.stop != Stop::Cancelled;
            if whole && trial.columns.len() == k {
                point = trial;
                break;
            }
        }
    }
    let bracket = [point.lambda, high];
    TargetPoint { point, bracket, whole }
}
