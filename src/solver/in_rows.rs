//! Ridge on wide data: Newton steps in the space of the rows.
//!
//! Without an L1 part every column moves, and where there are far more of them than rows their products are as good as singular:
//! descent crawls. The coefficients of a minimum are D⁻¹X̃ᵀα/λ, D the L2 penalties, with a number α for each row (Saunders, Gammerman
//! & Vovk, ICML 1998), so that a Newton step is a system of n equations with K = X̃D⁻¹X̃ᵀ, which is made once for all λ. With θ and H the
//! residuals and second derivatives of the rows and z = Xw:
//!
//! ```text
//! (I + √H·K·√H/λ)·β = √H⁻¹θ + √H·(z − δ),  α = √Hβ,  Σα = 0
//! ```
//!
//! where δ moves the intercept. A row without curvature keeps α = θ.

use super::clock::Clock;
use super::descent::Engine;
use super::newton::FLOOR;
use super::{Problem, Shape, linear};
use crate::matrix::{Number, dot};
use crate::numeric::widest;

/// K takes no more than this share of the non-zeros of X.
const SHARE: usize = 4;
/// Passes over X that K may cost, and products of K that are made in the time of one non-zero of a pass.
const PRICE: usize = 400;
const PER_NONZERO: usize = 8;
/// Columns multiplied at a time.
const TOGETHER: usize = 4;
/// Shorter steps that are tried.
const HALVINGS: usize = 30;

/// X̃D⁻¹X̃ᵀ, n × n.
#[derive(Default)]
pub(super) struct RowProducts {
    k: Vec<f64>,
}

impl Problem<'_> {
    /// Whether steps in the rows are the way: ridge alone, every column penalised, rows few against the non-zeros, and these so many that K
    /// costs no more than a descent would.
    pub(super) fn goes_in_rows(&self) -> bool {
        let (n, nnz) = (self.data.x.n_rows, self.data.x.nnz());
        let ridge = self.penalty.shape == Shape::Net && self.penalty.l1_ratio == 0.0 && self.free.is_empty() && !self.is_bounded();
        let squares = n.saturating_mul(n);
        let worth =
            SHARE.saturating_mul(squares) <= nnz && squares.saturating_mul(self.data.x.len()) <= nnz.saturating_mul(PRICE * PER_NONZERO);
        ridge && worth && self.l2.iter().any(|l2| *l2 > 0.0)
    }
}

impl RowProducts {
    /// Whether they are there, or could be made before `clock` said stop.
    fn make<V: Number>(&mut self, problem: &Problem, values: &[V], clock: &mut Clock) -> bool {
        if !self.k.is_empty() {
            return true;
        }
        let n = problem.data.x.n_rows;
        let mut k = vec![0.0; n * n];
        let mut block = vec![0.0; TOGETHER * n];
        let columns: Vec<usize> = (0..problem.l2.len()).filter(|&j| problem.l2[j] > 0.0).collect();
        for together in columns.chunks(TOGETHER) {
            block.fill(0.0);
            for (&j, centred) in together.iter().zip(block.chunks_exact_mut(n)) {
                let column = problem.data.x.column(j, values);
                // not as touched at this λ: whoever goes on from a later one makes them too
                if !clock.work(column.nnz() + n * n / 16) {
                    return false;
                }
                // scaled before they are multiplied: their size may be near the end of the doubles
                let (center, size) = (problem.center[j], problem.l2[j].sqrt());
                centred.fill(-center / size);
                column.iter().for_each(|(i, x)| centred[i] = (x - center) / size);
            }
            add_products(&mut k, n, &block);
        }
        for i in 0..n {
            (0..i).for_each(|j| k[j * n + i] = k[i * n + j]);
        }
        self.k = k;
        true
    }

    /// Kα.
    fn times(&self, alpha: &[f64]) -> Vec<f64> {
        self.k.chunks_exact(alpha.len()).map(|row| dot(row, alpha)).collect()
    }

    /// The factor of I + √H·K·√H/λ, of which `roots` are the √h.
    fn factor(&self, roots: &[f64], lambda: f64, clock: &mut Clock) -> Option<Vec<f64>> {
        let n = roots.len();
        let mut b = vec![0.0; n * n];
        for (i, row) in b.chunks_exact_mut(n).enumerate() {
            let by = roots[i] / lambda;
            (0..=i).for_each(|j| row[j] = by * self.k[i * n + j] * roots[j]);
            row[i] += 1.0;
        }
        (clock.work(n * n / 4) && linear::factorise(&mut b, n, 0.0, clock)).then_some(b)
    }
}

widest! {
    /// Adds the products of the rows in these columns to the lower triangle of `k`, `n` × `n`.
    fn add_products(k: &mut [f64], n: usize, columns: &[f64]) = add_products_in_lanes
}

