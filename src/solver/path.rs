//! Solutions at one λ and along a falling path of λ: working sets around [`descend`], the full problem's gap to stop.

use super::descent::{Goal, descend};
use super::dual;
use super::problem::Problem;
use super::state::State;
use super::watch::{Cancelled, Watch};
use super::{Observe, Stop};

/// A solution at one λ.
#[derive(Clone, Debug)]
pub struct Point {
    /// λ of this solution.
    pub lambda: f64,
    /// Positions of the stored columns whose coefficient is not 0, rising.
    pub columns: Vec<u32>,
    /// Their coefficients, on the original scale.
    pub values: Vec<f64>,
    /// Intercept on the original scale.
    pub intercept: f64,
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
pub fn solve(problem: &Problem<'_>, lambda: f64, warm: Option<&Point>, observe: &Observe<'_>) -> Point {
    let mut walk = Walk::new(problem, Watch::new(observe, problem.data.x.nnz()));
    if let Some(point) = warm {
        walk.start_from(point);
    }
    walk.step(0, lambda)
}

/// Solves at falling `lambdas`, each warm from the one before. `Converged` when every λ has converged,
/// `LimitReached` when one has not; a cancelled point is not handed out.
pub fn path(problem: &Problem<'_>, lambdas: &[f64], observe: &Observe<'_>, each: &mut dyn FnMut(usize, Point)) -> Stop {
    path_of_fold(problem, lambdas, None, observe, each)
}

pub(super) fn path_of_fold(
    problem: &Problem<'_>,
    lambdas: &[f64],
    fold: Option<usize>,
    observe: &Observe<'_>,
    each: &mut dyn FnMut(usize, Point),
) -> Stop {
    let mut watch = Watch::new(observe, problem.data.x.nnz());
    watch.progress.fold = fold;
    let mut walk = Walk::new(problem, watch);
    let mut all = Stop::Converged;
    for (index, &lambda) in lambdas.iter().enumerate() {
        let point = walk.step(index, lambda);
        match point.stop {
            Stop::Cancelled => return Stop::Cancelled,
            Stop::LimitReached => all = Stop::LimitReached,
            Stop::Converged => {}
        }
        each(index, point);
    }
    all
}

/// `n` values from `max` to `max · min_ratio`, log-spaced, both ends inclusive; `[max]` for n = 1.
pub fn lambda_grid(max: f64, min_ratio: f64, n: usize) -> Vec<f64> {
    let last = n.saturating_sub(1).max(1);
    let at = |i: usize| {
        if i == 0 {
            max
        } else if i == last {
            max * min_ratio
        } else {
            max * min_ratio.powf(i as f64 / last as f64)
        }
    };
    (0..n).map(at).collect()
}

/// Rounds of working sets without a smaller gap after which a solve is at the limit of double precision.
const STALLS_MAX: u32 = 8;
/// Least number of columns offered to a first working set.
const FIRST_SET: usize = 100;

/// A walk along λ: what is worth keeping from one solution to the next.
pub(super) struct Walk<'a, 'p> {
    problem: &'p Problem<'a>,
    state: State,
    /// Full gradient at `state`, if it is that of `state`.
    gradient: Option<Vec<f64>>,
    /// λ of the last step.
    lambda: f64,
    watch: Watch<'p>,
}

impl<'a, 'p> Walk<'a, 'p> {
    pub(super) fn new(problem: &'p Problem<'a>, watch: Watch<'p>) -> Self {
        Self { problem, state: State::at_null(problem), gradient: None, lambda: problem.lambda_max(), watch }
    }

    fn start_from(&mut self, point: &Point) {
        self.state = State::at(self.problem, &point.columns, &point.values, point.intercept);
        self.gradient = None;
        self.lambda = point.lambda;
    }

