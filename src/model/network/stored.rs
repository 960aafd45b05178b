//! The stored form of a network: bytes ⇄ [`NetworkModel`]. Begins and ends as every model file does.
//!
//! ```text
//! "SPFMODEL", version 6, reserved, head: as of other models
//! layers      u64
//! JSON        {"card":…,"inputs":n,"layers":[{"inputs":…,"outputs":…,"nonzeros":null | n},…]}, then zeros up to a multiple of 8
//! inputs      features u32 each, filled up to 8 bytes, scales f64 each
//! layers      one after the other: biases f64 each; then, dense, all weights f64 each by rows of inputs, or, as CSR (`nonzeros`
//!             is a number), starts u32 each, outputs u32 each, filled up to 8 bytes, values f64 each
//! checksum    SHA-256 of all bytes before it
//! ```

use serde::{Deserialize, Serialize};

use super::super::frame::{self, Reader, Start, damaged};
use super::{Layer, NetworkCard, NetworkModel, Weights};
use crate::dataset::Damaged;

/// Version of the files of networks.
pub(in crate::model) const VERSION: u32 = 6;

#[derive(Serialize)]
struct HeadOut<'a> {
    card: &'a NetworkCard,
    inputs: usize,
    layers: Vec<LayerHead>,
}

#[derive(Deserialize)]
struct HeadIn {
    card: NetworkCard,
    inputs: usize,
    layers: Vec<LayerHead>,
}

/// The lengths of a layer's arrays.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct LayerHead {
    inputs: usize,
    outputs: usize,
    nonzeros: Option<usize>,
}

impl NetworkModel {
    /// The stored form: the same bytes for the same model.
    pub fn encode(&self) -> Vec<u8> {
        debug_assert_eq!(self.check(), Ok(()));
        let layers = self.layers.iter().map(LayerHead::of).collect();
        let head = HeadOut { card: &self.card, inputs: self.inputs.len(), layers };
        let mut bytes = frame::start(VERSION, &head, self.layers.len());
        put_arrays(&mut bytes, &self.inputs, &self.scales, &self.layers);
        frame::seal(bytes)
    }

    pub(in crate::model) fn read(bytes: &[u8], start: &Start) -> Result<Self, Damaged> {
        let head: HeadIn = serde_json::from_slice(&bytes[start.head.clone()]).map_err(|e| damaged(format!("its head: {e}")))?;
        let mut reader = Reader(&bytes[start.arrays.clone()]);
        let arrays = reader.arrays(head.inputs, &head.layers).filter(|_| reader.0.is_empty() && head.layers.len() == start.count);
        let (inputs, scales, layers) = arrays.ok_or_else(|| damaged("its lengths do not agree"))?;
        let model = Self { card: head.card, inputs, scales, layers };
        model.check().map_err(damaged)?;
        Ok(model)
    }

    /// What must hold of every network before it is stored.
    pub fn check(&self) -> Result<(), &'static str> {
        let sparsity = &self.card.sparsity;
        check_arrays(&self.inputs, &self.scales, &self.layers, sparsity.n_features)?;
        let outputs = self.card.classes.as_ref().map_or(1, |classes| if classes.len() == 2 { 1 } else { classes.len() });
        if self.layers.last().is_none_or(|last| last.outputs() != outputs) {
            return Err("its classes do not agree");
        }
        let nonzeros: u64 = self.layers.iter().map(Layer::nonzeros).sum();
        if sparsity.nonzeros != nonzeros
            || sparsity.layers.len() != self.layers.len()
            || self.layers.len() != self.card.fit.hidden.len() + 1
        {
            return Err("its lengths do not agree");
        }
        if [self.card.center, self.card.spread].into_iter().all(f64::is_finite) { Ok(()) } else { Err("a number is not finite") }
    }
}

