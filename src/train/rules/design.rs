//! The matrix that the lasso chooses from: one column a rule, then the features themselves.
//!
//! A rule that holds for most rows is a column of the rows it does not hold for: with an intercept beside it that is the same
//! rule with the other sign. So a column has at most half as many entries as there are rows, and follows the non-zeros of the features.

use std::collections::HashSet;

use crate::dataset::Dataset;
use crate::matrix::{Column, Columns, ColumnsView, Number, Values, ValuesView};
use crate::train::TrainError;
use crate::tree::{self, Rule, Unfit};

/// Standard deviation of a rule of average support: a feature is penalised as if it were scaled to it (Friedman & Popescu 2008, 5).
const RULE_DEVIATION: f64 = 0.4;
/// Entries copied between two looks up.
const STRETCH: usize = 1 << 14;

/// Rules and features as columns.
pub(super) struct Design {
    pub(super) x: Columns,
    /// The rules of the first columns.
    pub(super) rules: Vec<Rule>,
    /// Whether a column tells the rows that its rule does not hold for.
    pub(super) inverted: Vec<bool>,
    /// Share of the weight of the rows that each rule holds for.
    pub(super) supports: Vec<f64>,
    /// Penalty factor of every column.
    pub(super) factors: Vec<f64>,
    /// Standard deviation of every feature that is a column.
    pub(super) deviations: Vec<f64>,
    /// Rules for which there was no room.
    pub(super) left_out: usize,
}

/// Which rows take part, by their weights.
struct Parts<'w> {
    weights: Option<&'w [f64]>,
    total: f64,
    /// Sum of the marks of all rows that take part.
    mark: u128,
}

impl Parts<'_> {
    fn weight(&self, row: u32) -> f64 {
        self.weights.map_or(1.0, |weights| weights[row as usize])
    }

    /// Adds weights and marks of rows.
    fn add(&self, sums: &mut (f64, u128), rows: impl Iterator<Item = u32>) {
        for row in rows {
            let weight = self.weight(row);
            if weight > 0.0 {
                *sums = (sums.0 + weight, sums.1.wrapping_add(mark(row)));
            }
        }
    }

    /// The sums of weights and of marks over rows.
    fn sums(&self, rows: &[u32], ask: Ask<'_>) -> Result<(f64, u128), Unfit> {
        let mut sums = (0.0, 0);
        for stretch in rows.chunks(STRETCH) {
            ask()?;
            self.add(&mut sums, stretch.iter().copied());
        }
        Ok(sums)
    }
}

/// Asks whether to go on.
type Ask<'a> = &'a dyn Fn() -> Result<(), Unfit>;

