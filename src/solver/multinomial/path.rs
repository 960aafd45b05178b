//! Solutions at one λ, along a falling path of λ, and for a wanted number of non-zeros.

use std::ops::ControlFlow;

use super::engine::Engine;
use super::problem::Classes;
use crate::matrix::{Number, ValuesView};
use crate::solver::clock::Clock;
use crate::solver::{Observe, Point, Problem, Progress, Start, Stop, TargetPoint, Trail, target};

/// As [`crate::solver::solve`].
pub(crate) fn solve(problem: &Problem, classes: &Classes, lambda: f64, warm: Option<&Point>, observe: &Observe) -> Point {
    fn typed<'a, V: Number>(
        problem: &Problem<'a>,
        classes: &Classes,
        values: &'a [V],
        lambda: f64,
        warm: Option<&Point>,
        clock: Clock,
    ) -> Point {
        let mut engine = match warm {
            Some(point) => Engine::warm(problem, classes, values, clock, point),
            None => Engine::new(problem, classes, values, clock),
        };
        engine.solve(lambda, 0)
    }
    match problem.data.x.values {
        ValuesView::Single(values) => typed(problem, classes, values, lambda, warm, Clock::new(observe)),
        ValuesView::Double(values) => typed(problem, classes, values, lambda, warm, Clock::new(observe)),
    }
}

/// As [`crate::solver::path`], for a fold if so. A point is all that the next λ depends on: trails are empty.
pub(crate) fn path_of_fold(
    problem: &Problem,
    classes: &Classes,
    lambdas: &[f64],
    fold: Option<usize>,
    start: Option<Start>,
    observe: &Observe,
    each: &mut dyn FnMut(usize, Point, Trail),
) -> Stop {
    let mut clock = Clock::new(observe);
    clock.progress.fold = fold;
    match problem.data.x.values {
        ValuesView::Single(values) => path_typed(problem, classes, values, lambdas, clock, start, each),
        ValuesView::Double(values) => path_typed(problem, classes, values, lambdas, clock, start, each),
    }
}

fn path_typed<'a, V: Number>(
    problem: &Problem<'a>,
    classes: &Classes,
    values: &'a [V],
    lambdas: &[f64],
    clock: Clock,
    start: Option<Start>,
    each: &mut dyn FnMut(usize, Point, Trail),
) -> Stop {
    let done = start.map_or(0, |start| start.done);
    let mut engine = match start {
        Some(start) => Engine::warm(problem, classes, values, clock, start.point),
        None => Engine::new(problem, classes, values, clock),
    };
    let mut stop = Stop::Converged;
    for (index, &lambda) in lambdas.iter().enumerate().skip(done) {
        let point = engine.solve(lambda, index);
        let this = point.stop;
        each(index, point, Trail::default());
        match this {
            Stop::Cancelled => return Stop::Cancelled,
            Stop::LimitReached => stop = Stop::LimitReached,
            Stop::Converged => {}
        }
    }
    stop
}

/// As [`crate::solver::settle`]: the deviance that a stop left unknown.
pub(crate) fn settle(problem: &Problem, classes: &Classes, point: Point) -> Point {
    fn typed<'a, V: Number>(problem: &Problem<'a>, classes: &Classes, values: &'a [V], point: &Point) -> f64 {
        let go_on = |_: &Progress| ControlFlow::Continue(());
        Engine::warm(problem, classes, values, Clock::new(&go_on), point).point(0.0, Stop::Cancelled).deviance
    }
    let deviance = match problem.data.x.values {
        ValuesView::Single(values) => typed(problem, classes, values, &point),
        ValuesView::Double(values) => typed(problem, classes, values, &point),
    };
    Point { deviance, ..point }
}

/// As [`crate::solver::target_nonzeros`], where every class's coefficient of a feature counts.
pub(crate) fn target_nonzeros(problem: &Problem, classes: &Classes, k: usize, observe: &Observe) -> TargetPoint {
    fn typed<'a, V: Number>(problem: &Problem<'a>, classes: &Classes, values: &'a [V], k: usize, clock: Clock) -> TargetPoint {
        let mut engine = Engine::new(problem, classes, values, clock);
        // The count of non-zeros settles later than the objective.
        engine.tol = engine.tol.min(1e-10);
        target::search(problem.lambda_max(), k, &mut |lambda, index| engine.solve(lambda, index))
    }
    match problem.data.x.values {
        ValuesView::Single(values) => typed(problem, classes, values, k, Clock::new(observe)),
        ValuesView::Double(values) => typed(problem, classes, values, k, Clock::new(observe)),
    }
}
