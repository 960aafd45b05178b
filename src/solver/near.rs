//! Which columns may come near their bounds in any of several folds.
//!
//! As in `gradient.rs`, a column is left alone while |x̃ᵀθ| ≤ |x̃ᵀθ_ref| + ‖x̃‖·‖θ − θ_ref‖ keeps it within its bound. Of
//! each column only the two largest shares of all folds are kept, not its products: memory follows the columns, not the folds.

use crate::matrix::ColumnsView;

/// A column is left alone when its product is known to stay within this share of its bound, in every fold.
pub(super) const WITHIN: f64 = 0.98;
/// Walks over what a list has grown by since its reference, in tenths of the matrix, that are worth a new one.
const WORN: usize = 8;
/// Not in the list.
const NOWHERE: u32 = u32::MAX;

/// The columns that are looked at.
#[derive(Debug, Default)]
pub(super) struct Near {
    /// Rising.
    pub(super) list: Vec<u32>,
    /// Where each column is in the list.
    place: Vec<u32>,
    /// 1 / the least bound of all folds at λ = 1, or 0 where no fold may move the column.
    unit: Vec<f64>,
    /// The largest |x̃ᵀθ_ref| of all folds, in units of the bound.
    top: Vec<f64>,
    /// The largest ‖x̃‖, in units of the bound.
    reach: Vec<f64>,
    /// The largest mean, in units of the bound.
    mean: Vec<f64>,
    /// For which λ and up to which ‖θ − θ_ref‖ the list is whole.
    lambda: f64,
    distance: f64,
    entries: usize,
    /// Non-zeros of the first list after the last reference.
    fresh: Option<usize>,
    excess: usize,
}

impl Near {
    /// Of columns none of which has been looked at: the least bound, the largest ‖x̃‖ and the largest mean of each.
    pub(super) fn new(columns: Vec<[f64; 3]>) -> Self {
        let p = columns.len();
        let unit: Vec<f64> = columns.iter().map(|[l1, ..]| if l1.is_finite() { 1.0 / l1 } else { 0.0 }).collect();
        let of = |which: usize| columns.iter().zip(&unit).map(|(column, unit)| column[which] * unit).collect();
        let (reach, mean) = (of(1), of(2));
        Self { place: vec![NOWHERE; p], top: vec![0.0; p], unit, reach, mean, lambda: f64::INFINITY, ..Self::default() }
    }

    /// The largest |xᵀθ| of all folds at column `j`, where the reference is now and θ sums to no more than `sum`.
    pub(super) fn refer(&mut self, j: usize, top: f64, sum: f64) {
        self.top[j] = top * self.unit[j] + self.mean[j] * sum;
    }

    /// Every column has been told of.
    pub(super) fn referred(&mut self) {
        (self.lambda, self.fresh, self.excess) = (f64::INFINITY, None, 0);
    }

    /// Where column `j` is in the list.
    pub(super) fn place(&self, j: u32) -> Option<usize> {
        let place = self.place[j as usize];
        (place != NOWHERE).then_some(place as usize)
    }

    pub(super) fn covers(&self, lambda: f64, distance: f64) -> bool {
        self.lambda <= lambda && distance <= self.distance
    }

    /// Above the product of column `j`, in units of the bound at λ = 1, where θ is this far from the reference.
    pub(super) fn most(&self, j: u32, distance: f64) -> f64 {
        self.top[j as usize] + self.reach[j as usize] * distance
    }

    /// Makes the list anew for λ from `lambda` on, and for distances up to `distance`; `kept` columns are in it anyway.
    pub(super) fn cover(&mut self, lambda: f64, distance: f64, kept: &[u32], x: ColumnsView) {
        (self.lambda, self.distance) = (lambda, distance);
        self.list.iter().for_each(|&j| self.place[j as usize] = NOWHERE);
        self.list.clear();
        let mut kept = kept.iter().copied().peekable();
        // a hair off for rounding
        let bound = WITHIN * lambda * (1.0 - 1e-12);
        for (j, (top, reach)) in self.top.iter().zip(&self.reach).enumerate() {
            let is_kept = kept.next_if_eq(&(j as u32)).is_some();
            if top + reach * distance >= bound || is_kept {
                self.place[j] = self.list.len() as u32;
                self.list.push(j as u32);
            }
        }
        self.entries = self.list.iter().map(|&j| x.range(j as usize).len()).sum();
        self.fresh.get_or_insert(self.entries);
    }

    /// Says that the list is walked once more; whether a new reference would pay: by now, what the list has grown by since the
    /// last one has cost as much.
    pub(super) fn walk(&mut self, x: ColumnsView) -> bool {
        self.excess += self.entries.saturating_sub(self.fresh.unwrap_or(0));
        self.excess > WORN * x.nnz() / 10
    }
}
