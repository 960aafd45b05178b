//! How good a multinomial solution is, by code that is not the solver's: from the raw data and the written objective,
//! through another library's view of the matrix, without the solver's kernels, statistics or dual point.

use ndarray::{Array1, Array2, ArrayView1, Axis};
use sprs::CsMatViewI;

use super::problem::Classes;
use crate::matrix::{Number, ValuesView};
use crate::solver::clock::Clock;
use crate::solver::{Certificate, Observe, Point, Problem};

/// As [`crate::solver::certify`]. `None` when `observe` said to stop.
pub(crate) fn certify(problem: &Problem, classes: &Classes, point: &Point, observe: &Observe) -> Option<Certificate> {
    let mut clock = Clock::new(observe);
    match problem.data.x.values {
        ValuesView::Single(values) => Witness::new(problem, classes, values, point, &mut clock)?.certificate(&mut clock),
        ValuesView::Double(values) => Witness::new(problem, classes, values, point, &mut clock)?.certificate(&mut clock),
    }
}

type View<'a, V> = CsMatViewI<'a, V, u32, u64>;

/// Everything measured of a solution.
struct Witness<'p, 'a, V> {
    x: Option<View<'a, V>>,
    /// Class of each row, as the raw targets say.
    y: Vec<usize>,
    /// s/Σs.
    s: Array1<f64>,
    /// σ_j; 0 for a column that must stay at 0.
    sigma: Array1<f64>,
    /// Columns × classes.
    w: Array2<f64>,
    /// Rows × classes.
    eta: Array2<f64>,
    lambda: f64,
    l1_ratio: f64,
    factors: Option<&'p [f64]>,
    intercept: bool,
}

