//! The outer loop: gap on the full problem, working set, steps on it, again.
//!
//! A working set is one set of columns for each class. What it leaves out is checked by the gap of the full problem, whose
//! pass over X serves eight classes at a time. After each round everything is computed again from the coefficients and
//! the intercepts alone, so that a point is all that the next λ depends on.

use super::problem::Classes;
use super::shift::{self, Tie};
use super::{dual, lanes, project, rows};
use crate::matrix::{Column, Number};
use crate::solver::clock::Clock;
use crate::solver::{Point, Problem, Stop};

/// The inner goal as a share of the outer.
const INNER: f64 = 0.3;
/// A λ further below the last one than this is come to in steps of it.
const STAGE: f64 = 0.25;
/// Most Newton steps of a round, and of one whose working set is not the last.
const STEPS: usize = 100;
const ROUGH_STEPS: usize = 6;

/// The state of a solve, kept along a path.
pub(super) struct Engine<'p, 'a, V> {
    pub(super) problem: &'p Problem<'a>,
    pub(super) classes: &'p Classes,
    pub(super) values: &'a [V],
    pub(super) clock: Clock<'p>,
    /// Coefficients, class by class.
    pub(super) w: Vec<f64>,
    /// Where they are not 0: columns of each class, rising.
    pub(super) support: Vec<Vec<u32>>,
    pub(super) b: Vec<f64>,
    pub(super) eta: Vec<f64>,
    /// Probabilities at `eta`.
    pub(super) p: Vec<f64>,
    /// Mean loss there.
    pub(super) loss: f64,
    /// share·(1[y = k] − p), of the last evaluation also made orthogonal to what is not penalised: the dual point.
    pub(super) theta: Vec<f64>,
    /// X̃ᵀθ, class by class.
    pub(super) gradient: Vec<f64>,
    pub(super) lambda: f64,
    /// Goal for the relative gap; the problem's own unless a search needs it sharper.
    pub(super) tol: f64,
}

/// Which columns a round works on.
struct Choice {
    sets: Vec<Vec<u32>>,
    /// Whether they hold every entry that could move.
    complete: bool,
    /// Whether, besides, hardly any is new that could.
    settled: bool,
}

impl<'p, 'a, V: Number> Engine<'p, 'a, V> {
    /// At the null model.
    pub(super) fn new(problem: &'p Problem<'a>, classes: &'p Classes, values: &'a [V], clock: Clock<'p>) -> Self {
        let mut engine = Self::blank(problem, classes, values, clock, &classes.null);
        engine.lambda = problem.lambda_max();
        engine.evaluate();
        engine.gradient = classes.null_gradient.clone();
        engine
    }

    /// At a given point.
    pub(super) fn warm(problem: &'p Problem<'a>, classes: &'p Classes, values: &'a [V], clock: Clock<'p>, point: &Point) -> Self {
        let mut engine = Self::blank(problem, classes, values, clock, point);
        engine.evaluate();
        engine.pass();
        engine
    }

    fn blank(problem: &'p Problem<'a>, classes: &'p Classes, values: &'a [V], clock: Clock<'p>, point: &Point) -> Self {
        let (p, n_classes) = (problem.scale.len(), classes.n);
        let mut w = vec![0.0; p * n_classes];
        for ((&j, &k), &value) in point.columns.iter().zip(&point.classes).zip(&point.values) {
            if problem.scale.get(j as usize).is_some_and(|s| *s > 0.0) && (k as usize) < n_classes {
                w[k as usize * p + j as usize] = value;
            }
        }
        let mut b = point.intercepts.clone();
        b.resize(n_classes, 0.0);
        let mut engine = Self {
            problem,
            classes,
            values,
            clock,
            w,
            support: Vec::new(),
            b,
            eta: Vec::new(),
            p: Vec::new(),
            loss: 0.0,
            theta: Vec::new(),
            gradient: Vec::new(),
            lambda: point.lambda,
            tol: problem.options.tol,
        };
        engine.find_support();
        engine
    }

    /// The null model and X̃ᵀθ there; `None` when `clock` said stop.
    pub(super) fn null(problem: &'p Problem<'a>, classes: &'p Classes, values: &'a [V], clock: Clock<'p>) -> Option<(Point, Vec<f64>)> {
        let mut engine = Self::blank(problem, classes, values, clock, &classes.null);
        engine.evaluate();
        if !problem.free.is_empty() {
            let mut sets = vec![problem.free.clone(); classes.n];
            engine.improve(&mut sets, 1e-13 * problem.null_objective, STEPS);
            engine.evaluate();
        }
        engine.pass();
        engine.clock.progress.epoch = 0;
        let stop = Stop::Converged;
        (!engine.clock.cancelled).then(|| (engine.point(0.0, stop), engine.gradient))
    }

