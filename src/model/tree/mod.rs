//! Tree models: what a grown and pruned tree leaves behind, and the path of prunings it was chosen from.
//!
//! A model holds the nodes that are left and nothing of those that were cut. The whole tree and its path lie in a file of their own
//! ([`TreePath`]), which serving never loads, and which the versions promoted from it share.

mod nodes;
mod path;
mod predict;
mod stored;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Distilled, TIME_LIMIT, sparsity};
use crate::dataset::Class;
use crate::job::Warning;

pub use nodes::Nodes;
pub use path::{GrownTree, TreeCv, TreeCvRow, TreePath, TreePathRow};
pub(super) use stored::VERSION;

/// A tree model's content.
#[derive(Clone, Debug, PartialEq)]
pub struct TreeModel {
    /// Everything but the nodes.
    pub card: TreeCard,
    /// The nodes that are left.
    pub nodes: Nodes,
}

impl TreeModel {
    /// What the score of a tree on the rows it was grown on is.
    pub fn train_score(&self) -> &'static str {
        match self.card.classes.as_deref() {
            None => "r2",
            Some([_, _]) => "auc",
            Some(_) => "accuracy",
        }
    }
}

/// Everything of a tree model but its nodes and its place in the store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct TreeCard {
    /// `squared`, `gini` or `entropy`.
    pub criterion: String,
    /// The classes, in the order of their shares; `None` where numbers are predicted.
    pub classes: Option<Vec<Class>>,
    /// What growing and pruning make small.
    pub objective: String,
    /// The α from which on this is the best pruning; 0 = nothing was pruned.
    pub ccp_alpha: f64,
    pub sparsity: TreeSparsity,
    pub metrics: Value,
    pub selection: Option<Value>,
    pub warnings: Vec<Warning>,
    pub engine: Value,
    /// The version, `name:n`, from whose path it was promoted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promoted_from: Option<String>,
    /// What it was made of, where a job pruned it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pruned: Option<PrunedFrom>,
    /// Who taught it, where a job did that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distilled: Option<Distilled>,
}

/// The tree that a job pruned, and what became of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct PrunedFrom {
    /// The version, `name:n`.
    pub base: String,
    /// `ccp` or `reduced_error`.
    pub method: String,
    pub leaves_before: u64,
    pub leaves: u64,
    /// Bytes of the nodes in the stored form.
    pub node_bytes_before: u64,
    pub node_bytes: u64,
    /// Bytes of the whole stored model that was pruned.
    pub size_bytes_before: u64,
    /// On the rows of the job, as an evaluation measures it; `None` where it is not defined on them.
    pub score_before: Option<f64>,
    pub score: Option<f64>,
}

impl TreeCard {
    /// Bytes that its nodes take in the stored form.
    pub fn node_bytes(&self) -> u64 {
        let (nodes, width) = (usize::try_from(self.sparsity.nodes).unwrap_or(usize::MAX), self.classes.as_ref().map_or(1, Vec::len));
        Nodes::bytes_of(nodes, width).map_or(u64::MAX, |bytes| bytes as u64)
    }

    /// Whether the fit came to its end.
    pub fn converged(&self) -> bool {
        self.warnings.iter().all(|warning| warning.code != TIME_LIMIT)
    }
}

/// How small a tree is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct TreeSparsity {
    pub n_features: u64,
    /// Leaves.
    pub size: u64,
    pub leaves: u64,
    pub nodes: u64,
    /// Most splits between the root and a leaf.
    pub depth: u64,
    /// Features that are split on.
    pub features_active: u64,
    /// Share of the features that are not split on.
    pub sparsity_ratio: f64,
    /// SHA-256 of the sorted features that are split on, hex.
    pub support_hash: String,
    /// The tree before it was pruned.
    pub unpruned: Unpruned,
}

/// What a tree was before it was pruned.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Unpruned {
    pub leaves: u64,
    pub depth: u64,
    /// Bytes of its nodes as they would be stored.
    pub node_bytes: u64,
}

impl Unpruned {
    /// Of a tree as it was grown.
    pub fn of(nodes: &Nodes) -> Self {
        Self { leaves: nodes.n_leaves() as u64, depth: u64::from(nodes.depth()), node_bytes: nodes.stored_bytes() }
    }
}

impl TreeSparsity {
    /// Measures a tree over `n_features`, pruned from one that was as `unpruned` says.
    pub fn of(nodes: &Nodes, n_features: u64, unpruned: Unpruned) -> Self {
        let used = nodes.features_used();
        Self {
            n_features,
            size: nodes.n_leaves() as u64,
            leaves: nodes.n_leaves() as u64,
            nodes: nodes.len() as u64,
            depth: u64::from(nodes.depth()),
            features_active: used.len() as u64,
            sparsity_ratio: sparsity::share(n_features.saturating_sub(used.len() as u64), n_features),
            support_hash: sparsity::support_hash(&used),
            unpruned,
        }
    }
}
