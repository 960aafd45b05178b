//! Minimises a quadratic model plus penalty on a working set, block by block.
//!
//! The blocks that can move are few against the working set. They are moved by cyclic descent on their columns, or, once
//! that has cost as much as the products of their columns with one another would, by those. The choice follows counted work.

use std::ops::Range;

use super::super::clock::Clock;
use super::super::quadratic::Residual;
use super::rule::{Rule, critical, norm, soften};
use super::{columns, products};
use crate::matrix::Number;

/// Products may cost as much as so many visits of the columns that move, from the beginning.
const TRUST: usize = 8;
/// Looks at the working set without getting nearer, until it is given up.
const PATIENCE: usize = 6;

/// Coefficients and penalty of the coordinates of a working set, on the scale u = wσ.
pub(super) struct Part {
    pub(super) rule: Rule,
    pub(super) u: Vec<f64>,
    /// λ·f, with groups times `l1_ratio`.
    pub(super) l1: Vec<f64>,
    /// σ.
    pub(super) scale: Vec<f64>,
    /// Coordinates by blocks.
    order: Vec<usize>,
    ranges: Vec<Range<usize>>,
    /// λ·√|g|·(1 − l1_ratio) of each block.
    pub(super) weights: Vec<f64>,
}

/// How far to minimise.
pub(super) struct Aim {
    /// Goal for the measure.
    pub(super) goal: f64,
    /// A bound on twice the loss term; it only weighs the second-order part of an estimate of the duality gap.
    pub(super) size: f64,
    /// Bound on all epochs.
    pub(super) max_epochs: u64,
    /// The model is only good enough for the blocks that move now: end when those are at the goal.
    pub(super) once: bool,
}

impl Part {
    /// `of` says the block of each coordinate, `weight` the weight of a block.
    pub(super) fn new(
        rule: Rule,
        u: Vec<f64>,
        l1: Vec<f64>,
        scale: Vec<f64>,
        of: impl Iterator<Item = usize>,
        weight: impl Fn(usize) -> f64,
    ) -> Self {
        let of: Vec<usize> = of.collect();
        let mut order: Vec<usize> = (0..u.len()).collect();
        order.sort_by_key(|&k| of[k]);
        let (mut ranges, mut weights, mut start) = (Vec::new(), Vec::new(), 0);
        for run in order.chunk_by(|&a, &b| of[a] == of[b]) {
            ranges.push(start..start + run.len());
            weights.push(weight(of[run[0]]));
            start += run.len();
        }
        Self { rule, u, l1, scale, order, ranges, weights }
    }

    /// The penalty replaced by its tangent at the present coefficients, which lies above it (local linear approximation: Zou & Li,
    /// Ann. Statist. 2008).
    pub(super) fn tangent(&mut self) {
        for (l1, u) in self.l1.iter_mut().zip(&self.u) {
            *l1 = if *u == 0.0 { *l1 } else { self.rule.slope(*u, *l1, 0.0) };
        }
        self.rule = Rule::Tangent;
    }

    pub(super) fn n_blocks(&self) -> usize {
        self.ranges.len()
    }

    /// The coordinates of a block.
    pub(super) fn block(&self, b: usize) -> &[usize] {
        &self.order[self.ranges[b].clone()]
    }

    /// w = u/σ.
    pub(super) fn coefficients(&self) -> Vec<f64> {
        self.u.iter().zip(&self.scale).map(|(u, s)| u / s).collect()
    }

    /// The penalty of a block at the coefficients `u` gives.
    pub(super) fn penalty(&self, b: usize, u: impl Fn(usize) -> f64 + Copy) -> f64 {
        match self.block(b) {
            [k] => self.rule.value(u(*k), self.l1[*k], self.weights[b]),
            block => self.weights[b] * norm(block.iter().map(|&k| u(k))) + block.iter().map(|&k| self.l1[k] * u(k).abs()).sum::<f64>(),
        }
    }

    /// How the penalty of these blocks changes by the step `d`.
    pub(super) fn change(&self, blocks: &[usize], d: &[f64]) -> f64 {
        let moved = |&&b: &&usize| self.block(b).iter().any(|&k| d[k] != 0.0);
        blocks.iter().filter(moved).map(|&b| self.penalty(b, |k| self.u[k] + d[k]) - self.penalty(b, |k| self.u[k])).sum()
    }

    /// How far from the minimum over these blocks, given the gradients `c`: an estimate of the duality gap, or the largest
    /// distance of a gradient to the subdifferential of its penalty.
    pub(super) fn measure(&self, blocks: impl Iterator<Item = usize>, c: impl Fn(usize) -> f64, size: f64) -> f64 {
        if !self.rule.is_convex() {
            return blocks
                .flat_map(|b| self.block(b).iter().map(move |&k| (b, k)))
                .map(|(b, k)| self.rule.violation(c(k), self.u[k], self.l1[k], self.weights[b]))
                .fold(0.0, f64::max);
        }
        // With the dual point t·q the gap is pen(u) − t·cᵀu + (1−t)²/2·‖q‖², where t ≤ 1 makes t·c feasible.
        let (mut penalty, mut product, mut tightest) = (0.0, 0.0, 1.0f64);
        for b in blocks {
            tightest = tightest.max(self.at_bound(b, &c));
            penalty += self.penalty(b, |k| self.u[k]);
            product += self.block(b).iter().map(|&k| c(k) * self.u[k]).sum::<f64>();
        }
        let t = 1.0 / tightest;
        (penalty - t * product + 0.5 * (1.0 - t) * (1.0 - t) * size).max(0.0)
    }

