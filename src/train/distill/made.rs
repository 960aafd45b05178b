//! Data sets in memory whose rows are those of another: some of them, or each several times.

use std::sync::Arc;

use super::super::TrainError;
use super::super::evaluate::{Pace, STRETCH};
use super::super::unfit;
use crate::dataset::{Dataset, Meta};
use crate::matrix::{Columns, ColumnsView, Number, Values, ValuesView};

/// These rows, rising, without the values of one feature.
pub(super) fn taken(dataset: &Dataset, rows: &[u32], without: Option<u32>, pace: &Pace<'_>) -> Result<Dataset, TrainError> {
    let mut starts = Vec::with_capacity(dataset.y.len() + 1);
    let mut next = 0_u32;
    for row in 0..dataset.y.len() as u32 {
        starts.push(next);
        next += u32::from(rows.get(next as usize) == Some(&row));
    }
    starts.push(next);
    let of = |all: &[f64]| rows.iter().map(|row| all[*row as usize]).collect::<Vec<f64>>();
    let x = spread(dataset.x.view(), &starts, without, pace)?;
    let (weights, offset) = (dataset.weights.as_deref().map(of), dataset.offset.as_deref().map(of));
    Ok(gathered(dataset, x, of(&dataset.y), weights, offset, None))
}

/// A data set of this matrix and these rows, which has everything else of another.
pub(super) fn gathered(
    of: &Dataset,
    x: Columns,
    y: Vec<f64>,
    weights: Option<Vec<f64>>,
    offset: Option<Vec<f64>>,
    groups: Option<Vec<u32>>,
) -> Dataset {
    let (view, mut target) = (x.view(), of.meta.target.clone());
    if let Some(classes) = &target.classes {
        let mut counts = vec![0; classes.len()];
        y.iter().for_each(|class| counts[*class as usize] += 1);
        target.counts = Some(counts);
    }
    let meta = Meta {
        shape: [y.len() as u64, of.meta.shape[1]],
        nnz: view.nnz() as u64,
        stored_columns: view.len() as u64,
        weighted: weights.is_some(),
        target,
        ..(*of.meta).clone()
    };
    Dataset {
        meta: Arc::new(meta),
        x,
        y: y.into(),
        weights: weights.map(Into::into),
        offset: offset.map(Into::into),
        names: of.names.clone(),
        groups: groups.map(Into::into),
    }
}

/// The matrix in which row `i` of another stands at the places from `starts[i]` to below `starts[i + 1]`: once, several times or not at
/// all; without the values of one feature.
pub(super) fn spread(x: ColumnsView<'_>, starts: &[u32], without: Option<u32>, pace: &Pace<'_>) -> Result<Columns, TrainError> {
    let n_rows = starts.last().copied().unwrap_or(0) as usize;
    match x.values {
        ValuesView::Single(values) => spread_values(x, values, starts, without, pace)?.columns(n_rows, |all| Values::Single(all.into())),
        ValuesView::Double(values) => spread_values(x, values, starts, without, pace)?.columns(n_rows, |all| Values::Double(all.into())),
    }
}

fn spread_values<V: Number>(
    x: ColumnsView<'_>,
    values: &[V],
    starts: &[u32],
    without: Option<u32>,
    pace: &Pace<'_>,
) -> Result<Entries<V>, TrainError> {
    let mut entries = Entries::default();
    for (at, &feature) in x.features.iter().enumerate().filter(|(_, feature)| Some(**feature) != without) {
        let column = x.column(at, values);
        for (rows, values) in column.rows.chunks(STRETCH).zip(column.values.chunks(STRETCH)) {
            pace.work(2 * rows.len())?;
            for (&row, &value) in rows.iter().zip(values) {
                for place in starts[row as usize]..starts[row as usize + 1] {
                    entries.push(place, value);
                }
            }
        }
        entries.close(feature);
    }
    Ok(entries)
}

/// Columns that are put down one after the other; those without an entry are none.
pub(super) struct Entries<V> {
    features: Vec<u32>,
    offsets: Vec<u64>,
    rows: Vec<u32>,
    values: Vec<V>,
}

impl<V> Default for Entries<V> {
    fn default() -> Self {
        Self { features: Vec::new(), offsets: vec![0], rows: Vec::new(), values: Vec::new() }
    }
}

impl<V> Entries<V> {
    /// An entry of the column that is open; rows rise.
    pub(super) fn push(&mut self, row: u32, value: V) {
        self.rows.push(row);
        self.values.push(value);
    }

    /// The open column is that of this feature.
    pub(super) fn close(&mut self, feature: u32) {
        let end = self.rows.len() as u64;
        if self.offsets.last() != Some(&end) {
            self.features.push(feature);
            self.offsets.push(end);
        }
    }

    /// All of them.
    pub(super) fn columns(self, n_rows: usize, values: impl FnOnce(Vec<V>) -> Values) -> Result<Columns, TrainError> {
        let Self { features, offsets, rows, values: all } = self;
        let made = Columns::trusted(n_rows, features.into(), offsets.into(), rows.into(), values(all));
        made.map_err(|what| unfit("internal_error", format!("The rows that were made are none: {what}.")))
    }
}
