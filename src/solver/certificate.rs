//! How good a solution is: primal, dual, gap and largest KKT violation, by code that is not the solver's.

//! It starts from the raw data and the written objective at coefficients on the original scale, walks the matrix by
//! another library's view of it, and shares no kernel, no statistic and no dual point with the solver.

mod l0;
mod shapes;

use ndarray::Array1;
use sprs::CsMatViewI;

use super::clock::Clock;
use super::{Loss, Observe, Point, Problem, Shape, multinomial};
use crate::matrix::{Number, ValuesView};

/// What can be proven of a solution, in the units of the objective.
#[derive(Clone, Copy, Debug)]
pub struct Certificate {
    /// F at the solution.
    pub primal: f64,
    /// Value of a feasible dual point: a lower bound on the minimum of F; −∞ where the penalty is not convex, as nothing bounds it.
    pub dual: f64,
    /// `primal − dual`.
    pub gap: f64,
    /// `gap / F(w = 0, best b)`; the gap itself when that is 0.
    pub relative_gap: f64,
    /// Largest distance of a column's negative gradient to the subdifferential of its penalty, in units of λ on the penalty's scale;
    /// where the penalty is not convex also that of the intercept's gradient to 0. Of [`Shape::L0`] see `certificate/l0.rs`.
    pub max_kkt_violation: f64,
    /// Position of the stored column that has it; `None` when no column violates.
    pub kkt_column: Option<u32>,
}

/// Recomputes everything from the raw data and the coefficients of `point`. Costs a few passes over X; `None` when
/// `observe` said to stop.
pub fn certify(problem: &Problem, point: &Point, observe: &Observe) -> Option<Certificate> {
    if let Some(classes) = &problem.classes {
        return multinomial::certify(problem, classes, point, observe);
    }
    let mut clock = Clock::new(observe);
    match problem.data.x.values {
        ValuesView::Single(values) => Witness::new(problem, values, point, &mut clock)?.certificate(&mut clock),
        ValuesView::Double(values) => Witness::new(problem, values, point, &mut clock)?.certificate(&mut clock),
    }
}

type View<'a, V> = CsMatViewI<'a, V, u32, u64>;

/// Everything measured of a solution.
struct Witness<'p, 'a, V> {
    problem: &'p Problem<'a>,
    point: &'p Point,
    x: Option<View<'a, V>>,
    /// s/Σs.
    s: Array1<f64>,
    /// σ_j; 0 for a column that must stay at 0.
    sigma: Array1<f64>,
    eta: Array1<f64>,
    w: Array1<f64>,
}

impl<'p, 'a, V: Number> Witness<'p, 'a, V> {
    fn new(problem: &'p Problem<'a>, values: &'a [V], point: &'p Point, clock: &mut Clock) -> Option<Self> {
        let data = &problem.data;
        let (n, p) = (data.x.n_rows, data.x.len());
        let x = View::try_new_csc((n, p), data.x.offsets, data.x.rows, values).ok();
        let raw = Array1::from_shape_fn(n, |i| data.weights.map_or(1.0, |s| s[i]));
        let s = &raw / raw.sum();
        let mut w = Array1::zeros(p);
        for (&j, &value) in point.columns.iter().zip(&point.values) {
            w[j as usize] = value;
        }
        let mut eta = Array1::from_shape_fn(n, |i| point.intercept + data.offset.map_or(0.0, |o| o[i]));
        let mut sigma = Array1::ones(p);
        for (j, column) in x.iter().flat_map(|x| x.outer_iterator()).enumerate() {
            if !clock.touch(3 * column.nnz()) {
                return None;
            }
            let weighted = || column.iter().map(|(i, &v)| (s[i], v.into()));
            let mean: f64 = weighted().map(|(s, v): (f64, f64)| s * v).sum();
            let inside: f64 = weighted().map(|(s, v)| s * (v - mean).powi(2)).sum();
            let present: f64 = weighted().map(|(s, _)| s).sum();
            let deviation = (inside + (1.0 - present).max(0.0) * mean * mean).sqrt();
            // The zeros that rounding leaves of a constant column.
            let still = deviation <= 1e-13 * mean.abs() || deviation == 0.0;
            if problem.options.standardize {
                sigma[j] = if still { 0.0 } else { deviation };
            }
            if w[j] != 0.0 {
                column.iter().for_each(|(i, &v)| eta[i] += v.into() * w[j]);
            }
        }
        Some(Self { problem, point, x, s, sigma, eta, w })
    }

