//! Steps on a working set: the quadratic model of all classes together, minimised class by class, and a line search.
//!
//! The second derivatives of a row are share·(diag p − ppᵀ). Held at the other classes' moves, those of class k are
//! share·p_k(1 − p_k): a weighted least-squares problem for the machinery of the other losses, with the intercept eliminated.
//! What classes are to one another goes through one number a row, the mean move Σ p_k·d_k, so a cycle over the classes
//! solves the whole model at the price of one cycle for each alone.

use super::engine::Engine;
use super::problem::center;
use super::rows;
use super::shift::{self, Tie};
use crate::matrix::Number;
use crate::solver::gram::Products;
use crate::solver::inner::{Aim, Coordinates, Estimate, Fall, minimise};
use crate::solver::quadratic::{Residual, center_and_curvature};

/// No row counts for less than this.
pub(super) const FLOOR: f64 = 1e-10;
/// An entry at 0 takes part when its gradient is at least this share of its bound.
const NEAR: f64 = 0.7;
/// Most cycles over the classes for one step.
const CYCLES: usize = 30;
/// Cycles that leave more than this share to be gained are slow.
const SLOW: f64 = 0.4;
const LEAST_DAMPING: f64 = 1e-5;
/// Most sweeps of one visit: what is slow within a class is not what the other classes wait for.
const SWEEPS: u64 = 50;

/// One class's part of the model.
pub(super) struct Block {
    /// Its columns, rising.
    pub(super) set: Vec<u32>,
    pub(super) at: Coordinates,
    /// The coefficients before.
    start: Vec<f64>,
    pub(super) center: Vec<f64>,
    pub(super) curvature: Vec<f64>,
    /// Its second derivatives.
    h: Vec<f64>,
    /// Σ h with an intercept, else 0.
    pub(super) mass: f64,
    products: Products,
    /// Move of its predictor, and of its intercept.
    pub(super) d: Vec<f64>,
    pub(super) shift: f64,
}

impl<V: Number> Engine<'_, '_, V> {
    /// Lowers F over the entries of `sets` until an estimate of the gap of the problem restricted to them is at most `goal`.
    pub(super) fn improve(&mut self, sets: &mut [Vec<u32>], goal: f64, steps: usize) {
        let max_epochs = self.problem.options.max_epochs;
        let mut primal = self.primal();
        let (mut last, mut sharper, mut whole) = (f64::INFINITY, 1.0, true);
        for _ in 0..steps {
            let (mut blocks, gap) = self.blocks(sets);
            if gap <= goal || self.clock.cancelled || self.clock.progress.epoch >= max_epochs {
                return;
            }
            // a full step that came no nearer was not solved well enough
            if gap > 0.5 * last && whole {
                sharper *= 0.1;
            }
            last = gap;
            let target = sharper * (0.3 * goal).max(0.1 * gap.min(self.problem.null_objective));
            self.cycle(&mut blocks, target, max_epochs);
            match self.line_search(&blocks, primal) {
                Some((lower, length)) => (primal, whole) = (lower, length == 1.0),
                None => return,
            }
            shift::all(self, Tie::Stay);
            primal = primal.min(self.primal());
            self.take_in(sets);
        }
    }

    /// Entries that a shift has moved away from 0 belong to the working set.
    fn take_in(&self, sets: &mut [Vec<u32>]) {
        for (set, support) in sets.iter_mut().zip(&self.support) {
            let before = set.len();
            let new: Vec<u32> = support.iter().copied().filter(|j| set.binary_search(j).is_err()).collect();
            set.extend(new);
            if set.len() > before {
                set.sort_unstable();
            }
        }
    }

