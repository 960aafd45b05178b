//! How long the answer to one row takes, of the predictor that serves requests: from the row as indices and values to the answer as text.
//! What a request costs besides (its bytes, its JSON, the way there and back) is the same for all models and not in it.

use std::collections::HashMap;
use std::hint::black_box;

use super::evaluate::{Pace, STRETCH};
use super::{Observe, TrainError};
use crate::dataset::{Dataset, Names};
use crate::matrix::{Number, ValuesView};
use crate::model::Predictor;

/// Rows that are asked for, evenly spaced; each model answers at least so many times.
const ROWS: usize = 2000;
/// Rows of which a layer is timed together: of one it takes no longer than a look at the clock.
const TOGETHER: usize = 20;
/// Binary searches are cheaper than reading a column this many times longer than what is looked for.
const SEARCH: usize = 16;

/// Nanoseconds since a moment of its own choice; never falls.
pub type Clock<'a> = dyn Fn() -> u64 + 'a;

type SparseRow = Vec<(u32, f64)>;

/// Median over single rows of the data set of the time, in µs, that each of several models needs to answer one; `None` where it has
/// no answers. They are asked in turn, so that what the machine does besides is no one's advantage.
///
/// # Errors
/// `observe` said to stop.
pub fn latency_us<const N: usize>(
    dataset: &Dataset,
    models: [&Predictor; N],
    clock: &Clock<'_>,
    observe: &Observe<'_>,
) -> Result<[Option<f64>; N], TrainError> {
    let pace = Pace::new(observe, &["latency"]);
    let rows = rows(dataset, &pace)?;
    Ok(in_turn(&rows, dataset, models, clock, &pace)?.map(|times| micros(&times, 0.5)))
}

/// The times of one model after the other: p50 and p99, in µs.
pub(super) fn one_by_one<'p>(
    dataset: &Dataset,
    models: impl ExactSizeIterator<Item = Predictor> + 'p,
    clock: &Clock<'_>,
    pace: &Pace<'_>,
) -> Result<Vec<[Option<f64>; 2]>, TrainError> {
    let (rows, n) = (rows(dataset, pace)?, models.len());
    let one = |(at, model): (usize, Predictor)| {
        pace.done(at, n);
        let [times] = in_turn(&rows, dataset, [&model], clock, pace)?;
        Ok([0.5, 0.99].map(|share| micros(&times, share)))
    };
    models.enumerate().map(one).collect()
}

/// Median time, in µs, that each layer of a network takes of the answer to one row; empty of what is no network.
///
/// # Errors
/// `observe` said to stop.
pub fn layers_us(dataset: &Dataset, model: &Predictor, clock: &Clock<'_>, observe: &Observe<'_>) -> Result<Vec<Option<f64>>, TrainError> {
    let pace = Pace::new(observe, &["latency"]);
    let Some(network) = model.model().network() else { return Ok(Vec::new()) };
    let own = rows(dataset, &pace)?;
    let asked = renamed(&own, dataset, model).unwrap_or(own);
    let place = |&(feature, value): &(u32, f64)| network.inputs.binary_search(&feature).ok().map(|input| (input, value));
    let asked: Vec<Vec<(usize, f64)>> = asked.iter().map(|row| row.iter().filter_map(place).collect()).collect();
    let mut times = vec![Vec::new(); network.layers.len()];
    let (mut before, mut after) = (vec![Vec::new(); TOGETHER], vec![Vec::new(); TOGETHER]);
    // once around to warm up
    for round in 0..1 + ROWS.div_ceil(asked.len().max(1)) {
        for rows in asked.chunks(TOGETHER) {
            for (at, (layer, times)) in network.layers.iter().zip(&mut times).enumerate() {
                pace.work(64 * rows.len())?;
                let began = clock();
                for (row, (before, after)) in rows.iter().zip(before.iter().zip(&mut after)) {
                    if at == 0 {
                        network.first(black_box(row).iter().copied(), after);
                    } else {
                        network.deeper(layer, black_box(before), after);
                    }
                }
                let ended = clock();
                if round > 0 {
                    times.push(ended.saturating_sub(began) / rows.len() as u64);
                }
                std::mem::swap(&mut before, &mut after);
            }
        }
    }
    times.iter_mut().for_each(|times| times.sort_unstable());
    Ok(times.iter().map(|times| micros(times, 0.5)).collect())
}

/// A quantile of rising nanoseconds, in µs.
fn micros(times: &[u64], share: f64) -> Option<f64> {
    let place = share * times.len().checked_sub(1)? as f64;
    let (low, high) = (times[place.floor() as usize] as f64, times[place.ceil() as usize] as f64);
    Some((low + (place - place.floor()) * (high - low)) / 1000.0)
}

/// Nanoseconds of each answer of each model, rising; once around to warm up, then each by itself. A row that has no answer has no
/// time.
fn in_turn<const N: usize>(
    rows: &[SparseRow],
    dataset: &Dataset,
    models: [&Predictor; N],
    clock: &Clock<'_>,
    pace: &Pace<'_>,
) -> Result<[Vec<u64>; N], TrainError> {
    let asked = models.map(|model| renamed(rows, dataset, model));
    let rounds = 1 + ROWS.div_ceil(rows.len().max(1));
    let mut times = [const { Vec::new() }; N];
    for round in 0..rounds {
        for (at, row) in rows.iter().enumerate() {
            for ((model, asked), times) in models.iter().zip(&asked).zip(&mut times) {
                let row = asked.as_ref().map_or(row, |rows| &rows[at]);
                // between answers, never within one
                pace.work(64 + 16 * row.len())?;
                let began = clock();
                let answer = black_box(model.answer(black_box(row)));
                let ended = clock();
                if round > 0 && answer.is_ok() {
                    times.push(ended.saturating_sub(began));
                }
            }
        }
    }
    times.iter_mut().for_each(|times| times.sort_unstable());
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
fn renamed(rows: &[SparseRow], dataset: &Dataset, model: &Predictor) -> Option<Vec<SparseRow>> {
    let (ours, theirs): (&Names, &Names) =
        model.names().zip(dataset.names.as_deref()).filter(|(ours, theirs)| !std::ptr::eq(*ours, *theirs))?;
    let last_used = model.model().features_used().last().copied();
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
