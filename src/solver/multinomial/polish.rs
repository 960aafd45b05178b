//! All classes at once: the quadratic model on the coefficients that are not 0, with their signs held, by conjugate
//! gradients (Hestenes & Stiefel, 1952).
//!
//! Where rows waver between few classes, cycles over the classes come near slowly: what one class gains another gives back.
//! Here a step costs two visits of the columns in use and is as wide as the curvature of all classes together allows. It is
//! taken as far as the model falls; a coefficient that would change its sign stays at 0, and cycles decide about it.

use super::engine::Engine;
use super::newton::{Block, FLOOR};
use crate::matrix::{self, Column, Number};

/// Steps of the inner solve, and how far it reduces the gradient, squared.
const STEPS: usize = 100;
const NEARER: f64 = 1e-4;
/// Halvings of the step.
const HALVINGS: usize = 4;

/// One class's share of the unknowns: its coefficients that are not 0, and its intercept.
struct Part<'a, V> {
    /// Positions in the block.
    at: Vec<usize>,
    columns: Vec<Column<'a, V>>,
    /// The columns' means in the metric of the class: what is left is orthogonal to the intercept.
    center: Vec<f64>,
    l2: Vec<f64>,
    intercept: bool,
    /// Of the unknowns: one over their curvature.
    scale: Vec<f64>,
}

/// A direction: unknowns of each class, the moves of the rows' predictors, and H times those.
struct Direction {
    unknowns: Vec<f64>,
    rows: Vec<f64>,
    bent: Vec<f64>,
    /// Mean move of each row.
    means: Vec<f64>,
}

