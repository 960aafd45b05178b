//! What the arrays of `csr`, `coo` and `dense` mean together.

use super::{Document, missing};
use crate::dataset::IngestError;
use crate::dataset::gather::{Gather, Refused};
use crate::dataset::ingest::Parsed;
use crate::fault::{Code, Fault};

/// Compressed sparse rows; columns may come unsorted within a row, but none twice.
pub(super) fn csr(document: Document, gather: &mut Gather<'_>) -> Result<Parsed, IngestError> {
    let [n_rows, n_columns] = document.shape.ok_or_else(|| missing("shape"))?;
    let indptr = document.indptr.as_ref().ok_or_else(|| missing("indptr"))?;
    let indices = document.indices.as_ref().ok_or_else(|| missing("indices"))?;
    let values = flat_values(&document)?;
    let nnz = values.len() as u64;
    if indices.len() as u64 != nnz {
        return Err(mismatch("#/indices", format!("there are {} indices and {nnz} values", indices.len())));
    }
    if indptr.len() as u64 != n_rows + 1 {
        return Err(mismatch("#/indptr", format!("{n_rows} rows need {} entries; there are {}", n_rows + 1, indptr.len())));
    }
    if indptr[0] != 0 {
        return Err(mismatch("#/indptr/0", "the first entry is 0"));
    }
    if let Some(at) = indptr.windows(2).position(|pair| pair[0] > pair[1]) {
        return Err(mismatch(format!("#/indptr/{}", at + 1), "the entries never fall"));
    }
    if indptr[indptr.len() - 1] != nnz {
        return Err(mismatch(format!("#/indptr/{}", indptr.len() - 1), format!("the last entry is the number of values, {nnz}")));
    }
    let base = document.index_base.unwrap_or(0);
    for pair in indptr.windows(2) {
        let (start, end) = (pair[0] as usize, pair[1] as usize);
        let mut previous = None;
        let mut rising = true;
        for at in start..end {
            let feature =
                feature(indices[at], base, n_columns).map_err(|(code, why)| Fault::at_pointer(code, format!("#/indices/{at}"), why))?;
            rising &= previous < Some(feature);
            previous = Some(feature);
            gather.push(feature, values[at])?;
        }
        if !rising {
            let mut order: Vec<(u32, usize)> = (start..end).map(|at| (indices[at], at)).collect();
            order.sort_unstable();
            if let Some(at) = order.windows(2).filter(|pair| pair[0].0 == pair[1].0).map(|pair| pair[1].1).min() {
                return Err(duplicate(format!("#/indices/{at}")));
            }
        }
        end_row(gather)?;
    }
    rest(document, n_rows, n_columns)
}

/// Coordinates in any order; `duplicates` says what the same place twice means.
pub(super) fn coo(document: Document, gather: &mut Gather<'_>) -> Result<Parsed, IngestError> {
    let [n_rows, n_columns] = document.shape.ok_or_else(|| missing("shape"))?;
    let rows = document.rows.as_ref().ok_or_else(|| missing("rows"))?;
    let cols = document.cols.as_ref().ok_or_else(|| missing("cols"))?;
    let values = flat_values(&document)?;
    for (name, length) in [("rows", rows.len()), ("cols", cols.len())] {
        if length != values.len() {
            return Err(mismatch(format!("#/{name}"), format!("there are {length} {name} and {} values", values.len())));
        }
    }
    let policy = document.duplicates.as_deref().unwrap_or("error");
    if !["error", "sum", "last"].contains(&policy) {
        return Err(Fault::at_pointer(Code::InvalidField, "#/duplicates", "it is error, sum or last").into());
    }
    let base = document.index_base.unwrap_or(0);
    let mut order: Vec<(u32, u32, usize)> = Vec::with_capacity(values.len());
    for at in 0..values.len() {
        let row = feature(rows[at], base, n_rows).map_err(|(code, why)| Fault::at_pointer(code, format!("#/rows/{at}"), why))?;
        let column = feature(cols[at], base, n_columns).map_err(|(code, why)| Fault::at_pointer(code, format!("#/cols/{at}"), why))?;
        order.push((row, column, at));
    }
    order.sort_unstable();
    if policy == "error"
        && let Some(at) = order.windows(2).filter(|pair| (pair[0].0, pair[0].1) == (pair[1].0, pair[1].1)).map(|pair| pair[1].2).min()
    {
        return Err(duplicate(format!("#/cols/{at}")));
    }
    let mut places = order.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)).peekable();
    for row in 0..n_rows {
        while let Some(place) = places.next_if(|place| u64::from(place[0].0) == row) {
            let last = place[place.len() - 1].2;
            let value = if policy == "sum" { place.iter().map(|&(_, _, at)| values[at]).sum() } else { values[last] };
            if !value.is_finite() {
                return Err(Fault::at_pointer(Code::NonFiniteValue, format!("#/values/{last}"), "the sum is too large for a double").into());
            }
            gather.push(place[0].1, value)?;
        }
        end_row(gather)?;
    }
    rest(document, n_rows, n_columns)
}

