//! Rows to learn from and rows held out: one part of a data set beside the other.

use crate::dataset::Dataset;
use crate::spec::Splits;

/// Rows to learn from and rows held out, both rising.
pub(super) struct Parts {
    pub(super) learnt: Vec<u32>,
    pub(super) held_out: Vec<u32>,
}

impl Parts {
    /// A share of the rows is held out, of each class the same; rows of one origin stay together.
    pub(super) fn of(dataset: &Dataset, fraction: Option<f64>, seed: u64) -> Self {
        let n_rows = dataset.y.len();
        let Some(fraction) = fraction else { return Self { learnt: (0..n_rows as u32).collect(), held_out: Vec::new() } };
        let classes = dataset.meta.target.classes.is_some();
        let strata = classes.then_some(&*dataset.y);
        let splits = Splits::plain(1, classes, seed).again(1, Some(fraction));
        let of_row = splits.fold_of_row_together(dataset.groups.as_deref(), n_rows, strata, 0);
        let (held_out, learnt) = (0..n_rows as u32).partition(|row| of_row[*row as usize] == 0);
        Self { learnt, held_out }
    }
}
