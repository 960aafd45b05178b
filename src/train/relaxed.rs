//! The relaxed lasso: the penalised fit mixed with a refit of its support without penalty.

use super::measure::linear_predictor;
use super::{Inputs, TrainError, unfit};
use crate::solver::{self, Data, Point, Refit};

/// Mean deviance of the rows of a fold for each share of the penalised coefficients; `None` when `observe` said stop.
pub(super) fn held_out_deviances(
    inputs: &Inputs<'_>,
    of_row: &[u32],
    fold: usize,
    point: &Point,
    gammas: &[f64],
    observe: &solver::Observe<'_>,
) -> Option<Vec<f64>> {
    let data = &inputs.data;
    let weight = |i: usize| data.weights.map_or(1.0, |weights| weights[i]);
    let here = |i: usize| of_row[i] as usize == fold;
    let train: Vec<f64> = (0..of_row.len()).map(|i| if here(i) { 0.0 } else { weight(i) }).collect();
    // of many classes nothing is refitted: their specification is refused
    let loss = inputs.loss.one()?;
    let refit = solver::refit(Data { weights: Some(&train), ..*data }, loss, inputs.options.intercept, point, observe)?;
    let penalised = linear_predictor(data, point);
    let free = linear_predictor(data, &Point { values: refit.values, intercept: refit.intercept, ..point.clone() });
    let test = || (0..of_row.len()).filter(|&i| here(i) && weight(i) > 0.0);
    let total: f64 = test().map(weight).sum();
    let deviance = |gamma: &f64| {
        let eta = |i: usize| gamma * penalised[i] + (1.0 - gamma) * free[i];
        test().map(|i| weight(i) * loss.deviance(data.y[i], eta(i))).sum::<f64>() / total
    };
    Some(gammas.iter().map(deviance).collect())
}

/// The model of one share on all rows, with its deviance; and the refit it is mixed of.
pub(super) fn mix(inputs: &Inputs<'_>, point: &Point, gamma: f64, observe: &solver::Observe<'_>) -> Result<(Point, Refit), TrainError> {
    let data = &inputs.data;
    let loss = inputs.loss.one().ok_or_else(|| unfit("invalid_parameter", "A multinomial fit is not refitted."))?;
    let refit = solver::refit(*data, loss, inputs.options.intercept, point, observe).ok_or(TrainError::Cancelled)?;
    let blend = |penalised: f64, free: f64| gamma * penalised + (1.0 - gamma) * free;
    let mut mixed = Point { intercept: blend(point.intercept, refit.intercept), ..point.clone() };
    mixed.values.iter_mut().zip(&refit.values).for_each(|(value, free)| *value = blend(*value, *free));
    // a coefficient of a model is not 0
    let kept = |(column, value): (&u32, &f64)| (*value != 0.0).then_some((*column, *value));
    (mixed.columns, mixed.values) = mixed.columns.iter().zip(&mixed.values).filter_map(kept).unzip();
    let eta = linear_predictor(data, &mixed);
    let weight = |i: usize| data.weights.map_or(1.0, |weights| weights[i]);
    let used = || (0..eta.len()).filter(|&i| weight(i) > 0.0);
    let total: f64 = used().map(weight).sum();
    mixed.deviance = used().map(|i| weight(i) * loss.deviance(data.y[i], eta[i])).sum::<f64>() / total;
    Ok((mixed, refit))
}
