//! The problem of one fit: data, loss and penalty with what is computed of them once.
//!
//! Knows the equation; knows nothing of how it is solved.

use super::{Data, Loss, Options, Penalty};

/// Why data cannot be fitted at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// The weights sum to 0.
    #[error("the sample weights sum to zero: no row takes part in the fit")]
    NoWeight,
    /// Logistic loss and only one class among the rows with weight.
    #[error("only one class has rows with positive weight")]
    OneClass,
    /// A number that is NaN or infinite.
    #[error("a target, weight, offset or penalty factor is not a finite number, or a sum over them overflows")]
    NonFinite,
    /// A weight or penalty factor below 0, or an `l1_ratio` outside [0, 1].
    #[error("a sample weight or penalty factor is negative, or l1_ratio lies outside [0, 1]")]
    Negative,
    /// A logistic target other than -1 and +1.
    #[error("a target of the logistic loss is neither -1 nor +1")]
    NotASign,
    /// Slices whose lengths do not fit the matrix.
    #[error("the targets, weights, offsets, factors or folds do not fit the matrix")]
    Shape,
}

/// One fit as an equation. Borrows the data; owns means, scales and the null model.
pub struct Problem<'a> {
    data: Data<'a>,
}

impl<'a> Problem<'a> {
    /// Looks at every non-zero about twice.
    pub fn new(data: Data<'a>, loss: Loss, penalty: Penalty<'a>, options: Options) -> Result<Self, Unfit> {
        unimplemented!()
    }

    /// Smallest λ at which every penalised coefficient is 0, computed with `max(l1_ratio, 1e-3)`.
    pub fn lambda_max(&self) -> f64 {
        unimplemented!()
    }

    /// F(w = 0, best b): the unit of the relative gap.
    pub fn null_objective(&self) -> f64 {
        unimplemented!()
    }

    /// Best intercept at w = 0; 0 without an intercept.
    pub fn null_intercept(&self) -> f64 {
        unimplemented!()
    }

    /// Weighted mean deviance at w = 0 with the best intercept.
    pub fn null_deviance(&self) -> f64 {
        unimplemented!()
    }

    /// σ_j of each stored column; 1 unless standardising; 0 for a column that is constant and so kept at 0.
    pub fn scales(&self) -> &[f64] {
        unimplemented!()
    }
}
