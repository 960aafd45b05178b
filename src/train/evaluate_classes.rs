//! How good a multinomial model is on a data set: a score a row and class, and what follows of them.

use serde_json::{Value, json};

use super::classes::quality;
use super::evaluate::{Matched, Pace, STRETCH, finite, unknown};
use super::{TrainError, unfit};
use crate::dataset::{Class, Dataset};
use crate::matrix::{Number, ValuesView};
use crate::model::LinearModel;

/// `deviance log_loss accuracy f1_macro brier`, and `score`, the accuracy. The Brier score is the mean of Σ_k (p_k − 1[y = k])².
pub(super) fn metrics(dataset: &Dataset, model: &LinearModel, matched: &Matched, pace: &Pace<'_>) -> Result<Value, TrainError> {
    let eta = scores(dataset, model, matched, pace)?;
    pace.at(1);
    of_scores(dataset, &eta, model.card.classes.as_deref().unwrap_or_default(), pace)
}

/// The measures of scores, one for each row and class of `known`.
pub(super) fn of_scores(dataset: &Dataset, eta: &[f64], known: &[Option<Class>], pace: &Pace<'_>) -> Result<Value, TrainError> {
    let n_classes = known.len();
    let y = target(dataset, known)?;
    let weight = |i: usize| dataset.weights.as_ref().map_or(1.0, |weights| weights[i]);
    let (mut total, mut log_loss, mut brier) = (0.0, 0.0, 0.0);
    let mut labels = Vec::with_capacity(y.len());
    for (i, (eta, &y)) in eta.chunks_exact(n_classes).zip(&y).enumerate() {
        pace.work(16 * n_classes)?;
        let label = (1..n_classes).fold(0, |best, k| if eta[k] > eta[best] { k } else { best });
        labels.push(label);
        // what a row without weight holds may be anything
        if weight(i) > 0.0 {
            let sum: f64 = eta.iter().map(|one| (one - eta[label]).exp()).sum();
            let away = |k: usize| (eta[k] - eta[label]).exp() / sum - if y as usize == k { 1.0 } else { 0.0 };
            total += weight(i);
            log_loss += weight(i) * (sum.ln() + (eta[label] - eta[y as usize]));
            brier += weight(i) * (0..n_classes).map(|k| away(k).powi(2)).sum::<f64>();
        }
    }
    if total <= 0.0 {
        return Err(unfit("invalid_weight", "All sample weights are 0."));
    }
    let (accuracy, f1_macro) = quality(&y, &labels, n_classes, weight);
    Ok(json!({
        "deviance": finite(2.0 * log_loss / total)?,
        "log_loss": finite(log_loss / total)?,
        "accuracy": accuracy,
        "f1_macro": f1_macro,
        "brier": finite(brier / total)?,
        "score": accuracy,
    }))
}

/// Row by row; an offset is the same for every class and so changes nothing.
fn scores(dataset: &Dataset, model: &LinearModel, matched: &Matched, pace: &Pace<'_>) -> Result<Vec<f64>, TrainError> {
    let mut eta = model.card.intercepts.as_deref().unwrap_or_default().repeat(dataset.y.len());
    match dataset.x.view().values {
        ValuesView::Single(values) => add_columns(dataset, values, model, matched, &mut eta, pace)?,
        ValuesView::Double(values) => add_columns(dataset, values, model, matched, &mut eta, pace)?,
    }
    Ok(eta)
}

fn add_columns<V: Number>(
    dataset: &Dataset,
    values: &[V],
    model: &LinearModel,
    matched: &Matched,
    eta: &mut [f64],
    pace: &Pace<'_>,
) -> Result<(), TrainError> {
    let (x, n_classes) = (dataset.x.view(), model.card.n_outputs());
    for &(at, column) in &matched.pairs {
        let (coefficient, class) = (model.values[at as usize], model.classes[at as usize] as usize);
        let column = x.column(column as usize, values);
        for (rows, values) in column.rows.chunks(STRETCH).zip(column.values.chunks(STRETCH)) {
            pace.work(2 * rows.len())?;
            rows.iter().zip(values).for_each(|(&row, &value)| eta[row as usize * n_classes + class] += coefficient * value.into());
        }
    }
    Ok(())
}

/// The position of each row's class among the model's.
pub(super) fn target(dataset: &Dataset, known: &[Option<Class>]) -> Result<Vec<f64>, TrainError> {
    let place = |class: &Class| {
        let found = known.iter().position(|one| one.as_ref() == Some(class));
        found.map(|at| at as f64).ok_or_else(|| unknown(class))
    };
    match &dataset.meta.target.classes {
        Some(classes) => {
            let places: Vec<f64> = classes.iter().map(place).collect::<Result<_, _>>()?;
            Ok(dataset.y.iter().map(|&position| places[position as usize]).collect())
        }
        None => dataset.y.iter().map(|&y| place(&Class::Number(y))).collect(),
    }
}
