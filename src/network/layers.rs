//! Weights: how a network begins, and which of them are kept.

use super::clock::Clock;
use super::loss::base;
use super::train::Data;
use super::{Activation, Unfit};
use crate::numeric::SplitMix64;

/// Most hidden layers.
pub(crate) const MOST_HIDDEN: usize = 3;
/// Most weights of a layer that are counted.
const MOST_WEIGHTS: usize = 1 << 40;

/// One layer: every input (or unit of the layer before) meets every output.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Layer {
    /// Numbers that come in.
    pub inputs: usize,
    /// Numbers that go out.
    pub outputs: usize,
    /// Weight from input `i` to output `k` at `i·outputs + k`.
    pub weights: Vec<f64>,
    /// One an output.
    pub biases: Vec<f64>,
}

/// A feed-forward network.
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    /// Of the hidden layers; the last layer has none.
    pub activation: Activation,
    /// From the inputs to the outputs: one more than there are hidden layers.
    pub layers: Vec<Layer>,
}

/// Which weights may be other than 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// A flag for each weight of each layer, in the order of [`Layer::weights`].
    pub layers: Vec<Vec<bool>>,
}

impl Network {
    /// A network to begin with: uniform within ±1/√fan as `torch.nn.Linear`, where the fan of the first layer is the mean of
    /// Σx² of a row, which for sparse rows is far below the number of inputs. Inputs without an entry on any row to learn from
    /// have weights 0. Hidden biases are 0, the last ones what is best without inputs.
    pub(crate) fn fresh(data: &Data, hidden: &[usize], activation: Activation, seed: u64, clock: &mut Clock) -> Result<Self, Unfit> {
        let outputs = data.target.outputs();
        let mut widths = vec![data.x.n_inputs()];
        widths.extend(hidden);
        widths.push(outputs);
        let countable = widths.windows(2).all(|pair| pair[0].checked_mul(pair[1]).is_some_and(|n| n <= MOST_WEIGHTS));
        if hidden.is_empty() || hidden.len() > MOST_HIDDEN || hidden.contains(&0) || !countable {
            return Err(Unfit::Shape);
        }
        let mut seen = vec![false; data.x.n_inputs()];
        let mut energy = 0.0;
        for &row in data.rows {
            let (inputs, values) = data.x.row(row);
            inputs.iter().for_each(|&i| seen[i as usize] = true);
            energy += values.iter().map(|x| x * x).sum::<f64>();
        }
        let mut random = SplitMix64(seed);
        let mut layers = Vec::with_capacity(widths.len() - 1);
        for (l, pair) in widths.windows(2).enumerate() {
            let (inputs, outputs) = (pair[0], pair[1]);
            let fan = if l == 0 { energy / data.rows.len().max(1) as f64 } else { inputs as f64 };
            let bound = if fan > 0.0 && fan.is_finite() { 1.0 / fan.sqrt() } else { 0.0 };
            let mut weights = Vec::with_capacity(inputs * outputs);
            // of the layers above every unit is in use
            let used = seen.iter().copied().chain(std::iter::repeat(true)).skip(if l == 0 { 0 } else { seen.len() });
            for used in used.take(inputs) {
                clock.work(8 * outputs).map_err(|_| Unfit::Stopped)?;
                let bound = if used { bound } else { 0.0 };
                weights.extend((0..outputs).map(|_| bound * random.symmetric()));
            }
            layers.push(Layer { inputs, outputs, weights, biases: vec![0.0; outputs] });
        }
        if let Some(last) = layers.last_mut() {
            last.biases = base(data);
        }
        Ok(Self { activation, layers })
    }

    /// Checks what the types do not say.
    pub(crate) fn check(&self, n_inputs: usize, n_outputs: usize) -> Result<(), Unfit> {
        let lengths = |layer: &Layer| {
            layer.inputs.checked_mul(layer.outputs) == Some(layer.weights.len()) && layer.biases.len() == layer.outputs && layer.outputs > 0
        };
        let joined = self.layers.windows(2).all(|pair| pair[0].outputs == pair[1].inputs);
        let ends = self.layers.first().is_some_and(|layer| layer.inputs == n_inputs)
            && self.layers.last().is_some_and(|layer| layer.outputs == n_outputs);
        if !joined || !ends || self.layers.len() < 2 || self.layers.len() > MOST_HIDDEN + 1 || !self.layers.iter().all(lengths) {
            return Err(Unfit::Shape);
        }
        let finite = |layer: &Layer| layer.weights.iter().chain(&layer.biases).all(|number| number.is_finite());
        if self.layers.iter().all(finite) { Ok(()) } else { Err(Unfit::Range) }
    }

    /// Number of weights that are not 0, biases aside.
    pub fn nonzeros(&self) -> usize {
        self.layers.iter().flat_map(|layer| &layer.weights).filter(|weight| **weight != 0.0).count()
    }

    /// Sets what is not kept to 0.
    ///
    /// # Errors
    /// [`Unfit::Shape`] for the flags of another network.
    pub fn mask(&mut self, kept: &Kept) -> Result<(), Unfit> {
        kept.check(self)?;
        for (layer, kept) in self.layers.iter_mut().zip(&kept.layers) {
            layer.weights.iter_mut().zip(kept).filter(|(_, kept)| !**kept).for_each(|(weight, _)| *weight = 0.0);
        }
        Ok(())
    }
}

impl Kept {
    /// Everything.
    pub fn all(network: &Network) -> Self {
        Self { layers: network.layers.iter().map(|layer| vec![true; layer.weights.len()]).collect() }
    }

    /// What is not 0: so what a sparse network has is trained further, and nothing else.
    pub fn nonzero(network: &Network) -> Self {
        Self { layers: network.layers.iter().map(|layer| layer.weights.iter().map(|weight| *weight != 0.0).collect()).collect() }
    }

    /// Number of weights kept.
    pub fn count(&self) -> usize {
        self.layers.iter().flatten().filter(|kept| **kept).count()
    }

    pub(crate) fn check(&self, network: &Network) -> Result<(), Unfit> {
        let lengths = |(kept, layer): (&Vec<bool>, &Layer)| kept.len() == layer.weights.len();
        let fits = self.layers.len() == network.layers.len() && self.layers.iter().zip(&network.layers).all(lengths);
        if fits { Ok(()) } else { Err(Unfit::Shape) }
    }
}
