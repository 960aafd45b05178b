//! Pages for people: what is known of a model, and models side by side, as one self-contained document each.
//!
//! Plain data in, text of HTML out: no script, no reference to anything outside, colours after what the reader prefers. Everything that
//! is not written here word by word is escaped. Knows no HTTP, no store and how nothing was computed.

mod comparison;
mod fidelity;
mod html;
mod model;
#[cfg(test)]
mod tests;

use serde::Serialize;
use serde_json::Value;

use crate::job::{DatasetRef, Warning};
use crate::model::{Comparison, Fidelity, Recommendation};

pub use comparison::comparison_page;
pub use model::model_page;

/// What these pages must be served with: they load nothing and run nothing.
pub const CONTENT_SECURITY_POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// A picture in both of its looks: text of SVG, which is trusted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Picture {
    /// What it shows.
    pub caption: String,
    /// On white.
    pub light: String,
    /// On black.
    pub dark: String,
}

/// Everything a model's page tells. The keys are those of the public `report` object.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct Report {
    pub object: &'static str,
    /// `name:n`.
    #[serde(rename = "ref")]
    pub reference: String,
    pub id: String,
    pub kind: String,
    pub aliases: Vec<String>,
    pub created_at: String,
    pub job: String,
    pub dataset: DatasetRef,
    pub promoted_from: Option<String>,
    /// What it is, in words.
    pub summary: String,
    pub loss: String,
    pub objective: String,
    pub lambda: Option<f64>,
    pub l1_ratio: Option<f64>,
    pub ccp_alpha: Option<f64>,
    pub sparsity: Value,
    pub certificate: Value,
    pub metrics: Value,
    pub selection: Option<Value>,
    pub tradeoff: Option<TradeoffOut>,
    /// Coefficients by |value|, or shares of the impurity taken away.
    pub features: Vec<FeatureOut>,
    /// Of how many.
    pub features_total: u64,
    /// Of trees: the first splits, from the root downwards.
    pub splits: Vec<SplitOut>,
    pub warnings: Vec<Warning>,
    pub bytes: BytesOut,
    /// Where a teacher taught it.
    pub fidelity: Option<Fidelity>,
    pub comparison: Option<ComparisonOf>,
    /// Where there is no comparison: the request that makes one.
    pub hint: Option<Hint>,
    pub links: Vec<Link>,
}

/// What smallness costs along the path that the model was chosen from.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct TradeoffOut {
    /// `deviance`, `mse`, …
    pub measure: String,
    /// Whether on rows held out; else on those of the fit.
    pub held_out: bool,
    pub less_is_better: bool,
    /// `non-zeros` or `leaves`.
    pub sizes: String,
    /// Points of the path.
    pub points: u64,
    /// `best`, `1se`, `knee`, `selected`, in this order, as far as they are there.
    pub marks: Vec<MarkOut>,
    /// The model without what makes it sparse, as far as the fit measured it.
    pub dense: Option<DenseOut>,
    /// Whether any point can be promoted.
    pub promotable: bool,
}

/// One point worth a name.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct MarkOut {
    pub name: String,
    /// To be promoted by.
    pub index: u64,
    pub size: u64,
    pub quality: f64,
    pub se: Option<f64>,
    /// λ, or α of a tree.
    pub strength: f64,
    /// Its size as a share of the best one's.
    pub size_share: Option<f64>,
    /// How much worse it is than the best, in the measure; 0 for the best.
    pub loss: f64,
    /// The same in standard errors of the best.
    pub loss_in_se: Option<f64>,
}

/// A dense model on the same rows.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct DenseOut {
    /// `ridge` or `unpruned tree`.
    pub what: String,
    pub size: u64,
    /// In the measure of the trade-off.
    pub quality: Option<f64>,
    pub se: Option<f64>,
}

/// A feature and what it counts for.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct FeatureOut {
    pub index: u32,
    pub name: String,
    pub value: f64,
    /// Of many classes: which one the coefficient is of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
}

/// A split of a tree.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct SplitOut {
    pub node: u64,
    /// Splits between it and the root.
    pub depth: u64,
    pub name: String,
    pub threshold: f64,
    /// Share of all rows' weight that comes to it.
    pub share: f64,
}

/// What it takes.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct BytesOut {
    pub stored: u64,
    pub memory: u64,
    pub parameters: u64,
}

/// The newest comparison that a model was part of.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct ComparisonOf {
    pub job: String,
    pub href: String,
    pub created_at: String,
    pub dataset: DatasetRef,
    pub score_name: String,
    /// Its rows.
    pub data: Vec<crate::model::ComparedModel>,
    pub recommendation: Option<Recommendation>,
}

/// A request to be sent.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct Hint {
    pub method: String,
    pub href: String,
    pub body: Value,
}

/// Where more is to be read.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct Link {
    pub name: String,
    pub href: String,
}

/// What the page of a comparison tells.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct ComparisonReport<'c> {
    pub job: String,
    pub finished_at: String,
    pub comparison: &'c Comparison,
    pub warnings: &'c [Warning],
}
