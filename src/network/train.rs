//! Training: epochs of batches in an order that the seed gives, until they are done or the rows held out no longer gain.

use std::borrow::Cow;
use std::thread;

use super::clock::Clock;
use super::rule::Rule;
use super::step::Learner;
use super::{Activation, Halt, Hands, Kept, Network, Observe, Optimizer, Penalty, Rows, Target, Unfit};
use crate::numeric::SplitMix64;

/// Sets the order of rows apart from other things drawn with the same seed.
const ORDER: u64 = 0x6570_6f63_6873;

/// Steps that are counted.
const MOST_STEPS: usize = 1 << 29;

/// What is learned from.
#[derive(Clone, Copy, Debug)]
pub struct Data<'a> {
    /// All rows. Inputs and numbers to be predicted are as good as they are scaled: a step has one size for all of them.
    pub x: &'a Rows,
    /// What is predicted, for all rows.
    pub target: Target<'a>,
    /// Sample weights of all rows, none below 0.
    pub weights: Option<&'a [f64]>,
    /// The rows to learn from. One without weight is as good as absent.
    pub rows: &'a [u32],
    /// The rows to stop by; may be none.
    pub held_out: &'a [u32],
}

/// How training goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// How weights move.
    pub optimizer: Optimizer,
    /// What they cost.
    pub penalty: Penalty,
    /// Most epochs; 0 gives back what it starts from.
    pub epochs: usize,
    /// Rows of a batch, at least 1. The last batch of an epoch may be smaller.
    pub batch_size: usize,
    /// What the first weights and the order of rows are a function of.
    pub seed: u64,
    /// Ends when the rows held out have not gained for this many epochs, at least 1. With rows held out the weights of the best
    /// epoch are the answer in any case.
    pub patience: Option<usize>,
}

/// Where training begins.
#[derive(Clone, Copy, Debug)]
pub enum Start<'a> {
    /// With weights drawn.
    Fresh {
        /// Units of each hidden layer: 1 to 3 of them.
        hidden: &'a [usize],
        /// What a hidden unit makes of its sum.
        activation: Activation,
    },
    /// With given weights; moments begin at 0.
    From {
        /// The weights.
        network: &'a Network,
        /// Which of them may be other than 0; the others are set to 0 and stay so.
        kept: Option<&'a Kept>,
    },
}

/// What an epoch came to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Epoch {
    /// Mean loss of its batches, each before its step. No penalty is in it.
    pub loss: f64,
    /// Mean loss of the rows held out, after the epoch.
    pub held_out: Option<f64>,
}

/// What was trained.
#[derive(Clone, Debug, PartialEq)]
pub struct Trained {
    /// The weights: with rows held out those of `best`, else the last ones.
    pub network: Network,
    /// Epochs that were completed.
    pub epochs: Vec<Epoch>,
    /// How many epochs the weights have seen.
    pub best: usize,
    /// Whether `observe` ended it before its time, with [`Halt::Keep`].
    pub halted: bool,
}

impl Data<'_> {
    #[inline]
    pub(crate) fn weight(&self, row: u32) -> f64 {
        self.weights.map_or(1.0, |weights| weights[row as usize])
    }

    fn check(&self) -> Result<(), Unfit> {
        let n_rows = self.x.n_rows();
        self.target.check(n_rows)?;
        let known = |rows: &[u32]| rows.iter().all(|&row| (row as usize) < n_rows);
        if self.weights.is_some_and(|weights| weights.len() != n_rows) || !known(self.rows) || !known(self.held_out) {
            return Err(Unfit::Shape);
        }
        let fine = |weight: &f64| weight.is_finite() && *weight >= 0.0;
        if self.weights.is_some_and(|weights| !weights.iter().all(fine)) { Err(Unfit::Range) } else { Ok(()) }
    }
}