/// Rows of equal length, already gathered.
pub(super) fn dense(document: Document, gather: &mut Gather<'_>) -> Result<Parsed, IngestError> {
    let values = document.values.as_ref().ok_or_else(|| missing("values"))?;
    if !values.is_empty() {
        return Err(Fault::at_pointer(Code::InvalidField, "#/values/0", "a row of a dense matrix is an array").into());
    }
    let n_rows = gather.rows();
    let n_columns = document.dense_width.unwrap_or(0);
    if let Some(shape) = document.shape
        && shape != [n_rows, n_columns]
    {
        return Err(mismatch("#/shape", format!("the values have {n_rows} rows and {n_columns} columns")));
    }
    rest(document, n_rows, n_columns)
}

fn flat_values(document: &Document) -> Result<&[f64], IngestError> {
    if document.dense_width.is_some() {
        return Err(Fault::at_pointer(Code::InvalidField, "#/values/0", "it must be a number").into());
    }
    Ok(document.values.as_ref().ok_or_else(|| missing("values"))?)
}

fn feature(index: u32, base: u32, end: u64) -> Result<u32, (Code, &'static str)> {
    let index = index.checked_sub(base).ok_or((Code::IndexBase, "index 0 where indices count from 1"))?;
    if u64::from(index) < end { Ok(index) } else { Err((Code::IndexOutOfRange, "the index lies outside the matrix")) }
}

/// Labels, names, weights and offsets, compared with the shape.
fn rest(document: Document, n_rows: u64, n_columns: u64) -> Result<Parsed, IngestError> {
    if document.weights_key.is_some() {
        return Err(Fault::at_pointer(Code::InvalidField, "#/weights", "it must be an array of numbers").into());
    }
    let labels = document.y.ok_or_else(|| missing("y"))?;
    let row_arrays = [
        ("y", Some(labels.len())),
        ("weights", document.weights.as_ref().map(Vec::len)),
        ("offset", document.offset.as_ref().map(Vec::len)),
    ];
    for (name, length) in row_arrays {
        if let Some(length) = length
            && length as u64 != n_rows
        {
            return Err(mismatch(format!("#/{name}"), format!("there are {n_rows} rows and {length} entries")));
        }
    }
    if let Some(names) = &document.feature_names
        && names.len() as u64 != n_columns
    {
        return Err(mismatch("#/feature_names", format!("there are {n_columns} columns and {} names", names.len())));
    }
    check_weights(document.weights.as_deref())?;
    Ok(Parsed {
        labels,
        target_name: "y".to_owned(),
        features: n_columns,
        names: document.feature_names,
        weights: document.weights,
        offset: document.offset,
    })
}

/// Weights sum to a positive, finite number.
pub(super) fn check_weights(weights: Option<&[f64]>) -> Result<(), Fault> {
    let Some(weights) = weights else { return Ok(()) };
    let sum: f64 = weights.iter().sum();
    if sum == 0.0 && !weights.is_empty() {
        return Err(Fault::at_pointer(Code::InvalidWeight, "#/weights", "all weights are 0"));
    }
    if sum.is_finite() { Ok(()) } else { Err(Fault::at_pointer(Code::InvalidWeight, "#/weights", "the weights sum to infinity")) }
}

fn end_row(gather: &mut Gather<'_>) -> Result<(), IngestError> {
    gather.end_row().map_err(|refused| match refused {
        Refused::Limit(code, detail) => Fault::at_pointer(code, "#/values", detail).into(),
        Refused::Io(error) => IngestError::Io(error),
    })
}

fn mismatch(pointer: impl Into<String>, detail: impl Into<String>) -> IngestError {
    Fault::at_pointer(Code::ShapeMismatch, pointer, detail).into()
}

fn duplicate(pointer: String) -> IngestError {
    Fault::at_pointer(Code::DuplicateIndex, pointer, "the place comes twice").into()
}
