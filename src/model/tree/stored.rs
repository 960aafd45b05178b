//! The stored form of a tree model: bytes ⇄ [`TreeModel`]. Begins and ends as every model file does.
//!
//! ```text
//! "SPFMODEL", version 3, reserved, head: as of other models
//! nodes       u64
//! JSON        {"card":…,"width":…}, then zeros up to a multiple of 8
//! nodes       features and right children u32 each, thresholds, values, weights, impurities f64 each
//! checksum    SHA-256 of all bytes before it
//! ```

use serde::{Deserialize, Serialize};

use super::super::frame::{self, Start, damaged};
use super::{Nodes, TreeCard, TreeModel};
use crate::dataset::Damaged;

/// Version of the files of trees.
pub(in crate::model) const VERSION: u32 = 3;

#[derive(Serialize)]
struct HeadOut<'a> {
    card: &'a TreeCard,
    width: usize,
}

#[derive(Deserialize)]
struct HeadIn {
    card: TreeCard,
    width: usize,
}

impl TreeModel {
    /// The stored form: the same bytes for the same model.
    pub fn encode(&self) -> Vec<u8> {
        debug_assert_eq!(self.check(), Ok(()));
        let head = HeadOut { card: &self.card, width: self.nodes.width };
        let mut bytes = frame::start(VERSION, &head, self.nodes.len());
        self.nodes.put(&mut bytes);
        frame::seal(bytes)
    }

    pub(in crate::model) fn read(bytes: &[u8], start: &Start) -> Result<Self, Damaged> {
        let head: HeadIn = serde_json::from_slice(&bytes[start.head.clone()]).map_err(|e| damaged(format!("its head: {e}")))?;
        let nodes = Nodes::read(&bytes[start.arrays.clone()], start.count, head.width);
        let model = Self { card: head.card, nodes: nodes.ok_or_else(|| damaged("its lengths do not agree"))? };
        model.check().map_err(damaged)?;
        Ok(model)
    }

    /// What must hold of every tree model before it is stored.
    pub fn check(&self) -> Result<(), &'static str> {
        self.nodes.check(self.card.sparsity.n_features)?;
        if self.card.sparsity.leaves != self.nodes.n_leaves() as u64 {
            return Err("its lengths do not agree");
        }
        if self.card.classes.as_ref().map_or(1, Vec::len) != self.nodes.width {
            return Err("its classes do not agree");
        }
        // what is JSON already cannot hold another
        let numbers = [self.card.ccp_alpha, self.card.sparsity.sparsity_ratio];
        if numbers.into_iter().all(f64::is_finite) { Ok(()) } else { Err("a number is not finite") }
    }
}
