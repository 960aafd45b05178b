//! What a network reads: sparse rows (CSR). The columns of a data set are turned once.

use super::Unfit;
use crate::matrix::{ColumnsView, Number, ValuesView};

/// Sparse rows over `n_inputs` inputs.
#[derive(Clone, Debug, PartialEq)]
pub struct Rows {
    n_inputs: usize,
    offsets: Vec<usize>,
    inputs: Vec<u32>,
    values: Vec<f64>,
}

impl Rows {
    /// Rows from their arrays: `offsets` says where each row begins in the two others, and where the last one ends; inputs rise
    /// within a row.
    ///
    /// # Errors
    /// [`Unfit::Shape`] where the arrays do not fit each other, [`Unfit::Range`] for a value that is not finite.
    pub fn new(n_inputs: usize, offsets: Vec<usize>, inputs: Vec<u32>, values: Vec<f64>) -> Result<Self, Unfit> {
        let rising = |row: &[u32]| row.windows(2).all(|pair| pair[0] < pair[1]) && row.last().is_none_or(|&i| (i as usize) < n_inputs);
        let fits = offsets.first() == Some(&0)
            && offsets.last() == Some(&inputs.len())
            && values.len() == inputs.len()
            && offsets.windows(2).all(|ends| ends[0] <= ends[1] && ends[1] <= inputs.len() && rising(&inputs[ends[0]..ends[1]]));
        if !fits || n_inputs > u32::MAX as usize || offsets.len() > u32::MAX as usize {
            return Err(Unfit::Shape);
        }
        if values.iter().any(|value| !value.is_finite()) {
            return Err(Unfit::Range);
        }
        Ok(Self { n_inputs, offsets, inputs, values })
    }

    /// The rows of a matrix, its stored columns as inputs, each value times the factor of its column. Costs one walk over the
    /// non-zeros.
    pub fn of(x: ColumnsView, scale: Option<&[f64]>) -> Self {
        match x.values {
            ValuesView::Single(values) => turned(x, values, scale),
            ValuesView::Double(values) => turned(x, values, scale),
        }
    }

    /// Number of inputs.
    pub fn n_inputs(&self) -> usize {
        self.n_inputs
    }

    /// Number of rows.
    pub fn n_rows(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Number of entries.
    pub fn nnz(&self) -> usize {
        self.inputs.len()
    }

    /// Inputs and values of a row.
    pub fn row(&self, row: u32) -> (&[u32], &[f64]) {
        let range = self.offsets[row as usize]..self.offsets[row as usize + 1];
        (&self.inputs[range.clone()], &self.values[range])
    }
}

fn turned<V: Number>(x: ColumnsView, values: &[V], scale: Option<&[f64]>) -> Rows {
    let mut offsets = vec![0; x.n_rows + 1];
    for &row in x.rows {
        offsets[row as usize + 1] += 1;
    }
    for row in 0..x.n_rows {
        offsets[row + 1] += offsets[row];
    }
    let mut next = offsets.clone();
    let mut rows = Rows { n_inputs: x.features.len(), offsets, inputs: vec![0; x.rows.len()], values: vec![0.0; x.rows.len()] };
    for j in 0..x.features.len() {
        let factor = scale.map_or(1.0, |scale| scale[j]);
        for (row, value) in x.column(j, values).iter() {
            let place = next[row];
            next[row] += 1;
            rows.inputs[place] = j as u32;
            rows.values[place] = value * factor;
        }
    }
    rows
}
