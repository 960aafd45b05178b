//! The same mathematics in plain loops over all weights at every step: what the fast code is held against.

use crate::network::{Activation, Data, Kept, Network, Optimizer, Options, Penalty, Rows, Target};
use crate::numeric::SplitMix64;

fn act(activation: Activation, z: f64) -> f64 {
    match activation {
        Activation::Relu => z.max(0.0),
        Activation::Tanh => z.tanh(),
    }
}

/// All units of all layers for a row; the sums of the last are the outputs.
fn units(network: &Network, x: &Rows, row: u32) -> Vec<Vec<f64>> {
    let mut now = vec![0.0; x.n_inputs()];
    let (inputs, values) = x.row(row);
    inputs.iter().zip(values).for_each(|(&i, &x)| now[i as usize] = x);
    let mut all = vec![now];
    for (l, layer) in network.layers.iter().enumerate() {
        let mut sums = layer.biases.clone();
        for (unit, weights) in all[l].iter().zip(layer.weights.chunks(layer.outputs.max(1))) {
            sums.iter_mut().zip(weights).for_each(|(sum, weight)| *sum += unit * weight);
        }
        if l + 1 < network.layers.len() {
            sums.iter_mut().for_each(|z| *z = act(network.activation, *z));
        }
        all.push(sums);
    }
    all
}

pub(super) fn outputs(network: &Network, x: &Rows, row: u32) -> Vec<f64> {
    units(network, x, row).pop().unwrap()
}

fn loss(target: &Target, row: usize, f: &[f64]) -> (f64, Vec<f64>) {
    let soft = || {
        let sum: f64 = f.iter().map(|f| f.exp()).sum();
        (sum.ln(), f.iter().map(|f| f.exp() / sum).collect::<Vec<_>>())
    };
    match *target {
        Target::Numbers(y) => (0.5 * (f[0] - y[row]).powi(2), vec![f[0] - y[row]]),
        Target::Signs(y) => ((-y[row] * f[0]).exp().ln_1p(), vec![-y[row] / (1.0 + (y[row] * f[0]).exp())]),
        Target::Classes { of_row, .. } => {
            let (log, mut p) = soft();
            let class = of_row[row] as usize;
            p[class] -= 1.0;
            (log - f[class], p)
        }
        Target::Shares { of_row, n } => {
            let (log, p) = soft();
            let y = &of_row[row * n..(row + 1) * n];
            (y.iter().zip(f).map(|(y, f)| y * (log - f)).sum(), p.iter().zip(y).map(|(p, y)| p - y).collect())
        }
    }
}

/// Mean loss of a batch, and its slopes.
fn slopes(network: &Network, data: &Data, rows: &[u32], scale: f64) -> (f64, Network) {
    let mut g = network.clone();
    g.layers.iter_mut().for_each(|layer| {
        layer.weights.fill(0.0);
        layer.biases.fill(0.0);
    });
    let mut sum = 0.0;
    for &row in rows {
        let units = units(network, data.x, row);
        let weight = scale * data.weights.map_or(1.0, |weights| weights[row as usize]);
        let (loss, mut delta) = loss(&data.target, row as usize, units.last().unwrap());
        sum += weight * loss;
        delta.iter_mut().for_each(|d| *d *= weight);
        for l in (0..network.layers.len()).rev() {
            let layer = &network.layers[l];
            let mut before = vec![0.0; layer.inputs];
            for i in 0..layer.inputs {
                let a = units[l][i];
                for (k, d) in delta.iter().enumerate() {
                    g.layers[l].weights[i * layer.outputs + k] += a * d;
                    before[i] += layer.weights[i * layer.outputs + k] * d;
                }
                before[i] *= match network.activation {
                    Activation::Relu => f64::from(u8::from(a > 0.0)),
                    Activation::Tanh => 1.0 - a * a,
                };
            }
            delta.iter().enumerate().for_each(|(k, d)| g.layers[l].biases[k] += d);
            delta = before;
        }
    }
    (sum, g)
}

struct Moments {
    m: Vec<f64>,
    v: Vec<f64>,
}

