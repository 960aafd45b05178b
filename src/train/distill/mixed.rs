//! Rows that are made of those that are there, for a teacher to label: each is a row that in some features is another one.
//!
//! In the spirit of MUNGE (Bucila, Caruana & Niculescu-Mizil, "Model compression", KDD 2006), whose other row is the nearest; here it is any.
//! A feature has in a made row the value that it has in one of the two, 0 among them: nothing is outside of what the data hold, each
//! feature keeps the values it has, and rows stay about as sparse as they are.

use super::super::TrainError;
use super::super::evaluate::{Pace, STRETCH};
use super::made::{Entries, gathered};
use crate::dataset::Dataset;
use crate::matrix::{ColumnsView, Number, Values, ValuesView};
use crate::numeric::SplitMix64;

/// Probability with which a feature is taken from the other row.
const TAKEN: f64 = 0.25;
/// Two odd numbers that keep neighbours apart.
const OF_ROW: u64 = 0x9e37_79b9_7f4a_7c15;
const OF_FEATURE: u64 = 0xd1b5_4a32_d192_ed03;

/// Every row, and behind each so many that are made of it. The others are dealt out anew for each of them, so that every row is another's
/// equally often. What is made has target, weight and offset of its own row.
pub(super) fn mixed(dataset: &Dataset, copies: u64, seed: u64, pace: &Pace<'_>) -> Result<Dataset, TrainError> {
    let (n, copies) = (dataset.y.len(), copies as usize);
    let mut takers = Vec::with_capacity(copies);
    for copy in 0..copies as u64 {
        pace.work(4 * n)?;
        let mut others: Vec<u32> = (0..n as u32).collect();
        SplitMix64(SplitMix64(seed ^ (copy + 1).wrapping_mul(OF_ROW)).bits()).shuffle(&mut others);
        let mut taker = vec![0; n];
        others.iter().enumerate().for_each(|(row, other)| taker[*other as usize] = row as u32);
        takers.push(taker);
    }
    let mixing = Mixing { takers, seed };
    let (x, n_rows) = (dataset.x.view(), n * (1 + copies));
    let x = match x.values {
        ValuesView::Single(values) => mixing.entries(x, values, pace)?.columns(n_rows, |all| Values::Single(all.into()))?,
        ValuesView::Double(values) => mixing.entries(x, values, pace)?.columns(n_rows, |all| Values::Double(all.into()))?,
    };
    let again = |all: &[f64]| all.iter().flat_map(|one| std::iter::repeat_n(*one, 1 + copies)).collect::<Vec<f64>>();
    let (weights, offset) = (dataset.weights.as_deref().map(again), dataset.offset.as_deref().map(again));
    Ok(gathered(dataset, x, again(&dataset.y), weights, offset, None))
}

struct Mixing {
    /// Of each round, for each row, the row that takes from it.
    takers: Vec<Vec<u32>>,
    seed: u64,
}

impl Mixing {
    /// Whether row `row` takes this feature from its other in a round.
    fn takes(&self, round: usize, row: u32, feature: u32) -> bool {
        let place = (round as u64) << 32 | u64::from(row);
        let own = SplitMix64(self.seed ^ place.wrapping_mul(OF_ROW)).bits();
        SplitMix64(own ^ u64::from(feature).wrapping_mul(OF_FEATURE)).share() < TAKEN
    }

    fn entries<V: Number>(&self, x: ColumnsView<'_>, values: &[V], pace: &Pace<'_>) -> Result<Entries<V>, TrainError> {
        let rounds = self.takers.len();
        let n_rows = x.n_rows * (1 + rounds);
        let place = |row: u32, copy: usize| row * (1 + rounds as u32) + copy as u32;
        let (mut entries, mut parts) = (Entries::default(), Vec::new());
        for (at, &feature) in x.features.iter().enumerate() {
            let column = x.column(at, values);
            // rows come in no order: each goes into the part of the column where it belongs, and parts are short enough to be sorted at once
            let n_parts = 1 + column.rows.len() * (1 + rounds) / STRETCH;
            let width = n_rows.div_ceil(n_parts) as u32;
            parts.resize_with(parts.len().max(n_parts), Vec::new);
            let mut put = |row: u32, value: V| parts[(row / width) as usize].push((row, value));
            for (&row, &value) in column.rows.iter().zip(column.values) {
                pace.work(4 + 16 * rounds)?;
                put(place(row, 0), value);
                for (round, taker) in self.takers.iter().enumerate() {
                    if !self.takes(round, row, feature) {
                        put(place(row, 1 + round), value);
                    }
                    let taker = taker[row as usize];
                    if self.takes(round, taker, feature) {
                        put(place(taker, 1 + round), value);
                    }
                }
            }
            for part in &mut parts[..n_parts] {
                pace.work(16 * part.len())?;
                part.sort_unstable_by_key(|(row, _)| *row);
                part.drain(..).for_each(|(row, value)| entries.push(row, value));
            }
            entries.close(feature);
        }
        Ok(entries)
    }
}
