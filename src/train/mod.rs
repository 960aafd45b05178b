//! Data set + specification → model, data set + model → measures: the one place that turns enums into solver types.
//!
//! Knows nothing of HTTP, SQL or clocks, and starts no threads but those of one cross-validation, or of halves of the rows.

mod adaptive;
mod any;
mod arm;
mod card;
mod checkpoint;
mod choice;
mod classes;
mod compare;
mod criteria;
mod distill;
mod ensemble;
mod equivalents;
mod evaluate;
mod evaluate_classes;
mod evaluate_ensemble;
mod evaluate_network;
mod evaluate_rules;
mod evaluate_tree;
mod held_out;
mod held_out_rows;
mod latency;
mod measure;
mod network;
mod parts;
mod plan;
mod progress;
mod promote;
mod prune;
mod ranking;
mod relaxed;
mod restricted;
mod rounds;
mod rules;
mod selected;
mod stability;
mod target;
#[cfg(test)]
mod tests;
mod tree;
mod warm;

use std::ops::ControlFlow;

pub use any::fit_any;
pub use checkpoint::{Checkpoint, Done, Part, fingerprint};
pub use compare::{Contender, Origin, compare};
pub use distill::{Student, TeacherModel, distill};
pub use ensemble::{GrownEnsemble, ensemble};
pub use evaluate::{Evaluation, evaluate};
pub use latency::{Clock, latency_us, layers_us};
pub use network::{PrunedNetwork, TrainedNetwork, network, prune_network};
pub use promote::promote;
pub use prune::{Base, Pruned, prune};
pub use rules::rules;
pub use tree::grow;
pub use warm::Begin;

use crate::dataset::Dataset;
use crate::job::Progress;
use crate::model::{LinearModel, PathPoints};
use crate::solver::{self, Data, Point, Problem, Unfit};
use crate::spec::{ResolvedFit, Standardize};

use adaptive::Adapted;
use arm::Solved;
use choice::Chosen;
use plan::{Plan, Role};
use progress::Tracker;
use selected::{Pilot, Twin};
use target::{Compared, Rows};

/// How a fit is run. Nothing of it changes the result of a fit that comes to its end.
pub struct Run<'a> {
    /// Threads this fit may use.
    pub threads: usize,
    /// Told how far the fit is, at least every few milliseconds; says whether to go on.
    pub observe: &'a Observe<'a>,
    /// What was done before.
    pub resume: Option<Checkpoint>,
    /// The model that the specification says to begin at.
    pub begin: Option<Begin<'a>>,
    /// Told of each λ that is done; may be called from several threads.
    pub keep: &'a (dyn Fn(Done) + Sync),
    /// Told of the points of a path, once a model was made of one of them.
    pub points: &'a (dyn Fn(PathPoints) + Sync),
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
        Self { threads, observe, resume: None, begin: None, keep: &|_| (), points: &|_| (), on_thread: &|| () }
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
pub fn fit(dataset: &Dataset, spec: &ResolvedFit, run: &Run<'_>) -> Result<LinearModel, TrainError> {
    let plan = Plan::of(spec);
    let tracker = Tracker::new(run, spec, &plan);
    go_on(tracker.begin())?;
    let rows = Rows::of(dataset, spec)?;
    let given = target::factors(dataset, spec)?;
    let groups = target::Groups::of(dataset, spec)?;
    let intervals = target::Intervals::of(dataset, spec)?;
    let inputs = Inputs::of(dataset, spec, &rows, groups.as_ref(), intervals.as_ref());
    let begin = warm::columns(dataset, spec, run.begin.as_ref())?;
    let fitter = Fitter { spec, begin: begin.as_ref(), plan: &plan, inputs: &inputs, rows: &rows, run, tracker: &tracker };
    let (pilot, ridge) = fitter.pilot(given.as_deref())?;
    let factors = pilot.as_ref().map(|pilot| pilot.adapted.factors.as_slice()).or(given.as_deref());
    let Candidates { mut solved, last, cut } = fitter.candidates(factors)?;
    let mut chosen = choice::choose(spec, &rows, inputs.data.x.len(), &solved, cut)?;
    let restricted = chosen.stability.as_ref().map(|found| restricted::factors(factors, &found.stable, inputs.data.x.len()));
    let twin = fitter.twin(given.as_deref(), ridge, &mut chosen)?;
    let last = last.filter(|_| restricted.is_none());
    let problem = fitter.problem_of(&chosen, solved.len(), last, restricted.as_deref().or(factors))?;
    let path = solved.swap_remove(chosen.arm);
    let finish = |at: &solver::Progress| tracker.finishing(at);
    let restricted = restricted.as_ref().map(|_| restricted::solve(&problem, &path.points, chosen.index, spec, &finish)).transpose()?;
    let (pilot, groups) = (pilot.as_ref(), groups.as_ref());
    let parts =
        card::Parts { dataset, spec, rows: &rows, inputs: &inputs, problem: &problem, path: &path, restricted, pilot, twin, groups };
    let model = card::model(&parts, chosen, &finish)?;
    let intercepts = model.card.intercepts.iter().flatten().chain([&model.card.intercept]);
    let finite = intercepts.chain(&model.values).all(|value| value.is_finite());
    if finite && let Some(points) = promote::points(dataset, spec, &path, pilot, rows.loss) {
        (run.points)(points);
    }
    finite.then_some(model).ok_or_else(|| unfit("numerical_error", "A coefficient is not a finite number."))
}

