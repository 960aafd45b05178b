//! Vectors of several folds side by side: one walk over a column, or over the products of a column, serves them all.
//!
//! A row of such a vector is one line of the cache. Each lane is computed as if it were alone: what a fold comes to does
//! not depend on which others are beside it.

use crate::matrix::{ColumnsView, Number};
use crate::numeric::widest;

/// Folds side by side.
pub(super) const LANES: usize = 8;

/// A number of each fold.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[repr(align(64))]
pub(super) struct Line(pub(super) [f64; LANES]);

widest! {
    /// `sums` of the columns `list`: each with every lane of `t`.
    pub(super) fn products_with<V: Number>(x: ColumnsView, values: &[V], list: &[u32], t: &[Line], sums: &mut [Line]) = products_with_in_lanes
}

#[inline(always)]
fn products_with_in_lanes<V: Number>(x: ColumnsView, values: &[V], list: &[u32], t: &[Line], sums: &mut [Line]) {
    for (&j, sum) in list.iter().zip(sums) {
        let column = x.column(j as usize, values);
        let (mut even, mut odd) = ([0.0; LANES], [0.0; LANES]);
        let (r2, r_rest) = column.rows.as_chunks::<2>();
        let (x2, x_rest) = column.values.as_chunks::<2>();
        for (r, x) in r2.iter().zip(x2) {
            let (x0, x1): (f64, f64) = (x[0].into(), x[1].into());
            let (t0, t1) = (&t[r[0] as usize].0, &t[r[1] as usize].0);
            for l in 0..LANES {
                even[l] += x0 * t0[l];
                odd[l] += x1 * t1[l];
            }
        }
        for (&r, &x) in r_rest.iter().zip(x_rest) {
            let (x, t): (f64, _) = (x.into(), &t[r as usize].0);
            for l in 0..LANES {
                even[l] += x * t[l];
            }
        }
        for l in 0..LANES {
            sum.0[l] = even[l] + odd[l];
        }
    }
}

widest! {
    /// Σ h·x and Σ h·x² of the columns `list`, in every lane of `h`.
    pub(super) fn moments_with<V: Number>(x: ColumnsView, values: &[V], list: &[u32], h: &[Line], moments: &mut [[Line; 2]]) = moments_with_in_lanes
}

#[inline(always)]
#[allow(clippy::needless_range_loop)]
fn moments_with_in_lanes<V: Number>(x: ColumnsView, values: &[V], list: &[u32], h: &[Line], moments: &mut [[Line; 2]]) {
    for (&j, moments) in list.iter().zip(moments) {
        let column = x.column(j as usize, values);
        let (mut sums, mut squares) = ([0.0; LANES], [0.0; LANES]);
        for (&r, &x) in column.rows.iter().zip(column.values) {
            let (x, h): (f64, _) = (x.into(), &h[r as usize].0);
            for l in 0..LANES {
                let hx = x * h[l];
                sums[l] += hx;
                squares[l] += x * hx;
            }
        }
        *moments = [Line(sums), Line(squares)];
    }
}

widest! {
    /// As [`products_with`] of what is rounded to single precision.
    pub(super) fn products_with_single<V: Number>(x: ColumnsView, values: &[V], list: &[u32], t: &[[f32; LANES]], sums: &mut [Line]) = products_with_single_in_lanes
}

#[inline(always)]
fn products_with_single_in_lanes<V: Number>(x: ColumnsView, values: &[V], list: &[u32], t: &[[f32; LANES]], sums: &mut [Line]) {
    for (&j, sum) in list.iter().zip(sums) {
        let column = x.column(j as usize, values);
        let mut all = [0.0; LANES];
        for (&r, &x) in column.rows.iter().zip(column.values) {
            let (x, t): (f64, _) = (x.into(), &t[r as usize]);
            for l in 0..LANES {
                all[l] += x * f64::from(t[l]);
            }
        }
        sum.0 = all;
    }
}

widest! {
    /// Σ inverse·(a − b)² of each lane: of `now` from `reference` and from `before`, and of what lies `ahead` of `now`, away from
    /// `before`, from `reference`.
    pub(super) fn distances(now: &[Line], before: &[Line], reference: &[[f32; LANES]], inverse: &[f64], ahead: f64, squares: &mut [Line; 3]) = distances_in_lanes
}

#[inline(always)]
#[allow(clippy::needless_range_loop)]
fn distances_in_lanes(now: &[Line], before: &[Line], reference: &[[f32; LANES]], inverse: &[f64], ahead: f64, squares: &mut [Line; 3]) {
    let [mut here, mut moved, mut far] = *squares;
    for (((now, before), reference), inverse) in now.iter().zip(before).zip(reference).zip(inverse) {
        for l in 0..LANES {
            let (from_reference, step) = (now.0[l] - f64::from(reference[l]), now.0[l] - before.0[l]);
            let there = from_reference + ahead * step;
            here.0[l] += from_reference * from_reference * inverse;
            moved.0[l] += step * step * inverse;
            far.0[l] += there * there * inverse;
        }
    }
    *squares = [here, moved, far];
}

widest! {
    /// Adds the columns `list`, each lane with its coefficient.
    pub(super) fn add_columns<V: Number>(x: ColumnsView, values: &[V], list: &[u32], w: &[Line], out: &mut [Line]) = add_columns_in_lanes
}

#[inline(always)]
#[allow(clippy::needless_range_loop)]
fn add_columns_in_lanes<V: Number>(x: ColumnsView, values: &[V], list: &[u32], w: &[Line], out: &mut [Line]) {
    for (&j, w) in list.iter().zip(w) {
        let column = x.column(j as usize, values);
        for (&r, &x) in column.rows.iter().zip(column.values) {
            let (x, out): (f64, _) = (x.into(), &mut out[r as usize].0);
            for l in 0..LANES {
                out[l] += x * w.0[l];
            }
        }
    }
}
