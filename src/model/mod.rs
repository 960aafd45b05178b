//! What a fit leaves behind: coefficients, path, cross-validation, certificate; and prediction from it. Immutable.
//!
//! Knows nothing of HTTP, SQL or solvers. A model takes ≤ 32 bytes per non-zero plus a constant; nothing in it has the
//! length of the feature space: names are read from the data set's names file.

mod classes;
mod coefficients;
mod comparison;
mod container;
mod csr;
mod distilled;
mod ensemble;
mod frame;
mod instances;
mod kind;
mod libsvm;
mod means;
mod memory;
mod network;
mod options;
mod points;
mod predictor;
mod rules;
#[cfg(test)]
pub(crate) mod sample;
mod score;
mod sparsity;
#[cfg(test)]
mod tests;
mod tradeoff;
mod tree;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::dataset::Class;
use crate::job::Warning;

pub use coefficients::{CoefficientView, Coefficients, display_name};
pub use comparison::{ComparedModel, ComparedPrediction, Comparison, DisagreedRow, Disagreement, Recommendation, SupportStability};
pub use distilled::{Agreement, Difference, Distilled, Fidelity, FidelityOf};
pub use ensemble::{EnsembleCard, EnsembleModel, EnsembleSelection, EnsembleSparsity, Forest};
pub use kind::{Card, KeptPath, LambdaPath, Model, Traded};
pub use means::Mean;
pub use network::{
    DENSE_FROM, KeptNetwork, Layer, LayerSparsity, NetworkCard, NetworkModel, NetworkPath, NetworkPathRow, NetworkPruned, NetworkSparsity,
    State, Weights,
};
pub use points::{Intercept, PathCoefficients, PathPoint, PathPoints};
pub use predictor::Predictor;
pub use rules::{Candidates, Condition, RuleList, RulesCard, RulesModel, RulesSparsity, deviation};
pub use tradeoff::{SizedQuality, Tradeoff, knee};
pub use tree::{GrownTree, Nodes, PrunedFrom, TreeCard, TreeCv, TreeCvRow, TreeModel, TreePath, TreePathRow, TreeSparsity, Unpruned};

/// Proof of how good a solution is; computed on the full problem by code that is not the solver's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Certificate {
    pub status: CertificateStatus,
    pub primal: f64,
    /// `None`, as the gaps, where the penalty is not convex: nothing bounds the minimum from below.
    pub dual: Option<f64>,
    pub gap: Option<f64>,
    /// (primal − dual) / F(w = 0, best b).
    pub relative_gap: Option<f64>,
    pub tol: f64,
    /// `relative_gap`, or `stationarity`: then it is `max_kkt_violation` that must not be above `tol`.
    pub tol_kind: String,
    /// As a share of λ.
    pub max_kkt_violation: f64,
    /// Display name of the feature with the largest violation.
    pub kkt_feature: Option<String>,
    pub epochs: u64,
    /// Work in units of one product with all of X.
    pub full_passes: f64,
}

/// How far a certificate goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum CertificateStatus {
    Certified,
    Stationary,
    NotConverged,
    NotApplicable,
}

/// One λ of the path.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct PathRow {
    pub index: u64,
    pub lambda: f64,
    pub nonzeros: u64,
    pub deviance_ratio: f64,
    /// `None` where the penalty is not convex.
    pub relative_gap: Option<f64>,
    pub cv_mean: Option<f64>,
    pub cv_se: Option<f64>,
    /// The information criterion, where one chose; absent too where the model is saturated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub criterion: Option<f64>,
}

/// One λ of the cross-validation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct CvRow {
    pub index: u64,
    pub lambda: f64,
    pub mean: f64,
    /// `None` of one fold alone.
    pub se: Option<f64>,
    pub per_fold: Vec<f64>,
}

