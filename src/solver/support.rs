//! Is the support unique?

use super::{Point, Problem};

/// Columns that make the support ambiguous, rising: columns equal up to scale (with an intercept also after centring)
/// to a support column, with that support column, and columns outside the support with |gradient| within 1e-6·λ of
/// the bound.
pub fn ambiguous_support(problem: &Problem, point: &Point) -> Vec<u32> {
    unimplemented!()
}