    pub(super) fn column(&self, j: u32) -> Column<'a, V> {
        self.problem.data.x.column(j as usize, self.values)
    }

    /// L1 and L2 penalty of an entry of column `j`.
    pub(super) fn bounds(&self, j: u32) -> (f64, f64) {
        (self.lambda * self.problem.l1[j as usize], self.lambda * self.problem.l2[j as usize])
    }

    pub(super) fn find_support(&mut self) {
        let rows = self.w.chunks(self.problem.scale.len().max(1)).map(|w| (0..w.len() as u32).filter(|&j| w[j as usize] != 0.0).collect());
        self.support = rows.collect();
        self.support.resize(self.classes.n, Vec::new());
    }

    pub(super) fn nonzeros(&self) -> usize {
        self.support.iter().map(Vec::len).sum()
    }

    /// F at the last evaluation.
    pub(super) fn primal(&self) -> f64 {
        self.loss + self.penalty()
    }

    pub(super) fn penalty(&self) -> f64 {
        let p = self.problem.scale.len();
        let of_class = |(k, support): (usize, &Vec<u32>)| -> f64 {
            let each = |&j: &u32| {
                let (w, (l1, l2)) = (self.w[k * p + j as usize], self.bounds(j));
                l1 * w.abs() + 0.5 * l2 * w * w
            };
            support.iter().map(each).sum()
        };
        self.support.iter().enumerate().map(of_class).sum()
    }

    /// Solves at `lambda` from where the engine is; a λ below 1e-14·λ_max is taken as that, and the point says so.
    pub(super) fn solve(&mut self, lambda: f64, index: usize) -> Point {
        let lambda = lambda.max(1e-14 * self.problem.lambda_max());
        self.clock.begin(lambda, index);
        while lambda < STAGE * STAGE.sqrt() * self.lambda && !self.clock.cancelled {
            self.pass_by(STAGE * self.lambda);
        }
        let previous = std::mem::replace(&mut self.lambda, lambda);
        let unit = self.problem.null_objective;
        let mut best_dual = f64::NEG_INFINITY;
        let (mut last_gap, mut last_primal) = (f64::INFINITY, f64::INFINITY);
        let (mut gap, mut goal, mut sharper, mut stalled, mut taken) = (f64::INFINITY, 0.0, 1.0, 0, 0);
        let stop = loop {
            let primal = self.primal();
            best_dual = best_dual.max(self.dual());
            if self.clock.cancelled {
                break Stop::Cancelled;
            }
            gap = ((primal - best_dual) / unit).max(0.0);
            self.clock.progress.relative_gap = Some(gap);
            self.clock.progress.nonzeros = self.nonzeros();
            if gap <= self.tol {
                break Stop::Converged;
            }
            if self.clock.progress.epoch >= self.problem.options.max_epochs || stalled >= 4 {
                break Stop::LimitReached;
            }
            let slow = gap > 0.5 * last_gap;
            let Choice { mut sets, complete, settled } = self.choose(previous, &mut taken, slow);
            // the goal within the set, not the set, is what held it up
            if gap > 0.3 * last_gap && (primal >= last_primal || goal > 0.1 * gap * unit) {
                sharper *= 0.2;
            }
            if complete && primal >= last_primal && gap >= 0.9 * last_gap {
                stalled += 1;
            }
            (last_gap, last_primal) = (gap, primal);
            // nothing new to speak of: the rest of the way can be gone at once
            let rest = if settled { 0.0 } else { 0.02 * gap.min(1.0) };
            goal = unit * sharper * (INNER * self.tol).max(rest);
            self.improve(&mut sets, goal, if settled { STEPS } else { ROUGH_STEPS });
            self.look_again();
        };
        let good_enough = stop == Stop::LimitReached && gap <= self.problem.options.tol;
        self.point(gap, if good_enough { Stop::Converged } else { stop })
    }

    /// One round at a λ on the way to another.
    fn pass_by(&mut self, lambda: f64) {
        let previous = std::mem::replace(&mut self.lambda, lambda);
        let gap = self.primal() - self.dual();
        let Choice { mut sets, .. } = self.choose(previous, &mut 0, false);
        self.improve(&mut sets, 0.1 * gap.min(self.problem.null_objective), ROUGH_STEPS);
        self.look_again();
    }

    /// After a round: everything from the coefficients and intercepts alone.
    fn look_again(&mut self) {
        shift::all(self, Tie::Sparse);
        self.evaluate();
        self.pass();
    }

    /// Best dual value at the last pass.
    fn dual(&mut self) -> f64 {
        dual::value(self.problem, self.classes, self.lambda, &self.theta, &self.gradient, &mut self.clock)
    }

    /// Recomputes η, probabilities and the dual point.
    pub(super) fn evaluate(&mut self) {
        let (n, p) = (self.classes.of_row.len(), self.problem.scale.len());
        self.eta.clear();
        for (k, &b) in self.b.iter().enumerate() {
            let start = self.eta.len();
            self.eta.resize(start + n, b);
            for &j in &self.support[k] {
                let column = self.problem.data.x.column(j as usize, self.values);
                if !self.clock.touch(column.nnz()) {
                    break;
                }
                column.add_to(self.w[k * p + j as usize], &mut self.eta[start..]);
            }
        }
        self.predict();
        self.theta.resize(self.eta.len(), 0.0);
        rows::residuals(&self.p, &self.problem.share, &self.classes.of_row, &mut self.theta);
        project::project(self.problem, self.values, &self.p, &mut self.theta, &mut self.clock);
    }

    /// Probabilities and loss at `eta`.
    pub(super) fn predict(&mut self) {
        let n = self.classes.of_row.len();
        self.p.resize(self.eta.len(), 0.0);
        let mut level = vec![0.0; n];
        rows::softmax(&self.eta, n, &mut self.p, &mut level, &mut self.clock);
        self.loss = rows::mean_loss(&self.eta, &level, &self.problem.share, &self.classes.of_row);
    }

    /// Looks at every column.
    fn pass(&mut self) {
        let base = self.problem;
        self.gradient.resize(self.w.len(), 0.0);
        lanes::multiply(base.data.x, &self.theta, &mut self.gradient, &mut self.clock);
        let p = self.problem.scale.len().max(1);
        for (gradient, theta) in self.gradient.chunks_mut(p).zip(self.theta.chunks(self.classes.of_row.len().max(1))) {
            let sum: f64 = if base.options.intercept { theta.iter().sum() } else { 0.0 };
            for ((gradient, center), scale) in gradient.iter_mut().zip(&base.center).zip(&base.scale) {
                *gradient = if *scale > 0.0 { *gradient - center * sum } else { 0.0 };
            }
        }
    }

    /// The next working set: ordered by distance to the dual constraint, growing geometrically; along a path it begins
    /// with the sequential strong rule (Tibshirani et al., JRSS-B 2012).
    fn choose(&mut self, previous: f64, taken: &mut usize, slow: bool) -> Choice {
        let (p, base) = (self.problem.scale.len(), self.problem);
        let strong = if slow { 0.0 } else { (2.0 - previous / self.lambda).clamp(0.0, 1.0) };
        let mut sets: Vec<Vec<u32>> = vec![base.free.clone(); self.classes.n];
        let mut candidates: Vec<(f64, u32, u32)> = Vec::new();
        let (mut kept, mut violators, mut live) = (0, 0, 0);
        for (k, gradient) in self.gradient.chunks(p.max(1)).enumerate() {
            self.clock.work(p);
            for (j, gradient) in gradient.iter().enumerate() {
                let (l1, l2) = (base.l1[j], base.l2[j]);
                if l1 == 0.0 && l2 == 0.0 {
                    continue;
                }
                live += 1;
                let bound = self.lambda * l1;
                let ratio = if bound > 0.0 { gradient.abs() / bound } else { f64::INFINITY };
                if self.w[k * p + j] != 0.0 {
                    sets[k].push(j as u32);
                    kept += 1;
                } else if ratio >= strong {
                    candidates.push((ratio, k as u32, j as u32));
                    violators += usize::from(ratio >= 1.0);
                }
            }
        }
        let usual = 2 * kept + 64 + 16 * self.classes.n;
        let take = usual.max(if slow { 2 * *taken } else { 0 }).min(candidates.len());
        *taken = take;
        if take < candidates.len() {
            candidates.select_nth_unstable_by(take, |a, b| b.0.total_cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));
        }
        let complete = kept + take == live || candidates[take..].iter().all(|candidate| candidate.0 < 1.0);
        candidates[..take].iter().for_each(|&(_, k, j)| sets[k as usize].push(j));
        sets.iter_mut().for_each(|set| set.sort_unstable());
        Choice { sets, complete, settled: complete && violators * 20 <= kept }
    }

    pub(super) fn point(&self, relative_gap: f64, stop: Stop) -> Point {
        let p = self.problem.scale.len();
        let mut entries: Vec<(u32, u32)> = Vec::with_capacity(self.nonzeros());
        self.support.iter().zip(0..).for_each(|(support, k)| entries.extend(support.iter().map(|&j| (j, k))));
        entries.sort_unstable();
        Point {
            lambda: self.lambda,
            columns: entries.iter().map(|entry| entry.0).collect(),
            classes: entries.iter().map(|entry| entry.1).collect(),
            values: entries.iter().map(|&(j, k)| self.w[k as usize * p + j as usize]).collect(),
            intercept: 0.0,
            intercepts: self.b.clone(),
            relative_gap,
            deviance: 2.0 * self.loss,
            epochs: self.clock.progress.epoch,
            full_passes: self.clock.touched as f64 / self.problem.data.x.nnz().max(1) as f64,
            stop: if self.clock.cancelled { Stop::Cancelled } else { stop },
        }
    }
}
