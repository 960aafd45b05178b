//! Is the support unique?

use super::engine::Engine;
use super::problem::Classes;
use crate::matrix::{Number, ValuesView};
use crate::solver::clock::Clock;
use crate::solver::{Observe, Point, Problem, support};

/// Columns that make the support ambiguous, rising: those of [`crate::solver::ambiguous_support`], where a column counts
/// whose gradient for any class in which its coefficient is 0 lies within 1e-6·λ of the bound. `None` when `observe` said
/// to stop.
pub(crate) fn ambiguous_support(problem: &Problem, classes: &Classes, point: &Point, observe: &Observe) -> Option<Vec<u32>> {
    let mut clock = Clock::new(observe);
    match problem.data.x.values {
        ValuesView::Single(values) => search(problem, classes, values, point, &mut clock),
        ValuesView::Double(values) => search(problem, classes, values, point, &mut clock),
    }
}

fn search<V: Number>(problem: &Problem, classes: &Classes, values: &[V], point: &Point, clock: &mut Clock) -> Option<Vec<u32>> {
    let mut columns = point.columns.clone();
    columns.dedup();
    let mut found = support::twins(problem, values, &columns, &|_, _, _| true, clock)?;
    let engine = Engine::warm(problem, classes, values, *clock, point);
    let p = problem.scale.len().max(1);
    for (w, gradient) in engine.w.chunks(p).zip(engine.gradient.chunks(p)) {
        let touches = |j: &usize| {
            let bound = point.lambda * problem.l1[*j];
            // On the scale of the penalty: |c|/σ against λ·f·l1_ratio.
            w[*j] == 0.0 && bound > 0.0 && gradient[*j].abs() >= bound - 1e-6 * point.lambda * problem.scale[*j]
        };
        found.extend((0..gradient.len()).filter(touches).map(|j| j as u32));
    }
    found.sort_unstable();
    found.dedup();
    (!engine.clock.cancelled).then_some(found)
}
