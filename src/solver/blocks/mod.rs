//! The lane of the penalties beyond the elastic net: groups, sparse groups, MCP and SCAD.
//!
//! The outer loop is that of the elastic net: a look at all columns, a working set, the problem on it, again. What is moved
//! together is a block: a group, or a column by itself. A convex penalty ends at its duality gap; a folded concave one at its
//! largest violation of stationarity as a share of λ, and comes down to a λ from larger ones, since what it finds depends on
//! where it begins (Breheny & Huang, Ann. Appl. Stat. 2011).
//!
//! Every λ begins from what a [`Trail`](super::Trail) says, as in the other lane.

mod columns;
mod inner;
mod products;
mod rule;

use self::inner::Aim;
pub(super) use self::rule::Rule;
use self::rule::{critical, norm};
use super::clock::Clock;
use super::descent::Engine;
use super::dual::{Side, dual_value};
use super::gram::Products;
use super::newton::{Bend, FLOOR};
use super::{Groups, Loss, Penalty, Point, Problem, Shape, Stop, Unfit};
use crate::matrix::Number;

/// The inner goal as a share of the outer.
const INNER: f64 = 0.3;
/// A λ further below the last one than this is come to in steps of it.
const STAGE: f64 = 0.7;
/// The measure to which a λ on the way is solved.
const ON_THE_WAY: f64 = 1e-2;
/// Working sets for one λ, until it counts as no progress that there are more.
const ROUNDS: usize = 500;
/// Newton steps on one working set.
const NEWTON_STEPS: usize = 100;

/// Columns that are penalised together.
#[derive(Debug)]
pub(crate) struct Blocks {
    /// The columns that may move, by blocks, rising within each.
    members: Vec<u32>,
    /// Where each block begins in `members`, and the end.
    starts: Vec<usize>,
    /// √|g|·(1 − l1_ratio).
    weights: Vec<f64>,
    /// The block of each column; that of one that may not move means nothing.
    of: Vec<u32>,
}

impl Blocks {
    pub(crate) fn new(groups: Groups, l1_ratio: f64, scale: &[f64]) -> Self {
        let mut starts = vec![0; groups.sizes.len() + 1];
        let live = || (0..scale.len()).filter(|&j| scale[j] > 0.0);
        live().for_each(|j| starts[groups.of_column[j] as usize + 1] += 1);
        (0..groups.sizes.len()).for_each(|g| starts[g + 1] += starts[g]);
        let mut next = starts.clone();
        let mut members = vec![0; starts[groups.sizes.len()]];
        for j in live() {
            let place = &mut next[groups.of_column[j] as usize];
            members[*place] = j as u32;
            *place += 1;
        }
        let weights = groups.sizes.iter().map(|&size| f64::from(size).sqrt() * (1.0 - l1_ratio)).collect();
        Self { members, starts, weights, of: groups.of_column.to_vec() }
    }

    fn len(&self) -> usize {
        self.weights.len()
    }

    /// Its columns, rising.
    pub(crate) fn columns(&self, g: usize) -> &[u32] {
        &self.members[self.starts[g]..self.starts[g + 1]]
    }

    pub(crate) fn of(&self, j: u32) -> usize {
        self.of[j as usize] as usize
    }

    /// For each block the λ from which on it stays at 0, given X̃ᵀθ.
    /// Worth nothing when `clock` said stop.
    pub(crate) fn critical(&self, gradient: &[f64], l1: &[f64], scale: &[f64], clock: &mut Clock) -> Vec<f64> {
        let mut sides = Vec::new();
        let mut each = |g: usize| {
            sides.clear();
            if !clock.work(2 * self.columns(g).len()) {
                return 0.0;
            }
            sides.extend(self.columns(g).iter().map(|&j| j as usize).map(|j| (gradient[j] / scale[j], l1[j] / scale[j])));
            critical(&mut sides, self.weights[g])
        };
        (0..self.len()).map(&mut each).collect()
    }
}

