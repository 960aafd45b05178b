//! Small data and networks from a seed.

use std::ops::ControlFlow;

use crate::network::{
    Activation, Data, Halt, Hands, Layer, Network, Optimizer, Options, Penalty, Progress, Rows, Start, Target, Trained, train,
};
use crate::numeric::SplitMix64;

pub(super) const ADAM: Optimizer = Optimizer::Adam { learning_rate: 0.01 };

/// Sparse rows: a few inputs are frequent, most are rare.
pub(super) fn rows(n_rows: usize, n_inputs: usize, seed: u64) -> Rows {
    let mut random = SplitMix64(seed);
    let (mut offsets, mut inputs, mut values) = (vec![0], Vec::new(), Vec::new());
    for _ in 0..n_rows {
        for i in 0..n_inputs {
            if random.share() < 0.8 / (1.0 + i as f64 * 0.7) {
                inputs.push(i as u32);
                values.push(random.symmetric() + 0.3);
            }
        }
        offsets.push(inputs.len());
    }
    Rows::new(n_inputs, offsets, inputs, values).unwrap()
}

pub(super) fn network(widths: &[usize], activation: Activation, seed: u64) -> Network {
    let mut random = SplitMix64(seed);
    let mut some = |n: usize| (0..n).map(|_| 0.7 * random.symmetric()).collect::<Vec<f64>>();
    let layer = |pair: &[usize]| Layer { inputs: pair[0], outputs: pair[1], weights: some(pair[0] * pair[1]), biases: some(pair[1]) };
    Network { activation, layers: widths.windows(2).map(layer).collect() }
}

/// Numbers to be predicted, of every kind.
pub(super) struct Told {
    pub(super) numbers: Vec<f64>,
    pub(super) signs: Vec<f64>,
    pub(super) classes: Vec<u32>,
    pub(super) shares: Vec<f64>,
    pub(super) weights: Vec<f64>,
}

impl Told {
    pub(super) fn new(x: &Rows, seed: u64) -> Self {
        let mut random = SplitMix64(seed);
        let n = x.n_rows();
        let sum = |row: usize| {
            let (inputs, values) = x.row(row as u32);
            inputs.iter().zip(values).map(|(&i, x)| x * f64::from(i % 3).sin()).sum::<f64>()
        };
        let numbers: Vec<f64> = (0..n).map(|row| sum(row).tanh() + 0.1 * random.symmetric()).collect();
        Self {
            signs: numbers.iter().map(|y| if *y > 0.2 { 1.0 } else { -1.0 }).collect(),
            classes: numbers.iter().map(|y| if *y < 0.0 { 0 } else { 1 + u32::from(*y > 0.5) }).collect(),
            shares: (0..n)
                .flat_map(|_| {
                    let (a, b) = (random.share(), random.share());
                    [a * b, a * (1.0 - b), 1.0 - a]
                })
                .collect(),
            weights: (0..n).map(|row| if row % 7 == 3 { 0.0 } else { 0.5 + random.share() }).collect(),
            numbers,
        }
    }

    pub(super) fn targets(&self) -> [Target<'_>; 4] {
        [
            Target::Numbers(&self.numbers),
            Target::Signs(&self.signs),
            Target::Classes { of_row: &self.classes, n: 3 },
            Target::Shares { of_row: &self.shares, n: 3 },
        ]
    }
}

pub(super) fn options(optimizer: Optimizer, penalty: Penalty, epochs: usize, batch_size: usize) -> Options {
    Options { optimizer, penalty, epochs, batch_size, seed: 5, patience: None }
}

/// Trains with one thread; also the losses of all batches.
pub(super) fn trained(data: &Data, start: Start, options: &Options) -> (Trained, Vec<f64>) {
    let losses = std::sync::Mutex::new(Vec::new());
    let seen = |progress: &Progress| -> ControlFlow<Halt> {
        losses.lock().unwrap().extend(progress.batch_loss);
        ControlFlow::Continue(())
    };
    let trained = train(data, start, options, &Hands::one(), &seen).unwrap();
    (trained, losses.into_inner().unwrap())
}

pub(super) fn furthest(a: &Network, b: &Network) -> f64 {
    let numbers =
        |network: &Network| network.layers.iter().flat_map(|layer| [&layer.weights[..], &layer.biases[..]].concat()).collect::<Vec<_>>();
    numbers(a).iter().zip(numbers(b)).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}
