//! One step: a batch goes up through the layers, its slopes come down, and all weights move.

use std::sync::Arc;
use std::thread::Scope;

use super::clock::{BLOCK, Clock};
use super::crew::{Ask, Crew};
use super::dense::{Biases, Dense};
use super::first::Part;
use super::rule::Rule;
use super::train::Data;
use super::{Activation, Halt, Hands, Kept, Layer, Network, Observe, Rows};

/// Rows judged at a time.
const JUDGED: usize = 256;
/// Parts of the first layer: no more than this, and none with less work for a batch than the other says.
const MOST_PARTS: usize = 8;
const PART_WORK: usize = 1 << 15;

/// What a number costs that goes through an activation or a loss, in units of work.
const EXP: usize = 8;

/// A network that learns.
pub(crate) struct Learner<'a> {
    activation: Activation,
    crew: Crew<'a>,
    n_inputs: usize,
    first: Biases,
    above: Vec<Dense>,
    rule: Rule,
    /// Steps taken.
    steps: usize,
}

impl<'a> Learner<'a> {
    #[allow(clippy::too_many_arguments)]
    pub(crate) fn new<'scope>(
        scope: &'scope Scope<'scope, '_>,
        network: &Network,
        kept: Option<&Kept>,
        rule: &Rule,
        data: &Data<'a>,
        batch_size: usize,
        hands: &Hands<'a>,
        observe: &'a Observe<'a>,
        clock: &mut Clock,
    ) -> Result<Self, Halt>
    where
        'a: 'scope,
    {
        let first = &network.layers[0];
        let kept_of = |layer: usize| kept.map(|kept| &kept.layers[layer]);
        let parts = shares(data, first, batch_size)
            .windows(2)
            .map(|ends| {
                let weights = ends[0] * first.outputs..ends[1] * first.outputs;
                let kept = kept_of(0).map(|kept| kept[weights.clone()].to_vec());
                Part::new(ends[0]..ends[1], first.outputs, &first.weights[weights], kept, rule, clock)
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            activation: network.activation,
            crew: Crew::new(scope, data.x, parts, hands, observe),
            n_inputs: first.inputs,
            first: Biases::new(&first.biases, rule),
            above: (1..network.layers.len()).map(|l| Dense::new(&network.layers[l], kept_of(l).cloned(), rule)).collect(),
            rule: rule.clone(),
            steps: 0,
        })
    }

    /// A step on a batch; its loss before. `scale` times its weight is what a row counts.
    pub(crate) fn step(&mut self, data: &Data, rows: Vec<u32>, scale: f64, clock: &mut Clock) -> Result<f64, Halt> {
        let rows = Arc::new(rows);
        let given = self.crew.ask(&Ask::Meet(Arc::clone(&rows)), clock)?;
        let units = self.up(given, rows.len(), clock)?;
        let outputs = data.target.outputs();
        let mut slopes = units.last().cloned().unwrap_or_default();
        let mut loss = 0.0;
        for (&row, slopes) in rows.iter().zip(slopes.chunks_mut(outputs)) {
            clock.work(EXP * outputs)?;
            let weight = scale * data.weight(row);
            loss += weight * data.target.descend(row as usize, slopes);
            slopes.iter_mut().for_each(|slope| *slope *= weight);
        }
        self.steps += 1;
        let time = self.rule.time(self.steps);
        for l in (0..self.above.len()).rev() {
            let before = self.above[l].backward(&units[l], &slopes, self.activation, clock)?;
            self.above[l].learn(&units[l], &slopes, time, clock)?;
            slopes = before;
        }
        self.first.learn(&slopes, time);
        self.crew.ask(&Ask::Learn(Arc::new(slopes)), clock)?;
        Ok(loss)
    }

    /// What all units say, from what the inputs give the first of them; the outputs come last.
    fn up(&self, given: Vec<Vec<f64>>, n_rows: usize, clock: &mut Clock) -> Result<Vec<Vec<f64>>, Halt> {
        let biases = self.first.now();
        let mut sums = Vec::with_capacity(n_rows * biases.len());
        for _ in 0..n_rows {
            sums.extend_from_slice(biases);
        }
        for given in given {
            sums.iter_mut().zip(given).for_each(|(sum, given)| *sum += given);
        }
        let mut units = Vec::with_capacity(self.above.len() + 1);
        for layer in &self.above {
            for sums in sums.chunks_mut(BLOCK / EXP) {
                clock.work(EXP * sums.len())?;
                self.activation.apply(sums);
            }
            units.push(sums);
            sums = layer.forward(&units[units.len() - 1], clock)?;
        }
        units.push(sums);
        Ok(units)
    }

    /// The mean loss of rows as the weights are now, which are brought up first.
    pub(crate) fn judge(&mut self, data: &Data, rows: &[u32], clock: &mut Clock) -> Result<f64, Halt> {
        self.crew.ask(&Ask::Settle, clock)?;
        let (mut loss, mut all) = (0.0, 0.0);
        for rows in rows.chunks(JUDGED) {
            let given = self.crew.ask(&Ask::Judge(Arc::new(rows.to_vec())), clock)?;
            let mut units = self.up(given, rows.len(), clock)?;
            let outputs = units.last_mut().map_or(&mut [][..], |outputs| outputs);
            for (&row, outputs) in rows.iter().zip(outputs.chunks_mut(data.target.outputs())) {
                loss += data.weight(row) * data.target.descend(row as usize, outputs);
                all += data.weight(row);
            }
        }
        Ok(loss / all)
    }

    /// The network as it is now.
    pub(crate) fn network(&mut self, clock: &mut Clock) -> Result<Network, Halt> {
        self.crew.ask(&Ask::Settle, clock)?;
        let mut weights = Vec::with_capacity(self.n_inputs * self.first.now().len());
        for part in self.crew.ask(&Ask::Weights, clock)? {
            clock.work(8 * part.len())?;
            weights.extend_from_slice(&part);
        }
        let biases = self.first.now().to_vec();
        let mut layers = vec![Layer { inputs: self.n_inputs, outputs: biases.len(), weights, biases }];
        layers.extend(self.above.iter().map(Dense::layer));
        Ok(Network { activation: self.activation, layers })
    }
}

/// Where the inputs of each part begin, and where the last ones end: parts have about as many entries each.
fn shares(data: &Data, first: &Layer, batch_size: usize) -> Vec<usize> {
    let mut entries = vec![0_usize; first.inputs];
    count(data.x, data.rows, &mut entries);
    let all: usize = entries.iter().sum();
    let batches = data.rows.len().div_ceil(batch_size).max(1);
    let parts = (all / batches * first.outputs / PART_WORK).clamp(1, MOST_PARTS);
    let mut ends = vec![0];
    let mut sum = 0;
    for (input, entries) in entries.iter().enumerate() {
        if sum * parts >= all * ends.len() && ends.len() < parts && sum > 0 {
            ends.push(input);
        }
        sum += entries;
    }
    ends.push(first.inputs);
    ends
}

fn count(x: &Rows, rows: &[u32], entries: &mut [usize]) {
    for &row in rows {
        x.row(row).0.iter().for_each(|&input| entries[input as usize] += 1);
    }
}