impl<'p, 'a, V: Number> Witness<'p, 'a, V> {
    fn new(problem: &'p Problem<'a>, classes: &Classes, values: &'a [V], point: &'p Point, clock: &mut Clock) -> Option<Self> {
        let (data, options) = (&problem.data, &problem.options);
        let (n, p, n_classes) = (data.x.n_rows, data.x.len(), classes.n);
        let x = View::try_new_csc((n, p), data.x.offsets, data.x.rows, values).ok();
        let raw = Array1::from_shape_fn(n, |i| data.weights.map_or(1.0, |s| s[i]));
        let s = &raw / raw.sum();
        let mut w = Array2::zeros((p, n_classes));
        for ((&j, &k), &value) in point.columns.iter().zip(&point.classes).zip(&point.values) {
            w[[j as usize, k as usize]] = value;
        }
        let mut eta = Array2::from_shape_fn((n, n_classes), |(_, k)| point.intercepts[k]);
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
            if options.standardize {
                sigma[j] = if still { 0.0 } else { deviation };
            }
            let of_column = w.row(j);
            if of_column.iter().any(|w| *w != 0.0) {
                clock.work(n_classes * column.nnz());
                column.iter().for_each(|(i, &v)| eta.row_mut(i).scaled_add(v.into(), &of_column));
            }
        }
        Some(Self {
            x,
            y: data.y.iter().map(|y| *y as usize).collect(),
            s,
            sigma,
            w,
            eta,
            lambda: point.lambda,
            l1_ratio: problem.penalty.l1_ratio,
            factors: problem.penalty.factors,
            intercept: options.intercept,
        })
    }

    fn factor(&self, j: usize) -> f64 {
        self.factors.map_or(1.0, |f| f[j])
    }

    fn certificate(&self, clock: &mut Clock) -> Option<Certificate> {
        let primal = self.primal(clock);
        let p = self.probabilities(clock);
        let residual = self.residual(&p);
        let (max_kkt_violation, kkt_column) = self.violation(&self.products(&residual, clock)?);
        let theta = self.feasible(residual, &p, clock);
        let products = self.products(&theta, clock)?;
        let dual = self.dual(&theta, &products, clock);
        let gap = (primal - dual).max(0.0);
        let relative_gap = gap / self.null();
        (!clock.cancelled).then_some(Certificate { primal, dual, gap, relative_gap, max_kkt_violation, kkt_column })
    }

    /// Σ s·(log Σ e^η − η_y) + penalty. Worth nothing, as all that follows, when `clock` said stop.
    fn primal(&self, clock: &mut Clock) -> f64 {
        let mut loss = 0.0;
        clock.rows(self.y.len(), 8 * self.w.ncols(), |rows| {
            for i in rows.filter(|&i| self.s[i] > 0.0) {
                let eta = self.eta.row(i);
                let top = eta.fold(f64::NEG_INFINITY, |top, eta| top.max(*eta));
                loss += self.s[i] * (eta.mapv(|eta| (eta - top).exp()).sum().ln() + (top - eta[self.y[i]]));
            }
        });
        let each = |(j, w): (usize, ArrayView1<f64>)| -> f64 {
            let u = w.mapv(|w| w * self.sigma[j]);
            self.factor(j) * (self.l1_ratio * u.mapv(f64::abs).sum() + (1.0 - self.l1_ratio) / 2.0 * u.dot(&u))
        };
        loss + self.lambda * self.w.axis_iter(Axis(0)).enumerate().map(each).sum::<f64>()
    }

    fn probabilities(&self, clock: &mut Clock) -> Array2<f64> {
        let mut p = self.eta.clone();
        clock.rows(self.y.len(), 8 * self.w.ncols(), |rows| {
            for i in rows {
                let mut row = p.row_mut(i);
                let top = row.fold(f64::NEG_INFINITY, |top, eta| top.max(*eta));
                row.mapv_inplace(|eta| (eta - top).exp());
                let sum = row.sum();
                row.mapv_inplace(|e| e / sum);
            }
        });
        p
    }

    /// s·(1[y = k] − p).
    fn residual(&self, p: &Array2<f64>) -> Array2<f64> {
        Array2::from_shape_fn(p.dim(), |(i, k)| {
            let own = if self.y[i] == k { 1.0 } else { 0.0 };
            if self.s[i] > 0.0 { self.s[i] * (own - p[[i, k]]) } else { 0.0 }
        })
    }

    /// Xᵀθ, columns × classes.
    fn products(&self, theta: &Array2<f64>, clock: &mut Clock) -> Option<Array2<f64>> {
        let mut products = Array2::zeros(self.w.dim());
        for (j, column) in self.x.iter().flat_map(|x| x.outer_iterator()).enumerate() {
            if !clock.touch(column.nnz() * theta.ncols().div_ceil(4)) {
                return None;
            }
            let mut product = products.row_mut(j);
            column.iter().for_each(|(i, &v)| product.scaled_add(v.into(), &theta.row(i)));
        }
        Some(products)
    }

    /// Distance of each (X_jᵀθ)_k to the subdifferential of its penalty, as a share of λ; intercepts have no column.
    fn violation(&self, products: &Array2<f64>) -> (f64, Option<u32>) {
        let (mut worst, mut place) = (0.0, None);
        for ((j, k), product) in products.indexed_iter().filter(|((j, _), _)| self.sigma[*j] > 0.0) {
            let (c, u) = (product / self.sigma[j], self.w[[j, k]] * self.sigma[j]);
            let bound = self.lambda * self.factor(j) * self.l1_ratio;
            let pull = self.lambda * self.factor(j) * (1.0 - self.l1_ratio) * u;
            let distance = if u == 0.0 { (c.abs() - bound).max(0.0) } else { (c - pull - bound * u.signum()).abs() };
            if distance > worst {
                (worst, place) = (distance, Some(j as u32));
            }
        }
        (if self.lambda > 0.0 { worst / self.lambda } else { worst }, place)
    }

    /// θ made orthogonal to the intercepts and the unpenalised columns of every class, in the metric of the curvature: the
    /// normal equations by steepest descents conjugate to one another, columns scaled to one size.
    fn feasible(&self, mut theta: Array2<f64>, p: &Array2<f64>, clock: &mut Clock) -> Array2<f64> {
        let n = self.y.len();
        let mut basis: Vec<Array1<f64>> = Vec::new();
        if self.intercept {
            basis.push(Array1::ones(n));
        }
        for (j, column) in self.x.iter().flat_map(|x| x.outer_iterator()).enumerate() {
            if self.factor(j) == 0.0 && self.sigma[j] > 0.0 {
                let mut dense = Array1::zeros(n);
                column.iter().for_each(|(i, &v)| dense[i] = v.into());
                let size = (&dense * &dense).dot(&self.s).sqrt();
                basis.push(if size > 0.0 { dense / size } else { dense });
            }
        }
        if basis.is_empty() {
            return theta;
        }
        let sums = |rows: &Array2<f64>| Array2::from_shape_fn((basis.len(), rows.ncols()), |(b, k)| basis[b].dot(&rows.column(k)));
        let bend = |z: &Array2<f64>| {
            let mut rows = Array2::<f64>::zeros(p.dim());
            for (b, column) in basis.iter().enumerate() {
                rows.axis_iter_mut(Axis(0)).zip(column).for_each(|(mut row, x)| row.scaled_add(*x, &z.row(b)));
            }
            for ((mut row, p), s) in rows.axis_iter_mut(Axis(0)).zip(p.axis_iter(Axis(0))).zip(&self.s) {
                let mean = row.dot(&p);
                row.zip_mut_with(&p, |d, p| *d = s * p * (*d - mean));
            }
            rows
        };
        // what is the same for all classes is rounding
        let across = |rest: Array2<f64>| match rest.mean_axis(Axis(1)) {
            Some(mean) => rest - mean.insert_axis(Axis(1)),
            None => rest,
        };
        let work = 8 * theta.len() * basis.len();
        for _ in 0..3 {
            let mut rest = across(sums(&theta));
            let mut z = Array2::<f64>::zeros(rest.dim());
            let mut direction = rest.clone();
            let mut size = (&rest * &rest).sum();
            let least = 1e-20 * size;
            for _ in 0..40 * rest.len() {
                if size <= least || size <= 1e-36 || !clock.work(work) {
                    break;
                }
                let bent = across(sums(&bend(&direction)));
                let length = size / (&bent * &direction).sum();
                if !length.is_finite() {
                    break;
                }
                z.scaled_add(length, &direction);
                rest.scaled_add(-length, &bent);
                let now = (&rest * &rest).sum();
                direction = &rest + &(direction * (now / size));
                size = now;
            }
            theta -= &bend(&z);
        }
        theta
    }

    /// The better of the dual values at θ and at θ scaled to the L1 bounds.
    fn dual(&self, theta: &Array2<f64>, products: &Array2<f64>, clock: &mut Clock) -> f64 {
        let sides = || {
            products.indexed_iter().filter(|((j, _), _)| self.sigma[*j] > 0.0 && self.factor(*j) > 0.0).map(|((j, _), c)| {
                let weight = self.lambda * self.factor(j);
                ((c / self.sigma[j]).abs(), weight * self.l1_ratio, weight * (1.0 - self.l1_ratio))
            })
        };
        let fits = sides().map(|(c, l1, _)| if c > 0.0 { l1 / c } else { f64::INFINITY }).fold(f64::INFINITY, f64::min);
        let mut value = |t: f64| {
            let mut conjugates = 0.0;
            clock.rows(self.y.len(), 16 * theta.ncols(), |rows| {
                for i in rows.filter(|&i| self.s[i] > 0.0) {
                    let share = |k: usize| if self.y[i] == k { 1.0 } else { 0.0 } - t * theta[[i, k]] / self.s[i];
                    conjugates += self.s[i] * (0..theta.ncols()).map(|k| plogp(share(k))).sum::<f64>();
                }
            });
            let over: f64 = sides()
                .map(|(c, l1, l2)| ((t * c - l1).max(0.0), l2))
                .filter(|(over, _)| *over > 0.0)
                .map(|(over, l2)| if l2 > 0.0 { over * over / (2.0 * l2) } else { f64::INFINITY })
                .sum();
            -conjugates - over
        };
        // A hair inside, so that rounding cannot leave the constraint.
        let edge = value((fits * (1.0 - 1e-15)).min(1.0));
        if self.l1_ratio < 1.0 { edge.max(value(1.0)) } else { edge }
    }

    /// F at W = 0 with the best intercepts: the entropy of the class shares, or that of equal ones.
    fn null(&self) -> f64 {
        if !self.intercept {
            return (self.w.ncols() as f64).ln();
        }
        let mut shares = vec![0.0; self.w.ncols()];
        self.y.iter().zip(&self.s).for_each(|(y, s)| shares[*y] += s);
        -shares.into_iter().map(plogp).sum::<f64>()
    }
}

/// p·ln p; rows that an unpenalised column separates sit on the edge of the simplex, and rounding may leave it by a hair.
fn plogp(p: f64) -> f64 {
    match p {
        p if p > 0.0 => p * p.ln(),
        p if p > -1e-12 => 0.0,
        _ => f64::INFINITY,
    }
}
