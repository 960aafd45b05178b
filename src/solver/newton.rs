//! The curved losses on a working set: proximal Newton steps with a line search.
//!
//! Each step minimises a quadratic model of the loss and the penalty as it is (Friedman, Hastie & Tibshirani, JSS 2010);
//! it is taken as far as the true objective falls. The second derivatives of the model are those of an earlier point as long
//! as steps with them come near fast enough: the products of the columns are kept with them.

use std::collections::HashMap;

use super::dense::newton_price;
use super::descent::{Engine, dual_over};
use super::gram::Products;
use super::inner::{Aim, Fall, minimise};
use super::quadratic::{Residual, center_and_curvature};
use super::standing::Reference;
use crate::matrix::Number;

/// New second derivatives are worth their products when the way would take more steps than this with the old ones.
pub(super) const PATIENCE: f64 = 3.0;
/// Walks over the working set that a step takes besides its system: looks, a sweep or two, the search along it.
const SWEEPS: usize = 4;
/// A step on the way is the last when it fell by no more than this share of all that was fallen there.
const FELL_ENOUGH: f64 = 0.3;
/// No row counts for less than this.
pub(super) const FLOOR: f64 = 1e-10;

/// Second derivatives of the rows' losses at a point gone by.
#[derive(Debug, Default)]
pub(super) struct Bend {
    /// share·loss''; empty before the first.
    h: Vec<f64>,
    /// Where.
    pub(super) at: Option<Reference>,
    /// Centre and curvature of the columns that were asked for.
    moments: HashMap<u32, (f64, f64)>,
    /// Columns whose products were kept with those before; 0 once there are any.
    pub(super) served: usize,
}

impl Bend {
    /// How far `h` is from here: 0 = here.
    pub(super) fn drift(&self, h: &[f64]) -> f64 {
        let (mut apart, mut size) = (0.0, 0.0);
        for (now, then) in h.iter().zip(&self.h) {
            apart += (now - then).abs();
            size += then;
        }
        if size > 0.0 { apart / size } else { f64::INFINITY }
    }

    /// The mean of a column that a model was made of.
    fn center(&self, j: u32) -> f64 {
        self.moments.get(&j).map_or(0.0, |moments| moments.0)
    }

    /// Forgets what another process could not know.
    pub(super) fn settle(&mut self, products: &Products) {
        self.moments.retain(|&j, _| products.holds(j));
        self.served = 0;
    }

    /// The quadratic model on the columns `set`, with the gradient of `engine`.
    pub(super) fn model<'m, 'x: 'm, V: Number>(&'m mut self, engine: &mut Engine<'_, 'x, V>, set: &[u32]) -> Residual<'m, V> {
        let (mut center, mut curvature) = (Vec::with_capacity(set.len()), Vec::with_capacity(set.len()));
        let mass = if engine.problem.options.intercept { self.h.iter().sum() } else { 0.0 };
        for &j in set {
            let moments = self.moments.entry(j).or_insert_with(|| {
                let column = engine.column(j);
                engine.clock.touch(column.nnz());
                center_and_curvature(&column, &self.h, mass)
            });
            center.push(moments.0);
            curvature.push(moments.1);
        }
        Residual::with_moments(engine.matrix(), set, center, curvature, &self.h, mass, engine.theta.clone())
    }
}

impl<'p, 'a, V: Number> Engine<'p, 'a, V> {
    /// Proximal Newton: minimise the quadratic model, then search along the step on the true objective. F at the start is
    /// `primal`, and the gradient at every column is known there unless nothing is.
    pub(super) fn improve_by_newton(&mut self, set: &[u32], primal: f64, goal: f64, on_the_way: bool, max_epochs: u64) {
        let mut primal = primal;
        let (begin, mut last_gap, mut sharper) = (primal, None, 1.0);
        for round in 0..100 {
            let (gap, known) =
                if round == 0 && !self.gradient.values.is_empty() { self.look_back(set, primal) } else { self.look_at(set, primal) };
            if gap <= goal || self.clock.cancelled || self.clock.progress.epoch >= max_epochs {
                return;
            }
            let rate = match last_gap {
                _ if self.products.len() == 0 => f64::INFINITY,
                None => self.bend.drift(&self.curvatures(FLOOR)),
                Some(last) => gap / last,
            };
            let served = self.products.len().max(self.bend.served);
            let to_go = if rate < 1.0 { (goal / gap).ln() / rate.ln() } else { f64::INFINITY };
            let fresh = to_go > PATIENCE || (to_go > 1.0 && self.is_worth_bending(set, to_go - 1.0));
            if fresh {
                if round > 0 {
                    primal = self.evaluate();
                }
                self.bend_here(FLOOR);
            }
            let size = self.problem.deviance(primal).max(0.0);
            let mut bend = std::mem::take(&mut self.bend);
            let mut model = bend.model(self, set);
            model.products = self.products_to_use();
            let mut at = self.coordinates(set);
            // the estimate of the model sees an unpenalised column only to second order, the gap to first
            if last_gap.is_some_and(|last| gap > 0.5 * last) {
                sharper *= 0.1;
            }
            last_gap = Some(gap);
            let rough = if gap.is_finite() { 0.1 * gap } else { 1e-3 * size };
            let fall = Fall { first: 0.0, second: size };
            let aim = Aim {
                goal: sharper * (0.3 * goal).max(rough),
                fall,
                max_epochs,
                served,
                once: true,
                keep: self.on_path,
                doubted: false,
                patient: false,
                at_once: None,
            };
            minimise(&mut model, &mut at, known, &aim, &mut self.clock);
            self.products = model.products;
            self.bend = bend;
            // on the way to a λ, where a step costs more than a look at all columns, the last of the fall is left to the next
            let saves = on_the_way && newton_price(self.products.len()) > self.problem.data.x.nnz();
            match self.line_search(set, &at.w, primal) {
                Some((lower, _)) => {
                    let fallen = primal - lower;
                    primal = lower;
                    if saves && fallen <= FELL_ENOUGH * (begin - lower) {
                        return;
                    }
                }
                None => return,
            }
        }
    }

