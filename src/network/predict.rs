//! What a network that was cut says of rows.

use super::{Compact, Rows, Weights};
use crate::numeric::widest;

/// Share of weights other than 0 below which only those are kept: from there on they are also the quicker ones (`examples/network.rs
/// kernels` measures it).
pub const SPARSE_BELOW: f64 = 0.25;

impl Compact {
    /// The outputs for rows of the whole network's inputs, row after row: numbers, log-odds, or one log-share a class less a
    /// constant.
    pub fn outputs(&self, x: &Rows, rows: &[u32]) -> Vec<f64> {
        let mut places = vec![None; x.n_inputs()];
        for (place, &input) in self.inputs.iter().enumerate() {
            if let Some(known) = places.get_mut(input as usize) {
                *known = Some(place as u32);
            }
        }
        let mut outputs = Vec::new();
        let (mut entries, mut sums) = (Vec::new(), Vec::new());
        for &row in rows {
            let (inputs, values) = x.row(row);
            entries.clear();
            entries.extend(inputs.iter().zip(values).filter_map(|(&input, &value)| places[input as usize].map(|place| (place, value))));
            self.say(&mut entries, &mut sums);
            outputs.extend_from_slice(&sums);
        }
        outputs
    }

    /// The outputs for one row, into `sums`: `entries` are places among [`Compact::inputs`] and values. They are written over.
    pub fn say(&self, entries: &mut Vec<(u32, f64)>, sums: &mut Vec<f64>) {
        for (l, layer) in self.layers.iter().enumerate() {
            if l > 0 {
                self.activation.apply(sums);
                entries.clear();
                entries.extend(sums.iter().enumerate().filter(|(_, unit)| **unit != 0.0).map(|(at, unit)| (at as u32, *unit)));
            }
            sums.clear();
            sums.extend_from_slice(&layer.biases);
            match &layer.weights {
                Weights::Dense(weights) => dense(weights, entries, sums),
                Weights::Sparse { offsets, outputs, values } => sparse(offsets, outputs, values, entries, sums),
            }
        }
    }
}

widest! {
    fn dense(weights: &[f64], entries: &[(u32, f64)], sums: &mut [f64]) = dense_in_lanes
}

#[inline(always)]
fn dense_in_lanes(weights: &[f64], entries: &[(u32, f64)], sums: &mut [f64]) {
    let k = sums.len();
    for &(input, x) in entries {
        for (sum, w) in sums.iter_mut().zip(&weights[input as usize * k..(input as usize + 1) * k]) {
            *sum += x * w;
        }
    }
}

fn sparse(offsets: &[usize], outputs: &[u32], values: &[f64], entries: &[(u32, f64)], sums: &mut [f64]) {
    for &(input, x) in entries {
        let range = offsets[input as usize]..offsets[input as usize + 1];
        for (&k, w) in outputs[range.clone()].iter().zip(&values[range]) {
            sums[k as usize] += x * w;
        }
    }
}
