//! Some features in evenly spaced rows: enough to draw a picture of the whole, in bounded memory.

use super::Dataset;
use crate::matrix::{ColumnsView, Number, ValuesView};

/// Non-zeros of a sample, at most about so many.
const ENTRIES_MAX: u64 = 4 << 20;
/// No column of the matrix has this position.
const ABSENT: usize = usize::MAX;

/// Rows with what they hold of some features.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sample {
    /// 0-based positions of the rows, rising.
    pub rows: Vec<usize>,
    /// Of each row the features that it holds, as positions in those asked for, rising, and their values.
    pub entries: Vec<Vec<(u32, f64)>>,
}

/// Evenly spaced rows, at most `most`, and fewer where they hold very much of these features; `None` stands for a feature that the
/// data set does not have. Asked after each column whether to go on; `None` = no.
pub fn sample(dataset: &Dataset, features: &[Option<u32>], most: usize, go_on: &(dyn Fn() -> bool + Sync)) -> Option<Sample> {
    let view = dataset.x.view();
    let n_rows = dataset.y.len();
    let columns: Vec<usize> = features.iter().map(|feature| feature.and_then(|one| view.position(one)).unwrap_or(ABSENT)).collect();
    let nonzeros: u64 = columns.iter().filter(|column| **column != ABSENT).map(|column| view.range(*column).len() as u64).sum();
    let mut taken = n_rows.min(most);
    if nonzeros > ENTRIES_MAX {
        let fitting = n_rows as f64 * (ENTRIES_MAX as f64 / nonzeros as f64);
        taken = taken.min(fitting as usize);
    }
    let mut taken = taken.max(n_rows.min(1));
    loop {
        match fill(&view, &columns, n_rows, taken, go_on)? {
            Some(sample) => return Some(sample),
            // these rows hold more than most do
            None => taken = (taken / 2).max(1),
        }
    }
}

fn fill(
    view: &ColumnsView<'_>,
    columns: &[usize],
    n_rows: usize,
    taken: usize,
    go_on: &(dyn Fn() -> bool + Sync),
) -> Option<Option<Sample>> {
    let row = |at: usize| (at as u128 * n_rows as u128 / taken.max(1) as u128) as usize;
    let mut sample = Sample { rows: (0..taken).map(row).collect(), entries: vec![Vec::new(); taken] };
    let mut left = 2 * ENTRIES_MAX;
    for (position, column) in (0u32..).zip(columns).filter(|(_, column)| **column != ABSENT) {
        if !go_on() {
            return None;
        }
        let whole = match view.values {
            ValuesView::Single(values) => add(view, values, *column, position, &mut sample, &mut left),
            ValuesView::Double(values) => add(view, values, *column, position, &mut sample, &mut left),
        };
        if !whole && taken > 1 {
            return Some(None);
        }
    }
    Some(Some(sample))
}

/// Whether all of it found room.
fn add<V: Number>(view: &ColumnsView<'_>, values: &[V], column: usize, position: u32, sample: &mut Sample, left: &mut u64) -> bool {
    let column = view.column(column, values);
    let mut at = 0;
    for (row, value) in column.rows.iter().zip(column.values) {
        while sample.rows.get(at).is_some_and(|known| *known < *row as usize) {
            at += 1;
        }
        match sample.rows.get(at) {
            None => break,
            Some(known) if *known == *row as usize => {
                if *left == 0 {
                    return false;
                }
                *left -= 1;
                sample.entries[at].push((position, (*value).into()));
            }
            Some(_) => {}
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::dataset::{Meta, RowNnz, Statistics, Target, TargetKind};
    use crate::matrix::{Buffer, Columns, Values};

    /// 10 rows; feature 2 holds the row's number in every row but 0, feature 5 is 1 in even rows.
    fn dataset() -> Dataset {
        let rows: Vec<u32> = (1..10).chain((0..10).step_by(2)).collect();
        let values: Vec<f64> = (1..10).map(f64::from).chain([1.0; 5]).collect();
        let x = Columns::new(10, vec![2, 5].into(), vec![0, 9, 14].into(), rows.into(), Values::Double(values.into())).unwrap();
        let target = Target { name: "y".into(), kind: TargetKind::Regression, classes: None, counts: None };
        let statistics = Statistics { empty_rows: 0, empty_columns: 0, constant_columns: 0, row_nnz: RowNnz::default() };
        let meta = Meta {
            shape: [10, 8],
            nnz: 14,
            stored_columns: 2,
            dtype: "f64".into(),
            stored_bytes: 0,
            target,
            statistics,
            named: false,
            weighted: false,
            offset: false,
            sha256: String::new(),
            upload_sha256: String::new(),
        };
        Dataset { meta: Arc::new(meta), x, y: Buffer::from(vec![0.0; 10]), weights: None, offset: None, names: None, groups: None }
    }

    #[test]
    fn rows_are_evenly_spaced_and_hold_what_was_asked_for() {
        let all = sample(&dataset(), &[Some(5), None, Some(2), Some(7)], 100, &|| true).unwrap();
        assert_eq!(all.rows, (0..10).collect::<Vec<_>>());
        assert_eq!((&all.entries[0], &all.entries[4], &all.entries[9]), (&vec![(0, 1.0)], &vec![(0, 1.0), (2, 4.0)], &vec![(2, 9.0)]));
        let four = sample(&dataset(), &[Some(2)], 4, &|| true).unwrap();
        assert_eq!((four.rows, four.entries), (vec![0, 2, 5, 7], vec![vec![], vec![(0, 2.0)], vec![(0, 5.0)], vec![(0, 7.0)]]));
    }

    #[test]
    fn whoever_is_told_to_stop_does() {
        assert_eq!(sample(&dataset(), &[Some(2)], 4, &|| false), None);
    }
}
