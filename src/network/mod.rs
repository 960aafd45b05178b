//! Numbers only: feed-forward networks on sparse rows, trained, pruned, cut down to what is left, and asked.
//!
//! ```text
//! a⁰ = x,   aˡ = act(Wˡᵀ aˡ⁻¹ + bˡ),   f(x) = Wᴸᵀ aᴸ⁻¹ + bᴸ
//! F = (1/Σs) Σ_i s_i·loss(y_i, f(x_i)) + penalty(W)
//! ```
//!
//! The first layer's work follows the non-zeros of a row, forward and backward: an input that a batch does not hold costs
//! nothing, though Adam would have moved its weights (`series.rs` says how). What comes out is a function of data, options and
//! seed alone: not of threads or time. This room knows nothing of names, files, requests or clocks.

use std::ops::ControlFlow;

mod batch;
mod clock;
mod compact;
mod crew;
mod dense;
mod first;
mod layers;
mod loss;
mod penalty;
mod prune;
mod rows;
mod rule;
mod series;
mod step;
mod train;

#[cfg(test)]
mod tests;

pub use compact::Compact;
pub use layers::{Kept, Layer, Network};
pub use prune::{Amount, Pruning, prune};
pub use rows::Rows;
pub use train::{Data, Epoch, Options, Start, Trained, train};

/// What a hidden unit makes of its sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// max(0, z).
    Relu,
    /// tanh z.
    Tanh,
}

/// What is predicted, one entry a row; it names the loss.
#[derive(Clone, Copy, Debug)]
pub enum Target<'a> {
    /// Numbers; ½(y − f)².
    Numbers(&'a [f64]),
    /// −1 or +1; log(1 + e^(−yf)). A number between the two is a share: (1 + y)/2 of the row is +1.
    Signs(&'a [f64]),
    /// Classes, numbered from 0; −log of the class's share of Σ e^f.
    Classes {
        /// Class of each row, below `n`.
        of_row: &'a [u32],
        /// Number of classes, at least 1.
        n: usize,
    },
    /// What share of the row each class has, row after row; each row sums to 1.
    Shares {
        /// `n` numbers a row, none below 0.
        of_row: &'a [f64],
        /// Number of classes, at least 1.
        n: usize,
    },
}

/// How weights move. Biases move alike, without a penalty.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Optimizer {
    /// Kingma & Ba, "Adam: a method for stochastic optimization", 2015, with β = 0.9, 0.999 and ε = 1e-8, as `torch.optim.Adam`.
    Adam {
        /// Above 0.
        learning_rate: f64,
    },
    /// As `torch.optim.SGD`, without dampening.
    Sgd {
        /// Above 0.
        learning_rate: f64,
        /// In [0, 1).
        momentum: f64,
    },
}

/// What weights cost, by their proximal map after each step, in the metric of the step: what it makes 0 is exactly 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Penalty {
    /// Nothing.
    None,
    /// λ Σ |w|.
    L1(f64),
    /// λ Σ √k·‖w‖₂ over the weights that leave one input or hidden unit, k of them.
    GroupL1(f64),
    /// λ/2 Σ w².
    L2(f64),
}

/// Who works. The result does not depend on it.
#[derive(Clone, Copy)]
pub struct Hands<'a> {
    /// Threads, at least 1, the caller's included.
    pub threads: usize,
    /// Called first on every thread that is started.
    pub on_thread: &'a (dyn Fn() + Sync),
}

impl Hands<'_> {
    /// The caller's thread alone.
    pub fn one() -> Self {
        Self { threads: 1, on_thread: &|| () }
    }
}

/// Where training is; given to `observe` after every batch, and at least every few milliseconds of work.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Progress {
    /// Epochs that are complete.
    pub epoch: usize,
    /// Share of the one under way that is done.
    pub part: f64,
    /// Loss of the last epoch: of the rows held out, or where there are none the mean over its batches.
    pub loss: Option<f64>,
    /// Loss of the last batch, before its step.
    pub batch_loss: Option<f64>,
}

/// How an end comes before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Halt {
    /// Nothing is wanted any more: [`Unfit::Stopped`].
    Discard,
    /// What is there is the answer.
    Keep,
}

/// Asked often whether to go on; may be called from several threads.
pub type Observe<'a> = dyn Fn(&Progress) -> ControlFlow<Halt> + Sync + 'a;

/// Why there is no network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// No row to learn from has a weight.
    #[error("the sample weights sum to zero: no row takes part")]
    NoWeight,
    /// Lengths or numbers of classes that do not fit each other, a row that does not rise.
    #[error("the rows, targets, weights, layers or masks do not fit each other")]
    Shape,
    /// A number that is NaN or infinite, or out of its range.
    #[error("a value, target, weight or option is not a finite number or out of its range")]
    Range,
    /// The loss left the numbers.
    #[error("training diverged: the loss is no longer a finite number; a smaller learning rate may help")]
    Diverged,
    /// `observe` said so.
    #[error("stopped")]
    Stopped,
}

impl Target<'_> {
    /// Outputs of a network for it.
    pub fn outputs(&self) -> usize {
        match self {
            Self::Numbers(_) | Self::Signs(_) => 1,
            Self::Classes { n, .. } | Self::Shares { n, .. } => *n,
        }
    }

    /// Checks what the types do not say.
    fn check(&self, n_rows: usize) -> Result<(), Unfit> {
        let (length, in_range) = match *self {
            Self::Numbers(y) => (y.len(), y.iter().all(|y| y.is_finite())),
            Self::Signs(y) => (y.len(), y.iter().all(|y| y.abs() <= 1.0)),
            Self::Classes { of_row, n } => (of_row.len(), of_row.iter().all(|&class| (class as usize) < n)),
            Self::Shares { of_row, n } => (of_row.len() / n.max(1), of_row.iter().all(|share| share.is_finite() && *share >= 0.0)),
        };
        let whole = !matches!(*self, Self::Shares { of_row, n } if of_row.len() != n_rows * n);
        if length != n_rows || self.outputs() == 0 || !whole {
            return Err(Unfit::Shape);
        }
        if in_range { Ok(()) } else { Err(Unfit::Range) }
    }
}