/// A cross-validation, or a single part of the rows held out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Cv {
    pub metric: String,
    /// `cv` or `holdout`.
    #[serde(default = "cross_validation", skip_serializing_if = "is_cross_validation")]
    pub method: String,
    /// Folds of each repeat.
    pub folds: u64,
    /// Fold assignments.
    #[serde(default = "once", skip_serializing_if = "is_once")]
    pub repeats: u64,
    pub seed: u64,
    pub stratify: bool,
    /// Share of the rows that was held out, of `holdout`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fraction: Option<f64>,
    /// Whether the specification says which rows belong together, or to which fold.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub assigned: bool,
    pub index_min: u64,
    pub index_1se: u64,
    pub rows: Vec<CvRow>,
}

fn cross_validation() -> String {
    "cv".to_owned()
}

fn is_cross_validation(method: &str) -> bool {
    method == "cv"
}

fn once() -> u64 {
    1
}

fn is_once(repeats: &u64) -> bool {
    *repeats == 1
}

/// Code of the warning of a model that is the best there was when the time was up.
pub const TIME_LIMIT: &str = "time_limit";

/// Everything of a linear model but its arrays and its place in the store (name, version, ids, times).
/// The keys are those of the public `model_version` object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct LinearCard {
    /// `squared`, `huber`, `logistic`, `squared_hinge`, `multinomial` or `poisson`.
    pub loss: String,
    /// All classes of a multinomial model; else both, negative first; for one class against the rest the first is `null`.
    pub classes: Option<Vec<Option<Class>>>,
    pub objective: String,
    pub lambda: f64,
    pub lambda_max: f64,
    pub l1_ratio: f64,
    /// 0 where there are `intercepts`.
    pub intercept: f64,
    /// One for each class of a multinomial model; their sum is 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intercepts: Option<Vec<f64>>,
    /// λ_low and λ_high of a `target_nonzeros` search.
    pub bracket: Option<[f64; 2]>,
    pub equivalents: Value,
    pub sparsity: Sparsity,
    pub metrics: Value,
    pub selection: Option<Value>,
    /// The pilot of an adaptive penalty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adaptive: Option<Value>,
    /// The share of the penalised coefficients in a relaxed fit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refit: Option<Value>,
    pub certificate: Certificate,
    pub warnings: Vec<Warning>,
    pub engine: Value,
    /// The version, `name:n`, from whose path it was promoted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promoted_from: Option<String>,
    /// The version, `name:n`, whose coefficients the fit began at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_from: Option<String>,
    /// Who taught it, where a job did that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distilled: Option<Distilled>,
}

impl LinearCard {
    /// Whether the fit came to its end, and to its goal. Of a relaxed fit the certificate does not apply to the mixture,
    /// but its penalised part came to its goal.
    pub fn converged(&self) -> bool {
        self.certificate.status != CertificateStatus::NotConverged && self.warnings.iter().all(|warning| warning.code != TIME_LIMIT)
    }
}

impl LinearCard {
    /// Coefficients of one feature: as many as a multinomial model has classes, else one.
    pub fn n_outputs(&self) -> usize {
        self.intercepts.as_ref().map_or(1, Vec::len)
    }

    /// Whether it tells many classes apart, alike.
    pub fn is_multinomial(&self) -> bool {
        self.intercepts.is_some()
    }
}

/// How sparse a model is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Sparsity {
    pub n_features: u64,
    pub nonzeros: u64,
    /// Features with a coefficient in at least one class; of multinomial models alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub features_active: Option<u64>,
    /// Share of coefficients that are exactly 0.
    pub sparsity_ratio: f64,
    pub l1: f64,
    pub l2: f64,
    pub positive: u64,
    pub negative: u64,
    pub max_abs: Option<FeatureValue>,
    pub min_abs_nonzero: Option<f64>,
    /// Share of coefficients with |w| ≤ `near_zero_tol`.
    pub near_zero_ratio: f64,
    /// 1e-6·max|w|.
    pub near_zero_tol: f64,
    /// (√p − l1/l2)/(√p − 1) over all p coefficients, Hoyer 2004: 0 where all are equally large, 1 where one alone is not 0. `None` where
    /// it is not defined, and in cards of earlier versions.
    #[serde(default)]
    pub hoyer: Option<f64>,
    /// The Gini index of |w| over all coefficients, Hurley & Rickard 2009, from 0 for equal ones to 1 − 1/p. `None` as of `hoyer`.
    #[serde(default)]
    pub gini: Option<f64>,
    pub groups_active: Option<u64>,
    /// SHA-256 of the sorted features with a non-zero coefficient, hex.
    pub support_hash: String,
}

