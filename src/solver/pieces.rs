//! Losses made of parabolas and straight lines, on a working set: Newton steps from piece to piece.
//!
//! Between bends such a loss is its own quadratic model, so a step that ends on the pieces where it began ends at the
//! minimum on them (semismooth Newton: Qi & Sun, Mathematical Programming 58, 1993). Straight pieces have no curvature; a
//! floor under it keeps steps from reaching far beyond them, and is taken away as the pieces settle.

use super::Loss;
use super::descent::Engine;
use super::gram::Products;
use super::inner::{Aim, Fall, minimise};
use super::newton::{Bend, FLOOR, PATIENCE};
use crate::matrix::Number;

/// Curvature that a row on a straight piece counts for at first, and at most.
pub(super) const STRAIGHT: f64 = 1e-3;
const MOST_STRAIGHT: f64 = 1.0;
/// What the floor is multiplied by once the pieces are settled, and after a step that had to be cut short.
const LESS: f64 = 1e-2;
const MORE: f64 = 10.0;

impl<'p, 'a, V: Number> Engine<'p, 'a, V> {
    /// Lowers F over the columns `set` until the gap of the problem restricted to them is at most `goal`. F at the start is
    /// `primal`, and the gradient at every column is known there unless nothing is.
    pub(super) fn improve_by_pieces(&mut self, set: &[u32], primal: f64, goal: f64, max_epochs: u64) {
        let mut primal = primal;
        let mut floor = STRAIGHT;
        let (mut last_gap, mut sharper, mut length) = (None, 1.0, 0.0);
        for round in 0..200 {
            let (gap, known) =
                if round == 0 && !self.gradient.values.is_empty() { self.look_back(set, primal) } else { self.look_at(set, primal) };
            if gap <= goal || self.clock.cancelled || self.clock.progress.epoch >= max_epochs {
                break;
            }
            let h = self.curvatures(floor);
            let drift = self.bend.drift(&h);
            // the last step ended on the pieces that its model was of: only the floor is wrong with it
            let settled = drift == 0.0 && length == 1.0;
            let served = self.products.len().max(self.bend.served);
            let rate = last_gap.map_or(drift, |last: f64| gap / last);
            let to_go = if rate < 1.0 { (goal / gap).ln() / rate.ln() } else { f64::INFINITY };
            if to_go > PATIENCE || self.products.len() == 0 || length < 1.0 {
                let wanted = match length {
                    _ if settled => (floor * LESS).max(FLOOR),
                    short if round > 0 && short < 0.5 => (floor * MORE).min(MOST_STRAIGHT),
                    _ => floor,
                };
                if self.bend.drift(&self.curvatures(wanted)) > 0.0 {
                    floor = wanted;
                    if round > 0 {
                        primal = self.evaluate();
                    }
                    self.bend_here(floor);
                }
            }
            if last_gap.is_some_and(|last| gap > 0.5 * last) && settled && floor == FLOOR {
                sharper *= 0.1;
            }
            last_gap = Some(gap);
            let size = self.problem.deviance(primal).max(0.0);
            let rough = if gap.is_finite() { 0.1 * gap } else { 1e-3 * size };
            let inner = sharper * if settled { 0.3 * goal } else { (0.3 * goal).max(rough) };
            let mut bend = std::mem::take(&mut self.bend);
            let mut model = bend.model(self, set);
            model.products = self.products_to_use();
            let mut at = self.coordinates(set);
            let fall = Fall { first: self.edge_slope(), second: size };
            let aim =
                Aim { goal: inner, fall, max_epochs, served, once: !settled, keep: false, doubted: false, patient: true, at_once: None };
            minimise(&mut model, &mut at, known, &aim, &mut self.clock);
            self.products = model.products;
            self.bend = bend;
            let Some(taken) = self.line_search(set, &at.w, primal) else { break };
            (primal, length) = taken;
        }
        if floor != STRAIGHT {
            // another process could not know of it
            (self.bend, self.products) = (Bend::default(), Products::default());
        }
    }

    /// By how much the dual value falls, to first order, where the dual point is made smaller: rows at the edge of the domain
    /// of their conjugate, where that has a slope of its own.
    fn edge_slope(&self) -> f64 {
        let Loss::Huber { .. } = self.problem.loss else { return 0.0 };
        let rows = self.theta.iter().zip(&self.problem.share).zip(self.problem.data.y.iter().zip(&self.eta));
        rows.map(|((t, &s), (y, eta))| if s > 0.0 { t * (y - eta - t / s) } else { 0.0 }).sum()
    }
}
