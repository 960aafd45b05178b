//! Numbers only: decision trees for regression and classification on sparse columns, grown and pruned.
//!
//! CART after Breiman, Friedman, Olshen, Stone, *Classification and Regression Trees* (1984): binary splits `x ≤ threshold`,
//! an absent entry is 0. Every threshold between two distinct values of a node is looked at; nothing is rounded into
//! buckets. Where two splits are equally good the lowest feature wins, then the lowest threshold, so a tree is a
//! function of its data alone. This room knows nothing of names, files, requests or clocks.

use std::ops::ControlFlow;

use crate::matrix::ColumnsView;

mod bins;
mod classes;
mod clock;
mod draw;
mod ensemble;
mod folds;
mod grow;
mod impurity;
mod nodes;
mod numbers;
mod part;
mod prune;
mod reduce;
mod rules;
mod search;
mod weights;

pub use bins::Bins;
pub use ensemble::{Boosted, BoostedLoss, Boosting, Ensemble, Grown, Leaves, Sampled, boost};
pub use folds::{CvLoss, Folds, cross_validate};
pub use grow::grow;
pub use nodes::{Node, Split, Tree};
pub use prune::{PruningPath, Step};
pub use reduce::{cuts_by_loss, node_losses, reduced_error};
pub use rules::{Held, Interval, Rule, rules_of};

/// What is predicted, one entry a row.
#[derive(Clone, Copy, Debug)]
pub enum Target<'a> {
    /// Numbers; the impurity is the weighted mean squared distance to the mean.
    Numbers(&'a [f64]),
    /// Classes, numbered from 0.
    Classes {
        /// Class of each row, below `n`.
        of_row: &'a [u32],
        /// Number of classes, at least 1 and at most [`MOST_CLASSES`].
        n: usize,
        /// What makes a node impure.
        impurity: Impurity,
    },
}

/// Most classes of a target.
pub const MOST_CLASSES: usize = 1 << 16;

/// Impurity of the class proportions `p` of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Impurity {
    /// 1 − Σ p².
    Gini,
    /// −Σ p·log2 p.
    Entropy,
}

/// Where growing ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Most splits between the root and a leaf; `None` = any number.
    pub max_depth: Option<u32>,
    /// Most leaves, at least 1. With it the split that takes most impurity away is always made next (best first).
    pub max_leaves: Option<usize>,
    /// Least sum of sample weights in a leaf.
    pub min_leaf_weight: f64,
    /// Least decrease of impurity of a split, times the node's share of all weight.
    pub min_impurity_decrease: f64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_depth: None, max_leaves: None, min_leaf_weight: 0.0, min_impurity_decrease: 0.0 }
    }
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

/// Where growing is; given to `observe` at least every millisecond of work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Splits made so far.
    pub splits: usize,
    /// Rounds of an ensemble that are complete.
    pub rounds: usize,
    /// Fold being grown, from 0; `None` outside cross-validation.
    pub fold: Option<usize>,
}

/// Asked often whether to go on; may be called from several threads.
pub type Observe<'a> = dyn Fn(&Progress) -> ControlFlow<()> + Sync + 'a;

/// Why no tree can be grown, pruned or judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// The weights sum to 0.
    #[error("the sample weights sum to zero: no row takes part")]
    NoWeight,
    /// A number that is NaN or infinite, or targets whose squares overflow.
    #[error("a target, weight or limit is not a finite number, or a sum of squares over them overflows")]
    NonFinite,
    /// A weight or limit below 0, or no leaf allowed.
    #[error("a sample weight or limit is negative, or max_leaves is 0")]
    Negative,
    /// A class that is not below the number of classes, or a number of classes that cannot be.
    #[error("a class is not below the number of classes, or there are none or too many of them")]
    NotAClass,
    /// Slices whose lengths do not fit the matrix, or a tree of another kind of target.
    #[error("the targets, weights, folds or tree do not fit the matrix or each other")]
    Shape,
    /// More non-zeros or rows than positions of 32 bits can say.
    #[error("the matrix has too many rows or non-zeros for a tree")]
    TooLarge,
    /// `observe` said to stop.
    #[error("stopped")]
    Stopped,
}

impl Target<'_> {
    /// Number of rows.
    pub fn len(&self) -> usize {
        match self {
            Self::Numbers(y) => y.len(),
            Self::Classes { of_row, .. } => of_row.len(),
        }
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Numbers a node's value is made of: 1, or one a class.
    pub fn width(&self) -> usize {
        match self {
            Self::Numbers(_) => 1,
            Self::Classes { n, .. } => *n,
        }
    }

    /// Checks what the types do not say.
    pub(crate) fn check(&self, n_rows: usize) -> Result<(), Unfit> {
        if self.len() != n_rows {
            return Err(Unfit::Shape);
        }
        match *self {
            Self::Numbers(y) if y.iter().any(|y| !y.is_finite()) => Err(Unfit::NonFinite),
            Self::Classes { n, .. } if n == 0 || n > MOST_CLASSES => Err(Unfit::NotAClass),
            Self::Classes { of_row, n, .. } if of_row.iter().any(|&class| class as usize >= n) => Err(Unfit::NotAClass),
            _ => Ok(()),
        }
    }
}

impl Limits {
    pub(crate) fn check(&self) -> Result<(), Unfit> {
        let (weight, decrease) = (self.min_leaf_weight, self.min_impurity_decrease);
        if !weight.is_finite() || !decrease.is_finite() {
            return Err(Unfit::NonFinite);
        }
        if weight < 0.0 || decrease < 0.0 || self.max_leaves == Some(0) { Err(Unfit::Negative) } else { Ok(()) }
    }
}

/// Whether positions of 32 bits serve.
pub(crate) fn fits(x: &ColumnsView) -> bool {
    x.nnz() < u32::MAX as usize && x.n_rows < u32::MAX as usize
}
