//! The matrix of a fit: compressed sparse columns (CSC), values in single or double precision.

use super::Buffer;

/// A stored value: `f32` or `f64`, always computed with as `f64`.
pub trait Number: bytemuck::Pod + Send + Sync + Into<f64> {}
impl Number for f32 {}
impl Number for f64 {}

/// Values of a matrix, in the precision they are stored in.
#[derive(Clone, Debug)]
pub enum Values {
    /// Every value survives the round trip through `f32`.
    Single(Buffer<f32>),
    /// At least one value needs all of its `f64`.
    Double(Buffer<f64>),
}

/// Borrowed [`Values`].
#[derive(Clone, Copy, Debug)]
pub enum ValuesView<'a> {
    /// See [`Values::Single`].
    Single(&'a [f32]),
    /// See [`Values::Double`].
    Double(&'a [f64]),
}

/// A sparse matrix by columns.
///
/// Invariants, checked once by [`Columns::new`]: `offsets` has one more entry than `features`, starts at 0, never
/// falls and ends at the number of non-zeros; `features` rises strictly; within a column the rows rise strictly and
/// lie below `n_rows`; every value is finite and none is 0.
#[derive(Clone, Debug)]
pub struct Columns {
    n_rows: usize,
    features: Buffer<u32>,
    offsets: Buffer<u64>,
    rows: Buffer<u32>,
    values: Values,
}

/// Borrowed [`Columns`].
#[derive(Clone, Copy, Debug)]
pub struct ColumnsView<'a> {
    /// Rows of the matrix.
    pub n_rows: usize,
    /// Which feature each stored column is; rises strictly.
    pub features: &'a [u32],
    /// Where each stored column begins in `rows` and `values`, and at the end the number of non-zeros.
    pub offsets: &'a [u64],
    /// Row of each non-zero, rising within a column.
    pub rows: &'a [u32],
    /// Value of each non-zero.
    pub values: ValuesView<'a>,
}

/// One stored column.
#[derive(Clone, Copy, Debug)]
pub struct Column<'a, V> {
    /// Rows of the non-zeros, rising; when there are as many as the matrix has rows, the column is dense.
    pub rows: &'a [u32],
    /// Values of the non-zeros.
    pub values: &'a [V],
}

impl Columns {
    /// A matrix from its arrays, or what is wrong with them. Costs one pass over all arrays.
    pub fn new(
        n_rows: usize,
        features: Buffer<u32>,
        offsets: Buffer<u64>,
        rows: Buffer<u32>,
        values: Values,
    ) -> Result<Self, &'static str> {
        let columns = Self { n_rows, features, offsets, rows, values };
        columns.check()?;
        Ok(columns)
    }

    /// As [`Columns::new`] without looking at the non-zeros: for a file whose checksum says that it was checked when
    /// it was written. The lengths of the arrays are still compared.
    pub fn trusted(
        n_rows: usize,
        features: Buffer<u32>,
        offsets: Buffer<u64>,
        rows: Buffer<u32>,
        values: Values,
    ) -> Result<Self, &'static str> {
        let columns = Self { n_rows, features, offsets, rows, values };
        columns.check_lengths()?;
        Ok(columns)
    }

    /// The arrays, borrowed.
    pub fn view(&self) -> ColumnsView<'_> {
        ColumnsView {
            n_rows: self.n_rows,
            features: &self.features,
            offsets: &self.offsets,
            rows: &self.rows,
            values: match &self.values {
                Values::Single(values) => ValuesView::Single(values),
                Values::Double(values) => ValuesView::Double(values),
            },
        }
    }

    fn check_lengths(&self) -> Result<(), &'static str> {
        let view = self.view();
        let nnz = view.nnz();
        let n_values = match view.values {
            ValuesView::Single(values) => values.len(),
            ValuesView::Double(values) => values.len(),
        };
        if view.offsets.len() != view.features.len() + 1 || view.offsets[0] != 0 {
            return Err("the offsets do not fit the columns");
        }
        if view.rows.len() != nnz || n_values != nnz {
            return Err("the non-zeros do not fit the offsets");
        }
        Ok(())
    }

    fn check(&self) -> Result<(), &'static str> {
        self.check_lengths()?;
        let view = self.view();
        if view.offsets.windows(2).any(|pair| pair[0] >= pair[1]) {
            return Err("a stored column is empty or the offsets fall");
        }
        if view.features.windows(2).any(|pair| pair[0] >= pair[1]) {
            return Err("the features do not rise");
        }
        for j in 0..view.len() {
            let rows = &view.rows[view.range(j)];
            if rows.windows(2).any(|pair| pair[0] >= pair[1]) || rows.last().is_some_and(|&row| row as usize >= self.n_rows) {
                return Err("the rows of a column do not rise or leave the matrix");
            }
        }
        let legal = match view.values {
            ValuesView::Single(values) => values.iter().all(|v| v.is_finite() && *v != 0.0),
            ValuesView::Double(values) => values.iter().all(|v| v.is_finite() && *v != 0.0),
        };
        if legal { Ok(()) } else { Err("a value is zero or not finite") }
    }
}

impl<'a> ColumnsView<'a> {
    /// Number of stored (non-empty) columns.
    pub fn len(&self) -> usize {
        self.features.len()
    }

    /// Whether every column is empty.
    pub fn is_empty(&self) -> bool {
        self.features.is_empty()
    }

    /// Number of non-zeros.
    pub fn nnz(&self) -> usize {
        self.offsets.last().map_or(0, |&end| end as usize)
    }

    /// Where column `j` lies in `rows` and `values`.
    pub fn range(&self, j: usize) -> std::ops::Range<usize> {
        self.offsets[j] as usize..self.offsets[j + 1] as usize
    }

    /// Position of `feature` among the stored columns.
    pub fn position(&self, feature: u32) -> Option<usize> {
        self.features.binary_search(&feature).ok()
    }

    /// Column `j`, given the values in their precision.
    pub fn column<V: Number>(&self, j: usize, values: &'a [V]) -> Column<'a, V> {
        let range = self.range(j);
        Column { rows: &self.rows[range.clone()], values: &values[range] }
    }
}
