//! A quadratic model of the mean loss on a working set, in two forms that answer the same questions:
//! by columns with a residual ([`Residual`]) and by the Gram matrix ([`Gram`]).
//!
//! The model at a point with dual vector q and row curvatures h is φ(Δ) = −qᵀX̃Δ + ½ Δᵀ X̃ᵀHX̃ Δ, where X̃ are the
//! columns centred by their h-weighted means when there is an intercept (which eliminates it exactly). Centring is
//! implicit: a coordinate costs the non-zeros of its column, never the number of rows.

use super::clock::Clock;
use crate::matrix::{self, Column, Number};

/// What coordinate descent and Newton steps ask of a quadratic model. Coordinates are positions in the working set.
pub(crate) trait Quadratic {
    /// Whether a visit of a coordinate touches non-zeros of X.
    const BY_COLUMNS: bool;
    /// Σ h x̃_k².
    fn curvature(&self, k: usize) -> f64;
    /// x̃_kᵀq at the current Δ: the descent direction of coordinate k.
    fn gradient(&self, k: usize) -> f64;
    /// Δ_k ← Δ_k + step.
    fn step(&mut self, k: usize, step: f64, clock: &mut Clock);
    /// (x̃dᵀq, x̃dᵀHx̃d) along direction `d`, remembered for [`Quadratic::commit`].
    fn along(&mut self, d: &[f64], clock: &mut Clock) -> (f64, f64);
    /// Δ ← Δ + d of the last [`Quadratic::along`].
    fn commit(&mut self);
    /// Lower triangle of X̃_SᵀHX̃_S, row-major, for the coordinates `s`.
    fn gram(&self, s: &[usize], clock: &mut Clock) -> Vec<f64>;
    /// Units of work of [`Quadratic::gram`].
    fn gram_cost(&self, s: &[usize], clock: &mut Clock) -> usize;
    /// Units of work of one visit of coordinate k.
    fn visit_cost(&self, k: usize) -> usize;
}

/// The model by columns.
pub(crate) struct Residual<'a, V> {
    pub(crate) columns: Vec<Column<'a, V>>,
    pub(crate) center: Vec<f64>,
    pub(crate) curvature: Vec<f64>,
    pub(crate) h: &'a [f64],
    /// Σ h with an intercept, else 0.
    pub(crate) mass: f64,
    pub(crate) q: Vec<f64>,
    /// Σ q.
    pub(crate) sum: f64,
    scratch: Vec<f64>,
    shift: f64,
}

impl<'a, V: Number> Residual<'a, V> {
    /// With the moments of the columns computed here.
    pub(crate) fn new(columns: Vec<Column<'a, V>>, h: &'a [f64], q: Vec<f64>, intercept: bool, clock: &mut Clock) -> Self {
        let mass = if intercept { h.iter().sum() } else { 0.0 };
        let (mut center, mut curvature) = (Vec::with_capacity(columns.len()), Vec::with_capacity(columns.len()));
        for column in &columns {
            if !clock.touch(column.nnz()) {
                center.push(0.0);
                curvature.push(0.0);
                continue;
            }
            let (sum, square, part) = column.moments(h);
            let mean = if intercept { sum / mass } else { 0.0 };
            center.push(mean);
            let centred = square - mean * mean * mass;
            // Only a nearly constant column loses digits in the difference; it is worth a second look.
            curvature.push(if intercept && centred < 1e-4 * square {
                let near: f64 = column.iter().map(|(i, x)| h[i] * (x - mean) * (x - mean)).sum();
                near + mean * mean * (mass - part).max(0.0)
            } else {
                centred
            });
        }
        Self::with_moments(columns, center, curvature, h, mass, q)
    }

    pub(crate) fn with_moments(
        columns: Vec<Column<'a, V>>,
        center: Vec<f64>,
        curvature: Vec<f64>,
        h: &'a [f64],
        mass: f64,
        q: Vec<f64>,
    ) -> Self {
        let sum = if mass > 0.0 { q.iter().sum() } else { 0.0 };
        Self { columns, center, curvature, h, mass, q, sum, scratch: Vec::new(), shift: 0.0 }
    }

    /// All gradients.
    pub(crate) fn gradients(&self, clock: &mut Clock) -> Vec<f64> {
        let mut each = |k: usize| if clock.touch(self.columns[k].nnz()) { self.gradient(k) } else { 0.0 };
        (0..self.columns.len()).map(&mut each).collect()
    }

    /// The same model by its Gram matrix.
    pub(crate) fn to_gram(&self, clock: &mut Clock) -> Vec<f64> {
        let all: Vec<usize> = (0..self.columns.len()).collect();
        let mut g = self.gram(&all, clock);
        let m = all.len();
        for a in 0..m {
            for b in 0..a {
                g[b * m + a] = g[a * m + b];
            }
        }
        g
    }

    /// Entries in each row over the columns `s`.
    fn row_counts(&self, s: &[usize], clock: &mut Clock) -> Vec<u32> {
        let mut counts = vec![0u32; self.h.len()];
        for &k in s {
            if !clock.work(self.columns[k].nnz()) {
                break;
            }
            self.columns[k].rows.iter().for_each(|&i| counts[i as usize] += 1);
        }
        counts
    }
}

