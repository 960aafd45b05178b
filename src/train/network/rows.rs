//! The rows of a data set as a network reads them: put together from the columns, each of them scaled, and centred where it is full.

use super::super::TrainError;
use super::super::evaluate::{Pace, STRETCH};
use crate::dataset::Dataset;
use crate::matrix::{Number, ValuesView};
use crate::network::Rows;

/// What is done to the values of each input: (x − shift)·scale. Only an input that every row holds has a shift, so that what a row
/// does not hold stays 0.
#[derive(Clone, Debug, Default)]
pub(in crate::train) struct Scaling {
    pub(super) scales: Vec<f64>,
    pub(super) shifts: Vec<f64>,
}

/// Which column is which input, by rising input.
pub(in crate::train) type Pairs<'p> = &'p [(u32, u32)];

impl Scaling {
    /// Scales by the root mean square of what is not 0 (of a full column about its mean), in one walk over the columns.
    pub(super) fn of(dataset: &Dataset, pairs: Pairs<'_>, pace: &Pace<'_>) -> Result<Self, TrainError> {
        let (scales, shifts) = measured(dataset, pairs, pace)?.into_iter().unzip();
        Ok(Self { scales, shifts })
    }

    /// Known scales, and the shifts of this data set's columns.
    pub(super) fn with(dataset: &Dataset, pairs: Pairs<'_>, scales: &[f64], pace: &Pace<'_>) -> Result<Self, TrainError> {
        let mut shifts = vec![0.0; scales.len()];
        for ((input, _), (_, shift)) in pairs.iter().zip(measured(dataset, pairs, pace)?) {
            shifts[*input as usize] = shift;
        }
        Ok(Self { scales: scales.to_vec(), shifts })
    }

    /// What the shifts take away from the sums of a layer whose rows of weights are those of these inputs.
    pub(super) fn taken(&self, weights: &[f64], outputs: usize) -> Vec<f64> {
        let mut taken = vec![0.0; outputs];
        for ((scale, shift), row) in self.scales.iter().zip(&self.shifts).zip(weights.chunks(outputs.max(1))) {
            if *shift != 0.0 {
                taken.iter_mut().zip(row).for_each(|(taken, weight)| *taken += shift * scale * weight);
            }
        }
        taken
    }

    /// The rows over `n_inputs` inputs; without a scaling the values as they are.
    pub(in crate::train) fn rows(
        scaling: Option<&Self>,
        dataset: &Dataset,
        pairs: Pairs<'_>,
        n_inputs: usize,
        pace: &Pace<'_>,
    ) -> Result<Rows, TrainError> {
        match dataset.x.view().values {
            ValuesView::Single(values) => gather(scaling, dataset, values, pairs, n_inputs, pace),
            ValuesView::Double(values) => gather(scaling, dataset, values, pairs, n_inputs, pace),
        }
    }
}

/// Scale and shift of each column.
fn measured(dataset: &Dataset, pairs: Pairs<'_>, pace: &Pace<'_>) -> Result<Vec<(f64, f64)>, TrainError> {
    let x = dataset.x.view();
    let one = |(_, column): &(u32, u32)| match x.values {
        ValuesView::Single(values) => scale_and_shift(x.column(*column as usize, values).values, dataset.y.len(), pace),
        ValuesView::Double(values) => scale_and_shift(x.column(*column as usize, values).values, dataset.y.len(), pace),
    };
    pairs.iter().map(one).collect()
}

/// Of a column that holds these values in so many rows.
fn scale_and_shift<V: Number>(values: &[V], n_rows: usize, pace: &Pace<'_>) -> Result<(f64, f64), TrainError> {
    // squares of what is beyond 1e154 are beyond a double
    let most = values.iter().fold(0.0_f64, |most, value| most.max((*value).into().abs()));
    let unit = if most > 0.0 { most } else { 1.0 };
    let (mut sum, mut squares, mut count) = (0.0, 0.0, 0_usize);
    for values in values.chunks(STRETCH) {
        pace.work(4 * values.len())?;
        for value in values {
            let value = (*value).into() / unit;
            sum += value;
            squares += value * value;
            count += usize::from(value != 0.0);
        }
    }
    let (mean, spread) = if values.len() == n_rows {
        let mean = sum / n_rows as f64;
        let about = |value: &V| ((*value).into() / unit - mean).powi(2);
        (mean, (values.iter().map(about).sum::<f64>() / n_rows as f64).sqrt())
    } else {
        (0.0, (squares / count.max(1) as f64).sqrt())
    };
    // a column that is the same everywhere says nothing: centred it is 0
    let scale = if spread > 1e-12 * mean.abs() { 1.0 / (spread * unit) } else { 1.0 / unit };
    Ok((if scale.is_finite() && scale > 0.0 { scale } else { 1.0 }, mean * unit))
}

fn gather<V: Number>(
    scaling: Option<&Scaling>,
    dataset: &Dataset,
    values: &[V],
    pairs: Pairs<'_>,
    n_inputs: usize,
    pace: &Pace<'_>,
) -> Result<Rows, TrainError> {
    let x = dataset.x.view();
    let mut offsets = vec![0_usize; dataset.y.len() + 1];
    for &(_, column) in pairs {
        for rows in x.column(column as usize, values).rows.chunks(STRETCH) {
            pace.work(rows.len())?;
            rows.iter().for_each(|row| offsets[*row as usize + 1] += 1);
        }
    }
    for row in 1..offsets.len() {
        offsets[row] += offsets[row - 1];
    }
    let n = offsets.last().copied().unwrap_or(0);
    let (mut inputs, mut held, mut next) = (vec![0; n], vec![0.0; n], offsets.clone());
    for &(input, column) in pairs {
        let (scale, shift) = scaling.map_or((1.0, 0.0), |scaling| (scaling.scales[input as usize], scaling.shifts[input as usize]));
        let column = x.column(column as usize, values);
        for (rows, values) in column.rows.chunks(STRETCH).zip(column.values.chunks(STRETCH)) {
            pace.work(4 * rows.len())?;
            for (&row, &value) in rows.iter().zip(values) {
                let place = &mut next[row as usize];
                (inputs[*place], held[*place]) = (input, (value.into() - shift) * scale);
                *place += 1;
            }
        }
    }
    Ok(Rows::new(n_inputs, offsets, inputs, held)?)
}
