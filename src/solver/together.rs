//! Several folds of one path in lock-step: what is read of the matrix is read once for all of them.
//!
//! At each λ a fold begins where its last two points lead to, and takes proximal Newton steps whose second derivatives are
//! those of **all** rows: for the squared loss with the shares of all rows, else at the path's own point of that λ. They
//! differ from the fold's by what is held out, so that each step leaves a small share of the way; and they are the same for
//! all folds, so that one matrix of products serves them, one row of it at a time. Each fold counts its columns in units in
//! which their curvature is its own, and shortens a step that went past the least objective along it. The gap that a fold
//! stops on is that of its own problem. A fold that does not come near fast leaves, and is fitted by itself from there on.
//!
//! What a fold comes to depends on its own points and on the path's, not on the folds beside it: neither the number of
//! threads nor an interruption shows.

use std::collections::HashMap;

use super::clock::Clock;
use super::descent::dual_over;
use super::dual::Primal;
use super::folds::{FoldRow, mean_deviance};
use super::gram::Products;
use super::lanes::{self, LANES, Line};
use super::near::{Near, WITHIN};
use super::sight::reach_of;
use super::standing::{Reference, Trail};
use super::{Data, Loss, Point, Problem, Stop};
use crate::matrix::{ColumnsView, Number};

/// A column at 0 takes part in a step when its product is at least this share of its bound.
pub(super) const OFFERED: f64 = 1.0;
/// Steps at one λ after which a fold leaves.
const PATIENCE: usize = 25;
/// Steps at one λ that helped little after which a fold leaves.
const STALLED: usize = 3;
/// A step is shortened when its objective is least before this share of it.
const ENOUGH: f64 = 0.9;

/// A point of a fold.
#[derive(Clone, Debug, Default)]
pub(super) struct Spot {
    pub(super) columns: Vec<u32>,
    pub(super) values: Vec<f64>,
    /// The intercept it was evaluated from.
    pub(super) seen: f64,
}

/// One fold.
pub(super) struct Member<'g, 'a> {
    pub(super) fold: usize,
    pub(super) problem: &'g Problem<'a>,
    /// Weights of the rows held out.
    pub(super) test: &'g [f64],
    /// λ done.
    pub(super) rows: Vec<FoldRow>,
    /// The last of them.
    pub(super) last: Option<(Point, Trail)>,
    /// Whether it is fitted by itself from here on.
    pub(super) left: bool,
    /// Whether it was told to stop.
    pub(super) stopped: bool,
    pub(super) at: Spot,
    pub(super) before: Spot,
    pub(super) eta: Vec<f64>,
    pub(super) theta: Vec<f64>,
    pub(super) b: f64,
    pub(super) loss: f64,
    /// How much further than usual its model is minimised.
    pub(super) sharper: f64,
    /// Steps that helped little.
    pub(super) stalled: usize,
    pub(super) gap: f64,
    pub(super) epochs: u64,
}

/// Folds in lock-step.
pub(super) struct Together<'g, 'a, V> {
    pub(super) x: ColumnsView<'a>,
    pub(super) values: &'a [V],
    pub(super) data: Data<'a>,
    pub(super) loss: Loss,
    pub(super) points: &'g [Point],
    pub(super) members: Vec<Member<'g, 'a>>,
    pub(super) clock: Clock<'g>,
    pub(super) near: Near,
    /// θ of each fold at its present point, at the one before, and where every column was last looked at.
    pub(super) now: Vec<Line>,
    pub(super) before: Vec<Line>,
    pub(super) reference: Vec<[f32; LANES]>,
    /// X̃ᵀθ of the columns near, now and before.
    pub(super) c_now: Vec<Line>,
    pub(super) c_before: Vec<Line>,
    /// s / Σs of all rows, and 1/s.
    pub(super) share: Vec<f64>,
    pub(super) inverse: Vec<f64>,
    /// Second derivatives of the model, of which `products` are.
    pub(super) h: Vec<f64>,
    pub(super) mass: f64,
    pub(super) moments: HashMap<u32, (f64, f64)>,
    pub(super) products: Products<f32>,
    /// Of this λ, second derivatives of the columns in the folds, taken at its first step.
    pub(super) own: HashMap<u32, Line>,
    /// The largest ‖θ − θ_ref‖ of all folds.
    pub(super) apart: f64,
    /// 1 for each fold that has not left.
    pub(super) alive: Line,
    /// λ up to which the path's points were looked at for `h`.
    pub(super) bent: usize,
}

