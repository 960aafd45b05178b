//! Losses of rows, and their slopes at the outputs.

use super::Target;
use super::train::Data;
use crate::numeric::{exp, ln, ln_1p};

impl Target<'_> {
    /// The loss of a row; `outputs` become its slopes there.
    pub(crate) fn descend(&self, row: usize, outputs: &mut [f64]) -> f64 {
        match *self {
            Self::Numbers(y) => {
                let off = outputs[0] - y[row];
                outputs[0] = off;
                0.5 * off * off
            }
            Self::Signs(y) => {
                let (share, f) = (0.5 * (1.0 + y[row]), outputs[0]);
                let small = exp(-f.abs());
                let p = if f >= 0.0 { 1.0 / (1.0 + small) } else { small / (1.0 + small) };
                outputs[0] = p - share;
                ln_1p(small) + f.max(0.0) - share * f
            }
            Self::Classes { of_row, .. } => {
                let class = of_row[row] as usize;
                let f = outputs[class];
                let loss = soften(outputs) - f;
                outputs[class] -= 1.0;
                loss
            }
            Self::Shares { of_row, n } => {
                let shares = &of_row[row * n..(row + 1) * n];
                let (mut told, mut all) = (0.0, 0.0);
                for (share, f) in shares.iter().zip(&*outputs) {
                    told += share * f;
                    all += share;
                }
                let loss = all * soften(outputs) - told;
                for (output, share) in outputs.iter_mut().zip(shares) {
                    *output = all * *output - share;
                }
                loss
            }
        }
    }
}

/// log Σ e^f; `outputs` become each e^f's share of the sum.
fn soften(outputs: &mut [f64]) -> f64 {
    let most = outputs.iter().fold(f64::NEG_INFINITY, |most, &f| most.max(f));
    let mut sum = 0.0;
    for output in &mut *outputs {
        *output = exp(*output - most);
        sum += *output;
    }
    for output in &mut *outputs {
        *output /= sum;
    }
    most + ln(sum)
}

/// The outputs that are best for all rows alike; shares of nothing count as one row in 10⁶.
pub(crate) fn base(data: &Data) -> Vec<f64> {
    let mut sums = vec![0.0; data.target.outputs()];
    let mut all = 0.0;
    for &row in data.rows {
        let (row, weight) = (row as usize, data.weights.map_or(1.0, |weights| weights[row as usize]));
        all += weight;
        match data.target {
            Target::Numbers(y) | Target::Signs(y) => sums[0] += weight * y[row],
            Target::Classes { of_row, .. } => sums[of_row[row] as usize] += weight,
            Target::Shares { of_row, n } => {
                sums.iter_mut().zip(&of_row[row * n..]).for_each(|(sum, share)| *sum += weight * share);
            }
        }
    }
    if all <= 0.0 {
        return vec![0.0; sums.len()];
    }
    let log = |share: f64| ln(share.max(1e-6));
    match data.target {
        Target::Numbers(_) => vec![sums[0] / all],
        Target::Signs(_) => vec![log(0.5 * (1.0 + sums[0] / all)) - log(0.5 * (1.0 - sums[0] / all))],
        Target::Classes { .. } | Target::Shares { .. } => sums.iter().map(|sum| log(sum / all)).collect(),
    }
}
