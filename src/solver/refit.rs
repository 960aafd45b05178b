//! A fit of some columns without their penalty, from the point a penalised fit left.
//!
//! Newton's method, each step by a factor of the second derivatives where columns are few, else by conjugate gradients, so
//! that no large matrix of columns by columns is ever made; a step that does not bring the objective down is halved. A ridge of [`RIDGE`] times the curvature of the null model, on columns of
//! unit spread, makes the answer unique and finite where columns depend on one another, where there are more of them than
//! rows, and where they separate two classes; elsewhere it moves a coefficient by about a millionth.

use super::clock::Clock;
use super::{Data, Loss, Observe, Point};
use crate::matrix::{self, Number, ValuesView};

/// Weight of the ridge.
const RIDGE: f64 = 1e-6;
/// Share of the objective that a step must promise to be taken.
const PROMISE: f64 = 1e-13;
/// Residual of a Newton equation that is solved, relative to its right side: the sharpest, and the bluntest far from the goal.
const EXACT: f64 = 1e-7;
const BLUNT: f64 = 0.1;
const STEPS_MAX: usize = 100;
/// Most columns whose second derivatives are factorised.
const FACTORED_MAX: usize = 300;
/// Products with the columns and back, over all steps.
const PRODUCTS_MAX: usize = 5000;

/// Coefficients without a penalty.
#[derive(Clone, Debug, PartialEq)]
pub struct Refit {
    /// Coefficients of the point's columns, in their order; 0 where a column is constant on the rows with weight.
    pub values: Vec<f64>,
    /// Intercept; 0 without one.
    pub intercept: f64,
    /// Whether no step was left that promised anything.
    pub converged: bool,
}

/// Fits the columns of `point` without their penalty. A function of its arguments alone; `None` when `observe` said stop.
pub fn refit(data: Data, loss: Loss, intercept: bool, point: &Point, observe: &Observe) -> Option<Refit> {
    match data.x.values {
        ValuesView::Single(values) => Newton::new(data, values, loss, intercept, point, observe)?.minimise(),
        ValuesView::Double(values) => Newton::new(data, values, loss, intercept, point, observe)?.minimise(),
    }
}

struct Newton<'a, V> {
    data: Data<'a>,
    values: &'a [V],
    loss: Loss,
    intercept: bool,
    columns: &'a [u32],
    /// s / Σs.
    share: Vec<f64>,
    /// Mean and spread of each column; spread 0 = constant.
    center: Vec<f64>,
    spread: Vec<f64>,
    ridge: f64,
    /// Size of the first gradient.
    first: Option<f64>,
    /// Coefficients of centred columns of unit spread, then the intercept.
    u: Vec<f64>,
    eta: Vec<f64>,
    clock: Clock<'a>,
}

impl<'a, V: Number> Newton<'a, V> {
    fn new(data: Data<'a>, values: &'a [V], loss: Loss, intercept: bool, point: &'a Point, observe: &'a Observe<'a>) -> Option<Self> {
        let n = data.x.n_rows;
        let weight = |i: usize| data.weights.map_or(1.0, |s| s[i]);
        let total: f64 = (0..n).map(weight).sum();
        let share: Vec<f64> = (0..n).map(|i| weight(i) / total).collect();
        let mut clock = Clock::new(observe);
        let (mut center, mut spread) = (Vec::new(), Vec::new());
        for &j in &point.columns {
            let column = data.x.column(j as usize, values);
            if !clock.touch(2 * column.nnz()) {
                return None;
            }
            let (mean, square, mass) = column.moments(&share);
            let middle = if intercept { mean } else { 0.0 };
            let inside: f64 = column.iter().map(|(i, x)| share[i] * (x - middle).powi(2)).sum();
            let variance = inside + (1.0 - mass).max(0.0) * middle * middle;
            center.push(middle);
            spread.push(if variance > 1e-24 * square { variance.sqrt() } else { 0.0 });
        }
        let columns = &point.columns[..];
        let mut u: Vec<f64> = point.values.iter().zip(&spread).map(|(w, d)| w * d).collect();
        let shift: f64 = point.values.iter().zip(&center).zip(&spread).filter(|(_, d)| **d > 0.0).map(|((w, c), _)| w * c).sum();
        u.push(if intercept { point.intercept + shift } else { 0.0 });
        let mut newton =
            Self { data, values, loss, intercept, columns, share, center, spread, ridge: RIDGE, first: None, u, eta: Vec::new(), clock };
        newton.ridge = RIDGE * newton.null_curvature();
        newton.eta = newton.predictor(&newton.u.clone());
        (!newton.clock.cancelled).then_some(newton)
    }