/// Told of each λ a fold has done: the fold, its position.
pub(super) type Each<'e> = dyn Fn(usize, usize, FoldRow, &Point, Trail) + Sync + 'e;

impl<'g, 'a> Member<'g, 'a> {
    /// A fold that has done `rows`.
    pub(super) fn new(fold: usize, problem: &'g Problem<'a>, test: &'g [f64], rows: Vec<FoldRow>, last: Option<(Point, Trail)>) -> Self {
        let null = Spot { seen: problem.null_intercept(), ..Spot::default() };
        let spot = |columns: &[u32], values: &[f64], seen| Spot { columns: columns.to_vec(), values: values.to_vec(), seen };
        let (at, before) = match &last {
            Some((point, trail)) => (
                spot(&point.columns, &point.values, trail.seen.unwrap_or(point.intercept)),
                trail.before.as_ref().map_or_else(|| null.clone(), |then| spot(&then.columns, &then.values, then.seen)),
            ),
            None => (null.clone(), null),
        };
        Self {
            fold,
            problem,
            test,
            rows,
            last,
            left: false,
            stopped: false,
            at,
            before,
            eta: Vec::new(),
            theta: Vec::new(),
            b: 0.0,
            loss: 0.0,
            sharper: 1.0,
            stalled: 0,
            gap: f64::INFINITY,
            epochs: 0,
        }
    }

    /// √Σ θ²/share, where Σ θ²/s is known.
    pub(super) fn length(&self, square: f64, inverse: &[f64]) -> f64 {
        // every share is s over the same total
        let i = self.problem.share.iter().position(|s| *s > 0.0).unwrap_or(0);
        (square / (self.problem.share[i] * inverse[i])).sqrt()
    }

    /// λ-penalty of its present point.
    pub(super) fn penalty(&self, lambda: f64) -> f64 {
        let each = |(&j, w): (&u32, &f64)| self.problem.l1[j as usize] * w.abs() + 0.5 * self.problem.l2[j as usize] * w * w;
        lambda * self.at.columns.iter().zip(&self.at.values).map(each).sum::<f64>()
    }
}

impl<'g, 'a, V: Number> Together<'g, 'a, V> {
    pub(super) fn new(
        data: Data<'a>,
        values: &'a [V],
        loss: Loss,
        points: &'g [Point],
        members: Vec<Member<'g, 'a>>,
        clock: Clock<'g>,
    ) -> Self {
        let (n, p) = (data.x.n_rows, data.x.len());
        let weight = |i: usize| data.weights.map_or(1.0, |s| s[i]);
        let total: f64 = (0..n).map(weight).sum();
        let zeros = || vec![Line::default(); n];
        Self {
            x: data.x,
            values,
            data,
            loss,
            points,
            clock,
            near: Near::new(reach_of(&members, p)),
            now: zeros(),
            before: zeros(),
            reference: vec![[0.0; LANES]; n],
            c_now: Vec::new(),
            c_before: Vec::new(),
            share: (0..n).map(|i| weight(i) / total).collect(),
            inverse: (0..n).map(|i| if weight(i) > 0.0 { 1.0 / weight(i) } else { 0.0 }).collect(),
            h: Vec::new(),
            mass: 0.0,
            moments: HashMap::new(),
            products: Products::default(),
            own: HashMap::new(),
            alive: Line(std::array::from_fn(|l| if l < members.len() { 1.0 } else { 0.0 })),
            members,
            apart: 0.0,
            bent: 0,
        }
    }

