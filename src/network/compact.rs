//! What is left of a network: idle units and inputs cut. It says what the network says.

use super::{Activation, Layer, Network};

/// A network cut down to what it uses.
#[derive(Clone, Debug, PartialEq)]
pub struct Compact {
    /// Of the hidden layers.
    pub activation: Activation,
    /// Which inputs of the network are used, rising: the inputs of the first layer here.
    pub inputs: Vec<u32>,
    /// From them to the outputs. A hidden layer may be left without units.
    pub layers: Vec<Layer>,
    /// Units cut from each hidden layer.
    pub cut: Vec<usize>,
}

impl Compact {
    /// Cuts a network: a unit that nothing comes in to says the same of every row, which goes into the biases of the next layer;
    /// a unit or input that goes nowhere is dropped.
    pub fn of(network: &Network) -> Self {
        let hidden = network.layers.len() - 1;
        let mut biases: Vec<Vec<f64>> = network.layers.iter().map(|layer| layer.biases.clone()).collect();
        let mut alive: Vec<Vec<bool>> = network.layers.iter().map(|layer| vec![true; layer.outputs]).collect();
        // what is constant is found from below, what is unused from above
        for l in 0..hidden {
            let heard = heard(&network.layers[l], l.checked_sub(1).map(|below| &alive[below][..]));
            for unit in (0..network.layers[l].outputs).filter(|&unit| !heard[unit]) {
                alive[l][unit] = false;
                let mut constant = [biases[l][unit]];
                network.activation.apply(&mut constant);
                for (bias, weight) in biases[l + 1].iter_mut().zip(network.layers[l + 1].row(unit)) {
                    *bias += constant[0] * weight;
                }
            }
        }
        for l in (0..hidden).rev() {
            for unit in 0..network.layers[l].outputs {
                alive[l][unit] &= network.layers[l + 1].reaches(unit, &alive[l + 1]);
            }
        }
        let first = &network.layers[0];
        let mut sources: Vec<u32> = (0..first.inputs as u32).filter(|&i| first.reaches(i as usize, &alive[0])).collect();
        let inputs = sources.clone();
        let mut layers = Vec::with_capacity(network.layers.len());
        for (l, layer) in network.layers.iter().enumerate() {
            let outputs: Vec<u32> = (0..layer.outputs as u32).filter(|&k| alive[l][k as usize]).collect();
            let weights = layer.picked(&sources, &outputs);
            let biases = outputs.iter().map(|&k| biases[l][k as usize]).collect();
            layers.push(Layer { inputs: sources.len(), outputs: outputs.len(), weights, biases });
            sources = outputs;
        }
        let cut = alive[..hidden].iter().map(|alive| alive.iter().filter(|alive| !**alive).count()).collect();
        Self { activation: network.activation, inputs, layers, cut }
    }
}

impl Layer {
    fn row(&self, input: usize) -> &[f64] {
        &self.weights[input * self.outputs..(input + 1) * self.outputs]
    }

    /// Whether an input goes to one of the outputs that are alive.
    fn reaches(&self, input: usize, alive: &[bool]) -> bool {
        self.row(input).iter().zip(alive).any(|(weight, alive)| *alive && *weight != 0.0)
    }

    /// Weights between these inputs and outputs.
    fn picked(&self, inputs: &[u32], outputs: &[u32]) -> Vec<f64> {
        let pick = |&input: &u32| {
            let row = self.row(input as usize);
            outputs.iter().map(move |&k| row[k as usize])
        };
        inputs.iter().flat_map(pick).collect()
    }
}

/// Which outputs of a layer something comes in to, from the inputs that are alive.
fn heard(layer: &Layer, alive: Option<&[bool]>) -> Vec<bool> {
    let mut heard = vec![false; layer.outputs];
    for input in (0..layer.inputs).filter(|&input| alive.is_none_or(|alive| alive[input])) {
        heard.iter_mut().zip(layer.row(input)).for_each(|(heard, weight)| *heard |= *weight != 0.0);
    }
    heard
}
