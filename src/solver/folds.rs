//! Cross-validation: folds are weight masks over the one shared matrix.

use ndarray::Array2;

use super::{Data, Loss, Observe, Options, Penalty, Stop, Unfit};

/// Held-out deviance of every λ in every fold.
#[derive(Clone, Debug)]
pub struct CvDeviance {
    /// λ × fold: weighted mean deviance of the rows held out; NaN where the fold holds out no weight or was not reached.
    pub per_fold: Array2<f64>,
    /// λ × fold: non-zeros.
    pub nonzeros: Array2<usize>,
    /// The worst of the folds: `Cancelled`, else `LimitReached`, else `Converged`.
    pub stop: Stop,
}

/// K-fold cross-validation over given falling `lambdas`. `folds_of_row` says which fold holds a row out (below
/// `n_folds`). At most `threads` folds run at a time; the result does not depend on `threads`.
#[expect(clippy::too_many_arguments, reason = "each is a different word of the equation")]
pub fn cross_validate(
    data: Data,
    loss: Loss,
    penalty: Penalty,
    options: Options,
    folds_of_row: &[u32],
    n_folds: usize,
    lambdas: &[f64],
    threads: usize,
    observe: &Observe,
) -> Result<CvDeviance, Unfit> {
    unimplemented!()
}
