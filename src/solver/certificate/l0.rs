//! What a certificate says of the L0 penalty: that no single coefficient, given any value and the intercept moved along with it,
//! lowers F; from the written formulas.
//!
//! The violation is a number without a unit, the largest of three. Of a coefficient that is not 0, and of one that is unpenalised,
//! the size of the slope of the mean loss as a share of √(2λh), the slope that would pay for a coefficient at price λ; h is the second
//! derivative of the mean loss along the column less its mean, of a curved loss at least a quarter of the variance; that of the
//! intercept likewise. Of a coefficient that is not 0: 1 − √(r/λf), r by how much the loss rises without it. Of a coefficient at 0:
//! √(g/λf) − 1, g by how much the loss surely falls with it: c²/2h for the squared loss, c its slope. For logistic and Poisson loss the
//! third derivative is no larger than the second, so that with R = max|x − mean| the loss falls by (h/R²)·((1+a)·ln(1+a) − a), a = |c|R/h
//! (Bach, Electron. J. Stat. 2010); the logistic loss also by 2c²/variance, as no second derivative is above a quarter.

use ndarray::Array1;

use super::super::Loss;
use super::super::clock::Clock;
use super::Witness;
use crate::matrix::Number;

/// Mean, Σ h(x − mean)² and max|x − mean| of a column in some metric h.
struct Spread {
    mean: f64,
    square: f64,
    reach: f64,
}

impl<V: Number> Witness<'_, '_, V> {
    /// Of column `j` in the metric `h`, rows without an entry being 0; without an intercept nothing is taken off.
    fn spread(&self, j: usize, h: &Array1<f64>) -> Spread {
        let column = self.x.iter().flat_map(|x| x.outer_view(j)).next();
        let entries: Vec<(usize, f64)> = column.iter().flat_map(|column| column.iter()).map(|(i, &v)| (i, v.into())).collect();
        let sum: f64 = entries.iter().map(|&(i, v)| h[i] * v).sum();
        let total = h.sum();
        let mean = if self.problem.options.intercept && total > 0.0 { sum / total } else { 0.0 };
        let inside: f64 = entries.iter().map(|&(i, v)| h[i] * (v - mean).powi(2)).sum();
        let present: f64 = entries.iter().map(|&(i, _)| h[i]).sum();
        let absent = if entries.len() < h.len() { mean.abs() } else { 0.0 };
        let reach = entries.iter().filter(|(i, _)| self.s[*i] > 0.0).map(|(_, v)| (v - mean).abs()).fold(absent, f64::max);
        Spread { mean, square: inside + (total - present).max(0.0) * mean * mean, reach }
    }

    /// loss'' of each row times its share.
    fn second(&self) -> Array1<f64> {
        Array1::from_shape_fn(self.s.len(), |i| match self.problem.loss {
            _ if self.s[i] == 0.0 => 0.0,
            Loss::Squared => self.s[i],
            Loss::Poisson => self.s[i] * self.eta[i].exp(),
            // 1/((1 + e^η)(1 + e^−η))
            _ => self.s[i] / (2.0 + self.eta[i].exp() + (-self.eta[i]).exp()),
        })
    }

    /// By how much the loss surely falls with slope `c`.
    fn falls(&self, c: f64, here: &Spread, variance: f64) -> f64 {
        let parabola = |h: f64| if h > 0.0 { (c / h.sqrt()).powi(2) / 2.0 } else { 0.0 };
        if self.problem.loss == Loss::Squared {
            return parabola(here.square);
        }
        let a = if here.square > 0.0 { c.abs() * here.reach / here.square } else { 0.0 };
        // below, the logarithm has not the digits
        let shape = if a < 1e-4 { a * a / 2.0 - a.powi(3) / 6.0 } else { (1.0 + a) * (1.0 + a).ln() - a };
        let bound = if here.reach > 0.0 { here.square / here.reach.powi(2) * shape } else { 0.0 };
        let bound = if bound.is_finite() { bound } else { 0.0 };
        if self.problem.loss == Loss::Logistic { bound.max(parabola(variance / 4.0)) } else { bound }
    }

    /// The violation and its column; `products` are X_jᵀθ. `None` when the clock said stop.
    pub(super) fn violation_of_l0(&self, products: &Array1<f64>, theta: &Array1<f64>, clock: &mut Clock) -> Option<(f64, Option<u32>)> {
        let lambda = self.point.lambda;
        let (h, total) = (self.second(), theta.sum());
        let floor = if self.problem.loss == Loss::Squared { 1.0 } else { 0.25 };
        let slope = |c: f64, square: f64| {
            if square <= 0.0 || c == 0.0 {
                return 0.0;
            }
            let size = c.abs() / (2.0 * square).sqrt();
            if lambda > 0.0 { size / lambda.sqrt() } else { size }
        };
        let mut worst = (if self.problem.options.intercept { slope(total, h.sum().max(floor)) } else { 0.0 }, None);
        let loss = self.mean_loss(&self.eta, clock);
        for j in (0..self.w.len()).filter(|&j| self.sigma[j] > 0.0) {
            let nnz = self.x.iter().flat_map(|x| x.outer_view(j)).map(|column| column.nnz()).sum::<usize>();
            if !clock.touch(4 * nnz) {
                return None;
            }
            let (here, factor) = (self.spread(j, &h), self.factor(j));
            let variance = self.spread(j, &self.s).square;
            // a column that is constant but for rounding
            if variance <= 1e-26 * here.reach.powi(2) {
                continue;
            }
            let c = products[j] - here.mean * total;
            let mut distance = 0.0;
            if self.w[j] != 0.0 || factor == 0.0 {
                distance = slope(c, here.square.max(floor * variance));
            }
            if self.w[j] != 0.0 && factor > 0.0 {
                let mut eta = &self.eta + self.w[j] * here.mean;
                self.x
                    .iter()
                    .flat_map(|x| x.outer_view(j))
                    .for_each(|column| column.iter().for_each(|(i, &v)| eta[i] -= v.into() * self.w[j]));
                let rise = (self.mean_loss(&eta, clock) - loss).max(0.0);
                distance = f64::max(distance, 1.0 - (rise / (lambda * factor)).sqrt());
            } else if factor > 0.0 {
                let fall = self.falls(c, &here, variance);
                distance = if fall > 0.0 { (fall / (lambda * factor)).sqrt() - 1.0 } else { 0.0 };
            }
            if distance > worst.0 {
                worst = (distance, Some(j as u32));
            }
        }
        (!clock.cancelled).then_some(worst)
    }
}
