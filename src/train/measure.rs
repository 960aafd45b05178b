//! How well a point predicts the rows it was fitted on.

use std::convert::Infallible;

use serde_json::{Value, json};

use super::classes;
use super::ranking::auc;
use super::target::{Compared, Rows};
use crate::matrix::{ColumnsView, Number, ValuesView};
use crate::solver::{Data, Loss, Point};

/// Metrics on the training rows: `deviance`, and by loss `mse r2` (of the mean where the loss is Poisson; Huber also `mae`) or
/// `log_loss accuracy auc`, without the log-loss where there are no probabilities.
pub(super) fn train_metrics(rows: &Rows<'_>, data: &Data<'_>, point: &Point, null_deviance: f64) -> Value {
    let loss = match rows.loss {
        Compared::One(loss) => loss,
        Compared::Classes(n_classes) => return classes::train_metrics(rows, data, point, n_classes, null_deviance),
    };
    let eta = linear_predictor(data, point);
    let weight = |i: usize| data.weights.map_or(1.0, |weights| weights[i]);
    let ratio = if null_deviance > 0.0 { 1.0 - point.deviance / null_deviance } else { 0.0 };
    match loss {
        Loss::Squared => {
            json!({ "deviance": point.deviance, "deviance_ratio": ratio, "mse": point.deviance, "r2": r2(&rows.y, &eta, weight) })
        }
        Loss::Poisson => {
            let mean: Vec<f64> = eta.iter().map(|eta| eta.exp()).collect();
            json!({ "deviance": point.deviance, "deviance_ratio": ratio, "mse": mse(&rows.y, &mean, weight), "r2": r2(&rows.y, &mean, weight) })
        }
        // its deviance, twice the mean loss, is no mean square
        Loss::Huber { .. } => json!({
            "deviance": point.deviance,
            "deviance_ratio": ratio,
            "mse": mse(&rows.y, &eta, weight),
            "mae": mae(&rows.y, &eta, weight),
            "r2": r2(&rows.y, &eta, weight),
        }),
        Loss::SquaredHinge => json!({
            "deviance": point.deviance,
            "deviance_ratio": ratio,
            "accuracy": accuracy(&rows.y, &eta, weight),
            "auc": auc(&rows.y, &eta, weight, |_| Ok::<_, Infallible>(())).unwrap_or_default(),
        }),
        Loss::Logistic => json!({
            "deviance": point.deviance,
            "deviance_ratio": ratio,
            "log_loss": point.deviance / 2.0,
            "accuracy": accuracy(&rows.y, &eta, weight),
            "auc": auc(&rows.y, &eta, weight, |_| Ok::<_, Infallible>(())).unwrap_or_default(),
        }),
    }
}

/// η = Xw + b + o.
pub(super) fn linear_predictor(data: &Data<'_>, point: &Point) -> Vec<f64> {
    let mut eta = data.offset.map_or_else(|| vec![0.0; data.y.len()], <[f64]>::to_vec);
    eta.iter_mut().for_each(|eta| *eta += point.intercept);
    match data.x.values {
        ValuesView::Single(values) => add_columns(&data.x, values, point, &mut eta),
        ValuesView::Double(values) => add_columns(&data.x, values, point, &mut eta),
    }
    eta
}

fn add_columns<V: Number>(x: &ColumnsView<'_>, values: &[V], point: &Point, eta: &mut [f64]) {
    for (&j, &coefficient) in point.columns.iter().zip(&point.values) {
        let column = x.range(j as usize);
        for (&row, &value) in x.rows[column.clone()].iter().zip(&values[column]) {
            eta[row as usize] += coefficient * value.into();
        }
    }
}

fn mse(y: &[f64], eta: &[f64], weight: impl Fn(usize) -> f64) -> f64 {
    let total: f64 = (0..y.len()).map(&weight).sum();
    (0..y.len()).map(|i| weight(i) * (y[i] - eta[i]).powi(2)).sum::<f64>() / total
}

fn mae(y: &[f64], eta: &[f64], weight: impl Fn(usize) -> f64) -> f64 {
    let total: f64 = (0..y.len()).map(&weight).sum();
    (0..y.len()).map(|i| weight(i) * (y[i] - eta[i]).abs()).sum::<f64>() / total
}

fn r2(y: &[f64], eta: &[f64], weight: impl Fn(usize) -> f64) -> Option<f64> {
    let total: f64 = (0..y.len()).map(&weight).sum();
    let mean = (0..y.len()).map(|i| weight(i) * y[i]).sum::<f64>() / total;
    let spread: f64 = (0..y.len()).map(|i| weight(i) * (y[i] - mean).powi(2)).sum();
    let missed: f64 = (0..y.len()).map(|i| weight(i) * (y[i] - eta[i]).powi(2)).sum();
    (spread > 0.0).then(|| 1.0 - missed / spread)
}

/// Share of weight on the right side of η = 0.
fn accuracy(y: &[f64], eta: &[f64], weight: impl Fn(usize) -> f64) -> f64 {
    let total: f64 = (0..y.len()).map(&weight).sum();
    (0..y.len()).filter(|&i| (eta[i] >= 0.0) == (y[i] > 0.0)).map(&weight).sum::<f64>() / total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r2_is_one_for_the_truth_and_absent_for_a_constant_target() {
        assert_eq!(r2(&[1.0, 2.0], &[1.0, 2.0], |_| 1.0), Some(1.0));
        assert_eq!(r2(&[2.0, 2.0], &[1.0, 2.0], |_| 1.0), None);
    }
}