    /// The model at the current point, and an estimate of the gap.
    fn blocks(&mut self, sets: &[Vec<u32>]) -> (Vec<Block>, f64) {
        let (n, p, base) = (self.classes.of_row.len(), self.problem.scale.len(), self.problem);
        rows::residuals(&self.p, &base.share, &self.classes.of_row, &mut self.theta);
        let (mut estimate, mut pull) = (Estimate::default(), 0.0);
        let mut blocks = Vec::with_capacity(sets.len());
        for (k, set) in sets.iter().enumerate() {
            self.clock.work(4 * n);
            let (theta, prob) = (&self.theta[k * n..(k + 1) * n], &self.p[k * n..(k + 1) * n]);
            let h: Vec<f64> = prob.iter().zip(&base.share).map(|(p, share)| share * (p * (1.0 - p) + FLOOR)).collect();
            let mass: f64 = if base.options.intercept { h.iter().sum() } else { 0.0 };
            let sum: f64 = if base.options.intercept { theta.iter().sum() } else { 0.0 };
            let mut block = Block {
                set: Vec::new(),
                at: Coordinates { w: Vec::new(), l1: Vec::new(), l2: Vec::new(), bounds: Vec::new() },
                start: Vec::new(),
                center: Vec::new(),
                curvature: Vec::new(),
                h,
                mass,
                products: Products::default(),
                d: vec![0.0; n],
                shift: 0.0,
            };
            for &j in set {
                let column = self.problem.data.x.column(j as usize, self.values);
                if !self.clock.touch(column.nnz()) {
                    return (blocks, 0.0);
                }
                let (l1, l2) = (self.lambda * base.l1[j as usize], self.lambda * base.l2[j as usize]);
                let w = self.w[k * p + j as usize];
                let product = column.dot(theta);
                if w == 0.0 && l1 > 0.0 && (product - base.center[j as usize] * sum).abs() < NEAR * l1 {
                    continue;
                }
                self.clock.touch(column.nnz());
                let (center, curvature) = center_and_curvature(&column, &block.h, mass);
                block.set.push(j);
                block.at.w.push(w);
                block.at.l1.push(l1);
                block.at.l2.push(l2);
                block.center.push(center);
                block.curvature.push(curvature);
                if curvature > 0.0 {
                    estimate.add(&block.at, block.set.len() - 1, product - center * sum, curvature);
                }
            }
            pull += if mass > 0.0 { sum * sum / (2.0 * mass) } else { 0.0 };
            block.start = block.at.w.clone();
            blocks.push(block);
        }
        let gap = estimate.gap(Fall { first: 0.0, second: 2.0 * self.loss }) + pull;
        (blocks, gap)
    }

    /// Cycles over the classes until what a visit finds is at the target in all.
    fn cycle(&mut self, blocks: &mut [Block], target: f64, max_epochs: u64) {
        let n = self.classes.of_row.len();
        let mut means = vec![0.0; n];
        let each = target / blocks.len() as f64;
        let (mut last, mut damping) = (f64::INFINITY, 1e-2);
        for _ in 0..CYCLES {
            let (begun, mut most, mut found) = (self.clock.progress.epoch, self.clock.progress.epoch + 1, 0.0);
            for (k, block) in blocks.iter_mut().enumerate() {
                self.clock.progress.epoch = begun;
                found += self.visit(k, block, &mut means, each, max_epochs.min(begun + SWEEPS));
                most = most.max(self.clock.progress.epoch);
            }
            self.clock.progress.epoch = most;
            if found <= target || self.clock.cancelled || most >= max_epochs {
                return;
            }
            let slow = found > SLOW * last;
            last = found;
            if slow && damping < 1.0 {
                damping = if self.polish(blocks, &mut means, damping) { (0.1 * damping).max(LEAST_DAMPING) } else { 10.0 * damping };
            }
        }
    }