#[inline(always)]
fn add_products_in_lanes(k: &mut [f64], n: usize, columns: &[f64]) {
    let [a, b, c, d]: [&[f64]; TOGETHER] = std::array::from_fn(|at| &columns[at * n..][..n]);
    for i in 0..n {
        let (by, row) = ([a[i], b[i], c[i], d[i]], &mut k[i * n..][..=i]);
        for ((((entry, a), b), c), d) in row.iter_mut().zip(a).zip(b).zip(c).zip(d) {
            *entry += (by[0] * a + by[1] * b) + (by[2] * c + by[3] * d);
        }
    }
}

impl<V: Number> Engine<'_, '_, V> {
    /// One Newton step on all columns, shortened until F, which is `primal` here, falls. Whether that was possible.
    pub(super) fn improve_in_rows(&mut self, primal: f64) -> bool {
        let (problem, lambda) = (self.problem, self.lambda);
        let mut made = std::mem::take(&mut self.row_products);
        let there = made.make(problem, self.values, &mut self.clock);
        let step = if there { self.step_in_rows(&made) } else { None };
        self.row_products = made;
        let Some(Step { alpha, moved, shift }) = step else { return false };
        let total: f64 = alpha.iter().sum();
        let mut d = vec![0.0; self.w.len()];
        for j in (0..d.len()).filter(|&j| problem.l2[j] > 0.0) {
            let column = self.column(j as u32);
            if !self.clock.touch(column.nnz()) {
                return false;
            }
            d[j] = (column.dot(&alpha) - problem.center[j] * total) / problem.l2[j] / lambda - self.w[j];
        }
        if d.iter().any(|d| !d.is_finite()) {
            return false;
        }
        let product = |a: &[f64], b: &[f64]| a.iter().zip(b).zip(&problem.l2).map(|((a, b), l2)| l2 * a * b).sum::<f64>();
        let (ww, wd, dd) = (product(&self.w, &self.w), product(&self.w, &d), product(&d, &d));
        let mut length = 1.0;
        for _ in 0..HALVINGS {
            self.clock.progress.epoch += 1;
            let eta: Vec<f64> = self.eta.iter().zip(&moved).map(|(eta, moved)| eta + length * moved).collect();
            let penalty = 0.5 * lambda * (ww + length * (2.0 * wd + length * dd));
            let there = problem.mean_loss(&eta, &mut self.clock) + penalty;
            if self.clock.cancelled {
                return false;
            }
            if there < primal {
                let center: f64 = problem.center.iter().zip(self.w.iter().zip(&d)).map(|(center, (w, d))| center * (w + d)).sum();
                self.w.iter_mut().zip(&d).for_each(|(w, d)| *w += length * d);
                self.support = (0..self.w.len() as u32).filter(|&j| self.w[j as usize] != 0.0).collect();
                self.b += if problem.options.intercept { length * (shift - center) } else { 0.0 };
                self.evaluated = false;
                return true;
            }
            length *= 0.5;
        }
        false
    }

    /// The step, as its α; `None` where the system has no solution, or `clock` said stop.
    fn step_in_rows(&mut self, products: &RowProducts) -> Option<Step> {
        let (problem, lambda) = (self.problem, self.lambda);
        let floor = if problem.loss.is_piecewise() { 0.0 } else { FLOOR };
        let roots: Vec<f64> = self.curvatures(floor).into_iter().map(f64::sqrt).collect();
        let n = roots.len();
        let z: Vec<f64> = self.eta.iter().zip(problem.start(self.b)).map(|(eta, start)| eta - start).collect();
        let factor = products.factor(&roots, lambda, &mut self.clock)?;
        // rows without curvature are as they are, and the others see them
        let held: Vec<f64> = roots.iter().zip(&self.theta).map(|(root, theta)| if *root > 0.0 { 0.0 } else { *theta }).collect();
        let of_held = if held.iter().any(|theta| *theta != 0.0) { products.times(&held) } else { vec![0.0; n] };
        let right = |i: usize| if roots[i] > 0.0 { self.theta[i] / roots[i] + roots[i] * (z[i] - of_held[i] / lambda) } else { 0.0 };
        let mut beta: Vec<f64> = (0..n).map(right).collect();
        linear::substitute(&factor, n, &mut beta);
        let mut shift = 0.0;
        if problem.options.intercept {
            let mut of_shift = roots.clone();
            linear::substitute(&factor, n, &mut of_shift);
            let (sum, mass) = (dot(&roots, &beta) + held.iter().sum::<f64>(), dot(&roots, &of_shift));
            if mass > 0.0 {
                shift = sum / mass;
                beta.iter_mut().zip(&of_shift).for_each(|(beta, of_shift)| *beta -= shift * of_shift);
            }
        }
        let alpha: Vec<f64> = roots.iter().zip(&beta).zip(&held).map(|((root, beta), held)| root * beta + held).collect();
        let moved: Vec<f64> = products.times(&alpha).iter().zip(&z).map(|(k, z)| k / lambda - z + shift).collect();
        self.clock.work(n * n).then_some(Step { alpha, moved, shift })
    }
}

/// A Newton step.
struct Step {
    /// Of each row.
    alpha: Vec<f64>,
    /// What η moves by.
    moved: Vec<f64>,
    /// What of it is the intercept's, for columns as they are, from z.
    shift: f64,
}