    /// Every λ that is left, until all folds are at their end or have left.
    pub(super) fn run(mut self, lambdas: &[f64], each: &Each) -> Vec<Member<'g, 'a>> {
        let lanes: Vec<usize> = (0..self.members.len()).collect();
        let before: Vec<Spot> = self.members.iter().map(|m| m.before.clone()).collect();
        self.evaluate(&lanes, &before);
        lanes.iter().for_each(|&l| put(&mut self.before, l, &self.members[l].theta));
        let at: Vec<Spot> = self.members.iter().map(|m| m.at.clone()).collect();
        self.evaluate(&lanes, &at);
        lanes.iter().for_each(|&l| put(&mut self.now, l, &self.members[l].theta));
        self.refer();
        let first = self.members.iter().map(|m| m.rows.len()).min().unwrap_or(0);
        for index in first..lambdas.len() {
            let on: Vec<usize> = lanes.iter().copied().filter(|&l| !self.members[l].left && self.members[l].rows.len() == index).collect();
            if !on.is_empty() && !self.lambda(index, lambdas, on, each) {
                break;
            }
        }
        let stopped = self.clock.cancelled;
        self.members.iter_mut().for_each(|member| member.stopped = stopped);
        self.members
    }

    /// One λ for the folds `on`; `false` when it is time to stop.
    fn lambda(&mut self, index: usize, lambdas: &[f64], mut on: Vec<usize>, each: &Each) -> bool {
        let lambda = lambdas[index];
        self.own.clear();
        for &l in &on {
            self.clock.progress.fold = Some(self.members[l].fold);
            self.clock.begin(lambda, index);
            let member = &mut self.members[l];
            (member.epochs, member.sharper, member.stalled) = (0, 1.0, 0);
        }
        self.bend(index);
        self.cover(lambda, self.apart);
        // a gap over some of the columns is never above that over all
        let mut done: Vec<bool> = on.iter().map(|&l| self.gap(l, lambda)).collect();
        if done.contains(&true) {
            self.fill(|_| true);
            done = on.iter().map(|&l| self.gap(l, lambda)).collect();
        }
        for (&l, _) in on.iter().zip(&done).filter(|(_, done)| **done) {
            self.stay(l);
            self.finish(l, lambda, each);
        }
        let mut done = done.into_iter();
        on.retain(|_| !done.next().unwrap_or(false));
        // how far the last two points lead
        let ahead = if index >= 2 { (lambdas[index - 1] - lambda) / (lambdas[index - 2] - lambdas[index - 1]) } else { 0.0 };
        let ahead = if ahead.is_finite() && ahead <= 2.0 { ahead } else { 0.0 };
        for round in 0..PATIENCE {
            if on.is_empty() || self.clock.cancelled {
                break;
            }
            let ahead = if round == 0 { ahead } else { 0.0 };
            self.foresee(&on, lambda, ahead);
            let primal: Vec<f64> = on.iter().map(|&l| self.members[l].loss + self.members[l].penalty(lambda)).collect();
            let Some(spots) = self.step(&on, lambda, ahead, round == 0) else { return false };
            if round == 0 {
                on.iter().for_each(|&l| self.stay(l));
            }
            self.go(&on, spots, &primal, lambda);
            self.look(lambda);
            let gaps: Vec<f64> = on.iter().map(|&l| self.members[l].gap).collect();
            let mut still = Vec::new();
            for (&l, before) in on.iter().zip(gaps) {
                if self.gap(l, lambda) {
                    self.finish(l, lambda, each);
                    continue;
                }
                let member = &mut self.members[l];
                // the model, or how well it is minimised, holds it up
                if round >= 1 && member.gap > 0.4 * before {
                    member.sharper *= 0.3;
                }
                member.stalled += usize::from(round >= 1 && member.gap > 0.8 * before);
                if member.stalled > STALLED { self.leave(l) } else { still.push(l) }
            }
            on = still;
        }
        if self.clock.cancelled {
            return false;
        }
        on.iter().for_each(|&l| self.leave(l));
        true
    }