    /// Where w_j must stay.
    fn interval(&self, j: usize) -> (f64, f64) {
        self.problem.penalty.bounds.map_or((f64::NEG_INFINITY, f64::INFINITY), |bounds| (bounds.low[j], bounds.high[j]))
    }

    fn factor(&self, j: usize) -> f64 {
        self.problem.penalty.factors.map_or(1.0, |f| f[j])
    }

    fn certificate(&self, clock: &mut Clock) -> Option<Certificate> {
        let primal = self.primal(clock);
        let residual = self.residual();
        let raw = self.products(&residual, clock)?;
        let (max_kkt_violation, kkt_column) = match self.problem.penalty.shape {
            Shape::Net => self.violation(&raw),
            Shape::L0 => self.violation_of_l0(&raw, &residual, clock)?,
            shape => self.violation_of(shape, &raw, &residual),
        };
        if matches!(self.problem.penalty.shape, Shape::Mcp { .. } | Shape::Scad { .. } | Shape::L0) {
            let (dual, gap) = (f64::NEG_INFINITY, f64::INFINITY);
            return (!clock.cancelled).then_some(Certificate { primal, dual, gap, relative_gap: gap, max_kkt_violation, kkt_column });
        }
        let theta = self.feasible(residual, clock)?;
        let products = self.products(&theta, clock)?;
        let dual = self.dual(&theta, &products, clock);
        let gap = (primal - dual).max(0.0);
        let null = self.null(clock);
        let relative_gap = if null == 0.0 { gap } else { gap / null.abs() };
        (!clock.cancelled).then_some(Certificate { primal, dual, gap, relative_gap, max_kkt_violation, kkt_column })
    }

    fn loss(&self, y: f64, eta: f64) -> f64 {
        match self.problem.loss {
            Loss::Squared => (y - eta).powi(2) / 2.0,
            // the convex hull of a parabola and its tangents: for |r| ≥ δ the tangent at δ
            Loss::Huber { delta } => match (y - eta).abs() {
                r if r < delta => r.powi(2) / 2.0,
                r => delta * r - delta.powi(2) / 2.0,
            },
            Loss::SquaredHinge => {
                if y * eta < 1.0 {
                    (1.0 - y * eta).powi(2)
                } else {
                    0.0
                }
            }
            Loss::Logistic if -y * eta > 30.0 => -y * eta + (y * eta).exp(),
            Loss::Logistic => (-y * eta).exp().ln_1p(),
            Loss::Poisson => eta.exp() - y * eta,
        }
    }

    /// Worth nothing, as all that follows from it, when `clock` said stop.
    fn mean_loss(&self, eta: &Array1<f64>, clock: &mut Clock) -> f64 {
        let y = self.problem.data.y;
        let mut sum = 0.0;
        clock.rows(y.len(), 8, |rows| sum += rows.filter(|&i| self.s[i] > 0.0).map(|i| self.s[i] * self.loss(y[i], eta[i])).sum::<f64>());
        sum
    }

    fn primal(&self, clock: &mut Clock) -> f64 {
        let ratio = self.problem.penalty.l1_ratio;
        let each = |j: usize| {
            let u = self.w[j] * self.sigma[j];
            self.factor(j) * (ratio * u.abs() + (1.0 - ratio) / 2.0 * u * u)
        };
        if (0..self.w.len()).any(|j| self.w[j] < self.interval(j).0 || self.w[j] > self.interval(j).1) {
            return f64::INFINITY;
        }
        let penalty = match self.problem.penalty.shape {
            Shape::Net => self.point.lambda * (0..self.w.len()).map(each).sum::<f64>(),
            shape => self.penalty_of(shape),
        };
        self.mean_loss(&self.eta, clock) + penalty
    }

