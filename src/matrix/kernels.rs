//! The loops over one column that everything else is made of. Sums in f64, in a fixed order, without fused
//! multiply-add: the same bits on every machine.
//!
//! A column with as many non-zeros as rows needs no gather; each kernel takes that road by itself.

use super::{Column, Number};

const LANES: usize = 4;

/// xᵀv.
pub fn dot<V: Number>(x: Column<'_, V>, v: &[f64]) -> f64 {
    if x.rows.len() == v.len() {
        return lanes(x.values.iter().zip(v).map(|(&x, &v)| x.into() * v), x.values.len());
    }
    lanes(x.values.iter().zip(x.rows).map(|(&x, &row)| x.into() * v[row as usize]), x.values.len())
}

/// Sums a sequence in [`LANES`] interleaved partial sums: the order is fixed and the additions overlap.
#[inline(always)]
fn lanes(mut terms: impl Iterator<Item = f64>, len: usize) -> f64 {
    let mut sums = [0.0; LANES];
    for _ in 0..len / LANES {
        for sum in &mut sums {
            *sum += terms.next().unwrap_or(0.0);
        }
    }
    for (sum, term) in sums.iter_mut().zip(terms) {
        *sum += term;
    }
    (sums[0] + sums[1]) + (sums[2] + sums[3])
}

/// v += a·x.
pub fn add_scaled<V: Number>(x: Column<'_, V>, a: f64, v: &mut [f64]) {
    if x.rows.len() == v.len() {
        for (v, &x) in v.iter_mut().zip(x.values) {
            *v += a * x.into();
        }
        return;
    }
    for (&row, &x) in x.rows.iter().zip(x.values) {
        v[row as usize] += a * x.into();
    }
}

/// v += a·(h∘x).
pub fn add_scaled_weighted<V: Number>(x: Column<'_, V>, a: f64, h: &[f64], v: &mut [f64]) {
    if x.rows.len() == v.len() {
        for ((v, &h), &x) in v.iter_mut().zip(h).zip(x.values) {
            *v += a * (h * x.into());
        }
        return;
    }
    for (&row, &x) in x.rows.iter().zip(x.values) {
        v[row as usize] += a * (h[row as usize] * x.into());
    }
}

/// Σ h, Σ h·x and Σ h·x² over the non-zeros of x.
pub fn sum_weighted<V: Number>(x: Column<'_, V>, h: &[f64]) -> [f64; 3] {
    let mut sums = [0.0; 3];
    for (&row, &x) in x.rows.iter().zip(x.values) {
        let (h, x) = (h[row as usize], x.into());
        sums[0] += h;
        sums[1] += h * x;
        sums[2] += h * x * x;
    }
    sums
}
