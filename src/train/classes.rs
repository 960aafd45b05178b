//! How well a multinomial point predicts the rows it was fitted on.

use serde_json::{Value, json};

use super::target::Rows;
use crate::matrix::{ColumnsView, Number, ValuesView};
use crate::solver::{Data, Point};

/// `deviance`, `log_loss`, `accuracy`, and `f1_macro`: the mean over the classes of the harmonic mean of precision and recall.
pub(super) fn train_metrics(rows: &Rows<'_>, data: &Data<'_>, point: &Point, n_classes: usize, null_deviance: f64) -> Value {
    let predicted = labels(data, point, n_classes);
    let weight = |i: usize| data.weights.map_or(1.0, |weights| weights[i]);
    let ratio = if null_deviance > 0.0 { 1.0 - point.deviance / null_deviance } else { 0.0 };
    let (accuracy, f1_macro) = quality(&rows.y, &predicted, n_classes, weight);
    json!({
        "deviance": point.deviance,
        "deviance_ratio": ratio,
        "log_loss": point.deviance / 2.0,
        "accuracy": accuracy,
        "f1_macro": f1_macro,
    })
}

/// The class with the largest predictor in each row, the first among equals.
fn labels(data: &Data<'_>, point: &Point, n_classes: usize) -> Vec<usize> {
    let mut eta = point.intercepts.repeat(data.y.len());
    match data.x.values {
        ValuesView::Single(values) => add_columns(&data.x, values, point, n_classes, &mut eta),
        ValuesView::Double(values) => add_columns(&data.x, values, point, n_classes, &mut eta),
    }
    let largest = |eta: &[f64]| (1..n_classes).fold(0, |best, k| if eta[k] > eta[best] { k } else { best });
    eta.chunks_exact(n_classes).map(largest).collect()
}

fn add_columns<V: Number>(x: &ColumnsView<'_>, values: &[V], point: &Point, n_classes: usize, eta: &mut [f64]) {
    for ((&j, &k), &coefficient) in point.columns.iter().zip(&point.classes).zip(&point.values) {
        let column = x.range(j as usize);
        for (&row, &value) in x.rows[column.clone()].iter().zip(&values[column]) {
            eta[row as usize * n_classes + k as usize] += coefficient * value.into();
        }
    }
}

/// Share of weight on the right class, and macro F1 over the classes that occur or are told.
pub(super) fn quality(y: &[f64], predicted: &[usize], n_classes: usize, weight: impl Fn(usize) -> f64) -> (f64, f64) {
    let (mut hits, mut of_class, mut of_label) = (vec![0.0; n_classes], vec![0.0; n_classes], vec![0.0; n_classes]);
    for (i, (&y, &label)) in y.iter().zip(predicted).enumerate() {
        of_class[y as usize] += weight(i);
        of_label[label] += weight(i);
        hits[label] += if y as usize == label { weight(i) } else { 0.0 };
    }
    let f1 = |k: usize| (of_class[k] + of_label[k] > 0.0).then(|| 2.0 * hits[k] / (of_class[k] + of_label[k]));
    let each: Vec<f64> = (0..n_classes).filter_map(f1).collect();
    let total: f64 = of_class.iter().sum();
    (hits.iter().sum::<f64>() / total, each.iter().sum::<f64>() / each.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::quality;

    #[test]
    fn macro_f1_is_the_mean_of_the_classes_and_follows_the_weights() {
        // class 0: precision 1/2, recall 1; class 1: never predicted; class 2: both 1
        let (y, labels) = ([0.0, 1.0, 2.0], [0, 0, 2]);
        let (accuracy, f1) = quality(&y, &labels, 3, |_| 1.0);
        assert!((accuracy - 2.0 / 3.0).abs() < 1e-15 && (f1 - (2.0 / 3.0 + 0.0 + 1.0) / 3.0).abs() < 1e-15);
        let (accuracy, f1) = quality(&y, &labels, 3, |i| if i == 1 { 0.0 } else { 2.0 });
        assert!((accuracy - 1.0).abs() < 1e-15 && (f1 - 1.0).abs() < 1e-15);
    }
}
