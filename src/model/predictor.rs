//! A model ready to predict: features found by hash, scores summed in one order whatever the form of the row.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use super::coefficients::display_name;
use super::options::{Answers, Extras, Wanted};
use super::rules::RuleIndex;
use super::score::Scorer;
use super::{Model, PredictFormat, PredictLimits, PredictOptions, Predictions, instances, libsvm, memory};
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
    /// Where the coefficients of each feature begin among those of a multinomial model, and their end; empty where a
    /// feature has one.
    begins: Vec<u32>,
    /// The features that a tree splits on, that are in a rule or a term beside the rules, or that a network reads, rising.
    features: Vec<u32>,
    /// For each node of a tree or of all trees the position of its feature among them.
    splits: Vec<u32>,
    /// Of rules the conditions by feature.
    rules: Option<RuleIndex>,
    /// The labels as JSON, of two the negative first; `null` for the rest of one class against the rest.
    labels: Vec<Vec<u8>>,
}

/// Where a feature is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Feature and its position among those with a coefficient.
    Active(u32, u32),
    /// A feature whose coefficient is 0.
    Zero(u32),
    Unknown,
}

impl Predictor {
    /// Makes a model ready to predict.
    pub fn new(model: Arc<Model>, names: Option<Arc<Names>>) -> Self {
        let (mut begins, mut splits) = (Vec::new(), Vec::new());
        let features = match &*model {
            Model::Linear(model) => {
                let mut features = model.indices.clone();
                if model.card.is_multinomial() {
                    features.dedup();
                    let starts = (0u32..).zip(&model.indices).filter(|(at, index)| *at == 0 || model.indices[*at as usize - 1] != **index);
                    begins = starts.map(|(at, _)| at).chain([model.indices.len() as u32]).collect();
                }
                features
            }
            Model::Tree(model) => {
                let used = model.nodes.features_used();
                splits = places(&model.nodes.features, &used);
                used
            }
            Model::Rules(model) => model.features_used(),
            Model::Network(model) => model.inputs.clone(),
            Model::Ensemble(model) => {
                let used = model.trees.features_used();
                splits = places(&model.trees.features, &used);
                used
            }
        };
        let rules = model.rules().map(|model| RuleIndex::new(model, &features));
        let positions = || features.iter().copied().zip(0u32..);
        let by_index = positions().collect();
        let by_name = match &names {
            Some(names) => positions().filter_map(|(index, position)| Some((names.get(index)?.into(), position))).collect(),
            None => HashMap::new(),
        };
        let card = model.card();
        let classes = card.classes().unwrap_or_else(|| [None, None].as_slice().into());
        let labels = classes.iter().map(|class| class.as_ref().map_or_else(|| b"null".to_vec(), label)).collect();
        let features = if model.linear().is_some() { Vec::new() } else { features };
        Self { model, names, by_index, by_name, begins, features, splits, rules, labels }
    }

    /// The model.
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// For each node of a tree or of all trees the position of its feature among those that are split on.
    pub(super) fn splits(&self) -> &[u32] {
        &self.splits
    }

    /// The conditions by feature, of a rules model.
    pub(super) fn rules(&self) -> Option<&RuleIndex> {
        self.rules.as_ref()
    }

    /// Names of the features, if they have any.
    pub fn names(&self) -> Option<&Names> {
        self.names.as_deref()
    }

    /// Display name of a feature: its name, else its decimal index.
    pub fn display_name(&self, index: u32) -> String {
        display_name(self.names.as_deref(), index)
    }

    /// What answers are.
    pub(super) fn answers(&self) -> Answers {
        match &*self.model {
            Model::Linear(model) => match model.card.loss.as_str() {
                "logistic" => Answers::Probability,
                "squared_hinge" => Answers::Label,
                "multinomial" => Answers::Probabilities,
                _ => Answers::Number,
            },
            Model::Tree(model) => Answers::of(model.card.classes.as_deref()),
            Model::Rules(model) if model.card.classes.is_some() => Answers::Probability,
            Model::Rules(_) => Answers::Number,
            Model::Network(model) => Answers::of(model.card.classes.as_deref()),
            Model::Ensemble(model) => Answers::of(model.card.classes.as_deref()),
        }
    }