/// What the types of a penalty do not say.
pub(crate) fn check(penalty: &Penalty, n_columns: usize) -> Result<(), Unfit> {
    match penalty.shape {
        Shape::Net => Ok(()),
        Shape::Groups(Groups { of_column, sizes }) => {
            let inside = of_column.iter().all(|&g| (g as usize) < sizes.len()) && sizes.iter().all(|&size| size > 0);
            if of_column.len() != n_columns || !inside {
                return Err(Unfit::Shape);
            }
            if penalty.l1_ratio < 1.0 { Ok(()) } else { Err(Unfit::Penalty) }
        }
        Shape::L0 => {
            if penalty.l1_ratio == 1.0 {
                Ok(())
            } else {
                Err(Unfit::Penalty)
            }
        }
        Shape::Mcp { gamma } | Shape::Scad { gamma } => {
            let least = if matches!(penalty.shape, Shape::Mcp { .. }) { 1.0 } else { 2.0 };
            let legal = gamma > least && gamma.is_finite() && penalty.l1_ratio == 1.0;
            if legal { Ok(()) } else { Err(Unfit::Penalty) }
        }
    }
}

impl Problem<'_> {
    /// The rule of this lane, if the penalty belongs to it.
    pub(crate) fn rule(&self) -> Option<Rule> {
        match self.penalty.shape {
            Shape::Net => None,
            Shape::Groups(_) => Some(Rule::Groups),
            Shape::Mcp { gamma } => Some(Rule::Mcp { gamma }),
            Shape::Scad { gamma } => Some(Rule::Scad { gamma }),
            Shape::L0 => Some(Rule::L0),
        }
    }

    /// Whether the penalty is not convex, so that there is no duality gap.
    pub(crate) fn is_folded(&self) -> bool {
        self.rule().is_some_and(|rule| !rule.is_convex())
    }
}

/// A working set.
struct Choice {
    /// Its columns, rising; whole blocks.
    set: Vec<u32>,
    /// Whether it holds every block that could move.
    complete: bool,
}

impl<'p, 'a, V: Number> Engine<'p, 'a, V> {
    /// Solves at `lambda` from where the engine is.
    pub(super) fn solve_by_blocks(&mut self, rule: Rule, lambda: f64) -> Point {
        if self.theta.is_empty() {
            self.evaluate();
        }
        if self.gradient.values.is_empty() {
            self.pass();
        }
        // equal steps, none longer than a stage
        let from = self.lambda;
        let steps = if lambda < from { ((lambda / from).ln() / STAGE.ln()).ceil() } else { 1.0 };
        for step in 1..steps as u32 {
            let way = f64::from(step) / steps;
            self.come_to(rule, from * ((lambda / from).ln() * way).exp(), ON_THE_WAY.max(self.tol));
        }
        let tol = self.tol;
        let (measure, stop) = self.come_to(rule, lambda, tol);
        if self.problem.loss != Loss::Squared {
            // the next λ takes its own
            self.products = Products::default();
            self.bend = Bend::default();
        }
        let good_enough = stop == Stop::LimitReached && measure <= self.problem.options.tol;
        self.point(measure, if good_enough { Stop::Converged } else { stop })
    }

    /// Goes on from another point.
    pub(super) fn go_back_to(&mut self, point: &Point) {
        let tol = self.tol;
        *self = Self::warm(self.problem, self.values, self.clock, point);
        self.tol = tol;
    }

    /// Solves at `lambda` until the measure is at most `tol`.
    fn come_to(&mut self, rule: Rule, lambda: f64, tol: f64) -> (f64, Stop) {
        let previous = std::mem::replace(&mut self.lambda, lambda);
        let mut primal = self.primal();
        let mut best_dual = f64::NEG_INFINITY;
        let (mut last, mut goal, mut sharper, mut stalled, mut rounds) = (f64::INFINITY, f64::INFINITY, 1.0, 0, 0);
        let unit = if rule.is_convex() { self.problem.unit() } else { lambda };
        loop {
            let at_bounds = self.at_bounds(rule);
            let measure = match rule {
                Rule::Groups => {
                    best_dual = best_dual.max(self.dual_of_blocks(&at_bounds));
                    ((primal - best_dual) / unit).max(0.0)
                }
                _ => self.violation_of_all(rule) / unit,
            };
            if self.clock.cancelled {
                return (measure, Stop::Cancelled);
            }
            self.clock.progress.relative_gap = Some(measure);
            self.clock.progress.nonzeros = self.support.len();
            if measure <= tol {
                return (measure, Stop::Converged);
            }
            if self.clock.progress.epoch >= self.problem.options.max_epochs || stalled >= 6 {
                return (measure, Stop::LimitReached);
            }
            let slow = measure > 0.5 * last;
            let Choice { set, complete } = self.choose_blocks(rule, previous, &at_bounds, slow);
            if measure > 0.3 * last && goal > 0.1 * measure * unit {
                sharper *= 0.2;
            }
            rounds += 1;
            if (complete && measure >= 0.9 * last) || rounds > ROUNDS {
                stalled += 1;
            }
            last = measure;
            let rest = if complete { 0.0 } else { 0.02 * measure.min(1.0) };
            goal = unit * sharper * (INNER * tol).max(rest);
            self.improve_blocks(rule, &set, primal, goal);
            primal = self.evaluate();
            self.pass();
        }
    }