    /// θ = −s·loss'.
    fn residual(&self) -> Array1<f64> {
        let y = self.problem.data.y;
        Array1::from_shape_fn(y.len(), |i| {
            let slope = slope(self.problem.loss, y[i], self.eta[i]);
            if self.s[i] > 0.0 { -self.s[i] * slope } else { 0.0 }
        })
    }

    /// Xᵀθ.
    fn products(&self, theta: &Array1<f64>, clock: &mut Clock) -> Option<Array1<f64>> {
        let columns = self.x.iter().flat_map(|x| x.outer_iterator());
        let product = |column: sprs::CsVecViewI<'_, V, u32>| {
            clock.touch(column.nnz()).then(|| column.iter().map(|(i, &v)| v.into() * theta[i]).sum::<f64>())
        };
        columns.map(product).collect()
    }

    /// Distance of each X_jᵀθ to the subdifferential of its penalty, as a share of λ; the intercept has no column.
    fn violation(&self, products: &Array1<f64>) -> (f64, Option<u32>) {
        let (ratio, lambda) = (self.problem.penalty.l1_ratio, self.point.lambda);
        let (mut worst, mut place) = (0.0, None);
        for j in (0..self.w.len()).filter(|&j| self.sigma[j] > 0.0) {
            let (c, u) = (products[j] / self.sigma[j], self.w[j] * self.sigma[j]);
            let bound = lambda * self.factor(j) * ratio;
            let pull = lambda * self.factor(j) * (1.0 - ratio) * u;
            // the subdifferential is an interval: of the kink a whole one, and at an end of the bounds open to that side
            let (low, high) = self.interval(j);
            let least = if self.w[j] <= low { f64::NEG_INFINITY } else { pull + if u > 0.0 { bound } else { -bound } };
            let most = if self.w[j] >= high { f64::INFINITY } else { pull + if u < 0.0 { -bound } else { bound } };
            let distance = (least - c).max(c - most).max(0.0);
            if distance > worst {
                (worst, place) = (distance, Some(j as u32));
            }
        }
        (if lambda > 0.0 { worst / lambda } else { worst }, place)
    }

    /// θ made orthogonal to the intercept and the unpenalised columns: least squares in the metric of the curvature,
    /// by Gaussian elimination with pivoting on the dense normal equations.
    fn feasible(&self, mut theta: Array1<f64>, clock: &mut Clock) -> Option<Array1<f64>> {
        let n = theta.len();
        let curvature = Array1::from_shape_fn(n, |i| match self.problem.loss {
            Loss::Squared => self.s[i],
            Loss::Logistic if self.s[i] > 0.0 => {
                let p = (theta[i] / self.s[i]).abs();
                self.s[i] * (p * (1.0 - p))
            }
            // what is left to the edge of |u| ≤ δ on either side: a step in this metric ends inside
            Loss::Huber { delta } => {
                let u = if self.s[i] > 0.0 { theta[i] / self.s[i] / delta } else { 1.0 };
                if u.abs() < 1.0 - 1e-12 { self.s[i] * (1.0 - u) * (1.0 + u) } else { 0.0 }
            }
            // what is left to the edge of uy ≥ 0
            Loss::SquaredHinge => theta[i].abs(),
            Loss::Logistic => 0.0,
            Loss::Poisson => self.s[i] * self.eta[i].exp(),
        });
        let mut basis: Vec<Array1<f64>> = Vec::new();
        if self.problem.options.intercept {
            basis.push(Array1::ones(n));
        }
        for (j, column) in self.x.iter().flat_map(|x| x.outer_iterator()).enumerate() {
            if self.factor(j) == 0.0 && self.sigma[j] > 0.0 && !self.is_grouped() && self.interval(j) != (0.0, 0.0) {
                let mut dense = Array1::zeros(n);
                column.iter().for_each(|(i, &v)| dense[i] = v.into());
                basis.push(dense);
            }
        }
        let weighted: Vec<Array1<f64>> = basis.iter().map(|b| b * &curvature).collect();
        let row = |a: &Array1<f64>| weighted.iter().map(|b| clock.work(n).then(|| a.dot(b))).collect();
        let normal: Vec<Vec<f64>> = basis.iter().map(row).collect::<Option<_>>()?;
        for _ in 0..3 {
            let right: Vec<f64> = basis.iter().map(|b| b.dot(&theta)).collect();
            for (c, column) in eliminate(normal.clone(), right).into_iter().zip(&weighted) {
                theta.scaled_add(-c, column);
            }
        }
        // Where all rows of a column are at the edge, nothing could be taken off, and a long step may pass it: then only the point 0
        // is sure to be feasible.
        let sizes = theta.mapv(f64::abs);
        let off = |b: &Array1<f64>| b.dot(&theta).abs() > 1e-10 * b.mapv(f64::abs).dot(&sizes);
        let outside = match self.problem.loss {
            Loss::Huber { .. } => basis.iter().any(off),
            Loss::SquaredHinge => {
                let wrong = |i: usize| theta[i] * self.problem.data.y[i] < -1e-12 * self.s[i];
                basis.iter().any(off) || (0..n).any(wrong)
            }
            Loss::Squared | Loss::Logistic | Loss::Poisson => false,
        };
        if outside {
            theta.fill(0.0);
        }
        Some(theta)
    }

    /// The better of the dual values at θ and at θ scaled to the L1 bounds, of those columns that no interval holds back.
    fn dual(&self, theta: &Array1<f64>, products: &Array1<f64>, clock: &mut Clock) -> f64 {
        let (ratio, lambda, data) = (self.problem.penalty.l1_ratio, self.point.lambda, &self.problem.data);
        let sides = || {
            (0..self.w.len()).filter(|&j| self.sigma[j] > 0.0 && self.factor(j) > 0.0 && !self.is_grouped()).map(|j| {
                let weight = lambda * self.factor(j);
                let c = products[j] / self.sigma[j];
                let (low, high) = self.interval(j);
                // how far |u| may go to the side of c
                let end = if c < 0.0 { -low } else { high } * self.sigma[j];
                (c.abs(), weight * ratio, weight * (1.0 - ratio), end)
            })
        };
        let fits = sides().filter(|side| side.3.is_infinite());
        let fits = fits.map(|(c, l1, ..)| if c > 0.0 { l1 / c } else { f64::INFINITY }).fold(f64::INFINITY, f64::min);
        let fits = if let Shape::Groups(groups) = self.problem.penalty.shape { self.fit_of_groups(groups, products, clock) } else { fits };
        let mut value = |t: f64| {
            let one = |i: usize| {
                let offset = data.offset.map_or(0.0, |o| o[i]);
                let u = t * theta[i] / self.s[i];
                self.s[i] * (conjugate(self.problem.loss, data.y[i], u) + u * offset)
            };
            let mut conjugates = 0.0;
            clock.rows(theta.len(), 16, |rows| conjugates += rows.filter(|&i| self.s[i] > 0.0).map(one).sum::<f64>());
            let over: f64 = sides()
                .map(|(c, l1, l2, end)| ((t * c - l1).max(0.0), l2, end))
                .filter(|(over, ..)| *over > 0.0)
                .map(|(over, l2, end)| {
                    // over·u − l2/2·u² at its top, or at the end before it
                    let top = if l2 > 0.0 { (over / l2).min(end) } else { end };
                    if top.is_infinite() { f64::INFINITY } else { top * (over - l2 * top / 2.0) }
                })
                .sum();
            -conjugates - over
        };
        // A hair inside, so that rounding cannot leave the constraint.
        let edge = fits * (1.0 - 1e-15);
        let edge = match self.problem.loss {
            Loss::Huber { delta } => {
                let shares = (0..theta.len()).filter(|&i| self.s[i] > 0.0).map(|i| (theta[i] / self.s[i]).abs());
                edge.min(delta / shares.fold(0.0, f64::max) * (1.0 - 1e-15))
            }
            _ => edge,
        };
        let mut scales = vec![edge.min(1.0)];
        let bounded = self.problem.penalty.bounds.is_some();
        if bounded {
            // what is hardly above its bound is brought to it, what is far above stands at an end of its interval
            let nearly =
                sides().filter(|(c, l1, _, end)| *c > 0.0 && *end > 0.0 && *l1 > 0.9 * c).map(|(c, l1, ..)| l1 / c).fold(1.0, f64::min);
            scales.push(nearly.min(edge));
        }
        if (ratio < 1.0 || bounded) && !self.is_grouped() {
            scales.push(1.0);
        }
        if matches!(self.problem.loss, Loss::Squared | Loss::Huber { .. } | Loss::SquaredHinge) && edge.is_finite() {
            // Along t·θ the loss part is a parabola with its top at Σθ(y − o) / Σθ²/s, for the squared hinge at twice that if t ≥ 0.
            // With bounds θ and −θ press on different sides of the intervals.
            let (least, high) = match self.problem.loss {
                Loss::SquaredHinge => (0.0, 2.0),
                _ => (if bounded { 0.0 } else { -edge }, 1.0),
            };
            let used = || (0..theta.len()).filter(|&i| self.s[i] > 0.0);
            let slope: f64 = used().map(|i| theta[i] * (data.y[i] - data.offset.map_or(0.0, |o| o[i]))).sum();
            let bend: f64 = used().map(|i| theta[i] * theta[i] / self.s[i]).sum();
            scales.push(if bend > 0.0 { (high * slope / bend).clamp(least, edge) } else { 0.0 });
        }
        scales.into_iter().map(&mut value).fold(f64::NEG_INFINITY, f64::max)
    }

    /// F at w = 0 with the best intercept: in closed form where there is one, else by bisection on the slope.
    fn null(&self, clock: &mut Clock) -> f64 {
        let data = &self.problem.data;
        let at = |b: f64| Array1::from_shape_fn(data.y.len(), |i| b + data.offset.map_or(0.0, |o| o[i]));
        if !self.problem.options.intercept {
            return self.mean_loss(&at(0.0), clock);
        }
        let rise = |b: f64| -> f64 {
            let eta = at(b);
            (0..eta.len()).map(|i| self.s[i] * slope(self.problem.loss, data.y[i], eta[i])).sum()
        };
        if self.problem.loss == Loss::Squared {
            return self.mean_loss(&at(-rise(0.0)), clock);
        }
        if self.problem.loss == Loss::Poisson {
            // e^b makes the means add up to the counts
            let (counts, means) = (self.s.dot(&Array1::from_vec(data.y.to_vec())), self.s.dot(&at(0.0).mapv(f64::exp)));
            return self.mean_loss(&at((counts / means).ln()), clock);
        }
        if matches!(self.problem.loss, Loss::Huber { .. } | Loss::SquaredHinge) {
            // somewhere between the residuals at b = 0
            let residuals: Vec<f64> = (0..data.y.len()).filter(|&i| self.s[i] > 0.0).map(|i| data.y[i] - at(0.0)[i]).collect();
            let low = residuals.iter().copied().fold(f64::INFINITY, f64::min);
            let high = residuals.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let b = self.bisect(rise, low, high, clock);
            return self.mean_loss(&at(b), clock);
        }
        if data.offset.is_none() {
            let positive: f64 = (0..data.y.len()).filter(|&i| data.y[i] > 0.0).map(|i| self.s[i]).sum();
            return self.mean_loss(&at((positive / (1.0 - positive)).ln()), clock);
        }
        let (mut low, mut high) = (-1.0, 1.0);
        while rise(low) > 0.0 && low > -1e6 {
            low *= 2.0;
        }
        while rise(high) < 0.0 && high < 1e6 {
            high *= 2.0;
        }
        let b = self.bisect(rise, low, high, clock);
        self.mean_loss(&at(b), clock)
    }

    /// Where the rising function comes to 0 between `low` and `high`, as near as numbers are.
    fn bisect(&self, rise: impl Fn(f64) -> f64, mut low: f64, mut high: f64, clock: &mut Clock) -> f64 {
        loop {
            let middle = 0.5 * (low + high);
            if middle <= low || middle >= high || !clock.work(8 * self.eta.len()) {
                return middle;
            }
            if rise(middle) > 0.0 { high = middle } else { low = middle }
        }
    }
}