    /// Above 1 where the gradients of a block are past the bound within which it stays at 0.
    fn at_bound(&self, b: usize, c: &impl Fn(usize) -> f64) -> f64 {
        let mut sides: Vec<(f64, f64)> = self.block(b).iter().map(|&k| (c(k), self.l1[k])).collect();
        critical(&mut sides, self.weights[b])
    }

    /// Whether a block can move.
    fn moves(&self, b: usize, c: &impl Fn(usize) -> f64) -> bool {
        let block = self.block(b);
        if block.iter().any(|&k| self.u[k] != 0.0) {
            return true;
        }
        match self.rule {
            Rule::Groups => self.at_bound(b, c) > 1.0,
            _ => block.iter().any(|&k| c(k).abs() > self.l1[k]),
        }
    }

    /// One proximal gradient step of a block with gradients `c` and a bound `bend` on its second derivatives: its new
    /// coefficients, into `next`. Exact for a block of one whose second derivative is `bend`.
    pub(super) fn prox(&self, b: usize, c: &[f64], bend: f64, next: &mut Vec<f64>) {
        next.clear();
        let (block, weight) = (self.block(b), self.weights[b]);
        if let [k] = block {
            // what is at 0 leaves it only when its gradient passes the bound, even if there is a lower minimum further off
            let stays = self.u[*k] == 0.0 && c[0].abs() <= self.l1[*k] + weight;
            next.push(if stays { 0.0 } else { self.rule.prox(c[0] + bend * self.u[*k], bend, self.l1[*k], weight) });
            return;
        }
        next.extend(block.iter().zip(c).map(|(&k, c)| soften(c + bend * self.u[k], self.l1[k])));
        let length = norm(next.iter().copied());
        let share = if length > weight { (length - weight) / length / bend } else { 0.0 };
        next.iter_mut().for_each(|z| *z *= share);
    }
}

/// The gradients on the scale of the penalty, or nothing when `clock` said stop.
fn gradients<V: Number>(model: &Residual<V>, part: &Part, clock: &mut Clock) -> Option<Vec<f64>> {
    let mut each = |k: usize| clock.touch(model.visit_cost(k)).then(|| model.gradient(k) / part.scale[k]);
    (0..part.u.len()).map(&mut each).collect()
}

/// The measure of the whole working set; infinite when `clock` said stop.
pub(super) fn measure_of<V: Number>(model: &Residual<V>, part: &Part, size: f64, clock: &mut Clock) -> f64 {
    gradients(model, part, clock).map_or(f64::INFINITY, |c| part.measure(0..part.n_blocks(), |k| c[k], size))
}

/// Minimises until the measure is at the goal, `clock` says stop, the epochs are spent or nothing helps any more.
pub(super) fn minimise<V: Number>(model: &mut Residual<V>, part: &mut Part, aim: &Aim, clock: &mut Clock) {
    let (mut spent, mut last, mut still) = (0usize, f64::INFINITY, 0);
    let mut bends = columns::Bends::new(model, part);
    loop {
        let Some(c) = gradients(model, part, clock) else { return };
        let measure = part.measure(0..part.n_blocks(), |k| c[k], aim.size);
        still = if measure < 0.9 * last { 0 } else { still + 1 };
        if measure <= aim.goal || clock.progress.epoch >= aim.max_epochs || still >= PATIENCE {
            return;
        }
        last = last.min(measure);
        let active: Vec<usize> = (0..part.n_blocks()).filter(|&b| part.moves(b, &|k| c[k])).collect();
        let mut moving: Vec<usize> = active.iter().flat_map(|&b| part.block(b).iter().copied()).collect();
        moving.retain(|&k| model.curvature(k) > 0.0);
        moving.sort_unstable();
        if moving.is_empty() {
            return;
        }
        let visit: usize = moving.iter().map(|&k| model.visit_cost(k)).sum();
        let few = moving.len() <= model.most_products();
        if few && model.price(&moving, false, clock) <= spent.saturating_add(TRUST * visit) {
            let nearer = aim.goal.max(0.03 * measure);
            if !products::minimise(model, part, (&active, &moving), &c, nearer, aim, clock) || aim.once {
                return;
            }
        } else {
            spent += columns::cycle(model, part, &active, &mut bends, aim.max_epochs, clock);
        }
        if clock.cancelled {
            return;
        }
    }
}
