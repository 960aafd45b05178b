//! Rows to learn from and rows held out: which they are, and how good a model is on either.

use serde_json::Value;

use super::{Observe, TrainError, evaluate};
use crate::dataset::{Dataset, Names};
use crate::model::Model;
use crate::spec::Splits;

/// Rows to learn from and rows held out, both rising.
pub(super) struct Parts {
    pub(super) learnt: Vec<u32>,
    pub(super) held_out: Vec<u32>,
}

impl Parts {
    /// A share of the rows is held out, of each class the same; rows of one origin stay together.
    pub(super) fn of(dataset: &Dataset, fraction: Option<f64>, seed: u64) -> Self {
        let n_rows = dataset.y.len();
        let Some(fraction) = fraction else { return Self { learnt: (0..n_rows as u32).collect(), held_out: Vec::new() } };
        let classes = dataset.meta.target.classes.is_some();
        let strata = classes.then_some(&*dataset.y);
        let splits = Splits::plain(1, classes, seed).again(1, Some(fraction));
        let of_row = splits.fold_of_row_together(dataset.groups.as_deref(), n_rows, strata, 0);
        let (held_out, learnt) = (0..n_rows as u32).partition(|row| of_row[*row as usize] == 0);
        Self { learnt, held_out }
    }
}

/// Measures models on some rows of a data set.
pub(super) struct Judge<'j> {
    pub(super) dataset: &'j Dataset,
    pub(super) weights: Option<&'j [f64]>,
    pub(super) names: Option<&'j Names>,
    pub(super) observe: &'j Observe<'j>,
}

impl Judge<'_> {
    /// The measures of an evaluation on these rows alone; `null` where none has weight.
    pub(super) fn measures(&self, model: &Model, rows: &[u32]) -> Result<Value, TrainError> {
        let mut weights = vec![0.0; self.dataset.y.len()];
        for row in rows {
            weights[*row as usize] = self.weights.map_or(1.0, |weights| weights[*row as usize]);
        }
        if weights.iter().all(|weight| *weight == 0.0) {
            return Ok(Value::Null);
        }
        let only = Dataset { weights: Some(weights.into()), ..self.dataset.clone() };
        Ok(evaluate(&only, model, self.names, self.observe)?.metrics)
    }
}