    /// Whether second derivatives taken here, and products with them, cost less than so many `steps` with the old ones.
    fn is_worth_bending(&self, set: &[u32], steps: f64) -> bool {
        let x = self.problem.data.x;
        let visit: usize = set.iter().map(|&j| x.range(j as usize).len()).sum();
        let (saved, price) = (newton_price(self.products.len()) + SWEEPS * visit, self.products.cost_anew() + visit);
        steps * saved as f64 > price as f64
    }

    /// Takes the second derivatives of the point last evaluated, with a `floor` under them.
    pub(super) fn bend_here(&mut self, floor: f64) {
        let h = self.curvatures(floor);
        let served = std::mem::take(&mut self.products).len();
        self.bend = Bend { h, at: Some(self.here()), moments: HashMap::new(), served };
    }

    /// Gap of the problem restricted to `set`, and the gradients there, by what the last pass saw.
    pub(super) fn look_back(&mut self, set: &[u32], primal: f64) -> (f64, Option<Vec<f64>>) {
        let (c, slack) = (&self.gradient.values, self.slack());
        let find = |j: u32| c[j as usize];
        let (dual, mut clock) = ((self.dual.as_slice(), self.primal_of_dual()), self.clock);
        let gap = primal - dual_over(self.problem, self.lambda, dual, set.iter().copied(), find, slack, &mut clock);
        self.clock = clock;
        (gap, self.known(set))
    }

    /// Gap of the problem restricted to `set`, and the gradients there.
    pub(super) fn look_at(&mut self, set: &[u32], primal: f64) -> (f64, Option<Vec<f64>>) {
        let sum: f64 = self.dual.iter().sum();
        let mut products = Vec::with_capacity(set.len());
        for &j in set {
            let column = self.column(j);
            let go_on = self.clock.touch(column.nnz());
            products.push(if go_on { column.dot(&self.dual) - self.problem.center[j as usize] * sum } else { 0.0 });
        }
        let slack = if self.sound { f64::INFINITY } else { 0.0 };
        let find = |j: u32| set.binary_search(&j).map_or(0.0, |k| products[k]);
        let (dual, mut clock) = ((self.dual.as_slice(), self.primal_of_dual()), self.clock);
        let gap = primal - dual_over(self.problem, self.lambda, dual, set.iter().copied(), find, slack, &mut clock);
        self.clock = clock;
        (gap, self.problem.free.is_empty().then_some(products))
    }

    /// Moves towards `target` as far as F falls; F there and the share of the way, or `None` when it does not fall at all.
    /// Each try is an evaluation from the coefficients alone, so that none has to follow.
    pub(super) fn line_search(&mut self, set: &[u32], target: &[f64], primal: f64) -> Option<(f64, f64)> {
        let start: Vec<f64> = set.iter().map(|&j| self.w[j as usize]).collect();
        let shift = if self.problem.options.intercept { self.intercept_moves(set, &start, target) } else { 0.0 };
        let (b, before, loss, evaluated) = (self.b, self.b_before, self.loss, self.evaluated);
        let (eta, theta) = (std::mem::take(&mut self.eta), std::mem::take(&mut self.theta));
        let mut length = 1.0;
        for _ in 0..40 {
            self.clock.work(2 * theta.len());
            let moved: Vec<f64> = if length == 1.0 {
                target.to_vec()
            } else {
                start.iter().zip(target).map(|(from, to)| from + length * (to - from)).collect()
            };
            self.write(set, &moved);
            self.b = b + length * shift;
            self.weigh();
            let lower = self.primal();
            if self.clock.cancelled {
                break;
            }
            // Near the end the gap falls with the step but F with its square, below rounding: a full step may pass.
            let rounding = if length == 1.0 { 1e-14 * (primal.abs() + self.problem.magnitude()) } else { 0.0 };
            if lower < primal + rounding {
                self.dual = self.project();
                self.evaluated = true;
                return Some((lower, length));
            }
            length *= 0.5;
        }
        self.write(set, &start);
        (self.b, self.b_before, self.loss, self.evaluated) = (b, before, loss, evaluated);
        (self.eta, self.theta) = (eta, theta);
        None
    }

    /// How the intercept moves with the columns `set` in the quadratic model, which has eliminated it: Σ(θ − h·X·step) / Σh.
    fn intercept_moves(&mut self, set: &[u32], start: &[f64], target: &[f64]) -> f64 {
        let mass: f64 = self.bend.h.iter().sum();
        let mut shift = self.theta.iter().sum::<f64>() / mass;
        for ((&j, from), to) in set.iter().zip(start).zip(target).filter(|((_, from), to)| from != to) {
            shift -= (to - from) * self.bend.center(j);
        }
        shift
    }
}