    /// Solves at `lambda` from where the walk stands.
    pub(super) fn step(&mut self, index: usize, lambda: f64) -> Point {
        let progress = &mut self.watch.progress;
        (progress.lambda, progress.lambda_index, progress.epoch, progress.relative_gap) = (lambda, index, 0, None);
        let before = self.watch.passes();
        let (relative_gap, stop) = match self.approach(lambda) {
            Ok(ended) => ended,
            Err(Cancelled) => (f64::INFINITY, Stop::Cancelled),
        };
        self.lambda = lambda;
        let columns = self.state.support();
        let values = columns.iter().map(|&j| self.state.u[j as usize] * self.problem.shrink[j as usize]).collect();
        Point {
            lambda,
            columns,
            values,
            intercept: self.state.intercept,
            relative_gap,
            deviance: 2.0 * self.state.loss_value(self.problem),
            epochs: self.watch.progress.epoch,
            full_passes: self.watch.passes() - before,
            stop,
        }
    }

    /// Rounds of: gradient and gap of the full problem; a working set; descent on it.
    fn approach(&mut self, lambda: f64) -> Result<(f64, Stop), Cancelled> {
        let (tol, unit) = (self.problem.options.tol, self.problem.gap_unit());
        let mut best = f64::INFINITY;
        let (mut stalls, mut share, mut size) = (0, 0.3_f64, 0);
        let mut last = self.lambda;
        loop {
            self.watch.look()?;
            let gradient = match self.gradient.take() {
                Some(gradient) => gradient,
                None => self.state.gradient(self.problem, &mut self.watch)?,
            };
            let gap = (dual::gap(self.problem, &self.state, &gradient, lambda) / unit).max(0.0);
            self.watch.progress.relative_gap = Some(gap);
            let spent = self.watch.progress.epoch;
            let ended = if gap <= tol {
                Some(Stop::Converged)
            } else if stalls >= STALLS_MAX || spent >= self.problem.options.max_epochs {
                Some(Stop::LimitReached)
            } else {
                None
            };
            if let Some(stop) = ended {
                self.gradient = Some(gradient);
                return Ok((gap, stop));
            }
            let (members, complete) = self.working_set(&gradient, lambda, last, &mut size);
            last = lambda;
            // Nobody outside violates: what is left of the gap is the set's own, so it must be solved further.
            if complete && gap > 0.7 * best {
                share *= 0.1;
            }
            stalls = if gap < 0.9 * best { 0 } else { stalls + 1 };
            best = best.min(gap);
            let aim = if complete { tol } else { tol.max(0.1 * gap) };
            let goal = Goal { lambda, gap: share * aim * unit, sweeps: self.problem.options.max_epochs - spent };
            descend(self.problem, &mut self.state, &members, goal, &mut self.watch)?;
            self.watch.progress.nonzeros = members.iter().filter(|&&j| self.state.u[j as usize] != 0.0).count();
        }
    }

    /// The support and the columns nearest to entering it; and whether it holds every column that violates.
    /// Along a path these are the columns the strong rule keeps (Tibshirani et al., JRSS-B 2012).
    fn working_set(&self, gradient: &[f64], lambda: f64, last: f64, size: &mut usize) -> (Vec<u32>, bool) {
        let l1 = lambda * self.problem.l1_ratio;
        let strong = self.problem.l1_ratio * (2.0 * lambda - last.max(lambda)).max(0.0);
        let mut members = Vec::new();
        let mut candidates = Vec::new();
        for (j, gradient) in gradient.iter().enumerate() {
            let factor = self.problem.factor(j);
            if self.state.u[j] != 0.0 || (factor * self.problem.l1_ratio == 0.0 && self.problem.shrink[j] > 0.0) {
                members.push(j as u32);
            } else if factor > 0.0 && self.problem.shrink[j] > 0.0 && gradient.abs() > factor * 0.5 * strong.min(l1) {
                candidates.push((gradient.abs() / factor, j as u32));
            }
        }
        let violators = candidates.iter().filter(|(score, _)| *score > l1).count();
        let near = candidates.iter().filter(|(score, _)| *score > strong).count();
        // Geometric growth: at least as many as the support, at least twice the last offer while columns still violate.
        let wanted = members.len().max(FIRST_SET).max(if violators > 0 { 2 * *size } else { *size });
        let take = wanted.min(near.max(violators).max(FIRST_SET)).min(candidates.len());
        if take < candidates.len() {
            candidates.select_nth_unstable_by(take, |a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        }
        *size = take.max(*size);
        members.extend(candidates[..take].iter().map(|&(_, j)| j));
        members.sort_unstable();
        (members, violators <= take)
    }
}
