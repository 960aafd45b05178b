//! Minimises the model of one fold over columns whose products are known in single precision.
//!
//! A model is only as good as its second derivatives, which are those of all rows and not the fold's: single precision is
//! plenty, half of the memory and twice the lanes. What is kept of a gradient is how far it is from its bound, so that small
//! numbers stay exact. Cyclic coordinate descent with Anderson acceleration (Bertrand & Massias, AISTATS 2021); the gradient
//! of an affine combination of iterates is that combination of their gradients, so that acceleration costs no products.

use super::clock::Clock;
use super::gram::Products;
use super::inner::{Coordinates, Estimate, Fall, MEMORY, mixture, prox, small_fall};
use crate::numeric::widest;

/// How far a model is minimised, as a share of the gap it begins with.
const ROUGH: f64 = 0.05;
/// Steps that lower the objective by less than this share of what a sweep may leave are not taken.
const IDLE: f64 = 0.1;
/// Bound on the cycles of one model: what it leaves is for the next.
const CYCLES: usize = 12;

/// A column that may move.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    /// Where the caller finds it.
    pub(super) at: usize,
    /// Its place among the products.
    pub(super) place: usize,
    /// Σ h x̃², above 0.
    pub(super) curvature: f64,
    /// The coefficient is counted in units of 1 / this, so that its curvature is the fold's own.
    pub(super) scale: f64,
    /// λ times the penalties.
    pub(super) l1: f64,
    pub(super) l2: f64,
}

/// Coordinate descent on one model.
pub(super) struct Descent<'d, 'o> {
    slots: &'d [Slot],
    /// The coefficients.
    pub(super) w: Vec<f64>,
    /// What each gradient is counted from.
    bound: Vec<f64>,
    /// The rest of the gradients, at the places of the products.
    c: Vec<f32>,
    products: &'d Products<f32>,
    clock: &'d mut Clock<'o>,
}

impl<'d, 'o> Descent<'d, 'o> {
    /// From where `start` tells the coefficient and the gradient of each column.
    pub(super) fn new(
        slots: &'d [Slot],
        start: impl Fn(&Slot) -> (f64, f64),
        products: &'d Products<f32>,
        clock: &'d mut Clock<'o>,
    ) -> Self {
        let (mut w, mut bound) = (Vec::with_capacity(slots.len()), Vec::with_capacity(slots.len()));
        let mut c = vec![0.0f32; products.len()];
        for slot in slots {
            let (value, gradient) = start(slot);
            w.push(value);
            bound.push(slot.l1.copysign(gradient));
            c[slot.place] = (gradient - slot.l1.copysign(gradient)) as f32;
        }
        Self { slots, w, bound, c, products, clock }
    }

    /// Until the estimate of the gap is at `goal`, or as near as the model is worth, and by `sharper` below; the sweeps.
    pub(super) fn run(&mut self, goal: f64, sharper: f64, size: f64) -> u64 {
        let (mut goal, mut last, mut slow, mut epochs) = (goal, f64::INFINITY, false, 0);
        for cycle in 0..CYCLES {
            let gap = self.gap(size);
            if cycle == 0 {
                goal = sharper * goal.max(ROUGH * gap);
            } else {
                slow |= gap > 0.2 * last;
            }
            last = gap;
            if gap <= goal || self.clock.cancelled {
                break;
            }
            let small = small_fall(goal, Fall { first: 0.0, second: size });
            let idle = IDLE * small / self.slots.len() as f64;
            let mut active: Vec<usize> = (0..self.slots.len()).collect();
            let mut before = self.sweep(&active, idle);
            epochs += 1;
            active.retain(|&k| self.w[k] != 0.0);
            let mut history = vec![self.pick(&active)];
            let mut gradients = vec![];
            while history.len() <= MEMORY {
                let fallen = self.sweep(&active, idle);
                epochs += 1;
                let next = fallen * (fallen / before).min(1.0);
                if (next <= small && !slow) || fallen == 0.0 || self.clock.cancelled {
                    break;
                }
                before = fallen;
                history.push(self.pick(&active));
                gradients.push(self.c.clone());
            }
            if history.len() > MEMORY {
                self.accelerate(&active, &history, &gradients);
            }
        }
        epochs
    }

