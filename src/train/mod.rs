//! Data set + specification → model: the one place that turns enums into solver types.
//!
//! Knows nothing of HTTP, SQL or clocks, and starts no threads but those of one cross-validation.

mod card;
mod checkpoint;
mod choice;
mod measure;
mod progress;
mod target;
#[cfg(test)]
mod tests;

use std::ops::ControlFlow;

pub use checkpoint::{Checkpoint, Done, Part, fingerprint};

use crate::dataset::Dataset;
use crate::job::Progress;
use crate::model::Model;
use crate::solver::{self, Data, Point, Problem, Stop, Unfit};
use crate::spec::{Lambda, ResolvedFit, Selection, Standardize};

use progress::Tracker;
use target::Rows;

/// How a fit is run. Nothing of it changes the result of a fit that comes to its end.
pub struct Run<'a> {
    /// Threads this fit may use.
    pub threads: usize,
    /// Told how far the fit is, at least every few milliseconds; says whether to go on.
    pub observe: &'a Observe<'a>,
    /// What was done before.
    pub resume: Option<Checkpoint>,
    /// Told of each λ that is done; may be called from several threads.
    pub keep: &'a (dyn Fn(Done) + Sync),
    /// Called first on every thread that the fit starts.
    pub on_thread: &'a (dyn Fn() + Sync),
}

/// Told how far the fit is; says whether to go on, and if not, what is wanted of it.
pub type Observe<'a> = dyn Fn(&Progress) -> ControlFlow<Leave> + Sync + 'a;

/// What is wanted of a fit that is told to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// Nothing.
    Nothing,
    /// The best model it has; how far it got is said in its warnings.
    Best,
}

impl<'a> Run<'a> {
    /// A fit from its beginning that nobody keeps anything of.
    pub fn new(threads: usize, observe: &'a Observe<'a>) -> Self {
        Self { threads, observe, resume: None, keep: &|_| (), on_thread: &|| () }
    }
}

/// Why there is no model.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum TrainError {
    /// `observe` said to stop, and there is nothing worth keeping or nothing was wanted.
    #[error("cancelled")]
    Cancelled,
    /// The data cannot be fitted as asked: code and sentence for the job's `error`.
    #[error("{detail}")]
    Unfit {
        /// Machine word, as `numerical_error` or `invalid_target`.
        code: &'static str,
        /// For a person.
        detail: String,
    },
}

/// Fits, selects, certifies.
pub fn fit(dataset: &Dataset, spec: &ResolvedFit, run: &Run<'_>) -> Result<Model, TrainError> {
    let tracker = Tracker::new(run, spec);
    go_on(tracker.begin())?;
    let rows = Rows::of(dataset, spec)?;
    let factors = target::factors(dataset, spec)?;
    let inputs = Inputs {
        data: rows.data(dataset),
        loss: rows.loss,
        penalty: solver::Penalty { l1_ratio: spec.penalty.l1_ratio, factors: factors.as_deref() },
        options: solver::Options {
            intercept: spec.intercept,
            standardize: spec.standardize == Standardize::Scale,
            tol: spec.solver.tol,
            max_epochs: spec.solver.max_epochs,
        },
    };
    let problem = Problem::new(inputs.data, inputs.loss, inputs.penalty, inputs.options, &|at| tracker.preparing(at))?;
    go_on(tracker.prepared())?;
    let solved = solve(&problem, spec, run, &tracker)?;
    let chosen = choice::choose(&inputs, spec, &rows, &solved, run, &tracker)?;
    let model = card::model(dataset, spec, &rows, &problem, &solved.points, chosen, &|at| tracker.finishing(at))?;
    let finite = model.card.intercept.is_finite() && model.values.iter().all(|value| value.is_finite());
    finite.then_some(model).ok_or_else(|| unfit("numerical_error", "A coefficient is not a finite number."))
}

/// Everything a problem is made of; folds make theirs of it too.
struct Inputs<'a> {
    data: Data<'a>,
    loss: solver::Loss,
    penalty: solver::Penalty<'a>,
    options: solver::Options,
}