    /// One class, at the moves of the others; what there was to gain, as a gap.
    fn visit(&mut self, k: usize, block: &mut Block, means: &mut [f64], goal: f64, max_epochs: u64) -> f64 {
        let n = self.classes.of_row.len();
        let base = self.problem;
        self.clock.work(3 * n);
        let (theta, prob) = (&self.theta[k * n..(k + 1) * n], &self.p[k * n..(k + 1) * n]);
        let rows = theta.iter().zip(prob).zip(&base.share).zip(block.d.iter().zip(&*means));
        let q: Vec<f64> = rows.map(|(((theta, p), share), (d, mean))| theta - share * (p * (d - mean) + FLOOR * d)).collect();
        let (center, curvature) = (block.center.clone(), block.curvature.clone());
        let matrix = (base.data.x, self.values);
        let mut model = Residual::with_moments(matrix, &block.set, center, curvature, &block.h, block.mass, q);
        let gradients = model.gradients(&mut self.clock);
        let mut estimate = Estimate::default();
        for (at, &gradient) in gradients.iter().enumerate().filter(|(at, _)| model.curvature(*at) > 0.0) {
            estimate.add(&block.at, at, gradient, model.curvature(at));
        }
        let size = 2.0 * self.loss / self.classes.n as f64;
        let pull = if block.mass > 0.0 { model.sum * model.sum / (2.0 * block.mass) } else { 0.0 };
        let gap = estimate.gap(Fall { first: 0.0, second: size }) + pull;
        if gap <= 0.1 * goal {
            return gap;
        }
        let before = block.at.w.clone();
        model.products = std::mem::take(&mut block.products);
        let aim = Aim {
            goal: (0.3 * goal).max(0.05 * gap),
            fall: Fall { first: 0.0, second: size },
            max_epochs,
            served: model.products.len(),
            once: false,
            keep: false,
            doubted: false,
            patient: false,
            at_once: None,
        };
        minimise(&mut model, &mut block.at, Some(gradients), &aim, &mut self.clock);
        let shift = if block.mass > 0.0 { model.sum / block.mass } else { 0.0 };
        block.products = std::mem::take(&mut model.products);
        block.shift += shift;
        let mut moved = vec![shift; n];
        for (at, (&j, before)) in block.set.iter().zip(&before).enumerate().filter(|(at, (_, before))| block.at.w[*at] != **before) {
            let column = base.data.x.column(j as usize, self.values);
            self.clock.touch(column.nnz());
            column.add_to(block.at.w[at] - before, &mut moved);
        }
        self.clock.work(2 * n);
        block.d.iter_mut().zip(&moved).for_each(|(d, moved)| *d += moved);
        means.iter_mut().zip(&moved).zip(prob).for_each(|((mean, moved), p)| *mean += p * moved);
        gap
    }

    /// Moves along the step as far as F falls; F there and how far, or `None` when it does not fall at all.
    fn line_search(&mut self, blocks: &[Block], primal: f64) -> Option<(f64, f64)> {
        let (n, p) = (self.classes.of_row.len(), self.problem.scale.len());
        let eta = std::mem::take(&mut self.eta);
        let mut length = 1.0;
        for _ in 0..40 {
            for (k, block) in blocks.iter().enumerate() {
                let moves = block.set.iter().zip(&block.start).zip(&block.at.w);
                moves.for_each(|((&j, &from), &to)| {
                    self.w[k * p + j as usize] = if length == 1.0 { to } else { from + length * (to - from) };
                });
            }
            self.find_support_of(blocks);
            self.eta = eta.clone();
            for (eta, block) in self.eta.chunks_exact_mut(n).zip(blocks) {
                self.clock.work(n);
                eta.iter_mut().zip(&block.d).for_each(|(eta, d)| *eta += length * d);
            }
            self.predict();
            let lower = self.primal();
            if self.clock.cancelled {
                break;
            }
            // Near the end the gap falls with the step but F with its square, below rounding: a full step may pass.
            let rounding = if length == 1.0 { 1e-14 * (primal.abs() + self.problem.null_objective) } else { 0.0 };
            if lower < primal + rounding {
                self.b.iter_mut().zip(blocks).for_each(|(b, block)| *b += length * block.shift);
                if self.problem.options.intercept {
                    center(&mut self.b);
                }
                return Some((lower, length));
            }
            length *= 0.5;
        }
        for (k, block) in blocks.iter().enumerate() {
            block.set.iter().zip(&block.start).for_each(|(&j, &from)| self.w[k * p + j as usize] = from);
        }
        self.find_support_of(blocks);
        self.eta = eta;
        self.predict();
        None
    }

    /// The support, where every coefficient that is not 0 belongs to a block.
    fn find_support_of(&mut self, blocks: &[Block]) {
        let p = self.problem.scale.len();
        for ((k, block), support) in blocks.iter().enumerate().zip(&mut self.support) {
            support.clear();
            support.extend(block.set.iter().copied().filter(|&j| self.w[k * p + j as usize] != 0.0));
        }
    }
}