/// What must hold of the arrays of a network over so many features.
pub(super) fn check_arrays(inputs: &[u32], scales: &[f64], layers: &[Layer], n_features: u64) -> Result<(), &'static str> {
    if inputs.windows(2).any(|pair| pair[0] >= pair[1]) || inputs.last().is_some_and(|last| u64::from(*last) >= n_features) {
        return Err("the features do not rise or leave the feature space");
    }
    if inputs.len() != scales.len() || layers.first().is_none_or(|first| first.inputs != inputs.len()) {
        return Err("the lengths of its arrays do not agree");
    }
    if layers.windows(2).any(|pair| pair[0].outputs() != pair[1].inputs) {
        return Err("its layers do not follow one another");
    }
    for layer in layers {
        let (inputs, width) = (layer.inputs, layer.outputs());
        let values = match &layer.weights {
            Weights::Dense(weights) if Some(weights.len()) == inputs.checked_mul(width) => weights,
            Weights::Csr { starts, outputs, values } => {
                let rows = starts.windows(2).all(|ends| {
                    let row = outputs.get(ends[0] as usize..ends[1] as usize);
                    row.is_some_and(|row| {
                        row.windows(2).all(|pair| pair[0] < pair[1]) && row.last().is_none_or(|last| (*last as usize) < width)
                    })
                });
                let ends = (starts.first().copied(), starts.last().map(|end| *end as usize));
                if starts.len() != inputs + 1 || ends != (Some(0), Some(values.len())) || outputs.len() != values.len() || !rows {
                    return Err("the rows of a layer do not agree");
                }
                if values.contains(&0.0) {
                    return Err("a weight is zero");
                }
                values
            }
            Weights::Dense(_) => return Err("the lengths of its arrays do not agree"),
        };
        if !values.iter().chain(&layer.biases).all(|number| number.is_finite()) {
            return Err("a weight is not finite");
        }
    }
    if scales.iter().all(|scale| scale.is_finite() && *scale > 0.0) { Ok(()) } else { Err("a scale is not positive") }
}

impl LayerHead {
    pub(super) fn of(layer: &Layer) -> Self {
        let nonzeros = if let Weights::Csr { values, .. } = &layer.weights { Some(values.len()) } else { None };
        Self { inputs: layer.inputs, outputs: layer.outputs(), nonzeros }
    }
}

/// Writes the arrays of a network.
pub(super) fn put_arrays(bytes: &mut Vec<u8>, inputs: &[u32], scales: &[f64], layers: &[Layer]) {
    let words = |bytes: &mut Vec<u8>, words: &[u32]| words.iter().for_each(|word| bytes.extend_from_slice(&word.to_le_bytes()));
    frame::put_words(bytes, inputs);
    frame::put_reals(bytes, scales);
    for layer in layers {
        frame::put_reals(bytes, &layer.biases);
        match &layer.weights {
            Weights::Dense(weights) => frame::put_reals(bytes, weights),
            Weights::Csr { starts, outputs, values } => {
                words(bytes, starts);
                words(bytes, outputs);
                frame::pad(bytes);
                frame::put_reals(bytes, values);
            }
        }
    }
}

/// Inputs, their scales, layers.
pub(super) type Arrays = (Vec<u32>, Vec<f64>, Vec<Layer>);

impl Reader<'_> {
    /// The arrays of one network.
    pub(super) fn arrays(&mut self, inputs: usize, layers: &[LayerHead]) -> Option<Arrays> {
        let features = self.words(inputs)?;
        let scales = self.reals(inputs)?;
        let layers: Option<Vec<Layer>> = layers.iter().map(|head| self.layer(head)).collect();
        Some((features, scales, layers?))
    }

    fn layer(&mut self, head: &LayerHead) -> Option<Layer> {
        let biases = self.reals(head.outputs)?;
        let weights = match head.nonzeros {
            None => Weights::Dense(self.reals(head.inputs.checked_mul(head.outputs)?)?),
            Some(nonzeros) => {
                let rows = head.inputs.checked_add(1)?;
                let mut starts = self.words(rows.checked_add(nonzeros)?)?;
                let outputs = starts.split_off(rows);
                Weights::Csr { starts, outputs, values: self.reals(nonzeros)? }
            }
        };
        Some(Layer { inputs: head.inputs, weights, biases })
    }
}
