//! Request → checked specification. Parse, don't validate: raw and checked are different types.
//!
//! Knows nothing of HTTP, SQL or solvers. Answers bad input with a [`Fault`] that lists JSON pointers into the job's
//! body (`#/spec/penalty/l1_ratio`).

mod alias;
mod bounds;
mod compare;
mod distill;
mod ensemble;
mod estimate;
mod evaluate;
mod fields;
mod folds;
mod hook;
mod lambda;
mod limits;
mod network;
mod parse;
mod parse_fit;
mod parse_penalty;
mod parse_refit;
mod parse_selection;
mod penalty;
mod promote;
mod prune;
mod reference;
mod removal;
mod resolve;
mod resolve_selection;
mod rules;
mod selection;
mod stability;
#[cfg(test)]
mod tests;
mod trained;
mod tree;
mod warm_start;
mod work;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::dataset::Class;
use crate::hook::Hook;
use crate::job::{JobKind, Priority};

pub use alias::{check_alias, parse_alias_move};
pub use bounds::Bounds;
pub use compare::{CompareSpec, FitOf, Measure, ResolvedCompare, ScoreName};
pub use distill::{AskedTeacher, DistillSpec, ResolvedDistill, SHARES_MAX, Teacher};
pub use ensemble::{EnsembleSpec, ResolvedEnsemble};
pub use estimate::{
    comparison_estimate, distill_estimate, ensemble_estimate, estimate, evaluation_estimate, network_estimate, prune_estimate,
    rules_estimate, tree_estimate,
};
pub use evaluate::{EvaluateSpec, KnownModel, ResolvedEvaluate};
pub use hook::{EndpointChange, EndpointRequest, parse_endpoint, parse_endpoint_change};
pub use limits::{OnLimit, RunLimits};
pub use network::{Activation, NetworkPenalty, NetworkPenaltyType, NetworkSpec, Optimizer, ResolvedNetwork};
pub use parse::{is_name, parse_job, parse_job_of};
pub use penalty::{Adaptive, L1Ratio, Penalty, Pilot};
pub use promote::parse_promotion;
pub use prune::{Amount, BaseSize, Ccp, HeldOutScore, PruneMethod, PruneSpec, ResolvedPrune};
pub use reference::{ModelRef, Pick, version_number};
pub use removal::{Removal, RemovalMethod, Schedule};
pub use resolve::{PILOT_FOLDS, feature_index};
pub use rules::{ResolvedRules, RuleTrees, RulesSpec};
pub use selection::{CrossValidation, Holdout, Rule, Selection, Splits};
pub use stability::Stability;
pub use trained::{EarlyStopping, NaturalLoss};
pub use tree::{Criterion, Pruning, ResolvedTree, TreeFolds, TreeSize, TreeSpec};
pub use work::{Asked, Work};

/// `POST /jobs`, parsed but not yet compared with the data set.
#[derive(Clone, Debug)]
pub struct JobRequest {
    /// What kind of job.
    pub kind: JobKind,
    /// Name the model is registered under; `None` where the job makes none.
    pub model: Option<String>,
    /// Name of the data set.
    pub dataset: String,
    /// Version asked for; `None` = latest.
    pub version: Option<i64>,
    /// What to do.
    pub work: Asked,
    /// The specification as it was sent.
    pub spec: Value,
    /// Free text of the client's: an object of texts.
    pub metadata: Value,
    /// Order in the queue.
    pub priority: Priority,
    /// Who else is told what becomes of it; the address is not yet judged.
    pub webhook: Option<Hook>,
}

impl JobRequest {
    /// The fit that is asked for, if it is one.
    pub fn fit(&self) -> Option<&FitSpec> {
        if let Asked::Fit(fit) = &self.work { Some(fit) } else { None }
    }
}

/// A fit as it was asked for: every field legal by itself, defaults that depend on the data still open.
#[derive(Clone, Debug, PartialEq)]
pub struct FitSpec {
    loss: Option<AskedLoss>,
    penalty: Penalty,
    bounds: Bounds,
    non_negative: bool,
    lambda: AskedLambda,
    selection: Option<AskedSelection>,
    refit: Option<Refit>,
    compare_ridge: bool,
    intercept: bool,
    standardize: Standardize,
    weights: AskedWeights,
    solver: Solver,
    limits: RunLimits,
    warm_start: Option<ModelRef>,
}

#[derive(Clone, Debug, PartialEq)]
enum AskedLoss {
    Squared,
    Huber { delta: f64 },
    Logistic { positive_class: Option<AskedClass> },
    SquaredHinge { positive_class: Option<AskedClass> },
    Multinomial,
    Poisson,
}

#[derive(Clone, Debug, PartialEq)]
enum AskedClass {
    Class(Class),
    /// The class `true`/`false` by text, else 1/0.
    Bool(bool),
}

#[derive(Clone, Debug, PartialEq)]
enum AskedLambda {
    Value(f64),
    Path { n: u64, min_ratio: Option<f64> },
    Values(Vec<f64>),
    TargetNonzeros(u64),
}

