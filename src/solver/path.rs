//! Solutions at one λ and along a falling path of λ.

use std::ops::ControlFlow;

use super::clock::Clock;
use super::descent::Engine;
use super::standing::{Reference, Start, Trail};
use super::{Observe, Problem, Progress, Stop, multinomial};
use crate::matrix::{Number, ValuesView};

/// A solution at one λ.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// λ of this solution.
    pub lambda: f64,
    /// Positions of the stored columns whose coefficient is not 0, rising; once for each of its classes in a multinomial
    /// problem.
    pub columns: Vec<u32>,
    /// The class that each coefficient is of, rising within a column; empty but in a multinomial problem.
    pub classes: Vec<u32>,
    /// The coefficients, on the original scale.
    pub values: Vec<f64>,
    /// Intercept on the original scale; 0 in a multinomial problem.
    pub intercept: f64,
    /// Intercepts of the classes; empty but in a multinomial problem.
    pub intercepts: Vec<f64>,
    /// The solver's own relative duality gap on the full problem.
    pub relative_gap: f64,
    /// Weighted mean deviance on the rows of the fit: squared error, or −2·log-likelihood.
    pub deviance: f64,
    /// Sweeps over a working set.
    pub epochs: u64,
    /// Touched non-zeros / non-zeros of X, counted.
    pub full_passes: f64,
    /// Why the solver stopped.
    pub stop: Stop,
}

/// Solves at one λ, from a warm start or from the null model.
pub fn solve(problem: &Problem, lambda: f64, warm: Option<&Point>, observe: &Observe) -> Point {
    if let Some(classes) = &problem.classes {
        return multinomial::solve(problem, classes, lambda, warm, observe);
    }
    match problem.data.x.values {
        ValuesView::Single(values) => solve_typed(problem, values, lambda, warm, observe),
        ValuesView::Double(values) => solve_typed(problem, values, lambda, warm, observe),
    }
}

fn solve_typed<'a, V: Number>(problem: &Problem<'a>, values: &'a [V], lambda: f64, warm: Option<&Point>, observe: &Observe) -> Point {
    let clock = Clock::new(observe);
    let mut engine = match warm {
        Some(point) => Engine::warm(problem, values, clock, point),
        None => Engine::new(problem, values, clock),
    };
    engine.solve(lambda, 0, None)
}

/// Solves at falling `lambdas`, each warm from the one before. `Converged` when every λ has converged,
/// `LimitReached` when one has not; of a path that is cancelled the point it was at is handed out last, with that stop.
///
/// With a `start` the λ before it are taken as done, and those after it end with the same bits as without.
pub fn path(
    problem: &Problem,
    lambdas: &[f64],
    start: Option<Start>,
    observe: &Observe,
    each: &mut dyn FnMut(usize, Point, Trail),
) -> Stop {
    path_of_fold(problem, lambdas, None, start, observe, each)
}

/// A path that says in its progress which fold it is for.
pub(crate) fn path_of_fold(
    problem: &Problem,
    lambdas: &[f64],
    fold: Option<usize>,
    start: Option<Start>,
    observe: &Observe,
    each: &mut dyn FnMut(usize, Point, Trail),
) -> Stop {
    if let Some(classes) = &problem.classes {
        return multinomial::path_of_fold(problem, classes, lambdas, fold, start, observe, each);
    }
    let mut clock = Clock::new(observe);
    clock.progress.fold = fold;
    match problem.data.x.values {
        ValuesView::Single(values) => path_typed(problem, values, lambdas, clock, start, each),
        ValuesView::Double(values) => path_typed(problem, values, lambdas, clock, start, each),
    }
}

fn path_typed<'a, V: Number>(
    problem: &Problem<'a>,
    values: &'a [V],
    lambdas: &[f64],
    clock: Clock,
    start: Option<Start>,
    each: &mut dyn FnMut(usize, Point, Trail),
) -> Stop {
    let done = start.map_or(0, |start| start.done);
    let is_fold = clock.progress.fold.is_some();
    let mut gone_by = start.and_then(|start| Some([start.before?.clone(), start.point.clone()]));
    // a warm start is no point of the path
    let mut last = start.filter(|start| start.done > 0).map(|start| start.point.clone());
    let mut engine = match start {
        Some(start) => Engine::resumed(problem, values, clock, &start),
        None => Engine::new(problem, values, clock),
    };
    let mut stop = Stop::Converged;
    for (index, &lambda) in lambdas.iter().enumerate().skip(done) {
        // by its place, not by the points gone by: of a fold that has not left the null model nobody keeps those
        engine.on_path = index >= 2;
        let point = engine.solve(lambda, index, gone_by.as_ref());
        let this = point.stop;
        gone_by = last.take().map(|before| [before, point.clone()]);
        last = Some(point.clone());
        let mut trail = engine.trail();
        // nobody keeps the points of a fold
        trail.before = gone_by.as_ref().filter(|_| is_fold && trail.reference.is_some()).map(|[before, _]| Reference::of(before));
        each(index, point, trail);
        match this {
            Stop::Cancelled => return Stop::Cancelled,
            Stop::LimitReached => stop = Stop::LimitReached,
            Stop::Converged => {}
        }
    }
    stop
}

/// A point that a stop left in the middle, made whole: the best intercept for its coefficients and its deviance.
pub fn settle(problem: &Problem, point: Point) -> Point {
    if let Some(classes) = &problem.classes {
        return multinomial::settle(problem, classes, point);
    }
    let go_on = |_: &Progress| ControlFlow::Continue(());
    let mut clock = Clock::new(&go_on);
    let mut eta = problem.start(point.intercept);
    match problem.data.x.values {
        ValuesView::Single(values) => add_columns(problem, values, &point, &mut eta),
        ValuesView::Double(values) => add_columns(problem, values, &point, &mut eta),
    }
    let mut intercept = point.intercept;
    let (_, loss) = problem.balance(&mut eta, &mut intercept, &mut clock);
    Point { intercept, deviance: 2.0 * loss, ..point }
}

fn add_columns<V: Number>(problem: &Problem, values: &[V], point: &Point, eta: &mut [f64]) {
    for (&j, &w) in point.columns.iter().zip(&point.values) {
        problem.data.x.column(j as usize, values).add_to(w, eta);
    }
}

/// `n` values from `max` to `max · min_ratio`, log-spaced, both ends inclusive; `[max]` for n = 1.
pub fn lambda_grid(max: f64, min_ratio: f64, n: usize) -> Vec<f64> {
    let value = |i: usize| match i {
        0 => max,
        i if i + 1 == n => max * min_ratio,
        i => max * (min_ratio.ln() * i as f64 / (n - 1) as f64).exp(),
    };
    (0..n).map(value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grid_holds_both_ends_and_falls_by_one_ratio() {
        let grid = lambda_grid(2.0, 1e-4, 5);
        assert_eq!((grid[0], grid[4], grid.len()), (2.0, 2.0 * 1e-4, 5));
        assert!(grid.windows(2).all(|pair| (pair[1] / pair[0] - 0.1).abs() < 1e-12));
        assert_eq!(lambda_grid(3.0, 0.1, 1), [3.0]);
        assert!(lambda_grid(3.0, 0.1, 0).is_empty());
    }
}