/// Trains a network.
///
/// # Errors
/// See [`Unfit`].
pub fn train(data: &Data, start: Start, options: &Options, hands: &Hands, observe: &Observe) -> Result<Trained, Unfit> {
    data.check()?;
    if options.batch_size == 0 || options.patience == Some(0) {
        return Err(Unfit::Range);
    }
    let rule = Rule::new(options.optimizer, options.penalty)?;
    let with_weight = |rows: &[u32]| rows.iter().copied().filter(|&row| data.weight(row) > 0.0).collect::<Vec<u32>>();
    let (rows, held_out) = (with_weight(data.rows), with_weight(data.held_out));
    let data = &Data { rows: &rows, held_out: &held_out, ..*data };
    if rows.is_empty() {
        return Err(Unfit::NoWeight);
    }
    if rows.len().div_ceil(options.batch_size).checked_mul(options.epochs).is_none_or(|steps| steps > MOST_STEPS) {
        return Err(Unfit::Range);
    }
    let clock = &mut Clock::new(observe);
    clock.work(0).map_err(|_| Unfit::Stopped)?;
    let (network, kept) = match start {
        Start::Fresh { hidden, activation } => (Cow::Owned(Network::fresh(data, hidden, activation, options.seed, clock)?), None),
        Start::From { network, kept } => {
            network.check(data.x.n_inputs(), data.target.outputs())?;
            let mut network = Cow::Borrowed(network);
            kept.map_or(Ok(()), |kept| network.to_mut().mask(kept))?;
            (network, kept)
        }
    };
    thread::scope(|scope| {
        let learner = Learner::new(scope, &network, kept, &rule, data, options.batch_size, hands, observe, clock);
        let mut learner = learner.map_err(|_| Unfit::Stopped)?;
        drop(network); // its weights are the learner's now
        let mut course = Course { epochs: Vec::new(), best: None };
        match course.run(&mut learner, data, options, clock) {
            Ok(()) | Err(End::Halted(Halt::Keep)) => {}
            Err(End::Halted(Halt::Discard)) => return Err(Unfit::Stopped),
            Err(End::Diverged) => return Err(Unfit::Diverged),
        }
        let halted = course.epochs.len() < options.epochs && !course.waited(options);
        let (network, best) = match course.best {
            Some((_, network, epochs)) => (network, epochs),
            // what is there is wanted: nobody is asked any more whether it is
            None => {
                clock.silent = true;
                (learner.network(clock).map_err(|_| Unfit::Stopped)?, course.epochs.len())
            }
        };
        // the last step may have left the numbers too
        network.check(data.x.n_inputs(), data.target.outputs()).map_err(|_| Unfit::Diverged)?;
        Ok(Trained { network, epochs: course.epochs, best, halted })
    })
}

enum End {
    Halted(Halt),
    Diverged,
}

impl From<Halt> for End {
    fn from(halt: Halt) -> Self {
        Self::Halted(halt)
    }
}

struct Course {
    epochs: Vec<Epoch>,
    /// Least loss of the rows held out, the weights then, and how many epochs they have seen.
    best: Option<(f64, Network, usize)>,
}

impl Course {
    fn run(&mut self, learner: &mut Learner, data: &Data, options: &Options, clock: &mut Clock) -> Result<(), End> {
        let mut order = data.rows.to_vec();
        let mut random = SplitMix64(options.seed ^ ORDER);
        let weight = order.iter().map(|&row| data.weight(row)).sum::<f64>() / order.len() as f64;
        while self.epochs.len() < options.epochs && !self.waited(options) {
            random.shuffle(&mut order);
            let mut sum = 0.0;
            let mut done = 0;
            for rows in order.chunks(options.batch_size) {
                let loss = learner.step(data, rows.to_vec(), 1.0 / (weight * rows.len() as f64), clock)?;
                if !loss.is_finite() {
                    return Err(End::Diverged);
                }
                sum += loss * rows.len() as f64;
                done += rows.len();
                clock.progress.part = done as f64 / order.len() as f64;
                clock.progress.batch_loss = Some(loss);
                clock.ask()?;
            }
            let mut epoch = Epoch { loss: sum / order.len() as f64, held_out: None };
            let seen = self.epochs.len() + 1;
            if !data.held_out.is_empty() {
                let loss = learner.judge(data, data.held_out, clock)?;
                if !loss.is_finite() {
                    return Err(End::Diverged);
                }
                epoch.held_out = Some(loss);
                if self.best.as_ref().is_none_or(|best| loss < best.0) {
                    self.best = Some((loss, learner.network(clock)?, seen));
                }
            }
            self.epochs.push(epoch);
            clock.progress.epoch = seen;
            clock.progress.part = 0.0;
            clock.progress.loss = Some(epoch.held_out.unwrap_or(epoch.loss));
        }
        Ok(())
    }

    /// Whether the rows held out have not gained for long enough.
    fn waited(&self, options: &Options) -> bool {
        let best = self.best.as_ref().map(|best| best.2);
        options.patience.zip(best).is_some_and(|(patience, best)| self.epochs.len() >= best + patience)
    }
}
