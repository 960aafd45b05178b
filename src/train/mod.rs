//! Data set + specification → model: the one place that turns enums into solver types.
//!
//! Knows nothing of HTTP, SQL or threads other than the ones it starts for one fit.

use std::ops::ControlFlow;

use crate::dataset::Dataset;
use crate::job::Progress;
use crate::model::Model;
use crate::spec::ResolvedFit;

/// How a fit is run.
pub struct Run<'a> {
    /// Threads this fit may use; the result does not depend on it.
    pub threads: usize,
    /// Told how far the fit is, at least every few milliseconds; says whether to go on.
    pub observe: &'a (dyn Fn(&Progress) -> ControlFlow<()> + Sync),
}

/// Why there is no model.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum TrainError {
    /// `observe` said to stop.
    #[error("cancelled")]
    Cancelled,
    /// The data cannot be fitted as asked: code and sentence for the job's `error`.
    #[error("{detail}")]
    Unfit {
        /// Machine word, as `numerical_error` or `invalid_target`.
        code: &'static str,
        /// For a person.
        detail: String,
    },
}

/// Fits, selects, certifies.
pub fn fit(_dataset: &Dataset, _spec: &ResolvedFit, _run: &Run<'_>) -> Result<Model, TrainError> {
    unimplemented!()
}