    fn pick(&self, active: &[usize]) -> Vec<f64> {
        active.iter().map(|&k| self.w[k]).collect()
    }

    fn gradient(&self, k: usize) -> f64 {
        self.bound[k] + f64::from(self.c[self.slots[k].place])
    }

    fn gap(&mut self, size: f64) -> f64 {
        let l1 = self.slots.iter().map(|slot| slot.l1).collect();
        let l2 = self.slots.iter().map(|slot| slot.l2).collect();
        let at = Coordinates { w: std::mem::take(&mut self.w), l1, l2, bounds: Vec::new() };
        let mut estimate = Estimate::default();
        (0..self.slots.len()).for_each(|k| estimate.add(&at, k, self.gradient(k), self.slots[k].curvature));
        self.w = at.w;
        estimate.gap(Fall { first: 0.0, second: size })
    }

    /// One pass over `order`, but for steps that lower the objective by less than `idle`; the fall of the objective.
    fn sweep(&mut self, order: &[usize], idle: f64) -> f64 {
        let mut fallen = 0.0;
        for &k in order {
            let slot = &self.slots[k];
            let bend = slot.curvature + slot.l2;
            let target = prox(self.gradient(k) + slot.curvature * self.w[k], slot.l1, bend);
            let step = target - self.w[k];
            let fall = 0.5 * bend * step * step;
            if fall <= idle {
                continue;
            }
            if !self.clock.work(self.c.len() / 12 + 1) {
                break;
            }
            less(&mut self.c, self.products.row(slot.place), step as f32);
            self.w[k] = target;
            fallen += fall;
        }
        self.clock.progress.epoch += 1;
        fallen
    }

    /// Goes to the affine combination of the last iterates with the smallest combined step, when the objective falls.
    fn accelerate(&mut self, active: &[usize], history: &[Vec<f64>], gradients: &[Vec<f32>]) {
        let scale: Vec<f64> = active.iter().map(|&k| self.slots[k].curvature).collect();
        let Some(z) = mixture(&scale, history, self.clock) else { return };
        let mut c = vec![0.0f32; self.c.len()];
        for (z, then) in z.iter().zip(gradients) {
            add(&mut c, then, *z as f32);
        }
        self.clock.work(c.len());
        let mut w = self.w.clone();
        for (position, &k) in active.iter().enumerate() {
            let combined: f64 = z.iter().zip(&history[1..]).map(|(z, then)| z * then[position]).sum();
            // where the penalty has a kink, none changes its sign: that is for descent to decide
            let crosses = combined * self.w[k] <= 0.0;
            w[k] = if crosses { 0.0 } else { combined };
            if crosses && combined != 0.0 {
                self.clock.work(c.len() / 12 + 1);
                less(&mut c, self.products.row(self.slots[k].place), -combined as f32);
            }
        }
        let mut change = 0.0;
        for &k in active {
            let (slot, from, to) = (&self.slots[k], self.w[k], w[k]);
            let both = 2.0 * self.bound[k] + f64::from(self.c[slot.place]) + f64::from(c[slot.place]);
            change += slot.l1 * (to.abs() - from.abs()) + 0.5 * slot.l2 * (to * to - from * from) - 0.5 * (to - from) * both;
        }
        if change < 0.0 {
            (self.w, self.c) = (w, c);
        }
    }
}

widest! {
    /// c −= step·row.
    fn less(c: &mut [f32], row: &[f32], step: f32) = less_in_lanes
}

#[inline(always)]
fn less_in_lanes(c: &mut [f32], row: &[f32], step: f32) {
    c.iter_mut().zip(row).for_each(|(c, g)| *c -= step * g);
}

widest! {
    /// c += share·then.
    fn add(c: &mut [f32], then: &[f32], share: f32) = add_in_lanes
}

#[inline(always)]
fn add_in_lanes(c: &mut [f32], then: &[f32], share: f32) {
    c.iter_mut().zip(then).for_each(|(c, then)| *c += share * then);
}