    /// Mean curvature of the loss at the best constant: 1, p(1 − p), the mean count.
    fn null_curvature(&self) -> f64 {
        let mean = matrix::dot(&self.share, self.data.y);
        match self.loss {
            Loss::Squared | Loss::Huber { .. } => 1.0,
            Loss::SquaredHinge => 2.0,
            Loss::Logistic => ((1.0 - mean * mean) / 4.0).max(1e-6),
            Loss::Poisson => mean.max(f64::MIN_POSITIVE),
        }
    }

    fn minimise(mut self) -> Option<Refit> {
        let (mut converged, mut products) = (false, 0);
        let mut value = self.value(&self.u.clone(), &self.eta.clone());
        let unit = value.abs().max(f64::MIN_POSITIVE);
        for _ in 0..STEPS_MAX {
            let (gradient, curvature) = self.slope();
            let (step, used) = self.newton_step(&gradient, &curvature, PRODUCTS_MAX - products);
            products += used;
            if self.clock.cancelled {
                return None;
            }
            let promise = -matrix::dot(&gradient, &step);
            if promise <= PROMISE * unit {
                converged = promise.is_finite();
                break;
            }
            let along = self.apply(&step);
            let Some(next) = self.come_down(value, promise, &step, &along) else {
                converged = promise <= 1e-9 * unit;
                break;
            };
            value = next;
            if products >= PRODUCTS_MAX {
                break;
            }
        }
        if self.clock.cancelled {
            return None;
        }
        let m = self.columns.len();
        let values: Vec<f64> = (0..m).map(|k| if self.spread[k] > 0.0 { self.u[k] / self.spread[k] } else { 0.0 }).collect();
        let shift = matrix::dot(&values, &self.center);
        let intercept = if self.intercept { self.u[m] - shift } else { 0.0 };
        Some(Refit { values, intercept, converged })
    }

    /// Takes the step, or half of it, or half of that, …; the new value, `None` where none is lower.
    fn come_down(&mut self, value: f64, promise: f64, step: &[f64], along: &[f64]) -> Option<f64> {
        let mut length = 1.0;
        for _ in 0..60 {
            let u: Vec<f64> = self.u.iter().zip(step).map(|(u, d)| u + length * d).collect();
            let eta: Vec<f64> = self.eta.iter().zip(along).map(|(eta, d)| eta + length * d).collect();
            let next = self.value(&u, &eta);
            // not so for NaN
            if next <= value - 1e-4 * length * promise && next.is_finite() {
                (self.u, self.eta) = (u, eta);
                return Some(next);
            }
            length /= 2.0;
        }
        None
    }

    /// Offsets and all that the coefficients add.
    fn predictor(&mut self, u: &[f64]) -> Vec<f64> {
        let mut eta = self.apply(u);
        if let Some(offset) = self.data.offset {
            eta.iter_mut().zip(offset).for_each(|(eta, o)| *eta += o);
        }
        eta
    }

    /// X̃v, X̃ = centred columns of unit spread and a column of ones; worth nothing when the clock said stop.
    fn apply(&mut self, v: &[f64]) -> Vec<f64> {
        let m = self.columns.len();
        let shift: f64 = (0..m).filter(|&k| self.spread[k] > 0.0).map(|k| v[k] / self.spread[k] * self.center[k]).sum();
        let mut out = vec![v[m] - shift; self.data.x.n_rows];
        for k in (0..m).filter(|&k| self.spread[k] > 0.0 && v[k] != 0.0) {
            let column = self.data.x.column(self.columns[k] as usize, self.values);
            if !self.clock.touch(column.nnz()) {
                break;
            }
            column.add_to(v[k] / self.spread[k], &mut out);
        }
        out
    }

