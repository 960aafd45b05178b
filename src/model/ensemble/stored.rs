//! The stored form of an ensemble: bytes ⇄ [`EnsembleModel`]. Begins and ends as every model file does.
//!
//! ```text
//! "SPFMODEL", version 7, reserved, head: as of other models
//! trees       u64
//! JSON        {"card":…,"nodes":…,"features":…}, then zeros up to a multiple of 8
//! trees       first nodes u32 each; then of all nodes features and right children u32 each, each filled up to 8 bytes;
//!             thresholds or values f64 each
//! features    importances f64 each, of those that are split on
//! checksum    SHA-256 of all bytes before it
//! ```

use serde::{Deserialize, Serialize};

use super::super::frame::{self, Start, damaged};
use super::{EnsembleCard, EnsembleModel, Forest};
use crate::dataset::Damaged;

/// Version of the files of ensembles.
pub(in crate::model) const VERSION: u32 = 7;

#[derive(Serialize)]
struct HeadOut<'a> {
    card: &'a EnsembleCard,
    nodes: usize,
    features: usize,
}

#[derive(Deserialize)]
struct HeadIn {
    card: EnsembleCard,
    nodes: usize,
    features: usize,
}

impl EnsembleModel {
    /// The stored form: the same bytes for the same model.
    pub fn encode(&self) -> Vec<u8> {
        debug_assert_eq!(self.check(), Ok(()));
        let head = HeadOut { card: &self.card, nodes: self.trees.n_nodes(), features: self.importances.len() };
        let mut bytes = frame::start(VERSION, &head, self.trees.len());
        for words in [&self.trees.starts, &self.trees.features, &self.trees.rights] {
            frame::put_words(&mut bytes, words);
        }
        for reals in [&self.trees.numbers, &self.importances] {
            frame::put_reals(&mut bytes, reals);
        }
        frame::seal(bytes)
    }

    pub(in crate::model) fn read(bytes: &[u8], start: &Start) -> Result<Self, Damaged> {
        let head: HeadIn = serde_json::from_slice(&bytes[start.head.clone()]).map_err(|e| damaged(format!("its head: {e}")))?;
        let arrays = arrays(&bytes[start.arrays.clone()], start.count, head.nodes, head.features);
        let (trees, importances) = arrays.ok_or_else(|| damaged("its lengths do not agree"))?;
        let model = Self { card: head.card, trees, importances };
        model.check().map_err(damaged)?;
        Ok(model)
    }

    /// What must hold of every ensemble before it is stored.
    pub fn check(&self) -> Result<(), &'static str> {
        let sparsity = &self.card.sparsity;
        self.trees.check(sparsity.n_features)?;
        let outputs = self.card.classes.as_ref().map_or(1, |classes| if classes.len() == 2 { 1 } else { classes.len() });
        if outputs == 0 || self.card.base.len() != outputs || !self.trees.len().is_multiple_of(outputs) {
            return Err("its classes do not agree");
        }
        let lengths = [sparsity.leaves, sparsity.n_trees, sparsity.features_active];
        if lengths != [self.trees.n_leaves(), self.trees.len(), self.importances.len()].map(|length| length as u64)
            || self.trees.features_used().len() != self.importances.len()
        {
            return Err("its lengths do not agree");
        }
        let losses = self.card.selection.iter().flat_map(|selection| &selection.held_out_loss);
        let numbers = self.card.base.iter().chain(&self.importances).chain(losses);
        if numbers.into_iter().all(|number| number.is_finite()) { Ok(()) } else { Err("a number is not finite") }
    }
}

/// The trees and importances that these bytes are.
fn arrays(bytes: &[u8], trees: usize, nodes: usize, features: usize) -> Option<(Forest, Vec<f64>)> {
    let mut reader = frame::Reader(bytes);
    let (starts, of_nodes, rights) = (reader.words(trees)?, reader.words(nodes)?, reader.words(nodes)?);
    let (numbers, importances) = (reader.reals(nodes)?, reader.reals(features)?);
    reader.0.is_empty().then_some((Forest { starts, features: of_nodes, rights, numbers }, importances))
}
