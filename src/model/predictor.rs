//! A model ready to predict: features found by hash, scores summed in one order whatever the form of the row.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use super::coefficients::display_name;
use super::options::Wanted;
use super::score::Scorer;
use super::{Model, PredictFormat, PredictLimits, PredictOptions, Predictions, instances, libsvm};
use crate::dataset::{Class, Names};
use crate::fault::Fault;

/// A model ready to predict: looks features up without the feature space.
///
/// Immutable, so it is shared without a lock. Memory: the model, and a table entry (and, with names, the name) for each
/// non-zero coefficient; names of other features are read from the mapped file, only to tell "zero" from "unknown".
#[derive(Debug)]
pub struct Predictor {
    model: Arc<Model>,
    names: Option<Arc<Names>>,
    by_index: HashMap<u32, u32, BuildHasherDefault<Spread>>,
    by_name: HashMap<Box<str>, u32>,
    /// The two labels as JSON, negative first; `null` for the rest of one class against the rest.
    labels: [Vec<u8>; 2],
}

/// What a model tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answers {
    /// A number.
    Numbers,
    /// A class, and how probable the positive one is.
    Probabilities,
    /// A class alone.
    Labels,
}

/// Where a feature is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Feature and its position among the non-zero coefficients.
    Active(u32, u32),
    /// A feature whose coefficient is 0.
    Zero(u32),
    Unknown,
}

impl Predictor {
    /// Makes a model ready to predict.
    pub fn new(model: Arc<Model>, names: Option<Arc<Names>>) -> Self {
        let positions = || model.indices.iter().copied().zip(0u32..);
        let by_index = positions().collect();
        let by_name = match &names {
            Some(names) => positions().filter_map(|(index, position)| Some((names.get(index)?.into(), position))).collect(),
            None => HashMap::new(),
        };
        let labels = [0, 1].map(|side| {
            let class = model.card.classes.as_ref().and_then(|classes| classes.get(side)?.as_ref());
            class.map_or_else(|| b"null".to_vec(), label)
        });
        Self { model, names, by_index, by_name, labels }
    }

    /// The model.
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// Display name of a feature: its name, else its decimal index.
    pub fn display_name(&self, index: u32) -> String {
        display_name(self.names.as_deref(), index)
    }

    /// What answers are.
    pub(super) fn answers(&self) -> Answers {
        match self.model.card.loss.as_str() {
            "logistic" => Answers::Probabilities,
            "squared_hinge" => Answers::Labels,
            _ => Answers::Numbers,
        }
    }

    /// What is predicted where the linear predictor is `score`: itself, or the mean of a count.
    pub(super) fn prediction(&self, score: f64) -> f64 {
        if self.model.card.loss == "poisson" { score.exp() } else { score }
    }

    /// The label, as JSON, of the positive or the negative side.
    pub(super) fn label(&self, positive: bool) -> &[u8] {
        &self.labels[usize::from(positive)]
    }

    pub(super) fn n_features(&self) -> u64 {
        self.model.card.sparsity.n_features
    }

    pub(super) fn by_index(&self, index: u32) -> Found {
        match self.by_index.get(&index) {
            Some(position) => Found::Active(index, *position),
            None if u64::from(index) < self.n_features() => Found::Zero(index),
            None => Found::Unknown,
        }
    }

    /// By name; where features have no names, by their canonical decimal index.
    pub(super) fn by_name(&self, name: &str) -> Found {
        let Some(names) = &self.names else {
            return decimal_index(name).map_or(Found::Unknown, |index| self.by_index(index));
        };
        match self.by_name.get(name) {
            Some(position) => Found::Active(self.model.indices[*position as usize], *position),
            None => names.find(name).map_or(Found::Unknown, Found::Zero),
        }
    }

    /// Predicts all rows of a body, or says which row is wrong.
    ///
    /// # Errors
    /// With pointer or line: `malformed_json`, `malformed_line`, `unknown_field`, `duplicate_field`, `invalid_field`,
    /// `invalid_parameter`, `index_base`, `index_out_of_range`, `duplicate_index`, `non_finite_value`, `missing_value`,
    /// `shape_mismatch`, `unknown_feature` where asked for, `empty_batch`, `limit_exceeded`, `numerical_error`.
    pub fn predict(
        &self,
        body: &[u8],
        format: PredictFormat,
        options: &PredictOptions,
        limits: &PredictLimits,
    ) -> Result<Predictions, Fault> {
        match format {
            PredictFormat::Json => instances::predict(self, body, options, limits),
            PredictFormat::Libsvm { index_base } => {
                let wanted = Wanted::new(&PredictOptions::default(), options, self.answers())?;
                let mut scorer = Scorer::new(self, wanted, limits);
                libsvm::read_rows(body, index_base, limits, &mut scorer)?;
                scorer.finish()
            }
        }
    }
}

/// A label as JSON.
fn label(class: &Class) -> Vec<u8> {
    serde_json::to_vec(class).unwrap_or_else(|_| b"null".to_vec())
}

/// Digits only, no leading zeros, below 2³².
fn decimal_index(text: &str) -> Option<u32> {
    let digits = matches!(text.len(), 1..=10) && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits && (text == "0" || !text.starts_with('0')) { text.parse().ok() } else { None }
}

/// Multiplicative hashing (Knuth, TAOCP 3, §6.4): the table's keys are the model's own, so nobody can crowd them by
/// what they ask for.
#[derive(Debug, Default)]
struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u32(u32::from(*byte)));
    }

    fn write_u32(&mut self, number: u32) {
        let product = (self.0 ^ u64::from(number)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = product ^ (product >> 32);
    }
}
