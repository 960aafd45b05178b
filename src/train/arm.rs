//! One path of the plan, solved over all rows and with rows held out.

use super::adaptive::EXCLUDED;
use super::checkpoint::ArmDone;
use super::held_out::{self, HeldOut};
use super::plan::{Arm, Role};
use super::progress::Tracker;
use super::stability::{self, Found};
use super::target::Rows;
use super::{Done, Inputs, Run, TrainError, warm};
use crate::solver::{self, Point, Problem, Shape, Start, Stop};
use crate::spec::Lambda;

/// A path, or what there is of it.
pub(super) struct Solved {
    pub(super) l1_ratio: f64,
    pub(super) points: Vec<Point>,
    /// λ_low and λ_high of a search for a number of non-zeros.
    pub(super) bracket: Option<[f64; 2]>,
    pub(super) null_deviance: f64,
    pub(super) lambda_max: f64,
    /// Deviances of rows held out, if rows are.
    pub(super) held_out: Option<HeldOut>,
    /// What halves of the rows chose, if they did.
    pub(super) stability: Option<Found>,
    /// Why it is not all that was asked for.
    pub(super) cut: Option<String>,
}

/// Solves a path and measures it. What a stop leaves is given on when it is wanted and worth something.
#[allow(clippy::too_many_arguments)]
pub(super) fn solve<'i>(
    inputs: &Inputs<'i>,
    factors: Option<&'i [f64]>,
    arm: &Arm<'_>,
    begin: Option<&Point>,
    rows: &Rows<'_>,
    run: &Run<'_>,
    tracker: &Tracker<'_>,
) -> Result<(Solved, Problem<'i>), TrainError> {
    // what a model is made of or compared with is an elastic net
    let shape = if arm.role == Role::Candidate { inputs.shape } else { Shape::Net };
    let penalty = solver::Penalty { l1_ratio: arm.l1_ratio, factors, shape, bounds: inputs.bounds };
    let problem = inputs.loss.problem(inputs.data, penalty, inputs.options, &|at| tracker.preparing(at))?;
    super::go_on(tracker.prepared(arm.position))?;
    let reachable = factors.is_none_or(|factors| factors.iter().any(|factor| *factor > 0.0 && *factor < EXCLUDED));
    let begin = begin.zip(arm.first()).and_then(|(begin, first)| warm::start(&problem, begin, first));
    let mut solved = path_of(&problem, reachable, arm, begin.as_ref(), run, tracker)?;
    let told = tracker.path_done(arm.position, solved.points.len());
    if told.is_break() && !tracker.best_is_wanted() {
        return Err(TrainError::Cancelled);
    }
    if let (Some(splits), None) = (&arm.splits, &solved.cut) {
        let (held_out, cut) = held_out::measure(inputs, penalty, arm, splits, rows, &solved.points, run, tracker)?;
        (solved.held_out, solved.cut) = (held_out, cut);
    }
    if let (Some(stability), None) = (arm.stability, &solved.cut) {
        (solved.stability, solved.cut) = stability::measure(inputs, penalty, arm, stability, rows, &solved.points, run, tracker)?;
    }
    Ok((solved, problem))
}

/// The λ asked for, solved in falling order.
fn path_of(
    problem: &Problem<'_>,
    reachable: bool,
    arm: &Arm<'_>,
    begin: Option<&Point>,
    run: &Run<'_>,
    tracker: &Tracker<'_>,
) -> Result<Solved, TrainError> {
    let observe = |at: &solver::Progress| tracker.path(arm.position, at);
    let (mut points, bracket, total) = match &arm.lambda {
        Lambda::Value { value } => (vec![solver::solve(problem, *value, begin, &observe)], None, 1),
        Lambda::TargetNonzeros { k } => {
            let found = solver::target_nonzeros(problem, usize::try_from(*k).unwrap_or(usize::MAX), &observe);
            (vec![found.point], Some(found.bracket), if found.whole { 1 } else { 2 })
        }
        Lambda::Values { values } => (path(problem, arm, values, begin, run, &observe), None, values.len()),
        Lambda::Path { n, min_ratio } => {
            // A constant target has λ_max = 0 and every λ gives w = 0, as it does where every column is excluded: any
            // falling grid says so.
            let top = if problem.lambda_max() > 0.0 && reachable { problem.lambda_max() } else { 1.0 };
            let n = usize::try_from(*n).unwrap_or(usize::MAX);
            (path(problem, arm, &solver::lambda_grid(top, *min_ratio, n), None, run, &observe), None, n)
        }
    };
    let solved = |points, cut| Solved {
        l1_ratio: arm.l1_ratio,
        points,
        bracket,
        null_deviance: problem.null_deviance(),
        lambda_max: problem.lambda_max(),
        held_out: None,
        stability: None,
        cut,
    };
    let cut = points.len() < total || points.iter().any(|point| point.stop == Stop::Cancelled);
    if !cut {
        return Ok(solved(points, None));
    }
    // A point in the middle counts only where there is no other, and not before its first epoch.
    let broken = points.pop_if(|point| point.stop == Stop::Cancelled);
    let done = points.len();
    if let (true, Some(point)) = (points.is_empty(), broken.filter(|point| point.epochs > 0)) {
        points.push(solver::settle(problem, point));
    }
    if points.is_empty() || !tracker.best_is_wanted() {
        return Err(TrainError::Cancelled);
    }
    let cut = match (&arm.lambda, done) {
        (_, 0) => "this is the point the solver was at.".to_owned(),
        (Lambda::TargetNonzeros { .. }, _) => "the search for the number of non-zeros had not ended.".to_owned(),
        _ => format!("{done} of {total} values of λ were done; this is the last of them."),
    };
    Ok(solved(points, Some(cut)))
}

/// Goes on from what was done before; where nothing was, it begins at `begin`, if its first λ has another solution than the null model.
fn path(
    problem: &Problem<'_>,
    arm: &Arm<'_>,
    lambdas: &[f64],
    begin: Option<&Point>,
    run: &Run<'_>,
    observe: &solver::Observe<'_>,
) -> Vec<Point> {
    let before = run.resume.as_ref().map(|before| before.arm(arm.position));
    let mut points = before.map_or_else(Vec::new, |before| before.points.clone());
    if points.len() < lambdas.len() {
        let trail = begin.map(warm::trail);
        let below = lambdas.first().is_some_and(|first| *first < problem.lambda_max());
        let begin = begin.zip(trail.as_ref()).filter(|_| below).map(|(point, trail)| Start { done: 0, point, trail, before: None });
        solver::path(problem, lambdas, before.and_then(ArmDone::start).or(begin), observe, &mut |index, point, trail| {
            if point.stop != Stop::Cancelled {
                (run.keep)(Done::Path { arm: arm.position, index, point: point.clone(), trail });
            }
            points.push(point);
        });
    }
    points
}
