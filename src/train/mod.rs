//! Data set + specification → model: the one place that turns enums into solver types.
//!
//! Knows nothing of HTTP, SQL or clocks, and starts no threads but those of one cross-validation.

mod card;
mod choice;
mod measure;
mod progress;
mod target;
#[cfg(test)]
mod tests;

use std::ops::ControlFlow;

use crate::dataset::Dataset;
use crate::job::Progress;
use crate::model::Model;
use crate::solver::{self, Data, Point, Problem, Stop, Unfit};
use crate::spec::{Lambda, ResolvedFit, Selection, Standardize};

use progress::Tracker;
use target::Rows;

/// How a fit is run.
pub struct Run<'a> {
    /// Threads this fit may use; the result does not depend on it.
    pub threads: usize,
    /// Told how far the fit is, at least every few milliseconds; says whether to go on.
    pub observe: &'a (dyn Fn(&Progress) -> ControlFlow<()> + Sync),
}

/// Why there is no model.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum TrainError {
    /// `observe` said to stop.
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
    let problem = inputs.problem()?;
    go_on(tracker.prepared())?;
    let (points, bracket) = solve(&problem, spec, &tracker)?;
    let chosen = choice::choose(&inputs, spec, &rows, &points, bracket, run.threads, &tracker)?;
    let model = card::model(dataset, spec, &rows, &problem, &points, chosen);
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

impl<'a> Inputs<'a> {
    fn problem(&self) -> Result<Problem<'a>, TrainError> {
        Problem::new(self.data, self.loss, self.penalty, self.options).map_err(TrainError::from)
    }
}

/// The λ asked for, solved in falling order; with the bracket of a search.
fn solve(problem: &Problem<'_>, spec: &ResolvedFit, tracker: &Tracker<'_>) -> Result<(Vec<Point>, Option<[f64; 2]>), TrainError> {
    let observe = |at: &solver::Progress| tracker.path(at);
    let points = match &spec.lambda {
        Lambda::Value { value } => vec![solver::solve(problem, *value, None, &observe)],
        Lambda::TargetNonzeros { k } => {
            let found = solver::target_nonzeros(problem, usize::try_from(*k).unwrap_or(usize::MAX), &observe);
            return match found.point.stop {
                Stop::Cancelled => Err(TrainError::Cancelled),
                _ => Ok((vec![found.point], Some(found.bracket))),
            };
        }
        Lambda::Values { values } => path(problem, values, &observe),
        Lambda::Path { n, min_ratio } => {
            // A constant target has λ_max = 0 and every λ gives w = 0: any falling grid says so.
            let top = if problem.lambda_max() > 0.0 { problem.lambda_max() } else { 1.0 };
            path(problem, &solver::lambda_grid(top, *min_ratio, usize::try_from(*n).unwrap_or(usize::MAX)), &observe)
        }
    };
    match points.last().map(|point| point.stop) {
        Some(Stop::Converged | Stop::LimitReached) => Ok((points, None)),
        Some(Stop::Cancelled) | None => Err(TrainError::Cancelled),
    }
}

fn path(problem: &Problem<'_>, lambdas: &[f64], observe: &solver::Observe<'_>) -> Vec<Point> {
    let mut points = Vec::with_capacity(lambdas.len());
    match solver::path(problem, lambdas, observe, &mut |_, point| points.push(point)) {
        Stop::Cancelled => Vec::new(),
        Stop::Converged | Stop::LimitReached => points,
    }
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