/// One step of some weights, which are one group.
#[allow(clippy::too_many_arguments)]
fn step(w: &mut [f64], g: &[f64], moments: &mut Moments, at: usize, optimizer: Optimizer, penalty: Penalty, t: i32) {
    let mut sizes = Vec::new();
    for (k, (w, g)) in w.iter_mut().zip(g).enumerate() {
        let (m, v) = (&mut moments.m[at + k], &mut moments.v[at + k]);
        let (size, in_the_long_run) = match optimizer {
            Optimizer::Adam { learning_rate } => {
                *m = 0.9 * *m + 0.1 * g;
                *v = 0.999 * *v + 0.001 * g * g;
                let (unbiased, spread) = (learning_rate / (1.0 - 0.9_f64.powi(t)), (1.0 - 0.999_f64.powi(t)).sqrt());
                let size = unbiased / (v.sqrt() / spread + 1e-8);
                (size, size)
            }
            Optimizer::Sgd { learning_rate, momentum } => {
                *m = momentum * *m + g;
                (learning_rate, learning_rate / (1.0 - momentum))
            }
        };
        *w -= size * *m;
        sizes.push(in_the_long_run);
    }
    match penalty {
        Penalty::None => {}
        Penalty::L1(lambda) => w.iter_mut().zip(&sizes).for_each(|(w, s)| *w = w.signum() * (w.abs() - lambda * s).max(0.0)),
        Penalty::L2(lambda) => w.iter_mut().zip(&sizes).for_each(|(w, s)| *w /= 1.0 + lambda * s),
        Penalty::GroupL1(lambda) => {
            let k = w.len() as f64;
            let norm = w.iter().map(|w| w * w).sum::<f64>().sqrt();
            let least = lambda * k.sqrt() * k / sizes.iter().map(|s| 1.0 / s).sum::<f64>();
            w.iter_mut().for_each(|w| *w *= if norm > least { 1.0 - least / norm } else { 0.0 });
        }
    }
}

/// Training, with the losses of all batches. Inputs move from their first entry on.
pub(super) fn train(data: &Data, network: &Network, kept: Option<&Kept>, options: &Options) -> (Network, Vec<f64>) {
    let mut network = network.clone();
    if let Some(kept) = kept {
        network.mask(kept).unwrap();
    }
    let weight = |row: u32| data.weights.map_or(1.0, |weights| weights[row as usize]);
    let mut order: Vec<u32> = data.rows.iter().copied().filter(|&row| weight(row) > 0.0).collect();
    let mean = order.iter().map(|&row| weight(row)).sum::<f64>() / order.len() as f64;
    let mut random = SplitMix64(options.seed ^ 0x6570_6f63_6873);
    let zeros = |n: usize| Moments { m: vec![0.0; n], v: vec![0.0; n] };
    let mut moments: Vec<[Moments; 2]> = network.layers.iter().map(|layer| [zeros(layer.weights.len()), zeros(layer.outputs)]).collect();
    let mut seen = vec![false; data.x.n_inputs()];
    let (mut losses, mut t) = (Vec::new(), 0);
    for _ in 0..options.epochs {
        random.shuffle(&mut order);
        for rows in order.chunks(options.batch_size) {
            t += 1;
            let (loss, mut g) = slopes(&network, data, rows, 1.0 / (mean * rows.len() as f64));
            losses.push(loss);
            rows.iter().for_each(|&row| data.x.row(row).0.iter().for_each(|&i| seen[i as usize] = true));
            if let Some(kept) = kept {
                g.mask(kept).unwrap();
            }
            for (l, (layer, moments)) in network.layers.iter_mut().zip(&mut moments).enumerate() {
                let k = layer.outputs;
                for i in (0..layer.inputs).filter(|&i| l > 0 || seen[i]) {
                    let range = i * k..(i + 1) * k;
                    step(
                        &mut layer.weights[range.clone()],
                        &g.layers[l].weights[range],
                        &mut moments[0],
                        i * k,
                        options.optimizer,
                        options.penalty,
                        t,
                    );
                }
                step(&mut layer.biases, &g.layers[l].biases, &mut moments[1], 0, options.optimizer, Penalty::None, t);
            }
        }
    }
    (network, losses)
}