impl<V: Number> Quadratic for Residual<'_, V> {
    const BY_COLUMNS: bool = true;

    fn curvature(&self, k: usize) -> f64 {
        self.curvature[k]
    }

    fn gradient(&self, k: usize) -> f64 {
        self.columns[k].dot(&self.q) - self.center[k] * self.sum
    }

    fn step(&mut self, k: usize, step: f64, clock: &mut Clock) {
        clock.touch(self.columns[k].nnz());
        self.columns[k].add_weighted_to(-step, self.h, &mut self.q);
        self.sum -= step * self.center[k] * self.mass;
    }

    fn along(&mut self, d: &[f64], clock: &mut Clock) -> (f64, f64) {
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

    fn commit(&mut self) {
        for ((q, h), x) in self.q.iter_mut().zip(self.h).zip(&self.scratch) {
            *q -= h * x;
        }
        self.sum -= self.mass * self.shift;
    }

    fn gram(&self, s: &[usize], clock: &mut Clock) -> Vec<f64> {
        let (n, m) = (self.h.len(), s.len());
        let mut starts = vec![0usize; n + 1];
        for (i, count) in self.row_counts(s, clock).into_iter().enumerate() {
            starts[i + 1] = starts[i] + count as usize;
        }
        let mut next = starts.clone();
        let mut entries = vec![(0u32, 0.0f64); starts[n]];
        for (position, &k) in s.iter().enumerate() {
            if !clock.touch(self.columns[k].nnz()) {
                return vec![0.0; m * m];
            }
            for (i, x) in self.columns[k].iter() {
                entries[next[i]] = (position as u32, x);
                next[i] += 1;
            }
        }
        let mut g = vec![0.0; m * m];
        for i in 0..n {
            let row = &entries[starts[i]..starts[i + 1]];
            if self.h[i] == 0.0 || !clock.work(row.len() * row.len() / 2) {
                continue;
            }
            for (end, &(a, x)) in row.iter().enumerate() {
                let hx = self.h[i] * x;
                let line = &mut g[a as usize * m..(a as usize + 1) * m];
                row[..=end].iter().for_each(|&(b, x)| line[b as usize] += hx * x);
            }
        }
        for a in 0..m {
            let ca = self.mass * self.center[s[a]];
            for b in 0..a {
                g[a * m + b] -= ca * self.center[s[b]];
            }
            // The centred curvature was computed without cancellation.
            g[a * m + a] = self.curvature[s[a]];
        }
        g
    }

    fn gram_cost(&self, s: &[usize], clock: &mut Clock) -> usize {
        self.row_counts(s, clock).into_iter().map(|c| c as usize * (c as usize + 1) / 2).sum()
    }

    fn visit_cost(&self, k: usize) -> usize {
        self.columns[k].nnz()
    }
}

/// The model by its Gram matrix.
pub(crate) struct Gram<'g> {
    /// Full symmetric `m × m`.
    g: &'g [f64],
    m: usize,
    gradient: Vec<f64>,
    scratch: Vec<f64>,
}

impl<'g> Gram<'g> {
    pub(crate) fn new(g: &'g [f64], gradient: Vec<f64>) -> Self {
        let m = gradient.len();
        Self { g, m, gradient, scratch: vec![0.0; m] }
    }
}

impl Quadratic for Gram<'_> {
    const BY_COLUMNS: bool = false;

    fn curvature(&self, k: usize) -> f64 {
        self.g[k * self.m + k]
    }

    fn gradient(&self, k: usize) -> f64 {
        self.gradient[k]
    }

    fn step(&mut self, k: usize, step: f64, clock: &mut Clock) {
        clock.work(self.m / 4);
        let row = &self.g[k * self.m..(k + 1) * self.m];
        self.gradient.iter_mut().zip(row).for_each(|(c, g)| *c -= step * g);
    }

    fn along(&mut self, d: &[f64], clock: &mut Clock) -> (f64, f64) {
        self.scratch.fill(0.0);
        for (k, &d) in d.iter().enumerate().filter(|(_, d)| **d != 0.0) {
            clock.work(self.m / 4);
            let row = &self.g[k * self.m..(k + 1) * self.m];
            self.scratch.iter_mut().zip(row).for_each(|(x, g)| *x += d * g);
        }
        (matrix::dot(&self.gradient, d), matrix::dot(&self.scratch, d))
    }

    fn commit(&mut self) {
        self.gradient.iter_mut().zip(&self.scratch).for_each(|(c, x)| *c -= x);
    }

    fn gram(&self, s: &[usize], clock: &mut Clock) -> Vec<f64> {
        let n = s.len();
        let mut g = vec![0.0; n * n];
        for (a, &i) in s.iter().enumerate() {
            clock.work(a);
            for (b, &j) in s[..=a].iter().enumerate() {
                g[a * n + b] = self.g[i * self.m + j];
            }
        }
        g
    }

    fn gram_cost(&self, s: &[usize], _: &mut Clock) -> usize {
        s.len() * s.len() / 2
    }

    fn visit_cost(&self, _: usize) -> usize {
        self.m / 8
    }
}
