//! Measures from which share of weights that are not 0 on a dense layer answers sooner than a sparse one: what `model::DENSE_FROM` says.

use std::time::Instant;

use sparsefit::model::{Layer, Weights};
use sparsefit::numeric::SplitMix64;

fn main() {
    println!("| inputs × outputs | not 0 | dense ns | sparse ns |\n|---|---|---|---|");
    for (inputs, outputs) in [(1000, 64), (1000, 128), (256, 256), (64, 32), (64, 20), (1000, 10)] {
        for share in [0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5] {
            let mut random = SplitMix64(1);
            let all: Vec<f64> = (0..inputs * outputs).map(|_| if random.share() < share { random.symmetric() } else { 0.0 }).collect();
            let (mut starts, mut places, mut values) = (vec![0], Vec::new(), Vec::new());
            for row in all.chunks(outputs) {
                for (k, w) in (0u32..).zip(row).filter(|(_, w)| **w != 0.0) {
                    places.push(k);
                    values.push(*w);
                }
                starts.push(values.len() as u32);
            }
            let forms = [Weights::Dense(all), Weights::Csr { starts, outputs: places, values }];
            let times = forms.map(|weights| answer(&Layer { inputs, weights, biases: vec![0.0; outputs] }));
            println!("| {inputs} × {outputs} | {share} | {:.0} | {:.0} |", times[0], times[1]);
        }
    }
}

/// Least time, in ns, to add up all inputs.
fn answer(layer: &Layer) -> f64 {
    let mut sums = vec![0.0; layer.outputs()];
    let mut least = f64::INFINITY;
    for _ in 0..30 {
        let start = Instant::now();
        for _ in 0..20 {
            sums.copy_from_slice(&layer.biases);
            (0..layer.inputs).for_each(|input| layer.weights.add(input, 1.0, &mut sums));
        }
        least = least.min(start.elapsed().as_secs_f64() / 20.0);
    }
    std::hint::black_box(&sums);
    least * 1e9
}