    /// The gap of fold `l` at its present point; whether that is small enough.
    fn gap(&mut self, l: usize, lambda: f64) -> bool {
        let Self { members, near, c_now, clock, .. } = self;
        let member = &mut members[l];
        // a product that is not known counts as none
        let find = |j: u32| near.place(j).map_or(0.0, |place| c_now[place].0[l]);
        let primal = Primal { eta: &member.eta, loss: member.loss, whole: member.loss + member.penalty(lambda) };
        let dual = dual_over(member.problem, lambda, (&member.theta, Some(primal)), near.list.iter().copied(), find, 1.0 / WITHIN, clock);
        // of this point alone: whoever certifies it knows no other
        member.gap = ((member.loss + member.penalty(lambda) - dual) / member.problem.unit()).max(0.0);
        clock.progress.relative_gap = Some(member.gap);
        clock.progress.nonzeros = member.at.columns.len();
        !clock.cancelled && member.gap <= member.problem.options.tol
    }

    /// Fold `l` is where it was: the present point is the one before, too.
    fn stay(&mut self, l: usize) {
        self.members[l].before = self.members[l].at.clone();
        copy(&mut self.before, &self.now, l);
        copy(&mut self.c_before, &self.c_now, l);
    }

    /// Fold `l` is fitted by itself from here on.
    fn leave(&mut self, l: usize) {
        (self.members[l].left, self.alive.0[l]) = (true, 0.0);
    }

    /// λ is done for fold `l`.
    fn finish(&mut self, l: usize, lambda: f64, each: &Each) {
        let member = &mut self.members[l];
        let point = Point {
            lambda,
            columns: member.at.columns.clone(),
            classes: Vec::new(),
            values: member.at.values.clone(),
            intercept: member.b,
            intercepts: Vec::new(),
            relative_gap: member.gap,
            deviance: member.problem.deviance(member.loss),
            epochs: member.epochs,
            full_passes: self.clock.touched as f64 / self.x.nnz().max(1) as f64,
            stop: Stop::Converged,
        };
        let Spot { columns, values, seen } = member.before.clone();
        let trail = Trail { seen: Some(member.at.seen), before: Some(Reference { columns, values, seen }), ..Trail::default() };
        let row = FoldRow { deviance: mean_deviance(self.loss, self.data.y, &member.eta, member.test), nonzeros: point.columns.len() };
        member.rows.push(row);
        each(member.fold, member.rows.len() - 1, row, &point, trail.clone());
        member.last = Some((point, trail));
    }

    /// η, θ, intercept and loss of the folds `on` at `spots`, from the coefficients alone.
    fn evaluate(&mut self, on: &[usize], spots: &[Spot]) {
        let columns = union(spots.iter().map(|spot| spot.columns.as_slice()));
        let mut w = vec![Line::default(); columns.len()];
        let mut start = Line::default();
        for (&l, spot) in on.iter().zip(spots) {
            start.0[l] = spot.seen;
            let mut k = 0;
            for (j, value) in spot.columns.iter().zip(&spot.values) {
                while columns[k] < *j {
                    k += 1;
                }
                w[k].0[l] = *value;
            }
        }
        let mut eta = vec![start; self.x.n_rows];
        if let Some(offset) = self.data.offset {
            eta.iter_mut().zip(offset).for_each(|(eta, o)| eta.0.iter_mut().for_each(|eta| *eta += o));
        }
        for (columns, w) in columns.chunks(16).zip(w.chunks(16)) {
            let entries: usize = columns.iter().map(|&j| self.x.range(j as usize).len()).sum();
            if !self.clock.touch(entries) {
                return;
            }
            lanes::add_columns(self.x, self.values, columns, w, &mut eta);
        }
        for (&l, spot) in on.iter().zip(spots) {
            let member = &mut self.members[l];
            member.eta.clear();
            member.eta.extend(eta.iter().map(|line| line.0[l]));
            member.b = spot.seen;
            (member.theta, member.loss) = member.problem.balance(&mut member.eta, &mut member.b, &mut self.clock);
        }
    }

