//! A quadratic model of the mean loss on a working set, by columns with a residual.
//!
//! The model at a point with dual vector q and row curvatures h is φ(Δ) = −qᵀX̃Δ + ½ Δᵀ X̃ᵀHX̃ Δ, where X̃ are the
//! columns centred by their h-weighted means when there is an intercept (which eliminates it exactly). Centring is
//! implicit: a coordinate costs the non-zeros of its column, never the number of rows. Coordinates are positions in the
//! working set.

use super::clock::Clock;
use super::gram::{Frame, Products, Wanted};
use crate::matrix::{self, Column, ColumnsView, Number};

/// Most columns whose products are kept, and that times √nnz: products take about as much memory as the matrix.
const MOST_PRODUCTS: usize = 4000;
const PRODUCTS_BY_SIZE: f64 = 1.5;

/// Most columns whose products are kept, of a matrix with `nnz` non-zeros.
pub(crate) fn most_products(nnz: usize) -> usize {
    MOST_PRODUCTS.min(512 + (PRODUCTS_BY_SIZE * (nnz as f64).sqrt()) as usize)
}

/// Mean of a column in the metric of `h`, and Σ h x̃²; without an intercept (`mass` 0) the mean is not taken off.
pub(crate) fn center_and_curvature<V: Number>(column: &Column<V>, h: &[f64], mass: f64) -> (f64, f64) {
    let (sum, square, part) = column.moments(h);
    if mass == 0.0 {
        return (0.0, square);
    }
    let mean = sum / mass;
    let centred = square - mean * mean * mass;
    if centred >= 1e-4 * square {
        return (mean, centred);
    }
    // Only a nearly constant column loses digits in the difference; it is worth a second look.
    let near: f64 = column.iter().map(|(i, x)| h[i] * (x - mean) * (x - mean)).sum();
    (mean, near + mean * mean * (mass - part).max(0.0))
}

/// The model.
pub(crate) struct Residual<'a, V> {
    x: ColumnsView<'a>,
    values: &'a [V],
    /// Which columns of the matrix, rising.
    pub(crate) ids: Vec<u32>,
    pub(crate) columns: Vec<Column<'a, V>>,
    pub(crate) center: Vec<f64>,
    pub(crate) curvature: Vec<f64>,
    pub(crate) h: &'a [f64],
    /// The curvature of a row, where all rows are known to have the same.
    pub(crate) alike: Option<f64>,
    /// Non-zeros of all columns that may move, in the set or not.
    pub(crate) live: usize,
    /// Σ h with an intercept, else 0.
    pub(crate) mass: f64,
    pub(crate) q: Vec<f64>,
    /// Σ q.
    pub(crate) sum: f64,
    /// What is known of XᵀHX.
    pub(crate) products: Products,
    scratch: Vec<f64>,
    shift: f64,
}

impl<'a, V: Number> Residual<'a, V> {
    /// With the moments of the columns computed here.
    pub(crate) fn new(
        (x, values): (ColumnsView<'a>, &'a [V]),
        ids: &[u32],
        h: &'a [f64],
        q: Vec<f64>,
        intercept: bool,
        clock: &mut Clock,
    ) -> Self {
        let columns: Vec<_> = ids.iter().map(|&j| x.column(j as usize, values)).collect();
        let mass = if intercept { h.iter().sum() } else { 0.0 };
        let (mut center, mut curvature) = (Vec::with_capacity(columns.len()), Vec::with_capacity(columns.len()));
        for column in &columns {
            let moments = if clock.touch(column.nnz()) { center_and_curvature(column, h, mass) } else { (0.0, 0.0) };
            center.push(moments.0);
            curvature.push(moments.1);
        }
        Self::with_moments((x, values), ids, center, curvature, h, mass, q)
    }

    /// With the moments of the columns given.
    pub(crate) fn with_moments(
        (x, values): (ColumnsView<'a>, &'a [V]),
        ids: &[u32],
        center: Vec<f64>,
        curvature: Vec<f64>,
        h: &'a [f64],
        mass: f64,
        q: Vec<f64>,
    ) -> Self {
        let sum = if mass > 0.0 { q.iter().sum() } else { 0.0 };
        let columns = ids.iter().map(|&j| x.column(j as usize, values)).collect();
        let (ids, products, scratch) = (ids.to_vec(), Products::default(), Vec::new());
        Self { x, values, ids, columns, center, curvature, h, alike: None, live: x.nnz(), mass, q, sum, products, scratch, shift: 0.0 }
    }