/// Everything a problem is made of but its penalty; folds make theirs of it too.
struct Inputs<'a> {
    data: Data<'a>,
    loss: Compared,
    /// The form of the penalty asked for.
    shape: solver::Shape<'a>,
    /// Where coefficients must stay, those of a pilot and of a ridge to compare with too.
    bounds: Option<solver::Bounds<'a>>,
    options: solver::Options,
}

impl<'a> Inputs<'a> {
    fn of(
        dataset: &'a Dataset,
        spec: &ResolvedFit,
        rows: &'a Rows<'_>,
        groups: Option<&'a target::Groups>,
        intervals: Option<&'a target::Intervals>,
    ) -> Self {
        let options = solver::Options {
            intercept: spec.intercept,
            standardize: spec.standardize == Standardize::Scale,
            tol: spec.solver.tol,
            max_epochs: spec.solver.max_epochs,
        };
        let bounds = intervals.map(target::Intervals::bounds);
        Self { data: rows.data(dataset), loss: rows.loss, shape: target::shape(spec, groups), bounds, options }
    }

    /// The problem with a penalty of this ratio and these factors.
    fn problem<'p>(&self, l1_ratio: f64, factors: Option<&'p [f64]>, observe: &solver::Observe<'_>) -> Result<Problem<'p>, Unfit>
    where
        'a: 'p,
    {
        let penalty = solver::Penalty { l1_ratio, factors, shape: self.shape, bounds: self.bounds };
        self.loss.problem(self.data, penalty, self.options, observe)
    }
}

/// The paths that may become the model.
struct Candidates<'p> {
    solved: Vec<Solved>,
    /// The problem of the last of them, if it is at hand.
    last: Option<Problem<'p>>,
    /// Why it is not all that was asked for.
    cut: Option<String>,
}

/// Walks the plan.
struct Fitter<'f> {
    spec: &'f ResolvedFit,
    /// Where paths that may become the model begin.
    begin: Option<&'f Point>,
    plan: &'f Plan<'f>,
    inputs: &'f Inputs<'f>,
    rows: &'f Rows<'f>,
    run: &'f Run<'f>,
    tracker: &'f Tracker<'f>,
}