    /// λ·(the penalty) at the present coefficients.
    pub(super) fn penalty_of_blocks(&self, rule: Rule) -> f64 {
        let (lambda, problem) = (self.lambda, self.problem);
        let u = |j: u32| self.w[j as usize] * problem.scale[j as usize];
        let l1 = |j: u32| lambda * (problem.l1[j as usize] / problem.scale[j as usize]);
        let Some(blocks) = &problem.blocks else {
            return self.support.iter().map(|&j| rule.value(u(j), l1(j), 0.0)).sum();
        };
        let mut seen: Vec<usize> = self.support.iter().map(|&j| blocks.of(j)).collect();
        seen.sort_unstable();
        seen.dedup();
        let of_groups: f64 = seen.into_iter().map(|g| blocks.weights[g] * norm(blocks.columns(g).iter().map(|&j| u(j)))).sum();
        lambda * of_groups + self.support.iter().map(|&j| l1(j) * u(j).abs()).sum::<f64>()
    }

    /// For each group the λ from which on its gradient is within its bound; nothing for single columns.
    fn at_bounds(&mut self, rule: Rule) -> Vec<f64> {
        let theta = if rule.is_convex() { &self.dual } else { &self.theta };
        self.gradient.look_closer(self.problem, self.values, theta, self.lambda, &mut self.clock);
        let Some(blocks) = &self.problem.blocks else { return Vec::new() };
        blocks.critical(&self.gradient.values, &self.problem.l1, &self.problem.scale, &mut self.clock)
    }

    /// The dual value at the last pass: every group within its bound at one scale of θ.
    fn dual_of_blocks(&mut self, at_bounds: &[f64]) -> f64 {
        let tightest = at_bounds.iter().copied().fold(0.0, f64::max);
        let side = Side { l1: self.lambda, l2: 0.0, c: tightest, reach: f64::INFINITY };
        dual_value(self.problem, (&self.dual, None), std::iter::once(side), self.gradient.slack(), &mut self.clock)
    }

    /// The largest distance of a gradient to the subdifferential of its penalty, on the scale of the penalty.
    fn violation_of_all(&self, rule: Rule) -> f64 {
        let (problem, lambda) = (self.problem, self.lambda);
        let live = self.gradient.near().iter().map(|&j| j as usize).filter(|&j| problem.scale[j] > 0.0);
        live.map(|j| {
            let scale = problem.scale[j];
            rule.violation(self.gradient.values[j] / scale, self.w[j] * scale, lambda * (problem.l1[j] / scale), 0.0)
        })
        .fold(0.0, f64::max)
    }

    /// The next working set: every block that is not at 0, and of the others those whose gradients are largest beside their
    /// bounds, more of them when it goes slowly.
    fn choose_blocks(&self, rule: Rule, previous: f64, at_bounds: &[f64], slow: bool) -> Choice {
        let (problem, lambda) = (self.problem, self.lambda);
        let strong = if slow { 0.0 } else { (2.0 - previous / lambda).clamp(0.0, 1.0) };
        let mut kept: Vec<u32> = Vec::new();
        // (distance, block or column, columns)
        let mut candidates: Vec<(f64, u32, usize)> = Vec::new();
        if let Some(blocks) = &problem.blocks {
            for (g, at) in at_bounds.iter().enumerate() {
                let columns = blocks.columns(g);
                if columns.iter().any(|&j| self.w[j as usize] != 0.0) {
                    kept.extend_from_slice(columns);
                } else if *at >= strong * lambda && *at > 0.0 {
                    candidates.push((at / lambda, g as u32, columns.len()));
                }
            }
        } else {
            for &j in self.gradient.near() {
                let (l1, c) = (lambda * problem.l1[j as usize], self.gradient.values[j as usize].abs());
                if problem.scale[j as usize] == 0.0 {
                    continue;
                }
                if self.w[j as usize] != 0.0 || l1 == 0.0 {
                    kept.push(j);
                } else if c >= strong * l1 {
                    candidates.push((c / l1, j, 1));
                }
            }
        }
        debug_assert!(rule.is_convex() == problem.blocks.is_some());
        candidates.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let violators = candidates.iter().take_while(|c| c.0 > 1.0).count();
        let mut room = (if slow { 8 } else { 2 }) * kept.len() + 256;
        let mut complete = true;
        for (at, candidate) in candidates.iter().enumerate() {
            if room < candidate.2 && at > 0 {
                complete = at >= violators;
                break;
            }
            room = room.saturating_sub(candidate.2);
            match &problem.blocks {
                Some(blocks) => kept.extend_from_slice(blocks.columns(candidate.1 as usize)),
                None => kept.push(candidate.1),
            }
        }
        kept.sort_unstable();
        Choice { set: kept, complete }
    }

