//! One layer: its weights, dense or sparse, whichever is the quicker.

use crate::numeric::widest;

/// Share of weights that are not 0 from which on a layer is kept dense: wide registers add four or eight of a dense row at a time, and
/// those of a sparse one go one by one (`examples/layers.rs` measures it).
pub const DENSE_FROM: f64 = 0.25;

/// Weights and biases from all units of one layer to the next.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// Units that it reads.
    pub inputs: usize,
    /// A row of weights for each input.
    pub weights: Weights,
    /// One for each output.
    pub biases: Vec<f64>,
}

/// A matrix of inputs × outputs, by rows.
#[derive(Clone, Debug, PartialEq)]
pub enum Weights {
    /// All of them; the row of input i begins at i · outputs.
    Dense(Vec<f64>),
    /// Those that are not 0.
    Csr {
        /// Where each row begins, and at the end the number of weights.
        starts: Vec<u32>,
        /// Outputs, rising within a row.
        outputs: Vec<u32>,
        /// Not 0.
        values: Vec<f64>,
    },
}

impl Layer {
    /// In the form that serves it best; `dense` has all weights, by rows of inputs.
    pub fn of(inputs: usize, biases: Vec<f64>, dense: Vec<f64>) -> Self {
        let nonzeros = dense.iter().filter(|weight| **weight != 0.0).count();
        if nonzeros as f64 >= DENSE_FROM * dense.len() as f64 {
            return Self { inputs, weights: Weights::Dense(dense), biases };
        }
        let (mut starts, mut outputs, mut values) = (vec![0], Vec::with_capacity(nonzeros), Vec::with_capacity(nonzeros));
        for row in dense.chunks(biases.len().max(1)) {
            for (output, weight) in (0u32..).zip(row).filter(|(_, weight)| **weight != 0.0) {
                outputs.push(output);
                values.push(*weight);
            }
            starts.push(values.len() as u32);
        }
        Self { inputs, weights: Weights::Csr { starts, outputs, values }, biases }
    }

    /// Units that it computes.
    pub fn outputs(&self) -> usize {
        self.biases.len()
    }

    /// All weights, by rows of inputs.
    pub fn dense(&self) -> Vec<f64> {
        match &self.weights {
            Weights::Dense(weights) => weights.clone(),
            Weights::Csr { .. } => {
                let mut dense = vec![0.0; self.inputs * self.outputs()];
                for (input, row) in dense.chunks_mut(self.outputs().max(1)).enumerate() {
                    self.weights.add(input, 1.0, row);
                }
                dense
            }
        }
    }

    /// Weights that are not 0.
    pub fn nonzeros(&self) -> u64 {
        match &self.weights {
            Weights::Dense(weights) => weights.iter().filter(|weight| **weight != 0.0).count() as u64,
            Weights::Csr { values, .. } => values.len() as u64,
        }
    }

    /// `dense` or `csr`.
    pub fn format(&self) -> &'static str {
        if matches!(self.weights, Weights::Dense(_)) { "dense" } else { "csr" }
    }

    /// Bytes of its weights and biases, in memory as in its file.
    pub fn bytes(&self) -> u64 {
        let weights = match &self.weights {
            Weights::Dense(weights) => 8 * weights.len(),
            Weights::Csr { starts, outputs, values } => 4 * (starts.len() + outputs.len()) + 8 * values.len(),
        };
        (weights + 8 * self.biases.len()) as u64
    }
}

impl Weights {
    /// Adds `value` times the row of an input.
    pub fn add(&self, input: usize, value: f64, sums: &mut [f64]) {
        match self {
            Self::Dense(weights) => {
                let n = sums.len();
                add_dense(&weights[input * n..][..n], value, sums);
            }
            Self::Csr { starts, outputs, values } => {
                let row = starts[input] as usize..starts[input + 1] as usize;
                for (output, weight) in outputs[row.clone()].iter().zip(&values[row]) {
                    sums[*output as usize] += value * weight;
                }
            }
        }
    }
}

widest! {
    fn add_dense(row: &[f64], value: f64, sums: &mut [f64]) = add_in_lanes
}

#[inline(always)]
fn add_in_lanes(row: &[f64], value: f64, sums: &mut [f64]) {
    for (sum, weight) in sums.iter_mut().zip(row) {
        *sum += value * weight;
    }
}
