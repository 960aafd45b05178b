//! Rules models: conditions on features, what each rule adds where it holds, and linear terms beside them.
//!
//! A model holds the rules that have a coefficient and nothing of the trees they came from. The most important rule comes first, and
//! the number of a rule is its place.

mod list;
mod predict;
mod stored;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::coefficients::display_name;
use super::{Certificate, CertificateStatus, Cv, Distilled, PathRow, TIME_LIMIT, sparsity};
use crate::dataset::{Class, Names};
use crate::job::Warning;

pub use list::RuleList;
pub(super) use predict::RuleIndex;
pub(super) use stored::VERSION;

/// A rules model's content.
#[derive(Clone, Debug, PartialEq)]
pub struct RulesModel {
    /// Everything but the arrays.
    pub card: RulesCard,
    /// The rules that have a coefficient, the most important first.
    pub rules: RuleList,
    /// Features that have a coefficient of their own, rising.
    pub indices: Vec<u32>,
    /// Their coefficients.
    pub values: Vec<f64>,
    /// Standard deviations of these features over the rows of the fit, which make a coefficient an importance.
    pub deviations: Vec<f64>,
    /// The path, largest λ first; one row for a single λ.
    pub path: Vec<PathRow>,
    /// What chose λ, if rows were held out: the rules of each fold are its own.
    pub cv: Option<Cv>,
}

/// Everything of a rules model but its arrays and its place in the store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct RulesCard {
    /// `squared` or `logistic`.
    pub loss: String,
    /// Both classes, negative first; for one class against the rest the first is `null`.
    pub classes: Option<Vec<Option<Class>>>,
    pub objective: String,
    pub lambda: f64,
    pub lambda_max: f64,
    /// Of the rules as they are told: what is predicted where none holds and every feature is 0.
    pub intercept: f64,
    /// λ_low and λ_high of a `target_nonzeros` search.
    pub bracket: Option<[f64; 2]>,
    pub sparsity: RulesSparsity,
    pub metrics: Value,
    pub selection: Option<Value>,
    /// Of the lasso over the rules.
    pub certificate: Certificate,
    pub warnings: Vec<Warning>,
    pub engine: Value,
    /// Never yet: points of the path are not kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promoted_from: Option<String>,
    /// Who taught it, where a job did that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distilled: Option<Distilled>,
}

impl RulesCard {
    /// Whether the fit came to its end, and to its goal.
    pub fn converged(&self) -> bool {
        self.certificate.status != CertificateStatus::NotConverged && self.warnings.iter().all(|warning| warning.code != TIME_LIMIT)
    }
}

/// How small a rules model is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct RulesSparsity {
    pub n_features: u64,
    /// Rules.
    pub size: u64,
    pub rules: u64,
    /// Features with a coefficient of their own.
    pub linear_terms: u64,
    /// Of all rules; `low < x ≤ high` counts as two.
    pub conditions: u64,
    /// Features in a rule or a linear term.
    pub features_active: u64,
    /// Share of the features that are in neither.
    pub sparsity_ratio: f64,
    /// SHA-256 of the sorted features that are in either, hex.
    pub support_hash: String,
    pub candidates: Candidates,
}

/// What the lasso chose from.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Candidates {
    pub rules: u64,
    pub linear_terms: u64,
}

impl RulesSparsity {
    /// Measures rules and linear terms over `n_features`.
    pub fn of(rules: &RuleList, linear: &[u32], n_features: u64, candidates: Candidates) -> Self {
        let used = features_used(rules, linear);
        Self {
            n_features,
            size: rules.len() as u64,
            rules: rules.len() as u64,
            linear_terms: linear.len() as u64,
            conditions: rules.n_conditions(),
            features_active: used.len() as u64,
            sparsity_ratio: sparsity::share(n_features.saturating_sub(used.len() as u64), n_features),
            support_hash: sparsity::support_hash(&used),
            candidates,
        }
    }
}

/// The features of either, rising.
fn features_used(rules: &RuleList, linear: &[u32]) -> Vec<u32> {
    let mut used: Vec<u32> = rules.features.iter().chain(linear).copied().collect();
    used.sort_unstable();
    used.dedup();
    used
}

/// One condition of a rule, as it is told.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Condition {
    /// The feature.
    pub feature: u32,
    /// Its display name.
    pub name: String,
    /// `<=` or `>`.
    pub op: &'static str,
    /// What it is compared with.
    pub threshold: f64,
}

impl RulesModel {
    /// The features that are in a rule or a linear term, rising.
    pub fn features_used(&self) -> Vec<u32> {
        features_used(&self.rules, &self.indices)
    }

    /// |coefficient|·√(s(1 − s)), s the share of the rows that the rule holds for: Friedman & Popescu 2008, 6.
    pub fn importance(&self, rule: usize) -> f64 {
        self.rules.coefficients[rule].abs() * deviation(self.rules.supports[rule])
    }

    /// The conditions of a rule, by feature; names are display names.
    pub fn conditions(&self, rule: usize, names: Option<&Names>) -> Vec<Condition> {
        conditions(&self.rules, rule, names)
    }

    /// A rule as a sentence: `age ≤ 37.5 and cap-gain > 5119`.
    pub fn text(&self, rule: usize, names: Option<&Names>) -> String {
        self.rules.text(rule, names)
    }
}

/// Standard deviation of what holds for this share of the rows.
pub fn deviation(support: f64) -> f64 {
    (support * (1.0 - support)).max(0.0).sqrt()
}

fn conditions(rules: &RuleList, rule: usize, names: Option<&Names>) -> Vec<Condition> {
    let mut told = Vec::new();
    for at in rules.range(rule) {
        let (feature, name) = (rules.features[at], display_name(names, rules.features[at]));
        let mut tell = |op, threshold: f64| {
            if threshold.is_finite() {
                told.push(Condition { feature, name: name.clone(), op, threshold });
            }
        };
        tell(">", rules.lows[at]);
        tell("<=", rules.highs[at]);
    }
    told
}

impl RuleList {
    /// A rule as a sentence.
    pub fn text(&self, rule: usize, names: Option<&Names>) -> String {
        let one = |Condition { name, op, threshold, .. }: Condition| format!("{name} {} {threshold}", if op == ">" { ">" } else { "≤" });
        conditions(self, rule, names).into_iter().map(one).collect::<Vec<_>>().join(" and ")
    }
}
