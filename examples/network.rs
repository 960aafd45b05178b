//! Trains a network from given weights and says what each batch's loss was and what each epoch took: our side of `bench/network.py`.
//! Prints; asserts nothing.
//!
//! `network FOLDER` reads rows and first weights, then a job from each line of stdin, and answers each with a line on stdout. The
//! folder holds raw little-endian arrays:
//!
//! | file | holds |
//! |---|---|
//! | `offsets.u64`, `inputs.u32`, `values.f64` | the rows (CSR) |
//! | `y.f64` | numbers, ±1, or classes from 0 |
//! | `weights.f64` | of each layer the weights, input by input, then the biases |

use std::io::BufRead;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Mutex;
use std::time::Instant;

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use sparsefit::network::{Activation, Data, Hands, Layer, Network, Optimizer, Options, Penalty, Progress, Rows, Start, Target, train};

type Fallible<T> = Result<T, Box<dyn std::error::Error>>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Job {
    /// Of all layers, from the inputs to the outputs.
    widths: Vec<usize>,
    tanh: bool,
    loss: Loss,
    learning_rate: f64,
    /// SGD with this momentum instead of Adam.
    momentum: Option<f64>,
    penalty: Cost,
    lambda: f64,
    epochs: usize,
    batch_size: usize,
    seed: u64,
    threads: usize,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Loss {
    Squared,
    Logistic,
    Softmax,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Cost {
    None,
    L1,
    GroupL1,
    L2,
}

#[derive(Serialize)]
struct Answer {
    /// Of each batch, before its step.
    losses: Vec<f64>,
    /// Of each epoch.
    cpu: Vec<f64>,
    wall: Vec<f64>,
    /// Longest time of the process between two questions whether to go on, in seconds.
    silence: f64,
    /// Weights that are not 0 in the end.
    nonzeros: usize,
}

fn main() -> Fallible<()> {
    let folder = std::env::args().nth(1).ok_or("usage: network FOLDER < jobs")?;
    for line in std::io::stdin().lock().lines() {
        let job: Job = serde_json::from_str(&line?)?;
        println!("{}", serde_json::to_string(&answer(&job, Path::new(&folder))?)?);
    }
    Ok(())
}

fn answer(job: &Job, folder: &Path) -> Fallible<Answer> {
    let bytes = |name: &str| std::fs::read(folder.join(name));
    let doubles =
        |name: &str| Ok::<_, std::io::Error>(bytes(name)?.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b)).collect::<Vec<_>>());
    let offsets = bytes("offsets.u64")?.as_chunks().0.iter().map(|b| u64::from_le_bytes(*b) as usize).collect();
    let inputs = bytes("inputs.u32")?.as_chunks().0.iter().map(|b| u32::from_le_bytes(*b)).collect();
    let x = Rows::new(*job.widths.first().ok_or("no widths")?, offsets, inputs, doubles("values.f64")?)?;
    let (y, mut weights) = (doubles("y.f64")?, doubles("weights.f64")?.into_iter());
    let mut some = |n: usize| weights.by_ref().take(n).collect::<Vec<f64>>();
    let layer = |pair: &[usize]| Layer { inputs: pair[0], outputs: pair[1], weights: some(pair[0] * pair[1]), biases: some(pair[1]) };
    let activation = if job.tanh { Activation::Tanh } else { Activation::Relu };
    let network = Network { activation, layers: job.widths.windows(2).map(layer).collect() };
    let classes: Vec<u32> = y.iter().map(|y| y.abs() as u32).collect();
    let target = match job.loss {
        Loss::Squared => Target::Numbers(&y),
        Loss::Logistic => Target::Signs(&y),
        Loss::Softmax => Target::Classes { of_row: &classes, n: *job.widths.last().ok_or("no widths")? },
    };
    let rows: Vec<u32> = (0..x.n_rows() as u32).collect();
    let data = Data { x: &x, target, weights: None, rows: &rows, held_out: &[] };
    let learning_rate = job.learning_rate;
    let optimizer = job.momentum.map_or(Optimizer::Adam { learning_rate }, |momentum| Optimizer::Sgd { learning_rate, momentum });
    let penalty = match job.penalty {
        Cost::None => Penalty::None,
        Cost::L1 => Penalty::L1(job.lambda),
        Cost::GroupL1 => Penalty::GroupL1(job.lambda),
        Cost::L2 => Penalty::L2(job.lambda),
    };
    let options = Options { optimizer, penalty, epochs: job.epochs, batch_size: job.batch_size, seed: job.seed, patience: None };
    let batches = x.n_rows().div_ceil(job.batch_size);
    let (mut losses, mut ends) = (Vec::new(), Vec::new());
    let seen = Mutex::new((&mut losses, &mut ends, (0, -1.0)));
    let silence = Mutex::new((cpu(), 0.0_f64));
    let observe = |progress: &Progress| {
        if let Ok(mut silence) = silence.lock() {
            let now = cpu();
            *silence = (now, silence.1.max(now - silence.0));
        }
        // also asked within a batch; at the end of an epoch before anything of the next one is done
        let at = (progress.epoch, progress.part);
        if let (Some(loss), Ok(mut seen)) = (progress.batch_loss, seen.lock())
            && seen.2 != at
            && progress.part > 0.0
        {
            seen.2 = at;
            seen.0.push(loss);
            if seen.0.len() % batches == 0 {
                seen.1.push((cpu(), Instant::now()));
            }
        }
        ControlFlow::Continue(())
    };
    let (mut before, mut start) = (cpu(), Instant::now());
    let hands = Hands { threads: job.threads, on_thread: &|| () };
    let trained = train(&data, Start::From { network: &network, kept: None }, &options, &hands, &observe)?;
    let (mut cpu, mut wall) = (Vec::new(), Vec::new());
    for (then, at) in ends {
        cpu.push(then - before);
        wall.push((at - start).as_secs_f64());
        (before, start) = (then, at);
    }
    let silence = silence.lock().map_or(0.0, |silence| silence.1);
    Ok(Answer { losses, cpu, wall, silence, nonzeros: trained.network.nonzeros() })
}

/// CPU seconds of the process.
fn cpu() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}
