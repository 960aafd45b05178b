//! How long trees take to answer one row: from its entries in memory to a leaf, as a served model goes, without reading a request.
//! Knows no clock; whoever asks brings one.

use std::hint::black_box;
use std::time::Duration;

use super::evaluate::{Matched, Pace};
use super::{Observe, TrainError};
use crate::dataset::{Dataset, Names};
use crate::matrix::{Number, ValuesView};
use crate::model::Nodes;

/// Rows asked, at equal distances.
const ROWS: usize = 512;
/// Each of them so often at a time, as one answer is shorter than a clock can tell.
const REPEATS: u32 = 32;

/// Median over single rows of the data set of the time, in µs, that each of two trees over the same `n_features` features needs for
/// one. `after` splits on no feature that `before` does not. `clock` tells the time since some moment.
///
/// # Errors
/// `observe` said to stop, or features cannot be matched.
pub fn latency_us(
    dataset: &Dataset,
    names: Option<&Names>,
    n_features: u64,
    [before, after]: [&Nodes; 2],
    clock: &dyn Fn() -> Duration,
    observe: &Observe<'_>,
) -> Result<[f64; 2], TrainError> {
    let pace = Pace::new(observe, &["latency"]);
    let used = before.features_used();
    let matched = Matched::find(dataset, (&used, n_features), names, &pace)?;
    let rows = match dataset.x.view().values {
        ValuesView::Single(values) => sampled(dataset, values, &matched, &pace)?,
        ValuesView::Double(values) => sampled(dataset, values, &matched, &pace)?,
    };
    let (of_before, of_after) = (Ready::new(before), Ready::new(after));
    let mut times = [Vec::with_capacity(rows.len()), Vec::with_capacity(rows.len())];
    for row in rows {
        pace.work(1 << 10)?;
        let place = |(at, value): &(u32, f64)| Some((of_after.used.binary_search(used.get(*at as usize)?).ok()? as u32, *value));
        let fewer: Vec<(u32, f64)> = row.iter().filter_map(place).collect();
        // in turn, so that what the machine does besides is no one's advantage
        for (times, (tree, row)) in times.iter_mut().zip([(&of_before, &row), (&of_after, &fewer)]) {
            let began = clock();
            for _ in 0..REPEATS {
                black_box(tree.leaf(black_box(row)));
            }
            times.push(clock().saturating_sub(began).as_secs_f64() * 1e6 / f64::from(REPEATS));
        }
    }
    Ok(times.map(median))
}

/// A tree as it is served: each node knows the place of its feature among those that are split on.
struct Ready<'t> {
    nodes: &'t Nodes,
    used: Vec<u32>,
    splits: Vec<u32>,
}

impl<'t> Ready<'t> {
    fn new(nodes: &'t Nodes) -> Self {
        let used = nodes.features_used();
        let splits = nodes.features.iter().map(|feature| used.partition_point(|one| one < feature) as u32).collect();
        Self { nodes, used, splits }
    }

    fn leaf(&self, row: &[(u32, f64)]) -> usize {
        self.nodes.leaf(|node| row.binary_search_by_key(&self.splits[node], |entry| entry.0).map_or(0.0, |at| row[at].1))
    }
}

/// The entries of some rows, by the place of their features among those that matter, rising.
fn sampled<V: Number>(dataset: &Dataset, values: &[V], matched: &Matched, pace: &Pace<'_>) -> Result<Vec<Vec<(u32, f64)>>, TrainError> {
    let (x, n_rows) = (dataset.x.view(), dataset.y.len());
    let mut rows = vec![Vec::new(); n_rows.min(ROWS)];
    let n = rows.len();
    for &(at, column) in &matched.pairs {
        let column = x.column(column as usize, values);
        for (block, held) in column.rows.chunks(1 << 13).zip(column.values.chunks(1 << 13)) {
            pace.work(block.len())?;
            for (&row, &value) in block.iter().zip(held) {
                // row ⌊i·n_rows/n⌋ is the i-th
                let place = (row as usize * n).div_ceil(n_rows);
                if place < n && place * n_rows / n == row as usize {
                    rows[place].push((at, value.into()));
                }
            }
        }
    }
    Ok(rows)
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(0.0)
}