/// ∂loss/∂η.
fn slope(loss: Loss, y: f64, eta: f64) -> f64 {
    match loss {
        Loss::Squared => eta - y,
        Loss::Huber { delta } => delta.min((-delta).max(eta - y)),
        Loss::SquaredHinge if y * eta >= 1.0 => 0.0,
        Loss::SquaredHinge => 2.0 * (eta - y),
        Loss::Logistic => -y / (1.0 + (y * eta).exp()),
        Loss::Poisson => eta.exp() - y,
    }
}

/// sup over η of −uη − loss(y, η).
fn conjugate(loss: Loss, y: f64, u: f64) -> f64 {
    match loss {
        Loss::Squared => u * u / 2.0 - u * y,
        Loss::Huber { delta } if u.abs() > delta * (1.0 + 1e-12) => f64::INFINITY,
        Loss::Huber { .. } => u * u / 2.0 - u * y,
        Loss::SquaredHinge => match y * u {
            a if a < -1e-12 => f64::INFINITY,
            a => a.max(0.0).powi(2) / 4.0 - a.max(0.0),
        },
        Loss::Logistic => {
            // Rows separated by an unpenalised column sit on the edge of the domain; rounding may leave it by a hair.
            let a = if (y * u).abs() < 1e-12 {
                0.0
            } else if (y * u - 1.0).abs() < 1e-12 {
                1.0
            } else {
                y * u
            };
            let plogp = |p: f64| if p == 0.0 { 0.0 } else { p * p.ln() };
            if (0.0..=1.0).contains(&a) { plogp(a) + plogp(1.0 - a) } else { f64::INFINITY }
        }
        Loss::Poisson => match y - u {
            mean if mean > 0.0 => mean * mean.ln() - mean,
            mean if mean > -1e-12 * (1.0 + y) => 0.0,
            _ => f64::INFINITY,
        },
    }
}