    /// X̃ᵀr; worth nothing when the clock said stop.
    fn apply_back(&mut self, r: &[f64]) -> Vec<f64> {
        let m = self.columns.len();
        let sum: f64 = r.iter().sum();
        let mut out = vec![0.0; m + 1];
        for k in (0..m).filter(|&k| self.spread[k] > 0.0) {
            let column = self.data.x.column(self.columns[k] as usize, self.values);
            if !self.clock.touch(column.nnz()) {
                break;
            }
            out[k] = (column.dot(r) - self.center[k] * sum) / self.spread[k];
        }
        out[m] = if self.intercept { sum } else { 0.0 };
        out
    }

    fn value(&mut self, u: &[f64], eta: &[f64]) -> f64 {
        let (mut losses, mut sum) = (Vec::new(), 0.0);
        let (data, loss, share) = (&self.data, self.loss, &self.share);
        self.clock.rows(eta.len(), 2, |rows| {
            losses.resize(rows.len(), 0.0);
            loss.values(&data.y[rows.clone()], &eta[rows.clone()], &mut losses);
            // what a row without weight holds may be anything
            losses.iter_mut().zip(&share[rows.clone()]).for_each(|(loss, s)| *loss = if *s > 0.0 { *loss } else { 0.0 });
            sum += matrix::dot(&share[rows], &losses);
        });
        let m = self.columns.len();
        sum + self.ridge / 2.0 * matrix::dot(&u[..m], &u[..m])
    }

    /// The gradient, and share·loss'' of each row.
    fn slope(&mut self) -> (Vec<f64>, Vec<f64>) {
        let mut theta = vec![0.0; self.eta.len()];
        self.loss.descents(self.data.y, &self.eta, &mut theta);
        let mut curvature = vec![0.0; theta.len()];
        for i in 0..theta.len() {
            let s = self.share[i];
            (curvature[i], theta[i]) =
                if s > 0.0 { (s * self.loss.curvature(self.data.y[i], theta[i]), -s * theta[i]) } else { (0.0, 0.0) };
        }
        let mut gradient = self.apply_back(&theta);
        let m = self.columns.len();
        gradient[..m].iter_mut().zip(&self.u).for_each(|(g, u)| *g += self.ridge * u);
        (gradient, curvature)
    }

    /// The diagonal of the second derivatives.
    fn diagonal(&mut self, curvature: &[f64]) -> Vec<f64> {
        let m = self.columns.len();
        let whole: f64 = curvature.iter().sum();
        let mut diagonal = vec![1.0; m + 1];
        for k in (0..m).filter(|&k| self.spread[k] > 0.0) {
            let column = self.data.x.column(self.columns[k] as usize, self.values);
            if !self.clock.touch(column.nnz()) {
                break;
            }
            let (c, (sum, square, _)) = (self.center[k], column.moments(curvature));
            let spread = (square - 2.0 * c * sum + c * c * whole) / (self.spread[k] * self.spread[k]);
            diagonal[k] = spread.max(0.0) + self.ridge;
        }
        diagonal[m] = if self.intercept { whole.max(f64::MIN_POSITIVE) } else { 1.0 };
        diagonal
    }

    /// The Newton step, and the products it took: where conjugate gradients do not get there soon, a factor does.
    fn newton_step(&mut self, gradient: &[f64], curvature: &[f64], most: usize) -> (Vec<f64>, usize) {
        let m = self.columns.len();
        let few = m <= FACTORED_MAX;
        let (step, used, solved) = self.conjugate_step(gradient, curvature, most.min(if few { m / 4 + 16 } else { 2 * m + 10 }));
        let factored = if few && !solved { self.factored_step(gradient, curvature) } else { None };
        (factored.unwrap_or(step), used)
    }

