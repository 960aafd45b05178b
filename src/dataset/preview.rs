//! Rows of a stored data set, for people to look at.

use serde::Serialize;

use super::{Class, Dataset};
use crate::matrix::{ColumnsView, Number, ValuesView};

/// One row as a client sees it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// 0-based position.
    pub row: u64,
    /// Label as it was uploaded: a class or a number.
    pub y: Class,
    /// Sample weight.
    pub weight: f64,
    /// Offset, where the data set has offsets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<f64>,
    /// Features, rising.
    pub indices: Vec<u32>,
    /// Values of `indices`.
    pub values: Vec<f64>,
}

/// Rows `offset .. offset + limit`, by one binary search in each column.
pub fn rows(dataset: &Dataset, offset: u64, limit: u64) -> Vec<Row> {
    let n_rows = dataset.y.len();
    let start = usize::try_from(offset).unwrap_or(usize::MAX).min(n_rows);
    let end = start.saturating_add(usize::try_from(limit).unwrap_or(usize::MAX)).min(n_rows);
    let mut rows: Vec<Row> = (start..end)
        .map(|row| Row {
            row: row as u64,
            y: label(dataset, dataset.y[row]),
            weight: dataset.weights.as_ref().map_or(1.0, |weights| weights[row]),
            offset: dataset.offset.as_ref().map(|offset| offset[row]),
            indices: Vec::new(),
            values: Vec::new(),
        })
        .collect();
    let view = dataset.x.view();
    match view.values {
        ValuesView::Single(values) => fill(&view, values, start, &mut rows),
        ValuesView::Double(values) => fill(&view, values, start, &mut rows),
    }
    rows
}

fn label(dataset: &Dataset, y: f64) -> Class {
    let classes = dataset.meta.target.classes.as_ref();
    classes.and_then(|classes| classes.get(y as usize)).cloned().unwrap_or(Class::Number(y))
}

fn fill<V: Number>(view: &ColumnsView<'_>, values: &[V], start: usize, rows: &mut [Row]) {
    for j in 0..view.len() {
        let column = view.column(j, values);
        let first = column.rows.partition_point(|&row| (row as usize) < start);
        for (row, value) in column.rows[first..].iter().zip(&column.values[first..]) {
            let Some(row) = (*row as usize).checked_sub(start).and_then(|row| rows.get_mut(row)) else { break };
            row.indices.push(view.features[j]);
            row.values.push((*value).into());
        }
    }
}