    /// What can be told of answers besides.
    pub(super) fn extras(&self) -> Extras {
        match &*self.model {
            Model::Linear(_) | Model::Rules(_) => Extras::Terms,
            Model::Network(_) | Model::Ensemble(_) => Extras::Score,
            Model::Tree(_) => Extras::Leaf,
        }
    }

    /// Features with a coefficient, or that are split on.
    pub(super) fn n_active(&self) -> usize {
        match &*self.model {
            Model::Linear(model) if self.begins.is_empty() => model.indices.len(),
            Model::Linear(_) => self.begins.len() - 1,
            Model::Tree(_) | Model::Rules(_) | Model::Network(_) | Model::Ensemble(_) => self.features.len(),
        }
    }

    /// Where the coefficients of the feature at `position` among those with one lie in a linear model.
    pub(super) fn entries(&self, position: u32) -> std::ops::Range<usize> {
        let at = position as usize;
        match self.begins.get(at..at + 2) {
            Some(ends) => ends[0] as usize..ends[1] as usize,
            None => at..at + 1,
        }
    }

    /// The feature at `position` among the active ones.
    pub(super) fn feature(&self, position: u32) -> u32 {
        match &*self.model {
            Model::Linear(model) => model.indices[self.entries(position).start],
            Model::Tree(_) | Model::Rules(_) | Model::Network(_) | Model::Ensemble(_) => self.features[position as usize],
        }
    }

    /// The label, as JSON, of a class; of two, the positive one is the second.
    pub(super) fn label(&self, class: usize) -> &[u8] {
        &self.labels[class]
    }

    pub(super) fn n_features(&self) -> u64 {
        match &*self.model {
            Model::Linear(model) => model.card.sparsity.n_features,
            Model::Tree(model) => model.card.sparsity.n_features,
            Model::Rules(model) => model.card.sparsity.n_features,
            Model::Network(model) => model.card.sparsity.n_features,
            Model::Ensemble(model) => model.card.sparsity.n_features,
        }
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
            Some(position) => Found::Active(self.feature(*position), *position),
            None => names.find(name).map_or(Found::Unknown, Found::Zero),
        }
    }

    /// Bytes of the tables for looking features up, and of the labels.
    pub(super) fn tables(&self) -> usize {
        let names: usize = self.by_name.keys().map(|name| name.len()).sum();
        let labels: usize = self.labels.iter().map(memory::of).sum();
        let arrays = [&self.begins, &self.features, &self.splits].into_iter().map(memory::of).sum::<usize>();
        memory::of_table(&self.by_index) + memory::of_table(&self.by_name) + names + arrays + memory::of(&self.labels) + labels
    }

    /// The answer to one row of indices and values, without the reading of its text: what a request does once it is read.
    ///
    /// # Errors
    /// `duplicate_index`, `non_finite_value`, `numerical_error`; without a place.
    pub fn answer(&self, row: &[(u32, f64)]) -> Result<Predictions, Fault> {
        let none = PredictOptions::default();
        let wanted = Wanted::new(&none, &none, self.answers(), self.extras())?;
        let limits = PredictLimits { rows: 1, row_nnz: u64::MAX, index_max: u64::MAX };
        let mut scorer = Scorer::new(self, wanted, &limits);
        let fault = |refusal: super::score::Refusal| Fault::new(refusal.code, refusal.detail);
        row.iter().try_for_each(|(index, value)| scorer.index(*index, *value)).map_err(fault)?;
        scorer.end_row().map_err(fault)?;
        scorer.finish()
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
                let wanted = Wanted::new(&PredictOptions::default(), options, self.answers(), self.extras())?;
                let mut scorer = Scorer::new(self, wanted, limits);
                libsvm::read_rows(body, index_base, limits, &mut scorer)?;
                scorer.finish()
            }
        }
    }
}

/// Where the feature of each node is among those that are used, which rise.
fn places(features: &[u32], used: &[u32]) -> Vec<u32> {
    features.iter().map(|feature| used.partition_point(|one| one < feature) as u32).collect()
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