    /// By a factor; `None` where rounding leaves none.
    fn factored_step(&mut self, gradient: &[f64], curvature: &[f64]) -> Option<Vec<f64>> {
        let size = self.columns.len() + 1;
        let mut factor = vec![0.0; size * size];
        let mut unit = vec![0.0; size];
        for k in 0..size {
            unit[k] = 1.0;
            let mut along = self.apply(&unit);
            unit[k] = 0.0;
            along.iter_mut().zip(curvature).for_each(|(a, h)| *a *= h);
            let bent = self.apply_back(&along);
            factor[k * size..=k * size + k].copy_from_slice(&bent[..=k]);
            let still = if k + 1 == size { !self.intercept } else { self.spread[k] == 0.0 };
            if still {
                factor[k * size..k * size + k].fill(0.0);
                factor[k * size + k] = 1.0;
            } else if k + 1 < size {
                factor[k * size + k] += self.ridge;
            }
            if !self.clock.work(k * k) {
                return None;
            }
            // the next row of the lower triangle (Cholesky)
            for l in 0..=k {
                let known = matrix::dot(&factor[k * size..k * size + l], &factor[l * size..l * size + l]);
                let rest = factor[k * size + l] - known;
                factor[k * size + l] = if l < k { rest / factor[l * size + l] } else { rest.sqrt() };
            }
            if !(factor[k * size + k] > 0.0 && factor[k * size + k].is_finite()) {
                return None;
            }
        }
        let mut step: Vec<f64> = gradient.iter().map(|g| -g).collect();
        for k in 0..size {
            let known = matrix::dot(&factor[k * size..k * size + k], &step[..k]);
            step[k] = (step[k] - known) / factor[k * size + k];
        }
        for k in (0..size).rev() {
            step[k] /= factor[k * size + k];
            let this = step[k];
            step[..k].iter_mut().zip(&factor[k * size..]).for_each(|(s, f)| *s -= this * f);
        }
        Some(step)
    }

    /// By conjugate gradients, preconditioned by the diagonal; the products it took, and whether it got there.
    fn conjugate_step(&mut self, gradient: &[f64], curvature: &[f64], most: usize) -> (Vec<f64>, usize, bool) {
        let m = self.columns.len();
        let diagonal = self.diagonal(curvature);
        let mut step = vec![0.0; m + 1];
        let mut rest: Vec<f64> = gradient.iter().map(|g| -g).collect();
        let mut eased: Vec<f64> = rest.iter().zip(&diagonal).map(|(r, d)| r / d).collect();
        let mut direction = eased.clone();
        let mut size = matrix::dot(&rest, &eased);
        // a curved loss moves the equation with the step: far away it is not worth solving well (Dembo, Eisenstat & Steihaug 1982)
        let first = *self.first.get_or_insert(size);
        let sharpness = if self.loss == Loss::Squared { EXACT } else { (size / first).powf(0.25).clamp(EXACT, BLUNT) };
        let goal = sharpness * sharpness * size;
        for used in 0..most {
            if !(size > goal && size.is_finite()) || self.clock.cancelled {
                return (step, used, true);
            }
            let mut along = self.apply(&direction);
            along.iter_mut().zip(curvature).for_each(|(a, h)| *a *= h);
            let mut bent = self.apply_back(&along);
            bent[..m].iter_mut().zip(&direction).for_each(|(b, d)| *b += self.ridge * d);
            let bend = matrix::dot(&direction, &bent);
            if !(bend > 0.0 && bend.is_finite()) {
                return (step, used + 1, false);
            }
            let length = size / bend;
            step.iter_mut().zip(&direction).for_each(|(s, d)| *s += length * d);
            rest.iter_mut().zip(&bent).for_each(|(r, b)| *r -= length * b);
            eased.iter_mut().zip(&rest).zip(&diagonal).for_each(|((e, r), d)| *e = r / d);
            let next = matrix::dot(&rest, &eased);
            let turn = next / size;
            direction.iter_mut().zip(&eased).for_each(|(d, e)| *d = e + turn * *d);
            size = next;
        }
        (step, most, size <= goal)
    }
}
