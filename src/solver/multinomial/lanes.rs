//! Xᵀ[r_1 … r_K] in one walk over X for every eight classes.
//!
//! The residuals of eight classes lie side by side, one cache line a row: where the row of a non-zero is fetched, all of
//! them are.

use crate::matrix::{ColumnsView, Number, ValuesView};
use crate::numeric::widest;
use crate::solver::clock::Clock;

/// Classes served by one walk.
pub(super) const LANES: usize = 8;
/// Non-zeros between two looks at the clock.
const STRIDE: usize = 1 << 13;

/// Each column's products with `theta` (class by class) into `products` (class by class); worth nothing when `clock`
/// said stop.
pub(super) fn multiply(x: ColumnsView, theta: &[f64], products: &mut [f64], clock: &mut Clock) {
    let (n, p) = (x.n_rows, x.len());
    if n == 0 || p == 0 {
        return;
    }
    let mut side_by_side = vec![[0.0; LANES]; n];
    let mut sums: Vec<[f64; LANES]> = Vec::new();
    for (group, theta) in theta.chunks(LANES * n).enumerate() {
        let classes = theta.len() / n;
        if !clock.work(theta.len()) {
            return;
        }
        side_by_side.iter_mut().for_each(|row| row.fill(0.0));
        for (lane, theta) in theta.chunks_exact(n).enumerate() {
            side_by_side.iter_mut().zip(theta).for_each(|(row, theta)| row[lane] = *theta);
        }
        let mut first = 0;
        while first < p {
            let end = x.offsets[first] as usize + STRIDE;
            let last = (first + x.offsets[first..].partition_point(|&at| at as usize <= end)).saturating_sub(1).clamp(first + 1, p);
            if !clock.touch((x.offsets[last] - x.offsets[first]) as usize) {
                return;
            }
            sums.clear();
            sums.resize(last - first, [0.0; LANES]);
            match x.values {
                ValuesView::Single(values) => walk_single(&x.offsets[first..=last], x.rows, values, &side_by_side, &mut sums),
                ValuesView::Double(values) => walk_double(&x.offsets[first..=last], x.rows, values, &side_by_side, &mut sums),
            }
            for lane in 0..classes {
                let at = (group * LANES + lane) * p;
                products[at + first..at + last].iter_mut().zip(&sums).for_each(|(product, sums)| *product = sums[lane]);
            }
            first = last;
        }
    }
}

widest! {
    /// Of columns in single precision.
    fn walk_single(offsets: &[u64], rows: &[u32], values: &[f32], theta: &[[f64; LANES]], sums: &mut [[f64; LANES]]) = walk
}

widest! {
    /// Of columns in double precision.
    fn walk_double(offsets: &[u64], rows: &[u32], values: &[f64], theta: &[[f64; LANES]], sums: &mut [[f64; LANES]]) = walk
}

/// The columns between `offsets`; even and odd non-zeros are summed apart, so that one need not wait for the other.
#[inline(always)]
fn walk<V: Number>(offsets: &[u64], rows: &[u32], values: &[V], theta: &[[f64; LANES]], sums: &mut [[f64; LANES]]) {
    for (pair, sum) in offsets.windows(2).zip(sums) {
        let column = pair[0] as usize..pair[1] as usize;
        let (rows2, row) = rows[column.clone()].as_chunks::<2>();
        let (values2, value) = values[column].as_chunks::<2>();
        let (mut even, mut odd) = ([0.0; LANES], [0.0; LANES]);
        for (rows, values) in rows2.iter().zip(values2) {
            add(&mut even, values[0].into(), &theta[rows[0] as usize]);
            add(&mut odd, values[1].into(), &theta[rows[1] as usize]);
        }
        if let (Some(&row), Some(&value)) = (row.first(), value.first()) {
            add(&mut even, value.into(), &theta[row as usize]);
        }
        (0..LANES).for_each(|lane| sum[lane] = even[lane] + odd[lane]);
    }
}

#[inline(always)]
fn add(sum: &mut [f64; LANES], x: f64, theta: &[f64; LANES]) {
    (0..LANES).for_each(|lane| sum[lane] += x * theta[lane]);
}