/// Solves `a·x = b` by elimination with row pivoting; a column without a usable pivot gets 0.
fn eliminate(mut a: Vec<Vec<f64>>, mut b: Vec<f64>) -> Vec<f64> {
    let n = b.len();
    let size = a.iter().flatten().fold(0.0f64, |m, x| m.max(x.abs()));
    let mut pivots: Vec<(usize, usize)> = Vec::new();
    let mut top = 0;
    for column in 0..n {
        let Some(best) = (top..n).max_by(|&i, &j| a[i][column].abs().total_cmp(&a[j][column].abs())) else { break };
        if a[best][column].abs() <= 1e-13 * size {
            continue;
        }
        a.swap(top, best);
        b.swap(top, best);
        let (pivot_row, pivot_b) = (a[top].clone(), b[top]);
        for row in top + 1..n {
            let ratio = a[row][column] / pivot_row[column];
            a[row].iter_mut().zip(&pivot_row).for_each(|(x, p)| *x -= ratio * p);
            b[row] -= ratio * pivot_b;
        }
        pivots.push((top, column));
        top += 1;
    }
    let mut x = vec![0.0; n];
    for &(row, column) in pivots.iter().rev() {
        let known: f64 = (column + 1..n).map(|k| a[row][k] * x[k]).sum();
        x[column] = (b[row] - known) / a[row][column];
    }
    x
}
