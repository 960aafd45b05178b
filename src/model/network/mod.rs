//! Networks: layers of weights of which only those that are not 0 are left, and what prediction needs of them.
//!
//! A model holds no unit and no input that nothing reads, and no weight that is 0 in a layer that is sparse enough.

mod layer;
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
use crate::numeric::tanh;
use crate::spec::{Activation, ResolvedNetwork};

pub use layer::{DENSE_FROM, Layer, Weights};
pub use path::{KeptNetwork, NetworkPath, NetworkPathRow};
pub(super) use stored::VERSION;

/// A network's content.
#[derive(Clone, Debug, PartialEq)]
pub struct NetworkModel {
    /// Everything but the arrays.
    pub card: NetworkCard,
    /// Features that it reads, rising.
    pub inputs: Vec<u32>,
    /// What each of them is multiplied with before its weights: 1 / its root mean square over the rows of the fit.
    pub scales: Vec<f64>,
    /// From the inputs to the outputs.
    pub layers: Vec<Layer>,
}

/// Everything of a network but its arrays and its place in the store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct NetworkCard {
    /// How it was trained; pruning goes on so.
    pub fit: ResolvedNetwork,
    /// The classes in the order of the outputs, of two the negative first; `None` where numbers are predicted.
    pub classes: Option<Vec<Class>>,
    /// A prediction of numbers is `center` + `spread` · output.
    pub center: f64,
    pub spread: f64,
    pub objective: String,
    pub sparsity: NetworkSparsity,
    pub metrics: Value,
    pub selection: Option<Value>,
    pub warnings: Vec<Warning>,
    pub engine: Value,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promoted_from: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pruned: Option<NetworkPruned>,
    /// Who taught it, where a job did that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distilled: Option<Distilled>,
}

impl NetworkCard {
    /// Whether training came to its end.
    pub fn converged(&self) -> bool {
        self.warnings.iter().all(|warning| warning.code != TIME_LIMIT)
    }
}

/// How a network was made smaller.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct NetworkPruned {
    /// `name:n`.
    pub base: String,
    pub method: String,
    /// On rows held out, of the base and of what is left.
    pub score_before: Option<f64>,
    pub score: Option<f64>,
}

/// How small a network is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct NetworkSparsity {
    pub n_features: u64,
    /// Weights that are not 0.
    pub size: u64,
    pub nonzeros: u64,
    /// Of the network before anything was removed, over all features of the data set.
    pub weights: u64,
    /// Share of the weights that are 0 or gone.
    pub sparsity_ratio: f64,
    pub features_active: u64,
    /// SHA-256 of the features that are read, hex.
    pub support_hash: String,
    pub layers: Vec<LayerSparsity>,
}

/// One layer of a network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct LayerSparsity {
    pub index: u64,
    /// Inputs and outputs that are left.
    pub shape: [u64; 2],
    /// As it was trained, over all features of the data set.
    pub shape_before: [u64; 2],
    pub nonzeros: u64,
    /// Share of the weights of `shape_before` that are 0 or gone.
    pub sparsity_ratio: f64,
    pub removed_inputs: u64,
    /// Units of this layer that are gone.
    pub removed_neurons: u64,
    /// `dense` or `csr`.
    pub format: String,
    /// Of its weights and biases.
    pub bytes: u64,
}

impl NetworkSparsity {
    /// Measures layers over `n_features`, of which `inputs` are read; `hidden` and `outputs` are the units before anything was removed.
    pub fn of(layers: &[Layer], inputs: &[u32], n_features: u64, hidden: &[u64], outputs: u64) -> Self {
        let before: Vec<u64> = std::iter::once(n_features).chain(hidden.iter().copied()).chain([outputs]).collect();
        let one = |(index, (layer, pair)): (usize, (&Layer, &[u64]))| {
            let (shape_before, shape) = ([pair[0], pair[1]], [layer.inputs as u64, layer.outputs() as u64]);
            let (all, nonzeros) = (pair[0].saturating_mul(pair[1]), layer.nonzeros());
            LayerSparsity {
                index: index as u64,
                shape,
                shape_before,
                nonzeros,
                sparsity_ratio: sparsity::share(all.saturating_sub(nonzeros), all),
                removed_inputs: pair[0].saturating_sub(shape[0]),
                removed_neurons: pair[1].saturating_sub(shape[1]),
                format: layer.format().into(),
                bytes: layer.bytes(),
            }
        };
        let layers: Vec<LayerSparsity> = layers.iter().zip(before.windows(2)).enumerate().map(one).collect();
        let weights =
            layers.iter().fold(0_u64, |sum, layer| sum.saturating_add(layer.shape_before[0].saturating_mul(layer.shape_before[1])));
        let nonzeros = layers.iter().map(|layer| layer.nonzeros).sum();
        Self {
            n_features,
            size: nonzeros,
            nonzeros,
            weights,
            sparsity_ratio: sparsity::share(weights.saturating_sub(nonzeros), weights),
            features_active: inputs.len() as u64,
            support_hash: sparsity::support_hash(inputs),
            layers,
        }
    }
}

impl NetworkModel {
    /// What its score is: as of a tree, and of every model.
    pub fn score(&self) -> &'static str {
        match self.card.classes.as_deref() {
            None => "r2",
            Some([_, _]) => "auc",
            Some(_) => "accuracy",
        }
    }

    /// The model with its sparsity measured anew.
    pub fn measured(mut self) -> Self {
        let outputs = self.layers.last().map_or(0, Layer::outputs) as u64;
        self.card.sparsity = NetworkSparsity::of(&self.layers, &self.inputs, self.card.sparsity.n_features, &self.card.fit.hidden, outputs);
        self
    }

    /// Of each input the norm of its weights, as scaled inputs have them.
    pub fn strengths(&self) -> Vec<f64> {
        let Some(first) = self.layers.first() else { return Vec::new() };
        let norm = |row: &[f64]| row.iter().map(|weight| weight * weight).sum::<f64>().sqrt();
        first.dense().chunks(first.outputs().max(1)).map(norm).collect()
    }

    /// The outputs of one row, in `state.outputs`: its entries by place among the inputs, rising.
    pub fn forward(&self, row: impl Iterator<Item = (usize, f64)>, state: &mut State) {
        let State { outputs, inputs } = state;
        self.first(row, outputs);
        for layer in self.layers.iter().skip(1) {
            std::mem::swap(outputs, inputs);
            self.deeper(layer, inputs, outputs);
        }
    }

    /// The sums of the first layer for one row: its entries by place among the inputs, rising.
    pub fn first(&self, row: impl Iterator<Item = (usize, f64)>, sums: &mut Vec<f64>) {
        sums.clear();
        let Some(first) = self.layers.first() else { return };
        sums.extend_from_slice(&first.biases);
        for (input, value) in row {
            first.weights.add(input, value * self.scales[input], sums);
        }
    }

    /// The sums of a layer that is not the first, from those of the one `before` it.
    pub fn deeper(&self, layer: &Layer, before: &[f64], sums: &mut Vec<f64>) {
        sums.clear();
        sums.extend_from_slice(&layer.biases);
        for (input, sum) in before.iter().enumerate() {
            let value = match self.card.fit.activation {
                // not lost: it goes through to every output
                _ if !sum.is_finite() => f64::NAN,
                Activation::Relu => sum.max(0.0),
                Activation::Tanh => tanh(*sum),
            };
            if value != 0.0 {
                layer.weights.add(input, value, sums);
            }
        }
    }
}

/// Sums of a layer and of the one before it, kept from row to row.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// Of the last layer.
    pub outputs: Vec<f64>,
    inputs: Vec<f64>,
}