    /// All gradients.
    pub(crate) fn gradients(&self, clock: &mut Clock) -> Vec<f64> {
        let mut each = |k: usize| if clock.touch(self.columns[k].nnz()) { self.gradient(k) } else { 0.0 };
        (0..self.columns.len()).map(&mut each).collect()
    }

    /// Products of these columns of the working set, in `products` from now on; `false` when `clock` said stop.
    pub(crate) fn multiply(&mut self, set: &[usize], clock: &mut Clock) -> bool {
        let (frame, most, ids, curvature, center) = (self.frame(), self.most_products(), &self.ids, &self.curvature, &self.center);
        if self.products.len() + set.len() > most {
            self.products.keep(|j| set.binary_search_by_key(&j, |&k| ids[k]).is_ok(), self.x, self.values);
        }
        let wanted = set.iter().map(|&k| Wanted { id: ids[k], curvature: curvature[k], center: center[k] });
        self.products.add(wanted, frame, clock)
    }

    /// Units of work of [`Residual::multiply`], told less carefully where products will be `kept`.
    pub(crate) fn price(&self, set: &[usize], kept: bool, clock: &mut Clock) -> usize {
        let ids = set.iter().map(|&k| self.ids[k]);
        if kept { self.products.rough_cost(ids, self.frame()) } else { self.products.cost(ids, self.frame(), clock) }
    }

    fn frame(&self) -> Frame<'a, V> {
        Frame { x: self.x, values: self.values, h: self.h, mass: self.mass }
    }

    /// Σ h x̃².
    pub(crate) fn curvature(&self, k: usize) -> f64 {
        self.curvature[k]
    }

    /// x̃_kᵀq at the current Δ: the descent direction of coordinate k.
    pub(crate) fn gradient(&self, k: usize) -> f64 {
        self.columns[k].dot(&self.q) - self.center[k] * self.sum
    }

    /// Δ_k ← Δ_k + step.
    pub(crate) fn step(&mut self, k: usize, step: f64, clock: &mut Clock) {
        clock.touch(self.columns[k].nnz());
        match self.alike {
            // half of the vectors that are walked through
            Some(h) => self.columns[k].add_to(-step * h, &mut self.q),
            None => self.columns[k].add_weighted_to(-step, self.h, &mut self.q),
        }
        self.sum -= step * self.center[k] * self.mass;
    }

    /// (x̃dᵀq, x̃dᵀHx̃d) along direction `d`, remembered for [`Residual::commit`].
    pub(crate) fn along(&mut self, d: &[f64], clock: &mut Clock) -> (f64, f64) {
        self.scratch.clear();
        self.scratch.resize(self.q.len(), 0.0);
        self.shift = 0.0;
        for (k, &d) in d.iter().enumerate().filter(|(_, d)| **d != 0.0) {
            clock.touch(self.columns[k].nnz());
            self.columns[k].add_to(d, &mut self.scratch);
            self.shift += d * self.center[k];
        }
        clock.work(2 * self.q.len());
        let slope = matrix::dot(&self.q, &self.scratch) - self.shift * self.sum;
        let bend: f64 = if self.mass > 0.0 {
            self.h.iter().zip(&self.scratch).map(|(h, x)| h * (x - self.shift) * (x - self.shift)).sum()
        } else {
            self.h.iter().zip(&self.scratch).map(|(h, x)| h * x * x).sum()
        };
        (slope, bend)
    }

    /// Δ ← Δ + d of the last [`Residual::along`].
    pub(crate) fn commit(&mut self) {
        for ((q, h), x) in self.q.iter_mut().zip(self.h).zip(&self.scratch) {
            *q -= h * x;
        }
        self.sum -= self.mass * self.shift;
    }

    /// Most columns whose products are kept.
    pub(crate) fn most_products(&self) -> usize {
        most_products(self.nnz())
    }

    /// Non-zeros of the whole matrix.
    pub(crate) fn nnz(&self) -> usize {
        self.x.nnz()
    }

    /// Units of work of one visit of coordinate k.
    pub(crate) fn visit_cost(&self, k: usize) -> usize {
        self.columns[k].nnz()
    }
}