impl<'f> Fitter<'f> {
    /// The fit that an adaptive penalty takes its factors from, chosen by the least deviance of the rows held out; and
    /// what was measured of it, if it is a ridge and the twin asked for would be the same.
    fn pilot(&self, given: Option<&'f [f64]>) -> Result<(Option<Pilot>, Option<Twin>), TrainError> {
        let (Some(arm), Some(adaptive)) = (self.plan.of_role(Role::Pilot).next(), &self.spec.penalty.adaptive) else {
            return Ok((None, None));
        };
        let (solved, problem) = arm::solve(self.inputs, given, arm, None, self.rows, self.run, self.tracker)?;
        if solved.cut.is_some() {
            // without its factors there is no model of the kind asked for
            return Err(TrainError::Cancelled);
        }
        let twin = Twin::of(&solved);
        let index = twin.as_ref().map_or(solved.points.len() - 1, |twin| twin.index);
        let point = solved.points[index].clone();
        let adapted: Adapted = adaptive::factors(&problem, &point, given, adaptive);
        Ok((Some(Pilot { adapted, l1_ratio: arm.l1_ratio, point }), twin.filter(|_| self.spec.compare_ridge && arm.l1_ratio == 0.0)))
    }

    /// Every path that may become the model. When the time is up, those that are done choose among themselves; of the
    /// first of several counts what there is of it.
    fn candidates<'p>(&self, factors: Option<&'p [f64]>) -> Result<Candidates<'p>, TrainError>
    where
        'f: 'p,
    {
        let all = self.plan.of_role(Role::Candidate).count();
        let (mut solved, mut last) = (Vec::with_capacity(all), None);
        for arm in self.plan.of_role(Role::Candidate) {
            // one problem at a time: it has the length of the columns
            drop(last.take());
            let begun = solved.len();
            let (path, problem) = match arm::solve(self.inputs, factors, arm, self.begin, self.rows, self.run, self.tracker) {
                Ok((path, _)) if path.cut.is_some() && begun > 0 => {
                    return Ok(Candidates { solved, last: None, cut: Some(ratios_done(begun, all)) });
                }
                Err(TrainError::Cancelled) if begun > 0 && self.tracker.best_is_wanted() => {
                    return Ok(Candidates { solved, last: None, cut: Some(ratios_done(begun, all)) });
                }
                other => other?,
            };
            let cut = path.cut.clone();
            solved.push(path);
            last = Some(problem);
            if cut.is_some() {
                return Ok(Candidates { solved, last, cut });
            }
        }
        Ok(Candidates { solved, last, cut: None })
    }

    /// Ridge on the same rows, for comparison. When the time is up there is none, and `chosen` says so.
    fn twin(&self, given: Option<&'f [f64]>, ridge: Option<Twin>, chosen: &mut Chosen) -> Result<Option<Twin>, TrainError> {
        if ridge.is_some() {
            return Ok(ridge);
        }
        let Some(arm) = self.plan.of_role(Role::Twin).next().filter(|_| chosen.cut.is_none()) else { return Ok(None) };
        match arm::solve(self.inputs, given, arm, None, self.rows, self.run, self.tracker) {
            Ok((solved, _)) if solved.cut.is_none() => Ok(Twin::of(&solved)),
            Err(error) if error != TrainError::Cancelled || !self.tracker.best_is_wanted() => Err(error),
            _ => {
                chosen.cut = Some("the ridge to compare with was not done.".into());
                Ok(None)
            }
        }
    }

    /// The problem of the path chosen, made again if it was not the last.
    fn problem_of<'p>(
        &self,
        chosen: &Chosen,
        n_solved: usize,
        last: Option<Problem<'p>>,
        factors: Option<&'p [f64]>,
    ) -> Result<Problem<'p>, TrainError>
    where
        'f: 'p,
    {
        if let Some(problem) = last.filter(|_| chosen.arm + 1 == n_solved) {
            return Ok(problem);
        }
        let l1_ratio = self.plan.of_role(Role::Candidate).nth(chosen.arm).map_or(1.0, |arm| arm.l1_ratio);
        Ok(self.inputs.problem(l1_ratio, factors, &|at| self.tracker.finishing(at))?)
    }
}

fn ratios_done(done: usize, all: usize) -> String {
    format!("{done} of {all} values of l1_ratio were done; they choose.")
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