impl<'a, V: Number> Engine<'_, 'a, V> {
    /// Whether the model fell. `damping` times the curvature of each unknown alone is added to the model that is solved: what
    /// hardly bends would go far, and change its sign before it came there.
    pub(super) fn polish(&mut self, blocks: &mut [Block], means: &mut [f64], damping: f64) -> bool {
        let parts: Vec<Part<'a, V>> = blocks.iter().map(|block| self.part(block)).collect();
        let q = self.residual(blocks, means);
        let Some(step) = self.conjugate(blocks, &parts, &q, damping) else { return false };
        let mut length = 1.0;
        for _ in 0..HALVINGS {
            let direction = self.arc(blocks, &parts, &step, length);
            let (slope, bend) = (matrix::dot(&q, &direction.rows), matrix::dot(&direction.bent, &direction.rows));
            if self.clock.cancelled {
                return false;
            }
            if 0.5 * bend - slope + change(blocks, &parts, &direction.unknowns) < 0.0 {
                take(blocks, &parts, &direction);
                means.iter_mut().zip(&direction.means).for_each(|(mean, moved)| *mean += moved);
                return true;
            }
            length *= 0.5;
        }
        false
    }

    fn part(&self, block: &Block) -> Part<'a, V> {
        let moves = |k: &usize| block.curvature[*k] > 0.0 && (block.at.w[*k] != 0.0 || block.at.is_free(*k));
        let at: Vec<usize> = (0..block.set.len()).filter(moves).collect();
        let intercept = block.mass > 0.0;
        let mut scale: Vec<f64> = at.iter().map(|&k| 1.0 / (block.curvature[k] + block.at.l2[k])).collect();
        scale.extend(intercept.then(|| 1.0 / block.mass));
        Part {
            columns: at.iter().map(|&k| self.column(block.set[k])).collect(),
            center: at.iter().map(|&k| block.center[k]).collect(),
            l2: at.iter().map(|&k| block.at.l2[k]).collect(),
            at,
            intercept,
            scale,
        }
    }

    /// The model's residual of all classes at the moves so far.
    fn residual(&mut self, blocks: &[Block], means: &[f64]) -> Vec<f64> {
        let n = means.len();
        let mut q = self.theta.clone();
        for ((q, p), block) in q.chunks_exact_mut(n).zip(self.p.chunks_exact(n)).zip(blocks) {
            self.clock.work(3 * n);
            let rows = q.iter_mut().zip(p).zip(&self.problem.share).zip(block.d.iter().zip(means));
            rows.for_each(|(((q, p), share), (d, mean))| *q -= share * (p * (d - mean) + FLOOR * d));
        }
        q
    }

    /// Products of the unknowns' columns with `rows`.
    fn products(&mut self, parts: &[Part<V>], rows: &[f64]) -> Vec<f64> {
        let n = self.problem.share.len();
        let mut products = Vec::new();
        for (part, rows) in parts.iter().zip(rows.chunks_exact(n)) {
            let sum: f64 = if part.intercept { rows.iter().sum() } else { 0.0 };
            for (column, center) in part.columns.iter().zip(&part.center) {
                self.clock.touch(column.nnz());
                products.push(column.dot(rows) - center * sum);
            }
            products.extend(part.intercept.then_some(sum));
        }
        products
    }

    /// What the rows make of `unknowns`.
    fn direction(&mut self, parts: &[Part<V>], unknowns: Vec<f64>) -> Direction {
        let n = self.problem.share.len();
        let (mut rows, mut means) = (vec![0.0; self.p.len()], vec![0.0; n]);
        let mut next = unknowns.iter();
        for ((rows, p), part) in rows.chunks_exact_mut(n).zip(self.p.chunks_exact(n)).zip(parts) {
            let mut level = 0.0;
            for ((column, center), &u) in part.columns.iter().zip(&part.center).zip(&mut next) {
                if u != 0.0 {
                    self.clock.touch(column.nnz());
                    column.add_to(u, rows);
                    level -= u * if part.intercept { *center } else { 0.0 };
                }
            }
            level += if part.intercept { next.next().copied().unwrap_or(0.0) } else { 0.0 };
            self.clock.work(3 * n);
            rows.iter_mut().for_each(|row| *row += level);
            means.iter_mut().zip(&*rows).zip(p).for_each(|((mean, row), p)| *mean += p * row);
        }
        let mut bent = vec![0.0; rows.len()];
        for ((bent, rows), p) in bent.chunks_exact_mut(n).zip(rows.chunks_exact(n)).zip(self.p.chunks_exact(n)) {
            let each = bent.iter_mut().zip(rows).zip(p).zip(means.iter().zip(&self.problem.share));
            each.for_each(|(((bent, row), p), (mean, share))| *bent = share * (p * (row - mean) + FLOOR * row));
        }
        Direction { unknowns, rows, bent, means }
    }

    /// The unknowns that solve the model, or come near; `None` where nothing is left to gain.
    fn conjugate(&mut self, blocks: &[Block], parts: &[Part<V>], q: &[f64], damping: f64) -> Option<Vec<f64>> {
        let scale: Vec<f64> = parts.iter().flat_map(|part| part.scale.iter().copied()).collect();
        let l2: Vec<f64> = parts.iter().flat_map(|part| part.l2.iter().copied().chain(part.intercept.then_some(0.0))).collect();
        let mut rest = self.products(parts, q);
        let mut next = rest.iter_mut();
        for (part, block) in parts.iter().zip(blocks) {
            for (&k, rest) in part.at.iter().zip(&mut next) {
                let w = block.at.w[k];
                *rest -= block.at.l2[k] * w + if w == 0.0 { 0.0 } else { block.at.l1[k] * w.signum() };
            }
            if part.intercept {
                next.next();
            }
        }
        let scaled = |rest: &[f64]| -> Vec<f64> { rest.iter().zip(&scale).map(|(rest, scale)| rest * scale).collect() };
        let mut unknowns = vec![0.0; rest.len()];
        let mut along = scaled(&rest);
        let mut size = matrix::dot(&rest, &along);
        let goal = NEARER * size;
        for _ in 0..STEPS {
            if size <= goal || self.clock.cancelled {
                break;
            }
            let direction = self.direction(parts, along.clone());
            let mut bent = self.products(parts, &direction.bent);
            let each = bent.iter_mut().zip(l2.iter().zip(&scale)).zip(&along);
            each.for_each(|((bent, (l2, scale)), along)| *bent += (l2 + damping / scale) * along);
            let length = size / matrix::dot(&bent, &along);
            if !length.is_finite() || length <= 0.0 {
                break;
            }
            unknowns.iter_mut().zip(&along).for_each(|(u, along)| *u += length * along);
            rest.iter_mut().zip(&bent).for_each(|(rest, bent)| *rest -= length * bent);
            let steepest = scaled(&rest);
            let now = matrix::dot(&rest, &steepest);
            along.iter_mut().zip(&steepest).for_each(|(along, steepest)| *along = steepest + now / size * *along);
            size = now;
        }
        unknowns.iter().any(|u| *u != 0.0).then_some(unknowns)
    }

    /// The step at `length`, where a coefficient that would change its sign stops at 0.
    fn arc(&mut self, blocks: &[Block], parts: &[Part<V>], step: &[f64], length: f64) -> Direction {
        let mut unknowns: Vec<f64> = step.iter().map(|step| length * step).collect();
        let mut next = unknowns.iter_mut();
        for (part, block) in parts.iter().zip(blocks) {
            for (&k, u) in part.at.iter().zip(&mut next) {
                let w = block.at.w[k];
                if block.at.l1[k] > 0.0 && (w + *u) * w <= 0.0 {
                    *u = -w;
                }
            }
            if part.intercept {
                next.next();
            }
        }
        self.direction(parts, unknowns)
    }
}

/// Change of the penalty.
fn change<V>(blocks: &[Block], parts: &[Part<V>], unknowns: &[f64]) -> f64 {
    let (mut total, mut next) = (0.0, unknowns.iter());
    for (part, block) in parts.iter().zip(blocks) {
        for (&k, u) in part.at.iter().zip(&mut next) {
            total += block.at.penalty(k, block.at.w[k] + u) - block.at.penalty(k, block.at.w[k]);
        }
        if part.intercept {
            next.next();
        }
    }
    total
}

/// Moves the blocks.
fn take<V>(blocks: &mut [Block], parts: &[Part<V>], direction: &Direction) {
    let mut next = direction.unknowns.iter();
    let n = direction.means.len();
    for ((part, block), rows) in parts.iter().zip(blocks).zip(direction.rows.chunks_exact(n)) {
        for ((&k, center), u) in part.at.iter().zip(&part.center).zip(&mut next) {
            block.at.w[k] += u;
            block.shift -= if part.intercept { u * center } else { 0.0 };
        }
        if let (true, Some(level)) = (part.intercept, part.intercept.then(|| next.next()).flatten()) {
            block.shift += level;
        }
        block.d.iter_mut().zip(rows).for_each(|(d, row)| *d += row);
    }
}
