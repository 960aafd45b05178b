//! The λ that gives a wanted number of non-zeros.

use super::path::Walk;
use super::problem::Problem;
use super::watch::Watch;
use super::{Observe, Point, Stop};

/// A solution with a wanted number of non-zeros.
#[derive(Clone, Debug)]
pub struct TargetPoint {
    /// The solution: exactly k non-zeros, else the largest λ found with more than k.
    pub point: Point,
    /// `[λ_low, λ_high]`: the solution holds at `λ_low`, fewer than k non-zeros at `λ_high`.
    pub bracket: [f64; 2],
}

/// Ratio of neighbouring λ on the way down.
const STRIDE: f64 = 0.8;
/// No smaller λ is tried than this share of λ_max.
const FLOOR: f64 = 1e-5;
/// The bracket is closed to this ratio.
const NARROW: f64 = 1.0 + 1e-6;

/// The largest λ whose solution has exactly `k` non-zeros, else the largest with more than `k`, to a ratio of 1 + 1e-6:
/// down a path until there are k, then bisection of the last stride in ln λ.
pub fn target_nonzeros(problem: &Problem<'_>, k: usize, observe: &Observe<'_>) -> TargetPoint {
    let mut walk = Walk::new(problem, Watch::new(observe, problem.data.x.nnz()));
    let top = if problem.lambda_max() > 0.0 { problem.lambda_max() } else { 1.0 };
    let mut high = top;
    let mut low = walk.step(0, top);
    let mut index = 0;
    while low.stop != Stop::Cancelled && low.columns.len() < k && low.lambda > top * FLOOR {
        index += 1;
        high = low.lambda;
        low = walk.step(index, low.lambda * STRIDE);
    }
    let reached = low.columns.len() >= k;
    while reached && low.stop != Stop::Cancelled && high > low.lambda * NARROW {
        index += 1;
        let middle = walk.step(index, (high * low.lambda).sqrt());
        if middle.stop == Stop::Cancelled {
            low.stop = Stop::Cancelled;
        } else if middle.columns.len() < k || (low.columns.len() == k && middle.columns.len() > k) {
            high = middle.lambda;
        } else {
            low = middle;
        }
    }
    TargetPoint { bracket: [low.lambda, high], point: low }
}
