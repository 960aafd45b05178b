//! How good a solution is: primal, dual, gap and largest KKT violation, by code that is not the solver's.

use super::{Point, Problem};

/// What can be proven of a solution, in the units of the objective.
#[derive(Clone, Copy, Debug)]
pub struct Certificate {
    /// F at the solution.
    pub primal: f64,
    /// Value of a feasible dual point: a lower bound on the minimum of F.
    pub dual: f64,
    /// `primal − dual`.
    pub gap: f64,
    /// `gap / F(w = 0, best b)`; the gap itself when that is 0.
    pub relative_gap: f64,
    /// Largest distance of a column's negative gradient to the subdifferential of its penalty, in units of λ on the penalty's scale.
    pub max_kkt_violation: f64,
    /// Position of the stored column that has it; `None` when no column violates.
    pub kkt_column: Option<u32>,
}

/// Recomputes everything from the raw data and the coefficients of `point`.
pub fn certify(problem: &Problem, point: &Point) -> Certificate {
    unimplemented!()
}