    /// Moves the folds `on` to `spots`, or as far towards them as their objectives fall.
    fn go(&mut self, on: &[usize], spots: Vec<Spot>, primal: &[f64], lambda: f64) {
        let from: Vec<Before> = on.iter().map(|&l| Before::of(&self.members[l])).collect();
        self.evaluate(on, &spots);
        on.iter().zip(spots).for_each(|(&l, spot)| self.members[l].at = spot);
        let mut left: Vec<usize> = (0..on.len()).collect();
        for tries in 0..20 {
            let mut parts = Vec::new();
            left.retain(|&k| {
                let (member, from) = (&self.members[on[k]], &from[k]);
                let rounding = 1e-14 * (primal[k].abs() + member.problem.magnitude());
                let falls = member.loss + member.penalty(lambda) <= primal[k] + rounding;
                let share = if falls { from.least(member, lambda) } else { 0.5 };
                let goes_on = share <= ENOUGH && !(falls && tries > 0);
                if goes_on {
                    parts.push(between(&from.at, &member.at, share));
                }
                goes_on
            });
            if left.is_empty() || self.clock.cancelled {
                break;
            }
            let lanes: Vec<usize> = left.iter().map(|&k| on[k]).collect();
            self.evaluate(&lanes, &parts);
            lanes.iter().zip(parts).for_each(|(&l, part)| self.members[l].at = part);
        }
        on.iter().for_each(|&l| put(&mut self.now, l, &self.members[l].theta));
    }
}

/// Where a fold was before a step.
struct Before {
    at: Spot,
    eta: Vec<f64>,
    theta: Vec<f64>,
}

impl Before {
    fn of(member: &Member) -> Self {
        Self { at: member.at.clone(), eta: member.eta.clone(), theta: member.theta.clone() }
    }

    /// The share of the way to where `member` is now at which its objective is least, from the slopes at both ends; 1 if it
    /// still falls there.
    fn least(&self, member: &Member, lambda: f64) -> f64 {
        // θ sums to 0 where there is an intercept: that it moved as well does not matter
        let slope =
            |theta: &[f64]| -> f64 { theta.iter().zip(member.eta.iter().zip(&self.eta)).map(|(t, (now, then))| t * (then - now)).sum() };
        let [mut begin, mut end] = [slope(&self.theta), slope(&member.theta)];
        let (mut then, mut now) = (self.at.pairs().peekable(), member.at.pairs().peekable());
        while let Some(j) = then.peek().map(|pair| pair.0).into_iter().chain(now.peek().map(|pair| pair.0)).min() {
            let value = |(_, w): (u32, f64)| w;
            let from = then.next_if(|pair| pair.0 == j).map_or(0.0, value);
            let to = now.next_if(|pair| pair.0 == j).map_or(0.0, value);
            let (l1, l2, step) = (lambda * member.problem.l1[j as usize], lambda * member.problem.l2[j as usize], to - from);
            begin += if from == 0.0 { l1 * step.abs() } else { l1 * from.signum() * step } + l2 * from * step;
            end += if to == 0.0 { -l1 * step.abs() } else { l1 * to.signum() * step } + l2 * to * step;
        }
        if end > 0.0 && begin < 0.0 { begin / (begin - end) } else { 1.0 }
    }
}

impl Spot {
    fn pairs(&self) -> impl Iterator<Item = (u32, f64)> {
        self.columns.iter().copied().zip(self.values.iter().copied())
    }
}

/// Rising and each once.
pub(super) fn union<'s>(lists: impl Iterator<Item = &'s [u32]>) -> Vec<u32> {
    let mut all: Vec<u32> = lists.flatten().copied().collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// A share of the way from one point to another.
fn between(from: &Spot, to: &Spot, share: f64) -> Spot {
    let columns = union([from.columns.as_slice(), to.columns.as_slice()].into_iter());
    let of = |spot: &Spot, j: &u32| spot.columns.binary_search(j).map_or(0.0, |k| spot.values[k]);
    let values = columns.iter().map(|j| of(from, j) + share * (of(to, j) - of(from, j))).collect();
    Spot { columns, values, seen: from.seen + share * (to.seen - from.seen) }
}

fn put(lines: &mut [Line], l: usize, from: &[f64]) {
    lines.iter_mut().zip(from).for_each(|(line, x)| line.0[l] = *x);
}

fn copy(to: &mut [Line], from: &[Line], l: usize) {
    to.iter_mut().zip(from).for_each(|(to, from)| to.0[l] = from.0[l]);
}
