//! Ensembles: trees that are added up, one after the other; of more than two classes a sum for each.

mod forest;
mod predict;
mod stored;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Distilled, SizedQuality, TIME_LIMIT, Tradeoff, sparsity};
use crate::dataset::Class;
use crate::job::Warning;
use crate::spec::{NaturalLoss, ResolvedEnsemble};

pub use forest::Forest;
pub(super) use stored::VERSION;

/// An ensemble's content.
#[derive(Clone, Debug, PartialEq)]
pub struct EnsembleModel {
    /// Everything but the arrays.
    pub card: EnsembleCard,
    /// Round by round, in each one tree for every output.
    pub trees: Forest,
    /// Of each feature that is split on, rising, its share of what all splits explain of what the trees before left unexplained; they sum
    /// to 1 unless nothing was explained.
    pub importances: Vec<f64>,
}

/// Everything of an ensemble but its arrays and its place in the store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct EnsembleCard {
    /// How it was grown.
    pub fit: ResolvedEnsemble,
    /// The classes in the order of the outputs, of two the negative first; `None` where numbers are predicted.
    pub classes: Option<Vec<Class>>,
    /// What the trees of each output are added to: one number, or one for each of more than two classes.
    pub base: Vec<f64>,
    pub objective: String,
    pub sparsity: EnsembleSparsity,
    pub metrics: Value,
    /// How many trees are best, where rows held out said so.
    pub selection: Option<EnsembleSelection>,
    pub warnings: Vec<Warning>,
    pub engine: Value,
    /// Never yet: an ensemble has no path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promoted_from: Option<String>,
    /// Who taught it, where a job did that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distilled: Option<Distilled>,
}

impl EnsembleCard {
    /// Whether growing came to its end.
    pub fn converged(&self) -> bool {
        self.warnings.iter().all(|warning| warning.code != TIME_LIMIT)
    }
}

/// Which round was the best of those that were grown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct EnsembleSelection {
    /// `early_stopping`.
    pub method: String,
    pub fraction: f64,
    pub patience: u64,
    /// Rounds that are kept.
    pub best_round: u64,
    /// Mean loss of the rows held out before the first round and after each; empty where none of them has weight.
    pub held_out_loss: Vec<f64>,
    /// Leaves of all trees, before the first round and after each.
    pub leaves: Vec<u64>,
}

/// How small an ensemble is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct EnsembleSparsity {
    pub n_features: u64,
    /// Leaves of all trees.
    pub size: u64,
    pub leaves: u64,
    pub nodes: u64,
    /// Trees: as many as rounds, or for more than two classes one for each class and round.
    pub n_trees: u64,
    /// Most splits between a root and a leaf.
    pub depth: u64,
    /// Features that are split on.
    pub features_active: u64,
    /// Share of the features that are not split on.
    pub sparsity_ratio: f64,
    /// SHA-256 of the sorted features that are split on, hex.
    pub support_hash: String,
    /// Bytes of the trees in the stored form.
    pub node_bytes: u64,
}

impl EnsembleSparsity {
    /// Measures trees over `n_features`.
    pub fn of(trees: &Forest, n_features: u64) -> Self {
        let used = trees.features_used();
        Self {
            n_features,
            size: trees.n_leaves() as u64,
            leaves: trees.n_leaves() as u64,
            nodes: trees.n_nodes() as u64,
            n_trees: trees.len() as u64,
            depth: u64::from(trees.depth()),
            features_active: used.len() as u64,
            sparsity_ratio: sparsity::share(n_features.saturating_sub(used.len() as u64), n_features),
            support_hash: sparsity::support_hash(&used),
            node_bytes: Forest::bytes_of(trees.len(), trees.n_nodes()).map_or(u64::MAX, |bytes| bytes as u64),
        }
    }
}

impl EnsembleModel {
    /// The predictors of a row, one for each output, in `outputs`: by what it holds at each node's feature; `x` is asked with nodes that are
    /// split. Trees are added in their order.
    pub(crate) fn score(&self, x: impl Fn(usize) -> f64, outputs: &mut Vec<f64>) {
        outputs.clear();
        outputs.extend_from_slice(&self.card.base);
        let width = outputs.len();
        for tree in 0..self.trees.len() {
            outputs[tree % width] += self.trees.value(tree, &x);
        }
    }

    /// What more trees bring, on the rows held out; `None` where there were none, or nothing was grown.
    pub fn tradeoff(&self) -> Option<Tradeoff> {
        let selection = self.card.selection.as_ref().filter(|selection| selection.held_out_loss.len() > 1)?;
        let (measure, times) = if self.card.fit.loss == NaturalLoss::Squared { ("mse", 2.0) } else { ("log_loss", 1.0) };
        let sized = |(&size, &loss): (&u64, &f64)| SizedQuality { size, quality: times * loss, se: None };
        let rows = selection.leaves.iter().zip(&selection.held_out_loss).map(sized).collect();
        Some(Tradeoff::of(measure, true, true, rows))
    }
}
