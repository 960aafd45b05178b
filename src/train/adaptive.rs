//! Factors of an adaptive penalty, from the coefficients of a pilot fit.

use crate::solver::{Point, Problem};
use crate::spec::Adaptive;

/// The factor of a column that the pilot left out: so large that no λ lets it in, and far from overflow.
pub(super) const EXCLUDED: f64 = 1e100;

/// What the pilot makes of the factors.
pub(super) struct Adapted {
    /// One for each stored column.
    pub(super) factors: Vec<f64>,
    /// λ of the pilot.
    pub(super) lambda: f64,
    /// Columns that the pilot left out.
    pub(super) excluded: usize,
}

/// f_j·|u_j|^−γ, u_j the coefficient that the pilot's penalty saw: of the column as it is scaled. A factor of 0 stays 0,
/// and so does a column that is constant.
pub(super) fn factors(problem: &Problem<'_>, pilot: &Point, given: Option<&[f64]>, adaptive: &Adaptive) -> Adapted {
    let scales = problem.scales();
    let mut factors = vec![EXCLUDED; scales.len()];
    for (&j, &value) in pilot.columns.iter().zip(&pilot.values) {
        let size = (value * scales[j as usize]).abs();
        let factor = size.powf(-adaptive.gamma);
        // of several classes the largest coefficient counts
        factors[j as usize] = if factor.is_finite() { factor.min(factors[j as usize]) } else { factors[j as usize] };
    }
    if let Some(given) = given {
        factors.iter_mut().zip(given).for_each(|(factor, given)| *factor = (*factor * given).min(EXCLUDED));
    }
    let excluded = factors.iter().zip(scales).filter(|(factor, scale)| **factor >= EXCLUDED && **scale > 0.0).count();
    Adapted { factors, lambda: pilot.lambda, excluded }
}
