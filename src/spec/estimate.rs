//! What a fit will cost, from counts alone: ranges, wide enough to be honest.
//!
//! Memory: the matrix is mapped, so its bytes count only at the high end, where all of it stays resident. A solve owns
//! about 10 vectors over rows and 12 over stored columns. Cross-validation solves up to one fold a core beside the
//! whole, which the low end takes as 1 solve and the high end as folds + 1.
//!
//! Time: a solve of one λ along a path costs 1 to 20 passes over the non-zeros, a cold one 10 to 300; a pass takes
//! 1 to 5 ns a non-zero (twice that for logistic loss) and 2 to 10 ns a row, once for each solve of each fold.

use super::{Estimate, Lambda, Loss, ResolvedFit, Selection};
use crate::dataset::Meta;

const MIB: f64 = 1_048_576.0;
const BASE_MIB: f64 = 4.0;
const ROW_VECTORS: f64 = 10.0;
const COLUMN_VECTORS: f64 = 12.0;

/// Estimates a fit from counts alone.
pub fn estimate(meta: &Meta, fit: &ResolvedFit) -> Estimate {
    let (rows, columns, nonzeros) = (meta.shape[0] as f64, meta.stored_columns as f64, meta.nnz as f64);
    let solves = match fit.selection {
        Selection::None => 1.0,
        Selection::Cv { folds, .. } => folds as f64 + 1.0,
    };
    let solve_mib = 8.0 * (ROW_VECTORS * rows + COLUMN_VECTORS * columns) / MIB;
    let memory_mb = [BASE_MIB + solve_mib, 4.0 * BASE_MIB + solves * solve_mib + meta.stored_bytes as f64 / MIB];

    let passes = match &fit.lambda {
        Lambda::Value { .. } => [10.0, 300.0],
        Lambda::Path { n, .. } => along_path(*n as f64),
        Lambda::Values { values } => along_path(values.len() as f64),
        Lambda::TargetNonzeros { .. } => [20.0, 2000.0],
    };
    let slower = if matches!(fit.loss, Loss::Squared) { 1.0 } else { 2.0 };
    let pass = [1e-9 * slower * nonzeros + 2e-9 * rows, 5e-9 * slower * nonzeros + 10e-9 * rows];
    let load = [meta.stored_bytes as f64 / 4e9, meta.stored_bytes as f64 / 2e8];
    let runtime_s = [0, 1].map(|end| 0.001 + load[end] + solves * passes[end] * pass[end]);
    Estimate { memory_mb: memory_mb.map(short), runtime_s: runtime_s.map(short) }
}

fn along_path(values: f64) -> [f64; 2] {
    [values, 20.0 * values]
}

/// Three significant digits.
fn short(value: f64) -> f64 {
    format!("{value:.2e}").parse().unwrap_or(value)
}
