//! What is told of an ensemble and of nothing else.

use serde::Serialize;
use serde_json::Value;

use super::trees::{NOT_APPLICABLE, NotApplicable};
use crate::dataset::Class;
use crate::job::Warning;
use crate::model::{EnsembleCard, EnsembleSelection, EnsembleSparsity};
use crate::spec::EarlyStopping;

/// What is told of an ensemble.
#[derive(Serialize)]
pub(crate) struct EnsembleOut<'a> {
    loss: &'static str,
    classes: &'a Option<Vec<Class>>,
    engine: &'a Value,
    objective: &'a str,
    base: &'a [f64],
    n_trees: u64,
    learning_rate: f64,
    max_leaves: u64,
    subsample: f64,
    min_leaf_weight: Option<f64>,
    seed: u64,
    early_stopping: Option<EarlyStopping>,
    sparsity: &'a EnsembleSparsity,
    metrics: &'a Value,
    selection: &'a Option<EnsembleSelection>,
    certificate: NotApplicable,
    warnings: &'a [Warning],
}

pub(crate) fn card(card: &EnsembleCard) -> EnsembleOut<'_> {
    EnsembleOut {
        loss: card.fit.loss.name(),
        classes: &card.classes,
        engine: &card.engine,
        objective: &card.objective,
        base: &card.base,
        n_trees: card.fit.n_trees,
        learning_rate: card.fit.learning_rate,
        max_leaves: card.fit.max_leaves,
        subsample: card.fit.subsample,
        min_leaf_weight: card.fit.min_leaf_weight,
        seed: card.fit.seed,
        early_stopping: card.fit.early_stopping,
        sparsity: &card.sparsity,
        metrics: &card.metrics,
        selection: &card.selection,
        certificate: NOT_APPLICABLE,
        warnings: &card.warnings,
    }
}
