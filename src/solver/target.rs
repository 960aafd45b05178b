//! The λ that gives a wanted number of non-zeros.

use super::{Observe, Point, Problem};

/// A solution with a wanted number of non-zeros.
#[derive(Clone, Debug)]
pub struct TargetPoint {
    /// The solution: exactly k non-zeros, else the largest λ found with more than k.
    pub point: Point,
    /// `[λ_low, λ_high]`: the solution holds at `λ_low`, fewer than k non-zeros at `λ_high`.
    pub bracket: [f64; 2],
}

/// The largest λ whose solution has exactly `k` non-zeros, else the largest with more than `k`.
pub fn target_nonzeros(problem: &Problem, k: usize, observe: &Observe) -> TargetPoint {
    unimplemented!()
}
