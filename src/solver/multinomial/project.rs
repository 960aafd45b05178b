//! θ less its part in the span of the intercepts and of the unpenalised columns of all classes: what one Newton step on those
//! would make of it. A dual point must be orthogonal to them.
//!
//! The system has a row for each of them and each class, so it is never written down: conjugate gradients (Hestenes &
//! Stiefel, 1952), scaled by the diagonal. It is singular along what is the same for all classes, where θ has no part.

use crate::matrix::{self, Column, Number};
use crate::solver::Problem;
use crate::solver::clock::Clock;

/// Steps of one solve.
const STEPS: usize = 200;
/// Sums are taken as 0 below this share of the sum of sizes: rounding leaves no less.
const SMALL: f64 = 1e-15;
/// How far one solve reduces them, squared.
const NEARER: f64 = 1e-20;

/// The columns to be orthogonal to, and the second derivatives at probabilities `p`.
struct Span<'s, V> {
    share: &'s [f64],
    p: &'s [f64],
    intercept: bool,
    columns: Vec<Column<'s, V>>,
}

/// θ made orthogonal, at the probabilities `p`; worth nothing when `clock` said stop.
pub(super) fn project<V: Number>(problem: &Problem, values: &[V], p: &[f64], theta: &mut [f64], clock: &mut Clock) {
    let columns = problem.free.iter().map(|&j| problem.data.x.column(j as usize, values)).collect();
    let span = Span { share: &problem.share, p, intercept: problem.options.intercept, columns };
    if span.is_empty() || p.is_empty() {
        return;
    }
    // Again: the second solve removes the rounding of the first.
    for _ in 0..3 {
        let mut rest = span.sums(theta, clock);
        if clock.cancelled || rest.iter().all(|rest| rest.abs() <= SMALL) {
            return;
        }
        span.center(&mut rest);
        let step = span.solve(rest, clock);
        let (bent, _) = span.bend(&step, clock);
        theta.iter_mut().zip(&bent).for_each(|(theta, bent)| *theta -= bent);
    }
}

impl<V: Number> Span<'_, V> {
    fn is_empty(&self) -> bool {
        !self.intercept && self.columns.is_empty()
    }

    /// Columns, the intercept among them.
    fn width(&self) -> usize {
        self.columns.len() + usize::from(self.intercept)
    }

    /// Each column's product with each class of `rows`; columns first, the intercept last.
    fn sums(&self, rows: &[f64], clock: &mut Clock) -> Vec<f64> {
        let mut sums = Vec::with_capacity(rows.len() / self.share.len() * self.width());
        for rows in rows.chunks_exact(self.share.len()) {
            for column in &self.columns {
                clock.touch(column.nnz());
                sums.push(column.dot(rows));
            }
            if self.intercept {
                clock.work(rows.len());
                sums.push(rows.iter().sum());
            }
        }
        sums
    }

    /// Takes off what is the same for all classes: rounding, of which the system has no part.
    fn center(&self, sums: &mut [f64]) {
        let width = self.width();
        let n_classes = (sums.len() / width) as f64;
        for column in 0..width {
            let mean = sums.iter().skip(column).step_by(width).sum::<f64>() / n_classes;
            sums.iter_mut().skip(column).step_by(width).for_each(|sum| *sum -= mean);
        }
    }

    /// H·(the rows' predictors under the coefficients `z`), and its products with `z`'s predictors.
    fn bend(&self, z: &[f64], clock: &mut Clock) -> (Vec<f64>, f64) {
        let (n, width) = (self.share.len(), self.width());
        let mut rows = vec![0.0; self.p.len()];
        let mut means = vec![0.0; n];
        for ((rows, p), z) in rows.chunks_exact_mut(n).zip(self.p.chunks_exact(n)).zip(z.chunks_exact(width)) {
            clock.work(4 * n);
            if self.intercept {
                rows.fill(z[width - 1]);
            }
            for (column, &z) in self.columns.iter().zip(z).filter(|(_, z)| **z != 0.0) {
                clock.touch(column.nnz());
                column.add_to(z, rows);
            }
            means.iter_mut().zip(&*rows).zip(p).for_each(|((mean, row), p)| *mean += p * row);
        }
        let mut product = 0.0;
        for (rows, p) in rows.chunks_exact_mut(n).zip(self.p.chunks_exact(n)) {
            for ((row, p), (mean, share)) in rows.iter_mut().zip(p).zip(means.iter().zip(self.share)) {
                let away = *row - mean;
                let bent = share * p * away;
                product += bent * away;
                *row = bent;
            }
        }
        (rows, product)
    }

    /// The diagonal of the system.
    fn diagonal(&self) -> Vec<f64> {
        let n = self.share.len();
        let mut diagonal = Vec::with_capacity(self.width() * self.p.len() / n);
        for p in self.p.chunks_exact(n) {
            let h: Vec<f64> = p.iter().zip(self.share).map(|(p, share)| share * p * (1.0 - p)).collect();
            diagonal.extend(self.columns.iter().map(|column| column.moments(&h).1));
            if self.intercept {
                diagonal.push(h.iter().sum());
            }
        }
        diagonal
    }

    /// The coefficients whose bend has the sums `rest`.
    fn solve(&self, mut rest: Vec<f64>, clock: &mut Clock) -> Vec<f64> {
        let diagonal = self.diagonal();
        let scaled = |rest: &[f64]| -> Vec<f64> {
            // a column whose rows have no curvature left has no part left either
            rest.iter().zip(&diagonal).map(|(rest, d)| if *d > 0.0 { rest / d } else { 0.0 }).collect()
        };
        let mut z = vec![0.0; rest.len()];
        let mut direction = scaled(&rest);
        let mut size = matrix::dot(&rest, &direction);
        let goal = NEARER * size;
        for _ in 0..STEPS {
            if size <= goal || clock.cancelled {
                break;
            }
            let (bent, bend) = self.bend(&direction, clock);
            let length = size / bend;
            if !length.is_finite() {
                break;
            }
            z.iter_mut().zip(&direction).for_each(|(z, d)| *z += length * d);
            rest.iter_mut().zip(self.sums(&bent, clock)).for_each(|(rest, sum)| *rest -= length * sum);
            self.center(&mut rest);
            let next = scaled(&rest);
            let size_now = matrix::dot(&rest, &next);
            let follow = size_now / size;
            size = size_now;
            direction.iter_mut().zip(&next).for_each(|(d, next)| *d = next + follow * *d);
        }
        z
    }
}
