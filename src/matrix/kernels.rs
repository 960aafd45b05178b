//! The inner loops over one stored column: dot products, updates and moments.
//!
//! Values may be single or double precision; every sum is kept in `f64`, in a fixed order, so that a result never
//! depends on the number of threads. A column with as many non-zeros as the matrix has rows needs no row numbers.

use super::{Column, Number};

/// What one walk over a column tells.
#[derive(Clone, Copy, Debug, Default)]
pub struct Moments {
    /// Σ s·x.
    pub mean: f64,
    /// Σ s·x².
    pub square: f64,
    /// Σ s over the non-zeros.
    pub mass: f64,
    /// Σ x·q.
    pub product: f64,
}

impl<V: Number> Column<'_, V> {
    /// Σ_i x_i · q_i.
    pub fn dot(&self, q: &[f64]) -> f64 {
        if self.is_dense(q.len()) { dense_dot(self.values, q) } else { gather_dot(self.rows, self.values, q) }
    }

    /// q ← q + alpha · x.
    pub fn add_to(&self, alpha: f64, q: &mut [f64]) {
        if self.is_dense(q.len()) {
            q.iter_mut().zip(self.values).for_each(|(q, &x)| *q += alpha * x.into());
        } else {
            self.rows.iter().zip(self.values).for_each(|(&i, &x)| q[i as usize] += alpha * x.into());
        }
    }

    /// q ← q + alpha · h · x.
    pub fn add_weighted_to(&self, alpha: f64, h: &[f64], q: &mut [f64]) {
        if self.is_dense(q.len()) {
            q.iter_mut().zip(h).zip(self.values).for_each(|((q, h), &x)| *q += alpha * h * x.into());
        } else {
            for (&i, &x) in self.rows.iter().zip(self.values) {
                q[i as usize] += alpha * h[i as usize] * x.into();
            }
        }
    }

    /// (Σ h_i x_i, Σ h_i x_i², Σ h_i over the non-zeros).
    pub fn moments(&self, h: &[f64]) -> (f64, f64, f64) {
        self.iter().fold((0.0, 0.0, 0.0), |(sum, square, mass), (i, x)| (sum + h[i] * x, square + h[i] * x * x, mass + h[i]))
    }

    /// Moments under the weights `share`, and the product with `q`, in one walk.
    pub fn moments_with(&self, share: &[f64], q: &[f64]) -> Moments {
        let mut m = Moments::default();
        for (i, x) in self.iter() {
            let sx = share[i] * x;
            m.mean += sx;
            m.square += sx * x;
            m.mass += share[i];
            m.product += x * q[i];
        }
        m
    }

    /// As [`Column::moments_with`] where every row has the same weight.
    pub fn moments_alike(&self, share: f64, q: &[f64]) -> Moments {
        let (mut sums, mut squares, mut products) = ([0.0; 4], [0.0; 4], [0.0; 4]);
        let (r4, r_rest) = self.rows.as_chunks::<4>();
        let (x4, x_rest) = self.values.as_chunks::<4>();
        for (r, x) in r4.iter().zip(x4) {
            for k in 0..4 {
                let x: f64 = x[k].into();
                sums[k] += x;
                squares[k] += x * x;
                products[k] += x * q[r[k] as usize];
            }
        }
        for (k, (&r, &x)) in r_rest.iter().zip(x_rest).enumerate() {
            let x: f64 = x.into();
            sums[k] += x;
            squares[k] += x * x;
            products[k] += x * q[r as usize];
        }
        let total = |l: [f64; 4]| (l[0] + l[1]) + (l[2] + l[3]);
        let (mean, square) = (share * total(sums), share * total(squares));
        Moments { mean, square, mass: share * self.nnz() as f64, product: total(products) }
    }

    /// The non-zeros with their rows.
    pub fn iter(&self) -> impl Iterator<Item = (usize, f64)> + '_ {
        self.rows.iter().zip(self.values).map(|(&i, &x)| (i as usize, x.into()))
    }

    /// Number of non-zeros.
    pub fn nnz(&self) -> usize {
        self.rows.len()
    }

    fn is_dense(&self, n_rows: usize) -> bool {
        self.rows.len() == n_rows
    }
}

/// Eight partial sums: one fixed lane width, so that any vector unit gives the same bits.
fn dense_dot<V: Number>(x: &[V], q: &[f64]) -> f64 {
    let mut lanes = [0.0; 8];
    let (x8, x_rest) = x.as_chunks::<8>();
    let (q8, q_rest) = q.as_chunks::<8>();
    for (x, q) in x8.iter().zip(q8) {
        for k in 0..8 {
            lanes[k] += x[k].into() * q[k];
        }
    }
    let rest: f64 = x_rest.iter().zip(q_rest).map(|(&x, &q)| x.into() * q).sum();
    sum_lanes(lanes) + rest
}

fn gather_dot<V: Number>(rows: &[u32], x: &[V], q: &[f64]) -> f64 {
    let mut lanes = [0.0; 4];
    let (r4, r_rest) = rows.as_chunks::<4>();
    let (x4, x_rest) = x.as_chunks::<4>();
    for (r, x) in r4.iter().zip(x4) {
        for k in 0..4 {
            lanes[k] += x[k].into() * q[r[k] as usize];
        }
    }
    let rest: f64 = r_rest.iter().zip(x_rest).map(|(&r, &x)| x.into() * q[r as usize]).sum();
    (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]) + rest
}

/// Σ a_i · b_i over two dense vectors, in eight lanes.
pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    dense_dot(a, b)
}

fn sum_lanes(l: [f64; 8]) -> f64 {
    ((l[0] + l[4]) + (l[2] + l[6])) + ((l[1] + l[5]) + (l[3] + l[7]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dense_and_gathered_products_agree() {
        let rows: Vec<u32> = (0..13).collect();
        let x: Vec<f32> = (0..13).map(|i| i as f32 - 4.5).collect();
        let q: Vec<f64> = (0..13).map(|i| (i as f64).sin()).collect();
        let column = Column { rows: &rows, values: &x };
        let plain: f64 = x.iter().zip(&q).map(|(x, q)| f64::from(*x) * q).sum();
        assert!((column.dot(&q) - plain).abs() < 1e-12);
        let longer: Vec<f64> = q.iter().copied().chain([7.0]).collect();
        assert!((column.dot(&longer) - plain).abs() < 1e-12);
    }
}