/// A feature by display name and a value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct FeatureValue {
    pub feature: String,
    pub value: f64,
}

/// A linear model's content.
#[derive(Clone, Debug, PartialEq)]
pub struct LinearModel {
    /// Everything but the arrays.
    pub card: LinearCard,
    /// Features with a non-zero coefficient, rising; in a multinomial model once for each of the feature's classes.
    pub indices: Vec<u32>,
    /// The position of the class that each coefficient is of, rising within a feature; empty but for multinomial models.
    pub classes: Vec<u32>,
    /// Their coefficients, original scale.
    pub values: Vec<f64>,
    /// The path, largest λ first; one row for a single λ.
    pub path: Vec<PathRow>,
    /// The cross-validation that chose λ.
    pub cv: Option<Cv>,
    /// The halves of the rows that chose the features.
    pub stability: Option<Stability>,
}

/// How often halves of the rows chose each feature.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Stability {
    /// Halves.
    pub resamples: u64,
    pub seed: u64,
    pub stratify: bool,
    /// Least share of the halves that makes a feature stable.
    pub threshold: f64,
    pub expected_false: f64,
    /// Features that a half chose, on the average.
    pub features_selected: f64,
    pub features_stable: u64,
    /// Features that any half chose; of no more than the most frequent ones it is kept how often.
    pub features_ever: u64,
    /// Bound on the expected number of false choices.
    pub false_bound: f64,
    /// Features, most often chosen first.
    pub indices: Vec<u32>,
    /// The most halves that chose each at one λ.
    pub counts: Vec<u32>,
}

/// A histogram of the non-zero coefficients.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[allow(missing_docs)]
pub struct Histogram {
    pub zeros: u64,
    pub edges: Vec<f64>,
    pub counts: Vec<u64>,
}

/// A histogram of the magnitudes of the non-zero coefficients on a scale of logarithms.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[allow(missing_docs)]
pub struct LogHistogram {
    /// `log`.
    pub scale: &'static str,
    pub zeros: u64,
    /// log₁₀ of magnitudes.
    pub edges: Vec<f64>,
    /// Of both signs.
    pub counts: Vec<u64>,
    pub positive: Vec<u64>,
    pub negative: Vec<u64>,
}

/// The forms a prediction body can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PredictFormat {
    /// `{"instances":[…]}` or `{"csr":{…}}`, with options beside them.
    Json,
    /// LIBSVM lines; the label token is required and ignored.
    Libsvm {
        /// Smallest legal index, 0 or 1.
        index_base: u32,
    },
}

/// What the answer shall hold; options in the query win over none, JSON options win over the query.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs)]
pub struct PredictOptions {
    /// `prediction`, `probability`, `probabilities`, `label`, `linear_predictor`, `contributions`, `unknown`.
    pub output: Option<Vec<String>>,
    /// `ignore` (default) or `error`.
    pub unknown_features: Option<String>,
    pub threshold: Option<f64>,
    pub top_contributions: Option<usize>,
}

/// Bounds on a prediction.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[allow(missing_docs)]
pub struct PredictLimits {
    pub rows: u64,
    pub row_nnz: u64,
    pub index_max: u64,
}

/// Predictions, ready to be serialised after `model` and `version`: `{"predictions":[…],"diagnostics":{…}}`.
#[derive(Clone, Debug)]
pub struct Predictions {
    /// Serialised `predictions` array.
    pub predictions_json: Vec<u8>,
    /// Rows.
    pub rows: u64,
    /// Unknown features over all rows.
    pub unknown_features: u64,
    /// Non-zero-coefficient features that occurred.
    pub active_features_seen: u64,
}
