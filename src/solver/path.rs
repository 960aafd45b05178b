//! Solutions at one λ and along a falling path of λ.

use super::{Observe, Problem, Stop};

/// A solution at one λ.
#[derive(Clone, Debug)]
pub struct Point {
    /// λ of this solution.
    pub lambda: f64,
    /// Positions of the stored columns whose coefficient is not 0, rising.
    pub columns: Vec<u32>,
    /// Their coefficients, on the original scale.
    pub values: Vec<f64>,
    /// Intercept on the original scale.
    pub intercept: f64,
    /// The solver's own relative duality gap on the full problem.
    pub relative_gap: f64,
    /// Weighted mean deviance on the rows of the fit: squared error, or −2·log-likelihood.
    pub deviance: f64,
    /// Sweeps over a working set.
    pub epochs: u64,
    /// Touched non-zeros / non-zeros of X, counted.
    pub full_passes: f64,
    /// Why the solver stopped.
    pub stop: Stop,
}

/// Solves at one λ, from a warm start or from the null model.
pub fn solve(problem: &Problem, lambda: f64, warm: Option<&Point>, observe: &Observe) -> Point {
    unimplemented!()
}

/// Solves at falling `lambdas`, each warm from the one before. `Converged` when every λ has converged,
/// `LimitReached` when one has not; a cancelled point is not handed out.
pub fn path(problem: &Problem, lambdas: &[f64], observe: &Observe, each: &mut dyn FnMut(usize, Point)) -> Stop {
    unimplemented!()
}

/// `n` values from `max` to `max · min_ratio`, log-spaced, both ends inclusive; `[max]` for n = 1.
pub fn lambda_grid(max: f64, min_ratio: f64, n: usize) -> Vec<f64> {
    unimplemented!()
}
