//! What a network says of every row of a data set: rows are put together from the columns, then go through its layers as those of a
//! prediction do.

use super::TrainError;
use super::evaluate::{Matched, Pace, STRETCH};
use crate::dataset::Dataset;
use crate::matrix::{Number, ValuesView};
use crate::model::{NetworkModel, State};

/// Row by row one number, or one for each of more than two classes.
pub(super) fn scores(dataset: &Dataset, model: &NetworkModel, matched: &Matched, pace: &Pace<'_>) -> Result<Vec<f64>, TrainError> {
    let rows = match dataset.x.view().values {
        ValuesView::Single(values) => Rows::gather(dataset, values, matched, pace)?,
        ValuesView::Double(values) => Rows::gather(dataset, values, matched, pace)?,
    };
    let width = model.layers.last().map_or(1, crate::model::Layer::outputs);
    let cost = model.layers.iter().map(|layer| layer.nonzeros() as usize).sum::<usize>();
    let first = model.layers.first().map_or(1, crate::model::Layer::outputs);
    let mut eta = Vec::with_capacity(dataset.y.len() * width);
    let mut state = State::default();
    for row in 0..dataset.y.len() {
        let entries = rows.of(row);
        pace.work((entries.len() * first).min(cost) + cost.min(1 << 16))?;
        model.forward(entries.iter().map(|(input, value)| (*input as usize, *value)), &mut state);
        match model.card.classes {
            None => eta.push(model.card.center + model.card.spread * state.outputs[0]),
            Some(_) => eta.extend_from_slice(&state.outputs),
        }
    }
    Ok(eta)
}

/// The entries that a model reads, by rows: place among its inputs, rising, and value.
struct Rows {
    ends: Vec<usize>,
    entries: Vec<(u32, f64)>,
}

impl Rows {
    fn gather<V: Number>(dataset: &Dataset, values: &[V], matched: &Matched, pace: &Pace<'_>) -> Result<Self, TrainError> {
        let x = dataset.x.view();
        // where the next entry of each row goes: at first where the row begins
        let mut next = vec![0_usize; dataset.y.len() + 1];
        for &(_, column) in &matched.pairs {
            for rows in x.column(column as usize, values).rows.chunks(STRETCH) {
                pace.work(rows.len())?;
                rows.iter().for_each(|row| next[*row as usize + 1] += 1);
            }
        }
        for row in 1..next.len() {
            next[row] += next[row - 1];
        }
        let mut entries = vec![(0, 0.0); next.last().copied().unwrap_or(0)];
        for &(at, column) in &matched.pairs {
            let column = x.column(column as usize, values);
            for (rows, values) in column.rows.chunks(STRETCH).zip(column.values.chunks(STRETCH)) {
                pace.work(4 * rows.len())?;
                for (&row, &value) in rows.iter().zip(values) {
                    let place = &mut next[row as usize];
                    entries[*place] = (at, value.into());
                    *place += 1;
                }
            }
        }
        Ok(Self { ends: next, entries })
    }

    /// `ends[row]` is the end of the row by now, and so the beginning of the next.
    fn of(&self, row: usize) -> &[(u32, f64)] {
        let begin = if row == 0 { 0 } else { self.ends[row - 1] };
        &self.entries[begin..self.ends[row]]
    }
}
