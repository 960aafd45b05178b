//! How long the answer to one row takes, of the predictor that serves requests: from the row as indices and values to the answer as text.
//! What a request costs besides (its bytes, its JSON, the way there and back) is the same for all models and not in it.

use std::collections::HashMap;
use std::hint::black_box;

use super::super::TrainError;
use super::super::evaluate::{Pace, STRETCH};
use super::draw::quantile;
use super::{Clock, Field};
use crate::dataset::{Dataset, Names};
use crate::matrix::{Number, ValuesView};
use crate::model::{ComparedModel, Predictor};

/// Rows that are asked for, evenly spaced; each model answers at least so many times.
const ROWS: usize = 2000;
/// Binary searches are cheaper than reading a column this many times longer than what is looked for.
const SEARCH: usize = 16;

type SparseRow = Vec<(u32, f64)>;

/// Times every model on the same rows, once around to warm up, then each answer by itself.
pub(super) fn measure(field: &Field<'_>, clock: &Clock<'_>, data: &mut [ComparedModel]) -> Result<(), TrainError> {
    let rows = rows(field.dataset, field.pace)?;
    for (at, (row, one)) in field.rows.iter().zip(data).enumerate() {
        field.pace.done(at, field.rows.len());
        let predictor = Predictor::new(row.model.clone(), row.names.clone());
        let asked = renamed(&rows, field.dataset, row.names.as_deref(), row.model.features_used().last().copied());
        let times = times(&predictor, asked.as_ref().unwrap_or(&rows), clock, field.pace)?;
        if !times.is_empty() {
            one.latency_us_p50 = Some(quantile(&times, 0.5) / 1000.0);
            one.latency_us_p99 = Some(quantile(&times, 0.99) / 1000.0);
        }
    }
    Ok(())
}

/// Nanoseconds of each answer, rising. A row that has no answer has no time.
fn times(predictor: &Predictor, rows: &[SparseRow], clock: &Clock<'_>, pace: &Pace<'_>) -> Result<Vec<f64>, TrainError> {
    let rounds = 1 + ROWS.div_ceil(rows.len().max(1));
    let mut times = Vec::with_capacity(ROWS + rows.len());
    for round in 0..rounds {
        for row in rows {
            // between answers, never within one
            pace.work(64 + 16 * row.len())?;
            let began = clock();
            let answer = black_box(predictor.answer(black_box(row)));
            let ended = clock();
            if round > 0 && answer.is_ok() {
                times.push(ended.saturating_sub(began) as f64);
            }
        }
    }
    times.sort_unstable_by(f64::total_cmp);
    Ok(times)
}

/// Evenly spaced rows of a data set, features rising.
fn rows(dataset: &Dataset, pace: &Pace<'_>) -> Result<Vec<SparseRow>, TrainError> {
    let n_rows = dataset.y.len();
    let wanted = n_rows.min(ROWS);
    let mut rows = vec![SparseRow::new(); wanted];
    match dataset.x.view().values {
        ValuesView::Single(values) => gather(dataset, values, n_rows, &mut rows, pace)?,
        ValuesView::Double(values) => gather(dataset, values, n_rows, &mut rows, pace)?,
    }
    Ok(rows)
}

fn gather<V: Number>(dataset: &Dataset, values: &[V], n_rows: usize, rows: &mut [SparseRow], pace: &Pace<'_>) -> Result<(), TrainError> {
    let (x, wanted) = (dataset.x.view(), rows.len());
    // row number `slot · n / wanted`, rounded down, stands in `slot`
    let row_of = |slot: usize| (slot as u128 * n_rows as u128 / wanted as u128) as usize;
    let slot_of = |row: usize| (row as u128 * wanted as u128).div_ceil(n_rows as u128) as usize;
    for j in 0..x.len() {
        let (feature, column) = (x.features[j], x.column(j, values));
        if column.rows.len() > SEARCH * wanted {
            pace.work(SEARCH * wanted)?;
            for (slot, held) in rows.iter_mut().enumerate() {
                if let Ok(at) = column.rows.binary_search(&(row_of(slot) as u32)) {
                    held.push((feature, column.values[at].into()));
                }
            }
        } else {
            for (of, values) in column.rows.chunks(STRETCH).zip(column.values.chunks(STRETCH)) {
                pace.work(4 + 4 * of.len())?;
                for (&row, &value) in of.iter().zip(values) {
                    let slot = slot_of(row as usize);
                    if slot < wanted && row_of(slot) == row as usize {
                        rows[slot].push((feature, value.into()));
                    }
                }
            }
        }
    }
    Ok(())
}

/// The rows by the model's own numbers of features, where those differ from the data set's. Features that the model does not know
/// get numbers beyond all of its features, as they would be told apart in a request.
fn renamed(rows: &[SparseRow], dataset: &Dataset, names: Option<&Names>, last_used: Option<u32>) -> Option<Vec<SparseRow>> {
    let (ours, theirs) = names.zip(dataset.names.as_deref()).filter(|(ours, theirs)| !std::ptr::eq(*ours, *theirs))?;
    let mut found: HashMap<u32, Option<u32>> = HashMap::new();
    let beyond = last_used.map_or(0, |last| last.saturating_add(1)).max(u32::try_from(ours.len()).unwrap_or(u32::MAX));
    let rename = |row: &SparseRow| {
        let mut strangers = 0;
        let mut renamed: SparseRow = row
            .iter()
            .map(|&(feature, value)| {
                let known = *found.entry(feature).or_insert_with(|| theirs.get(feature).and_then(|name| ours.find(name)));
                let index = known.unwrap_or_else(|| {
                    strangers += 1;
                    beyond.saturating_add(strangers)
                });
                (index, value)
            })
            .collect();
        renamed.sort_unstable_by_key(|entry| entry.0);
        renamed
    };
    Some(rows.iter().map(rename).collect())
}