    /// Lowers F over the columns `set` until the measure of the problem restricted to them is at most `goal`. Of the L0 penalty, which is
    /// the same wherever a support stays, it is the loss that is lowered.
    pub(super) fn improve_blocks(&mut self, rule: Rule, set: &[u32], primal: f64, goal: f64) {
        let max_epochs = self.problem.options.max_epochs;
        if self.problem.loss == Loss::Squared {
            let size = 2.0 * self.problem.mean_loss(&self.eta, &mut self.clock);
            let mut model = self.quadratic(set);
            let mut part = self.part(rule, set, &model.curvature);
            model.products = self.products_to_use();
            inner::minimise(&mut model, &mut part, &Aim { goal, size, max_epochs, once: false }, &mut self.clock);
            self.products = model.products;
            self.write(set, &part.coefficients());
            return;
        }
        let (mut primal, mut by_tangent) = (primal, false);
        for _ in 0..NEWTON_STEPS {
            let size = self.problem.deviance(primal - self.penalty()).max(0.0);
            self.bend_here(FLOOR);
            let mut bend = std::mem::take(&mut self.bend);
            let mut model = bend.model(self, set);
            let mut part = self.part(rule, set, &model.curvature);
            let measure = inner::measure_of(&model, &part, size, &mut self.clock);
            let go_on = measure > goal && !self.clock.cancelled && self.clock.progress.epoch < max_epochs;
            // A model that bends the other way may have its minimum anywhere; where a tangent replaces the penalty F falls along the step.
            let curvature = |k: usize| model.curvature(k) / part.scale[k] / part.scale[k];
            by_tangent |= (0..set.len()).any(|k| part.l1[k] > 0.0 && curvature(k) <= rule.convex_from());
            if by_tangent {
                part.tangent();
            }
            if go_on {
                let rough = (0.3 * goal).max(0.05 * measure);
                inner::minimise(&mut model, &mut part, &Aim { goal: rough, size, max_epochs, once: true }, &mut self.clock);
            }
            drop(model);
            self.bend = bend;
            if !go_on {
                return;
            }
            match self.line_search(set, &part.coefficients(), primal) {
                Some((lower, _)) => primal = lower,
                None if by_tangent || rule.is_convex() => return,
                None => by_tangent = true,
            }
        }
    }

    fn part(&self, rule: Rule, set: &[u32], curvature: &[f64]) -> inner::Part {
        let problem = self.problem;
        if rule == Rule::L0 {
            // slopes count as shares of those of columns of unit spread
            let spread = |(&j, h): (&u32, &f64)| h.max(0.25 * problem.spread[j as usize]).sqrt();
            let scale: Vec<f64> = set.iter().zip(curvature).map(spread).map(|s| if s > 0.0 { s } else { 1.0 }).collect();
            let u = set.iter().zip(&scale).map(|(&j, s)| self.w[j as usize] * s).collect();
            return inner::Part::new(Rule::Tangent, u, vec![0.0; set.len()], scale, 0..set.len(), |_| 0.0);
        }
        let of = set.iter().map(|&j| problem.blocks.as_ref().map_or(j as usize, |blocks| blocks.of(j)));
        let weight = |g: usize| problem.blocks.as_ref().map_or(0.0, |blocks| self.lambda * blocks.weights[g]);
        let scale: Vec<f64> = set.iter().map(|&j| problem.scale[j as usize]).collect();
        let u = set.iter().zip(&scale).map(|(&j, s)| self.w[j as usize] * s).collect();
        let l1 = set.iter().zip(&scale).map(|(&j, s)| self.lambda * (problem.l1[j as usize] / s)).collect();
        inner::Part::new(rule, u, l1, scale, of, weight)
    }
}
