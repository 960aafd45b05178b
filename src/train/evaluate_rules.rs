//! How good rules are on a data set: which rows each holds for is found by columns, and what it adds is summed as predictions are.

use std::ops::ControlFlow;

use serde_json::Value;

use super::TrainError;
use super::evaluate::{Matched, Measured, Pace, STRETCH, target};
use super::evaluate_tree::renamed;
use crate::dataset::Dataset;
use crate::job::Progress;
use crate::matrix::{ColumnsView, Number, ValuesView};
use crate::model::RulesModel;
use crate::tree::{self, Interval, Rule};

/// Measures what rules say of every row.
pub(super) fn metrics(dataset: &Dataset, model: &RulesModel, eta: &[f64], pace: &Pace<'_>) -> Result<Value, TrainError> {
    let rows = Measured { y: &target(dataset, model.card.classes.as_deref())?, eta, dataset, pace };
    if model.card.classes.is_some() { rows.sides(true) } else { rows.numbers() }
}

/// η of each row: the intercept, the rules in the order of the model, the linear terms by rising feature; the offset last.
pub(super) fn scores(
    dataset: &Dataset,
    model: &RulesModel,
    used: &[u32],
    matched: &Matched,
    pace: &Pace<'_>,
) -> Result<Vec<f64>, TrainError> {
    let x = dataset.x.view();
    let feature = renamed(used, matched, dataset);
    let observe = |_: &tree::Progress| match (pace.observe)(&Progress::default()) {
        ControlFlow::Continue(()) => ControlFlow::Continue(()),
        ControlFlow::Break(_) => ControlFlow::Break(()),
    };
    let mut eta = vec![model.card.intercept; dataset.y.len()];
    let rules = &model.rules;
    for (rule, &coefficient) in rules.coefficients.iter().enumerate() {
        let interval = |at: usize| Interval { feature: feature(rules.features[at]), low: rules.lows[at], high: rules.highs[at] };
        let held = Rule { intervals: rules.range(rule).map(interval).collect() }.rows(x, &observe)?;
        pace.work(held.rows.len())?;
        if !held.inverted {
            held.rows.iter().for_each(|row| eta[*row as usize] += coefficient);
            continue;
        }
        let mut others = held.rows.iter().map(|row| *row as usize).peekable();
        for start in (0..eta.len()).step_by(STRETCH) {
            pace.work(STRETCH)?;
            for (row, eta) in eta.iter_mut().enumerate().skip(start).take(STRETCH) {
                if others.next_if_eq(&row).is_none() {
                    *eta += coefficient;
                }
            }
        }
    }
    let columns = model.indices.iter().map(|index| x.position(feature(*index)));
    for (column, &coefficient) in columns.zip(&model.values) {
        let Some(column) = column else { continue };
        match x.values {
            ValuesView::Single(values) => add(x, column, values, coefficient, &mut eta, pace)?,
            ValuesView::Double(values) => add(x, column, values, coefficient, &mut eta, pace)?,
        }
    }
    if let Some(offset) = dataset.offset.as_deref() {
        for (eta, offset) in eta.chunks_mut(STRETCH).zip(offset.chunks(STRETCH)) {
            pace.work(eta.len())?;
            eta.iter_mut().zip(offset).for_each(|(eta, offset)| *eta += offset);
        }
    }
    Ok(eta)
}

fn add<V: Number>(
    x: ColumnsView<'_>,
    column: usize,
    values: &[V],
    coefficient: f64,
    eta: &mut [f64],
    pace: &Pace<'_>,
) -> Result<(), TrainError> {
    let column = x.column(column, values);
    for (rows, values) in column.rows.chunks(STRETCH).zip(column.values.chunks(STRETCH)) {
        pace.work(2 * rows.len())?;
        rows.iter().zip(values).for_each(|(&row, &value)| eta[row as usize] += coefficient * value.into());
    }
    Ok(())
}