#[derive(Clone, Debug, PartialEq)]
enum AskedSelection {
    None,
    Held(AskedHeld),
    Stability(stability::AskedStability),
    Criterion(Selection),
}

/// Rows are held out, as asked for.
#[derive(Clone, Debug, Default, PartialEq)]
struct AskedHeld {
    /// Share of a single split; `None` = folds.
    fraction: Option<f64>,
    folds: Option<u64>,
    stratify: Option<bool>,
    seed: u64,
    rule: Option<Rule>,
    within_pct: Option<f64>,
    repeats: Option<u64>,
    /// Numbered as they first occur.
    groups: Option<Vec<u32>>,
    fold_of_row: Option<Vec<i32>>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum AskedWeights {
    /// Those stored, if any.
    Stored,
    /// Those stored; it is wrong to ask where there are none.
    Required,
    Ignored,
}

/// Bounds on specifications.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[allow(missing_docs)]
pub struct SpecLimits {
    pub path_values: u64,
    pub folds: u64,
    pub max_epochs: u64,
    pub max_runtime_s: f64,
}

/// The loss of a fit, with its target understood.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Loss {
    /// ½(y − η)².
    Squared,
    /// ½r² for |r| ≤ δ, δ|r| − ½δ² beyond, r = y − η.
    Huber {
        /// δ, in units of the target.
        delta: f64,
    },
    /// log(1 + e^(−yη)).
    Logistic {
        /// The class that is +1; all others are −1.
        positive_class: Class,
    },
    /// max(0, 1 − yη)².
    SquaredHinge {
        /// The class that is +1; all others are −1.
        positive_class: Class,
    },
    /// log Σ e^η_k − η_y, for classes.
    Multinomial,
    /// e^η − yη, for counts.
    Poisson,
}

impl Loss {
    /// The class that is +1, where the loss has classes.
    pub fn positive_class(&self) -> Option<&Class> {
        match self {
            Self::Logistic { positive_class } | Self::SquaredHinge { positive_class } => Some(positive_class),
            Self::Squared | Self::Huber { .. } | Self::Multinomial | Self::Poisson => None,
        }
    }

    /// How it is called in JSON.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Squared => "squared",
            Self::Huber { .. } => "huber",
            Self::Logistic { .. } => "logistic",
            Self::SquaredHinge { .. } => "squared_hinge",
            Self::Multinomial => "multinomial",
            Self::Poisson => "poisson",
        }
    }

    /// Whether rows are of classes, whose shares folds may keep.
    pub fn has_classes(&self) -> bool {
        self.positive_class().is_some() || *self == Self::Multinomial
    }
}

/// Which λ.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "lambda::LambdaJson", into = "lambda::LambdaJson")]
pub enum Lambda {
    /// One value.
    Value {
        /// λ.
        value: f64,
    },
    /// A path from λ_max down.
    Path {
        /// Number of values.
        n: u64,
        /// Smallest value over the largest.
        min_ratio: f64,
    },
    /// A path of given values, largest first (in JSON also `"mode": "path"`).
    Values {
        /// λ, falling.
        values: Vec<f64>,
    },
    /// The largest λ with this many non-zeros.
    TargetNonzeros {
        /// Wanted non-zeros.
        k: u64,
    },
}

/// A fit with nothing left open: stored with the job, echoed as `spec_resolved`, read by the worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct ResolvedFit {
    pub kind: String,
    pub loss: Loss,
    pub penalty: Penalty,
    /// Where coefficients must stay, by feature.
    #[serde(default, skip_serializing_if = "Bounds::is_empty")]
    pub bounds: Bounds,
    /// Whether every coefficient must be at least 0 besides.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub non_negative: bool,
    pub lambda: Lambda,
    pub selection: Selection,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refit: Option<Refit>,
    /// Whether the card compares with ridge, chosen on the same rows.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub compare_ridge: bool,
    pub intercept: bool,
    /// `scale` or `none`.
    pub standardize: Standardize,
    /// Whether stored sample weights are used.
    pub weights: bool,
    pub solver: Solver,
    /// The model version, `name:n`, that the fit begins at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warm_start: Option<String>,
    pub limits: RunLimits,
}

/// A refit without penalty on the features that the penalty left, mixed with what it left: Meinshausen, "Relaxed lasso",
/// Computational Statistics & Data Analysis 2007.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Refit {
    /// Shares of the penalised coefficients to choose from, falling; 1 = no refit, 0 = only the refit.
    pub relaxed_gamma: Vec<f64>,
}

/// What the penalty acts on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Standardize {
    Scale,
    None,
}

/// How to solve.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Solver {
    #[serde(rename = "type")]
    pub kind: String,
    pub tol: f64,
    pub tol_kind: String,
    pub max_epochs: u64,
}

/// What a fit will cost: ranges.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// Low and high, MiB.
    pub memory_mb: [f64; 2],
    /// Low and high, seconds.
    pub runtime_s: [f64; 2],
}