/// The path, or what there is of it.
struct Solved {
    points: Vec<Point>,
    /// λ_low and λ_high of a search for a number of non-zeros.
    bracket: Option<[f64; 2]>,
    /// Why it is not all that was asked for.
    cut: Option<String>,
}

/// The λ asked for, solved in falling order. What a stop leaves is given on when it is wanted and worth something.
fn solve(problem: &Problem<'_>, spec: &ResolvedFit, run: &Run<'_>, tracker: &Tracker<'_>) -> Result<Solved, TrainError> {
    let observe = |at: &solver::Progress| tracker.path(at);
    let (mut points, bracket, total) = match &spec.lambda {
        Lambda::Value { value } => (vec![solver::solve(problem, *value, None, &observe)], None, 1),
        Lambda::TargetNonzeros { k } => {
            let found = solver::target_nonzeros(problem, usize::try_from(*k).unwrap_or(usize::MAX), &observe);
            (vec![found.point], Some(found.bracket), if found.whole { 1 } else { 2 })
        }
        Lambda::Values { values } => (path(problem, values, run, &observe), None, values.len()),
        Lambda::Path { n, min_ratio } => {
            // A constant target has λ_max = 0 and every λ gives w = 0: any falling grid says so.
            let top = if problem.lambda_max() > 0.0 { problem.lambda_max() } else { 1.0 };
            let n = usize::try_from(*n).unwrap_or(usize::MAX);
            (path(problem, &solver::lambda_grid(top, *min_ratio, n), run, &observe), None, n)
        }
    };
    let cut = points.len() < total || points.iter().any(|point| point.stop == Stop::Cancelled);
    if !cut {
        return Ok(Solved { points, bracket, cut: None });
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
    let cut = match (&spec.lambda, done) {
        (_, 0) => "this is the point the solver was at.".to_owned(),
        (Lambda::TargetNonzeros { .. }, _) => "the search for the number of non-zeros had not ended.".to_owned(),
        _ => format!("{done} of {total} values of λ were done; this is the last of them."),
    };
    Ok(Solved { points, bracket, cut: Some(cut) })
}

fn path(problem: &Problem<'_>, lambdas: &[f64], run: &Run<'_>, observe: &solver::Observe<'_>) -> Vec<Point> {
    let mut points = run.resume.as_ref().map_or_else(Vec::new, |before| before.points.clone());
    let start = run.resume.as_ref().and_then(Checkpoint::start);
    if points.len() < lambdas.len() {
        solver::path(problem, lambdas, start, observe, &mut |index, point, trail| {
            if point.stop != Stop::Cancelled {
                (run.keep)(Done::Path { index, point: point.clone(), trail });
            }
            points.push(point);
        });
    }
    points
}

/// Ends the fit where `observe` said so.
fn go_on(flow: ControlFlow<()>) -> Result<(), TrainError> {
    if flow.is_break() { Err(TrainError::Cancelled) } else { Ok(()) }
}

fn unfit(code: &'static str, detail: impl Into<String>) -> TrainError {
    TrainError::Unfit { code, detail: detail.into() }
}

impl From<Unfit> for TrainError {
    fn from(why: Unfit) -> Self {
        let code = match why {
            Unfit::Stopped => return Self::Cancelled,
            Unfit::NonFinite => "numerical_error",
            Unfit::NoWeight => "invalid_weight",
            // What is left is impossible after the checks of ingest and specification.
            _ => "invalid_target",
        };
        unfit(code, why.to_string())
    }
}

/// Folds and seed of a cross-validation, if the specification asks for one.
fn cv_of(spec: &ResolvedFit) -> Option<(u64, bool, u64, crate::spec::Rule)> {
    match &spec.selection {
        Selection::Cv { folds, stratify, seed, rule, .. } => Some((*folds, *stratify, *seed, *rule)),
        Selection::None => None,
    }
}
