//! What a model expects of rows: one number each, whatever kind of model it is.

use serde::Deserialize;

use super::options::{Answers, Wanted};
use super::predictor::Predictor;
use super::score::Scorer;
use super::{PredictLimits, PredictOptions};
use crate::fault::Fault;

/// Rows come from a data set: its limits were kept when it was uploaded.
const LIMITS: PredictLimits = PredictLimits { rows: u64::MAX, row_nnz: u64::MAX, index_max: u64::MAX };

/// What a model's mean is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mean {
    /// A number.
    Number,
    /// A count: the mean of a Poisson distribution.
    Count,
    /// The probability of the second of two classes.
    Probability,
}

#[derive(Deserialize)]
struct Told {
    #[serde(alias = "linear_predictor", alias = "probability")]
    prediction: f64,
}

impl Predictor {
    /// What [`Predictor::means`] gives; `None` for a model that has no single mean: many classes, or labels alone.
    pub fn mean(&self) -> Option<Mean> {
        match self.answers() {
            Answers::Number if self.model().linear().is_some_and(|model| model.card.loss == "poisson") => Some(Mean::Count),
            Answers::Number => Some(Mean::Number),
            Answers::Probability => Some(Mean::Probability),
            Answers::Probabilities | Answers::Label => None,
        }
    }

    /// The features that matter, rising.
    pub fn features(&self) -> Vec<u32> {
        (0..self.n_active() as u32).map(|position| self.feature(position)).collect()
    }

    /// The mean of each row: positions in [`Predictor::features`], rising, with values; and an offset, which a linear model adds to its
    /// linear predictor.
    ///
    /// # Errors
    /// A row's score is beyond a double.
    pub fn means<'r>(&self, rows: impl Iterator<Item = (&'r [(u32, f64)], f64)>) -> Result<Vec<f64>, Fault> {
        let (kind, linear) = (self.mean(), self.model().linear().is_some());
        let word = match kind {
            _ if linear => "linear_predictor",
            Some(Mean::Probability) => "probability",
            _ => "prediction",
        };
        let options = PredictOptions { output: Some(vec![word.to_owned()]), ..PredictOptions::default() };
        let wanted = Wanted::new(&PredictOptions::default(), &options, self.answers(), self.extras())?;
        let mut scorer = Scorer::new(self, wanted, &LIMITS);
        let mut offsets = Vec::new();
        for (at, (entries, offset)) in rows.enumerate() {
            let scored = entries.iter().try_for_each(|(position, value)| scorer.index(self.feature(*position), *value));
            scored.and_then(|()| scorer.end_row()).map_err(|refusal| Fault::new(refusal.code, format!("row {at}: {}", refusal.detail)))?;
            offsets.push(offset);
        }
        if offsets.is_empty() {
            return Ok(Vec::new());
        }
        let told: Vec<Told> = serde_json::from_slice(&scorer.finish()?.predictions_json).unwrap_or_default();
        let mean = |(told, offset): (Told, f64)| match kind {
            _ if !linear => told.prediction,
            Some(Mean::Count) => (told.prediction + offset).exp(),
            Some(Mean::Probability) => 1.0 / (1.0 + (-told.prediction - offset).exp()),
            _ => told.prediction + offset,
        };
        Ok(told.into_iter().zip(offsets).map(mean).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::sample::{model, multinomial_model};
    use super::super::{Model, Predictor};
    use super::*;

    #[test]
    fn means_are_those_of_the_formulas_with_offsets() {
        let mut made = model(&[1, 4], &[2.0, -1.0]);
        let rows = [(vec![(0, 0.5), (1, 1.0)], 0.0), (vec![], 0.75), (vec![(1, 3.0)], 0.0)];
        let means = |made: &_| {
            let predictor = Predictor::new(Arc::new(Model::Linear(Clone::clone(made))), None);
            assert_eq!(predictor.features(), [1, 4]);
            (predictor.mean(), predictor.means(rows.iter().map(|row| (&row.0[..], row.1))).unwrap())
        };
        // the intercept is ¼
        let eta = [0.25_f64, 1.0, -2.75];
        let near = |found: Vec<f64>, expected: [f64; 3]| found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-15 * b.abs().max(1.0));
        let (kind, found) = means(&made);
        assert!(kind == Some(Mean::Probability) && near(found, eta.map(|eta| 1.0 / (1.0 + (-eta).exp()))));
        made.card.loss = "poisson".into();
        let (kind, found) = means(&made);
        assert!(kind == Some(Mean::Count) && near(found, eta.map(f64::exp)));
        (made.card.loss, made.card.classes) = ("squared".into(), None);
        assert_eq!(means(&made), (Some(Mean::Number), eta.to_vec()));
    }

    #[test]
    fn many_classes_have_no_single_mean_and_their_features_are_told_once() {
        let predictor = Predictor::new(Arc::new(Model::Linear(multinomial_model(&[(1, 0, 0.5), (1, 2, -1.0), (4, 1, 2.0)]))), None);
        assert_eq!((predictor.mean(), predictor.features()), (None, vec![1, 4]));
    }
}