/// 128 bits that look drawn: equal sums of them are sums over equal sets, but for one chance in about 10³⁰.
fn mark(row: u32) -> u128 {
    let mix = |salt: u64| {
        let z = (u64::from(row) + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ salt;
        let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    };
    u128::from(mix(0)) << 64 | u128::from(mix(0xD1B5_4A32_D192_ED03))
}

impl Design {
    /// Columns for those of `rules` that tell rows apart, each once (of rules that hold for the same rows, or for all the others, the
    /// first), up to so many entries, and for the features where they are `linear` terms. Rows without weight do not count.
    pub(super) fn new(
        dataset: &Dataset,
        rules: Vec<Rule>,
        linear: bool,
        weights: Option<&[f64]>,
        entries_max: u64,
        observe: &tree::Observe<'_>,
    ) -> Result<Self, TrainError> {
        let x = dataset.x.view();
        let ask: Ask<'_> = &|| if observe(&tree::Progress::default()).is_break() { Err(Unfit::Stopped) } else { Ok(()) };
        let mut parts = Parts { weights, total: 0.0, mark: 0 };
        let mut sums = (0.0, 0);
        for start in (0..x.n_rows).step_by(STRETCH) {
            ask()?;
            parts.add(&mut sums, start as u32..(start + STRETCH).min(x.n_rows) as u32);
        }
        (parts.total, parts.mark) = sums;
        let n_rules = rules.len();
        let (mut kept, mut inverted, mut supports) = (Vec::new(), Vec::new(), Vec::new());
        let (mut offsets, mut rows) = (vec![0_u64], Vec::new());
        let mut seen = HashSet::new();
        let mut left_out = 0;
        for (at, rule) in rules.into_iter().enumerate() {
            let held = rule.rows(x, observe)?;
            let (weight, marks) = parts.sums(&held.rows, ask)?;
            let rest = parts.mark.wrapping_sub(marks);
            if marks == 0 || rest == 0 || !seen.insert(marks.min(rest)) {
                continue;
            }
            if (rows.len() + held.rows.len()) as u64 > entries_max {
                left_out = n_rules - at;
                break;
            }
            rows.extend_from_slice(&held.rows);
            offsets.push(rows.len() as u64);
            let share = (weight / parts.total).clamp(0.0, 1.0);
            supports.push(if held.inverted { 1.0 - share } else { share });
            inverted.push(held.inverted);
            kept.push(rule);
        }
        let mut factors = vec![1.0; kept.len()];
        let n_entries = rows.len();
        let mut deviations = Vec::new();
        if linear {
            for j in 0..x.len() {
                let deviation = deviation(x, j, &parts, ask)?;
                factors.push(if deviation > 0.0 { deviation / RULE_DEVIATION } else { 1.0 });
                deviations.push(deviation);
            }
            rows.reserve_exact(x.nnz());
            for stretch in x.rows[..x.nnz()].chunks(STRETCH) {
                ask()?;
                rows.extend_from_slice(stretch);
            }
            offsets.extend(x.offsets[1..].iter().map(|end| n_entries as u64 + end));
        }
        let values = match x.values {
            ValuesView::Double(own) if linear => Values::Double(joined(n_entries, &own[..x.nnz()], 1.0, ask)?.into()),
            ValuesView::Single(own) if linear => Values::Single(joined(n_entries, &own[..x.nnz()], 1.0, ask)?.into()),
            _ => Values::Single(vec![1.0_f32; n_entries].into()),
        };
        let features: Vec<u32> = (0..offsets.len() as u32 - 1).collect();
        let x = Columns::trusted(x.n_rows, features.into(), offsets.into(), rows.into(), values)
            .map_err(|what| crate::train::unfit("internal_error", format!("The matrix of rules is none: {what}.")))?;
        Ok(Self { x, rules: kept, inverted, supports, factors, deviations, left_out })
    }

    /// The feature's position among the stored columns of the data, where a column is no rule.
    pub(super) fn linear(&self, column: u32) -> Option<usize> {
        (column as usize).checked_sub(self.rules.len())
    }
}

/// Ones, then the values of the features.
fn joined<V: Number>(ones: usize, own: &[V], one: V, ask: Ask<'_>) -> Result<Vec<V>, Unfit> {
    let mut values = Vec::with_capacity(ones + own.len());
    values.resize(ones, one);
    for stretch in own.chunks(STRETCH) {
        ask()?;
        values.extend_from_slice(stretch);
    }
    Ok(values)
}

/// Weighted population standard deviation of a column, about its mean.
fn deviation(x: ColumnsView<'_>, j: usize, parts: &Parts<'_>, ask: Ask<'_>) -> Result<f64, Unfit> {
    match x.values {
        ValuesView::Single(values) => deviation_typed(x.column(j, values), parts, ask),
        ValuesView::Double(values) => deviation_typed(x.column(j, values), parts, ask),
    }
}

fn deviation_typed<V: Number>(column: Column<'_, V>, parts: &Parts<'_>, ask: Ask<'_>) -> Result<f64, Unfit> {
    let (mut mass, mut sum, mut square) = (0.0, 0.0, 0.0);
    let walk = |each: &mut dyn FnMut(f64, f64)| -> Result<(), Unfit> {
        for (rows, values) in column.rows.chunks(STRETCH).zip(column.values.chunks(STRETCH)) {
            ask()?;
            rows.iter().zip(values).for_each(|(row, value)| each(parts.weight(*row), (*value).into()));
        }
        Ok(())
    };
    walk(&mut |weight, value| {
        mass += weight;
        sum += weight * value;
    })?;
    let mean = sum / parts.total;
    walk(&mut |weight, value| square += weight * (value - mean) * (value - mean))?;
    Ok(((square + (parts.total - mass).max(0.0) * mean * mean) / parts.total).sqrt())
}
